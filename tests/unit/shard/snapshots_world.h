/*
 * Two machines with a store each (the mem engine on a medium that survives crashes) and real
 * snapshots between them. The replicas and the network below do what the test says: messages lie in
 * one queue, in order, and the n-th of them can be lost, doubled or damaged. Replica 1 leads and
 * goes on changing its state; replica 2 lacks everything.
 *
 * Whatever is staged is compared with what the leader's state was at that index.
 */
#ifndef SHARD_SNAPSHOTS_WORLD_H
#define SHARD_SNAPSHOTS_WORLD_H

#include <stdio.h>

#include "base/assert.h"
#include "base/crc.h"
#include "base/mem.h"
#include "data/row.h"
#include "fake_env.h"
#include "harness.h"
#include "shard/snapshot_message.h"
#include "shard/snapshots.h"
#include "shard/state_row.h"

#define GROUP 3u
#define MACHINES 3u /* number 1 to 3; the third one only where a test starts it */
#define GROUPS 8u   /* GROUP and those behind it; only where a test adds them */
#define INDEX_MAX 4096u
#define TURNS_MAX 2000000u
#define NO_FAULT UINT64_MAX

struct world;
struct machine;

/* The group's replica, as far as snapshots ask it. */
struct replica {
    struct machine *machine;
    uint64_t id;
    bool is_leader;
    bool is_installing;
    uint32_t generation;
    uint64_t applied;
    uint64_t held; /* the last replica_hold_entries, 0: none yet */
};

struct peers {
    struct world *world;
    uint32_t number;
    bool is_full; /* takes nothing */
};

struct machine {
    struct world *world;
    uint32_t number;
    bool is_up;
    bool is_hung; /* its workers do nothing */
    struct fake_env env;
    struct store_medium *medium;
    struct store store;
    struct snapshots *snapshots;
    struct replica replica;        /* what of it is in a log survives a crash */
    struct replica others[GROUPS]; /* of the groups behind GROUP */
    struct peers peers;
};

struct letter {
    struct list link;
    uint32_t from;
    uint32_t to;
    bool is_install; /* else a message of snapshots */
    struct replica_base base;
    struct buf bytes;
};

enum fault {
    FAULT_NONE,
    FAULT_DROP,
    FAULT_DOUBLE,
    FAULT_BIT,   /* one bit of it flips */
    FAULT_SHORT, /* its last byte is gone */
};

struct world {
    struct machine machines[MACHINES];
    struct list letters;
    struct snapshots_options options;
    bool is_cut[MACHINES + 1]; /* nobody reaches that machine */
    /* What the leader's rows were at each index that was folded: their digest, 0: never. */
    uint32_t digests[INDEX_MAX];
    uint64_t index_last; /* of the leader's state */
    uint64_t sent;       /* letters so far */
    uint64_t fault_at;   /* number of the letter that the fault hits */
    enum fault fault;
    uint64_t fault_bit;
    bool is_install_held; /* INSTALL letters wait */
    bool is_log_held;     /* an INSTALL record is not durable yet */
    unsigned installs;    /* states that became the group's on machine 2 or 3 */
    unsigned malformed;
    unsigned disconnects;
    uint64_t install_index;
};

/* ---- the replica below ----------------------------------------------------------------------- */

uint64_t replica_id(const struct replica *r)
{
    return r->id;
}

uint32_t replica_generation(const struct replica *r)
{
    return r->generation;
}

bool replica_is_leader(const struct replica *r)
{
    return r->is_leader;
}

bool replica_is_installing(const struct replica *r)
{
    return r->is_installing;
}

uint64_t replica_applied(const struct replica *r)
{
    return r->applied;
}

void replica_hold_entries(struct replica *r, uint64_t index)
{
    r->held = index;
}

static inline void world_post(struct world *w, struct letter *letter)
{
    list_append(&w->letters, &letter->link);
    w->sent++;
}

static inline struct letter *letter_create(uint32_t from, uint32_t to)
{
    struct letter *letter = mem_alloc_zero(sizeof *letter);
    letter->from = from;
    letter->to = to;
    buf_init(&letter->bytes, PEER_MESSAGE_BYTES_MAX);
    return letter;
}

static inline void letter_destroy(struct letter *letter)
{
    buf_deinit(&letter->bytes);
    mem_free(letter);
}

