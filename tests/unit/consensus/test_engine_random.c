/*
 * Groups under random faults, each run a function of its seed: loss, delay, duplicates, reordering,
 * cuts, crashes that lose what was not synced, restarts, slow disks, snapshots, installs, transfers
 * and membership changes. group.c looks at Raft's promises after every step; at the end everything
 * heals and the group must come together and go on.
 *
 * ENGINE_RANDOM_SEEDS=from-to runs other seeds than the few of the unit run, and prints each.
 */
#include <stdlib.h>

#include "base/prng.h"
#include "group.c"
#include "harness.h"

#define SEED_COUNT 60u
#define RUN_MS 12000u
#define HEAL_MS 90000u
#define ACTION_MS_MAX 25u

struct world {
    struct group group;
    struct prng prng;
    uint64_t seed;
    bool has_snapshots;
    bool has_changes;
    bool has_transfers;
    bool has_reordering;
    bool has_slow_installs; /* as where states are streamed before the message comes */
    bool is_healed;
    unsigned loss_per_mille;
    unsigned duplicate_per_mille;
    unsigned slow_disk_per_mille;
    uint64_t link_due_ms[GROUP_MEMBERS_MAX + 1][GROUP_MEMBERS_MAX + 1];
    uint64_t restart_ms[GROUP_MEMBERS_MAX + 1];
    uint64_t action_ms;
    uint64_t command;
    uint64_t change_count;
    uint64_t transfer_count;
    uint64_t applied_count;
};

/* Sums over the runs: the test says nothing if these did not happen. */
static struct {
    uint64_t steps;
    uint64_t applied;
    uint64_t elected;
    uint64_t installs;
    uint64_t overwritten;
    uint64_t changes;
    uint64_t transfers;
} total;

static uint64_t delay_ms(struct group *g, const struct group_packet *p)
{
    struct world *w = g->context;
    if (g->cut[p->from][p->to] || prng_chance(&w->prng, w->loss_per_mille)) {
        return GROUP_NEVER;
    }
    if (w->has_slow_installs && p->message.type == ENGINE_INSTALL) {
        return prng_chance(&w->prng, 400) ? GROUP_NEVER : prng_between(&w->prng, 1, 3000);
    }
    uint64_t delay = prng_between(&w->prng, 1, prng_chance(&w->prng, 30) ? 120 : 8);
    uint64_t *link = &w->link_due_ms[p->from][p->to];
    if (!w->has_reordering && g->now_ms + delay < *link) {
        delay = *link - g->now_ms;
    }
    *link = g->now_ms + delay;
    return delay;
}

static void duplicate(struct world *w, size_t i)
{
    struct group *g = &w->group;
    struct group_packet copy = g->packets[i];
    size_t size =
        copy.message.type == ENGINE_APPEND ? copy.message.append.count * sizeof(*copy.entries) : 0;
    copy.entries = NULL;
    if (size > 0) {
        copy.entries = mem_alloc(size);
        memcpy(copy.entries, g->packets[i].entries, size);
    }
    copy.order = g->packet_order++;
    copy.due_ms = g->now_ms + prng_between(&w->prng, 1, prng_chance(&w->prng, 200) ? 3000 : 30);
    if (g->packet_count == g->packet_capacity) {
        g->packet_capacity = 2 * g->packet_capacity + 16;
        g->packets = mem_realloc(g->packets, g->packet_capacity * sizeof(*g->packets));
    }
    g->packets[g->packet_count++] = copy;
}

/* ---- actions --------------------------------------------------------------------------------- */

static void act_propose(struct world *w)
{
    for (unsigned i = 1; i <= w->group.count; i++) {
        const struct group_member *m = group_at(&w->group, i);
        if (m->engine == NULL || engine_role(m->engine) != ENGINE_LEADER) {
            continue;
        }
        uint64_t count = prng_chance(&w->prng, 50) ? 30 : prng_between(&w->prng, 1, 3);
        for (uint64_t k = 0; k < count; k++) {
            (void)group_propose(&w->group, i, ++w->command);
        }
    }
}

