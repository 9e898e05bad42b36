/* What handlers do to rows: objects, the expiry index, counters, flushes, other databases. */
#include "shard_databases.h"

#define NOW_MS 1000u

/* A view as at apply, on the shard's own databases. */
static struct view *writer(struct shard_world *w, uint64_t now_ms)
{
    struct view_local *v = &w->shard->apply_view;
    struct keyspace space = shard_space(w->shard, 0);
    view_local_begin_entry(v);
    view_local_begin(v, &space, now_ms, 0);
    return &v->base;
}

static struct view *reader(struct shard_world *w, uint64_t now_ms, uint64_t wall_ms)
{
    struct view_local *v = &w->shard->read_view;
    struct keyspace space = shard_space(w->shard, 0);
    view_local_begin(v, &space, now_ms, wall_ms);
    return &v->base;
}

static void put(struct view *v, const char *key, uint64_t expires_ms)
{
    struct object object = {
        .type = OBJECT_TYPE_STRING,
        .expires_ms = expires_ms,
        .value = bytes_of_text("v"),
    };
    CHECK_EQ(view_put(v, bytes_of_text(key), &object), STATUS_OK);
}

static enum status get(struct view *v, const char *key)
{
    struct object object;
    return view_get(v, bytes_of_text(key), &object);
}

static void check_counts(struct shard_world *w, uint8_t database, uint64_t keys, uint64_t expiring)
{
    struct view_counts counts = shard_counts(w->shard, database);
    CHECK_EQ(counts.keys, keys);
    CHECK_EQ(counts.expiring, expiring);
    check_databases(w);
}

/* ---- one key --------------------------------------------------------------------------------- */

TEST(counters_follow_each_change)
{
    struct shard_world w;
    world_start(&w);
    struct view *v = writer(&w, NOW_MS);
    put(v, "a", 0);
    check_counts(&w, 0, 1, 0);
    put(v, "a", 5000); /* gets an expiry, */
    check_counts(&w, 0, 1, 1);
    put(v, "a", 5000); /* keeps it, */
    check_counts(&w, 0, 1, 1);
    put(v, "a", 4000); /* gets a sooner one, */
    check_counts(&w, 0, 1, 1);
    put(v, "a", 0); /* and loses it */
    check_counts(&w, 0, 1, 0);
    put(v, "b", 7000);
    put(v, "c", 7000); /* at the same time as another one */
    check_counts(&w, 0, 3, 2);
    CHECK_EQ(view_delete(v, bytes_of_text("b")), STATUS_OK);
    check_counts(&w, 0, 2, 1);
    CHECK_EQ(view_delete(v, bytes_of_text("b")), STATUS_NOT_FOUND);
    CHECK_EQ(view_delete(v, bytes_of_text("a")), STATUS_OK);
    check_counts(&w, 0, 1, 1);
    CHECK_EQ(view_count(v).keys, 1u);
    CHECK_EQ(view_count(v).expiring, 1u);
    world_stop(&w);
}

/* It counts until it is deleted, by whoever meets it. */
TEST(expired_keys_count_until_deleted)
{
    struct shard_world w;
    world_start(&w);
    struct view *v = writer(&w, NOW_MS);
    put(v, "read", 2000);
    put(v, "written", 2000);
    put(v, "deleted", 2000);
    v = writer(&w, 2000);
    check_counts(&w, 0, 3, 3);
    CHECK_EQ(get(v, "read"), STATUS_NOT_FOUND);
    check_counts(&w, 0, 2, 2);
    put(v, "written", 0);
    check_counts(&w, 0, 2, 1);
    CHECK_EQ(view_delete(v, bytes_of_text("deleted")), STATUS_NOT_FOUND);
    check_counts(&w, 0, 1, 0);
    world_stop(&w);
}

/* ---- databases ------------------------------------------------------------------------------- */

TEST(select_is_about_another_database)
{
    struct shard_world w;
    world_start(&w);
    struct view *v = writer(&w, NOW_MS);
    put(v, "k", 9000);
    view_select(v, 15);
    CHECK_EQ(get(v, "k"), STATUS_NOT_FOUND);
    put(v, "k", 0);
    CHECK_EQ(view_count(v).keys, 1u);
    check_counts(&w, 0, 1, 1);
    check_counts(&w, 15, 1, 0);
    view_select(v, 0);
    CHECK_EQ(view_delete(v, bytes_of_text("k")), STATUS_OK);
    view_select(v, 15);
    CHECK_EQ(get(v, "k"), STATUS_OK);
    CHECK_EQ(get(reader(&w, NOW_MS, NOW_MS), "k"), STATUS_NOT_FOUND); /* begins at its own */
    check_counts(&w, 15, 1, 0);
    world_stop(&w);
}

