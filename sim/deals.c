#include "sim/deals.h"

#include "base/assert.h"
#include "base/mem.h"
#include "sim/dealer.h"

#define RECONNECT_US_MAX (100 * MS_US)
#define INPUT_BYTES_MAX (16u * MIB)
#define PURPOSE_DEALERS 3000000u

static void dealer_act(struct dealer *c);

/* ---- one client ------------------------------------------------------------------------------ */

static void fire_act(void *owner, void *item, uint64_t tag)
{
    struct dealer *c = owner;
    (void)item;
    if (tag == c->life && c->is_active) {
        dealer_act(c);
    }
}

void dealer_act_later(struct dealer *c, uint64_t us)
{
    world_schedule(c->deals->world, us, fire_act, c, NULL, c->life);
}

static size_t awaited(const struct dealer *c)
{
    return c->direct.count - c->direct.first;
}

static void dealer_close(struct dealer *c)
{
    if (c->conn != NULL) {
        sim_conn_hangup(c->conn);
        c->conn = NULL;
    }
    c->life++;
    c->is_active = false;
    world_trace(c->deals->world, "dealer %u is finished", c->index);
}

/* What was not answered stays unknown; what is watched is not any more. */
static void dealer_lost(struct dealer *c)
{
    c->conn = NULL;
    c->life++;
    c->batch++;
    c->deals->workload->unknown += awaited(c);
    c->direct = (struct items){0};
    c->round = 0;
    buf_clear(&c->input, 0);
    dealer_act_later(c, prng_between(&c->prng, 1, RECONNECT_US_MAX));
}

static void fire_timeout(void *owner, void *item, uint64_t tag)
{
    struct dealer *c = owner;
    (void)item;
    bool is_patient = c->is_final || c->deals->workload->options.timeout_us == 0;
    if (tag == c->batch && c->conn != NULL && awaited(c) > 0 && !is_patient) {
        world_trace(c->deals->world, "dealer %u hangs up after a timeout", c->index);
        sim_conn_hangup(c->conn);
        dealer_lost(c);
    }
}

/* The final reader has read what it asked for. */
static void final_goes_on(struct dealer *c)
{
    uint32_t keys = c->deals->history.key_count;
    uint32_t count = c->direct.items[0].kind == ITEM_MGET ? c->direct.items[0].count : 1;
    c->final_next += c->has_trouble ? 0 : count;
    ensure(c->final_next <= keys + 1);
}

static void on_read(void *owner, struct bytes bytes)
{
    struct dealer *c = owner;
    buf_append_bytes(&c->input, bytes);
    size_t before = awaited(c);
    deal_take_replies(c);
    if (before == 0 || awaited(c) > 0 || c->deals->world->is_failed) {
        return;
    }
    c->batch++;
    c->round++;
    if (c->is_final) {
        final_goes_on(c);
    }
    if (c->deals->workload->is_draining && !c->is_final) {
        dealer_close(c);
    } else {
        dealer_act_later(c, c->is_final ? 1 : deal_pause_us(c));
    }
}

static void on_connected(void *owner)
{
    struct dealer *c = owner;
    c->is_connected = true;
    dealer_act(c);
}

static void on_ended(void *owner)
{
    struct dealer *c = owner;
    world_trace(c->deals->world,
                "dealer %u lost its connection with %zu unanswered",
                c->index,
                awaited(c));
    dealer_lost(c);
}

static const struct sim_client_events dealer_events = {
    .connected = on_connected,
    .read = on_read,
    .ended = on_ended,
};

static void dealer_connect(struct dealer *c)
{
    struct sim_network *n = c->deals->network;
    bool is_fixed = c->is_final || c->deals->workload->options.is_pinned;
    if (!is_fixed || n->machines[c->node]->has_refused) {
        c->node = (unsigned)prng_below(&c->prng, n->machine_count);
    }
    c->is_connected = false;
    c->round = 0;
    unsigned host = sim_host_of_client(c->deals->workload->client_count + c->index);
    const char *address = n->machines[c->node]->addresses[SIM_PORT_CLIENT];
    c->conn = sim_connect(n, host, address, &dealer_events, c);
}

