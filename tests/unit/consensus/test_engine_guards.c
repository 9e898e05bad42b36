/*
 * One history per guard of engine_guards.h that ends differently without it; the defect each keeps
 * away is described at the guard. tests/mutants/engine_g*.mutant switch them off one by one.
 */
#include "consensus/engine_guards.h"
#include "group.c"
#include "harness.h"

static const struct engine_options options = {
    .election_timeout_ms = 100,
    .heartbeat_ms = 20,
    .max_inflight = 8,
    .seed = 1,
};

static struct engine *engine_of(struct group *g, uint64_t id)
{
    return group_at(g, id)->engine;
}

static void elect(struct group *g, uint64_t id)
{
    for (unsigned i = 0; i < 10 && engine_role(engine_of(g, id)) != ENGINE_LEADER; i++) {
        group_timeout(g, id);
        group_settle(g);
    }
    CHECK_EQ(engine_role(engine_of(g, id)), ENGINE_LEADER);
}

static void finish(struct group *g)
{
    CHECK_TEXT(g->failure, "");
    group_deinit(g);
    CHECK_EQ(engine_heap_blocks(), 0u);
}

/* A CHANGE to members 1, 2, 3 and, unless it is 0, a stand-by. */
struct change {
    uint8_t bytes[GROUP_PAYLOAD_BYTES];
    struct engine_entry entry;
};

static void change_init(struct change *c, uint64_t term, uint64_t stand_by)
{
    struct engine_config config = {
        .count = stand_by > 0 ? 4 : 3,
        .members = {{1, true}, {2, true}, {3, true}, {stand_by, false}},
    };
    struct buf out;
    buf_init(&out, GROUP_PAYLOAD_BYTES);
    engine_config_encode(&config, &out);
    memcpy(c->bytes, out.data, out.size);
    c->entry = (struct engine_entry){
        .term = term,
        .kind = ENGINE_ENTRY_CHANGE,
        .payload = bytes_of(c->bytes, out.size),
    };
    buf_deinit(&out);
}

static struct engine_entry command(uint64_t term)
{
    return (struct engine_entry){.term = term, .kind = ENGINE_ENTRY_COMMAND};
}

static struct engine_message append(uint64_t from,
                                    uint64_t term,
                                    uint64_t prev_index,
                                    uint64_t prev_term,
                                    const struct engine_entry *entries,
                                    uint32_t count)
{
    return (struct engine_message){
        .type = ENGINE_APPEND,
        .peer = from,
        .term = term,
        .append =
            {
                .prev_index = prev_index,
                .prev_term = prev_term,
                .commit = 1,
                .count = count,
                .entries = entries,
            },
    };
}

static void inject(struct group *g, uint64_t to, struct engine_message m)
{
    CHECK_EQ(group_inject(g, to, &m), STATUS_OK);
    CHECK_TEXT(g->failure, "");
}

static unsigned member_count(struct group *g, uint64_t id)
{
    struct engine_config config;
    engine_config(engine_of(g, id), &config);
    return config.count;
}

TEST(g01_a_truncated_change_is_rolled_back)
{
    struct group g;
    group_init(&g, &options, 3, 3, 3);
    struct change change;
    change_init(&change, 2, 7);
    struct engine_entry entries[3] = {command(2), change.entry, command(2)};
    inject(&g, 1, append(2, 2, 1, 1, entries, 3));
    CHECK_EQ(engine_last_index(engine_of(&g, 1)), 4u);
    struct engine_config config;
    engine_config(engine_of(&g, 1), &config);
    CHECK_EQ(config.index, 3u);
    CHECK_EQ(config.count, 4u);
    struct engine_entry other = command(3);
    inject(&g, 1, append(3, 3, 2, 2, &other, 1));
    CHECK_EQ(engine_last_index(engine_of(&g, 1)), 3u);
    CHECK_EQ(member_count(&g, 1), 3u);
    finish(&g);
}

