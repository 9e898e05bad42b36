#include "sim/sim_network.h"

#include <inttypes.h>
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "sim/sim_conn.h"

#define RECEIVE_BYTES_MAX (256u * MIB)
#define CUT_BREAKS_PER_MILLE 300
#define CUT_BREAK_US_MAX (8 * SECOND_US)
#define LATE_US_MAX (3 * SECOND_US)
#define VERY_LATE_US_MAX (20 * SECOND_US)
#define VERY_LATE_PER_MILLE 250
#define PURPOSE_NETWORK 900u

void sim_network_init(struct sim_network *n,
                      struct world *world,
                      const struct sim_network_options *options)
{
    *n = (struct sim_network){.world = world, .options = *options};
    n->prng = world_prng(world, PURPOSE_NETWORK);
    list_init(&n->conns);
}

static void end_init(struct sim_conn *conn, struct sim_end *end, unsigned host)
{
    end->conn = conn;
    end->host = host;
    list_init(&end->out.chunks);
    buf_init(&end->received, RECEIVE_BYTES_MAX);
}

static void end_deinit(struct sim_end *end)
{
    end->waits_for_window = false;
    sim_pipe_drop(end, 0);
    buf_deinit(&end->received);
    mem_free(end->socket);
}

void sim_network_deinit(struct sim_network *n)
{
    for (struct list *l = list_take_first(&n->conns); l != NULL; l = list_take_first(&n->conns)) {
        struct sim_conn *conn = sim_conn_of(l);
        end_deinit(&conn->end[0]);
        end_deinit(&conn->end[1]);
        mem_free(conn);
    }
    *n = (struct sim_network){0};
}

/* ---- connecting ------------------------------------------------------------------------------ */

static struct sim_env *find_machine(struct sim_network *n,
                                    const char *address,
                                    enum sim_port *out_port)
{
    for (unsigned i = 0; i < n->machine_count; i++) {
        for (unsigned port = 0; port < SIM_PORT_COUNT; port++) {
            if (strcmp(n->machines[i]->addresses[port], address) == 0) {
                *out_port = (enum sim_port)port;
                return n->machines[i];
            }
        }
    }
    return NULL;
}

static void fire_connect_timeout(void *owner, void *item, uint64_t tag)
{
    struct sim_conn *conn = owner;
    (void)item;
    (void)tag;
    if (!conn->end[0].is_connected && !conn->end[0].has_end) {
        sim_end_break(&conn->end[0]);
    }
}

struct sim_conn *sim_conn_create(struct sim_network *n, unsigned host, const char *address)
{
    struct sim_conn *conn = mem_alloc_zero(sizeof *conn);
    conn->network = n;
    conn->id = ++n->conn_count;
    conn->target = find_machine(n, address, &conn->port);
    end_init(conn, &conn->end[0], host);
    end_init(conn, &conn->end[1], conn->target != NULL ? conn->target->index : host);
    list_append(&n->conns, &conn->link);
    sim_pipe_put(&conn->end[0], SIM_CHUNK_KNOCK, bytes_of(NULL, 0));
    uint64_t most_us = n->options.connect_timeout_us_max;
    world_schedule(n->world,
                   prng_between(&n->prng, most_us / 2, most_us),
                   fire_connect_timeout,
                   conn,
                   NULL,
                   0);
    return conn;
}

/* Nobody waits for the answer any more. */
static bool has_given_up(const struct sim_end *asking)
{
    bool is_client = asking->env == NULL;
    return asking->is_gone || asking->has_end || asking->is_closed ||
           (is_client && asking->events == NULL);
}

static void arrive_knock(struct sim_end *asked)
{
    struct sim_conn *conn = asked->conn;
    struct sim_env *target = conn->target;
    if (has_given_up(&conn->end[0])) {
        return;
    }
    if (target == NULL || !target->is_up || target->listeners[conn->port] == NULL) {
        sim_pipe_end(asked);
        return;
    }
    conn->is_established = true;
    asked->env = target;
    asked->is_connected = true;
    sim_pipe_put(asked, SIM_CHUNK_CONNECTED, bytes_of(NULL, 0));
    sim_env_deliver(target, SIM_DELIVERY_ACCEPT, asked);
}

