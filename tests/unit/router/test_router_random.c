/*
 * A router against two groups that lose leaders, cut off their logs, refuse in the middle of a
 * batch, and a network that loses connections and delivers copies after everybody has forgotten
 * them. Whatever happens: each write executes at most once, those of a stream in its order, reads
 * fit in between, and CLUSTERDOWN is the truth (ORD-7, DUP-2, DUP-3, DUP-6).
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/prng.h"
#include "consensus/message.h"
#include "fake_env.h"
#include "harness.h"
#include "router/router.h"
#include "router/router_forward.h"

#define GROUPS 2u
#define NODES 3u
#define STREAMS 6u
#define PIPELINE 6u
#define ASKS 1500u
#define COPIES_MAX 100000u
#define MESSAGES_MAX 20000u
#define SEEDS 200u
#define STEPS_MAX 1000000u
#define INCARNATION 3u

/* Who is to be answered; nobody: the connection it came by is gone. */
struct caller {
    struct shard_request *here;
    uint32_t node; /* 0: here, or nobody */
    uint64_t ticket;
    uint32_t item;
};

struct copy {
    struct caller caller;
    uint64_t sequence;
    uint64_t mark;
    unsigned ask;
};

/* One group: a log with a leader. What is executed has a position, 1, 2, ... */
struct model {
    uint32_t group;
    uint32_t leader; /* 0: none now */
    struct copy *log;
    size_t count;
    size_t committed;
    size_t waiting_from; /* copies before it have no callers any more */
    uint64_t mark;
    uint64_t position_of[ASKS + 1]; /* by sequence; 0: not executed */
    uint64_t position;
    struct copy *reads;
    size_t read_count;
    size_t read_done;
};

struct shard {
    struct model *model;
};

struct replica {
    struct model *model;
};

struct message {
    uint32_t node;
    struct buf bytes;
};

struct queue {
    struct message *items;
    size_t first;
    size_t count;
};

struct peers {
    bool is_connected[NODES + 1];
    struct queue requests[NODES + 1];
    struct queue replies[NODES + 1];
    struct queue ghosts; /* requests that arrive when their connection is gone */
};

enum outcome {
    OUTCOME_NONE,
    OUTCOME_DONE,
    OUTCOME_UNKNOWN,
    OUTCOME_DOWN,
    OUTCOME_NO_SPACE,
    OUTCOME_COUNT,
};

enum taken {
    TAKEN,
    TAKEN_NOT, /* refused */
    TAKEN_NO_SPACE,
};

struct ask {
    struct router_request request;
    struct buf reply;
    unsigned stream;
    uint32_t group;
    bool is_write;
    enum outcome outcome;
    uint64_t position; /* of a read: what it saw; of a write: what its reply says */
    uint64_t executed_at;
    unsigned executions;
};

struct random_world {
    struct fake_env env;
    struct stats stats;
    struct prng prng;
    struct peers peers;
    struct model models[GROUPS + 1];
    struct shard shards[GROUPS + 1];
    struct replica replicas[GROUPS + 1];
    struct router_group groups[GROUPS + 1];
    struct router *router;
    struct router_stream streams[STREAMS];
    unsigned waiting[STREAMS];
    struct ask *asks;
    unsigned ask_count;
    unsigned outcomes[OUTCOME_COUNT];
};

static struct random_world *world;

static bool chance(unsigned per_mille)
{
    return prng_chance(&world->prng, per_mille);
}

/* ---- queues ---------------------------------------------------------------------------------- */

static void push(struct queue *q, uint32_t node, struct bytes bytes)
{
    ensure(q->count < MESSAGES_MAX);
    struct message *m = &q->items[q->count++];
    m->node = node;
    buf_init(&m->bytes, SIZE_MAX / 2);
    buf_append_bytes(&m->bytes, bytes);
}

static struct message *pop(struct queue *q)
{
    return q->first < q->count ? &q->items[q->first++] : NULL;
}

/* ---- the groups ------------------------------------------------------------------------------ */

