#include "base/bytes.h"
#include "harness.h"

#define TEXT(text) bytes_of_text(text)

TEST(equal)
{
    CHECK(bytes_equal(TEXT("abc"), TEXT("abc")));
    CHECK(!bytes_equal(TEXT("abc"), TEXT("abd")));
    CHECK(!bytes_equal(TEXT("abc"), TEXT("ab")));
    CHECK(bytes_equal(bytes_of(NULL, 0), TEXT("")));
    CHECK(bytes_equal(bytes_of("a\0b", 3), bytes_of("a\0b", 3)));
    CHECK(!bytes_equal(bytes_of("a\0b", 3), bytes_of("a\0c", 3)));
    CHECK(bytes_equal_text(TEXT("abc"), "abc"));
    CHECK(!bytes_equal_text(bytes_of("a\0b", 3), "a"));
}

TEST(equal_without_case)
{
    CHECK(bytes_equal_nocase(TEXT("GeT"), "get"));
    CHECK(bytes_equal_nocase(TEXT(""), ""));
    CHECK(!bytes_equal_nocase(TEXT("get"), "getx"));
    CHECK(!bytes_equal_nocase(TEXT("getx"), "get"));
    CHECK(!bytes_equal_nocase(bytes_of("get\0", 4), "get"));
    CHECK(!bytes_equal_nocase(TEXT("@"), "`")); /* differ by the same bit as A and a */
}

TEST(compare_like_memcmp_with_prefix_first)
{
    CHECK(bytes_compare(TEXT("a"), TEXT("b")) < 0);
    CHECK(bytes_compare(TEXT("b"), TEXT("a")) > 0);
    CHECK(bytes_compare(TEXT("a"), TEXT("ab")) < 0);
    CHECK(bytes_compare(TEXT("ab"), TEXT("a")) > 0);
    CHECK_EQ(bytes_compare(TEXT("ab"), TEXT("ab")), 0);
    CHECK_EQ(bytes_compare(bytes_of(NULL, 0), TEXT("")), 0);
    CHECK(bytes_compare(TEXT("\xff"), TEXT("a")) > 0);
}

static bool parses_to(const char *text, int64_t expected)
{
    int64_t value = 0;
    return bytes_to_i64(TEXT(text), &value) && value == expected;
}

static bool is_refused(struct bytes text)
{
    int64_t value = 77;
    return !bytes_to_i64(text, &value) && value == 77;
}

TEST(integers_accepted)
{
    CHECK(parses_to("0", 0));
    CHECK(parses_to("1", 1));
    CHECK(parses_to("-1", -1));
    CHECK(parses_to("9223372036854775807", INT64_MAX));
    CHECK(parses_to("-9223372036854775808", INT64_MIN));
    CHECK(parses_to("1000000000000000000", 1000000000000000000));
}

TEST(integers_refused_and_output_untouched)
{
    const char *const refused[] = {
        "",
        "-",
        "+1",
        " 1",
        "1 ",
        "01",
        "-0",
        "-01",
        "00",
        "1a",
        "a",
        "1.0",
        "--1",
        "0x10",
        "9223372036854775808",
        "-9223372036854775809",
        "9999999999999999999",
        "18446744073709551616",
        "99999999999999999999999",
    };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        CHECK(is_refused(TEXT(refused[i])));
    }
    CHECK(is_refused(bytes_of("1\0", 2)));
    CHECK(is_refused(bytes_of(NULL, 0)));
}

TEST(buf_grows_to_its_maximum)
{
    struct buf b;
    buf_init(&b, 1000);
    CHECK_EQ(buf_room(&b), 1000);
    for (unsigned i = 0; i < 1000; i++) {
        uint8_t byte = (uint8_t)i;
        buf_append(&b, &byte, 1);
    }
    CHECK_EQ(buf_room(&b), 0);
    CHECK(b.capacity <= 1000);
    for (unsigned i = 0; i < 1000; i++) {
        CHECK_EQ(b.data[i], (uint8_t)i);
    }
    buf_deinit(&b);
    CHECK(b.data == NULL);
}

TEST(buf_appends_and_prints)
{
    struct buf b;
    buf_init(&b, 1024);
    buf_append_text(&b, "one");
    buf_append_bytes(&b, bytes_of(NULL, 0));
    buf_append_bytes(&b, TEXT(" two"));
    buf_printf(&b, " %d %s", 3, "four");
    CHECK_BYTES(buf_bytes(&b), TEXT("one two 3 four"));

    memcpy(buf_reserve(&b, 3), "XYZ", 3);
    buf_extend(&b, 2);
    CHECK_BYTES(buf_bytes(&b), TEXT("one two 3 fourXY"));
    buf_deinit(&b);
}

TEST(buf_prints_longer_than_its_first_memory)
{
    struct buf b;
    buf_init(&b, 4096);
    buf_printf(&b, "%0*d", 3000, 7);
    CHECK_EQ(b.size, 3000);
    CHECK_EQ(b.data[2999], '7');
    buf_deinit(&b);
}

TEST(buf_reserve_of_nothing_is_a_valid_pointer)
{
    struct buf b;
    buf_init(&b, 16);
    CHECK(buf_reserve(&b, 0) != NULL);
    buf_append(&b, "", 0);
    CHECK_EQ(b.size, 0);
    buf_append_text(&b, "abc");
    CHECK_BYTES(buf_bytes(&b), TEXT("abc"));
    buf_deinit(&b);
}

TEST(buf_drops_from_the_front)
{
    struct buf b;
    buf_init(&b, 64);
    buf_drop_front(&b, 0);
    buf_append_text(&b, "abcdef");
    buf_drop_front(&b, 2);
    CHECK_BYTES(buf_bytes(&b), TEXT("cdef"));
    buf_drop_front(&b, 0);
    CHECK_BYTES(buf_bytes(&b), TEXT("cdef"));
    buf_drop_front(&b, 4);
    CHECK_EQ(b.size, 0);
    buf_deinit(&b);
}

TEST(buf_clear_keeps_only_small_memory)
{
    struct buf b;
    buf_init(&b, 4096);
    buf_append_text(&b, "abc");
    buf_clear(&b, 1024);
    CHECK_EQ(b.size, 0);
    CHECK(b.capacity > 0);
    (void)buf_reserve(&b, 4000);
    buf_clear(&b, 1024);
    CHECK_EQ(b.capacity, 0);
    CHECK(b.data == NULL);
    buf_append_text(&b, "again");
    CHECK_BYTES(buf_bytes(&b), TEXT("again"));
    buf_deinit(&b);
}
