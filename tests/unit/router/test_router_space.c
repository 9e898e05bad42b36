/* Disks that are full: which writes are told so, and which are asked on. */
#include "router_world.h"

#define UNKNOWN_2                                                                                  \
    "-UNKNOWNRESULT the command may or may not have been executed (no answer from group 2 in "     \
    "time)"
#define NO_SPACE                                                                                   \
    "-MISCONF the disks of this group's replicas are nearly full: writes are refused until there " \
    "is space again"

/* DUP-6: no copy is in a log, and none will be: that is an answer. Reads go on. */
TEST(no_space_elsewhere)
{
    struct world w;
    struct ask a[4] = {0};
    world_start(&w);
    submit(&w, &a[0], 0, "set c 1");
    submit(&w, &a[1], 0, "set g 2");
    submit(&w, &a[2], 1, "get c");
    turn(&w);
    CHECK_EVENTS(&w, "to 2: t1 g2 set c 1 #1/0, set g 2 #2/0\nto 2: t2 g2 get c\n");
    struct answer answers[] = {
        {.ticket = 1, .item = 0, .verdict = FORWARD_NO_SPACE, .leader = 2},
        {.ticket = 1, .item = 1, .verdict = FORWARD_NO_SPACE, .leader = 2},
        {.ticket = 2, .item = 0, .verdict = FORWARD_DONE, .reply = "$-1\r\n"},
    };
    receive(&w, 2, answers, 3);
    CHECK_EVENTS(&w,
                 "done set c 1: " NO_SPACE "\n"
                 "done set g 2: " NO_SPACE "\n"
                 "done get c: $-1\n");
    submit(&w, &a[3], 0, "set c 3");
    turn(&w);
    CHECK_EVENTS(&w, "to 2: t3 g2 set c 3 #3/2\n"); /* at once, and the mark has passed them */
    done(&w, 2, 3, 0, "+OK\r\n");
    ask_end(a, 4);
    fake_env_forget(&w.env);
    world_stop(&w);
}

TEST(no_space_here)
{
    struct world w;
    struct ask a[3] = {0};
    world_start(&w);
    w.shards[1].no_space_at = 2;
    submit(&w, &a[0], 0, "set b 1");
    submit(&w, &a[1], 0, "set b 2");
    submit(&w, &a[2], 0, "set b 3");
    turn(&w);
    CHECK_EVENTS(&w,
                 "here g1 set b 1 #1/0\n"
                 "here g1 set b 2 #2/0 no space\n"
                 "done set b 2: " NO_SPACE "\n"
                 "done set b 3: " NO_SPACE "\n"); /* it was not even asked for */
    answer_here(&w, 1, SHARD_DONE, "+OK\r\n");
    CHECK_EVENTS(&w, "done set b 1: +OK\n");
    ask_end(a, 3);
    world_stop(&w);
}

/* An earlier attempt may have proposed the first: it is asked on, until its time is up. */
TEST(no_space_after_a_lost_attempt)
{
    struct world w;
    struct ask a[2] = {0};
    world_start(&w);
    submit(&w, &a[0], 0, "set c 1");
    submit(&w, &a[1], 0, "set c 2");
    turn(&w);
    struct answer first[] = {
        {.ticket = 1, .item = 0, .verdict = FORWARD_LOST, .leader = 2},
        {.ticket = 1, .item = 1, .verdict = FORWARD_REFUSED, .leader = 2},
    };
    receive(&w, 2, first, 2);
    advance(&w, 20);
    CHECK_EVENTS(&w,
                 "to 2: t1 g2 set c 1 #1/0, set c 2 #2/0\n"
                 "to 2: t2 g2 set c 1 #1/0, set c 2 #2/0\n");
    struct answer second[] = {
        {.ticket = 2, .item = 0, .verdict = FORWARD_NO_SPACE, .leader = 2},
        {.ticket = 2, .item = 1, .verdict = FORWARD_NO_SPACE, .leader = 2},
    };
    receive(&w, 2, second, 2);
    CHECK_EVENTS(&w, "done set c 2: " NO_SPACE "\n"); /* of this one each copy was refused */
    advance(&w, 100);
    CHECK_EVENTS(&w, "to 2: t3 g2 set c 1 #1/0\n");
    advance(&w, TIMEOUT_MS);
    CHECK(a[0].is_done);
    CHECK_BYTES(buf_bytes(&a[0].reply), bytes_of_text(UNKNOWN_2 "\r\n"));
    ask_end(a, 2);
    fake_env_forget(&w.env);
    world_stop(&w);
}

/* The same here: what is possible goes on being asked, what stands behind it is answered. */
TEST(no_space_here_after_a_lost_attempt)
{
    struct world w;
    struct ask a[2] = {0};
    world_start(&w);
    submit(&w, &a[0], 0, "set b 1");
    submit(&w, &a[1], 0, "set b 2");
    turn(&w);
    CHECK_EVENTS(&w, "here g1 set b 1 #1/0\nhere g1 set b 2 #2/0\n");
    answer_here(&w, 1, SHARD_LOST, NULL);
    answer_here(&w, 1, SHARD_REFUSED, NULL);
    w.shards[1].mode = FAKE_NO_SPACE;
    advance(&w, 20);
    CHECK_EVENTS(&w, "here g1 set b 1 #1/0 no space\ndone set b 2: " NO_SPACE "\n");
    w.shards[1].mode = FAKE_HOLD;
    advance(&w, 100);
    CHECK_EVENTS(&w, "here g1 set b 1 #1/0\n");
    answer_here(&w, 1, SHARD_DONE, "+OK\r\n");
    CHECK_EVENTS(&w, "done set b 1: +OK\n");
    ask_end(a, 2);
    world_stop(&w);
}
