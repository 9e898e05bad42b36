/* Rows that are not at hand: what waits for them, and that all else goes on as before. */
#include <inttypes.h>

#include "command/scan.h"
#include "data/slot.h"
#include "protocol/resp_reply.h"
#include "shard_random.h"

#define OK "+OK\r\n"
#define NIL "$-1\r\n"
#define ALL 1000u /* per mille: no row of the engine is ever at hand by itself */

/* Everything moves into the engine, and out of overlay and cache. */
static void world_push_out(struct shard_world *w)
{
    store_fold_soon(&w->store);
    for (unsigned i = 0; i < 3; i++) {
        world_turn(w);
    }
}

static unsigned fetches_under_way(struct shard_world *w)
{
    unsigned count = w->shard->is_apply_fetching ? 1 : 0;
    list_each(link, &w->shard->fetches) {
        count++;
    }
    return count;
}

/* ---- reads ----------------------------------------------------------------------------------- */

/* What is missing is read while the round is under way. */
TEST(fetch_overlaps_the_round)
{
    struct shard_world w;
    struct ask a;
    world_start_missing(&w, NULL, ALL);
    check_command(&w, "SET k v", OK);
    world_push_out(&w);
    ask(&w, &a, "GET k");
    CHECK_EQ(fetches_under_way(&w), 1u);
    fake_env_run_all(&w.env);
    CHECK_EQ(fetches_under_way(&w), 0u);
    check_reply(&a, NULL); /* READ-1: its round is not confirmed */
    uint64_t fetches = w.store.stats.fetches;
    world_confirm(&w);
    check_reply(&a, "$1\r\nv\r\n");
    CHECK_EQ(w.store.stats.fetches, fetches);
    world_stop(&w);
}

TEST(confirmed_read_waits_for_its_fetch)
{
    struct shard_world w;
    struct ask a[2];
    world_start_missing(&w, NULL, ALL);
    check_command(&w, "SET k v", OK);
    world_push_out(&w);
    ask(&w, &a[0], "GET k");
    world_confirm(&w);
    check_reply(&a[0], NULL);
    fake_env_run_all(&w.env); /* nothing else happens: the fetch wakes it */
    check_reply(&a[0], "$1\r\nv\r\n");
    /* No round at all: it runs at once, and meets the row that is missing. */
    world_push_out(&w);
    w.replica.is_sole = true;
    ask(&w, &a[0], "GET k");
    ask(&w, &a[1], "GET none");
    CHECK_EQ(fetches_under_way(&w), 2u);
    fake_env_run_all(&w.env);
    check_reply(&a[0], "$1\r\nv\r\n");
    check_reply(&a[1], NIL);
    world_stop(&w);
}

/* ORD-7: fetches run beside each other, the reads in the order they came. */
TEST(fetching_reads_keep_their_order)
{
    struct shard_world w;
    struct ask a[3];
    world_start_missing(&w, NULL, ALL);
    check_command(&w, "SET a 1", OK);
    check_command(&w, "SET b 2", OK);
    world_push_out(&w);
    check_command(&w, "SET c 3", OK); /* at hand, in the overlay */
    w.replica.is_sole = true;
    ask(&w, &a[0], "GET a");
    ask(&w, &a[1], "GET b");
    ask(&w, &a[2], "GET c");
    CHECK_EQ(fetches_under_way(&w), 2u);
    CHECK(!a[2].is_done);
    fake_env_run_all(&w.env);
    for (unsigned i = 1; i < 3; i++) {
        CHECK_EQ(a[i].order, a[i - 1].order + 1);
    }
    check_reply(&a[0], "$1\r\n1\r\n");
    check_reply(&a[1], "$1\r\n2\r\n");
    check_reply(&a[2], "$1\r\n3\r\n");
    world_stop(&w);
}

/* All keys of a command at once; those at hand are not read. */
TEST(all_missing_keys_in_one_fetch)
{
    struct shard_world w;
    struct ask a;
    world_start_missing(&w, NULL, ALL);
    check_command(&w, "SET a 1", OK);
    check_command(&w, "SET b 2", OK);
    world_push_out(&w);
    check_command(&w, "SET c 3", OK);
    uint64_t fetches = w.store.stats.fetches;
    w.replica.is_sole = true;
    ask(&w, &a, "MGET a none c b");
    CHECK_EQ(fetches_under_way(&w), 1u);
    fake_env_run_all(&w.env);
    check_reply(&a, "*4\r\n$1\r\n1\r\n$-1\r\n$1\r\n3\r\n$1\r\n2\r\n");
    CHECK_EQ(w.store.stats.fetches, fetches + 3);
    world_stop(&w);
}

