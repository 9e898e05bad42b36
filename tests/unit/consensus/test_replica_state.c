/* What is folded leaves the memory, what is durable the log, and a snapshot takes their place. */
#include <stdio.h>

#include "replica_world.h"

#define MANY 200u

/* Proposes that many entries, each committed and applied by those that are not cut off. */
static void propose_many(struct world *w, struct node *leader, unsigned count)
{
    char text[32];
    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(text, sizeof text, "%u", i);
        CHECK(propose(leader, text) > 0);
        if (i % 8 == 7) {
            world_settle(w);
            world_advance(w, 1);
        }
    }
    world_settle(w);
}

/* ---- folded, synced -------------------------------------------------------------------------- */

TEST(folded_entries_leave_the_memory)
{
    struct node *leader = NULL;
    struct world *w = world_with_leader(&leader);
    struct replica *r = leader->replica;
    propose_many(w, leader, MANY);
    world_calm(w);
    uint64_t last = replica_last_index(r);
    CHECK_EQ(r->entry_first, 1u); /* nothing was folded */
    r->options.trailing_bytes = 1;
    fold_begin(leader);
    propose_many(w, leader, 10);
    CHECK_EQ(r->entry_first, 1u);
    fold_end(leader);
    CHECK(r->entry_first > 1);
    CHECK(replica_has_entry(r, last - INFLIGHT_ENTRIES_MAX)); /* they may be in flight (G3) */
    CHECK(!replica_has_entry(r, last - INFLIGHT_ENTRIES_MAX - 20));
    CHECK_EQ(r->entry_first, engine_log_offset(r->engine) + 1);
    uint64_t first = r->entry_first;
    replica_folded(r, last - 3); /* an older one says nothing */
    CHECK_EQ(r->entry_first, first);
    CHECK_EQ(replica_synced_index(r), 0u);
    fold_sync(leader);
    CHECK_EQ(replica_synced_index(r), last);
    replica_synced(r, last - 3);
    CHECK_EQ(replica_synced_index(r), last);
    CHECK_EQ(r->mark_count, 1u);
    world_destroy(w);
}

/* Entries for followers that lag a little are kept, up to a size. */
TEST(folded_entries_trail)
{
    struct node *leader = NULL;
    struct world *w = world_with_leader(&leader);
    struct replica *r = leader->replica;
    propose_many(w, leader, MANY);
    r->options.trailing_bytes = 400; /* of 1 to 3 bytes each */
    fold_all(leader);
    CHECK(r->entry_last - r->entry_first > 100);
    CHECK(r->entry_last - r->entry_first < MANY);
    world_destroy(w);
}

/* A snapshot on its way: what follows it stays in memory, up to a size. */
TEST(entries_behind_a_snapshot_stay)
{
    struct node *leader = NULL;
    struct world *w = world_with_leader(&leader);
    struct replica *r = leader->replica;
    r->options.trailing_bytes = 1;
    propose_many(w, leader, MANY);
    uint64_t base = replica_last_index(r);
    replica_hold_entries(r, base);
    propose_many(w, leader, MANY);
    fold_all(leader);
    CHECK_EQ(r->entry_first, base);
    replica_hold_entries(r, 0); /* not known yet: no more goes */
    propose_many(w, leader, MANY);
    fold_all(leader);
    CHECK_EQ(r->entry_first, base);
    replica_hold_entries(r, REPLICA_HOLD_NONE);
    propose_many(w, leader, 10);
    fold_all(leader);
    CHECK(r->entry_first > base + MANY);
    CHECK_EQ(r->entry_first, engine_log_offset(r->engine) + 1);
    base = replica_last_index(r);
    r->options.held_bytes = 1;
    replica_hold_entries(r, base);
    propose_many(w, leader, MANY);
    fold_all(leader);
    CHECK(r->entry_first > base + 1);
    world_destroy(w);
}

