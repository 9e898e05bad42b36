/*
 * One encoding per message: fields that a type does not use are zero, and there is nothing behind
 * the last one. So whatever decodes, encodes to the same bytes again.
 */
#include "consensus/message.h"

#include "base/assert.h"
#include "base/endian.h"
#include "base/mem.h"

#define MESSAGE_VERSION 1u
#define ENTRY_HEADER_BYTES 16u
#define PROBE_HEADER_BYTES 16u
#define PROBE_ITEM_BYTES 26u
/* A list of entries that a large message needed is not kept beyond this. */
#define ENTRIES_KEPT 4096u

enum message_field {
    AT_KIND = 0,
    AT_VERSION = 1,
    AT_GROUP = 2,
    AT_SENDER = 4,
    AT_RECEIVER = 12,
    AT_TYPE = 20,
    AT_FLAGS = 21,
    AT_TERM = 24,
    AT_BODY = 32,

    AT_PREV_INDEX = 32,
    AT_PREV_TERM = 40,
    AT_COMMIT = 48,
    AT_COUNT = 56,
    AT_ENTRIES = 64,

    AT_REJECTED = 32,
    AT_RESULT_LAST_INDEX = 40,
    AT_RESULT_END = 48,

    /* Of VOTE, INSTALL and TIMEOUT_NOW. */
    AT_LAST_INDEX = 32,
    AT_LAST_TERM = 40,
    AT_LAST_END = 48,
    AT_CONFIG_INDEX = 48,
    AT_CONFIG = 56,
};

enum entry_field {
    ENTRY_TERM = 0,
    ENTRY_SIZE = 8,
    ENTRY_KIND = 12,
};

enum message_flags {
    FLAG_DISRUPT_LEADER = 1u, /* VOTE */
    FLAG_GRANTED = 1u,        /* VOTE_RESULT */
    FLAG_PRE_VOTE = 2u,       /* both */
};

enum probe_field {
    PROBE_COUNT = 4,
    PROBE_ROUND = 8,
};

enum probe_item_field {
    ITEM_SENDER = 0,
    ITEM_RECEIVER = 8,
    ITEM_TERM = 16,
    ITEM_GROUP = 24,
};

/* ---- encoding -------------------------------------------------------------------------------- */

static size_t fixed_size(enum engine_message_type type)
{
    switch (type) {
    case ENGINE_APPEND:
        return AT_ENTRIES;
    case ENGINE_APPEND_RESULT:
        return AT_RESULT_END;
    case ENGINE_VOTE:
    case ENGINE_TIMEOUT_NOW:
        return AT_LAST_END;
    case ENGINE_VOTE_RESULT:
        return AT_BODY;
    case ENGINE_INSTALL:
        return AT_CONFIG;
    }
    unreachable("a message of no type");
}

static void put_last(uint8_t *p, uint64_t index, uint64_t term)
{
    put_u64_le(p + AT_LAST_INDEX, index);
    put_u64_le(p + AT_LAST_TERM, term);
}

/* Everything of fixed size; p is zeros. */
static void put_fixed(uint8_t *p, const struct engine_message *m)
{
    switch (m->type) {
    case ENGINE_APPEND:
        put_u64_le(p + AT_PREV_INDEX, m->append.prev_index);
        put_u64_le(p + AT_PREV_TERM, m->append.prev_term);
        put_u64_le(p + AT_COMMIT, m->append.commit);
        put_u32_le(p + AT_COUNT, m->append.count);
        return;
    case ENGINE_APPEND_RESULT:
        put_u64_le(p + AT_REJECTED, m->append_result.rejected);
        put_u64_le(p + AT_RESULT_LAST_INDEX, m->append_result.last_index);
        return;
    case ENGINE_VOTE:
        p[AT_FLAGS] = (uint8_t)((m->vote.disrupt_leader ? FLAG_DISRUPT_LEADER : 0) |
                                (m->vote.pre_vote ? FLAG_PRE_VOTE : 0));
        put_last(p, m->vote.last_index, m->vote.last_term);
        return;
    case ENGINE_VOTE_RESULT:
        p[AT_FLAGS] = (uint8_t)((m->vote_result.granted ? FLAG_GRANTED : 0) |
                                (m->vote_result.pre_vote ? FLAG_PRE_VOTE : 0));
        return;
    case ENGINE_INSTALL:
        put_last(p, m->install.last_index, m->install.last_term);
        put_u64_le(p + AT_CONFIG_INDEX, m->install.config.index);
        return;
    case ENGINE_TIMEOUT_NOW:
        put_last(p, m->timeout_now.last_index, m->timeout_now.last_term);
        return;
    }
    unreachable("a message of no type");
}

