/*
 * MULTI, WATCH and EXEC of one connection. Commands with keys go to src/txn as one; LOCAL ones run
 * here, in their place among the replies, once its outcome is known.
 */
#include "server/session_multi.h"

#include "base/assert.h"
#include "base/mem.h"
#include "protocol/resp_writer.h"
#include "server/session_parts.h"
#include "server/session_txn.h"

/* ---- what a connection has of it ------------------------------------------------------------- */

void session_multi_init(struct session_multi *multi)
{
    *multi = (struct session_multi){0};
    multi_queue_init(&multi->queue);
    watch_list_init(&multi->watches);
}

void session_multi_deinit(struct session_multi *multi)
{
    multi_queue_deinit(&multi->queue);
    watch_list_deinit(&multi->watches);
}

uint64_t session_multi_memory(const struct session_multi *multi)
{
    return multi_queue_memory(&multi->queue) + watch_list_memory(&multi->watches) +
           multi->bytes_pending + multi->memory_in_txn;
}

static void unwatch(struct session *session)
{
    struct session_multi *multi = &session->multi;
    watch_list_clear(&multi->watches);
    multi->is_watch_failed = false;
    multi->epoch++; /* what comes of WATCHes under way is for nobody */
}

void session_multi_forget(struct session *session)
{
    struct client *c = &session->client;
    c->is_multi = false;
    c->is_strict = false;
    c->is_aborted = false;
    multi_queue_clear(&session->multi.queue);
    unwatch(session);
}

/* ---- gathering ------------------------------------------------------------------------------- */

/* The transaction will not run: no need to keep its commands. */
static void abort_multi(struct session *session)
{
    session->client.is_aborted = true;
    multi_queue_clear(&session->multi.queue);
}

void session_multi_rejected(struct session *session, struct bytes name, struct buf *reply)
{
    static const size_t prefix = sizeof "-ERR " - 1;
    if (bytes_equal_nocase(name, "exec")) {
        char text[128];
        ensure(reply->size > prefix + 2);
        size_t size = reply->size - prefix - 2;
        size = size < sizeof text ? size : sizeof text;
        memcpy(text, reply->data + prefix, size);
        buf_clear(reply, reply->capacity);
        resp_write_errorf(reply,
                          "EXECABORT Transaction discarded because of: %.*s",
                          (int)size,
                          text);
        session_multi_forget(session);
    } else if (session->client.is_multi) {
        abort_multi(session);
    }
}

static bool is_sub(const struct command *command, const char *container, const char *name)
{
    return command->container != NULL && strcmp(command->container, container) == 0 &&
           strcmp(command->name, name) == 0;
}

/* NULL: it may be in a transaction. */
static const char *refuse(const struct command *command, const struct bytes *args)
{
    const char *why = NULL;
    if ((command->flags & COMMAND_NO_MULTI) != 0) {
        return "ERR Command not allowed inside a transaction";
    }
    if (is_sub(command, "client", "reply") &&
        (bytes_equal_nocase(args[2], "off") || bytes_equal_nocase(args[2], "skip"))) {
        return "ERR CLIENT REPLY OFF and SKIP are not allowed inside a transaction: EXEC's reply "
               "would be one value short";
    }
    if (command->policy != COMMAND_LOCAL && !txn_allows(command, &why)) {
        return why;
    }
    return NULL;
}

/* SELECT takes effect at EXEC; the commands behind it are of its database already. */
static void mind_select(struct session_multi *multi,
                        const struct command *command,
                        const struct bytes *args)
{
    int64_t database = 0;
    if (command->container == NULL && strcmp(command->name, "select") == 0 &&
        bytes_to_i64(args[1], &database) && database >= 0 && database < (int64_t)LIMIT_DATABASES) {
        multi->database = (uint8_t)database;
    }
}

void session_multi_add(struct session *session,
                       const struct command *command,
                       const struct bytes *args,
                       size_t arg_count,
                       struct buf *reply)
{
    struct session_multi *multi = &session->multi;
    struct txn_command queued = {command, args, arg_count, multi->database};
    const char *why = refuse(command, args);
    if (why != NULL) {
        abort_multi(session);
        resp_write_error(reply, why);
        return;
    }
    if (!session->client.is_aborted && multi_queue_add(&multi->queue, &queued) != STATUS_OK) {
        abort_multi(session);
        resp_write_errorf(reply,
                          "ERR a transaction has at most %u commands, and %u bytes of arguments",
                          (unsigned)LIMIT_MULTI_COMMANDS,
                          (unsigned)LIMIT_MULTI_BYTES);
        return;
    }
    mind_select(multi, command, args);
    resp_write_simple(reply, "QUEUED");
}

/* ---- what the handlers wished ---------------------------------------------------------------- */

/* CLIENT PAUSE holds writes: these are some. */
static bool is_held_by_pause(const struct session *session)
{
    return session->server->is_pausing && session->multi.queue.has_writes &&
           !session->client.is_monitor;
}

static enum session_multi_next exec(struct session_request *r)
{
    struct session *session = r->session;
    if (is_held_by_pause(session)) {
        session->is_held = true;
        return SESSION_MULTI_WAITS;
    }
    if (session->multi.watches_pending > 0) {
        reached("server: EXEC waits for WATCH");
        session->awaits_txn = true;
        return SESSION_MULTI_WAITS;
    }
    if (session->multi.is_watch_failed) {
        reached("server: EXEC behind a WATCH that failed");
        resp_write_error(&r->reply,
                         "EXECABORT Transaction discarded because of: a WATCH before it failed");
        session_multi_forget(session);
        return SESSION_MULTI_ANSWERED;
    }
    return session_exec_start(r);
}

static enum session_multi_next watch(struct session_request *r,
                                     const struct bytes *args,
                                     size_t arg_count)
{
    const struct session_multi *multi = &r->session->multi;
    size_t count = arg_count - 1;
    size_t bytes = 0;
    for (size_t i = 1; i < arg_count; i++) {
        bytes += args[i].size;
    }
    if (multi->watches.count + multi->keys_pending + count > LIMIT_WATCH_KEYS ||
        watch_list_bytes(&multi->watches) + multi->bytes_pending + bytes > LIMIT_WATCH_BYTES) {
        r->session->multi.is_watch_failed = true;
        resp_write_errorf(&r->reply,
                          "ERR a connection watches at most %u keys of %u bytes together",
                          LIMIT_WATCH_KEYS,
                          LIMIT_WATCH_BYTES);
        return SESSION_MULTI_ANSWERED;
    }
    session_watch_start(r, args + 1, count, bytes);
    return SESSION_MULTI_GOES_ON;
}

enum session_multi_next session_multi_mind(struct session_request *r,
                                           const struct bytes *args,
                                           size_t arg_count)
{
    struct session *session = r->session;
    enum client_wish wish = session->client.wish;
    session->client.wish = CLIENT_WISH_NONE;
    if (session->client.is_aborted) {
        abort_multi(session);
    }
    switch (wish) {
    case CLIENT_WISH_NONE:
        return SESSION_MULTI_ANSWERED;
    case CLIENT_WISH_MULTI:
        session->multi.database = session->client.database;
        return SESSION_MULTI_ANSWERED;
    case CLIENT_WISH_FORGET:
        session_multi_forget(session);
        return SESSION_MULTI_ANSWERED;
    case CLIENT_WISH_UNWATCH:
        unwatch(session);
        return SESSION_MULTI_ANSWERED;
    case CLIENT_WISH_WATCH:
        return watch(r, args, arg_count);
    case CLIENT_WISH_EXEC:
        return exec(r);
    }
    unreachable("every wish is handled");
}
