/* One replica, alone and as a member: what is durable before what is said. */
#include "replica_world.h"

/* ---- alone ----------------------------------------------------------------------------------- */

/* LOG-2, LOG-3: a sole voter commits with its own sync, and not before. */
TEST(alone_nothing_is_applied_before_its_sync)
{
    struct world *w = world_create(1, SEGMENT_BYTES);
    struct node *n = &w->nodes[1];
    CHECK(replica_is_leader(n->replica)); /* nobody else could be */
    CHECK_EQ(n->leadership_calls, 1u);
    CHECK_EQ(replica_leader(n->replica), 1u);
    uint64_t first = propose(n, "a");
    CHECK(first > 0);
    node_turn(n);
    uint64_t second = propose(n, "b"); /* gathers behind the batch in flight */
    CHECK_EQ(second, first + 1);
    node_turn(n);
    check_applied(n, "");
    CHECK(replica_commit_index(n->replica) < first);
    CHECK_EQ(replica_applied(n->replica), 0u);
    CHECK(replica_pending_bytes(n->replica) >= 2);
    CHECK(fake_env_run(&n->env));
    char text[64];
    (void)snprintf(text, sizeof text, "%u:a;", (unsigned)first);
    check_applied(n, text);
    CHECK_EQ(replica_applied(n->replica), first);
    node_sync(n);
    (void)snprintf(text, sizeof text, "%u:a;%u:b;", (unsigned)first, (unsigned)second);
    check_applied(n, text);
    CHECK_EQ(replica_pending_bytes(n->replica), 0u);
    CHECK(n->advanced_calls >= 2);
    CHECK_EQ(w->packet_count, 0u);
    world_destroy(w);
}

TEST(alone_failed_sync_applies_nothing)
{
    for (uint64_t call = 1; call <= 2; call++) {
        struct world *w = world_create(1, SEGMENT_BYTES);
        struct node *n = &w->nodes[1];
        node_sync(n);
        CHECK(propose(n, "a") > 0);
        node_turn(n);
        n->env.fail_at = n->env.operations + call;
        CHECK(fake_env_run(&n->env));
        CHECK(n->env.base.is_halted);
        check_applied(n, "");
        world_destroy(w);
    }
}

/* What is known to be committed is applied as the log is read; the rest when it leads again. */
TEST(alone_restart_applies_what_was_committed)
{
    struct world *w = world_create(1, SEGMENT_BYTES);
    struct node *n = &w->nodes[1];
    char a[32];
    char b[64];
    node_sync(n);
    uint64_t first = propose(n, "a");
    node_sync(n);
    CHECK_EQ(propose(n, "b"), first + 1); /* with it goes that "a" is committed */
    node_sync(n);
    uint64_t term = replica_term(n->replica);
    (void)snprintf(a, sizeof a, "%u:a;", (unsigned)first);
    (void)snprintf(b, sizeof b, "%s%u:b;", a, (unsigned)first + 1);
    check_applied(n, b);

    node_kill(n);
    node_revive(n);
    node_open(n);
    check_applied(n, a);
    CHECK_EQ(replica_applied(n->replica), first);
    CHECK_EQ(replica_commit_index(n->replica), first);
    CHECK(!replica_is_leader(n->replica));
    node_start(n);
    CHECK(replica_term(n->replica) > term); /* a sole voter never leads twice in one (G4) */
    uint64_t index = 0;
    uint64_t round = 1;
    CHECK(replica_read_begin(n->replica, &index, &round));
    CHECK_EQ(round, 0u);
    CHECK(index >= first + 1); /* READ-2: all that the terms before left */
    node_sync(n);
    CHECK(index <= replica_applied(n->replica));
    check_applied(n, b);
    world_destroy(w);
}

