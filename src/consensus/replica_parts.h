/* What a replica is made of. Inside the room consensus only. */
#ifndef CONSENSUS_REPLICA_PARTS_H
#define CONSENSUS_REPLICA_PARTS_H

#include "base/limits.h"
#include "consensus/replica.h"

/*
 * Entries sent and not acknowledged, per follower; one entry is a loop turn's proposals. Guard G3
 * keeps as many in memory whatever their size, so not more than a pipeline needs.
 */
#define INFLIGHT_ENTRIES_MAX 64u
#define SCRATCH_BYTES_KEPT (2u * MIB)
#define FOUNDERS_TERM 1u

/* One entry of the group's log. */
struct kept_entry {
    uint64_t term;
    uint64_t batch; /* of the node's log, the newest that holds it; 0: it was there at the start */
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

/* A copied entry that was read below all others, and not next to them (LOG-12). */
struct aside_entry {
    uint64_t index;
    struct kept_entry entry;
};

/* What is needed while the log is read. */
struct replay {
    bool is_restored;          /* events.restore was called: the generation is known */
    bool is_placed;            /* an entry was read: the next ones are contiguous */
    uint64_t index_restored;   /* how far the state went that was found */
    struct aside_entry *aside; /* by index */
    size_t aside_count;
    size_t aside_capacity;
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

    /* Entries first … last, in memory; none: last is first - 1. A ring, by index. */
    struct kept_entry *entries;
    uint64_t entry_first;
    uint64_t entry_last;
    uint64_t entry_capacity; /* a power of two */
    uint64_t payload_first;  /* older ones, which the store has, are without their payload */
    uint64_t kept_bytes;
    struct replay replay;

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
    uint64_t index_config;    /* CHANGE entries up to here were reported back to the engine */
    uint64_t index_folded;    /* the store has the state up to here */
    uint64_t index_compacted; /* the engine was told so */
    uint64_t index_held;      /* entries from it on stay in memory, if they are not too many */
    uint64_t pending_bytes;
    bool is_waiting; /* apply() lacks rows: replica_resume */
    bool is_full;    /* the disk is */

    uint32_t generation;
    /*
     * Where the applied term or configuration changed, oldest first: each holds from its index on.
     * The first one is at or below the durable state, and what the engine was told of.
     */
    struct replica_base *marks;
    size_t mark_count;
    size_t mark_capacity;
    struct replica_base synced;

    /* A snapshot takes the place of the log: until its record is durable. */
    bool is_installing;
    uint32_t install_generation;
    uint64_t install_batch;
    struct replica_base install;

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

static inline uint64_t replica_now_ms(struct replica *r)
{
    return env_now_us(r->env) / 1000;
}

static inline bool replica_state_is_durable(const struct replica *r)
{
    return r->state_batch <= r->batch_durable;
}

/* ---- replica_entries.c: the group's log in memory and in the node's log ---------------------- */

struct kept_entry *replica_entry(const struct replica *r, uint64_t index);
bool replica_has_entry(const struct replica *r, uint64_t index);
void replica_keep(struct replica *r, uint64_t term, uint8_t kind, struct bytes payload);
/* Takes the entry in front of the others, or as the only one, at index. */
void replica_keep_front(struct replica *r, uint64_t index, const struct kept_entry *entry);
/* Entries from index on are replaced: their writes in flight prove nothing any more (LOG-14). */
void replica_truncate(struct replica *r, uint64_t index);
/* Entries up to index, which are applied, leave the memory. */
void replica_drop(struct replica *r, uint64_t index);
/* Payloads of entries before index, which are applied, leave it; what they were of stays. */
void replica_drop_payloads(struct replica *r, uint64_t index);
/* No entry is left; the next one is at index. */
void replica_void(struct replica *r, uint64_t index);
uint64_t replica_log_record(struct replica *r,
                            enum log_kind kind,
                            uint64_t term,
                            uint64_t index,
                            struct bytes payload);
/* Hands a kept entry to the node's log. */
void replica_log_entry(struct replica *r, uint64_t index);
/* The same for a copy (LOG-12). */
void replica_log_copy(struct replica *r, uint64_t index);
void replica_log_state(struct replica *r, uint64_t term, uint64_t vote);
/* With the entries goes what is known to be committed: a restart applies that at once. */
void replica_log_commit(struct replica *r);
/* Fills r->loaded with count entries from index `from` on; payloads are borrowed. */
void replica_load(struct replica *r, uint64_t from, uint32_t count);
/* Applies what is kept, in order, up to index. NEED: not all of it, rows are missing. */
MUST_CHECK enum status replica_apply_up_to(struct replica *r, uint64_t index);

/* ---- replica_state.c: what is applied, folded, durable --------------------------------------- */

/* The state is this one; nothing before it is known. */
void replica_state_begin(struct replica *r, const struct replica_base *base);
/* Entry index is about to count as applied. CORRUPT: it is no configuration. */
MUST_CHECK enum status replica_state_advance(struct replica *r,
                                             uint64_t index,
                                             const struct kept_entry *e);
/* The state at index, which is applied and not below what is durable. */
void replica_state_at(const struct replica *r, uint64_t index, struct replica_base *out_base);
/* Whether the engine may be told of a fold, and telling it. */
bool replica_can_compact(const struct replica *r);
MUST_CHECK enum status replica_compact(struct replica *r);
/* While the log is read: what is in the store, beyond what followers may lack. */
void replica_drop_trailing(struct replica *r, uint64_t index);

/* ---- replica_install.c: a snapshot in the log's place ---------------------------------------- */

void replica_install_begin(struct replica *r,
                           uint64_t index,
                           uint64_t term,
                           const struct engine_config *config);
/* Its record is durable. */
MUST_CHECK enum status replica_install_end(struct replica *r, struct error *error);

/* ---- replica_records.c: bytes of GROUP and INSTALL records ----------------------------------- */

#define GROUP_RECORD_VERSION 1u
#define GROUP_RECORD_BYTES 40u /* and the configuration, if there is one */

struct group_record {
    uint32_t generation;
    uint64_t replica_id;
    struct replica_base base;
};

void group_record_encode(const struct group_record *g, struct buf *out);
/* MALFORMED: not one. UNSUPPORTED: of a newer version. */
MUST_CHECK enum status group_record_decode(struct bytes payload, struct group_record *out_record);

/* ---- replica_replay.c ------------------------------------------------------------------------ */

/* The log has been read: entries, state and bounds fit together. */
MUST_CHECK enum status replica_replay_end(struct replica *r, struct error *error);
/* What replay_end has not taken over. */
void replica_replay_deinit(struct replica *r);

/* ---- replica_step.c: the engine's steps, and what they bring --------------------------------- */

extern const struct engine_events replica_engine_events;

/* After every step of the engine: what it decided becomes visible, until nothing is left. */
void replica_settle(struct replica *r, enum status status);
/* False: it was dropped, and Raft repeats what matters. */
bool replica_send(struct replica *r, const struct engine_message *m);
void replica_send_held(struct replica *r);
void replica_held_destroy(struct held_message *h);
void replica_timer_fired(struct env_timer *timer);
bool replica_is_sole_voter(const struct replica *r);

#endif
