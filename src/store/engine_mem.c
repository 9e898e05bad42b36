/*
 * The engine without a disk: one ordered map, and for the simulator a medium that keeps what a
 * crash leaves of a real engine: rows of completed syncs and a prefix of the batches since.
 */
#include "base/assert.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/prng.h"
#include "store/engine.h"

/* ---- the medium ------------------------------------------------------------------------------ */

struct medium_batch {
    struct list link; /* in store_medium.pending, oldest first */
    struct omap rows;
    struct buf drops;
};

struct store_medium {
    struct omap rows;   /* synced */
    struct omap rotten; /* keys of `rows` whose checksum does not fit */
    struct list pending;
    size_t pending_count;
    uint64_t bytes_max; /* 0: no limit */
};

struct store_medium *store_medium_create(void)
{
    struct store_medium *m = mem_alloc_zero(sizeof *m);
    omap_init(&m->rows);
    omap_init(&m->rotten);
    list_init(&m->pending);
    return m;
}

static void batch_destroy(struct store_medium *m, struct medium_batch *b)
{
    list_remove(&b->link);
    m->pending_count--;
    omap_deinit(&b->rows);
    buf_deinit(&b->drops);
    mem_free(b);
}

void store_medium_wipe(struct store_medium *m)
{
    while (!list_is_empty(&m->pending)) {
        batch_destroy(m, container_of(m->pending.next, struct medium_batch, link));
    }
    omap_deinit(&m->rows);
    omap_deinit(&m->rotten);
}

void store_medium_destroy(struct store_medium *m)
{
    if (m != NULL) {
        store_medium_wipe(m);
        mem_free(m);
    }
}

size_t store_medium_pending(const struct store_medium *m)
{
    return m->pending_count;
}

uint64_t store_medium_bytes(const struct store_medium *m)
{
    uint64_t bytes = m->rows.bytes;
    list_each(link, &m->pending) {
        bytes += container_of(link, struct medium_batch, link)->rows.bytes;
    }
    return bytes;
}

void store_medium_limit(struct store_medium *m, uint64_t bytes_max)
{
    m->bytes_max = bytes_max;
}

bool store_medium_rot(struct store_medium *m, uint64_t nth)
{
    if (m->rows.count == 0) {
        return false;
    }
    const struct omap_node *at = NULL;
    struct omap_item item;
    for (uint64_t i = 0; i <= nth % m->rows.count; i++) {
        bool is_there = omap_next(&m->rows, &at, &item);
        ensure(is_there);
    }
    omap_put(&m->rotten, item.key, NULL);
    return true;
}

/* Adds copies of the batch's references; rows of the batch win over drops. */
static void apply(struct omap *rows, struct omap *rotten, struct omap *batch, struct bytes drops)
{
    struct bytes from;
    struct bytes to;
    for (size_t at = 0; store_drops_next(drops, &at, &from, &to);) {
        omap_remove_range(rows, from, to);
        omap_remove_range(rotten, from, to);
    }
    const struct omap_node *at = NULL;
    struct omap_item item;
    while (omap_next(batch, &at, &item)) {
        omap_remove(rotten, item.key);
        if (item.value == NULL) {
            omap_remove(rows, item.key);
        } else {
            omap_put(rows, item.key, blob_ref(item.value));
        }
    }
}

static void medium_merge_first(struct store_medium *m)
{
    struct medium_batch *b = container_of(m->pending.next, struct medium_batch, link);
    apply(&m->rows, &m->rotten, &b->rows, buf_bytes(&b->drops));
    batch_destroy(m, b);
}

void store_medium_crash(struct store_medium *m, size_t keep)
{
    ensure(keep <= m->pending_count);
    for (size_t i = 0; i < keep; i++) {
        medium_merge_first(m);
    }
    while (!list_is_empty(&m->pending)) {
        batch_destroy(m, container_of(m->pending.next, struct medium_batch, link));
    }
}

static enum status medium_append(struct store_medium *m, const struct store_batch *batch)
{
    if (m->bytes_max > 0 && store_medium_bytes(m) + batch->rows->bytes > m->bytes_max) {
        return STATUS_IO;
    }
    struct medium_batch *b = mem_alloc_zero(sizeof *b);
    omap_init(&b->rows);
    buf_init(&b->drops, SIZE_MAX / 2);
    buf_append_bytes(&b->drops, batch->drops);
    const struct omap_node *at = NULL;
    struct omap_item item;
    while (omap_next(batch->rows, &at, &item)) {
        omap_put(&b->rows, item.key, item.value != NULL ? blob_ref(item.value) : NULL);
    }
    list_append(&m->pending, &b->link);
    m->pending_count++;
    return STATUS_OK;
}

