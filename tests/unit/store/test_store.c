/* The overlay and the engine behind it: the order of what happens, rule by rule. */
#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "fake_env.h"
#include "harness.h"
#include "store/store.h"
#include "store/store_parts.h"

#define KEYS_MAX 64u
#define KEY_BYTES 15u

/* ---- the naive twin -------------------------------------------------------------------------- */

struct twin_row {
    char key[KEY_BYTES + 1];
    uint64_t value;
};

struct twin {
    struct twin_row rows[KEYS_MAX];
    size_t count;
};

/* Where the first key >= key stands. */
static size_t twin_seek(const struct twin *t, const char *key)
{
    size_t i = 0;
    while (i < t->count && strcmp(t->rows[i].key, key) < 0) {
        i++;
    }
    return i;
}

static bool twin_has(const struct twin *t, const char *key)
{
    size_t i = twin_seek(t, key);
    return i < t->count && strcmp(t->rows[i].key, key) == 0;
}

static void twin_put(struct twin *t, const char *key, uint64_t value)
{
    size_t i = twin_seek(t, key);
    if (!twin_has(t, key)) {
        CHECK(t->count < KEYS_MAX);
        memmove(t->rows + i + 1, t->rows + i, (t->count - i) * sizeof t->rows[0]);
        t->count++;
        (void)snprintf(t->rows[i].key, sizeof t->rows[i].key, "%s", key);
    }
    t->rows[i].value = value;
}

static void twin_delete(struct twin *t, const char *key)
{
    if (twin_has(t, key)) {
        size_t i = twin_seek(t, key);
        t->count--;
        memmove(t->rows + i, t->rows + i + 1, (t->count - i) * sizeof t->rows[0]);
    }
}

/* ---- one store and its twin ------------------------------------------------------------------ */

struct world {
    struct fake_env env;
    struct store store;
    struct twin twin;
    struct store_fetch fetch;
    struct store_range range;
    struct store_write write;
};

static void world_init(struct world *w, uint64_t fold_rows)
{
    *w = (struct world){0};
    fake_env_init(&w->env);
    struct store_options options = {.fold_rows = fold_rows};
    store_init(&w->store, &w->env.base, &options, store_engine_mem_create(NULL));
    store_ready(&w->store);
}

static void world_deinit(struct world *w)
{
    store_deinit(&w->store);
    fake_env_deinit(&w->env);
}

static void put(struct world *w, const char *key, uint64_t value)
{
    struct blob *b = blob_create(sizeof value);
    memcpy(b->data, &value, sizeof value);
    store_put(&w->store, bytes_of_text(key), b);
    twin_put(&w->twin, key, value);
}

static void drop(struct world *w, const char *key)
{
    store_delete(&w->store, bytes_of_text(key));
    twin_delete(&w->twin, key);
}

static void check_value(const struct blob *b, uint64_t value)
{
    CHECK_BYTES(blob_bytes(b), bytes_of(&value, sizeof value));
}

static void check_get(struct world *w, const char *key)
{
    struct blob *b = NULL;
    enum status s = store_get(&w->store, bytes_of_text(key), &b);
    CHECK_EQ(s, twin_has(&w->twin, key) ? STATUS_OK : STATUS_NOT_FOUND);
    if (s == STATUS_OK) {
        check_value(b, w->twin.rows[twin_seek(&w->twin, key)].value);
    }
}

static void check_seek(struct world *w, const char *from)
{
    struct omap_item item;
    size_t i = twin_seek(&w->twin, from);
    enum status s = store_seek(&w->store, bytes_of_text(from), 0, &item);
    CHECK_EQ(s, i < w->twin.count ? STATUS_OK : STATUS_NOT_FOUND);
    if (s == STATUS_OK) {
        CHECK_BYTES(item.key, bytes_of_text(w->twin.rows[i].key));
        check_value(item.value, w->twin.rows[i].value);
    }
}

/* ---- tests ----------------------------------------------------------------------------------- */

