/* Attempts: leaders that move, refusals, silence, and what a client is told at the end. */
#include "router/router_parts.h"
#include "router_world.h"

#define UNKNOWN_2                                                                                  \
    "-UNKNOWNRESULT the command may or may not have been executed (no answer from group 2 in "     \
    "time)"
#define DOWN_2 "-CLUSTERDOWN group 2 has no leader; the command was not executed"

/* ---- finding the leader ---------------------------------------------------------------------- */

TEST(one_message_for_many_batches)
{
    struct world w;
    struct ask a[3] = {0};
    world_start(&w);
    submit(&w, &a[0], 0, "set c 1");
    submit(&w, &a[1], 0, "incr g");
    submit(&w, &a[2], 1, "get c");
    turn(&w);
    CHECK_EVENTS(&w, "to 2: t1 g2 set c 1 #1/0, incr g #2/0\nto 2: t2 g2 get c\n");
    struct answer answers[] = {
        {.ticket = 1, .item = 0, .verdict = FORWARD_DONE, .reply = "+OK\r\n"},
        {.ticket = 1, .item = 1, .verdict = FORWARD_DONE, .reply = ":1\r\n"},
        {.ticket = 2, .item = 0, .verdict = FORWARD_DONE, .reply = "$-1\r\n"},
    };
    receive(&w, 2, answers, 3);
    CHECK_EVENTS(&w, "done set c 1: +OK\ndone incr g: :1\ndone get c: $-1\n");
    ask_end(a, 3);
    world_stop(&w);
}

TEST(refusal_names_the_leader)
{
    struct world w;
    struct ask a[2] = {0};
    world_start(&w);
    submit(&w, &a[0], 0, "set d 1");
    turn(&w);
    CHECK_EVENTS(&w, "to 2: t1 g3 set d 1 #1/0\n"); /* a member, as nobody knows better */
    CHECK_EQ(router_leader_of(w.router, 3), 0u);
    refused(&w, 2, 1, 0, 3);
    turn(&w);
    CHECK_EVENTS(&w, "to 3: t2 g3 set d 1 #1/0\n");
    done(&w, 3, 2, 0, "+OK\r\n");
    CHECK_EQ(router_leader_of(w.router, 3), 3u);
    submit(&w, &a[1], 0, "get d");
    turn(&w);
    CHECK_EVENTS(&w, "done set d 1: +OK\nto 3: t3 g3 get d\n");
    done(&w, 3, 3, 0, "$1\r\n1\r\n");
    ask_end(a, 2);
    world_stop(&w);
}

TEST(refusal_without_a_name_backs_off)
{
    struct world w;
    struct ask a[1] = {0};
    world_start(&w);
    submit(&w, &a[0], 0, "get d");
    turn(&w);
    CHECK_EVENTS(&w, "to 2: t1 g3 get d\n");
    refused(&w, 2, 1, 0, 0);
    turn(&w);
    CHECK_EVENTS(&w, "");
    advance(&w, 19);
    CHECK_EVENTS(&w, "");
    advance(&w, 1);
    CHECK_EVENTS(&w, "to 3: t2 g3 get d\n"); /* the next member */
    refused(&w, 3, 2, 0, 3);                 /* itself: that is no help */
    advance(&w, 39);
    CHECK_EVENTS(&w, "");
    advance(&w, 1);
    CHECK_EVENTS(&w, "to 2: t3 g3 get d\n");
    done(&w, 2, 3, 0, "$-1\r\n");
    ask_end(a, 1);
    fake_env_forget(&w.env);
    world_stop(&w);
}

/* Two nodes that each name the other are not asked as fast as the wire allows. */
TEST(hints_in_a_circle_back_off)
{
    struct world w;
    struct ask a[1] = {0};
    world_start(&w);
    submit(&w, &a[0], 0, "get d");
    turn(&w);
    for (uint64_t t = 1; t <= 3; t++) {
        refused(&w, t % 2 == 1 ? 2 : 3, t, 0, t % 2 == 1 ? 3 : 2);
        turn(&w);
    }
    CHECK_EVENTS(&w,
                 "to 2: t1 g3 get d\nto 3: t2 g3 get d\nto 2: t3 g3 get d\nto 3: t4 g3 get d\n");
    refused(&w, 3, 4, 0, 2);
    turn(&w);
    CHECK_EVENTS(&w, "");
    advance(&w, 20);
    CHECK_EQ(fake_env_events(&w.env)[0], 't');
    done(&w, 2, 5, 0, "$-1\r\n");
    done(&w, 3, 5, 0, "$-1\r\n");
    ask_end(a, 1);
    world_stop(&w);
}

