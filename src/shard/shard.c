#include "shard/shard.h"

#include "base/assert.h"
#include "base/mem.h"
#include "protocol/resp_writer.h"
#include "shard/shard_txn.h"
#include "shard/snapshots.h"

static struct shard_request *request_of(struct list *link)
{
    return container_of(link, struct shard_request, link);
}

static struct proposal *proposal_of(struct list *link)
{
    return container_of(link, struct proposal, link);
}

/* ---- life ------------------------------------------------------------------------------------ */

struct shard *shard_create(struct env *env,
                           struct store *store,
                           struct stats *stats,
                           const struct shard_options *options)
{
    struct shard *s = mem_alloc_zero(sizeof *s);
    s->env = env;
    s->store = store;
    s->stats = stats;
    s->options = *options;
    s->dup = dup_create();
    s->participant = participant_create();
    s->participant_empty_bytes = participant_memory(s->participant);
    omap_init(&s->prepared_since);
    s->vote_last = 1;
    shard_hold_init(s);
    list_init(&s->gathered);
    list_init(&s->proposed);
    list_init(&s->reads);
    list_init(&s->fetches);
    buf_init(&s->row_key, ROW_KEY_BYTES_MAX);
    view_local_init(&s->apply_view, store, s->databases);
    s->apply_view.operations = &s->operations;
    s->apply_view.expired = &stats->keys_expired;
    s->apply_view.deleted_at = s->deleted_at;
    view_local_init(&s->read_view, store, s->databases);
    s->apply_view.base.slot_first = s->read_view.base.slot_first = options->slot_first;
    s->apply_view.base.slot_end = s->read_view.base.slot_end = options->slot_end;
    s->apply_view.participant = s->read_view.participant = s->participant;
    view_overlay_init(&s->overlay, &s->apply_view.base);
    buf_init(&s->scratch_reply, SIZE_MAX / 2);
    buf_init(&s->answer, SIZE_MAX / 2);
    return s;
}

void shard_attach(struct shard *s, struct replica *replica)
{
    s->replica = replica;
}

static void proposals_destroy(struct list *proposals)
{
    struct list *link = NULL;
    while ((link = list_take_first(proposals)) != NULL) {
        buf_deinit(&proposal_of(link)->bytes);
        buf_deinit(&proposal_of(link)->lock_names);
        mem_free(proposal_of(link));
    }
}

void shard_destroy(struct shard *s)
{
    if (s == NULL) {
        return;
    }
    proposals_destroy(&s->gathered);
    proposals_destroy(&s->proposed);
    shard_fetch_deinit(s);
    shard_hold_deinit(s);
    dup_destroy(s->dup);
    participant_destroy(s->participant);
    omap_deinit(&s->prepared_since);
    view_overlay_deinit(&s->overlay);
    buf_deinit(&s->row_key);
    view_local_deinit(&s->apply_view);
    view_local_deinit(&s->read_view);
    buf_deinit(&s->scratch_reply);
    buf_deinit(&s->answer);
    mem_free(s->args.list);
    mem_free(s->body_args.list);
    mem_free(s);
}

uint64_t shard_memory(const struct shard *s)
{
    return s->gathered_bytes + replica_pending_bytes(s->replica) +
           participant_memory(s->participant) - s->participant_empty_bytes;
}

void shard_halt_damaged(struct shard *s, enum status status)
{
    const char *hint = s->store->options.damage_hint;
    env_halt(s->env,
             "group %u: a row cannot be read: %s; %s",
             (unsigned)s->options.group,
             status_text(status),
             hint != NULL ? hint : "its store is damaged");
}

bool shard_is_out_of_space(const struct shard *s)
{
    return s->options.is_out_of_space != NULL &&
           s->options.is_out_of_space(s->options.owner, s->options.group);
}

/* ---- gathering ------------------------------------------------------------------------------- */

