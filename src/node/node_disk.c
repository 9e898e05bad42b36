/*
 * What of a node is durable where, and how much space is left: passes the store's folds and syncs
 * on to the groups, frees the log behind them, and takes no more entries when the disk is full, or
 * when the log grows faster than it can be freed.
 */
#include <inttypes.h>

#include "base/assert.h"
#include "node/node_parts.h"

/* ---- all replicas ---------------------------------------------------------------------------- */

uint64_t node_entries_bytes(const struct node *node)
{
    uint64_t bytes = 0;
    for (uint32_t g = 0; g < node_groups(node); g++) {
        if (node->groups[g].replica != NULL) {
            bytes += replica_memory(node->groups[g].replica);
        }
    }
    return bytes;
}

/* Leaders are not asked to propose (flush_shards) or refuse; followers take nothing. */
static void tell_replicas(struct node *node)
{
    bool is_full = disk_watch_is_full(&node->disk) || node->is_behind;
    if (is_full == node->are_replicas_full) {
        return;
    }
    node->are_replicas_full = is_full;
    log_garbage_set_short(&node->garbage, is_full);
    for (uint32_t g = 0; g < node_groups(node); g++) {
        if (node->groups[g].replica != NULL) {
            replica_set_full(node->groups[g].replica, is_full);
        }
    }
}

/* ---- from the store -------------------------------------------------------------------------- */

void node_fold_starts(void *owner, bool is_sync)
{
    struct node *node = owner;
    bool is_lasting = is_sync && node_store_lasts(node);
    if (node->snapshots != NULL) {
        snapshots_fold_starts(node->snapshots, is_lasting);
    }
    for (uint32_t g = 0; g < node_groups(node); g++) {
        if (node->groups[g].shard != NULL &&
            replica_applied(node->groups[g].replica) >= ENGINE_SNAPSHOT_INDEX_MIN) {
            shard_fold_starts(node->groups[g].shard, is_lasting);
        } /* else the log keeps what little there is */
    }
    if (is_lasting) {
        log_garbage_sync_began(&node->garbage);
        node->is_last_sync = node->state == NODE_STATE_SYNCING;
    }
}

void node_folded(void *owner)
{
    struct node *node = owner;
    if (!node_store_lasts(node)) {
        return; /* entries stay: no snapshot can stand for them */
    }
    for (uint32_t g = 0; g < node_groups(node); g++) {
        if (node->groups[g].shard != NULL) {
            shard_folded(node->groups[g].shard);
        }
    }
    node->entries_bytes = node_entries_bytes(node);
}

void node_synced(void *owner)
{
    struct node *node = owner;
    if (!node_store_lasts(node)) {
        return; /* a restart finds nothing of it */
    }
    for (uint32_t g = 0; g < node_groups(node); g++) {
        if (node->groups[g].shard != NULL) {
            shard_synced(node->groups[g].shard);
        }
    }
    snapshots_synced(node->snapshots);
    if (node->state != NODE_STATE_CLOSING) {
        log_garbage_synced(&node->garbage);
    }
    node->is_synced = node->is_last_sync;
}

/* ---- garbage of the log ---------------------------------------------------------------------- */

static uint64_t garbage_newest(void *owner)
{
    struct node *node = owner;
    return log_segment_newest(&node->log);
}

static uint64_t garbage_oldest(void *owner)
{
    struct node *node = owner;
    return log_segment_oldest(&node->log);
}

static bool garbage_is_covered(void *owner, uint64_t segment)
{
    struct node *node = owner;
    for (uint32_t g = 0; g < node_groups(node); g++) {
        uint64_t top = log_segment_top(&node->log, segment, (uint16_t)g);
        /* No records are of a group that is not here: replay refuses them. */
        if (top > 0 && top > replica_synced_index(node->groups[g].replica)) {
            return false;
        }
    }
    return true;
}

static bool garbage_copy(void *owner, uint64_t segment)
{
    struct node *node = owner;
    uint64_t batch_last = log_segment_batch_last(&node->log, segment);
    bool is_complete = true;
    for (uint32_t g = 0; g < node_groups(node) && is_complete; g++) {
        struct replica *r = node->groups[g].replica;
        if (r != NULL &&
            log_segment_top(&node->log, segment, (uint16_t)g) > replica_synced_index(r)) {
            is_complete = replica_relocate(r, batch_last);
        }
    }
    return is_complete;
}

