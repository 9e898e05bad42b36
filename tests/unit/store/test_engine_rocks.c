/* RocksDB alone: damaged files, more data than memory, what it refuses. */
#include "engines.h"
#include "fake_env.h"
#include "store/store.h"

#define ROWS 400u
#define FLIPS 400u

static void key_of(unsigned i, char out_key[16])
{
    (void)snprintf(out_key, 16, "key %06u", i);
}

/* Bytes that do not compress, by the number. */
static struct blob *value_of(unsigned i, size_t size)
{
    struct blob *b = blob_create(size);
    struct prng prng;
    prng_init(&prng, i);
    for (size_t at = 0; at < size; at++) {
        b->data[at] = (uint8_t)prng_next(&prng);
    }
    return b;
}

static void check_value(struct blob *found, unsigned i, size_t size)
{
    struct blob *expected = value_of(i, size);
    CHECK_BYTES(blob_bytes(found), blob_bytes(expected));
    blob_unref(expected);
}

static void fill(struct store_engine *engine, unsigned from, unsigned to, size_t size)
{
    struct omap rows;
    omap_init(&rows);
    for (unsigned i = from; i < to; i++) {
        char key[16];
        key_of(i, key);
        omap_put(&rows, bytes_of_text(key), value_of(i, size));
    }
    struct store_batch batch = {.rows = &rows};
    CHECK_EQ(engine->ops->write(engine, &batch), STATUS_OK);
    omap_deinit(&rows);
}

/* ---- damage ---------------------------------------------------------------------------------- */

struct file_name {
    const char *part;
    char path[PLACE_PATH_BYTES * 2];
    long size;
};

static void find_file(const char *path, const char *name, void *ctx)
{
    struct file_name *f = ctx;
    struct stat s;
    if (strstr(name, f->part) != NULL && stat(path, &s) == 0) {
        (void)snprintf(f->path, sizeof f->path, "%s", path);
        f->size = (long)s.st_size;
    }
}

static struct file_name file_with(const struct place *p, const char *part)
{
    struct file_name f = {.part = part};
    dir_each(p->dir, find_file, &f);
    CHECK(f.size > 0);
    return f;
}

static void flip(const struct file_name *f, long at)
{
    FILE *file = fopen(f->path, "r+b");
    CHECK(file != NULL);
    CHECK_EQ(fseek(file, at, SEEK_SET), 0);
    int c = fgetc(file);
    CHECK_EQ(fseek(file, at, SEEK_SET), 0);
    CHECK(fputc(c ^ 0x10, file) != EOF);
    CHECK_EQ(fclose(file), 0);
}

/* Every row is right or an error; returns the first error. */
static enum status read_all(struct store_engine *engine, size_t size)
{
    enum status worst = STATUS_OK;
    for (unsigned i = 0; i < ROWS; i++) {
        char key[16];
        struct blob *found = NULL;
        key_of(i, key);
        enum status s = engine->ops->read(engine, bytes_of_text(key), &found);
        if (s == STATUS_OK) {
            check_value(found, i, size);
            blob_unref(found);
        } else {
            CHECK(s == STATUS_CORRUPT || s == STATUS_IO);
            worst = s;
        }
    }
    return worst;
}

