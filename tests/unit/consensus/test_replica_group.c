/* Three replicas: what is committed and applied when, also under another leader. */
#include "replica_world.h"

/* ---- replication ----------------------------------------------------------------------------- */

TEST(entry_reaches_everybody)
{
    struct node *leader = NULL;
    struct world *w = world_with_leader(&leader);
    struct node *follower = other_of(w, leader, NULL);
    CHECK_EQ(propose(follower, "no"), 0u);
    uint64_t index = propose(leader, "a");
    CHECK(index > 0);
    CHECK_EQ(count_sent(w, leader->number, 0, ENGINE_APPEND), 2u); /* before the own sync */
    world_settle(w);
    world_calm(w);
    check_applied_on(w, index, "a");
    for (uint32_t i = 1; i <= 3; i++) {
        CHECK_EQ(replica_leader(w->nodes[i].replica), leader->number);
        CHECK_EQ(replica_last_index(w->nodes[i].replica), index);
        CHECK_EQ(replica_commit_index(w->nodes[i].replica), index);
        CHECK_EQ(replica_pending_bytes(w->nodes[i].replica), 0u);
        CHECK(replica_memory(w->nodes[i].replica) > 0);
    }
    world_destroy(w);
}

/* LOG-2: a follower acknowledges what it has synced. */
TEST(acknowledgement_waits_for_the_sync)
{
    struct node *leader = NULL;
    struct world *w = world_with_leader(&leader);
    struct node *follower = other_of(w, leader, NULL);
    CHECK(propose(leader, "a") > 0);
    deliver_to(w, follower->number);
    CHECK_EQ(count_sent(w, follower->number, 0, ENGINE_APPEND_RESULT), 0u);
    node_turn(follower);
    CHECK_EQ(count_sent(w, follower->number, 0, ENGINE_APPEND_RESULT), 0u);
    CHECK(fake_env_run(&follower->env));
    CHECK_EQ(count_sent(w, follower->number, 0, ENGINE_APPEND_RESULT), 1u);
    check_applied(follower, "");
    world_destroy(w);
}

/* The leader counts itself once it has synced; one more makes the majority. */
TEST(leader_counts_itself_after_its_sync)
{
    struct node *leader = NULL;
    struct world *w = world_with_leader(&leader);
    struct node *follower = other_of(w, leader, NULL);
    uint64_t index = propose(leader, "a");
    deliver_to(w, follower->number);
    node_sync(follower);
    deliver_to(w, leader->number);
    check_applied(leader, ""); /* one of three */
    CHECK(replica_commit_index(leader->replica) < index);
    node_sync(leader);
    CHECK_EQ(replica_commit_index(leader->replica), index);
    CHECK(leader->applied.size > 0);
    world_destroy(w);
}

/* And alone it is no majority. */
TEST(leader_alone_commits_nothing)
{
    struct node *leader = NULL;
    struct world *w = world_with_leader(&leader);
    uint64_t index = propose(leader, "a");
    node_sync(leader);
    CHECK(replica_commit_index(leader->replica) < index);
    check_applied(leader, "");
    world_destroy(w);
}

/* LOG-3: committed by the others, and still not applied before the own sync. */
TEST(committed_is_not_applied_before_the_own_sync)
{
    struct node *leader = NULL;
    struct world *w = world_with_leader(&leader);
    uint64_t index = propose(leader, "a");
    for (uint32_t i = 1; i <= 3; i++) {
        if (&w->nodes[i] != leader) {
            deliver_to(w, i);
            node_sync(&w->nodes[i]);
        }
    }
    deliver_to(w, leader->number);
    CHECK_EQ(replica_commit_index(leader->replica), index);
    check_applied(leader, "");
    uint64_t read = 0;
    uint64_t round = 0;
    CHECK(replica_read_begin(leader->replica, &read, &round));
    CHECK_EQ(read, index); /* a read shows it, or waits */
    CHECK(replica_applied(leader->replica) < read);
    node_sync(leader);
    CHECK(leader->applied.size > 0);
    world_destroy(w);
}

