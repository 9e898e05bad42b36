/* Life, time, internal commands, and what a client's transaction goes through. */
#include "txn/txn.h"

#include "base/assert.h"
#include "base/mem.h"
#include "protocol/resp_reply.h"
#include "protocol/resp_writer.h"
#include "txn/txn_parts.h"

static void on_timer(struct env_timer *timer);

/* ---- life ------------------------------------------------------------------------------------ */

struct txn_manager *txn_create(struct env *env,
                               struct router *router,
                               struct stats *stats,
                               const struct txn_options *options)
{
    ensure(options->incarnation > 0 && options->group_count > 0);
    struct txn_manager *m = mem_alloc_zero(sizeof *m);
    m->env = env;
    m->router = router;
    m->stats = stats;
    m->options = *options;
    if (m->options.request_timeout_ms == 0) {
        m->options.request_timeout_ms = ROUTER_REQUEST_TIMEOUT_MS_DEFAULT;
    }
    m->timer.cb = on_timer;
    list_init(&m->txns);
    list_init(&m->deadlines);
    list_init(&m->tries);
    list_init(&m->recoveries);
    omap_init(&m->recovering);
    list_init(&m->commits);
    list_init(&m->dues);
    buf_init(&m->scratch, SIZE_MAX / 2); /* TXN_BYTES_MAX bounds it */
    m->place_of_group =
        mem_alloc_zero(((size_t)options->group_count + 1) * sizeof m->place_of_group[0]);
    txn_mark_init(m);
    txn_recover_init(m);
    return m;
}

void txn_stop(struct txn_manager *m)
{
    m->is_stopped = true;
    txn_mark_stop(m);
    txn_recover_stop(m);
    txn_due_clear(&m->commit_due);
    env_timer_stop(m->env, &m->timer);
}

static void txn_free(struct txn *t)
{
    txn_due_clear(&t->pause);
    list_remove(&t->link);
    list_remove(&t->deadline_link);
    for (uint32_t i = 0; t->looks != NULL && i < t->plan.group_count; i++) {
        txn_look_deinit(&t->looks[i]);
    }
    mem_free(t->looks);
    plan_deinit(&t->plan);
    view_recorded_deinit(&t->recorded);
    buf_deinit(&t->replies);
    t->m->memory -= t->charged;
    mem_free(t);
}

static void destroy_tries(struct list *tries)
{
    while (!list_is_empty(tries)) {
        txn_try_destroy(container_of(tries->next, struct txn_try, link));
    }
}

void txn_destroy(struct txn_manager *m)
{
    if (m == NULL) {
        return;
    }
    destroy_tries(&m->tries);
    destroy_tries(&m->recoveries);
    omap_deinit(&m->recovering);
    while (!list_is_empty(&m->txns)) {
        txn_free(container_of(m->txns.next, struct txn, link));
    }
    for (uint32_t g = 0; g <= m->options.group_count; g++) {
        txn_exchange_deinit(&m->groups[g].exchange);
    }
    mem_free(m->groups);
    mem_free(m->place_of_group);
    buf_deinit(&m->scratch);
    mem_free(m);
}

/* ---- time ------------------------------------------------------------------------------------ */

/* The one timer fires for whatever is due first. It may fire in vain. */
static void wake_at(struct txn_manager *m, uint64_t due_us)
{
    if (m->is_stopped || (m->timer_us != 0 && m->timer_us <= due_us)) {
        return;
    }
    uint64_t now_us = env_now_us(m->env);
    uint64_t delay_us = due_us > now_us ? due_us - now_us : 0;
    m->timer_us = due_us;
    env_timer_start(m->env, &m->timer, (delay_us + 999) / 1000);
}

void txn_due_set(struct txn_manager *m, struct txn_due *due, uint64_t delay_ms)
{
    txn_due_clear(due);
    due->due_us = env_now_us(m->env) + delay_ms * 1000;
    struct list *at = &m->dues;
    while (at->prev != &m->dues &&
           container_of(at->prev, struct txn_due, link)->due_us > due->due_us) {
        at = at->prev;
    }
    list_insert_before(at, &due->link);
    wake_at(m, due->due_us);
}

void txn_due_clear(struct txn_due *due)
{
    if (due->link.next == NULL) {
        list_init(&due->link); /* never used before */
    }
    list_remove(&due->link);
}

uint64_t txn_delay_ms(struct txn_manager *m, unsigned failures, uint32_t least, uint32_t most)
{
    uint64_t delay_ms = least;
    for (unsigned i = 0; i < failures && delay_ms < most; i++) {
        delay_ms *= 2;
    }
    delay_ms = delay_ms < most ? delay_ms : most;
    return delay_ms - env_random(m->env) % (delay_ms / 2 + 1);
}