static struct proposal *start_proposal(struct shard *s)
{
    struct proposal *p = mem_alloc_zero(sizeof *p);
    p->number = ++s->proposal_last;
    p->since_us = env_now_us(s->env);
    buf_init(&p->bytes, SHARD_ENTRY_BYTES_MAX);
    entry_start(&p->bytes);
    list_init(&p->writes);
    list_append(&s->gathered, &p->link);
    return p;
}

/* The entry that the next `size` bytes go into, which may write rows of rows_bytes beyond that. */
static struct proposal *filling(struct shard *s, size_t size, uint64_t rows_bytes)
{
    if (list_is_empty(&s->gathered)) {
        return start_proposal(s);
    }
    struct proposal *p = proposal_of(s->gathered.prev);
    if (rows_bytes > 0 && p->rows_bytes + rows_bytes > LIMIT_ENTRY_ROWS_BYTES) {
        reached("shard: entry full of large rows");
        return start_proposal(s);
    }
    if (p->bytes.size + size > LIMIT_ENTRY_BYTES) {
        reached("shard: entry full within a turn");
        return start_proposal(s);
    }
    return p;
}

void shard_gather_write(struct shard *s,
                        struct shard_request *r,
                        const struct command *row,
                        const struct entry_command *c)
{
    uint64_t rows_bytes = shard_rows_bytes(s, r->bytes);
    struct proposal *p = filling(s, r->bytes.size, rows_bytes);
    p->rows_bytes += rows_bytes;
    buf_append_bytes(&p->bytes, r->bytes);
    p->count++;
    s->gathered_bytes += r->bytes.size;
    list_append(&p->writes, &r->link);
    if (row->id == COMMAND_ID_TXNPREPARE && !shard_hold_expect(s, p, row, c)) {
        size_t argument_bytes = s->args.list[1].size; /* the last of the command */
        txn_work_set_yields(p->bytes.data + p->bytes.size - argument_bytes);
    }
}

uint64_t shard_gather_expiry(struct shard *s,
                             uint8_t database,
                             const struct bytes *keys,
                             size_t count)
{
    const struct command *row = command_by_id(COMMAND_ID_EXPIRE_DUE);
    /* Nobody waits for its reply and twice does no harm: it needs no request id. */
    struct entry_command c = {
        .id = COMMAND_ID_EXPIRE_DUE,
        .semantics = row->semantics,
        .resp = 2,
        .database = database,
        .arg_count = (uint32_t)count,
    };
    size_t size = entry_command_size(keys, count);
    struct proposal *p = filling(s, size, 0);
    entry_append(&p->bytes, &c, keys);
    p->count++;
    s->gathered_bytes += size;
    return p->number;
}

/* ---- proposing ------------------------------------------------------------------------------- */

static void fail_writes(struct proposal *p, enum shard_verdict verdict)
{
    struct list *link = NULL;
    while ((link = list_take_first(&p->writes)) != NULL) {
        struct shard_request *r = request_of(link);
        r->done(r, verdict);
    }
}

static void fail_proposals(struct shard *s, struct list *proposals, enum shard_verdict verdict)
{
    struct list failed;
    list_init(&failed);
    list_move_all(&failed, proposals);
    struct list *link = NULL;
    while ((link = list_take_first(&failed)) != NULL) {
        struct proposal *p = proposal_of(link);
        s->proposal_applied = p->number; /* no read waits for it any more */
        fail_writes(p, verdict);
        shard_hold_settle(s, p);
        buf_deinit(&p->bytes);
        mem_free(p);
    }
}

static void refuse_gathered(struct shard *s)
{
    s->gathered_bytes = 0;
    fail_proposals(s, &s->gathered, SHARD_REFUSED);
}

static void refuse_reads(struct shard *s)
{
    struct list refused;
    list_init(&refused);
    list_move_all(&refused, &s->reads);
    struct list *link = NULL;
    while ((link = list_take_first(&refused)) != NULL) {
        struct shard_request *r = request_of(link);
        shard_forget_fetch(r);
        r->done(r, SHARD_REFUSED);
    }
}

