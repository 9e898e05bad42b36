/* A group's part in transactions: votes, outcomes, locks, marks, and all of it as rows. */
#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/prng.h"
#include "harness.h"
#include "shard/participant.h"
#include "store/omap.h"

static const uint8_t groups[] = {1, 0, 2, 0};

static struct txn_id id_of(uint32_t incarnation, uint64_t sequence)
{
    return (struct txn_id){.node = 7, .incarnation = incarnation, .sequence = sequence};
}

/* A yes with locks on the words of `keys`: those that begin with '!' exclusive. */
static void prepare(struct participant *p, struct txn_id id, const char *keys)
{
    struct buf locks;
    struct txn_record record = {
        .state = TXN_STATE_YES,
        .content_hash = id.sequence,
        .participant_count = 2,
        .participants = bytes_of(groups, sizeof groups),
        .reply = bytes_of_text(":1\r\n"),
        .effects = bytes_of_text("effects"),
    };
    buf_init(&locks, 1024);
    for (const char *at = keys; *at != '\0';) {
        size_t size = strcspn(at, " ");
        bool is_exclusive = *at == '!';
        struct bytes key = bytes_of(at + is_exclusive, size - is_exclusive);
        txn_lock_append(&locks, &(struct txn_lock){0, is_exclusive, key});
        record.lock_count++;
        at += at[size] == ' ' ? size + 1 : size;
    }
    record.locks = buf_bytes(&locks);
    participant_vote(p, &id, &record);
    buf_deinit(&locks);
}

static bool conflicts(const struct participant *p, const char *key, bool is_exclusive)
{
    struct buf locks;
    buf_init(&locks, 1024);
    txn_lock_append(&locks, &(struct txn_lock){0, is_exclusive, bytes_of_text(key)});
    bool result = participant_conflicts(p, buf_bytes(&locks), 1);
    buf_deinit(&locks);
    return result;
}

static enum txn_state state(const struct participant *p, struct txn_id id)
{
    return participant_state(p, &id);
}

TEST(locks_last_until_the_outcome)
{
    for (int is_commit = 0; is_commit < 2; is_commit++) {
        struct participant *p = participant_create();
        struct txn_id one = id_of(1, 1);
        struct txn_id owner;
        bool is_exclusive = false;
        prepare(p, one, "!written read");
        CHECK(conflicts(p, "written", false));
        CHECK(conflicts(p, "written", true));
        CHECK(!conflicts(p, "read", false));
        CHECK(conflicts(p, "read", true));
        CHECK(!conflicts(p, "other", true));
        CHECK(participant_has_locks(p, 0));
        CHECK(!participant_has_locks(p, 1));
        CHECK(!participant_lock(p, 1, bytes_of_text("written"), &owner, &is_exclusive));
        CHECK(participant_lock(p, 0, bytes_of_text("written"), &owner, &is_exclusive));
        CHECK(is_exclusive);
        CHECK_EQ(owner.sequence, 1u);
        CHECK_EQ(participant_prepared_count(p), 1u);

        CHECK_EQ(participant_judge(p, &one, is_commit == 1), PARTICIPANT_APPLIES);
        participant_settle(p, &one, is_commit == 1);
        CHECK(!conflicts(p, "written", true));
        CHECK(!conflicts(p, "read", true));
        CHECK(!participant_has_locks(p, 0));
        CHECK_EQ(participant_prepared_count(p), 0u);
        participant_destroy(p);
    }
}

TEST(shared_locks_go_one_by_one)
{
    struct participant *p = participant_create();
    struct txn_id ids[] = {id_of(1, 1), id_of(1, 2), id_of(1, 3)};
    for (size_t i = 0; i < 3; i++) {
        prepare(p, ids[i], "read");
    }
    participant_settle(p, &ids[1], true);
    CHECK(conflicts(p, "read", true));
    participant_settle(p, &ids[0], false);
    CHECK(conflicts(p, "read", true));
    participant_settle(p, &ids[2], true);
    CHECK(!conflicts(p, "read", true));
    participant_destroy(p);
}

