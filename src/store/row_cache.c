#include "store/row_cache.h"

#include "base/assert.h"
#include "base/mem.h"
#include "store/omap.h"

/*
 * The table is made for as many rows of this size as fit, so that it need not grow: moving hundreds
 * of thousands of rows takes long. Memory of buckets that are never used is never touched.
 */
#define ROW_BYTES_EXPECTED 256u
#define BUCKETS_MIN 64u
/* Only much smaller rows make it grow. */
#define ROWS_PER_BUCKET_MAX 4u

struct row_cache_entry {
    struct list link; /* in row_cache.used */
    struct row_cache_entry *chain;
    uint64_t hash;
    struct blob *value;
    uint32_t key_size;
    uint8_t key[];
};

/* What the heap adds to each of the two blocks of a row. */
#define BLOCK_OVERHEAD_BYTES 16u

static uint64_t entry_bytes(const struct row_cache_entry *e)
{
    uint64_t value = e->value != NULL ? sizeof(struct blob) + e->value->size : 0;
    return sizeof *e + e->key_size + value + (uint64_t)2 * BLOCK_OVERHEAD_BYTES;
}

static struct row_cache_entry **bucket_of(const struct row_cache *c, uint64_t hash)
{
    return &c->buckets[hash & (c->bucket_count - 1)];
}

/* The link that points to the entry, or NULL. */
static struct row_cache_entry **find(const struct row_cache *c, struct bytes key, uint64_t hash)
{
    if (c->count == 0) {
        return NULL;
    }
    for (struct row_cache_entry **at = bucket_of(c, hash); *at != NULL; at = &(*at)->chain) {
        if ((*at)->hash == hash && bytes_equal(bytes_of((*at)->key, (*at)->key_size), key)) {
            return at;
        }
    }
    return NULL;
}

static void rehash(struct row_cache *c, size_t bucket_count)
{
    struct row_cache_entry **buckets = mem_alloc_zero(bucket_count * sizeof(void *));
    mem_free(c->buckets);
    c->buckets = buckets;
    c->bucket_count = bucket_count;
    list_each(link, &c->used) {
        struct row_cache_entry *e = container_of(link, struct row_cache_entry, link);
        struct row_cache_entry **bucket = bucket_of(c, e->hash);
        e->chain = *bucket;
        *bucket = e;
    }
}

static size_t buckets_first(const struct row_cache *c)
{
    size_t count = BUCKETS_MIN;
    while (count < c->bytes_max / ROW_BYTES_EXPECTED) {
        count *= 2;
    }
    return count;
}

void row_cache_init(struct row_cache *c, uint64_t bytes_max)
{
    *c = (struct row_cache){.bytes_max = bytes_max};
    list_init(&c->used);
}

/* Takes the entry out by the link that points to it. */
static void entry_destroy(struct row_cache *c, struct row_cache_entry **at)
{
    struct row_cache_entry *e = *at;
    *at = e->chain;
    list_remove(&e->link);
    ensure(c->count > 0);
    c->count--;
    c->bytes -= entry_bytes(e);
    blob_unref(e->value);
    mem_free(e);
}

static void drop_last(struct row_cache *c)
{
    struct row_cache_entry *e = container_of(c->used.prev, struct row_cache_entry, link);
    struct row_cache_entry **at = bucket_of(c, e->hash);
    while (*at != e) {
        ensure(*at != NULL);
        at = &(*at)->chain;
    }
    entry_destroy(c, at);
}

void row_cache_deinit(struct row_cache *c)
{
    while (!list_is_empty(&c->used)) {
        drop_last(c);
    }
    ensure(c->bytes == 0);
    ensure(c->count == 0);
    mem_free(c->buckets);
    c->buckets = NULL;
    c->bucket_count = 0;
}

static void use(struct row_cache *c, struct row_cache_entry *e)
{
    if (c->used.next != &e->link) {
        list_remove(&e->link);
        list_insert_before(c->used.next, &e->link);
    }
}

bool row_cache_get_hashed(struct row_cache *c,
                          struct bytes key,
                          uint64_t hash,
                          struct blob **out_value)
{
    struct row_cache_entry **at = find(c, key, hash);
    if (at == NULL) {
        return false;
    }
    use(c, *at);
    *out_value = (*at)->value;
    return true;
}

bool row_cache_get(struct row_cache *c, struct bytes key, struct blob **out_value)
{
    return row_cache_get_hashed(c, key, omap_hash(key, c->seed), out_value);
}

static void entry_create(struct row_cache *c, struct bytes key, uint64_t hash, struct blob *value)
{
    ensure(key.size <= UINT32_MAX);
    if (c->count >= c->bucket_count * ROWS_PER_BUCKET_MAX) {
        rehash(c, c->bucket_count > 0 ? c->bucket_count * 2 : buckets_first(c));
    }
    struct row_cache_entry *e = mem_alloc(sizeof *e + key.size);
    struct row_cache_entry **bucket = bucket_of(c, hash);
    e->hash = hash;
    e->value = value;
    e->key_size = (uint32_t)key.size;
    if (key.size > 0) {
        memcpy(e->key, key.data, key.size);
    }
    e->chain = *bucket;
    *bucket = e;
    list_insert_before(c->used.next, &e->link);
    c->count++;
    c->bytes += entry_bytes(e);
}

void row_cache_put(struct row_cache *c, struct bytes key, struct blob *value)
{
    uint64_t hash = omap_hash(key, c->seed);
    struct row_cache_entry **at = find(c, key, hash);
    if (at == NULL) {
        entry_create(c, key, hash, value);
        return;
    }
    struct row_cache_entry *e = *at;
    c->bytes -= entry_bytes(e);
    blob_unref(e->value);
    e->value = value;
    c->bytes += entry_bytes(e);
    use(c, e);
}

void row_cache_remove(struct row_cache *c, struct bytes key)
{
    struct row_cache_entry **at = find(c, key, omap_hash(key, c->seed));
    if (at != NULL) {
        entry_destroy(c, at);
    }
}

void row_cache_trim(struct row_cache *c)
{
    while (c->bytes > c->bytes_max && c->count > 0) {
        drop_last(c);
    }
}