/* What was never synced was never there; what was, is applied once and in the same order. */
TEST(alone_many_restarts)
{
    struct world *w = world_create(1, SEGMENT_BYTES);
    struct node *n = &w->nodes[1];
    struct buf expected;
    buf_init(&expected, 4 * KIB);
    for (unsigned life = 0; life < 8; life++) {
        for (unsigned i = 0; i < life; i++) {
            uint64_t index = propose(n, "a");
            CHECK(index > 0);
            buf_printf(&expected, "%u:a;", (unsigned)index);
            node_sync(n);
        }
        node_sync(n);
        CHECK_BYTES(buf_bytes(&n->applied), buf_bytes(&expected));
        CHECK(propose(n, "unsynced") > 0);
        node_turn(n);
        node_restart(n);
        node_sync(n);
        CHECK_BYTES(buf_bytes(&n->applied), buf_bytes(&expected));
    }
    buf_deinit(&expected);
    world_destroy(w);
}

/* A state machine that cannot go on stops the node. */
TEST(failed_apply_halts)
{
    struct world *w = world_create(1, SEGMENT_BYTES);
    struct node *n = &w->nodes[1];
    n->apply_status = STATUS_UNSUPPORTED;
    CHECK(propose(n, "a") > 0);
    CHECK(propose(n, "b") > 0);
    unsigned advanced = n->advanced_calls;
    node_turn(n);
    CHECK(fake_env_run(&n->env));
    CHECK(n->env.base.is_halted);
    CHECK(strstr(n->env.halt_reason, "group 5") != NULL);
    CHECK_EQ(n->advanced_calls, advanced);
    world_destroy(w);
}

/* ---- elections ------------------------------------------------------------------------------- */

/* Before the founding records are synced nothing leaves: a crash would start over. */
TEST(nothing_leaves_before_the_founding_is_synced)
{
    struct world *w = world_create(3, SEGMENT_BYTES);
    CHECK_EQ(replica_durable_term(w->nodes[1].replica), 0u);
    for (unsigned step = 0; step < 20; step++) {
        fake_env_advance(&w->nodes[1].env, ELECTION_MS);
        node_turn(&w->nodes[1]);
    }
    CHECK_EQ(w->packet_count, 0u);
    node_sync(&w->nodes[1]);
    CHECK(replica_durable_term(w->nodes[1].replica) > 0);
    fake_env_advance(&w->nodes[1].env, 20 * ELECTION_MS); /* it was slow, so it waits */
    CHECK(w->packet_count > 0);
    world_destroy(w);
}

/* Node 1 asks for votes, as far as the pre-vote: it has asked for nothing binding yet. */
static struct world *world_before_the_vote(void)
{
    struct world *w = world_create(3, SEGMENT_BYTES);
    for (uint32_t i = 1; i <= 3; i++) {
        node_sync(&w->nodes[i]);
    }
    fake_env_advance(&w->nodes[1].env, 2 * ELECTION_MS + 1);
    node_turn(&w->nodes[1]);
    CHECK_EQ(w->packet_count, 2u); /* pre-votes */
    deliver_to(w, 2);
    packets_drop_all(w);
    fake_env_advance(&w->nodes[1].env, 2 * ELECTION_MS + 1);
    node_sync(&w->nodes[1]); /* the log's mark of an idle time */
    deliver_to(w, 2);
    return w;
}

