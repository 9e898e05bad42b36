/* What a transaction does, as bytes: their form, and everything that is none of them. */
#include "base/mem.h"
#include "data/effects.h"
#include "harness.h"

static const uint8_t golden[] = {
    3,   2,   0, 0, 0, 0, 0, 0, 0,  0, 0, 0, /* flush database 2 */
    1,   15,  0, 0, 2, 0, 0, 0, 34, 0, 0, 0, /* put in database 15: a key of 2, an object of 34 */
    'k', 'k',                                /* the key */
    1,   0,   0, 0, 0, 0, 0, 0,              /* a string, as it is */
    1,   0,   0, 0, 0, 0, 0, 0,              /* no version yet */
    1,   0,   0, 0, 0, 0, 0, 0,              /* no incarnation yet */
    8,   7,   6, 5, 4, 3, 2, 1,              /* expires */
    'v', 'w',                                /* the value */
    2,   0,   0, 0, 1, 0, 0, 0, 0,  0, 0, 0, /* delete in database 0 */
    'd',
};

TEST(golden_and_back)
{
    struct buf out;
    buf_init(&out, 1024);
    effect_append(&out, &(struct effect){.kind = EFFECT_FLUSH, .database = 2});
    effect_append(&out,
                  &(struct effect){
                      .kind = EFFECT_PUT,
                      .database = 15,
                      .key = bytes_of_text("kk"),
                      .object = {.type = OBJECT_TYPE_STRING,
                                 .version = 99,
                                 .incarnation = 98,
                                 .expires_ms = 0x0102030405060708,
                                 .value = bytes_of_text("vw")},
                  });
    effect_append(&out, &(struct effect){.kind = EFFECT_DELETE, .key = bytes_of_text("d")});
    CHECK_BYTES(buf_bytes(&out), bytes_of(golden, sizeof golden));

    struct bytes rest = buf_bytes(&out);
    struct effect e;
    CHECK(effects_are_whole(rest));
    CHECK_EQ(effect_take(&rest, &e), STATUS_OK);
    CHECK_EQ(e.kind, EFFECT_FLUSH);
    CHECK_EQ(e.database, 2u);
    CHECK_EQ(effect_take(&rest, &e), STATUS_OK);
    CHECK_EQ(e.kind, EFFECT_PUT);
    CHECK_EQ(e.database, 15u);
    CHECK_BYTES(e.key, bytes_of_text("kk"));
    CHECK_BYTES(e.object.value, bytes_of_text("vw"));
    CHECK_EQ(e.object.expires_ms, 0x0102030405060708u);
    CHECK_EQ(effect_take(&rest, &e), STATUS_OK);
    CHECK_EQ(e.kind, EFFECT_DELETE);
    CHECK_BYTES(e.key, bytes_of_text("d"));
    CHECK_EQ(effect_take(&rest, &e), STATUS_MALFORMED);
    buf_deinit(&out);
}

TEST(every_cut_within_one_is_refused)
{
    for (size_t size = 0; size < sizeof golden; size++) {
        uint8_t *copy = mem_alloc(size + 1);
        bool is_between = size == 0 || size == 12 || size == 12 + 12 + 2 + 34;
        memcpy(copy, golden, size);
        CHECK_EQ(effects_are_whole(bytes_of(copy, size)), is_between);
        mem_free(copy);
    }
}

TEST(contradictions_are_refused)
{
    static const struct {
        size_t at;
        uint8_t value;
        const char *why;
    } cases[] = {
        {0, 0, "no kind"},
        {0, 4, "unknown kind"},
        {0, 2, "whole, and still no such effect: a delete of the empty key is one"},
        {1, 16, "unknown database"},
        {2, 1, "zeros"},
        {4, 1, "a flush with a key"},
        {8, 1, "a flush with an object"},
        {12 + 8, 31, "an object shorter than its header"},
        {12 + 11, 1, "an object beyond the end"},
        {12 + 12 + 2, 77, "an object of no type"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t copy[sizeof golden];
        memcpy(copy, golden, sizeof copy);
        copy[cases[i].at] = cases[i].value;
        bool is_empty_delete = cases[i].at == 0 && cases[i].value == EFFECT_DELETE;
        bool is_whole = effects_are_whole(bytes_of(copy, sizeof copy));
        CHECK_TEXT(is_whole == is_empty_delete ? "" : cases[i].why, "");
    }
}
