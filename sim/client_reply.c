/* What clients are told, and whether such an answer can be. */
#include <inttypes.h>
#include <string.h>

#include "protocol/resp_reply.h"
#include "sim/client.h"
#include "sim/values.h"

#define BESIDE_US (100 * MS_US)

static bool starts_with(struct bytes text, const char *prefix)
{
    size_t size = strlen(prefix);
    return text.size > size && memcmp(text.data, prefix, size) == 0;
}

/* Errors that client libraries retry by themselves: they promise that nothing happened (DUP-6). */
static bool promises_not_executed(struct bytes text)
{
    static const char *const prefixes[] = {
        "TRYAGAIN ",
        "CLUSTERDOWN ",
        "LOADING ",
        "READONLY ",
        "MASTERDOWN ",
        "BUSY ",
        "OOM ",
    };
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        if (starts_with(text, prefixes[i])) {
            return true;
        }
    }
    return false;
}

/* A transaction over groups has one time for all of them: its gateway's (ORD-4). */
static bool is_of_clocks(const struct workload *w, struct bytes text)
{
    bool have_jumped = w->world->clock_least_ms != 0 || w->world->clock_most_ms != 0;
    return have_jumped && starts_with(text, "ERR the clock of the node this client talks to ");
}

/*
 * Writes that a full disk refuses, while one is full or was a moment ago; and reads of a key whose
 * end cannot be written down.
 */
static enum fate fate_of_no_space(struct workload *w, bool is_write)
{
    uint64_t now_us = w->world->now_us;
    w->no_space++;
    w->no_space_last_us = now_us;
    bool may_be = is_write && w->options.has_full_disks && now_us <= w->no_space_until_us;
    return may_be ? FATE_REFUSED : FATE_BAD;
}

enum fate client_fate_of_error(struct workload *w, struct bytes text, bool may_write)
{
    if (w->options.is_calm) {
        return FATE_BAD;
    }
    if (starts_with(text, "MISCONF ")) {
        return fate_of_no_space(w, may_write);
    }
    if (starts_with(text, "UNKNOWNRESULT ")) {
        return FATE_UNKNOWN;
    }
    return promises_not_executed(text) || is_of_clocks(w, text) ? FATE_REFUSED : FATE_BAD;
}

static bool take_value(const struct resp_value *v, struct linear_value *out_value)
{
    *out_value = (struct linear_value){.type = LINEAR_ABSENT};
    return resp_value_is_null(v) || (v->type == RESP_TYPE_BULK && value_parse(v->text, out_value));
}

static bool is_ok(const struct resp_value *v)
{
    return v->type == RESP_TYPE_SIMPLE && bytes_equal_text(v->text, "OK");
}

/* Fills in the outcome; false if this is no reply to such a command. */
static bool take_outcome(struct linear_operation *op, const struct resp_value *v)
{
    switch (op->kind) {
    case LINEAR_GET:
    case LINEAR_GETEX:
        return take_value(v, &op->value);
    case LINEAR_SET:
        return is_ok(v);
    case LINEAR_SET_NX:
        op->is_done = !resp_value_is_null(v);
        return !op->is_done || is_ok(v);
    case LINEAR_DEL:
    case LINEAR_EXISTS:
    case LINEAR_EXPIRE:
    case LINEAR_PERSIST:
        op->is_done = v->integer == 1;
        return v->type == RESP_TYPE_INTEGER && (v->integer == 0 || v->integer == 1);
    case LINEAR_INCR:
        op->number = v->integer;
        return v->type == RESP_TYPE_INTEGER;
    }
    return false;
}

/* ---- commands on keys ------------------------------------------------------------------------ */

static struct linear_operation *operation_of(struct workload *w,
                                             const struct pending *p,
                                             unsigned i)
{
    return &w->history.keys[p->keys[i].key].operations[p->keys[i].operation];
}

static bool has_expiring_key(const struct workload *w, const struct pending *p)
{
    for (unsigned i = 0; i < p->key_count; i++) {
        if (w->history.keys[p->keys[i].key].is_expiring) {
            return true;
        }
    }
    return false;
}

static enum fate take_key(struct workload *w, const struct pending *p, const struct resp_value *v)
{
    struct linear_operation *op = operation_of(w, p, 0);
    if (v->type != RESP_TYPE_ERROR) {
        return take_outcome(op, v) ? FATE_TOLD : FATE_BAD;
    }
    const char *no_integer = "ERR value is not an integer or out of range";
    if (op->kind == LINEAR_INCR && bytes_equal_text(v->text, no_integer)) {
        op->is_refused = true;
        return FATE_TOLD;
    }
    bool is_read = op->kind == LINEAR_GET || op->kind == LINEAR_EXISTS;
    return client_fate_of_error(w, v->text, !is_read || has_expiring_key(w, p));
}

