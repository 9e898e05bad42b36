/* What clients of transactions ask for. */
#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "data/slot.h"
#include "sim/dealer.h"
#include "sim/values.h"

#define LIST_TAGS_MAX 120u /* in a list, before a new one takes its place */
#define COMMANDS_MAX 5u
#define WORDS_MAX 24u
#define BRIEF_KEYS 3u
#define BRIEF_PX_MS_MAX 30u
#define TRIO 3u
#define AMOUNT_MAX 100u
#define FINAL_LISTS 12u    /* read by one command */
#define EXPIRE_PX_MS "300" /* of a key that is there when it is watched ... */
#define WATCH_US_MAX (150 * MS_US)
#define EXPIRE_US                                                                                  \
    (900 * MS_US) /* ... and not any more so much later, by any clock that is right                \
                   */

/* ---- commands -------------------------------------------------------------------------------- */

struct words {
    unsigned count;
    char text[WORDS_MAX][DEALER_NAME_BYTES];
};

static struct item *expect(struct items *items, enum item_kind kind)
{
    ensure(items->count < DEALER_ITEMS_MAX);
    struct item *item = &items->items[items->count++];
    *item = (struct item){.kind = kind, .deal = DEALER_NO_DEAL, .count = 1};
    return item;
}

static void add(struct words *w, const char *text)
{
    ensure(w->count < WORDS_MAX);
    (void)snprintf(w->text[w->count++], DEALER_NAME_BYTES, "%s", text);
}

static void add_number(struct words *w, int64_t number)
{
    ensure(w->count < WORDS_MAX);
    (void)snprintf(w->text[w->count++], DEALER_NAME_BYTES, "%" PRId64, number);
}

/* A key of ours; remembers its group. */
static void add_key(struct dealer *c, struct words *w, const char *prefix, unsigned number)
{
    ensure(w->count < WORDS_MAX);
    char *name = w->text[w->count++];
    (void)snprintf(name, DEALER_NAME_BYTES, "%s%u", prefix, number);
    uint32_t groups = c->deals->options.groups;
    uint32_t group = 1 + (uint32_t)slot_of_key(bytes_of_text(name)) * groups / SLOT_COUNT;
    for (unsigned i = 0; i < c->group_count; i++) {
        if (c->groups[i] == group) {
            return;
        }
    }
    if (c->group_count < DEALS_GROUPS_MAX) {
        c->groups[c->group_count++] = group;
    }
}

static void put(struct dealer *c, struct buf *out, const struct words *w)
{
    struct buf line;
    buf_init(&line, KIB);
    buf_printf(out, "*%u\r\n", w->count);
    for (unsigned i = 0; i < w->count; i++) {
        resp_put_text(out, w->text[i]);
        buf_printf(&line, " %s", w->text[i]);
    }
    world_trace(c->deals->world,
                "dealer %u asks%.*s",
                c->index,
                (int)line.size,
                (const char *)line.data);
    buf_deinit(&line);
}

static void put_text(struct dealer *c, struct buf *out, const char *text)
{
    struct words w = {0};
    add(&w, text);
    put(c, out, &w);
}

static void ask_ok(struct dealer *c, struct buf *out, const char *text)
{
    put_text(c, out, text);
    (void)expect(&c->direct, ITEM_OK);
}

/* ---- lists ----------------------------------------------------------------------------------- */

static uint32_t pick_list(struct dealer *c)
{
    struct deals *d = c->deals;
    unsigned slot = (unsigned)prng_below(&c->prng, d->options.lists);
    if (d->history.keys[d->lists[slot]].count >= LIST_TAGS_MAX) {
        d->lists[slot] = append_add_key(&d->history);
    }
    return d->lists[slot];
}

static void add_tag(const struct dealer *c, struct words *w, size_t step)
{
    ensure(w->count < WORDS_MAX);
    uint32_t tag = c->deals->history.steps[step].tag;
    (void)snprintf(w->text[w->count++], DEALER_NAME_BYTES, "%06" PRIx32 ";", tag);
}

static uint32_t begin(struct dealer *c)
{
    return append_begin(&c->deals->history, c->index, c->deals->world->now_us);
}

