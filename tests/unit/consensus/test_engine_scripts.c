/*
 * Histories in which libraft, or an earlier version of it, lost acknowledged entries or never had a
 * leader again. Each is played step by step; group.c looks at Raft's promises meanwhile.
 */
#include "base/assert.h"
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

/* Lets member id time out until it leads; the others answer but do not tick. */
static void elect(struct group *g, uint64_t id)
{
    for (unsigned i = 0; i < 10 && engine_role(engine_of(g, id)) != ENGINE_LEADER; i++) {
        group_timeout(g, id);
        group_settle(g);
    }
    CHECK_EQ(engine_role(engine_of(g, id)), ENGINE_LEADER);
}

static void propose(struct group *g, uint64_t id, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        CHECK_EQ(group_propose(g, id, 100 * id + i), STATUS_OK);
    }
}

static void finish(struct group *g)
{
    CHECK_TEXT(g->failure, "");
    group_deinit(g);
    CHECK_EQ(engine_heap_blocks(), 0u);
}

/* All members tick in turn until somebody leads among those that are up. */
static bool finds_leader(struct group *g, unsigned rounds)
{
    for (unsigned i = 0; i < rounds; i++) {
        for (uint64_t id = 1; id <= g->count; id++) {
            if (engine_of(g, id) != NULL) {
                group_timeout(g, id);
                group_settle(g);
            }
        }
        if (group_leader(g) != 0) {
            return true;
        }
    }
    return false;
}

/* A, defect S1: a stale tail of the follower's log is not a match. */
TEST(a_stale_tail_is_not_acknowledged)
{
    struct group g;
    group_init(&g, &options, 3, 3, 3);
    elect(&g, 1);
    group_isolate(&g, 1, true);
    propose(&g, 1, 3);
    group_settle(&g);
    /* 3 answers pre-votes only after it forgot its leader. */
    group_timeout(&g, 3);
    group_settle(&g);
    elect(&g, 2);
    group_isolate(&g, 1, false);
    group_isolate(&g, 3, true);
    uint64_t last = engine_last_index(engine_of(&g, 2));
    group_timeout(&g, 2);
    group_deliver_link(&g, 2, 1);
    group_sync(&g, 1);
    propose(&g, 2, 2);
    group_deliver_link(&g, 1, 2);
    CHECK(engine_match(engine_of(&g, 2), 1) <= last);
    CHECK(engine_commit_index(engine_of(&g, 2)) <= last);
    group_settle(&g);
    group_timeout(&g, 2);
    group_settle(&g);
    CHECK_EQ(engine_commit_index(engine_of(&g, 2)), last + 2);
    CHECK_EQ(group_last(&group_at(&g, 1)->memory), last + 2);
    finish(&g);
}