static void append_entry(const struct engine_entry *entry, struct buf *out)
{
    ensure(entry->payload.size <= UINT32_MAX);
    uint8_t *p = buf_reserve(out, ENTRY_HEADER_BYTES);
    memset(p, 0, ENTRY_HEADER_BYTES);
    put_u64_le(p + ENTRY_TERM, entry->term);
    put_u32_le(p + ENTRY_SIZE, (uint32_t)entry->payload.size);
    p[ENTRY_KIND] = (uint8_t)entry->kind;
    buf_extend(out, ENTRY_HEADER_BYTES);
    buf_append_bytes(out, entry->payload);
}

void message_encode(const struct message_route *route,
                    const struct engine_message *m,
                    struct buf *out)
{
    ensure(m->peer == route->receiver);
    size_t size = fixed_size(m->type);
    uint8_t *p = buf_reserve(out, size);
    memset(p, 0, size);
    p[AT_KIND] = MESSAGE_RAFT;
    p[AT_VERSION] = MESSAGE_VERSION;
    put_u16_le(p + AT_GROUP, route->group);
    put_u64_le(p + AT_SENDER, route->sender);
    put_u64_le(p + AT_RECEIVER, route->receiver);
    p[AT_TYPE] = (uint8_t)m->type;
    put_u64_le(p + AT_TERM, m->term);
    put_fixed(p, m);
    buf_extend(out, size);
    if (m->type == ENGINE_INSTALL) {
        engine_config_encode(&m->install.config, out);
    }
    if (m->type == ENGINE_APPEND && m->append.count > 0) {
        ensure(m->append.entries != NULL);
        for (uint32_t i = 0; i < m->append.count; i++) {
            append_entry(&m->append.entries[i], out);
        }
    }
}

/* ---- decoding -------------------------------------------------------------------------------- */

void message_entries_deinit(struct message_entries *e)
{
    mem_free(e->items);
    *e = (struct message_entries){0};
}

/* Room for count entries, and for one of none: a decoded append always has a list. */
static void entries_reserve(struct message_entries *e, size_t count)
{
    if (e->items == NULL || count > e->capacity ||
        (e->capacity > ENTRIES_KEPT && count <= ENTRIES_KEPT)) {
        mem_free(e->items);
        e->capacity = count > 0 ? count : 1;
        e->items = mem_alloc(e->capacity * sizeof e->items[0]);
    }
}

/* The entry at *at of bytes, which moves behind it. */
static enum status decode_entry(struct bytes bytes, size_t *at, struct engine_entry *out_entry)
{
    if (bytes.size - *at < ENTRY_HEADER_BYTES) {
        return STATUS_MALFORMED;
    }
    const uint8_t *p = bytes.data + *at;
    size_t size = get_u32_le(p + ENTRY_SIZE);
    uint8_t kind = p[ENTRY_KIND];
    bool is_padded = p[13] == 0 && p[14] == 0 && p[15] == 0;
    if (size > bytes.size - *at - ENTRY_HEADER_BYTES || !is_padded || kind < ENGINE_ENTRY_COMMAND ||
        kind > ENGINE_ENTRY_CHANGE) {
        return STATUS_MALFORMED;
    }
    *out_entry = (struct engine_entry){
        .term = get_u64_le(p + ENTRY_TERM),
        .kind = (enum engine_entry_kind)kind,
        .payload = bytes_of(p + ENTRY_HEADER_BYTES, size),
    };
    *at += ENTRY_HEADER_BYTES + size;
    return STATUS_OK;
}

