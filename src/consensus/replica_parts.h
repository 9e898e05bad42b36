/* What a replica is made of. Inside the room consensus only. */
#ifndef CONSENSUS_REPLICA_PARTS_H
#define CONSENSUS_REPLICA_PARTS_H

#include "consensus/replica.h"

/* One entry of the log, from index 1 on. They stay in memory until snapshots end that. */
struct kept_entry {
    uint64_t term;
    uint64_t batch; /* of the node's log; 0: it was there at the start */
    uint8_t *payload;
    uint32_t size;
    uint8_t kind; /* enum engine_entry_kind */
};

/* A message that depends on a term or vote which is not durable yet (LOG-2). */
struct held_message {
    struct list link;
    uint64_t batch; /* leaves when this one is synced */
    uint32_t node;
    enum peer_class class;
    struct buf bytes;
};

struct replica {
    struct env *env;
    struct log *log;
    struct peers *peers;
    struct rounds *rounds;
    struct replica_options options;
    const struct replica_events *events;
    void *owner;

    struct engine *engine; /* NULL before replica_start */
    struct kept_entry *entries;
    size_t entry_count; /* the index of the last one */
    size_t entry_capacity;
    uint64_t kept_bytes;

    uint64_t term; /* as far as the log was told */
    uint64_t vote;
    uint64_t state_batch;    /* of the newest record of term and vote */
    uint64_t state_since_ms; /* when that record was written */
    uint64_t quiet_until_ms; /* no candidacy before: votes take as long as our own record took */
    uint64_t batch_durable;
    uint64_t index_durable; /* LOG-3, LOG-14 */
    uint64_t log_since_ms;  /* the log moved on, or began to have something of ours */
    uint64_t log_bytes_max; /* while the node's log holds more, no entries are added */
    uint64_t index_commit;
    uint64_t index_commit_noted; /* in the log */
    uint64_t index_applied;
    uint64_t index_config; /* CHANGE entries up to here were reported back to the engine */
    uint64_t pending_bytes;

    enum engine_role role;
    bool role_changed;
    bool is_told_leader;
    uint64_t barrier; /* a new leader's last entry when it was elected (READ-2) */
    uint64_t leader_told;
    struct round_group round;

    struct list held; /* struct held_message, by batch */
    struct env_timer timer;
    uint64_t timer_due_ms; /* 0: not running */
    bool is_stopped;
    bool is_settling;
    struct buf scratch;
    struct engine_entry *loaded; /* scratch: entries of the append being sent */
    size_t loaded_capacity;
};

/* ---- replica_entries.c: the group's log in memory and in the node's log ---------------------- */

struct kept_entry *replica_entry(const struct replica *r, uint64_t index);
void replica_keep(struct replica *r, uint64_t term, uint8_t kind, struct bytes payload);
/* Entries from index on are replaced: their writes in flight prove nothing any more (LOG-14). */
void replica_truncate(struct replica *r, uint64_t index);
/* Hands a kept entry to the node's log. */
void replica_log_entry(struct replica *r, uint64_t index);
void replica_log_state(struct replica *r, uint64_t term, uint64_t vote);
/* With the entries goes what is known to be committed: a restart applies that at once. */
void replica_log_commit(struct replica *r);
/* Fills r->loaded with count entries from index `from` on; payloads are borrowed. */
void replica_load(struct replica *r, uint64_t from, uint32_t count);
/* Applies what is kept, in order, up to index. */
MUST_CHECK enum status replica_apply_up_to(struct replica *r, uint64_t index);

#endif
