/* Whole transfers between machines: what arrives, how fast, how many at once, and what comes again.
 */
#include "snapshots_world.h"

/* One letter at a time until this one is the next; false: it never came. */
static bool run_until(struct world *w, enum snapshot_type type)
{
    for (unsigned steps = 0; steps < 10000; steps++) {
        while (!list_is_empty(&w->letters)) {
            struct letter *letter = container_of(w->letters.next, struct letter, link);
            struct snapshot_message m;
            if (!letter->is_install &&
                snapshot_message_decode(buf_bytes(&letter->bytes), &m) == STATUS_OK &&
                m.type == type) {
                return true;
            }
            (void)world_deliver(w);
        }
        world_heartbeat(w, 2);
        if (!world_step(w)) {
            world_advance(w, 50);
        }
    }
    return false;
}

static void check_one_transfer(struct world *w)
{
    CHECK_EQ(w->install_index, w->index_last);
    CHECK_EQ(stats_of(w, 1)->sent, 1u);
    CHECK_EQ(stats_of(w, 2)->taken, 1u);
    CHECK_EQ(stats_of(w, 1)->failed, 0u);
    CHECK_EQ(stats_of(w, 2)->failed, 0u);
    CHECK_EQ(stats_of(w, 1)->sending, 0u);
    CHECK_EQ(stats_of(w, 2)->taking, 0u);
    CHECK_EQ(w->malformed, 0u);
}

/* ---- what arrives ---------------------------------------------------------------------------- */

TEST(a_state_arrives)
{
    struct world w;
    world_create(&w);
    world_start(&w, 10000, 0);
    CHECK(world_run(&w, 5000));
    check_one_transfer(&w);
    CHECK(stats_of(&w, 1)->sent_bytes > 10000u * 50u);
    CHECK_EQ(stats_of(&w, 1)->sent_bytes, stats_of(&w, 2)->taken_bytes);
    world_destroy(&w);
}

/* More than is read from the store at once. */
TEST(many_head_rows)
{
    struct world w;
    world_create(&w);
    machine_start(&w, 1);
    machine_start(&w, 2);
    for (uint32_t i = 1; i < 5000; i++) {
        put_dup(machine_of(&w, 1), 1, i);
    }
    w.index_last = 4;
    CHECK(world_run(&w, 5000));
    CHECK(stats_of(&w, 2)->taken_bytes > 2 * MIB);
    world_destroy(&w);
}

/* A row is never cut: a chunk holds one more than fits. */
TEST(the_largest_row_arrives)
{
    struct world w;
    world_create(&w);
    world_start(&w, 100, LIMIT_VALUE_BYTES + OBJECT_HEADER_BYTES);
    CHECK(world_run(&w, 20000));
    check_one_transfer(&w);
    world_destroy(&w);
}

/* The last chunk is empty where the one before ended with the last row. */
TEST(any_size_of_chunks_will_do)
{
    for (uint64_t chunk_bytes = 1; chunk_bytes < 300; chunk_bytes += 13) {
        struct world w;
        world_create(&w);
        w.options.chunk_bytes = chunk_bytes;
        world_start(&w, 20, 0);
        CHECK(world_run(&w, 5000));
        check_one_transfer(&w);
        world_destroy(&w);
    }
}

/* What is sent is the state as it was when the transfer began. */
TEST(the_state_changes_meanwhile)
{
    struct world w;
    world_create(&w);
    w.options.chunk_bytes = 500;
    world_start(&w, 200, 0);
    uint64_t index_first = w.index_last;
    CHECK(run_until(&w, SNAPSHOT_OFFER));
    unsigned steps = 0;
    while (w.installs == 0) {
        world_change(&w);
        while (w.installs == 0 && world_step(&w) && steps++ % 5 != 0) {
        }
        CHECK(steps < TURNS_MAX);
    }
    CHECK_EQ(w.install_index, index_first);
    CHECK(w.index_last > index_first);
    CHECK_EQ(stats_of(&w, 2)->taken, 1u);
    world_destroy(&w);
}

