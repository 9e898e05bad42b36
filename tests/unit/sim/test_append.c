/* Histories with one anomaly each, and the same without it. */
#include <string.h>

#include "harness.h"
#include "sim/append.h"

#define X 0u
#define Y 1u

static struct append_history h;
static struct buf report;

static void start(void)
{
    append_init(&h);
    buf_init(&report, 1u << 20);
    CHECK_EQ(append_add_key(&h), X);
    CHECK_EQ(append_add_key(&h), Y);
}

static bool is_good(void)
{
    return append_check(&h, &report);
}

static void finish(const char *failure)
{
    bool is_right = is_good() == (failure == NULL);
    CHECK(is_right);
    if (failure != NULL) {
        CHECK(strstr(h.failure, failure) != NULL);
    } else {
        CHECK_TEXT(h.failure, "");
    }
    append_deinit(&h);
    buf_deinit(&report);
}

static uint32_t tag_of(size_t step)
{
    return h.steps[step].tag;
}

/* The deal begun last reads the first `count` of these tags. */
static void see(uint32_t key, const uint32_t *tags, uint32_t count)
{
    CHECK(append_read(&h, append_step(&h, APPEND_READ, key), tags, count));
}

static void done(uint64_t return_us)
{
    append_end(&h, (uint32_t)h.deal_count - 1, APPEND_DONE, return_us);
}

/* A single read of all that is in the key at the end. */
static void see_all(uint32_t key, const uint32_t *tags, uint32_t count)
{
    (void)append_begin(&h, 99, 1000000);
    see(key, tags, count);
    done(1000001);
}

/* One that appends to the key, and is told nothing of where. Returns the tag. */
static uint32_t append(uint32_t key, uint64_t call_us, uint64_t return_us)
{
    (void)append_begin(&h, 1, call_us);
    uint32_t tag = tag_of(append_step(&h, APPEND_WRITE, key));
    done(return_us);
    return tag;
}

TEST(nothing_happened)
{
    start();
    finish(NULL);
}

TEST(writes_and_reads_in_their_order)
{
    start();
    uint32_t tags[] = {append(X, 1, 2), append(X, 3, 4)};
    (void)append_begin(&h, 2, 5);
    see(X, tags, 2);
    see(Y, NULL, 0);
    done(6);
    see_all(X, tags, 2);
    finish(NULL);
}

TEST(own_appends_are_seen)
{
    start();
    uint32_t tags[3] = {append(X, 1, 2)};
    (void)append_begin(&h, 2, 5);
    size_t reads = append_step(&h, APPEND_READ, X);
    size_t first = append_step(&h, APPEND_WRITE, X);
    size_t second = append_step(&h, APPEND_WRITE, X);
    tags[1] = tag_of(first);
    tags[2] = tag_of(second);
    CHECK(append_read(&h, reads, tags, 1));
    append_told(&h, first, 2);
    append_told(&h, second, 3);
    see(X, tags, 3);
    done(6);
    see_all(X, tags, 3);
    finish(NULL);
}

TEST(effects_of_others_in_between)
{
    start();
    (void)append_begin(&h, 2, 1);
    uint32_t tags[3] = {tag_of(append_step(&h, APPEND_WRITE, X))};
    tags[2] = tag_of(append_step(&h, APPEND_WRITE, X));
    done(9);
    tags[1] = append(X, 2, 3);
    see_all(X, tags, 3);
    finish("of others between its own");
}

TEST(another_one_half_done)
{
    start();
    (void)append_begin(&h, 2, 1);
    uint32_t tags[2] = {tag_of(append_step(&h, APPEND_WRITE, X))};
    tags[1] = tag_of(append_step(&h, APPEND_WRITE, X));
    done(9);
    (void)append_begin(&h, 3, 2);
    see(X, tags, 1);
    done(3);
    see_all(X, tags, 2);
    finish("half done");
}

TEST(a_lost_append)
{
    start();
    uint32_t tags[] = {append(X, 1, 2), append(X, 3, 4)};
    see_all(X, tags, 1);
    finish("lost an effect");
}