bool replica_send_install(struct replica *r, uint64_t id, const struct replica_base *base)
{
    if (!r->is_leader) {
        return false;
    }
    struct letter *letter = letter_create(r->machine->number, replica_node(id));
    letter->is_install = true;
    letter->base = *base;
    world_post(r->machine->world, letter);
    return true;
}

/* ---- the network ----------------------------------------------------------------------------- */

static inline struct machine *machine_of(struct world *w, uint32_t number)
{
    ensure(number >= 1 && number <= MACHINES);
    return &w->machines[number - 1];
}

static inline bool world_reaches(struct world *w, uint32_t a, uint32_t b)
{
    return machine_of(w, a)->is_up && machine_of(w, b)->is_up && !w->is_cut[a] && !w->is_cut[b];
}

bool peers_is_connected(const struct peers *p, uint32_t number)
{
    return world_reaches(p->world, p->number, number);
}

bool peers_send(struct peers *p,
                uint32_t number,
                enum peer_class class,
                const struct bytes *parts,
                size_t part_count)
{
    CHECK_EQ(class, PEER_BULK);
    if (!peers_is_connected(p, number) || p->is_full) {
        return false;
    }
    struct letter *letter = letter_create(p->number, number);
    for (size_t i = 0; i < part_count; i++) {
        buf_append_bytes(&letter->bytes, parts[i]);
    }
    world_post(p->world, letter);
    return true;
}

/* Ends the connections of a machine: what is on its way is lost. */
static inline void world_disconnect(struct world *w, uint32_t number)
{
    w->disconnects++;
    struct list *next;
    for (struct list *item = w->letters.next; item != &w->letters; item = next) {
        next = item->next;
        struct letter *letter = container_of(item, struct letter, link);
        if (letter->from == number || letter->to == number) {
            list_remove(&letter->link);
            letter_destroy(letter);
        }
    }
    for (uint32_t i = 1; i <= MACHINES; i++) {
        if (i != number && machine_of(w, i)->is_up) {
            snapshots_disconnected(machine_of(w, i)->snapshots, number);
            if (machine_of(w, number)->is_up) {
                snapshots_disconnected(machine_of(w, number)->snapshots, i);
            }
        }
    }
}

/* ---- the leader's state ---------------------------------------------------------------------- */

static inline struct replica_base base_at(uint64_t index)
{
    return (struct replica_base){
        .index = index,
        .term = 5,
        .config =
            {
                .index = 1,
                .count = 3,
                .members = {{replica_id_of(1, 0), true},
                            {replica_id_of(2, 0), true},
                            {replica_id_of(3, 0), true}},
            },
    };
}

static inline struct blob *blob_of(const void *data, size_t size)
{
    struct blob *blob = blob_create(size);
    if (size > 0) {
        memcpy(blob->data, data, size);
    }
    return blob;
}

static inline void put_object(struct machine *m, unsigned number, size_t size, uint8_t fill)
{
    char text[32];
    struct buf key;
    int length = snprintf(text, sizeof text, "key %u", number);
    struct keyspace space = {.group = GROUP, .generation = m->replica.generation};
    buf_init(&key, 256);
    row_key_append(&key, &space, bytes_of(text, (size_t)length));
    struct blob *blob = blob_create(size);
    memset(blob->data, fill, size);
    store_put(&m->store, buf_bytes(&key), blob);
    buf_deinit(&key);
}

static inline void put_group_row(struct machine *m, uint64_t index)
{
    struct buf key;
    struct buf value;
    struct state_row row = {
        .base = base_at(index),
        .time_ms = 1000 + index,
        .operations = index,
        .databases[0] = {.epoch = 2, .keys = 40, .expiring = 3},
    };
    buf_init(&key, 64);
    buf_init(&value, 4096);
    row_key_append_group(&key, GROUP, m->replica.generation);
    state_row_encode(&value, &row);
    store_put(&m->store, buf_bytes(&key), blob_of(value.data, value.size));
    buf_deinit(&value);
    buf_deinit(&key);
}

static inline void put_dup(struct machine *m, uint32_t node, uint64_t sequence)
{
    static const uint8_t reply[1000] = {7};
    struct buf key;
    buf_init(&key, 64);
    row_key_append_dup(&key, GROUP, m->replica.generation, node, sequence);
    store_put(&m->store, buf_bytes(&key), blob_of(reply, sequence % sizeof reply));
    buf_deinit(&key);
}

