/* What a node is made of. Inside the room node only. */
#ifndef NODE_NODE_PARTS_H
#define NODE_NODE_PARTS_H

#include "base/stat.h"
#include "consensus/rounds.h"
#include "log/log.h"
#include "node/founding.h"
#include "node/identity.h"
#include "node/node.h"
#include "peer/peers.h"
#include "router/router.h"
#include "server/server.h"
#include "shard/shard.h"
#include "store/store.h"

#define NODE_PATH_BYTES 400u
#define NODE_GROUPS_DEFAULT 16u
/* A group's founders, unless there are fewer nodes. */
#define NODE_REPLICAS 3u
#define NODE_METADATA_REPLICAS 5u
#define NODE_ELECTION_TIMEOUT_MS_DEFAULT 300u
/* Heartbeats per election time-out: a few may be late without anybody standing for election. */
#define NODE_HEARTBEATS 5u
/* While the log holds this much that is not durable, entries wait. */
#define NODE_LOG_BYTES_MAX (64u * MIB)
/* The metadata group: one row a node, "node:N". */
#define NODE_GROUP_METADATA 0u

enum node_state {
    NODE_STATE_CREATED,
    NODE_STATE_RUNNING,
    NODE_STATE_DRAINING, /* no more input; waits until all that was taken is answered */
    NODE_STATE_CLOSING,  /* connections and log are being closed */
    NODE_STATE_STOPPED,
};

/* What this node tells the others about itself, in the metadata group. */
struct announcement {
    struct router_request request;
    struct router_stream stream;
    struct buf reply;
    struct buf key;
    struct buf value;
    struct env_timer timer;
    bool is_under_way;
};

struct node {
    struct env *env;
    struct node_options options;
    char log_dir[NODE_PATH_BYTES + 8];
    enum node_state state;
    struct identity identity;
    struct stats stats;
    struct log log;
    struct store store;

    struct founding founding;
    struct env_timer founding_timer;
    char *address_text; /* identity.founders, cut at its commas */
    const char *addresses[IDENTITY_FOUNDERS_MAX];
    uint32_t node_count;
    struct peers *peers;
    struct rounds *rounds;
    struct router_group *groups; /* [0 … identity.groups] */
    bool has_started_groups;
    struct message_entries entries; /* scratch */
    struct router *router;
    struct server server;
    struct announcement announcement;

    bool is_log_closed;
    bool is_peers_closed;
    uint64_t ready_us; /* how long node_start took */
    void (*stopped)(void *owner);
    void *stopped_owner;
};

/* node_groups.c: groups and messages between nodes. */
void node_create_groups(struct node *node);
/* The cluster is formed: the replicas begin to vote. */
MUST_CHECK enum status node_start_groups(struct node *node, struct error *error);
void node_destroy_groups(struct node *node);
const struct peer_events *node_peer_events(void);
static inline uint32_t node_groups(const struct node *node)
{
    return node->groups == NULL ? 0 : node->identity.groups + 1;
}

/* node_start.c */
MUST_CHECK enum status node_open_dir(struct node *node, struct error *error);
MUST_CHECK enum status node_open_log(struct node *node, struct error *error);
MUST_CHECK enum status node_store_identity(struct node *node, struct error *error);

/* node_cluster.c: command_server.cluster */
void node_write_cluster(void *owner,
                        enum command_cluster what,
                        struct bytes key,
                        uint8_t resp,
                        struct buf *reply);

/* node_announce.c */
void node_announce_init(struct node *node);
void node_announce(struct node *node);
void node_announce_deinit(struct node *node);
/* The client address of a node as the metadata group has it here; "" if it is not known. */
void node_client_address(struct node *node, uint32_t number, struct buf *out);

#endif
