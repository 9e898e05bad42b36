/* Order of one connection, runs, the window of sequences, giving up. */
#include "router_world.h"

TEST(groups_of_keys)
{
    struct world w;
    world_start(&w);
    CHECK_EQ(router_group_of_slot(w.router, 0), 1u);
    CHECK_EQ(router_group_of_slot(w.router, 4095), 1u);
    CHECK_EQ(router_group_of_slot(w.router, 4096), 2u);
    CHECK_EQ(router_group_of_slot(w.router, 16383), 4u);
    world_stop(&w);
}

TEST(run_here)
{
    struct world w;
    struct ask a[3] = {0};
    world_start(&w);
    submit(&w, &a[0], 0, "set b 1");
    submit(&w, &a[1], 0, "incr f");
    submit(&w, &a[2], 1, "get b");
    CHECK_EVENTS(&w, "");
    turn(&w);
    CHECK_EVENTS(&w,
                 "here g1 set b 1 #1/0\n"
                 "here g1 incr f #2/0\n"
                 "here g1 get b\n");
    answer_here(&w, 1, SHARD_DONE, "+OK\r\n");
    answer_here(&w, 1, SHARD_DONE, ":1\r\n");
    answer_here(&w, 1, SHARD_DONE, "$1\r\n1\r\n");
    CHECK_EVENTS(&w, "done set b 1: +OK\ndone incr f: :1\ndone get b: $1 1\n");
    ask_end(a, 3);
    world_stop(&w);
}

/* A command of the metadata group has a place in the order like any other. */
TEST(group_by_name)
{
    struct world w;
    struct ask a[2] = {0};
    world_start(&w);
    submit(&w, &a[0], 0, "set b 1");
    struct bytes args[] = {bytes_of_text("set"), bytes_of_text("c"), bytes_of_text("2")};
    a[1] = (struct ask){.world = &w, .name = "by name"};
    buf_init(&a[1].reply, 1000);
    a[1].request = (struct router_request){
        .command = command_find(args, 3),
        .args = args,
        .arg_count = 3,
        .resp = 2,
        .stream = &w.streams[0],
        .reply = &a[1].reply,
        .done = on_done,
    };
    router_submit_to_group(w.router, 0, &a[1].request);
    turn(&w);
    CHECK_EVENTS(&w, "here g1 set b 1 #1/0\n");
    answer_here(&w, 1, SHARD_DONE, "+OK\r\n");
    turn(&w);
    CHECK_EVENTS(&w, "done set b 1: +OK\nhere g0 set c 2 #1/0\n");
    answer_here(&w, 0, SHARD_DONE, "+OK\r\n");
    CHECK_EVENTS(&w, "done by name: +OK\n");
    ask_end(a, 2);
    world_stop(&w);
}

/* ORD-7: another kind, or another group, starts when all before it are answered. */
TEST(next_run_waits_for_all_before)
{
    struct world w;
    struct ask a[6] = {0};
    world_start(&w);
    submit(&w, &a[0], 0, "set b 1");
    submit(&w, &a[1], 0, "set f 2");
    submit(&w, &a[2], 0, "get b");
    submit(&w, &a[3], 0, "get f");
    submit(&w, &a[4], 0, "set c 3");
    submit(&w, &a[5], 0, "set b 4");
    turn(&w);
    CHECK_EVENTS(&w, "here g1 set b 1 #1/0\nhere g1 set f 2 #2/0\n");
    answer_here(&w, 1, SHARD_DONE, "+OK\r\n");
    turn(&w);
    CHECK_EVENTS(&w, "done set b 1: +OK\n");
    answer_here(&w, 1, SHARD_DONE, "+OK\r\n");
    CHECK_EVENTS(&w, "done set f 2: +OK\n");
    turn(&w);
    CHECK_EVENTS(&w, "here g1 get b\nhere g1 get f\n");
    answer_here(&w, 1, SHARD_DONE, "$1\r\n1\r\n");
    turn(&w);
    answer_here(&w, 1, SHARD_DONE, "$1\r\n2\r\n");
    turn(&w);
    CHECK_EVENTS(&w, "done get b: $1 1\ndone get f: $1 2\nto 2: t1 g2 set c 3 #1/0\n");
    done(&w, 2, 1, 0, "+OK\r\n");
    turn(&w);
    CHECK_EVENTS(&w, "done set c 3: +OK\nhere g1 set b 4 #3/2\n");
    answer_here(&w, 1, SHARD_DONE, "+OK\r\n");
    ask_end(a, 6);
    world_stop(&w);
}

