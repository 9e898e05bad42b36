#include "base/mem.h"
#include "base/prng.h"
#include "harness.h"
#include "sim/linear.h"

#define BUDGET 10000000u
#define RANDOM_HISTORIES 20000
#define RANDOM_OPS_MAX 6u

#define TEXT(n) ((struct linear_value){.type = LINEAR_TEXT, .number = (n)})
#define INTEGER(n) ((struct linear_value){.type = LINEAR_INTEGER, .number = (n)})
#define NIL ((struct linear_value){.type = LINEAR_ABSENT})

/* clang-format off */
#define OP(session_, call, ret, kind_, ...) \
    {.session = (session_), .call_us = (call), .return_us = (ret), \
     .kind = LINEAR_##kind_, __VA_ARGS__}
/* clang-format on */

#define VERDICT(ops) (linear_check((ops), sizeof(ops) / sizeof(ops)[0], BUDGET, NULL).verdict)

TEST(an_empty_history_is_fine)
{
    CHECK_EQ(linear_check(NULL, 0, BUDGET, NULL).verdict, LINEAR_OK);
}

TEST(one_client_after_another)
{
    struct linear_operation ops[] = {
        OP(1, 0, 1, GET, .value = NIL),
        OP(1, 2, 3, SET, .argument = TEXT(1)),
        OP(1, 4, 5, GET, .value = TEXT(1)),
        OP(1, 6, 7, SET_NX, .argument = TEXT(2), .is_done = false),
        OP(1, 8, 9, INCR, .is_refused = true),
        OP(1, 10, 11, DEL, .is_done = true),
        OP(1, 12, 13, EXISTS, .is_done = false),
        OP(1, 14, 15, INCR, .number = 1),
        OP(1, 16, 17, GET, .value = INTEGER(1)),
    };
    CHECK_EQ(VERDICT(ops), LINEAR_OK);
}

TEST(overlapping_operations_may_take_either_order)
{
    struct linear_operation ops[] = {
        OP(1, 0, 10, SET, .argument = TEXT(1)),
        OP(2, 0, 10, SET, .argument = TEXT(2)),
        OP(3, 11, 12, GET, .value = TEXT(1)),
    };
    CHECK_EQ(VERDICT(ops), LINEAR_OK);
    ops[2].value = TEXT(2);
    CHECK_EQ(VERDICT(ops), LINEAR_OK);
    ops[2].value = NIL;
    CHECK_EQ(VERDICT(ops), LINEAR_FAILED);
}

TEST(a_stale_read_is_found)
{
    struct linear_operation ops[] = {
        OP(1, 0, 1, SET, .argument = TEXT(1)),
        OP(1, 2, 3, SET, .argument = TEXT(2)),
        OP(2, 4, 5, GET, .value = TEXT(1)),
    };
    CHECK_EQ(VERDICT(ops), LINEAR_FAILED);
    ops[2].call_us = 2; /* overlaps the second SET: not stale */
    CHECK_EQ(VERDICT(ops), LINEAR_OK);
}

TEST(a_read_that_goes_back_in_time_is_found)
{
    struct linear_operation ops[] = {
        OP(1, 0, 1, SET, .argument = TEXT(1)),
        OP(1, 2, 20, SET, .argument = TEXT(2)),
        OP(2, 3, 4, GET, .value = TEXT(2)),
        OP(3, 5, 6, GET, .value = TEXT(1)),
    };
    CHECK_EQ(VERDICT(ops), LINEAR_FAILED);
}

TEST(a_lost_write_is_found)
{
    struct linear_operation ops[] = {
        OP(1, 0, 1, SET, .argument = TEXT(1)),
        OP(2, 2, 3, GET, .value = NIL),
    };
    CHECK_EQ(VERDICT(ops), LINEAR_FAILED);
}

TEST(a_lost_write_is_found_and_reported_amid_others)
{
    struct linear_operation ops[] = {
        OP(1, 0, 1, SET, .argument = TEXT(1)),
        OP(1, 2, LINEAR_UNKNOWN, SET, .argument = TEXT(2)),
        OP(2, 3, LINEAR_UNKNOWN, INCR, .number = 0),
        OP(3, 10, 11, GET, .value = NIL),
    };
    struct buf report;
    buf_init(&report, 1u << 16);
    struct linear_result r = linear_check(ops, 4, BUDGET, &report);
    CHECK_EQ(r.verdict, LINEAR_FAILED);
    CHECK(report.size > 0);
    buf_deinit(&report);
}

TEST(an_unknown_write_may_happen_late_or_never)
{
    struct linear_operation ops[] = {
        OP(1, 0, 1, SET, .argument = TEXT(1)),
        OP(2, 2, LINEAR_UNKNOWN, SET, .argument = TEXT(2)),
        OP(3, 3, 4, GET, .value = TEXT(1)),
        OP(3, 50, 51, GET, .value = TEXT(2)),
    };
    CHECK_EQ(VERDICT(ops), LINEAR_OK);
    ops[3].value = TEXT(1);
    CHECK_EQ(VERDICT(ops), LINEAR_OK);
    ops[2].value = TEXT(2);
    CHECK_EQ(VERDICT(ops), LINEAR_FAILED); /* it does not happen and unhappen */
}

TEST(an_unknown_write_does_not_happen_before_its_call)
{
    struct linear_operation ops[] = {
        OP(3, 0, 1, GET, .value = TEXT(2)),
        OP(2, 2, LINEAR_UNKNOWN, SET, .argument = TEXT(2)),
    };
    CHECK_EQ(VERDICT(ops), LINEAR_FAILED);
}

TEST(an_increment_is_not_applied_twice)
{
    struct linear_operation ops[] = {
        OP(1, 0, 1, INCR, .number = 1),
        OP(2, 2, LINEAR_UNKNOWN, INCR, .number = 0),
        OP(3, 4, 5, GET, .value = INTEGER(3)),
    };
    CHECK_EQ(VERDICT(ops), LINEAR_FAILED);
    ops[2].value = INTEGER(2);
    CHECK_EQ(VERDICT(ops), LINEAR_OK);
    ops[2].value = INTEGER(1);
    CHECK_EQ(VERDICT(ops), LINEAR_OK);
}

TEST(operations_of_one_session_keep_their_order)
{
    struct linear_operation ops[] = {
        OP(1, 0, 10, SET, .argument = TEXT(1)),
        OP(1, 0, 11, SET, .argument = TEXT(2)),
        OP(2, 12, 13, GET, .value = TEXT(1)),
    };
    CHECK_EQ(VERDICT(ops), LINEAR_FAILED);
    ops[1].session = 3;
    CHECK_EQ(VERDICT(ops), LINEAR_OK);
}

TEST(a_spent_budget_is_a_verdict_of_its_own)
{
    struct linear_operation ops[] = {
        OP(1, 0, 1, SET, .argument = TEXT(1)),
        OP(1, 2, 3, GET, .value = TEXT(1)),
    };
    CHECK_EQ(linear_check(ops, 2, 0, NULL).verdict, LINEAR_BUDGET);
}

/* ---- long histories -------------------------------------------------------------------------- */

struct generated {
    struct linear_operation *ops;
    size_t count;
};

/*
 * Executes operations of several sessions one after the other, each at a random instant within its
 * interval, so that the history is linearizable. unknown_per_mille of the writes get no answer, and
 * half of those do not happen.
 */
static struct generated generate(struct prng *p, size_t count, unsigned unknown_per_mille)
{
    struct generated g = {.ops = mem_alloc_zero(count * sizeof *g.ops), .count = count};
    struct linear_value state = NIL;
    uint64_t now_us = 0;
    uint64_t last_return_us[8] = {0};
    for (size_t i = 0; i < count; i++) {
        struct linear_operation *op = &g.ops[i];
        now_us += prng_between(p, 1, 20);
        op->session = (uint32_t)prng_below(p, 8);
        op->kind = (enum linear_kind)prng_below(p, 6);
        op->argument = prng_chance(p, 700) ? TEXT((int64_t)i + 1) : INTEGER((int64_t)i * 1000);
        uint64_t earliest_us = last_return_us[op->session];
        op->call_us =
            now_us > 40 && earliest_us < now_us - 40 ? now_us - prng_below(p, 40) : now_us;
        op->return_us = now_us + prng_below(p, 40);
        op->return_us = op->return_us > earliest_us ? op->return_us : earliest_us;
        last_return_us[op->session] = op->return_us;
        bool is_write = op->kind != LINEAR_GET && op->kind != LINEAR_EXISTS;
        bool is_lost = is_write && prng_chance(p, unknown_per_mille);
        struct linear_value before = state;
        op->value = before;
        op->is_done = (before.type != LINEAR_ABSENT) != (op->kind == LINEAR_SET_NX);
        op->is_refused = op->kind == LINEAR_INCR && before.type == LINEAR_TEXT;
        op->number = before.type == LINEAR_INTEGER ? before.number + 1 : 1;
        if (is_lost) {
            op->return_us = LINEAR_UNKNOWN;
            op->session = 100 + (uint32_t)i;
        }
        if (!is_lost || prng_chance(p, 500)) {
            (void)linear_apply(op, before, &state);
        }
    }
    return g;
}

static void sort_by_call(struct generated *g)
{
    for (size_t i = 1; i < g->count; i++) {
        for (size_t j = i; j > 0 && g->ops[j - 1].call_us > g->ops[j].call_us; j--) {
            struct linear_operation kept = g->ops[j];
            g->ops[j] = g->ops[j - 1];
            g->ops[j - 1] = kept;
        }
    }
}

TEST(long_correct_histories_pass_within_the_budget)
{
    struct prng p;
    prng_init(&p, 7);
    for (int round = 0; round < 20; round++) {
        struct generated g = generate(&p, 4000, round % 2 == 0 ? 0 : 20);
        sort_by_call(&g);
        struct linear_result r = linear_check(g.ops, g.count, BUDGET, NULL);
        mem_free(g.ops);
        CHECK_EQ(r.verdict, LINEAR_OK);
    }
}

TEST(one_wrong_read_in_a_long_history_is_found)
{
    struct prng p;
    prng_init(&p, 8);
    for (int round = 0; round < 10; round++) {
        struct generated g = generate(&p, 2000, 5);
        sort_by_call(&g);
        size_t at = (size_t)prng_between(&p, 500, 1500);
        g.ops[at].kind = LINEAR_GET;
        g.ops[at].return_us = g.ops[at].call_us + 1;
        g.ops[at].value = TEXT(1000000);
        struct linear_result r = linear_check(g.ops, g.count, BUDGET, NULL);
        mem_free(g.ops);
        CHECK_EQ(r.verdict, LINEAR_FAILED);
    }
}

/* ---- the naive twin -------------------------------------------------------------------------- */

static bool precedes(const struct linear_operation *ops, size_t a, size_t b)
{
    if (ops[a].return_us == LINEAR_UNKNOWN) {
        return false;
    }
    return ops[a].return_us < ops[b].call_us || (ops[a].session == ops[b].session && a < b);
}

/* Can the operations take effect in this order? */
static bool order_is_possible(const struct linear_operation *ops, const size_t *order, size_t count)
{
    struct linear_value state = NIL;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = i + 1; j < count; j++) {
            if (precedes(ops, order[j], order[i])) {
                return false;
            }
        }
        if (!linear_apply(&ops[order[i]], state, &state)) {
            return false;
        }
    }
    return true;
}

