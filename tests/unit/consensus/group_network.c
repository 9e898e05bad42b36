/* Packets, time and requests of a test group. Included by group.c. */

void group_drop(struct group *g, size_t i)
{
    mem_free(g->packets[i].entries);
    g->packet_count--;
    if (i < g->packet_count) {
        memmove(&g->packets[i], &g->packets[i + 1], (g->packet_count - i) * sizeof(*g->packets));
    }
}

enum status group_inject(struct group *g, uint64_t to, const struct engine_message *message)
{
    struct group_member *m = group_at(g, to);
    enum status s = engine_receive(m->engine, g->now_ms, message);
    after_step(m);
    return s;
}

void group_deliver(struct group *g, size_t i)
{
    struct group_packet p = g->packets[i];
    g->packets[i].entries = NULL;
    group_drop(g, i);
    struct group_member *m = group_at(g, p.to);
    if (m->engine == NULL || g->cut[p.from][p.to]) {
        mem_free(p.entries);
        return;
    }
    uint32_t count = p.message.type == ENGINE_APPEND ? p.message.append.count : 0;
    struct engine_entry *entries = mem_alloc(count * sizeof(*entries));
    for (uint32_t k = 0; k < count; k++) {
        entries[k].term = p.entries[k].term;
        entries[k].kind = p.entries[k].kind;
        entries[k].payload = bytes_of(p.entries[k].payload, p.entries[k].size);
    }
    if (count > 0) {
        p.message.append.entries = entries;
    }
    uint64_t dropped = engine_dropped(m->engine);
    if (group_inject(g, p.to, &p.message) != STATUS_OK) {
        group_fail(g, "member %u halts", (unsigned)p.to);
    }
    if (engine_dropped(m->engine) > dropped && !engine_message_is_sane(&p.message)) {
        group_fail(g, "member %u takes member %u for mad", (unsigned)p.to, (unsigned)p.from);
    }
    mem_free(entries);
    mem_free(p.entries);
}

static bool is_on_link(const struct group_packet *p, uint64_t from, uint64_t to)
{
    return (from == 0 || p->from == from) && (to == 0 || p->to == to);
}

static bool has_left(struct group *g, const struct group_packet *p)
{
    return p->after_record <= group_at(g, p->from)->records_done;
}

void group_deliver_link(struct group *g, uint64_t from, uint64_t to)
{
    uint64_t end = g->packet_order;
    size_t i = 0;
    while (i < g->packet_count) {
        const struct group_packet *p = &g->packets[i];
        if (p->order < end && is_on_link(p, from, to) && has_left(g, p)) {
            group_deliver(g, i);
        } else {
            i++;
        }
    }
}

void group_drop_link(struct group *g, uint64_t from, uint64_t to)
{
    for (size_t i = g->packet_count; i > 0; i--) {
        if (is_on_link(&g->packets[i - 1], from, to)) {
            group_drop(g, i - 1);
        }
    }
}

void group_settle(struct group *g)
{
    for (;;) {
        bool is_quiet = g->packet_count == 0;
        for (unsigned i = 0; i < g->count; i++) {
            struct group_member *m = &g->members[i];
            if (m->engine != NULL && m->is_installing && m->install_due_ms != GROUP_NEVER) {
                group_fetch(g, m->id);
            }
            if (m->engine != NULL && m->record_count > 0 && m->sync_count == 0) {
                group_sync(g, m->id);
                is_quiet = false;
            }
        }
        if (is_quiet || g->failure[0] != 0) {
            return;
        }
        group_deliver_link(g, 0, 0);
    }
}

void group_timeout(struct group *g, uint64_t id)
{
    struct group_member *m = group_at(g, id);
    uint64_t due_ms = engine_due_ms(m->engine);
    g->now_ms = due_ms > g->now_ms ? due_ms : g->now_ms;
    if (engine_tick(m->engine, g->now_ms) != STATUS_OK) {
        group_fail(g, "member %u halts at a tick", (unsigned)id);
    }
    after_step(m);
}

void group_isolate(struct group *g, uint64_t id, bool is_cut)
{
    for (unsigned i = 1; i <= g->count; i++) {
        g->cut[i][id] = is_cut;
        g->cut[id][i] = is_cut;
    }
}

enum status group_propose(struct group *g, uint64_t id, uint64_t command)
{
    struct group_member *m = group_at(g, id);
    uint8_t payload[8];
    put_u64_le(payload, command);
    uint64_t index = 0;
    enum status s =
        engine_propose(m->engine, g->now_ms, bytes_of(payload, sizeof(payload)), &index);
    if (s == STATUS_OK && index != group_last(&m->memory)) {
        group_fail(g, "member %u: proposal at a wrong index", (unsigned)id);
    }
    after_step(m);
    return s;
}

enum status group_change(struct group *g, uint64_t id, uint64_t subject, enum group_role role)
{
    struct group_member *m = group_at(g, id);
    struct engine_config config;
    engine_config(m->engine, &config);
    unsigned at = 0;
    while (at < config.count && config.members[at].id != subject) {
        at++;
    }
    if (role == GROUP_OUT && at < config.count) {
        config.count--;
        for (; at < config.count; at++) {
            config.members[at] = config.members[at + 1];
        }
    } else if (role != GROUP_OUT) {
        config.count = at == config.count ? at + 1 : config.count;
        config.members[at].id = subject;
        config.members[at].is_voter = role == GROUP_VOTER;
    }
    uint64_t index = 0;
    enum status s = engine_change(m->engine, g->now_ms, &config, &index);
    after_step(m);
    return s;
}

enum status group_transfer(struct group *g, uint64_t id, uint64_t target)
{
    struct group_member *m = group_at(g, id);
    enum status s = engine_transfer(m->engine, g->now_ms, target);
    after_step(m);
    return s;
}
