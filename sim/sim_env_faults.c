/* What can be done to a machine: see sim_env.h. The crash itself is in sim_env.c. */
#include <inttypes.h>
#include <string.h>

#include "base/assert.h"
#include "sim/sim_parts.h"

/* Jobs one behind the other that a stop waits for: a batch in flight, one more, the last mark. */
#define STOP_JOBS 3u
#define FILL_STEP_US (150 * MS_US)
#define FILL_STEPS 8u                   /* of the reserve */
#define RESUME_US (2 * SECOND_US)       /* until a node has seen that its disk has space again */
#define OPERATOR_US_MAX (2 * SECOND_US) /* until he has read the message */
#define REBUILD_CRASH_PER_MILLE 300
#define REBUILD_OPERATIONS_MAX 12u

/* ---- faults ---------------------------------------------------------------------------------- */

void sim_env_plan_crash(struct sim_env *e, enum sim_crash kind, uint64_t deliveries)
{
    e->planned_crash = kind;
    e->deliveries_until_crash = deliveries;
}

void sim_env_plan_crash_in_job(struct sim_env *e,
                               enum sim_crash kind,
                               uint64_t operations,
                               unsigned after,
                               unsigned calls)
{
    e->disk.death_after = after;
    e->disk.death_calls = calls;
    e->planned_crash = kind;
    e->disk.ops_until_death = operations;
}

void sim_env_plan_io_error(struct sim_env *e, uint64_t operations)
{
    e->disk.ops_until_error = operations;
}

void sim_env_pause(struct sim_env *e, uint64_t us)
{
    world_fault(e->world, SIM_FAULT_PAUSE);
    world_trace(e->world, "%s pauses for %" PRIu64 " ms", e->name, us / MS_US);
    e->paused_until_us = e->world->now_us + us;
    e->pauses_jobs = prng_chance(&e->prng, 500);
}

void sim_env_slow_disk(struct sim_env *e, uint64_t us, uint64_t job_us_max)
{
    world_fault(e->world, SIM_FAULT_SLOW_DISK);
    e->slow_disk_until_us = e->world->now_us + us;
    e->slow_job_us_max = job_us_max;
    e->slow_jobs_until_us = e->slow_disk_until_us + STOP_JOBS * job_us_max;
}

void sim_env_clog(struct sim_env *e, uint64_t us)
{
    world_fault(e->world, SIM_FAULT_CLOG);
    e->clogged_until_us = e->world->now_us + us;
}

void sim_env_clock_jump(struct sim_env *e, int64_t ms)
{
    world_fault(e->world, SIM_FAULT_CLOCK_JUMP);
    world_trace(e->world, "%s clock jumps by %" PRId64 " ms", e->name, ms);
    e->options.wall_offset_ms += ms;
}

/* ---- space ----------------------------------------------------------------------------------- */

/* tag: the node's life. */
static void fire_must_resume(void *owner, void *item, uint64_t tag)
{
    struct sim_env *e = owner;
    (void)item;
    uint64_t since_us = e->world->now_us - RESUME_US;
    bool was_slow = e->paused_until_us > since_us || e->slow_jobs_until_us > since_us;
    if (tag == e->boot && e->is_up && !was_slow && e->filled_at_us < since_us &&
        !e->env.is_halted && node_is_out_of_space(e->node)) {
        world_fail(e->world, "%s has space again, and does not see it", e->name);
    }
}

static void give_back(struct sim_env *e)
{
    e->fill_tag++;
    if (e->disk.others_bytes > 0) {
        world_trace(e->world, "%s has space again", e->name);
        e->disk.others_bytes = 0;
        world_schedule(e->world, RESUME_US, fire_must_resume, e, NULL, e->boot);
    }
}

static void fire_give_back(void *owner, void *item, uint64_t tag)
{
    struct sim_env *e = owner;
    (void)item;
    if (tag == e->fill_tag) {
        give_back(e);
    }
}

static void take_space(struct sim_env *e, uint64_t left_bytes)
{
    uint64_t free_bytes = sim_disk_free(&e->disk);
    if (free_bytes > left_bytes) {
        e->disk.others_bytes += free_bytes - left_bytes;
        world_trace(e->world, "%s disk is filled, %" PRIu64 " bytes left", e->name, left_bytes);
    }
}

static void fire_fill_on(void *owner, void *item, uint64_t tag)
{
    struct sim_env *e = owner;
    if (tag != e->fill_tag) {
        return;
    }
    uint64_t free_bytes = sim_disk_free(&e->disk);
    uint64_t step_bytes = e->options.disk_reserve / FILL_STEPS;
    uint64_t left_bytes = free_bytes > step_bytes ? free_bytes - step_bytes : 0;
    take_space(e, left_bytes > e->fill_left_bytes ? left_bytes : e->fill_left_bytes);
    world_schedule(e->world, FILL_STEP_US, fire_fill_on, e, item, tag);
}