/* Groups that share this node's log and nobody else's: their writes may overlap, reads may not. */
TEST(cluster_of_one_overlaps_writes)
{
    struct world w;
    struct ask a[5] = {0};
    world_start(&w);
    for (uint32_t g = 1; g <= 2; g++) {
        w.groups[g].node_count = 1;
        w.groups[g].nodes[0] = 1;
        w.replicas[g].leader = 1;
    }
    submit(&w, &a[0], 0, "set b 1");
    submit(&w, &a[1], 0, "set c 2");
    submit(&w, &a[2], 0, "set f 3");
    submit(&w, &a[3], 0, "get c");
    submit(&w, &a[4], 0, "get b");
    turn(&w);
    CHECK_EVENTS(&w, "here g1 set b 1 #1/0\nhere g1 set f 3 #2/0\nhere g2 set c 2 #1/0\n");
    answer_here(&w, 2, SHARD_DONE, "+OK\r\n");
    answer_here(&w, 1, SHARD_DONE, "+OK\r\n");
    turn(&w);
    CHECK_EVENTS(&w, "done set c 2: +OK\ndone set b 1: +OK\n");
    answer_here(&w, 1, SHARD_DONE, "+OK\r\n");
    turn(&w);
    CHECK_EVENTS(&w, "done set f 3: +OK\nhere g2 get c\n");
    answer_here(&w, 2, SHARD_DONE, "$1\r\n2\r\n");
    turn(&w);
    CHECK_EVENTS(&w, "done get c: $1 2\nhere g1 get b\n");
    answer_here(&w, 1, SHARD_DONE, "$1\r\n1\r\n");
    ask_end(a, 5);
    world_stop(&w);
}

TEST(answered_at_once)
{
    struct world w;
    struct ask a[3] = {0};
    world_start(&w);
    w.shards[1].mode = FAKE_ANSWER;
    submit(&w, &a[0], 0, "set b 1");
    submit(&w, &a[1], 0, "get b");
    submit(&w, &a[2], 0, "get f");
    turn(&w);
    CHECK_EVENTS(&w,
                 "here g1 set b 1 #1/0\nhere g1 get b\nhere g1 get f\n"
                 "done set b 1: +OK\ndone get b: +OK\ndone get f: +OK\n");
    ask_end(a, 3);
    world_stop(&w);
}

static struct ask follow_up;

static void submit_another(struct ask *a)
{
    submit(a->world, &follow_up, 0, "get f");
}

TEST(submits_inside_done)
{
    struct world w;
    struct ask a[2] = {{.then = submit_another}};
    world_start(&w);
    submit(&w, &a[0], 0, "set b 1");
    submit(&w, &a[1], 0, "set b 2");
    turn(&w);
    answer_here(&w, 1, SHARD_DONE, "+OK\r\n");
    turn(&w);
    answer_here(&w, 1, SHARD_DONE, "+OK\r\n");
    turn(&w);
    answer_here(&w, 1, SHARD_DONE, "$-1\r\n");
    CHECK_EVENTS(&w,
                 "here g1 set b 1 #1/0\nhere g1 set b 2 #2/0\n"
                 "done set b 1: +OK\ndone set b 2: +OK\nhere g1 get f\ndone get f: $-1\n");
    ask_end(a, 2);
    ask_end(&follow_up, 1);
    world_stop(&w);
}

/* A done() that submits while the router is in the middle of its flush. */
TEST(submits_inside_done_of_a_flush)
{
    struct world w;
    struct ask a[1] = {{.then = submit_another}};
    world_start(&w);
    w.shards[1].mode = FAKE_ANSWER;
    submit(&w, &a[0], 0, "set b 1");
    turn(&w);
    CHECK_EVENTS(&w, "here g1 set b 1 #1/0\ndone set b 1: +OK\n");
    advance(&w, 0); /* the router asked for this turn itself */
    CHECK_EVENTS(&w, "here g1 get f\ndone get f: +OK\n");
    ask_end(a, 1);
    ask_end(&follow_up, 1);
    world_stop(&w);
}

