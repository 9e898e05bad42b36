/*
 * How long does the death of a leader hurt? In a quiet network a leader is killed, again and again,
 * and one client for each group has to get a write through within two seconds of virtual time.
 */
#ifndef SIM_PROBE_H
#define SIM_PROBE_H

#include "sim/watch.h"

#define PROBE_LIMIT_US (2 * SECOND_US)

struct prober; /* probe.c */

struct probe {
    struct world *world;
    struct sim_network *network;
    const struct watch *watch;
    uint64_t rounds;     /* finished */
    uint64_t longest_us; /* from a death to the last group's first write */
    /* private */
    struct prng prng;
    struct prober *probers;
    unsigned prober_count;
    struct sim_env *victim;
    uint64_t killed_us;
    bool is_on;
    bool is_round;
};

void probe_init(struct probe *p, struct sim_network *network, const struct watch *watch);
void probe_deinit(struct probe *p);
/* Once all groups are led. */
void probe_start(struct probe *p);
/* No more rounds; the current one is finished. */
void probe_stop(struct probe *p);
bool probe_is_idle(const struct probe *p);

#endif
