#include "server/session_txn.h"

#include "base/assert.h"
#include "base/mem.h"
#include "protocol/resp_reply.h"
#include "protocol/resp_writer.h"
#include "server/session_parts.h"

struct session_exec {
    struct txn_request request;
    struct txn_watch_request look; /* in place of it, if nothing but watches is to be looked at */
    struct session_request *owner;
    struct buf replies;
    struct multi_queue queue; /* until no argument is needed any more */
    struct watch_list watches;
    struct txn_command *commands; /* all of the queue; NULL: a single command, not of EXEC */
    struct bytes *args;
    size_t count;
    size_t keyed;
    uint64_t *versions; /* of watches, as they are now */
    uint64_t memory;
};

struct session_watch {
    struct txn_watch_request request;
    struct session_request *owner;
    struct txn_key *keys; /* they are in `bytes` */
    uint8_t *bytes;
    uint64_t *versions;
    size_t byte_count;
    uint64_t epoch; /* of session.multi */
};

static struct txn_manager *manager_of(const struct session_request *r)
{
    return r->session->server->options.txn;
}

/* ---- WATCH ----------------------------------------------------------------------------------- */

void session_watch_destroy(struct session_watch *w)
{
    if (w != NULL) {
        mem_free(w->keys);
        mem_free(w->bytes);
        mem_free(w->versions);
        mem_free(w);
    }
}

static void on_watched(struct txn_watch_request *request, bool is_good)
{
    struct session_watch *w = container_of(request, struct session_watch, request);
    struct session_request *r = w->owner;
    struct session *session = r->session;
    struct session_multi *multi = &session->multi;
    multi->watches_pending--;
    multi->keys_pending -= request->key_count;
    multi->bytes_pending -= w->byte_count;
    bool is_wanted = w->epoch == multi->epoch; /* not after UNWATCH */
    for (size_t i = 0; i < request->key_count && is_good && is_wanted; i++) {
        watch_list_add(&multi->watches, &w->keys[i], w->versions[i]);
    }
    multi->is_watch_failed = multi->is_watch_failed || (!is_good && is_wanted);
    if (is_good) {
        resp_write_simple(&r->reply, "OK");
    }
    session->awaits_txn = session->awaits_txn && multi->watches_pending > 0;
    session_finish(r, env_now_us(session->server->env));
    session_destroy_if_unused(session);
}

void session_watch_start(struct session_request *r,
                         const struct bytes *keys,
                         size_t count,
                         size_t bytes)
{
    struct session *session = r->session;
    struct session_multi *multi = &session->multi;
    struct session_watch *w = mem_alloc_zero(sizeof *w);
    w->owner = r;
    w->keys = mem_alloc(count * sizeof *w->keys);
    w->bytes = mem_alloc(bytes + 1);
    w->versions = mem_alloc_zero(count * sizeof *w->versions);
    w->byte_count = bytes;
    w->epoch = multi->epoch;
    uint8_t *at = w->bytes;
    for (size_t i = 0; i < count; i++) {
        if (keys[i].size > 0) {
            memcpy(at, keys[i].data, keys[i].size);
        }
        w->keys[i] = (struct txn_key){session->client.database, bytes_of(at, keys[i].size)};
        at += keys[i].size;
    }
    multi->watches_pending++;
    multi->keys_pending += count;
    multi->bytes_pending += bytes;
    r->watch = w;
    w->request = (struct txn_watch_request){
        .keys = w->keys,
        .key_count = count,
        .stream = &session->stream,
        .versions = w->versions,
        .error = &r->reply,
        .done = on_watched,
    };
    txn_watch(manager_of(r), &w->request);
}

/* ---- transactions: life ---------------------------------------------------------------------- */

static struct session_exec *create(struct session_request *r)
{
    struct session_exec *e = mem_alloc_zero(sizeof *e);
    e->owner = r;
    buf_init(&e->replies, SIZE_MAX / 2);
    multi_queue_init(&e->queue);
    watch_list_init(&e->watches);
    r->exec = e;
    return e;
}

static void count_memory(struct session_exec *e)
{
    struct session_multi *multi = &e->owner->session->multi;
    multi->memory_in_txn -= e->memory;
    e->memory = multi_queue_memory(&e->queue) + watch_list_memory(&e->watches) +
                e->count * sizeof *e->commands +
                (e->args != NULL ? e->queue.arg_count * sizeof *e->args : 0);
    multi->memory_in_txn += e->memory;
}

void session_exec_destroy(struct session_exec *e)
{
    if (e != NULL) {
        e->owner->session->multi.memory_in_txn -= e->memory;
        buf_deinit(&e->replies);
        multi_queue_deinit(&e->queue);
        watch_list_deinit(&e->watches);
        mem_free(e->commands);
        mem_free(e->args);
        mem_free(e->versions);
        mem_free(e);
    }
}

/* What src/txn has copied, and nobody here needs any more. */
static void trim(struct session_exec *e)
{
    if (e->keyed == e->count) {
        multi_queue_deinit(&e->queue);
        multi_queue_init(&e->queue);
        mem_free(e->args);
        e->args = NULL;
    }
    watch_list_clear(&e->watches);
}

