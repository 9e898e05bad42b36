/* When keys end: by what entries say, never by a clock alone (ORD-4, ORD-5). */
#include "shard_world.h"

#define OK "+OK\r\n"
#define NIL "$-1\r\n"

/* ORD-5: the leader's clock alone ends nothing; an entry does. */
TEST(reader_proposes_the_expiry)
{
    struct shard_world w;
    struct ask a;
    world_start(&w);
    check_command(&w, "SET k v PX 100", OK);
    fake_env_advance(&w.env, 99);
    check_command(&w, "GET k", "$1\r\nv\r\n");
    CHECK_EQ(w.replica.index_last, 1u);
    fake_env_advance(&w.env, 1);
    ask(&w, &a, "GET k");
    world_confirm(&w);
    check_reply(&a, NULL);
    CHECK(shard_memory(w.shard) > 0);
    world_turn(&w);
    CHECK_EQ(w.replica.index_last, 2u);
    CHECK_EQ(w.stats.keys_expired, 0u);
    world_commit(&w);
    world_confirm(&w);
    check_reply(&a, NULL);
    world_apply_all(&w);
    check_reply(&a, NIL);
    CHECK_EQ(w.stats.keys_expired, 1u);
    CHECK_EQ(shard_memory(w.shard), 0u);
    check_command(&w, "GET k", NIL);
    CHECK_EQ(w.replica.index_last, 2u); /* once is enough */
    world_stop(&w);
}

/* A read waits for its round, its index and its expiry; each of them alone holds it. */
TEST(expiry_comes_after_the_round)
{
    struct shard_world w;
    struct ask a;
    world_start(&w);
    check_command(&w, "SET k v PX 100", OK);
    fake_env_advance(&w.env, 100);
    ask(&w, &a, "GET k");
    world_turn(&w);
    CHECK_EQ(w.replica.index_last, 1u); /* nothing is looked at before the leader is one */
    world_confirm(&w);
    world_turn(&w);
    CHECK_EQ(w.replica.index_last, 2u);
    world_apply_all(&w);
    check_reply(&a, NIL);
    world_stop(&w);
}

/* Once it was shown as gone it stays gone, whatever the clock does. */
TEST(clock_going_back_shows_nothing_again)
{
    struct shard_world w;
    world_start(&w);
    uint64_t start_ms = w.env.wall_ms;
    check_command(&w, "SET k v PX 100", OK);
    check_command(&w, "SET untouched v PX 100", OK);
    fake_env_advance(&w.env, 150);
    check_command(&w, "GET k", NIL);
    w.env.wall_ms = start_ms - 5000;
    check_command(&w, "GET k", NIL);
    check_command(&w, "GET untouched", NIL); /* group time has passed it, too */
    check_command(&w, "INCR n", ":1\r\n");
    check_command(&w, "GET k", NIL);
    check_command(&w, "SET new v PX 10", OK); /* counts from group time */
    w.env.wall_ms = start_ms + 155;
    check_command(&w, "GET new", "$1\r\nv\r\n");
    w.env.wall_ms = start_ms + 160;
    check_command(&w, "GET new", NIL);
    world_stop(&w);
}

/* A read that was answered nil by a clock that is ahead: no later clock shows the key again. */
TEST(clock_going_back_after_an_answer)
{
    struct shard_world w;
    struct ask a;
    world_start(&w);
    check_command(&w, "SET k v PX 100", OK);
    fake_env_advance(&w.env, 100);
    ask(&w, &a, "GET k");
    world_settle(&w);
    w.env.wall_ms -= 100;
    check_reply(&a, NIL);
    check_command(&w, "GET k", NIL);
    world_stop(&w);
}

/* The clock goes back before the entry is stamped: then the key has not ended, and is shown. */
TEST(clock_going_back_before_the_stamp)
{
    struct shard_world w;
    struct ask a;
    world_start(&w);
    check_command(&w, "SET k v PX 100", OK);
    fake_env_advance(&w.env, 150);
    ask(&w, &a, "GET k");
    world_confirm(&w);
    CHECK(!a.is_done);
    w.env.wall_ms -= 100;
    world_settle(&w);
    check_reply(&a, "$1\r\nv\r\n");
    w.env.wall_ms += 100;
    check_command(&w, "GET k", NIL);
    world_stop(&w);
}

