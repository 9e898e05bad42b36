/* What every engine must do, over each of them. */
#include "engines.h"

static struct blob *blob_of(const char *text)
{
    struct blob *b = blob_create(strlen(text));
    memcpy(b->data, text, strlen(text));
    return b;
}

struct bench {
    struct place place;
    struct store_engine *engine;
    struct omap rows;
    struct buf drops;
    struct prng prng;
};

static void bench_init(struct bench *b, enum engine_kind kind)
{
    *b = (struct bench){0};
    place_init(&b->place, kind);
    prng_init(&b->prng, 3);
    omap_init(&b->rows);
    buf_init(&b->drops, SIZE_MAX / 2);
    b->engine = place_open(&b->place);
}

static void bench_deinit(struct bench *b)
{
    b->engine->ops->destroy(b->engine);
    omap_deinit(&b->rows);
    buf_deinit(&b->drops);
    place_deinit(&b->place);
}

static void put(struct bench *b, const char *key, const char *value)
{
    omap_put(&b->rows, bytes_of_text(key), value != NULL ? blob_of(value) : NULL);
}

static void append_sized(struct buf *b, const char *text)
{
    uint8_t size[4] = {(uint8_t)strlen(text)};
    buf_append(b, size, sizeof size);
    buf_append_text(b, text);
}

static void drop(struct bench *b, const char *from, const char *to)
{
    append_sized(&b->drops, from);
    append_sized(&b->drops, to);
}

static void write_batch(struct bench *b)
{
    struct store_batch batch = {.rows = &b->rows, .drops = buf_bytes(&b->drops)};
    uint64_t count = b->rows.count;
    CHECK_EQ(b->engine->ops->write(b->engine, &batch), STATUS_OK);
    CHECK_EQ(b->rows.count, count);
    if (b->engine->ops->written != NULL) {
        b->engine->ops->written(b->engine, &batch);
    }
    CHECK(!b->engine->ops->may_need || b->rows.count == count);
    omap_deinit(&b->rows);
    buf_clear(&b->drops, SIZE_MAX);
}

static void reopen(struct bench *b)
{
    place_crash(&b->place);
    b->engine->ops->destroy(b->engine);
    place_crashed(&b->place, &b->prng);
    b->engine = place_open(&b->place);
}

/* NULL: there must be none. */
static void check_read(struct bench *b, const char *key, const char *value)
{
    struct blob *found = NULL;
    enum status s = b->engine->ops->get(b->engine, bytes_of_text(key), &found);
    CHECK(s != STATUS_NEED || b->engine->ops->may_need);
    if (s == STATUS_NEED) {
        s = b->engine->ops->read(b->engine, bytes_of_text(key), &found);
    }
    CHECK_EQ(s, value != NULL ? STATUS_OK : STATUS_NOT_FOUND);
    if (value != NULL) {
        CHECK_BYTES(blob_bytes(found), bytes_of_text(value));
    }
    blob_unref(found);
}

/* rows: "key=value key=value …", a '!' at the end if it is the end. */
static void check_range(struct bench *b,
                        struct store_engine_snapshot *snapshot,
                        const char *from,
                        const char *to,
                        uint64_t bytes_max,
                        const char *rows)
{
    struct omap found;
    struct buf text;
    bool is_end = false;
    omap_init(&found);
    buf_init(&text, 10000);
    CHECK_EQ(b->engine->ops->read_range(b->engine,
                                        snapshot,
                                        bytes_of_text(from),
                                        bytes_of_text(to),
                                        bytes_max,
                                        &found,
                                        &is_end),
             STATUS_OK);
    const struct omap_node *at = NULL;
    struct omap_item item;
    while (omap_next(&found, &at, &item)) {
        buf_append_bytes(&text, item.key);
        buf_append_text(&text, "=");
        buf_append_bytes(&text, blob_bytes(item.value));
        buf_append_text(&text, " ");
    }
    buf_append_text(&text, is_end ? "!" : "");
    CHECK_BYTES(buf_bytes(&text), bytes_of_text(rows));
    buf_deinit(&text);
    omap_deinit(&found);
}

/* ---- the suite ------------------------------------------------------------------------------- */

static void rows_come_and_go(struct bench *b)
{
    check_read(b, "a", NULL);
    put(b, "a", "one");
    put(b, "", "empty key");
    put(b, "empty", "");
    write_batch(b);
    check_read(b, "a", "one");
    check_read(b, "", "empty key");
    check_read(b, "empty", "");
    put(b, "a", "two");
    put(b, "empty", NULL);
    put(b, "never there", NULL);
    write_batch(b);
    check_read(b, "a", "two");
    check_read(b, "empty", NULL);
    check_read(b, "never there", NULL);
    check_read(b, "aa", NULL);
}

