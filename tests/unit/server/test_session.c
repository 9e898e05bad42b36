/* CLIENT REPLY, LIST and KILL, SLOWLOG: what a connection answers, and what is told about it. */
#include "server_world.h"

TEST(reply_skip_is_one)
{
    struct scene s;
    scene_start(&s);
    struct caller a;
    caller_start(&a, &s);
    CHECK_SAYS(&a, "CLIENT REPLY SKIP\r\nPING 1\r\nPING 2\r\n", "$1\r\n2\r\n");
    CHECK_SAYS(&a, "CLIENT REPLY SKIP\r\nNOSUCH\r\nPING 1\r\n", "$1\r\n1\r\n");
    CHECK_SAYS(&a, "CLIENT REPLY SKIP\r\nCLIENT REPLY SKIP\r\nPING 1\r\nPING 2\r\n", "$1\r\n2\r\n");
    CHECK_SAYS(&a, "CLIENT REPLY SKIP\r\nCLIENT REPLY ON\r\nPING 1\r\n", "+OK\r\n$1\r\n1\r\n");
    CHECK_SAYS(&a, "CLIENT REPLY SKIP\r\nCLIENT REPLY x\r\nPING 1\r\n", "$1\r\n1\r\n");
    CHECK_SAYS(&a, "CLIENT REPLY x\r\n", "-ERR syntax error\r\n");
    caller_leave(&a);
    scene_stop(&s);
}

TEST(reply_off_until_on)
{
    struct scene s;
    scene_start(&s);
    struct caller a;
    caller_start(&a, &s);
    CHECK_SAYS(&a, "CLIENT REPLY OFF\r\nPING\r\nNOSUCH\r\nCLIENT REPLY SKIP\r\n", "");
    CHECK_SAYS(&a, "CLIENT REPLY ON\r\nPING\r\n", "+OK\r\n+PONG\r\n");
    CHECK_SAYS(&a, "CLIENT REPLY OFF\r\nRESET\r\nPING\r\n", "+RESET\r\n+PONG\r\n");
    CHECK_SAYS(&a, "CLIENT REPLY OFF\r\nQUIT\r\n", "");
    CHECK(a.has_ended);
    caller_leave(&a);
    scene_stop(&s);
}

/* What was asked before OFF is answered, though its reply comes after it. */
TEST(reply_modes_follow_the_order_of_commands)
{
    struct scene s;
    scene_start(&s);
    struct caller a;
    caller_start(&a, &s);
    CHECK_SAYS(&a,
               "GET b\r\nCLIENT REPLY SKIP\r\nGET b\r\nGET b\r\nCLIENT REPLY OFF\r\nGET b\r\n",
               "");
    answer_here(&s.below, 1, SHARD_DONE, "$1\r\n1\r\n");
    answer_here(&s.below, 1, SHARD_DONE, "$1\r\n2\r\n");
    answer_here(&s.below, 1, SHARD_DONE, "$1\r\n3\r\n");
    answer_here(&s.below, 1, SHARD_DONE, "$1\r\n4\r\n");
    settle(&s);
    CHECK_TEXT(heard(&a), "$1\r\n1\r\n$1\r\n3\r\n");
    caller_leave(&a);
    scene_stop(&s);
}

TEST(protocol_error_of_a_silent_client)
{
    struct scene s;
    scene_start(&s);
    struct caller a;
    caller_start(&a, &s);
    CHECK_SAYS(&a, "CLIENT REPLY OFF\r\n*x\r\n", "");
    CHECK(a.has_ended);
    caller_leave(&a);
    scene_stop(&s);
}

/* ---- CLIENT LIST and KILL -------------------------------------------------------------------- */

