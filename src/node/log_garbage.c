#include "node/log_garbage.h"

#include "base/assert.h"

void log_garbage_init(struct log_garbage *g,
                      uint64_t segments_max,
                      uint64_t segment_bytes,
                      const struct log_garbage_port *port,
                      void *owner)
{
    ensure(segments_max > 0);
    ensure(segment_bytes > 0);
    *g = (struct log_garbage){
        .port = port,
        .owner = owner,
        .segments_max = segments_max,
        .segment_bytes = segment_bytes,
    };
}

void log_garbage_set_pending(struct log_garbage *g, uint64_t bytes)
{
    g->pending_bytes = bytes;
}

/*
 * Counts files, because one that holds a large batch may be longer than all others may be together.
 */
bool log_garbage_is_long(const struct log_garbage *g, uint64_t disk_bytes, bool was_long)
{
    uint64_t segments = g->port->newest(g->owner) - g->port->oldest(g->owner) + 1;
    uint64_t closed = g->segments_max * (was_long ? 1 : LOG_GARBAGE_LONG);
    uint64_t pending = 2 * g->pending_bytes;
    uint64_t bytes = (closed + LOG_GARBAGE_SEGMENTS_OPEN) * g->segment_bytes + pending;
    bool is_long = segments > closed + pending / g->segment_bytes + 1 || disk_bytes > bytes;
    return is_long && segments > 1; /* the one that is written to cannot go */
}

static uint64_t oldest(const struct log_garbage *g)
{
    /* The files go in a worker: what was given up does not count any more. */
    uint64_t there = g->port->oldest(g->owner);
    return there > g->released ? there : g->released + 1;
}

/*
 * A short log has no closed segment, unless what is pending may fill more than the newest one: then
 * what one segment has does not fit behind what the other one has, and to copy them in turn would
 * never end.
 */
static bool is_too_long(const struct log_garbage *g)
{
    uint64_t least = 2 * g->pending_bytes > g->segment_bytes ? 1 : 0;
    uint64_t most = g->is_short ? least : g->segments_max;
    return g->port->newest(g->owner) - oldest(g) > most;
}

static void release(struct log_garbage *g, uint64_t segment)
{
    ensure(segment < g->port->newest(g->owner));
    if (segment > g->released && segment >= oldest(g)) {
        g->released = segment;
        g->port->release(g->owner, segment);
    }
}

void log_garbage_flush(struct log_garbage *g)
{
    if (g->state == LOG_GARBAGE_IDLE && !g->is_waiting && is_too_long(g)) {
        g->state = LOG_GARBAGE_SYNCING;
        g->port->sync(g->owner);
    }
}

void log_garbage_tick(struct log_garbage *g)
{
    g->is_waiting = false;
}

void log_garbage_set_short(struct log_garbage *g, bool is_short)
{
    g->is_short = is_short;
}

void log_garbage_sync_began(struct log_garbage *g)
{
    ensure(g->newest_at_sync == 0); /* one sync at a time */
    g->newest_at_sync = g->port->newest(g->owner);
}

/* The segments that no group needs, oldest first; out of the others copies are made. */
static uint64_t covered_up_to(const struct log_garbage *g, uint64_t last)
{
    uint64_t covered = oldest(g) - 1;
    while (covered < last && g->port->is_covered(g->owner, covered + 1)) {
        covered++;
    }
    return covered;
}

void log_garbage_synced(struct log_garbage *g)
{
    ensure(g->newest_at_sync > 0);
    uint64_t last = g->newest_at_sync - 1;
    g->newest_at_sync = 0;
    if (g->state == LOG_GARBAGE_COPYING) {
        return; /* these segments go when the copies are durable; the next sync sees the rest */
    }
    g->state = LOG_GARBAGE_IDLE;
    uint64_t covered = covered_up_to(g, last);
    release(g, covered);
    if (covered >= last || !is_too_long(g)) {
        return;
    }
    reached("node: a group lags behind the log");
    if (!g->port->copy(g->owner, last)) {
        reached("node: entries to copy are not in memory");
        g->is_waiting = true;
        return;
    }
    g->state = LOG_GARBAGE_COPYING;
    g->copied = last;
    g->copies_batch = g->port->batch(g->owner);
    if (g->copies_batch == 0) {
        reached("node: nothing of a group that lags is alive");
        log_garbage_durable(g, 0);
    }
}

void log_garbage_durable(struct log_garbage *g, uint64_t batch)
{
    if (g->state == LOG_GARBAGE_COPYING && batch >= g->copies_batch) {
        g->state = LOG_GARBAGE_IDLE;
        release(g, g->copied);
    }
}
