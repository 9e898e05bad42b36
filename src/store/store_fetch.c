/* Rows that a worker reads for the loop. */
#include "base/assert.h"
#include "base/endian.h"
#include "base/limits.h"
#include "base/mem.h"
#include "store/store_parts.h"

/* A seek reads this much ahead: it may have to pass over rows that the overlay has deleted. */
#define SEEK_BYTES (16u * KIB)

void store_fetch_add(struct store_fetch *f, struct bytes key)
{
    ensure(!f->is_running);
    ensure(key.size <= UINT32_MAX);
    if (f->keys.size_max == 0) {
        buf_init(&f->keys, SIZE_MAX / 2);
    }
    uint8_t size[4];
    put_u32_le(size, (uint32_t)key.size);
    buf_append(&f->keys, size, sizeof size);
    buf_append_bytes(&f->keys, key);
    f->count++;
}

size_t store_fetch_count(const struct store_fetch *f)
{
    return f->count;
}

static struct bytes next_key(const struct store_fetch *f, size_t *at)
{
    ensure(f->keys.size - *at >= 4);
    struct bytes key = bytes_of(f->keys.data + *at + 4, get_u32_le(f->keys.data + *at));
    *at += 4 + key.size;
    ensure(*at <= f->keys.size);
    return key;
}

/* ---- worker ---------------------------------------------------------------------------------- */

static enum status read_one(struct store_fetch *f, struct bytes key)
{
    struct store_engine *engine = f->store->engine;
    struct blob *value = NULL;
    enum status status = engine->ops->read(engine, key, &value);
    if (status == STATUS_OK || status == STATUS_NOT_FOUND) {
        omap_put(&f->rows, key, value);
        return STATUS_OK;
    }
    return status;
}

static enum status read_ahead(struct store_fetch *f, struct bytes from)
{
    struct store_engine *engine = f->store->engine;
    struct store_seen *seen = mem_alloc_zero(sizeof *seen);
    struct buf to;
    omap_init(&seen->rows);
    buf_init(&seen->from, SIZE_MAX / 2);
    buf_append_bytes(&seen->from, from);
    seen->same_bytes = f->same_bytes;
    list_append(&f->found, &seen->link);
    buf_init(&to, SIZE_MAX / 2);
    store_append_end(&to, bytes_of(from.data, f->same_bytes));
    enum status status = engine->ops->read_range(engine,
                                                 NULL /* now */,
                                                 from,
                                                 buf_bytes(&to),
                                                 SEEK_BYTES,
                                                 &seen->rows,
                                                 &seen->is_end);
    buf_deinit(&to);
    return status;
}

static void fetch_run(struct env_work *w)
{
    struct store_fetch *f = container_of(w, struct store_fetch, work);
    f->status = STATUS_OK;
    if (!f->store->has_cache) {
        return; /* all is at hand */
    }
    while (f->keys_read < f->keys.size && f->status == STATUS_OK) {
        struct bytes key = next_key(f, &f->keys_read);
        f->status = f->is_seek ? read_ahead(f, key) : read_one(f, key);
    }
}

/* ---- loop ------------------------------------------------------------------------------------ */

void store_fetches_folded(struct store *s)
{
    list_each(link, &s->fetches) {
        struct store_fetch *f = container_of(link, struct store_fetch, link);
        f->is_stale = true;
        size_t at = 0;
        for (size_t i = 0; i < f->count && !f->is_seek; i++) {
            struct bytes key = next_key(f, &at);
            struct omap_item item;
            if (omap_get(&s->folding, key, &item)) {
                reached("store: a fold overtakes a fetch");
                omap_put(&f->newer, key, item.value != NULL ? blob_ref(item.value) : NULL);
            }
        }
    }
}

static void take_newer(struct store_fetch *f)
{
    struct buf key;
    struct blob *value = NULL;
    buf_init(&key, SIZE_MAX / 2);
    while (omap_take_first(&f->newer, &key, &value)) {
        omap_put(&f->rows, buf_bytes(&key), value);
        buf_clear(&key, SIZE_MAX);
    }
    buf_deinit(&key);
}

/* Into the cache, but for rows that are there: those are as new, and may be borrowed. */
static void keep_rows(struct store_fetch *f)
{
    struct store *s = f->store;
    const struct omap_node *at = NULL;
    struct omap_item item;
    take_newer(f);
    while (omap_next(&f->rows, &at, &item)) {
        struct blob *there = NULL;
        s->stats.fetches++;
        if (!row_cache_get(&s->cache, item.key, &there)) {
            row_cache_put(&s->cache, item.key, item.value != NULL ? blob_ref(item.value) : NULL);
        }
    }
    omap_deinit(&f->rows);
}

/* True if each seek finds its row with what was read; else the worker has to go on somewhere. */
static bool keep_seen(struct store_fetch *f)
{
    struct store *s = f->store;
    struct list others;
    list_init(&others);
    list_move_all(&others, &s->seen);
    list_move_all(&s->seen, &f->found);
    size_t size = f->keys.size;
    size_t count = f->count;
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        struct omap_item item;
        if (store_seek(s, next_key(f, &at), f->same_bytes, &item) == STATUS_NEED &&
            !s->env->is_halted) {
            store_fetch_add(f, buf_bytes(&s->needed));
        }
    }
    f->count = count;
    if (f->keys.size > size) {
        reached("store: a seek goes on behind rows deleted in the overlay");
        list_move_all(&f->found, &s->seen);
    }
    list_move_all(&s->seen, &others);
    return f->keys.size == size;
}

static void submit(struct store_fetch *f)
{
    f->is_running = true;
    f->is_stale = false;
    list_append(&f->store->fetches, &f->link);
    env_work_submit(f->store->env, &f->work);
}

static bool is_complete(struct store_fetch *f)
{
    if (!f->is_seek) {
        keep_rows(f);
        return true;
    }
    if (f->is_stale) {
        reached("store: a fold overtakes a seek");
        store_seen_destroy_all(&f->found);
        f->keys_read = 0;
        return false;
    }
    return keep_seen(f);
}

static void fetch_done(struct env_work *w)
{
    struct store_fetch *f = container_of(w, struct store_fetch, work);
    struct store *s = f->store;
    list_remove(&f->link);
    f->is_running = false;
    if (f->status != STATUS_OK) {
        store_fail(s, "read");
        return;
    }
    if (s->has_cache && !is_complete(f)) {
        submit(f);
        return;
    }
    s->jobs--;
    f->done(f);
}

void store_fetch_start(struct store *s, struct store_fetch *f)
{
    ensure(!f->is_running);
    ensure(f->done != NULL);
    ensure(f->rows.count == 0);
    f->store = s;
    f->work = (struct env_work){.run = fetch_run, .done = fetch_done};
    f->keys_read = 0;
    omap_init(&f->rows);
    omap_init(&f->newer);
    list_init(&f->found);
    s->jobs++;
    submit(f);
}

void store_fetch_deinit(struct store_fetch *f)
{
    buf_deinit(&f->keys);
    omap_deinit(&f->rows);
    omap_deinit(&f->newer);
    if (f->found.next != NULL) {
        store_seen_destroy_all(&f->found);
    }
    *f = (struct store_fetch){
        .done = f->done,
        .is_seek = f->is_seek,
        .same_bytes = f->same_bytes,
    };
}
