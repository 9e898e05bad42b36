/*
 * Clients that speak RESP2 to one simulated node, pipeline, lose their connections and come back,
 * and remember what they asked, when, and what they were told. That history is judged key by key.
 */
#ifndef SIM_WORKLOAD_H
#define SIM_WORKLOAD_H

#include "sim/linear.h"
#include "sim/sim_env.h"

#define WORKLOAD_KEYS_MAX 32u

struct workload_options {
    unsigned clients;
    unsigned keys;          /* judged for linearizability */
    unsigned expiring_keys; /* with a short time to live, judged weakly */
    unsigned pipeline_max;
    uint64_t think_us_max;
    uint64_t timeout_us; /* a client hangs up after that long without all replies */
};

struct workload_key {
    char name[16];
    bool is_expiring;
    bool is_counter; /* most values set are integers */
    struct linear_operation *operations;
    bool *is_void; /* the operation was answered "not executed" */
    size_t count;
    size_t capacity;
};

struct workload_client; /* workload.c */

struct workload {
    struct world *world;
    struct sim_env *env;
    struct workload_options options;
    struct workload_key keys[WORKLOAD_KEYS_MAX];
    unsigned key_count;
    struct workload_client *clients; /* options.clients, then the final reader */
    uint64_t operations;             /* answered */
    uint64_t unknown;                /* outcomes nobody was told */
    uint64_t undecided;              /* keys whose check ran out of budget */
    /* private */
    int64_t value_next;
    uint32_t session_next;
    uint32_t hot_key; /* and the one after it */
    uint32_t hot_rounds;
    bool is_draining;
};

void workload_init(struct workload *w, struct sim_env *env, const struct workload_options *options);
void workload_deinit(struct workload *w);
void workload_start(struct workload *w);
/* No more timeouts: from now on every command must be answered. */
void workload_expect_answers(struct workload *w);
/* Clients finish what they wait for, then close. */
void workload_drain(struct workload *w);
/* One more client reads every key once, until it got all answers. */
void workload_read_all(struct workload *w);
bool workload_is_idle(const struct workload *w);
/* Judges the history; fails the world. Explanations are appended to out_report. */
void workload_check(struct workload *w, struct buf *out_report);

#endif
