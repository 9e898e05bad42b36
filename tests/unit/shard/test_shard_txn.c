/* Votes, outcomes and marks of one participant (TXN-1 to TXN-12, TXN-17, TXN-18). */
#include "txn_world.h"

#define COMMIT COMMAND_ID_TXNCOMMIT
#define ABORT COMMAND_ID_TXNABORT
#define CHECK_VOTE COMMAND_ID_TXNCHECK
#define MARK COMMAND_ID_TXNMARK
#define CLOSE COMMAND_ID_TXNCLOSE
#define END COMMAND_ID_TXNEND

static void fold(struct shard_world *w)
{
    store_fold_soon(&w->store);
    world_turn(w);
}

/* ---- votes and outcomes ---------------------------------------------------------------------- */

/* TXN-18: replies come with the yes, versions with COMMIT; nothing is to be seen in between. */
TEST(prepare_then_commit)
{
    struct shard_world w;
    struct ask read;
    world_start(&w);
    check_command(&w, "SET a 1", OK);
    uint64_t version = version_at(&w, "a");
    check_prepare(&w, 1, "INCR a;SET b x;GET c", TXN_STATE_YES, ":2\r\n" OK NIL);
    CHECK_EQ(w.shard->operations, version);
    CHECK(shard_memory(w.shard) > 0);
    ask(&w, &read, "GET a");
    world_confirm(&w);
    check_reply(&read, NULL);
    check_order(&w, COMMIT, 1, 0, TXN_STATE_COMMITTED);
    check_reply(&read, "$1\r\n2\r\n");
    CHECK(version_at(&w, "a") > version);
    check_command(&w, "GET b", "$1\r\nx\r\n");
    check_order(&w, COMMIT, 1, 0, TXN_STATE_COMMITTED); /* again */
    check_command(&w, "INCR a", ":3\r\n");
    world_stop(&w);
}

TEST(prepare_then_abort)
{
    struct shard_world w;
    world_start(&w);
    check_command(&w, "SET a 1", OK);
    uint64_t operations = w.shard->operations;
    check_prepare(&w, 1, "INCR a;DEL a", TXN_STATE_YES, ":2\r\n:1\r\n");
    check_order(&w, ABORT, 1, 0, TXN_STATE_ABORTED);
    CHECK_EQ(w.shard->operations, operations);
    check_command(&w, "GET a", "$1\r\n1\r\n");
    check_order(&w, ABORT, 1, 0, TXN_STATE_ABORTED);
    check_prepare(&w, 1, "INCR a;DEL a", TXN_STATE_ABORTED, ""); /* a late copy */
    check_command(&w, "INCR a", ":2\r\n");
    world_stop(&w);
}

/* TXN-2: the first vote is final, whoever asks, and however often. */
TEST(yes_is_final)
{
    struct shard_world w;
    world_start(&w);
    check_prepare(&w, 1, "SET a 1", TXN_STATE_YES, OK);
    check_order(&w, CHECK_VOTE, 1, 0, TXN_STATE_YES);
    check_order(&w, CHECK_VOTE, 1, 0, TXN_STATE_YES);
    check_prepare(&w, 1, "SET a 1", TXN_STATE_YES, OK);
    check_order(&w, COMMIT, 1, 0, TXN_STATE_COMMITTED);
    check_order(&w, CHECK_VOTE, 1, 0, TXN_STATE_COMMITTED);
    check_command(&w, "GET a", "$1\r\n1\r\n");
    world_stop(&w);
}

/* TXN-6: who is told no finds it no for ever, also when PREPARE comes late. */
TEST(check_leaves_a_tombstone)
{
    struct shard_world w;
    world_start(&w);
    check_order(&w, CHECK_VOTE, 1, 0, TXN_STATE_NO_VOTE);
    check_prepare(&w, 1, "SET a 1", TXN_STATE_NO_VOTE, "");
    check_command(&w, "EXISTS a", ":0\r\n");
    check_order(&w, ABORT, 2, 0, TXN_STATE_NO_VOTE); /* the same by ABORT */
    check_prepare(&w, 2, "SET a 1", TXN_STATE_NO_VOTE, "");
    check_command(&w, "SET a 2", OK); /* nothing is locked */
    check_order(&w, ABORT, 1, 0, TXN_STATE_NO_VOTE);
    world_stop(&w);
}

