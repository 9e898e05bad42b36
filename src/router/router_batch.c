/*
 * Attempts: a batch goes to whom leads as far as this node knows, here or elsewhere, again and
 * again until each of its commands is answered or given up. README.md says why the order holds.
 */
#include "base/assert.h"
#include "base/mem.h"
#include "protocol/resp_writer.h"
#include "router/router_parts.h"

#define REQUESTS_BYTES_KEPT (64u * KIB)

static struct router_task *task_of(struct list *link)
{
    return container_of(link, struct router_task, link);
}

static struct router_batch *batch_of(struct list *link)
{
    return container_of(link, struct router_batch, link);
}

/* ---- life ------------------------------------------------------------------------------------ */

struct router_batch *router_batch_create(struct router *r, struct route *route)
{
    struct list *link = list_take_first(&r->free_batches);
    struct router_batch *b = NULL;
    if (link != NULL) {
        b = batch_of(link);
    } else {
        b = mem_alloc_zero(sizeof *b);
        list_init(&b->link);
        list_init(&b->bucket_link);
        list_init(&b->tasks);
        list_append(&r->all_batches, &b->all_link);
    }
    b->route = route;
    b->cursor = &b->tasks;
    b->state = BATCH_STATE_WAITING;
    b->has_failed = false;
    b->is_full = false;
    b->is_out_of_space = false;
    b->resends = 0;
    return b;
}

static void batch_release(struct router *r, struct router_batch *b)
{
    struct route *route = b->route;
    ensure(list_is_empty(&b->tasks) && b->in_shard == 0 && !b->is_submitting);
    list_remove(&b->link);
    list_remove(&b->bucket_link);
    if (list_is_empty(&route->waiting)) {
        list_remove(&route->waiting_link);
    }
    list_append(&r->free_batches, &b->link); /* as many as there were streams at once */
}

/*
 * Ends the attempt: what is not answered by now counts as possible, replies that are held back are
 * void, as what was refused before them will take effect later (ORD-7), and replies that come late
 * find nobody.
 */
static void void_attempt(struct router_batch *b)
{
    ensure(b->in_shard == 0);
    list_each(link, &b->tasks) {
        struct router_task *t = task_of(link);
        t->is_possible |= t->is_sent;
        t->is_sent = false;
        t->is_answered = false;
        t->reply.size = 0;
        router_task_charge(t);
    }
    list_remove(&b->bucket_link);
    b->has_failed = false;
    b->is_out_of_space = false;
}

/* Reads that are too much for this turn start over, when their client takes replies again. */
static bool goes_back(const struct router_batch *b)
{
    const struct router_task *t = task_of(b->tasks.next);
    return b->is_full && !t->is_write && t->request->task->next_part == NULL;
}

static void wait_for_leader(struct router *r, struct router_batch *b)
{
    struct route *route = b->route;
    void_attempt(b);
    if (goes_back(b)) {
        reached("router: reads put back");
        router_stream_return(r, b);
        batch_release(r, b);
        return;
    }
    b->is_full = false;
    b->state = BATCH_STATE_WAITING;
    list_remove(&b->link);
    list_append(&route->waiting, &b->link);
    if (list_is_empty(&route->waiting_link)) {
        list_append(&r->waiting_routes, &route->waiting_link);
    }
}

/* ---- who leads ------------------------------------------------------------------------------- */

uint32_t router_leader_of(const struct router *r, uint32_t group)
{
    ensure(group <= r->options.group_count);
    const struct route *route = &r->routes[group];
    if (route->hint != 0 || route->where->replica == NULL) {
        return route->hint;
    }
    return replica_node(replica_leader(route->where->replica));
}

/* Whom to ask; 0: nobody now. */
static uint32_t target_of(struct router *r, struct route *route)
{
    uint32_t leader = router_leader_of(r, route->group);
    if (leader != 0 || route->where->replica != NULL) {
        return leader; /* a replica here hears of a leader as soon as anybody */
    }
    for (uint32_t i = 0; i < route->where->node_count; i++) {
        uint32_t node = route->where->nodes[(route->probe + i) % route->where->node_count];
        if (peers_is_connected(r->peers, node)) {
            return node;
        }
    }
    return 0;
}

