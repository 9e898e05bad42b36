#include "sim/plan.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"

#define SOLE_FAULTS_US (20 * SECOND_US)
#define SLOW_WRITE_PER_MILLE 50
/* Clocks that differ by half a second, as they should at most, and by far more. */
#define CLOCK_OFFSET_MS_GOOD 250u
#define CLOCK_OFFSET_MS_MAX 2000u
#define FAULTS_US (60 * SECOND_US)

const char *plan_name(enum plan_kind kind)
{
    static const char *const names[PLAN_KIND_COUNT] = {
        "sole",
        "calm",
        "failover",
        "leaders",
        "mixed",
        "network",
        "pauses",
        "crashes",
        "wipe",
        "snapshots",
        "garbage",
        "full",
        "rot",
        "expiry",
        "deals",
        "gateways",
    };
    ensure(kind < PLAN_KIND_COUNT);
    return names[kind];
}

/* One statement for each number: the order of evaluation must not depend on the compiler. */

static enum plan_kind pick_kind(struct prng *p)
{
    static const unsigned per_cent[] = {7, 4, 6, 6, 11, 9, 3, 8, 5, 6, 6, 9, 7, 5, 4, 4};
    static const enum plan_kind kinds[] = {
        PLAN_SOLE,
        PLAN_CALM,
        PLAN_FAILOVER,
        PLAN_LEADERS,
        PLAN_MIXED,
        PLAN_DEALS,
        PLAN_GATEWAYS,
        PLAN_NETWORK,
        PLAN_PAUSES,
        PLAN_CRASHES,
        PLAN_WIPE,
        PLAN_SNAPSHOTS,
        PLAN_GARBAGE,
        PLAN_FULL,
        PLAN_ROT,
        PLAN_EXPIRY,
    };
    unsigned at = (unsigned)prng_below(p, 100);
    unsigned kind = 0;
    while (at >= per_cent[kind]) {
        at -= per_cent[kind];
        kind++;
    }
    return kinds[kind];
}

/* Few groups mostly, as each costs time in every run. */
static uint32_t pick_groups(struct prng *p)
{
    uint64_t x = prng_below(p, 100);
    if (x < 60) {
        return (uint32_t)prng_between(p, 1, 3);
    }
    return (uint32_t)(x < 90 ? prng_between(p, 4, 8) : prng_between(p, 9, 16));
}

/* Deaths in a quiet network, and how long they hurt. */
static bool is_timed(const struct plan *plan)
{
    return plan->kind == PLAN_FAILOVER || plan->kind == PLAN_GATEWAYS;
}

static bool is_for_deals(const struct plan *plan)
{
    return plan->kind == PLAN_DEALS || plan->kind == PLAN_GATEWAYS;
}

static void pick_network(struct plan *plan, struct prng *p)
{
    struct sim_network_options *o = &plan->network;
    o->latency_us_max = prng_between(p, 100, 5000);
    o->connect_timeout_us_max = prng_between(p, 500, 5000) * MS_US;
    o->window_bytes = prng_between(p, 64, 1024) * KIB;
    o->short_write_per_mille = (unsigned)prng_below(p, 300);
    bool is_quiet = plan->kind == PLAN_CALM || is_timed(plan);
    o->slow_write_per_mille = is_quiet ? 0 : SLOW_WRITE_PER_MILLE;
    o->tiny_chunk_per_mille = (unsigned)prng_below(p, 200);
}

/* Small everywhere: what is seldom in a large store happens all the time. */
static void pick_state(struct plan *plan, struct prng *p)
{
    struct sim_env_options *o = &plan->env;
    bool is_tiny = plan->kind == PLAN_SNAPSHOTS || plan->kind == PLAN_GARBAGE;
    bool is_short = plan->kind == PLAN_GARBAGE;
    o->log_segment_bytes = prng_between(p, 8, is_short ? 10 : is_tiny ? 16 : 64) * KIB;
    o->log_segments = (uint32_t)prng_between(p, is_short ? 1 : 2, is_short ? 2 : 4);
    o->store_fold_rows = prng_between(p, 1, 32);
    o->store_fold_bytes = prng_between(p, 2, 64) * KIB;
    o->cache_memory = prng_between(p, 1, 256) * KIB;
    o->trailing_bytes = prng_between(p, 1, is_tiny ? 4 : 48) * KIB;
    o->payload_bytes = prng_between(p, 0, 3) * o->trailing_bytes / 2; /* 0: as the node chooses */
    o->snapshot_rate = prng_between(p, 30, 3000) * KIB;
    o->snapshot_chunk_bytes = prng_between(p, 1, is_tiny ? 4 : 24) * KIB;
    o->disk_bytes = prng_between(p, 24, 64) * MIB;
    o->disk_reserve = prng_between(p, 128, 512) * KIB;
    bool is_cold = prng_chance(p, 500);
    unsigned need_per_mille = (unsigned)prng_between(p, 5, 300);
    o->need_per_mille = is_cold ? need_per_mille : 0;
}