TEST(flipped_bytes_of_a_table_are_never_served)
{
    struct place place;
    struct prng prng;
    unsigned found = 0;
    unsigned corrupt = 0;
    place_init(&place, ENGINE_ROCKS);
    prng_init(&prng, 9);
    struct store_engine *engine = place_open(&place);
    fill(engine, 0, ROWS, 100);
    CHECK_EQ(engine->ops->sync(engine), STATUS_OK);
    engine->ops->destroy(engine);
    struct file_name table = file_with(&place, ".sst");
    for (unsigned i = 0; i < FLIPS; i++) {
        long at = (long)prng_below(&prng, (uint64_t)table.size);
        flip(&table, at);
        enum status s = place_try_open(&place, &engine);
        if (s == STATUS_OK) {
            s = read_all(engine, 100);
            CHECK(s != STATUS_CORRUPT ||
                  strncmp(engine->ops->failure(engine), "Corruption", 10) == 0);
            engine->ops->destroy(engine);
        }
        found += s != STATUS_OK ? 1 : 0;
        corrupt += s == STATUS_CORRUPT ? 1 : 0;
        flip(&table, at);
    }
    /* The rest lies in what no read needs: statistics, and zeros between the blocks. */
    CHECK(found > FLIPS * 9 / 10);
    CHECK_EQ(corrupt, found);
    CHECK_EQ(place_try_open(&place, &engine), STATUS_OK);
    CHECK_EQ(read_all(engine, 100), STATUS_OK);
    engine->ops->destroy(engine);
    place_deinit(&place);
}

TEST(damaged_manifest_is_refused)
{
    struct place place;
    place_init(&place, ENGINE_ROCKS);
    struct store_engine *engine = place_open(&place);
    fill(engine, 0, ROWS, 100);
    CHECK_EQ(engine->ops->sync(engine), STATUS_OK);
    engine->ops->destroy(engine);
    struct file_name manifest = file_with(&place, "MANIFEST");
    flip(&manifest, manifest.size / 2);
    struct store_rocks_options options = {.dir = place.dir, .cache_bytes = place.cache_bytes};
    struct error error = {0};
    CHECK_EQ(store_engine_rocks_create(&options, &engine, &error), STATUS_CORRUPT);
    CHECK_EQ(error.code, STATUS_CORRUPT);
    CHECK(strncmp(error.text, "open store: Corruption: ", 24) == 0);
    place_deinit(&place);
}

TEST(missing_table_is_refused)
{
    struct place place;
    place_init(&place, ENGINE_ROCKS);
    struct store_engine *engine = place_open(&place);
    fill(engine, 0, ROWS, 100);
    CHECK_EQ(engine->ops->sync(engine), STATUS_OK);
    engine->ops->destroy(engine);
    CHECK_EQ(unlink(file_with(&place, ".sst").path), 0);
    enum status s = place_try_open(&place, &engine);
    CHECK(s == STATUS_CORRUPT || s == STATUS_IO);
    place_deinit(&place);
}

TEST(directory_in_use_or_absent_is_io)
{
    struct place place;
    place_init(&place, ENGINE_ROCKS);
    struct store_engine *engine = place_open(&place);
    struct store_engine *second = NULL;
    CHECK_EQ(place_try_open(&place, &second), STATUS_IO);
    engine->ops->destroy(engine);
    struct store_rocks_options options = {.dir = "/nonexistent/a/b", .cache_bytes = 1};
    struct error error = {0};
    CHECK_EQ(store_engine_rocks_create(&options, &engine, &error), STATUS_IO);
    place_deinit(&place);
}

/* ---- what is at hand ------------------------------------------------------------------------- */

/*
 * Without I/O nothing is known by an empty answer: RocksDB gives it also for a key of a table that
 * is not open. Only a worker can tell.
 */
TEST(empty_row_is_for_a_worker)
{
    struct place place;
    struct omap rows;
    struct blob *found = NULL;
    place_init(&place, ENGINE_ROCKS);
    struct store_engine *engine = place_open(&place);
    omap_init(&rows);
    omap_put(&rows, bytes_of_text("key"), blob_create(0));
    struct store_batch batch = {.rows = &rows};
    CHECK_EQ(engine->ops->write(engine, &batch), STATUS_OK);
    omap_deinit(&rows);
    CHECK_EQ(engine->ops->get(engine, bytes_of_text("key"), &found), STATUS_NEED);
    CHECK_EQ(engine->ops->read(engine, bytes_of_text("key"), &found), STATUS_OK);
    CHECK_EQ(found->size, 0u);
    blob_unref(found);
    engine->ops->destroy(engine);
    place_deinit(&place);
}