/* TXN-11 */
TEST(id_used_for_two)
{
    struct shard_world w;
    struct ask a;
    world_start(&w);
    check_prepare(&w, 1, "SET a 1", TXN_STATE_YES, OK);
    ask_prepare(&w, &a, 1, 0, "SET a 2");
    world_settle(&w);
    check_reply(&a, "-ERR the transaction's id has been used for another one\r\n");
    check_order(&w, COMMIT, 1, 0, TXN_STATE_COMMITTED);
    check_command(&w, "GET a", "$1\r\n1\r\n");
    world_stop(&w);
}

/* DUP-2: a copy of the request itself. */
TEST(prepare_asked_again)
{
    struct shard_world w;
    struct work k;
    struct buf argument;
    struct ask a;
    world_start(&w);
    work_init(&k);
    work_add_all(&k, "INCR a");
    work_bytes(&k, 1, &argument);
    ask_internal(&w, &a, COMMAND_ID_TXNPREPARE, buf_bytes(&argument), (struct request_id){0}, 0);
    world_settle(&w);
    struct request_id id = a.id;
    check_answer(&a, TXN_STATE_YES, ":1\r\n");
    check_order(&w, COMMIT, 1, 0, TXN_STATE_COMMITTED);
    ask_internal(&w, &a, COMMAND_ID_TXNPREPARE, buf_bytes(&argument), id, 0);
    world_settle(&w);
    check_answer(&a, TXN_STATE_YES, ":1\r\n");
    check_command(&w, "GET a", "$1\r\n1\r\n");
    buf_deinit(&argument);
    work_deinit(&k);
    world_stop(&w);
}

/* What was computed at the gateway. */
TEST(prepare_with_effects)
{
    struct shard_world w;
    struct work k;
    struct ask a;
    world_start(&w);
    check_command(&w, "MSET from v gone v", OK);
    work_init(&k);
    struct object object = {.type = OBJECT_TYPE_STRING, .value = bytes_of_text("new")};
    effect_append(&k.body, &(struct effect){EFFECT_PUT, 0, bytes_of_text("to"), object});
    effect_append(&k.body, &(struct effect){.kind = EFFECT_DELETE, .key = bytes_of_text("gone")});
    work_compare(&k, "from", version_at(&w, "from"), false);
    k.work.flags = TXN_IS_EFFECTS;
    ask_work(&w, &a, COMMAND_ID_TXNPREPARE, &k, 1);
    world_settle(&w);
    check_answer(&a, TXN_STATE_YES, "");
    check_prepare(&w, 2, "SET from x", TXN_STATE_NO_CONFLICT, ""); /* what it read is locked */
    check_prepare(&w, 3, "SET to x", TXN_STATE_NO_CONFLICT, "");
    check_order(&w, COMMIT, 1, 0, TXN_STATE_COMMITTED);
    check_command(&w, "MGET from to gone", "*3\r\n$1\r\nv\r\n$3\r\nnew\r\n" NIL);
    work_deinit(&k);
    work_init(&k);
    effect_append(&k.body, &(struct effect){.kind = EFFECT_FLUSH});
    k.work.flags = TXN_IS_EFFECTS;
    ask_work(&w, &a, COMMAND_ID_TXNPREPARE, &k, 4);
    check_reply(&a, "-ERR malformed transaction\r\n");
    work_deinit(&k);
    world_stop(&w);
}

TEST(prepare_strict)
{
    struct shard_world w;
    struct ask a;
    world_start(&w);
    ask_prepare(&w, &a, 1, TXN_STRICT, "SET a x;INCR a;SET b 1");
    world_settle(&w);
    check_answer(&a, TXN_STATE_NO_ERROR, "-ERR value is not an integer or out of range\r\n");
    check_command(&w, "SET b 2", OK); /* no is no lock */
    ask_prepare(&w, &a, 2, 0, "SET a x;INCR a;SET b 1");
    world_settle(&w);
    check_answer(&a, TXN_STATE_YES, OK "-ERR value is not an integer or out of range\r\n" OK);
    check_order(&w, CHECK_VOTE, 1, 0, TXN_STATE_NO_ERROR);
    world_stop(&w);
}

/* ---- locks and compares ---------------------------------------------------------------------- */

