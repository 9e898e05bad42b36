/* MULTI, EXEC, DISCARD, WATCH and UNWATCH on one connection, over a fake of the room txn. */
#include "server_world.h"

#define ABORTED "-EXECABORT Transaction discarded because of previous errors.\r\n"
#define Q "+QUEUED\r\n"

struct one {
    struct scene s;
    struct caller a;
};

static void one_start(struct one *o)
{
    scene_start(&o->s);
    caller_start(&o->a, &o->s);
}

static void one_stop(struct one *o)
{
    caller_leave(&o->a);
    CHECK_EQ(o->s.txn.held_count, 0u);
    scene_stop(&o->s);
}

static void end(struct one *o, enum txn_outcome outcome, const char *replies)
{
    fake_txn_end(&o->s.txn, outcome, replies);
    settle(&o->s);
}

static void watched(struct one *o, uint64_t version)
{
    fake_txn_watched(&o->s.txn, version, NULL);
    settle(&o->s);
}

#define CHECK_TOLD(o, lines) CHECK_TEXT(fake_txn_told(&(o)->s.txn), (lines))

/* ---- the words ------------------------------------------------------------------------------- */

TEST(words_out_of_place)
{
    struct one o;
    one_start(&o);
    CHECK_SAYS(&o.a, "EXEC\r\n", "-ERR EXEC without MULTI\r\n");
    CHECK_SAYS(&o.a, "DISCARD\r\n", "-ERR DISCARD without MULTI\r\n");
    CHECK_SAYS(&o.a, "UNWATCH\r\n", "+OK\r\n");
    CHECK_SAYS(&o.a, "MULTI\r\nMULTI\r\n", "+OK\r\n-ERR MULTI calls can not be nested\r\n");
    CHECK_SAYS(&o.a, "WATCH a\r\n", "-ERR WATCH inside MULTI is not allowed\r\n");
    /* Neither is a reason not to run the rest. */
    CHECK_SAYS(&o.a, "PING\r\nEXEC\r\n", Q "*1\r\n+PONG\r\n");
    CHECK_SAYS(&o.a, "EXEC\r\n", "-ERR EXEC without MULTI\r\n");
    CHECK_SAYS(&o.a, "MULTI\r\nDISCARD\r\nEXEC\r\n", "+OK\r\n+OK\r\n-ERR EXEC without MULTI\r\n");
    CHECK_TOLD(&o, "");
    one_stop(&o);
}

TEST(a_word_too_many)
{
    struct one o;
    one_start(&o);
    const char *wrong = "-ERR wrong number of arguments for 'multi' command\r\n";
    CHECK_SAYS(&o.a, "MULTI x\r\n", wrong);
    CHECK_SAYS(&o.a, "MULTI STRICT x\r\n", wrong);
    CHECK_SAYS(&o.a, "EXEC\r\n", "-ERR EXEC without MULTI\r\n");
    const char *exec = "-EXECABORT Transaction discarded because of: wrong number of arguments for "
                       "'exec' command\r\n";
    CHECK_SAYS(&o.a, "EXEC 1\r\n", exec);
    say(&o.a, "MULTI\r\n");
    (void)heard(&o.a);
    CHECK_SAYS(&o.a, "exec 1\r\n", exec);
    CHECK_SAYS(&o.a, "EXEC\r\n", "-ERR EXEC without MULTI\r\n");
    say(&o.a, "MULTI\r\nMULTI x\r\n");
    (void)heard(&o.a);
    CHECK_SAYS(&o.a, "EXEC\r\n", ABORTED);
    say(&o.a, "MULTI\r\nDISCARD 1\r\n");
    (void)heard(&o.a);
    CHECK_SAYS(&o.a, "EXEC\r\n", ABORTED);
    one_stop(&o);
}

/* ---- gathering ------------------------------------------------------------------------------- */