/* TXN-2, TXN-6: the first record is final, whoever asks. */
TEST(asking_writes_a_tombstone_and_no_more)
{
    struct participant *p = participant_create();
    struct txn_id unknown = id_of(1, 5);
    struct txn_id prepared = id_of(1, 6);
    prepare(p, prepared, "!k");
    CHECK_EQ(participant_ask(p, &unknown), TXN_STATE_NO_VOTE);
    CHECK_EQ(participant_ask(p, &unknown), TXN_STATE_NO_VOTE);
    CHECK_EQ(state(p, unknown), TXN_STATE_NO_VOTE);
    CHECK_EQ(participant_ask(p, &prepared), TXN_STATE_YES);
    CHECK(conflicts(p, "k", true));
    participant_destroy(p);
}

/* TXN-7, every state against both outcomes. */
TEST(outcomes_that_contradict_are_violations)
{
    struct participant *p = participant_create();
    struct txn_record no = {.state = TXN_STATE_NO_COMPARE};
    struct txn_id none = id_of(1, 9);
    struct txn_id refused = id_of(1, 2);
    struct txn_id committed = id_of(1, 3);
    struct txn_id aborted = id_of(1, 4);
    struct txn_id finished = id_of(1, 1);
    participant_vote(p, &refused, &no);
    prepare(p, committed, "!a");
    prepare(p, aborted, "!b");
    participant_settle(p, &committed, true);
    participant_settle(p, &aborted, false);
    CHECK(participant_raise(p, 7, 1, 1));

    CHECK_EQ(participant_judge(p, &none, true), PARTICIPANT_VIOLATED);
    CHECK_EQ(participant_judge(p, &none, false), PARTICIPANT_REFUSES);
    CHECK_EQ(participant_judge(p, &refused, true), PARTICIPANT_VIOLATED);
    CHECK_EQ(participant_judge(p, &refused, false), PARTICIPANT_REPEATED);
    CHECK_EQ(participant_judge(p, &committed, true), PARTICIPANT_REPEATED);
    CHECK_EQ(participant_judge(p, &committed, false), PARTICIPANT_VIOLATED);
    CHECK_EQ(participant_judge(p, &aborted, true), PARTICIPANT_VIOLATED);
    CHECK_EQ(participant_judge(p, &aborted, false), PARTICIPANT_REPEATED);
    CHECK_EQ(participant_judge(p, &finished, true), PARTICIPANT_REPEATED);
    CHECK_EQ(participant_judge(p, &finished, false), PARTICIPANT_REPEATED);

    participant_settle(p, &none, false); /* an abort before PREPARE */
    CHECK_EQ(state(p, none), TXN_STATE_NO_VOTE);
    participant_destroy(p);
}

/* A gateway that lost the vote still gets the reply of what was committed, and nothing else. */
TEST(a_committed_record_keeps_its_reply)
{
    struct participant *p = participant_create();
    struct txn_id one = id_of(1, 1);
    struct txn_record record;
    prepare(p, one, "!k");
    participant_settle(p, &one, true);
    CHECK(participant_find(p, &one, &record));
    CHECK_EQ(record.state, TXN_STATE_COMMITTED);
    CHECK_EQ(record.content_hash, 1u);
    CHECK_BYTES(record.reply, bytes_of_text(":1\r\n"));
    CHECK_EQ(record.effects.size, 0u);
    CHECK_EQ(record.lock_count, 0u);
    participant_destroy(p);
}

/* A record may stay for long, where another group cannot confirm: replies are no part of that. */
TEST(a_reply_that_nobody_asks_for_is_dropped)
{
    struct participant *p = participant_create();
    struct txn_id one = id_of(1, 1);
    struct txn_record record = {0};
    prepare(p, one, "!k");
    participant_drop_reply(p, &one);
    CHECK(participant_find(p, &one, &record) && record.reply.size > 0);
    participant_settle(p, &one, true);
    uint64_t before = participant_memory(p);
    participant_drop_reply(p, &one);
    CHECK(participant_find(p, &one, &record));
    CHECK_EQ(record.state, TXN_STATE_COMMITTED);
    CHECK_EQ(record.reply.size, 0u);
    CHECK(record.content_hash != 0);
    CHECK(participant_memory(p) < before);
    participant_destroy(p);
}

