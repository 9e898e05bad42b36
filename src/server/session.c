#include "server/session.h"

#include "base/assert.h"
#include "base/mem.h"
#include "protocol/resp_writer.h"

#define BUFFER_BYTES_KEPT (1u * KIB)
/* What one read() brings at most, beyond an unfinished command. */
#define INPUT_READ_BYTES (64u * KIB)
#define REPLY_BYTES_KEPT 256u
#define FREE_REQUESTS_MAX 4096u
/* What an unanswered command takes beside its bytes: itself and a small reply. */
#define REQUEST_BYTES (sizeof(struct session_request) + REPLY_BYTES_KEPT)

static void on_read(struct env_conn *conn, struct bytes bytes);
static void on_ended(struct env_conn *conn);
static void on_drained(struct env_conn *conn);
static void on_closed(struct env_conn *conn);

static const struct env_conn_events session_events = {
    .read = on_read,
    .ended = on_ended,
    .drained = on_drained,
    .closed = on_closed,
};

/* ---- life ------------------------------------------------------------------------------------ */

void session_accept(struct server *s, struct env_conn *conn, const char *peer)
{
    struct session *session = mem_alloc_zero(sizeof *session);
    session->server = s;
    session->conn = conn;
    conn->events = &session_events;
    conn->owner = session;
    client_init(&session->client, ++s->client_id_last, peer, s->options.listen);
    session->client.created_us = env_now_us(s->env);
    session->client.active_us = session->client.created_us;
    resp_parser_init(&session->parser);
    buf_init(&session->input, RESP_REQUEST_BYTES_MAX + INPUT_READ_BYTES);
    buf_init(&session->output, SIZE_MAX / 2); /* bounded by LIMIT_OUTPUT_BYTES, see finish */
    router_stream_init(&session->stream);
    list_init(&session->requests);
    list_init(&session->dirty_link);
    list_append(&s->sessions, &session->link);
    s->session_count++;
    session_pause_or_resume(session);
}

static struct session_request *request_of(struct list *link)
{
    return container_of(link, struct session_request, link);
}

static void request_destroy(struct session_request *r)
{
    buf_deinit(&r->reply);
    mem_free(r);
}

void session_destroy(struct session *session)
{
    struct server *s = session->server;
    struct list *link = NULL;
    while ((link = list_take_first(&session->requests)) != NULL) {
        request_destroy(request_of(link));
    }
    s->memory -= session->memory;
    s->session_count--;
    list_remove(&session->link);
    list_remove(&session->dirty_link);
    client_deinit(&session->client);
    resp_parser_deinit(&session->parser);
    buf_deinit(&session->input);
    buf_deinit(&session->output);
    mem_free(session);
}

/* The last one out: the connection is gone and the router holds no request of it. */
static void destroy_if_unused(struct session *session)
{
    if (session->conn == NULL && session->request_count == 0) {
        session_destroy(session);
    }
}

static void mark_dirty(struct session *session)
{
    if (list_is_empty(&session->dirty_link)) {
        list_append(&session->server->dirty, &session->dirty_link);
    }
}

static void count_memory(struct session *session)
{
    uint64_t now = session->input.capacity + session->output.capacity + session->reply_bytes +
                   session->sending_bytes + session->request_count * REQUEST_BYTES +
                   resp_parser_memory(&session->parser);
    session->server->memory += now - session->memory;
    session->memory = now;
}

void session_trim(struct session *session)
{
    if (session->input.size == 0) {
        buf_clear(&session->input, 0);
    }
    if (session->output.size == 0) {
        buf_clear(&session->output, 0);
    }
    count_memory(session);
}

void session_close(struct session *session)
{
    if (!session->is_closing && session->conn != NULL) {
        session->is_closing = true;
        buf_clear(&session->input, 0);
        buf_clear(&session->output, 0);
        count_memory(session);
        session_mind_stream(session);
        env_conn_close(session->conn);
    }
}

/* ---- requests and replies -------------------------------------------------------------------- */

static struct session_request *request_create(struct session *session)
{
    struct server *s = session->server;
    struct list *link = list_take_first(&s->free_requests);
    struct session_request *r = NULL;
    if (link != NULL) {
        s->free_request_count--;
        r = request_of(link);
    } else {
        r = mem_alloc_zero(sizeof *r);
        buf_init(&r->reply, SIZE_MAX / 2);
        list_init(&r->link);
    }
    r->session = session;
    r->is_done = false;
    r->started_us = session->client.active_us;
    list_append(&session->requests, &r->link);
    session->request_count++;
    return r;
}

