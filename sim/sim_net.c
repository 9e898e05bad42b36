/*
 * The ends of connections that belong to nodes: what env promises about them, and whether the node
 * keeps its part of the contract.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/crc.h"
#include "base/mem.h"
#include "sim/sim_conn.h"

#define SILENT_PER_MILLE 700
#define CLIENT_KEEPALIVE_US_MAX (8 * SECOND_US)
#define NODE_KEEPALIVE_US_MAX (60 * SECOND_US)

static struct sim_end *end_of(struct env_conn *port)
{
    return ((struct sim_socket *)port)->end;
}

static void trace(const struct sim_end *end, const char *what)
{
    world_trace(end->env->world, "%s c%" PRIu64 " %s", end->env->name, end->conn->id, what);
}

static struct sim_socket *socket_create(struct sim_end *end)
{
    ensure(end->socket == NULL);
    struct sim_socket *socket = mem_alloc_zero(sizeof *socket);
    socket->conn.env = &end->env->env;
    socket->end = end;
    end->socket = socket;
    return socket;
}

/* ---- what arrives ---------------------------------------------------------------------------- */

static void read_if_due(struct sim_end *end)
{
    bool has_news = end->received.size > 0 || (end->has_end && !end->is_end_told);
    bool is_paused = end->is_paused && end->is_connected; /* a refusal cannot be paused */
    if (end->socket == NULL || end->is_closed || is_paused || end->is_read_due || !has_news) {
        return;
    }
    end->is_read_due = true;
    sim_env_deliver(end->env, SIM_DELIVERY_READ, end);
}

void sim_net_tell_end(struct sim_end *end)
{
    if (end->waits_for_window && end->socket != NULL) {
        end->waits_for_window = false;
        sim_env_deliver(end->env, SIM_DELIVERY_DRAINED, end);
    }
    read_if_due(end);
}

void sim_net_receive(struct sim_end *end, const struct sim_chunk *chunk)
{
    if (end->is_closed || end->has_end) {
        sim_pipe_consumed(sim_end_other(end), chunk->size);
        return;
    }
    switch (chunk->kind) {
    case SIM_CHUNK_CONNECTED:
        sim_env_deliver(end->env, SIM_DELIVERY_CONNECTED, end);
        return;
    case SIM_CHUNK_BYTES:
        buf_append(&end->received, chunk->data, chunk->size);
        read_if_due(end);
        return;
    case SIM_CHUNK_END:
        end->has_end = true;
        sim_net_tell_end(end);
        return;
    case SIM_CHUNK_KNOCK:
        break;
    }
    unreachable("a knock is not for an end");
}

static void fire_accept(struct sim_end *end)
{
    struct sim_env *e = end->env;
    struct env_listener *listener = e->listeners[end->conn->port];
    const struct sim_env *peer_env = sim_end_other(end)->env;
    char peer[SIM_ADDRESS_BYTES];
    (void)snprintf(peer,
                   sizeof peer,
                   "%s:%" PRIu64,
                   peer_env != NULL ? peer_env->name : "client",
                   end->conn->id);
    struct sim_socket *socket = socket_create(end);
    world_trace(e->world, "%s c%" PRIu64 " accept %s", e->name, end->conn->id, peer);
    listener->accepted(listener, &socket->conn, peer);
    if (!end->is_closed && !e->env.is_halted && socket->conn.events == NULL) {
        sim_env_misuse(e, "accepted() set no events");
        return;
    }
    read_if_due(end);
}

static void fire_connected(struct sim_end *end)
{
    if (end->is_closed || end->has_end) {
        return;
    }
    end->is_connected = true;
    trace(end, "connected");
    end->socket->conn.events->connected(&end->socket->conn);
    if (end->socket != NULL) {
        read_if_due(end);
    }
}

/* A part of what has arrived, in memory of its own, so that a later use of it is noticed. */
static void give_bytes(struct sim_end *end)
{
    struct sim_env *e = end->env;
    size_t size = end->received.size;
    if (prng_chance(&e->prng, 300)) {
        size = (size_t)prng_between(&e->prng, 1, size);
    }
    uint8_t *data = mem_alloc(size);
    memcpy(data, end->received.data, size);
    buf_drop_front(&end->received, size);
    sim_pipe_consumed(sim_end_other(end), size);
    world_trace(e->world,
                "%s c%" PRIu64 " read %zu crc %08" PRIx32,
                e->name,
                end->conn->id,
                size,
                crc32c(0, data, size));
    end->socket->conn.events->read(&end->socket->conn, bytes_of(data, size));
    mem_free(data);
}

