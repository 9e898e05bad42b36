/*
 * What nodes say of themselves (MESSAGE_NODE), and what follows from it: a leader whose disk or
 * whose followers' disks are full takes no writes, and one whose group has the replica of a node
 * that has begun anew replaces it by the new one (MOVE-1).
 */
#include <inttypes.h>

#include "base/assert.h"
#include "node/node_members.h"
#include "node/node_parts.h"

/* ---- speaking and hearing -------------------------------------------------------------------- */

void node_speak_to(struct node *node, uint32_t number)
{
    struct node_message m = {
        .is_full = node_is_out_of_space(node),
        .life = node->identity.life,
    };
    uint8_t bytes[NODE_MESSAGE_BYTES];
    node_message_encode(&m, bytes);
    struct bytes part = bytes_of(bytes, sizeof bytes);
    if (peers_is_connected(node->peers, number) &&
        !peers_send(node->peers, number, PEER_URGENT, &part, 1)) {
        reached("node: own facts dropped"); /* the timer repeats them */
    }
}

void node_speak(struct node *node)
{
    for (uint32_t n = 1; n <= node->node_count; n++) {
        if (n != node->identity.number) {
            node_speak_to(node, n);
        }
    }
}

enum status node_hear(struct node *node, uint32_t from, struct bytes message)
{
    struct node_message m;
    enum status s = node_message_decode(message, &m);
    if (s == STATUS_OK) {
        ensure(from > 0 && from <= node->node_count);
        node_fact_hear(&node->facts[from - 1], &m);
    }
    return s;
}

static void speak_due(struct env_timer *timer)
{
    struct node *node = container_of(timer, struct node, speak_timer);
    env_timer_start(node->env, timer, NODE_MESSAGE_EVERY_MS);
    node_speak(node);
}

/* ---- disk space of a group ------------------------------------------------------------------- */

bool node_is_group_out_of_space(void *owner, uint32_t group)
{
    struct node *node = owner;
    if (node_is_out_of_space(node)) {
        return true;
    }
    bool is_full[IDENTITY_FOUNDERS_MAX];
    bool is_any_full = false;
    for (uint32_t n = 0; n < node->node_count; n++) {
        is_full[n] = node->facts[n].is_full;
        is_any_full = is_any_full || is_full[n];
    }
    if (!is_any_full) {
        return false; /* asked for every write */
    }
    struct engine_config config;
    replica_config(node->groups[group].replica, &config);
    return !node_members_have_space(&config, is_full, node->node_count);
}

/* ---- members --------------------------------------------------------------------------------- */

static void warn_once(struct node *node, uint32_t group)
{
    if (node->is_members_warned) {
        return;
    }
    node->is_members_warned = true;
    env_log(node->env,
            ENV_LEVEL_WARNING,
            "members group=%" PRIu32 ": a node was rebuilt, but its replica cannot be replaced "
            "safely with so few nodes; take a copy of the data, and found a cluster of three",
            group);
}

static void check_members(struct node *node, uint32_t group, const struct node_fact *facts)
{
    const struct router_group *g = &node->groups[group];
    struct engine_config now;
    uint64_t wished[ENGINE_MEMBERS_MAX];
    unsigned count = 0;
    replica_config(g->replica, &now);
    if (!node_members_wished(&now, g->nodes, g->node_count, facts, wished, &count)) {
        return;
    }
    bool is_done = false;
    enum status s = replica_set_members(g->replica, wished, count, &is_done);
    if (s != STATUS_OK) {
        warn_once(node, group);
    } else if (is_done) {
        env_log(node->env, ENV_LEVEL_INFO, "members replaced group=%" PRIu32, group);
    }
}

static void members_due(struct env_timer *timer)
{
    struct node *node = container_of(timer, struct node, members_timer);
    env_timer_start(node->env, timer, NODE_MEMBERS_MS);
    struct node_fact facts[IDENTITY_FOUNDERS_MAX];
    memcpy(facts, node->facts, sizeof facts);
    facts[node->identity.number - 1] =
        (struct node_fact){.is_heard = true, .life = node->identity.life};
    for (uint32_t g = 0; g < node_group_count(node) && !node->env->is_halted; g++) {
        if (node->groups[g].replica != NULL && replica_is_leader(node->groups[g].replica)) {
            check_members(node, g, facts);
        }
    }
    log_garbage_tick(&node->garbage);
}

/* ---- life ------------------------------------------------------------------------------------ */

void node_talk_init(struct node *node)
{
    node->speak_timer.cb = speak_due;
    node->members_timer.cb = members_due;
}

void node_talk_start(struct node *node)
{
    env_timer_start(node->env, &node->members_timer, NODE_MEMBERS_MS);
    if (node->node_count > 1) {
        node_speak(node);
        env_timer_start(node->env, &node->speak_timer, NODE_MESSAGE_EVERY_MS);
    }
}

void node_talk_stop(struct node *node)
{
    env_timer_stop(node->env, &node->speak_timer);
    env_timer_stop(node->env, &node->members_timer);
}