bool router_has_leader(struct router *r, struct route *route)
{
    return target_of(r, route) != 0;
}

static void back_off(struct router *r, struct route *route)
{
    uint64_t now_us = env_now_us(r->env);
    route->hints_followed = 0;
    if (now_us < route->retry_us) {
        return; /* many batches fail for one reason */
    }
    uint32_t doubled = route->backoff_ms * 2;
    route->backoff_ms = doubled == 0 ? ROUTER_BACKOFF_MS_MIN : doubled;
    if (route->backoff_ms > ROUTER_BACKOFF_MS_MAX) {
        route->backoff_ms = ROUTER_BACKOFF_MS_MAX;
    }
    route->retry_us = now_us + (uint64_t)route->backoff_ms * 1000;
}

/* This node does not lead, or cannot be reached; hint: who does, as it thinks; 0: unknown. */
static void not_leader(struct router *r, struct route *route, uint32_t from, uint32_t hint)
{
    /* Of itself this node knows better than others. */
    bool is_good = hint != from && hint != r->options.node && router_is_member(route, hint);
    if (is_good && hint == route->hint) {
        return;
    }
    if (is_good && route->hints_followed < ROUTER_HINTS_MAX) {
        route->hints_followed++;
        route->hint = hint;
        route->retry_us = 0;
        return;
    }
    if (route->hint == from) {
        route->hint = 0;
    }
    route->probe++;
    back_off(r, route);
}

/* An answer: whoever gave it leads. */
static void note_leader(const struct router_batch *b)
{
    struct route *route = b->route;
    route->backoff_ms = 0;
    route->hints_followed = 0;
    if (route->where->replica == NULL) {
        route->hint = b->target;
    }
}

/* ---- verdicts -------------------------------------------------------------------------------- */

static void deliver(struct router_batch *b)
{
    while (!list_is_empty(&b->tasks) && task_of(b->tasks.next)->is_answered) {
        router_task_answered(task_of(b->tasks.next));
    }
}

void router_batch_settle(struct router *r, struct router_batch *b)
{
    deliver(b);
    if (b->is_submitting) {
        return;
    }
    if (list_is_empty(&b->tasks)) {
        batch_release(r, b);
    } else if (b->state == BATCH_STATE_LOCAL && b->in_shard == 0) {
        ensure(b->has_failed);
        wait_for_leader(r, b);
    }
}

/* The attempt ends once all that belongs to it was looked at. */
static void fail(struct router *r, struct router_batch *b)
{
    if (b->has_failed) {
        return;
    }
    b->has_failed = true;
    if (b->state == BATCH_STATE_REMOTE) {
        b->state = BATCH_STATE_FAILED;
        list_remove(&b->link);
        list_append(&r->failed, &b->link);
    }
}

/*
 * The leader takes no writes. That is an answer if no other copy may be in a log (DUP-6); else the
 * command goes on being asked until its time is up. Either way nothing behind it was proposed.
 */
static bool answer_no_space(struct router_task *t)
{
    t->batch->is_out_of_space = true;
    if (t->is_possible) {
        reached("router: disks full, and an older copy may be in a log");
        return false;
    }
    resp_write_errorf(&t->reply,
                      "%s the disks of this group's replicas are nearly full: writes are refused "
                      "until there is space again",
                      status_prefix(STATUS_NO_SPACE));
    t->request->outcome = ROUTER_REFUSED;
    note_leader(t->batch);
    router_task_answered(t);
    return true;
}

