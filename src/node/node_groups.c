/* The groups of a node, and the messages between nodes. */
#include <inttypes.h>

#include "base/assert.h"
#include "base/mem.h"
#include "data/slot.h"
#include "node/node_parts.h"

/* ---- groups ---------------------------------------------------------------------------------- */

/* Founders take turns: group g begins on the nodes behind node g, as many as there are replicas. */
static void place(const struct node *node, uint32_t group, struct router_group *out_group)
{
    uint32_t most = group == NODE_GROUP_METADATA ? NODE_METADATA_REPLICAS : NODE_REPLICAS;
    uint32_t count = node->node_count < most ? node->node_count : most;
    out_group->node_count = count;
    for (uint32_t i = 0; i < count; i++) {
        out_group->nodes[i] = (group + i) % node->node_count + 1;
    }
}

/* The node holds a replica of the group. */
static bool holds(const struct router_group *group, uint32_t number)
{
    for (uint32_t i = 0; i < group->node_count; i++) {
        if (group->nodes[i] == number) {
            return true;
        }
    }
    return false;
}

static void on_leader_changed(void *owner, uint32_t group)
{
    struct node *node = owner;
    if (node->router != NULL) {
        router_leader_changed(node->router, group);
    }
}

/* Applied entries that a group keeps in memory: all groups a part of the buffers' memory. */
static uint64_t payload_bytes(const struct node *node)
{
    if (node->options.payload_bytes > 0) {
        return node->options.payload_bytes;
    }
    uint64_t share = node->options.buffer_memory / NODE_ENTRIES_PART / node->identity.groups;
    if (node->options.buffer_memory == 0 || share > REPLICA_PAYLOAD_BYTES_DEFAULT) {
        return REPLICA_PAYLOAD_BYTES_DEFAULT;
    }
    return share > NODE_ENTRIES_BYTES_MIN ? share : NODE_ENTRIES_BYTES_MIN;
}

static uint64_t trailing_bytes(const struct node *node)
{
    if (node->options.trailing_bytes > 0) {
        return node->options.trailing_bytes;
    }
    uint64_t most = payload_bytes(node);
    return most < REPLICA_TRAILING_BYTES_DEFAULT ? most : REPLICA_TRAILING_BYTES_DEFAULT;
}

uint32_t node_first_slot(uint32_t groups, uint32_t group)
{
    return ((group - 1) * SLOT_COUNT + groups - 1) / groups;
}

static void create_group(struct node *node, uint16_t number, struct router_group *group)
{
    struct shard_options shard_options = {
        .group = number,
        .leader_changed = on_leader_changed,
        .is_out_of_space = node_is_group_out_of_space,
        .owner = node,
        .snapshots = node->snapshots,
        .is_expiring = &node->settings.is_expiring,
        .expiry_look_us = NODE_EXPIRY_LOOKS_US / node->identity.groups,
    };
    if (number != NODE_GROUP_METADATA) {
        shard_options.slot_first = node_first_slot(node->identity.groups, number);
        shard_options.slot_end = node_first_slot(node->identity.groups, number + 1u);
    }
    uint32_t election_ms = node->options.election_timeout_ms;
    struct replica_options replica_options = {
        .group = number,
        .id = replica_id_of(node->identity.number, node->identity.life),
        .election_timeout_ms = election_ms,
        .heartbeat_ms = election_ms / NODE_HEARTBEATS,
        .trailing_bytes = trailing_bytes(node),
        .payload_bytes = payload_bytes(node),
    };
    group->shard = shard_create(node->env, &node->store, &node->stats, &shard_options);
    group->replica = replica_create(node->env,
                                    &node->log,
                                    node->peers,
                                    node->rounds,
                                    &replica_options,
                                    shard_replica_events(),
                                    group->shard);
    shard_attach(group->shard, group->replica);
    if (node->snapshots != NULL) {
        snapshots_add(node->snapshots, number, group->replica);
    }
}

void node_create_groups(struct node *node)
{
    uint32_t count = node->identity.groups + 1;
    node->groups = mem_alloc_zero(count * sizeof node->groups[0]);
    for (uint32_t g = 0; g < count; g++) {
        place(node, g, &node->groups[g]);
        if (holds(&node->groups[g], node->identity.number)) {
            create_group(node, (uint16_t)g, &node->groups[g]);
        }
    }
}

