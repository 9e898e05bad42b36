#include "shard/dup.h"

#include <assert.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/prng.h"

/* Most replies are "+OK", ":1" and the like; they need no memory of their own. */
#define REPLY_INLINE_BYTES 16u
#define RING_FIRST 64u
/* A ring that became empty is kept up to this many records. */
#define RING_KEPT 1024u

struct record {
    bool is_done;
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
};

struct dup {
    struct gateway *gateways; /* in order of node */
    size_t count;
    size_t capacity;
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

/* A newer incarnation takes the place of the dead one. */
static void gateway_renew(struct gateway *g, uint32_t incarnation)
{
    gateway_deinit(g);
    *g = (struct gateway){.node = g->node, .incarnation = incarnation};
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
    *g = (struct gateway){.node = node, .incarnation = incarnation};
    return g;
}

/* ---- the table ------------------------------------------------------------------------------- */

struct dup *dup_create(void)
{
    return mem_alloc_zero(sizeof(struct dup));
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

void dup_remember(struct dup *d, const struct request_id *id, struct bytes reply)
{
    if (id->sequence == 0) {
        return;
    }
    struct gateway *g = gateway_find(d, id->node);
    ensure(g != NULL && g->incarnation == id->incarnation);
    ensure(is_in_window(g, id->sequence));
    ring_reach(g, id->sequence);
    struct record *r = record_at(g, id->sequence);
    ensure(!r->is_done);
    r->is_done = true;
    g->newest = id->sequence > g->newest ? id->sequence : g->newest;
    if (reply.size > DUP_REPLY_BYTES_MAX) {
        reached("dup: reply too large to remember");
        return;
    }
    r->size = (uint32_t)reply.size;
    if (r->size > REPLY_INLINE_BYTES) {
        r->far = mem_alloc(r->size);
        g->reply_bytes += r->size;
        memcpy(r->far, reply.data, r->size);
    } else if (r->size > 0) {
        memcpy(r->near, reply.data, r->size);
    }
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
