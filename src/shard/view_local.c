#include "shard/view_local.h"

#include "base/assert.h"

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
    if (v->known_status == STATUS_NEED && (v->flushed & 1u << v->space.database) != 0) {
        reached("shard: look-up behind a flush in the same entry");
        return STATUS_NOT_FOUND;
    }
    bool is_plain = v->known_status == STATUS_NOT_FOUND || v->known_status == STATUS_NEED;
    return is_plain ? v->known_status : damaged(v, v->known_status);
}

/* ---- changes --------------------------------------------------------------------------------- */

/* The key's row in the expiry index, if it has one. */
static void index_remove(struct view_local *v, struct bytes key, uint64_t expires_ms)
{
    if (expires_ms != 0) {
        buf_clear(&v->index_key, SIZE_MAX);
        row_key_append_expiry(&v->index_key, &v->space, expires_ms, key);
        store_delete(v->store, buf_bytes(&v->index_key));
    }
}

static void index_add(struct view_local *v, struct bytes key, uint64_t expires_ms)
{
    if (expires_ms != 0) {
        struct database *d = &v->databases[v->space.database];
        if (expires_ms <= d->soonest_ms) {
            d->soonest_ms = expires_ms;
            d->soonest_slot = 0;
            d->soonest_hash = 0;
        }
        buf_clear(&v->index_key, SIZE_MAX);
        row_key_append_expiry(&v->index_key, &v->space, expires_ms, key);
        store_put(v->store, buf_bytes(&v->index_key), blob_create(0));
    }
}

/* old: the row that is there, expired or not; NULL: none. */
static void put_row(struct view_local *v,
                    struct bytes key,
                    const struct object *old,
                    const struct object *new)
{
    struct database *d = &v->databases[v->space.database];
    uint64_t old_ms = old != NULL ? old->expires_ms : 0;
    d->keys += old == NULL ? 1 : 0;
    d->expiring += new->expires_ms != 0 ? 1 : 0;
    d->expiring -= old_ms != 0 ? 1 : 0;
    if (old_ms != new->expires_ms) {
        index_remove(v, key, old_ms);
        index_add(v, key, new->expires_ms);
    }
    struct blob *blob = blob_create(object_size(new));
    object_encode(new, blob->data);
    v->is_known = false;
    store_put(v->store, buf_bytes(&v->row_key), blob);
}

static void delete_row(struct view_local *v, struct bytes key, const struct object *old)
{
    struct database *d = &v->databases[v->space.database];
    ensure(d->keys > 0 && (old->expires_ms == 0 || d->expiring > 0));
    d->keys--;
    d->expiring -= old->expires_ms != 0 ? 1 : 0;
    index_remove(v, key, old->expires_ms);
    v->is_known = false;
    store_delete(v->store, buf_bytes(&v->row_key));
    v->deleted_at[view_local_bucket(key)] = *v->operations;
}

/* ---- keys ------------------------------------------------------------------------------------ */

uint32_t view_local_bucket(struct bytes key)
{
    return row_key_hash(key) % VIEW_LOCAL_BUCKETS;
}

/* For a read: by the clock, but not by group time. */
static bool is_due(const struct view_local *v, const struct object *o)
{
    return v->operations == NULL && is_expired(o, v->wall_ms);
}

static bool is_locked(const struct view_local *v, struct bytes key)
{
    struct txn_id holder;
    bool is_exclusive = false;
    return v->participant != NULL &&
           participant_lock(v->participant, v->space.database, key, &holder, &is_exclusive);
}

/* Its time has come, but somebody who saw it is still undecided. */
static enum status meet_locked(struct view_local *v)
{
    if (v->operations != NULL) {
        reached("shard: an expired key is locked, and stays");
        return STATUS_NOT_FOUND; /* only EXPIREDUE comes here: it leaves it alone */
    }
    reached("shard: read of an expired key that is locked");
    v->is_locked = true;
    return STATUS_NEED;
}

static enum status need_expiry(struct view_local *v, struct bytes key)
{
    v->is_due = true;
    buf_clear(&v->due_key, SIZE_MAX);
    buf_append_bytes(&v->due_key, key);
    return STATUS_NEED;
}

static enum status local_get(struct view *view, struct bytes key, struct object *out_object)
{
    struct view_local *v = local_of(view);
    struct object object;
    enum status s = find(v, key, &object);
    if (s != STATUS_OK) {
        return s;
    }
    bool has_expired = is_expired(&object, v->now_ms);
    if ((has_expired || is_due(v, &object)) && is_locked(v, key)) {
        return meet_locked(v);
    }
    if (has_expired) {
        if (v->operations != NULL) {
            /* All replicas come here with the same entry and time: the deletion is part of it. */
            reached("shard: expired key deleted");
            (*v->operations)++;
            (*v->expired)++;
            delete_row(v, key, &object);
        }
        return STATUS_NOT_FOUND;
    }
    if (is_due(v, &object)) {
        return need_expiry(v, key);
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
    put_row(v, key, s == STATUS_OK ? &old : NULL, &row);
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
        delete_row(v, key, &old);
    }
    return s;
}

/* ---- ranges ---------------------------------------------------------------------------------- */