TEST(g01_stops_after_a_refusal)
{
    struct group g;
    group_init(&g, &options, 3, 3, 3);
    struct change change;
    change_init(&change, 2, 7);
    struct engine_entry entries[2] = {command(2), change.entry};
    inject(&g, 1, append(2, 2, 5, 2, entries, 2));
    CHECK_EQ(g.packet_count, 1u);
    CHECK_EQ(g.packets[0].message.append_result.rejected, 5u);
    CHECK_EQ(engine_last_index(engine_of(&g, 1)), 1u);
    finish(&g);
}

TEST(g02_answers_to_old_terms_carry_no_index)
{
    struct raft_append_entries_result result = {.term = 5, .last_log_index = 77};
    guard_g2_result(5, &result);
    CHECK_EQ(result.last_log_index, 77u);
    guard_g2_result(4, &result);
    CHECK_EQ(result.last_log_index, 0u);
}

/* 60 entries on all, of which member 2 has compacted the first. */
static void compact_member_2(struct group *g, uint32_t trailing)
{
    g->trailing = trailing;
    elect(g, 1);
    for (unsigned i = 0; i < 60; i++) {
        CHECK_EQ(group_propose(g, 1, i), STATUS_OK);
    }
    group_settle(g);
    group_timeout(g, 1);
    group_settle(g);
    group_snapshot(g, 2);
    group_settle(g);
    CHECK(engine_log_offset(engine_of(g, 2)) > 0);
}

TEST(g03_compacted_entries_are_not_appended_again)
{
    struct group g;
    group_init(&g, &options, 3, 3, 3);
    struct change founders;
    change_init(&founders, 1, 0);
    compact_member_2(&g, 0);
    uint64_t term = engine_term(engine_of(&g, 1));
    uint64_t last = engine_last_index(engine_of(&g, 2));
    struct engine_entry entries[3] = {founders.entry, command(term), command(term)};
    inject(&g, 2, append(1, term, 0, 0, entries, 3));
    CHECK_EQ(engine_last_index(engine_of(&g, 2)), last);
    finish(&g);
}

TEST(g03_the_log_keeps_what_may_be_in_flight)
{
    struct group g;
    group_init(&g, &options, 3, 3, 3);
    compact_member_2(&g, 0);
    uint64_t base = group_at(&g, 2)->memory.snapshot.index;
    CHECK_EQ(engine_log_offset(engine_of(&g, 2)),
             base - options.max_inflight - ENGINE_TRAILING_SLACK);
    finish(&g);
}

TEST(g04_a_sole_voter_starts_in_a_new_term)
{
    struct group g;
    group_init(&g, &options, 1, 1, 1);
    group_settle(&g);
    uint64_t term = group_at(&g, 1)->disk.term;
    CHECK_EQ(term, 2u);
    CHECK_EQ(group_at(&g, 1)->disk.vote, 1u);
    group_crash(&g, 1, 0);
    group_start(&g, 1);
    CHECK_EQ(engine_role(engine_of(&g, 1)), ENGINE_LEADER);
    CHECK_EQ(engine_term(engine_of(&g, 1)), term + 1);
    finish(&g);
}

TEST(g04_a_sole_voter_that_fell_back_leads_in_a_new_term)
{
    struct group g;
    group_init(&g, &options, 2, 2, 1);
    group_settle(&g);
    struct engine_message higher = {.type = ENGINE_APPEND_RESULT, .peer = 2, .term = 9};
    inject(&g, 1, higher);
    CHECK_EQ(engine_role(engine_of(&g, 1)), ENGINE_FOLLOWER);
    group_timeout(&g, 1);
    CHECK_EQ(engine_role(engine_of(&g, 1)), ENGINE_LEADER);
    CHECK_EQ(engine_term(engine_of(&g, 1)), 10u);
    CHECK_EQ(engine_vote(engine_of(&g, 1)), 1u);
    finish(&g);
}

TEST(g04_never_from_two_voters_to_one)
{
    struct group g;
    group_init(&g, &options, 2, 2, 2);
    elect(&g, 1);
    CHECK_EQ(group_change(&g, 1, 2, GROUP_STANDBY), STATUS_INVALID);
    CHECK_EQ(group_change(&g, 1, 2, GROUP_OUT), STATUS_INVALID);
    CHECK_EQ(group_change(&g, 1, 1, GROUP_OUT), STATUS_INVALID);
    finish(&g);
}

