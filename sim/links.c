#include "sim/links.h"

#include <inttypes.h>
#include <string.h>

#include "base/assert.h"

#define PURPOSE_LINKS 901u
#define SWIZZLE_STEP_US_MAX (700 * MS_US)
#define LOSS_PER_MILLE_MAX 200
#define DELAY_US_MAX (300 * MS_US)
#define ALL_LINKS UINT64_MAX

enum side {
    SIDE_LEFT,
    SIDE_RIGHT,
    SIDE_BOTH, /* sees everybody */
};

void links_init(struct links *l, struct sim_network *network, unsigned client_count)
{
    *l = (struct links){.network = network, .client_count = client_count};
    l->prng = world_prng(network->world, PURPOSE_LINKS);
}

/* ---- partitions ------------------------------------------------------------------------------ */

static void shuffle(struct prng *p, unsigned *items, unsigned count)
{
    for (unsigned i = count; i > 1; i--) {
        unsigned j = (unsigned)prng_below(p, i);
        unsigned kept = items[i - 1];
        items[i - 1] = items[j];
        items[j] = kept;
    }
}

/* So many machines at random go to the right, all others to the left. */
static void draw_right(struct links *l, enum side *sides, unsigned right_count)
{
    unsigned order[SIM_NODES_MAX] = {0};
    unsigned count = l->network->machine_count;
    for (unsigned i = 0; i < count; i++) {
        order[i] = i;
        sides[i] = SIDE_LEFT;
    }
    shuffle(&l->prng, order, count);
    for (unsigned i = 0; i < right_count; i++) {
        sides[order[i]] = SIDE_RIGHT;
    }
}

static void draw_machines(struct links *l,
                          enum links_shape shape,
                          unsigned special,
                          enum side *sides)
{
    unsigned count = l->network->machine_count;
    switch (shape) {
    case LINKS_SPLIT:
    case LINKS_BRIDGE:
        draw_right(l, sides, (unsigned)prng_between(&l->prng, 1, count - 1));
        if (shape == LINKS_BRIDGE) {
            sides[special] = SIDE_BOTH;
        }
        return;
    case LINKS_MINORITY:
        draw_right(l, sides, (unsigned)prng_between(&l->prng, 1, (count - 1) / 2));
        return;
    case LINKS_ISOLATE:
        draw_right(l, sides, 0);
        sides[special] = SIDE_RIGHT;
        return;
    }
}

static void draw_clients(struct links *l, enum side *sides)
{
    bool are_split = prng_chance(&l->prng, 600);
    for (unsigned i = 0; i < l->client_count; i++) {
        bool is_left = prng_chance(&l->prng, 500);
        sides[sim_host_of_client(i)] = !are_split ? SIDE_BOTH : is_left ? SIDE_LEFT : SIDE_RIGHT;
    }
}

static void cut(struct links *l, unsigned from, unsigned to)
{
    l->is_cut[from][to] = true;
    sim_network_cut(l->network, from, to);
}

static void uncut(struct links *l, unsigned from, unsigned to)
{
    l->is_cut[from][to] = false;
    sim_network_uncut(l->network, from, to);
}

static void cut_sides(struct links *l, const enum side *sides, enum side from, enum side to)
{
    for (unsigned i = 0; i < SIM_HOSTS_MAX; i++) {
        for (unsigned j = 0; j < SIM_HOSTS_MAX; j++) {
            bool are_clients = i >= SIM_NODES_MAX && j >= SIM_NODES_MAX;
            if (sides[i] == from && sides[j] == to && !are_clients) {
                cut(l, i, j);
            }
        }
    }
}

static void fire_join(void *owner, void *item, uint64_t tag)
{
    struct links *l = owner;
    (void)item;
    if (tag != l->epoch || !l->is_partitioned) {
        return;
    }
    world_trace(l->network->world, "the partition ends");
    l->is_partitioned = false;
    for (unsigned i = 0; i < SIM_HOSTS_MAX; i++) {
        for (unsigned j = 0; j < SIM_HOSTS_MAX; j++) {
            if (l->is_cut[i][j]) {
                uncut(l, i, j);
            }
        }
    }
}

