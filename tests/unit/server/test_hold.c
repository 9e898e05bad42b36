/* What makes a connection wait: CLIENT PAUSE and sleeping; and what ends an idle one. */
#include "server_world.h"

#define MINUTE_MS 60000u
#define MANY 10000u

TEST(pause_of_writes_holds_them_and_what_is_behind)
{
    struct scene s;
    scene_start(&s);
    s.below.shards[1].mode = FAKE_ANSWER;
    struct caller a, b;
    caller_start(&a, &s);
    caller_start(&b, &s);

    CHECK_SAYS(&a, "CLIENT PAUSE 1000 WRITE\r\n", "+OK\r\n");
    CHECK_SAYS(&b, "GET b\r\n", "+OK\r\n");
    CHECK_SAYS(&b, "PING 1\r\nSET b 1\r\nPING 2\r\n", "$1\r\n1\r\n");
    CHECK_SAYS(&b, "PING 3\r\n", "");
    CHECK_SAYS(&a, "PING\r\n", "+PONG\r\n");
    CHECK_EVENTS(&s.below, "here g1 get b\n");
    pass(&s, 999);
    CHECK_TEXT(heard(&b), "");
    pass(&s, 1);
    CHECK_TEXT(heard(&b), "+OK\r\n$1\r\n2\r\n$1\r\n3\r\n");
    CHECK_EVENTS(&s.below, "here g1 set b 1 #1/0\n");

    caller_leave(&a);
    caller_leave(&b);
    scene_stop(&s);
}

TEST(pause_of_all_lets_only_unpause_through)
{
    struct scene s;
    scene_start(&s);
    struct caller a, b, c;
    caller_start(&a, &s);
    caller_start(&b, &s);
    caller_start(&c, &s);

    CHECK_SAYS(&a, "CLIENT PAUSE 100000\r\nPING\r\n", "+OK\r\n");
    CHECK_SAYS(&b, "NOSUCH\r\n", "-ERR unknown command 'NOSUCH', with args beginning with: \r\n");
    CHECK_SAYS(&b, "GET\r\n", "-ERR wrong number of arguments for 'get' command\r\n");
    CHECK_SAYS(&b, "QUIT\r\n", "");
    struct server_client_counts counts;
    server_count_clients(&s.server, &counts);
    CHECK_EQ(counts.connected, 3u);
    CHECK_EQ(counts.waiting, 2u);
    CHECK_SAYS(&c, "CLIENT UNPAUSE\r\n", "+OK\r\n");
    CHECK_TEXT(heard(&a), "+PONG\r\n");
    CHECK_TEXT(heard(&b), "+OK\r\n");
    CHECK(b.has_ended);
    CHECK_EQ(timers_next_due_us(&s.below.env.timers), UINT64_MAX);

    caller_leave(&a);
    caller_leave(&b);
    caller_leave(&c);
    scene_stop(&s);
}

/* The later end and the stricter kind win. */
TEST(pauses_add_up)
{
    struct scene s;
    scene_start(&s);
    struct caller a, b;
    caller_start(&a, &s);
    caller_start(&b, &s);

    CHECK_SAYS(&a, "CLIENT PAUSE 1000 ALL\r\n", "+OK\r\n");
    pass(&s, 1000);
    CHECK_SAYS(&a, "CLIENT PAUSE 2000 WRITE\r\nCLIENT PAUSE 500 ALL\r\n", "+OK\r\n+OK\r\n");
    CHECK_SAYS(&b, "PING\r\n", "");
    pass(&s, 1999);
    CHECK_TEXT(heard(&b), "");
    pass(&s, 1);
    CHECK_TEXT(heard(&b), "+PONG\r\n");
    /* The kind of an earlier pause is forgotten with it. */
    CHECK_SAYS(&a, "CLIENT PAUSE 1000 WRITE\r\n", "+OK\r\n");
    CHECK_SAYS(&b, "PING\r\n", "+PONG\r\n");
    CHECK_SAYS(&a, "CLIENT UNPAUSE\r\n", "+OK\r\n");

    caller_leave(&a);
    caller_leave(&b);
    scene_stop(&s);
}

