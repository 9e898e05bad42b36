#include "sim/pipeline.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "command/scan.h"
#include "sim/values.h"

#define NAME_BYTES 32
/* Counters begin far from each other and from everything that is counted. */
#define COUNTER_STEP 1000000
#define DBSIZE_MAX 1000000
#define LIKE_THE_LAST_PER_MILLE 500u
#define FLUSH_PER_MILLE 15u

/* Also when the number stays: a new connection begins at the first. */
static void pick_database(struct pipeline *p)
{
    unsigned next = p->generation + 1;
    p->database = p->has_databases && next < LIMIT_DATABASES ? next : 0;
    p->is_unselected = p->has_databases;
}

void pipeline_init(struct pipeline *p, unsigned client, bool has_databases)
{
    *p = (struct pipeline){.client = client, .has_databases = has_databases};
    pick_database(p);
}

void pipeline_refresh(struct pipeline *p)
{
    p->generation++;
    memset(p->keys, 0, sizeof p->keys);
    p->pending_first = 0;
    p->pending_count = 0;
    pick_database(p);
}

/* ---- asking ---------------------------------------------------------------------------------- */

static bool is_counter(unsigned key)
{
    return key % 2 == 0;
}

static void print_name(const struct pipeline *p, unsigned key, char out_name[NAME_BYTES])
{
    (void)snprintf(out_name, NAME_BYTES, "p%u:%u:%u", p->client, p->generation, key);
}

static enum pipeline_kind random_kind(struct prng *prng)
{
    static const struct {
        enum pipeline_kind kind;
        unsigned per_cent;
    } weights[] = {
        {PIPELINE_GET, 29},
        {PIPELINE_SET, 20},
        {PIPELINE_MSET, 4},
        {PIPELINE_INCR, 14},
        {PIPELINE_MGET, 10},
        {PIPELINE_DEL, 7},
        {PIPELINE_EXISTS, 5},
        {PIPELINE_ECHO, 5},
        {PIPELINE_DBSIZE, 2},
        {PIPELINE_SCAN, 1},
        {PIPELINE_RANDOMKEY, 1},
        {PIPELINE_KEYS_OWN, 2},
    };
    unsigned at = (unsigned)prng_below(prng, 100);
    size_t i = 0;
    for (; at >= weights[i].per_cent; i++) {
        at -= weights[i].per_cent;
    }
    return weights[i].kind;
}

static struct pipeline_command random_command(struct prng *prng)
{
    struct pipeline_command c = {.kind = random_kind(prng)};
    unsigned first = (unsigned)prng_below(prng, PIPELINE_KEYS);
    switch (c.kind) {
    case PIPELINE_GET:
    case PIPELINE_SET:
        c.key_count = 1;
        break;
    case PIPELINE_MSET:
        c.key_count = (unsigned)prng_between(prng, 2, 4);
        break;
    case PIPELINE_DEL:
        c.key_count = prng_chance(prng, 700) ? 1 : 3;
        break;
    case PIPELINE_INCR:
        c.key_count = 1;
        first -= is_counter(first) ? 0 : 1;
        break;
    case PIPELINE_MGET:
    case PIPELINE_EXISTS:
        c.key_count = (unsigned)prng_between(prng, 1, PIPELINE_COMMAND_KEYS_MAX);
        break;
    case PIPELINE_ECHO:
    case PIPELINE_DBSIZE:
    case PIPELINE_SCAN:
    case PIPELINE_KEYS_OWN:
    case PIPELINE_RANDOMKEY:
    case PIPELINE_SELECT:
    case PIPELINE_FLUSH:
        break;
    }
    for (unsigned i = 0; i < c.key_count; i++) {
        c.keys[i] = (first + i) % PIPELINE_KEYS;
    }
    return c;
}

/* Every value is another one. */
static void give_value(struct pipeline_command *c, int64_t *inout_value)
{
    bool is_set = c->kind == PIPELINE_SET && is_counter(c->keys[0]);
    bool is_number = is_set || c->kind == PIPELINE_MSET; /* a counter may be among them */
    int64_t number = (*inout_value)++;
    c->value.type = is_number ? LINEAR_INTEGER : LINEAR_TEXT;
    c->value.number = is_number ? number * COUNTER_STEP : number;
}

