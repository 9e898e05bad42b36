#include "group.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/endian.h"
#include "base/mem.h"
#include "consensus/engine_parts.h"
#include "group_disk.c"

void group_fail(struct group *g, const char *format, ...)
{
    if (g->failure[0] != 0) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(g->failure, sizeof(g->failure), format, arguments);
    va_end(arguments);
}

struct group_member *group_at(struct group *g, uint64_t id)
{
    ensure(id > 0 && id <= g->count);
    return &g->members[id - 1];
}

static bool same_entry(const struct group_entry *a, const struct group_entry *b)
{
    return a->term == b->term && a->kind == b->kind && a->size == b->size &&
           memcmp(a->payload, b->payload, a->size) == 0;
}

bool group_has_voter(const struct engine_config *config, uint64_t id)
{
    for (unsigned i = 0; i < config->count; i++) {
        if (config->members[i].id == id) {
            return config->members[i].is_voter;
        }
    }
    return false;
}

/* ---- promises -------------------------------------------------------------------------------- */

/* m leads in term: it must hold what was known to be committed in a lower one. */
static void check_complete(struct group_member *m, uint64_t index)
{
    struct group *g = m->group;
    const struct group_committed *c = &g->committed[index - 1];
    if (c->term == 0 || c->term >= engine_term(m->engine) || index < m->memory.first) {
        return;
    }
    const struct group_entry *entry = image_entry(&m->memory, index);
    if (entry == NULL || !same_entry(entry, &c->entry)) {
        group_fail(g, "leader %u lacks entry %u", (unsigned)m->id, (unsigned)index);
    }
}

static void note_committed(struct group_member *m, uint64_t index)
{
    struct group *g = m->group;
    if (index > g->committed_capacity) {
        size_t capacity = 2 * index + 64;
        g->committed = mem_realloc(g->committed, capacity * sizeof(*g->committed));
        memset(g->committed + g->committed_capacity,
               0,
               (capacity - g->committed_capacity) * sizeof(*g->committed));
        g->committed_capacity = capacity;
    }
    g->committed_count = index > g->committed_count ? index : g->committed_count;
    const struct group_entry *entry = image_entry(&m->memory, index);
    struct group_committed *c = &g->committed[index - 1];
    if (entry == NULL) {
        return; /* in a snapshot */
    }
    if (c->term != 0 && !same_entry(entry, &c->entry)) {
        group_fail(g, "member %u: another entry %u", (unsigned)m->id, (unsigned)index);
        return;
    }
    uint64_t term = engine_term(m->engine);
    if (c->term == 0 || term < c->term) {
        *c = (struct group_committed){.entry = *entry, .term = term};
        for (unsigned i = 0; i < g->count; i++) {
            struct group_member *other = &g->members[i];
            if (other->engine != NULL && engine_role(other->engine) == ENGINE_LEADER) {
                check_complete(other, index);
            }
        }
    }
}

static void check_match(struct group_member *leader)
{
    struct group *g = leader->group;
    for (unsigned i = 0; i < g->count; i++) {
        const struct group_member *peer = &g->members[i];
        uint64_t match = engine_match(leader->engine, peer->id);
        uint64_t peer_term = peer->engine != NULL ? engine_term(peer->engine) : peer->disk.term;
        if (match == 0 || peer_term > engine_term(leader->engine)) {
            continue;
        }
        uint64_t here = group_term_of(&leader->memory, match);
        bool is_there = match <= peer->disk.snapshot.index ||
                        (here != 0 && group_term_of(&peer->disk, match) == here);
        if (!is_there && match > leader->memory.snapshot.index) {
            group_fail(g,
                       "leader %u believes that %u holds %u",
                       (unsigned)leader->id,
                       (unsigned)peer->id,
                       (unsigned)match);
        }
    }
}

static bool same_config(const struct engine_config *a, const struct engine_config *b)
{
    bool is_same = a->count == b->count && a->index == b->index;
    for (unsigned i = 0; is_same && i < a->count; i++) {
        is_same = a->members[i].id == b->members[i].id &&
                  a->members[i].is_voter == b->members[i].is_voter;
    }
    return is_same;
}

