/*
 * Ordered map from bytes to blobs: a red-black tree (libbsd's sys/tree.h). Keys compare like
 * memcmp, a prefix first. A NULL value is a value: the overlay marks deletions with it.
 */
#ifndef STORE_OMAP_H
#define STORE_OMAP_H

#include "store/blob.h"

struct omap_node;

struct omap {
    struct omap_node *root;
    uint64_t count;
    uint64_t bytes; /* keys and values, without the overhead of nodes */
};

struct omap_item {
    struct bytes key;   /* borrowed until the key is removed */
    struct blob *value; /* borrowed until it is replaced */
};

void omap_init(struct omap *m);
void omap_deinit(struct omap *m);
/* Copies the key, takes the reference; replaces what is there. */
void omap_put(struct omap *m, struct bytes key, struct blob *value);
/* Nothing happens if the key is not there. */
void omap_remove(struct omap *m, struct bytes key);
bool omap_get(const struct omap *m, struct bytes key, struct omap_item *out_item);
/* The first item with a key >= from. */
bool omap_seek(const struct omap *m, struct bytes from, struct omap_item *out_item);
/* Moves all items of `from` into m; NULL values remove the key from m. */
void omap_merge(struct omap *m, struct omap *from);

#endif