static const char *const names[] = {
    "GET",
    "SET",
    "MSET",
    "DEL",
    "INCR",
    "MGET",
    "EXISTS",
    "ECHO",
    "DBSIZE",
    "SCAN",
    "KEYS",
    "RANDOMKEY",
    "SELECT",
    "FLUSHDB",
};

static void put_command(const struct pipeline *p, const struct pipeline_command *c, struct buf *out)
{
    char name[NAME_BYTES];
    bool has_value = c->kind == PIPELINE_SET || c->kind == PIPELINE_ECHO;
    bool is_mset = c->kind == PIPELINE_MSET;
    bool has_word =
        c->kind == PIPELINE_SCAN || c->kind == PIPELINE_KEYS_OWN || c->kind == PIPELINE_SELECT;
    unsigned words = c->key_count * (is_mset ? 2 : 1) + (has_value || has_word ? 1 : 0);
    buf_printf(out, "*%u\r\n", 1 + words);
    resp_put_text(out, names[c->kind]);
    for (unsigned i = 0; i < c->key_count; i++) {
        print_name(p, c->keys[i], name);
        resp_put_text(out, name);
        if (is_mset) {
            resp_put_value(out, c->value);
        }
    }
    if (has_value) {
        resp_put_value(out, c->value);
    } else if (c->kind == PIPELINE_KEYS_OWN) {
        (void)snprintf(name, sizeof name, "p%u:%u:*", p->client, p->generation);
        resp_put_text(out, name);
    } else if (c->kind == PIPELINE_SELECT) {
        (void)snprintf(name, sizeof name, "%u", p->database);
        resp_put_text(out, name);
    } else if (has_word) {
        resp_put_text(out, "0");
    }
}

static struct pipeline_command next_command(struct pipeline *p, struct prng *prng)
{
    if (p->is_unselected) {
        p->is_unselected = false;
        return (struct pipeline_command){.kind = PIPELINE_SELECT};
    }
    if (p->database > 0 && prng_chance(prng, FLUSH_PER_MILLE)) {
        return (struct pipeline_command){.kind = PIPELINE_FLUSH};
    }
    bool is_alike = prng_chance(prng, LIKE_THE_LAST_PER_MILLE) && p->last.key_count > 0;
    return is_alike ? p->last : random_command(prng);
}

void pipeline_ask(struct pipeline *p,
                  struct prng *prng,
                  size_t count,
                  int64_t *inout_value,
                  struct buf *out)
{
    for (size_t i = 0; i < count && p->pending_count < PIPELINE_PENDING_MAX; i++) {
        struct pipeline_command c = next_command(p, prng);
        p->last = c;
        if (c.kind == PIPELINE_SET || c.kind == PIPELINE_MSET || c.kind == PIPELINE_ECHO) {
            give_value(&c, inout_value);
        }
        put_command(p, &c, out);
        p->pending[(p->pending_first + p->pending_count) % PIPELINE_PENDING_MAX] = c;
        p->pending_count++;
    }
}

/* ---- replies --------------------------------------------------------------------------------- */

static bool is_there(const struct pipeline_key *key)
{
    return key->value.type != LINEAR_ABSENT;
}

static bool is_value(const struct pipeline_key *key, const struct resp_value *v)
{
    struct linear_value told = {.type = LINEAR_ABSENT};
    if (!resp_value_is_null(v) && (v->type != RESP_TYPE_BULK || !value_parse(v->text, &told))) {
        return false;
    }
    return key->is_unsure || linear_value_equal(told, key->value);
}

static bool is_integer(const struct resp_value *v, int64_t low, int64_t high)
{
    return v->type == RESP_TYPE_INTEGER && v->integer >= low && v->integer <= high;
}

