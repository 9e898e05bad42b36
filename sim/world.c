#include "sim/world.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

#define HEAP_CAPACITY_FIRST 256u
#define TRACE_LINE_BYTES 400
#define FNV_OFFSET 0xcbf29ce484222325u
#define FNV_PRIME 0x100000001b3u

const char *sim_fault_name(enum sim_fault fault)
{
    static const char *const names[] = {
#define SIM_FAULT(name, text) text,
        SIM_FAULTS(SIM_FAULT)
#undef SIM_FAULT
    };
    ensure(fault < SIM_FAULT_COUNT);
    return names[fault];
}

void world_init(struct world *w, uint64_t seed, bool is_trace_printed)
{
    *w = (struct world){
        .seed = seed,
        .is_trace_printed = is_trace_printed,
        .trace_hash = FNV_OFFSET,
        .heap = mem_alloc(HEAP_CAPACITY_FIRST * sizeof(struct world_event)),
        .heap_capacity = HEAP_CAPACITY_FIRST,
    };
}

void world_deinit(struct world *w)
{
    mem_free(w->heap);
    *w = (struct world){0};
}

struct prng world_prng(const struct world *w, uint64_t purpose)
{
    struct prng p;
    prng_init(&p, prng_mix(w->seed) ^ prng_mix(~purpose));
    return p;
}

/* ---- events ---------------------------------------------------------------------------------- */

static bool is_before(const struct world_event *a, const struct world_event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static void heap_swap(struct world_event *a, struct world_event *b)
{
    struct world_event kept = *a;
    *a = *b;
    *b = kept;
}

void world_schedule(struct world *w,
                    uint64_t delay_us,
                    world_fn fire,
                    void *owner,
                    void *item,
                    uint64_t tag)
{
    ensure(fire != NULL);
    if (w->heap_count == w->heap_capacity) {
        w->heap_capacity *= 2;
        w->heap = mem_realloc(w->heap, w->heap_capacity * sizeof w->heap[0]);
    }
    size_t i = w->heap_count++;
    w->heap[i] = (struct world_event){
        .at_us = w->now_us + delay_us,
        .order = w->order_next++,
        .fire = fire,
        .owner = owner,
        .item = item,
        .tag = tag,
    };
    while (i > 0 && is_before(&w->heap[i], &w->heap[(i - 1) / 2])) {
        heap_swap(&w->heap[i], &w->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
}

static struct world_event take_next(struct world *w)
{
    ensure(w->heap_count > 0);
    struct world_event next = w->heap[0];
    w->heap[0] = w->heap[--w->heap_count];
    size_t i = 0;
    for (;;) {
        size_t least = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < w->heap_count; child++) {
            least = is_before(&w->heap[child], &w->heap[least]) ? child : least;
        }
        if (least == i) {
            return next;
        }
        heap_swap(&w->heap[i], &w->heap[least]);
        i = least;
    }
}

bool world_step(struct world *w, uint64_t until_us)
{
    if (w->heap_count == 0 || w->heap[0].at_us > until_us) {
        w->now_us = until_us > w->now_us ? until_us : w->now_us;
        return false;
    }
    struct world_event event = take_next(w);
    ensure(event.at_us >= w->now_us);
    w->now_us = event.at_us;
    w->events++;
    event.fire(event.owner, event.item, event.tag);
    return true;
}

/* ---- trace and verdict ----------------------------------------------------------------------- */

static void trace_line(struct world *w, const char *line)
{
    uint64_t hash = w->trace_hash ^ w->now_us;
    for (const char *c = line; *c != '\0'; c++) {
        hash = (hash ^ (uint8_t)*c) * FNV_PRIME;
    }
    w->trace_hash = prng_mix(hash);
    if (w->is_trace_printed) {
        (void)printf("%4" PRIu64 ".%06" PRIu64 " %s\n",
                     w->now_us / SECOND_US,
                     w->now_us % SECOND_US,
                     line);
    }
}

void world_trace(struct world *w, const char *format, ...)
{
    char line[TRACE_LINE_BYTES];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(line, sizeof line, format, args);
    va_end(args);
    trace_line(w, line);
}

void world_fault(struct world *w, enum sim_fault fault)
{
    ensure(fault < SIM_FAULT_COUNT);
    w->fault_count[fault]++;
    world_trace(w, "fault %s", sim_fault_name(fault));
}

void world_fail(struct world *w, const char *format, ...)
{
    char text[sizeof w->failure];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    world_trace(w, "FAIL %s", text);
    if (!w->is_failed) {
        w->is_failed = true;
        memcpy(w->failure, text, sizeof text);
    }
}