/* False: this node does not lead. */
static bool propose(struct shard *s, struct proposal *p)
{
    uint64_t now_us = env_now_us(s->env);
    struct entry_header header = {
        .count = p->count,
        .stamp_ms = env_wall_ms(s->env),
        .seed = env_random(s->env),
    };
    entry_finish(&p->bytes, &header);
    p->index = replica_propose(s->replica, buf_bytes(&p->bytes));
    if (p->index == 0) {
        return false;
    }
    stat_stage_add(&s->stats->stage_queue, now_us - p->since_us);
    s->stats->entries_proposed++;
    p->since_us = now_us;
    s->gathered_bytes -= p->bytes.size - ENTRY_HEADER_BYTES;
    buf_deinit(&p->bytes); /* the replica has a copy */
    list_remove(&p->link);
    list_append(&s->proposed, &p->link);
    return true;
}

/* A read: for an entry that says that a key's time has come. */
static bool waits_for_expiry(const struct shard *s, const struct shard_request *r)
{
    return r->proposal > s->proposal_applied;
}

void shard_flush(struct shard *s)
{
    s->reply_bytes = 0;
    while (!list_is_empty(&s->gathered) && replica_has_room(s->replica)) {
        if (!propose(s, proposal_of(s->gathered.next))) {
            refuse_gathered(s);
            refuse_reads(s); /* those that wait for an expiry would wait for ever */
            shard_hold_refuse(s);
            return;
        }
    }
    if (!list_is_empty(&s->gathered)) {
        reached("shard: entry waits for the window");
    }
    if (!list_is_empty(&s->reads) && waits_for_expiry(s, request_of(s->reads.next))) {
        shard_run_reads(s); /* should there be no space any more, it must not hold back others */
    }
}

/* ---- reading --------------------------------------------------------------------------------- */

/*
 * The key is due, and the log cannot be told so until there is space: it may neither be shown nor
 * be said to be gone (ORD-5). Reads of other keys go on.
 */
static void refuse_due(struct shard_request *r)
{
    reached("shard: key due while disks are full");
    resp_write_errorf(r->reply,
                      "%s the key is about to expire, which cannot be written down: the disks of "
                      "this group's replicas are nearly full",
                      status_prefix(STATUS_NO_SPACE));
}

enum read_step {
    READ_WAITS,    /* and holds back all behind it */
    READ_ANSWERED, /* or refused: done() is next */
    READ_IS_HELD,  /* for a lock: it is in s->reads no more, those behind it go on */
};

/* What the handler met: a key that is due by the clock, or a row that is not at hand. */
static enum read_step wait_for_view(struct shard *s, struct shard_request *r)
{
    struct view_local *v = &s->read_view;
    if (v->is_due && shard_is_out_of_space(s)) {
        refuse_due(r);
        return READ_ANSWERED;
    }
    if (v->is_due) {
        reached("shard: reader proposes an expiry");
        struct bytes key = buf_bytes(&v->due_key);
        r->proposal = shard_gather_expiry(s, v->space.database, &key, 1);
    } else if (v->damage != STATUS_OK) {
        shard_halt_damaged(s, v->damage);
    } else {
        shard_fetch_read(s, r, v);
    }
    return READ_WAITS;
}

