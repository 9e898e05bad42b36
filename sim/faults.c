#include "sim/faults.h"

#include <inttypes.h>

#include "base/assert.h"
#include "sim/faults_parts.h"

#define PURPOSE_FAULTS 902u
#define GAP_US_MIN (10 * MS_US)
#define AT_LEADER_PER_MILLE 400

void faults_init(struct faults *f,
                 struct sim_network *network,
                 const struct watch *watch,
                 unsigned client_count,
                 const struct faults_options *options)
{
    *f = (struct faults){
        .world = network->world,
        .network = network,
        .watch = watch,
        .options = *options,
    };
    f->prng = world_prng(f->world, PURPOSE_FAULTS);
    links_init(&f->links, network, client_count);
}

uint64_t faults_count(const struct world *w)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < SIM_FAULT_COUNT; i++) {
        count += w->fault_count[i];
    }
    return count;
}

/* ---- whom ------------------------------------------------------------------------------------ */

struct sim_env *faults_pick_leader(struct faults *f)
{
    if (f->watch->group_count == 0) {
        return NULL;
    }
    uint32_t group = (uint32_t)prng_below(&f->prng, f->watch->group_count);
    uint32_t leader = watch_leader(f->watch, group);
    return leader != WATCH_NOBODY ? f->network->machines[leader] : NULL;
}

static bool is_target(const struct sim_env *e)
{
    return e->is_up && !e->is_wiped;
}

struct sim_env *faults_pick_machine(struct faults *f)
{
    struct sim_env *leader = faults_pick_leader(f);
    if (leader != NULL && prng_chance(&f->prng, AT_LEADER_PER_MILLE)) {
        return leader;
    }
    struct sim_env *picked = NULL;
    uint64_t seen = 0;
    for (unsigned i = 0; i < f->network->machine_count; i++) {
        struct sim_env *e = f->network->machines[i];
        if (is_target(e) && prng_below(&f->prng, ++seen) == 0) {
            picked = e;
        }
    }
    return picked;
}

bool faults_can_spare_one(const struct faults *f)
{
    unsigned away = 0;
    for (unsigned i = 0; i < f->network->machine_count; i++) {
        const struct sim_env *e = f->network->machines[i];
        bool is_away = e->is_kept_down || e->is_wiped || e->is_rotten;
        away += is_away || !watch_is_whole(f->watch, i) ? 1 : 0;
    }
    return 2 * (away + 1) < f->network->machine_count;
}

/* ---- crashes --------------------------------------------------------------------------------- */

static enum sim_crash random_crash(struct faults *f)
{
    return prng_chance(&f->prng, 500) ? SIM_CRASH_KILL : SIM_CRASH_POWER_LOSS;
}

struct aim {
    unsigned after;
    unsigned calls;
};

/* The moments with the most to lose: syncs; what a log begins, moves and drops; what follows that.
 */
static struct aim pick_aim(struct faults *f)
{
    static const struct aim aims[] = {
        {0, SIM_CALL_SYNC},
        {0, SIM_CALL_SYNC},
        {0, SIM_CALL_NAME},
        {0, SIM_CALL_REMOVE},
        {0, SIM_CALL_STORE},
        {SIM_CALL_REMOVE, SIM_CALL_SYNC},
        {SIM_CALL_REMOVE, SIM_CALL_WRITE},
        {SIM_CALL_STORE, SIM_CALL_REMOVE},
    };
    unsigned usual = f->options.is_aimed ? 2 : 0; /* any sync */
    unsigned count = sizeof aims / sizeof aims[0];
    return aims[usual + prng_below(&f->prng, count - usual)];
}

static void inject_crash(struct faults *f, struct sim_env *e, enum sim_crash kind)
{
    struct prng *p = &f->prng;
    uint64_t place = f->options.is_aimed ? 3 : prng_below(p, 4);
    if (place == 0) {
        sim_env_crash(e, kind);
    } else if (place == 1) {
        sim_env_plan_crash(e, kind, prng_between(p, 1, 30));
    } else {
        uint64_t operations = prng_between(p, 1, 12);
        struct aim aim = {.calls = SIM_CALLS_ALL};
        if (place == 3) {
            aim = pick_aim(f);
        }
        sim_env_plan_crash_in_job(e, kind, operations, aim.after, aim.calls);
    }
}

static void inject_kill_leader(struct faults *f)
{
    struct sim_env *leader = faults_pick_leader(f);
    if (leader != NULL) {
        world_fault(f->world, SIM_FAULT_KILL_LEADER);
        sim_env_crash(leader, SIM_CRASH_KILL);
    }
}

static void inject_kill_all(struct faults *f)
{
    world_fault(f->world, SIM_FAULT_KILL_ALL);
    enum sim_crash kind = random_crash(f);
    for (unsigned i = 0; i < f->network->machine_count; i++) {
        if (is_target(f->network->machines[i])) {
            sim_env_crash(f->network->machines[i], kind);
        }
    }
}

