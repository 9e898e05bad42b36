/* The row that says how far a group's state goes: its bytes, and everything that is not one. */
#include "base/endian.h"
#include "harness.h"
#include "shard/state_row.h"

#define INDEX 0x0102030405060708u
#define CONFIG_INDEX 0x0102030405060701u
#define ROW_BYTES 48u

static const struct replica_base some_base = {
    .index = INDEX,
    .term = 9,
    .config = {.index = CONFIG_INDEX, .count = 2, .members = {{0x10001, true}, {2, false}}},
};

static const uint8_t golden[] = {
    1,    0,    0,    0,    0,    0,    0,    0,       /* version, zeros */
    0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01,    /* index */
    9,    0,    0,    0,    0,    0,    0,    0,       /* term */
    0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,    /* group time */
    0x0b, 0x0a, 0,    0,    0,    0,    0,    0,       /* operations */
    0x01, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01,    /* index of the configuration */
    1,    2,                                           /* it: version, members */
    0x01, 0x00, 0x01, 0,    0,    0,    0,    0,    1, /* id, votes */
    0x02, 0,    0,    0,    0,    0,    0,    0,    0,
};

static enum status decode(struct bytes value)
{
    struct replica_base base = {.index = 77};
    uint64_t time_ms = 78;
    uint64_t operations = 79;
    enum status s = state_row_decode(value, &base, &time_ms, &operations);
    CHECK_EQ(s == STATUS_OK, base.index != 77); /* outputs are untouched by a refusal */
    CHECK_EQ(s == STATUS_OK, time_ms != 78);
    CHECK_EQ(s == STATUS_OK, operations != 79);
    return s;
}

TEST(golden_and_back)
{
    struct buf out;
    buf_init(&out, 256);
    state_row_encode(&out, &some_base, 0x1122334455667788, 0x0a0b);
    CHECK_BYTES(buf_bytes(&out), bytes_of(golden, sizeof golden));
    struct replica_base base;
    uint64_t time_ms = 0;
    uint64_t operations = 0;
    CHECK_EQ(state_row_decode(buf_bytes(&out), &base, &time_ms, &operations), STATUS_OK);
    CHECK_EQ(base.index, some_base.index);
    CHECK_EQ(base.term, 9u);
    CHECK_EQ(time_ms, 0x1122334455667788u);
    CHECK_EQ(operations, 0x0a0bu);
    CHECK_EQ(base.config.index, CONFIG_INDEX);
    CHECK_EQ(base.config.count, 2u);
    CHECK_EQ(base.config.members[0].id, 0x10001u);
    CHECK(base.config.members[0].is_voter);
    CHECK_EQ(base.config.members[1].id, 2u);
    CHECK(!base.config.members[1].is_voter);
    buf_deinit(&out);
}

TEST(without_a_configuration)
{
    struct buf out;
    buf_init(&out, 256);
    struct replica_base base = {.index = 3, .term = 2};
    state_row_encode(&out, &base, 0, 0);
    CHECK_EQ(out.size, ROW_BYTES);
    CHECK_EQ(decode(buf_bytes(&out)), STATUS_OK);
    buf_append(&out, "", 1);
    CHECK_EQ(decode(buf_bytes(&out)), STATUS_CORRUPT);
    buf_deinit(&out);
}

/* MOVE-3: a later version may hold more than this program would carry on. */
TEST(other_versions_are_refused)
{
    uint8_t bytes[sizeof golden];
    memcpy(bytes, golden, sizeof bytes);
    bytes[0] = 2;
    CHECK_EQ(decode(bytes_of(bytes, sizeof bytes)), STATUS_UNSUPPORTED);
    bytes[0] = 0;
    CHECK_EQ(decode(bytes_of(bytes, sizeof bytes)), STATUS_UNSUPPORTED);
    bytes[0] = 1;
    bytes[7] = 1;
    CHECK_EQ(decode(bytes_of(bytes, sizeof bytes)), STATUS_CORRUPT);
}

TEST(not_such_a_row)
{
    for (size_t size = 0; size < sizeof golden; size++) {
        CHECK_EQ(decode(bytes_of(golden, size)), STATUS_CORRUPT);
    }
    static const size_t zeroed[] = {8, 16};
    uint8_t bytes[sizeof golden];
    for (size_t i = 0; i < 2; i++) {
        memcpy(bytes, golden, sizeof bytes);
        put_u64_le(bytes + zeroed[i], 0); /* no index, no term */
        CHECK_EQ(decode(bytes_of(bytes, sizeof bytes)), STATUS_CORRUPT);
    }
    memcpy(bytes, golden, sizeof bytes);
    put_u64_le(bytes + 40, INDEX + 1); /* a configuration that is not part of the state */
    CHECK_EQ(decode(bytes_of(bytes, sizeof bytes)), STATUS_CORRUPT);
    put_u64_le(bytes + 40, INDEX);
    CHECK_EQ(decode(bytes_of(bytes, sizeof bytes)), STATUS_OK);
    bytes[ROW_BYTES + 10] = 2; /* neither votes nor does not */
    CHECK_EQ(decode(bytes_of(bytes, sizeof bytes)), STATUS_CORRUPT);
}
