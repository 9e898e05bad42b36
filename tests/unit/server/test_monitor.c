/* MONITOR: who sees what, in which words, and when it ends. */
#include "server_world.h"

#define WALL_MS 1700000000123u

static void monitor_start(struct caller *c, struct scene *s)
{
    caller_start(c, s);
    s->below.env.wall_ms = WALL_MS;
    CHECK_SAYS(c, "MONITOR\r\n", "+OK\r\n");
}

/* "+1700000000.123000 [db peer]" and the words. */
static const char *line_of(const struct caller *c, struct scene *s, unsigned db, const char *words)
{
    (void)c;
    static char text[1024];
    (void)snprintf(text,
                   sizeof text,
                   "+1700000000.123000 [%u %s] %s\r\n",
                   db,
                   last_session(s)->client.peer,
                   words);
    return text;
}

TEST(monitor_sees_commands_of_others)
{
    struct scene s;
    scene_start(&s);
    s.below.shards[1].mode = FAKE_ANSWER;
    struct caller m, a;
    monitor_start(&m, &s);
    caller_start(&a, &s);
    say(&a, "get b\r\n");
    CHECK_TEXT(heard(&m), line_of(&a, &s, 0, "\"get\" \"b\""));
    say(&a, "SELECT 5\r\n");
    CHECK_TEXT(heard(&m), line_of(&a, &s, 5, "\"SELECT\" \"5\""));
    static const char echo[] = "*2\r\n$4\r\nECHO\r\n$11\r\n\n\r\t\a\b\"\\\x7f\xff~\0\r\n";
    (void)env_conn_write(a.conn, bytes_of(echo, sizeof echo - 1));
    settle(&s);
    CHECK_TEXT(heard(&m),
               line_of(&a, &s, 5, "\"ECHO\" \"\\n\\r\\t\\a\\b\\\"\\\\\\x7f\\xff~\\x00\""));
    say(&a, "CLIENT LIST\r\nNOSUCH\r\nGET\r\nSLOWLOG LEN\r\nMONITOR\r\n");
    CHECK_TEXT(heard(&m), ""); /* of administrators, or refused */
    caller_leave(&a);
    caller_leave(&m);
    scene_stop(&s);
}

TEST(passwords_are_not_shown)
{
    struct scene s;
    scene_start(&s);
    s.settings.slowlog_slower_than_us = 0;
    struct caller m, a;
    monitor_start(&m, &s);
    caller_start(&a, &s);
    static const char *const lines[][2] = {
        {"AUTH secret\r\n", "\"AUTH\" \"(redacted)\""},
        {"auth default secret\r\n", "\"auth\" \"(redacted)\" \"(redacted)\""},
        {"HELLO 2 AUTH default secret SETNAME x\r\n",
         "\"HELLO\" \"2\" \"AUTH\" \"(redacted)\" \"(redacted)\" \"SETNAME\" \"x\""},
        {"HELLO 2 x AUTH default secret\r\n",
         "\"HELLO\" \"2\" \"x\" \"AUTH\" \"(redacted)\" \"(redacted)\""},
        {"HELLO auth default secret\r\n", "\"HELLO\" \"auth\" \"(redacted)\" \"(redacted)\""},
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        say(&a, lines[i][0]);
        CHECK_TEXT(heard(&m), line_of(&a, &s, 0, lines[i][1]));
    }
    (void)heard(&a);
    say(&a, "SLOWLOG GET 100\r\n");
    const char *text = heard(&a);
    CHECK(strstr(text, "secret") == NULL);
    CHECK(strstr(text, "(redacted)") != NULL);
    caller_leave(&a);
    caller_leave(&m);
    scene_stop(&s);
}

