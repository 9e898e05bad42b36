/*
 * One simulated run: everything follows from its seed. A cluster is formed, clients work, faults
 * happen for a minute of virtual time, then all is healed, read, compared and judged.
 */
#ifndef SIM_RUN_H
#define SIM_RUN_H

#include "sim/deaths.h"
#include "sim/plan.h"
#include "sim/world.h"

/* What a run with faults of several nodes has at least; else it goes on, and at last it fails. */
#define RUN_OPERATIONS_MIN 2000u
#define RUN_FAULTS_MIN 5u
#define RUN_LEADER_CHANGES_MIN 1u

struct run_result {
    bool is_failed;
    char failure[512];
    enum plan_kind kind;
    unsigned nodes;
    uint32_t groups; /* with the metadata group */
    uint64_t virtual_us;
    uint64_t events;
    uint64_t operations;
    uint64_t refused;
    uint64_t unknown;
    uint64_t undecided; /* keys */
    uint64_t boots;
    uint64_t faults;
    uint64_t leader_changes;
    bool has_purpose;   /* what its plan is there for has happened */
    uint64_t snapshots; /* taken */
    uint64_t segments_released;
    uint64_t segments_max;    /* of one node's log, at any time */
    uint64_t no_space;        /* writes refused for lack of space */
    uint64_t reads_when_full; /* answered meanwhile */
    uint64_t failover_us;     /* PLAN_FAILOVER: the longest */
    uint64_t deals;           /* transactions that took effect */
    uint64_t deals_changed;   /* EXEC answered nil */
    uint64_t deals_failed;    /* or EXECABORT */
    uint64_t deals_appended;  /* APPENDs that took effect */
    uint64_t deals_sums;      /* of the bank, that were seen */
    uint64_t orphans;         /* PLAN_GATEWAYS: open when their gateway had died */
    uint64_t orphans_us;      /* the longest time until they were over */
    uint64_t fault_count[SIM_FAULT_COUNT];
    uint64_t death_count[DEATH_COUNT];
    uint64_t hash;
};

/* forced_plan: see plan_init. Explanations of a failure are appended to out_report. */
void run_seed(uint64_t seed,
              enum plan_kind forced_plan,
              bool is_trace_printed,
              struct run_result *out_result,
              struct buf *out_report);

#endif