/* What follows a state on its way stays in the sender's memory, until the receiver could ask. */
TEST(entries_behind_a_state_stay)
{
    struct world w;
    world_create(&w);
    world_start(&w, 200, 0);
    const struct replica *r = &machine_of(&w, 1)->replica;
    CHECK(run_until(&w, SNAPSHOT_OFFER));
    CHECK_EQ(r->held, w.index_last);
    uint64_t index_first = w.index_last;
    world_change(&w);
    CHECK(world_run(&w, 5000));
    CHECK_EQ(w.install_index, index_first);
    CHECK_EQ(r->held, index_first);
    for (unsigned i = 0; i < 20 && r->held != REPLICA_HOLD_NONE; i++) {
        world_advance(&w, SNAPSHOT_SILENCE_MS / 10);
    }
    CHECK_EQ(r->held, REPLICA_HOLD_NONE);
    world_destroy(&w);
}

/* Nothing is in the store yet: the fold that is asked for brings the row that is missing. */
TEST(a_state_that_was_never_folded)
{
    struct world w;
    world_create(&w);
    machine_start(&w, 1);
    machine_start(&w, 2);
    put_object(machine_of(&w, 1), 1, 10, 1);
    w.index_last = 4;
    CHECK(world_run(&w, 5000));
    CHECK_EQ(stats_of(&w, 1)->failed, 0u);
    CHECK_EQ(stats_of(&w, 1)->sent, 1u);
    world_destroy(&w);
}

/* ---- how many, how fast ---------------------------------------------------------------------- */

TEST(one_transfer_per_receiver)
{
    struct world w;
    world_create(&w);
    world_start(&w, 100, 0);
    for (unsigned i = 0; i < 10; i++) {
        world_heartbeat(&w, 2);
    }
    CHECK_EQ(stats_of(&w, 1)->sending, 1u);
    CHECK(run_until(&w, SNAPSHOT_PULL));
    for (unsigned i = 0; i < 10; i++) {
        world_heartbeat(&w, 2);
    }
    CHECK_EQ(stats_of(&w, 1)->sending, 1u);
    CHECK(world_run(&w, 1000));
    check_one_transfer(&w);
    world_destroy(&w);
}

/* Groups behind GROUP, each with a state of one row. */
static void add_groups(struct world *w, uint32_t number)
{
    struct machine *m = machine_of(w, number);
    struct replica own = m->replica;
    for (uint16_t i = 0; i < GROUPS; i++) {
        struct replica *r = &m->others[i];
        *r = own;
        snapshots_add(m->snapshots, (uint16_t)(GROUP + 1 + i), r);
        struct buf key;
        struct buf value;
        struct state_row row = {.base = base_at(9), .time_ms = 1, .operations = 1};
        buf_init(&key, 64);
        buf_init(&value, 4096);
        row_key_append_group(&key, (uint16_t)(GROUP + 1 + i), own.generation);
        state_row_encode(&value, &row);
        store_put(&m->store, buf_bytes(&key), blob_of(value.data, value.size));
        buf_deinit(&value);
        buf_deinit(&key);
    }
    store_fold_soon(&m->store);
    world_settle(w);
}

TEST(not_too_many_are_sent_at_once)
{
    struct world w;
    world_create(&w);
    world_start(&w, 1, 0);
    add_groups(&w, 1);
    struct machine *leader = machine_of(&w, 1);
    for (unsigned i = 0; i < GROUPS; i++) {
        snapshots_offer(leader->snapshots, (uint16_t)(GROUP + 1 + i), replica_id_of(2, 0));
    }
    CHECK_EQ(stats_of(&w, 1)->sending, SNAPSHOTS_SENT_MAX);
    world_settle(&w); /* nobody answers: machine 2 does not know these groups */
    world_advance(&w, SNAPSHOT_SILENCE_MS);
    CHECK_EQ(stats_of(&w, 1)->sending, 0u);
    for (unsigned i = 0; i < GROUPS; i++) {
        snapshots_offer(leader->snapshots, (uint16_t)(GROUP + 1 + i), replica_id_of(2, 0));
    }
    CHECK_EQ(stats_of(&w, 1)->sending, SNAPSHOTS_SENT_MAX); /* the others get their turn */
    world_destroy(&w);
}

