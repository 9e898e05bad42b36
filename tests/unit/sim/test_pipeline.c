/* Does the judge of deep pipelines see what is wrong? A naive server of one connection answers. */
#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/limits.h"
#include "harness.h"
#include "sim/pipeline.h"
#include "sim/values.h"

#define BATCH 200u
#define ROUNDS 40u

struct server {
    struct linear_value values[PIPELINE_KEYS];
};

static bool is_there(const struct server *s, unsigned key)
{
    return s->values[key].type != LINEAR_ABSENT;
}

static void put_value(struct buf *out, struct linear_value v)
{
    if (v.type == LINEAR_ABSENT) {
        buf_append_text(out, "$-1\r\n");
    } else {
        resp_put_value(out, v);
    }
}

static unsigned count_there(const struct server *s)
{
    unsigned count = 0;
    for (unsigned i = 0; i < PIPELINE_KEYS; i++) {
        count += is_there(s, i) ? 1 : 0;
    }
    return count;
}

static void put_keys(const struct pipeline *p, const struct server *s, struct buf *out)
{
    buf_printf(out, "*%u\r\n", count_there(s));
    for (unsigned i = PIPELINE_KEYS; i-- > 0;) {
        char name[32];
        (void)snprintf(name, sizeof name, "p%u:%u:%u", p->client, p->generation, i);
        if (is_there(s, i)) {
            resp_put_text(out, name);
        }
    }
}

static void answer(const struct pipeline *p,
                   struct server *s,
                   const struct pipeline_command *c,
                   struct buf *out)
{
    struct linear_value *value = &s->values[c->keys[0]];
    unsigned found = 0;
    for (unsigned i = 0; i < c->key_count; i++) {
        found += is_there(s, c->keys[i]) ? 1 : 0;
    }
    switch (c->kind) {
    case PIPELINE_GET:
        put_value(out, *value);
        return;
    case PIPELINE_SET:
        *value = c->value;
        buf_append_text(out, "+OK\r\n");
        return;
    case PIPELINE_MSET:
        for (unsigned i = 0; i < c->key_count; i++) {
            s->values[c->keys[i]] = c->value;
        }
        buf_append_text(out, "+OK\r\n");
        return;
    case PIPELINE_DEL:
        for (unsigned i = 0; i < c->key_count; i++) {
            s->values[c->keys[i]].type = LINEAR_ABSENT;
        }
        buf_printf(out, ":%u\r\n", found);
        return;
    case PIPELINE_INCR:
        value->number = found > 0 ? value->number + 1 : 1;
        value->type = LINEAR_INTEGER;
        buf_printf(out, ":%" PRId64 "\r\n", value->number);
        return;
    case PIPELINE_MGET:
        buf_printf(out, "*%u\r\n", c->key_count);
        for (unsigned i = 0; i < c->key_count; i++) {
            put_value(out, s->values[c->keys[i]]);
        }
        return;
    case PIPELINE_EXISTS:
        buf_printf(out, ":%u\r\n", found);
        return;
    case PIPELINE_ECHO:
        resp_put_value(out, c->value);
        return;
    case PIPELINE_DBSIZE:
        /* In the first database others have keys, too. */
        buf_printf(out, ":%u\r\n", count_there(s) + (p->database == 0 ? 7 : 0));
        return;
    case PIPELINE_SCAN:
        buf_append_text(out, "*2\r\n$1\r\n0\r\n*1\r\n$1\r\nx\r\n");
        return;
    case PIPELINE_KEYS_OWN:
        put_keys(p, s, out);
        return;
    case PIPELINE_RANDOMKEY:
        buf_append_text(out, count_there(s) > 0 ? "$1\r\nx\r\n" : "$-1\r\n");
        return;
    case PIPELINE_FLUSH:
        *s = (struct server){0};
        buf_append_text(out, "+OK\r\n");
        return;
    case PIPELINE_SELECT:
        buf_append_text(out, "+OK\r\n");
        return;
    }
}

struct talk {
    struct pipeline pipeline;
    struct server server;
    struct prng prng;
    int64_t value;
    struct buf out;
};

static void start(struct talk *t)
{
    *t = (struct talk){.value = 1};
    prng_init(&t->prng, 42);
    pipeline_init(&t->pipeline, 3, false);
    buf_init(&t->out, SIZE_MAX / 2);
}

static void ask(struct talk *t, size_t count)
{
    buf_clear(&t->out, SIZE_MAX);
    pipeline_ask(&t->pipeline, &t->prng, count, &t->value, &t->out);
}

static struct pipeline_command next(const struct talk *t)
{
    return *pipeline_next(&t->pipeline);
}

static bool tell(struct talk *t, const struct buf *reply)
{
    struct bytes rest = buf_bytes(reply);
    struct resp_value v;
    enum status s = resp_value_read(&rest, &v);
    ensure(s == STATUS_OK);
    return pipeline_told(&t->pipeline, &v, rest);
}

/* What the server says to the next command. */
static void serve(struct talk *t, struct buf *reply)
{
    struct pipeline_command c = next(t);
    buf_clear(reply, SIZE_MAX);
    answer(&t->pipeline, &t->server, &c, reply);
}

TEST(right_replies_are_right)
{
    static struct talk t;
    struct buf reply;
    unsigned seen[PIPELINE_RANDOMKEY + 1] = {0};
    start(&t);
    buf_init(&reply, SIZE_MAX / 2);
    for (unsigned round = 0; round < ROUNDS; round++) {
        ask(&t, BATCH);
        CHECK_EQ(t.pipeline.pending_count, BATCH);
        while (t.pipeline.pending_count > 0) {
            seen[next(&t).kind]++;
            serve(&t, &reply);
            CHECK(tell(&t, &reply));
        }
    }
    for (unsigned i = 0; i <= PIPELINE_RANDOMKEY; i++) {
        CHECK(seen[i] > 10);
    }
    buf_deinit(&reply);
    buf_deinit(&t.out);
}