/* Only "none" and "all" say something about each key. */
static enum fate take_exists(struct workload *w,
                             const struct pending *p,
                             const struct resp_value *v)
{
    if (v->type != RESP_TYPE_INTEGER || v->integer < 0 || v->integer > (int64_t)p->key_count) {
        return v->type == RESP_TYPE_ERROR ? client_fate_of_error(w, v->text, true) : FATE_BAD;
    }
    for (unsigned i = 0; i < p->key_count; i++) {
        operation_of(w, p, i)->is_done = v->integer > 0;
    }
    return v->integer == 0 || v->integer == (int64_t)p->key_count ? FATE_TOLD : FATE_SILENT;
}

/* Of keys in several groups it votes, after three looks in vain; that is an entry. */
static enum fate take_mget(struct workload *w,
                           const struct pending *p,
                           const struct resp_value *v,
                           struct bytes *items)
{
    if (v->type == RESP_TYPE_ERROR) {
        return client_fate_of_error(w, v->text, true);
    }
    if (v->type != RESP_TYPE_ARRAY || v->count != (int64_t)p->key_count) {
        return FATE_BAD;
    }
    for (unsigned i = 0; i < p->key_count; i++) {
        struct resp_value item;
        if (resp_value_read(items, &item) != STATUS_OK ||
            !take_value(&item, &operation_of(w, p, i)->value)) {
            return FATE_BAD;
        }
    }
    return FATE_TOLD;
}

static void trace_told(struct workload_client *c, const struct history_key *key, size_t operation)
{
    struct buf text;
    buf_init(&text, VALUE_BYTES_MAX);
    linear_print(&key->operations[operation], &text);
    world_trace(c->workload->world,
                "client %u told %s %.*s%s",
                c->index,
                key->name,
                (int)text.size,
                text.data,
                key->is_void[operation] ? " (void)" : "");
    buf_deinit(&text);
}

/* Was it seen for the last time just now? */
static void note_end(struct workload *w, struct history_key *key, const struct linear_operation *op)
{
    bool is_read = op->kind == LINEAR_GET || op->kind == LINEAR_GETEX;
    if (!key->is_expiring || !is_read) {
        return;
    }
    bool is_there = op->value.type != LINEAR_ABSENT;
    if (key->was_there && !is_there && w->key_ended != NULL) {
        w->key_ended(w->owner);
    }
    key->was_there = is_there;
}

static void note_fate(struct workload_client *c, const struct pending *p, enum fate fate)
{
    struct workload *w = c->workload;
    for (unsigned i = 0; i < p->key_count; i++) {
        struct history_key *key = &w->history.keys[p->keys[i].key];
        size_t at = p->keys[i].operation;
        bool is_told = fate == FATE_TOLD;
        key->operations[at].return_us = is_told ? w->world->now_us : LINEAR_UNKNOWN;
        key->is_void[at] = fate == FATE_REFUSED || fate == FATE_SILENT;
        trace_told(c, key, at);
        if (is_told) {
            note_end(w, key, &key->operations[at]);
        }
    }
}

/* ---- data and flags -------------------------------------------------------------------------- */

/* A pair with an outcome that is not "done" is left alone. */
static enum fate take_order_set(struct workload_client *c,
                                const struct pending *p,
                                const struct resp_value *v)
{
    struct order *order = &c->workload->order;
    enum fate fate = v->type == RESP_TYPE_ERROR ? client_fate_of_error(c->workload, v->text, true)
                     : is_ok(v)                 ? FATE_TOLD
                                                : FATE_BAD;
    if (p->kind == PENDING_SET_DATA) {
        order->pairs[p->pair].is_done[p->number] = fate == FATE_TOLD;
    }
    if (fate != FATE_TOLD && p->pair == order_current(order)) {
        order_next_pair(order);
    }
    return fate;
}

static enum fate take_order_get(struct workload_client *c,
                                const struct pending *p,
                                const struct resp_value *v)
{
    struct linear_value value = {0};
    if (v->type == RESP_TYPE_ERROR) {
        c->flag_seen = -1;
        return client_fate_of_error(c->workload, v->text, false);
    }
    if (!take_value(v, &value) || value.type == LINEAR_TEXT) {
        return FATE_BAD;
    }
    int64_t round = value.type == LINEAR_INTEGER ? value.number : 0;
    if (p->kind == PENDING_GET_FLAG) {
        c->flag_seen = round;
    } else if (c->flag_seen >= 0) {
        struct order_sight sight = {.pair = p->pair, .flag = c->flag_seen, .data = round};
        order_saw(&c->workload->order, sight);
    }
    return FATE_TOLD;
}

/* ---- one reply ------------------------------------------------------------------------------- */

static enum fate take_echo(const struct pending *p, const struct resp_value *v)
{
    struct linear_value echoed = {0};
    bool is_right =
        v->type == RESP_TYPE_BULK && value_parse(v->text, &echoed) && echoed.number == p->number;
    return is_right ? FATE_TOLD : FATE_BAD;
}