/* APPEND to the list, or GET of it; its reply is awaited among these. */
static void put_step(struct dealer *c,
                     struct buf *out,
                     struct items *items,
                     bool is_write,
                     uint32_t list)
{
    struct append_history *h = &c->deals->history;
    struct words w = {0};
    struct item *item = expect(items, is_write ? ITEM_APPEND : ITEM_GET);
    item->step = append_step(h, is_write ? APPEND_WRITE : APPEND_READ, list);
    item->is_write = is_write;
    add(&w, is_write ? "APPEND" : "GET");
    add_key(c, &w, "list", list);
    if (is_write) {
        add_tag(c, &w, item->step);
    }
    put(c, out, &w);
}

static void put_mget(struct dealer *c,
                     struct buf *out,
                     struct items *items,
                     const uint32_t *lists,
                     unsigned count)
{
    struct words w = {0};
    struct item *item = expect(items, ITEM_MGET);
    item->count = count;
    item->is_write = true; /* it votes, after three looks in vain */
    add(&w, "MGET");
    for (unsigned i = 0; i < count; i++) {
        size_t step = append_step(&c->deals->history, APPEND_READ, lists[i]);
        item->step = i == 0 ? step : item->step;
        add_key(c, &w, "list", lists[i]);
    }
    put(c, out, &w);
}

/* A deal of its own. */
static void ask_step(struct dealer *c, struct buf *out, bool is_write, uint32_t list)
{
    uint32_t deal = begin(c);
    put_step(c, out, &c->direct, is_write, list);
    c->direct.items[c->direct.count - 1].deal = deal;
}

/* Another list for each, if there are so many. */
static unsigned pick_lists(struct dealer *c, uint32_t *out_lists, unsigned most)
{
    unsigned count = (unsigned)prng_between(&c->prng, 1, most);
    unsigned picked = 0;
    for (unsigned i = 0; i < count; i++) {
        uint32_t list = pick_list(c);
        bool is_new = true;
        for (unsigned k = 0; k < picked; k++) {
            is_new = is_new && out_lists[k] != list;
        }
        if (is_new) {
            out_lists[picked++] = list;
        }
    }
    return picked;
}

static void ask_mget(struct dealer *c, struct buf *out)
{
    uint32_t lists[DEALER_WATCHED_MAX];
    unsigned count = pick_lists(c, lists, DEALER_WATCHED_MAX);
    uint32_t deal = begin(c);
    put_mget(c, out, &c->direct, lists, count);
    c->direct.items[c->direct.count - 1].deal = deal;
}

/* ---- MULTI ----------------------------------------------------------------------------------- */

static void put_multi(struct dealer *c, struct buf *out, bool is_strict)
{
    struct words w = {0};
    add(&w, "MULTI");
    if (is_strict) {
        add(&w, "STRICT");
    }
    put(c, out, &w);
    (void)expect(&c->direct, ITEM_OK);
    c->inside = (struct items){0};
}

static void put_queued(struct dealer *c)
{
    (void)expect(&c->direct, ITEM_QUEUED);
}

/* Also one that only reads may need an entry: if it watches what is absent, or reads in vain. */
static void put_exec(struct dealer *c, struct buf *out, uint32_t deal)
{
    put_text(c, out, "EXEC");
    struct item *item = expect(&c->direct, ITEM_EXEC);
    item->deal = deal;
    item->is_write = true;
}

/* A command that cannot be executed, as the list is no number by then. */
static void put_error(struct dealer *c, struct buf *out, uint32_t list)
{
    put_step(c, out, &c->inside, true, list);
    put_queued(c);
    struct words w = {0};
    add(&w, "INCR");
    add_key(c, &w, "list", list);
    put(c, out, &w);
    (void)expect(&c->inside, ITEM_NO_INTEGER);
    put_queued(c);
}

/* A key that expires soon, set or read: locked, it may be due. */
static void put_brief(struct dealer *c, struct buf *out, struct items *items, bool is_set)
{
    struct words w = {0};
    add(&w, is_set ? "SET" : "GET");
    add_key(c, &w, "brief", (unsigned)prng_below(&c->prng, BRIEF_KEYS));
    if (is_set) {
        add(&w, "v");
        add(&w, "PX");
        add_number(&w, (int64_t)prng_between(&c->prng, 1, BRIEF_PX_MS_MAX));
    }
    put(c, out, &w);
    expect(items, is_set ? ITEM_OK : ITEM_BRIEF)->is_write = true; /* its end is one */
}

