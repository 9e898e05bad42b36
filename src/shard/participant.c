/*
 * One ordered map holds what the rows hold, under the same keys: node, incarnation, sequence. A
 * second one says which of them have changed since the last save. Two more follow from the records,
 * and are built again from them: who holds the locks, by database and key; and which are prepared.
 */
#include "shard/participant.h"

#include <xxhash.h>

#include "base/assert.h"
#include "base/endian.h"
#include "base/mem.h"
#include "shard/dup.h"
#include "store/omap.h"

#define ROW_KEY_BYTES 16u
#define MARK_ROW_BYTES 8u
#define NODE_ROW_BYTES 8u
/* Of one holder of a lock: the key of its row, and whether it is alone. */
#define HOLDER_BYTES (ROW_KEY_BYTES + 1u)

enum node_field {
    NODE_CLOSED = 0, /* incarnations up to it get no first yes */
    NODE_ENDED = 4,  /* incarnations up to it are finished */
};

struct participant {
    struct omap rows;
    struct omap unsaved;     /* keys of rows; `fresh`: that the last save did not have; else none */
    struct blob *fresh;      /* empty */
    struct omap locks;       /* database, key → holders */
    struct omap prepared;    /* keys of rows; no values */
    struct buf *lock_key;    /* scratch */
    uint64_t prepared_bytes; /* of their records */
    uint32_t database_locks[LIMIT_DATABASES];
};

/* ---- rows ------------------------------------------------------------------------------------ */

static struct bytes row_key(const struct txn_id *id, uint8_t out_key[ROW_KEY_BYTES])
{
    put_u32_be(out_key, id->node);
    put_u32_be(out_key + 4, id->incarnation);
    put_u64_be(out_key + 8, id->sequence);
    return bytes_of(out_key, ROW_KEY_BYTES);
}

static struct txn_id row_id(struct bytes key)
{
    ensure(key.size == ROW_KEY_BYTES);
    return (struct txn_id){
        .node = get_u32_be(key.data),
        .incarnation = get_u32_be(key.data + 4),
        .sequence = get_u64_be(key.data + 8),
    };
}

static bool row_get(const struct participant *p, const struct txn_id *id, struct bytes *out_value)
{
    uint8_t key[ROW_KEY_BYTES];
    struct omap_item item;
    if (!omap_get(&p->rows, row_key(id, key), &item)) {
        return false;
    }
    *out_value = blob_bytes(item.value);
    return true;
}

static void row_put(struct participant *p, const struct txn_id *id, struct blob *value)
{
    uint8_t key[ROW_KEY_BYTES];
    struct bytes name = row_key(id, key);
    struct omap_item item;
    if (!omap_get(&p->unsaved, name, &item)) {
        bool is_saved = omap_get(&p->rows, name, &item);
        omap_put(&p->unsaved, name, is_saved ? NULL : blob_ref(p->fresh));
    }
    omap_put(&p->rows, name, value);
}

/* One that came and went between two saves leaves nothing: most do, and this map stays small. */
static void row_drop(struct participant *p, struct bytes name)
{
    struct omap_item item;
    if (omap_get(&p->unsaved, name, &item) && item.value != NULL) {
        omap_remove(&p->unsaved, name);
    } else {
        omap_put(&p->unsaved, name, NULL);
    }
    omap_remove(&p->rows, name);
}

/* Removes all rows from first up to and with last; none of them is prepared. */
static void rows_drop(struct participant *p, const struct txn_id *first, const struct txn_id *last)
{
    uint8_t key[ROW_KEY_BYTES];
    uint8_t end[ROW_KEY_BYTES];
    struct omap_item item;
    (void)row_key(last, end);
    while (omap_seek(&p->rows, row_key(first, key), &item) &&
           bytes_compare(item.key, bytes_of(end, sizeof end)) <= 0) {
        memcpy(key, item.key.data, sizeof key);
        row_drop(p, bytes_of(key, sizeof key));
    }
}

static bool is_record(const struct txn_id *id)
{
    return id->sequence > 0;
}

