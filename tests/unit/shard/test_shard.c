/* One group on a real log: who is answered when, expiry by the log's clock, replay. */
#include <stdio.h>

#include "base/mem.h"
#include "shard_world.h"

#define OK "+OK\r\n"
#define NIL "$-1\r\n"

/* ---- writes ---------------------------------------------------------------------------------- */

/* SHARD-1, LOG-2: a reply exists only after the sync of its entry. */
TEST(write_is_answered_when_durable)
{
    struct shard_world w;
    struct ask a;
    world_start(&w, NULL);
    ask(&w, &a, 0, "SET k v");
    check_reply(&a, NULL);
    CHECK(shard_is_busy(&w.shard));
    world_turn(&w);
    check_reply(&a, NULL);
    CHECK_EQ(a.reply.size, 0u);
    CHECK_EQ(w.shard.index_applied, 0u);
    fake_env_forget(&w.env);
    CHECK(fake_env_run(&w.env));
    CHECK(strstr(fake_env_events(&w.env), "sync") != NULL);
    check_reply(&a, OK);
    CHECK_EQ(w.shard.index_applied, 1u);
    CHECK(!shard_is_busy(&w.shard));
    CHECK_EQ(w.shard.pending_bytes, 0u);
    world_stop(&w);
}

TEST(failed_sync_answers_nobody)
{
    for (uint64_t call = 1; call <= 2; call++) {
        struct shard_world w;
        struct ask a;
        world_start(&w, NULL);
        ask(&w, &a, 0, "SET k v");
        world_turn(&w);
        w.env.fail_at = w.env.operations + call;
        CHECK(fake_env_run(&w.env));
        CHECK(w.env.base.is_halted);
        check_reply(&a, NULL);
        CHECK_EQ(w.shard.index_applied, 0u);
        buf_deinit(&a.reply);
        world_stop(&w);
    }
}

/* One turn is one entry; answers come in the order of the log, each once. */
TEST(one_entry_per_turn)
{
    struct shard_world w;
    struct ask a[4];
    world_start(&w, NULL);
    ask(&w, &a[0], 0, "SET k 1");
    ask(&w, &a[1], 1, "INCR k");
    ask(&w, &a[2], 0, "DEL k none k");
    world_turn(&w);
    ask(&w, &a[3], 1, "INCR k");
    world_turn(&w);
    CHECK_EQ(w.stats.entries_proposed, 2u);
    CHECK(fake_env_run(&w.env));
    CHECK_EQ(w.shard.index_applied, 1u); /* LOG-3: the second is not durable yet */
    CHECK(!a[3].is_done);
    world_settle(&w);
    for (unsigned i = 0; i < 4; i++) {
        CHECK_EQ(a[i].order, i + 1);
    }
    check_reply(&a[0], OK);
    check_reply(&a[1], ":2\r\n");
    check_reply(&a[2], ":1\r\n");
    check_reply(&a[3], ":1\r\n");
    world_stop(&w);
}

TEST(full_entry_within_a_turn)
{
    struct shard_world w;
    struct ask a[6];
    char text[TEXT_BYTES];
    world_start(&w, NULL);
    uint8_t *value = mem_alloc(LIMIT_ENTRY_BYTES / 2);
    memset(value, 'v', LIMIT_ENTRY_BYTES / 2);
    for (unsigned i = 0; i < 6; i++) {
        (void)snprintf(text, sizeof text, "SET k%u v", i);
        ask(&w, &a[i], 0, text);
        /* The rest of the entry is taken by somebody else. */
        struct entry_command filler = {
            .id = COMMAND_ID_SET,
            .semantics = 1,
            .resp = 2,
            .arg_count = 2,
        };
        struct bytes args[] = {bytes_of_text("f"), bytes_of(value, LIMIT_ENTRY_BYTES / 2)};
        entry_append(&w.shard.gathering, &filler, args);
        w.shard.gathering_count++;
        w.shard.pending_bytes += entry_command_size(args, 2);
    }
    mem_free(value);
    world_settle(&w);
    CHECK(w.stats.entries_proposed >= 3);
    CHECK_EQ(w.stats.entries_proposed, w.stats.entries_applied);
    CHECK_EQ(w.shard.pending_bytes, 0u);
    for (unsigned i = 0; i < 6; i++) {
        check_reply(&a[i], OK);
    }
    world_stop(&w);
}

