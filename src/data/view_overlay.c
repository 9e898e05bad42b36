#include "data/view_overlay.h"

#include "base/assert.h"
#include "base/list.h"

static struct view_overlay *overlay_of(struct view *v)
{
    return container_of(v, struct view_overlay, base);
}

static struct bytes row_key(struct view_overlay *v, struct bytes key)
{
    buf_clear(&v->row_key, SIZE_MAX);
    buf_append(&v->row_key, &v->database, 1);
    buf_append_bytes(&v->row_key, key);
    return buf_bytes(&v->row_key);
}

static bool is_flushed(const struct view_overlay *v)
{
    return (v->flushed & 1u << v->database) != 0;
}

static struct object decode(const struct blob *blob)
{
    struct object object;
    enum status status = object_decode(blob_bytes(blob), &object);
    ensure(status == STATUS_OK); /* it was encoded here */
    return object;
}

static enum status overlay_get(struct view *view, struct bytes key, struct object *out_object)
{
    struct view_overlay *v = overlay_of(view);
    struct omap_item item;
    if (omap_get(&v->rows, row_key(v, key), &item)) {
        if (item.value == NULL) {
            return STATUS_NOT_FOUND;
        }
        *out_object = decode(item.value);
        return STATUS_OK;
    }
    return is_flushed(v) ? STATUS_NOT_FOUND : view_get(v->below, key, out_object);
}

/* Counts what takes the place of the key's object, either of them NULL if there is none. */
static void count_change(struct view_overlay *v,
                         const struct object *before,
                         const struct object *after)
{
    int64_t expiring_before = before != NULL && before->expires_ms != 0 ? 1 : 0;
    int64_t expiring_after = after != NULL && after->expires_ms != 0 ? 1 : 0;
    v->added[v->database].keys += (after != NULL ? 1 : 0) - (before != NULL ? 1 : 0);
    v->added[v->database].expiring += expiring_after - expiring_before;
}

static enum status overlay_delete(struct view *view, struct bytes key);

static enum status overlay_put(struct view *view, struct bytes key, const struct object *object)
{
    struct view_overlay *v = overlay_of(view);
    struct object before;
    if (object->expires_ms != 0 && object->expires_ms <= v->now_ms) {
        reached("data: a transaction puts what is due");
        enum status deleted = overlay_delete(view, key);
        return deleted == STATUS_NOT_FOUND ? STATUS_OK : deleted;
    }
    enum status status = overlay_get(view, key, &before);
    if (status != STATUS_OK && status != STATUS_NOT_FOUND) {
        return status;
    }
    count_change(v, status == STATUS_OK ? &before : NULL, object);
    struct object row = *object;
    row.version = EFFECT_VERSION;
    row.incarnation = EFFECT_VERSION;
    struct blob *blob = blob_create(object_size(&row));
    v->written_bytes += object_size(&row);
    object_encode(&row, blob->data); /* before the old one goes: it may borrow from that */
    omap_put(&v->rows, row_key(v, key), blob);
    return STATUS_OK;
}

static enum status overlay_delete(struct view *view, struct bytes key)
{
    struct view_overlay *v = overlay_of(view);
    struct object before;
    enum status status = overlay_get(view, key, &before);
    if (status == STATUS_OK) {
        count_change(v, &before, NULL);
        omap_put(&v->rows, row_key(v, key), NULL);
    }
    return status;
}

static void overlay_select(struct view *view, uint8_t database)
{
    struct view_overlay *v = overlay_of(view);
    ensure(database < LIMIT_DATABASES);
    v->database = database;
    view_select(v->below, database);
}

static void overlay_count(struct view *view, struct view_counts *out_counts)
{
    struct view_overlay *v = overlay_of(view);
    struct view_counts counts = {0};
    if (!is_flushed(v)) {
        counts = view_count(v->below);
    }
    out_counts->keys = (uint64_t)((int64_t)counts.keys + v->added[v->database].keys);
    out_counts->expiring = (uint64_t)((int64_t)counts.expiring + v->added[v->database].expiring);
}

static void overlay_flush(struct view *view)
{
    struct view_overlay *v = overlay_of(view);
    uint8_t next = (uint8_t)(v->database + 1);
    omap_remove_range(&v->rows, bytes_of(&v->database, 1), bytes_of(&next, 1));
    v->flushed |= 1u << v->database;
    v->added[v->database].keys = 0;
    v->added[v->database].expiring = 0;
}

static const struct view_ops overlay_ops = {
    .get = overlay_get,
    .range = NULL, /* commands over ranges do not run in transactions over several groups */
    .put = overlay_put,
    .delete = overlay_delete,
    .select = overlay_select,
    .count = overlay_count,
    .flush = overlay_flush,
};

void view_overlay_init(struct view_overlay *v, struct view *below)
{
    *v = (struct view_overlay){
        .base = {.ops = &overlay_ops, .slot_first = below->slot_first, .slot_end = below->slot_end},
        .below = below,
    };
    omap_init(&v->rows);
    buf_init(&v->row_key, 1 + LIMIT_KEY_BYTES);
}

void view_overlay_clear(struct view_overlay *v)
{
    omap_deinit(&v->rows);
    omap_init(&v->rows);
    v->flushed = 0;
    v->written_bytes = 0;
    memset(v->added, 0, sizeof v->added);
}

void view_overlay_deinit(struct view_overlay *v)
{
    omap_deinit(&v->rows);
    buf_deinit(&v->row_key);
}

void view_overlay_effects(const struct view_overlay *v, struct buf *out_effects)
{
    const struct omap_node *at = NULL;
    struct omap_item item;
    for (uint8_t database = 0; database < LIMIT_DATABASES; database++) {
        if ((v->flushed & 1u << database) != 0) {
            effect_append(out_effects,
                          &(struct effect){.kind = EFFECT_FLUSH, .database = database});
        }
    }
    while (omap_next(&v->rows, &at, &item)) {
        struct effect e = {
            .kind = item.value != NULL ? EFFECT_PUT : EFFECT_DELETE,
            .database = item.key.data[0],
            .key = bytes_of(item.key.data + 1, item.key.size - 1),
        };
        if (item.value != NULL) {
            e.object = decode(item.value);
        }
        effect_append(out_effects, &e);
    }
}

uint64_t view_overlay_bytes(const struct view_overlay *v)
{
    return omap_memory(&v->rows);
}
