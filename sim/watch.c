#include "sim/watch.h"

#include <inttypes.h>

#include "base/assert.h"
#include "base/mem.h"

#define LOOK_US (10 * MS_US)
#define COMPARE_LOOKS 40u /* the state of a group is compared every so many looks */

struct watch_group {
    uint64_t term; /* the highest with a known leader */
    uint32_t leader;
    uint64_t fixed_term;
    uint64_t commit_index_max; /* ever seen anywhere */
    uint32_t *leaders;         /* by term, WATCH_NOBODY: not seen */
    size_t leader_capacity;
    struct node_group seen[SIM_NODES_MAX];
    bool is_member[SIM_NODES_MAX]; /* has shown a replica */
};

void watch_init(struct watch *w, struct sim_network *network)
{
    *w = (struct watch){.world = network->world, .network = network};
    w->groups = mem_alloc_zero(WATCH_GROUPS_MAX * sizeof w->groups[0]);
    for (uint32_t g = 0; g < WATCH_GROUPS_MAX; g++) {
        w->groups[g].leader = WATCH_NOBODY;
    }
}

void watch_deinit(struct watch *w)
{
    for (uint32_t g = 0; g < WATCH_GROUPS_MAX; g++) {
        mem_free(w->groups[g].leaders);
    }
    mem_free(w->groups);
    *w = (struct watch){0};
}

/* ---- one look -------------------------------------------------------------------------------- */

static uint32_t *leader_of_term(struct watch_group *group, uint64_t term)
{
    if (term >= group->leader_capacity) {
        size_t capacity = (size_t)term + 64;
        group->leaders = mem_realloc(group->leaders, capacity * sizeof group->leaders[0]);
        for (size_t i = group->leader_capacity; i < capacity; i++) {
            group->leaders[i] = WATCH_NOBODY;
        }
        group->leader_capacity = capacity;
    }
    return &group->leaders[term];
}

static void note_leader(struct watch *w, uint32_t g, uint32_t node, uint64_t term)
{
    struct watch_group *group = &w->groups[g];
    uint32_t *leader = leader_of_term(group, term);
    if (*leader != WATCH_NOBODY && *leader != node) {
        world_fail(w->world,
                   "group %" PRIu32 " term %" PRIu64 ": both n%" PRIu32 " and n%" PRIu32 " lead",
                   g,
                   term,
                   *leader + 1,
                   node + 1);
    }
    *leader = node;
    if (term > group->term) {
        w->leader_changes += group->leader != WATCH_NOBODY && group->leader != node ? 1 : 0;
        group->term = term;
        group->leader = node;
        world_trace(w->world,
                    "group %" PRIu32 " term %" PRIu64 ": n%" PRIu32 " leads",
                    g,
                    term,
                    node + 1);
    }
}

static void check_indexes(struct watch *w,
                          uint32_t g,
                          const struct sim_env *e,
                          const struct node_group *now,
                          const struct node_group *before)
{
    bool is_sound = now->applied_index <= now->commit_index;
    /* A follower may know of commits beyond its log, but no leader commits what it does not hold.
     */
    is_sound = is_sound && (!now->is_leader || now->commit_index <= now->last_index);
    bool has_grown = !before->is_here ||
                     (now->term >= before->term && now->commit_index >= before->commit_index &&
                      now->applied_index >= before->applied_index);
    if (!is_sound || !has_grown) {
        world_fail(w->world,
                   "%s group %" PRIu32 ": term %" PRIu64 " last %" PRIu64 " commit %" PRIu64
                   " applied %" PRIu64 " after term %" PRIu64 " commit %" PRIu64
                   " applied %" PRIu64,
                   e->name,
                   g,
                   now->term,
                   now->last_index,
                   now->commit_index,
                   now->applied_index,
                   before->term,
                   before->commit_index,
                   before->applied_index);
    }
}

static void look_at_group(struct watch *w, struct sim_env *e, uint32_t g)
{
    struct watch_group *group = &w->groups[g];
    struct node_group now = {0};
    node_group(e->node, g, &now);
    struct node_group *before = &group->seen[e->index];
    if (!now.is_here) {
        *before = now;
        return;
    }
    check_indexes(w, g, e, &now, before);
    if (now.is_leader && e->is_wiped) {
        world_fail(w->world, "%s leads group %" PRIu32 " although it was emptied", e->name, g);
    }
    if (now.is_leader) {
        note_leader(w, g, e->index, now.term);
    }
    if (w->are_terms_fixed && now.term != group->fixed_term) {
        world_fail(w->world, "group %" PRIu32 ": an election without a fault", g);
    }
    group->is_member[e->index] = true;
    if (now.commit_index > group->commit_index_max) {
        group->commit_index_max = now.commit_index;
    }
    *before = now;
}