static struct snapshot_message hand_made(enum snapshot_type type, uint64_t session);

/* Sends a message to machine 2 as if it came from machine 1. */
static enum status say(struct world *w, const struct snapshot_message *m)
{
    struct buf out;
    buf_init(&out, 4096);
    snapshot_message_encode(m, &out);
    enum status status = snapshots_received(machine_of(w, 2)->snapshots, 1, buf_bytes(&out));
    buf_deinit(&out);
    return status;
}

TEST(not_too_many_are_taken_at_once)
{
    struct world w;
    world_create(&w);
    world_start(&w, 1, 0);
    add_groups(&w, 2);
    for (unsigned i = 0; i < GROUPS; i++) {
        struct snapshot_message m = hand_made(SNAPSHOT_OFFER, 70 + i);
        machine_of(&w, 2)->others[i].id = replica_id_of(2, 0);
        m.route.group = (uint16_t)(GROUP + 1 + i);
        CHECK_EQ(say(&w, &m), STATUS_OK);
    }
    CHECK_EQ(stats_of(&w, 2)->taking, SNAPSHOTS_TAKEN_MAX);
    struct snapshot_message m = hand_made(SNAPSHOT_OFFER, 99);
    m.route.group = GROUP + 1;
    CHECK_EQ(say(&w, &m), STATUS_OK); /* takes the place of the other one of its group */
    CHECK_EQ(stats_of(&w, 2)->taking, SNAPSHOTS_TAKEN_MAX);
    CHECK_EQ(stats_of(&w, 2)->failed, 1u);
    world_destroy(&w);
}

/* About 1 MiB at 256 KiB a second. */
TEST(the_rate_is_kept)
{
    struct world w;
    world_create(&w);
    w.options.rate = 256 * KIB;
    w.options.chunk_bytes = 16 * KIB;
    world_start(&w, 9000, 0);
    uint64_t start_us = machine_of(&w, 1)->env.now_us;
    while (w.installs == 0) {
        world_heartbeat(&w, 2);
        world_settle(&w);
        world_advance(&w, 1);
    }
    uint64_t spent_ms = (machine_of(&w, 1)->env.now_us - start_us) / 1000;
    uint64_t least_ms = stats_of(&w, 1)->sent_bytes * 1000 / w.options.rate;
    CHECK(least_ms > 2000);
    CHECK(spent_ms + 100 >= least_ms);
    CHECK(spent_ms <= least_ms + least_ms / 10);
    world_destroy(&w);
}

/* Neither side takes the other for dead while something large takes its time. */
TEST(a_slow_rate_is_no_silence)
{
    struct world w;
    world_create(&w);
    w.options.rate = 256 * KIB;
    world_start(&w, 2000, 8 * MIB); /* what follows the large row waits half a minute */
    CHECK(world_run(&w, 60000));
    check_one_transfer(&w);
    CHECK(machine_of(&w, 1)->env.now_us > 2000u * SNAPSHOT_SILENCE_MS);
    world_destroy(&w);
}

TEST(a_slow_disk_is_no_silence)
{
    struct world w;
    world_create(&w);
    w.options.chunk_bytes = 500;
    world_start(&w, 30, 0);
    for (unsigned round = 0; round < 200 && w.installs == 0; round++) {
        machine_of(&w, 2)->is_hung = round % 2 == 0;
        for (unsigned passed = 0; passed < 2 * SNAPSHOT_SILENCE_MS && round < 12; passed += 500) {
            world_heartbeat(&w, 2);
            world_settle(&w);
            world_advance(&w, 500);
        }
        machine_of(&w, 2)->is_hung = false;
        for (unsigned i = 0; i < 5; i++) {
            (void)world_step(&w);
        }
    }
    check_one_transfer(&w);
    world_destroy(&w);
}