/* The next permutation in lexical order; false after the last. */
static bool next_order(size_t *order, size_t count)
{
    if (count < 2) {
        return false;
    }
    size_t i = count - 1;
    while (i > 0 && order[i - 1] >= order[i]) {
        i--;
    }
    if (i == 0) {
        return false;
    }
    size_t j = count - 1;
    while (order[j] <= order[i - 1]) {
        j--;
    }
    size_t kept = order[i - 1];
    order[i - 1] = order[j];
    order[j] = kept;
    for (size_t a = i, b = count - 1; a < b; a++, b--) {
        kept = order[a];
        order[a] = order[b];
        order[b] = kept;
    }
    return true;
}

/* All orders of all subsets that leave out only unknown outcomes. */
static bool naive_check(const struct linear_operation *ops, size_t count)
{
    for (size_t subset = 0; subset < (size_t)1 << count; subset++) {
        size_t order[RANDOM_OPS_MAX];
        size_t size = 0;
        bool is_legal = true;
        for (size_t i = 0; i < count; i++) {
            if ((subset >> i & 1) != 0) {
                order[size++] = i;
            } else if (ops[i].return_us != LINEAR_UNKNOWN) {
                is_legal = false;
            }
        }
        if (!is_legal) {
            continue;
        }
        do {
            if (order_is_possible(ops, order, size)) {
                return true;
            }
        } while (next_order(order, size));
    }
    return false;
}

