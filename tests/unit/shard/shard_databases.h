/* What must hold of objects, expiry index and counters of a shard_world, whatever happened. */
#ifndef SHARD_SHARD_DATABASES_H
#define SHARD_SHARD_DATABASES_H

#include "data/slot.h"
#include "shard_world.h"

/* Tally of the rows found. */
struct tally {
    uint64_t keys[LIMIT_DATABASES];
    uint64_t expiring[LIMIT_DATABASES];
    uint64_t index[LIMIT_DATABASES];
};

/* The expiry of the object row of that key; 0: none. */
static inline uint64_t expiry_of(struct shard_world *w,
                                 const struct keyspace *space,
                                 struct bytes key)
{
    struct buf row_key;
    struct blob *row = NULL;
    struct object object = {0};
    buf_init(&row_key, ROW_KEY_BYTES_MAX);
    row_key_append(&row_key, space, key);
    CHECK_EQ(store_get(&w->store, buf_bytes(&row_key), &row), STATUS_OK);
    CHECK_EQ(object_decode(blob_bytes(row), &object), STATUS_OK);
    buf_deinit(&row_key);
    return object.expires_ms;
}

/* No row of the index is before what the shard thinks is the first one. */
static inline void check_soonest(const struct database *d, uint64_t expires_ms, struct bytes key)
{
    uint64_t first = (uint64_t)d->soonest_slot << 32 | d->soonest_hash;
    uint64_t place = (uint64_t)slot_of_key(key) << 32 | row_key_hash(key);
    CHECK(expires_ms > d->soonest_ms || (expires_ms == d->soonest_ms && place >= first));
}

static inline void tally_row(struct shard_world *w, struct omap_item row, struct tally *tally)
{
    struct keyspace space;
    struct object object;
    struct buf key;
    uint64_t expires_ms = 0;
    buf_init(&key, LIMIT_KEY_BYTES);
    if (row_key_decode(row.key, &space, &key) == STATUS_OK) {
        CHECK_EQ(object_decode(blob_bytes(row.value), &object), STATUS_OK);
        tally->keys[space.database]++;
        tally->expiring[space.database] += object.expires_ms != 0 ? 1 : 0;
    } else {
        CHECK_EQ(row_key_decode_expiry(row.key, &space, &expires_ms, &key), STATUS_OK);
        CHECK_EQ(row.value->size, 0u);
        CHECK_EQ(expiry_of(w, &space, buf_bytes(&key)), expires_ms);
        check_soonest(&w->shard->databases[space.database], expires_ms, buf_bytes(&key));
        tally->index[space.database]++;
    }
    CHECK_EQ(space.epoch, w->shard->databases[space.database].epoch);
    buf_deinit(&key);
}

/*
 * Each object with an expiry has exactly its row in the index, the counters are right, and no row
 * of an older epoch is seen.
 */
static inline void check_databases(struct shard_world *w)
{
    struct tally tally = {0};
    struct buf from;
    struct omap_item row;
    bool was_starting = w->store.is_starting;
    w->store.is_starting = true; /* it may block */
    buf_init(&from, ROW_KEY_BYTES_MAX + 1);
    row_key_append_head_end(&from, GROUP, w->shard->generation);
    while (store_seek(&w->store, buf_bytes(&from), 0, &row) == STATUS_OK) {
        buf_clear(&from, SIZE_MAX);
        buf_append_bytes(&from, row.key);
        buf_append(&from, "", 1);
        tally_row(w, row, &tally);
    }
    buf_deinit(&from);
    w->store.is_starting = was_starting;
    for (uint8_t i = 0; i < LIMIT_DATABASES; i++) {
        struct view_counts counts = shard_counts(w->shard, i);
        CHECK_EQ(counts.keys, tally.keys[i]);
        CHECK_EQ(counts.expiring, tally.expiring[i]);
        CHECK_EQ(tally.index[i], tally.expiring[i]);
    }
}

#endif