TEST(pause_ends_after_its_limit)
{
    struct scene s;
    scene_start(&s);
    struct caller a;
    caller_start(&a, &s);
    CHECK_SAYS(&a, "CLIENT PAUSE 9223372036854775807\r\nPING\r\n", "+OK\r\n");
    pass(&s, LIMIT_PAUSE_MS - 1);
    CHECK_TEXT(heard(&a), "");
    pass(&s, 1);
    CHECK_TEXT(heard(&a), "+PONG\r\n");
    caller_leave(&a);
    scene_stop(&s);
}

/* A client that goes while it is held is noticed, and what it had sent is not run. */
TEST(held_client_leaves)
{
    struct scene s;
    scene_start(&s);
    struct caller a, b;
    caller_start(&a, &s);
    caller_start(&b, &s);
    CHECK_SAYS(&a, "CLIENT PAUSE 1000 WRITE\r\n", "+OK\r\n");
    CHECK_SAYS(&b, "SET b 1\r\n", "");
    CHECK_EQ(s.server.session_count, 2u);
    caller_leave(&b);
    CHECK_EQ(s.server.session_count, 1u);
    pass(&s, 1000);
    CHECK_EVENTS(&s.below, "");
    caller_leave(&a);
    scene_stop(&s);
}

/* Of what a held client sends, no more is kept than its limit and one read. */
TEST(held_input_is_bounded)
{
    struct scene s;
    scene_start(&s);
    struct caller a, b;
    caller_start(&a, &s);
    caller_start(&b, &s);
    s.net.piece_bytes = 4 * KIB;
    CHECK_SAYS(&a, "CLIENT PAUSE 1000\r\n", "+OK\r\n");
    struct buf many;
    buf_init(&many, SIZE_MAX / 2);
    for (unsigned i = 0; i < MANY; i++) {
        buf_append_text(&many, "PING 12345678\r\n");
    }
    (void)env_conn_write(b.conn, buf_bytes(&many));
    settle(&s);
    CHECK(last_session(&s)->input.size > LIMIT_HELD_INPUT_BYTES);
    CHECK(last_session(&s)->input.size <= LIMIT_HELD_INPUT_BYTES + 4 * KIB);
    pass(&s, 1000);
    CHECK_EQ(b.got.size, MANY * strlen("$8\r\n12345678\r\n"));
    buf_deinit(&many);
    caller_leave(&a);
    caller_leave(&b);
    scene_stop(&s);
}

/* A command in pieces is held whole; the node may stop with it. */
TEST(stop_while_held)
{
    struct scene s;
    scene_start(&s);
    struct caller a;
    caller_start(&a, &s);
    CHECK_SAYS(&a, "CLIENT PAUSE 1000\r\n", "+OK\r\n");
    CHECK_SAYS(&a, "PI", "");
    CHECK_SAYS(&a, "NG\r\nPI", "");
    server_stop(&s.server);
    CHECK(server_is_stopped(&s.server));
    server_close_all(&s.server);
    settle(&s);
    CHECK(a.has_ended);
    CHECK_TEXT(heard(&a), "");
    caller_leave(&a);
    scene_stop(&s);
}

/* ---- sleeping -------------------------------------------------------------------------------- */

TEST(sleep_delays_its_reply_and_those_behind)
{
    struct scene s;
    scene_start(&s);
    s.below.shards[1].mode = FAKE_ANSWER;
    struct caller a, b;
    caller_start(&a, &s);
    caller_start(&b, &s);

    last_session(&s)->client.sleep_us = 1500001; /* rounded up to milliseconds */
    CHECK_SAYS(&b, "PING 1\r\nPING 2\r\nGET b\r\n", "");
    CHECK_SAYS(&a, "PING\r\nGET b\r\n", "+PONG\r\n+OK\r\n");
    CHECK_SAYS(&b, "PING 3\r\n", "");
    pass(&s, 1500);
    CHECK_TEXT(heard(&b), "");
    pass(&s, 1);
    CHECK_TEXT(heard(&b), "$1\r\n1\r\n$1\r\n2\r\n+OK\r\n$1\r\n3\r\n");

    caller_leave(&a);
    caller_leave(&b);
    scene_stop(&s);
}

