/*
 * LATENCY: seconds in which a command took longer than the threshold, measured as SLOWLOG does.
 * Two events, as Redis names them: "fast-command" for commands with the flag FAST, "command" for
 * the rest. Plain data of the loop thread.
 */
#ifndef COMMAND_LATENCY_H
#define COMMAND_LATENCY_H

#include <stdbool.h>
#include <stdint.h>

#define LATENCY_EVENTS 2u
#define LATENCY_SAMPLES 160u

struct latency_sample {
    uint32_t wall_s;
    uint32_t took_ms; /* the longest of that second */
};

struct latency_event {
    uint32_t count;  /* samples, LATENCY_SAMPLES at most */
    uint32_t next;   /* where the next one goes: behind the newest, over the oldest */
    uint32_t max_ms; /* of all since the last reset */
    struct latency_sample samples[LATENCY_SAMPLES];
};

struct latency {
    /* private, but for latency_at */
    struct latency_event events[LATENCY_EVENTS]; /* command, fast-command */
};

const char *latency_name(unsigned event);
void latency_add(struct latency *l, bool is_fast, uint64_t wall_ms, uint64_t took_ms);
/* The i-th oldest sample. */
const struct latency_sample *latency_at(const struct latency_event *e, uint32_t i);

#endif
