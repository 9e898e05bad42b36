/* One group's requests: who is answered when, in which order, and what becomes of them when the
 * leadership goes. */
#include <stdio.h>

#include "shard_world.h"

#define OK "+OK\r\n"
#define NIL "$-1\r\n"
#define TEXT_BYTES 128u

/* ---- writes ---------------------------------------------------------------------------------- */

/* SHARD-1: a reply exists only once the entry is applied. */
TEST(write_is_answered_when_applied)
{
    struct shard_world w;
    struct ask a;
    world_start(&w);
    CHECK(!world_is_busy(&w));
    ask(&w, &a, "SET k v");
    CHECK(world_is_busy(&w));
    CHECK(shard_memory(w.shard) > 0);
    CHECK_EQ(w.replica.index_last, 0u); /* the turn goes on: it gathers */
    world_turn(&w);
    CHECK_EQ(w.replica.index_last, 1u);
    world_commit(&w);
    world_confirm(&w); /* looks at what waits: committed is not applied */
    check_reply(&a, NULL);
    CHECK_EQ(a.reply.size, 0u);
    CHECK(world_is_busy(&w));
    CHECK_EQ(shard_memory(w.shard), w.replica.pending_bytes);
    world_apply_all(&w);
    check_reply(&a, OK);
    CHECK(!world_is_busy(&w));
    CHECK_EQ(shard_memory(w.shard), 0u);
    world_stop(&w);
}

/* One turn is one entry; answers come in the order of the log, each once. */
TEST(one_entry_per_turn)
{
    struct shard_world w;
    struct ask a[4];
    world_start(&w);
    ask(&w, &a[0], "SET k 1");
    ask(&w, &a[1], "INCR k");
    ask(&w, &a[2], "DEL k none k");
    world_turn(&w);
    ask(&w, &a[3], "INCR k");
    world_turn(&w);
    world_turn(&w); /* nothing gathered: no entry */
    CHECK_EQ(w.replica.index_last, 2u);
    CHECK_EQ(w.stats.entries_proposed, 2u);
    world_apply(&w, 1);
    CHECK(a[2].is_done);
    CHECK(!a[3].is_done);
    world_apply_all(&w);
    for (unsigned i = 0; i < 4; i++) {
        CHECK_EQ(a[i].order, i + 1);
    }
    check_reply(&a[0], OK);
    check_reply(&a[1], ":2\r\n");
    check_reply(&a[2], ":1\r\n");
    check_reply(&a[3], ":1\r\n");
    CHECK_EQ(w.stats.entries_applied, 2u);
    world_stop(&w);
}

static void ask_set(struct shard_world *w, struct ask *a, const char *key, struct bytes value)
{
    struct bytes args[] = {bytes_of_text("SET"), bytes_of_text(key), value};
    ask_args(w, a, args, 3, (struct request_id){0}, 0);
}

TEST(full_entry_within_a_turn)
{
    enum {
        COUNT = 6,
        BYTES = 2 * LIMIT_ENTRY_BYTES / 5
    };
    struct shard_world w;
    struct ask a[COUNT];
    char key[TEXT_BYTES];
    world_start(&w);
    uint8_t *value = mem_alloc_zero(2 * LIMIT_ENTRY_BYTES);
    for (unsigned i = 0; i < COUNT; i++) {
        (void)snprintf(key, sizeof key, "k%u", i);
        /* The last but one is larger than any entry: it has one of its own. */
        bool is_huge = i == COUNT - 2;
        ask_set(&w, &a[i], key, bytes_of(value, is_huge ? 2 * LIMIT_ENTRY_BYTES : BYTES));
    }
    mem_free(value);
    CHECK(shard_memory(w.shard) > 5u * BYTES + 2 * LIMIT_ENTRY_BYTES);
    world_turn(&w);
    CHECK_EQ(w.stats.entries_proposed, 4u); /* two and two, the huge one, the last one */
    for (uint64_t i = 1; i <= 4; i++) {
        CHECK(i == 3 || w.replica.entries[i].size <= LIMIT_ENTRY_BYTES);
    }
    CHECK_EQ(shard_memory(w.shard), w.replica.pending_bytes);
    world_apply_all(&w);
    for (unsigned i = 0; i < COUNT; i++) {
        CHECK_EQ(a[i].order, i + 1);
        check_reply(&a[i], OK);
    }
    CHECK_EQ(shard_memory(w.shard), 0u);
    world_stop(&w);
}

