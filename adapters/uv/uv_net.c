/*
 * Listening sockets and accepted connections. Listeners are watched by uv_poll and accepted by
 * hand: uv_listen retries, closes or spins by itself when files run out, and tells nobody.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "uv_parts.h"

#define BACKLOG 511
/* New connections per wake-up, so that a storm of them cannot starve the others. */
#define ACCEPT_BATCH 64
#define ACCEPT_PAUSE_MS 100u
#define ACCEPT_LOG_INTERVAL_US (60u * 1000000u)
#define KEEPALIVE_IDLE_S 300
#define KEEPALIVE_INTERVAL_S 100
#define KEEPALIVE_PROBES 3
/* How long a closed connection may take to deliver its last output and to say goodbye. */
#define CLOSE_LIMIT_MS 2000u
/* A peer that sent nothing for so long after our end of stream has taken note, or never will. */
#define CLOSE_QUIET_MS 200u
#define HOST_BYTES 64
#define PEER_BYTES (INET6_ADDRSTRLEN + 16)

struct conn {
    struct env_conn port; /* first */
    uv_tcp_t tcp;
    uv_shutdown_t goodbye;
    struct env_timer close_timer;
    uint64_t close_limit_us; /* when the handle goes, whatever is under way */
    struct list link;
    bool is_paused;
    bool has_output;       /* a uv_write is under way; drained() is owed */
    bool is_ended;         /* no more input: the peer closed, or the socket broke */
    bool is_broken;        /* no output can leave any more */
    bool is_closing;       /* env_conn_close was called: only closed() may follow */
    bool is_shut;          /* all output and our end of stream have left */
    bool has_heard;        /* input came since close_timer was started */
    bool is_handle_closed; /* uv_close was called; its callback ends this struct */
};

struct listener {
    struct env_listener *port;
    struct uv_env *env;
    uv_poll_t poll;
    int fd;
    struct env_timer retry;
    bool has_logged;
    uint64_t logged_us;
    struct list link;
};

/* What the socket did not take at once. */
struct output {
    uv_write_t request;
    char data[];
};

/* ---- end of a connection --------------------------------------------------------------------- */

static struct conn *conn_of(struct env_conn *port)
{
    return (struct conn *)(void *)port;
}

static bool is_silent(const struct conn *c)
{
    return c->is_closing || uv_env_of(c->port.env)->is_closing;
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct conn *c = handle->data;
    struct uv_env *env = uv_env_of(c->port.env);
    list_remove(&c->link);
    env->conn_count--;
    if (!env->is_closing) {
        c->port.events->closed(&c->port);
    }
    mem_free(c);
}

static void close_handle(struct conn *c)
{
    if (c->is_handle_closed) {
        return;
    }
    c->is_handle_closed = true;
    env_timer_stop(c->port.env, &c->close_timer);
    uv_close((uv_handle_t *)&c->tcp, on_handle_closed);
}

static void note_broken(struct conn *c, const char *call, int error)
{
    c->is_broken = true;
    env_log(c->port.env,
            ENV_LEVEL_DEBUG,
            "connection_broken call=%s error=%s",
            call,
            uv_errno_text(error));
}

static void on_close_timer(struct env_timer *timer)
{
    struct conn *c = container_of(timer, struct conn, close_timer);
    bool is_quiet = c->is_shut && !c->has_heard;
    if (is_quiet || env_now_us(c->port.env) >= c->close_limit_us) {
        close_handle(c);
        return;
    }
    c->has_heard = false;
    env_timer_start(c->port.env, &c->close_timer, CLOSE_QUIET_MS);
}

/* Closing: the handle goes as soon as nothing is left to say or to hear. */
static void close_handle_if_done(struct conn *c)
{
    ensure(c->is_closing);
    if (c->is_broken || (c->is_shut && c->is_ended)) {
        close_handle(c);
    }
}

static void on_goodbye(uv_shutdown_t *request, int status)
{
    struct conn *c = request->data;
    if (c->is_handle_closed) {
        return;
    }
    if (status < 0) {
        note_broken(c, "shutdown", status);
    }
    c->is_shut = true;
    close_handle_if_done(c);
}

/* ---- input ----------------------------------------------------------------------------------- */