/* Without any cache rows leave at the end of the turn: the second time all is read, and used. */
TEST(rows_that_left_are_read_again)
{
    struct shard_world w;
    struct ask a;
    world_start_missing(&w, NULL, ALL);
    check_command(&w, "SET a 1", OK);
    check_command(&w, "SET b 2", OK);
    world_push_out(&w);
    ask(&w, &a, "MGET a b");
    fake_env_run_all(&w.env);
    world_turn(&w); /* they are gone */
    world_confirm(&w);
    check_reply(&a, NULL);
    CHECK_EQ(fetches_under_way(&w), 1u);
    fake_env_run_all(&w.env);
    check_reply(&a, "*2\r\n$1\r\n1\r\n$1\r\n2\r\n");
    world_stop(&w);
}

/* A row leaves while another one of the same read comes: still there is an end to it. */
TEST(read_of_more_than_the_cache_ends)
{
    struct shard_world w;
    struct ask a;
    world_start_missing(&w, NULL, 500); /* half of the rows are at hand, now and then */
    for (unsigned i = 0; i < 8; i++) {
        char text[RANDOM_TEXT_BYTES];
        (void)snprintf(text, sizeof text, "SET k%u %u", i, i);
        check_command(&w, text, OK);
    }
    world_push_out(&w);
    for (unsigned round = 0; round < 50; round++) {
        ask(&w, &a, "EXISTS k0 k1 k2 k3 k4 k5 k6 k7");
        unsigned turns = 0;
        while (!a.is_done) {
            CHECK(++turns < 6);
            world_confirm(&w);
            world_turn(&w); /* the cache is emptied, then the fetch ends */
        }
        check_reply(&a, ":8\r\n");
    }
    world_stop(&w);
}

/* One row is all that a fetch brings, and it is gone again when the next one comes. */
TEST(scan_of_rows_larger_than_the_cache_goes_on)
{
    struct shard_world w;
    struct ask a;
    world_start_missing(&w, NULL, ALL);
    w.shard->read_view.base.slot_end = SLOT_COUNT;
    static char text[40000];
    for (unsigned i = 0; i < 3; i++) {
        int size = snprintf(text, sizeof text, "SET k%u ", i);
        memset(text + size, 'x', sizeof text - 1 - (size_t)size);
        check_command(&w, text, OK);
    }
    world_push_out(&w);
    uint64_t cursor = 0;
    unsigned found = 0;
    do {
        (void)snprintf(text, sizeof text, "SCAN %" PRIu64, cursor);
        ask(&w, &a, text);
        for (unsigned turns = 0; !a.is_done; turns++) {
            CHECK(turns < 20);
            world_confirm(&w);
            store_flush(&w.store);      /* what the last fetch brought goes, … */
            (void)fake_env_run(&w.env); /* … and the next one ends */
        }
        struct bytes rest = buf_bytes(&a.reply);
        struct resp_value v[3];
        for (unsigned i = 0; i < 3; i++) {
            CHECK_EQ(resp_value_read(&rest, &v[i]), STATUS_OK);
        }
        CHECK(scan_cursor_read(v[1].text, &cursor));
        found += (unsigned)v[2].count;
        buf_deinit(&a.reply);
    } while (cursor != 0);
    CHECK_EQ(found, 3u);
    world_stop(&w);
}

/* The same with keys that have expired: the range shows none of them, but gets past them. */
TEST(range_over_large_expired_rows_ends)
{
    struct shard_world w;
    struct ask a[4];
    static char value[40000];
    memset(value, 'v', sizeof value);
    world_start_missing(&w, NULL, ALL);
    for (unsigned i = 0; i < 4; i++) {
        char key[8];
        (void)snprintf(key, sizeof key, "k%u", i);
        struct bytes args[] = {bytes_of_text("SET"),
                               bytes_of_text(key),
                               bytes_of(value, sizeof value),
                               bytes_of_text("PX"),
                               bytes_of_text("100")};
        ask_args(&w, &a[i], args, 5, (struct request_id){0}, 0);
    }
    world_settle(&w);
    for (unsigned i = 0; i < 4; i++) {
        check_reply(&a[i], OK);
    }
    fake_env_advance(&w.env, 200);
    ask(&w, &a[0], "SET now v"); /* group time is behind them all */
    world_settle(&w);
    check_reply(&a[0], OK);
    world_push_out(&w);
    ask(&w, &a[0], "SCAN 0 COUNT 10");
    world_confirm(&w);
    for (unsigned turns = 0; !a[0].is_done; turns++) {
        CHECK(turns < 16);
        shard_flush(w.shard);
        store_flush(&w.store);
        CHECK(fake_env_run(&w.env));
    }
    CHECK_EQ(a[0].verdict, SHARD_DONE);
    CHECK(strncmp((const char *)a[0].reply.data, "*2\r\n$", 5) == 0);
    buf_deinit(&a[0].reply);
    world_stop(&w);
}

