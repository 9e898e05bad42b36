/* The state as rows: folds, restarts, generations, leftovers. */
#include "base/endian.h"
#include "shard/state_row.h"
#include "shard_random.h"

#define OK "+OK\r\n"
#define NIL "$-1\r\n"
#define TEXT_BYTES 128u

/* ---- folds ----------------------------------------------------------------------------------- */

static void fold(struct shard_world *w)
{
    store_fold_soon(&w->store);
    world_turn(w);
}

/* A group that did not change writes nothing, and one that never had an entry has no rows. */
TEST(fold_puts_rows_of_what_changed)
{
    struct shard_world w;
    world_start(&w);
    fold(&w);
    CHECK_EQ(w.store.stats.folds, 1u);
    CHECK_EQ(w.store.stats.folded_rows, 0u);
    check_command(&w, "SET k v", OK);
    fold(&w);
    CHECK_EQ(w.store.stats.folded_rows, 4u); /* the key, a gateway, its request, the group */
    CHECK_EQ(w.replica.folded, 1u);
    fold(&w);
    fold(&w);
    CHECK_EQ(w.store.stats.folded_rows, 4u);
    CHECK_EQ(w.replica.synced, 0u);
    world_stop(&w);
}

/* What is told is how far the state went when the fold began, not when it ended. */
TEST(folded_is_what_went_in)
{
    struct shard_world w;
    struct ask a;
    world_start(&w);
    check_command(&w, "SET k 1", OK);
    store_sync_soon(&w.store);
    store_flush(&w.store);
    ask(&w, &a, "SET k 2"); /* applied while the worker writes */
    shard_flush(w.shard);
    world_apply_all(&w);
    check_reply(&a, OK);
    CHECK(fake_env_run(&w.env));
    CHECK_EQ(w.replica.folded, 1u);
    CHECK_EQ(w.replica.synced, 0u);
    /* A fold beside the sync is not part of it. */
    store_flush(&w.store);
    store_fold_soon(&w.store);
    store_flush(&w.store);
    fake_env_run_all(&w.env);
    CHECK_EQ(w.replica.folded, 2u);
    CHECK_EQ(w.replica.synced, 1u);
    store_sync_soon(&w.store);
    for (unsigned i = 0; i < 3; i++) {
        world_turn(&w);
    }
    CHECK_EQ(w.replica.synced, 2u);
    world_stop(&w);
}

/* ---- restarts -------------------------------------------------------------------------------- */

/* Power goes: of the batches since the last sync the first `keep` are left. */
static void crash(struct shard_world *w, size_t keep)
{
    shard_stop(w->shard);
    shard_destroy(w->shard);
    store_deinit(&w->store);
    w->env.job_count = 0;
    size_t pending = store_medium_pending(w->medium);
    store_medium_crash(w->medium, keep < pending ? keep : pending);
    w->replica.is_leader = false;
    w->replica.is_held = false;
    w->replica.confirmed = 0;
    w->replica.folded = 0;
    w->replica.pending_bytes = 0;
    world_open(w);
}

static enum status restore(struct shard_world *w, uint32_t generation, struct replica_base *out)
{
    struct error error = {0};
    enum status s = shard_replica_events()->restore(w->shard, generation, out, &error);
    CHECK_EQ(s == STATUS_CORRUPT, strstr(error.text, "dougong rebuild") != NULL);
    CHECK_EQ(s == STATUS_UNSUPPORTED, strstr(error.text, "upgrade") != NULL);
    return s;
}

/* What is behind the base is applied again, from the log. */
static void replay(struct shard_world *w, uint64_t base, uint64_t applied)
{
    struct replica *r = &w->replica;
    CHECK(base >= r->synced && base <= applied);
    for (uint64_t i = base + 1; i <= r->index_last; i++) {
        r->pending_bytes += r->entries[i].size;
    }
    r->index_applied = base;
    r->synced = 0;
    world_apply(w, applied);
    CHECK_EQ(r->index_applied, applied); /* nothing is ever NEED here */
    CHECK_EQ(shard_drop_leftovers(w->shard), STATUS_OK);
    store_ready(&w->store);
}

