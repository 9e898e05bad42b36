/* Recovery of what others coordinated, marks, and the end of dead incarnations. */
#include "txn_world.h"

#define RECOVERY_MS 800u

static void prepare_group(struct world *w, uint32_t group, uint32_t node, uint64_t sequence)
{
    struct shard *s = &w->shards[group];
    s->prepared[s->prepared_count++] = (struct prepared){
        .id = {.node = node, .incarnation = 3, .sequence = sequence},
        .since_us = w->env.now_us,
        .participants = {1, 2},
        .participant_count = 2,
    };
}

TEST(all_yes_is_committed)
{
    struct world w;
    world_start(&w);
    prepare_group(&w, 1, 2, 9);
    fake_env_advance(&w.env, 400);
    CHECK_EVENTS(&w, "");
    for (unsigned i = 0; i < 4; i++) {
        fake_env_advance(&w.env, 100);
    }
    CHECK_EVENTS(&w, "g1 txncheck 2.3.9/0\ng2 txncheck 2.3.9/0\n");
    answer(&w, 2, TXN_STATE_COMMITTED);
    answer(&w, 1, TXN_STATE_YES);
    CHECK_EVENTS(&w, "g1 txncommit 2.3.9/0\ng2 txncommit 2.3.9/0\n");
    w.shards[1].prepared_count = 0;
    answer(&w, 1, TXN_STATE_COMMITTED);
    answer(&w, 2, TXN_STATE_COMMITTED);
    CHECK_EQ(txn_counts(w.m).recovered, 1u);
    world_end(&w);
}

/* All have answered is not: all have said yes (TXN-7). */
TEST(one_no_is_aborted)
{
    struct world w;
    world_start(&w);
    prepare_group(&w, 1, 2, 9);
    fake_env_advance(&w.env, RECOVERY_MS);
    fake_env_forget(&w.env);
    answer(&w, 1, TXN_STATE_YES);
    CHECK_EVENTS(&w, "");
    answer(&w, 2, TXN_STATE_NO_VOTE);
    CHECK_EVENTS(&w, "g1 txnabort 2.3.9/0\ng2 txnabort 2.3.9/0\n");
    w.shards[1].prepared_count = 0;
    answer(&w, 1, TXN_STATE_ABORTED);
    answer(&w, 2, TXN_STATE_NO_VOTE);
    world_end(&w);
}

/* Forgotten there, and here it is over meanwhile: no more to do. */
TEST(finished_meanwhile)
{
    struct world w;
    world_start(&w);
    prepare_group(&w, 1, 2, 9);
    fake_env_advance(&w.env, RECOVERY_MS);
    fake_env_forget(&w.env);
    answer(&w, 1, TXN_STATE_YES); /* an old answer by now */
    answer(&w, 2, TXN_STATE_FINISHED);
    CHECK_EVENTS(&w, "g1 txncheck 2.3.9/0\n");
    w.shards[1].prepared_count = 0;
    answer(&w, 1, TXN_STATE_COMMITTED);
    CHECK_EVENTS(&w, "");
    world_end(&w);
}

/* Forgotten there, and still prepared here, asked after that: the mark passed it (TXN-9). */
TEST(forgotten_while_prepared_halts)
{
    struct world w;
    world_start(&w);
    prepare_group(&w, 1, 2, 9);
    fake_env_advance(&w.env, RECOVERY_MS);
    answer(&w, 2, TXN_STATE_FINISHED);
    answer(&w, 1, TXN_STATE_YES);
    CHECK(!w.env.base.is_halted);
    answer(&w, 1, TXN_STATE_YES);
    CHECK(w.env.base.is_halted);
    world_stop(&w);
}

/*
 * TXN-16: its coordinator is alive: perhaps it stands in the queue of the other group, where a
 * question would be a vote against it. Not for ever: it may not reach that one.
 */
TEST(a_live_coordinator_has_more_time)
{
    struct world w;
    world_start(&w);
    w.heard = 2;
    prepare_group(&w, 1, 2, 9);
    prepare_group(&w, 1, 3, 9);
    fake_env_advance(&w.env, RECOVERY_MS);
    CHECK_EVENTS(&w, "g1 txncheck 3.3.9/0\ng2 txncheck 3.3.9/0\n");
    fake_env_advance(&w.env, TXN_RECOVERY_HEARD_MS - RECOVERY_MS - 1);
    CHECK_EVENTS(&w, "");
    fake_env_advance(&w.env, 200);
    CHECK_EVENTS(&w, "g1 txncheck 2.3.9/0\ng2 txncheck 2.3.9/0\n");
    world_stop(&w);
}

/* Recoveries that get no answer hold up no others: a group may be without a leader for long. */
TEST(recoveries_that_stand_still)
{
    struct world w;
    world_start(&w);
    struct shard *s = &w.shards[1];
    s->many = 300;
    fake_env_advance(&w.env, RECOVERY_MS);
    CHECK_EQ(w.submitted, 600u);
    fake_env_forget(&w.env);
    prepare_group(&w, 1, 3, 9);
    fake_env_advance(&w.env, RECOVERY_MS);
    CHECK_EVENTS(&w, "g1 txncheck 3.3.9/0\ng2 txncheck 3.3.9/0\n");
    world_stop(&w);
}

TEST(own_ones_are_left_alone)
{
    struct world w;
    world_start(&w);
    prepare_group(&w, 1, NODE, 9);
    w.shards[1].prepared[0].id.incarnation = INCARNATION;
    fake_env_advance(&w.env, RECOVERY_MS);
    CHECK_EVENTS(&w, "");
    world_stop(&w);
}

