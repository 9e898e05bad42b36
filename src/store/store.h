/*
 * Ordered key-value state of a node: an engine on disk (RocksDB) or in memory, and in front of it
 * an overlay that takes all writes at once, and a cache of rows. A worker folds the overlay into
 * the engine as one atomic batch; reads see overlay, cache, then what the engine has at hand; what
 * it has not (STATUS_NEED) a worker reads first (store_fetch).
 *
 * Nothing here is durable before a *sync*: the write-ahead log of the node is what makes writes
 * durable. After a crash the engine holds some prefix of its batches, at least up to the last sync
 * that completed; so every batch must be a state to restart from: store_options.fold_starts puts
 * the rows that say how far the state goes into it (applied indexes).
 *
 * Damage (a checksum that does not fit) and I/O errors halt the node, with what to do; but for a
 * full disk: what failed so is tried again until there is space.
 *
 * Loop thread only, but for the engine's calls marked "worker".
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/limits.h"
#include "env/env.h"
#include "store/engine.h"
#include "store/omap.h"
#include "store/row_cache.h"

/* The mem engine merges rows on the loop: this many take below a millisecond. */
#define STORE_FOLD_ROWS_MEM 1024u
#define STORE_FOLD_ROWS_DEFAULT 65536u
#define STORE_FOLD_BYTES_DEFAULT (16u * MIB)
#define STORE_CACHE_BYTES_DEFAULT (64u * MIB)
/* Written in one loop turn, or waiting for the engine: beyond it nothing more should be applied. */
#define STORE_TURN_BYTES_MAX LIMIT_VALUE_BYTES
#define STORE_OVERLAY_BYTES_MAX (4u * LIMIT_VALUE_BYTES)

struct store_options {
    uint64_t fold_rows;   /* the overlay is folded from this many rows on, */
    uint64_t fold_bytes;  /* or from this many bytes */
    uint64_t cache_bytes; /* of the row cache; 0: none */
    /*
     * Loop, right before the overlay is closed for a fold: store_put what describes its state.
     * is_sync: a sync begins with this fold; synced() follows when it is durable. At most one sync
     * is under way. May be NULL.
     */
    void (*fold_starts)(void *owner, bool is_sync);
    /* Loop, once the fold is in the engine: snapshots opened from here on have it. May be NULL. */
    void (*folded)(void *owner);
    /* Loop: everything up to the fold_starts(is_sync) before is durable. May be NULL. */
    void (*synced)(void *owner);
    void *owner;
    const char *damage_hint; /* ends the message of a halt: what the operator should do */
};

struct store_stats {
    uint64_t folds;
    uint64_t folded_rows;
    uint64_t syncs;
    uint64_t fetches; /* rows read by workers */
    uint64_t cache_hits;
    uint64_t cache_misses;
};

struct store {
    struct store_stats stats; /* read only */
    /* private */
    struct env *env;
    struct store_options options;
    struct store_engine *engine;
    uint64_t seed;            /* of the hashes of keys */
    struct omap active;       /* takes writes */
    struct omap folding;      /* written by the worker, then handed to the cache bit by bit */
    struct buf drops;         /* ranges dropped since the last fold */
    struct buf folding_drops; /* those of `folding`, until the turn in which it is written ends */
    struct row_cache cache;   /* empty unless has_cache */
    struct list seen;         /* struct store_seen: rows of the engine at hand in this turn */
    struct omap held;         /* rows that a seek returned in this turn */
    struct buf key;           /* of one call */
    struct buf needed;        /* where the last seek said NEED */
    uint64_t turn_bytes;      /* put in this turn */
    bool has_cache;           /* the engine may say NEED */
    bool is_starting;         /* reads may block: nobody is served */
    bool is_folding;          /* a worker writes `folding` */
    bool is_sync_fold;        /* and a sync follows */
    bool is_syncing;          /* from that fold to synced() */
    bool is_fold_wanted;
    bool is_sync_wanted;
    uint32_t jobs;       /* fetches, range reads and writes under way */
    struct list fetches; /* struct store_fetch under way */
    struct list snapshots;
    struct env_work fold_work;
    struct env_work sync_work;
    enum status fold_status;
    enum status sync_status;
    /* Failed because the disk is full: tried again by store_flush from retry_us on. */
    bool is_fold_waiting;
    bool is_sync_waiting;
    struct list writes_waiting; /* struct store_write */
    uint64_t retry_us;
};

/* Takes the engine. Starts in the mode where reads may block (store_ready ends it). */
void store_init(struct store *s,
                struct env *env,
                const struct store_options *options,
                struct store_engine *engine);
/* From here on reads do not block: what is not at hand is NEED. */
void store_ready(struct store *s);
/* Memory only and closes the engine; no worker must be running, or its env be dead. */
void store_deinit(struct store *s);

/* ---- rows ------------------------------------------------------------------------------------ */

/* Takes the reference. */
void store_put(struct store *s, struct bytes key, struct blob *value);
void store_delete(struct store *s, struct bytes key);
/*
 * True: enough was written for this turn, or more waits for the engine than should; whoever applies
 * goes on in a later turn. Short commands can write long rows: without this one turn could fill any
 * memory, and last for any time. Never before store_ready: replay folds between the records.
 */
