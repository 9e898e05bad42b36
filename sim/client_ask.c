/* What clients ask for. */
#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "sim/client.h"
#include "sim/values.h"

#define HOT_OPERATIONS_MAX 120u /* of a key, before the next one is hot */
#define LONG_PX_MS 1000000000u
#define SHORT_PX_MS_MAX 1500u
#define ORDER_ROUNDS_BATCH 3

static struct pending *expect(struct workload_client *c, enum pending_kind kind)
{
    ensure(c->pending_count < CLIENT_PENDING_MAX);
    struct pending *p = &c->pending[c->pending_count++];
    *p = (struct pending){.kind = kind};
    return p;
}

static void append_command(struct buf *out,
                           const struct history_key *key,
                           const struct linear_operation *op,
                           uint64_t px_ms)
{
    static const char *const names[] = {"GET", "SET", "SET", "DEL", "INCR", "EXISTS"};
    bool is_set = op->kind == LINEAR_SET || op->kind == LINEAR_SET_NX;
    unsigned words = is_set ? 3 : 2;
    words += op->kind == LINEAR_SET_NX ? 1 : 0;
    words += px_ms > 0 ? 2 : 0;
    buf_printf(out, "*%u\r\n", words);
    resp_put_text(out, names[op->kind]);
    resp_put_text(out, key->name);
    if (is_set) {
        resp_put_value(out, op->argument);
    }
    if (op->kind == LINEAR_SET_NX) {
        resp_put_text(out, "NX");
    }
    if (px_ms > 0) {
        char digits[24];
        (void)snprintf(digits, sizeof digits, "%" PRIu64, px_ms);
        resp_put_text(out, "PX");
        resp_put_text(out, digits);
    }
}

/* Into the history and what is expected. */
static const struct linear_operation *remember(struct workload_client *c,
                                               struct pending *p,
                                               uint32_t key_index,
                                               enum linear_kind kind)
{
    struct workload *w = c->workload;
    struct history_key *key = &w->history.keys[key_index];
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
                    enum linear_kind kind,
                    uint64_t px_ms)
{
    const struct linear_operation *op = remember(c, expect(c, PENDING_KEY), key, kind);
    append_command(out, &c->workload->history.keys[key], op, px_ms);
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
        (void)remember(c, p, key, is_mget ? LINEAR_GET : LINEAR_EXISTS);
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
        enum linear_kind kind = random_kind(&c->prng, w->history.keys[key].is_expiring);
        uint64_t px_ms = 0;
        if (kind == LINEAR_SET && w->history.keys[key].is_expiring) {
            px_ms = prng_between(&c->prng, 20, SHORT_PX_MS_MAX);
        } else if (kind == LINEAR_SET && prng_chance(&c->prng, 100)) {
            px_ms = LONG_PX_MS;
        }
        ask_key(c, out, key, kind, px_ms);
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
            ask_key(c, out, key, LINEAR_GET, 0);
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
