#include "sim/run.h"

#include <inttypes.h>
#include <string.h>

#include "base/assert.h"
#include "sim/deals.h"
#include "sim/orphans.h"
#include "sim/probe.h"

#define ROUND_PATIENCE_US (15 * SECOND_US)
#define CALM_US SECOND_US         /* clients go on after healing */
#define SETTLE_US (2 * SECOND_US) /* after forming, before "no elections" holds */
#define SETTLE_GAP_US (20 * MS_US)
#define FORM_PATIENCE_US (20 * SECOND_US)   /* until all groups have leaders */
#define EXTENSION_US (60 * SECOND_US)       /* at most, for what a run must have */
#define FORCE_GAP_US (4 * SECOND_US)        /* between tries to change a leader */
#define ANSWER_PATIENCE_US (15 * SECOND_US) /* for answers, ends and equal replicas */
#define REFUSE_PATIENCE_US (15 * SECOND_US)
#define OPERATIONS_PATIENCE_US (60 * SECOND_US)
#define SPACE_PATIENCE_US (3 * SECOND_US)   /* until writes are taken again */
#define REPAIR_PATIENCE_US (40 * SECOND_US) /* until a rebuilt node has all its groups */
#define SPARE_US (6 * SECOND_US)            /* without a node that could be spared */
#define SPARE_OPERATIONS 20u                /* in that time, at least */
#define LOG_SLACK 3u                        /* segments that may be there beyond log_segments */
#define EXPIRY_PATIENCE_US (9 * SECOND_US)  /* longest time to live, both jumps, and some */
#define BOOT_GAP_US_MAX (500 * MS_US)
#define EVENTS_MAX 20000000u
#define PURPOSE_OPTIONS 1u

struct run {
    struct world world;
    struct plan plan;
    struct sim_network network;
    struct sim_env nodes[SIM_NODES_MAX];
    struct workload workload;
    struct watch watch;
    struct faults faults;
    struct probe probe;
    struct deals deals;
    struct orphans orphans;
    struct deaths deaths;
    struct prng prng;
    struct buf *report;
};

/* ---- steps ----------------------------------------------------------------------------------- */

static bool is_running(struct run *r)
{
    if (r->world.events > EVENTS_MAX) {
        world_fail(&r->world, "more than %u events", EVENTS_MAX);
    }
    return !r->world.is_failed;
}

static void run_until(struct run *r, uint64_t until_us)
{
    while (is_running(r) && world_step(&r->world, until_us)) {
        /* one event after the other */
    }
}

static void run_for(struct run *r, uint64_t us)
{
    run_until(r, r->world.now_us + us);
}

typedef bool (*condition_fn)(const struct run *r);

/* False: it did not come true within that time, or the run has failed. */
static bool run_until_true(struct run *r, condition_fn is_true, uint64_t patience_us)
{
    uint64_t until_us = r->world.now_us + patience_us;
    while (is_running(r) && !is_true(r)) {
        if (!world_step(&r->world, until_us)) {
            return false;
        }
    }
    return is_running(r);
}

/* ---- conditions ------------------------------------------------------------------------------ */

static bool is_cluster(const struct run *r)
{
    return r->plan.nodes > 1;
}

static bool is_formed(const struct run *r)
{
    return watch_is_led(&r->watch);
}

static bool is_idle(const struct run *r)
{
    bool is_lost = !is_cluster(r) && r->nodes[0].has_refused;
    return is_lost || (workload_is_idle(&r->workload) && deals_is_idle(&r->deals));
}

static bool is_all_down(const struct run *r)
{
    for (unsigned i = 0; i < r->plan.nodes; i++) {
        if (r->nodes[i].is_up) {
            return false;
        }
    }
    return true;
}

static bool is_all_up(const struct run *r)
{
    for (unsigned i = 0; i < r->plan.nodes; i++) {
        if (!r->nodes[i].is_up && !r->nodes[i].has_refused) {
            return false;
        }
    }
    return true;
}

static bool is_refused(const struct run *r)
{
    return r->faults.wiped == NULL || r->faults.wiped->has_refused;
}

/* Looked at between events that are far apart: it costs. */
static bool settle(struct run *r)
{
    uint64_t until_us = r->world.now_us + ANSWER_PATIENCE_US;
    while (is_running(r) && r->world.now_us < until_us) {
        if (watch_is_settled(&r->watch, r->plan.env.log_segments + LOG_SLACK)) {
            return true;
        }
        run_for(r, SETTLE_GAP_US);
    }
    return false;
}

static bool is_probed(const struct run *r)
{
    return probe_is_idle(&r->probe) && orphans_is_idle(&r->orphans);
}