static uint64_t garbage_batch(void *owner)
{
    struct node *node = owner;
    return log_is_gathering(&node->log) ? log_batch_gathering(&node->log) : 0;
}

static void garbage_sync(void *owner)
{
    struct node *node = owner;
    store_sync_soon(&node->store);
}

static void garbage_release(void *owner, uint64_t segment)
{
    struct node *node = owner;
    log_release(&node->log, segment);
}

static const struct log_garbage_port garbage_port = {
    .newest = garbage_newest,
    .oldest = garbage_oldest,
    .is_covered = garbage_is_covered,
    .copy = garbage_copy,
    .batch = garbage_batch,
    .sync = garbage_sync,
    .release = garbage_release,
};

/*
 * Before the groups are started there is nothing to say of them; the log asks again with the next
 * batch, as long as the newest segment has no such records.
 */
void node_segment_starts(void *owner)
{
    struct node *node = owner;
    if (!node->has_started_groups) {
        return;
    }
    for (uint32_t g = 0; g < node_groups(node); g++) {
        if (node->groups[g].replica != NULL) {
            replica_log_group(node->groups[g].replica);
        }
    }
}

/* ---- the disk -------------------------------------------------------------------------------- */

static void on_disk_changed(void *owner, bool is_full)
{
    struct node *node = owner;
    if (node->snapshots != NULL) {
        snapshots_set_full(node->snapshots, is_full);
    }
    tell_replicas(node);
    node_speak(node);
}

/* Closed segments that are kept: as asked, but on a small disk a part of it. */
static uint64_t segments_max(const struct node *node)
{
    uint64_t asked =
        node->options.log_segments > 0 ? node->options.log_segments : NODE_LOG_SEGMENTS_DEFAULT;
    if (node->disk.total == 0) {
        return asked; /* nobody knows how large it is */
    }
    uint64_t room = node->disk.total / NODE_LOG_DISK_PART / node->options.log_segment_bytes;
    room = room > 0 ? room : 1;
    return asked < room ? asked : room;
}

/* On a small disk: the next segment, made ahead, must not take what the reserve gave back. */
static void limit_segment_bytes(struct node *node)
{
    uint64_t most = node->disk.total / NODE_LOG_SEGMENT_DISK_PART / LOG_SEGMENT_BYTES_MIN *
                    LOG_SEGMENT_BYTES_MIN;
    most = most > NODE_LOG_SEGMENT_BYTES_SMALL ? most : NODE_LOG_SEGMENT_BYTES_SMALL;
    if (node->disk.total > 0 && node->options.log_segment_bytes > most) {
        node->options.log_segment_bytes = most;
    }
}

enum status node_disk_init(struct node *node, struct error *error)
{
    const struct node_options *o = &node->options;
    disk_watch_init(&node->disk, node->env, o->data_dir, o->disk_reserve, on_disk_changed, node);
    disk_watch_look(&node->disk);
    limit_segment_bytes(node);
    log_garbage_init(&node->garbage, segments_max(node), o->log_segment_bytes, &garbage_port, node);
    uint64_t least = disk_start_bytes(node->disk.reserve, node->disk.total);
    if (node->disk.total > 0 && node->disk.free + node->disk.released < least) {
        return error_set(error,
                         STATUS_NO_SPACE,
                         "%s: the disk is full; free at least %" PRIu64 " bytes on it",
                         o->data_dir,
                         least);
    }
    return STATUS_OK;
}

void node_disk_start(struct node *node)
{
    if (node->snapshots != NULL) {
        snapshots_set_full(node->snapshots, disk_watch_is_full(&node->disk));
    }
    tell_replicas(node);
    disk_watch_start(&node->disk);
}

/* What no sync frees: entries without a majority yet, or which wait for rows. */
static uint64_t pending_bytes(const struct node *node)
{
    uint64_t bytes = 0;
    for (uint32_t g = 0; g < node_groups(node); g++) {
        const struct replica *r = node->groups[g].replica;
        if (r != NULL) {
            bytes += replica_pending_bytes(r) + replica_pending_count(r) * log_record_size(0);
        }
    }
    return bytes;
}