/* It is refused while its rows are being read: the fetch is nobody's then. */
/* A range over rows so large that a fetch brings one at a time: they do not take turns for ever. */
TEST(range_over_large_rows_ends)
{
    struct shard_world w;
    struct ask a[3];
    static char value[40000];
    memset(value, 'v', sizeof value);
    world_start_missing(&w, NULL, ALL);
    for (unsigned i = 0; i < 3; i++) {
        char key[8];
        (void)snprintf(key, sizeof key, "k%u", i);
        struct bytes args[] = {bytes_of_text("SET"),
                               bytes_of_text(key),
                               bytes_of(value, sizeof value)};
        ask_args(&w, &a[i], args, 3, (struct request_id){0}, 0);
    }
    world_settle(&w);
    for (unsigned i = 0; i < 3; i++) {
        check_reply(&a[i], OK);
    }
    world_push_out(&w);
    ask(&w, &a[0], "SCAN 0 COUNT 10");
    world_confirm(&w);
    for (unsigned turns = 0; !a[0].is_done; turns++) {
        CHECK(turns < 8);
        shard_flush(w.shard);
        store_flush(&w.store);       /* what came to hand before has left again */
        CHECK(fake_env_run(&w.env)); /* one fetch a turn */
    }
    CHECK_EQ(a[0].verdict, SHARD_DONE);
    CHECK(strncmp((const char *)a[0].reply.data, "*2\r\n$", 5) == 0);
    buf_deinit(&a[0].reply);
    world_stop(&w);
}

TEST(read_refused_during_its_fetch)
{
    struct shard_world w;
    struct ask a;
    world_start_missing(&w, NULL, ALL);
    check_command(&w, "SET k v", OK);
    world_push_out(&w);
    ask(&w, &a, "GET k");
    CHECK_EQ(fetches_under_way(&w), 1u);
    world_lose(&w);
    check_verdict(&a, SHARD_REFUSED); /* its memory is somebody else's now */
    fake_env_run_all(&w.env);
    const uint8_t *bytes = (const uint8_t *)&a.request;
    for (size_t i = 0; i < sizeof a.request; i++) {
        CHECK_EQ(bytes[i], 0xa5u);
    }
    CHECK_EQ(fetches_under_way(&w), 0u);
    world_win(&w);
    check_command(&w, "GET k", "$1\r\nv\r\n");
    world_stop(&w);
}

TEST(destroyed_during_a_fetch)
{
    struct shard_world w;
    struct ask get;
    struct ask set;
    world_start_missing(&w, NULL, ALL);
    check_command(&w, "SET k v", OK);
    world_push_out(&w);
    ask(&w, &get, "GET k");
    ask(&w, &set, "SET other v GET");
    shard_flush(w.shard);
    world_apply_all(&w);
    CHECK_EQ(fetches_under_way(&w), 2u);
    world_stop(&w); /* env is dead: no worker runs */
    forget(&get);
    forget(&set);
}

/* A key that is due, on disk: fetched, then decided by an entry, which fetches it too. */
TEST(due_key_on_disk)
{
    struct shard_world w;
    struct ask a;
    world_start_missing(&w, NULL, ALL);
    check_command(&w, "SET k v PX 100", OK);
    world_push_out(&w);
    fake_env_advance(&w.env, 150);
    ask(&w, &a, "GET k");
    world_settle(&w);
    check_reply(&a, NIL);
    CHECK_EQ(w.stats.keys_expired, 1u);
    world_stop(&w);
}

TEST(peek_reads_ahead_for_the_next_one)
{
    struct shard_world w;
    struct buf value;
    buf_init(&value, 64);
    world_start_missing(&w, NULL, ALL);
    check_command(&w, "SET k v", OK);
    world_push_out(&w);
    CHECK(!shard_peek(w.shard, 0, bytes_of_text("k"), &value));
    CHECK(!shard_peek(w.shard, 0, bytes_of_text("k"), &value));
    CHECK_EQ(fetches_under_way(&w), 1u); /* not one for each */
    fake_env_run_all(&w.env);
    CHECK(shard_peek(w.shard, 0, bytes_of_text("k"), &value));
    CHECK_BYTES(buf_bytes(&value), bytes_of_text("v"));
    buf_deinit(&value);
    world_stop(&w);
}

