/*
 * What a command handler sees of the keys: an interface with several bodies (design 5b.2). Handlers
 * never learn which one they run on. Today there is the local one, in shard.
 *
 * Every call may answer STATUS_NEED: the row is not at hand, or its expiry must be decided first.
 * The handler then returns COMMAND_NEED at once and is run again from its start later; nothing it
 * did so far took effect, so a handler must have read all it reads before it writes.
 */
#ifndef DATA_VIEW_H
#define DATA_VIEW_H

#include "data/row.h"

struct view;

/* Keys of one database, as far as this view has them. Expired ones count until they are deleted. */
struct view_counts {
    uint64_t keys;
    uint64_t expiring; /* of them: those with an expiry */
};

/*
 * Called for each key; key and object are borrowed for the call. False stops the range. object
 * NULL: the key has expired; it is not to be seen, only counted, as there may be any number of
 * them in a row.
 */
typedef bool (*view_range_fn)(void *ctx, struct bytes key, const struct object *object);

struct view_ops {
    enum status (*get)(struct view *v, struct bytes key, struct object *out_object);
    enum status (*range)(struct view *v, uint16_t slot, uint32_t hash, view_range_fn fn, void *ctx);
    enum status (*put)(struct view *v, struct bytes key, const struct object *object);
    enum status (*delete)(struct view *v, struct bytes key);
    void (*select)(struct view *v, uint8_t database);
    void (*count)(struct view *v, struct view_counts *out_counts);
    void (*flush)(struct view *v);
};

struct view {
    const struct view_ops *ops;
    /* Slots whose keys it may have: slot_first <= slot < slot_end. */
    uint32_t slot_first;
    uint32_t slot_end;
};

/* OK, NOT_FOUND (also: expired), NEED. The value is borrowed until the next put or delete. */
MUST_CHECK static inline enum status view_get(struct view *v,
                                              struct bytes key,
                                              struct object *out_object)
{
    return v->ops->get(v, key, out_object);
}

/* Keys of the database from slot and hash on, in row order. */
MUST_CHECK static inline enum status view_range(struct view *v,
                                                uint16_t slot,
                                                uint32_t hash,
                                                view_range_fn fn,
                                                void *ctx)
{
    return v->ops->range(v, slot, hash, fn, ctx);
}

/* Sets type, expiry and value; version and incarnation are the view's to set. */
MUST_CHECK static inline enum status view_put(struct view *v,
                                              struct bytes key,
                                              const struct object *object)
{
    return v->ops->put(v, key, object);
}

/* OK, or NOT_FOUND: there was nothing to delete. */
MUST_CHECK static inline enum status view_delete(struct view *v, struct bytes key)
{
    return v->ops->delete (v, key);
}

/* From here on all calls are about this database; at first it is the command's own. */
static inline void view_select(struct view *v, uint8_t database)
{
    v->ops->select(v, database);
}

static inline struct view_counts view_count(struct view *v)
{
    struct view_counts counts;
    v->ops->count(v, &counts);
    return counts;
}

/* Deletes all keys of the database, in constant time. */
static inline void view_flush(struct view *v)
{
    v->ops->flush(v);
}

#endif
