/* What a group remembers of a transaction: its bytes, and everything that is none. */
#include "base/endian.h"
#include "base/mem.h"
#include "harness.h"
#include "shard/txn_record.h"

static const uint8_t golden[] = {
    1,    0,    0,    0,    0,    0,    0,    0,              /* yes, zeros */
    0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01,           /* content */
    0x0b, 0x0a, 0,    0,    0,    0,    0,    0,              /* time */
    2,    0,    0,    0,                                      /* participants */
    2,    0,    0,    0,                                      /* locks */
    19,   0,    0,    0,                                      /* bytes of locks */
    5,    0,    0,    0,                                      /* bytes of the reply */
    3,    0,    16,   1,                                      /* groups 3 and 272 */
    15,   1,    0,    0,    2,    0,    0,    0,    'a', 'b', /* database, exclusive, zeros, key */
    0,    0,    0,    0,    1,    0,    0,    0,    'c',      /* database 0, shared */
    '+',  'O',  'K',  '\r', '\n', 'e',  'f',
};

static const uint8_t participants[] = {3, 0, 16, 1};

static void some_locks(struct buf *out)
{
    buf_init(out, 256);
    txn_lock_append(out, &(struct txn_lock){15, true, bytes_of_text("ab")});
    txn_lock_append(out, &(struct txn_lock){0, false, bytes_of_text("c")});
}

TEST(golden_and_back)
{
    struct buf locks;
    some_locks(&locks);
    struct txn_record record = {
        .state = TXN_STATE_YES,
        .content_hash = 0x0102030405060708,
        .time_ms = 0x0a0b,
        .participant_count = 2,
        .lock_count = 2,
        .participants = bytes_of(participants, sizeof participants),
        .locks = buf_bytes(&locks),
        .reply = bytes_of_text("+OK\r\n"),
        .effects = bytes_of_text("ef"),
    };
    uint8_t out[sizeof golden];
    CHECK_EQ(txn_record_size(&record), sizeof golden);
    txn_record_encode(&record, out);
    CHECK_BYTES(bytes_of(out, sizeof out), bytes_of(golden, sizeof golden));

    struct txn_record back;
    CHECK_EQ(txn_record_decode(bytes_of(golden, sizeof golden), &back), STATUS_OK);
    CHECK_EQ(back.state, TXN_STATE_YES);
    CHECK_EQ(back.content_hash, record.content_hash);
    CHECK_EQ(back.time_ms, record.time_ms);
    CHECK_EQ(back.participant_count, 2u);
    CHECK_EQ(back.lock_count, 2u);
    CHECK_BYTES(back.participants, record.participants);
    CHECK_BYTES(back.locks, record.locks);
    CHECK_BYTES(back.reply, record.reply);
    CHECK_BYTES(back.effects, record.effects);
    buf_deinit(&locks);
}

TEST(locks_one_after_the_other)
{
    struct buf locks;
    some_locks(&locks);
    struct bytes rest = buf_bytes(&locks);
    struct txn_lock lock;
    CHECK_EQ(txn_lock_take(&rest, &lock), STATUS_OK);
    CHECK_EQ(lock.database, 15u);
    CHECK(lock.is_exclusive);
    CHECK_BYTES(lock.key, bytes_of_text("ab"));
    CHECK_EQ(txn_lock_take(&rest, &lock), STATUS_OK);
    CHECK(!lock.is_exclusive);
    CHECK_BYTES(lock.key, bytes_of_text("c"));
    CHECK_EQ(txn_lock_take(&rest, &lock), STATUS_MALFORMED);
    buf_deinit(&locks);
}

TEST(every_cut_is_no_record)
{
    struct txn_record back;
    for (size_t size = 0; size < sizeof golden; size++) {
        uint8_t *copy = mem_alloc(size + 1); /* so that a read behind it is seen */
        memcpy(copy, golden, size);
        /* What is cut off the effects only is a record, with shorter effects. */
        bool is_record = size >= sizeof golden - 2;
        CHECK_EQ(txn_record_decode(bytes_of(copy, size), &back) == STATUS_OK, is_record);
        mem_free(copy);
    }
}

/* One byte changed so that it contradicts the rest. */
TEST(contradictions_are_refused)
{
    static const struct {
        size_t at;
        uint8_t value;
        const char *why;
    } cases[] = {
        {0, TXN_STATE_NONE, "no state of a record"},
        {0, TXN_STATE_FINISHED, "no state of a record"},
        {0, 255, "unknown state"},
        {0, TXN_STATE_COMMITTED, "committed, and still locked"},
        {0, TXN_STATE_NO_VOTE, "a tombstone with content"},
        {1, 1, "zeros"},
        {24, 0, "prepared by nobody"},
        {24, 3, "more participants than bytes"},
        {27, 255, "far more"},
        {28, 1, "fewer locks than bytes"},
        {28, 3, "more locks than bytes"},
        {32, 255, "more bytes than there are"},
        {36, 255, "more bytes than there are"},
        {40, 17, "equal or descending participants"},
        {44, 16, "unknown database"},
        {45, 2, "neither shared nor exclusive"},
        {46, 1, "zeros of a lock"},
        {48, 200, "key behind the end"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t copy[sizeof golden];
        struct txn_record back;
        memcpy(copy, golden, sizeof copy);
        if (cases[i].at == 40) {
            copy[41] = 1; /* 0x0111 before 0x0110 */
        }
        copy[cases[i].at] = cases[i].value;
        bool is_refused = txn_record_decode(bytes_of(copy, sizeof copy), &back) == STATUS_CORRUPT;
        CHECK_TEXT(is_refused ? "" : cases[i].why, "");
    }
}
