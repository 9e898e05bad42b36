/* What the leader holds because of key locks, and in which order it goes on (TXN-3, READ-4). */
#include "txn_world.h"

#define COMMIT COMMAND_ID_TXNCOMMIT
#define ABORT COMMAND_ID_TXNABORT

static void ask_chained(struct shard_world *w, struct ask *a, uint64_t chain, const char *text)
{
    struct bytes args[ARGS_MAX];
    size_t count = words_of(text, args);
    ask_in_chain(w, a, args, count, chain);
}

/* ---- writes ---------------------------------------------------------------------------------- */

/* On a locked key they wait, in their order; others pass. */
TEST(writes_wait_for_the_outcome)
{
    struct shard_world w;
    struct ask a[3];
    world_start(&w);
    check_prepare(&w, 1, "SET k 1;GET shared", TXN_STATE_YES, OK NIL);
    CHECK(shard_may_hold(w.shard));
    ask(&w, &a[0], "INCR k");
    ask(&w, &a[1], "APPEND k x");
    ask(&w, &a[2], "SET shared 1"); /* somebody reads it */
    uint64_t entries = w.replica.index_last;
    world_turn(&w);
    CHECK_EQ(w.replica.index_last, entries);
    check_command(&w, "SET free 1", OK);
    CHECK_EQ(w.stats.lock_waits, 3u);
    check_order(&w, COMMIT, 1, 0, TXN_STATE_COMMITTED);
    world_settle(&w);
    CHECK(a[0].order < a[1].order && a[1].order < a[2].order);
    check_reply(&a[0], ":2\r\n");
    check_reply(&a[1], ":2\r\n");
    check_reply(&a[2], OK);
    CHECK(!shard_may_hold(w.shard));
    world_stop(&w);
}

/* Behind one that waits wait those that want one of its keys: none overtakes it. */
TEST(writes_do_not_overtake_on_a_key)
{
    struct shard_world w;
    struct ask both;
    struct ask one;
    struct ask third;
    world_start(&w);
    check_prepare(&w, 1, "SET locked 1", TXN_STATE_YES, OK);
    ask(&w, &both, "MSET locked a free a");
    ask(&w, &one, "APPEND free b");
    ask(&w, &third, "SET other c");
    world_settle(&w);
    check_reply(&both, NULL);
    check_reply(&one, NULL);
    check_reply(&third, OK);
    check_order(&w, ABORT, 1, 0, TXN_STATE_ABORTED);
    world_settle(&w);
    check_reply(&both, OK);
    check_reply(&one, ":2\r\n");
    check_command(&w, "MGET locked free", "*2\r\n$1\r\na\r\n$2\r\nab\r\n");
    world_stop(&w);
}

/* ORD-7: behind one that waits wait those of its chain, whatever their keys. */
TEST(writes_of_a_chain_keep_their_order)
{
    struct shard_world w;
    struct ask a[4];
    world_start(&w);
    check_prepare(&w, 1, "SET k 1", TXN_STATE_YES, OK);
    ask_chained(&w, &a[0], 5, "SET k data");
    ask_chained(&w, &a[1], 5, "SET flag 1");
    ask_chained(&w, &a[2], 6, "SET x 1");
    ask_chained(&w, &a[3], 0, "SET y 1");
    world_settle(&w);
    check_reply(&a[0], NULL);
    check_reply(&a[1], NULL);
    check_reply(&a[2], OK);
    check_reply(&a[3], OK);
    check_order(&w, COMMIT, 1, 0, TXN_STATE_COMMITTED);
    world_settle(&w);
    CHECK(a[0].order < a[1].order);
    check_reply(&a[0], OK);
    check_reply(&a[1], OK);
    world_stop(&w);
}

/* A PREPARE that gathers, or is proposed and not applied, may lock: no write is proposed behind it.
 */
