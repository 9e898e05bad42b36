/*
 * Ordered key-value state of a node: an engine, and in front of it an overlay that takes all writes
 * at once. A worker folds the overlay into the engine; reads see overlay, then engine.
 *
 * Everything runs on the loop but store_engine_ops.fold.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "env/env.h"
#include "store/omap.h"

struct store_engine;

struct store_engine_ops {
    /* OK, NOT_FOUND, or NEED: the row must be read by a worker first. Borrowed until the next fold.
     */
    enum status (*get)(struct store_engine *e, struct bytes key, struct blob **out_value);
    /* The first row with a key >= from; results as for get. */
    enum status (*seek)(struct store_engine *e, struct bytes from, struct omap_item *out_item);
    /* Worker: writes all of it as one atomic batch. NULL values delete. */
    enum status (*fold)(struct store_engine *e, const struct omap *writes);
    /* Loop, after fold: the engine may take the items out of writes. */
    void (*folded)(struct store_engine *e, struct omap *writes);
    void (*destroy)(struct store_engine *e);
};

struct store_engine {
    const struct store_engine_ops *ops;
};

/* Rows in memory only: what a node holds is rebuilt from the log at start. */
struct store_engine *store_engine_mem_create(void);

/* The loop merges this many rows into the mem engine at once: below a millisecond. */
#define STORE_FOLD_ROWS_DEFAULT 1024u

struct store_options {
    uint64_t fold_rows; /* the overlay is folded from this many rows on */
};

struct store {
    /* private */
    struct env *env;
    struct store_options options;
    struct store_engine *engine;
    struct omap active;  /* takes writes */
    struct omap folding; /* on its way into the engine; the worker reads it while is_folding */
    bool is_folding;
    struct env_work work;
    enum status fold_status;
};

/* Takes the engine. */
void store_init(struct store *s,
                struct env *env,
                const struct store_options *options,
                struct store_engine *engine);
/* Memory only; the worker must not be running, or its env be dead. */
void store_deinit(struct store *s);

/* Takes the reference. */
void store_put(struct store *s, struct bytes key, struct blob *value);
void store_delete(struct store *s, struct bytes key);
/* OK, NOT_FOUND or NEED. The blob is borrowed: take a reference to keep it past the next write. */
MUST_CHECK enum status store_get(struct store *s, struct bytes key, struct blob **out_value);
/* The first row with a key >= from. Results as for store_get. */
MUST_CHECK enum status store_seek(struct store *s, struct bytes from, struct omap_item *out_item);

/* Starts a fold if the overlay is large enough and none runs. Call at the end of each loop turn. */
void store_flush(struct store *s);
/* The same at once, on the caller's thread: at start, while the log is replayed. */
MUST_CHECK enum status store_flush_now(struct store *s);
bool store_is_busy(const struct store *s);

#endif
