/*
 * Transactions as a whole: real coordinators, real shards, and between them a router that keeps
 * every message until the test lets it through. Three gateways: clients talk to 1 and 2; 3 leads
 * all groups, so recovery is its business. The replicas below the shards are fakes. All that
 * happens leaves a line: messages, log entries, answers.
 *
 * Four groups of data. Keys b f j n are in group 1, c g k o in 2, d h l p in 3, a e i m in 4.
 */
#ifndef TXN_WHOLE_WORLD_H
#define TXN_WHOLE_WORLD_H

#include <stdio.h>
#include <stdlib.h>

#define ENTRIES_MAX 255u

#include "base/mem.h"
#include "data/slot.h"
#include "fake_env.h"
#include "harness.h"
#include "protocol/resp_reply.h"
#include "protocol/resp_writer.h"
#include "router/router_parts.h"
#include "shard/fake_replica.h"
#include "shard/snapshots.h"
#include "txn/txn.h"
#include "txn_describe.h"

#define GROUPS 4u
#define GATEWAYS 3u
#define LEADER 3u /* the gateway on the node that leads */
#define MESSAGES_MAX 512u
#define BARRIERS_MAX 8u
#define TIMEOUT_MS 5000u

/* One group: its log, and the shard of the node that leads it. */
struct group {
    struct replica replica;
    struct store store;
    struct store_medium *medium;
    struct shard *shard;
    struct world *world;
    uint32_t number;
};

enum message_state {
    MESSAGE_AWAY,     /* somewhere in the network: it may arrive */
    MESSAGE_IN_SHARD, /* the shard has it */
    MESSAGE_ANSWERED, /* its verdict is there, nobody was told yet */
    MESSAGE_GONE,
};

/* A command of a gateway for a group. */
struct message {
    unsigned number;
    uint32_t gateway;
    struct group *group;
    enum message_state state;
    struct router_request *request; /* who waits; NULL: nobody any more */
    bool is_answer_lost;
    enum shard_verdict verdict;
    struct shard_request shard;
    struct buf bytes;
    struct buf reply;
    struct world *world;
};

struct gateway {
    struct router router; /* its cuts are real */
    struct router_group groups[GROUPS + 1];
    struct txn_manager *m; /* NULL: it is dead */
    uint32_t incarnation;
    uint64_t sequences[GROUPS + 1];
    struct world *world;
};

struct world {
    struct fake_env env;
    struct stats stats;
    struct group *groups; /* [GROUPS + 1] */
    struct gateway gateways[GATEWAYS + 1];
    struct message *messages[MESSAGES_MAX];
    size_t message_count;
    struct {
        struct router_request *request;
        uint32_t gateway;
    } barriers[BARRIERS_MAX];
    size_t barrier_count;
    bool is_ready; /* routers have something to send: COMMITs do not wait (COORD-8) */
    bool is_expiring;
};

/* ---- notes ----------------------------------------------------------------------------------- */

static inline void note_buf(struct world *w, struct buf *line)
{
    buf_append(line, "", 1);
    fake_env_note(&w->env, "%s", (const char *)line->data);
    buf_deinit(line);
}

static inline void describe_entry_command(struct buf *out,
                                          const struct entry_command *c,
                                          struct entry_reader *reader)
{
    const struct command *row = command_by_id(c->id);
    struct bytes arg;
    if (c->id >= COMMAND_ID_EXEC && c->id <= COMMAND_ID_TXNEND) {
        enum status status = entry_next_arg(reader, &arg);
        ensure(status == STATUS_OK);
        describe(out, row, arg);
        return;
    }
    buf_append_text(out, row->name);
    for (uint32_t i = 0; i < c->arg_count; i++) {
        enum status status = entry_next_arg(reader, &arg);
        ensure(status == STATUS_OK);
        buf_append_text(out, " ");
        buf_append_bytes(out, arg);
    }
}

/* Commands as they stand in messages and entries, with " + " between them. */
static inline void describe_all(struct buf *out, struct entry_reader *reader)
{
    for (bool is_first = true; !entry_is_read(reader); is_first = false) {
        struct entry_command c;
        enum status status = entry_next(reader, &c);
        ensure(status == STATUS_OK);
        buf_append_text(out, is_first ? "" : " + ");
        describe_entry_command(out, &c, reader);
    }
}

