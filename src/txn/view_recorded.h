/*
 * A view of rows that were fetched from their groups: what commands see that run at the gateway
 * (docs/decisions/0016, design 5b.2). It is only read; changes go into a view_overlay above it.
 */
#ifndef TXN_VIEW_RECORDED_H
#define TXN_VIEW_RECORDED_H

#include "base/limits.h"
#include "data/view.h"
#include "store/omap.h"

struct view_recorded {
    struct view base;
    /* private */
    struct omap rows; /* database, key → object as in its row; NULL: there is none */
    uint8_t database;
    uint64_t now_ms;  /* what is due by it is gone (ORD-6) */
    bool has_expired; /* some row was seen that is due by it */
    struct buf name;
};

void view_recorded_init(struct view_recorded *v);
void view_recorded_deinit(struct view_recorded *v);
/* Forgets all rows; from here on what is due by now_ms is not there. */
void view_recorded_begin(struct view_recorded *v, uint64_t now_ms);
/* row: an encoded object, or empty: there is none. */
void view_recorded_add(struct view_recorded *v,
                       uint8_t database,
                       struct bytes key,
                       struct bytes row);
/* It was said of some key that it is gone, and no group has said so yet (ORD-5). */
static inline bool view_recorded_has_expired(const struct view_recorded *v)
{
    return v->has_expired;
}
/* The version that a compare has to name: 0 if the key is not there. It was added. */
uint64_t view_recorded_version(struct view_recorded *v, uint8_t database, struct bytes key);

#endif