static void fire_read(struct sim_end *end)
{
    end->is_read_due = false;
    if (end->is_closed || (end->is_paused && end->is_connected)) {
        return;
    }
    if (end->received.size > 0) {
        give_bytes(end);
    } else if (end->has_end && !end->is_end_told) {
        end->is_end_told = true;
        trace(end, "ended");
        end->socket->conn.events->ended(&end->socket->conn);
    }
    read_if_due(end);
}

static void fire_drained(struct sim_end *end)
{
    end->owes_drained = false;
    if (!end->is_closed) {
        trace(end, "drained");
        end->socket->conn.events->drained(&end->socket->conn);
    }
}

static void fire_closed(struct sim_end *end)
{
    trace(end, "closed");
    if (end->socket->conn.events != NULL) {
        end->socket->conn.events->closed(&end->socket->conn);
    }
    mem_free(end->socket);
    end->socket = NULL;
}

void sim_net_fire(struct sim_end *end, enum sim_delivery_kind kind)
{
    if (kind != SIM_DELIVERY_ACCEPT && end->socket == NULL) {
        return; /* closed() came first */
    }
    switch (kind) {
    case SIM_DELIVERY_ACCEPT:
        fire_accept(end);
        return;
    case SIM_DELIVERY_CONNECTED:
        fire_connected(end);
        return;
    case SIM_DELIVERY_READ:
        fire_read(end);
        return;
    case SIM_DELIVERY_DRAINED:
        fire_drained(end);
        return;
    case SIM_DELIVERY_CLOSED:
        fire_closed(end);
        return;
    case SIM_DELIVERY_WORK_DONE:
        break;
    }
    unreachable("a delivery of another kind");
}

/* ---- calls of the node ----------------------------------------------------------------------- */

enum status sim_net_listen(struct env *env,
                           const char *address,
                           struct env_listener *listener,
                           struct error *error)
{
    struct sim_env *e = sim_env_of(env);
    sim_env_check_loop(e, "listen");
    for (unsigned port = 0; port < SIM_PORT_COUNT; port++) {
        if (strcmp(address, e->addresses[port]) == 0) {
            if (e->listeners[port] != NULL) {
                return error_set(error, STATUS_BUSY, "%s: address in use", address);
            }
            e->listeners[port] = listener;
            return STATUS_OK;
        }
    }
    return error_set(error, STATUS_INVALID, "%s: not an address of this machine", address);
}

struct env_conn *sim_net_connect(struct env *env,
                                 const char *address,
                                 const struct env_conn_events *events,
                                 void *owner)
{
    struct sim_env *e = sim_env_of(env);
    sim_env_check_loop(e, "connect");
    if (events->connected == NULL) {
        sim_env_misuse(e, "connect without connected()");
    }
    struct sim_conn *conn = sim_conn_create(e->network, e->index, address);
    struct sim_end *end = &conn->end[0];
    end->env = e;
    struct sim_socket *socket = socket_create(end);
    socket->conn.events = events;
    socket->conn.owner = owner;
    world_trace(e->world, "%s c%" PRIu64 " connect %s", e->name, conn->id, address);
    return &socket->conn;
}

static void fire_written(void *owner, void *item, uint64_t tag)
{
    struct sim_end *end = owner;
    (void)item;
    if (tag != end->env->boot || end->socket == NULL) {
        return;
    }
    if (end->out.bytes > end->conn->network->options.window_bytes && !end->has_end) {
        end->waits_for_window = true;
    } else {
        sim_env_deliver(end->env, SIM_DELIVERY_DRAINED, end);
    }
}

/* True if it is one that the real env could not stand, or that has no effect any more. */
static bool is_bad_write(struct sim_end *end)
{
    struct sim_env *e = end->env;
    sim_env_check_loop(e, "conn_write");
    if (e->env.is_halted) {
        return true; /* the real process would have ended before this */
    }
    if (end->is_closed || end->owes_drained || !end->is_connected) {
        sim_env_misuse(e,
                       end->is_closed      ? "conn_write after close"
                       : end->owes_drained ? "conn_write before drained"
                                           : "conn_write before connected");
        return true;
    }
    return false;
}