TEST(writes_wait_for_prepares_on_their_way)
{
    struct shard_world w;
    struct ask prepare;
    struct ask a[2];
    world_start(&w);
    ask_prepare(&w, &prepare, 1, 0, "GET k");
    CHECK(shard_may_hold(w.shard));
    ask(&w, &a[0], "SET k 1"); /* in the same turn */
    world_turn(&w);
    CHECK_EQ(w.replica.index_last, 1u);
    ask(&w, &a[1], "APPEND k 2");
    world_turn(&w);
    CHECK_EQ(w.replica.index_last, 1u);
    world_apply_all(&w);
    check_answer(&prepare, TXN_STATE_YES, NIL);
    world_turn(&w);
    CHECK_EQ(w.replica.index_last, 1u); /* now it is locked */
    check_order(&w, COMMIT, 1, 0, TXN_STATE_COMMITTED);
    world_settle(&w);
    check_reply(&a[0], OK);
    check_reply(&a[1], ":2\r\n");
    /* The vote was no: nothing is locked. */
    check_prepare(&w, 2, "SET other 1", TXN_STATE_YES, OK);
    ask_prepare(&w, &prepare, 3, 0, "SET k 1;SET other 2");
    ask(&w, &a[0], "APPEND k 3");
    world_turn(&w);
    world_apply_all(&w);
    check_answer(&prepare, TXN_STATE_NO_CONFLICT, "");
    world_settle(&w);
    check_reply(&a[0], ":3\r\n");
    world_stop(&w);
}

/* A write that was proposed before it: the vote finds what it left. */
TEST(writes_before_a_prepare_go)
{
    struct shard_world w;
    struct ask prepare;
    struct ask a;
    world_start(&w);
    ask(&w, &a, "SET k 1");
    ask_prepare(&w, &prepare, 1, 0, "INCR k");
    world_settle(&w);
    check_reply(&a, OK);
    check_answer(&prepare, TXN_STATE_YES, ":2\r\n");
    CHECK_EQ(w.replica.index_last, 1u); /* one entry */
    world_stop(&w);
}

/* TXN-19: EXEC waits like any write, for every key it touches. */
TEST(exec_waits)
{
    struct shard_world w;
    struct work k;
    struct ask a;
    world_start(&w);
    check_prepare(&w, 1, "SET k 1", TXN_STATE_YES, OK);
    work_init(&k);
    work_add_all(&k, "SET x 1;GET k");
    ask_work(&w, &a, COMMAND_ID_EXEC, &k, 0);
    world_settle(&w);
    check_reply(&a, NULL);
    check_order(&w, COMMIT, 1, 0, TXN_STATE_COMMITTED);
    world_settle(&w);
    check_answer(&a, TXN_STATE_COMMITTED, OK "$1\r\n1\r\n");
    work_deinit(&k);
    world_stop(&w);
}

TEST(flush_waits_for_the_locks_of_its_database)
{
    struct shard_world w;
    struct ask all;
    struct ask one;
    struct ask set;
    world_start(&w);
    check_command(&w, "SET k 0", OK);
    check_prepare(&w, 1, "SET k 1", TXN_STATE_YES, OK);
    struct bytes name = bytes_of_text("FLUSHDB");
    ask_args(&w, &one, &name, 1, (struct request_id){0}, 2);
    world_settle(&w);
    check_reply(&one, OK); /* of another one */
    ask(&w, &one, "FLUSHDB");
    ask(&w, &all, "FLUSHALL");
    ask(&w, &set, "SET behind 1");
    world_settle(&w);
    check_reply(&one, NULL);
    check_reply(&all, NULL);
    check_reply(&set, NULL);
    check_order(&w, COMMIT, 1, 0, TXN_STATE_COMMITTED);
    world_settle(&w);
    check_reply(&one, OK);
    check_reply(&all, OK);
    check_reply(&set, OK);
    check_command(&w, "DBSIZE", ":1\r\n");
    world_stop(&w);
}

