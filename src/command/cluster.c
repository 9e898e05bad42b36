/* DOUGONG: the cluster as one of its nodes sees it. */
#include "command/cluster.h"

#include <stdio.h>

#include "base/assert.h"
#include "command/command.h"
#include "command/help.h"
#include "protocol/resp_writer.h"

#define SLOTS_TEXT_BYTES 16u /* "16383-16383" */

static enum command_result status_run(struct command_call *call);
static enum command_result nodes_run(struct command_call *call);
static enum command_result groups_run(struct command_call *call);
static enum command_result locate_run(struct command_call *call);
static enum command_result help_run(struct command_call *call);

#define DOUGONG_ROW(name_, run, arity, complexity_, summary_)                                      \
    {                                                                                              \
        .name = (name_), .container = "dougong", .handler = (run), .arity_min = (arity),           \
        .arity_max = (arity), .flags = COMMAND_STALE_OK, .group = "cluster", .since = "7.0.0",     \
        .complexity = (complexity_), .summary = (summary_), .acl = "@slow",                        \
    }

static const struct command dougong_subcommands[] = {
    DOUGONG_ROW("status",
                status_run,
                2,
                "O(N) where N is the number of groups",
                "Tells who this node is, and whether the cluster is healthy"),
    DOUGONG_ROW("nodes",
                nodes_run,
                2,
                "O(N) where N is the number of groups",
                "Lists the nodes, their addresses, and how many groups each leads"),
    DOUGONG_ROW("groups",
                groups_run,
                2,
                "O(N) where N is the number of groups",
                "Lists the groups, their slots, leaders and replicas"),
    DOUGONG_ROW("locate", locate_run, 3, "O(1)", "Tells which group and which nodes hold a key"),
    DOUGONG_ROW("help", help_run, 2, "O(1)", "Show helpful text about the subcommands"),
    {.name = NULL},
};

const struct command command_table_cluster[] = {
    {
        .name = "dougong",
        .arity_min = 2,
        .arity_max = -1,
        .group = "cluster",
        .since = "7.0.0",
        .complexity = "Depends on subcommand.",
        .summary = "A container for commands about this cluster",
        .acl = "@slow",
        .subcommands = dougong_subcommands,
    },
    {.name = NULL},
};

/* ---- handlers -------------------------------------------------------------------------------- */

static enum command_result ask(struct command_call *call,
                               enum command_cluster what,
                               struct bytes key)
{
    const struct command_server *server = call->server;
    ensure(server->cluster != NULL);
    size_t before = call->reply->size;
    server->cluster(server->owner, what, key, call->resp, call->reply);
    ensure(call->reply->size > before);
    return COMMAND_DONE;
}

static enum command_result status_run(struct command_call *call)
{
    return ask(call, COMMAND_CLUSTER_STATUS, (struct bytes){0});
}

static enum command_result nodes_run(struct command_call *call)
{
    return ask(call, COMMAND_CLUSTER_NODES, (struct bytes){0});
}

static enum command_result groups_run(struct command_call *call)
{
    return ask(call, COMMAND_CLUSTER_GROUPS, (struct bytes){0});
}

/* Its key is not in the table: any node answers, also one that does not hold it. */
static enum command_result locate_run(struct command_call *call)
{
    struct bytes key = call->args[2];
    if (key.size > LIMIT_KEY_BYTES) {
        resp_write_errorf(call->reply, "ERR key is longer than %u bytes", LIMIT_KEY_BYTES);
        return COMMAND_ERROR;
    }
    return ask(call, COMMAND_CLUSTER_LOCATE, key);
}

static enum command_result help_run(struct command_call *call)
{
    static const char *const lines[] = {
        "STATUS",
        "    Return who this node is, and whether the cluster is healthy.",
        "NODES",
        "    Return the nodes, their addresses, and how many groups each leads.",
        "GROUPS",
        "    Return the groups, their slots, leaders and replicas.",
        "LOCATE <key>",
        "    Return the group and the nodes that hold <key>.",
        NULL,
    };
    return command_help(call, lines);
}

/* ---- writers --------------------------------------------------------------------------------- */

