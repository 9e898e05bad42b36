/*
 * One group's replica on this node: wires the engine to the node's log and to the peers.
 *
 * - Entries go to the log and to the followers at the same time; the leader counts itself when its
 *   own sync returned. Messages that depend on a term or vote wait for that record's sync (LOG-2).
 * - Entries are applied in order, once, when committed and durable here (LOG-3).
 * - The newest commit index goes to the log with the entries, so that a restart applies at once
 * what was known to be committed.
 */
#ifndef CONSENSUS_REPLICA_H
#define CONSENSUS_REPLICA_H

#include "base/stat.h"
#include "consensus/engine.h"
#include "consensus/message.h"
#include "consensus/rounds.h"
#include "env/env.h"
#include "log/log.h"
#include "peer/peers.h"

struct replica;

struct replica_events {
    /* The next committed entry with a command; in order, each index once per process. */
    enum status (*apply)(void *owner, uint64_t index, struct bytes entry);
    /* After a batch of apply(), or when reads may have become ready: look at what waits. */
    void (*advanced)(void *owner);
    /* Leadership was won or lost, or its term changed: what was proposed before may be lost. */
    void (*leadership)(void *owner, bool is_leader);
    /* Who leads, as far as this node knows, has changed. */
    void (*leader_changed)(void *owner);
};

struct replica_options {
    uint16_t group;
    uint64_t id; /* of this replica in the group: the node's number */
    uint32_t election_timeout_ms;
    uint32_t heartbeat_ms;
};

/* Borrows all pointers. owner is that of the events. */
struct replica *replica_create(struct env *env,
                               struct log *log,
                               struct peers *peers,
                               struct rounds *rounds,
                               const struct replica_options *options,
                               const struct replica_events *events,
                               void *owner);
/* Memory only. */
void replica_destroy(struct replica *r);

/* One record of this group from the log at start, in order. */
MUST_CHECK enum status replica_replay(struct replica *r,
                                      const struct log_record *record,
                                      struct bytes payload,
                                      struct error *error);
/*
 * After replay. founders: the first configuration, the same on all members (used if the log is
 * empty); it becomes entry 1.
 */
MUST_CHECK enum status replica_start(struct replica *r,
                                     const struct engine_config *founders,
                                     struct error *error);
/* No elections and no messages from here on; for a clean stop. */
void replica_stop(struct replica *r);

/* From the log: everything up to this batch is durable. */
void replica_durable(struct replica *r, uint64_t batch);
/* A MESSAGE_RAFT of this group, decoded. */
void replica_receive(struct replica *r,
                     const struct message_route *route,
                     const struct engine_message *m);

/* Proposes one entry; 0: not the leader, nothing happened. Else its index. */
uint64_t replica_propose(struct replica *r, struct bytes entry);

/*
 * A read that arrived now: true, and it may be answered when replica_confirmed() >= *out_round and
 * replica_applied() >= *out_index, as long as leadership() was not called since. False: not the
 * leader.
 */
bool replica_read_begin(struct replica *r, uint64_t *out_index, uint64_t *out_round);
uint64_t replica_confirmed(const struct replica *r);
uint64_t replica_applied(const struct replica *r);

bool replica_is_leader(const struct replica *r);
uint64_t replica_term(const struct replica *r);
uint64_t replica_leader(const struct replica *r); /* replica id; 0: unknown */
uint64_t replica_last_index(const struct replica *r);
uint64_t replica_commit_index(const struct replica *r);
/* Entries kept in memory, in bytes. */
uint64_t replica_memory(const struct replica *r);
/* Entries proposed or received and not applied yet, in bytes. */
uint64_t replica_pending_bytes(const struct replica *r);
/* True: another entry may be proposed without the window to the followers growing too long. */
bool replica_has_room(const struct replica *r);
/* The configuration in force. */
void replica_config(const struct replica *r, struct engine_config *out_config);

/* For rounds.c: what a probe asks, and what an answer brings. */
uint16_t replica_group(const struct replica *r);
uint64_t replica_id(const struct replica *r);
/* The term, if its record is durable here; else 0: it may not be spoken of yet (LOG-2). */
uint64_t replica_durable_term(const struct replica *r);
/* More rounds are confirmed. */
void replica_rounds_advanced(struct replica *r);
/* Replica ids are node numbers until replicas move (MOVE-1 will bring a table). */
static inline uint32_t replica_node(uint64_t replica_id)
{
    return (uint32_t)replica_id;
}

#endif
