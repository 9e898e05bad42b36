/* ReadIndex rounds: who is asked, whose answer counts, and what is asked again. The replicas and
 * the connections are the test's. */
#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "consensus/message.h"
#include "consensus/replica.h"
#include "fake_env.h"
#include "harness.h"

#define SENT_MAX 64u
#define GROUPS 4u
#define SELF 1u

/* One group on this node, node 1. */
struct replica {
    uint16_t group;
    bool is_leader;
    uint64_t term;
    uint64_t durable_term;
    struct engine_config config;
    struct round_group round;
    unsigned advanced;
};

/* Messages given to the connections. */
struct peers {
    bool is_full; /* takes nothing */
    size_t count;
    struct {
        uint32_t node;
        enum peer_class class;
        struct buf bytes;
    } sent[SENT_MAX];
};

struct rounds_world {
    struct fake_env env;
    struct peers peers;
    struct rounds *rounds;
    struct replica replicas[GROUPS]; /* group 5 + i */
};

/* ---- what rounds call ------------------------------------------------------------------------ */

uint16_t replica_group(const struct replica *r)
{
    return r->group;
}

uint64_t replica_id(const struct replica *r)
{
    (void)r;
    return SELF;
}

bool replica_is_leader(const struct replica *r)
{
    return r->is_leader;
}

uint64_t replica_term(const struct replica *r)
{
    return r->term;
}

uint64_t replica_durable_term(const struct replica *r)
{
    return r->durable_term;
}

void replica_config(const struct replica *r, struct engine_config *out_config)
{
    *out_config = r->config;
}

void replica_rounds_advanced(struct replica *r)
{
    r->advanced++;
}

bool peers_send(struct peers *p,
                uint32_t number,
                enum peer_class class,
                const struct bytes *parts,
                size_t part_count)
{
    if (p->is_full) {
        return false;
    }
    ensure(p->count < SENT_MAX);
    struct buf *bytes = &p->sent[p->count].bytes;
    buf_init(bytes, PEER_MESSAGE_BYTES_MAX);
    for (size_t i = 0; i < part_count; i++) {
        buf_append_bytes(bytes, parts[i]);
    }
    p->sent[p->count].class = class;
    p->sent[p->count++].node = number;
    return true;
}

/* ---- the world ------------------------------------------------------------------------------- */

static struct engine_config voters(unsigned count)
{
    struct engine_config config = {.index = 1, .count = count};
    for (unsigned i = 0; i < count; i++) {
        config.members[i] = (struct engine_member){.id = i + 1, .is_voter = true};
    }
    return config;
}

static void world_start(struct rounds_world *w)
{
    *w = (struct rounds_world){0};
    fake_env_init(&w->env);
    w->rounds = rounds_create(&w->env.base, &w->peers);
    for (unsigned i = 0; i < GROUPS; i++) {
        struct replica *r = &w->replicas[i];
        r->group = (uint16_t)(5 + i);
        r->is_leader = true;
        r->term = 7;
        r->durable_term = 7;
        r->config = voters(3);
        rounds_add(w->rounds, &r->round, r);
    }
}

static void forget_sent(struct rounds_world *w)
{
    while (w->peers.count > 0) {
        buf_deinit(&w->peers.sent[--w->peers.count].bytes);
    }
}

static void world_stop(struct rounds_world *w)
{
    forget_sent(w);
    rounds_destroy(w->rounds);
    fake_env_deinit(&w->env);
}

static uint64_t ask(struct rounds_world *w, unsigned i)
{
    return rounds_ask(w->rounds, &w->replicas[i].round);
}

static uint64_t confirmed(const struct rounds_world *w, unsigned i)
{
    return w->replicas[i].round.confirmed;
}

/* The only message to that node, checked to be a good one. */
static struct bytes sent_to(const struct rounds_world *w, uint32_t node, enum message_kind kind)
{
    struct bytes found = {0};
    for (size_t i = 0; i < w->peers.count; i++) {
        if (w->peers.sent[i].node == node) {
            CHECK(found.data == NULL);
            CHECK_EQ(w->peers.sent[i].class, PEER_URGENT);
            found = buf_bytes(&w->peers.sent[i].bytes);
        }
    }
    ensure(found.data != NULL);
    CHECK_EQ(found.data[0], kind);
    return found;
}