static void request_release(struct session_request *r)
{
    struct server *s = r->session->server;
    r->session->request_count--;
    list_remove(&r->link);
    if (s->free_request_count >= FREE_REQUESTS_MAX) {
        request_destroy(r);
        return;
    }
    buf_clear(&r->reply, REPLY_BYTES_KEPT);
    list_append(&s->free_requests, &r->link);
    s->free_request_count++;
}

/* Replies move to the output as soon as nothing older is missing. */
static void move_replies(struct session *session)
{
    while (!list_is_empty(&session->requests)) {
        struct session_request *r = request_of(session->requests.next);
        if (!r->is_done) {
            break;
        }
        session->reply_bytes -= r->reply.size;
        buf_append_bytes(&session->output, buf_bytes(&r->reply));
        request_release(r);
    }
}

/*
 * More replies than a client may have us hold. What is complete still goes out, the next reply says
 * that the outcome is not told, and the connection ends (DUP-7).
 */
static void cut(struct session *session, const char *why)
{
    session->is_cut = true;
    session->client.must_close = true;
    list_each(link, &session->requests) {
        struct session_request *r = request_of(link);
        session->reply_bytes -= r->is_done ? r->reply.size : 0;
        buf_clear(&r->reply, 0);
    }
    resp_write_errorf(&session->output,
                      "%s %s; this command and those behind it may have been executed",
                      status_prefix(STATUS_OUTCOME_UNKNOWN),
                      why);
}

/*
 * Reads that wait in the router would bring replies which nobody takes now. Writes go on: they hold
 * memory until they are done.
 */
void session_mind_stream(struct session *session)
{
    const struct server *s = session->server;
    /* Not reply_bytes: those wait for what is older, which may be a read that this would stop. */
    uint64_t held = session->output.size;
    bool must_pause =
        held >= LIMIT_OUTPUT_PAUSE_BYTES || (s->is_starved && held > 0) || s->is_above_max;
    must_pause = must_pause && !session->is_closing && session->conn != NULL;
    if (must_pause != session->stream.is_paused) {
        reached("server: reads wait until replies are taken");
        router_stream_pause(s->router, &session->stream, must_pause);
    }
}

static void finish(struct session_request *r)
{
    struct session *session = r->session;
    struct server *s = session->server;
    r->is_done = true;
    s->stats->commands_processed++;
    if (r->reply.size > 0 && r->reply.data[0] == '-') {
        s->stats->commands_failed++;
    }
    if (session->is_closing || session->is_cut) {
        buf_clear(&r->reply, 0);
    }
    session->reply_bytes += r->reply.size;
    move_replies(session);
    count_memory(session);
    uint64_t held = session->output.size + session->reply_bytes;
    bool is_too_much = held > LIMIT_OUTPUT_BYTES ||
                       (held > LIMIT_OUTPUT_PAUSE_BYTES && server_memory(s) > server_memory_max(s));
    if (is_too_much && !session->is_closing && !session->is_cut &&
        !list_is_empty(&session->requests)) {
        reached("server: output overflow");
        s->stats->output_overflows++;
        cut(session, "more replies wait than a connection may hold");
        count_memory(session);
    }
    session_mind_stream(session);
    mark_dirty(session);
}

static void on_routed(struct router_request *route)
{
    struct session_request *r = container_of(route, struct session_request, route);
    struct session *session = r->session;
    uint64_t now_us = env_now_us(session->server->env);
    stat_stage_add(&session->server->stats->stage_reply, now_us - r->started_us);
    finish(r);
    destroy_if_unused(session);
}

/* ---- running commands ------------------------------------------------------------------------ */

static void run_local(struct session *session,
                      const struct command *command,
                      const struct bytes *args,
                      size_t arg_count,
                      struct buf *reply)
{
    session->client.now_us = session->client.active_us;
    session->client.input_bytes = session->input.size;
    session->client.output_bytes = session->output.size;
    struct command_call call = {
        .command = command,
        .args = args,
        .arg_count = arg_count,
        .resp = session->client.resp,
        .reply = reply,
        .client = &session->client,
        .server = &session->server->facts,
    };
    enum command_result result = command->handler(&call);
    ensure(result == COMMAND_DONE || result == COMMAND_ERROR);
}