static void answer(const struct caller *c, enum shard_verdict verdict, const char *text)
{
    if (c->here != NULL) {
        if (verdict == SHARD_DONE) {
            buf_append_text(c->here->reply, text);
        }
        c->here->done(c->here, verdict);
        return;
    }
    if (c->node == 0) {
        return;
    }
    struct buf message;
    buf_init(&message, 1000);
    forward_replies_start(&message, INCARNATION);
    static const enum forward_verdict verdicts[] = {
        [SHARD_DONE] = FORWARD_DONE,
        [SHARD_REFUSED] = FORWARD_REFUSED,
        [SHARD_LOST] = FORWARD_LOST,
        [SHARD_FULL] = FORWARD_FULL,
        [SHARD_NO_SPACE] = FORWARD_NO_SPACE,
    };
    struct forward_reply reply = {
        .ticket = c->ticket,
        .item = c->item,
        .leader = (uint32_t)prng_below(&world->prng, NODES + 1),
        .verdict = verdicts[verdict],
        .reply = bytes_of_text(verdict == SHARD_DONE ? text : ""),
    };
    forward_reply_append(&message, &reply);
    push(&world->peers.replies[c->node], c->node, buf_bytes(&message));
    buf_deinit(&message);
}

static struct copy decode(struct bytes command, bool *out_is_write)
{
    struct entry_reader reader;
    struct entry_command c;
    struct bytes arg = {0};
    int64_t ask = 0;
    entry_reader_of(command, &reader);
    enum status status = entry_next(&reader, &c);
    *out_is_write = c.id == COMMAND_ID_SET;
    for (uint32_t i = 0; i < c.arg_count && status == STATUS_OK; i++) {
        status = entry_next_arg(&reader, &arg);
    }
    ensure(status == STATUS_OK);
    bool is_number = !*out_is_write || bytes_to_i64(arg, &ask);
    ensure(is_number);
    return (struct copy){
        .sequence = c.request.sequence,
        .mark = c.mark,
        .ask = (unsigned)ask,
    };
}

/* Space may come and go from one write to the next. */
static enum taken take(struct model *g,
                       uint32_t node,
                       struct bytes command,
                       const struct caller *caller)
{
    if (g->leader != node || chance(20)) {
        return TAKEN_NOT;
    }
    bool is_write = false;
    struct copy copy = decode(command, &is_write);
    if (is_write && chance(30)) {
        return TAKEN_NO_SPACE;
    }
    copy.caller = *caller;
    ensure(g->count < COPIES_MAX && g->read_count < COPIES_MAX);
    if (is_write) {
        g->log[g->count++] = copy;
    } else {
        g->reads[g->read_count++] = copy;
    }
    return TAKEN;
}

static void execute(struct model *g, const struct copy *c, char *out_text, size_t size)
{
    g->mark = c->mark > g->mark ? c->mark : g->mark;
    ensure(c->sequence <= ASKS);
    if (c->sequence <= g->mark) {
        (void)snprintf(out_text, size, "-UNKNOWNRESULT too late\r\n");
        return;
    }
    if (g->position_of[c->sequence] == 0) {
        struct ask *a = &world->asks[c->ask];
        g->position_of[c->sequence] = ++g->position;
        a->executions++;
        a->executed_at = g->position;
        CHECK_EQ(a->group, g->group);
        CHECK(a->outcome == OUTCOME_NONE || a->outcome == OUTCOME_UNKNOWN);
    }
    (void)snprintf(out_text, size, ":%" PRIu64 "\r\n", g->position_of[c->sequence]);
}

static void commit_one(struct model *g)
{
    if (g->leader == 0 || g->committed == g->count) {
        return;
    }
    char text[64];
    size_t at = g->committed++;
    struct copy c = g->log[at];
    execute(g, &c, text, sizeof text);
    if (at >= g->waiting_from) {
        answer(&c.caller, SHARD_DONE, text);
    }
}

static void answer_read(struct model *g)
{
    if (g->leader != 0 && g->read_done < g->read_count) {
        char text[64];
        (void)snprintf(text, sizeof text, ":%" PRIu64 "\r\n", g->position);
        struct copy c = g->reads[g->read_done++];
        answer(&c.caller, chance(50) ? SHARD_FULL : SHARD_DONE, text);
    }
}

/* The leader is gone; some of what it had not committed is in the next one's log. */
static void lose_leader(struct model *g)
{
    size_t from = g->committed > g->waiting_from ? g->committed : g->waiting_from;
    size_t count = g->count;
    g->leader = 0;
    g->count -= (size_t)prng_below(&world->prng, g->count - g->committed + 1);
    g->waiting_from = g->count;
    for (size_t i = from; i < count; i++) {
        struct caller caller = g->log[i].caller;
        answer(&caller, SHARD_LOST, "");
    }
    while (g->read_done < g->read_count) {
        struct caller caller = g->reads[g->read_done++].caller;
        answer(&caller, SHARD_REFUSED, "");
    }
    router_leader_changed(world->router, g->group);
}