/* Nor does it wait for PREPAREs on their way to other databases: there may always be one. */
TEST(flush_waits_for_prepares_of_its_database)
{
    struct shard_world w;
    struct ask one;
    struct ask other;
    struct ask prepare;
    struct bytes name = bytes_of_text("FLUSHDB");
    world_start(&w);
    check_command(&w, "SET k 0", OK);
    ask_prepare(&w, &prepare, 1, 0, "SET k 1");
    world_turn(&w); /* proposed */
    ask_args(&w, &other, &name, 1, (struct request_id){0}, 2);
    ask(&w, &one, "FLUSHDB");
    world_turn(&w);
    CHECK_EQ(w.replica.index_last, 3u); /* the one of another database */
    world_settle(&w);
    check_answer(&prepare, TXN_STATE_YES, OK);
    check_reply(&other, OK);
    check_reply(&one, NULL);
    check_order(&w, COMMIT, 1, 0, TXN_STATE_COMMITTED);
    world_settle(&w);
    check_reply(&one, OK);
    world_stop(&w);
}

/* TXN-16: an ordered PREPARE waits in the same queue; all others are answered at once. */
TEST(ordered_prepare_waits)
{
    struct shard_world w;
    struct ask ordered;
    struct ask again;
    struct ask set;
    world_start(&w);
    check_prepare(&w, 1, "SET k 1", TXN_STATE_YES, OK);
    ask_prepare(&w, &ordered, 2, TXN_WAITS, "INCR k;SET x 1");
    ask(&w, &set, "SET x 2"); /* does not overtake it */
    world_settle(&w);
    CHECK(!ordered.is_done && !set.is_done);
    check_prepare(&w, 3, "SET k 5", TXN_STATE_NO_CONFLICT, "");
    check_order(&w, COMMIT, 1, 0, TXN_STATE_COMMITTED);
    world_settle(&w);
    check_answer(&ordered, TXN_STATE_YES, ":2\r\n" OK);
    check_reply(&set, NULL);
    ask_prepare(&w, &again, 2, TXN_WAITS, "INCR k;SET x 1"); /* not for itself */
    world_settle(&w);
    check_answer(&again, TXN_STATE_YES, ":2\r\n" OK);
    check_order(&w, COMMIT, 2, 0, TXN_STATE_COMMITTED);
    world_settle(&w);
    check_reply(&set, OK);
    world_stop(&w);
}

/* TXN-16: what waits is not overtaken, so that it gets its keys however busy they are. */
TEST(prepares_do_not_overtake)
{
    struct shard_world w;
    struct ask ordered;
    struct ask flush;
    world_start(&w);
    check_prepare(&w, 1, "SET a 1", TXN_STATE_YES, OK);
    ask_prepare(&w, &ordered, 2, TXN_WAITS, "INCR a;SET b 1");
    check_prepare(&w, 3, "SET b 3", TXN_STATE_NO_CONFLICT, "");
    check_prepare(&w, 3, "SET b 3", TXN_STATE_NO_CONFLICT, ""); /* the same one again */
    check_prepare(&w, 4, "SET c 3", TXN_STATE_YES, OK);
    check_order(&w, COMMIT, 1, 0, TXN_STATE_COMMITTED);
    world_settle(&w);
    check_answer(&ordered, TXN_STATE_YES, ":2\r\n" OK);
    check_order(&w, COMMIT, 2, 0, TXN_STATE_COMMITTED);
    ask(&w, &flush, "FLUSHDB");
    check_prepare(&w, 5, "SET d 3", TXN_STATE_NO_CONFLICT, "");
    check_order(&w, ABORT, 4, 0, TXN_STATE_ABORTED);
    world_settle(&w);
    check_reply(&flush, OK);
    check_prepare(&w, 6, "SET d 3", TXN_STATE_YES, OK);
    world_stop(&w);
}

static void ask_aged(struct shard_world *w,
                     struct ask *a,
                     uint64_t sequence,
                     uint64_t time_ms,
                     const char *commands)
{
    struct work k;
    work_init(&k);
    k.work.flags = TXN_WAITS;
    k.work.time_ms = time_ms;
    work_add_all(&k, commands);
    ask_work(w, a, COMMAND_ID_TXNPREPARE, &k, sequence);
    work_deinit(&k);
}

