#include "sim/sim_env.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "sim/sim_parts.h"

#define MILLION 1000000
#define STARVED_BYTES 16384u /* beside a segment of the log */
#define DISK_BYTES_DEFAULT ((uint64_t)1 << 40)
/* A node has this long to halt after an I/O error, or to stop when asked to. */
#define PAUSE_LOOK_US (200 * MS_US)
#define PATIENCE_US (10 * SECOND_US)
#define LOOP_DELAY_US_MAX 50u

enum prng_purpose {
    PURPOSE_DELAYS,
    PURPOSE_NODE,
    PURPOSE_DISK,
    PURPOSE_COUNT,
};

static void refuse(struct sim_env *e);

void sim_env_misuse(struct sim_env *e, const char *what)
{
    world_fail(e->world, "%s breaks the env contract: %s (place %d)", e->name, what, (int)e->place);
}

void sim_env_check_loop(struct sim_env *e, const char *call)
{
    if (e->place != SIM_PLACE_LOOP && e->place != SIM_PLACE_START) {
        sim_env_misuse(e, call);
    }
}

/* Somebody took all space, and it had no chance to see that in time: it may end, and start again.
 */
static bool is_starved(const struct sim_env *e)
{
    bool was_hindered = e->booted_at_us >= e->filled_at_us ||
                        e->paused_until_us > e->filled_at_us ||
                        e->slow_jobs_until_us > e->filled_at_us;
    uint64_t least_bytes = e->options.log_segment_bytes + STARVED_BYTES;
    return e->disk.others_bytes > 0 && was_hindered && sim_disk_free(&e->disk) < least_bytes;
}

/* An injected fault explains a halt or an error line. */
static bool is_excused(const struct sim_env *e)
{
    return e->disk.is_dead || e->disk.has_failed || e->is_start_allowed_to_fail || e->is_rotten ||
           is_starved(e);
}

/* ---- clocks, random numbers, timers ---------------------------------------------------------- */

static uint64_t skewed(const struct sim_env *e, uint64_t us)
{
    return us * (uint64_t)(MILLION + e->options.skew_ppm) / MILLION;
}

static uint64_t clock_us(const struct sim_env *e)
{
    return e->clock_base_us + skewed(e, e->world->now_us - e->clock_from_us);
}

/* World time at which the clock of the node shows `us`, or a little later. */
static uint64_t world_time_of(const struct sim_env *e, uint64_t us)
{
    if (us <= e->clock_base_us) {
        return e->clock_from_us;
    }
    uint64_t passed = us - e->clock_base_us;
    return e->clock_from_us + passed * MILLION / (uint64_t)(MILLION + e->options.skew_ppm) + 1;
}

static uint64_t now_us(struct env *env)
{
    struct sim_env *e = sim_env_of(env);
    sim_env_check_loop(e, "now_us");
    return clock_us(e);
}

static uint64_t wall_ms(struct env *env)
{
    struct sim_env *e = sim_env_of(env);
    sim_env_check_loop(e, "wall_ms");
    uint64_t ms = SIM_WALL_START_MS + skewed(e, e->world->now_us) / MS_US;
    return ms + (uint64_t)e->options.wall_offset_ms; /* wraps to a subtraction */
}

static uint64_t random_bits(struct env *env)
{
    struct sim_env *e = sim_env_of(env);
    sim_env_check_loop(e, "random");
    return prng_next(&e->prng_node);
}

static void timer_start(struct env *env, struct env_timer *timer, uint64_t delay_ms)
{
    struct sim_env *e = sim_env_of(env);
    sim_env_check_loop(e, "timer_start");
    timers_start(&e->timers, timer, clock_us(e) + delay_ms * MS_US);
}

static void timer_stop(struct env *env, struct env_timer *timer)
{
    struct sim_env *e = sim_env_of(env);
    sim_env_check_loop(e, "timer_stop");
    timers_stop(&e->timers, timer);
}

/* ---- the loop -------------------------------------------------------------------------------- */

static void fire_wake(void *owner, void *item, uint64_t tag);