/* How many of the keys are there: at least, and at most. */
static bool is_count(const struct pipeline *p,
                     const struct pipeline_command *c,
                     const struct resp_value *v)
{
    int64_t low = 0;
    int64_t high = 0;
    for (unsigned i = 0; i < c->key_count; i++) {
        const struct pipeline_key *key = &p->keys[c->keys[i]];
        low += !key->is_unsure && is_there(key) ? 1 : 0;
        high += key->is_unsure || is_there(key) ? 1 : 0;
    }
    return is_integer(v, low, high);
}

/* Keys of this generation that are there for sure. */
static int64_t count_sure(const struct pipeline *p)
{
    int64_t count = 0;
    for (unsigned i = 0; i < PIPELINE_KEYS; i++) {
        count += !p->keys[i].is_unsure && is_there(&p->keys[i]) ? 1 : 0;
    }
    return count;
}

static int64_t count_most(const struct pipeline *p)
{
    int64_t count = 0;
    for (unsigned i = 0; i < PIPELINE_KEYS; i++) {
        count += p->keys[i].is_unsure || is_there(&p->keys[i]) ? 1 : 0;
    }
    return count;
}

/* What is unsure stays so: the write of before may still come. */
static void lose_all(struct pipeline *p)
{
    for (unsigned i = 0; i < PIPELINE_KEYS; i++) {
        p->keys[i].value = (struct linear_value){.type = LINEAR_ABSENT};
    }
}

static bool told_values(const struct pipeline *p,
                        const struct pipeline_command *c,
                        const struct resp_value *v,
                        struct bytes items)
{
    bool is_good = v->type == RESP_TYPE_ARRAY && v->count == (int64_t)c->key_count;
    for (unsigned i = 0; is_good && i < c->key_count; i++) {
        struct resp_value item;
        is_good =
            resp_value_read(&items, &item) == STATUS_OK && is_value(&p->keys[c->keys[i]], &item);
    }
    return is_good;
}

/* Exactly the keys that are there, each once. */
static bool told_keys(const struct pipeline *p, const struct resp_value *v, struct bytes items)
{
    bool is_found[PIPELINE_KEYS] = {false};
    if (v->type != RESP_TYPE_ARRAY) {
        return false;
    }
    for (int64_t i = 0; i < v->count; i++) {
        struct resp_value item;
        char name[NAME_BYTES];
        unsigned key = 0;
        if (resp_value_read(&items, &item) != STATUS_OK || item.type != RESP_TYPE_BULK) {
            return false;
        }
        for (; key < PIPELINE_KEYS; key++) {
            print_name(p, key, name);
            if (bytes_equal_text(item.text, name)) {
                break;
            }
        }
        if (key == PIPELINE_KEYS || is_found[key]) {
            return false;
        }
        is_found[key] = true;
    }
    for (unsigned i = 0; i < PIPELINE_KEYS; i++) {
        if (!p->keys[i].is_unsure && is_found[i] != is_there(&p->keys[i])) {
            return false;
        }
    }
    return true;
}

static bool told_page(const struct resp_value *v, struct bytes items)
{
    struct resp_value cursor;
    struct resp_value keys;
    uint64_t number = 0;
    return v->type == RESP_TYPE_ARRAY && v->count == 2 &&
           resp_value_read(&items, &cursor) == STATUS_OK && cursor.type == RESP_TYPE_BULK &&
           scan_cursor_read(cursor.text, &number) && resp_value_read(&items, &keys) == STATUS_OK &&
           keys.type == RESP_TYPE_ARRAY;
}

static bool told_incr(struct pipeline_key *key, const struct resp_value *v)
{
    int64_t before = is_there(key) ? key->value.number : 0;
    bool is_good = v->type == RESP_TYPE_INTEGER && (key->is_unsure || v->integer == before + 1);
    key->value = (struct linear_value){.type = LINEAR_INTEGER, .number = before + 1};
    return is_good;
}

static bool is_ok(const struct resp_value *v)
{
    return v->type == RESP_TYPE_SIMPLE && bytes_equal_text(v->text, "OK");
}

