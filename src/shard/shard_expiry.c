/*
 * Active expiry: the leader looks for keys that are due and has the log end them, so that keys
 * nobody asks for do not stay. It decides nothing (ORD-5): the entry carries the time, and each key
 * is looked at when it applies.
 */
#include "base/assert.h"
#include "base/mem.h"
#include "data/slot.h"
#include "shard/shard_parts.h"

/* Keys found due in one look, as one EXPIREDUE. */
struct due {
    struct buf keys; /* one behind the other */
    size_t ends[SHARD_EXPIRY_KEYS];
    size_t count;
};

/* ---- one row of the index -------------------------------------------------------------------- */

#ifdef DOUGONG_SLOW_CHECKS
/* The object is there, with that expiry; or its row is not at hand. */
static bool fits_object(struct shard *s,
                        const struct keyspace *space,
                        struct bytes key,
                        uint64_t expires_ms)
{
    struct blob *row = NULL;
    struct object object;
    buf_clear(&s->row_key, SIZE_MAX);
    row_key_append(&s->row_key, space, key);
    enum status status = store_get(s->store, buf_bytes(&s->row_key), &row);
    return status == STATUS_NEED ||
           (status == STATUS_OK && object_decode(blob_bytes(row), &object) == STATUS_OK &&
            object.expires_ms == expires_ms);
}
#endif

/*
 * The row at or behind `from`, which then names the next possible one; appends its key to out_key.
 * NOT_FOUND: there is none in the keyspace. NEED: not at hand.
 */
static enum status next_row(struct shard *s,
                            const struct keyspace *space,
                            struct buf *from,
                            uint64_t *out_expires_ms,
                            struct buf *out_key)
{
    struct omap_item item;
    struct keyspace found;
    enum status status = store_seek(s->store, buf_bytes(from), ROW_KEY_SPACE_BYTES, &item);
    if (status != STATUS_OK) {
        return status;
    }
    size_t at = out_key->size;
    status = row_key_decode_expiry(item.key, &found, out_expires_ms, out_key);
    if (status != STATUS_OK) {
        return STATUS_CORRUPT;
    }
    buf_clear(from, SIZE_MAX);
    buf_append_bytes(from, item.key);
    buf_append(from, "", 1);
    ensure_slow(
        fits_object(s, space, bytes_of(out_key->data + at, out_key->size - at), *out_expires_ms));
    (void)space;
    (void)at;
    return STATUS_OK;
}

/* Somebody holds a lock on it: it stays until that one is decided. */
static bool is_locked(const struct shard *s, uint8_t database, struct bytes key)
{
    struct txn_id holder;
    bool is_exclusive = false;
    return participant_prepared_count(s->participant) > 0 &&
           participant_lock(s->participant, database, key, &holder, &is_exclusive);
}

/* ---- one database ---------------------------------------------------------------------------- */

/* Nothing is before the row that was found first; key: of that row, if there is one. */
static void set_soonest(struct database *d, uint64_t expires_ms, struct bytes key)
{
    d->soonest_ms = expires_ms;
    d->soonest_slot = expires_ms != UINT64_MAX ? slot_of_key(key) : 0;
    d->soonest_hash = expires_ms != UINT64_MAX ? row_key_hash(key) : 0;
}

/* Applying takes about as long again. A disturbed loop is a leader that falls silent. */
static bool is_late(const struct shard *s, uint64_t since_us)
{
    uint64_t look_us = s->options.expiry_look_us;
    return look_us > 0 && env_now_us(s->env) - since_us >= look_us;
}

/* Adds keys until one is not due, a limit is met (OK) or a row is not at hand (NEED). */
static enum status find_due(struct shard *s,
                            const struct keyspace *space,
                            uint64_t now_ms,
                            struct buf *from,
                            struct due *due)
{
    struct database *d = &s->databases[space->database];
    bool is_first = true;
    uint64_t since_us = env_now_us(s->env);
    while (due->count < SHARD_EXPIRY_KEYS && due->keys.size < SHARD_EXPIRY_BYTES &&
           (due->count == 0 || !is_late(s, since_us))) {
        uint64_t expires_ms = UINT64_MAX;
        size_t before = due->keys.size;
        enum status status = next_row(s, space, from, &expires_ms, &due->keys);
        if (status != STATUS_OK && status != STATUS_NOT_FOUND) {
            return status;
        }
        if (is_first) {
            set_soonest(d, expires_ms, buf_bytes(&due->keys));
            is_first = false;
        }
        if (status == STATUS_NOT_FOUND || expires_ms > now_ms) {
            due->keys.size = before;
            return STATUS_OK;
        }
        struct bytes key = bytes_of(due->keys.data + before, due->keys.size - before);
        if (is_locked(s, space->database, key)) {
            reached("shard: a key that is due is locked");
            due->keys.size = before;
            continue;
        }
        due->ends[due->count++] = due->keys.size;
    }
    reached("shard: more keys due than one look takes");
    return STATUS_OK;
}