/* A restarted follower applies at once what it knew to be committed, the rest as it hears of it. */
TEST(follower_restarts)
{
    struct node *leader = NULL;
    struct world *w = world_with_leader(&leader);
    struct node *follower = other_of(w, leader, NULL);
    uint64_t first = propose(leader, "a");
    world_settle(w);
    world_calm(w);
    CHECK(propose(leader, "b") > 0);
    world_settle(w);
    world_calm(w);
    char text[64];
    (void)snprintf(text, sizeof text, "%u:a;%u:b;", (unsigned)first, (unsigned)first + 1);
    check_applied(follower, text);
    node_kill(follower);
    node_revive(follower);
    node_open(follower);
    (void)snprintf(text, sizeof text, "%u:a;", (unsigned)first);
    check_applied(follower, text);
    node_start(follower);
    check_applied(follower, text);
    world_calm(w);
    (void)snprintf(text, sizeof text, "%u:a;%u:b;", (unsigned)first, (unsigned)first + 1);
    check_applied(follower, text);
    CHECK_EQ(leader->leadership_calls, 1u);
    world_destroy(w);
}

static void check_append_sizes(const struct world *w, uint32_t to, size_t *out_count)
{
    *out_count = 0;
    for (size_t i = 0; i < w->packet_count; i++) {
        struct message_route route;
        struct engine_message m;
        struct message_entries entries = {0};
        struct bytes bytes = buf_bytes(&w->packets[i].bytes);
        CHECK_EQ(message_decode(bytes, &route, &m, &entries), STATUS_OK);
        if (w->packets[i].to == to && m.type == ENGINE_APPEND && m.append.count > 0) {
            CHECK(bytes.size < 1 * MIB + 4 * KIB || m.append.count == 1);
            (*out_count)++;
        }
        message_entries_deinit(&entries);
    }
}

/* Messages stay small, but for one entry that is large by itself. */
TEST(appends_are_cut_by_size)
{
    static const uint32_t sizes[] = {400, 400, 400, 3000, 10, 10, 500, 500, 600};
    struct world *w = world_create(3, 16 * MIB);
    struct node *leader = world_elect(w);
    struct node *behind = other_of(w, leader, NULL);
    world_calm(w);
    w->is_cut[behind->number] = true;
    uint64_t last = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t size = (size_t)sizes[i] * KIB;
        uint8_t *payload = mem_alloc(size);
        memset(payload, (int)('a' + i), size);
        last = replica_propose(leader->replica, bytes_of(payload, size));
        mem_free(payload);
        world_settle(w);
    }
    CHECK_EQ(replica_applied(leader->replica), last);
    w->is_cut[behind->number] = false;
    size_t most = 0;
    for (unsigned step = 0; step < 200 && replica_last_index(behind->replica) < last; step++) {
        world_advance(w, HEARTBEAT_MS / 2);
        size_t count = 0;
        check_append_sizes(w, behind->number, &count);
        most = count > most ? count : most;
        while (w->packet_count > 0) {
            deliver(w, 0);
            check_append_sizes(w, behind->number, &count);
            most = count > most ? count : most;
        }
        world_settle(w);
    }
    CHECK(most >= 4);
    world_calm(w);
    CHECK_EQ(replica_applied(behind->replica), last);
    CHECK_BYTES(buf_bytes(&behind->applied), buf_bytes(&leader->applied));
    world_destroy(w);
}

/* The window: entries gather in the shard beyond it. */
TEST(window_grows_full_and_empty)
{
    struct node *leader = NULL;
    struct world *w = world_with_leader(&leader);
    w->is_cut[leader->number] = true;
    unsigned count = 0;
    while (replica_has_room(leader->replica)) {
        CHECK(propose(leader, "0123456789") > 0);
        CHECK(count++ < 1000);
    }
    CHECK(count > 10);
    CHECK_EQ(replica_pending_bytes(leader->replica), (uint64_t)count * 10);
    node_sync(leader);
    CHECK(!replica_has_room(leader->replica)); /* durable here is not enough */
    packets_drop_all(w);
    w->is_cut[leader->number] = false;
    world_calm(w);
    CHECK(replica_has_room(leader->replica));
    CHECK_EQ(replica_pending_bytes(leader->replica), 0u);
    world_destroy(w);
}

/* ---- another leader -------------------------------------------------------------------------- */

