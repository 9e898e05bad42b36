/* Applying entries: once per request, the same on every replica, and nothing that is broken. */
#include <stdio.h>

#include "shard_random.h"

#define OK "+OK\r\n"
#define NIL "$-1\r\n"
#define TEXT_BYTES 128u
#define LOST_REPLY "-UNKNOWNRESULT the command was executed; its reply was too large to keep\r\n"
#define TOO_LATE                                                                                   \
    "-UNKNOWNRESULT the command came too late to say whether it was executed before\r\n"

/* ---- requests that come again ---------------------------------------------------------------- */

/* DUP-2: executed once, and the second answer is the first one. */
TEST(retry_gets_the_remembered_reply)
{
    struct shard_world w;
    struct ask a;
    world_start(&w);
    ask(&w, &a, "INCR n");
    struct request_id id = a.id;
    world_settle(&w);
    check_reply(&a, ":1\r\n");
    check_command(&w, "INCR n", ":2\r\n");
    for (unsigned i = 0; i < 3; i++) {
        ask_again(&w, &a, "INCR n", id);
        world_settle(&w);
        check_reply(&a, ":1\r\n");
    }
    check_command(&w, "GET n", "$1\r\n2\r\n");
    /* Another incarnation, or another node, with the same sequence is another request. */
    id.node++;
    ask_again(&w, &a, "INCR n", id);
    world_settle(&w);
    check_reply(&a, ":3\r\n");
    world_stop(&w);
}

/* Errors are remembered, too. */
TEST(retry_of_an_error)
{
    struct shard_world w;
    struct ask a;
    world_start(&w);
    check_command(&w, "SET k text", OK);
    ask(&w, &a, "INCR k");
    struct request_id id = a.id;
    world_settle(&w);
    check_reply(&a, "-ERR value is not an integer or out of range\r\n");
    check_command(&w, "SET k 5", OK);
    ask_again(&w, &a, "INCR k", id);
    world_settle(&w);
    check_reply(&a, "-ERR value is not an integer or out of range\r\n");
    check_command(&w, "GET k", "$1\r\n5\r\n");
    world_stop(&w);
}

/* The gateway's copies meet in one entry, in two entries of one leader, and behind a lost one. */
TEST(copies_under_way_together)
{
    struct shard_world w;
    struct ask a[4];
    world_start(&w);
    ask(&w, &a[0], "INCR n");
    ask_again(&w, &a[1], "INCR n", a[0].id);
    world_turn(&w);
    ask_again(&w, &a[2], "INCR n", a[0].id);
    world_turn(&w);
    world_lose(&w);
    for (unsigned i = 0; i < 3; i++) {
        check_verdict(&a[i], SHARD_LOST);
    }
    world_win(&w);
    ask_again(&w, &a[3], "INCR n", a[0].id);
    world_settle(&w);
    check_reply(&a[3], ":1\r\n");
    check_command(&w, "GET n", "$1\r\n1\r\n");

    ask(&w, &a[0], "INCR n");
    ask_again(&w, &a[1], "INCR n", a[0].id);
    world_turn(&w);
    ask_again(&w, &a[2], "INCR n", a[0].id);
    world_settle(&w);
    for (unsigned i = 0; i < 3; i++) {
        CHECK(a[i].order > 0);
        check_reply(&a[i], ":2\r\n");
    }
    world_stop(&w);
}

/* DUP-3: at or below the mark nothing executes, and nobody can say whether it did. */
TEST(request_below_its_mark)
{
    struct shard_world w;
    struct ask a;
    world_start(&w);
    ask(&w, &a, "INCR n");
    struct request_id id = a.id;
    world_settle(&w);
    check_reply(&a, ":1\r\n");
    w.mark = w.sequence;
    check_command(&w, "INCR n", ":2\r\n");
    uint64_t hash = shard_hash(w.shard);
    w.mark = 0; /* the copy is from before */
    ask_again(&w, &a, "INCR n", id);
    world_settle(&w);
    check_reply(&a, TOO_LATE);
    CHECK_EQ(shard_hash(w.shard), hash);
    check_command(&w, "GET n", "$1\r\n2\r\n");
    world_stop(&w);
}

