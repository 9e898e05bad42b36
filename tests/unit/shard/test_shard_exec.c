/* Transactions of one group: one entry, no record (TXN-19); and the reads of coordinators. */
#include "txn_world.h"

#define WRONG "-ERR value is not an integer or out of range\r\n"

/* ---- EXEC ------------------------------------------------------------------------------------ */

TEST(exec_is_one_entry)
{
    struct shard_world w;
    world_start(&w);
    check_exec(&w,
               0,
               "SET a 1;INCR a;GET a;GET b",
               TXN_STATE_COMMITTED,
               OK ":2\r\n$1\r\n2\r\n" NIL);
    CHECK_EQ(w.replica.index_last, 1u);
    check_command(&w, "GET a", "$1\r\n2\r\n");
    check_exec(&w, 0, "", TXN_STATE_COMMITTED, "");
    CHECK_EQ(participant_prepared_count(w.shard->participant), 0u);
    world_stop(&w);
}

/* As in Redis: a run-time error leaves the others' effects. */
TEST(exec_goes_on_behind_an_error)
{
    struct shard_world w;
    world_start(&w);
    check_exec(&w, 0, "SET a x;INCR a;SET b 1", TXN_STATE_COMMITTED, OK WRONG OK);
    check_command(&w, "MGET a b", "*2\r\n$1\r\nx\r\n$1\r\n1\r\n");
    world_stop(&w);
}

/* STRICT: all or nothing; the answer is the error. */
TEST(exec_strict)
{
    struct shard_world w;
    world_start(&w);
    check_exec(&w, TXN_STRICT, "SET a x;INCR a;SET b 1", TXN_STATE_NO_ERROR, WRONG);
    check_command(&w, "MGET a b", "*2\r\n" NIL NIL);
    check_exec(&w, TXN_STRICT, "SET a 7;INCR a;DEL c", TXN_STATE_COMMITTED, OK ":8\r\n:0\r\n");
    check_exec(&w, TXN_STRICT, "GET a;DEL a;GET a", TXN_STATE_COMMITTED, "$1\r\n8\r\n:1\r\n" NIL);
    check_command(&w, "EXISTS a", ":0\r\n");
    world_stop(&w);
}

TEST(exec_over_databases)
{
    struct shard_world w;
    struct work k;
    struct ask a;
    for (unsigned flags = 0; flags <= TXN_STRICT; flags += TXN_STRICT) {
        world_start(&w);
        work_init(&k);
        k.work.flags = flags;
        work_add(&k, 2, "SET a two");
        work_add(&k, 0, "SET a zero");
        work_add(&k, 2, "GET a");
        ask_work(&w, &a, COMMAND_ID_EXEC, &k, 0);
        world_settle(&w);
        check_answer(&a, TXN_STATE_COMMITTED, OK OK "$3\r\ntwo\r\n");
        check_command(&w, "GET a", "$4\r\nzero\r\n");
        CHECK_EQ(shard_counts(w.shard, 2).keys, 1u);
        work_deinit(&k);
        world_stop(&w);
    }
}

