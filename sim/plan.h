/* What a run is like: everything that its seed says before it starts. */
#ifndef SIM_PLAN_H
#define SIM_PLAN_H

#include "sim/deals.h"
#include "sim/faults.h"
#include "sim/workload.h"

#define PLAN_CLUSTER_BYTES (SIM_NODES_MAX * SIM_ADDRESS_BYTES)

enum plan_kind {
    PLAN_SOLE,     /* one node, a cluster of its own */
    PLAN_CALM,     /* no faults, no elections */
    PLAN_FAILOVER, /* leaders die in a quiet network; how long are writes refused? */
    PLAN_LEADERS,  /* whoever leads is killed, every few seconds */
    PLAN_MIXED,
    PLAN_NETWORK,
    PLAN_PAUSES,
    PLAN_CRASHES,   /* of one or all at once */
    PLAN_WIPE,      /* one loses its disk */
    PLAN_SNAPSHOTS, /* replicas that were away need snapshots, and those die on the way */
    PLAN_GARBAGE,   /* crashes where the log drops what it needs no more */
    PLAN_FULL,      /* disks fill up */
    PLAN_ROT,       /* bits flip, and an operator rebuilds the node */
    PLAN_EXPIRY,    /* many keys with a time to live, clocks that jump, leaders that die */
    PLAN_DEALS,    /* many transactions over groups; whoever takes part in one dies or is cut off */
    PLAN_GATEWAYS, /* gateways die in a quiet network; how long are their keys locked? */
    PLAN_KIND_COUNT,
};

struct plan {
    enum plan_kind kind;
    unsigned nodes;
    bool has_faults;
    bool is_hard_start; /* faults from the first moment, not only once the cluster is formed */
    uint64_t faults_us; /* for so long, at least */
    char cluster[PLAN_CLUSTER_BYTES];
    struct sim_network_options network;
    struct sim_env_options env; /* of all nodes, but for their clocks */
    int64_t skew_ppm[SIM_NODES_MAX];
    struct workload_options workload;
    struct deals_options deals;
    struct faults_options faults;
};

const char *plan_name(enum plan_kind kind);
/* forced: a kind whatever the seed says; PLAN_KIND_COUNT: as it says. */
void plan_init(struct plan *plan, struct prng *p, enum plan_kind forced);

#endif
