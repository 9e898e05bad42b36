/* What tests of limits share: a view with one very long string, of which only sizes matter. */
#ifndef COMMAND_BIG_VIEW_H
#define COMMAND_BIG_VIEW_H

#include "fake_view.h"

static uint8_t big_value[LIMIT_VALUE_BYTES]; /* all zeros */

struct big_view {
    struct view base;
    size_t size;     /* of the string "big", which is the only key */
    size_t size_put; /* of the last value put */
    unsigned puts;
    struct fake_view shown; /* for its reply */
};

static inline enum status big_get(struct view *v, struct bytes key, struct object *out_object)
{
    if (!bytes_equal_text(key, "big")) {
        return STATUS_NOT_FOUND;
    }
    size_t size = container_of(v, struct big_view, base)->size;
    *out_object = (struct object){.type = OBJECT_TYPE_STRING, .value = bytes_of(big_value, size)};
    return STATUS_OK;
}

static inline enum status big_put(struct view *v, struct bytes key, const struct object *object)
{
    (void)key;
    struct big_view *big = container_of(v, struct big_view, base);
    big->size_put = object->value.size;
    big->puts++;
    return STATUS_OK;
}

static const struct view_ops big_ops = {.get = big_get, .put = big_put};

static inline void big_view_init(struct big_view *big, size_t size)
{
    ensure(size <= LIMIT_VALUE_BYTES);
    *big = (struct big_view){.base = {.ops = &big_ops, .slot_end = 16384}, .size = size};
    fake_view_init(&big->shown);
}

/* As run() and fake_shown(). */
static inline const char *run_big(struct big_view *big, const char *text)
{
    big->shown.view = &big->base;
    (void)run(&big->shown, text);
    return fake_shown(&big->shown);
}

#endif
