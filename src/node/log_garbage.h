/*
 * When segments of the log may go (LOG-12, LOG-13), as a step-shaped machine: the owner tells what
 * happened, and the port does what is decided.
 *
 * A segment may go when each group's highest entry in it is part of that group's durable state.
 * Every sync of the store settles that for the segments that were older than the newest one when
 * the sync began. A group that lags behind (it has no majority, so it applies nothing) must not
 * hold up the log of all others: its entries that are still needed are copied into the newest
 * segment, and the old ones go when the copies are durable.
 *
 * What is not applied yet cannot leave the log, however often it is copied. So it does not count
 * where the log is found to be too long: entries that wait until the log is shorter could be the
 * very ones that end this.
 *
 *     IDLE ─more than segments_max closed segments─► SYNCING ─synced─► IDLE
 *                                                      └─synced, but a group lags─► COPYING ─► IDLE
 */
#ifndef NODE_LOG_GARBAGE_H
#define NODE_LOG_GARBAGE_H

#include <stdbool.h>
#include <stdint.h>

/* Segments of the log are numbered without gaps. Everything on the loop. */
struct log_garbage_port {
    uint64_t (*newest)(void *owner); /* the one that is written to */
    uint64_t (*oldest)(void *owner);
    /* Of each group, in all segments up to this one: nothing is left that its state lacks. */
    bool (*is_covered)(void *owner, uint64_t segment);
    /* Appends copies of what is. False: not possible now; after another sync it may be. */
    bool (*copy)(void *owner, uint64_t segment);
    /* The batch that holds what was copied; 0: nothing waits to be written, so nothing was. */
    uint64_t (*batch)(void *owner);
    /* The state of all groups is to become durable; log_garbage_sync_began and _synced follow. */
    void (*sync)(void *owner);
    void (*release)(void *owner, uint64_t segment);
};

enum log_garbage_state {
    LOG_GARBAGE_IDLE,
    LOG_GARBAGE_SYNCING,
    LOG_GARBAGE_COPYING,
};

struct log_garbage {
    enum log_garbage_state state; /* read only */
    /* private */
    const struct log_garbage_port *port;
    void *owner;
    uint64_t segments_max;
    uint64_t segment_bytes;
    uint64_t pending_bytes;
    bool is_short;           /* no closed segment is kept longer than it has to be */
    bool is_waiting;         /* until the next tick: copies were not possible */
    uint64_t newest_at_sync; /* of the sync under way; 0: none */
    uint64_t released;       /* segments up to this one were given up */
    uint64_t copied;         /* COPYING: they may go, too, when this batch is durable */
    uint64_t copies_batch;
};

/*
 * The log is long, and entries wait, when it has more than so many times segments_max closed
 * segments, or takes more than these and two more: the one written to, and the next one.
 */
#define LOG_GARBAGE_LONG 3u
#define LOG_GARBAGE_SEGMENTS_OPEN 2u

void log_garbage_init(struct log_garbage *g,
                      uint64_t segments_max,
                      uint64_t segment_bytes,
                      const struct log_garbage_port *port,
                      void *owner);
/* What the entries that no group has applied take in the log. */
void log_garbage_set_pending(struct log_garbage *g, uint64_t bytes);
/*
 * Of the files, disk_bytes in all. Once it was long it must be down to segments_max, so that it
 * does not flutter. Twice what is pending may be there on top: it, and its copies.
 */
bool log_garbage_is_long(const struct log_garbage *g, uint64_t disk_bytes, bool was_long);
/* Each turn of the loop: asks for a sync if the log has grown too long. */
void log_garbage_flush(struct log_garbage *g);
/* Now and then: what was not possible is tried again. */
void log_garbage_tick(struct log_garbage *g);
/* True: the disk is full, or the log is long: every closed segment is one too many. */
void log_garbage_set_short(struct log_garbage *g, bool is_short);
/* What is appended to the log from here on is not part of this sync. */
void log_garbage_sync_began(struct log_garbage *g);
/* The owner's groups know by now how far their durable state goes. */
void log_garbage_synced(struct log_garbage *g);
void log_garbage_durable(struct log_garbage *g, uint64_t batch);

#endif
