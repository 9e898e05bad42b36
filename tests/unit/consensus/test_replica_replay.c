/* What a replica takes from its log at start, and what it refuses. */
#include "replica_world.h"

struct replay_world {
    struct world *world;
    struct node *node;
    struct error error;
};

static void replay_start(struct replay_world *r)
{
    *r = (struct replay_world){.world = world_create(1, SEGMENT_BYTES)};
    r->node = &r->world->nodes[1];
    node_kill(r->node);
    fake_env_deinit(&r->node->env);
    fake_env_init(&r->node->env);
    node_open(r->node);
}

static enum status replay(struct replay_world *r,
                          enum log_kind kind,
                          uint64_t term,
                          uint64_t index,
                          const char *payload)
{
    struct log_record record = {
        .group = GROUP,
        .kind = (uint8_t)kind,
        .term = term,
        .index = index,
    };
    r->error = (struct error){0};
    enum status s = replica_replay(r->node->replica, &record, bytes_of_text(payload), &r->error);
    CHECK_EQ(s == STATUS_OK, r->error.text[0] == '\0');
    return s;
}

/* Term 3, entries 1 to 3 of terms 1, 2 and 2; the first two are committed. */
static void replay_some(struct replay_world *r)
{
    struct engine_config founders = founders_of(1);
    struct buf change;
    replay_start(r);
    buf_init(&change, MIB);
    engine_config_encode(&founders, &change);
    struct log_record record = {.group = GROUP, .kind = LOG_KIND_CHANGE, .term = 1, .index = 1};
    CHECK_EQ(replay(r, LOG_KIND_STATE, 1, 0, ""), STATUS_OK);
    CHECK_EQ(replica_replay(r->node->replica, &record, buf_bytes(&change), &r->error), STATUS_OK);
    CHECK_EQ(replay(r, LOG_KIND_STATE, 2, 1, ""), STATUS_OK);
    CHECK_EQ(replay(r, LOG_KIND_BARRIER, 2, 2, ""), STATUS_OK);
    CHECK_EQ(replay(r, LOG_KIND_ENTRY, 2, 3, "a"), STATUS_OK);
    CHECK_EQ(replay(r, LOG_KIND_COMMIT, 2, 2, ""), STATUS_OK);
    CHECK_EQ(replay(r, LOG_KIND_STATE, 3, 0, ""), STATUS_OK);
    buf_deinit(&change);
}

TEST(replay_refuses_contradictions)
{
    static const struct {
        enum log_kind kind;
        uint64_t term;
        uint64_t index;
    } cases[] = {
        {LOG_KIND_ENTRY, 3, 5},   /* a gap */
        {LOG_KIND_ENTRY, 4, 4},   /* of a term that is not there yet */
        {LOG_KIND_ENTRY, 1, 4},   /* older than the one before it */
        {LOG_KIND_ENTRY, 0, 4},   /* of no term */
        {LOG_KIND_ENTRY, 3, 2},   /* in place of a committed one */
        {LOG_KIND_BARRIER, 3, 1}, /* the same */
        {LOG_KIND_COMMIT, 3, 4},  /* of what is not there */
        {LOG_KIND_COMMIT, 3, 3},  /* of another entry at this index */
        {LOG_KIND_COMMIT, 1, 3},
        {LOG_KIND_STATE, 2, 1}, /* terms only grow */
        {(enum log_kind)99, 3, 4},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct replay_world r;
        replay_some(&r);
        CHECK_EQ(replay(&r, cases[i].kind, cases[i].term, cases[i].index, ""), STATUS_CORRUPT);
        CHECK(strstr(r.error.text, "group 5") != NULL);
        check_applied(r.node, "");
        world_destroy(r.world);
    }
}

