/*
 * Rows at hand: a hash table from row keys to blobs, bounded in bytes, least recently used out
 * first. A NULL value says that there is no such row. Clean rows only: each of them is in the
 * engine, too. Rows leave in row_cache_trim only, never while one is put: what a turn of the loop
 * has fetched stays until its end.
 */
#ifndef STORE_ROW_CACHE_H
#define STORE_ROW_CACHE_H

#include "base/list.h"
#include "store/blob.h"

struct row_cache_entry;

struct row_cache {
    uint64_t bytes; /* keys, values and overhead */
    uint64_t bytes_max;
    uint64_t count;
    uint64_t seed; /* of omap_hash; set it while the cache is empty */
    /* private */
    struct row_cache_entry **buckets;
    size_t bucket_count;
    struct list used; /* most recently used first */
};

void row_cache_init(struct row_cache *c, uint64_t bytes_max);
void row_cache_deinit(struct row_cache *c);
/* True: known; *out_value is borrowed, NULL: there is no such row. */
bool row_cache_get(struct row_cache *c, struct bytes key, struct blob **out_value);
/* The same with the hash of the key, by the seed. */
bool row_cache_get_hashed(struct row_cache *c,
                          struct bytes key,
                          uint64_t hash,
                          struct blob **out_value);
/* Copies the key, takes the reference; replaces what is there. */
void row_cache_put(struct row_cache *c, struct bytes key, struct blob *value);
void row_cache_remove(struct row_cache *c, struct bytes key);
/* Least recently used rows leave until bytes <= bytes_max. */
void row_cache_trim(struct row_cache *c);

#endif