TEST(commands_go_as_one)
{
    struct one o;
    one_start(&o);
    CHECK_SAYS(&o.a, "MULTI\r\nSET a 1\r\nGET b\r\n", "+OK\r\n" Q Q);
    CHECK_TOLD(&o, "");
    CHECK_SAYS(&o.a, "EXEC\r\n", "");
    CHECK_TOLD(&o, "txn 0 SET a 1; 0 GET b\n");
    CHECK(o.s.server.memory > 0);
    end(&o, TXN_COMMITTED, "+OK\r\n$1\r\n2\r\n");
    CHECK_TEXT(heard(&o.a), "*2\r\n+OK\r\n$1\r\n2\r\n");
    CHECK_SAYS(&o.a, "EXEC\r\n", "-ERR EXEC without MULTI\r\n");
    one_stop(&o);
}

TEST(errors_of_commands_are_replies)
{
    struct one o;
    one_start(&o);
    say(&o.a, "MULTI\r\nINCR a\r\nGET b\r\nEXEC\r\n");
    (void)heard(&o.a);
    end(&o, TXN_COMMITTED, "-ERR not an integer\r\n$-1\r\n");
    CHECK_TEXT(heard(&o.a), "*2\r\n-ERR not an integer\r\n$-1\r\n");
    one_stop(&o);
}

TEST(what_cannot_be_gathered_aborts)
{
    struct one o;
    one_start(&o);
    CHECK_SAYS(&o.a,
               "MULTI\r\nSET a 1\r\nSET a\r\n",
               "+OK\r\n" Q "-ERR wrong number of arguments for 'set' command\r\n");
    CHECK_SAYS(&o.a, "SET b 1\r\nEXEC\r\n", Q ABORTED);
    CHECK_SAYS(&o.a,
               "MULTI\r\nNOSUCH\r\nEXEC\r\n",
               "+OK\r\n-ERR unknown command 'NOSUCH', with args beginning with: \r\n" ABORTED);
    CHECK_SAYS(&o.a,
               "MULTI\r\nSHUTDOWN\r\nEXEC\r\n",
               "+OK\r\n-ERR Command not allowed inside a transaction\r\n" ABORTED);
    CHECK_SAYS(&o.a, "MULTI\r\nDBSIZE\r\nEXEC\r\n", "+OK\r\n-ERR not in a transaction\r\n" ABORTED);
    CHECK_SAYS(&o.a,
               "MULTI\r\nNOSUCH\r\nDISCARD\r\nPING\r\n",
               "+OK\r\n-ERR unknown command 'NOSUCH', with args beginning with: \r\n+OK\r\n"
               "+PONG\r\n");
    CHECK_TOLD(&o, "");
    one_stop(&o);
}

TEST(too_many_commands)
{
    struct one o;
    one_start(&o);
    struct buf lines;
    buf_init(&lines, SIZE_MAX / 2);
    buf_append_text(&lines, "MULTI\r\n");
    for (size_t i = 0; i < LIMIT_MULTI_COMMANDS; i++) {
        buf_append_text(&lines, "GET a\r\n");
    }
    buf_append(&lines, "", 1);
    say(&o.a, (const char *)lines.data);
    buf_deinit(&lines);
    (void)heard(&o.a);
    say(&o.a, "GET a\r\n");
    CHECK(strncmp(heard(&o.a), "-ERR a transaction has at most 65536 commands", 45) == 0);
    CHECK_SAYS(&o.a, "EXEC\r\n", ABORTED);
    CHECK_TOLD(&o, "");
    one_stop(&o);
}