static void check_probe(const struct rounds_world *w, uint32_t node, uint64_t round, uint32_t items)
{
    uint64_t got_round = 0;
    uint32_t got_count = 0;
    struct bytes bytes = sent_to(w, node, MESSAGE_PROBE);
    CHECK_EQ(message_probe_decode(bytes, &got_round, &got_count), STATUS_OK);
    CHECK_EQ(got_round, round);
    CHECK_EQ(got_count, items);
    for (uint32_t i = 0; i < items; i++) {
        struct message_probe_item item = message_probe_item(bytes, i);
        CHECK_EQ(item.sender, SELF);
        CHECK_EQ(item.receiver, node);
        CHECK_EQ(item.term, w->replicas[item.group - 5].term);
    }
}

static void receive(struct rounds_world *w,
                    uint32_t node,
                    enum message_kind kind,
                    uint64_t round,
                    const struct message_probe_item *items,
                    uint32_t count)
{
    struct buf bytes;
    buf_init(&bytes, MIB);
    message_probe_encode(kind, round, items, count, &bytes);
    CHECK_EQ(rounds_received(w->rounds, node, buf_bytes(&bytes)), STATUS_OK);
    buf_deinit(&bytes);
}

/* That node answers for group 5 + i as it should. */
static void answer(struct rounds_world *w, uint32_t node, unsigned i, uint64_t round)
{
    struct message_probe_item item = {
        .group = (uint16_t)(5 + i),
        .sender = SELF,
        .receiver = node,
        .term = 7,
    };
    receive(w, node, MESSAGE_PROBE_RESULT, round, &item, 1);
}

/* ---- asking ---------------------------------------------------------------------------------- */

TEST(nobody_is_asked_without_a_read)
{
    struct rounds_world w;
    world_start(&w);
    rounds_flush(w.rounds);
    fake_env_advance(&w.env, 10 * ROUNDS_AGAIN_MS);
    rounds_connected(w.rounds, 2);
    rounds_flush(w.rounds);
    CHECK_EQ(w.peers.count, 0u);
    world_stop(&w);
}

TEST(other_voters_are_asked_once_per_turn)
{
    struct rounds_world w;
    world_start(&w);
    w.replicas[0].config = voters(4);
    w.replicas[0].config.members[2].is_voter = false;
    uint64_t round = ask(&w, 0);
    CHECK_EQ(ask(&w, 0), round); /* the same turn, the same round */
    CHECK_EQ(w.peers.count, 0u);
    rounds_flush(w.rounds);
    CHECK_EQ(w.peers.count, 2u);
    check_probe(&w, 2, round, 1);
    check_probe(&w, 4, round, 1);
    forget_sent(&w);
    rounds_flush(w.rounds);
    CHECK_EQ(w.peers.count, 0u);
    CHECK(ask(&w, 0) > round); /* behind the flush: not what was sent before it */
    rounds_flush(w.rounds);
    check_probe(&w, 2, round + 1, 1);
    world_stop(&w);
}

/* READ-3: one message per node, whatever the number of groups. */
TEST(groups_share_a_message)
{
    struct rounds_world w;
    world_start(&w);
    w.replicas[1].config = voters(5);
    w.replicas[2].config.members[1].id = 9;
    w.replicas[3].config.members[2].id = 9;
    uint64_t round = ask(&w, 3);
    for (unsigned i = 0; i < 3; i++) {
        CHECK_EQ(ask(&w, i), round);
    }
    rounds_flush(w.rounds);
    CHECK_EQ(w.peers.count, 5u);
    check_probe(&w, 2, round, 3);
    check_probe(&w, 3, round, 3);
    check_probe(&w, 4, round, 1);
    check_probe(&w, 5, round, 1);
    check_probe(&w, 9, round, 2);
    unsigned seen = 0;
    for (uint32_t i = 0; i < 3; i++) {
        seen |= 1u << (message_probe_item(sent_to(&w, 2, MESSAGE_PROBE), i).group - 5);
    }
    CHECK_EQ(seen, 1u << 0 | 1u << 1 | 1u << 3);
    world_stop(&w);
}

/* ---- being answered -------------------------------------------------------------------------- */

