/* Nodes among themselves; what strangers can do is in test_peer_strangers.c. */
#include "peer_world.h"

#define BIG_BYTES (5u * MIB)

static uint8_t *big_message(size_t size)
{
    uint8_t *big = mem_alloc(size);
    for (size_t i = 0; i < size; i++) {
        big[i] = (uint8_t)((i * 2654435761u) >> 13);
    }
    return big;
}

/* ---- talking --------------------------------------------------------------------------------- */

TEST(two_nodes_talk)
{
    struct world w;
    world_create(&w, 2);
    world_start(&w);
    check_events(node_of(&w, 1), "+2\n");
    check_events(node_of(&w, 2), "+1\n");
    CHECK_EQ(node_of(&w, 2)->last_hello.number, 1u);
    CHECK_EQ(node_of(&w, 2)->last_hello.incarnation, 11u);
    CHECK_EQ(node_of(&w, 2)->last_hello.node_id[15], 1u);
    CHECK(node_send(node_of(&w, 1), 2, PEER_LOG, "hello"));
    CHECK(node_send(node_of(&w, 2), 1, PEER_BULK, "you"));
    world_run(&w, 10);
    check_events(node_of(&w, 1), "2 bulk you\n");
    check_events(node_of(&w, 2), "1 log hello\n");
    world_destroy(&w);
}

/* One connection a pair, and every message whole and in order, whatever the pieces. */
static void check_three(size_t piece_bytes, size_t socket_bytes)
{
    struct world w;
    world_create(&w, 3);
    w.net.piece_bytes = piece_bytes;
    w.net.socket_bytes = socket_bytes;
    world_start(&w);
    CHECK_EQ(w.net.connects, 3u);
    for (uint32_t from = 1; from <= 3; from++) {
        fake_env_forget(&node_of(&w, from)->env);
    }
    for (unsigned round = 0; round < 20; round++) {
        for (uint32_t from = 1; from <= 3; from++) {
            for (uint32_t to = 1; to <= 3; to++) {
                char text[32];
                (void)snprintf(text, sizeof text, "%u to %u: %u", from, to, round);
                CHECK_EQ(node_send(node_of(&w, from), to, PEER_LOG, text), from != to);
            }
        }
        world_run(&w, round % 3 == 0 ? 10 : 0);
    }
    world_run(&w, 20);
    for (uint32_t at = 1; at <= 3; at++) {
        const char *all = fake_env_events(&node_of(&w, at)->env);
        for (uint32_t from = 1; from <= 3; from++) {
            for (unsigned round = 0; round < 20 && from != at; round++) {
                char line[64];
                (void)snprintf(line, sizeof line, "%u log %u to %u: %u\n", from, from, at, round);
                const char *found = strstr(all, line);
                CHECK(found != NULL);
                CHECK(strstr(found + 1, line) == NULL);
            }
        }
    }
    world_destroy(&w);
}

TEST(three_nodes_talk)
{
    check_three(SIZE_MAX, 65536);
}

TEST(three_nodes_talk_in_tiny_pieces_and_short_writes)
{
    check_three(1, 0);
    check_three(7, 3);
    check_three(100, 0);
}

TEST(an_answer_may_be_sent_inside_received)
{
    struct world w;
    world_create(&w, 2);
    world_start(&w);
    node_of(&w, 2)->answer = "pong";
    fake_env_forget(&node_of(&w, 1)->env);
    CHECK(node_send(node_of(&w, 1), 2, PEER_URGENT, "ping"));
    CHECK(node_send(node_of(&w, 1), 2, PEER_LOG, "ping"));
    world_run(&w, 10);
    check_events(node_of(&w, 1), "2 urgent pong\n2 log pong\n");
    world_destroy(&w);
}

