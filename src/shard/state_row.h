/*
 * The value of the row of kind GROUP (docs/disk-format.md; golden bytes in
 * tests/unit/shard/test_state_row.c): how far the rows of a group's state go, and what of that
 * state is neither an object nor a remembered request. It stands in the same batch of the store as
 * the rows it speaks of, and is part of every snapshot (MOVE-3).
 */
#ifndef SHARD_STATE_ROW_H
#define SHARD_STATE_ROW_H

#include "base/limits.h"
#include "consensus/replica.h"
#include "shard/database.h"

struct state_row {
    struct replica_base base; /* without a configuration: config.index 0 and no members */
    uint64_t time_ms;
    uint64_t operations;
    struct database databases[LIMIT_DATABASES]; /* what is soonest is not in it: 0 */
};

/* Appends the value. */
void state_row_encode(struct buf *out, const struct state_row *row);
/*
 * UNSUPPORTED: of another version, which may hold what this one would lose. CORRUPT: not such a
 * value.
 */
MUST_CHECK enum status state_row_decode(struct bytes value, struct state_row *out_row);

#endif
