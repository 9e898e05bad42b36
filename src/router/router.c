#include "router/router.h"

#include "base/assert.h"
#include "base/mem.h"
#include "consensus/message.h"
#include "data/slot.h"
#include "protocol/resp_writer.h"
#include "router/router_parts.h"

static void on_tick(struct env_timer *timer);
static void on_wake(struct env_timer *timer);

/* ---- life ------------------------------------------------------------------------------------ */

static void create_routes(struct router *r)
{
    size_t count = (size_t)r->options.group_count + 1;
    r->routes = mem_alloc_zero(count * sizeof r->routes[0]);
    r->part_of_group = mem_alloc_zero(count * sizeof r->part_of_group[0]);
    for (uint32_t g = 0; g < count; g++) {
        struct route *route = &r->routes[g];
        route->group = g;
        route->where = &r->options.groups[g];
        ensure(route->where->node_count > 0 && route->where->node_count <= ENGINE_MEMBERS_MAX);
        ensure((route->where->shard == NULL) == (route->where->replica == NULL));
        ensure((route->where->shard != NULL) == router_is_member(route, r->options.node));
        list_init(&route->open);
        list_init(&route->held);
        list_init(&route->waiting);
        list_init(&route->waiting_link);
    }
}

static void create_peers(struct router *r)
{
    r->peer_table = mem_alloc_zero((PEER_NODES_MAX + 1) * sizeof r->peer_table[0]);
    for (uint32_t node = 0; node <= PEER_NODES_MAX; node++) {
        struct router_peer *peer = &r->peer_table[node];
        peer->node = node;
        list_init(&peer->staged);
        list_init(&peer->staged_link);
        list_init(&peer->replies_link);
        buf_init(&peer->requests, SIZE_MAX / 2); /* bounded by ROUTER_MESSAGE_BYTES */
        buf_init(&peer->replies, SIZE_MAX / 2);
    }
}

struct router *router_create(struct env *env,
                             struct peers *peers,
                             struct stats *stats,
                             const struct router_options *options)
{
    ensure(options->node > 0 && options->node <= PEER_NODES_MAX);
    ensure(options->group_count > 0 && options->group_count <= LIMIT_GROUPS);
    struct router *r = mem_alloc_zero(sizeof *r);
    r->env = env;
    r->peers = peers;
    r->stats = stats;
    r->options = *options;
    if (r->options.request_timeout_ms == 0) {
        r->options.request_timeout_ms = ROUTER_REQUEST_TIMEOUT_MS_DEFAULT;
    }
    r->tick.cb = on_tick;
    r->wake.cb = on_wake;
    struct list *lists[] = {
        &r->dirty,
        &r->resting,
        &r->waiting_routes,
        &r->staged_peers,
        &r->replying_peers,
        &r->in_flight,
        &r->failed,
        &r->deadlines,
        &r->finished,
        &r->all_tasks,
        &r->all_batches,
        &r->all_served,
        &r->free_tasks,
        &r->free_batches,
        &r->free_served,
    };
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        list_init(lists[i]);
    }
    for (size_t i = 0; i < ROUTER_BUCKETS; i++) {
        list_init(&r->buckets[i]);
    }
    create_routes(r);
    create_peers(r);
    return r;
}

void router_stop(struct router *r)
{
    r->is_stopped = true;
    env_timer_stop(r->env, &r->tick);
    env_timer_stop(r->env, &r->wake);
}

static void destroy_extras(struct router_task *t)
{
    router_split_destroy(t->split);
    router_sweep_destroy(t->sweep);
    t->split = NULL;
    t->sweep = NULL;
}

static void task_destroy(struct router_task *t)
{
    list_remove(&t->all_link);
    destroy_extras(t);
    buf_deinit(&t->bytes);
    buf_deinit(&t->reply);
    mem_free(t);
}

void router_destroy(struct router *r)
{
    if (r == NULL) {
        return;
    }
    while (!list_is_empty(&r->all_tasks)) {
        task_destroy(container_of(r->all_tasks.next, struct router_task, all_link));
    }
    struct list *link = NULL;
    while ((link = list_take_first(&r->all_batches)) != NULL) {
        mem_free(container_of(link, struct router_batch, all_link));
    }
    router_serve_destroy(r);
    for (uint32_t node = 0; node <= PEER_NODES_MAX; node++) {
        buf_deinit(&r->peer_table[node].requests);
        buf_deinit(&r->peer_table[node].replies);
    }
    mem_free(r->peer_table);
    mem_free(r->routes);
    mem_free(r->part_of_group);
    mem_free(r->args);
    mem_free(r);
}