TEST(g05_rolls_back_to_the_change_before)
{
    struct group g;
    group_init(&g, &options, 3, 3, 3);
    struct change first;
    struct change second;
    change_init(&first, 2, 7);
    change_init(&second, 2, 8);
    inject(&g, 1, append(2, 2, 1, 1, &first.entry, 1));
    inject(&g, 1, append(2, 2, 2, 2, &second.entry, 1));
    struct engine_entry other = command(3);
    inject(&g, 1, append(3, 3, 2, 2, &other, 1));
    struct engine_config config;
    engine_config(engine_of(&g, 1), &config);
    CHECK_EQ(config.index, 2u);
    CHECK_EQ(config.members[3].id, 7u);
    finish(&g);
}

TEST(g06_an_early_append_does_not_take_the_commit_index_back)
{
    struct group g;
    group_init(&g, &options, 3, 3, 3);
    struct engine_entry entries[3] = {command(2), command(2), command(2)};
    inject(&g, 1, append(2, 2, 1, 1, entries, 3));
    group_sync(&g, 1);
    struct engine_message beat = append(2, 2, 4, 2, NULL, 0);
    beat.append.commit = 3;
    inject(&g, 1, beat);
    CHECK_EQ(engine_of(&g, 1)->raft.commit_index, 3u);
    struct engine_message late = append(2, 2, 1, 1, entries, 1);
    late.append.commit = 4;
    inject(&g, 1, late);
    CHECK_EQ(engine_of(&g, 1)->raft.commit_index, 3u);
    finish(&g);
}

static struct engine_message request(uint64_t from,
                                     uint64_t term,
                                     uint64_t last,
                                     uint64_t last_term)
{
    return (struct engine_message){
        .type = ENGINE_VOTE,
        .peer = from,
        .term = term,
        .vote = {.last_index = last, .last_term = last_term},
    };
}

/* Delivers the request to member 4 and returns whether the answer is a yes. */
static bool is_granted(struct group *g, struct engine_message m)
{
    group_drop_link(g, 0, 0);
    inject(g, 4, m);
    CHECK_EQ(g->packet_count, 1u);
    CHECK_EQ(g->packets[0].message.type, ENGINE_VOTE_RESULT);
    return g->packets[0].message.vote_result.granted;
}

TEST(g07_a_stand_by_votes_by_the_normal_rule)
{
    struct group g;
    group_init(&g, &options, 4, 4, 3);
    CHECK(is_granted(&g, request(2, 5, 1, 1)));
    CHECK_EQ(engine_vote(engine_of(&g, 4)), 2u);
    /* The answer waits for the vote's record. */
    CHECK(!has_left(&g, &g.packets[0]));
    CHECK(!is_granted(&g, request(3, 5, 1, 1)));
    CHECK(is_granted(&g, request(2, 5, 1, 1)));
    CHECK(!is_granted(&g, request(2, 4, 1, 1)));
    CHECK(!is_granted(&g, request(2, 6, 0, 0)));
    CHECK_EQ(engine_vote(engine_of(&g, 4)), 0u);
    struct engine_message pre_vote = request(3, 7, 1, 1);
    pre_vote.vote.pre_vote = true;
    CHECK(is_granted(&g, pre_vote));
    CHECK_EQ(engine_term(engine_of(&g, 4)), 6u);
    CHECK_EQ(engine_vote(engine_of(&g, 4)), 0u);
    finish(&g);
}

TEST(g07_a_stand_by_forgets_a_silent_leader)
{
    struct group g;
    group_init(&g, &options, 4, 4, 3);
    inject(&g, 4, append(1, 2, 1, 1, NULL, 0));
    CHECK_EQ(engine_leader(engine_of(&g, 4)), 1u);
    CHECK(!is_granted(&g, request(2, 5, 1, 1)));
    group_timeout(&g, 4);
    CHECK_EQ(engine_leader(engine_of(&g, 4)), 0u);
    CHECK(is_granted(&g, request(2, 5, 1, 1)));
    finish(&g);
}

