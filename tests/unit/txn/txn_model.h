/*
 * A group as the random test of coordinators has it: a real table of votes (participant), and real
 * handlers on keys in an array. What it is told applies at once.
 */
#ifndef TXN_TXN_MODEL_H
#define TXN_TXN_MODEL_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/endian.h"
#include "base/mem.h"
#include "base/prng.h"
#include "data/slot.h"
#include "data/view_overlay.h"
#include "fake_env.h"
#include "harness.h"
#include "protocol/resp_reply.h"
#include "protocol/resp_writer.h"
#include "router/router_parts.h"
#include "shard/participant.h"
#include "txn/txn.h"

#define KEYS_MAX 32u
#define VALUE_BYTES 4096u

/* ---- groups ---------------------------------------------------------------------------------- */

struct row {
    char key[8];
    struct object object;
    uint8_t value[VALUE_BYTES];
    bool is_there;
};

struct group {
    struct view view;
    struct row rows[KEYS_MAX];
    size_t row_count;
    uint64_t operations;
    uint64_t deleted_at; /* what the last deletion was */
    struct participant *participant;
    uint32_t leader;
    uint64_t led_since_us;
    struct omap records; /* ids that it remembers anything of */
};

/* ---- a group's keys -------------------------------------------------------------------------- */

static struct row *find_row(struct group *g, struct bytes key)
{
    for (size_t i = 0; i < g->row_count; i++) {
        if (bytes_equal_text(key, g->rows[i].key)) {
            return &g->rows[i];
        }
    }
    return NULL;
}

static enum status model_get(struct view *v, struct bytes key, struct object *out_object)
{
    struct row *row = find_row(container_of(v, struct group, view), key);
    if (row == NULL || !row->is_there) {
        return STATUS_NOT_FOUND;
    }
    *out_object = row->object;
    return STATUS_OK;
}

static enum status model_put(struct view *v, struct bytes key, const struct object *object)
{
    struct group *g = container_of(v, struct group, view);
    struct row *row = find_row(g, key);
    if (row == NULL) {
        ensure(g->row_count < KEYS_MAX && key.size < sizeof row->key);
        row = &g->rows[g->row_count++];
        memcpy(row->key, key.data, key.size);
    }
    ensure(object->value.size <= VALUE_BYTES);
    memmove(row->value, object->value.data, object->value.size);
    row->object = *object;
    row->object.value = bytes_of(row->value, object->value.size);
    row->object.version = ++g->operations;
    row->object.incarnation = 1;
    row->is_there = true;
    return STATUS_OK;
}

static enum status model_delete(struct view *v, struct bytes key)
{
    struct group *g = container_of(v, struct group, view);
    struct row *row = find_row(g, key);
    if (row == NULL || !row->is_there) {
        return STATUS_NOT_FOUND;
    }
    row->is_there = false;
    g->deleted_at = ++g->operations;
    return STATUS_OK;
}

static void model_select(struct view *v, uint8_t database)
{
    (void)v;
    ensure(database == 0);
}

static const struct view_ops model_ops = {
    .get = model_get,
    .put = model_put,
    .delete = model_delete,
    .select = model_select,
};

static uint64_t answered_version(struct group *g, struct bytes key)
{
    struct row *row = find_row(g, key);
    return row != NULL && row->is_there ? row->object.version : TXN_VERSION_ABSENT | g->deleted_at;
}

static uint64_t version_of(struct group *g, struct bytes key)
{
    struct row *row = find_row(g, key);
    return row != NULL && row->is_there ? row->object.version : 0;
}

/* ---- what a body names ----------------------------------------------------------------------- */

struct body_command {
    const struct command *row;
    struct bytes args[16];
    size_t arg_count;
    uint8_t resp;
};