/* The fate of one task's current attempt. The reply is in t->reply. */
static void judge(struct router *r,
                  struct router_task *t,
                  enum shard_verdict verdict,
                  uint32_t hint)
{
    struct router_batch *b = t->batch;
    t->is_sent = false;
    switch (verdict) {
    case SHARD_DONE:
        note_leader(b);
        if (t->is_write) {
            router_task_answered(t);
        } else {
            t->is_answered = true; /* delivered once those before it are */
            router_task_charge(t);
        }
        return;
    case SHARD_LOST:
        t->is_possible = true;
        break;
    case SHARD_NO_SPACE:
        if (answer_no_space(t)) {
            return;
        }
        break;
    case SHARD_FULL:
        b->is_full = b->is_full || !b->has_failed; /* the first failure says why */
        break;
    case SHARD_REFUSED:
        break;
    }
    if (!b->has_failed && !b->is_full) {
        not_leader(r, b->route, b->target, hint);
    }
    fail(r, b);
}

/* ---- here ------------------------------------------------------------------------------------ */

static void on_shard_done(struct shard_request *shard, enum shard_verdict verdict)
{
    struct router_task *t = container_of(shard, struct router_task, shard);
    struct router *r = t->router;
    ensure(t->is_in_shard);
    router_enter(r);
    t->is_in_shard = false;
    if (t->request == NULL) {
        reached("router: answer after giving up");
        router_task_release(t);
    } else {
        struct router_batch *b = t->batch;
        ensure(b->state == BATCH_STATE_LOCAL && b->in_shard > 0);
        b->in_shard--;
        judge(r, t, verdict, replica_node(replica_leader(b->route->where->replica)));
        router_batch_settle(r, b);
    }
    router_leave(r);
}

/*
 * One after the other; after a refusal none of those behind it may run (ORD-7). For want of space
 * they are refused all the same, without being submitted.
 */
static void submit_here(struct router *r, struct router_batch *b)
{
    struct shard *shard = b->route->where->shard;
    uint64_t chain = ++r->chain_last;
    b->state = BATCH_STATE_LOCAL;
    b->is_submitting = true;
    struct list *link = b->tasks.next;
    while (link != &b->tasks && (!b->has_failed || b->is_out_of_space)) {
        struct router_task *t = task_of(link);
        link = link->next; /* only what was submitted leaves the list meanwhile */
        if (b->is_out_of_space) {
            judge(r, t, SHARD_NO_SPACE, 0);
            continue;
        }
        t->is_sent = true;
        t->is_in_shard = true;
        b->in_shard++;
        t->shard = (struct shard_request){
            .bytes = buf_bytes(&t->bytes),
            .reply = &t->reply,
            .done = on_shard_done,
            .chain = chain,
        };
        shard_submit(shard, &t->shard);
    }
    b->is_submitting = false;
    router_batch_settle(r, b);
}

/* ---- elsewhere ------------------------------------------------------------------------------- */

static void send_requests(struct router *r, struct router_peer *peer);

static struct list *bucket_of(struct router *r, uint64_t attempt)
{
    return &r->buckets[attempt % ROUTER_BUCKETS];
}

static void stage(struct router *r, struct router_batch *b)
{
    struct router_peer *peer = &r->peer_table[b->target];
    if (list_is_empty(&peer->staged)) {
        ensure(peer->requests.size == 0);
        forward_requests_start(&peer->requests, r->options.incarnation);
        list_append(&r->staged_peers, &peer->staged_link);
    }
    b->attempt = ++r->attempt_last;
    b->cursor = &b->tasks;
    b->state = BATCH_STATE_STAGED;
    list_append(&peer->staged, &b->link);
    uint32_t count = 0;
    list_each(link, &b->tasks) {
        task_of(link)->item = count++;
    }
    struct forward_batch header = {
        .group = b->route->group,
        .count = count,
        .ticket = b->attempt,
    };
    forward_batch_append(&peer->requests, &header);
    list_each(link, &b->tasks) {
        forward_command_append(&peer->requests, buf_bytes(&task_of(link)->bytes));
    }
    if (peer->requests.size >= ROUTER_MESSAGE_BYTES) {
        send_requests(r, peer);
    }
}