TEST(replay_takes_what_fits)
{
    struct replay_world r;
    replay_some(&r);
    CHECK_EQ(replay(&r, LOG_KIND_ENTRY, 3, 3, "b"), STATUS_OK); /* overwrites "a" */
    CHECK_EQ(replay(&r, LOG_KIND_ENTRY, 3, 4, "c"), STATUS_OK);
    CHECK_EQ(replay(&r, LOG_KIND_STATE, 3, 1, ""), STATUS_OK); /* the term's vote */
    check_applied(r.node, "");
    CHECK_EQ(replay(&r, LOG_KIND_COMMIT, 3, 4, ""), STATUS_OK);
    check_applied(r.node, "3:b;4:c;");
    CHECK_EQ(replica_last_index(r.node->replica), 4u);
    CHECK_EQ(replica_pending_bytes(r.node->replica), 0u);
    node_start(r.node);
    CHECK_EQ(replica_term(r.node->replica), 4u);
    check_applied(r.node, "3:b;4:c;");
    world_destroy(r.world);
}

/* Two votes in one term: nobody writes that. */
TEST(replay_refuses_a_second_vote)
{
    struct replay_world r;
    replay_some(&r);
    CHECK_EQ(replay(&r, LOG_KIND_STATE, 3, 1, ""), STATUS_OK);
    CHECK_EQ(replay(&r, LOG_KIND_STATE, 3, 2, ""), STATUS_CORRUPT);
    world_destroy(r.world);
}

/* A term and a vote without the founders' entry: founding anew would forget them. */
TEST(start_refuses_terms_without_entries)
{
    struct replay_world r;
    struct engine_config founders = founders_of(3);
    replay_start(&r);
    CHECK_EQ(replay(&r, LOG_KIND_STATE, 7, 2, ""), STATUS_OK);
    CHECK_EQ(replica_start(r.node->replica, &founders, &r.error), STATUS_CORRUPT);
    world_destroy(r.world);
}

/* The first batch was cut behind its first record (LOG-11): founding starts over. */
TEST(start_after_a_torn_founding)
{
    struct replay_world r;
    replay_start(&r);
    CHECK_EQ(replay(&r, LOG_KIND_STATE, 1, 0, ""), STATUS_OK);
    node_start(r.node);
    node_sync(r.node);
    CHECK(replica_is_leader(r.node->replica));
    CHECK(replica_applied(r.node->replica) >= 1);
    world_destroy(r.world);
}

/* The state machine cannot apply what was committed: said with the entry's number. */
TEST(replay_passes_on_what_apply_says)
{
    struct replay_world r;
    replay_some(&r);
    r.node->apply_status = STATUS_UNSUPPORTED;
    CHECK_EQ(replay(&r, LOG_KIND_COMMIT, 2, 3, ""), STATUS_UNSUPPORTED);
    CHECK(strstr(r.error.text, "entry 3") != NULL);
    world_destroy(r.world);
}

/* ---- a log that begins anywhere -------------------------------------------------------------- */

static struct replica_base base_of(uint64_t index, uint64_t term)
{
    struct replica_base base = {.index = index, .term = term};
    if (index > 0) {
        base.config = founders_of(1);
    }
    return base;
}

static enum status replay_group(struct replay_world *r,
                                enum log_kind kind,
                                uint64_t term,
                                uint64_t vote,
                                const struct group_record *g)
{
    struct log_record record = {
        .group = GROUP,
        .kind = (uint8_t)kind,
        .term = term,
        .index = vote,
    };
    struct buf payload;
    buf_init(&payload, KIB);
    group_record_encode(g, &payload);
    r->error = (struct error){0};
    enum status s = replica_replay(r->node->replica, &record, buf_bytes(&payload), &r->error);
    buf_deinit(&payload);
    return s;
}

/* The state of generation 3 goes to entry 10; the log says that it is durable up to 8. */
static void replay_from_group(struct replay_world *r)
{
    struct group_record g = {.generation = 3, .replica_id = 1, .base = base_of(8, 2)};
    replay_start(r);
    r->node->folded.generation = 3;
    r->node->folded.base = base_of(10, 2);
    buf_append_text(&r->node->folded.text, "9:i;10:j;");
    CHECK_EQ(replay_group(r, LOG_KIND_GROUP, 4, 1, &g), STATUS_OK);
    CHECK_EQ(r->node->restore_calls, 1u);
    CHECK_EQ(replica_generation(r->node->replica), 3u);
    CHECK_EQ(replica_applied(r->node->replica), 10u);
    CHECK_EQ(replica_synced_index(r->node->replica), 8u);
}

static enum status start_alone(struct replay_world *r)
{
    struct engine_config founders = founders_of(1);
    return replica_start(r->node->replica, &founders, &r->error);
}