/* Commands on lists, mostly. */
static void put_commands(struct dealer *c, struct buf *out, bool may_write)
{
    unsigned count = (unsigned)prng_between(&c->prng, 1, COMMANDS_MAX);
    uint32_t lists[DEALER_WATCHED_MAX];
    unsigned list_count = pick_lists(c, lists, DEALER_WATCHED_MAX);
    ensure(list_count > 0);
    if (may_write && prng_chance(&c->prng, 150)) {
        put_brief(c, out, &c->inside, prng_chance(&c->prng, 500));
        put_queued(c);
    }
    for (unsigned i = 0; i < count; i++) {
        bool is_mget = prng_chance(&c->prng, 100);
        bool is_write = prng_chance(&c->prng, 600) && may_write && !is_mget;
        if (is_mget) {
            put_mget(c, out, &c->inside, lists, list_count);
        } else {
            put_step(c, out, &c->inside, is_write, lists[i % list_count]);
        }
        put_queued(c);
    }
}

/* has_error: of its commands one fails. */
static void ask_multi(struct dealer *c, struct buf *out, bool may_write, bool has_error)
{
    struct append_history *h = &c->deals->history;
    bool is_strict = c->kind == DEAL_STRICT;
    uint32_t deal = begin(c);
    h->deals[deal].watch_us = c->watched_count > 0 ? c->began_us : 0;
    for (unsigned i = 0; i < c->watched_count; i++) {
        size_t step = append_step(h, APPEND_WATCHED, c->watched[i]);
        append_told(h, step, c->lengths[i]);
    }
    c->may_change = c->watched_count > 0;
    c->must_fail = has_error && is_strict;
    put_multi(c, out, is_strict);
    put_commands(c, out, may_write);
    if (has_error) {
        put_error(c, out, pick_list(c));
    }
    put_exec(c, out, deal);
}

/* Queued, and then not executed. */
static void ask_discard(struct dealer *c, struct buf *out)
{
    uint32_t deal = begin(c);
    put_multi(c, out, false);
    put_commands(c, out, true);
    append_end(&c->deals->history, deal, APPEND_NEVER, 0);
    ask_ok(c, out, "DISCARD");
}

/* WATCH and GET; then MULTI with what was read. */
static void ask_watch(struct dealer *c, struct buf *out)
{
    if (c->round == 1) {
        ask_multi(c, out, true, prng_chance(&c->prng, 50));
        return;
    }
    struct words w = {0};
    c->watched_count = pick_lists(c, c->watched, 3);
    add(&w, "WATCH");
    for (unsigned i = 0; i < c->watched_count; i++) {
        add_key(c, &w, "list", c->watched[i]);
    }
    put(c, out, &w);
    (void)expect(&c->direct, ITEM_OK);
    for (unsigned i = 0; i < c->watched_count; i++) {
        ask_step(c, out, false, c->watched[i]);
    }
}

/* ---- watched keys that change ---------------------------------------------------------------- */

static void put_own(struct dealer *c, struct buf *out, const char *command, const char *px)
{
    struct words w = {0};
    add(&w, command);
    add_key(c, &w, "own", c->index);
    if (command[0] == 'S') {
        add(&w, "v");
    }
    if (px != NULL) {
        add(&w, "PX");
        add(&w, px);
    }
    put(c, out, &w);
    (void)expect(&c->direct, command[0] == 'D' ? ITEM_INTEGER : ITEM_OK);
    c->direct.items[c->direct.count - 1].is_write = true;
}

/* The same value again, or deleted, or both: a change all the same. */
static void ask_touch(struct dealer *c, struct buf *out)
{
    if (c->round == 1) {
        c->must_change = true;
        ask_multi(c, out, true, false);
        return;
    }
    uint64_t way = prng_below(&c->prng, 3);
    put_own(c, out, "SET", NULL);
    put_own(c, out, "WATCH", NULL);
    if (way != 0) {
        put_own(c, out, "DEL", NULL);
    }
    if (way != 1) {
        put_own(c, out, "SET", NULL);
    }
}

static void ask_expire(struct dealer *c, struct buf *out)
{
    if (c->round == 0) {
        put_own(c, out, "SET", EXPIRE_PX_MS);
        put_own(c, out, "WATCH", NULL);
        return;
    }
    const struct world *w = c->deals->world;
    c->must_change = w->clock_least_ms == 0 && w->clock_most_ms == 0;
    c->may_change = true;
    ask_multi(c, out, true, false);
    c->may_change = true;
}

