/*
 * The internal commands of transactions where they apply: votes, outcomes, marks
 * (docs/decisions/0016, TXN-1 to TXN-12). The table of votes and locks is participant.c.
 */
#include "shard/shard_txn.h"

#include "base/assert.h"
#include "base/endian.h"
#include "base/mem.h"
#include "protocol/resp_reply.h"
#include "protocol/resp_writer.h"

#define SINCE_KEY_BYTES 16u
#define SINCE_BYTES 16u /* when, in us; number of the vote */
#define SINCE_NUMBER 8u

/* ---- since when ------------------------------------------------------------------------------ */

static struct bytes since_key(const struct txn_id *id, uint8_t out_key[SINCE_KEY_BYTES])
{
    put_u32_be(out_key, id->node);
    put_u32_be(out_key + 4, id->incarnation);
    put_u64_be(out_key + 8, id->sequence);
    return bytes_of(out_key, SINCE_KEY_BYTES);
}

static void set_since(struct shard *s, const struct txn_id *id)
{
    uint8_t key[SINCE_KEY_BYTES];
    struct blob *value = blob_create(SINCE_BYTES);
    put_u64_le(value->data, env_now_us(s->env));
    put_u64_le(value->data + SINCE_NUMBER, ++s->vote_last);
    omap_put(&s->prepared_since, since_key(id, key), value);
}

uint64_t shard_txn_oldest_vote(const struct shard *s)
{
    const struct omap_node *at = NULL;
    struct omap_item item;
    uint64_t oldest = UINT64_MAX;
    if (s->prepared_since.count < participant_prepared_count(s->participant)) {
        return 0;
    }
    while (omap_next(&s->prepared_since, &at, &item)) {
        uint64_t number = get_u64_le(item.value->data + SINCE_NUMBER);
        oldest = number < oldest ? number : oldest;
    }
    return oldest;
}

struct each_prepared {
    struct shard *shard;
    void (*fn)(void *ctx,
               const struct txn_id *id,
               const struct txn_record *record,
               uint64_t since_us);
    void *ctx;
};

static bool tell_prepared(void *ctx, const struct txn_id *id, const struct txn_record *record)
{
    struct each_prepared *e = ctx;
    uint8_t key[SINCE_KEY_BYTES];
    struct omap_item item;
    uint64_t since_us = e->shard->led_since_us;
    if (omap_get(&e->shard->prepared_since, since_key(id, key), &item)) {
        uint64_t voted_us = get_u64_le(item.value->data);
        since_us = voted_us > since_us ? voted_us : since_us;
    }
    e->fn(e->ctx, id, record, since_us);
    return true;
}

void shard_each_prepared(struct shard *s,
                         void (*fn)(void *ctx,
                                    const struct txn_id *id,
                                    const struct txn_record *record,
                                    uint64_t since_us),
                         void *ctx)
{
    struct each_prepared e = {.shard = s, .fn = fn, .ctx = ctx};
    if (replica_is_leader(s->replica)) {
        participant_each_prepared(s->participant, tell_prepared, &e);
    }
}

struct shard_txn_counts shard_txn_counts(const struct shard *s)
{
    return (struct shard_txn_counts){
        .prepared = participant_prepared_count(s->participant),
        .records = participant_record_count(s->participant),
    };
}

enum txn_state shard_txn_state(const struct shard *s, const struct txn_id *id)
{
    return participant_state(s->participant, id);
}

/* ---- answers --------------------------------------------------------------------------------- */

static uint32_t count_replies(struct bytes replies)
{
    uint32_t count = 0;
    while (replies.size > 0) {
        size_t size = 0;
        enum status status = resp_reply_size(replies, &size);
        ensure(status == STATUS_OK); /* handlers wrote them */
        replies = bytes_of(replies.data + size, replies.size - size);
        count++;
    }
    return count;
}

static void answer_state(struct shard *s, enum txn_state state, struct buf *reply)
{
    struct txn_answer answer = {.state = state};
    exec_answer(s, reply, &answer);
}

