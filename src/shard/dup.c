#include "shard/dup.h"

#include <assert.h>

#include "base/assert.h"
#include "base/endian.h"
#include "base/mem.h"
#include "base/prng.h"

/* Most replies are "+OK", ":1" and the like; they need no memory of their own. */
#define REPLY_INLINE_BYTES 16u
#define RING_FIRST 64u
/* A ring that became empty is kept up to this many records. */
#define RING_KEPT 1024u

/* Values of rows (docs/disk-format.md); their version is that of the group's row. */
#define GATEWAY_ROW_BYTES 24u

enum gateway_field {
    GATEWAY_INCARNATION = 0,
    GATEWAY_ZEROS = 4,
    GATEWAY_MARK = 8,
    GATEWAY_NEWEST = 16,
};

/* First byte of a record's row. Append only: numbers are on disk. */
enum record_state {
    RECORD_DONE = 1, /* its reply follows */
    RECORD_LOST = 2, /* executed, the reply is lost (DUP-8) */
};

struct record {
    bool is_done;
    bool is_saved; /* there is a row of it */
    uint32_t size; /* of the reply; 0: lost */
    union {
        uint8_t near[REPLY_INLINE_BYTES];
        uint8_t *far; /* if size > REPLY_INLINE_BYTES */
    };
};

struct gateway {
    uint32_t node;
    uint32_t incarnation;
    uint64_t mark;
    uint64_t newest;      /* highest sequence with a record; mark if there is none */
    uint64_t reply_bytes; /* of far replies */
    struct record *ring;  /* sequence s stands at s % capacity */
    size_t capacity;      /* a power of two >= newest - mark, or 0 */

    /* What its rows say. All of its records' rows lie in saved_mark+1 … saved_newest. */
    bool is_saved;
    uint32_t saved_incarnation;
    uint64_t saved_mark;
    uint64_t saved_newest;
    uint64_t unsaved_first; /* no record below it is without a row; UINT64_MAX: none at all */
};

struct dup {
    struct gateway *gateways; /* in order of node */
    size_t count;
    size_t capacity;
    struct buf row; /* scratch of dup_save */
};

static_assert((DUP_WINDOW & (DUP_WINDOW - 1)) == 0, "rings double up to the window");
static_assert(DUP_REPLY_BYTES_MAX <= UINT32_MAX, "sizes of replies are kept in 32 bits");

/* ---- records of one gateway ------------------------------------------------------------------ */

static struct record *record_at(const struct gateway *g, uint64_t sequence)
{
    return &g->ring[sequence & (g->capacity - 1)];
}

static struct bytes record_reply(const struct record *r)
{
    return bytes_of(r->size > REPLY_INLINE_BYTES ? r->far : r->near, r->size);
}

static void record_drop(struct gateway *g, uint64_t sequence)
{
    struct record *r = record_at(g, sequence);
    if (r->size > REPLY_INLINE_BYTES) {
        g->reply_bytes -= r->size;
        mem_free(r->far);
    }
    *r = (struct record){0};
}

static void ring_free(struct gateway *g)
{
    mem_free(g->ring);
    g->ring = NULL;
    g->capacity = 0;
}

/* Records are dropped here and nowhere else but with their incarnation (DUP-3). */
static void gateway_raise(struct gateway *g, uint64_t mark)
{
    if (mark <= g->mark) {
        return;
    }
    uint64_t last = mark < g->newest ? mark : g->newest;
    for (uint64_t i = 1; i <= last - g->mark; i++) {
        record_drop(g, g->mark + i);
    }
    g->mark = mark;
    if (g->newest <= mark) {
        g->newest = mark;
        if (g->capacity > RING_KEPT) {
            ring_free(g);
        }
    }
    ensure(g->newest > mark || g->reply_bytes == 0);
}