/* The old leader is cut off; the others elect one of them, and nothing more has happened yet. */
static struct node *replace_leader(struct world *w, struct node *old)
{
    w->is_cut[old->number] = true;
    packets_drop_all(w);
    for (unsigned step = 0; step < 1000; step++) {
        for (uint32_t i = 1; i <= w->count; i++) {
            struct node *n = &w->nodes[i];
            if (n == old) {
                continue;
            }
            fake_env_advance(&n->env, HEARTBEAT_MS / 2);
            deliver_to(w, i);
            if (replica_is_leader(n->replica)) {
                return n;
            }
            node_sync(n);
        }
    }
    unreachable("two of three elect a leader");
}

/*
 * LOG-14. A proposed x; it is cut off, and its write of x is in flight. B is elected by C and puts
 * another entry in x's place; C is cut off before it can acknowledge it, so A's word decides. The
 * write of x then completes on A.
 */
TEST(overwritten_write_acknowledges_nothing)
{
    struct node *a = NULL;
    struct world *w = world_with_leader(&a);
    uint64_t index = propose(a, "x");
    node_turn(a); /* with the worker, which is slow */
    struct node *b = replace_leader(w, a);
    struct node *c = other_of(w, a, b);
    packets_drop_all(w);
    w->is_cut[c->number] = true;
    w->is_cut[a->number] = false;
    CHECK(propose(b, "y") >= index);
    node_sync(b);
    unsigned lost = a->leadership_calls;
    for (unsigned step = 0; replica_entry(a->replica, index)->term < replica_term(b->replica);
         step++) {
        CHECK(step < 100);
        fake_env_advance(&b->env, HEARTBEAT_MS);
        node_sync(b);
        deliver_to(w, a->number); /* no sync on A */
        deliver_to(w, b->number);
    }
    CHECK_EQ(a->leadership_calls, lost + 1);
    CHECK(!a->is_leader);
    CHECK(a->replica->index_durable < index);
    for (unsigned step = 0; step < 3; step++) {
        fake_env_advance(&b->env, HEARTBEAT_MS);
        deliver_to(w, a->number);
        deliver_to(w, b->number);
    }
    CHECK(replica_commit_index(b->replica) < index);
    CHECK_EQ(fake_env_run(&a->env), true); /* x is durable now: it says nothing about y */
    CHECK(a->replica->index_durable < index);
    deliver_to(w, b->number);
    CHECK(replica_commit_index(b->replica) < index);
    check_applied(b, "");
    node_sync(a); /* now y is */
    deliver_to(w, b->number);
    CHECK(replica_commit_index(b->replica) >= index);
    CHECK(b->applied.size > 0);
    /* The state machine never saw x, nor does it after a restart: the log holds both. */
    w->is_cut[c->number] = false;
    world_calm(w);
    node_restart(a);
    world_calm(w);
    CHECK_BYTES(buf_bytes(&a->applied), buf_bytes(&b->applied));
    CHECK_BYTES(buf_bytes(&c->applied), buf_bytes(&b->applied));
    world_destroy(w);
}

/* Nobody hears of it and it hears of nobody: it gives up by itself, and says so. */
TEST(isolated_leader_steps_down)
{
    struct node *leader = NULL;
    struct world *w = world_with_leader(&leader);
    w->is_cut[leader->number] = true;
    CHECK(propose(leader, "x") > 0);
    for (unsigned step = 0; step < 10; step++) {
        fake_env_advance(&leader->env, ELECTION_MS / 2);
        node_sync(leader);
        packets_drop_all(w);
    }
    CHECK_EQ(leader->leadership_calls, 2u);
    CHECK(!leader->is_leader);
    CHECK_EQ(propose(leader, "y"), 0u);
    CHECK_EQ(replica_leader(leader->replica), 0u);
    check_applied(leader, "");
    world_destroy(w);
}

/* Heartbeats keep a leader for as long as they come; then, and only then, there is another. */
TEST(leader_stays_while_it_is_heard)
{
    struct node *leader = NULL;
    struct world *w = world_with_leader(&leader);
    uint64_t term = replica_term(leader->replica);
    for (unsigned i = 0; i < 20; i++) {
        world_calm(w);
    }
    for (uint32_t i = 1; i <= 3; i++) {
        CHECK_EQ(replica_term(w->nodes[i].replica), term);
        CHECK_EQ(replica_leader(w->nodes[i].replica), leader->number);
    }
    CHECK_EQ(leader->leadership_calls, 1u);
    node_kill(leader);
    struct node *next = world_elect(w);
    CHECK(next != leader);
    CHECK(replica_term(next->replica) > term);
    world_calm(w);
    CHECK_EQ(replica_leader(other_of(w, leader, next)->replica), next->number);
    world_destroy(w);
}