TEST(no_member_is_connected)
{
    struct world w;
    struct ask a[1] = {0};
    world_start(&w);
    w.peers.is_connected[2] = false;
    w.peers.is_connected[3] = false;
    submit(&w, &a[0], 0, "get d");
    turn(&w);
    CHECK_EVENTS(&w, "");
    w.peers.is_connected[3] = true;
    router_connected(w.router, 3);
    turn(&w);
    CHECK_EVENTS(&w, "to 3: t1 g3 get d\n");
    done(&w, 3, 1, 0, "$-1\r\n");
    ask_end(a, 1);
    world_stop(&w);
}

TEST(waits_for_an_election)
{
    struct world w;
    struct ask a[2] = {0};
    world_start(&w);
    w.replicas[2].leader = 0;
    submit(&w, &a[0], 0, "set c 1");
    submit(&w, &a[1], 1, "get c");
    turn(&w);
    advance(&w, 500);
    CHECK_EVENTS(&w, "");
    w.replicas[2].leader = 1; /* us */
    router_leader_changed(w.router, 2);
    turn(&w);
    CHECK_EVENTS(&w, "here g2 set c 1 #1/0\nhere g2 get c\n");
    answer_here(&w, 2, SHARD_DONE, "+OK\r\n");
    answer_here(&w, 2, SHARD_DONE, "$1\r\n1\r\n");
    ask_end(a, 2);
    world_stop(&w);
}

/* The leader changed while requests were under way: they do not wait for the old one's answer. */
TEST(leader_moves_with_requests_under_way)
{
    struct world w;
    struct ask a[2] = {0};
    world_start(&w);
    submit(&w, &a[0], 0, "set c 1");
    submit(&w, &a[1], 1, "set b 1");
    turn(&w);
    CHECK_EVENTS(&w, "here g1 set b 1 #1/0\nto 2: t1 g2 set c 1 #1/0\n");
    w.replicas[2].leader = 0;
    router_leader_changed(w.router, 2);
    turn(&w);
    CHECK_EVENTS(&w, "");
    w.replicas[2].leader = 3;
    router_leader_changed(w.router, 2);
    turn(&w);
    CHECK_EVENTS(&w, "to 3: t2 g2 set c 1 #1/0\n"); /* DUP-4: the same id */
    refused(&w, 2, 1, 0, 3);                        /* of the first copy: nobody listens */
    turn(&w);
    CHECK_EVENTS(&w, "");
    done(&w, 3, 2, 0, "+OK\r\n");
    answer_here(&w, 1, SHARD_DONE, "+OK\r\n");
    ask_end(a, 2);
    world_stop(&w);
}

/* A refusal that comes late tells of a leader, until the replica here knows better. */
TEST(hint_ends_with_the_next_election)
{
    struct world w;
    struct ask a[2] = {0};
    world_start(&w);
    submit(&w, &a[0], 0, "get c");
    turn(&w);
    refused(&w, 2, 1, 0, 3);
    turn(&w);
    done(&w, 3, 2, 0, "$-1\r\n");
    CHECK_EVENTS(&w, "to 2: t1 g2 get c\nto 3: t2 g2 get c\ndone get c: $-1\n");
    w.replicas[2].leader = 2;
    router_leader_changed(w.router, 2);
    submit(&w, &a[1], 0, "get c");
    turn(&w);
    CHECK_EVENTS(&w, "to 2: t3 g2 get c\n");
    done(&w, 2, 3, 0, "$-1\r\n");
    ask_end(a, 2);
    world_stop(&w);
}

/* ---- refused in the middle of a run ---------------------------------------------------------- */