/* ---- arrivals -------------------------------------------------------------------------------- */

static void client_receives(struct sim_end *end, const struct sim_chunk *chunk)
{
    if (end->events == NULL) {
        return;
    }
    switch (chunk->kind) {
    case SIM_CHUNK_CONNECTED:
        end->is_connected = true;
        end->events->connected(end->owner);
        return;
    case SIM_CHUNK_BYTES:
        end->events->read(end->owner, bytes_of(chunk->data, chunk->size));
        return;
    case SIM_CHUNK_END:
        sim_end_break(end);
        return;
    case SIM_CHUNK_KNOCK:
        break;
    }
    unreachable("a client listens nowhere");
}

void sim_end_arrive(struct sim_end *to, const struct sim_chunk *chunk)
{
    if (chunk->kind == SIM_CHUNK_KNOCK) {
        arrive_knock(to);
    } else if (to->is_gone) {
        sim_pipe_consumed(sim_end_other(to), chunk->size);
        sim_pipe_end(to); /* the machine refuses what belongs to nobody */
    } else if (to->env != NULL) {
        sim_net_receive(to, chunk);
    } else {
        sim_pipe_consumed(sim_end_other(to), chunk->size);
        client_receives(to, chunk);
    }
}

void sim_end_break(struct sim_end *end)
{
    if (end->is_gone || end->has_end) {
        return;
    }
    end->has_end = true;
    sim_pipe_end(end);
    if (end->env != NULL) {
        sim_net_tell_end(end);
        return;
    }
    const struct sim_client_events *events = end->events;
    end->events = NULL;
    if (events != NULL) {
        events->ended(end->owner);
    }
}

/* ---- a client's end -------------------------------------------------------------------------- */

struct sim_conn *sim_connect(struct sim_network *n,
                             unsigned host,
                             const char *address,
                             const struct sim_client_events *events,
                             void *owner)
{
    ensure(host < SIM_HOSTS_MAX);
    struct sim_conn *conn = sim_conn_create(n, host, address);
    conn->end[0].events = events;
    conn->end[0].owner = owner;
    return conn;
}

void sim_conn_send(struct sim_conn *conn, struct bytes bytes)
{
    ensure(conn->end[0].events != NULL);
    ensure(conn->end[0].is_connected);
    sim_pipe_send(&conn->end[0], bytes);
}

void sim_conn_hangup(struct sim_conn *conn)
{
    conn->end[0].events = NULL;
    sim_pipe_end(&conn->end[0]);
}

/* ---- faults ---------------------------------------------------------------------------------- */

static bool is_across(const struct sim_conn *conn, unsigned a, unsigned b)
{
    unsigned from = conn->end[0].host;
    unsigned to = conn->end[1].host;
    return (from == a && to == b) || (from == b && to == a);
}

static bool is_cut(const struct sim_conn *conn)
{
    const struct sim_network *n = conn->network;
    return n->links[conn->end[0].host][conn->end[1].host].cuts > 0 ||
           n->links[conn->end[1].host][conn->end[0].host].cuts > 0;
}

/* tag: the end that loses patience. */
static void fire_cut_break(void *owner, void *item, uint64_t tag)
{
    struct sim_conn *conn = owner;
    (void)item;
    if (is_cut(conn) && !conn->end[tag].is_gone) { /* a process that ended loses no patience */
        world_trace(conn->network->world, "c%" PRIu64 " breaks at the cut", conn->id);
        if (!conn->end[tag].has_end) {
            sim_pipe_lose(&conn->end[tag]); /* sometimes all of it arrives after the cut */
        }
        sim_end_break(&conn->end[tag]);
    }
}