/* ---- reads ----------------------------------------------------------------------------------- */

/* ORD-7: a read waits for the writes of its connection, and for nobody else's. */
TEST(read_waits_for_its_own_writes)
{
    struct shard_world w;
    struct ask set;
    struct ask own;
    struct ask other;
    world_start(&w, NULL);
    check_command(&w, "SET k old", OK);
    ask(&w, &set, 0, "SET k new");
    ask(&w, &own, 0, "GET k");
    ask(&w, &other, 1, "GET k");
    CHECK(!own.is_done);
    check_reply(&other, "$3\r\nold\r\n"); /* the write is not durable, so it has not happened */
    world_turn(&w);
    CHECK(!own.is_done);
    world_settle(&w);
    CHECK(set.order < own.order);
    check_reply(&set, OK);
    check_reply(&own, "$3\r\nnew\r\n");
    ask(&w, &own, 0, "EXISTS k none k");
    check_reply(&own, ":2\r\n"); /* at once: nothing of this connection is under way */
    CHECK_EQ(w.stats.reads_waited, 1u);
    world_stop(&w);
}

TEST(read_waits_across_entries)
{
    struct shard_world w;
    struct ask set[2];
    struct ask get;
    world_start(&w, NULL);
    ask(&w, &set[0], 0, "SET k 1");
    world_turn(&w);
    ask(&w, &set[1], 0, "SET k 2");
    world_turn(&w);
    ask(&w, &get, 0, "GET k");
    CHECK(fake_env_run(&w.env));
    check_reply(&set[0], OK);
    CHECK(!get.is_done);
    world_settle(&w);
    check_reply(&set[1], OK);
    check_reply(&get, "$1\r\n2\r\n");
    world_stop(&w);
}

/* Sent between two writes: it sees the first and not the second, though both apply together. */
static void read_between_writes(bool in_one_entry)
{
    struct shard_world w;
    struct ask set[3];
    struct ask get[2];
    world_start(&w, NULL);
    check_command(&w, "SET other v", OK);
    ask(&w, &set[0], 0, "SET k 1");
    ask(&w, &get[0], 0, "GET k");
    if (!in_one_entry) {
        shard_flush(&w.shard); /* two entries in one batch */
    }
    ask(&w, &set[1], 0, "SET k 2");
    ask(&w, &get[1], 0, "EXISTS k other");
    ask(&w, &set[2], 0, "DEL k");
    world_settle(&w);
    check_reply(&set[0], OK);
    check_reply(&get[0], "$1\r\n1\r\n");
    check_reply(&set[1], OK);
    check_reply(&get[1], ":2\r\n");
    check_reply(&set[2], ":1\r\n");
    world_stop(&w);
}

TEST(read_between_two_writes)
{
    read_between_writes(true);
    read_between_writes(false);
}

TEST(databases_are_apart)
{
    struct shard_world w;
    struct ask a;
    world_start(&w, NULL);
    check_command(&w, "SET k v", OK);
    ask(&w, &a, 0, "GET k");
    check_reply(&a, "$1\r\nv\r\n");
    struct bytes args[] = {bytes_of_text("get"), bytes_of_text("k")};
    struct buf reply;
    buf_init(&reply, 64);
    struct shard_request r = {
        .command = command_find(args, 2),
        .args = args,
        .arg_count = 2,
        .resp = 3,
        .database = 1,
        .stream = &w.streams[0],
        .reply = &reply,
    };
    CHECK(shard_submit(&w.shard, &r));
    CHECK_BYTES(buf_bytes(&reply), bytes_of_text("_\r\n"));
    buf_deinit(&reply);
    world_stop(&w);
}

/* ---- expiry ---------------------------------------------------------------------------------- */