static enum status decode_append(struct bytes bytes,
                                 struct engine_message *m,
                                 struct message_entries *entries)
{
    const uint8_t *p = bytes.data;
    m->append.prev_index = get_u64_le(p + AT_PREV_INDEX);
    m->append.prev_term = get_u64_le(p + AT_PREV_TERM);
    m->append.commit = get_u64_le(p + AT_COMMIT);
    m->append.count = get_u32_le(p + AT_COUNT);
    bool is_padded = get_u32_le(p + AT_COUNT + 4) == 0;
    /* Before anything is allocated by the count: each entry takes bytes. */
    if (!is_padded || m->append.count > (bytes.size - AT_ENTRIES) / ENTRY_HEADER_BYTES) {
        return STATUS_MALFORMED;
    }
    entries_reserve(entries, m->append.count);
    m->append.entries = entries->items;
    size_t at = AT_ENTRIES;
    for (uint32_t i = 0; i < m->append.count; i++) {
        enum status s = decode_entry(bytes, &at, &entries->items[i]);
        if (s != STATUS_OK) {
            return s;
        }
    }
    return at == bytes.size ? STATUS_OK : STATUS_MALFORMED;
}

static enum status decode_install(struct bytes bytes, struct engine_message *m)
{
    const uint8_t *p = bytes.data;
    m->install.last_index = get_u64_le(p + AT_LAST_INDEX);
    m->install.last_term = get_u64_le(p + AT_LAST_TERM);
    struct bytes config = bytes_of(p + AT_CONFIG, bytes.size - AT_CONFIG);
    if (engine_config_decode(config, &m->install.config) != STATUS_OK) {
        return STATUS_MALFORMED;
    }
    m->install.config.index = get_u64_le(p + AT_CONFIG_INDEX);
    return STATUS_OK;
}

static enum status decode_body(struct bytes bytes,
                               struct engine_message *m,
                               struct message_entries *entries)
{
    const uint8_t *p = bytes.data;
    switch (m->type) {
    case ENGINE_APPEND:
        return decode_append(bytes, m, entries);
    case ENGINE_APPEND_RESULT:
        m->append_result.rejected = get_u64_le(p + AT_REJECTED);
        m->append_result.last_index = get_u64_le(p + AT_RESULT_LAST_INDEX);
        return STATUS_OK;
    case ENGINE_VOTE:
        m->vote.last_index = get_u64_le(p + AT_LAST_INDEX);
        m->vote.last_term = get_u64_le(p + AT_LAST_TERM);
        m->vote.disrupt_leader = (p[AT_FLAGS] & FLAG_DISRUPT_LEADER) != 0;
        m->vote.pre_vote = (p[AT_FLAGS] & FLAG_PRE_VOTE) != 0;
        return STATUS_OK;
    case ENGINE_VOTE_RESULT:
        m->vote_result.granted = (p[AT_FLAGS] & FLAG_GRANTED) != 0;
        m->vote_result.pre_vote = (p[AT_FLAGS] & FLAG_PRE_VOTE) != 0;
        return STATUS_OK;
    case ENGINE_INSTALL:
        return decode_install(bytes, m);
    case ENGINE_TIMEOUT_NOW:
        m->timeout_now.last_index = get_u64_le(p + AT_LAST_INDEX);
        m->timeout_now.last_term = get_u64_le(p + AT_LAST_TERM);
        return STATUS_OK;
    }
    unreachable("a message of no type");
}

/* Kind, version, type, flags and size, whatever the type. */
static bool frame_is_good(struct bytes bytes)
{
    const uint8_t *p = bytes.data;
    if (bytes.size < AT_BODY || p[AT_KIND] != MESSAGE_RAFT || p[AT_VERSION] != MESSAGE_VERSION ||
        p[AT_TYPE] < ENGINE_APPEND || p[AT_TYPE] > ENGINE_TIMEOUT_NOW) {
        return false;
    }
    enum engine_message_type type = (enum engine_message_type)p[AT_TYPE];
    bool has_flags = type == ENGINE_VOTE || type == ENGINE_VOTE_RESULT;
    bool has_tail = type == ENGINE_APPEND || type == ENGINE_INSTALL;
    size_t size = fixed_size(type);
    return p[AT_FLAGS] <= (has_flags ? 3u : 0u) && get_u16_le(p + AT_FLAGS + 1) == 0 &&
           (has_tail ? bytes.size >= size : bytes.size == size);
}