/* ORD-7: behind a refusal nothing of the run may start. */
TEST(refused_here_ends_the_attempt)
{
    struct world w;
    struct ask a[3] = {0};
    world_start(&w);
    w.shards[1].refuse_from = 2;
    submit(&w, &a[0], 0, "set b 1");
    submit(&w, &a[1], 0, "set b 2");
    submit(&w, &a[2], 0, "set b 3");
    turn(&w);
    CHECK_EVENTS(&w, "here g1 set b 1 #1/0\nhere g1 set b 2 #2/0 refused\n");
    w.shards[1].mode = FAKE_HOLD;
    advance(&w, 200);
    CHECK_EVENTS(&w, ""); /* the first one is still in the shard */
    answer_here(&w, 1, SHARD_LOST, NULL);
    advance(&w, 200);
    CHECK_EVENTS(&w, "here g1 set b 1 #1/0\nhere g1 set b 2 #2/0\nhere g1 set b 3 #3/0\n");
    for (size_t i = 0; i < 3; i++) {
        answer_here(&w, 1, SHARD_DONE, "+OK\r\n");
    }
    ask_end(a, 3);
    fake_env_forget(&w.env);
    world_stop(&w);
}

/* ORD-7: the second read must not be the older one. */
TEST(read_behind_a_refused_one_runs_again)
{
    struct world w;
    struct ask a[3] = {0};
    world_start(&w);
    submit(&w, &a[0], 0, "get c");
    submit(&w, &a[1], 0, "get g");
    submit(&w, &a[2], 0, "get k");
    turn(&w);
    CHECK_EVENTS(&w, "to 2: t1 g2 get c, get g, get k\n");
    done(&w, 2, 1, 0, "$1\r\n0\r\n");
    CHECK_EVENTS(&w, "done get c: $1 0\n");
    done(&w, 2, 1, 2, "$3\r\nold\r\n");
    CHECK_EVENTS(&w, "");
    refused(&w, 2, 1, 1, 3);
    turn(&w);
    CHECK_EVENTS(&w, "to 3: t2 g2 get g, get k\n");
    done(&w, 2, 1, 1, "$3\r\nold\r\n"); /* of the attempt that is void */
    CHECK_EVENTS(&w, "");
    done(&w, 3, 2, 1, "$3\r\nnew\r\n");
    CHECK_EVENTS(&w, "");
    done(&w, 3, 2, 0, "$1\r\n1\r\n");
    CHECK_EVENTS(&w, "done get g: $1 1\ndone get k: $3 new\n");
    ask_end(a, 3);
    world_stop(&w);
}

TEST(read_behind_a_refused_one_runs_again_here)
{
    struct world w;
    struct ask a[2] = {0};
    world_start(&w);
    submit(&w, &a[0], 0, "get b");
    submit(&w, &a[1], 0, "get f");
    turn(&w);
    fake_env_forget(&w.env);
    answer_here(&w, 1, SHARD_REFUSED, NULL);
    answer_here(&w, 1, SHARD_DONE, "$3\r\nold\r\n");
    CHECK_EVENTS(&w, "");
    advance(&w, 20);
    CHECK_EVENTS(&w, "here g1 get b\nhere g1 get f\n");
    answer_here(&w, 1, SHARD_DONE, "$-1\r\n");
    answer_here(&w, 1, SHARD_DONE, "$3\r\nnew\r\n");
    CHECK_EVENTS(&w, "done get b: $-1\ndone get f: $3 new\n");
    ask_end(a, 2);
    world_stop(&w);
}

/* The leader is right but had replied enough for one turn: asked again at once, in order. */
TEST(full_reads_run_again)
{
    struct world w;
    struct ask a[4] = {0};
    world_start(&w);
    submit(&w, &a[0], 0, "get b");
    submit(&w, &a[1], 0, "get f");
    submit(&w, &a[2], 1, "get c");
    submit(&w, &a[3], 1, "get g");
    turn(&w);
    answer_here(&w, 1, SHARD_DONE, "$-1\r\n");
    answer_here(&w, 1, SHARD_FULL, NULL);
    struct answer answers[] = {
        {.ticket = 1, .item = 0, .verdict = FORWARD_FULL},
        {.ticket = 1, .item = 1, .verdict = FORWARD_DONE, .reply = "$3\r\nold\r\n"},
    };
    receive(&w, 2, answers, 2);
    turn(&w); /* in this turn it would be too much again */
    fake_env_forget(&w.env);
    advance(&w, 0);
    CHECK_EVENTS(&w, "here g1 get f\nto 2: t2 g2 get c, get g\n");
    done(&w, 2, 2, 0, "$-1\r\n");
    done(&w, 2, 2, 1, "$-1\r\n");
    answer_here(&w, 1, SHARD_DONE, "$-1\r\n");
    ask_end(a, 4);
    world_stop(&w);
}