static void schedule_wake(struct sim_env *e, uint64_t at_us)
{
    uint64_t at = at_us > e->world->now_us ? at_us : e->world->now_us;
    if (at < e->wake_at_us) {
        e->wake_at_us = at;
        e->wake_tag++;
        world_schedule(e->world, at - e->world->now_us, fire_wake, e, NULL, e->wake_tag);
    }
}

void sim_env_wake(struct sim_env *e)
{
    if (e->inbox_count > 0) {
        schedule_wake(e, e->world->now_us + prng_between(&e->prng, 1, LOOP_DELAY_US_MAX));
    }
    uint64_t due_us = timers_next_due_us(&e->timers);
    if (due_us != UINT64_MAX) {
        schedule_wake(e, world_time_of(e, due_us));
    }
}

void sim_env_deliver(struct sim_env *e, enum sim_delivery_kind kind, void *item)
{
    ensure(e->is_up || e->place == SIM_PLACE_START);
    if (e->inbox_first + e->inbox_count == e->inbox_capacity) {
        if (e->inbox_first > 0) {
            memmove(e->inbox, e->inbox + e->inbox_first, e->inbox_count * sizeof e->inbox[0]);
            e->inbox_first = 0;
        } else {
            e->inbox_capacity = e->inbox_capacity > 0 ? e->inbox_capacity * 2 : 64;
            e->inbox = mem_realloc(e->inbox, e->inbox_capacity * sizeof e->inbox[0]);
        }
    }
    e->inbox[e->inbox_first + e->inbox_count] =
        (struct sim_delivery){.kind = (int)kind, .item = item};
    e->inbox_count++;
    if (e->place == SIM_PLACE_OUTSIDE) {
        sim_env_wake(e);
    }
}

static void fire_delivery(struct sim_env *e)
{
    struct sim_delivery d = e->inbox[e->inbox_first];
    e->inbox_first++;
    e->inbox_count--;
    if (d.kind == SIM_DELIVERY_WORK_DONE) {
        struct env_work *work = d.item;
        world_trace(e->world, "%s work done", e->name);
        work->done(work);
    } else {
        sim_net_fire(d.item, (enum sim_delivery_kind)d.kind);
    }
}

/* True if the planned crash is due now. */
static bool crash_is_due(struct sim_env *e)
{
    return e->deliveries_until_crash > 0 && --e->deliveries_until_crash == 0;
}

/* One turn: timers and some events in any order, then env->turn. True: the node has to crash now.
 */
static bool run_turn(struct sim_env *e)
{
    bool timers_first = prng_chance(&e->prng, 500);
    if (timers_first) {
        timers_fire(&e->timers, clock_us(e));
    }
    uint64_t limit = prng_between(&e->prng, 1, e->options.deliveries_max);
    for (uint64_t i = 0; i < limit && e->inbox_count > 0 && !e->env.is_halted; i++) {
        fire_delivery(e);
        if (crash_is_due(e)) {
            return true;
        }
    }
    if (!timers_first && !e->env.is_halted) {
        timers_fire(&e->timers, clock_us(e));
    }
    if (e->env.turn != NULL && !e->env.is_halted) {
        e->env.turn(e->env.turn_owner);
    }
    return crash_is_due(e);
}

/* After the node's code has returned: what it asked for. True if it lives on. */
static bool settle(struct sim_env *e)
{
    if (e->env.is_halted) {
        world_trace(e->world, "%s ends after its halt", e->name);
        if (e->is_start_allowed_to_fail && !e->disk.has_failed) {
            refuse(e);
            return false;
        }
        if (e->is_rotten && !e->disk.has_failed) {
            sim_env_call_operator(e, e->halt_text);
            return false;
        }
        /* After an I/O error the process restarts on the same page cache, or the power goes, too.
         */
        bool keeps_cache = !e->disk.has_failed || prng_chance(&e->prng, 500);
        sim_env_end(e, keeps_cache ? SIM_CRASH_KILL : SIM_CRASH_POWER_LOSS);
        return false;
    }
    if (e->is_stopped) {
        if (sim_disk_open_files(&e->disk) > 0) {
            world_fail(e->world, "%s left files open after a clean stop", e->name);
        }
        sim_env_end(e, prng_chance(&e->prng, 500) ? SIM_CRASH_POWER_LOSS : SIM_CRASH_KILL);
        return false;
    }
    sim_env_wake(e);
    return true;
}