static void elect(struct model *g)
{
    uint32_t first = g->group == 1 ? 1 : 2;
    g->leader = (uint32_t)prng_between(&world->prng, first, NODES);
    router_leader_changed(world->router, g->group);
}

/* ---- the fakes ------------------------------------------------------------------------------- */

bool shard_may_hold(const struct shard *s)
{
    (void)s;
    return false;
}

void shard_submit(struct shard *s, struct shard_request *r)
{
    struct caller caller = {.here = r};
    enum taken taken = take(s->model, 1, r->bytes, &caller);
    if (taken != TAKEN) {
        r->done(r, taken == TAKEN_NO_SPACE ? SHARD_NO_SPACE : SHARD_REFUSED);
    }
}

uint64_t replica_leader(const struct replica *r)
{
    return r->model->leader;
}

bool peers_is_connected(const struct peers *p, uint32_t number)
{
    return p->is_connected[number];
}

uint64_t peers_heard_us(const struct peers *p, uint32_t number)
{
    (void)p;
    (void)number;
    return 0; /* only recovery asks */
}

bool peers_send(struct peers *p,
                uint32_t number,
                enum peer_class class,
                const struct bytes *parts,
                size_t part_count)
{
    ensure(class == PEER_BULK && part_count == 1);
    if (!p->is_connected[number] || chance(30)) {
        return false;
    }
    push(&p->requests[number], number, parts[0]);
    return true;
}

/* What the other node's router does with a message (router_serve.c). */
static void serve(const struct message *m, bool has_caller)
{
    struct forward_reader reader;
    struct forward_batch batch;
    enum status status = forward_requests_read(buf_bytes(&m->bytes), &reader);
    ensure(status == STATUS_OK);
    while (forward_next_batch(&reader, &batch)) {
        enum taken taken = TAKEN;
        for (uint32_t i = 0; i < batch.count; i++) {
            struct caller caller = {.node = has_caller ? m->node : 0,
                                    .ticket = batch.ticket,
                                    .item = i};
            struct bytes command = forward_next_command(&reader);
            if (taken == TAKEN) {
                taken = take(&world->models[batch.group], m->node, command, &caller);
            }
            if (taken != TAKEN) {
                answer(&caller, taken == TAKEN_NO_SPACE ? SHARD_NO_SPACE : SHARD_REFUSED, "");
            }
        }
    }
}

/* ---- the network ----------------------------------------------------------------------------- */

static void deliver_request(uint32_t node)
{
    struct message *m = pop(&world->peers.requests[node]);
    if (m != NULL) {
        serve(m, true);
    }
}

static void deliver_reply(uint32_t node)
{
    struct message *m = pop(&world->peers.replies[node]);
    if (m != NULL) {
        CHECK_EQ(router_received(world->router, node, buf_bytes(&m->bytes)), STATUS_OK);
    }
}

static void deliver_ghost(void)
{
    struct message *m = pop(&world->peers.ghosts);
    if (m != NULL) {
        serve(m, false);
    }
}

/* Nobody who asked by this connection hears of it. */
static void forget_callers(struct model *g, uint32_t node)
{
    for (size_t i = g->committed; i < g->count; i++) {
        g->log[i].caller.node = g->log[i].caller.node == node ? 0 : g->log[i].caller.node;
    }
    for (size_t i = g->read_done; i < g->read_count; i++) {
        g->reads[i].caller.node = g->reads[i].caller.node == node ? 0 : g->reads[i].caller.node;
    }
}

static void disconnect(uint32_t node)
{
    struct message *m = NULL;
    bool is_lost = false;
    world->peers.is_connected[node] = false;
    while ((m = pop(&world->peers.requests[node])) != NULL) {
        is_lost = is_lost || chance(300); /* the tail is lost, the rest arrives some time */
        if (!is_lost) {
            push(&world->peers.ghosts, node, buf_bytes(&m->bytes));
        }
    }
    while (pop(&world->peers.replies[node]) != NULL) {
    }
    for (uint32_t g = 1; g <= GROUPS; g++) {
        forget_callers(&world->models[g], node);
    }
    router_disconnected(world->router, node);
}

static void reconnect(uint32_t node)
{
    if (!world->peers.is_connected[node]) {
        world->peers.is_connected[node] = true;
        router_connected(world->router, node);
    }
}

/* ---- clients --------------------------------------------------------------------------------- */