/* Short commands that make long strings do not come together: their rows would all be in memory. */
TEST(entry_full_of_large_rows)
{
    enum {
        COUNT = 5
    };
    struct shard_world w;
    struct ask a[COUNT + 1];
    char text[TEXT_BYTES];
    world_start(&w);
    for (unsigned i = 0; i < COUNT; i++) {
        (void)snprintf(text, sizeof text, "SETRANGE k%u 30000000 x", i);
        ask(&w, &a[i], text);
    }
    ask_set(&w, &a[COUNT], "k", bytes_of_text("v"));
    world_turn(&w);
    CHECK_EQ(w.stats.entries_proposed, 3u); /* two, two, and the last with what is small */
    world_apply_all(&w);
    CHECK(w.replica.is_held); /* two entries have written enough for a turn */
    CHECK_EQ(w.replica.index_applied, 2u);
    world_turn(&w);
    fake_env_advance(&w.env, 1);
    CHECK(!w.replica.is_held);
    CHECK_EQ(w.replica.index_applied, 3u);
    for (unsigned i = 0; i < COUNT; i++) {
        check_reply(&a[i], ":30000001\r\n");
    }
    check_reply(&a[COUNT], OK);
    world_stop(&w);
}

/* A full window holds entries back; they go in order once there is room. */
TEST(full_window_holds_proposals)
{
    struct shard_world w;
    struct ask a[3];
    world_start(&w);
    ask(&w, &a[0], "SET k 1");
    world_turn(&w);
    w.replica.is_full = true;
    ask(&w, &a[1], "INCR k");
    world_turn(&w);
    ask(&w, &a[2], "INCR k"); /* joins the entry that waits */
    world_turn(&w);
    CHECK_EQ(w.replica.index_last, 1u);
    world_apply_all(&w);
    check_reply(&a[0], OK);
    CHECK(world_is_busy(&w));
    CHECK(!a[1].is_done);
    w.replica.is_full = false;
    world_turn(&w);
    CHECK_EQ(w.replica.index_last, 2u);
    world_apply_all(&w);
    check_reply(&a[1], ":2\r\n");
    check_reply(&a[2], ":3\r\n");
    CHECK_EQ(shard_memory(w.shard), 0u);
    world_stop(&w);
}

/* The entry is stamped when it is proposed, not when its first command came. */
TEST(entry_is_stamped_when_proposed)
{
    struct shard_world w;
    struct ask a;
    world_start(&w);
    uint64_t start_ms = w.env.wall_ms;
    ask(&w, &a, "SET k v");
    fake_env_advance(&w.env, 70);
    world_turn(&w);
    struct entry_reader reader;
    CHECK_EQ(entry_read(buf_bytes(&w.replica.entries[1]), &reader), STATUS_OK);
    CHECK_EQ(reader.header.stamp_ms, start_ms + 70);
    CHECK_EQ(reader.header.count, 1u);
    world_apply_all(&w);
    check_reply(&a, OK);
    world_stop(&w);
}

/* Requests that nobody answered go with the shard; only their owner frees them. */
TEST(destroyed_with_requests_waiting)
{
    struct shard_world w;
    struct ask a[3];
    world_start(&w);
    ask(&w, &a[0], "SET k v");
    world_turn(&w);
    ask(&w, &a[1], "SET k w");
    ask(&w, &a[2], "GET k");
    world_stop(&w);
    for (unsigned i = 0; i < 3; i++) {
        forget(&a[i]);
    }
}

/* ---- reads ----------------------------------------------------------------------------------- */