static void answer_count(struct shard *s, uint64_t prepared, struct buf *reply)
{
    struct txn_answer answer = {.prepared = prepared};
    exec_answer(s, reply, &answer);
}

/* As it is recorded, or NONE and FINISHED. */
static void answer_recorded(struct shard *s, const struct txn_id *id, struct buf *reply)
{
    struct txn_answer answer = {.state = participant_state(s->participant, id)};
    struct txn_record record;
    if (participant_find(s->participant, id, &record)) {
        if (record.state == TXN_STATE_NO_COMPARE) {
            answer.is_watched = record.reply.size > 0;
        } else {
            answer.replies = record.reply;
            answer.reply_count = count_replies(record.reply);
        }
    }
    exec_answer(s, reply, &answer);
}

/* Nothing of it was executed, and there is no vote. */
static void refuse_size(struct buf *reply)
{
    resp_write_errorf(reply,
                      "ERR the transaction is too large: in one group it may write at most %u "
                      "bytes, and until it is decided keep at most %u bytes of keys, values and "
                      "replies; nothing was executed",
                      LIMIT_TRANSACTION_ROWS_BYTES,
                      SHARD_TXN_RECORD_BYTES);
}

/* What the protocol forbids has happened: this replica's state, or another's, is not to be trusted.
 */
static enum status violated(struct shard *s, const struct txn_id *id, const char *rule)
{
    env_halt(s->env,
             "group %u: transaction %u.%u.%llu: %s; the data of some node is damaged or came from "
             "an older copy: keep all of it, and report this",
             (unsigned)s->options.group,
             (unsigned)id->node,
             (unsigned)id->incarnation,
             (unsigned long long)id->sequence,
             rule);
    return STATUS_CORRUPT;
}

static enum status raise_mark(struct shard *s, const struct txn_id *id, uint64_t mark)
{
    if (participant_raise(s->participant, id->node, id->incarnation, mark)) {
        return STATUS_OK;
    }
    return violated(s, id, "its coordinator's mark passed one that is prepared (TXN-10)");
}

/* The view says NEED, though all was at hand: a row is damaged, or the store has halted the node.
 */
static enum status damaged(const struct shard *s)
{
    if (s->env->is_halted) {
        return STATUS_CORRUPT;
    }
    ensure(s->apply_view.damage != STATUS_OK);
    return s->apply_view.damage;
}

/*
 * ORD-4. No gateway raises group time further above the leader's clock than the bound; else the
 * reply says so. (Not above group time itself: step by step that could be taken anywhere.)
 */
static bool take_time(struct shard *s, uint64_t time_ms, struct buf *reply)
{
    if (time_ms > s->time_ms && time_ms > s->stamp_ms + SHARD_CLOCK_AHEAD_MS) {
        reached("shard: a gateway's clock is ahead");
        resp_write_error(reply,
                         "ERR the clock of the node this client talks to is ahead of the others'");
        return false;
    }
    shard_advance_time(s, time_ms);
    return true;
}

static void begin_view(struct shard *s)
{
    struct keyspace space = shard_space(s, 0);
    view_local_begin(&s->apply_view, &space, s->time_ms, 0);
}

/* ---- one group alone ------------------------------------------------------------------------- */

/* All or nothing: on the overlay first. Strict ones, and those that may turn out too large. */
static enum status run_apart(struct shard *s,
                             struct exec *e,
                             const struct txn_work *work,
                             bool is_strict)
{
    struct buf effects;
    enum status status = STATUS_OK;
    e->view = &s->overlay.base;
    e->overlay = &s->overlay;
    s->overlay.now_ms = e->now_ms;
    if (!exec_run(s, e, work)) {
        status = damaged(s);
    } else if (!e->writes_too_much && !(is_strict && e->has_failed)) {
        buf_init(&effects, SIZE_MAX / 2);
        view_overlay_effects(&s->overlay, &effects);
        if (effects_apply(buf_bytes(&effects), &s->apply_view.base) != STATUS_OK) {
            status = damaged(s);
        }
        buf_deinit(&effects);
    }
    view_overlay_clear(&s->overlay);
    return status;
}

