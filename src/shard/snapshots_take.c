/*
 * A state on its way to here: into rows of a generation that was never used, so that nothing of it
 * is seen before an INSTALL names it (LOG-15).
 *
 *   CHUNKS <-> WRITES -> SYNCS -> READS -> STAGED -> taken     and from each to OVER
 */
#include "base/assert.h"
#include "base/mem.h"
#include "data/row.h"
#include "shard/snapshots_parts.h"
#include "shard/state_row.h"

#define HEAD_RANGE_BYTES MIB
#define KEY_BYTES_MAX (SNAPSHOT_ROW_BYTES_MAX + ROW_GENERATION_BYTES)

/* ---- messages -------------------------------------------------------------------------------- */

static void say(struct taking *t, enum snapshot_type type)
{
    struct snapshot_message m = {
        .route =
            {
                .group = t->group,
                .sender = replica_id(t->replica),
                .receiver = t->sender,
            },
        .type = type,
        .session = t->session,
        .number = t->number,
    };
    bool is_sent = snapshots_say(t->snapshots, &m);
    t->said_us = env_now_us(t->snapshots->env);
    if (type != SNAPSHOT_PULL && type != SNAPSHOT_STAGED) {
        return;
    }
    /* The sender's turn; what finds no room again and again is silence, too. */
    if (is_sent || t->unsaid == 0) {
        t->heard_us = t->said_us;
    }
    t->unsaid = is_sent ? 0 : type;
}

static void refuse(struct snapshots *s, const struct snapshot_message *offer)
{
    struct snapshot_message m = *offer;
    m.route.sender = offer->route.receiver;
    m.route.receiver = offer->route.sender;
    m.type = SNAPSHOT_REFUSED;
    (void)snapshots_say(s, &m);
}

/* ---- beginning and end ----------------------------------------------------------------------- */

static void on_write(struct store_write *w);
static void on_range(struct store_range *range);

static void taking_start(struct snapshots *s, const struct snapshot_message *m)
{
    struct snapshots_group *g = snapshots_group(s, m->route.group);
    uint32_t current = replica_generation(g->replica);
    g->generation_last = g->generation_last > current ? g->generation_last : current;
    struct taking *t = mem_alloc_zero(sizeof *t);
    t->snapshots = s;
    t->group = m->route.group;
    t->replica = g->replica;
    t->sender = m->route.sender;
    t->session = m->session;
    t->base = m->base;
    t->generation = ++g->generation_last;
    ensure(t->generation < UINT32_MAX);
    buf_init(&t->last_key, KEY_BYTES_MAX);
    store_write_init(&t->write);
    t->write.done = on_write;
    store_range_init(&t->range);
    t->range.done = on_range;
    omap_init(&t->head);
    list_append(&s->takings, &t->link);
    g->taking = t;
    s->stats.taking++;
    say(t, SNAPSHOT_PULL);
    snapshots_watch(s);
}

void taking_destroy(struct taking *t)
{
    omap_deinit(&t->head);
    store_range_deinit(&t->range);
    store_write_deinit(&t->write);
    buf_deinit(&t->last_key);
    mem_free(t);
}

void taking_forget(struct taking *t)
{
    ensure(!t->is_working);
    struct snapshots_group *g = snapshots_group(t->snapshots, t->group);
    if (g->taking == t) {
        g->taking = NULL;
    }
    list_remove(&t->link);
    taking_destroy(t);
}

/* It is OVER, and no worker has anything of it: its rows go. */
static void drop(struct taking *t)
{
    if (t->has_written) {
        struct buf from;
        struct buf to;
        buf_init(&from, ROW_GENERATION_BYTES);
        buf_init(&to, ROW_GENERATION_BYTES);
        row_key_append_generation(&from, t->group, t->generation);
        row_key_append_generation(&to, t->group, t->generation + 1);
        store_drop(t->snapshots->store, buf_bytes(&from), buf_bytes(&to));
        buf_deinit(&from);
        buf_deinit(&to);
    }
    taking_forget(t);
}

void taking_end(struct taking *t, bool tells)
{
    struct snapshots *s = t->snapshots;
    if (t->state < TAKING_STAGED) {
        s->stats.taking--;
        s->stats.failed++;
    }
    if (tells) {
        say(t, SNAPSHOT_ENDED);
    }
    t->state = TAKING_OVER;
    snapshots_group(s, t->group)->taking = NULL;
    if (!t->is_working) {
        drop(t);
    }
}

/* ---- offers ---------------------------------------------------------------------------------- */

