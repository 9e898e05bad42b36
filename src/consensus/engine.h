/*
 * One Raft group member as a step machine: events go in, and terms, entries, messages and commits
 * come out through engine_events, during the call. No clock, no random source, no I/O, no threads.
 *
 * Behind it: libraft 0.22.1 (cowsql/raft), its raft_step core only, fenced by guards G1-G12 (the
 * table in engine_guards.h says which defect each keeps away). Nothing outside this file's .c and
 * the guards knows libraft, so that the engine can be exchanged.
 *
 * Algorithm: Ongaro, "Consensus: Bridging Theory and Practice" (Raft with pre-vote, single-server
 * membership changes, leadership transfer).
 */
#ifndef CONSENSUS_ENGINE_H
#define CONSENSUS_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"

#define ENGINE_MEMBERS_MAX 16u
/*
 * No snapshot ends before this: libraft takes entry 1 for present if a snapshot ends with it, and a
 * follower without any entry would never get one.
 */
#define ENGINE_SNAPSHOT_INDEX_MIN 2u

struct engine;

/* Append only: numbers are on disk and on the wire. */
enum engine_entry_kind {
    ENGINE_ENTRY_COMMAND = 1, /* for the state machine */
    ENGINE_ENTRY_BARRIER = 2, /* a new leader's first entry, no payload of ours */
    ENGINE_ENTRY_CHANGE = 3,  /* payload: a configuration, by engine_config_encode */
};

struct engine_entry {
    uint64_t term;
    enum engine_entry_kind kind;
    struct bytes payload; /* borrowed for the call */
};

struct engine_member {
    uint64_t id; /* > 0; a replica that is added again gets a new one (MOVE-1) */
    bool is_voter;
};

struct engine_config {
    uint64_t index; /* of the CHANGE entry that holds it */
    unsigned count;
    struct engine_member members[ENGINE_MEMBERS_MAX]; /* order matters: changes keep it */
};

/* Append only: numbers are on the wire. */
enum engine_message_type {
    ENGINE_APPEND = 1,
    ENGINE_APPEND_RESULT = 2,
    ENGINE_VOTE = 3,
    ENGINE_VOTE_RESULT = 4,
    ENGINE_INSTALL = 5,
    ENGINE_TIMEOUT_NOW = 6,
};

struct engine_message {
    enum engine_message_type type;
    uint64_t peer; /* sent: the receiver; received: the sender */
    uint64_t term;
    union {
        struct {
            uint64_t prev_index;
            uint64_t prev_term;
            uint64_t commit;
            uint32_t count;
            /* Sent: NULL, load prev_index+1 … +count from the own log, now. Received: set. */
            const struct engine_entry *entries;
        } append;
        struct {
            uint64_t rejected;
            uint64_t last_index;
        } append_result;
        struct {
            uint64_t last_index;
            uint64_t last_term;
            bool disrupt_leader;
            bool pre_vote;
        } vote;
        struct {
            bool granted;
            bool pre_vote;
        } vote_result;
        struct {
            uint64_t last_index;
            uint64_t last_term;
            struct engine_config config; /* as of last_index; sent: to be filled by the caller */
        } install;
        struct {
            uint64_t last_index;
            uint64_t last_term;
        } timeout_now;
    };
};

enum engine_role {
    ENGINE_FOLLOWER,
    ENGINE_CANDIDATE,
    ENGINE_LEADER,
};

/*
 * What a step brings about, called in this order of cause: hard_state before any message or entry
 * that depends on it. A callback may ask the engine about its state, but give it no event.
 */
struct engine_events {
    /* Must be durable before any message of this or a later step leaves (LOG-2). */
    void (*hard_state)(void *owner, uint64_t term, uint64_t vote);
    /*
     * Truncate the own log at index, if it is longer, then append these and write them. In-flight
     * writes at or above index are void: clamp what is reported to engine_persisted (LOG-14).
     */
    void (*append)(void *owner, uint64_t index, const struct engine_entry *entries, uint32_t count);
    /* May leave at once but for hard_state; m is borrowed. */
    void (*send)(void *owner, const struct engine_message *m);
    /* Grows only; everything up to index may be applied (up to the own log's durable end, LOG-3).
     */
    void (*commit)(void *owner, uint64_t index);
    /* Leader: the entries up to engine_last_index() now are its read barrier (READ-2). */
    void (*role)(void *owner, enum engine_role role);
    /*
     * The log is void; state up to last_index has to be fetched, made durable together with an
     * empty log, then engine_installed called. Cancel all completions of earlier writes.
     */
    void (*install)(void *owner,
                    uint64_t last_index,
                    uint64_t last_term,
                    const struct engine_config *config);
};

struct engine_options {
    uint64_t id;
    uint32_t election_timeout_ms; /* random in [1, 2] times this */
    uint32_t heartbeat_ms;
    uint32_t max_inflight; /* entries sent and not acknowledged, per follower */
    uint32_t seed;
};

