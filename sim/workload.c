#include "sim/workload.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "protocol/resp_reply.h"

#define HOT_OPERATIONS_MAX 120u /* of a key, before the next one is hot */
#define PENDING_MAX 64u
#define CHECK_BUDGET 40000000u
#define RECONNECT_US_MAX (100 * MS_US)
#define VALUE_BYTES_MAX (32u * KIB)
#define LONG_PX_MS 1000000000u
#define SHORT_PX_MS_MAX 1500u
#define NO_KEY UINT32_MAX

/* A command whose reply is awaited. key == NO_KEY: ECHO of number. */
struct pending {
    uint32_t key;
    size_t operation;
    int64_t number;
};

struct workload_client {
    struct workload *workload;
    unsigned index;
    struct prng prng;
    struct sim_conn *conn;
    uint32_t session;
    struct buf input;
    struct pending pending[PENDING_MAX];
    size_t pending_count;
    uint64_t life;  /* of the connection: older timers are stale */
    uint64_t batch; /* grows with each batch: its timeout is stale after the replies */
    bool is_reader;
    bool is_active;
    bool is_connected;
};

static void client_act(struct workload_client *c);
static void client_lost(struct workload_client *c);

/* ---- values ---------------------------------------------------------------------------------- */

/* "v17." and as many letters as 17 says: a reader can check every byte. */
static void append_text_value(struct buf *out, int64_t number)
{
    uint64_t mix = prng_mix((uint64_t)number);
    uint64_t limit = mix % 1000 < 400   ? 20
                     : mix % 1000 < 750 ? 700
                     : mix % 1000 < 995 ? 3000
                                        : 20000;
    size_t size = (size_t)(mix / 1000 % limit);
    buf_printf(out, "v%" PRId64 ".", number);
    memset(buf_reserve(out, size), 'a' + (int)(mix % 26), size);
    buf_extend(out, size);
}

static bool parse_value(struct bytes text, struct linear_value *out_value)
{
    int64_t number = 0;
    if (text.size > 0 && text.data[0] != 'v') {
        *out_value = (struct linear_value){.type = LINEAR_INTEGER};
        return bytes_to_i64(text, &out_value->number);
    }
    const uint8_t *dot = text.size > 0 ? memchr(text.data, '.', text.size) : NULL;
    if (dot == NULL ||
        !bytes_to_i64(bytes_of(text.data + 1, (size_t)(dot - text.data) - 1), &number)) {
        return false;
    }
    struct buf expected;
    buf_init(&expected, VALUE_BYTES_MAX);
    append_text_value(&expected, number);
    bool is_equal = bytes_equal(buf_bytes(&expected), text);
    buf_deinit(&expected);
    *out_value = (struct linear_value){.type = LINEAR_TEXT, .number = number};
    return is_equal;
}

/* ---- commands -------------------------------------------------------------------------------- */

static void append_bulk(struct buf *out, struct bytes bytes)
{
    buf_printf(out, "$%zu\r\n", bytes.size);
    buf_append_bytes(out, bytes);
    buf_append_text(out, "\r\n");
}

static void append_text(struct buf *out, const char *text)
{
    append_bulk(out, bytes_of_text(text));
}

static void append_value(struct buf *out, struct linear_value v)
{
    struct buf text;
    buf_init(&text, VALUE_BYTES_MAX);
    if (v.type == LINEAR_TEXT) {
        append_text_value(&text, v.number);
    } else {
        buf_printf(&text, "%" PRId64, v.number);
    }
    append_bulk(out, buf_bytes(&text));
    buf_deinit(&text);
}

static void append_command(struct buf *out,
                           const struct workload_key *key,
                           const struct linear_operation *op,
                           uint64_t px_ms)
{
    static const char *const names[] = {"GET", "SET", "SET", "DEL", "INCR", "EXISTS"};
    bool is_set = op->kind == LINEAR_SET || op->kind == LINEAR_SET_NX;
    unsigned words = is_set ? 3 : 2;
    words += op->kind == LINEAR_SET_NX ? 1 : 0;
    words += px_ms > 0 ? 2 : 0;
    buf_printf(out, "*%u\r\n", words);
    append_text(out, names[op->kind]);
    append_text(out, key->name);
    if (is_set) {
        append_value(out, op->argument);
    }
    if (op->kind == LINEAR_SET_NX) {
        append_text(out, "NX");
    }
    if (px_ms > 0) {
        char digits[24];
        (void)snprintf(digits, sizeof digits, "%" PRIu64, px_ms);
        append_text(out, "PX");
        append_text(out, digits);
    }
}

