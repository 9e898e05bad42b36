#include "sim/run.h"

#include <inttypes.h>
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"

#define FAULTS_US (20 * SECOND_US)
#define CALM_US SECOND_US /* clients go on after healing */
#define ANSWER_PATIENCE_US (15 * SECOND_US)
#define CLOCK_OFFSET_MS_MAX 2000           /* jumps stay within this around the first offset */
#define EXPIRY_PATIENCE_US (8 * SECOND_US) /* longest time to live, both jumps, and some */
#define EVENTS_MAX 5000000u
#define PURPOSE_OPTIONS 1u
#define PURPOSE_FAULTS 2u
#define TARGET_US (FAULTS_US + CALM_US)

struct run {
    struct world world;
    struct sim_env node;
    struct workload workload;
    struct prng options_prng;
    struct prng faults_prng;
    unsigned weight[SIM_FAULT_COUNT]; /* of the faults that are injected from here */
    unsigned weight_sum;
    uint64_t fault_gap_us_max;
    int64_t clock_offset_ms; /* by jumps so far */
    struct buf *report;
};

/* ---- options, from the seed ------------------------------------------------------------------ */

static struct sim_env_options pick_env_options(struct prng *p, bool has_faults)
{
    /* One statement each: the order of evaluation must not depend on the compiler. */
    struct sim_env_options o = {0};
    o.log_segment_bytes = prng_between(p, 8, 64) * KIB;
    o.store_fold_rows = prng_between(p, 1, 32);
    bool is_tight = prng_chance(p, 300);
    uint64_t tight = prng_between(p, 80, 320) * KIB;
    o.buffer_memory = is_tight ? tight : 0;
    o.latency_us_max = prng_between(p, 100, 5000);
    o.job_delay_us_max = prng_between(p, 100, 5000);
    o.down_us_max = prng_between(p, 50, 1500) * MS_US;
    o.deliveries_max = (uint32_t)prng_between(p, 1, 32);
    o.start_crash_per_mille = has_faults ? (unsigned)prng_below(p, 400) : 0;
    o.short_write_per_mille = (unsigned)prng_below(p, 300);
    o.tiny_chunk_per_mille = (unsigned)prng_below(p, 200);
    o.skew_ppm = (int64_t)prng_below(p, 401) - 200;
    o.wall_offset_ms = (int64_t)prng_below(p, 7200001) - 3600000;
    return o;
}

static struct workload_options pick_workload_options(struct prng *p)
{
    struct workload_options o = {0};
    o.clients = (unsigned)prng_between(p, 1, 8);
    o.keys = (unsigned)prng_between(p, 7, 20);
    o.expiring_keys = (unsigned)prng_between(p, 1, 4);
    o.pipeline_max = (unsigned)prng_between(p, 1, 16);
    o.timeout_us = prng_between(p, 1, 5) * SECOND_US;
    uint64_t commands = prng_between(p, 1500, 4000);
    uint64_t batches = commands * 2 / (1 + o.pipeline_max);
    o.think_us_max = TARGET_US * 2 * o.clients / batches;
    return o;
}

/* Kinds are left out at random, so that rare combinations of the others get their turn. */
static void pick_faults(struct run *r)
{
    static const struct {
        enum sim_fault fault;
        unsigned weight;
        bool is_always_on;
    } faults[] = {
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
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        bool is_on = prng_chance(&r->options_prng, 700);
        if (is_on || faults[i].is_always_on) {
            r->weight[faults[i].fault] = faults[i].weight;
            r->weight_sum += faults[i].weight;
        }
    }
    r->fault_gap_us_max = prng_between(&r->options_prng, 500, 2500) * MS_US;
}

/* ---- faults ---------------------------------------------------------------------------------- */

static enum sim_fault pick_fault(struct run *r)
{
    unsigned at = (unsigned)prng_below(&r->faults_prng, r->weight_sum);
    unsigned fault = 0;
    while (at >= r->weight[fault]) {
        at -= r->weight[fault];
        fault++;
    }
    return (enum sim_fault)fault;
}

static void inject_crash(struct run *r, enum sim_crash kind)
{
    struct prng *p = &r->faults_prng;
    uint64_t place = prng_below(p, 4);
    if (place == 0) {
        sim_env_crash(&r->node, kind);
    } else if (place == 1) {
        sim_env_plan_crash(&r->node, kind, prng_between(p, 1, 30));
    } else {
        uint64_t operations = prng_between(p, 1, 12);
        sim_env_plan_crash_in_job(&r->node, kind, operations, place == 3);
    }
}

static void inject_clock_jump(struct run *r)
{
    int64_t offset_ms =
        (int64_t)prng_below(&r->faults_prng, 2 * CLOCK_OFFSET_MS_MAX + 1) - CLOCK_OFFSET_MS_MAX;
    sim_env_clock_jump(&r->node, offset_ms - r->clock_offset_ms);
    r->clock_offset_ms = offset_ms;
}