static void answer_exec(struct shard *s, const struct exec *e, bool is_strict, struct buf *reply)
{
    struct txn_answer answer = {
        .state = TXN_STATE_COMMITTED,
        .reply_count = e->reply_count,
        .replies = buf_bytes(&e->replies),
    };
    if (e->writes_too_much) {
        refuse_size(reply);
        return;
    }
    if (is_strict && e->has_failed) {
        answer.state = TXN_STATE_NO_ERROR;
        answer.reply_count = 1;
        answer.replies = exec_error(e);
    }
    exec_answer(s, reply, &answer);
}

static enum status run_exec(struct shard *s,
                            const struct txn_work *work,
                            uint64_t seed,
                            struct buf *reply)
{
    struct exec e;
    bool is_strict = (work->flags & TXN_STRICT) != 0;
    enum status status = STATUS_OK;
    exec_init(&e, &s->apply_view.base, s->time_ms, seed);
    if (is_strict || shard_work_grows(s, work)) {
        status = run_apart(s, &e, work, is_strict);
    } else if (!exec_run(s, &e, work)) {
        status = damaged(s);
    }
    if (status == STATUS_OK) {
        answer_exec(s, &e, is_strict, reply);
    }
    exec_deinit(&e);
    return status;
}

static enum status apply_exec(struct shard *s,
                              const struct txn_work *work,
                              uint64_t seed,
                              struct buf *reply)
{
    bool differs = false;
    bool is_watched = false;
    if (!take_time(s, work->time_ms, reply)) {
        return STATUS_OK;
    }
    begin_view(s);
    if (!exec_compare(&s->apply_view.base, work, &differs, &is_watched)) {
        return damaged(s);
    }
    if (differs) {
        struct txn_answer answer = {.state = TXN_STATE_NO_COMPARE, .is_watched = is_watched};
        exec_answer(s, reply, &answer);
        return STATUS_OK;
    }
    return run_exec(s, work, seed, reply);
}

/* ---- locks of a vote ------------------------------------------------------------------------- */

/* Database and key → a value if it is exclusive, none if it is shared. */
struct locks {
    struct omap map;
    struct buf name;
};

static bool add_lock(void *ctx, uint8_t database, struct bytes key, bool is_written)
{
    struct locks *l = ctx;
    struct omap_item item;
    buf_clear(&l->name, SIZE_MAX);
    buf_append(&l->name, &database, 1);
    buf_append_bytes(&l->name, key);
    bool is_there = omap_get(&l->map, buf_bytes(&l->name), &item);
    if (!is_there || (is_written && item.value == NULL)) {
        omap_put(&l->map, buf_bytes(&l->name), is_written ? blob_create(0) : NULL);
    }
    return true;
}

/* Each key once, the stronger mode (TXN-3). */
static uint32_t collect_locks(struct shard *s, const struct txn_work *work, struct buf *out)
{
    struct locks l;
    const struct omap_node *at = NULL;
    struct omap_item item;
    uint32_t count = 0;
    omap_init(&l.map);
    buf_init(&l.name, 1 + LIMIT_KEY_BYTES);
    (void)shard_each_work_key(s, work, add_lock, &l);
    while (omap_next(&l.map, &at, &item)) {
        struct txn_lock lock = {
            .database = item.key.data[0],
            .is_exclusive = item.value != NULL,
            .key = bytes_of(item.key.data + 1, item.key.size - 1),
        };
        txn_lock_append(out, &lock);
        count++;
    }
    omap_deinit(&l.map);
    buf_deinit(&l.name);
    return count;
}

static bool is_locked(const struct shard *s, uint8_t database, struct bytes key)
{
    struct txn_id holder;
    bool is_exclusive = false;
    return participant_lock(s->participant, database, key, &holder, &is_exclusive);
}