/* What the reader found due is decided when its entry applies: a new value stays. */
TEST(set_before_the_expiry_entry_wins)
{
    struct shard_world w;
    struct ask set;
    struct ask get;
    world_start(&w);
    check_command(&w, "SET k v PX 100", OK);
    fake_env_advance(&w.env, 150);
    ask(&w, &set, "SET k new");
    ask(&w, &get, "GET k");
    world_confirm(&w);
    CHECK(!get.is_done);
    world_settle(&w);
    CHECK(set.order < get.order);
    check_reply(&set, OK);
    check_reply(&get, "$3\r\nnew\r\n");
    CHECK_EQ(w.stats.keys_expired, 1u); /* SET met the old one */
    check_command(&w, "GET k", "$3\r\nnew\r\n");
    world_stop(&w);
}

/* ORD-7: one that waits for an expiry holds back those behind it. */
TEST(expiry_holds_back_later_reads)
{
    struct shard_world w;
    struct ask flag;
    struct ask data;
    struct ask set[2];
    world_start(&w);
    check_command(&w, "SET flag old PX 100", OK);
    check_command(&w, "SET data old", OK);
    fake_env_advance(&w.env, 150);
    ask(&w, &set[0], "SET data 1");
    ask(&w, &set[1], "SET flag 1");
    world_turn(&w);
    ask(&w, &flag, "GET flag"); /* due: waits for an entry */
    ask(&w, &data, "GET data");
    world_confirm(&w);
    CHECK(!flag.is_done);
    CHECK(!data.is_done);
    world_turn(&w);
    CHECK_EQ(w.replica.index_last, 4u);
    world_apply(&w, 3); /* the new values */
    CHECK(!flag.is_done);
    CHECK(!data.is_done);
    world_apply(&w, 4);
    check_reply(&set[0], OK);
    check_reply(&set[1], OK);
    CHECK(flag.order < data.order);
    check_reply(&flag, "$1\r\n1\r\n"); /* the new flag, */
    check_reply(&data, "$1\r\n1\r\n"); /* so the data written before it */
    world_stop(&w);
}

TEST(read_of_many_due_keys)
{
    struct shard_world w;
    struct ask a[3];
    world_start(&w);
    check_command(&w, "SET a v PX 100", OK);
    check_command(&w, "SET b v PX 100", OK);
    check_command(&w, "SET c v", OK);
    fake_env_advance(&w.env, 150);
    ask(&w, &a[0], "EXISTS a b c");
    ask(&w, &a[1], "GET a");
    ask(&w, &a[2], "MGET c b a");
    world_settle(&w);
    CHECK_EQ(a[0].reply.size, 4u); /* what a cut-off run wrote is not there */
    check_reply(&a[0], ":1\r\n");
    check_reply(&a[1], NIL);
    check_reply(&a[2], "*3\r\n$1\r\nv\r\n$-1\r\n$-1\r\n");
    CHECK_EQ(w.stats.keys_expired, 1u); /* group time ends the other: nobody has to say more */
    world_stop(&w);
}

/* A reply that begins behind others in the same buffer keeps them when it is run again. */
TEST(run_again_keeps_what_was_written_before)
{
    struct shard_world w;
    struct ask a;
    world_start(&w);
    check_command(&w, "SET k v PX 100", OK);
    check_command(&w, "SET c v", OK);
    fake_env_advance(&w.env, 150);
    ask(&w, &a, "MGET c k");
    buf_append_text(&a.reply, "before;");
    world_settle(&w);
    check_reply(&a, "before;*2\r\n$1\r\nv\r\n$-1\r\n");
    world_stop(&w);
}

/* A write that meets a due key deletes it as part of its own entry. */
TEST(write_meets_a_due_key)
{
    struct shard_world w;
    world_start(&w);
    check_command(&w, "SET n 5 PX 100", OK);
    check_command(&w, "SET d v PX 100", OK);
    fake_env_advance(&w.env, 100);
    check_command(&w, "INCR n", ":1\r\n");
    check_command(&w, "DEL d", ":0\r\n");
    fake_env_advance(&w.env, 1000);
    check_command(&w, "GET n", "$1\r\n1\r\n"); /* and without the old expiry */
    world_stop(&w);
}

