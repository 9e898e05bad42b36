/* Transactions over several groups that vote, message by message. */
#include <stdio.h>

#include "txn_world.h"

TEST(both_say_yes)
{
    struct world w;
    struct deal d;
    world_start(&w);
    submit(&w, &d, "set b 1;set c 2;get b", "", false);
    CHECK_EVENTS(&w, "");
    raise_barrier(&w);
    CHECK_EVENTS(&w,
                 "g1 txnprepare 1.1.1/0 of 1 2 [set b 1] [get b]\n"
                 "g2 txnprepare 1.1.1/0 of 1 2 [set c 2]\n");
    answer_replies(&w, 2, TXN_STATE_YES, 1, "+OK\r\n");
    CHECK_EVENTS(&w, "");
    answer_replies(&w, 1, TXN_STATE_YES, 2, "+OK\r\n$1\r\n1\r\n");
    CHECK_EVENTS(&w,
                 "barrier ends\n"
                 "committed: +OK +OK $1 1\n");
    fake_env_advance(&w.env, 1);
    CHECK_EVENTS(&w,
                 "g1 txncommit 1.1.1/0\n"
                 "g2 txncommit 1.1.1/0\n");
    answer(&w, 1, TXN_STATE_COMMITTED);
    answer(&w, 2, TXN_STATE_COMMITTED);
    CHECK_EVENTS(&w, "");
    CHECK_EQ(txn_counts(w.m).committed, 1u);
    deal_end(&d);
    world_end(&w);
}

/* A command over groups is cut, and its replies become one. */
TEST(commands_are_cut)
{
    struct world w;
    struct deal d;
    world_start(&w);
    submit(&w, &d, "mset b 1 c 2 f 3;del c b d", "", false);
    raise_barrier(&w);
    CHECK_EVENTS(&w,
                 "g1 txnprepare 1.1.1/0 of 1 2 3 [mset b 1 f 3] [del b]\n"
                 "g2 txnprepare 1.1.1/0 of 1 2 3 [mset c 2] [del c]\n"
                 "g3 txnprepare 1.1.1/0 of 1 2 3 [del d]\n");
    answer_replies(&w, 1, TXN_STATE_YES, 2, "+OK\r\n:1\r\n");
    answer_replies(&w, 2, TXN_STATE_YES, 2, "+OK\r\n:1\r\n");
    answer_replies(&w, 3, TXN_STATE_YES, 1, ":0\r\n");
    CHECK_EVENTS(&w,
                 "barrier ends\n"
                 "committed: +OK :2\n");
    fake_env_advance(&w.env, 1);
    CHECK_EVENTS(&w,
                 "g1 txncommit 1.1.1/0\n"
                 "g2 txncommit 1.1.1/0\n"
                 "g3 txncommit 1.1.1/0\n");
    for (uint32_t g = 1; g <= 3; g++) {
        answer(&w, g, TXN_STATE_COMMITTED);
    }
    deal_end(&d);
    world_end(&w);
}

/* TXN-4: the no is applied; the others are told, and it is tried again under a new id. */
TEST(a_conflict_is_tried_again)
{
    struct world w;
    struct deal d;
    world_start(&w);
    submit(&w, &d, "set b 1;set c 2", "", false);
    raise_barrier(&w);
    fake_env_forget(&w.env);
    answer(&w, 1, TXN_STATE_NO_CONFLICT);
    CHECK_EVENTS(&w, "g1 txnabort 1.1.1/0\n"); /* group 2 is told when it has voted */
    answer_replies(&w, 2, TXN_STATE_YES, 1, "+OK\r\n");
    CHECK_EVENTS(&w, "g2 txnabort 1.1.1/0\n");
    fake_env_advance(&w.env, 2);
    CHECK_EVENTS(&w, "g1 txnprepare 1.1.2/0 of 1 2 waits [set b 1]\n");
    answer(&w, 1, TXN_STATE_NO_CONFLICT); /* of the ABORT: as it is recorded */
    answer(&w, 2, TXN_STATE_ABORTED);
    CHECK_EVENTS(&w, "");
    answer_replies(&w, 1, TXN_STATE_YES, 1, "+OK\r\n");
    CHECK_EVENTS(&w, "g2 txnprepare 1.1.2/1 of 1 2 waits [set c 2]\n");
    answer_replies(&w, 2, TXN_STATE_YES, 1, "+OK\r\n");
    CHECK_EVENTS(&w,
                 "g1 txncommit 1.1.2/1\n"
                 "g2 txncommit 1.1.2/1\n"
                 "barrier ends\n"
                 "committed: +OK +OK\n");
    answer(&w, 1, TXN_STATE_COMMITTED);
    answer(&w, 2, TXN_STATE_COMMITTED);
    CHECK_EQ(txn_counts(w.m).conflicts, 1u);
    deal_end(&d);
    world_end(&w);
}

