/* Any order, any loss, any crash, any emptied directory. */
#include "base/mem.h"
#include "base/prng.h"
#include "node/founding_world.h"

static void random_step(struct prng *prng, unsigned wipe_per_mille)
{
    uint32_t number = (uint32_t)prng_below(prng, world.count) + 1;
    struct site *s = site_of(number);
    world.store_outcome = STORE_GOOD;
    if (prng_chance(prng, 60)) {
        world.store_outcome =
            (enum store_outcome)(STORE_LOST + prng_below(prng, STORE_OUTCOME_COUNT - STORE_LOST));
    }
    if (prng_chance(prng, wipe_per_mille)) {
        wipe(number);
    } else if (!s->is_up) {
        start(number);
    } else if (prng_chance(prng, 30)) {
        crash(number);
    } else if (prng_chance(prng, 200) || world.letter_count == 0) {
        founding_tick(&s->founding);
    } else {
        size_t from = 0;
        if (world.letter_count > 8 && prng_chance(prng, 700)) {
            from = world.letter_count - 8;
        }
        size_t i = from + (size_t)prng_below(prng, world.letter_count - from);
        (prng_chance(prng, 750) ? deliver_judged : deliver)(&world.letters[i], number);
    }
}

TEST(random_without_emptied_directories)
{
    for (uint64_t seed = 1; seed <= 700; seed++) {
        struct prng prng;
        prng_init(&prng, seed);
        world_init(seed % 4 == 0 ? 2 : 3);
        uint64_t steps = prng_below(&prng, 120);
        for (uint64_t i = 0; i < steps; i++) {
            random_step(&prng, 0);
        }
        settle();
        CHECK_EQ(formed_count(), world.count);
        CHECK_EQ(world.formed_list_count, 1u);
        CHECK_EQ(world.refused, 0u);
        CHECK_EQ(world.warnings, 0u);
    }
}

TEST(random_with_emptied_directories)
{
    memset(&met, 0, sizeof(met));
    for (uint64_t seed = 1; seed <= 1500; seed++) {
        struct prng prng;
        prng_init(&prng, seed);
        world_init(seed % 2 == 0 ? 2 : 3);
        unsigned wipe_per_mille = (unsigned)prng_between(&prng, 5, 60);
        for (unsigned i = 0; i < 200; i++) {
            random_step(&prng, wipe_per_mille);
        }
        met.formed_in_spite_of_wipes += world.wipes > 0 && formed_count() > 0;
        met.refused += world.refused;
        /* Directories of one list, or of none; a new directory beside a formed one stays out. */
        settle();
        unsigned formed = formed_count();
        settle();
        CHECK_EQ(formed_count(), formed);
    }
    CHECK(met.formed_in_spite_of_wipes > 100);
    CHECK(met.second_clusters > 10);
    CHECK(met.adopted > 100);
    CHECK(met.refused > 100);
}

/*
 * Every schedule of two founders, each emptied at most once, up to a number of steps: start, tick,
 * crash, emptied, and any message ever sent arriving, with each outcome of the store. Nobody
 * judges, so more may happen than on real connections.
 */
#define STEPS_MAX 200u
#define SEEN_SLOTS (1u << 20)

struct frame {
    struct world world;
    uint32_t next; /* choice */
};

static uint64_t mix(uint64_t seed, const void *data, size_t size)
{
    const uint8_t *bytes = data;
    for (size_t i = 0; i < size; i++) {
        seed = prng_mix(seed ^ bytes[i]);
    }
    return seed;
}

/* Equal for worlds with the same future: what was sent is a set. */
static uint64_t fingerprint(void)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < world.count; i++) {
        const struct site *s = &world.sites[i];
        uint8_t flags[] = {
            (uint8_t)(i + 1),
            (uint8_t)s->life,
            s->is_up,
            s->has_directory,
            s->disk.is_formed,
            s->is_up && s->founding.has_said[0],
            s->is_up && s->founding.has_said[1],
        };
        sum += mix(mix(1, flags, sizeof(flags)), s->disk.members, 2u * IDENTITY_ID_BYTES);
    }
    for (size_t i = 0; i < world.letter_count; i++) {
        const struct letter *letter = &world.letters[i];
        sum += mix(2 + letter->hello.number, letter->bytes, letter->size);
    }
    return sum | 1u;
}

static bool was_seen(uint64_t *slots, uint64_t print)
{
    for (uint64_t at = print;; at++) {
        uint64_t *slot = &slots[at % SEEN_SLOTS];
        if (*slot == print) {
            return true;
        }
        if (*slot == 0) {
            *slot = print;
            return false;
        }
    }
}

/* False: there is no such choice any more. A choice that does nothing leaves a world seen before.
 */
static bool choose(uint32_t choice)
{
    uint32_t number = choice % world.count + 1;
    uint32_t what = choice / world.count;
    struct site *s = site_of(number);
    world.store_outcome = STORE_GOOD;
    if (what == 0) {
        if (s->is_up) {
            crash(number);
        } else {
            start(number);
        }
    } else if (what == 1) {
        if (s->is_up) {
            founding_tick(&s->founding);
        }
    } else if (what == 2) {
        if (s->has_directory && s->life == 1) {
            wipe(number);
        }
    } else {
        size_t letter = (what - 3) / STORE_OUTCOME_COUNT;
        if (letter >= world.letter_count) {
            return false;
        }
        world.store_outcome = (enum store_outcome)((what - 3) % STORE_OUTCOME_COUNT);
        deliver(&world.letters[letter], number);
    }
    return true;
}

TEST(every_schedule_of_two)
{
    memset(&met, 0, sizeof(met));
    world_init(2);
    struct frame *frames = mem_alloc_zero(STEPS_MAX * sizeof(*frames));
    uint64_t *seen = mem_alloc_zero(SEEN_SLOTS * sizeof(*seen));
    size_t depth = 0;
    uint64_t states = 0;
    frames[0].world = world;
    for (;;) {
        world = frames[depth].world;
        if (!choose(frames[depth].next++)) {
            if (depth == 0) {
                break;
            }
            depth--;
        } else if (!was_seen(seen, fingerprint())) {
            states++;
            CHECK(states < SEEN_SLOTS / 2);
            CHECK(depth + 1 < STEPS_MAX);
            depth++;
            frames[depth].world = world;
            frames[depth].next = 0;
        }
    }
    mem_free(seen);
    mem_free(frames);
    CHECK(met.second_clusters > 0);
    CHECK(met.adopted > 0);
}
