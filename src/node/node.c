#include "node/node.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "node/info.h"
#include "node/node_parts.h"

/* The one group of a node alone. Group 0 is kept for metadata. */
#define GROUP_SOLE 1u
#define NODE_SOLE 1u

/* ---- moving between states ------------------------------------------------------------------- */

static void move(struct node *node, enum node_state to)
{
    static const bool allowed[NODE_STATE_STOPPED + 1][NODE_STATE_STOPPED + 1] = {
        [NODE_STATE_CREATED] = {[NODE_STATE_RUNNING] = true},
        [NODE_STATE_RUNNING] = {[NODE_STATE_DRAINING] = true},
        [NODE_STATE_DRAINING] = {[NODE_STATE_CLOSING] = true},
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

/* Goes on with stopping as far as it can now. */
static void go_on_stopping(struct node *node)
{
    if (node->state == NODE_STATE_DRAINING && !shard_is_busy(&node->shard) &&
        !store_is_busy(&node->store) && server_is_stopped(&node->server)) {
        move(node, NODE_STATE_CLOSING);
        server_close_all(&node->server);
        log_close(&node->log, on_log_closed);
    }
    if (node->state == NODE_STATE_CLOSING && node->is_log_closed &&
        node->server.session_count == 0) {
        move(node, NODE_STATE_STOPPED);
        node->stopped(node->stopped_owner);
    }
}

/* ---- the loop turn --------------------------------------------------------------------------- */

/* All that this turn's events produced leaves here, once: input, then log, then output. */
static void turn(void *owner)
{
    struct node *node = owner;
    server_resume(&node->server);
    shard_flush(&node->shard);
    log_flush(&node->log);
    store_flush(&node->store);
    server_flush(&node->server);
    if (node->state != NODE_STATE_RUNNING) {
        go_on_stopping(node);
    }
}

static void on_durable(void *owner, uint64_t batch)
{
    struct node *node = owner;
    stat_stage_add(&node->stats.stage_log, node->log.last_write_us);
    node->stats.log_batches = node->log.stats.batches;
    node->stats.log_bytes = node->log.stats.bytes;
    shard_durable(&node->shard, batch);
}

/* ---- starting -------------------------------------------------------------------------------- */

static void write_info(void *owner, struct bytes section, struct buf *out)
{
    info_write(owner, section, out);
}

struct node *node_create(struct env *env, const struct node_options *options)
{
    command_table_check();
    struct node *node = mem_alloc_zero(sizeof *node);
    node->env = env;
    node->options = *options;
    if (node->options.log_segment_bytes == 0) {
        node->options.log_segment_bytes = LOG_SEGMENT_BYTES_DEFAULT;
    }
    struct store_options store_options = {
        .fold_rows =
            options->store_fold_rows > 0 ? options->store_fold_rows : STORE_FOLD_ROWS_DEFAULT,
    };
    store_init(&node->store, env, &store_options, store_engine_mem_create());
    struct shard_options shard_options = {.group = GROUP_SOLE};
    shard_init(&node->shard, env, &node->log, &node->store, &node->stats, &shard_options);
    return node;
}

static void new_id(struct env *env, uint8_t out_id[IDENTITY_ID_BYTES])
{
    for (unsigned half = 0; half < 2; half++) {
        uint64_t random = env_random(env);
        memcpy(out_id + 8 * half, &random, sizeof random);
    }
}

/* The directory that holds path: what must be synced for path itself to be durable. */
static void parent_of(const char *path, char out_parent[NODE_PATH_BYTES + 8])
{
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/') {
        size--;
    }
    while (size > 0 && path[size - 1] != '/') {
        size--;
    }
    if (size == 0) {
        (void)snprintf(out_parent, NODE_PATH_BYTES + 8, ".");
        return;
    }
    size_t end = size > 1 ? size - 1 : 1;
    (void)snprintf(out_parent, NODE_PATH_BYTES + 8, "%.*s", (int)end, path);
}

/*
 * The name is durable on return. Also if the directory was there: the start that made it may have
 * died before it could say so, and all that is promised stands below that name.
 */
static enum status create_dir(struct node *node, const char *path, struct error *error)
{
    char parent[NODE_PATH_BYTES + 8];
    parent_of(path, parent);
    enum status s = env_dir_create(node->env, path);
    if (s != STATUS_OK && s != STATUS_EXISTS) {
        return error_set(error, s, "%s: cannot create the directory (its parent must exist)", path);
    }
    s = env_dir_sync(node->env, parent);
    if (s != STATUS_OK) {
        return error_set(error, s, "%s: cannot sync the directory", parent);
    }
    return STATUS_OK;
}

/* Makes this process the only one on DIR, and this start one that never was before. */
static enum status open_dir(struct node *node, struct error *error)
{
    const char *dir = node->options.data_dir;
    enum status s = create_dir(node, dir, error);
    if (s != STATUS_OK) {
        return s;
    }
    s = env_dir_lock(node->env, dir);
    if (s != STATUS_OK) {
        return error_set(error,
                         s,
                         s == STATUS_BUSY ? "%s is in use by another process; stop it first"
                                          : "%s: cannot lock the directory",
                         dir);
    }
    s = identity_load(node->env, dir, &node->identity, error);
    if (s == STATUS_NOT_FOUND) {
        new_id(node->env, node->identity.node);
        new_id(node->env, node->identity.cluster);
        s = identity_store(node->env, dir, &node->identity, error);
    }
    return s == STATUS_OK ? create_dir(node, node->log_dir, error) : s;
}

static enum status replay(void *ctx,
                          const struct log_record *record,
                          struct bytes payload,
                          struct error *error)
{
    struct node *node = ctx;
    if (record->group != GROUP_SOLE) {
        return error_set(error, STATUS_CORRUPT, "group %u is unknown", (unsigned)record->group);
    }
    enum status s = shard_replay(&node->shard, record, payload, error);
    if (s != STATUS_OK) {
        return s;
    }
    s = store_flush_now(&node->store);
    return s == STATUS_OK ? s : error_set(error, s, "the store could not be written");
}

static enum status open_log(struct node *node, struct error *error)
{
    struct log_options options = {
        .dir = node->log_dir,
        .segment_bytes = node->options.log_segment_bytes,
        .must_exist = node->identity.has_log,
    };
    memcpy(options.node_id, node->identity.node, LOG_NODE_ID_BYTES);
    return log_open(&node->log, node->env, &options, replay, node, on_durable, node, error);
}

static enum status start_server(struct node *node, struct error *error)
{
    struct server_options options = {
        .listen = node->options.listen,
        .buffer_memory = node->options.buffer_memory,
        .node = NODE_SOLE,
        .incarnation = node->identity.incarnation,
    };
    struct command_server facts = {.info = write_info, .owner = node};
    server_init(&node->server, node->env, &node->shard, &node->stats, &options, &facts);
    return server_start(&node->server, error);
}

enum status node_start(struct node *node, struct error *error)
{
    ensure(node->state == NODE_STATE_CREATED);
    uint64_t started_us = env_now_us(node->env);
    if (strlen(node->options.data_dir) >= NODE_PATH_BYTES) {
        return error_set(error, STATUS_INVALID, "the path of the data directory is too long");
    }
    (void)snprintf(node->log_dir, sizeof node->log_dir, "%s/log", node->options.data_dir);
    enum status s = open_dir(node, error);
    if (s == STATUS_OK) {
        s = open_log(node, error);
    }
    if (s == STATUS_OK) {
        node->identity.incarnation++;
        node->identity.has_log = true;
        s = identity_store(node->env, node->options.data_dir, &node->identity, error);
    }
    if (s == STATUS_OK) {
        s = start_server(node, error);
    }
    if (s != STATUS_OK) {
        return s;
    }
    node->ready_us = env_now_us(node->env) - started_us;
    node->env->turn = turn;
    node->env->turn_owner = node;
    move(node, NODE_STATE_RUNNING);
    env_log(node->env,
            node->log.stats.cut_bytes > 0 ? ENV_LEVEL_WARNING : ENV_LEVEL_INFO,
            "ready listen=%s incarnation=%" PRIu32 " entries=%" PRIu64 " cut_bytes=%" PRIu64
            " took_ms=%" PRIu64,
            node->options.listen,
            node->identity.incarnation,
            node->shard.index_applied,
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
    shard_deinit(&node->shard); /* before the sessions, in whose requests its lists run */
    if (node->server.env != NULL) {
        server_deinit(&node->server);
    }
    store_deinit(&node->store);
    log_deinit(&node->log);
    mem_free(node);
}