/* No room in a window: again a little later. */
TEST(a_full_window_is_only_a_delay)
{
    struct world w;
    world_create(&w);
    w.options.chunk_bytes = 500;
    world_start(&w, 100, 0);
    CHECK(run_until(&w, SNAPSHOT_PULL)); /* the offer itself is not repeated: it begins anew */
    for (unsigned round = 0; round < 400 && w.installs == 0; round++) {
        machine_of(&w, 1)->peers.is_full = round % 4 < 2;
        machine_of(&w, 2)->peers.is_full = round % 3 < 2;
        world_settle(&w);
        world_advance(&w, 50);
    }
    machine_of(&w, 1)->peers.is_full = false;
    check_one_transfer(&w);
    world_destroy(&w);
}

/* ---- after it -------------------------------------------------------------------------------- */

/* An INSTALL that is lost is sent again, without the rows. */
TEST(a_lost_install_is_sent_again)
{
    struct world w;
    world_create(&w);
    w.options.chunk_bytes = 500;
    world_start(&w, 100, 0);
    CHECK(run_until(&w, SNAPSHOT_STAGED));
    CHECK(world_deliver(&w));
    struct letter *install = container_of(w.letters.next, struct letter, link);
    CHECK(install->is_install);
    list_remove(&install->link);
    letter_destroy(install);
    uint64_t sent = w.sent;
    CHECK(world_run(&w, 2 * SNAPSHOT_AGAIN_MS));
    check_one_transfer(&w);
    CHECK(w.sent <= sent + 3); /* OFFER, STAGED, INSTALL */
    world_destroy(&w);
}

/* One that never gets through does not keep the sender from starting over. */
TEST(a_state_staged_in_vain_is_sent_anew)
{
    struct world w;
    world_create(&w);
    w.options.chunk_bytes = 500;
    world_start(&w, 100, 0);
    w.is_install_held = true;
    CHECK(!world_run(&w, 2 * SNAPSHOT_SILENCE_MS));
    CHECK_EQ(stats_of(&w, 1)->sent, 2u);
    w.is_install_held = false; /* the first ones are of a state that is gone */
    CHECK(world_run(&w, 1000));
    world_settle(&w);
    store_fold_soon(&machine_of(&w, 2)->store);
    world_settle(&w);
    CHECK_EQ(leftovers(&w, 2), 0u);
    world_destroy(&w);
}

/* Asked what it has, it answers, before its first sync and after it: nobody waits for a silence. */
static void check_forgotten(bool is_synced)
{
    struct world w;
    world_create(&w);
    w.options.chunk_bytes = 500;
    world_start(&w, 100, 0);
    w.is_install_held = true;
    CHECK(run_until(&w, SNAPSHOT_STAGED));
    world_settle(&w);
    machine_kill(&w, 2, 0);
    machine_start(&w, 2);
    if (is_synced) {
        store_sync_soon(&machine_of(&w, 2)->store);
        world_settle(&w);
    }
    w.is_install_held = false;
    uint64_t start_us = machine_of(&w, 1)->env.now_us;
    CHECK(world_run(&w, SNAPSHOT_SILENCE_MS));
    CHECK(machine_of(&w, 1)->env.now_us - start_us < 5u * SNAPSHOT_AGAIN_MS * 1000u);
    CHECK_EQ(stats_of(&w, 1)->sent, 2u);
    world_settle(&w);
    CHECK_EQ(stats_of(&w, 2)->taking, 0u);
    world_destroy(&w);
}

TEST(a_receiver_that_forgot_gets_it_anew)
{
    check_forgotten(false);
    check_forgotten(true);
}