bool store_is_pressed(const struct store *s);
/*
 * OK, NOT_FOUND or NEED. The blob is borrowed until the next write or the end of the loop turn;
 * where nothing says NEED (store_may_need) only until the next write or the end of the callback.
 * Before store_ready also IO or CORRUPT, never NEED.
 */
MUST_CHECK enum status store_get(struct store *s, struct bytes key, struct blob **out_value);
/*
 * The first row with a key >= from, of those whose first same_bytes bytes are from's: a worker that
 * looks for it does not wander through what was deleted behind them. Results as for store_get; key
 * and value are borrowed so, too.
 */
MUST_CHECK enum status store_seek(struct store *s,
                                  struct bytes from,
                                  size_t same_bytes,
                                  struct omap_item *out_item);
/* False: everything is always at hand (rows in memory), no get says NEED. */
bool store_may_need(const struct store *s);

/*
 * Removes all rows with from <= key < to; whoever calls this never reads or writes such keys again.
 * Part of the next fold.
 */
void store_drop(struct store *s, struct bytes from, struct bytes to);

/* ---- rows that are not at hand --------------------------------------------------------------- */

/*
 * Reads rows in a worker. When done() is called, on the loop, store_get of each key (store_seek
 * from each, if is_seek, with its same_bytes or more) is not NEED until the end of that loop turn.
 * Caller's memory, zero-initialised, until done(). I/O errors and damage halt instead.
 */
struct store_fetch {
    void (*done)(struct store_fetch *f);
    bool is_seek;
    size_t same_bytes; /* of seeks */
    /* private */
    struct list link; /* in store.fetches while it runs */
    struct store *store;
    struct env_work work;
    struct buf keys; /* u32 size, bytes; … ; behind the count given, where a seek had to go on */
    size_t count;
    size_t keys_read;  /* bytes of `keys` that workers have done */
    struct omap rows;  /* what the worker found; NULL: not there */
    struct omap newer; /* of the keys, what was folded meanwhile */
    struct list found; /* struct store_seen, of seeks */
    enum status status;
    bool is_stale; /* a fold ended while the worker sought */
    bool is_running;
};

/* Adds a key; before store_fetch_start. */
void store_fetch_add(struct store_fetch *f, struct bytes key);
/* Number of keys added. */
size_t store_fetch_count(const struct store_fetch *f);
void store_fetch_start(struct store *s, struct store_fetch *f);
/* After done(), or before the start, or when env is dead: memory only; may be used again then. */
void store_fetch_deinit(struct store_fetch *f);

/* ---- folding and syncing --------------------------------------------------------------------- */

/* Starts a fold if the overlay is large enough and none runs. Call at the end of each loop turn. */
void store_flush(struct store *s);
/* The next store_flush folds whatever there is. */
void store_fold_soon(struct store *s);
/* Folds what there is and makes it durable; synced() follows. Asked again meanwhile: once more. */
void store_sync_soon(struct store *s);
/* The same fold as store_flush on the caller's thread, before store_ready: during replay. */
MUST_CHECK enum status store_flush_now(struct store *s);
/* A fold, sync, fetch, range read or write is under way. */
bool store_is_busy(const struct store *s);
/* Memory of overlay and cache, in bytes. */
uint64_t store_memory(const struct store *s);
/* What the engine has in memory besides: blocks, and what is not written out yet. */
uint64_t store_engine_memory(struct store *s);
/* Bytes on disk; 0 for rows in memory. */
uint64_t store_disk_bytes(struct store *s);

/* ---- ranges, for snapshots of groups --------------------------------------------------------- */

/* A frozen state of the engine: all folds that completed so far, and maybe the one under way. */
struct store_snapshot;
struct store_snapshot *store_snapshot_open(struct store *s);
/* A range read under way goes on to its end. NULL: nothing happens. */
void store_snapshot_close(struct store *s, struct store_snapshot *snapshot);

/*
 * Reads rows in a worker: from <= key < to, until bytes_max is reached, but at least one.
 * Caller's memory, zero-initialised, until done(). I/O errors and damage halt instead.
 */
struct store_range {
    /* Given: */
    struct store_snapshot *snapshot; /* NULL: what the engine holds when the worker runs */
    struct buf from;                 /* moved behind the last row read: start again to go on */
    struct buf to;
    uint64_t bytes_max;
    void (*done)(struct store_range *r);
    /* Result: */
    struct omap rows;
    bool is_end; /* no row is left before `to` */
    /* private */
    struct store *store;
    struct env_work work;
    enum status status;
    bool is_running;
};

void store_range_init(struct store_range *r); /* empty buffers */
/* Forgets the rows of the last round. */
void store_range_start(struct store *s, struct store_range *r);
/* The same on the caller's thread, before store_ready. */
MUST_CHECK enum status store_range_now(struct store *s, struct store_range *r);
void store_range_deinit(struct store_range *r);

/*
 * Writes rows behind the overlay's back, in a worker, as one batch: of keys that nobody reads or
 * writes otherwise until done(). Not durable before a sync that starts after done().
 */
struct store_write {
    struct omap rows; /* given; empty again at done() */
    void (*done)(struct store_write *w);
    /* private */
    struct store *store;
    struct env_work work;
    enum status status;
    struct list link; /* in store.writes_waiting: tried again when there is space */
    bool is_running;
};
void store_write_init(struct store_write *w);
void store_write_start(struct store *s, struct store_write *w);
void store_write_deinit(struct store_write *w);

#endif
