#include "sim/linear.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/prng.h"

#define NONE SIZE_MAX
#define REPORT_BEFORE 12u
#define REPORT_NEXT 16u
#define REPORT_UNKNOWN 16u
#define UNKNOWN_WORDS 2u
#define UNKNOWN_BITS (64u * UNKNOWN_WORDS)

/* Entry 2i is the call of known operation i, entry 2i+1 its return. */
struct frame {
    size_t op;
    struct linear_value before;
    /* where the loop over candidates goes on after this one was taken back */
    size_t tried;
    size_t unknown;
    bool is_in_unknowns;
};

/* A set of operations and a state that were reached, and with which unknown operations at first. */
struct memo_slot {
    uint64_t hash[2]; /* both 0: free */
    uint64_t unknowns[UNKNOWN_WORDS];
};

struct memo {
    struct memo_slot *slots;
    size_t count;
    size_t capacity; /* a power of two */
};

struct search {
    const struct linear_operation *ops;
    size_t count;
    uint64_t budget;
    uint64_t steps;
    /* linked list of the entries of known operations that are not placed yet; head = 2 * count */
    size_t *next;
    size_t *prev;
    size_t head;
    size_t known_left;
    size_t *unknowns; /* operations, in the order of their calls */
    size_t unknown_count;
    size_t *return_rank;  /* of a known operation, in the order of returns, from 1 on */
    size_t *unknown_rank; /* of an unknown operation: its place in unknowns */
    size_t *session_prev; /* known operation before it in its session, or NONE */
    bool *is_observed;    /* somebody saw the value that it sets, or what became of it */
    bool *is_placed;
    uint64_t known_hash[2];               /* of the set of placed known operations */
    uint64_t unknown_hash[2];             /* of the set of placed unknown ones */
    uint64_t unknown_bits[UNKNOWN_WORDS]; /* the same, of the first ones */
    size_t incr_left;                     /* unknown INCRs that are not placed */
    size_t unknown_beyond;                /* placed ones that have no bit */
    struct linear_value state;
    struct frame *stack;
    size_t depth;
    size_t tried; /* candidates with a return rank up to this one have been */
    size_t unknown;
    bool is_in_unknowns;
    struct memo exact;    /* sets of all placed operations, with the state */
    struct memo smallest; /* sets of known ones, with the state */
    /* the dead end with the most known operations placed */
    size_t stuck_left;
    size_t stuck_before[REPORT_BEFORE];
    size_t stuck_before_count;
    struct linear_value stuck_state;
    size_t stuck_next[REPORT_NEXT];
    size_t stuck_next_count;
};

/* ---- memo ------------------------------------------------------------------------------------ */

static struct memo_slot *memo_find(const struct memo *m, const uint64_t hash[2])
{
    size_t i = (size_t)hash[0] & (m->capacity - 1);
    for (;;) {
        struct memo_slot *slot = &m->slots[i];
        bool is_free = slot->hash[0] == 0 && slot->hash[1] == 0;
        if (is_free || (slot->hash[0] == hash[0] && slot->hash[1] == hash[1])) {
            return slot;
        }
        i = (i + 1) & (m->capacity - 1);
    }
}

static void memo_grow(struct memo *m)
{
    struct memo larger = {
        .count = m->count,
        .capacity = m->capacity > 0 ? m->capacity * 2 : 1024,
    };
    larger.slots = mem_alloc_zero(larger.capacity * sizeof larger.slots[0]);
    for (size_t i = 0; i < m->capacity; i++) {
        *memo_find(&larger, m->slots[i].hash) = m->slots[i];
    }
    mem_free(m->slots);
    *m = larger;
}

/* The slot of hash; *out_is_new says whether this call made it. */
static struct memo_slot *memo_put(struct memo *m, const uint64_t hash[2], bool *out_is_new)
{
    if (m->count * 2 >= m->capacity) {
        memo_grow(m);
    }
    struct memo_slot *slot = memo_find(m, hash);
    *out_is_new = slot->hash[0] == 0 && slot->hash[1] == 0;
    if (*out_is_new) {
        slot->hash[0] = hash[0];
        slot->hash[1] = hash[1];
        m->count++;
    }
    return slot;
}