/* Room for the sequence, which is in the window. */
static void ring_reach(struct gateway *g, uint64_t sequence)
{
    size_t capacity = g->capacity > 0 ? g->capacity : RING_FIRST;
    while (sequence - g->mark > capacity) {
        capacity *= 2;
    }
    if (capacity == g->capacity) {
        return;
    }
    ensure(capacity <= DUP_WINDOW);
    struct gateway grown = *g;
    grown.ring = mem_alloc_zero(capacity * sizeof grown.ring[0]);
    grown.capacity = capacity;
    for (uint64_t i = 1; i <= g->newest - g->mark; i++) {
        *record_at(&grown, g->mark + i) = *record_at(g, g->mark + i);
    }
    mem_free(g->ring);
    *g = grown;
}

static void gateway_deinit(struct gateway *g)
{
    gateway_raise(g, UINT64_MAX);
    ring_free(g);
}

/* A newer incarnation takes the place of the dead one; what the rows say is still about that. */
static void gateway_renew(struct gateway *g, uint32_t incarnation)
{
    gateway_deinit(g);
    *g = (struct gateway){
        .node = g->node,
        .incarnation = incarnation,
        .is_saved = g->is_saved,
        .saved_incarnation = g->saved_incarnation,
        .saved_mark = g->saved_mark,
        .saved_newest = g->saved_newest,
        .unsaved_first = UINT64_MAX,
    };
}

static bool is_in_window(const struct gateway *g, uint64_t sequence)
{
    return sequence > g->mark && sequence - g->mark <= DUP_WINDOW;
}

/* ---- gateways -------------------------------------------------------------------------------- */