/* TXN-3: written keys alone, read ones shared, each in the stronger mode. */
TEST(locks_conflict)
{
    struct shard_world w;
    world_start(&w);
    check_prepare(&w, 1, "GET r;GET rw;SET rw 1;SET w 1", TXN_STATE_YES, NIL NIL OK OK);
    check_prepare(&w, 2, "GET r", TXN_STATE_YES, NIL);
    check_prepare(&w, 3, "SET r 1", TXN_STATE_NO_CONFLICT, "");
    check_prepare(&w, 4, "GET rw", TXN_STATE_NO_CONFLICT, "");
    check_prepare(&w, 5, "GET w", TXN_STATE_NO_CONFLICT, "");
    check_prepare(&w, 6, "SET free 1;SET w 2", TXN_STATE_NO_CONFLICT, "");
    check_prepare(&w, 7, "SET free 1", TXN_STATE_YES, OK); /* a no holds nothing */
    check_order(&w, COMMIT, 1, 0, TXN_STATE_COMMITTED);
    check_prepare(&w, 8, "SET r 1", TXN_STATE_NO_CONFLICT, ""); /* 2 still reads it */
    check_order(&w, ABORT, 2, 0, TXN_STATE_ABORTED);
    check_prepare(&w, 9, "SET r 1;SET rw 2", TXN_STATE_YES, OK OK);
    world_stop(&w);
}

static void check_compare(struct shard_world *w,
                          uint64_t sequence,
                          uint64_t version,
                          bool is_watched,
                          enum txn_state state)
{
    struct work k;
    struct ask a;
    work_init(&k);
    work_compare(&k, "k", version, is_watched);
    work_add_all(&k, "GET other");
    ask_work(w, &a, COMMAND_ID_TXNPREPARE, &k, sequence);
    world_settle(w);
    struct txn_answer answer = answer_of(&a);
    CHECK_EQ(answer.is_watched, state == TXN_STATE_NO_COMPARE && is_watched);
    check_answer(&a, state, state == TXN_STATE_YES ? NIL : "");
    work_deinit(&k);
}

/* TXN-17: a difference is told only where nobody may be changing it; what is compared is locked. */
TEST(compares)
{
    struct shard_world w;
    world_start(&w);
    check_command(&w, "SET k v", OK);
    uint64_t version = version_at(&w, "k");
    check_compare(&w, 1, version, true, TXN_STATE_YES);
    check_prepare(&w, 2, "SET k w", TXN_STATE_NO_CONFLICT, "");
    check_compare(&w, 3, version, true, TXN_STATE_YES); /* shared */
    check_compare(&w, 4, version + 9, true, TXN_STATE_NO_COMPARE);
    check_compare(&w, 5, version + 9, false, TXN_STATE_NO_COMPARE);
    check_order(&w, CHECK_VOTE, 4, 0, TXN_STATE_NO_COMPARE);
    check_order(&w, ABORT, 1, 0, TXN_STATE_ABORTED);
    check_order(&w, ABORT, 3, 0, TXN_STATE_ABORTED);
    check_prepare(&w, 6, "SET k w", TXN_STATE_YES, OK);
    check_compare(&w, 7, version, true, TXN_STATE_NO_CONFLICT);
    check_compare(&w, 8, version + 9, true, TXN_STATE_NO_CONFLICT);
    check_order(&w, COMMIT, 6, 0, TXN_STATE_COMMITTED);
    check_compare(&w, 9, version, true, TXN_STATE_NO_COMPARE);
    check_compare(&w, 10, 0, true, TXN_STATE_NO_COMPARE);
    check_command(&w, "DEL k", ":1\r\n");
    check_compare(&w, 11, 0, true, TXN_STATE_YES);
    world_stop(&w);
}

/* ---- time ------------------------------------------------------------------------------------ */

