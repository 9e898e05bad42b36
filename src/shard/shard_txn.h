/* Transactions in a shard: what its files for them share. Inside the room shard only. */
#ifndef SHARD_SHARD_TXN_H
#define SHARD_SHARD_TXN_H

#include "shard/shard_parts.h"
#include "shard/txn_message.h"

/* A gateway's clock may be ahead of the leader's by so much (ORD-4). */
#define SHARD_CLOCK_AHEAD_MS 500u
/* What is kept of a prepared one: effects, replies, locks. Its row must fit into a snapshot. */
#define SHARD_TXN_RECORD_BYTES LIMIT_COMMAND_BYTES
/* The same of all that are prepared in a group, unless there is but one: each replica has them in
   memory, and they may come faster than their outcomes. */
#define SHARD_TXN_PREPARED_BYTES (2u * LIMIT_COMMAND_BYTES)
/* One request of them, in an entry. */
#define SHARD_TXN_REQUEST_BYTES (LIMIT_COMMAND_BYTES + LIMIT_ENTRY_BYTES)
/* What ROWS answers: it must fit into a message between nodes. */
#define SHARD_TXN_ROWS_BYTES (LIMIT_COMMAND_BYTES + LIMIT_VALUE_BYTES / 2u)
/* Keys that one locks. */
#define SHARD_TXN_LOCKS LIMIT_COMMAND_KEYS

/* ---- shard_keys.c ---------------------------------------------------------------------------- */

/* CORRUPT: no such argument; UNSUPPORTED: from a newer version. Of an OK one all parts can be read.
 */
MUST_CHECK enum status shard_txn_check(struct shard *s,
                                       const struct command *row,
                                       struct bytes argument);
/* The next command of a body, its arguments in s->body_args. */
MUST_CHECK enum status shard_read_body(struct shard *s,
                                       struct entry_reader *reader,
                                       struct entry_command *out_command,
                                       const struct command **out_row);
bool shard_each_work_key(struct shard *s, const struct txn_work *work, shard_key_fn fn, void *ctx);

/* ---- shard_grow.c ---------------------------------------------------------------------------- */

/* Some command may write more than its own size. The same on all replicas. */
bool shard_work_grows(struct shard *s, const struct txn_work *work);

/* ---- shard_exec.c ---------------------------------------------------------------------------- */

/* The commands of one body, run one after the other. Zeroed, then exec_init. */
struct exec {
    /* Given: */
    struct view *view;
    uint64_t now_ms;
    uint64_t seed;
    struct view_overlay *overlay; /* the view, if it is one: then what it writes is bounded */
    /* Taken: */
    struct buf replies;
    uint32_t reply_count;
    bool is_too_large;    /* some replies were left out: an error stands for each */
    bool writes_too_much; /* the rest did not run, and nothing of it may count */
    bool has_failed;      /* some handler answered with an error, this one first: */
    size_t error_at;
    size_t error_bytes;
};

void exec_init(struct exec *e, struct view *view, uint64_t now_ms, uint64_t seed);
void exec_deinit(struct exec *e);
/* False: the view says NEED. */
MUST_CHECK bool exec_run(struct shard *s, struct exec *e, const struct txn_work *work);
/* False: the view says NEED. Else what is not as it is compared with, if anything. */
MUST_CHECK bool exec_compare(struct view *view,
                             const struct txn_work *work,
                             bool *out_differs,
                             bool *out_is_watched);
static inline struct bytes exec_error(const struct exec *e)
{
    return bytes_of(e->replies.data + e->error_at, e->error_bytes);
}
/* Writes the answer as one RESP bulk. */
void exec_answer(struct shard *s, struct buf *reply, const struct txn_answer *answer);

#endif
