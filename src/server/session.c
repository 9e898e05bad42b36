/* One connection: from its beginning to its end, and what its socket tells us. */
#include "base/assert.h"
#include "base/mem.h"
#include "server/session_parts.h"

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
    buf_init(&session->output,
             SIZE_MAX / 2); /* bounded by LIMIT_OUTPUT_BYTES, see session_finish */
    router_stream_init(&session->stream);
    list_init(&session->requests);
    list_init(&session->dirty_link);
    list_init(&session->monitor_link);
    session->sleep_timer.cb = session_sleep_due;
    list_append(&s->sessions, &session->link);
    s->session_count++;
    session_pause_or_resume(session);
}

void session_destroy(struct session *session)
{
    struct server *s = session->server;
    struct list *link = NULL;
    while ((link = list_take_first(&session->requests)) != NULL) {
        session_request_destroy(session_request_of(link));
    }
    s->memory -= session->memory;
    s->session_count--;
    list_remove(&session->link);
    list_remove(&session->dirty_link);
    list_remove(&session->monitor_link);
    client_deinit(&session->client);
    resp_parser_deinit(&session->parser);
    buf_deinit(&session->input);
    buf_deinit(&session->output);
    mem_free(session);
}

void session_destroy_if_unused(struct session *session)
{
    if (session->conn == NULL && session->request_count == 0) {
        session_destroy(session);
    }
}

void session_mark_dirty(struct session *session)
{
    if (list_is_empty(&session->dirty_link)) {
        list_append(&session->server->dirty, &session->dirty_link);
    }
}

void session_count_memory(struct session *session)
{
    uint64_t now = session->input.capacity + session->output.capacity + session->reply_bytes +
                   session->sending_bytes + session->note_bytes +
                   session->request_count * REQUEST_BYTES + resp_parser_memory(&session->parser);
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
    session_count_memory(session);
}

void session_measure(struct session *session, uint64_t now_us)
{
    struct client *c = &session->client;
    c->now_us = now_us;
    c->is_held = session_is_waiting(session);
    c->is_sending = session->is_sending;
    c->input_bytes = session->input.size;
    c->input_free_bytes = session->input.capacity - session->input.size;
    c->argument_bytes = resp_parser_memory(&session->parser);
    c->output_bytes = session->output.size;
    c->output_room_bytes = session->output.capacity;
    c->waiting_bytes = session->reply_bytes + session->sending_bytes;
    c->memory_bytes = session->memory + sizeof *session;
}

void session_close(struct session *session)
{
    if (!session->is_closing && session->conn != NULL) {
        session->is_closing = true;
        buf_clear(&session->input, 0);
        buf_clear(&session->output, 0);
        session_monitor_stop(session);
        session_wake(session);
        session_count_memory(session);
        session_mind_stream(session);
        env_conn_close(session->conn);
    }
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
    session_mark_dirty(session);
}

static void on_ended(struct env_conn *conn)
{
    struct session *session = conn->owner;
    session->has_ended = true;
    session_mark_dirty(session);
}

static void on_drained(struct env_conn *conn)
{
    struct session *session = conn->owner;
    session->is_sending = false;
    session->sending_bytes = 0;
    session->client.active_us = env_now_us(session->server->env);
    session_count_memory(session);
    session_mark_dirty(session);
}

static void on_closed(struct env_conn *conn)
{
    struct session *session = conn->owner;
    session->conn = NULL;
    session->is_closing = true;
    session_mind_stream(session);
    session_destroy_if_unused(session);
}

bool session_is_answered(const struct session *session)
{
    bool is_silent = session->conn == NULL || session->is_closing;
    return is_silent ||
           (session->request_count == 0 && session->output.size == 0 && !session->is_sending);
}

/* No reply is to come, and all of them have left; or nobody is there who waits with us. */
static bool is_finished(const struct session *session)
{
    if (session->has_ended && session_is_waiting(session)) {
        return true;
    }
    bool takes_no_more =
        session->client.must_close || (session->has_ended && !session_has_unrun_input(session));
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
        session_count_memory(session);
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
        session_cut(session, "the node stops");
    }
    session_flush(session); /* unless the client does not even take what it has */
    session_close(session);
}
