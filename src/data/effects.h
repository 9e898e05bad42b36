/*
 * What a transaction does to its keys in one group, as bytes (docs/disk-format.md; golden bytes in
 * tests/unit/data/test_effects.c): computed where it is prepared, done where its outcome applies.
 */
#ifndef DATA_EFFECTS_H
#define DATA_EFFECTS_H

#include "data/view.h"

/* Append only: numbers are on disk. */
enum effect_kind {
    EFFECT_PUT = 1,
    EFFECT_DELETE = 2,
    EFFECT_FLUSH = 3, /* the whole database; before all others of it */
};

/* Versions are assigned where the effects are done (TXN-18); until then all are this. */
#define EFFECT_VERSION 1u

struct effect {
    enum effect_kind kind;
    uint8_t database;
    struct bytes key;     /* not of FLUSH */
    struct object object; /* of PUT: type, expiry and value; versions are the view's to set */
};

void effect_append(struct buf *out, const struct effect *effect);
/* Takes the next one off the front of *effects, borrowing from it. MALFORMED: there is none. */
MUST_CHECK enum status effect_take(struct bytes *effects, struct effect *out_effect);
/* True: effect_take takes all of it, one by one. */
bool effects_are_whole(struct bytes effects);

/*
 * Does them. All keys are at hand, and nobody but this transaction has changed them since it was
 * prepared. NEED: damage, the view says which; the replica must halt.
 */
MUST_CHECK enum status effects_apply(struct bytes effects, struct view *view);

#endif
