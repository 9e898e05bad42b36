#include "sim/workload.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "sim/client.h"

#define RECONNECT_US_MAX (100 * MS_US)
#define INPUT_BYTES_MAX (64u * MIB)
#define ORDER_CLIENTS 2u      /* a writer and a reader */
#define PIPELINER_PATIENCE 8u /* time-outs of others, as it waits for so many replies */
#define PURPOSE_CLIENTS 1000000u

static void client_lost(struct workload_client *c);

/* ---- one client ------------------------------------------------------------------------------ */

static void fire_act(void *owner, void *item, uint64_t tag)
{
    struct workload_client *c = owner;
    bool is_extra =
        item != NULL; /* only on top of a batch in flight, or the client would speed up */
    if (tag == c->life && c->is_active && (!is_extra || c->pending_count > 0)) {
        client_act(c);
    }
}

void client_act_later(struct workload_client *c, uint64_t us_max)
{
    uint64_t delay_us = prng_between(&c->prng, 1, us_max);
    world_schedule(c->workload->world, delay_us, fire_act, c, NULL, c->life);
}

/* More commands before the replies are here. */
static void act_again_soon(struct workload_client *c)
{
    uint64_t delay_us = prng_between(&c->prng, 1, 2 * MS_US);
    world_schedule(c->workload->world, delay_us, fire_act, c, c, c->life);
}

static void fire_timeout(void *owner, void *item, uint64_t tag)
{
    struct workload_client *c = owner;
    (void)item;
    if (tag == c->batch && c->conn != NULL && c->pending_count > 0 &&
        c->role != CLIENT_FINAL_READER && c->workload->options.timeout_us > 0) {
        world_trace(c->workload->world, "client %u hangs up after a timeout", c->index);
        sim_conn_hangup(c->conn);
        client_lost(c);
    }
}

static void client_close(struct workload_client *c)
{
    if (c->conn != NULL) {
        sim_conn_hangup(c->conn);
        c->conn = NULL;
    }
    c->life++;
    c->is_active = false;
    world_trace(c->workload->world, "client %u is finished", c->index);
}

/* What was not answered stays unknown. */
static void client_lost(struct workload_client *c)
{
    struct workload *w = c->workload;
    c->conn = NULL;
    c->life++;
    c->batch++;
    w->unknown += c->pending_count;
    if (c->role == CLIENT_ORDER_WRITER && c->pending_count > 0) {
        order_next_pair(&w->order);
    }
    c->pending_count = 0;
    if (c->role == CLIENT_PIPELINER) {
        pipeline_refresh(c->pipeline);
    }
    buf_clear(&c->input, 0);
    client_act_later(c, RECONNECT_US_MAX);
}

static void on_read(void *owner, struct bytes bytes)
{
    struct workload_client *c = owner;
    buf_append_bytes(&c->input, bytes);
    size_t before = c->pending_count;
    client_take_replies(c);
    if (before == 0 || c->pending_count > 0) {
        return;
    }
    c->batch++;
    if (c->role == CLIENT_FINAL_READER || c->workload->is_draining) {
        client_close(c);
    } else {
        client_act_later(c, c->workload->options.think_us_max);
    }
}

static void on_connected(void *owner)
{
    struct workload_client *c = owner;
    c->is_connected = true;
    client_act(c);
}

static void on_ended(void *owner)
{
    struct workload_client *c = owner;
    world_trace(c->workload->world,
                "client %u lost its connection with %zu unanswered",
                c->index,
                c->pending_count);
    client_lost(c);
}

static const struct sim_client_events client_events = {
    .connected = on_connected,
    .read = on_read,
    .ended = on_ended,
};

/* The same node again, or any; not one that is down for good. */
static void client_connect(struct workload_client *c)
{
    struct sim_network *n = c->workload->network;
    bool is_fixed = c->role == CLIENT_FINAL_READER || c->role == CLIENT_PIPELINER ||
                    c->workload->options.is_pinned;
    if (!is_fixed || n->machines[c->node]->has_refused) {
        c->node = (unsigned)prng_below(&c->prng, n->machine_count);
    }
    c->session = c->workload->session_next++;
    c->is_connected = false;
    c->conn = sim_connect(n,
                          sim_host_of_client(c->index),
                          n->machines[c->node]->addresses[SIM_PORT_CLIENT],
                          &client_events,
                          c);
}

