#include "consensus/message.h"
#include "node/founding_world.h"

TEST(three_form)
{
    world_init(3);
    settle();
    CHECK_EQ(world.formed, 3u);
    CHECK_EQ(world.refused, 0u);
    CHECK_EQ(world.warnings, 0u);
    CHECK_EQ(world.formed_list_count, 1u);
    for (uint32_t number = 2; number <= 3; number++) {
        CHECK(identity_id_is_set(site_of(number)->disk.cluster));
        CHECK_BYTES(bytes_of(site_of(number)->disk.cluster, IDENTITY_ID_BYTES),
                    bytes_of(site_of(1)->disk.cluster, IDENTITY_ID_BYTES));
    }
    /* By xxhsum -H2 of ids, list and groups: the same for every version that founds together. */
    static const uint8_t golden[IDENTITY_ID_BYTES] = {0xdb,
                                                      0x77,
                                                      0x3a,
                                                      0x74,
                                                      0x53,
                                                      0x81,
                                                      0x4f,
                                                      0xe4,
                                                      0xb8,
                                                      0xec,
                                                      0xe6,
                                                      0xe2,
                                                      0x4b,
                                                      0xd0,
                                                      0x2b,
                                                      0xdd};
    CHECK_BYTES(bytes_of(site_of(1)->disk.cluster, IDENTITY_ID_BYTES),
                bytes_of(golden, sizeof(golden)));
    crash(1);
    start(1);
    CHECK(founding_is_formed(&site_of(1)->founding));
    CHECK_EQ(world.formed, 3u);
}

TEST(two_of_three_wait)
{
    world_init(3);
    start(1);
    start(2);
    for (unsigned i = 0; i < 5; i++) {
        founding_connected(&site_of(1)->founding, 2);
        founding_tick(&site_of(2)->founding);
        for (size_t l = 0; l < world.letter_count; l++) {
            deliver_judged(&world.letters[l], 1);
            deliver_judged(&world.letters[l], 2);
        }
    }
    CHECK_EQ(formed_count(), 0u);
    settle();
    CHECK_EQ(formed_count(), 3u);
}

/* A founder whose disk is full hears, but says nothing of it; it is told again. */
TEST(full_disk_waits)
{
    world_init(2);
    start(1);
    start(2);
    world.store_outcome = STORE_FULL;
    for (unsigned i = 0; i < 3; i++) {
        founding_tick(&site_of(2)->founding);
        for (size_t l = 0; l < world.letter_count; l++) {
            deliver_judged(&world.letters[l], 1);
        }
    }
    CHECK(site_of(1)->is_up);
    CHECK(!identity_id_is_set(site_of(1)->disk.members[1]));
    CHECK_EQ(formed_count(), 0u);
    world.store_outcome = STORE_GOOD;
    founding_tick(&site_of(2)->founding);
    settle();
    CHECK_EQ(formed_count(), 2u);
    CHECK_EQ(world.refused, 0u);
}

/* The other one has formed by then: it goes on telling. */
TEST(full_disk_when_forming)
{
    world_init(2);
    start(1);
    start(2);
    founding_tick(&site_of(2)->founding);
    deliver_judged(&world.letters[world.letter_count - 1], 1);
    founding_tick(&site_of(1)->founding);
    deliver_judged(&world.letters[world.letter_count - 1], 2);
    CHECK(founding_is_formed(&site_of(2)->founding));
    world.store_outcome = STORE_FULL;
    founding_tick(&site_of(2)->founding);
    for (size_t l = 0; l < world.letter_count; l++) {
        deliver_judged(&world.letters[l], 1);
    }
    CHECK(site_of(1)->is_up);
    CHECK(!founding_is_formed(&site_of(1)->founding));
    settle();
    CHECK_EQ(formed_count(), 2u);
}

/* The list's digest is by xxhsum -H2. */
/* clang-format off */
static const uint8_t golden_message[] = {
    6, 0, 3, 0,                                     /* kind, not formed, founders */
    4, 0, 0, 0,                                     /* groups */
    0x5f, 0x60, 0xbb, 0xda, 0x05, 0x78, 0x5a, 0x86, /* digest of the list */
    0xee, 0x33, 0xd6, 0xcd, 0x80, 0x82, 0xeb, 0xb1,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* cluster id */
    1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* members */
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
};
/* clang-format on */

TEST(golden_bytes)
{
    world_init(3);
    start(1);
    founding_connected(&site_of(1)->founding, 2);
    CHECK_EQ(world.letter_count, 1u);
    CHECK_EQ(golden_message[0], MESSAGE_FOUNDING);
    CHECK_BYTES(bytes_of(world.letters[0].bytes, world.letters[0].size),
                bytes_of(golden_message, sizeof(golden_message)));
}