/*
 * Down to the reserve at once, then bit by bit: a node that looks now and then has time to see what
 * comes, and what it gives up is taken, too.
 */
void sim_env_fill(struct sim_env *e, uint64_t left_bytes, uint64_t us)
{
    e->fill_tag++;
    e->fill_left_bytes = left_bytes;
    e->filled_at_us = e->world->now_us;
    world_fault(e->world, SIM_FAULT_FILL);
    take_space(e, left_bytes > e->options.disk_reserve ? left_bytes : e->options.disk_reserve);
    world_schedule(e->world, FILL_STEP_US, fire_fill_on, e, NULL, e->fill_tag);
    world_schedule(e->world, us, fire_give_back, e, NULL, e->fill_tag);
}

/* ---- rot, and the operator --------------------------------------------------------------------
 */

void sim_env_rot_any(struct sim_env *e)
{
    ensure(!e->is_up);
    if (sim_disk_rot(e, false)) {
        world_fault(e->world, SIM_FAULT_ROT);
    }
}

bool sim_env_rot(struct sim_env *e)
{
    if (!sim_disk_rot(e, true)) {
        return false;
    }
    world_fault(e->world, SIM_FAULT_ROT);
    e->is_rotten = true;
    return true;
}

static void fire_operator(void *owner, void *item, uint64_t tag);

static void call_soon(struct sim_env *e)
{
    uint64_t delay_us = prng_between(&e->prng, MS_US, OPERATOR_US_MAX);
    world_schedule(e->world, delay_us, fire_operator, e, NULL, e->boot);
}

/* dougong rebuild --data DIR: a process of its own, which may die on the way, too. */
static void fire_operator(void *owner, void *item, uint64_t tag)
{
    struct sim_env *e = owner;
    (void)item;
    if (tag != e->boot || !e->is_waiting_for_operator) {
        return;
    }
    ensure(!e->is_up);
    sim_env_begin(e);
    if (prng_chance(&e->prng, REBUILD_CRASH_PER_MILLE)) {
        e->planned_crash = prng_chance(&e->prng, 500) ? SIM_CRASH_KILL : SIM_CRASH_POWER_LOSS;
        uint64_t operations = prng_between(&e->prng, 1, REBUILD_OPERATIONS_MAX);
        sim_env_plan_crash_in_job(e, e->planned_crash, operations, 0, SIM_CALLS_ALL);
    }
    world_trace(e->world, "%s rebuild", e->name);
    struct error error = {.text = ""};
    e->place = SIM_PLACE_START;
    enum status status = node_rebuild(&e->env, e->dir, &error);
    e->place = SIM_PLACE_OUTSIDE;
    bool is_dead = e->disk.is_dead;
    sim_disk_crash(e, is_dead ? e->planned_crash : SIM_CRASH_KILL);
    if (is_dead || status == STATUS_NO_SPACE) {
        call_soon(e);
    } else if (status != STATUS_OK) {
        world_fail(e->world, "%s cannot be rebuilt: %s", e->name, error.text);
    } else {
        world_fault(e->world, SIM_FAULT_REBUILD);
        e->is_rotten = false;
        e->has_rotten_rows = false;
        e->is_waiting_for_operator = false;
        e->rebuilds++;
        sim_env_release(e);
    }
}

void sim_env_call_operator(struct sim_env *e, const char *text)
{
    world_trace(e->world, "%s waits for its operator: %s", e->name, text);
    if (strstr(text, "dougong rebuild") == NULL) {
        world_fail(e->world, "%s does not say what to do: %s", e->name, text);
    }
    e->is_waiting_for_operator = true;
    e->is_kept_down = true;
    sim_env_end(e, SIM_CRASH_KILL);
    call_soon(e);
}

/* ---- their end ------------------------------------------------------------------------------- */

void sim_env_heal(struct sim_env *e)
{
    e->options.start_crash_per_mille = 0;
    e->deliveries_until_crash = 0;
    e->disk.ops_until_death = 0;
    e->disk.ops_until_error = 0;
    e->paused_until_us = 0;
    e->slow_disk_until_us = 0;
    e->clogged_until_us = 0;
    give_back(e);
}

void sim_env_release(struct sim_env *e)
{
    if (e->has_refused || e->is_waiting_for_operator) {
        return;
    }
    e->is_kept_down = false;
    if (!e->is_up) {
        sim_env_boot(e);
    }
}

void sim_env_wipe(struct sim_env *e)
{
    ensure(!e->is_up);
    world_fault(e->world, SIM_FAULT_WIPE);
    world_trace(e->world, "%s is emptied", e->name);
    sim_disk_wipe(&e->disk, e->root);
    e->is_wiped = true;
}
