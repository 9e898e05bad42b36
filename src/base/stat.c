#include "base/stat.h"

#include "base/assert.h"

void stat_stage_add(struct stat_stage *s, uint64_t value_us)
{
    unsigned bucket = value_us == 0 ? 0 : 64u - (unsigned)__builtin_clzll(value_us);
    if (bucket >= STAT_BUCKETS) {
        bucket = STAT_BUCKETS - 1;
    }
    s->buckets[bucket]++;
    s->count++;
    s->sum_us += value_us;
    s->max_us = value_us > s->max_us ? value_us : s->max_us;
}

uint64_t stat_stage_quantile(const struct stat_stage *s, unsigned per_mille)
{
    ensure(per_mille <= 1000);
    uint64_t wanted = (s->count * per_mille + 999) / 1000;
    uint64_t seen = 0;
    for (unsigned b = 0; b < STAT_BUCKETS; b++) {
        seen += s->buckets[b];
        if (seen >= wanted && seen > 0) {
            uint64_t bound = (uint64_t)1 << b;
            return bound < s->max_us ? bound : s->max_us;
        }
    }
    return 0;
}

void stats_each(const struct stats *s,
                void (*counter)(void *ctx, const char *name, uint64_t value),
                void (*stage)(void *ctx, const char *name, const struct stat_stage *stage),
                void *ctx)
{
#define COUNTER(name, text) counter(ctx, #name, s->name);
#define STAGE(name, text) stage(ctx, #name, &s->name);
#include "base/stat.def"
#undef COUNTER
#undef STAGE
}