/* When a paused machine looks again: healing may end the pause early. */
static uint64_t pause_left_us(const struct sim_env *e)
{
    uint64_t left_us = e->paused_until_us - e->world->now_us;
    return left_us < PAUSE_LOOK_US ? left_us : PAUSE_LOOK_US;
}

static void fire_wake(void *owner, void *item, uint64_t tag)
{
    struct sim_env *e = owner;
    (void)item;
    if (tag != e->wake_tag || !e->is_up) {
        return;
    }
    e->wake_at_us = UINT64_MAX;
    if (e->world->now_us < e->paused_until_us) {
        schedule_wake(e, e->world->now_us + pause_left_us(e));
        return;
    }
    e->place = SIM_PLACE_LOOP;
    bool crashes = run_turn(e);
    e->place = SIM_PLACE_OUTSIDE;
    if (crashes) {
        sim_env_crash(e, e->planned_crash);
        return;
    }
    (void)settle(e);
}

/* ---- workers --------------------------------------------------------------------------------- */

static uint64_t job_delay_us(struct sim_env *e)
{
    if (e->world->now_us < e->slow_disk_until_us) {
        return prng_between(&e->prng, 10 * MS_US, e->slow_job_us_max);
    }
    uint64_t delay_us = prng_between(&e->prng, 10, e->options.job_delay_us_max);
    return prng_chance(&e->prng, 20) ? delay_us * 10 : delay_us;
}

static void fire_work_done(void *owner, void *item, uint64_t tag)
{
    struct sim_env *e = owner;
    if (tag == e->boot) {
        sim_env_deliver(e, SIM_DELIVERY_WORK_DONE, item);
    }
}

/* A machine that is paused, or whose disk hangs, cannot end what it began. */
static uint64_t able_at_us(const struct sim_env *e)
{
    return e->paused_until_us > e->slow_jobs_until_us ? e->paused_until_us : e->slow_jobs_until_us;
}

static uint64_t patience_us(const struct sim_env *e)
{
    uint64_t now_us = e->world->now_us;
    return (able_at_us(e) > now_us ? able_at_us(e) - now_us : 0) + PATIENCE_US;
}

static void fire_patience_ends(void *owner, void *item, uint64_t tag)
{
    struct sim_env *e = owner;
    if (tag != e->boot) {
        return;
    }
    if (e->world->now_us < able_at_us(e) + PATIENCE_US) {
        world_schedule(e->world, patience_us(e), fire_patience_ends, e, item, tag);
        return; /* it was paused, or its disk hung, after it was asked */
    }
    world_fail(e->world, "%s %s", e->name, (const char *)item);
}

static void expect_end(struct sim_env *e, const char *else_failure)
{
    world_schedule(e->world,
                   patience_us(e),
                   fire_patience_ends,
                   e,
                   (void *)(uintptr_t)else_failure,
                   e->boot);
}

static void fire_work_run(void *owner, void *item, uint64_t tag)
{
    struct sim_env *e = owner;
    if (tag != e->boot) {
        return;
    }
    if (e->pauses_jobs && e->world->now_us < e->paused_until_us) {
        world_schedule(e->world, pause_left_us(e) + job_delay_us(e), fire_work_run, e, item, tag);
        return;
    }
    struct env_work *work = item;
    bool had_failed = e->disk.has_failed;
    world_trace(e->world, "%s work run", e->name);
    e->place = SIM_PLACE_JOB;
    work->run(work);
    e->place = SIM_PLACE_OUTSIDE;
    if (e->disk.is_dead) {
        world_fault(e->world, SIM_FAULT_CRASH_IN_JOB);
        sim_env_crash(e, e->planned_crash);
        return;
    }
    if (e->disk.has_failed && !had_failed) {
        expect_end(e, "went on after an I/O error");
    }
    world_schedule(e->world, job_delay_us(e), fire_work_done, e, work, e->boot);
}