/* One half of the hash of an operation; sets are hashed by XOR, so two halves of 64 bits. */
static uint64_t op_hash(size_t op, unsigned half)
{
    return prng_mix((uint64_t)op * 2 + half);
}

/*
 * True if what placing op leads to is new. It is not if the same known operations led to the same
 * state with fewer of the unknown ones: whatever can follow here could follow there.
 */
static bool memo_add(struct search *s, size_t op, struct linear_value after)
{
    uint64_t state = prng_mix((uint64_t)after.number) ^ (uint64_t)after.type;
    uint64_t known[2] = {s->known_hash[0] ^ prng_mix(state), s->known_hash[1] ^ prng_mix(~state)};
    uint64_t bits[UNKNOWN_WORDS] = {s->unknown_bits[0], s->unknown_bits[1]};
    size_t beyond = s->unknown_beyond;
    if (!linear_is_unknown(&s->ops[op])) {
        known[0] ^= op_hash(op, 0);
        known[1] ^= op_hash(op, 1);
    } else if (s->unknown_rank[op] < UNKNOWN_BITS) {
        bits[s->unknown_rank[op] / 64] |= (uint64_t)1 << s->unknown_rank[op] % 64;
    } else {
        beyond++;
    }
    uint64_t all[2] = {known[0] ^ s->unknown_hash[0], known[1] ^ s->unknown_hash[1]};
    if (linear_is_unknown(&s->ops[op])) {
        all[0] ^= op_hash(op, 0);
        all[1] ^= op_hash(op, 1);
    }
    bool is_new = false;
    (void)memo_put(&s->exact, all, &is_new);
    if (!is_new) {
        return false;
    }
    struct memo_slot *first = memo_put(&s->smallest, known, &is_new);
    if (is_new) {
        /* All bits: no later one contains it, if it cannot be described. */
        first->unknowns[0] = beyond == 0 ? bits[0] : UINT64_MAX;
        first->unknowns[1] = beyond == 0 ? bits[1] : UINT64_MAX;
        return true;
    }
    if (((first->unknowns[0] & ~bits[0]) | (first->unknowns[1] & ~bits[1])) == 0) {
        return false;
    }
    if (beyond == 0 && ((bits[0] & ~first->unknowns[0]) | (bits[1] & ~first->unknowns[1])) == 0) {
        first->unknowns[0] = bits[0];
        first->unknowns[1] = bits[1];
    }
    return true;
}

/* ---- the search ------------------------------------------------------------------------------ */

static void unlink_entry(struct search *s, size_t entry)
{
    s->next[s->prev[entry]] = s->next[entry];
    s->prev[s->next[entry]] = s->prev[entry];
}

static void relink_entry(struct search *s, size_t entry)
{
    s->next[s->prev[entry]] = entry;
    s->prev[s->next[entry]] = entry;
}

static void mark_placed(struct search *s, size_t op, bool is_placed)
{
    s->is_placed[op] = is_placed;
    uint64_t *hash = linear_is_unknown(&s->ops[op]) ? s->unknown_hash : s->known_hash;
    hash[0] ^= op_hash(op, 0);
    hash[1] ^= op_hash(op, 1);
    if (linear_is_unknown(&s->ops[op]) && s->ops[op].kind == LINEAR_INCR) {
        s->incr_left += is_placed ? SIZE_MAX : 1;
    }
    if (linear_is_unknown(&s->ops[op]) && s->unknown_rank[op] < UNKNOWN_BITS) {
        s->unknown_bits[s->unknown_rank[op] / 64] ^= (uint64_t)1 << s->unknown_rank[op] % 64;
    } else if (linear_is_unknown(&s->ops[op])) {
        s->unknown_beyond += is_placed ? 1 : SIZE_MAX; /* wraps to minus one */
    }
}