/* The newest configuration at or below index that m's log or snapshot holds; index 0: none. */
static struct engine_config config_at(const struct group_member *m, uint64_t index)
{
    for (uint64_t i = index; i > m->memory.snapshot.index && i >= m->memory.first; i--) {
        const struct group_entry *entry = image_entry(&m->memory, i);
        if (entry != NULL && entry->kind == ENGINE_ENTRY_CHANGE) {
            struct engine_config config;
            enum status s = engine_config_decode(bytes_of(entry->payload, entry->size), &config);
            ensure(s == STATUS_OK);
            config.index = i;
            return config;
        }
    }
    /* One below the snapshot is known by the snapshot only. */
    return m->memory.snapshot.config;
}

static void check_config(const struct group_member *m)
{
    struct engine_config in_log = config_at(m, group_last(&m->memory));
    struct engine_config in_force;
    engine_config(m->engine, &in_force);
    if (!same_config(&in_log, &in_force)) {
        group_fail(m->group, "member %u: configuration is not the log's", (unsigned)m->id);
    }
    const struct raft *r = &m->engine->raft;
    uint64_t pending = r->configuration_uncommitted_index;
    if (pending == 0 || r->configuration_committed_index < m->memory.snapshot.config.index) {
        return;
    }
    struct engine_config before = config_at(m, pending - 1);
    struct engine_config back;
    engine_config_from_raft(&r->configuration_committed, r->configuration_committed_index, &back);
    if (!same_config(&before, &back)) {
        group_fail(m->group, "member %u: would roll back too far", (unsigned)m->id);
    }
}

void group_check(struct group *g, struct group_member *m)
{
    g->step_count++;
    if (m->engine == NULL || g->failure[0] != 0) {
        return;
    }
    if (!m->is_installing) {
        check_config(m);
    }
    for (unsigned i = 0; i < g->count; i++) {
        struct group_member *other = &g->members[i];
        if (other->engine != NULL && engine_role(other->engine) == ENGINE_LEADER) {
            check_match(other);
        }
    }
}

/* ---- what engines say ------------------------------------------------------------------------ */

static void on_hard_state(void *owner, uint64_t term, uint64_t vote)
{
    struct group_member *m = owner;
    m->memory.term = term;
    m->memory.vote = vote;
    record_write(m, &(struct group_record){.kind = GROUP_HARD_STATE, .term = term, .vote = vote});
}

static void on_append(void *owner,
                      uint64_t index,
                      const struct engine_entry *entries,
                      uint32_t count)
{
    struct group_member *m = owner;
    if (index <= m->applied || index > group_last(&m->memory) + 1) {
        group_fail(m->group, "member %u: append at %u", (unsigned)m->id, (unsigned)index);
        return;
    }
    m->group->overwritten_count += index <= group_last(&m->memory);
    struct group_entry *copy = mem_alloc_zero(count * sizeof(*copy));
    for (uint32_t i = 0; i < count; i++) {
        ensure(entries[i].payload.size <= GROUP_PAYLOAD_BYTES);
        copy[i].term = entries[i].term;
        copy[i].kind = entries[i].kind;
        copy[i].size = entries[i].payload.size;
        if (copy[i].size > 0) {
            memcpy(copy[i].payload, entries[i].payload.data, copy[i].size);
        }
    }
    image_append(&m->memory, index, copy, count);
    m->durable = m->durable < index ? m->durable : index - 1;
    for (size_t i = 0; i < m->record_count; i++) {
        m->records[i].end = m->records[i].end < index ? m->records[i].end : index - 1;
    }
    record_write(m,
                 &(struct group_record){
                     .kind = GROUP_ENTRIES,
                     .index = index,
                     .entries = copy,
                     .count = count,
                     .end = index + count - 1,
                 });
}