/* The state's term and configuration are those of its own last entry, not of the log's. */
TEST(base_is_of_what_is_applied)
{
    struct node *leader = NULL;
    struct world *w = world_with_leader(&leader);
    world_calm(w);
    struct replica_base base;
    replica_base(leader->replica, &base);
    CHECK_EQ(base.index, replica_applied(leader->replica));
    CHECK_EQ(base.config.index, 1u);
    CHECK_EQ(base.config.count, 3u);
    uint64_t term = base.term;
    uint64_t ids[] = {1, 2, 3};
    ids[other_of(w, leader, NULL)->number - 1] += 0x10000; /* nobody answers for it */
    bool is_done = true;
    for (unsigned i = 0; i < 5; i++) {
        CHECK_EQ(replica_set_members(leader->replica, ids, 3, &is_done), STATUS_OK);
        CHECK(!is_done);
        world_settle(w);
    }
    struct replica_base later;
    replica_base(leader->replica, &later);
    CHECK_EQ(later.config.count, 3u);
    CHECK(!later.config.members[2].is_voter); /* the one of before is gone, the new one learns */
    CHECK(later.config.index > base.index);
    CHECK(later.term >= term);
    struct replica_base before;
    replica_state_at(leader->replica, base.index, &before);
    CHECK_EQ(before.config.count, 3u);
    CHECK_EQ(before.term, term);
    world_destroy(w);
}

/* ---- apply() that waits ---------------------------------------------------------------------- */

TEST(apply_waits_for_rows)
{
    struct node *leader = NULL;
    struct world *w = world_with_leader(&leader);
    leader->need_per_mille = 1000;
    uint64_t first = propose(leader, "a");
    CHECK_EQ(propose(leader, "b"), first + 1);
    world_settle(w);
    CHECK_EQ(leader->need_calls, 1u);
    CHECK_EQ(replica_applied(leader->replica), first - 1);
    CHECK_EQ(replica_pending_count(leader->replica), 2u);
    CHECK_EQ(replica_pending_bytes(leader->replica), 2u);
    unsigned advanced = leader->advanced_calls;
    world_calm(w); /* others apply it; it goes on leading */
    CHECK(replica_is_leader(leader->replica));
    CHECK_EQ(leader->need_calls, 1u);
    CHECK_EQ(leader->advanced_calls, advanced);
    CHECK_EQ(replica_applied(other_of(w, leader, NULL)->replica), first + 1);
    struct replica_base base;
    replica_base(leader->replica, &base);
    CHECK_EQ(base.index, first - 1);
    node_feed(leader); /* it lacks others then */
    CHECK_EQ(leader->need_calls, 2u);
    leader->need_per_mille = 0;
    node_feed(leader);
    CHECK_EQ(replica_applied(leader->replica), first + 1);
    CHECK_EQ(replica_pending_count(leader->replica), 0u);
    CHECK_EQ(replica_pending_bytes(leader->replica), 0u);
    CHECK_EQ(leader->advanced_calls, advanced + 1);
    node_feed(leader); /* a late one says nothing */
    CHECK_EQ(leader->advanced_calls, advanced + 1);
    CHECK_BYTES(buf_bytes(&leader->applied), buf_bytes(&other_of(w, leader, NULL)->applied));
    world_destroy(w);
}

/* A leader that waits loses its leadership; what it waited for is committed, so it stays. */
TEST(apply_waits_across_leaders)
{
    struct node *old = NULL;
    struct world *w = world_with_leader(&old);
    old->need_per_mille = 1000;
    uint64_t index = propose(old, "a");
    world_settle(w);
    CHECK_EQ(old->need_calls, 1u);
    w->is_cut[old->number] = true;
    CHECK(propose(old, "lost") > index);
    node_sync(old);
    unsigned calls = old->leadership_calls;
    struct node *new = NULL;
    for (unsigned i = 0; i < 100 && new == NULL; i++) {
        world_calm(w);
        for (uint32_t k = 1; k <= 3; k++) {
            bool leads = replica_is_leader(w->nodes[k].replica);
            new = leads && & w->nodes[k] != old ? &w->nodes[k] : new;
        }
    }
    CHECK(new != NULL);
    CHECK(propose(new, "b") > 0);
    w->is_cut[old->number] = false;
    world_calm(w);
    CHECK(old->leadership_calls > calls); /* told at once */
    CHECK_EQ(replica_applied(old->replica), index - 1);
    old->need_per_mille = 0;
    node_feed(old);
    CHECK_BYTES(buf_bytes(&old->applied), buf_bytes(&new->applied));
    world_destroy(w);
}

