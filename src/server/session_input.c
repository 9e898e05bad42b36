/* The input of one connection: finds its commands and runs them, unless something holds it. */
#include "base/assert.h"
#include "command/admin.h"
#include "protocol/resp_writer.h"
#include "server/session_parts.h"

#define MS_US 1000u

/* ---- sleeping -------------------------------------------------------------------------------- */

/* The reply that slept goes out, and what is behind it may run. */
void session_wake(struct session *session)
{
    struct session_request *r = session->sleeper;
    if (r != NULL) {
        session->sleeper = NULL;
        env_timer_stop(session->server->env, &session->sleep_timer);
        session_finish(r, env_now_us(session->server->env));
    }
}

void session_sleep_due(struct env_timer *timer)
{
    session_wake(container_of(timer, struct session, sleep_timer));
}

/* DEBUG SLEEP: only this connection waits, and what it sends; Redis as a whole would. */
static void fall_asleep(struct session_request *r, uint64_t sleep_us)
{
    struct session *session = r->session;
    uint64_t sleep_ms = sleep_us / MS_US + (sleep_us % MS_US > 0 ? 1 : 0);
    reached("server: connection sleeps");
    session->sleeper = r;
    env_timer_start(session->server->env,
                    &session->sleep_timer,
                    sleep_ms < LIMIT_SLEEP_MS ? sleep_ms : LIMIT_SLEEP_MS);
}

/* ---- running commands ------------------------------------------------------------------------ */

static void on_routed(struct router_request *route)
{
    struct session_request *r = container_of(route, struct session_request, route);
    struct session *session = r->session;
    uint64_t now_us = env_now_us(session->server->env);
    stat_stage_add(&session->server->stats->stage_reply, now_us - r->started_us);
    session_finish(r, now_us);
    session_destroy_if_unused(session);
}

/* What the handler asked of the connection. */
static void mind_client(struct session_request *r, bool was_monitor)
{
    struct session *session = r->session;
    if (session->client.is_monitor && !was_monitor) {
        r->starts_monitor = true;
    } else if (!session->client.is_monitor && was_monitor) {
        session_monitor_stop(session);
    }
    r->is_silent = session->client.is_silent || session->client.is_skipping;
    session->client.is_skipping = session->client.will_skip;
    session->client.will_skip = false;
}

void session_run_handler(struct session *session,
                         const struct command *command,
                         const struct bytes *args,
                         size_t arg_count,
                         struct buf *reply)
{
    struct server *s = session->server;
    session_measure(session, env_now_us(s->env));
    struct command_call call = {
        .command = command,
        .args = args,
        .arg_count = arg_count,
        .resp = session->client.resp,
        .reply = reply,
        .client = &session->client,
        .server = &s->facts,
    };
    enum command_result result = command->handler(&call);
    ensure(result == COMMAND_DONE || result == COMMAND_ERROR);
}

void session_finish_local(struct session_request *r)
{
    struct session *session = r->session;
    uint64_t sleep_us = session->client.sleep_us;
    session->client.sleep_us = 0;
    if (sleep_us > 0) {
        fall_asleep(r, sleep_us);
        session_mark_dirty(session); /* its client may have gone meanwhile */
    } else {
        session_finish(r, env_now_us(session->server->env));
    }
}

/* False: it has to wait, and must be brought again. */
static bool run_local(struct session_request *r,
                      const struct command *command,
                      const struct bytes *args,
                      size_t arg_count)
{
    struct session *session = r->session;
    r->started_us = env_now_us(session->server->env);
    bool was_monitor = session->client.is_monitor;
    session_run_handler(session, command, args, arg_count, &r->reply);
    enum session_multi_next next = session_multi_mind(r, args, arg_count);
    if (next == SESSION_MULTI_WAITS) {
        session_request_release(r);
        return false;
    }
    mind_client(r, was_monitor);
    if (next == SESSION_MULTI_ANSWERED) {
        session_finish_local(r);
    }
    return true;
}

static void submit(struct session_request *r,
                   const struct command *command,
                   const struct bytes *args,
                   size_t arg_count)
{
    struct session *session = r->session;
    mind_client(r, session->client.is_monitor);
    if (command_key_count(command, arg_count) > 1 &&
        txn_needs(session->server->router, command, args, arg_count)) {
        session_multi_submit(r, command, args, arg_count);
        return;
    }
    r->route = (struct router_request){
        .command = command,
        .args = args,
        .arg_count = arg_count,
        .resp = session->client.resp,
        .database = session->client.database,
        .stream = &session->stream,
        .reply = &r->reply,
        .done = on_routed,
    };
    router_submit(session->server->router, &r->route);
}

/* Words of HTTP: a browser was made to talk to us. Whatever its body says must not be run. */
static bool is_http(struct bytes name)
{
    return bytes_equal_nocase(name, "post") || bytes_equal_nocase(name, "host:");
}

static void refuse_http(struct session *session)
{
    env_log(session->server->env, ENV_LEVEL_DEBUG, "http refused client=%s", session->client.peer);
    session->server->stats->protocol_errors++;
    session_close(session); /* at once, as Redis does: not even earlier replies are for a browser */
}

/* CLIENT PAUSE: commands that are refused anyway are not held, nor is who may end it. */
static bool must_hold(const struct session *session, const struct command *command)
{
    const struct server *s = session->server;
    if (!s->is_pausing || session->client.is_monitor) {
        return false;
    }
    bool is_unpause = command->container != NULL && strcmp(command->name, "unpause") == 0;
    return (s->is_pausing_all && !is_unpause) || (command->flags & COMMAND_WRITE) != 0;
}