/* Two neighbours change places: wherever their replies differ, one of them is found out. */
TEST(swapped_replies_are_found)
{
    static struct talk t;
    static struct pipeline before;
    struct buf first;
    struct buf second;
    unsigned swapped = 0;
    unsigned found = 0;
    start(&t);
    buf_init(&first, SIZE_MAX / 2);
    buf_init(&second, SIZE_MAX / 2);
    for (unsigned round = 0; round < ROUNDS; round++) {
        ask(&t, BATCH);
        while (t.pipeline.pending_count > 1) {
            before = t.pipeline;
            serve(&t, &first);
            CHECK(tell(&t, &first));
            serve(&t, &second);
            CHECK(tell(&t, &second));
            if (bytes_equal(buf_bytes(&first), buf_bytes(&second))) {
                continue;
            }
            struct pipeline after = t.pipeline;
            t.pipeline = before;
            bool is_good = tell(&t, &second);
            is_good = tell(&t, &first) && is_good;
            t.pipeline = after;
            swapped++;
            found += is_good ? 0 : 1;
        }
        while (t.pipeline.pending_count > 0) {
            serve(&t, &first);
            CHECK(tell(&t, &first));
        }
    }
    CHECK(swapped > 1000);
    CHECK_EQ(found, swapped);
    buf_deinit(&first);
    buf_deinit(&second);
    buf_deinit(&t.out);
}

/* A refused write has no effect; one with an unknown outcome makes its key unsure, until fresh
 * ones. */
/* Who has databases flushes them, and knows how many keys there are. */
TEST(flushes_and_sizes)
{
    static struct talk t;
    struct buf reply;
    unsigned flushes = 0;
    unsigned sizes = 0;
    start(&t);
    pipeline_init(&t.pipeline, 3, true);
    buf_init(&reply, SIZE_MAX / 2);
    for (unsigned round = 0; round < ROUNDS; round++) {
        ask(&t, BATCH);
        CHECK_EQ(next(&t).kind == PIPELINE_SELECT, round == 0);
        while (t.pipeline.pending_count > 0) {
            struct pipeline_command c = next(&t);
            serve(&t, &reply);
            if (c.kind == PIPELINE_DBSIZE) {
                struct pipeline before = t.pipeline;
                sizes++;
                CHECK(tell(&t, &reply));
                t.pipeline = before;
                buf_clear(&reply, SIZE_MAX);
                buf_printf(&reply, ":%u\r\n", count_there(&t.server) + 1);
                CHECK(!tell(&t, &reply)); /* one more than there are */
                continue;
            }
            flushes += c.kind == PIPELINE_FLUSH ? 1 : 0;
            CHECK(tell(&t, &reply));
        }
    }
    CHECK(flushes > 20);
    CHECK(sizes > 20);
    buf_deinit(&reply);
    buf_deinit(&t.out);
}

/* Each database once: what was not answered may still come. */
TEST(no_database_twice)
{
    struct pipeline p;
    pipeline_init(&p, 3, true);
    for (unsigned i = 1; i < 3 * LIMIT_DATABASES; i++) {
        CHECK_EQ(p.database, i < LIMIT_DATABASES ? i : 0u);
        CHECK(p.is_unselected);
        pipeline_refresh(&p);
    }
}

/* A flush that one group refused may have emptied another one. */
TEST(refused_flush_leaves_all_unsure)
{
    static struct talk t;
    struct buf reply;
    start(&t);
    pipeline_init(&t.pipeline, 3, true);
    buf_init(&reply, SIZE_MAX / 2);
    for (ask(&t, BATCH); t.pipeline.pending_count > 0 && next(&t).kind != PIPELINE_FLUSH;) {
        serve(&t, &reply);
        CHECK(tell(&t, &reply));
        if (t.pipeline.pending_count == 0) {
            ask(&t, BATCH);
        }
    }
    CHECK(!pipeline_is_unsure(&t.pipeline));
    pipeline_not_told(&t.pipeline, true);
    for (unsigned i = 0; i < PIPELINE_KEYS; i++) {
        CHECK(t.pipeline.keys[i].is_unsure);
    }
    buf_deinit(&reply);
    buf_deinit(&t.out);
}

TEST(refused_and_unknown)
{
    static struct talk t;
    struct buf reply;
    start(&t);
    buf_init(&reply, SIZE_MAX / 2);
    ask(&t, BATCH);
    while (next(&t).kind != PIPELINE_SET) {
        serve(&t, &reply);
        CHECK(tell(&t, &reply));
    }
    unsigned key = next(&t).keys[0];
    struct linear_value value = t.pipeline.keys[key].value;
    pipeline_not_told(&t.pipeline, true);
    CHECK(linear_value_equal(t.pipeline.keys[key].value, value));
    CHECK(!pipeline_is_unsure(&t.pipeline));
    while (next(&t).kind != PIPELINE_INCR) {
        serve(&t, &reply);
        CHECK(tell(&t, &reply));
    }
    pipeline_not_told(&t.pipeline, false);
    CHECK(pipeline_is_unsure(&t.pipeline));
    pipeline_refresh(&t.pipeline);
    CHECK(!pipeline_is_unsure(&t.pipeline));
    CHECK_EQ(t.pipeline.pending_count, 0u);
    CHECK_EQ(t.pipeline.generation, 1u);
    buf_deinit(&reply);
    buf_deinit(&t.out);
}
