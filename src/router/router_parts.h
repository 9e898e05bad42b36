/* What a router is made of. Inside the room router only. */
#ifndef ROUTER_ROUTER_PARTS_H
#define ROUTER_ROUTER_PARTS_H

#include "command/scan.h"
#include "router/router.h"
#include "router/router_cut.h"
#include "router/router_forward.h"

/* While requests wait: how often deadlines, back-offs and resends are looked at. */
#define ROUTER_TICK_MS 20u
/* Nobody knows the leader, or it cannot be reached: wait, each time twice as long. */
#define ROUTER_BACKOFF_MS_MIN 20u
#define ROUTER_BACKOFF_MS_MAX 200u
/* Refusals that name another leader are followed at once so often, then there is a back-off. */
#define ROUTER_HINTS_MAX 3u
/* A batch without an answer is sent again after this time, then after twice as much, and so on. */
#define ROUTER_RESEND_MS 1000u
#define ROUTER_RESEND_DOUBLINGS_MAX 3u
/* Bytes of one run, unless a single command is larger: it becomes one entry or two. */
#define ROUTER_BATCH_BYTES_MAX LIMIT_ENTRY_BYTES
/* Reads of one run: twice as many each time, until they are put back; then from the least again. */
#define ROUTER_RUN_READS_MIN 16u
#define ROUTER_RUN_READS_FIRST 512u
#define ROUTER_RUN_READS_MAX LIMIT_PIPELINE_COMMANDS
/* Rounds of one router_flush: what becomes ready later has another turn. */
#define ROUTER_FLUSHES_MAX 4u
/* A message that has grown beyond this leaves before the end of the turn. */
#define ROUTER_MESSAGE_BYTES (4u * MIB)
/* Commands of one peer that run here; what comes beyond it is refused. */
#define ROUTER_SERVED_BYTES_MAX (64u * MIB)
/* Encoded command, the largest that passes the limits of clients. */
#define ROUTER_COMMAND_BYTES_MAX                                                                   \
    (ENTRY_COMMAND_HEADER_BYTES + LIMIT_COMMAND_BYTES + 4u * LIMIT_ARGUMENTS)
/* Larger replies do not fit a message between nodes. */
#define ROUTER_REPLY_BYTES_MAX (PEER_MESSAGE_BYTES_MAX / 2)

/* Nothing was heard of a process for so long: perhaps it is dead. Above PEER_KEEPALIVE_MS. */
#define ROUTER_HEARD_MS 1200u

#define ROUTER_BUCKETS 4096u
/* Kept for the next commands: so many tasks and served requests, with buffers of at most this. */
#define ROUTER_FREE_MAX 4096u
#define ROUTER_COMMAND_BYTES_KEPT 1024u
#define ROUTER_REPLY_BYTES_KEPT 256u

/* SCANs of a KEYS, and of a RANDOMKEY: they look at so many keys each. */
#define ROUTER_SWEEP_KEYS SCAN_KEYS_MAX
#define ROUTER_RANDOM_KEYS 16u

/*
 * A command that is answered by SCANs of one group after the other. It belongs to the task of the
 * step under way.
 */
struct sweep {
    uint64_t cursor; /* of that step */
    uint64_t begin;  /* of the first one: RANDOMKEY ends there, when it comes around */
    bool has_wrapped;
    struct buf pattern; /* of KEYS */
    size_t count;       /* keys found so far */
    struct buf keys;    /* as they stand in the reply */
};

/* How the replies of a command's parts become one. */
struct split {
    struct router_cut cut;
    uint32_t waiting; /* parts without an answer */
    uint64_t bytes;   /* of the replies so far; beyond what a reply may have they are dropped */
};

/* One encoded command for one group: a whole command of a client, or one part of it. */
struct router_task {
    struct list link;      /* in batch->tasks, or in router.free_tasks */
    struct list all_link;  /* in router.all_tasks */
    struct list open_link; /* in route.open: a write from its sequence to its answer */
    struct router *router;
    struct router_request *request; /* NULL: given up, but the shard here still holds it */
    struct router_batch *batch;     /* NULL: not dispatched yet, or answered */
    struct router_task *next_part;
    struct split *split; /* of the first part of several; else NULL */
    struct sweep *sweep; /* of a step of KEYS or RANDOMKEY; else NULL */
    struct route *route;
    uint64_t sequence; /* of a write, once dispatched */
    uint32_t item;     /* its place in the current attempt */
    bool is_write;
    bool is_sent;     /* the current attempt has it, and its fate is open */
    bool is_possible; /* an earlier attempt may have proposed it */
    bool is_answered; /* a read with its reply, held back until those before it are answered */
    bool is_in_shard; /* the shard here has it */
    uint64_t charged; /* its share of router.memory */
    struct buf bytes;
    struct buf reply;
    struct shard_request shard;
};