/* The row at or behind v->row_key, which then names the one behind it. NOT_FOUND: no more. */
static enum status next_row(struct view_local *v, struct buf *key, struct object *out_object)
{
    struct omap_item item;
    enum status s = store_seek(v->store, buf_bytes(&v->row_key), ROW_KEY_SPACE_BYTES, &item);
    if (s != STATUS_OK) {
        v->is_range = s == STATUS_NEED;
        return s == STATUS_NOT_FOUND || s == STATUS_NEED ? s : damaged(v, s);
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
    buf_clear(&v->range_key, SIZE_MAX);
    buf_append_bytes(&v->range_key, buf_bytes(&v->row_key));
    enum status s = STATUS_OK;
    for (bool go_on = true; go_on;) {
        struct object object;
        s = next_row(v, &key, &object);
        if (s != STATUS_OK) {
            break;
        }
        bool is_gone = is_expired(&object, v->now_ms);
        if (!is_gone && is_due(v, &object) && !is_locked(v, buf_bytes(&key))) {
            s = need_expiry(v, buf_bytes(&key));
            break;
        }
        go_on = fn(ctx, buf_bytes(&key), is_gone ? NULL : &object);
    }
    buf_deinit(&key);
    return s == STATUS_NOT_FOUND ? STATUS_OK : s;
}

/* ---- whole databases ------------------------------------------------------------------------- */

static void local_select(struct view *view, uint8_t database)
{
    struct view_local *v = local_of(view);
    ensure(database < LIMIT_DATABASES);
    v->space.database = database;
    v->space.epoch = v->databases[database].epoch;
}

static void local_count(struct view *view, struct view_counts *out_counts)
{
    struct view_local *v = local_of(view);
    const struct database *d = &v->databases[v->space.database];
    *out_counts = (struct view_counts){.keys = d->keys, .expiring = d->expiring};
}

/* All rows of that kind of the keyspace. */
static void drop_rows(struct view_local *v, enum row_kind kind)
{
    struct keyspace next = v->space;
    next.epoch++;
    buf_clear(&v->row_key, SIZE_MAX);
    buf_clear(&v->index_key, SIZE_MAX);
    row_key_append_space(&v->row_key, &v->space, kind);
    row_key_append_space(&v->index_key, &next, kind);
    store_drop(v->store, buf_bytes(&v->row_key), buf_bytes(&v->index_key));
}

/*
 * The rows that were are of an epoch nobody asks for again. A database without rows has nothing to
 * drop: what is dropped must be looked at by every read until the next fold.
 */
static void local_flush(struct view *view)
{
    struct view_local *v = local_of(view);
    ensure(v->operations != NULL);
    struct database *d = &v->databases[v->space.database];
    if (d->keys == 0) {
        return;
    }
    ensure(v->space.epoch == d->epoch && d->epoch < UINT32_MAX);
    drop_rows(v, ROW_KIND_OBJECT);
    if (d->expiring > 0) {
        drop_rows(v, ROW_KIND_EXPIRY);
    }
    store_fold_soon(v->store);
    *d = (struct database){.epoch = d->epoch + 1, .soonest_ms = UINT64_MAX};
    v->space.epoch = d->epoch;
    v->flushed |= 1u << v->space.database;
    v->is_known = false;
    (*v->operations)++;
    for (size_t i = 0; i < VIEW_LOCAL_BUCKETS; i++) {
        v->deleted_at[i] = *v->operations;
    }
}

static const struct view_ops local_ops = {
    .get = local_get,
    .range = local_range,
    .put = local_put,
    .delete = local_delete,
    .select = local_select,
    .count = local_count,
    .flush = local_flush,
};

void view_local_init(struct view_local *v, struct store *store, struct database *databases)
{
    *v = (struct view_local){.base.ops = &local_ops, .store = store, .databases = databases};
    buf_init(&v->due_key, LIMIT_KEY_BYTES);
    buf_init(&v->known_key, ROW_KEY_BYTES_MAX);
    buf_init(&v->row_key, ROW_KEY_BYTES_MAX + 1);
    buf_init(&v->range_key, ROW_KEY_PREFIX_BYTES);
    buf_init(&v->index_key, ROW_KEY_BYTES_MAX);
}

void view_local_begin_entry(struct view_local *v)
{
    v->flushed = 0;
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
    v->is_locked = false;
    v->is_known = false;
    v->is_range = false;
    v->damage = STATUS_OK;
}

enum status view_local_has_expired(struct view_local *v, struct bytes key, bool *out_has)
{
    struct object object;
    enum status s = find(v, key, &object);
    *out_has = s == STATUS_OK && is_expired(&object, v->now_ms);
    return s == STATUS_NOT_FOUND ? STATUS_OK : s;
}

uint64_t view_local_expired_version(struct view_local *v, struct bytes key)
{
    struct object object;
    return find(v, key, &object) == STATUS_OK ? object.version : 0;
}

void view_local_deinit(struct view_local *v)
{
    buf_deinit(&v->due_key);
    buf_deinit(&v->known_key);
    buf_deinit(&v->row_key);
    buf_deinit(&v->range_key);
    buf_deinit(&v->index_key);
}
