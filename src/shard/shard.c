#include "shard/shard.h"

#include <inttypes.h>

#include "base/assert.h"
#include "base/mem.h"
#include "protocol/resp_writer.h"

/* A group of one voter: its first and only term, until consensus gives terms. */
#define TERM_SOLE 1u
#define SCRATCH_BYTES_KEPT 4096u

/* An entry on its way: finished, soon in the log, not applied yet. */
struct proposed_entry {
    struct list link;
    uint64_t index;
    uint64_t batch; /* of the log; 0: the log has enough for now, it waits here */
    uint64_t proposed_us;
    struct buf bytes;
};

static struct shard_request *request_of(struct list *link)
{
    return container_of(link, struct shard_request, link);
}

void shard_stream_init(struct shard_stream *stream)
{
    stream->last_index = 0;
    list_init(&stream->reads);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void gathering_reset(struct shard *s)
{
    buf_init(&s->gathering, SHARD_ENTRY_BYTES_MAX);
    s->gathering_count = 0;
}

void shard_init(struct shard *s,
                struct env *env,
                struct log *log,
                struct store *store,
                struct stats *stats,
                const struct shard_options *options)
{
    *s = (struct shard){
        .env = env,
        .log = log,
        .store = store,
        .stats = stats,
        .options = *options,
        .term = TERM_SOLE,
    };
    list_init(&s->proposed);
    list_init(&s->writes);
    list_init(&s->reads);
    gathering_reset(s);
    view_local_init(&s->apply_view, store);
    s->apply_view.operations = &s->operations;
    s->apply_view.expired = &stats->keys_expired;
    view_local_init(&s->read_view, store);
    buf_init(&s->scratch_reply, SIZE_MAX / 2);
}

static void entry_destroy(struct proposed_entry *e)
{
    buf_deinit(&e->bytes);
    mem_free(e);
}

void shard_deinit(struct shard *s)
{
    struct list *link = NULL;
    while ((link = list_take_first(&s->proposed)) != NULL) {
        entry_destroy(container_of(link, struct proposed_entry, link));
    }
    while ((link = list_take_first(&s->reads)) != NULL) {
        mem_free(request_of(link)->kept_args);
    }
    buf_deinit(&s->gathering);
    view_local_deinit(&s->apply_view);
    view_local_deinit(&s->read_view);
    buf_deinit(&s->scratch_reply);
    mem_free(s->args);
}

uint64_t shard_memory(const struct shard *s)
{
    return s->pending_bytes + log_pending_bytes(s->log);
}

bool shard_is_busy(const struct shard *s)
{
    return s->gathering_count > 0 || !list_is_empty(&s->proposed);
}

/* ---- proposing ------------------------------------------------------------------------------- */

static void propose_gathered(struct shard *s)
{
    struct entry_header header = {
        .count = s->gathering_count,
        .stamp_ms = env_wall_ms(s->env),
        .seed = env_random(s->env),
    };
    entry_finish(&s->gathering, &header);
    uint64_t now_us = env_now_us(s->env);
    stat_stage_add(&s->stats->stage_queue, now_us - s->gathering_us);

    struct proposed_entry *e = mem_alloc_zero(sizeof *e);
    e->index = ++s->index_last;
    e->proposed_us = now_us;
    e->bytes = s->gathering;
    list_append(&s->proposed, &e->link);
    s->stats->entries_proposed++;
    gathering_reset(s);
}

static void append_to_log(struct shard *s, struct proposed_entry *e)
{
    struct log_record record = {
        .group = s->options.group,
        .kind = LOG_KIND_ENTRY,
        .term = s->term,
        .index = e->index,
    };
    e->batch = log_append(s->log, &record, buf_bytes(&e->bytes));
}

void shard_flush(struct shard *s)
{
    if (s->gathering_count > 0) {
        propose_gathered(s);
    }
    /* Those that wait are the newest ones: look for the first of them from the end. */
    struct list *link = &s->proposed;
    while (link->prev != &s->proposed &&
           container_of(link->prev, struct proposed_entry, link)->batch == 0) {
        link = link->prev;
    }
    while (link != &s->proposed && log_pending_bytes(s->log) < SHARD_LOG_BYTES_MAX) {
        append_to_log(s, container_of(link, struct proposed_entry, link));
        link = link->next;
    }
    if (link != &s->proposed) {
        reached("shard: entry waits for the log");
    }
}

/* Adds a command to the entry under construction and returns that entry's index. */
static uint64_t gather(struct shard *s, const struct entry_command *c, const struct bytes *args)
{
    size_t size = entry_command_size(args, c->arg_count);
    if (s->gathering_count > 0 && s->gathering.size + size > LIMIT_ENTRY_BYTES) {
        reached("shard: entry full within a turn");
        propose_gathered(s);
    }
    if (s->gathering_count == 0) {
        entry_start(&s->gathering);
        s->gathering_us = env_now_us(s->env);
    }
    entry_append(&s->gathering, c, args);
    s->gathering_count++;
    s->pending_bytes += size;
    return s->index_last + 1;
}

static void submit_write(struct shard *s, struct shard_request *r)
{
    struct entry_command c = {
        .id = (uint16_t)r->command->id,
        .semantics = r->command->semantics,
        .resp = r->resp,
        .database = r->database,
        .request = r->id,
        .arg_count = (uint32_t)(r->arg_count - 1),
    };
    r->index = gather(s, &c, r->args + 1);
    r->stream->last_index = r->index;
    list_append(&s->writes, &r->link);
}

/* ---- reading --------------------------------------------------------------------------------- */

/* Has the log decide that the key's time has come; the read waits for that entry. */
static uint64_t propose_expiry(struct shard *s, uint8_t database, struct bytes key)
{
    reached("shard: reader proposes an expiry");
    const struct command *command = command_by_id(COMMAND_ID_EXPIRE_DUE);
    /* Nobody waits for its reply and twice does no harm: it needs no request id. */
    struct entry_command c = {
        .id = COMMAND_ID_EXPIRE_DUE,
        .semantics = command->semantics,
        .resp = 2,
        .database = database,
        .arg_count = 1,
    };
    return gather(s, &c, &key);
}

/*
 * True: done. False: a key is due by wall_ms; r->index says which entry to wait for. With 0 for
 * wall_ms only group time counts, and the answer is always there.
 */
static bool run_read(struct shard *s, struct shard_request *r, uint64_t wall_ms)
{
    struct view_local *v = &s->read_view;
    struct keyspace space = {.group = s->options.group, .database = r->database};
    view_local_begin(v, &space, s->time_ms, wall_ms);
    struct command_call call = {
        .command = r->command,
        .args = r->args,
        .arg_count = r->arg_count,
        .resp = r->resp,
        .reply = r->reply,
        .view = &v->base,
        .now_ms = s->time_ms,
    };
    size_t reply_before = r->reply->size;
    if (r->command->handler(&call) != COMMAND_NEED) {
        return true;
    }
    r->reply->size = reply_before;
    ensure(v->is_due); /* nothing else is ever missing with rows in memory */
    r->index = propose_expiry(s, r->database, buf_bytes(&v->due_key));
    return false;
}

/* A waiting read outlives the input it came in: one block holds the array and the bytes. */
static void keep_args(struct shard *s, struct shard_request *r)
{
    size_t size = r->arg_count * sizeof r->args[0];
    for (size_t i = 0; i < r->arg_count; i++) {
        size += r->args[i].size;
    }
    struct bytes *kept = mem_alloc(size);
    uint8_t *at = (uint8_t *)(kept + r->arg_count);
    for (size_t i = 0; i < r->arg_count; i++) {
        if (r->args[i].size > 0) {
            memcpy(at, r->args[i].data, r->args[i].size);
        }
        kept[i] = bytes_of(at, r->args[i].size);
        at += r->args[i].size;
    }
    r->kept_args = kept;
    r->kept_bytes = size;
    r->args = kept;
    s->pending_bytes += size;
}

static bool submit_read(struct shard *s, struct shard_request *r)
{
    r->index = r->stream->last_index;
    bool is_first = list_is_empty(&r->stream->reads); /* reads keep their order, too */
    if (is_first && r->index <= s->index_applied && run_read(s, r, env_wall_ms(s->env))) {
        return true;
    }
    s->stats->reads_waited++;
    keep_args(s, r);
    list_append(&s->reads, &r->link);
    list_append(&r->stream->reads, &r->stream_link);
    return false;
}

/* A waiting read that has its answer. */
static void answer_read(struct shard *s, struct shard_request *r)
{
    mem_free(r->kept_args);
    r->kept_args = NULL;
    s->pending_bytes -= r->kept_bytes;
    list_remove(&r->stream_link);
    list_remove(&r->link);
    r->done(r);
}

/*
 * The connection's reads that were sent before its write w, which is about to apply, must not see w
 * (ORD-7): now is their moment. A key that came due only since this entry was stamped still shows:
 * group time says that it is there, and nobody has been told otherwise (ORD-5).
 */
static void run_reads_before(struct shard *s, const struct shard_request *w)
{
    while (!list_is_empty(&w->stream->reads)) {
        struct shard_request *r =
            container_of(w->stream->reads.next, struct shard_request, stream_link);
        if (r->id.sequence > w->id.sequence) {
            return;
        }
        reached("shard: read between two writes of its connection");
        bool is_done = run_read(s, r, 0);
        ensure(is_done);
        answer_read(s, r);
    }
}

static void run_waiting_reads(struct shard *s)
{
    uint64_t wall_ms = env_wall_ms(s->env);
    struct list *link = s->reads.next;
    while (link != &s->reads) {
        struct shard_request *r = request_of(link);
        link = link->next;
        bool is_first = r->stream->reads.next == &r->stream_link;
        if (is_first && r->index <= s->index_applied && run_read(s, r, wall_ms)) {
            answer_read(s, r);
        }
    }
}

bool shard_submit(struct shard *s, struct shard_request *r)
{
    ensure(r->arg_count > 0 && r->command->policy != COMMAND_LOCAL);
    list_init(&r->link);
    list_init(&r->stream_link);
    r->kept_args = NULL;
    if ((r->command->flags & COMMAND_WRITE) == 0) {
        return submit_read(s, r);
    }
    submit_write(s, r);
    return false;
}

/* ---- applying -------------------------------------------------------------------------------- */

/* The request whose command this is, if somebody on this node waits for it. */
static struct shard_request *take_waiting(struct shard *s, const struct request_id *id)
{
    if (list_is_empty(&s->writes) || id->sequence == 0) {
        return NULL;
    }
    struct shard_request *r = request_of(s->writes.next);
    if (r->id.node != id->node || r->id.incarnation != id->incarnation ||
        r->id.sequence != id->sequence) {
        return NULL;
    }
    list_remove(&r->link);
    return r;
}

/* What the gateway checked before it proposed; an entry comes from a disk, and soon from peers. */
static enum status check_command(const struct command *command,
                                 const struct entry_command *c,
                                 const struct bytes *args)
{
    size_t arg_count = (size_t)c->arg_count + 1;
    bool is_good = c->database < LIMIT_DATABASES && (c->resp == 2 || c->resp == 3) &&
                   command_arity_fits(command, arg_count) &&
                   command_judge_keys(command, args, arg_count) == COMMAND_KEYS_FIT;
    return is_good ? STATUS_OK : STATUS_CORRUPT;
}

static enum status read_args(struct shard *s,
                             struct entry_reader *reader,
                             const struct command *command,
                             const struct entry_command *c)
{
    size_t needed = (size_t)c->arg_count + 1;
    if (needed > s->args_capacity) {
        s->args = mem_realloc(s->args, needed * sizeof s->args[0]);
        s->args_capacity = needed;
    }
    s->args[0] = bytes_of_text(command->name);
    for (size_t i = 1; i < needed; i++) {
        enum status status = entry_next_arg(reader, &s->args[i]);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return check_command(command, c, s->args);
}

static void run_write(struct shard *s,
                      const struct command *command,
                      const struct entry_command *c,
                      uint64_t seed,
                      struct buf *reply)
{
    struct view_local *v = &s->apply_view;
    struct keyspace space = {.group = s->options.group, .database = c->database};
    view_local_begin(v, &space, s->time_ms, 0);
    struct command_call call = {
        .command = command,
        .args = s->args,
        .arg_count = (size_t)c->arg_count + 1,
        .resp = c->resp,
        .reply = reply,
        .view = &v->base,
        .now_ms = s->time_ms,
        .seed = seed,
    };
    enum command_result result = command->handler(&call);
    ensure(result == COMMAND_DONE || result == COMMAND_ERROR);
}

/* Applies the next command of an entry and answers who waits for it. */
static enum status apply_command(struct shard *s, struct entry_reader *reader)
{
    struct entry_command c;
    enum status status = entry_next(reader, &c);
    if (status != STATUS_OK) {
        return status;
    }
    const struct command *command = command_by_id(c.id);
    if (command == NULL || c.semantics > command->semantics) {
        return STATUS_UNSUPPORTED;
    }
    status = read_args(s, reader, command, &c);
    if (status != STATUS_OK) {
        return status;
    }
    struct shard_request *r = take_waiting(s, &c.request);
    if (r != NULL) {
        run_reads_before(s, r);
    }
    struct buf *reply = r != NULL ? r->reply : &s->scratch_reply;
    run_write(s, command, &c, reader->header.seed, reply);
    if (r != NULL) {
        r->done(r);
    }
    buf_clear(&s->scratch_reply, SCRATCH_BYTES_KEPT);
    return STATUS_OK;
}

static enum status apply(struct shard *s, uint64_t index, struct bytes entry)
{
    ensure(index == s->index_applied + 1);
    struct entry_reader reader;
    enum status status = entry_read(entry, &reader);
    if (status != STATUS_OK) {
        return status;
    }
    if (reader.header.stamp_ms > s->time_ms) {
        s->time_ms = reader.header.stamp_ms;
    } else if (reader.header.stamp_ms < s->time_ms) {
        reached("shard: stamp behind group time");
    }
    for (uint32_t i = 0; i < reader.header.count && status == STATUS_OK; i++) {
        status = apply_command(s, &reader);
    }
    if (status == STATUS_OK && !entry_is_read(&reader)) {
        status = STATUS_CORRUPT;
    }
    s->index_applied = index;
    s->stats->entries_applied++;
    return status;
}

/* False: the node halted. */
static bool apply_proposed(struct shard *s, struct proposed_entry *e)
{
    uint64_t started_us = env_now_us(s->env);
    stat_stage_add(&s->stats->stage_commit, started_us - e->proposed_us);
    enum status status = apply(s, e->index, buf_bytes(&e->bytes));
    stat_stage_add(&s->stats->stage_apply, env_now_us(s->env) - started_us);
    if (status != STATUS_OK) {
        env_halt(s->env,
                 "group %u: entry %" PRIu64 " cannot be applied: %s",
                 (unsigned)s->options.group,
                 e->index,
                 status_text(status));
        return false;
    }
    return true;
}

void shard_durable(struct shard *s, uint64_t batch)
{
    while (!list_is_empty(&s->proposed)) {
        struct proposed_entry *e = container_of(s->proposed.next, struct proposed_entry, link);
        if (e->batch == 0 || e->batch > batch) {
            break; /* LOG-3: never past what is durable here */
        }
        list_remove(&e->link);
        bool is_applied = apply_proposed(s, e);
        s->pending_bytes -= e->bytes.size - ENTRY_HEADER_BYTES;
        entry_destroy(e);
        if (!is_applied) {
            return;
        }
    }
    run_waiting_reads(s);
}

enum status shard_replay(struct shard *s,
                         const struct log_record *record,
                         struct bytes payload,
                         struct error *error)
{
    if (record->index != s->index_applied + 1 || record->term != s->term) {
        return error_set(error,
                         STATUS_CORRUPT,
                         "group %u: entry %" PRIu64 " of term %" PRIu64 " follows entry %" PRIu64,
                         (unsigned)record->group,
                         record->index,
                         record->term,
                         s->index_applied);
    }
    enum status status = apply(s, record->index, payload);
    if (status != STATUS_OK) {
        return error_set(error,
                         status,
                         "group %u: entry %" PRIu64 " cannot be applied: %s",
                         (unsigned)record->group,
                         record->index,
                         status_text(status));
    }
    s->index_last = record->index;
    return STATUS_OK;
}