static void work_submit(struct env *env, struct env_work *work)
{
    struct sim_env *e = sim_env_of(env);
    sim_env_check_loop(e, "work_submit");
    ensure(work->run != NULL);
    ensure(work->done != NULL);
    world_schedule(e->world, job_delay_us(e), fire_work_run, e, work, e->boot);
}

/* ---- log and halt ---------------------------------------------------------------------------- */

static void log_line(struct env *env, enum env_level level, const char *line)
{
    static const char *const names[] = {"debug", "info", "warning", "error"};
    struct sim_env *e = sim_env_of(env);
    sim_env_check_loop(e, "log");
    world_trace(e->world, "%s log %s %s", e->name, names[level], line);
    if (level == ENV_LEVEL_ERROR && !is_excused(e)) {
        world_fail(e->world, "%s logged an error: %s", e->name, line);
    }
}

static void halt(struct env *env, const char *reason)
{
    struct sim_env *e = sim_env_of(env);
    sim_env_check_loop(e, "halt");
    world_trace(e->world, "%s halt %s", e->name, reason);
    (void)snprintf(e->halt_text, sizeof e->halt_text, "%s", reason);
    if (!is_excused(e)) {
        world_fail(e->world, "%s halted: %s", e->name, reason);
    }
}

static const struct env_ops sim_ops = {
    .now_us = now_us,
    .wall_ms = wall_ms,
    .random = random_bits,
    .timer_start = timer_start,
    .timer_stop = timer_stop,
    .work_submit = work_submit,
    .listen = sim_net_listen,
    .connect = sim_net_connect,
    .conn_write = sim_net_write,
    .conn_pause = sim_net_pause,
    .conn_resume = sim_net_resume,
    .conn_close = sim_net_close,
    .dir_create = sim_disk_dir_create,
    .dir_sync = sim_disk_dir_sync,
    .dir_list = sim_disk_dir_list,
    .dir_lock = sim_disk_dir_lock,
    .file_open = sim_disk_open,
    .file_size = sim_disk_size,
    .file_read = sim_disk_read,
    .file_write = sim_disk_write,
    .file_sync = sim_disk_sync,
    .file_close = sim_disk_close,
    .file_rename = sim_disk_rename,
    .file_remove = sim_disk_remove,
    .dir_space = sim_disk_dir_space,
    .log = log_line,
    .halt = halt,
};

void sim_env_begin(struct sim_env *e)
{
    e->is_powerless = false;
    e->halt_text[0] = '\0';
    e->env = (struct env){.ops = &sim_ops};
}

/* ---- life of the machine --------------------------------------------------------------------- */

void sim_env_init(struct sim_env *e,
                  struct sim_network *network,
                  unsigned index,
                  const struct sim_env_options *options)
{
    struct world *world = network->world;
    *e = (struct sim_env){
        .env = {.ops = &sim_ops},
        .world = world,
        .network = network,
        .options = *options,
        .index = index,
        .wake_at_us = UINT64_MAX,
    };
    uint64_t purpose = ((uint64_t)index + 1) * PURPOSE_COUNT;
    e->prng = world_prng(world, purpose + PURPOSE_DELAYS);
    e->prng_node = world_prng(world, purpose + PURPOSE_NODE);
    timers_init(&e->timers);
    (void)snprintf(e->name, sizeof e->name, "n%u", index + 1);
    (void)snprintf(e->dir, sizeof e->dir, "/%s/data", e->name);
    (void)snprintf(e->root, sizeof e->root, "/%s", e->name);
    char *client = e->addresses[SIM_PORT_CLIENT];
    char *peer = e->addresses[SIM_PORT_PEER];
    (void)snprintf(client, SIM_ADDRESS_BYTES, "%s:7379", e->name);
    (void)snprintf(peer, SIM_ADDRESS_BYTES, "%s:17379", e->name);
    sim_disk_init(&e->disk, world_prng(world, purpose + PURPOSE_DISK));
    sim_directory_add_root(&e->disk.names, e->root);
    e->disk.capacity_bytes = options->disk_bytes > 0 ? options->disk_bytes : DISK_BYTES_DEFAULT;
    ensure(network->machine_count == index);
    ensure(index < SIM_NODES_MAX);
    network->machines[network->machine_count++] = e;
}

