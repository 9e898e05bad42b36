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

struct node;

struct node_options {
    const char *data_dir;       /* created if missing (not its parents) */
    const char *listen;         /* "host:port" for clients */
    uint64_t log_segment_bytes; /* 0: the default */
    uint64_t store_fold_rows;   /* rows gathered before the store takes them; 0: the default */
    uint64_t buffer_memory;     /* for input, replies and proposals; 0: the default */
    /* A static set of founders; NULL: a cluster of one, which opens no peer port. */
    const char *cluster;          /* peer addresses "h:p,h:p,…", the same list on each node */
    const char *peer_listen;      /* our own peer address, one of them */
    uint32_t groups;              /* data groups, at the first start; 0: the default */
    uint32_t election_timeout_ms; /* 0: the default; a follower waits one to two of these */
    uint32_t request_timeout_ms;  /* 0: the default */
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
/* Of a group that is here: digest of rows, duplicates and clocks at applied_index. Slow. */
uint64_t node_group_hash(const struct node *node, uint32_t group);

/*
 * Frees the memory; calls no env function. For a node that never started, was stopped, or whose env
 * is dead (after a halt or a simulated crash: no callback may follow). NULL is fine.
 */
void node_destroy(struct node *node);

#endif