/* TXN-9, TXN-10. */
TEST(marks_finish_what_is_over)
{
    struct participant *p = participant_create();
    struct txn_id one = id_of(1, 1);
    struct txn_id two = id_of(1, 2);
    struct txn_id three = id_of(1, 3);
    prepare(p, one, "!a");
    prepare(p, two, "!b");
    participant_settle(p, &one, true);
    CHECK(!participant_raise(p, 7, 1, 2)); /* two is prepared */
    CHECK_EQ(state(p, one), TXN_STATE_COMMITTED);
    CHECK(participant_raise(p, 7, 1, 1));
    CHECK_EQ(state(p, one), TXN_STATE_FINISHED);
    CHECK_EQ(participant_ask(p, &one), TXN_STATE_FINISHED); /* and writes nothing */
    CHECK_EQ(state(p, two), TXN_STATE_YES);
    CHECK_EQ(state(p, three), TXN_STATE_NONE);
    participant_settle(p, &two, false);
    CHECK(participant_raise(p, 7, 1, 2));
    CHECK(participant_raise(p, 7, 1, 1)); /* never downwards */
    CHECK_EQ(state(p, two), TXN_STATE_FINISHED);
    CHECK_EQ(state(p, id_of(2, 1)), TXN_STATE_NONE); /* another incarnation */
    participant_destroy(p);
}

/* TXN-12. */
TEST(a_dead_coordinator_is_closed_drained_and_forgotten)
{
    struct participant *p = participant_create();
    struct txn_id old = id_of(1, 4);
    struct txn_id dead = id_of(2, 1);
    struct txn_id alive = id_of(3, 1);
    prepare(p, old, "!a");
    prepare(p, dead, "!b");
    prepare(p, alive, "!c");
    CHECK(!participant_end(p, 7, 2)); /* not closed */
    CHECK_EQ(participant_close(p, 7, 2), 2u);
    CHECK(participant_is_closed(p, &old));
    CHECK(!participant_is_closed(p, &alive));
    CHECK(!participant_end(p, 7, 2)); /* two are prepared */
    participant_settle(p, &old, true);
    participant_settle(p, &dead, false);
    CHECK_EQ(participant_close(p, 7, 1), 0u);
    CHECK(participant_is_closed(p, &dead)); /* closing never goes back */
    CHECK(participant_end(p, 7, 2));
    CHECK_EQ(state(p, old), TXN_STATE_FINISHED);
    CHECK_EQ(state(p, id_of(2, 99)), TXN_STATE_FINISHED);
    CHECK_EQ(state(p, alive), TXN_STATE_YES);
    CHECK(participant_raise(p, 7, 2, 50)); /* late: nothing comes back */
    CHECK_EQ(state(p, id_of(2, 99)), TXN_STATE_FINISHED);
    CHECK_EQ(participant_close(p, 7, 3), 1u);
    participant_destroy(p);
}

static bool count_one(void *ctx, const struct txn_id *id, const struct txn_record *record)
{
    uint64_t *sum = ctx;
    CHECK_EQ(record->state, TXN_STATE_YES);
    CHECK_EQ(record->participant_count, 2u);
    *sum += id->sequence;
    return true;
}

TEST(prepared_ones_are_found)
{
    struct participant *p = participant_create();
    uint64_t sum = 0;
    participant_each_prepared(p, count_one, &sum);
    CHECK_EQ(sum, 0u);
    prepare(p, id_of(1, 1), "!a");
    prepare(p, id_of(1, 10), "!b");
    prepare(p, id_of(2, 100), "!c");
    participant_settle(p, &(struct txn_id){7, 1, 10}, true);
    participant_each_prepared(p, count_one, &sum);
    CHECK_EQ(sum, 101u);
    participant_destroy(p);
}

