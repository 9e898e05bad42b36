#include "sim/deaths.h"

#include "base/assert.h"

const char *death_name(enum death death)
{
    static const char *const names[] = {
#define DEATH(name, text) text,
        DEATHS(DEATH)
#undef DEATH
    };
    ensure(death < DEATH_COUNT);
    return names[death];
}

void deaths_init(struct deaths *d, struct sim_network *network)
{
    *d = (struct deaths){.network = network};
}

/* How many of its groups are in which state. */
struct tally {
    unsigned none;
    unsigned yes;
    unsigned no;
    unsigned committed;
};

/* By the replica that has applied most. */
static enum txn_state state_of(const struct sim_network *n, uint32_t group, const struct txn_id *id)
{
    const struct sim_env *best = NULL;
    uint64_t best_index = 0;
    for (unsigned i = 0; i < n->machine_count; i++) {
        const struct sim_env *e = n->machines[i];
        struct node_group seen = {0};
        if (e->is_up && !e->env.is_halted && group < node_group_count(e->node)) {
            node_group(e->node, group, &seen);
        }
        if (seen.is_here && (best == NULL || seen.applied_index > best_index)) {
            best = e;
            best_index = seen.applied_index;
        }
    }
    return best != NULL ? node_group_txn_state(best->node, group, id) : TXN_STATE_NONE;
}

static void add(struct tally *t, enum txn_state state)
{
    bool is_committed = state == TXN_STATE_COMMITTED || state == TXN_STATE_FINISHED;
    t->none += state == TXN_STATE_NONE ? 1 : 0;
    t->yes += state == TXN_STATE_YES ? 1 : 0;
    t->committed += is_committed ? 1 : 0;
    t->no += state == TXN_STATE_ABORTED || txn_state_is_no(state) ? 1 : 0;
}

/* DEATH_COUNT: it is refused, and nobody is prepared any more. */
static enum death phase_of_gateway(const struct tally *t)
{
    if (t->no > 0) {
        return t->yes > 0 ? DEATH_GATEWAY_ABORTS : DEATH_COUNT;
    }
    if (t->none > 0) {
        return t->yes > 0 ? DEATH_GATEWAY_SOME_YES : DEATH_GATEWAY_ASKS;
    }
    if (t->committed == 0) {
        return DEATH_GATEWAY_ALL_YES;
    }
    return t->yes > 0 ? DEATH_GATEWAY_COMMITS : DEATH_GATEWAY_COMMITTED;
}

/* own: the state of its group. DEATH_COUNT: its part is over, and the others' parts, too. */
static enum death phase_of_leader(const struct tally *t, enum txn_state own)
{
    if (own == TXN_STATE_NONE) {
        return DEATH_LEADER_ASKED;
    }
    if (own == TXN_STATE_COMMITTED) {
        return t->yes > 0 ? DEATH_LEADER_COMMITS_FIRST : DEATH_COUNT;
    }
    if (own != TXN_STATE_YES) {
        return DEATH_COUNT;
    }
    if (t->no > 0) {
        return DEATH_LEADER_ABORTS;
    }
    if (t->none > 0) {
        return DEATH_LEADER_SOME_YES;
    }
    return t->committed > 0 ? DEATH_LEADER_COMMITS_LAST : DEATH_LEADER_ALL_YES;
}

struct search {
    struct deaths *deaths;
    const struct sim_env *dying;
    bool is_gateway; /* whose transactions are looked at */
};

static void note(struct search *s, enum death death)
{
    if (death < DEATH_COUNT) {
        s->deaths->count[death]++;
        world_trace(s->dying->world, "%s dies: %s", s->dying->name, death_name(death));
    }
}

static struct tally tally_of(const struct sim_network *n, const struct txn_shown *shown)
{
    struct tally tally = {0};
    for (uint32_t i = 0; i < shown->participant_count; i++) {
        add(&tally, state_of(n, shown->participants[i], &shown->id));
    }
    return tally;
}

static void judge(void *ctx, const struct txn_shown *shown)
{
    struct search *s = ctx;
    const struct sim_network *n = s->deaths->network;
    struct tally tally = tally_of(n, shown);
    if (s->is_gateway) {
        note(s, phase_of_gateway(&tally));
    }
    for (uint32_t i = 0; i < shown->participant_count; i++) {
        uint32_t group = shown->participants[i];
        struct node_group seen = {0};
        node_group(s->dying->node, group, &seen);
        if (seen.is_leader) {
            note(s, phase_of_leader(&tally, state_of(n, group, &shown->id)));
        }
    }
}

void deaths_note(struct deaths *d, const struct sim_env *e)
{
    if (e->env.is_halted || node_group_count(e->node) == 0) {
        return;
    }
    for (unsigned i = 0; i < d->network->machine_count; i++) {
        const struct sim_env *gateway = d->network->machines[i];
        struct search search = {.deaths = d, .dying = e, .is_gateway = gateway == e};
        if (gateway->is_up && !gateway->env.is_halted) {
            node_each_txn(gateway->node, judge, &search);
        }
    }
}

struct question {
    struct sim_network *network;
    enum death phase;
    bool is_so;
};

static void look_for(void *ctx, const struct txn_shown *shown)
{
    struct question *q = ctx;
    struct tally tally = tally_of(q->network, shown);
    q->is_so = q->is_so || phase_of_gateway(&tally) == q->phase;
}

bool deaths_is_in(struct sim_network *network, const struct sim_env *e, enum death phase)
{
    struct question q = {.network = network, .phase = phase};
    ensure((unsigned)phase < DEATH_OF_GATEWAY_COUNT);
    if (node_group_count(e->node) > 0) {
        node_each_txn(e->node, look_for, &q);
    }
    return q.is_so;
}