void sim_env_deinit(struct sim_env *e)
{
    e->place = SIM_PLACE_DESTROY;
    node_destroy(e->node);
    sim_disk_deinit(&e->disk);
    mem_free(e->inbox);
    *e = (struct sim_env){0};
}

static void fire_boot(void *owner, void *item, uint64_t tag)
{
    struct sim_env *e = owner;
    (void)item;
    if (tag == e->boot && !e->is_kept_down) {
        sim_env_boot(e);
    }
}

void sim_env_end(struct sim_env *e, enum sim_crash kind)
{
    ensure(e->place == SIM_PLACE_OUTSIDE);
    world_trace(e->world,
                "%s down %s",
                e->name,
                kind == SIM_CRASH_KILL ? "keeping the page cache" : "losing the page cache");
    e->is_up = false;
    e->boot++;
    e->wake_tag++;
    e->wake_at_us = UINT64_MAX;
    e->place = SIM_PLACE_DESTROY;
    node_destroy(e->node);
    e->place = SIM_PLACE_OUTSIDE;
    e->node = NULL;
    e->is_powerless = kind == SIM_CRASH_POWER_LOSS;
    sim_net_crash(e, kind);
    timers_init(&e->timers);
    e->inbox_first = 0;
    e->inbox_count = 0;
    e->deliveries_until_crash = 0;
    e->is_stopping = false;
    e->is_stopped = false;
    sim_disk_crash(e, kind);
    if (kind == SIM_CRASH_POWER_LOSS) {
        e->clock_base_us = prng_below(&e->prng, 1000 * SECOND_US);
        e->clock_from_us = e->world->now_us;
    }
    uint64_t down_us = prng_between(&e->prng, MS_US, e->options.down_us_max);
    world_schedule(e->world, down_us, fire_boot, e, NULL, e->boot);
}

/* The node does not want to serve with what is on its disk, and that is right. */
static void refuse(struct sim_env *e)
{
    e->has_refused = true;
    e->is_kept_down = true;
    sim_env_end(e, SIM_CRASH_KILL);
}

void sim_env_crash(struct sim_env *e, enum sim_crash kind)
{
    ensure(e->is_up);
    if (e->network->crashing != NULL) {
        e->network->crashing(e->network->owner, e);
    }
    world_fault(e->world, kind == SIM_CRASH_KILL ? SIM_FAULT_KILL : SIM_FAULT_POWER_LOSS);
    sim_env_end(e, kind);
}

/* Some starts are cut short: most within the first operations, some anywhere. */
static void plan_start_crash(struct sim_env *e)
{
    if (e->disk.ops_until_death == 0 && prng_chance(&e->prng, e->options.start_crash_per_mille)) {
        uint64_t limit = prng_chance(&e->prng, 500) ? 12 : 120;
        e->disk.ops_until_death = prng_between(&e->prng, 1, limit);
        e->disk.death_after = 0;
        e->disk.death_calls = SIM_CALLS_ALL;
        e->planned_crash = prng_chance(&e->prng, 500) ? SIM_CRASH_KILL : SIM_CRASH_POWER_LOSS;
    }
}

/* Power loss soon after the start: was what recovery acted on durable? (LOG-8) */
static void plan_early_crash(struct sim_env *e)
{
    if (prng_chance(&e->prng, e->options.start_crash_per_mille)) {
        e->deliveries_until_crash = prng_between(&e->prng, 1, 60);
        e->planned_crash = SIM_CRASH_POWER_LOSS;
    }
}

/* In a cluster the port for clients may open later. */
static bool listens(const struct sim_env *e)
{
    return e->listeners[e->options.cluster != NULL ? SIM_PORT_PEER : SIM_PORT_CLIENT] != NULL;
}