/* A later batch that is not synced yet has written the row anew, or dropped it. */
static bool is_rewritten(const struct store_medium *m, struct bytes key)
{
    list_each(link, &m->pending) {
        const struct medium_batch *b = container_of(link, struct medium_batch, link);
        struct omap_item item;
        struct bytes from;
        struct bytes to;
        if (omap_get(&b->rows, key, &item)) {
            return true;
        }
        for (size_t at = 0; store_drops_next(buf_bytes(&b->drops), &at, &from, &to);) {
            if (bytes_compare(from, key) <= 0 && bytes_compare(key, to) < 0) {
                return true;
            }
        }
    }
    return false;
}

/* ---- the engine ------------------------------------------------------------------------------ */

struct store_engine_snapshot {
    struct list link;  /* in engine_mem.snapshots */
    struct omap older; /* what rows were when it was opened, of those changed since; NULL: none */
};

struct engine_mem {
    struct store_engine base;
    struct omap rows;
    struct store_medium *medium; /* NULL: none */
    struct list snapshots;
    struct prng prng;
    unsigned miss_per_mille;
};

static struct engine_mem *mem_of(struct store_engine *e)
{
    return (struct engine_mem *)(void *)e;
}

static bool is_missed(struct engine_mem *e)
{
    return e->miss_per_mille > 0 && prng_chance(&e->prng, e->miss_per_mille);
}

static bool is_rotten(const struct engine_mem *e, struct bytes key)
{
    struct omap_item item;
    return e->medium != NULL && e->medium->rotten.count > 0 &&
           omap_get(&e->medium->rotten, key, &item) && !is_rewritten(e->medium, key);
}

static enum status mem_read(struct store_engine *base, struct bytes key, struct blob **out_value)
{
    struct engine_mem *e = mem_of(base);
    struct omap_item item;
    if (!omap_get(&e->rows, key, &item)) {
        return STATUS_NOT_FOUND;
    }
    if (is_rotten(e, key)) {
        return STATUS_CORRUPT;
    }
    *out_value = blob_ref(item.value);
    return STATUS_OK;
}

static enum status mem_get(struct store_engine *base, struct bytes key, struct blob **out_value)
{
    return is_missed(mem_of(base)) ? STATUS_NEED : mem_read(base, key, out_value);
}

static enum status mem_seek(struct store_engine *base,
                            struct bytes from,
                            struct buf *out_key,
                            struct blob **out_value)
{
    struct engine_mem *e = mem_of(base);
    struct omap_item item;
    if (is_missed(e)) {
        return STATUS_NEED;
    }
    if (!omap_seek(&e->rows, from, &item)) {
        return STATUS_NOT_FOUND;
    }
    if (is_rotten(e, item.key)) {
        return STATUS_CORRUPT;
    }
    buf_append_bytes(out_key, item.key);
    *out_value = blob_ref(item.value);
    return STATUS_OK;
}

/* The first row with a key >= *next, as the snapshot has it. *next goes behind it. */
static bool frozen_next(const struct engine_mem *e,
                        const struct store_engine_snapshot *snapshot,
                        struct buf *next,
                        struct omap_item *out_item)
{
    for (;;) {
        struct omap_item older;
        bool is_found = omap_seek(&e->rows, buf_bytes(next), out_item);
        if (snapshot != NULL && omap_seek(&snapshot->older, buf_bytes(next), &older) &&
            (!is_found || bytes_compare(older.key, out_item->key) <= 0)) {
            *out_item = older;
            is_found = true;
        }
        if (!is_found) {
            return false;
        }
        buf_clear(next, SIZE_MAX);
        buf_append_bytes(next, out_item->key);
        buf_append(next, "", 1);
        if (out_item->value != NULL) { /* else it came later than the snapshot */
            return true;
        }
    }
}

static enum status mem_read_range(struct store_engine *base,
                                  struct store_engine_snapshot *snapshot,
                                  struct bytes from,
                                  struct bytes to,
                                  uint64_t bytes_max,
                                  struct omap *out_rows,
                                  bool *out_is_end)
{
    struct engine_mem *e = mem_of(base);
    struct buf next;
    struct omap_item item;
    enum status status = STATUS_OK;
    buf_init(&next, SIZE_MAX / 2);
    buf_append_bytes(&next, from);
    *out_is_end = true;
    while (frozen_next(e, snapshot, &next, &item) &&
           (to.size == 0 || bytes_compare(item.key, to) < 0)) {
        if (out_rows->count > 0 && out_rows->bytes >= bytes_max) {
            *out_is_end = false;
            break;
        }
        if (is_rotten(e, item.key)) {
            status = STATUS_CORRUPT;
            break;
        }
        omap_put(out_rows, item.key, blob_ref(item.value));
    }
    buf_deinit(&next);
    return status;
}

static enum status mem_write(struct store_engine *base, const struct store_batch *batch)
{
    struct engine_mem *e = mem_of(base);
    return e->medium != NULL ? medium_append(e->medium, batch) : STATUS_OK;
}

/* Each snapshot keeps what the row was, unless a later change has done so before. */
static void keep_older(struct engine_mem *e, struct bytes key, struct blob *value)
{
    list_each(link, &e->snapshots) {
        struct store_engine_snapshot *snapshot =
            container_of(link, struct store_engine_snapshot, link);
        struct omap_item item;
        if (!omap_get(&snapshot->older, key, &item)) {
            omap_put(&snapshot->older, key, value != NULL ? blob_ref(value) : NULL);
        }
    }
}