/* Into the history, without an outcome so far. */
static size_t remember(struct workload_key *key, const struct linear_operation *op)
{
    if (key->count == key->capacity) {
        key->capacity = key->capacity > 0 ? key->capacity * 2 : 64;
        key->operations = mem_realloc(key->operations, key->capacity * sizeof *key->operations);
        key->is_void = mem_realloc(key->is_void, key->capacity * sizeof *key->is_void);
    }
    key->operations[key->count] = *op;
    key->is_void[key->count] = false;
    return key->count++;
}

static void client_ask(struct workload_client *c,
                       struct buf *out,
                       uint32_t key_index,
                       enum linear_kind kind,
                       uint64_t px_ms)
{
    struct workload *w = c->workload;
    struct workload_key *key = &w->keys[key_index];
    struct linear_operation op = {
        .session = c->session,
        .kind = kind,
        .call_us = w->world->now_us,
        .return_us = LINEAR_UNKNOWN,
    };
    if (kind == LINEAR_SET || kind == LINEAR_SET_NX) {
        bool is_integer = prng_chance(&c->prng, key->is_counter ? 800 : 50);
        int64_t number = w->value_next++;
        op.argument.type = is_integer ? LINEAR_INTEGER : LINEAR_TEXT;
        op.argument.number = is_integer ? number * 1000 : number;
    }
    append_command(out, key, &op, px_ms);
    ensure(c->pending_count < PENDING_MAX);
    c->pending[c->pending_count++] =
        (struct pending){.key = key_index, .operation = remember(key, &op)};

    struct buf text;
    buf_init(&text, VALUE_BYTES_MAX);
    linear_print(&op, &text);
    world_trace(w->world, "client %u asks %s %.*s", c->index, key->name, (int)text.size, text.data);
    buf_deinit(&text);
}

static enum linear_kind random_kind(struct prng *p, bool is_expiring)
{
    uint64_t x = prng_below(p, 100);
    if (is_expiring) {
        return x < 60 ? LINEAR_GET : LINEAR_SET;
    }
    return x < 33   ? LINEAR_GET
           : x < 58 ? LINEAR_SET
           : x < 66 ? LINEAR_SET_NX
           : x < 74 ? LINEAR_DEL
           : x < 92 ? LINEAR_INCR
                    : LINEAR_EXISTS;
}

/*
 * Two keys are hot, for a while: one key's history must not collect so many unknown outcomes that
 * the check becomes hopeless.
 */
static uint32_t random_key(struct workload *w, struct prng *p)
{
    if (!prng_chance(p, 400)) {
        return (uint32_t)prng_below(p, w->key_count);
    }
    uint32_t place = (uint32_t)prng_below(p, 2);
    uint32_t key = (w->hot_key + place) % w->options.keys;
    if (w->keys[key].count > HOT_OPERATIONS_MAX * (1 + w->hot_rounds)) {
        w->hot_key = (w->hot_key + 1) % w->options.keys;
        w->hot_rounds += w->hot_key == 0 ? 1 : 0;
    }
    return key;
}

static void client_ask_random(struct workload_client *c, struct buf *out)
{
    struct workload *w = c->workload;
    if (prng_chance(&c->prng, 20)) {
        int64_t number = w->value_next++;
        buf_append_text(out, "*2\r\n");
        append_text(out, "ECHO");
        append_value(out, (struct linear_value){.type = LINEAR_TEXT, .number = number});
        c->pending[c->pending_count++] = (struct pending){.key = NO_KEY, .number = number};
        return;
    }
    uint32_t key = random_key(w, &c->prng);
    enum linear_kind kind = random_kind(&c->prng, w->keys[key].is_expiring);
    uint64_t px_ms = 0;
    if (kind == LINEAR_SET && w->keys[key].is_expiring) {
        px_ms = prng_between(&c->prng, 20, SHORT_PX_MS_MAX);
    } else if (kind == LINEAR_SET && prng_chance(&c->prng, 100)) {
        px_ms = LONG_PX_MS;
    }
    client_ask(c, out, key, kind, px_ms);
}

/* ---- replies --------------------------------------------------------------------------------- */

