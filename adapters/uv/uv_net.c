/*
 * Listening sockets, accepted and own connections. Listeners are watched by uv_poll and accepted by
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
/* From env_connect to connected(), finding the address included. */
#define CONNECT_LIMIT_MS 3000u
/* Of the files kept for the node's own: connections it starts when clients took all others. */
#define CONNECT_RESERVE 64u
#define HOST_BYTES 256
#define PEER_BYTES (INET6_ADDRSTRLEN + 16)

/* A name being looked up; outlives the connection, as a look-up cannot be called back. */
struct lookup {
    uv_getaddrinfo_t request;
    struct conn *conn; /* NULL: nobody waits for it any more */
};

struct conn {
    struct env_conn port; /* first */
    uv_tcp_t tcp;
    uv_connect_t connect;
    struct lookup *lookup; /* NULL: none under way */
    struct env_timer connect_timer;
    int connect_error; /* what connect_timer reports; 0: that nobody answered in time */
    uv_shutdown_t goodbye;
    struct env_timer close_timer;
    uint64_t close_limit_us; /* when the handle goes, whatever is under way */
    struct list link;
    bool is_connecting; /* connected() or ended() is owed */
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

/* Neither the name service nor the clock has anything to say to it any more. */
static void end_connecting(struct conn *c)
{
    c->is_connecting = false;
    env_timer_stop(c->port.env, &c->connect_timer);
    if (c->lookup != NULL) {
        c->lookup->conn = NULL;
        (void)uv_cancel((uv_req_t *)&c->lookup->request); /* fails if it runs already */
        c->lookup = NULL;
    }
}

static void close_handle(struct conn *c)
{
    if (c->is_handle_closed) {
        return;
    }
    c->is_handle_closed = true;
    end_connecting(c);
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
        (void)uv_read_stop((uv_stream_t *)&c->tcp); /* always 0, also before it connected */
    }
}