/* READ-1: the quorum must have been asked after the read came. */
TEST(read_waits_for_its_round)
{
    struct shard_world w;
    struct ask a[2];
    world_start(&w);
    check_command(&w, "SET k old", OK);
    ask(&w, &a[0], "GET k");
    check_reply(&a[0], NULL);
    world_turn(&w);
    shard_replica_events()->advanced(w.shard);
    check_reply(&a[0], NULL);
    /* The round leaves with the next turn's probes: a read behind it waits for the next one. */
    w.replica.round++;
    ask(&w, &a[1], "GET k");
    w.replica.confirmed = w.replica.round - 1;
    shard_replica_events()->advanced(w.shard);
    check_reply(&a[0], "$3\r\nold\r\n");
    check_reply(&a[1], NULL);
    world_confirm(&w);
    check_reply(&a[1], "$3\r\nold\r\n");
    CHECK_EQ(w.stats.reads_waited, 2u);
    CHECK_EQ(w.stats.entries_proposed, 1u); /* reads leave nothing in the log */
    world_stop(&w);
}

/* READ-2: what was committed when it came must be applied. */
TEST(read_waits_for_its_index)
{
    struct shard_world w;
    struct ask set[2];
    struct ask get;
    world_start(&w);
    check_command(&w, "SET k old", OK);
    ask(&w, &set[0], "SET k new");
    world_turn(&w);
    ask(&w, &set[1], "SET other x");
    world_turn(&w);
    w.replica.index_commit = 2;
    ask(&w, &get, "GET k");
    w.replica.index_commit = 3; /* later: not its business */
    world_confirm(&w);
    check_reply(&get, NULL);
    world_apply(&w, 2);
    check_reply(&set[0], OK);
    check_reply(&get, "$3\r\nnew\r\n");
    CHECK(!set[1].is_done);
    world_apply(&w, 3);
    check_reply(&set[1], OK);
    world_stop(&w);
}

/* Applied, but not confirmed: another leader may have committed more. */
TEST(read_needs_index_and_round)
{
    struct shard_world w;
    struct ask set;
    struct ask get;
    world_start(&w);
    ask(&w, &set, "SET k v");
    world_turn(&w);
    world_commit(&w);
    ask(&w, &get, "GET k");
    world_apply_all(&w);
    check_reply(&set, OK);
    check_reply(&get, NULL);
    world_confirm(&w);
    check_reply(&get, "$1\r\nv\r\n");
    world_stop(&w);
}

/* The only voter is its own quorum: an answer from inside shard_submit. */
TEST(read_of_a_sole_voter)
{
    struct shard_world w;
    struct ask set;
    struct ask a;
    world_start(&w);
    check_command(&w, "SET k v", OK);
    w.replica.is_sole = true;
    ask(&w, &a, "GET k");
    check_reply(&a, "$1\r\nv\r\n");
    ask(&w, &a, "EXISTS k none k");
    check_reply(&a, ":2\r\n");
    CHECK_EQ(w.stats.reads_waited, 0u);
    CHECK(!world_is_busy(&w));
    /* An entry that is proposed and not committed has not happened. */
    ask(&w, &set, "SET k new");
    world_turn(&w);
    ask(&w, &a, "GET k");
    check_reply(&a, "$1\r\nv\r\n");
    world_settle(&w);
    check_reply(&set, OK);
    world_stop(&w);
}

/* ORD-7: answered in the order they came, whatever each of them waits for. */
TEST(reads_keep_their_order)
{
    struct shard_world w;
    struct ask set;
    struct ask get[3];
    world_start(&w);
    ask(&w, &set, "SET k v");
    world_turn(&w);
    world_commit(&w);
    ask(&w, &get[0], "GET k"); /* waits for the entry */
    w.replica.is_sole = true;
    w.replica.index_commit = 0;
    ask(&w, &get[1], "GET none"); /* could be answered at once */
    ask(&w, &get[2], "EXISTS k none");
    CHECK(!get[1].is_done);
    CHECK(!get[2].is_done);
    world_confirm(&w);
    CHECK(!get[1].is_done);
    world_apply_all(&w);
    CHECK_EQ(set.order, 1u);
    for (unsigned i = 0; i < 3; i++) {
        CHECK_EQ(get[i].order, i + 2);
    }
    check_reply(&set, OK);
    check_reply(&get[0], "$1\r\nv\r\n");
    check_reply(&get[1], NIL);
    check_reply(&get[2], ":1\r\n");
    world_stop(&w);
}