/* LOG-2: a candidate's vote for itself, and a voter's vote, leave when they are durable. */
TEST(votes_leave_when_they_are_durable)
{
    struct world *w = world_before_the_vote();
    struct node *candidate = &w->nodes[1];
    struct node *voter = &w->nodes[2];
    deliver_to(w, 1); /* the pre-vote's result: now it stands */
    CHECK_EQ(replica_durable_term(candidate->replica), 0u);
    CHECK_EQ(count_sent(w, 1, 0, ENGINE_VOTE), 0u);
    node_turn(candidate);
    CHECK_EQ(count_sent(w, 1, 0, ENGINE_VOTE), 0u);
    CHECK(fake_env_run(&candidate->env));
    CHECK_EQ(count_sent(w, 1, 2, ENGINE_VOTE), 1u);
    CHECK_EQ(replica_durable_term(candidate->replica), 2u);

    deliver_to(w, 2);
    CHECK_EQ(replica_term(voter->replica), 2u);
    CHECK_EQ(replica_durable_term(voter->replica), 0u);
    CHECK_EQ(count_sent(w, 2, 1, ENGINE_VOTE_RESULT), 0u);
    node_turn(voter);
    CHECK_EQ(count_sent(w, 2, 1, ENGINE_VOTE_RESULT), 0u);
    CHECK(!replica_is_leader(candidate->replica));
    CHECK(fake_env_run(&voter->env));
    CHECK_EQ(count_sent(w, 2, 1, ENGINE_VOTE_RESULT), 1u);
    deliver_to(w, 1);
    CHECK(replica_is_leader(candidate->replica));
    CHECK_EQ(candidate->leadership_calls, 1u);
    CHECK_EQ(candidate->leader_calls, 1u);
    world_destroy(w);
}

/* The same after a crash: what had not been synced had not been said either. */
TEST(vote_that_was_not_synced_was_not_given)
{
    struct world *w = world_before_the_vote();
    deliver_to(w, 1);
    node_sync(&w->nodes[1]);
    deliver_to(w, 2);
    node_turn(&w->nodes[2]);
    CHECK_EQ(replica_term(w->nodes[2].replica), 2u);
    packets_drop_all(w);
    node_restart(&w->nodes[2]);
    CHECK_EQ(replica_term(w->nodes[2].replica), 1u);
    CHECK_EQ(w->packet_count, 0u);
    world_destroy(w);
}

/* A vote that left is kept: nobody else gets one in that term. */
TEST(vote_survives_a_restart)
{
    struct world *w = world_before_the_vote();
    deliver_to(w, 1);
    node_sync(&w->nodes[1]);
    deliver_to(w, 2);
    node_sync(&w->nodes[2]);
    packets_drop_all(w);
    node_restart(&w->nodes[2]);
    CHECK_EQ(replica_term(w->nodes[2].replica), 2u);
    CHECK_EQ(w->nodes[2].replica->vote, 1u);
    struct message_route route = {.group = GROUP, .sender = 3, .receiver = 2};
    struct engine_message m = {
        .type = ENGINE_VOTE,
        .peer = 3,
        .term = 2,
        .vote = {.last_index = 1, .last_term = 1},
    };
    replica_receive(w->nodes[2].replica, &route, &m);
    node_sync(&w->nodes[2]);
    CHECK_EQ(w->nodes[2].replica->vote, 1u);
    CHECK_EQ(w->packet_count, 1u);
    struct engine_message answer;
    struct message_entries entries = {0};
    CHECK_EQ(message_decode(buf_bytes(&w->packets[0].bytes), &route, &answer, &entries), STATUS_OK);
    CHECK_EQ(answer.type, ENGINE_VOTE_RESULT);
    CHECK(!answer.vote_result.granted);
    message_entries_deinit(&entries);
    world_destroy(w);
}

/* What waits for a sync leaves in the order it was said. */
TEST(held_messages_keep_their_order)
{
    struct world *w = world_create(3, SEGMENT_BYTES);
    struct node *n = &w->nodes[2];
    node_sync(n);
    struct message_route route = {.group = GROUP, .sender = 1, .receiver = 2};
    for (uint64_t term = 5; term < 9; term++) {
        struct engine_message m = {
            .type = ENGINE_VOTE,
            .peer = 1,
            .term = term,
            .vote = {.last_index = 1, .last_term = 1},
        };
        replica_receive(n->replica, &route, &m);
        node_turn(n);
        CHECK_EQ(w->packet_count, 0u);
    }
    CHECK(fake_env_run(&n->env)); /* the first one's batch only */
    CHECK_EQ(w->packet_count, 1u);
    CHECK_EQ(replica_durable_term(n->replica), 0u);
    node_sync(n);
    CHECK_EQ(w->packet_count, 4u);
    for (uint64_t i = 0; i < 4; i++) {
        struct engine_message m;
        struct message_entries entries = {0};
        CHECK_EQ(message_decode(buf_bytes(&w->packets[i].bytes), &route, &m, &entries), STATUS_OK);
        CHECK_EQ(m.term, 5 + i);
        message_entries_deinit(&entries);
    }
    CHECK_EQ(replica_durable_term(n->replica), 8u);
    world_destroy(w);
}

