/*
 * A view whose changes stay apart from the one below it: what a transaction would do, seen by its
 * own later commands, and by nobody else until it is decided (design 5b.2).
 */
#ifndef DATA_VIEW_OVERLAY_H
#define DATA_VIEW_OVERLAY_H

#include "base/limits.h"
#include "data/effects.h"
#include "store/omap.h"

struct view_overlay {
    struct view base;
    /* Given before commands run; 0: never. What is put and is due by it was deleted. */
    uint64_t now_ms;
    uint64_t written_bytes; /* taken: of all rows put so far, also of those replaced since */
    /* private */
    struct view *below;
    uint8_t database; /* the one selected */
    struct omap rows; /* database, key → object; NULL: deleted */
    struct buf row_key;
    uint32_t flushed; /* databases, a bit each: of them nothing below is seen */
    struct {
        int64_t keys; /* to be added to what the view below counts, or to nothing, if flushed */
        int64_t expiring;
    } added[LIMIT_DATABASES];
};

/* below: borrowed, and never changed through this view, though it may delete what has expired. */
void view_overlay_init(struct view_overlay *v, struct view *below);
void view_overlay_deinit(struct view_overlay *v);
/* Forgets all changes. */
void view_overlay_clear(struct view_overlay *v);
/* Appends what has been changed, each key once. */
void view_overlay_effects(const struct view_overlay *v, struct buf *out_effects);
/* Memory that the changes take, in bytes: more than their effects would. */
uint64_t view_overlay_bytes(const struct view_overlay *v);

#endif
