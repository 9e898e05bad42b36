/* Bytes of the payloads of GROUP and INSTALL records (docs/disk-format.md). */
#include "base/assert.h"
#include "base/endian.h"
#include "consensus/replica_parts.h"

enum {
    AT_VERSION = 0, /* and three zero bytes */
    AT_GENERATION = 4,
    AT_REPLICA_ID = 8,
    AT_INDEX = 16,
    AT_TERM = 24,
    AT_CONFIG_INDEX = 32,
    AT_CONFIG = GROUP_RECORD_BYTES,
};

void group_record_encode(const struct group_record *g, struct buf *out)
{
    const struct replica_base *base = &g->base;
    ensure((base->index > 0) == (base->config.index > 0));
    uint8_t *p = buf_reserve(out, GROUP_RECORD_BYTES);
    memset(p, 0, GROUP_RECORD_BYTES);
    p[AT_VERSION] = GROUP_RECORD_VERSION;
    put_u32_le(p + AT_GENERATION, g->generation);
    put_u64_le(p + AT_REPLICA_ID, g->replica_id);
    put_u64_le(p + AT_INDEX, base->index);
    put_u64_le(p + AT_TERM, base->term);
    put_u64_le(p + AT_CONFIG_INDEX, base->config.index);
    buf_extend(out, GROUP_RECORD_BYTES);
    if (base->config.index > 0) {
        engine_config_encode(&base->config, out);
    }
}

enum status group_record_decode(struct bytes payload, struct group_record *out_record)
{
    const uint8_t *p = payload.data;
    if (payload.size < GROUP_RECORD_BYTES) {
        return STATUS_MALFORMED;
    }
    if (p[AT_VERSION] != GROUP_RECORD_VERSION) {
        return p[AT_VERSION] > GROUP_RECORD_VERSION ? STATUS_UNSUPPORTED : STATUS_MALFORMED;
    }
    struct group_record g = {
        .generation = get_u32_le(p + AT_GENERATION),
        .replica_id = get_u64_le(p + AT_REPLICA_ID),
        .base = {.index = get_u64_le(p + AT_INDEX), .term = get_u64_le(p + AT_TERM)},
    };
    uint64_t config_index = get_u64_le(p + AT_CONFIG_INDEX);
    bool has_state = g.base.index > 0;
    if (p[1] != 0 || p[2] != 0 || p[3] != 0 || has_state != (g.base.term > 0) ||
        has_state != (config_index > 0) || config_index > g.base.index) {
        return STATUS_MALFORMED;
    }
    struct bytes config = bytes_of(p + AT_CONFIG, payload.size - AT_CONFIG);
    if (has_state ? engine_config_decode(config, &g.base.config) != STATUS_OK : config.size > 0) {
        return STATUS_MALFORMED;
    }
    g.base.config.index = config_index;
    *out_record = g;
    return STATUS_OK;
}
