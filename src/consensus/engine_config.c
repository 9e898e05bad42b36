/* Configurations: our bytes, which are on disk and on the wire, and libraft's struct and bytes. */
#include <string.h>

#include "base/assert.h"
#include "base/endian.h"
#include "base/mem.h"
#include "consensus/engine_parts.h"

/* version, count, then per member: id (8), flags (1) */
#define CONFIG_VERSION 1u
#define CONFIG_HEADER_BYTES 2u
#define CONFIG_MEMBER_BYTES 9u
#define CONFIG_FLAG_VOTER 1u

bool engine_config_is_valid(const struct engine_config *config)
{
    if (config->count == 0 || config->count > ENGINE_MEMBERS_MAX) {
        return false;
    }
    bool has_voter = false;
    for (unsigned i = 0; i < config->count; i++) {
        if (config->members[i].id == 0) {
            return false;
        }
        for (unsigned j = 0; j < i; j++) {
            if (config->members[j].id == config->members[i].id) {
                return false;
            }
        }
        has_voter = has_voter || config->members[i].is_voter;
    }
    return has_voter;
}

bool engine_config_is_one_change(const struct engine_config *from, const struct engine_config *to)
{
    const struct engine_config *longer = from->count > to->count ? from : to;
    const struct engine_config *shorter = longer == from ? to : from;
    if (longer->count - shorter->count > 1) {
        return false;
    }
    unsigned skipped = 0;
    unsigned changed = 0;
    for (unsigned i = 0; i < shorter->count; i++) {
        const struct engine_member *b = &shorter->members[i];
        if (longer->count > shorter->count && skipped == 0 && longer->members[i].id != b->id) {
            skipped = 1;
        }
        const struct engine_member *a = &longer->members[i + skipped];
        if (a->id != b->id) {
            return false;
        }
        changed += a->is_voter != b->is_voter;
    }
    return changed + (longer->count - shorter->count) == 1;
}

void engine_config_encode(const struct engine_config *config, struct buf *out)
{
    ensure(engine_config_is_valid(config));
    uint8_t *p = buf_reserve(out, CONFIG_HEADER_BYTES + config->count * CONFIG_MEMBER_BYTES);
    p[0] = CONFIG_VERSION;
    p[1] = (uint8_t)config->count;
    p += CONFIG_HEADER_BYTES;
    for (unsigned i = 0; i < config->count; i++) {
        put_u64_le(p, config->members[i].id);
        p[8] = config->members[i].is_voter ? CONFIG_FLAG_VOTER : 0;
        p += CONFIG_MEMBER_BYTES;
    }
    buf_extend(out, CONFIG_HEADER_BYTES + config->count * CONFIG_MEMBER_BYTES);
}

enum status engine_config_decode(struct bytes payload, struct engine_config *out_config)
{
    if (payload.size < CONFIG_HEADER_BYTES || payload.data[0] != CONFIG_VERSION) {
        return STATUS_MALFORMED;
    }
    struct engine_config config = {.count = payload.data[1]};
    if (config.count > ENGINE_MEMBERS_MAX ||
        payload.size != CONFIG_HEADER_BYTES + config.count * CONFIG_MEMBER_BYTES) {
        return STATUS_MALFORMED;
    }
    const uint8_t *p = payload.data + CONFIG_HEADER_BYTES;
    for (unsigned i = 0; i < config.count; i++) {
        if (p[8] > CONFIG_FLAG_VOTER) {
            return STATUS_MALFORMED;
        }
        config.members[i].id = get_u64_le(p);
        config.members[i].is_voter = p[8] == CONFIG_FLAG_VOTER;
        p += CONFIG_MEMBER_BYTES;
    }
    if (!engine_config_is_valid(&config)) {
        return STATUS_MALFORMED;
    }
    *out_config = config;
    return STATUS_OK;
}

void engine_config_to_raft(const struct engine_config *config, struct raft_configuration *out)
{
    raft_configuration_init(out);
    for (unsigned i = 0; i < config->count; i++) {
        char address[ENGINE_ADDRESS_BYTES];
        engine_address(config->members[i].id, address);
        /* Members without a vote are stand-bys, which get entries; spares would not. */
        int role = config->members[i].is_voter ? RAFT_VOTER : RAFT_STANDBY;
        int rv = raft_configuration_add(out, config->members[i].id, address, role);
        ensure(rv == 0);
    }
}

void engine_config_from_raft(const struct raft_configuration *config,
                             uint64_t index,
                             struct engine_config *out)
{
    ensure(config->n <= ENGINE_MEMBERS_MAX);
    *out = (struct engine_config){.index = index, .count = config->n};
    for (unsigned i = 0; i < config->n; i++) {
        out->members[i].id = config->servers[i].id;
        out->members[i].is_voter = config->servers[i].role == RAFT_VOTER;
    }
}

/* libraft's bytes of a CHANGE entry's configuration; raft_free. */
static struct raft_buffer raft_encode(struct bytes payload)
{
    struct engine_config config;
    enum status s = engine_config_decode(payload, &config);
    ensure(s == STATUS_OK);
    struct raft_configuration configuration;
    engine_config_to_raft(&config, &configuration);
    struct raft_buffer out;
    int rv = raft_configuration_encode(&configuration, &out);
    ensure(rv == 0);
    raft_configuration_close(&configuration);
    return out;
}

void *engine_entries_to_raft(const struct engine_entry *entries,
                             size_t count,
                             struct raft_entry *out)
{
    size_t used = 0;
    uint8_t *block = raft_malloc(1);
    for (size_t i = 0; i < count; i++) {
        out[i] = (struct raft_entry){.term = entries[i].term, .type = RAFT_COMMAND};
        if (entries[i].kind == ENGINE_ENTRY_BARRIER) {
            out[i].type = RAFT_BARRIER;
        }
        if (entries[i].kind == ENGINE_ENTRY_CHANGE) {
            struct raft_buffer encoded = raft_encode(entries[i].payload);
            block = raft_realloc(block, used + encoded.len);
            memcpy(block + used, encoded.base, encoded.len);
            out[i].type = RAFT_CHANGE;
            out[i].buf.len = encoded.len;
            used += encoded.len;
            raft_free(encoded.base);
        }
    }
    /* The block is where it stays only now. */
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        out[i].batch = block;
        out[i].buf.base = out[i].type == RAFT_CHANGE ? block + at : NULL;
        at += out[i].buf.len;
    }
    return block;
}
