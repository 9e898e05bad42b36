/*
 * One simulated run: everything follows from its seed. Options, faults for about twenty virtual
 * seconds, healing, last reads, a clean stop, rot of the disk at rest, and the verdict.
 */
#ifndef SIM_RUN_H
#define SIM_RUN_H

#include "sim/workload.h"
#include "sim/world.h"

struct run_result {
    bool is_failed;
    char failure[512];
    uint64_t virtual_us;
    uint64_t events;
    uint64_t operations;
    uint64_t unknown;
    uint64_t undecided; /* keys */
    uint64_t boots;
    uint64_t fault_count[SIM_FAULT_COUNT];
    uint64_t hash;
};

/* Explanations of a failure are appended to out_report. */
void run_seed(uint64_t seed,
              bool is_trace_printed,
              struct run_result *out_result,
              struct buf *out_report);

#endif
