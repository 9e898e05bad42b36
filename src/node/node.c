#include "node/node.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "node/info.h"
#include "node/node_parts.h"

/* ---- moving between states ------------------------------------------------------------------- */

static void move(struct node *node, enum node_state to)
{
    static const bool allowed[NODE_STATE_STOPPED + 1][NODE_STATE_STOPPED + 1] = {
        [NODE_STATE_CREATED] = {[NODE_STATE_RUNNING] = true},
        [NODE_STATE_RUNNING] = {[NODE_STATE_DRAINING] = true},
        [NODE_STATE_DRAINING] = {[NODE_STATE_SYNCING] = true, [NODE_STATE_CLOSING] = true},
        [NODE_STATE_SYNCING] = {[NODE_STATE_CLOSING] = true},
        [NODE_STATE_CLOSING] = {[NODE_STATE_STOPPED] = true},
    };
    ensure(allowed[node->state][to]);
    node->state = to;
}

static void on_log_closed(void *owner)
{
    struct node *node = owner;
    node->is_log_closed = true;
}

static void on_peers_closed(void *owner)
{
    struct node *node = owner;
    node->is_peers_closed = true;
}

static void close_all(struct node *node)
{
    move(node, NODE_STATE_CLOSING);
    env_timer_stop(node->env, &node->founding_timer);
    env_timer_stop(node->env, &node->announcement.timer);
    node_talk_stop(node);
    node_disk_stop(node);
    for (uint32_t g = 0; g < node_groups(node); g++) {
        if (node->groups[g].replica != NULL) {
            replica_stop(node->groups[g].replica);
            shard_stop(node->groups[g].shard);
        }
    }
    if (node->snapshots != NULL) {
        snapshots_stop(node->snapshots);
    }
    router_stop(node->router);
    server_close_all(&node->server);
    peers_close(node->peers, on_peers_closed, node);
    log_close(&node->log, on_log_closed);
}

/* Once, unless it is of no use, or there is no room for it: the log has everything, too. */
static void begin_last_sync(struct node *node)
{
    move(node, NODE_STATE_SYNCING);
    bool is_useful = node_store_lasts(node) && node->has_started_groups;
    if (!is_useful || node_is_out_of_space(node)) {
        close_all(node);
        return;
    }
    store_sync_soon(&node->store);
    store_flush(&node->store);
}

static bool is_disk_at_rest(const struct node *node)
{
    return !store_is_busy(&node->store) && !node_disk_is_busy(node) &&
           (node->snapshots == NULL || !snapshots_is_busy(node->snapshots));
}

/*
 * Goes on with stopping as far as it can now. What other nodes asked of this one is not waited for:
 * they ask the next leader.
 */
static void go_on_stopping(struct node *node)
{
    if (node->state == NODE_STATE_DRAINING && server_is_stopped(&node->server)) {
        begin_last_sync(node);
    }
    if (node->state == NODE_STATE_SYNCING && (node->is_synced || node_is_out_of_space(node))) {
        close_all(node);
    }
    if (node->state == NODE_STATE_CLOSING && node->is_log_closed && node->is_peers_closed &&
        server_is_closed(&node->server) && is_disk_at_rest(node)) {
        move(node, NODE_STATE_STOPPED);
        node->stopped(node->stopped_owner);
    }
}

/* ---- the loop turn --------------------------------------------------------------------------- */

static uint64_t memory_below_router(const struct node *node)
{
    uint64_t held = log_pending_bytes(&node->log) + peers_message_memory(node->peers);
    for (uint32_t g = 0; g < node_groups(node); g++) {
        if (node->groups[g].shard != NULL) {
            held += shard_memory(node->groups[g].shard);
        }
    }
    return held;
}

/*
 * All groups or none: in a cluster of one the writes of a connection to several groups rely on
 * standing in one batch of the log (router_stream.c).
 */
static void flush_shards(struct node *node)
{
    if (log_pending_bytes(&node->log) >= NODE_LOG_BYTES_MAX) {
        reached("node: entries wait for the log");
        return; /* its next batch brings the next turn */
    }
    if (node->is_behind) {
        return; /* so does the end of a fold or sync */
    }
    for (uint32_t g = 0; g < node_groups(node); g++) {
        if (node->groups[g].shard != NULL) {
            shard_flush(node->groups[g].shard);
        }
    }
}