/* item: the machine. */
static void fire_up_again(void *owner, void *item, uint64_t tag)
{
    struct faults *f = owner;
    struct sim_env *e = item;
    if (tag == f->epoch && e->is_kept_down) {
        sim_env_release(e);
    }
}

static void inject_down(struct faults *f, struct sim_env *e)
{
    if (!faults_can_spare_one(f)) {
        return;
    }
    world_fault(f->world, SIM_FAULT_DOWN);
    e->is_kept_down = true;
    sim_env_crash(e, random_crash(f));
    uint64_t us = prng_between(&f->prng, 2, 15) * SECOND_US;
    world_schedule(f->world, us, fire_up_again, f, e, f->epoch);
}

/* item: the machine. It starts with nothing and has to notice that the others know it. */
static void fire_wiped_start(void *owner, void *item, uint64_t tag)
{
    struct sim_env *e = item;
    (void)owner;
    (void)tag;
    e->is_start_allowed_to_fail = true;
    sim_env_wipe(e);
    sim_env_release(e);
}

static void inject_wipe(struct faults *f, struct sim_env *e)
{
    if (f->wiped != NULL || !faults_can_spare_one(f) || !watch_is_led(f->watch)) {
        return;
    }
    f->wiped = e;
    e->is_kept_down = true;
    e->options.start_crash_per_mille = 0;
    sim_env_crash(e, SIM_CRASH_KILL);
    uint64_t us = prng_between(&f->prng, 1, 3000) * MS_US;
    world_schedule(f->world, us, fire_wiped_start, f, e, 0);
}

/* ---- time and network ------------------------------------------------------------------------ */

/* So far from the right time. */
static void set_clock(struct faults *f, struct sim_env *e, int64_t offset_ms)
{
    struct world *w = f->world;
    w->clock_least_ms = offset_ms < w->clock_least_ms ? offset_ms : w->clock_least_ms;
    w->clock_most_ms = offset_ms > w->clock_most_ms ? offset_ms : w->clock_most_ms;
    sim_env_clock_jump(e, offset_ms - f->clock_offset_ms[e->index]);
    f->clock_offset_ms[e->index] = offset_ms;
}

static void inject_clock_jump(struct faults *f, struct sim_env *e)
{
    int64_t most_ms = (int64_t)f->options.clock_offset_ms_max;
    int64_t offset_ms = (int64_t)prng_below(&f->prng, 2 * (uint64_t)most_ms + 1) - most_ms;
    set_clock(f, e, offset_ms);
}

/* Mostly short, seldom up to a minute. */
/* Slow, or as good as hung: then a leader keeps its heartbeats and applies nothing. */
static void inject_slow_disk(struct faults *f, struct sim_env *e)
{
    bool is_hung = prng_chance(&f->prng, 200);
    uint64_t us = prng_between(&f->prng, 100, is_hung ? 8000 : 2000) * MS_US;
    sim_env_slow_disk(e, us, is_hung ? 6000 * MS_US : 300 * MS_US);
}

static uint64_t pause_us(struct faults *f)
{
    uint64_t x = prng_below(&f->prng, 100);
    uint64_t most_ms = x < 70 || f->network->machine_count == 1 ? 3000 : x < 95 ? 15000 : 60000;
    return prng_between(&f->prng, 10, most_ms) * MS_US;
}

static void inject_partition(struct faults *f, enum sim_fault fault)
{
    static const enum links_shape shapes[] = {LINKS_SPLIT, LINKS_MINORITY};
    enum links_shape shape = shapes[prng_below(&f->prng, 2)];
    struct sim_env *special = f->network->machines[prng_below(&f->prng, f->network->machine_count)];
    if (fault == SIM_FAULT_ISOLATE) {
        struct sim_env *leader = faults_pick_leader(f);
        special = leader != NULL ? leader : special;
        shape = LINKS_ISOLATE;
    } else if (fault == SIM_FAULT_BRIDGE) {
        shape = LINKS_BRIDGE;
    }
    uint64_t most_ms = prng_chance(&f->prng, 200) ? 20000 : 6000;
    uint64_t us = prng_between(&f->prng, 200, most_ms) * MS_US;
    if (links_partition(&f->links, shape, special->index, us)) {
        world_fault(f->world, fault);
    }
}

/* True if it was one of these. */
static bool inject_at_network(struct faults *f, enum sim_fault fault)
{
    uint64_t us = prng_between(&f->prng, 200, 8000) * MS_US;
    switch ((unsigned)fault) {
    case SIM_FAULT_PARTITION:
    case SIM_FAULT_ISOLATE:
    case SIM_FAULT_BRIDGE:
        inject_partition(f, fault);
        return true;
    case SIM_FAULT_SWIZZLE:
        if (links_swizzle(&f->links)) {
            world_fault(f->world, fault);
        }
        return true;
    case SIM_FAULT_CUT:
        world_fault(f->world, fault);
        links_cut_one(&f->links, us);
        return true;
    case SIM_FAULT_LOSS:
        world_fault(f->world, fault);
        links_loss(&f->links, us);
        return true;
    case SIM_FAULT_DELAY:
        world_fault(f->world, fault);
        links_delay(&f->links, us);
        return true;
    case SIM_FAULT_LATE:
        (void)sim_network_delay_last_bytes(f->network);
        return true;
    default:
        return false;
    }
}

