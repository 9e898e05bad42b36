#include "data/row.h"

#define XXH_INLINE_ALL
#include <assert.h>

#include <xxhash.h>

#include "base/assert.h"
#include "base/endian.h"
#include "data/slot.h"

#define OBJECT_ENCODING_RAW 0u

/* 0x00 ends the key, so a zero inside it is written as 0x00 0xff and still sorts as a zero. */
#define ESCAPE 0x00u
#define ESCAPED_ZERO 0xffu

#define DUP_KEY_BYTES 19u
#define TXN_KEY_BYTES (ROW_GENERATION_BYTES + 1u + 16u)
#define PLACE_BYTES 6u /* slot, hash */
#define EXPIRY_BYTES 8u

static_assert(ROW_KEY_SPACE_BYTES + PLACE_BYTES == ROW_KEY_PREFIX_BYTES, "of an object");
static_assert(ROW_KEY_PREFIX_BYTES + EXPIRY_BYTES == ROW_KEY_EXPIRY_PREFIX_BYTES, "of the index");

uint32_t row_key_hash(struct bytes key)
{
    return (uint32_t)(XXH3_64bits(key.data, key.size) >> 32);
}

static void put_generation(uint8_t *p, uint16_t group, uint32_t generation)
{
    put_u16_be(p, group);
    put_u32_be(p + 2, generation);
}

void row_key_append_space(struct buf *out, const struct keyspace *space, enum row_kind kind)
{
    uint8_t *p = buf_reserve(out, ROW_KEY_SPACE_BYTES);
    put_generation(p, space->group, space->generation);
    p[6] = (uint8_t)kind;
    p[7] = space->database;
    put_u32_be(p + 8, space->epoch);
    buf_extend(out, ROW_KEY_SPACE_BYTES);
}

static void append_place(struct buf *out, uint16_t slot, uint32_t hash)
{
    uint8_t *p = buf_reserve(out, PLACE_BYTES);
    put_u16_be(p, slot);
    put_u32_be(p + 2, hash);
    buf_extend(out, PLACE_BYTES);
}

void row_key_append_prefix(struct buf *out,
                           const struct keyspace *space,
                           uint16_t slot,
                           uint32_t hash)
{
    row_key_append_space(out, space, ROW_KIND_OBJECT);
    append_place(out, slot, hash);
}

static void append_escaped(struct buf *out, struct bytes key)
{
    uint8_t *start = buf_reserve(out, 2 * key.size + 2);
    uint8_t *p = start;
    for (size_t i = 0; i < key.size; i++) {
        *p++ = key.data[i];
        if (key.data[i] == ESCAPE) {
            *p++ = ESCAPED_ZERO;
        }
    }
    *p++ = ESCAPE;
    *p++ = 0x00;
    buf_extend(out, (size_t)(p - start));
}

void row_key_append(struct buf *out, const struct keyspace *space, struct bytes key)
{
    row_key_append_prefix(out, space, slot_of_key(key), row_key_hash(key));
    append_escaped(out, key);
}

static struct keyspace space_of(const uint8_t *row_key)
{
    return (struct keyspace){
        .group = get_u16_be(row_key),
        .generation = get_u32_be(row_key + 2),
        .database = row_key[7],
        .epoch = get_u32_be(row_key + 8),
    };
}

/* The client's key, which begins behind `at` bytes of the row's. */
static enum status take_escaped(struct bytes row_key, size_t at, struct buf *out_key)
{
    const uint8_t *p = row_key.data;
    size_t end = row_key.size - 2;
    if (p[end] != ESCAPE || p[end + 1] != 0x00) {
        return STATUS_MALFORMED;
    }
    for (size_t i = at; i < end; i++) {
        buf_append(out_key, p + i, 1);
        if (p[i] == ESCAPE && p[++i] != ESCAPED_ZERO) {
            return STATUS_MALFORMED;
        }
    }
    return STATUS_OK;
}

enum status row_key_decode(struct bytes row_key, struct keyspace *out_space, struct buf *out_key)
{
    if (row_key.size < ROW_KEY_PREFIX_BYTES + 2 || row_key.data[6] != ROW_KIND_OBJECT) {
        return STATUS_MALFORMED;
    }
    enum status s = take_escaped(row_key, ROW_KEY_PREFIX_BYTES, out_key);
    if (s == STATUS_OK) {
        *out_space = space_of(row_key.data);
    }
    return s;
}

/* ---- the expiry index ------------------------------------------------------------------------ */

void row_key_append_expiry_from(struct buf *out,
                                const struct keyspace *space,
                                uint64_t expires_ms,
                                uint16_t slot,
                                uint32_t hash)
{
    row_key_append_space(out, space, ROW_KIND_EXPIRY);
    put_u64_be(buf_reserve(out, EXPIRY_BYTES), expires_ms);
    buf_extend(out, EXPIRY_BYTES);
    append_place(out, slot, hash);
}

void row_key_append_expiry(struct buf *out,
                           const struct keyspace *space,
                           uint64_t expires_ms,
                           struct bytes key)
{
    row_key_append_expiry_from(out, space, expires_ms, slot_of_key(key), row_key_hash(key));
    append_escaped(out, key);
}

