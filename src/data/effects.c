#include "data/effects.h"

#include "base/assert.h"
#include "base/endian.h"
#include "base/limits.h"

#define EFFECT_BYTES 12u /* then the key, and of PUT the object */

enum effect_field {
    EFFECT_AT_KIND = 0,
    EFFECT_AT_DATABASE = 1,
    EFFECT_AT_ZEROS = 2,
    EFFECT_AT_KEY_BYTES = 4,
    EFFECT_AT_OBJECT_BYTES = 8,
};

void effect_append(struct buf *out, const struct effect *e)
{
    size_t key_bytes = e->kind == EFFECT_FLUSH ? 0 : e->key.size;
    size_t object_bytes = e->kind == EFFECT_PUT ? object_size(&e->object) : 0;
    ensure(e->database < LIMIT_DATABASES && key_bytes <= LIMIT_KEY_BYTES);
    ensure(object_bytes <= UINT32_MAX);
    uint8_t *p = buf_reserve(out, EFFECT_BYTES + key_bytes + object_bytes);
    memset(p, 0, EFFECT_BYTES);
    p[EFFECT_AT_KIND] = (uint8_t)e->kind;
    p[EFFECT_AT_DATABASE] = e->database;
    put_u32_le(p + EFFECT_AT_KEY_BYTES, (uint32_t)key_bytes);
    put_u32_le(p + EFFECT_AT_OBJECT_BYTES, (uint32_t)object_bytes);
    if (key_bytes > 0) {
        memcpy(p + EFFECT_BYTES, e->key.data, key_bytes);
    }
    if (object_bytes > 0) {
        struct object object = e->object;
        object.version = EFFECT_VERSION;
        object.incarnation = EFFECT_VERSION;
        object_encode(&object, p + EFFECT_BYTES + key_bytes);
    }
    buf_extend(out, EFFECT_BYTES + key_bytes + object_bytes);
}

/* What a kind has and has not. */
static bool is_consistent(enum effect_kind kind, uint64_t key_bytes, uint64_t object_bytes)
{
    switch (kind) {
    case EFFECT_PUT:
        return key_bytes <= LIMIT_KEY_BYTES && object_bytes >= OBJECT_HEADER_BYTES;
    case EFFECT_DELETE:
        return key_bytes <= LIMIT_KEY_BYTES && object_bytes == 0;
    case EFFECT_FLUSH:
        return key_bytes == 0 && object_bytes == 0;
    }
    return false;
}

enum status effect_take(struct bytes *effects, struct effect *out_effect)
{
    const uint8_t *p = effects->data;
    if (effects->size < EFFECT_BYTES) {
        return STATUS_MALFORMED;
    }
    struct effect e = {.kind = (enum effect_kind)p[EFFECT_AT_KIND], .database = p[1]};
    uint64_t key_bytes = get_u32_le(p + EFFECT_AT_KEY_BYTES);
    uint64_t object_bytes = get_u32_le(p + EFFECT_AT_OBJECT_BYTES);
    uint64_t rest = effects->size - EFFECT_BYTES;
    bool is_good = e.database < LIMIT_DATABASES && get_u16_le(p + EFFECT_AT_ZEROS) == 0 &&
                   is_consistent(e.kind, key_bytes, object_bytes) &&
                   key_bytes + object_bytes <= rest;
    if (!is_good) {
        return STATUS_MALFORMED;
    }
    p += EFFECT_BYTES;
    e.key = bytes_of(p, (size_t)key_bytes);
    if (e.kind == EFFECT_PUT &&
        object_decode(bytes_of(p + key_bytes, (size_t)object_bytes), &e.object) != STATUS_OK) {
        return STATUS_MALFORMED;
    }
    p += key_bytes + object_bytes;
    *effects = bytes_of(p, (size_t)(rest - key_bytes - object_bytes));
    *out_effect = e;
    return STATUS_OK;
}

bool effects_are_whole(struct bytes effects)
{
    struct effect e;
    while (effects.size > 0) {
        if (effect_take(&effects, &e) != STATUS_OK) {
            return false;
        }
    }
    return true;
}

static enum status apply_one(const struct effect *e, struct view *view)
{
    view_select(view, e->database);
    enum status status = STATUS_OK;
    switch (e->kind) {
    case EFFECT_PUT:
        return view_put(view, e->key, &e->object);
    case EFFECT_DELETE:
        status = view_delete(view, e->key);
        return status == STATUS_NOT_FOUND ? STATUS_OK : status; /* due meanwhile, and gone so */
    case EFFECT_FLUSH:
        view_flush(view);
        return STATUS_OK;
    }
    unreachable("every kind of effect is applied");
}

enum status effects_apply(struct bytes effects, struct view *view)
{
    enum status status = STATUS_OK;
    while (effects.size > 0 && status == STATUS_OK) {
        struct effect e;
        status = effect_take(&effects, &e);
        ensure(status == STATUS_OK); /* they were checked when they came in */
        status = apply_one(&e, view);
    }
    return status;
}
