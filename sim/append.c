#include "sim/append.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

#define DEAL_KEYS_MAX 32u
#define NO_DEAL UINT32_MAX
#define DATA_KINDS (1u << CYCLES_WW | 1u << CYCLES_WR | 1u << CYCLES_RW)
#define ALL_KINDS (DATA_KINDS | 1u << CYCLES_TIME)

static bool fail(struct append_history *h, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The first one counts. Returns false. */
static bool fail(struct append_history *h, const char *format, ...)
{
    if (h->failure[0] == '\0') {
        va_list args;
        va_start(args, format);
        (void)vsnprintf(h->failure, sizeof h->failure, format, args);
        va_end(args);
    }
    return false;
}

/* ---- the history ----------------------------------------------------------------------------- */

void append_init(struct append_history *h)
{
    *h = (struct append_history){0};
}

void append_deinit(struct append_history *h)
{
    for (uint32_t i = 0; i < h->key_count; i++) {
        mem_free(h->keys[i].tags);
    }
    mem_free(h->keys);
    mem_free(h->deals);
    mem_free(h->steps);
    mem_free(h->tags);
    *h = (struct append_history){0};
}

/* Room for one more. */
static void *grow(void *items, size_t count, size_t *inout_capacity, size_t item_size)
{
    if (count < *inout_capacity) {
        return items;
    }
    *inout_capacity = *inout_capacity > 0 ? 2 * *inout_capacity : 64;
    return mem_realloc(items, *inout_capacity * item_size);
}

uint32_t append_add_key(struct append_history *h)
{
    h->keys = grow(h->keys, h->key_count, &h->key_capacity, sizeof h->keys[0]);
    h->keys[h->key_count] = (struct append_key){0};
    return h->key_count++;
}

uint32_t append_begin(struct append_history *h, uint32_t client, uint64_t call_us)
{
    h->deals = grow(h->deals, h->deal_count, &h->deal_capacity, sizeof h->deals[0]);
    h->deals[h->deal_count] = (struct append_deal){
        .client = client,
        .call_us = call_us,
        .step_first = h->step_count,
    };
    return (uint32_t)h->deal_count++;
}

static uint32_t add_tag(struct append_history *h, uint32_t key)
{
    h->tags = grow(h->tags, h->tag_count, &h->tag_capacity, sizeof h->tags[0]);
    h->tags[h->tag_count] = (struct append_tag){
        .deal = (uint32_t)h->deal_count - 1,
        .key = key,
        .place = APPEND_NO_TAG,
    };
    return h->tag_count++;
}

size_t append_step(struct append_history *h, enum append_kind kind, uint32_t key)
{
    ensure(h->deal_count > 0 && key < h->key_count);
    h->steps = grow(h->steps, h->step_count, &h->step_capacity, sizeof h->steps[0]);
    h->steps[h->step_count] = (struct append_step){
        .kind = kind,
        .key = key,
        .tag = kind == APPEND_WRITE ? add_tag(h, key) : APPEND_NO_TAG,
        .length = APPEND_UNTOLD,
    };
    h->deals[h->deal_count - 1].step_count++;
    return h->step_count++;
}

/* The tag is the next one of the key that anybody has seen. */
static bool extend(struct append_history *h, uint32_t key_index, uint32_t tag)
{
    struct append_key *key = &h->keys[key_index];
    if (tag >= h->tag_count || h->tags[tag].key != key_index) {
        return fail(h, "list %" PRIu32 ": nobody appended tag %" PRIu32 " to it", key_index, tag);
    }
    if (h->tags[tag].place != APPEND_NO_TAG) {
        return fail(h, "list %" PRIu32 ": tag %" PRIu32 " stands in it twice", key_index, tag);
    }
    size_t capacity = key->capacity;
    key->tags = grow(key->tags, key->count, &capacity, sizeof key->tags[0]);
    key->capacity = (uint32_t)capacity;
    h->tags[tag].place = key->count;
    key->tags[key->count++] = tag;
    return true;
}

bool append_read(struct append_history *h, size_t step, const uint32_t *tags, uint32_t count)
{
    struct append_step *s = &h->steps[step];
    const struct append_key *key = &h->keys[s->key];
    for (uint32_t i = 0; i < count; i++) {
        if (i < key->count && key->tags[i] != tags[i]) {
            return fail(h,
                        "list %" PRIu32 ": place %" PRIu32 " holds tag %" PRIu32
                        ", and was seen to hold tag %" PRIu32,
                        s->key,
                        i,
                        tags[i],
                        key->tags[i]);
        }
        if (i == key->count && !extend(h, s->key, tags[i])) {
            return false;
        }
    }
    s->length = count;
    return true;
}

void append_told(struct append_history *h, size_t step, int64_t length)
{
    h->steps[step].length = length;
}

void append_end(struct append_history *h, uint32_t deal, enum append_fate fate, uint64_t return_us)
{
    h->deals[deal].fate = fate;
    h->deals[deal].return_us = return_us;
}

/* ---- each deal for itself -------------------------------------------------------------------- */

static const char *const fate_names[] = {"unknown", "done", "never", "changed"};

static void print_deal(const struct append_history *h, uint32_t deal, struct buf *out)
{
    const struct append_deal *d = &h->deals[deal];
    buf_printf(out,
               "deal %" PRIu32 " of client %" PRIu32 ", %s, from %" PRIu64 " to %" PRIu64 " us:",
               deal,
               d->client,
               fate_names[d->fate],
               d->call_us,
               d->return_us);
    for (size_t i = d->step_first; i < d->step_first + d->step_count; i++) {
        const struct append_step *s = &h->steps[i];
        static const char *const kinds[] = {"read", "append", "watched"};
        buf_printf(out, " %s %" PRIu32, kinds[s->kind], s->key);
        if (s->kind == APPEND_WRITE) {
            bool is_seen = h->tags[s->tag].place != APPEND_NO_TAG;
            buf_printf(out, " tag %" PRIu32 "%s", s->tag, is_seen ? "" : " (not there)");
        }
        if (s->length != APPEND_UNTOLD) {
            buf_printf(out, " length %" PRId64, s->length);
        }
        buf_append_text(out, i + 1 < d->step_first + d->step_count ? "," : "");
    }
    buf_append_text(out, "\n");
}

static bool fail_deal(struct append_history *h, uint32_t deal, const char *what, struct buf *report)
{
    print_deal(h, deal, report);
    return fail(h, "deal %" PRIu32 " of client %" PRIu32 " %s", deal, h->deals[deal].client, what);
}

/* What a deal found of a key and what it made of it: so many tags. */
struct span {
    uint32_t key;
    int64_t start;
    int64_t end;
    bool has_writes;
};

struct spans {
    struct span items[DEAL_KEYS_MAX];
    unsigned count;
};

static struct span *span_of(struct spans *spans, uint32_t key)
{
    for (unsigned i = 0; i < spans->count; i++) {
        if (spans->items[i].key == key) {
            return &spans->items[i];
        }
    }
    ensure(spans->count < DEAL_KEYS_MAX);
    struct span *span = &spans->items[spans->count++];
    *span = (struct span){.key = key, .start = APPEND_UNTOLD, .end = APPEND_UNTOLD};
    return span;
}

/* NULL, or what is wrong with it. Of a deal that has happened. */
static const char *add_step(const struct append_history *h,
                            const struct append_step *s,
                            struct span *span)
{
    bool is_write = s->kind == APPEND_WRITE;
    int64_t before = s->length;
    if (is_write) {
        before = h->tags[s->tag].place;
        if (s->length != APPEND_UNTOLD && s->length != before + 1) {
            return "was told another place of its tag than it has";
        }
    } else if (s->length == APPEND_UNTOLD) {
        return NULL;
    }
    if (span->end != APPEND_UNTOLD && span->end != before) {
        return "saw or has effects of others between its own";
    }
    span->start = span->end == APPEND_UNTOLD ? before : span->start;
    span->end = before + (is_write ? 1 : 0);
    span->has_writes = span->has_writes || is_write;
    return NULL;
}

/* Which of its effects are there: none, all, or some of them. */
static void count_effects(const struct append_history *h,
                          const struct append_deal *d,
                          size_t *out_writes,
                          size_t *out_seen)
{
    *out_writes = *out_seen = 0;
    for (size_t i = d->step_first; i < d->step_first + d->step_count; i++) {
        const struct append_step *s = &h->steps[i];
        if (s->kind == APPEND_WRITE) {
            ++*out_writes;
            *out_seen += h->tags[s->tag].place != APPEND_NO_TAG ? 1 : 0;
        }
    }
}

/* It took effect, as far as can be seen; an unknown one that only reads counts as if not. */
static bool has_happened(const struct append_history *h, uint32_t deal)
{
    size_t writes = 0;
    size_t seen = 0;
    count_effects(h, &h->deals[deal], &writes, &seen);
    enum append_fate fate = h->deals[deal].fate;
    return fate == APPEND_DONE || (fate == APPEND_UNKNOWN && seen > 0);
}

static bool check_effects(struct append_history *h, uint32_t deal, struct buf *report)
{
    size_t writes = 0;
    size_t seen = 0;
    count_effects(h, &h->deals[deal], &writes, &seen);
    switch (h->deals[deal].fate) {
    case APPEND_DONE:
        return seen == writes || fail_deal(h, deal, "lost an effect", report);
    case APPEND_UNKNOWN:
        return seen == 0 || seen == writes || fail_deal(h, deal, "happened by half", report);
    case APPEND_NEVER:
    case APPEND_CHANGED:
        break;
    }
    return seen == 0 || fail_deal(h, deal, "was not executed, and has an effect", report);
}

/* "Changed": somebody must have changed a watched key since it was watched. */
static bool check_changed(struct append_history *h, uint32_t deal, struct buf *report)
{
    const struct append_deal *d = &h->deals[deal];
    for (size_t i = d->step_first; i < d->step_first + d->step_count; i++) {
        const struct append_key *key = &h->keys[h->steps[i].key];
        for (uint32_t t = 0; h->steps[i].kind == APPEND_WATCHED && t < key->count; t++) {
            const struct append_deal *writer = &h->deals[h->tags[key->tags[t]].deal];
            bool is_over = writer->fate == APPEND_DONE && writer->return_us < d->watch_us;
            if (writer->call_us <= d->return_us && !is_over) {
                return true;
            }
        }
    }
    return fail_deal(h, deal, "was told that a watched key had changed, and none has", report);
}

static bool collect(struct append_history *h,
                    uint32_t deal,
                    struct spans *spans,
                    struct buf *report)
{
    const struct append_deal *d = &h->deals[deal];
    spans->count = 0;
    for (size_t i = d->step_first; i < d->step_first + d->step_count; i++) {
        const char *wrong = add_step(h, &h->steps[i], span_of(spans, h->steps[i].key));
        if (wrong != NULL) {
            return fail_deal(h, deal, wrong, report);
        }
    }
    return true;
}

/* ---- all of them ----------------------------------------------------------------------------- */

static void add_edge(struct cycles *c,
                     uint32_t from,
                     uint32_t to,
                     enum cycles_kind kind,
                     uint32_t key)
{
    if (from != to) {
        struct cycles_edge edge = {.from = from, .to = to, .kind = kind, .key = key};
        cycles_add(c, &edge);
    }
}

static uint32_t writer_of(const struct append_history *h, uint32_t key, int64_t place)
{
    const struct append_key *k = &h->keys[key];
    return place >= 0 && place < k->count ? h->tags[k->tags[place]].deal : NO_DEAL;
}

/* What it found was made by the writer before, and is written over by the one after. */
static bool add_span(struct append_history *h,
                     struct cycles *c,
                     uint32_t deal,
                     const struct span *span,
                     struct buf *report)
{
    if (span->start == APPEND_UNTOLD) {
        return true;
    }
    uint32_t before = writer_of(h, span->key, span->start - 1);
    uint32_t after = writer_of(h, span->key, span->end);
    if (span->start > h->keys[span->key].count) {
        return fail_deal(h, deal, "saw what is not there", report);
    }
    if (before != NO_DEAL && before == after && before != deal) {
        print_deal(h, before, report);
        return fail_deal(h, deal, "saw another one half done", report);
    }
    if (before != NO_DEAL) {
        add_edge(c, before, deal, span->has_writes ? CYCLES_WW : CYCLES_WR, span->key);
    }
    if (after != NO_DEAL) {
        add_edge(c, deal, after, span->has_writes ? CYCLES_WW : CYCLES_RW, span->key);
    }
    return true;
}

struct moment {
    uint64_t at_us;
    uint32_t deal;
};

static int compare_moments(const void *a, const void *b)
{
    const struct moment *x = a;
    const struct moment *y = b;
    if (x->at_us != y->at_us) {
        return x->at_us < y->at_us ? -1 : 1;
    }
    return x->deal < y->deal ? -1 : x->deal > y->deal ? 1 : 0;
}

static size_t collect_moments(const struct append_history *h, bool is_call, struct moment *out)
{
    size_t count = 0;
    for (uint32_t i = 0; i < h->deal_count; i++) {
        const struct append_deal *d = &h->deals[i];
        if (has_happened(h, i) && (is_call || d->fate == APPEND_DONE)) {
            out[count++] = (struct moment){is_call ? d->call_us : d->return_us, i};
        }
    }
    qsort(out, count, sizeof out[0], compare_moments);
    return count;
}

/*
 * Each return is a node of its own, and they are a chain: so "over before it began" takes one edge
 * for each call. Returns how many nodes there are now.
 */
static uint32_t add_time(const struct append_history *h, struct cycles *c)
{
    struct moment *returns = mem_alloc((h->deal_count + 1) * sizeof returns[0]);
    struct moment *calls = mem_alloc((h->deal_count + 1) * sizeof calls[0]);
    size_t return_count = collect_moments(h, false, returns);
    size_t call_count = collect_moments(h, true, calls);
    uint32_t first = (uint32_t)h->deal_count;
    for (uint32_t i = 0; i < return_count; i++) {
        add_edge(c, returns[i].deal, first + i, CYCLES_TIME, 0);
        if (i > 0) {
            add_edge(c, first + i - 1, first + i, CYCLES_TIME, 0);
        }
    }
    uint32_t over = 0;
    for (size_t i = 0; i < call_count; i++) {
        while (over < return_count && returns[over].at_us < calls[i].at_us) {
            over++;
        }
        if (over > 0) {
            add_edge(c, first + over - 1, calls[i].deal, CYCLES_TIME, 0);
        }
    }
    mem_free(returns);
    mem_free(calls);
    return first + (uint32_t)return_count;
}

static const char *name_of(const unsigned *counts)
{
    if (counts[CYCLES_RW] == 1) {
        return "G-single";
    }
    if (counts[CYCLES_RW] > 1) {
        return "G2, write skew";
    }
    if (counts[CYCLES_WR] > 0) {
        return "G1c";
    }
    return counts[CYCLES_WW] > 0 ? "G0" : "no order";
}

/* Nodes of the chain of time are left out. */
static bool fail_cycle(struct append_history *h,
                       const struct cycles_edge *edges,
                       size_t count,
                       struct buf *report)
{
    static const char *const kinds[] = {"ww", "wr", "rw", "time"};
    unsigned counts[CYCLES_KIND_COUNT] = {0};
    for (size_t i = 0; i < count; i++) {
        counts[edges[i].kind]++;
        if (edges[i].from < h->deal_count) {
            print_deal(h, edges[i].from, report);
            buf_printf(report, "  before (%s", kinds[edges[i].kind]);
            if (edges[i].kind != CYCLES_TIME) {
                buf_printf(report, " %" PRIu32, edges[i].key);
            }
            buf_append_text(report, ")\n");
        }
    }
    return fail(h,
                "not strictly serializable: a cycle of %s%s",
                name_of(counts),
                counts[CYCLES_TIME] > 0 ? ", in real time" : "");
}

static bool check_order(struct append_history *h, struct cycles *c, struct buf *report)
{
    struct spans spans;
    struct cycles_edge *edges = NULL;
    size_t count = 0;
    for (uint32_t i = 0; i < h->deal_count; i++) {
        if (!has_happened(h, i)) {
            continue;
        }
        if (!collect(h, i, &spans, report)) {
            return false;
        }
        for (unsigned k = 0; k < spans.count; k++) {
            if (!add_span(h, c, i, &spans.items[k], report)) {
                return false;
            }
        }
    }
    uint32_t nodes = add_time(h, c);
    bool is_found = cycles_find(c, nodes, DATA_KINDS, &edges, &count) ||
                    cycles_find(c, nodes, ALL_KINDS, &edges, &count);
    if (is_found) {
        (void)fail_cycle(h, edges, count, report);
    }
    mem_free(edges);
    return !is_found;
}

bool append_check(struct append_history *h, struct buf *out_report)
{
    if (h->failure[0] != '\0') {
        return false;
    }
    for (uint32_t i = 0; i < h->deal_count; i++) {
        if (!check_effects(h, i, out_report) ||
            (h->deals[i].fate == APPEND_CHANGED && !check_changed(h, i, out_report))) {
            return false;
        }
    }
    struct cycles c;
    cycles_init(&c);
    bool is_good = check_order(h, &c, out_report);
    cycles_deinit(&c);
    return is_good;
}