/* Prefixes of errors that promise: not executed, and never will be (DUP-6). */
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
        size_t size = strlen(prefixes[i]);
        if (text.size >= size && memcmp(text.data, prefixes[i], size) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_unknown_result(struct bytes text)
{
    const char *prefix = status_prefix(STATUS_OUTCOME_UNKNOWN);
    return text.size > strlen(prefix) && memcmp(text.data, prefix, strlen(prefix)) == 0;
}

/* Fills in the outcome; false if this is no reply to such a command. */
static bool take_outcome(struct linear_operation *op, const struct resp_value *v)
{
    bool is_null = resp_value_is_null(v);
    switch (op->kind) {
    case LINEAR_GET:
        op->value = (struct linear_value){.type = LINEAR_ABSENT};
        return is_null || (v->type == RESP_TYPE_BULK && parse_value(v->text, &op->value));
    case LINEAR_SET:
        return v->type == RESP_TYPE_SIMPLE && bytes_equal_text(v->text, "OK");
    case LINEAR_SET_NX:
        op->is_done = !is_null;
        return is_null || (v->type == RESP_TYPE_SIMPLE && bytes_equal_text(v->text, "OK"));
    case LINEAR_DEL:
    case LINEAR_EXISTS:
        op->is_done = v->integer == 1;
        return v->type == RESP_TYPE_INTEGER && (v->integer == 0 || v->integer == 1);
    case LINEAR_INCR:
        op->number = v->integer;
        return v->type == RESP_TYPE_INTEGER;
    }
    return false;
}

static bool take_error(struct workload_key *key, size_t index, struct bytes text)
{
    struct linear_operation *op = &key->operations[index];
    if (is_unknown_result(text)) {
        op->return_us = LINEAR_UNKNOWN;
        return true;
    }
    if (promises_not_executed(text)) {
        key->is_void[index] = true;
        return true;
    }
    op->is_refused = true;
    return op->kind == LINEAR_INCR &&
           bytes_equal_text(text, "ERR value is not an integer or out of range");
}

static void bad_reply(struct workload_client *c, const char *name, const struct resp_value *v)
{
    size_t size = v->text.size < 100 ? v->text.size : 100;
    world_fail(c->workload->world,
               "client %u: unexpected reply about %s: type %d integer %" PRId64 " text '%.*s'",
               c->index,
               name,
               (int)v->type,
               v->integer,
               (int)size,
               v->text.data != NULL ? (const char *)v->text.data : "");
}

static void take_reply(struct workload_client *c, const struct resp_value *v)
{
    struct workload *w = c->workload;
    if (c->pending_count == 0) {
        bad_reply(c, "nothing that was asked", v);
        return;
    }
    struct pending p = c->pending[0];
    c->pending_count--;
    memmove(c->pending, c->pending + 1, c->pending_count * sizeof c->pending[0]);
    w->operations++;
    if (p.key == NO_KEY) {
        struct linear_value echoed = {0};
        if (v->type != RESP_TYPE_BULK || !parse_value(v->text, &echoed) ||
            echoed.number != p.number) {
            bad_reply(c, "ECHO", v);
        }
        return;
    }
    struct workload_key *key = &w->keys[p.key];
    struct linear_operation *op = &key->operations[p.operation];
    op->return_us = w->world->now_us;
    bool fits =
        v->type == RESP_TYPE_ERROR ? take_error(key, p.operation, v->text) : take_outcome(op, v);
    if (!fits) {
        bad_reply(c, key->name, v);
        return;
    }
    struct buf text;
    buf_init(&text, VALUE_BYTES_MAX);
    linear_print(op, &text);
    world_trace(w->world, "client %u told %s %.*s", c->index, key->name, (int)text.size, text.data);
    buf_deinit(&text);
}

static void take_replies(struct workload_client *c)
{
    struct bytes rest = buf_bytes(&c->input);
    for (;;) {
        struct resp_value value;
        enum status s = rest.size > 0 ? resp_value_read(&rest, &value) : STATUS_NEED;
        if (s == STATUS_NEED) {
            break;
        }
        if (s != STATUS_OK) {
            world_fail(c->workload->world, "client %u: a malformed reply", c->index);
            return;
        }
        take_reply(c, &value);
    }
    buf_drop_front(&c->input, c->input.size - rest.size);
}

/* ---- one client ------------------------------------------------------------------------------ */

static void fire_act(void *owner, void *item, uint64_t tag)
{
    struct workload_client *c = owner;
    bool is_extra =
        item != NULL; /* only on top of a batch in flight, or the client would speed up */
    if (tag == c->life && c->is_active && (!is_extra || c->pending_count > 0)) {
        client_act(c);
    }
}

static void act_later(struct workload_client *c, uint64_t us_max)
{
    uint64_t delay_us = prng_between(&c->prng, 1, us_max);
    world_schedule(c->workload->world, delay_us, fire_act, c, NULL, c->life);
}

/* More commands before the replies are here. */
static void act_again_soon(struct workload_client *c)
{
    uint64_t delay_us = prng_between(&c->prng, 1, 2 * MS_US);
    world_schedule(c->workload->world, delay_us, fire_act, c, c, c->life);
}

static void fire_timeout(void *owner, void *item, uint64_t tag)
{
    struct workload_client *c = owner;
    (void)item;
    if (tag == c->batch && c->conn != NULL && c->pending_count > 0 && !c->is_reader &&
        c->workload->options.timeout_us > 0) {
        world_trace(c->workload->world, "client %u hangs up after a timeout", c->index);
        sim_conn_hangup(c->conn);
        client_lost(c);
    }
}

static void client_close(struct workload_client *c)
{
    if (c->conn != NULL) {
        sim_conn_hangup(c->conn);
        c->conn = NULL;
    }
    c->life++;
    c->is_active = false;
    world_trace(c->workload->world, "client %u is finished", c->index);
}

/* What was not answered stays unknown. */
static void client_lost(struct workload_client *c)
{
    c->conn = NULL;
    c->life++;
    c->batch++;
    c->workload->unknown += c->pending_count;
    c->pending_count = 0;
    buf_clear(&c->input, 0);
    act_later(c, RECONNECT_US_MAX);
}

static void on_read(void *owner, struct bytes bytes)
{
    struct workload_client *c = owner;
    buf_append_bytes(&c->input, bytes);
    size_t before = c->pending_count;
    take_replies(c);
    if (before == 0 || c->pending_count > 0) {
        return;
    }
    c->batch++;
    if (c->is_reader || c->workload->is_draining) {
        client_close(c);
    } else {
        act_later(c, c->workload->options.think_us_max);
    }
}

static void on_connected(void *owner)
{
    struct workload_client *c = owner;
    c->is_connected = true;
    client_act(c);
}

static void on_ended(void *owner)
{
    struct workload_client *c = owner;
    world_trace(c->workload->world,
                "client %u lost its connection with %zu unanswered",
                c->index,
                c->pending_count);
    client_lost(c);
}

static const struct sim_client_events client_events = {
    .connected = on_connected,
    .read = on_read,
    .ended = on_ended,
};

static void client_send(struct workload_client *c, struct buf *out)
{
    c->batch++;
    sim_conn_send(c->conn, buf_bytes(out));
    if (c->workload->options.timeout_us > 0) {
        world_schedule(c->workload->world,
                       c->workload->options.timeout_us,
                       fire_timeout,
                       c,
                       NULL,
                       c->batch);
    }
}

static void client_act(struct workload_client *c)
{
    struct workload *w = c->workload;
    if (w->is_draining && !c->is_reader && c->pending_count == 0) {
        client_close(c);
        return;
    }
    if (c->conn == NULL) {
        c->session = w->session_next++;
        c->is_connected = false;
        c->conn = sim_connect(w->env, &client_events, c);
    }
    if (!c->is_connected) {
        return; /* on_connected goes on */
    }
    size_t room = PENDING_MAX - c->pending_count;
    uint64_t limit =
        c->is_reader ? w->key_count : prng_between(&c->prng, 1, w->options.pipeline_max);
    if (limit > room || w->world->is_failed) {
        return;
    }
    struct buf out;
    buf_init(&out, 64u * MIB);
    for (uint32_t i = 0; i < limit; i++) {
        if (c->is_reader) {
            client_ask(c, &out, i, LINEAR_GET, 0);
        } else {
            client_ask_random(c, &out);
        }
    }
    client_send(c, &out);
    buf_deinit(&out);
    if (!c->is_reader && !w->is_draining && prng_chance(&c->prng, 150)) {
        act_again_soon(c);
    }
}

/* ---- all clients ----------------------------------------------------------------------------- */

void workload_init(struct workload *w, struct sim_env *env, const struct workload_options *options)
{
    *w = (struct workload){.world = env->world, .env = env, .options = *options, .value_next = 1};
    w->key_count = options->keys + options->expiring_keys;
    ensure(w->key_count <= WORKLOAD_KEYS_MAX);
    for (unsigned i = 0; i < w->key_count; i++) {
        struct workload_key *key = &w->keys[i];
        key->is_expiring = i >= options->keys;
        key->is_counter = i % 2 == 0;
        (void)snprintf(key->name, sizeof key->name, "%s%u", key->is_expiring ? "brief" : "key", i);
    }
    w->clients = mem_alloc_zero((options->clients + 1) * sizeof w->clients[0]);
    for (unsigned i = 0; i <= options->clients; i++) {
        struct workload_client *c = &w->clients[i];
        c->workload = w;
        c->index = i;
        c->is_reader = i == options->clients;
        c->prng = world_prng(w->world, 1000000 + (uint64_t)i);
        buf_init(&c->input, 64u * MIB);
    }
}

void workload_deinit(struct workload *w)
{
    for (unsigned i = 0; i <= w->options.clients; i++) {
        buf_deinit(&w->clients[i].input);
    }
    for (unsigned i = 0; i < w->key_count; i++) {
        mem_free(w->keys[i].operations);
        mem_free(w->keys[i].is_void);
    }
    mem_free(w->clients);
    *w = (struct workload){0};
}

void workload_start(struct workload *w)
{
    for (unsigned i = 0; i < w->options.clients; i++) {
        w->clients[i].is_active = true;
        act_later(&w->clients[i], w->options.think_us_max);
    }
}

void workload_expect_answers(struct workload *w)
{
    w->options.timeout_us = 0;
}

void workload_drain(struct workload *w)
{
    w->is_draining = true;
}

void workload_read_all(struct workload *w)
{
    struct workload_client *reader = &w->clients[w->options.clients];
    ensure(!reader->is_active);
    reader->is_active = true;
    client_act(reader);
}

bool workload_is_idle(const struct workload *w)
{
    for (unsigned i = 0; i <= w->options.clients; i++) {
        if (w->clients[i].is_active) {
            return false;
        }
    }
    return true;
}

/* ---- judging --------------------------------------------------------------------------------- */

static void drop_void(struct workload_key *key)
{
    size_t kept = 0;
    for (size_t i = 0; i < key->count; i++) {
        if (!key->is_void[i]) {
            key->is_void[kept] = false;
            key->operations[kept++] = key->operations[i];
        }
    }
    key->count = kept;
}

static void check_linear(struct workload *w, struct workload_key *key, struct buf *out_report)
{
    size_t at = out_report->size;
    buf_printf(out_report, "%s, %zu operations:\n", key->name, key->count);
    struct linear_result r = linear_check(key->operations, key->count, CHECK_BUDGET, out_report);
    if (r.verdict == LINEAR_OK) {
        out_report->size = at;
        return;
    }
    w->undecided += r.verdict == LINEAR_BUDGET ? 1 : 0;
    world_fail(w->world,
               "%s is %s",
               key->name,
               r.verdict == LINEAR_BUDGET ? "undecided: the check ran out of its budget"
                                          : "not linearizable");
}

/* When the value was surely there: its SET returned, or somebody saw it before. */
static uint64_t established_us(const struct workload_key *key,
                               struct linear_value value,
                               uint64_t before_us)
{
    uint64_t at_us = UINT64_MAX;
    for (size_t i = 0; i < key->count; i++) {
        const struct linear_operation *op = &key->operations[i];
        bool is_it = linear_value_equal(op->kind == LINEAR_SET ? op->argument : op->value, value);
        if (is_it && op->return_us < before_us && op->return_us < at_us) {
            at_us = op->return_us;
        }
    }
    return at_us;
}

/* A value that was there and then was not must not come back: each is set only once. */
static void check_expiring(struct workload *w, const struct workload_key *key)
{
    for (size_t i = 0; i < key->count; i++) {
        const struct linear_operation *seen = &key->operations[i];
        if (seen->kind != LINEAR_GET || seen->return_us == LINEAR_UNKNOWN ||
            seen->value.type == LINEAR_ABSENT) {
            continue;
        }
        uint64_t since_us = established_us(key, seen->value, seen->call_us);
        for (size_t j = 0; j < i; j++) {
            const struct linear_operation *gone = &key->operations[j];
            if (gone->kind == LINEAR_GET && gone->call_us > since_us &&
                gone->return_us < seen->call_us && !linear_value_equal(gone->value, seen->value)) {
                world_fail(w->world,
                           "%s: value %" PRId64 " was gone at %" PRIu64 " and back at %" PRIu64,
                           key->name,
                           seen->value.number,
                           gone->return_us,
                           seen->return_us);
                return;
            }
        }
    }
}

/* The last read of all comes long after every time to live. */
static void check_expired(struct workload *w, const struct workload_key *key)
{
    if (key->count == 0) {
        return;
    }
    const struct linear_operation *last = &key->operations[key->count - 1];
    if (last->kind == LINEAR_GET && last->return_us != LINEAR_UNKNOWN &&
        last->value.type != LINEAR_ABSENT) {
        world_fail(w->world, "%s: value %" PRId64 " never expired", key->name, last->value.number);
    }
}

void workload_check(struct workload *w, struct buf *out_report)
{
    for (unsigned i = 0; i < w->key_count; i++) {
        struct workload_key *key = &w->keys[i];
        drop_void(key);
        if (key->is_expiring) {
            check_expiring(w, key);
            check_expired(w, key);
        } else {
            check_linear(w, key, out_report);
        }
    }
}