/* DUP-8: executed, and too large to remember: said so, never executed again. */
TEST(large_reply_is_remembered_as_lost)
{
    struct shard_world w;
    struct ask a;
    world_start(&w);
    uint8_t *value = mem_alloc_zero(DUP_REPLY_BYTES_MAX);
    struct bytes args[] = {
        bytes_of_text("SET"),
        bytes_of_text("k"),
        bytes_of(value, DUP_REPLY_BYTES_MAX),
        bytes_of_text("GET"),
    };
    ask_args(&w, &a, args, 4, (struct request_id){0}, 0);
    world_settle(&w);
    check_reply(&a, NIL);
    args[2] = bytes_of_text("new");
    ask_args(&w, &a, args, 4, (struct request_id){0}, 0);
    struct request_id id = a.id;
    world_settle(&w);
    CHECK(a.reply.size > DUP_REPLY_BYTES_MAX);
    buf_deinit(&a.reply);
    ask_args(&w, &a, args, 4, id, 0);
    world_settle(&w);
    check_reply(&a, LOST_REPLY);
    check_command(&w, "GET k", "$3\r\nnew\r\n");
    mem_free(value);
    world_stop(&w);
}

/* Only its own part of a shared buffer is a request's reply. */
TEST(remembered_reply_is_its_own)
{
    struct shard_world w;
    struct ask a;
    world_start(&w);
    ask(&w, &a, "INCR n");
    struct request_id id = a.id;
    buf_append_text(&a.reply, "before;");
    world_settle(&w);
    check_reply(&a, "before;:1\r\n");
    ask_again(&w, &a, "INCR n", id);
    world_settle(&w);
    check_reply(&a, ":1\r\n");
    world_stop(&w);
}

/* A read does not use up a number, and is not remembered. */
TEST(reads_are_not_remembered)
{
    struct shard_world w;
    struct ask a;
    world_start(&w);
    struct request_id id = {NODE, INCARNATION, 0};
    ask_again(&w, &a, "GET n", id);
    world_settle(&w);
    check_reply(&a, NIL);
    check_command(&w, "INCR n", ":1\r\n");
    ask_again(&w, &a, "GET n", id);
    world_settle(&w);
    check_reply(&a, "$1\r\n1\r\n");
    world_stop(&w);
}

/* ---- the same everywhere --------------------------------------------------------------------- */

/* A follower, and a node that starts again, apply the same bytes without any of the requests. */
TEST(replicas_come_to_the_same_state)
{
    struct shard_world *w = mem_alloc(sizeof *w);
    struct shard_world *twin = mem_alloc(sizeof *twin);
    struct prng prng;
    unsigned answered = 0;
    prng_init(&prng, 21);
    world_start(w);
    world_start(twin);
    world_lose(twin);
    twin->env.wall_ms = 1; /* its clock is not asked */
    for (unsigned round = 0; round < 150; round++) {
        answered += random_burst(w, &prng);
        while (twin->replica.index_applied < w->replica.index_applied) {
            uint64_t index = ++twin->replica.index_applied;
            struct bytes entry = buf_bytes(&w->replica.entries[index]);
            CHECK_EQ(shard_replica_events()->apply(twin->shard, index, entry), STATUS_OK);
        }
        if (prng_chance(&prng, 300)) {
            world_turn(twin); /* rows are folded at other times */
        }
        CHECK_EQ(shard_hash(twin->shard), shard_hash(w->shard));
    }
    CHECK(answered > 1000);
    CHECK(w->stats.keys_expired > 10);
    CHECK_EQ(twin->stats.keys_expired, w->stats.keys_expired);
    CHECK_EQ(twin->stats.entries_applied, w->stats.entries_applied);
    CHECK_EQ(shard_memory(w->shard), 0u);
    CHECK_EQ(twin->answers, 0u);
    world_stop(twin);
    world_stop(w);
    mem_free(twin);
    mem_free(w);
}

/* ---- what is refused ------------------------------------------------------------------------- */

/* One entry of one command, bent by the test, as the first one of a fresh shard. */
static enum status apply_bent(const struct entry_command *c,
                              const struct bytes *args,
                              uint32_t count,
                              size_t more)
{
    struct shard_world w;
    world_start(&w);
    world_lose(&w);
    struct buf entry;
    buf_init(&entry, 1 * MIB);
    entry_start(&entry);
    entry_append(&entry, c, args);
    buf_append(&entry, "garbage", more);
    struct entry_header header = {.count = count, .stamp_ms = 1, .seed = 1};
    entry_finish(&entry, &header);
    enum status s = shard_replica_events()->apply(w.shard, 1, buf_bytes(&entry));
    buf_deinit(&entry);
    world_stop(&w);
    return s;
}