static unsigned count_members(const struct watch_group *group)
{
    unsigned members = 0;
    for (unsigned i = 0; i < SIM_NODES_MAX; i++) {
        members += group->is_member[i] ? 1 : 0;
    }
    return members;
}

/* Each replica votes, and none of an earlier life of this or another node is left. */
static bool all_vote(const struct watch *w, unsigned node)
{
    for (uint32_t g = 0; g < w->group_count; g++) {
        const struct watch_group *group = &w->groups[g];
        const struct node_group *seen = &group->seen[node];
        bool votes = seen->is_here && seen->is_voter && seen->voters == count_members(group);
        if (group->is_member[node] && !votes) {
            return false;
        }
    }
    return true;
}

static void look_at_disk(struct watch *w, struct sim_env *e)
{
    struct node_disk_stats *before = &w->disk[e->index];
    struct node_disk_stats now = {0};
    node_disk_stats(e->node, &now);
    w->snapshots += now.snapshots_taken - before->snapshots_taken;
    w->segments_released += now.segments_released - before->segments_released;
    w->segments_max = now.segments > w->segments_max ? now.segments : w->segments_max;
    *before = now;
    if (all_vote(w, e->index)) {
        w->rebuilds[e->index] = e->rebuilds;
    }
}

static void look_at_node(struct watch *w, struct sim_env *e)
{
    if (w->boots[e->index] != e->boot || !e->is_up) {
        w->boots[e->index] = e->boot;
        w->disk[e->index] = (struct node_disk_stats){0};
        for (uint32_t g = 0; g < WATCH_GROUPS_MAX; g++) {
            w->groups[g].seen[e->index] = (struct node_group){0};
        }
    }
    if (!e->is_up || e->env.is_halted) {
        return;
    }
    uint32_t count = node_group_count(e->node);
    ensure(count <= WATCH_GROUPS_MAX);
    w->group_count = count > w->group_count ? count : w->group_count;
    for (uint32_t g = 0; g < count; g++) {
        look_at_group(w, e, g);
    }
    look_at_disk(w, e);
}

static bool is_comparable(const struct watch *w, uint32_t g, unsigned node)
{
    const struct sim_env *e = w->network->machines[node];
    bool is_alive = e->is_up && !e->env.is_halted && !e->has_rotten_rows;
    return is_alive && w->groups[g].seen[node].is_here;
}

/* Whoever has applied the same entries is in the same state. False: they are not. */
static bool compare_states(struct watch *w, uint32_t g)
{
    const struct watch_group *group = &w->groups[g];
    for (unsigned i = 0; i < w->network->machine_count; i++) {
        for (unsigned j = 0; j < i; j++) {
            uint64_t index = group->seen[i].applied_index;
            if (!is_comparable(w, g, i) || !is_comparable(w, g, j) ||
                group->seen[j].applied_index != index) {
                continue;
            }
            uint64_t hash = node_group_hash(w->network->machines[i]->node, g);
            if (hash != node_group_hash(w->network->machines[j]->node, g)) {
                world_fail(w->world,
                           "group %" PRIu32 " index %" PRIu64 ": n%u and n%u differ in state",
                           g,
                           index,
                           j + 1,
                           i + 1);
                return false;
            }
            break; /* equal to one of them is enough */
        }
    }
    return true;
}

void watch_look(struct watch *w)
{
    for (unsigned i = 0; i < w->network->machine_count; i++) {
        look_at_node(w, w->network->machines[i]);
    }
    w->looks++;
    if (w->group_count > 0 && w->looks % (COMPARE_LOOKS / w->group_count + 1) == 0) {
        (void)compare_states(w, w->compare_next++ % w->group_count);
    }
}

static void fire_look(void *owner, void *item, uint64_t tag)
{
    struct watch *w = owner;
    (void)item;
    (void)tag;
    watch_look(w);
    world_schedule(w->world, LOOK_US, fire_look, w, NULL, 0);
}

void watch_start(struct watch *w)
{
    world_schedule(w->world, LOOK_US, fire_look, w, NULL, 0);
}

/* ---- questions ------------------------------------------------------------------------------- */

uint32_t watch_leader(const struct watch *w, uint32_t group)
{
    if (group >= w->group_count) {
        return WATCH_NOBODY;
    }
    const struct watch_group *g = &w->groups[group];
    bool leads = g->leader != WATCH_NOBODY && w->network->machines[g->leader]->is_up &&
                 g->seen[g->leader].is_leader && g->seen[g->leader].term == g->term;
    return leads ? g->leader : WATCH_NOBODY;
}

