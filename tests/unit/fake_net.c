#include "fake_net.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "fake_env.h"

#define IN_FLIGHT_BYTES_MAX ((size_t)1024u * 1024u * 1024u)

struct fake_listener {
    struct env *env;
    struct env_listener *port;
    char address[FAKE_PATH_BYTES];
    struct list link;
};

struct fake_conn {
    struct env_conn port; /* first */
    struct fake_net *net;
    struct fake_conn *other;       /* NULL: not connected yet, or its end is coming */
    char address[FAKE_PATH_BYTES]; /* that it dials */
    struct buf in;                 /* in flight to this end */
    bool is_connecting;
    bool is_paused;
    bool owes_drained;
    bool has_ended; /* ended() was called */
    bool is_mute;   /* the other side vanished */
    bool is_closing;
    struct list link;
};

static struct fake_conn *conn_of(struct env_conn *port)
{
    return (struct fake_conn *)(void *)port;
}

static struct fake_env *fake_of(struct env *env)
{
    return container_of(env, struct fake_env, base);
}

void fake_net_init(struct fake_net *net)
{
    *net = (struct fake_net){.piece_bytes = SIZE_MAX, .socket_bytes = 65536};
    list_init(&net->listeners);
    list_init(&net->conns);
}

void fake_net_deinit(struct fake_net *net)
{
    ensure(list_is_empty(&net->listeners));
    ensure(list_is_empty(&net->conns));
}

/* ---- operations ------------------------------------------------------------------------------ */

static struct fake_listener *find_listener(struct fake_net *net, const char *address)
{
    list_each(item, &net->listeners) {
        struct fake_listener *l = container_of(item, struct fake_listener, link);
        if (strcmp(l->address, address) == 0) {
            return l;
        }
    }
    return NULL;
}

enum status fake_net_listen(struct env *env,
                            const char *address,
                            struct env_listener *listener,
                            struct error *error)
{
    struct fake_net *net = fake_of(env)->net;
    ensure(net != NULL);
    if (find_listener(net, address) != NULL) {
        return error_set(error, STATUS_BUSY, "listen %s: address already in use", address);
    }
    struct fake_listener *l = mem_alloc_zero(sizeof *l);
    l->env = env;
    l->port = listener;
    (void)snprintf(l->address, sizeof l->address, "%s", address);
    list_append(&net->listeners, &l->link);
    return STATUS_OK;
}

static struct fake_conn *conn_create(struct env *env)
{
    struct fake_conn *c = mem_alloc_zero(sizeof *c);
    c->port.env = env;
    c->net = fake_of(env)->net;
    ensure(c->net != NULL);
    buf_init(&c->in, IN_FLIGHT_BYTES_MAX);
    list_append(&c->net->conns, &c->link);
    return c;
}

static void conn_destroy(struct fake_conn *c)
{
    if (c->other != NULL) {
        c->other->other = NULL;
    }
    list_remove(&c->link);
    buf_deinit(&c->in);
    mem_free(c);
}

struct env_conn *fake_net_connect(struct env *env,
                                  const char *address,
                                  const struct env_conn_events *events,
                                  void *owner)
{
    struct fake_conn *c = conn_create(env);
    c->net->connects++;
    c->port.events = events;
    c->port.owner = owner;
    c->is_connecting = true;
    (void)snprintf(c->address, sizeof c->address, "%s", address);
    return &c->port;
}

bool fake_net_write(struct env_conn *port, struct bytes bytes)
{
    struct fake_conn *c = conn_of(port);
    ensure(!c->is_closing && !c->is_connecting && !c->owes_drained);
    if (c->other == NULL || c->other->is_closing) {
        return true;
    }
    buf_append_bytes(&c->other->in, bytes);
    c->owes_drained = c->other->in.size > c->net->socket_bytes;
    return !c->owes_drained;
}

void fake_net_pause(struct env_conn *port)
{
    conn_of(port)->is_paused = true;
}

void fake_net_resume(struct env_conn *port)
{
    conn_of(port)->is_paused = false;
}

void fake_net_close(struct env_conn *port)
{
    struct fake_conn *c = conn_of(port);
    c->is_closing = true;
    buf_clear(&c->in, 0);
}

/* ---- events ---------------------------------------------------------------------------------- */

/* Accepted on the other side first, as a kernel does. */
static void finish_connect(struct fake_conn *c)
{
    c->is_connecting = false;
    struct fake_listener *l = find_listener(c->net, c->address);
    if (l == NULL) {
        c->has_ended = true;
        c->port.events->ended(&c->port);
        return;
    }
    struct fake_conn *accepted = conn_create(l->env);
    accepted->other = c;
    c->other = accepted;
    l->port->accepted(l->port, &accepted->port, "fake:1");
    ensure(accepted->port.events != NULL);
    if (!c->is_closing) {
        c->port.events->connected(&c->port);
    }
}