/* items: of an array, after it. */
static enum fate take(struct workload_client *c,
                      const struct pending *p,
                      const struct resp_value *v,
                      struct bytes *items)
{
    switch (p->kind) {
    case PENDING_KEY:
        return take_key(c->workload, p, v);
    case PENDING_MGET:
        return take_mget(c->workload, p, v, items);
    case PENDING_EXISTS:
        return take_exists(c->workload, p, v);
    case PENDING_ECHO:
        return take_echo(p, v);
    case PENDING_SET_DATA:
    case PENDING_SET_FLAG:
        return take_order_set(c, p, v);
    case PENDING_GET_FLAG:
    case PENDING_GET_DATA:
        return take_order_get(c, p, v);
    }
    return FATE_BAD;
}

static void fail_reply(struct workload_client *c, const char *about, const struct resp_value *v)
{
    size_t size = v->text.size < 100 ? v->text.size : 100;
    world_fail(c->workload->world,
               "client %u: unexpected reply about %s: type %d integer %" PRId64 " text '%.*s'",
               c->index,
               about,
               (int)v->type,
               v->integer,
               (int)size,
               v->text.data != NULL ? (const char *)v->text.data : "");
}

/* Reads that go on beside writes that are refused. */
static void note_read(struct workload *w, const struct pending *p, enum fate fate)
{
    bool is_read = p->kind == PENDING_MGET || p->kind == PENDING_EXISTS ||
                   p->kind == PENDING_GET_FLAG || p->kind == PENDING_GET_DATA ||
                   (p->kind == PENDING_KEY && operation_of(w, p, 0)->kind == LINEAR_GET);
    bool is_full = w->no_space > 0 && w->world->now_us - w->no_space_last_us < BESIDE_US;
    w->reads_when_full += is_read && is_full && fate == FATE_TOLD ? 1 : 0;
}

static void fail_pipeline(struct workload_client *c,
                          const struct pipeline_command *command,
                          const struct resp_value *v)
{
    struct buf about;
    buf_init(&about, KIB);
    pipeline_print(c->pipeline, command, &about);
    buf_append(&about, "", 1);
    fail_reply(c, (const char *)about.data, v);
    buf_deinit(&about);
}

static void take_pipelined(struct workload_client *c,
                           const struct resp_value *v,
                           struct bytes items)
{
    struct workload *w = c->workload;
    const struct pipeline before = *c->pipeline;
    const struct pipeline_command *command = pipeline_next(&before);
    enum fate fate = FATE_TOLD;
    if (v->type == RESP_TYPE_ERROR) {
        bool may_need_space = pipeline_is_write(command) || pipeline_meets_any_key(command);
        fate = client_fate_of_error(w, v->text, may_need_space);
        pipeline_not_told(c->pipeline, fate == FATE_REFUSED);
    } else if (!pipeline_told(c->pipeline, v, items)) {
        fate = FATE_BAD;
    }
    c->pending_count--;
    if (fate == FATE_BAD) {
        fail_pipeline(c, command, v);
    }
    w->operations += fate == FATE_TOLD ? 1 : 0;
    w->refused += fate == FATE_REFUSED ? 1 : 0;
    w->unknown += fate == FATE_UNKNOWN ? 1 : 0;
    if (c->pending_count == 0 && pipeline_is_unsure(c->pipeline)) {
        pipeline_refresh(c->pipeline);
    }
}

static void take_reply(struct workload_client *c, const struct resp_value *v, struct bytes *items)
{
    static const char *const names[] =
        {"a key", "MGET", "EXISTS", "ECHO", "SET data", "SET flag", "GET flag", "GET data"};
    struct workload *w = c->workload;
    if (c->pending_count == 0) {
        fail_reply(c, "nothing that was asked", v);
        return;
    }
    if (c->role == CLIENT_PIPELINER) {
        take_pipelined(c, v, *items);
        return;
    }
    struct pending p = c->pending[0];
    c->pending_count--;
    memmove(c->pending, c->pending + 1, c->pending_count * sizeof c->pending[0]);
    enum fate fate = take(c, &p, v, items);
    if (fate == FATE_BAD) {
        const struct history_key *key = &w->history.keys[p.keys[0].key];
        fail_reply(c, p.kind == PENDING_KEY ? key->name : names[p.kind], v);
        return;
    }
    w->operations += fate == FATE_TOLD || fate == FATE_SILENT ? 1 : 0;
    w->refused += fate == FATE_REFUSED ? 1 : 0;
    note_read(w, &p, fate);
    w->unknown += fate == FATE_UNKNOWN ? 1 : 0;
    note_fate(c, &p, fate);
}

void client_take_replies(struct workload_client *c)
{
    struct bytes rest = buf_bytes(&c->input);
    for (;;) {
        struct resp_value value = {0};
        size_t size = 0;
        enum status s = rest.size > 0 ? resp_reply_size(rest, &size) : STATUS_NEED;
        if (s == STATUS_NEED) {
            break;
        }
        struct bytes items = bytes_of(rest.data, size);
        if (s != STATUS_OK || resp_value_read(&items, &value) != STATUS_OK) {
            world_fail(c->workload->world, "client %u: a malformed reply", c->index);
            return;
        }
        take_reply(c, &value, &items);
        rest = bytes_of(rest.data + size, rest.size - size);
    }
    buf_drop_front(&c->input, c->input.size - rest.size);
}