/* A leader that does not know of the staged state begins anew; what was staged goes. */
TEST(a_newer_offer_replaces_what_is_staged)
{
    struct world w;
    uint32_t generation[2] = {0};
    world_create(&w);
    w.options.chunk_bytes = 500;
    world_start(&w, 100, 0);
    w.is_install_held = true;
    CHECK(run_until(&w, SNAPSHOT_STAGED));
    struct machine *m = machine_of(&w, 2);
    CHECK(snapshots_is_staged(m->snapshots, GROUP, w.index_last, 5, &generation[0]));
    machine_kill(&w, 1, SIZE_MAX);
    machine_start(&w, 1);
    CHECK(snapshots_is_staged(m->snapshots, GROUP, w.index_last, 5, &generation[1]));
    CHECK_EQ(generation[0], generation[1]); /* the end of a connection takes nothing away */
    CHECK(run_until(&w, SNAPSHOT_CHUNK));
    CHECK(!snapshots_is_staged(m->snapshots, GROUP, w.index_last, 5, &generation[1]));
    CHECK(run_until(&w, SNAPSHOT_STAGED));
    CHECK(snapshots_is_staged(m->snapshots, GROUP, w.index_last, 5, &generation[1]));
    CHECK(generation[1] > generation[0]);
    w.is_install_held = false;
    CHECK(world_run(&w, 1000));
    store_fold_soon(&m->store);
    world_settle(&w);
    CHECK_EQ(leftovers(&w, 2), 0u);
    world_destroy(&w);
}

/* Between an INSTALL and its end nothing takes the rows away that it names. */
TEST(an_install_under_way_keeps_its_rows)
{
    struct world w;
    uint32_t generation = 0;
    world_create(&w);
    w.options.chunk_bytes = 500;
    world_start(&w, 100, 0);
    w.is_log_held = true;
    struct machine *m = machine_of(&w, 2);
    for (unsigned passed = 0; passed < 2 * SNAPSHOT_STAGED_MS; passed += 500) {
        if (passed == SNAPSHOT_STAGED_MS) {
            machine_kill(&w, 1, SIZE_MAX);
            machine_start(&w, 1);
        }
        world_heartbeat(&w, 2); /* the leader cannot know: it begins anew and anew */
        world_settle(&w);
        world_advance(&w, 500);
    }
    CHECK(m->replica.is_installing);
    struct snapshot_message ended = hand_made(SNAPSHOT_ENDED, 1);
    CHECK_EQ(say(&w, &ended), STATUS_OK);
    CHECK(snapshots_is_staged(m->snapshots, GROUP, w.index_last, 5, &generation));
    CHECK_EQ(stats_of(&w, 2)->taken, 1u);
    finish_install(m, generation, w.index_last);
    CHECK_EQ(w.installs, 1u);
    world_destroy(&w);
}

/* The log brought the replica further meanwhile, or nobody ever installs it. */
static void check_useless(bool is_applied)
{
    struct world w;
    uint32_t generation = 0;
    world_create(&w);
    world_start(&w, 100, 0);
    w.is_install_held = true;
    CHECK(run_until(&w, SNAPSHOT_STAGED));
    struct machine *m = machine_of(&w, 2);
    machine_of(&w, 1)->replica.is_leader = false;
    w.is_cut[1] = true; /* it cannot even say so */
    world_settle(&w);
    uint64_t index = w.index_last;
    world_advance(&w, SNAPSHOT_STAGED_MS - 1000);
    CHECK(snapshots_is_staged(m->snapshots, GROUP, index, 5, &generation));
    if (is_applied) {
        m->replica.applied = index;
        world_advance(&w, 500);
    } else {
        world_advance(&w, 2000);
    }
    CHECK(!snapshots_is_staged(m->snapshots, GROUP, index, 5, &generation));
    store_fold_soon(&m->store);
    world_settle(&w);
    uint64_t count = 1;
    (void)engine_digest(m, 1, &count);
    CHECK_EQ(count, 0u);
    world_destroy(&w);
}

TEST(a_staged_state_of_no_use_is_dropped)
{
    check_useless(false);
    check_useless(true);
}

/* ---- who may, and when ----------------------------------------------------------------------- */