TEST(prepare_takes_the_gateways_time)
{
    struct shard_world w;
    struct work k;
    struct ask a;
    world_start(&w);
    check_command(&w, "SET k v PX 100", OK);
    uint64_t start_ms = w.shard->time_ms;
    work_init(&k);
    k.work.time_ms = start_ms + SHARD_CLOCK_AHEAD_MS + 1;
    work_add_all(&k, "GET k");
    ask_work(&w, &a, COMMAND_ID_TXNPREPARE, &k, 1);
    world_settle(&w);
    check_reply(&a, "-ERR the clock of the node this client talks to is ahead of the others'\r\n");
    CHECK_EQ(w.shard->time_ms, start_ms);
    CHECK_EQ(participant_state(w.shard->participant, &k.work.id), TXN_STATE_NONE);
    k.work.time_ms--;
    ask_work(&w, &a, COMMAND_ID_TXNPREPARE, &k, 1);
    world_settle(&w);
    check_answer(&a, TXN_STATE_YES, NIL);
    CHECK_EQ(w.shard->time_ms, k.work.time_ms);
    work_deinit(&k);
    world_stop(&w);
}

static void check_prepare_at(struct shard_world *w,
                             uint64_t sequence,
                             uint64_t time_ms,
                             bool is_taken)
{
    struct work k;
    struct ask a;
    work_init(&k);
    k.work.time_ms = time_ms;
    work_add_all(&k, "GET k");
    ask_work(w, &a, COMMAND_ID_TXNPREPARE, &k, sequence);
    world_settle(w);
    if (is_taken) {
        check_answer(&a, TXN_STATE_YES, NIL);
    } else {
        check_reply(&a,
                    "-ERR the clock of the node this client talks to is ahead of the others'\r\n");
    }
    work_deinit(&k);
}

/* ORD-4: gateways whose clocks are ahead do not take group time away from the leader's. */
TEST(gateways_do_not_pull_time_along)
{
    struct shard_world w;
    world_start(&w);
    check_command(&w, "SET unrelated v", OK);
    uint64_t wall_ms = w.shard->time_ms;
    check_prepare_at(&w, 1, wall_ms + SHARD_CLOCK_AHEAD_MS, true);
    check_prepare_at(&w, 2, wall_ms + SHARD_CLOCK_AHEAD_MS + 1, false);
    check_prepare_at(&w, 3, wall_ms + 2u * SHARD_CLOCK_AHEAD_MS, false);
    check_prepare_at(&w, 4, wall_ms + SHARD_CLOCK_AHEAD_MS, true); /* it is there already */
    CHECK_EQ(w.shard->time_ms, wall_ms + SHARD_CLOCK_AHEAD_MS);
    world_stop(&w);
}

/* TXN-3: a key whose time comes while it is locked stays until that is over, and nobody passes. */
TEST(expiry_waits_for_locks)
{
    struct shard_world w;
    struct ask get;
    struct ask set;
    world_start(&w);
    w.is_expiring = true;
    check_command(&w, "SET k v PX 100", OK);
    check_prepare(&w, 1, "GET k", TXN_STATE_YES, "$1\r\nv\r\n"); /* shared */
    uint64_t version = version_at(&w, "k");
    fake_env_advance(&w.env, 150);
    uint64_t entries = w.replica.index_last;
    for (unsigned i = 0; i < 5; i++) { /* active expiry leaves it alone */
        fake_env_advance(&w.env, SHARD_EXPIRY_TICK_MS);
        world_turn(&w);
        world_apply_all(&w);
    }
    CHECK_EQ(w.replica.index_last, entries);
    ask(&w, &get, "GET k"); /* neither shown nor said to be gone */
    world_settle(&w);
    check_reply(&get, NULL);
    CHECK_EQ(w.replica.index_last, entries);
    check_command(&w, "SET other v", OK); /* group time passes it */
    ask(&w, &set, "SET k new");
    world_settle(&w);
    check_reply(&set, NULL);
    struct bytes key = bytes_of_text("k");
    (void)shard_gather_expiry(w.shard, 0, &key, 1); /* whoever proposes its end */
    world_settle(&w);
    CHECK_EQ(shard_counts(w.shard, 0).keys, 2u);
    check_prepare(&w, 2, "GET k", TXN_STATE_NO_CONFLICT, "");
    CHECK_EQ(w.shard->operations, version + 1); /* nothing but SET other */
    check_order(&w, COMMIT, 1, 0, TXN_STATE_COMMITTED);
    world_settle(&w);
    check_reply(&set, OK);
    CHECK(get.is_done);
    buf_deinit(&get.reply);
    check_command(&w, "GET k", "$3\r\nnew\r\n");
    world_stop(&w);
}

