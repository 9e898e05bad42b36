/*
 * Commands of Redis that do not belong here: each is refused with a hint. What Raft does by itself
 * (replicas, failover, saving) cannot be commanded; the others have no meaning in a cluster. They
 * are not shown by COMMAND, so that a client which looks for one finds that it is missing.
 */
#include "command/command.h"
#include "command/help.h"
#include "protocol/resp_writer.h"

static enum command_result refuse_run(struct command_call *call);
static enum command_result module_list_run(struct command_call *call);
static enum command_result module_help_run(struct command_call *call);

#define REFUSED(name_, container_, min, max, group_, since_, summary_, hint_)                      \
    {                                                                                              \
        .name = (name_), .container = (container_), .handler = refuse_run, .arity_min = (min),     \
        .arity_max = (max), .flags = COMMAND_REFUSED | COMMAND_STALE_OK, .group = (group_),        \
        .since = (since_), .summary = (summary_), .acl = "@slow", .hint = (hint_),                 \
    }

#define HINT_REPLICAS                                                                              \
    "ERR replicas follow their leaders by themselves here; see DOUGONG NODES and DOUGONG GROUPS"
#define HINT_SAVE "ERR every acknowledged write is on disk already, there is nothing to save"
#define HINT_STREAM                                                                                \
    "ERR this server has no replication stream of Redis; copy keys with SCAN, DUMP and RESTORE"
#define HINT_MODULES "ERR modules cannot be loaded into this server"
/* What Redis answers as well. */
#define HINT_CLUSTER "ERR This instance has cluster support disabled"

#define SERVER_ROW(name_, min, max, since_, summary_, hint_)                                       \
    REFUSED(name_, NULL, min, max, "server", since_, summary_, hint_)
#define MODULE_ROW(name_, min, max, since_, summary_)                                              \
    REFUSED(name_, "module", min, max, "server", since_, summary_, HINT_MODULES)
#define CLUSTER_ROW(name_, min, max, since_, summary_)                                             \
    REFUSED(name_, "cluster", min, max, "cluster", since_, summary_, HINT_CLUSTER)

static const struct command module_subcommands[] = {
    {
        .name = "help",
        .container = "module",
        .handler = module_help_run,
        .arity_min = 2,
        .arity_max = 2,
        .flags = COMMAND_STALE_OK,
        .group = "server",
        .since = "5.0.0",
        .complexity = "O(1)",
        .summary = "Show helpful text about the different subcommands",
        .acl = "@slow",
    },
    {
        .name = "list",
        .container = "module",
        .handler = module_list_run,
        .arity_min = 2,
        .arity_max = 2,
        .flags = COMMAND_ADMIN | COMMAND_NO_SCRIPT,
        .group = "server",
        .since = "4.0.0",
        .complexity = "O(N) where N is the number of loaded modules.",
        .summary = "List all modules loaded by the server",
        .acl = "@admin @slow @dangerous",
        .tips = "nondeterministic_output_order",
    },
    MODULE_ROW("load", 3, -1, "4.0.0", "Load a module"),
    MODULE_ROW("loadex", 3, -1, "7.0.0", "Load a module with extended parameters"),
    MODULE_ROW("unload", 3, 3, "4.0.0", "Unload a module"),
    {.name = NULL},
};

/* clang-format off */
static const struct command cluster_subcommands[] = {
    CLUSTER_ROW("addslots", 3, -1, "3.0.0", "Assign new hash slots to receiving node"),
    CLUSTER_ROW("addslotsrange", 4, -1, "7.0.0", "Assign new hash slots to receiving node"),
    CLUSTER_ROW("bumpepoch", 2, 2, "3.0.0", "Advance the cluster config epoch"),
    CLUSTER_ROW("count-failure-reports", 3, 3, "3.0.0",
                "Return the number of failure reports active for a given node"),
    CLUSTER_ROW("countkeysinslot", 3, 3, "3.0.0",
                "Return the number of local keys in the specified hash slot"),
    CLUSTER_ROW("delslots", 3, -1, "3.0.0", "Set hash slots as unbound in receiving node"),
    CLUSTER_ROW("delslotsrange", 4, -1, "7.0.0", "Set hash slots as unbound in receiving node"),
    CLUSTER_ROW("failover", 2, -1, "3.0.0",
                "Forces a replica to perform a manual failover of its master."),
    CLUSTER_ROW("flushslots", 2, 2, "3.0.0", "Delete a node's own slots information"),
    CLUSTER_ROW("forget", 3, 3, "3.0.0", "Remove a node from the nodes table"),
    CLUSTER_ROW("getkeysinslot", 4, 4, "3.0.0",
                "Return local key names in the specified hash slot"),
    CLUSTER_ROW("help", 2, 2, "5.0.0", "Show helpful text about the different subcommands"),
    CLUSTER_ROW("info", 2, 2, "3.0.0", "Provides info about Redis Cluster node state"),
    CLUSTER_ROW("keyslot", 3, 3, "3.0.0", "Returns the hash slot of the specified key"),
    CLUSTER_ROW("links", 2, 2, "7.0.0",
                "Returns a list of all TCP links to and from peer nodes in cluster"),
    CLUSTER_ROW("meet", 4, -1, "3.0.0", "Force a node cluster to handshake with another node"),
    CLUSTER_ROW("myid", 2, 2, "3.0.0", "Return the node id"),
    CLUSTER_ROW("nodes", 2, 2, "3.0.0", "Get Cluster config for the node"),
    CLUSTER_ROW("replicas", 3, 3, "5.0.0",
                "List replica nodes of the specified master node"),
    CLUSTER_ROW("replicate", 3, 3, "3.0.0",
                "Reconfigure a node as a replica of the specified master node"),
    CLUSTER_ROW("reset", 2, -1, "3.0.0", "Reset a Redis Cluster node"),
    CLUSTER_ROW("saveconfig", 2, 2, "3.0.0",
                "Forces the node to save cluster state on disk"),
    CLUSTER_ROW("set-config-epoch", 3, 3, "3.0.0",
                "Set the configuration epoch in a new node"),
    CLUSTER_ROW("setslot", 4, -1, "3.0.0", "Bind a hash slot to a specific node"),
    CLUSTER_ROW("shards", 2, 2, "7.0.0", "Get array of cluster slots to node mappings"),
    CLUSTER_ROW("slaves", 3, 3, "3.0.0", "List replica nodes of the specified master node"),
    CLUSTER_ROW("slots", 2, 2, "3.0.0", "Get array of Cluster slot to node mappings"),
    {.name = NULL},
};
/* clang-format on */