/* ORD-5: the leader's clock alone ends nothing; an entry does. */
TEST(reader_proposes_the_expiry)
{
    struct shard_world w;
    struct ask a;
    world_start(&w, NULL);
    check_command(&w, "SET k v PX 100", OK);
    fake_env_advance(&w.env, 99);
    check_command(&w, "GET k", "$1\r\nv\r\n");
    uint64_t applied = w.shard.index_applied;
    uint64_t operations = w.shard.operations;
    fake_env_advance(&w.env, 1);
    ask(&w, &a, 0, "GET k");
    CHECK(!a.is_done);
    CHECK_EQ(w.shard.index_applied, applied);
    world_turn(&w);
    while (w.shard.index_applied == applied) {
        CHECK(!a.is_done);
        CHECK(fake_env_run(&w.env));
        world_turn(&w);
    }
    check_reply(&a, NIL);
    CHECK_EQ(w.shard.index_applied, applied + 1);
    CHECK_EQ(w.shard.operations, operations + 1);
    CHECK_EQ(w.stats.keys_expired, 1u);
    world_stop(&w);
}

/* Once it was shown as gone it stays gone, whatever the clock does, also after a restart. */
TEST(clock_going_back_shows_nothing_again)
{
    struct shard_world w;
    struct shard_world again;
    world_start(&w, NULL);
    uint64_t start_ms = w.env.wall_ms;
    check_command(&w, "SET k v PX 100", OK);
    check_command(&w, "SET untouched v PX 100", OK);
    fake_env_advance(&w.env, 150);
    check_command(&w, "GET k", NIL);
    w.env.wall_ms = start_ms - 5000;
    check_command(&w, "GET k", NIL);
    check_command(&w, "GET untouched", NIL); /* group time has passed it, too */
    check_command(&w, "INCR n", ":1\r\n");
    check_command(&w, "GET k", NIL);
    CHECK_EQ(w.shard.time_ms, start_ms + 150);

    world_start(&again, &w.env);
    CHECK_EQ(again.shard.time_ms, start_ms + 150);
    check_command(&again, "GET k", NIL);
    check_command(&again, "GET untouched", NIL);
    world_stop(&again);
    world_stop(&w);
}

/* The clock goes back before the entry is stamped: then the key has not ended, and is shown. */
TEST(clock_going_back_before_the_stamp)
{
    struct shard_world w;
    struct ask a;
    world_start(&w, NULL);
    check_command(&w, "SET k v PX 100", OK);
    fake_env_advance(&w.env, 150);
    ask(&w, &a, 0, "GET k");
    CHECK(!a.is_done);
    w.env.wall_ms -= 100;
    world_settle(&w);
    check_reply(&a, "$1\r\nv\r\n");
    w.env.wall_ms += 100;
    check_command(&w, "GET k", NIL);
    world_stop(&w);
}

/* What the reader found due is decided when its entry applies: a new value stays. */
TEST(set_before_the_expiry_entry_wins)
{
    struct shard_world w;
    struct ask set;
    struct ask get;
    world_start(&w, NULL);
    check_command(&w, "SET k v PX 100", OK);
    fake_env_advance(&w.env, 150);
    ask(&w, &set, 0, "SET k new");
    ask(&w, &get, 1, "GET k");
    CHECK(!get.is_done);
    world_settle(&w);
    check_reply(&set, OK);
    check_reply(&get, "$3\r\nnew\r\n");
    CHECK_EQ(w.stats.keys_expired, 1u); /* SET met the old one */
    check_command(&w, "GET k", "$3\r\nnew\r\n");
    world_stop(&w);
}

/* The same connection sets the key anew behind its read: the read still finds it gone. */
TEST(read_of_a_due_key_before_a_set)
{
    struct shard_world w;
    struct ask get;
    struct ask set;
    world_start(&w, NULL);
    check_command(&w, "SET k v PX 100", OK);
    fake_env_advance(&w.env, 150);
    ask(&w, &get, 0, "GET k");
    ask(&w, &set, 0, "SET k new");
    world_settle(&w);
    check_reply(&get, NIL);
    check_reply(&set, OK);
    check_command(&w, "GET k", "$3\r\nnew\r\n");
    world_stop(&w);
}