TEST(an_append_at_another_place_than_told)
{
    start();
    (void)append_begin(&h, 2, 1);
    size_t step = append_step(&h, APPEND_WRITE, X);
    append_told(&h, step, 1);
    done(9);
    uint32_t other = append(X, 2, 3);
    uint32_t tags[] = {other, tag_of(step)};
    see_all(X, tags, 2);
    finish("another place");
}

TEST(a_double_append)
{
    start();
    uint32_t tag = append(X, 1, 2);
    uint32_t tags[] = {tag, tag};
    (void)append_begin(&h, 2, 5);
    CHECK(!append_read(&h, append_step(&h, APPEND_READ, X), tags, 2));
    finish("stands in it twice");
}

TEST(a_tag_of_nobody)
{
    start();
    uint32_t tags[] = {append(Y, 1, 2)};
    (void)append_begin(&h, 2, 5);
    CHECK(!append_read(&h, append_step(&h, APPEND_READ, X), tags, 1));
    finish("nobody appended");
}

TEST(two_orders_of_one_key)
{
    start();
    uint32_t one = append(X, 1, 9);
    uint32_t two = append(X, 1, 9);
    uint32_t tags[] = {one, two};
    uint32_t other[] = {two, one};
    (void)append_begin(&h, 2, 1);
    see(X, tags, 2);
    done(9);
    (void)append_begin(&h, 3, 1);
    CHECK(!append_read(&h, append_step(&h, APPEND_READ, X), other, 2));
    finish("was seen to hold");
}

/* Appends to both keys; its outcome is this. */
static void append_both(enum append_fate fate, uint64_t call_us, uint32_t *out_x, uint32_t *out_y)
{
    uint32_t deal = append_begin(&h, 1, call_us);
    *out_x = tag_of(append_step(&h, APPEND_WRITE, X));
    *out_y = tag_of(append_step(&h, APPEND_WRITE, Y));
    append_end(&h, deal, fate, call_us + 1);
}

TEST(an_unknown_one_happens_or_not)
{
    uint32_t x = 0;
    uint32_t y = 0;
    start();
    append_both(APPEND_UNKNOWN, 1, &x, &y);
    see_all(X, &x, 1);
    see_all(Y, &y, 1);
    finish(NULL);
    start();
    append_both(APPEND_UNKNOWN, 1, &x, &y);
    see_all(X, NULL, 0);
    see_all(Y, NULL, 0);
    finish(NULL);
}

TEST(an_unknown_one_by_half)
{
    uint32_t x = 0;
    uint32_t y = 0;
    start();
    append_both(APPEND_UNKNOWN, 1, &x, &y);
    see_all(X, &x, 1);
    see_all(Y, NULL, 0);
    finish("happened by half");
}

TEST(a_refused_one_happens)
{
    uint32_t x = 0;
    uint32_t y = 0;
    start();
    append_both(APPEND_NEVER, 1, &x, &y);
    see_all(Y, &y, 1);
    finish("was not executed");
}

TEST(a_half_commit_is_seen)
{
    uint32_t x = 0;
    uint32_t y = 0;
    start();
    append_both(APPEND_DONE, 1, &x, &y);
    (void)append_begin(&h, 2, 1);
    see(X, &x, 1);
    see(Y, NULL, 0);
    done(5);
    see_all(X, &x, 1);
    see_all(Y, &y, 1);
    finish("cycle of G-single");
}

TEST(each_saw_what_the_other_wrote)
{
    start();
    (void)append_begin(&h, 1, 1);
    size_t reads_y = append_step(&h, APPEND_READ, Y);
    uint32_t x = tag_of(append_step(&h, APPEND_WRITE, X));
    done(9);
    (void)append_begin(&h, 2, 1);
    see(X, &x, 1);
    uint32_t y = tag_of(append_step(&h, APPEND_WRITE, Y));
    done(9);
    CHECK(append_read(&h, reads_y, &y, 1));
    finish("cycle of G1c");
}

TEST(two_keys_in_opposite_orders)
{
    uint32_t x[2];
    uint32_t y[2];
    start();
    append_both(APPEND_DONE, 1, &x[0], &y[1]);
    append_both(APPEND_DONE, 1, &x[1], &y[0]);
    see_all(X, x, 2);
    see_all(Y, y, 2);
    finish("cycle of G0");
}