/* READ-4: locks and values are looked at in the same instant, at the read point or behind it. */
static enum read_step run_read(struct shard *s, struct shard_request *r)
{
    struct entry_reader reader;
    struct entry_command c;
    const struct command *row = NULL;
    entry_reader_of(r->bytes, &reader);
    enum status status = shard_read_command(s, &reader, &c, &row);
    ensure(status == STATUS_OK); /* encoded or checked by our router */
    if (shard_hold_read(s, r, row, &c, false)) {
        return READ_IS_HELD;
    }
    struct view_local *v = &s->read_view;
    struct keyspace space = shard_space(s, c.database);
    uint64_t wall_ms = env_wall_ms(s->env);
    view_local_begin(v, &space, s->time_ms, wall_ms);
    struct command_call call = {
        .command = row,
        .args = s->args.list,
        .arg_count = (size_t)c.arg_count + 1,
        .resp = c.resp,
        .database = c.database,
        .reply = r->reply,
        .view = &v->base,
        .now_ms = wall_ms > s->time_ms ? wall_ms : s->time_ms,
    };
    size_t reply_before = r->reply->size;
    enum command_result result =
        row->handler != NULL ? row->handler(&call) : shard_exec_read(s, row, call.now_ms, r->reply);
    if (result != COMMAND_NEED) {
        s->reply_bytes += r->reply->size - reply_before;
        return READ_ANSWERED;
    }
    r->reply->size = reply_before;
    if (v->is_locked && shard_hold_read(s, r, row, &c, true)) {
        return READ_IS_HELD;
    }
    return wait_for_view(s, r);
}

static bool is_ready(const struct shard *s, const struct shard_request *r)
{
    return r->round <= replica_confirmed(s->replica) && r->index <= replica_applied(s->replica) &&
           !waits_for_expiry(s, r) && r->fetch == NULL;
}

static enum read_step answer_read(struct shard *s,
                                  struct shard_request *r,
                                  enum shard_verdict *out_verdict)
{
    *out_verdict = SHARD_DONE;
    if (waits_for_expiry(s, r) && shard_is_out_of_space(s)) {
        refuse_due(r);
        return READ_ANSWERED;
    }
    if (!is_ready(s, r)) {
        return READ_WAITS;
    }
    if (s->reply_bytes > SHARD_TURN_REPLY_BYTES) {
        *out_verdict = SHARD_FULL;
        return READ_ANSWERED;
    }
    return run_read(s, r);
}

/*
 * In order of arrival: one that waits holds back those behind it (ORD-7), unless it waits for a
 * lock: then only those of its chain.
 */
void shard_run_reads(struct shard *s)
{
    while (!list_is_empty(&s->reads)) {
        struct shard_request *r = request_of(s->reads.next);
        enum shard_verdict verdict;
        switch (answer_read(s, r, &verdict)) {
        case READ_WAITS:
            return;
        case READ_ANSWERED:
            list_remove(&r->link);
            r->done(r, verdict);
            break;
        case READ_IS_HELD:
            break;
        }
    }
}

static void submit_read(struct shard *s, struct shard_request *r)
{
    if (!replica_read_begin(s->replica, &r->index, &r->round)) {
        r->done(r, SHARD_REFUSED);
        return;
    }
    r->proposal = 0;
    r->fetch = NULL;
    r->has_missed = false;
    r->vote = 0;
    struct list *link = &r->link;
    list_append(&s->reads, link);
    shard_run_reads(s); /* r may be gone after it */
    if (s->reads.prev != link) {
        return;
    }
    s->stats->reads_waited++;
    bool has_run = r->proposal != 0 || r->fetch != NULL;
    if (!has_run && store_may_need(s->store)) {
        shard_fetch_read(s, r, NULL); /* beside its round, and those of other reads */
    }
}

/* Looks at the keys only if something is locked, or may be, or waits. */
static void submit_write(struct shard *s,
                         struct shard_request *r,
                         const struct command *row,
                         struct entry_command *c)
{
    if (s->hold.is_needed || row->id == COMMAND_ID_TXNPREPARE) {
        struct entry_reader reader;
        entry_reader_of(r->bytes, &reader);
        enum status status = shard_read_command(s, &reader, c, &row);
        ensure(status == STATUS_OK); /* encoded or checked by our router */
    }
    if (!s->hold.is_needed || !shard_hold_write(s, r, row, c)) {
        shard_gather_write(s, r, row, c);
    }
}

/* An argument that is none, or of a newer version, must not get into the log; then it is answered.
 */
