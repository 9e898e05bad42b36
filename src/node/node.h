/*
 * One whole node: identity, log, store, shards and the client server, wired over one env. The same
 * code runs as a process (main, on libuv) and in the simulator.
 */
#ifndef NODE_NODE_H
#define NODE_NODE_H

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

/*
 * Frees the memory; calls no env function. For a node that never started, was stopped, or whose env
 * is dead (after a halt or a simulated crash: no callback may follow). NULL is fine.
 */
void node_destroy(struct node *node);

#endif
