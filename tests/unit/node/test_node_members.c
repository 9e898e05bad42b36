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

static struct node_fact heard(uint32_t life)
{
    return (struct node_fact){.is_heard = true, .life = life};
}

static const struct node_fact unheard;

static const uint32_t nodes[] = {2, 3, 1}; /* in the order of placement, not of the ids */

TEST(nothing_to_do)
{
    struct engine_member members[] = {member(1, 0, true), member(2, 0, true), member(3, 0, true)};
    struct engine_config now = config_of(3, members);
    /* Node 4 holds none of this group. */
    struct node_fact facts[] = {heard(0), heard(0), heard(0), heard(9)};
    uint64_t ids[3] = {0};
    unsigned count = 0;
    CHECK_EQ(node_members_wished(&now, nodes, 3, facts, ids, &count), false);
    CHECK_EQ(count, 3u);
    CHECK_EQ(ids[0], 2u);
    CHECK_EQ(ids[1], 3u);
    CHECK_EQ(ids[2], 1u);
}

/* Node 3 has begun anew: its replica is another one until the old one is gone and it votes. */
TEST(another_life)
{
    struct node_fact facts[] = {heard(0), heard(0), heard(2)};
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
        unsigned count = 0;
        CHECK_EQ(node_members_wished(&now, nodes, 3, facts, ids, &count), differs);
        CHECK_EQ(count, 3u);
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
    unsigned count = 0;
    struct node_fact none[] = {unheard, unheard, unheard};
    CHECK_EQ(node_members_wished(&now, nodes, 3, none, ids, &count), true);
    CHECK_EQ(count, 3u);
    CHECK_EQ(ids[1], 2u << 16 | 3u);
    struct node_fact older[] = {unheard, unheard, heard(1)};
    CHECK_EQ(node_members_wished(&now, nodes, 3, older, ids, &count), true);
    CHECK_EQ(count, 3u);
    CHECK_EQ(ids[1], 2u << 16 | 3u);
}

/* Its earlier replica was removed, and the leader died before it could add the new one. */
TEST(no_life_is_made_up)
{
    struct engine_member members[] = {member(1, 0, true), member(2, 0, true)};
    struct engine_config now = config_of(2, members);
    uint64_t ids[3] = {0};
    unsigned count = 0;
    struct node_fact facts[] = {heard(0), unheard, unheard};
    CHECK_EQ(node_members_wished(&now, nodes, 3, facts, ids, &count), false);
    CHECK_EQ(count, 2u);
    CHECK_EQ(ids[0], 2u); /* a member that is not heard stays one */
    CHECK_EQ(ids[1], 1u);
    facts[2] = heard(2);
    CHECK_EQ(node_members_wished(&now, nodes, 3, facts, ids, &count), true);
    CHECK_EQ(count, 3u);
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