TEST(replay_goes_on_behind_the_state)
{
    struct replay_world r;
    replay_from_group(&r);
    CHECK_EQ(replay(&r, LOG_KIND_ENTRY, 2, 9, "i"), STATUS_OK);
    CHECK_EQ(replay(&r, LOG_KIND_ENTRY, 2, 10, "j"), STATUS_OK);
    CHECK_EQ(replica_pending_bytes(r.node->replica), 0u);
    CHECK_EQ(replay(&r, LOG_KIND_ENTRY, 3, 11, "k"), STATUS_OK);
    CHECK_EQ(replay(&r, LOG_KIND_COMMIT, 2, 10, ""), STATUS_OK);
    check_applied(r.node, "9:i;10:j;");
    CHECK_EQ(replay(&r, LOG_KIND_COMMIT, 3, 11, ""), STATUS_OK);
    check_applied(r.node, "9:i;10:j;11:k;");
    CHECK_EQ(start_alone(&r), STATUS_OK);
    CHECK_EQ(replica_term(r.node->replica), 5u);
    struct replica_base base;
    replica_base(r.node->replica, &base);
    CHECK_EQ(base.index, 11u);
    CHECK_EQ(base.term, 3u);
    CHECK_EQ(base.config.index, 1u);
    node_sync(r.node);
    check_applied(r.node, "9:i;10:j;11:k;");
    world_destroy(r.world);
}

/* Nothing of the group is left in the log: all of it is in the state. */
TEST(replay_of_no_entries)
{
    struct replay_world r;
    replay_from_group(&r);
    CHECK_EQ(start_alone(&r), STATUS_OK);
    node_sync(r.node);
    CHECK(replica_is_leader(r.node->replica));
    uint64_t index = propose(r.node, "k");
    CHECK(index > 10);
    node_sync(r.node);
    CHECK_EQ(replica_applied(r.node->replica), index);
    world_destroy(r.world);
}

/* In the oldest segment a group's records may stand before the one that says its generation. */
TEST(replay_waits_for_the_generation)
{
    struct replay_world r;
    struct group_record g = {.generation = 3, .replica_id = 1, .base = base_of(8, 2)};
    replay_start(&r);
    r.node->folded.generation = 3;
    r.node->folded.base = base_of(10, 2);
    CHECK_EQ(replay(&r, LOG_KIND_ENTRY, 2, 9, "i"), STATUS_OK);
    CHECK_EQ(replay(&r, LOG_KIND_ENTRY, 2, 10, "j"), STATUS_OK);
    CHECK_EQ(replay(&r, LOG_KIND_ENTRY, 4, 11, "k"), STATUS_OK);
    CHECK_EQ(replay(&r, LOG_KIND_COMMIT, 4, 11, ""), STATUS_OK);
    CHECK_EQ(r.node->restore_calls, 0u);
    CHECK_EQ(replay_group(&r, LOG_KIND_GROUP, 4, 1, &g), STATUS_OK);
    check_applied(r.node, "11:k;");
    CHECK_EQ(replica_pending_bytes(r.node->replica), 0u);
    CHECK_EQ(start_alone(&r), STATUS_OK);
    world_destroy(r.world);
}

/* The same with an install: it says the generation, and the term is still to come. */
TEST(replay_of_an_install_without_a_term)
{
    struct replay_world r;
    struct group_record g = {.generation = 5, .replica_id = 1, .base = base_of(40, 4)};
    replay_start(&r);
    CHECK_EQ(replay(&r, LOG_KIND_ENTRY, 3, 30, "x"), STATUS_OK);
    r.node->staged.generation = 5;
    r.node->staged.base = base_of(40, 4);
    CHECK_EQ(replay_group(&r, LOG_KIND_INSTALL, 4, 40, &g), STATUS_OK);
    CHECK_EQ(replay(&r, LOG_KIND_ENTRY, 5, 41, "y"), STATUS_OK);
    CHECK_EQ(replay_group(&r, LOG_KIND_GROUP, 5, 1, &g), STATUS_OK);
    CHECK_EQ(replay(&r, LOG_KIND_COMMIT, 5, 41, ""), STATUS_OK);
    check_applied(r.node, "41:y;");
    CHECK_EQ(start_alone(&r), STATUS_OK);
    world_destroy(r.world);
}

