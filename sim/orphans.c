#include "sim/orphans.h"

#include <inttypes.h>

#include "sim/sim_env.h"

#define PURPOSE_ORPHANS 904u
#define LOOK_US (10 * MS_US)
#define GAP_US_MIN (100 * MS_US)
#define GAP_US_MAX (1500 * MS_US)
#define DELIVERIES_MAX 20u /* of the gateway's loop, from the transaction to its death */
#define LEADERS_US (10 * SECOND_US)
#define AIM_LOOK_US 50u
#define AIM_US_MAX SECOND_US

void orphans_init(struct orphans *o,
                  struct sim_network *network,
                  const struct watch *watch,
                  const struct deals *deals)
{
    *o = (struct orphans){
        .world = network->world,
        .network = network,
        .watch = watch,
        .deals = deals,
    };
    o->prng = world_prng(o->world, PURPOSE_ORPHANS);
}

static uint64_t count_orphans(const struct orphans *o)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < o->network->machine_count; i++) {
        const struct sim_env *e = o->network->machines[i];
        for (uint32_t g = 0; e->is_up && g < node_group_count(e->node); g++) {
            count += node_group_prepared_of(e->node, g, o->victim->index + 1);
        }
    }
    return count;
}

static void fire_round(void *owner, void *item, uint64_t tag);

static void schedule_round(struct orphans *o)
{
    uint64_t gap_us = prng_between(&o->prng, GAP_US_MIN, GAP_US_MAX);
    world_schedule(o->world, gap_us, fire_round, o, NULL, 0);
}

static void end_round(struct orphans *o)
{
    sim_env_release(o->victim);
    o->victim = NULL;
    o->is_aimed = false;
    o->rounds++;
    schedule_round(o);
}

/* True: the round is over. */
static bool look(struct orphans *o)
{
    uint64_t now_us = o->world->now_us;
    uint64_t count = count_orphans(o);
    if (o->died_us == 0) {
        o->died_us = now_us;
        o->found += count;
        world_trace(o->world, "%" PRIu64 " transactions of %s are open", count, o->victim->name);
    }
    if (!watch_is_led(o->watch)) {
        if (now_us - o->died_us > LEADERS_US) {
            world_fail(o->world, "no leaders %" PRIu64 " s after a death", LEADERS_US / SECOND_US);
        }
        return false;
    }
    o->led_us = o->led_us == 0 ? now_us : o->led_us;
    if (count > 0) {
        uint64_t since_us = now_us - o->led_us;
        o->longest_us = since_us > o->longest_us ? since_us : o->longest_us;
        if (since_us > ORPHANS_LIMIT_US) {
            world_fail(o->world,
                       "%" PRIu64 " transactions of %s are open, %" PRIu64
                       " ms after all groups had leaders",
                       count,
                       o->victim->name,
                       since_us / MS_US);
        }
    }
    bool is_over = now_us - o->led_us > ORPHANS_LIMIT_US;
    if (is_over && deals_waits_since(o->deals) < o->led_us) {
        world_fail(o->world, "a client waits, though the keys of %s are free", o->victim->name);
    }
    return is_over;
}

static void fire_look(void *owner, void *item, uint64_t tag)
{
    struct orphans *o = owner;
    (void)item;
    (void)tag;
    if (o->victim->is_up) {
        if (!o->is_on && o->is_aimed) {
            end_round(o);
            return;
        }
    } else if (look(o)) {
        end_round(o);
        return;
    }
    world_schedule(o->world, LOOK_US, fire_look, o, NULL, 0);
}

static void fire_round(void *owner, void *item, uint64_t tag)
{
    struct orphans *o = owner;
    (void)item;
    (void)tag;
    if (!o->is_on) {
        return;
    }
    struct sim_env *e = o->network->machines[prng_below(&o->prng, o->network->machine_count)];
    if (!watch_is_led(o->watch) || !e->is_up) {
        schedule_round(o);
        return;
    }
    o->victim = e;
    o->died_us = 0;
    o->led_us = 0;
    o->is_aimed = true;
    e->is_kept_down = true;
    fire_look(o, NULL, 0);
}

/* Some phases last for less than a millisecond: the victim is watched closely. */
static void fire_aim(void *owner, void *item, uint64_t tag)
{
    struct orphans *o = owner;
    struct sim_env *e = item;
    if (o->victim != e || !e->is_up || e->boot != tag || e->env.is_halted) {
        return;
    }
    if (deaths_is_in(o->network, e, o->aim) || o->world->now_us >= o->aim_until_us) {
        sim_env_crash(e, SIM_CRASH_KILL);
        return;
    }
    world_schedule(o->world, AIM_LOOK_US, fire_aim, o, e, tag);
}

void orphans_sent(struct orphans *o, unsigned node)
{
    if (!o->is_aimed || o->victim->index != node) {
        return;
    }
    o->is_aimed = false;
    world_fault(o->world, SIM_FAULT_GATEWAY);
    o->aim = (enum death)prng_below(&o->prng, DEATH_OF_GATEWAY_COUNT + 1);
    if (o->aim == DEATH_OF_GATEWAY_COUNT) {
        sim_env_plan_crash(o->victim, SIM_CRASH_KILL, prng_between(&o->prng, 1, DELIVERIES_MAX));
        return;
    }
    o->aim_until_us = o->world->now_us + AIM_US_MAX;
    fire_aim(o, o->victim, o->victim->boot);
}

void orphans_start(struct orphans *o)
{
    o->is_on = true;
    schedule_round(o);
}

void orphans_stop(struct orphans *o)
{
    o->is_on = false;
}

bool orphans_is_idle(const struct orphans *o)
{
    return o->victim == NULL;
}