void sim_network_cut(struct sim_network *n, unsigned from, unsigned to)
{
    ensure(from < SIM_HOSTS_MAX);
    ensure(to < SIM_HOSTS_MAX);
    n->links[from][to].cuts++;
    list_each(l, &n->conns) {
        struct sim_conn *conn = sim_conn_of(l);
        if (!conn->is_established || !is_across(conn, from, to)) {
            continue;
        }
        for (unsigned i = 0; i < 2; i++) {
            if (prng_chance(&n->prng, CUT_BREAKS_PER_MILLE)) {
                uint64_t delay_us = prng_between(&n->prng, 1, CUT_BREAK_US_MAX);
                world_schedule(n->world, delay_us, fire_cut_break, conn, NULL, i);
            }
        }
    }
}

static void resume(struct sim_conn *conn)
{
    sim_pipe_resume(&conn->end[0]);
    sim_pipe_resume(&conn->end[1]);
}

void sim_network_uncut(struct sim_network *n, unsigned from, unsigned to)
{
    if (n->links[from][to].cuts == 0 || --n->links[from][to].cuts > 0) {
        return; /* all was healed in between, or another fault still cuts it */
    }
    list_each(l, &n->conns) {
        if (is_across(sim_conn_of(l), from, to)) {
            resume(sim_conn_of(l));
        }
    }
}

void sim_network_heal(struct sim_network *n)
{
    memset(n->links, 0, sizeof n->links);
    n->options.slow_write_per_mille = 0; /* half a second is longer than a time-out of elections */
    list_each(l, &n->conns) {
        resume(sim_conn_of(l));
    }
}

void sim_network_machine_up(struct sim_network *n, const struct sim_env *e)
{
    list_each(l, &n->conns) {
        struct sim_conn *conn = sim_conn_of(l);
        if (conn->end[0].host == e->index || conn->end[1].host == e->index) {
            resume(conn);
        }
    }
}

static bool is_whole(const struct sim_conn *conn)
{
    for (unsigned i = 0; i < 2; i++) {
        const struct sim_end *end = &conn->end[i];
        bool is_closed =
            end->env != NULL ? end->socket == NULL || end->is_closed : end->events == NULL;
        if (!end->is_connected || end->is_gone || end->has_end || end->out.is_ended || is_closed) {
            return false;
        }
    }
    return true;
}

/* e: one of its ends is there; NULL: both are at machines. */
static struct sim_conn *pick_conn(struct sim_network *n, const struct sim_env *e)
{
    struct sim_conn *picked = NULL;
    uint64_t seen = 0;
    list_each(l, &n->conns) {
        struct sim_conn *conn = sim_conn_of(l);
        bool fits =
            e != NULL ? conn->end[0].env == e || conn->end[1].env == e : conn->end[0].env != NULL;
        if (fits && is_whole(conn) && prng_below(&n->prng, ++seen) == 0) {
            picked = conn;
        }
    }
    return picked;
}

bool sim_network_break_one(struct sim_network *n, const struct sim_env *e)
{
    struct sim_conn *conn = pick_conn(n, e);
    if (conn == NULL) {
        return false;
    }
    world_fault(n->world, SIM_FAULT_BREAK);
    world_trace(n->world, "%s c%" PRIu64 " breaks", e->name, conn->id);
    for (unsigned i = 0; i < 2; i++) {
        sim_pipe_lose(&conn->end[i]);
        sim_pipe_end(&conn->end[i]);
    }
    return true;
}

bool sim_network_delay_last_bytes(struct sim_network *n)
{
    struct sim_conn *conn = pick_conn(n, NULL);
    if (conn == NULL) {
        return false;
    }
    struct sim_end *sender = &conn->end[prng_below(&n->prng, 2)];
    bool is_very_late = prng_chance(&n->prng, VERY_LATE_PER_MILLE);
    uint64_t most_us = is_very_late ? VERY_LATE_US_MAX : LATE_US_MAX;
    world_fault(n->world, SIM_FAULT_LATE);
    world_trace(n->world,
                "c%" PRIu64 " breaks, with %zu bytes to come",
                conn->id,
                sender->out.bytes);
    sender->out.held_until_us = n->world->now_us + prng_between(&n->prng, MS_US, most_us);
    sim_pipe_end(sender);
    sim_pipe_drop(sim_end_other(sender), 0);
    sim_end_break(sender);
    return true;
}
