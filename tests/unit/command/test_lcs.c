/* LCS. Replies as Redis 7.0.15 gives them. */
#include "base/prng.h"
#include "big_view.h"

#define TOO_LARGE "-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len"

static const struct script_step lcs_script[] = {
    {"MSET a ohmytext b mynewtext", "+OK"},
    {"LCS a b", "$6 mytext"},
    {"LCS a b LEN", ":6"},
    {"LCS a b IDX", "*4 $7 matches *2 *2 *2 :4 :7 *2 :5 :8 *2 *2 :2 :3 *2 :0 :1 $3 len :6"},
    {"LCS a b idx minmatchlen 4", "*4 $7 matches *1 *2 *2 :4 :7 *2 :5 :8 $3 len :6"},
    {"LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN",
     "*4 $7 matches *1 *3 *2 :4 :7 *2 :5 :8 :4 $3 len :6"},
    {"LCS a b IDX WITHMATCHLEN",
     "*4 $7 matches *2 *3 *2 :4 :7 *2 :5 :8 :4 *3 *2 :2 :3 *2 :0 :1 :2 $3 len :6"},
    {"LCS a b IDX MINMATCHLEN 5", "*4 $7 matches *0 $3 len :6"},
    {"LCS a b IDX MINMATCHLEN 0",
     "*4 $7 matches *2 *2 *2 :4 :7 *2 :5 :8 *2 *2 :2 :3 *2 :0 :1 $3 len :6"},
    {"LCS a b IDX MINMATCHLEN -9",
     "*4 $7 matches *2 *2 *2 :4 :7 *2 :5 :8 *2 *2 :2 :3 *2 :0 :1 $3 len :6"},
    {"LCS a b IDX MINMATCHLEN 9 minmatchlen 3", "*4 $7 matches *1 *2 *2 :4 :7 *2 :5 :8 $3 len :6"},
    {"LCS a b MINMATCHLEN 5", "$6 mytext"},
    {"LCS a b WITHMATCHLEN", "$6 mytext"},
    {"LCS a b LEN MINMATCHLEN 5 WITHMATCHLEN", ":6"},
    {"LCS b a", "$6 mytext"},
    {"LCS b a IDX", "*4 $7 matches *2 *2 *2 :5 :8 *2 :4 :7 *2 *2 :0 :1 *2 :2 :3 $3 len :6"},
    {"LCS a a", "$8 ohmytext"},
    {"LCS a a IDX", "*4 $7 matches *1 *2 *2 :0 :7 *2 :0 :7 $3 len :8"},
    {"LCS a none", "$0"},
    {"LCS none a LEN", ":0"},
    {"LCS none none IDX", "*4 $7 matches *0 $3 len :0"},
    {"MSET a  b x", "+OK"},
    {"LCS a b IDX", "*4 $7 matches *0 $3 len :0"},
    {"LCS a b", "$0"},
    {"MSET a xaxbxcx b ycybyay", "+OK"},
    {"LCS a b", "$1 c"},
    {"LCS a b IDX", "*4 $7 matches *1 *2 *2 :5 :5 *2 :1 :1 $3 len :1"},
    {"LCS b a IDX", "*4 $7 matches *1 *2 *2 :5 :5 *2 :1 :1 $3 len :1"},
    {"MSET a aaaa b aa", "+OK"},
    {"LCS a b IDX", "*4 $7 matches *1 *2 *2 :2 :3 *2 :0 :1 $3 len :2"},
    {"LCS b a IDX", "*4 $7 matches *1 *2 *2 :0 :1 *2 :2 :3 $3 len :2"},
    {"MSET a abcdef b zabzdefz", "+OK"},
    {"LCS a b IDX WITHMATCHLEN",
     "*4 $7 matches *2 *3 *2 :3 :5 *2 :4 :6 :3 *3 *2 :0 :1 *2 :1 :2 :2 $3 len :5"},
    {"MSET a abcbdab b bdcaba", "+OK"},
    {"LCS a b", "$4 bdab"},
    {"LCS a b IDX", "*4 $7 matches *2 *2 *2 :5 :6 *2 :3 :4 *2 *2 :3 :4 *2 :0 :1 $3 len :4"},
    {"LCS b a", "$4 bcba"},
    {"LCS a b IDX LEN", "-ERR If you want both the length and indexes, please just use IDX."},
    {"LCS a b LEN IDX", "-ERR If you want both the length and indexes, please just use IDX."},
    {"LCS a b bogus", "-ERR syntax error"},
    {"LCS a b MINMATCHLEN", "-ERR syntax error"},
    {"LCS a b MINMATCHLEN x", "-ERR value is not an integer or out of range"},
    {"LCS a b MINMATCHLEN x bogus", "-ERR value is not an integer or out of range"},
    {"LCS a b IDX LEN bogus", "-ERR syntax error"},
    {"LCS list a", "-ERR The specified keys must contain string values"},
    {"LCS a list bogus", "-ERR The specified keys must contain string values"},
    {"LCS none list", "-ERR The specified keys must contain string values"},
    {"LCS a", "-ERR wrong number of arguments for 'lcs' command"},
};

