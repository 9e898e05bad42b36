/*
 * Three replicas under random delays, losses and crashes. What one applied, nobody ever
 * contradicts; whatever a node says is true of its disk at that moment; no read is too old.
 */
#include <stdio.h>

#include "replica_world.h"

#define RANDOM_SEGMENT_BYTES (64u * KIB)
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
};

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
    CHECK(disk->entry_count >= last);
    if (!replica_is_leader(leader) || leader->term != m->term) {
        return;
    }
    for (uint64_t i = 1; i <= last && i <= leader->entry_count; i++) {
        CHECK_EQ(disk->entries[i - 1].term, leader->entries[i - 1].term);
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
    struct node copy = {.world = from->world, .number = from->number};
    if (!prng_chance(&chaos->prng, 300)) {
        return;
    }
    chaos->checked++;
    fake_env_init(&copy.env);
    fake_env_copy_files(&copy.env, &from->env);
    node_open(&copy);
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

static void crash(struct chaos *c, struct node *n)
{
    unsigned calls = n->leadership_calls;
    c->restarts++;
    node_restart(n);
    n->leadership_calls += calls + 1; /* its reads of before are refused */
    for (size_t i = c->world->packet_count; i > 0; i--) {
        const struct packet *p = &c->world->packets[i - 1];
        if (p->to == n->number || p->from == n->number) {
            struct packet lost = packet_take(c->world, i - 1);
            buf_deinit(&lost.bytes);
        }
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
        CHECK(propose(n, text) > 0);
    }
    if (replica_is_leader(n->replica) && prng_chance(&c->prng, 200)) {
        begin_read(c, n);
    }
    if (prng_chance(&c->prng, w->is_cut[n->number] ? 12 : 2)) {
        w->is_cut[n->number] = !w->is_cut[n->number];
    }
    if (prng_chance(&c->prng, 2)) {
        crash(c, n);
    }
    if (w->packet_count > PACKETS_MAX / 2) {
        packets_drop_all(w);
    }
    check_everybody(c);
    check_reads(c);
}

static void run_seed(uint64_t seed)
{
    struct chaos c = {.world = world_create(3, RANDOM_SEGMENT_BYTES)};
    chaos = &c;
    prng_init(&c.prng, seed);
    buf_init(&c.truth, SIZE_MAX / 2);
    c.world->on_sent = check_sent;
    for (unsigned step = 0; step < STEPS; step++) {
        random_step(&c);
    }
    for (uint32_t i = 1; i <= 3; i++) {
        c.world->is_cut[i] = false;
    }
    world_calm(c.world); /* a deposed leader hears of it */
    struct node *leader = world_elect(c.world);
    uint64_t last = propose(leader, "last");
    CHECK(last > 0);
    world_calm(c.world);
    world_calm(c.world);
    check_everybody(&c);
    CHECK_EQ(c.applied_most, last);
    check_reads(&c);
    for (uint32_t i = 1; i <= 3; i++) {
        CHECK_BYTES(buf_bytes(&c.world->nodes[i].applied), buf_bytes(&c.truth));
    }
    CHECK(c.proposed > 20);
    CHECK(c.reads_done > 10);
    CHECK(c.checked > 100);
    buf_deinit(&c.truth);
    world_destroy(c.world);
}

TEST(chaos_contradicts_nothing)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        run_seed(seed);
    }
}
