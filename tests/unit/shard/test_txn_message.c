/* What coordinators and participants say to each other: bytes, and everything that is none. */
#include "base/mem.h"
#include "command/command.h"
#include "data/effects.h"
#include "harness.h"
#include "shard/txn_message.h"

static const uint8_t groups[] = {3, 0, 16, 1};

static const uint8_t golden_work[] = {
    7,    0,    0,  0, 2, 0, 0, 0, 9, 0, 0, 0, 0,   0, 0, 0, /* node, incarnation, sequence */
    8,    0,    0,  0, 0, 0, 0, 0,                           /* mark */
    0x0b, 0x0a, 0,  0, 0, 0, 0, 0,                           /* time */
    5,    0,    0,  0,                                       /* strict, effects */
    2,    0,    0,  0,                                       /* participants */
    1,    0,    0,  0,                                       /* compares */
    17,   0,    0,  0,                                       /* their bytes */
    0,    0,    0,  0, 0, 0, 0, 0,                           /* commands, zeros */
    3,    0,    16, 1,                                       /* groups 3 and 272 */
    15,   1,    0,  0, 1, 0, 0, 0,                  /* database, watched, a key of one byte */
    6,    5,    4,  3, 2, 1, 0, 0,                  /* version */
    'k',                                            /* the key */
    2,    0,    0,  0, 1, 0, 0, 0, 0, 0, 0, 0, 'd', /* an effect: delete d */
};

static const uint8_t golden_order[] = {
    7, 0, 0, 0, 2, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0,
};

static const uint8_t golden_answer[] = {
    6,   1,   0,   0,    1,    0, 0, 0, /* committed, watched, one reply */
    4,   0,   0,   0,    0,    0, 0, 0, /* prepared */
    5,   0,   0,   0,    8,    0, 0, 0, /* bytes of replies, of versions */
    4,   0,   0,   0,    0,    0, 0, 0, /* of rows, zeros */
    '+', 'O', 'K', '\r', '\n',          /* replies */
    1,   2,   0,   0,    0,    0, 0, 0, /* a version */
    0,   0,   0,   0,                   /* a row: the key is not there */
};

static void make_work(struct txn_work *out_work, struct buf *compares, struct buf *effects)
{
    buf_init(compares, 1024);
    buf_init(effects, 1024);
    txn_compare_append(compares,
                       &(struct txn_compare){15, true, 0x010203040506, bytes_of_text("k")});
    effect_append(effects, &(struct effect){.kind = EFFECT_DELETE, .key = bytes_of_text("d")});
    *out_work = (struct txn_work){
        .id = {7, 2, 9},
        .mark = 8,
        .time_ms = 0x0a0b,
        .flags = TXN_STRICT | TXN_IS_EFFECTS,
        .participant_count = 2,
        .compare_count = 1,
        .participants = bytes_of(groups, sizeof groups),
        .compares = buf_bytes(compares),
        .body = buf_bytes(effects),
    };
}

TEST(work_golden_and_back)
{
    struct txn_work work;
    struct txn_work back;
    struct buf compares;
    struct buf effects;
    struct buf out;
    make_work(&work, &compares, &effects);
    buf_init(&out, 1024);
    txn_work_append(&out, &work);
    CHECK_BYTES(buf_bytes(&out), bytes_of(golden_work, sizeof golden_work));
    CHECK_EQ(txn_work_read(buf_bytes(&out), &back), STATUS_OK);
    CHECK_EQ(back.id.node, 7u);
    CHECK_EQ(back.id.incarnation, 2u);
    CHECK_EQ(back.id.sequence, 9u);
    CHECK_EQ(back.mark, 8u);
    CHECK_EQ(back.time_ms, 0x0a0bu);
    CHECK_EQ(back.flags, work.flags);
    CHECK_BYTES(back.participants, work.participants);
    CHECK_BYTES(back.compares, work.compares);
    CHECK_BYTES(back.body, work.body);
    struct txn_compare compare;
    CHECK_EQ(txn_compare_take(&back.compares, &compare), STATUS_OK);
    CHECK_EQ(compare.database, 15u);
    CHECK(compare.is_watched);
    CHECK_EQ(compare.version, 0x010203040506u);
    CHECK_EQ(txn_compare_take(&back.compares, &compare), STATUS_MALFORMED);
    buf_deinit(&compares);
    buf_deinit(&effects);
    buf_deinit(&out);
}

/* A copy that was sent later has another mark; everything else makes another content (TXN-11). */
TEST(hash_is_of_all_but_the_mark)
{
    struct txn_work work;
    struct buf compares;
    struct buf effects;
    make_work(&work, &compares, &effects);
    uint64_t hash = txn_work_hash(&work);
    struct txn_work changed = work;
    changed.mark = 77;
    CHECK_EQ(txn_work_hash(&changed), hash);
    changed = work;
    changed.time_ms++;
    CHECK(txn_work_hash(&changed) != hash);
    changed = work;
    changed.flags = TXN_IS_EFFECTS;
    CHECK(txn_work_hash(&changed) != hash);
    changed = work;
    changed.body.size--;
    CHECK(txn_work_hash(&changed) != hash);
    changed = work;
    changed.compares.size--;
    CHECK(txn_work_hash(&changed) != hash);
    buf_deinit(&compares);
    buf_deinit(&effects);
}

