#include "base/prng.h"

#include "base/assert.h"

static uint64_t rotate_left(uint64_t x, int by)
{
    return (x << by) | (x >> (64 - by));
}

uint64_t prng_mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

void prng_init(struct prng *p, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        p->state[i] = prng_mix(seed + (uint64_t)i * 0x9e3779b97f4a7c15u);
    }
}

uint64_t prng_next(struct prng *p)
{
    uint64_t *s = p->state;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

uint64_t prng_below(struct prng *p, uint64_t limit)
{
    ensure(limit > 0);
    uint64_t reject_below = (0 - limit) % limit;
    uint64_t x = 0;
    do {
        x = prng_next(p);
    } while (x < reject_below);
    return x % limit;
}

uint64_t prng_between(struct prng *p, uint64_t low, uint64_t high)
{
    ensure(low <= high);
    uint64_t span = high - low + 1;
    return span == 0 ? prng_next(p) : low + prng_below(p, span);
}

bool prng_chance(struct prng *p, unsigned per_mille)
{
    return prng_below(p, 1000) < per_mille;
}
