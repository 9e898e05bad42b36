#include "fake_env.h"
#include "harness.h"
#include "node/node_members.h"

static struct engine_config config_of(unsigned count, const struct engine_member *members)
{
    struct engine_config config = {.index = 9, .count = count};
    for (unsigned i = 0; i < count; i++) {
        config.members[i] = members[i];
    }
    return config;
}

static struct engine_member member(uint32_t node, uint32_t life, bool is_voter)
{
    return (struct engine_member){.id = replica_id_of(node, life), .is_voter = is_voter};
}

static const uint32_t nodes[] = {2, 3, 1}; /* in the order of placement, not of the ids */

TEST(nothing_to_do)
{
    struct engine_member members[] = {member(1, 0, true), member(2, 0, true), member(3, 0, true)};
    struct engine_config now = config_of(3, members);
    uint32_t lives[4] = {0, 0, 0, 9}; /* node 4 holds none of this group */
    uint64_t ids[3] = {0};
    CHECK_EQ(node_members_wished(&now, nodes, 3, lives, ids), false);
    CHECK_EQ(ids[0], 2u);
    CHECK_EQ(ids[1], 3u);
    CHECK_EQ(ids[2], 1u);
}

/* Node 3 has begun anew: its replica is another one until the old one is gone and it votes. */
TEST(another_life)
{
    uint32_t lives[3] = {0, 0, 2};
    uint64_t ids[3] = {0};
    struct engine_member steps[][4] = {
        {member(1, 0, true), member(2, 0, true), member(3, 0, true)},
        {member(1, 0, true), member(2, 0, true), member(3, 0, true), member(3, 2, false)},
        {member(1, 0, true), member(2, 0, true), member(3, 0, true), member(3, 2, true)},
        {member(1, 0, true), member(2, 0, true), member(3, 2, false)},
        {member(1, 0, true), member(2, 0, true), member(3, 2, true)},
    };
    static const unsigned counts[] = {3, 4, 4, 3, 3};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        struct engine_config now = config_of(counts[i], steps[i]);
        bool differs = i + 1 < sizeof counts / sizeof counts[0];
        CHECK_EQ(node_members_wished(&now, nodes, 3, lives, ids), differs);
        CHECK_EQ(ids[0], 2u);
        CHECK_EQ(ids[1], 2u << 16 | 3u);
        CHECK_EQ(ids[2], 1u);
    }
}

/* A new leader may not have heard of a node yet that is being replaced: it does not go back. */
TEST(older_life_is_never_wished)
{
    struct engine_member members[] = {member(1, 0, true),
                                      member(2, 0, true),
                                      member(3, 1, true),
                                      member(3, 2, false)};
    struct engine_config now = config_of(4, members);
    uint64_t ids[3] = {0};
    uint32_t unheard[3] = {0, 0, 0};
    CHECK_EQ(node_members_wished(&now, nodes, 3, unheard, ids), true);
    CHECK_EQ(ids[1], 2u << 16 | 3u);
    uint32_t older[3] = {0, 0, 1};
    CHECK_EQ(node_members_wished(&now, nodes, 3, older, ids), true);
    CHECK_EQ(ids[1], 2u << 16 | 3u);
}

TEST(space_of_a_majority)
{
    struct engine_member members[] = {member(1, 0, true),
                                      member(2, 3, true),
                                      member(3, 0, true),
                                      member(4, 0, false)};
    struct engine_config now = config_of(4, members);
    CHECK(node_members_have_space(&now, (bool[]){false, false, false, false}, 4));
    CHECK(node_members_have_space(&now, (bool[]){false, true, false, false}, 4));
    CHECK(!node_members_have_space(&now, (bool[]){false, true, true, false}, 4));
    CHECK(!node_members_have_space(&now, (bool[]){true, true, true, false}, 4));
    /* Learners do not count, nor do nodes nobody knows. */
    CHECK(node_members_have_space(&now, (bool[]){true, false, false, true}, 4));
    CHECK(node_members_have_space(&now, (bool[]){false, true, true, true}, 2));
    /* Half is no majority. */
    struct engine_member four[] = {member(1, 0, true),
                                   member(2, 0, true),
                                   member(3, 0, true),
                                   member(4, 0, true)};
    now = config_of(4, four);
    CHECK(!node_members_have_space(&now, (bool[]){false, true, true, false}, 4));
    struct engine_config none = {0};
    CHECK(node_members_have_space(&none, (bool[]){true}, 1));
}
