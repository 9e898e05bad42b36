#include "server/server.h"

#include <inttypes.h>

#include "base/assert.h"
#include "base/mem.h"
#include "command/admin.h"
#include "server/session_parts.h"

/* Sessions are not read again before memory has fallen this far below the budget (in eighths). */
#define RESUME_EIGHTHS 7u
/* How often a famine is looked at, and which part of the budget must have come back since. */
#define FAMINE_MS 1000u
#define FAMINE_PARTS 16u

static struct session *session_of(struct list *link)
{
    return container_of(link, struct session, link);
}

static struct session *dirty_of(struct list *link)
{
    return container_of(link, struct session, dirty_link);
}

/* ---- accepting ------------------------------------------------------------------------------- */

/* A connection that gets no session: it is told why, or nothing, and closed. */
static void ignore_read(struct env_conn *conn, struct bytes bytes)
{
    (void)conn;
    (void)bytes;
}

static void ignore_event(struct env_conn *conn)
{
    (void)conn;
}

static const struct env_conn_events refused_events = {
    .read = ignore_read,
    .ended = ignore_event,
    .drained = ignore_event,
    .closed = ignore_event,
};

static void refuse(struct server *s, struct env_conn *conn)
{
    reached("server: connection refused");
    conn->events = &refused_events;
    conn->owner = s;
    s->stats->connections_rejected++;
    if (!s->is_stopping) {
        (void)env_conn_write(conn, bytes_of_text("-ERR max number of clients reached\r\n"));
    }
    env_conn_close(conn);
}

static void on_accepted(struct env_listener *listener, struct env_conn *conn, const char *peer)
{
    struct server *s = listener->owner;
    uint64_t max = server_settings(s)->max_clients;
    max = max < LIMIT_CONNECTIONS ? max : LIMIT_CONNECTIONS;
    if (s->session_count >= max || s->is_stopping) {
        refuse(s, conn);
        return;
    }
    s->stats->connections_received++;
    session_accept(s, conn, peer);
}

/* The turn that follows the timer is all that is wanted. */
static void again_due(struct env_timer *timer)
{
    (void)timer;
}

static void famine_due(struct env_timer *timer);

static void stop_due(struct env_timer *timer)
{
    struct server *s = container_of(timer, struct server, stop_timer);
    s->is_out_of_time = true;
}

/* ---- life ------------------------------------------------------------------------------------ */

void server_init(struct server *s,
                 struct env *env,
                 struct router *router,
                 struct stats *stats,
                 const struct server_options *options,
                 const struct command_server *facts)
{
    *s = (struct server){
        .env = env,
        .router = router,
        .stats = stats,
        .options = *options,
        .facts = *facts,
    };
    if (s->options.buffer_memory == 0 || s->options.buffer_memory > LIMIT_BUFFER_MEMORY_BYTES) {
        s->options.buffer_memory = LIMIT_BUFFER_MEMORY_BYTES;
    }
    s->listener = (struct env_listener){.accepted = on_accepted, .owner = s};
    list_init(&s->sessions);
    list_init(&s->dirty);
    list_init(&s->free_requests);
    server_monitors_init(s);
    server_clients_init(s);
    s->again.cb = again_due;
    s->famine_timer.cb = famine_due;
    s->stop_timer.cb = stop_due;
}

enum status server_start(struct server *s, struct error *error)
{
    s->started_us = env_now_us(s->env);
    return env_listen(s->env, s->options.listen, &s->listener, error);
}

void server_stop(struct server *s)
{
    s->is_stopping = true;
    server_clients_stop(s);
    env_timer_start(s->env, &s->stop_timer, SERVER_STOP_LIMIT_MS);
}

bool server_is_stopped(const struct server *s)
{
    if (s->is_out_of_time) {
        return true;
    }
    list_each(link, &s->sessions) {
        if (!session_is_answered(session_of(link))) {
            return false;
        }
    }
    return true;
}

void server_close_all(struct server *s)
{
    /* closed() comes later, so no session goes away under this loop. */
    list_each(link, &s->sessions) {
        session_abandon(session_of(link));
    }
}

bool server_is_closed(const struct server *s)
{
    list_each(link, &s->sessions) {
        if (session_of(link)->conn != NULL) {
            return false;
        }
    }
    return true;
}

void server_deinit(struct server *s)
{
    while (!list_is_empty(&s->sessions)) {
        session_destroy(session_of(s->sessions.next));
    }
    struct list *link = NULL;
    while ((link = list_take_first(&s->free_requests)) != NULL) {
        session_request_destroy(session_request_of(link));
    }
    buf_deinit(&s->monitor_line);
    slowlog_deinit(&s->slowlog);
    command_stats_deinit(&s->command_stats);
}

/* ---- memory ---------------------------------------------------------------------------------- */

uint64_t server_memory(const struct server *s)
{
    return s->memory + s->memory_below + router_memory(s->router);
}

void server_set_memory_below(struct server *s, uint64_t bytes)
{
    s->memory_below = bytes;
}

uint64_t server_memory_max(const struct server *s)
{
    return 2 * s->options.buffer_memory;
}

