/*
 * The engine on disk: RocksDB without its write-ahead log, one column family. What a batch writes
 * is in memory until a memtable is written out, as a whole and in order, so that a crash leaves a
 * prefix of the batches.
 */
#include <stdatomic.h>
#include <stdio.h>

#include <rocksdb/c.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "store/engine.h"

#define FAILURE_BYTES 512u
#define CACHE_BYTES_MIN (4u * MIB)
#define BLOCK_BYTES (4u * KIB)
#define BLOOM_BITS_PER_KEY 10.0
#define OPEN_FILES_MAX 512
#define BACKGROUND_JOBS 2
#define MEMTABLES_MAX 3
/* One part in so many of the memory is for the memtable that is written to. */
#define MEMTABLE_SHARE 8u
#define MEMTABLE_BYTES_MIN (1u * MIB)
#define MEMTABLE_BYTES_MAX (64u * MIB)
/* RocksDB's own log of warnings: at most so many files of so many bytes. */
#define MANIFEST_BYTES (16u * MIB)
/*
 * RocksDB keeps a log of messages in its directory, and dies of an assertion when two of them could
 * not be written (a full disk). Above this level come only those of its start.
 */
#define INFO_LOG_HEADERS 5
/* What the system says of it (strerror), somewhere in the text of RocksDB. */
#define NO_SPACE_TEXT "No space left on device"
#define BYTES_PER_SYNC (1u * MIB)
/* What is in memory answers on the loop, all else says NEED (rocksdb::kBlockCacheTier). */
#define READ_TIER_MEMORY 1

enum failure_state {
    FAILURE_NONE,
    FAILURE_WRITING,
    FAILURE_SET,
};

struct engine_rocks {
    struct store_engine base;
    rocksdb_t *db;
    rocksdb_options_t *options;
    rocksdb_readoptions_t *read_memory; /* loop */
    rocksdb_readoptions_t *read_all;    /* worker */
    rocksdb_writeoptions_t *write;
    rocksdb_flushoptions_t *flush;
    _Atomic int failure_state;
    char failure[FAILURE_BYTES]; /* the first one; not changed after FAILURE_SET */
};

/* ---- errors ---------------------------------------------------------------------------------- */

static struct engine_rocks *rocks_of(struct store_engine *e)
{
    return (struct engine_rocks *)(void *)e;
}