TEST(g08_a_refused_pre_vote_tells_the_own_term)
{
    struct group g;
    group_init(&g, &options, 3, 3, 3);
    inject(&g, 1, request(3, 9, 1, 1));
    group_drop_link(&g, 0, 0);
    struct engine_message m = request(2, 3, 1, 1);
    m.vote.pre_vote = true;
    inject(&g, 1, m);
    CHECK_EQ(g.packet_count, 1u);
    CHECK(!g.packets[0].message.vote_result.granted);
    CHECK_EQ(g.packets[0].message.term, 9u);
    finish(&g);
}

TEST(g09_a_late_rejection_does_not_stop_replication)
{
    struct group g;
    group_init(&g, &options, 3, 3, 3);
    elect(&g, 1);
    CHECK_EQ(group_propose(&g, 1, 1), STATUS_OK);
    CHECK_EQ(group_propose(&g, 1, 2), STATUS_OK);
    group_settle(&g);
    struct engine *leader = engine_of(&g, 1);
    uint64_t match = engine_match(leader, 2);
    CHECK_EQ(match, engine_last_index(leader));
    /* 2 falls silent: the leader goes back to probing it. */
    group_isolate(&g, 2, true);
    for (unsigned i = 0; i < 10; i++) {
        group_timeout(&g, 1);
        group_settle(&g);
    }
    CHECK_EQ(engine_role(leader), ENGINE_LEADER);
    struct engine_message late = {
        .type = ENGINE_APPEND_RESULT,
        .peer = 2,
        .term = engine_term(leader),
        .append_result = {.rejected = match, .last_index = match - 1},
    };
    inject(&g, 1, late);
    group_drop_link(&g, 0, 0);
    CHECK_EQ(group_propose(&g, 1, 3), STATUS_OK);
    group_isolate(&g, 2, false);
    for (unsigned i = 0; i < 3; i++) {
        group_timeout(&g, 1);
        for (size_t k = 0; k < g.packet_count; k++) {
            const struct group_packet *p = &g.packets[k];
            if (p->to == 2) {
                CHECK(p->message.append.prev_index >= match);
            }
        }
        group_settle(&g);
    }
    CHECK_EQ(engine_match(leader, 2), match + 1);
    finish(&g);
}

TEST(g10_a_late_vote_result_does_not_depose_a_leader)
{
    struct group g;
    group_init(&g, &options, 3, 3, 3);
    elect(&g, 1);
    uint64_t term = engine_term(engine_of(&g, 1));
    struct engine_message late = {
        .type = ENGINE_VOTE_RESULT,
        .peer = 2,
        .term = term + 3,
        .vote_result = {.pre_vote = true},
    };
    inject(&g, 1, late);
    CHECK_EQ(engine_role(engine_of(&g, 1)), ENGINE_LEADER);
    CHECK_EQ(engine_term(engine_of(&g, 1)), term);
    uint64_t dropped = engine_dropped(engine_of(&g, 3));
    late.vote_result.granted = true;
    late.term = 1;
    inject(&g, 3, late);
    CHECK_EQ(engine_dropped(engine_of(&g, 3)), dropped + 1);
    finish(&g);
}

TEST(g11_no_change_before_an_entry_of_the_own_term)
{
    struct group g;
    group_init(&g, &options, 5, 4, 4);
    elect(&g, 1);
    uint64_t last = engine_last_index(engine_of(&g, 1));
    /* All of its log is committed, none of it in its term: it proposes a barrier instead. */
    CHECK_EQ(group_change(&g, 1, 5, GROUP_VOTER), STATUS_BUSY);
    CHECK_EQ(engine_last_index(engine_of(&g, 1)), last + 1);
    CHECK_EQ(group_change(&g, 1, 5, GROUP_VOTER), STATUS_BUSY);
    CHECK_EQ(engine_last_index(engine_of(&g, 1)), last + 1);
    CHECK_EQ(member_count(&g, 1), 4u);
    group_settle(&g);
    CHECK_EQ(group_change(&g, 1, 5, GROUP_VOTER), STATUS_OK);
    group_settle(&g);
    CHECK_EQ(member_count(&g, 3), 5u);
    finish(&g);
}

