/*
 * Any command on any node: finds the group of a command's keys and the leader of the group, here or
 * elsewhere, and brings back the reply, through leader changes, within request_timeout_ms.
 *
 * Order (ORD-7): the commands of one stream take effect in the order submitted. The router overlaps
 * only a run: consecutive commands of the same kind (read, write) to the same group, sent as one
 * batch; the next run starts when the batch before it is answered. Parts of a command that spans
 * groups run concurrently with each other and with nothing else of their stream; SCANs that stand
 * for KEYS or RANDOMKEY run one after the other, each with the time-out of a whole command.
 *
 * Duplicates (DUP-1 to DUP-4): a write has a sequence in its group, without gaps, and keeps it over
 * retries; the mark that travels with every write says which are answered or given up. Giving up is
 * raising the mark: from the entry that carries it on, the request can never execute.
 */
#ifndef ROUTER_ROUTER_H
#define ROUTER_ROUTER_H

#include "base/stat.h"
#include "command/command.h"
#include "env/env.h"
#include "peer/peers.h"
#include "shard/shard.h"

#define ROUTER_REQUEST_TIMEOUT_MS_DEFAULT 5000u

/* Where slots and groups are. Fixed while the program runs, until placement moves groups. */
struct router_group {
    struct shard *shard;     /* NULL: this node holds no replica of it */
    struct replica *replica; /* the same */
    uint32_t node_count;     /* nodes that hold a replica */
    uint32_t nodes[ENGINE_MEMBERS_MAX];
};

struct router_options {
    uint32_t node; /* with incarnation: the front of request ids */
    uint32_t incarnation;
    uint32_t group_count;              /* groups 1 … group_count hold the slots, 0 the metadata */
    const struct router_group *groups; /* [0 … group_count]; borrowed for life */
    uint32_t request_timeout_ms;       /* 0: the default */
};

/* The order of one connection's commands. Caller's memory. */
struct router_stream {
    /* private */
    struct list queue;      /* struct router_request: not sent yet, in order */
    struct list dirty_link; /* in router.dirty or route.held; only while the queue has requests */
    uint32_t outstanding;   /* requests of the current run, or parts of the current command */
    uint32_t reads_max;     /* in the next run of reads */
    bool is_paused;         /* no run of reads starts */
};
void router_stream_init(struct router_stream *stream);

/* What became of a command; its reply says it in words. */
enum router_outcome {
    ROUTER_DONE,    /* its group answered: executed, or an error of the command */
    ROUTER_REFUSED, /* not executed, and it never will be (DUP-6) */
    ROUTER_UNKNOWN, /* may have been executed, or may be yet; or its reply is lost */
};

/* Caller's memory until done() was called. */
struct router_request {
    /* Given: */
    const struct command *command;
    const struct bytes *args; /* args[0] is the name; borrowed until router_submit returns */
    size_t arg_count;
    uint8_t resp;
    uint8_t database;
    struct router_stream *stream; /* lives until done() */
    struct buf *reply;            /* the reply is appended to it before done() */
    bool is_reading;              /* of a barrier: as a run of reads, it waits while paused */
    void (*done)(struct router_request *r);
    /* Set before done(): */
    enum router_outcome outcome;
    /* private */
    struct list link;          /* in stream->queue, or in router.finished, or unlinked */
    struct list deadline_link; /* in router.deadlines, once its run has started */
    uint64_t submitted_us;
    uint64_t deadline_us;
    struct router_task *task; /* the first part; NULL once answered */
    bool is_queued;
    bool is_barrier;
};

struct router;

struct router *router_create(struct env *env,
                             struct peers *peers,
                             struct stats *stats,
                             const struct router_options *options);
/* For a clean stop: no timer of it fires from here on, so nobody is answered who waits. */
void router_stop(struct router *r);
/* Memory only, no env call; its timers must be stopped, or env dead. NULL is fine. */
void router_destroy(struct router *r);

/* The group of a slot: contiguous ranges. */
uint32_t router_group_of_slot(const struct router *r, uint16_t slot);
/* The node that leads the group as far as this node knows; 0: unknown. */
uint32_t router_leader_of(const struct router *r, uint32_t group);

/*
 * A command that passed command_resolve and is not LOCAL. done() follows, never from inside this
 * call, and always, unless the router is destroyed first. Inside done() more may be submitted, also
 * to the same stream.
 */
void router_submit(struct router *r, struct router_request *request);
/* A command of this group, whatever its keys: of group 0 (metadata), or an internal one. */
void router_submit_to_group(struct router *r, uint32_t group, struct router_request *request);

/*
 * A place in the order of the stream, without a command: of the request only stream, done and
 * is_reading are given. done() comes when everything before it is answered; nothing behind it
 * starts before router_end_barrier, which may be called inside done(), and after which the stream
 * may end. The request is the caller's memory until then.
 */
void router_submit_barrier(struct router *r, struct router_request *request);
void router_end_barrier(struct router *r, struct router_request *request);

/*
 * Paused: no run of reads starts, nor a barrier for reads, as nobody takes their replies now.
 * Writes go on, and so does a read that was sent.
 */
void router_stream_pause(struct router *r, struct router_stream *stream, bool is_paused);

/* True: router_flush would begin to send something. */
bool router_is_ready(const struct router *r);
/* Sends what can be sent; at the end of each loop turn, before the shards' flush. */
void router_flush(struct router *r);
/*
 * Sends replies to other nodes; after the shards' flush, before peers_flush. If something became
 * ready to go only after router_flush, it has the loop turn once more.
 */
void router_flush_replies(struct router *r);

/* A MESSAGE_REQUESTS or MESSAGE_REPLIES from a peer. MALFORMED: not one; nothing of it was used. */
MUST_CHECK enum status router_received(struct router *r, uint32_t node, struct bytes message);
void router_connected(struct router *r, uint32_t node);
void router_disconnected(struct router *r, uint32_t node);
/* A group's leader or term changed as far as this node knows: waiting requests may go. */
void router_leader_changed(struct router *r, uint32_t group);

/* That process of another node is alive: it has sent requests, and was heard a moment ago. */
bool router_hears(const struct router *r, uint32_t node, uint32_t incarnation);

/* Memory that commands hold here (not in the shards). */
uint64_t router_memory(const struct router *r);

#endif
