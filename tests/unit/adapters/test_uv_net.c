#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "uv_server.h"

#define BIG_BYTES (32u * 1024u * 1024u)

/* ---- sockets --------------------------------------------------------------------------------- */

static void on_ended_close(struct env_conn *conn)
{
    struct server *s = conn->owner;
    s->ended_count++;
    s->is_inside_call = true;
    env_conn_close(conn);
    env_conn_close(conn); /* idempotent */
    s->is_inside_call = false;
}

static void on_closed_stop(struct env_conn *conn)
{
    struct server *s = conn->owner;
    s->has_completed_inside |= s->is_inside_call;
    s->closed_count++;
    uv_env_stop(s->w.uv);
}

static const struct env_conn_events echo_events = {
    .read = on_read_echo,
    .ended = on_ended_close,
    .drained = on_drained,
    .closed = on_closed_stop,
};

struct client {
    pthread_t thread;
    uint16_t port;
    size_t received;
    bool is_right;
};

static void *run_echo_client(void *arg)
{
    struct client *c = arg;
    int fd = connect_to(c->port, 0);
    char data[8] = "";
    c->is_right = send(fd, "hello", 5, 0) == 5 && recv(fd, data, 5, MSG_WAITALL) == 5 &&
                  memcmp(data, "hello", 5) == 0 && shutdown(fd, SHUT_WR) == 0 &&
                  recv(fd, data, 1, 0) == 0;
    (void)close(fd);
    return NULL;
}

TEST(a_connection_echoes_and_closes)
{
    struct server s;
    server_init(&s, &echo_events);
    struct client c = {.port = s.port};
    CHECK_EQ(pthread_create(&c.thread, NULL, run_echo_client, &c), 0);
    world_run(&s.w);
    CHECK_EQ(pthread_join(c.thread, NULL), 0);
    CHECK(c.is_right);
    CHECK_EQ(s.ended_count, 1u);
    CHECK_EQ(s.closed_count, 1u);
    CHECK(strncmp(s.peer, "127.0.0.1:", 10) == 0);
    server_deinit(&s);
}

/* Byte i of the big answer, so that lost or doubled pieces are seen. */
static uint8_t big_byte(size_t i)
{
    return (uint8_t)((i * 2654435761u) >> 13);
}

static void *run_slow_client(void *arg)
{
    struct client *c = arg;
    int fd = connect_to(c->port, 8192);
    static uint8_t data[256 * 1024];
    c->is_right = send(fd, "go", 2, 0) == 2;
    (void)usleep(100000);
    ssize_t got = 0;
    while ((got = recv(fd, data, sizeof data, 0)) > 0) {
        for (ssize_t i = 0; i < got; i++) {
            c->is_right &= data[i] == big_byte(c->received + (size_t)i);
        }
        c->received += (size_t)got;
        if (c->received % 64 == 0) {
            (void)usleep(100);
        }
    }
    c->is_right &= got == 0;
    (void)close(fd);
    return NULL;
}

/* Two writes: the second one after drained() of the first. */
static void on_read_send_big(struct env_conn *conn, struct bytes bytes)
{
    struct server *s = conn->owner;
    CHECK_EQ(bytes.size, 2u);
    s->is_inside_call = true;
    CHECK(!env_conn_write(conn, bytes_of(s->big, BIG_BYTES / 2)));
    s->is_inside_call = false;
    s->big_sent = BIG_BYTES / 2;
}

static void on_drained_send_rest(struct env_conn *conn)
{
    struct server *s = conn->owner;
    on_drained(conn);
    if (s->big_sent < BIG_BYTES) {
        (void)env_conn_write(conn, bytes_of(s->big + s->big_sent, BIG_BYTES - s->big_sent));
        s->big_sent = BIG_BYTES;
    } else {
        env_conn_close(conn);
    }
}

static void fill_big(struct server *s)
{
    s->big = mem_alloc(BIG_BYTES);
    for (size_t i = 0; i < BIG_BYTES; i++) {
        s->big[i] = big_byte(i);
    }
}

TEST(a_slow_reader_gets_32_mib_in_two_drained_writes)
{
    static const struct env_conn_events events = {
        .read = on_read_send_big,
        .ended = on_ended_close,
        .drained = on_drained_send_rest,
        .closed = on_closed_stop,
    };
    struct server s;
    server_init(&s, &events);
    fill_big(&s);
    struct client c = {.port = s.port};
    CHECK_EQ(pthread_create(&c.thread, NULL, run_slow_client, &c), 0);
    world_run(&s.w);
    CHECK_EQ(pthread_join(c.thread, NULL), 0);
    CHECK(c.is_right);
    CHECK_EQ(c.received, (size_t)BIG_BYTES);
    CHECK_EQ(s.drained_count, 2u);
    CHECK_EQ(s.ended_count, 0u);
    CHECK_EQ(s.closed_count, 1u);
    server_deinit(&s);
}

