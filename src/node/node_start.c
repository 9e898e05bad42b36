/* Opening what is on disk: directory, identity, store, log. Blocking, before the loop runs. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/endian.h"
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

/* With two nodes, the other one alone could never take this one in again (rebuild.c). */
static void set_damage_hint(struct node *node)
{
    bool can_rebuild = identity_founder_count(&node->identity) > 2;
    (void)snprintf(node->damage_hint,
                   sizeof node->damage_hint,
                   can_rebuild ? "rebuild this node from its peers: dougong rebuild --data %s"
                               : "restore a backup of %s",
                   node->options.data_dir);
}

enum status node_add_hint(struct node *node, enum status s, struct error *error)
{
    if (s == STATUS_CORRUPT && strstr(error->text, node->damage_hint) == NULL) {
        char text[sizeof error->text];
        (void)snprintf(text, sizeof text, "%s", error->text);
        return error_set(error, s, "%.*s; %s", NODE_DAMAGE_BYTES, text, node->damage_hint);
    }
    return s;
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
    s = node_disk_init(node, error); /* may give room for the identity and the store */
    if (s == STATUS_OK) {
        s = open_identity(node, error);
    }
    if (s == STATUS_OK) {
        set_damage_hint(node);
        s = create_dir(node, node->log_dir, error);
    }
    return s;
}

/* ---- the store ------------------------------------------------------------------------------- */

static enum status open_engine(struct node *node,
                               struct store_engine **out_engine,
                               struct error *error)
{
    const struct node_options *o = &node->options;
    if (o->open_engine != NULL) {
        return o->open_engine(o->open_engine_ctx, o->data_dir, out_engine, error);
    }
    char dir[NODE_PATH_BYTES + 8];
    (void)snprintf(dir, sizeof dir, "%s/store", o->data_dir);
    struct store_rocks_options options = {.dir = dir, .cache_bytes = o->cache_memory / 2};
    return store_engine_rocks_create(&options, out_engine, error);
}

enum status node_open_store(struct node *node, struct error *error)
{
    const struct node_options *o = &node->options;
    struct store_engine *engine = NULL;
    enum status s = open_engine(node, &engine, error);
    if (s != STATUS_OK) {
        return node_add_hint(node, s, error);
    }
    ensure(engine != NULL);
    bool is_on_disk = engine->ops->may_need;
    struct store_options options = {
        .fold_rows = is_on_disk ? STORE_FOLD_ROWS_DEFAULT : STORE_FOLD_ROWS_MEM,
        .fold_bytes = o->store_fold_bytes > 0 ? o->store_fold_bytes : STORE_FOLD_BYTES_DEFAULT,
        .cache_bytes = is_on_disk ? o->cache_memory / 2 : 0, /* else all rows are at hand */
        .fold_starts = node_fold_starts,
        .folded = node_folded,
        .synced = node_synced,
        .owner = node,
        .damage_hint = node->damage_hint,
    };
    options.fold_rows = o->store_fold_rows > 0 ? o->store_fold_rows : options.fold_rows;
    store_init(&node->store, node->env, &options, engine);
    node->is_store_open = true;
    /* The engine's own directory is new, perhaps: nobody else makes its name durable. */
    s = env_dir_sync(node->env, o->data_dir);
    return s == STATUS_OK ? s : error_set(error, s, "%s: cannot sync the directory", o->data_dir);
}

/* The groups know their states: what stands in the store of others goes. */
enum status node_finish_store(struct node *node, struct error *error)
{
    for (uint32_t g = 0; g < node_groups(node); g++) {
        if (node->groups[g].shard != NULL) {
            enum status s = shard_drop_leftovers(node->groups[g].shard);
            if (s != STATUS_OK) {
                (void)error_set(error, s, "group %" PRIu32 ": the store cannot be read", g);
                return node_add_hint(node, s, error);
            }
        }
    }
    store_ready(&node->store);
    return STATUS_OK;
}

/* ---- the log --------------------------------------------------------------------------------- */

static void on_durable(void *owner, uint64_t batch)
{
    struct node *node = owner;
    stat_stage_add(&node->stats.stage_log, node->log.last_write_us);
    node->stats.log_batches = node->log.stats.batches;
    node->stats.log_bytes = node->log.stats.bytes;
    node_disk_durable(node, batch);
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

/* The log of an earlier life must not come back as that of this one (MOVE-1). */
static void log_owner(const struct identity *identity, uint8_t out_id[LOG_NODE_ID_BYTES])
{
    static_assert(LOG_NODE_ID_BYTES == IDENTITY_ID_BYTES, "the id of the node, but for the life");
    memcpy(out_id, identity->node, LOG_NODE_ID_BYTES);
    put_u32_le(out_id, get_u32_le(out_id) ^ identity->life);
}

enum status node_open_log(struct node *node, struct error *error)
{
    struct log_options options = {
        .dir = node->log_dir,
        .segment_bytes = node->options.log_segment_bytes,
        .must_exist = node->identity.has_log,
        .group_count = node_groups(node),
    };
    log_owner(&node->identity, options.node_id);
    static const struct log_events events = {
        .durable = on_durable,
        .segment_starts = node_segment_starts,
    };
    enum status s = log_open(&node->log, node->env, &options, replay, node, &events, node, error);
    return node_add_hint(node, s, error);
}