static void pick_env(struct plan *plan, struct prng *p)
{
    struct sim_env_options *o = &plan->env;
    bool is_sole = plan->kind == PLAN_SOLE;
    pick_state(plan, p);
    bool is_tight = prng_chance(p, is_sole ? 300 : 100);
    uint64_t tight = prng_between(p, 80, 320) * KIB;
    /* Where time is measured, what waits for a leader must not stop the reading from clients. */
    bool may_be_tight = plan->has_faults && !is_timed(plan);
    o->buffer_memory = is_tight && may_be_tight ? tight : 0;
    o->job_delay_us_max = prng_between(p, 100, 5000);
    o->down_us_max = prng_between(p, 50, 1500) * MS_US;
    o->deliveries_max = (uint32_t)prng_between(p, 1, 32);
    unsigned start_crash_per_mille = (unsigned)prng_below(p, is_sole ? 400 : 200);
    bool has_start_crashes = plan->has_faults && plan->kind != PLAN_FAILOVER;
    o->start_crash_per_mille = has_start_crashes ? start_crash_per_mille : 0;
    o->wall_offset_ms = (int64_t)prng_below(p, 7200001) - 3600000;
    for (unsigned i = 0; i < SIM_NODES_MAX; i++) {
        plan->skew_ppm[i] = (int64_t)prng_below(p, 401) - 200;
    }
}

static void pick_cluster(struct plan *plan, struct prng *p)
{
    struct sim_env_options *o = &plan->env;
    bool is_large = prng_chance(p, plan->kind == PLAN_GARBAGE ? 600 : 150);
    uint32_t groups = pick_groups(p);
    /* What falls behind must fall far: each group keeps some entries for its followers. */
    o->groups = plan->kind == PLAN_SNAPSHOTS ? 1 + groups % 2 : groups;
    o->groups += is_for_deals(plan) && groups == 1 ? 1 : 0;
    bool has_election_timeout = prng_chance(p, 500);
    uint32_t election_timeout_ms = (uint32_t)prng_between(p, 200, 1500);
    bool has_request_timeout = prng_chance(p, 500);
    uint32_t request_timeout_ms = (uint32_t)prng_between(p, 500, 5000);
    if (plan->kind == PLAN_SOLE) {
        plan->nodes = 1;
        return;
    }
    plan->nodes = is_large ? 5 : 3;
    bool has_defaults = is_timed(plan) || plan->kind == PLAN_CALM;
    o->election_timeout_ms = has_election_timeout && !has_defaults ? election_timeout_ms : 0;
    o->request_timeout_ms = has_request_timeout && !has_defaults ? request_timeout_ms : 0;
    size_t at = 0;
    for (unsigned i = 0; i < plan->nodes; i++) {
        int size = snprintf(plan->cluster + at,
                            sizeof plan->cluster - at,
                            "%sn%u:17379",
                            i > 0 ? "," : "",
                            i + 1);
        ensure(size > 0);
        at += (size_t)size;
        ensure(at < sizeof plan->cluster);
    }
    o->cluster = plan->cluster;
}

static void pick_workload(struct plan *plan, struct prng *p)
{
    struct workload_options *o = &plan->workload;
    bool is_sole = plan->kind == PLAN_SOLE;
    o->clients = (unsigned)prng_between(p, is_sole ? 1 : 3, is_sole ? 8 : 10);
    o->keys = (unsigned)prng_between(p, is_sole ? 7 : 12, is_sole ? 20 : 32);
    o->expiring_keys = (unsigned)prng_between(p, 1, 4);
    unsigned most = HISTORY_KEYS_MAX - o->keys;
    unsigned many = (unsigned)prng_between(p, 6, 16);
    if (plan->kind == PLAN_EXPIRY) {
        o->expiring_keys = many < most ? many : most;
        o->brief_per_mille = 600;
    }
    o->wall_start_ms = SIM_WALL_START_MS + (uint64_t)plan->env.wall_offset_ms;
    o->pipeline_max = (unsigned)prng_between(p, 1, is_sole ? 16 : 10);
    o->timeout_us = prng_between(p, 1, 6) * SECOND_US;
    o->is_pinned = prng_chance(p, 300);
    o->has_order = true;
    o->is_calm = plan->kind == PLAN_CALM;
    uint64_t commands = is_sole ? prng_between(p, 1500, 4000) : prng_between(p, 4000, 7000);
    uint64_t batches = commands * 2 / (1 + o->pipeline_max);
    o->think_us_max = plan->faults_us * 2 * o->clients / batches;
}