/* Every length, and every value of every byte of the head: refused or harmless, never more. */
TEST(broken_messages)
{
    world_init(3);
    start(1);
    start(2);
    founding_connected(&site_of(1)->founding, 2);
    struct letter good = world.letters[0];
    for (size_t size = 0; size < good.size; size++) {
        struct letter cut = good;
        cut.size = size;
        deliver(&cut, 2);
        CHECK(!identity_id_is_set(site_of(2)->disk.members[0]));
    }
    for (size_t bit = 0; bit < 40 * 8; bit++) {
        struct letter bad = good;
        bad.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        deliver(&bad, 2);
        CHECK(!identity_id_is_set(site_of(2)->disk.members[0]));
    }
    CHECK_EQ(world.warnings, 1u);
    CHECK_EQ(world.refused, 0u);
    founding_received(&site_of(2)->founding, 0, bytes_of(good.bytes, good.size));
    founding_received(&site_of(2)->founding, 2, bytes_of(good.bytes, good.size));
    founding_received(&site_of(2)->founding, 4, bytes_of(good.bytes, good.size));
    deliver(&good, 2);
    CHECK(identity_id_is_set(site_of(2)->disk.members[0]));
}

TEST(other_list_or_groups)
{
    world_init(3);
    start(1);
    start_with(2, "a:1,b:1,d:1", 4);
    start_with(3, "a:1,b:1,c:1", 5);
    founding_tick(&site_of(2)->founding);
    deliver_judged(&world.letters[0], 1);
    CHECK(strstr(world.warning, "founder 2 has another --cluster list") != NULL);
    founding_tick(&site_of(3)->founding);
    deliver_judged(&world.letters[1], 1);
    CHECK(strstr(world.warning, "founder 3 has --groups 5, this one 4") != NULL);
    CHECK_EQ(world.warnings, 2u);
    CHECK_EQ(world.refused, 0u);
    /* Nothing was recorded, so the two may start over. */
    wipe(2);
    wipe(3);
    settle();
    CHECK_EQ(formed_count(), 3u);
}

static void check_refusal(const char *says)
{
    CHECK(strstr(world.refusal, says) != NULL);
    CHECK(strstr(world.refusal, "--join") != NULL);
}

TEST(emptied_before_formed)
{
    world_init(3);
    start(1);
    start(2);
    founding_connected(&site_of(1)->founding, 2);
    deliver_judged(&world.letters[0], 2);
    wipe(1);
    settle();
    CHECK_EQ(formed_count(), 0u);
    CHECK(world.refused > 0);
    CHECK(!site_of(1)->is_up);
    check_refusal("founder 2");
    CHECK(strstr(world.refusal, "empty the directories of all founders") != NULL);
    wipe(1);
    wipe(2);
    wipe(3);
    settle();
    CHECK_EQ(formed_count(), 3u);
}

TEST(emptied_after_formed)
{
    world_init(3);
    settle();
    wipe(3);
    settle();
    CHECK_EQ(world.refused, 1u);
    CHECK(!site_of(3)->is_up);
    CHECK(!site_of(3)->disk.is_formed);
    check_refusal("founder 1 refuses this node: the cluster is formed; this directory is new");
    /* Also if its message came through, it learns so. */
    world.letter_count = 0;
    start(3);
    founding_connected(&site_of(3)->founding, 1);
    deliver(&world.letters[0], 1);
    CHECK_EQ(world.letter_count, 2u);
    deliver(&world.letters[1], 3);
    CHECK(!site_of(3)->is_up);
    check_refusal("not part of it");
}

/* One forms while the others' last words are lost, and one of them never comes back. */
TEST(adopts_while_a_founder_is_down)
{
    world_init(3);
    start(1);
    start(2);
    start(3);
    while (formed_count() == 0) {
        for (uint32_t number = 1; number <= 3; number++) {
            founding_tick(&site_of(number)->founding);
        }
        for (size_t i = 0; i < world.letter_count && formed_count() == 0; i++) {
            for (uint32_t number = 1; number <= 3 && formed_count() == 0; number++) {
                deliver_judged(&world.letters[i], number);
            }
        }
    }
    uint32_t first = site_of(1)->disk.is_formed ? 1 : site_of(2)->disk.is_formed ? 2 : 3;
    uint32_t other = first % 3 + 1;
    wipe(other % 3 + 1);
    crash(other);
    start(other);
    world.letter_count = 0;
    founding_tick(&site_of(other)->founding);
    deliver_judged(&world.letters[0], first);
    deliver_judged(&world.letters[world.letter_count - 1], other);
    CHECK(site_of(other)->disk.is_formed);
    CHECK_EQ(world.refused, 0u);
}

/* A directory that was put back from a copy has forgotten what it said, and may have voted. */
TEST(restored_copy)
{
    world_init(3);
    start(2);
    struct identity old = site_of(2)->disk;
    settle();
    crash(2);
    site_of(2)->disk = old;
    world.letter_count = 0;
    start(2);
    founding_tick(&site_of(2)->founding);
    deliver_judged(&world.letters[0], 1);
    CHECK_EQ(world.letter_count, 2u);
    const struct letter *answer = &world.letters[1];
    world.is_restored = true;
    deliver_judged(answer, 2);
    CHECK_EQ(world.refused, 1u);
    CHECK(!site_of(2)->disk.is_formed);
    CHECK(!founding_is_formed(&site_of(2)->founding));
    check_refusal("restored from an older copy");
}