static bool is_transact_good(struct shard *s, struct shard_request *r)
{
    struct entry_reader reader;
    struct entry_command c;
    const struct command *row = NULL;
    entry_reader_of(r->bytes, &reader);
    enum status status = shard_read_command(s, &reader, &c, &row);
    if (status == STATUS_OK) {
        status = shard_txn_check(s, row, s->args.list[1]);
    }
    if (status == STATUS_OK && r->bytes.size > SHARD_TXN_REQUEST_BYTES) {
        resp_write_error(r->reply, "ERR the transaction is too large");
        r->done(r, SHARD_DONE);
        return false;
    }
    if (status != STATUS_OK) {
        reached("shard: bad argument of a transaction");
        resp_write_error(r->reply,
                         status == STATUS_UNSUPPORTED
                             ? "ERR the transaction has a command that this group's leader does "
                               "not know yet"
                             : "ERR malformed transaction");
        r->done(r, SHARD_DONE);
    }
    return status == STATUS_OK;
}

/* Outcomes and marks: they end locks, and rows go with them. They wait for space, if need be. */
static bool frees_space(const struct command *row)
{
    return row->handler == NULL && row->id != COMMAND_ID_EXEC && row->id != COMMAND_ID_TXNPREPARE;
}

void shard_submit(struct shard *s, struct shard_request *r)
{
    struct entry_reader reader;
    struct entry_command c;
    list_init(&r->link);
    entry_reader_of(r->bytes, &reader);
    enum status status = entry_next(&reader, &c);
    ensure(status == STATUS_OK);
    const struct command *row = command_by_id(c.id);
    if (row->handler == NULL && !is_transact_good(s, r)) {
        return;
    }
    if ((row->flags & COMMAND_WRITE) == 0) {
        submit_read(s, r);
        return;
    }
    if (!replica_is_leader(s->replica)) {
        r->done(r, SHARD_REFUSED);
        return;
    }
    if (shard_is_out_of_space(s) && !frees_space(row)) {
        reached("shard: write refused, disks are full");
        r->done(r, SHARD_NO_SPACE);
        return;
    }
    r->id = c.request;
    submit_write(s, r, row, &c);
}

/* ---- from the replica ------------------------------------------------------------------------ */

static void on_advanced(void *owner)
{
    shard_hold_release(owner);
    shard_run_reads(owner);
}

static void on_leadership(void *owner, bool is_leader)
{
    struct shard *s = owner;
    /* Also when it is won: should the loss before it not have been told, nothing of it is left. */
    if (!is_leader) {
        reached("shard: leadership lost");
    }
    shard_watch_expiry(s);
    fail_proposals(s, &s->proposed, SHARD_LOST);
    refuse_gathered(s);
    refuse_reads(s);
    shard_hold_refuse(s);
    shard_hold_inherit(s);
}

static bool on_is_staged(void *owner, uint64_t index, uint64_t term, uint32_t *out_generation)
{
    struct shard *s = owner;
    struct snapshots *snapshots = s->options.snapshots;
    return snapshots != NULL &&
           snapshots_is_staged(snapshots, s->options.group, index, term, out_generation);
}

static void on_wants_install(void *owner, uint64_t replica_id)
{
    struct shard *s = owner;
    if (s->options.snapshots != NULL) {
        snapshots_offer(s->options.snapshots, s->options.group, replica_id);
    }
}

static void on_leader_changed(void *owner)
{
    struct shard *s = owner;
    if (s->options.leader_changed != NULL) {
        s->options.leader_changed(s->options.owner, s->options.group);
    }
}

const struct replica_events *shard_replica_events(void)
{
    static const struct replica_events events = {
        .apply = shard_apply,
        .restore = shard_restore,
        .is_staged = on_is_staged,
        .wants_install = on_wants_install,
        .advanced = on_advanced,
        .leadership = on_leadership,
        .leader_changed = on_leader_changed,
    };
    return &events;
}
