/*
 * Which requests have been executed, with their replies: replicated state of a group, looked at
 * when a command applies (DUP-2). Per gateway node one incarnation counts: a command of a newer one
 * ends all older ones (their process is dead, nobody waits for them any more), so the table is
 * bounded by the gateways' windows.
 *
 * Sequences of one gateway in one group have no gaps, so records are a ring over mark+1 … newest.
 */
#ifndef SHARD_DUP_H
#define SHARD_DUP_H

#include "base/bytes.h"
#include "shard/entry.h"

/* A gateway keeps fewer requests than this between its mark and its newest one, per group. */
#define DUP_WINDOW 65536u
/* Larger replies are remembered as "done, reply lost" (DUP-8). */
#define DUP_REPLY_BYTES_MAX (16u * 1024u)

struct dup;

enum dup_verdict {
    DUP_NEW,      /* execute it, then dup_remember */
    DUP_DONE,     /* executed before: out_reply is the reply it got (empty: lost, DUP-8) */
    DUP_FINISHED, /* at or below the mark, of a dead incarnation, or outside the window: never runs
                   */
};

struct dup *dup_create(void);
void dup_destroy(struct dup *d);

/*
 * Raises the gateway's mark (dropping records at or below it), then judges the request. A request
 * with sequence 0 is always NEW and never remembered. out_reply is borrowed until the next call.
 */
enum dup_verdict dup_judge(struct dup *d,
                           const struct request_id *id,
                           uint64_t mark,
                           struct bytes *out_reply);
/*
 * The reply of the request that dup_judge called NEW, before its next call; reply may be of any
 * size. Without it the request leaves no trace, and is NEW again (DUP-5).
 */
void dup_remember(struct dup *d, const struct request_id *id, struct bytes reply);

/* ---- as rows (docs/disk-format.md), so that folds and snapshots have the table ----------------
 */

/*
 * Says what has changed since the last call, or since dup_load: put or delete (value NULL) of rows
 * of kind DUP; one row may be deleted, then put. Sequence 0: the gateway's own row. Costs as much
 * as there are changes, not as much as the table holds.
 */
void dup_save(struct dup *d,
              void (*row)(void *ctx, uint32_t node, uint64_t sequence, const struct bytes *value),
              void *ctx);
/* The next row, in the order of their keys, into a table that was empty. CORRUPT: not one. */
MUST_CHECK enum status dup_load(struct dup *d,
                                uint32_t node,
                                uint64_t sequence,
                                struct bytes value);
/* Behind the last row. CORRUPT: one is missing. */
MUST_CHECK enum status dup_loaded(const struct dup *d);

/* Memory held, in bytes. */
uint64_t dup_memory(const struct dup *d);
/* The same for the same content: to compare replicas in tests. */
uint64_t dup_hash(const struct dup *d);

#endif
