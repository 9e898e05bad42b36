/*
 * Byte streams between simulated clients and the node: chunks with random latency, split and merged
 * at random, in order per direction. Cutting a connection loses some of the bytes in flight.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/crc.h"
#include "base/limits.h"
#include "base/mem.h"
#include "sim/sim_parts.h"

#define RECEIVE_BYTES_MAX (256u * MIB)
#define TINY_CHUNKS_MAX 40u

struct sim_chunk {
    struct list link;
    bool is_end; /* of the stream */
    size_t size;
    uint8_t data[];
};

struct sim_pipe {
    struct list chunks; /* in flight */
    uint64_t last_at_us;
    bool is_cut; /* takes no more bytes */
};

/* The node's end; its memory ends with closed(), so that a later use is noticed. */
struct sim_socket {
    struct env_conn conn; /* first */
    struct sim_conn *owner;
};

struct sim_conn {
    struct list link;
    struct sim_env *env;
    uint64_t id;
    const struct sim_client_events *events; /* NULL: the client's end is closed */
    void *owner;
    struct sim_pipe to_node;
    struct sim_pipe to_client;
    bool is_established;       /* the node's machine answered */
    bool is_dead;              /* the node that it led to is gone */
    struct sim_socket *socket; /* from accepted() to closed() */
    struct buf received;       /* arrived, not read by the node */
    bool has_end;
    bool is_end_told;
    bool is_read_due;
    bool is_paused;
    bool is_closed;
    bool owes_drained;
};

static struct sim_conn *conn_of(struct list *link)
{
    return container_of(link, struct sim_conn, link);
}

static struct sim_chunk *chunk_of(struct list *link)
{
    return container_of(link, struct sim_chunk, link);
}

static struct sim_conn *port_conn(struct env_conn *port)
{
    return ((struct sim_socket *)port)->owner;
}

/* ---- pipes ----------------------------------------------------------------------------------- */

static void fire_arrival(void *owner, void *item, uint64_t tag);

static uint64_t latency_us(struct sim_env *e)
{
    uint64_t us = prng_between(&e->prng, 10, e->options.latency_us_max);
    if (e->world->now_us < e->clogged_until_us) {
        us += prng_between(&e->prng, 50 * MS_US, 1000 * MS_US);
    }
    return us;
}

/* Later than everything sent before. */
static uint64_t arrival_delay_us(struct sim_env *e, struct sim_pipe *pipe)
{
    uint64_t at_us = e->world->now_us + latency_us(e);
    pipe->last_at_us = at_us > pipe->last_at_us ? at_us : pipe->last_at_us;
    return pipe->last_at_us - e->world->now_us;
}

static void pipe_put(struct sim_conn *conn, struct sim_pipe *pipe, struct bytes bytes, bool is_end)
{
    struct sim_chunk *chunk = mem_alloc(sizeof *chunk + bytes.size);
    *chunk = (struct sim_chunk){.is_end = is_end, .size = bytes.size};
    if (bytes.size > 0) {
        memcpy(chunk->data, bytes.data, bytes.size);
    }
    list_append(&pipe->chunks, &chunk->link);
    struct sim_env *e = conn->env;
    world_schedule(e->world, arrival_delay_us(e, pipe), fire_arrival, conn, pipe, 0);
}

/* Splits the bytes at random: mostly few pieces, sometimes many tiny ones. */
static void pipe_send(struct sim_conn *conn, struct sim_pipe *pipe, struct bytes bytes)
{
    struct prng *p = &conn->env->prng;
    bool is_tiny = prng_chance(p, conn->env->options.tiny_chunk_per_mille);
    size_t pieces = is_tiny ? TINY_CHUNKS_MAX : (size_t)prng_between(p, 1, 3);
    size_t at = 0;
    while (at < bytes.size && !pipe->is_cut) {
        size_t left = bytes.size - at;
        size_t most = is_tiny && left > 16 ? 16 : left;
        size_t size = pieces-- > 1 ? (size_t)prng_between(p, 1, most) : left;
        pipe_put(conn, pipe, bytes_of(bytes.data + at, size), false);
        at += size;
    }
}

