/* Bytes of GROUP and INSTALL records. */
#include "consensus/replica_parts.h"
#include "harness.h"

static const uint8_t golden[] = {
    1,    0,    0, 0,                /* version */
    7,    0,    0, 0,                /* generation */
    3,    0,    2, 0, 0, 0, 0, 0,    /* replica: node 3, life 2 */
    0x39, 0x30, 0, 0, 0, 0, 0, 0,    /* index */
    0x0a, 0,    0, 0, 0, 0, 0, 0,    /* term */
    0x11, 0,    0, 0, 0, 0, 0, 0,    /* index of the configuration */
    1,    2,                         /* it: version, count */
    1,    0,    0, 0, 0, 0, 0, 0, 1, /* a voter */
    3,    0,    2, 0, 0, 0, 0, 0, 0, /* a learner */
};

static struct group_record golden_record(void)
{
    return (struct group_record){
        .generation = 7,
        .replica_id = replica_id_of(3, 2),
        .base =
            {
                .index = 12345,
                .term = 10,
                .config = {.index = 17,
                           .count = 2,
                           .members = {{.id = 1, .is_voter = true}, {.id = replica_id_of(3, 2)}}},
            },
    };
}

TEST(golden_bytes_and_back)
{
    struct group_record g = golden_record();
    struct buf out;
    buf_init(&out, KIB);
    group_record_encode(&g, &out);
    CHECK_BYTES(buf_bytes(&out), bytes_of(golden, sizeof golden));
    struct group_record back;
    CHECK_EQ(group_record_decode(buf_bytes(&out), &back), STATUS_OK);
    CHECK_EQ(back.generation, g.generation);
    CHECK_EQ(back.replica_id, g.replica_id);
    CHECK_EQ(back.base.index, g.base.index);
    CHECK_EQ(back.base.term, g.base.term);
    CHECK_EQ(back.base.config.index, g.base.config.index);
    CHECK_EQ(back.base.config.count, 2u);
    CHECK(back.base.config.members[0].is_voter);
    CHECK_EQ(back.base.config.members[1].id, replica_id_of(3, 2));
    buf_deinit(&out);
}

/* A group that has no state yet: no configuration behind. */
TEST(golden_bytes_of_no_state)
{
    struct group_record g = {.generation = 1, .replica_id = 2};
    uint8_t bytes[GROUP_RECORD_BYTES] = {1, 0, 0, 0, 1, 0, 0, 0, 2};
    struct buf out;
    buf_init(&out, KIB);
    group_record_encode(&g, &out);
    CHECK_BYTES(buf_bytes(&out), bytes_of(bytes, sizeof bytes));
    CHECK_EQ(group_record_decode(buf_bytes(&out), &g), STATUS_OK);
    CHECK_EQ(g.base.index, 0u);
    CHECK_EQ(g.base.config.count, 0u);
    buf_deinit(&out);
}

TEST(bad_bytes)
{
    static const struct {
        size_t at;
        uint8_t value;
        enum status status;
    } cases[] = {
        {0, 2, STATUS_UNSUPPORTED},
        {0, 0, STATUS_MALFORMED},
        {3, 1, STATUS_MALFORMED},
        {24, 0, STATUS_MALFORMED},    /* no term */
        {32, 0, STATUS_MALFORMED},    /* no configuration, and there is one */
        {33, 0x31, STATUS_MALFORMED}, /* a configuration behind the state */
        {40, 9, STATUS_MALFORMED},
        {41, 3, STATUS_MALFORMED},
    };
    struct group_record g;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t bytes[sizeof golden];
        memcpy(bytes, golden, sizeof golden);
        bytes[cases[i].at] = cases[i].value;
        CHECK_EQ(group_record_decode(bytes_of(bytes, sizeof bytes), &g), cases[i].status);
    }
    for (size_t size = 0; size < sizeof golden; size++) {
        CHECK_EQ(group_record_decode(bytes_of(golden, size), &g), STATUS_MALFORMED);
    }
    uint8_t longer[GROUP_RECORD_BYTES + 1] = {1, 0, 0, 0, 1, 0, 0, 0, 2};
    CHECK_EQ(group_record_decode(bytes_of(longer, sizeof longer), &g), STATUS_MALFORMED);
}
