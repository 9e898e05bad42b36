/*
 * A transaction's own view. It stands here, and not with the tests of data, for the keys in a small
 * array that tests of commands share.
 */
#include "base/prng.h"
#include "data/view_overlay.h"
#include "fake_view.h"

static struct object text_object(const char *text, uint64_t expires_ms)
{
    return (struct object){
        .type = OBJECT_TYPE_STRING,
        .version = 1,
        .incarnation = 1,
        .expires_ms = expires_ms,
        .value = bytes_of_text(text),
    };
}

static void put(struct view *v, const char *key, const char *text)
{
    struct object object = text_object(text, 0);
    CHECK_EQ(view_put(v, bytes_of_text(key), &object), STATUS_OK);
}

/* "(none)", "(need)" or the value. */
static const char *get(struct view *v, const char *key)
{
    static char text[FAKE_VALUE_BYTES];
    struct object object;
    enum status s = view_get(v, bytes_of_text(key), &object);
    if (s != STATUS_OK) {
        return s == STATUS_NOT_FOUND ? "(none)" : "(need)";
    }
    memcpy(text, object.value.data, object.value.size);
    text[object.value.size] = '\0';
    return text;
}

/* SET with an expiry in the past, seen by the transaction's own next commands. */
TEST(what_is_due_is_gone_at_once)
{
    static struct fake_view below;
    struct view_overlay v;
    struct buf effects;
    fake_view_init(&below);
    put(&below.base, "a", "old");
    view_overlay_init(&v, &below.base);
    v.now_ms = 100;
    struct object due = text_object("due", 100);
    struct object lasting = text_object("lasting", 101);
    CHECK_EQ(view_put(&v.base, bytes_of_text("a"), &due), STATUS_OK);
    CHECK_EQ(view_put(&v.base, bytes_of_text("b"), &due), STATUS_OK);
    CHECK_EQ(view_put(&v.base, bytes_of_text("c"), &lasting), STATUS_OK);
    CHECK_EQ(view_put(&v.base, bytes_of_text("d"), &lasting), STATUS_OK);
    CHECK_EQ(view_put(&v.base, bytes_of_text("d"), &due), STATUS_OK);
    CHECK_TEXT(get(&v.base, "a"), "(none)");
    CHECK_TEXT(get(&v.base, "b"), "(none)");
    CHECK_TEXT(get(&v.base, "c"), "lasting");
    CHECK_TEXT(get(&v.base, "d"), "(none)");
    CHECK_EQ(view_count(&v.base).keys, 1u);
    CHECK_EQ(view_delete(&v.base, bytes_of_text("b")), STATUS_NOT_FOUND);
    buf_init(&effects, SIZE_MAX / 2);
    view_overlay_effects(&v, &effects);
    CHECK_EQ(effects_apply(buf_bytes(&effects), &below.base), STATUS_OK);
    buf_deinit(&effects);
    CHECK_TEXT(get(&below.base, "a"), "(none)");
    CHECK_TEXT(get(&below.base, "c"), "lasting");
    view_overlay_deinit(&v);
}

TEST(changes_stay_above)
{
    static struct fake_view below;
    struct view_overlay v;
    fake_view_init(&below);
    put(&below.base, "a", "old");
    put(&below.base, "b", "kept");
    below.changes = 0;
    view_overlay_init(&v, &below.base);
    CHECK_TEXT(get(&v.base, "a"), "old");
    put(&v.base, "a", "new");
    put(&v.base, "c", "added");
    CHECK_EQ(view_delete(&v.base, bytes_of_text("b")), STATUS_OK);
    CHECK_EQ(view_delete(&v.base, bytes_of_text("b")), STATUS_NOT_FOUND);
    CHECK_EQ(view_delete(&v.base, bytes_of_text("x")), STATUS_NOT_FOUND);
    CHECK_TEXT(get(&v.base, "a"), "new");
    CHECK_TEXT(get(&v.base, "b"), "(none)");
    CHECK_TEXT(get(&v.base, "c"), "added");
    CHECK_EQ(view_count(&v.base).keys, 2u);
    CHECK_EQ(below.changes, 0u);
    CHECK_TEXT(get(&below.base, "a"), "old");

    view_overlay_clear(&v);
    CHECK_TEXT(get(&v.base, "a"), "old");
    CHECK_TEXT(get(&v.base, "c"), "(none)");
    CHECK_EQ(view_count(&v.base).keys, 2u);
    view_overlay_deinit(&v);
}