static void ranges_are_ordered(struct bench *b)
{
    const char *keys[] = {"b", "a", "ab", "\xff", "c"};
    for (size_t i = 0; i < 5; i++) {
        put(b, keys[i], "v");
    }
    write_batch(b);
    check_range(b, NULL, "", "", 1000, "a=v ab=v b=v c=v \xff=v !");
    check_range(b, NULL, "a", "c", 1000, "a=v ab=v b=v !");
    check_range(b, NULL, "aa", "c", 1000, "ab=v b=v !");
    check_range(b, NULL, "x", "y", 1000, "!");
    check_range(b, NULL, "", "", 1, "a=v ");
    check_range(b, NULL, "", "", 3, "a=v ab=v ");
    check_range(b, NULL, "c", "d", 1, "c=v !");
}

static void seeks_find_the_next(struct bench *b)
{
    put(b, "b", "1");
    put(b, "d", "2");
    write_batch(b);
    const char *cases[][2] = {{"", "b"}, {"b", "b"}, {"c", "d"}, {"e", NULL}};
    for (size_t i = 0; i < 4; i++) {
        struct buf key;
        struct blob *value = NULL;
        buf_init(&key, 100);
        enum status s = STATUS_NEED;
        for (unsigned tries = 0; tries < 100 && s == STATUS_NEED; tries++) {
            s = b->engine->ops->seek(b->engine, bytes_of_text(cases[i][0]), &key, &value);
        }
        if (s != STATUS_NEED) { /* else it leaves all seeks to a worker */
            CHECK_EQ(s, cases[i][1] != NULL ? STATUS_OK : STATUS_NOT_FOUND);
        }
        if (s == STATUS_OK) {
            CHECK_BYTES(buf_bytes(&key), bytes_of_text(cases[i][1]));
            blob_unref(value);
        }
        buf_deinit(&key);
    }
}

static void drops_come_before_the_rows_of_their_batch(struct bench *b)
{
    put(b, "a", "1");
    put(b, "b1", "1");
    put(b, "b2", "1");
    put(b, "c", "1");
    put(b, "d", "1");
    write_batch(b);
    drop(b, "b", "c");
    drop(b, "d", "e");
    put(b, "b3", "2");
    write_batch(b);
    check_range(b, NULL, "", "", 1000, "a=1 b3=2 c=1 !");
    check_read(b, "b1", NULL);
    check_read(b, "d", NULL);
}

static void snapshots_are_frozen(struct bench *b)
{
    put(b, "a", "1");
    put(b, "b", "1");
    put(b, "c", "1");
    write_batch(b);
    struct store_engine_snapshot *first = b->engine->ops->snapshot_open(b->engine);
    put(b, "a", "2");
    put(b, "b", NULL);
    put(b, "bb", "2");
    write_batch(b);
    struct store_engine_snapshot *second = b->engine->ops->snapshot_open(b->engine);
    drop(b, "a", "c");
    put(b, "c", "3");
    write_batch(b);
    CHECK_EQ(b->engine->ops->sync(b->engine), STATUS_OK);
    check_range(b, first, "", "", 1000, "a=1 b=1 c=1 !");
    check_range(b, first, "aa", "c", 1000, "b=1 !");
    check_range(b, second, "", "", 1000, "a=2 bb=2 c=1 !");
    check_range(b, NULL, "", "", 1000, "c=3 !");
    b->engine->ops->snapshot_close(b->engine, first);
    check_range(b, second, "", "", 1, "a=2 ");
    b->engine->ops->snapshot_close(b->engine, second);
}

static void synced_batches_survive(struct bench *b)
{
    put(b, "a", "1");
    put(b, "b", "1");
    write_batch(b);
    put(b, "a", "2");
    drop(b, "b", "c");
    write_batch(b);
    CHECK(b->engine->ops->memory(b->engine) > 0);
    CHECK_EQ(b->engine->ops->sync(b->engine), STATUS_OK);
    CHECK_EQ(b->engine->ops->sync(b->engine), STATUS_OK); /* of nothing */
    CHECK(b->engine->ops->disk_bytes(b->engine) > 0);
    reopen(b);
    check_range(b, NULL, "", "", 1000, "a=2 !");
    check_read(b, "a", "2");
    check_read(b, "b", NULL);
}