/* A few words can ask for many long replies: they are not all held for one client. */
TEST(too_long_replies_of_local_commands)
{
    struct one o;
    one_start(&o);
    const size_t size = LIMIT_REPLY_VALUES_BYTES / 2;
    struct buf lines;
    buf_init(&lines, SIZE_MAX / 2);
    buf_append_text(&lines, "MULTI\r\nSET a 1\r\nCLIENT SETNAME before\r\n");
    for (unsigned i = 0; i < 2; i++) {
        buf_printf(&lines, "*2\r\n$4\r\nECHO\r\n$%zu\r\n", size);
        memset(buf_reserve(&lines, size), 'x', size);
        buf_extend(&lines, size);
        buf_append_text(&lines, "\r\n");
    }
    buf_append_text(&lines, "CLIENT SETNAME behind\r\nEXEC\r\n");
    (void)env_conn_write(o.a.conn, buf_bytes(&lines));
    settle(&o.s);
    buf_deinit(&lines);
    (void)heard(&o.a);
    end(&o, TXN_COMMITTED, "+OK\r\n");
    static const char wanted[] = "-UNKNOWNRESULT the commands of the transaction that need no key";
    CHECK(strncmp(heard(&o.a), wanted, sizeof wanted - 1) == 0);
    CHECK_SAYS(&o.a, "CLIENT GETNAME\r\n", "$6\r\nbefore\r\n");
    one_stop(&o);
}

/* What is gathered is memory of the connection, and goes with it. */
TEST(memory_of_what_is_gathered)
{
    struct one o;
    one_start(&o);
    uint64_t before = o.s.server.memory;
    struct buf line;
    buf_init(&line, SIZE_MAX / 2);
    buf_append_text(&line, "SET a ");
    memset(buf_reserve(&line, 60000), 'x', 60000);
    buf_extend(&line, 60000);
    buf_append_text(&line, "\r\n");
    buf_append(&line, "", 1);
    say(&o.a, "MULTI\r\n");
    say(&o.a, (const char *)line.data);
    say(&o.a, (const char *)line.data);
    buf_deinit(&line);
    CHECK(o.s.server.memory >= before + 120000);
    say(&o.a, "CLIENT INFO\r\nDISCARD\r\n");
    CHECK(o.s.server.memory < before + 60000);
    one_stop(&o);
}

TEST(select_counts_for_what_follows)
{
    struct one o;
    one_start(&o);
    say(&o.a, "SELECT 1\r\nMULTI\r\nSET a 1\r\nSELECT 3\r\nSET b 2\r\nSELECT 99\r\nGET b\r\n");
    (void)heard(&o.a);
    CHECK_SAYS(&o.a, "EXEC\r\nGET c\r\n", "");
    CHECK_TOLD(&o, "txn 1 SET a 1; 3 SET b 2; 3 GET b\n");
    CHECK_EQ(last_session(&o.s)->client.database, 1u);
    end(&o, TXN_COMMITTED, "+OK\r\n+OK\r\n$1\r\n2\r\n");
    CHECK_TEXT(heard(&o.a),
               "*5\r\n+OK\r\n+OK\r\n+OK\r\n-ERR DB index is out of range\r\n$1\r\n2\r\n");
    CHECK_EQ(last_session(&o.s)->client.database, 3u);
    /* GET c waited for that. */
    CHECK_EQ(o.s.below.answered, 0u);
    CHECK_EQ(last_session(&o.s)->request_count, 1u);
    pass(&o.s, 6000); /* its group answers nothing here: the time-out does */
    one_stop(&o);
}

TEST(discarded_select_has_no_effect)
{
    struct one o;
    one_start(&o);
    say(&o.a, "MULTI\r\nSELECT 3\r\nDISCARD\r\nMULTI\r\nGET a\r\nEXEC\r\n");
    (void)heard(&o.a);
    CHECK_TOLD(&o, "txn 0 GET a\n");
    end(&o, TXN_COMMITTED, "$-1\r\n");
    say(&o.a, "MULTI\r\nSELECT 3\r\nGET a\r\nEXEC\r\n");
    (void)heard(&o.a);
    end(&o, TXN_CHANGED, "");
    CHECK_TEXT(heard(&o.a), "*-1\r\n");
    CHECK_EQ(last_session(&o.s)->client.database, 0u);
    one_stop(&o);
}

/* ---- LOCAL commands -------------------------------------------------------------------------- */