/* Of writes an answer is an answer, whatever became of those before it. */
TEST(writes_left_over_go_again_in_order)
{
    struct world w;
    struct ask a[3] = {0};
    world_start(&w);
    submit(&w, &a[0], 0, "set c 1");
    submit(&w, &a[1], 0, "set c 2");
    submit(&w, &a[2], 0, "set c 3");
    turn(&w);
    struct answer answers[] = {
        {.ticket = 1, .item = 0, .verdict = FORWARD_DONE, .reply = "+OK\r\n"},
        {.ticket = 1, .item = 1, .verdict = FORWARD_LOST, .leader = 3},
        {.ticket = 1, .item = 2, .verdict = FORWARD_REFUSED, .leader = 3},
    };
    receive(&w, 2, answers, 3);
    turn(&w);
    CHECK_EVENTS(&w,
                 "to 2: t1 g2 set c 1 #1/0, set c 2 #2/0, set c 3 #3/0\n"
                 "done set c 1: +OK\n"
                 "to 3: t2 g2 set c 2 #2/1, set c 3 #3/1\n");
    advance(&w, TIMEOUT_MS);
    CHECK_EVENTS(&w,
                 "done set c 2: " UNKNOWN_2 "\n"
                 "done set c 3: " UNKNOWN_2 "\n");
    ask_end(a, 3);
    world_stop(&w);
}

/* ---- silence --------------------------------------------------------------------------------- */

TEST(no_answer_is_sent_again)
{
    struct world w;
    struct ask a[2] = {0};
    world_start(&w);
    submit(&w, &a[0], 0, "set c 1");
    submit(&w, &a[1], 0, "set g 2");
    turn(&w);
    advance(&w, 999);
    CHECK_EVENTS(&w, "to 2: t1 g2 set c 1 #1/0, set g 2 #2/0\n");
    advance(&w, 20);
    CHECK_EVENTS(&w, "to 2: t2 g2 set c 1 #1/0, set g 2 #2/0\n");
    done(&w, 2, 1, 0, "+OK\r\n"); /* of the first attempt: ignored */
    CHECK_EVENTS(&w, "");
    advance(&w, 1980);
    CHECK_EVENTS(&w, ""); /* twice as long */
    advance(&w, 20);
    CHECK_EVENTS(&w, "to 2: t3 g2 set c 1 #1/0, set g 2 #2/0\n");
    done(&w, 2, 3, 0, "+OK\r\n");
    done(&w, 2, 3, 0, "+OK\r\n"); /* twice */
    done(&w, 2, 3, 1, "+OK\r\n");
    done(&w, 2, 3, 1, "+OK\r\n");
    CHECK_EVENTS(&w, "done set c 1: +OK\ndone set g 2: +OK\n");
    ask_end(a, 2);
    world_stop(&w);
}

TEST(disconnect_sends_again)
{
    struct world w;
    struct ask a[2] = {0};
    world_start(&w);
    submit(&w, &a[0], 0, "set c 1");
    submit(&w, &a[1], 1, "get d");
    turn(&w);
    CHECK_EVENTS(&w, "to 2: t1 g2 set c 1 #1/0\nto 2: t2 g3 get d\n");
    w.peers.is_connected[2] = false;
    router_disconnected(w.router, 2);
    turn(&w);
    CHECK_EVENTS(&w, "cannot send to 2\nto 3: t4 g3 get d\n");
    done(&w, 3, 4, 0, "$-1\r\n");
    advance(&w, 20);
    CHECK_EVENTS(&w, "done get d: $-1\ncannot send to 2\n");
    w.peers.is_connected[2] = true;
    router_connected(w.router, 2);
    turn(&w);
    CHECK_EVENTS(&w, "to 2: t6 g2 set c 1 #1/0\n");
    done(&w, 2, 6, 0, "+OK\r\n");
    ask_end(a, 2);
    fake_env_forget(&w.env);
    world_stop(&w);
}

TEST(full_window_is_tried_again)
{
    struct world w;
    struct ask a[1] = {0};
    world_start(&w);
    w.peers.is_full[2] = true;
    submit(&w, &a[0], 0, "set c 1");
    turn(&w);
    advance(&w, 20);
    advance(&w, 40);
    CHECK_EVENTS(&w, "cannot send to 2\ncannot send to 2\ncannot send to 2\n");
    w.peers.is_full[2] = false;
    advance(&w, 80);
    CHECK_EVENTS(&w, "to 2: t4 g2 set c 1 #1/0\n");
    done(&w, 2, 4, 0, "+OK\r\n");
    ask_end(a, 1);
    world_stop(&w);
}

