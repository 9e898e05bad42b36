/*
 * The view on the rows of a group held by this node: at apply, where it changes them, and for
 * reads, where it may not.
 */
#ifndef SHARD_VIEW_LOCAL_H
#define SHARD_VIEW_LOCAL_H

#include "base/limits.h"
#include "data/view.h"
#include "shard/database.h"
#include "store/store.h"

struct view_local {
    struct view base;
    struct store *store;
    struct database *databases; /* of the group, by number; only changed at apply */
    struct keyspace space;      /* of the selected one */
    uint64_t now_ms;            /* group time: what expires at or before it is gone */

    /* At apply. NULL for a read. */
    uint64_t *operations; /* the group's operation counter */
    uint64_t *expired;    /* statistics */
    /*
     * Databases flushed since view_local_begin_entry, a bit each: all their rows are of this entry,
     * so at hand; nobody could fetch them before.
     */
    uint32_t flushed;

    /*
     * For a read: the leader's own clock. A key that is due by it, but not by group time, is for
     * the log to decide: the view answers NEED and leaves the key in due_key (ORD-5).
     */
    uint64_t wall_ms;
    struct buf due_key;
    bool is_due;

    /*
     * NEED without is_due: the row that row_key names is not at hand, or, is_range, the first one
     * from there on. Or damage is not OK: a row cannot be read, ever, and the node must halt.
     */
    bool is_range;
    enum status damage;

    /*
     * The row looked at last in this command: handlers read a key, then write it, and a look-up
     * costs more than all the rest. Forgotten with every change, and by view_local_begin.
     */
    struct buf known_key;
    enum status known_status;
    struct blob *known_row; /* borrowed from the store */
    bool is_known;

    struct buf row_key;   /* of the key looked at last */
    struct buf range_key; /* where the last range began */
    struct buf index_key; /* scratch */
};

/* databases: LIMIT_DATABASES of them, borrowed; its caller's slots go into base. */
void view_local_init(struct view_local *v, struct store *store, struct database *databases);
/* Before the commands of each entry. */
void view_local_begin_entry(struct view_local *v);
/* Before each command: on which keyspace, at which group time, and for a read the leader's clock.
 */
void view_local_begin(struct view_local *v,
                      const struct keyspace *space,
                      uint64_t now_ms,
                      uint64_t wall_ms);
void view_local_deinit(struct view_local *v);

#endif
