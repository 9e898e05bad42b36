/* The order of one connection's commands: runs, sequences, answers, giving up (ORD-7, DUP-3). */
#include "base/assert.h"
#include "base/mem.h"
#include "protocol/resp_writer.h"
#include "router/router_parts.h"

/* Larger replies change hands instead of being copied. */
#define REPLY_COPY_BYTES_MAX 4096u

void router_stream_init(struct router_stream *stream)
{
    list_init(&stream->queue);
    list_init(&stream->dirty_link);
    stream->outstanding = 0;
    stream->reads_max = ROUTER_RUN_READS_FIRST;
    stream->is_paused = false;
}

static struct router_request *first_of(const struct router_stream *stream)
{
    return container_of(stream->queue.next, struct router_request, link);
}

static bool is_read(const struct router_request *request)
{
    return request->is_barrier ? request->is_reading : !request->task->is_write;
}

/* A stream is linked only while requests of it wait: else it might end, linked. */
void router_stream_changed(struct router *r, struct router_stream *stream)
{
    bool may_start =
        !list_is_empty(&stream->queue) && (!stream->is_paused || !is_read(first_of(stream)));
    if (!may_start) {
        list_remove(&stream->dirty_link);
    } else if (stream->outstanding == 0 && list_is_empty(&stream->dirty_link)) {
        list_append(&r->dirty, &stream->dirty_link);
    }
}

void router_stream_pause(struct router *r, struct router_stream *stream, bool is_paused)
{
    stream->is_paused = is_paused;
    router_stream_changed(r, stream);
    if (!list_is_empty(&r->dirty)) {
        router_wake(r); /* it may be let go when this turn's router_flush is over */
    }
}

/* ---- sequences ------------------------------------------------------------------------------- */

uint64_t router_mark(const struct route *route)
{
    if (list_is_empty(&route->open)) {
        return route->sequence_last;
    }
    return container_of(route->open.next, struct router_task, open_link)->sequence - 1;
}

/* Writes that may start: no sequence reaches mark + DUP_WINDOW, where it would never execute. */
static uint64_t window_room(const struct route *route)
{
    return DUP_WINDOW - 1 - (route->sequence_last - router_mark(route));
}

static void open_write(struct router_task *t)
{
    t->sequence = ++t->route->sequence_last;
    list_append(&t->route->open, &t->open_link);
}

/* Answered or given up: the mark may pass it (DUP-3). */
static void close_write(struct router_task *t)
{
    struct route *route = t->route;
    bool is_first = route->open.next == &t->open_link;
    list_remove(&t->open_link);
    if (is_first) {
        list_move_all(&t->router->dirty, &route->held);
    }
}

/* ---- runs ------------------------------------------------------------------------------------ */

static void start_task(struct router_batch *b, struct router_task *t)
{
    ensure(t->batch == NULL && t->route == b->route);
    t->batch = b;
    list_append(&b->tasks, &t->link);
    t->request->stream->outstanding++;
    if (t->is_write) {
        open_write(t);
    }
}

static void dequeue(struct router_request *request)
{
    list_remove(&request->link);
    request->is_queued = false;
}

static void start_request(struct router *r, struct router_request *request, bool has_leader)
{
    dequeue(request);
    router_start_deadline(r, request, has_leader);
}

static void start_parts(struct router *r, struct router_request *request)
{
    start_request(r, request, true);
    for (struct router_task *t = request->task; t != NULL; t = t->next_part) {
        start_task(router_batch_create(r, t->route), t);
    }
    /* Dispatched once all are started: one that is answered at once must not end the request. */
    struct router_task *next = NULL;
    for (struct router_task *t = request->task; t != NULL; t = next) {
        next = t->next_part; /* the last answer releases all parts */
        router_batch_dispatch(r, t->batch);
    }
}

/*
 * In a cluster of one all groups share one log: what is proposed in one turn stands in one batch of
 * it, which is durable as a whole or not at all, and applies before anybody is answered. So writes
 * to different groups may be one run there (docs/decisions/0007). Unless one of them may have to
 * wait for the keys of a transaction: what is behind it must not overtake it in another group.
 */
