/* Counters and histograms of a node, all declared in stat.def. Plain data of the loop thread. */
#ifndef BASE_STAT_H
#define BASE_STAT_H

#include <stdint.h>

#define STAT_BUCKETS                                                                               \
    40u /* bucket b counts values in [2^(b-1), 2^b) microseconds; bucket 0 is 0                    \
         */

struct stat_stage {
    uint64_t count;
    uint64_t sum_us;
    uint64_t max_us;
    uint64_t buckets[STAT_BUCKETS];
};

struct stats {
#define COUNTER(name, text) uint64_t name;
#define STAGE(name, text) struct stat_stage name;
#include "base/stat.def"
#undef COUNTER
#undef STAGE
};

void stat_stage_add(struct stat_stage *s, uint64_t value_us);
/* Upper bound of the bucket in which the per_mille-th value lies; 0 if there is none. */
uint64_t stat_stage_quantile(const struct stat_stage *s, unsigned per_mille);

/* Calls the functions for every row of stat.def, in its order. */
void stats_each(const struct stats *s,
                void (*counter)(void *ctx, const char *name, uint64_t value),
                void (*stage)(void *ctx, const char *name, const struct stat_stage *stage),
                void *ctx);

#endif
