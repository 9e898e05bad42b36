#include "shard/shard.h"

#include "base/assert.h"
#include "base/crc.h"
#include "base/endian.h"
#include "base/mem.h"
#include "shard/shard_parts.h"

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
    list_init(&s->gathered);
    list_init(&s->proposed);
    list_init(&s->reads);
    view_local_init(&s->apply_view, store);
    s->apply_view.operations = &s->operations;
    s->apply_view.expired = &stats->keys_expired;
    view_local_init(&s->read_view, store);
    buf_init(&s->scratch_reply, SIZE_MAX / 2);
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
    dup_destroy(s->dup);
    view_local_deinit(&s->apply_view);
    view_local_deinit(&s->read_view);
    buf_deinit(&s->scratch_reply);
    mem_free(s->args);
    mem_free(s);
}

uint64_t shard_memory(const struct shard *s)
{
    return s->gathered_bytes + replica_pending_bytes(s->replica);
}

bool shard_is_busy(const struct shard *s)
{
    return !list_is_empty(&s->gathered) || !list_is_empty(&s->proposed) ||
           !list_is_empty(&s->reads);
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

/* The entry that the next `size` bytes go into. */
static struct proposal *filling(struct shard *s, size_t size)
{
    if (list_is_empty(&s->gathered)) {
        return start_proposal(s);
    }
    struct proposal *p = proposal_of(s->gathered.prev);
    if (p->bytes.size + size > LIMIT_ENTRY_BYTES) {
        reached("shard: entry full within a turn");
        return start_proposal(s);
    }
    return p;
}

static void gather_write(struct shard *s, struct shard_request *r)
{
    struct proposal *p = filling(s, r->bytes.size);
    buf_append_bytes(&p->bytes, r->bytes);
    p->count++;
    s->gathered_bytes += r->bytes.size;
    list_append(&p->writes, &r->link);
}

/* Has the log decide that the key's time has come; returns the number of that proposal. */
static uint64_t gather_expiry(struct shard *s, uint8_t database, struct bytes key)
{
    reached("shard: reader proposes an expiry");
    const struct command *row = command_by_id(COMMAND_ID_EXPIRE_DUE);
    /* Nobody waits for its reply and twice does no harm: it needs no request id. */
    struct entry_command c = {
        .id = COMMAND_ID_EXPIRE_DUE,
        .semantics = row->semantics,
        .resp = 2,
        .database = database,
        .arg_count = 1,
    };
    size_t size = entry_command_size(&key, 1);
    struct proposal *p = filling(s, size);
    entry_append(&p->bytes, &c, &key);
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

void shard_flush(struct shard *s)
{
    s->reply_bytes = 0;
    while (!list_is_empty(&s->gathered) && replica_has_room(s->replica)) {
        if (!propose(s, proposal_of(s->gathered.next))) {
            refuse_gathered(s);
            refuse_reads(s); /* those that wait for an expiry would wait for ever */
            return;
        }
    }
    if (!list_is_empty(&s->gathered)) {
        reached("shard: entry waits for the window");
    }
}

/* ---- reading --------------------------------------------------------------------------------- */

/* False: a key is due by the clock; the read waits for the proposal that says so. */
static bool run_read(struct shard *s, struct shard_request *r)
{
    struct entry_reader reader;
    struct entry_command c;
    const struct command *row = NULL;
    entry_reader_of(r->bytes, &reader);
    enum status status = shard_read_command(s, &reader, &c, &row);
    ensure(status == STATUS_OK); /* encoded or checked by our router */
    struct view_local *v = &s->read_view;
    struct keyspace space = {.group = s->options.group, .database = c.database};
    view_local_begin(v, &space, s->time_ms, env_wall_ms(s->env));
    struct command_call call = {
        .command = row,
        .args = s->args,
        .arg_count = (size_t)c.arg_count + 1,
        .resp = c.resp,
        .reply = r->reply,
        .view = &v->base,
        .now_ms = s->time_ms,
    };
    size_t reply_before = r->reply->size;
    if (row->handler(&call) != COMMAND_NEED) {
        s->reply_bytes += r->reply->size - reply_before;
        return true;
    }
    r->reply->size = reply_before;
    ensure(v->is_due); /* nothing else is ever missing with rows in memory */
    r->proposal = gather_expiry(s, c.database, buf_bytes(&v->due_key));
    return false;
}

static bool is_ready(const struct shard *s, const struct shard_request *r)
{
    return r->round <= replica_confirmed(s->replica) && r->index <= replica_applied(s->replica) &&
           r->proposal <= s->proposal_applied;
}

/* In order of arrival: one that waits holds back those behind it (ORD-7). */
static void run_reads(struct shard *s)
{
    while (!list_is_empty(&s->reads)) {
        struct shard_request *r = request_of(s->reads.next);
        if (!is_ready(s, r)) {
            return;
        }
        enum shard_verdict verdict = SHARD_FULL;
        if (s->reply_bytes <= SHARD_TURN_REPLY_BYTES) {
            if (!run_read(s, r)) {
                return;
            }
            verdict = SHARD_DONE;
        }
        list_remove(&r->link);
        r->done(r, verdict);
    }
}

static void submit_read(struct shard *s, struct shard_request *r)
{
    if (!replica_read_begin(s->replica, &r->index, &r->round)) {
        r->done(r, SHARD_REFUSED);
        return;
    }
    r->proposal = 0;
    struct list *link = &r->link;
    list_append(&s->reads, link);
    run_reads(s); /* r may be gone after it */
    if (s->reads.prev == link) {
        s->stats->reads_waited++;
    }
}

void shard_submit(struct shard *s, struct shard_request *r)
{
    struct entry_reader reader;
    struct entry_command c;
    list_init(&r->link);
    entry_reader_of(r->bytes, &reader);
    enum status status = entry_next(&reader, &c);
    ensure(status == STATUS_OK);
    if ((command_by_id(c.id)->flags & COMMAND_WRITE) == 0) {
        submit_read(s, r);
        return;
    }
    if (!replica_is_leader(s->replica)) {
        r->done(r, SHARD_REFUSED);
        return;
    }
    r->id = c.request;
    gather_write(s, r);
}

/* ---- from the replica ------------------------------------------------------------------------ */

static void on_advanced(void *owner)
{
    run_reads(owner);
}

static void on_leadership(void *owner, bool is_leader)
{
    struct shard *s = owner;
    /* Also when it is won: should the loss before it not have been told, nothing of it is left. */
    if (!is_leader) {
        reached("shard: leadership lost");
    }
    fail_proposals(s, &s->proposed, SHARD_LOST);
    refuse_gathered(s);
    refuse_reads(s);
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
        .advanced = on_advanced,
        .leadership = on_leadership,
        .leader_changed = on_leader_changed,
    };
    return &events;
}

/* ---- facts ----------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t hash, uint64_t value)
{
    /* The finalizer of SplitMix64. */
    hash ^= value + 0x9e3779b97f4a7c15u;
    hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9u;
    hash = (hash ^ (hash >> 27)) * 0x94d049bb133111ebu;
    return hash ^ (hash >> 31);
}