/* ---- bank ------------------------------------------------------------------------------------ */

static void put_account(struct dealer *c,
                        struct buf *out,
                        const char *command,
                        unsigned account,
                        const int64_t *number)
{
    struct words w = {0};
    add(&w, command);
    add_key(c, &w, "bank", account);
    if (number != NULL) {
        add_number(&w, *number);
    }
    put(c, out, &w);
}

static void pick_accounts(struct dealer *c)
{
    unsigned count = c->deals->options.accounts;
    c->accounts[0] = (unsigned)prng_below(&c->prng, count);
    c->accounts[1] = (c->accounts[0] + 1 + (unsigned)prng_below(&c->prng, count - 1)) % count;
    c->told_count = 0;
}

static void ask_balances(struct dealer *c, struct buf *out)
{
    struct words w = {0};
    pick_accounts(c);
    add(&w, "WATCH");
    add_key(c, &w, "bank", c->accounts[0]);
    add_key(c, &w, "bank", c->accounts[1]);
    put(c, out, &w);
    (void)expect(&c->direct, ITEM_OK);
    for (unsigned i = 0; i < 2; i++) {
        put_account(c, out, "GET", c->accounts[i], NULL);
        (void)expect(&c->direct, ITEM_ACCOUNT);
    }
}

static void ask_transfer(struct dealer *c, struct buf *out)
{
    if (c->round == 0) {
        ask_balances(c, out);
        return;
    }
    int64_t amount = (int64_t)prng_between(&c->prng, 1, AMOUNT_MAX);
    const int64_t after[] = {c->balances[0] - amount, c->balances[1] + amount};
    uint32_t deal = begin(c);
    c->may_change = true;
    put_multi(c, out, prng_chance(&c->prng, 300));
    if (prng_chance(&c->prng, 500)) {
        struct words w = {0};
        add(&w, "MSET");
        for (unsigned i = 0; i < 2; i++) {
            add_key(c, &w, "bank", c->accounts[i]);
            add_number(&w, after[i]);
        }
        put(c, out, &w);
        (void)expect(&c->inside, ITEM_OK);
        put_queued(c);
    } else {
        for (unsigned i = 0; i < 2; i++) {
            put_account(c, out, "SET", c->accounts[i], &after[i]);
            (void)expect(&c->inside, ITEM_OK);
            put_queued(c);
        }
    }
    put_exec(c, out, deal);
}

static void ask_count(struct dealer *c, struct buf *out)
{
    int64_t amount = (int64_t)prng_between(&c->prng, 1, AMOUNT_MAX);
    pick_accounts(c);
    uint32_t deal = begin(c);
    put_multi(c, out, prng_chance(&c->prng, 300));
    for (unsigned i = 0; i < 2; i++) {
        put_account(c, out, i == 0 ? "DECRBY" : "INCRBY", c->accounts[i], &amount);
        (void)expect(&c->inside, ITEM_INTEGER);
        put_queued(c);
    }
    put_exec(c, out, deal);
}

/* A command on all keys of these names. */
static void put_all(struct dealer *c,
                    struct buf *out,
                    const char *command,
                    const char *prefix,
                    unsigned count)
{
    struct words w = {0};
    add(&w, command);
    for (unsigned i = 0; i < count; i++) {
        add_key(c, &w, prefix, i);
    }
    put(c, out, &w);
}

static void ask_sum(struct dealer *c, struct buf *out)
{
    unsigned count = c->deals->options.accounts;
    bool is_multi = prng_chance(&c->prng, 500);
    c->balances[0] = 0;
    c->told_count = 0;
    if (!is_multi) {
        put_all(c, out, "MGET", "bank", count);
        expect(&c->direct, ITEM_ACCOUNTS)->count = count;
        return;
    }
    uint32_t deal = begin(c);
    put_multi(c, out, false);
    put_all(c, out, "MGET", "bank", count);
    expect(&c->inside, ITEM_ACCOUNTS)->count = count;
    put_queued(c);
    put_exec(c, out, deal);
}

/* ---- places ---------------------------------------------------------------------------------- */

