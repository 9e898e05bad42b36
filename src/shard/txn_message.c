#include "shard/txn_message.h"

#include <xxhash.h>

#include "base/assert.h"
#include "base/endian.h"
#include "data/effects.h"
#include "protocol/resp_reply.h"

#define ID_BYTES 16u
#define WORK_BYTES 56u /* then participants, compares, body */
#define COMPARE_BYTES 16u
#define ORDER_BYTES 24u
#define KEY_BYTES 8u
#define ANSWER_BYTES 32u /* then replies, versions, rows */
#define ROW_BYTES 4u
#define VERSION_BYTES 8u
#define PARTICIPANT_BYTES 2u
#define FLAGS_ALL ((unsigned)(TXN_STRICT | TXN_WAITS | TXN_IS_EFFECTS | TXN_YIELDS))

enum work_field {
    WORK_ID = 0,
    WORK_MARK = 16,
    WORK_TIME = 24,
    WORK_FLAGS = 32,
    WORK_PARTICIPANTS = 36,
    WORK_COMPARES = 40,
    WORK_COMPARES_BYTES = 44,
    WORK_COMMANDS = 48,
    WORK_ZEROS = 52,
};

enum compare_field {
    COMPARE_DATABASE = 0,
    COMPARE_IS_WATCHED = 1,
    COMPARE_ZEROS = 2,
    COMPARE_KEY_BYTES = 4,
    COMPARE_VERSION = 8,
};

enum answer_field {
    ANSWER_STATE = 0,
    ANSWER_IS_WATCHED = 1,
    ANSWER_ZEROS = 2,
    ANSWER_REPLIES = 4,
    ANSWER_PREPARED = 8,
    ANSWER_REPLIES_BYTES = 16,
    ANSWER_VERSIONS_BYTES = 20,
    ANSWER_ROWS_BYTES = 24,
    ANSWER_MORE_ZEROS = 28,
};

/* ---- pieces ---------------------------------------------------------------------------------- */

/* False: there are not so many bytes. */
static bool take(struct bytes *rest, uint64_t size, struct bytes *out_bytes)
{
    if (size > rest->size) {
        return false;
    }
    *out_bytes = bytes_of(rest->data, (size_t)size);
    *rest = bytes_of(rest->data + size, rest->size - (size_t)size);
    return true;
}

static void put_id(uint8_t *out_bytes, const struct txn_id *id)
{
    put_u32_le(out_bytes, id->node);
    put_u32_le(out_bytes + 4, id->incarnation);
    put_u64_le(out_bytes + 8, id->sequence);
}

static struct txn_id get_id(const uint8_t *bytes)
{
    return (struct txn_id){
        .node = get_u32_le(bytes),
        .incarnation = get_u32_le(bytes + 4),
        .sequence = get_u64_le(bytes + 8),
    };
}

/* ---- compares -------------------------------------------------------------------------------- */

void txn_compare_append(struct buf *compares, const struct txn_compare *c)
{
    ensure(c->database < LIMIT_DATABASES && c->key.size <= LIMIT_KEY_BYTES);
    uint8_t *p = buf_reserve(compares, COMPARE_BYTES);
    memset(p, 0, COMPARE_BYTES);
    p[COMPARE_DATABASE] = c->database;
    p[COMPARE_IS_WATCHED] = c->is_watched ? 1 : 0;
    put_u32_le(p + COMPARE_KEY_BYTES, (uint32_t)c->key.size);
    put_u64_le(p + COMPARE_VERSION, c->version);
    buf_extend(compares, COMPARE_BYTES);
    buf_append_bytes(compares, c->key);
}

