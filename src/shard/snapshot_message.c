/*
 * One encoding per message: fields that a type does not use are zero or not there, and nothing
 * stands behind the last one.
 */
#include "shard/snapshot_message.h"

#include "base/assert.h"
#include "base/crc.h"
#include "base/endian.h"

#define MESSAGE_VERSION 1u
#define ROW_HEADER_BYTES 8u

enum message_field {
    AT_KIND = 0,
    AT_VERSION = 1,
    AT_GROUP = 2,
    AT_SENDER = 4,
    AT_RECEIVER = 12,
    AT_TYPE = 20,
    AT_FLAGS = 21,
    AT_ZEROS = 22, /* two */
    AT_SESSION = 24,
    AT_BODY = 32,

    AT_INDEX = 32, /* OFFER */
    AT_TERM = 40,
    AT_CONFIG_INDEX = 48,
    AT_CONFIG = 56,

    AT_NUMBER = 32, /* PULL, CHUNK */
    AT_PULL_END = 40,

    AT_COUNT = 40, /* CHUNK */
    AT_CRC = 44,
    AT_ROWS = 48,
};

#define FLAG_LAST 1u /* CHUNK */

/* ---- encoding -------------------------------------------------------------------------------- */

/* Everything before the body; p is zeros. */
static void put_header(uint8_t *p, const struct snapshot_message *m)
{
    p[AT_KIND] = MESSAGE_SNAPSHOT;
    p[AT_VERSION] = MESSAGE_VERSION;
    put_u16_le(p + AT_GROUP, m->route.group);
    put_u64_le(p + AT_SENDER, m->route.sender);
    put_u64_le(p + AT_RECEIVER, m->route.receiver);
    p[AT_TYPE] = (uint8_t)m->type;
    put_u64_le(p + AT_SESSION, m->session);
}

static size_t fixed_size(enum snapshot_type type)
{
    switch (type) {
    case SNAPSHOT_OFFER:
        return AT_CONFIG;
    case SNAPSHOT_PULL:
        return AT_PULL_END;
    case SNAPSHOT_CHUNK:
        return AT_ROWS;
    case SNAPSHOT_STAGED:
    case SNAPSHOT_REFUSED:
    case SNAPSHOT_ENDED:
    case SNAPSHOT_ALIVE:
        return AT_BODY;
    }
    unreachable("a message of no type");
}

void snapshot_message_encode(const struct snapshot_message *m, struct buf *out)
{
    ensure(m->type != SNAPSHOT_CHUNK);
    size_t size = fixed_size(m->type);
    uint8_t *p = buf_reserve(out, size);
    memset(p, 0, size);
    put_header(p, m);
    if (m->type == SNAPSHOT_PULL) {
        put_u64_le(p + AT_NUMBER, m->number);
    }
    if (m->type == SNAPSHOT_OFFER) {
        put_u64_le(p + AT_INDEX, m->base.index);
        put_u64_le(p + AT_TERM, m->base.term);
        put_u64_le(p + AT_CONFIG_INDEX, m->base.config.index);
    }
    buf_extend(out, size);
    if (m->type == SNAPSHOT_OFFER) {
        engine_config_encode(&m->base.config, out);
    }
}

void snapshot_chunk_start(struct buf *out)
{
    ensure(out->size == 0);
    memset(buf_reserve(out, AT_ROWS), 0, AT_ROWS);
    buf_extend(out, AT_ROWS);
}

void snapshot_chunk_add(struct buf *out, struct bytes key, struct bytes value)
{
    ensure(out->size >= AT_ROWS);
    ensure(key.size > 0);
    ensure(key.size <= SNAPSHOT_ROW_BYTES_MAX && value.size <= SNAPSHOT_ROW_BYTES_MAX - key.size);
    uint8_t *count = out->data + AT_COUNT;
    put_u32_le(count, get_u32_le(count) + 1);
    uint8_t *p = buf_reserve(out, ROW_HEADER_BYTES);
    put_u32_le(p, (uint32_t)key.size);
    put_u32_le(p + 4, (uint32_t)value.size);
    buf_extend(out, ROW_HEADER_BYTES);
    buf_append_bytes(out, key);
    buf_append_bytes(out, value);
}

/* Of all bytes but its own. */
static uint32_t chunk_crc(struct bytes chunk)
{
    uint32_t crc = crc32c(0, chunk.data, AT_CRC);
    return crc32c(crc, chunk.data + AT_ROWS, chunk.size - AT_ROWS);
}

void snapshot_chunk_finish(struct buf *out, const struct snapshot_message *m)
{
    ensure(m->type == SNAPSHOT_CHUNK);
    ensure(out->size >= AT_ROWS);
    put_header(out->data, m);
    out->data[AT_FLAGS] = m->is_last ? FLAG_LAST : 0;
    put_u64_le(out->data + AT_NUMBER, m->number);
    put_u32_le(out->data + AT_CRC, chunk_crc(buf_bytes(out)));
}

/* ---- decoding -------------------------------------------------------------------------------- */