static bool next_command(struct entry_reader *reader, struct body_command *out)
{
    struct entry_command c;
    if (entry_is_read(reader)) {
        return false;
    }
    enum status status = entry_next(reader, &c);
    ensure(status == STATUS_OK && c.arg_count < 15);
    out->row = command_by_id(c.id);
    out->args[0] = bytes_of_text(out->row->name);
    out->arg_count = (size_t)c.arg_count + 1;
    out->resp = c.resp;
    for (size_t i = 1; i < out->arg_count; i++) {
        status = entry_next_arg(reader, &out->args[i]);
        ensure(status == STATUS_OK);
    }
    return true;
}

/* Calls fn for every key that the work names. */
static void each_key(const struct txn_work *work,
                     void (*fn)(void *ctx, struct bytes key, bool is_written),
                     void *ctx)
{
    struct bytes rest = work->compares;
    struct entry_reader reader;
    struct body_command c;
    while (rest.size > 0) {
        struct txn_compare compare;
        enum status status = txn_compare_take(&rest, &compare);
        ensure(status == STATUS_OK);
        fn(ctx, compare.key, false);
    }
    if ((work->flags & TXN_IS_EFFECTS) != 0) {
        for (rest = work->body; rest.size > 0;) {
            struct effect e;
            enum status status = effect_take(&rest, &e);
            ensure(status == STATUS_OK);
            fn(ctx, e.key, true);
        }
        return;
    }
    entry_reader_of(work->body, &reader);
    while (next_command(&reader, &c)) {
        for (size_t i = 0; i < command_key_count(c.row, c.arg_count); i++) {
            bool is_written = (c.row->flags & COMMAND_WRITE) != 0;
            fn(ctx, c.args[command_key_at(c.row, c.arg_count, i)], is_written);
        }
    }
}

struct lock_list {
    struct bytes keys[64];
    bool is_written[64];
    uint32_t count;
};

static void add_lock(void *ctx, struct bytes key, bool is_written)
{
    struct lock_list *l = ctx;
    for (uint32_t i = 0; i < l->count; i++) {
        if (bytes_equal(l->keys[i], key)) {
            l->is_written[i] = l->is_written[i] || is_written;
            return;
        }
    }
    ensure(l->count < 64);
    l->keys[l->count] = key;
    l->is_written[l->count++] = is_written;
}

static void write_locks(const struct txn_work *work, struct buf *out, uint32_t *out_count)
{
    struct lock_list l = {.count = 0};
    each_key(work, add_lock, &l);
    buf_init(out, SIZE_MAX / 2);
    for (uint32_t i = 0; i < l.count; i++) {
        struct txn_lock lock = {.is_exclusive = l.is_written[i], .key = l.keys[i]};
        txn_lock_append(out, &lock);
    }
    *out_count = l.count;
}

/* ---- a group's commands ---------------------------------------------------------------------- */

/* Runs a body on the view; the replies are appended. True: a command failed; it is the last one. */
static bool run_body(struct view *view,
                     const struct txn_work *work,
                     struct buf *out,
                     uint32_t *count)
{
    struct entry_reader reader;
    struct body_command c;
    entry_reader_of(work->body, &reader);
    while (next_command(&reader, &c)) {
        size_t before = out->size;
        struct command_call call = {
            .command = c.row,
            .args = c.args,
            .arg_count = c.arg_count,
            .resp = c.resp,
            .reply = out,
            .view = view,
            .now_ms = 1000,
            .seed = 1,
        };
        enum command_result result = c.row->handler(&call);
        ensure(result == COMMAND_DONE || result == COMMAND_ERROR);
        (*count)++;
        if (result == COMMAND_ERROR && (work->flags & TXN_STRICT) != 0) {
            buf_drop_front(out, before);
            *count = 1;
            return true;
        }
    }
    return false;
}