static uint64_t mix_bytes(uint64_t hash, struct bytes bytes)
{
    return mix(hash, ((uint64_t)bytes.size << 32) | crc32c(0, bytes.data, bytes.size));
}

uint64_t shard_hash(const struct shard *s)
{
    uint64_t hash = mix(mix(s->time_ms, s->operations), dup_hash(s->dup));
    struct buf from;
    buf_init(&from, SIZE_MAX / 2);
    uint8_t *group = buf_reserve(&from, 2);
    put_u16_be(group, s->options.group);
    buf_extend(&from, 2);
    struct omap_item row;
    while (store_seek(s->store, buf_bytes(&from), &row) == STATUS_OK && row.key.size > 2 &&
           get_u16_be(row.key.data) == s->options.group) {
        hash = mix_bytes(mix_bytes(hash, row.key), blob_bytes(row.value));
        buf_clear(&from, SIZE_MAX);
        buf_append_bytes(&from, row.key);
        buf_append(&from, "", 1); /* the next possible key */
    }
    buf_deinit(&from);
    return hash;
}

bool shard_peek(struct shard *s, uint8_t database, struct bytes key, struct buf *out_value)
{
    struct view_local *v = &s->read_view;
    struct keyspace space = {.group = s->options.group, .database = database};
    view_local_begin(v, &space, s->time_ms, 0);
    struct object object;
    if (view_get(&v->base, key, &object) != STATUS_OK) {
        return false;
    }
    buf_append_bytes(out_value, object.value);
    return true;
}