TEST(parts_become_one_message)
{
    struct world w;
    world_create(&w, 2);
    world_start(&w);
    struct bytes parts[] = {bytes_of_text("one "), bytes_of(NULL, 0), bytes_of_text("message")};
    CHECK(peers_send(node_of(&w, 2)->peers, 1, PEER_LOG, parts, 3));
    world_run(&w, 10);
    check_events(node_of(&w, 1), "+2\n2 log one message\n");
    world_destroy(&w);
}

/* ---- big and many ---------------------------------------------------------------------------- */

/* Bulk was first and is under way; what is more urgent overtakes it, in the order of classes. */
TEST(urgent_messages_overtake_a_big_one)
{
    struct world w;
    world_create(&w, 2);
    world_start(&w);
    struct node *one = node_of(&w, 1);
    struct node *two = node_of(&w, 2);
    fake_env_forget(&two->env);
    uint8_t *big = big_message(BIG_BYTES);
    struct bytes part = bytes_of(big, BIG_BYTES);
    CHECK(peers_send(one->peers, 2, PEER_BULK, &part, 1));
    peers_flush(one->peers);
    CHECK(node_send(one, 2, PEER_BULK, "next"));
    CHECK(node_send(one, 2, PEER_LOG, "entry"));
    CHECK(node_send(one, 2, PEER_URGENT, "vote"));
    peers_flush(one->peers); /* the socket has not taken the first write: there is no second */
    world_run(&w, 20);
    CHECK_BYTES(buf_bytes(&two->last_message), bytes_of_text("next"));
    check_events(two, "1 urgent vote\n1 log entry\n1 bulk (5242880)\n1 bulk next\n");
    mem_free(big);
    world_destroy(&w);
}

TEST(a_big_message_arrives_undamaged)
{
    struct world w;
    world_create(&w, 2);
    w.net.piece_bytes = 100000;
    world_start(&w);
    const size_t sizes[] = {PEER_FRAME_BYTES_MAX - 17u,
                            PEER_FRAME_BYTES_MAX - 16u,
                            PEER_FRAME_BYTES_MAX - 15u,
                            PEER_WRITE_BYTES_MAX,
                            BIG_BYTES};
    uint8_t *big = big_message(BIG_BYTES);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct bytes part = bytes_of(big, sizes[i]);
        CHECK(peers_send(node_of(&w, 1)->peers, 2, PEER_LOG, &part, 1));
        world_run(&w, 0);
        on_node_turn(node_of(&w, 1));
        world_run(&w, 10);
        CHECK_BYTES(buf_bytes(&node_of(&w, 2)->last_message), part);
    }
    mem_free(big);
    world_destroy(&w);
}

static void record_size(void *owner, struct env_conn *reader, uint8_t *data, size_t size)
{
    (void)reader;
    (void)data;
    size_t *largest = owner;
    *largest = size > *largest ? size : *largest;
}

/* A socket that takes everything says nothing: the rest must come without anybody's turn. */
TEST(one_write_is_bounded_and_the_rest_follows_by_itself)
{
    struct world w;
    world_create(&w, 2);
    w.net.socket_bytes = SIZE_MAX;
    world_start(&w);
    struct node *one = node_of(&w, 1);
    one->env.base.turn = NULL;
    size_t largest = 0;
    w.net.tap = record_size;
    w.net.tap_owner = &largest;
    uint8_t *big = big_message(BIG_BYTES);
    struct bytes part = bytes_of(big, BIG_BYTES);
    CHECK(peers_send(one->peers, 2, PEER_LOG, &part, 1));
    peers_flush(one->peers);
    for (unsigned i = 0; i < 10; i++) {
        fake_net_run(&w.net, WORLD_STEPS);
        fake_env_advance(&one->env, 0);
    }
    fake_net_run(&w.net, WORLD_STEPS);
    check_events(node_of(&w, 2), "+1\n1 log (5242880)\n");
    CHECK_EQ(largest, PEER_WRITE_BYTES_MAX);
    mem_free(big);
    world_destroy(&w);
}

