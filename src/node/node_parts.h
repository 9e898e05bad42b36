/* What a node is made of. Inside the room node only. */
#ifndef NODE_NODE_PARTS_H
#define NODE_NODE_PARTS_H

#include "base/stat.h"
#include "log/log.h"
#include "node/identity.h"
#include "node/node.h"
#include "server/server.h"
#include "shard/shard.h"
#include "store/store.h"

#define NODE_PATH_BYTES 400u

enum node_state {
    NODE_STATE_CREATED,
    NODE_STATE_RUNNING,
    NODE_STATE_DRAINING, /* no more input; waits until all that was taken is answered */
    NODE_STATE_CLOSING,  /* connections and log are being closed */
    NODE_STATE_STOPPED,
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
    struct shard shard;
    struct server server;
    bool is_log_closed;
    uint64_t ready_us; /* how long node_start took */
    void (*stopped)(void *owner);
    void *stopped_owner;
};

#endif
