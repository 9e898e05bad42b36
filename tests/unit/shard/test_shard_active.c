/* Active expiry: keys that nobody asks for end, too. */
#include <stdio.h>

#include "shard_databases.h"

#define OK "+OK\r\n"
#define NIL "$-1\r\n"
#define TICK SHARD_EXPIRY_TICK_MS

static void start(struct shard_world *w)
{
    world_start(w);
    w->is_expiring = true;
}

/* A turn in which what was proposed applies. */
static void turn(struct shard_world *w)
{
    world_turn(w);
    world_apply_all(w);
    world_turn(w);
}

static uint64_t keys(struct shard_world *w)
{
    return shard_counts(w->shard, 0).keys;
}

static void set_many(struct shard_world *w, unsigned count, unsigned px_ms)
{
    struct ask *asks = mem_alloc(count * sizeof asks[0]);
    char text[64];
    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(text, sizeof text, "SET key:%u v PX %u", i, px_ms);
        ask(w, &asks[i], text);
    }
    turn(w);
    for (unsigned i = 0; i < count; i++) {
        check_reply(&asks[i], OK);
    }
    mem_free(asks);
}

TEST(due_keys_end_unasked)
{
    struct shard_world w;
    start(&w);
    check_command(&w, "SET a v PX 250", OK);
    check_command(&w, "SET b v PX 250", OK);
    check_command(&w, "SET later v PX 5000", OK);
    check_command(&w, "SET never v", OK);
    uint64_t index = w.replica.index_last;
    fake_env_advance(&w.env, 249);
    turn(&w);
    CHECK_EQ(w.replica.index_last, index); /* nothing is due: nothing is proposed */
    CHECK_EQ(keys(&w), 4u);
    fake_env_advance(&w.env, TICK);
    world_turn(&w);
    CHECK_EQ(w.replica.index_last, index + 1); /* one entry, both keys */
    CHECK_EQ(keys(&w), 4u);                    /* the clock alone ends nothing (ORD-5) */
    world_apply_all(&w);
    CHECK_EQ(keys(&w), 2u);
    CHECK_EQ(w.stats.keys_expired, 2u);
    check_databases(&w);
    fake_env_advance(&w.env, 10 * TICK);
    turn(&w);
    CHECK_EQ(w.replica.index_last, index + 1);
    check_command(&w, "MGET a later", "*2\r\n$-1\r\n$1\r\nv\r\n");
    world_stop(&w);
}

/* What is known of the soonest expiry follows new keys. */
TEST(a_sooner_key_set_later)
{
    struct shard_world w;
    start(&w);
    check_command(&w, "SET later v PX 5000", OK);
    fake_env_advance(&w.env, TICK);
    turn(&w);
    CHECK(w.shard->databases[0].soonest_ms > w.env.wall_ms);
    check_command(&w, "SET sooner v PX 150", OK);
    fake_env_advance(&w.env, 150);
    fake_env_advance(&w.env, TICK);
    turn(&w);
    CHECK_EQ(keys(&w), 1u);
    check_databases(&w);
    world_stop(&w);
}

/* Many keys that end in one millisecond: no look passes what those before it have ended. */
TEST(a_look_begins_where_the_last_one_ended)
{
    struct shard_world w;
    start(&w);
    const struct database *d = &w.shard->databases[0];
    set_many(&w, 3 * SHARD_EXPIRY_KEYS, 50);
    unsigned last_slot = 0;
    for (unsigned left = 3; left-- > 0;) {
        fake_env_advance(&w.env, TICK);
        CHECK(d->soonest_slot > last_slot || left == 2);
        last_slot = d->soonest_slot;
        turn(&w);
        CHECK_EQ(keys(&w), left * (uint64_t)SHARD_EXPIRY_KEYS);
        check_databases(&w);
    }
    uint64_t soonest_ms = d->soonest_ms;
    char text[64];
    (void)snprintf(text, sizeof text, "SET b v PXAT %llu", (unsigned long long)soonest_ms);
    check_command(&w, text, OK); /* the same time, of which all is thought to have ended */
    CHECK_EQ(d->soonest_slot, 0u);
    check_databases(&w);
    fake_env_advance(&w.env, TICK);
    turn(&w);
    CHECK_EQ(keys(&w), 0u);
    world_stop(&w);
}