/* Its own key's time may have come: COMMIT does what was prepared. */
TEST(commit_of_an_expired_key)
{
    struct shard_world w;
    world_start(&w);
    check_command(&w, "SET a v PX 100", OK);
    check_command(&w, "SET b v PX 100", OK);
    check_command(&w, "SET c v PX 100", OK);
    check_prepare(&w, 1, "APPEND a x;DEL b;PERSIST c", TXN_STATE_YES, ":2\r\n:1\r\n:1\r\n");
    fake_env_advance(&w.env, 200);
    check_command(&w, "SET other v", OK);
    check_order(&w, COMMIT, 1, 0, TXN_STATE_COMMITTED);
    check_command(&w, "MGET a b c", "*3\r\n" NIL NIL "$1\r\nv\r\n");
    check_command(&w, "DBSIZE", ":3\r\n"); /* a is due, and nobody has met it yet */
    world_stop(&w);
}

/* ---- marks ----------------------------------------------------------------------------------- */

/* TXN-8: records of what is over stay, so that nothing late is new. */
TEST(committed_is_remembered)
{
    struct shard_world w;
    world_start(&w);
    check_prepare(&w, 1, "INCR a", TXN_STATE_YES, ":1\r\n");
    check_order(&w, COMMIT, 1, 0, TXN_STATE_COMMITTED);
    check_prepare(&w, 1, "INCR a", TXN_STATE_COMMITTED, ":1\r\n");
    check_order(&w, CHECK_VOTE, 1, 0, TXN_STATE_COMMITTED);
    check_order(&w, COMMIT, 1, 0, TXN_STATE_COMMITTED);
    check_command(&w, "GET a", "$1\r\n1\r\n");
    world_stop(&w);
}

/* DUP-8: a large reply is kept with the vote, and not behind the outcome. */
TEST(large_replies_are_not_kept)
{
    struct shard_world w;
    struct ask a;
    world_start(&w);
    check_command(&w, "SETRANGE k 16384 x", ":16385\r\n");
    ask_prepare(&w, &a, 1, 0, "GET k");
    world_settle(&w);
    CHECK_EQ(answer_of(&a).reply_count, 1u);
    buf_deinit(&a.reply);
    check_order(&w, COMMIT, 1, 0, TXN_STATE_COMMITTED);
    check_prepare(&w, 1, "GET k", TXN_STATE_COMMITTED, "");
    CHECK(participant_memory(w.shard->participant) < 16384);
    world_stop(&w);
}

/* TXN-18: until the coordinator itself, who alone names its mark, says that it is committed. */
TEST(replies_are_kept_for_the_coordinator)
{
    struct shard_world w;
    struct ask a;
    world_start(&w);
    for (uint64_t mark = 0; mark < 2; mark++) {
        uint64_t sequence = 2 + mark;
        check_prepare(&w, sequence, "SET a 1", TXN_STATE_YES, OK);
        ask_order(&w, &a, COMMIT, sequence, mark);
        world_settle(&w);
        check_answer(&a, TXN_STATE_COMMITTED, "");
        ask_order(&w, &a, CHECK_VOTE, sequence, 0);
        world_settle(&w);
        check_answer(&a, TXN_STATE_COMMITTED, mark == 0 ? OK : "");
    }
    world_stop(&w);
}

/* TXN-10: at or below the mark nothing is created any more. */
TEST(mark_ends_them)
{
    struct shard_world w;
    world_start(&w);
    check_prepare(&w, 1, "INCR a", TXN_STATE_YES, ":1\r\n");
    check_order(&w, COMMIT, 1, 0, TXN_STATE_COMMITTED);
    check_order(&w, CHECK_VOTE, 2, 0, TXN_STATE_NO_VOTE);
    check_order(&w, MARK, 0, 2, TXN_STATE_NONE);
    uint64_t hash = participant_hash(w.shard->participant);
    check_prepare(&w, 1, "INCR a", TXN_STATE_FINISHED, "");
    check_order(&w, CHECK_VOTE, 2, 0, TXN_STATE_FINISHED);
    check_order(&w, COMMIT, 2, 0, TXN_STATE_FINISHED);
    check_order(&w, ABORT, 1, 0, TXN_STATE_FINISHED);
    check_order(&w, MARK, 0, 1, TXN_STATE_NONE); /* never back */
    check_prepare(&w, 2, "INCR a", TXN_STATE_FINISHED, "");
    CHECK_EQ(participant_hash(w.shard->participant), hash);
    check_command(&w, "GET a", "$1\r\n1\r\n");
    world_stop(&w);
}