/* A majority of the voters, this replica included; nobody counts twice, and no learner counts. */
TEST(majority_confirms)
{
    static const struct {
        unsigned voters;
        unsigned answers;
    } cases[] = {{2, 1}, {3, 1}, {4, 2}, {5, 2}, {7, 3}};
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        struct rounds_world w;
        world_start(&w);
        w.replicas[0].config = voters(cases[c].voters + 1);
        w.replicas[0].config.members[cases[c].voters].is_voter = false;
        uint64_t round = ask(&w, 0);
        rounds_flush(w.rounds);
        answer(&w, cases[c].voters + 1, 0, round); /* the learner */
        for (uint32_t i = 0; i < cases[c].answers; i++) {
            CHECK_EQ(confirmed(&w, 0), 0u);
            CHECK_EQ(w.replicas[0].advanced, 0u);
            answer(&w, 2 + i, 0, round);
            answer(&w, 2, 0, round); /* once more */
        }
        CHECK_EQ(confirmed(&w, 0), round);
        CHECK_EQ(w.replicas[0].advanced, 1u);
        CHECK_EQ(confirmed(&w, 1), 0u); /* of another group */
        world_stop(&w);
    }
}

/* READ-1: an answer counts for its round and those before it, never for a later one. */
TEST(answer_counts_backwards_only)
{
    struct rounds_world w;
    world_start(&w);
    w.replicas[0].config = voters(5);
    uint64_t first = ask(&w, 0);
    rounds_flush(w.rounds);
    uint64_t second = ask(&w, 0);
    rounds_flush(w.rounds);
    answer(&w, 2, 0, first);
    answer(&w, 3, 0, second);
    CHECK_EQ(confirmed(&w, 0), first);
    answer(&w, 3, 0, first); /* late: takes nothing back */
    answer(&w, 4, 0, first);
    CHECK_EQ(confirmed(&w, 0), first);
    answer(&w, 5, 0, second);
    CHECK_EQ(confirmed(&w, 0), second);
    answer(&w, 2, 0, first);
    CHECK_EQ(confirmed(&w, 0), second);
    CHECK_EQ(w.replicas[0].advanced, 2u);
    world_stop(&w);
}

/* MOVE-1: node 3 in its second life is asked and heard; this node in an earlier life is not asked.
 */
TEST(replicas_of_later_lives)
{
    struct rounds_world w;
    world_start(&w);
    struct engine_config *config = &w.replicas[0].config;
    *config = voters(4);
    config->members[2].id = replica_id_of(3, 1);
    config->members[3].id = replica_id_of(SELF, 2);
    uint64_t round = ask(&w, 0);
    rounds_flush(w.rounds);
    CHECK_EQ(w.peers.count, 2u);
    CHECK_EQ(message_probe_item(sent_to(&w, 3, MESSAGE_PROBE), 0).receiver, replica_id_of(3, 1));
    struct message_probe_item item = {
        .group = 5,
        .sender = SELF,
        .receiver = replica_id_of(3, 1),
        .term = 7,
    };
    receive(&w, 2, MESSAGE_PROBE_RESULT, round, &item, 1); /* not its to say */
    answer(&w, 2, 0, round);
    CHECK_EQ(confirmed(&w, 0), 0u);
    receive(&w, 3, MESSAGE_PROBE_RESULT, round, &item, 1);
    CHECK_EQ(confirmed(&w, 0), round);
    forget_sent(&w);
    item.sender = replica_id_of(2, 4); /* it asks, in its fifth life */
    item.receiver = SELF;
    receive(&w, 3, MESSAGE_PROBE, round, &item, 1);
    CHECK_EQ(w.peers.count, 0u);
    receive(&w, 2, MESSAGE_PROBE, round, &item, 1);
    CHECK_EQ(w.peers.count, 1u);
    world_stop(&w);
}