/* ---- tasks ----------------------------------------------------------------------------------- */

void router_task_charge(struct router_task *t)
{
    uint64_t now = sizeof *t + t->bytes.size + t->reply.size;
    now += t->sweep != NULL ? sizeof *t->sweep + t->sweep->keys.size + t->sweep->pattern.size : 0;
    t->router->memory += now - t->charged;
    t->charged = now;
}

static struct router_task *task_take(struct router *r)
{
    struct list *link = list_take_first(&r->free_tasks);
    if (link != NULL) {
        r->free_task_count--;
        return container_of(link, struct router_task, link);
    }
    struct router_task *t = mem_alloc_zero(sizeof *t);
    t->router = r;
    list_init(&t->link);
    list_init(&t->open_link);
    list_append(&r->all_tasks, &t->all_link);
    buf_init(&t->bytes, ROUTER_COMMAND_BYTES_MAX);
    buf_init(&t->reply, SIZE_MAX / 2);
    return t;
}

struct router_task *router_task_create(struct router *r,
                                       struct router_request *request,
                                       const struct command *command,
                                       struct route *route,
                                       const struct bytes *args,
                                       size_t arg_count)
{
    ensure(command->id != COMMAND_ID_NONE);
    struct router_task *t = task_take(r);
    t->request = request;
    t->batch = NULL;
    t->next_part = NULL;
    t->route = route;
    t->sequence = 0;
    t->is_write = (command->flags & COMMAND_WRITE) != 0;
    t->is_sent = false;
    t->is_possible = false;
    t->is_answered = false;
    struct entry_command c = {
        .id = (uint16_t)command->id,
        .semantics = command->semantics,
        .resp = request->resp,
        .database = request->database,
        .request = {.node = r->options.node, .incarnation = r->options.incarnation},
        .arg_count = (uint32_t)arg_count,
    };
    entry_append(&t->bytes, &c, args);
    router_task_charge(t);
    return t;
}

void router_task_release(struct router_task *t)
{
    struct router *r = t->router;
    ensure(t->batch == NULL && list_is_empty(&t->open_link));
    t->request = NULL;
    if (t->is_in_shard) {
        return; /* on_shard_done comes back to it */
    }
    destroy_extras(t);
    r->memory -= t->charged;
    t->charged = 0;
    if (r->free_task_count >= ROUTER_FREE_MAX) {
        task_destroy(t);
        return;
    }
    buf_clear(&t->bytes, ROUTER_COMMAND_BYTES_KEPT);
    buf_clear(&t->reply, ROUTER_REPLY_BYTES_KEPT);
    list_append(&r->free_tasks, &t->link);
    r->free_task_count++;
}

void router_parts_release(struct router_request *request)
{
    struct router_task *t = request->task;
    request->task = NULL;
    while (t != NULL) {
        struct router_task *next = t->next_part;
        router_task_release(t);
        t = next;
    }
}

struct bytes *router_args(struct router *r, size_t count)
{
    if (count > r->args_capacity) {
        r->args = mem_realloc(r->args, count * sizeof r->args[0]);
        r->args_capacity = count;
    }
    return r->args;
}

/* ---- submitting ------------------------------------------------------------------------------ */

uint32_t router_group_of_slot(const struct router *r, uint16_t slot)
{
    ensure(slot < SLOT_COUNT);
    return 1 + (uint32_t)slot * r->options.group_count / SLOT_COUNT;
}

uint32_t router_group_of_cursor(const struct router *r, uint64_t cursor)
{
    uint64_t slot = scan_cursor_slot(cursor);
    return router_group_of_slot(r, (uint16_t)(slot < SLOT_COUNT ? slot : SLOT_COUNT - 1));
}

static void start_request(struct router *r, struct router_request *request)
{
    list_init(&request->link);
    list_init(&request->deadline_link);
    request->task = NULL;
    request->is_queued = false;
    request->is_barrier = false;
    request->outcome = ROUTER_DONE;
    request->submitted_us = env_now_us(r->env);
}

static void enqueue(struct router *r, struct router_request *request)
{
    request->is_queued = true;
    list_append(&request->stream->queue, &request->link);
    router_stream_changed(r, request->stream);
}

/*
 * The time-out of a command begins with its run: those before it on its connection had theirs. But
 * when that took longer than a time-out, and the group still has no leader, nobody waits again.
 */