/* ---- the log goes ---------------------------------------------------------------------------- */

/* LOG-12, LOG-13: segments go with what is durable; what is not is copied; a restart finds all. */
TEST(segments_go)
{
    struct world *w = world_create(1, 8 * KIB);
    struct node *n = &w->nodes[1];
    node_sync(n);
    unsigned copies = 0;
    for (unsigned round = 0; round < 12; round++) {
        propose_many(w, n, 40);
        if (round % 4 == 0) {
            fold_all(n);
        }
        uint64_t newest = log_segment_newest(&n->log);
        if (newest > 2) {
            copies += log_segment_top(&n->log, newest - 1, GROUP) > n->synced.base.index;
            CHECK(node_free_log(n, newest - 1));
            node_sync(n);
            CHECK(log_segment_oldest(&n->log) >= newest);
        }
    }
    CHECK(copies > 3);
    CHECK(n->log.stats.released > 5);
    propose_many(w, n, 3);
    struct buf expected;
    buf_init(&expected, SIZE_MAX / 2);
    buf_append_bytes(&expected, buf_bytes(&n->applied));
    for (unsigned life = 0; life < 3; life++) {
        node_restart(n);
        CHECK_EQ(replica_generation(n->replica), 0u);
        node_sync(n);
        CHECK_BYTES(buf_bytes(&n->applied), buf_bytes(&expected));
    }
    buf_deinit(&expected);
    world_destroy(w);
}

/* What has left the memory and is not durable yet cannot be copied. */
TEST(nothing_is_copied_that_is_not_in_memory)
{
    struct world *w = world_create(1, 8 * KIB);
    struct node *n = &w->nodes[1];
    n->replica->options.trailing_bytes = 1;
    node_sync(n);
    propose_many(w, n, MANY);
    fold_begin(n);
    fold_end(n);
    CHECK(n->replica->entry_first > 1);
    uint64_t batch = log_segment_batch_last(&n->log, log_segment_oldest(&n->log));
    uint64_t records = n->log.stats.records;
    CHECK(!replica_relocate(n->replica, batch));
    fold_sync(n);
    CHECK(replica_relocate(n->replica, batch)); /* nothing to copy */
    node_sync(n);
    CHECK_EQ(n->log.stats.records, records);
    world_destroy(w);
}

/* Copies are made of what stands in the segments that go, once. */
TEST(live_entries_are_copied_once)
{
    struct world *w = world_create(1, 8 * KIB);
    struct node *n = &w->nodes[1];
    node_sync(n);
    propose_many(w, n, MANY);
    uint64_t batch = log_segment_batch_last(&n->log, log_segment_oldest(&n->log));
    uint64_t live = 0;
    while (replica_entry(n->replica, live + 1)->batch <= batch) {
        live++;
    }
    CHECK(live > 5);
    CHECK(live < MANY);
    fold_begin(n);
    uint64_t before = n->log.gathering_count;
    CHECK(replica_relocate(n->replica, batch));
    CHECK_EQ(n->log.gathering_count, before + live);
    CHECK(replica_relocate(n->replica, batch));
    CHECK_EQ(n->log.gathering_count, before + live);
    node_sync(n);
    world_destroy(w);
}

/*
 * What opens a segment, copies above all, stands in that one, not in the one before: else copies
 * that fill a segment would be made again for ever.
 */