static void keep_all_older(struct engine_mem *e, const struct store_batch *batch)
{
    struct omap_item item;
    struct bytes from;
    struct bytes to;
    for (size_t at = 0; store_drops_next(batch->drops, &at, &from, &to);) {
        const struct omap_node *node = NULL;
        while (omap_next(&e->rows, &node, &item)) {
            if (bytes_compare(from, item.key) <= 0 && bytes_compare(item.key, to) < 0) {
                keep_older(e, item.key, item.value);
            }
        }
    }
    const struct omap_node *node = NULL;
    while (omap_next(batch->rows, &node, &item)) {
        struct omap_item older = {0};
        keep_older(e, item.key, omap_get(&e->rows, item.key, &older) ? older.value : NULL);
    }
}

static void mem_written(struct store_engine *base, const struct store_batch *batch)
{
    struct engine_mem *e = mem_of(base);
    if (!list_is_empty(&e->snapshots)) {
        keep_all_older(e, batch);
    }
    if (base->ops->may_need) {
        struct omap none;
        omap_init(&none);
        apply(&e->rows, &none, batch->rows, batch->drops);
        return;
    }
    struct bytes from;
    struct bytes to;
    for (size_t at = 0; store_drops_next(batch->drops, &at, &from, &to);) {
        omap_remove_range(&e->rows, from, to);
    }
    omap_merge(&e->rows, batch->rows);
}

static enum status mem_sync(struct store_engine *base)
{
    struct engine_mem *e = mem_of(base);
    while (e->medium != NULL && !list_is_empty(&e->medium->pending)) {
        medium_merge_first(e->medium);
    }
    return STATUS_OK;
}

static struct store_engine_snapshot *mem_snapshot_open(struct store_engine *base)
{
    struct store_engine_snapshot *snapshot = mem_alloc_zero(sizeof *snapshot);
    omap_init(&snapshot->older);
    list_append(&mem_of(base)->snapshots, &snapshot->link);
    return snapshot;
}

static void mem_snapshot_close(struct store_engine *base, struct store_engine_snapshot *snapshot)
{
    (void)base;
    list_remove(&snapshot->link);
    omap_deinit(&snapshot->older);
    mem_free(snapshot);
}

static uint64_t mem_disk_bytes(struct store_engine *base)
{
    const struct engine_mem *e = mem_of(base);
    return e->medium != NULL ? store_medium_bytes(e->medium) : 0;
}

static uint64_t mem_memory(struct store_engine *base)
{
    return omap_memory(&mem_of(base)->rows);
}

static const char *mem_failure(struct store_engine *base)
{
    const struct engine_mem *e = mem_of(base);
    bool is_rotten_now = e->medium != NULL && e->medium->rotten.count > 0;
    return is_rotten_now ? "checksum mismatch" : "no space left";
}

static void mem_destroy(struct store_engine *base)
{
    struct engine_mem *e = mem_of(base);
    while (!list_is_empty(&e->snapshots)) {
        mem_snapshot_close(base,
                           container_of(e->snapshots.next, struct store_engine_snapshot, link));
    }
    omap_deinit(&e->rows);
    mem_free(e);
}

#define MEM_OPS                                                                                    \
    .get = mem_get, .seek = mem_seek, .read = mem_read, .read_range = mem_read_range,              \
    .write = mem_write, .written = mem_written, .sync = mem_sync,                                  \
    .snapshot_open = mem_snapshot_open, .snapshot_close = mem_snapshot_close,                      \
    .disk_bytes = mem_disk_bytes, .memory = mem_memory, .failure = mem_failure,                    \
    .destroy = mem_destroy

static const struct store_engine_ops mem_ops = {MEM_OPS};
static const struct store_engine_ops mem_miss_ops = {.may_need = true, MEM_OPS};

struct store_engine *store_engine_mem_create(struct store_medium *medium)
{
    struct engine_mem *e = mem_alloc_zero(sizeof *e);
    struct omap none;
    e->base.ops = &mem_ops;
    e->medium = medium;
    omap_init(&none);
    omap_init(&e->rows);
    list_init(&e->snapshots);
    if (medium != NULL) {
        apply(&e->rows, &none, &medium->rows, bytes_of("", 0));
        list_each(link, &medium->pending) {
            struct medium_batch *b = container_of(link, struct medium_batch, link);
            apply(&e->rows, &none, &b->rows, buf_bytes(&b->drops));
        }
    }
    return &e->base;
}

void store_engine_mem_miss(struct store_engine *e, uint64_t seed, unsigned per_mille)
{
    ensure(e->ops == &mem_ops);
    e->ops = &mem_miss_ops;
    prng_init(&mem_of(e)->prng, seed);
    mem_of(e)->miss_per_mille = per_mille;
}
