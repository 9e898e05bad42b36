/* Running the commands of a transaction's body, and the reads that coordinators ask for. */
#include "base/assert.h"
#include "base/endian.h"
#include "protocol/resp_writer.h"
#include "shard/shard_txn.h"

#define VERSION_BYTES 8u
#define SCRATCH_BYTES_KEPT 4096u

/* ---- commands -------------------------------------------------------------------------------- */

void exec_init(struct exec *e, struct view *view, uint64_t now_ms, uint64_t seed)
{
    *e = (struct exec){.view = view, .now_ms = now_ms, .seed = seed};
    buf_init(&e->replies, SIZE_MAX / 2);
}

void exec_deinit(struct exec *e)
{
    buf_deinit(&e->replies);
}

/* What came since `before` is one reply. */
static void take_reply(struct exec *e, size_t before, bool is_error)
{
    e->reply_count++;
    if (e->replies.size > LIMIT_TRANSACTION_REPLIES_BYTES) {
        reached("shard: replies of a transaction are too large");
        e->replies.size = before;
        e->is_too_large = true;
        resp_write_errorf(&e->replies,
                          "%s the command was executed; the replies of its transaction are too "
                          "large",
                          status_prefix(STATUS_OUTCOME_UNKNOWN));
    }
    if (is_error && !e->has_failed) {
        e->has_failed = true;
        e->error_at = before;
        e->error_bytes = e->replies.size - before;
    }
}

static enum command_result run_one(struct shard *s,
                                   struct exec *e,
                                   const struct command *row,
                                   const struct entry_command *c)
{
    struct command_call call = {
        .command = row,
        .args = s->body_args.list,
        .arg_count = (size_t)c->arg_count + 1,
        .resp = c->resp,
        .database = c->database,
        .reply = &e->replies,
        .view = e->view,
        .now_ms = e->now_ms,
        .seed = e->seed,
    };
    view_select(e->view, c->database);
    return row->handler(&call);
}

bool exec_run(struct shard *s, struct exec *e, const struct txn_work *work)
{
    struct entry_reader reader;
    struct entry_command c;
    const struct command *row = NULL;
    entry_reader_of(work->body, &reader);
    for (uint32_t i = 0; i < work->command_count; i++) {
        enum status status = shard_read_body(s, &reader, &c, &row);
        ensure(status == STATUS_OK); /* shard_txn_check */
        size_t before = e->replies.size;
        enum command_result result = run_one(s, e, row, &c);
        if (result == COMMAND_NEED) {
            return false;
        }
        ensure(result == COMMAND_DONE || result == COMMAND_ERROR);
        take_reply(e, before, result == COMMAND_ERROR);
        if (e->overlay != NULL && e->overlay->written_bytes > LIMIT_TRANSACTION_ROWS_BYTES) {
            reached("shard: a transaction writes too much");
            e->writes_too_much = true;
            break;
        }
    }
    return true;
}

/* ---- versions -------------------------------------------------------------------------------- */

/* 0: there is no such key. False: NEED. */
static bool version_of(struct view *view, uint8_t database, struct bytes key, uint64_t *out_version)
{
    struct object object;
    view_select(view, database);
    enum status status = view_get(view, key, &object);
    *out_version = status == STATUS_OK ? object.version : 0;
    return status != STATUS_NEED;
}

bool exec_compare(struct view *view,
                  const struct txn_work *work,
                  bool *out_differs,
                  bool *out_is_watched)
{
    struct bytes compares = work->compares;
    *out_differs = false;
    *out_is_watched = false;
    for (uint32_t i = 0; i < work->compare_count; i++) {
        struct txn_compare c;
        uint64_t version = 0;
        enum status status = txn_compare_take(&compares, &c);
        ensure(status == STATUS_OK); /* shard_txn_check */
        if (!version_of(view, c.database, c.key, &version)) {
            return false;
        }
        if (version != c.version) {
            *out_differs = true;
            *out_is_watched = *out_is_watched || c.is_watched;
        }
    }
    return true;
}

/* ---- answers --------------------------------------------------------------------------------- */

void exec_answer(struct shard *s, struct buf *reply, const struct txn_answer *answer)
{
    buf_clear(&s->answer, SCRATCH_BYTES_KEPT);
    txn_answer_append(&s->answer, answer);
    resp_write_bulk(reply, buf_bytes(&s->answer));
    buf_clear(&s->answer, SCRATCH_BYTES_KEPT);
}

/* ---- reads ----------------------------------------------------------------------------------- */

struct versions {
    struct shard *shard;
    struct view *view;
    struct buf out;
    bool is_missing;
};

/*
 * Of an absent key: grows whenever it may have been there meanwhile (TXN-14). One that was put and
 * has expired since is not deleted by reads.
 */
static uint64_t absent_version(struct shard *s, struct bytes key)
{
    uint64_t deleted_at = s->deleted_at[view_local_bucket(key)];
    uint64_t expired = view_local_expired_version(&s->read_view, key);
    return TXN_VERSION_ABSENT | (expired > deleted_at ? expired : deleted_at);
}

static bool add_version(void *ctx, uint8_t database, struct bytes key, bool is_written)
{
    struct versions *v = ctx;
    uint64_t version = 0;
    (void)is_written;
    if (!version_of(v->view, database, key, &version)) {
        v->is_missing = true;
        return false;
    }
    if (version == 0) {
        version = absent_version(v->shard, key);
    }
    put_u64_le(buf_reserve(&v->out, VERSION_BYTES), version);
    buf_extend(&v->out, VERSION_BYTES);
    return true;
}

