#include "shard/state_row.h"

#include "base/assert.h"
#include "base/endian.h"

#define STATE_ROW_VERSION 1u
#define STATE_ROW_BYTES 48u /* then the configuration */

enum state_field {
    STATE_VERSION = 0,
    STATE_ZEROS = 1, /* seven */
    STATE_INDEX = 8,
    STATE_TERM = 16,
    STATE_TIME = 24,
    STATE_OPERATIONS = 32,
    STATE_CONFIG_INDEX = 40,
};

void state_row_encode(struct buf *out,
                      const struct replica_base *base,
                      uint64_t time_ms,
                      uint64_t operations)
{
    ensure(base->index > 0 && base->term > 0 && base->config.index <= base->index);
    ensure((base->config.index == 0) == (base->config.count == 0));
    uint8_t *p = buf_reserve(out, STATE_ROW_BYTES);
    memset(p, 0, STATE_ROW_BYTES);
    p[STATE_VERSION] = STATE_ROW_VERSION;
    put_u64_le(p + STATE_INDEX, base->index);
    put_u64_le(p + STATE_TERM, base->term);
    put_u64_le(p + STATE_TIME, time_ms);
    put_u64_le(p + STATE_OPERATIONS, operations);
    put_u64_le(p + STATE_CONFIG_INDEX, base->config.index);
    buf_extend(out, STATE_ROW_BYTES);
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

enum status state_row_decode(struct bytes value,
                             struct replica_base *out_base,
                             uint64_t *out_time_ms,
                             uint64_t *out_operations)
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
    struct replica_base base = {
        .index = get_u64_le(p + STATE_INDEX),
        .term = get_u64_le(p + STATE_TERM),
    };
    uint64_t config_index = get_u64_le(p + STATE_CONFIG_INDEX);
    struct bytes config = bytes_of(p + STATE_ROW_BYTES, value.size - STATE_ROW_BYTES);
    if (base.index == 0 || base.term == 0 || config_index > base.index ||
        decode_config(config, config_index, &base.config) != STATUS_OK) {
        return STATUS_CORRUPT;
    }
    *out_base = base;
    *out_time_ms = get_u64_le(p + STATE_TIME);
    *out_operations = get_u64_le(p + STATE_OPERATIONS);
    return STATUS_OK;
}