/* By the time of the resend; most belong at the end. */
static void fly(struct router *r, struct router_batch *b, uint64_t now_us)
{
    unsigned doublings =
        b->resends < ROUTER_RESEND_DOUBLINGS_MAX ? b->resends : ROUTER_RESEND_DOUBLINGS_MAX;
    b->due_us = now_us + ((uint64_t)ROUTER_RESEND_MS << doublings) * 1000;
    b->state = BATCH_STATE_REMOTE;
    struct list *at = &r->in_flight;
    while (at->prev != &r->in_flight && batch_of(at->prev)->due_us > b->due_us) {
        at = at->prev;
    }
    list_insert_before(at, &b->link);
    list_append(bucket_of(r, b->attempt), &b->bucket_link);
    list_each(link, &b->tasks) {
        task_of(link)->is_sent = true;
        r->stats->requests_forwarded++;
    }
}

static void send_requests(struct router *r, struct router_peer *peer)
{
    struct bytes message = buf_bytes(&peer->requests);
    bool is_sent = peers_send(r->peers, peer->node, PEER_BULK, &message, 1);
    buf_clear(&peer->requests, REQUESTS_BYTES_KEPT);
    list_remove(&peer->staged_link);
    uint64_t now_us = env_now_us(r->env);
    struct list *link = NULL;
    while ((link = list_take_first(&peer->staged)) != NULL) {
        struct router_batch *b = batch_of(link);
        if (is_sent) {
            fly(r, b, now_us);
        } else {
            reached("router: peer takes no requests");
            not_leader(r, b->route, b->target, 0);
            wait_for_leader(r, b);
        }
    }
}

void router_send_staged(struct router *r)
{
    while (!list_is_empty(&r->staged_peers)) {
        send_requests(r, container_of(r->staged_peers.next, struct router_peer, staged_link));
    }
}

/* ---- dispatch -------------------------------------------------------------------------------- */

static void stamp(struct router_batch *b)
{
    uint64_t mark = router_mark(b->route);
    list_each(link, &b->tasks) {
        struct router_task *t = task_of(link);
        if (t->is_write) {
            ensure(mark < t->sequence && t->sequence - mark < DUP_WINDOW);
            entry_stamp(&t->bytes, t->sequence, mark);
        }
    }
}

void router_batch_dispatch(struct router *r, struct router_batch *b)
{
    struct route *route = b->route;
    ensure(b->state == BATCH_STATE_WAITING && !b->has_failed && b->in_shard == 0);
    ensure(!list_is_empty(&b->tasks));
    if (route->retry_us != 0 && env_now_us(r->env) < route->retry_us) {
        wait_for_leader(r, b);
        return;
    }
    uint32_t target = target_of(r, route);
    if (target == 0) {
        back_off(r, route);
        wait_for_leader(r, b);
        return;
    }
    route->retry_us = 0;
    b->target = target;
    stamp(b);
    if (target == r->options.node) {
        submit_here(r, b);
    } else {
        stage(r, b);
    }
}

void router_dispatch_waiting(struct router *r)
{
    uint64_t now_us = env_now_us(r->env);
    struct list routes;
    list_init(&routes);
    list_move_all(&routes, &r->waiting_routes);
    struct list *link = NULL;
    while ((link = list_take_first(&routes)) != NULL) {
        struct route *route = container_of(link, struct route, waiting_link);
        if (now_us < route->retry_us) {
            list_append(&r->waiting_routes, link);
            continue;
        }
        struct list batches;
        list_init(&batches);
        list_move_all(&batches, &route->waiting);
        while ((link = list_take_first(&batches)) != NULL) {
            router_batch_dispatch(r, batch_of(link));
        }
    }
}

/* ---- answers from elsewhere ------------------------------------------------------------------ */

static struct router_batch *find_attempt(struct router *r, uint32_t node, uint64_t attempt)
{
    list_each(link, bucket_of(r, attempt)) {
        struct router_batch *b = container_of(link, struct router_batch, bucket_link);
        if (b->attempt == attempt) {
            return b->target == node ? b : NULL;
        }
    }
    return NULL;
}