/* Last of all, so that what the seed says otherwise stays. */
static void pick_pipeliners(struct plan *plan, struct prng *p)
{
    bool is_always = plan->kind == PLAN_LEADERS || plan->kind == PLAN_CALM;
    bool has_some = prng_chance(p, 150);
    unsigned count = (unsigned)prng_between(p, 1, 3);
    plan->workload.pipeliners = is_always || has_some ? count : 0;
}

/* Transactions over groups. Last, too. */
static void pick_deals(struct plan *plan, struct prng *p)
{
    struct deals_options *o = &plan->deals;
    bool is_always = is_for_deals(plan);
    bool has_some = prng_chance(p, 850) && plan->kind != PLAN_FAILOVER;
    bool is_storm = prng_chance(p, 300);
    unsigned many = (unsigned)prng_between(p, 4, DEALS_CLIENTS_MAX - 1);
    unsigned few = (unsigned)prng_between(p, 1, 3);
    o->lists = (unsigned)prng_between(p, is_storm ? 2 : 4, is_storm ? 3 : DEALS_LISTS_MAX);
    o->accounts = (unsigned)prng_between(p, 2, DEALS_ACCOUNTS_MAX);
    o->groups = plan->env.groups;
    o->clients = is_always ? many : has_some ? few : 0;
    uint64_t deals = prng_between(p, 1000, 4000) * (is_storm ? 2 : 1);
    o->think_us_max = plan->faults_us * 2 * o->clients / (is_always ? deals : deals / 3);
    unsigned hits_per_mille = (unsigned)prng_between(p, 5, 60);
    if (plan->kind == PLAN_DEALS) {
        plan->faults.deal_per_mille = hits_per_mille;
    }
    if (is_always) {
        plan->workload.clients = 2;
        plan->workload.think_us_max *= 2;
        plan->workload.pipeliners = 0;
    }
}

/* ---- faults ---------------------------------------------------------------------------------- */

struct weight {
    enum sim_fault fault;
    unsigned weight;
    bool is_always_on;
};

/* Kinds are left out at random, so that rare combinations of the others get their turn. */
static void add_weights(struct plan *plan,
                        struct prng *p,
                        const struct weight *weights,
                        size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bool is_on = prng_chance(p, 700);
        if (is_on || weights[i].is_always_on) {
            plan->faults.weight[weights[i].fault] += weights[i].weight;
        }
    }
}

static const struct weight at_machines[] = {
    {SIM_FAULT_KILL, 5, true},
    {SIM_FAULT_POWER_LOSS, 8, true},
    {SIM_FAULT_IO_ERROR, 2, false},
    {SIM_FAULT_CLEAN_STOP, 2, false},
    {SIM_FAULT_SLOW_DISK, 2, false},
    {SIM_FAULT_PAUSE, 1, false},
    {SIM_FAULT_BREAK, 6, false},
    {SIM_FAULT_CLOG, 2, false},
    {SIM_FAULT_CLOCK_JUMP, 3, false},
};

static const struct weight at_cluster[] = {
    {SIM_FAULT_KILL_LEADER, 3, true},
    {SIM_FAULT_KILL_ALL, 1, false},
    {SIM_FAULT_DOWN, 2, false},
    {SIM_FAULT_PAUSE, 2, false},
};

static const struct weight at_network[] = {
    {SIM_FAULT_PARTITION, 5, true},
    {SIM_FAULT_ISOLATE, 4, true},
    {SIM_FAULT_BRIDGE, 2, false},
    {SIM_FAULT_SWIZZLE, 2, false},
    {SIM_FAULT_CUT, 4, false},
    {SIM_FAULT_LOSS, 2, false},
    {SIM_FAULT_DELAY, 2, false},
    {SIM_FAULT_LATE, 5, false},
    {SIM_FAULT_BREAK, 4, false},
};