/* One value: arrays in brackets. */
static inline void show_value(struct buf *out, struct bytes *rest, bool is_outermost)
{
    struct resp_value v;
    enum status status = resp_value_read(rest, &v);
    ensure(status == STATUS_OK);
    if (resp_value_is_null(&v)) {
        buf_append_text(out, "nil");
    } else if (v.type == RESP_TYPE_INTEGER) {
        buf_printf(out, "%" PRId64, v.integer);
    } else if (v.type == RESP_TYPE_ARRAY) {
        buf_append_text(out, is_outermost ? "" : "[");
        for (int64_t i = 0; i < v.count; i++) {
            buf_append_text(out, i > 0 ? " " : "");
            show_value(out, rest, false);
        }
        buf_append_text(out, is_outermost ? "" : "]");
    } else if (v.text.size == 0) {
        buf_append_text(out, "\"\"");
    } else {
        buf_append_bytes(out, v.text);
    }
}

static inline void show_values(struct buf *out, struct bytes values)
{
    for (bool is_first = true; values.size > 0; is_first = false) {
        buf_append_text(out, is_first ? "" : " ");
        show_value(out, &values, false);
    }
}

static inline void show_versions(struct buf *out, struct bytes versions)
{
    buf_append_text(out, versions.size > 0 ? " versions" : "");
    for (size_t i = 0; i < versions.size; i += 8) {
        uint64_t version = get_u64_le(versions.data + i);
        bool is_absent = (version & TXN_VERSION_ABSENT) != 0;
        version &= ~TXN_VERSION_ABSENT;
        if (is_absent && version == 0) {
            buf_append_text(out, " absent");
        } else {
            buf_printf(out, is_absent ? " absent(%" PRIu64 ")" : " %" PRIu64, version);
        }
    }
}

/* A reply: of a client's command, or the answer to an internal one. */
static inline void show_reply(struct buf *out, struct bytes reply)
{
    static const char *const states[] = {
        [TXN_STATE_NONE] = "done",
        [TXN_STATE_YES] = "yes",
        [TXN_STATE_NO_CONFLICT] = "no(conflict)",
        [TXN_STATE_NO_COMPARE] = "no(compare)",
        [TXN_STATE_NO_ERROR] = "no(error)",
        [TXN_STATE_NO_VOTE] = "no(vote)",
        [TXN_STATE_COMMITTED] = "committed",
        [TXN_STATE_ABORTED] = "aborted",
        [TXN_STATE_FINISHED] = "finished",
    };
    struct bytes rest = reply;
    struct resp_value v;
    struct txn_answer answer;
    enum status status = resp_value_read(&rest, &v);
    ensure(status == STATUS_OK);
    if (v.type != RESP_TYPE_BULK || resp_value_is_null(&v) ||
        txn_answer_read(v.text, &answer) != STATUS_OK) {
        show_values(out, reply);
        return;
    }
    buf_append_text(out, states[answer.state]);
    buf_append_text(out, answer.replies.size > 0 ? ": " : "");
    show_values(out, answer.replies);
    show_versions(out, answer.versions);
    if (answer.prepared > 0) {
        buf_printf(out, " prepared %" PRIu64, answer.prepared);
    }
}

static inline void note_entry(struct group *g)
{
    struct replica *r = &g->replica;
    struct entry_reader reader;
    struct buf line;
    enum status status = entry_read(buf_bytes(&r->entries[r->index_last]), &reader);
    ensure(status == STATUS_OK);
    buf_init(&line, SIZE_MAX / 2);
    buf_printf(&line, "g%u log %" PRIu64 ": ", g->number, r->index_last);
    describe_all(&line, &reader);
    note_buf(g->world, &line);
}

static inline void note_message(struct message *m)
{
    struct entry_reader reader;
    struct buf line;
    entry_reader_of(buf_bytes(&m->bytes), &reader);
    buf_init(&line, SIZE_MAX / 2);
    buf_printf(&line, "#%u to g%u: ", m->number, m->group->number);
    describe_all(&line, &reader);
    note_buf(m->world, &line);
}

/* ---- what is not part of this world ---------------------------------------------------------- */

bool snapshots_is_staged(const struct snapshots *s,
                         uint16_t group,
                         uint64_t index,
                         uint64_t term,
                         uint32_t *out_generation)
{
    (void)s;
    (void)group;
    (void)index;
    (void)term;
    (void)out_generation;
    unreachable("no snapshots here");
}

const struct omap *snapshots_take(struct snapshots *s, uint16_t group, uint32_t generation)
{
    (void)s;
    (void)group;
    (void)generation;
    unreachable("no snapshots here");
}

void snapshots_offer(struct snapshots *s, uint16_t group, uint64_t replica_id)
{
    (void)s;
    (void)group;
    (void)replica_id;
    unreachable("no snapshots here");
}

/* ---- the router's fake ----------------------------------------------------------------------- */

void router_stream_init(struct router_stream *stream)
{
    list_init(&stream->queue);
}

