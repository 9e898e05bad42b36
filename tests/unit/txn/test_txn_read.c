/* Reads without a consensus round, one group alone, WATCH, and commands that run at the gateway. */
#include "txn_world.h"

TEST(one_group_is_one_request)
{
    struct world w;
    struct deal d;
    world_start(&w);
    submit(&w, &d, "set b 1;get f", "n 4", true);
    CHECK_EVENTS(&w, "g1 in stream exec1 strict (watch n 4) [set b 1] [get f]\n");
    answer_replies(&w, 1, TXN_STATE_COMMITTED, 2, "+OK\r\n$-1\r\n");
    CHECK_EVENTS(&w, "committed: +OK $-1\n");
    deal_end(&d);
    submit(&w, &d, "get b;get f", "", false);
    CHECK_EVENTS(&w, "g1 in stream execread [get b] [get f]\n");
    answer_error(&w, 1, ROUTER_REFUSED, "CLUSTERDOWN no leader");
    CHECK_EVENTS(&w, "not executed: -CLUSTERDOWN no leader\n");
    deal_end(&d);
    submit(&w, &d, "incr b", "b 4", false);
    answer(&w, 1, TXN_STATE_NO_COMPARE);
    fake_env_forget(&w.env);
    CHECK_EQ(txn_counts(w.m).changed, 1u);
    deal_end(&d);
    submit(&w, &d, "incr b", "", false);
    fake_env_forget(&w.env);
    answer_error(&w, 1, ROUTER_UNKNOWN, "UNKNOWNRESULT no answer");
    CHECK_EVENTS(&w,
                 "unknown: -UNKNOWNRESULT the transaction may or may not have been executed (no "
                 "answer of its group in time, or a lost reply)\n");
    deal_end(&d);
    world_end(&w);
}

/* TXN-14: the second look begins after the last answer of the first. */
TEST(two_looks_that_agree)
{
    struct world w;
    struct deal d;
    world_start(&w);
    submit(&w, &d, "mget b c;get f", "", false);
    raise_barrier(&w);
    CHECK_EVENTS(&w, "g1 execread [mget b] [get f]\ng2 execread [mget c]\n");
    answer_read(&w, 1, 2, "*1\r\n$1\r\nB\r\n$-1\r\n", (uint64_t[]){5, TXN_VERSION_ABSENT | 3}, 2);
    CHECK_EVENTS(&w, "");
    answer_read(&w, 2, 1, "*1\r\n$1\r\nC\r\n", (uint64_t[]){8}, 1);
    CHECK_EVENTS(&w, "g1 versions b f\ng2 versions c\n");
    answer_version(&w, 2, 8);
    answer_read(&w, 1, 0, "", (uint64_t[]){5, TXN_VERSION_ABSENT | 3}, 2);
    CHECK_EVENTS(&w, "barrier ends\ncommitted: *2 $1 B $1 C $-1\n");
    deal_end(&d);
    world_end(&w);
}

/* Again, and after three times as an ordinary transaction with locks. */
TEST(looks_that_differ)
{
    struct world w;
    struct deal d;
    world_start(&w);
    submit(&w, &d, "mget b c", "", false);
    raise_barrier(&w);
    for (uint64_t i = 1; i <= 3; i++) {
        CHECK_EVENTS(&w, "g1 execread [mget b]\ng2 execread [mget c]\n");
        answer_read(&w, 1, 1, "*1\r\n$1\r\nB\r\n", &i, 1);
        answer_read(&w, 2, 1, "*1\r\n$1\r\nC\r\n", &i, 1);
        CHECK_EVENTS(&w, "g1 versions b\ng2 versions c\n");
        answer_version(&w, 1, i + 1);
        answer_version(&w, 2, i);
    }
    CHECK_EVENTS(&w,
                 "g1 txnprepare 1.1.1/0 of 1 2 [mget b]\ng2 txnprepare 1.1.1/0 of 1 2 [mget c]\n");
    answer_replies(&w, 1, TXN_STATE_YES, 1, "*1\r\n$1\r\nB\r\n");
    answer_replies(&w, 2, TXN_STATE_YES, 1, "*1\r\n$1\r\nC\r\n");
    CHECK_EVENTS(&w,
                 "barrier ends\n"
                 "committed: *2 $1 B $1 C\n");
    fake_env_advance(&w.env, 1);
    CHECK_EVENTS(&w,
                 "g1 txncommit 1.1.1/0\n"
                 "g2 txncommit 1.1.1/0\n");
    answer(&w, 1, TXN_STATE_COMMITTED);
    answer(&w, 2, TXN_STATE_COMMITTED);
    CHECK_EQ(txn_counts(w.m).read_again, 3u);
    deal_end(&d);
    world_end(&w);
}