/* WATCH: every change of the key counts, so do deletion and expiry. */
TEST(exec_compares)
{
    static const struct {
        const char *change;
        bool is_same;
    } cases[] = {
        {"SET other v", true},
        {"GET k", true},
        {"SET k v", false},
        {"DEL k", false},
        {"EXPIRE k 100", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct shard_world w;
        struct work k;
        struct ask change;
        struct ask a;
        world_start(&w);
        check_command(&w, "SET k v", OK);
        work_init(&k);
        work_compare(&k, "k", version_at(&w, "k"), i % 2 == 0);
        work_compare(&k, "absent", 0, false);
        work_add_all(&k, "SET done 1");
        ask(&w, &change, cases[i].change);
        world_settle(&w);
        buf_deinit(&change.reply);
        ask_work(&w, &a, COMMAND_ID_EXEC, &k, 0);
        world_settle(&w);
        CHECK_EQ(answer_of(&a).is_watched, !cases[i].is_same && i % 2 == 0);
        check_answer(&a,
                     cases[i].is_same ? TXN_STATE_COMMITTED : TXN_STATE_NO_COMPARE,
                     cases[i].is_same ? OK : "");
        check_command(&w, "EXISTS done", cases[i].is_same ? ":1\r\n" : ":0\r\n");
        work_deinit(&k);
        world_stop(&w);
    }
}

/* ORD-4, ORD-6: the gateway's time counts, up to a bound; what is due by it is gone. */
TEST(exec_takes_the_gateways_time)
{
    struct shard_world w;
    struct work k;
    struct ask a;
    world_start(&w);
    check_command(&w, "SET k v PX 100", OK);
    work_init(&k);
    uint64_t start_ms = w.shard->time_ms;
    k.work.time_ms = start_ms + 100;
    work_add_all(&k, "GET k;SET n v PX 10");
    ask_work(&w, &a, COMMAND_ID_EXEC, &k, 0);
    world_settle(&w);
    check_answer(&a, TXN_STATE_COMMITTED, NIL OK);
    CHECK_EQ(w.shard->time_ms, k.work.time_ms);
    k.work.time_ms = start_ms + SHARD_CLOCK_AHEAD_MS + 1;
    ask_work(&w, &a, COMMAND_ID_EXEC, &k, 0);
    world_settle(&w);
    check_reply(&a, "-ERR the clock of the node this client talks to is ahead of the others'\r\n");
    CHECK(w.shard->time_ms < k.work.time_ms);
    k.work.time_ms--;
    ask_work(&w, &a, COMMAND_ID_EXEC, &k, 0);
    world_settle(&w);
    check_answer(&a, TXN_STATE_COMMITTED, NIL OK);
    work_deinit(&k);
    world_stop(&w);
}

/* DUP-2: a copy finds the answer. */
TEST(exec_runs_once)
{
    struct shard_world w;
    struct work k;
    struct ask a;
    struct buf argument;
    world_start(&w);
    work_init(&k);
    work_add_all(&k, "INCR n");
    work_bytes(&k, 0, &argument);
    ask_internal(&w, &a, COMMAND_ID_EXEC, buf_bytes(&argument), (struct request_id){0}, 0);
    world_settle(&w);
    struct request_id id = a.id;
    check_answer(&a, TXN_STATE_COMMITTED, ":1\r\n");
    ask_internal(&w, &a, COMMAND_ID_EXEC, buf_bytes(&argument), id, 0);
    world_settle(&w);
    check_answer(&a, TXN_STATE_COMMITTED, ":1\r\n");
    check_command(&w, "GET n", "$1\r\n1\r\n");
    buf_deinit(&argument);
    work_deinit(&k);
    world_stop(&w);
}

/* ---- reads ----------------------------------------------------------------------------------- */

/* Values and versions of one instant, no entry; versions one a key, as the commands name them. */
TEST(execread_tells_versions)
{
    struct shard_world w;
    struct work k;
    struct ask a;
    world_start(&w);
    check_command(&w, "SET a 1", OK);
    check_command(&w, "SET b 2", OK);
    work_init(&k);
    work_compare(&k, "a", version_at(&w, "a"), true);
    work_add_all(&k, "MGET b c b;GET a");
    uint64_t entries = w.replica.index_last;
    ask_work(&w, &a, COMMAND_ID_EXECREAD, &k, 0);
    CHECK(!a.is_done); /* READ-1 */
    world_settle(&w);
    struct txn_answer answer = answer_of(&a);
    CHECK_EQ(answer.versions.size, 4 * 8u);
    CHECK_EQ(get_u64_le(answer.versions.data), version_at(&w, "b"));
    CHECK_EQ(get_u64_le(answer.versions.data + 8), answered_at(&w, "c"));
    CHECK_EQ(get_u64_le(answer.versions.data + 16), version_at(&w, "b"));
    CHECK_EQ(get_u64_le(answer.versions.data + 24), version_at(&w, "a"));
    check_answer(&a, TXN_STATE_COMMITTED, "*3\r\n$1\r\n2\r\n" NIL "$1\r\n2\r\n$1\r\n1\r\n");
    CHECK_EQ(w.replica.index_last, entries);
    check_command(&w, "SET a 3", OK);
    ask_work(&w, &a, COMMAND_ID_EXECREAD, &k, 0);
    world_settle(&w);
    CHECK(answer_of(&a).is_watched);
    check_answer(&a, TXN_STATE_NO_COMPARE, "");
    work_deinit(&k);
    world_stop(&w);
}

/* TXN-14: absent, there, absent again is not the same for two looks; for compares it is (TXN-22).
 */
TEST(absent_keys_tell_what_was_meanwhile)
{
    static const char *const ends[] = {"DEL k", "FLUSHDB", "RENAME k other", "GETDEL k"};
    static const char *const replies[] = {":1\r\n", OK, OK, "$1\r\nv\r\n"};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        struct shard_world w;
        world_start(&w);
        uint64_t before = answered_at(&w, "k");
        CHECK((before & TXN_VERSION_ABSENT) != 0);
        check_command(&w, "SET unrelated v", OK);
        CHECK_EQ(answered_at(&w, "k"), before);
        check_command(&w, "SET k v", OK);
        CHECK((answered_at(&w, "k") & TXN_VERSION_ABSENT) == 0);
        check_command(&w, ends[i], replies[i]);
        uint64_t after = answered_at(&w, "k");
        CHECK((after & TXN_VERSION_ABSENT) != 0);
        CHECK(after != before);
        CHECK_EQ(version_at(&w, "k"), 0u);
        world_stop(&w);
    }
}

