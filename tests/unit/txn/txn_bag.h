/*
 * A fake of the router for the random test of coordinators. It keeps messages in a bag: any of them
 * may come next, twice, late, or never, and so may the answers. The fakes stand in for the rooms
 * router and shard: each is defined here under its real name.
 */
#ifndef TXN_TXN_BAG_H
#define TXN_TXN_BAG_H

#include "txn_model.h"

#define GROUPS 4u
#define NODES 2u
#define CLIENTS 6u
#define SEEDS 150u
#define DEALS 60u
#define MESSAGES_MAX 60000u
#define TIMEOUT_MS 1000u
#define FAIR_MS 60000u
#define TAGS_MAX 1000u

struct shard {
    uint32_t node;
    struct group *group;
    struct world *world;
};

/* ---- messages -------------------------------------------------------------------------------- */

struct message {
    uint32_t node; /* who sent it */
    uint32_t group;
    enum command_id command;
    uint8_t resp;
    bool is_write;
    struct buf argument;
    struct router_request *request; /* who waits for it; NULL: nobody any more */
    uint64_t deadline_us;
    bool is_executed; /* its answer was lost */
    bool is_late;     /* a copy: comes when all is over, too */
};

struct node {
    struct router router; /* its cuts are real */
    struct router_group groups[GROUPS + 1];
    struct shard shards[GROUPS + 1];
    struct txn_manager *m;
    uint32_t incarnation;
    struct world *world;
};

/* ---- clients --------------------------------------------------------------------------------- */

enum deal_kind {
    DEAL_PAIR,      /* two keys that are only changed together, and read */
    DEAL_PAIR_READ, /* … only read, with MGET */
    DEAL_PAIR_LCS,  /* … at the gateway */
    DEAL_THREE,     /* three groups */
    DEAL_RENAME,    /* the token goes to another group */
    DEAL_EXISTS,    /* there is one token */
    DEAL_STRICT,    /* the last one fails: nothing is done */
    DEAL_WATCH,     /* a counter that nobody loses */
    DEAL_ONE,       /* one group */
    DEAL_MSET,      /* cut; always the same value in three groups */
    DEAL_MGET,
    DEAL_DEL,
    DEAL_KINDS,
};

enum watch_step {
    WATCH_VERSION,
    WATCH_GET,
    WATCH_SET
};

struct actor {
    struct txn_request request;
    struct txn_watch_request watch;
    struct router_stream stream;
    struct buf replies;
    struct world *world;
    uint32_t node;
    bool is_busy;
    enum deal_kind kind;
    enum watch_step step;
    unsigned tag;
    uint64_t version;
    int64_t counted;
    uint64_t begin; /* on the world's clock of answers */
};

/* What became of a tag. */
struct fate {
    enum deal_kind kind;
    enum txn_outcome outcome;
    uint64_t acked; /* on the world's clock; 0: it was not */
};

struct world {
    struct fake_env env;
    struct stats stats;
    struct prng prng;
    struct group groups[GROUPS + 1];
    struct node nodes[NODES + 1];
    struct actor clients[CLIENTS];
    struct message messages[MESSAGES_MAX];
    size_t message_count;
    struct {
        struct router_request *request;
        uint32_t node;
    } barriers[CLIENTS];
    size_t barrier_count;
    struct fate fates[TAGS_MAX];
    unsigned tag_last;
    uint64_t clock;
    bool is_fair;
    unsigned crashes;
    unsigned deals;
    unsigned outcomes[TXN_UNKNOWN + 1];
};

static bool chance(struct world *w, unsigned per_mille)
{
    return prng_chance(&w->prng, per_mille);
}

