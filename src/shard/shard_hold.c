/*
 * What the leader holds because of key locks (docs/decisions/0016, TXN-3). It lives in this
 * leader's memory and decides only what is not proposed yet (ORD-1).
 *
 * No write is proposed on a key that is locked in the applied state, or that a PREPARE proposed and
 * not applied may lock, or before everything an earlier leader proposed is applied. So by the order
 * of the log no entry finds a key locked that it names. Behind a held write wait those of its chain
 * and those that name one of its keys; behind a held read those of its chain.
 */
#include "base/assert.h"
#include "base/endian.h"
#include "base/mem.h"
#include "shard/shard_txn.h"

/* More is refused: requests, and bytes of writes, unless it is the only one. */
#define HELD_WRITES_MAX 4096u
#define HELD_READS_MAX 4096u
#define HELD_BYTES_MAX (16u * MIB)
/* What waits is named by database and key, or by one of these and what it is. */
#define NAME_CHAIN 0xffu
#define NAME_DATABASE 0xfeu /* all of it */
#define NAME_SIZE_BYTES 4u
/* So much older than their arrival may PREPAREs in line count. */
#define LINE_MS 1000u

static struct shard_request *request_of(struct list *link)
{
    return container_of(link, struct shard_request, link);
}

/* ---- names ----------------------------------------------------------------------------------- */

static struct bytes key_name(struct hold *h, uint8_t database, struct bytes key)
{
    buf_clear(&h->name, SIZE_MAX);
    buf_append(&h->name, &database, 1);
    buf_append_bytes(&h->name, key);
    return buf_bytes(&h->name);
}

static struct bytes chain_name(struct hold *h, uint64_t chain)
{
    uint8_t tag = NAME_CHAIN;
    buf_clear(&h->name, SIZE_MAX);
    buf_append(&h->name, &tag, 1);
    put_u64_le(buf_reserve(&h->name, sizeof chain), chain);
    buf_extend(&h->name, sizeof chain);
    return buf_bytes(&h->name);
}

static struct bytes database_name(struct hold *h, uint8_t database)
{
    uint8_t tag = NAME_DATABASE;
    return key_name(h, tag, bytes_of(&database, 1));
}

static bool has(const struct omap *names, struct bytes name)
{
    struct omap_item item;
    return omap_get(names, name, &item);
}

static void forget_names(struct omap *names)
{
    omap_deinit(names);
    omap_init(names);
}

void shard_hold_init(struct shard *s)
{
    struct hold *h = &s->hold;
    list_init(&h->writes);
    list_init(&h->reads);
    omap_init(&h->names);
    omap_init(&h->chains);
    omap_init(&h->tail);
    buf_init(&h->name, 1 + LIMIT_KEY_BYTES);
}

void shard_hold_deinit(struct shard *s)
{
    struct hold *h = &s->hold;
    omap_deinit(&h->names);
    omap_deinit(&h->chains);
    omap_deinit(&h->tail);
    buf_deinit(&h->name);
}

void shard_hold_update(struct shard *s)
{
    struct hold *h = &s->hold;
    h->is_needed = h->is_inheriting || h->tail_count > 0 || h->write_count > 0 ||
                   participant_prepared_count(s->participant) > 0;
}

bool shard_may_hold(const struct shard *s)
{
    return s->hold.is_needed;
}

/* ---- PREPAREs on their way ------------------------------------------------------------------- */

struct expecting {
    struct shard *shard;
    struct proposal *proposal;
};

static bool expect_key(void *ctx, uint8_t database, struct bytes key, bool is_written)
{
    struct expecting *e = ctx;
    struct proposal *p = e->proposal;
    struct bytes name = key_name(&e->shard->hold, database, key);
    struct blob *number = blob_create(sizeof(uint64_t));
    (void)is_written;
    put_u64_le(number->data, p->number);
    omap_put(&e->shard->hold.tail, name, number);
    put_u32_le(buf_reserve(&p->lock_names, NAME_SIZE_BYTES), (uint32_t)name.size);
    buf_extend(&p->lock_names, NAME_SIZE_BYTES);
    buf_append_bytes(&p->lock_names, name);
    return true;
}