/* TXN-14: it was there, and nobody has deleted it since its time came. */
TEST(expired_keys_tell_what_was_meanwhile)
{
    struct shard_world w;
    world_start(&w);
    uint64_t before = answered_at(&w, "k");
    check_command(&w, "SET k v PX 100", OK);
    fake_env_advance(&w.env, 100);
    check_command(&w, "SET unrelated v", OK); /* now group time says so, too */
    uint64_t expired = answered_at(&w, "k");
    CHECK((expired & TXN_VERSION_ABSENT) != 0);
    CHECK(expired != before);
    CHECK_EQ(answered_at(&w, "k"), expired);
    check_command(&w, "DEL k", ":0\r\n");
    CHECK(answered_at(&w, "k") != before);
    world_stop(&w);
}

/* ORD-5: also inside a transaction a reader ends no key by its clock alone. */
TEST(execread_of_a_key_that_is_due)
{
    struct shard_world w;
    struct work k;
    struct ask a;
    world_start(&w);
    check_command(&w, "SET k v PX 100", OK);
    fake_env_advance(&w.env, 100);
    work_init(&k);
    work_add_all(&k, "GET k");
    ask_work(&w, &a, COMMAND_ID_EXECREAD, &k, 0);
    world_settle(&w);
    check_answer(&a, TXN_STATE_COMMITTED, NIL);
    CHECK_EQ(w.replica.index_last, 2u);
    CHECK_EQ(version_at(&w, "k"), 0u);
    work_deinit(&k);
    world_stop(&w);
}

/* ---- sizes ----------------------------------------------------------------------------------- */

#define TOO_LARGE                                                                                  \
    "-ERR the transaction is too large: in one group it may write at most 135266304 bytes, and "   \
    "until it is decided keep at most 83886080 bytes of keys, values and replies; nothing was "    \
    "executed\r\n"
#define LARGEST "67108863 x" /* behind SETRANGE and a key */

static void check_too_large(struct shard_world *w, enum command_id number, const char *commands)
{
    struct work k;
    struct ask a;
    work_init(&k);
    work_add_all(&k, commands);
    ask_work(w, &a, number, &k, number == COMMAND_ID_EXEC ? 0 : 1);
    world_settle(w);
    check_reply(&a, TOO_LARGE);
    CHECK_EQ(shard_counts(w->shard, 0).keys, 1u);
    CHECK_EQ(shard_txn_counts(w->shard).records, 0u);
    work_deinit(&k);
}

/* Short commands make long rows, which are in memory at once: all of it is refused, or nothing. */
TEST(growth_is_bounded)
{
    struct shard_world w;
    world_start(&w);
    check_command(&w, "SETRANGE a " LARGEST, ":67108864\r\n");
    static const char *const bodies[] = {
        "SET n 1;SETRANGE b " LARGEST ";SETRANGE c " LARGEST ";SETRANGE d " LARGEST,
        "APPEND k x;COPY a b;COPY b c;COPY c d", /* rows that it makes itself */
        "SETRANGE b " LARGEST ";SETRANGE b 1 y;SETRANGE b 2 y;DEL b", /* the same one */
    };
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        check_too_large(&w, COMMAND_ID_EXEC, bodies[i]);
        check_too_large(&w, COMMAND_ID_TXNPREPARE, bodies[i]);
    }
    check_too_large(&w, COMMAND_ID_TXNPREPARE, "COPY a b;COPY a c"); /* to be kept */
    check_exec(&w, 0, "COPY a b;COPY a c;DEL b c", TXN_STATE_COMMITTED, ":1\r\n:1\r\n:2\r\n");
    world_stop(&w);
}