enum status txn_compare_take(struct bytes *compares, struct txn_compare *out_compare)
{
    struct bytes head;
    struct bytes key;
    struct bytes rest = *compares;
    if (!take(&rest, COMPARE_BYTES, &head)) {
        return STATUS_MALFORMED;
    }
    const uint8_t *p = head.data;
    uint32_t key_bytes = get_u32_le(p + COMPARE_KEY_BYTES);
    if (p[COMPARE_DATABASE] >= LIMIT_DATABASES || p[COMPARE_IS_WATCHED] > 1 ||
        get_u16_le(p + COMPARE_ZEROS) != 0 || key_bytes > LIMIT_KEY_BYTES ||
        !take(&rest, key_bytes, &key)) {
        return STATUS_MALFORMED;
    }
    *out_compare = (struct txn_compare){
        .database = p[COMPARE_DATABASE],
        .is_watched = p[COMPARE_IS_WATCHED] == 1,
        .version = get_u64_le(p + COMPARE_VERSION),
        .key = key,
    };
    *compares = rest;
    return STATUS_OK;
}

static bool are_compares(struct bytes compares, uint32_t count)
{
    struct txn_compare compare;
    for (uint32_t i = 0; i < count; i++) {
        if (txn_compare_take(&compares, &compare) != STATUS_OK) {
            return false;
        }
    }
    return compares.size == 0;
}

/* ---- work ------------------------------------------------------------------------------------ */

void txn_work_append(struct buf *out, const struct txn_work *w)
{
    ensure((w->flags & ~FLAGS_ALL) == 0);
    ensure(w->participants.size == (size_t)w->participant_count * PARTICIPANT_BYTES);
    ensure((w->flags & TXN_IS_EFFECTS) == 0 || w->command_count == 0);
    uint8_t *p = buf_reserve(out, WORK_BYTES);
    memset(p, 0, WORK_BYTES);
    put_id(p + WORK_ID, &w->id);
    put_u64_le(p + WORK_MARK, w->mark);
    put_u64_le(p + WORK_TIME, w->time_ms);
    put_u32_le(p + WORK_FLAGS, w->flags);
    put_u32_le(p + WORK_PARTICIPANTS, w->participant_count);
    put_u32_le(p + WORK_COMPARES, w->compare_count);
    put_u32_le(p + WORK_COMPARES_BYTES, (uint32_t)w->compares.size);
    put_u32_le(p + WORK_COMMANDS, w->command_count);
    buf_extend(out, WORK_BYTES);
    buf_append_bytes(out, w->participants);
    buf_append_bytes(out, w->compares);
    buf_append_bytes(out, w->body);
}

/* As many commands as it says, and nothing else; what they are is the shard's to judge. */
static bool are_commands(struct bytes body, uint32_t count)
{
    struct entry_reader reader;
    entry_reader_of(body, &reader);
    for (uint32_t i = 0; i < count; i++) {
        struct entry_command c;
        struct bytes arg;
        if (entry_is_read(&reader) || entry_next(&reader, &c) != STATUS_OK) {
            return false;
        }
        for (uint32_t a = 0; a < c.arg_count; a++) {
            if (entry_next_arg(&reader, &arg) != STATUS_OK) {
                return false;
            }
        }
    }
    return entry_is_read(&reader);
}

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

enum status txn_work_read(struct bytes argument, struct txn_work *out_work)
{
    struct bytes head;
    struct bytes rest = argument;
    if (!take(&rest, WORK_BYTES, &head)) {
        return STATUS_MALFORMED;
    }
    const uint8_t *p = head.data;
    struct txn_work w = {
        .id = get_id(p + WORK_ID),
        .mark = get_u64_le(p + WORK_MARK),
        .time_ms = get_u64_le(p + WORK_TIME),
        .flags = get_u32_le(p + WORK_FLAGS),
        .participant_count = get_u32_le(p + WORK_PARTICIPANTS),
        .compare_count = get_u32_le(p + WORK_COMPARES),
        .command_count = get_u32_le(p + WORK_COMMANDS),
    };
    bool is_effects = (w.flags & TXN_IS_EFFECTS) != 0;
    bool is_good =
        (w.flags & ~FLAGS_ALL) == 0 && get_u32_le(p + WORK_ZEROS) == 0 &&
        take(&rest, (uint64_t)w.participant_count * PARTICIPANT_BYTES, &w.participants) &&
        take(&rest, get_u32_le(p + WORK_COMPARES_BYTES), &w.compares);
    if (!is_good || !are_participants(w.participants) ||
        !are_compares(w.compares, w.compare_count)) {
        return STATUS_MALFORMED;
    }
    w.body = rest;
    is_good = is_effects ? w.command_count == 0 && effects_are_whole(w.body)
                         : are_commands(w.body, w.command_count);
    if (!is_good) {
        return STATUS_MALFORMED;
    }
    *out_work = w;
    return STATUS_OK;
}

