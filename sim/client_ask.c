/* What clients ask for. */
#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "sim/client.h"
#include "sim/values.h"

#define HOT_OPERATIONS_MAX 120u /* of a key, before the next one is hot */
#define LONG_PX_MS 1000000000u
/* Of keys that expire: seen to end often, and seen to live often. */
#define SHORT_PX_MS_MIN 20u
#define SHORT_PX_MS_MAX 500u
#define SLOW_PX_MS_MIN 800u
#define SLOW_PX_MS_MAX 3000u
#define HOT_BRIEF_US (6 * SECOND_US)
#define ORDER_ROUNDS_BATCH 3

static struct pending *expect(struct workload_client *c, enum pending_kind kind)
{
    ensure(c->pending_count < CLIENT_PENDING_MAX);
    struct pending *p = &c->pending[c->pending_count++];
    *p = (struct pending){.kind = kind};
    return p;
}

/* The option of SET and GETEX, or the argument of PEXPIRE and PEXPIREAT. */
static void append_expiry(const struct workload *w,
                          struct buf *out,
                          const struct linear_operation *op)
{
    char digits[24];
    uint64_t ms = op->ttl_ms;
    if (op->is_absolute) {
        ms += w->options.wall_start_ms + op->call_us / MS_US;
    }
    (void)snprintf(digits, sizeof digits, "%" PRIu64, ms);
    if (op->kind != LINEAR_EXPIRE) {
        resp_put_text(out, op->is_absolute ? "PXAT" : "PX");
    }
    resp_put_text(out, digits);
}

static void append_command(const struct workload *w,
                           struct buf *out,
                           const struct history_key *key,
                           const struct linear_operation *op)
{
    static const char *const names[] =
        {"GET", "SET", "SET", "DEL", "INCR", "EXISTS", "PEXPIRE", "PERSIST", "GETEX"};
    bool is_set = op->kind == LINEAR_SET || op->kind == LINEAR_SET_NX;
    unsigned words = is_set ? 3 : 2;
    words += op->kind == LINEAR_SET_NX ? 1 : 0;
    words += op->ttl_ms == 0 ? 0 : op->kind == LINEAR_EXPIRE ? 1 : 2;
    buf_printf(out, "*%u\r\n", words);
    bool is_at = op->kind == LINEAR_EXPIRE && op->is_absolute;
    resp_put_text(out, is_at ? "PEXPIREAT" : names[op->kind]);
    resp_put_text(out, key->name);
    if (is_set) {
        resp_put_value(out, op->argument);
    }
    if (op->kind == LINEAR_SET_NX) {
        resp_put_text(out, "NX");
    }
    if (op->ttl_ms > 0) {
        append_expiry(w, out, op);
    }
}

/* Into the history and what is expected. */
static const struct linear_operation *remember(struct workload_client *c,
                                               struct pending *p,
                                               uint32_t key_index,
                                               struct linear_operation asked)
{
    struct workload *w = c->workload;
    struct history_key *key = &w->history.keys[key_index];
    struct linear_operation op = asked;
    op.session = c->session;
    op.call_us = w->world->now_us;
    op.return_us = LINEAR_UNKNOWN;
    if (op.kind == LINEAR_SET || op.kind == LINEAR_SET_NX) {
        bool is_integer = prng_chance(&c->prng, key->is_counter ? 800 : 50);
        int64_t number = w->value_next++;
        op.argument.type = is_integer ? LINEAR_INTEGER : LINEAR_TEXT;
        op.argument.number = is_integer ? number * 1000 : number;
    }
    size_t operation = history_add(key, &op);
    p->keys[p->key_count].key = key_index;
    p->keys[p->key_count].operation = operation;
    p->key_count++;

    struct buf text;
    buf_init(&text, VALUE_BYTES_MAX);
    linear_print(&op, &text);
    world_trace(w->world, "client %u asks %s %.*s", c->index, key->name, (int)text.size, text.data);
    buf_deinit(&text);
    return &key->operations[operation];
}