/* All that this turn's events produced leaves here, once: input, then groups, log, output. */
static void turn(void *owner)
{
    struct node *node = owner;
    server_resume(&node->server);
    router_flush(node->router);
    node_disk_before_flush(node);
    flush_shards(node);
    rounds_flush(node->rounds);
    if (node->env->is_halted) {
        return;
    }
    log_flush(&node->log);
    node_disk_flush(node);
    if (node->has_started_groups && node->state != NODE_STATE_CLOSING) {
        store_flush(&node->store);
    }
    router_flush_replies(node->router);
    peers_flush(node->peers);
    server_set_memory_below(&node->server, memory_below_router(node));
    server_flush(&node->server);
    node_admin_flush(node);
    if (node->state != NODE_STATE_RUNNING) {
        go_on_stopping(node);
    }
}

/* ---- becoming a member ----------------------------------------------------------------------- */

static void start_groups(struct node *node)
{
    struct error error;
    peers_set_cluster(node->peers, node->identity.cluster);
    if (node_start_groups(node, &error) != STATUS_OK) {
        env_halt(node->env, "%s", error.text);
        return;
    }
    node_talk_start(node);
    if (node->state == NODE_STATE_RUNNING) {
        node_announce(node);
    }
}

static void warn_founding_waits(struct node *node, const char *text)
{
    if (!node->is_founding_warned) {
        node->is_founding_warned = true;
        env_log(node->env,
                ENV_LEVEL_WARNING,
                "%s: the cluster is formed when there is space again",
                text);
    }
}

/*
 * On the loop, but nobody is served yet, so nobody waits behind the disk. On a full disk the old
 * identity stands; what was heard is told again, and then there may be space.
 */
static enum status founding_store(void *owner, const struct identity *identity)
{
    struct node *node = owner;
    struct error error;
    enum status s = identity_store(node->env, node->options.data_dir, identity, &error);
    if (s == STATUS_NO_SPACE) {
        warn_founding_waits(node, error.text);
    } else if (s != STATUS_OK) {
        env_halt(node->env, "%s", error.text);
    }
    return s;
}

static void founding_send(void *owner, uint32_t number, struct bytes message)
{
    struct node *node = owner;
    if (!peers_send(node->peers, number, PEER_URGENT, &message, 1)) {
        reached("node: founding message dropped"); /* the timer repeats it */
    }
}

static void founding_formed(void *owner)
{
    struct node *node = owner;
    env_log(node->env, ENV_LEVEL_INFO, "cluster formed nodes=%" PRIu32, node->node_count);
    start_groups(node);
}

static void founding_is_refused(void *owner, const char *reason)
{
    struct node *node = owner;
    env_halt(node->env, "%s", reason);
}

static void founding_warning(void *owner, const char *text)
{
    struct node *node = owner;
    env_log(node->env, ENV_LEVEL_WARNING, "%s", text);
}

static const struct founding_callbacks founding_callbacks = {
    .store = founding_store,
    .send = founding_send,
    .formed = founding_formed,
    .refused = founding_is_refused,
    .warning = founding_warning,
};

static void founding_due(struct env_timer *timer)
{
    struct node *node = container_of(timer, struct node, founding_timer);
    founding_tick(&node->founding);
    if (!founding_is_formed(&node->founding)) {
        env_timer_start(node->env, timer, FOUNDING_TICK_MS);
    }
}

/* ---- starting -------------------------------------------------------------------------------- */

static void write_info(void *owner, const struct bytes *sections, size_t count, struct buf *out)
{
    info_write(owner, sections, count, out);
}

struct node *node_create(struct env *env, const struct node_options *options)
{
    command_table_check();
    struct node *node = mem_alloc_zero(sizeof *node);
    node->env = env;
    node->options = *options;
    node->settings = (struct settings)SETTINGS_DEFAULT;
    node->settings.is_expiring = !options->is_expiry_off;
    if (node->options.log_segment_bytes == 0) {
        node->options.log_segment_bytes = LOG_SEGMENT_BYTES_DEFAULT;
    }
    if (node->options.election_timeout_ms == 0) {
        node->options.election_timeout_ms = NODE_ELECTION_TIMEOUT_MS_DEFAULT;
    }
    if (node->options.cache_memory == 0) {
        node->options.cache_memory = NODE_CACHE_MEMORY_DEFAULT;
    }
    node_talk_init(node);
    node->founding_timer.cb = founding_due;
    node_announce_init(node);
    node_admin_init(node);
    return node;
}

/* The founders' addresses as a list. */
static void cut_addresses(struct node *node)
{
    node->node_count = identity_founder_count(&node->identity);
    size_t size = strlen(node->identity.founders) + 1;
    node->address_text = mem_alloc(size);
    memcpy(node->address_text, node->identity.founders, size);
    char *rest = node->address_text;
    for (uint32_t i = 0; i < node->node_count; i++) {
        node->addresses[i] = strsep(&rest, ",");
    }
}