static bool is_repaired(const struct run *r)
{
    for (unsigned i = 0; i < r->plan.nodes; i++) {
        if (r->nodes[i].is_waiting_for_operator || !watch_is_whole(&r->watch, i)) {
            return false;
        }
    }
    return true;
}

static bool has_operations(const struct run *r)
{
    return !is_cluster(r) || r->workload.operations >= RUN_OPERATIONS_MIN;
}

static bool has_faults(const struct run *r)
{
    return !r->plan.has_faults || faults_count(&r->world) >= RUN_FAULTS_MIN;
}

/* What a plan is there for. */
static bool has_purpose(const struct run *r)
{
    switch ((unsigned)r->plan.kind) {
    case PLAN_SNAPSHOTS:
        return r->watch.snapshots > 0;
    case PLAN_GARBAGE:
        return r->watch.segments_released > 0;
    case PLAN_FULL:
        return r->workload.no_space > 0;
    case PLAN_ROT:
        return r->world.fault_count[SIM_FAULT_REBUILD] > 0;
    case PLAN_DEALS:
        return r->deals.done > 0;
    case PLAN_GATEWAYS:
        return r->orphans.rounds > 0;
    default:
        return true;
    }
}

static bool has_leader_changes(const struct run *r)
{
    return !r->plan.has_faults || r->watch.leader_changes >= RUN_LEADER_CHANGES_MIN;
}

static bool has_minimum(const struct run *r)
{
    return !is_cluster(r) || (has_operations(r) && has_faults(r) && has_leader_changes(r));
}

static bool has_all(const struct run *r)
{
    return has_minimum(r) && has_purpose(r);
}

/* ---- phases ---------------------------------------------------------------------------------- */

static void fire_first_boot(void *owner, void *item, uint64_t tag)
{
    (void)owner;
    (void)tag;
    sim_env_boot(item);
}

/* Founders start one after the other, within half a second, in any order. */
static void boot(struct run *r)
{
    for (unsigned i = 0; i < r->plan.nodes; i++) {
        uint64_t delay_us = is_cluster(r) ? prng_below(&r->prng, BOOT_GAP_US_MAX) : 0;
        world_schedule(&r->world, delay_us, fire_first_boot, r, &r->nodes[i], 0);
    }
    if (is_cluster(r)) {
        watch_start(&r->watch);
    }
}

static void form(struct run *r)
{
    boot(r);
    if (r->plan.is_hard_start) {
        return;
    }
    if (!run_until_true(r, is_formed, FORM_PATIENCE_US) && is_running(r)) {
        watch_print(&r->watch, r->report);
        world_fail(&r->world, "the cluster was not formed in time");
    }
    if (r->plan.kind == PLAN_CALM) {
        run_for(r, SETTLE_US);
        watch_fix_terms(&r->watch);
    }
}

/* The plan's time; then until the run has all it must have, helping where chance did not. */
static void work(struct run *r)
{
    run_for(r, r->plan.faults_us);
    uint64_t until_us = r->world.now_us + EXTENSION_US;
    while (is_running(r) && !has_all(r) && r->world.now_us < until_us) {
        if (!has_leader_changes(r)) {
            faults_force_leader_change(&r->faults);
        }
        (void)run_until_true(r, has_all, FORCE_GAP_US);
    }
}

static void expect(struct run *r,
                   condition_fn is_true,
                   uint64_t patience_us,
                   const char *else_failure)
{
    if (!run_until_true(r, is_true, patience_us) && is_running(r)) {
        watch_print(&r->watch, r->report);
        world_fail(&r->world, "%s", else_failure);
    }
}

/* Rebuilt replicas count in full: any node can be lost now (scenario 33). */
static void spare_one(struct run *r)
{
    struct sim_env *e = &r->nodes[prng_below(&r->prng, r->plan.nodes)];
    if (!is_running(r) || !e->is_up) {
        return;
    }
    uint64_t before = r->workload.operations;
    e->is_kept_down = true;
    sim_env_crash(e, SIM_CRASH_POWER_LOSS);
    run_for(r, SPARE_US);
    if (is_running(r) && r->workload.operations < before + SPARE_OPERATIONS) {
        world_fail(&r->world, "%s cannot be spared after a rebuild", e->name);
    }
    sim_env_release(e);
    expect(r, is_all_up, ANSWER_PATIENCE_US, "a node does not come back");
}

