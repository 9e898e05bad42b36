#include "data/row.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/assert.h"
#include "base/endian.h"
#include "data/slot.h"

#define OBJECT_ENCODING_RAW 0u

/* 0x00 ends the key, so a zero inside it is written as 0x00 0xff and still sorts as a zero. */
#define ESCAPE 0x00u
#define ESCAPED_ZERO 0xffu

uint32_t row_key_hash(struct bytes key)
{
    return (uint32_t)(XXH3_64bits(key.data, key.size) >> 32);
}

void row_key_append_prefix(struct buf *out,
                           const struct keyspace *space,
                           uint16_t slot,
                           uint32_t hash)
{
    uint8_t *p = buf_reserve(out, ROW_KEY_PREFIX_BYTES);
    put_u16_be(p, space->group);
    put_u32_be(p + 2, space->generation);
    p[6] = ROW_KIND_OBJECT;
    p[7] = space->database;
    put_u32_be(p + 8, space->epoch);
    put_u16_be(p + 12, slot);
    put_u32_be(p + 14, hash);
    buf_extend(out, ROW_KEY_PREFIX_BYTES);
}

void row_key_append(struct buf *out, const struct keyspace *space, struct bytes key)
{
    row_key_append_prefix(out, space, slot_of_key(key), row_key_hash(key));
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

enum status row_key_decode(struct bytes row_key, struct keyspace *out_space, struct buf *out_key)
{
    const uint8_t *p = row_key.data;
    if (row_key.size < ROW_KEY_PREFIX_BYTES + 2 || p[6] != ROW_KIND_OBJECT) {
        return STATUS_MALFORMED;
    }
    *out_space = (struct keyspace){
        .group = (uint16_t)((p[0] << 8) | p[1]),
        .generation =
            ((uint32_t)p[2] << 24) | ((uint32_t)p[3] << 16) | ((uint32_t)p[4] << 8) | p[5],
        .database = p[7],
        .epoch = ((uint32_t)p[8] << 24) | ((uint32_t)p[9] << 16) | ((uint32_t)p[10] << 8) | p[11],
    };
    size_t end = row_key.size - 2;
    for (size_t i = ROW_KEY_PREFIX_BYTES; i < end; i++) {
        buf_append(out_key, p + i, 1);
        i += p[i] == ESCAPE ? 1 : 0;
    }
    return STATUS_OK;
}

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
