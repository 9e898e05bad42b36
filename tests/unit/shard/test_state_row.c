/* The row that says how far a group's state goes: its bytes, and everything that is not one. */
#include "base/endian.h"
#include "harness.h"
#include "shard/state_row.h"

#define INDEX 0x0102030405060708u
#define CONFIG_INDEX 0x0102030405060701u
#define ROW_BYTES 48u

#define DATABASE_BYTES 24u

static const struct state_row some_row = {
    .base =
        {
            .index = INDEX,
            .term = 9,
            .config = {.index = CONFIG_INDEX, .count = 2, .members = {{0x10001, true}, {2, false}}},
        },
    .time_ms = 0x1122334455667788,
    .operations = 0x0a0b,
    .databases[2] = {.epoch = 0x01020304, .soonest_ms = 5},
    .databases[15] = {.keys = 0x0807060504030201, .expiring = 0x0706050403020100},
};

static const uint8_t golden[] = {
    2,    2,    0,    0,    0,    0,    0,    0,       /* version, databases, zeros */
    0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01,    /* index */
    9,    0,    0,    0,    0,    0,    0,    0,       /* term */
    0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,    /* group time */
    0x0b, 0x0a, 0,    0,    0,    0,    0,    0,       /* operations */
    0x01, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01,    /* index of the configuration */
    2,    0,    0,    0,    0x04, 0x03, 0x02, 0x01,    /* database, epoch */
    0,    0,    0,    0,    0,    0,    0,    0,       /* keys */
    0,    0,    0,    0,    0,    0,    0,    0,       /* of them: expiring */
    15,   0,    0,    0,    0,    0,    0,    0,       /* the next one */
    0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08,    /**/
    0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07,    /**/
    1,    2,                                           /* configuration: version, members */
    0x01, 0x00, 0x01, 0,    0,    0,    0,    0,    1, /* id, votes */
    0x02, 0,    0,    0,    0,    0,    0,    0,    0,
};

static enum status decode(struct bytes value)
{
    struct state_row row = {.base.index = 77, .time_ms = 78, .operations = 79};
    enum status s = state_row_decode(value, &row);
    CHECK_EQ(s == STATUS_OK, row.base.index != 77); /* outputs are untouched by a refusal */
    CHECK_EQ(s == STATUS_OK, row.time_ms != 78);
    CHECK_EQ(s == STATUS_OK, row.operations != 79);
    return s;
}

TEST(golden_and_back)
{
    struct buf out;
    buf_init(&out, 256);
    state_row_encode(&out, &some_row);
    CHECK_BYTES(buf_bytes(&out), bytes_of(golden, sizeof golden));
    struct state_row row;
    CHECK_EQ(state_row_decode(buf_bytes(&out), &row), STATUS_OK);
    const struct engine_config *config = &row.base.config;
    CHECK_EQ(row.base.index, INDEX);
    CHECK_EQ(row.base.term, 9u);
    CHECK_EQ(row.time_ms, 0x1122334455667788u);
    CHECK_EQ(row.operations, 0x0a0bu);
    CHECK_EQ(config->index, CONFIG_INDEX);
    CHECK_EQ(config->count, 2u);
    CHECK_EQ(config->members[0].id, 0x10001u);
    CHECK(config->members[0].is_voter);
    CHECK_EQ(config->members[1].id, 2u);
    CHECK(!config->members[1].is_voter);
    for (unsigned i = 0; i < LIMIT_DATABASES; i++) {
        CHECK_EQ(row.databases[i].epoch, some_row.databases[i].epoch);
        CHECK_EQ(row.databases[i].keys, some_row.databases[i].keys);
        CHECK_EQ(row.databases[i].expiring, some_row.databases[i].expiring);
        CHECK_EQ(row.databases[i].soonest_ms, 0u); /* of one replica: not in the row */
    }
    buf_deinit(&out);
}

TEST(without_a_configuration)
{
    struct buf out;
    buf_init(&out, 256);
    struct state_row row = {.base = {.index = 3, .term = 2}};
    state_row_encode(&out, &row);
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
    static const uint8_t others[] = {0, 1, 3};
    for (size_t i = 0; i < sizeof others; i++) {
        bytes[0] = others[i];
        CHECK_EQ(decode(bytes_of(bytes, sizeof bytes)), STATUS_UNSUPPORTED);
    }
    bytes[0] = 2;
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
    bytes[ROW_BYTES + 2 * DATABASE_BYTES + 10] = 2; /* neither votes nor does not */
    CHECK_EQ(decode(bytes_of(bytes, sizeof bytes)), STATUS_CORRUPT);
}

/* Equal states have equal bytes, so each is there once, in order, and none for nothing. */
TEST(databases_that_cannot_be)
{
    static const struct {
        size_t at;
        uint8_t byte;
    } cases[] = {
        {1, 1},                                  /* one fewer than there are */
        {1, 3},                                  /* one more */
        {1, 255},                                /* more than fit */
        {ROW_BYTES, 15},                         /* the same twice */
        {ROW_BYTES + DATABASE_BYTES, 1},         /* not in order */
        {ROW_BYTES + DATABASE_BYTES, 16},        /* no such database */
        {ROW_BYTES + 1, 1},                      /* no zero */
        {ROW_BYTES + DATABASE_BYTES + 3, 1},     /* no zero */
        {ROW_BYTES + DATABASE_BYTES + 23, 0x09}, /* more with an expiry than there are */
    };
    uint8_t bytes[sizeof golden];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        memcpy(bytes, golden, sizeof bytes);
        bytes[cases[i].at] = cases[i].byte;
        CHECK_EQ(decode(bytes_of(bytes, sizeof bytes)), STATUS_CORRUPT);
    }
    memcpy(bytes, golden, sizeof bytes);
    put_u32_le(bytes + ROW_BYTES + 4, 0); /* as at the beginning */
    CHECK_EQ(decode(bytes_of(bytes, sizeof bytes)), STATUS_CORRUPT);
}
