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