static const struct script_step lcs_in_resp3_script[] = {
    {"MSET a ohmytext b mynewtext", "+OK"},
    {"LCS a b", "$6 mytext"},
    {"LCS a b LEN", ":6"},
    {"LCS a b IDX", "%2 $7 matches *2 *2 *2 :4 :7 *2 :5 :8 *2 *2 :2 :3 *2 :0 :1 $3 len :6"},
    {"LCS a none IDX", "%2 $7 matches *0 $3 len :0"},
};

TEST(lcs)
{
    struct fake_view f;
    fake_view_init(&f);
    put_other_type(&f, "list");
    RUN_SCRIPT(&f, lcs_script);
}

TEST(lcs_in_resp3)
{
    struct fake_view f;
    fake_view_init(&f);
    f.resp = 3;
    put_other_type(&f, "list");
    RUN_SCRIPT(&f, lcs_in_resp3_script);
}

#define TEXT_BYTES_MAX 12u

/* Length of the longest common subsequence, the slow way: all subsequences of a. */
static unsigned slow_length(const char *a, const char *b)
{
    unsigned longest = 0;
    for (unsigned chosen = 0; chosen < 1u << strlen(a); chosen++) {
        unsigned length = 0;
        const char *in_b = b;
        for (size_t i = 0; a[i] != '\0' && in_b != NULL; i++) {
            if ((chosen >> i & 1) != 0) {
                in_b = strchr(in_b, a[i]);
                in_b = in_b != NULL ? in_b + 1 : NULL;
                length++;
            }
        }
        longest = in_b != NULL && length > longest ? length : longest;
    }
    return longest;
}

static void random_text(struct prng *prng, char *out_text)
{
    size_t size = prng_below(prng, TEXT_BYTES_MAX) + 1;
    for (size_t i = 0; i < size; i++) {
        out_text[i] = (char)('a' + prng_below(prng, 3));
    }
    out_text[size] = '\0';
}

static bool is_subsequence(const char *text, const char *of)
{
    for (; *text != '\0' && of != NULL; text++) {
        of = strchr(of, *text);
        of = of != NULL ? of + 1 : NULL;
    }
    return of != NULL;
}

TEST(longest_and_common)
{
    struct prng prng;
    prng_init(&prng, 7);
    for (unsigned i = 0; i < 200; i++) {
        char a[TEXT_BYTES_MAX + 1];
        char b[TEXT_BYTES_MAX + 1];
        char text[64];
        random_text(&prng, a);
        random_text(&prng, b);
        struct fake_view f;
        fake_view_init(&f);
        (void)snprintf(text, sizeof text, "MSET a %s b %s", a, b);
        (void)run(&f, text);
        (void)snprintf(text, sizeof text, ":%u\r\n", slow_length(a, b));
        CHECK_TEXT(run(&f, "LCS a b LEN"), text);
        CHECK_TEXT(run(&f, "LCS b a LEN"), text);
        char *common = strchr(run(&f, "LCS a b"), '\n') + 1;
        *strchr(common, '\r') = '\0';
        CHECK_EQ(strlen(common), slow_length(a, b));
        CHECK(is_subsequence(common, a));
        CHECK(is_subsequence(common, b));
    }
}

/* The product of both lengths is limited, each with its empty prefix. */
TEST(lcs_is_limited)
{
    struct big_view big;
    big_view_init(&big, LIMIT_LCS_CELLS);
    CHECK_TEXT(run_big(&big, "LCS big none"), TOO_LARGE);
    CHECK_TEXT(run_big(&big, "LCS none big LEN"), TOO_LARGE);
    CHECK_TEXT(run_big(&big, "LCS big big IDX"), TOO_LARGE);
    big.size = LIMIT_VALUE_BYTES;
    CHECK_TEXT(run_big(&big, "LCS big big"), TOO_LARGE);
    big.size = LIMIT_LCS_CELLS - 1;
    CHECK_TEXT(run_big(&big, "LCS big none"), "$0");
    CHECK_TEXT(run_big(&big, "LCS none big LEN"), ":0");
    big.size = 4096;
    CHECK_TEXT(run_big(&big, "LCS big big LEN"), TOO_LARGE);
    big.size = 2000;
    CHECK_TEXT(run_big(&big, "LCS big big IDX"),
               "*4 $7 matches *1 *2 *2 :0 :1999 *2 :0 :1999 $3 len :2000");
}