/* TXN-16: the older one has keys elsewhere; else all who want those wait for this line, too. */
TEST(ordered_prepares_wait_by_age)
{
    struct shard_world w;
    struct ask young;
    struct ask old;
    struct ask set;
    struct ask oldest;
    world_start(&w);
    check_prepare(&w, 1, "SET k 1", TXN_STATE_YES, OK);
    uint64_t now_ms = w.env.wall_ms;
    ask_aged(&w, &young, 2, now_ms, "INCR k");
    ask_aged(&w, &old, 3, now_ms - 20, "APPEND k 0");
    ask(&w, &set, "SET k 5");
    ask_aged(&w, &oldest, 4, now_ms - 30, "INCR k"); /* passes PREPAREs, and nothing else */
    check_order(&w, COMMIT, 1, 0, TXN_STATE_COMMITTED);
    world_settle(&w);
    CHECK(!young.is_done && !set.is_done && !oldest.is_done);
    check_answer(&old, TXN_STATE_YES, ":2\r\n");
    check_order(&w, COMMIT, 3, 0, TXN_STATE_COMMITTED);
    world_settle(&w);
    check_answer(&young, TXN_STATE_YES, ":11\r\n");
    check_order(&w, COMMIT, 2, 0, TXN_STATE_COMMITTED);
    world_settle(&w);
    check_reply(&set, OK);
    check_answer(&oldest, TXN_STATE_YES, ":6\r\n");
    world_stop(&w);
}

/* A slow clock passes nobody who has waited for a second. */
TEST(slow_clocks_wait_in_line)
{
    struct shard_world w;
    struct ask first;
    struct ask slow;
    world_start(&w);
    check_prepare(&w, 1, "SET k 1", TXN_STATE_YES, OK);
    ask_aged(&w, &first, 2, w.env.wall_ms, "INCR k");
    fake_env_advance(&w.env, 2000);
    ask_aged(&w, &slow, 3, 1, "APPEND k 0");
    check_order(&w, COMMIT, 1, 0, TXN_STATE_COMMITTED);
    world_settle(&w);
    check_answer(&first, TXN_STATE_YES, ":2\r\n");
    CHECK(!slow.is_done);
    check_order(&w, COMMIT, 2, 0, TXN_STATE_COMMITTED);
    world_settle(&w);
    check_answer(&slow, TXN_STATE_YES, ":2\r\n");
    world_stop(&w);
}

/* ---- leaders --------------------------------------------------------------------------------- */

/* A new one proposes no write before all it inherited is applied: some of it may lock. */
TEST(new_leader_waits_for_what_it_inherited)
{
    struct shard_world w;
    struct ask prepare;
    struct ask lost;
    struct ask set;
    struct ask get;
    world_start(&w);
    ask_prepare(&w, &prepare, 1, 0, "SET k 1");
    world_turn(&w);
    CHECK_EQ(w.replica.index_last, 1u);
    w.replica.barrier = 1;
    world_lose(&w);
    CHECK(prepare.is_done);
    CHECK_EQ(prepare.verdict, SHARD_LOST);
    buf_deinit(&prepare.reply);
    world_win(&w);
    ask(&w, &set, "SET k 2");
    ask(&w, &lost, "SET other 2");
    ask_order(&w, &get, COMMAND_ID_TXNCHECK, 9, 0); /* not about keys */
    world_turn(&w);
    CHECK_EQ(w.replica.index_last, 2u);
    world_apply_all(&w);
    CHECK_EQ(answer_of(&get).state, TXN_STATE_NO_VOTE);
    buf_deinit(&get.reply);
    world_settle(&w);
    check_reply(&lost, OK);
    check_reply(&set, NULL);
    check_order(&w, COMMIT, 1, 0, TXN_STATE_COMMITTED);
    world_settle(&w);
    check_reply(&set, OK);
    check_command(&w, "GET k", "$1\r\n2\r\n");
    world_stop(&w);
}