/* TXN-16: after so many conflicts group by group, each waiting for its keys. */
TEST(ordered_after_conflicts)
{
    struct world w;
    struct deal d;
    world_start(&w);
    submit(&w, &d, "set b 1;set c 2", "", false);
    raise_barrier(&w);
    answer(&w, 1, TXN_STATE_NO_CONFLICT);
    answer(&w, 2, TXN_STATE_NO_CONFLICT);
    fake_env_forget(&w.env);
    fake_env_advance(&w.env, 1); /* no pause: it waits in line */
    CHECK_EVENTS(&w, "g1 txnprepare 1.1.2/0 of 1 2 waits [set b 1]\n");
    answer(&w, 1, TXN_STATE_NO_CONFLICT); /* of the ABORTs */
    answer(&w, 2, TXN_STATE_NO_CONFLICT);
    answer_replies(&w, 1, TXN_STATE_YES, 1, "+OK\r\n");
    CHECK_EVENTS(&w, "g2 txnprepare 1.1.2/1 of 1 2 waits [set c 2]\n");
    answer_replies(&w, 2, TXN_STATE_YES, 1, "+OK\r\n");
    CHECK_EVENTS(&w,
                 "g1 txncommit 1.1.2/1\n" /* at once: somebody waits for the keys */
                 "g2 txncommit 1.1.2/1\n"
                 "barrier ends\n"
                 "committed: +OK +OK\n");
    answer(&w, 1, TXN_STATE_COMMITTED);
    answer(&w, 2, TXN_STATE_COMMITTED);
    CHECK_EQ(txn_counts(w.m).ordered, 1u);
    deal_end(&d);
    world_end(&w);
}

/* Ordered, and not all were asked when time is up: it is certain, and said so. */
TEST(ordered_gives_up_with_certainty)
{
    struct world w;
    struct deal d;
    world_start(&w);
    submit(&w, &d, "set b 1;set c 2", "", false);
    raise_barrier(&w);
    fake_env_advance(&w.env, 1);
    answer(&w, 1, TXN_STATE_NO_CONFLICT);
    answer(&w, 2, TXN_STATE_NO_CONFLICT);
    answer(&w, 1, TXN_STATE_NO_CONFLICT);
    answer(&w, 2, TXN_STATE_NO_CONFLICT);
    fake_env_advance(&w.env, 128);
    fake_env_forget(&w.env);
    fake_env_advance(&w.env, TIMEOUT_MS);
    CHECK_EVENTS(
        &w,
        "g1 txnmark 1.1.0/1\ng2 txnmark 1.1.0/1\n"
        "barrier ends\n"
        "not executed: -TRYAGAIN its keys were busy, or their groups without a leader; the "
        "transaction was not executed\n");
    answer(&w, 2, TXN_STATE_NONE); /* MARK; it was never asked, and need not be told */
    answer_replies(&w, 1, TXN_STATE_YES, 1, "+OK\r\n");
    CHECK_EVENTS(&w, "g1 txnabort 1.1.2/1\n");
    answer(&w, 1, TXN_STATE_NONE); /* MARK */
    answer(&w, 1, TXN_STATE_ABORTED);
    deal_end(&d);
    world_end(&w);
}