TEST(write_skew)
{
    start();
    (void)append_begin(&h, 1, 1);
    see(X, NULL, 0);
    uint32_t y = tag_of(append_step(&h, APPEND_WRITE, Y));
    done(9);
    (void)append_begin(&h, 2, 1);
    see(Y, NULL, 0);
    uint32_t x = tag_of(append_step(&h, APPEND_WRITE, X));
    done(9);
    see_all(X, &x, 1);
    see_all(Y, &y, 1);
    finish("cycle of G2, write skew");
}

TEST(watched_keys_count_as_read)
{
    start();
    (void)append_begin(&h, 1, 1);
    CHECK(append_read(&h, append_step(&h, APPEND_WATCHED, X), NULL, 0));
    uint32_t y = tag_of(append_step(&h, APPEND_WRITE, Y));
    done(9);
    (void)append_begin(&h, 2, 1);
    see(Y, NULL, 0);
    uint32_t x = tag_of(append_step(&h, APPEND_WRITE, X));
    done(9);
    see_all(X, &x, 1);
    see_all(Y, &y, 1);
    finish("write skew");
}

TEST(a_stale_read)
{
    start();
    uint32_t x = append(X, 1, 2);
    (void)append_begin(&h, 2, 5);
    see(X, NULL, 0);
    done(6);
    see_all(X, &x, 1);
    finish("G-single, in real time");
}

TEST(at_one_instant_is_not_before)
{
    start();
    uint32_t x = append(X, 1, 5);
    (void)append_begin(&h, 2, 5);
    see(X, NULL, 0);
    done(6);
    see_all(X, &x, 1);
    finish(NULL);
}

TEST(writes_against_real_time)
{
    start();
    uint32_t first = append(X, 1, 2);
    uint32_t second = append(X, 3, 4);
    uint32_t tags[] = {second, first};
    see_all(X, tags, 2);
    finish("G0, in real time");
}

/* Two writers one after the other, two readers that agree on the wrong one: only time says no. */
TEST(long_fork_in_real_time)
{
    start();
    uint32_t x = append(X, 1, 2);
    uint32_t y = append(Y, 3, 4);
    (void)append_begin(&h, 3, 1);
    see(Y, &y, 1);
    see(X, NULL, 0);
    done(9);
    see_all(X, &x, 1);
    see_all(Y, &y, 1);
    finish("in real time");
}

TEST(the_outcome_of_an_unknown_one_stays_open)
{
    uint32_t x = 0;
    uint32_t y = 0;
    start();
    append_both(APPEND_UNKNOWN, 1, &x, &y);
    (void)append_begin(&h, 2, 100);
    see(X, NULL, 0);
    done(101);
    (void)append_begin(&h, 2, 200);
    see(X, &x, 1);
    done(201);
    see_all(Y, &y, 1);
    finish(NULL);
}

/* Watches X from 10 on and is told at 20 that it has changed. */
static void told_of_a_change(void)
{
    uint32_t deal = append_begin(&h, 2, 15);
    h.deals[deal].watch_us = 10;
    (void)append_step(&h, APPEND_WATCHED, X);
    (void)append_step(&h, APPEND_WRITE, Y);
    append_end(&h, deal, APPEND_CHANGED, 20);
}

TEST(a_change_of_a_watched_key)
{
    start();
    told_of_a_change();
    uint32_t x = append(X, 12, 13);
    see_all(X, &x, 1);
    finish(NULL);
}

TEST(no_change_of_a_watched_key)
{
    start();
    told_of_a_change();
    uint32_t tags[] = {append(X, 8, 9), append(X, 21, 30)};
    see_all(X, tags, 2);
    finish("and none has");
}

TEST(many_deals_are_judged_at_once)
{
    start();
    static uint32_t tags[2000];
    for (uint32_t i = 0; i < 2000; i++) {
        tags[i] = append(X, 10 * i, 10 * i + 15);
        (void)append_begin(&h, 3, 10 * i + 16);
        see(X, tags, i + 1);
        done(10 * i + 20);
    }
    finish(NULL);
}