static void push(struct search *s, size_t op, struct linear_value after)
{
    s->stack[s->depth++] = (struct frame){
        .op = op,
        .before = s->state,
        .tried = s->tried,
        .unknown = s->unknown,
        .is_in_unknowns = s->is_in_unknowns,
    };
    mark_placed(s, op, true);
    if (!linear_is_unknown(&s->ops[op])) {
        unlink_entry(s, 2 * op);
        unlink_entry(s, 2 * op + 1);
        s->known_left--;
    }
    s->state = after;
    s->tried = 0;
    s->unknown = 0;
    s->is_in_unknowns = false;
}

static void pop(struct search *s)
{
    ensure(s->depth > 0);
    struct frame f = s->stack[--s->depth];
    mark_placed(s, f.op, false);
    if (!linear_is_unknown(&s->ops[f.op])) {
        relink_entry(s, 2 * f.op + 1);
        relink_entry(s, 2 * f.op);
        s->known_left++;
    }
    s->state = f.before;
    s->tried = f.tried;
    s->unknown = f.unknown;
    s->is_in_unknowns = f.is_in_unknowns;
}

static bool session_allows(const struct search *s, size_t op)
{
    return s->session_prev[op] == NONE || s->is_placed[s->session_prev[op]];
}

/* Unknown outcomes that do the same: which of them took effect cannot be told apart. */
static bool is_interchangeable(const struct search *s, size_t a, size_t b)
{
    const struct linear_operation *x = &s->ops[a];
    const struct linear_operation *y = &s->ops[b];
    if (x->kind != y->kind) {
        return false;
    }
    if (x->kind == LINEAR_DEL || x->kind == LINEAR_INCR) {
        return true;
    }
    return x->argument.type == y->argument.type && !s->is_observed[a] && !s->is_observed[b];
}

/* Leaves out choices that another one stands for. */
static bool is_worth_trying(const struct search *s, size_t at, struct linear_value after)
{
    size_t op = s->unknowns[at];
    if (s->is_placed[op] || !session_allows(s, op) || linear_value_equal(s->state, after)) {
        return false;
    }
    if (s->depth > 0) {
        /* Nobody saw the unknown operation just before, and this one covers it up. */
        size_t last = s->stack[s->depth - 1].op;
        bool covers = s->ops[op].kind == LINEAR_SET || s->ops[op].kind == LINEAR_DEL;
        if (covers && linear_is_unknown(&s->ops[last])) {
            return false;
        }
    }
    for (size_t i = 0; i < at; i++) {
        size_t earlier = s->unknowns[i];
        if (!s->is_placed[earlier] && session_allows(s, earlier) &&
            is_interchangeable(s, earlier, op)) {
            return false;
        }
    }
    return true;
}

/* An unknown SET NX of such a value could still follow an unknown DEL. */
static bool has_set_nx(const struct search *s, enum linear_type type, int64_t low, int64_t high)
{
    for (size_t i = 0; i < s->unknown_count; i++) {
        const struct linear_operation *op = &s->ops[s->unknowns[i]];
        if (op->kind == LINEAR_SET_NX && !s->is_placed[s->unknowns[i]] &&
            op->argument.type == type && op->argument.number >= low &&
            op->argument.number <= high) {
            return true;
        }
    }
    return false;
}

/* Could unknown operations turn `from` into the integer? */
static bool reaches_integer(const struct search *s, struct linear_value from, int64_t number)
{
    int64_t low = number - (int64_t)s->incr_left;
    if (from.type == LINEAR_ABSENT) {
        return (number > 0 && low <= 0) || has_set_nx(s, LINEAR_INTEGER, low, number);
    }
    return from.type == LINEAR_INTEGER && from.number >= low && from.number <= number;
}