/* What the commands answered, or why they did not. */
static void answer_exec(struct shard *s,
                        const struct exec *e,
                        const struct txn_work *work,
                        struct bytes versions,
                        struct buf *reply)
{
    struct txn_answer answer = {.state = TXN_STATE_COMMITTED, .versions = versions};
    if (e->is_too_large) {
        resp_write_error(reply, "ERR the replies of the transaction are too large");
        return;
    }
    if (e->has_failed && (work->flags & TXN_STRICT) != 0) {
        answer.state = TXN_STATE_NO_ERROR;
        answer.reply_count = 1;
        answer.replies = exec_error(e);
    } else {
        answer.reply_count = e->reply_count;
        answer.replies = buf_bytes(&e->replies);
    }
    exec_answer(s, reply, &answer);
}

/* Of the commands' keys alone: compares have theirs. */
static bool add_versions(struct shard *s, const struct txn_work *work, struct versions *versions)
{
    struct txn_work commands = *work;
    commands.compare_count = 0;
    commands.compares = (struct bytes){0};
    (void)shard_each_work_key(s, &commands, add_version, versions);
    return !versions->is_missing;
}

static bool read_exec(struct shard *s,
                      uint64_t now_ms,
                      struct versions *versions,
                      struct buf *reply)
{
    struct txn_work work;
    struct exec e;
    bool differs = false;
    bool is_watched = false;
    enum status status = txn_work_read(s->args.list[1], &work);
    ensure(status == STATUS_OK); /* shard_txn_check */
    if (!exec_compare(versions->view, &work, &differs, &is_watched)) {
        return false;
    }
    if (differs) {
        struct txn_answer answer = {.state = TXN_STATE_NO_COMPARE, .is_watched = is_watched};
        exec_answer(s, reply, &answer);
        return true;
    }
    exec_init(&e, versions->view, now_ms, 0);
    bool is_done = add_versions(s, &work, versions) && exec_run(s, &e, &work);
    if (is_done) {
        answer_exec(s, &e, &work, buf_bytes(&versions->out), reply);
    }
    exec_deinit(&e);
    return is_done;
}

static bool read_versions(struct shard *s, struct versions *versions, struct buf *reply)
{
    struct bytes keys = s->args.list[1];
    struct txn_key key;
    while (keys.size > 0) {
        enum status status = txn_key_take(&keys, &key);
        ensure(status == STATUS_OK); /* shard_txn_check */
        if (!add_version(versions, key.database, key.key, false)) {
            return false;
        }
    }
    struct txn_answer answer = {
        .state = TXN_STATE_COMMITTED,
        .versions = buf_bytes(&versions->out),
    };
    exec_answer(s, reply, &answer);
    return true;
}

/* Appends the key's row, if there is one. */
static bool add_row(struct view *view, const struct txn_key *key, struct buf *rows)
{
    struct object object;
    struct buf bytes;
    view_select(view, key->database);
    enum status status = view_get(view, key->key, &object);
    if (status == STATUS_NEED) {
        return false;
    }
    buf_init(&bytes, SIZE_MAX / 2);
    if (status == STATUS_OK) {
        object_encode(&object, buf_reserve(&bytes, object_size(&object)));
        buf_extend(&bytes, object_size(&object));
    }
    txn_row_append(rows, buf_bytes(&bytes));
    buf_deinit(&bytes);
    return true;
}

static bool read_rows(struct shard *s, struct versions *versions, struct buf *reply)
{
    struct bytes keys = s->args.list[1];
    struct buf rows;
    struct txn_key key;
    bool is_done = true;
    buf_init(&rows, SIZE_MAX / 2);
    while (keys.size > 0 && is_done && rows.size <= SHARD_TXN_ROWS_BYTES) {
        enum status status = txn_key_take(&keys, &key);
        ensure(status == STATUS_OK); /* shard_txn_check */
        is_done = add_row(versions->view, &key, &rows) &&
                  add_version(versions, key.database, key.key, false);
    }
    if (is_done && rows.size > SHARD_TXN_ROWS_BYTES) {
        resp_write_error(reply, "ERR the values that the transaction reads are too large");
    } else if (is_done) {
        struct txn_answer answer = {
            .state = TXN_STATE_COMMITTED,
            .versions = buf_bytes(&versions->out),
            .rows = buf_bytes(&rows),
        };
        exec_answer(s, reply, &answer);
    }
    buf_deinit(&rows);
    return is_done;
}

enum command_result shard_exec_read(struct shard *s,
                                    const struct command *row,
                                    uint64_t now_ms,
                                    struct buf *reply)
{
    struct versions versions = {.shard = s, .view = &s->read_view.base};
    bool is_done = false;
    buf_init(&versions.out, SIZE_MAX / 2);
    switch ((int)row->id) {
    case COMMAND_ID_EXECREAD:
        is_done = read_exec(s, now_ms, &versions, reply);
        break;
    case COMMAND_ID_VERSIONS:
        is_done = read_versions(s, &versions, reply);
        break;
    case COMMAND_ID_ROWS:
        is_done = read_rows(s, &versions, reply);
        break;
    default:
        unreachable("no other read is the shard's own");
    }
    buf_deinit(&versions.out);
    return is_done ? COMMAND_DONE : COMMAND_NEED;
}