/* Why this offer is not taken; NULL: it is. */
static bool is_wanted(struct snapshots *s,
                      const struct snapshots_group *g,
                      const struct snapshot_message *m)
{
    if (s->is_full) {
        return false; /* a sync might find no space */
    }
    if (!s->is_settled) {
        reached("snapshots: offered before the first sync");
        store_sync_soon(s->store);
        return false;
    }
    if (replica_is_installing(g->replica)) {
        reached("snapshots: offered during an install");
        return false;
    }
    unsigned count = 0;
    list_each(item, &s->takings) {
        const struct taking *t = container_of(item, struct taking, link);
        bool is_replaced = t == g->taking && !t->is_working;
        count += t->state != TAKING_STAGED && !is_replaced ? 1 : 0;
    }
    return count < SNAPSHOTS_TAKEN_MAX && !replica_is_leader(g->replica) &&
           m->base.index > replica_applied(g->replica);
}

void taking_offered(struct snapshots *s, const struct snapshot_message *m)
{
    struct snapshots_group *g = snapshots_group(s, m->route.group);
    if (!is_wanted(s, g, m)) {
        refuse(s, m);
        return;
    }
    if (g->taking != NULL) {
        reached("snapshots: a newer offer replaces what was taken");
        taking_end(g->taking, true);
    }
    taking_start(s, m);
}

/* ---- chunks ---------------------------------------------------------------------------------- */

static bool is_same_base(const struct replica_base *a, const struct replica_base *b)
{
    if (a->index != b->index || a->term != b->term || a->config.index != b->config.index ||
        a->config.count != b->config.count) {
        return false;
    }
    for (unsigned i = 0; i < a->config.count; i++) {
        if (a->config.members[i].id != b->config.members[i].id ||
            a->config.members[i].is_voter != b->config.members[i].is_voter) {
            return false;
        }
    }
    return true;
}

/* False: the row says another state than the one that was offered. */
static bool fits_offer(const struct taking *t, struct bytes group_row)
{
    struct state_row row;
    return state_row_decode(group_row, &row) == STATUS_OK && is_same_base(&row.base, &t->base);
}

/* One row of a chunk into the batch. False: not in order, or not of the state offered. */
static bool take_row(struct taking *t, struct bytes key, struct bytes value, struct buf *full_key)
{
    static const uint8_t group_key[] = {ROW_KIND_GROUP};
    if (bytes_compare(buf_bytes(&t->last_key), key) >= 0) {
        return false;
    }
    if (bytes_equal(key, bytes_of(group_key, sizeof group_key))) {
        if (!fits_offer(t, value)) {
            return false;
        }
        t->has_base = true;
    }
    buf_clear(&t->last_key, LIMIT_KEY_BYTES);
    buf_append_bytes(&t->last_key, key);
    buf_clear(full_key, LIMIT_KEY_BYTES);
    row_key_append_generation(full_key, t->group, t->generation);
    buf_append_bytes(full_key, key);
    struct blob *blob = blob_create(value.size);
    if (value.size > 0) {
        memcpy(blob->data, value.data, value.size);
    }
    omap_put(&t->write.rows, buf_bytes(full_key), blob);
    return true;
}

static bool take_rows(struct taking *t, struct bytes rows)
{
    struct buf full_key;
    buf_init(&full_key, KEY_BYTES_MAX);
    struct bytes key;
    struct bytes value;
    bool is_good = true;
    while (is_good && snapshot_next_row(&rows, &key, &value)) {
        is_good = take_row(t, key, value, &full_key);
    }
    buf_deinit(&full_key);
    return is_good;
}

/* All chunks are written. */
static void sync_all(struct taking *t)
{
    t->state = TAKING_SYNCS;
    t->is_sync_started = false; /* one that runs already may not have the last rows */
    t->said_us = env_now_us(t->snapshots->env);
    store_sync_soon(t->snapshots->store);
}

static void on_write(struct store_write *w)
{
    struct taking *t = container_of(w, struct taking, write);
    t->is_working = false;
    if (t->state == TAKING_OVER) {
        reached("snapshots: ended while a chunk was written");
        drop(t);
        return;
    }
    ensure(t->state == TAKING_WRITES);
    if (t->is_last) {
        sync_all(t);
    } else {
        t->state = TAKING_CHUNKS;
        say(t, SNAPSHOT_PULL);
    }
}

