/*
 * Clients that speak RESP2 to simulated nodes, pipeline, lose their connections and come back to
 * the same node or another one. What they asked and were told is judged by history and order.
 */
#ifndef SIM_WORKLOAD_H
#define SIM_WORKLOAD_H

#include "sim/history.h"
#include "sim/order.h"
#include "sim/sim_env.h"

struct workload_options {
    unsigned clients;         /* ordinary ones */
    unsigned keys;            /* judged for linearizability */
    unsigned expiring_keys;   /* with a short time to live, judged by expiry.h */
    unsigned brief_per_mille; /* of all commands, about two expiring keys for a while */
    uint64_t wall_start_ms;   /* what a right clock shows when the run begins */
    unsigned pipeline_max;
    uint64_t think_us_max;
    uint64_t timeout_us; /* a client hangs up after that long without all replies */
    bool is_pinned;      /* each comes back to the node it had first */
    bool has_order;      /* a writer and readers of flags, too */
    unsigned pipeliners; /* with deep pipelines, all through one gateway */
    bool is_calm;        /* no fault explains an error reply */
    bool has_full_disks; /* "no space" may be an answer to a write */
};

struct workload_client; /* client.h */

struct workload {
    struct world *world;
    struct sim_network *network;
    struct workload_options options;
    struct history history;
    struct order order;
    struct workload_client *clients; /* the last one reads all keys at the end */
    unsigned client_count;
    uint64_t operations; /* outcomes that clients were told */
    uint64_t refused;    /* answered "not executed" */
    uint64_t unknown;    /* outcomes nobody was told */
    uint64_t no_space;   /* refused for lack of space */
    uint64_t no_space_last_us;
    uint64_t no_space_until_us; /* later ones are wrong */
    /* An expiring key that was there is not any more. Given after workload_init; may be NULL. */
    void (*key_ended)(void *owner);
    void *owner;
    uint64_t reads_when_full; /* answered while writes were refused so */
    /* private */
    int64_t value_next;
    uint32_t session_next;
    uint32_t hot_key; /* and the one after it */
    uint32_t hot_rounds;
    bool is_draining;
};

void workload_init(struct workload *w,
                   struct sim_network *network,
                   const struct workload_options *options);
void workload_deinit(struct workload *w);
void workload_start(struct workload *w);
/* No more timeouts: from now on every command must be answered. */
void workload_expect_answers(struct workload *w);
/* The disks have space again: writes must be taken soon. */
void workload_expect_space(struct workload *w, uint64_t patience_us);
/* Clients finish what they wait for, then close. */
void workload_drain(struct workload *w);
/* One more client reads every key once through that node, until it got all answers. */
void workload_read_all(struct workload *w, unsigned node);
bool workload_is_idle(const struct workload *w);
/* Judges what was seen; fails the world. Explanations are appended to out_report. */
void workload_check(struct workload *w, struct buf *out_report);

#endif