static void act_crash(struct world *w, uint64_t id)
{
    struct group_member *m = group_at(&w->group, id);
    if (m->engine == NULL) {
        return;
    }
    w->applied_count += m->applied;
    group_crash(&w->group, id, prng_below(&w->prng, m->record_count + 1));
    w->restart_ms[id] = w->group.now_ms + prng_between(&w->prng, 1, 800);
}

static void act_cut(struct world *w)
{
    struct group *g = &w->group;
    bool is_mending = prng_chance(&w->prng, 500);
    uint64_t id = prng_between(&w->prng, 1, g->count);
    if (is_mending) {
        memset(g->cut, 0, sizeof(g->cut));
    } else if (prng_chance(&w->prng, 500)) {
        group_isolate(g, id, true);
    } else {
        g->cut[id][prng_between(&w->prng, 1, g->count)] = true;
    }
}

static void act_change(struct world *w)
{
    struct group *g = &w->group;
    uint64_t leader = group_leader(g);
    if (leader == 0 || !w->has_changes) {
        return;
    }
    struct engine *e = group_at(g, leader)->engine;
    struct engine_config config;
    engine_config(e, &config);
    uint64_t subject = prng_between(&w->prng, 1, g->count);
    enum group_role from = GROUP_OUT;
    for (unsigned i = 0; i < config.count; i++) {
        if (config.members[i].id == subject) {
            from = config.members[i].is_voter ? GROUP_VOTER : GROUP_STANDBY;
        }
    }
    enum group_role to = GROUP_STANDBY;
    if (from == GROUP_STANDBY) {
        bool is_near = engine_match(e, subject) + 4 >= engine_last_index(e);
        to = is_near || prng_chance(&w->prng, 50) ? GROUP_VOTER : GROUP_OUT;
    } else if (from == GROUP_VOTER) {
        to = prng_chance(&w->prng, 500) ? GROUP_OUT : GROUP_STANDBY;
    }
    w->change_count += group_change(g, leader, subject, to) == STATUS_OK;
}

static void act_transfer(struct world *w)
{
    struct group *g = &w->group;
    uint64_t leader = group_leader(g);
    if (leader == 0 || !w->has_transfers) {
        return;
    }
    const struct engine *e = group_at(g, leader)->engine;
    for (uint64_t id = 1; id <= g->count; id++) {
        if (id != leader && engine_match(e, id) == engine_last_index(e)) {
            w->transfer_count += group_transfer(g, leader, id) == STATUS_OK;
        }
    }
}

static void act(struct world *w)
{
    struct group *g = &w->group;
    uint64_t id = prng_between(&w->prng, 1, g->count);
    uint64_t dice = prng_below(&w->prng, 100);
    if (dice < 60) {
        act_propose(w);
    } else if (dice < 63) {
        act_crash(w, id);
    } else if (dice < 69) {
        act_cut(w);
    } else if (dice < 77) {
        act_change(w);
    } else if (dice < 81) {
        act_transfer(w);
    } else if (dice < 92) {
        const struct group_member *m = group_at(g, id);
        if (w->has_snapshots && m->engine != NULL && m->applied > m->memory.snapshot.index + 10) {
            group_snapshot(g, id);
        }
    } else if (dice < 94) {
        w->loss_per_mille = prng_chance(&w->prng, 500) ? 0 : (unsigned)prng_below(&w->prng, 200);
        w->slow_disk_per_mille = prng_chance(&w->prng, 700) ? 5 : 200;
    }
}

/* ---- time ------------------------------------------------------------------------------------ */

static void sync_begin(struct world *w, struct group_member *m)
{
    if (m->sync_count == 0 && m->record_count > 0) {
        group_sync_begin(&w->group, m->id);
        bool is_slow = prng_chance(&w->prng, w->slow_disk_per_mille);
        m->sync_due_ms = w->group.now_ms + prng_between(&w->prng, 1, is_slow ? 300 : 6);
    }
}

/* Does what member m has to do by now. */
static void run_member(struct world *w, struct group_member *m)
{
    struct group *g = &w->group;
    if (m->engine == NULL) {
        if (g->now_ms >= w->restart_ms[m->id]) {
            group_start(g, m->id);
        }
        return;
    }
    if (m->is_installing && g->now_ms >= m->install_due_ms) {
        group_fetch(g, m->id);
    }
    if (m->sync_count > 0 && g->now_ms >= m->sync_due_ms) {
        group_sync_end(g, m->id);
    }
    if (g->now_ms >= engine_due_ms(m->engine)) {
        group_timeout(g, m->id);
    }
    sync_begin(w, m);
}

