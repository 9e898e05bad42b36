/*
 * One whole node: identity, log, store, shards and the client server, wired over one env. The same
 * code runs as a process (main, on libuv) and in the simulator.
 */
#ifndef NODE_NODE_H
#define NODE_NODE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "env/env.h"
#include "txn/txn.h"

#define NODE_OS_BYTES 256u

struct node;
struct store_engine;

/* What INFO shows of the process that the node runs in. */
struct node_process {
    int64_t id;
    char os[NODE_OS_BYTES];      /* "Linux 6.1.0 x86_64" */
    uint64_t machine_bytes;      /* memory of the machine */
    uint64_t resident_bytes;     /* memory of the process */
    uint64_t resident_bytes_max; /* since its start */
    uint64_t user_us;            /* processor time of all threads */
    uint64_t system_us;
};

struct node_options {
    const char *data_dir;       /* created if missing (not its parents) */
    const char *listen;         /* "host:port" for clients */
    uint64_t log_segment_bytes; /* 0: the default */
    uint32_t log_segments;      /* more than these make the state durable, then go; 0: default */
    uint64_t store_fold_rows;   /* rows gathered before the store takes them; 0: the default */
    uint64_t store_fold_bytes;  /* or bytes; 0: the default */
    uint64_t cache_memory;      /* for rows and blocks of the store; 0: the default */
    uint64_t buffer_memory;     /* for input, replies and proposals; 0: the default */
    uint64_t trailing_bytes;    /* of a group's entries, kept for slow followers; 0: the default */
    uint64_t payload_bytes;     /* of those, kept at all; 0: by buffer_memory and groups */
    uint64_t snapshot_rate;     /* bytes a second; 0: the default */
    uint64_t snapshot_chunk_bytes; /* 0: the default */
    uint64_t disk_reserve;         /* writes are refused when less is free; 0: the default */
    /*
     * Opens the engine of the store; NULL: RocksDB in DIR/store. Called once by node_start, after
     * DIR is locked.
     */
    enum status (*open_engine)(void *ctx,
                               const char *data_dir,
                               struct store_engine **out_engine,
                               struct error *error);
    void *open_engine_ctx;
    /*
     * What the engine holds does not outlive the process: the state is rebuilt from the log, which
     * is never freed; entries stay in memory, and no snapshots are sent or taken.
     */
    bool is_store_volatile;
    /* A static set of founders; NULL: a cluster of one, which opens no peer port. */
    const char *cluster;          /* peer addresses "h:p,h:p,…", the same list on each node */
    const char *peer_listen;      /* our own peer address, one of them */
    uint32_t groups;              /* data groups, at the first start; 0: the default */
    uint32_t election_timeout_ms; /* 0: the default; a follower waits one to two of these */
    uint32_t request_timeout_ms;  /* 0: the default */
    /* NULL: nothing is known of the process (INFO). */
    void (*describe_process)(struct node_process *out);
    /* A client said SHUTDOWN: calls node_stop. At the end of a turn. NULL: it is refused. */
    void (*stop_wanted)(void *owner);
    void *stop_wanted_owner;
    bool is_expiry_off; /* keys that are due stay until somebody asks for them */
};

/* What this node knows of one of its groups, for tests and tools. */
struct node_group {
    bool is_here; /* a replica of it is on this node; else nothing below is set */
    bool is_leader;
    uint64_t term;
    uint32_t leader; /* node number; 0: unknown */
    uint64_t last_index;
    uint64_t commit_index;
    uint64_t applied_index;
    uint64_t synced_index; /* the state up to here is durable without the log */
    uint64_t replica_id;
    bool is_voter;   /* this replica votes, by the configuration in force as it knows it */
    uint32_t voters; /* in that configuration */
    uint32_t learners;
    uint64_t prepared;    /* transactions over groups whose outcome is open here */
    uint64_t txn_records; /* of transactions, in any state */
    /* It votes by a committed configuration, and no other replica comes or goes. */
    bool is_settled;
};

/* What a node did with its disk since the start, for tests and tools. */
struct node_disk_stats {
    uint64_t segments; /* of the log, now */
    uint64_t segments_released;
    uint64_t snapshots_sent;
    uint64_t snapshots_taken;
    uint64_t snapshots_failed;
    uint32_t snapshots_sending; /* now */
    uint32_t snapshots_taking;
};

/* Allocates only; no env call. The options' strings are borrowed for the node's life. */
struct node *node_create(struct env *env, const struct node_options *options);

/*
 * Opens DIR, replays the log, listens. Blocking file calls, so call it before the loop runs. On
 * error (hint in the text) the node may only be destroyed.
 */
MUST_CHECK enum status node_start(struct node *node, struct error *error);

/*
 * Closes the listener's connections, syncs the log and its end mark; then stopped(owner) is called
 * on the loop. Commands without an answer by then get none.
 */
void node_stop(struct node *node, void (*stopped)(void *owner), void *owner);

/* Groups of the cluster, with the metadata group; 0 before it is formed. */
uint32_t node_group_count(const struct node *node);
void node_group(const struct node *node, uint32_t group, struct node_group *out_group);
/* Of a group led here: transactions it is prepared for that this node coordinates; slow. */
uint64_t node_group_prepared_of(const struct node *node, uint32_t group, uint32_t coordinator);
/* What the replica here has recorded of a transaction; NONE, too, where there is no replica. */
enum txn_state node_group_txn_state(const struct node *node,
                                    uint32_t group,
                                    const struct txn_id *id);
/* Transactions over groups that this node coordinates, for tests; see txn_each_own. */
void node_each_txn(const struct node *node,
                   void (*fn)(void *ctx, const struct txn_shown *shown),
                   void *ctx);
/* Zeros before the start. */
void node_disk_stats(const struct node *node, struct node_disk_stats *out_stats);
/* Segments of the log there are now. */
uint64_t node_log_segments(const struct node *node);
/* Writes are refused for lack of disk space. */
bool node_is_out_of_space(const struct node *node);
/* Snapshots of groups taken from others since the start. */
uint64_t node_snapshots_taken(const struct node *node);
/*
 * For a node that does not run, whose log or store is damaged: moves both aside (DIR/damaged.N) and
 * makes what starts next another replica, which the other nodes fill (LOG-7, MOVE-1). Blocking.
 * INVALID: a cluster of one has nobody to be filled from, and of two the other one is no majority.
 * After an error, and after a crash, it may be called again; until it is done the node refuses to
 * start, or is as it was.
 */
MUST_CHECK enum status node_rebuild(struct env *env, const char *data_dir, struct error *error);

/* Of a group that is here: digest of rows, duplicates and clocks at applied_index. Slow. */
uint64_t node_group_hash(const struct node *node, uint32_t group);

/*
 * Frees the memory; calls no env function. For a node that never started, was stopped, or whose env
 * is dead (after a halt or a simulated crash: no callback may follow). NULL is fine.
 */
void node_destroy(struct node *node);

#endif
