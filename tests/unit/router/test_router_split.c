/* Commands over several groups. */
#include "router_world.h"

TEST(mget_in_one_group_is_whole)
{
    struct world w;
    struct ask a[1] = {0};
    world_start(&w);
    submit(&w, &a[0], 0, "mget b f b");
    turn(&w);
    CHECK_EVENTS(&w, "here g1 mget b f b\n");
    answer_here(&w, 1, SHARD_DONE, "*3\r\n:1\r\n:2\r\n:1\r\n");
    CHECK_EVENTS(&w, "done mget b f b: *3 :1 :2 :1\n");
    ask_end(a, 1);
    world_stop(&w);
}

TEST(mget_is_cut_and_merged_in_key_order)
{
    struct world w;
    struct ask a[3] = {0};
    world_start(&w);
    submit(&w, &a[0], 0, "mget d b c h f b");
    submit(&w, &a[1], 0, "get b"); /* waits for all parts */
    turn(&w);
    CHECK_EVENTS(&w, "here g1 mget b f b\nto 2: t1 g3 mget d h\nto 2: t2 g2 mget c\n");
    done(&w, 2, 2, 0, "*1\r\n$1\r\nc\r\n");
    answer_here(&w, 1, SHARD_DONE, "*3\r\n$1\r\nb\r\n*2\r\n:1\r\n:2\r\n$-1\r\n");
    turn(&w);
    CHECK_EVENTS(&w, "");
    done(&w, 2, 1, 0, "*2\r\n$1\r\nd\r\n$4\r\n\r\nh\n\r\n");
    CHECK_BYTES(buf_bytes(&a[0].reply),
                bytes_of_text("*6\r\n$1\r\nd\r\n$1\r\nb\r\n$1\r\nc\r\n$4\r\n\r\nh\n\r\n*2\r\n:1\r\n"
                              ":2\r\n$-1\r\n"));
    fake_env_forget(&w.env);
    turn(&w);
    CHECK_EVENTS(&w, "here g1 get b\n");
    answer_here(&w, 1, SHARD_DONE, "$-1\r\n");
    ask_end(a, 2);
    fake_env_forget(&w.env);
    world_stop(&w);
}

TEST(parts_wait_for_what_is_before_them)
{
    struct world w;
    struct ask a[2] = {0};
    world_start(&w);
    submit(&w, &a[0], 0, "set b 1");
    submit(&w, &a[1], 0, "exists b d");
    turn(&w);
    CHECK_EVENTS(&w, "here g1 set b 1 #1/0\n");
    answer_here(&w, 1, SHARD_DONE, "+OK\r\n");
    w.shards[1].mode = FAKE_ANSWER;
    turn(&w);
    CHECK_EVENTS(&w, "done set b 1: +OK\nhere g1 exists b\nto 2: t1 g3 exists d\n");
    done(&w, 2, 1, 0, ":1\r\n");
    /* "+OK" is no number: what cannot be added up is an error. */
    CHECK_EVENTS(&w, "done exists b d: -ERR the groups of these keys answered in different ways\n");
    ask_end(a, 2);
    world_stop(&w);
}

TEST(exists_is_summed)
{
    struct world w;
    struct ask a[1] = {0};
    world_start(&w);
    submit(&w, &a[0], 0, "exists b d c b");
    turn(&w);
    CHECK_EVENTS(&w, "here g1 exists b b\nto 2: t1 g3 exists d\nto 2: t2 g2 exists c\n");
    answer_here(&w, 1, SHARD_DONE, ":2\r\n");
    done(&w, 2, 1, 0, ":1\r\n");
    done(&w, 2, 2, 0, ":0\r\n");
    CHECK_EVENTS(&w, "done exists b d c b: :3\n");
    ask_end(a, 1);
    world_stop(&w);
}

/* A part is refused and runs again by itself. */
TEST(a_part_goes_elsewhere)
{
    struct world w;
    struct ask a[1] = {0};
    world_start(&w);
    submit(&w, &a[0], 0, "mget b d");
    turn(&w);
    answer_here(&w, 1, SHARD_DONE, "*1\r\n$1\r\nb\r\n");
    refused(&w, 2, 1, 0, 3);
    turn(&w);
    CHECK_EVENTS(&w, "here g1 mget b\nto 2: t1 g3 mget d\nto 3: t2 g3 mget d\n");
    done(&w, 3, 2, 0, "*1\r\n$1\r\nd\r\n");
    CHECK_EVENTS(&w, "done mget b d: *2 $1 b $1 d\n");
    ask_end(a, 1);
    world_stop(&w);
}

TEST(an_error_of_a_part_is_the_reply)
{
    struct world w;
    struct ask a[1] = {0};
    world_start(&w);
    submit(&w, &a[0], 0, "mget b d");
    turn(&w);
    answer_here(&w, 1, SHARD_DONE, "*1\r\n$1\r\nb\r\n");
    fake_env_forget(&w.env);
    done(&w, 2, 1, 0, "-ERR no\r\n");
    CHECK_EVENTS(&w, "done mget b d: -ERR no\n");
    ask_end(a, 1);
    world_stop(&w);
}