static enum status take_chunk(struct taking *t,
                              const struct snapshot_message *m,
                              struct bytes bytes)
{
    if (m->number < t->number) {
        return STATUS_OK; /* a copy of one that was taken */
    }
    enum status status = STATUS_OK;
    bool is_good = t->state == TAKING_CHUNKS && m->number == t->number;
    if (is_good) {
        status = snapshot_chunk_check(bytes, SNAPSHOT_CHUNK_BYTES);
        is_good = status == STATUS_OK && take_rows(t, m->rows) && (!m->is_last || t->has_base);
    }
    if (!is_good) {
        reached("snapshots: bad chunk");
        taking_end(t, true);
        return status;
    }
    t->number++;
    t->is_last = m->is_last;
    t->snapshots->stats.taken_bytes += bytes.size;
    if (t->write.rows.count == 0) {
        sync_all(t); /* the last one may be empty */
        return STATUS_OK;
    }
    t->state = TAKING_WRITES;
    t->said_us = env_now_us(t->snapshots->env);
    t->has_written = true;
    t->is_working = true;
    store_write_start(t->snapshots->store, &t->write);
    return STATUS_OK;
}

/* ---- head rows ------------------------------------------------------------------------------- */

void taking_synced(struct taking *t)
{
    ensure(t->state == TAKING_SYNCS && !t->is_working);
    t->state = TAKING_READS;
    row_key_append_generation(&t->range.from, t->group, t->generation);
    row_key_append_head_end(&t->range.to, t->group, t->generation);
    t->range.bytes_max = HEAD_RANGE_BYTES;
    t->is_working = true;
    store_range_start(t->snapshots->store, &t->range);
}

/* The store gave back what it was given. */
static bool head_fits_offer(const struct taking *t)
{
    struct buf key;
    buf_init(&key, KEY_BYTES_MAX);
    row_key_append_group(&key, t->group, t->generation);
    struct omap_item item;
    bool fits = omap_get(&t->head, buf_bytes(&key), &item) && item.value != NULL &&
                fits_offer(t, blob_bytes(item.value));
    buf_deinit(&key);
    return fits;
}

static void on_range(struct store_range *range)
{
    struct taking *t = container_of(range, struct taking, range);
    t->is_working = false;
    if (t->state == TAKING_OVER) {
        reached("snapshots: ended while head rows were read");
        drop(t);
        return;
    }
    ensure(t->state == TAKING_READS);
    omap_merge(&t->head, &t->range.rows);
    if (!t->range.is_end) {
        t->is_working = true;
        store_range_start(t->snapshots->store, range);
        return;
    }
    if (!head_fits_offer(t)) {
        taking_end(t, true);
        return;
    }
    t->state = TAKING_STAGED;
    t->snapshots->stats.taking--;
    t->snapshots->stats.taken++;
    say(t, SNAPSHOT_STAGED);
}

/* ---- messages and time ----------------------------------------------------------------------- */

enum status taking_receive(struct taking *t, const struct snapshot_message *m, struct bytes bytes)
{
    t->heard_us = env_now_us(t->snapshots->env);
    switch (m->type) {
    case SNAPSHOT_OFFER:
        if (t->state == TAKING_STAGED) {
            say(t, SNAPSHOT_STAGED);
        }
        return STATUS_OK;
    case SNAPSHOT_CHUNK:
        return take_chunk(t, m, bytes);
    case SNAPSHOT_ENDED:
        if (!replica_is_installing(t->replica)) {
            taking_end(t, false);
        }
        return STATUS_OK;
    case SNAPSHOT_PULL:
    case SNAPSHOT_STAGED:
    case SNAPSHOT_REFUSED:
    case SNAPSHOT_ALIVE:
        return STATUS_OK;
    }
    unreachable("a message of no type");
}

/* Nobody installs it any more: the log brought the replica there, or its leader is gone. */
static bool is_useless(const struct taking *t)
{
    return !replica_is_installing(t->replica) &&
           (replica_applied(t->replica) >= t->base.index ||
            snapshots_is_over(t->snapshots, t->heard_us, SNAPSHOT_STAGED_MS));
}

void taking_tick(struct taking *t)
{
    if (t->state == TAKING_OVER) {
        return;
    }
    if (t->unsaid != 0) {
        say(t, t->unsaid);
    }
    if (t->state == TAKING_STAGED) {
        if (is_useless(t)) {
            reached("snapshots: staged state of no use");
            taking_end(t, false);
        }
    } else if (t->state == TAKING_CHUNKS) {
        if (snapshots_is_over(t->snapshots, t->heard_us, SNAPSHOT_SILENCE_MS)) {
            reached("snapshots: silent sender");
            taking_end(t, true);
        }
    } else if (snapshots_is_over(t->snapshots, t->said_us, SNAPSHOT_ALIVE_MS)) {
        say(t, SNAPSHOT_ALIVE);
    }
}