/* TXN-9, TXN-10: the mark goes up when all have confirmed, and groups are told until they know. */
TEST(marks_are_told)
{
    struct world w;
    struct deal d;
    world_start(&w);
    submit(&w, &d, "set b 1;set c 2", "", false);
    raise_barrier(&w);
    answer_replies(&w, 1, TXN_STATE_YES, 1, "+OK\r\n");
    answer_replies(&w, 2, TXN_STATE_YES, 1, "+OK\r\n");
    fake_env_advance(&w.env, 1);
    answer(&w, 1, TXN_STATE_COMMITTED);
    deal_end(&d);
    fake_env_forget(&w.env);
    fake_env_advance(&w.env, 3000);
    CHECK_EVENTS(&w, ""); /* group 2 has not confirmed */
    answer(&w, 2, TXN_STATE_COMMITTED);
    fake_env_advance(&w.env, 1000);
    CHECK_EVENTS(&w, "g1 txnmark 1.1.0/1\ng2 txnmark 1.1.0/1\n");
    answer(&w, 1, TXN_STATE_NONE);
    answer_error(&w, 2, ROUTER_UNKNOWN, "UNKNOWNRESULT no answer");
    fake_env_advance(&w.env, 1000);
    CHECK_EVENTS(&w, "g2 txnmark 1.1.0/1\n");
    answer(&w, 2, TXN_STATE_NONE);
    fake_env_advance(&w.env, 3000);
    CHECK_EVENTS(&w, "");
    world_end(&w);
}

/* TXN-12: closed everywhere, then asked until nothing is prepared, then ended. */
TEST(older_incarnations_are_closed_and_ended)
{
    struct world w;
    world_start_as(&w, 4);
    fake_env_advance(&w.env, 1000);
    CHECK_EVENTS(&w,
                 "g1 txnclose 1.3.0/0\ng2 txnclose 1.3.0/0\ng3 txnclose 1.3.0/0\n"
                 "g4 txnclose 1.3.0/0\n");
    answer(&w, 1, TXN_STATE_NONE);
    answer_with(&w, 2, &(struct txn_answer){.prepared = 2});
    answer_error(&w, 3, ROUTER_UNKNOWN, "UNKNOWNRESULT no answer");
    answer(&w, 4, TXN_STATE_NONE);
    fake_env_advance(&w.env, 20);
    CHECK_EVENTS(&w, "g2 txnclose 1.3.0/0\ng3 txnclose 1.3.0/0\n");
    answer(&w, 2, TXN_STATE_NONE);
    CHECK_EVENTS(&w, "");
    answer(&w, 3, TXN_STATE_NONE);
    CHECK_EVENTS(&w,
                 "g1 txnend 1.3.0/0\ng2 txnend 1.3.0/0\ng3 txnend 1.3.0/0\ng4 txnend 1.3.0/0\n");
    answer(&w, 1, TXN_STATE_NONE);
    answer(&w, 2, TXN_STATE_NONE);
    answer_error(&w, 3, ROUTER_REFUSED, "CLUSTERDOWN no leader");
    answer(&w, 4, TXN_STATE_NONE);
    fake_env_advance(&w.env, 20);
    CHECK_EVENTS(&w, "g3 txnend 1.3.0/0\n");
    answer(&w, 3, TXN_STATE_NONE);
    fake_env_advance(&w.env, 3000);
    CHECK_EVENTS(&w, "");
    world_end(&w);
}

static unsigned the_shown;

static void show(void *ctx, const struct txn_shown *shown)
{
    const struct world *w = ctx;
    the_shown++;
    if (shown->is_coordinator) {
        CHECK_TEXT(shown->state, "voting");
        CHECK(shown->id.node == NODE && shown->participant_count == 3);
        CHECK_EQ(shown->participants[2], 3);
    } else {
        CHECK_TEXT(shown->state, "prepared");
        CHECK(shown->id.node == 2 && shown->group == 1 && shown->participant_count == 2);
    }
    CHECK_EQ(shown->age_us, w->env.now_us > 0 ? 100000u : 0u);
}

TEST(open_ones_are_shown)
{
    struct world w;
    struct deal d;
    world_start(&w);
    prepare_group(&w, 1, 2, 9);
    submit(&w, &d, "set b 1;set c 2;set d 3", "", false);
    raise_barrier(&w);
    fake_env_advance(&w.env, 100);
    the_shown = 0;
    txn_each_open(w.m, show, &w);
    CHECK_EQ(the_shown, 2u);
    CHECK_EQ(txn_counts(w.m).open, 1u);
    CHECK(txn_memory(w.m) > 0);
    buf_deinit(&d.replies);
    world_stop(&w);
}

/* The gateway dies in any phase: its memory goes, and nobody is called. */
TEST(the_end_in_every_phase)
{
    for (unsigned phase = 0; phase < 6; phase++) {
        struct world w;
        struct deal d;
        world_start(&w);
        submit(&w, &d, phase == 5 ? "rename b c" : "set b 1;set c 2", "", false);
        if (phase > 0) {
            raise_barrier(&w);
        }
        if (phase == 2) {
            answer(&w, 1, TXN_STATE_NO_CONFLICT);
        }
        if (phase == 3 || phase == 4) {
            answer_replies(&w, 1, TXN_STATE_YES, 1, "+OK\r\n");
        }
        if (phase == 4) {
            answer_replies(&w, 2, TXN_STATE_YES, 1, "+OK\r\n");
        }
        CHECK_EQ(d.is_done, phase == 4);
        buf_deinit(&d.replies);
        world_stop(&w);
    }
}