TEST(what_opens_a_segment_is_not_copied_for_the_one_before)
{
    struct world *w = world_create(1, 8 * KIB);
    struct node *n = &w->nodes[1];
    struct replica *r = n->replica;
    node_sync(n);
    while (log_segment_newest(&n->log) == 1) {
        CHECK(propose(n, "a") > 0);
        world_settle(w);
    }
    CHECK_EQ(log_segment_top(&n->log, 1, GROUP), r->entry_last - 1);
    CHECK_EQ(log_segment_top(&n->log, 2, GROUP), r->entry_last);
    CHECK(!log_is_gathering(&n->log));
    CHECK(replica_relocate(r, log_segment_batch_last(&n->log, 1)));
    CHECK_EQ(n->log.gathering_count, r->entry_last - r->entry_first);
    node_sync(n);
    world_destroy(w);
}

/* ---- snapshots ------------------------------------------------------------------------------- */

/* In steps that nobody takes for silence. */
static void pass_time(struct world *w, uint64_t ms)
{
    for (uint64_t passed = 0; passed < ms; passed += HEARTBEAT_MS / 2) {
        world_advance(w, HEARTBEAT_MS / 2);
        world_settle(w);
    }
}

/* One is cut off until the leader has folded more than it keeps; then it is back. */
static struct world *world_with_one_behind(struct node **out_leader, struct node **out_behind)
{
    struct world *w = world_with_leader(out_leader);
    struct node *leader = *out_leader;
    struct node *behind = other_of(w, leader, NULL);
    *out_behind = behind;
    propose_many(w, leader, 5);
    w->is_cut[behind->number] = true;
    leader->replica->options.trailing_bytes = 1;
    propose_many(w, leader, MANY);
    fold_all(leader);
    propose_many(w, leader, 10); /* and some that were not folded */
    leader->wanted = 0;
    w->is_cut[behind->number] = false;
    for (unsigned i = 0; i < 10 && leader->wanted == 0; i++) {
        world_calm(w);
    }
    CHECK_EQ(leader->wanted, replica_id(behind->replica));
    CHECK(replica_is_leader(leader->replica));
    return w;
}

static void send_staged(struct node *leader, struct node *to)
{
    CHECK(replica_send_install(leader->replica, replica_id(to->replica), &to->staged.base));
}

static void check_equal(struct world *w, const struct node *a, const struct node *b)
{
    for (unsigned i = 0; i < 10; i++) {
        world_calm(w);
    }
    CHECK_EQ(replica_applied(a->replica), replica_last_index(b->replica));
    CHECK_BYTES(buf_bytes(&a->applied), buf_bytes(&b->applied));
}

/* LOG-15; the state that is sent is newer than the one that the engine knows of. */
TEST(follower_gets_a_snapshot)
{
    struct node *leader = NULL;
    struct node *behind = NULL;
    struct world *w = world_with_one_behind(&leader, &behind);
    unsigned wanted = leader->wanted_calls;
    pass_time(w, 3000);
    CHECK(leader->wanted_calls > wanted); /* it comes again */
    struct replica_base wrong;
    replica_base(leader->replica, &wrong);
    CHECK(replica_send_install(leader->replica, replica_id(behind->replica), &wrong));
    world_calm(w);
    CHECK(replica_applied(behind->replica) < MANY);
    fold_all(leader);
    stage(behind, leader);
    CHECK_EQ(behind->staged.base.index, replica_last_index(leader->replica));
    uint64_t before = replica_applied(behind->replica);
    wrong = behind->staged.base;
    wrong.index--;
    CHECK(replica_send_install(leader->replica, replica_id(behind->replica), &wrong));
    deliver_to(w, behind->number);
    CHECK(!replica_is_installing(behind->replica));
    send_staged(leader, behind);
    deliver_to(w, behind->number);
    CHECK(replica_is_installing(behind->replica));
    CHECK_EQ(replica_applied(behind->replica), before);
    CHECK_EQ(replica_synced_index(behind->replica), 0u);
    CHECK(!replica_relocate(behind->replica, 1));
    fold_all(behind); /* of what goes */
    unsigned restored = behind->restore_calls;
    node_sync(behind);
    CHECK(!replica_is_installing(behind->replica));
    CHECK_EQ(behind->restore_calls, restored + 1);
    CHECK_EQ(replica_generation(behind->replica), 1u);
    CHECK_EQ(replica_applied(behind->replica), behind->staged.base.index);
    CHECK_EQ(replica_synced_index(behind->replica), behind->staged.base.index);
    check_equal(w, behind, leader);
    propose_many(w, leader, 5);
    check_equal(w, behind, leader);
    uint64_t wanted_calls = leader->wanted_calls;
    pass_time(w, 3000);
    CHECK_EQ(leader->wanted_calls, wanted_calls);
    node_restart(behind);
    CHECK_EQ(replica_generation(behind->replica), 1u);
    check_equal(w, behind, leader);
    world_destroy(w);
}

