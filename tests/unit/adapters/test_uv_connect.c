/* Connections that the adapter starts. */
#include <sys/resource.h>
#include <sys/wait.h>

#include "uv_server.h"

struct dialler {
    struct server *s;
    struct buf received;
    unsigned connected_count;
    unsigned ended_count;
    unsigned closed_count;
    bool keeps_open_on_end;
};

static void on_connected_greet(struct env_conn *conn)
{
    struct dialler *d = conn->owner;
    d->s->has_completed_inside |= d->s->is_inside_call;
    d->connected_count++;
    CHECK(env_conn_write(conn, bytes_of_text("hello")));
}

static void on_dialled_read(struct env_conn *conn, struct bytes bytes)
{
    struct dialler *d = conn->owner;
    buf_append_bytes(&d->received, bytes);
    if (d->received.size >= 5) {
        env_conn_close(conn);
    }
}

static void on_dialled_ended(struct env_conn *conn)
{
    struct dialler *d = conn->owner;
    d->s->has_completed_inside |= d->s->is_inside_call;
    d->ended_count++;
    if (d->keeps_open_on_end) {
        uv_env_stop(d->s->w.uv);
        return;
    }
    env_conn_close(conn);
}

static void on_dialled_drained(struct env_conn *conn)
{
    (void)conn;
}

static void on_dialled_closed(struct env_conn *conn)
{
    struct dialler *d = conn->owner;
    d->s->has_completed_inside |= d->s->is_inside_call;
    d->closed_count++;
    uv_env_stop(d->s->w.uv);
}

static const struct env_conn_events dialler_events = {
    .connected = on_connected_greet,
    .read = on_dialled_read,
    .ended = on_dialled_ended,
    .drained = on_dialled_drained,
    .closed = on_dialled_closed,
};

static void dialler_init(struct dialler *d, struct server *s)
{
    *d = (struct dialler){.s = s};
    buf_init(&d->received, MIB);
}

static struct env_conn *dial(struct dialler *d, const char *address)
{
    d->s->is_inside_call = true;
    struct env_conn *conn = env_connect(d->s->w.env, address, &dialler_events, d);
    d->s->is_inside_call = false;
    return conn;
}

static void on_accepted_end_quietly(struct env_conn *conn)
{
    ((struct server *)conn->owner)->ended_count++;
    env_conn_close(conn);
}

static void on_closed_quietly(struct env_conn *conn)
{
    ((struct server *)conn->owner)->closed_count++;
}

static const struct env_conn_events quiet_echo_events = {
    .read = on_read_echo,
    .ended = on_accepted_end_quietly,
    .drained = on_drained,
    .closed = on_closed_quietly,
};

static void check_dialled_echo(const char *host)
{
    struct server s;
    server_init(&s, &quiet_echo_events);
    struct dialler d;
    dialler_init(&d, &s);
    char address[64];
    (void)snprintf(address, sizeof address, "%s:%u", host, s.port);
    struct env_conn *conn = dial(&d, address);
    CHECK(conn->owner == &d);
    world_run(&s.w);
    CHECK_EQ(d.connected_count, 1u);
    CHECK_BYTES(buf_bytes(&d.received), bytes_of_text("hello"));
    CHECK_EQ(d.ended_count, 0u);
    CHECK_EQ(d.closed_count, 1u);
    CHECK_EQ(s.ended_count, 1u);
    buf_deinit(&d.received);
    server_deinit(&s);
}

TEST(a_dialled_connection_carries_bytes)
{
    check_dialled_echo("127.0.0.1");
    check_dialled_echo("localhost");
}

/* "127.1" is no address in four parts, so it goes the way of names, without a name server. */
TEST(a_name_is_looked_up)
{
    check_dialled_echo("127.1");
}

static void on_connected_pause(struct env_conn *conn)
{
    ((struct dialler *)conn->owner)->connected_count++;
    (void)env_conn_write(conn, bytes_of_text("hello"));
}