/* Absent, there, absent again: two looks must not take it for the same. */
TEST(an_absent_key_that_was_there_meanwhile)
{
    struct world w;
    struct deal d;
    world_start(&w);
    submit(&w, &d, "mget b c", "", false);
    raise_barrier(&w);
    answer_read(&w, 1, 1, "*1\r\n$-1\r\n", (uint64_t[]){TXN_VERSION_ABSENT | 1}, 1);
    answer_read(&w, 2, 1, "*1\r\n$1\r\nC\r\n", (uint64_t[]){5}, 1);
    fake_env_forget(&w.env);
    answer_version(&w, 1, TXN_VERSION_ABSENT | 9);
    answer_version(&w, 2, 5);
    CHECK_EVENTS(&w, "g1 execread [mget b]\ng2 execread [mget c]\n");
    answer_error(&w, 1, ROUTER_REFUSED, "CLUSTERDOWN no leader");
    CHECK_EVENTS(&w, "barrier ends\nnot executed: -CLUSTERDOWN no leader\n");
    answer_error(&w, 2, ROUTER_REFUSED, "CLUSTERDOWN no leader"); /* nobody waits any more */
    CHECK_EVENTS(&w, "");
    deal_end(&d);
    world_end(&w);
}

TEST(reads_with_a_watch)
{
    struct world w;
    struct deal d;
    world_start(&w);
    submit(&w, &d, "get b;get c", "d 4", false);
    raise_barrier(&w);
    fake_env_forget(&w.env);
    answer_read(&w, 1, 1, "$1\r\nB\r\n", (uint64_t[]){5}, 1);
    answer_read(&w, 2, 1, "$1\r\nC\r\n", (uint64_t[]){6}, 1);
    CHECK_EVENTS(&w, "g1 versions b\ng2 versions c\ng3 versions d\n");
    answer_version(&w, 1, 5);
    answer_version(&w, 2, 6);
    answer_version(&w, 3, 7);
    CHECK_EVENTS(&w, "barrier ends\nchanged: \n");
    deal_end(&d);
    world_end(&w);
}

/* ---- WATCH ----------------------------------------------------------------------------------- */

static bool the_watch_is_good;
static unsigned the_watches;

static void on_watch(struct txn_watch_request *r, bool is_good)
{
    (void)r;
    the_watch_is_good = is_good;
    the_watches++;
}

TEST(versions_of_watched_keys)
{
    struct world w;
    uint64_t versions[3] = {0};
    struct buf error;
    struct txn_key keys[] = {
        {.key = bytes_of_text("c")},
        {.key = bytes_of_text("b"), .database = 3},
        {.key = bytes_of_text("g")},
    };
    world_start(&w);
    buf_init(&error, 1000);
    struct txn_watch_request r = {
        .keys = keys,
        .key_count = 3,
        .stream = &w.stream,
        .versions = versions,
        .error = &error,
        .done = on_watch,
    };
    the_watches = 0;
    txn_watch(w.m, &r);
    raise_barrier(&w);
    CHECK_EVENTS(&w, "g1 versions b@3\ng2 versions c g\n");
    answer_version(&w, 1, 11);
    answer_read(&w, 2, 0, "", (uint64_t[]){22, TXN_VERSION_ABSENT | 7}, 2);
    CHECK_EVENTS(&w, "barrier ends\n");
    CHECK(the_watches == 1 && the_watch_is_good);
    CHECK_EQ(versions[0], 22u);
    CHECK_EQ(versions[1], 11u);
    CHECK_EQ(versions[2], 0u); /* absent is absent (TXN-22) */
    r.key_count = 1;
    txn_watch(w.m, &r);
    CHECK_EVENTS(&w, "g2 in stream versions c\n");
    answer_error(&w, 2, ROUTER_REFUSED, "CLUSTERDOWN no leader");
    CHECK(the_watches == 2 && !the_watch_is_good);
    CHECK_BYTES(buf_bytes(&error), bytes_of_text("-CLUSTERDOWN no leader\r\n"));
    buf_deinit(&error);
    world_end(&w);
}

/* ---- at the gateway -------------------------------------------------------------------------- */