/* One turn's replies are bounded; what is beyond them is not run, and says so. */
TEST(replies_of_one_turn_are_bounded)
{
    enum {
        COUNT = 8
    };
    struct shard_world w;
    struct ask get[COUNT];
    struct ask set;
    world_start(&w);
    uint8_t *value = mem_alloc_zero(1 * MIB);
    ask_set(&w, &set, "k", bytes_of(value, 1 * MIB));
    mem_free(value);
    world_settle(&w);
    check_reply(&set, OK);
    for (unsigned i = 0; i < COUNT; i++) {
        ask(&w, &get[i], "GET k");
    }
    ask(&w, &set, "SET k small");
    world_confirm(&w);
    unsigned done = 0;
    for (unsigned i = 0; i < COUNT; i++) {
        CHECK(get[i].is_done);
        CHECK(i == 0 || get[i].order == get[i - 1].order + 1);
        if (get[i].verdict == SHARD_DONE) {
            CHECK_EQ(done, i); /* the first ones */
            done++;
            CHECK(get[i].reply.size > 1 * MIB);
            buf_deinit(&get[i].reply);
        } else {
            check_verdict(&get[i], SHARD_FULL);
        }
    }
    CHECK_EQ(done, SHARD_TURN_REPLY_BYTES / MIB);
    ask(&w, &get[0], "GET none"); /* however small */
    world_confirm(&w);
    check_verdict(&get[0], SHARD_FULL);
    world_turn(&w);
    ask(&w, &get[0], "GET none");
    world_confirm(&w);
    check_reply(&get[0], NIL);
    world_apply_all(&w);
    check_reply(&set, OK); /* a write is answered in any case */
    world_stop(&w);
}

TEST(databases_are_apart)
{
    struct shard_world w;
    struct ask a;
    world_start(&w);
    check_command(&w, "SET k v", OK);
    check_command(&w, "GET k", "$1\r\nv\r\n");
    struct bytes args[] = {bytes_of_text("GET"), bytes_of_text("k"), bytes_of_text("w")};
    ask_args(&w, &a, args, 2, (struct request_id){0}, 1);
    world_settle(&w);
    check_reply(&a, NIL);
    args[0] = bytes_of_text("SET");
    ask_args(&w, &a, args, 3, (struct request_id){0}, 1);
    world_settle(&w);
    check_reply(&a, OK);
    check_command(&w, "GET k", "$1\r\nv\r\n");
    world_stop(&w);
}

/* ---- leadership ------------------------------------------------------------------------------ */

TEST(refused_when_not_leader)
{
    struct shard_world w;
    struct ask a;
    world_start(&w);
    world_lose(&w);
    ask(&w, &a, "SET k v");
    check_verdict(&a, SHARD_REFUSED);
    ask(&w, &a, "GET k");
    check_verdict(&a, SHARD_REFUSED);
    CHECK(!world_is_busy(&w));
    world_turn(&w);
    CHECK_EQ(w.replica.index_last, 0u);
    world_win(&w);
    check_command(&w, "SET k v", OK);
    world_stop(&w);
}

/* The replica knows before it has told the shard: the write was never proposed. */
TEST(refused_when_proposing)
{
    struct shard_world w;
    struct ask a[2];
    world_start(&w);
    ask(&w, &a[0], "SET k v");
    ask(&w, &a[1], "SET k w");
    w.replica.is_leader = false;
    world_turn(&w);
    check_verdict(&a[0], SHARD_REFUSED);
    check_verdict(&a[1], SHARD_REFUSED);
    CHECK_EQ(shard_memory(w.shard), 0u);
    CHECK(!world_is_busy(&w));
    CHECK_EQ(w.stats.entries_proposed, 0u);
    world_stop(&w);
}

