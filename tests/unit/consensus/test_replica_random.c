/*
 * Three replicas under random delays, losses and crashes. What one applied, nobody ever
 * contradicts; whatever a node says is true of its disk at that moment; no read is too old. With
 * states: they are folded and synced at random, segments of the log go, followers that lag get
 * snapshots, apply waits for rows, disks are full, and a node comes back with nothing.
 */
#include <stdio.h>
#include <stdlib.h>

#include "replica_world.h"

#define RANDOM_SEGMENT_BYTES (64u * KIB)
#define SMALL_SEGMENT_BYTES (8u * KIB)
#define SEGMENTS_MAX 12u
#define LIVES_MAX 4u
#define STEPS 10000u
#define READS_MAX 64u

/* A read under way on a leader. */
struct read {
    bool is_open;
    uint32_t node;
    unsigned leadership_calls;
    uint64_t index;
    uint64_t round;
    uint64_t needed; /* what somebody had applied when it began */
};

struct chaos {
    struct world *world;
    struct prng prng;
    struct buf truth; /* what was applied, by the one who applied most */
    uint64_t applied_most;
    struct read reads[READS_MAX];
    unsigned proposed;
    unsigned reads_done;
    unsigned restarts;
    unsigned checked;
    bool has_states;
    unsigned fold_steps[NODES_MAX + 1]; /* of a fold under way */
    bool is_settled;                    /* the leader's members are those that are wished */
    unsigned replaced;
    unsigned staged;
    unsigned released;
    unsigned starved;
};

/* Sums over the runs: the test says nothing if these did not happen. */
static struct {
    unsigned staged;
    unsigned released;
    unsigned replaced;
    unsigned starved;
} total;

static struct chaos *chaos; /* of the test that runs: on_sent has no owner */

/* ---- what a node says is on its disk --------------------------------------------------------- */

static void check_ack(const struct replica *disk,
                      const struct replica *leader,
                      const struct engine_message *m)
{
    if (m->append_result.rejected != 0 || disk->term > m->term) {
        return; /* said before a newer leader was heard of: then it was true */
    }
    uint64_t last = m->append_result.last_index;
    CHECK(disk->entry_last >= last);
    if (!replica_is_leader(leader) || leader->term != m->term) {
        return;
    }
    for (uint64_t i = 1; i <= last; i++) {
        if (replica_has_entry(disk, i) && replica_has_entry(leader, i)) {
            CHECK_EQ(replica_entry(disk, i)->term, replica_entry(leader, i)->term);
        }
    }
}

static void check_raft(const struct replica *disk,
                       const struct replica *receiver,
                       const struct engine_message *m)
{
    bool is_pre_vote = (m->type == ENGINE_VOTE && m->vote.pre_vote) ||
                       (m->type == ENGINE_VOTE_RESULT && m->vote_result.pre_vote);
    if (is_pre_vote) {
        return; /* promises nothing */
    }
    CHECK(disk->term >= m->term);
    if (m->type == ENGINE_VOTE) {
        CHECK(disk->term > m->term || disk->vote == disk->options.id);
    } else if (m->type == ENGINE_VOTE_RESULT && m->vote_result.granted) {
        CHECK(disk->term > m->term || disk->vote == m->peer);
    } else if (m->type == ENGINE_APPEND_RESULT) {
        check_ack(disk, receiver, m);
    }
}

static void check_probes(const struct replica *disk, struct bytes message)
{
    uint64_t round = 0;
    uint32_t count = 0;
    CHECK_EQ(message_probe_decode(message, &round, &count), STATUS_OK);
    for (uint32_t i = 0; i < count; i++) {
        CHECK_EQ(message_probe_item(message, i).term, disk->term);
    }
}

