/*
 * Random operations on a store over each engine, against sorted arrays that know nothing of either:
 * reads and fetches at any moment, folds and syncs whose jobs run and end in any order, drops,
 * snapshots, and crashes after which the engine must hold the state of some fold, none older than
 * the last sync.
 */
#include "engines.h"
#include "fake_env.h"
#include "store/store.h"

#define ROWS_MAX 128u
#define KEY_BYTES 5u
#define STATES_MAX 4096u
#define RAN_MAX 32u
#define FETCHES 4u
#define FETCH_KEYS 3u
#define MARK "~" /* the row that fold_starts puts: the number of the fold */
#define WRONG_VALUE UINT64_MAX

struct model_row {
    char key[KEY_BYTES + 1];
    uint64_t value;
};

struct model {
    struct model_row rows[ROWS_MAX];
    size_t count;
};

struct world;

struct reader {
    struct store_fetch fetch;
    struct world *world;
    char keys[FETCH_KEYS][KEY_BYTES + 1];
    size_t count;
    bool is_busy;
};

struct world {
    struct fake_env env;
    struct place place;
    struct store store;
    struct model model;
    struct model *states; /* at each fold */
    size_t state_count;
    size_t syncing; /* the state that a sync under way is to make durable */
    size_t synced;
    struct env_work *ran[RAN_MAX]; /* their done() is to come */
    size_t ran_count;
    struct reader readers[FETCHES];
    struct store_snapshot *snapshot;
    struct store_range range;
    struct model frozen;
    char generation; /* keys begin with it or with the one before */
    struct prng prng;
    uint64_t needs;
    uint64_t crashes;
    uint64_t snapshots;
    uint64_t drops;
};

/* ---- the model ------------------------------------------------------------------------------- */

static size_t model_seek(const struct model *m, const char *key)
{
    size_t i = 0;
    while (i < m->count && strcmp(m->rows[i].key, key) < 0) {
        i++;
    }
    return i;
}

static bool model_has(const struct model *m, const char *key)
{
    size_t i = model_seek(m, key);
    return i < m->count && strcmp(m->rows[i].key, key) == 0;
}

static void model_put(struct model *m, const char *key, uint64_t value)
{
    size_t i = model_seek(m, key);
    if (!model_has(m, key)) {
        CHECK(m->count < ROWS_MAX);
        memmove(m->rows + i + 1, m->rows + i, (m->count - i) * sizeof m->rows[0]);
        m->count++;
        (void)snprintf(m->rows[i].key, sizeof m->rows[i].key, "%s", key);
    }
    m->rows[i].value = value;
}

static void model_delete(struct model *m, const char *key)
{
    if (model_has(m, key)) {
        size_t i = model_seek(m, key);
        m->count--;
        memmove(m->rows + i, m->rows + i + 1, (m->count - i) * sizeof m->rows[0]);
    }
}

static void model_drop(struct model *m, char generation)
{
    for (size_t i = m->count; i > 0; i--) {
        if (m->rows[i - 1].key[0] == generation) {
            model_delete(m, m->rows[i - 1].key);
        }
    }
}

/* ---- values: a number, and bytes that follow from it ------------------------------------------
 */

static struct blob *value_of(uint64_t number)
{
    struct blob *b = blob_create(sizeof number + number * 37 % 600);
    memset(b->data, (int)(number % 251), b->size);
    memcpy(b->data, &number, sizeof number);
    return b;
}

static uint64_t number_of(const struct blob *b)
{
    uint64_t number = 0;
    CHECK(b->size >= sizeof number);
    memcpy(&number, b->data, sizeof number);
    struct blob *expected = value_of(number);
    bool is_equal = bytes_equal(blob_bytes(b), blob_bytes(expected));
    blob_unref(expected);
    return is_equal ? number : WRONG_VALUE;
}

static void check_item(const struct model *m, size_t i, const struct omap_item *item)
{
    CHECK_BYTES(item->key, bytes_of_text(m->rows[i].key));
    CHECK_EQ(number_of(item->value), m->rows[i].value);
}