/*
 * A key that has expired, and that somebody holds a lock on who saw it: it stays until that one is
 * decided, and so it can be neither shown nor said to be gone.
 */
static enum status meets_held_expiry(struct shard *s, struct bytes locks, bool *out_meets)
{
    struct txn_lock lock;
    *out_meets = false;
    while (locks.size > 0 && !*out_meets) {
        enum status status = txn_lock_take(&locks, &lock);
        ensure(status == STATUS_OK);
        if (!is_locked(s, lock.database, lock.key)) {
            continue;
        }
        view_select(&s->apply_view.base, lock.database);
        status = view_local_has_expired(&s->apply_view, lock.key, out_meets);
        if (status != STATUS_OK) {
            return damaged(s);
        }
    }
    return STATUS_OK;
}

/* ---- votes ----------------------------------------------------------------------------------- */

/* A vote under construction. */
struct vote {
    const struct txn_work *work;
    struct txn_record record;
    struct buf locks;
    uint32_t lock_count;
    struct buf effects;
    bool is_too_large; /* no vote, then */
};

static void give(struct shard *s, struct vote *v, enum txn_state state, struct bytes reply)
{
    v->record = (struct txn_record){
        .state = state,
        .content_hash = txn_work_hash(v->work),
        .time_ms = v->work->time_ms,
        .reply = reply,
    };
    if (state == TXN_STATE_YES) {
        v->record.participant_count = v->work->participant_count;
        v->record.participants = v->work->participants;
        v->record.lock_count = v->lock_count;
        v->record.locks = buf_bytes(&v->locks);
        v->record.effects =
            (v->work->flags & TXN_IS_EFFECTS) != 0 ? v->work->body : buf_bytes(&v->effects);
        set_since(s, &v->work->id);
    }
    participant_vote(s->participant, &v->work->id, &v->record);
}

/* Unless it is too large, or there is no room now beside what is prepared already. */
static void give_yes(struct shard *s, struct vote *v, const struct exec *e)
{
    bool is_effects = (v->work->flags & TXN_IS_EFFECTS) != 0;
    uint64_t effects = is_effects ? v->work->body.size : v->effects.size;
    uint64_t size = effects + e->replies.size + v->locks.size;
    uint64_t prepared = participant_prepared_bytes(s->participant);
    if (e->is_too_large || size > SHARD_TXN_RECORD_BYTES) {
        v->is_too_large = true;
    } else if (prepared > 0 && prepared + size > SHARD_TXN_PREPARED_BYTES) {
        reached("shard: too much is prepared already");
        give(s, v, TXN_STATE_NO_CONFLICT, (struct bytes){0});
    } else {
        give(s, v, TXN_STATE_YES, buf_bytes(&e->replies));
    }
}

/* Nothing stands against it: what would it do, and answer? */
static enum status vote_by_running(struct shard *s, struct vote *v, uint64_t seed)
{
    struct exec e;
    enum status status = STATUS_OK;
    exec_init(&e, &s->overlay.base, s->time_ms, seed);
    e.overlay = &s->overlay;
    s->overlay.now_ms = s->time_ms;
    if (!exec_run(s, &e, v->work)) {
        status = damaged(s);
    } else if (e.writes_too_much) {
        v->is_too_large = true;
    } else if (e.has_failed && (v->work->flags & TXN_STRICT) != 0) {
        give(s, v, TXN_STATE_NO_ERROR, exec_error(&e));
    } else {
        view_overlay_effects(&s->overlay, &v->effects);
        give_yes(s, v, &e);
    }
    view_overlay_clear(&s->overlay);
    exec_deinit(&e);
    return status;
}

