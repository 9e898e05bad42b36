#include "sim/probe.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "data/slot.h"
#include "protocol/resp_reply.h"
#include "sim/values.h"

#define PURPOSE_PROBE 903u
#define RETRY_US (10 * MS_US)
#define ROUND_GAP_US_MIN (3 * SECOND_US)
#define ROUND_GAP_US_MAX (6 * SECOND_US)
#define DOWN_US_MAX (2 * SECOND_US) /* after the limit */
#define PROBE_CLIENT (SIM_CLIENTS_MAX - 1)
#define INPUT_BYTES_MAX (64u * KIB)
#define KEY_BYTES 24

/* Writes one key of its group until it is told OK, once in a round. */
struct prober {
    struct probe *probe;
    uint32_t group;
    char key[KEY_BYTES];
    struct sim_conn *conn;
    struct buf input;
    uint64_t life; /* older timers are stale */
    bool is_done;
};

static void prober_try(struct prober *b);

static uint32_t group_of_key(const char *key, uint32_t groups)
{
    return 1 + (uint32_t)slot_of_key(bytes_of_text(key)) * groups / SLOT_COUNT;
}

void probe_init(struct probe *p, struct sim_network *network, const struct watch *watch)
{
    *p = (struct probe){.world = network->world, .network = network, .watch = watch};
    p->prng = world_prng(p->world, PURPOSE_PROBE);
}

void probe_deinit(struct probe *p)
{
    for (unsigned i = 0; i < p->prober_count; i++) {
        buf_deinit(&p->probers[i].input);
    }
    mem_free(p->probers);
    *p = (struct probe){0};
}

/* ---- one prober ------------------------------------------------------------------------------ */

static void fire_try(void *owner, void *item, uint64_t tag)
{
    struct prober *b = owner;
    (void)item;
    if (tag == b->life && !b->is_done) {
        prober_try(b);
    }
}

static void try_again(struct prober *b)
{
    b->life++;
    world_schedule(b->probe->world, RETRY_US, fire_try, b, NULL, b->life);
}

static void prober_finish(struct prober *b)
{
    struct probe *p = b->probe;
    uint64_t took_us = p->world->now_us - p->killed_us;
    b->is_done = true;
    b->life++;
    p->longest_us = took_us > p->longest_us ? took_us : p->longest_us;
    world_trace(p->world,
                "group %" PRIu32 " takes writes again after %" PRIu64 " ms",
                b->group,
                took_us / MS_US);
}

static void on_connected(void *owner)
{
    struct prober *b = owner;
    struct buf out;
    buf_init(&out, INPUT_BYTES_MAX);
    buf_append_text(&out, "*3\r\n");
    resp_put_text(&out, "SET");
    resp_put_text(&out, b->key);
    resp_put_text(&out, "x");
    sim_conn_send(b->conn, buf_bytes(&out));
    buf_deinit(&out);
}

static void on_read(void *owner, struct bytes bytes)
{
    struct prober *b = owner;
    buf_append_bytes(&b->input, bytes);
    struct bytes rest = buf_bytes(&b->input);
    struct resp_value value = {0};
    enum status s = resp_value_read(&rest, &value);
    if (s == STATUS_NEED) {
        return;
    }
    bool is_ok = s == STATUS_OK && value.type == RESP_TYPE_SIMPLE;
    if (!is_ok && (s != STATUS_OK || value.type != RESP_TYPE_ERROR)) {
        world_fail(b->probe->world, "a malformed reply to SET %s", b->key);
        return;
    }
    sim_conn_hangup(b->conn);
    b->conn = NULL;
    if (is_ok) {
        prober_finish(b);
    } else {
        try_again(b);
    }
}

static void on_ended(void *owner)
{
    struct prober *b = owner;
    b->conn = NULL;
    try_again(b);
}

static const struct sim_client_events prober_events = {
    .connected = on_connected,
    .read = on_read,
    .ended = on_ended,
};

/* Through any node that is alive. */
static void prober_try(struct prober *b)
{
    struct probe *p = b->probe;
    unsigned count = p->network->machine_count;
    unsigned node = (unsigned)prng_below(&p->prng, count);
    while (p->network->machines[node] == p->victim) {
        node = (node + 1) % count;
    }
    buf_clear(&b->input, 0);
    b->conn = sim_connect(p->network,
                          sim_host_of_client(PROBE_CLIENT),
                          p->network->machines[node]->addresses[SIM_PORT_CLIENT],
                          &prober_events,
                          b);
}

/* ---- rounds ---------------------------------------------------------------------------------- */

static void create_probers(struct probe *p)
{
    uint32_t groups = p->watch->group_count - 1; /* of data: not the metadata group */
    ensure(groups > 0);
    p->prober_count = groups;
    p->probers = mem_alloc_zero(groups * sizeof p->probers[0]);
    for (uint32_t i = 0; i < groups; i++) {
        struct prober *b = &p->probers[i];
        b->probe = p;
        b->group = i + 1;
        buf_init(&b->input, INPUT_BYTES_MAX);
        unsigned number = 0;
        do {
            (void)snprintf(b->key, sizeof b->key, "probe%u", number++);
        } while (group_of_key(b->key, groups) != b->group);
    }
}

static void fire_round(void *owner, void *item, uint64_t tag);

static void schedule_round(struct probe *p)
{
    uint64_t gap_us = prng_between(&p->prng, ROUND_GAP_US_MIN, ROUND_GAP_US_MAX);
    world_schedule(p->world, gap_us, fire_round, p, NULL, 0);
}

static void fire_release(void *owner, void *item, uint64_t tag)
{
    struct probe *p = owner;
    (void)item;
    (void)tag;
    sim_env_release(p->victim);
    p->victim = NULL;
    p->is_round = false;
    p->rounds++;
    schedule_round(p);
}

static void fire_limit(void *owner, void *item, uint64_t tag)
{
    struct probe *p = owner;
    (void)item;
    (void)tag;
    for (unsigned i = 0; i < p->prober_count; i++) {
        if (!p->probers[i].is_done) {
            world_fail(p->world,
                       "group %" PRIu32 " took no write within %" PRIu64 " s of a leader's death",
                       p->probers[i].group,
                       PROBE_LIMIT_US / SECOND_US);
            return;
        }
    }
    world_schedule(p->world, prng_below(&p->prng, DOWN_US_MAX), fire_release, p, NULL, 0);
}

static void fire_round(void *owner, void *item, uint64_t tag)
{
    struct probe *p = owner;
    (void)item;
    (void)tag;
    uint32_t group = (uint32_t)prng_below(&p->prng, p->watch->group_count);
    uint32_t leader = watch_leader(p->watch, group);
    if (!p->is_on) {
        return;
    }
    if (leader == WATCH_NOBODY || !watch_is_led(p->watch)) {
        schedule_round(p);
        return;
    }
    p->is_round = true;
    p->victim = p->network->machines[leader];
    p->killed_us = p->world->now_us;
    p->victim->is_kept_down = true;
    world_fault(p->world, SIM_FAULT_KILL_LEADER);
    sim_env_crash(p->victim, SIM_CRASH_KILL);
    for (unsigned i = 0; i < p->prober_count; i++) {
        p->probers[i].is_done = false;
        prober_try(&p->probers[i]);
    }
    world_schedule(p->world, PROBE_LIMIT_US, fire_limit, p, NULL, 0);
}

void probe_start(struct probe *p)
{
    create_probers(p);
    p->is_on = true;
    schedule_round(p);
}

void probe_stop(struct probe *p)
{
    p->is_on = false;
}

bool probe_is_idle(const struct probe *p)
{
    return !p->is_round;
}