/* Each of these answers says nothing about this leadership, or was never asked for. */
TEST(answers_that_do_not_count)
{
    struct rounds_world w;
    world_start(&w);
    uint64_t round = ask(&w, 0);
    rounds_flush(w.rounds);
    const struct message_probe_item good = {.group = 5, .sender = SELF, .receiver = 2, .term = 7};
    struct message_probe_item bent = good;
    bent.term = 6;
    receive(&w, 2, MESSAGE_PROBE_RESULT, round, &bent, 1);
    bent.term = 8;
    receive(&w, 2, MESSAGE_PROBE_RESULT, round, &bent, 1);
    bent.term = 0;
    receive(&w, 2, MESSAGE_PROBE_RESULT, round, &bent, 1);
    bent = good;
    bent.sender = 3; /* the probe of an earlier life of this replica (MOVE-1) */
    receive(&w, 2, MESSAGE_PROBE_RESULT, round, &bent, 1);
    bent = good;
    bent.group = 99;
    receive(&w, 2, MESSAGE_PROBE_RESULT, round, &bent, 1);
    bent.group = UINT16_MAX;
    receive(&w, 2, MESSAGE_PROBE_RESULT, round, &bent, 1);
    receive(&w, 3, MESSAGE_PROBE_RESULT, round, &good, 1);     /* node 3 in the name of node 2 */
    receive(&w, 2, MESSAGE_PROBE_RESULT, round + 1, &good, 1); /* not sent yet */
    receive(&w, 2, MESSAGE_PROBE_RESULT, UINT64_MAX, &good, 1);
    w.replicas[0].is_leader = false;
    receive(&w, 2, MESSAGE_PROBE_RESULT, round, &good, 1);
    w.replicas[0].is_leader = true;
    w.replicas[0].durable_term = 0; /* its own term may not be spoken of yet */
    receive(&w, 2, MESSAGE_PROBE_RESULT, round, &good, 1);
    w.replicas[0].durable_term = 7;
    CHECK_EQ(confirmed(&w, 0), 0u);
    CHECK_EQ(w.replicas[0].advanced, 0u);
    receive(&w, 2, MESSAGE_PROBE_RESULT, round, &good, 1);
    CHECK_EQ(confirmed(&w, 0), round);
    world_stop(&w);
}

/* A leadership that began or ended voids what was asked and answered before. */
TEST(reset_forgets_everything)
{
    struct rounds_world w;
    world_start(&w);
    w.replicas[0].config = voters(5);
    uint64_t first = ask(&w, 0);
    rounds_flush(w.rounds);
    answer(&w, 2, 0, first);
    answer(&w, 3, 0, first);
    CHECK_EQ(confirmed(&w, 0), first);
    uint64_t second = ask(&w, 0);
    rounds_flush(w.rounds);
    answer(&w, 2, 0, second);
    rounds_reset(&w.replicas[0].round);
    CHECK_EQ(confirmed(&w, 0), 0u);
    answer(&w, 3, 0, second); /* with the one before it would be a majority */
    CHECK_EQ(confirmed(&w, 0), 0u);
    forget_sent(&w);
    fake_env_advance(&w.env, 2 * ROUNDS_AGAIN_MS);
    rounds_flush(w.rounds);
    CHECK_EQ(w.peers.count, 0u); /* nobody waits any more */
    uint64_t third = ask(&w, 0);
    rounds_reset(&w.replicas[0].round);
    rounds_flush(w.rounds);
    CHECK_EQ(w.peers.count, 0u);
    CHECK(ask(&w, 0) >= third);
    world_stop(&w);
}

/* READ-1: the voters of the configuration in force when the answers are counted. */
TEST(configuration_in_force_counts)
{
    struct rounds_world w;
    world_start(&w);
    uint64_t round = ask(&w, 0);
    rounds_flush(w.rounds);
    w.replicas[0].config = voters(5);
    answer(&w, 2, 0, round);
    CHECK_EQ(confirmed(&w, 0), 0u);
    w.replicas[0].config.members[1].is_voter = false; /* its answer counts no more */
    answer(&w, 3, 0, round);
    CHECK_EQ(confirmed(&w, 0), 0u);
    forget_sent(&w);
    fake_env_advance(&w.env, ROUNDS_AGAIN_MS);
    rounds_flush(w.rounds);
    CHECK_EQ(w.peers.count, 3u); /* the new ones are asked, too */
    answer(&w, 5, 0, round + 1);
    CHECK(confirmed(&w, 0) >= round);
    world_stop(&w);
}

/* Answers that nobody asked for: without other voters no round is ever sent. */
TEST(sole_voter_confirms_no_round_to_come)
{
    struct rounds_world w;
    world_start(&w);
    uint64_t round = ask(&w, 1);
    rounds_flush(w.rounds);
    w.replicas[0].config = voters(1);
    answer(&w, 2, 0, round);
    w.replicas[0].config = voters(3);
    CHECK(confirmed(&w, 0) < ask(&w, 0));
    world_stop(&w);
}

/* ---- asking again ---------------------------------------------------------------------------- */