/* It travels with everything else, and counts before what it comes with. */
TEST(mark_comes_with_others)
{
    struct shard_world w;
    struct work k;
    struct ask a;
    world_start(&w);
    check_order(&w, CHECK_VOTE, 1, 0, TXN_STATE_NO_VOTE);
    work_init(&k);
    work_add_all(&k, "SET a 1");
    k.work.mark = 1;
    ask_work(&w, &a, COMMAND_ID_TXNPREPARE, &k, 2);
    world_settle(&w);
    check_answer(&a, TXN_STATE_YES, OK);
    check_order(&w, CHECK_VOTE, 1, 0, TXN_STATE_FINISHED);
    check_order(&w, COMMIT, 2, 1, TXN_STATE_COMMITTED);
    check_order(&w, CHECK_VOTE, 3, 3, TXN_STATE_FINISHED);
    check_order(&w, CHECK_VOTE, 2, 0, TXN_STATE_FINISHED);
    work_deinit(&k);
    world_stop(&w);
}

/* TXN-12 */
TEST(close_and_end)
{
    struct shard_world w;
    struct ask a;
    world_start(&w);
    check_prepare(&w, 1, "SET a 1", TXN_STATE_YES, OK);
    ask_order(&w, &a, CLOSE, 0, 0);
    world_settle(&w);
    CHECK_EQ(answer_of(&a).prepared, 1u);
    buf_deinit(&a.reply);
    check_prepare(&w, 2, "SET b 1", TXN_STATE_NO_VOTE, "");
    check_order(&w, COMMIT, 1, 0, TXN_STATE_COMMITTED);
    ask_order(&w, &a, CLOSE, 0, 0);
    world_settle(&w);
    CHECK_EQ(answer_of(&a).prepared, 0u);
    buf_deinit(&a.reply);
    check_order(&w, END, 0, 0, TXN_STATE_NONE);
    check_prepare(&w, 1, "SET a 2", TXN_STATE_FINISHED, "");
    check_prepare(&w, 77, "SET a 2", TXN_STATE_FINISHED, "");
    check_command(&w, "GET a", "$1\r\n1\r\n");
    world_stop(&w);
}

/* ---- what must not be ------------------------------------------------------------------------ */

TEST(commit_onto_a_no_halts)
{
    struct shard_world w;
    world_start(&w);
    check_order(&w, CHECK_VOTE, 1, 0, TXN_STATE_NO_VOTE);
    check_halts(&w, COMMIT, 1, 0, "transaction 9.1.1: COMMIT where the vote was no");
    world_stop(&w);
}

TEST(commit_onto_nothing_halts)
{
    struct shard_world w;
    world_start(&w);
    check_halts(&w, COMMIT, 1, 0, "TXN-7");
    world_stop(&w);
}

TEST(commit_onto_aborted_halts)
{
    struct shard_world w;
    world_start(&w);
    check_prepare(&w, 1, "SET a 1", TXN_STATE_YES, OK);
    check_order(&w, ABORT, 1, 0, TXN_STATE_ABORTED);
    check_halts(&w, COMMIT, 1, 0, "TXN-7");
    world_stop(&w);
}

TEST(abort_onto_committed_halts)
{
    struct shard_world w;
    world_start(&w);
    check_prepare(&w, 1, "SET a 1", TXN_STATE_YES, OK);
    check_order(&w, COMMIT, 1, 0, TXN_STATE_COMMITTED);
    check_halts(&w, ABORT, 1, 0, "ABORT where it was committed (TXN-7)");
    world_stop(&w);
}

/* TXN-9, TXN-10: a coordinator that forgot this group. */
TEST(mark_past_a_prepared_one_halts)
{
    static const enum command_id orders[] = {MARK, CHECK_VOTE, ABORT};
    for (unsigned i = 0; i < 3; i++) {
        struct shard_world w;
        world_start(&w);
        check_prepare(&w, 1, "SET a 1", TXN_STATE_YES, OK);
        check_halts(&w, orders[i], orders[i] == MARK ? 0 : 2, 1, "(TXN-10)");
        world_stop(&w);
    }
}

