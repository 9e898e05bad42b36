/*
 * Seeded pseudo-random numbers: xoshiro256** (Blackman, Vigna), seeded through splitmix64.
 * Not for secrets. The same seed gives the same numbers on every machine.
 */
#ifndef BASE_PRNG_H
#define BASE_PRNG_H

#include <stdbool.h>
#include <stdint.h>

struct prng {
    uint64_t state[4];
};

void prng_init(struct prng *p, uint64_t seed);
uint64_t prng_next(struct prng *p);
/* Uniform in [0, limit); limit > 0. */
uint64_t prng_below(struct prng *p, uint64_t limit);
/* Uniform in [low, high]. */
uint64_t prng_between(struct prng *p, uint64_t low, uint64_t high);
/* True with probability per_mille / 1000. */
bool prng_chance(struct prng *p, unsigned per_mille);
/* One step of splitmix64: a good mix of a seed and a number. */
uint64_t prng_mix(uint64_t x);

#endif