static void ask_first_token(struct dealer *c, struct buf *out)
{
    uint32_t deal = begin(c);
    c->may_change = true;
    put_multi(c, out, false);
    struct words w = {0};
    add(&w, "SET");
    add_key(c, &w, "place", 0);
    add(&w, "token");
    put(c, out, &w);
    (void)expect(&c->inside, ITEM_OK);
    put_queued(c);
    put_exec(c, out, deal);
}

static void put_move(struct dealer *c, struct buf *out, const char *command, unsigned to)
{
    struct words w = {0};
    add(&w, command);
    add_key(c, &w, "place", (unsigned)c->place);
    add_key(c, &w, "place", to);
    put(c, out, &w);
}

static void ask_move(struct dealer *c, struct buf *out)
{
    unsigned from = (unsigned)c->place;
    unsigned to = (from + 1 + (unsigned)prng_below(&c->prng, DEALS_PLACES - 1)) % DEALS_PLACES;
    if (prng_chance(&c->prng, 600)) {
        put_move(c, out, prng_chance(&c->prng, 500) ? "RENAME" : "RENAMENX", to);
        expect(&c->direct, ITEM_MOVED)->is_write = true;
        ask_ok(c, out, "UNWATCH");
        return;
    }
    uint32_t deal = begin(c);
    c->may_change = true;
    put_multi(c, out, false);
    put_move(c, out, "COPY", to);
    (void)expect(&c->inside, ITEM_INTEGER);
    put_queued(c);
    struct words w = {0};
    add(&w, "DEL");
    add_key(c, &w, "place", from);
    put(c, out, &w);
    (void)expect(&c->inside, ITEM_INTEGER);
    put_queued(c);
    put_exec(c, out, deal);
}

/* All places are watched, and looked at. */
static void ask_find(struct dealer *c, struct buf *out)
{
    if (c->round == 1 && c->place < 0) {
        ask_first_token(c, out);
        return;
    }
    if (c->round == 1) {
        ask_move(c, out);
        return;
    }
    put_all(c, out, "WATCH", "place", DEALS_PLACES);
    (void)expect(&c->direct, ITEM_OK);
    put_all(c, out, "MGET", "place", DEALS_PLACES);
    expect(&c->direct, ITEM_PLACES)->count = DEALS_PLACES;
}

/* ---- trio ------------------------------------------------------------------------------------ */

static void ask_trio_write(struct dealer *c, struct buf *out)
{
    uint64_t way = prng_below(&c->prng, 4);
    if (way == 0) {
        put_all(c, out, "DEL", "trio", TRIO);
        expect(&c->direct, ITEM_TRIO_COUNT)->is_write = true;
        return;
    }
    struct words w = {0};
    add(&w, way == 1 ? "MSETNX" : "MSET");
    int64_t value = c->deals->value_next++;
    for (unsigned i = 0; i < TRIO; i++) {
        add_key(c, &w, "trio", i);
        add_number(&w, value);
    }
    put(c, out, &w);
    expect(&c->direct, way == 1 ? ITEM_INTEGER : ITEM_OK)->is_write = true;
}

static void ask_trio_read(struct dealer *c, struct buf *out)
{
    bool is_count = prng_chance(&c->prng, 300);
    put_all(c, out, is_count ? "EXISTS" : "MGET", "trio", TRIO);
    expect(&c->direct, is_count ? ITEM_TRIO_COUNT : ITEM_TRIO)->count = TRIO;
}

static void ask_single(struct dealer *c, struct buf *out)
{
    if (prng_chance(&c->prng, 200)) {
        put_brief(c, out, &c->direct, prng_chance(&c->prng, 100));
    } else {
        bool is_write = prng_chance(&c->prng, 600);
        ask_step(c, out, is_write, pick_list(c));
    }
}

/* ---- all kinds ------------------------------------------------------------------------------- */

static void ask_final(struct dealer *c, struct buf *out)
{
    const struct deals *d = c->deals;
    uint32_t lists[FINAL_LISTS];
    unsigned count = 0;
    for (uint32_t i = c->final_next; i < d->history.key_count && count < FINAL_LISTS; i++) {
        lists[count++] = i;
    }
    if (count > 0) {
        uint32_t deal = begin(c);
        put_mget(c, out, &c->direct, lists, count);
        c->direct.items[c->direct.count - 1].deal = deal;
        return;
    }
    if (c->final_next == d->history.key_count) {
        put_all(c, out, "MGET", "bank", d->options.accounts);
        expect(&c->direct, ITEM_ACCOUNTS)->count = d->options.accounts;
        put_all(c, out, "MGET", "place", DEALS_PLACES);
        expect(&c->direct, ITEM_PLACES)->count = DEALS_PLACES;
        put_all(c, out, "MGET", "trio", TRIO);
        expect(&c->direct, ITEM_TRIO)->count = TRIO;
    }
}