TEST(many_readers_of_due_keys)
{
    struct shard_world w;
    struct ask a[3];
    world_start(&w, NULL);
    check_command(&w, "SET a v PX 100", OK);
    check_command(&w, "SET b v PX 100", OK);
    check_command(&w, "SET c v", OK);
    fake_env_advance(&w.env, 150);
    ask(&w, &a[0], 0, "EXISTS a b c");
    ask(&w, &a[1], 1, "GET a");
    ask(&w, &a[2], 2, "GET c");
    check_reply(&a[2], "$1\r\nv\r\n");
    world_settle(&w);
    check_reply(&a[0], ":1\r\n");
    check_reply(&a[1], NIL);
    world_stop(&w);
}

/* A write that meets a due key deletes it as part of its own entry. */
TEST(write_meets_a_due_key)
{
    struct shard_world w;
    world_start(&w, NULL);
    check_command(&w, "SET n 5 PX 100", OK);
    check_command(&w, "SET d v PX 100", OK);
    fake_env_advance(&w.env, 100);
    check_command(&w, "INCR n", ":1\r\n");
    check_command(&w, "DEL d", ":0\r\n");
    fake_env_advance(&w.env, 1000);
    check_command(&w, "GET n", "$1\r\n1\r\n"); /* and without the old expiry */
    world_stop(&w);
}

/* ---- replay ---------------------------------------------------------------------------------- */

static void check_same_rows(struct store *a, struct store *b)
{
    struct buf from;
    buf_init(&from, SIZE_MAX / 2);
    for (;;) {
        struct omap_item x;
        struct omap_item y;
        enum status s = store_seek(a, buf_bytes(&from), &x);
        CHECK_EQ(store_seek(b, buf_bytes(&from), &y), s);
        if (s != STATUS_OK) {
            break;
        }
        CHECK_BYTES(x.key, y.key);
        CHECK_BYTES(blob_bytes(x.value), blob_bytes(y.value));
        buf_clear(&from, SIZE_MAX);
        buf_append_bytes(&from, x.key);
        buf_append(&from, "", 1);
    }
    buf_deinit(&from);
}

static void random_command(struct prng *p, char out_text[TEXT_BYTES])
{
    unsigned key = (unsigned)prng_below(p, 6);
    unsigned number = (unsigned)prng_below(p, 200);
    switch (prng_below(p, 7)) {
    case 0:
        (void)snprintf(out_text, TEXT_BYTES, "SET k%u %u", key, number);
        break;
    case 1:
    case 2:
        (void)snprintf(out_text, TEXT_BYTES, "SET k%u %u PX %u", key, number, number + 1);
        break;
    case 3:
        (void)snprintf(out_text, TEXT_BYTES, "DEL k%u k%u", key, (key + 1) % 6);
        break;
    case 4:
        (void)snprintf(out_text, TEXT_BYTES, "INCR k%u", key);
        break;
    case 5:
        (void)snprintf(out_text, TEXT_BYTES, "SET k%u x NX KEEPTTL GET", key);
        break;
    default:
        (void)snprintf(out_text, TEXT_BYTES, "GET k%u", key);
        break;
    }
}

#define ASKS 12u

/* A burst of commands over three connections, turns and jobs at random moments. */
static void random_burst(struct shard_world *w, struct prng *p)
{
    struct ask asks[ASKS];
    char text[TEXT_BYTES];
    for (unsigned i = 0; i < ASKS; i++) {
        random_command(p, text);
        ask(w, &asks[i], prng_below(p, 3), text);
        if (prng_chance(p, 300)) {
            world_turn(w);
        }
        if (prng_chance(p, 300)) {
            (void)fake_env_run(&w->env);
        }
        if (prng_chance(p, 300)) {
            fake_env_advance(&w->env, prng_below(p, 100));
        }
        if (prng_chance(p, 50)) {
            w->env.wall_ms -= prng_below(p, 300);
        }
    }
    world_settle(w);
    for (unsigned i = 0; i < ASKS; i++) {
        CHECK(asks[i].is_done);
        CHECK(asks[i].reply.size > 0);
        buf_deinit(&asks[i].reply);
    }
}