/* A whole walk by seek, while one fold is in flight and newer writes stand in front of it. */
TEST(walk_over_three_layers)
{
    struct world w;
    world_init(&w, 1);
    put(&w, "a", 1);
    put(&w, "b", 2);
    put(&w, "c", 3);
    store_flush(&w.store);
    CHECK(fake_env_run(&w.env)); /* engine: a b c */
    drop(&w, "b");
    put(&w, "c", 4);
    put(&w, "e", 5);
    store_flush(&w.store); /* folding: -b c e */
    CHECK(store_is_busy(&w.store));
    drop(&w, "e");
    put(&w, "b", 6);
    put(&w, "d", 7); /* active: b d -e */
    for (unsigned round = 0; round < 3; round++) {
        check_seek(&w, "");
        check_seek(&w, "aa");
        check_seek(&w, "ba");
        check_seek(&w, "ca");
        check_seek(&w, "da");
        for (size_t i = 0; i < w.twin.count; i++) {
            check_get(&w, w.twin.rows[i].key);
        }
        CHECK_EQ(w.twin.count, 4u);
        (void)fake_env_run(&w.env);
        store_flush(&w.store);
    }
    world_deinit(&w);
}

TEST(fold_waits_for_rows_and_for_the_last_fold)
{
    struct world w;
    world_init(&w, 2);
    put(&w, "a", 1);
    store_flush(&w.store);
    CHECK(!store_is_busy(&w.store));
    put(&w, "b", 2);
    store_flush(&w.store);
    CHECK(store_is_busy(&w.store));
    put(&w, "a", 3);
    put(&w, "b", 4);
    store_flush(&w.store);
    CHECK_EQ(w.env.job_count, 1u);
    CHECK(fake_env_run(&w.env));
    CHECK(!store_is_busy(&w.store));
    check_get(&w, "a");
    check_get(&w, "b");
    world_deinit(&w);
}

/* ---- rows that are not at hand --------------------------------------------------------------- */

static void note_done(struct store_fetch *f)
{
    struct world *w = container_of(f, struct world, fetch);
    fake_env_note(&w->env, "fetched");
}

/* No row is at hand but what a worker has read. */
static void missing_init(struct world *w, uint64_t cache_bytes)
{
    *w = (struct world){0};
    fake_env_init(&w->env);
    struct store_options options = {.fold_rows = 100, .cache_bytes = cache_bytes};
    struct store_engine *engine = store_engine_mem_create(NULL);
    store_engine_mem_miss(engine, 1, 1000);
    store_init(&w->store, &w->env.base, &options, engine);
    store_ready(&w->store);
    w->fetch.done = note_done;
    CHECK(store_may_need(&w->store));
}

static void fold_all(struct world *w)
{
    store_fold_soon(&w->store);
    store_flush(&w->store);
    fake_env_run_all(&w->env);
    store_flush(&w->store); /* into the cache */
    CHECK_EQ(w->store.folding.count, 0u);
}

static enum status get_status(struct world *w, const char *key)
{
    struct blob *b = NULL;
    return store_get(&w->store, bytes_of_text(key), &b);
}

TEST(fetched_rows_stay_for_the_turn)
{
    struct world w;
    missing_init(&w, 0);
    put(&w, "a", 1);
    put(&w, "b", 2);
    fold_all(&w);
    CHECK_EQ(get_status(&w, "a"), STATUS_NEED);
    CHECK_EQ(get_status(&w, "none"), STATUS_NEED);
    store_fetch_add(&w.fetch, bytes_of_text("a"));
    store_fetch_add(&w.fetch, bytes_of_text("none"));
    store_fetch_add(&w.fetch, bytes_of_text("a"));
    CHECK_EQ(store_fetch_count(&w.fetch), 3u);
    store_fetch_start(&w.store, &w.fetch);
    CHECK(store_is_busy(&w.store));
    fake_env_run_all(&w.env);
    CHECK_TEXT(fake_env_events(&w.env), "fetched\n");
    CHECK(!store_is_busy(&w.store));
    check_get(&w, "a");
    check_get(&w, "none");
    CHECK_EQ(w.store.stats.fetches, 2u);
    CHECK_EQ(w.store.stats.cache_hits, 2u);
    CHECK_EQ(get_status(&w, "b"), STATUS_NEED);
    store_flush(&w.store); /* the turn ends, and the cache may hold nothing */
    CHECK_EQ(get_status(&w, "a"), STATUS_NEED);
    store_fetch_deinit(&w.fetch);
    world_deinit(&w);
}