/* ---- what is dropped ------------------------------------------------------------------------- */

/* MOVE-1: a message to another replica of this node is not ours. */
TEST(message_for_another_receiver)
{
    struct node *leader = NULL;
    struct world *w = world_with_leader(&leader);
    struct message_route route = {.group = GROUP, .sender = 2, .receiver = 77};
    struct engine_message m = {
        .type = ENGINE_VOTE,
        .peer = 2,
        .term = 99,
        .vote = {.last_index = 99, .last_term = 98, .disrupt_leader = true},
    };
    uint64_t term = replica_term(w->nodes[1].replica);
    replica_receive(w->nodes[1].replica, &route, &m);
    CHECK_EQ(replica_term(w->nodes[1].replica), term);
    world_destroy(w);
}

/* After replica_stop: no message, no election, no proposal, no read; the log still completes. */
TEST(stopped_replica_is_silent)
{
    struct node *leader = NULL;
    struct world *w = world_with_leader(&leader);
    CHECK(propose(leader, "a") > 0);
    packets_drop_all(w);
    uint64_t index = 0;
    uint64_t round = 0;
    CHECK(replica_read_begin(leader->replica, &index, &round));
    replica_stop(leader->replica);
    rounds_flush(leader->rounds);
    CHECK_EQ(w->packet_count, 0u);
    CHECK(!replica_is_leader(leader->replica));
    CHECK(!replica_read_begin(leader->replica, &index, &round));
    CHECK_EQ(propose(leader, "b"), 0u);
    CHECK_EQ(replica_durable_term(leader->replica), 0u);
    node_sync(leader);
    fake_env_advance(&leader->env, 10 * ELECTION_MS);
    node_turn(leader);
    CHECK_EQ(w->packet_count, 0u);
    struct message_route route = {
        .group = GROUP,
        .sender = leader->number % 3 + 1,
        .receiver = leader->number,
    };
    struct engine_message m = {
        .type = ENGINE_VOTE,
        .peer = route.sender,
        .term = 99,
        .vote = {.last_index = 99, .last_term = 98, .disrupt_leader = true},
    };
    replica_receive(leader->replica, &route, &m);
    CHECK(replica_term(leader->replica) < 99);
    node_sync(leader);
    CHECK_EQ(w->packet_count, 0u);
    world_destroy(w);
}

/* Also what was held for a sync stays here. */
TEST(stopped_replica_keeps_what_it_held)
{
    struct world *w = world_before_the_vote();
    deliver_to(w, 1);
    node_turn(&w->nodes[1]);
    replica_stop(w->nodes[1].replica);
    packets_drop_all(w);
    node_sync(&w->nodes[1]);
    CHECK_EQ(w->packet_count, 0u);
    world_destroy(w);
}

/* A connection that takes nothing: dropped, and made up for later. */
TEST(refused_message_is_repeated)
{
    struct node *leader = NULL;
    struct world *w = world_with_leader(&leader);
    leader->peers.is_full = true;
    uint64_t index = propose(leader, "a");
    world_settle(w);
    check_applied(leader, "");
    leader->peers.is_full = false;
    world_calm(w);
    check_applied_on(w, index, "a");
    world_destroy(w);
}
