/* The duplicate table as rows: what a save writes, and that a load of it forgets nothing. */
#include "base/endian.h"
#include "base/mem.h"
#include "base/prng.h"
#include "harness.h"
#include "shard/dup.h"
#include "store/omap.h"

#define W DUP_WINDOW
#define KEY_BYTES 12u

/* The rows, as a store would hold them. */
struct rows {
    struct omap map;
    unsigned puts; /* since the last save began */
    unsigned deletes;
};

static struct request_id id_of(uint32_t node, uint32_t incarnation, uint64_t sequence)
{
    return (struct request_id){.node = node, .incarnation = incarnation, .sequence = sequence};
}

static enum dup_verdict judge(struct dup *d, struct request_id id, uint64_t mark)
{
    struct bytes reply;
    return dup_judge(d, &id, mark, &reply);
}

static void execute(struct dup *d, struct request_id id, uint64_t mark, const char *reply)
{
    CHECK_EQ(judge(d, id, mark), DUP_NEW);
    dup_remember(d, &id, bytes_of_text(reply));
}

static void on_row(void *ctx, uint32_t node, uint64_t sequence, const struct bytes *value)
{
    struct rows *rows = ctx;
    uint8_t key[KEY_BYTES];
    put_u32_be(key, node);
    put_u64_be(key + 4, sequence);
    if (value == NULL) {
        CHECK(sequence > 0); /* a gateway's own row stays */
        rows->deletes++;
        omap_remove(&rows->map, bytes_of(key, sizeof key));
        return;
    }
    rows->puts++;
    struct blob *blob = blob_create(value->size);
    memcpy(blob->data, value->data, value->size);
    omap_put(&rows->map, bytes_of(key, sizeof key), blob);
}

static void save(struct dup *d, struct rows *rows)
{
    rows->puts = 0;
    rows->deletes = 0;
    dup_save(d, on_row, rows);
}

static enum status load_into(struct dup *d, const struct rows *rows)
{
    uint8_t from[KEY_BYTES + 1] = {0};
    struct bytes at = bytes_of(from, 0);
    struct omap_item item;
    while (omap_seek(&rows->map, at, &item)) {
        uint32_t node = get_u32_be(item.key.data);
        enum status s = dup_load(d, node, get_u64_be(item.key.data + 4), blob_bytes(item.value));
        if (s != STATUS_OK) {
            return s;
        }
        memcpy(from, item.key.data, KEY_BYTES);
        at = bytes_of(from, sizeof from); /* the next possible key */
    }
    return dup_loaded(d);
}

static struct dup *loaded(const struct rows *rows)
{
    struct dup *d = dup_create();
    CHECK_EQ(load_into(d, rows), STATUS_OK);
    return d;
}

static void check_row(const struct rows *rows, uint32_t node, uint64_t sequence, struct bytes value)
{
    uint8_t key[KEY_BYTES];
    struct omap_item item;
    put_u32_be(key, node);
    put_u64_be(key + 4, sequence);
    CHECK(omap_get(&rows->map, bytes_of(key, sizeof key), &item));
    CHECK_BYTES(blob_bytes(item.value), value);
}

/* ---- bytes ----------------------------------------------------------------------------------- */

TEST(golden_rows)
{
    static const uint8_t gateway[] = {0x04, 0x03, 0x02, 0x01, 0, 0, 0, 0, 5, 0, 0, 0,
                                      0,    0,    0,    0,    8, 0, 0, 0, 0, 0, 0, 0};
    static uint8_t large[DUP_REPLY_BYTES_MAX + 1];
    struct rows rows = {0};
    omap_init(&rows.map);
    struct dup *d = dup_create();
    execute(d, id_of(7, 0x01020304, 6), 5, ":1\r\n");
    struct request_id id = id_of(7, 0x01020304, 8);
    CHECK_EQ(judge(d, id, 5), DUP_NEW);
    dup_remember(d, &id, bytes_of(large, sizeof large));
    save(d, &rows);
    CHECK_EQ(rows.map.count, 3u);
    check_row(&rows, 7, 0, bytes_of(gateway, sizeof gateway));
    check_row(&rows, 7, 6, bytes_of("\x01:1\r\n", 5));
    check_row(&rows, 7, 8, bytes_of("\x02", 1)); /* DUP-8: done, the reply is lost */
    dup_destroy(d);
    omap_deinit(&rows.map);
}