/* What becomes ready behind router_flush gets a turn of its own. */
TEST(asks_for_a_turn)
{
    struct world w;
    struct ask a[2] = {0};
    world_start(&w);
    submit(&w, &a[0], 0, "set b 1");
    submit(&w, &a[1], 0, "get b");
    router_flush(w.router);
    answer_here(&w, 1, SHARD_DONE, "+OK\r\n"); /* in the shard's flush */
    router_flush_replies(w.router);
    CHECK_EVENTS(&w, "here g1 set b 1 #1/0\ndone set b 1: +OK\n");
    CHECK_EQ(timers_next_due_us(&w.env.timers), w.env.now_us);
    advance(&w, 0);
    CHECK_EVENTS(&w, "here g1 get b\n");
    answer_here(&w, 1, SHARD_DONE, "$-1\r\n");
    ask_end(a, 2);
    world_stop(&w);
}

/* DUP-3: nothing open is below the mark, and what is answered does not hold it. */
TEST(mark_follows_the_oldest_open_write)
{
    struct world w;
    struct ask a[6] = {0};
    world_start(&w);
    submit(&w, &a[0], 0, "set c 1");
    submit(&w, &a[1], 1, "set c 2");
    submit(&w, &a[2], 2, "set c 3");
    turn(&w);
    CHECK_EVENTS(&w,
                 "to 2: t1 g2 set c 1 #1/0\nto 2: t2 g2 set c 2 #2/0\nto 2: t3 g2 set c 3 #3/0\n");
    done(&w, 2, 2, 0, "+OK\r\n");
    submit(&w, &a[3], 3, "set c 4");
    turn(&w);
    CHECK_EVENTS(&w, "done set c 2: +OK\nto 2: t4 g2 set c 4 #4/0\n");
    done(&w, 2, 1, 0, "+OK\r\n");
    submit(&w, &a[4], 4, "set c 5");
    turn(&w);
    CHECK_EVENTS(&w, "done set c 1: +OK\nto 2: t5 g2 set c 5 #5/2\n");
    done(&w, 2, 3, 0, "+OK\r\n");
    /* A copy that is sent again carries the mark of its own time. */
    router_disconnected(w.router, 2);
    turn(&w);
    CHECK_EVENTS(&w, "done set c 3: +OK\nto 2: t6 g2 set c 4 #4/3\nto 2: t7 g2 set c 5 #5/3\n");
    done(&w, 2, 6, 0, "+OK\r\n");
    done(&w, 2, 7, 0, "+OK\r\n");
    fake_env_forget(&w.env);
    submit(&w, &a[5], 0, "set c 6");
    turn(&w);
    CHECK_EVENTS(&w, "to 2: t8 g2 set c 6 #6/5\n");
    done(&w, 2, 8, 0, "+OK\r\n");
    ask_end(a, 6);
    world_stop(&w);
}

/* Groups count for themselves. */
TEST(sequences_are_dense_in_each_group)
{
    struct world w;
    struct ask a[3] = {0};
    world_start(&w);
    submit(&w, &a[0], 0, "set b 1");
    submit(&w, &a[1], 1, "set c 2");
    submit(&w, &a[2], 2, "set f 3");
    turn(&w);
    CHECK_EVENTS(&w, "here g1 set b 1 #1/0\nhere g1 set f 3 #2/0\nto 2: t1 g2 set c 2 #1/0\n");
    answer_here(&w, 1, SHARD_DONE, "+OK\r\n");
    answer_here(&w, 1, SHARD_DONE, "+OK\r\n");
    done(&w, 2, 1, 0, "+OK\r\n");
    ask_end(a, 3);
    world_stop(&w);
}

/* Put back at once, they are not tried again before the turn is over. */
TEST(full_at_once_waits_for_the_next_turn)
{
    struct world w;
    struct ask a[3] = {0};
    world_start(&w);
    w.shards[1].mode = FAKE_FULL;
    submit(&w, &a[0], 0, "get b");
    submit(&w, &a[1], 0, "get f");
    submit(&w, &a[2], 0, "set b 1");
    router_flush(w.router);
    CHECK_EVENTS(&w, "here g1 get b\n");
    router_flush_replies(w.router);
    CHECK_EQ(timers_next_due_us(&w.env.timers), w.env.now_us);
    w.shards[1].mode = FAKE_ANSWER;
    advance(&w, 0);
    CHECK_EVENTS(&w,
                 "here g1 get b\nhere g1 get f\nhere g1 set b 1 #1/0\n"
                 "done get b: +OK\ndone get f: +OK\ndone set b 1: +OK\n");
    ask_end(a, 3);
    world_stop(&w);
}