/* B, Figure 8: an entry of an older term is not committed by counting. */
TEST(b_old_terms_are_not_counted)
{
    struct group g;
    struct engine_options narrow = options;
    narrow.max_inflight = 1;
    group_init(&g, &narrow, 3, 3, 3);
    elect(&g, 1);
    uint64_t x = engine_last_index(engine_of(&g, 1)) + 1;
    group_isolate(&g, 1, true);
    propose(&g, 1, 1); /* X, on 1 alone */
    group_sync(&g, 1);
    group_crash(&g, 1, 0);
    group_timeout(&g, 2);
    group_settle(&g);
    elect(&g, 3);
    group_isolate(&g, 3, true);
    propose(&g, 3, 1); /* Y at the same index, on 3 alone */
    group_sync(&g, 3);
    group_crash(&g, 3, 0);
    group_isolate(&g, 1, false);
    group_start(&g, 1);
    /* 2 has never seen X or Y; it follows 1, and X reaches it, but nothing of 1's new term. */
    group_timeout(&g, 2);
    group_settle(&g);
    for (unsigned i = 0; i < 10 && engine_role(engine_of(&g, 1)) != ENGINE_LEADER; i++) {
        group_timeout(&g, 1);
        while (engine_role(engine_of(&g, 1)) != ENGINE_LEADER && g.packet_count > 0) {
            group_sync(&g, 1);
            group_sync(&g, 2);
            group_deliver_link(&g, 0, 0);
        }
    }
    CHECK_EQ(engine_role(engine_of(&g, 1)), ENGINE_LEADER);
    group_sync(&g, 1);
    for (unsigned i = 0; i < 10 && engine_match(engine_of(&g, 1), 2) < x; i++) {
        if (g.packet_count == 0) {
            group_timeout(&g, 1);
        }
        group_deliver_link(&g, 1, 2);
        group_sync(&g, 2);
        group_deliver_link(&g, 2, 1);
    }
    CHECK_EQ(engine_match(engine_of(&g, 1), 2), x);
    CHECK_EQ(engine_commit_index(engine_of(&g, 1)), x - 1);
    group_drop_link(&g, 0, 0);
    group_crash(&g, 1, 0);
    /* 3 comes back with Y, which is newer: it may replace X. */
    group_isolate(&g, 3, false);
    group_start(&g, 3);
    group_timeout(&g, 2);
    group_settle(&g);
    CHECK(finds_leader(&g, 10));
    CHECK_EQ(group_leader(&g), 3u);
    propose(&g, 3, 1);
    group_settle(&g);
    CHECK(engine_commit_index(engine_of(&g, 3)) > x);
    group_start(&g, 1);
    group_timeout(&g, 3);
    group_settle(&g);
    CHECK_EQ(group_last(&group_at(&g, 1)->memory), group_last(&group_at(&g, 3)->memory));
    finish(&g);
}

/* C, defect S3: an append of the old leader's completes under the new one. */
TEST(c_old_append_is_not_acknowledged_to_the_new_leader)
{
    struct group g;
    group_init(&g, &options, 3, 3, 3);
    elect(&g, 1);
    uint64_t last = engine_last_index(engine_of(&g, 1));
    propose(&g, 1, 2);
    group_deliver_link(&g, 1, 3); /* 3 writes, it is not durable yet */
    group_crash(&g, 1, 0);        /* 1 forgets both */
    group_drop_link(&g, 1, 0);
    group_start(&g, 1);
    for (unsigned i = 0; i < 10 && engine_role(engine_of(&g, 2)) != ENGINE_LEADER; i++) {
        group_timeout(&g, 2);
        for (unsigned k = 0; k < 6; k++) {
            group_sync(&g, 1);
            group_sync(&g, 2);
            group_deliver_link(&g, 2, 1);
            group_deliver_link(&g, 1, 2);
        }
    }
    CHECK_EQ(engine_role(engine_of(&g, 2)), ENGINE_LEADER);
    propose(&g, 2, 2);
    group_timeout(&g, 2); /* a heartbeat, by which 3 learns who leads */
    for (size_t i = g.packet_count; i > 0; i--) {
        const struct group_packet *p = &g.packets[i - 1];
        if (p->to == 3 && p->message.type == ENGINE_APPEND && p->message.append.count > 0) {
            group_drop(&g, i - 1);
        }
    }
    group_deliver_link(&g, 2, 3);
    group_sync(&g, 3); /* the old append */
    group_deliver_link(&g, 3, 2);
    CHECK(engine_match(engine_of(&g, 2), 3) <= last);
    CHECK(engine_commit_index(engine_of(&g, 2)) <= last);
    CHECK_TEXT(g.failure, "");
    finish(&g);
}

/* Leaves other numbers on the stack than those that happen to be there. */
static void __attribute__((noinline)) soil_stack(void)
{
    volatile uint8_t dirt[16384];
    for (size_t i = 0; i < sizeof(dirt); i++) {
        dirt[i] = i % 8 == 0 ? 32 : 0;
    }
}