TEST(a_full_window_refuses_and_opens_again)
{
    struct world w;
    world_create(&w, 2);
    world_start(&w);
    struct node *one = node_of(&w, 1);
    uint64_t idle_memory = peers_memory(one->peers);
    uint8_t *big = big_message(MIB);
    struct bytes part = bytes_of(big, MIB);
    unsigned taken = 0;
    while (peers_send(one->peers, 2, PEER_LOG, &part, 1)) {
        taken++;
        CHECK(taken < 1000);
    }
    CHECK_EQ(taken, PEER_WINDOW_BYTES / MIB);
    CHECK(peers_memory(one->peers) >= idle_memory + PEER_WINDOW_BYTES);
    CHECK(node_send(one, 2, PEER_URGENT, "vote")); /* a window for each class */
    world_run(&w, 200);
    CHECK(peers_send(one->peers, 2, PEER_LOG, &part, 1));
    world_run(&w, 10);
    CHECK(peers_memory(one->peers) < idle_memory + 2 * PEER_WRITE_BYTES_MAX);
    mem_free(big);
    world_destroy(&w);
}

TEST(a_full_window_is_empty_after_a_break)
{
    struct world w;
    world_create(&w, 2);
    world_start(&w);
    struct node *one = node_of(&w, 1);
    uint8_t *big = big_message(MIB);
    struct bytes part = bytes_of(big, MIB);
    for (unsigned i = 0; i < PEER_WINDOW_BYTES / MIB; i++) {
        CHECK(peers_send(one->peers, 2, PEER_LOG, &part, 1));
    }
    CHECK(!node_send(one, 2, PEER_LOG, "x"));
    fake_net_cut(&w.net, &one->env, &node_of(&w, 2)->env);
    world_run(&w, 200);
    CHECK(node_send(one, 2, PEER_LOG, "first"));
    world_run(&w, 10);
    check_events(node_of(&w, 2), "+1\n-1\n+1\n1 log first\n");
    mem_free(big);
    world_destroy(&w);
}

/* ---- breaks ---------------------------------------------------------------------------------- */

TEST(a_broken_connection_is_dialled_again_at_once)
{
    struct world w;
    world_create(&w, 2);
    world_start(&w);
    world_run(&w, PEER_STABLE_MS);
    CHECK(node_send(node_of(&w, 1), 2, PEER_LOG, "lost"));
    CHECK(node_send(node_of(&w, 2), 1, PEER_LOG, "lost"));
    fake_net_cut(&w.net, &node_of(&w, 1)->env, &node_of(&w, 2)->env);
    world_run(&w, 10);
    check_events(node_of(&w, 1), "+2\n-2\n+2\n");
    check_events(node_of(&w, 2), "+1\n-1\n+1\n");
    CHECK(node_send(node_of(&w, 1), 2, PEER_LOG, "again"));
    world_run(&w, 10);
    check_events(node_of(&w, 2), "1 log again\n");
    world_destroy(&w);
}

/* Half a message came, then the break: nothing of it is delivered, now or later. */
TEST(a_message_cut_in_the_middle_is_lost_whole)
{
    struct world w;
    world_create(&w, 2);
    w.net.piece_bytes = 10000;
    world_start(&w);
    world_run(&w, PEER_STABLE_MS);
    uint8_t *big = big_message(BIG_BYTES);
    struct bytes part = bytes_of(big, BIG_BYTES);
    CHECK(peers_send(node_of(&w, 2)->peers, 1, PEER_LOG, &part, 1));
    peers_flush(node_of(&w, 2)->peers);
    for (unsigned i = 0; i < 150; i++) {
        CHECK(fake_net_step(&w.net));
    }
    CHECK(peers_memory(node_of(&w, 1)->peers) > MIB);
    fake_net_cut(&w.net, &node_of(&w, 1)->env, &node_of(&w, 2)->env);
    world_run(&w, 20);
    CHECK(node_send(node_of(&w, 2), 1, PEER_LOG, "next"));
    world_run(&w, 10);
    check_events(node_of(&w, 1), "+2\n-2\n+2\n2 log next\n");
    CHECK(peers_memory(node_of(&w, 1)->peers) < MIB);
    mem_free(big);
    world_destroy(&w);
}