static void deadline_passed(struct txn *t);

static uint64_t first_due_us(const struct txn_manager *m)
{
    uint64_t due_us = UINT64_MAX;
    if (!list_is_empty(&m->dues)) {
        due_us = container_of(m->dues.next, struct txn_due, link)->due_us;
    }
    if (!list_is_empty(&m->deadlines)) {
        uint64_t other_us = container_of(m->deadlines.next, struct txn, deadline_link)->deadline_us;
        due_us = other_us < due_us ? other_us : due_us;
    }
    return due_us;
}

static void on_timer(struct env_timer *timer)
{
    struct txn_manager *m = container_of(timer, struct txn_manager, timer);
    uint64_t now_us = env_now_us(m->env);
    m->timer_us = 0;
    while (!list_is_empty(&m->dues) &&
           container_of(m->dues.next, struct txn_due, link)->due_us <= now_us) {
        struct txn_due *due = container_of(list_take_first(&m->dues), struct txn_due, link);
        due->fn(due);
    }
    while (!list_is_empty(&m->deadlines)) {
        struct txn *t = container_of(m->deadlines.next, struct txn, deadline_link);
        if (t->deadline_us > now_us) {
            break;
        }
        deadline_passed(t);
    }
    if (first_due_us(m) != UINT64_MAX) {
        wake_at(m, first_due_us(m));
    }
}

void txn_flush(struct txn_manager *m)
{
    if (!list_is_empty(&m->commits) && router_is_ready(m->router)) {
        txn_commit_all(m);
    }
}

/* ---- exchanges ------------------------------------------------------------------------------- */

void txn_exchange_init(struct txn_exchange *e, struct txn_manager *m)
{
    *e = (struct txn_exchange){.m = m};
    router_stream_init(&e->stream);
    buf_init(&e->reply, SIZE_MAX / 2); /* the router bounds replies */
}

void txn_exchange_deinit(struct txn_exchange *e)
{
    buf_deinit(&e->reply);
}

/* A bulk with an answer in it. */
bool txn_answer_of(struct bytes reply, struct txn_answer *out_answer)
{
    struct resp_value value;
    return resp_value_read(&reply, &value) == STATUS_OK && value.type == RESP_TYPE_BULK &&
           value.count == 0 && reply.size == 0 &&
           txn_answer_read(value.text, out_answer) == STATUS_OK;
}

bool txn_exchange_answer(const struct txn_exchange *e, struct txn_answer *out_answer)
{
    return !e->is_busy && txn_answer_of(buf_bytes(&e->reply), out_answer);
}

static void on_replied(struct router_request *request)
{
    struct txn_exchange *e = container_of(request, struct txn_exchange, request);
    struct txn_answer answer = {0};
    bool is_error = e->reply.size > 0 && e->reply.data[0] == '-';
    e->is_busy = false;
    if (request->outcome == ROUTER_UNKNOWN) {
        e->done(e, TXN_RESULT_UNKNOWN, NULL);
    } else if (request->outcome == ROUTER_REFUSED || is_error) {
        e->done(e, TXN_RESULT_REFUSED, NULL);
    } else if (txn_answer_of(buf_bytes(&e->reply), &answer)) {
        e->done(e, TXN_RESULT_ANSWER, &answer);
    } else {
        reached("txn: an answer that makes no sense");
        e->done(e, TXN_RESULT_UNKNOWN, NULL);
    }
}

void txn_exchange_start(struct txn_exchange *e,
                        enum command_id command,
                        uint32_t group,
                        uint8_t resp,
                        struct bytes argument,
                        struct router_stream *stream)
{
    ensure(!e->is_busy && e->done != NULL);
    const struct command *row = command_by_id((uint16_t)command);
    struct bytes args[] = {bytes_of_text(row->name), argument};
    e->is_busy = true;
    buf_clear(&e->reply, TXN_SCRATCH_BYTES_KEPT);
    e->request = (struct router_request){
        .command = row,
        .args = args,
        .arg_count = sizeof args / sizeof args[0],
        .resp = resp,
        .stream = stream != NULL ? stream : &e->stream,
        .reply = &e->reply,
        .done = on_replied,
    };
    router_submit_to_group(e->m->router, group, &e->request);
    e->request.args = NULL;
}

struct buf *txn_scratch(struct txn_manager *m)
{
    buf_clear(&m->scratch, TXN_SCRATCH_BYTES_KEPT);
    return &m->scratch;
}

/* ---- answering ------------------------------------------------------------------------------- */

