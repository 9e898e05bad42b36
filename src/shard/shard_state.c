/* The group's state as rows: what a fold adds to them, what a start or an install takes from them.
 */
#include "base/assert.h"
#include "base/crc.h"
#include "base/endian.h"
#include "base/mem.h"
#include "shard/shard_parts.h"
#include "shard/snapshots.h"
#include "shard/state_row.h"

/* Head rows are read in pieces of this size. */
#define HEAD_BYTES (1u * MIB)
/* A row key of a generation is longer than its generation's name, and shorter than this. */
#define HEAD_KEY_BYTES_MAX 64u

/* ---- folds ----------------------------------------------------------------------------------- */

static void put_row(struct shard *s, const struct bytes *value)
{
    if (value == NULL) {
        store_delete(s->store, buf_bytes(&s->row_key));
        return;
    }
    struct blob *row = blob_create(value->size);
    memcpy(row->data, value->data, value->size);
    store_put(s->store, buf_bytes(&s->row_key), row);
}

static void put_dup_row(void *ctx, uint32_t node, uint64_t sequence, const struct bytes *value)
{
    struct shard *s = ctx;
    buf_clear(&s->row_key, SIZE_MAX);
    row_key_append_dup(&s->row_key, s->options.group, s->generation, node, sequence);
    put_row(s, value);
}

static void put_txn_row(void *ctx, const struct txn_id *id, const struct bytes *value)
{
    struct shard *s = ctx;
    buf_clear(&s->row_key, SIZE_MAX);
    row_key_append_txn(&s->row_key,
                       s->options.group,
                       s->generation,
                       id->node,
                       id->incarnation,
                       id->sequence);
    put_row(s, value);
}

static void put_group_row(struct shard *s, const struct replica_base *base)
{
    struct buf row;
    buf_init(&row, SIZE_MAX / 2);
    struct state_row state = {
        .base = *base,
        .time_ms = s->time_ms,
        .operations = s->operations,
    };
    memcpy(state.databases, s->databases, sizeof state.databases);
    state_row_encode(&row, &state);
    buf_clear(&s->row_key, SIZE_MAX);
    row_key_append_group(&s->row_key, s->options.group, s->generation);
    struct bytes value = buf_bytes(&row);
    put_row(s, &value);
    buf_deinit(&row);
}

void shard_fold_starts(struct shard *s, bool is_sync)
{
    struct replica_base base;
    if (!s->is_restored) {
        return; /* a fold during replay, before this group's first record */
    }
    replica_base(s->replica, &base);
    ensure(base.index >= s->saved_index);
    if (base.index > s->saved_index) {
        dup_save(s->dup, put_dup_row, s);
        participant_save(s->participant, put_txn_row, s);
        put_group_row(s, &base);
        s->saved_index = base.index;
    }
    s->fold_index = base.index;
    if (is_sync) {
        s->sync_index = base.index;
    }
}

void shard_folded(struct shard *s)
{
    if (s->fold_index > 0) {
        replica_folded(s->replica, s->fold_index);
    }
}

void shard_synced(struct shard *s)
{
    if (s->sync_index > 0) {
        replica_synced(s->replica, s->sync_index);
    }
}

/* ---- restoring ------------------------------------------------------------------------------- */

/* What the rows of one generation say. */
struct restoring {
    bool is_install; /* from a snapshot, not from the store at start */
    bool has_rows;
    struct state_row row; /* base.index 0: there are no rows */
    struct dup *dup;
    struct participant *participant;
};

/* In the order of their keys: the duplicate table, transactions, then the group's, the last one. */
static enum status load_row(struct restoring *to, struct omap_item row)
{
    struct bytes value = blob_bytes(row.value);
    uint32_t node = 0;
    uint64_t sequence = 0;
    struct txn_id id;
    to->has_rows = true;
    if (to->row.base.index > 0) {
        return STATUS_CORRUPT; /* a head row of another kind */
    }
    if (row_key_decode_dup(row.key, &node, &sequence) == STATUS_OK) {
        return dup_load(to->dup, node, sequence, value);
    }
    if (row_key_decode_txn(row.key, &id.node, &id.incarnation, &id.sequence) == STATUS_OK) {
        return participant_load(to->participant, &id, value);
    }
    if (row.key.size != ROW_GENERATION_BYTES + 1 ||
        row.key.data[ROW_GENERATION_BYTES] != ROW_KIND_GROUP) {
        return STATUS_CORRUPT;
    }
    return state_row_decode(value, &to->row);
}

