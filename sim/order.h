/*
 * Does one connection's order show? (ORD-7) A writer pipelines SET data n, SET flag n; readers
 * pipeline GET flag, GET data: never is the flag newer than the data. Once an outcome of a pair is
 * not known, or is a refusal, the writer goes on with a new pair of keys.
 */
#ifndef SIM_ORDER_H
#define SIM_ORDER_H

#include "base/bytes.h"
#include "sim/world.h"

#define ORDER_ROUNDS_MAX 100u

struct order_pair {
    unsigned rounds;                    /* 1 to rounds were sent */
    bool is_done[ORDER_ROUNDS_MAX + 1]; /* SET data n was answered OK */
};

struct order_sight {
    unsigned pair;
    int64_t flag;
    int64_t data;
};

struct order {
    struct world *world;
    struct order_pair *pairs; /* the last one is in use */
    unsigned pair_count;
    struct order_sight *sights;
    size_t sight_count;
    size_t sight_capacity;
};

void order_init(struct order *o, struct world *world);
void order_deinit(struct order *o);
static inline unsigned order_current(const struct order *o)
{
    return o->pair_count - 1;
}
/* Adds SET data, SET flag of the next round to out, and says which it is. False: the pair is full.
 */
bool order_put_write(struct order *o, struct buf *out, int64_t *out_round);
/* Adds GET flag, GET data. */
void order_put_read(const struct order *o, struct buf *out);
/* No more rounds of the current pair. */
void order_next_pair(struct order *o);
void order_saw(struct order *o, struct order_sight sight);
/* Fails the world. */
void order_check(struct order *o);

#endif
