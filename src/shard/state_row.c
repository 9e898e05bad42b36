#include "shard/state_row.h"

#include "base/assert.h"
#include "base/endian.h"

#define STATE_ROW_VERSION 2u
#define STATE_ROW_BYTES 48u /* then databases, then the configuration */
#define DATABASE_BYTES 24u

enum state_field {
    STATE_VERSION = 0,
    STATE_DATABASES = 1, /* how many */
    STATE_ZEROS = 2,     /* six */
    STATE_INDEX = 8,
    STATE_TERM = 16,
    STATE_TIME = 24,
    STATE_OPERATIONS = 32,
    STATE_CONFIG_INDEX = 40,
};

enum database_field {
    DATABASE_NUMBER = 0,
    DATABASE_ZEROS = 1, /* three */
    DATABASE_EPOCH = 4,
    DATABASE_KEYS = 8,
    DATABASE_EXPIRING = 16,
};

/* ---- databases ------------------------------------------------------------------------------- */

/* As at the beginning: nothing is written of it. */
static bool is_untouched(const struct database *d)
{
    return d->epoch == 0 && d->keys == 0 && d->expiring == 0;
}

static uint8_t append_databases(struct buf *out, const struct database *databases)
{
    uint8_t count = 0;
    for (uint8_t i = 0; i < LIMIT_DATABASES; i++) {
        const struct database *d = &databases[i];
        ensure(d->expiring <= d->keys);
        if (is_untouched(d)) {
            continue;
        }
        uint8_t *p = buf_reserve(out, DATABASE_BYTES);
        memset(p, 0, DATABASE_BYTES);
        p[DATABASE_NUMBER] = i;
        put_u32_le(p + DATABASE_EPOCH, d->epoch);
        put_u64_le(p + DATABASE_KEYS, d->keys);
        put_u64_le(p + DATABASE_EXPIRING, d->expiring);
        buf_extend(out, DATABASE_BYTES);
        count++;
    }
    return count;
}

/* In the order of their numbers, none untouched: equal states have equal bytes. */
static enum status decode_databases(const uint8_t *p, uint8_t count, struct database *out_databases)
{
    static const uint8_t zeros[DATABASE_EPOCH - DATABASE_ZEROS];
    unsigned next = 0;
    for (uint8_t i = 0; i < count; i++, p += DATABASE_BYTES) {
        struct database d = {
            .epoch = get_u32_le(p + DATABASE_EPOCH),
            .keys = get_u64_le(p + DATABASE_KEYS),
            .expiring = get_u64_le(p + DATABASE_EXPIRING),
        };
        unsigned number = p[DATABASE_NUMBER];
        if (number < next || number >= LIMIT_DATABASES || is_untouched(&d) || d.expiring > d.keys ||
            memcmp(p + DATABASE_ZEROS, zeros, sizeof zeros) != 0) {
            return STATUS_CORRUPT;
        }
        out_databases[number] = d;
        next = number + 1;
    }
    return STATUS_OK;
}

/* ---- the row --------------------------------------------------------------------------------- */

void state_row_encode(struct buf *out, const struct state_row *row)
{
    const struct replica_base *base = &row->base;
    ensure(base->index > 0 && base->term > 0 && base->config.index <= base->index);
    ensure((base->config.index == 0) == (base->config.count == 0));
    size_t at = out->size;
    uint8_t *p = buf_reserve(out, STATE_ROW_BYTES);
    memset(p, 0, STATE_ROW_BYTES);
    p[STATE_VERSION] = STATE_ROW_VERSION;
    put_u64_le(p + STATE_INDEX, base->index);
    put_u64_le(p + STATE_TERM, base->term);
    put_u64_le(p + STATE_TIME, row->time_ms);
    put_u64_le(p + STATE_OPERATIONS, row->operations);
    put_u64_le(p + STATE_CONFIG_INDEX, base->config.index);
    buf_extend(out, STATE_ROW_BYTES);
    uint8_t count = append_databases(out, row->databases);
    out->data[at + STATE_DATABASES] = count;
    if (base->config.index > 0) {
        engine_config_encode(&base->config, out);
    }
}

static enum status decode_config(struct bytes bytes, uint64_t index, struct engine_config *out)
{
    if (index == 0) {
        return bytes.size == 0 ? STATUS_OK : STATUS_CORRUPT;
    }
    if (engine_config_decode(bytes, out) != STATUS_OK) {
        return STATUS_CORRUPT;
    }
    out->index = index;
    return STATUS_OK;
}

/* The parts of changing size: databases, configuration. */
static enum status decode_parts(struct bytes value, struct state_row *row)
{
    uint8_t count = value.data[STATE_DATABASES];
    uint64_t config_index = get_u64_le(value.data + STATE_CONFIG_INDEX);
    size_t at = STATE_ROW_BYTES + count * (size_t)DATABASE_BYTES;
    if (value.size < at || config_index > row->base.index) {
        return STATUS_CORRUPT;
    }
    enum status s = decode_databases(value.data + STATE_ROW_BYTES, count, row->databases);
    if (s != STATUS_OK) {
        return s;
    }
    struct bytes config = bytes_of(value.data + at, value.size - at);
    return decode_config(config, config_index, &row->base.config);
}

enum status state_row_decode(struct bytes value, struct state_row *out_row)
{
    static const uint8_t zeros[STATE_INDEX - STATE_ZEROS];
    const uint8_t *p = value.data;
    if (value.size == 0) {
        return STATUS_CORRUPT;
    }
    if (p[STATE_VERSION] != STATE_ROW_VERSION) {
        return STATUS_UNSUPPORTED;
    }
    if (value.size < STATE_ROW_BYTES || memcmp(p + STATE_ZEROS, zeros, sizeof zeros) != 0) {
        return STATUS_CORRUPT;
    }
    struct state_row row = {
        .base.index = get_u64_le(p + STATE_INDEX),
        .base.term = get_u64_le(p + STATE_TERM),
        .time_ms = get_u64_le(p + STATE_TIME),
        .operations = get_u64_le(p + STATE_OPERATIONS),
    };
    if (row.base.index == 0 || row.base.term == 0 || decode_parts(value, &row) != STATUS_OK) {
        return STATUS_CORRUPT;
    }
    *out_row = row;
    return STATUS_OK;
}
