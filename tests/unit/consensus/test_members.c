/* Steps from one configuration to another: each safe, and always an end. */
#include "base/mem.h"
#include "consensus/engine_parts.h"
#include "consensus/members.h"
#include "consensus/replica.h"
#include "harness.h"

#define ID(node, life) replica_id_of(node, life)
#define STEPS_MAX 40u

static bool caught_up(void *ctx, uint64_t id)
{
    const uint64_t *behind = ctx; /* up to a 0 */
    for (size_t i = 0; behind != NULL && behind[i] != 0; i++) {
        if (behind[i] == id) {
            return false;
        }
    }
    return true;
}

static struct engine_config config_of(const uint64_t *ids, unsigned count, unsigned voters)
{
    struct engine_config config = {.index = 1, .count = count};
    for (unsigned i = 0; i < count; i++) {
        config.members[i] = (struct engine_member){.id = ids[i], .is_voter = i < voters};
    }
    return config;
}

static unsigned voters_of(const struct engine_config *config)
{
    unsigned voters = 0;
    for (unsigned i = 0; i < config->count; i++) {
        voters += config->members[i].is_voter ? 1 : 0;
    }
    return voters;
}

static void check_is(const struct engine_config *config, const uint64_t *ids, unsigned count)
{
    CHECK_EQ(config->count, count);
    CHECK_EQ(voters_of(config), count);
    for (unsigned i = 0; i < count; i++) {
        bool is_there = false;
        for (unsigned k = 0; k < config->count; k++) {
            is_there = is_there || config->members[k].id == ids[i];
        }
        CHECK(is_there);
    }
}

/* Node 3 began anew: the replica that it was goes, the new one learns, then votes. */
TEST(a_replaced_replica)
{
    const uint64_t old[] = {1, 2, 3};
    const uint64_t wished[] = {1, 2, ID(3, 1)};
    uint64_t behind[] = {ID(3, 1), 0};
    struct engine_config now = config_of(old, 3, 3);
    struct engine_config next = {0};
    CHECK_EQ(members_next(&now, wished, 3, caught_up, behind, &next), MEMBERS_CHANGE);
    check_is(&next, wished, 2);
    now = next;
    CHECK_EQ(members_next(&now, wished, 3, caught_up, behind, &next), MEMBERS_CHANGE);
    CHECK_EQ(next.count, 3u);
    CHECK_EQ(next.members[2].id, ID(3, 1));
    CHECK(!next.members[2].is_voter);
    now = next;
    CHECK_EQ(members_next(&now, wished, 3, caught_up, behind, &next), MEMBERS_WAIT);
    CHECK_EQ(members_next(&now, wished, 3, caught_up, NULL, &next), MEMBERS_CHANGE);
    check_is(&next, wished, 3);
    now = next;
    CHECK_EQ(members_next(&now, wished, 3, caught_up, NULL, &next), MEMBERS_DONE);
}

/* However often nodes begin anew, dead voters are no half of all: the living can always decide. */
TEST(a_node_that_begins_anew_again_and_again)
{
    const uint64_t old[] = {1, 2, 3};
    struct engine_config now = config_of(old, 3, 3);
    struct engine_config next = {0};
    for (uint32_t life = 1; life < 20; life++) {
        const uint64_t wished[] = {1, 2, ID(3, life)};
        for (uint32_t step = 0; step < life % 5; step++) {
            if (members_next(&now, wished, 3, caught_up, NULL, &next) == MEMBERS_CHANGE) {
                now = next;
            }
            CHECK(voters_of(&now) <= 3u); /* 1 and 2, which live, are a majority */
        }
    }
}

/* It began anew once more before its first new replica voted: both earlier ones go first. */
TEST(earlier_lives_go_first)
{
    const uint64_t now_ids[] = {1, 2, 3, ID(3, 1)};
    const uint64_t wished[] = {1, 2, ID(3, 2)};
    struct engine_config now = config_of(now_ids, 4, 3);
    struct engine_config next = {0};
    CHECK_EQ(members_next(&now, wished, 3, caught_up, NULL, &next), MEMBERS_CHANGE);
    CHECK_EQ(next.count, 3u);
    now = next;
    CHECK_EQ(members_next(&now, wished, 3, caught_up, NULL, &next), MEMBERS_CHANGE);
    check_is(&next, wished, 2);
}

/* MOVE-6: two voters have no spare, so both newcomers are ready before one of them votes. */
TEST(growth_from_a_single_voter)
{
    const uint64_t wished[] = {1, 2, 3};
    uint64_t behind[] = {3, 0};
    struct engine_config now = config_of(wished, 3, 1);
    struct engine_config next = {0};
    CHECK_EQ(members_next(&now, wished, 3, caught_up, behind, &next), MEMBERS_WAIT);
    CHECK_EQ(members_next(&now, wished, 3, caught_up, NULL, &next), MEMBERS_CHANGE);
    CHECK_EQ(voters_of(&next), 2u);
    const uint64_t two[] = {1, 2};
    now = config_of(two, 2, 1);
    CHECK_EQ(members_next(&now, two, 2, caught_up, NULL, &next), MEMBERS_CHANGE);
    check_is(&next, two, 2);
}