/* ---- reads ----------------------------------------------------------------------------------- */

static enum status check_get(struct world *w, const char *key)
{
    struct blob *b = NULL;
    enum status s = store_get(&w->store, bytes_of_text(key), &b);
    if (s == STATUS_NEED) {
        w->needs++;
        return s;
    }
    CHECK_EQ(s, model_has(&w->model, key) ? STATUS_OK : STATUS_NOT_FOUND);
    if (s == STATUS_OK) {
        CHECK_EQ(number_of(b), w->model.rows[model_seek(&w->model, key)].value);
    }
    return s;
}

static enum status check_seek(struct world *w, const char *from, size_t same_bytes)
{
    struct omap_item item;
    size_t i = model_seek(&w->model, from);
    enum status s = store_seek(&w->store, bytes_of_text(from), same_bytes, &item);
    if (s == STATUS_NEED) {
        w->needs++;
        return s;
    }
    bool is_there = i < w->model.count && strncmp(w->model.rows[i].key, from, same_bytes) == 0;
    CHECK_EQ(s, is_there ? STATUS_OK : STATUS_NOT_FOUND);
    if (s == STATUS_OK) {
        check_item(&w->model, i, &item);
    }
    return s;
}

static void fetched(struct store_fetch *f)
{
    struct reader *r = container_of(f, struct reader, fetch);
    for (size_t i = 0; i < r->count; i++) {
        if (f->is_seek) {
            CHECK(check_seek(r->world, r->keys[i], f->same_bytes) != STATUS_NEED);
        } else if (r->keys[i][0] >= r->world->generation - 1) { /* not dropped meanwhile */
            CHECK(check_get(r->world, r->keys[i]) != STATUS_NEED);
        }
    }
    r->is_busy = false;
    store_fetch_deinit(f);
}

static void random_key(struct world *w, char out_key[KEY_BYTES + 1])
{
    memset(out_key, 0, KEY_BYTES + 1);
    out_key[0] = (char)(w->generation - (prng_chance(&w->prng, 300) ? 1 : 0));
    for (uint64_t i = prng_below(&w->prng, 4); i > 0; i--) {
        out_key[i] = (char)('a' + prng_below(&w->prng, 3));
    }
}

static void random_fetch(struct world *w)
{
    struct reader *r = &w->readers[prng_below(&w->prng, FETCHES)];
    if (r->is_busy || w->env.job_count + w->ran_count >= RAN_MAX - 1) {
        return;
    }
    *r = (struct reader){.world = w, .is_busy = true};
    r->fetch.done = fetched;
    r->fetch.is_seek = prng_chance(&w->prng, 500);
    r->fetch.same_bytes = prng_below(&w->prng, 2);
    r->count = 1 + prng_below(&w->prng, FETCH_KEYS);
    for (size_t i = 0; i < r->count; i++) {
        random_key(w, r->keys[i]);
        store_fetch_add(&r->fetch, bytes_of_text(r->keys[i]));
    }
    CHECK_EQ(store_fetch_count(&r->fetch), r->count);
    store_fetch_start(&w->store, &r->fetch);
}

/* ---- snapshots ------------------------------------------------------------------------------- */

static void check_equal(const struct model *a, const struct model *b)
{
    CHECK_EQ(a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        CHECK_TEXT(a->rows[i].key, b->rows[i].key);
        CHECK_EQ(a->rows[i].value, b->rows[i].value);
    }
}

static void add_rows(struct model *m, const struct omap *rows)
{
    const struct omap_node *at = NULL;
    struct omap_item item;
    while (omap_next(rows, &at, &item)) {
        CHECK(m->count < ROWS_MAX);
        CHECK(item.key.size <= KEY_BYTES);
        struct model_row *row = &m->rows[m->count++];
        *row = (struct model_row){.value = number_of(item.value)};
        memcpy(row->key, item.key.data, item.key.size);
    }
}

