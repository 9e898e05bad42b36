/* Injects faults at random: which kinds and how often says the plan, at whom and how the dice. */
#ifndef SIM_FAULTS_H
#define SIM_FAULTS_H

#include "sim/links.h"
#include "sim/watch.h"

struct faults_options {
    unsigned weight[SIM_FAULT_COUNT]; /* 0: never */
    uint64_t gap_us_max;              /* between two of them */
    uint64_t clock_offset_ms_max;     /* jumps stay within this around the first offset */
    unsigned end_per_mille;           /* of the times that a client sees that a key has ended */
    unsigned deal_per_mille;          /* of the transactions over groups that clients send */
    bool is_aimed;                    /* crashes come where the log drops what it needs no more */
};

struct faults {
    struct world *world;
    struct sim_network *network;
    const struct watch *watch;
    struct faults_options options;
    struct links links;
    /* private */
    struct prng prng;
    int64_t clock_offset_ms[SIM_NODES_MAX]; /* by jumps so far */
    uint64_t epoch;                         /* of heals: older plans are void */
    bool is_on;
    struct sim_env *wiped; /* is or will be; NULL: nobody */
    unsigned hunt_kills;   /* to come, of machines that send or take a snapshot */
    uint64_t hunt_until_us;
    uint64_t hunt_taken[SIM_NODES_MAX]; /* snapshots that a machine had taken at the last look */
};

void faults_init(struct faults *f,
                 struct sim_network *network,
                 const struct watch *watch,
                 unsigned client_count,
                 const struct faults_options *options);
void faults_start(struct faults *f);
/* Somebody else has to lead some group: kills the leader, or cuts it off. */
void faults_force_leader_change(struct faults *f);
/* A client was told that a key which was there has ended: a moment to make it come back. */
void faults_key_ended(struct faults *f);
/* A client has sent a transaction over these groups to this node: something happens to them. */
void faults_deal_sent(struct faults *f,
                      unsigned node,
                      const uint32_t *groups,
                      unsigned group_count);
/* Ends all of them, and none follows. Machines that are down start, but for those that refused. */
void faults_heal(struct faults *f);
uint64_t faults_count(const struct world *w);

#endif