/* Nothing comes before the +OK, and that not before what was asked earlier. */
TEST(monitor_begins_behind_its_reply)
{
    struct scene s;
    scene_start(&s);
    struct caller m, a;
    caller_start(&m, &s);
    caller_start(&a, &s);
    s.below.env.wall_ms = WALL_MS;
    CHECK_SAYS(&m, "GET b\r\nMONITOR\r\n", "");
    CHECK_SAYS(&a, "PING 1\r\n", "$1\r\n1\r\n");
    CHECK_TEXT(heard(&m), "");
    answer_here(&s.below, 1, SHARD_DONE, "$1\r\nx\r\n");
    settle(&s);
    CHECK_TEXT(heard(&m), "$1\r\nx\r\n+OK\r\n");
    say(&a, "PING 2\r\n");
    CHECK_TEXT(heard(&m), line_of(&a, &s, 0, "\"PING\" \"2\""));
    caller_leave(&a);
    caller_leave(&m);
    scene_stop(&s);
}

TEST(monitor_ends_with_reset)
{
    struct scene s;
    scene_start(&s);
    struct caller m, a;
    monitor_start(&m, &s);
    caller_start(&a, &s);
    CHECK_SAYS(&m, "MONITOR\r\n", ""); /* the second one has no reply */
    CHECK_SAYS(&m, "CLIENT REPLY OFF\r\n", "");
    say(&a, "PING\r\n");
    CHECK_TEXT(heard(&m), "");
    CHECK_SAYS(&m, "RESET\r\n", "+RESET\r\n");
    say(&a, "PING\r\n");
    CHECK_TEXT(heard(&m), "");
    CHECK(list_is_empty(&s.server.monitors));
    CHECK_SAYS(&m, "MONITOR\r\nRESET\r\n", "+OK\r\n+RESET\r\n");
    CHECK(list_is_empty(&s.server.monitors));
    caller_leave(&a);
    caller_leave(&m);
    scene_stop(&s);
}

/* Its own commands: the reply first. */
TEST(monitor_sees_itself)
{
    struct scene s;
    scene_start(&s);
    struct caller m;
    monitor_start(&m, &s);
    say(&m, "PING\r\n");
    char wanted[256];
    (void)snprintf(wanted, sizeof wanted, "+PONG\r\n%s", line_of(&m, &s, 0, "\"PING\""));
    CHECK_TEXT(heard(&m), wanted);
    CHECK_SAYS(&m, "QUIT\r\n", "+OK\r\n");
    CHECK(m.has_ended);
    caller_leave(&m);
    scene_stop(&s);
}

TEST(monitor_that_does_not_read_is_closed)
{
    struct scene s;
    scene_start(&s);
    struct caller m, a;
    monitor_start(&m, &s);
    caller_start(&a, &s);
    s.net.socket_bytes = 4 * KIB;
    env_conn_pause(m.conn);
    struct buf big;
    buf_init(&big, SIZE_MAX / 2);
    buf_printf(&big, "*2\r\n$4\r\nECHO\r\n$%u\r\n", LIMIT_MONITOR_ARGUMENT_BYTES + 100);
    memset(buf_reserve(&big, LIMIT_MONITOR_ARGUMENT_BYTES + 100),
           'x',
           LIMIT_MONITOR_ARGUMENT_BYTES + 100);
    buf_extend(&big, LIMIT_MONITOR_ARGUMENT_BYTES + 100);
    buf_append_text(&big, "\r\n");
    unsigned calls = 0;
    for (; s.below.stats.output_overflows == 0 && calls < 1000; calls++) {
        (void)env_conn_write(a.conn, buf_bytes(&big));
        settle(&s);
        buf_clear(&a.got, 0);
    }
    CHECK(calls > LIMIT_MONITOR_BYTES / LIMIT_MONITOR_ARGUMENT_BYTES - 2);
    CHECK(calls <= LIMIT_MONITOR_BYTES / LIMIT_MONITOR_ARGUMENT_BYTES + 2);
    CHECK(list_is_empty(&s.server.monitors));
    CHECK_SAYS(&a, "PING\r\n", "+PONG\r\n");
    buf_deinit(&big);
    env_conn_resume(m.conn);
    caller_leave(&a);
    caller_leave(&m);
    scene_stop(&s);
}