/* The state of the fold whose number is in it; nothing before the first fold. */
static size_t check_state(struct world *w, const struct model *found)
{
    if (!model_has(found, MARK)) {
        CHECK_EQ(found->count, 0u);
        return 0;
    }
    size_t fold = found->rows[model_seek(found, MARK)].value;
    CHECK(fold > 0);
    CHECK(fold <= w->state_count);
    check_equal(found, &w->states[fold - 1]);
    return fold;
}

static void range_read(struct store_range *r)
{
    struct world *w = container_of(r, struct world, range);
    add_rows(&w->frozen, &r->rows);
    if (!r->is_end) {
        store_range_start(&w->store, r);
        return;
    }
    (void)check_state(w, &w->frozen);
    store_snapshot_close(&w->store, w->snapshot);
    w->snapshot = NULL;
    store_range_deinit(r);
    w->snapshots++;
}

static void start_snapshot(struct world *w)
{
    if (w->snapshot != NULL || w->env.job_count + w->ran_count >= RAN_MAX - 1) {
        return;
    }
    w->snapshot = store_snapshot_open(&w->store);
    w->frozen.count = 0;
    store_range_init(&w->range);
    w->range.snapshot = w->snapshot;
    w->range.bytes_max = 1 + prng_below(&w->prng, 3000);
    w->range.done = range_read;
    store_range_start(&w->store, &w->range);
}

/* ---- folds, syncs, jobs ---------------------------------------------------------------------- */

static void fold_starts(void *owner, bool is_sync)
{
    struct world *w = owner;
    CHECK(w->state_count < STATES_MAX);
    uint64_t fold = w->state_count + 1;
    store_put(&w->store, bytes_of_text(MARK), value_of(fold));
    model_put(&w->model, MARK, fold);
    w->states[w->state_count++] = w->model;
    if (is_sync) {
        CHECK_EQ(w->syncing, 0u);
        w->syncing = fold;
    }
}

static void synced(void *owner)
{
    struct world *w = owner;
    CHECK(w->syncing > w->synced);
    w->synced = w->syncing;
    w->syncing = 0;
}

/* Some job runs, or some that ran is done. */
static void random_job(struct world *w)
{
    if (w->env.job_count > 0 && prng_chance(&w->prng, 500)) {
        size_t i = prng_below(&w->prng, w->env.job_count);
        struct env_work *work = w->env.jobs[i];
        w->env.jobs[i] = w->env.jobs[--w->env.job_count];
        CHECK(w->ran_count < RAN_MAX);
        work->run(work);
        w->ran[w->ran_count++] = work;
    } else if (w->ran_count > 0) {
        size_t i = prng_below(&w->prng, w->ran_count);
        struct env_work *work = w->ran[i];
        w->ran[i] = w->ran[--w->ran_count];
        work->done(work);
    }
}

/* ---- life and death -------------------------------------------------------------------------- */

static void world_open(struct world *w)
{
    struct store_options options = {
        .fold_rows = 1 + prng_below(&w->prng, 12),
        .cache_bytes = prng_below(&w->prng, 2) * 3000,
        .fold_starts = fold_starts,
        .synced = synced,
        .owner = w,
    };
    fake_env_init(&w->env);
    store_init(&w->store, &w->env.base, &options, place_open(&w->place));
}

/* All that is there, read before anybody is served. */
static void read_all(struct world *w, struct model *out_found)
{
    struct store_range r;
    store_range_init(&r);
    r.bytes_max = 1000;
    out_found->count = 0;
    do {
        CHECK_EQ(store_range_now(&w->store, &r), STATUS_OK);
        add_rows(out_found, &r.rows);
    } while (!r.is_end);
    store_range_deinit(&r);
}