/* Everybody's socket, and the input that was left lying. */
static void pause_or_resume_all(struct server *s)
{
    list_each(link, &s->sessions) {
        struct session *session = session_of(link);
        if (s->is_starved) {
            session_trim(session);
        }
        session_pause_or_resume(session);
        session_mind_stream(session);
        if (session_has_work(session) && list_is_empty(&session->dirty_link)) {
            list_append(&s->dirty, &session->dirty_link);
            env_timer_start(s->env, &s->again, 0);
        }
    }
}

static bool is_open(const struct session *session)
{
    return session->conn != NULL && !session->is_closing;
}

static struct session *find_largest(struct server *s, bool is_protected_too)
{
    struct session *largest = NULL;
    list_each(link, &s->sessions) {
        struct session *session = session_of(link);
        bool may_go = is_open(session) && (is_protected_too || !session->client.is_protected);
        if (may_go && (largest == NULL || session->memory > largest->memory)) {
            largest = session;
        }
    }
    return largest;
}

/*
 * Whoever holds most; and if that is not enough, those who hold at least half as much. CLIENT
 * NO-EVICT lets others go first, as far as they hold anything.
 */
static void close_largest(struct server *s)
{
    struct session *largest = find_largest(s, false);
    if (largest == NULL || largest->memory < s->options.buffer_memory / FAMINE_PARTS) {
        largest = find_largest(s, true);
    }
    if (largest != NULL) {
        uint64_t held = server_memory(s);
        uint64_t wanted = s->options.buffer_memory / 8 * RESUME_EIGHTHS;
        uint64_t half = largest->memory / 2;
        uint64_t freed = largest->memory;
        reached("server: largest connection closed");
        env_log(s->env,
                ENV_LEVEL_WARNING,
                "buffer memory exhausted client=%s bytes=%" PRIu64 " sessions=%" PRIu64
                " router=%" PRIu64 " groups=%" PRIu64,
                largest->client.peer,
                largest->memory,
                s->memory,
                router_memory(s->router),
                s->memory_below);
        session_close(largest);
        list_each(link, &s->sessions) {
            struct session *session = session_of(link);
            if (held <= wanted + freed || half == 0) {
                break;
            }
            bool is_spared = session->client.is_protected && !largest->client.is_protected;
            if (is_open(session) && session->memory >= half && !is_spared) {
                freed += session->memory;
                session_close(session);
            }
        }
    }
}

/*
 * A famine that lasts: unfinished commands and unread replies hold the memory. Unless a good part
 * of it came back since the last look, whoever holds most has to go, or nothing is ever taken up
 * again.
 */
static void famine_due(struct env_timer *timer)
{
    struct server *s = container_of(timer, struct server, famine_timer);
    if (!s->is_starved) {
        return;
    }
    uint64_t held = server_memory(s);
    if (held + s->options.buffer_memory / FAMINE_PARTS > s->memory_before) {
        close_largest(s);
    }
    s->memory_before = held;
    env_timer_start(s->env, timer, FAMINE_MS);
}

static void mind_memory(struct server *s)
{
    uint64_t held = server_memory(s);
    bool was_starved = s->is_starved;
    bool was_above_max = s->is_above_max;
    s->is_above_max = held > server_memory_max(s);
    if (held > s->options.buffer_memory) {
        s->is_starved = true;
    } else if (held <= s->options.buffer_memory / 8 * RESUME_EIGHTHS) {
        s->is_starved = false;
    }
    if (s->is_starved != was_starved || s->is_above_max != was_above_max) {
        pause_or_resume_all(s);
    }
    if (s->is_starved && !was_starved) {
        reached("server: buffer memory exhausted");
        s->memory_before = held;
        env_timer_start(s->env, &s->famine_timer, FAMINE_MS);
    }
}

/* ---- turns ----------------------------------------------------------------------------------- */

void server_resume(struct server *s)
{
    struct list turn;
    list_init(&turn);
    list_move_all(&turn, &s->dirty);
    struct list *link = NULL;
    while ((link = list_take_first(&turn)) != NULL) {
        struct session *session = dirty_of(link);
        list_append(&s->dirty, &session->dirty_link); /* server_flush wants it, too */
        if (session->conn != NULL && !session->is_closing) {
            session_take_input(session);
        }
    }
}

void server_flush(struct server *s)
{
    struct list turn;
    struct list flushed;
    list_init(&turn);
    list_init(&flushed);
    list_move_all(&turn, &s->dirty);
    struct list *link = NULL;
    while ((link = list_take_first(&turn)) != NULL) {
        list_append(&flushed, link); /* first: what it does may mark it dirty */
        session_flush(dirty_of(link));
    }
    mind_memory(s);
    server_mind_idle(s);
    /* Only now it is known who may go on. */
    while ((link = list_take_first(&flushed)) != NULL) {
        struct session *session = dirty_of(link);
        session_pause_or_resume(session);
        if (session_has_work(session)) {
            list_append(&s->dirty, link);
            env_timer_start(s->env, &s->again, 0);
        }
    }
}
