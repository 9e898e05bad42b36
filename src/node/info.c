/* INFO: Redis' fields that clients read, with what is true here, and our own beside them. */
#include "node/info.h"

#include <inttypes.h>
#include <stdio.h>

#include "command/version.h"
#include "node/version.h"

#define SECOND_US 1000000u
#define DAY_SECONDS 86400u
#define ARCH_BITS (8u * (unsigned)sizeof(void *))
/* Ids that Redis shows have so many hexadecimal digits; ours are shorter and end with zeros. */
#define ID_DIGITS 40u

static uint64_t uptime_s(const struct node *node)
{
    return (env_now_us(node->env) - node->server.started_us) / SECOND_US;
}

static struct node_process process_of(const struct node *node)
{
    struct node_process process = {0};
    if (node->options.describe_process != NULL) {
        node->options.describe_process(&process);
    }
    return process;
}

static void write_id(struct buf *out, const char *name, const uint8_t *id)
{
    buf_printf(out, "%s:", name);
    for (unsigned i = 0; i < IDENTITY_ID_BYTES; i++) {
        buf_printf(out, "%02x", (unsigned)id[i]);
    }
    buf_printf(out, "%0*d\r\n", (int)(ID_DIGITS - 2 * IDENTITY_ID_BYTES), 0);
}

/* "1.48M" */
static void write_human(struct buf *out, const char *name, uint64_t bytes)
{
    static const char units[] = "BKMGTP";
    unsigned unit = 0;
    double value = (double)bytes;
    while (value >= KIB && units[unit + 1] != '\0') {
        value /= KIB;
        unit++;
    }
    buf_printf(out, "%s:%.*f%c\r\n", name, unit == 0 ? 0 : 2, value, units[unit]);
}

/* name and name_human. */
static void write_bytes(struct buf *out, const char *name, uint64_t bytes)
{
    char human[64];
    (void)snprintf(human, sizeof human, "%s_human", name);
    buf_printf(out, "%s:%" PRIu64 "\r\n", name, bytes);
    write_human(out, human, bytes);
}

static void write_version(struct buf *out)
{
    buf_printf(out, "redis_version:%s\r\n", COMMAND_REDIS_VERSION);
    buf_printf(out, "redis_git_sha1:00000000\r\nredis_git_dirty:0\r\n");
    buf_printf(out, "redis_build_id:0000000000000000\r\nredis_mode:standalone\r\n");
    buf_printf(out, "dougong_version:%s\r\n", DOUGONG_VERSION);
}

static void write_server(struct node *node, struct buf *out)
{
    struct node_process process = process_of(node);
    const char *colon = strrchr(node->options.listen, ':');
    write_version(out);
    buf_printf(out, "os:%s\r\narch_bits:%u\r\n", process.os, ARCH_BITS);
    buf_printf(out, "gcc_version:%s\r\n", __VERSION__);
    buf_printf(out, "process_id:%" PRId64 "\r\nprocess_supervised:no\r\n", process.id);
    write_id(out, "run_id", node->identity.node);
    buf_printf(out, "tcp_port:%s\r\n", colon != NULL ? colon + 1 : "0");
    buf_printf(out, "server_time_usec:%" PRIu64 "\r\n", node->admin.wall_us(node->admin.owner));
    buf_printf(out, "uptime_in_seconds:%" PRIu64 "\r\n", uptime_s(node));
    buf_printf(out, "uptime_in_days:%" PRIu64 "\r\n", uptime_s(node) / DAY_SECONDS);
    buf_printf(out, "hz:10\r\nconfigured_hz:10\r\nconfig_file:\r\nio_threads_active:0\r\n");
    buf_printf(out, "incarnation:%" PRIu32 "\r\n", node->identity.incarnation);
}

static void write_clients(struct node *node, struct buf *out)
{
    struct server_client_counts counts;
    server_count_clients(&node->server, &counts);
    buf_printf(out, "connected_clients:%" PRIu64 "\r\n", counts.connected);
    buf_printf(out, "cluster_connections:0\r\n");
    buf_printf(out, "maxclients:%" PRIu64 "\r\n", node->settings.max_clients);
    buf_printf(out, "client_recent_max_input_buffer:%" PRIu64 "\r\n", counts.input_bytes_max);
    buf_printf(out, "client_recent_max_output_buffer:%" PRIu64 "\r\n", counts.output_bytes_max);
    buf_printf(out, "blocked_clients:%" PRIu64 "\r\n", counts.waiting);
    buf_printf(out, "tracking_clients:0\r\nclients_in_timeout_table:0\r\n");
    buf_printf(out, "monitors:%" PRIu64 "\r\n", counts.monitors);
}

