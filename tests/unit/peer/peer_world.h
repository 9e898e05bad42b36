/*
 * Nodes of one cluster that have only their connections, on a fake network. What each of them is
 * told becomes a line of its events: "+2" node 2 connected, "-2" disconnected, "2 log hello" a
 * message, "refused 2 reason". Big messages are told by their size.
 */
#ifndef PEER_PEER_WORLD_H
#define PEER_PEER_WORLD_H

#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "fake_env.h"
#include "harness.h"
#include "peer/peers.h"

#define WORLD_NODES 3u
#define WORLD_STEPS 1000000u
#define SHOWN_BYTES 40u

struct node {
    struct fake_env env;
    struct peers *peers;
    struct peer_options options;
    const char *dislike; /* the reason with which judge() refuses; NULL: it does not */
    uint32_t disliked;   /* whom; 0: all */
    const char *answer;  /* sent back for each message "ping", inside received() */
    bool closes_in_received;
    bool closes_in_connected;
    bool closes_in_disconnected;
    bool closes_in_judge;
    bool is_closing;
    unsigned closed_count;
    struct peer_hello last_hello;
    struct buf last_message;
};

struct world {
    struct fake_net net;
    uint32_t count;
    struct node nodes[WORLD_NODES];
};

static const char *const world_addresses[WORLD_NODES] = {"node:1", "node:2", "node:3"};

static inline void on_world_closed(void *owner)
{
    ((struct node *)owner)->closed_count++;
}

static inline void node_close(struct node *n)
{
    n->is_closing = true;
    peers_close(n->peers, on_world_closed, n);
}

static inline bool on_judge(void *owner, const struct peer_hello *hello, const char **out_reason)
{
    struct node *n = owner;
    n->last_hello = *hello;
    if (n->closes_in_judge) {
        n->closes_in_judge = false;
        node_close(n);
    }
    if (n->dislike == NULL || (n->disliked != 0 && n->disliked != hello->number)) {
        return true;
    }
    *out_reason = n->dislike;
    return false;
}

static inline void on_refused(void *owner, uint32_t number, const char *reason)
{
    struct node *n = owner;
    fake_env_note(&n->env, "refused %u %s", number, reason);
}

static inline void on_connected(void *owner, const struct peer_hello *hello)
{
    struct node *n = owner;
    CHECK(peers_is_connected(n->peers, hello->number));
    fake_env_note(&n->env, "+%u", hello->number);
    if (n->closes_in_connected) {
        n->closes_in_connected = false;
        node_close(n);
    }
}

static inline void on_disconnected(void *owner, uint32_t number)
{
    struct node *n = owner;
    struct bytes part = bytes_of_text("late");
    CHECK(!peers_is_connected(n->peers, number));
    CHECK(!peers_send(n->peers, number, PEER_LOG, &part, 1));
    for (uint32_t other = 1; other <= n->options.count && n->is_closing; other++) {
        CHECK(!peers_send(n->peers, other, PEER_LOG, &part, 1));
    }
    fake_env_note(&n->env, "-%u", number);
    if (n->closes_in_disconnected) {
        n->closes_in_disconnected = false;
        node_close(n);
    }
}

static inline const char *class_name(enum peer_class class)
{
    static const char *const names[PEER_CLASS_COUNT] = {"urgent", "log", "bulk"};
    return names[class];
}

static inline void on_received(void *owner,
                               uint32_t number,
                               enum peer_class class,
                               struct bytes message)
{
    struct node *n = owner;
    buf_clear(&n->last_message, SIZE_MAX);
    buf_append_bytes(&n->last_message, message);
    if (message.size > SHOWN_BYTES) {
        fake_env_note(&n->env, "%u %s (%zu)", number, class_name(class), message.size);
    } else {
        const char *text = (const char *)message.data;
        fake_env_note(&n->env, "%u %s %.*s", number, class_name(class), (int)message.size, text);
    }
    if (n->answer != NULL && bytes_equal_text(message, "ping")) {
        struct bytes part = bytes_of_text(n->answer);
        CHECK(peers_send(n->peers, number, class, &part, 1));
    }
    if (n->closes_in_received) {
        n->closes_in_received = false;
        node_close(n);
    }
}

static const struct peer_events world_events = {
    .judge = on_judge,
    .refused = on_refused,
    .connected = on_connected,
    .disconnected = on_disconnected,
    .received = on_received,
};

static inline void on_node_turn(void *owner)
{
    struct node *n = owner;
    if (n->peers != NULL) {
        peers_flush(n->peers);
    }
}

static inline struct node *node_of(struct world *w, uint32_t number)
{
    return &w->nodes[number - 1];
}

/* The memory of a node that is about to start: its options may still be changed. */
static inline void node_create(struct world *w, uint32_t number)
{
    struct node *n = node_of(w, number);
    memset(n, 0, sizeof *n);
    fake_env_init(&n->env);
    prng_init(&n->env.prng, number);
    n->env.net = &w->net;
    n->env.base.turn = on_node_turn;
    n->env.base.turn_owner = n;
    buf_init(&n->last_message, 512u * MIB);
    n->options = (struct peer_options){
        .listen = world_addresses[number - 1],
        .self = number,
        .count = w->count,
        .addresses = world_addresses,
        .incarnation = 10 + number,
    };
    memset(n->options.node_id, (int)number, PEER_ID_BYTES);
}

static inline void node_start(struct node *n)
{
    struct error error;
    n->peers = peers_create(&n->env.base, &n->options, &world_events, n);
    CHECK_EQ(peers_start(n->peers, &error), STATUS_OK);
}

/* As a killed process: nothing of it is called any more. */
static inline void node_kill(struct world *w, struct node *n)
{
    fake_net_drop(&w->net, &n->env);
    peers_destroy(n->peers);
    buf_deinit(&n->last_message);
    fake_env_deinit(&n->env);
    n->peers = NULL;
}

static inline void world_create(struct world *w, uint32_t count)
{
    memset(w, 0, sizeof *w);
    fake_net_init(&w->net);
    w->count = count;
    for (uint32_t i = 1; i <= count; i++) {
        node_create(w, i);
    }
}

/* Lets time pass in pieces of 10 ms, and everything move. */
static inline void world_run(struct world *w, unsigned ms)
{
    for (unsigned passed = 0;; passed += 10) {
        fake_net_run(&w->net, WORLD_STEPS);
        if (passed >= ms) {
            return;
        }
        for (uint32_t i = 1; i <= w->count; i++) {
            struct node *n = node_of(w, i);
            if (n->peers != NULL) {
                fake_env_advance(&n->env, 10);
                on_node_turn(n);
            }
        }
    }
}

static inline void world_start(struct world *w)
{
    for (uint32_t i = 1; i <= w->count; i++) {
        node_start(node_of(w, i));
    }
    world_run(w, 100);
}

static inline void world_destroy(struct world *w)
{
    for (uint32_t i = 1; i <= w->count; i++) {
        if (node_of(w, i)->peers != NULL) {
            node_kill(w, node_of(w, i));
        }
    }
    fake_net_deinit(&w->net);
}

static inline bool node_send(struct node *n, uint32_t to, enum peer_class class, const char *text)
{
    struct bytes part = bytes_of_text(text);
    return peers_send(n->peers, to, class, &part, 1);
}

/* The lines since the last call. */
static inline void check_events(struct node *n, const char *expected)
{
    CHECK_TEXT(fake_env_events(&n->env), expected);
    fake_env_forget(&n->env);
}

#endif