static enum status compute_vote(struct shard *s, struct vote *v, uint64_t seed)
{
    static const uint8_t one = 1;
    bool meets = false;
    bool differs = false;
    bool is_watched = false;
    if ((v->work->flags & TXN_YIELDS) != 0) {
        reached("shard: a PREPARE does not overtake what waits");
        give(s, v, TXN_STATE_NO_CONFLICT, (struct bytes){0});
        return STATUS_OK;
    }
    v->lock_count = collect_locks(s, v->work, &v->locks);
    if (v->lock_count > SHARD_TXN_LOCKS) {
        v->is_too_large = true;
        return STATUS_OK;
    }
    begin_view(s);
    enum status status = meets_held_expiry(s, buf_bytes(&v->locks), &meets);
    if (status != STATUS_OK) {
        return status;
    }
    /* Before the compares: on a locked key they say nothing yet (TXN-17). */
    if (meets || participant_conflicts(s->participant, buf_bytes(&v->locks), v->lock_count)) {
        give(s, v, TXN_STATE_NO_CONFLICT, (struct bytes){0});
        return STATUS_OK;
    }
    if (!exec_compare(&s->apply_view.base, v->work, &differs, &is_watched)) {
        return damaged(s);
    }
    if (differs) {
        give(s, v, TXN_STATE_NO_COMPARE, bytes_of(&one, is_watched ? 1 : 0));
        return STATUS_OK;
    }
    return vote_by_running(s, v, seed);
}

static enum status vote(struct shard *s,
                        const struct txn_work *work,
                        uint64_t seed,
                        struct buf *reply)
{
    struct vote v = {.work = work};
    if (!take_time(s, work->time_ms, reply)) {
        return STATUS_OK;
    }
    if (participant_is_closed(s->participant, &work->id)) {
        reached("shard: PREPARE of a dead coordinator");
        (void)participant_ask(s->participant, &work->id); /* TXN-12 */
        answer_recorded(s, &work->id, reply);
        return STATUS_OK;
    }
    buf_init(&v.locks, SIZE_MAX / 2);
    buf_init(&v.effects, SIZE_MAX / 2);
    enum status status = compute_vote(s, &v, seed);
    if (status == STATUS_OK && v.is_too_large) {
        reached("shard: a transaction is too large for a vote");
        refuse_size(reply);
    } else if (status == STATUS_OK) {
        answer_recorded(s, &work->id, reply);
    }
    buf_deinit(&v.locks);
    buf_deinit(&v.effects);
    return status;
}

static enum status apply_prepare(struct shard *s,
                                 const struct txn_work *work,
                                 uint64_t seed,
                                 struct buf *reply)
{
    struct txn_record record;
    enum status status = raise_mark(s, &work->id, work->mark);
    if (status != STATUS_OK) {
        return status;
    }
    if (participant_state(s->participant, &work->id) == TXN_STATE_NONE) {
        return vote(s, work, seed, reply);
    }
    bool is_other = participant_find(s->participant, &work->id, &record) &&
                    record.content_hash != 0 && record.content_hash != txn_work_hash(work);
    if (is_other) {
        reached("shard: an id is used for two transactions");
        resp_write_error(reply, "ERR the transaction's id has been used for another one");
        return STATUS_OK;
    }
    answer_recorded(s, &work->id, reply); /* the first vote is final (TXN-2) */
    return STATUS_OK;
}

/* ---- outcomes -------------------------------------------------------------------------------- */

static enum status apply_effects(struct shard *s, const struct txn_id *id)
{
    struct txn_record record;
    bool is_there = participant_find(s->participant, id, &record);
    ensure(is_there && record.state == TXN_STATE_YES);
    begin_view(s);
    s->apply_view.participant = NULL; /* the locks are its own */
    enum status status = effects_apply(record.effects, &s->apply_view.base);
    s->apply_view.participant = s->participant;
    return status == STATUS_OK ? STATUS_OK : damaged(s);
}

static void settle(struct shard *s, const struct txn_id *id, bool is_commit)
{
    uint8_t key[SINCE_KEY_BYTES];
    participant_settle(s->participant, id, is_commit);
    omap_remove(&s->prepared_since, since_key(id, key));
    s->hold.has_changed = true;
}