static const struct weight at_loops[] = {
    {SIM_FAULT_PAUSE, 8, true},
    {SIM_FAULT_CLOCK_JUMP, 4, true},
    {SIM_FAULT_SLOW_DISK, 4, true},
    {SIM_FAULT_ISOLATE, 2, false},
    {SIM_FAULT_KILL_LEADER, 1, false},
};

static const struct weight at_all[] = {
    {SIM_FAULT_KILL_ALL, 6, true},
    {SIM_FAULT_POWER_LOSS, 6, true},
    {SIM_FAULT_KILL, 6, true},
    {SIM_FAULT_KILL_LEADER, 3, true},
    {SIM_FAULT_IO_ERROR, 3, false},
    {SIM_FAULT_LATE, 2, false},
};

static const struct weight at_leaders[] = {
    {SIM_FAULT_KILL_LEADER, 10, true},
    {SIM_FAULT_ISOLATE, 2, false},
    {SIM_FAULT_BREAK, 2, false},
};

static const struct weight at_disk[] = {
    {SIM_FAULT_WIPE, 10, true},
    {SIM_FAULT_KILL, 2, true},
    {SIM_FAULT_BREAK, 3, true},
    {SIM_FAULT_CUT, 2, true},
    {SIM_FAULT_KILL_LEADER, 2, true},
    {SIM_FAULT_POWER_LOSS, 2, false},
    {SIM_FAULT_LATE, 2, false},
};

static const struct weight at_storage[] = {
    {SIM_FAULT_FILL, 2, false},
    {SIM_FAULT_ROT, 2, false},
    {SIM_FAULT_INSTALL, 2, false},
};

static const struct weight at_followers[] = {
    {SIM_FAULT_INSTALL, 10, true},
    {SIM_FAULT_DOWN, 4, true},
    {SIM_FAULT_ISOLATE, 2, false},
    {SIM_FAULT_PARTITION, 2, false},
    {SIM_FAULT_KILL, 2, false},
    {SIM_FAULT_POWER_LOSS, 2, false},
    {SIM_FAULT_SLOW_DISK, 2, false},
    {SIM_FAULT_BREAK, 2, false},
    {SIM_FAULT_LATE, 1, false},
};

static const struct weight at_log[] = {
    {SIM_FAULT_POWER_LOSS, 7, true},
    {SIM_FAULT_KILL, 5, true},
    {SIM_FAULT_DOWN, 6, true},
    {SIM_FAULT_PARTITION, 8, true},
    {SIM_FAULT_DELAY, 4, true},
    {SIM_FAULT_IO_ERROR, 2, false},
    {SIM_FAULT_SLOW_DISK, 2, false},
    {SIM_FAULT_KILL_LEADER, 2, false},
};

static const struct weight at_space[] = {
    {SIM_FAULT_FILL, 12, true},
    {SIM_FAULT_KILL, 3, true},
    {SIM_FAULT_POWER_LOSS, 3, false},
    {SIM_FAULT_KILL_LEADER, 2, true},
    {SIM_FAULT_ISOLATE, 2, false},
    {SIM_FAULT_DOWN, 2, false},
};

static const struct weight at_clocks[] = {
    {SIM_FAULT_CLOCK_JUMP, 10, true},
    {SIM_FAULT_KILL_LEADER, 5, true},
    {SIM_FAULT_PARTITION, 3, true},
    {SIM_FAULT_ISOLATE, 3, false},
    {SIM_FAULT_PAUSE, 2, false},
    {SIM_FAULT_POWER_LOSS, 2, false},
    {SIM_FAULT_INSTALL, 2, false},
    {SIM_FAULT_DOWN, 2, false},
};

static const struct weight at_bits[] = {
    {SIM_FAULT_ROT, 10, true},
    {SIM_FAULT_KILL, 6, true},
    {SIM_FAULT_POWER_LOSS, 4, true},
    {SIM_FAULT_CLEAN_STOP, 3, true},
    {SIM_FAULT_KILL_LEADER, 2, false},
    {SIM_FAULT_CUT, 2, false},
    {SIM_FAULT_BREAK, 2, false},
};