static void ask_key(struct workload_client *c,
                    struct buf *out,
                    uint32_t key,
                    struct linear_operation asked)
{
    struct workload *w = c->workload;
    const struct linear_operation *op = remember(c, expect(c, PENDING_KEY), key, asked);
    append_command(w, out, &w->history.keys[key], op);
}

static struct linear_operation random_operation(struct prng *p)
{
    uint64_t x = prng_below(p, 100);
    struct linear_operation op = {
        .kind = x < 33   ? LINEAR_GET
                : x < 58 ? LINEAR_SET
                : x < 66 ? LINEAR_SET_NX
                : x < 74 ? LINEAR_DEL
                : x < 92 ? LINEAR_INCR
                         : LINEAR_EXISTS,
    };
    if (op.kind == LINEAR_SET && prng_chance(p, 100)) {
        op.ttl_ms = LONG_PX_MS;
    }
    return op;
}

/* On a key that expires; seldom for ever. */
static struct linear_operation random_brief(struct prng *p, const struct history_key *key)
{
    uint64_t x = prng_below(p, 100);
    uint64_t short_ms = prng_between(p, SHORT_PX_MS_MIN, SHORT_PX_MS_MAX);
    uint64_t slow_ms = prng_between(p, SLOW_PX_MS_MIN, SLOW_PX_MS_MAX);
    bool is_absolute = prng_chance(p, 250);
    bool may_last = prng_chance(p, 50);
    struct linear_operation op = {
        .kind = x < 52   ? LINEAR_GET
                : x < 80 ? LINEAR_SET
                : x < 87 ? LINEAR_EXPIRE
                : x < 91 ? LINEAR_PERSIST
                : x < 97 ? LINEAR_GETEX
                         : LINEAR_DEL,
    };
    bool is_forever = op.kind == LINEAR_SET && may_last;
    bool has_expiry = op.kind == LINEAR_SET || op.kind == LINEAR_EXPIRE || op.kind == LINEAR_GETEX;
    if (has_expiry && !is_forever) {
        op.ttl_ms = key->is_slow ? slow_ms : short_ms;
        op.is_absolute = is_absolute;
    }
    return op;
}

/* Two of those that expire are hot, for a while: many look at them when their time comes. */
static uint32_t hot_brief(const struct workload *w, struct prng *p)
{
    uint64_t round = w->world->now_us / HOT_BRIEF_US + prng_below(p, 2);
    return w->options.keys + (uint32_t)(round % w->options.expiring_keys);
}

/*
 * Two keys are hot, for a while: one key's history must not collect so many unknown outcomes that
 * the check becomes hopeless.
 */
static uint32_t random_key(struct workload *w, struct prng *p)
{
    if (w->options.brief_per_mille > 0 && prng_chance(p, w->options.brief_per_mille)) {
        return hot_brief(w, p);
    }
    if (!prng_chance(p, 400)) {
        return (uint32_t)prng_below(p, w->history.key_count);
    }
    uint32_t place = (uint32_t)prng_below(p, 2);
    uint32_t key = (w->hot_key + place) % w->options.keys;
    if (w->history.keys[key].count > HOT_OPERATIONS_MAX * (1 + w->hot_rounds)) {
        w->hot_key = (w->hot_key + 1) % w->options.keys;
        w->hot_rounds += w->hot_key == 0 ? 1 : 0;
    }
    return key;
}

static void ask_echo(struct workload_client *c, struct buf *out)
{
    int64_t number = c->workload->value_next++;
    buf_append_text(out, "*2\r\n");
    resp_put_text(out, "ECHO");
    resp_put_value(out, (struct linear_value){.type = LINEAR_TEXT, .number = number});
    expect(c, PENDING_ECHO)->number = number;
}