/* ---- giving up: DUP-6 ------------------------------------------------------------------------ */

/* A copy that the peer's queue took may be executed. */
TEST(sent_and_silent_is_unknown)
{
    struct world w;
    struct ask a[2] = {0};
    world_start(&w);
    submit(&w, &a[0], 0, "set c 1");
    submit(&w, &a[1], 1, "get c");
    turn(&w);
    fake_env_forget(&w.env);
    fake_env_advance(&w.env, TIMEOUT_MS); /* in one step: nothing was resent meanwhile */
    CHECK_EVENTS(&w, "done set c 1: " UNKNOWN_2 "\ndone get c: " DOWN_2 "\n");
    done(&w, 2, 1, 0, "+OK\r\n"); /* too late */
    CHECK_EVENTS(&w, "");
    ask_end(a, 2);
    world_stop(&w);
}

/* The refusal of a later copy says nothing about an earlier one. */
TEST(one_silent_copy_is_enough_for_unknown)
{
    struct world w;
    struct ask a[1] = {0};
    world_start(&w);
    submit(&w, &a[0], 0, "set c 1");
    turn(&w);
    router_disconnected(w.router, 2);
    turn(&w);
    refused(&w, 2, 2, 0, 0);
    CHECK_EVENTS(&w, "to 2: t1 g2 set c 1 #1/0\nto 2: t2 g2 set c 1 #1/0\n");
    fake_env_advance(&w.env, TIMEOUT_MS);
    CHECK_EVENTS(&w, "done set c 1: " UNKNOWN_2 "\n");
    ask_end(a, 1);
    world_stop(&w);
}

TEST(lost_is_unknown)
{
    struct world w;
    struct ask a[1] = {0};
    world_start(&w);
    submit(&w, &a[0], 0, "set b 1");
    turn(&w);
    answer_here(&w, 1, SHARD_LOST, NULL);
    w.replicas[1].leader = 0;
    router_leader_changed(w.router, 1);
    turn(&w);
    fake_env_forget(&w.env);
    fake_env_advance(&w.env, TIMEOUT_MS);
    CHECK_EVENTS(&w,
                 "done set b 1: -UNKNOWNRESULT the command may or may not have been executed (no "
                 "answer from group 1 in time)\n");
    ask_end(a, 1);
    world_stop(&w);
}

TEST(refused_each_time_is_down)
{
    struct world w;
    struct ask a[1] = {0};
    world_start(&w);
    submit(&w, &a[0], 0, "set c 1");
    turn(&w);
    refused(&w, 2, 1, 0, 0);
    advance(&w, 20);
    refused(&w, 2, 2, 0, 0);
    CHECK_EVENTS(&w, "to 2: t1 g2 set c 1 #1/0\nto 2: t2 g2 set c 1 #1/0\n");
    fake_env_advance(&w.env, TIMEOUT_MS);
    CHECK_EVENTS(&w, "done set c 1: " DOWN_2 "\n");
    ask_end(a, 1);
    world_stop(&w);
}

TEST(never_sent_is_down)
{
    struct world w;
    struct ask a[3] = {0};
    world_start(&w);
    w.peers.is_connected[2] = false;
    submit(&w, &a[0], 0, "set c 1");
    submit(&w, &a[1], 0, "get c"); /* waits in the stream */
    submit(&w, &a[2], 0, "get b");
    turn(&w);
    CHECK_EVENTS(&w, "cannot send to 2\n");
    fake_env_advance(&w.env, TIMEOUT_MS - 1);
    CHECK_EVENTS(&w, "");
    fake_env_advance(&w.env, ROUTER_TICK_MS);
    CHECK_EVENTS(&w, "done set c 1: " DOWN_2 "\n");
    w.replicas[2].leader = 0;
    router_leader_changed(w.router, 2);
    turn(&w); /* the next run waited long enough behind the first, as there is still no leader */
    fake_env_advance(&w.env, ROUTER_TICK_MS);
    CHECK_EVENTS(&w, "done get c: " DOWN_2 "\n");
    turn(&w);
    CHECK_EVENTS(&w, "here g1 get b\n");
    fake_env_advance(&w.env, TIMEOUT_MS);
    CHECK_EVENTS(&w,
                 "done get b: -CLUSTERDOWN group 1 has no leader; the command was not executed\n");
    answer_here(&w, 1, SHARD_DONE, "$-1\r\n");
    CHECK_EVENTS(&w, "");
    ask_end(a, 3);
    world_stop(&w);
}

