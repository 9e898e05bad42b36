/* What commands may ask of the node: its settings, its clock, its end. */
#include "node/node_parts.h"

#define MILLISECOND_US 1000u

static uint64_t wall_us(void *owner)
{
    struct node *node = owner;
    return env_wall_ms(node->env) * MILLISECOND_US;
}

/* A majority of a group's replicas has what was acknowledged; the leader is one of them. */
static uint32_t acknowledged_replicas(void *owner)
{
    const struct node *node = owner;
    uint32_t replicas = node->node_count < NODE_REPLICAS ? node->node_count : NODE_REPLICAS;
    return replicas / 2;
}

uint64_t node_applied_entries(const struct node *node)
{
    uint64_t applied = 0;
    for (uint32_t g = 0; g < node_group_count(node); g++) {
        struct node_group group;
        node_group(node, g, &group);
        applied += group.applied_index;
    }
    return applied;
}

static uint64_t applied_entries(void *owner)
{
    return node_applied_entries(owner);
}

static void reset_stats(void *owner)
{
    struct node *node = owner;
    node->stats = (struct stats){0};
    node->server.errors = (struct error_counts){0};
    command_stats_reset(&node->server.command_stats);
}

/* The command runs inside the server, which cannot be stopped from there. */
static bool want_stop(void *owner)
{
    struct node *node = owner;
    node->is_stop_wanted = node->options.stop_wanted != NULL;
    return node->is_stop_wanted;
}

void node_admin_init(struct node *node)
{
    node->admin = (struct command_admin){
        .settings = &node->settings,
        .listen = node->options.listen,
        .data_dir = node->options.data_dir,
        .wall_us = wall_us,
        .acknowledged_replicas = acknowledged_replicas,
        .applied_entries = applied_entries,
        .reset_stats = reset_stats,
        .stop = want_stop,
        .owner = node,
    };
}

void node_admin_flush(struct node *node)
{
    if (node->is_stop_wanted) {
        node->is_stop_wanted = false;
        node->options.stop_wanted(node->options.stop_wanted_owner);
    }
}