/* Nobody waits for that key. */
static bool is_unwanted(void *ctx, uint8_t database, struct bytes key, bool is_written)
{
    struct hold *h = &((struct shard *)ctx)->hold;
    (void)is_written;
    return !has(&h->names, database_name(h, database)) &&
           !has(&h->names, key_name(h, database, key));
}

bool shard_hold_expect(struct shard *s,
                       struct proposal *p,
                       const struct command *row,
                       const struct entry_command *c)
{
    struct expecting e = {.shard = s, .proposal = p};
    if (s->hold.write_count > 0 && !shard_each_key(s, row, c, is_unwanted, s)) {
        return false;
    }
    if (p->prepare_count++ == 0) {
        buf_init(&p->lock_names, SIZE_MAX / 2);
    }
    s->hold.tail_count++;
    s->hold.is_needed = true;
    (void)shard_each_key(s, row, c, expect_key, &e);
    return true;
}

void shard_hold_settle(struct shard *s, struct proposal *p)
{
    struct hold *h = &s->hold;
    struct bytes names = buf_bytes(&p->lock_names);
    if (p->prepare_count == 0) {
        return;
    }
    while (names.size > 0) {
        size_t size = get_u32_le(names.data);
        struct bytes name = bytes_of(names.data + NAME_SIZE_BYTES, size);
        struct omap_item item;
        if (omap_get(&h->tail, name, &item) && get_u64_le(item.value->data) == p->number) {
            omap_remove(&h->tail, name);
        }
        names = bytes_of(name.data + size, names.size - NAME_SIZE_BYTES - size);
    }
    buf_deinit(&p->lock_names);
    ensure(h->tail_count >= p->prepare_count);
    h->tail_count -= p->prepare_count;
    h->has_changed = true;
}

/* ---- writes ---------------------------------------------------------------------------------- */

/* What wants free keys; all others take their chances, or do without (TXN-16). */
static bool may_wait(struct shard *s, const struct command *row)
{
    struct txn_work work;
    if (row->handler != NULL || row->id == COMMAND_ID_EXEC) {
        return true;
    }
    if (row->id != COMMAND_ID_TXNPREPARE) {
        return false;
    }
    enum status status = txn_work_read(s->args.list[1], &work);
    ensure(status == STATUS_OK); /* shard_txn_check */
    /* One that comes again must not wait for itself. */
    return (work.flags & TXN_WAITS) != 0 &&
           participant_state(s->participant, &work.id) == TXN_STATE_NONE;
}

static bool is_free(void *ctx, uint8_t database, struct bytes key, bool is_written)
{
    struct shard *s = ctx;
    struct hold *h = &s->hold;
    struct txn_id holder;
    bool is_exclusive = false;
    (void)is_written;
    if (participant_lock(s->participant, database, key, &holder, &is_exclusive)) {
        return false;
    }
    if (h->tail_count == 0 && h->write_count == 0) {
        return true;
    }
    if (h->write_count > 0 && has(&h->names, database_name(h, database))) {
        return false;
    }
    struct bytes name = key_name(h, database, key);
    return !has(&h->tail, name) && !has(&h->names, name);
}

/* Whole databases: FLUSHDB, FLUSHALL; DBSIZE, SCAN. */
static bool is_of_databases(const struct command *row)
{
    return row->handler != NULL && row->keys.first == 0;
}

/* A PREPARE on its way may lock a key of it. */
static bool may_be_locked(const struct hold *h, uint8_t database)
{
    struct omap_item item;
    return omap_seek(&h->tail, bytes_of(&database, 1), &item) && item.key.data[0] == database;
}

/* No key of it is locked, or may be. Others are none of its business: they might never be free. */
static bool is_database_free(const struct shard *s,
                             const struct command *row,
                             const struct entry_command *c)
{
    bool is_one = row->id == COMMAND_ID_FLUSHDB;
    for (uint8_t i = 0; i < LIMIT_DATABASES; i++) {
        bool is_its = !is_one || i == c->database;
        if (is_its && (participant_has_locks(s->participant, i) || may_be_locked(&s->hold, i))) {
            return false;
        }
    }
    return true;
}

static bool must_wait(struct shard *s,
                      const struct shard_request *r,
                      const struct command *row,
                      const struct entry_command *c)
{
    struct hold *h = &s->hold;
    if (!h->is_needed || !may_wait(s, row)) {
        return false;
    }
    if (h->is_inheriting || (r->chain != 0 && has(&h->names, chain_name(h, r->chain)))) {
        return true;
    }
    return is_of_databases(row) ? !is_database_free(s, row, c)
                                : !shard_each_key(s, row, c, is_free, s);
}