enum status row_key_decode_expiry(struct bytes row_key,
                                  struct keyspace *out_space,
                                  uint64_t *out_expires_ms,
                                  struct buf *out_key)
{
    if (row_key.size < ROW_KEY_EXPIRY_PREFIX_BYTES + 2 || row_key.data[6] != ROW_KIND_EXPIRY) {
        return STATUS_MALFORMED;
    }
    enum status s = take_escaped(row_key, ROW_KEY_EXPIRY_PREFIX_BYTES, out_key);
    if (s == STATUS_OK) {
        *out_space = space_of(row_key.data);
        *out_expires_ms = get_u64_be(row_key.data + ROW_KEY_SPACE_BYTES);
    }
    return s;
}

/* ---- head rows ------------------------------------------------------------------------------- */

void row_key_append_generation(struct buf *out, uint16_t group, uint32_t generation)
{
    put_generation(buf_reserve(out, ROW_GENERATION_BYTES), group, generation);
    buf_extend(out, ROW_GENERATION_BYTES);
}

static void append_kind(struct buf *out, uint16_t group, uint32_t generation, uint8_t kind)
{
    row_key_append_generation(out, group, generation);
    buf_append(out, &kind, 1);
}

void row_key_append_group(struct buf *out, uint16_t group, uint32_t generation)
{
    append_kind(out, group, generation, ROW_KIND_GROUP);
}

void row_key_append_head_end(struct buf *out, uint16_t group, uint32_t generation)
{
    static_assert(ROW_KIND_DUP < ROW_KIND_GROUP, "the row of the group is the last head row");
    append_kind(out, group, generation, ROW_KIND_GROUP + 1);
}

void row_key_append_dup(struct buf *out,
                        uint16_t group,
                        uint32_t generation,
                        uint32_t node,
                        uint64_t sequence)
{
    append_kind(out, group, generation, ROW_KIND_DUP);
    uint8_t *p = buf_reserve(out, 12);
    put_u32_be(p, node);
    put_u64_be(p + 4, sequence);
    buf_extend(out, 12);
}

enum status row_key_decode_dup(struct bytes row_key, uint32_t *out_node, uint64_t *out_sequence)
{
    const uint8_t *p = row_key.data;
    if (row_key.size != DUP_KEY_BYTES || p[ROW_GENERATION_BYTES] != ROW_KIND_DUP) {
        return STATUS_MALFORMED;
    }
    *out_node = get_u32_be(p + 7);
    *out_sequence = get_u64_be(p + 11);
    return STATUS_OK;
}

void row_key_append_txn(struct buf *out,
                        uint16_t group,
                        uint32_t generation,
                        uint32_t node,
                        uint32_t incarnation,
                        uint64_t sequence)
{
    static_assert(ROW_KIND_DUP < ROW_KIND_TXN && ROW_KIND_TXN < ROW_KIND_GROUP, "a head row");
    append_kind(out, group, generation, ROW_KIND_TXN);
    uint8_t *p = buf_reserve(out, 16);
    put_u32_be(p, node);
    put_u32_be(p + 4, incarnation);
    put_u64_be(p + 8, sequence);
    buf_extend(out, 16);
}

enum status row_key_decode_txn(struct bytes row_key,
                               uint32_t *out_node,
                               uint32_t *out_incarnation,
                               uint64_t *out_sequence)
{
    const uint8_t *p = row_key.data;
    if (row_key.size != TXN_KEY_BYTES || p[ROW_GENERATION_BYTES] != ROW_KIND_TXN) {
        return STATUS_MALFORMED;
    }
    *out_node = get_u32_be(p + 7);
    *out_incarnation = get_u32_be(p + 11);
    *out_sequence = get_u64_be(p + 15);
    return STATUS_OK;
}

/* ---- objects --------------------------------------------------------------------------------- */

void object_encode(const struct object *o, uint8_t *out_bytes)
{
    ensure(o->version > 0 && o->incarnation > 0 && o->incarnation <= o->version);
    memset(out_bytes, 0, OBJECT_HEADER_BYTES);
    out_bytes[0] = (uint8_t)o->type;
    out_bytes[1] = OBJECT_ENCODING_RAW;
    put_u64_le(out_bytes + 8, o->version);
    put_u64_le(out_bytes + 16, o->incarnation);
    put_u64_le(out_bytes + 24, o->expires_ms);
    if (o->value.size > 0) {
        memcpy(out_bytes + OBJECT_HEADER_BYTES, o->value.data, o->value.size);
    }
}

enum status object_decode(struct bytes bytes, struct object *out_object)
{
    if (bytes.size < OBJECT_HEADER_BYTES || bytes.data[0] != OBJECT_TYPE_STRING ||
        bytes.data[1] != OBJECT_ENCODING_RAW) {
        return STATUS_CORRUPT;
    }
    *out_object = (struct object){
        .type = OBJECT_TYPE_STRING,
        .version = get_u64_le(bytes.data + 8),
        .incarnation = get_u64_le(bytes.data + 16),
        .expires_ms = get_u64_le(bytes.data + 24),
        .value = bytes_of(bytes.data + OBJECT_HEADER_BYTES, bytes.size - OBJECT_HEADER_BYTES),
    };
    return STATUS_OK;
}