/* The stream and the mark go on; the shard here may come back to what was given up. */
TEST(given_up_here_and_answered_late)
{
    struct world w;
    struct ask a[3] = {0};
    world_start(&w);
    submit(&w, &a[0], 0, "set b 1");
    turn(&w);
    fake_env_advance(&w.env, 1000);
    submit(&w, &a[1], 0, "set b 2");
    turn(&w);
    fake_env_forget(&w.env);
    fake_env_advance(&w.env, TIMEOUT_MS - 1000);
    turn(&w);
    CHECK_EVENTS(&w,
                 "done set b 1: -UNKNOWNRESULT the command may or may not have been executed (no "
                 "answer from group 1 in time)\n"
                 "here g1 set b 2 #2/1\n");
    CHECK(router_memory(w.router) > 0);
    answer_here(&w, 1, SHARD_DONE, "+OK\r\n");
    CHECK_EVENTS(&w, "");
    answer_here(&w, 1, SHARD_DONE, "+OK\r\n");
    CHECK_EVENTS(&w, "done set b 2: +OK\n");
    submit(&w, &a[2], 0, "set b 3");
    turn(&w);
    CHECK_EVENTS(&w, "here g1 set b 3 #3/2\n");
    answer_here(&w, 1, SHARD_DONE, "+OK\r\n");
    ask_end(a, 3);
    fake_env_forget(&w.env);
    world_stop(&w);
}

/* A read that is given up holds back no answer of those behind it. */
TEST(given_up_read_lets_the_next_one_pass)
{
    struct world w;
    struct ask a[2] = {0};
    world_start(&w);
    w.replicas[2].leader = 0;
    submit(&w, &a[0], 0, "get c");
    fake_env_advance(&w.env, 1000);
    submit(&w, &a[1], 0, "get g");
    turn(&w);
    w.replicas[2].leader = 2;
    router_leader_changed(w.router, 2);
    turn(&w);
    done(&w, 2, 1, 1, "$-1\r\n");
    fake_env_forget(&w.env);
    fake_env_advance(&w.env, TIMEOUT_MS - 1000);
    CHECK_EVENTS(&w, "done get g: $-1\ndone get c: " DOWN_2 "\n");
    ask_end(a, 2);
    world_stop(&w);
}

TEST(unknown_from_the_group_is_passed_on)
{
    struct world w;
    struct ask a[1] = {0};
    world_start(&w);
    submit(&w, &a[0], 0, "set c 1");
    turn(&w);
    fake_env_forget(&w.env);
    done(&w, 2, 1, 0, "-UNKNOWNRESULT too late\r\n");
    CHECK_EVENTS(&w, "done set c 1: -UNKNOWNRESULT too late\n");
    ask_end(a, 1);
    world_stop(&w);
}

/* ---- answers that are not for us ------------------------------------------------------------- */

TEST(answers_of_strangers)
{
    struct world w;
    struct ask a[1] = {0};
    world_start(&w);
    submit(&w, &a[0], 0, "set c 1");
    turn(&w);
    fake_env_forget(&w.env);
    done(&w, 3, 1, 0, "+NO\r\n");        /* it was not asked */
    done(&w, 2, 1 + 4096, 0, "+NO\r\n"); /* another ticket */
    done(&w, 2, 1, 1, "+NO\r\n");        /* another item */
    refused(&w, 2, 77, 0, 200);          /* a node that is none */
    struct buf old;
    buf_init(&old, 100);
    forward_replies_start(&old, INCARNATION - 1); /* for the process before us */
    struct forward_reply reply = {
        .ticket = 1,
        .verdict = FORWARD_DONE,
        .reply = bytes_of_text("+NO\r\n"),
    };
    forward_reply_append(&old, &reply);
    CHECK_EQ(router_received(w.router, 2, buf_bytes(&old)), STATUS_OK);
    buf_deinit(&old);
    CHECK_EQ(router_received(w.router, 2, bytes_of("", 0)), STATUS_MALFORMED);
    CHECK_EQ(router_received(w.router, 2, bytes_of("\x05zzzzzzzzzzz", 12)), STATUS_MALFORMED);
    CHECK_EVENTS(&w, "");
    done(&w, 2, 1, 0, "+OK\r\n");
    CHECK_EVENTS(&w, "done set c 1: +OK\n");
    ask_end(a, 1);
    world_stop(&w);
}

