/*
 * Ordered map from bytes to blobs: a red-black tree (libbsd's sys/tree.h), and a hash table over
 * the same nodes for the look-up of one key. Keys compare like memcmp, a prefix first. A NULL value
 * is a value: the overlay marks deletions with it. Readers on several threads are fine as long as
 * nobody writes.
 */
#ifndef STORE_OMAP_H
#define STORE_OMAP_H

#include "store/blob.h"

struct omap_node;

struct omap {
    struct omap_node *root;
    uint64_t count;
    uint64_t bytes; /* keys and values, without the overhead of nodes */
    uint64_t seed;  /* of the hashes; set it while the map is empty */
    /* private */
    struct omap_node **buckets; /* none while there are few rows */
    size_t bucket_count;
};

struct omap_item {
    struct bytes key;   /* borrowed until the key is removed */
    struct blob *value; /* borrowed until it is replaced */
};

/* Of keys, values, nodes and hash table, in bytes. */
uint64_t omap_memory(const struct omap *m);

/* With this seed in the map, omap_get_hashed finds what omap_get finds. */
uint64_t omap_hash(struct bytes key, uint64_t seed);

void omap_init(struct omap *m);
void omap_deinit(struct omap *m);
/* Copies the key, takes the reference; replaces what is there. */
void omap_put(struct omap *m, struct bytes key, struct blob *value);
/* Nothing happens if the key is not there. */
void omap_remove(struct omap *m, struct bytes key);
bool omap_get(const struct omap *m, struct bytes key, struct omap_item *out_item);
bool omap_get_hashed(const struct omap *m,
                     struct bytes key,
                     uint64_t hash,
                     struct omap_item *out_item);
/* The first item with a key >= from. */
bool omap_seek(const struct omap *m, struct bytes from, struct omap_item *out_item);
bool omap_last(const struct omap *m, struct omap_item *out_item);
/* Walks in order: *at is NULL before the first item; nothing may be removed meanwhile. */
bool omap_next(const struct omap *m, const struct omap_node **at, struct omap_item *out_item);
/* Takes the first item out: key appended to out_key, the value's reference given to the caller. */
bool omap_take_first(struct omap *m, struct buf *out_key, struct blob **out_value);
/* Removes all items with from <= key < to. */
void omap_remove_range(struct omap *m, struct bytes from, struct bytes to);
/* Moves all items of `from` into m; NULL values remove the key from m. */
void omap_merge(struct omap *m, struct omap *from);

#endif