/* ---- rows ------------------------------------------------------------------------------------ */

static void save_row(void *ctx, const struct txn_id *id, const struct bytes *value)
{
    struct omap *rows = ctx;
    uint8_t key[16];
    for (size_t i = 0; i < 4; i++) {
        key[i] = (uint8_t)(id->node >> (24 - 8 * i));
        key[4 + i] = (uint8_t)(id->incarnation >> (24 - 8 * i));
    }
    for (size_t i = 0; i < 8; i++) {
        key[8 + i] = (uint8_t)(id->sequence >> (56 - 8 * i));
    }
    if (value == NULL) {
        omap_remove(rows, bytes_of(key, sizeof key));
        return;
    }
    struct blob *blob = blob_create(value->size);
    memcpy(blob->data, value->data, value->size);
    omap_put(rows, bytes_of(key, sizeof key), blob);
}

static struct txn_id id_of_key(struct bytes key)
{
    struct txn_id id = {0};
    for (size_t i = 0; i < 4; i++) {
        id.node = id.node << 8 | key.data[i];
        id.incarnation = id.incarnation << 8 | key.data[4 + i];
    }
    for (size_t i = 0; i < 8; i++) {
        id.sequence = id.sequence << 8 | key.data[8 + i];
    }
    return id;
}

/* A table from rows; NULL: one of them is refused. */
static struct participant *load(const struct omap *rows)
{
    struct participant *p = participant_create();
    const struct omap_node *at = NULL;
    struct omap_item item;
    while (omap_next(rows, &at, &item)) {
        struct txn_id id = id_of_key(item.key);
        if (participant_load(p, &id, blob_bytes(item.value)) != STATUS_OK) {
            participant_destroy(p);
            return NULL;
        }
    }
    return p;
}

static bool has_rows_changed(struct participant *p, struct omap *rows)
{
    uint64_t before = rows->count;
    participant_save(p, save_row, rows);
    return rows->count != before;
}

TEST(only_changes_are_saved)
{
    struct participant *p = participant_create();
    struct omap rows;
    omap_init(&rows);
    prepare(p, id_of(1, 1), "!a");
    CHECK(has_rows_changed(p, &rows));
    omap_deinit(&rows);
    omap_init(&rows);
    CHECK(!has_rows_changed(p, &rows)); /* nothing is said twice */
    participant_destroy(p);
    omap_deinit(&rows);
}

TEST(rows_that_contradict_are_refused)
{
    static const uint8_t node_row[] = {1, 0, 0, 0, 2, 0, 0, 0}; /* ended beyond closed */
    static const uint8_t mark_row[] = {5, 0, 0, 0, 0, 0, 0, 0};
    static const uint8_t tombstone[40] = {TXN_STATE_NO_VOTE};
    struct participant *p = participant_create();
    struct txn_id node = {.node = 7};
    struct txn_id mark = {.node = 7, .incarnation = 1};
    struct txn_id below = id_of(1, 5);
    struct txn_id above = id_of(1, 6);
    struct txn_id beyond = id_of(1, UINT64_MAX);
    struct bytes record = bytes_of(tombstone, sizeof tombstone);
    CHECK_EQ(participant_load(p, &node, bytes_of(node_row, 8)), STATUS_CORRUPT);
    CHECK_EQ(participant_load(p, &node, bytes_of(node_row, 7)), STATUS_CORRUPT);
    CHECK_EQ(participant_load(p, &mark, bytes_of(mark_row, 7)), STATUS_CORRUPT);
    CHECK_EQ(participant_load(p, &mark, bytes_of(mark_row, 8)), STATUS_OK);
    CHECK_EQ(participant_load(p, &mark, bytes_of(mark_row, 8)), STATUS_CORRUPT); /* twice */
    CHECK_EQ(participant_load(p, &below, record), STATUS_CORRUPT);
    CHECK_EQ(participant_load(p, &above, bytes_of(tombstone, 39)), STATUS_CORRUPT);
    CHECK_EQ(participant_load(p, &above, record), STATUS_OK);
    CHECK_EQ(participant_load(p, &beyond, record), STATUS_CORRUPT);
    CHECK_EQ(state(p, above), TXN_STATE_NO_VOTE);
    participant_destroy(p);
}