/* Of what was not synced, a prefix of the batches survives; each batch as a whole. */
static void a_prefix_of_batches_survives(struct bench *b)
{
    char number[16];
    for (unsigned i = 1; i <= 20; i++) {
        (void)snprintf(number, sizeof number, "%u", i);
        put(b, "first", number);
        put(b, "last", number);
        write_batch(b);
        if (i == 7) {
            CHECK_EQ(b->engine->ops->sync(b->engine), STATUS_OK);
        }
    }
    reopen(b);
    struct blob *first = NULL;
    CHECK_EQ(b->engine->ops->read(b->engine, bytes_of_text("first"), &first), STATUS_OK);
    memset(number, 0, sizeof number);
    memcpy(number, first->data, first->size);
    check_read(b, "last", number);
    CHECK(atoi(number) >= 7);
    CHECK(atoi(number) <= 20);
    blob_unref(first);
}

static void run_all(void (*test)(struct bench *b))
{
    for (unsigned kind = 0; kind < ENGINE_KINDS; kind++) {
        struct bench b;
        bench_init(&b, kind);
        test(&b);
        bench_deinit(&b);
    }
}

#define SUITE_TEST(name)                                                                           \
    TEST(every_engine_##name)                                                                      \
    {                                                                                              \
        run_all(name);                                                                             \
    }

SUITE_TEST(rows_come_and_go)
SUITE_TEST(ranges_are_ordered)
SUITE_TEST(seeks_find_the_next)
SUITE_TEST(drops_come_before_the_rows_of_their_batch)
SUITE_TEST(snapshots_are_frozen)
SUITE_TEST(synced_batches_survive)
SUITE_TEST(a_prefix_of_batches_survives)

/* ---- the medium alone ------------------------------------------------------------------------ */

TEST(medium_keeps_a_prefix)
{
    for (size_t keep = 0; keep <= 3; keep++) {
        struct bench b;
        bench_init(&b, ENGINE_MEM);
        put(&b, "synced", "1");
        write_batch(&b);
        CHECK_EQ(b.engine->ops->sync(b.engine), STATUS_OK);
        for (unsigned i = 0; i < 3; i++) {
            const char *keys[] = {"a", "b", "c"};
            put(&b, keys[i], "1");
            write_batch(&b);
        }
        CHECK_EQ(store_medium_pending(b.place.medium), 3u);
        b.engine->ops->destroy(b.engine);
        store_medium_crash(b.place.medium, keep);
        CHECK_EQ(store_medium_pending(b.place.medium), 0u);
        b.engine = place_open(&b.place);
        const char *left[] = {"synced=1 !",
                              "a=1 synced=1 !",
                              "a=1 b=1 synced=1 !",
                              "a=1 b=1 c=1 synced=1 !"};
        check_range(&b, NULL, "", "", 1000, left[keep]);
        bench_deinit(&b);
    }
}

TEST(medium_rots_until_the_row_is_written_anew)
{
    struct bench b;
    bench_init(&b, ENGINE_MEM);
    CHECK(!store_medium_rot(b.place.medium, 0));
    put(&b, "a", "1");
    put(&b, "b", "1");
    write_batch(&b);
    CHECK_EQ(b.engine->ops->sync(b.engine), STATUS_OK);
    CHECK(store_medium_rot(b.place.medium, 3));
    struct blob *value = NULL;
    struct omap rows;
    bool is_end = false;
    omap_init(&rows);
    check_read(&b, "a", "1");
    CHECK_EQ(b.engine->ops->get(b.engine, bytes_of_text("b"), &value), STATUS_CORRUPT);
    CHECK_EQ(b.engine->ops->read_range(b.engine,
                                       NULL,
                                       bytes_of_text(""),
                                       bytes_of_text(""),
                                       1000,
                                       &rows,
                                       &is_end),
             STATUS_CORRUPT);
    omap_deinit(&rows);
    put(&b, "b", "2");
    write_batch(&b);
    check_read(&b, "b", "2");
    b.engine->ops->destroy(b.engine);
    store_medium_crash(b.place.medium, 0); /* the damaged one is back */
    b.engine = place_open(&b.place);
    CHECK_EQ(b.engine->ops->get(b.engine, bytes_of_text("b"), &value), STATUS_CORRUPT);
    put(&b, "b", "2");
    write_batch(&b);
    CHECK_EQ(b.engine->ops->sync(b.engine), STATUS_OK);
    check_read(&b, "b", "2");
    store_medium_wipe(b.place.medium);
    CHECK_EQ(store_medium_bytes(b.place.medium), 0u);
    bench_deinit(&b);
}