/* The worker reads before a fold that ends before the fetch: the older row must not stay. */
TEST(fold_overtakes_a_fetch)
{
    struct world w;
    missing_init(&w, 100000);
    put(&w, "changed", 1);
    put(&w, "deleted", 1);
    fold_all(&w);
    row_cache_remove(&w.store.cache, bytes_of_text("changed"));
    row_cache_remove(&w.store.cache, bytes_of_text("deleted"));
    store_fetch_add(&w.fetch, bytes_of_text("changed"));
    store_fetch_add(&w.fetch, bytes_of_text("deleted"));
    store_fetch_add(&w.fetch, bytes_of_text("added"));
    store_fetch_start(&w.store, &w.fetch);
    struct env_work *work = w.env.jobs[0];
    w.env.job_count = 0;
    work->run(work); /* has read what was */
    put(&w, "changed", 2);
    put(&w, "added", 2);
    drop(&w, "deleted");
    fold_all(&w);
    row_cache_remove(&w.store.cache, bytes_of_text("changed")); /* as if others had used it up */
    row_cache_remove(&w.store.cache, bytes_of_text("deleted"));
    row_cache_remove(&w.store.cache, bytes_of_text("added"));
    work->done(work);
    check_get(&w, "changed");
    check_get(&w, "deleted");
    check_get(&w, "added");
    store_fetch_deinit(&w.fetch);
    world_deinit(&w);
}

TEST(fetched_seek_passes_deleted_rows)
{
    struct world w;
    missing_init(&w, 0);
    for (char c = 'a'; c <= 'z'; c++) {
        char key[2] = {c, '\0'};
        struct blob *b = blob_create(4000); /* one read ahead holds a few of them */
        memset(b->data, c, b->size);
        store_put(&w.store, bytes_of_text(key), b);
    }
    fold_all(&w);
    for (char c = 'a'; c < 'y'; c++) {
        char key[2] = {c, '\0'};
        store_delete(&w.store, bytes_of_text(key));
    }
    struct omap_item item;
    CHECK_EQ(store_seek(&w.store, bytes_of_text("a"), 0, &item), STATUS_NEED);
    w.fetch.is_seek = true;
    store_fetch_add(&w.fetch, bytes_of_text("a"));
    store_fetch_add(&w.fetch, bytes_of_text("zz"));
    store_fetch_start(&w.store, &w.fetch);
    unsigned rounds = 0;
    for (; fake_env_run(&w.env); rounds++) {
        store_flush(&w.store);
        CHECK_EQ(w.store.held.count, 0u);
    }
    CHECK(rounds > 2);
    CHECK_TEXT(fake_env_events(&w.env), "fetched\n");
    store_fetch_deinit(&w.fetch);
    w.fetch.is_seek = true;
    store_fetch_add(&w.fetch, bytes_of_text("a"));
    store_fetch_add(&w.fetch, bytes_of_text("zz"));
    store_fetch_start(&w.store, &w.fetch);
    fake_env_run_all(&w.env);
    CHECK_EQ(store_seek(&w.store, bytes_of_text("a"), 0, &item), STATUS_OK);
    CHECK_BYTES(item.key, bytes_of_text("y"));
    CHECK_EQ(store_seek(&w.store, bytes_of_text("zz"), 0, &item), STATUS_NOT_FOUND);
    store_flush(&w.store);
    CHECK_EQ(store_seek(&w.store, bytes_of_text("a"), 0, &item), STATUS_NEED);
    store_fetch_deinit(&w.fetch);
    world_deinit(&w);
}

/* A worker reads nothing behind the range that is asked for: there may be very much, all deleted.
 */