TEST(end_without_close_halts)
{
    struct shard_world w;
    world_start(&w);
    check_halts(&w, END, 0, 0, "(TXN-12)");
    world_stop(&w);
}

/* ---- state on disk --------------------------------------------------------------------------- */

static void check_restored(struct shard_world *w, uint64_t hash)
{
    struct ask set;
    CHECK_EQ(shard_hash(w->shard), hash);
    world_win(w);
    w->env.base.is_halted = false;
    check_order(w, CHECK_VOTE, 1, 0, TXN_STATE_YES);
    check_order(w, CHECK_VOTE, 2, 0, TXN_STATE_COMMITTED);
    check_prepare(w, 3, "SET a 1", TXN_STATE_NO_VOTE, "");
    check_order(w, CHECK_VOTE, 100, 0, TXN_STATE_NO_VOTE);
    ask(w, &set, "SET a 2"); /* the locks are back */
    world_settle(w);
    check_reply(&set, NULL);
    check_order(w, COMMIT, 1, 0, TXN_STATE_COMMITTED);
    world_settle(w);
    check_reply(&set, OK);
    check_command(w, "GET b", "$1\r\n1\r\n");
}

static void fill(struct shard_world *w)
{
    check_command(w, "SET a 0", OK);
    check_prepare(w, 2, "SET b 1", TXN_STATE_YES, OK);
    check_order(w, COMMIT, 2, 0, TXN_STATE_COMMITTED);
    check_prepare(w, 1, "INCR a", TXN_STATE_YES, ":1\r\n");
    check_order(w, CHECK_VOTE, 3, 0, TXN_STATE_NO_VOTE);
    fold(w);
}

/* MOVE-3: what is prepared, tombstones and marks come back from rows. */
TEST(restart_with_prepared)
{
    struct shard_world w;
    struct replica_base base;
    struct error error = {0};
    world_start_missing(&w, store_medium_create(), 0);
    fill(&w);
    uint64_t hash = shard_hash(w.shard);
    store_sync_soon(&w.store);
    for (unsigned i = 0; i < 3; i++) {
        world_turn(&w);
    }
    world_lose(&w);
    shard_stop(w.shard);
    shard_destroy(w.shard);
    store_deinit(&w.store);
    w.replica.folded = w.replica.synced = 0;
    world_open(&w);
    CHECK_EQ(shard_replica_events()->restore(w.shard, 0, &base, &error), STATUS_OK);
    CHECK_EQ(base.index, w.replica.index_applied);
    store_ready(&w.store);
    check_restored(&w, hash);
    struct store_medium *medium = w.medium;
    world_stop(&w);
    store_medium_destroy(medium);
}

/* The head rows of the sender, under another generation. */
static void stage(struct shard_world *to, struct shard_world *from, uint32_t generation)
{
    struct buf at;
    struct omap_item row;
    bool was_starting = from->store.is_starting;
    from->store.is_starting = true;
    buf_init(&at, SIZE_MAX / 2);
    row_key_append_generation(&at, GROUP, 0);
    while (store_seek(&from->store, buf_bytes(&at), 0, &row) == STATUS_OK) {
        buf_clear(&at, SIZE_MAX);
        buf_append_bytes(&at, row.key);
        put_u32_be(at.data + 2, generation);
        struct blob *copy = blob_create(row.value->size);
        memcpy(copy->data, row.value->data, row.value->size);
        if (row.key.data[ROW_GENERATION_BYTES] <= ROW_KIND_GROUP) {
            omap_put(&to->snapshots.rows, buf_bytes(&at), copy);
        } else {
            store_put(&to->store, buf_bytes(&at), copy);
        }
        put_u32_be(at.data + 2, 0);
        buf_append(&at, "", 1);
    }
    buf_deinit(&at);
    from->store.is_starting = was_starting;
    to->snapshots.is_staged = true;
    to->snapshots.generation = generation;
}