TEST(nothing_but_local_needs_no_group)
{
    struct one o;
    one_start(&o);
    CHECK_SAYS(&o.a, "MULTI\r\nEXEC\r\n", "+OK\r\n*0\r\n");
    CHECK_SAYS(&o.a,
               "MULTI\r\nPING\r\nECHO x\r\nAUTH y\r\nUNWATCH\r\nEXEC\r\nPING\r\n",
               "+OK\r\n" Q Q Q Q "*4\r\n+PONG\r\n$1\r\nx\r\n"
               "-ERR AUTH <password> called without any password configured for the default user. "
               "Are you sure your configuration is correct?\r\n+OK\r\n+PONG\r\n");
    CHECK_TOLD(&o, "");
    one_stop(&o);
}

TEST(local_ones_stand_in_their_place)
{
    struct one o;
    one_start(&o);
    say(&o.a, "MULTI\r\nPING 1\r\nGET a\r\nPING 2\r\nPING 3\r\nMGET a b\r\nPING 4\r\nEXEC\r\n");
    (void)heard(&o.a);
    CHECK_TOLD(&o, "txn 0 GET a; 0 MGET a b\n");
    end(&o, TXN_COMMITTED, "$1\r\nA\r\n*2\r\n$-1\r\n$1\r\nB\r\n");
    CHECK_TEXT(heard(&o.a),
               "*6\r\n$1\r\n1\r\n$1\r\nA\r\n$1\r\n2\r\n$1\r\n3\r\n*2\r\n$-1\r\n$1\r\nB\r\n"
               "$1\r\n4\r\n");
    one_stop(&o);
}

/* Only what is of the connection makes the input wait. */
TEST(input_goes_on_behind_exec)
{
    struct one o;
    one_start(&o);
    say(&o.a, "MULTI\r\nGET a\r\nEXEC\r\nCLIENT SETNAME x\r\nMULTI\r\nGET b\r\nEXEC\r\n");
    CHECK_TOLD(&o, "txn 0 GET a\ntxn 0 GET b\n");
    CHECK_EQ(last_session(&o.s)->client.name.size, 1u);
    end(&o, TXN_COMMITTED, "$1\r\nA\r\n");
    end(&o, TXN_COMMITTED, "$1\r\nB\r\n");
    CHECK_TEXT(heard(&o.a), "+OK\r\n" Q "*1\r\n$1\r\nA\r\n+OK\r\n+OK\r\n" Q "*1\r\n$1\r\nB\r\n");
    say(&o.a, "MULTI\r\nGET a\r\nCLIENT SETNAME y\r\nEXEC\r\nCLIENT GETNAME\r\n");
    (void)heard(&o.a);
    CHECK_EQ(last_session(&o.s)->request_count, 1u);
    end(&o, TXN_COMMITTED, "$-1\r\n");
    CHECK_TEXT(heard(&o.a), "*2\r\n$-1\r\n+OK\r\n$1\r\ny\r\n");
    one_stop(&o);
}

TEST(sleep_and_monitor_inside)
{
    struct one o;
    one_start(&o);
    say(&o.a,
        "MULTI\r\nDEBUG SLEEP 0.1\r\nGET a\r\nDEBUG SLEEP 0.1\r\nMONITOR\r\nEXEC\r\nPING\r\n");
    (void)heard(&o.a);
    end(&o, TXN_COMMITTED, "$-1\r\n");
    CHECK_TEXT(heard(&o.a), "");
    pass(&o.s, 199);
    CHECK_TEXT(heard(&o.a), "");
    pass(&o.s, 1);
    CHECK_TEXT(heard(&o.a),
               "*4\r\n+OK\r\n$-1\r\n+OK\r\n"
               "-ERR MONITOR isn't allowed for DENY BLOCKING client\r\n+PONG\r\n");
    CHECK(list_is_empty(&o.s.server.monitors));
    one_stop(&o);
}