TEST(seek_ends_with_its_range)
{
    struct world w;
    missing_init(&w, 0);
    static const char *const keys[] = {"a", "b1", "b\xff", "c", "\xff\xff"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        store_put(&w.store, bytes_of_text(keys[i]), blob_create(1));
    }
    fold_all(&w);
    struct omap_item item;
    CHECK_EQ(store_seek(&w.store, bytes_of_text("b2"), 1, &item), STATUS_NEED);
    w.fetch.is_seek = true;
    w.fetch.same_bytes = 1;
    store_fetch_add(&w.fetch, bytes_of_text("b2"));
    store_fetch_add(&w.fetch, bytes_of_text("\xff"));
    store_fetch_start(&w.store, &w.fetch);
    fake_env_run_all(&w.env);
    uint64_t rows = 0;
    list_each(link, &w.store.seen) {
        rows += container_of(link, struct store_seen, link)->rows.count;
    }
    CHECK_EQ(rows, 2u);
    CHECK_EQ(store_seek(&w.store, bytes_of_text("b2"), 1, &item), STATUS_OK);
    CHECK_BYTES(item.key, bytes_of_text("b\xff"));
    CHECK_EQ(store_seek(&w.store, bytes_of_text("b\xff\x01"), 1, &item), STATUS_NOT_FOUND);
    CHECK_EQ(store_seek(&w.store, bytes_of_text("b\xff\x01"), 0, &item), STATUS_NEED);
    CHECK_EQ(store_seek(&w.store, bytes_of_text("c"), 1, &item), STATUS_NEED);
    CHECK_EQ(store_seek(&w.store, bytes_of_text("\xff"), 1, &item), STATUS_OK);
    CHECK_BYTES(item.key, bytes_of_text("\xff\xff"));
    store_fetch_deinit(&w.fetch);
    world_deinit(&w);
}

/* Keys that come and go leave nothing behind. */
TEST(deleted_rows_leave_the_cache)
{
    struct world w;
    missing_init(&w, 100000);
    put(&w, "stays", 1);
    for (unsigned i = 0; i < 50; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "passes%u", i);
        put(&w, key, i);
        fold_all(&w);
        CHECK_EQ(w.store.cache.count, 2u);
        drop(&w, key);
        drop(&w, "never was");
        fold_all(&w);
        CHECK_EQ(w.store.cache.count, 1u);
        CHECK_EQ(get_status(&w, key), STATUS_NEED);
    }
    check_get(&w, "stays");
    world_deinit(&w);
}

/* A turn moves only so many rows; they answer meanwhile, and the next fold waits. */
TEST(rows_retire_step_by_step)
{
    struct world w;
    missing_init(&w, 10000000);
    w.store.options.fold_rows = 3000;
    for (unsigned i = 0; i < 3000; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "%04u", i);
        struct blob *b = blob_create(1);
        b->data[0] = (uint8_t)i;
        store_put(&w.store, bytes_of_text(key), b);
    }
    store_flush(&w.store);
    fake_env_run_all(&w.env);
    CHECK_EQ(w.store.folding.count, 3000u);
    store_flush(&w.store);
    CHECK_EQ(w.store.folding.count, 3000u - 512u);
    CHECK_EQ(get_status(&w, "0000"), STATUS_OK);
    CHECK_EQ(get_status(&w, "2999"), STATUS_OK);
    store_fold_soon(&w.store); /* in a hurry */
    store_flush(&w.store);
    CHECK_EQ(w.store.folding.count, 0u);
    CHECK_EQ(w.store.cache.count, 3000u);
    CHECK(store_is_busy(&w.store));
    CHECK(store_memory(&w.store) > 3000u);
    world_deinit(&w);
}

/* ---- folds and syncs ------------------------------------------------------------------------- */

static void note_fold_starts(void *owner, bool is_sync)
{
    struct world *w = owner;
    fake_env_note(&w->env, "fold starts%s", is_sync ? " sync" : "");
    put(w, "mark", w->store.stats.folds + 100);
}

static void note_folded(void *owner)
{
    struct world *w = owner;
    fake_env_note(&w->env, "folded");
}

static void note_synced(void *owner)
{
    struct world *w = owner;
    fake_env_note(&w->env, "synced");
}

static void noting_init(struct world *w, struct store_medium *medium)
{
    *w = (struct world){0};
    fake_env_init(&w->env);
    struct store_options options = {
        .fold_rows = 3,
        .fold_bytes = 1000,
        .fold_starts = note_fold_starts,
        .folded = note_folded,
        .synced = note_synced,
        .owner = w,
    };
    store_init(&w->store, &w->env.base, &options, store_engine_mem_create(medium));
    store_ready(&w->store);
}