TEST(commands_in_a_body)
{
    struct buf body;
    struct buf out;
    struct txn_work back;
    struct bytes args[] = {bytes_of_text("key"), bytes_of_text("value")};
    struct entry_command c = {.id = COMMAND_ID_SET, .semantics = 1, .resp = 2, .arg_count = 2};
    buf_init(&body, 1024);
    buf_init(&out, 1024);
    entry_append(&body, &c, args);
    entry_append(&body, &c, args);
    struct txn_work work = {.command_count = 2, .body = buf_bytes(&body)};
    txn_work_append(&out, &work);
    CHECK_EQ(txn_work_read(buf_bytes(&out), &back), STATUS_OK);
    CHECK_EQ(back.command_count, 2u);
    for (uint32_t count = 0; count < 4; count++) {
        buf_clear(&out, SIZE_MAX);
        work.command_count = count;
        txn_work_append(&out, &work);
        CHECK_EQ(txn_work_read(buf_bytes(&out), &back) == STATUS_OK, count == 2);
    }
    buf_deinit(&body);
    buf_deinit(&out);
}

TEST(order_golden_and_back)
{
    struct buf out;
    struct txn_order back;
    buf_init(&out, 256);
    txn_order_append(&out, &(struct txn_order){.id = {7, 2, 9}, .mark = 8});
    CHECK_BYTES(buf_bytes(&out), bytes_of(golden_order, sizeof golden_order));
    CHECK_EQ(txn_order_read(buf_bytes(&out), &back), STATUS_OK);
    CHECK_EQ(back.id.sequence, 9u);
    CHECK_EQ(back.mark, 8u);
    for (size_t size = 0; size < sizeof golden_order; size++) {
        CHECK_EQ(txn_order_read(bytes_of(golden_order, size), &back), STATUS_MALFORMED);
    }
    out.data[4] = 0; /* no incarnation */
    CHECK_EQ(txn_order_read(buf_bytes(&out), &back), STATUS_MALFORMED);
    buf_deinit(&out);
}

TEST(keys_one_after_the_other)
{
    static const uint8_t golden[] = {15, 0, 0, 0, 2, 0, 0, 0, 'a', 'b', 0, 0, 0, 0, 0, 0, 0, 0};
    struct buf out;
    struct txn_key key;
    buf_init(&out, 256);
    txn_key_append(&out, &(struct txn_key){15, bytes_of_text("ab")});
    txn_key_append(&out, &(struct txn_key){0, bytes_of_text("")});
    CHECK_BYTES(buf_bytes(&out), bytes_of(golden, sizeof golden));
    struct bytes rest = buf_bytes(&out);
    CHECK_EQ(txn_key_take(&rest, &key), STATUS_OK);
    CHECK_EQ(key.database, 15u);
    CHECK_BYTES(key.key, bytes_of_text("ab"));
    CHECK_EQ(txn_key_take(&rest, &key), STATUS_OK);
    CHECK_EQ(key.key.size, 0u);
    CHECK_EQ(txn_key_take(&rest, &key), STATUS_MALFORMED);
    buf_deinit(&out);
}

TEST(answer_golden_and_back)
{
    static const uint8_t version[] = {1, 2, 0, 0, 0, 0, 0, 0};
    struct buf out;
    struct buf rows;
    struct txn_answer back;
    buf_init(&out, 256);
    buf_init(&rows, 256);
    txn_row_append(&rows, (struct bytes){0});
    txn_answer_append(&out,
                      &(struct txn_answer){
                          .state = TXN_STATE_COMMITTED,
                          .is_watched = true,
                          .prepared = 4,
                          .reply_count = 1,
                          .replies = bytes_of_text("+OK\r\n"),
                          .versions = bytes_of(version, sizeof version),
                          .rows = buf_bytes(&rows),
                      });
    CHECK_BYTES(buf_bytes(&out), bytes_of(golden_answer, sizeof golden_answer));
    CHECK_EQ(txn_answer_read(buf_bytes(&out), &back), STATUS_OK);
    CHECK_EQ(back.state, TXN_STATE_COMMITTED);
    CHECK_EQ(back.prepared, 4u);
    CHECK_BYTES(back.replies, bytes_of_text("+OK\r\n"));
    CHECK_EQ(back.versions.size, 8u);
    CHECK_EQ(back.rows.size, 4u);
    buf_deinit(&out);
    buf_deinit(&rows);
}

TEST(every_cut_is_refused)
{
    struct txn_work work;
    struct txn_answer answer;
    for (size_t size = 0; size < sizeof golden_work; size++) {
        uint8_t *copy = mem_alloc(size + 1);
        memcpy(copy, golden_work, size);
        /* Without its only effect it is work, too, that does nothing. */
        bool is_work = size == sizeof golden_work - 13;
        CHECK_EQ(txn_work_read(bytes_of(copy, size), &work) == STATUS_OK, is_work);
        mem_free(copy);
    }
    for (size_t size = 0; size < sizeof golden_answer; size++) {
        uint8_t *copy = mem_alloc(size + 1);
        memcpy(copy, golden_answer, size);
        CHECK_EQ(txn_answer_read(bytes_of(copy, size), &answer), STATUS_MALFORMED);
        mem_free(copy);
    }
}

TEST(contradictions_are_refused)
{
    static const struct {
        size_t at;
        uint8_t value;
    } cases[] = {
        {32, 8}, /* unknown flag */
        {32, 1}, /* effects, and said to be commands */
        {36, 3}, /* more participants than there are */
        {39, 255},
        {40, 0}, /* fewer compares */
        {44, 255},
        {48, 1},  /* effects and commands */
        {52, 1},  /* zeros */
        {56, 17}, /* participants not ascending, with the next one 0x0110 */
        {60, 16}, /* database */
        {61, 2},
    };
    struct txn_work work;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t copy[sizeof golden_work];
        memcpy(copy, golden_work, sizeof copy);
        copy[57] = cases[i].at == 56 ? 1 : 0;
        copy[cases[i].at] = cases[i].value;
        CHECK_EQ(txn_work_read(bytes_of(copy, sizeof copy), &work), STATUS_MALFORMED);
    }
}
