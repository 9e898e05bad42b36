/* Faults in the middle of transactions over groups (scenarios 18 to 23). */
#include "base/assert.h"
#include "sim/faults_parts.h"

#define DELIVERIES_MAX 60u /* of a machine's loop: from a transaction to the crash in it */
#define CUT_MS_MIN 50u
#define CUT_MS_MAX 4000u
/* From a transaction to a fault of the network in it: so it hits PREPARE, votes and outcomes. */
#define WAIT_US_MAX (20 * MS_US)

static struct sim_env *leader_of(const struct faults *f, uint32_t group)
{
    uint32_t leader = watch_leader(f->watch, group);
    return leader != WATCH_NOBODY ? f->network->machines[leader] : NULL;
}

/* After some more events of its loop: so it hits every phase of the transaction. */
static void crash_soon(struct faults *f, struct sim_env *e, enum sim_fault fault)
{
    if (e == NULL || !e->is_up || e->is_wiped) {
        return;
    }
    bool is_kill = prng_chance(&f->prng, 700);
    uint64_t deliveries = prng_between(&f->prng, 1, DELIVERIES_MAX);
    world_fault(f->world, fault);
    sim_env_plan_crash(e, is_kill ? SIM_CRASH_KILL : SIM_CRASH_POWER_LOSS, deliveries);
}

/* item: the one machine; tag: the epoch, and the other one. */
static void fire_cut(void *owner, void *item, uint64_t tag)
{
    struct faults *f = owner;
    const struct sim_env *one = item;
    if (tag / SIM_NODES_MAX == f->epoch && f->is_on) {
        uint64_t us = prng_between(&f->prng, CUT_MS_MIN, CUT_MS_MAX) * MS_US;
        world_fault(f->world, SIM_FAULT_APART);
        links_cut_between(&f->links, one->index, (unsigned)(tag % SIM_NODES_MAX), us);
    }
}

static void fire_late(void *owner, void *item, uint64_t tag)
{
    struct faults *f = owner;
    (void)item;
    if (tag == f->epoch && f->is_on) {
        (void)sim_network_delay_last_bytes(f->network);
    }
}

/* This one and the leader of one of the groups do not hear each other soon; all others do. */
static void cut_apart(struct faults *f,
                      struct sim_env *one,
                      const uint32_t *groups,
                      unsigned group_count)
{
    for (unsigned i = 0; one != NULL && i < group_count; i++) {
        const struct sim_env *other = leader_of(f, groups[i]);
        if (other != NULL && other != one) {
            uint64_t tag = f->epoch * SIM_NODES_MAX + other->index;
            uint64_t us = prng_between(&f->prng, 1, WAIT_US_MAX);
            world_schedule(f->world, us, fire_cut, f, one, tag);
            return;
        }
    }
}

void faults_deal_sent(struct faults *f, unsigned node, const uint32_t *groups, unsigned group_count)
{
    if (!f->is_on || f->options.deal_per_mille == 0 ||
        !prng_chance(&f->prng, f->options.deal_per_mille)) {
        return;
    }
    ensure(group_count > 0);
    uint64_t x = prng_below(&f->prng, 100);
    if (x < 35) {
        crash_soon(f, f->network->machines[node], SIM_FAULT_GATEWAY);
    } else if (x < 65) {
        struct sim_env *leader = leader_of(f, groups[prng_below(&f->prng, group_count)]);
        crash_soon(f, leader, SIM_FAULT_PARTICIPANT);
    } else if (x < 75) {
        struct sim_env *leader = leader_of(f, groups[prng_below(&f->prng, group_count)]);
        cut_apart(f, leader, groups, group_count);
    } else if (x < 80) {
        cut_apart(f, f->network->machines[node], groups, group_count);
    } else {
        uint64_t us = prng_between(&f->prng, 1, WAIT_US_MAX);
        world_schedule(f->world, us, fire_late, f, NULL, f->epoch);
    }
}