void node_destroy_groups(struct node *node)
{
    for (uint32_t g = 0; g < node_groups(node); g++) {
        shard_destroy(node->groups[g].shard);
        replica_destroy(node->groups[g].replica);
    }
    mem_free(node->groups);
    node->groups = NULL;
}

/* The same on every founder, all in their first life: it becomes entry 1 of the group's log. */
static void founders_of(const struct router_group *group, struct engine_config *out_config)
{
    *out_config = (struct engine_config){.index = 1, .count = group->node_count};
    for (uint32_t i = 0; i < group->node_count; i++) {
        uint32_t at = i;
        while (at > 0 && out_config->members[at - 1].id > group->nodes[i]) {
            out_config->members[at] = out_config->members[at - 1];
            at--;
        }
        out_config->members[at] = (struct engine_member){
            .id = replica_id_of(group->nodes[i], 0),
            .is_voter = true,
        };
    }
}

enum status node_start_groups(struct node *node, struct error *error)
{
    ensure(!node->has_started_groups);
    for (uint32_t g = 0; g < node_groups(node); g++) {
        struct router_group *group = &node->groups[g];
        if (group->replica != NULL) {
            struct engine_config founders;
            founders_of(group, &founders);
            bool is_founder = node->identity.life == 0;
            enum status s = replica_start(group->replica, is_founder ? &founders : NULL, error);
            if (s != STATUS_OK) {
                return node_add_hint(node, s, error);
            }
        }
    }
    enum status s = node_finish_store(node, error);
    node->has_started_groups = s == STATUS_OK; /* until then it serves nobody */
    return s;
}

uint32_t node_group_count(const struct node *node)
{
    return node->has_started_groups ? node_groups(node) : 0;
}

void node_group(const struct node *node, uint32_t number, struct node_group *out_group)
{
    *out_group = (struct node_group){0};
    if (number >= node_group_count(node) || node->groups[number].replica == NULL) {
        return;
    }
    const struct replica *r = node->groups[number].replica;
    struct engine_config config;
    replica_config(r, &config);
    *out_group = (struct node_group){
        .is_here = true,
        .is_leader = replica_is_leader(r),
        .term = replica_term(r),
        .leader = replica_node(replica_leader(r)),
        .last_index = replica_last_index(r),
        .commit_index = replica_commit_index(r),
        .applied_index = replica_applied(r),
        .synced_index = replica_synced_index(r),
        .replica_id = replica_id(r),
    };
    for (unsigned i = 0; i < config.count; i++) {
        const struct engine_member *m = &config.members[i];
        out_group->voters += m->is_voter ? 1 : 0;
        out_group->learners += m->is_voter ? 0 : 1;
        out_group->is_voter = out_group->is_voter || (m->is_voter && m->id == replica_id(r));
    }
    out_group->is_settled = out_group->is_voter && config.index <= out_group->commit_index &&
                            config.count == node->groups[number].node_count;
    if (node->groups[number].shard != NULL) {
        struct shard_txn_counts counts = shard_txn_counts(node->groups[number].shard);
        out_group->prepared = counts.prepared;
        out_group->txn_records = counts.records;
    }
}

struct prepared_of {
    uint32_t coordinator;
    uint64_t count;
};

static void count_prepared(void *ctx,
                           const struct txn_id *id,
                           const struct txn_record *record,
                           uint64_t since_us)
{
    struct prepared_of *p = ctx;
    (void)record;
    (void)since_us;
    p->count += id->node == p->coordinator ? 1 : 0;
}

uint64_t node_group_prepared_of(const struct node *node, uint32_t number, uint32_t coordinator)
{
    struct prepared_of p = {.coordinator = coordinator};
    if (number < node_group_count(node) && node->groups[number].shard != NULL) {
        shard_each_prepared(node->groups[number].shard, count_prepared, &p);
    }
    return p.count;
}

enum txn_state node_group_txn_state(const struct node *node,
                                    uint32_t number,
                                    const struct txn_id *id)
{
    bool is_here = number < node_group_count(node) && node->groups[number].shard != NULL;
    return is_here ? shard_txn_state(node->groups[number].shard, id) : TXN_STATE_NONE;
}