/* ---- deltas ---------------------------------------------------------------------------------- */

/* What is written is what changed, however much the table holds. */
TEST(save_costs_what_changed)
{
    struct rows rows = {0};
    omap_init(&rows.map);
    struct dup *d = dup_create();
    save(d, &rows);
    CHECK_EQ(rows.puts, 0u);
    for (uint64_t s = 1; s <= W / 2; s++) {
        execute(d, id_of(1, 1, s), 0, "reply");
        execute(d, id_of(2, 1, s), 0, "reply");
    }
    save(d, &rows);
    CHECK_EQ(rows.puts, W + 2);
    CHECK_EQ(rows.deletes, 0u);
    save(d, &rows);
    CHECK_EQ(rows.puts + rows.deletes, 0u);
    execute(d, id_of(1, 1, W / 2 + 1), 3, "reply");
    save(d, &rows);
    CHECK_EQ(rows.puts, 2u);
    CHECK_EQ(rows.deletes, 3u);
    CHECK_EQ(judge(d, id_of(1, 1, 5), 4), DUP_DONE); /* a mark alone */
    save(d, &rows);
    CHECK_EQ(rows.puts, 1u);
    CHECK_EQ(rows.deletes, 1u);
    dup_destroy(d);
    omap_deinit(&rows.map);
}

/* A gap that fills after those behind it were saved. */
TEST(late_record_is_saved)
{
    struct rows rows = {0};
    omap_init(&rows.map);
    struct dup *d = dup_create();
    execute(d, id_of(1, 1, 9), 0, "nine");
    save(d, &rows);
    execute(d, id_of(1, 1, 4), 0, "four");
    save(d, &rows);
    CHECK_EQ(rows.puts, 1u); /* its gateway's row says the same */
    struct dup *back = loaded(&rows);
    CHECK_EQ(dup_hash(back), dup_hash(d));
    CHECK_EQ(judge(back, id_of(1, 1, 4), 0), DUP_DONE);
    dup_destroy(back);
    dup_destroy(d);
    omap_deinit(&rows.map);
}

/* DUP-1: nothing of a dead incarnation is left, and its sequences count for the new one. */
TEST(renewed_incarnation_deletes_the_older)
{
    struct rows rows = {0};
    omap_init(&rows.map);
    struct dup *d = dup_create();
    for (uint64_t s = 11; s <= 20; s++) {
        execute(d, id_of(1, 1, s), 10, "old");
    }
    save(d, &rows);
    execute(d, id_of(1, 2, 12), 0, "new");
    execute(d, id_of(1, 3, 13), 0, "newer");
    save(d, &rows);
    CHECK_EQ(rows.map.count, 2u);
    check_row(&rows, 1, 13, bytes_of_text("\x01newer"));
    struct dup *back = loaded(&rows);
    CHECK_EQ(dup_hash(back), dup_hash(d));
    CHECK_EQ(judge(back, id_of(1, 3, 12), 0), DUP_NEW);
    CHECK_EQ(judge(back, id_of(1, 2, 14), 0), DUP_FINISHED);
    dup_destroy(back);
    dup_destroy(d);
    omap_deinit(&rows.map);
}