/* As if the node lost its power at this moment. */
static void check_sent(struct node *from, uint32_t to, struct bytes message)
{
    struct node copy = {.world = from->world, .number = from->number, .life = from->life};
    if (!prng_chance(&chaos->prng, chaos->has_states ? 30 : 300)) {
        return;
    }
    chaos->checked++;
    node_states_init(&copy);
    state_copy(&copy.folded, prng_chance(&chaos->prng, 500) ? &from->folded : &from->synced);
    state_copy(&copy.synced, &from->synced);
    state_copy(&copy.staged, &from->staged);
    fake_env_init(&copy.env);
    fake_env_copy_files(&copy.env, &from->env);
    node_open(&copy);
    struct error error;
    CHECK_EQ(replica_replay_end(copy.replica, &error), STATUS_OK);
    if (message.data[0] == MESSAGE_RAFT) {
        struct message_route route;
        struct engine_message m;
        struct message_entries entries = {0};
        CHECK_EQ(message_decode(message, &route, &m, &entries), STATUS_OK);
        m.peer = route.receiver;
        if (from->world->nodes[to].is_up) {
            check_raft(copy.replica, from->world->nodes[to].replica, &m);
        }
        message_entries_deinit(&entries);
    } else {
        check_probes(copy.replica, message);
    }
    node_kill(&copy);
    fake_env_deinit(&copy.env);
    node_states_deinit(&copy);
}

/* ---- what was applied ------------------------------------------------------------------------ */

static void check_everybody(struct chaos *c)
{
    for (uint32_t i = 1; i <= c->world->count; i++) {
        const struct node *n = &c->world->nodes[i];
        if (!n->is_up) {
            continue;
        }
        size_t both = n->applied.size < c->truth.size ? n->applied.size : c->truth.size;
        CHECK_BYTES(bytes_of(n->applied.data, both), bytes_of(c->truth.data, both));
        if (n->applied.size > both) {
            buf_append(&c->truth, n->applied.data + both, n->applied.size - both);
        }
        uint64_t applied = replica_applied(n->replica);
        c->applied_most = applied > c->applied_most ? applied : c->applied_most;
        CHECK(replica_applied(n->replica) <= replica_commit_index(n->replica));
    }
}

static void begin_read(struct chaos *c, struct node *n)
{
    for (size_t i = 0; i < READS_MAX; i++) {
        struct read *r = &c->reads[i];
        if (!r->is_open && replica_read_begin(n->replica, &r->index, &r->round)) {
            r->is_open = true;
            r->node = n->number;
            r->leadership_calls = n->leadership_calls;
            r->needed = c->applied_most;
            return;
        }
    }
}

static void check_reads(struct chaos *c)
{
    for (size_t i = 0; i < READS_MAX; i++) {
        struct read *r = &c->reads[i];
        const struct node *n = &c->world->nodes[r->node];
        if (!r->is_open) {
            continue;
        }
        if (!n->is_up || n->leadership_calls != r->leadership_calls) {
            r->is_open = false; /* refused */
        } else if (replica_confirmed(n->replica) >= r->round &&
                   replica_applied(n->replica) >= r->index) {
            CHECK(replica_applied(n->replica) >= r->needed);
            r->is_open = false;
            c->reads_done++;
        }
    }
}

/* ---- events ---------------------------------------------------------------------------------- */

/* The oldest packet of a random one's connection and class: these keep their order. */
static void random_packet(struct chaos *c)
{
    struct world *w = c->world;
    if (w->packet_count == 0) {
        return;
    }
    const struct packet *picked = &w->packets[prng_below(&c->prng, w->packet_count)];
    size_t i = 0;
    while (w->packets[i].from != picked->from || w->packets[i].to != picked->to ||
           w->packets[i].class != picked->class) {
        i++;
    }
    if (prng_chance(&c->prng, 30)) {
        struct packet lost = packet_take(w, i);
        buf_deinit(&lost.bytes);
    } else {
        deliver(w, i);
    }
}

/* It comes back; as another replica, if it has lost everything. */
static void crash(struct chaos *c, struct node *n, bool is_lost)
{
    unsigned calls = n->leadership_calls;
    c->restarts++;
    c->fold_steps[n->number] = 0;
    if (is_lost) {
        node_replace(n);
    } else {
        if (prng_chance(&c->prng, 500)) {
            node_lose_folds(n);
        }
        node_restart(n);
    }
    n->leadership_calls += calls + 1; /* its reads of before are refused */
    for (size_t i = c->world->packet_count; i > 0; i--) {
        const struct packet *p = &c->world->packets[i - 1];
        if (p->to == n->number || p->from == n->number) {
            struct packet lost = packet_take(c->world, i - 1);
            buf_deinit(&lost.bytes);
        }
    }
}