static bool starts_with(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static enum status status_from_rocks(const char *failure)
{
    if (starts_with(failure, "Result incomplete")) {
        return STATUS_NEED;
    }
    if (strstr(failure, NO_SPACE_TEXT) != NULL) {
        return STATUS_NO_SPACE;
    }
    return starts_with(failure, "Corruption") ? STATUS_CORRUPT : STATUS_IO;
}

/* A failure that halts the node; the others end by themselves. */
static bool is_final(enum status status)
{
    return status != STATUS_NEED && status != STATUS_NO_SPACE;
}

/* Frees the text, and keeps it if it is the first final failure. NULL: all is well. */
static enum status settle(struct engine_rocks *e, char *failure)
{
    if (failure == NULL) {
        return STATUS_OK;
    }
    enum status status = status_from_rocks(failure);
    int none = FAILURE_NONE;
    if (is_final(status) &&
        atomic_compare_exchange_strong(&e->failure_state, &none, FAILURE_WRITING)) {
        (void)snprintf(e->failure, sizeof e->failure, "%s", failure);
        atomic_store(&e->failure_state, FAILURE_SET);
    }
    rocksdb_free(failure);
    return status;
}

static const char *rocks_failure(struct store_engine *base)
{
    struct engine_rocks *e = rocks_of(base);
    return atomic_load(&e->failure_state) == FAILURE_SET ? e->failure : "unknown failure";
}

/* ---- reads ----------------------------------------------------------------------------------- */

static struct blob *blob_of(const char *data, size_t size)
{
    struct blob *b = blob_create(size);
    if (size > 0) {
        memcpy(b->data, data, size);
    }
    return b;
}

static const char *chars(struct bytes b)
{
    return (const char *)b.data;
}

static enum status get(struct engine_rocks *e,
                       const rocksdb_readoptions_t *options,
                       struct bytes key,
                       struct blob **out_value)
{
    char *failure = NULL;
    rocksdb_pinnableslice_t *slice =
        rocksdb_get_pinned(e->db, options, chars(key), key.size, &failure);
    if (slice == NULL) {
        enum status status = settle(e, failure);
        return status == STATUS_OK ? STATUS_NOT_FOUND : status;
    }
    size_t size = 0;
    const char *data = rocksdb_pinnableslice_value(slice, &size);
    *out_value = blob_of(data, size);
    rocksdb_pinnableslice_destroy(slice);
    return STATUS_OK;
}

/*
 * Asked without I/O about a key of a table that is not open at the moment, RocksDB says OK and
 * gives no bytes: the key may exist (MarkKeyMayExist). So what seems empty is for a worker to read.
 */
static enum status rocks_get(struct store_engine *base, struct bytes key, struct blob **out_value)
{
    struct blob *value = NULL;
    enum status s = get(rocks_of(base), rocks_of(base)->read_memory, key, &value);
    if (s != STATUS_OK) {
        return s;
    }
    if (value->size == 0) {
        reached("store: an empty answer without I/O");
        blob_unref(value);
        return STATUS_NEED;
    }
    *out_value = value;
    return STATUS_OK;
}

static enum status rocks_read(struct store_engine *base, struct bytes key, struct blob **out_value)
{
    return get(rocks_of(base), rocks_of(base)->read_all, key, out_value);
}

static enum status iterator_status(struct engine_rocks *e, const rocksdb_iterator_t *it)
{
    char *failure = NULL;
    rocksdb_iter_get_error(it, &failure);
    return settle(e, failure);
}

static struct bytes iterator_key(const rocksdb_iterator_t *it)
{
    size_t size = 0;
    const char *data = rocksdb_iter_key(it, &size);
    return bytes_of(data, size);
}

static struct blob *iterator_value(const rocksdb_iterator_t *it)
{
    size_t size = 0;
    const char *data = rocksdb_iter_value(it, &size);
    return blob_of(data, size);
}

/*
 * A worker seeks. An iterator without I/O that has met a block that is not in memory forgets this
 * when it then meets a dropped range, and passes over rows (fixed in RocksDB 8.5.2,
 * facebook/rocksdb#11786).
 */
static enum status rocks_seek(struct store_engine *base,
                              struct bytes from,
                              struct buf *out_key,
                              struct blob **out_value)
{
    (void)base;
    (void)from;
    (void)out_key;
    (void)out_value;
    return STATUS_NEED;
}

static const rocksdb_snapshot_t *snapshot_of(struct store_engine_snapshot *snapshot)
{
    return (const rocksdb_snapshot_t *)(void *)snapshot;
}

static enum status rocks_read_range(struct store_engine *base,
                                    struct store_engine_snapshot *snapshot,
                                    struct bytes from,
                                    struct bytes to,
                                    uint64_t bytes_max,
                                    struct omap *out_rows,
                                    bool *out_is_end)
{
    struct engine_rocks *e = rocks_of(base);
    rocksdb_readoptions_t *options = rocksdb_readoptions_create();
    rocksdb_readoptions_set_verify_checksums(options, 1);
    rocksdb_readoptions_set_fill_cache(options, snapshot == NULL ? 1 : 0);
    if (snapshot != NULL) {
        rocksdb_readoptions_set_snapshot(options, snapshot_of(snapshot));
    }
    if (to.size > 0) {
        rocksdb_readoptions_set_iterate_upper_bound(options, chars(to), to.size);
    }
    rocksdb_iterator_t *it = rocksdb_create_iterator(e->db, options);
    rocksdb_iter_seek(it, chars(from), from.size);
    while (rocksdb_iter_valid(it) != 0 && (out_rows->count == 0 || out_rows->bytes < bytes_max)) {
        omap_put(out_rows, iterator_key(it), iterator_value(it));
        rocksdb_iter_next(it);
    }
    *out_is_end = rocksdb_iter_valid(it) == 0;
    enum status status = *out_is_end ? iterator_status(e, it) : STATUS_OK;
    rocksdb_iter_destroy(it);
    rocksdb_readoptions_destroy(options);
    return status;
}

/* ---- writes ---------------------------------------------------------------------------------- */

static enum status rocks_write(struct store_engine *base, const struct store_batch *batch)
{
    struct engine_rocks *e = rocks_of(base);
    rocksdb_writebatch_t *b = rocksdb_writebatch_create();
    struct bytes from;
    struct bytes to;
    for (size_t at = 0; store_drops_next(batch->drops, &at, &from, &to);) {
        rocksdb_writebatch_delete_range(b, chars(from), from.size, chars(to), to.size);
    }
    const struct omap_node *at = NULL;
    struct omap_item item;
    while (omap_next(batch->rows, &at, &item)) {
        if (item.value == NULL) {
            rocksdb_writebatch_delete(b, chars(item.key), item.key.size);
        } else {
            struct bytes value = blob_bytes(item.value);
            rocksdb_writebatch_put(b, chars(item.key), item.key.size, chars(value), value.size);
        }
    }
    char *failure = NULL;
    rocksdb_write(e->db, e->write, b, &failure);
    rocksdb_writebatch_destroy(b);
    return settle(e, failure);
}

/* Writes all memtables out; RocksDB syncs the tables, and then the manifest that names them. */
static enum status rocks_sync(struct store_engine *base)
{
    struct engine_rocks *e = rocks_of(base);
    char *failure = NULL;
    rocksdb_flush(e->db, e->flush, &failure);
    return settle(e, failure);
}

static struct store_engine_snapshot *rocks_snapshot_open(struct store_engine *base)
{
    const rocksdb_snapshot_t *snapshot = rocksdb_create_snapshot(rocks_of(base)->db);
    return (struct store_engine_snapshot *)(uintptr_t)snapshot;
}

static void rocks_snapshot_close(struct store_engine *base, struct store_engine_snapshot *snapshot)
{
    rocksdb_release_snapshot(rocks_of(base)->db, snapshot_of(snapshot));
}

static uint64_t property(struct store_engine *base, const char *name)
{
    uint64_t value = 0;
    int failed = rocksdb_property_int(rocks_of(base)->db, name, &value);
    return failed == 0 ? value : 0;
}

static uint64_t rocks_disk_bytes(struct store_engine *base)
{
    return property(base, "rocksdb.total-sst-files-size");
}

/* Index and filter blocks are in the block cache, too. */
static uint64_t rocks_memory(struct store_engine *base)
{
    return property(base, "rocksdb.size-all-mem-tables") +
           property(base, "rocksdb.block-cache-usage");
}

/* ---- opening and closing --------------------------------------------------------------------- */

static void set_tables(rocksdb_options_t *options, uint64_t cache_bytes)
{
    rocksdb_block_based_table_options_t *tables = rocksdb_block_based_options_create();
    rocksdb_cache_t *cache = rocksdb_cache_create_lru((size_t)cache_bytes);
    rocksdb_block_based_options_set_block_cache(tables, cache);
    rocksdb_block_based_options_set_block_size(tables, BLOCK_BYTES);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(tables, 1);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks_with_high_priority(tables, 1);
    rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(tables, 1);
    rocksdb_block_based_options_set_filter_policy(
        tables,
        rocksdb_filterpolicy_create_bloom_full(BLOOM_BITS_PER_KEY));
    rocksdb_options_set_block_based_table_factory(options, tables);
    rocksdb_block_based_options_destroy(tables);
    rocksdb_cache_destroy(cache);
}

static void set_memory(rocksdb_options_t *options, uint64_t cache_bytes)
{
    uint64_t bytes = cache_bytes < CACHE_BYTES_MIN ? CACHE_BYTES_MIN : cache_bytes;
    uint64_t memtable = bytes / MEMTABLE_SHARE;
    memtable = memtable < MEMTABLE_BYTES_MIN ? MEMTABLE_BYTES_MIN : memtable;
    memtable = memtable > MEMTABLE_BYTES_MAX ? MEMTABLE_BYTES_MAX : memtable;
    rocksdb_options_set_write_buffer_size(options, (size_t)memtable);
    rocksdb_options_set_max_write_buffer_number(options, MEMTABLES_MAX);
    /* As a rule one memtable takes writes and one is written out. */
    set_tables(options, bytes - 2 * memtable);
}

static rocksdb_options_t *options_create(uint64_t cache_bytes)
{
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_options_set_paranoid_checks(options, 1);
    rocksdb_options_set_max_open_files(options, OPEN_FILES_MAX);
    rocksdb_options_set_max_background_jobs(options, BACKGROUND_JOBS);
    rocksdb_options_set_level_compaction_dynamic_level_bytes(options, 1);
    rocksdb_options_set_compression(options, rocksdb_lz4_compression);
    rocksdb_options_set_bottommost_compression(options, rocksdb_zstd_compression);
    rocksdb_options_set_bytes_per_sync(options, BYTES_PER_SYNC);
    rocksdb_options_set_max_manifest_file_size(options, MANIFEST_BYTES);
    rocksdb_options_set_info_log_level(options, INFO_LOG_HEADERS);
    rocksdb_options_set_keep_log_file_num(options, 1);
    rocksdb_options_set_stats_dump_period_sec(options, 0);
    rocksdb_options_set_stats_persist_period_sec(options, 0);
    rocksdb_options_set_skip_stats_update_on_db_open(options, 1);
    rocksdb_options_set_avoid_unnecessary_blocking_io(options, 1);
    set_memory(options, cache_bytes);
    return options;
}

static rocksdb_readoptions_t *readoptions_create(int tier)
{
    rocksdb_readoptions_t *options = rocksdb_readoptions_create();
    rocksdb_readoptions_set_verify_checksums(options, 1);
    rocksdb_readoptions_set_read_tier(options, tier);
    return options;
}

static void rocks_destroy(struct store_engine *base)
{
    struct engine_rocks *e = rocks_of(base);
    if (e->db != NULL) {
        rocksdb_close(e->db);
    }
    rocksdb_readoptions_destroy(e->read_memory);
    rocksdb_readoptions_destroy(e->read_all);
    rocksdb_writeoptions_destroy(e->write);
    rocksdb_flushoptions_destroy(e->flush);
    rocksdb_options_destroy(e->options);
    mem_free(e);
}

static const struct store_engine_ops rocks_ops = {
    .may_need = true,
    .get = rocks_get,
    .seek = rocks_seek,
    .read = rocks_read,
    .read_range = rocks_read_range,
    .write = rocks_write,
    .sync = rocks_sync,
    .snapshot_open = rocks_snapshot_open,
    .snapshot_close = rocks_snapshot_close,
    .disk_bytes = rocks_disk_bytes,
    .memory = rocks_memory,
    .failure = rocks_failure,
    .destroy = rocks_destroy,
};

enum status store_engine_rocks_create(const struct store_rocks_options *options,
                                      struct store_engine **out_engine,
                                      struct error *error)
{
    struct engine_rocks *e = mem_alloc_zero(sizeof *e);
    e->base.ops = &rocks_ops;
    e->options = options_create(options->cache_bytes);
    e->read_memory = readoptions_create(READ_TIER_MEMORY);
    e->read_all = readoptions_create(0);
    e->write = rocksdb_writeoptions_create();
    rocksdb_writeoptions_disable_WAL(e->write, 1);
    e->flush = rocksdb_flushoptions_create();
    rocksdb_flushoptions_set_wait(e->flush, 1);
    char *failure = NULL;
    e->db = rocksdb_open(e->options, options->dir, &failure);
    if (failure != NULL) {
        enum status status = status_from_rocks(failure);
        status = status == STATUS_NEED ? STATUS_IO : status;
        (void)error_set(error, status, "open store: %s", failure);
        (void)settle(e, failure);
        rocks_destroy(&e->base);
        return status;
    }
    *out_engine = &e->base;
    return STATUS_OK;
}