/* However much is written while it travels: what follows it is there. */
TEST(one_snapshot_is_enough)
{
    struct node *leader = NULL;
    struct node *behind = NULL;
    struct world *w = world_with_one_behind(&leader, &behind);
    replica_hold_entries(leader->replica, 0);
    fold_all(leader);
    stage(behind, leader);
    replica_hold_entries(leader->replica, behind->staged.base.index);
    propose_many(w, leader, 2 * MANY);
    fold_all(leader);
    propose_many(w, leader, MANY);
    fold_all(leader);
    send_staged(leader, behind);
    world_calm(w);
    CHECK_EQ(replica_generation(behind->replica), 1u);
    pass_time(w, 2000); /* the engine may have asked for a newer one meanwhile */
    CHECK_EQ(replica_applied(behind->replica), replica_last_index(leader->replica));
    unsigned wanted = leader->wanted_calls;
    pass_time(w, 3000);
    CHECK_EQ(leader->wanted_calls, wanted);
    world_destroy(w);
}

/* Entries stay for their terms (G3), large payloads do not; who lacks one gets a snapshot. */
TEST(payloads_leave_before_their_entries)
{
    struct node *leader = NULL;
    struct world *w = world_with_leader(&leader);
    struct node *behind = other_of(w, leader, NULL);
    struct replica *r = leader->replica;
    propose_many(w, leader, 5);
    w->is_cut[behind->number] = true;
    propose_many(w, leader, 20);
    r->options.payload_bytes = 1;
    fold_begin(leader);
    fold_end(leader);
    uint64_t last = replica_last_index(r);
    CHECK_EQ(r->entry_first, 1u);
    CHECK_EQ(r->payload_first, last);
    CHECK_EQ(r->kept_bytes, replica_entry(r, last)->size);
    CHECK(!replica_relocate(r, UINT64_MAX));
    leader->wanted = 0;
    w->is_cut[behind->number] = false;
    for (unsigned i = 0; i < 10 && leader->wanted == 0; i++) {
        world_calm(w);
    }
    CHECK_EQ(leader->wanted, replica_id(behind->replica));
    stage(behind, leader);
    send_staged(leader, behind);
    world_calm(w);
    CHECK_EQ(replica_generation(behind->replica), 1u);
    propose_many(w, leader, 5);
    check_equal(w, behind, leader);
    unsigned wanted = leader->wanted_calls;
    pass_time(w, 3000);
    CHECK_EQ(leader->wanted_calls, wanted);
    world_destroy(w);
}

/* A crash before the record of the install is durable: the old state and log count. */
TEST(crash_before_the_install_is_durable)
{
    struct node *leader = NULL;
    struct node *behind = NULL;
    struct world *w = world_with_one_behind(&leader, &behind);
    uint64_t last = replica_last_index(behind->replica);
    stage(behind, leader);
    send_staged(leader, behind);
    deliver_to(w, behind->number);
    CHECK(replica_is_installing(behind->replica));
    node_turn(behind);
    node_restart(behind);
    CHECK_EQ(replica_generation(behind->replica), 0u);
    CHECK_EQ(replica_last_index(behind->replica), last);
    pass_time(w, 3000);
    send_staged(leader, behind); /* it is still there */
    check_equal(w, behind, leader);
    CHECK_EQ(replica_generation(behind->replica), 1u);
    world_destroy(w);
}