static bool shares_a_log(const struct router_task *a, const struct router_task *b)
{
    return a->is_write && b->is_write && a->route->where->node_count == 1 &&
           b->route->where->node_count == 1 && a->route->where->shard != NULL &&
           b->route->where->shard != NULL && !shard_may_hold(a->route->where->shard) &&
           !shard_may_hold(b->route->where->shard);
}

/* True if the request can join the run of which first is the first and that has grown to bytes. */
static bool joins(const struct router_task *first, const struct router_task *t, size_t bytes)
{
    return (t->route == first->route || shares_a_log(first, t)) && t->is_write == first->is_write &&
           t->next_part == NULL && t->sweep == NULL && first->sweep == NULL &&
           bytes + t->bytes.size <= ROUTER_BATCH_BYTES_MAX;
}

static uint64_t room_for(const struct router_task *t)
{
    return t->is_write ? window_room(t->route) : UINT64_MAX;
}

/* A part, or the whole, that has no room in the window of its group; or NULL. */
static struct router_task *find_roomless(struct router_task *first)
{
    for (struct router_task *t = first; t != NULL; t = t->next_part) {
        if (room_for(t) == 0) {
            return t;
        }
    }
    return NULL;
}

/* The run's batch for this group: a run has one, but for writes that share a log. */
static struct router_batch *batch_for(struct router *r, struct list *run, struct route *route)
{
    list_each(link, run) {
        struct router_batch *b = container_of(link, struct router_batch, link);
        if (b->route == route) {
            return b;
        }
    }
    struct router_batch *b = router_batch_create(r, route);
    list_append(run, &b->link);
    return b;
}

static void start_run(struct router *r, struct router_stream *stream)
{
    struct router_task *first = first_of(stream)->task;
    struct list run;
    list_init(&run);
    size_t bytes = 0;
    uint32_t count = 0;
    uint32_t count_max = first->is_write ? UINT32_MAX : stream->reads_max;
    bool has_leader = router_has_leader(r, first->route);
    while (!list_is_empty(&stream->queue) && count < count_max) {
        struct router_request *request = first_of(stream);
        struct router_task *t = request->task;
        if (count > 0 && (request->is_barrier || !joins(first, t, bytes) || room_for(t) == 0)) {
            break;
        }
        start_request(r, request, has_leader);
        start_task(batch_for(r, &run, t->route), t);
        bytes += t->bytes.size;
        count++;
    }
    if (!first->is_write && stream->reads_max <= ROUTER_RUN_READS_MAX / 2) {
        stream->reads_max *= 2;
    }
    struct list *link = NULL;
    while ((link = list_take_first(&run)) != NULL) {
        router_batch_dispatch(r, container_of(link, struct router_batch, link));
    }
}

static void start_barrier(struct router *r, struct router_request *request)
{
    dequeue(request);
    request->stream->outstanding = 1; /* until router_end_barrier */
    r->has_barrier_up = true;
    router_finish_request(r, request);
}

void router_stream_start(struct router *r, struct router_stream *stream)
{
    ensure(stream->outstanding == 0 && !list_is_empty(&stream->queue));
    if (first_of(stream)->is_barrier) {
        start_barrier(r, first_of(stream));
        return;
    }
    struct router_task *first = first_of(stream)->task;
    struct router_task *roomless = find_roomless(first);
    if (roomless != NULL) {
        reached("router: window of sequences full");
        list_append(&roomless->route->held, &stream->dirty_link);
    } else if (first->next_part != NULL) {
        start_parts(r, first->request);
    } else {
        start_run(r, stream);
    }
}

/* To the front of its queue; in the next turn it starts over, or with its next step. */
static void put_back(struct router *r, struct router_request *request)
{
    struct router_stream *stream = request->stream;
    list_remove(&request->deadline_link);
    request->is_queued = true;
    list_insert_before(stream->queue.next, &request->link);
    /* Not dirty: it would go on and on in this turn. */
    list_remove(&stream->dirty_link);
    list_append(&r->resting, &stream->dirty_link);
    router_stream_changed(r, stream); /* it may be paused */
}

void router_stream_return(struct router *r, struct router_batch *b)
{
    while (!list_is_empty(&b->tasks)) {
        struct router_task *t = container_of(b->tasks.prev, struct router_task, link);
        struct router_request *request = t->request;
        ensure(!t->is_write && !t->is_in_shard && !t->is_sent && t->next_part == NULL);
        b->cursor = &b->tasks;
        list_remove(&t->link);
        t->batch = NULL;
        request->stream->outstanding--;
        request->stream->reads_max = ROUTER_RUN_READS_MIN; /* or all would travel again and again */
        put_back(r, request);
    }
}