static bool add_name(void *ctx, uint8_t database, struct bytes key, bool is_written)
{
    struct shard *s = ctx;
    (void)is_written;
    omap_put(&s->hold.names, key_name(&s->hold, database, key), NULL);
    return true;
}

/*
 * Of a PREPARE the time at its gateway; 0: it is none. A clock that is slow gives no right to pass
 * everybody: no more than LINE_MS is believed, so who has waited so long is passed by nobody new.
 */
static uint64_t age_of(struct shard *s, const struct command *row)
{
    struct txn_work work;
    if (row->id != COMMAND_ID_TXNPREPARE) {
        return 0;
    }
    enum status status = txn_work_read(s->args.list[1], &work);
    ensure(status == STATUS_OK); /* shard_txn_check */
    uint64_t wall_ms = env_wall_ms(s->env);
    uint64_t oldest_ms = wall_ms > LINE_MS ? wall_ms - LINE_MS : 1;
    return work.time_ms > oldest_ms ? work.time_ms : oldest_ms;
}

/*
 * PREPAREs in line stand by their age: an old one has keys of other groups, and has waited for
 * them. By arrival it would wait behind all who want this key alone, and everybody behind it with
 * it. They pass nothing else, and each is alone in its chain.
 */
static void stand_in_line(struct hold *h, struct shard_request *r)
{
    struct list *at = &h->writes;
    while (r->age_ms != 0 && at->prev != &h->writes && request_of(at->prev)->age_ms > r->age_ms) {
        at = at->prev;
    }
    list_insert_before(at, &r->link);
}

static void hold_write(struct shard *s,
                       struct shard_request *r,
                       const struct command *row,
                       const struct entry_command *c)
{
    struct hold *h = &s->hold;
    if (r->chain != 0) {
        omap_put(&h->names, chain_name(h, r->chain), NULL);
    }
    if (is_of_databases(row)) {
        for (uint8_t i = 0; i < LIMIT_DATABASES; i++) {
            if (row->id != COMMAND_ID_FLUSHDB || i == c->database) {
                omap_put(&h->names, database_name(h, i), NULL);
            }
        }
    }
    r->age_ms = age_of(s, row);
    (void)shard_each_key(s, row, c, add_name, s);
    stand_in_line(h, r);
    h->write_count++;
    h->write_bytes += r->bytes.size;
}

bool shard_hold_write(struct shard *s,
                      struct shard_request *r,
                      const struct command *row,
                      const struct entry_command *c)
{
    struct hold *h = &s->hold;
    if (!must_wait(s, r, row, c)) {
        return false;
    }
    s->stats->lock_waits++;
    bool is_too_much =
        h->write_count >= HELD_WRITES_MAX || h->write_bytes + r->bytes.size > HELD_BYTES_MAX;
    if (h->write_count > 0 && is_too_much) {
        reached("shard: too many writes wait for locks");
        r->done(r, SHARD_REFUSED);
        return true;
    }
    reached("shard: a write waits for a lock");
    hold_write(s, r, row, c);
    return true;
}

/* The command again, into s->args. */
static const struct command *read_request(struct shard *s,
                                          const struct shard_request *r,
                                          struct entry_command *out_command)
{
    struct entry_reader reader;
    const struct command *row = NULL;
    entry_reader_of(r->bytes, &reader);
    enum status status = shard_read_command(s, &reader, out_command, &row);
    ensure(status == STATUS_OK); /* it was read when it came */
    return row;
}

/* In their order: each waits on for what is locked, or for one before it. */
static void release_writes(struct shard *s)
{
    struct hold *h = &s->hold;
    struct list waiting;
    struct list *link = NULL;
    list_init(&waiting);
    list_move_all(&waiting, &h->writes);
    forget_names(&h->names);
    h->write_count = 0;
    h->write_bytes = 0;
    while ((link = list_take_first(&waiting)) != NULL) {
        struct shard_request *r = request_of(link);
        struct entry_command c;
        const struct command *row = read_request(s, r, &c);
        h->is_needed = true; /* as shard_hold_update would say, or nearly so */
        if (shard_is_out_of_space(s)) {
            /* All of them: one that went on waiting could overtake those before it (ORD-7), which
               may be asked for again. */
            reached("shard: held write refused, disks are full");
            r->done(r, SHARD_NO_SPACE);
        } else if (must_wait(s, r, row, &c)) {
            hold_write(s, r, row, &c);
        } else {
            shard_gather_write(s, r, row, &c);
        }
    }
}

