/*
 * The timers of one env, in order of their time, then of their start. Both adapters use it, so that
 * ties are broken alike in simulation and in real life. A sorted list: a node has few timers.
 */
#ifndef ENV_TIMERS_H
#define ENV_TIMERS_H

#include "env/env.h"

struct timers {
    struct list active; /* struct env_timer, soonest first */
    uint64_t next_order;
};

void timers_init(struct timers *t);
void timers_start(struct timers *t, struct env_timer *timer, uint64_t due_us);
void timers_stop(struct timers *t, struct env_timer *timer);
/* Time of the soonest timer; UINT64_MAX if there is none. */
uint64_t timers_next_due_us(const struct timers *t);
/* Calls the callbacks of all timers that were due and active at the call. */
void timers_fire(struct timers *t, uint64_t now_us);

#endif