/* Paused before it connected: connected() comes, read() only after resume. */
TEST(a_dialled_connection_may_be_paused_before_it_stands)
{
    static const struct env_conn_events events = {
        .connected = on_connected_pause,
        .read = on_dialled_read,
        .ended = on_dialled_ended,
        .drained = on_dialled_drained,
        .closed = on_dialled_closed,
    };
    struct server s;
    server_init(&s, &quiet_echo_events);
    struct dialler d;
    dialler_init(&d, &s);
    struct env_conn *conn = env_connect(s.w.env, s.address, &events, &d);
    env_conn_resume(conn);
    env_conn_pause(conn);
    fired_count = 0;
    struct ticker t = {.w = &s.w, .timer.cb = on_ticker, .name = 'x', .is_last = true};
    env_timer_start(s.w.env, &t.timer, 50);
    world_run(&s.w);
    CHECK_EQ(d.connected_count, 1u);
    CHECK_EQ(d.received.size, 0u);
    env_conn_resume(conn);
    world_run(&s.w);
    CHECK_BYTES(buf_bytes(&d.received), bytes_of_text("hello"));
    CHECK_EQ(d.closed_count, 1u);
    buf_deinit(&d.received);
    server_deinit(&s);
}

/* Dials, and expects ended() and closed() in this time. */
static void check_dial_fails(const char *address, uint64_t least_us, uint64_t most_us)
{
    struct server s;
    server_init(&s, &quiet_echo_events);
    struct dialler d;
    dialler_init(&d, &s);
    uint64_t started_us = env_now_us(s.w.env);
    (void)dial(&d, address);
    world_run(&s.w);
    uint64_t took_us = env_now_us(s.w.env) - started_us;
    CHECK(took_us >= least_us);
    CHECK(took_us <= most_us);
    CHECK_EQ(d.connected_count, 0u);
    CHECK_EQ(d.ended_count, 1u);
    CHECK_EQ(d.closed_count, 1u);
    server_deinit(&s);
    buf_deinit(&d.received);
}

TEST(dialling_fails_when_nobody_listens)
{
    char address[64];
    (void)snprintf(address, sizeof address, "127.0.0.1:%u", free_port());
    check_dial_fails(address, 0, 2500000u);
}

/* ended() comes from the loop also for what is known to be wrong at once. */
TEST(dialling_fails_for_what_is_no_address)
{
    check_dial_fails("127.0.0.1", 0, 2500000u);
    check_dial_fails("127.0.0.1:0", 0, 2500000u);
    check_dial_fails("[127.0.0.1]:7000", 0, 2500000u);
    check_dial_fails("255.255.255.255:7000", 0, 2500000u);
}

TEST(dialling_fails_for_an_unknown_name)
{
    check_dial_fails("no such name:7000", 0, 3500000u);
}

/* The queue of a listener that accepts nobody is full: the kernel lets us wait. */
static int full_listener(int *out_waiting, unsigned count, char *out_address, size_t size)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t where_size = sizeof where;
    CHECK_EQ(bind(fd, (struct sockaddr *)&where, sizeof where), 0);
    CHECK_EQ(listen(fd, 0), 0);
    CHECK_EQ(getsockname(fd, (struct sockaddr *)&where, &where_size), 0);
    for (unsigned i = 0; i < count; i++) {
        out_waiting[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(out_waiting[i], (struct sockaddr *)&where, sizeof where);
    }
    (void)snprintf(out_address, size, "127.0.0.1:%u", ntohs(where.sin_port));
    return fd;
}

#define WAITING 4u

TEST(dialling_fails_after_the_limit_when_nobody_answers)
{
    int waiting[WAITING];
    char address[64];
    int fd = full_listener(waiting, WAITING, address, sizeof address);
    check_dial_fails(address, 2900000u, 6000000u);
    for (unsigned i = 0; i < WAITING; i++) {
        (void)close(waiting[i]);
    }
    (void)close(fd);
}

