/* Rows: the overlay, then the cache, then the engine. */
#include "store/store.h"

#include "base/assert.h"
#include "base/endian.h"
#include "store/store_parts.h"

#define BUF_MAX (SIZE_MAX / 2)

void store_init(struct store *s,
                struct env *env,
                const struct store_options *options,
                struct store_engine *engine)
{
    ensure(options->fold_rows > 0);
    *s = (struct store){
        .env = env,
        .options = *options,
        .engine = engine,
        .seed = env_random(env),
        .has_cache = engine->ops->may_need,
        .is_starting = true,
    };
    omap_init(&s->active);
    omap_init(&s->folding);
    omap_init(&s->held);
    s->active.seed = s->seed;
    s->folding.seed = s->seed;
    row_cache_init(&s->cache, options->cache_bytes);
    s->cache.seed = s->seed;
    buf_init(&s->drops, BUF_MAX);
    buf_init(&s->folding_drops, BUF_MAX);
    buf_init(&s->key, BUF_MAX);
    buf_init(&s->needed, BUF_MAX);
    list_init(&s->seen);
    list_init(&s->fetches);
    list_init(&s->writes_waiting);
    list_init(&s->snapshots);
    store_fold_init(s);
}

void store_ready(struct store *s)
{
    ensure(s->is_starting);
    s->is_starting = false;
}

void store_deinit(struct store *s)
{
    omap_deinit(&s->active);
    omap_deinit(&s->folding);
    omap_deinit(&s->held);
    store_seen_destroy_all(&s->seen);
    row_cache_deinit(&s->cache);
    store_snapshots_drop(s);
    buf_deinit(&s->drops);
    buf_deinit(&s->folding_drops);
    buf_deinit(&s->key);
    buf_deinit(&s->needed);
    s->engine->ops->destroy(s->engine);
}

void store_fail(struct store *s, const char *what)
{
    const char *hint = s->options.damage_hint;
    env_halt(s->env,
             "the store could not be %s: %s%s%s",
             what,
             s->engine->ops->failure(s->engine),
             hint != NULL ? "; " : "",
             hint != NULL ? hint : "");
}

/* ---- writes ---------------------------------------------------------------------------------- */

void store_put(struct store *s, struct bytes key, struct blob *value)
{
    ensure(value != NULL);
    s->turn_bytes += value->size;
    omap_put(&s->active, key, value);
}

bool store_is_pressed(const struct store *s)
{
    uint64_t waiting = s->active.bytes + s->folding.bytes;
    return !s->is_starting &&
           (s->turn_bytes > STORE_TURN_BYTES_MAX || waiting > STORE_OVERLAY_BYTES_MAX);
}

void store_delete(struct store *s, struct bytes key)
{
    omap_put(&s->active, key, NULL);
}

static void append_sized(struct buf *b, struct bytes bytes)
{
    uint8_t size[4];
    ensure(bytes.size <= UINT32_MAX);
    put_u32_le(size, (uint32_t)bytes.size);
    buf_append(b, size, sizeof size);
    buf_append_bytes(b, bytes);
}

void store_drop(struct store *s, struct bytes from, struct bytes to)
{
    ensure(bytes_compare(from, to) < 0);
    omap_remove_range(&s->active, from, to);
    append_sized(&s->drops, from);
    append_sized(&s->drops, to);
}

static struct bytes take_sized(struct bytes b, size_t *at)
{
    ensure(b.size - *at >= 4);
    uint32_t size = get_u32_le(b.data + *at);
    *at += 4;
    ensure(b.size - *at >= size);
    struct bytes taken = bytes_of(b.data + *at, size);
    *at += size;
    return taken;
}

bool store_drops_next(struct bytes drops, size_t *at, struct bytes *out_from, struct bytes *out_to)
{
    if (*at == drops.size) {
        return false;
    }
    *out_from = take_sized(drops, at);
    *out_to = take_sized(drops, at);
    return true;
}

bool store_is_dropped(const struct buf *drops, struct bytes key, struct bytes *out_to)
{
    struct bytes from;
    size_t at = 0;
    while (store_drops_next(buf_bytes(drops), &at, &from, out_to)) {
        if (bytes_compare(from, key) <= 0 && bytes_compare(key, *out_to) < 0) {
            return true;
        }
    }
    return false;
}

/* ---- reads ----------------------------------------------------------------------------------- */

bool store_may_need(const struct store *s)
{
    return s->has_cache;
}

static enum status answer(struct blob *value, struct blob **out_value)
{
    if (value == NULL) {
        return STATUS_NOT_FOUND;
    }
    *out_value = value;
    return STATUS_OK;
}

/* What the engine has at hand, or before store_ready what it has. Goes into the cache. */
static enum status get_behind(struct store *s, struct bytes key, struct blob **out_value)
{
    struct blob *value = NULL;
    enum status status = s->engine->ops->get(s->engine, key, &value);
    if (status == STATUS_NEED && s->is_starting) {
        status = s->engine->ops->read(s->engine, key, &value);
    }
    if (status == STATUS_OK || status == STATUS_NOT_FOUND) {
        if (s->has_cache) {
            row_cache_put(&s->cache, key, value); /* NULL: there is none */
        } else if (value != NULL) {
            ensure(value->refs > 1); /* the engine keeps it */
            blob_unref(value);
        }
        return answer(value, out_value);
    }
    if (status != STATUS_NEED && !s->is_starting) {
        store_fail(s, "read");
        return STATUS_NEED;
    }
    return status;
}

/* The overlay: true if it knows of the key, and *out_value is NULL if that row is gone. */
static bool get_overlaid(struct store *s, struct bytes key, uint64_t hash, struct blob **out_value)
{
    struct omap_item item = {0};
    struct bytes to;
    if (omap_get_hashed(&s->active, key, hash, &item) ||
        (s->drops.size > 0 && store_is_dropped(&s->drops, key, &to)) ||
        omap_get_hashed(&s->folding, key, hash, &item) ||
        (s->folding_drops.size > 0 && store_is_dropped(&s->folding_drops, key, &to))) {
        *out_value = item.value;
        return true;
    }
    return false;
}

enum status store_get(struct store *s, struct bytes key, struct blob **out_value)
{
    uint64_t hash = omap_hash(key, s->seed);
    struct blob *value = NULL;
    if (get_overlaid(s, key, hash, &value)) {
        return answer(value, out_value);
    }
    if (s->has_cache) {
        if (row_cache_get_hashed(&s->cache, key, hash, &value)) {
            s->stats.cache_hits++;
            return answer(value, out_value);
        }
        s->stats.cache_misses++;
    }
    return get_behind(s, key, out_value);
}

/* ---- figures --------------------------------------------------------------------------------- */

bool store_is_busy(const struct store *s)
{
    bool is_fold_running = s->is_folding && !s->is_fold_waiting;
    bool is_sync_running = s->is_syncing && !s->is_sync_waiting && !s->is_sync_fold;
    return is_fold_running || is_sync_running || s->jobs > 0;
}

uint64_t store_memory(const struct store *s)
{
    return omap_memory(&s->active) + omap_memory(&s->folding) + s->cache.bytes +
           s->cache.bucket_count * sizeof(void *);
}

uint64_t store_engine_memory(struct store *s)
{
    return s->engine->ops->memory(s->engine);
}

uint64_t store_disk_bytes(struct store *s)
{
    return s->engine->ops->disk_bytes(s->engine);
}
