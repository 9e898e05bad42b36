/* Opening what is on disk: directory, identity, log. Blocking, before the loop runs. */
#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "node/node_parts.h"

/* ---- the directory --------------------------------------------------------------------------- */

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

/* ---- identity -------------------------------------------------------------------------------- */

static void new_id(struct env *env, uint8_t out_id[IDENTITY_ID_BYTES])
{
    for (unsigned half = 0; half < 2; half++) {
        uint64_t random = env_random(env);
        memcpy(out_id + 8 * half, &random, sizeof random);
    }
}

enum status node_store_identity(struct node *node, struct error *error)
{
    return identity_store(node->env, node->options.data_dir, &node->identity, error);
}

static enum status read_flags(struct node *node, struct founding_flags *out, struct error *error)
{
    *out = (struct founding_flags){
        .founders = node->options.cluster,
        .number = 1,
        .groups = node->options.groups,
    };
    if (node->options.cluster == NULL) {
        return STATUS_OK;
    }
    uint32_t count = 0;
    return founding_parse_list(node->options.cluster,
                               node->options.peer_listen,
                               &count,
                               &out->number,
                               error);
}

static enum status open_identity(struct node *node, struct error *error)
{
    struct founding_flags flags;
    enum status s = read_flags(node, &flags, error);
    if (s == STATUS_OK) {
        s = identity_load(node->env, node->options.data_dir, &node->identity, error);
    }
    if (s == STATUS_OK) {
        return founding_check_flags(&node->identity, &flags, error);
    }
    if (s != STATUS_NOT_FOUND) {
        return s;
    }
    uint8_t node_id[IDENTITY_ID_BYTES];
    uint8_t cluster_id[IDENTITY_ID_BYTES];
    new_id(node->env, node_id);
    new_id(node->env, cluster_id);
    flags.groups = flags.groups > 0 ? flags.groups : NODE_GROUPS_DEFAULT;
    founding_identity(&node->identity, &flags, node_id, cluster_id);
    return node_store_identity(node, error);
}

/* Makes this process the only one on DIR, and this start one that never was before. */
enum status node_open_dir(struct node *node, struct error *error)
{
    const char *dir = node->options.data_dir;
    if (strlen(dir) >= NODE_PATH_BYTES) {
        return error_set(error, STATUS_INVALID, "the path of the data directory is too long");
    }
    (void)snprintf(node->log_dir, sizeof node->log_dir, "%s/log", dir);
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
    s = open_identity(node, error);
    return s == STATUS_OK ? create_dir(node, node->log_dir, error) : s;
}

/* ---- the log --------------------------------------------------------------------------------- */

static void on_durable(void *owner, uint64_t batch)
{
    struct node *node = owner;
    stat_stage_add(&node->stats.stage_log, node->log.last_write_us);
    node->stats.log_batches = node->log.stats.batches;
    node->stats.log_bytes = node->log.stats.bytes;
    for (uint32_t g = 0; g < node_groups(node) && !node->env->is_halted; g++) {
        if (node->groups[g].replica != NULL) {
            replica_durable(node->groups[g].replica, batch);
        }
    }
}

static enum status replay(void *ctx,
                          const struct log_record *record,
                          struct bytes payload,
                          struct error *error)
{
    struct node *node = ctx;
    if (record->group >= node_groups(node) || node->groups[record->group].replica == NULL) {
        return error_set(error,
                         STATUS_CORRUPT,
                         "group %u is not of this node",
                         (unsigned)record->group);
    }
    enum status s = replica_replay(node->groups[record->group].replica, record, payload, error);
    if (s != STATUS_OK) {
        return s;
    }
    s = store_flush_now(&node->store);
    return s == STATUS_OK ? s : error_set(error, s, "the store could not be written");
}

enum status node_open_log(struct node *node, struct error *error)
{
    struct log_options options = {
        .dir = node->log_dir,
        .segment_bytes = node->options.log_segment_bytes,
        .must_exist = node->identity.has_log,
    };
    memcpy(options.node_id, node->identity.node, LOG_NODE_ID_BYTES);
    return log_open(&node->log, node->env, &options, replay, node, on_durable, node, error);
}
