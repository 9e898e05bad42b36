/*
 * The view on the rows of a group held by this node: at apply, where it changes them, and for
 * reads, where it may not.
 */
#ifndef SHARD_VIEW_LOCAL_H
#define SHARD_VIEW_LOCAL_H

#include "base/limits.h"
#include "data/view.h"
#include "shard/database.h"
#include "shard/participant.h"
#include "store/store.h"

/* Keys fall into so many buckets, for what is remembered of deletions. */
#define VIEW_LOCAL_BUCKETS 1024u

struct view_local {
    struct view base;
    struct store *store;
    struct database *databases; /* of the group, by number; only changed at apply */
    struct keyspace space;      /* of the selected one */
    uint64_t now_ms;            /* group time: what expires at or before it is gone */

    /*
     * Keys locked by transactions: expired ones stay until those are decided (TXN-3), and reads of
     * them wait: NEED with is_locked. NULL: whoever runs holds the locks.
     */
    const struct participant *participant;
    bool is_locked;

    /* At apply. NULL for a read. */
    uint64_t *operations; /* the group's operation counter */
    uint64_t *expired;    /* statistics */
    uint64_t *deleted_at; /* [VIEW_LOCAL_BUCKETS], see view_local_bucket */
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
     * NEED without is_due and is_locked: the row that row_key names is not at hand, or, is_range,
     * the first one from there on. Or damage is not OK: a row cannot be read, ever, and the node
     * must halt.
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
/* The key is there, and its time has come; it is not deleted. NEED as view_get says it. */
MUST_CHECK enum status view_local_has_expired(struct view_local *v,
                                              struct bytes key,
                                              bool *out_has);
/*
 * The version of the key's row, behind a view_get that did not find the key: a read leaves a row
 * whose time has come where it is. 0: there is none.
 */
uint64_t view_local_expired_version(struct view_local *v, struct bytes key);
/*
 * The bucket of a key, of any database: the operation counter of the last deletion in it says
 * whether one that is absent may have been there meanwhile (TXN_VERSION_ABSENT).
 */
uint32_t view_local_bucket(struct bytes key);
void view_local_deinit(struct view_local *v);

#endif
