#include "consensus/rounds.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "consensus/message.h"
#include "consensus/replica.h"

struct rounds {
    struct env *env;
    struct peers *peers;
    struct list groups; /* struct round_group */
    struct round_group *by_number[LIMIT_GROUPS + 1];
    struct list wanted; /* those with reads since the last round was sent */
    uint64_t next;      /* the round that is sent next */
    struct env_timer again;
    bool is_again_started; /* not moved by later rounds: they may ask about other groups */
    struct message_probe_item *items; /* scratch */
    size_t item_count;
    size_t item_capacity;
    struct buf message; /* scratch */
};

static struct round_group *group_of(struct list *link)
{
    return container_of(link, struct round_group, link);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void want(struct rounds *r, struct round_group *g)
{
    if (list_is_empty(&g->wanted)) {
        list_append(&r->wanted, &g->wanted);
    }
}

/* Everything that still waits is asked for once more, in the round that this turn sends. */
static void ask_again(struct rounds *r)
{
    list_each(link, &r->groups) {
        struct round_group *g = group_of(link);
        if (g->asked > g->confirmed && replica_is_leader(g->replica)) {
            reached("consensus: probes sent again");
            want(r, g);
        }
    }
}

static void again_due(struct env_timer *timer)
{
    struct rounds *r = container_of(timer, struct rounds, again);
    r->is_again_started = false;
    ask_again(r);
}

struct rounds *rounds_create(struct env *env, struct peers *peers)
{
    struct rounds *r = mem_alloc_zero(sizeof *r);
    r->env = env;
    r->peers = peers;
    r->next = 1;
    r->again.cb = again_due;
    list_init(&r->groups);
    list_init(&r->wanted);
    buf_init(&r->message, PEER_MESSAGE_BYTES_MAX);
    return r;
}

void rounds_destroy(struct rounds *r)
{
    if (r != NULL) {
        buf_deinit(&r->message);
        mem_free(r->items);
        mem_free(r);
    }
}

void rounds_add(struct rounds *r, struct round_group *g, struct replica *replica)
{
    *g = (struct round_group){.replica = replica};
    list_append(&r->groups, &g->link);
    list_init(&g->wanted);
    ensure(replica_group(replica) <= LIMIT_GROUPS);
    r->by_number[replica_group(replica)] = g;
}

void rounds_reset(struct round_group *g)
{
    g->asked = 0;
    g->confirmed = 0;
    g->count = 0;
    list_remove(&g->wanted);
}

uint64_t rounds_ask(struct rounds *r, struct round_group *g)
{
    want(r, g);
    g->asked = r->next;
    return r->next;
}

/* ---- asking ---------------------------------------------------------------------------------- */

static void add_item(struct rounds *r, const struct message_probe_item *item)
{
    if (r->item_count == r->item_capacity) {
        r->item_capacity = r->item_capacity == 0 ? 64 : 2 * r->item_capacity;
        r->items = mem_realloc(r->items, r->item_capacity * sizeof r->items[0]);
    }
    r->items[r->item_count++] = *item;
}

static void add_voters(struct rounds *r, const struct round_group *g)
{
    struct engine_config config;
    replica_config(g->replica, &config);
    for (unsigned i = 0; i < config.count; i++) {
        uint32_t number = replica_node(config.members[i].id);
        if (config.members[i].is_voter && number != replica_node(replica_id(g->replica))) {
            struct message_probe_item item = {
                .group = replica_group(g->replica),
                .sender = replica_id(g->replica),
                .receiver = config.members[i].id,
                .term = replica_term(g->replica),
            };
            add_item(r, &item);
        }
    }
}

static void send_items(struct rounds *r,
                       enum message_kind kind,
                       uint64_t round,
                       uint32_t number,
                       const struct message_probe_item *items,
                       uint32_t count)
{
    buf_clear(&r->message, 4096);
    message_probe_encode(kind, round, items, count, &r->message);
    struct bytes part = buf_bytes(&r->message);
    /* Not sent: asked again in a moment, like an answer that got lost. */
    if (!peers_send(r->peers, number, PEER_URGENT, &part, 1)) {
        reached("consensus: probe not sent");
    }
}

/* One message per node: its items are moved to the front of what is left. */
static void send_by_node(struct rounds *r)
{
    size_t from = 0;
    while (from < r->item_count) {
        uint32_t number = replica_node(r->items[from].receiver);
        size_t to = from + 1;
        for (size_t i = to; i < r->item_count; i++) {
            if (replica_node(r->items[i].receiver) == number) {
                struct message_probe_item item = r->items[i];
                r->items[i] = r->items[to];
                r->items[to++] = item;
            }
        }
        send_items(r, MESSAGE_PROBE, r->next, number, r->items + from, (uint32_t)(to - from));
        from = to;
    }
}

void rounds_flush(struct rounds *r)
{
    if (list_is_empty(&r->wanted)) {
        return;
    }
    r->item_count = 0;
    struct list *link = NULL;
    while ((link = list_take_first(&r->wanted)) != NULL) {
        add_voters(r, container_of(link, struct round_group, wanted));
    }
    send_by_node(r);
    r->next++;
    if (!r->is_again_started) {
        r->is_again_started = true;
        env_timer_start(r->env, &r->again, ROUNDS_AGAIN_MS);
    }
}

void rounds_connected(struct rounds *r, uint32_t number)
{
    (void)number; /* which groups it belongs to does not matter: a probe too many does no harm */
    ask_again(r);
}

/* ---- answering, and being answered ----------------------------------------------------------- */

static struct round_group *find(struct rounds *r, uint16_t group)
{
    return group <= LIMIT_GROUPS ? r->by_number[group] : NULL;
}

static void answer(struct rounds *r,
                   uint32_t number,
                   uint64_t round,
                   struct bytes message,
                   uint32_t n)
{
    r->item_count = 0;
    for (uint32_t i = 0; i < n; i++) {
        struct message_probe_item item = message_probe_item(message, i);
        struct round_group *g = find(r, item.group);
        if (g != NULL && item.term > 0 && replica_node(item.sender) == number &&
            item.receiver == replica_id(g->replica) &&
            item.term == replica_durable_term(g->replica)) {
            add_item(r, &item);
        }
    }
    if (r->item_count > 0) {
        send_items(r, MESSAGE_PROBE_RESULT, round, number, r->items, (uint32_t)r->item_count);
    }
}

static void note_answer(struct round_group *g, uint64_t id, uint64_t round)
{
    unsigned i = 0;
    while (i < g->count && g->answers[i].id != id) {
        i++;
    }
    if (i == g->count) {
        if (g->count == ENGINE_MEMBERS_MAX) {
            return;
        }
        g->answers[g->count].id = id;
        g->answers[g->count++].round = 0;
    }
    if (round > g->answers[i].round) {
        g->answers[i].round = round;
    }
}

static uint64_t answered(const struct round_group *g, uint64_t id)
{
    for (unsigned i = 0; i < g->count; i++) {
        if (g->answers[i].id == id) {
            return g->answers[i].round;
        }
    }
    return 0;
}

/* The newest round that a majority of the voters in force has answered, this replica included. */
static uint64_t quorum_round(const struct round_group *g)
{
    struct engine_config config;
    replica_config(g->replica, &config);
    uint64_t rounds[ENGINE_MEMBERS_MAX];
    unsigned voters = 0;
    for (unsigned i = 0; i < config.count; i++) {
        if (!config.members[i].is_voter) {
            continue;
        }
        bool is_self = config.members[i].id == replica_id(g->replica);
        uint64_t round = is_self ? UINT64_MAX : answered(g, config.members[i].id);
        unsigned at = voters++;
        while (at > 0 && rounds[at - 1] < round) {
            rounds[at] = rounds[at - 1];
            at--;
        }
        rounds[at] = round;
    }
    return voters > 0 ? rounds[voters / 2] : 0;
}

static void take_answer(struct rounds *r,
                        uint32_t number,
                        uint64_t round,
                        struct bytes message,
                        uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        struct message_probe_item item = message_probe_item(message, i);
        struct round_group *g = find(r, item.group);
        if (g == NULL || item.term == 0 || item.sender != replica_id(g->replica) ||
            replica_node(item.receiver) != number || !replica_is_leader(g->replica) ||
            item.term != replica_durable_term(g->replica) || round >= r->next) {
            continue; /* of another term, or nothing that was asked */
        }
        note_answer(g, item.receiver, round);
        uint64_t confirmed = quorum_round(g);
        confirmed = confirmed < r->next ? confirmed : r->next - 1; /* no other voters */
        if (confirmed > g->confirmed) {
            g->confirmed = confirmed;
            replica_rounds_advanced(g->replica);
        }
    }
}

enum status rounds_received(struct rounds *r, uint32_t number, struct bytes message)
{
    uint64_t round = 0;
    uint32_t count = 0;
    enum status s = message_probe_decode(message, &round, &count);
    if (s != STATUS_OK) {
        return s;
    }
    if (message.data[0] == MESSAGE_PROBE) {
        answer(r, number, round, message, count);
    } else {
        take_answer(r, number, round, message, count);
    }
    return STATUS_OK;
}