TEST(reply_modes_inside)
{
    struct one o;
    one_start(&o);
    say(&o.a, "MULTI\r\nCLIENT REPLY OFF\r\n");
    CHECK(strncmp(heard(&o.a), "+OK\r\n-ERR CLIENT REPLY OFF and SKIP", 35) == 0);
    CHECK_SAYS(&o.a, "EXEC\r\n", ABORTED);
    CHECK_SAYS(&o.a,
               "MULTI\r\nCLIENT REPLY ON\r\nCLIENT REPLY x\r\nEXEC\r\n",
               "+OK\r\n" Q Q "*2\r\n+OK\r\n-ERR syntax error\r\n");
    CHECK_SAYS(&o.a, "CLIENT REPLY SKIP\r\nMULTI\r\nPING\r\nEXEC\r\n", Q "*1\r\n+PONG\r\n");
    CHECK_SAYS(&o.a, "CLIENT REPLY OFF\r\nMULTI\r\nGET a\r\nEXEC\r\nCLIENT REPLY ON\r\n", "");
    end(&o, TXN_COMMITTED, "$-1\r\n");
    CHECK_TEXT(heard(&o.a), "+OK\r\n");
    one_stop(&o);
}

TEST(reset_and_quit_inside)
{
    struct one o;
    one_start(&o);
    CHECK_SAYS(&o.a,
               "MULTI\r\nPING\r\nRESET\r\nEXEC\r\n",
               "+OK\r\n" Q "+RESET\r\n-ERR EXEC without MULTI\r\n");
    CHECK_SAYS(&o.a, "MULTI\r\nPING\r\nQUIT\r\nEXEC\r\n", "+OK\r\n" Q "+OK\r\n");
    CHECK(o.a.has_ended);
    one_stop(&o);
}

TEST(list_shows_it)
{
    struct one o;
    struct caller b;
    one_start(&o);
    caller_start(&b, &o.s);
    say(&o.a, "MULTI\r\nGET a\r\nGET b\r\n");
    say(&b, "CLIENT LIST ID 1\r\n");
    const char *text = heard(&b);
    CHECK(strstr(text, " flags=x ") != NULL);
    CHECK(strstr(text, " multi=2 ") != NULL);
    CHECK(strstr(text, " multi-mem=0 ") == NULL);
    say(&o.a, "DISCARD\r\n");
    say(&b, "CLIENT LIST ID 1\r\n");
    text = heard(&b);
    CHECK(strstr(text, " flags=N ") != NULL);
    CHECK(strstr(text, " multi=-1 ") != NULL);
    caller_leave(&b);
    one_stop(&o);
}

TEST(monitors_see_commands_and_then_exec)
{
    struct one o;
    struct caller m;
    one_start(&o);
    caller_start(&m, &o.s);
    say(&m, "MONITOR\r\n");
    (void)heard(&m);
    say(&o.a, "MULTI\r\nSELECT 2\r\nGET a\r\n");
    const char *text = heard(&m);
    CHECK(strstr(text, "\"MULTI\"") != NULL && strstr(text, "GET") == NULL);
    say(&o.a, "EXEC\r\n");
    text = heard(&m);
    const char *get = strstr(text, "[2 ");
    CHECK(get != NULL && strstr(get, "\"GET\" \"a\"") != NULL);
    CHECK(get != NULL && strstr(get, "\"EXEC\"") != NULL);
    end(&o, TXN_COMMITTED, "$-1\r\n");
    CHECK_TEXT(heard(&m), "");
    caller_leave(&m);
    one_stop(&o);
}

