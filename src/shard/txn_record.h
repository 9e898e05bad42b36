/*
 * Bytes of what a group remembers of one transaction: the value of a row of kind TXN
 * (docs/disk-format.md; golden bytes in tests/unit/shard/test_txn_record.c).
 */
#ifndef SHARD_TXN_RECORD_H
#define SHARD_TXN_RECORD_H

#include "base/bytes.h"
#include "base/limits.h"
#include "base/status.h"

/* Who coordinates it, and which of its transactions it is (TXN-11). */
struct txn_id {
    uint32_t node;
    uint32_t incarnation; /* of that node: increased and synced at each start */
    uint64_t sequence;    /* from 1 on, without gaps */
};

/* Sequences do not get so far. */
#define TXN_SEQUENCE_MAX (UINT64_MAX - 1)

/* Append only: numbers are on disk. */
enum txn_state {
    TXN_STATE_NONE = 0,        /* no record, and above the mark; never stored */
    TXN_STATE_YES = 1,         /* prepared: its keys are locked until the outcome is applied */
    TXN_STATE_NO_CONFLICT = 2, /* a key was locked by another one */
    TXN_STATE_NO_COMPARE = 3,  /* a key is not what the transaction wants it to be */
    TXN_STATE_NO_ERROR = 4,    /* strict, and a command would fail: the reply is its error */
    TXN_STATE_NO_VOTE = 5,     /* a tombstone: somebody asked, or aborted, before PREPARE came */
    TXN_STATE_COMMITTED = 6,
    TXN_STATE_ABORTED = 7,  /* it had been prepared */
    TXN_STATE_FINISHED = 8, /* at or below the mark: neither yes nor no; never stored */
};

struct txn_lock {
    uint8_t database;
    bool is_exclusive; /* else shared: read or compared, and not written */
    struct bytes key;
};

/* One record. Decoded: borrows the record's bytes. */
struct txn_record {
    enum txn_state state;
    uint64_t content_hash; /* of PREPARE: it may come again, but not with another content */
    uint64_t time_ms;      /* the transaction's own time: what is due by it is gone (ORD-6) */
    uint32_t participant_count;
    uint32_t lock_count;
    struct bytes participants; /* u16, little endian, ascending: groups, this one among them */
    struct bytes locks;        /* by txn_record_next_lock */
    struct bytes reply;        /* of the commands in this group; travels with the vote (TXN-18) */
    struct bytes effects;      /* of a prepared one: what COMMIT will do */
};

/* The locks of a record under construction. */
void txn_lock_append(struct buf *locks, const struct txn_lock *lock);
/* Takes the next lock off the front of *locks. MALFORMED: it does not begin with one. */
MUST_CHECK enum status txn_lock_take(struct bytes *locks, struct txn_lock *out_lock);

size_t txn_record_size(const struct txn_record *record);
/* Writes txn_record_size(record) bytes. */
void txn_record_encode(const struct txn_record *record, uint8_t *out_bytes);
/* CORRUPT: not a record. All of it is checked, so that reading its parts cannot fail. */
MUST_CHECK enum status txn_record_decode(struct bytes bytes, struct txn_record *out_record);

static inline bool txn_state_is_no(enum txn_state state)
{
    return state >= TXN_STATE_NO_CONFLICT && state <= TXN_STATE_NO_VOTE;
}

#endif