static void create_members(struct node *node)
{
    cut_addresses(node);
    struct peer_options options = {
        .listen = node->node_count > 1 ? node->options.peer_listen : NULL,
        .self = node->identity.number,
        .count = node->node_count,
        .addresses = node->addresses,
        .incarnation = node->identity.incarnation + 1, /* that of this start */
    };
    memcpy(options.node_id, node->identity.node, PEER_ID_BYTES);
    founding_init(&node->founding, &node->identity, &founding_callbacks, node);
    node->peers = peers_create(node->env, &options, node_peer_events(), node);
    node->rounds = rounds_create(node->env, node->peers);
    if (node_store_lasts(node)) {
        struct snapshots_options snapshots_options = {
            .rate = node->options.snapshot_rate,
            .chunk_bytes = node->options.snapshot_chunk_bytes,
        };
        node->snapshots =
            snapshots_create(node->env, &node->store, node->peers, &snapshots_options);
    }
    node_create_groups(node);
}

static void create_router(struct node *node)
{
    struct router_options options = {
        .node = node->identity.number,
        .incarnation = node->identity.incarnation,
        .group_count = node->identity.groups,
        .groups = node->groups,
        .request_timeout_ms = node->options.request_timeout_ms,
    };
    node->router = router_create(node->env, node->peers, &node->stats, &options);
}

static enum status start_server(struct node *node, struct error *error)
{
    struct server_options options = {
        .listen = node->options.listen,
        .buffer_memory = node->options.buffer_memory,
    };
    struct command_server facts = {
        .info = write_info,
        .cluster = node_write_cluster,
        .owner = node,
        .admin = &node->admin,
    };
    server_init(&node->server, node->env, node->router, &node->stats, &options, &facts);
    return server_start(&node->server, error);
}

/* This start is one that never was before, on disk, before anybody hears of it. */
static enum status begin_incarnation(struct node *node, struct error *error)
{
    node->identity.incarnation++;
    node->identity.has_log = true;
    return node_store_identity(node, error);
}

static enum status open_all(struct node *node, struct error *error)
{
    enum status s = node_open_dir(node, error);
    if (s == STATUS_OK) {
        s = node_open_store(node, error);
    }
    if (s != STATUS_OK) {
        return s;
    }
    create_members(node);
    s = node_open_log(node, error);
    if (s == STATUS_OK) {
        s = begin_incarnation(node, error);
    }
    if (s != STATUS_OK) {
        return s;
    }
    create_router(node);
    s = start_server(node, error);
    return s == STATUS_OK ? peers_start(node->peers, error) : s;
}

enum status node_start(struct node *node, struct error *error)
{
    ensure(node->state == NODE_STATE_CREATED);
    uint64_t started_us = env_now_us(node->env);
    enum status s = open_all(node, error);
    if (s != STATUS_OK) {
        return s;
    }
    node->ready_us = env_now_us(node->env) - started_us;
    node->env->turn = turn;
    node->env->turn_owner = node;
    move(node, NODE_STATE_RUNNING);
    node_disk_start(node);
    if (founding_is_formed(&node->founding)) {
        start_groups(node);
    } else {
        env_timer_start(node->env, &node->founding_timer, FOUNDING_TICK_MS);
    }
    log_flush(&node->log); /* what the groups began with; no event may come for a while */
    env_log(node->env,
            node->log.stats.cut_bytes > 0 ? ENV_LEVEL_WARNING : ENV_LEVEL_INFO,
            "ready listen=%s node=%" PRIu32 "/%" PRIu32 " incarnation=%" PRIu32
            " cut_bytes=%" PRIu64 " took_ms=%" PRIu64,
            node->options.listen,
            node->identity.number,
            node->node_count,
            node->identity.incarnation,
            node->log.stats.cut_bytes,
            node->ready_us / 1000);
    return STATUS_OK;
}

/* ---- the end --------------------------------------------------------------------------------- */

void node_stop(struct node *node, void (*stopped)(void *owner), void *owner)
{
    if (node->state != NODE_STATE_RUNNING) {
        return; /* asked before */
    }
    node->stopped = stopped;
    node->stopped_owner = owner;
    server_stop(&node->server);
    move(node, NODE_STATE_DRAINING); /* the end of this turn goes on */
}

void node_destroy(struct node *node)
{
    if (node == NULL) {
        return;
    }
    node_destroy_groups(node); /* before those whose requests their lists hold */
    router_destroy(node->router);
    if (node->server.env != NULL) {
        server_deinit(&node->server);
    }
    rounds_destroy(node->rounds);
    snapshots_destroy(node->snapshots); /* what it holds of the store goes first */
    peers_destroy(node->peers);
    node_announce_deinit(node);
    message_entries_deinit(&node->entries);
    if (node->is_store_open) {
        store_deinit(&node->store);
    }
    log_deinit(&node->log);
    mem_free(node->address_text);
    mem_free(node);
}