void node_each_txn(const struct node *node,
                   void (*fn)(void *ctx, const struct txn_shown *shown),
                   void *ctx)
{
    if (node->txn != NULL) {
        txn_each_own(node->txn, fn, ctx);
    }
}

uint64_t node_group_hash(const struct node *node, uint32_t number)
{
    ensure(number < node_groups(node) && node->groups[number].shard != NULL);
    return shard_hash(node->groups[number].shard);
}

/* ---- messages between nodes ------------------------------------------------------------------ */

static enum status receive_raft(struct node *node, uint32_t from, struct bytes message)
{
    struct message_route route;
    struct engine_message m;
    enum status s = message_decode(message, &route, &m, &node->entries);
    if (s != STATUS_OK) {
        return s;
    }
    /* Until groups move their nodes are known: nobody else is heard, not even with a vote. */
    if (replica_node(route.sender) != from || route.group >= node_groups(node) ||
        !holds(&node->groups[route.group], from)) {
        return STATUS_MALFORMED;
    }
    if (node->groups[route.group].replica != NULL) {
        replica_receive(node->groups[route.group].replica, &route, &m);
    }
    return STATUS_OK;
}

static enum status receive_snapshot(struct node *node, uint32_t from, struct bytes message)
{
    if (node->snapshots == NULL) {
        return STATUS_OK; /* a volatile store holds none */
    }
    return snapshots_received(node->snapshots, from, message);
}

static enum status receive(struct node *node, uint32_t from, struct bytes message)
{
    if (message.size == 0) {
        return STATUS_MALFORMED;
    }
    enum message_kind kind = (enum message_kind)message.data[0];
    if (kind == MESSAGE_FOUNDING) {
        founding_received(&node->founding, from, message);
        return STATUS_OK;
    }
    if (!node->has_started_groups) {
        return STATUS_OK; /* not a member yet: nothing is answered, nobody gets a vote */
    }
    switch (kind) {
    case MESSAGE_RAFT:
        return receive_raft(node, from, message);
    case MESSAGE_PROBE:
    case MESSAGE_PROBE_RESULT:
        return rounds_received(node->rounds, from, message);
    case MESSAGE_REQUESTS:
    case MESSAGE_REPLIES:
        return router_received(node->router, from, message);
    case MESSAGE_NODE:
        return node_hear(node, from, message);
    case MESSAGE_SNAPSHOT:
        return receive_snapshot(node, from, message);
    case MESSAGE_FOUNDING:
        break;
    }
    return STATUS_MALFORMED;
}

static void on_received(void *owner, uint32_t from, enum peer_class class, struct bytes message)
{
    struct node *node = owner;
    (void)class;
    if (node->state == NODE_STATE_CREATED || node->state >= NODE_STATE_CLOSING) {
        return;
    }
    if (receive(node, from, message) != STATUS_OK) {
        reached("node: malformed message");
        node->stats.messages_malformed++;
    }
}

static bool on_judge(void *owner, const struct peer_hello *hello, const char **out_reason)
{
    struct node *node = owner;
    return founding_judge(&node->founding, hello, out_reason);
}

static void on_refused(void *owner, uint32_t number, const char *reason)
{
    struct node *node = owner;
    founding_refused(&node->founding, number, reason);
}

static void on_connected(void *owner, const struct peer_hello *hello)
{
    struct node *node = owner;
    founding_connected(&node->founding, hello->number);
    rounds_connected(node->rounds, hello->number);
    router_connected(node->router, hello->number);
    if (node->has_started_groups) {
        node_speak_to(node, hello->number);
    }
}

static void on_disconnected(void *owner, uint32_t number)
{
    struct node *node = owner;
    router_disconnected(node->router, number);
    node_fact_disconnect(&node->facts[number - 1]);
    if (node->snapshots != NULL) {
        snapshots_disconnected(node->snapshots, number);
    }
}

const struct peer_events *node_peer_events(void)
{
    static const struct peer_events events = {
        .judge = on_judge,
        .refused = on_refused,
        .connected = on_connected,
        .disconnected = on_disconnected,
        .received = on_received,
    };
    return &events;
}