/* As long as it is not applied the same keys are not proposed again. */
TEST(one_proposal_at_a_time)
{
    struct shard_world w;
    start(&w);
    check_command(&w, "SET a v PX 100", OK);
    fake_env_advance(&w.env, TICK);
    world_turn(&w);
    CHECK_EQ(w.replica.index_last, 2u);
    for (unsigned i = 0; i < 5; i++) {
        fake_env_advance(&w.env, TICK);
        world_turn(&w);
    }
    CHECK_EQ(w.replica.index_last, 2u);
    world_apply_all(&w);
    CHECK_EQ(keys(&w), 0u);
    check_command(&w, "SET b v PX 100", OK);
    fake_env_advance(&w.env, 2 * TICK);
    turn(&w);
    CHECK_EQ(keys(&w), 0u);
    world_stop(&w);
}

/* What was set anew before the entry applied stays. */
TEST(decided_when_the_entry_applies)
{
    struct shard_world w;
    struct ask a;
    start(&w);
    check_command(&w, "SET a v PX 100", OK);
    ask(&w, &a, "SET a new PX 1000");
    fake_env_advance(&w.env, TICK);
    world_turn(&w);
    CHECK_EQ(w.replica.index_last, 2u); /* both in one entry */
    world_apply_all(&w);
    check_reply(&a, OK);
    check_databases(&w);
    check_command(&w, "GET a", "$3\r\nnew\r\n");
    world_stop(&w);
}

TEST(a_look_has_limits)
{
    struct shard_world w;
    start(&w);
    set_many(&w, SHARD_EXPIRY_KEYS + 7, 50);
    fake_env_advance(&w.env, TICK);
    turn(&w);
    CHECK_EQ(keys(&w), 7u);
    check_databases(&w);
    fake_env_advance(&w.env, TICK);
    turn(&w);
    CHECK_EQ(keys(&w), 0u);
    CHECK_EQ(w.stats.keys_expired, SHARD_EXPIRY_KEYS + 7);
    world_stop(&w);
}

/* A clock that goes on by 10 us whenever it is read. */
static uint64_t now_us_moving(struct env *env)
{
    struct fake_env *f = container_of(env, struct fake_env, base);
    f->now_us += 10;
    return f->now_us;
}

/* However many keys are due, and however long each takes: the loop has other work. */
TEST(a_look_ends_in_time)
{
    struct shard_world w;
    start(&w);
    set_many(&w, 100, 50);
    const struct env_ops *ops = w.env.base.ops;
    struct env_ops moving = *ops;
    moving.now_us = now_us_moving;
    w.env.base.ops = &moving;
    w.shard->options.expiry_look_us = 205;
    fake_env_advance(&w.env, TICK);
    turn(&w);
    CHECK_EQ(keys(&w), 79u);
    w.shard->options.expiry_look_us = 1;
    fake_env_advance(&w.env, TICK);
    turn(&w);
    CHECK_EQ(keys(&w), 78u); /* each look ends some key */
    w.env.base.ops = ops;
    check_databases(&w);
    world_stop(&w);
}

TEST(large_keys_have_limits)
{
    struct shard_world w;
    static char key[LIMIT_KEY_BYTES];
    struct ask a[8];
    start(&w);
    memset(key, 'k', sizeof key);
    for (unsigned i = 0; i < 8; i++) {
        struct bytes args[] = {
            bytes_of_text("SET"),
            bytes_of(key, sizeof key - i),
            bytes_of_text("v"),
            bytes_of_text("PX"),
            bytes_of_text("50"),
        };
        ask_args(&w, &a[i], args, 5, (struct request_id){0}, 0);
    }
    turn(&w);
    for (unsigned i = 0; i < 8; i++) {
        check_reply(&a[i], OK);
    }
    fake_env_advance(&w.env, TICK);
    turn(&w);
    CHECK_EQ(keys(&w), 3u); /* the fifth reaches the limit */
    fake_env_advance(&w.env, TICK);
    turn(&w);
    CHECK_EQ(keys(&w), 0u);
    world_stop(&w);
}