TEST(sync_begins_with_a_fold_even_of_nothing)
{
    struct store_medium *medium = store_medium_create();
    struct world w;
    noting_init(&w, medium);
    store_flush(&w.store);
    CHECK(!store_is_busy(&w.store));
    store_sync_soon(&w.store);
    store_flush(&w.store);
    CHECK(fake_env_run(&w.env));
    CHECK_TEXT(fake_env_events(&w.env), "fold starts sync\nfolded\n");
    CHECK_EQ(store_medium_pending(medium), 1u);
    CHECK(store_is_busy(&w.store));
    CHECK(fake_env_run(&w.env));
    CHECK_TEXT(fake_env_events(&w.env), "fold starts sync\nfolded\nsynced\n");
    CHECK_EQ(store_medium_pending(medium), 0u);
    CHECK(!store_is_busy(&w.store));
    check_get(&w, "mark");
    CHECK_EQ(w.store.stats.syncs, 1u);
    world_deinit(&w);
    store_medium_destroy(medium);
}

TEST(sync_asked_again_comes_once_more)
{
    struct world w;
    noting_init(&w, NULL);
    put(&w, "a", 1);
    put(&w, "b", 1);
    put(&w, "c", 1);
    store_flush(&w.store);
    store_sync_soon(&w.store); /* this fold has begun without it */
    store_flush(&w.store);
    CHECK(fake_env_run(&w.env));
    store_flush(&w.store);
    store_sync_soon(&w.store); /* so has this sync */
    store_sync_soon(&w.store);
    CHECK(fake_env_run(&w.env));
    store_flush(&w.store);
    CHECK_EQ(w.env.job_count, 1u); /* the sync alone */
    CHECK(fake_env_run(&w.env));
    store_flush(&w.store);
    fake_env_run_all(&w.env);
    store_flush(&w.store);
    CHECK(!store_is_busy(&w.store));
    CHECK_TEXT(fake_env_events(&w.env),
               "fold starts\nfolded\n"
               "fold starts sync\nfolded\nsynced\n"
               "fold starts sync\nfolded\nsynced\n");
    world_deinit(&w);
}

TEST(folds_go_on_while_the_engine_syncs)
{
    struct world w;
    noting_init(&w, NULL);
    store_sync_soon(&w.store);
    store_flush(&w.store);
    CHECK(fake_env_run(&w.env));
    store_fold_soon(&w.store);
    store_flush(&w.store);
    CHECK_EQ(w.env.job_count, 2u);
    fake_env_run_all(&w.env);
    CHECK_TEXT(fake_env_events(&w.env), "fold starts sync\nfolded\nfold starts\nsynced\nfolded\n");
    world_deinit(&w);
}

TEST(fold_by_bytes)
{
    struct world w;
    noting_init(&w, NULL);
    store_put(&w.store, bytes_of_text("large"), blob_create(994));
    store_flush(&w.store);
    CHECK(!store_is_busy(&w.store));
    store_put(&w.store, bytes_of_text("l"), blob_create(1));
    store_flush(&w.store);
    CHECK(store_is_busy(&w.store));
    fake_env_run_all(&w.env);
    world_deinit(&w);
}

/* ---- drops ----------------------------------------------------------------------------------- */

TEST(dropped_rows_do_not_survive_a_fold_in_flight)
{
    struct store_medium *medium = store_medium_create();
    struct world w;
    noting_init(&w, medium);
    put(&w, "a1", 1);
    put(&w, "b", 1);
    put(&w, "a2", 1);
    store_flush(&w.store);
    CHECK(store_is_busy(&w.store)); /* with a1 and a2 */
    put(&w, "a3", 1);
    put(&w, "c", 1);
    store_drop(&w.store, bytes_of_text("a"), bytes_of_text("b"));
    twin_delete(&w.twin, "a1");
    twin_delete(&w.twin, "a2");
    twin_delete(&w.twin, "a3");
    for (unsigned round = 0; round < 3; round++) {
        check_seek(&w, "");
        check_seek(&w, "a");
        check_seek(&w, "b1");
        CHECK_EQ(get_status(&w, "a1"), STATUS_NOT_FOUND);
        fake_env_run_all(&w.env);
        check_seek(&w, "");
        store_fold_soon(&w.store);
        store_flush(&w.store);
    }
    fake_env_run_all(&w.env);
    world_deinit(&w);
    store_medium_crash(medium, store_medium_pending(medium));
    CHECK_EQ(store_medium_bytes(medium), 1u + 8u + 1u + 8u + 4u + 8u); /* b, c, mark */
    store_medium_destroy(medium);
}