TEST(held_are_refused_when_leadership_goes)
{
    struct shard_world w;
    struct ask set;
    struct ask get;
    world_start(&w);
    check_prepare(&w, 1, "SET k 1", TXN_STATE_YES, OK);
    ask(&w, &set, "SET k 2");
    ask(&w, &get, "GET k");
    world_settle(&w);
    CHECK(!set.is_done && !get.is_done);
    world_lose(&w);
    check_verdict(&set, SHARD_REFUSED);
    check_verdict(&get, SHARD_REFUSED);
    world_win(&w);
    check_order(&w, COMMIT, 1, 0, TXN_STATE_COMMITTED);
    check_command(&w, "GET k", "$1\r\n1\r\n");
    world_stop(&w);
}

/* Leadership is gone, and nobody has said so yet: nothing stays behind. */
TEST(held_are_refused_when_proposing_fails)
{
    struct shard_world w;
    struct ask set;
    struct ask free;
    world_start(&w);
    check_prepare(&w, 1, "SET k 1", TXN_STATE_YES, OK);
    ask(&w, &set, "SET k 2");
    ask(&w, &free, "SET free 2");
    w.replica.is_leader = false;
    world_turn(&w);
    check_verdict(&set, SHARD_REFUSED);
    check_verdict(&free, SHARD_REFUSED);
    world_stop(&w);
}

/* What waits is bounded, by count and by bytes. */
TEST(too_many_are_refused)
{
    enum {
        MOST = 4096
    };
    struct shard_world w;
    struct ask *a = mem_alloc_zero((MOST + 1) * sizeof *a);
    world_start(&w);
    check_prepare(&w, 1, "SET k 1", TXN_STATE_YES, OK);
    for (unsigned i = 0; i <= MOST; i++) {
        ask(&w, &a[i], "APPEND k x");
    }
    check_verdict(&a[MOST], SHARD_REFUSED);
    check_order(&w, COMMIT, 1, 0, TXN_STATE_COMMITTED);
    world_settle(&w);
    for (unsigned i = 0; i < MOST; i++) {
        CHECK_EQ(a[i].verdict, SHARD_DONE);
        buf_deinit(&a[i].reply);
    }
    check_command(&w, "STRLEN k", ":4097\r\n");
    for (unsigned i = 0; i <= MOST; i++) {
        ask(&w, &a[i], "GET k");
    }
    world_settle(&w);
    for (unsigned i = 0; i <= MOST; i++) {
        buf_deinit(&a[i].reply);
    }
    check_prepare(&w, 2, "SET k 1", TXN_STATE_YES, OK);
    for (unsigned i = 0; i <= MOST; i++) {
        ask(&w, &a[i], "GET k");
    }
    world_settle(&w);
    check_verdict(&a[MOST], SHARD_REFUSED);
    check_order(&w, COMMIT, 2, 0, TXN_STATE_COMMITTED);
    for (unsigned i = 0; i < MOST; i++) {
        check_reply(&a[i], "$1\r\n1\r\n");
    }
    mem_free(a);
    world_stop(&w);
}

TEST(large_one_waits_alone)
{
    struct shard_world w;
    struct ask large;
    struct ask next;
    struct bytes args[3] = {bytes_of_text("SET"), bytes_of_text("k"), {0}};
    const size_t size = 17u * MIB;
    uint8_t *value = mem_alloc_zero(size);
    args[2] = bytes_of(value, size);
    world_start(&w);
    check_prepare(&w, 1, "SET k 1", TXN_STATE_YES, OK);
    ask_args(&w, &large, args, 3, (struct request_id){0}, 0);
    ask(&w, &next, "SET k 2");
    check_verdict(&next, SHARD_REFUSED);
    check_order(&w, COMMIT, 1, 0, TXN_STATE_COMMITTED);
    world_settle(&w);
    check_reply(&large, OK);
    mem_free(value);
    world_stop(&w);
}

