#include "sim/order.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "sim/values.h"

#define NAME_BYTES 24

void order_init(struct order *o, struct world *world)
{
    *o = (struct order){.world = world};
    order_next_pair(o);
}

void order_deinit(struct order *o)
{
    mem_free(o->pairs);
    mem_free(o->sights);
    *o = (struct order){0};
}

void order_next_pair(struct order *o)
{
    o->pairs = mem_realloc(o->pairs, (o->pair_count + 1) * sizeof o->pairs[0]);
    o->pairs[o->pair_count++] = (struct order_pair){0};
}

static void put_command(const struct order *o, struct buf *out, const char *kind, int64_t round)
{
    char name[NAME_BYTES];
    (void)snprintf(name, sizeof name, "%s:%u", kind, order_current(o));
    buf_append_text(out, round > 0 ? "*3\r\n" : "*2\r\n");
    resp_put_text(out, round > 0 ? "SET" : "GET");
    resp_put_text(out, name);
    if (round > 0) {
        resp_put_value(out, (struct linear_value){.type = LINEAR_INTEGER, .number = round});
    }
}

bool order_put_write(struct order *o, struct buf *out, int64_t *out_round)
{
    struct order_pair *pair = &o->pairs[order_current(o)];
    if (pair->rounds == ORDER_ROUNDS_MAX) {
        return false;
    }
    *out_round = ++pair->rounds;
    put_command(o, out, "data", *out_round);
    put_command(o, out, "flag", *out_round);
    return true;
}

void order_put_read(const struct order *o, struct buf *out)
{
    put_command(o, out, "flag", 0);
    put_command(o, out, "data", 0);
}

void order_saw(struct order *o, struct order_sight sight)
{
    ensure(sight.pair < o->pair_count);
    if (o->sight_count == o->sight_capacity) {
        o->sight_capacity = o->sight_capacity > 0 ? o->sight_capacity * 2 : 64;
        o->sights = mem_realloc(o->sights, o->sight_capacity * sizeof o->sights[0]);
    }
    o->sights[o->sight_count++] = sight;
}

/* All data up to that round is known to be set: none can be missing or come late. */
static bool is_settled(const struct order_pair *pair, int64_t round)
{
    for (int64_t n = 1; n <= round; n++) {
        if (!pair->is_done[n]) {
            return false;
        }
    }
    return true;
}

void order_check(struct order *o)
{
    for (size_t i = 0; i < o->sight_count; i++) {
        const struct order_sight *sight = &o->sights[i];
        const struct order_pair *pair = &o->pairs[sight->pair];
        if (sight->flag > (int64_t)pair->rounds || sight->data > (int64_t)pair->rounds) {
            world_fail(o->world, "pair %u: a value nobody has set", sight->pair);
        } else if (sight->flag > sight->data && is_settled(pair, sight->flag)) {
            world_fail(o->world,
                       "pair %u: flag %" PRId64 " was seen before data %" PRId64,
                       sight->pair,
                       sight->flag,
                       sight->data);
        }
    }
}