void router_start_deadline(struct router *r, struct router_request *request, bool has_leader)
{
    uint64_t now_us = env_now_us(r->env);
    uint64_t since_us = has_leader ? now_us : request->submitted_us;
    request->deadline_us = since_us + (uint64_t)r->options.request_timeout_ms * 1000;
    struct list *at = &r->deadlines;
    while (at->prev != &r->deadlines &&
           container_of(at->prev, struct router_request, deadline_link)->deadline_us >
               request->deadline_us) {
        at = at->prev;
    }
    list_insert_before(at, &request->deadline_link);
    if (!r->is_ticking && !r->is_stopped) {
        r->is_ticking = true;
        env_timer_start(r->env, &r->tick, ROUTER_TICK_MS);
    }
}

/* The group that holds all keys (at least one); UINT32_MAX: they lie in several. */
static uint32_t group_of_keys(const struct router *r, const struct router_request *request)
{
    if (r->options.group_count == 1) {
        return 1;
    }
    size_t count = command_key_count(request->command, request->arg_count);
    uint32_t group = 0;
    for (size_t i = 0; i < count; i++) {
        size_t at = command_key_at(request->command, request->arg_count, i);
        uint32_t other = router_group_of_slot(r, slot_of_key(request->args[at]));
        if (i > 0 && other != group) {
            return UINT32_MAX;
        }
        group = other;
    }
    ensure(group != 0);
    return group;
}

void router_submit_to_group(struct router *r, uint32_t group, struct router_request *request)
{
    ensure(group <= r->options.group_count && request->arg_count > 0);
    start_request(r, request);
    request->task = router_task_create(r,
                                       request,
                                       request->command,
                                       &r->routes[group],
                                       request->args + 1,
                                       request->arg_count - 1);
    enqueue(r, request);
}

void router_submit_barrier(struct router *r, struct router_request *request)
{
    start_request(r, request);
    request->is_barrier = true;
    enqueue(r, request);
}

void router_end_barrier(struct router *r, struct router_request *request)
{
    struct router_stream *stream = request->stream;
    ensure(request->is_barrier && !request->is_queued && stream->outstanding == 1);
    request->is_barrier = false;
    stream->outstanding = 0;
    router_stream_changed(r, stream);
    if (!list_is_empty(&r->dirty)) {
        router_wake(r);
    }
}

static void submit_keys(struct router *r, struct router_request *request)
{
    uint32_t group = group_of_keys(r, request);
    if (group != UINT32_MAX) {
        router_submit_to_group(r, group, request);
        return;
    }
    start_request(r, request);
    if (router_split(r, request)) {
        enqueue(r, request);
    }
}

/* To the group of the cursor's slot; behind all slots, to the last one, which knows no more keys.
 */
static void submit_cursor(struct router *r, struct router_request *request)
{
    uint64_t cursor = 0;
    if (scan_cursor_read(request->args[1], &cursor)) {
        router_submit_to_group(r, router_group_of_cursor(r, cursor), request);
        return;
    }
    start_request(r, request);
    resp_write_error(request->reply, scan_invalid_cursor);
    router_finish_request(r, request);
}

static void submit_all(struct router *r, struct router_request *request)
{
    if (r->options.group_count == 1) {
        router_submit_to_group(r, 1, request);
        return;
    }
    start_request(r, request);
    router_split_all(r, request);
    enqueue(r, request);
}

void router_submit(struct router *r, struct router_request *request)
{
    switch (request->command->policy) {
    case COMMAND_ONE_SHARD:
    case COMMAND_SPLIT_BY_KEY:
        submit_keys(r, request);
        return;
    case COMMAND_BY_CURSOR:
        submit_cursor(r, request);
        return;
    case COMMAND_ALL_GROUPS:
        submit_all(r, request);
        return;
    case COMMAND_SWEEP:
        start_request(r, request);
        router_sweep_begin(r, request);
        enqueue(r, request);
        return;
    case COMMAND_LOCAL:
        break;
    }
    unreachable("LOCAL commands are never submitted");
}

/* ---- done() ---------------------------------------------------------------------------------- */

void router_finish_request(struct router *r, struct router_request *request)
{
    ensure(!request->is_queued && request->task == NULL);
    list_remove(&request->deadline_link);
    list_append(&r->finished, &request->link);
}

/*
 * Public calls come nested: a shard answers inside shard_submit. done() is called when the
 * outermost one ends, when nothing here is being walked through: it may submit, and end streams.
 */
void router_enter(struct router *r)
{
    r->depth++;
}

void router_leave(struct router *r)
{
    ensure(r->depth > 0);
    if (r->depth == 1) {
        struct list *link = NULL;
        while ((link = list_take_first(&r->finished)) != NULL) {
            struct router_request *request = container_of(link, struct router_request, link);
            request->done(request);
        }
    }
    r->depth--;
}

/* ---- turns and time -------------------------------------------------------------------------- */