/* ---- entries that meet a locked key ---------------------------------------------------------- */

/* Of a leader that broke the rule: no effect, no record of the request, and it is refused. */
TEST(entry_on_a_locked_key_has_no_effect)
{
    struct shard_world w;
    struct ask a;
    world_start(&w);
    check_prepare(&w, 1, "SET k 1", TXN_STATE_YES, OK);
    w.shard->hold.is_needed = false; /* forgets to look */
    ask(&w, &a, "INCR k");
    struct request_id id = a.id;
    uint64_t operations = w.shard->operations;
    world_settle(&w);
    check_verdict(&a, SHARD_REFUSED);
    CHECK_EQ(w.shard->operations, operations);
    w.shard->hold.is_needed = false;
    ask(&w, &a, "FLUSHALL");
    world_settle(&w);
    check_verdict(&a, SHARD_REFUSED);
    check_order(&w, COMMIT, 1, 0, TXN_STATE_COMMITTED);
    ask_again(&w, &a, "INCR k", id); /* it may still run, once */
    world_settle(&w);
    check_reply(&a, ":2\r\n");
    ask_again(&w, &a, "INCR k", id);
    world_settle(&w);
    check_reply(&a, ":2\r\n");
    check_command(&w, "GET k", "$1\r\n2\r\n");
    world_stop(&w);
}

/* ---- reads ----------------------------------------------------------------------------------- */

/* READ-4: reads of a key that may change wait; shared ones and other keys pass. */
TEST(reads_wait_for_the_outcome)
{
    struct shard_world w;
    struct ask locked;
    struct ask behind;
    struct ask a;
    world_start(&w);
    check_command(&w, "MSET k 0 r 0 x 0", OK);
    check_prepare(&w, 1, "SET k 1;GET r", TXN_STATE_YES, OK "$1\r\n0\r\n");
    ask_chained(&w, &locked, 4, "MGET x k");
    ask_chained(&w, &behind, 4, "GET x");
    check_command(&w, "GET x", "$1\r\n0\r\n");
    check_command(&w, "GET r", "$1\r\n0\r\n");
    ask_chained(&w, &a, 5, "EXISTS x");
    world_settle(&w);
    check_reply(&a, ":1\r\n");
    check_reply(&locked, NULL);
    check_reply(&behind, NULL);
    check_command(&w, "SET x 7", OK);
    check_order(&w, COMMIT, 1, 0, TXN_STATE_COMMITTED);
    CHECK(locked.order < behind.order);
    check_reply(&locked, "*2\r\n$1\r\n7\r\n$1\r\n1\r\n");
    check_reply(&behind, "$1\r\n7\r\n");
    world_stop(&w);
}

/* The lock is looked at where the value is, not where the read arrives. */
TEST(reads_look_at_locks_at_their_point)
{
    struct shard_world w;
    struct ask prepare;
    struct ask get;
    world_start(&w);
    check_command(&w, "SET k 0", OK);
    ask_prepare(&w, &prepare, 1, 0, "SET k 1");
    world_turn(&w);
    world_commit(&w);
    ask(&w, &get, "GET k"); /* behind an entry that is committed and not applied */
    world_confirm(&w);
    CHECK(!get.is_done);
    world_apply_all(&w);
    check_answer(&prepare, TXN_STATE_YES, OK);
    check_reply(&get, NULL);
    check_order(&w, ABORT, 1, 0, TXN_STATE_ABORTED);
    check_reply(&get, "$1\r\n0\r\n");
    world_stop(&w);
}