/* NEED-5: transactions whose rows are long do not share an entry, nor do their outcomes. */
TEST(growing_ones_do_not_share_an_entry)
{
    struct shard_world w;
    struct ask asks[4];
    world_start(&w);
    for (size_t i = 0; i < 2; i++) {
        struct work k;
        work_init(&k);
        work_add_all(&k, i == 0 ? "SETRANGE a 41943039 x" : "SETRANGE b 41943039 x");
        ask_work(&w, &asks[i], COMMAND_ID_EXEC, &k, 0);
        work_deinit(&k);
    }
    world_settle(&w);
    CHECK_EQ(w.replica.index_last, 2u);
    ask_prepare(&w, &asks[2], 1, 0, "APPEND a y");
    ask_prepare(&w, &asks[3], 2, 0, "APPEND b y");
    world_settle(&w);
    CHECK_EQ(w.replica.index_last, 4u);
    for (size_t i = 0; i < 4; i++) {
        CHECK_EQ(answer_of(&asks[i]).state, i < 2 ? TXN_STATE_COMMITTED : TXN_STATE_YES);
        buf_deinit(&asks[i].reply);
    }
    ask_order(&w, &asks[0], COMMAND_ID_TXNCOMMIT, 1, 0);
    ask_order(&w, &asks[1], COMMAND_ID_TXNCOMMIT, 2, 0);
    world_settle(&w);
    CHECK_EQ(w.replica.index_last, 6u);
    for (size_t i = 0; i < 2; i++) {
        CHECK_EQ(answer_of(&asks[i]).state, TXN_STATE_COMMITTED);
        buf_deinit(&asks[i].reply);
    }
    world_stop(&w);
}

/* What is prepared is kept in memory by every replica: too much of it is a conflict. */
TEST(prepared_ones_together_are_bounded)
{
    struct shard_world w;
    world_start(&w);
    check_prepare(&w, 1, "SETRANGE a " LARGEST, TXN_STATE_YES, ":67108864\r\n");
    check_prepare(&w, 2, "SETRANGE b " LARGEST, TXN_STATE_YES, ":67108864\r\n");
    check_prepare(&w, 3, "SETRANGE c " LARGEST, TXN_STATE_NO_CONFLICT, "");
    check_prepare(&w, 4, "SET small 1", TXN_STATE_YES, OK);
    check_order(&w, COMMAND_ID_TXNABORT, 1, 0, TXN_STATE_ABORTED);
    check_prepare(&w, 5, "SETRANGE c " LARGEST, TXN_STATE_YES, ":67108864\r\n");
    world_stop(&w);
}

/* ---- rows and arguments ---------------------------------------------------------------------- */

TEST(rows_are_objects)
{
    struct shard_world w;
    struct ask a;
    struct buf argument;
    struct object object;
    struct bytes row;
    world_start(&w);
    check_command(&w, "SET a v PX 5000", OK);
    buf_init(&argument, SIZE_MAX / 2);
    txn_key_append(&argument, &(struct txn_key){.key = bytes_of_text("a")});
    txn_key_append(&argument, &(struct txn_key){.database = 3, .key = bytes_of_text("a")});
    ask_internal(&w, &a, COMMAND_ID_ROWS, buf_bytes(&argument), (struct request_id){0}, 0);
    world_settle(&w);
    struct bytes rows = answer_of(&a).rows;
    CHECK_EQ(txn_row_take(&rows, &row), STATUS_OK);
    CHECK_EQ(object_decode(row, &object), STATUS_OK);
    CHECK_BYTES(object.value, bytes_of_text("v"));
    CHECK_EQ(object.version, version_at(&w, "a"));
    CHECK_EQ(object.expires_ms, w.shard->time_ms + 5000);
    CHECK_EQ(txn_row_take(&rows, &row), STATUS_OK);
    CHECK_EQ(row.size, 0u);
    CHECK_EQ(rows.size, 0u);
    buf_deinit(&a.reply);
    buf_deinit(&argument);
    world_stop(&w);
}

