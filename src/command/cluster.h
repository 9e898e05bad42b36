/*
 * What DOUGONG's subcommands answer, field by field: the node fills these and the writers put them
 * into the reply (maps; in RESP2 flat arrays). `dougong status|nodes|groups|transactions|locate`
 * shows the same fields under the same names, so names are only ever added. Pointers are borrowed
 * for the call.
 */
#ifndef COMMAND_CLUSTER_H
#define COMMAND_CLUSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

/* No leader known. Nodes are numbered from 1. */
#define CLUSTER_NODE_NONE 0u
/* The group without slots, which holds the cluster's own tables. */
#define CLUSTER_GROUP_METADATA 0u

struct cluster_status {
    const char *cluster_id; /* hexadecimal; "" before it is formed */
    uint32_t node;
    uint32_t node_count;
    uint32_t group_count; /* with the metadata group */
    bool is_formed;
    uint32_t groups_led; /* by this node */
    uint32_t groups_without_leader;
    uint32_t disks_full; /* of nodes that are connected */
    bool is_healthy; /* formed, every group has a leader, every node is connected and has space */
    const char *version;
    uint64_t uptime_s;
};

struct cluster_node {
    uint32_t node;
    const char *peer;   /* addresses; "": unknown, or none */
    const char *client; /* the same */
    bool is_self;
    bool is_connected;   /* also true of self */
    bool is_disk_full;   /* it takes no writes */
    uint32_t groups_led; /* as far as known here */
    uint32_t replicas;
};

/* Nodes that hold a replica, in the order of the group's table. */
struct cluster_replicas {
    const uint32_t *nodes;
    size_t count;
};

struct cluster_group {
    uint32_t group;
    uint16_t slot_first; /* of other groups than CLUSTER_GROUP_METADATA */
    uint16_t slot_last;
    uint32_t leader;
    struct cluster_replicas replicas;
    bool is_here; /* a replica is on this node; else the next are unknown, and shown as null */
    uint64_t term;
    uint64_t applied_index;
    uint64_t commit_index;
    uint32_t voters; /* fewer than replicas, or with learners: one is being replaced */
    uint32_t learners;
};

struct cluster_place {
    struct bytes key;
    uint16_t slot;
    uint32_t group;
    uint32_t leader;
    struct cluster_replicas replicas;
};

/* One that a group led by this node is prepared for, or that this node coordinates. */
struct cluster_transaction {
    uint32_t node; /* of its coordinator, as are the next two */
    uint32_t incarnation;
    uint64_t sequence;
    bool is_coordinator;
    uint32_t group; /* that is prepared; unknown, and shown as null, if is_coordinator */
    const char *state;
    uint64_t age_ms; /* as far as known here */
    const uint16_t *participants;
    size_t participant_count;
};

/* STATUS: the whole reply. */
void cluster_write_status(struct buf *reply, int resp, const struct cluster_status *status);
/* NODES, GROUPS, TRANSACTIONS: the header, then the rows, as many as it says. */
void cluster_write_count(struct buf *reply, size_t count);
void cluster_write_node(struct buf *reply, int resp, const struct cluster_node *node);
void cluster_write_group(struct buf *reply, int resp, const struct cluster_group *group);
void cluster_write_transaction(struct buf *reply, int resp, const struct cluster_transaction *t);
/* LOCATE: the whole reply. */
void cluster_write_place(struct buf *reply, int resp, const struct cluster_place *place);

#endif
