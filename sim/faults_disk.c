/* Faults of disks and of what is rebuilt from peers. */
#include <inttypes.h>

#include "base/assert.h"
#include "base/limits.h"
#include "sim/faults_parts.h"

#define FILL_US_MIN (500 * MS_US)
#define FILL_US_MAX (9 * SECOND_US)
#define ROT_RESTART_PER_MILLE 600
#define ROT_RESTART_US_MAX (3 * SECOND_US)
#define HUNT_LOOK_US (2 * MS_US)
#define HUNT_US (8 * SECOND_US)
#define HUNT_HIT_PER_MILLE 200 /* in each look: so it hits at any moment of a transfer */
#define HUNT_END_PER_MILLE 400
#define HUNT_END_DELIVERIES_MAX 12u
#define AWAY_MS_MIN 1000u
#define AWAY_MS_MAX 12000u

/* ---- space ----------------------------------------------------------------------------------- */

/* Nothing at all is left, or a little, or what is near the reserve. */
static uint64_t bytes_left(struct faults *f, const struct sim_env *e)
{
    uint64_t x = prng_below(&f->prng, 10);
    return x < 3 ? 0 : prng_below(&f->prng, x < 6 ? 16 * KIB : e->options.disk_reserve);
}

static void fill(struct faults *f, struct sim_env *e, uint64_t us)
{
    if (e->disk.others_bytes == 0) {
        sim_env_fill(e, bytes_left(f, e), us);
    }
}

void faults_inject_fill(struct faults *f, struct sim_env *e)
{
    uint64_t us = prng_between(&f->prng, FILL_US_MIN, FILL_US_MAX);
    uint64_t x = prng_below(&f->prng, 10);
    if (x < 7) {
        fill(f, e, us);
        return;
    }
    unsigned count = f->network->machine_count;
    unsigned filled = x < 9 ? count / 2 + 1 : count;
    unsigned first = (unsigned)prng_below(&f->prng, count);
    for (unsigned i = 0; i < filled; i++) {
        fill(f, f->network->machines[(first + i) % count], us);
    }
}

/* ---- rot ------------------------------------------------------------------------------------- */

/* Where a flip was not noticed, the next one may be: the others must stay sound. */
static struct sim_env *pick_for_rot(struct faults *f)
{
    unsigned count = f->network->machine_count;
    for (unsigned i = 0; i < count; i++) {
        if (f->network->machines[i]->is_rotten) {
            return f->network->machines[i];
        }
    }
    for (unsigned i = 0; i < count; i++) {
        if (!watch_is_whole(f->watch, i)) {
            return NULL; /* of some groups it would be the second replica of three */
        }
    }
    struct sim_env *e = f->network->machines[prng_below(&f->prng, count)];
    bool is_sound = !e->is_wiped && !e->has_refused && f->wiped != e;
    return is_sound && faults_can_spare_one(f) && watch_is_led(f->watch) ? e : NULL;
}

/* item: the machine. A start reads the log, and rows. */
static void fire_restart(void *owner, void *item, uint64_t tag)
{
    struct faults *f = owner;
    struct sim_env *e = item;
    if (tag == f->epoch && e->is_up && e->is_rotten) {
        sim_env_crash(e, prng_chance(&f->prng, 500) ? SIM_CRASH_KILL : SIM_CRASH_POWER_LOSS);
    }
}

void faults_inject_rot(struct faults *f)
{
    struct sim_env *e = pick_for_rot(f);
    if (e == NULL || e->is_waiting_for_operator || !sim_env_rot(e)) {
        return;
    }
    if (prng_chance(&f->prng, ROT_RESTART_PER_MILLE)) {
        uint64_t us = prng_between(&f->prng, MS_US, ROT_RESTART_US_MAX);
        world_schedule(f->world, us, fire_restart, f, e, f->epoch);
    }
}

/* ---- installs -------------------------------------------------------------------------------- */