/* A crash right behind it: the new one counts, though nobody had loaded it. */
TEST(crash_when_the_install_is_durable)
{
    struct node *leader = NULL;
    struct node *behind = NULL;
    struct world *w = world_with_one_behind(&leader, &behind);
    stage(behind, leader);
    uint64_t index = behind->staged.base.index;
    send_staged(leader, behind);
    deliver_to(w, behind->number);
    node_turn(behind);
    struct node *n = behind;
    n->env.jobs[0]->run(n->env.jobs[0]); /* what the worker did; nobody hears of it */
    CHECK(replica_is_installing(behind->replica));
    node_restart(behind);
    CHECK_EQ(replica_generation(behind->replica), 1u);
    CHECK_EQ(replica_applied(behind->replica), index);
    check_equal(w, behind, leader);
    world_destroy(w);
}

/* LOG-14: a write that was in flight says nothing about what came after it. */
TEST(install_while_a_write_is_in_flight)
{
    struct node *leader = NULL;
    struct node *behind = NULL;
    struct world *w = world_with_one_behind(&leader, &behind);
    stage(behind, leader);
    replica_log_group(behind->replica);
    node_turn(behind); /* with the worker */
    send_staged(leader, behind);
    deliver_to(w, behind->number);
    CHECK(replica_is_installing(behind->replica));
    uint64_t index = behind->staged.base.index;
    CHECK_EQ(replica_last_index(behind->replica), index);
    CHECK(fake_env_run(&behind->env));
    CHECK(replica_is_installing(behind->replica));
    CHECK(replica_applied(behind->replica) < index);
    node_sync(behind);
    CHECK_EQ(replica_applied(behind->replica), index);
    check_equal(w, behind, leader);
    world_destroy(w);
}

/* What apply() waits for is void. */
TEST(install_while_apply_waits)
{
    struct node *leader = NULL;
    struct world *w = world_with_leader(&leader);
    struct node *behind = other_of(w, leader, NULL);
    behind->need_per_mille = 1000;
    leader->replica->options.trailing_bytes = 1;
    CHECK(propose(leader, "a") > 0);
    world_settle(w);
    world_calm(w);
    CHECK_EQ(behind->need_calls, 1u);
    w->is_cut[behind->number] = true;
    propose_many(w, leader, MANY);
    fold_all(leader);
    w->is_cut[behind->number] = false;
    for (unsigned i = 0; i < 10 && leader->wanted == 0; i++) {
        world_calm(w);
    }
    stage(behind, leader);
    send_staged(leader, behind);
    deliver_to(w, behind->number);
    CHECK(replica_is_installing(behind->replica));
    node_feed(behind);
    CHECK_EQ(behind->need_calls, 1u);
    node_sync(behind);
    CHECK_EQ(replica_applied(behind->replica), behind->staged.base.index);
    behind->need_per_mille = 0;
    node_feed(behind);
    check_equal(w, behind, leader);
    world_destroy(w);
}

/* A segment that begins behind an INSTALL which is not durable names what that one names. */
TEST(segment_begins_behind_an_install)
{
    struct node *leader = NULL;
    struct node *behind = NULL;
    struct world *w = world_with_one_behind(&leader, &behind);
    stage(behind, leader);
    send_staged(leader, behind);
    deliver_to(w, behind->number);
    CHECK(replica_is_installing(behind->replica));
    replica_log_group(behind->replica);
    node_sync(behind);
    CHECK(!replica_is_installing(behind->replica));
    node_restart(behind);
    CHECK_EQ(replica_generation(behind->replica), 1u);
    check_equal(w, behind, leader);
    world_destroy(w);
}

/* ---- full disks ------------------------------------------------------------------------------ */