static void dealer_send(struct dealer *c, const struct buf *out)
{
    struct deals *d = c->deals;
    uint64_t timeout_us = d->workload->options.timeout_us;
    c->batch++;
    c->sent_us = d->world->now_us;
    c->sent_boot = d->network->machines[c->node]->boot;
    sim_conn_send(c->conn, buf_bytes(out));
    if (timeout_us > 0) {
        world_schedule(d->world, timeout_us, fire_timeout, c, NULL, c->batch);
    }
    if (c->group_count > 1 && d->sent != NULL) {
        d->sent(d->owner, c->node, c->groups, c->group_count);
    }
}

static void dealer_act(struct dealer *c)
{
    struct deals *d = c->deals;
    if (d->workload->is_draining && !c->is_final && awaited(c) == 0) {
        dealer_close(c);
        return;
    }
    if (c->conn == NULL) {
        dealer_connect(c);
    }
    if (!c->is_connected || d->world->is_failed || awaited(c) > 0) {
        return; /* on_connected or on_read goes on */
    }
    struct buf out;
    buf_init(&out, INPUT_BYTES_MAX);
    c->direct = (struct items){0};
    deal_ask(c, &out);
    if (out.size > 0) {
        dealer_send(c, &out);
    } else {
        dealer_close(c);
    }
    buf_deinit(&out);
}

/* ---- all clients ----------------------------------------------------------------------------- */

void deals_init(struct deals *d, struct workload *workload, const struct deals_options *options)
{
    *d = (struct deals){
        .world = workload->world,
        .network = workload->network,
        .workload = workload,
        .options = *options,
        .token_since_us = UINT64_MAX,
        .value_next = 1,
    };
    append_init(&d->history);
    if (options->clients == 0) {
        return;
    }
    ensure(options->clients <= DEALS_CLIENTS_MAX && options->lists <= DEALS_LISTS_MAX);
    for (unsigned i = 0; i < options->lists; i++) {
        d->lists[i] = append_add_key(&d->history);
    }
    d->dealer_count = options->clients + 1;
    ensure(workload->client_count + d->dealer_count <= SIM_CLIENTS_MAX);
    d->dealers = mem_alloc_zero(d->dealer_count * sizeof d->dealers[0]);
    for (unsigned i = 0; i < d->dealer_count; i++) {
        struct dealer *c = &d->dealers[i];
        c->deals = d;
        c->index = i;
        c->is_final = i + 1 == d->dealer_count;
        c->node = i % d->network->machine_count;
        c->prng = world_prng(d->world, PURPOSE_DEALERS + (uint64_t)i);
        buf_init(&c->input, INPUT_BYTES_MAX);
    }
}

void deals_deinit(struct deals *d)
{
    for (unsigned i = 0; i < d->dealer_count; i++) {
        buf_deinit(&d->dealers[i].input);
    }
    mem_free(d->dealers);
    append_deinit(&d->history);
    *d = (struct deals){0};
}

void deals_start(struct deals *d)
{
    for (unsigned i = 0; i + 1 < d->dealer_count; i++) {
        struct dealer *c = &d->dealers[i];
        c->is_active = true;
        dealer_act_later(c, prng_between(&c->prng, 1, d->options.think_us_max));
    }
}

bool deals_is_idle(const struct deals *d)
{
    for (unsigned i = 0; i < d->dealer_count; i++) {
        if (d->dealers[i].is_active) {
            return false;
        }
    }
    return true;
}

uint64_t deals_waits_since(const struct deals *d)
{
    uint64_t since_us = UINT64_MAX;
    for (unsigned i = 0; i < d->dealer_count; i++) {
        const struct dealer *c = &d->dealers[i];
        bool is_heard = c->conn != NULL && c->sent_boot == d->network->machines[c->node]->boot;
        if (is_heard && awaited(c) > 0 && c->sent_us < since_us) {
            since_us = c->sent_us;
        }
    }
    return since_us;
}

void deals_read_all(struct deals *d, unsigned node)
{
    if (d->dealer_count == 0) {
        return;
    }
    struct dealer *reader = &d->dealers[d->dealer_count - 1];
    ensure(!reader->is_active);
    reader->is_active = true;
    reader->node = node;
    reader->final_next = 0;
    dealer_act(reader);
}

void deals_check(struct deals *d, struct buf *out_report)
{
    if (!append_check(&d->history, out_report)) {
        world_fail(d->world, "transactions: %s", d->history.failure);
    }
}