/* ---- at random ------------------------------------------------------------------------------- */

#define RANDOM_STEPS 4000u
#define RANDOM_SEQUENCES 24u
#define RANDOM_KEYS 5u

static void random_prepare(struct participant *p, struct prng *r, struct txn_id id)
{
    char keys[64];
    unsigned first = (unsigned)prng_below(r, RANDOM_KEYS);
    bool is_exclusive = prng_chance(r, 500);
    (void)snprintf(keys, sizeof keys, "%skey%u", is_exclusive ? "!" : "", first);
    bool can = state(p, id) == TXN_STATE_NONE && !participant_is_closed(p, &id) &&
               !conflicts(p, keys + is_exclusive, is_exclusive);
    if (can) {
        prepare(p, id, keys);
    }
}

static void random_step(struct participant *p, struct prng *r)
{
    struct txn_id id = {
        .node = 1 + (uint32_t)prng_below(r, 2),
        .incarnation = 1 + (uint32_t)prng_below(r, 3),
        .sequence = 1 + prng_below(r, RANDOM_SEQUENCES),
    };
    bool is_commit = prng_chance(r, 600);
    switch (prng_below(r, 12)) {
    case 0:
        (void)participant_ask(p, &id);
        return;
    case 1:
        if (!participant_raise(p, id.node, id.incarnation, id.sequence / 4)) {
            CHECK(participant_prepared_count(p) > 0);
        }
        return;
    case 2:
        if (prng_chance(r, 20)) {
            uint64_t left = participant_close(p, id.node, id.incarnation);
            CHECK_EQ(participant_end(p, id.node, id.incarnation), left == 0);
        }
        return;
    case 3:
    case 4:
    case 5:
    case 6:
        random_prepare(p, r, id);
        return;
    default: {
        enum participant_outcome outcome = participant_judge(p, &id, is_commit);
        if (outcome == PARTICIPANT_APPLIES || outcome == PARTICIPANT_REFUSES) {
            participant_settle(p, &id, is_commit);
            CHECK_EQ(participant_judge(p, &id, is_commit), PARTICIPANT_REPEATED);
            CHECK_EQ(participant_judge(p, &id, !is_commit), PARTICIPANT_VIOLATED);
        }
        return;
    }
    }
}

/* Whatever it held before, a table made of its rows is the same one, its locks included. */
TEST(a_table_from_rows_is_the_same)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct prng r;
        struct omap rows;
        struct participant *p = participant_create();
        prng_init(&r, seed);
        omap_init(&rows);
        for (unsigned step = 0; step < RANDOM_STEPS / 20; step++) {
            for (unsigned i = 0; i < 20; i++) {
                random_step(p, &r);
            }
            participant_save(p, save_row, &rows);
            struct participant *copy = load(&rows);
            CHECK(copy != NULL);
            CHECK_EQ(participant_hash(copy), participant_hash(p));
            CHECK_EQ(participant_prepared_count(copy), participant_prepared_count(p));
            for (unsigned k = 0; k < RANDOM_KEYS; k++) {
                char key[16];
                (void)snprintf(key, sizeof key, "key%u", k);
                CHECK_EQ(conflicts(copy, key, false), conflicts(p, key, false));
                CHECK_EQ(conflicts(copy, key, true), conflicts(p, key, true));
            }
            if (prng_chance(&r, 100)) { /* go on with the copy, as after a restart */
                participant_destroy(p);
                p = copy;
            } else {
                participant_destroy(copy);
            }
        }
        participant_destroy(p);
        omap_deinit(&rows);
    }
}