/* Where the node stands, or would stand. */
static size_t gateway_place(const struct dup *d, uint32_t node)
{
    size_t low = 0;
    size_t high = d->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (d->gateways[middle].node < node) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static struct gateway *gateway_find(const struct dup *d, uint32_t node)
{
    size_t at = gateway_place(d, node);
    return at < d->count && d->gateways[at].node == node ? &d->gateways[at] : NULL;
}

static struct gateway *gateway_add(struct dup *d, uint32_t node, uint32_t incarnation)
{
    if (d->count == d->capacity) {
        d->capacity = d->capacity > 0 ? 2 * d->capacity : 8;
        d->gateways = mem_realloc(d->gateways, d->capacity * sizeof d->gateways[0]);
    }
    size_t at = gateway_place(d, node);
    struct gateway *g = &d->gateways[at];
    memmove(g + 1, g, (d->count - at) * sizeof *g);
    d->count++;
    *g = (struct gateway){
        .node = node,
        .incarnation = incarnation,
        .unsaved_first = UINT64_MAX,
    };
    return g;
}

/* ---- the table ------------------------------------------------------------------------------- */

struct dup *dup_create(void)
{
    struct dup *d = mem_alloc_zero(sizeof *d);
    buf_init(&d->row, 1 + DUP_REPLY_BYTES_MAX);
    return d;
}

void dup_destroy(struct dup *d)
{
    if (d == NULL) {
        return;
    }
    for (size_t i = 0; i < d->count; i++) {
        gateway_deinit(&d->gateways[i]);
    }
    mem_free(d->gateways);
    buf_deinit(&d->row);
    mem_free(d);
}

enum dup_verdict dup_judge(struct dup *d,
                           const struct request_id *id,
                           uint64_t mark,
                           struct bytes *out_reply)
{
    *out_reply = (struct bytes){0};
    bool is_anonymous = id->sequence == 0;
    if (is_anonymous && id->node == 0) {
        return DUP_NEW; /* nobody's: no gateway to keep */
    }
    struct gateway *g = gateway_find(d, id->node);
    if (g == NULL) {
        g = gateway_add(d, id->node, id->incarnation);
    } else if (id->incarnation < g->incarnation) {
        reached("dup: copy from a dead incarnation");
        return is_anonymous ? DUP_NEW : DUP_FINISHED;
    } else if (id->incarnation > g->incarnation) {
        gateway_renew(g, id->incarnation);
    }
    gateway_raise(g, mark);
    if (is_anonymous) {
        return DUP_NEW;
    }
    if (!is_in_window(g, id->sequence)) {
        reached("dup: copy of a finished request");
        return DUP_FINISHED;
    }
    if (id->sequence > g->newest || !record_at(g, id->sequence)->is_done) {
        return DUP_NEW;
    }
    reached("dup: retry of an executed request");
    *out_reply = record_reply(record_at(g, id->sequence));
    return DUP_DONE;
}

/* The record of a sequence in the window that has none; reply: of at most DUP_REPLY_BYTES_MAX. */
static struct record *record_add(struct gateway *g, uint64_t sequence, struct bytes reply)
{
    ensure(is_in_window(g, sequence));
    ring_reach(g, sequence);
    struct record *r = record_at(g, sequence);
    ensure(!r->is_done);
    r->is_done = true;
    g->newest = sequence > g->newest ? sequence : g->newest;
    r->size = (uint32_t)reply.size;
    if (r->size > REPLY_INLINE_BYTES) {
        r->far = mem_alloc(r->size);
        g->reply_bytes += r->size;
        memcpy(r->far, reply.data, r->size);
    } else if (r->size > 0) {
        memcpy(r->near, reply.data, r->size);
    }
    return r;
}

void dup_remember(struct dup *d, const struct request_id *id, struct bytes reply)
{
    if (id->sequence == 0) {
        return;
    }
    struct gateway *g = gateway_find(d, id->node);
    ensure(g != NULL && g->incarnation == id->incarnation);
    if (reply.size > DUP_REPLY_BYTES_MAX) {
        reached("dup: reply too large to remember");
        reply.size = 0;
    }
    (void)record_add(g, id->sequence, reply);
    g->unsaved_first = id->sequence < g->unsaved_first ? id->sequence : g->unsaved_first;
}

/* ---- rows ------------------------------------------------------------------------------------ */

struct saving {
    struct dup *dup;
    void (*row)(void *ctx, uint32_t node, uint64_t sequence, const struct bytes *value);
    void *ctx;
};

static void save_record(const struct saving *s, const struct gateway *g, uint64_t sequence)
{
    const struct record *r = record_at(g, sequence);
    uint8_t state = r->size > 0 ? RECORD_DONE : RECORD_LOST;
    struct buf *row = &s->dup->row;
    buf_clear(row, SIZE_MAX);
    buf_append(row, &state, 1);
    buf_append_bytes(row, record_reply(r));
    struct bytes value = buf_bytes(row);
    s->row(s->ctx, g->node, sequence, &value);
}

/* Sequences have hardly a gap, so each of these is a row, or almost each. */
static void delete_rows(const struct saving *s, const struct gateway *g)
{
    bool is_renewed = g->incarnation != g->saved_incarnation;
    uint64_t last = is_renewed || g->mark > g->saved_newest ? g->saved_newest : g->mark;
    for (uint64_t i = 1; last > g->saved_mark && i <= last - g->saved_mark; i++) {
        s->row(s->ctx, g->node, g->saved_mark + i, NULL);
    }
}

static void save_records(const struct saving *s, struct gateway *g)
{
    uint64_t first = g->unsaved_first > g->mark ? g->unsaved_first : g->mark + 1;
    for (uint64_t i = 0; first <= g->newest && i <= g->newest - first; i++) {
        struct record *r = record_at(g, first + i);
        if (r->is_done && !r->is_saved) {
            r->is_saved = true;
            save_record(s, g, first + i);
        }
    }
    g->unsaved_first = UINT64_MAX;
}

static void save_gateway(const struct saving *s, struct gateway *g)
{
    bool is_same = g->is_saved && g->incarnation == g->saved_incarnation &&
                   g->mark == g->saved_mark && g->newest == g->saved_newest;
    if (!is_same) {
        if (g->is_saved) {
            delete_rows(s, g);
        }
        uint8_t bytes[GATEWAY_ROW_BYTES] = {0};
        put_u32_le(bytes + GATEWAY_INCARNATION, g->incarnation);
        put_u64_le(bytes + GATEWAY_MARK, g->mark);
        put_u64_le(bytes + GATEWAY_NEWEST, g->newest);
        struct bytes value = bytes_of(bytes, sizeof bytes);
        s->row(s->ctx, g->node, 0, &value);
        g->is_saved = true;
        g->saved_incarnation = g->incarnation;
        g->saved_mark = g->mark;
        g->saved_newest = g->newest;
    }
    save_records(s, g); /* behind the deletes: sequences of a new incarnation come again */
}

void dup_save(struct dup *d,
              void (*row)(void *ctx, uint32_t node, uint64_t sequence, const struct bytes *value),
              void *ctx)
{
    const struct saving s = {.dup = d, .row = row, .ctx = ctx};
    for (size_t i = 0; i < d->count; i++) {
        save_gateway(&s, &d->gateways[i]);
    }
    buf_clear(&d->row, 0);
}

static enum status load_gateway(struct dup *d, uint32_t node, struct bytes value)
{
    if (value.size != GATEWAY_ROW_BYTES || get_u32_le(value.data + GATEWAY_ZEROS) != 0) {
        return STATUS_CORRUPT;
    }
    uint64_t mark = get_u64_le(value.data + GATEWAY_MARK);
    uint64_t newest = get_u64_le(value.data + GATEWAY_NEWEST);
    if (newest < mark || newest - mark > DUP_WINDOW || gateway_find(d, node) != NULL) {
        return STATUS_CORRUPT;
    }
    struct gateway *g = gateway_add(d, node, get_u32_le(value.data + GATEWAY_INCARNATION));
    g->mark = mark;
    g->newest = mark; /* until its record comes */
    g->is_saved = true;
    g->saved_incarnation = g->incarnation;
    g->saved_mark = mark;
    g->saved_newest = newest;
    return STATUS_OK;
}

enum status dup_load(struct dup *d, uint32_t node, uint64_t sequence, struct bytes value)
{
    if (sequence == 0) {
        return load_gateway(d, node, value);
    }
    struct gateway *g = gateway_find(d, node);
    if (g == NULL || sequence <= g->newest || sequence > g->saved_newest) {
        return STATUS_CORRUPT;
    }
    bool is_good = value.size > 0 && value.size <= 1 + DUP_REPLY_BYTES_MAX &&
                   value.data[0] == (value.size > 1 ? RECORD_DONE : RECORD_LOST);
    if (!is_good) {
        return STATUS_CORRUPT;
    }
    record_add(g, sequence, bytes_of(value.data + 1, value.size - 1))->is_saved = true;
    return STATUS_OK;
}

enum status dup_loaded(const struct dup *d)
{
    for (size_t i = 0; i < d->count; i++) {
        if (d->gateways[i].newest != d->gateways[i].saved_newest) {
            return STATUS_CORRUPT;
        }
    }
    return STATUS_OK;
}

uint64_t dup_memory(const struct dup *d)
{
    uint64_t size = sizeof *d + d->capacity * sizeof d->gateways[0];
    for (size_t i = 0; i < d->count; i++) {
        const struct gateway *g = &d->gateways[i];
        size += g->capacity * sizeof g->ring[0] + g->reply_bytes;
    }
    return size;
}

static uint64_t hash_bytes(uint64_t hash, struct bytes bytes)
{
    uint64_t word = 0;
    for (size_t i = 0; i < bytes.size; i++) {
        word = word << 8 | bytes.data[i];
        if (i % 8 == 7 || i + 1 == bytes.size) {
            hash = prng_mix(hash ^ word);
            word = 0;
        }
    }
    return prng_mix(hash ^ bytes.size);
}

uint64_t dup_hash(const struct dup *d)
{
    uint64_t hash = d->count;
    for (size_t i = 0; i < d->count; i++) {
        const struct gateway *g = &d->gateways[i];
        hash = prng_mix(hash ^ g->node);
        hash = prng_mix(hash ^ g->incarnation);
        hash = prng_mix(hash ^ g->mark);
        for (uint64_t s = 1; s <= g->newest - g->mark; s++) {
            const struct record *r = record_at(g, g->mark + s);
            if (r->is_done) {
                hash = hash_bytes(prng_mix(hash ^ s), record_reply(r));
            }
        }
    }
    return hash;
}
