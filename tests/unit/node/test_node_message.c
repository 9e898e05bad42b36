#include "fake_env.h"
#include "harness.h"
#include "node/node_message.h"

static const uint8_t golden[NODE_MESSAGE_BYTES] = {7, 1, 0, 0, 0x04, 0x03, 0x02, 0x01};

TEST(golden_and_back)
{
    struct node_message in = {.is_full = true, .life = 0x01020304};
    struct node_message out = {0};
    uint8_t bytes[NODE_MESSAGE_BYTES];
    node_message_encode(&in, bytes);
    CHECK_BYTES(bytes_of(bytes, sizeof bytes), bytes_of(golden, sizeof golden));
    CHECK_EQ(node_message_decode(bytes_of(bytes, sizeof bytes), &out), STATUS_OK);
    CHECK_EQ(out.is_full, true);
    CHECK_EQ(out.life, in.life);

    in = (struct node_message){0};
    node_message_encode(&in, bytes);
    CHECK_EQ(bytes[1], 0u);
    CHECK_EQ(node_message_decode(bytes_of(bytes, sizeof bytes), &out), STATUS_OK);
    CHECK_EQ(out.is_full, false);
    CHECK_EQ(out.life, 0u);
}

TEST(malformed)
{
    struct node_message out = {.life = 42};
    uint8_t bytes[NODE_MESSAGE_BYTES + 1] = {0};
    memcpy(bytes, golden, sizeof golden);
    for (size_t size = 0; size <= sizeof bytes; size++) {
        enum status wanted = size == NODE_MESSAGE_BYTES ? STATUS_OK : STATUS_MALFORMED;
        out.life = 42;
        CHECK_EQ(node_message_decode(bytes_of(bytes, size), &out), wanted);
        CHECK_EQ(out.life, wanted == STATUS_OK ? 0x01020304u : 42u);
    }
    for (size_t at = 2; at < 4; at++) {
        memcpy(bytes, golden, sizeof golden);
        bytes[at] = 1;
        CHECK_EQ(node_message_decode(bytes_of(bytes, sizeof golden), &out), STATUS_MALFORMED);
    }
    memcpy(bytes, golden, sizeof golden);
    bytes[0] = 6;
    CHECK_EQ(node_message_decode(bytes_of(bytes, sizeof golden), &out), STATUS_MALFORMED);
    /* What a newer node may add. */
    bytes[0] = 7;
    bytes[1] = 0xfe;
    CHECK_EQ(node_message_decode(bytes_of(bytes, sizeof golden), &out), STATUS_OK);
    CHECK_EQ(out.is_full, false);
}

/* A directory that was restored from a copy says an older life: its replicas are not the members.
 */
TEST(newest_life_counts)
{
    struct node_fact f = {0};
    node_fact_hear(&f, &(struct node_message){.life = 3, .is_full = true});
    CHECK_EQ(f.life, 3u);
    CHECK_EQ(f.is_full, true);
    CHECK_EQ(f.is_heard, true);
    node_fact_hear(&f, &(struct node_message){.life = 2});
    CHECK_EQ(f.life, 3u);
    CHECK_EQ(f.is_full, false);
    node_fact_hear(&f, &(struct node_message){.life = 4, .is_full = true});
    CHECK_EQ(f.life, 4u);
    /* A node that is away holds nobody up; its life is not forgotten. */
    node_fact_disconnect(&f);
    CHECK_EQ(f.life, 4u);
    CHECK_EQ(f.is_full, false);
}
