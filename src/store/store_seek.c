/* The first row from a key on, over the overlay and the engine. */
#include "base/assert.h"
#include "base/mem.h"
#include "store/store_parts.h"

void store_seen_destroy_all(struct list *seen)
{
    struct list *link = NULL;
    while ((link = list_take_first(seen)) != NULL) {
        struct store_seen *one = container_of(link, struct store_seen, link);
        buf_deinit(&one->from);
        omap_deinit(&one->rows);
        mem_free(one);
    }
}

void store_append_end(struct buf *out, struct bytes name)
{
    while (name.size > 0 && name.data[name.size - 1] == UINT8_MAX) {
        name.size--;
    }
    if (name.size > 0) {
        buf_append_bytes(out, name);
        out->data[out->size - 1]++;
    }
}

static bool begins_with(struct bytes key, struct bytes name)
{
    return key.size >= name.size && bytes_equal(bytes_of(key.data, name.size), name);
}

/* True if what workers read in this turn says it: OK or NOT_FOUND. */
static bool seek_seen(struct store *s,
                      struct bytes from,
                      struct bytes name,
                      struct omap_item *out_item,
                      enum status *out_status)
{
    list_each(link, &s->seen) {
        struct store_seen *one = container_of(link, struct store_seen, link);
        bool is_wide = begins_with(name, bytes_of(one->from.data, one->same_bytes));
        if (!is_wide || bytes_compare(buf_bytes(&one->from), from) > 0) {
            continue;
        }
        bool is_found = omap_seek(&one->rows, from, out_item);
        if (is_found || one->is_end) {
            *out_status = is_found ? STATUS_OK : STATUS_NOT_FOUND;
            return true;
        }
    }
    return false;
}

/*
 * Keeps the row until the end of the turn. A row held already is the same, or is overlaid by what
 * was folded meanwhile; but where nothing says NEED, folded rows leave the overlay at once.
 */
static void hold(struct store *s, struct bytes key, struct blob *value, struct omap_item *out_item)
{
    if (s->has_cache && omap_get(&s->held, key, out_item)) {
        blob_unref(value);
        return;
    }
    omap_put(&s->held, key, value);
    bool is_found = omap_get(&s->held, key, out_item);
    ensure(is_found);
}

/* Before store_ready: reads it here and now. */
static enum status seek_blocking(struct store *s,
                                 struct bytes from,
                                 struct bytes name,
                                 struct omap_item *out_item)
{
    struct omap rows;
    struct omap_item item;
    struct buf to;
    bool is_end = false;
    omap_init(&rows);
    buf_init(&to, SIZE_MAX / 2);
    store_append_end(&to, name);
    enum status status =
        s->engine->ops
            ->read_range(s->engine, NULL /* now */, from, buf_bytes(&to), 1, &rows, &is_end);
    buf_deinit(&to);
    if (status == STATUS_OK) {
        if (omap_seek(&rows, from, &item)) {
            hold(s, item.key, blob_ref(item.value), out_item);
        } else {
            status = STATUS_NOT_FOUND;
        }
    }
    omap_deinit(&rows);
    return status;
}

static enum status seek_engine(struct store *s,
                               struct bytes from,
                               struct bytes name,
                               struct omap_item *out_item)
{
    enum status status = STATUS_OK;
    if (seek_seen(s, from, name, out_item, &status)) {
        return status;
    }
    struct buf key;
    struct blob *value = NULL;
    buf_init(&key, SIZE_MAX / 2);
    status = s->engine->ops->seek(s->engine, from, &key, &value);
    if (status == STATUS_OK) {
        hold(s, buf_bytes(&key), value, out_item);
    } else if (status == STATUS_NEED && s->is_starting) {
        status = seek_blocking(s, from, name, out_item);
    } else if (status == STATUS_NEED) {
        buf_clear(&s->needed, SIZE_MAX);
        buf_append_bytes(&s->needed, from);
    } else if (status != STATUS_NOT_FOUND && !s->is_starting) {
        store_fail(s, "read");
        status = STATUS_NEED;
    }
    buf_deinit(&key);
    return status;
}

/* Rows of dropped ranges are still in the engine; they are passed over. */
static enum status seek_behind(struct store *s,
                               struct bytes from,
                               struct bytes name,
                               struct omap_item *out_item)
{
    enum status status = seek_engine(s, from, name, out_item);
    while (status == STATUS_OK && (store_is_dropped(&s->drops, out_item->key, &from) ||
                                   store_is_dropped(&s->folding_drops, out_item->key, &from))) {
        status = begins_with(from, name) ? seek_engine(s, from, name, out_item) : STATUS_NOT_FOUND;
    }
    return status;
}

static bool seek_folding(struct store *s, struct bytes from, struct omap_item *out_item)
{
    bool is_found = omap_seek(&s->folding, from, out_item);
    while (is_found && store_is_dropped(&s->drops, out_item->key, &from)) {
        is_found = omap_seek(&s->folding, from, out_item);
    }
    return is_found;
}

/* The newest of three sources wins among equal keys: active, folding, engine. */
static enum status seek_once(struct store *s,
                             struct bytes from,
                             struct bytes name,
                             struct omap_item *out_item)
{
    struct omap_item best = {0};
    enum status status = seek_behind(s, from, name, &best);
    if (status != STATUS_OK && status != STATUS_NOT_FOUND) {
        return status;
    }
    bool has_best = status == STATUS_OK;
    struct omap_item item;
    if (seek_folding(s, from, &item) && (!has_best || bytes_compare(item.key, best.key) <= 0)) {
        best = item;
        has_best = true;
    }
    if (omap_seek(&s->active, from, &item) &&
        (!has_best || bytes_compare(item.key, best.key) <= 0)) {
        best = item;
        has_best = true;
    }
    if (!has_best || !begins_with(best.key, name)) {
        return STATUS_NOT_FOUND;
    }
    *out_item = best;
    return STATUS_OK;
}

enum status store_seek(struct store *s,
                       struct bytes from,
                       size_t same_bytes,
                       struct omap_item *out_item)
{
    struct omap_item item = {0};
    struct bytes name = bytes_of(from.data, same_bytes);
    ensure(same_bytes <= from.size);
    enum status status = seek_once(s, from, name, &item);
    while (status == STATUS_OK && item.value == NULL) {
        /* A deletion hides this key; the next possible key is this one and a zero byte. */
        buf_clear(&s->key, SIZE_MAX);
        buf_append_bytes(&s->key, item.key);
        buf_append(&s->key, "", 1);
        status = seek_once(s, buf_bytes(&s->key), name, &item);
    }
    if (status == STATUS_OK) {
        *out_item = item;
    }
    return status;
}
