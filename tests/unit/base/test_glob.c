#include "base/glob.h"
#include "harness.h"

static bool matches(const char *pattern, const char *text)
{
    return glob_matches(bytes_of_text(pattern), bytes_of_text(text));
}

/* What KEYS of Redis 7.0.15 says. */
TEST(as_redis)
{
    static const struct {
        const char *pattern;
        const char *text;
        bool is_match;
    } cases[] = {
        {"", "", true},
        {"", "a", false},
        {"*", "", false},
        {"**", "", false},
        {"*", "a", true},
        {"a", "a", true},
        {"a", "ab", false},
        {"ab", "a", false},
        {"a*", "a", true},
        {"a**", "a", true},
        {"*a", "ba", true},
        {"*a", "ab", false},
        {"a*c", "abbc", true},
        {"a*c", "abb", false},
        {"*ab*", "xxabyy", true},
        {"*aab", "aaab", true},
        {"a*b*c", "axbxc", true},
        {"a*b*c", "axcxb", false},
        {"?", "", false},
        {"?", "a", true},
        {"??", "a", false},
        {"a?c", "abc", true},
        {"*?", "a", true},
        {"*??", "a", false},
        {"[ab]", "b", true},
        {"[ab]", "c", false},
        {"[^ab]", "c", true},
        {"[^ab]", "a", false},
        {"[a-c]", "b", true},
        {"[c-a]", "b", true},
        {"[a-c]", "d", false},
        {"[a-]", "-", false},
        {"[-a]", "-", true},
        {"[a-c", "b", true},
        {"[a-", "-", true},
        {"[a", "a", true},
        {"[", "[", false},
        {"[]", "]", false},
        {"[^]", "x", true},
        {"[^", "x", true},
        {"[\\]]", "]", true},
        {"[\\-a]", "-", true},
        {"[a\\", "\\", true},
        {"\\*", "*", true},
        {"\\*", "a", false},
        {"\\", "\\", true},
        {"a\\", "a", false},
        {"a\\", "a\\", true},
        {"\\a", "a", true},
        {"A", "a", false},
        {"[A-C]", "b", false},
        {"*[ab]c*", "xacx", true},
        {"*[ab]c*", "xax", false},
        {"[!a]", "b", false},
        {"[!a]", "!", true},
        {"[a-\xff]", "b", false},
        {"[a-\xff]", "A", true},
        {"[\x80-\x90]", "\x85", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CHECK_TEXT(matches(cases[i].pattern, cases[i].text) == cases[i].is_match ? ""
                                                                                 : cases[i].pattern,
                   "");
    }
}

TEST(without_case)
{
    CHECK(glob_matches_nocase(bytes_of_text("MAX*[A-C]"), bytes_of_text("maxmemory-b")));
    CHECK(glob_matches_nocase(bytes_of_text("max*[a-c]"), bytes_of_text("MAXMEMORY-B")));
    CHECK(!glob_matches_nocase(bytes_of_text("[a-c]"), bytes_of_text("D")));
    CHECK(!glob_matches_nocase(bytes_of_text("[@]"), bytes_of_text("`")));
    /* Redis looks at escaped bytes of a set as they are. */
    CHECK(!glob_matches_nocase(bytes_of_text("[\\A]"), bytes_of_text("a")));
    CHECK(glob_matches_nocase(bytes_of_text("\\A"), bytes_of_text("a")));
}

TEST(zero_bytes_are_bytes)
{
    CHECK(glob_matches(bytes_of("a\0?*", 4), bytes_of("a\0\0", 3)));
    CHECK(!glob_matches(bytes_of("a\0b", 3), bytes_of("a\0c", 3)));
}

/* Trying every place for every star would take longer than the universe is old. */
TEST(many_stars_take_no_longer)
{
    char pattern[201];
    char text[2001];
    for (size_t i = 0; i < 200; i += 2) {
        pattern[i] = '*';
        pattern[i + 1] = 'a';
    }
    memset(text, 'a', 2000);
    text[2000] = '\0';
    pattern[200] = '\0';
    CHECK(matches(pattern, text));
    pattern[199] = 'b';
    CHECK(!matches(pattern, text));
}