static void heal(struct run *r)
{
    probe_stop(&r->probe);
    orphans_stop(&r->orphans);
    expect(r, is_probed, ROUND_PATIENCE_US, "a round of deaths did not end");
    faults_heal(&r->faults);
    workload_expect_answers(&r->workload);
    workload_expect_space(&r->workload, SPACE_PATIENCE_US);
    run_for(r, CALM_US);
    expect(r, is_refused, REFUSE_PATIENCE_US, "an emptied node did not refuse to go on");
    expect(r, has_operations, OPERATIONS_PATIENCE_US, "clients got too few answers");
    expect(r, is_repaired, REPAIR_PATIENCE_US, "a rebuilt node does not catch up");
    if (r->plan.kind == PLAN_ROT) {
        spare_one(r);
    }
    workload_drain(&r->workload);
    expect(r, is_idle, ANSWER_PATIENCE_US, "clients still wait for answers after healing");
    run_for(r, EXPIRY_PATIENCE_US);
}

static void check_open_conns(struct run *r)
{
    for (unsigned i = 0; is_running(r) && i < r->plan.nodes; i++) {
        if (r->nodes[i].is_up && sim_env_open_conns(&r->nodes[i]) > 0) {
            world_fail(&r->world, "connections stay open after their clients left");
        }
    }
}

static void read_all(struct run *r, unsigned node, const char *what)
{
    if (!is_running(r) || r->nodes[node].has_refused) {
        return;
    }
    world_trace(&r->world, "reading all keys through %s %s", r->nodes[node].name, what);
    workload_read_all(&r->workload, node);
    deals_read_all(&r->deals, node);
    expect(r, is_idle, ANSWER_PATIENCE_US, "the last reader still waits for answers");
    run_for(r, SECOND_US);
    check_open_conns(r);
}

/* Long after healing: nothing is left that could end a leadership. */
static void read_everywhere(struct run *r, const char *what)
{
    if (is_cluster(r)) {
        watch_fix_terms(&r->watch);
    }
    for (unsigned i = 0; i < r->plan.nodes; i++) {
        read_all(r, i, what);
    }
}

static void compare(struct run *r)
{
    if (is_cluster(r) && !settle(r) && is_running(r)) {
        watch_print(&r->watch, r->report);
        world_fail(&r->world, "the replicas do not become equal");
    }
}

static void stop_all(struct run *r)
{
    r->watch.are_terms_fixed = false;
    r->workload.options.is_calm = false;
    for (unsigned i = 0; is_running(r) && i < r->plan.nodes; i++) {
        sim_env_stop(&r->nodes[i]);
    }
}

/* A bit of the disk flips while the node is down: it refuses to start, or all is as it was. */
static void rot(struct run *r)
{
    struct sim_env *e = &r->nodes[0];
    e->is_kept_down = true;
    stop_all(r);
    (void)run_until_true(r, is_all_down, ANSWER_PATIENCE_US);
    if (!is_running(r)) {
        return;
    }
    sim_env_rot_any(e);
    e->is_start_allowed_to_fail = true;
    sim_env_boot(e);
    read_all(r, 0, "after rot");
}

static void run_phases(struct run *r)
{
    form(r);
    workload_start(&r->workload);
    deals_start(&r->deals);
    if (r->plan.kind == PLAN_FAILOVER && is_running(r)) {
        probe_start(&r->probe);
    } else if (r->plan.kind == PLAN_GATEWAYS && is_running(r)) {
        orphans_start(&r->orphans);
    } else if (r->plan.has_faults) {
        faults_start(&r->faults);
    }
    work(r);
    heal(r);
    read_everywhere(r, "at the end");
    compare(r);
    stop_all(r);
    run_for(r, SECOND_US);
    expect(r, is_all_up, ANSWER_PATIENCE_US, "not all nodes are up after a clean stop of all");
    read_all(r, (unsigned)prng_below(&r->prng, r->plan.nodes), "after a clean restart");
    compare(r);
    if (is_running(r) && !is_cluster(r) && prng_chance(&r->prng, 500)) {
        rot(r);
    }
}

/* ---- the whole ------------------------------------------------------------------------------- */

static void check_minimum(struct run *r)
{
    if (!r->world.is_failed && !has_minimum(r)) {
        world_fail(&r->world,
                   "too little happened: %" PRIu64 " operations, %" PRIu64 " faults, %" PRIu64
                   " changes of leaders, %" PRIu64 " snapshots, %" PRIu64
                   " segments released, %" PRIu64 " refused for space, %" PRIu64 " rebuilds",
                   r->workload.operations,
                   faults_count(&r->world),
                   r->watch.leader_changes,
                   r->watch.snapshots,
                   r->watch.segments_released,
                   r->workload.no_space,
                   r->world.fault_count[SIM_FAULT_REBUILD]);
    }
}