TEST(lost_probe_is_sent_again)
{
    struct rounds_world w;
    world_start(&w);
    uint64_t round = ask(&w, 0);
    (void)ask(&w, 1);
    rounds_flush(w.rounds);
    answer(&w, 3, 1, round);
    forget_sent(&w);
    fake_env_advance(&w.env, ROUNDS_AGAIN_MS - 1);
    rounds_flush(w.rounds);
    CHECK_EQ(w.peers.count, 0u);
    for (unsigned i = 1; i <= 3; i++) {
        fake_env_advance(&w.env, ROUNDS_AGAIN_MS);
        rounds_flush(w.rounds);
        CHECK_EQ(w.peers.count, 2u);
        check_probe(&w, 2, round + i, 1); /* of the group that waits, not of the other */
        forget_sent(&w);
    }
    answer(&w, 2, 0, round + 2);
    CHECK(confirmed(&w, 0) >= round);
    fake_env_advance(&w.env, 2 * ROUNDS_AGAIN_MS);
    rounds_flush(w.rounds);
    CHECK_EQ(w.peers.count, 0u);
    world_stop(&w);
}

TEST(refused_probe_is_sent_again)
{
    struct rounds_world w;
    world_start(&w);
    w.peers.is_full = true;
    uint64_t round = ask(&w, 0);
    rounds_flush(w.rounds);
    w.peers.is_full = false;
    rounds_flush(w.rounds);
    CHECK_EQ(w.peers.count, 0u);
    fake_env_advance(&w.env, ROUNDS_AGAIN_MS);
    rounds_flush(w.rounds);
    check_probe(&w, 2, round + 1, 1);
    world_stop(&w);
}

/* Another group reads all the time: a lost probe is sent again all the same. */
TEST(lost_probe_beside_busy_groups)
{
    struct rounds_world w;
    world_start(&w);
    uint64_t round = ask(&w, 0);
    rounds_flush(w.rounds);
    unsigned probes = 0;
    for (unsigned turn = 0; turn < 20; turn++) {
        forget_sent(&w);
        fake_env_advance(&w.env, ROUNDS_AGAIN_MS / 5);
        uint64_t other = ask(&w, 1);
        rounds_flush(w.rounds);
        uint64_t sent_round = 0;
        uint32_t count = 0;
        struct bytes bytes = sent_to(&w, 2, MESSAGE_PROBE);
        CHECK_EQ(message_probe_decode(bytes, &sent_round, &count), STATUS_OK);
        for (uint32_t i = 0; i < count; i++) {
            probes += message_probe_item(bytes, i).group == 5 ? 1 : 0;
        }
        answer(&w, 2, 1, other);
    }
    CHECK(probes >= 2);
    CHECK(confirmed(&w, 1) > round);
    world_stop(&w);
}

/* What was asked over the old connection may be lost with it. */
TEST(new_connection_asks_again)
{
    struct rounds_world w;
    world_start(&w);
    uint64_t round = ask(&w, 0);
    rounds_flush(w.rounds);
    forget_sent(&w);
    rounds_connected(w.rounds, 3);
    rounds_flush(w.rounds);
    check_probe(&w, 3, round + 1, 1);
    answer(&w, 3, 0, round + 1);
    CHECK(confirmed(&w, 0) >= round);
    forget_sent(&w);
    rounds_connected(w.rounds, 3);
    rounds_flush(w.rounds);
    CHECK_EQ(w.peers.count, 0u);
    world_stop(&w);
}

/* A deposed leader asks nobody, whatever still waits. */
TEST(deposed_leader_does_not_ask_again)
{
    struct rounds_world w;
    world_start(&w);
    (void)ask(&w, 0);
    rounds_flush(w.rounds);
    forget_sent(&w);
    w.replicas[0].is_leader = false;
    fake_env_advance(&w.env, ROUNDS_AGAIN_MS);
    rounds_connected(w.rounds, 2);
    rounds_flush(w.rounds);
    CHECK_EQ(w.peers.count, 0u);
    world_stop(&w);
}

/* ---- answering ------------------------------------------------------------------------------- */