/* Keys next to each other in the list, so none twice; in as many groups as there are. */
static void ask_many(struct workload_client *c, struct buf *out, bool is_mget)
{
    struct workload *w = c->workload;
    unsigned count = (unsigned)prng_between(&c->prng, 2, CLIENT_KEYS_MAX);
    uint32_t first = random_key(w, &c->prng);
    struct pending *p = expect(c, is_mget ? PENDING_MGET : PENDING_EXISTS);
    buf_printf(out, "*%u\r\n", count + 1);
    resp_put_text(out, is_mget ? "MGET" : "EXISTS");
    for (uint32_t i = 0; i < count; i++) {
        uint32_t limit = is_mget ? w->history.key_count : w->options.keys;
        uint32_t key = (first + i) % limit;
        struct linear_operation op = {.kind = is_mget ? LINEAR_GET : LINEAR_EXISTS};
        (void)remember(c, p, key, op);
        resp_put_text(out, w->history.keys[key].name);
    }
}

static void ask_random(struct workload_client *c, struct buf *out)
{
    struct workload *w = c->workload;
    uint64_t x = prng_below(&c->prng, 1000);
    if (x < 20) {
        ask_echo(c, out);
    } else if (x < 100) {
        ask_many(c, out, x < 75);
    } else {
        uint32_t key = random_key(w, &c->prng);
        const struct history_key *asked = &w->history.keys[key];
        ask_key(c,
                out,
                key,
                asked->is_expiring ? random_brief(&c->prng, asked) : random_operation(&c->prng));
    }
}

static void ask_order_writes(struct workload_client *c, struct buf *out)
{
    struct order *order = &c->workload->order;
    uint64_t rounds = prng_between(&c->prng, 1, ORDER_ROUNDS_BATCH);
    for (uint64_t i = 0; i < rounds; i++) {
        int64_t round = 0;
        if (!order_put_write(order, out, &round)) {
            if (i == 0) {
                order_next_pair(order);
                i--;
                continue;
            }
            return;
        }
        struct pending *data = expect(c, PENDING_SET_DATA);
        data->number = round;
        data->pair = order_current(order);
        expect(c, PENDING_SET_FLAG)->pair = order_current(order);
    }
}

static void ask_order_reads(struct workload_client *c, struct buf *out)
{
    const struct order *order = &c->workload->order;
    order_put_read(order, out);
    expect(c, PENDING_GET_FLAG)->pair = order_current(order);
    expect(c, PENDING_GET_DATA)->pair = order_current(order);
}

static void ask_pipeline(struct workload_client *c, struct buf *out)
{
    struct workload *w = c->workload;
    size_t count = (size_t)prng_between(&c->prng, 1, PIPELINE_PENDING_MAX);
    pipeline_ask(c->pipeline, &c->prng, count, &w->value_next, out);
    world_trace(w->world,
                "client %u pipelines, %zu are under way",
                c->index,
                c->pipeline->pending_count);
    c->pending_count = c->pipeline->pending_count;
}

void client_ask(struct workload_client *c, struct buf *out)
{
    struct workload *w = c->workload;
    if (c->role == CLIENT_PIPELINER) {
        ask_pipeline(c, out);
        return;
    }
    size_t room = CLIENT_PENDING_MAX - c->pending_count;
    uint64_t limit = prng_between(&c->prng, 1, w->options.pipeline_max);
    if (limit > room || room < 2 * ORDER_ROUNDS_BATCH) {
        return;
    }
    switch (c->role) {
    case CLIENT_ORDER_WRITER:
        ask_order_writes(c, out);
        return;
    case CLIENT_ORDER_READER:
        ask_order_reads(c, out);
        return;
    case CLIENT_FINAL_READER:
        for (uint32_t key = 0; key < w->history.key_count; key++) {
            ask_key(c, out, key, (struct linear_operation){.kind = LINEAR_GET});
        }
        return;
    case CLIENT_PIPELINER:
        break; /* above */
    case CLIENT_ORDINARY:
        for (uint64_t i = 0; i < limit; i++) {
            ask_random(c, out);
        }
        return;
    }
}
