/* Cuts between hosts: partitions of several shapes, single links, and links one after the other. */
#ifndef SIM_LINKS_H
#define SIM_LINKS_H

#include "sim/sim_network.h"

enum links_shape {
    LINKS_SPLIT,    /* two sides at random; both may be without a majority if machines are down */
    LINKS_MINORITY, /* less than half of the machines on one side */
    LINKS_ISOLATE,  /* one machine alone */
    LINKS_BRIDGE,   /* two sides, and one machine that sees both */
};

struct links {
    struct sim_network *network;
    struct prng prng;
    unsigned client_count;
    /* private */
    uint64_t epoch; /* of heals: older plans are void */
    bool is_partitioned;
    bool is_cut[SIM_HOSTS_MAX]
               [SIM_HOSTS_MAX]; /* by the partition, or links of the swizzle so far */
    unsigned order[SIM_NODES_MAX * SIM_NODES_MAX]; /* of the swizzle: from * SIM_NODES_MAX + to */
    unsigned order_count;
    unsigned order_at;
    bool is_uncutting;
};

void links_init(struct links *l, struct sim_network *network, unsigned client_count);
/*
 * Partition for so long, in both directions or one; clients are sometimes kept on one side. special
 * is the machine that is alone or the bridge. False: there is a partition already.
 */
bool links_partition(struct links *l, enum links_shape shape, unsigned special, uint64_t us);
/* One link between machines, one or both ways. */
void links_cut_one(struct links *l, uint64_t us);
/* This one, both ways. */
void links_cut_between(struct links *l, unsigned a, unsigned b, uint64_t us);
/* All links between machines are cut one by one and come back in another order. */
bool links_swizzle(struct links *l);
/* Loses chunks or delays them: on one link or on all of them. */
void links_loss(struct links *l, uint64_t us);
void links_delay(struct links *l, uint64_t us);
void links_heal(struct links *l);

#endif
