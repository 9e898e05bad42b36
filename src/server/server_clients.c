/* What commands, and time, do to the connections of this node: CLIENT LIST, KILL and PAUSE, and
 * the timeout of idle ones. */
#include "base/assert.h"
#include "command/admin.h"
#include "server/session_parts.h"

#define MS_US 1000u
#define SECOND_US 1000000u
#define IDLE_CHECK_MS 1000u

static struct session *session_of(struct list *link)
{
    return container_of(link, struct session, link);
}

static bool is_open(const struct session *session)
{
    return session->conn != NULL && !session->is_closing;
}

const struct settings *server_settings(const struct server *s)
{
    static const struct settings defaults = SETTINGS_DEFAULT;
    return s->facts.admin != NULL ? s->facts.admin->settings : &defaults;
}

/* ---- CLIENT LIST and KILL -------------------------------------------------------------------- */

static void each_client(void *owner, bool (*fn)(void *ctx, struct client *client), void *ctx)
{
    struct server *s = owner;
    uint64_t now_us = env_now_us(s->env);
    /* closed() comes later, so no session goes away under this loop. */
    list_each(link, &s->sessions) {
        struct session *session = session_of(link);
        if (is_open(session)) {
            session_measure(session, now_us);
            if (!fn(ctx, &session->client)) {
                break;
            }
        }
    }
}

static void kill_client(void *owner, struct client *client)
{
    struct server *s = owner;
    struct session *session = container_of(client, struct session, client);
    reached("server: connection killed");
    env_log(s->env, ENV_LEVEL_DEBUG, "client killed client=%s", client->peer);
    session_close(session);
}

void server_count_clients(const struct server *s, struct server_client_counts *out)
{
    struct server_client_counts counts = {0};
    list_each(link, &s->sessions) {
        const struct session *session = session_of(link);
        if (is_open(session)) {
            counts.connected++;
            counts.waiting += session_is_waiting(session) ? 1 : 0;
            counts.monitors += session->client.is_monitor ? 1 : 0;
            uint64_t input = session->input.size;
            uint64_t output = session->output.size + session->sending_bytes;
            counts.input_bytes_max =
                input > counts.input_bytes_max ? input : counts.input_bytes_max;
            counts.output_bytes_max =
                output > counts.output_bytes_max ? output : counts.output_bytes_max;
        }
    }
    *out = counts;
}

/* ---- CLIENT PAUSE ---------------------------------------------------------------------------- */

static void start_pause_timer(struct server *s, uint64_t now_us)
{
    uint64_t left_us = s->pause_until_us > now_us ? s->pause_until_us - now_us : 0;
    env_timer_start(s->env, &s->pause_timer, (left_us + MS_US - 1) / MS_US);
}

static void pause_clients(void *owner, uint64_t timeout_ms, bool is_all)
{
    struct server *s = owner;
    uint64_t now_us = env_now_us(s->env);
    uint64_t pause_ms = timeout_ms < LIMIT_PAUSE_MS ? timeout_ms : LIMIT_PAUSE_MS;
    uint64_t until_us = now_us + pause_ms * MS_US;
    reached("server: clients paused");
    s->is_pausing_all = is_all || (s->is_pausing && s->is_pausing_all);
    s->pause_until_us =
        s->is_pausing && s->pause_until_us > until_us ? s->pause_until_us : until_us;
    s->is_pausing = true;
    start_pause_timer(s, now_us);
}

static void unpause_clients(void *owner)
{
    struct server *s = owner;
    s->is_pausing = false;
    env_timer_stop(s->env, &s->pause_timer);
    list_each(link, &s->sessions) {
        struct session *session = session_of(link);
        if (session->is_held) {
            session->is_held = false;
            session_mark_dirty(session);
        }
    }
}

static void pause_due(struct env_timer *timer)
{
    struct server *s = container_of(timer, struct server, pause_timer);
    unpause_clients(s);
}

/* ---- idle connections ------------------------------------------------------------------------ */

/* As in Redis, who waits for us or watches is not idle. */
static bool is_idle(const struct session *session, uint64_t now_us, uint64_t timeout_us)
{
    return is_open(session) && session->request_count == 0 && !session_is_waiting(session) &&
           !session->client.is_monitor && now_us > session->client.active_us &&
           now_us - session->client.active_us > timeout_us;
}

static void idle_due(struct env_timer *timer)
{
    struct server *s = container_of(timer, struct server, idle_timer);
    uint64_t timeout_us = server_settings(s)->client_timeout_s * SECOND_US;
    uint64_t now_us = env_now_us(s->env);
    s->is_watching_idle = false;
    list_each(link, &s->sessions) {
        struct session *session = session_of(link);
        if (timeout_us > 0 && is_idle(session, now_us, timeout_us)) {
            reached("server: idle connection closed");
            session_close(session);
        }
    }
    server_mind_idle(s);
}

void server_mind_idle(struct server *s)
{
    if (!s->is_watching_idle && !s->is_stopping && server_settings(s)->client_timeout_s > 0) {
        s->is_watching_idle = true;
        env_timer_start(s->env, &s->idle_timer, IDLE_CHECK_MS);
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

void server_clients_init(struct server *s)
{
    s->pause_timer.cb = pause_due;
    s->idle_timer.cb = idle_due;
    slowlog_init(&s->slowlog);
    command_stats_init(&s->command_stats);
    s->clients = (struct command_clients){
        .each = each_client,
        .kill = kill_client,
        .pause = pause_clients,
        .unpause = unpause_clients,
        .slowlog = &s->slowlog,
        .latency = &s->latency,
        .stats = &s->command_stats,
        .owner = s,
    };
    s->facts.clients = &s->clients;
}

void server_clients_stop(struct server *s)
{
    env_timer_stop(s->env, &s->pause_timer);
    env_timer_stop(s->env, &s->idle_timer);
    list_each(link, &s->sessions) {
        session_wake(session_of(link));
    }
}