static void pipe_drop(struct sim_pipe *pipe, size_t keep)
{
    size_t i = 0;
    for (struct list *l = pipe->chunks.next; l != &pipe->chunks;) {
        struct sim_chunk *chunk = chunk_of(l);
        l = l->next;
        if (i++ >= keep) {
            list_remove(&chunk->link);
            mem_free(chunk);
        }
    }
}

static void pipe_end(struct sim_conn *conn, struct sim_pipe *pipe)
{
    if (!pipe->is_cut) {
        pipe_put(conn, pipe, bytes_of(NULL, 0), true);
        pipe->is_cut = true;
    }
}

/* Loses a random rest of what is in flight; the receiver sees the end after what is left. */
static void pipe_break(struct sim_conn *conn, struct sim_pipe *pipe)
{
    struct prng *p = &conn->env->prng;
    size_t count = 0;
    list_each(l, &pipe->chunks) {
        count++;
    }
    if (prng_chance(p, 600)) {
        pipe_drop(pipe, (size_t)prng_below(p, count + 1));
    }
    pipe->is_cut = false;
    pipe_end(conn, pipe);
}

/* ---- the node's end -------------------------------------------------------------------------- */

static void read_if_due(struct sim_conn *conn)
{
    bool has_news = conn->received.size > 0 || (conn->has_end && !conn->is_end_told);
    if (conn->socket == NULL || conn->is_closed || conn->is_paused || conn->is_read_due ||
        !has_news) {
        return;
    }
    conn->is_read_due = true;
    sim_env_deliver(conn->env, SIM_DELIVERY_READ, conn);
}

static void node_receives(struct sim_conn *conn, const struct sim_chunk *chunk)
{
    if (conn->is_dead || conn->is_closed) {
        return;
    }
    if (chunk->is_end) {
        conn->has_end = true;
    } else {
        buf_append(&conn->received, chunk->data, chunk->size);
    }
    read_if_due(conn);
}

static void fire_accept(struct sim_conn *conn)
{
    struct sim_env *e = conn->env;
    char peer[SIM_NAME_BYTES * 2];
    (void)snprintf(peer, sizeof peer, "client:%" PRIu64, conn->id);
    struct sim_socket *socket = mem_alloc_zero(sizeof *socket);
    socket->conn.env = &e->env;
    socket->owner = conn;
    conn->socket = socket;
    world_trace(e->world, "%s c%" PRIu64 " accept", e->name, conn->id);
    e->listener->accepted(e->listener, &socket->conn, peer);
    if (!conn->is_closed && !e->env.is_halted && socket->conn.events == NULL) {
        sim_env_misuse(e, "accepted() set no events");
        return;
    }
    read_if_due(conn);
}

/* A part of what has arrived, in memory of its own, so that a later use of it is noticed. */
static void give_bytes(struct sim_conn *conn)
{
    struct sim_env *e = conn->env;
    size_t size = conn->received.size;
    if (prng_chance(&e->prng, 300)) {
        size = (size_t)prng_between(&e->prng, 1, size);
    }
    uint8_t *data = mem_alloc(size);
    memcpy(data, conn->received.data, size);
    buf_drop_front(&conn->received, size);
    world_trace(e->world,
                "%s c%" PRIu64 " read %zu crc %08" PRIx32,
                e->name,
                conn->id,
                size,
                crc32c(0, data, size));
    conn->socket->conn.events->read(&conn->socket->conn, bytes_of(data, size));
    mem_free(data);
}

static void fire_read(struct sim_conn *conn)
{
    conn->is_read_due = false;
    if (conn->is_closed || conn->is_paused) {
        return;
    }
    if (conn->received.size > 0) {
        give_bytes(conn);
    } else if (conn->has_end && !conn->is_end_told) {
        conn->is_end_told = true;
        world_trace(conn->env->world, "%s c%" PRIu64 " ended", conn->env->name, conn->id);
        conn->socket->conn.events->ended(&conn->socket->conn);
    }
    read_if_due(conn);
}