static enum deal_kind pick_kind(struct prng *p)
{
    static const unsigned per_cent[DEAL_KIND_COUNT] = {
        [DEAL_SINGLE] = 14,
        [DEAL_MGET] = 8,
        [DEAL_MULTI] = 20,
        [DEAL_READS] = 8,
        [DEAL_WATCH] = 12,
        [DEAL_STRICT] = 4,
        [DEAL_FAULTY] = 2,
        [DEAL_DISCARD] = 1,
        [DEAL_TOUCH] = 2,
        [DEAL_EXPIRE] = 1,
        [DEAL_TRANSFER] = 6,
        [DEAL_COUNT] = 6,
        [DEAL_SUM] = 5,
        [DEAL_FIND] = 4,
        [DEAL_TRIO_WRITE] = 4,
        [DEAL_TRIO_READ] = 3,
    };
    unsigned at = (unsigned)prng_below(p, 100);
    unsigned kind = 0;
    while (at >= per_cent[kind]) {
        at -= per_cent[kind];
        kind++;
    }
    return (enum deal_kind)kind;
}

static void begin_deal(struct dealer *c)
{
    c->kind = c->is_final ? DEAL_FINAL : pick_kind(&c->prng);
    c->began_us = c->deals->world->now_us;
    c->must_fail = c->must_change = c->may_change = false;
    c->watched_count = 0;
    c->told_count = 0;
    c->place = -1;
    c->group_count = 0;
}

static bool has_second_round(const struct dealer *c)
{
    return c->kind == DEAL_WATCH || c->kind == DEAL_TOUCH || c->kind == DEAL_EXPIRE ||
           c->kind == DEAL_TRANSFER || c->kind == DEAL_FIND;
}

static bool is_too_slow(const struct dealer *c)
{
    return c->kind == DEAL_EXPIRE &&
           c->deals->world->now_us - c->began_us > WATCH_US_MAX + EXPIRE_US;
}

uint64_t deal_pause_us(struct dealer *c)
{
    if (c->kind == DEAL_EXPIRE && c->round == 1) {
        return EXPIRE_US;
    }
    return prng_between(&c->prng, 1, c->deals->options.think_us_max);
}

void deal_ask(struct dealer *c, struct buf *out)
{
    bool goes_on = c->round == 1 && has_second_round(c) && !c->has_trouble && !is_too_slow(c);
    if (c->round == 1 && has_second_round(c) && !goes_on) {
        ask_ok(c, out, "UNWATCH");
    }
    c->has_trouble = false;
    if (!goes_on) {
        c->round = 0;
        begin_deal(c);
    }
    switch (c->kind) {
    case DEAL_SINGLE:
        ask_single(c, out);
        break;
    case DEAL_MGET:
        ask_mget(c, out);
        break;
    case DEAL_MULTI:
        ask_multi(c, out, true, false);
        break;
    case DEAL_READS:
        ask_multi(c, out, false, false);
        break;
    case DEAL_WATCH:
        ask_watch(c, out);
        break;
    case DEAL_STRICT:
        ask_multi(c, out, true, prng_chance(&c->prng, 500));
        break;
    case DEAL_FAULTY:
        ask_multi(c, out, true, true);
        break;
    case DEAL_DISCARD:
        ask_discard(c, out);
        break;
    case DEAL_TOUCH:
        ask_touch(c, out);
        break;
    case DEAL_EXPIRE:
        ask_expire(c, out);
        break;
    case DEAL_TRANSFER:
        ask_transfer(c, out);
        break;
    case DEAL_COUNT:
        ask_count(c, out);
        break;
    case DEAL_SUM:
        ask_sum(c, out);
        break;
    case DEAL_FIND:
        ask_find(c, out);
        break;
    case DEAL_TRIO_WRITE:
        ask_trio_write(c, out);
        break;
    case DEAL_TRIO_READ:
        ask_trio_read(c, out);
        break;
    case DEAL_FINAL:
        ask_final(c, out);
        break;
    }
}
