#include "store/omap.h"

#include <bsd/sys/tree.h>

#include "base/assert.h"
#include "base/mem.h"

struct omap_node {
    RB_ENTRY(omap_node) link;
    struct blob *value;
    uint32_t key_size;
    uint8_t key[];
};

RB_HEAD(tree, omap_node);

static struct bytes key_of(const struct omap_node *n)
{
    return bytes_of(n->key, n->key_size);
}

static int compare(struct omap_node *a, struct omap_node *b)
{
    return bytes_compare(key_of(a), key_of(b));
}

/* Not all of what the macros generate is used here. */
#define TREE_FUNCTION __attribute__((unused)) static
RB_PROTOTYPE_INTERNAL(tree, omap_node, link, compare, TREE_FUNCTION)
RB_GENERATE_INTERNAL(tree, omap_node, link, compare, TREE_FUNCTION)

/* The header keeps only the root pointer, so that users need not see the tree macros. */
static struct tree *tree_of(struct omap *m)
{
    _Static_assert(sizeof(struct tree) == sizeof(struct omap_node *), "tree is its root");
    return (struct tree *)(void *)&m->root;
}

static uint64_t item_bytes(const struct omap_node *n)
{
    return n->key_size + (n->value != NULL ? (uint64_t)n->value->size : 0);
}

/* The first node with a key >= from, looked up without a probe node. */
static struct omap_node *seek(const struct omap *m, struct bytes from, bool *out_is_equal)
{
    struct omap_node *n = m->root;
    struct omap_node *best = NULL;
    *out_is_equal = false;
    while (n != NULL) {
        int order = bytes_compare(from, key_of(n));
        if (order == 0) {
            *out_is_equal = true;
            return n;
        }
        if (order < 0) {
            best = n;
            n = RB_LEFT(n, link);
        } else {
            n = RB_RIGHT(n, link);
        }
    }
    return best;
}

static struct omap_node *find(const struct omap *m, struct bytes key)
{
    bool is_equal = false;
    struct omap_node *n = seek(m, key, &is_equal);
    return is_equal ? n : NULL;
}

static void node_destroy(struct omap_node *n)
{
    blob_unref(n->value);
    mem_free(n);
}

static void detach(struct omap *m, struct omap_node *n)
{
    m->count--;
    m->bytes -= item_bytes(n);
    (void)RB_REMOVE(tree, tree_of(m), n);
}

void omap_init(struct omap *m)
{
    *m = (struct omap){0};
}

void omap_deinit(struct omap *m)
{
    struct omap_node *n = RB_MIN(tree, tree_of(m));
    while (n != NULL) {
        struct omap_node *next = RB_NEXT(tree, tree_of(m), n);
        detach(m, n);
        node_destroy(n);
        n = next;
    }
    ensure(m->count == 0 && m->bytes == 0);
}

static void replace_value(struct omap *m, struct omap_node *n, struct blob *value)
{
    m->bytes -= item_bytes(n);
    blob_unref(n->value);
    n->value = value;
    m->bytes += item_bytes(n);
}

/* Takes the node; if its key is there, only the value moves over. One way down the tree. */
static void put_node(struct omap *m, struct omap_node *n)
{
    struct omap_node *there = RB_INSERT(tree, tree_of(m), n);
    if (there == NULL) {
        m->count++;
        m->bytes += item_bytes(n);
        return;
    }
    replace_value(m, there, n->value);
    n->value = NULL;
    node_destroy(n);
}

void omap_put(struct omap *m, struct bytes key, struct blob *value)
{
    ensure(key.size <= UINT32_MAX);
    struct omap_node *n = mem_alloc(sizeof *n + key.size);
    n->value = value;
    n->key_size = (uint32_t)key.size;
    memcpy(n->key, key.data, key.size);
    put_node(m, n);
}

void omap_remove(struct omap *m, struct bytes key)
{
    struct omap_node *n = find(m, key);
    if (n != NULL) {
        detach(m, n);
        node_destroy(n);
    }
}

bool omap_get(const struct omap *m, struct bytes key, struct omap_item *out_item)
{
    struct omap_node *n = find(m, key);
    if (n == NULL) {
        return false;
    }
    *out_item = (struct omap_item){.key = key_of(n), .value = n->value};
    return true;
}

bool omap_seek(const struct omap *m, struct bytes from, struct omap_item *out_item)
{
    bool is_equal = false;
    struct omap_node *n = seek(m, from, &is_equal);
    if (n == NULL) {
        return false;
    }
    *out_item = (struct omap_item){.key = key_of(n), .value = n->value};
    return true;
}

void omap_merge(struct omap *m, struct omap *from)
{
    struct omap_node *n = RB_MIN(tree, tree_of(from));
    while (n != NULL) {
        struct omap_node *next = RB_NEXT(tree, tree_of(from), n);
        detach(from, n);
        if (n->value == NULL) {
            omap_remove(m, key_of(n));
            node_destroy(n);
        } else {
            put_node(m, n); /* the node moves as it is */
        }
        n = next;
    }
}