bool sim_net_write(struct env_conn *port, struct bytes bytes)
{
    struct sim_end *end = end_of(port);
    struct sim_env *e = end->env;
    struct sim_network *n = end->conn->network;
    if (is_bad_write(end)) {
        return true;
    }
    world_trace(e->world,
                "%s c%" PRIu64 " write %zu crc %08" PRIx32,
                e->name,
                end->conn->id,
                bytes.size,
                crc32c(0, bytes.data, bytes.size));
    sim_pipe_send(end, bytes);
    if (bytes.size == 0) {
        return true;
    }
    bool is_full = end->out.bytes > n->options.window_bytes;
    if (!is_full && !prng_chance(&e->prng, n->options.short_write_per_mille)) {
        return true;
    }
    end->owes_drained = true;
    uint64_t most_us =
        prng_chance(&e->prng, n->options.slow_write_per_mille) ? 500 * MS_US : 5 * MS_US;
    world_schedule(e->world, prng_between(&e->prng, 10, most_us), fire_written, end, NULL, e->boot);
    return false;
}

void sim_net_pause(struct env_conn *port)
{
    sim_env_check_loop(end_of(port)->env, "conn_pause");
    end_of(port)->is_paused = true;
}

void sim_net_resume(struct env_conn *port)
{
    struct sim_end *end = end_of(port);
    sim_env_check_loop(end->env, "conn_resume");
    end->is_paused = false;
    read_if_due(end);
}

static void discard_received(struct sim_end *end)
{
    sim_pipe_consumed(sim_end_other(end), end->received.size);
    buf_clear(&end->received, 0);
}

void sim_net_close(struct env_conn *port)
{
    struct sim_end *end = end_of(port);
    sim_env_check_loop(end->env, "conn_close");
    if (end->is_closed) {
        return;
    }
    end->is_closed = true;
    end->waits_for_window = false;
    discard_received(end);
    sim_pipe_end(end);
    sim_env_deliver(end->env, SIM_DELIVERY_CLOSED, end);
}

/* ---- the end of the process ------------------------------------------------------------------ */

static void fire_keepalive(void *owner, void *item, uint64_t tag)
{
    (void)item;
    (void)tag;
    sim_end_break(owner);
}

/* Nobody tells the other end; in the end its machine asks, and finds out. */
static void schedule_keepalive(struct sim_end *end)
{
    struct sim_network *n = end->conn->network;
    uint64_t most_us = end->env != NULL ? NODE_KEEPALIVE_US_MAX : CLIENT_KEEPALIVE_US_MAX;
    uint64_t delay_us = prng_between(&n->prng, most_us / 4, most_us);
    world_schedule(n->world, delay_us, fire_keepalive, end, NULL, 0);
}

static void end_crash(struct sim_end *end, enum sim_crash kind)
{
    mem_free(end->socket);
    end->socket = NULL;
    end->waits_for_window = false;
    discard_received(end);
    end->is_gone = true;
    end->is_silent =
        kind == SIM_CRASH_POWER_LOSS && prng_chance(&end->conn->network->prng, SILENT_PER_MILLE);
    sim_pipe_lose(end);
    if (end->is_silent) {
        end->out.is_ended = false; /* if it is asked for once it is up again, it refuses */
        schedule_keepalive(sim_end_other(end));
    } else {
        sim_pipe_end(end);
    }
}

void sim_net_crash(struct sim_env *e, enum sim_crash kind)
{
    for (unsigned port = 0; port < SIM_PORT_COUNT; port++) {
        e->listeners[port] = NULL;
    }
    list_each(l, &e->network->conns) {
        struct sim_conn *conn = sim_conn_of(l);
        for (unsigned i = 0; i < 2; i++) {
            if (conn->end[i].env == e && !conn->end[i].is_gone) {
                end_crash(&conn->end[i], kind);
            }
        }
    }
}

size_t sim_env_open_conns(const struct sim_env *e)
{
    size_t count = 0;
    list_each(l, &e->network->conns) {
        const struct sim_conn *conn = sim_conn_of(l);
        const struct sim_end *end = &conn->end[1];
        bool is_open = end->env == e && end->socket != NULL && !end->is_closed;
        count += is_open && conn->port == SIM_PORT_CLIENT ? 1 : 0;
    }
    return count;
}
