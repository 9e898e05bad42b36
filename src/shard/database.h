/*
 * What a shard knows of one database of its group, beside the rows. Epoch and counters are
 * replicated state: the same on all replicas at the same index.
 */
#ifndef SHARD_DATABASE_H
#define SHARD_DATABASE_H

#include <stdint.h>

struct database {
    uint32_t epoch;    /* flushes so far: part of the keys of its rows */
    uint64_t keys;     /* objects, with those that have expired and were not deleted yet */
    uint64_t expiring; /* of them: those with an expiry, so as many as the expiry index has rows */

    /*
     * Of this replica alone: no row of the expiry index is of an earlier time, or of this time and
     * an earlier place. Known from the last look at it; without this, each look would pass all rows
     * deleted since the last fold. The place counts, as many keys may end in the same millisecond.
     */
    uint64_t soonest_ms;
    uint16_t soonest_slot;
    uint32_t soonest_hash;
};

#endif