TEST(replay_gives_the_same_state)
{
    struct shard_world w;
    struct prng prng;
    prng_init(&prng, 21);
    world_start(&w, NULL);
    for (unsigned round = 0; round < 40; round++) {
        random_burst(&w, &prng);
        if (w.log.segment.id >= FAKE_FILES_MAX - 2) {
            break;
        }
        struct shard_world again;
        world_start(&again, &w.env);
        CHECK_EQ(again.shard.time_ms, w.shard.time_ms);
        CHECK_EQ(again.shard.operations, w.shard.operations);
        CHECK_EQ(again.shard.index_applied, w.shard.index_applied);
        CHECK_EQ(again.shard.index_last, w.shard.index_last);
        check_same_rows(&w.store, &again.store);
        check_command(&again, "SET more x", OK); /* and it goes on */
        world_stop(&again);
    }
    CHECK(w.stats.keys_expired > 10);
    CHECK_EQ(w.shard.pending_bytes, 0u);
    world_stop(&w);
}

/* An entry of one command, as a record for shard_replay. */
static enum status replay(struct shard_world *w, uint64_t index, uint64_t term, uint16_t id)
{
    struct buf entry;
    buf_init(&entry, 1024);
    entry_start(&entry);
    const struct command *command = command_by_id(id);
    struct entry_command c = {.id = id, .semantics = 1, .resp = 2, .arg_count = 2};
    c.semantics = command != NULL && index == 99 ? (uint8_t)(command->semantics + 1) : 1;
    struct bytes args[] = {bytes_of_text("k"), bytes_of_text("v")};
    entry_append(&entry, &c, args);
    struct entry_header header = {.count = 1, .stamp_ms = 1, .seed = 1};
    entry_finish(&entry, &header);
    struct log_record r = {
        .group = 1,
        .kind = LOG_KIND_ENTRY,
        .term = term,
        .index = index == 99 ? w->shard.index_applied + 1 : index,
    };
    enum status s = shard_replay(&w->shard, &r, buf_bytes(&entry), &w->error);
    buf_deinit(&entry);
    return s;
}

TEST(replay_refuses_what_it_cannot_know)
{
    struct shard_world w;
    world_start(&w, NULL);
    CHECK_EQ(replay(&w, 2, 1, COMMAND_ID_SET), STATUS_CORRUPT); /* a gap */
    CHECK_EQ(replay(&w, 1, 2, COMMAND_ID_SET), STATUS_CORRUPT); /* another term */
    CHECK_EQ(replay(&w, 1, 1, COMMAND_ID_SET), STATUS_OK);
    CHECK_EQ(replay(&w, 1, 1, COMMAND_ID_SET), STATUS_CORRUPT); /* twice */
    CHECK_EQ(replay(&w, 2, 1, COMMAND_ID_COUNT), STATUS_UNSUPPORTED);
    world_stop(&w);
    world_start(&w, NULL);
    CHECK_EQ(replay(&w, 99, 1, COMMAND_ID_SET), STATUS_UNSUPPORTED); /* a newer meaning */
    world_stop(&w);
}

/* One SET, bent by the test, as the first entry of a fresh shard. */
static enum status replay_bent(const struct entry_command *c, const struct bytes *args, size_t more)
{
    struct shard_world w;
    world_start(&w, NULL);
    struct buf entry;
    buf_init(&entry, 1 * MIB);
    entry_start(&entry);
    entry_append(&entry, c, args);
    buf_append(&entry, "garbage", more);
    struct entry_header header = {.count = 1, .stamp_ms = 1, .seed = 1};
    entry_finish(&entry, &header);
    struct log_record r = {.group = 1, .kind = LOG_KIND_ENTRY, .term = 1, .index = 1};
    enum status s = shard_replay(&w.shard, &r, buf_bytes(&entry), &w.error);
    buf_deinit(&entry);
    world_stop(&w);
    return s;
}