/* ---- all kinds ------------------------------------------------------------------------------- */

static enum sim_fault pick_fault(struct faults *f)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < SIM_FAULT_COUNT; i++) {
        sum += f->options.weight[i];
    }
    unsigned at = (unsigned)prng_below(&f->prng, sum);
    unsigned fault = 0;
    while (at >= f->options.weight[fault]) {
        at -= f->options.weight[fault];
        fault++;
    }
    return (enum sim_fault)fault;
}

static void inject_at_machine(struct faults *f, enum sim_fault fault, struct sim_env *e)
{
    struct prng *p = &f->prng;
    switch ((unsigned)fault) {
    case SIM_FAULT_KILL:
        inject_crash(f, e, SIM_CRASH_KILL);
        return;
    case SIM_FAULT_POWER_LOSS:
        inject_crash(f, e, SIM_CRASH_POWER_LOSS);
        return;
    case SIM_FAULT_IO_ERROR:
        sim_env_plan_io_error(e, prng_between(p, 1, 10));
        return;
    case SIM_FAULT_CLEAN_STOP:
        sim_env_stop(e);
        return;
    case SIM_FAULT_SLOW_DISK:
        inject_slow_disk(f, e);
        return;
    case SIM_FAULT_PAUSE:
        sim_env_pause(e, pause_us(f));
        return;
    case SIM_FAULT_BREAK:
        (void)sim_network_break_one(f->network, e);
        return;
    case SIM_FAULT_CLOG:
        sim_env_clog(e, prng_between(p, 100, 2000) * MS_US);
        return;
    case SIM_FAULT_CLOCK_JUMP:
        inject_clock_jump(f, e);
        return;
    case SIM_FAULT_KILL_LEADER:
        inject_kill_leader(f);
        return;
    case SIM_FAULT_KILL_ALL:
        inject_kill_all(f);
        return;
    case SIM_FAULT_DOWN:
        inject_down(f, e);
        return;
    case SIM_FAULT_WIPE:
        inject_wipe(f, e);
        return;
    case SIM_FAULT_FILL:
        faults_inject_fill(f, e);
        return;
    case SIM_FAULT_ROT:
        faults_inject_rot(f);
        return;
    case SIM_FAULT_INSTALL:
        faults_inject_install(f, e);
        return;
    default:
        break;
    }
    unreachable("a fault that is not injected from here");
}

static void fire_fault(void *owner, void *item, uint64_t tag)
{
    struct faults *f = owner;
    (void)item;
    if (tag != f->epoch || !f->is_on) {
        return;
    }
    enum sim_fault fault = pick_fault(f);
    if (!inject_at_network(f, fault)) {
        struct sim_env *e = faults_pick_machine(f);
        if (e != NULL) {
            inject_at_machine(f, fault, e);
        }
    }
    uint64_t gap_us = prng_between(&f->prng, GAP_US_MIN, f->options.gap_us_max);
    world_schedule(f->world, gap_us, fire_fault, f, NULL, f->epoch);
}

/* The leader dies, or all clocks go back: what only a clock ended would be there again. */
static void fire_key_ended(void *owner, void *item, uint64_t tag)
{
    struct faults *f = owner;
    (void)item;
    if (tag != f->epoch || !f->is_on) {
        return;
    }
    if (prng_chance(&f->prng, 300)) {
        inject_kill_leader(f);
        return;
    }
    for (unsigned i = 0; i < f->network->machine_count; i++) {
        set_clock(f, f->network->machines[i], -(int64_t)f->options.clock_offset_ms_max);
    }
}

void faults_key_ended(struct faults *f)
{
    if (f->options.end_per_mille > 0 && prng_chance(&f->prng, f->options.end_per_mille)) {
        world_schedule(f->world, 1, fire_key_ended, f, NULL, f->epoch);
    }
}

void faults_start(struct faults *f)
{
    f->is_on = true;
    world_schedule(f->world, f->options.gap_us_max, fire_fault, f, NULL, f->epoch);
}

void faults_force_leader_change(struct faults *f)
{
    if (prng_chance(&f->prng, 500)) {
        inject_kill_leader(f);
    } else {
        inject_partition(f, SIM_FAULT_ISOLATE);
    }
}

void faults_heal(struct faults *f)
{
    world_trace(f->world, "healing");
    f->is_on = false;
    f->hunt_kills = 0;
    f->epoch++;
    links_heal(&f->links);
    for (unsigned i = 0; i < f->network->machine_count; i++) {
        struct sim_env *e = f->network->machines[i];
        sim_env_heal(e);
        if (f->network->machine_count > 1 && f->clock_offset_ms[i] != 0) {
            e->options.wall_offset_ms -= f->clock_offset_ms[i];
            f->clock_offset_ms[i] = 0;
        }
        bool waits_for_wipe = f->wiped == e && !e->is_wiped;
        if (e->is_kept_down && !waits_for_wipe) {
            sim_env_release(e);
        }
    }
}