static void propose_due(struct shard *s, uint8_t database, const struct due *due)
{
    struct bytes *keys = mem_alloc(due->count * sizeof keys[0]);
    for (size_t i = 0; i < due->count; i++) {
        size_t at = i > 0 ? due->ends[i - 1] : 0;
        keys[i] = bytes_of(due->keys.data + at, due->ends[i] - at);
    }
    s->expiry_proposal = shard_gather_expiry(s, database, keys, due->count);
    mem_free(keys);
}

/* NEED: the row that `from` names must be read first, and nothing was found. */
static enum status expire_database(struct shard *s, uint8_t database, struct buf *from)
{
    struct keyspace space = shard_space(s, database);
    const struct database *d = &s->databases[database];
    uint64_t wall_ms = env_wall_ms(s->env);
    uint64_t now_ms = wall_ms > s->time_ms ? wall_ms : s->time_ms;
    if (d->expiring == 0 || d->soonest_ms > now_ms) {
        return STATUS_OK;
    }
    struct due *due = mem_alloc_zero(sizeof *due);
    buf_init(&due->keys, SHARD_EXPIRY_BYTES + 2u * LIMIT_KEY_BYTES);
    (void)buf_reserve(&due->keys, 1); /* the empty key has an address, too */
    buf_clear(from, SIZE_MAX);
    row_key_append_expiry_from(from, &space, d->soonest_ms, d->soonest_slot, d->soonest_hash);
    enum status status = find_due(s, &space, now_ms, from, due);
    if (due->count > 0) {
        reached("shard: keys due that nobody asked for");
        propose_due(s, database, due);
        status = status == STATUS_NEED ? STATUS_OK : status;
    }
    buf_deinit(&due->keys);
    mem_free(due);
    return status;
}

/* ---- time ------------------------------------------------------------------------------------ */

static bool has_expiring(const struct shard *s)
{
    for (unsigned i = 0; i < LIMIT_DATABASES; i++) {
        if (s->databases[i].expiring > 0) {
            return true;
        }
    }
    return false;
}

static bool may_expire(const struct shard *s)
{
    return *s->options.is_expiring && replica_is_leader(s->replica) && !s->env->is_halted &&
           !s->is_expiry_fetching && s->expiry_proposal <= s->proposal_applied &&
           !shard_is_out_of_space(s);
}

/* One database a time finds something; each has its turn at being the first. */
static void expire(struct shard *s, bool may_fetch)
{
    struct buf from;
    buf_init(&from, ROW_KEY_BYTES_MAX + 1);
    for (unsigned i = 0; i < LIMIT_DATABASES && may_expire(s); i++) {
        uint8_t database = (uint8_t)((s->expiry_database + i) % LIMIT_DATABASES);
        enum status status = expire_database(s, database, &from);
        if (status == STATUS_NEED && may_fetch && !s->env->is_halted) {
            s->is_expiry_fetching = true;
            shard_fetch_expiry(s, buf_bytes(&from));
        } else if (status != STATUS_OK && status != STATUS_NEED) {
            shard_halt_damaged(s, status);
        }
    }
    buf_deinit(&from);
}

void shard_expiry_fetched(struct shard *s)
{
    s->is_expiry_fetching = false;
    if (may_expire(s)) {
        expire(s, false); /* what it lacks now is for the next time */
    }
}

static void on_tick(struct env_timer *timer)
{
    struct shard *s = container_of(timer, struct shard, expiry_timer);
    s->is_expiry_watched = false;
    shard_watch_expiry(s);
    if (s->is_expiry_watched && may_expire(s)) {
        expire(s, true);
        s->expiry_database = (uint8_t)((s->expiry_database + 1) % LIMIT_DATABASES);
    }
}

void shard_watch_expiry(struct shard *s)
{
    if (s->is_expiry_watched || s->is_stopped || s->options.is_expiring == NULL ||
        !replica_is_leader(s->replica) || !has_expiring(s)) {
        return;
    }
    s->is_expiry_watched = true;
    s->expiry_timer.cb = on_tick;
    env_timer_start(s->env, &s->expiry_timer, SHARD_EXPIRY_TICK_MS);
}

void shard_stop(struct shard *s)
{
    s->is_stopped = true;
    env_timer_stop(s->env, &s->expiry_timer);
    env_timer_stop(s->env, &s->resume_timer);
}