/* ---- replies --------------------------------------------------------------------------------- */

/* A LOCAL command of EXEC. What it asks of the connection happens; but nobody waits for one that is
 * gone. */
static void run_local(struct session *session, const struct txn_command *c, struct buf *reply)
{
    size_t before = reply->size;
    uint64_t sleep_us = session->client.sleep_us; /* of those before it */
    session->client.sleep_us = 0;
    session->client.is_executing = true;
    session_run_handler(session, c->command, c->args, c->arg_count, reply);
    session->client.is_executing = false;
    session->client.wish = CLIENT_WISH_NONE; /* UNWATCH: nothing is watched any more */
    session->client.sleep_us += sleep_us;
    ensure(reply->size > before);
}

static void append_next(struct bytes *replies, struct buf *out)
{
    size_t size = 0;
    enum status status = resp_reply_size(*replies, &size);
    ensure(status == STATUS_OK);
    buf_append(out, replies->data, size);
    *replies = bytes_of(replies->data + size, replies->size - size);
}

/* LOCAL commands can answer far more than they say: nobody holds that much for one client. */
static void write_too_large(struct buf *reply)
{
    reached("server: replies of EXEC are too large");
    buf_clear(reply, REPLY_BYTES_KEPT);
    resp_write_errorf(reply,
                      "%s the commands of the transaction that need no key answer more than %u "
                      "bytes; it was executed, but for the last of those",
                      status_prefix(STATUS_OUTCOME_UNKNOWN),
                      LIMIT_REPLY_VALUES_BYTES);
}

static void write_replies(struct session_exec *e)
{
    struct session_request *r = e->owner;
    struct session *session = r->session;
    struct bytes replies = buf_bytes(&e->replies);
    size_t local_bytes = 0;
    resp_write_array(&r->reply, e->count);
    for (size_t i = 0; i < e->count; i++) {
        size_t before = r->reply.size;
        if (e->commands[i].command->policy != COMMAND_LOCAL) {
            append_next(&replies, &r->reply);
            continue;
        }
        if (local_bytes > LIMIT_REPLY_VALUES_BYTES) {
            write_too_large(&r->reply);
            return;
        }
        run_local(session, &e->commands[i], &r->reply);
        local_bytes += r->reply.size - before;
    }
    ensure(replies.size == 0);
}

/* INFO commandstats: each of them ran as long as all together, as none can be told apart. */
static void count_commands(const struct session_exec *e)
{
    struct server *s = e->owner->session->server;
    uint64_t took_us = env_now_us(s->env) - e->owner->started_us;
    for (size_t i = 0; i < e->count; i++) {
        command_stats_add(&s->command_stats, e->commands[i].command, took_us);
    }
}

static void write_failed(const struct session_exec *e)
{
    struct bytes rest = buf_bytes(&e->replies);
    struct resp_value v = {0};
    enum status status = resp_value_read(&rest, &v);
    ensure(status == STATUS_OK && v.type == RESP_TYPE_ERROR);
    resp_write_errorf(&e->owner->reply,
                      "EXECABORT Transaction discarded because of: %.*s",
                      (int)v.text.size,
                      (const char *)v.text.data);
}

static void write_outcome(struct session_exec *e, enum txn_outcome outcome)
{
    struct buf *reply = &e->owner->reply;
    if (e->commands == NULL) {
        ensure(outcome != TXN_CHANGED && outcome != TXN_FAILED);
        buf_append_bytes(reply, buf_bytes(&e->replies));
        return;
    }
    switch (outcome) {
    case TXN_COMMITTED:
        write_replies(e);
        count_commands(e);
        return;
    case TXN_CHANGED:
        reached("server: EXEC after a watched key changed");
        resp_write_null_array(reply, e->request.resp);
        return;
    case TXN_FAILED:
        reached("server: strict transaction failed");
        write_failed(e);
        return;
    case TXN_NOT_EXECUTED:
    case TXN_UNKNOWN:
        buf_append_bytes(reply, buf_bytes(&e->replies));
        return;
    }
}

static void finish(struct session_exec *e, enum txn_outcome outcome)
{
    struct session_request *r = e->owner;
    struct session *session = r->session;
    struct server *s = session->server;
    stat_stage_add(&s->stats->stage_reply, env_now_us(s->env) - r->started_us);
    write_outcome(e, outcome);
    if (e->keyed < e->count) {
        session->awaits_txn = false;
    }
    if (session->is_closing || s->is_stopping) {
        session->client.sleep_us = 0; /* nobody would wake it */
    }
    session_finish_local(r);
    session_destroy_if_unused(session);
}

/* ---- EXEC ------------------------------------------------------------------------------------ */

static void on_done(struct txn_request *request, enum txn_outcome outcome)
{
    finish(container_of(request, struct session_exec, request), outcome);
}

