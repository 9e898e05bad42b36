#include "peer/peers.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "peer/peer_conn.h"

/* Log lines about one node, and about all strangers together, are at least so far apart. */
#define LOG_INTERVAL_US (1000u * 1000u)
#define STRANGER_LOG_INTERVAL_US (10u * 1000u * 1000u)
#define FEATURES 0u

/* What was last logged about one matter; said again only when it changes. */
struct complaint {
    char text[PEER_REASON_BYTES_MAX + 1];
    uint64_t logged_us;
};

struct peer {
    struct peers *p;
    uint32_t number;
    struct peer_conn *conn; /* the one that stands, or NULL */
    struct peer_conn *dial; /* ours that does not stand yet, or NULL */
    struct peer_queue queue;
    struct env_timer retry;
    uint64_t retry_ms; /* the next pause */
    uint64_t opened_us;
    struct complaint refused_by_us;
    struct complaint refused_us;
};

struct peers {
    struct env *env;
    struct peer_options options;
    const struct peer_events *events;
    void *owner;
    uint8_t cluster_id[PEER_ID_BYTES];
    struct env_listener listener;
    struct env_timer more; /* brings a turn while something can be written */
    struct list conns;     /* all struct peer_conn */
    struct buf scratch;
    bool is_started;
    bool has_logged_strangers;
    uint64_t strangers_logged_us;
    uint64_t strangers_count;    /* not logged */
    void (*closed)(void *owner); /* not NULL: closing */
    void *closed_owner;
    struct peer peers[]; /* [number - 1] */
};

static bool is_closing(const struct peers *p)
{
    return p->closed != NULL;
}

static struct peer *peer_of(struct peers *p, uint32_t number)
{
    ensure(number >= 1);
    ensure(number <= p->options.count);
    return &p->peers[number - 1];
}

/* ---- complaints ------------------------------------------------------------------------------ */

static void complain(struct peer *peer, struct complaint *c, const char *event, const char *reason)
{
    struct env *env = peer->p->env;
    uint64_t now_us = env_now_us(env);
    bool is_first = c->text[0] == '\0';
    if (strncmp(c->text, reason, PEER_REASON_BYTES_MAX) == 0 ||
        (!is_first && now_us - c->logged_us < LOG_INTERVAL_US)) {
        return;
    }
    (void)snprintf(c->text, sizeof c->text, "%s", reason);
    c->logged_us = now_us;
    env_log(env, ENV_LEVEL_WARNING, "%s node=%" PRIu32 " reason=%s", event, peer->number, reason);
}

static void complain_of_stranger(struct peers *p, uint32_t number, const char *why)
{
    uint64_t now_us = env_now_us(p->env);
    p->strangers_count++;
    if (p->has_logged_strangers && now_us - p->strangers_logged_us < STRANGER_LOG_INTERVAL_US) {
        return;
    }
    env_log(p->env,
            ENV_LEVEL_WARNING,
            "peer_input_refused node=%" PRIu32 " count=%" PRIu64 " reason=%s",
            number,
            p->strangers_count,
            why);
    p->has_logged_strangers = true;
    p->strangers_logged_us = now_us;
    p->strangers_count = 0;
}

/* ---- dialling -------------------------------------------------------------------------------- */

static const struct peer_conn_events conn_events;

static struct peer_conn *add_conn(struct peers *p, struct env_conn *port, uint32_t number)
{
    struct peer_intro ours = {
        .about = {.number = p->options.self, .incarnation = p->options.incarnation},
        .target = number,
        .count = p->options.count,
        .version_min = PEER_VERSION_MIN,
        .version_max = PEER_VERSION_MAX,
        .features = FEATURES,
    };
    memcpy(ours.about.node_id, p->options.node_id, PEER_ID_BYTES);
    memcpy(ours.about.cluster_id, p->cluster_id, PEER_ID_BYTES);
    const char *address = port == NULL ? p->options.addresses[number - 1] : NULL;
    struct peer_conn *c = peer_conn_create(p->env, &ours, port, address, &conn_events, p);
    c->number = number;
    list_append(&p->conns, &c->link);
    return c;
}