TEST(pause_of_writes_holds_exec)
{
    struct one o;
    struct caller b;
    one_start(&o);
    caller_start(&b, &o.s);
    say(&o.a, "MULTI\r\nSET a 1\r\n");
    say(&b, "CLIENT PAUSE 1000 WRITE\r\n");
    say(&o.a, "EXEC\r\n");
    CHECK_TOLD(&o, "");
    say(&b, "MULTI\r\nGET a\r\nEXEC\r\n");
    CHECK_TOLD(&o, "txn 0 GET a\n");
    pass(&o.s, 1000);
    CHECK_TOLD(&o, "txn 0 SET a 1\n");
    end(&o, TXN_COMMITTED, "$-1\r\n");
    end(&o, TXN_COMMITTED, "+OK\r\n");
    CHECK_TEXT(heard(&o.a), "+OK\r\n" Q "*1\r\n+OK\r\n");
    caller_leave(&b);
    one_stop(&o);
}

/* ---- outcomes -------------------------------------------------------------------------------- */

TEST(outcomes_are_replies)
{
    struct one o;
    one_start(&o);
    const char *words = "MULTI\r\nGET a\r\nEXEC\r\n";
    say(&o.a, words);
    (void)heard(&o.a);
    end(&o, TXN_CHANGED, "");
    CHECK_TEXT(heard(&o.a), "*-1\r\n");
    say(&o.a, words);
    (void)heard(&o.a);
    end(&o, TXN_NOT_EXECUTED, "-CLUSTERDOWN no\r\n");
    CHECK_TEXT(heard(&o.a), "-CLUSTERDOWN no\r\n");
    say(&o.a, words);
    (void)heard(&o.a);
    end(&o, TXN_UNKNOWN, "-UNKNOWNRESULT perhaps\r\n");
    CHECK_TEXT(heard(&o.a), "-UNKNOWNRESULT perhaps\r\n");
    say(&o.a, "HELLO 3\r\n");
    (void)heard(&o.a);
    say(&o.a, words);
    (void)heard(&o.a);
    end(&o, TXN_CHANGED, "");
    CHECK_TEXT(heard(&o.a), "_\r\n");
    one_stop(&o);
}

TEST(strict)
{
    struct one o;
    one_start(&o);
    say(&o.a, "MULTI strict\r\nINCR a\r\nEXEC\r\n");
    CHECK_TEXT(heard(&o.a), "+OK\r\n" Q);
    CHECK_TOLD(&o, "txn strict 0 INCR a\n");
    end(&o, TXN_FAILED, "-ERR value is not an integer or out of range\r\n");
    CHECK_TEXT(heard(&o.a),
               "-EXECABORT Transaction discarded because of: ERR value is not an integer or out of "
               "range\r\n");
    say(&o.a, "MULTI\r\nINCR a\r\nEXEC\r\n");
    CHECK_TOLD(&o, "txn 0 INCR a\n");
    (void)heard(&o.a);
    end(&o, TXN_COMMITTED, ":1\r\n");
    CHECK_TEXT(heard(&o.a), "*1\r\n:1\r\n");
    one_stop(&o);
}

TEST(the_client_leaves_in_the_middle)
{
    struct one o;
    one_start(&o);
    struct caller b;
    caller_start(&b, &o.s);
    say(&b, "WATCH a\r\n");
    say(&o.a, "MULTI\r\nGET a\r\nSELECT 3\r\nDEBUG SLEEP 1\r\nEXEC\r\nPING\r\n");
    env_conn_close(o.a.conn);
    env_conn_close(b.conn);
    settle(&o.s);
    CHECK_EQ(o.s.server.session_count, 2u);
    watched(&o, 1);
    CHECK_EQ(o.s.server.session_count, 1u);
    end(&o, TXN_COMMITTED, "$-1\r\n");
    CHECK_EQ(o.s.server.session_count, 0u);
    caller_leave(&b);
    one_stop(&o);
}

/* The node ends while a transaction is under way: its memory is given back. */
TEST(the_server_ends_in_the_middle)
{
    struct one o;
    one_start(&o);
    say(&o.a, "WATCH k\r\n");
    say(&o.a, "MULTI\r\nGET a\r\nPING\r\n");
    say(&o.a, "EXEC\r\n");
    (void)heard(&o.a);
    server_stop(&o.s.server);
    server_close_all(&o.s.server);
    settle(&o.s);
    CHECK(o.a.has_ended);
    watched(&o, 1);
    one_stop(&o);
}