static enum status load_rows(struct restoring *to, const struct omap *rows)
{
    struct buf from;
    struct omap_item row;
    enum status status = STATUS_OK;
    buf_init(&from, HEAD_KEY_BYTES_MAX);
    while (status == STATUS_OK && omap_seek(rows, buf_bytes(&from), &row)) {
        status = row.key.size < HEAD_KEY_BYTES_MAX ? load_row(to, row) : STATUS_CORRUPT;
        if (status == STATUS_OK) {
            buf_clear(&from, SIZE_MAX);
            buf_append_bytes(&from, row.key);
            buf_append(&from, "", 1); /* the next possible key */
        }
    }
    buf_deinit(&from);
    return status;
}

/* At start: from the store, blocking. */
static enum status read_rows(struct shard *s, uint32_t generation, struct restoring *to)
{
    struct store_range range = {0};
    store_range_init(&range);
    range.bytes_max = HEAD_BYTES;
    row_key_append_generation(&range.from, s->options.group, generation);
    row_key_append_head_end(&range.to, s->options.group, generation);
    enum status status = STATUS_OK;
    do {
        status = store_range_now(s->store, &range);
        if (status == STATUS_OK) {
            status = load_rows(to, &range.rows);
        }
    } while (status == STATUS_OK && !range.is_end);
    store_range_deinit(&range);
    return status;
}

static enum status find_rows(struct shard *s, uint32_t generation, struct restoring *to)
{
    const struct omap *staged = NULL;
    if (s->options.snapshots != NULL) {
        staged = snapshots_take(s->options.snapshots, s->options.group, generation);
    }
    to->is_install = staged != NULL;
    enum status status = to->is_install ? load_rows(to, staged) : read_rows(s, generation, to);
    if (status == STATUS_OK) {
        status = dup_loaded(to->dup);
    }
    /* Rows without the one that says how far they go are nobody's state. */
    bool is_whole = to->row.base.index > 0 || (!to->has_rows && !to->is_install);
    return status == STATUS_OK && !is_whole ? STATUS_CORRUPT : status;
}

/* Rows of generations first … last of the group go with the next fold. */
static void drop_generations(struct shard *s, uint32_t first, uint32_t last)
{
    struct buf from;
    struct buf to;
    buf_init(&from, HEAD_KEY_BYTES_MAX);
    buf_init(&to, HEAD_KEY_BYTES_MAX);
    row_key_append_generation(&from, s->options.group, first);
    if (last < UINT32_MAX) {
        row_key_append_generation(&to, s->options.group, last + 1);
    } else {
        row_key_append_generation(&to, (uint16_t)(s->options.group + 1), 0);
    }
    store_drop(s->store, buf_bytes(&from), buf_bytes(&to));
    buf_deinit(&from);
    buf_deinit(&to);
}

/* Nobody waits: an install comes to a replica that follows, and has told so. */
static void check_idle(const struct shard *s)
{
    ensure(list_is_empty(&s->gathered));
    ensure(list_is_empty(&s->proposed));
    ensure(list_is_empty(&s->reads));
    ensure(list_is_empty(&s->hold.writes) && list_is_empty(&s->hold.reads));
}

static enum status refuse_rows(const struct shard *s,
                               uint32_t generation,
                               enum status status,
                               struct error *error)
{
    const char *hint = s->store->options.damage_hint;
    if (status == STATUS_UNSUPPORTED) {
        hint = "another version wrote them: most likely a newer one, so upgrade this node";
    }
    return error_set(error,
                     status,
                     "group %u: rows of generation %u: %s; %s",
                     (unsigned)s->options.group,
                     (unsigned)generation,
                     status_text(status),
                     hint != NULL ? hint : "its store is damaged");
}

enum status shard_restore(void *owner,
                          uint32_t generation,
                          struct replica_base *out_base,
                          struct error *error)
{
    struct shard *s = owner;
    check_idle(s);
    struct restoring to = {.dup = dup_create(), .participant = participant_create()};
    enum status status = find_rows(s, generation, &to);
    if (status != STATUS_OK) {
        dup_destroy(to.dup);
        participant_destroy(to.participant);
        return refuse_rows(s, generation, status, error);
    }
    if ((s->is_restored || to.is_install) && generation > s->generation) {
        reached("shard: another generation takes over");
        drop_generations(s, s->generation, s->generation);
    }
    dup_destroy(s->dup);
    s->dup = to.dup;
    participant_destroy(s->participant);
    s->participant = to.participant;
    s->apply_view.participant = s->participant;
    s->read_view.participant = s->participant;
    omap_deinit(&s->prepared_since);
    omap_init(&s->prepared_since);
    shard_hold_update(s);
    s->time_ms = to.row.time_ms;
    s->operations = to.row.operations;
    for (size_t i = 0; i < VIEW_LOCAL_BUCKETS; i++) {
        s->deleted_at[i] = s->operations; /* what was deleted before, or when, is not known */
    }
    memcpy(s->databases, to.row.databases, sizeof s->databases);
    s->generation = generation;
    s->is_restored = true;
    s->saved_index = to.row.base.index;
    s->fold_index = 0; /* what is on its way to the disk is about rows of before */
    s->sync_index = 0;
    s->missed_index = 0;
    *out_base = to.row.base;
    return STATUS_OK;
}