/* LOG-12: copies of 11 to 13 come behind 14, in any order. */
TEST(replay_puts_copies_in_front)
{
    struct replay_world r;
    replay_from_group(&r);
    CHECK_EQ(replay(&r, LOG_KIND_ENTRY, 3, 14, "n"), STATUS_OK);
    CHECK_EQ(replay(&r, LOG_KIND_COMMIT, 3, 14, ""), STATUS_OK);
    CHECK_EQ(replay(&r, LOG_KIND_RELOCATED_ENTRY, 3, 12, "l"), STATUS_OK);
    CHECK_EQ(replay(&r, LOG_KIND_RELOCATED_ENTRY, 2, 10, "j"), STATUS_OK); /* in the state */
    CHECK_EQ(replay(&r, LOG_KIND_RELOCATED_ENTRY, 3, 13, "m"), STATUS_OK);
    CHECK_EQ(replay(&r, LOG_KIND_RELOCATED_ENTRY, 3, 14, "n"), STATUS_OK); /* is there */
    check_applied(r.node, "9:i;10:j;");
    CHECK_EQ(replay(&r, LOG_KIND_RELOCATED_ENTRY, 3, 11, "k"), STATUS_OK);
    check_applied(r.node, "9:i;10:j;11:k;12:l;13:m;14:n;");
    CHECK_EQ(replica_pending_bytes(r.node->replica), 0u);
    CHECK_EQ(start_alone(&r), STATUS_OK);
    world_destroy(r.world);
}

/* Copies and nothing else; what overwrote one of them came later. */
TEST(replay_of_copies_alone)
{
    struct replay_world r;
    replay_from_group(&r);
    CHECK_EQ(replay(&r, LOG_KIND_RELOCATED_ENTRY, 3, 11, "k"), STATUS_OK);
    CHECK_EQ(replay(&r, LOG_KIND_RELOCATED_BARRIER, 3, 12, ""), STATUS_OK);
    CHECK_EQ(start_alone(&r), STATUS_OK);
    CHECK_EQ(replica_entry(r.node->replica, 12)->kind, ENGINE_ENTRY_BARRIER);
    CHECK(replica_last_index(r.node->replica) >= 12);
    world_destroy(r.world);

    replay_from_group(&r);
    CHECK_EQ(replay(&r, LOG_KIND_RELOCATED_ENTRY, 3, 11, "k"), STATUS_OK);
    CHECK_EQ(replay(&r, LOG_KIND_RELOCATED_ENTRY, 3, 12, "x"), STATUS_OK);
    CHECK_EQ(replay(&r, LOG_KIND_RELOCATED_ENTRY, 3, 13, "x"), STATUS_OK);
    CHECK_EQ(replay(&r, LOG_KIND_ENTRY, 4, 12, "l"), STATUS_OK);
    CHECK_EQ(replay(&r, LOG_KIND_COMMIT, 4, 12, ""), STATUS_OK);
    check_applied(r.node, "9:i;10:j;11:k;12:l;");
    CHECK_EQ(replica_last_index(r.node->replica), 12u);
    CHECK_EQ(start_alone(&r), STATUS_OK);
    world_destroy(r.world);
}

/* A copy that denies what the log holds: nobody writes that. */
TEST(replay_refuses_a_copy_that_contradicts)
{
    struct replay_world r;
    replay_from_group(&r);
    CHECK_EQ(replay(&r, LOG_KIND_ENTRY, 3, 11, "k"), STATUS_OK);
    CHECK_EQ(replay(&r, LOG_KIND_RELOCATED_ENTRY, 2, 11, "x"), STATUS_CORRUPT);
    world_destroy(r.world);
    replay_from_group(&r);
    CHECK_EQ(replay(&r, LOG_KIND_ENTRY, 3, 11, "k"), STATUS_OK);
    CHECK_EQ(replay(&r, LOG_KIND_RELOCATED_ENTRY, 3, 12, "x"), STATUS_CORRUPT);
    world_destroy(r.world);
}