/* ---- answers --------------------------------------------------------------------------------- */

bool router_is_unknown(struct bytes reply)
{
    const char *prefix = status_prefix(STATUS_OUTCOME_UNKNOWN);
    return reply.size > strlen(prefix) && reply.data[0] == '-' &&
           memcmp(reply.data + 1, prefix, strlen(prefix)) == 0;
}

static void move_reply(struct buf *to, struct buf *from)
{
    if (to->size == 0 && from->size > REPLY_COPY_BYTES_MAX && from->size <= to->size_max) {
        uint8_t *data = to->data;
        size_t capacity = to->capacity;
        to->data = from->data;
        to->size = from->size;
        to->capacity = from->capacity;
        from->data = data;
        from->size = 0;
        from->capacity = capacity;
        return;
    }
    buf_append_bytes(to, buf_bytes(from));
}

/* Out of its batch and the window; its stream may go on. */
static void end_task(struct router_task *t)
{
    struct router_stream *stream = t->request->stream;
    if (t->is_write) {
        close_write(t);
    }
    if (t->batch->cursor == &t->link) {
        t->batch->cursor = t->link.prev;
    }
    list_remove(&t->link);
    t->batch = NULL;
    ensure(stream->outstanding > 0);
    stream->outstanding--;
    router_stream_changed(t->router, stream);
}

void router_task_answered(struct router_task *t)
{
    struct router *r = t->router;
    struct router_request *request = t->request;
    t->is_sent = false;
    end_task(t);
    if (t->sweep != NULL) {
        if (router_sweep_goes_on(request)) {
            request->submitted_us = env_now_us(r->env);
            put_back(r, request);
            return;
        }
    } else if (request->task->next_part != NULL) {
        router_part_answered(t);
        if (request->task->split->waiting > 0) {
            return;
        }
        router_merge(request);
    } else {
        if (router_is_unknown(buf_bytes(&t->reply))) {
            request->outcome = ROUTER_UNKNOWN;
        }
        move_reply(request->reply, &t->reply);
    }
    router_parts_release(request);
    router_finish_request(r, request);
}

/* ---- giving up ------------------------------------------------------------------------------- */

static void leave_batch(struct router *r, struct router_task *t)
{
    struct router_batch *b = t->batch;
    if (t->is_in_shard) {
        ensure(b->in_shard > 0);
        b->in_shard--;
    }
    end_task(t);
    router_batch_settle(r, b);
}

/*
 * CLUSTERDOWN is a promise: not executed, and never will be (DUP-6). So it needs more than silence:
 * each copy that was handed to the peer or to a shard must have been refused, and no part executed.
 */
void router_give_up(struct router *r, struct router_request *request)
{
    bool is_possible = false;
    bool is_named = false;
    bool has_started = !request->is_queued;
    uint32_t group = request->task->route->group;
    if (request->is_queued) {
        dequeue(request);
        router_stream_changed(r, request->stream);
    }
    for (struct router_task *t = request->task; t != NULL; t = t->next_part) {
        if (t->batch != NULL) {
            group = is_named ? group : t->route->group;
            is_named = true;
            is_possible |= t->is_write && (t->is_sent || t->is_possible);
            leave_batch(r, t);
        } else if (has_started) {
            is_possible |= t->is_write && router_part_is_possible(t);
        }
    }
    router_parts_release(request);
    r->stats->requests_given_up++;
    request->outcome = is_possible ? ROUTER_UNKNOWN : ROUTER_REFUSED;
    if (is_possible) {
        reached("router: outcome unknown");
        resp_write_errorf(request->reply,
                          "%s the command may or may not have been executed (no answer from group "
                          "%u in time)",
                          status_prefix(STATUS_OUTCOME_UNKNOWN),
                          group);
    } else {
        reached("router: no leader in time");
        resp_write_errorf(request->reply,
                          "CLUSTERDOWN group %u has no leader; the command was not executed",
                          group);
    }
    router_finish_request(r, request);
}