/* D, defect N2: the answer to an old leader acknowledges what it finds on the stack. */
TEST(d_old_leader_learns_no_number)
{
    struct group g;
    group_init(&g, &options, 3, 3, 3);
    struct engine_message vote = {.type = ENGINE_VOTE, .peer = 3, .term = 9};
    CHECK_EQ(group_inject(&g, 1, &vote), STATUS_OK);
    group_drop_link(&g, 0, 0);
    struct engine_message beat = {.type = ENGINE_APPEND, .peer = 2, .term = 2};
    soil_stack();
    CHECK_EQ(group_inject(&g, 1, &beat), STATUS_OK);
    CHECK_EQ(g.packet_count, 1u);
    CHECK_EQ(g.packets[0].message.type, ENGINE_APPEND_RESULT);
    CHECK_EQ(g.packets[0].message.term, 9u);
    CHECK_EQ(g.packets[0].message.append_result.rejected, 0u);
    CHECK_EQ(g.packets[0].message.append_result.last_index, 0u);
    struct engine_message install = {.type = ENGINE_INSTALL, .peer = 2, .term = 2};
    install.install.last_index = 30;
    install.install.last_term = 2;
    install.install.config =
        (struct engine_config){.index = 1, .count = 1, .members = {{.id = 1, .is_voter = true}}};
    soil_stack();
    CHECK_EQ(group_inject(&g, 1, &install), STATUS_OK);
    CHECK_EQ(g.packets[1].message.append_result.last_index, 0u);
    finish(&g);
}

/* E, defect N4: a sole voter loses its newest entry, which a stand-by has, and writes another. */
TEST(e_sole_voter_begins_a_new_term)
{
    struct group g;
    group_init(&g, &options, 2, 2, 1);
    CHECK_EQ(group_leader(&g), 1u);
    group_settle(&g);
    group_timeout(&g, 1);
    group_settle(&g);
    uint64_t term = engine_term(engine_of(&g, 1));
    uint64_t last = engine_last_index(engine_of(&g, 1));
    CHECK_EQ(group_propose(&g, 1, 1), STATUS_OK);
    group_deliver_link(&g, 1, 2);
    group_sync(&g, 2);
    CHECK_EQ(group_last(&group_at(&g, 2)->disk), last + 1);
    group_crash(&g, 1, 0);
    group_drop_link(&g, 0, 0);
    group_start(&g, 1);
    CHECK(engine_term(engine_of(&g, 1)) > term);
    CHECK_EQ(group_propose(&g, 1, 2), STATUS_OK);
    group_settle(&g);
    group_timeout(&g, 1);
    group_settle(&g);
    const struct group_entry *a = image_entry(&group_at(&g, 1)->memory, last + 1);
    const struct group_entry *b = image_entry(&group_at(&g, 2)->memory, last + 1);
    ensure(a != NULL && b != NULL);
    CHECK(same_entry(a, b));
    CHECK_EQ(group_at(&g, 2)->applied, last + 1);
    finish(&g);
}

/* F, defect N3: a duplicate that starts below the compaction point. */
TEST(f_duplicate_below_the_compaction_point)
{
    struct group g;
    group_init(&g, &options, 3, 3, 3);
    elect(&g, 1);
    propose(&g, 1, 1);
    group_settle(&g);
    struct engine_entry old[3] = {{0}};
    const struct group_image *log = &group_at(&g, 1)->memory;
    for (unsigned i = 0; i < 3; i++) {
        const struct group_entry *entry = image_entry(log, i + 1);
        if (entry != NULL) {
            old[i].term = entry->term;
            old[i].kind = entry->kind;
        }
    }
    uint8_t founders[GROUP_PAYLOAD_BYTES];
    old[0].payload = bytes_of(founders, log->entries[0].size);
    memcpy(founders, log->entries[0].payload, log->entries[0].size);
    propose(&g, 1, 60);
    group_settle(&g);
    group_timeout(&g, 1);
    group_settle(&g);
    group_snapshot(&g, 2);
    group_settle(&g);
    CHECK(engine_log_offset(engine_of(&g, 2)) > 3);
    uint64_t last = engine_last_index(engine_of(&g, 2));
    struct engine_message duplicate = {
        .type = ENGINE_APPEND,
        .peer = 1,
        .term = engine_term(engine_of(&g, 1)),
        .append = {.count = 2, .entries = old},
    };
    CHECK_EQ(group_inject(&g, 2, &duplicate), STATUS_OK);
    CHECK_EQ(engine_last_index(engine_of(&g, 2)), last);
    CHECK_EQ(g.overwritten_count, 0u);
    propose(&g, 1, 2);
    group_settle(&g);
    CHECK_EQ(engine_last_index(engine_of(&g, 2)), last + 2);
    finish(&g);
}