/* NO_COMPARE, or OK as NONE. */
static bool compare_differs(struct group *g, const struct txn_work *work, bool *out_is_watched)
{
    struct bytes rest = work->compares;
    while (rest.size > 0) {
        struct txn_compare compare;
        enum status status = txn_compare_take(&rest, &compare);
        ensure(status == STATUS_OK);
        if (version_of(g, compare.key) != compare.version) {
            *out_is_watched = compare.is_watched;
            return true;
        }
    }
    return false;
}

static void answer_record(struct group *g, const struct txn_id *id, struct txn_answer *answer)
{
    struct txn_record record;
    answer->state = participant_state(g->participant, id);
    if (participant_find(g->participant, id, &record)) {
        if (record.state == TXN_STATE_NO_COMPARE) {
            answer->is_watched = record.reply.size > 0;
            return;
        }
        answer->replies = record.reply;
        for (struct bytes rest = record.reply; rest.size > 0; answer->reply_count++) {
            size_t size = 0;
            enum status status = resp_reply_size(rest, &size);
            ensure(status == STATUS_OK);
            rest = bytes_of(rest.data + size, rest.size - size);
        }
    }
}

static void vote(struct group *g, const struct txn_work *work)
{
    struct buf locks;
    struct buf replies;
    struct buf effects;
    uint32_t lock_count = 0;
    uint32_t reply_count = 0;
    bool is_watched = false;
    struct view_overlay overlay;
    struct txn_record record = {.content_hash = txn_work_hash(work), .time_ms = work->time_ms};
    write_locks(work, &locks, &lock_count);
    buf_init(&replies, SIZE_MAX / 2);
    buf_init(&effects, SIZE_MAX / 2);
    view_overlay_init(&overlay, &g->view);
    if (participant_conflicts(g->participant, buf_bytes(&locks), lock_count)) {
        record.state = TXN_STATE_NO_CONFLICT;
    } else if (compare_differs(g, work, &is_watched)) {
        record.state = TXN_STATE_NO_COMPARE;
        record.reply = bytes_of("w", is_watched ? 1 : 0);
    } else {
        bool is_effects = (work->flags & TXN_IS_EFFECTS) != 0;
        bool has_failed = !is_effects && run_body(&overlay.base, work, &replies, &reply_count);
        view_overlay_effects(&overlay, &effects);
        record.state = has_failed ? TXN_STATE_NO_ERROR : TXN_STATE_YES;
        record.reply = buf_bytes(&replies);
        if (!has_failed) {
            record.effects = is_effects ? work->body : buf_bytes(&effects);
            record.participants = work->participants;
            record.participant_count = work->participant_count;
            record.locks = buf_bytes(&locks);
            record.lock_count = lock_count;
        }
    }
    participant_vote(g->participant, &work->id, &record);
    view_overlay_deinit(&overlay);
    buf_deinit(&locks);
    buf_deinit(&replies);
    buf_deinit(&effects);
}

static void prepare(struct group *g, struct bytes argument, struct txn_answer *answer)
{
    struct txn_work work;
    enum status status = txn_work_read(argument, &work);
    ensure(status == STATUS_OK);
    CHECK(participant_raise(g->participant, work.id.node, work.id.incarnation, work.mark));
    if (participant_state(g->participant, &work.id) == TXN_STATE_NONE) {
        if (participant_is_closed(g->participant, &work.id)) {
            (void)participant_ask(g->participant, &work.id);
        } else {
            vote(g, &work);
        }
    }
    answer_record(g, &work.id, answer);
}

static void settle(struct group *g, const struct txn_id *id, bool is_commit)
{
    struct txn_record record;
    enum status status = STATUS_OK;
    switch (participant_judge(g->participant, id, is_commit)) {
    case PARTICIPANT_APPLIES:
        if (is_commit) {
            bool is_there = participant_find(g->participant, id, &record);
            ensure(is_there);
            status = effects_apply(record.effects, &g->view);
            ensure(status == STATUS_OK);
        }
        participant_settle(g->participant, id, is_commit);
        return;
    case PARTICIPANT_REFUSES:
        participant_settle(g->participant, id, is_commit);
        return;
    case PARTICIPANT_REPEATED:
        return;
    case PARTICIPANT_VIOLATED:
        CHECK(false); /* TXN-7 */
    }
}

