#include "base/prng.h"
#include "harness.h"

/* Published first outputs of splitmix64 from state 0. */
TEST(mix_is_splitmix64)
{
    CHECK_EQ(prng_mix(0), 0xe220a8397b1dcdafu);
    CHECK_EQ(prng_mix(0x9e3779b97f4a7c15u), 0x6e789e6aa1b965f4u);
    CHECK_EQ(prng_mix(0x9e3779b97f4a7c15u * 2), 0x06c45d188009454fu);
}

/* The reference code's outputs for the state {1, 2, 3, 4}. */
TEST(next_is_xoshiro256_starstar)
{
    struct prng p = {.state = {1, 2, 3, 4}};
    CHECK_EQ(prng_next(&p), 11520u);
    CHECK_EQ(prng_next(&p), 0u);
    CHECK_EQ(prng_next(&p), 1509978240u);
    CHECK_EQ(prng_next(&p), 1215971899390074240u);
}

TEST(same_seed_same_numbers)
{
    struct prng a;
    struct prng b;
    struct prng other;
    prng_init(&a, 42);
    prng_init(&b, 42);
    prng_init(&other, 43);
    int same_as_other = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t x = prng_next(&a);
        CHECK_EQ(x, prng_next(&b));
        same_as_other += x == prng_next(&other);
    }
    CHECK_EQ(same_as_other, 0);
}

TEST(below_is_in_range_and_even)
{
    struct prng p;
    prng_init(&p, 7);
    int counts[10] = {0};
    for (int i = 0; i < 100000; i++) {
        uint64_t x = prng_below(&p, 10);
        CHECK(x < 10);
        counts[x]++;
    }
    for (int i = 0; i < 10; i++) {
        CHECK(counts[i] > 9500 && counts[i] < 10500);
    }
    CHECK_EQ(prng_below(&p, 1), 0);
    CHECK(prng_below(&p, UINT64_MAX) < UINT64_MAX);
}

TEST(between_includes_both_ends)
{
    struct prng p;
    prng_init(&p, 8);
    bool seen[3] = {false};
    for (int i = 0; i < 1000; i++) {
        uint64_t x = prng_between(&p, 5, 7);
        CHECK(x >= 5 && x <= 7);
        seen[x - 5] = true;
    }
    CHECK(seen[0] && seen[1] && seen[2]);
    CHECK_EQ(prng_between(&p, 9, 9), 9);
    (void)prng_between(&p, 0, UINT64_MAX); /* the whole range does not divide by zero */
}

TEST(chance_is_per_mille)
{
    struct prng p;
    prng_init(&p, 9);
    int hits = 0;
    for (int i = 0; i < 100000; i++) {
        CHECK(!prng_chance(&p, 0));
        CHECK(prng_chance(&p, 1000));
        hits += prng_chance(&p, 250);
    }
    CHECK(hits > 24000 && hits < 26000);
}