/* Replies of a part that do not fit the command, as a broken peer may send. */
TEST(parts_that_do_not_fit)
{
    static const char *const replies[] = {"*2\r\n:1\r\n:2\r\n",
                                          "*0\r\n",
                                          "*-1\r\n",
                                          ":1\r\n",
                                          "$-1\r\n"};
    for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++) {
        struct world w;
        struct ask a[1] = {0};
        world_start(&w);
        submit(&w, &a[0], 0, "mget b d");
        turn(&w);
        answer_here(&w, 1, SHARD_DONE, "*1\r\n$1\r\nb\r\n");
        fake_env_forget(&w.env);
        done(&w, 2, 1, 0, replies[i]);
        CHECK_EVENTS(&w,
                     "done mget b d: -ERR the groups of these keys answered in different ways\n");
        ask_end(a, 1);
        world_stop(&w);
    }
}

/* The counts of two parts are right together but not each. */
TEST(parts_that_fit_only_in_sum)
{
    struct world w;
    struct ask a[1] = {0};
    world_start(&w);
    submit(&w, &a[0], 0, "mget b d");
    turn(&w);
    answer_here(&w, 1, SHARD_DONE, "*0\r\n");
    fake_env_forget(&w.env);
    done(&w, 2, 1, 0, "*2\r\n:1\r\n:2\r\n");
    CHECK_EVENTS(&w, "done mget b d: -ERR the groups of these keys answered in different ways\n");
    ask_end(a, 1);
    world_stop(&w);
}

TEST(a_part_without_an_answer)
{
    struct world w;
    struct ask a[2] = {0};
    world_start(&w);
    submit(&w, &a[0], 0, "mget b d");
    submit(&w, &a[1], 0, "mget d c");
    turn(&w);
    answer_here(&w, 1, SHARD_DONE, "*1\r\n$1\r\nb\r\n");
    fake_env_forget(&w.env);
    fake_env_advance(&w.env, TIMEOUT_MS);
    CHECK_EVENTS(&w,
                 "done mget b d: -CLUSTERDOWN group 3 has no leader; the command was not "
                 "executed\n");
    turn(&w); /* only now its time begins */
    fake_env_forget(&w.env);
    fake_env_advance(&w.env, TIMEOUT_MS);
    CHECK_EVENTS(&w,
                 "done mget d c: -CLUSTERDOWN group 3 has no leader; the command was not "
                 "executed\n");
    done(&w, 2, 1, 0, "*1\r\n$1\r\nd\r\n");
    ask_end(a, 2);
    world_stop(&w);
}

/* Given up while a part is in the shard here, which answers later. */
TEST(a_part_here_answers_late)
{
    struct world w;
    struct ask a[1] = {0};
    world_start(&w);
    submit(&w, &a[0], 0, "mget b d");
    turn(&w);
    done(&w, 2, 1, 0, "*1\r\n$1\r\nd\r\n");
    fake_env_forget(&w.env);
    fake_env_advance(&w.env, TIMEOUT_MS);
    CHECK_EVENTS(&w,
                 "done mget b d: -CLUSTERDOWN group 1 has no leader; the command was not "
                 "executed\n");
    answer_here(&w, 1, SHARD_DONE, "*1\r\n$1\r\nb\r\n");
    CHECK_EVENTS(&w, "");
    ask_end(a, 1);
    world_stop(&w);
}

#define CROSSSLOT                                                                                  \
    "-CROSSSLOT Keys in request don't hash to the same slot (these are in several groups; a "      \
    "common {tag} keeps keys together)"

TEST(writes_over_groups_are_refused)
{
    struct world w;
    struct ask a[3] = {0};
    world_start(&w);
    submit(&w, &a[0], 0, "set b 1");
    submit(&w, &a[1], 0, "del b c");
    submit(&w, &a[2], 0, "del b f"); /* two slots, one group */
    turn(&w);
    CHECK_EVENTS(&w,
                 "here g1 set b 1 #1/0\nhere g1 del b f #2/0\n"
                 "done del b c: " CROSSSLOT "\n");
    answer_here(&w, 1, SHARD_DONE, "+OK\r\n");
    answer_here(&w, 1, SHARD_DONE, ":1\r\n");
    ask_end(a, 3);
    fake_env_forget(&w.env);
    world_stop(&w);
}

/* A read of several keys that has no way to be cut. */
TEST(reads_that_cannot_be_cut_are_refused)
{
    struct world w;
    world_start(&w);
    struct command row = *command_find(&(struct bytes){(const uint8_t *)"mget", 4}, 1);
    row.policy = COMMAND_ONE_SHARD;
    struct bytes args[] = {bytes_of_text("mget"), bytes_of_text("b"), bytes_of_text("c")};
    struct ask a = {.world = &w, .name = "uncut"};
    buf_init(&a.reply, 1000);
    a.request = (struct router_request){
        .command = &row,
        .args = args,
        .arg_count = 3,
        .resp = 2,
        .stream = &w.streams[0],
        .reply = &a.reply,
        .done = on_done,
    };
    router_submit(w.router, &a.request);
    CHECK(!a.is_done);
    turn(&w);
    CHECK_EVENTS(&w, "done uncut: " CROSSSLOT "\n");
    ask_end(&a, 1);
    world_stop(&w);
}
