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

/* How far a state goes: the last entry in it, and the last configuration at or below it. */
struct replica_base {
    uint64_t index; /* 0: an empty state */
    uint64_t term;
    struct engine_config config;
};

struct replica_events {
    /*
     * The next committed entry with a command; in order, each index once per process. NEED: rows
     * are being read, and nothing of the entry was done; it comes again after replica_resume.
     */
    enum status (*apply)(void *owner, uint64_t index, struct bytes entry);
    /*
     * The rows of this generation are the group's state from here on: load what of it is kept in
     * memory, and say how far it goes (index 0: there are no rows of it). During replay, where it
     * may block, and after an install, for a generation that is_staged named.
     */
    enum status (*restore)(void *owner,
                           uint32_t generation,
                           struct replica_base *out_base,
                           struct error *error);
    /* True: exactly this state is here, complete and durable, in *out_generation. */
    bool (*is_staged)(void *owner, uint64_t index, uint64_t term, uint32_t *out_generation);
    /* Leader: that replica lacks entries which are gone here. Comes again, often, until it has
     * them.
     */
    void (*wants_install)(void *owner, uint64_t replica_id);
    /* After a batch of apply(), or when reads may have become ready: look at what waits. */
    void (*advanced)(void *owner);
    /* Leadership was won or lost, or its term changed: what was proposed before may be lost. */
    void (*leadership)(void *owner, bool is_leader);
    /* Who leads, as far as this node knows, has changed. */
    void (*leader_changed)(void *owner);
};

struct replica_options {
    uint16_t group;
    uint64_t id; /* of this replica in the group: replica_id_of */
    uint32_t election_timeout_ms;
    uint32_t heartbeat_ms;
    uint64_t trailing_bytes; /* applied entries kept in memory for slow followers; 0: the default */
    uint64_t payload_bytes;  /* applied entries kept at all, however few they are; 0: the default */
    uint64_t held_bytes;     /* replica_hold_entries: it ends above so many; 0: the default */
};

#define REPLICA_TRAILING_BYTES_DEFAULT (4u * MIB)
#define REPLICA_TRAILING_ENTRIES_MAX 4096u
#define REPLICA_PAYLOAD_BYTES_DEFAULT (64u * MIB)
#define REPLICA_HELD_BYTES_DEFAULT (64u * MIB)
#define REPLICA_HOLD_NONE UINT64_MAX

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
 * empty); it becomes entry 1. NULL: this replica is no founder; with an empty log it waits until a
 * leader adds it (MOVE-1). CORRUPT: log and state do not fit together.
 */
MUST_CHECK enum status replica_start(struct replica *r,
                                     const struct engine_config *founders,
                                     struct error *error);
/* No elections and no messages from here on; for a clean stop. */
void replica_stop(struct replica *r);

/* ---- state, log and memory ------------------------------------------------------------------- */

/* How far the applied state goes. */
void replica_base(const struct replica *r, struct replica_base *out_base);
/* What apply() lacked is at hand. */
void replica_resume(struct replica *r);
/* The state up to index is in the store: snapshots have it, entries leave the memory. */
void replica_folded(struct replica *r, uint64_t index);
/*
 * While a snapshot of the state at index travels: the entries from index on stay in memory (that
 * one for its term), or whoever gets the state would need another one at once. REPLICA_HOLD_NONE:
 * none travels. When the group's entries take more memory than options.held_bytes, no more is kept
 * than without it. Gives no event.
 */
void replica_hold_entries(struct replica *r, uint64_t index);
/* The state up to index is durable: a restart begins there, the log before it may go. */
void replica_synced(struct replica *r, uint64_t index);
uint64_t replica_synced_index(const struct replica *r);
/* Appends the record that each segment of the log has of each group (LOG-13). */
void replica_log_group(struct replica *r);
/*
 * Appends copies of the live entries above replica_synced_index that stand in batches up to this
 * one (LOG-12). False: one of them is not in memory any more; try again after the next sync.
 */
bool replica_relocate(struct replica *r, uint64_t batch_last);
/* True: entries of a leader are not taken, nor proposed; the disk is full. Heartbeats go on. */
void replica_set_full(struct replica *r, bool is_full);
/* Leader: base is now on that replica, staged. False: not the leader any more. */
bool replica_send_install(struct replica *r, uint64_t replica_id, const struct replica_base *base);
/* An INSTALL is in the log and restore() for it is still to come: the staged rows must stay. */
bool replica_is_installing(const struct replica *r);
/* The generation of the rows that are the state. */
uint32_t replica_generation(const struct replica *r);

/* ---- members --------------------------------------------------------------------------------- */

/*
 * Leader: one step from the configuration in force towards these replicas, each of another node
 * (members.h says which), if one can be taken now. Call it now and then, until it says true: they
 * are the members, all voters. INVALID: no step leads there safely.
 */
MUST_CHECK enum status replica_set_members(struct replica *r,
                                           const uint64_t *ids,
                                           unsigned count,
                                           bool *out_is_done);

/* ---- events ---------------------------------------------------------------------------------- */

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
/* Leader: all that was in its log when it became one, and its own first entry, are applied. */
bool replica_is_settled(const struct replica *r);
uint64_t replica_term(const struct replica *r);
uint64_t replica_leader(const struct replica *r); /* replica id; 0: unknown */
uint64_t replica_last_index(const struct replica *r);
uint64_t replica_commit_index(const struct replica *r);
/* Entries kept in memory, in bytes. */
uint64_t replica_memory(const struct replica *r);
/* Entries proposed or received and not applied yet: how many, and the bytes of their payloads. */
uint64_t replica_pending_count(const struct replica *r);
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
/*
 * Replica ids: the node's number, and how often that node has begun anew without what it knew: a
 * replica that comes back so is another one (MOVE-1).
 */
static inline uint32_t replica_node(uint64_t replica_id)
{
    return (uint32_t)(replica_id & 0xffffu);
}
static inline uint64_t replica_id_of(uint32_t node, uint32_t life)
{
    return ((uint64_t)life << 16) | node;
}

#endif