static void count_outcome(struct txn_counts *counts, enum txn_outcome outcome)
{
    switch (outcome) {
    case TXN_COMMITTED:
        counts->committed++;
        return;
    case TXN_CHANGED:
        counts->changed++;
        return;
    case TXN_FAILED:
        counts->failed++;
        return;
    case TXN_UNKNOWN:
        counts->unknown++;
        return;
    case TXN_NOT_EXECUTED:
        return;
    }
    unreachable("every outcome is counted");
}

void txn_release(struct txn *t)
{
    if (t->phase == TXN_PHASE_ANSWERED && t->looks_busy == 0) {
        txn_free(t);
    }
}

void txn_finish(struct txn *t, enum txn_outcome outcome)
{
    struct txn_manager *m = t->m;
    struct txn_request *request = t->request;
    struct txn_watch_request *watch = t->watch;
    ensure(t->phase != TXN_PHASE_ANSWERED && t->try == NULL);
    t->phase = TXN_PHASE_ANSWERED;
    t->request = NULL;
    t->watch = NULL;
    txn_due_clear(&t->pause);
    list_remove(&t->deadline_link);
    m->counts.open--;
    if (t->is_barrier_up) {
        router_end_barrier(m->router, &t->barrier);
    }
    txn_release(t);
    /* Last: it may submit, and end the stream. */
    if (watch != NULL) {
        watch->done(watch, outcome == TXN_COMMITTED);
    } else {
        count_outcome(&m->counts, outcome);
        request->done(request, outcome);
    }
}

/* Where an error goes. */
static struct buf *error_of(const struct txn *t)
{
    ensure(t->watch != NULL || t->request != NULL);
    return t->watch != NULL ? t->watch->error : t->request->replies;
}

void txn_finish_error(struct txn *t, enum txn_outcome outcome, struct bytes error)
{
    buf_append_bytes(error_of(t), error);
    txn_finish(t, outcome);
}

void txn_finish_text(struct txn *t, enum txn_outcome outcome, const char *text)
{
    resp_write_error(error_of(t), text);
    txn_finish(t, outcome);
}

/*
 * The client has waited long enough. What it is told is the truth (DUP-6, TXN-5): unknown only
 * while a try is open that may still be committed; that one goes on without it (DUP-9).
 */
static void deadline_passed(struct txn *t)
{
    struct txn_try *try = t->try;
    bool is_certain = true;
    if (try != NULL) {
        t->try = NULL;
        is_certain = txn_try_leave(try);
    }
    if (is_certain) {
        reached("txn: no result in time, and none to come");
        txn_finish_text(t,
                        TXN_NOT_EXECUTED,
                        "TRYAGAIN its keys were busy, or their groups without a leader; the "
                        "transaction was not executed");
    } else {
        reached("txn: outcome unknown");
        txn_finish_text(t,
                        TXN_UNKNOWN,
                        "UNKNOWNRESULT the transaction may or may not have been executed (no "
                        "answer of all its groups in time)");
    }
}

/* ---- submitting ------------------------------------------------------------------------------ */

static void on_barrier(struct router_request *request)
{
    struct txn *t = container_of(request, struct txn, barrier);
    struct txn_manager *m = t->m;
    uint64_t timeout_us = ((uint64_t)m->options.request_timeout_ms + TXN_GRACE_MS) * 1000;
    t->is_barrier_up = true;
    t->deadline_us = env_now_us(m->env) + timeout_us;
    list_append(&m->deadlines, &t->deadline_link);
    wake_at(m, t->deadline_us);
    txn_begin(t);
}

static void pause_over(struct txn_due *due)
{
    txn_begin(container_of(due, struct txn, pause));
}

/* An ordered try waits at the groups, in line, and not before that. */
static bool goes_in_line(const struct txn *t)
{
    return t->conflicts == TXN_CONFLICTS_MAX && t->plan.way != TXN_WAY_GATEWAY;
}

void txn_again(struct txn *t)
{
    uint64_t pause_ms = txn_delay_ms(t->m, t->tries, TXN_PAUSE_MS_MIN, TXN_PAUSE_MS_MAX);
    t->phase = TXN_PHASE_PAUSING;
    t->tries++;
    t->pause.fn = pause_over;
    txn_due_set(t->m, &t->pause, goes_in_line(t) ? 0 : pause_ms);
}