/*
 * Members 1 to 4 vote. 1 adds 5, and only they two know. 2 leads next and removes 1: three vote, 2
 * and 3 commit. Then 5, with 1 and 4 of its five, leads and overwrites what was committed.
 */
TEST(g11_two_leaders_do_not_commit_past_each_other)
{
    struct group g;
    group_init(&g, &options, 5, 4, 4);
    elect(&g, 1);
    CHECK_EQ(group_propose(&g, 1, 1), STATUS_OK);
    group_settle(&g);
    group_timeout(&g, 1);
    group_settle(&g);
    bool apart[6] = {false, true, false, false, false, true};
    for (unsigned a = 1; a <= 5; a++) {
        for (unsigned b = 1; b <= 5; b++) {
            g.cut[a][b] = apart[a] != apart[b];
        }
    }
    (void)group_change(&g, 1, 5, GROUP_VOTER);
    group_settle(&g);
    for (unsigned i = 0; i < 8; i++) {
        group_timeout(&g, 1); /* 5 learns of it before 1 gives up */
        group_settle(&g);
    }
    CHECK_EQ(member_count(&g, 5), 5u);
    group_timeout(&g, 3);
    group_timeout(&g, 4);
    group_settle(&g);
    elect(&g, 2);
    group_isolate(&g, 4, true);
    for (unsigned i = 0; i < 3; i++) {
        (void)group_change(&g, 2, 1, GROUP_OUT);
        group_settle(&g);
    }
    memset(g.cut, 0, sizeof(g.cut));
    group_isolate(&g, 2, true);
    group_isolate(&g, 3, true);
    group_timeout(&g, 4); /* forgets 2 */
    group_settle(&g);
    for (unsigned i = 0; i < 6 && engine_role(engine_of(&g, 5)) != ENGINE_LEADER; i++) {
        group_timeout(&g, 5);
        group_settle(&g);
    }
    finish(&g);
}

/* Number of appends with entries that are on their way to the member. */
static unsigned appends_to(const struct group *g, uint64_t id)
{
    unsigned count = 0;
    for (size_t k = 0; k < g->packet_count; k++) {
        const struct group_packet *p = &g->packets[k];
        if (p->to == id && p->message.type == ENGINE_APPEND && p->message.append.count > 0) {
            count++;
        }
    }
    return count;
}

TEST(g12_a_silent_follower_does_not_slow_down_the_others)
{
    struct group g;
    group_init(&g, &options, 3, 3, 3);
    elect(&g, 1);
    CHECK_EQ(group_propose(&g, 1, 1), STATUS_OK);
    group_settle(&g);
    group_isolate(&g, 2, true);
    for (unsigned i = 0; i < 12; i++) {
        group_timeout(&g, 1);
        group_settle(&g);
    }
    /* Entries go to 3 alone, so from here on heartbeats to 2 and 3 are due at different times. */
    for (uint64_t command = 2; command < 6; command++) {
        g.now_ms += options.heartbeat_ms / 4;
        CHECK_EQ(group_propose(&g, 1, command), STATUS_OK);
        CHECK_EQ(appends_to(&g, 3), 1u);
        group_settle(&g);
        for (unsigned i = 0; i < 4; i++) {
            group_timeout(&g, 1);
            group_settle(&g);
        }
    }
    CHECK_EQ(engine_role(engine_of(&g, 1)), ENGINE_LEADER);
    finish(&g);
}

TEST(g12_a_leader_without_answers_steps_down_in_time)
{
    struct group g;
    group_init(&g, &options, 3, 3, 3);
    elect(&g, 1);
    group_settle(&g);
    group_isolate(&g, 1, true);
    uint64_t cut_ms = g.now_ms;
    while (engine_role(engine_of(&g, 1)) == ENGINE_LEADER && g.now_ms < cut_ms + 1000) {
        group_timeout(&g, 1);
        group_settle(&g);
    }
    CHECK_EQ(engine_role(engine_of(&g, 1)), ENGINE_FOLLOWER);
    CHECK(g.now_ms - cut_ms <= options.election_timeout_ms + 2 * options.heartbeat_ms);
    finish(&g);
}
