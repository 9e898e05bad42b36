#include "command/latency.h"

#include "base/assert.h"

#define SECOND_MS 1000u

const char *latency_name(unsigned event)
{
    ensure(event < LATENCY_EVENTS);
    return event == 0 ? "command" : "fast-command";
}

const struct latency_sample *latency_at(const struct latency_event *e, uint32_t i)
{
    ensure(i < e->count);
    return &e->samples[(e->next + LATENCY_SAMPLES - e->count + i) % LATENCY_SAMPLES];
}

void latency_add(struct latency *l, bool is_fast, uint64_t wall_ms, uint64_t took_ms)
{
    struct latency_event *e = &l->events[is_fast ? 1 : 0];
    uint32_t wall_s = (uint32_t)(wall_ms / SECOND_MS);
    uint32_t took = took_ms < UINT32_MAX ? (uint32_t)took_ms : UINT32_MAX;
    e->max_ms = took > e->max_ms ? took : e->max_ms;
    if (e->count > 0) {
        struct latency_sample *newest =
            &e->samples[(e->next + LATENCY_SAMPLES - 1) % LATENCY_SAMPLES];
        if (newest->wall_s == wall_s) {
            newest->took_ms = took > newest->took_ms ? took : newest->took_ms;
            return;
        }
    }
    e->samples[e->next] = (struct latency_sample){.wall_s = wall_s, .took_ms = took};
    e->next = (e->next + 1) % LATENCY_SAMPLES;
    e->count += e->count < LATENCY_SAMPLES ? 1 : 0;
}