const struct command command_table_refused[] = {
    SERVER_ROW("replicaof",
               3,
               3,
               "5.0.0",
               "Make the server a replica of another instance, or promote it as master.",
               HINT_REPLICAS),
    SERVER_ROW("slaveof",
               3,
               3,
               "1.0.0",
               "Make the server a replica of another instance, or promote it as master.",
               HINT_REPLICAS),
    SERVER_ROW("failover",
               1,
               -1,
               "6.2.0",
               "Start a coordinated failover between this server and one of its replicas.",
               "ERR groups elect their leaders by themselves here; see DOUGONG GROUPS"),
    SERVER_ROW("save", 1, 1, "1.0.0", "Synchronously save the dataset to disk", HINT_SAVE),
    SERVER_ROW("bgsave", 1, -1, "1.0.0", "Asynchronously save the dataset to disk", HINT_SAVE),
    SERVER_ROW("bgrewriteaof",
               1,
               1,
               "1.0.0",
               "Asynchronously rewrite the append-only file",
               "ERR the log is freed by itself here, see --log-size"),
    SERVER_ROW("sync", 1, 1, "1.0.0", "Internal command used for replication", HINT_STREAM),
    SERVER_ROW("psync", 3, -1, "2.8.0", "Internal command used for replication", HINT_STREAM),
    SERVER_ROW("replconf",
               1,
               -1,
               "3.0.0",
               "An internal command for configuring the replication stream",
               HINT_STREAM),
    SERVER_ROW("swapdb",
               3,
               3,
               "4.0.0",
               "Swaps two Redis databases",
               "ERR databases cannot be swapped: their keys are spread over all groups"),
    REFUSED("migrate",
            NULL,
            6,
            -1,
            "generic",
            "2.6.0",
            "Atomically transfer a key from a Redis instance to another one.",
            "ERR keys are not moved between servers by this one; copy them with DUMP and RESTORE"),
    REFUSED("restore-asking",
            NULL,
            4,
            -1,
            "server",
            "3.0.0",
            "An internal command for migrating keys in a cluster",
            "ERR no slot is ever migrated to this server by clients; use RESTORE"),
    REFUSED("asking",
            NULL,
            1,
            1,
            "cluster",
            "3.0.0",
            "Sent by cluster clients after an -ASK redirect",
            HINT_CLUSTER),
    REFUSED("readonly",
            NULL,
            1,
            1,
            "cluster",
            "3.0.0",
            "Enables read queries for a connection to a cluster replica node",
            HINT_CLUSTER),
    REFUSED("readwrite",
            NULL,
            1,
            1,
            "cluster",
            "3.0.0",
            "Disables read queries for a connection to a cluster replica node",
            HINT_CLUSTER),
    {
        .name = "module",
        .arity_min = 2,
        .arity_max = -1,
        .group = "server",
        .since = "4.0.0",
        .complexity = "Depends on subcommand.",
        .summary = "A container for module commands",
        .acl = "@slow",
        .subcommands = module_subcommands,
    },
    {
        .name = "cluster",
        .arity_min = 2,
        .arity_max = -1,
        .flags = COMMAND_REFUSED,
        .group = "cluster",
        .since = "3.0.0",
        .complexity = "Depends on subcommand.",
        .summary = "A container for cluster commands",
        .acl = "@slow",
        .hint = HINT_CLUSTER,
        .subcommands = cluster_subcommands,
    },
    {.name = NULL},
};

static enum command_result refuse_run(struct command_call *call)
{
    return command_fail(call, call->command->hint);
}

static enum command_result module_list_run(struct command_call *call)
{
    resp_write_array(call->reply, 0);
    return COMMAND_DONE;
}

static enum command_result module_help_run(struct command_call *call)
{
    static const char loadex[] = "    Load a module library from <path>, while passing it module "
                                 "configurations and optional arguments.";
    static const char *const lines[] = {
        "LIST",
        "    Return a list of loaded modules.",
        "LOAD <path> [<arg> ...]",
        "    Load a module library from <path>, passing to it any optional arguments.",
        "LOADEX <path> [[CONFIG NAME VALUE] [CONFIG NAME VALUE]] [ARGS ...]",
        loadex,
        "UNLOAD <name>",
        "    Unload a module.",
        NULL,
    };
    return command_help(call, lines);
}