/* G, defect N8: the longer log at the lower term, the shorter at the higher. */
TEST(g_refused_pre_vote_tells_the_term)
{
    struct group g;
    group_init(&g, &options, 3, 3, 3);
    elect(&g, 1);
    group_isolate(&g, 3, true);
    propose(&g, 1, 3);
    group_settle(&g);
    group_timeout(&g, 3);
    group_settle(&g);
    struct engine_message vote = {
        .type = ENGINE_VOTE,
        .peer = 1,
        .term = 9,
        .vote = {.disrupt_leader = true},
    };
    CHECK_EQ(group_inject(&g, 3, &vote), STATUS_OK);
    group_settle(&g);
    CHECK_EQ(engine_term(engine_of(&g, 3)), 9u);
    group_crash(&g, 1, 0);
    group_drop_link(&g, 0, 0);
    group_isolate(&g, 3, false);
    CHECK(finds_leader(&g, 30));
    CHECK_EQ(group_leader(&g), 2u);
    finish(&g);
}

/* H, defect N7: a promotion is on one follower, the leader is lost, the promoted knows nothing. */
TEST(h_promoted_member_votes_before_it_knows)
{
    struct group g;
    group_init(&g, &options, 4, 4, 3);
    elect(&g, 1);
    propose(&g, 1, 1);
    group_settle(&g);
    group_timeout(&g, 1);
    group_settle(&g);
    CHECK_EQ(group_change(&g, 1, 4, GROUP_VOTER), STATUS_OK);
    group_deliver_link(&g, 1, 2);
    group_sync(&g, 2);
    group_crash(&g, 1, 0);
    group_drop_link(&g, 0, 0);
    CHECK(finds_leader(&g, 30));
    CHECK_EQ(group_leader(&g), 2u);
    propose(&g, 2, 1);
    group_settle(&g);
    CHECK_EQ(group_at(&g, 2)->applied, group_last(&group_at(&g, 2)->memory));
    finish(&g);
}

/* Snapshots on their way are lost; says how many. */
static unsigned drop_installs(struct group *g)
{
    unsigned count = 0;
    for (size_t i = g->packet_count; i > 0; i--) {
        if (g->packets[i - 1].message.type == ENGINE_INSTALL) {
            count++;
            group_drop(g, i - 1);
        }
    }
    return count;
}

/* Everything else arrives. */
static unsigned settle_without_installs(struct group *g)
{
    unsigned installs = drop_installs(g);
    while (g->packet_count > 0 && g->failure[0] == 0) {
        group_deliver_link(g, 0, 0);
        for (uint64_t id = 1; id <= g->count; id++) {
            if (group_at(g, id)->record_count > 0) {
                group_sync(g, id);
            }
        }
        installs += drop_installs(g);
    }
    return installs;
}

/*
 * I: member 3 needs a snapshot that never arrives, and the leader always has a newer one before it
 * answers. It is sent again and again.
 */
TEST(i_snapshot_is_sent_again_beside_newer_ones)
{
    struct group g;
    group_init(&g, &options, 3, 3, 3);
    group_timeout(&g, 1);
    group_settle(&g);
    CHECK_EQ(group_leader(&g), 1u);
    group_isolate(&g, 3, true);
    uint64_t command = 0;
    unsigned installs = 0;
    for (unsigned step = 0; step < 400 && installs < 6; step++) {
        for (unsigned i = 0; i < 60; i++) {
            CHECK_EQ(group_propose(&g, 1, ++command), STATUS_OK);
            group_sync(&g, 1);
            installs += settle_without_installs(&g);
        }
        group_snapshot(&g, 1);
        installs += settle_without_installs(&g);
        if (step == 3) {
            group_isolate(&g, 3, false);
        }
        group_timeout(&g, 1);
        installs += settle_without_installs(&g);
    }
    CHECK_EQ(installs, 6u);
    CHECK_TEXT(g.failure, "");
    finish(&g);
}