TEST(a_watched_key_that_differs)
{
    struct world w;
    struct deal d;
    world_start(&w);
    submit(&w, &d, "set b 1", "c 7 b 3", false);
    raise_barrier(&w);
    CHECK_EVENTS(&w,
                 "g1 txnprepare 1.1.1/0 of 1 2 (watch b 3) [set b 1]\n"
                 "g2 txnprepare 1.1.1/0 of 1 2 (watch c 7)\n");
    answer_replies(&w, 1, TXN_STATE_YES, 1, "+OK\r\n");
    answer_with(&w, 2, &(struct txn_answer){.state = TXN_STATE_NO_COMPARE, .is_watched = true});
    CHECK_EVENTS(&w, "g1 txnabort 1.1.1/0\ng2 txnabort 1.1.1/0\nbarrier ends\nchanged: \n");
    answer(&w, 1, TXN_STATE_ABORTED);
    answer(&w, 2, TXN_STATE_NO_COMPARE);
    CHECK_EQ(txn_counts(w.m).changed, 1u);
    deal_end(&d);
    world_end(&w);
}

TEST(strict_and_an_error)
{
    struct world w;
    struct deal d;
    world_start(&w);
    submit(&w, &d, "set b 1;incr c", "", true);
    raise_barrier(&w);
    CHECK_EVENTS(&w,
                 "g1 txnprepare 1.1.1/0 of 1 2 strict [set b 1]\n"
                 "g2 txnprepare 1.1.1/0 of 1 2 strict [incr c]\n");
    answer_replies(&w, 2, TXN_STATE_NO_ERROR, 1, "-ERR value is not an integer\r\n");
    answer_replies(&w, 1, TXN_STATE_YES, 1, "+OK\r\n");
    CHECK_EVENTS(&w,
                 "g2 txnabort 1.1.1/0\nbarrier ends\nfailed: -ERR value is not an integer\n"
                 "g1 txnabort 1.1.1/0\n");
    answer(&w, 1, TXN_STATE_ABORTED);
    answer(&w, 2, TXN_STATE_NO_ERROR);
    deal_end(&d);
    world_end(&w);
}

/* A PREPARE that certainly never takes effect: there is no yes of all. */
TEST(a_refused_part)
{
    struct world w;
    struct deal d;
    world_start(&w);
    submit(&w, &d, "set b 1;set c 2", "", false);
    raise_barrier(&w);
    fake_env_forget(&w.env);
    answer_replies(&w, 1, TXN_STATE_YES, 1, "+OK\r\n");
    answer_error(&w, 2, ROUTER_REFUSED, "CLUSTERDOWN group 2 has no leader");
    CHECK_EVENTS(&w,
                 "g1 txnabort 1.1.1/0\nbarrier ends\n"
                 "not executed: -CLUSTERDOWN group 2 has no leader\n");
    answer_error(&w, 1, ROUTER_UNKNOWN, "UNKNOWNRESULT no answer");
    CHECK_EVENTS(&w, "");
    fake_env_advance(&w.env, 20); /* it is told until it has confirmed */
    CHECK_EVENTS(&w, "g1 txnabort 1.1.1/0\n");
    answer(&w, 1, TXN_STATE_ABORTED);
    deal_end(&d);
    world_end(&w);
}

/* An error of the shard is an entry: it may not be the only one, so it is told like all others. */
TEST(a_part_with_an_error)
{
    struct world w;
    struct deal d;
    world_start(&w);
    submit(&w, &d, "set b 1;set c 2", "", false);
    raise_barrier(&w);
    fake_env_forget(&w.env);
    answer_error(&w, 2, ROUTER_DONE, "ERR the transaction is too large");
    answer_replies(&w, 1, TXN_STATE_YES, 1, "+OK\r\n");
    CHECK_EVENTS(&w,
                 "g2 txnabort 1.1.1/0\nbarrier ends\n"
                 "not executed: -ERR the transaction is too large\n"
                 "g1 txnabort 1.1.1/0\n");
    answer(&w, 1, TXN_STATE_ABORTED);
    answer(&w, 2, TXN_STATE_NO_VOTE);
    deal_end(&d);
    world_end(&w);
}

/*
 * A group without a leader: those that never got there leave nothing behind, however many there
 * are, and the mark goes on.
 */