static const struct weight at_deals[] = {
    {SIM_FAULT_KILL_LEADER, 4, true},
    {SIM_FAULT_LATE, 5, true},
    {SIM_FAULT_BREAK, 4, true},
    {SIM_FAULT_PARTITION, 4, false},
    {SIM_FAULT_ISOLATE, 3, false},
    {SIM_FAULT_CUT, 3, false},
    {SIM_FAULT_LOSS, 2, false},
    {SIM_FAULT_DELAY, 2, false},
    {SIM_FAULT_PAUSE, 2, false},
    {SIM_FAULT_KILL_ALL, 1, false},
    {SIM_FAULT_POWER_LOSS, 3, false},
    {SIM_FAULT_INSTALL, 3, false},
    {SIM_FAULT_CLEAN_STOP, 2, false},
    {SIM_FAULT_SLOW_DISK, 1, false},
    {SIM_FAULT_CLOCK_JUMP, 1, false},
};

#define ADD(plan, p, weights) add_weights(plan, p, weights, sizeof(weights) / sizeof(weights)[0])

static void pick_faults(struct plan *plan, struct prng *p)
{
    switch (plan->kind) {
    case PLAN_SOLE:
        ADD(plan, p, at_machines);
        break;
    case PLAN_MIXED:
        ADD(plan, p, at_machines);
        ADD(plan, p, at_cluster);
        ADD(plan, p, at_network);
        ADD(plan, p, at_storage);
        break;
    case PLAN_NETWORK:
        ADD(plan, p, at_network);
        break;
    case PLAN_PAUSES:
        ADD(plan, p, at_loops);
        break;
    case PLAN_CRASHES:
        ADD(plan, p, at_all);
        break;
    case PLAN_LEADERS:
        ADD(plan, p, at_leaders);
        break;
    case PLAN_WIPE:
        ADD(plan, p, at_disk);
        break;
    case PLAN_SNAPSHOTS:
        ADD(plan, p, at_followers);
        break;
    case PLAN_GARBAGE:
        ADD(plan, p, at_log);
        plan->faults.is_aimed = true;
        break;
    case PLAN_FULL:
        ADD(plan, p, at_space);
        break;
    case PLAN_ROT:
        ADD(plan, p, at_bits);
        break;
    case PLAN_EXPIRY:
        ADD(plan, p, at_clocks);
        break;
    case PLAN_DEALS:
        ADD(plan, p, at_deals);
        break;
    case PLAN_CALM:
    case PLAN_FAILOVER:
    case PLAN_GATEWAYS:
    case PLAN_KIND_COUNT:
        break;
    }
    if (plan->kind == PLAN_EXPIRY) {
        plan->env.is_expiry_off = prng_chance(p, 500);
        plan->faults.end_per_mille = (unsigned)prng_below(p, 60);
    }
    bool has_good_clocks = plan->kind == PLAN_EXPIRY && prng_chance(p, 500);
    plan->faults.clock_offset_ms_max = has_good_clocks ? CLOCK_OFFSET_MS_GOOD : CLOCK_OFFSET_MS_MAX;
    uint64_t gap_ms = prng_between(p, 500, 2500);
    uint64_t long_gap_ms = prng_between(p, 2000, 8000);
    bool is_long = plan->kind != PLAN_SOLE && prng_chance(p, 700) && plan->kind != PLAN_EXPIRY;
    plan->faults.gap_us_max = (is_long ? long_gap_ms : gap_ms) * MS_US;
    plan->workload.has_full_disks = plan->faults.weight[SIM_FAULT_FILL] > 0;
}

void plan_init(struct plan *plan, struct prng *p, enum plan_kind forced)
{
    *plan = (struct plan){0};
    enum plan_kind picked = pick_kind(p);
    plan->kind = forced != PLAN_KIND_COUNT ? forced : picked;
    bool has_faults = plan->kind != PLAN_SOLE || prng_below(p, 16) != 0;
    plan->has_faults = has_faults && plan->kind != PLAN_CALM;
    plan->faults_us = plan->kind == PLAN_SOLE ? SOLE_FAULTS_US : FAULTS_US;
    pick_network(plan, p);
    pick_env(plan, p);
    pick_cluster(plan, p);
    pick_workload(plan, p);
    pick_faults(plan, p);
    bool is_hard_start = prng_chance(p, 300);
    plan->is_hard_start = plan->kind == PLAN_SOLE || (plan->kind == PLAN_MIXED && is_hard_start);
    pick_pipeliners(plan, p);
    pick_deals(plan, p);
}