static void judge_start(struct sim_env *e, enum status status, const struct error *error)
{
    bool is_ok = status == STATUS_OK && !e->env.is_halted;
    if (e->disk.is_dead) {
        world_fault(e->world, SIM_FAULT_CRASH_IN_START);
        sim_env_end(e, e->planned_crash);
    } else if (e->disk.has_failed) {
        if (is_ok) {
            world_fail(e->world, "%s started in spite of an I/O error", e->name);
        }
        sim_env_end(e, prng_chance(&e->prng, 500) ? SIM_CRASH_KILL : SIM_CRASH_POWER_LOSS);
    } else if (!is_ok && e->is_start_allowed_to_fail) {
        world_trace(e->world, "%s refuses to start: %s", e->name, error->text);
        refuse(e);
    } else if (status == STATUS_NO_SPACE && e->disk.others_bytes > 0) {
        sim_env_end(e, SIM_CRASH_KILL); /* what else is wrong with it shows later */
    } else if (!is_ok && e->is_rotten) {
        sim_env_call_operator(e, e->env.is_halted ? e->halt_text : error->text);
    } else if (!is_ok && is_starved(e)) {
        sim_env_end(e, SIM_CRASH_POWER_LOSS);
    } else if (!is_ok) {
        world_fail(e->world, "%s did not start: %s", e->name, error->text);
    } else if (!listens(e)) {
        world_fail(e->world, "%s started, but does not listen", e->name);
    } else {
        e->is_up = true;
        sim_network_machine_up(e->network, e);
        e->disk.ops_until_death = 0; /* what was planned for the start */
        plan_early_crash(e);
        sim_env_wake(e);
    }
}

static struct node_options node_options_of(struct sim_env *e)
{
    const struct sim_env_options *o = &e->options;
    return (struct node_options){
        .data_dir = e->dir,
        .listen = e->addresses[SIM_PORT_CLIENT],
        .log_segment_bytes = o->log_segment_bytes,
        .log_segments = o->log_segments,
        .store_fold_rows = o->store_fold_rows,
        .store_fold_bytes = o->store_fold_bytes,
        .cache_memory = o->cache_memory,
        .buffer_memory = o->buffer_memory,
        .trailing_bytes = o->trailing_bytes,
        .payload_bytes = o->payload_bytes,
        .snapshot_rate = o->snapshot_rate,
        .snapshot_chunk_bytes = o->snapshot_chunk_bytes,
        .disk_reserve = o->disk_reserve,
        .open_engine = sim_engine_open,
        .open_engine_ctx = e,
        .cluster = o->cluster,
        .peer_listen = o->cluster != NULL ? e->addresses[SIM_PORT_PEER] : NULL,
        .groups = o->groups,
        .election_timeout_ms = o->election_timeout_ms,
        .request_timeout_ms = o->request_timeout_ms,
        .is_expiry_off = o->is_expiry_off,
    };
}

void sim_env_boot(struct sim_env *e)
{
    ensure(!e->is_up);
    ensure(e->node == NULL);
    e->boot++;
    e->boot_count++;
    e->booted_at_us = e->world->now_us;
    sim_env_begin(e);
    world_trace(e->world, "%s boot %" PRIu64, e->name, e->boot_count);
    struct node_options options = node_options_of(e);
    e->node = node_create(&e->env, &options);
    plan_start_crash(e);
    struct error error = {.text = ""};
    e->place = SIM_PLACE_START;
    enum status status = node_start(e->node, &error);
    e->place = SIM_PLACE_OUTSIDE;
    judge_start(e, status, &error);
}

static void stopped(void *owner)
{
    struct sim_env *e = owner;
    world_trace(e->world, "%s stopped", e->name);
    e->is_stopped = true;
}

void sim_env_stop(struct sim_env *e)
{
    if (!e->is_up || e->is_stopping) {
        return;
    }
    world_fault(e->world, SIM_FAULT_CLEAN_STOP);
    e->is_stopping = true;
    e->place = SIM_PLACE_LOOP;
    node_stop(e->node, stopped, e);
    if (e->env.turn != NULL && !e->is_stopped) {
        e->env.turn(e->env.turn_owner);
    }
    e->place = SIM_PLACE_OUTSIDE;
    if (settle(e)) {
        expect_end(e, "did not stop when asked to");
    }
}