/* Closed at once, while connecting and while a name is looked up: only closed() comes. */
TEST(a_connection_may_be_closed_before_it_stands)
{
    int waiting[WAITING];
    char silent[64];
    int fd = full_listener(waiting, WAITING, silent, sizeof silent);
    struct server s;
    server_init(&s, &quiet_echo_events);
    char named[64];
    (void)snprintf(named, sizeof named, "127.1:%u", s.port);
    const char *addresses[] = {s.address, silent, named, "127.0.0.1"};
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        struct dialler d;
        dialler_init(&d, &s);
        s.is_inside_call = true;
        struct env_conn *conn = env_connect(s.w.env, addresses[i], &dialler_events, &d);
        env_conn_close(conn);
        env_conn_close(conn);
        s.is_inside_call = false;
        world_run(&s.w);
        CHECK_EQ(d.connected_count, 0u);
        CHECK_EQ(d.ended_count, 0u);
        CHECK_EQ(d.closed_count, 1u);
        buf_deinit(&d.received);
    }
    server_deinit(&s);
    for (unsigned i = 0; i < WAITING; i++) {
        (void)close(waiting[i]);
    }
    (void)close(fd);
}

/* After ended() the connection is the caller's until it closes it. */
TEST(a_failed_connection_waits_to_be_closed)
{
    struct server s;
    server_init(&s, &quiet_echo_events);
    struct dialler d;
    dialler_init(&d, &s);
    d.keeps_open_on_end = true;
    char address[64];
    (void)snprintf(address, sizeof address, "127.0.0.1:%u", free_port());
    struct env_conn *conn = dial(&d, address);
    world_run(&s.w);
    CHECK_EQ(d.ended_count, 1u);
    CHECK_EQ(d.closed_count, 0u);
    env_conn_close(conn);
    world_run(&s.w);
    CHECK_EQ(d.closed_count, 1u);
    CHECK_EQ(d.ended_count, 1u);
    server_deinit(&s);
    buf_deinit(&d.received);
}

/* ---- running out of files -------------------------------------------------------------------- */

#define FILE_LIMIT 150   /* less the adapter's reserve of 128: room for 22 connections */
#define ROOM (22u + 64u) /* and 64 of the reserve for those it starts */
#define DIALS 100u

static void on_connected_count(struct env_conn *conn)
{
    ((struct dialler *)conn->owner)->connected_count++;
}

static void on_ended_count(struct env_conn *conn)
{
    ((struct dialler *)conn->owner)->ended_count++;
}

/* In a process of its own, as the limit cannot be raised again. Returns what went wrong. */
static int dial_too_many(void)
{
    static const struct env_conn_events events = {
        .connected = on_connected_count,
        .read = on_dialled_read,
        .ended = on_ended_count,
        .drained = on_dialled_drained,
        .closed = on_dialled_closed,
    };
    struct rlimit limit = {.rlim_cur = FILE_LIMIT, .rlim_max = FILE_LIMIT};
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return 1;
    }
    char address[64];
    int fd = full_listener(NULL, 0, address, sizeof address);
    if (listen(fd, 2 * DIALS) != 0) {
        return 2;
    }
    struct server s = {0};
    world_init(&s.w);
    struct dialler d = {.s = &s};
    for (unsigned i = 0; i < DIALS; i++) {
        (void)env_connect(s.w.env, address, &events, &d);
    }
    fired_count = 0;
    struct ticker t = {.w = &s.w, .timer.cb = on_ticker, .name = 'x', .is_last = true};
    env_timer_start(s.w.env, &t.timer, 200);
    uv_env_run(s.w.uv);
    return d.connected_count == ROOM && d.ended_count == DIALS - ROOM ? 0 : 3;
}

TEST(own_connections_take_a_part_of_the_reserve)
{
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        _exit(dial_too_many());
    }
    int status = 0;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 0);
}

/* ---- the end --------------------------------------------------------------------------------- */

/* ASan sees to it that nothing of a connection or a look-up is left. */
TEST(destroy_ends_connections_that_do_not_stand_yet)
{
    int waiting[WAITING];
    char silent[64];
    int fd = full_listener(waiting, WAITING, silent, sizeof silent);
    struct server s;
    server_init(&s, &quiet_echo_events);
    struct dialler d;
    dialler_init(&d, &s);
    (void)dial(&d, silent);
    (void)dial(&d, "127.1:7000");
    (void)dial(&d, "127.0.0.1");
    server_deinit(&s);
    CHECK_EQ(d.connected_count + d.ended_count + d.closed_count, 0u);
    buf_deinit(&d.received);
    for (unsigned i = 0; i < WAITING; i++) {
        (void)close(waiting[i]);
    }
    (void)close(fd);
}