/* One buffer for all: read() borrows it, and nothing else runs between this and on_read. */
static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out_buffer)
{
    (void)suggested;
    struct uv_env *env = handle->loop->data;
    *out_buffer = (uv_buf_t){.base = env->read_buffer, .len = sizeof env->read_buffer};
}

static void on_end(struct conn *c, int error)
{
    c->is_ended = true;
    (void)uv_read_stop((uv_stream_t *)&c->tcp); /* always 0 */
    if (error != UV_EOF) {
        note_broken(c, "read", error);
    }
    if (c->is_closing) {
        close_handle_if_done(c);
    } else if (!is_silent(c)) {
        c->port.events->ended(&c->port);
    }
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
    struct conn *c = stream->data;
    c->has_heard = true;
    if (size < 0) {
        on_end(c, (int)size);
    } else if (size > 0 && !is_silent(c)) {
        c->port.events->read(&c->port, bytes_of(buffer->base, (size_t)size));
    }
}

static void start_reading(struct conn *c)
{
    int failed = uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
    ensure(failed == 0 || failed == UV_EALREADY);
}

void uv_net_pause(struct env_conn *port)
{
    struct conn *c = conn_of(port);
    if (!c->is_paused && !c->is_closing) {
        c->is_paused = true;
        (void)uv_read_stop((uv_stream_t *)&c->tcp); /* always 0 */
    }
}

void uv_net_resume(struct env_conn *port)
{
    struct conn *c = conn_of(port);
    if (c->is_paused && !c->is_closing) {
        c->is_paused = false;
        if (!c->is_ended) {
            start_reading(c);
        }
    }
}

/* ---- output ---------------------------------------------------------------------------------- */

static void on_written(uv_write_t *request, int status)
{
    struct output *output = container_of(request, struct output, request);
    struct conn *c = request->data;
    mem_free(output);
    c->has_output = false;
    if (status < 0 && !c->is_handle_closed) {
        note_broken(c, "write", status);
    }
    if (!is_silent(c)) {
        c->port.events->drained(&c->port);
    }
}

/* A broken socket swallows output: its end is told by read, as soon as that is not paused. */
bool uv_net_write(struct env_conn *port, struct bytes bytes)
{
    struct conn *c = conn_of(port);
    uv_stream_t *stream = (uv_stream_t *)&c->tcp;
    ensure(!c->is_closing);
    ensure(!c->has_output);
    if (c->is_broken || bytes.size == 0) {
        return true;
    }
    uv_buf_t all = {.base = (char *)(uintptr_t)bytes.data, .len = bytes.size};
    int sent = uv_try_write(stream, &all, 1);
    if (sent < 0 && sent != UV_EAGAIN) {
        note_broken(c, "write", sent);
        return true;
    }
    size_t done = sent > 0 ? (size_t)sent : 0;
    if (done == bytes.size) {
        return true;
    }
    size_t rest_size = bytes.size - done;
    struct output *output = mem_alloc(sizeof *output + rest_size);
    memcpy(output->data, bytes.data + done, rest_size);
    output->request.data = c;
    uv_buf_t rest = {.base = output->data, .len = rest_size};
    int failed = uv_write(&output->request, stream, &rest, 1, on_written);
    if (failed != 0) {
        mem_free(output);
        note_broken(c, "write", failed);
        return true;
    }
    c->has_output = true;
    return false;
}

/*
 * Close in three steps: the output leaves, then our end of stream, then we read and forget until
 * the peer ends too, or is quiet. Closing earlier, with input unread, makes the kernel reset the
 * connection, and the peer may lose our last error. All this at most for CLOSE_LIMIT_MS.
 */
void uv_net_close(struct env_conn *port)
{
    struct conn *c = conn_of(port);
    if (c->is_closing) {
        return;
    }
    c->is_closing = true;
    if (c->is_broken || (c->is_ended && !c->has_output)) {
        close_handle(c);
        return;
    }
    c->goodbye.data = c;
    int failed = uv_shutdown(&c->goodbye, (uv_stream_t *)&c->tcp, on_goodbye);
    if (failed != 0) {
        note_broken(c, "shutdown", failed);
        close_handle(c);
        return;
    }
    c->close_limit_us = env_now_us(port->env) + CLOSE_LIMIT_MS * 1000u;
    c->has_heard = true; /* input that came before may be unread */
    env_timer_start(port->env, &c->close_timer, CLOSE_QUIET_MS);
    if (!c->is_ended) {
        start_reading(c); /* it may be paused, or not have begun */
    }
}

