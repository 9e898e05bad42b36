/* What a node is made of. Inside the room node only. */
#ifndef NODE_NODE_PARTS_H
#define NODE_NODE_PARTS_H

#include "base/stat.h"
#include "command/admin.h"
#include "consensus/rounds.h"
#include "log/log.h"
#include "node/disk_watch.h"
#include "node/founding.h"
#include "node/identity.h"
#include "node/log_garbage.h"
#include "node/node.h"
#include "node/node_message.h"
#include "peer/peers.h"
#include "router/router.h"
#include "server/server.h"
#include "shard/shard.h"
#include "shard/snapshots.h"
#include "store/store.h"
#include "txn/txn.h"

#define NODE_PATH_BYTES 400u
#define NODE_GROUPS_DEFAULT 16u
/* A group's founders, unless there are fewer nodes. */
#define NODE_REPLICAS 3u
#define NODE_METADATA_REPLICAS 5u
#define NODE_ELECTION_TIMEOUT_MS_DEFAULT 300u
/* Looking for keys that have expired takes all groups together so long, ten times a second. */
#define NODE_EXPIRY_LOOKS_US 10000u
/* Heartbeats per election time-out: a few may be late without anybody standing for election. */
#define NODE_HEARTBEATS 5u
/* While the log holds this much that is not durable, entries wait. */
#define NODE_LOG_BYTES_MAX (64u * MIB)
/* Closed segments of the log from which on the state is made durable, so that they can go. */
#define NODE_LOG_SEGMENTS_DEFAULT 8u
/* All of them are at most this part of the disk. */
#define NODE_LOG_DISK_PART 8u
/* On a full disk nothing is synced unless this part of the reserve is free. */
#define NODE_SYNC_RESERVE_PART 4u
/* And for so many looks (DISK_WATCH_MS). */
#define NODE_SYNC_LOOKS 8u
/* A segment is at most this part of the disk, unless it is small. */
#define NODE_LOG_SEGMENT_DISK_PART 64u
#define NODE_LOG_SEGMENT_BYTES_SMALL ((uint64_t)MIB)
/* Rows that wait for a fold: this many times what a fold takes, then entries wait, too. */
#define NODE_OVERLAY_LONG 4u
/* The store is folded when the entries kept in memory have grown by this much since the last fold:
 * those that it holds may leave. */
#define NODE_ENTRIES_BYTES_MAX (32u * MIB)
/* Entries that are applied and kept for followers: this part of the buffers' memory, but of each
 * group at least so many bytes. */
#define NODE_ENTRIES_PART 4u
#define NODE_ENTRIES_BYTES_MIN (256u * KIB)
/* Half for rows, half for blocks of the engine. */
#define NODE_CACHE_MEMORY_DEFAULT (2u * STORE_CACHE_BYTES_DEFAULT)
/* How often a leader compares the members of its groups with what the nodes say of themselves. */
#define NODE_MEMBERS_MS 200u
#define NODE_HINT_BYTES (NODE_PATH_BYTES + 64u)
/* Of what is damaged, in a message that has room for the hint, too. */
#define NODE_DAMAGE_BYTES 300
/* The metadata group: one row a node, "node:N". */
#define NODE_GROUP_METADATA 0u

enum node_state {
    NODE_STATE_CREATED,
    NODE_STATE_RUNNING,
    NODE_STATE_DRAINING, /* no more input; waits until all that was taken is answered */
    NODE_STATE_SYNCING, /* the state is made durable, so that the next start has little to replay */
    NODE_STATE_CLOSING, /* connections and log are being closed */
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
    struct settings settings; /* what CONFIG SET changes */
    struct command_admin admin;
    bool is_stop_wanted; /* by SHUTDOWN */
    enum node_state state;
    uint32_t node_count;
    unsigned looks_with_room; /* one after the other, on a full disk */
    bool is_store_open;
    bool has_started_groups;
    bool is_members_warned;
    bool is_founding_warned;
    bool is_behind;         /* entries wait until segments have gone, or rows are folded */
    bool are_replicas_full; /* what they were told */
    bool is_last_sync;      /* the sync under way began in SYNCING, */
    bool is_synced;         /* and has ended */
    bool is_log_closed;
    bool is_peers_closed;
    char log_dir[NODE_PATH_BYTES + 8];
    struct identity identity;
    struct stats stats;
    struct log log;
    struct store store;
    struct snapshots *snapshots; /* NULL: the store is volatile */
    char damage_hint[NODE_HINT_BYTES];
    struct disk_watch disk;
    struct log_garbage garbage;
    uint64_t disk_looks_seen;
    uint64_t log_bytes_seen; /* of the log, by the disk watch */
    uint64_t entries_bytes;  /* kept in memory after the last fold, or less now */