void txn_begin(struct txn *t)
{
    switch (t->plan.way) {
    case TXN_WAY_ERROR:
        txn_finish_error(t, TXN_NOT_EXECUTED, buf_bytes(&t->plan.error));
        return;
    case TXN_WAY_READ:
        if (t->looked >= TXN_LOOKS_MAX) {
            reached("txn: a read votes, as its keys change all the time");
            txn_vote(t);
        } else {
            txn_look(t);
        }
        return;
    case TXN_WAY_VOTE:
        txn_vote(t);
        return;
    case TXN_WAY_GATEWAY:
        txn_look_rows(t);
        return;
    case TXN_WAY_WATCH:
        txn_look(t);
        return;
    case TXN_WAY_ONE:
        break;
    }
    unreachable("one group alone needs no barrier");
}

static struct txn *txn_new(struct txn_manager *m)
{
    struct txn *t = mem_alloc_zero(sizeof *t);
    t->m = m;
    list_init(&t->deadline_link);
    list_append(&m->txns, &t->link);
    view_recorded_init(&t->recorded);
    buf_init(&t->replies, SIZE_MAX / 2);
    m->counts.open++;
    return t;
}

/* Takes its place in the stream: alone with its group, or as a barrier. */
static void start(struct txn *t, struct router_stream *stream)
{
    t->charged = sizeof *t + plan_bytes(&t->plan);
    t->m->memory += t->charged;
    bool is_watch_of_one = t->plan.way == TXN_WAY_WATCH && t->plan.group_count == 1;
    if (t->plan.way == TXN_WAY_ONE || is_watch_of_one) {
        txn_look_one(t, stream);
        return;
    }
    t->barrier = (struct router_request){
        .stream = stream,
        .is_reading = t->plan.is_reading,
        .done = on_barrier,
    };
    router_submit_barrier(t->m->router, &t->barrier);
}

void txn_submit(struct txn_manager *m, struct txn_request *r)
{
    struct txn *t = txn_new(m);
    t->request = r;
    t->is_strict = r->is_strict;
    t->resp = r->resp;
    r->txn = t;
    plan_make(&t->plan, m, r);
    start(t, r->stream);
}

void txn_watch(struct txn_manager *m, struct txn_watch_request *r)
{
    ensure(r->key_count > 0);
    struct txn *t = txn_new(m);
    t->watch = r;
    t->resp = 2;
    r->txn = t;
    plan_make_watch(&t->plan, m, r);
    start(t, r->stream);
}

/* ---- facts ----------------------------------------------------------------------------------- */

struct txn_counts txn_counts(const struct txn_manager *m)
{
    return m->counts;
}

struct show {
    void (*fn)(void *ctx, const struct txn_shown *shown);
    void *ctx;
    uint64_t now_us;
    uint32_t group;
};

static void copy_participants(struct txn_shown *shown, struct bytes participants)
{
    for (size_t i = 0; i + 1 < participants.size; i += 2) {
        if (shown->participant_count < TXN_PARTICIPANTS_MAX) {
            shown->participants[shown->participant_count++] =
                (uint16_t)(participants.data[i] | participants.data[i + 1] << 8);
        }
    }
}

static void show_prepared(void *ctx,
                          const struct txn_id *id,
                          const struct txn_record *record,
                          uint64_t since_us)
{
    const struct show *show = ctx;
    struct txn_shown shown = {
        .id = *id,
        .group = show->group,
        .state = "prepared",
        .age_us = show->now_us > since_us ? show->now_us - since_us : 0,
    };
    copy_participants(&shown, record->participants);
    show->fn(show->ctx, &shown);
}

/* now_us 0: without their age. */
static void show_own(const struct txn_manager *m, const struct show *show)
{
    list_each(link, &m->tries) {
        const struct txn_try *try = container_of(link, struct txn_try, link);
        struct txn_shown shown = {
            .id = try->id,
            .is_coordinator = true,
            .state = txn_try_state(try),
            .age_us = show->now_us > try->since_us ? show->now_us - try->since_us : 0,
        };
        copy_participants(&shown, buf_bytes(&try->participants));
        show->fn(show->ctx, &shown);
    }
}

void txn_each_open(struct txn_manager *m,
                   void (*fn)(void *ctx, const struct txn_shown *shown),
                   void *ctx)
{
    struct show show = {.fn = fn, .ctx = ctx, .now_us = env_now_us(m->env)};
    show_own(m, &show);
    for (uint32_t g = 1; g <= m->options.group_count; g++) {
        show.group = g;
        if (m->options.groups[g].shard != NULL) {
            shard_each_prepared(m->options.groups[g].shard, show_prepared, &show);
        }
    }
}

void txn_each_own(const struct txn_manager *m,
                  void (*fn)(void *ctx, const struct txn_shown *shown),
                  void *ctx)
{
    struct show show = {.fn = fn, .ctx = ctx};
    show_own(m, &show);
}

uint64_t txn_memory(const struct txn_manager *m)
{
    return m->memory;
}