static void on_key_ended(void *owner)
{
    faults_key_ended(&((struct run *)owner)->faults);
}

static void on_deal_sent(void *owner, unsigned node, const uint32_t *groups, unsigned group_count)
{
    struct run *r = owner;
    orphans_sent(&r->orphans, node);
    faults_deal_sent(&r->faults, node, groups, group_count);
}

static void on_crashing(void *owner, const struct sim_env *e)
{
    deaths_note(&((struct run *)owner)->deaths, e);
}

static void run_init(struct run *r, enum plan_kind forced_plan)
{
    r->prng = world_prng(&r->world, PURPOSE_OPTIONS);
    plan_init(&r->plan, &r->prng, forced_plan);
    const struct plan *plan = &r->plan;
    world_trace(&r->world,
                "plan %s nodes=%u groups=%" PRIu32 " clients=%u",
                plan_name(plan->kind),
                plan->nodes,
                plan->env.groups,
                plan->workload.clients);
    sim_network_init(&r->network, &r->world, &plan->network);
    for (unsigned i = 0; i < plan->nodes; i++) {
        struct sim_env_options options = plan->env;
        options.skew_ppm = plan->skew_ppm[i];
        sim_env_init(&r->nodes[i], &r->network, i, &options);
    }
    workload_init(&r->workload, &r->network, &plan->workload);
    r->workload.key_ended = on_key_ended;
    r->workload.owner = r;
    watch_init(&r->watch, &r->network);
    deals_init(&r->deals, &r->workload, &plan->deals);
    r->deals.sent = on_deal_sent;
    r->deals.owner = r;
    unsigned clients = r->workload.client_count + r->deals.dealer_count;
    faults_init(&r->faults, &r->network, &r->watch, clients, &plan->faults);
    probe_init(&r->probe, &r->network, &r->watch);
    orphans_init(&r->orphans, &r->network, &r->watch, &r->deals);
    deaths_init(&r->deaths, &r->network);
    r->network.crashing = on_crashing;
    r->network.owner = r;
}

static void run_deinit(struct run *r)
{
    probe_deinit(&r->probe);
    watch_deinit(&r->watch);
    deals_deinit(&r->deals);
    workload_deinit(&r->workload);
    for (unsigned i = 0; i < r->plan.nodes; i++) {
        sim_env_deinit(&r->nodes[i]);
    }
    sim_network_deinit(&r->network);
    world_deinit(&r->world);
}

static struct run_result run_result(const struct run *r)
{
    struct run_result result = {
        .is_failed = r->world.is_failed,
        .kind = r->plan.kind,
        .nodes = r->plan.nodes,
        .groups = r->watch.group_count,
        .virtual_us = r->world.now_us,
        .events = r->world.events,
        .operations = r->workload.operations,
        .refused = r->workload.refused,
        .unknown = r->workload.unknown,
        .undecided = r->workload.history.undecided,
        .faults = faults_count(&r->world),
        .leader_changes = r->watch.leader_changes,
        .has_purpose = has_purpose(r),
        .snapshots = r->watch.snapshots,
        .segments_released = r->watch.segments_released,
        .segments_max = r->watch.segments_max,
        .no_space = r->workload.no_space,
        .reads_when_full = r->workload.reads_when_full,
        .failover_us = r->probe.longest_us,
        .deals = r->deals.done,
        .deals_changed = r->deals.changed,
        .deals_failed = r->deals.failed,
        .deals_appended = r->deals.appended,
        .deals_sums = r->deals.sums,
        .orphans = r->orphans.found,
        .orphans_us = r->orphans.longest_us,
        .hash = r->world.trace_hash,
    };
    for (unsigned i = 0; i < r->plan.nodes; i++) {
        result.boots += r->nodes[i].boot_count;
    }
    memcpy(result.failure, r->world.failure, sizeof result.failure);
    memcpy(result.death_count, r->deaths.count, sizeof result.death_count);
    memcpy(result.fault_count, r->world.fault_count, sizeof result.fault_count);
    return result;
}

void run_seed(uint64_t seed,
              enum plan_kind forced_plan,
              bool is_trace_printed,
              struct run_result *out_result,
              struct buf *out_report)
{
    struct run r = {.report = out_report};
    world_init(&r.world, seed, is_trace_printed);
    run_init(&r, forced_plan);
    run_phases(&r);
    check_minimum(&r);
    if (!r.world.is_failed) {
        workload_check(&r.workload, out_report);
        deals_check(&r.deals, out_report);
    }
    *out_result = run_result(&r);
    run_deinit(&r);
}