/* A deposed leader's reads are never confirmed, and it is told so as soon as it hears of it. */
TEST(deposed_leader_confirms_nothing)
{
    struct node *old = NULL;
    struct world *w = world_with_leader(&old);
    uint64_t index = 0;
    uint64_t round = 0;
    CHECK(replica_read_begin(old->replica, &index, &round));
    world_settle(w);
    CHECK(replica_confirmed(old->replica) >= round);
    unsigned advanced = old->advanced_calls;
    CHECK(advanced > 0);

    struct node *new = replace_leader(w, old);
    CHECK(propose(new, "a") > 0);
    world_settle(w);
    CHECK(new->applied.size > 0);
    CHECK(replica_is_leader(old->replica)); /* as far as it knows: its clock stood still */
    CHECK(replica_read_begin(old->replica, &index, &round));
    w->is_cut[old->number] = false;
    rounds_flush(old->rounds);
    for (uint32_t i = 1; i <= 3; i++) {
        deliver_to(w, i); /* its probes arrive, in a term that is over */
    }
    CHECK(replica_confirmed(old->replica) < round);
    world_calm(w);
    CHECK(!old->is_leader);
    CHECK(replica_confirmed(old->replica) < round);
    CHECK(!replica_read_begin(old->replica, &index, &round));
    CHECK_EQ(propose(old, "b"), 0u);
    CHECK_EQ(replica_leader(old->replica), new->number);
    world_destroy(w);
}

/* READ-2: a new leader's reads wait for all in its log, also for what the old one had answered. */
TEST(new_leader_reads_behind_its_barrier)
{
    struct node *old = NULL;
    struct world *w = world_with_leader(&old);
    uint64_t left = propose(old, "a");
    world_settle(w); /* committed, which nobody but the old leader knows */
    CHECK(old->applied.size > 0);
    struct node *new = replace_leader(w, old);
    CHECK(replica_commit_index(new->replica) < left);
    CHECK(replica_applied(new->replica) < left);
    uint64_t index = 0;
    uint64_t round = 0;
    CHECK(replica_read_begin(new->replica, &index, &round));
    CHECK(index >= left);
    CHECK(round > replica_confirmed(new->replica));
    world_settle(w);
    CHECK(replica_applied(new->replica) >= index);
    CHECK(new->applied.size > 0);
    world_destroy(w);
}

/* LOG-3, LOG-14: x was durable here, and committed nowhere; what stands in its place is not. */
TEST(overwriting_entry_is_not_durable_yet)
{
    struct node *old = NULL;
    struct world *w = world_with_leader(&old);
    uint64_t index = propose(old, "x");
    node_sync(old);
    CHECK_EQ(old->replica->index_durable, index);
    struct node *new = replace_leader(w, old);
    world_settle(w);
    CHECK(propose(new, "y") >= index);
    world_settle(w);
    CHECK(new->applied.size > 0);
    w->is_cut[old->number] = false;
    for (unsigned step = 0; replica_commit_index(old->replica) < index; step++) {
        CHECK(step < 100);
        fake_env_advance(&new->env, HEARTBEAT_MS);
        node_sync(new);
        deliver_to(w, old->number); /* no sync there */
        deliver_to(w, new->number);
    }
    check_applied(old, ""); /* committed, but not durable here */
    CHECK(replica_applied(old->replica) < index);
    node_sync(old);
    CHECK_BYTES(buf_bytes(&old->applied), buf_bytes(&new->applied));
    CHECK_EQ(replica_pending_bytes(old->replica), 0u);
    CHECK_EQ(old->replica->kept_bytes, new->replica->kept_bytes);
    world_destroy(w);
}

/* What a deposed leader wrote and never committed is not applied when it starts again. */
TEST(uncommitted_is_not_applied_at_restart)
{
    struct node *old = NULL;
    struct world *w = world_with_leader(&old);
    w->is_cut[old->number] = true;
    CHECK(propose(old, "x") > 0);
    node_sync(old);
    CHECK(propose(old, "y") > 0);
    node_sync(old);
    uint64_t last = replica_last_index(old->replica);
    node_restart(old);
    node_sync(old);
    CHECK_EQ(replica_last_index(old->replica), last);
    check_applied(old, "");
    world_destroy(w);
}