/* The state, and what is remembered of requests, come back from rows alone. */
TEST(restart_from_rows)
{
    struct shard_world w;
    struct ask a;
    struct replica_base base;
    world_start_missing(&w, store_medium_create(), 0);
    check_command(&w, "SET k v PX 100", OK);
    ask(&w, &a, "INCR n");
    struct request_id id = a.id;
    world_settle(&w);
    check_reply(&a, ":1\r\n");
    w.mark = 1;
    fake_env_advance(&w.env, 200);
    check_command(&w, "INCR n", ":2\r\n");
    uint64_t hash = shard_hash(w.shard);
    store_sync_soon(&w.store);
    for (unsigned i = 0; i < 3; i++) {
        world_turn(&w);
    }
    CHECK_EQ(w.replica.synced, 3u);
    crash(&w, 0);
    CHECK_EQ(restore(&w, 0, &base), STATUS_OK);
    CHECK_EQ(base.index, 3u);
    CHECK_EQ(base.term, 1u);
    CHECK_EQ(base.config.index, 1u);
    CHECK_EQ(base.config.count, 1u);
    CHECK_EQ(shard_hash(w.shard), hash);
    replay(&w, base.index, 3);
    world_win(&w);
    ask_again(&w, &a, "INCR n", id);
    world_settle(&w);
    check_reply(&a, ":1\r\n"); /* the remembered reply */
    id.sequence = 1;
    ask_again(&w, &a, "SET k again", id);
    world_settle(&w);
    CHECK(strncmp((const char *)a.reply.data, "-UNKNOWNRESULT", 14) == 0); /* below its mark */
    buf_deinit(&a.reply);
    check_command(&w, "MGET n k", "*2\r\n$1\r\n2\r\n$-1\r\n");
    struct store_medium *medium = w.medium;
    world_stop(&w);
    store_medium_destroy(medium);
}

/* Flush epochs and counters come back, so that what was flushed stays away, and the rest there. */
TEST(restart_keeps_flushes)
{
    struct shard_world w;
    struct replica_base base;
    world_start_missing(&w, store_medium_create(), 0);
    check_command(&w, "SET gone v PX 100000", OK);
    fold(&w);
    struct keyspace space = shard_space(w.shard, 0);
    view_local_begin(&w.shard->apply_view, &space, w.shard->time_ms, 0);
    view_flush(&w.shard->apply_view.base);
    check_command(&w, "SET k v PX 100000", OK);
    check_command(&w, "SET n v", OK);
    uint64_t hash = shard_hash(w.shard);
    store_sync_soon(&w.store);
    for (unsigned i = 0; i < 3; i++) {
        world_turn(&w);
    }
    crash(&w, 0);
    CHECK_EQ(restore(&w, 0, &base), STATUS_OK);
    CHECK_EQ(shard_hash(w.shard), hash);
    check_databases(&w);
    CHECK_EQ(shard_counts(w.shard, 0).keys, 2u);
    CHECK_EQ(shard_counts(w.shard, 0).expiring, 1u);
    replay(&w, base.index, 3);
    world_win(&w);
    check_command(&w, "MGET gone k n", "*3\r\n$-1\r\n$1\r\nv\r\n$1\r\nv\r\n");
    struct store_medium *medium = w.medium;
    world_stop(&w);
    store_medium_destroy(medium);
}

TEST(restart_without_rows)
{
    struct shard_world w;
    struct replica_base base = {.index = 5};
    world_start_missing(&w, store_medium_create(), 0);
    check_command(&w, "SET k v", OK); /* never synced */
    uint64_t hash = shard_hash(w.shard);
    crash(&w, 0);
    CHECK_EQ(restore(&w, 0, &base), STATUS_OK);
    CHECK_EQ(base.index, 0u);
    replay(&w, 0, 1);
    CHECK_EQ(shard_hash(w.shard), hash);
    struct store_medium *medium = w.medium;
    world_stop(&w);
    store_medium_destroy(medium);
}

/* Jobs of the store end, or do not, at any moment. */
static void random_store_event(struct shard_world *w, struct prng *p)
{
    if (prng_chance(p, 300)) {
        store_fold_soon(&w->store);
    }
    if (prng_chance(p, 200)) {
        store_sync_soon(&w->store);
    }
    store_flush(&w->store);
    while (prng_chance(p, 600) && fake_env_run(&w->env)) {
    }
}

/*
 * Crashes at any moment, with any number of unsynced batches kept: the rows are always the state at
 * some index at or behind the last one that was told to be durable, and the log leads from there to
 * where a replica stands that never crashed.
 */