/* ---- reads ----------------------------------------------------------------------------------- */

static bool is_readable(void *ctx, uint8_t database, struct bytes key, bool is_written)
{
    struct shard *s = ctx;
    struct txn_id holder;
    bool is_exclusive = false;
    (void)is_written;
    return !participant_lock(s->participant, database, key, &holder, &is_exclusive) ||
           !is_exclusive;
}

/*
 * It may not show that an acknowledged transaction is half done. Those that are prepared later it
 * need not show, so it waits for no more than there are when it first comes so far.
 */
static bool is_database_readable(struct shard *s,
                                 struct shard_request *r,
                                 const struct entry_command *c)
{
    if (!participant_has_locks(s->participant, c->database)) {
        return true;
    }
    r->vote = r->vote == 0 ? s->vote_last : r->vote;
    return shard_txn_oldest_vote(s) > r->vote;
}

static bool is_read_free(struct shard *s,
                         struct shard_request *r,
                         const struct command *row,
                         const struct entry_command *c)
{
    return is_of_databases(row) ? is_database_readable(s, r, c)
                                : shard_each_key(s, row, c, is_readable, s);
}

bool shard_hold_read(struct shard *s,
                     struct shard_request *r,
                     const struct command *row,
                     const struct entry_command *c,
                     bool is_locked)
{
    struct hold *h = &s->hold;
    bool is_behind = h->read_count > 0 && r->chain != 0 && has(&h->chains, chain_name(h, r->chain));
    bool is_looked_at = participant_prepared_count(s->participant) > 0;
    if (!is_locked && !is_behind && (!is_looked_at || is_read_free(s, r, row, c))) {
        return false;
    }
    list_remove(&r->link);
    s->stats->lock_waits++;
    if (h->read_count >= HELD_READS_MAX) {
        reached("shard: too many reads wait for locks");
        r->done(r, SHARD_REFUSED);
        return true;
    }
    reached("shard: a read waits for a lock");
    if (r->chain != 0) {
        omap_put(&h->chains, chain_name(h, r->chain), NULL);
    }
    list_append(&h->reads, &r->link);
    h->read_count++;
    return true;
}

/* Before all others: they came before them. */
static void release_reads(struct shard *s)
{
    struct hold *h = &s->hold;
    struct list rest;
    list_init(&rest);
    list_move_all(&rest, &s->reads);
    list_move_all(&s->reads, &h->reads);
    list_move_all(&s->reads, &rest);
    forget_names(&h->chains);
    h->read_count = 0;
}

/* ---- both ------------------------------------------------------------------------------------ */

void shard_hold_release(struct shard *s)
{
    struct hold *h = &s->hold;
    if (h->is_inheriting && replica_is_settled(s->replica)) {
        h->is_inheriting = false;
        h->has_changed = true;
    }
    if (!h->has_changed) {
        return;
    }
    h->has_changed = false;
    if (h->write_count > 0) {
        release_writes(s);
    }
    if (h->read_count > 0) {
        release_reads(s);
    }
    shard_hold_update(s);
}

static void refuse(struct list *requests)
{
    struct list refused;
    struct list *link = NULL;
    list_init(&refused);
    list_move_all(&refused, requests);
    while ((link = list_take_first(&refused)) != NULL) {
        struct shard_request *r = request_of(link);
        r->done(r, SHARD_REFUSED);
    }
}

void shard_hold_refuse(struct shard *s)
{
    struct hold *h = &s->hold;
    forget_names(&h->names);
    forget_names(&h->chains);
    h->write_count = 0;
    h->write_bytes = 0;
    h->read_count = 0;
    refuse(&h->writes);
    refuse(&h->reads);
    shard_hold_update(s);
}

void shard_hold_inherit(struct shard *s)
{
    s->hold.is_inheriting = replica_is_leader(s->replica) && !replica_is_settled(s->replica);
    s->led_since_us = env_now_us(s->env);
    shard_hold_update(s);
}