/* Nothing that a gateway would not propose is applied, wherever the entry comes from. */
TEST(replay_checks_every_command)
{
    static const uint8_t long_key[LIMIT_KEY_BYTES + 1] = {'k'};
    struct bytes args[] = {bytes_of_text("k"), bytes_of_text("v")};
    struct bytes long_args[] = {bytes_of(long_key, sizeof long_key), bytes_of_text("v")};
    const struct entry_command good = {
        .id = COMMAND_ID_SET,
        .semantics = 1,
        .resp = 2,
        .arg_count = 2,
    };
    CHECK_EQ(replay_bent(&good, args, 0), STATUS_OK);
    CHECK_EQ(replay_bent(&good, args, 3), STATUS_CORRUPT);
    CHECK_EQ(replay_bent(&good, long_args, 0), STATUS_CORRUPT);
    struct entry_command bent = good;
    bent.arg_count = 0;
    CHECK_EQ(replay_bent(&bent, args, 0), STATUS_CORRUPT);
    bent.arg_count = 1;
    CHECK_EQ(replay_bent(&bent, args, 0), STATUS_CORRUPT);
    bent = good;
    bent.database = LIMIT_DATABASES;
    CHECK_EQ(replay_bent(&bent, args, 0), STATUS_CORRUPT);
    bent = good;
    bent.resp = 4;
    CHECK_EQ(replay_bent(&bent, args, 0), STATUS_CORRUPT);
}

/* ORD-7, also between reads: one that waits for an expiry holds back those behind it. */
TEST(reads_of_one_connection_keep_their_order)
{
    struct shard_world w;
    struct ask flag;
    struct ask data;
    struct ask new_data;
    struct ask new_flag;
    world_start(&w, NULL);
    check_command(&w, "SET flag old PX 100", OK);
    fake_env_advance(&w.env, 150);
    ask(&w, &flag, 0, "GET flag"); /* due: waits */
    ask(&w, &data, 0, "GET data");
    ask(&w, &new_data, 1, "SET data 1");
    ask(&w, &new_flag, 1, "SET flag 1");
    world_settle(&w);
    check_reply(&new_data, OK);
    check_reply(&new_flag, OK);
    check_reply(&flag, "$1\r\n1\r\n"); /* the new flag, */
    check_reply(&data, "$1\r\n1\r\n"); /* so the data written before it */
    world_stop(&w);
}

/* The log is given a bounded part of what waits; the rest follows in order. */
TEST(entries_wait_for_the_log)
{
    enum {
        COUNT = 9,
        BYTES = 12 * 1024 * 1024
    };
    struct shard_world w;
    struct ask a[COUNT];
    char text[TEXT_BYTES];
    world_start(&w, NULL);
    uint8_t *value = mem_alloc_zero(BYTES);
    for (unsigned i = 0; i < COUNT; i++) {
        (void)snprintf(text, sizeof text, "SET k%u v", i);
        ask(&w, &a[i], 0, text);
        struct entry_command filler = {
            .id = COMMAND_ID_SET,
            .semantics = 1,
            .resp = 2,
            .arg_count = 2,
        };
        struct bytes args[] = {bytes_of_text("f"), bytes_of(value, BYTES)};
        entry_append(&w.shard.gathering, &filler, args);
        w.shard.gathering_count++;
        w.shard.pending_bytes += entry_command_size(args, 2);
    }
    mem_free(value);
    shard_flush(&w.shard);
    CHECK(log_pending_bytes(&w.log) >= SHARD_LOG_BYTES_MAX);
    CHECK(log_pending_bytes(&w.log) < SHARD_LOG_BYTES_MAX + BYTES + MIB);
    world_settle(&w);
    for (unsigned i = 0; i < COUNT; i++) {
        check_reply(&a[i], OK);
        CHECK_EQ(a[i].order, i + 1);
    }
    CHECK_EQ(w.shard.pending_bytes, 0u);
    world_stop(&w);
}