/* A disk that hangs reports no error: the group must not stay with a leader that applies nothing.
 */
TEST(leader_with_a_hung_disk_is_replaced)
{
    struct node *old = NULL;
    struct world *w = world_with_leader(&old);
    uint64_t index = propose(old, "x");
    for (unsigned ms = 0; replica_is_leader(old->replica); ms += HEARTBEAT_MS / 2) {
        CHECK(ms < 5000);
        for (uint32_t i = 1; i <= 3; i++) {
            struct node *n = &w->nodes[i];
            fake_env_advance(&n->env, HEARTBEAT_MS / 2);
            deliver_to(w, i);
            if (n == old) {
                node_turn(n); /* its job never ends */
            } else {
                node_sync(n);
            }
        }
    }
    CHECK(replica_applied(old->replica) < index);
    world_settle(w); /* the disk is back */
    struct node *new = world_elect(w);
    CHECK(new != old);
    world_calm(w);
    check_applied_on(w, index, "x");
    world_destroy(w);
}

/* All groups of a node share its log: one must not add to what others cannot get rid of. */
TEST(no_room_while_the_log_is_behind)
{
    struct node *leader = NULL;
    struct world *w = world_with_leader(&leader);
    leader->replica->log_bytes_max = 1 * KIB;
    CHECK(replica_has_room(leader->replica));
    uint8_t data[2 * KIB] = {0};
    CHECK(replica_propose(leader->replica, bytes_of(data, sizeof data)) > 0);
    CHECK(!replica_has_room(leader->replica));
    node_sync(leader);
    CHECK(replica_has_room(leader->replica));
    world_destroy(w);
}

/* A follower whose disk is slow takes no more than it may hold, and gets the rest later. */
TEST(follower_with_a_slow_disk_is_not_flooded)
{
    struct world *w = world_create(3, 4 * MIB);
    struct node *leader = world_elect(w);
    world_calm(w);
    struct node *slow = other_of(w, leader, NULL);
    struct node *good = other_of(w, leader, slow);
    slow->replica->log_bytes_max = 64 * KIB;
    uint8_t data[4 * KIB] = {0};
    for (unsigned i = 0; i < 500; i++) {
        if (replica_has_room(leader->replica)) {
            CHECK(replica_propose(leader->replica, bytes_of(data, sizeof data)) > 0);
        }
        if (i % 8 == 0) {
            world_advance(w, HEARTBEAT_MS / 2);
        }
        deliver_to(w, slow->number);
        node_turn(slow); /* its job does not end yet */
        deliver_to(w, good->number);
        node_sync(good);
        deliver_to(w, leader->number);
        node_sync(leader);
        CHECK(log_pending_bytes(&slow->log) < 80 * KIB);
        CHECK(replica_is_leader(leader->replica));
    }
    uint64_t last = replica_last_index(leader->replica);
    CHECK_EQ(replica_applied(leader->replica), last);
    world_settle(w);
    world_calm(w);
    CHECK_EQ(replica_applied(slow->replica), last);
    CHECK_BYTES(buf_bytes(&slow->applied), buf_bytes(&leader->applied));
    world_destroy(w);
}

/* Disks slower than an election time-out: the votes of one term leave before the next one begins.
 */
TEST(slow_disks_elect_a_leader)
{
    for (unsigned sync_ms = ELECTION_MS / 2; sync_ms <= 5 * ELECTION_MS; sync_ms += 25) {
        struct world *w = world_create(3, SEGMENT_BYTES);
        bool has_leader = false;
        for (unsigned ms = 0; !has_leader; ms += 5) {
            CHECK(ms < 20 * sync_ms + 20 * ELECTION_MS);
            for (uint32_t i = 1; i <= 3; i++) {
                struct node *n = &w->nodes[i];
                fake_env_advance(&n->env, 5);
                deliver_to(w, i);
                node_turn(n);
                if ((ms + 5 * i) % sync_ms == 0) {
                    (void)fake_env_run(&n->env);
                }
                has_leader = has_leader || replica_is_leader(n->replica);
            }
        }
        world_destroy(w);
    }
}