static void on_send(void *owner, const struct engine_message *message)
{
    struct group_member *m = owner;
    struct group *g = m->group;
    struct group_packet p = {
        .from = m->id,
        .to = message->peer,
        .message = *message,
        .order = g->packet_order++,
        .after_record = m->hard_number,
    };
    p.message.peer = m->id;
    uint64_t delay = g->delay == NULL ? 1 : g->delay(g, &p);
    if (delay == GROUP_NEVER) {
        return;
    }
    p.due_ms = g->now_ms + delay;
    if (message->type == ENGINE_APPEND && message->append.count > 0) {
        const struct group_entry *entry = image_entry(&m->memory, message->append.prev_index + 1);
        const struct group_entry *last =
            image_entry(&m->memory, message->append.prev_index + message->append.count);
        if (entry == NULL || last == NULL) {
            group_fail(g, "member %u: sends what it does not have", (unsigned)m->id);
            return;
        }
        p.entries = mem_alloc(message->append.count * sizeof(*p.entries));
        memcpy(p.entries, entry, message->append.count * sizeof(*p.entries));
    }
    if (message->type == ENGINE_INSTALL) {
        ensure(m->memory.snapshot.index == message->install.last_index);
        ensure(m->memory.snapshot.config.index == message->install.config.index);
        p.message.install.config = m->memory.snapshot.config;
        if (g->installs_newest) {
            p.message.install.last_index = m->applied;
            p.message.install.last_term = group_term_of(&m->memory, m->applied);
            p.message.install.config = m->applied_config;
        }
    }
    if (g->packet_count == g->packet_capacity) {
        g->packet_capacity = 2 * g->packet_capacity + 16;
        g->packets = mem_realloc(g->packets, g->packet_capacity * sizeof(*g->packets));
    }
    g->packets[g->packet_count++] = p;
}

static void on_commit(void *owner, uint64_t index)
{
    struct group_member *m = owner;
    if (index <= m->commit || index > group_last(&m->memory)) {
        group_fail(m->group, "member %u: commit %u", (unsigned)m->id, (unsigned)index);
        return;
    }
    for (uint64_t i = m->commit + 1; i <= index; i++) {
        note_committed(m, i);
    }
    m->commit = index;
}

static void on_role(void *owner, enum engine_role role)
{
    struct group_member *m = owner;
    struct group *g = m->group;
    if (role != ENGINE_LEADER) {
        return;
    }
    uint64_t term = engine_term(m->engine);
    if (term >= g->leader_capacity) {
        size_t capacity = 2 * (size_t)term + 64;
        g->leaders = mem_realloc(g->leaders, capacity * sizeof(*g->leaders));
        memset(g->leaders + g->leader_capacity,
               0,
               (capacity - g->leader_capacity) * sizeof(*g->leaders));
        g->leader_capacity = capacity;
    }
    if (g->leaders[term] != 0) {
        group_fail(g, "term %u has two leaders", (unsigned)term);
    }
    g->leaders[term] = m->id;
    g->elected_count++;
    m->leader_barrier = engine_last_index(m->engine);
    for (uint64_t i = 1; i <= g->committed_count; i++) {
        check_complete(m, i);
    }
}

static void on_install(void *owner,
                       uint64_t last_index,
                       uint64_t last_term,
                       const struct engine_config *config)
{
    struct group_member *m = owner;
    m->install = (struct group_snapshot){.index = last_index, .term = last_term, .config = *config};
    m->is_installing = true;
    m->install_due_ms = m->group->now_ms + 50;
    image_install(&m->memory, &m->install);
    m->durable = 0;
    for (size_t i = 0; i < m->record_count; i++) {
        m->records[i].end = 0;
    }
}

static const struct engine_events events = {
    .hard_state = on_hard_state,
    .append = on_append,
    .send = on_send,
    .commit = on_commit,
    .role = on_role,
    .install = on_install,
};

static void apply(struct group_member *m)
{
    while (!m->is_installing && m->applied < m->commit && m->applied < m->durable) {
        uint64_t index = m->applied + 1;
        const struct group_entry *entry = image_entry(&m->memory, index);
        ensure(entry != NULL);
        if (!same_entry(entry, &m->group->committed[index - 1].entry)) {
            group_fail(m->group, "member %u: applied another %u", (unsigned)m->id, (unsigned)index);
            return;
        }
        m->applied = index;
        if (entry->kind == ENGINE_ENTRY_CHANGE) {
            struct bytes payload = bytes_of(entry->payload, entry->size);
            enum status s = engine_config_decode(payload, &m->applied_config);
            ensure(s == STATUS_OK);
            m->applied_config.index = index;
            s = engine_config_applied(m->engine, m->group->now_ms, index, payload);
            ensure(s == STATUS_OK);
        }
    }
}

static void after_step(struct group_member *m)
{
    apply(m);
    group_check(m->group, m);
}

/* ---- life ------------------------------------------------------------------------------------ */

