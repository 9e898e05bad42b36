/* The replies of one connection: kept until everything older is answered, and cut off when nobody
 * takes them. */
#include "base/assert.h"
#include "base/mem.h"
#include "command/admin.h"
#include "protocol/resp_writer.h"
#include "server/session_parts.h"

#define MS_US 1000u
#define FREE_REQUESTS_MAX 4096u
#define NOTE_BYTES_KEPT 256u

struct session_request *session_request_create(struct session *session)
{
    struct server *s = session->server;
    struct list *link = list_take_first(&s->free_requests);
    struct session_request *r = NULL;
    if (link != NULL) {
        s->free_request_count--;
        r = session_request_of(link);
    } else {
        r = mem_alloc_zero(sizeof *r);
        buf_init(&r->reply, SIZE_MAX / 2);
        buf_init(&r->note, SLOWLOG_NOTE_BYTES_MAX);
        list_init(&r->link);
    }
    r->session = session;
    r->command = NULL;
    r->is_done = false;
    r->is_silent = false;
    r->starts_monitor = false;
    r->started_us = session->taken_us;
    list_append(&session->requests, &r->link);
    session->request_count++;
    return r;
}

void session_request_destroy(struct session_request *r)
{
    buf_deinit(&r->reply);
    buf_deinit(&r->note);
    mem_free(r);
}

void session_request_release(struct session_request *r)
{
    struct session *session = r->session;
    struct server *s = session->server;
    session->request_count--;
    session->note_bytes -= r->note.size;
    list_remove(&r->link);
    if (s->free_request_count >= FREE_REQUESTS_MAX) {
        session_request_destroy(r);
        return;
    }
    buf_clear(&r->reply, REPLY_BYTES_KEPT);
    buf_clear(&r->note, NOTE_BYTES_KEPT);
    list_append(&s->free_requests, &r->link);
    s->free_request_count++;
}

/* Replies move to the output as soon as nothing older is missing. */
static void move_replies(struct session *session)
{
    while (!list_is_empty(&session->requests)) {
        struct session_request *r = session_request_of(session->requests.next);
        if (!r->is_done) {
            break;
        }
        session->reply_bytes -= r->reply.size;
        buf_append_bytes(&session->output, buf_bytes(&r->reply));
        if (r->starts_monitor) {
            session_monitor_start(session); /* its lines come behind its +OK */
        }
        session_request_release(r);
    }
}

/*
 * More replies than a client may have us hold. What is complete still goes out, the next reply says
 * that the outcome is not told, and the connection ends (DUP-7).
 */
void session_cut(struct session *session, const char *why)
{
    session->is_cut = true;
    session->client.must_close = true;
    list_each(link, &session->requests) {
        struct session_request *r = session_request_of(link);
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

/* SLOWLOG and LATENCY: how long the client waited for this reply. */
static void note_time(struct session_request *r, uint64_t now_us)
{
    struct session *session = r->session;
    struct server *s = session->server;
    const struct settings *settings = server_settings(s);
    uint64_t took_us = now_us - r->started_us;
    if (r->command == NULL) {
        return;
    }
    command_stats_add(&s->command_stats, r->command, took_us);
    if (r->note.size > 0 && settings->slowlog_slower_than_us >= 0 &&
        took_us >= (uint64_t)settings->slowlog_slower_than_us) {
        struct slowlog_fact fact = {
            .wall_ms = env_wall_ms(s->env),
            .took_us = took_us,
            .note = buf_bytes(&r->note),
            .client = &session->client,
        };
        slowlog_add(&s->slowlog, &fact, settings->slowlog_max_len);
    }
    if (settings->latency_threshold_ms > 0 && took_us / MS_US >= settings->latency_threshold_ms) {
        bool is_fast = (r->command->flags & COMMAND_FAST) != 0;
        latency_add(&s->latency, is_fast, env_wall_ms(s->env), took_us / MS_US);
    }
}

void session_finish(struct session_request *r, uint64_t now_us)
{
    struct session *session = r->session;
    struct server *s = session->server;
    r->is_done = true;
    s->stats->commands_processed++;
    if (r->reply.size > 0 && r->reply.data[0] == '-') {
        s->stats->commands_failed++;
        error_counts_note(&s->errors, buf_bytes(&r->reply));
    }
    note_time(r, now_us);
    if (session->is_closing || session->is_cut || r->is_silent) {
        buf_clear(&r->reply, 0);
    }
    session->reply_bytes += r->reply.size;
    move_replies(session);
    session_count_memory(session);
    uint64_t held = session->output.size + session->reply_bytes;
    bool is_too_much = held > LIMIT_OUTPUT_BYTES ||
                       (held > LIMIT_OUTPUT_PAUSE_BYTES && server_memory(s) > server_memory_max(s));
    if (is_too_much && !session->is_closing && !session->is_cut &&
        !list_is_empty(&session->requests)) {
        reached("server: output overflow");
        s->stats->output_overflows++;
        session_cut(session, "more replies wait than a connection may hold");
        session_count_memory(session);
    }
    session_mind_stream(session);
    session_mark_dirty(session);
}