TEST(snapshot_with_prepared)
{
    struct shard_world sender;
    struct shard_world w;
    struct replica_base base;
    struct error error = {0};
    world_start(&sender);
    fill(&sender);
    world_start(&w);
    check_prepare(&w, 50, "SET old 1", TXN_STATE_YES, OK); /* of before: gone */
    world_lose(&w);
    stage(&w, &sender, 7);
    CHECK_EQ(shard_replica_events()->restore(w.shard, 7, &base, &error), STATUS_OK);
    for (uint64_t i = w.replica.index_last + 1; i <= base.index; i++) {
        buf_init(&w.replica.entries[i], SIZE_MAX / 2);
    }
    w.replica.index_last = w.replica.index_applied = w.replica.index_commit = base.index;
    w.sequence = sender.sequence;
    check_restored(&w, shard_hash(sender.shard));
    check_order(&w, CHECK_VOTE, 50, 0, TXN_STATE_NO_VOTE);
    world_stop(&w);
    world_stop(&sender);
}

/* Damaged rows are not taken for a table. */
TEST(restore_refuses_bad_rows)
{
    struct shard_world w;
    struct replica_base base;
    struct error error = {0};
    world_start(&w);
    fill(&w);
    struct buf key;
    buf_init(&key, 64);
    row_key_append_txn(&key, GROUP, 0, COORDINATOR, 1, 4);
    store_put(&w.store, buf_bytes(&key), blob_create(3));
    buf_deinit(&key);
    fold(&w);
    w.store.is_starting = true;
    world_lose(&w);
    CHECK_EQ(shard_replica_events()->restore(w.shard, 0, &base, &error), STATUS_CORRUPT);
    world_stop(&w);
}

/* A follower that applies the same log has the same state; it never asks anybody. */
TEST(replicas_agree)
{
    struct shard_world w;
    struct shard_world follower;
    world_start(&w);
    fill(&w);
    check_order(&w, ABORT, 1, 0, TXN_STATE_ABORTED);
    check_prepare(&w, 5, "APPEND a x", TXN_STATE_YES, ":2\r\n");
    check_order(&w, CHECK_VOTE, 2, 1, TXN_STATE_COMMITTED);
    world_start(&follower);
    world_lose(&follower);
    for (uint64_t i = 1; i <= w.replica.index_last; i++) {
        struct buf *copy = &follower.replica.entries[i];
        buf_init(copy, SIZE_MAX / 2);
        buf_append_bytes(copy, buf_bytes(&w.replica.entries[i]));
        follower.replica.index_last = i;
        follower.replica.pending_bytes += copy->size;
    }
    world_apply_all(&follower);
    CHECK_EQ(shard_hash(follower.shard), shard_hash(w.shard));
    world_stop(&w);
    world_stop(&follower);
}

/* ---- who asks for outcomes ------------------------------------------------------------------- */

struct seen {
    unsigned count;
    uint64_t since_us;
    uint32_t participant_count;
};

static void see(void *ctx,
                const struct txn_id *id,
                const struct txn_record *record,
                uint64_t since_us)
{
    struct seen *seen = ctx;
    CHECK_EQ(id->sequence, 1u);
    seen->count++;
    seen->since_us = since_us;
    seen->participant_count = record->participant_count;
}

/* TXN-13: the age begins with the leadership, so that a new leader begins anew. */
TEST(prepared_are_told_to_the_leader)
{
    struct shard_world w;
    struct seen seen = {0};
    world_start(&w);
    fake_env_advance(&w.env, 10);
    check_prepare(&w, 1, "SET a 1", TXN_STATE_YES, OK);
    uint64_t voted_us = env_now_us(&w.env.base);
    fake_env_advance(&w.env, 50);
    shard_each_prepared(w.shard, see, &seen);
    CHECK_EQ(seen.count, 1u);
    CHECK_EQ(seen.since_us, voted_us);
    CHECK_EQ(seen.participant_count, 2u);
    world_lose(&w);
    shard_each_prepared(w.shard, see, &seen);
    CHECK_EQ(seen.count, 1u);
    fake_env_advance(&w.env, 50);
    world_win(&w);
    shard_each_prepared(w.shard, see, &seen);
    CHECK_EQ(seen.count, 2u);
    CHECK_EQ(seen.since_us, env_now_us(&w.env.base));
    check_order(&w, COMMIT, 1, 0, TXN_STATE_COMMITTED);
    shard_each_prepared(w.shard, see, &seen);
    CHECK_EQ(seen.count, 2u);
    world_stop(&w);
}