/* ---- states ---------------------------------------------------------------------------------- */

static void fold_step(struct chaos *c, struct node *n)
{
    unsigned *step = &c->fold_steps[n->number];
    if (*step == 0) {
        fold_begin(n);
    } else if (*step == 1) {
        fold_end(n);
    } else {
        fold_sync(n);
    }
    *step = (*step + 1) % 3;
}

static void free_log(struct chaos *c, struct node *n)
{
    uint64_t oldest = log_segment_oldest(&n->log);
    uint64_t newest = log_segment_newest(&n->log);
    if (newest > oldest + SEGMENTS_MAX) {
        c->fold_steps[n->number] = 0;
        fold_all(n);
    }
    if (newest > oldest + 1) {
        c->released += node_free_log(n, prng_between(&c->prng, oldest, newest - 1)) ? 1 : 0;
    }
}

/* The leader's state reaches the replica that it is wanted for; its message may get lost. */
static void serve_install(struct chaos *c, struct node *n, bool is_sent)
{
    uint64_t wanted = n->wanted;
    if (wanted == 0 || n->folded.base.index == 0) {
        return;
    }
    struct node *to = &c->world->nodes[replica_node(wanted)];
    n->wanted = 0;
    if (replica_id(to->replica) != wanted || replica_is_installing(to->replica)) {
        return;
    }
    stage(to, n);
    c->staged++;
    if (is_sent) {
        (void)replica_send_install(n->replica, wanted, &to->staged.base);
    }
}

static void set_members(struct chaos *c, struct node *n)
{
    uint64_t ids[NODES_MAX];
    for (uint32_t i = 1; i <= c->world->count; i++) {
        ids[i - 1] = replica_id(c->world->nodes[i].replica);
    }
    bool is_done = false;
    CHECK_EQ(replica_set_members(n->replica, ids, c->world->count, &is_done), STATUS_OK);
    if (replica_is_leader(n->replica)) {
        c->is_settled = is_done;
    }
}

static void random_state(struct chaos *c, struct node *n)
{
    if (prng_chance(&c->prng, 50)) {
        fold_step(c, n);
    }
    if (prng_chance(&c->prng, 30)) {
        free_log(c, n);
    }
    if (prng_chance(&c->prng, 100)) {
        serve_install(c, n, prng_chance(&c->prng, 700));
    }
    if (prng_chance(&c->prng, n->is_starved ? 200 : 5)) {
        node_feed(n);
    }
    if (prng_chance(&c->prng, 3)) {
        replica_set_full(n->replica, prng_chance(&c->prng, 300));
    }
    if (prng_chance(&c->prng, 50)) {
        set_members(c, n);
    }
    struct node *lost = &c->world->nodes[1 + prng_below(&c->prng, c->world->count)];
    if (c->is_settled && lost->life < LIVES_MAX && prng_chance(&c->prng, 2)) {
        c->is_settled = false;
        c->replaced++;
        crash(c, lost, true);
        lost->need_per_mille = 20;
    }
}

static void random_step(struct chaos *c)
{
    struct world *w = c->world;
    struct node *n = &w->nodes[1 + prng_below(&c->prng, w->count)];
    char text[32];
    random_packet(c);
    if (prng_chance(&c->prng, 500)) {
        node_turn(n);
    }
    if (prng_chance(&c->prng, 400)) {
        (void)fake_env_run(&n->env);
    }
    if (prng_chance(&c->prng, 150)) {
        world_advance(w, prng_below(&c->prng, HEARTBEAT_MS));
    }
    if (prng_chance(&c->prng, 10)) {
        fake_env_advance(&n->env, prng_below(&c->prng, 3 * ELECTION_MS));
    }
    if (replica_is_leader(n->replica) && prng_chance(&c->prng, 200)) {
        (void)snprintf(text, sizeof text, "%u", ++c->proposed);
        CHECK(propose(n, text) > 0 || !replica_has_room(n->replica));
    }
    if (replica_is_leader(n->replica) && prng_chance(&c->prng, 200)) {
        begin_read(c, n);
    }
    if (prng_chance(&c->prng, w->is_cut[n->number] ? 12 : 2)) {
        w->is_cut[n->number] = !w->is_cut[n->number];
    }
    if (prng_chance(&c->prng, 2)) {
        crash(c, n, false);
    }
    if (c->has_states) {
        random_state(c, n);
    }
    if (w->packet_count > PACKETS_MAX / 2) {
        packets_drop_all(w);
    }
    check_everybody(c);
    check_reads(c);
}