static void inject(struct run *r, enum sim_fault fault)
{
    struct sim_env *e = &r->node;
    struct prng *p = &r->faults_prng;
    switch (fault) {
    case SIM_FAULT_KILL:
        inject_crash(r, SIM_CRASH_KILL);
        return;
    case SIM_FAULT_POWER_LOSS:
        inject_crash(r, SIM_CRASH_POWER_LOSS);
        return;
    case SIM_FAULT_IO_ERROR:
        sim_env_plan_io_error(e, prng_between(p, 1, 10));
        return;
    case SIM_FAULT_CLEAN_STOP:
        sim_env_stop(e);
        return;
    case SIM_FAULT_SLOW_DISK:
        sim_env_slow_disk(e, prng_between(p, 100, 2000) * MS_US);
        return;
    case SIM_FAULT_PAUSE:
        sim_env_pause(e, prng_between(p, 10, 3000) * MS_US);
        return;
    case SIM_FAULT_BREAK:
        (void)sim_env_break_one(e);
        return;
    case SIM_FAULT_CLOG:
        sim_env_clog(e, prng_between(p, 100, 2000) * MS_US);
        return;
    case SIM_FAULT_CLOCK_JUMP:
        inject_clock_jump(r);
        return;
    case SIM_FAULT_CRASH_IN_JOB:
    case SIM_FAULT_CRASH_IN_START:
    case SIM_FAULT_ROT:
    case SIM_FAULT_COUNT:
        break;
    }
    unreachable("a fault that is not injected from here");
}

static void fire_fault(void *owner, void *item, uint64_t tag)
{
    struct run *r = owner;
    (void)item;
    (void)tag;
    if (r->world.now_us >= FAULTS_US) {
        return;
    }
    if (r->node.is_up) {
        inject(r, pick_fault(r));
    }
    uint64_t gap_us = prng_between(&r->faults_prng, 10 * MS_US, r->fault_gap_us_max);
    world_schedule(&r->world, gap_us, fire_fault, r, NULL, 0);
}

/* ---- phases ---------------------------------------------------------------------------------- */

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

/* Until all clients are finished, or the node is down for good. */
static void run_until_idle(struct run *r, const char *what)
{
    uint64_t until_us = r->world.now_us + ANSWER_PATIENCE_US;
    while (is_running(r) && !workload_is_idle(&r->workload)) {
        if (r->node.has_refused) {
            return;
        }
        if (!world_step(&r->world, until_us)) {
            world_fail(&r->world, "clients still wait for answers %s", what);
        }
    }
}

static void run_until_down(struct run *r)
{
    uint64_t until_us = r->world.now_us + ANSWER_PATIENCE_US;
    while (is_running(r) && r->node.is_up && world_step(&r->world, until_us)) {
        /* one event after the other */
    }
}

static void heal(struct run *r)
{
    world_trace(&r->world, "healing");
    sim_env_heal(&r->node);
    workload_expect_answers(&r->workload);
    run_until(r, r->world.now_us + CALM_US);
    workload_drain(&r->workload);
    run_until_idle(r, "after healing");
    run_until(r, FAULTS_US + CALM_US + EXPIRY_PATIENCE_US);
}

static void read_all(struct run *r, const char *what)
{
    if (!is_running(r)) {
        return;
    }
    world_trace(&r->world, "reading all keys %s", what);
    workload_read_all(&r->workload);
    run_until_idle(r, what);
    run_until(r, r->world.now_us + SECOND_US);
    if (is_running(r) && r->node.is_up && sim_env_open_conns(&r->node) > 0) {
        world_fail(&r->world, "connections stay open after their clients left");
    }
}

/* A bit of the disk flips while the node is down: it refuses to start, or all is as it was. */
static void rot(struct run *r)
{
    r->node.is_kept_down = true;
    sim_env_stop(&r->node);
    run_until_down(r);
    if (!is_running(r)) {
        return;
    }
    sim_env_rot(&r->node, &r->faults_prng);
    r->node.is_start_allowed_to_fail = true;
    sim_env_boot(&r->node);
    if (r->node.is_up) {
        read_all(r, "after rot");
    }
}

static void run_phases(struct run *r)
{
    sim_env_boot(&r->node);
    workload_start(&r->workload);
    run_until(r, FAULTS_US);
    heal(r);
    read_all(r, "at the end");
    sim_env_stop(&r->node);
    read_all(r, "after a clean restart");
    if (is_running(r) && prng_chance(&r->options_prng, 500)) {
        rot(r);
    }
}

void run_seed(uint64_t seed,
              bool is_trace_printed,
              struct run_result *out_result,
              struct buf *out_report)
{
    struct run r = {.report = out_report};
    world_init(&r.world, seed, is_trace_printed);
    r.options_prng = world_prng(&r.world, PURPOSE_OPTIONS);
    r.faults_prng = world_prng(&r.world, PURPOSE_FAULTS);
    bool has_faults = prng_below(&r.options_prng, 16) != 0;
    struct sim_env_options env_options = pick_env_options(&r.options_prng, has_faults);
    struct workload_options workload_options = pick_workload_options(&r.options_prng);
    sim_env_init(&r.node, &r.world, 0, &env_options);
    workload_init(&r.workload, &r.node, &workload_options);
    pick_faults(&r);
    if (has_faults) {
        world_schedule(&r.world, r.fault_gap_us_max, fire_fault, &r, NULL, 0);
    }
    run_phases(&r);
    if (!r.world.is_failed) {
        workload_check(&r.workload, out_report);
    }

    struct run_result result = {
        .is_failed = r.world.is_failed,
        .virtual_us = r.world.now_us,
        .events = r.world.events,
        .operations = r.workload.operations,
        .unknown = r.workload.unknown,
        .undecided = r.workload.undecided,
        .boots = r.node.boot_count,
        .hash = r.world.trace_hash,
    };
    memcpy(result.failure, r.world.failure, sizeof result.failure);
    memcpy(result.fault_count, r.world.fault_count, sizeof result.fault_count);
    workload_deinit(&r.workload);
    sim_env_deinit(&r.node);
    world_deinit(&r.world);
    *out_result = result;
}