TEST(sleep_ends_after_its_limit)
{
    struct scene s;
    scene_start(&s);
    struct caller a;
    caller_start(&a, &s);
    last_session(&s)->client.sleep_us = UINT64_MAX;
    CHECK_SAYS(&a, "PING\r\n", "");
    pass(&s, LIMIT_SLEEP_MS - 1);
    CHECK_TEXT(heard(&a), "");
    pass(&s, 1);
    CHECK_TEXT(heard(&a), "+PONG\r\n");
    caller_leave(&a);
    scene_stop(&s);
}

TEST(sleeper_leaves)
{
    struct scene s;
    scene_start(&s);
    struct caller a;
    caller_start(&a, &s);
    last_session(&s)->client.sleep_us = 1000000;
    CHECK_SAYS(&a, "PING\r\nPING\r\n", "");
    caller_leave(&a);
    CHECK_EQ(s.server.session_count, 0u);
    CHECK_EQ(timers_next_due_us(&s.below.env.timers), UINT64_MAX);
    scene_stop(&s);
}

TEST(stop_wakes_sleepers)
{
    struct scene s;
    scene_start(&s);
    struct caller a;
    caller_start(&a, &s);
    last_session(&s)->client.sleep_us = 1000000;
    CHECK_SAYS(&a, "PING 1\r\nPING 2\r\n", "");
    CHECK(!server_is_stopped(&s.server));
    server_stop(&s.server);
    settle(&s);
    CHECK_TEXT(heard(&a), "$1\r\n1\r\n");
    CHECK(server_is_stopped(&s.server));
    server_close_all(&s.server);
    settle(&s);
    caller_leave(&a);
    scene_stop(&s);
}

/* ---- idle connections, too many -------------------------------------------------------------- */

TEST(idle_connections_are_closed)
{
    struct scene s;
    scene_start(&s);
    struct caller idle, busy, monitor, waiting;
    caller_start(&idle, &s);
    caller_start(&busy, &s);
    caller_start(&monitor, &s);
    caller_start(&waiting, &s);
    CHECK_SAYS(&monitor, "MONITOR\r\n", "+OK\r\n");
    pass(&s, 10 * MINUTE_MS);
    CHECK(!idle.has_ended); /* no timeout */
    last_session(&s)->client.sleep_us = (uint64_t)10 * MINUTE_MS * 1000;
    CHECK_SAYS(&waiting, "PING\r\n", "");

    s.settings.client_timeout_s = 60;
    for (unsigned i = 0; i < 59; i++) {
        say(&busy, "PING\r\n");
        pass(&s, 1000);
    }
    CHECK(idle.has_ended); /* for minutes */
    for (unsigned i = 0; i < 59; i++) {
        pass(&s, 1000);
    }
    CHECK(!busy.has_ended);
    for (unsigned i = 0; i < 3; i++) {
        pass(&s, 1000);
    }
    CHECK(busy.has_ended);
    CHECK(!monitor.has_ended);
    CHECK(!waiting.has_ended);
    s.settings.client_timeout_s = 0;
    pass(&s, 10 * MINUTE_MS);
    CHECK_TEXT(heard(&waiting), "+PONG\r\n");
    CHECK_EQ(timers_next_due_us(&s.below.env.timers), UINT64_MAX);

    caller_leave(&idle);
    caller_leave(&busy);
    caller_leave(&monitor);
    caller_leave(&waiting);
    scene_stop(&s);
}

TEST(one_client_too_many)
{
    struct scene s;
    scene_start(&s);
    s.settings.max_clients = 1;
    struct caller a, b, c;
    caller_start(&a, &s);
    caller_start(&b, &s);
    CHECK_TEXT(heard(&b), "-ERR max number of clients reached\r\n");
    CHECK(b.has_ended);
    CHECK_SAYS(&a, "PING\r\n", "+PONG\r\n");
    caller_leave(&a);
    caller_start(&c, &s);
    CHECK_SAYS(&c, "PING\r\n", "+PONG\r\n");
    caller_leave(&b);
    caller_leave(&c);
    scene_stop(&s);
}