/* The peer sends more than anybody reads; the last words still arrive whole, without a reset. */
static void on_read_close(struct env_conn *conn, struct bytes bytes)
{
    struct server *s = conn->owner;
    buf_append_bytes(&s->received, bytes);
    s->is_inside_call = true;
    (void)env_conn_write(conn, bytes_of_text("-ERR enough\r\n"));
    env_conn_close(conn);
    s->is_inside_call = false;
}

static void *run_flooding_client(void *arg)
{
    struct client *c = arg;
    int fd = connect_to(c->port, 0);
    static char flood[1024 * 1024];
    size_t sent = 0;
    while (sent < sizeof flood) {
        ssize_t size = send(fd, flood + sent, sizeof flood - sent, MSG_NOSIGNAL);
        if (size <= 0) {
            break;
        }
        sent += (size_t)size;
    }
    char data[64] = "";
    ssize_t got = recv(fd, data, 13, MSG_WAITALL);
    c->is_right = sent == sizeof flood && got == 13 && strcmp(data, "-ERR enough\r\n") == 0 &&
                  recv(fd, data, 1, 0) == 0;
    (void)close(fd);
    return NULL;
}

TEST(close_inside_read_delivers_the_last_words)
{
    static const struct env_conn_events events = {
        .read = on_read_close,
        .ended = on_ended_close,
        .drained = on_drained,
        .closed = on_closed_stop,
    };
    struct server s;
    server_init(&s, &events);
    struct client c = {.port = s.port};
    CHECK_EQ(pthread_create(&c.thread, NULL, run_flooding_client, &c), 0);
    world_run(&s.w);
    CHECK_EQ(pthread_join(c.thread, NULL), 0);
    CHECK(c.is_right);
    CHECK(s.received.size <= 64u * 1024u); /* no read() after close */
    CHECK_EQ(s.closed_count, 1u);
    CHECK_EQ(s.ended_count, 0u);
    server_deinit(&s);
}

/* A peer that neither reads nor ends cannot hold a closed connection for more than 2 s. */
static void on_read_send_big_and_close(struct env_conn *conn, struct bytes bytes)
{
    struct server *s = conn->owner;
    (void)bytes;
    (void)env_conn_write(conn, bytes_of(s->big, BIG_BYTES));
    env_conn_close(conn);
}

TEST(a_deaf_peer_is_closed_after_the_limit)
{
    static const struct env_conn_events events = {
        .read = on_read_send_big_and_close,
        .ended = on_ended_close,
        .drained = on_drained,
        .closed = on_closed_stop,
    };
    struct server s;
    server_init(&s, &events);
    fill_big(&s);
    int fd = connect_to(s.port, 8192);
    CHECK(fd >= 0);
    CHECK_EQ(send(fd, "x", 1, 0), 1);
    uint64_t started_us = env_now_us(s.w.env);
    world_run(&s.w);
    uint64_t took_us = env_now_us(s.w.env) - started_us;
    CHECK(took_us >= 1900000u);
    CHECK(took_us < 8000000u);
    CHECK_EQ(s.drained_count, 0u);
    CHECK_EQ(s.closed_count, 1u);
    (void)close(fd);
    server_deinit(&s);
}

/* A peer that read all and says nothing holds the connection only for a moment. */
TEST(an_idle_peer_is_let_go_soon)
{
    static const struct env_conn_events events = {
        .read = on_read_close,
        .ended = on_ended_close,
        .drained = on_drained,
        .closed = on_closed_stop,
    };
    struct server s;
    server_init(&s, &events);
    int fd = connect_to(s.port, 0);
    CHECK_EQ(send(fd, "x", 1, 0), 1);
    uint64_t started_us = env_now_us(s.w.env);
    world_run(&s.w);
    CHECK(env_now_us(s.w.env) - started_us < 1500000u);
    CHECK_EQ(s.closed_count, 1u);
    char data[32] = "";
    CHECK_EQ(recv(fd, data, sizeof data - 1, 0), 13);
    CHECK_TEXT(data, "-ERR enough\r\n");
    (void)close(fd);
    server_deinit(&s);
}

/* Paused: what is sent waits in the kernel; resumed: it comes. */
static void on_read_pause(struct env_conn *conn, struct bytes bytes)
{
    struct server *s = conn->owner;
    buf_append_bytes(&s->received, bytes);
    env_conn_pause(conn);
    env_conn_pause(conn);
    uv_env_stop(s->w.uv);
}