static void run_packets(struct world *w)
{
    struct group *g = &w->group;
    for (;;) {
        size_t first = g->packet_count;
        for (size_t i = 0; i < g->packet_count; i++) {
            const struct group_packet *p = &g->packets[i];
            if (p->due_ms > g->now_ms || !has_left(g, p)) {
                continue;
            }
            if (first == g->packet_count || p->due_ms < g->packets[first].due_ms ||
                (p->due_ms == g->packets[first].due_ms && p->order < g->packets[first].order)) {
                first = i;
            }
        }
        if (first == g->packet_count || g->failure[0] != 0) {
            return;
        }
        if (prng_chance(&w->prng, w->duplicate_per_mille)) {
            duplicate(w, first);
        }
        group_deliver(g, first);
    }
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t next_ms(const struct world *w)
{
    const struct group *g = &w->group;
    uint64_t next = w->action_ms;
    for (unsigned i = 0; i < g->count; i++) {
        const struct group_member *m = &g->members[i];
        if (m->engine == NULL) {
            next = earlier(next, w->restart_ms[m->id]);
            continue;
        }
        next = earlier(next, engine_due_ms(m->engine));
        next = m->sync_count > 0 ? earlier(next, m->sync_due_ms) : next;
        next = m->is_installing ? earlier(next, m->install_due_ms) : next;
    }
    for (size_t i = 0; i < g->packet_count; i++) {
        const struct group_packet *p = &g->packets[i];
        bool has_gone = p->after_record <= g->members[p->from - 1].records_done;
        next = has_gone ? earlier(next, p->due_ms) : next;
    }
    return next > g->now_ms ? next : g->now_ms + 1;
}

static void run_once(struct world *w)
{
    struct group *g = &w->group;
    for (unsigned i = 0; i < g->count; i++) {
        run_member(w, &g->members[i]);
    }
    run_packets(w);
    for (unsigned i = 0; i < g->count; i++) {
        if (g->members[i].engine != NULL) {
            sync_begin(w, &g->members[i]);
        }
    }
    if (g->now_ms >= w->action_ms && !w->is_healed) {
        act(w);
        w->action_ms = g->now_ms + prng_between(&w->prng, 1, ACTION_MS_MAX);
    }
    g->now_ms = next_ms(w);
}

/* ---- the end --------------------------------------------------------------------------------- */

static void heal(struct world *w)
{
    struct group *g = &w->group;
    w->is_healed = true;
    w->loss_per_mille = 0;
    w->duplicate_per_mille = 0;
    w->slow_disk_per_mille = 0;
    w->action_ms = GROUP_NEVER;
    memset(g->cut, 0, sizeof(g->cut));
    for (unsigned i = 1; i <= g->count; i++) {
        w->restart_ms[i] = g->now_ms;
    }
}

/* The leader's log ends at or behind `index`, and all of its members have applied all of it. */
static bool is_together(struct world *w, uint64_t index)
{
    struct group *g = &w->group;
    uint64_t leader = group_leader(g);
    if (leader == 0) {
        return false;
    }
    struct engine *e = group_at(g, leader)->engine;
    struct engine_config config;
    engine_config(e, &config);
    for (unsigned i = 0; i < config.count; i++) {
        const struct group_member *m = group_at(g, config.members[i].id);
        if (m->engine == NULL || m->applied < engine_last_index(e)) {
            return false;
        }
    }
    return engine_last_index(e) >= index;
}

static void run_until_together(struct world *w)
{
    struct group *g = &w->group;
    uint64_t end_ms = g->now_ms + HEAL_MS;
    unsigned proposed = 0;
    uint64_t index = 0;
    while (g->failure[0] == 0 && !(proposed == 3 && is_together(w, index))) {
        if (g->now_ms > end_ms) {
            group_fail(g, "the healed group does not come together");
        }
        uint64_t leader = group_leader(g);
        if (proposed < 3 && leader != 0 && is_together(w, index) &&
            group_propose(g, leader, ++w->command) == STATUS_OK) {
            proposed++;
            index = engine_last_index(group_at(g, leader)->engine);
        }
        run_once(w);
    }
}

/* ---- runs ------------------------------------------------------------------------------------ */

static void world_init(struct world *w, uint64_t seed)
{
    *w = (struct world){.seed = seed};
    prng_init(&w->prng, seed);
    struct engine_options options = {
        .election_timeout_ms = 150,
        .heartbeat_ms = 30,
        .max_inflight = (uint32_t)prng_between(&w->prng, 2, 12),
        .seed = (uint32_t)prng_next(&w->prng),
    };
    w->has_snapshots = prng_chance(&w->prng, 600);
    w->has_changes = prng_chance(&w->prng, 600);
    w->has_transfers = prng_chance(&w->prng, 500);
    w->has_reordering = prng_chance(&w->prng, 400);
    w->has_slow_installs = prng_chance(&w->prng, 500);
    w->loss_per_mille = (unsigned)prng_below(&w->prng, 60);
    w->duplicate_per_mille = (unsigned)prng_below(&w->prng, 60);
    w->slow_disk_per_mille = 5;
    unsigned count = prng_chance(&w->prng, 300) ? 5 : 3;
    unsigned voters = count;
    if (w->has_changes) {
        count += 2;
        voters = (unsigned)prng_between(&w->prng, 1, count - 2);
    }
    group_init(&w->group, &options, count, voters, voters);
    w->group.context = w;
    w->group.delay = delay_ms;
    w->group.installs_newest = prng_chance(&w->prng, 500);
}

static bool run_seed(uint64_t seed)
{
    struct world w;
    world_init(&w, seed);
    struct group *g = &w.group;
    uint64_t end_ms = g->now_ms + RUN_MS;
    while (g->now_ms < end_ms && g->failure[0] == 0) {
        run_once(&w);
    }
    heal(&w);
    run_until_together(&w);
    bool is_ok = g->failure[0] == 0;
    if (!is_ok) {
        (void)printf("seed %u at %u ms: %s\n", (unsigned)seed, (unsigned)g->now_ms, g->failure);
    }
    total.steps += g->step_count;
    total.applied += g->committed_count;
    total.elected += g->elected_count;
    total.installs += g->install_count;
    total.overwritten += g->overwritten_count;
    total.changes += w.change_count;
    total.transfers += w.transfer_count;
    group_deinit(g);
    return is_ok;
}

TEST(raft_keeps_its_promises_under_faults)
{
    uint64_t from = 1;
    uint64_t to = SEED_COUNT;
    const char *range = getenv("ENGINE_RANDOM_SEEDS");
    if (range != NULL) {
        char *rest = NULL;
        from = strtoull(range, &rest, 10);
        to = *rest == '-' ? strtoull(rest + 1, NULL, 10) : from;
    }
    unsigned failed = 0;
    for (uint64_t seed = from; seed <= to; seed++) {
        if (range != NULL && getenv("ENGINE_RANDOM_VERBOSE") != NULL) {
            (void)printf("seed %u\n", (unsigned)seed);
            (void)fflush(stdout);
        }
        failed += !run_seed(seed);
    }
    CHECK_EQ(failed, 0u);
    CHECK_EQ(engine_heap_blocks(), 0u);
    if (range != NULL) {
        (void)printf("steps %llu committed %llu elected %llu installs %llu overwritten %llu "
                     "changes %llu transfers %llu\n",
                     (unsigned long long)total.steps,
                     (unsigned long long)total.applied,
                     (unsigned long long)total.elected,
                     (unsigned long long)total.installs,
                     (unsigned long long)total.overwritten,
                     (unsigned long long)total.changes,
                     (unsigned long long)total.transfers);
        return;
    }
    /* Runs in which nothing happens prove nothing. */
    CHECK(total.elected > 5 * SEED_COUNT);
    CHECK(total.installs > SEED_COUNT / 2);
    CHECK(total.overwritten > SEED_COUNT / 2);
    CHECK(total.changes > SEED_COUNT);
    CHECK(total.transfers > SEED_COUNT);
}