/* Digest of rows without their generation. */
static inline uint32_t rows_digest(const struct omap *rows)
{
    const struct omap_node *at = NULL;
    struct omap_item item;
    uint32_t crc = 1;
    while (omap_next(rows, &at, &item)) {
        ensure(item.value != NULL);
        uint32_t sizes[2] = {(uint32_t)item.key.size, item.value->size};
        crc = crc32c(crc, sizes, sizeof sizes);
        crc =
            crc32c(crc, item.key.data + ROW_GENERATION_BYTES, item.key.size - ROW_GENERATION_BYTES);
        crc = crc32c(crc, item.value->data, item.value->size);
    }
    return crc;
}

/* Of what the engine holds of a generation now: digest, number of rows. */
static inline uint32_t engine_digest(struct machine *m, uint32_t generation, uint64_t *out_count)
{
    struct buf from;
    struct buf to;
    struct omap rows;
    bool is_end = false;
    buf_init(&from, 64);
    buf_init(&to, 64);
    omap_init(&rows);
    row_key_append_generation(&from, GROUP, generation);
    row_key_append_generation(&to, GROUP, generation + 1);
    struct store_engine *e = m->store.engine;
    enum status status =
        e->ops->read_range(e, NULL, buf_bytes(&from), buf_bytes(&to), UINT64_MAX, &rows, &is_end);
    CHECK_EQ(status, STATUS_OK);
    CHECK(is_end);
    uint32_t digest = rows_digest(&rows);
    *out_count = rows.count;
    omap_deinit(&rows);
    buf_deinit(&to);
    buf_deinit(&from);
    return digest;
}

/* ---- machines -------------------------------------------------------------------------------- */

static inline void on_fold_starts(void *owner, bool is_sync)
{
    struct machine *m = owner;
    if (m->number == 1 && m->world->index_last > 0) {
        put_group_row(m, m->world->index_last);
    }
    snapshots_fold_starts(m->snapshots, is_sync);
}

static inline void on_folded(void *owner)
{
    struct machine *m = owner;
    uint64_t count = 0;
    if (m->number == 1 && m->world->index_last > 0) {
        /* Nothing is put between a fold's start and its end in these tests. */
        m->world->digests[m->world->index_last] = engine_digest(m, m->replica.generation, &count);
    }
}

static inline void on_synced(void *owner)
{
    struct machine *m = owner;
    snapshots_synced(m->snapshots);
}

/* As at a node's start: rows of other generations than the state's go. */
static inline void drop_leftovers(struct machine *m)
{
    struct buf from;
    struct buf to;
    buf_init(&from, 64);
    buf_init(&to, 64);
    row_key_append_generation(&from, GROUP, m->replica.generation + 1);
    row_key_append_generation(&to, GROUP + 1, 0);
    store_drop(&m->store, buf_bytes(&from), buf_bytes(&to));
    buf_deinit(&to);
    buf_deinit(&from);
}

static inline void machine_start(struct world *w, uint32_t number)
{
    struct machine *m = machine_of(w, number);
    ensure(!m->is_up);
    fake_env_init(&m->env);
    prng_init(&m->env.prng, number + 100 * w->sent);
    struct store_options options = {
        .fold_rows = UINT64_MAX,
        .fold_bytes = UINT64_MAX,
        .fold_starts = on_fold_starts,
        .folded = on_folded,
        .synced = on_synced,
        .owner = m,
        .damage_hint = "",
    };
    store_init(&m->store, &m->env.base, &options, store_engine_mem_create(m->medium));
    m->world = w;
    m->number = number;
    m->peers = (struct peers){.world = w, .number = number};
    m->replica.machine = m;
    m->replica.is_installing = false;
    m->snapshots = snapshots_create(&m->env.base, &m->store, &m->peers, &w->options);
    snapshots_add(m->snapshots, GROUP, &m->replica);
    drop_leftovers(m);
    store_ready(&m->store);
    m->is_up = true;
}

/* The process is gone, in the middle of whatever it did; of its medium's batches some survive. */
static inline void machine_kill(struct world *w, uint32_t number, size_t keep)
{
    struct machine *m = machine_of(w, number);
    ensure(m->is_up);
    m->is_up = false;
    world_disconnect(w, number);
    snapshots_destroy(m->snapshots);
    store_deinit(&m->store);
    fake_env_deinit(&m->env);
    size_t pending = store_medium_pending(m->medium);
    store_medium_crash(m->medium, keep < pending ? keep : pending);
}

static inline void world_turn(struct machine *m)
{
    store_flush(&m->store);
}

/* ---- installs -------------------------------------------------------------------------------- */