TEST(crashes_at_random_moments)
{
    static const unsigned misses[] = {0, 300};
    for (unsigned m = 0; m < 2; m++) {
        struct shard_world *w = mem_alloc(sizeof *w);
        struct shard_world *twin = mem_alloc(sizeof *twin);
        struct prng prng;
        unsigned bases = 0;
        prng_init(&prng, 77 + m);
        world_start_missing(w, store_medium_create(), misses[m]);
        world_start(twin);
        world_lose(twin);
        for (unsigned round = 0; round < 150; round++) {
            (void)random_burst(w, &prng);
            random_store_event(w, &prng);
            while (twin->replica.index_applied < w->replica.index_applied) {
                uint64_t index = ++twin->replica.index_applied;
                struct bytes entry = buf_bytes(&w->replica.entries[index]);
                CHECK_EQ(shard_replica_events()->apply(twin->shard, index, entry), STATUS_OK);
            }
            if (prng_chance(&prng, 300)) {
                struct replica_base base;
                uint64_t applied = w->replica.index_applied;
                uint64_t clock_ms = w->env.wall_ms;
                crash(w, (size_t)prng_below(&prng, store_medium_pending(w->medium) + 1));
                w->env.wall_ms = 1; /* replay asks no clock */
                CHECK_EQ(restore(w, 0, &base), STATUS_OK);
                bases += base.index > 0 ? 1 : 0;
                replay(w, base.index, applied);
                w->env.wall_ms = clock_ms;
                CHECK_EQ(shard_hash(w->shard), shard_hash(twin->shard));
                check_databases(w);
                world_win(w);
            }
        }
        CHECK(bases > 20);
        struct store_medium *medium = w->medium;
        world_stop(twin);
        world_stop(w);
        store_medium_destroy(medium);
        mem_free(twin);
        mem_free(w);
    }
}

/* ---- generations ----------------------------------------------------------------------------- */

static bool has_generation(struct shard_world *w, uint32_t generation)
{
    struct buf from;
    struct omap_item item;
    buf_init(&from, 64);
    row_key_append_generation(&from, GROUP, generation);
    enum status s = store_seek(&w->store, buf_bytes(&from), 0, &item);
    bool has = s == STATUS_OK && memcmp(item.key.data, from.data, ROW_GENERATION_BYTES) == 0;
    buf_deinit(&from);
    return has;
}

/* All rows of the sender's generation, as a transfer brings them: into the store, and head rows. */
static void stage(struct shard_world *to, struct shard_world *from, uint32_t generation)
{
    struct buf key;
    struct omap_item item;
    buf_init(&key, SIZE_MAX / 2);
    row_key_append_generation(&key, GROUP, from->shard->generation);
    while (store_seek(&from->store, buf_bytes(&key), 0, &item) == STATUS_OK &&
           get_u16_be(item.key.data) == GROUP) {
        struct buf staged;
        struct bytes value = blob_bytes(item.value);
        buf_init(&staged, SIZE_MAX / 2);
        row_key_append_generation(&staged, GROUP, generation);
        buf_append(&staged,
                   item.key.data + ROW_GENERATION_BYTES,
                   item.key.size - ROW_GENERATION_BYTES);
        for (unsigned i = 0; i < 2; i++) {
            struct blob *copy = blob_create(value.size);
            memcpy(copy->data, value.data, value.size);
            if (i == 0) {
                store_put(&to->store, buf_bytes(&staged), copy);
            } else if (item.key.data[ROW_GENERATION_BYTES] <= ROW_KIND_GROUP) {
                omap_put(&to->snapshots.rows, buf_bytes(&staged), copy);
            } else {
                blob_unref(copy);
            }
        }
        buf_deinit(&staged);
        buf_clear(&key, SIZE_MAX);
        buf_append_bytes(&key, item.key);
        buf_append(&key, "", 1);
    }
    buf_deinit(&key);
    to->snapshots.is_staged = true;
    to->snapshots.base = base_at(from->replica.index_applied);
    to->snapshots.generation = generation;
}

