#include "node/info.h"

#include <inttypes.h>

#include "command/version.h"
#include "node/version.h"

#define SECOND_US 1000000u
#define DAY_SECONDS 86400u

static uint64_t uptime_s(const struct node *node)
{
    return (env_now_us(node->env) - node->server.started_us) / SECOND_US;
}

static void write_server(struct node *node, struct buf *out)
{
    buf_printf(out, "redis_version:%s\r\nredis_mode:standalone\r\n", COMMAND_REDIS_VERSION);
    buf_printf(out, "dougong_version:%s\r\nprocess_supervised:no\r\nrun_id:", DOUGONG_VERSION);
    for (unsigned i = 0; i < IDENTITY_ID_BYTES; i++) {
        buf_printf(out, "%02x", (unsigned)node->identity.node[i]);
    }
    buf_printf(out, "\r\nuptime_in_seconds:%" PRIu64, uptime_s(node));
    buf_printf(out, "\r\nuptime_in_days:%" PRIu64, uptime_s(node) / DAY_SECONDS);
    buf_printf(out, "\r\nincarnation:%" PRIu32 "\r\n", node->identity.incarnation);
}

static void write_clients(struct node *node, struct buf *out)
{
    buf_printf(out, "connected_clients:%" PRIu64 "\r\n", node->server.session_count);
    buf_printf(out, "maxclients:%u\r\nblocked_clients:0\r\n", LIMIT_CONNECTIONS);
}

static void write_memory(struct node *node, struct buf *out)
{
    uint64_t held = server_memory(&node->server);
    buf_printf(out, "buffer_memory:%" PRIu64 "\r\n", held);
    buf_printf(out, "store_memory:%" PRIu64 "\r\n", store_memory(&node->store));
    buf_printf(out, "engine_memory:%" PRIu64 "\r\n", store_engine_memory(&node->store));
    buf_printf(out, "entries_memory:%" PRIu64 "\r\n", node_entries_bytes(node));
    buf_printf(out, "cache_memory_max:%" PRIu64 "\r\n", node->options.cache_memory);
    buf_printf(out, "buffer_memory_max:%" PRIu64 "\r\n", node->server.options.buffer_memory);
    buf_printf(out, "maxmemory_policy:noeviction\r\n");
}

static void write_log(struct node *node, struct buf *out)
{
    buf_printf(out, "log_segments:%" PRIu64 "\r\n", node->log.stats.segments);
    buf_printf(out, "log_segments_released:%" PRIu64 "\r\n", node->log.stats.released);
    buf_printf(out, "log_disk_bytes:%" PRIu64 "\r\n", log_disk_bytes(&node->log));
    buf_printf(out, "log_records:%" PRIu64 "\r\n", node->log.stats.records);
    buf_printf(out, "log_marks:%" PRIu64 "\r\n", node->log.stats.marks);
    buf_printf(out, "log_cut_bytes:%" PRIu64 "\r\n", node->log.stats.cut_bytes);
}

static void write_store(struct node *node, struct buf *out)
{
    const struct store_stats *stats = &node->store.stats;
    buf_printf(out, "store_disk_bytes:%" PRIu64 "\r\n", store_disk_bytes(&node->store));
    buf_printf(out, "store_folds:%" PRIu64 "\r\n", stats->folds);
    buf_printf(out, "store_folded_rows:%" PRIu64 "\r\n", stats->folded_rows);
    buf_printf(out, "store_syncs:%" PRIu64 "\r\n", stats->syncs);
    buf_printf(out, "store_fetches:%" PRIu64 "\r\n", stats->fetches);
    buf_printf(out, "store_cache_bytes:%" PRIu64 "\r\n", node->store.cache.bytes);
    buf_printf(out, "store_cache_hits:%" PRIu64 "\r\n", stats->cache_hits);
    buf_printf(out, "store_cache_misses:%" PRIu64 "\r\n", stats->cache_misses);
}

static void write_disk(struct node *node, struct buf *out)
{
    buf_printf(out, "disk_full:%d\r\n", node_is_out_of_space(node) ? 1 : 0);
    buf_printf(out, "disk_free_bytes:%" PRIu64 "\r\n", node->disk.free);
    buf_printf(out, "disk_total_bytes:%" PRIu64 "\r\n", node->disk.total);
    buf_printf(out, "disk_reserve_bytes:%" PRIu64 "\r\n", node->disk.reserve);
}