static void write_text(struct buf *reply, const char *name, const char *text)
{
    resp_write_bulk_text(reply, name);
    resp_write_bulk_text(reply, text);
}

static void write_number(struct buf *reply, const char *name, uint64_t value)
{
    ensure(value <= INT64_MAX);
    resp_write_bulk_text(reply, name);
    resp_write_integer(reply, (int64_t)value);
}

static void write_flag(struct buf *reply, int resp, const char *name, bool value)
{
    resp_write_bulk_text(reply, name);
    resp_write_bool(reply, resp, value);
}

/* A number that may be unknown. */
static void write_known(struct buf *reply,
                        int resp,
                        const char *name,
                        bool is_known,
                        uint64_t value)
{
    if (is_known) {
        write_number(reply, name, value);
        return;
    }
    resp_write_bulk_text(reply, name);
    resp_write_null(reply, resp);
}

static void write_replicas(struct buf *reply, const struct cluster_replicas *replicas)
{
    resp_write_bulk_text(reply, "replicas");
    resp_write_array(reply, replicas->count);
    for (size_t i = 0; i < replicas->count; i++) {
        resp_write_integer(reply, replicas->nodes[i]);
    }
}

void cluster_write_status(struct buf *reply, int resp, const struct cluster_status *status)
{
    resp_write_map(reply, resp, 11);
    write_text(reply, "cluster_id", status->cluster_id);
    write_number(reply, "node", status->node);
    write_number(reply, "nodes", status->node_count);
    write_number(reply, "groups", status->group_count);
    write_flag(reply, resp, "formed", status->is_formed);
    write_number(reply, "leaders", status->groups_led);
    write_number(reply, "groups_without_leader", status->groups_without_leader);
    write_number(reply, "disks_full", status->disks_full);
    write_flag(reply, resp, "healthy", status->is_healthy);
    write_text(reply, "version", status->version);
    write_number(reply, "uptime_seconds", status->uptime_s);
}

void cluster_write_count(struct buf *reply, size_t count)
{
    resp_write_array(reply, count);
}

void cluster_write_node(struct buf *reply, int resp, const struct cluster_node *node)
{
    resp_write_map(reply, resp, 8);
    write_number(reply, "node", node->node);
    write_text(reply, "peer", node->peer);
    write_text(reply, "client", node->client);
    write_flag(reply, resp, "self", node->is_self);
    write_flag(reply, resp, "connected", node->is_connected);
    write_number(reply, "leads", node->groups_led);
    write_number(reply, "replicas", node->replicas);
    write_flag(reply, resp, "disk_full", node->is_disk_full);
}

void cluster_write_group(struct buf *reply, int resp, const struct cluster_group *group)
{
    char slots[SLOTS_TEXT_BYTES] = "";
    if (group->group != CLUSTER_GROUP_METADATA) {
        ensure(group->slot_first <= group->slot_last);
        unsigned first = group->slot_first;
        unsigned last = group->slot_last;
        int size = snprintf(slots, sizeof slots, "%u-%u", first, last);
        ensure(size > 0 && (size_t)size < sizeof slots);
    }
    bool is_here = group->is_here;
    resp_write_map(reply, resp, 10);
    write_number(reply, "group", group->group);
    write_text(reply, "slots", slots);
    write_known(reply, resp, "leader", group->leader != CLUSTER_NODE_NONE, group->leader);
    write_known(reply, resp, "term", is_here, group->term);
    write_replicas(reply, &group->replicas);
    write_known(reply, resp, "applied", is_here, group->applied_index);
    write_known(reply, resp, "commit", is_here, group->commit_index);
    write_known(reply, resp, "voters", is_here, group->voters);
    write_known(reply, resp, "learners", is_here, group->learners);
    write_flag(reply, resp, "here", is_here);
}

void cluster_write_place(struct buf *reply, int resp, const struct cluster_place *place)
{
    resp_write_map(reply, resp, 5);
    resp_write_bulk_text(reply, "key");
    resp_write_bulk(reply, place->key);
    write_number(reply, "slot", place->slot);
    write_number(reply, "group", place->group);
    write_known(reply, resp, "leader", place->leader != CLUSTER_NODE_NONE, place->leader);
    write_replicas(reply, &place->replicas);
}