    struct founding founding;
    struct env_timer founding_timer;
    char *address_text; /* identity.founders, cut at its commas */
    const char *addresses[IDENTITY_FOUNDERS_MAX];
    struct node_fact facts[IDENTITY_FOUNDERS_MAX]; /* [number - 1] what the others said */
    struct env_timer speak_timer;
    struct env_timer members_timer;
    struct peers *peers;
    struct rounds *rounds;
    struct router_group *groups;    /* [0 … identity.groups] */
    struct message_entries entries; /* scratch */
    struct router *router;
    struct txn_manager *txn;
    struct server server;
    struct announcement announcement;

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

/* The smallest slot that router_group_of_slot gives to the group; behind the last one: SLOT_COUNT.
 */
uint32_t node_first_slot(uint32_t groups, uint32_t group);

/* node_start.c */
/* True: a restart finds what the store has made durable. */
static inline bool node_store_lasts(const struct node *node)
{
    return !node->options.is_store_volatile;
}
MUST_CHECK enum status node_open_dir(struct node *node, struct error *error);
/* CORRUPT: what to do is added to the text. Gives s back. */
enum status node_add_hint(struct node *node, enum status s, struct error *error);
MUST_CHECK enum status node_open_store(struct node *node, struct error *error);
MUST_CHECK enum status node_finish_store(struct node *node, struct error *error);
MUST_CHECK enum status node_open_log(struct node *node, struct error *error);
MUST_CHECK enum status node_store_identity(struct node *node, struct error *error);

/* node_disk.c: what is durable, what of the log may go, how much space is left. */
/* NO_SPACE: not even a start has room. */
MUST_CHECK enum status node_disk_init(struct node *node, struct error *error);
/* The disk is looked at, and the log is freed, from here on. */
void node_disk_start(struct node *node);
/* At the end of each turn, before and after the log's flush. */
void node_disk_before_flush(struct node *node);
void node_disk_flush(struct node *node);
void node_disk_durable(struct node *node, uint64_t batch);
void node_disk_stop(struct node *node);
/* Entries that the replicas keep in memory. */
uint64_t node_entries_bytes(const struct node *node);
bool node_disk_is_busy(const struct node *node);
void node_segment_starts(void *owner);
/* store_options.fold_starts, .folded, .synced */
void node_fold_starts(void *owner, bool is_sync);
void node_folded(void *owner);
void node_synced(void *owner);

/* node_talk.c: what nodes say of themselves, and what follows from it. */
void node_talk_init(struct node *node);
void node_talk_start(struct node *node);
void node_talk_stop(struct node *node);
/* To all, or to one that has just connected. */
void node_speak(struct node *node);
void node_speak_to(struct node *node, uint32_t number);
MUST_CHECK enum status node_hear(struct node *node, uint32_t from, struct bytes message);
/* shard_options.is_out_of_space */
bool node_is_group_out_of_space(void *owner, uint32_t group);

/* node_cluster.c: command_server.cluster */
void node_write_cluster(void *owner,
                        enum command_cluster what,
                        struct bytes key,
                        uint8_t resp,
                        struct buf *reply);

/* node_admin.c: command_server.admin */
void node_admin_init(struct node *node);
/* At the end of each turn: what SHUTDOWN asked for. */
void node_admin_flush(struct node *node);
/* Log entries applied here, of all groups. */
uint64_t node_applied_entries(const struct node *node);

/* node_announce.c */
void node_announce_init(struct node *node);
void node_announce(struct node *node);
void node_announce_deinit(struct node *node);
/* The client address of a node as the metadata group has it here; "" if it is not known. */
void node_client_address(struct node *node, uint32_t number, struct buf *out);

#endif