/* A client that takes no replies gets no more of them, but its writes go on, in order. */
TEST(pause_keeps_reads)
{
    struct world w;
    struct ask a[5] = {0};
    world_start(&w);
    submit(&w, &a[0], 0, "get b");
    submit(&w, &a[1], 0, "get f");
    submit(&w, &a[2], 0, "set b 1");
    submit(&w, &a[3], 0, "get c");
    turn(&w);
    router_stream_pause(w.router, &w.streams[0], true);
    answer_here(&w, 1, SHARD_DONE, "$-1\r\n");
    answer_here(&w, 1, SHARD_FULL, NULL);
    fake_env_forget(&w.env);
    turn(&w);
    advance(&w, TIMEOUT_MS); /* their time does not run */
    advance(&w, TIMEOUT_MS);
    CHECK_EVENTS(&w, "");
    router_stream_pause(w.router, &w.streams[0], false);
    turn(&w);
    CHECK_EVENTS(&w, "here g1 get f\n");
    answer_here(&w, 1, SHARD_DONE, "$-1\r\n");
    router_stream_pause(w.router, &w.streams[0], true);
    turn(&w);
    CHECK_EVENTS(&w, "done get f: $-1\nhere g1 set b 1 #1/0\n");
    answer_here(&w, 1, SHARD_DONE, "+OK\r\n");
    submit(&w, &a[4], 1, "get b"); /* another connection */
    turn(&w);
    CHECK_EVENTS(&w, "done set b 1: +OK\nhere g1 get b\n");
    answer_here(&w, 1, SHARD_DONE, "$1\r\n1\r\n");
    router_stream_pause(w.router, &w.streams[0], false);
    turn(&w);
    CHECK_EVENTS(&w, "done get b: $1 1\nto 2: t1 g2 get c\n");
    done(&w, 2, 1, 0, "$-1\r\n");
    ask_end(a, 5);
    world_stop(&w);
}

#define FILLERS (DUP_WINDOW - 2u)

/* A sequence that reaches mark + DUP_WINDOW would never execute: it is held back. */
TEST(window_holds_back)
{
    struct world w;
    struct ask a[3] = {0};
    struct ask *fillers = mem_alloc_zero(FILLERS * sizeof fillers[0]);
    world_start(&w);
    submit(&w, &a[0], 0, "set c first");
    for (size_t i = 0; i < FILLERS; i++) {
        submit(&w, &fillers[i], 1 + (unsigned)(i % 6), "incr c");
    }
    turn(&w); /* ticket 1 is the first, 2 to 7 are those of the six streams */
    submit(&w, &a[1], 7, "set c held");
    fake_env_forget(&w.env);
    turn(&w);
    CHECK_EVENTS(&w, "");
    done(&w, 2, 2, 0, ":1\r\n"); /* not the oldest: the mark stays */
    turn(&w);
    CHECK_EVENTS(&w, "done incr c: :1\n");
    done(&w, 2, 1, 0, "+OK\r\n");
    turn(&w);
    CHECK_EVENTS(&w, "done set c first: +OK\nto 2: t8 g2 set c held #65536/2\n");
    submit(&w, &a[2], 0, "set c next");
    turn(&w);
    CHECK_EVENTS(&w, "to 2: t9 g2 set c next #65537/2\n");
    done(&w, 2, 8, 0, "+OK\r\n");
    done(&w, 2, 9, 0, "+OK\r\n");
    advance(&w, TIMEOUT_MS);
    fake_env_forget(&w.env);
    ask_end(a, 3);
    ask_end(fillers, FILLERS);
    mem_free(fillers);
    world_stop(&w);
}

/* What fills the window is given up in time, so nothing is held back for ever. */
TEST(window_empties_in_time)
{
    struct world w;
    struct ask a[1] = {0};
    struct ask *fillers = mem_alloc_zero((FILLERS + 1) * sizeof fillers[0]);
    world_start(&w);
    for (size_t i = 0; i < FILLERS + 1; i++) {
        submit(&w, &fillers[i], 1 + (unsigned)(i % 6), "incr c");
    }
    turn(&w);
    submit(&w, &a[0], 7, "set c held");
    fake_env_forget(&w.env);
    turn(&w);
    CHECK_EVENTS(&w, "");
    fake_env_advance(&w.env, TIMEOUT_MS);
    fake_env_forget(&w.env);
    turn(&w);
    CHECK_EVENTS(&w, "to 2: t7 g2 set c held #65536/65535\n");
    done(&w, 2, 7, 0, "+OK\r\n");
    ask_end(a, 1);
    ask_end(fillers, FILLERS + 1);
    mem_free(fillers);
    world_stop(&w);
}