/* Only for a term that is ours and durable (LOG-2), to a replica of the node that asks. */
TEST(probe_is_answered)
{
    struct rounds_world w;
    world_start(&w);
    for (unsigned i = 0; i < GROUPS; i++) {
        w.replicas[i].is_leader = false;
    }
    w.replicas[1].durable_term = 0; /* not synced yet */
    w.replicas[2].term = 8;
    w.replicas[2].durable_term = 8; /* has voted for somebody else */
    struct message_probe_item items[] = {
        {.group = 5, .sender = 2, .receiver = SELF, .term = 7},
        {.group = 6, .sender = 2, .receiver = SELF, .term = 7},
        {.group = 7, .sender = 2, .receiver = SELF, .term = 7},
        {.group = 8, .sender = 2, .receiver = SELF, .term = 7},
        {.group = 8, .sender = 2, .receiver = SELF, .term = 6},
        {.group = 8, .sender = 3, .receiver = SELF, .term = 7}, /* not node 2's */
        {.group = 8, .sender = 2, .receiver = 4, .term = 7},    /* an earlier life (MOVE-1) */
        {.group = 9, .sender = 2, .receiver = SELF, .term = 7},
        {.group = UINT16_MAX, .sender = 2, .receiver = SELF, .term = 7},
    };
    receive(&w, 2, MESSAGE_PROBE, 77, items, sizeof items / sizeof items[0]);
    CHECK_EQ(w.peers.count, 1u);
    struct bytes bytes = sent_to(&w, 2, MESSAGE_PROBE_RESULT);
    uint64_t round = 0;
    uint32_t count = 0;
    CHECK_EQ(message_probe_decode(bytes, &round, &count), STATUS_OK);
    CHECK_EQ(round, 77u);
    CHECK_EQ(count, 2u);
    for (uint32_t i = 0; i < 2; i++) {
        struct message_probe_item item = message_probe_item(bytes, i);
        CHECK_EQ(item.group, i == 0 ? 5u : 8u);
        CHECK_EQ(item.sender, 2u);
        CHECK_EQ(item.receiver, SELF);
        CHECK_EQ(item.term, 7u);
    }
    world_stop(&w);
}

/* No term is never the term: not while ours is not durable, and not for a leader. */
TEST(probe_of_no_term)
{
    struct rounds_world w;
    world_start(&w);
    w.replicas[0].durable_term = 0;
    struct message_probe_item item = {.group = 5, .sender = 2, .receiver = SELF, .term = 0};
    receive(&w, 2, MESSAGE_PROBE, 1, &item, 1);
    CHECK_EQ(w.peers.count, 0u);
    uint64_t round = ask(&w, 0);
    rounds_flush(w.rounds);
    item.sender = SELF;
    item.receiver = 2;
    receive(&w, 2, MESSAGE_PROBE_RESULT, round, &item, 1);
    CHECK_EQ(confirmed(&w, 0), 0u);
    world_stop(&w);
}

TEST(nothing_to_confirm_is_not_answered)
{
    struct rounds_world w;
    world_start(&w);
    struct message_probe_item item = {.group = 5, .sender = 2, .receiver = SELF, .term = 6};
    receive(&w, 2, MESSAGE_PROBE, 1, &item, 1);
    CHECK_EQ(w.peers.count, 0u);
    world_stop(&w);
}

/* Reads of our own and questions of others in one turn do not mix. */
TEST(asking_and_answering_in_one_turn)
{
    struct rounds_world w;
    world_start(&w);
    uint64_t round = ask(&w, 0);
    struct message_probe_item item = {.group = 6, .sender = 2, .receiver = SELF, .term = 7};
    receive(&w, 2, MESSAGE_PROBE, 99, &item, 1);
    sent_to(&w, 2, MESSAGE_PROBE_RESULT);
    forget_sent(&w);
    rounds_flush(w.rounds);
    check_probe(&w, 2, round, 1);
    check_probe(&w, 3, round, 1);
    world_stop(&w);
}

TEST(malformed_message)
{
    struct rounds_world w;
    world_start(&w);
    uint64_t round = ask(&w, 0);
    rounds_flush(w.rounds);
    forget_sent(&w);
    struct message_probe_item item = {.group = 5, .sender = SELF, .receiver = 2, .term = 7};
    struct buf bytes;
    buf_init(&bytes, MIB);
    message_probe_encode(MESSAGE_PROBE_RESULT, round, &item, 1, &bytes);
    for (size_t size = 0; size < bytes.size; size++) {
        uint8_t *cut = mem_alloc(size + 1);
        memcpy(cut, bytes.data, size);
        CHECK_EQ(rounds_received(w.rounds, 2, bytes_of(cut, size)), STATUS_MALFORMED);
        mem_free(cut);
    }
    buf_append(&bytes, "x", 1);
    CHECK_EQ(rounds_received(w.rounds, 2, buf_bytes(&bytes)), STATUS_MALFORMED);
    buf_deinit(&bytes);
    CHECK_EQ(confirmed(&w, 0), 0u);
    CHECK_EQ(w.peers.count, 0u);
    world_stop(&w);
}