/* Its bytes were checked when they came in. */
static struct txn_record record_of(struct bytes value)
{
    struct txn_record record;
    enum status status = txn_record_decode(value, &record);
    ensure(status == STATUS_OK);
    return record;
}

static uint64_t mark_of(const struct participant *p, uint32_t node, uint32_t incarnation)
{
    struct bytes value;
    struct txn_id id = {.node = node, .incarnation = incarnation};
    return row_get(p, &id, &value) ? get_u64_le(value.data) : 0;
}

static void node_get(const struct participant *p,
                     uint32_t node,
                     uint32_t *out_closed,
                     uint32_t *out_ended)
{
    struct bytes value;
    struct txn_id id = {.node = node};
    bool is_there = row_get(p, &id, &value);
    *out_closed = is_there ? get_u32_le(value.data + NODE_CLOSED) : 0;
    *out_ended = is_there ? get_u32_le(value.data + NODE_ENDED) : 0;
}

static void node_put(struct participant *p, uint32_t node, uint32_t closed, uint32_t ended)
{
    struct blob *value = blob_create(NODE_ROW_BYTES);
    put_u32_le(value->data + NODE_CLOSED, closed);
    put_u32_le(value->data + NODE_ENDED, ended);
    row_put(p, &(struct txn_id){.node = node}, value);
}

/* ---- locks ----------------------------------------------------------------------------------- */

static struct bytes lock_key(struct buf *scratch, uint8_t database, struct bytes key)
{
    buf_clear(scratch, SIZE_MAX);
    buf_append(scratch, &database, 1);
    buf_append_bytes(scratch, key);
    return buf_bytes(scratch);
}

/* The holders of the key, HOLDER_BYTES each; empty: nobody. */
static struct bytes holders_of(const struct participant *p, uint8_t database, struct bytes key)
{
    struct omap_item item;
    bool is_held = omap_get(&p->locks, lock_key(p->lock_key, database, key), &item);
    return is_held ? blob_bytes(item.value) : (struct bytes){0};
}

static bool is_exclusive(struct bytes holders)
{
    return holders.size > 0 && holders.data[ROW_KEY_BYTES] == 1;
}

static void lock(struct participant *p, const struct txn_id *id, const struct txn_lock *l)
{
    struct bytes before = holders_of(p, l->database, l->key);
    ensure(before.size == 0 || (!l->is_exclusive && !is_exclusive(before)));
    struct blob *after = blob_create(before.size + HOLDER_BYTES);
    uint8_t *added = after->data + before.size;
    if (before.size > 0) {
        memcpy(after->data, before.data, before.size);
    }
    (void)row_key(id, added);
    added[ROW_KEY_BYTES] = l->is_exclusive ? 1 : 0;
    omap_put(&p->locks, lock_key(p->lock_key, l->database, l->key), after);
    p->database_locks[l->database]++;
}

static void unlock(struct participant *p, const struct txn_id *id, const struct txn_lock *l)
{
    uint8_t own[ROW_KEY_BYTES];
    struct bytes before = holders_of(p, l->database, l->key);
    (void)row_key(id, own);
    p->database_locks[l->database]--;
    if (before.size == HOLDER_BYTES) {
        ensure(memcmp(before.data, own, sizeof own) == 0);
        omap_remove(&p->locks, lock_key(p->lock_key, l->database, l->key));
        return;
    }
    ensure(before.size > HOLDER_BYTES);
    struct blob *after = blob_create(before.size - HOLDER_BYTES);
    size_t size = 0;
    for (size_t i = 0; i < before.size; i += HOLDER_BYTES) {
        if (memcmp(before.data + i, own, sizeof own) != 0) {
            ensure(size < after->size); /* it is one of them */
            memcpy(after->data + size, before.data + i, HOLDER_BYTES);
            size += HOLDER_BYTES;
        }
    }
    omap_put(&p->locks, lock_key(p->lock_key, l->database, l->key), after);
}