TEST(list_shows_a_line_each)
{
    struct scene s;
    scene_start(&s);
    struct caller a, b;
    caller_start(&a, &s);
    caller_start(&b, &s);
    say(&b, "CLIENT SETNAME bob\r\nSELECT 3\r\nHELLO 3\r\nCLIENT NO-EVICT ON\r\n");
    (void)heard(&b);
    pass(&s, 2000);
    say(&a, "CLIENT LIST ID 2 7 2\r\n");
    const char *text = heard(&a);
    static const char line[] =
        "id=2 addr=%s laddr=node:1 fd=-1 name=bob age=2 idle=2 flags=e db=3 sub=0 psub=0 ssub=0 "
        "multi=-1 qbuf=0 qbuf-free=";
    char wanted[512];
    (void)snprintf(wanted, sizeof wanted, line, last_session(&s)->client.peer);
    CHECK(strstr(text, wanted) != NULL);
    CHECK(strstr(text, " cmd=client|no-evict user=default redir=-1 resp=3\n") != NULL);
    CHECK(strstr(strstr(text, "id=2") + 1, "id=2") != NULL); /* asked for twice */
    CHECK(strstr(text, "id=1 ") == NULL);
    say(&a, "CLIENT LIST\r\n");
    text = heard(&a);
    CHECK(strstr(text, "id=1 ") != NULL && strstr(text, "id=1 ") < strstr(text, "id=2 "));
    CHECK_SAYS(&a, "CLIENT LIST TYPE master\r\n", "$0\r\n\r\n");
    CHECK_SAYS(&a, "CLIENT LIST TYPE x\r\n", "-ERR Unknown client type 'x'\r\n");
    CHECK_SAYS(&a, "CLIENT LIST ID x\r\n", "-ERR Invalid client ID\r\n");
    caller_leave(&a);
    caller_leave(&b);
    scene_stop(&s);
}

TEST(kill_others_and_oneself)
{
    struct scene s;
    scene_start(&s);
    struct caller a, b, c;
    caller_start(&a, &s);
    caller_start(&b, &s);
    caller_start(&c, &s);
    CHECK_SAYS(&b, "GET b\r\n", "");
    CHECK_SAYS(&a, "CLIENT KILL ID 2\r\n", ":1\r\n");
    CHECK(b.has_ended);
    CHECK_SAYS(&a, "CLIENT KILL ID 2\r\n", ":0\r\n");
    answer_here(&s.below, 1, SHARD_DONE, "+OK\r\n"); /* of a connection that has gone */
    CHECK_SAYS(&a, "CLIENT KILL 1.2.3.4:5\r\n", "-ERR No such client\r\n");
    CHECK_SAYS(&a, "CLIENT KILL TYPE normal LADDR node:1\r\n", ":1\r\n");
    CHECK(c.has_ended);
    CHECK_SAYS(&a, "CLIENT KILL SKIPME no USER default\r\nPING\r\n", ":1\r\n");
    CHECK(a.has_ended);
    caller_leave(&a);
    caller_leave(&b);
    caller_leave(&c);
    scene_stop(&s);
}

/* ---- SLOWLOG and LATENCY --------------------------------------------------------------------- */

#define ENTRY(id, took, rest) "*6\r\n:" id "\r\n:1700000000\r\n:" took "\r\n" rest

TEST(slow_commands_are_noted)
{
    struct scene s;
    scene_start(&s);
    struct caller a;
    caller_start(&a, &s);
    s.below.env.wall_ms = 1700000000000u;
    CHECK_SAYS(&a, "CLIENT SETNAME bob\r\nGET b\r\n", "+OK\r\n");
    pass(&s, 9);
    answer_here(&s.below, 1, SHARD_DONE, "$1\r\n1\r\n");
    settle(&s);
    CHECK_SAYS(&a, "SLOWLOG LEN\r\nSET b 1\r\n", "$1\r\n1\r\n:0\r\n"); /* 9 of 10 ms */
    pass(&s, 10);
    answer_here(&s.below, 1, SHARD_DONE, "+OK\r\n");
    settle(&s);
    CHECK_TEXT(heard(&a), "+OK\r\n");
    char wanted[512];
    (void)snprintf(wanted,
                   sizeof wanted,
                   "*1\r\n" ENTRY("0",
                                  "10000",
                                  "*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$1\r\n1\r\n"
                                  "$%zu\r\n%s\r\n$3\r\nbob\r\n"),
                   strlen(last_session(&s)->client.peer),
                   last_session(&s)->client.peer);
    CHECK_SAYS(&a, "SLOWLOG GET\r\n", wanted);

    s.settings.slowlog_slower_than_us = 0;
    s.settings.slowlog_max_len = 2;
    CHECK_SAYS(&a, "PING\r\nPING\r\nPING\r\nSLOWLOG LEN\r\n", "+PONG\r\n+PONG\r\n+PONG\r\n:2\r\n");
    s.settings.slowlog_slower_than_us = -1;
    CHECK_SAYS(&a, "SLOWLOG RESET\r\nPING\r\nSLOWLOG LEN\r\n", "+OK\r\n+PONG\r\n:0\r\n");
    CHECK_SAYS(&a, "SLOWLOG GET -2\r\n", "-ERR count should be greater than or equal to -1\r\n");
    caller_leave(&a);
    scene_stop(&s);
}