bool watch_is_led(const struct watch *w)
{
    for (uint32_t g = 0; g < w->group_count; g++) {
        if (watch_leader(w, g) == WATCH_NOBODY) {
            return false;
        }
    }
    return w->group_count > 0;
}

bool watch_is_whole(const struct watch *w, unsigned node)
{
    return w->rebuilds[node] == w->network->machines[node]->rebuilds;
}

/* A follower may keep an entry of an old term behind its end, until a new one takes its place. */
static bool is_at_end(const struct node_group *seen)
{
    bool is_all_committed = !seen->is_leader || seen->commit_index == seen->last_index;
    return seen->applied_index == seen->commit_index && is_all_committed;
}

/* Nobody closes the incarnations of a node that never starts again: its records stay. */
static bool is_anybody_gone(const struct watch *w)
{
    for (unsigned i = 0; i < w->network->machine_count; i++) {
        if (w->network->machines[i]->has_refused) {
            return true;
        }
    }
    return false;
}

static bool is_group_settled(const struct watch *w, const struct watch_group *group)
{
    const struct node_group *first = NULL;
    unsigned members = 0;
    for (unsigned i = 0; i < w->network->machine_count; i++) {
        const struct sim_env *e = w->network->machines[i];
        const struct node_group *seen = &group->seen[i];
        if (e->has_refused || !group->is_member[i]) {
            continue;
        }
        if (!e->is_up || !seen->is_here || !is_at_end(seen)) {
            return false;
        }
        if (seen->prepared > 0 || (seen->txn_records > 0 && !is_anybody_gone(w))) {
            return false; /* all is over, and the marks have passed it */
        }
        first = first != NULL ? first : seen;
        members++;
        if (seen->applied_index != first->applied_index) {
            return false;
        }
    }
    return members > 1 && first->applied_index >= group->commit_index_max;
}

static bool are_disks_settled(const struct watch *w, uint64_t segments_max)
{
    for (unsigned i = 0; i < w->network->machine_count; i++) {
        bool is_up = w->network->machines[i]->is_up;
        if (is_up && (w->disk[i].segments > segments_max || !all_vote(w, i))) {
            return false;
        }
    }
    return true;
}

bool watch_is_settled(struct watch *w, uint64_t segments_max)
{
    watch_look(w);
    if (!are_disks_settled(w, segments_max)) {
        return false;
    }
    for (uint32_t g = 0; g < w->group_count; g++) {
        if (!is_group_settled(w, &w->groups[g])) {
            return false;
        }
    }
    for (uint32_t g = 0; g < w->group_count; g++) {
        if (!compare_states(w, g)) {
            return false;
        }
    }
    return w->group_count > 0;
}

void watch_print(const struct watch *w, struct buf *out)
{
    for (unsigned i = 0; i < w->network->machine_count; i++) {
        buf_printf(out,
                   "n%u: %" PRIu64 " segments, %s\n",
                   i + 1,
                   w->disk[i].segments,
                   all_vote(w, i) ? "all its replicas vote" : "not all its replicas vote");
    }
    for (uint32_t g = 0; g < w->group_count; g++) {
        if (is_group_settled(w, &w->groups[g])) {
            continue;
        }
        buf_printf(out, "group %" PRIu32, g);
        for (unsigned i = 0; i < w->network->machine_count; i++) {
            const struct node_group *seen = &w->groups[g].seen[i];
            if (!w->groups[g].is_member[i]) {
                continue;
            }
            buf_printf(out,
                       ", n%u%s term %" PRIu64 " last %" PRIu64 " commit %" PRIu64
                       " applied %" PRIu64 " replica %" PRIx64 "%s of %" PRIu32 " voters, %" PRIu64
                       " prepared, %" PRIu64 " records",
                       i + 1,
                       seen->is_leader ? " leads" : "",
                       seen->term,
                       seen->last_index,
                       seen->commit_index,
                       seen->applied_index,
                       seen->replica_id,
                       seen->is_voter ? ", one" : ", none",
                       seen->voters,
                       seen->prepared,
                       seen->txn_records);
        }
        buf_append_text(out, "\n");
    }
}

void watch_fix_terms(struct watch *w)
{
    w->are_terms_fixed = true;
    for (uint32_t g = 0; g < w->group_count; g++) {
        w->groups[g].fixed_term = w->groups[g].term;
    }
}
