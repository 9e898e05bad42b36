#include "txn/view_recorded.h"

#include "base/assert.h"
#include "base/list.h"
#include "data/slot.h"

static struct view_recorded *recorded_of(struct view *v)
{
    return container_of(v, struct view_recorded, base);
}

static struct bytes name_of(struct view_recorded *v, uint8_t database, struct bytes key)
{
    buf_clear(&v->name, SIZE_MAX);
    buf_append(&v->name, &database, 1);
    buf_append_bytes(&v->name, key);
    return buf_bytes(&v->name);
}

static enum status find(struct view_recorded *v,
                        uint8_t database,
                        struct bytes key,
                        struct object *out_object)
{
    struct omap_item item;
    if (!omap_get(&v->rows, name_of(v, database, key), &item)) {
        return STATUS_NEED;
    }
    if (item.value == NULL) {
        return STATUS_NOT_FOUND;
    }
    struct object object;
    enum status status = object_decode(blob_bytes(item.value), &object);
    ensure(status == STATUS_OK); /* txn_answer_read has looked at it */
    if (object.expires_ms != 0 && object.expires_ms <= v->now_ms) {
        v->has_expired = true;
        return STATUS_NOT_FOUND;
    }
    *out_object = object;
    return STATUS_OK;
}

static enum status recorded_get(struct view *view, struct bytes key, struct object *out_object)
{
    struct view_recorded *v = recorded_of(view);
    return find(v, v->database, key, out_object);
}

static void recorded_select(struct view *view, uint8_t database)
{
    recorded_of(view)->database = database;
}

static const struct view_ops recorded_ops = {
    /* Ranges, counts and flushes do not run in transactions over several groups; nobody writes. */
    .get = recorded_get,
    .select = recorded_select,
};

void view_recorded_init(struct view_recorded *v)
{
    *v = (struct view_recorded){.base = {.ops = &recorded_ops, .slot_end = SLOT_COUNT}};
    omap_init(&v->rows);
    buf_init(&v->name, 1 + LIMIT_KEY_BYTES);
}

void view_recorded_deinit(struct view_recorded *v)
{
    omap_deinit(&v->rows);
    buf_deinit(&v->name);
}

void view_recorded_begin(struct view_recorded *v, uint64_t now_ms)
{
    omap_deinit(&v->rows);
    omap_init(&v->rows);
    v->now_ms = now_ms;
    v->has_expired = false;
}

void view_recorded_add(struct view_recorded *v,
                       uint8_t database,
                       struct bytes key,
                       struct bytes row)
{
    struct blob *blob = NULL;
    if (row.size > 0) {
        blob = blob_create(row.size);
        memcpy(blob->data, row.data, row.size);
    }
    omap_put(&v->rows, name_of(v, database, key), blob);
}

uint64_t view_recorded_version(struct view_recorded *v, uint8_t database, struct bytes key)
{
    struct object object;
    enum status status = find(v, database, key, &object);
    ensure(status != STATUS_NEED);
    return status == STATUS_OK ? object.version : 0;
}