/* ---- a single command ------------------------------------------------------------------------ */

TEST(a_command_over_groups_is_a_transaction_of_one)
{
    struct one o;
    one_start(&o);
    say(&o.a, "SELECT 2\r\nMSET a 1 b 2\r\nPING\r\n");
    CHECK_TOLD(&o, "txn 2 MSET a 1 b 2\n");
    CHECK_TEXT(heard(&o.a), "+OK\r\n");
    end(&o, TXN_COMMITTED, "+OK\r\n");
    CHECK_TEXT(heard(&o.a), "+OK\r\n+PONG\r\n");
    say(&o.a, "MSET a 1 b 2\r\n");
    end(&o, TXN_UNKNOWN, "-UNKNOWNRESULT perhaps\r\n");
    CHECK_TEXT(heard(&o.a), "-UNKNOWNRESULT perhaps\r\n");
    one_stop(&o);
}

/* ---- WATCH ----------------------------------------------------------------------------------- */

TEST(watched_versions_go_with_exec)
{
    struct one o;
    one_start(&o);
    say(&o.a, "WATCH k l\r\n");
    CHECK_TOLD(&o, "watch 0 k 0 l\n");
    CHECK_TEXT(heard(&o.a), "");
    watched(&o, 5);
    CHECK_TEXT(heard(&o.a), "+OK\r\n");
    say(&o.a, "SELECT 1\r\nWATCH k\r\n");
    watched(&o, 6);
    say(&o.a, "SELECT 0\r\nWATCH l m\r\n");
    watched(&o, 7);
    (void)heard(&o.a);
    (void)fake_txn_told(&o.s.txn);
    say(&o.a, "MULTI\r\nGET a\r\nEXEC\r\nMULTI\r\nGET b\r\nEXEC\r\n");
    CHECK_TOLD(&o, "txn 0 GET a; k@0=5; l@0=5; k@1=6; m@0=7\ntxn 0 GET b\n");
    end(&o, TXN_CHANGED, "");
    end(&o, TXN_COMMITTED, "$-1\r\n");
    CHECK_TEXT(heard(&o.a), "+OK\r\n" Q "*-1\r\n+OK\r\n" Q "*1\r\n$-1\r\n");
    one_stop(&o);
}

TEST(what_forgets_the_watched)
{
    static const char *const words[] = {"UNWATCH\r\n",
                                        "MULTI\r\nDISCARD\r\n",
                                        "RESET\r\n",
                                        "MULTI\r\nNOSUCH\r\nEXEC\r\n",
                                        "EXEC 1\r\n"};
    struct one o;
    one_start(&o);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        for (int is_early = 0; is_early < 2; is_early++) {
            say(&o.a, "WATCH k\r\n");
            if (is_early == 0) {
                watched(&o, 5);
            }
            say(&o.a, words[i]);
            if (is_early != 0) {
                watched(&o, 5);
            }
            say(&o.a, "MULTI\r\nGET a\r\nEXEC\r\n");
            CHECK_TOLD(&o, "watch 0 k\ntxn 0 GET a\n");
            end(&o, TXN_COMMITTED, "$-1\r\n");
        }
    }
    one_stop(&o);
}

/* All in one: EXEC has to know the versions. */
TEST(exec_waits_for_watch)
{
    struct one o;
    one_start(&o);
    say(&o.a, "WATCH k\r\nWATCH l\r\nMULTI\r\nGET a\r\nEXEC\r\nPING\r\n");
    CHECK_TOLD(&o, "watch 0 k\nwatch 0 l\n");
    watched(&o, 5);
    CHECK_TOLD(&o, "");
    watched(&o, 6);
    CHECK_TOLD(&o, "txn 0 GET a; k@0=5; l@0=6\n");
    end(&o, TXN_COMMITTED, "$-1\r\n");
    CHECK_TEXT(heard(&o.a), "+OK\r\n+OK\r\n+OK\r\n" Q "*1\r\n$-1\r\n+PONG\r\n");
    one_stop(&o);
}

