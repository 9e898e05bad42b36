#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/prng.h"
#include "consensus/engine.h"
#include "group.c"
#include "harness.h"

#define GARBAGE_COUNT 20000u

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

/* Whether act ends the process by a broken promise. */
static bool aborts(struct group *g, void (*act)(struct group *g))
{
    (void)fflush(stdout);
    pid_t child = fork();
    ensure(child >= 0);
    if (child == 0) {
        (void)signal(SIGABRT, SIG_DFL);
        (void)close(STDERR_FILENO);
        act(g);
        _exit(0);
    }
    int status = 0;
    ensure(waitpid(child, &status, 0) == child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

TEST(three_members_elect_and_commit)
{
    struct group g;
    group_init(&g, &options, 3, 3, 3);
    CHECK_EQ(group_propose(&g, 1, 7), STATUS_BUSY);
    elect(&g, 1);
    CHECK_EQ(engine_leader(engine_of(&g, 1)), 1u);
    CHECK_EQ(group_propose(&g, 1, 7), STATUS_OK);
    group_settle(&g);
    CHECK_EQ(group_at(&g, 1)->applied, 2u);
    CHECK_EQ(engine_match(engine_of(&g, 1), 2), 2u);
    CHECK_EQ(engine_match(engine_of(&g, 2), 1), 0u);
    group_timeout(&g, 1);
    group_settle(&g);
    CHECK_EQ(group_at(&g, 2)->applied, 2u);
    CHECK_EQ(engine_leader(engine_of(&g, 2)), 1u);
    finish(&g);
}

TEST(a_new_leader_commits_a_barrier)
{
    struct group g;
    group_init(&g, &options, 3, 3, 3);
    elect(&g, 1);
    CHECK_EQ(group_propose(&g, 1, 1), STATUS_OK);
    group_deliver_link(&g, 1, 2);
    group_sync(&g, 2);
    group_crash(&g, 1, 0);
    group_drop_link(&g, 0, 0);
    group_timeout(&g, 3);
    group_settle(&g);
    elect(&g, 2);
    const struct group_member *m = group_at(&g, 2);
    CHECK_EQ(m->applied, 3u);
    CHECK_EQ(m->memory.entries[2].kind, ENGINE_ENTRY_BARRIER);
    CHECK_EQ(m->memory.entries[2].size, 0u);
    CHECK_EQ(m->leader_barrier, 3u);
    finish(&g);
}

TEST(a_member_is_added_promoted_and_removed)
{
    struct group g;
    group_init(&g, &options, 4, 3, 3);
    elect(&g, 1);
    CHECK_EQ(group_propose(&g, 1, 1), STATUS_OK);
    group_settle(&g);
    CHECK_EQ(group_change(&g, 1, 4, GROUP_STANDBY), STATUS_OK);
    CHECK_EQ(group_change(&g, 1, 4, GROUP_VOTER), STATUS_BUSY);
    group_settle(&g);
    for (unsigned i = 0; i < 3; i++) {
        group_timeout(&g, 1);
        group_settle(&g);
    }
    CHECK_EQ(group_at(&g, 4)->applied, 3u);
    CHECK_EQ(group_change(&g, 1, 4, GROUP_VOTER), STATUS_OK);
    group_settle(&g);
    CHECK_EQ(group_change(&g, 1, 1, GROUP_OUT), STATUS_OK);
    group_settle(&g);
    CHECK_EQ(engine_role(engine_of(&g, 1)), ENGINE_FOLLOWER);
    CHECK_EQ(group_propose(&g, 1, 1), STATUS_BUSY);
    group_timeout(&g, 3);
    group_timeout(&g, 4);
    group_settle(&g);
    elect(&g, 2);
    CHECK_EQ(group_change(&g, 2, 9, GROUP_OUT), STATUS_INVALID);
    finish(&g);
}

TEST(leadership_moves_only_to_one_who_has_all)
{
    struct group g;
    group_init(&g, &options, 4, 4, 3);
    elect(&g, 1);
    CHECK_EQ(group_propose(&g, 1, 1), STATUS_OK);
    CHECK_EQ(group_transfer(&g, 1, 2), STATUS_BUSY);
    group_settle(&g);
    CHECK_EQ(group_transfer(&g, 1, 1), STATUS_INVALID);
    CHECK_EQ(group_transfer(&g, 1, 4), STATUS_INVALID);
    CHECK_EQ(group_transfer(&g, 2, 1), STATUS_BUSY);
    CHECK_EQ(group_transfer(&g, 1, 2), STATUS_OK);
    CHECK_EQ(group_propose(&g, 1, 1), STATUS_BUSY);
    CHECK_EQ(group_transfer(&g, 1, 3), STATUS_BUSY);
    group_settle(&g);
    CHECK_EQ(engine_role(engine_of(&g, 2)), ENGINE_LEADER);
    finish(&g);
}

/* Member 3 is cut off until the others have compacted what it lacks. */
static void lag_behind(struct group *g)
{
    elect(g, 1);
    group_isolate(g, 3, true);
    for (unsigned i = 0; i < 60; i++) {
        CHECK_EQ(group_propose(g, 1, i), STATUS_OK);
    }
    group_settle(g);
    group_snapshot(g, 1);
    group_settle(g);
    CHECK(engine_log_offset(engine_of(g, 1)) > 1);
    group_isolate(g, 3, false);
}

TEST(a_member_far_behind_installs)
{
    struct group g;
    group_init(&g, &options, 3, 3, 3);
    lag_behind(&g);
    for (unsigned i = 0; i < 10; i++) {
        group_timeout(&g, 1);
        group_settle(&g);
    }
    CHECK_EQ(g.install_count, 1u);
    CHECK_EQ(group_at(&g, 3)->applied, group_at(&g, 1)->applied);
    group_crash(&g, 3, 0);
    group_start(&g, 3);
    CHECK_EQ(group_at(&g, 3)->commit, group_at(&g, 3)->disk.snapshot.index);
    finish(&g);
}

/* N12: libraft neither takes nor frees what a second INSTALL brings. */
TEST(an_install_during_an_install_leaks_nothing)
{
    struct group g;
    group_init(&g, &options, 3, 3, 3);
    struct engine_message m = {.type = ENGINE_INSTALL, .peer = 2, .term = 3};
    m.install.last_index = 30;
    m.install.last_term = 2;
    m.install.config =
        (struct engine_config){.index = 7, .count = 2, .members = {{1, true}, {2, true}}};
    CHECK_EQ(group_inject(&g, 1, &m), STATUS_OK);
    CHECK(group_at(&g, 1)->is_installing);
    CHECK_EQ(group_at(&g, 1)->install.config.index, 7u);
    uint64_t blocks = engine_heap_blocks();
    CHECK_EQ(group_inject(&g, 1, &m), STATUS_OK);
    CHECK_EQ(engine_heap_blocks(), blocks);
    m.term = 2; /* answered, and freed by libraft */
    CHECK_EQ(group_inject(&g, 1, &m), STATUS_OK);
    blocks = engine_heap_blocks(); /* with the memory for answers */
    CHECK_EQ(group_inject(&g, 1, &m), STATUS_OK);
    CHECK_EQ(engine_heap_blocks(), blocks);
    CHECK_EQ(engine_commit_index(engine_of(&g, 1)), 1u);
    group_deinit(&g);
    CHECK_EQ(engine_heap_blocks(), 0u);
}

TEST(configuration_bytes)
{
    struct engine_config config = {
        .index = 9,
        .count = 2,
        .members = {{0x0102030405060708u, true}, {5, false}},
    };
    struct buf out;
    buf_init(&out, 100);
    engine_config_encode(&config, &out);
    static const uint8_t golden[] = {1, 2, 8, 7, 6, 5, 4, 3, 2, 1, 1, 5, 0, 0, 0, 0, 0, 0, 0, 0};
    CHECK_BYTES(buf_bytes(&out), bytes_of(golden, sizeof(golden)));
    struct engine_config back;
    CHECK_EQ(engine_config_decode(buf_bytes(&out), &back), STATUS_OK);
    CHECK_EQ(back.index, 0u);
    CHECK_EQ(back.count, 2u);
    CHECK_EQ(back.members[0].id, config.members[0].id);
    CHECK(back.members[0].is_voter && !back.members[1].is_voter);
    for (size_t size = 0; size < out.size; size++) {
        CHECK_EQ(engine_config_decode(bytes_of(golden, size), &back), STATUS_MALFORMED);
    }
    static const struct {
        size_t at;
        uint8_t byte;
    } broken[] = {{0, 2}, {1, 1}, {1, 3}, {1, 0}, {10, 2}, {10, 0}, {11, 0}};
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        uint8_t copy[sizeof(golden)];
        memcpy(copy, golden, sizeof(golden));
        copy[broken[i].at] = broken[i].byte;
        CHECK_EQ(engine_config_decode(bytes_of(copy, sizeof(copy)), &back), STATUS_MALFORMED);
    }
    buf_deinit(&out);
}

static enum status try_start(const struct engine_start *start)
{
    struct engine_options o = options;
    o.id = 1;
    struct group g = {.count = 1};
    g.members[0].group = &g;
    struct engine *e = engine_create(&o, &events, &g.members[0]);
    struct error error = {0};
    enum status s = engine_start(e, 1, start, &error);
    engine_destroy(e);
    group_deinit(&g);
    return s;
}

TEST(a_log_that_cannot_be_is_refused)
{
    static const uint8_t founders[] = {1, 1, 2, 0, 0, 0, 0, 0, 0, 0, 1};
    struct engine_entry entries[3] = {
        {1, ENGINE_ENTRY_CHANGE, {founders, sizeof(founders)}},
        {2, ENGINE_ENTRY_COMMAND, {NULL, 0}},
        {3, ENGINE_ENTRY_COMMAND, {NULL, 0}},
    };
    struct engine_start good = {.term = 3, .first_index = 1, .entries = entries, .count = 3};
    CHECK_EQ(try_start(&good), STATUS_OK);
    struct engine_start bad = good;
    bad.term = 2;
    CHECK_EQ(try_start(&bad), STATUS_CORRUPT);
    bad = good;
    bad.first_index = 2;
    CHECK_EQ(try_start(&bad), STATUS_CORRUPT);
    bad = good;
    bad.entries = entries + 1;
    CHECK_EQ(try_start(&bad), STATUS_CORRUPT);
    bad = good;
    bad.snapshot_index = 5;
    bad.snapshot_term = 2;
    bad.snapshot_config =
        (struct engine_config){.index = 1, .count = 1, .members = {{.id = 2, .is_voter = true}}};
    CHECK_EQ(try_start(&bad), STATUS_CORRUPT);
    bad.snapshot_index = 2;
    CHECK_EQ(try_start(&bad), STATUS_OK);
    bad.snapshot_term = 3;
    CHECK_EQ(try_start(&bad), STATUS_CORRUPT);
    entries[2].term = 1;
    CHECK_EQ(try_start(&good), STATUS_CORRUPT);
    entries[2].term = 3;
    entries[0].payload.size--;
    CHECK_EQ(try_start(&good), STATUS_CORRUPT);
    CHECK_EQ(engine_heap_blocks(), 0u);
}

TEST(a_denied_committed_entry_halts)
{
    struct group g;
    group_init(&g, &options, 3, 3, 3);
    struct engine_entry entry = {.term = 2, .kind = ENGINE_ENTRY_COMMAND};
    struct engine_message m = {.type = ENGINE_APPEND, .peer = 2, .term = 2};
    m.append.prev_index = 1;
    m.append.prev_term = 2; /* entry 1 is of term 1, and committed */
    m.append.count = 1;
    m.append.entries = &entry;
    CHECK_EQ(group_inject(&g, 1, &m), STATUS_CORRUPT);
    m.append.prev_term = 1;
    CHECK_EQ(group_inject(&g, 1, &m), STATUS_CORRUPT);
    CHECK_EQ(engine_last_index(engine_of(&g, 1)), 1u);
    group_deinit(&g);
    group_init(&g, &options, 3, 3, 3);
    elect(&g, 2);
    m.peer = 3;
    m.term = engine_term(engine_of(&g, 2)); /* a second leader of one term */
    CHECK_EQ(group_inject(&g, 2, &m), STATUS_CORRUPT);
    group_deinit(&g);
    CHECK_EQ(engine_heap_blocks(), 0u);
}

static uint64_t any_number(struct prng *p)
{
    static const uint64_t edges[] = {0, 1, 2, 3, 30, UINT64_MAX, UINT64_MAX - 1, UINT64_MAX >> 1};
    return prng_chance(p, 300) ? edges[prng_below(p, 8)] : prng_below(p, 12);
}

static void garbage_entries(struct prng *p,
                            const struct engine_message *m,
                            struct engine_entry *out)
{
    static const uint8_t config[] = {1, 1, 2, 0, 0, 0, 0, 0, 0, 0, 1};
    for (unsigned i = 0; i < 4; i++) {
        out[i].term = prng_chance(p, 800) ? m->term : any_number(p);
        out[i].kind = (enum engine_entry_kind)prng_below(p, 5);
        out[i].payload = bytes_of(config, prng_chance(p, 900) ? sizeof(config) : 3);
        if (out[i].kind == ENGINE_ENTRY_BARRIER && prng_chance(p, 900)) {
            out[i].payload.size = 0;
        }
    }
}

static void garbage(struct prng *p, struct engine_message *m, struct engine_entry *entries)
{
    *m = (struct engine_message){
        .type = (enum engine_message_type)prng_below(p, 8),
        .peer = prng_below(p, 6),
        .term = any_number(p),
    };
    uint64_t a = any_number(p);
    uint64_t b = any_number(p);
    if (m->type == ENGINE_APPEND) {
        m->append.prev_index = a;
        m->append.prev_term = b;
        m->append.commit = any_number(p);
        m->append.count = (uint32_t)prng_below(p, 5);
        m->append.entries = entries;
        garbage_entries(p, m, entries);
    } else if (m->type == ENGINE_APPEND_RESULT) {
        m->append_result.rejected = a;
        m->append_result.last_index = b;
    } else if (m->type == ENGINE_VOTE) {
        m->vote.last_index = a;
        m->vote.last_term = b;
        m->vote.disrupt_leader = prng_chance(p, 500);
        m->vote.pre_vote = prng_chance(p, 500);
    } else if (m->type == ENGINE_VOTE_RESULT) {
        m->vote_result.granted = prng_chance(p, 500);
        m->vote_result.pre_vote = prng_chance(p, 500);
    } else if (m->type == ENGINE_TIMEOUT_NOW) {
        m->timeout_now.last_index = a;
        m->timeout_now.last_term = b;
    } else if (m->type == ENGINE_INSTALL) {
        m->install.last_index = a;
        m->install.last_term = b;
        m->install.config.index = any_number(p);
        m->install.config.count = (unsigned)any_number(p);
        for (unsigned i = 0; i < ENGINE_MEMBERS_MAX; i++) {
            m->install.config.members[i].id = prng_below(p, 5) + i;
            m->install.config.members[i].is_voter = prng_chance(p, 500);
        }
    }
}

/* Whatever a peer sends, no promise of ours breaks; a contradiction halts, and we start again. */
TEST(garbage_is_dropped)
{
    struct prng p;
    prng_init(&p, 1);
    uint64_t halted = 0;
    uint64_t taken = 0;
    for (unsigned i = 0; i < GARBAGE_COUNT / 100; i++) {
        struct group g;
        group_init(&g, &options, 3, 3, 3);
        if (prng_chance(&p, 500)) {
            elect(&g, 1);
        }
        for (unsigned k = 0; k < 100; k++) {
            struct engine_message m;
            struct engine_entry entries[4];
            garbage(&p, &m, entries);
            uint64_t dropped = engine_dropped(engine_of(&g, 1));
            enum status s = engine_receive(engine_of(&g, 1), g.now_ms, &m);
            if (s != STATUS_OK) {
                CHECK_EQ(s, STATUS_CORRUPT);
                halted++;
                break;
            }
            taken += engine_dropped(engine_of(&g, 1)) == dropped;
            if (prng_chance(&p, 300)) {
                CHECK(engine_tick(engine_of(&g, 1), g.now_ms += 50) == STATUS_OK);
            }
        }
        group_deinit(&g);
    }
    CHECK(halted > 0);
    CHECK(taken > GARBAGE_COUNT / 100);
    CHECK_EQ(engine_heap_blocks(), 0u);
}

static void persist_too_much(struct group *g)
{
    struct engine *e = engine_of(g, 1);
    ensure(engine_persisted(e, g->now_ms, engine_last_index(e) + 1) == STATUS_OK);
}

static void go_back_in_time(struct group *g)
{
    ensure(engine_tick(engine_of(g, 1), g->now_ms - 1) == STATUS_OK);
}

static void apply_uncommitted(struct group *g)
{
    const struct group_entry *entry = &group_at(g, 1)->memory.entries[0];
    ensure(engine_config_applied(engine_of(g, 1),
                                 g->now_ms,
                                 engine_commit_index(engine_of(g, 1)) + 1,
                                 bytes_of(entry->payload, entry->size)) == STATUS_OK);
}

static void compact_uncommitted(struct group *g)
{
    struct engine_config config;
    struct engine *e = engine_of(g, 1);
    engine_config(e, &config);
    ensure(engine_compacted(e, g->now_ms, engine_last_index(e), engine_term(e), &config, 0) ==
           STATUS_OK);
}

static void finish_no_install(struct group *g)
{
    struct engine_config config;
    engine_config(engine_of(g, 1), &config);
    ensure(engine_installed(engine_of(g, 1), g->now_ms, 5, 1, &config) == STATUS_OK);
}

static void persist_during_install(struct group *g)
{
    struct engine_message m = {.type = ENGINE_INSTALL, .peer = 2, .term = 9};
    m.install.last_index = 30;
    m.install.last_term = 2;
    m.install.config =
        (struct engine_config){.index = 7, .count = 2, .members = {{1, true}, {2, true}}};
    ensure(group_inject(g, 1, &m) == STATUS_OK);
    ensure(engine_persisted(engine_of(g, 1), g->now_ms, 2) == STATUS_OK);
}

TEST(the_owner_keeps_the_rules)
{
    struct group g;
    group_init(&g, &options, 3, 3, 3);
    elect(&g, 1);
    CHECK_EQ(group_propose(&g, 1, 1), STATUS_OK);
    CHECK(aborts(&g, persist_too_much));
    CHECK(aborts(&g, go_back_in_time));
    CHECK(aborts(&g, apply_uncommitted));
    CHECK(aborts(&g, compact_uncommitted));
    CHECK(aborts(&g, finish_no_install));
    CHECK(aborts(&g, persist_during_install));
    finish(&g);
}