TEST(no_safe_step)
{
    const uint64_t two[] = {1, 2};
    const uint64_t same_node[] = {1, ID(1, 1)};
    const uint64_t none[] = {0, 2};
    struct engine_config now = config_of(two, 2, 2);
    struct engine_config next = {0};
    CHECK_EQ(members_next(&now, two, 1, caught_up, NULL, &next), MEMBERS_BLOCKED); /* G4 */
    CHECK_EQ(members_next(&now, same_node, 2, caught_up, NULL, &next), MEMBERS_BLOCKED);
    CHECK_EQ(members_next(&now, none, 2, caught_up, NULL, &next), MEMBERS_BLOCKED);
    CHECK_EQ(members_next(&now, two, 0, caught_up, NULL, &next), MEMBERS_BLOCKED);
    now.count = 0; /* waits to be added: it decides nothing */
    CHECK_EQ(members_next(&now, two, 2, caught_up, NULL, &next), MEMBERS_BLOCKED);
    uint64_t many[ENGINE_MEMBERS_MAX];
    for (unsigned i = 0; i < ENGINE_MEMBERS_MAX; i++) {
        many[i] = i + 1;
    }
    now = config_of(many, ENGINE_MEMBERS_MAX, ENGINE_MEMBERS_MAX);
    const uint64_t another[] = {1, 2, ENGINE_MEMBERS_MAX + 1};
    CHECK_EQ(members_next(&now, another, 3, caught_up, NULL, &next), MEMBERS_BLOCKED);
}

/* ---- all small configurations ---------------------------------------------------------------- */

/* Each step is one that the engine takes, whoever leads when it is asked for. */
static void check_step(const struct engine_config *now, const struct engine_config *next)
{
    CHECK(engine_config_is_valid(next));
    CHECK(engine_config_is_one_change(now, next));
    CHECK(voters_of(next) >= 2 || voters_of(now) < 2);
}

/* With everybody caught up the steps end; every state on the way is a state that others start in,
 * so a leader that dies after any of them changes nothing. */
static void walk(const struct engine_config *from, const uint64_t *wished, unsigned count)
{
    struct engine_config now = *from;
    for (unsigned step = 0;; step++) {
        CHECK(step < STEPS_MAX);
        struct engine_config next = {0};
        enum members_step s = members_next(&now, wished, count, caught_up, NULL, &next);
        CHECK(s != MEMBERS_WAIT);
        if (s == MEMBERS_DONE) {
            check_is(&now, wished, count);
            return;
        }
        if (s == MEMBERS_BLOCKED) {
            CHECK_EQ(count, 1u); /* only one voter would be left */
            CHECK_EQ(voters_of(&now), 2u);
            return;
        }
        check_step(&now, &next);
        now = next;
    }
}

/* Nobody has caught up: there is nothing but to wait, or to do what needs no learner. */
static void walk_behind(const struct engine_config *from, const uint64_t *wished, unsigned count)
{
    uint64_t behind[ENGINE_MEMBERS_MAX + 1] = {0};
    for (unsigned i = 0; i < count; i++) {
        behind[i] = wished[i];
    }
    struct engine_config now = *from;
    struct engine_config next = {0};
    unsigned voters = voters_of(&now);
    unsigned step = 0;
    while (members_next(&now, wished, count, caught_up, behind, &next) == MEMBERS_CHANGE) {
        CHECK(step++ < STEPS_MAX);
        check_step(&now, &next);
        now = next;
        CHECK(voters_of(&now) <= voters); /* nobody is promoted */
    }
}

/* Four nodes, each with no replica, or one or both of two lives, as voter or learner; and all
 * wishes of them. */
TEST(every_small_configuration_gets_there)
{
    const unsigned states = 9; /* per node: (none, learner, voter) of life 0 and of life 1 */
    unsigned walked = 0;
    for (unsigned code = 0; code < states * states * states * states; code++) {
        struct engine_config from = {.index = 1};
        unsigned rest = code;
        for (uint32_t node = 1; node <= 4; node++) {
            for (uint32_t life = 0; life < 2; life++) {
                unsigned role = rest % 3;
                rest /= 3;
                if (role > 0) {
                    from.members[from.count++] =
                        (struct engine_member){.id = ID(node, life), .is_voter = role == 2};
                }
            }
        }
        if (!engine_config_is_valid(&from)) {
            continue;
        }
        for (unsigned wish = 1; wish < 81; wish++) {
            uint64_t wished[4];
            unsigned count = 0;
            unsigned lives = wish;
            for (uint32_t node = 1; node <= 4; node++) {
                if (lives % 3 > 0) {
                    wished[count++] = ID(node, lives % 3 - 1);
                }
                lives /= 3;
            }
            walk(&from, wished, count);
            walk_behind(&from, wished, count);
            walked++;
        }
    }
    CHECK(walked > 500000);
}