TEST(exec_behind_a_watch_that_failed)
{
    struct one o;
    one_start(&o);
    const char *refused =
        "-EXECABORT Transaction discarded because of: a WATCH before it failed\r\n";
    say(&o.a, "WATCH k\r\nMULTI\r\nGET a\r\nEXEC\r\n");
    fake_txn_watched(&o.s.txn, 0, "-CLUSTERDOWN no\r\n");
    settle(&o.s);
    struct buf all;
    buf_init(&all, 1024);
    buf_printf(&all, "-CLUSTERDOWN no\r\n+OK\r\n" Q "%s", refused);
    buf_append(&all, "", 1);
    CHECK_TEXT(heard(&o.a), (const char *)all.data);
    buf_deinit(&all);
    CHECK_SAYS(&o.a, "MULTI\r\nPING\r\nEXEC\r\n", "+OK\r\n" Q "*1\r\n+PONG\r\n");
    say(&o.a, "WATCH k\r\n");
    fake_txn_watched(&o.s.txn, 0, "-CLUSTERDOWN no\r\n");
    settle(&o.s);
    (void)heard(&o.a);
    CHECK_SAYS(&o.a, "UNWATCH\r\nMULTI\r\nPING\r\nEXEC\r\n", "+OK\r\n+OK\r\n" Q "*1\r\n+PONG\r\n");
    one_stop(&o);
}

TEST(watched_but_nothing_to_do_in_a_group)
{
    struct one o;
    one_start(&o);
    for (uint64_t now = 5; now < 7; now++) {
        say(&o.a, "WATCH k l\r\n");
        watched(&o, 5);
        (void)heard(&o.a);
        (void)fake_txn_told(&o.s.txn);
        say(&o.a, "MULTI\r\nCLIENT SETNAME x\r\nEXEC\r\nCLIENT GETNAME\r\nCLIENT SETNAME y\r\n");
        CHECK_TOLD(&o, "watch 0 k 0 l\n");
        CHECK_TEXT(heard(&o.a), "+OK\r\n" Q);
        watched(&o, now);
        CHECK_TEXT(heard(&o.a),
                   now == 5 ? "*1\r\n+OK\r\n$1\r\nx\r\n+OK\r\n" : "*-1\r\n$1\r\ny\r\n+OK\r\n");
    }
    say(&o.a, "WATCH k\r\n");
    watched(&o, 5);
    say(&o.a, "MULTI\r\nEXEC\r\n");
    (void)heard(&o.a);
    fake_txn_watched(&o.s.txn, 0, "-CLUSTERDOWN no\r\n");
    settle(&o.s);
    CHECK_TEXT(heard(&o.a), "-CLUSTERDOWN no\r\n");
    one_stop(&o);
}

TEST(too_many_watched)
{
    struct one o;
    one_start(&o);
    struct buf line;
    buf_init(&line, SIZE_MAX / 2);
    buf_append_text(&line, "WATCH");
    for (unsigned i = 0; i < LIMIT_WATCH_KEYS; i++) {
        buf_printf(&line, " %u", i);
    }
    buf_append(&line, "\r\n", 3);
    say(&o.a, (const char *)line.data);
    buf_deinit(&line);
    (void)fake_txn_told(&o.s.txn);
    say(&o.a, "WATCH k\r\n");
    watched(&o, 1);
    const char *text = heard(&o.a);
    CHECK(strncmp(text, "+OK\r\n-ERR a connection watches at most 1024 keys", 48) == 0);
    say(&o.a, "WATCH k\r\nMULTI\r\nEXEC\r\n");
    text = heard(&o.a);
    CHECK(strstr(text, "-EXECABORT Transaction discarded because of: a WATCH") != NULL);
    CHECK_TOLD(&o, "");
    one_stop(&o);
}