static void each_lock(struct participant *p,
                      const struct txn_id *id,
                      const struct txn_record *record,
                      void (*fn)(struct participant *,
                                 const struct txn_id *,
                                 const struct txn_lock *))
{
    struct bytes locks = record->locks;
    for (uint32_t i = 0; i < record->lock_count; i++) {
        struct txn_lock l;
        enum status status = txn_lock_take(&locks, &l);
        ensure(status == STATUS_OK);
        fn(p, id, &l);
    }
}

/* It is prepared from here on, */
static void take_locks(struct participant *p,
                       const struct txn_id *id,
                       const struct txn_record *record)
{
    uint8_t key[ROW_KEY_BYTES];
    each_lock(p, id, record, lock);
    omap_put(&p->prepared, row_key(id, key), NULL);
    p->prepared_bytes += txn_record_size(record);
}

/* … and no more. */
static void give_locks_back(struct participant *p,
                            const struct txn_id *id,
                            const struct txn_record *record)
{
    uint8_t key[ROW_KEY_BYTES];
    each_lock(p, id, record, unlock);
    omap_remove(&p->prepared, row_key(id, key));
    p->prepared_bytes -= txn_record_size(record);
}

bool participant_conflicts(const struct participant *p, struct bytes locks, uint32_t lock_count)
{
    for (uint32_t i = 0; i < lock_count; i++) {
        struct txn_lock l;
        enum status status = txn_lock_take(&locks, &l);
        ensure(status == STATUS_OK);
        struct bytes holders = holders_of(p, l.database, l.key);
        if (holders.size > 0 && (l.is_exclusive || is_exclusive(holders))) {
            return true;
        }
    }
    return false;
}

bool participant_lock(const struct participant *p,
                      uint8_t database,
                      struct bytes key,
                      struct txn_id *out_id,
                      bool *out_is_exclusive)
{
    struct bytes holders = holders_of(p, database, key);
    if (holders.size == 0) {
        return false;
    }
    *out_id = row_id(bytes_of(holders.data, ROW_KEY_BYTES));
    *out_is_exclusive = is_exclusive(holders);
    return true;
}

bool participant_has_locks(const struct participant *p, uint8_t database)
{
    return p->database_locks[database] > 0;
}

/* ---- votes ----------------------------------------------------------------------------------- */

enum txn_state participant_state(const struct participant *p, const struct txn_id *id)
{
    struct bytes value;
    uint32_t closed = 0;
    uint32_t ended = 0;
    ensure(is_record(id) && id->sequence <= TXN_SEQUENCE_MAX && id->incarnation > 0);
    if (row_get(p, id, &value)) {
        return record_of(value).state;
    }
    node_get(p, id->node, &closed, &ended);
    bool is_over =
        id->incarnation <= ended || id->sequence <= mark_of(p, id->node, id->incarnation);
    return is_over ? TXN_STATE_FINISHED : TXN_STATE_NONE;
}

bool participant_find(const struct participant *p,
                      const struct txn_id *id,
                      struct txn_record *out_record)
{
    struct bytes value;
    bool is_there = row_get(p, id, &value);
    if (is_there) {
        *out_record = record_of(value);
    }
    return is_there;
}

bool participant_is_closed(const struct participant *p, const struct txn_id *id)
{
    uint32_t closed = 0;
    uint32_t ended = 0;
    node_get(p, id->node, &closed, &ended);
    return id->incarnation <= closed;
}

static void put_record(struct participant *p,
                       const struct txn_id *id,
                       const struct txn_record *record)
{
    struct blob *value = blob_create(txn_record_size(record));
    txn_record_encode(record, value->data);
    row_put(p, id, value);
}

void participant_vote(struct participant *p,
                      const struct txn_id *id,
                      const struct txn_record *record)
{
    bool is_yes = record->state == TXN_STATE_YES;
    ensure(is_yes || txn_state_is_no(record->state));
    ensure(participant_state(p, id) == TXN_STATE_NONE);
    if (is_yes) {
        ensure(!participant_is_closed(p, id));
        take_locks(p, id, record);
    }
    put_record(p, id, record);
}

static void put_tombstone(struct participant *p, const struct txn_id *id)
{
    struct txn_record record = {.state = TXN_STATE_NO_VOTE};
    put_record(p, id, &record);
}