/* What the node knows that it holds: buffers, entries, rows and blocks. */
static uint64_t memory_held(struct node *node)
{
    return server_memory(&node->server) + store_memory(&node->store) + node_entries_bytes(node);
}

static void write_redis_memory(struct node *node, struct buf *out)
{
    struct node_process process = process_of(node);
    uint64_t held = memory_held(node);
    uint64_t resident = process.resident_bytes > 0 ? process.resident_bytes : held;
    uint64_t peak = process.resident_bytes_max > held ? process.resident_bytes_max : held;
    write_bytes(out, "used_memory", held);
    write_bytes(out, "used_memory_rss", resident);
    write_bytes(out, "used_memory_peak", peak);
    write_bytes(out, "total_system_memory", process.machine_bytes);
    write_bytes(out, "maxmemory", 0);
    double ratio = held > 0 ? (double)resident / (double)held : 1.0;
    buf_printf(out, "maxmemory_policy:noeviction\r\nmem_fragmentation_ratio:%.2f\r\n", ratio);
    buf_printf(out, "mem_allocator:libc\r\nlazyfree_pending_objects:0\r\n");
}

static void write_memory(struct node *node, struct buf *out)
{
    write_redis_memory(node, out);
    buf_printf(out, "buffer_memory:%" PRIu64 "\r\n", server_memory(&node->server));
    buf_printf(out, "store_memory:%" PRIu64 "\r\n", store_memory(&node->store));
    buf_printf(out, "engine_memory:%" PRIu64 "\r\n", store_engine_memory(&node->store));
    buf_printf(out, "entries_memory:%" PRIu64 "\r\n", node_entries_bytes(node));
    buf_printf(out, "cache_memory_max:%" PRIu64 "\r\n", node->options.cache_memory);
    buf_printf(out, "buffer_memory_max:%" PRIu64 "\r\n", node->server.options.buffer_memory);
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

/* Redis' words for: all that was acknowledged is on disk. */
static void write_saves(struct node *node, struct buf *out)
{
    uint64_t now_s = node->admin.wall_us(node->admin.owner) / SECOND_US;
    buf_printf(out, "loading:0\r\nasync_loading:0\r\nrdb_changes_since_last_save:0\r\n");
    buf_printf(out, "rdb_bgsave_in_progress:0\r\nrdb_last_save_time:%" PRIu64 "\r\n", now_s);
    buf_printf(out, "rdb_last_bgsave_status:ok\r\nrdb_last_bgsave_time_sec:-1\r\n");
    buf_printf(out, "rdb_current_bgsave_time_sec:-1\r\naof_enabled:1\r\n");
    buf_printf(out, "aof_rewrite_in_progress:0\r\naof_rewrite_scheduled:0\r\n");
    buf_printf(out, "aof_last_rewrite_time_sec:-1\r\naof_current_rewrite_time_sec:-1\r\n");
    buf_printf(out, "aof_last_bgrewrite_status:ok\r\n");
    buf_printf(out, "aof_last_write_status:%s\r\n", node_is_out_of_space(node) ? "err" : "ok");
}

static void write_persistence(struct node *node, struct buf *out)
{
    write_saves(node, out);
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
    const struct stats *stats = &node->stats;
    write_counter(out, "total_connections_received", stats->connections_received);
    write_counter(out, "total_commands_processed", stats->commands_processed);
    write_counter(out, "total_net_input_bytes", stats->input_bytes);
    write_counter(out, "total_net_output_bytes", stats->output_bytes);
    write_counter(out, "rejected_connections", stats->connections_rejected);
    write_counter(out, "expired_keys", stats->keys_expired);
    write_counter(out, "evicted_keys", 0);
    write_counter(out, "pubsub_channels", 0);
    write_counter(out, "pubsub_patterns", 0);
    write_counter(out, "latest_fork_usec", 0);
    write_counter(out, "total_forks", 0);
    write_counter(out, "total_error_replies", stats->commands_failed);
    stats_each(stats, write_counter, skip_stage, out);
}

static void write_stages(struct node *node, struct buf *out)
{
    stats_each(&node->stats, skip_counter, write_stage, out);
}

/* Every node takes writes; replicas of groups are our own matter, not clients'. */
static void write_redis_replication(struct node *node, struct buf *out)
{
    static const uint8_t none[IDENTITY_ID_BYTES];
    buf_printf(out, "role:master\r\nconnected_slaves:0\r\n");
    buf_printf(out, "master_failover_state:no-failover\r\n");
    write_id(out, "master_replid", node->identity.cluster);
    write_id(out, "master_replid2", none);
    buf_printf(out, "master_repl_offset:%" PRIu64 "\r\n", node_applied_entries(node));
    buf_printf(out, "second_repl_offset:-1\r\nrepl_backlog_active:0\r\n");
    buf_printf(out, "repl_backlog_size:0\r\nrepl_backlog_first_byte_offset:0\r\n");
    buf_printf(out, "repl_backlog_histlen:0\r\n");
}

static void write_replication(struct node *node, struct buf *out)
{
    unsigned leads = 0;
    unsigned here = 0;
    unsigned votes = 0;
    for (uint32_t g = 0; g < node_group_count(node); g++) {
        struct node_group group;
        node_group(node, g, &group);
        leads += group.is_leader ? 1 : 0;
        here += group.is_here ? 1 : 0;
        votes += group.is_settled ? 1 : 0;
    }
    write_redis_replication(node, out);
    buf_printf(out, "groups_led:%u\r\n", leads);
    buf_printf(out, "groups_here:%u\r\n", here);
    buf_printf(out, "groups_voting:%u\r\n", votes); /* fewer than here: a replica catches up */
}

static void write_seconds(struct buf *out, const char *name, uint64_t time_us)
{
    buf_printf(out, "%s:%" PRIu64 ".%06" PRIu64, name, time_us / SECOND_US, time_us % SECOND_US);
    buf_append_text(out, "\r\n");
}

static void write_cpu(struct node *node, struct buf *out)
{
    struct node_process process = process_of(node);
    write_seconds(out, "used_cpu_sys", process.system_us);
    write_seconds(out, "used_cpu_user", process.user_us);
    write_seconds(out, "used_cpu_sys_children", 0);
    write_seconds(out, "used_cpu_user_children", 0);
}

static void write_nothing(struct node *node, struct buf *out)
{
    (void)node;
    (void)out;
}

static void write_errors(struct node *node, struct buf *out)
{
    const struct error_counts *errors = &node->server.errors;
    for (size_t i = 0; i < errors->size; i++) {
        buf_printf(out,
                   "errorstat_%s:count=%" PRIu64 "\r\n",
                   errors->rows[i].word,
                   errors->rows[i].count);
    }
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

/* Of the groups that have a replica here, which is all of them if there are up to three nodes. */
static void write_keyspace(struct node *node, struct buf *out)
{
    for (uint8_t database = 0; database < LIMIT_DATABASES; database++) {
        struct view_counts sum = {0};
        for (uint32_t g = NODE_GROUP_METADATA + 1; g < node_groups(node); g++) {
            if (node->groups[g].shard != NULL) {
                struct view_counts counts = shard_counts(node->groups[g].shard, database);
                sum.keys += counts.keys;
                sum.expiring += counts.expiring;
            }
        }
        if (sum.keys > 0) {
            buf_printf(out, "db%u:keys=%" PRIu64, (unsigned)database, sum.keys);
            buf_printf(out, ",expires=%" PRIu64 ",avg_ttl=0\r\n", sum.expiring);
        }
    }
}

static const struct {
    const char *name;
    const char *title;
    void (*write)(struct node *node, struct buf *out);
    bool is_extra; /* only if it is named, or all are */
} sections[] = {
    {"server", "Server", write_server, false},
    {"clients", "Clients", write_clients, false},
    {"memory", "Memory", write_memory, false},
    {"persistence", "Persistence", write_persistence, false},
    {"stats", "Stats", write_stats, false},
    {"stages", "Stages", write_stages, true},
    {"replication", "Replication", write_replication, false},
    {"cpu", "CPU", write_cpu, false},
    {"modules", "Modules", write_nothing, false},
    {"errorstats", "Errorstats", write_errors, false},
    {"cluster", "Cluster", write_cluster, false},
    {"keyspace", "Keyspace", write_keyspace, false},
};

static bool is_named(const char *section, bool is_extra, struct bytes name)
{
    return bytes_equal_nocase(name, section) || bytes_equal_nocase(name, "all") ||
           bytes_equal_nocase(name, "everything") ||
           (!is_extra && bytes_equal_nocase(name, "default"));
}

static bool is_wanted(const char *section, bool is_extra, const struct bytes *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (is_named(section, is_extra, names[i])) {
            return true;
        }
    }
    return count == 0 && !is_extra;
}

void info_write(struct node *node, const struct bytes *names, size_t count, struct buf *out)
{
    for (size_t i = 0; i < sizeof sections / sizeof sections[0]; i++) {
        if (is_wanted(sections[i].name, sections[i].is_extra, names, count)) {
            buf_printf(out, "%s# %s\r\n", out->size > 0 ? "\r\n" : "", sections[i].title);
            sections[i].write(node, out);
        }
    }
}