static void heal(struct chaos *c)
{
    for (uint32_t i = 1; i <= c->world->count; i++) {
        struct node *n = &c->world->nodes[i];
        c->world->is_cut[i] = false;
        c->starved += n->need_calls;
        n->need_per_mille = 0;
        replica_set_full(n->replica, false);
        node_feed(n);
    }
    world_calm(c->world); /* a deposed leader hears of it */
}

static bool is_together(const struct chaos *c, uint64_t last)
{
    for (uint32_t i = 1; i <= c->world->count; i++) {
        if (replica_applied(c->world->nodes[i].replica) < last) {
            return false;
        }
    }
    return !c->has_states || c->is_settled;
}

static uint64_t come_together(struct chaos *c)
{
    uint64_t last = propose(world_elect(c->world), "last");
    CHECK(last > 0);
    for (unsigned step = 0; !is_together(c, last); step++) {
        CHECK(step < 300);
        world_calm(c->world);
        struct node *leader = world_elect(c->world);
        if (c->has_states) {
            fold_all(leader);
            serve_install(c, leader, true);
            set_members(c, leader);
        }
        uint64_t now = replica_last_index(leader->replica);
        last = now > last ? now : last;
    }
    world_calm(c->world);
    return last;
}

static void run_seed(uint64_t seed, bool has_states)
{
    uint64_t segment_bytes = has_states ? SMALL_SEGMENT_BYTES : RANDOM_SEGMENT_BYTES;
    struct chaos c = {.world = world_create(3, segment_bytes), .has_states = has_states};
    chaos = &c;
    prng_init(&c.prng, seed);
    buf_init(&c.truth, SIZE_MAX / 2);
    c.world->on_sent = check_sent;
    for (uint32_t i = 1; has_states && i <= 3; i++) {
        c.world->nodes[i].need_per_mille = 20;
        c.world->nodes[i].trailing_bytes = 1;
    }
    for (unsigned step = 0; step < STEPS; step++) {
        random_step(&c);
    }
    heal(&c);
    uint64_t last = come_together(&c);
    check_everybody(&c);
    CHECK_EQ(c.applied_most, last);
    check_reads(&c);
    for (uint32_t i = 1; i <= 3; i++) {
        CHECK_BYTES(buf_bytes(&c.world->nodes[i].applied), buf_bytes(&c.truth));
    }
    CHECK(c.proposed > 20);
    CHECK(c.reads_done > 10);
    CHECK(c.checked > 50);
    total.staged += c.staged;
    total.released += c.released;
    total.replaced += c.replaced;
    total.starved += c.starved;
    buf_deinit(&c.truth);
    world_destroy(c.world);
}

TEST(chaos_contradicts_nothing)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        run_seed(seed, false);
    }
}

/* REPLICA_RANDOM_SEEDS=from-to runs other seeds, and prints each. */
TEST(chaos_of_states_contradicts_nothing)
{
    uint64_t from = 1;
    uint64_t to = 8;
    const char *range = getenv("REPLICA_RANDOM_SEEDS");
    if (range != NULL) {
        char *rest = NULL;
        from = strtoull(range, &rest, 10);
        to = *rest == '-' ? strtoull(rest + 1, NULL, 10) : from;
    }
    for (uint64_t seed = from; seed <= to; seed++) {
        if (range != NULL) {
            (void)printf("seed %u\n", (unsigned)seed);
            (void)fflush(stdout);
        }
        run_seed(seed, true);
    }
    unsigned seeds = (unsigned)(to - from + 1);
    CHECK(total.staged >= 2 * seeds);
    CHECK(total.released >= 4 * seeds);
    CHECK(total.replaced >= seeds);
    CHECK(total.starved >= 4 * seeds);
}