/* The suffix that is left begins with what replaced more than there is of it. */
TEST(replay_of_an_entry_below_the_first)
{
    struct replay_world r;
    replay_from_group(&r);
    CHECK_EQ(replay(&r, LOG_KIND_ENTRY, 3, 15, "x"), STATUS_OK);
    CHECK_EQ(replay(&r, LOG_KIND_ENTRY, 3, 16, "x"), STATUS_OK);
    CHECK_EQ(replay(&r, LOG_KIND_ENTRY, 4, 11, "k"), STATUS_OK);
    CHECK_EQ(replica_last_index(r.node->replica), 11u);
    CHECK_EQ(replay(&r, LOG_KIND_COMMIT, 4, 11, ""), STATUS_OK);
    check_applied(r.node, "9:i;10:j;11:k;");
    CHECK_EQ(start_alone(&r), STATUS_OK);
    world_destroy(r.world);
}

/* LOG-15: an install makes void what was there, also what could not be applied. */
TEST(replay_of_an_install)
{
    struct replay_world r;
    struct group_record g = {.generation = 5, .replica_id = 1, .base = base_of(40, 4)};
    replay_from_group(&r);
    CHECK_EQ(replay(&r, LOG_KIND_ENTRY, 3, 20, "x"), STATUS_OK); /* where 11 to 19 were is gone */
    CHECK_EQ(replay(&r, LOG_KIND_COMMIT, 3, 20, ""), STATUS_OK);
    CHECK_EQ(replay(&r, LOG_KIND_RELOCATED_ENTRY, 3, 11, "x"), STATUS_OK);
    state_copy(&r.node->staged, &r.node->folded);
    r.node->staged.generation = 5;
    r.node->staged.base = base_of(40, 4);
    CHECK_EQ(replay_group(&r, LOG_KIND_INSTALL, 4, 40, &g), STATUS_OK);
    CHECK_EQ(replica_generation(r.node->replica), 5u);
    CHECK_EQ(replica_applied(r.node->replica), 40u);
    CHECK_EQ(replica_synced_index(r.node->replica), 40u);
    CHECK_EQ(replica_last_index(r.node->replica), 40u);
    CHECK_EQ(replica_pending_bytes(r.node->replica), 0u);
    CHECK_EQ(replay(&r, LOG_KIND_ENTRY, 4, 42, "x"), STATUS_CORRUPT); /* a gap */
    CHECK_EQ(replay(&r, LOG_KIND_ENTRY, 4, 41, "y"), STATUS_OK);
    CHECK_EQ(replay(&r, LOG_KIND_COMMIT, 4, 41, ""), STATUS_OK);
    check_applied(r.node, "9:i;10:j;41:y;");
    CHECK_EQ(start_alone(&r), STATUS_OK);
    world_destroy(r.world);
}

TEST(replay_refuses_groups_that_contradict)
{
    struct {
        enum log_kind kind;
        uint64_t term;
        uint64_t vote;
        struct group_record g;
    } cases[] = {
        {LOG_KIND_GROUP, 4, 1, {4, 1, base_of(8, 2)}},       /* another generation */
        {LOG_KIND_GROUP, 4, 1, {3, 1, base_of(7, 2)}},       /* durable no more */
        {LOG_KIND_GROUP, 4, 1, {3, 0x10001, base_of(8, 2)}}, /* another life's */
        {LOG_KIND_GROUP, 3, 1, {3, 1, base_of(8, 2)}},       /* an older term */
        {LOG_KIND_GROUP, 4, 2, {3, 1, base_of(8, 2)}},       /* another vote */
        {LOG_KIND_INSTALL, 4, 40, {5, 1, base_of(41, 4)}},   /* of two minds */
        {LOG_KIND_INSTALL, 4, 8, {5, 1, base_of(8, 4)}},     /* nothing new */
        {LOG_KIND_INSTALL, 4, 40, {3, 1, base_of(40, 4)}},   /* over the state itself */
        {LOG_KIND_INSTALL, 5, 40, {5, 1, base_of(40, 5)}},   /* of a term not seen */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct replay_world r;
        replay_from_group(&r);
        CHECK_EQ(replay_group(&r, cases[i].kind, cases[i].term, cases[i].vote, &cases[i].g),
                 STATUS_CORRUPT);
        CHECK(strstr(r.error.text, "contradicts") != NULL);
        world_destroy(r.world);
    }
}