static void write_snapshots(struct node *node, struct buf *out)
{
    struct node_disk_stats stats;
    node_disk_stats(node, &stats);
    buf_printf(out, "snapshots_sent:%" PRIu64 "\r\n", stats.snapshots_sent);
    buf_printf(out, "snapshots_taken:%" PRIu64 "\r\n", stats.snapshots_taken);
    buf_printf(out, "snapshots_failed:%" PRIu64 "\r\n", stats.snapshots_failed);
    buf_printf(out, "snapshots_sending:%" PRIu32 "\r\n", stats.snapshots_sending);
    buf_printf(out, "snapshots_taking:%" PRIu32 "\r\n", stats.snapshots_taking);
}

static void write_persistence(struct node *node, struct buf *out)
{
    buf_printf(out, "loading:0\r\n");
    buf_printf(out, "ready_ms:%" PRIu64 "\r\n", node->ready_us / 1000);
    write_log(node, out);
    write_store(node, out);
    write_disk(node, out);
    write_snapshots(node, out);
}

static void write_counter(void *ctx, const char *name, uint64_t value)
{
    buf_printf(ctx, "%s:%" PRIu64 "\r\n", name, value);
}

static void skip_counter(void *ctx, const char *name, uint64_t value)
{
    (void)ctx;
    (void)name;
    (void)value;
}

static void write_stage(void *ctx, const char *name, const struct stat_stage *stage)
{
    buf_printf(ctx,
               "%s:count=%" PRIu64 ",sum_us=%" PRIu64 ",p50_us=%" PRIu64 ",p99_us=%" PRIu64
               ",max_us=%" PRIu64 "\r\n",
               name,
               stage->count,
               stage->sum_us,
               stat_stage_quantile(stage, 500),
               stat_stage_quantile(stage, 990),
               stage->max_us);
}

static void skip_stage(void *ctx, const char *name, const struct stat_stage *stage)
{
    (void)ctx;
    (void)name;
    (void)stage;
}

static void write_stats(struct node *node, struct buf *out)
{
    stats_each(&node->stats, write_counter, skip_stage, out);
}

static void write_stages(struct node *node, struct buf *out)
{
    stats_each(&node->stats, skip_counter, write_stage, out);
}

static void write_replication(struct node *node, struct buf *out)
{
    uint64_t applied = 0;
    unsigned leads = 0;
    unsigned here = 0;
    unsigned votes = 0;
    for (uint32_t g = 0; g < node_group_count(node); g++) {
        struct node_group group;
        node_group(node, g, &group);
        applied += group.applied_index;
        leads += group.is_leader ? 1 : 0;
        here += group.is_here ? 1 : 0;
        votes += group.is_settled ? 1 : 0;
    }
    buf_printf(out, "role:master\r\nconnected_slaves:0\r\n"); /* every node takes writes */
    buf_printf(out, "master_repl_offset:%" PRIu64 "\r\n", applied);
    buf_printf(out, "groups_led:%u\r\n", leads);
    buf_printf(out, "groups_here:%u\r\n", here);
    buf_printf(out, "groups_voting:%u\r\n", votes); /* fewer than here: a replica catches up */
}

static void write_cluster(struct node *node, struct buf *out)
{
    buf_printf(out, "cluster_enabled:0\r\n"); /* no client has to know where keys are */
    buf_printf(out, "node:%" PRIu32 "\r\n", node->identity.number);
    buf_printf(out, "life:%" PRIu32 "\r\n", node->identity.life);
    buf_printf(out, "nodes:%" PRIu32 "\r\n", node->node_count);
    buf_printf(out, "groups:%" PRIu32 "\r\n", node->identity.groups);
    buf_printf(out, "formed:%d\r\n", founding_is_formed(&node->founding) ? 1 : 0);
}

static const struct {
    const char *name;
    const char *title;
    void (*write)(struct node *node, struct buf *out);
} sections[] = {
    {"server", "Server", write_server},
    {"clients", "Clients", write_clients},
    {"memory", "Memory", write_memory},
    {"persistence", "Persistence", write_persistence},
    {"stats", "Stats", write_stats},
    {"stages", "Stages", write_stages},
    {"replication", "Replication", write_replication},
    {"cluster", "Cluster", write_cluster},
};

void info_write(struct node *node, struct bytes section, struct buf *out)
{
    bool all = bytes_equal_nocase(section, "default") || bytes_equal_nocase(section, "all") ||
               bytes_equal_nocase(section, "everything");
    for (size_t i = 0; i < sizeof sections / sizeof sections[0]; i++) {
        if (all || bytes_equal_nocase(section, sections[i].name)) {
            buf_printf(out, "%s# %s\r\n", out->size > 0 ? "\r\n" : "", sections[i].title);
            sections[i].write(node, out);
        }
    }
}