/* ---- accepting ------------------------------------------------------------------------------- */

static void format_peer(const struct sockaddr_storage *peer, char *out_text, size_t size)
{
    char host[INET6_ADDRSTRLEN] = "?";
    int port = 0;
    if (peer->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)peer;
        (void)uv_ip6_name(v6, host, sizeof host);
        port = ntohs(v6->sin6_port);
        (void)snprintf(out_text, size, "[%s]:%d", host, port);
    } else {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)peer;
        (void)uv_ip4_name(v4, host, sizeof host);
        port = ntohs(v4->sin_port); /* NOLINT(clang-analyzer-core.CallAndMessage): accept4 set it */
        (void)snprintf(out_text, size, "%s:%d", host, port);
    }
}

static void set_option(struct uv_env *env, int fd, int level, int name, int value)
{
    if (setsockopt(fd, level, name, &value, sizeof value) != 0) {
        env_log(&env->port,
                ENV_LEVEL_DEBUG,
                "setsockopt_failed option=%d error=%s",
                name,
                uv_errno_text(errno));
    }
}

static void accept_conn(struct listener *l, int fd, const struct sockaddr_storage *peer)
{
    struct uv_env *env = l->env;
    set_option(env, fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_option(env, fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_option(env, fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
    set_option(env, fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S);
    set_option(env, fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES);

    struct conn *c = mem_alloc_zero(sizeof *c);
    c->port.env = &env->port;
    c->close_timer.cb = on_close_timer;
    int failed = uv_tcp_init(&env->loop, &c->tcp);
    ensure(failed == 0);
    c->tcp.data = c;
    failed = uv_tcp_open(&c->tcp, fd);
    ensure(failed == 0);
    list_append(&env->conns, &c->link);
    env->conn_count++;

    char text[PEER_BYTES];
    format_peer(peer, text, sizeof text);
    l->port->accepted(l->port, &c->port, text);
    ensure(c->port.events != NULL);
    if (!c->is_closing && !c->is_paused) {
        start_reading(c);
    }
}

/* Out of files: waiting connections stay in the backlog; without a pause the poll would spin. */
static void pause_accepting(struct listener *l, int error)
{
    (void)uv_poll_stop(&l->poll); /* always 0 */
    env_timer_start(&l->env->port, &l->retry, ACCEPT_PAUSE_MS);
    uint64_t now_us = env_now_us(&l->env->port);
    if (!l->has_logged || now_us - l->logged_us >= ACCEPT_LOG_INTERVAL_US) {
        l->has_logged = true;
        l->logged_us = now_us;
        env_log(&l->env->port,
                ENV_LEVEL_WARNING,
                "accept_paused error=%s connections=%u limit=%u",
                uv_errno_text(error),
                l->env->conn_count,
                l->env->conn_count_max);
    }
}

/* Errors of the one connection that went away meanwhile, or of its network (accept(2)). */
static bool is_error_of_peer(int error)
{
    switch (error) {
    case EINTR:
    case ECONNABORTED:
    case EPERM:
    case EPROTO:
    case ENETDOWN:
    case ENETUNREACH:
    case ENONET:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENOPROTOOPT:
    case EOPNOTSUPP:
        return true;
    default:
        return false;
    }
}

static void on_acceptable(uv_poll_t *poll, int status, int events)
{
    (void)events;
    struct listener *l = poll->data;
    if (status < 0) {
        pause_accepting(l, status);
        return;
    }
    for (int i = 0; i < ACCEPT_BATCH && !l->env->is_closing; i++) {
        if (l->env->conn_count >= l->env->conn_count_max) {
            pause_accepting(l, EMFILE);
            return;
        }
        struct sockaddr_storage peer = {0};
        socklen_t peer_size = sizeof peer;
        int fd = accept4(l->fd, (struct sockaddr *)&peer, &peer_size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            accept_conn(l, fd, &peer);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return;
        } else if (!is_error_of_peer(errno)) {
            pause_accepting(l, errno);
            return;
        }
    }
}

static void start_accepting(struct listener *l)
{
    int failed = uv_poll_start(&l->poll, UV_READABLE, on_acceptable);
    ensure(failed == 0);
}

static void on_retry(struct env_timer *timer)
{
    start_accepting(container_of(timer, struct listener, retry));
}

/* ---- listening ------------------------------------------------------------------------------- */

static bool parse_port(const char *text, uint16_t *out_port)
{
    int64_t port = 0;
    if (!bytes_to_i64(bytes_of_text(text), &port) || port < 1 || port > UINT16_MAX) {
        return false;
    }
    *out_port = (uint16_t)port;
    return true;
}

/* "host:port" or "[v6]:port"; no name service: it blocks, and it may change its mind. */
static const char *parse_address(const char *address, struct sockaddr_storage *out_where)
{
    const char *colon = strrchr(address, ':');
    uint16_t port = 0;
    if (colon == NULL || colon == address) {
        return "write it as HOST:PORT";
    }
    if (!parse_port(colon + 1, &port)) {
        return "the port must be a number from 1 to 65535";
    }
    bool is_bracketed = address[0] == '[' && colon[-1] == ']';
    const char *begin = address + (is_bracketed ? 1 : 0);
    size_t size = (size_t)(colon - begin) - (is_bracketed ? 1 : 0);
    char host[HOST_BYTES];
    if (size == 0 || size >= sizeof host) {
        return "the host must be a numeric address or localhost";
    }
    memcpy(host, begin, size);
    host[size] = '\0';

    memset(out_where, 0, sizeof *out_where);
    if (is_bracketed) {
        int failed = uv_ip6_addr(host, port, (struct sockaddr_in6 *)(void *)out_where);
        return failed == 0 ? NULL : "what stands in brackets must be an IPv6 address";
    }
    const char *numeric = strcmp(host, "localhost") == 0 ? "127.0.0.1" : host;
    int failed = uv_ip4_addr(numeric, port, (struct sockaddr_in *)(void *)out_where);
    return failed == 0 ? NULL
                       : "the host must be a numeric address (IPv6 in brackets) or localhost";
}

/* Returns the socket, or -1 and errno. */
static int open_listener(const struct sockaddr_storage *where)
{
    int fd = socket(where->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    bool is_v6 = where->ss_family == AF_INET6;
    socklen_t size = is_v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    int on = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        (is_v6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) != 0) ||
        bind(fd, (const struct sockaddr *)where, size) != 0 || listen(fd, BACKLOG) != 0) {
        int error = errno;
        (void)close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

enum status uv_net_listen(struct env *port,
                          const char *address,
                          struct env_listener *listener,
                          struct error *error)
{
    struct uv_env *env = uv_env_of(port);
    ensure(listener->accepted != NULL);
    struct sockaddr_storage where;
    const char *complaint = parse_address(address, &where);
    if (complaint != NULL) {
        return error_set(error, STATUS_INVALID, "listen %s: %s", address, complaint);
    }
    int fd = open_listener(&where);
    if (fd < 0) {
        enum status code = errno == EADDRINUSE ? STATUS_BUSY : STATUS_IO;
        return error_set(error, code, "listen %s: %s", address, uv_errno_text(errno));
    }
    struct listener *l = mem_alloc_zero(sizeof *l);
    l->port = listener;
    l->env = env;
    l->fd = fd;
    l->retry.cb = on_retry;
    int failed = uv_poll_init(&env->loop, &l->poll, fd);
    ensure(failed == 0);
    l->poll.data = l;
    list_append(&env->listeners, &l->link);
    start_accepting(l);
    return STATUS_OK;
}

/* ---- the end of all -------------------------------------------------------------------------- */

static void on_listener_closed(uv_handle_t *handle)
{
    struct listener *l = handle->data;
    (void)close(l->fd);
    mem_free(l);
}

void uv_net_close_all(struct uv_env *env)
{
    ensure(env->is_closing);
    struct list *link = list_take_first(&env->listeners);
    for (; link != NULL; link = list_take_first(&env->listeners)) {
        struct listener *l = container_of(link, struct listener, link);
        env_timer_stop(&env->port, &l->retry);
        uv_close((uv_handle_t *)&l->poll, on_listener_closed);
    }
    list_each(item, &env->conns) {
        close_handle(container_of(item, struct conn, link));
    }
}