/* The window is full: the expiry waits, and the reads behind it; writes still gather with it. */
TEST(expiry_waits_for_the_window)
{
    struct shard_world w;
    struct ask get;
    struct ask set;
    world_start(&w);
    check_command(&w, "SET k v PX 100", OK);
    fake_env_advance(&w.env, 150);
    w.replica.is_full = true;
    ask(&w, &get, "GET k");
    world_confirm(&w);
    world_turn(&w);
    ask(&w, &set, "SET k new");
    world_turn(&w);
    CHECK_EQ(w.replica.index_last, 1u);
    CHECK(!get.is_done);
    w.replica.is_full = false;
    world_settle(&w);
    CHECK_EQ(w.replica.index_last, 2u); /* one entry holds both */
    check_reply(&set, OK);
    check_reply(&get, "$3\r\nnew\r\n"); /* they were concurrent: either answer is right */
    world_stop(&w);
}

/* The expiry was proposed and is lost: the read must be asked again elsewhere, and the entry, if
 * it applies after all, answers nobody. */
TEST(leadership_lost_during_an_expiry)
{
    struct shard_world w;
    struct ask get;
    world_start(&w);
    check_command(&w, "SET k v PX 100", OK);
    fake_env_advance(&w.env, 150);
    ask(&w, &get, "GET k");
    world_confirm(&w);
    world_turn(&w);
    CHECK_EQ(w.replica.index_last, 2u);
    world_lose(&w);
    check_verdict(&get, SHARD_REFUSED);
    world_win(&w);
    ask(&w, &get, "GET k");
    world_confirm(&w); /* proposes it once more: the first may be overwritten */
    world_turn(&w);
    CHECK_EQ(w.replica.index_last, 3u);
    world_apply(&w, 2);
    CHECK(!get.is_done);
    world_apply(&w, 3);
    check_reply(&get, NIL);
    CHECK_EQ(w.stats.keys_expired, 1u);
    world_stop(&w);
}

/* The replica refuses the entry with the expiry, and nothing else happens: the read is not left. */
TEST(refused_expiry_leaves_no_read_behind)
{
    struct shard_world w;
    struct ask get;
    world_start(&w);
    check_command(&w, "SET k v PX 100", OK);
    fake_env_advance(&w.env, 150);
    ask(&w, &get, "GET k");
    world_confirm(&w);
    CHECK(!get.is_done);
    w.replica.is_leader = false; /* as while it hands over: nobody was told anything */
    world_turn(&w);
    w.replica.is_leader = true;
    world_turn(&w);
    world_turn(&w);
    world_apply_all(&w);
    CHECK(get.is_done);
    CHECK(get.verdict == SHARD_DONE || get.verdict == SHARD_REFUSED);
    CHECK(!world_is_busy(&w));
    buf_deinit(&get.reply);
    world_stop(&w);
}

/* ---- disks that are full --------------------------------------------------------------------- */

#define CANNOT_END                                                                                 \
    "-MISCONF the key is about to expire, which cannot be written down: the disks of this "        \
    "group's replicas are nearly full\r\n"

/* It may neither be shown nor be said to be gone; those behind it do not wait. */
TEST(due_key_without_space)
{
    struct shard_world w;
    struct ask a[2];
    world_start(&w);
    check_command(&w, "SET k v PX 100", OK);
    check_command(&w, "SET other x", OK);
    fake_env_advance(&w.env, 150);
    w.is_out_of_space = true;
    ask(&w, &a[0], "GET k");
    ask(&w, &a[1], "GET other");
    world_confirm(&w);
    check_reply(&a[0], CANNOT_END);
    check_reply(&a[1], "$1\r\nx\r\n");
    world_turn(&w);
    CHECK_EQ(w.replica.index_last, 2u);
    w.is_out_of_space = false;
    check_command(&w, "GET k", NIL);
    world_stop(&w);
}

/* The entry that ends the key is on its way and will not commit: it holds back nobody. */
TEST(space_ends_during_an_expiry)
{
    struct shard_world w;
    struct ask a[2];
    world_start(&w);
    check_command(&w, "SET k v PX 100", OK);
    check_command(&w, "SET other x", OK);
    fake_env_advance(&w.env, 150);
    ask(&w, &a[0], "GET k");
    ask(&w, &a[1], "GET other");
    world_confirm(&w);
    world_turn(&w);
    CHECK_EQ(w.replica.index_last, 3u);
    CHECK(!a[0].is_done);
    w.is_out_of_space = true;
    world_turn(&w);
    check_reply(&a[0], CANNOT_END);
    check_reply(&a[1], "$1\r\nx\r\n");
    world_apply_all(&w); /* it commits after all */
    check_command(&w, "GET k", NIL);
    world_stop(&w);
}