bool router_is_ready(const struct router *r)
{
    return container_of(r, const struct gateway, router)->world->is_ready;
}

uint32_t router_group_of_slot(const struct router *r, uint16_t slot)
{
    return 1 + (uint32_t)slot * r->options.group_count / SLOT_COUNT;
}

/*
 * Never raises the mark: that late copies of a request do nothing is the business of the router's
 * tests. Here the rules of transactions have to hold without it.
 */
void router_submit_to_group(struct router *r, uint32_t group, struct router_request *request)
{
    struct gateway *gateway = container_of(r, struct gateway, router);
    struct world *w = gateway->world;
    struct message *m = mem_alloc_zero(sizeof *m);
    ensure(w->message_count < MESSAGES_MAX);
    w->messages[w->message_count++] = m;
    m->number = (unsigned)w->message_count;
    m->gateway = (uint32_t)(gateway - w->gateways);
    m->group = &w->groups[group];
    m->request = request;
    m->world = w;
    struct entry_command c = {
        .id = (uint16_t)request->command->id,
        .semantics = request->command->semantics,
        .resp = request->resp,
        .arg_count = (uint32_t)request->arg_count - 1,
    };
    if ((request->command->flags & COMMAND_WRITE) != 0) {
        c.request =
            (struct request_id){m->gateway, gateway->incarnation, ++gateway->sequences[group]};
    }
    buf_init(&m->bytes, SIZE_MAX / 2);
    buf_init(&m->reply, SIZE_MAX / 2);
    entry_append(&m->bytes, &c, request->args + 1);
    note_message(m);
}

void router_submit_barrier(struct router *r, struct router_request *request)
{
    struct gateway *gateway = container_of(r, struct gateway, router);
    struct world *w = gateway->world;
    ensure(w->barrier_count < BARRIERS_MAX);
    w->barriers[w->barrier_count].request = request;
    w->barriers[w->barrier_count++].gateway = (uint32_t)(gateway - w->gateways);
}

void router_end_barrier(struct router *r, struct router_request *request)
{
    (void)r;
    (void)request; /* sessions here send the next command when they have their answer */
}

/* As long as the process lives it is heard. */
bool router_hears(const struct router *r, uint32_t node, uint32_t incarnation)
{
    const struct world *w = container_of(r, const struct gateway, router)->world;
    return node >= 1 && node <= GATEWAYS && w->gateways[node].m != NULL &&
           w->gateways[node].incarnation == incarnation;
}

/* ---- messages and groups --------------------------------------------------------------------- */

static inline void on_shard_done(struct shard_request *request, enum shard_verdict verdict)
{
    struct message *m = container_of(request, struct message, shard);
    ensure(m->state == MESSAGE_IN_SHARD);
    m->state = MESSAGE_ANSWERED;
    m->verdict = verdict;
}

/* Tells who waits; the router's own words where there is no answer. */
static inline void tell(struct message *m, enum router_outcome outcome, struct bytes reply)
{
    struct router_request *request = m->request;
    m->request = NULL;
    if (request != NULL) {
        buf_append_bytes(request->reply, reply);
        request->outcome = outcome;
        request->done(request);
    }
}

static inline void tell_unknown(struct message *m)
{
    tell(m, ROUTER_UNKNOWN, bytes_of_text("-UNKNOWNRESULT no answer in time\r\n"));
}

static inline void collect_one(struct world *w, struct message *m)
{
    if (m->verdict != SHARD_DONE) {
        fake_env_note(&w->env, "#%u goes again", m->number);
        m->state = MESSAGE_AWAY;
        return;
    }
    struct buf line;
    buf_init(&line, SIZE_MAX / 2);
    buf_printf(&line, "#%u answered: ", m->number);
    show_reply(&line, buf_bytes(&m->reply));
    buf_append_text(&line, m->request == NULL ? ", heard by nobody" : "");
    buf_append_text(&line, m->is_answer_lost ? ", which is lost" : "");
    note_buf(w, &line);
    m->state = MESSAGE_GONE;
    if (m->is_answer_lost) {
        tell_unknown(m);
    } else {
        tell(m, ROUTER_DONE, buf_bytes(&m->reply));
    }
}

/* What follows from the last event, but no message arrives. */
static inline void pump(struct world *w)
{
    for (size_t i = 0; i < w->message_count; i++) {
        if (w->messages[i]->state == MESSAGE_ANSWERED) {
            collect_one(w, w->messages[i]);
        }
    }
    while (w->barrier_count > 0) {
        struct router_request *request = w->barriers[0].request;
        w->barrier_count--;
        memmove(w->barriers, w->barriers + 1, w->barrier_count * sizeof w->barriers[0]);
        request->done(request);
    }
    for (uint32_t n = 1; n <= GATEWAYS; n++) {
        if (w->gateways[n].m != NULL) {
            txn_flush(w->gateways[n].m);
        }
    }
}