/* Kind, version, type, flags and size, whatever the type. */
static bool frame_is_good(struct bytes bytes)
{
    const uint8_t *p = bytes.data;
    if (bytes.size < AT_BODY || p[AT_KIND] != MESSAGE_SNAPSHOT ||
        p[AT_VERSION] != MESSAGE_VERSION || p[AT_TYPE] < SNAPSHOT_OFFER ||
        p[AT_TYPE] > SNAPSHOT_ALIVE || get_u16_le(p + AT_ZEROS) != 0) {
        return false;
    }
    enum snapshot_type type = (enum snapshot_type)p[AT_TYPE];
    bool has_tail = type == SNAPSHOT_OFFER || type == SNAPSHOT_CHUNK;
    size_t size = fixed_size(type);
    return p[AT_FLAGS] <= (type == SNAPSHOT_CHUNK ? FLAG_LAST : 0u) &&
           (has_tail ? bytes.size >= size : bytes.size == size);
}

static enum status decode_offer(struct bytes bytes, struct replica_base *out_base)
{
    struct replica_base base = {
        .index = get_u64_le(bytes.data + AT_INDEX),
        .term = get_u64_le(bytes.data + AT_TERM),
    };
    struct bytes config = bytes_of(bytes.data + AT_CONFIG, bytes.size - AT_CONFIG);
    if (engine_config_decode(config, &base.config) != STATUS_OK) {
        return STATUS_MALFORMED;
    }
    base.config.index = get_u64_le(bytes.data + AT_CONFIG_INDEX);
    if (base.term == 0 || base.config.index == 0 || base.config.index > base.index) {
        return STATUS_MALFORMED;
    }
    *out_base = base;
    return STATUS_OK;
}

enum status snapshot_message_decode(struct bytes bytes, struct snapshot_message *out)
{
    if (!frame_is_good(bytes)) {
        return STATUS_MALFORMED;
    }
    const uint8_t *p = bytes.data;
    struct snapshot_message m = {
        .route =
            {
                .group = get_u16_le(p + AT_GROUP),
                .sender = get_u64_le(p + AT_SENDER),
                .receiver = get_u64_le(p + AT_RECEIVER),
            },
        .type = (enum snapshot_type)p[AT_TYPE],
        .session = get_u64_le(p + AT_SESSION),
    };
    if (m.type == SNAPSHOT_OFFER && decode_offer(bytes, &m.base) != STATUS_OK) {
        return STATUS_MALFORMED;
    }
    if (m.type == SNAPSHOT_PULL || m.type == SNAPSHOT_CHUNK) {
        m.number = get_u64_le(p + AT_NUMBER);
    }
    if (m.type == SNAPSHOT_CHUNK) {
        m.is_last = p[AT_FLAGS] == FLAG_LAST;
        m.rows = bytes_of(p + AT_ROWS, bytes.size - AT_ROWS);
    }
    *out = m;
    return STATUS_OK;
}

/* The row at the beginning of rows, which moves behind it. False: there is no whole one. */
static bool take_row(struct bytes *rows, struct bytes *out_key, struct bytes *out_value)
{
    if (rows->size < ROW_HEADER_BYTES) {
        return false;
    }
    size_t key_size = get_u32_le(rows->data);
    size_t value_size = get_u32_le(rows->data + 4);
    size_t left = rows->size - ROW_HEADER_BYTES;
    if (key_size > left || value_size > left - key_size) {
        return false;
    }
    *out_key = bytes_of(rows->data + ROW_HEADER_BYTES, key_size);
    *out_value = bytes_of(out_key->data + key_size, value_size);
    *rows = bytes_of(out_value->data + value_size, left - key_size - value_size);
    return true;
}

enum status snapshot_chunk_check(struct bytes bytes, uint64_t rows_max)
{
    ensure(bytes.size >= AT_ROWS);
    const uint8_t *p = bytes.data;
    struct bytes rows = bytes_of(p + AT_ROWS, bytes.size - AT_ROWS);
    uint32_t count = get_u32_le(p + AT_COUNT);
    bool is_last = p[AT_FLAGS] == FLAG_LAST;
    if (chunk_crc(bytes) != get_u32_le(p + AT_CRC) || (count == 0 && !is_last)) {
        return STATUS_MALFORMED;
    }
    uint64_t total = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct bytes key;
        struct bytes value;
        bool is_row = take_row(&rows, &key, &value);
        if (!is_row || key.size == 0 || key.size > SNAPSHOT_ROW_BYTES_MAX ||
            value.size > SNAPSHOT_ROW_BYTES_MAX - key.size || total > rows_max) {
            return STATUS_MALFORMED;
        }
        total += key.size + value.size;
    }
    return rows.size == 0 ? STATUS_OK : STATUS_MALFORMED;
}

bool snapshot_next_row(struct bytes *rows, struct bytes *out_key, struct bytes *out_value)
{
    if (rows->size == 0) {
        return false;
    }
    bool is_row = take_row(rows, out_key, out_value);
    ensure(is_row);
    return true;
}