/* TXN-20: what was read is compared with what is, and the reply comes after the commit. */
TEST(rename_over_groups)
{
    struct world w;
    struct deal d;
    world_start(&w);
    submit(&w, &d, "rename b c", "", false);
    raise_barrier(&w);
    CHECK_EVENTS(&w, "g1 rows b\ng2 rows c\n");
    answer_row(&w, 2, NULL, 0);
    answer_row(&w, 1, "value", 7);
    CHECK_EVENTS(&w,
                 "g1 txnprepare 1.1.1/0 of 1 2 (b 7) {delete b}\n"
                 "g2 txnprepare 1.1.1/0 of 1 2 (c 0) {put c value}\n");
    answer(&w, 1, TXN_STATE_YES);
    answer(&w, 2, TXN_STATE_YES);
    CHECK_EVENTS(&w,
                 "barrier ends\n"
                 "committed: +OK\n");
    fake_env_advance(&w.env, 1);
    CHECK_EVENTS(&w,
                 "g1 txncommit 1.1.1/0\n"
                 "g2 txncommit 1.1.1/0\n");
    answer(&w, 1, TXN_STATE_COMMITTED);
    answer(&w, 2, TXN_STATE_COMMITTED);
    deal_end(&d);
    world_end(&w);
}

/* The key has changed since its row was read: from the beginning. */
TEST(a_row_that_has_changed)
{
    struct world w;
    struct deal d;
    world_start(&w);
    submit(&w, &d, "rename b c;set b new", "f 3", false);
    raise_barrier(&w);
    answer_row(&w, 1, "value", 7);
    answer_row(&w, 2, NULL, 0);
    CHECK_EVENTS(&w,
                 "g1 rows b\ng2 rows c\n"
                 "g1 txnprepare 1.1.1/0 of 1 2 (watch f 3) (b 7) {put b new}\n"
                 "g2 txnprepare 1.1.1/0 of 1 2 (c 0) {put c value}\n");
    answer(&w, 1, TXN_STATE_NO_COMPARE);
    answer(&w, 2, TXN_STATE_YES);
    answer(&w, 1, TXN_STATE_NO_COMPARE);
    answer(&w, 2, TXN_STATE_ABORTED);
    fake_env_forget(&w.env);
    fake_env_advance(&w.env, 2);
    CHECK_EVENTS(&w, "g1 rows b\ng2 rows c\n");
    answer_row(&w, 1, "other", 8);
    answer_row(&w, 2, "there", 4);
    CHECK_EVENTS(&w,
                 "g1 txnprepare 1.1.2/1 of 1 2 (watch f 3) (b 8) {put b new}\n"
                 "g2 txnprepare 1.1.2/1 of 1 2 (c 4) {put c other}\n");
    answer(&w, 1, TXN_STATE_YES);
    answer(&w, 2, TXN_STATE_YES);
    fake_env_advance(&w.env, 1);
    answer(&w, 1, TXN_STATE_COMMITTED);
    answer(&w, 2, TXN_STATE_COMMITTED);
    CHECK(d.is_done);
    deal_end(&d);
    world_end(&w);
}

/* Nothing to be done: neither values nor errors are shown before a second look (TXN-20). */
TEST(values_and_errors_are_proved)
{
    struct world w;
    struct deal d;
    world_start(&w);
    submit(&w, &d, "lcs b c;rename b c", "", true);
    raise_barrier(&w);
    answer_row(&w, 1, NULL, 0);
    answer_row(&w, 2, "x", 4);
    CHECK_EVENTS(&w, "g1 rows b\ng2 rows c\ng1 versions b\ng2 versions c\n");
    answer_version(&w, 1, TXN_VERSION_ABSENT);
    answer_version(&w, 2, 4);
    CHECK_EVENTS(&w, "barrier ends\nfailed: -ERR no such key\n");
    deal_end(&d);
    submit(&w, &d, "lcs b c", "", false);
    raise_barrier(&w);
    answer_row(&w, 1, "axb", 3);
    answer_row(&w, 2, "ab", 4);
    answer_version(&w, 1, 3);
    answer_version(&w, 2, 5);
    fake_env_forget(&w.env);
    fake_env_advance(&w.env, 2);
    answer_row(&w, 1, "axb", 3);
    answer_row(&w, 2, "b", 5);
    answer_version(&w, 1, 3);
    answer_version(&w, 2, 5);
    CHECK_EVENTS(&w,
                 "g1 rows b\ng2 rows c\ng1 versions b\ng2 versions c\n"
                 "barrier ends\ncommitted: $1 b\n");
    deal_end(&d);
    world_end(&w);
}

/*
 * A row that is due by this node's clock, and was there by that of its group: before anybody is
 * told that the key is gone, the group has to say so (ORD-5). PREPARE brings the time with it
 * (ORD-6).
 */