/* What has gathered stands in the log, and is not committed. */
static inline void group_propose(struct group *g)
{
    uint64_t before = g->replica.index_last;
    shard_flush(g->shard);
    store_flush(&g->store);
    fake_env_run_all(&g->world->env);
    if (g->replica.index_last > before) {
        ensure(g->replica.index_last == before + 1);
        note_entry(g);
    }
}

static inline bool group_is_busy(const struct group *g)
{
    const struct shard *s = g->shard;
    return !list_is_empty(&s->gathered) || !list_is_empty(&s->proposed) ||
           !list_is_empty(&s->reads);
}

/* The log is committed and applied, a quorum has confirmed the leader; what that lets go on, too.
 */
static inline void group_apply(struct group *g)
{
    struct replica *r = &g->replica;
    for (unsigned turns = 0; turns == 0 || group_is_busy(g); turns++) {
        CHECK(turns < 50);
        group_propose(g);
        r->index_commit = r->apply_to = r->index_last;
        world_go_on(r);
        CHECK(r->apply_status == STATUS_OK || g->world->env.base.is_halted);
        if (g->world->env.base.is_halted) {
            return;
        }
        r->confirmed = r->round++;
        shard_replica_events()->advanced(g->shard);
    }
}

/* It arrives at the group's leader. */
static inline void message_arrive(struct message *m)
{
    ensure(m->state == MESSAGE_AWAY);
    m->state = MESSAGE_IN_SHARD;
    m->shard = (struct shard_request){
        .bytes = buf_bytes(&m->bytes),
        .reply = &m->reply,
        .done = on_shard_done,
    };
    shard_submit(m->group->shard, &m->shard);
}

static inline void deliver(struct message *m)
{
    message_arrive(m);
    group_apply(m->group);
    pump(m->world);
}

/* Another leader: with the tail of the log that was not committed, or without it. */
static inline void group_change_leader(struct group *g, bool keeps_tail)
{
    struct replica *r = &g->replica;
    r->is_leader = false;
    r->confirmed = 0;
    shard_replica_events()->leadership(g->shard, false);
    while (!keeps_tail && r->index_last > r->index_commit) {
        r->pending_bytes -= r->entries[r->index_last].size;
        buf_deinit(&r->entries[r->index_last--]);
    }
    r->barrier = r->index_last;
    r->is_leader = true;
    shard_replica_events()->leadership(g->shard, true);
    pump(g->world);
}

static inline void on_fold_starts(void *owner, bool is_sync)
{
    shard_fold_starts(((struct group *)owner)->shard, is_sync);
}

static inline void on_folded(void *owner)
{
    shard_folded(((struct group *)owner)->shard);
}

static inline void on_synced(void *owner)
{
    shard_synced(((struct group *)owner)->shard);
}

/* On what its disk has; the log is still there. */
static inline void group_open(struct group *g)
{
    struct world *w = g->world;
    struct store_options store_options = {
        .fold_rows = 1000,
        .fold_starts = on_fold_starts,
        .folded = on_folded,
        .synced = on_synced,
        .owner = g,
        .damage_hint = "",
    };
    struct shard_options options = {
        .group = (uint16_t)g->number,
        .slot_end = SLOT_COUNT,
        .owner = g,
        .is_expiring = &w->is_expiring,
    };
    struct replica_base base;
    struct error error;
    store_init(&g->store, &w->env.base, &store_options, store_engine_mem_create(g->medium));
    g->shard = shard_create(&w->env.base, &g->store, &w->stats, &options);
    g->replica.shard = g->shard;
    shard_attach(g->shard, &g->replica);
    CHECK_EQ(shard_replica_events()->restore(g->shard, 0, &base, &error), STATUS_OK);
    g->replica.index_applied = base.index;
    g->replica.apply_to = g->replica.index_commit;
    g->replica.pending_bytes = 0;
    for (uint64_t i = base.index + 1; i <= g->replica.index_last; i++) {
        g->replica.pending_bytes += g->replica.entries[i].size;
    }
    world_go_on(&g->replica);
    CHECK_EQ(shard_drop_leftovers(g->shard), STATUS_OK);
    store_ready(&g->store);
    g->replica.is_leader = true;
}

static inline void group_close(struct group *g)
{
    shard_stop(g->shard);
    shard_destroy(g->shard);
    store_deinit(&g->store);
}