/* Could op take effect on `from`, or on what further unknown operations can make of it? */
static bool is_reachable(const struct search *s,
                         const struct linear_operation *op,
                         struct linear_value from)
{
    struct linear_value after;
    if (linear_apply(op, from, &after)) {
        return true;
    }
    bool is_absent = from.type == LINEAR_ABSENT;
    if (op->kind == LINEAR_GET && op->value.type == LINEAR_INTEGER) {
        return reaches_integer(s, from, op->value.number);
    }
    if (op->kind == LINEAR_GET && op->value.type == LINEAR_TEXT) {
        return is_absent && has_set_nx(s, LINEAR_TEXT, op->value.number, op->value.number);
    }
    if (op->kind == LINEAR_INCR && op->is_refused) {
        return is_absent && has_set_nx(s, LINEAR_TEXT, INT64_MIN, INT64_MAX);
    }
    return op->kind == LINEAR_INCR && reaches_integer(s, from, op->number - 1);
}

/*
 * An unknown operation is placed only on the way to a known one that cannot take effect without it:
 * any other could as well take effect later, or never.
 */
static bool is_needed(const struct search *s, struct linear_value after)
{
    for (size_t entry = s->next[s->head]; entry % 2 == 0; entry = s->next[entry]) {
        const struct linear_operation *op = &s->ops[entry / 2];
        struct linear_value ignored;
        if (session_allows(s, entry / 2) && !linear_apply(op, s->state, &ignored) &&
            is_reachable(s, op, after)) {
            return true;
        }
    }
    return false;
}

/* The operation that returns next after those tried, of those called before the first return. */
static size_t next_candidate(const struct search *s)
{
    size_t best = NONE;
    for (size_t entry = s->next[s->head]; entry % 2 == 0; entry = s->next[entry]) {
        size_t op = entry / 2;
        if (s->return_rank[op] > s->tried && session_allows(s, op) &&
            (best == NONE || s->return_rank[op] < s->return_rank[best])) {
            best = op;
        }
    }
    return best;
}

/* In the order of returns, as most operations take effect shortly before theirs. */
static bool place_known(struct search *s)
{
    for (size_t op = next_candidate(s); op != NONE; op = next_candidate(s)) {
        s->tried = s->return_rank[op];
        s->steps++;
        struct linear_value after;
        if (linear_apply(&s->ops[op], s->state, &after) && memo_add(s, op, after)) {
            push(s, op, after);
            return true;
        }
    }
    return false;
}

static uint64_t first_return_us(const struct search *s)
{
    size_t entry = s->next[s->head];
    while (entry % 2 == 0) {
        entry = s->next[entry];
    }
    return s->ops[entry / 2].return_us;
}

static bool place_unknown(struct search *s)
{
    uint64_t limit_us = first_return_us(s);
    while (s->unknown < s->unknown_count) {
        size_t at = s->unknown++;
        size_t op = s->unknowns[at];
        if (s->ops[op].call_us > limit_us) {
            s->unknown = s->unknown_count;
            return false;
        }
        s->steps++;
        struct linear_value after;
        if (linear_apply(&s->ops[op], s->state, &after) && is_worth_trying(s, at, after) &&
            is_needed(s, after) && memo_add(s, op, after)) {
            push(s, op, after);
            return true;
        }
    }
    return false;
}

/* Known operations first: an unknown one is used when nothing else explains what was seen. */
static bool place_next(struct search *s)
{
    if (!s->is_in_unknowns) {
        if (place_known(s)) {
            return true;
        }
        s->is_in_unknowns = true;
        s->unknown = 0;
    }
    return place_unknown(s);
}

static void note_dead_end(struct search *s)
{
    if (s->known_left >= s->stuck_left) {
        return;
    }
    s->stuck_left = s->known_left;
    s->stuck_state = s->state;
    s->stuck_before_count = s->depth < REPORT_BEFORE ? s->depth : REPORT_BEFORE;
    for (size_t i = 0; i < s->stuck_before_count; i++) {
        s->stuck_before[i] = s->stack[s->depth - s->stuck_before_count + i].op;
    }
    s->stuck_next_count = 0;
    size_t entry = s->next[s->head];
    for (; entry % 2 == 0 && s->stuck_next_count + 1 < REPORT_NEXT; entry = s->next[entry]) {
        s->stuck_next[s->stuck_next_count++] = entry / 2;
    }
    s->stuck_next[s->stuck_next_count++] = entry / 2;
}