enum txn_state participant_ask(struct participant *p, const struct txn_id *id)
{
    enum txn_state state = participant_state(p, id);
    if (state != TXN_STATE_NONE) {
        return state;
    }
    reached("participant: asked before the vote");
    put_tombstone(p, id);
    return TXN_STATE_NO_VOTE;
}

/* ---- outcomes -------------------------------------------------------------------------------- */

enum participant_outcome participant_judge(const struct participant *p,
                                           const struct txn_id *id,
                                           bool is_commit)
{
    static const struct {
        enum participant_outcome abort;
        enum participant_outcome commit;
    } outcomes[] = {
        [TXN_STATE_NONE] = {PARTICIPANT_REFUSES, PARTICIPANT_VIOLATED},
        [TXN_STATE_YES] = {PARTICIPANT_APPLIES, PARTICIPANT_APPLIES},
        [TXN_STATE_NO_CONFLICT] = {PARTICIPANT_REPEATED, PARTICIPANT_VIOLATED},
        [TXN_STATE_NO_COMPARE] = {PARTICIPANT_REPEATED, PARTICIPANT_VIOLATED},
        [TXN_STATE_NO_ERROR] = {PARTICIPANT_REPEATED, PARTICIPANT_VIOLATED},
        [TXN_STATE_NO_VOTE] = {PARTICIPANT_REPEATED, PARTICIPANT_VIOLATED},
        [TXN_STATE_COMMITTED] = {PARTICIPANT_VIOLATED, PARTICIPANT_REPEATED},
        [TXN_STATE_ABORTED] = {PARTICIPANT_REPEATED, PARTICIPANT_VIOLATED},
        [TXN_STATE_FINISHED] = {PARTICIPANT_REPEATED, PARTICIPANT_REPEATED},
    };
    enum txn_state state = participant_state(p, id);
    return is_commit ? outcomes[state].commit : outcomes[state].abort;
}

void participant_drop_reply(struct participant *p, const struct txn_id *id)
{
    struct txn_record record;
    if (participant_find(p, id, &record) && record.state == TXN_STATE_COMMITTED &&
        record.reply.size > 0) {
        record.reply = (struct bytes){0};
        put_record(p, id, &record); /* nothing else of it is borrowed from what it replaces */
    }
}

/*
 * The reply of a committed one is kept for a gateway that did not hear its vote, until the mark
 * passes it. Of a large one only that it was executed, as of any command (DUP-8): there may be many
 * of them, and of a dead gateway they stay.
 */
static struct bytes kept_reply(struct bytes reply)
{
    bool is_kept = reply.size <= DUP_REPLY_BYTES_MAX;
    return is_kept ? reply : (struct bytes){0};
}

void participant_settle(struct participant *p, const struct txn_id *id, bool is_commit)
{
    struct txn_record prepared;
    if (participant_state(p, id) == TXN_STATE_NONE) {
        ensure(!is_commit);
        reached("participant: abort before the vote");
        put_tombstone(p, id);
        return;
    }
    bool is_there = participant_find(p, id, &prepared);
    ensure(is_there && prepared.state == TXN_STATE_YES);
    give_locks_back(p, id, &prepared);
    struct txn_record record = {
        .state = is_commit ? TXN_STATE_COMMITTED : TXN_STATE_ABORTED,
        .content_hash = prepared.content_hash,
        .time_ms = prepared.time_ms,
        .reply = is_commit ? kept_reply(prepared.reply) : (struct bytes){0},
    };
    put_record(p, id, &record);
}

/* ---- marks ----------------------------------------------------------------------------------- */

/* Prepared ones among the rows from first up to and with last. */
static uint64_t count_prepared(const struct participant *p,
                               const struct txn_id *first,
                               const struct txn_id *last)
{
    uint8_t key[ROW_KEY_BYTES];
    uint8_t end[ROW_KEY_BYTES];
    struct omap_item item;
    uint64_t count = 0;
    struct txn_id id = *first;
    (void)row_key(last, end);
    while (omap_seek(&p->prepared, row_key(&id, key), &item) &&
           bytes_compare(item.key, bytes_of(end, sizeof end)) <= 0) {
        id = row_id(item.key);
        id.sequence++; /* at most TXN_SEQUENCE_MAX + 1 */
        count++;
    }
    return count;
}