/* Somebody who sends or takes a snapshot right now; NULL: nobody does. */
static struct sim_env *pick_installing(struct faults *f)
{
    struct sim_env *picked = NULL;
    uint64_t seen = 0;
    for (unsigned i = 0; i < f->network->machine_count; i++) {
        struct sim_env *e = f->network->machines[i];
        if (!e->is_up || e->env.is_halted || e->is_wiped) {
            continue;
        }
        struct node_disk_stats stats = {0};
        node_disk_stats(e->node, &stats);
        bool is_installing = stats.snapshots_sending + stats.snapshots_taking > 0;
        if (is_installing && prng_below(&f->prng, ++seen) == 0) {
            picked = e;
        }
    }
    return picked;
}

/* One that has a whole snapshot since the last look: the install follows. NULL: nobody. */
static struct sim_env *pick_installed(struct faults *f)
{
    struct sim_env *picked = NULL;
    for (unsigned i = 0; i < f->network->machine_count; i++) {
        struct sim_env *e = f->network->machines[i];
        if (e->is_up && !e->env.is_halted && !e->is_wiped) {
            struct node_disk_stats stats = {0};
            node_disk_stats(e->node, &stats);
            picked = stats.snapshots_taken > f->hunt_taken[i] ? e : picked;
            f->hunt_taken[i] = stats.snapshots_taken;
        } else {
            f->hunt_taken[i] = 0;
        }
    }
    return picked;
}

/* tag: of heals. */
static void fire_hunt(void *owner, void *item, uint64_t tag)
{
    struct faults *f = owner;
    (void)item;
    if (tag != f->epoch || f->hunt_kills == 0 || f->world->now_us > f->hunt_until_us) {
        f->hunt_kills = 0;
        return;
    }
    struct sim_env *e = pick_installed(f);
    if (e != NULL && prng_chance(&f->prng, HUNT_END_PER_MILLE)) {
        f->hunt_kills--;
        world_fault(f->world, SIM_FAULT_INSTALL);
        uint64_t deliveries = prng_between(&f->prng, 1, HUNT_END_DELIVERIES_MAX);
        sim_env_plan_crash(e, SIM_CRASH_POWER_LOSS, deliveries);
        world_schedule(f->world, HUNT_LOOK_US, fire_hunt, f, NULL, f->epoch);
        return;
    }
    e = pick_installing(f);
    if (e != NULL && prng_chance(&f->prng, HUNT_HIT_PER_MILLE)) {
        f->hunt_kills--;
        world_fault(f->world, SIM_FAULT_INSTALL);
        sim_env_crash(e, prng_chance(&f->prng, 500) ? SIM_CRASH_KILL : SIM_CRASH_POWER_LOSS);
    }
    world_schedule(f->world, HUNT_LOOK_US, fire_hunt, f, NULL, f->epoch);
}

/* item: the machine that was away. */
static void fire_hunt_starts(void *owner, void *item, uint64_t tag)
{
    struct faults *f = owner;
    if (tag != f->epoch) {
        return;
    }
    sim_env_release(item);
    f->hunt_until_us = f->world->now_us + HUNT_US;
    fire_hunt(f, NULL, tag);
}

void faults_inject_install(struct faults *f, struct sim_env *e)
{
    if (f->hunt_kills > 0 || !faults_can_spare_one(f)) {
        return;
    }
    f->hunt_kills = (unsigned)prng_between(&f->prng, 1, 3);
    f->hunt_until_us = UINT64_MAX;
    e->is_kept_down = true;
    sim_env_crash(e, prng_chance(&f->prng, 500) ? SIM_CRASH_KILL : SIM_CRASH_POWER_LOSS);
    uint64_t us = prng_between(&f->prng, AWAY_MS_MIN, AWAY_MS_MAX) * MS_US;
    world_schedule(f->world, us, fire_hunt_starts, f, e, f->epoch);
}