static void run_message(struct world *w, struct message *m, struct buf *out_reply)
{
    struct group *g = &w->groups[m->group];
    struct bytes argument = buf_bytes(&m->argument);
    struct txn_answer answer = {0};
    struct scratch s;
    buf_init(&s.replies, SIZE_MAX / 2);
    buf_init(&s.versions, SIZE_MAX / 2);
    buf_init(&s.rows, SIZE_MAX / 2);
    switch ((int)m->command) {
    case COMMAND_ID_EXEC:
    case COMMAND_ID_EXECREAD:
        execute(g, argument, &s, &answer);
        break;
    case COMMAND_ID_VERSIONS:
    case COMMAND_ID_ROWS:
        answer.state = TXN_STATE_COMMITTED;
        read_keys(g, argument, m->command == COMMAND_ID_ROWS, &s);
        break;
    case COMMAND_ID_TXNPREPARE:
        prepare(g, argument, &answer);
        break;
    default:
        obey(g, m->command, argument, &answer);
    }
    if (s.replies.size > 0) {
        answer.replies = buf_bytes(&s.replies);
    }
    answer.versions = buf_bytes(&s.versions);
    answer.rows = buf_bytes(&s.rows);
    if (out_reply != NULL) {
        struct buf bytes;
        buf_init(&bytes, SIZE_MAX / 2);
        txn_answer_append(&bytes, &answer);
        resp_write_bulk(out_reply, buf_bytes(&bytes));
        buf_deinit(&bytes);
    }
    buf_deinit(&s.replies);
    buf_deinit(&s.versions);
    buf_deinit(&s.rows);
}

/* ---- locks that a message waits for ---------------------------------------------------------- */

struct blocked {
    struct group *group;
    bool is_blocked;
};

static void look_at_lock(void *ctx, struct bytes key, bool is_written)
{
    struct blocked *b = ctx;
    struct txn_id id;
    bool is_exclusive = false;
    (void)is_written;
    b->is_blocked =
        b->is_blocked || participant_lock(b->group->participant, 0, key, &id, &is_exclusive);
}

static bool is_blocked(struct world *w, const struct message *m)
{
    struct blocked b = {.group = &w->groups[m->group]};
    struct bytes keys = buf_bytes(&m->argument);
    struct txn_work work;
    enum status status = STATUS_OK;
    switch ((int)m->command) {
    case COMMAND_ID_EXEC:
    case COMMAND_ID_EXECREAD:
    case COMMAND_ID_TXNPREPARE:
        status = txn_work_read(keys, &work);
        ensure(status == STATUS_OK);
        if (m->command != COMMAND_ID_TXNPREPARE || (work.flags & TXN_WAITS) != 0) {
            each_key(&work, look_at_lock, &b);
        }
        return b.is_blocked;
    case COMMAND_ID_VERSIONS:
    case COMMAND_ID_ROWS:
        while (keys.size > 0) {
            struct txn_key key;
            status = txn_key_take(&keys, &key);
            ensure(status == STATUS_OK);
            look_at_lock(&b, key.key, false);
        }
        return b.is_blocked;
    default:
        return false;
    }
}

/* ---- the router's fake ----------------------------------------------------------------------- */

void router_stream_init(struct router_stream *stream)
{
    list_init(&stream->queue);
}

bool router_hears(const struct router *r, uint32_t node, uint32_t incarnation)
{
    (void)r;
    return node != 0 && incarnation == 0; /* nobody: recovery is what is tested */
}

bool router_is_ready(const struct router *r)
{
    (void)r;
    return true;
}

uint32_t router_group_of_slot(const struct router *r, uint16_t slot)
{
    return 1 + (uint32_t)slot * r->options.group_count / SLOT_COUNT;
}

void router_submit_to_group(struct router *r, uint32_t group, struct router_request *request)
{
    struct node *node = container_of(r, struct node, router);
    struct world *w = node->world;
    ensure(w->message_count < MESSAGES_MAX);
    struct message *m = &w->messages[w->message_count++];
    *m = (struct message){
        .node = (uint32_t)(node - w->nodes),
        .group = group,
        .command = request->command->id,
        .resp = request->resp,
        .is_write = (request->command->flags & COMMAND_WRITE) != 0,
        .request = request,
        .deadline_us = w->env.now_us + TIMEOUT_MS * 1000u,
    };
    buf_init(&m->argument, SIZE_MAX / 2);
    buf_append_bytes(&m->argument, request->args[1]);
}

void router_submit_barrier(struct router *r, struct router_request *request)
{
    struct node *node = container_of(r, struct node, router);
    struct world *w = node->world;
    ensure(w->barrier_count < CLIENTS);
    w->barriers[w->barrier_count].node = (uint32_t)(node - w->nodes);
    w->barriers[w->barrier_count++].request = request;
}