TEST(dialling_is_repeated_with_pauses)
{
    struct world w;
    world_create(&w, 2);
    node_start(node_of(&w, 1));
    world_run(&w, 400);
    CHECK(w.net.connects >= 3);
    CHECK(w.net.connects <= 8);
    unsigned before = w.net.connects;
    world_run(&w, 10000);
    CHECK(w.net.connects - before >= 9);
    CHECK(w.net.connects - before <= 25);
    check_events(node_of(&w, 1), "");
    node_start(node_of(&w, 2));
    world_run(&w, PEER_RETRY_MS_MAX + 20);
    check_events(node_of(&w, 1), "+2\n");
    world_destroy(&w);
}

/* The pauses begin anew: a node that was long away is not punished for it after its return. */
TEST(pauses_are_short_again_after_a_connection_that_stood)
{
    struct world w;
    world_create(&w, 2);
    node_start(node_of(&w, 1));
    world_run(&w, 10000);
    node_start(node_of(&w, 2));
    world_run(&w, PEER_RETRY_MS_MAX + PEER_STABLE_MS + 100);
    check_events(node_of(&w, 1), "+2\n");
    unsigned before = w.net.connects;
    node_kill(&w, node_of(&w, 2));
    world_run(&w, 400);
    check_events(node_of(&w, 1), "-2\n");
    CHECK(w.net.connects - before >= 4);
    world_destroy(&w);
}

/* Breaks as soon as it stands, again and again: no busy loop. */
TEST(a_connection_that_falls_at_once_is_not_dialled_at_once)
{
    struct world w;
    world_create(&w, 2);
    world_start(&w);
    for (unsigned i = 0; i < 500; i++) {
        fake_net_cut(&w.net, &node_of(&w, 1)->env, &node_of(&w, 2)->env);
        world_run(&w, 10);
    }
    CHECK(w.net.connects >= 5);
    CHECK(w.net.connects <= 20);
    world_destroy(&w);
}

TEST(an_idle_connection_stands_and_a_silent_one_falls)
{
    struct world w;
    world_create(&w, 2);
    world_start(&w);
    world_run(&w, 60000);
    check_events(node_of(&w, 1), "+2\n");
    check_events(node_of(&w, 2), "+1\n");
    node_of(&w, 2)->env.is_isolated = true;
    world_run(&w, PEER_SILENCE_MS - PEER_KEEPALIVE_MS - 100);
    check_events(node_of(&w, 1), "");
    world_run(&w, 2 * PEER_KEEPALIVE_MS + 200);
    check_events(node_of(&w, 1), "-2\n");
    check_events(node_of(&w, 2), "-1\n");
    world_run(&w, 20000);
    node_of(&w, 2)->env.is_isolated = false;
    world_run(&w, PEER_HELLO_MS + PEER_RETRY_MS_MAX + 100);
    check_events(node_of(&w, 1), "+2\n");
    check_events(node_of(&w, 2), "+1\n");
    world_destroy(&w);
}

/* This node stood still, not the others: what waited is read before anybody is given up. */
TEST(a_node_that_stood_still_gives_nobody_up)
{
    struct world w;
    world_create(&w, 2);
    world_start(&w);
    fake_env_advance(&node_of(&w, 1)->env, 60000);
    world_run(&w, 3000);
    check_events(node_of(&w, 1), "+2\n");
    check_events(node_of(&w, 2), "+1\n");
    world_destroy(&w);
}