TEST(what_has_expired_here_is_voted_on)
{
    struct world w;
    struct deal d;
    world_start(&w);
    submit(&w, &d, "lcs b c", "", false);
    raise_barrier(&w);
    answer_row_until(&w, 1, "axb", 3, env_wall_ms(&w.env.base));
    answer_row(&w, 2, "ab", 4);
    CHECK_EVENTS(&w,
                 "g1 rows b\ng2 rows c\n"
                 "g1 txnprepare 1.1.1/0 of 1 2 (b 0)\n"
                 "g2 txnprepare 1.1.1/0 of 1 2 (c 4)\n");
    answer(&w, 1, TXN_STATE_YES);
    answer(&w, 2, TXN_STATE_YES);
    CHECK_EVENTS(&w, "barrier ends\ncommitted: $0 \n");
    fake_env_advance(&w.env, 1);
    answer(&w, 1, TXN_STATE_COMMITTED);
    answer(&w, 2, TXN_STATE_COMMITTED);
    deal_end(&d);
    world_end(&w);
}

/* Names of keys are larger in a look than in a command: short ones, and very many of them. */
TEST(too_many_keys_for_a_look)
{
    enum {
        KEYS = 60000,
        COMMANDS = 180
    };
    struct world w;
    struct bytes *args = mem_alloc((KEYS + 1) * sizeof args[0]);
    struct txn_command *commands = mem_alloc(COMMANDS * sizeof commands[0]);
    struct deal d = {.world = &w};
    world_start(&w);
    args[0] = bytes_of_text("exists");
    for (size_t i = 1; i <= KEYS; i++) {
        args[i] = bytes_of_text(i % 1000 == 0 ? "c" : "b");
    }
    for (size_t i = 0; i < COMMANDS; i++) {
        commands[i] = (struct txn_command){
            .command = command_find(args, KEYS + 1),
            .args = args,
            .arg_count = KEYS + 1,
        };
    }
    buf_init(&d.replies, SIZE_MAX / 2);
    d.request = (struct txn_request){
        .commands = commands,
        .command_count = COMMANDS,
        .resp = 2,
        .stream = &w.stream,
        .replies = &d.replies,
        .done = on_deal_done,
    };
    txn_submit(w.m, &d.request);
    mem_free(args);
    mem_free(commands);
    raise_barrier(&w);
    CHECK_EVENTS(&w,
                 "barrier ends\n"
                 "not executed: -ERR transaction of more than 82837504 bytes\n");
    deal_end(&d);
    world_end(&w);
}

/* Short commands make long values and replies: the gateway holds no more than a group would. */
TEST(runs_at_the_gateway_are_bounded)
{
    static const char *const deals[] = {
        "rename b c;setrange c 67108863 x;setrange c 1 x;setrange c 2 x", /* written */
        "rename b c;setrange c 67108863 x;get c;get c",                   /* answered */
    };
    for (size_t i = 0; i < sizeof deals / sizeof deals[0]; i++) {
        struct world w;
        struct deal d;
        world_start(&w);
        submit(&w, &d, deals[i], "", false);
        raise_barrier(&w);
        CHECK_EVENTS(&w, "g1 rows b\ng2 rows c\n");
        answer_row(&w, 1, "value", 7);
        answer_row(&w, 2, NULL, 0);
        CHECK_EVENTS(&w,
                     "barrier ends\nnot executed: -ERR the transaction is too large: what it would "
                     "write or answer is more than is allowed; nothing was executed\n");
        deal_end(&d);
        world_end(&w);
    }
}

/* MOVE looks at its key in two databases, MSET of a wrong shape is for its handler. */
TEST(odd_commands_at_the_gateway)
{
    struct world w;
    struct deal d;
    world_start(&w);
    submit(&w, &d, "mset b 1 c", "", false);
    raise_barrier(&w);
    answer_row(&w, 1, NULL, 0);
    answer_row(&w, 2, NULL, 0);
    fake_env_forget(&w.env);
    answer_version(&w, 1, TXN_VERSION_ABSENT);
    answer_version(&w, 2, TXN_VERSION_ABSENT);
    CHECK_EVENTS(&w,
                 "barrier ends\ncommitted: -ERR wrong number of arguments for 'mset' command\n");
    deal_end(&d);
    submit(&w, &d, "bitop or x c b;move h 5", "", false);
    raise_barrier(&w);
    CHECK_EVENTS(&w, "g1 rows b\ng2 rows c\ng3 rows h@5 h\ng4 rows x\n");
    buf_deinit(&d.replies);
    world_stop(&w);
}