/* A loaded table goes on with the rows it came from. */
TEST(save_after_a_load)
{
    struct rows rows = {0};
    omap_init(&rows.map);
    struct dup *d = dup_create();
    for (uint64_t s = 1; s <= 8; s++) {
        execute(d, id_of(1, 1, s), 0, "reply");
    }
    save(d, &rows);
    dup_destroy(d);
    d = loaded(&rows);
    save(d, &rows);
    CHECK_EQ(rows.puts + rows.deletes, 0u);
    execute(d, id_of(1, 1, 9), 6, "nine");
    save(d, &rows);
    CHECK_EQ(rows.map.count, 4u); /* its own, 7, 8, 9 */
    execute(d, id_of(1, 2, 1), 0, "new");
    save(d, &rows);
    CHECK_EQ(rows.map.count, 2u);
    dup_destroy(d);
    omap_deinit(&rows.map);
}

/* ---- at random moments ----------------------------------------------------------------------- */

struct random_run {
    struct prng prng;
    struct dup *dup;
    struct rows rows;
    uint32_t incarnations[4];
    uint64_t marks[4];
};

static struct request_id random_id(struct random_run *r, uint64_t *out_mark)
{
    struct prng *p = &r->prng;
    uint32_t node = (uint32_t)prng_between(p, 1, 3);
    if (prng_chance(p, 3)) {
        r->incarnations[node] += (uint32_t)prng_between(p, 1, 2);
        r->marks[node] = prng_chance(p, 500) ? 0 : r->marks[node];
    }
    r->marks[node] += prng_chance(p, 200) ? prng_below(p, prng_chance(p, 10) ? 2 * W : 30) : 0;
    *out_mark = r->marks[node];
    uint64_t sequence = *out_mark + prng_between(p, 1, 60);
    if (prng_chance(p, 20)) {
        sequence = *out_mark + prng_between(p, W - 2, W + 2);
    }
    return id_of(node, r->incarnations[node], prng_chance(p, 20) ? 0 : sequence);
}

static void random_step(struct random_run *r)
{
    static uint8_t bytes[DUP_REPLY_BYTES_MAX + 1];
    uint64_t mark = 0;
    struct request_id id = random_id(r, &mark);
    if (judge(r->dup, id, mark) == DUP_NEW && !prng_chance(&r->prng, 50)) {
        bool is_large = prng_chance(&r->prng, 20);
        size_t size = (size_t)prng_below(&r->prng, is_large ? sizeof bytes + 1 : 40);
        memset(bytes, (int)prng_between(&r->prng, 1, 255), size);
        dup_remember(r->dup, &id, bytes_of(bytes, size));
    }
}

/* Copies of the past and the future: both tables say the same. */
static void check_verdicts(struct random_run *r, struct dup *back)
{
    for (unsigned i = 0; i < 50; i++) {
        uint32_t node = (uint32_t)prng_between(&r->prng, 1, 3);
        uint64_t mark = r->marks[node];
        uint64_t sequence = mark + prng_below(&r->prng, 70);
        sequence -= sequence > 5 ? 5 : 0;
        uint32_t older = prng_chance(&r->prng, 100) && r->incarnations[node] > 0 ? 1 : 0;
        struct request_id id = id_of(node, r->incarnations[node] - older, sequence);
        struct bytes a;
        struct bytes b;
        CHECK_EQ(dup_judge(back, &id, 0, &a), dup_judge(r->dup, &id, 0, &b));
        CHECK_BYTES(a, b);
    }
    CHECK_EQ(dup_hash(back), dup_hash(r->dup));
}

TEST(random_saves_and_loads)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct random_run r = {.dup = dup_create()};
        omap_init(&r.rows.map);
        prng_init(&r.prng, seed);
        for (unsigned step = 0; step < 4000; step++) {
            random_step(&r);
            if (prng_chance(&r.prng, 30)) {
                save(r.dup, &r.rows);
                struct dup *back = loaded(&r.rows);
                CHECK_EQ(dup_hash(back), dup_hash(r.dup));
                check_verdicts(&r, back);
                bool goes_on = prng_chance(&r.prng, 500); /* a restart: what came since is lost */
                dup_destroy(goes_on ? r.dup : back);
                r.dup = goes_on ? back : r.dup;
            }
        }
        dup_destroy(r.dup);
        omap_deinit(&r.rows.map);
    }
}