TEST(latency_of_slow_seconds)
{
    struct scene s;
    scene_start(&s);
    struct caller a;
    caller_start(&a, &s);
    s.below.env.wall_ms = 1700000000000u;
    s.settings.latency_threshold_ms = 20;
    for (unsigned i = 0; i < 3; i++) {
        CHECK_SAYS(&a, "GET b\r\n", "");
        pass(&s, 10 + 10 * i);
        answer_here(&s.below, 1, SHARD_DONE, "+OK\r\n");
        settle(&s);
        (void)heard(&a);
    }
    CHECK_SAYS(&a,
               "LATENCY LATEST\r\n",
               "*1\r\n*4\r\n$12\r\nfast-command\r\n:1700000000\r\n:30\r\n:30\r\n");
    CHECK_SAYS(&a, "LATENCY HISTORY fast-command\r\n", "*1\r\n*2\r\n:1700000000\r\n:30\r\n");
    CHECK_SAYS(&a, "LATENCY HISTORY command\r\n", "*0\r\n");
    CHECK_SAYS(&a, "LATENCY RESET command x\r\nLATENCY RESET\r\n", ":0\r\n:1\r\n");
    CHECK_SAYS(&a, "LATENCY LATEST\r\n", "*0\r\n");
    caller_leave(&a);
    scene_stop(&s);
}

#define CALLS(n, bounds) "*4\r\n$5\r\ncalls\r\n:" n "\r\n$14\r\nhistogram_usec\r\n" bounds

TEST(histograms_of_commands)
{
    struct scene s;
    scene_start(&s);
    struct caller a;
    caller_start(&a, &s);
    for (unsigned i = 0; i < 3; i++) {
        say(&a, "GET b\r\n");
        pass(&s, i < 2 ? 1 : 4);
        answer_here(&s.below, 1, SHARD_DONE, "+OK\r\n");
        settle(&s);
    }
    /* Refused ones do not count. */
    say(&a, "CLIENT ID\r\nNOSUCH\r\nGET\r\nBGSAVE\r\nREADONLY\r\n");
    (void)heard(&a);
    CHECK_SAYS(&a,
               "LATENCY HISTOGRAM get set nosuch client|nosuch\r\n",
               "*2\r\n$3\r\nget\r\n" CALLS("3", "*4\r\n:1024\r\n:2\r\n:4096\r\n:3\r\n"));
    CHECK_SAYS(&a,
               "LATENCY HISTOGRAM client\r\nLATENCY HISTOGRAM CLIENT|ID\r\n",
               "*2\r\n$9\r\nclient|id\r\n" CALLS(
                   "1",
                   "*2\r\n:1\r\n:1\r\n") "*2\r\n$9\r\n"
                                         "client|id\r\n" CALLS("1", "*2\r\n:1\r\n:1\r\n"));
    say(&a, "LATENCY HISTOGRAM\r\n");
    CHECK(strncmp(heard(&a), "*6\r\n", 4) == 0); /* and that of LATENCY HISTOGRAM itself */
    command_stats_reset(&s.server.command_stats);
    CHECK_SAYS(&a, "LATENCY HISTOGRAM get\r\n", "*0\r\n");
    caller_leave(&a);
    scene_stop(&s);
}