TEST(the_empty_key_ends)
{
    struct shard_world w;
    struct ask a;
    struct bytes args[] = {
        bytes_of_text("SET"),
        bytes_of("", 0),
        bytes_of_text("v"),
        bytes_of_text("PX"),
        bytes_of_text("50"),
    };
    start(&w);
    ask_args(&w, &a, args, 5, (struct request_id){0}, 0);
    turn(&w);
    check_reply(&a, OK);
    CHECK_EQ(keys(&w), 1u);
    check_databases(&w);
    fake_env_advance(&w.env, TICK);
    turn(&w);
    CHECK_EQ(keys(&w), 0u);
    world_stop(&w);
}

/* Each database has its turn, however many keys the others have. */
TEST(databases_take_turns)
{
    struct shard_world w;
    struct ask a[4];
    struct bytes args[ARGS_MAX];
    size_t count = words_of("SET k v PX 50", args);
    start(&w);
    for (unsigned i = 0; i < 4; i++) {
        ask_args(&w, &a[i], args, count, (struct request_id){0}, (uint8_t)(5 * i));
    }
    turn(&w);
    for (unsigned i = 0; i < 4; i++) {
        check_reply(&a[i], OK);
    }
    for (unsigned i = 0; i < 4; i++) {
        fake_env_advance(&w.env, TICK);
        turn(&w);
        check_databases(&w);
    }
    for (uint8_t i = 0; i < LIMIT_DATABASES; i++) {
        CHECK_EQ(shard_counts(w.shard, i).keys, 0u);
    }
    CHECK_EQ(w.stats.keys_expired, 4u);
    world_stop(&w);
}

/* ---- when not -------------------------------------------------------------------------------- */

static void check_nothing_ends(struct shard_world *w)
{
    uint64_t index = w->replica.index_last;
    fake_env_advance(&w->env, 10 * TICK);
    world_turn(w);
    CHECK_EQ(w->replica.index_last, index);
}

static void check_ends(struct shard_world *w)
{
    fake_env_advance(&w->env, TICK);
    turn(w);
    CHECK_EQ(keys(w), 0u);
}

TEST(not_while_switched_off)
{
    struct shard_world w;
    start(&w);
    w.is_expiring = false;
    check_command(&w, "SET a v PX 100", OK);
    check_nothing_ends(&w);
    check_command(&w, "GET a", NIL); /* reads end it all the same */
    check_command(&w, "SET a v PX 100", OK);
    check_nothing_ends(&w);
    w.is_expiring = true;
    check_ends(&w);
    world_stop(&w);
}

TEST(not_without_space)
{
    struct shard_world w;
    start(&w);
    check_command(&w, "SET a v PX 100", OK);
    w.is_out_of_space = true;
    check_nothing_ends(&w);
    w.is_out_of_space = false;
    check_ends(&w);
    world_stop(&w);
}

TEST(only_the_leader)
{
    struct shard_world w;
    start(&w);
    check_command(&w, "SET a v PX 100", OK);
    world_lose(&w);
    check_nothing_ends(&w);
    world_win(&w);
    check_ends(&w);
    world_stop(&w);
}

/* The proposal was lost with the leadership: the next leader, or this one again, looks anew. */
TEST(leadership_lost_under_way)
{
    struct shard_world w;
    start(&w);
    check_command(&w, "SET a v PX 100", OK);
    fake_env_advance(&w.env, TICK);
    world_turn(&w);
    CHECK_EQ(w.replica.index_last, 2u);
    world_lose(&w);
    world_truncate(&w, 2);
    world_win(&w);
    CHECK_EQ(keys(&w), 1u);
    check_ends(&w);
    world_stop(&w);
}