static void obey(struct group *g,
                 enum command_id command,
                 struct bytes argument,
                 struct txn_answer *a)
{
    struct txn_order order;
    enum status status = txn_order_read(argument, &order);
    ensure(status == STATUS_OK);
    const struct txn_id *id = &order.id;
    CHECK(participant_raise(g->participant, id->node, id->incarnation, order.mark));
    switch ((int)command) {
    case COMMAND_ID_TXNCHECK:
        (void)participant_ask(g->participant, id);
        answer_record(g, id, a);
        return;
    case COMMAND_ID_TXNCOMMIT:
    case COMMAND_ID_TXNABORT:
        settle(g, id, command == COMMAND_ID_TXNCOMMIT);
        a->state = participant_state(g->participant, id);
        return;
    case COMMAND_ID_TXNMARK:
        return;
    case COMMAND_ID_TXNCLOSE:
        a->prepared = participant_close(g->participant, id->node, id->incarnation);
        return;
    default:
        CHECK(participant_end(g->participant, id->node, id->incarnation));
    }
}

struct scratch {
    struct buf replies;
    struct buf versions;
    struct buf rows;
};

static void append_version(struct buf *out, uint64_t version)
{
    put_u64_le(buf_reserve(out, 8), version);
    buf_extend(out, 8);
}

/* EXEC and EXECREAD. */
static void execute(struct group *g, struct bytes argument, struct scratch *s, struct txn_answer *a)
{
    struct txn_work work;
    struct entry_reader reader;
    struct body_command c;
    enum status status = txn_work_read(argument, &work);
    ensure(status == STATUS_OK);
    if (compare_differs(g, &work, &a->is_watched)) {
        a->state = TXN_STATE_NO_COMPARE;
        return;
    }
    a->state = TXN_STATE_COMMITTED;
    if (run_body(&g->view, &work, &s->replies, &a->reply_count)) {
        a->state = TXN_STATE_NO_ERROR; /* the tests have no strict ones of one group that write */
    }
    entry_reader_of(work.body, &reader);
    while (next_command(&reader, &c)) {
        for (size_t i = 0; i < command_key_count(c.row, c.arg_count); i++) {
            struct bytes key = c.args[command_key_at(c.row, c.arg_count, i)];
            append_version(&s->versions, answered_version(g, key));
        }
    }
}

static void read_keys(struct group *g, struct bytes keys, bool is_rows, struct scratch *s)
{
    while (keys.size > 0) {
        struct txn_key key;
        struct buf object;
        enum status status = txn_key_take(&keys, &key);
        ensure(status == STATUS_OK);
        struct row *row = find_row(g, key.key);
        append_version(&s->versions, answered_version(g, key.key));
        buf_init(&object, SIZE_MAX / 2);
        if (row != NULL && row->is_there) {
            object_encode(&row->object, buf_reserve(&object, object_size(&row->object)));
            buf_extend(&object, object_size(&row->object));
        }
        if (is_rows) {
            txn_row_append(&s->rows, buf_bytes(&object));
        }
        buf_deinit(&object);
    }
}

static void count_record(void *ctx, const struct txn_id *id, const struct bytes *value)
{
    /* Rows come as changes: which are there now is for the set to know. */
    struct omap *records = ctx;
    uint8_t key[16];
    put_u32_be(key, id->node);
    put_u32_be(key + 4, id->incarnation);
    put_u64_be(key + 8, id->sequence);
    if (id->sequence > 0 && value != NULL) {
        omap_put(records, bytes_of(key, sizeof key), NULL);
    } else if (id->sequence > 0) {
        omap_remove(records, bytes_of(key, sizeof key));
    }
}

#endif