/* Without power and back: node 2 still has the old connection when the new one comes. */
TEST(a_restarted_node_takes_the_place_of_its_old_connection)
{
    struct world w;
    world_create(&w, 2);
    world_start(&w);
    check_events(node_of(&w, 2), "+1\n");
    CHECK(node_send(node_of(&w, 2), 1, PEER_LOG, "for the old one"));
    fake_net_vanish(&w.net, &node_of(&w, 1)->env);
    node_kill(&w, node_of(&w, 1));
    node_create(&w, 1);
    node_of(&w, 1)->options.incarnation = 99;
    node_of(&w, 1)->env.prng.state[0] ^= 99;
    node_start(node_of(&w, 1));
    world_run(&w, 100);
    check_events(node_of(&w, 1), "+2\n");
    check_events(node_of(&w, 2), "-1\n+1\n");
    CHECK_EQ(node_of(&w, 2)->last_hello.incarnation, 99u);
    world_run(&w, 20);
    CHECK_EQ(fake_net_count(&w.net, &node_of(&w, 2)->env), 1u);
    CHECK(node_send(node_of(&w, 2), 1, PEER_LOG, "for the new one"));
    world_run(&w, 10);
    check_events(node_of(&w, 1), "2 log for the new one\n");
    world_destroy(&w);
}

/* ---- who may speak --------------------------------------------------------------------------- */

static void check_dislike(uint32_t judge, uint32_t other)
{
    struct world w;
    world_create(&w, 2);
    struct node *j = node_of(&w, judge);
    j->dislike = "another cluster";
    world_start(&w);
    world_run(&w, 10000);
    CHECK_EQ(j->env.warnings, 1u); /* not per attempt */
    CHECK(strstr(j->env.last_warning, "another cluster") != NULL);
    CHECK_EQ(node_of(&w, other)->env.warnings, 1u);
    j->dislike = "another founder";
    world_run(&w, 5000);
    CHECK_EQ(j->env.warnings, 2u);
    CHECK(strstr(j->env.last_warning, "another founder") != NULL);
    check_events(j, "");
    char line[64];
    (void)snprintf(line, sizeof line, "refused %u another cluster\n", judge);
    const char *told = fake_env_events(&node_of(&w, other)->env);
    CHECK(strncmp(told, line, strlen(line)) == 0);
    CHECK(strchr(told, '+') == NULL);
    CHECK(w.net.connects < 40);
    j->dislike = NULL;
    world_run(&w, 2000);
    CHECK(peers_is_connected(j->peers, other));
    CHECK(peers_is_connected(node_of(&w, other)->peers, judge));
    /* After it was welcome, the same reason is news again. */
    j->dislike = "another founder";
    fake_net_cut(&w.net, &node_of(&w, 1)->env, &node_of(&w, 2)->env);
    world_run(&w, 2000);
    CHECK_EQ(j->env.warnings, 3u);
    world_destroy(&w);
}

TEST(a_disliked_node_is_told_why)
{
    check_dislike(2, 1); /* the accepter refuses */
    check_dislike(1, 2); /* the dialler refuses */
}

TEST(one_disliked_node_does_not_hinder_the_others)
{
    struct world w;
    world_create(&w, 3);
    node_of(&w, 3)->dislike = "no";
    node_of(&w, 3)->disliked = 1;
    world_start(&w);
    world_run(&w, 1000);
    check_events(node_of(&w, 3), "+2\n");
    check_events(node_of(&w, 2), "+3\n+1\n");
    CHECK(!peers_is_connected(node_of(&w, 1)->peers, 3));
    CHECK(peers_is_connected(node_of(&w, 1)->peers, 2));
    world_destroy(&w);
}

TEST(an_address_of_another_node_is_noticed)
{
    static const char *const swapped[] = {"node:1", "node:3", "node:2"};
    struct world w;
    world_create(&w, 3);
    node_of(&w, 1)->options.addresses = swapped;
    world_start(&w);
    world_run(&w, 1000);
    CHECK(!peers_is_connected(node_of(&w, 1)->peers, 2));
    CHECK(!peers_is_connected(node_of(&w, 1)->peers, 3));
    CHECK(strstr(node_of(&w, 1)->env.last_warning, "meant for another node") != NULL);
    CHECK(peers_is_connected(node_of(&w, 2)->peers, 3));
    world_destroy(&w);
}