/* Reads without keys: what was prepared when they came must not be half to be seen; no more. */
TEST(reads_of_whole_databases_wait)
{
    struct shard_world w;
    struct ask size;
    struct ask scan;
    world_start(&w);
    check_prepare(&w, 1, "SET a 1", TXN_STATE_YES, OK);
    ask(&w, &size, "DBSIZE");
    ask(&w, &scan, "SCAN 0");
    world_settle(&w);
    check_reply(&size, NULL);
    check_reply(&scan, NULL);
    check_prepare(&w, 2, "SET b 1", TXN_STATE_YES, OK); /* after they came */
    check_order(&w, COMMIT, 1, 0, TXN_STATE_COMMITTED);
    check_reply(&size, ":1\r\n");
    CHECK(scan.is_done);
    buf_deinit(&scan.reply);
    ask(&w, &size, "DBSIZE");
    world_settle(&w);
    check_reply(&size, NULL);
    check_order(&w, ABORT, 2, 0, TXN_STATE_ABORTED);
    check_reply(&size, ":1\r\n");
    check_prepare(&w, 3, "GET b", TXN_STATE_YES, NIL);
    struct bytes name = bytes_of_text("DBSIZE");
    ask_args(&w, &size, &name, 1, (struct request_id){0}, 1);
    world_settle(&w);
    check_reply(&size, ":0\r\n"); /* another database */
    world_stop(&w);
}

/* TXN-21, TXN-14: those of coordinators wait the same way. */
TEST(versions_wait)
{
    struct shard_world w;
    struct ask a;
    struct buf argument;
    struct txn_key key = {.key = bytes_of_text("k")};
    world_start(&w);
    check_prepare(&w, 1, "SET k 1", TXN_STATE_YES, OK);
    buf_init(&argument, SIZE_MAX / 2);
    txn_key_append(&argument, &key);
    ask_internal(&w, &a, COMMAND_ID_VERSIONS, buf_bytes(&argument), (struct request_id){0}, 0);
    world_settle(&w);
    check_reply(&a, NULL);
    check_order(&w, COMMIT, 1, 0, TXN_STATE_COMMITTED);
    CHECK_EQ(get_u64_le(answer_of(&a).versions.data), version_at(&w, "k"));
    buf_deinit(&a.reply);
    buf_deinit(&argument);
    world_stop(&w);
}

/* ---- disks ----------------------------------------------------------------------------------- */

/* ORD-7: what stands behind a refused one in its chain must not be executed later. */
TEST(full_disks_refuse_all_that_waits)
{
    struct shard_world w;
    struct ask first;
    struct ask second;
    world_start(&w);
    check_prepare(&w, 1, "SET k 1", TXN_STATE_YES, OK);
    check_prepare(&w, 2, "SET m 1", TXN_STATE_YES, OK);
    ask_chained(&w, &first, 7, "SET k 2");
    ask_chained(&w, &second, 7, "SET m 2");
    w.is_out_of_space = true;
    check_order(&w, COMMIT, 1, 0, TXN_STATE_COMMITTED);
    check_verdict(&first, SHARD_NO_SPACE);
    w.is_out_of_space = false;
    check_order(&w, COMMIT, 2, 0, TXN_STATE_COMMITTED);
    check_verdict(&second, SHARD_NO_SPACE);
    check_command(&w, "GET m", "$1\r\n1\r\n");
    world_stop(&w);
}

/* Outcomes and marks free what is held: they are not refused for space; what waited is. */
TEST(outcomes_pass_full_disks)
{
    struct shard_world w;
    struct ask set;
    struct ask prepare;
    world_start(&w);
    check_prepare(&w, 1, "SET k 1", TXN_STATE_YES, OK);
    ask(&w, &set, "SET k 2");
    w.is_out_of_space = true;
    ask_prepare(&w, &prepare, 2, 0, "SET x 1");
    check_verdict(&prepare, SHARD_NO_SPACE);
    check_order(&w, COMMIT, 1, 0, TXN_STATE_COMMITTED);
    check_verdict(&set, SHARD_NO_SPACE);
    check_order(&w, COMMAND_ID_TXNMARK, 0, 1, TXN_STATE_NONE);
    check_command(&w, "GET k", "$1\r\n1\r\n");
    world_stop(&w);
}
