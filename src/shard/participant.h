/*
 * A group's part in transactions over several groups: votes, outcomes, key locks and marks.
 * Replicated state, changed only where entries apply (TXN-1); the protocol is design 7, with the
 * rules TXN-1 to TXN-13 of the protocol. Knows nothing of values: whoever calls it compares, runs
 * commands and applies effects.
 *
 * Of each transaction there is at most one record, and its first vote is final (TXN-2). Records of
 * all states stay until their coordinator's mark passes them (TXN-8, TXN-9).
 */
#ifndef SHARD_PARTICIPANT_H
#define SHARD_PARTICIPANT_H

#include "shard/txn_record.h"

struct participant;

struct participant *participant_create(void);
void participant_destroy(struct participant *p);

/* ---- votes ----------------------------------------------------------------------------------- */

/* What the group has said of it: NONE, a recorded state, or FINISHED. */
enum txn_state participant_state(const struct participant *p, const struct txn_id *id);
/* The record, unless it is NONE or FINISHED; borrowed until the next change of the table. */
bool participant_find(const struct participant *p,
                      const struct txn_id *id,
                      struct txn_record *out_record);
/* From here on it gets no first yes (TXN-12): its coordinator's process is dead. */
bool participant_is_closed(const struct participant *p, const struct txn_id *id);
/* One of these locks (of a record) does not go together with those that are held. */
bool participant_conflicts(const struct participant *p, struct bytes locks, uint32_t lock_count);
/*
 * The vote on a transaction whose state is NONE. A yes takes its locks: none of them conflicts, no
 * key stands in it twice, and its coordinator is not closed.
 */
void participant_vote(struct participant *p,
                      const struct txn_id *id,
                      const struct txn_record *record);
/* CHECK (TXN-6): the state, after a tombstone was put where there was none. */
enum txn_state participant_ask(struct participant *p, const struct txn_id *id);

/* ---- outcomes -------------------------------------------------------------------------------- */

enum participant_outcome {
    PARTICIPANT_APPLIES,  /* it is prepared: apply its effects, or forget them */
    PARTICIPANT_REPEATED, /* it is as wanted already, or finished */
    PARTICIPANT_REFUSES,  /* an abort that comes before PREPARE: leaves a tombstone */
    PARTICIPANT_VIOLATED, /* contradicts what is recorded (TXN-7): the replica must halt */
};

/* What COMMIT (else ABORT) means now; changes nothing. */
enum participant_outcome participant_judge(const struct participant *p,
                                           const struct txn_id *id,
                                           bool is_commit);
/* After APPLIES or REFUSES: records the outcome and releases the locks. */
void participant_settle(struct participant *p, const struct txn_id *id, bool is_commit);

/* ---- marks ----------------------------------------------------------------------------------- */

/*
 * All of the coordinator's transactions up to sequence `mark` are over everywhere: their records
 * go. False: one of them is prepared here (TXN-10), the replica must halt. A lower mark than before
 * changes nothing.
 */
MUST_CHECK bool participant_raise(struct participant *p,
                                  uint32_t node,
                                  uint32_t incarnation,
                                  uint64_t mark);
/* CLOSE (TXN-12) of this and all older incarnations; returns how many of theirs are prepared. */
uint64_t participant_close(struct participant *p, uint32_t node, uint32_t incarnation);
/*
 * All groups are closed, and nothing is prepared anywhere: forgets these incarnations. False: they
 * are not closed here, or one is prepared; the replica must halt.
 */
MUST_CHECK bool participant_end(struct participant *p, uint32_t node, uint32_t incarnation);

/* ---- locks and prepared ones ----------------------------------------------------------------- */

/* Who holds the key: one of them, if it is shared. False: nobody. */
bool participant_lock(const struct participant *p,
                      uint8_t database,
                      struct bytes key,
                      struct txn_id *out_id,
                      bool *out_is_exclusive);
/* Some key of the database is locked. */
bool participant_has_locks(const struct participant *p, uint8_t database);
uint64_t participant_prepared_count(const struct participant *p);
/* What their records take. */
uint64_t participant_prepared_bytes(const struct participant *p);
/* Of all states; it walks over them. */
uint64_t participant_record_count(const struct participant *p);
/* Calls fn for each that is prepared, by id; fn must not change the table; false ends it. */
void participant_each_prepared(const struct participant *p,
                               bool (*fn)(void *ctx,
                                          const struct txn_id *id,
                                          const struct txn_record *record),
                               void *ctx);

/* ---- as rows (docs/disk-format.md), so that folds and snapshots have the table ----------------
 */

/*
 * Says what has changed since the last call, or since participant_load: put or delete (value NULL)
 * of rows of kind TXN. Sequence 0: a coordinator's mark; incarnation 0: what is closed of a node.
 */
void participant_save(struct participant *p,
                      void (*row)(void *ctx, const struct txn_id *id, const struct bytes *value),
                      void *ctx);
/* The next row, in the order of their keys, into a table that was empty. CORRUPT: not one. */
MUST_CHECK enum status participant_load(struct participant *p,
                                        const struct txn_id *id,
                                        struct bytes value);

/* Memory held, in bytes. */
uint64_t participant_memory(const struct participant *p);
/* The same for the same content: to compare replicas in tests. */
uint64_t participant_hash(const struct participant *p);

#endif