static void trace_sides(struct links *l, const enum side *sides, bool goes_right, bool goes_left)
{
    static const char letters[] = "lrb";
    char text[SIM_NODES_MAX + 1] = "";
    for (unsigned i = 0; i < l->network->machine_count; i++) {
        text[i] = letters[sides[i]];
    }
    world_trace(l->network->world,
                "partition %s, cut%s%s",
                text,
                goes_right ? " to the right" : "",
                goes_left ? " to the left" : "");
}

bool links_partition(struct links *l, enum links_shape shape, unsigned special, uint64_t us)
{
    ensure(l->network->machine_count > 1);
    if (l->is_partitioned) {
        return false;
    }
    enum side sides[SIM_HOSTS_MAX];
    for (unsigned i = 0; i < SIM_HOSTS_MAX; i++) {
        sides[i] = SIDE_BOTH;
    }
    draw_machines(l, shape, special, sides);
    draw_clients(l, sides);
    uint64_t direction = prng_below(&l->prng, 6);
    bool goes_right = direction != 0;
    bool goes_left = direction != 1;
    trace_sides(l, sides, goes_right, goes_left);
    l->is_partitioned = true;
    if (goes_right) {
        cut_sides(l, sides, SIDE_LEFT, SIDE_RIGHT);
    }
    if (goes_left) {
        cut_sides(l, sides, SIDE_RIGHT, SIDE_LEFT);
    }
    world_schedule(l->network->world, us, fire_join, l, NULL, l->epoch);
    return true;
}

/* ---- single links ---------------------------------------------------------------------------- */

static unsigned random_machine(struct links *l)
{
    return (unsigned)prng_below(&l->prng, l->network->machine_count);
}

static void random_link(struct links *l, unsigned *out_from, unsigned *out_to)
{
    *out_from = random_machine(l);
    unsigned step = (unsigned)prng_between(&l->prng, 1, l->network->machine_count - 1);
    *out_to = (*out_from + step) % l->network->machine_count;
}

/* item: NULL for one way. tag: epoch, from and to. */
static void fire_uncut(void *owner, void *item, uint64_t tag)
{
    struct links *l = owner;
    unsigned from = (unsigned)(tag / SIM_NODES_MAX % SIM_NODES_MAX);
    unsigned to = (unsigned)(tag % SIM_NODES_MAX);
    if (tag / SIM_NODES_MAX / SIM_NODES_MAX == l->epoch) {
        sim_network_uncut(l->network, from, to);
        if (item != NULL) {
            sim_network_uncut(l->network, to, from);
        }
    }
}

static uint64_t tag_of(const struct links *l, unsigned from, unsigned to)
{
    return (l->epoch * SIM_NODES_MAX + from) * SIM_NODES_MAX + to;
}

static void cut_link(struct links *l, unsigned from, unsigned to, bool is_both, uint64_t us)
{
    world_trace(l->network->world,
                "link n%u to n%u is cut%s",
                from + 1,
                to + 1,
                is_both ? ", and back" : "");
    sim_network_cut(l->network, from, to);
    if (is_both) {
        sim_network_cut(l->network, to, from);
    }
    void *item = is_both ? l : NULL;
    world_schedule(l->network->world, us, fire_uncut, l, item, tag_of(l, from, to));
}

void links_cut_one(struct links *l, uint64_t us)
{
    unsigned from = 0;
    unsigned to = 0;
    random_link(l, &from, &to);
    cut_link(l, from, to, prng_chance(&l->prng, 500), us);
}

void links_cut_between(struct links *l, unsigned a, unsigned b, uint64_t us)
{
    cut_link(l, a, b, true, us);
}

/* ---- swizzle --------------------------------------------------------------------------------- */