static enum status apply_outcome(struct shard *s,
                                 const struct txn_id *id,
                                 bool is_commit,
                                 struct buf *reply)
{
    enum status status = STATUS_OK;
    switch (participant_judge(s->participant, id, is_commit)) {
    case PARTICIPANT_APPLIES:
        status = is_commit ? apply_effects(s, id) : STATUS_OK;
        if (status == STATUS_OK) {
            settle(s, id, is_commit);
        }
        break;
    case PARTICIPANT_REFUSES:
        settle(s, id, is_commit);
        break;
    case PARTICIPANT_REPEATED:
        reached("shard: an outcome came again");
        break;
    case PARTICIPANT_VIOLATED:
        return violated(s,
                        id,
                        is_commit ? "COMMIT where the vote was no, or none (TXN-7)"
                                  : "ABORT where it was committed (TXN-7)");
    }
    if (status == STATUS_OK) {
        answer_state(s, participant_state(s->participant, id), reply);
    }
    return status;
}

static enum status apply_end(struct shard *s, const struct txn_id *id, struct buf *reply)
{
    if (!participant_end(s->participant, id->node, id->incarnation)) {
        return violated(s, id, "its coordinator was ended, and it is not over here (TXN-12)");
    }
    answer_count(s, 0, reply);
    return STATUS_OK;
}

static enum status apply_order(struct shard *s, const struct command *row, struct buf *reply)
{
    struct txn_order order;
    enum status status = txn_order_read(s->args.list[1], &order);
    ensure(status == STATUS_OK); /* shard_txn_check */
    const struct txn_id *id = &order.id;
    status = raise_mark(s, id, order.mark);
    if (status != STATUS_OK) {
        return status;
    }
    switch ((int)row->id) {
    case COMMAND_ID_TXNCHECK:
        (void)participant_ask(s->participant, id);
        answer_recorded(s, id, reply);
        return STATUS_OK;
    case COMMAND_ID_TXNCOMMIT:
    case COMMAND_ID_TXNABORT:
        return apply_outcome(s, id, row->id == COMMAND_ID_TXNCOMMIT, reply);
    case COMMAND_ID_TXNMARK:
        answer_count(s, 0, reply);
        return STATUS_OK;
    case COMMAND_ID_TXNCLOSE:
        answer_count(s, participant_close(s->participant, id->node, id->incarnation), reply);
        return STATUS_OK;
    default:
        return apply_end(s, id, reply);
    }
}

/* ---- all of them ----------------------------------------------------------------------------- */

enum status shard_txn_apply(struct shard *s,
                            const struct command *row,
                            uint64_t seed,
                            struct buf *reply)
{
    struct txn_work work;
    if (row->id != COMMAND_ID_EXEC && row->id != COMMAND_ID_TXNPREPARE) {
        return apply_order(s, row, reply);
    }
    enum status status = txn_work_read(s->args.list[1], &work);
    ensure(status == STATUS_OK); /* shard_txn_check */
    return row->id == COMMAND_ID_EXEC ? apply_exec(s, &work, seed, reply)
                                      : apply_prepare(s, &work, seed, reply);
}

static bool key_is_free(void *ctx, uint8_t database, struct bytes key, bool is_written)
{
    (void)is_written;
    return !is_locked(ctx, database, key);
}

bool shard_txn_blocks(struct shard *s, const struct command *row, const struct entry_command *c)
{
    if (row->id == COMMAND_ID_EXPIRE_DUE || (row->handler == NULL && row->id != COMMAND_ID_EXEC)) {
        return false;
    }
    if (row->keys.first == 0 && row->handler != NULL) { /* whole databases */
        for (uint8_t i = 0; i < LIMIT_DATABASES; i++) {
            bool is_its = row->id != COMMAND_ID_FLUSHDB || i == c->database;
            if (is_its && participant_has_locks(s->participant, i)) {
                return true;
            }
        }
        return false;
    }
    return !shard_each_key(s, row, c, key_is_free, s);
}