TEST(refused_parts_leave_nothing)
{
    struct world w;
    struct deal d;
    world_start(&w);
    for (unsigned i = 0; i < 3; i++) {
        submit(&w, &d, "set b 1;set c 2", "", false);
        raise_barrier(&w);
        answer_error(&w, 2, ROUTER_REFUSED, "CLUSTERDOWN group 2 has no leader");
        answer_replies(&w, 1, TXN_STATE_YES, 1, "+OK\r\n");
        answer(&w, 1, TXN_STATE_ABORTED);
        CHECK_EQ(txn_memory(w.m), 0u);
        deal_end(&d);
    }
    submit(&w, &d, "set b 1;set d 2", "", false);
    fake_env_forget(&w.env);
    raise_barrier(&w);
    CHECK_EVENTS(&w,
                 "g1 txnprepare 1.1.4/3 of 1 3 [set b 1]\n"
                 "g3 txnprepare 1.1.4/3 of 1 3 [set d 2]\n");
    answer_error(&w, 1, ROUTER_REFUSED, "CLUSTERDOWN group 1 has no leader");
    answer_error(&w, 3, ROUTER_REFUSED, "CLUSTERDOWN group 3 has no leader");
    deal_end(&d);
    world_end(&w);
}

/* One that a group cannot confirm holds up the marks of its participants, not those of others. */
TEST(a_mark_for_each_group)
{
    struct world w;
    struct deal first;
    struct deal d;
    world_start(&w);
    submit(&w, &first, "set b 1;set c 2", "", false);
    raise_barrier(&w);
    answer_error(&w, 2, ROUTER_UNKNOWN, "UNKNOWNRESULT no answer");
    answer_replies(&w, 1, TXN_STATE_YES, 1, "+OK\r\n");
    fake_env_advance(&w.env, TIMEOUT_MS + 50);
    deal_end(&first);
    fake_env_forget(&w.env);
    for (unsigned i = 0; i < 2; i++) {
        submit(&w, &d, "set d 1;set a 2", "", false);
        raise_barrier(&w);
        answer_replies(&w, 3, TXN_STATE_YES, 1, "+OK\r\n");
        answer_replies(&w, 4, TXN_STATE_YES, 1, "+OK\r\n");
        fake_env_advance(&w.env, 1);
        answer(&w, 3, TXN_STATE_COMMITTED);
        answer(&w, 4, TXN_STATE_COMMITTED);
        deal_end(&d);
    }
    fake_env_forget(&w.env);
    submit(&w, &d, "set b 1;set d 1", "", false);
    raise_barrier(&w);
    CHECK_EVENTS(&w,
                 "g1 txnprepare 1.1.4/0 of 1 3 [set b 1]\n"
                 "g3 txnprepare 1.1.4/3 of 1 3 [set d 1]\n");
    buf_deinit(&d.replies);
    world_stop(&w);
}

/* TXN-5: the vote that was not heard is asked for; it may have been yes. */
TEST(an_unknown_vote_is_asked_for)
{
    struct world w;
    struct deal d;
    world_start(&w);
    submit(&w, &d, "set b 1;set c 2", "", false);
    raise_barrier(&w);
    fake_env_forget(&w.env);
    answer_replies(&w, 1, TXN_STATE_YES, 1, "+OK\r\n");
    answer_error(&w, 2, ROUTER_UNKNOWN, "UNKNOWNRESULT no answer");
    CHECK_EVENTS(&w, "g2 txncheck 1.1.1/0\n");
    answer_replies(&w, 2, TXN_STATE_COMMITTED, 1, "+OK\r\n"); /* somebody has recovered it */
    CHECK_EVENTS(&w,
                 "barrier ends\n"
                 "committed: +OK +OK\n");
    fake_env_advance(&w.env, 1);
    CHECK_EVENTS(&w,
                 "g1 txncommit 1.1.1/0\n"
                 "g2 txncommit 1.1.1/0\n");
    answer(&w, 1, TXN_STATE_COMMITTED);
    answer(&w, 2, TXN_STATE_COMMITTED);
    deal_end(&d);
    world_end(&w);
}