void group_start(struct group *g, uint64_t id)
{
    struct group_member *m = group_at(g, id);
    ensure(m->engine == NULL);
    image_copy(&m->memory, &m->disk);
    m->durable = group_last(&m->disk);
    m->applied = m->disk.snapshot.index;
    m->commit = m->disk.snapshot.index;
    m->applied_config = m->disk.snapshot.config;
    m->is_installing = false;
    struct engine_entry *entries = mem_alloc(m->disk.count * sizeof(*entries));
    for (size_t i = 0; i < m->disk.count; i++) {
        const struct group_entry *from = &m->memory.entries[i];
        entries[i].term = from->term;
        entries[i].kind = from->kind;
        entries[i].payload = bytes_of(from->payload, from->size);
    }
    struct engine_start start = {
        .term = m->disk.term,
        .vote = m->disk.vote,
        .snapshot_index = m->disk.snapshot.index,
        .snapshot_term = m->disk.snapshot.term,
        .snapshot_config = m->disk.snapshot.config,
        .first_index = m->disk.first,
        .entries = entries,
        .count = m->disk.count,
    };
    struct engine_options options = g->options;
    options.id = id;
    options.seed = g->options.seed + (uint32_t)(id * 7919u + g->step_count);
    m->engine = engine_create(&options, &events, m);
    struct error error = {0};
    enum status s = engine_start(m->engine, g->now_ms, &start, &error);
    if (s != STATUS_OK) {
        group_fail(g, "member %u does not start: %s", (unsigned)id, error.text);
    }
    mem_free(entries);
    after_step(m);
}

void group_crash(struct group *g, uint64_t id, size_t kept)
{
    struct group_member *m = group_at(g, id);
    for (size_t i = 0; i < kept && i < m->record_count; i++) {
        record_apply(m, &m->records[i]);
    }
    /* Nothing of a term that did not reach the disk has left: a sole voter may lead it again. */
    if (m->disk.term < m->memory.term && m->memory.term < g->leader_capacity &&
        g->leaders[m->memory.term] == id) {
        g->leaders[m->memory.term] = 0;
    }
    for (size_t i = g->packet_count; i > 0; i--) {
        if (g->packets[i - 1].from == id && g->packets[i - 1].after_record > m->records_done) {
            group_drop(g, i - 1);
        }
    }
    records_drop(m, m->record_count);
    m->sync_count = 0;
    engine_destroy(m->engine);
    m->engine = NULL;
}

void group_init(struct group *g,
                const struct engine_options *options,
                unsigned count,
                unsigned members,
                unsigned voters)
{
    *g = (struct group){.options = *options, .count = count, .now_ms = 1000};
    ensure(count <= GROUP_MEMBERS_MAX);
    struct engine_config founders = {.count = members};
    for (unsigned i = 0; i < members; i++) {
        founders.members[i] = (struct engine_member){.id = i + 1, .is_voter = i < voters};
    }
    struct buf payload;
    buf_init(&payload, GROUP_PAYLOAD_BYTES);
    engine_config_encode(&founders, &payload);
    struct group_entry first = {.term = 1, .kind = ENGINE_ENTRY_CHANGE, .size = payload.size};
    memcpy(first.payload, payload.data, payload.size);
    buf_deinit(&payload);
    for (unsigned i = 0; i < count; i++) {
        struct group_member *m = &g->members[i];
        *m = (struct group_member){.group = g, .id = i + 1};
        m->disk.first = 1;
        if (i < members) {
            m->disk.term = 1;
            image_append(&m->disk, 1, &first, 1);
        }
        group_start(g, i + 1);
    }
}

void group_deinit(struct group *g)
{
    for (unsigned i = 0; i < g->count; i++) {
        struct group_member *m = &g->members[i];
        if (m->engine != NULL) {
            group_crash(g, m->id, 0);
        }
        mem_free(m->records);
        mem_free(m->memory.entries);
        mem_free(m->disk.entries);
    }
    while (g->packet_count > 0) {
        group_drop(g, g->packet_count - 1);
    }
    mem_free(g->packets);
    mem_free(g->leaders);
    mem_free(g->committed);
}

uint64_t group_leader(const struct group *g)
{
    uint64_t id = 0;
    uint64_t term = 0;
    for (unsigned i = 0; i < g->count; i++) {
        const struct group_member *m = &g->members[i];
        if (m->engine != NULL && engine_role(m->engine) == ENGINE_LEADER &&
            engine_term(m->engine) > term) {
            id = m->id;
            term = engine_term(m->engine);
        }
    }
    return id;
}

#include "group_network.c"