static void world_crash(struct world *w)
{
    place_crash(&w->place);
    for (size_t i = 0; i < FETCHES; i++) {
        store_fetch_deinit(&w->readers[i].fetch);
        w->readers[i].is_busy = false;
    }
    if (w->snapshot != NULL) {
        store_snapshot_close(&w->store, w->snapshot);
        store_range_deinit(&w->range);
        w->snapshot = NULL;
    }
    store_deinit(&w->store);
    fake_env_deinit(&w->env);
    w->env.job_count = 0;
    w->ran_count = 0;
    place_crashed(&w->place, &w->prng);
    world_open(w);
    struct model found;
    read_all(w, &found);
    size_t fold = check_state(w, &found);
    CHECK(fold >= w->synced);
    w->model = found;
    if (w->generation > 'B') { /* drops may be lost with the folds they were part of */
        char to[2] = {(char)(w->generation - 1), '\0'};
        store_drop(&w->store, bytes_of_text("A"), bytes_of_text(to));
        for (char c = 'A'; c < to[0]; c++) {
            model_drop(&w->model, c);
        }
    }
    w->state_count = fold; /* what came after it never happened */
    w->syncing = 0;
    w->synced = fold;
    store_ready(&w->store);
    w->crashes++;
}

static void random_change(struct world *w, uint64_t step)
{
    char key[KEY_BYTES + 1];
    random_key(w, key);
    if (prng_chance(&w->prng, 600)) {
        store_put(&w->store, bytes_of_text(key), value_of(step));
        model_put(&w->model, key, step);
    } else {
        store_delete(&w->store, bytes_of_text(key));
        model_delete(&w->model, key);
    }
}

static void next_generation(struct world *w)
{
    char from[2] = {(char)(w->generation - 1), '\0'};
    char to[2] = {w->generation, '\0'};
    if (w->generation == '}') {
        return;
    }
    store_drop(&w->store, bytes_of_text(from), bytes_of_text(to));
    model_drop(&w->model, from[0]);
    w->generation++;
    w->drops++;
}

static void random_read(struct world *w)
{
    char key[KEY_BYTES + 1];
    random_key(w, key);
    if (prng_chance(&w->prng, 500)) {
        (void)check_get(w, key);
    } else {
        (void)check_seek(w, key, prng_below(&w->prng, 2));
    }
}

static void random_step(struct world *w, uint64_t step)
{
    uint64_t dice = prng_below(&w->prng, 1000);
    if (dice < 300) {
        random_change(w, step);
    } else if (dice < 550) {
        random_read(w);
    } else if (dice < 600) {
        random_fetch(w);
    } else if (dice < 750) {
        store_flush(&w->store);
    } else if (dice < 960) {
        random_job(w);
    } else if (dice < 970) {
        store_fold_soon(&w->store);
    } else if (dice < 980) {
        store_sync_soon(&w->store);
    } else if (dice < 994) {
        start_snapshot(w);
    } else if (dice < 997) {
        next_generation(w);
    } else if (prng_chance(&w->prng, 300)) {
        world_crash(w);
    }
    CHECK(!w->env.base.is_halted);
}

static void run_world(enum engine_kind kind, uint64_t seed, uint64_t steps)
{
    static struct world worlds;
    struct world *w = &worlds;
    *w = (struct world){.generation = 'B'};
    w->states = calloc(STATES_MAX, sizeof *w->states);
    place_init(&w->place, kind);
    prng_init(&w->prng, seed);
    world_open(w);
    store_ready(&w->store);
    for (uint64_t step = 0; step < steps; step++) {
        random_step(w, step);
    }
    CHECK(w->crashes > 0);
    CHECK(w->snapshots > 0);
    CHECK(w->drops > 0);
    CHECK(w->synced > 0);
    CHECK((w->needs > 0) == (kind == ENGINE_MEM_MISS) || kind == ENGINE_ROCKS);
    world_crash(w);
    store_deinit(&w->store);
    fake_env_deinit(&w->env);
    place_deinit(&w->place);
    free(w->states);
}

/* ---- tests ----------------------------------------------------------------------------------- */

TEST(rows_in_memory_match_the_model)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        run_world(ENGINE_MEM, seed, 20000);
    }
}

TEST(rows_not_at_hand_match_the_model)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        run_world(ENGINE_MEM_MISS, seed, 20000);
    }
}

TEST(rocksdb_matches_the_model)
{
    for (uint64_t seed = 1; seed <= 2; seed++) {
        run_world(ENGINE_ROCKS, seed, 8000);
    }
}