/* Nothing to be done in any group: it is as if all had been done when the last version was read. */
static void on_looked(struct txn_watch_request *look, bool is_good)
{
    struct session_exec *e = container_of(look, struct session_exec, look);
    size_t count = e->watches.count;
    struct txn_compare *compares = mem_alloc(count * sizeof *compares);
    watch_list_compares(&e->watches, compares);
    enum txn_outcome outcome = is_good ? TXN_COMMITTED : TXN_NOT_EXECUTED;
    for (size_t i = 0; i < count && is_good; i++) {
        outcome = compares[i].version == e->versions[i] ? outcome : TXN_CHANGED;
    }
    mem_free(compares);
    finish(e, outcome);
}

static void look(struct session_exec *e)
{
    size_t count = e->watches.count;
    struct txn_compare *compares = mem_alloc(count * sizeof *compares);
    struct txn_key *keys = mem_alloc(count * sizeof *keys);
    watch_list_compares(&e->watches, compares);
    for (size_t i = 0; i < count; i++) {
        keys[i] = (struct txn_key){compares[i].database, compares[i].key};
    }
    e->versions = mem_alloc_zero(count * sizeof *e->versions);
    e->look = (struct txn_watch_request){
        .keys = keys,
        .key_count = count,
        .stream = &e->owner->session->stream,
        .versions = e->versions,
        .error = &e->replies,
        .done = on_looked,
    };
    txn_watch(manager_of(e->owner), &e->look);
    mem_free(keys);
    mem_free(compares);
}

static void submit(struct session_exec *e)
{
    size_t watch_count = e->watches.count;
    struct txn_command *keyed = mem_alloc(e->keyed * sizeof *keyed);
    struct txn_compare *watches = mem_alloc((watch_count + 1) * sizeof *watches);
    size_t count = 0;
    for (size_t i = 0; i < e->count; i++) {
        if (e->commands[i].command->policy != COMMAND_LOCAL) {
            keyed[count++] = e->commands[i];
        }
    }
    ensure(count == e->keyed);
    watch_list_compares(&e->watches, watches);
    e->request.commands = keyed;
    e->request.command_count = count;
    e->request.watches = watches;
    e->request.watch_count = watch_count;
    txn_submit(manager_of(e->owner), &e->request);
    mem_free(keyed);
    mem_free(watches);
    trim(e);
}

/* Lines of what EXEC runs stand before its own. May close a connection, also this one. */
static void show_to_monitors(struct session_exec *e)
{
    struct session *session = e->owner->session;
    uint8_t database = session->client.database;
    for (size_t i = 0; i < e->count; i++) {
        const struct txn_command *c = &e->commands[i];
        session->client.database = c->database;
        session_monitor_feed(session, c->command, c->args, c->arg_count);
    }
    session->client.database = database;
}

/* Moves them from the session to e. */
static void take_over(struct session_exec *e, struct session_multi *multi)
{
    e->queue = multi->queue;
    e->watches = multi->watches;
    multi_queue_init(&multi->queue);
    watch_list_init(&multi->watches);
    e->count = e->queue.count;
    e->keyed = e->queue.keyed;
    e->commands = mem_alloc((e->count + 1) * sizeof *e->commands);
    e->args = mem_alloc((e->queue.arg_count + 1) * sizeof *e->args);
    multi_queue_list(&e->queue, e->commands, e->args);
}

enum session_multi_next session_exec_start(struct session_request *r)
{
    struct session *session = r->session;
    struct session_exec *e = create(r);
    e->request.resp = session->client.resp;
    e->request.is_strict = session->client.is_strict;
    e->request.stream = &session->stream;
    e->request.replies = &e->replies;
    e->request.done = on_done;
    take_over(e, &session->multi);
    session_multi_forget(session);
    show_to_monitors(e);
    if (session->is_closing) {
        return SESSION_MULTI_ANSWERED; /* a monitor that was shown too much: nobody is there */
    }
    bool needs_watches = e->watches.count > 0;
    if (e->keyed == 0 && !needs_watches) {
        write_outcome(e, TXN_COMMITTED);
        return SESSION_MULTI_ANSWERED;
    }
    /* What LOCAL commands change of the connection comes before whatever is behind EXEC. */
    session->awaits_txn = e->keyed < e->count;
    if (e->keyed > 0) {
        submit(e);
    } else {
        look(e);
    }
    count_memory(e);
    return SESSION_MULTI_GOES_ON;
}

/* ---- a single command ------------------------------------------------------------------------ */

void session_multi_submit(struct session_request *r,
                          const struct command *command,
                          const struct bytes *args,
                          size_t arg_count)
{
    struct session *session = r->session;
    struct session_exec *e = create(r);
    struct txn_command one = {command, args, arg_count, session->client.database};
    e->request = (struct txn_request){
        .commands = &one,
        .command_count = 1,
        .resp = session->client.resp,
        .stream = &session->stream,
        .replies = &e->replies,
        .done = on_done,
    };
    txn_submit(manager_of(r), &e->request);
    e->request.commands = NULL;
}