static enum linear_verdict run(struct search *s)
{
    while (s->known_left > 0) {
        if (s->steps > s->budget) {
            return LINEAR_BUDGET;
        }
        if (place_next(s)) {
            continue;
        }
        note_dead_end(s);
        if (s->depth == 0) {
            return LINEAR_FAILED;
        }
        pop(s);
    }
    return LINEAR_OK;
}

/* ---- setting up ------------------------------------------------------------------------------ */

struct moment {
    uint64_t at_us;
    size_t entry;
};

static int compare_moments(const void *a, const void *b)
{
    const struct moment *x = a;
    const struct moment *y = b;
    if (x->at_us != y->at_us) {
        return x->at_us < y->at_us ? -1 : 1;
    }
    /* At one time calls stand before returns: the operations overlap. */
    if (x->entry % 2 != y->entry % 2) {
        return x->entry % 2 == 0 ? -1 : 1;
    }
    return (x->entry > y->entry) - (x->entry < y->entry);
}

static void link_known(struct search *s)
{
    struct moment *moments = mem_alloc((2 * s->count + 1) * sizeof *moments);
    size_t count = 0;
    for (size_t i = 0; i < s->count; i++) {
        if (!linear_is_unknown(&s->ops[i])) {
            ensure(s->ops[i].call_us <= s->ops[i].return_us);
            moments[count++] = (struct moment){.at_us = s->ops[i].call_us, .entry = 2 * i};
            moments[count++] = (struct moment){.at_us = s->ops[i].return_us, .entry = 2 * i + 1};
        }
    }
    qsort(moments, count, sizeof *moments, compare_moments);
    size_t last = s->head;
    size_t returns = 0;
    for (size_t i = 0; i < count; i++) {
        if (moments[i].entry % 2 == 1) {
            s->return_rank[moments[i].entry / 2] = ++returns;
        }
        s->next[last] = moments[i].entry;
        s->prev[moments[i].entry] = last;
        last = moments[i].entry;
    }
    s->next[last] = s->head;
    s->prev[s->head] = last;
    s->known_left = count / 2;
    mem_free(moments);
}

static size_t find_session_prev(const struct search *s, size_t op)
{
    for (size_t i = op; i > 0; i--) {
        const struct linear_operation *before = &s->ops[i - 1];
        if (before->session == s->ops[op].session && !linear_is_unknown(before)) {
            return i - 1;
        }
    }
    return NONE;
}

/* An integer is seen as itself or as what the INCRs of the history can make of it. */
static bool is_sighting(const struct linear_operation *op, struct linear_value set, int64_t incrs)
{
    if (linear_is_unknown(op)) {
        return false;
    }
    if (op->kind == LINEAR_INCR && set.type == LINEAR_INTEGER && !op->is_refused) {
        return op->number >= set.number && op->number - set.number <= incrs;
    }
    if (op->kind != LINEAR_GET || op->value.type != set.type) {
        return false;
    }
    int64_t most = set.type == LINEAR_INTEGER ? incrs : 0;
    return op->value.number >= set.number && op->value.number - set.number <= most;
}

static bool find_observed(const struct search *s, size_t op, int64_t incrs)
{
    for (size_t i = 0; i < s->count; i++) {
        if (is_sighting(&s->ops[i], s->ops[op].argument, incrs)) {
            return true;
        }
    }
    return false;
}

static int64_t count_incrs(const struct search *s)
{
    int64_t count = 0;
    for (size_t i = 0; i < s->count; i++) {
        count += s->ops[i].kind == LINEAR_INCR ? 1 : 0;
    }
    return count;
}