/* They are the head rows of that generation, all of them. */
static inline void check_head(struct machine *m, const struct omap *head, uint32_t generation)
{
    struct buf from;
    struct buf to;
    struct omap rows;
    bool is_end = false;
    buf_init(&from, 64);
    buf_init(&to, 64);
    omap_init(&rows);
    row_key_append_generation(&from, GROUP, generation);
    row_key_append_head_end(&to, GROUP, generation);
    struct store_engine *e = m->store.engine;
    enum status status =
        e->ops->read_range(e, NULL, buf_bytes(&from), buf_bytes(&to), UINT64_MAX, &rows, &is_end);
    CHECK_EQ(status, STATUS_OK);
    CHECK(rows.count >= 1);
    CHECK_EQ(head->count, rows.count);
    CHECK_EQ(rows_digest(head), rows_digest(&rows));
    omap_deinit(&rows);
    buf_deinit(&to);
    buf_deinit(&from);
}

/* The record is durable: the staged rows are the state. Wrong ones would be the end. */
static inline void finish_install(struct machine *m, uint32_t generation, uint64_t index)
{
    struct world *w = m->world;
    uint64_t count = 0;
    uint32_t digest = engine_digest(m, generation, &count);
    CHECK(w->digests[index] != 0);
    CHECK_EQ(digest, w->digests[index]);
    const struct omap *head = snapshots_take(m->snapshots, GROUP, generation);
    CHECK(head != NULL);
    check_head(m, head, generation);
    CHECK(snapshots_take(m->snapshots, GROUP, generation) == NULL);
    m->replica.is_installing = false;
    m->replica.generation = generation;
    m->replica.applied = index;
    w->installs++;
    w->install_index = index;
}

static inline void deliver_install(struct machine *m, const struct letter *letter)
{
    uint32_t generation = 0;
    uint64_t index = letter->base.index;
    uint64_t term = letter->base.term;
    if (m->replica.is_installing || index <= m->replica.applied ||
        !snapshots_is_staged(m->snapshots, GROUP, index, term, &generation)) {
        return;
    }
    CHECK(generation > m->replica.generation);
    CHECK(!snapshots_is_staged(m->snapshots, GROUP, index + 1, term, &generation));
    CHECK(!snapshots_is_staged(m->snapshots, GROUP, index, term + 1, &generation));
    CHECK(!snapshots_is_staged(m->snapshots, GROUP + 1, index, term, &generation));
    m->replica.is_installing = true;
    if (!m->world->is_log_held) {
        finish_install(m, generation, index);
    }
}

/* ---- time ------------------------------------------------------------------------------------ */

static inline void damage(struct world *w, struct letter *letter)
{
    if (letter->bytes.size == 0) {
        return;
    }
    if (w->fault == FAULT_SHORT) {
        letter->bytes.size--;
        return;
    }
    uint64_t bit = w->fault_bit % (letter->bytes.size * 8);
    uint8_t *byte = &letter->bytes.data[bit / 8];
    *byte = (uint8_t)(*byte ^ (1u << (bit % 8)));
}

static inline void deliver(struct world *w, struct letter *letter)
{
    struct machine *m = machine_of(w, letter->to);
    if (!world_reaches(w, letter->from, letter->to)) {
        return;
    }
    if (letter->is_install) {
        deliver_install(m, letter);
    } else {
        enum status s = snapshots_received(m->snapshots, letter->from, buf_bytes(&letter->bytes));
        CHECK(s == STATUS_OK || s == STATUS_MALFORMED);
        w->malformed += s == STATUS_MALFORMED ? 1 : 0;
    }
    world_turn(m);
}

/* One letter arrives, with what the test does to it. False: there is none. */
static inline bool world_deliver(struct world *w)
{
    struct letter *letter = NULL;
    list_each(item, &w->letters) {
        letter = container_of(item, struct letter, link);
        if (!letter->is_install || !w->is_install_held) {
            break;
        }
        letter = NULL;
    }
    if (letter == NULL) {
        return false;
    }
    list_remove(&letter->link);
    bool is_hit = w->fault != FAULT_NONE && w->fault_at-- == 0;
    enum fault fault = is_hit ? w->fault : FAULT_NONE;
    if (fault == FAULT_BIT || fault == FAULT_SHORT) {
        damage(w, letter);
    }
    if (fault != FAULT_DROP) {
        deliver(w, letter);
    }
    if (fault == FAULT_DOUBLE) {
        deliver(w, letter);
    }
    letter_destroy(letter);
    return true;
}

