/* The overlay and the engine behind it, against a sorted array that knows nothing of either. */
#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "fake_env.h"
#include "harness.h"
#include "store/store.h"

#define KEYS_MAX 64u
#define KEY_BYTES 3u

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
    struct prng prng;
};

static void world_init(struct world *w, uint64_t fold_rows)
{
    *w = (struct world){0};
    fake_env_init(&w->env);
    prng_init(&w->prng, 11);
    struct store_options options = {.fold_rows = fold_rows};
    store_init(&w->store, &w->env.base, &options, store_engine_mem_create());
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
    enum status s = store_seek(&w->store, bytes_of_text(from), &item);
    CHECK_EQ(s, i < w->twin.count ? STATUS_OK : STATUS_NOT_FOUND);
    if (s == STATUS_OK) {
        CHECK_BYTES(item.key, bytes_of_text(w->twin.rows[i].key));
        check_value(item.value, w->twin.rows[i].value);
    }
}

static void random_key(struct world *w, char out_key[KEY_BYTES + 1])
{
    memset(out_key, 0, KEY_BYTES + 1);
    for (uint64_t i = prng_below(&w->prng, KEY_BYTES + 1); i > 0; i--) {
        out_key[i - 1] = (char)('a' + prng_below(&w->prng, 3));
    }
}

static void random_step(struct world *w, uint64_t step)
{
    char key[KEY_BYTES + 1];
    random_key(w, key);
    switch (prng_below(&w->prng, 8)) {
    case 0:
    case 1:
    case 2:
        put(w, key, step);
        break;
    case 3:
    case 4:
        drop(w, key);
        break;
    case 5:
        check_get(w, key);
        break;
    case 6:
        check_seek(w, key);
        break;
    default:
        store_flush(&w->store);
        if (prng_chance(&w->prng, 300)) {
            (void)fake_env_run(&w->env);
        }
        break;
    }
}

/* ---- tests ----------------------------------------------------------------------------------- */

TEST(random_operations_match_the_twin)
{
    const uint64_t fold_rows[] = {1, 5, 20};
    for (size_t i = 0; i < 3; i++) {
        struct world w;
        world_init(&w, fold_rows[i]);
        unsigned folds = 0;
        for (uint64_t step = 0; step < 20000; step++) {
            bool was_busy = store_is_busy(&w.store);
            random_step(&w, step);
            folds += store_is_busy(&w.store) && !was_busy ? 1 : 0;
        }
        CHECK(folds > 100);
        for (size_t row = 0; row < w.twin.count; row++) {
            check_get(&w, w.twin.rows[row].key);
        }
        world_deinit(&w);
    }
}

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

/* ---- an engine that cannot write ------------------------------------------------------------- */

static enum status bad_get(struct store_engine *e, struct bytes key, struct blob **out_value)
{
    (void)e;
    (void)key;
    (void)out_value;
    return STATUS_NEED;
}

static enum status bad_seek(struct store_engine *e, struct bytes from, struct omap_item *out_item)
{
    (void)e;
    (void)from;
    (void)out_item;
    return STATUS_NEED;
}

static enum status bad_fold(struct store_engine *e, const struct omap *writes)
{
    (void)e;
    (void)writes;
    return STATUS_IO;
}

static void bad_folded(struct store_engine *e, struct omap *writes)
{
    (void)e;
    (void)writes;
    unreachable("folded after a failure");
}

static void bad_destroy(struct store_engine *e)
{
    mem_free(e);
}

static const struct store_engine_ops bad_ops = {
    .get = bad_get,
    .seek = bad_seek,
    .fold = bad_fold,
    .folded = bad_folded,
    .destroy = bad_destroy,
};

TEST(failed_fold_halts_and_missing_rows_are_need)
{
    struct world w = {0};
    fake_env_init(&w.env);
    struct store_engine *engine = mem_alloc_zero(sizeof *engine);
    engine->ops = &bad_ops;
    struct store_options options = {.fold_rows = 1};
    store_init(&w.store, &w.env.base, &options, engine);
    struct blob *b = NULL;
    struct omap_item item;
    CHECK_EQ(store_get(&w.store, bytes_of_text("a"), &b), STATUS_NEED);
    CHECK_EQ(store_seek(&w.store, bytes_of_text("a"), &item), STATUS_NEED);
    put(&w, "a", 1);
    check_get(&w, "a"); /* at hand in the overlay */
    store_flush(&w.store);
    CHECK(fake_env_run(&w.env));
    CHECK(w.env.base.is_halted);
    world_deinit(&w);
}