static void fire_closed(struct sim_conn *conn)
{
    world_trace(conn->env->world, "%s c%" PRIu64 " closed", conn->env->name, conn->id);
    if (conn->socket->conn.events != NULL) {
        conn->socket->conn.events->closed(&conn->socket->conn);
    }
    mem_free(conn->socket);
    conn->socket = NULL;
}

void sim_net_fire(struct sim_conn *conn, enum sim_delivery_kind kind)
{
    switch (kind) {
    case SIM_DELIVERY_ACCEPT:
        fire_accept(conn);
        return;
    case SIM_DELIVERY_READ:
        fire_read(conn);
        return;
    case SIM_DELIVERY_DRAINED:
        conn->owes_drained = false;
        if (!conn->is_closed) {
            world_trace(conn->env->world, "%s c%" PRIu64 " drained", conn->env->name, conn->id);
            conn->socket->conn.events->drained(&conn->socket->conn);
        }
        return;
    case SIM_DELIVERY_CLOSED:
        fire_closed(conn);
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
    if (strcmp(address, e->listen) != 0) {
        return error_set(error, STATUS_INVALID, "%s: not an address of this machine", address);
    }
    e->listener = listener;
    return STATUS_OK;
}

static void fire_drained(void *owner, void *item, uint64_t tag)
{
    struct sim_conn *conn = owner;
    (void)item;
    if (tag == conn->env->boot && conn->socket != NULL) {
        sim_env_deliver(conn->env, SIM_DELIVERY_DRAINED, conn);
    }
}

bool sim_net_write(struct env_conn *port, struct bytes bytes)
{
    struct sim_conn *conn = port_conn(port);
    struct sim_env *e = conn->env;
    sim_env_check_loop(e, "conn_write");
    if (e->env.is_halted) {
        return true; /* the real process would have ended before this */
    }
    if (conn->is_closed || conn->owes_drained) {
        sim_env_misuse(e, conn->is_closed ? "conn_write after close" : "conn_write before drained");
        return true;
    }
    world_trace(e->world,
                "%s c%" PRIu64 " write %zu crc %08" PRIx32,
                e->name,
                conn->id,
                bytes.size,
                crc32c(0, bytes.data, bytes.size));
    pipe_send(conn, &conn->to_client, bytes);
    if (bytes.size == 0 || !prng_chance(&e->prng, e->options.short_write_per_mille)) {
        return true;
    }
    conn->owes_drained = true;
    uint64_t most_us = prng_chance(&e->prng, 50) ? 500 * MS_US : 5 * MS_US;
    world_schedule(e->world,
                   prng_between(&e->prng, 10, most_us),
                   fire_drained,
                   conn,
                   NULL,
                   e->boot);
    return false;
}

void sim_net_pause(struct env_conn *port)
{
    sim_env_check_loop(port_conn(port)->env, "conn_pause");
    port_conn(port)->is_paused = true;
}

void sim_net_resume(struct env_conn *port)
{
    struct sim_conn *conn = port_conn(port);
    sim_env_check_loop(conn->env, "conn_resume");
    conn->is_paused = false;
    read_if_due(conn);
}

void sim_net_close(struct env_conn *port)
{
    struct sim_conn *conn = port_conn(port);
    sim_env_check_loop(conn->env, "conn_close");
    if (conn->is_closed) {
        return;
    }
    conn->is_closed = true;
    buf_clear(&conn->received, 0);
    pipe_end(conn, &conn->to_client);
    sim_env_deliver(conn->env, SIM_DELIVERY_CLOSED, conn);
}

/* ---- the client's end ------------------------------------------------------------------------ */

static void tell_end(struct sim_conn *conn)
{
    const struct sim_client_events *events = conn->events;
    conn->events = NULL;
    if (events != NULL) {
        events->ended(conn->owner);
    }
}

static void fire_arrival(void *owner, void *item, uint64_t tag)
{
    struct sim_conn *conn = owner;
    struct sim_pipe *pipe = item;
    (void)tag;
    struct list *first = list_take_first(&pipe->chunks);
    if (first == NULL) {
        return; /* lost on the way */
    }
    struct sim_chunk *chunk = chunk_of(first);
    if (pipe == &conn->to_node) {
        node_receives(conn, chunk);
    } else if (chunk->is_end) {
        tell_end(conn);
    } else if (conn->events != NULL) {
        conn->events->read(conn->owner, bytes_of(chunk->data, chunk->size));
    }
    mem_free(chunk);
}

static void fire_connected(void *owner, void *item, uint64_t tag)
{
    struct sim_conn *conn = owner;
    (void)item;
    (void)tag;
    if (conn->events != NULL) {
        conn->events->connected(conn->owner);
    }
}

static void fire_knock(void *owner, void *item, uint64_t tag)
{
    struct sim_conn *conn = owner;
    struct sim_env *e = conn->env;
    (void)item;
    (void)tag;
    if (!e->is_up || e->listener == NULL) {
        conn->is_dead = true;
        pipe_break(conn, &conn->to_client);
        return;
    }
    conn->is_established = true;
    world_schedule(e->world, arrival_delay_us(e, &conn->to_client), fire_connected, conn, NULL, 0);
    sim_env_deliver(e, SIM_DELIVERY_ACCEPT, conn);
}

struct sim_conn *sim_connect(struct sim_env *e, const struct sim_client_events *events, void *owner)
{
    struct sim_conn *conn = mem_alloc_zero(sizeof *conn);
    conn->env = e;
    conn->id = ++e->conn_count;
    conn->events = events;
    conn->owner = owner;
    buf_init(&conn->received, RECEIVE_BYTES_MAX);
    list_init(&conn->to_node.chunks);
    list_init(&conn->to_client.chunks);
    list_append(&e->conns, &conn->link);
    uint64_t delay_us = arrival_delay_us(e, &conn->to_node);
    world_schedule(e->world, delay_us, fire_knock, conn, NULL, 0);
    return conn;
}

void sim_conn_send(struct sim_conn *conn, struct bytes bytes)
{
    ensure(conn->events != NULL);
    pipe_send(conn, &conn->to_node, bytes);
}

void sim_conn_hangup(struct sim_conn *conn)
{
    conn->events = NULL;
    pipe_end(conn, &conn->to_node);
}

/* ---- faults and ends ------------------------------------------------------------------------- */

bool sim_env_break_one(struct sim_env *e)
{
    struct sim_conn *picked = NULL;
    uint64_t seen = 0;
    list_each(l, &e->conns) {
        struct sim_conn *conn = conn_of(l);
        if (conn->is_established && !conn->is_dead && conn->events != NULL &&
            !conn->to_node.is_cut && prng_below(&e->prng, ++seen) == 0) {
            picked = conn;
        }
    }
    if (picked == NULL) {
        return false;
    }
    world_fault(e->world, SIM_FAULT_BREAK);
    world_trace(e->world, "%s c%" PRIu64 " breaks", e->name, picked->id);
    pipe_break(picked, &picked->to_node);
    pipe_break(picked, &picked->to_client);
    return true;
}

void sim_net_crash(struct sim_env *e)
{
    list_each(l, &e->conns) {
        struct sim_conn *conn = conn_of(l);
        mem_free(conn->socket);
        conn->socket = NULL;
        buf_clear(&conn->received, 0);
        if (conn->is_established && !conn->is_dead) {
            conn->is_dead = true;
            pipe_drop(&conn->to_node, 0);
            conn->to_node.is_cut = true;
            pipe_break(conn, &conn->to_client);
        }
    }
}

void sim_net_deinit(struct sim_env *e)
{
    for (struct list *l = list_take_first(&e->conns); l != NULL; l = list_take_first(&e->conns)) {
        struct sim_conn *conn = conn_of(l);
        pipe_drop(&conn->to_node, 0);
        pipe_drop(&conn->to_client, 0);
        buf_deinit(&conn->received);
        mem_free(conn->socket);
        mem_free(conn);
    }
}

size_t sim_env_open_conns(const struct sim_env *e)
{
    size_t count = 0;
    list_each(l, &e->conns) {
        count += conn_of(l)->socket != NULL && !conn_of(l)->is_closed ? 1 : 0;
    }
    return count;
}