TEST(what_the_hello_says_of_the_cluster_can_change)
{
    struct world w;
    world_create(&w, 2);
    node_start(node_of(&w, 1));
    uint8_t id[PEER_ID_BYTES];
    memset(id, 0xc1, sizeof id);
    peers_set_cluster(node_of(&w, 1)->peers, id);
    node_start(node_of(&w, 2));
    world_run(&w, 200);
    CHECK_BYTES(bytes_of(node_of(&w, 2)->last_hello.cluster_id, sizeof id),
                bytes_of(id, sizeof id));
    CHECK_EQ(node_of(&w, 1)->last_hello.cluster_id[0], 0u);
    world_destroy(&w);
}

/* ---- the end --------------------------------------------------------------------------------- */

TEST(a_cluster_of_one_is_quiet)
{
    struct world w;
    world_create(&w, 1);
    world_start(&w);
    world_run(&w, 1000);
    CHECK_EQ(w.net.connects, 0u);
    CHECK(list_is_empty(&w.net.listeners));
    node_close(node_of(&w, 1));
    CHECK_EQ(node_of(&w, 1)->closed_count, 1u);
    world_destroy(&w);
}

TEST(without_an_address_nothing_happens)
{
    struct world w;
    world_create(&w, 2);
    node_of(&w, 1)->options.listen = NULL;
    node_start(node_of(&w, 1));
    world_run(&w, 1000);
    CHECK_EQ(w.net.connects, 0u);
    node_close(node_of(&w, 1));
    CHECK_EQ(node_of(&w, 1)->closed_count, 1u);
    world_destroy(&w);
}

TEST(an_address_in_use_is_an_error)
{
    struct world w;
    world_create(&w, 2);
    node_start(node_of(&w, 2));
    struct node *one = node_of(&w, 1);
    one->options.listen = "node:2";
    one->peers = peers_create(&one->env.base, &one->options, &world_events, one);
    struct error error;
    CHECK_EQ(peers_start(one->peers, &error), STATUS_BUSY);
    CHECK_TEXT(error.text, "other nodes: listen node:2: address already in use");
    world_destroy(&w);
}

TEST(close_ends_everything_and_dials_no_more)
{
    struct world w;
    world_create(&w, 3);
    world_start(&w);
    fake_env_forget(&node_of(&w, 2)->env);
    node_close(node_of(&w, 2));
    CHECK_EQ(node_of(&w, 2)->closed_count, 0u);
    check_events(node_of(&w, 2), "-1\n-3\n");
    CHECK(!node_send(node_of(&w, 2), 1, PEER_LOG, "late"));
    world_run(&w, 10);
    CHECK_EQ(node_of(&w, 2)->closed_count, 1u);
    world_run(&w, 5000); /* node 1 dials on: it is turned away */
    check_events(node_of(&w, 2), "");
    CHECK_EQ(node_of(&w, 2)->closed_count, 1u);
    CHECK_EQ(fake_net_count(&w.net, &node_of(&w, 2)->env), 0u);
    CHECK(peers_is_connected(node_of(&w, 1)->peers, 3));
    world_destroy(&w);
}

/* After node_close, wherever it was called; ASan sees what is used afterwards. */
static void check_closes(struct world *w, uint32_t number, const char *expected)
{
    struct node *n = node_of(w, number);
    world_run(w, 100);
    CHECK_EQ(n->closed_count, 1u);
    check_events(n, expected);
    CHECK_EQ(fake_net_count(&w->net, &n->env), 0u);
    CHECK_EQ(timers_next_due_us(&n->env.timers), UINT64_MAX);
    world_destroy(w);
}