/* ---- rows behind the overlay ----------------------------------------------------------------- */

static void note_range(struct store_range *r)
{
    struct world *w = container_of(r, struct world, range);
    fake_env_note(&w->env, "range %u%s", (unsigned)r->rows.count, r->is_end ? " end" : "");
}

static void note_write(struct store_write *write)
{
    struct world *w = container_of(write, struct world, write);
    fake_env_note(&w->env, "written %u", (unsigned)write->rows.count);
}

TEST(range_of_a_snapshot_is_frozen)
{
    struct world w;
    noting_init(&w, NULL);
    put(&w, "a", 1);
    put(&w, "b", 1);
    put(&w, "c", 1);
    store_flush(&w.store);
    fake_env_run_all(&w.env);
    struct store_snapshot *snapshot = store_snapshot_open(&w.store);
    put(&w, "bb", 2);
    put(&w, "c", 2);
    drop(&w, "a");
    store_flush(&w.store);
    fake_env_run_all(&w.env);
    fake_env_forget(&w.env);
    store_range_init(&w.range);
    w.range.snapshot = snapshot;
    w.range.bytes_max = 10;
    w.range.done = note_range;
    buf_append_text(&w.range.to, "m");
    store_range_start(&w.store, &w.range);
    fake_env_run_all(&w.env);
    CHECK_TEXT(fake_env_events(&w.env), "range 2\n");
    store_range_start(&w.store, &w.range);
    store_snapshot_close(&w.store, snapshot); /* when the worker is back */
    fake_env_run_all(&w.env);
    CHECK_TEXT(fake_env_events(&w.env), "range 2\nrange 1 end\n");
    struct omap_item item;
    CHECK(omap_get(&w.range.rows, bytes_of_text("c"), &item));
    check_value(item.value, 1);
    store_range_deinit(&w.range);
    world_deinit(&w);
}

TEST(writes_behind_the_overlay_end_what_the_cache_knew)
{
    struct world w;
    missing_init(&w, 100000);
    store_fetch_add(&w.fetch, bytes_of_text("staged"));
    store_fetch_start(&w.store, &w.fetch);
    fake_env_run_all(&w.env);
    CHECK_EQ(get_status(&w, "staged"), STATUS_NOT_FOUND);
    store_fetch_deinit(&w.fetch);
    store_write_init(&w.write);
    w.write.done = note_write;
    omap_put(&w.write.rows, bytes_of_text("staged"), blob_create(8));
    store_write_start(&w.store, &w.write);
    CHECK(store_is_busy(&w.store));
    fake_env_run_all(&w.env);
    CHECK_TEXT(fake_env_events(&w.env), "fetched\nwritten 0\n");
    CHECK_EQ(get_status(&w, "staged"), STATUS_NEED);
    store_fetch_add(&w.fetch, bytes_of_text("staged"));
    store_fetch_start(&w.store, &w.fetch);
    fake_env_run_all(&w.env);
    CHECK_EQ(get_status(&w, "staged"), STATUS_OK);
    store_fetch_deinit(&w.fetch);
    store_write_deinit(&w.write);
    world_deinit(&w);
}

/* ---- starting, and a disk that fails --------------------------------------------------------- */