/* ---- what is refused ------------------------------------------------------------------------- */

static const uint8_t good_gateway[] = {1, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0,
                                       0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0};

static enum status load_bent_gateway(size_t size, size_t at, uint8_t byte)
{
    uint8_t bytes[sizeof good_gateway + 1] = {0};
    memcpy(bytes, good_gateway, sizeof good_gateway);
    bytes[at] = byte;
    struct dup *d = dup_create();
    enum status s = dup_load(d, 1, 0, bytes_of(bytes, size));
    dup_destroy(d);
    return s;
}

TEST(not_a_gateways_row)
{
    CHECK_EQ(load_bent_gateway(24, 0, 2), STATUS_OK);
    CHECK_EQ(load_bent_gateway(23, 0, 1), STATUS_CORRUPT);
    CHECK_EQ(load_bent_gateway(25, 0, 1), STATUS_CORRUPT);
    CHECK_EQ(load_bent_gateway(0, 0, 1), STATUS_CORRUPT);
    CHECK_EQ(load_bent_gateway(24, 4, 1), STATUS_CORRUPT);
    CHECK_EQ(load_bent_gateway(24, 8, 9), STATUS_CORRUPT);  /* mark above the newest */
    CHECK_EQ(load_bent_gateway(24, 18, 1), STATUS_CORRUPT); /* beyond the window */
    struct dup *d = dup_create();
    CHECK_EQ(dup_load(d, 1, 0, bytes_of(good_gateway, 24)), STATUS_OK);
    CHECK_EQ(dup_load(d, 1, 0, bytes_of(good_gateway, 24)), STATUS_CORRUPT); /* twice */
    dup_destroy(d);
}

TEST(not_a_records_row)
{
    static uint8_t large[DUP_REPLY_BYTES_MAX + 2] = {1};
    struct dup *d = dup_create();
    CHECK_EQ(dup_load(d, 1, 6, bytes_of("\x02", 1)), STATUS_CORRUPT); /* without its gateway's */
    CHECK_EQ(dup_load(d, 1, 0, bytes_of(good_gateway, 24)), STATUS_OK);
    CHECK_EQ(dup_load(d, 1, 5, bytes_of("\x02", 1)), STATUS_CORRUPT); /* at the mark */
    CHECK_EQ(dup_load(d, 1, 9, bytes_of("\x02", 1)), STATUS_CORRUPT); /* above the newest */
    CHECK_EQ(dup_load(d, 1, 6, bytes_of("", 0)), STATUS_CORRUPT);
    CHECK_EQ(dup_load(d, 1, 6, bytes_of("\x01", 1)), STATUS_CORRUPT);
    CHECK_EQ(dup_load(d, 1, 6, bytes_of("\x02r", 2)), STATUS_CORRUPT);
    CHECK_EQ(dup_load(d, 1, 6, bytes_of("\x03", 1)), STATUS_CORRUPT);
    CHECK_EQ(dup_load(d, 1, 6, bytes_of(large, sizeof large)), STATUS_CORRUPT);
    CHECK_EQ(dup_load(d, 1, 6, bytes_of(large, sizeof large - 1)), STATUS_OK);
    CHECK_EQ(dup_load(d, 1, 6, bytes_of("\x02", 1)), STATUS_CORRUPT); /* twice */
    CHECK_EQ(dup_loaded(d), STATUS_CORRUPT);                          /* the newest is missing */
    CHECK_EQ(dup_load(d, 1, 8, bytes_of("\x02", 1)), STATUS_OK);
    CHECK_EQ(dup_loaded(d), STATUS_OK);
    dup_destroy(d);
}