/* LOG-15: the staged rows become the state; those of before go; a restart finds the new ones. */
TEST(install_switches_the_generation)
{
    struct shard_world sender;
    struct shard_world w;
    struct ask a;
    struct replica_base base;
    uint32_t generation = 0;
    world_start(&sender);
    check_command(&sender, "SET k new", OK);
    ask(&sender, &a, "INCR n");
    world_settle(&sender);
    struct request_id id = a.id;
    check_reply(&a, ":1\r\n");
    fold(&sender);

    world_start_missing(&w, store_medium_create(), 0);
    check_command(&w, "SET k old", OK);
    check_command(&w, "SET gone old", OK);
    fold(&w);
    world_lose(&w);
    const struct replica_events *events = shard_replica_events();
    CHECK(!events->is_staged(w.shard, 2, 1, &generation));
    stage(&w, &sender, 7);
    CHECK(!events->is_staged(w.shard, 3, 1, &generation));
    CHECK(!events->is_staged(w.shard, 2, 2, &generation));
    CHECK(events->is_staged(w.shard, 2, 1, &generation));
    CHECK_EQ(generation, 7u);
    CHECK(has_generation(&w, 0));
    CHECK_EQ(restore(&w, 7, &base), STATUS_OK);
    CHECK_EQ(base.index, 2u);
    w.replica.index_applied = 2;
    CHECK_EQ(shard_hash(w.shard), shard_hash(sender.shard)); /* whatever the generation's number */
    CHECK(!has_generation(&w, 0));
    world_win(&w);
    ask_again(&w, &a, "INCR n", id);
    world_settle(&w);
    check_reply(&a, ":1\r\n");
    check_command(&w, "MGET k gone n", "*3\r\n$3\r\nnew\r\n$-1\r\n$1\r\n1\r\n");
    check_command(&w, "INCR n", ":2\r\n");

    uint64_t hash = shard_hash(w.shard);
    uint64_t applied = w.replica.index_applied;
    store_sync_soon(&w.store);
    for (unsigned i = 0; i < 3; i++) {
        world_turn(&w);
    }
    crash(&w, 0);
    CHECK_EQ(restore(&w, 7, &base), STATUS_OK);
    CHECK_EQ(base.index, applied);
    CHECK_EQ(shard_hash(w.shard), hash);
    CHECK(!has_generation(&w, 0));
    struct store_medium *medium = w.medium;
    world_stop(&w);
    store_medium_destroy(medium);
    world_stop(&sender);
}

/* A fold began with rows of before the install: it tells the replica nothing about those behind. */
TEST(install_during_a_fold)
{
    struct shard_world sender;
    struct shard_world w;
    struct replica_base base;
    world_start(&sender);
    check_command(&sender, "INCR n", ":1\r\n");
    check_command(&sender, "INCR n", ":2\r\n");
    fold(&sender);
    world_start(&w);
    check_command(&w, "SET k old", OK);
    world_lose(&w);
    stage(&w, &sender, 1);
    store_sync_soon(&w.store);
    store_flush(&w.store);
    CHECK_EQ(restore(&w, 1, &base), STATUS_OK);
    w.replica.index_applied = base.index;
    fake_env_run_all(&w.env);
    CHECK_EQ(w.replica.folded, 0u);
    CHECK_EQ(w.replica.synced, 0u);
    world_stop(&w);
    world_stop(&sender);
}

/* A crash between the staging and the INSTALL, or between the INSTALL and the drop. */
TEST(leftovers_are_dropped)
{
    static const uint32_t generations[] = {0, 3, 4, UINT32_MAX};
    struct shard_world w;
    struct replica_base base;
    for (unsigned g = 0; g < 4; g++) {
        world_start(&w);
        for (unsigned i = 0; i < 4; i++) {
            struct buf key;
            struct keyspace space = {.group = GROUP, .generation = generations[i]};
            buf_init(&key, 256);
            row_key_append(&key, &space, bytes_of_text("k"));
            store_put(&w.store, buf_bytes(&key), blob_create(0));
            key.data[1]--; /* of another group */
            store_put(&w.store, buf_bytes(&key), blob_create(0));
            key.data[1] += 2;
            store_put(&w.store, buf_bytes(&key), blob_create(0));
            buf_deinit(&key);
        }
        w.store.is_starting = true;
        CHECK_EQ(restore(&w, generations[g], &base), STATUS_OK);
        CHECK_EQ(shard_drop_leftovers(w.shard), STATUS_OK);
        for (unsigned i = 0; i < 4; i++) {
            CHECK_EQ(has_generation(&w, generations[i]), i == g);
        }
        size_t drops = w.store.drops.size;
        CHECK_EQ(shard_drop_leftovers(w.shard), STATUS_OK);
        CHECK_EQ(w.store.drops.size, drops); /* nothing is left to drop */
        fold(&w);
        struct omap_item item;
        unsigned rows = 0;
        struct buf at;
        buf_init(&at, 256);
        while (store_seek(&w.store, buf_bytes(&at), 0, &item) == STATUS_OK) {
            rows++;
            buf_clear(&at, SIZE_MAX);
            buf_append_bytes(&at, item.key);
            buf_append(&at, "", 1);
        }
        buf_deinit(&at);
        CHECK_EQ(rows, 9u); /* ours, and all of both neighbours */
        world_stop(&w);
    }
}