/* A run is cut where it would be more than an entry or two; the rest waits its turn. */
TEST(large_runs_are_cut)
{
    struct world w;
    struct ask a[3] = {0};
    world_start(&w);
    char *value = mem_alloc(600 * KIB);
    memset(value, 'v', 600 * KIB);
    for (size_t i = 0; i < 3; i++) {
        struct bytes args[] = {bytes_of_text("set"),
                               bytes_of_text("c"),
                               bytes_of(value, 600 * KIB)};
        a[i] = (struct ask){.world = &w, .name = "set c large"};
        buf_init(&a[i].reply, SIZE_MAX / 2);
        a[i].request = (struct router_request){
            .command = command_find(args, 3),
            .args = args,
            .arg_count = 3,
            .resp = 2,
            .stream = &w.streams[0],
            .reply = &a[i].reply,
            .done = on_done,
        };
        router_submit(w.router, &a[i].request);
    }
    mem_free(value);
    CHECK(router_memory(w.router) > 3 * 600 * KIB);
    for (uint64_t i = 0; i < 3; i++) {
        turn(&w);
        CHECK_EQ(w.streams[0].outstanding, 1u);
        done(&w, 2, i + 1, 0, "+OK\r\n");
    }
    CHECK_EVENTS(&w,
                 "to 2: t1 g2 set c (614400 bytes) #1/0\ndone set c large: +OK\n"
                 "to 2: t2 g2 set c (614400 bytes) #2/1\ndone set c large: +OK\n"
                 "to 2: t3 g2 set c (614400 bytes) #3/2\ndone set c large: +OK\n");
    ask_end(a, 3);
    world_stop(&w);
}

/* Destroyed with requests in every state: nothing is answered, nothing leaks. */
TEST(destroyed_busy)
{
    struct world w;
    struct ask a[5] = {0};
    world_start(&w);
    submit(&w, &a[0], 0, "set b 1");
    submit(&w, &a[1], 1, "set c 1");
    submit(&w, &a[2], 2, "mget b c d");
    turn(&w);
    w.peers.is_connected[3] = w.peers.is_connected[2] = false;
    submit(&w, &a[3], 3, "set d 1");
    turn(&w);
    submit(&w, &a[4], 3, "get d");
    CHECK(router_memory(w.router) > 0);
    router_destroy(w.router);
    for (size_t i = 0; i < 5; i++) {
        buf_deinit(&a[i].reply);
    }
    fake_env_deinit(&w.env);
}

/* Replica ids hold lives: the leader is a node all the same (MOVE-1). */
TEST(leader_with_a_later_life)
{
    struct world w;
    struct ask a[1] = {0};
    world_start(&w);
    w.replicas[2].leader = replica_id_of(3, 5);
    submit(&w, &a[0], 0, "set c 1");
    turn(&w);
    CHECK_EVENTS(&w, "to 3: t1 g2 set c 1 #1/0\n");
    CHECK_EQ(router_leader_of(w.router, 2), 3u);
    done(&w, 3, 1, 0, "+OK\r\n");
    ask_end(a, 1);
    fake_env_forget(&w.env);
    world_stop(&w);
}

/*
 * Refused by the one that leads (as too much waits there for locked keys): that is no news about
 * the group, so it holds up nothing but itself, and tries again soon.
 */
TEST(turned_away_by_the_leader)
{
    struct world w;
    struct ask a[2] = {0};
    world_start(&w);
    submit(&w, &a[0], 0, "set b 1");
    w.shards[1].refuse_from = 1;
    turn(&w);
    CHECK_EVENTS(&w, "here g1 set b 1 #1/0 refused\n");
    w.shards[1].mode = FAKE_HOLD;
    submit(&w, &a[1], 1, "set f 1");
    turn(&w);
    turn(&w);
    CHECK_EVENTS(&w, "here g1 set f 1 #2/0\n");
    advance(&w, 20);
    CHECK_EVENTS(&w, "here g1 set b 1 #1/0\n");
    answer_here(&w, 1, SHARD_DONE, "+OK\r\n");
    answer_here(&w, 1, SHARD_DONE, "+OK\r\n");
    fake_env_forget(&w.env);
    ask_end(a, 2);
    world_stop(&w);
}
