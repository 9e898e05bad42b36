/* What DOUGONG's subcommands show of the cluster, as this node sees it. */
#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "command/cluster.h"
#include "data/slot.h"
#include "node/node_parts.h"
#include "node/version.h"

#define SECOND_US 1000000u

static struct cluster_replicas replicas_of(const struct node *node, uint32_t group)
{
    return (struct cluster_replicas){
        .nodes = node->groups[group].nodes,
        .count = node->groups[group].node_count,
    };
}

static bool is_connected(const struct node *node, uint32_t number)
{
    return number == node->identity.number || peers_is_connected(node->peers, number);
}

static bool is_disk_full(const struct node *node, uint32_t number)
{
    return number == node->identity.number ? node_is_out_of_space(node)
                                           : node->facts[number - 1].is_full;
}

static void write_status(struct node *node, int resp, struct buf *reply)
{
    char cluster_id[2 * IDENTITY_ID_BYTES + 1] = "";
    bool is_formed = founding_is_formed(&node->founding);
    for (unsigned i = 0; is_formed && i < IDENTITY_ID_BYTES; i++) {
        (void)snprintf(cluster_id + (size_t)2 * i, 3, "%02x", (unsigned)node->identity.cluster[i]);
    }
    struct cluster_status status = {
        .cluster_id = cluster_id,
        .node = node->identity.number,
        .node_count = node->node_count,
        .group_count = node_groups(node),
        .is_formed = is_formed,
        .version = DOUGONG_VERSION,
        .uptime_s = (env_now_us(node->env) - node->server.started_us) / SECOND_US,
    };
    for (uint32_t g = 0; g < node_groups(node); g++) {
        uint32_t leader = router_leader_of(node->router, g);
        status.groups_led += leader == node->identity.number ? 1 : 0;
        status.groups_without_leader += leader == CLUSTER_NODE_NONE ? 1 : 0;
    }
    status.is_healthy = is_formed && status.groups_without_leader == 0;
    for (uint32_t n = 1; n <= node->node_count; n++) {
        status.disks_full += is_disk_full(node, n) ? 1 : 0;
        status.is_healthy = status.is_healthy && is_connected(node, n);
    }
    status.is_healthy = status.is_healthy && status.disks_full == 0;
    cluster_write_status(reply, resp, &status);
}

static void count_groups(struct node *node, struct cluster_node *row)
{
    for (uint32_t g = 0; g < node_groups(node); g++) {
        row->groups_led += router_leader_of(node->router, g) == row->node ? 1 : 0;
        for (uint32_t i = 0; i < node->groups[g].node_count; i++) {
            row->replicas += node->groups[g].nodes[i] == row->node ? 1 : 0;
        }
    }
}

static void write_nodes(struct node *node, int resp, struct buf *reply)
{
    cluster_write_count(reply, node->node_count);
    for (uint32_t n = 1; n <= node->node_count; n++) {
        struct buf client;
        buf_init(&client, LIMIT_VALUE_BYTES);
        node_client_address(node, n, &client);
        buf_append(&client, "", 1);
        struct cluster_node row = {
            .node = n,
            .peer = node->addresses[n - 1],
            .client = (const char *)client.data,
            .is_self = n == node->identity.number,
            .is_connected = is_connected(node, n),
            .is_disk_full = is_disk_full(node, n),
        };
        count_groups(node, &row);
        cluster_write_node(reply, resp, &row);
        buf_deinit(&client);
    }
}

static void write_groups(struct node *node, int resp, struct buf *reply)
{
    uint32_t groups = node->identity.groups;
    cluster_write_count(reply, node_groups(node));
    for (uint32_t g = 0; g < node_groups(node); g++) {
        struct node_group facts;
        node_group(node, g, &facts);
        struct cluster_group row = {
            .group = g,
            .leader = router_leader_of(node->router, g),
            .replicas = replicas_of(node, g),
            .is_here = facts.is_here,
            .term = facts.term,
            .applied_index = facts.applied_index,
            .commit_index = facts.commit_index,
            .voters = facts.voters,
            .learners = facts.learners,
        };
        if (g != CLUSTER_GROUP_METADATA) {
            row.slot_first = (uint16_t)node_first_slot(groups, g);
            row.slot_last = (uint16_t)(node_first_slot(groups, g + 1) - 1);
        }
        cluster_write_group(reply, resp, &row);
    }
}

static void write_place(struct node *node, struct bytes key, int resp, struct buf *reply)
{
    uint16_t slot = slot_of_key(key);
    uint32_t group = router_group_of_slot(node->router, slot);
    struct cluster_place place = {
        .key = key,
        .slot = slot,
        .group = group,
        .leader = router_leader_of(node->router, group),
        .replicas = replicas_of(node, group),
    };
    cluster_write_place(reply, resp, &place);
}

void node_write_cluster(void *owner,
                        enum command_cluster what,
                        struct bytes key,
                        uint8_t resp,
                        struct buf *reply)
{
    struct node *node = owner;
    switch (what) {
    case COMMAND_CLUSTER_STATUS:
        write_status(node, resp, reply);
        return;
    case COMMAND_CLUSTER_NODES:
        write_nodes(node, resp, reply);
        return;
    case COMMAND_CLUSTER_GROUPS:
        write_groups(node, resp, reply);
        return;
    case COMMAND_CLUSTER_LOCATE:
        write_place(node, key, resp, reply);
        return;
    }
}