static void client_send(struct workload_client *c, const struct buf *out)
{
    uint64_t timeout_us = c->workload->options.timeout_us;
    c->batch++;
    sim_conn_send(c->conn, buf_bytes(out));
    if (timeout_us > 0) {
        world_schedule(c->workload->world,
                       c->role == CLIENT_PIPELINER ? PIPELINER_PATIENCE * timeout_us : timeout_us,
                       fire_timeout,
                       c,
                       NULL,
                       c->batch);
    }
}

void client_act(struct workload_client *c)
{
    struct workload *w = c->workload;
    bool is_final = c->role == CLIENT_FINAL_READER;
    if (w->is_draining && !is_final && c->pending_count == 0) {
        client_close(c);
        return;
    }
    if (c->conn == NULL) {
        client_connect(c);
    }
    if (!c->is_connected || w->world->is_failed) {
        return; /* on_connected goes on */
    }
    struct buf out;
    buf_init(&out, INPUT_BYTES_MAX);
    client_ask(c, &out);
    if (out.size > 0) {
        client_send(c, &out);
    }
    buf_deinit(&out);
    if (!is_final && !w->is_draining && prng_chance(&c->prng, 150)) {
        act_again_soon(c);
    }
}

/* ---- all clients ----------------------------------------------------------------------------- */

static enum client_role role_of(const struct workload *w, unsigned index)
{
    if (index < w->options.clients) {
        return CLIENT_ORDINARY;
    }
    if (index == w->client_count - 1) {
        return CLIENT_FINAL_READER;
    }
    unsigned order_end = w->options.clients + (w->options.has_order ? ORDER_CLIENTS : 0);
    if (index >= order_end) {
        return CLIENT_PIPELINER;
    }
    return index == w->options.clients ? CLIENT_ORDER_WRITER : CLIENT_ORDER_READER;
}

void workload_init(struct workload *w,
                   struct sim_network *network,
                   const struct workload_options *options)
{
    *w = (struct workload){
        .world = network->world,
        .network = network,
        .options = *options,
        .value_next = 1,
        .no_space_until_us = UINT64_MAX,
    };
    history_init(&w->history, w->world, options->keys, options->expiring_keys);
    order_init(&w->order, w->world);
    w->client_count =
        options->clients + (options->has_order ? ORDER_CLIENTS : 0) + options->pipeliners + 1;
    ensure(w->client_count <= SIM_CLIENTS_MAX);
    w->clients = mem_alloc_zero(w->client_count * sizeof w->clients[0]);
    for (unsigned i = 0; i < w->client_count; i++) {
        struct workload_client *c = &w->clients[i];
        c->workload = w;
        c->index = i;
        c->role = role_of(w, i);
        c->node = c->role == CLIENT_PIPELINER ? 0 : i % network->machine_count;
        if (c->role == CLIENT_PIPELINER) {
            c->pipeline = mem_alloc_zero(sizeof *c->pipeline);
            bool is_first = i == 0 || w->clients[i - 1].pipeline == NULL;
            pipeline_init(c->pipeline, i, is_first);
        }
        c->prng = world_prng(w->world, PURPOSE_CLIENTS + (uint64_t)i);
        buf_init(&c->input, INPUT_BYTES_MAX);
    }
}

void workload_deinit(struct workload *w)
{
    for (unsigned i = 0; i < w->client_count; i++) {
        buf_deinit(&w->clients[i].input);
        mem_free(w->clients[i].pipeline);
    }
    history_deinit(&w->history);
    order_deinit(&w->order);
    mem_free(w->clients);
    *w = (struct workload){0};
}

void workload_start(struct workload *w)
{
    for (unsigned i = 0; i + 1 < w->client_count; i++) {
        w->clients[i].is_active = true;
        client_act_later(&w->clients[i], w->options.think_us_max);
    }
}

void workload_expect_answers(struct workload *w)
{
    w->options.timeout_us = 0;
}

void workload_expect_space(struct workload *w, uint64_t patience_us)
{
    w->no_space_until_us = w->world->now_us + patience_us;
}

void workload_drain(struct workload *w)
{
    w->is_draining = true;
}

void workload_read_all(struct workload *w, unsigned node)
{
    struct workload_client *reader = &w->clients[w->client_count - 1];
    ensure(!reader->is_active);
    reader->is_active = true;
    reader->node = node;
    client_act(reader);
}

bool workload_is_idle(const struct workload *w)
{
    for (unsigned i = 0; i < w->client_count; i++) {
        if (w->clients[i].is_active) {
            return false;
        }
    }
    return true;
}

void workload_check(struct workload *w, struct buf *out_report)
{
    history_check(&w->history, out_report);
    order_check(&w->order);
}