static const struct entry_command good_set = {
    .id = COMMAND_ID_SET,
    .semantics = 1,
    .resp = 2,
    .request = {NODE, INCARNATION, 1},
    .arg_count = 2,
};

/* Nothing that a gateway would not propose is applied, wherever the entry comes from. */
TEST(apply_checks_every_command)
{
    static const uint8_t long_key[LIMIT_KEY_BYTES + 1] = {'k'};
    struct bytes args[] = {bytes_of_text("k"), bytes_of_text("v")};
    struct bytes long_args[] = {bytes_of(long_key, sizeof long_key), bytes_of_text("v")};
    CHECK_EQ(apply_bent(&good_set, args, 1, 0), STATUS_OK);
    CHECK_EQ(apply_bent(&good_set, args, 1, 3), STATUS_CORRUPT); /* bytes behind the last one */
    CHECK_EQ(apply_bent(&good_set, args, 2, 0), STATUS_CORRUPT); /* fewer than it says */
    CHECK_EQ(apply_bent(&good_set, long_args, 1, 0), STATUS_CORRUPT);
    struct entry_command bent = good_set;
    bent.arg_count = 0;
    CHECK_EQ(apply_bent(&bent, args, 1, 0), STATUS_CORRUPT);
    bent.arg_count = 1;
    CHECK_EQ(apply_bent(&bent, args, 1, 0), STATUS_CORRUPT);
    bent = good_set;
    bent.database = LIMIT_DATABASES;
    CHECK_EQ(apply_bent(&bent, args, 1, 0), STATUS_CORRUPT);
    bent = good_set;
    bent.resp = 4;
    CHECK_EQ(apply_bent(&bent, args, 1, 0), STATUS_CORRUPT);
}

/* Written by a newer version: stop, do not guess. */
TEST(apply_refuses_what_it_does_not_know)
{
    struct bytes args[] = {bytes_of_text("k"), bytes_of_text("v")};
    struct entry_command bent = good_set;
    bent.id = COMMAND_ID_COUNT;
    CHECK_EQ(apply_bent(&bent, args, 1, 0), STATUS_UNSUPPORTED);
    bent.id = COMMAND_ID_NONE;
    CHECK_EQ(apply_bent(&bent, args, 1, 0), STATUS_UNSUPPORTED);
    bent = good_set;
    bent.semantics = (uint8_t)(command_by_id(COMMAND_ID_SET)->semantics + 1);
    CHECK_EQ(apply_bent(&bent, args, 1, 0), STATUS_UNSUPPORTED);
}

/* A log holds writes; a read in it would run with a view that may change rows. */
TEST(apply_refuses_a_read)
{
    struct bytes args[] = {bytes_of_text("k"), bytes_of_text("v")};
    struct entry_command bent = good_set;
    bent.id = COMMAND_ID_GET;
    bent.arg_count = 1;
    CHECK_EQ(apply_bent(&bent, args, 1, 0), STATUS_CORRUPT);
}

TEST(apply_refuses_what_is_no_entry)
{
    struct shard_world w;
    world_start(&w);
    const struct replica_events *events = shard_replica_events();
    uint8_t entry[ENTRY_HEADER_BYTES] = {ENTRY_KIND_EFFECTS, 2};
    CHECK_EQ(events->apply(w.shard, 1, bytes_of(NULL, 0)), STATUS_CORRUPT);
    CHECK_EQ(events->apply(w.shard, 1, bytes_of("short", 5)), STATUS_CORRUPT);
    CHECK_EQ(events->apply(w.shard, 1, bytes_of(entry, sizeof entry)), STATUS_UNSUPPORTED);
    world_stop(&w);
}

/* A broken entry of our own: the node halts, and nobody of it is answered. */
TEST(broken_entry_answers_nobody_behind_it)
{
    struct shard_world w;
    struct ask a[2];
    world_start(&w);
    ask(&w, &a[0], "SET k v");
    ask(&w, &a[1], "SET k w");
    world_turn(&w);
    struct buf *entry = &w.replica.entries[1];
    entry->data[entry->size - 1] = 'x';
    entry->data[entry->size - 7] = 0xff; /* a size inside the second command */
    CHECK_EQ(shard_replica_events()->apply(w.shard, 1, buf_bytes(entry)), STATUS_CORRUPT);
    check_reply(&a[0], OK); /* durable and applied, whatever stands behind it */
    world_stop(&w);
    forget(&a[1]);
}