/* Its node starts again, from its last fold and its log; `folds`: everything is folded first. */
static inline void group_restart(struct group *g, bool folds)
{
    if (folds) {
        store_sync_soon(&g->store);
        for (unsigned i = 0; i < 4; i++) {
            group_propose(g);
        }
    }
    g->replica.is_leader = false;
    g->replica.confirmed = 0;
    shard_replica_events()->leadership(g->shard, false);
    pump(g->world);
    group_close(g);
    g->world->env.job_count = 0;
    store_medium_crash(g->medium, folds ? store_medium_pending(g->medium) : 0);
    g->replica.folded = 0;
    g->replica.synced = 0;
    g->replica.barrier = g->replica.index_last;
    group_open(g);
    shard_replica_events()->leadership(g->shard, true);
    pump(g->world);
}

/* ---- gateways -------------------------------------------------------------------------------- */

static inline void gateway_start(struct world *w, uint32_t number)
{
    struct gateway *g = &w->gateways[number];
    g->world = w;
    g->incarnation++;
    memset(g->sequences, 0, sizeof g->sequences);
    g->router.options.group_count = GROUPS;
    g->router.part_of_group = mem_alloc_zero((GROUPS + 1) * sizeof g->router.part_of_group[0]);
    for (uint32_t i = 1; i <= GROUPS; i++) {
        g->groups[i].shard = number == LEADER ? w->groups[i].shard : NULL;
    }
    struct txn_options options = {
        .node = number,
        .incarnation = g->incarnation,
        .group_count = GROUPS,
        .groups = g->groups,
        .request_timeout_ms = TIMEOUT_MS,
    };
    g->m = txn_create(&w->env.base, &g->router, &w->stats, &options);
}

/* kill -9: what it has sent goes on without it. */
static inline void gateway_kill(struct world *w, uint32_t number)
{
    struct gateway *g = &w->gateways[number];
    for (size_t i = 0; i < w->message_count; i++) {
        if (w->messages[i]->gateway == number) {
            w->messages[i]->request = NULL;
        }
    }
    size_t kept = 0;
    for (size_t i = 0; i < w->barrier_count; i++) {
        if (w->barriers[i].gateway != number) {
            w->barriers[kept++] = w->barriers[i];
        }
    }
    w->barrier_count = kept;
    txn_stop(g->m);
    txn_destroy(g->m);
    mem_free(g->router.part_of_group);
    g->router.part_of_group = NULL;
    g->m = NULL;
}

/* ---- the world ------------------------------------------------------------------------------- */

/* has_disks: groups can be restarted. */
static inline void world_start(struct world *w, bool has_disks)
{
    *w = (struct world){0};
    fake_env_init(&w->env);
    fake_env_advance(&w->env, 1000); /* at 0 an armed timer looks like none */
    w->groups = mem_alloc_zero((GROUPS + 1) * sizeof w->groups[0]);
    for (uint32_t i = 1; i <= GROUPS; i++) {
        struct group *g = &w->groups[i];
        g->world = w;
        g->number = i;
        g->medium = has_disks ? store_medium_create() : NULL;
        g->replica.round = 1;
        group_open(g);
    }
    for (uint32_t n = 1; n <= GATEWAYS; n++) {
        gateway_start(w, n);
    }
}

static inline void group_deinit(struct group *g)
{
    group_close(g);
    for (uint64_t i = 1; i <= g->replica.index_last; i++) {
        buf_deinit(&g->replica.entries[i]);
    }
    if (g->medium != NULL) {
        store_medium_destroy(g->medium);
    }
}

static inline void world_stop(struct world *w)
{
    for (uint32_t n = 1; n <= GATEWAYS; n++) {
        if (w->gateways[n].m != NULL) {
            gateway_kill(w, n);
        }
    }
    for (uint32_t i = 1; i <= GROUPS; i++) {
        group_deinit(&w->groups[i]);
    }
    for (size_t i = 0; i < w->message_count; i++) {
        buf_deinit(&w->messages[i]->bytes);
        buf_deinit(&w->messages[i]->reply);
        mem_free(w->messages[i]);
    }
    mem_free(w->groups);
    fake_env_deinit(&w->env);
}

static inline void world_pass(struct world *w, uint64_t ms)
{
    fake_env_advance(&w->env, ms);
    pump(w);
}

/* The first message on its way, or NULL. */
static inline struct message *first_away(struct world *w)
{
    for (size_t i = 0; i < w->message_count; i++) {
        if (w->messages[i]->state == MESSAGE_AWAY) {
            return w->messages[i];
        }
    }
    return NULL;
}

#endif