/* The group's time may be ahead of a leader's clock: what it ended needs no clock. */
TEST(clock_behind_the_group)
{
    struct shard_world w;
    world_start(&w);
    check_command(&w, "SET a v PX 150", OK);
    fake_env_advance(&w.env, 200);
    check_command(&w, "SET later v", OK);
    CHECK_EQ(keys(&w), 2u);
    w.env.wall_ms -= 100000;
    w.is_expiring = true;
    fake_env_advance(&w.env, TICK);
    turn(&w);
    CHECK_EQ(keys(&w), 1u);
    world_stop(&w);
}

/* Without keys that expire no timer runs; a stopped shard has none either. */
TEST(timer_only_while_it_is_of_use)
{
    struct shard_world w;
    start(&w);
    check_command(&w, "SET a v", OK);
    CHECK(!w.shard->is_expiry_watched);
    check_command(&w, "SET a v PX 100", OK);
    CHECK(w.shard->is_expiry_watched);
    check_command(&w, "DEL a", ":1\r\n");
    fake_env_advance(&w.env, TICK);
    CHECK(!w.shard->is_expiry_watched);
    check_command(&w, "SET a v PX 100", OK);
    CHECK(w.shard->is_expiry_watched);
    shard_stop(w.shard);
    check_nothing_ends(&w);
    world_stop(&w);
}

/* ---- rows that are not at hand --------------------------------------------------------------- */

/* The index is read by a worker, for nobody, and looked at again. */
TEST(index_on_disk)
{
    static const unsigned misses[] = {1000, 500};
    for (unsigned m = 0; m < 2; m++) {
        struct shard_world w;
        world_start_missing(&w, NULL, misses[m]);
        w.is_expiring = true;
        check_command(&w, "SET a v PX 100", OK);
        check_command(&w, "SET b v PX 110", OK);
        check_command(&w, "SET c v PX 120", OK);
        check_command(&w, "SET later v PX 1000000", OK);
        store_fold_soon(&w.store);
        for (unsigned i = 0; i < 3; i++) {
            world_turn(&w);
        }
        for (unsigned i = 0; i < 20 && keys(&w) > 1; i++) {
            fake_env_advance(&w.env, TICK);
            world_settle(&w);
        }
        CHECK_EQ(keys(&w), 1u);
        CHECK_EQ(w.stats.keys_expired, 3u);
        check_databases(&w);
        world_stop(&w);
    }
}

/* Leadership goes while the index is being read. */
TEST(fetch_of_a_former_leader)
{
    struct shard_world w;
    world_start_missing(&w, NULL, 1000);
    w.is_expiring = true;
    check_command(&w, "SET a v PX 100", OK);
    store_fold_soon(&w.store);
    for (unsigned i = 0; i < 3; i++) {
        world_turn(&w);
    }
    fake_env_advance(&w.env, TICK);
    CHECK(w.shard->is_expiry_fetching);
    world_lose(&w);
    fake_env_run_all(&w.env);
    CHECK(!w.shard->is_expiry_fetching);
    world_turn(&w);
    CHECK_EQ(w.replica.index_last, 1u);
    world_win(&w);
    fake_env_advance(&w.env, TICK);
    world_turn(&w); /* reads the index again */
    world_settle(&w);
    CHECK_EQ(keys(&w), 0u);
    world_stop(&w);
}

TEST(destroyed_while_the_index_is_read)
{
    struct shard_world w;
    world_start_missing(&w, NULL, 1000);
    w.is_expiring = true;
    check_command(&w, "SET a v PX 100", OK);
    store_fold_soon(&w.store);
    for (unsigned i = 0; i < 3; i++) {
        world_turn(&w);
    }
    fake_env_advance(&w.env, TICK);
    CHECK(w.shard->is_expiry_fetching);
    w.env.job_count = 0;
    world_stop(&w);
}