/* What is durable, read back at start. */
struct engine_start {
    uint64_t term;
    uint64_t vote;
    /* The newest snapshot; snapshot_index 0: none. */
    uint64_t snapshot_index;
    uint64_t snapshot_term;
    struct engine_config snapshot_config;
    /* The log: first_index is 1 without a snapshot. Payloads matter only for CHANGE. */
    uint64_t first_index;
    const struct engine_entry *entries;
    size_t count;
};

struct engine *engine_create(const struct engine_options *options,
                             const struct engine_events *events,
                             void *owner);
void engine_destroy(struct engine *e);

/*
 * Before all others, once. An empty log without snapshot is a member that waits to be added. Guard
 * G4 lets a sole voter begin a new term here, so hard_state may come at once.
 * now_ms is monotonic everywhere. CORRUPT: what was read back cannot be.
 */
MUST_CHECK enum status engine_start(struct engine *e,
                                    uint64_t now_ms,
                                    const struct engine_start *start,
                                    struct error *error);

/*
 * Events. CORRUPT from any of them: this member's state contradicts the group's; the caller halts.
 * A message that makes no sense is dropped, and so is a result from a peer outside the
 * configuration; its requests are not, for the own log may not name the peer yet.
 */
MUST_CHECK enum status engine_receive(struct engine *e,
                                      uint64_t now_ms,
                                      const struct engine_message *m);
/* When now_ms >= engine_due_ms(e). */
MUST_CHECK enum status engine_tick(struct engine *e, uint64_t now_ms);
uint64_t engine_due_ms(const struct engine *e);
/* index: durable, of the log content that is current now. At or below an earlier one: ignored. */
MUST_CHECK enum status engine_persisted(struct engine *e, uint64_t now_ms, uint64_t index);
/* BUSY: not the leader, or handing over; nothing happened. Else append() was called with it. */
MUST_CHECK enum status engine_propose(struct engine *e,
                                      uint64_t now_ms,
                                      struct bytes payload,
                                      uint64_t *out_index);
/* For every CHANGE entry, when it is applied (committed), also again after a restart. */
MUST_CHECK enum status engine_config_applied(struct engine *e,
                                             uint64_t now_ms,
                                             uint64_t index,
                                             struct bytes payload);
/*
 * Proposes a configuration that differs in one member from the current one; its index is ignored.
 * BUSY: not the leader, or another change, promotion or transfer is under way, or no entry of the
 * leader's own term is committed yet (G11; it proposes a barrier if there is none): try again.
 * INVALID: more than one difference or none, or fewer than two voters would be left of two or more
 * (G4).
 */
MUST_CHECK enum status engine_change(struct engine *e,
                                     uint64_t now_ms,
                                     const struct engine_config *config,
                                     uint64_t *out_index);
/*
 * Moves leadership; pause proposals first and wait until engine_match(target) is the last index.
 * BUSY: it is not, or this is not the leader, or a transfer goes on. INVALID: target has no vote.
 * Give up after an election timeout: there is no event for a transfer that failed.
 */
MUST_CHECK enum status engine_transfer(struct engine *e, uint64_t now_ms, uint64_t target);
/*
 * A durable local snapshot at index >= ENGINE_SNAPSHOT_INDEX_MIN, applied and durable in the log.
 * The log keeps `trailing` entries before it, at least those that may be in flight (G3):
 * engine_log_offset.
 */
MUST_CHECK enum status engine_compacted(struct engine *e,
                                        uint64_t now_ms,
                                        uint64_t index,
                                        uint64_t term,
                                        const struct engine_config *config,
                                        uint32_t trailing);
MUST_CHECK enum status engine_installed(struct engine *e,
                                        uint64_t now_ms,
                                        uint64_t index,
                                        uint64_t term,
                                        const struct engine_config *config);

enum engine_role engine_role(const struct engine *e);
uint64_t engine_term(const struct engine *e);
uint64_t engine_vote(const struct engine *e);
uint64_t engine_leader(const struct engine *e); /* 0: unknown */
uint64_t engine_commit_index(const struct engine *e);
uint64_t engine_last_index(const struct engine *e);
uint64_t engine_log_offset(const struct engine *e); /* entries at or below it are not needed */
uint64_t engine_match(const struct engine *e, uint64_t peer); /* leader only */
/* The configuration in force (committed or not), as votes are counted; no members: none yet. */
void engine_config(const struct engine *e, struct engine_config *out_config);
/* Received messages that were dropped because no correct peer sends them, or not to us now. */
uint64_t engine_dropped(const struct engine *e);

/*
 * Bytes of a CHANGE entry: members only, its index is the entry's. Encoding needs 1 to
 * ENGINE_MEMBERS_MAX different members with a voter among them; decoding checks that (MALFORMED)
 * and leaves index 0.
 */
void engine_config_encode(const struct engine_config *config, struct buf *out);
MUST_CHECK enum status engine_config_decode(struct bytes payload, struct engine_config *out_config);

#endif
