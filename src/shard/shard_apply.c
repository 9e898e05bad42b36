/* Applying committed entries: the same on every replica, and again at every restart. */
#include "base/assert.h"
#include "base/mem.h"
#include "protocol/resp_writer.h"
#include "shard/shard_txn.h"

#define SCRATCH_BYTES_KEPT 4096u
/* How often it is looked whether the store has room again. */
#define RESUME_MS 1u

/* ---- decoding -------------------------------------------------------------------------------- */

/* What the gateway checked before it sent the command; here it comes from a disk or a peer. */
static enum status check_command(const struct command *row,
                                 const struct entry_command *c,
                                 const struct bytes *args)
{
    size_t arg_count = (size_t)c->arg_count + 1;
    bool is_good = c->database < LIMIT_DATABASES && (c->resp == 2 || c->resp == 3) &&
                   command_arity_fits(row, arg_count) &&
                   command_judge_keys(row, args, arg_count) == COMMAND_KEYS_FIT;
    return is_good ? STATUS_OK : STATUS_CORRUPT;
}

enum status shard_read_args(struct shard_args *args,
                            struct entry_reader *reader,
                            const struct command *row,
                            const struct entry_command *c)
{
    size_t needed = (size_t)c->arg_count + 1;
    if (needed > args->capacity) {
        args->list = mem_realloc(args->list, needed * sizeof args->list[0]);
        args->capacity = needed;
    }
    args->list[0] = bytes_of_text(row->name);
    for (size_t i = 1; i < needed; i++) {
        enum status status = entry_next_arg(reader, &args->list[i]);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return check_command(row, c, args->list);
}

enum status shard_read_command(struct shard *s,
                               struct entry_reader *reader,
                               struct entry_command *out_command,
                               const struct command **out_row)
{
    enum status status = entry_next(reader, out_command);
    if (status != STATUS_OK) {
        return status;
    }
    const struct command *row = command_by_id(out_command->id);
    if (row == NULL || out_command->semantics > row->semantics) {
        return STATUS_UNSUPPORTED;
    }
    *out_row = row;
    return shard_read_args(&s->args, reader, row, out_command);
}

/* ---- one command ----------------------------------------------------------------------------- */

static bool is_same_request(const struct request_id *a, const struct request_id *b)
{
    return a->node == b->node && a->incarnation == b->incarnation && a->sequence == b->sequence;
}

/* The request whose command this is, if somebody waits for it here. */
static struct shard_request *take_waiting(struct proposal *p, const struct request_id *id)
{
    if (p == NULL || list_is_empty(&p->writes) || id->sequence == 0) {
        return NULL;
    }
    struct shard_request *r = container_of(p->writes.next, struct shard_request, link);
    ensure(is_same_request(&r->id, id)); /* the entry is the one that was proposed */
    list_remove(&r->link);
    return r;
}

static enum status run(struct shard *s,
                       const struct command *row,
                       const struct entry_command *c,
                       uint64_t seed,
                       struct buf *reply)
{
    if (row->handler == NULL) {
        return shard_txn_apply(s, row, seed, reply);
    }
    struct view_local *v = &s->apply_view;
    struct keyspace space = shard_space(s, c->database);
    view_local_begin(v, &space, s->time_ms, 0);
    struct command_call call = {
        .command = row,
        .args = s->args.list,
        .arg_count = (size_t)c->arg_count + 1,
        .resp = c->resp,
        .database = c->database,
        .reply = reply,
        .view = &v->base,
        .now_ms = s->time_ms,
        .seed = seed,
    };
    enum command_result result = row->handler(&call);
    if (result == COMMAND_NEED) {
        if (s->env->is_halted) {
            return STATUS_CORRUPT; /* the store has said why */
        }
        ensure(v->damage != STATUS_OK); /* all it reads is at hand: shard_probe_entry */
        return v->damage;
    }
    ensure(result == COMMAND_DONE || result == COMMAND_ERROR);
    return STATUS_OK;
}

/* TXN-3: an entry that finds a key of it locked. No leader proposes one. */
static bool is_blocked(struct shard *s, const struct command *row, const struct entry_command *c)
{
    if (participant_prepared_count(s->participant) == 0 || !shard_txn_blocks(s, row, c)) {
        return false;
    }
    reached("shard: an entry meets a locked key");
    return true;
}

/*
 * Runs the command unless it has run before (DUP-2, DUP-3), and writes its reply. Blocked: it has
 * no effect, and leaves no record (DUP-5).
 */
static enum status execute(struct shard *s,
                           const struct command *row,
                           const struct entry_command *c,
                           uint64_t seed,
                           struct buf *reply,
                           bool *out_is_blocked)
{
    struct bytes remembered;
    size_t before = reply->size;
    enum status status = STATUS_OK;
    switch (dup_judge(s->dup, &c->request, c->mark, &remembered)) {
    case DUP_NEW:
        *out_is_blocked = is_blocked(s, row, c);
        if (*out_is_blocked) {
            break;
        }
        status = run(s, row, c, seed, reply);
        if (status == STATUS_OK) {
            dup_remember(s->dup, &c->request, bytes_of(reply->data + before, reply->size - before));
        }
        break;
    case DUP_DONE:
        reached("shard: a retry found its reply");
        if (remembered.size > 0) {
            buf_append_bytes(reply, remembered);
        } else {
            resp_write_errorf(reply,
                              "%s the command was executed; its reply was too large to keep",
                              status_prefix(STATUS_OUTCOME_UNKNOWN));
        }
        break;
    case DUP_FINISHED:
        reached("shard: a request below its mark");
        resp_write_errorf(reply,
                          "%s the command came too late to say whether it was executed before",
                          status_prefix(STATUS_OUTCOME_UNKNOWN));
        break;
    }
    return status;
}

static enum status apply_command(struct shard *s, struct entry_reader *reader, struct proposal *p)
{
    struct entry_command c;
    const struct command *row = NULL;
    enum status status = shard_read_command(s, reader, &c, &row);
    if (status != STATUS_OK) {
        return status;
    }
    if ((row->flags & COMMAND_WRITE) == 0) {
        return STATUS_CORRUPT; /* only writes are proposed */
    }
    if (row->handler == NULL) {
        status = shard_txn_check(s, row, s->args.list[1]);
        if (status != STATUS_OK) {
            return status;
        }
    }
    struct shard_request *r = take_waiting(p, &c.request);
    struct buf *reply = r != NULL ? r->reply : &s->scratch_reply;
    bool is_refused = false;
    status = execute(s, row, &c, reader->header.seed, reply, &is_refused);
    if (status != STATUS_OK) {
        if (!s->env->is_halted) {
            shard_halt_damaged(s, status);
        }
        return status; /* nobody is answered any more */
    }
    if (r != NULL) {
        r->done(r, is_refused ? SHARD_REFUSED : SHARD_DONE);
    }
    buf_clear(&s->scratch_reply, SCRATCH_BYTES_KEPT);
    return STATUS_OK;
}

/* ---- one entry ------------------------------------------------------------------------------- */

void shard_advance_time(struct shard *s, uint64_t stamp_ms)
{
    if (stamp_ms > s->time_ms) {
        s->time_ms = stamp_ms;
    } else if (stamp_ms < s->time_ms) {
        reached("shard: stamp behind group time");
    }
}

/* Our own proposal of that index, unless it came from elsewhere, or leadership went since. */
static struct proposal *take_proposal(struct shard *s, uint64_t index)
{
    if (list_is_empty(&s->proposed)) {
        return NULL;
    }
    struct proposal *p = container_of(s->proposed.next, struct proposal, link);
    ensure(p->index >= index);
    if (p->index > index) {
        return NULL;
    }
    list_remove(&p->link);
    return p;
}

static void finish_proposal(struct shard *s, struct proposal *p)
{
    ensure(list_is_empty(&p->writes));
    stat_stage_add(&s->stats->stage_commit, env_now_us(s->env) - p->since_us);
    s->proposal_applied = p->number;
    shard_hold_settle(s, p);
    mem_free(p);
}

static void on_resume(struct env_timer *timer)
{
    struct shard *s = container_of(timer, struct shard, resume_timer);
    if (store_is_pressed(s->store)) {
        env_timer_start(s->env, timer, RESUME_MS);
    } else {
        replica_resume(s->replica);
    }
}

/*
 * OK; or NEED, and replica_resume will be called: the store has to write first what it has, or
 * other events have to have their turn.
 */
static enum status wait_for_room(struct shard *s)
{
    if (!store_is_pressed(s->store)) {
        return STATUS_OK;
    }
    reached("shard: apply waits for room in the store");
    if (!s->is_stopped) {
        s->resume_timer.cb = on_resume;
        env_timer_start(s->env, &s->resume_timer, RESUME_MS);
    }
    return STATUS_NEED;
}

enum status shard_apply(void *owner, uint64_t index, struct bytes entry)
{
    struct shard *s = owner;
    uint64_t started_us = env_now_us(s->env);
    struct entry_reader reader;
    enum status status = wait_for_room(s);
    if (status == STATUS_OK) {
        status = shard_probe_entry(s, index, entry);
    }
    if (status == STATUS_OK) {
        status = entry_read(entry, &reader);
    }
    if (status != STATUS_OK) {
        return status;
    }
    s->stamp_ms = reader.header.stamp_ms;
    shard_advance_time(s, s->stamp_ms);
    struct proposal *p = take_proposal(s, index);
    view_local_begin_entry(&s->apply_view);
    for (uint32_t i = 0; i < reader.header.count && status == STATUS_OK; i++) {
        status = apply_command(s, &reader, p);
    }
    if (status == STATUS_OK && !entry_is_read(&reader)) {
        status = STATUS_CORRUPT;
    }
    if (p != NULL && status == STATUS_OK) {
        finish_proposal(s, p);
    } else if (p != NULL) {
        list_append(&s->proposed, &p->link); /* the node halts; shard_destroy frees it */
    }
    shard_hold_update(s);
    shard_watch_expiry(s);
    s->stats->entries_applied++;
    stat_stage_add(&s->stats->stage_apply, env_now_us(s->env) - started_us);
    return status;
}