static struct snapshot_message hand_made(enum snapshot_type type, uint64_t session)
{
    return (struct snapshot_message){
        .route = {.group = GROUP, .sender = replica_id_of(1, 0), .receiver = replica_id_of(2, 0)},
        .type = type,
        .session = session,
        .base = base_at(9),
    };
}

/* What machine 2 answers to an offer; 0: nothing. */
static enum snapshot_type answer_of(struct world *w, const struct snapshot_message *offer)
{
    struct snapshot_message m = {0};
    CHECK_EQ(say(w, offer), STATUS_OK);
    if (!list_is_empty(&w->letters)) {
        struct letter *letter = container_of(list_take_first(&w->letters), struct letter, link);
        CHECK_EQ(snapshot_message_decode(buf_bytes(&letter->bytes), &m), STATUS_OK);
        CHECK_EQ(m.session, offer->session);
        CHECK_EQ(m.route.sender, offer->route.receiver);
        CHECK_EQ(m.route.receiver, offer->route.sender);
        letter_destroy(letter);
    }
    CHECK(list_is_empty(&w->letters));
    return m.type;
}

TEST(offers_that_are_refused)
{
    struct world w;
    world_create(&w);
    world_start(&w, 1, 0);
    struct machine *m = machine_of(&w, 2);
    struct snapshot_message offer = hand_made(SNAPSHOT_OFFER, 1);
    m->replica.applied = 9;
    CHECK_EQ(answer_of(&w, &offer), SNAPSHOT_REFUSED);
    m->replica.applied = 8;
    m->replica.is_installing = true;
    CHECK_EQ(answer_of(&w, &offer), SNAPSHOT_REFUSED);
    m->replica.is_installing = false;
    m->replica.is_leader = true;
    CHECK_EQ(answer_of(&w, &offer), SNAPSHOT_REFUSED);
    m->replica.is_leader = false;
    snapshots_set_full(m->snapshots, true);
    CHECK_EQ(answer_of(&w, &offer), SNAPSHOT_REFUSED);
    snapshots_set_full(m->snapshots, false);
    CHECK_EQ(stats_of(&w, 2)->taking, 0u);
    CHECK_EQ(answer_of(&w, &offer), SNAPSHOT_PULL);
    CHECK_EQ(answer_of(&w, &offer), 0); /* a copy of it */
    CHECK_EQ(stats_of(&w, 2)->taking, 1u);
    snapshots_set_full(m->snapshots, true); /* what comes now would fill the reserve */
    CHECK_EQ(stats_of(&w, 2)->taking, 0u);
    world_settle(&w);
    world_destroy(&w);
}

/* MOVE-1: a message is for one replica, of one replica, on the node it comes from. */
TEST(offers_for_somebody_else)
{
    struct world w;
    world_create(&w);
    world_start(&w, 1, 0);
    struct snapshot_message offer = hand_made(SNAPSHOT_OFFER, 1);
    offer.route.receiver = replica_id_of(2, 1);
    CHECK_EQ(answer_of(&w, &offer), 0);
    offer = hand_made(SNAPSHOT_OFFER, 1);
    offer.route.sender = replica_id_of(3, 0);
    CHECK_EQ(answer_of(&w, &offer), 0);
    offer = hand_made(SNAPSHOT_OFFER, 1);
    offer.route.group = GROUP + 1;
    CHECK_EQ(answer_of(&w, &offer), 0);
    offer.route.group = 0;
    CHECK_EQ(answer_of(&w, &offer), 0);
    world_destroy(&w);
}

/*
 * Ranges dropped at the start are of generations that are used again: until they are gone, nothing
 * may be staged, or the drop would take it away.
 */
TEST(nothing_is_staged_before_the_first_sync)
{
    struct world w;
    world_create(&w);
    machine_start(&w, 2);
    struct snapshot_message offer = hand_made(SNAPSHOT_OFFER, 1);
    machine_of(&w, 1)->is_up = false;
    CHECK_EQ(answer_of(&w, &offer), 0); /* REFUSED reaches nobody */
    CHECK_EQ(stats_of(&w, 2)->taking, 0u);
    world_settle(&w); /* it asked for the sync itself */
    CHECK_EQ(say(&w, &offer), STATUS_OK);
    CHECK_EQ(stats_of(&w, 2)->taking, 1u);
    world_destroy(&w);
}

