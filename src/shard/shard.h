/*
 * One group's state machine on this node: gathers the writes of a loop turn into one log entry,
 * applies durable entries, answers reads.
 *
 * A write is answered after its entry is durable and applied. A read runs on the applied state,
 * after all earlier writes of its connection (ORD-7), and never shows a key that is due by the
 * leader's clock before an entry has decided its end (ORD-5).
 */
#ifndef SHARD_SHARD_H
#define SHARD_SHARD_H

#include "base/stat.h"
#include "command/command.h"
#include "env/env.h"
#include "log/log.h"
#include "shard/entry.h"
#include "shard/view_local.h"

/* The order of one connection's commands in one group. Caller's memory. */
struct shard_stream {
    /* private */
    uint64_t last_index; /* entry of its newest write, 0: none */
    struct list reads;   /* struct shard_request, waiting, in order of arrival */
};

void shard_stream_init(struct shard_stream *stream);

/* Caller's memory until done() was called. */
struct shard_request {
    /* Given: */
    const struct command *command;
    const struct bytes *args; /* args[0] is the name; borrowed until shard_submit returns */
    size_t arg_count;
    uint8_t resp;
    uint8_t database;
    struct request_id id;
    struct shard_stream *stream;           /* until done() */
    struct buf *reply;                     /* the reply is appended to it before done() */
    void (*done)(struct shard_request *r); /* must not submit: it may come within an entry */
    /* private */
    struct list link;        /* in shard.writes or shard.reads */
    struct list stream_link; /* of a waiting read: in stream->reads */
    uint64_t index;          /* the entry a write is in; the one a read waits for */
    struct bytes *kept_args; /* of a waiting read: one block of memory */
    size_t kept_bytes;
};

struct shard_options {
    uint16_t group;
};

/* Finished entries wait outside the log while it holds this much that is not durable. */
#define SHARD_LOG_BYTES_MAX (64u * MIB)
#define SHARD_ENTRY_BYTES_MAX (LIMIT_ENTRY_BYTES + 2u * LIMIT_COMMAND_BYTES)

struct shard {
    /* private */
    struct env *env;
    struct log *log;
    struct store *store;
    struct stats *stats;
    struct shard_options options;

    struct buf gathering;     /* entry under construction */
    uint32_t gathering_count; /* commands in it */
    uint64_t gathering_us;    /* when its first command came */
    struct list proposed;     /* struct proposed_entry, by index */
    struct list writes;       /* struct shard_request, in log order */
    struct list reads;        /* waiting, in order of arrival */
    uint64_t pending_bytes;   /* entries gathered or not applied yet */

    uint64_t index_last;    /* newest entry handed to the log */
    uint64_t index_applied; /* newest entry in the state */
    uint64_t term;

    /* State of the group, the same on all replicas at the same index. */
    uint64_t time_ms;    /* group time (ORD-4) */
    uint64_t operations; /* operation counter (ORD-3) */

    struct view_local apply_view;
    struct view_local read_view;
    struct buf scratch_reply; /* of entries nobody waits for */
    struct bytes *args;       /* of the command being applied */
    size_t args_capacity;
};

/* Borrows all pointers. */
void shard_init(struct shard *s,
                struct env *env,
                struct log *log,
                struct store *store,
                struct stats *stats,
                const struct shard_options *options);
/* Memory only; requests that wait are forgotten, not answered. */
void shard_deinit(struct shard *s);

/* One entry from the log at start, in order. */
MUST_CHECK enum status shard_replay(struct shard *s,
                                    const struct log_record *record,
                                    struct bytes payload,
                                    struct error *error);

/*
 * Runs a command with keys. True: it is done, the reply stands in r->reply and done() is not
 * called. False: done() follows, always, unless the node stops first.
 */
MUST_CHECK bool shard_submit(struct shard *s, struct shard_request *r);

/* Hands what has gathered to the log; at the end of each loop turn. */
void shard_flush(struct shard *s);

/* From the log: everything up to this batch is durable. Applies it and answers. */
void shard_durable(struct shard *s, uint64_t batch);

/* Memory that commands hold here and in the log. */
uint64_t shard_memory(const struct shard *s);

/* Proposed, but not applied yet: commands that would get no answer if the node stopped now. */
bool shard_is_busy(const struct shard *s);

#endif