bool router_is_ready(const struct router *r)
{
    return !list_is_empty(&r->dirty);
}

static void start_streams(struct router *r)
{
    struct list *link = NULL;
    while ((link = list_take_first(&r->dirty)) != NULL) {
        router_stream_start(r, container_of(link, struct router_stream, dirty_link));
    }
    router_send_staged(r);
}

void router_flush(struct router *r)
{
    router_enter(r);
    if (!list_is_empty(&r->waiting_routes)) {
        router_dispatch_waiting(r);
    }
    r->has_barrier_up = false;
    start_streams(r);
    router_leave(r);
    /* What follows a barrier that came up goes in the same turn. */
    for (unsigned i = 1; i < ROUTER_FLUSHES_MAX && r->has_barrier_up; i++) {
        router_enter(r);
        r->has_barrier_up = false;
        start_streams(r);
        router_leave(r);
    }
}

/* Something may go that came up after this turn's router_flush. */
static bool has_work(const struct router *r)
{
    if (!list_is_empty(&r->dirty)) {
        return true;
    }
    list_each(link, &r->waiting_routes) {
        if (container_of(link, struct route, waiting_link)->retry_us == 0) {
            return true;
        }
    }
    return false;
}

void router_drop_replies(struct router *r, struct router_peer *peer)
{
    list_remove(&peer->replies_link);
    r->memory -= peer->replies.size;
    buf_clear(&peer->replies, ROUTER_MESSAGE_BYTES);
}

void router_send_replies(struct router *r, struct router_peer *peer)
{
    struct bytes message = buf_bytes(&peer->replies);
    if (!peers_send(r->peers, peer->node, PEER_BULK, &message, 1)) {
        reached("router: replies dropped"); /* the gateway asks again; DUP-2 protects it */
    }
    router_drop_replies(r, peer);
}

void router_flush_replies(struct router *r)
{
    while (!list_is_empty(&r->replying_peers)) {
        router_send_replies(r,
                            container_of(r->replying_peers.next, struct router_peer, replies_link));
    }
    list_move_all(&r->dirty, &r->resting);
    if (has_work(r)) {
        reached("router: ready only after the flush");
        router_wake(r);
    }
}

void router_wake(struct router *r)
{
    if (!r->is_waking && !r->is_stopped) {
        r->is_waking = true;
        env_timer_start(r->env, &r->wake, 0);
    }
}

static void on_wake(struct env_timer *timer)
{
    container_of(timer, struct router, wake)->is_waking = false; /* its turn flushes */
}

static void on_tick(struct env_timer *timer)
{
    struct router *r = container_of(timer, struct router, tick);
    uint64_t now_us = env_now_us(r->env);
    router_enter(r);
    while (!list_is_empty(&r->deadlines)) {
        struct router_request *request =
            container_of(r->deadlines.next, struct router_request, deadline_link);
        if (request->deadline_us > now_us) {
            break;
        }
        router_give_up(r, request);
    }
    router_resend_overdue(r, now_us);
    router_leave(r);
    r->is_ticking = !r->is_stopped && !list_is_empty(&r->deadlines);
    if (r->is_ticking) {
        env_timer_start(r->env, timer, ROUTER_TICK_MS);
    }
}

/* ---- from other nodes ------------------------------------------------------------------------ */

enum status router_received(struct router *r, uint32_t node, struct bytes message)
{
    ensure(node > 0 && node <= PEER_NODES_MAX);
    struct forward_reader reader;
    if (message.size == 0) {
        return STATUS_MALFORMED;
    }
    bool is_requests = message.data[0] == MESSAGE_REQUESTS;
    enum status status = is_requests ? forward_requests_read(message, &reader)
                                     : forward_replies_read(message, &reader);
    if (status != STATUS_OK) {
        return status;
    }
    router_enter(r);
    if (is_requests) {
        router_serve(r, node, &reader);
    } else if (reader.incarnation == r->options.incarnation) {
        router_receive_replies(r, node, &reader);
    } else {
        reached("router: replies to an earlier incarnation");
    }
    router_leave(r);
    return STATUS_OK;
}

/* ---- facts ----------------------------------------------------------------------------------- */

bool router_hears(const struct router *r, uint32_t node, uint32_t incarnation)
{
    if (node == 0 || node > PEER_NODES_MAX || incarnation == 0 ||
        r->peer_table[node].heard != incarnation) {
        return false;
    }
    uint64_t heard_us = peers_heard_us(r->peers, node);
    return heard_us > 0 && env_now_us(r->env) < heard_us + (uint64_t)ROUTER_HEARD_MS * 1000;
}

uint64_t router_memory(const struct router *r)
{
    return r->memory;
}