static bool is_dialled_by_us(const struct peer *peer)
{
    return peer->p->options.self < peer->number;
}

static void on_retry(struct env_timer *timer)
{
    struct peer *peer = container_of(timer, struct peer, retry);
    ensure(peer->conn == NULL);
    ensure(peer->dial == NULL);
    peer->dial = add_conn(peer->p, NULL, peer->number);
}

static void dial_now(struct peer *peer)
{
    if (is_dialled_by_us(peer) && !is_closing(peer->p)) {
        env_timer_start(peer->p->env, &peer->retry, 0);
    }
}

static void dial_later(struct peer *peer)
{
    if (!is_dialled_by_us(peer) || is_closing(peer->p)) {
        return;
    }
    struct env *env = peer->p->env;
    uint64_t most_ms = peer->retry_ms;
    uint64_t delay_ms = most_ms - env_random(env) % (most_ms / 2 + 1);
    peer->retry_ms = most_ms * 2 < PEER_RETRY_MS_MAX ? most_ms * 2 : PEER_RETRY_MS_MAX;
    env_timer_start(env, &peer->retry, delay_ms);
}

/* ---- who may speak --------------------------------------------------------------------------- */

/* What is wrong whoever it is, or NULL. */
static const char *contradiction(const struct peers *p, const struct peer_conn *c)
{
    const struct peer_options *o = &p->options;
    const struct peer_intro *theirs = &c->theirs;
    uint32_t number = theirs->about.number;
    if (number < 1 || number > o->count) {
        return "node number out of range";
    }
    if (number == o->self || memcmp(theirs->about.node_id, o->node_id, PEER_ID_BYTES) == 0) {
        return "node number or id is our own";
    }
    if (theirs->count != o->count) {
        return "another number of nodes";
    }
    if (theirs->target != o->self) {
        return "meant for another node";
    }
    if (c->is_dialled && number != c->number) {
        return "another node than the address is for";
    }
    if (!c->is_dialled && number > o->self) {
        return "the node with the smaller number dials";
    }
    return NULL;
}

static const char *on_greeted(struct peer_conn *c)
{
    struct peers *p = c->owner;
    const char *reason = contradiction(p, c);
    if (reason != NULL) {
        return reason;
    }
    c->number = c->theirs.about.number;
    if (!p->events->judge(p->owner, &c->theirs.about, &reason)) {
        return reason != NULL ? reason : "not welcome";
    }
    return NULL;
}

static void on_refused(struct peer_conn *c, const char *reason)
{
    struct peers *p = c->owner;
    if (c->number == 0) {
        return; /* it did not even say who it is */
    }
    struct peer *peer = peer_of(p, c->number);
    complain(peer, &peer->refused_us, "peer_refused_us", reason);
    p->events->refused(p->owner, c->number, reason);
}

/* ---- standing connections -------------------------------------------------------------------- */

/* The connection is closed already. */
static void disconnect(struct peer *peer)
{
    struct peers *p = peer->p;
    ensure(peer->conn->state == PEER_CONN_CLOSING);
    peer->conn = NULL;
    peer_queue_clear(&peer->queue);
    p->events->disconnected(p->owner, peer->number);
}

static void on_opened(struct peer_conn *c)
{
    struct peers *p = c->owner;
    struct peer *peer = peer_of(p, c->number);
    if (peer->dial == c) {
        peer->dial = NULL;
    }
    if (peer->conn != NULL) {
        reached("peer: second connection of a pair");
        peer_conn_close(peer->conn);
        disconnect(peer);
        if (c->state != PEER_CONN_OPEN) {
            return; /* closed meanwhile, with everything */
        }
    }
    peer->conn = c;
    peer->opened_us = env_now_us(p->env);
    peer->refused_by_us.text[0] = '\0';
    peer->refused_us.text[0] = '\0';
    p->events->connected(p->owner, &c->theirs.about);
}

static void on_received(struct peer_conn *c, enum peer_class class, struct bytes message)
{
    struct peers *p = c->owner;
    ensure(peer_of(p, c->number)->conn == c);
    p->events->received(p->owner, c->number, class, message);
}

/*
 * A connection that stood and broke is dialled again at once; one that never stood, or fell soon,
 * after a pause, or two nodes that cannot agree would keep each other busy.
 */
