/*
 * What coordinators and participants say to each other: the arguments of the internal commands of
 * transactions, and their replies (docs/protocol.md, docs/disk-format.md; golden bytes in
 * tests/unit/shard/test_txn_message.c). Each command has one argument, written here; its reply is
 * one RESP bulk, written here too.
 *
 * All structs borrow from the bytes they were decoded from.
 */
#ifndef SHARD_TXN_MESSAGE_H
#define SHARD_TXN_MESSAGE_H

#include "shard/entry.h"
#include "shard/txn_record.h"

enum txn_flags {
    TXN_STRICT = 1u << 0,     /* the error of a command is a vote against all of it */
    TXN_WAITS = 1u << 1,      /* ordered: PREPARE waits for locked keys, instead of voting no */
    TXN_IS_EFFECTS = 1u << 2, /* `body` is effects (data/effects.h), else commands */
    /*
     * Set by the leader that proposes PREPARE: others wait there for one of its keys, and it must
     * not overtake them (TXN-16). The vote is no(conflict), if there is none yet.
     */
    TXN_YIELDS = 1u << 3,
};

/* ---- EXEC, EXECREAD, PREPARE ----------------------------------------------------------------- */

/*
 * In the versions that EXECREAD, VERSIONS and ROWS answer: the key is absent. The other bits differ
 * when a key was deleted meanwhile, perhaps this one: else one that was absent, then there, then
 * absent again would look as if nothing had been, and two looks would agree on what never was
 * (TXN-14).
 */
#define TXN_VERSION_ABSENT (UINT64_C(1) << 63)
/* The version that a compare names. */
static inline uint64_t txn_version(uint64_t answered)
{
    return (answered & TXN_VERSION_ABSENT) != 0 ? 0 : answered;
}

/* A key has to have this version when the vote is computed; 0: it has to be absent. */
struct txn_compare {
    uint8_t database;
    bool is_watched; /* the client's own: a difference is its answer, and no reason to try again */
    uint64_t version;
    struct bytes key;
};

/*
 * `body`: commands one after the other, as entry_append writes them, their request ids zero; or
 * effects. Of EXEC and EXECREAD id, mark and participants are empty.
 */
struct txn_work {
    struct txn_id id;
    uint64_t mark; /* of the coordinator's incarnation */
    uint64_t time_ms;
    unsigned flags;
    uint32_t participant_count;
    uint32_t compare_count;
    uint32_t command_count;    /* 0 with TXN_IS_EFFECTS */
    struct bytes participants; /* as in struct txn_record */
    struct bytes compares;     /* by txn_compare_take */
    struct bytes body;
};

void txn_compare_append(struct buf *compares, const struct txn_compare *compare);
MUST_CHECK enum status txn_compare_take(struct bytes *compares, struct txn_compare *out_compare);
void txn_work_append(struct buf *out, const struct txn_work *work);
/* MALFORMED: not such an argument. Everything is checked but the commands' own arguments. */
MUST_CHECK enum status txn_work_read(struct bytes argument, struct txn_work *out_work);
/* In an argument that txn_work_read takes. */
void txn_work_set_yields(uint8_t *argument);
/* Of a PREPARE, all but its mark and TXN_YIELDS: the same for every copy of it (TXN-11). */
uint64_t txn_work_hash(const struct txn_work *work);

/* ---- CHECK, COMMIT, ABORT, MARK, CLOSE, END -------------------------------------------------- */

/* MARK: up to mark. CLOSE, END: incarnations up to that of id. Else: the transaction, and the mark.
 */
struct txn_order {
    struct txn_id id; /* of MARK, CLOSE and END: sequence 0 */
    uint64_t mark; /* of the coordinator's incarnation, as far as the sender knows; 0: it doesn't */
};
void txn_order_append(struct buf *out, const struct txn_order *order);
MUST_CHECK enum status txn_order_read(struct bytes argument, struct txn_order *out_order);

/* ---- VERSIONS, ROWS -------------------------------------------------------------------------- */

struct txn_key {
    uint8_t database;
    struct bytes key;
};
void txn_key_append(struct buf *out, const struct txn_key *key);
/* Bytes that it appends for a key of that size. */
uint64_t txn_key_bytes(size_t key_size);
/* Takes the next one off the front of *keys. */
MUST_CHECK enum status txn_key_take(struct bytes *keys, struct txn_key *out_key);

/* ---- replies --------------------------------------------------------------------------------- */

/*
 * Of EXEC, EXECREAD, PREPARE, CHECK, COMMIT and ABORT. EXEC that ran is COMMITTED; one that did not
 * is NO_COMPARE or NO_ERROR.
 */
struct txn_answer {
    enum txn_state state;
    bool is_watched;      /* of NO_COMPARE: the key was the client's own */
    uint64_t prepared;    /* of CLOSE: how many of these incarnations are prepared here */
    uint32_t reply_count; /* RESP values in `replies`; of NO_ERROR one: the error */
    struct bytes replies;
    struct bytes versions; /* of EXECREAD, and of VERSIONS: u64 each, in the order of the keys as
                              asked; of EXECREAD in the order in which its commands name them */
    struct bytes rows;     /* of ROWS: by txn_row_take, in the order of the keys */
};
void txn_answer_append(struct buf *out, const struct txn_answer *answer);
MUST_CHECK enum status txn_answer_read(struct bytes reply, struct txn_answer *out_answer);

/* One key as it is: its object as in its row, with its version; empty: there is none. */
void txn_row_append(struct buf *out, struct bytes object);
MUST_CHECK enum status txn_row_take(struct bytes *rows, struct bytes *out_object);

#endif