TEST(what_is_missing_below_is_missing)
{
    static struct fake_view below;
    struct view_overlay v;
    struct object object = text_object("v", 0);
    fake_view_init(&below);
    below.missing = "cold";
    view_overlay_init(&v, &below.base);
    CHECK_TEXT(get(&v.base, "cold"), "(need)");
    CHECK_EQ(view_put(&v.base, bytes_of_text("cold"), &object), STATUS_NEED);
    CHECK_EQ(view_delete(&v.base, bytes_of_text("cold")), STATUS_NEED);
    CHECK_EQ(view_overlay_bytes(&v), 0u);
    view_flush(&v.base);
    CHECK_TEXT(get(&v.base, "cold"), "(none)"); /* whatever it was */
    view_overlay_deinit(&v);
}

/* A handler puts what it has just read from here. */
TEST(a_value_may_borrow_from_the_one_it_replaces)
{
    static struct fake_view below;
    struct view_overlay v;
    struct object object;
    fake_view_init(&below);
    view_overlay_init(&v, &below.base);
    put(&v.base, "k", "some value that is long enough to be somewhere else when it is freed");
    CHECK_EQ(view_get(&v.base, bytes_of_text("k"), &object), STATUS_OK);
    object.value.size = 10;
    CHECK_EQ(view_put(&v.base, bytes_of_text("k"), &object), STATUS_OK);
    CHECK_TEXT(get(&v.base, "k"), "some value");
    view_overlay_deinit(&v);
}

/* ---- at random ------------------------------------------------------------------------------- */

#define RUNS 300u
#define STEPS 40u
#define KEYS 4u
#define DATABASES 3u

static void random_change(struct prng *r, struct view *one, struct view *other)
{
    char key[8];
    char value[16];
    uint8_t database = (uint8_t)prng_below(r, DATABASES);
    (void)snprintf(key, sizeof key, "k%u", (unsigned)prng_below(r, KEYS));
    (void)snprintf(value, sizeof value, "%u", (unsigned)prng_below(r, 1000));
    struct object object = text_object(value, prng_chance(r, 400) ? FAKE_NOW_MS + 1 : 0);
    view_select(one, database);
    view_select(other, database);
    uint64_t what = prng_below(r, 20);
    if (what == 0) {
        view_flush(one);
        view_flush(other);
    } else if (what < 7) {
        CHECK_EQ(view_delete(one, bytes_of_text(key)), view_delete(other, bytes_of_text(key)));
    } else {
        CHECK_EQ(view_put(one, bytes_of_text(key), &object), STATUS_OK);
        CHECK_EQ(view_put(other, bytes_of_text(key), &object), STATUS_OK);
    }
}

static void check_same(struct view *one, struct view *other)
{
    for (uint8_t database = 0; database < DATABASES; database++) {
        view_select(one, database);
        view_select(other, database);
        CHECK_EQ(view_count(one).keys, view_count(other).keys);
        CHECK_EQ(view_count(one).expiring, view_count(other).expiring);
        for (unsigned k = 0; k < KEYS; k++) {
            char key[8];
            char text[FAKE_VALUE_BYTES];
            (void)snprintf(key, sizeof key, "k%u", k);
            (void)snprintf(text, sizeof text, "%s", get(one, key));
            CHECK_TEXT(text, get(other, key));
        }
    }
}

/* Through the overlay and done at once: the same to see before, and below after its effects. */
TEST(effects_make_below_what_was_seen_above)
{
    static struct fake_view below;
    static struct fake_view reference;
    for (uint64_t seed = 1; seed <= RUNS; seed++) {
        struct prng r;
        struct view_overlay v;
        struct buf effects;
        prng_init(&r, seed);
        buf_init(&effects, 1024 * 1024);
        fake_view_init(&below);
        fake_view_init(&reference);
        for (unsigned i = 0; i < STEPS / 4; i++) {
            random_change(&r, &below.base, &reference.base);
        }
        view_overlay_init(&v, &below.base);
        for (uint64_t i = prng_below(&r, STEPS); i > 0; i--) {
            random_change(&r, &v.base, &reference.base);
            check_same(&v.base, &reference.base);
        }
        view_overlay_effects(&v, &effects);
        CHECK(effects_are_whole(buf_bytes(&effects)));
        CHECK_EQ(effects_apply(buf_bytes(&effects), &below.base), STATUS_OK);
        check_same(&below.base, &reference.base);
        buf_deinit(&effects);
        view_overlay_deinit(&v);
    }
}