enum batch_state {
    BATCH_STATE_WAITING, /* in route.waiting: for a leader, or for its next attempt */
    BATCH_STATE_LOCAL,   /* in the shard here */
    BATCH_STATE_STAGED,  /* in peer.staged: in a message that was not given to peers yet */
    BATCH_STATE_REMOTE,  /* in router.in_flight */
    BATCH_STATE_FAILED,  /* in router.failed: was remote, its message is still being read */
};

/* A run under way, and its attempt: commands to one group that travel together. */
struct router_batch {
    struct list link; /* by state; or in router.free_batches */
    struct list all_link;
    struct list bucket_link; /* in router.buckets while remote */
    struct route *route;
    struct list tasks;   /* not answered, in order */
    struct list *cursor; /* in tasks: the one last answered of this attempt, or the head */
    enum batch_state state;
    bool has_failed;      /* a task of this attempt was refused or lost */
    bool is_full;         /* … because enough was replied for a turn */
    bool is_out_of_space; /* a write of this attempt was refused so: none behind it is submitted */
    bool is_submitting;   /* inside the loop over shard_submit */
    uint64_t attempt;     /* its number, if remote: replies to older ones are not for it */
    uint32_t target;      /* node of the attempt */
    uint32_t in_shard;    /* tasks that the shard here has */
    unsigned resends;     /* attempts that nobody answered in time */
    uint64_t due_us;      /* of a remote one: when it is sent again */
};

/* What this node knows of one group. */
struct route {
    uint32_t group;
    const struct router_group *where;
    uint64_t sequence_last;
    struct list open;         /* struct router_task by sequence: not answered, not given up */
    struct list held;         /* struct router_stream.dirty_link: the window is full */
    struct list waiting;      /* struct router_batch */
    struct list waiting_link; /* in router.waiting_routes */
    uint32_t hint;            /* node that others say leads; 0: none */
    uint32_t hints_followed;
    uint32_t probe;      /* without a replica here: the member that is asked next */
    uint32_t backoff_ms; /* the last one; 0: none since the last success */
    uint64_t retry_us;   /* nothing is dispatched before; 0: at once */
};

struct router_peer {
    struct list staged;      /* struct router_batch */
    struct list staged_link; /* in router.staged_peers */
    struct buf requests;
    struct list replies_link; /* in router.replying_peers */
    struct buf replies;
    uint32_t node;
    uint32_t incarnation; /* of the newest message with requests */
    uint32_t heard;       /* the same, of this connection; 0: none came yet */
    uint64_t served_bytes;
};

struct router {
    struct env *env;
    struct peers *peers;
    struct stats *stats;
    struct router_options options;
    struct route *routes;           /* [0 … group_count] */
    struct router_peer *peer_table; /* [0 … PEER_NODES_MAX] */

    struct list dirty;          /* struct router_stream: may start their next run */
    struct list resting;        /* the same, from the next turn on: their reads were put back */
    struct list waiting_routes; /* struct route with batches that wait */
    struct list staged_peers;
    struct list replying_peers;
    struct list in_flight; /* struct router_batch, remote, soonest resend first */
    struct list failed;
    struct list buckets[ROUTER_BUCKETS]; /* remote batches by attempt */
    struct list deadlines;               /* struct router_request, started, soonest first */
    struct list finished;                /* struct router_request: done() is due */
    uint64_t attempt_last;
    uint64_t chain_last; /* of shard_request.chain: each attempt that runs here has its own */
    uint64_t memory;
    unsigned depth;           /* of public calls; done() is called when the outermost one ends */
    bool has_barrier_up;      /* in this flush: its owner has submitted, perhaps */
    bool has_served_failed;   /* a served request was refused or lost, see router_serve.c */
    bool has_served_no_space; /* … or refused as the disks are full */
    struct env_timer tick;    /* runs while there are deadlines */
    struct env_timer wake;    /* asks for another turn */
    bool is_ticking;
    bool is_waking;
    bool is_stopped;