/* *2 ECHO and a long word: as much of a line as one argument may have. */
static void long_echo(struct buf *out)
{
    buf_printf(out, "*2\r\n$4\r\nECHO\r\n$%u\r\n", LIMIT_MONITOR_ARGUMENT_BYTES);
    memset(buf_reserve(out, LIMIT_MONITOR_ARGUMENT_BYTES), 'x', LIMIT_MONITOR_ARGUMENT_BYTES);
    buf_extend(out, LIMIT_MONITOR_ARGUMENT_BYTES);
    buf_append_text(out, "\r\n");
}

static unsigned count_lines(const struct buf *text)
{
    unsigned count = 0;
    for (size_t i = 0; i < text->size; i++) {
        count += text->data[i] == '\n' ? 1 : 0;
    }
    return count;
}

/* The lines of what its EXEC runs are too many for it: it is closed in the middle of its EXEC. */
TEST(monitor_closed_by_its_own_exec)
{
    struct scene s;
    scene_start(&s);
    struct caller m, other;
    struct buf big;
    buf_init(&big, SIZE_MAX / 2);
    monitor_start(&m, &s);
    monitor_start(&other, &s);
    long_echo(&big);
    s.net.socket_bytes = 4 * KIB;
    env_conn_pause(m.conn);
    (void)env_conn_write(m.conn, bytes_of_text("MULTI\r\n"));
    unsigned queued = LIMIT_MONITOR_BYTES / LIMIT_MONITOR_ARGUMENT_BYTES - 4;
    for (unsigned i = 0; i < queued; i++) {
        (void)env_conn_write(m.conn, buf_bytes(&big));
        settle(&s);
    }
    /* What it has not read yet: the other one has, and so is not closed with it. */
    for (unsigned i = 0; i < 8; i++) {
        (void)env_conn_write(other.conn, buf_bytes(&big));
        settle(&s);
        buf_clear(&other.got, 0);
    }
    CHECK_EQ(s.below.stats.output_overflows, 0u);
    (void)env_conn_write(m.conn, bytes_of_text("*1\r\n$4\r\nEXEC\r\n"));
    settle(&s);
    CHECK_EQ(s.below.stats.output_overflows, 1u);
    CHECK_EQ(count_lines(&other.got), queued); /* its own EXEC is not run, and not shown */
    buf_clear(&other.got, 0);
    CHECK_SAYS(&other, "RESET\r\n", "+RESET\r\n");
    buf_deinit(&big);
    env_conn_resume(m.conn);
    caller_leave(&other);
    caller_leave(&m);
    scene_stop(&s);
}

/* A command with many long arguments makes one bounded line. */
TEST(long_commands_are_cut)
{
    struct scene s;
    scene_start(&s);
    struct caller m, a;
    monitor_start(&m, &s);
    caller_start(&a, &s);
    struct buf big;
    buf_init(&big, SIZE_MAX / 2);
    buf_append_text(&big, "*100\r\n$3\r\nDEL\r\n");
    for (unsigned i = 1; i < 100; i++) {
        buf_printf(&big, "$%u\r\n", LIMIT_KEY_BYTES);
        memset(buf_reserve(&big, LIMIT_KEY_BYTES), '\1', LIMIT_KEY_BYTES);
        buf_extend(&big, LIMIT_KEY_BYTES);
        buf_append_text(&big, "\r\n");
    }
    s.below.shards[1].mode = FAKE_ANSWER;
    (void)env_conn_write(a.conn, buf_bytes(&big));
    settle(&s);
    CHECK(m.got.size > LIMIT_MONITOR_LINE_BYTES);
    CHECK(m.got.size < LIMIT_MONITOR_LINE_BYTES + 5 * LIMIT_MONITOR_ARGUMENT_BYTES);
    const char end[] = "... (98 more arguments)\"\r\n";
    CHECK(m.got.size > sizeof end &&
          memcmp(m.got.data + m.got.size - strlen(end), end, strlen(end)) == 0);
    buf_deinit(&big);
    caller_leave(&m);
    caller_leave(&a);
    pass(&s, TIMEOUT_MS);
    scene_stop(&s);
}