TEST(wants_install_is_passed_on)
{
    struct shard_world w;
    world_start(&w);
    shard_replica_events()->wants_install(w.shard, 0x20003);
    CHECK_EQ(w.snapshots.offered, 0x20003u);
    world_stop(&w);
}

/* ---- rows that cannot be ----------------------------------------------------------------------
 */

static void put_head_row(struct shard_world *w, uint8_t kind, const void *value, size_t size)
{
    struct buf key;
    struct blob *blob = blob_create(size);
    memcpy(blob->data, value, size);
    buf_init(&key, 64);
    row_key_append_generation(&key, GROUP, 0);
    buf_append(&key, &kind, 1);
    store_put(&w->store, buf_bytes(&key), blob);
    buf_deinit(&key);
}

static enum status restore_with(uint8_t kind, const void *value, size_t size)
{
    struct shard_world w;
    struct replica_base base = {.index = 5};
    world_start_missing(&w, store_medium_create(), 0);
    check_command(&w, "SET k v", OK);
    fold(&w);
    put_head_row(&w, kind, value, size);
    fold(&w);
    world_turn(&w);
    fold(&w);
    crash(&w, SIZE_MAX);
    enum status s = restore(&w, 0, &base);
    CHECK(s == STATUS_OK || base.index == 5); /* outputs are untouched */
    struct store_medium *medium = w.medium;
    world_stop(&w);
    store_medium_destroy(medium);
    return s;
}

TEST(restore_refuses_what_cannot_be)
{
    struct buf good;
    struct state_row row = {.base = base_at(1), .time_ms = 7, .operations = 8};
    buf_init(&good, 256);
    state_row_encode(&good, &row);
    CHECK_EQ(restore_with(ROW_KIND_GROUP, good.data, good.size), STATUS_OK);
    good.data[0]++; /* MOVE-3 */
    CHECK_EQ(restore_with(ROW_KIND_GROUP, good.data, good.size), STATUS_UNSUPPORTED);
    CHECK_EQ(restore_with(ROW_KIND_GROUP, "\x02hort", 5), STATUS_CORRUPT);
    CHECK_EQ(restore_with('e', "of an unknown kind", 18), STATUS_CORRUPT);
    buf_deinit(&good);
}

/* Rows without the one that says how far they go are nobody's state. */
TEST(restore_without_the_groups_row)
{
    struct shard_world w;
    struct replica_base base;
    struct buf key;
    world_start_missing(&w, store_medium_create(), 0);
    check_command(&w, "SET k v", OK);
    fold(&w);
    buf_init(&key, 64);
    row_key_append_group(&key, GROUP, 0);
    store_delete(&w.store, buf_bytes(&key));
    fold(&w);
    world_turn(&w);
    fold(&w);
    crash(&w, SIZE_MAX);
    CHECK_EQ(restore(&w, 0, &base), STATUS_CORRUPT);
    buf_deinit(&key);
    struct store_medium *medium = w.medium;
    world_stop(&w);
    store_medium_destroy(medium);
}

/* Bit rot in a head row: said at start, never loaded. */
TEST(restore_of_rotten_rows)
{
    struct shard_world w;
    struct replica_base base;
    world_start_missing(&w, store_medium_create(), 0);
    check_command(&w, "SET k v", OK);
    store_sync_soon(&w.store);
    for (unsigned i = 0; i < 3; i++) {
        world_turn(&w);
    }
    CHECK(store_medium_rot(w.medium, 0)); /* the first row: of the duplicate table */
    crash(&w, 0);
    CHECK_EQ(restore(&w, 0, &base), STATUS_CORRUPT);
    struct store_medium *medium = w.medium;
    world_stop(&w);
    store_medium_destroy(medium);
}