TEST(reads_block_until_ready)
{
    struct world w = {0};
    fake_env_init(&w.env);
    struct store_engine *engine = store_engine_mem_create(NULL);
    store_engine_mem_miss(engine, 1, 1000);
    struct store_options options = {.fold_rows = 2,
                                    .cache_bytes = 1000,
                                    .fold_starts = note_fold_starts,
                                    .owner = &w};
    store_init(&w.store, &w.env.base, &options, engine);
    put(&w, "a", 1);
    CHECK_EQ(store_flush_now(&w.store), STATUS_OK);
    CHECK_EQ(w.store.stats.folds, 0u);
    put(&w, "b", 2);
    CHECK_EQ(store_flush_now(&w.store), STATUS_OK);
    CHECK_EQ(w.store.stats.folds, 1u);
    CHECK_EQ(w.store.folding.count + w.store.active.count, 0u);
    for (char c = 'a'; c <= 'c'; c++) {
        char key[2] = {c, '\0'};
        row_cache_remove(&w.store.cache, bytes_of_text(key));
        check_get(&w, key);
        check_seek(&w, key);
    }
    store_range_init(&w.range);
    w.range.bytes_max = 1;
    CHECK_EQ(store_range_now(&w.store, &w.range), STATUS_OK);
    CHECK_EQ(w.range.rows.count, 1u);
    store_range_deinit(&w.range);
    store_ready(&w.store);
    CHECK_EQ(w.env.job_count, 0u);
    CHECK_EQ(get_status(&w, "z"), STATUS_NEED);
    world_deinit(&w);
}

/* A store whose synced row "a" is damaged. */
static void rotten_init(struct world *w, struct store_medium *medium)
{
    struct store_engine *engine = store_engine_mem_create(medium);
    struct omap rows;
    omap_init(&rows);
    omap_put(&rows, bytes_of_text("a"), blob_create(1));
    struct store_batch batch = {.rows = &rows};
    CHECK_EQ(engine->ops->write(engine, &batch), STATUS_OK);
    CHECK_EQ(engine->ops->sync(engine), STATUS_OK);
    engine->ops->destroy(engine);
    omap_deinit(&rows);
    CHECK(store_medium_rot(medium, 7));
    *w = (struct world){.fetch.done = note_done};
    fake_env_init(&w->env);
    engine = store_engine_mem_create(medium);
    store_engine_mem_miss(engine, 1, 1000);
    struct store_options options = {.fold_rows = 1, .damage_hint = "do this"};
    store_init(&w->store, &w->env.base, &options, engine);
}

TEST(damage_is_an_error_at_the_start_and_halts_later)
{
    for (unsigned i = 0; i < 3; i++) {
        struct store_medium *medium = store_medium_create();
        struct world w;
        struct omap_item item;
        rotten_init(&w, medium);
        CHECK_EQ(get_status(&w, "a"), STATUS_CORRUPT);
        CHECK_EQ(store_seek(&w.store, bytes_of_text(""), 0, &item), STATUS_CORRUPT);
        store_ready(&w.store);
        CHECK(!w.env.base.is_halted);
        store_range_init(&w.range);
        if (i < 2) {
            w.fetch.is_seek = i == 1;
            store_fetch_add(&w.fetch, bytes_of_text("a"));
            store_fetch_start(&w.store, &w.fetch);
        } else {
            w.range.bytes_max = 1;
            w.range.done = note_range;
            store_range_start(&w.store, &w.range);
        }
        fake_env_run_all(&w.env);
        CHECK(w.env.base.is_halted);
        CHECK_TEXT(fake_env_events(&w.env), "halt\n"); /* and no done() */
        CHECK_TEXT(w.env.halt_reason, "the store could not be read: checksum mismatch; do this");
        store_fetch_deinit(&w.fetch);
        store_range_deinit(&w.range);
        world_deinit(&w);
        store_medium_destroy(medium);
    }
}

TEST(failed_fold_halts_and_nothing_follows)
{
    struct store_medium *medium = store_medium_create();
    struct world w;
    noting_init(&w, medium);
    store_medium_limit(medium, 5);
    store_sync_soon(&w.store);
    store_flush(&w.store);
    fake_env_run_all(&w.env);
    CHECK(w.env.base.is_halted);
    CHECK_TEXT(w.env.halt_reason, "the store could not be written: no space left");
    CHECK_TEXT(fake_env_events(&w.env), "fold starts sync\nhalt\n");
    world_deinit(&w);
    store_medium_destroy(medium);
}