static struct pipeline_command take_next(struct pipeline *p)
{
    ensure(p->pending_count > 0);
    struct pipeline_command c = *pipeline_next(p);
    p->pending_first = (p->pending_first + 1) % PIPELINE_PENDING_MAX;
    p->pending_count--;
    return c;
}

static void set_all(struct pipeline *p, const struct pipeline_command *c, struct linear_value value)
{
    for (unsigned i = 0; i < c->key_count; i++) {
        p->keys[c->keys[i]].value = value;
    }
}

bool pipeline_told(struct pipeline *p, const struct resp_value *v, struct bytes items)
{
    struct pipeline_command c = take_next(p);
    struct pipeline_key *key = &p->keys[c.keys[0]];
    struct linear_value told;
    bool is_good = false;
    switch (c.kind) {
    case PIPELINE_GET:
        return is_value(key, v);
    case PIPELINE_SET:
        key->value = c.value;
        return is_ok(v);
    case PIPELINE_MSET:
        set_all(p, &c, c.value);
        return is_ok(v);
    case PIPELINE_DEL:
        is_good = is_count(p, &c, v);
        set_all(p, &c, (struct linear_value){.type = LINEAR_ABSENT});
        return is_good;
    case PIPELINE_INCR:
        return told_incr(key, v);
    case PIPELINE_MGET:
        return told_values(p, &c, v, items);
    case PIPELINE_EXISTS:
        return is_count(p, &c, v);
    case PIPELINE_ECHO:
        return v->type == RESP_TYPE_BULK && value_parse(v->text, &told) &&
               linear_value_equal(told, c.value);
    case PIPELINE_DBSIZE:
        return is_integer(v, count_sure(p), p->database > 0 ? count_most(p) : DBSIZE_MAX);
    case PIPELINE_SCAN:
        return told_page(v, items);
    case PIPELINE_KEYS_OWN:
        return told_keys(p, v, items);
    case PIPELINE_RANDOMKEY:
        return resp_value_is_null(v) ? count_sure(p) == 0 : v->type == RESP_TYPE_BULK;
    case PIPELINE_SELECT:
        return is_ok(v);
    case PIPELINE_FLUSH:
        lose_all(p);
        return is_ok(v);
    }
    return false;
}

bool pipeline_is_unsure(const struct pipeline *p)
{
    for (unsigned i = 0; i < PIPELINE_KEYS; i++) {
        if (p->keys[i].is_unsure) {
            return true;
        }
    }
    return false;
}

bool pipeline_is_write(const struct pipeline_command *c)
{
    return c->kind == PIPELINE_SET || c->kind == PIPELINE_MSET || c->kind == PIPELINE_DEL ||
           c->kind == PIPELINE_INCR || c->kind == PIPELINE_FLUSH;
}

bool pipeline_meets_any_key(const struct pipeline_command *c)
{
    return c->kind == PIPELINE_SCAN || c->kind == PIPELINE_KEYS_OWN ||
           c->kind == PIPELINE_RANDOMKEY;
}

void pipeline_not_told(struct pipeline *p, bool is_refused)
{
    struct pipeline_command c = take_next(p);
    for (unsigned i = 0; i < PIPELINE_KEYS && c.kind == PIPELINE_FLUSH; i++) {
        p->keys[i].is_unsure = true; /* refused by one group, it may have emptied another one */
    }
    for (unsigned i = 0; pipeline_is_write(&c) && i < c.key_count && !is_refused; i++) {
        p->keys[c.keys[i]].is_unsure = true;
    }
}

void pipeline_print(const struct pipeline *p, const struct pipeline_command *c, struct buf *out)
{
    buf_append_text(out, names[c->kind]);
    for (unsigned i = 0; i < c->key_count; i++) {
        char name[NAME_BYTES];
        print_name(p, c->keys[i], name);
        buf_printf(out, " %s (", name);
        linear_print_value(p->keys[c->keys[i]].value, out);
        buf_append_text(out, p->keys[c->keys[i]].is_unsure ? "?)" : ")");
    }
}