/* No timer is left that would find memory of the past. */
TEST(close_while_more_is_to_be_written)
{
    struct world w;
    world_create(&w, 2);
    w.net.socket_bytes = SIZE_MAX;
    world_start(&w);
    uint8_t *big = big_message(BIG_BYTES);
    struct bytes part = bytes_of(big, BIG_BYTES);
    CHECK(peers_send(node_of(&w, 1)->peers, 2, PEER_LOG, &part, 1));
    mem_free(big);
    peers_flush(node_of(&w, 1)->peers);
    CHECK(timers_next_due_us(&node_of(&w, 1)->env.timers) != UINT64_MAX);
    node_close(node_of(&w, 1));
    CHECK_EQ(timers_next_due_us(&node_of(&w, 1)->env.timers), UINT64_MAX);
    check_closes(&w, 1, "+2\n-2\n");
}

TEST(close_while_dialling)
{
    struct world w;
    world_create(&w, 2);
    node_of(&w, 2)->env.is_isolated = true;
    node_start(node_of(&w, 2));
    node_start(node_of(&w, 1));
    world_run(&w, 20);
    CHECK_EQ(fake_net_count(&w.net, &node_of(&w, 1)->env), 1u);
    node_close(node_of(&w, 1));
    world_run(&w, 2000);
    CHECK_EQ(node_of(&w, 1)->closed_count, 1u);
    CHECK_EQ(w.net.connects, 1u);
    check_events(node_of(&w, 1), "");
    world_destroy(&w);
}

TEST(close_inside_received)
{
    struct world w;
    world_create(&w, 2);
    world_start(&w);
    node_of(&w, 2)->closes_in_received = true;
    CHECK(node_send(node_of(&w, 1), 2, PEER_LOG, "one"));
    CHECK(node_send(node_of(&w, 1), 2, PEER_LOG, "two"));
    check_closes(&w, 2, "+1\n1 log one\n-1\n");
}

TEST(close_inside_received_of_a_message_in_chunks)
{
    struct world w;
    world_create(&w, 2);
    world_start(&w);
    node_of(&w, 2)->closes_in_received = true;
    uint8_t *big = big_message(BIG_BYTES);
    struct bytes part = bytes_of(big, BIG_BYTES);
    CHECK(peers_send(node_of(&w, 1)->peers, 2, PEER_LOG, &part, 1));
    mem_free(big);
    check_closes(&w, 2, "+1\n1 log (5242880)\n-1\n");
}

TEST(close_inside_connected_and_judge)
{
    for (uint32_t number = 1; number <= 2; number++) {
        struct world w;
        world_create(&w, 2);
        node_of(&w, number)->closes_in_connected = true;
        world_start(&w);
        check_closes(&w, number, number == 1 ? "+2\n-2\n" : "+1\n-1\n");
        world_create(&w, 2);
        node_of(&w, number)->closes_in_judge = true;
        world_start(&w);
        check_closes(&w, number, "");
    }
}

TEST(close_inside_disconnected)
{
    for (uint32_t number = 1; number <= 2; number++) {
        struct world w;
        world_create(&w, 2);
        world_start(&w);
        node_of(&w, number)->closes_in_disconnected = true;
        fake_net_cut(&w.net, &node_of(&w, 1)->env, &node_of(&w, 2)->env);
        check_closes(&w, number, number == 1 ? "+2\n-2\n" : "+1\n-1\n");
    }
}

/* The new connection of a restarted node is told the end of all by the end of the old one. */
TEST(close_inside_disconnected_of_a_displaced_connection)
{
    struct world w;
    world_create(&w, 2);
    world_start(&w);
    node_of(&w, 2)->closes_in_disconnected = true;
    fake_net_vanish(&w.net, &node_of(&w, 1)->env);
    node_kill(&w, node_of(&w, 1));
    node_create(&w, 1);
    node_start(node_of(&w, 1));
    check_closes(&w, 2, "+1\n-1\n");
}