/* One database goes, and stays usable, within the same command; the others are as before. */
TEST(flush_empties_one_database)
{
    struct shard_world w;
    world_start(&w);
    struct view *v = writer(&w, NOW_MS);
    put(v, "k", 5000);
    put(v, "n", 0);
    view_select(v, 1);
    put(v, "k", 5000);
    view_select(v, 0);
    uint64_t operations = w.shard->operations;
    CHECK_EQ(get(v, "k"), STATUS_OK);
    view_flush(v);
    CHECK_EQ(w.shard->operations, operations + 1);
    CHECK_EQ(w.shard->databases[0].epoch, 1u);
    CHECK_EQ(get(v, "k"), STATUS_NOT_FOUND);
    check_counts(&w, 0, 0, 0);
    check_counts(&w, 1, 1, 1);
    put(v, "k", 6000);
    CHECK_EQ(get(v, "k"), STATUS_OK);
    check_counts(&w, 0, 1, 1);
    view_select(v, 1);
    CHECK_EQ(get(v, "k"), STATUS_OK);
    v = reader(&w, NOW_MS, NOW_MS);
    CHECK_EQ(get(v, "k"), STATUS_OK);
    CHECK_EQ(get(v, "n"), STATUS_NOT_FOUND);
    world_stop(&w);
}

/* Nothing to drop: nothing happens. FLUSHALL is asked for far more often than there are keys. */
TEST(flush_of_nothing_changes_nothing)
{
    struct shard_world w;
    world_start(&w);
    struct view *v = writer(&w, NOW_MS);
    uint64_t hash = shard_hash(w.shard);
    view_flush(v);
    CHECK_EQ(w.store.drops.size, 0u);
    CHECK_EQ(shard_hash(w.shard), hash);
    put(v, "k", 0);
    CHECK_EQ(view_delete(v, bytes_of_text("k")), STATUS_OK);
    hash = shard_hash(w.shard);
    view_flush(v);
    CHECK_EQ(w.store.drops.size, 0u);
    CHECK_EQ(shard_hash(w.shard), hash);
    world_stop(&w);
}

/* Whether the rows of before have left the engine already is nobody's state. */
TEST(hash_is_of_the_epoch_that_counts)
{
    struct shard_world w;
    world_start(&w);
    struct view *v = writer(&w, NOW_MS);
    put(v, "k", 5000);
    store_fold_soon(&w.store);
    world_turn(&w);
    view_flush(writer(&w, NOW_MS));
    uint64_t hash = shard_hash(w.shard);
    check_databases(&w);
    world_turn(&w);
    CHECK_EQ(w.store.drops.size, 0u); /* the flush asked for the fold */
    CHECK_EQ(shard_hash(w.shard), hash);
    check_databases(&w);
    world_stop(&w);
}

/* NEED-1: of rows that came to be behind a flush in the same entry nothing could be fetched. */
TEST(nothing_is_missing_behind_a_flush)
{
    struct shard_world w;
    world_start_missing(&w, NULL, 1000);
    struct view *v = writer(&w, NOW_MS);
    w.store.is_starting = true;
    put(v, "k", 5000);
    w.store.is_starting = false;
    CHECK_EQ(get(v, "other"), STATUS_NEED);
    view_flush(v);
    CHECK_EQ(get(v, "k"), STATUS_NOT_FOUND);
    CHECK_EQ(get(v, "other"), STATUS_NOT_FOUND);
    put(v, "k", 6000);
    CHECK_EQ(get(v, "k"), STATUS_OK);
    view_select(v, 1);
    CHECK_EQ(get(v, "other"), STATUS_NEED);
    CHECK_EQ(get(writer(&w, NOW_MS), "other"), STATUS_NEED); /* in the next entry it may be */
    world_stop(&w);
}

/* ---- ranges ---------------------------------------------------------------------------------- */

#define HIDDEN 100u /* counts more than all that are shown */

static bool count_one(void *ctx, struct bytes key, const struct object *object)
{
    (void)key;
    *(unsigned *)ctx += object != NULL ? 1 : HIDDEN;
    return true;
}

/* By group time it is not shown; due by the clock alone it must be ended first (ORD-5). */
TEST(range_over_keys_that_end)
{
    struct shard_world w;
    unsigned seen = 0;
    world_start(&w);
    struct view *v = writer(&w, NOW_MS);
    put(v, "k", 2000);
    put(v, "n", 0);
    CHECK_EQ(view_range(reader(&w, NOW_MS, 1999), 0, 0, count_one, &seen), STATUS_OK);
    CHECK_EQ(seen, 2u);
    struct view *r = reader(&w, NOW_MS, 2000);
    CHECK_EQ(view_range(r, 0, 0, count_one, &seen), STATUS_NEED);
    CHECK(w.shard->read_view.is_due);
    CHECK(!w.shard->read_view.is_range);
    CHECK_BYTES(buf_bytes(&w.shard->read_view.due_key), bytes_of_text("k"));
    seen = 0;
    CHECK_EQ(view_range(reader(&w, 2000, 2000), 0, 0, count_one, &seen), STATUS_OK);
    CHECK_EQ(seen, HIDDEN + 1u); /* passed, without being shown */
    seen = 0;
    r = reader(&w, 2000, 2000);
    view_select(r, 1);
    CHECK_EQ(view_range(r, 0, 0, count_one, &seen), STATUS_OK);
    CHECK_EQ(seen, 0u);
    world_stop(&w);
}