/* Who is refused for another founder's mistake goes on. */
TEST(only_final_refusals_stop)
{
    world_init(3);
    start(1);
    founding_refused(&site_of(1)->founding, 2, "another number of nodes");
    CHECK(site_of(1)->is_up);
    CHECK_TEXT(world.warning, "founder 2 refuses this node: another number of nodes");
    founding_refused(&site_of(1)->founding, 3, "use --join, said nobody");
    CHECK_EQ(world.warnings, 2u);
    founding_refused(&site_of(1)->founding, 3, "this directory is new: use --join");
    CHECK(!site_of(1)->is_up);
    CHECK_EQ(world.refused, 1u);
    struct peer_hello hello = {.number = 2, .node_id = {1}};
    const char *reason = NULL;
    CHECK(!founding_judge(&site_of(1)->founding, &hello, &reason));
    CHECK(strstr(reason, "--join") == NULL);
    founding_received(&site_of(1)->founding, 2, bytes_of_text("6"));
    founding_tick(&site_of(1)->founding);
    CHECK_EQ(world.letter_count, 0u);
    CHECK_EQ(world.warnings, 2u);
}

static bool judge(uint32_t number, uint8_t id, uint8_t cluster_of, const char *says)
{
    struct peer_hello hello = {.number = number};
    memset(hello.node_id, id, sizeof(hello.node_id));
    if (id >= 1 && id <= 3) {
        memcpy(hello.node_id, site_of(id)->disk.node, IDENTITY_ID_BYTES);
    }
    if (cluster_of == 1) {
        memcpy(hello.cluster_id, site_of(1)->disk.cluster, IDENTITY_ID_BYTES);
    } else {
        memset(hello.cluster_id, cluster_of, IDENTITY_ID_BYTES);
    }
    const char *reason = "";
    bool is_good = founding_judge(&site_of(1)->founding, &hello, &reason);
    CHECK(is_good || strstr(reason, says) != NULL);
    CHECK(strlen(reason) <= 200); /* more is cut on the wire */
    return is_good;
}

TEST(judge_of_a_formed_founder)
{
    world_init(3);
    settle();
    CHECK(judge(2, 2, 1, ""));
    CHECK(judge(2, 2, 0, ""));
    CHECK(!judge(2, 77, 0, "this directory is new: use --join"));
    CHECK(!judge(2, 77, 1, "another identity"));
    CHECK(!judge(2, 3, 1, "another identity"));
    CHECK(!judge(2, 2, 9, "another cluster"));
    CHECK(!judge(1, 2, 1, "number 1"));
    CHECK(!judge(0, 2, 1, "number 0"));
    CHECK(!judge(4, 2, 1, "number 4"));
    CHECK(!judge(2, 0, 1, "no identity"));
}

TEST(judge_of_a_new_founder)
{
    world_init(3);
    start(1);
    start(2);
    CHECK(judge(2, 77, 0, ""));
    CHECK(judge(2, 2, 9, ""));
    founding_connected(&site_of(2)->founding, 1);
    deliver(&world.letters[0], 1);
    CHECK(judge(2, 2, 0, ""));
    CHECK(!judge(2, 77, 0, "founder 2 was heard with another identity before"));
    CHECK(!judge(2, 77, 9, "founder 2 was heard with another identity before"));
}

/* Behind a judge that knew nothing yet: neither recorded nor worth a word. */
TEST(late_word_of_an_emptied_founder)
{
    world_init(3);
    start(1);
    start(2);
    founding_connected(&site_of(2)->founding, 1);
    wipe(2);
    start(2);
    founding_connected(&site_of(2)->founding, 1);
    deliver(&world.letters[1], 1);
    deliver(&world.letters[0], 1);
    CHECK_EQ(world.warnings, 0u);
    CHECK_BYTES(bytes_of(site_of(1)->disk.members[1], IDENTITY_ID_BYTES),
                bytes_of(site_of(2)->disk.node, IDENTITY_ID_BYTES));
}

TEST(copied_directory)
{
    world_init(3);
    start(1);
    founding_connected(&site_of(1)->founding, 2);
    struct letter letter = world.letters[0];
    letter.hello.number = 2;
    memcpy(letter.bytes + 56, letter.bytes + 40, IDENTITY_ID_BYTES);
    memset(letter.bytes + 40, 0, IDENTITY_ID_BYTES);
    deliver(&letter, 1);
    CHECK(strstr(world.warning, "founders 1 and 2 have the same identity") != NULL);
    CHECK(!identity_id_is_set(site_of(1)->disk.members[1]));
}