static void redial(struct peer *peer, bool has_stood)
{
    uint64_t stood_us = env_now_us(peer->p->env) - peer->opened_us;
    if (has_stood && stood_us >= PEER_STABLE_MS * 1000u) {
        peer->retry_ms = PEER_RETRY_MS_MIN;
        dial_now(peer);
    } else {
        dial_later(peer);
    }
}

static void on_failed(struct peer_conn *c, enum peer_failure failure, const char *why)
{
    struct peers *p = c->owner;
    struct peer *peer = c->number != 0 ? peer_of(p, c->number) : NULL;
    if (failure == PEER_FAILURE_REFUSED && peer != NULL) {
        complain(peer, &peer->refused_by_us, "peer_refused", why);
    } else if (failure == PEER_FAILURE_REFUSED || failure == PEER_FAILURE_STRANGE) {
        complain_of_stranger(p, c->number, why);
    } else {
        env_log(p->env, ENV_LEVEL_DEBUG, "peer_lost node=%" PRIu32 " reason=%s", c->number, why);
    }
    if (peer == NULL) {
        return;
    }
    if (peer->dial == c) {
        peer->dial = NULL;
        redial(peer, false);
    } else if (peer->conn == c) {
        redial(peer, true);
        disconnect(peer);
    }
}

static void on_closed(struct peer_conn *c)
{
    struct peers *p = c->owner;
    peer_conn_destroy(c);
    if (is_closing(p) && list_is_empty(&p->conns)) {
        p->closed(p->closed_owner); /* last, as it may destroy p */
    }
}

static const struct peer_conn_events conn_events = {
    .greeted = on_greeted,
    .opened = on_opened,
    .received = on_received,
    .refused = on_refused,
    .failed = on_failed,
    .closed = on_closed,
};

/* ---- accepting ------------------------------------------------------------------------------- */

static void ignore(struct env_conn *port)
{
    (void)port;
}

static void ignore_bytes(struct env_conn *port, struct bytes bytes)
{
    (void)port;
    (void)bytes;
}

static const struct env_conn_events turned_away_events = {
    .read = ignore_bytes,
    .ended = ignore,
    .drained = ignore,
    .closed = ignore,
};

static unsigned count_strangers(const struct peers *p)
{
    unsigned count = 0;
    list_each(item, &p->conns) {
        const struct peer_conn *c = container_of(item, struct peer_conn, link);
        count +=
            !c->is_dialled && (c->state == PEER_CONN_GREETING || c->state == PEER_CONN_PROVING);
    }
    return count;
}

static void on_accepted(struct env_listener *listener, struct env_conn *port, const char *from)
{
    (void)from;
    struct peers *p = listener->owner;
    bool is_crowded = count_strangers(p) >= PEER_STRANGERS_MAX;
    if (is_closing(p) || is_crowded) {
        port->events = &turned_away_events;
        port->owner = NULL;
        env_conn_close(port);
        if (is_crowded) {
            reached("peer: too many strangers");
            complain_of_stranger(p, 0, "too many connections without a greeting");
        }
        return;
    }
    (void)add_conn(p, port, 0);
}

/* ---- sending --------------------------------------------------------------------------------- */

bool peers_send(struct peers *p,
                uint32_t number,
                enum peer_class class,
                const struct bytes *parts,
                size_t part_count)
{
    struct peer *peer = peer_of(p, number);
    if (peer->conn == NULL || is_closing(p)) {
        return false;
    }
    return peer_queue_add(&peer->queue, class, parts, part_count);
}

void peers_flush(struct peers *p)
{
    bool has_more = false;
    for (uint32_t i = 0; i < p->options.count && !is_closing(p); i++) {
        struct peer *peer = &p->peers[i];
        if (peer->conn != NULL) {
            has_more |= peer_conn_write(peer->conn, &peer->queue, &p->scratch);
        }
    }
    if (has_more) {
        env_timer_start(p->env, &p->more, 0);
    }
}

static void on_more(struct env_timer *timer)
{
    peers_flush(container_of(timer, struct peers, more));
}

/* ---- life ------------------------------------------------------------------------------------ */