static void on_done(struct router_request *request)
{
    struct ask *a = container_of(request, struct ask, request);
    buf_append(&a->reply, "", 1);
    const char *text = (const char *)a->reply.data;
    world->waiting[a->stream]--;
    CHECK_EQ(a->outcome, OUTCOME_NONE);
    if (text[0] == ':') {
        a->outcome = OUTCOME_DONE;
        a->position = strtoull(text + 1, NULL, 10);
    } else if (strncmp(text, "-UNKNOWNRESULT", 14) == 0) {
        a->outcome = OUTCOME_UNKNOWN;
        CHECK(a->is_write);
    } else if (strncmp(text, "-MISCONF", 8) == 0) {
        a->outcome = OUTCOME_NO_SPACE;
        CHECK(a->is_write);
    } else {
        CHECK(strncmp(text, "-CLUSTERDOWN", 12) == 0);
        a->outcome = OUTCOME_DOWN;
    }
    world->outcomes[a->outcome]++;
}

static void submit(unsigned stream)
{
    unsigned number = world->ask_count;
    if (number == ASKS || world->waiting[stream] >= PIPELINE) {
        return;
    }
    char text[16];
    struct ask *a = &world->asks[number];
    world->ask_count++;
    world->waiting[stream]++;
    (void)snprintf(text, sizeof text, "%u", number);
    a->stream = stream;
    a->is_write = chance(500);
    a->group = chance(700) ? 1 : 2;
    buf_init(&a->reply, 1000);
    /* Slot 3300 is in the first of two groups, 15495 in the second. */
    struct bytes args[] = {
        bytes_of_text(a->is_write ? "set" : "get"),
        bytes_of_text(a->group == 1 ? "b" : "a"),
        bytes_of_text(text),
    };
    a->request = (struct router_request){
        .command = command_find(args, 1),
        .args = args,
        .arg_count = a->is_write ? 3 : 2,
        .resp = 2,
        .stream = &world->streams[stream],
        .reply = &a->reply,
        .done = on_done,
    };
    router_submit(world->router, &a->request);
}

/* ---- what must hold -------------------------------------------------------------------------- */

static void check_stream(unsigned stream)
{
    /* By group: how far the stream has got, in the group's positions. */
    uint64_t at_least[GROUPS + 1] = {0};
    for (unsigned i = 0; i < ASKS; i++) {
        const struct ask *a = &world->asks[i];
        if (a->stream != stream || a->outcome != OUTCOME_DONE) {
            continue; /* what is unknown has no place in the order */
        }
        if (a->is_write) {
            CHECK_EQ(a->executions, 1u);
            CHECK_EQ(a->position, a->executed_at);
            CHECK(a->position > at_least[a->group]);
        } else {
            CHECK(a->position >= at_least[a->group]);
        }
        at_least[a->group] = a->position;
    }
}

static void check_all(void)
{
    for (unsigned i = 0; i < ASKS; i++) {
        const struct ask *a = &world->asks[i];
        CHECK(a->outcome != OUTCOME_NONE);
        CHECK(a->executions <= 1);
        if (a->outcome == OUTCOME_DOWN || a->outcome == OUTCOME_NO_SPACE) {
            CHECK_EQ(a->executions, 0u);
        }
    }
    for (unsigned s = 0; s < STREAMS; s++) {
        check_stream(s);
    }
    CHECK_EQ(router_memory(world->router), 0u);
}

/* ---- one run --------------------------------------------------------------------------------- */

static void queue_init(struct queue *q)
{
    *q = (struct queue){.items = mem_alloc_zero(MESSAGES_MAX * sizeof(struct message))};
}

static void queue_deinit(struct queue *q)
{
    for (size_t i = 0; i < q->count; i++) {
        buf_deinit(&q->items[i].bytes);
    }
    mem_free(q->items);
}

static void place(uint32_t group, bool is_here)
{
    struct model *m = &world->models[group];
    m->group = group;
    m->log = mem_alloc_zero(COPIES_MAX * sizeof m->log[0]);
    m->reads = mem_alloc_zero(COPIES_MAX * sizeof m->reads[0]);
    world->shards[group].model = m;
    world->replicas[group].model = m;
    world->groups[group] = (struct router_group){.node_count = 2, .nodes = {2, 3}};
    if (is_here) {
        world->groups[group].shard = &world->shards[group];
        world->groups[group].replica = &world->replicas[group];
        world->groups[group].nodes[2] = 1;
        world->groups[group].node_count = 3;
    }
}

