/*
 * The simulated world: virtual time, a queue of events, random numbers from one seed, the trace and
 * the verdict. Knows nothing of nodes: they, their clients and the faults are events of it.
 */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/prng.h"

#define MS_US ((uint64_t)1000)
#define SECOND_US ((uint64_t)1000000)

/* Every kind of fault: SIM_FAULT(name, text). README.md says what each does. */
#define SIM_FAULTS(SIM_FAULT)                                                                      \
    SIM_FAULT(KILL, "kill")                                                                        \
    SIM_FAULT(POWER_LOSS, "power-loss")                                                            \
    SIM_FAULT(CRASH_IN_JOB, "in-job")                                                              \
    SIM_FAULT(CRASH_IN_START, "in-start")                                                          \
    SIM_FAULT(IO_ERROR, "io-error")                                                                \
    SIM_FAULT(CLEAN_STOP, "clean-stop")                                                            \
    SIM_FAULT(SLOW_DISK, "slow-disk")                                                              \
    SIM_FAULT(PAUSE, "pause")                                                                      \
    SIM_FAULT(BREAK, "break")                                                                      \
    SIM_FAULT(CLOG, "clog")                                                                        \
    SIM_FAULT(CLOCK_JUMP, "clock-jump")                                                            \
    SIM_FAULT(ROT, "rot")                                                                          \
    SIM_FAULT(KILL_LEADER, "kill-leader")                                                          \
    SIM_FAULT(KILL_ALL, "kill-all")                                                                \
    SIM_FAULT(DOWN, "down")                                                                        \
    SIM_FAULT(CUT, "cut")                                                                          \
    SIM_FAULT(PARTITION, "partition")                                                              \
    SIM_FAULT(ISOLATE, "isolate-leader")                                                           \
    SIM_FAULT(BRIDGE, "bridge")                                                                    \
    SIM_FAULT(SWIZZLE, "swizzle")                                                                  \
    SIM_FAULT(LOSS, "loss")                                                                        \
    SIM_FAULT(DELAY, "delay")                                                                      \
    SIM_FAULT(LATE, "late-bytes")                                                                  \
    SIM_FAULT(WIPE, "wipe")                                                                        \
    SIM_FAULT(FILL, "fill")                                                                        \
    SIM_FAULT(INSTALL, "kill-install")                                                             \
    SIM_FAULT(REBUILD, "rebuild")                                                                  \
    SIM_FAULT(GATEWAY, "kill-gateway")                                                             \
    SIM_FAULT(PARTICIPANT, "kill-participant")                                                     \
    SIM_FAULT(APART, "cut-participants")

enum sim_fault {
#define SIM_FAULT(name, text) SIM_FAULT_##name,
    SIM_FAULTS(SIM_FAULT)
#undef SIM_FAULT
    SIM_FAULT_COUNT
};

const char *sim_fault_name(enum sim_fault fault);

/* item and tag mean what the scheduler wants; a tag of an earlier life of the owner is stale. */
typedef void (*world_fn)(void *owner, void *item, uint64_t tag);

struct world_event {
    uint64_t at_us;
    uint64_t order;
    world_fn fire;
    void *owner;
    void *item;
    uint64_t tag;
};

struct world {
    uint64_t seed;
    uint64_t now_us;
    bool is_trace_printed;
    bool is_failed;
    char failure[512]; /* the first one */
    uint64_t trace_hash;
    uint64_t events;
    uint64_t fault_count[SIM_FAULT_COUNT];
    int64_t clock_least_ms; /* how far clocks were set back or ahead, at most, so far */
    int64_t clock_most_ms;
    /* private */
    struct world_event *heap;
    size_t heap_count;
    size_t heap_capacity;
    uint64_t order_next;
};

void world_init(struct world *w, uint64_t seed, bool is_trace_printed);
void world_deinit(struct world *w);

/* An independent stream of random numbers, the same for the same seed and purpose. */
struct prng world_prng(const struct world *w, uint64_t purpose);

/* fire(owner, item, tag) in delay_us; events due at one time fire in the order scheduled. */
void world_schedule(struct world *w,
                    uint64_t delay_us,
                    world_fn fire,
                    void *owner,
                    void *item,
                    uint64_t tag);
/* Fires the next event if it is due by until_us, else moves the time there. False: nothing fired.
 */
bool world_step(struct world *w, uint64_t until_us);

/* One readable line per event. Only what is equal on every machine: no pointers. */
void world_trace(struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
void world_fault(struct world *w, enum sim_fault fault);
/* The first failure counts; the run ends after the current event. */
void world_fail(struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