/* ---- entries --------------------------------------------------------------------------------- */

/* An entry is applied as a whole, once all it reads is at hand; nothing of it happens before. */
TEST(entry_waits_for_all_its_rows)
{
    struct shard_world w;
    struct ask a[3];
    world_start_missing(&w, NULL, ALL);
    check_command(&w, "SET a 1", OK);
    check_command(&w, "SET b 5", OK);
    world_push_out(&w);
    uint64_t hash = shard_hash(w.shard);
    uint64_t fetches = w.store.stats.fetches;
    unsigned holds = w.replica.holds;
    ask(&w, &a[0], "SET c 7");
    ask(&w, &a[1], "INCR a");
    ask(&w, &a[2], "DEL b none");
    shard_flush(w.shard);
    world_apply_all(&w);
    CHECK(w.replica.is_held);
    CHECK(!a[0].is_done);
    CHECK_EQ(fetches_under_way(&w), 1u);
    CHECK_EQ(shard_hash(w.shard), hash);
    fake_env_run_all(&w.env);
    CHECK(!w.replica.is_held);
    CHECK_EQ(w.replica.holds, holds + 1);
    CHECK_EQ(w.store.stats.fetches, fetches + 4); /* a, b, c, none */
    check_reply(&a[0], OK);
    check_reply(&a[1], ":2\r\n");
    check_reply(&a[2], ":1\r\n");
    world_stop(&w);
}

/* Asked again while it is being read: it is read once, and applied once. */
/* COPY and MOVE read the key in another database, too: fetched before they apply. */
TEST(entry_waits_for_rows_of_another_database)
{
    struct shard_world w;
    world_start_missing(&w, NULL, ALL);
    check_command(&w, "SET k v", OK);
    check_command(&w, "COPY k k DB 1", ":1\r\n");
    check_command(&w, "SET n v", OK);
    world_push_out(&w);
    check_command(&w, "COPY k k DB 1", ":0\r\n");
    world_push_out(&w);
    check_command(&w, "MOVE k 1", ":0\r\n");
    world_push_out(&w);
    check_command(&w, "MOVE n 1", ":1\r\n");
    CHECK_EQ(shard_counts(w.shard, 0).keys, 1u);
    CHECK_EQ(shard_counts(w.shard, 1).keys, 2u);
    check_databases(&w);
    world_stop(&w);
}

/* What stands behind a flush in the same entry was not there to be fetched. */
TEST(entry_with_a_flush)
{
    struct shard_world w;
    struct ask a[5];
    static const char *const texts[] = {"SET k 1", "FLUSHDB", "INCR k", "FLUSHALL", "INCR k"};
    static const char *const replies[] = {OK, OK, ":1\r\n", OK, ":1\r\n"};
    world_start_missing(&w, NULL, ALL);
    check_command(&w, "SET k 7 PX 100000", OK);
    check_command(&w, "SET other 7 PX 100000", OK);
    world_push_out(&w);
    for (unsigned i = 0; i < 5; i++) {
        ask(&w, &a[i], texts[i]);
    }
    world_settle(&w);
    CHECK_EQ(w.replica.index_last, 3u);
    for (unsigned i = 0; i < 5; i++) {
        check_reply(&a[i], replies[i]);
    }
    CHECK_EQ(shard_counts(w.shard, 0).keys, 1u);
    check_databases(&w);
    world_stop(&w);
}

TEST(entry_is_asked_for_again)
{
    struct shard_world w;
    struct ask a[2];
    world_start_missing(&w, NULL, ALL);
    check_command(&w, "SET n 1", OK);
    world_push_out(&w);
    ask(&w, &a[0], "INCR n");
    shard_flush(w.shard);
    world_apply_all(&w);
    ask(&w, &a[1], "INCR n");
    shard_flush(w.shard);
    w.replica.is_held = false; /* an impatient replica */
    world_apply_all(&w);
    CHECK(w.replica.is_held);
    CHECK_EQ(fetches_under_way(&w), 1u);
    fake_env_run_all(&w.env);
    check_reply(&a[0], ":2\r\n");
    check_reply(&a[1], ":3\r\n");
    world_stop(&w);
}