void uv_net_resume(struct env_conn *port)
{
    struct conn *c = conn_of(port);
    if (c->is_paused && !c->is_closing) {
        c->is_paused = false;
        if (!c->is_ended && !c->is_connecting) {
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
    ensure(!c->is_connecting);
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
    if (c->is_connecting || c->is_broken || (c->is_ended && !c->has_output)) {
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

static void set_options(struct uv_env *env, int fd)
{
    set_option(env, fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_option(env, fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_option(env, fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
    set_option(env, fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S);
    set_option(env, fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES);
}

/* Without a socket yet. */
static struct conn *conn_create(struct uv_env *env)
{
    struct conn *c = mem_alloc_zero(sizeof *c);
    c->port.env = &env->port;
    c->close_timer.cb = on_close_timer;
    int failed = uv_tcp_init(&env->loop, &c->tcp);
    ensure(failed == 0);
    c->tcp.data = c;
    list_append(&env->conns, &c->link);
    env->conn_count++;
    return c;
}

static void accept_conn(struct listener *l, int fd, const struct sockaddr_storage *peer)
{
    struct uv_env *env = l->env;
    set_options(env, fd);
    struct conn *c = conn_create(env);
    int failed = uv_tcp_open(&c->tcp, fd);
    ensure(failed == 0);

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
        unsigned reserve = l->port->is_reserved ? CONNECT_RESERVE : 0;
        if (l->env->conn_count >= l->env->conn_count_max + reserve) {
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

struct address {
    char host[HOST_BYTES]; /* without brackets */
    uint16_t port;
    bool is_bracketed;
};

/* Splits "host:port" or "[v6]:port". Returns what is wrong with it, or NULL. */
static const char *split_address(const char *text, struct address *out_address)
{
    struct address a = {0};
    const char *colon = strrchr(text, ':');
    if (colon == NULL || colon == text) {
        return "write it as HOST:PORT";
    }
    if (!parse_port(colon + 1, &a.port)) {
        return "the port must be a number from 1 to 65535";
    }
    a.is_bracketed = text[0] == '[' && colon[-1] == ']';
    const char *begin = text + (a.is_bracketed ? 1 : 0);
    size_t size = (size_t)(colon - begin) - (a.is_bracketed ? 1 : 0);
    if (size == 0 || size >= sizeof a.host) {
        return "the host must be a numeric address or localhost";
    }
    memcpy(a.host, begin, size);
    *out_address = a;
    return NULL;
}

/* No name service: it blocks, and it may change its mind. */
static const char *parse_address(const struct address *a, struct sockaddr_storage *out_where)
{
    memset(out_where, 0, sizeof *out_where);
    if (a->is_bracketed) {
        int failed = uv_ip6_addr(a->host, a->port, (struct sockaddr_in6 *)(void *)out_where);
        return failed == 0 ? NULL : "what stands in brackets must be an IPv6 address";
    }
    const char *numeric = strcmp(a->host, "localhost") == 0 ? "127.0.0.1" : a->host;
    int failed = uv_ip4_addr(numeric, a->port, (struct sockaddr_in *)(void *)out_where);
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
    struct address parts;
    struct sockaddr_storage where;
    const char *complaint = split_address(address, &parts);
    if (complaint == NULL) {
        complaint = parse_address(&parts, &where);
    }
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

/* ---- connecting ------------------------------------------------------------------------------ */

static void fail_connect(struct conn *c, int error)
{
    ensure(c->is_connecting);
    end_connecting(c);
    c->is_ended = true;
    note_broken(c, "connect", error);
    if (!is_silent(c)) {
        c->port.events->ended(&c->port);
    }
}

static void on_connect_timer(struct env_timer *timer)
{
    struct conn *c = container_of(timer, struct conn, connect_timer);
    fail_connect(c, c->connect_error != 0 ? c->connect_error : UV_ETIMEDOUT);
}

/* For what goes wrong inside env_connect: its caller hears of it from the loop. */
static void fail_connect_soon(struct conn *c, int error)
{
    c->connect_error = error;
    env_timer_start(c->port.env, &c->connect_timer, 0);
}

static void on_connected(uv_connect_t *request, int status)
{
    struct conn *c = request->data;
    if (!c->is_connecting) {
        return; /* given up meanwhile */
    }
    if (status < 0) {
        fail_connect(c, status);
        return;
    }
    end_connecting(c);
    int fd = -1;
    int failed = uv_fileno((uv_handle_t *)&c->tcp, &fd);
    ensure(failed == 0);
    set_options(uv_env_of(c->port.env), fd);
    if (!is_silent(c)) {
        c->port.events->connected(&c->port);
    }
    if (!c->is_closing && !c->is_paused) {
        start_reading(c);
    }
}

static int connect_to(struct conn *c, const struct sockaddr *where)
{
    c->connect.data = c;
    return uv_tcp_connect(&c->connect, &c->tcp, where, on_connected);
}

/* A name may have many addresses, some of them useless: each attempt tries the next one. */
static void on_looked_up(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    struct lookup *lookup = container_of(request, struct lookup, request);
    struct conn *c = lookup->conn;
    mem_free(lookup);
    if (c != NULL) {
        c->lookup = NULL;
        int failed = status;
        if (failed == 0) {
            unsigned count = 0;
            for (const struct addrinfo *a = found; a != NULL; a = a->ai_next) {
                count++;
            }
            ensure(count > 0);
            const struct addrinfo *chosen = found;
            for (unsigned i = uv_env_of(c->port.env)->lookup_count++ % count; i > 0; i--) {
                chosen = chosen->ai_next;
            }
            failed = connect_to(c, chosen->ai_addr);
        }
        if (failed != 0) {
            fail_connect(c, failed);
        }
    }
    uv_freeaddrinfo(found);
}

static int look_up(struct conn *c, const struct address *where)
{
    char port[8];
    (void)snprintf(port, sizeof port, "%u", where->port);
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct lookup *lookup = mem_alloc_zero(sizeof *lookup);
    uv_loop_t *loop = &uv_env_of(c->port.env)->loop;
    int failed = uv_getaddrinfo(loop, &lookup->request, on_looked_up, where->host, port, &hints);
    if (failed != 0) {
        mem_free(lookup);
        return failed;
    }
    lookup->conn = c;
    c->lookup = lookup;
    return 0;
}

static int begin_connect(struct conn *c, const char *address)
{
    struct uv_env *env = uv_env_of(c->port.env);
    if (env->conn_count > env->conn_count_max + CONNECT_RESERVE) {
        return UV_EMFILE;
    }
    struct address parts;
    struct sockaddr_storage where;
    if (split_address(address, &parts) != NULL) {
        return UV_EINVAL;
    }
    if (parse_address(&parts, &where) == NULL) {
        return connect_to(c, (const struct sockaddr *)&where);
    }
    return parts.is_bracketed ? UV_EINVAL : look_up(c, &parts);
}

struct env_conn *uv_net_connect(struct env *port,
                                const char *address,
                                const struct env_conn_events *events,
                                void *owner)
{
    ensure(events->connected != NULL);
    struct conn *c = conn_create(uv_env_of(port));
    c->port.events = events;
    c->port.owner = owner;
    c->is_connecting = true;
    c->connect_timer.cb = on_connect_timer;
    env_timer_start(port, &c->connect_timer, CONNECT_LIMIT_MS);
    int failed = begin_connect(c, address);
    if (failed != 0) {
        fail_connect_soon(c, failed);
    }
    return &c->port;
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