void txn_work_set_yields(uint8_t *argument)
{
    put_u32_le(argument + WORK_FLAGS, get_u32_le(argument + WORK_FLAGS) | (unsigned)TXN_YIELDS);
}

uint64_t txn_work_hash(const struct txn_work *w)
{
    uint8_t head[24];
    put_u64_le(head, w->time_ms);
    put_u32_le(head + 8, w->flags & ~(unsigned)TXN_YIELDS);
    put_u32_le(head + 12, w->participant_count);
    put_u32_le(head + 16, w->compare_count);
    put_u32_le(head + 20, w->command_count);
    uint64_t hash = XXH3_64bits(head, sizeof head);
    hash = XXH3_64bits_withSeed(w->participants.data, w->participants.size, hash);
    hash = XXH3_64bits_withSeed(w->compares.data, w->compares.size, hash);
    return XXH3_64bits_withSeed(w->body.data, w->body.size, hash);
}

/* ---- orders and keys ------------------------------------------------------------------------- */

void txn_order_append(struct buf *out, const struct txn_order *order)
{
    uint8_t *p = buf_reserve(out, ORDER_BYTES);
    put_id(p, &order->id);
    put_u64_le(p + ID_BYTES, order->mark);
    buf_extend(out, ORDER_BYTES);
}

enum status txn_order_read(struct bytes argument, struct txn_order *out_order)
{
    if (argument.size != ORDER_BYTES) {
        return STATUS_MALFORMED;
    }
    struct txn_order order = {
        .id = get_id(argument.data),
        .mark = get_u64_le(argument.data + ID_BYTES),
    };
    if (order.id.incarnation == 0 || order.id.sequence > TXN_SEQUENCE_MAX ||
        order.mark > TXN_SEQUENCE_MAX) {
        return STATUS_MALFORMED;
    }
    *out_order = order;
    return STATUS_OK;
}

uint64_t txn_key_bytes(size_t key_size)
{
    return KEY_BYTES + (uint64_t)key_size;
}

void txn_key_append(struct buf *out, const struct txn_key *key)
{
    ensure(key->database < LIMIT_DATABASES && key->key.size <= LIMIT_KEY_BYTES);
    uint8_t *p = buf_reserve(out, KEY_BYTES);
    put_u32_le(p, key->database);
    put_u32_le(p + 4, (uint32_t)key->key.size);
    buf_extend(out, KEY_BYTES);
    buf_append_bytes(out, key->key);
}

enum status txn_key_take(struct bytes *keys, struct txn_key *out_key)
{
    struct bytes head;
    struct bytes key;
    struct bytes rest = *keys;
    if (!take(&rest, KEY_BYTES, &head) || get_u32_le(head.data) >= LIMIT_DATABASES ||
        get_u32_le(head.data + 4) > LIMIT_KEY_BYTES ||
        !take(&rest, get_u32_le(head.data + 4), &key)) {
        return STATUS_MALFORMED;
    }
    *out_key = (struct txn_key){.database = head.data[0], .key = key};
    *keys = rest;
    return STATUS_OK;
}

/* ---- answers --------------------------------------------------------------------------------- */

