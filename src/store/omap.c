#include "store/omap.h"

#include <bsd/sys/tree.h>
#include <xxhash.h>

#include "base/assert.h"
#include "base/mem.h"

/* A hash table pays from here on; below, the tree has few levels. */
#define INDEX_ROWS_MIN 16u
#define BUCKETS_FIRST 32u

struct omap_node {
    RB_ENTRY(omap_node) link;
    struct omap_node *chain; /* of its bucket */
    uint64_t hash;
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

uint64_t omap_hash(struct bytes key, uint64_t seed)
{
    return XXH3_64bits_withSeed(key.data, key.size, seed);
}

/* ---- the hash table over the nodes ----------------------------------------------------------- */

static struct omap_node **bucket_of(const struct omap *m, uint64_t hash)
{
    ensure(m->bucket_count > 0);
    return &m->buckets[hash & (m->bucket_count - 1)];
}

static void chain_add(struct omap *m, struct omap_node *n)
{
    struct omap_node **bucket = bucket_of(m, n->hash);
    n->chain = *bucket;
    *bucket = n;
}

static void index_grow(struct omap *m)
{
    size_t count = m->bucket_count > 0 ? m->bucket_count * 2 : BUCKETS_FIRST;
    mem_free(m->buckets);
    m->buckets = mem_alloc_zero(count * sizeof(void *));
    m->bucket_count = count;
    for (struct omap_node *n = RB_MIN(tree, tree_of(m)); n != NULL;
         n = RB_NEXT(tree, tree_of(m), n)) {
        chain_add(m, n);
    }
}

/* After n came into the tree. */
static void index_add(struct omap *m, struct omap_node *n)
{
    if (m->count > m->bucket_count && m->count > INDEX_ROWS_MIN) {
        index_grow(m); /* with n */
    } else if (m->bucket_count > 0) {
        chain_add(m, n);
    }
}

static void index_remove(struct omap *m, const struct omap_node *n)
{
    if (m->bucket_count == 0) {
        return;
    }
    struct omap_node **at = bucket_of(m, n->hash);
    while (*at != n) {
        ensure(*at != NULL);
        at = &(*at)->chain;
    }
    *at = n->chain;
}

/* ---- nodes ----------------------------------------------------------------------------------- */

/* The first node with a key >= from, looked up without a probe node. */
static struct omap_node *seek(const struct omap *m, struct bytes from)
{
    struct omap_node *n = m->root;
    struct omap_node *best = NULL;
    while (n != NULL) {
        int order = bytes_compare(from, key_of(n));
        if (order == 0) {
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

static struct omap_node *find_hashed(const struct omap *m, struct bytes key, uint64_t hash)
{
    if (m->bucket_count == 0) {
        struct omap_node *n = seek(m, key);
        return n != NULL && bytes_equal(key_of(n), key) ? n : NULL;
    }
    for (struct omap_node *n = *bucket_of(m, hash); n != NULL; n = n->chain) {
        if (n->hash == hash && bytes_equal(key_of(n), key)) {
            return n;
        }
    }
    return NULL;
}

static struct omap_node *find(const struct omap *m, struct bytes key)
{
    return find_hashed(m, key, m->bucket_count > 0 ? omap_hash(key, m->seed) : 0);
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
    index_remove(m, n);
    (void)RB_REMOVE(tree, tree_of(m), n);
}

void omap_init(struct omap *m)
{
    *m = (struct omap){0};
}

void omap_deinit(struct omap *m)
{
    mem_free(m->buckets);
    m->buckets = NULL;
    m->bucket_count = 0;
    struct omap_node *n = RB_MIN(tree, tree_of(m));
    while (n != NULL) {
        struct omap_node *next = RB_NEXT(tree, tree_of(m), n);
        detach(m, n);
        node_destroy(n);
        n = next;
    }
    ensure(m->count == 0 && m->bytes == 0);
}

/* Takes the reference. */
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
        index_add(m, n);
        return;
    }
    replace_value(m, there, n->value);
    n->value = NULL;
    node_destroy(n);
}

void omap_put(struct omap *m, struct bytes key, struct blob *value)
{
    ensure(key.size <= UINT32_MAX);
    uint64_t hash = omap_hash(key, m->seed);
    struct omap_node *there = find_hashed(m, key, hash);
    if (there != NULL) {
        replace_value(m, there, value);
        return;
    }
    struct omap_node *n = mem_alloc(sizeof *n + key.size);
    n->value = value;
    n->hash = hash;
    n->key_size = (uint32_t)key.size;
    if (key.size > 0) {
        memcpy(n->key, key.data, key.size);
    }
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

static struct omap_item item_of(const struct omap_node *n)
{
    return (struct omap_item){.key = key_of(n), .value = n->value};
}

bool omap_get_hashed(const struct omap *m,
                     struct bytes key,
                     uint64_t hash,
                     struct omap_item *out_item)
{
    const struct omap_node *n = m->count > 0 ? find_hashed(m, key, hash) : NULL;
    if (n != NULL) {
        *out_item = item_of(n);
    }
    return n != NULL;
}

bool omap_get(const struct omap *m, struct bytes key, struct omap_item *out_item)
{
    const struct omap_node *n = find(m, key);
    if (n != NULL) {
        *out_item = item_of(n);
    }
    return n != NULL;
}

bool omap_seek(const struct omap *m, struct bytes from, struct omap_item *out_item)
{
    const struct omap_node *n = seek(m, from);
    if (n != NULL) {
        *out_item = item_of(n);
    }
    return n != NULL;
}

uint64_t omap_memory(const struct omap *m)
{
    return m->bytes + m->count * (sizeof(struct omap_node) + sizeof(struct blob)) +
           m->bucket_count * sizeof(void *);
}

bool omap_last(const struct omap *m, struct omap_item *out_item)
{
    struct tree tree = {.rbh_root = m->root};
    const struct omap_node *n = RB_MAX(tree, &tree);
    if (n != NULL) {
        *out_item = item_of(n);
    }
    return n != NULL;
}

bool omap_next(const struct omap *m, const struct omap_node **at, struct omap_item *out_item)
{
    /* The macros know no const; neither of these two writes. */
    struct omap_node *n = (struct omap_node *)(uintptr_t)*at;
    struct tree tree = {.rbh_root = m->root};
    n = n == NULL ? RB_MIN(tree, &tree) : RB_NEXT(tree, &tree, n);
    if (n == NULL) {
        return false;
    }
    *at = n;
    *out_item = item_of(n);
    return true;
}

bool omap_take_first(struct omap *m, struct buf *out_key, struct blob **out_value)
{
    struct omap_node *n = RB_MIN(tree, tree_of(m));
    if (n == NULL) {
        return false;
    }
    detach(m, n);
    buf_append_bytes(out_key, key_of(n));
    *out_value = n->value;
    mem_free(n);
    return true;
}

void omap_remove_range(struct omap *m, struct bytes from, struct bytes to)
{
    struct omap_node *n = seek(m, from);
    while (n != NULL && bytes_compare(key_of(n), to) < 0) {
        struct omap_node *next = RB_NEXT(tree, tree_of(m), n);
        detach(m, n);
        node_destroy(n);
        n = next;
    }
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
            n->hash = omap_hash(key_of(n), m->seed);
            put_node(m, n); /* the node moves as it is */
        }
        n = next;
    }
}