static struct linear_value random_value(struct prng *p)
{
    int64_t number = (int64_t)prng_below(p, 3);
    return prng_chance(p, 500) ? INTEGER(number) : TEXT(number);
}

static struct generated random_history(struct prng *p)
{
    size_t count = (size_t)prng_between(p, 1, RANDOM_OPS_MAX);
    struct generated g = {.ops = mem_alloc_zero(count * sizeof *g.ops), .count = count};
    for (size_t i = 0; i < count; i++) {
        struct linear_operation *op = &g.ops[i];
        op->kind = (enum linear_kind)prng_below(p, 6);
        op->call_us = prng_below(p, 12);
        op->return_us = prng_chance(p, 250) ? LINEAR_UNKNOWN : op->call_us + prng_below(p, 6);
        op->argument = random_value(p);
        op->value = prng_chance(p, 300) ? NIL : random_value(p);
        op->is_done = prng_chance(p, 500);
        op->is_refused = prng_chance(p, 200);
        op->number = (int64_t)prng_between(p, 1, 3);
    }
    sort_by_call(&g);
    /* Two operations share a session if the second returns no sooner. */
    for (size_t i = 0; i < count; i++) {
        g.ops[i].session = (uint32_t)i;
        if (i > 0 && prng_chance(p, 400) && g.ops[i - 1].return_us <= g.ops[i].return_us) {
            g.ops[i].session = g.ops[i - 1].session;
        }
    }
    return g;
}

TEST(agrees_with_brute_force_on_small_histories)
{
    struct prng p;
    prng_init(&p, 1);
    int possible = 0;
    for (int round = 0; round < RANDOM_HISTORIES; round++) {
        struct generated g = random_history(&p);
        bool expected = naive_check(g.ops, g.count);
        enum linear_verdict verdict = linear_check(g.ops, g.count, BUDGET, NULL).verdict;
        mem_free(g.ops);
        possible += expected ? 1 : 0;
        CHECK_EQ(verdict, expected ? LINEAR_OK : LINEAR_FAILED);
    }
    CHECK(possible > RANDOM_HISTORIES / 20);
    CHECK(possible < RANDOM_HISTORIES - RANDOM_HISTORIES / 20);
}
