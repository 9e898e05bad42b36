/* What the files of the store share; nobody else includes it. */
#ifndef STORE_STORE_PARTS_H
#define STORE_STORE_PARTS_H

#include "store/store.h"

/*
 * What the engine holds from `from` up to the last of these rows, or to the end of those that begin
 * with its first same_bytes bytes: read by a worker for a seek, at hand until the end of the loop
 * turn.
 */
struct store_seen {
    struct list link; /* in store.seen or store_fetch.found */
    struct buf from;
    size_t same_bytes;
    struct omap rows;
    bool is_end;
};

void store_seen_destroy_all(struct list *seen);
/* Appends the first key behind all that begin with this name; nothing: there is none. */
void store_append_end(struct buf *out, struct bytes name);

/* Halts with what the engine said. */
void store_fail(struct store *s, const char *what);
/* True if the key lies in one of the ranges; *out_to is the end of that range. */
bool store_is_dropped(const struct buf *drops, struct bytes key, struct bytes *out_to);
/* For each fetch under way: rows of `folding` are newer than what its worker may have read. */
void store_fetches_folded(struct store *s);
/* Closes those whose last reader never came back. */
void store_snapshots_drop(struct store *s);
/* Something failed for lack of space: store_flush tries it again, after a while. */
void store_wait_for_space(struct store *s);
/* Those that failed so begin anew. */
void store_writes_retry(struct store *s);
/* Sets up the jobs of folding and syncing. */
void store_fold_init(struct store *s);

#endif
