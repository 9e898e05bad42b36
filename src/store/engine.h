/*
 * What the store needs of a key-value engine. Two bodies, kept equal by one conformance suite and a
 * random comparison: RocksDB (engine_rocks.c, the only file that includes rocksdb/c.h) and rows in
 * memory (engine_mem.c), which models RocksDB's durability for the simulator.
 *
 * "Worker" calls may run beside each other and beside the loop's calls; at most one fold runs at a
 * time, and at most one sync. (The mem engine has no locks: its worker calls must run on the loop's
 * thread, as they do in the simulator and in unit tests, unless neither snapshots nor a medium are
 * used.)
 */
#ifndef STORE_ENGINE_H
#define STORE_ENGINE_H

#include "base/status.h"
#include "store/omap.h"

struct store_engine;
struct store_engine_snapshot;

/* Ranges [from, to) to drop, then rows to write (NULL: delete), as one atomic batch. */
struct store_batch {
    struct omap *rows;
    struct bytes drops; /* pairs: u32 size, from, u32 size, to; little-endian */
};

struct store_engine_ops {
    bool may_need; /* get and seek may say NEED; the store keeps a cache of rows then */
    /*
     * Loop, without I/O: OK, NOT_FOUND, NEED, IO, CORRUPT. *out_value is a new reference for the
     * caller.
     */
    enum status (*get)(struct store_engine *e, struct bytes key, struct blob **out_value);
    /* Loop, without I/O: the first row with a key >= from, appended to out_key. */
    enum status (*seek)(struct store_engine *e,
                        struct bytes from,
                        struct buf *out_key,
                        struct blob **out_value);
    /* Worker: get with I/O; never NEED. */
    enum status (*read)(struct store_engine *e, struct bytes key, struct blob **out_value);
    /*
     * Worker: rows of [from, to) into out_rows until their bytes reach bytes_max, but at least one.
     * snapshot may be NULL; an empty `to` is the end of all rows.
     */
    enum status (*read_range)(struct store_engine *e,
                              struct store_engine_snapshot *snapshot,
                              struct bytes from,
                              struct bytes to,
                              uint64_t bytes_max,
                              struct omap *out_rows,
                              bool *out_is_end);
    /* Worker. Changes nothing in the batch. */
    enum status (*write)(struct store_engine *e, const struct store_batch *batch);
    /*
     * Loop, after each write, before anything else is done with its rows. Unless may_need, it may
     * take rows out of the batch. NULL: nothing to do.
     */
    void (*written)(struct store_engine *e, const struct store_batch *batch);
    /* Worker: all writes that returned before are durable when it returns. */
    enum status (*sync)(struct store_engine *e);
    /* Loop. A snapshot has all writes that were handed to written(), and maybe the one under way.
     */
    struct store_engine_snapshot *(*snapshot_open)(struct store_engine *e);
    void (*snapshot_close)(struct store_engine *e, struct store_engine_snapshot *snapshot);
    uint64_t (*disk_bytes)(struct store_engine *e);
    /* Loop: bytes it has in memory. */
    uint64_t (*memory)(struct store_engine *e);
    /* Any thread: what went wrong first; borrowed for the engine's life. */
    const char *(*failure)(struct store_engine *e);
    void (*destroy)(struct store_engine *e);
};

struct store_engine {
    const struct store_engine_ops *ops;
};

/* The next pair of store_batch.drops; *at starts at 0. False: that was the last. */
bool store_drops_next(struct bytes drops, size_t *at, struct bytes *out_from, struct bytes *out_to);

/*
 * What survives of a mem engine: the simulator's disk of one machine. Rows of completed syncs, and
 * the batches written since.
 */
struct store_medium;
struct store_medium *store_medium_create(void);
void store_medium_destroy(struct store_medium *m);
/* Batches written since the last completed sync. */
size_t store_medium_pending(const struct store_medium *m);
/* After a crash: only the first `keep` of these survive; they count as synced then. */
void store_medium_crash(struct store_medium *m, size_t keep);
void store_medium_wipe(struct store_medium *m);
/* Flips a bit of the nth row (modulo their number): reading it says CORRUPT. False: no rows. */
bool store_medium_rot(struct store_medium *m, uint64_t nth);
uint64_t store_medium_bytes(const struct store_medium *m);
/* Writes that would make it larger fail with IO from here on. 0: no limit. */
void store_medium_limit(struct store_medium *m, uint64_t bytes_max);

/* medium NULL: nothing survives. Borrowed for the engine's life. */
struct store_engine *store_engine_mem_create(struct store_medium *medium);
/* From here on, and before store_init: this many of 1000 rows are not at hand (NEED), by chance. */
void store_engine_mem_miss(struct store_engine *e, uint64_t seed, unsigned per_mille);

struct store_rocks_options {
    const char *dir;      /* created if missing; its parent exists */
    uint64_t cache_bytes; /* of blocks, index and filters, and of what is not written out yet */
};

/* Blocking. CORRUPT: damage; IO: cannot be opened. The error names what RocksDB said. */
MUST_CHECK enum status store_engine_rocks_create(const struct store_rocks_options *options,
                                                 struct store_engine **out_engine,
                                                 struct error *error);

#endif