/* Each request is answered once, with what is known of it: lost, or certainly not proposed. */
static void lose_everything(struct shard_world *w)
{
    struct ask lost[3];
    struct ask held;
    struct ask gathered;
    struct ask get[2];
    ask(w, &lost[0], "INCR k");
    ask(w, &lost[1], "INCR k");
    world_turn(w);
    ask(w, &lost[2], "INCR k");
    world_turn(w);
    w->replica.is_full = true;
    ask(w, &held, "INCR k");
    world_turn(w);
    ask(w, &gathered, "INCR k");
    ask(w, &get[0], "GET k");
    ask(w, &get[1], "GET other");
    unsigned before = w->answers;
    world_lose(w);
    CHECK_EQ(w->answers, before + 7);
    for (unsigned i = 0; i < 3; i++) {
        CHECK_EQ(lost[i].order, before + 1 + i);
        check_verdict(&lost[i], SHARD_LOST);
    }
    check_verdict(&held, SHARD_REFUSED);
    check_verdict(&gathered, SHARD_REFUSED);
    check_verdict(&get[0], SHARD_REFUSED);
    check_verdict(&get[1], SHARD_REFUSED);
    CHECK(get[0].order < get[1].order);
    CHECK(!world_is_busy(w));
    w->replica.is_full = false;
}

TEST(leadership_lost)
{
    struct shard_world w;
    world_start(&w);
    lose_everything(&w);
    CHECK_EQ(shard_memory(w.shard), w.replica.pending_bytes);
    world_turn(&w);
    CHECK_EQ(w.replica.index_last, 2u); /* nothing is proposed any more */
    world_stop(&w);
}

/* What was called lost may happen later: it takes effect, and answers nobody. */
TEST(lost_entry_applies_later)
{
    struct shard_world w;
    world_start(&w);
    lose_everything(&w);
    unsigned answers = w.answers;
    world_apply(&w, 1);
    world_win(&w);
    world_apply(&w, 2);
    CHECK_EQ(w.answers, answers);
    check_command(&w, "GET k", "$1\r\n3\r\n");
    check_command(&w, "INCR k", ":4\r\n");
    world_stop(&w);
}

/* What was called lost was overwritten, and its index belongs to somebody else now. */
TEST(lost_entry_is_overwritten)
{
    struct shard_world w;
    struct ask a;
    struct ask lost;
    world_start(&w);
    ask(&w, &lost, "SET k lost");
    world_turn(&w);
    world_lose(&w);
    check_verdict(&lost, SHARD_LOST);
    world_truncate(&w, 1);
    world_win(&w);
    ask(&w, &a, "SET k mine");
    world_turn(&w);
    CHECK_EQ(w.replica.index_last, 1u); /* the same index, another entry */
    world_apply_all(&w);
    check_reply(&a, OK);
    check_command(&w, "GET k", "$4\r\nmine\r\n");
    world_stop(&w);
}

/* Entries of the last term are still being applied when this one's are proposed. */
TEST(older_entries_apply_before_new_ones)
{
    struct shard_world w;
    struct ask lost;
    struct ask a;
    world_start(&w);
    ask(&w, &lost, "INCR k");
    world_turn(&w);
    world_lose(&w);
    check_verdict(&lost, SHARD_LOST);
    world_win(&w);
    ask(&w, &a, "INCR k");
    world_turn(&w);
    world_apply(&w, 1);
    CHECK(!a.is_done);
    world_apply(&w, 2);
    check_reply(&a, ":2\r\n");
    world_stop(&w);
}

/* A round of the leadership before says nothing about this one. */
TEST(reads_of_two_leaderships)
{
    struct shard_world w;
    struct ask get;
    world_start(&w);
    check_command(&w, "SET k v", OK);
    ask(&w, &get, "GET k");
    world_lose(&w);
    check_verdict(&get, SHARD_REFUSED);
    world_win(&w);
    ask(&w, &get, "GET k");
    shard_replica_events()->advanced(w.shard);
    check_reply(&get, NULL);
    world_confirm(&w);
    check_reply(&get, "$1\r\nv\r\n");
    world_stop(&w);
}

/* The term changed and the replica leads again, and says so in one call. */
TEST(leadership_of_another_term)
{
    struct shard_world w;
    struct ask lost;
    struct ask gathered;
    struct ask get;
    world_start(&w);
    ask(&w, &lost, "SET k v");
    world_turn(&w);
    ask(&w, &gathered, "SET k w");
    ask(&w, &get, "GET k");
    world_win(&w);
    CHECK(lost.is_done);
    check_verdict(&lost, SHARD_LOST);
    check_verdict(&gathered, SHARD_REFUSED);
    check_verdict(&get, SHARD_REFUSED);
    world_stop(&w);
}

