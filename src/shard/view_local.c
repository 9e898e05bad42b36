#include "shard/view_local.h"

#include "base/assert.h"
#include "base/limits.h"

/* An escaped key at most doubles. */
#define ROW_KEY_BYTES_MAX (ROW_KEY_PREFIX_BYTES + 2u * LIMIT_KEY_BYTES + 2u)

static struct view_local *local_of(struct view *v)
{
    return container_of(v, struct view_local, base);
}

static struct bytes row_key_of(struct view_local *v, struct bytes key)
{
    buf_clear(&v->row_key, SIZE_MAX);
    row_key_append(&v->row_key, &v->space, key);
    return buf_bytes(&v->row_key);
}

static bool is_expired(const struct object *o, uint64_t now_ms)
{
    return o->expires_ms != 0 && o->expires_ms <= now_ms;
}

/* The store has checked its bytes: one that is no object was not written by this program. */
static enum status damaged(struct view_local *v, enum status status)
{
    v->damage = status;
    return STATUS_NEED;
}

static enum status decode(struct view_local *v, const struct blob *row, struct object *out_object)
{
    enum status s = object_decode(blob_bytes(row), out_object);
    return s == STATUS_OK ? s : damaged(v, s);
}

/* Row of a key, expired or not; leaves its row key in v->row_key. */
static enum status find(struct view_local *v, struct bytes key, struct object *out_object)
{
    struct bytes row_key = row_key_of(v, key);
    if (!v->is_known || !bytes_equal(row_key, buf_bytes(&v->known_key))) {
        v->known_status = store_get(v->store, row_key, &v->known_row);
        v->is_known = true;
        buf_clear(&v->known_key, SIZE_MAX);
        buf_append_bytes(&v->known_key, row_key);
    }
    if (v->known_status == STATUS_OK) {
        return decode(v, v->known_row, out_object);
    }
    bool is_plain = v->known_status == STATUS_NOT_FOUND || v->known_status == STATUS_NEED;
    return is_plain ? v->known_status : damaged(v, v->known_status);
}

static void change(struct view_local *v, struct blob *row)
{
    v->is_known = false;
    if (row != NULL) {
        store_put(v->store, buf_bytes(&v->row_key), row);
    } else {
        store_delete(v->store, buf_bytes(&v->row_key));
    }
}

static enum status local_get(struct view *view, struct bytes key, struct object *out_object)
{
    struct view_local *v = local_of(view);
    struct object object;
    enum status s = find(v, key, &object);
    if (s != STATUS_OK) {
        return s;
    }
    if (is_expired(&object, v->now_ms)) {
        if (v->operations != NULL) {
            /* All replicas come here with the same entry and time: the deletion is part of it. */
            reached("shard: expired key deleted");
            (*v->operations)++;
            (*v->expired)++;
            change(v, NULL);
        }
        return STATUS_NOT_FOUND;
    }
    if (v->operations == NULL && is_expired(&object, v->wall_ms)) {
        v->is_due = true;
        buf_clear(&v->due_key, SIZE_MAX);
        buf_append_bytes(&v->due_key, key);
        return STATUS_NEED;
    }
    *out_object = object;
    return STATUS_OK;
}

static enum status local_put(struct view *view, struct bytes key, const struct object *object)
{
    struct view_local *v = local_of(view);
    ensure(v->operations != NULL);
    struct object old;
    enum status s = find(v, key, &old);
    if (s != STATUS_OK && s != STATUS_NOT_FOUND) {
        return s;
    }
    bool is_there = s == STATUS_OK && !is_expired(&old, v->now_ms);
    struct object row = *object;
    row.version = ++*v->operations;
    row.incarnation = is_there ? old.incarnation : row.version;
    struct blob *blob = blob_create(object_size(&row));
    object_encode(&row, blob->data);
    change(v, blob);
    return STATUS_OK;
}

static enum status local_delete(struct view *view, struct bytes key)
{
    struct view_local *v = local_of(view);
    ensure(v->operations != NULL);
    struct object old;
    enum status s = local_get(view, key, &old);
    if (s == STATUS_OK) {
        (*v->operations)++;
        change(v, NULL);
    }
    return s;
}

/* Group, generation, kind, database, epoch: what all rows of a keyspace begin with. */
#define KEYSPACE_BYTES (ROW_KEY_PREFIX_BYTES - 6u)

static bool is_ours(struct bytes row_key, const uint8_t prefix[KEYSPACE_BYTES])
{
    return row_key.size >= KEYSPACE_BYTES && memcmp(row_key.data, prefix, KEYSPACE_BYTES) == 0;
}

/* The row at or behind v->row_key, which then names the one behind it. NOT_FOUND: no more. */
static enum status next_row(struct view_local *v, struct buf *key, struct object *out_object)
{
    uint8_t prefix[KEYSPACE_BYTES];
    struct omap_item item;
    memcpy(prefix, v->row_key.data, KEYSPACE_BYTES);
    enum status s = store_seek(v->store, buf_bytes(&v->row_key), &item);
    if (s != STATUS_OK) {
        v->is_range = s == STATUS_NEED;
        return s == STATUS_NOT_FOUND || s == STATUS_NEED ? s : damaged(v, s);
    }
    if (!is_ours(item.key, prefix)) {
        return STATUS_NOT_FOUND;
    }
    struct keyspace space;
    buf_clear(key, SIZE_MAX);
    if (row_key_decode(item.key, &space, key) != STATUS_OK) {
        return damaged(v, STATUS_CORRUPT);
    }
    s = decode(v, item.value, out_object);
    buf_clear(&v->row_key, SIZE_MAX);
    buf_append_bytes(&v->row_key, item.key);
    buf_append(&v->row_key, "", 1); /* the next possible row */
    return s;
}

static enum status local_range(struct view *view,
                               uint16_t slot,
                               uint32_t hash,
                               view_range_fn fn,
                               void *ctx)
{
    struct view_local *v = local_of(view);
    struct buf key;
    buf_init(&key, ROW_KEY_BYTES_MAX);
    buf_clear(&v->row_key, SIZE_MAX);
    row_key_append_prefix(&v->row_key, &v->space, slot, hash);
    enum status s = STATUS_OK;
    for (bool go_on = true; go_on;) {
        struct object object;
        s = next_row(v, &key, &object);
        if (s != STATUS_OK) {
            break;
        }
        if (!is_expired(&object, v->now_ms)) {
            go_on = fn(ctx, buf_bytes(&key), &object);
        }
    }
    buf_deinit(&key);
    return s == STATUS_NOT_FOUND ? STATUS_OK : s;
}

static const struct view_ops local_ops = {
    .get = local_get,
    .range = local_range,
    .put = local_put,
    .delete = local_delete,
};

void view_local_init(struct view_local *v, struct store *store)
{
    *v = (struct view_local){.base.ops = &local_ops, .store = store};
    buf_init(&v->due_key, LIMIT_KEY_BYTES);
    buf_init(&v->known_key, ROW_KEY_BYTES_MAX);
    buf_init(&v->row_key, ROW_KEY_BYTES_MAX + 1);
}

void view_local_begin(struct view_local *v,
                      const struct keyspace *space,
                      uint64_t now_ms,
                      uint64_t wall_ms)
{
    v->space = *space;
    v->now_ms = now_ms;
    v->wall_ms = wall_ms;
    v->is_due = false;
    v->is_known = false;
    v->is_range = false;
    v->damage = STATUS_OK;
}

void view_local_deinit(struct view_local *v)
{
    buf_deinit(&v->due_key);
    buf_deinit(&v->known_key);
    buf_deinit(&v->row_key);
}