static bool is_log_long(const struct node *node)
{
    return log_garbage_is_long(&node->garbage, log_disk_bytes(&node->log), node->is_behind);
}

/* Rows that wait for a fold. At half of it one is due in any case, so it always gets smaller. */
static bool is_overlay_large(const struct node *node)
{
    const struct store *s = &node->store;
    uint64_t times = node->is_behind ? NODE_OVERLAY_LONG / 2 : NODE_OVERLAY_LONG;
    return s->active.bytes + s->folding.bytes > s->options.fold_bytes * times ||
           s->active.count + s->folding.count > s->options.fold_rows * times;
}

/* With a distance between on and off, so that it does not flutter. */
static void check_behind(struct node *node)
{
    bool is_behind = node_store_lasts(node) && (is_log_long(node) || is_overlay_large(node));
    if (is_behind && !node->is_behind) {
        reached("node: entries wait for the disk");
    }
    node->is_behind = is_behind;
}

void node_disk_before_flush(struct node *node)
{
    log_garbage_set_pending(&node->garbage, pending_bytes(node));
    check_behind(node);
    disk_watch_set_failing(&node->disk, log_is_full(&node->log));
    tell_replicas(node);
}

/*
 * A sync that fails halts the node. On a full disk it begins only right after a look that found
 * room for it; else the log goes on without it, as far as there is room.
 */
static bool has_room_to_sync(struct node *node)
{
    bool is_full = disk_watch_is_full(&node->disk);
    bool is_fresh = node->disk.looks != node->disk_looks_seen;
    bool has_room = node->disk.free > node->disk.reserve / NODE_SYNC_RESERVE_PART;
    node->disk_looks_seen = node->disk.looks;
    if (!is_full || !has_room) {
        node->looks_with_room = 0;
    } else if (is_fresh) {
        node->looks_with_room++;
    }
    return !is_full || (is_fresh && node->looks_with_room >= NODE_SYNC_LOOKS);
}

void node_disk_flush(struct node *node)
{
    if (!node_store_lasts(node) || node->state == NODE_STATE_CLOSING) {
        return;
    }
    uint64_t bytes = node_entries_bytes(node);
    node->entries_bytes = bytes < node->entries_bytes ? bytes : node->entries_bytes;
    if (bytes - node->entries_bytes > NODE_ENTRIES_BYTES_MAX) {
        store_fold_soon(&node->store);
    }
    if (has_room_to_sync(node)) {
        log_garbage_flush(&node->garbage);
    } else {
        reached("node: no space to make the state durable");
    }
}

void node_disk_durable(struct node *node, uint64_t batch)
{
    log_garbage_durable(&node->garbage, batch);
    disk_watch_wrote(&node->disk, node->log.stats.bytes - node->log_bytes_seen);
    node->log_bytes_seen = node->log.stats.bytes;
}

void node_disk_stop(struct node *node)
{
    disk_watch_stop(&node->disk);
}

bool node_disk_is_busy(const struct node *node)
{
    return disk_watch_is_busy(&node->disk);
}

bool node_is_out_of_space(const struct node *node)
{
    return disk_watch_is_full(&node->disk);
}

/* ---- facts ----------------------------------------------------------------------------------- */

uint64_t node_log_segments(const struct node *node)
{
    return node->log.stats.segments;
}

uint64_t node_snapshots_taken(const struct node *node)
{
    return node->snapshots != NULL ? snapshots_stats(node->snapshots)->taken : 0;
}

void node_disk_stats(const struct node *node, struct node_disk_stats *out_stats)
{
    *out_stats = (struct node_disk_stats){
        .segments = node->log.stats.segments,
        .segments_released = node->log.stats.released,
    };
    if (node->snapshots != NULL) {
        const struct snapshots_stats *s = snapshots_stats(node->snapshots);
        out_stats->snapshots_sent = s->sent;
        out_stats->snapshots_taken = s->taken;
        out_stats->snapshots_failed = s->failed;
        out_stats->snapshots_sending = s->sending;
        out_stats->snapshots_taking = s->taking;
    }
}