static void start(struct random_world *w, uint64_t seed)
{
    *w = (struct random_world){0};
    world = w;
    fake_env_init(&w->env);
    prng_init(&w->prng, seed);
    w->asks = mem_alloc_zero(ASKS * sizeof w->asks[0]);
    place(0, true);
    place(1, true);
    place(2, false);
    for (uint32_t n = 0; n <= NODES; n++) {
        w->peers.is_connected[n] = true;
        queue_init(&w->peers.requests[n]);
        queue_init(&w->peers.replies[n]);
    }
    queue_init(&w->peers.ghosts);
    for (unsigned s = 0; s < STREAMS; s++) {
        router_stream_init(&w->streams[s]);
    }
    struct router_options options = {.node = 1,
                                     .incarnation = INCARNATION,
                                     .group_count = GROUPS,
                                     .groups = w->groups};
    w->router = router_create(&w->env.base, &w->peers, &w->stats, &options);
}

static void stop(struct random_world *w)
{
    router_destroy(w->router);
    for (uint32_t n = 0; n <= NODES; n++) {
        queue_deinit(&w->peers.requests[n]);
        queue_deinit(&w->peers.replies[n]);
    }
    queue_deinit(&w->peers.ghosts);
    for (uint32_t g = 0; g <= GROUPS; g++) {
        mem_free(w->models[g].log);
        mem_free(w->models[g].reads);
    }
    for (unsigned i = 0; i < ASKS; i++) {
        buf_deinit(&w->asks[i].reply);
    }
    mem_free(w->asks);
    fake_env_deinit(&w->env);
}

/* trouble: per mille of the steps in which something breaks. */
static void step(unsigned trouble)
{
    struct model *g = &world->models[prng_between(&world->prng, 1, GROUPS)];
    uint32_t node = (uint32_t)prng_between(&world->prng, 2, NODES);
    if (chance(trouble)) {
        switch (prng_below(&world->prng, 3)) {
        case 0:
            disconnect(node);
            break;
        case 1:
            lose_leader(g);
            break;
        default:
            fake_env_advance(&world->env, prng_below(&world->prng, 2000));
            break;
        }
    }
    switch (prng_below(&world->prng, 12)) {
    case 0:
    case 1:
        submit((unsigned)prng_below(&world->prng, STREAMS));
        break;
    case 2:
    case 3:
        deliver_request(node);
        break;
    case 4:
    case 5:
        deliver_reply(node);
        break;
    case 6:
    case 7:
        commit_one(g);
        break;
    case 8:
        answer_read(g);
        break;
    case 9:
        fake_env_advance(&world->env, prng_below(&world->prng, 40));
        break;
    case 10:
        if (chance(200)) {
            unsigned stream = (unsigned)prng_below(&world->prng, STREAMS);
            router_stream_pause(world->router, &world->streams[stream], trouble > 0 && chance(500));
        }
        chance(300) ? deliver_ghost() : reconnect(node);
        break;
    default:
        if (g->leader == 0) {
            elect(g);
        }
        break;
    }
    router_flush(world->router);
    router_flush_replies(world->router);
    fake_env_forget(&world->env);
}

static bool is_over(void)
{
    bool is_settled = world->peers.ghosts.first == world->peers.ghosts.count;
    for (uint32_t g = 1; g <= GROUPS; g++) {
        is_settled = is_settled && world->models[g].committed == world->models[g].count;
    }
    return is_settled && world->ask_count == ASKS && router_memory(world->router) == 0;
}

TEST(random_faults)
{
    unsigned outcomes[OUTCOME_COUNT] = {0};
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        static struct random_world w;
        start(&w, seed);
        unsigned trouble = (unsigned)prng_below(&w.prng, 60);
        for (unsigned i = 0; i < STEPS_MAX && !is_over(); i++) {
            step(w.ask_count < ASKS ? trouble : 0);
        }
        CHECK(is_over());
        check_all();
        for (size_t i = 0; i < OUTCOME_COUNT; i++) {
            outcomes[i] += w.outcomes[i];
        }
        stop(&w);
    }
    /* Each ending was seen often. */
    CHECK(outcomes[OUTCOME_DONE] > 100 * SEEDS);
    CHECK(outcomes[OUTCOME_UNKNOWN] > 10 * SEEDS);
    CHECK(outcomes[OUTCOME_DOWN] > 10 * SEEDS);
    CHECK(outcomes[OUTCOME_NO_SPACE] > 10 * SEEDS);
}