/* Half of the rows are at hand now and then, and none stays: each entry comes through in the end.
 */
TEST(entry_of_more_than_the_cache_ends)
{
    struct shard_world w;
    world_start_missing(&w, NULL, 500);
    for (unsigned round = 0; round < 60; round++) {
        struct ask a;
        check_command(&w, "SET k0 x", OK);
        check_command(&w, "SET k3 x", OK);
        world_push_out(&w);
        ask(&w, &a, "DEL k0 k1 k2 k3 k4 k5 k6 k7");
        shard_flush(w.shard);
        world_apply_all(&w);
        unsigned holds = w.replica.holds;
        for (unsigned turns = 0; !a.is_done; turns++) {
            CHECK(turns < 4);
            world_turn(&w);
        }
        CHECK(w.replica.holds <= holds + 1);
        check_reply(&a, ":2\r\n");
    }
    world_stop(&w);
}

/* ---- all of it ------------------------------------------------------------------------------- */

/* A replica with rows on disk and one with all of them in memory come to the same state. */
TEST(replicas_agree_whatever_is_at_hand)
{
    static const unsigned misses[] = {ALL, 500, 50};
    for (unsigned m = 0; m < 3; m++) {
        struct shard_world *w = mem_alloc(sizeof *w);
        struct shard_world *twin = mem_alloc(sizeof *twin);
        struct prng prng;
        unsigned answered = 0;
        prng_init(&prng, 31 + m);
        world_start_missing(w, NULL, misses[m]);
        world_start(twin);
        world_lose(twin);
        for (unsigned round = 0; round < 60; round++) {
            answered += random_burst(w, &prng);
            while (twin->replica.index_applied < w->replica.index_applied) {
                uint64_t index = ++twin->replica.index_applied;
                struct bytes entry = buf_bytes(&w->replica.entries[index]);
                CHECK_EQ(shard_replica_events()->apply(twin->shard, index, entry), STATUS_OK);
            }
            world_turn(twin);
            CHECK_EQ(shard_hash(twin->shard), shard_hash(w->shard));
        }
        CHECK(answered > 300);
        CHECK(w->store.stats.fetches > misses[m] / 10);
        CHECK(w->replica.holds > misses[m] / 100);
        world_stop(twin);
        world_stop(w);
        mem_free(twin);
        mem_free(w);
    }
}

/* ---- damage ---------------------------------------------------------------------------------- */

static void put_garbage(struct shard_world *w, const char *key)
{
    struct buf row_key;
    struct keyspace space = shard_space(w->shard, 0);
    struct blob *blob = blob_create(3);
    memcpy(blob->data, "bad", 3);
    buf_init(&row_key, 256);
    row_key_append(&row_key, &space, bytes_of_text(key));
    store_put(&w->store, buf_bytes(&row_key), blob);
    buf_deinit(&row_key);
}

/* Never served, never an abort: the node stops, and says what to do. */
TEST(damaged_row_halts_a_read)
{
    struct shard_world w;
    struct ask a;
    world_start(&w);
    put_garbage(&w, "k");
    ask(&w, &a, "GET k");
    world_confirm(&w);
    CHECK(!a.is_done);
    CHECK(w.env.base.is_halted);
    CHECK(strstr(w.env.halt_reason, "dougong rebuild") != NULL);
    CHECK_EQ(a.reply.size, 0u);
    world_stop(&w);
    forget(&a);
}

TEST(damaged_row_halts_an_entry)
{
    struct shard_world w;
    struct ask a[2];
    world_start(&w);
    put_garbage(&w, "k");
    ask(&w, &a[0], "SET other v");
    ask(&w, &a[1], "INCR k");
    world_turn(&w);
    CHECK_EQ(shard_replica_events()->apply(w.shard, 1, buf_bytes(&w.replica.entries[1])),
             STATUS_CORRUPT);
    CHECK(strstr(w.env.halt_reason, "dougong rebuild") != NULL);
    check_reply(&a[0], OK); /* applied before */
    CHECK_EQ(a[1].reply.size, 0u);
    world_stop(&w);
    forget(&a[1]);
}

TEST(damaged_row_halts_a_peek)
{
    struct shard_world w;
    struct buf value;
    buf_init(&value, 64);
    world_start(&w);
    put_garbage(&w, "k");
    CHECK(!shard_peek(w.shard, 0, bytes_of_text("k"), &value));
    CHECK(w.env.base.is_halted);
    buf_deinit(&value);
    world_stop(&w);
}