    struct list all_tasks;
    struct list all_batches;
    struct list all_served;
    struct list free_tasks;
    struct list free_batches;
    struct list free_served;
    size_t free_task_count;
    size_t free_served_count;

    struct bytes *args; /* scratch */
    size_t args_capacity;
    uint32_t *part_of_group; /* scratch [group_count + 1], zeros between calls */
};

/* router.c */
void router_enter(struct router *r);
/* Asks for another turn. */
void router_wake(struct router *r);
void router_leave(struct router *r);
struct bytes *router_args(struct router *r, size_t count);
/* Its run starts: from now on it may time out. */
void router_start_deadline(struct router *r, struct router_request *request, bool has_leader);
/* Where SCAN goes. */
uint32_t router_group_of_cursor(const struct router *r, uint64_t cursor);
/* done() is due. The reply is complete. */
void router_finish_request(struct router *r, struct router_request *request);
/* command: the request's, or of a sweep SCAN. */
struct router_task *router_task_create(struct router *r,
                                       struct router_request *request,
                                       const struct command *command,
                                       struct route *route,
                                       const struct bytes *args,
                                       size_t arg_count);
/* Also of one that the shard here has: then it goes when it comes back. */
void router_task_release(struct router_task *t);
void router_task_charge(struct router_task *t);
void router_parts_release(struct router_request *request);
void router_send_replies(struct router *r, struct router_peer *peer);
void router_drop_replies(struct router *r, struct router_peer *peer);

/* router_split.c */
/* Encodes the parts of a command over several groups, or finishes it with an error. */
bool router_split(struct router *r, struct router_request *request);
/* The same command for all groups of data. */
void router_split_all(struct router *r, struct router_request *request);
void router_split_destroy(struct split *split);
/* Keeps the part's reply for the merge. */
void router_part_answered(struct router_task *t);
/* Writes request->reply from those of the parts. */
void router_merge(struct router_request *request);
/* A part's reply is no answer to this command: from a node with another idea of it. */
void router_write_unexpected(struct router_request *request);
/* Of an answered part that writes: it may have been executed, whatever became of the others. */
bool router_part_is_possible(const struct router_task *t);

/* router_sweep.c */
void router_sweep_begin(struct router *r, struct router_request *request);
/*
 * Takes the reply of a step, whose task has left its batch. True: request->task is the next step.
 * False: request->reply is written.
 */
bool router_sweep_goes_on(struct router_request *request);
void router_sweep_destroy(struct sweep *sweep);

/* router_stream.c */
/* The router's own word for it: UNKNOWNRESULT. */
bool router_is_unknown(struct bytes reply);
void router_stream_changed(struct router *r, struct router_stream *stream);
void router_stream_start(struct router *r, struct router_stream *stream);
/* Reads of a run that did not run go back to the front of their stream, in order. */
void router_stream_return(struct router *r, struct router_batch *b);
/* The task has its reply: takes it out of its batch and of the open writes. */
void router_task_answered(struct router_task *t);
/* No answer in time. */
void router_give_up(struct router *r, struct router_request *request);
/* All sequences of the group up to it are answered or given up. */
uint64_t router_mark(const struct route *route);

/* router_batch.c */
struct router_batch *router_batch_create(struct router *r, struct route *route);
void router_batch_dispatch(struct router *r, struct router_batch *b);
/* A leader is known that could be asked now. */
bool router_has_leader(struct router *r, struct route *route);
/* After tasks left it: delivers what is no longer held back, and ends or retries the batch. */
void router_batch_settle(struct router *r, struct router_batch *b);
void router_dispatch_waiting(struct router *r);
void router_send_staged(struct router *r);
void router_resend_overdue(struct router *r, uint64_t now_us);
void router_receive_replies(struct router *r, uint32_t node, struct forward_reader *reader);

/* router_check.c */
/* True if a shard may have it: what command_resolve checks at a gateway, and whose it is. */
bool router_is_good(struct router *r,
                    const struct router_peer *peer,
                    uint32_t group,
                    struct bytes command);

/* router_serve.c */
void router_serve(struct router *r, uint32_t node, struct forward_reader *reader);
void router_serve_destroy(struct router *r);

static inline bool router_is_member(const struct route *route, uint32_t node)
{
    for (uint32_t i = 0; i < route->where->node_count; i++) {
        if (route->where->nodes[i] == node) {
            return true;
        }
    }
    return false;
}

#endif