static void search_init(struct search *s,
                        const struct linear_operation *ops,
                        size_t count,
                        uint64_t budget)
{
    *s = (struct search){.ops = ops, .count = count, .budget = budget, .head = 2 * count};
    s->next = mem_alloc((2 * count + 1) * sizeof s->next[0]);
    s->prev = mem_alloc((2 * count + 1) * sizeof s->prev[0]);
    s->unknowns = mem_alloc(count * sizeof s->unknowns[0]);
    s->return_rank = mem_alloc_zero(count * sizeof s->return_rank[0]);
    s->unknown_rank = mem_alloc_zero(count * sizeof s->unknown_rank[0]);
    s->session_prev = mem_alloc(count * sizeof s->session_prev[0]);
    s->is_observed = mem_alloc_zero(count * sizeof s->is_observed[0]);
    s->is_placed = mem_alloc_zero(count * sizeof s->is_placed[0]);
    s->stack = mem_alloc((count + 1) * sizeof s->stack[0]);
    link_known(s);
    int64_t incrs = count_incrs(s);
    for (size_t i = 0; i < count; i++) {
        ensure(i == 0 || ops[i - 1].call_us <= ops[i].call_us);
        s->session_prev[i] = find_session_prev(s, i);
        /* A read nobody got an answer to says nothing. */
        if (linear_is_unknown(&ops[i]) && ops[i].kind != LINEAR_GET &&
            ops[i].kind != LINEAR_EXISTS) {
            s->unknown_rank[i] = s->unknown_count;
            s->unknowns[s->unknown_count++] = i;
            s->is_observed[i] = find_observed(s, i, incrs);
            s->incr_left += ops[i].kind == LINEAR_INCR ? 1 : 0;
        }
    }
    s->stuck_left = NONE;
}

static void search_deinit(struct search *s)
{
    mem_free(s->next);
    mem_free(s->prev);
    mem_free(s->unknowns);
    mem_free(s->return_rank);
    mem_free(s->unknown_rank);
    mem_free(s->session_prev);
    mem_free(s->is_observed);
    mem_free(s->is_placed);
    mem_free(s->stack);
    mem_free(s->exact.slots);
    mem_free(s->smallest.slots);
}

/* ---- reports --------------------------------------------------------------------------------- */

static void report_op(const struct linear_operation *op, const char *mark, struct buf *out)
{
    buf_printf(out, "  %s [%10" PRIu64 " .. ", mark, op->call_us);
    if (linear_is_unknown(op)) {
        buf_append_text(out, "         ?]");
    } else {
        buf_printf(out, "%10" PRIu64 "]", op->return_us);
    }
    buf_printf(out, " session %" PRIu32 ": ", op->session);
    linear_print(op, out);
    buf_append_text(out, "\n");
}

static void report(const struct search *s, struct buf *out)
{
    buf_append_text(out, "  an order that explains the beginning of the history ends with\n");
    for (size_t i = 0; i < s->stuck_before_count; i++) {
        report_op(&s->ops[s->stuck_before[i]], " ", out);
    }
    buf_append_text(out, "  the key then holds ");
    linear_print_value(s->stuck_state, out);
    buf_append_text(out, "; none of these can be next, and the last marked one has to\n");
    for (size_t i = 0; i < s->stuck_next_count; i++) {
        report_op(&s->ops[s->stuck_next[i]], "*", out);
    }
    const struct linear_operation *last = &s->ops[s->stuck_next[s->stuck_next_count - 1]];
    size_t called = 0;
    while (called < s->unknown_count && s->ops[s->unknowns[called]].call_us <= last->return_us) {
        called++;
    }
    for (size_t i = called > REPORT_UNKNOWN ? called - REPORT_UNKNOWN : 0; i < called; i++) {
        report_op(&s->ops[s->unknowns[i]], "?", out);
    }
}

struct linear_result linear_check(const struct linear_operation *operations,
                                  size_t count,
                                  uint64_t budget,
                                  struct buf *out_report)
{
    struct search s;
    search_init(&s, operations, count, budget);
    enum linear_verdict verdict = run(&s);
    if (verdict != LINEAR_OK && s.stuck_left != NONE && out_report != NULL) {
        report(&s, out_report);
    }
    struct linear_result result = {.verdict = verdict, .steps = s.steps};
    search_deinit(&s);
    return result;
}