TEST(a_follower_sends_nothing)
{
    struct world w;
    world_create(&w);
    w.options.chunk_bytes = 500;
    world_start(&w, 100, 0);
    CHECK(run_until(&w, SNAPSHOT_CHUNK));
    machine_of(&w, 1)->replica.is_leader = false;
    world_settle(&w);
    CHECK_EQ(stats_of(&w, 1)->sending, 0u);
    CHECK_EQ(stats_of(&w, 1)->failed, 1u);
    CHECK_EQ(stats_of(&w, 2)->taking, 0u); /* it was told */
    machine_of(&w, 1)->replica.is_leader = true;
    CHECK(run_until(&w, SNAPSHOT_PULL));
    letter_destroy(container_of(list_take_first(&w.letters), struct letter, link));
    machine_of(&w, 1)->replica.is_leader = false; /* and nobody asks it for anything */
    world_advance(&w, 500);
    CHECK_EQ(stats_of(&w, 1)->sending, 0u);
    world_settle(&w);
    machine_of(&w, 1)->replica.is_leader = true;
    CHECK(world_run(&w, 5000));
    world_destroy(&w);
}

/* As a machine without power: nothing comes, nothing ends. */
TEST(a_side_that_falls_silent)
{
    struct world w;
    world_create(&w);
    w.options.chunk_bytes = 500;
    world_start(&w, 100, 0);
    for (unsigned i = 0; i < 3; i++) {
        CHECK(run_until(&w, SNAPSHOT_CHUNK));
        CHECK(world_deliver(&w));
    }
    w.is_cut[1] = true;
    world_settle(&w);
    world_advance(&w, SNAPSHOT_SILENCE_MS - 1000);
    CHECK_EQ(stats_of(&w, 1)->sending, 1u);
    CHECK_EQ(stats_of(&w, 2)->taking, 1u);
    world_advance(&w, 2000);
    CHECK_EQ(stats_of(&w, 1)->sending, 0u);
    CHECK_EQ(stats_of(&w, 2)->taking, 0u);
    store_fold_soon(&machine_of(&w, 2)->store);
    world_settle(&w);
    CHECK_EQ(leftovers(&w, 2), 0u);
    world_destroy(&w);
}

/* ---- the end --------------------------------------------------------------------------------- */

/* A stop at each step: jobs end, nothing goes on, what is staged stays. */
TEST(stopped_at_each_step)
{
    for (unsigned steps = 0; steps < 60; steps++) {
        for (uint32_t number = 1; number <= 2; number++) {
            struct world w;
            uint32_t generation = 0;
            world_create(&w);
            w.options.chunk_bytes = 500;
            world_start(&w, 30, 0);
            w.is_install_held = true;
            world_heartbeat(&w, 2);
            for (unsigned i = 0; i < steps; i++) {
                (void)world_step(&w);
            }
            struct machine *m = machine_of(&w, number);
            uint64_t index = w.index_last;
            bool is_staged =
                snapshots_is_staged(machine_of(&w, 2)->snapshots, GROUP, index, 5, &generation);
            snapshots_stop(m->snapshots);
            CHECK_EQ(stats_of(&w, number)->sending, 0u);
            CHECK_EQ(stats_of(&w, number)->taking, 0u);
            world_settle(&w);
            CHECK(!snapshots_is_busy(m->snapshots));
            world_heartbeat(&w, 2);
            world_advance(&w, 2 * SNAPSHOT_SILENCE_MS);
            world_settle(&w);
            CHECK(!snapshots_is_busy(m->snapshots));
            if (number == 2) {
                CHECK_EQ(snapshots_is_staged(m->snapshots, GROUP, index, 5, &generation),
                         is_staged);
            }
            world_destroy(&w);
        }
    }
}