static void fire_swizzle(void *owner, void *item, uint64_t tag)
{
    struct links *l = owner;
    (void)item;
    if (tag != l->epoch) {
        return;
    }
    if (l->order_at == l->order_count) {
        if (l->is_uncutting) {
            l->is_partitioned = false;
            world_trace(l->network->world, "all links are back");
            return;
        }
        shuffle(&l->prng, l->order, l->order_count);
        l->order_at = 0;
        l->is_uncutting = true;
    }
    unsigned from = l->order[l->order_at] / SIM_NODES_MAX;
    unsigned to = l->order[l->order_at] % SIM_NODES_MAX;
    l->order_at++;
    world_trace(l->network->world,
                "link n%u to n%u is %s",
                from + 1,
                to + 1,
                l->is_uncutting ? "back" : "cut");
    if (l->is_uncutting) {
        uncut(l, from, to);
    } else {
        cut(l, from, to);
    }
    uint64_t delay_us = prng_between(&l->prng, MS_US, SWIZZLE_STEP_US_MAX);
    world_schedule(l->network->world, delay_us, fire_swizzle, l, NULL, l->epoch);
}

bool links_swizzle(struct links *l)
{
    if (l->is_partitioned) {
        return false;
    }
    l->is_partitioned = true;
    l->is_uncutting = false;
    l->order_at = 0;
    l->order_count = 0;
    for (unsigned i = 0; i < l->network->machine_count; i++) {
        for (unsigned j = 0; j < l->network->machine_count; j++) {
            if (i != j) {
                l->order[l->order_count++] = i * SIM_NODES_MAX + j;
            }
        }
    }
    shuffle(&l->prng, l->order, l->order_count);
    fire_swizzle(l, NULL, l->epoch);
    return true;
}

/* ---- loss and delay -------------------------------------------------------------------------- */

static void set_quality(struct links *l, uint64_t which, unsigned loss_per_mille, uint64_t delay_us)
{
    for (unsigned i = 0; i < SIM_HOSTS_MAX; i++) {
        for (unsigned j = 0; j < SIM_HOSTS_MAX; j++) {
            if (which == ALL_LINKS || which == (uint64_t)i * SIM_HOSTS_MAX + j) {
                l->network->links[i][j].loss_per_mille = loss_per_mille;
                l->network->links[i][j].delay_us_max = delay_us;
            }
        }
    }
}

/* tag: the link, or ALL_LINKS. */
static void fire_good_again(void *owner, void *item, uint64_t tag)
{
    struct links *l = owner;
    (void)item;
    set_quality(l, tag, 0, 0);
}

static void worsen(struct links *l, unsigned loss_per_mille, uint64_t delay_us, uint64_t us)
{
    unsigned from = 0;
    unsigned to = 0;
    random_link(l, &from, &to);
    bool is_all = prng_chance(&l->prng, 500);
    uint64_t which = is_all ? ALL_LINKS : (uint64_t)from * SIM_HOSTS_MAX + to;
    world_trace(l->network->world,
                "n%u to n%u%s: loss %u per mille, delay up to %" PRIu64 " us",
                from + 1,
                to + 1,
                is_all ? " and all others" : "",
                loss_per_mille,
                delay_us);
    set_quality(l, which, loss_per_mille, delay_us);
    world_schedule(l->network->world, us, fire_good_again, l, NULL, which);
}

void links_loss(struct links *l, uint64_t us)
{
    worsen(l, (unsigned)prng_between(&l->prng, 10, LOSS_PER_MILLE_MAX), 0, us);
}

void links_delay(struct links *l, uint64_t us)
{
    worsen(l, 0, prng_between(&l->prng, MS_US, DELAY_US_MAX), us);
}

void links_heal(struct links *l)
{
    l->epoch++;
    l->is_partitioned = false;
    memset(l->is_cut, 0, sizeof l->is_cut);
    sim_network_heal(l->network);
}