static void deliver(struct fake_conn *c)
{
    size_t size = c->in.size < c->net->piece_bytes ? c->in.size : c->net->piece_bytes;
    /* A copy of this size, so that AddressSanitizer sees who reads beyond or afterwards. */
    uint8_t *piece = mem_alloc(size);
    memcpy(piece, c->in.data, size);
    buf_drop_front(&c->in, size);
    if (c->net->tap != NULL) {
        c->net->tap(c->net->tap_owner, &c->port, piece, size);
    }
    c->port.events->read(&c->port, bytes_of(piece, size));
    mem_free(piece);
}

static bool is_isolated(const struct fake_conn *c)
{
    const struct fake_env *there = NULL;
    if (c->other != NULL) {
        there = fake_of(c->other->port.env);
    } else if (c->is_connecting) {
        struct fake_listener *l = find_listener(c->net, c->address);
        there = l != NULL ? fake_of(l->env) : NULL;
    }
    return fake_of(c->port.env)->is_isolated || (there != NULL && there->is_isolated);
}

/* One event of this connection, if there is one. The connection may be gone afterwards. */
static bool conn_step(struct fake_conn *c)
{
    if (c->is_closing) {
        c->port.events->closed(&c->port);
        conn_destroy(c);
        return true;
    }
    if (is_isolated(c)) {
        return false;
    }
    if (c->is_connecting) {
        finish_connect(c);
        return true;
    }
    if (!c->is_paused && c->in.size > 0) {
        deliver(c);
        return true;
    }
    bool is_out_empty = c->other == NULL || c->other->is_closing || c->other->in.size == 0;
    if (c->owes_drained && is_out_empty) {
        c->owes_drained = false;
        c->port.events->drained(&c->port);
        return true;
    }
    if (!c->is_paused && c->other == NULL && !c->has_ended && !c->is_mute) {
        c->has_ended = true;
        c->port.events->ended(&c->port);
        return true;
    }
    return false;
}

/* The connection that moved goes to the end of the list, so that all have their turn. */
bool fake_net_step(struct fake_net *net)
{
    list_each(item, &net->conns) {
        struct fake_conn *c = container_of(item, struct fake_conn, link);
        struct env *env = c->port.env;
        bool is_last = c->is_closing;
        if (conn_step(c)) {
            if (!is_last) {
                list_remove(&c->link);
                list_append(&net->conns, &c->link);
            }
            if (env->turn != NULL) {
                env->turn(env->turn_owner);
            }
            return true;
        }
    }
    return false;
}

void fake_net_run(struct fake_net *net, unsigned steps_max)
{
    for (unsigned i = 0; fake_net_step(net); i++) {
        ensure(i < steps_max);
    }
}

void fake_net_cut(struct fake_net *net, const struct fake_env *a, const struct fake_env *b)
{
    list_each(item, &net->conns) {
        struct fake_conn *c = container_of(item, struct fake_conn, link);
        if (c->other != NULL && c->port.env == &a->base && c->other->port.env == &b->base) {
            buf_clear(&c->in, 0);
            buf_clear(&c->other->in, 0);
            c->other->other = NULL;
            c->other = NULL;
        }
    }
}

void fake_net_drop(struct fake_net *net, const struct fake_env *f)
{
    for (struct list *item = net->conns.next, *next; item != &net->conns; item = next) {
        next = item->next;
        struct fake_conn *c = container_of(item, struct fake_conn, link);
        if (c->port.env == &f->base) {
            conn_destroy(c);
        }
    }
    for (struct list *item = net->listeners.next, *next; item != &net->listeners; item = next) {
        next = item->next;
        struct fake_listener *l = container_of(item, struct fake_listener, link);
        if (l->env == &f->base) {
            list_remove(&l->link);
            mem_free(l);
        }
    }
}

void fake_net_vanish(struct fake_net *net, const struct fake_env *f)
{
    list_each(item, &net->conns) {
        struct fake_conn *c = container_of(item, struct fake_conn, link);
        if (c->port.env == &f->base && c->other != NULL) {
            c->other->is_mute = true;
        }
    }
    fake_net_drop(net, f);
}

size_t fake_net_count(const struct fake_net *net, const struct fake_env *f)
{
    size_t count = 0;
    list_each(item, &net->conns) {
        const struct fake_conn *c = container_of(item, struct fake_conn, link);
        count += c->port.env == &f->base;
    }
    return count;
}