TEST(full_disk_takes_no_entries)
{
    struct node *leader = NULL;
    struct world *w = world_with_leader(&leader);
    struct node *follower = other_of(w, leader, NULL);
    replica_set_full(follower->replica, true);
    uint64_t index = propose(leader, "a");
    world_settle(w);
    world_calm(w);
    CHECK(replica_last_index(follower->replica) < index);
    CHECK_EQ(replica_applied(leader->replica), index); /* by the third */
    CHECK_EQ(replica_leader(follower->replica), leader->number);
    replica_set_full(leader->replica, true);
    CHECK(!replica_has_room(leader->replica));
    CHECK_EQ(propose(leader, "b"), 0u);
    world_calm(w);
    CHECK(replica_is_leader(leader->replica)); /* reads go on */
    replica_set_full(leader->replica, false);
    replica_set_full(follower->replica, false);
    CHECK(replica_has_room(leader->replica));
    CHECK_EQ(propose(leader, "c"), index + 1);
    check_equal(w, follower, leader);
    world_destroy(w);
}

/* ---- members --------------------------------------------------------------------------------- */

static void set_members(struct world *w, struct node *leader, bool *out_is_done)
{
    uint64_t ids[NODES_MAX];
    for (uint32_t i = 1; i <= w->count; i++) {
        ids[i - 1] = replica_id(w->nodes[i].replica);
    }
    CHECK_EQ(replica_set_members(leader->replica, ids, w->count, out_is_done), STATUS_OK);
}

/* LOG-7, MOVE-1: a node that lost everything is another member, and comes to hold everything. */
TEST(node_without_anything_is_another_member)
{
    struct node *leader = NULL;
    struct world *w = world_with_leader(&leader);
    struct node *lost = other_of(w, leader, NULL);
    bool is_done = false;
    set_members(w, leader, &is_done);
    CHECK(is_done);
    leader->replica->options.trailing_bytes = 1;
    propose_many(w, leader, MANY);
    fold_all(leader);
    node_replace(lost);
    CHECK_EQ(replica_id(lost->replica), replica_id_of(lost->number, 1));
    world_calm(w);
    CHECK_EQ(replica_last_index(lost->replica), 0u); /* what is for its earlier life is not taken */
    for (unsigned i = 0; !is_done || i == 0; i++) {
        CHECK(i < 100);
        set_members(w, leader, &is_done);
        world_calm(w);
        if (leader->wanted != 0) {
            CHECK_EQ(leader->wanted, replica_id(lost->replica));
            leader->wanted = 0;
            stage(lost, leader);
            send_staged(leader, lost);
        }
    }
    struct engine_config config;
    replica_config(lost->replica, &config);
    CHECK_EQ(config.count, 3u);
    check_equal(w, lost, leader);
    /* It votes, and may lead: nothing is sent to its own earlier life. */
    w->is_cut[leader->number] = true;
    struct node *new = world_elect(w);
    CHECK(propose(new, "x") > 0);
    world_settle(w);
    CHECK_EQ(replica_applied(new->replica), replica_last_index(new->replica));
    world_destroy(w);
}

/* Its earlier life is still a member when it leads: that one shares its node number. */
TEST(leader_sends_nothing_to_itself)
{
    struct node *leader = NULL;
    struct world *w = world_with_leader(&leader);
    struct engine_message m = {
        .type = ENGINE_APPEND_RESULT,
        .peer = replica_id_of(leader->number, 7),
        .term = 1,
    };
    size_t count = w->packet_count;
    CHECK(!replica_send(leader->replica, &m));
    CHECK_EQ(w->packet_count, count);
    world_destroy(w);
}

TEST(members_that_cannot_be)
{
    struct node *leader = NULL;
    struct world *w = world_with_leader(&leader);
    const uint64_t none[] = {0};
    bool is_done = true;
    CHECK_EQ(replica_set_members(leader->replica, none, 1, &is_done), STATUS_INVALID);
    CHECK(!is_done);
    struct node *follower = other_of(w, leader, NULL);
    CHECK_EQ(replica_set_members(follower->replica, none, 1, &is_done), STATUS_OK); /* not it */
    CHECK(!is_done);
    world_destroy(w);
}