/* ---- what is refused ------------------------------------------------------------------------- */

/* Before it is proposed, so that no log has it. */
TEST(bad_arguments_are_answered)
{
    static const struct {
        enum command_id number;
        const char *body;
    } cases[] = {
        {COMMAND_ID_EXECREAD, "SET a 1"}, /* a write among reads */
        {COMMAND_ID_EXEC, "FLUSHDB"},     /* whole databases have no keys to lock */
        {COMMAND_ID_EXEC, "DBSIZE"},
        {COMMAND_ID_EXECREAD, "SCAN 0"},
        {COMMAND_ID_EXEC, "PING"},
        {COMMAND_ID_TXNPREPARE, "FLUSHALL"},
    };
    struct shard_world w;
    struct ask a;
    world_start(&w);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct work k;
        work_init(&k);
        work_add_all(&k, cases[i].body);
        ask_work(&w, &a, cases[i].number, &k, cases[i].number == COMMAND_ID_TXNPREPARE ? 1 : 0);
        CHECK(a.is_done);
        CHECK_EQ(a.verdict, SHARD_DONE);
        CHECK(a.reply.size > 4 && memcmp(a.reply.data, "-ERR", 4) == 0);
        buf_deinit(&a.reply);
        work_deinit(&k);
    }
    for (int id = COMMAND_ID_EXEC; id <= COMMAND_ID_TXNEND; id++) {
        ask_internal(&w, &a, (enum command_id)id, bytes_of_text("x"), (struct request_id){0}, 0);
        check_reply(&a, "-ERR malformed transaction\r\n");
    }
    world_turn(&w);
    CHECK_EQ(w.replica.index_last, 0u);
    world_stop(&w);
}

/* From a log it is damage. */
TEST(bad_argument_in_an_entry)
{
    struct shard_world w;
    struct buf entry;
    struct bytes argument = bytes_of_text("x");
    struct entry_command c = {.id = COMMAND_ID_EXEC, .semantics = 1, .resp = 2, .arg_count = 1};
    world_start(&w);
    buf_init(&entry, SIZE_MAX / 2);
    entry_start(&entry);
    entry_append(&entry, &c, &argument);
    entry_finish(&entry, &(struct entry_header){.count = 1});
    CHECK_EQ(shard_replica_events()->apply(w.shard, 1, buf_bytes(&entry)), STATUS_CORRUPT);
    buf_deinit(&entry);
    world_stop(&w);
}

/* ---- rows that are not at hand --------------------------------------------------------------- */

/* NEED-1: also keys inside bodies, compares, effects and of what COMMIT does are fetched before. */
TEST(bodies_are_fetched)
{
    for (unsigned misses = 200; misses <= 1000; misses += 400) {
        struct shard_world w;
        struct work k;
        struct ask a;
        world_start_missing(&w, NULL, misses);
        check_command(&w, "MSET a 1 b 2 c 3 d 4", OK);
        for (unsigned i = 0; i < 3; i++) {
            store_fold_soon(&w.store);
            world_turn(&w);
        }
        check_exec(&w, 0, "INCR a;GET b", TXN_STATE_COMMITTED, ":2\r\n$1\r\n2\r\n");
        check_exec(&w, TXN_STRICT, "INCR b;GET a", TXN_STATE_COMMITTED, ":3\r\n$1\r\n2\r\n");
        work_init(&k);
        work_compare(&k, "d", version_at(&w, "d"), true);
        work_add_all(&k, "INCR c;INCR a");
        ask_work(&w, &a, COMMAND_ID_TXNPREPARE, &k, 1);
        world_settle(&w);
        check_answer(&a, TXN_STATE_YES, ":4\r\n:3\r\n");
        store_fold_soon(&w.store);
        world_turn(&w);
        check_order(&w, COMMAND_ID_TXNCOMMIT, 1, 0, TXN_STATE_COMMITTED);
        work_deinit(&k);
        work_init(&k);
        work_add_all(&k, "MGET a b c d");
        ask_work(&w, &a, COMMAND_ID_EXECREAD, &k, 0);
        world_settle(&w);
        check_answer(&a, TXN_STATE_COMMITTED, "*4\r\n$1\r\n3\r\n$1\r\n3\r\n$1\r\n4\r\n$1\r\n4\r\n");
        work_deinit(&k);
        world_stop(&w);
    }
}