/* Answers come in order, and those that were refused stay in the list: go on where the last was. */
static struct router_task *find_item(struct router_batch *b, uint32_t item)
{
    struct list *at = b->cursor;
    if (at == &b->tasks || task_of(at)->item > item) {
        at = b->tasks.next;
    }
    while (at != &b->tasks && task_of(at)->item < item) {
        at = at->next;
    }
    if (at == &b->tasks || task_of(at)->item != item) {
        return NULL;
    }
    b->cursor = at;
    return task_of(at)->is_sent ? task_of(at) : NULL;
}

static enum shard_verdict verdict_of(enum forward_verdict verdict)
{
    switch (verdict) {
    case FORWARD_DONE:
        return SHARD_DONE;
    case FORWARD_REFUSED:
        return SHARD_REFUSED;
    case FORWARD_LOST:
        return SHARD_LOST;
    case FORWARD_FULL:
        return SHARD_FULL;
    case FORWARD_NO_SPACE:
        return SHARD_NO_SPACE;
    }
    unreachable("forward_replies_read lets no other verdict pass");
}

void router_receive_replies(struct router *r, uint32_t node, struct forward_reader *reader)
{
    struct forward_reply reply;
    while (forward_next_reply(reader, &reply)) {
        struct router_batch *b = find_attempt(r, node, reply.ticket);
        struct router_task *t = b != NULL ? find_item(b, reply.item) : NULL;
        if (t == NULL) {
            reached("router: reply that nobody waits for");
            continue;
        }
        buf_append_bytes(&t->reply, reply.reply);
        judge(r, t, verdict_of(reply.verdict), reply.leader);
        router_batch_settle(r, b);
    }
    /* Only now: the whole message counts for the attempt it answers. */
    while (!list_is_empty(&r->failed)) {
        wait_for_leader(r, batch_of(r->failed.next));
    }
}

/* ---- silence --------------------------------------------------------------------------------- */

void router_resend_overdue(struct router *r, uint64_t now_us)
{
    while (!list_is_empty(&r->in_flight)) {
        struct router_batch *b = batch_of(r->in_flight.next);
        if (b->due_us > now_us) {
            return;
        }
        reached("router: no answer, sent again");
        b->resends++;
        r->stats->requests_overdue++;
        wait_for_leader(r, b);
    }
}

void router_connected(struct router *r, uint32_t node)
{
    (void)node;
    list_each(link, &r->waiting_routes) {
        container_of(link, struct route, waiting_link)->retry_us = 0;
    }
}

void router_disconnected(struct router *r, uint32_t node)
{
    ensure(node > 0 && node <= PEER_NODES_MAX);
    r->peer_table[node].heard = 0;
    struct list *link = r->in_flight.next;
    while (link != &r->in_flight) {
        struct router_batch *b = batch_of(link);
        link = link->next;
        if (b->target == node) {
            reached("router: peer lost with requests under way");
            wait_for_leader(r, b);
        }
    }
    for (uint32_t g = 0; g <= r->options.group_count; g++) {
        if (r->routes[g].hint == node) {
            r->routes[g].hint = 0;
        }
    }
}

void router_leader_changed(struct router *r, uint32_t group)
{
    ensure(group <= r->options.group_count);
    struct route *route = &r->routes[group];
    if (route->where->replica == NULL) {
        return; /* whom others think to lead is learnt from refusals */
    }
    route->hint = 0;
    route->hints_followed = 0;
    route->backoff_ms = 0;
    route->retry_us = 0;
    uint32_t leader = router_leader_of(r, group);
    struct list *link = r->in_flight.next;
    while (link != &r->in_flight && leader != 0) {
        struct router_batch *b = batch_of(link);
        link = link->next;
        if (b->route == route && b->target != leader) {
            wait_for_leader(r, b); /* rather than for an answer of one that may be dead */
        }
    }
}