bool participant_raise(struct participant *p, uint32_t node, uint32_t incarnation, uint64_t mark)
{
    uint32_t closed = 0;
    uint32_t ended = 0;
    ensure(incarnation > 0 && mark <= TXN_SEQUENCE_MAX);
    node_get(p, node, &closed, &ended);
    uint64_t before = mark_of(p, node, incarnation);
    if (incarnation <= ended || mark <= before) {
        return true;
    }
    struct txn_id first = {.node = node, .incarnation = incarnation, .sequence = before + 1};
    struct txn_id last = {.node = node, .incarnation = incarnation, .sequence = mark};
    if (count_prepared(p, &first, &last) > 0) {
        return false;
    }
    rows_drop(p, &first, &last);
    struct blob *value = blob_create(MARK_ROW_BYTES);
    put_u64_le(value->data, mark);
    row_put(p, &(struct txn_id){.node = node, .incarnation = incarnation}, value);
    return true;
}

static uint64_t count_prepared_until(const struct participant *p,
                                     uint32_t node,
                                     uint32_t incarnation)
{
    struct txn_id first = {.node = node, .incarnation = 1};
    struct txn_id last = {.node = node, .incarnation = incarnation, .sequence = UINT64_MAX};
    return count_prepared(p, &first, &last);
}

uint64_t participant_close(struct participant *p, uint32_t node, uint32_t incarnation)
{
    uint32_t closed = 0;
    uint32_t ended = 0;
    node_get(p, node, &closed, &ended);
    if (incarnation > closed) {
        node_put(p, node, incarnation, ended);
    }
    return count_prepared_until(p, node, incarnation);
}

bool participant_end(struct participant *p, uint32_t node, uint32_t incarnation)
{
    uint32_t closed = 0;
    uint32_t ended = 0;
    node_get(p, node, &closed, &ended);
    if (incarnation <= ended) {
        return true;
    }
    if (incarnation > closed || count_prepared_until(p, node, incarnation) > 0) {
        return false;
    }
    struct txn_id first = {.node = node, .incarnation = 1};
    struct txn_id last = {.node = node, .incarnation = incarnation, .sequence = UINT64_MAX};
    rows_drop(p, &first, &last);
    node_put(p, node, closed, incarnation);
    return true;
}

/* ---- prepared ones --------------------------------------------------------------------------- */

uint64_t participant_prepared_count(const struct participant *p)
{
    return p->prepared.count;
}

uint64_t participant_prepared_bytes(const struct participant *p)
{
    return p->prepared_bytes;
}

uint64_t participant_record_count(const struct participant *p)
{
    uint64_t count = 0;
    const struct omap_node *at = NULL;
    struct omap_item item;
    while (omap_next(&p->rows, &at, &item)) {
        struct txn_id id = row_id(item.key);
        count += is_record(&id) ? 1 : 0;
    }
    return count;
}

void participant_each_prepared(const struct participant *p,
                               bool (*fn)(void *ctx,
                                          const struct txn_id *id,
                                          const struct txn_record *record),
                               void *ctx)
{
    const struct omap_node *at = NULL;
    struct omap_item item;
    while (omap_next(&p->prepared, &at, &item)) {
        struct txn_id id = row_id(item.key);
        struct bytes value;
        bool is_there = row_get(p, &id, &value);
        ensure(is_there);
        struct txn_record record = record_of(value);
        if (!fn(ctx, &id, &record)) {
            return;
        }
    }
}

/* ---- saving ---------------------------------------------------------------------------------- */