enum status message_decode(struct bytes bytes,
                           struct message_route *out_route,
                           struct engine_message *out,
                           struct message_entries *entries)
{
    if (!frame_is_good(bytes)) {
        return STATUS_MALFORMED;
    }
    const uint8_t *p = bytes.data;
    struct engine_message m = {
        .type = (enum engine_message_type)p[AT_TYPE],
        .peer = get_u64_le(p + AT_SENDER),
        .term = get_u64_le(p + AT_TERM),
    };
    enum status s = decode_body(bytes, &m, entries);
    if (s != STATUS_OK) {
        return s;
    }
    *out_route = (struct message_route){
        .group = get_u16_le(p + AT_GROUP),
        .sender = get_u64_le(p + AT_SENDER),
        .receiver = get_u64_le(p + AT_RECEIVER),
    };
    *out = m;
    return STATUS_OK;
}

/* ---- probes ---------------------------------------------------------------------------------- */

void message_probe_encode(enum message_kind kind,
                          uint64_t round,
                          const struct message_probe_item *items,
                          uint32_t count,
                          struct buf *out)
{
    ensure(kind == MESSAGE_PROBE || kind == MESSAGE_PROBE_RESULT);
    size_t size = PROBE_HEADER_BYTES + (size_t)count * PROBE_ITEM_BYTES;
    uint8_t *p = buf_reserve(out, size);
    memset(p, 0, PROBE_HEADER_BYTES);
    p[AT_KIND] = (uint8_t)kind;
    p[AT_VERSION] = MESSAGE_VERSION;
    put_u32_le(p + PROBE_COUNT, count);
    put_u64_le(p + PROBE_ROUND, round);
    p += PROBE_HEADER_BYTES;
    for (uint32_t i = 0; i < count; i++) {
        put_u64_le(p + ITEM_SENDER, items[i].sender);
        put_u64_le(p + ITEM_RECEIVER, items[i].receiver);
        put_u64_le(p + ITEM_TERM, items[i].term);
        put_u16_le(p + ITEM_GROUP, items[i].group);
        p += PROBE_ITEM_BYTES;
    }
    buf_extend(out, size);
}

enum status message_probe_decode(struct bytes bytes, uint64_t *out_round, uint32_t *out_count)
{
    if (bytes.size < PROBE_HEADER_BYTES) {
        return STATUS_MALFORMED;
    }
    const uint8_t *p = bytes.data;
    uint32_t count = get_u32_le(p + PROBE_COUNT);
    size_t room = bytes.size - PROBE_HEADER_BYTES;
    bool is_probe = p[AT_KIND] == MESSAGE_PROBE || p[AT_KIND] == MESSAGE_PROBE_RESULT;
    if (!is_probe || p[AT_VERSION] != MESSAGE_VERSION || get_u16_le(p + 2) != 0 ||
        room % PROBE_ITEM_BYTES != 0 || room / PROBE_ITEM_BYTES != count) {
        return STATUS_MALFORMED;
    }
    *out_round = get_u64_le(p + PROBE_ROUND);
    *out_count = count;
    return STATUS_OK;
}

struct message_probe_item message_probe_item(struct bytes bytes, uint32_t i)
{
    size_t at = PROBE_HEADER_BYTES + (size_t)i * PROBE_ITEM_BYTES;
    ensure(at + PROBE_ITEM_BYTES <= bytes.size);
    const uint8_t *p = bytes.data + at;
    return (struct message_probe_item){
        .group = get_u16_le(p + ITEM_GROUP),
        .sender = get_u64_le(p + ITEM_SENDER),
        .receiver = get_u64_le(p + ITEM_RECEIVER),
        .term = get_u64_le(p + ITEM_TERM),
    };
}