/* Kept for SLOWLOG until the reply is there: by then the arguments are gone. */
static void take_note(struct session_request *r, const struct bytes *args, size_t arg_count)
{
    const struct settings *settings = server_settings(r->session->server);
    bool is_wanted = settings->slowlog_slower_than_us >= 0 && settings->slowlog_max_len > 0;
    if (is_wanted && (r->command->flags & COMMAND_SKIP_SLOWLOG) == 0) {
        slowlog_note(r->command, args, arg_count, &r->note);
        r->session->note_bytes += r->note.size;
    }
}

/* A command that cannot run: its reply says why. */
static bool reject(struct session_request *r, struct bytes name)
{
    struct session *session = r->session;
    session_multi_rejected(session, name, &r->reply);
    mind_client(r, session->client.is_monitor);
    session_finish(r, session->taken_us);
    return true;
}

/* MULTI: it runs later, if at all. */
static bool gather(struct session_request *r,
                   const struct command *command,
                   const struct bytes *args,
                   size_t arg_count)
{
    struct session *session = r->session;
    session_multi_add(session, command, args, arg_count, &r->reply);
    mind_client(r, session->client.is_monitor);
    session_finish(r, session->taken_us);
    return true;
}

/* False: it has to wait, and must be brought again. */
static bool run_command(struct session *session, const struct bytes *args, size_t arg_count)
{
    if (is_http(args[0])) {
        refuse_http(session);
        return true;
    }
    struct session_request *r = session_request_create(session);
    const struct command *command = command_resolve(args, arg_count, &r->reply);
    if (command == NULL) {
        return reject(r, args[0]);
    }
    session->client.last_command = command;
    if (must_hold(session, command)) {
        reached("server: command held by a pause");
        session_request_release(r);
        session->is_held = true;
        return false;
    }
    if (session->client.is_multi && (command->flags & COMMAND_NOT_QUEUED) == 0) {
        return gather(r, command, args, arg_count);
    }
    r->command = command;
    take_note(r, args, arg_count);
    if (command->policy != COMMAND_LOCAL) {
        submit(r, command, args, arg_count);
    } else if (!run_local(r, command, args, arg_count)) {
        return false;
    }
    if (!session->is_closing) { /* else they are gone */
        /* The last to need the arguments: it may close a connection, also this one. */
        session_monitor_feed(session, command, args, arg_count);
    }
    return true;
}

/* Broken input: the error is the connection's last reply. */
static void refuse_input(struct session *session)
{
    struct session_request *r = session_request_create(session);
    resp_write_errorf(&r->reply, "ERR %s", resp_parser_error(&session->parser));
    r->is_silent = session->client.is_silent || session->client.is_skipping;
    session->client.must_close = true;
    session->server->stats->protocol_errors++;
    session_finish(r, session->taken_us);
}

/* ---- taking input ---------------------------------------------------------------------------- */

bool session_is_waiting(const struct session *session)
{
    return session->is_held || session->sleeper != NULL;
}

static bool can_take_more(const struct session *session)
{
    const struct server *s = session->server;
    return !session->client.must_close && !session->is_closing && !s->is_stopping &&
           !s->is_starved && !session_is_waiting(session) && !session->awaits_txn &&
           session->request_count < LIMIT_PIPELINE_COMMANDS &&
           session->output.size + session->reply_bytes < LIMIT_OUTPUT_PAUSE_BYTES &&
           server_memory(s) <= s->options.buffer_memory;
}

bool session_has_unrun_input(const struct session *session)
{
    return session->input.size > 0 && !session->is_partial;
}

bool session_has_work(const struct session *session)
{
    return session_has_unrun_input(session) && can_take_more(session);
}

/* Input is kept while the connection waits, so that we notice when the client goes. */
static bool may_listen(const struct session *session)
{
    return session_is_waiting(session) && session->input.size <= LIMIT_HELD_INPUT_BYTES &&
           !session->client.must_close && !session->server->is_starved &&
           !session->server->is_stopping;
}

/*
 * The socket is read only when all input has been run, but for an unfinished command: so the input
 * never grows beyond one command and one read; of a connection that waits, beyond
 * LIMIT_HELD_INPUT_BYTES and one read.
 */
void session_pause_or_resume(struct session *session)
{
    bool must_pause = session_has_unrun_input(session) || !can_take_more(session);
    must_pause = must_pause && !may_listen(session);
    if (session->conn == NULL || session->is_closing || session->has_ended ||
        must_pause == session->is_paused) {
        return;
    }
    session->is_paused = must_pause;
    if (must_pause) {
        reached("server: socket paused");
        env_conn_pause(session->conn);
    } else {
        env_conn_resume(session->conn);
    }
}

void session_take_input(struct session *session)
{
    size_t taken = 0;
    session->is_partial = false;
    if (session->input.size > 0) {
        session->taken_us = env_now_us(session->server->env);
    }
    while (!session->is_partial && taken < session->input.size && can_take_more(session)) {
        struct bytes rest = bytes_of(session->input.data + taken, session->input.size - taken);
        const struct bytes *args = NULL;
        size_t arg_count = 0;
        size_t used = 0;
        switch (resp_parser_next(&session->parser, rest, &used, &args, &arg_count)) {
        case RESP_PARSE_MORE:
            session->is_partial = true;
            break;
        case RESP_PARSE_ERROR:
            refuse_input(session);
            break;
        case RESP_PARSE_COMMAND:
            if (arg_count == 0 || run_command(session, args, arg_count)) {
                taken += used;
            }
            break;
        }
    }
    if (session->is_closing) {
        return; /* a reply closed it; the input is gone */
    }
    buf_drop_front(&session->input, taken);
    if (session->input.size == 0) {
        buf_clear(&session->input, BUFFER_BYTES_KEPT);
    }
    session_count_memory(session);
    session_pause_or_resume(session);
}
