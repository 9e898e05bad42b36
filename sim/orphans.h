/*
 * How long do the keys of a dead gateway's transactions stay locked? In a quiet network a gateway
 * dies in the middle of a transaction, again and again; two seconds after all groups have a leader
 * again, none of them is prepared for a transaction of it, and every client that waited for a key
 * of them has its answer.
 */
#ifndef SIM_ORPHANS_H
#define SIM_ORPHANS_H

#include "sim/deals.h"
#include "sim/deaths.h"
#include "sim/watch.h"

#define ORPHANS_LIMIT_US (2 * SECOND_US)

struct orphans {
    struct world *world;
    struct sim_network *network;
    const struct watch *watch;
    const struct deals *deals;
    uint64_t rounds; /* finished */
    uint64_t found;  /* transactions that were open where a leader was, when their gateway had just
                        died */
    uint64_t longest_us; /* from then on, all groups led, until the last of them was free */
    /* private */
    struct prng prng;
    struct sim_env *victim;
    uint64_t died_us;
    uint64_t led_us;       /* all groups have leaders again; 0: not yet */
    bool is_aimed;         /* the next transaction of the victim is its last */
    enum death aim;        /* it dies in this phase; DEATH_OF_GATEWAY_COUNT: at any time */
    uint64_t aim_until_us; /* rather than wait longer for it */
    bool is_on;
};

void orphans_init(struct orphans *o,
                  struct sim_network *network,
                  const struct watch *watch,
                  const struct deals *deals);
/* Once all groups are led. */
void orphans_start(struct orphans *o);
/* No more rounds; the current one is finished. */
void orphans_stop(struct orphans *o);
bool orphans_is_idle(const struct orphans *o);
/* A client has sent a transaction over groups to this node. */
void orphans_sent(struct orphans *o, unsigned node);

#endif