static void submit(struct session *session,
                   struct session_request *r,
                   const struct command *command,
                   const struct bytes *args,
                   size_t arg_count)
{
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

static void run_command(struct session *session, const struct bytes *args, size_t arg_count)
{
    if (is_http(args[0])) {
        refuse_http(session);
        return;
    }
    struct session_request *r = request_create(session);
    const struct command *command = command_resolve(args, arg_count, &r->reply);
    if (command != NULL) {
        session->client.last_command = command;
        if (command->policy != COMMAND_LOCAL) {
            submit(session, r, command, args, arg_count);
            return;
        }
        run_local(session, command, args, arg_count, &r->reply);
    }
    finish(r);
}

/* Broken input: the error is the connection's last reply. */
static void refuse_input(struct session *session)
{
    struct session_request *r = request_create(session);
    resp_write_errorf(&r->reply, "ERR %s", resp_parser_error(&session->parser));
    session->client.must_close = true;
    session->server->stats->protocol_errors++;
    finish(r);
}

static bool can_take_more(const struct session *session)
{
    const struct server *s = session->server;
    return !session->client.must_close && !session->is_closing && !s->is_stopping &&
           !s->is_starved && session->request_count < LIMIT_PIPELINE_COMMANDS &&
           session->output.size + session->reply_bytes < LIMIT_OUTPUT_PAUSE_BYTES &&
           server_memory(s) <= s->options.buffer_memory;
}

/* Input that is neither used up nor the beginning of one command. */
static bool has_unrun_input(const struct session *session)
{
    return session->input.size > 0 && !session->is_partial;
}

bool session_has_work(const struct session *session)
{
    return has_unrun_input(session) && can_take_more(session);
}

/*
 * The socket is read only when all input has been run, but for an unfinished command: so the input
 * never grows beyond one command and one read.
 */
void session_pause_or_resume(struct session *session)
{
    bool must_pause = has_unrun_input(session) || !can_take_more(session);
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
            if (arg_count > 0) {
                run_command(session, args, arg_count);
            }
            taken += used;
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
    count_memory(session);
    session_pause_or_resume(session);
}

/* ---- events ---------------------------------------------------------------------------------- */

static void on_read(struct env_conn *conn, struct bytes bytes)
{
    struct session *session = conn->owner;
    struct server *s = session->server;
    s->stats->input_bytes += bytes.size;
    if (session->client.must_close || s->is_stopping) {
        return; /* nothing after QUIT or a protocol error is looked at */
    }
    uint64_t started_us = env_now_us(s->env);
    session->client.active_us = started_us;
    ensure(bytes.size <= buf_room(&session->input)); /* paused long before */
    buf_append_bytes(&session->input, bytes);
    session_take_input(session);
    stat_stage_add(&s->stats->stage_parse, env_now_us(s->env) - started_us);
    mark_dirty(session);
}

static void on_ended(struct env_conn *conn)
{
    struct session *session = conn->owner;
    session->has_ended = true;
    mark_dirty(session);
}

static void on_drained(struct env_conn *conn)
{
    struct session *session = conn->owner;
    session->is_sending = false;
    session->sending_bytes = 0;
    count_memory(session);
    mark_dirty(session);
}

static void on_closed(struct env_conn *conn)
{
    struct session *session = conn->owner;
    session->conn = NULL;
    session->is_closing = true;
    session_mind_stream(session);
    destroy_if_unused(session);
}

bool session_is_answered(const struct session *session)
{
    bool is_silent = session->conn == NULL || session->is_closing;
    return is_silent ||
           (session->request_count == 0 && session->output.size == 0 && !session->is_sending);
}

/* No reply is to come, and all of them have left. */
static bool is_finished(const struct session *session)
{
    bool takes_no_more =
        session->client.must_close || (session->has_ended && !has_unrun_input(session));
    return takes_no_more && (session->request_count == 0 || session->is_cut) &&
           session->output.size == 0 && !session->is_sending;
}

void session_flush(struct session *session)
{
    if (session->conn == NULL || session->is_closing) {
        return;
    }
    if (session->output.size > 0 && !session->is_sending) {
        size_t size = session->output.size;
        session->server->stats->output_bytes += size;
        session->is_sending = !env_conn_write(session->conn, buf_bytes(&session->output));
        session->sending_bytes = session->is_sending ? size : 0;
        buf_clear(&session->output, BUFFER_BYTES_KEPT);
        count_memory(session);
    }
    session_mind_stream(session);
    if (is_finished(session)) {
        session_close(session);
    }
}

void session_abandon(struct session *session)
{
    if (session->conn == NULL || session->is_closing) {
        return;
    }
    if (!list_is_empty(&session->requests) && !session->is_cut) {
        reached("server: stopped with commands undecided");
        cut(session, "the node stops");
    }
    session_flush(session); /* unless the client does not even take what it has */
    session_close(session);
}