/* What an iterator without I/O finds behind a dropped range need not be the first row. */
TEST(seeks_are_for_a_worker)
{
    struct place place;
    struct omap rows;
    struct buf key;
    struct blob *found = NULL;
    bool is_end = false;
    place_init(&place, ENGINE_ROCKS);
    struct store_engine *engine = place_open(&place);
    buf_init(&key, 16);
    omap_init(&rows);
    omap_put(&rows, bytes_of_text("key"), blob_create(1));
    struct store_batch batch = {.rows = &rows};
    CHECK_EQ(engine->ops->write(engine, &batch), STATUS_OK);
    omap_deinit(&rows);
    omap_init(&rows);
    struct bytes from = bytes_of_text("k");
    struct bytes to = bytes_of_text("");
    CHECK_EQ(engine->ops->seek(engine, from, &key, &found), STATUS_NEED);
    CHECK_EQ(engine->ops->read_range(engine, NULL, from, to, 1, &rows, &is_end), STATUS_OK);
    CHECK_EQ(rows.count, 1u);
    omap_deinit(&rows);
    buf_deinit(&key);
    engine->ops->destroy(engine);
    place_deinit(&place);
}

/* ---- more data than memory ------------------------------------------------------------------- */

#define LARGE_ROWS 20000u
#define LARGE_BYTES 1000u

struct large {
    struct fake_env env;
    struct store store;
    struct store_fetch fetch;
    unsigned row;
    unsigned needs;
};

static enum status check_row(struct large *l)
{
    char key[16];
    struct blob *found = NULL;
    key_of(l->row, key);
    enum status s = store_get(&l->store, bytes_of_text(key), &found);
    if (s == STATUS_OK) {
        check_value(found, l->row, LARGE_BYTES);
    }
    return s;
}

static void fetched(struct store_fetch *f)
{
    struct large *l = container_of(f, struct large, fetch);
    CHECK_EQ(check_row(l), STATUS_OK);
    l->needs++;
}

static void read_row(struct large *l, unsigned row)
{
    l->row = row;
    enum status s = check_row(l);
    if (s == STATUS_NEED) {
        char key[16];
        key_of(row, key);
        l->fetch = (struct store_fetch){.done = fetched};
        store_fetch_add(&l->fetch, bytes_of_text(key));
        store_fetch_start(&l->store, &l->fetch);
        fake_env_run_all(&l->env);
        store_fetch_deinit(&l->fetch);
    } else {
        CHECK_EQ(s, STATUS_OK);
    }
}

TEST(data_larger_than_the_caches)
{
    struct place place;
    struct prng prng;
    struct large l = {0};
    place_init(&place, ENGINE_ROCKS);
    prng_init(&prng, 4);
    fake_env_init(&l.env);
    struct store_options options = {.fold_rows = 1000, .cache_bytes = 500000};
    store_init(&l.store, &l.env.base, &options, place_open(&place));
    store_ready(&l.store);
    for (unsigned i = 0; i < LARGE_ROWS; i++) {
        char key[16];
        key_of(i, key);
        store_put(&l.store, bytes_of_text(key), value_of(i, LARGE_BYTES));
        store_flush(&l.store);
        fake_env_run_all(&l.env);
        CHECK(l.store.cache.bytes <= 500000u);
    }
    for (unsigned i = 0; i < 2000; i++) {
        read_row(&l, (unsigned)prng_below(&prng, LARGE_ROWS));
        store_flush(&l.store);
        CHECK(l.store.cache.bytes <= 500000u);
    }
    CHECK(store_engine_memory(&l.store) > place.cache_bytes / 8);
    CHECK(store_engine_memory(&l.store) <= place.cache_bytes * 5 / 4);
    CHECK(l.needs > 500);
    CHECK(store_disk_bytes(&l.store) > 10000000u);
    store_deinit(&l.store);
    fake_env_deinit(&l.env);
    place_deinit(&place);
}