/* ---- leftovers ------------------------------------------------------------------------------- */

/* Are there rows of generations first … last? */
static enum status has_rows(struct shard *s, uint32_t first, uint32_t last, bool *out_has)
{
    struct omap_item row;
    buf_clear(&s->row_key, SIZE_MAX);
    row_key_append_generation(&s->row_key, s->options.group, first);
    enum status status = store_seek(s->store, buf_bytes(&s->row_key), ROW_GROUP_BYTES, &row);
    *out_has = status == STATUS_OK && row.key.size >= ROW_GENERATION_BYTES &&
               get_u32_be(row.key.data + ROW_GROUP_BYTES) <= last;
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static enum status drop_if_any(struct shard *s, uint32_t first, uint32_t last)
{
    bool is_any = false;
    enum status status = has_rows(s, first, last, &is_any);
    if (status == STATUS_OK && is_any) {
        reached("shard: leftovers of another generation dropped");
        drop_generations(s, first, last);
    }
    return status;
}

enum status shard_drop_leftovers(struct shard *s)
{
    enum status status = STATUS_OK;
    if (s->generation > 0) {
        status = drop_if_any(s, 0, s->generation - 1);
    }
    if (status == STATUS_OK && s->generation < UINT32_MAX) {
        status = drop_if_any(s, s->generation + 1, UINT32_MAX);
    }
    return status;
}

/* ---- facts ----------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t hash, uint64_t value)
{
    /* The finalizer of SplitMix64. */
    hash ^= value + 0x9e3779b97f4a7c15u;
    hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9u;
    hash = (hash ^ (hash >> 27)) * 0x94d049bb133111ebu;
    return hash ^ (hash >> 31);
}

static uint64_t mix_bytes(uint64_t hash, struct bytes bytes)
{
    return mix(hash, ((uint64_t)bytes.size << 32) | crc32c(0, bytes.data, bytes.size));
}

static uint64_t hash_rows(const struct shard *s, uint64_t hash, enum status *out_status)
{
    struct buf name; /* group and generation */
    struct buf from;
    buf_init(&name, HEAD_KEY_BYTES_MAX);
    buf_init(&from, SIZE_MAX / 2);
    row_key_append_generation(&name, s->options.group, s->generation);
    row_key_append_head_end(&from, s->options.group, s->generation);
    struct omap_item row;
    while ((*out_status = store_seek(s->store, buf_bytes(&from), ROW_GENERATION_BYTES, &row)) ==
           STATUS_OK) {
        struct bytes rest = bytes_of(row.key.data + name.size, row.key.size - name.size);
        hash = mix_bytes(mix_bytes(hash, rest), blob_bytes(row.value));
        buf_clear(&from, SIZE_MAX);
        buf_append_bytes(&from, row.key);
        buf_append(&from, "", 1); /* the next possible key */
    }
    buf_deinit(&name);
    buf_deinit(&from);
    return hash;
}

uint64_t shard_hash(const struct shard *s)
{
    enum status status = STATUS_OK;
    bool was_starting = s->store->is_starting;
    s->store->is_starting = true; /* it may block, and damage is not met by serving anybody */
    uint64_t hash = mix(mix(s->time_ms, s->operations), dup_hash(s->dup));
    hash = mix(hash, participant_hash(s->participant));
    for (unsigned i = 0; i < LIMIT_DATABASES; i++) {
        const struct database *d = &s->databases[i];
        hash = mix(mix(mix(hash, d->epoch), d->keys), d->expiring);
    }
    hash = hash_rows(s, hash, &status);
    s->store->is_starting = was_starting;
    return status == STATUS_OK || status == STATUS_NOT_FOUND ? hash : 0;
}

struct view_counts shard_counts(const struct shard *s, uint8_t database)
{
    ensure(database < LIMIT_DATABASES);
    const struct database *d = &s->databases[database];
    return (struct view_counts){.keys = d->keys, .expiring = d->expiring};
}

bool shard_peek(struct shard *s, uint8_t database, struct bytes key, struct buf *out_value)
{
    struct view_local *v = &s->read_view;
    struct keyspace space = shard_space(s, database);
    view_local_begin(v, &space, s->time_ms, 0);
    struct object object;
    enum status status = view_get(&v->base, key, &object);
    if (status == STATUS_NEED && v->damage != STATUS_OK) {
        shard_halt_damaged(s, v->damage);
    } else if (status == STATUS_NEED && !v->is_locked) {
        shard_fetch_row(s, buf_bytes(&v->row_key));
    } else if (status == STATUS_OK) {
        buf_append_bytes(out_value, object.value);
    }
    return status == STATUS_OK;
}