/* Log and state do not fit together: neither is believed. */
TEST(start_refuses_a_state_that_does_not_fit)
{
    struct replay_world r;
    replay_from_group(&r);
    r.node->replica->synced = base_of(11, 2); /* the store has lost what was durable */
    CHECK_EQ(start_alone(&r), STATUS_CORRUPT);
    CHECK(strstr(r.error.text, "the state ends with entry") != NULL);
    world_destroy(r.world);

    replay_from_group(&r);
    CHECK_EQ(replay(&r, LOG_KIND_ENTRY, 3, 12, "l"), STATUS_OK); /* 11 is missing */
    CHECK_EQ(start_alone(&r), STATUS_CORRUPT);
    world_destroy(r.world);

    replay_from_group(&r);
    CHECK_EQ(replay(&r, LOG_KIND_ENTRY, 2, 9, "i"), STATUS_OK); /* 10 was applied */
    CHECK_EQ(start_alone(&r), STATUS_CORRUPT);
    world_destroy(r.world);

    replay_from_group(&r);
    CHECK_EQ(replay(&r, LOG_KIND_COMMIT, 3, 11, ""), STATUS_OK); /* what is not there */
    CHECK_EQ(start_alone(&r), STATUS_CORRUPT);
    world_destroy(r.world);

    replay_from_group(&r);
    CHECK_EQ(replay(&r, LOG_KIND_RELOCATED_ENTRY, 3, 13, "m"), STATUS_OK);
    CHECK_EQ(start_alone(&r), STATUS_CORRUPT);
    world_destroy(r.world);

    replay_start(&r); /* no log, and a state */
    r.node->folded.base = base_of(10, 2);
    CHECK_EQ(start_alone(&r), STATUS_CORRUPT);
    world_destroy(r.world);
}

/* What the state has leaves the memory while the log is read. */
TEST(replay_keeps_little_of_what_is_in_the_state)
{
    struct replay_world r;
    replay_from_group(&r);
    replica_drop(r.node->replica, 10);
    r.node->replica->options.trailing_bytes = 2;
    CHECK_EQ(replay(&r, LOG_KIND_ENTRY, 2, 6, "f"), STATUS_OK);
    for (uint64_t i = 7; i <= 10; i++) {
        CHECK_EQ(replay(&r, LOG_KIND_ENTRY, 2, i, "x"), STATUS_OK);
    }
    CHECK_EQ(r.node->replica->entry_first, 9u);
    CHECK_EQ(replay(&r, LOG_KIND_ENTRY, 2, 11, "longer"), STATUS_OK);
    CHECK_EQ(r.node->replica->entry_first, 9u); /* it is not in the state */
    CHECK_EQ(replay(&r, LOG_KIND_COMMIT, 2, 11, ""), STATUS_OK);
    CHECK(replica_has_entry(r.node->replica, 11));
    replica_folded(r.node->replica, 11);
    CHECK_EQ(r.node->replica->entry_first, 12u);
    CHECK_EQ(start_alone(&r), STATUS_OK);
    CHECK_EQ(replica_applied(r.node->replica), 11u);
    world_destroy(r.world);
}

/* No founder: it waits until somebody adds it, also after a restart with a term of others. */
TEST(start_of_a_replica_that_waits)
{
    struct replay_world r;
    replay_start(&r);
    CHECK_EQ(replica_start(r.node->replica, NULL, &r.error), STATUS_OK);
    CHECK_EQ(r.node->restore_calls, 1u);
    world_advance(r.world, 20 * ELECTION_MS);
    node_sync(r.node);
    CHECK(!replica_is_leader(r.node->replica));
    CHECK_EQ(replica_term(r.node->replica), 0u);
    CHECK_EQ(replica_last_index(r.node->replica), 0u);
    world_destroy(r.world);
    replay_start(&r);
    CHECK_EQ(replay(&r, LOG_KIND_STATE, 7, 2, ""), STATUS_OK);
    CHECK_EQ(replica_start(r.node->replica, NULL, &r.error), STATUS_OK);
    CHECK_EQ(replica_term(r.node->replica), 7u);
    world_destroy(r.world);
}