void txn_answer_append(struct buf *out, const struct txn_answer *a)
{
    ensure(a->versions.size % VERSION_BYTES == 0);
    uint8_t *p = buf_reserve(out, ANSWER_BYTES);
    memset(p, 0, ANSWER_BYTES);
    p[ANSWER_STATE] = (uint8_t)a->state;
    p[ANSWER_IS_WATCHED] = a->is_watched ? 1 : 0;
    put_u32_le(p + ANSWER_REPLIES, a->reply_count);
    put_u64_le(p + ANSWER_PREPARED, a->prepared);
    put_u32_le(p + ANSWER_REPLIES_BYTES, (uint32_t)a->replies.size);
    put_u32_le(p + ANSWER_VERSIONS_BYTES, (uint32_t)a->versions.size);
    put_u32_le(p + ANSWER_ROWS_BYTES, (uint32_t)a->rows.size);
    buf_extend(out, ANSWER_BYTES);
    buf_append_bytes(out, a->replies);
    buf_append_bytes(out, a->versions);
    buf_append_bytes(out, a->rows);
}

/* As many RESP values as it says, and nothing else. */
static bool are_replies(struct bytes replies, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        size_t size = 0;
        if (resp_reply_size(replies, &size) != STATUS_OK) {
            return false;
        }
        replies = bytes_of(replies.data + size, replies.size - size);
    }
    return replies.size == 0;
}

static bool are_rows(struct bytes rows)
{
    struct bytes object;
    while (rows.size > 0) {
        if (txn_row_take(&rows, &object) != STATUS_OK) {
            return false;
        }
    }
    return true;
}

enum status txn_answer_read(struct bytes reply, struct txn_answer *out_answer)
{
    struct bytes head;
    struct bytes rest = reply;
    if (!take(&rest, ANSWER_BYTES, &head)) {
        return STATUS_MALFORMED;
    }
    const uint8_t *p = head.data;
    struct txn_answer a = {
        .state = (enum txn_state)p[ANSWER_STATE],
        .is_watched = p[ANSWER_IS_WATCHED] == 1,
        .reply_count = get_u32_le(p + ANSWER_REPLIES),
        .prepared = get_u64_le(p + ANSWER_PREPARED),
    };
    bool is_good = p[ANSWER_STATE] <= TXN_STATE_FINISHED && p[ANSWER_IS_WATCHED] <= 1 &&
                   get_u16_le(p + ANSWER_ZEROS) == 0 && get_u32_le(p + ANSWER_MORE_ZEROS) == 0 &&
                   take(&rest, get_u32_le(p + ANSWER_REPLIES_BYTES), &a.replies) &&
                   take(&rest, get_u32_le(p + ANSWER_VERSIONS_BYTES), &a.versions) &&
                   take(&rest, get_u32_le(p + ANSWER_ROWS_BYTES), &a.rows) && rest.size == 0;
    if (!is_good || a.versions.size % VERSION_BYTES != 0 || !are_rows(a.rows) ||
        !are_replies(a.replies, a.reply_count)) {
        return STATUS_MALFORMED;
    }
    *out_answer = a;
    return STATUS_OK;
}

void txn_row_append(struct buf *out, struct bytes object)
{
    uint8_t *p = buf_reserve(out, ROW_BYTES);
    put_u32_le(p, (uint32_t)object.size);
    buf_extend(out, ROW_BYTES);
    buf_append_bytes(out, object);
}

enum status txn_row_take(struct bytes *rows, struct bytes *out_object)
{
    struct bytes head;
    struct bytes object;
    struct object decoded;
    struct bytes rest = *rows;
    if (!take(&rest, ROW_BYTES, &head) || !take(&rest, get_u32_le(head.data), &object) ||
        (object.size > 0 && object_decode(object, &decoded) != STATUS_OK)) {
        return STATUS_MALFORMED;
    }
    *out_object = object;
    *rows = rest;
    return STATUS_OK;
}