struct peers *peers_create(struct env *env,
                           const struct peer_options *options,
                           const struct peer_events *events,
                           void *owner)
{
    uint32_t count = options->count;
    ensure(count >= 1 && count <= PEER_NODES_MAX);
    ensure(options->self >= 1 && options->self <= count);
    struct peers *p = mem_alloc_zero(sizeof *p + count * sizeof p->peers[0]);
    p->env = env;
    p->options = *options;
    p->events = events;
    p->owner = owner;
    p->listener = (struct env_listener){.accepted = on_accepted, .owner = p, .is_reserved = true};
    p->more.cb = on_more;
    list_init(&p->conns);
    buf_init(&p->scratch, PEER_WRITE_BYTES_MAX);
    for (uint32_t i = 0; i < count; i++) {
        struct peer *peer = &p->peers[i];
        peer->p = p;
        peer->number = i + 1;
        peer->retry.cb = on_retry;
        peer->retry_ms = PEER_RETRY_MS_MIN;
        peer_queue_init(&peer->queue);
    }
    return p;
}

void peers_destroy(struct peers *p)
{
    if (p == NULL) {
        return;
    }
    while (!list_is_empty(&p->conns)) {
        peer_conn_destroy(container_of(p->conns.next, struct peer_conn, link));
    }
    for (uint32_t i = 0; i < p->options.count; i++) {
        peer_queue_clear(&p->peers[i].queue);
    }
    buf_deinit(&p->scratch);
    mem_free(p);
}

enum status peers_start(struct peers *p, struct error *error)
{
    ensure(!p->is_started);
    p->is_started = true;
    if (p->options.listen == NULL || p->options.count == 1) {
        return STATUS_OK;
    }
    enum status status = env_listen(p->env, p->options.listen, &p->listener, error);
    if (status != STATUS_OK) {
        return error_wrap(error, status, "other nodes");
    }
    for (uint32_t i = 0; i < p->options.count; i++) {
        dial_now(&p->peers[i]);
    }
    return STATUS_OK;
}

void peers_set_cluster(struct peers *p, const uint8_t cluster_id[PEER_ID_BYTES])
{
    memcpy(p->cluster_id, cluster_id, PEER_ID_BYTES);
}

bool peers_is_connected(const struct peers *p, uint32_t number)
{
    ensure(number >= 1);
    ensure(number <= p->options.count);
    return p->peers[number - 1].conn != NULL;
}

uint64_t peers_heard_us(const struct peers *p, uint32_t number)
{
    return peers_is_connected(p, number) ? p->peers[number - 1].conn->heard_us : 0;
}

uint64_t peers_memory(const struct peers *p)
{
    uint64_t memory = p->scratch.capacity;
    for (uint32_t i = 0; i < p->options.count; i++) {
        memory += peer_queue_memory(&p->peers[i].queue);
    }
    list_each(item, &p->conns) {
        memory += peer_conn_memory(container_of(item, struct peer_conn, link));
    }
    return memory;
}

uint64_t peers_message_memory(const struct peers *p)
{
    uint64_t memory = 0;
    for (uint32_t i = 0; i < p->options.count; i++) {
        memory += peer_queue_memory(&p->peers[i].queue);
    }
    list_each(item, &p->conns) {
        memory += peer_conn_partial_bytes(container_of(item, struct peer_conn, link));
    }
    return memory;
}

/* First everything is shut, then it is told: what a callee asks for finds the end of all. */
void peers_close(struct peers *p, void (*closed)(void *owner), void *owner)
{
    ensure(!is_closing(p));
    ensure(closed != NULL);
    p->closed = closed;
    p->closed_owner = owner;
    env_timer_stop(p->env, &p->more);
    list_each(item, &p->conns) {
        peer_conn_close(container_of(item, struct peer_conn, link));
    }
    bool is_done = list_is_empty(&p->conns);
    for (uint32_t i = 0; i < p->options.count; i++) {
        struct peer *peer = &p->peers[i];
        env_timer_stop(p->env, &peer->retry);
        if (peer->conn != NULL) {
            disconnect(peer);
        }
    }
    if (is_done) {
        closed(owner);
    }
}