TEST(a_paused_connection_waits)
{
    static const struct env_conn_events events = {
        .read = on_read_pause,
        .ended = on_ended_close,
        .drained = on_drained,
        .closed = on_closed_stop,
    };
    struct server s;
    server_init(&s, &events);
    int fd = connect_to(s.port, 0);
    CHECK_EQ(send(fd, "one", 3, 0), 3);
    world_run(&s.w);
    CHECK_EQ(send(fd, "two", 3, 0), 3);
    CHECK_EQ(shutdown(fd, SHUT_WR), 0);
    fired_count = 0;
    struct ticker t = {.w = &s.w, .timer.cb = on_ticker, .name = 'x', .is_last = true};
    env_timer_start(s.w.env, &t.timer, 50);
    world_run(&s.w);
    CHECK_EQ(s.received.size, 3u);
    CHECK_EQ(s.ended_count, 0u);
    env_conn_resume(s.conn);
    env_conn_resume(s.conn);
    world_run(&s.w);
    CHECK_BYTES(buf_bytes(&s.received), bytes_of_text("onetwo"));
    env_conn_resume(s.conn);
    world_run(&s.w);
    CHECK_EQ(s.ended_count, 1u);
    CHECK_EQ(s.closed_count, 1u);
    (void)close(fd);
    server_deinit(&s);
}

/* ASan sees to it that nothing of the connection is left or used. */
TEST(destroy_ends_open_connections_in_silence)
{
    struct server s;
    server_init(&s, &echo_events);
    int fd = connect_to(s.port, 0);
    fired_count = 0;
    struct ticker t = {.w = &s.w, .timer.cb = on_ticker, .name = 'x', .is_last = true};
    env_timer_start(s.w.env, &t.timer, 50);
    world_run(&s.w);
    CHECK(s.conn != NULL);
    unsigned closed_before = s.closed_count;
    server_deinit(&s);
    CHECK_EQ(s.closed_count, closed_before);
    (void)close(fd);
}

/* ---- running out of files -------------------------------------------------------------------- */

#define FILE_LIMIT 150 /* less the adapter's reserve of 128: room for 22 connections */
#define ROOM 22u
#define STORM 60

static unsigned accepted_count;

static void on_accepted_count(struct env_listener *listener,
                              struct env_conn *conn,
                              const char *peer)
{
    on_accepted(listener, conn, peer);
    accepted_count++;
}

static void on_closed(struct env_conn *conn)
{
    ((struct server *)conn->owner)->closed_count++;
}

static void run_for(struct server *s, unsigned time_ms)
{
    fired_count = 0;
    struct ticker t = {.w = &s->w, .timer.cb = on_ticker, .name = 'x', .is_last = true};
    env_timer_start(s->w.env, &t.timer, time_ms);
    uv_env_run(s->w.uv);
}

/* In a process of its own, as the limit cannot be raised again. Returns what went wrong. */
static int storm(void)
{
    static const struct env_conn_events events = {
        .read = on_read_echo,
        .ended = on_ended_close,
        .drained = on_drained,
        .closed = on_closed,
    };
    struct rlimit limit = {.rlim_cur = FILE_LIMIT, .rlim_max = FILE_LIMIT};
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return 1;
    }
    struct server s;
    server_init(&s, &events);
    s.listener.accepted = on_accepted_count;
    int fds[STORM];
    for (int i = 0; i < STORM; i++) {
        fds[i] = connect_to(s.port, 0);
    }
    run_for(&s, 450);
    if (accepted_count != ROOM || s.w.turns > 200) {
        return 2;
    }
    for (unsigned i = 0; i < ROOM; i++) {
        (void)close(fds[i]);
    }
    run_for(&s, 450);
    return accepted_count == 2 * ROOM && s.closed_count == ROOM ? 0 : 3;
}

TEST(accepting_pauses_when_files_run_out)
{
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        _exit(storm());
    }
    int status = 0;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 0);
}

static void check_refused(struct env *env, const char *address, const char *text)
{
    struct env_listener listener = {.accepted = on_accepted};
    struct error error = {0};
    enum status status = env_listen(env, address, &listener, &error);
    CHECK(status != STATUS_OK);
    CHECK_EQ(error.code, status);
    CHECK_TEXT(error.text, text);
}

TEST(bad_addresses_are_refused_in_clear_words)
{
    struct server s;
    server_init(&s, &echo_events);
    struct env *env = s.w.env;
    char text[128];
    (void)snprintf(text, sizeof text, "listen %s: address already in use", s.address);
    check_refused(env, s.address, text);
    check_refused(env, "127.0.0.1", "listen 127.0.0.1: write it as HOST:PORT");
    check_refused(env,
                  "127.0.0.1:0",
                  "listen 127.0.0.1:0: the port must be a number from 1 to 65535");
    check_refused(env,
                  "127.0.0.1:99999",
                  "listen 127.0.0.1:99999: the port must be a number from 1 to 65535");
    check_refused(env,
                  "example.org:80",
                  "listen example.org:80: the host must be a numeric address (IPv6 in brackets) or "
                  "localhost");
    check_refused(env,
                  "[1.2.3.4]:80",
                  "listen [1.2.3.4]:80: what stands in brackets must be an "
                  "IPv6 address");
    check_refused(env, "192.0.2.1:7379", "listen 192.0.2.1:7379: address not available");
    server_deinit(&s);
}
