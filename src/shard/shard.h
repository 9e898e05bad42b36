/*
 * One group's state machine on this node: gathers the writes of a loop turn into one log entry,
 * proposes it, applies committed entries, answers reads.
 *
 * A write is answered after its entry is committed and applied. A read is answered after the
 * leadership was confirmed by a quorum asked after its arrival, and everything committed by then is
 * applied (READ-1, READ-2); reads are answered in the order they came. A read never shows a key
 * that is due by the leader's clock before an entry has decided its end (ORD-5).
 */
#ifndef SHARD_SHARD_H
#define SHARD_SHARD_H

#include "base/stat.h"
#include "command/command.h"
#include "consensus/replica.h"
#include "env/env.h"
#include "shard/dup.h"
#include "shard/entry.h"
#include "shard/txn_record.h"
#include "shard/view_local.h"

enum shard_verdict {
    SHARD_DONE,     /* the reply is complete */
    SHARD_REFUSED,  /* not the leader: it was not proposed by this call, and never will be */
    SHARD_LOST,     /* a write whose fate this node will not learn: ask again with the same id */
    SHARD_FULL,     /* a read that did not run: this turn's replies are enough, ask again later */
    SHARD_NO_SPACE, /* a write: the disks of too many replicas are full; it was not proposed by this
                       call, and never will be */
};

/* Reads answer with at most this much in a loop turn, and one reply more. */
#define SHARD_TURN_REPLY_BYTES (4u * MIB)

/* Caller's memory until done() was called. */
struct shard_request {
    /* Given: */
    struct bytes bytes; /* the command by entry_append, its mark current; borrowed until done() */
    struct buf *reply;  /* the reply is appended to it before done() with SHARD_DONE */
    /* Must not submit: it may come within an entry. */
    void (*done)(struct shard_request *r, enum shard_verdict verdict);
    uint64_t
        chain; /* given; 0: none: those of one chain keep their order when one of them is held */
    /* private */
    struct list link;         /* in a proposal's writes, in shard.reads or in shard.hold */
    struct request_id id;     /* of a write */
    uint64_t index;           /* the entry a write is in; the read point of a read */
    uint64_t round;           /* of a read: what the replica has to have confirmed */
    uint64_t proposal;        /* of a read: it waits for an expiry, proposed with this number */
    struct read_fetch *fetch; /* of a read: it waits for rows; else NULL */
    bool has_missed;          /* of a read: rows were not at hand before */
    uint64_t vote;            /* of a read of a whole database: it waits for votes up to it */
    uint64_t age_ms;          /* of a PREPARE that is held: its transaction's time; else 0 */
};

struct shard_options {
    uint16_t group;
    /* Slots whose keys are the group's: slot_first <= slot < slot_end. */
    uint32_t slot_first;
    uint32_t slot_end;
    /* Who leads has changed, as far as this node knows. May be NULL. */
    void (*leader_changed)(void *owner, uint32_t group);
    /* True: too many replicas of the group have no disk space: writes are refused. May be NULL. */
    bool (*is_out_of_space)(void *owner, uint32_t group);
    void *owner;
    /* Keys that are due are deleted unasked while it says so; read each time. NULL: never. */
    const bool *is_expiring;
    /* A look for such keys ends after this time, but not before one is found; 0: no limit. */
    uint64_t expiry_look_us;
    struct snapshots *snapshots; /* NULL: no snapshot is ever sent or taken */
};

#define SHARD_ENTRY_BYTES_MAX (LIMIT_ENTRY_BYTES + 2u * LIMIT_COMMAND_BYTES)

struct shard;

/* Borrows all pointers. */
struct shard *shard_create(struct env *env,
                           struct store *store,
                           struct stats *stats,
                           const struct shard_options *options);
/* Memory only, when no job of the store runs or env is dead; requests that wait are not answered.
 */
void shard_destroy(struct shard *s);

/* What the replica calls, with the shard as owner; then shard_attach it before anything else. */
const struct replica_events *shard_replica_events(void);
void shard_attach(struct shard *s, struct replica *replica);

/*
 * Runs a command with keys of this group. done() follows, always, possibly from inside this call,
 * unless the node stops first. The arguments were checked by the gateway (command_resolve).
 */
void shard_submit(struct shard *s, struct shard_request *r);

/* No timer of it runs any more. */
void shard_stop(struct shard *s);

/* A write submitted now may have to wait for a lock: those behind it could overtake it elsewhere.
 */
bool shard_may_hold(const struct shard *s);
/*
 * While this node leads: transactions the group is prepared for, by id, and since when this leader
 * has known. fn must not call the shard.
 */
void shard_each_prepared(struct shard *s,
                         void (*fn)(void *ctx,
                                    const struct txn_id *id,
                                    const struct txn_record *record,
                                    uint64_t since_us),
                         void *ctx);

/* Of this replica, leader or not: transactions it is prepared for, and records of any state. */
struct shard_txn_counts {
    uint64_t prepared;
    uint64_t records;
};
struct shard_txn_counts shard_txn_counts(const struct shard *s);
/* What this replica, leader or not, has recorded of the transaction. */
enum txn_state shard_txn_state(const struct shard *s, const struct txn_id *id);

/* Proposes what has gathered; at the end of each loop turn. */
void shard_flush(struct shard *s);

/* ---- state on disk --------------------------------------------------------------------------- */

/*
 * The store closes its overlay (store_options): puts the rows that say how far the group's state
 * goes, and what is kept in memory of it.
 */
void shard_fold_starts(struct shard *s, bool is_sync);
void shard_folded(struct shard *s);
void shard_synced(struct shard *s);
/*
 * At start, after replay and before store_ready: drops the rows of every other generation of the
 * group. No such generation may be used again before the next fold is in the engine.
 */
MUST_CHECK enum status shard_drop_leftovers(struct shard *s);

/*
 * Memory that commands and transactions hold here and in the replica. Without the duplicate table:
 * that is state, and does not shrink when clients pause (README).
 */
uint64_t shard_memory(const struct shard *s);

/*
 * A digest of the group's whole state at the applied index, to compare replicas: rows without their
 * generation. For tests: it reads all of them, blocking. 0: one cannot be read.
 */
uint64_t shard_hash(const struct shard *s);
/* Keys of a database in this replica's state, however old that is (INFO). */
struct view_counts shard_counts(const struct shard *s, uint8_t database);
/*
 * The string at key in this replica's state, however old that is. False: there is none, or its row
 * is not at hand yet: it is being read, ask again later.
 */
bool shard_peek(struct shard *s, uint8_t database, struct bytes key, struct buf *out_value);

#endif
