/* The keys that one connection watches, with the versions they had then. */
#ifndef SERVER_WATCH_LIST_H
#define SERVER_WATCH_LIST_H

#include "txn/txn.h"

struct watch_list {
    size_t count;
    /* private */
    struct buf keys; /* one after the other */
    struct buf rows; /* struct watch_row */
};

void watch_list_init(struct watch_list *w);
void watch_list_deinit(struct watch_list *w);
void watch_list_clear(struct watch_list *w);
uint64_t watch_list_memory(const struct watch_list *w);
/* Bytes of all keys. */
size_t watch_list_bytes(const struct watch_list *w);

/* Of a key that is watched already the first version stays: it is the one the client has seen. */
void watch_list_add(struct watch_list *w, const struct txn_key *key, uint64_t version);
/* out[count], in the order added; borrows from the list until it is changed. */
void watch_list_compares(const struct watch_list *w, struct txn_compare *out);

#endif