/* One job or letter. False: nothing moves before time passes. */
static inline bool world_step(struct world *w)
{
    for (uint32_t i = 1; i <= MACHINES; i++) {
        struct machine *m = machine_of(w, i);
        if (m->is_up) {
            world_turn(m);
            if (!m->is_hung && fake_env_run(&m->env)) {
                world_turn(m);
                return true;
            }
        }
    }
    return world_deliver(w);
}

/* Everything that needs no time. */
static inline void world_settle(struct world *w)
{
    unsigned steps = 0;
    while (world_step(w)) {
        CHECK(++steps < TURNS_MAX);
    }
}

/* The engine asks at each heartbeat, as long as the receiver lacks entries. */
static inline void world_heartbeat(struct world *w, uint32_t receiver)
{
    struct machine *leader = machine_of(w, 1);
    struct machine *m = machine_of(w, receiver);
    bool lacks = m->replica.applied < w->index_last && w->installs == 0;
    if (leader->is_up && leader->replica.is_leader && lacks) {
        snapshots_offer(leader->snapshots, GROUP, m->replica.id);
    }
}

static inline void world_advance(struct world *w, unsigned ms)
{
    for (uint32_t i = 1; i <= MACHINES; i++) {
        struct machine *m = machine_of(w, i);
        if (m->is_up) {
            fake_env_advance(&m->env, ms);
            world_turn(m);
        }
    }
}

/* Time in pieces of 50 ms, each with a heartbeat, until machine 2 has the state. */
static inline bool world_run(struct world *w, unsigned ms)
{
    for (unsigned passed = 0; passed < ms && w->installs == 0; passed += 50) {
        world_heartbeat(w, 2);
        world_settle(w);
        world_advance(w, 50);
    }
    return w->installs > 0;
}

/* ---- the world ------------------------------------------------------------------------------- */

static inline void world_create(struct world *w)
{
    memset(w, 0, sizeof *w);
    list_init(&w->letters);
    w->fault_at = NO_FAULT;
    for (uint32_t i = 1; i <= MACHINES; i++) {
        struct machine *m = machine_of(w, i);
        m->medium = store_medium_create();
        m->number = i;
        m->replica.id = replica_id_of(i, 0);
        m->replica.is_leader = i == 1;
        m->replica.generation = i == 1 ? 6 : 0;
    }
}

/* The state moves on by one entry, and is folded. */
static inline void world_change(struct world *w)
{
    struct machine *m = machine_of(w, 1);
    w->index_last++;
    ensure(w->index_last < INDEX_MAX);
    m->replica.applied = w->index_last;
    put_object(m, (unsigned)(w->index_last % 7), 20, (uint8_t)w->index_last);
    put_dup(m, 1, w->index_last);
    store_fold_soon(&m->store);
}

/* Machines 1 and 2, synced once, and a leader with this many rows, one of them large. */
static inline void world_start(struct world *w, unsigned rows, size_t big_bytes)
{
    machine_start(w, 1);
    machine_start(w, 2);
    struct machine *leader = machine_of(w, 1);
    put_dup(leader, 1, 0);
    put_dup(leader, 2, 0);
    for (unsigned i = 0; i < rows; i++) {
        put_object(leader, 100 + i, i % 90, (uint8_t)i);
    }
    if (big_bytes > 0) {
        put_object(leader, 99, big_bytes, 9);
    }
    w->index_last = 10;
    world_change(w);
    store_sync_soon(&machine_of(w, 1)->store);
    store_sync_soon(&machine_of(w, 2)->store);
    world_settle(w);
}

static inline void world_destroy(struct world *w)
{
    for (uint32_t i = 1; i <= MACHINES; i++) {
        if (machine_of(w, i)->is_up) {
            machine_kill(w, i, 0);
        }
        store_medium_destroy(machine_of(w, i)->medium);
    }
    ensure(list_is_empty(&w->letters));
}

static inline const struct snapshots_stats *stats_of(struct world *w, uint32_t number)
{
    return snapshots_stats(machine_of(w, number)->snapshots);
}

/* Rows of the group in the engine of other generations than the state's. */
static inline uint64_t leftovers(struct world *w, uint32_t number)
{
    struct machine *m = machine_of(w, number);
    uint64_t total = 0;
    for (uint32_t g = 0; g < 64; g++) {
        uint64_t count = 0;
        (void)engine_digest(m, g, &count);
        total += g != m->replica.generation ? count : 0;
    }
    return total;
}

#endif