void router_end_barrier(struct router *r, struct router_request *request)
{
    (void)r;
    (void)request;
}

void shard_each_prepared(struct shard *s,
                         void (*fn)(void *ctx,
                                    const struct txn_id *id,
                                    const struct txn_record *record,
                                    uint64_t since_us),
                         void *ctx);

struct telling {
    void (*fn)(void *ctx, const struct txn_id *id, const struct txn_record *record, uint64_t since);
    void *ctx;
    uint64_t since_us;
};

static bool tell_one(void *ctx, const struct txn_id *id, const struct txn_record *record)
{
    struct telling *t = ctx;
    t->fn(t->ctx, id, record, t->since_us);
    return true;
}

void shard_each_prepared(struct shard *s,
                         void (*fn)(void *ctx,
                                    const struct txn_id *id,
                                    const struct txn_record *record,
                                    uint64_t since_us),
                         void *ctx)
{
    struct telling t = {.fn = fn, .ctx = ctx, .since_us = s->group->led_since_us};
    if (s->group->leader == s->node) {
        participant_each_prepared(s->group->participant, tell_one, &t);
    }
}

/* ---- fates of messages ----------------------------------------------------------------------- */

static void forget_message(struct world *w, size_t i)
{
    buf_deinit(&w->messages[i].argument);
    w->messages[i] = w->messages[--w->message_count];
}

/* Gives the request its reply; the message's caller is gone after it. */
static void answer(struct message *m, enum router_outcome outcome)
{
    struct router_request *request = m->request;
    m->request = NULL;
    request->outcome = outcome;
    request->done(request);
}

/* A copy of what goes between coordinators and participants may come again, much later. */
static bool may_be_copied(const struct message *m)
{
    return m->command != COMMAND_ID_EXEC && m->is_write;
}

static void deliver(struct world *w, size_t i)
{
    struct message *m = &w->messages[i];
    if (is_blocked(w, m)) {
        return;
    }
    if (m->request == NULL) {
        run_message(w, m, NULL);
        if (!m->is_late) {
            forget_message(w, i);
        }
        return;
    }
    if (m->is_executed) {
        return; /* its caller hears of it when its time is up */
    }
    if (!w->is_fair && chance(w, 60)) {
        run_message(w, m, NULL); /* the answer is lost */
        m->is_executed = true;
        return;
    }
    run_message(w, m, m->request->reply);
    struct message copy = *m;
    if (!w->is_fair && may_be_copied(m) && chance(w, 100)) {
        m->request = NULL;
        m->is_late = true;
    } else {
        w->messages[i] = w->messages[--w->message_count];
        answer(&copy, ROUTER_DONE);
        buf_deinit(&copy.argument);
        return;
    }
    answer(&copy, ROUTER_DONE);
}

/* Time is up: unknown, if a copy may be anywhere; else refused. */
static void expire(struct world *w, size_t i)
{
    struct message *m = &w->messages[i];
    struct message copy = *m;
    bool is_refused = !m->is_executed && chance(w, 300);
    bool stays = !is_refused && may_be_copied(m);
    /* What may still be executed once, and only once: a write that was not. */
    stays = stays || (!is_refused && m->is_write && !m->is_executed);
    m->request = NULL;
    m->is_late = may_be_copied(m);
    if (!stays) {
        w->messages[i] = w->messages[--w->message_count];
    }
    resp_write_error(copy.request->reply,
                     is_refused || !copy.is_write ? "CLUSTERDOWN no leader" : "UNKNOWNRESULT late");
    answer(&copy, is_refused || !copy.is_write ? ROUTER_REFUSED : ROUTER_UNKNOWN);
    if (!stays) {
        buf_deinit(&copy.argument);
    }
}

static void expire_due(struct world *w)
{
    for (size_t i = 0; i < w->message_count;) {
        struct message *m = &w->messages[i];
        if (m->request != NULL && m->deadline_us <= w->env.now_us) {
            expire(w, i);
            i = 0; /* what followed may have moved them */
        } else {
            i++;
        }
    }
}

#endif