TEST(leader_changes_are_passed_on)
{
    struct shard_world w;
    world_start(&w);
    shard_replica_events()->leader_changed(w.shard);
    CHECK_EQ(w.leader_changes, 1u);
    world_stop(&w);

    struct fake_env env;
    struct store store;
    struct stats stats = {0};
    fake_env_init(&env);
    struct store_options store_options = {.fold_rows = 3};
    store_init(&store, &env.base, &store_options, store_engine_mem_create(NULL));
    struct shard_options options = {.group = GROUP};
    struct shard *s = shard_create(&env.base, &store, &stats, &options);
    shard_replica_events()->leader_changed(s); /* nobody wants to know */
    shard_destroy(s);
    shard_destroy(NULL);
    store_deinit(&store);
    fake_env_deinit(&env);
}

/* ---- disks that are full --------------------------------------------------------------------- */

/* Refused before it gathers: certainly not executed. Reads go on, and writes once there is space.
 */
TEST(writes_are_refused_without_space)
{
    struct shard_world w;
    struct ask a[2];
    world_start(&w);
    check_command(&w, "SET k v", OK);
    w.is_out_of_space = true;
    ask(&w, &a[0], "SET k w");
    check_verdict(&a[0], SHARD_NO_SPACE);
    ask(&w, &a[0], "DEL k"); /* it needs the log, too */
    check_verdict(&a[0], SHARD_NO_SPACE);
    CHECK_EQ(shard_memory(w.shard), 0u);
    check_command(&w, "GET k", "$1\r\nv\r\n");
    CHECK_EQ(w.replica.index_last, 1u);
    world_lose(&w);
    ask(&w, &a[0], "SET k w");
    check_verdict(&a[0], SHARD_REFUSED); /* whether there is space says the leader */
    world_win(&w);
    w.is_out_of_space = false;
    check_command(&w, "SET k w", OK);
    world_stop(&w);
}

/* ---- facts ----------------------------------------------------------------------------------- */

static bool peek(struct shard_world *w, uint8_t database, const char *key, const char *value)
{
    struct buf got;
    buf_init(&got, TEXT_BYTES);
    bool is_there = shard_peek(w->shard, database, bytes_of_text(key), &got);
    CHECK_BYTES(buf_bytes(&got), bytes_of_text(is_there ? value : ""));
    buf_deinit(&got);
    return is_there;
}

/* What this replica has applied, leader or not. */
TEST(peek_shows_the_applied_state)
{
    struct shard_world w;
    struct ask a;
    world_start(&w);
    CHECK(!peek(&w, 0, "k", ""));
    ask(&w, &a, "SET k v PX 100");
    world_turn(&w);
    CHECK(!peek(&w, 0, "k", ""));
    world_apply_all(&w);
    check_reply(&a, OK);
    world_lose(&w);
    CHECK(peek(&w, 0, "k", "v"));
    CHECK(!peek(&w, 1, "k", ""));
    fake_env_advance(&w.env, 150);
    CHECK(peek(&w, 0, "k", "v")); /* no entry has ended it */
    world_win(&w);
    check_command(&w, "SET other x", OK);
    CHECK(!peek(&w, 0, "k", ""));
    world_stop(&w);
}

/* Rows, the clock, the counters and remembered replies: the hash is of all of them. */
TEST(hash_is_of_the_whole_state)
{
    struct shard_world w;
    world_start(&w);
    uint64_t hash = shard_hash(w.shard);
    CHECK_EQ(shard_hash(w.shard), hash);
    check_command(&w, "GET k", NIL);
    CHECK_EQ(shard_hash(w.shard), hash);
    check_command(&w, "SET k v", OK);
    CHECK(shard_hash(w.shard) != hash);
    hash = shard_hash(w.shard);
    check_command(&w, "DEL none", ":0\r\n"); /* a remembered reply, no more */
    CHECK(shard_hash(w.shard) != hash);
    hash = shard_hash(w.shard);
    fake_env_advance(&w.env, 1);
    CHECK_EQ(shard_hash(w.shard), hash);
    w.mark = w.sequence;
    check_command(&w, "DEL none", ":0\r\n"); /* one remembered as before, under other numbers */
    CHECK(shard_hash(w.shard) != hash);
    world_stop(&w);
}
