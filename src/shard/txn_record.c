#include "shard/txn_record.h"

#include "base/assert.h"
#include "base/endian.h"

#define RECORD_BYTES 40u /* then participants, locks, reply, effects */
#define PARTICIPANT_BYTES 2u
#define LOCK_BYTES 8u /* then the key */

enum record_field {
    RECORD_STATE = 0,
    RECORD_ZEROS = 1, /* seven */
    RECORD_CONTENT = 8,
    RECORD_TIME = 16,
    RECORD_PARTICIPANTS = 24,
    RECORD_LOCKS = 28,
    RECORD_LOCKS_BYTES = 32,
    RECORD_REPLY_BYTES = 36,
};

enum lock_field {
    LOCK_DATABASE = 0,
    LOCK_IS_EXCLUSIVE = 1,
    LOCK_ZEROS = 2,
    LOCK_KEY_BYTES = 4,
};

/* ---- locks ----------------------------------------------------------------------------------- */

void txn_lock_append(struct buf *locks, const struct txn_lock *lock)
{
    ensure(lock->database < LIMIT_DATABASES && lock->key.size <= LIMIT_KEY_BYTES);
    uint8_t *p = buf_reserve(locks, LOCK_BYTES + lock->key.size);
    memset(p, 0, LOCK_BYTES);
    p[LOCK_DATABASE] = lock->database;
    p[LOCK_IS_EXCLUSIVE] = lock->is_exclusive ? 1 : 0;
    put_u32_le(p + LOCK_KEY_BYTES, (uint32_t)lock->key.size);
    if (lock->key.size > 0) {
        memcpy(p + LOCK_BYTES, lock->key.data, lock->key.size);
    }
    buf_extend(locks, LOCK_BYTES + lock->key.size);
}

enum status txn_lock_take(struct bytes *locks, struct txn_lock *out_lock)
{
    const uint8_t *p = locks->data;
    if (locks->size < LOCK_BYTES) {
        return STATUS_MALFORMED;
    }
    size_t key_bytes = get_u32_le(p + LOCK_KEY_BYTES);
    if (p[LOCK_DATABASE] >= LIMIT_DATABASES || p[LOCK_IS_EXCLUSIVE] > 1 ||
        get_u16_le(p + LOCK_ZEROS) != 0 || key_bytes > LIMIT_KEY_BYTES ||
        key_bytes > locks->size - LOCK_BYTES) {
        return STATUS_MALFORMED;
    }
    *out_lock = (struct txn_lock){
        .database = p[LOCK_DATABASE],
        .is_exclusive = p[LOCK_IS_EXCLUSIVE] == 1,
        .key = bytes_of(p + LOCK_BYTES, key_bytes),
    };
    *locks = bytes_of(p + LOCK_BYTES + key_bytes, locks->size - LOCK_BYTES - key_bytes);
    return STATUS_OK;
}

static bool are_locks(struct bytes locks, uint32_t count)
{
    struct txn_lock lock;
    for (uint32_t i = 0; i < count; i++) {
        if (txn_lock_take(&locks, &lock) != STATUS_OK) {
            return false;
        }
    }
    return locks.size == 0;
}

/* ---- participants ---------------------------------------------------------------------------- */

/* Ascending, so that one set of groups has one form. */
static bool are_participants(struct bytes participants)
{
    for (size_t i = PARTICIPANT_BYTES; i < participants.size; i += PARTICIPANT_BYTES) {
        const uint8_t *p = participants.data + i;
        if (get_u16_le(p) <= get_u16_le(p - PARTICIPANT_BYTES)) {
            return false;
        }
    }
    return true;
}

/* ---- records --------------------------------------------------------------------------------- */

size_t txn_record_size(const struct txn_record *r)
{
    return RECORD_BYTES + r->participants.size + r->locks.size + r->reply.size + r->effects.size;
}

static uint8_t *put(uint8_t *at, struct bytes bytes)
{
    if (bytes.size > 0) {
        memcpy(at, bytes.data, bytes.size);
    }
    return at + bytes.size;
}

/* What a state has and has not. */
static bool is_consistent(const struct txn_record *r)
{
    bool is_stored = r->state > TXN_STATE_NONE && r->state < TXN_STATE_FINISHED;
    bool is_prepared = r->state == TXN_STATE_YES;
    bool is_good =
        is_stored && r->participants.size == (size_t)r->participant_count * PARTICIPANT_BYTES;
    if (!is_prepared) {
        is_good = is_good && r->lock_count == 0 && r->effects.size == 0;
    }
    if (r->state == TXN_STATE_NO_VOTE) {
        is_good = is_good && r->reply.size == 0 && r->participant_count == 0;
    }
    return is_good && (!is_prepared || r->participant_count > 0);
}

void txn_record_encode(const struct txn_record *r, uint8_t *out_bytes)
{
    ensure(is_consistent(r) && are_participants(r->participants) &&
           are_locks(r->locks, r->lock_count));
    ensure(txn_record_size(r) <= UINT32_MAX);
    memset(out_bytes, 0, RECORD_BYTES);
    out_bytes[RECORD_STATE] = (uint8_t)r->state;
    put_u64_le(out_bytes + RECORD_CONTENT, r->content_hash);
    put_u64_le(out_bytes + RECORD_TIME, r->time_ms);
    put_u32_le(out_bytes + RECORD_PARTICIPANTS, r->participant_count);
    put_u32_le(out_bytes + RECORD_LOCKS, r->lock_count);
    put_u32_le(out_bytes + RECORD_LOCKS_BYTES, (uint32_t)r->locks.size);
    put_u32_le(out_bytes + RECORD_REPLY_BYTES, (uint32_t)r->reply.size);
    uint8_t *at = put(out_bytes + RECORD_BYTES, r->participants);
    at = put(at, r->locks);
    at = put(at, r->reply);
    (void)put(at, r->effects);
}

/* False: there are not so many. */
static bool take(struct bytes *rest, uint64_t size, struct bytes *out_bytes)
{
    if (size > rest->size) {
        return false;
    }
    *out_bytes = bytes_of(rest->data, (size_t)size);
    *rest = bytes_of(rest->data + size, rest->size - (size_t)size);
    return true;
}

enum status txn_record_decode(struct bytes bytes, struct txn_record *out_record)
{
    static const uint8_t zeros[RECORD_CONTENT - RECORD_ZEROS];
    const uint8_t *p = bytes.data;
    if (bytes.size < RECORD_BYTES || memcmp(p + RECORD_ZEROS, zeros, sizeof zeros) != 0) {
        return STATUS_CORRUPT;
    }
    struct txn_record r = {
        .state = (enum txn_state)p[RECORD_STATE],
        .content_hash = get_u64_le(p + RECORD_CONTENT),
        .time_ms = get_u64_le(p + RECORD_TIME),
        .participant_count = get_u32_le(p + RECORD_PARTICIPANTS),
        .lock_count = get_u32_le(p + RECORD_LOCKS),
    };
    struct bytes rest = bytes_of(p + RECORD_BYTES, bytes.size - RECORD_BYTES);
    bool is_good =
        take(&rest, (uint64_t)r.participant_count * PARTICIPANT_BYTES, &r.participants) &&
        take(&rest, get_u32_le(p + RECORD_LOCKS_BYTES), &r.locks) &&
        take(&rest, get_u32_le(p + RECORD_REPLY_BYTES), &r.reply);
    r.effects = rest;
    if (!is_good || !is_consistent(&r) || !are_participants(r.participants) ||
        !are_locks(r.locks, r.lock_count)) {
        return STATUS_CORRUPT;
    }
    *out_record = r;
    return STATUS_OK;
}