/* TXN-5, DUP-9: the client is told in time that nobody knows, and the coordinator goes on. */
TEST(unknown_in_time_and_driven_on)
{
    struct world w;
    struct deal d;
    world_start(&w);
    submit(&w, &d, "set b 1;set c 2", "", false);
    raise_barrier(&w);
    fake_env_forget(&w.env);
    answer_replies(&w, 1, TXN_STATE_YES, 1, "+OK\r\n");
    fake_env_advance(&w.env, TIMEOUT_MS);
    CHECK_EVENTS(&w, "");
    fake_env_advance(&w.env, 50);
    CHECK_EVENTS(&w,
                 "barrier ends\nunknown: -UNKNOWNRESULT the transaction may or may not have been "
                 "executed (no answer of all its groups in time)\n");
    deal_end(&d);
    answer_error(&w, 2, ROUTER_UNKNOWN, "UNKNOWNRESULT no answer");
    CHECK_EVENTS(&w, "g2 txncheck 1.1.1/0\n");
    answer_error(&w, 2, ROUTER_UNKNOWN, "UNKNOWNRESULT no answer");
    fake_env_advance(&w.env, 20);
    CHECK_EVENTS(&w, "g2 txncheck 1.1.1/0\n");
    answer(&w, 2, TXN_STATE_NO_VOTE);
    CHECK_EVENTS(&w, "g1 txnabort 1.1.1/0\ng2 txnabort 1.1.1/0\n");
    answer(&w, 1, TXN_STATE_ABORTED);
    answer(&w, 2, TXN_STATE_NO_VOTE);
    CHECK_EQ(txn_counts(w.m).unknown, 1u);
    world_end(&w);
}

/* Committed in one group, refused in another: nobody may go on from here (TXN-7). */
TEST(a_split_outcome_halts)
{
    struct world w;
    struct deal d;
    world_start(&w);
    submit(&w, &d, "set b 1;set c 2", "", false);
    raise_barrier(&w);
    answer_error(&w, 1, ROUTER_UNKNOWN, "UNKNOWNRESULT no answer");
    answer(&w, 1, TXN_STATE_COMMITTED);
    CHECK(!w.env.base.is_halted);
    answer(&w, 2, TXN_STATE_NO_CONFLICT);
    CHECK(w.env.base.is_halted);
    buf_deinit(&d.replies);
    world_stop(&w);
}

/* In its place in the stream, and nobody is asked; also when they all lie in one group. */
static void submit_too_many(const char *form)
{
    struct world w;
    struct txn_request r = {.command_count = 1, .resp = 2};
    struct bytes *args = mem_alloc((TXN_KEYS_MAX + 2) * sizeof args[0]);
    char(*keys)[32] = mem_alloc((TXN_KEYS_MAX + 2) * sizeof keys[0]);
    struct deal d = {.world = &w};
    world_start(&w);
    args[0] = bytes_of_text("del");
    for (size_t i = 1; i < TXN_KEYS_MAX + 2; i++) {
        (void)snprintf(keys[i], sizeof keys[i], "%s%zu", form, i);
        args[i] = bytes_of_text(keys[i]);
    }
    struct txn_command command = {
        .command = command_find(args, 1),
        .args = args,
        .arg_count = TXN_KEYS_MAX + 2,
    };
    buf_init(&d.replies, SIZE_MAX / 2);
    r.commands = &command;
    r.stream = &w.stream;
    r.replies = &d.replies;
    r.done = on_deal_done;
    d.request = r;
    txn_submit(w.m, &d.request);
    mem_free(args);
    mem_free(keys);
    raise_barrier(&w);
    CHECK_EVENTS(&w, "barrier ends\nnot executed: -ERR more than 65536 keys in a transaction\n");
    deal_end(&d);
    world_end(&w);
}

TEST(limits)
{
    submit_too_many("k");
    submit_too_many("{k}");
}

/* COMMITs go with what is sent anyway, or soon: not into the log right before the next one. */
TEST(commits_wait_for_company)
{
    struct world w;
    struct deal d;
    world_start(&w);
    submit(&w, &d, "set b 1;set c 2", "", false);
    raise_barrier(&w);
    answer_replies(&w, 1, TXN_STATE_YES, 1, "+OK\r\n");
    answer_replies(&w, 2, TXN_STATE_YES, 1, "+OK\r\n");
    CHECK(d.is_done);
    fake_env_forget(&w.env);
    txn_flush(w.m);
    CHECK_EVENTS(&w, "");
    w.is_router_ready = true;
    txn_flush(w.m);
    CHECK_EVENTS(&w, "g1 txncommit 1.1.1/0\ng2 txncommit 1.1.1/0\n");
    txn_flush(w.m);
    fake_env_advance(&w.env, 1);
    CHECK_EVENTS(&w, "");
    answer(&w, 1, TXN_STATE_COMMITTED);
    answer(&w, 2, TXN_STATE_COMMITTED);
    deal_end(&d);
    world_end(&w);
}