void participant_save(struct participant *p,
                      void (*row)(void *ctx, const struct txn_id *id, const struct bytes *value),
                      void *ctx)
{
    const struct omap_node *at = NULL;
    struct omap_item item;
    while (omap_next(&p->unsaved, &at, &item)) {
        struct txn_id id = row_id(item.key);
        struct bytes value;
        row(ctx, &id, row_get(p, &id, &value) ? &value : NULL);
    }
    omap_deinit(&p->unsaved);
    omap_init(&p->unsaved);
}

/* True: no lock of the record is there yet that would not go with it. */
static bool can_lock(const struct participant *p, const struct txn_record *record)
{
    return record->state != TXN_STATE_YES ||
           !participant_conflicts(p, record->locks, record->lock_count);
}

static enum status check_row(const struct participant *p,
                             const struct txn_id *id,
                             struct bytes value,
                             struct txn_record *out_record)
{
    uint32_t closed = 0;
    uint32_t ended = 0;
    if (id->incarnation == 0) {
        bool is_good = id->sequence == 0 && value.size == NODE_ROW_BYTES &&
                       get_u32_le(value.data + NODE_ENDED) <= get_u32_le(value.data + NODE_CLOSED);
        return is_good ? STATUS_OK : STATUS_CORRUPT;
    }
    node_get(p, id->node, &closed, &ended);
    if (id->incarnation <= ended) {
        return STATUS_CORRUPT;
    }
    if (id->sequence > TXN_SEQUENCE_MAX) {
        return STATUS_CORRUPT;
    }
    if (id->sequence == 0) {
        return value.size == MARK_ROW_BYTES ? STATUS_OK : STATUS_CORRUPT;
    }
    enum status status = txn_record_decode(value, out_record);
    bool is_good = status == STATUS_OK && id->sequence > mark_of(p, id->node, id->incarnation) &&
                   can_lock(p, out_record);
    return is_good ? STATUS_OK : STATUS_CORRUPT;
}

enum status participant_load(struct participant *p, const struct txn_id *id, struct bytes value)
{
    struct txn_record record = {0};
    struct omap_item last;
    uint8_t key[ROW_KEY_BYTES];
    bool is_next = !omap_last(&p->rows, &last) || bytes_compare(last.key, row_key(id, key)) < 0;
    if (!is_next || check_row(p, id, value, &record) != STATUS_OK) {
        return STATUS_CORRUPT;
    }
    struct blob *copy = blob_create(value.size);
    memcpy(copy->data, value.data, value.size);
    omap_put(&p->rows, row_key(id, key), copy);
    if (record.state == TXN_STATE_YES) {
        take_locks(p, id, &record);
    }
    return STATUS_OK;
}

/* ---- the table ------------------------------------------------------------------------------- */

struct participant *participant_create(void)
{
    struct participant *p = mem_alloc_zero(sizeof *p);
    omap_init(&p->rows);
    omap_init(&p->unsaved);
    p->fresh = blob_create(0);
    omap_init(&p->locks);
    omap_init(&p->prepared);
    p->lock_key = mem_alloc(sizeof *p->lock_key);
    buf_init(p->lock_key, 1 + LIMIT_KEY_BYTES);
    return p;
}

void participant_destroy(struct participant *p)
{
    if (p == NULL) {
        return;
    }
    omap_deinit(&p->rows);
    omap_deinit(&p->unsaved);
    blob_unref(p->fresh);
    omap_deinit(&p->locks);
    omap_deinit(&p->prepared);
    buf_deinit(p->lock_key);
    mem_free(p->lock_key);
    mem_free(p);
}

uint64_t participant_memory(const struct participant *p)
{
    return sizeof *p + omap_memory(&p->rows) + omap_memory(&p->unsaved) + omap_memory(&p->locks) +
           omap_memory(&p->prepared);
}

uint64_t participant_hash(const struct participant *p)
{
    const struct omap_node *at = NULL;
    struct omap_item item;
    uint64_t hash = p->rows.count;
    while (omap_next(&p->rows, &at, &item)) {
        struct bytes value = blob_bytes(item.value);
        hash = XXH3_64bits_withSeed(item.key.data, item.key.size, hash);
        hash = XXH3_64bits_withSeed(value.data, value.size, hash);
    }
    return hash;
}
