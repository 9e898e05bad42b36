/* APPEND, STRLEN, GETRANGE, SUBSTR, SETRANGE. Replies as Redis 7.0.15 gives them. */
#include "big_view.h"

#define TOO_LONG "-ERR string exceeds maximum allowed size (proto-max-bulk-len)"

static const struct script_step append_script[] = {
    {"APPEND k ab", ":2"},
    {"APPEND k cd", ":4"},
    {"GET k", "$4 abcd"},
    {"APPEND k ", ":4"},
    {"APPEND none ", ":0"},
    {"GET none", "$0"},
    {"EXISTS none", ":1"},
    {"APPEND k \\x00\\xff", ":6"},
    {"GET k", "$6 abcd\\x00\\xff"},
    {"STRLEN k", ":6"},
    {"STRLEN nothing", ":0"},
    {"APPEND list x", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
    {"STRLEN list", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
    {"APPEND k", "-ERR wrong number of arguments for 'append' command"},
    {"STRLEN", "-ERR wrong number of arguments for 'strlen' command"},
    {"STRLEN k k", "-ERR wrong number of arguments for 'strlen' command"},
};

static const struct script_step getrange_script[] = {
    {"SET k 0123456789", "+OK"},
    {"GETRANGE k 0 0", "$1 0"},
    {"GETRANGE k 0 -1", "$10 0123456789"},
    {"GETRANGE k 3 5", "$3 345"},
    {"GETRANGE k -3 -1", "$3 789"},
    {"GETRANGE k -3 9", "$3 789"},
    {"GETRANGE k 5 4", "$0"},
    {"GETRANGE k -1 -2", "$0"},
    {"GETRANGE k 9 100", "$1 9"},
    {"GETRANGE k 10 100", "$0"},
    {"GETRANGE k -100 -100", "$1 0"},
    {"GETRANGE k -100 2", "$3 012"},
    {"GETRANGE k -100 -11", "$1 0"},
    {"GETRANGE k 0 -11", "$1 0"},
    {"GETRANGE k -9223372036854775808 9223372036854775807", "$10 0123456789"},
    {"GETRANGE k 9223372036854775807 -9223372036854775808", "$0"},
    {"GETRANGE k 9223372036854775807 9223372036854775807", "$0"},
    {"GETRANGE k 0 9223372036854775808", "-ERR value is not an integer or out of range"},
    {"GETRANGE k +1 2", "-ERR value is not an integer or out of range"},
    {"GETRANGE k 01 2", "-ERR value is not an integer or out of range"},
    {"GETRANGE k  2", "-ERR value is not an integer or out of range"},
    {"GETRANGE k 1 x", "-ERR value is not an integer or out of range"},
    {"GETRANGE none 0 -1", "$0"},
    {"GETRANGE none x 1", "-ERR value is not an integer or out of range"},
    {"SET k ", "+OK"},
    {"GETRANGE k 0 0", "$0"},
    {"GETRANGE k 0 -1", "$0"},
    {"GETRANGE list 0 x", "-ERR value is not an integer or out of range"},
    {"GETRANGE list 0 1", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
    {"GETRANGE k 0", "-ERR wrong number of arguments for 'getrange' command"},
    {"SUBSTR list 0 1", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
    {"SET k abc", "+OK"},
    {"SUBSTR k 1 -1", "$2 bc"},
    {"SUBSTR k x 1", "-ERR value is not an integer or out of range"},
    {"SUBSTR k 1", "-ERR wrong number of arguments for 'substr' command"},
};

static const struct script_step setrange_script[] = {
    {"SET k Hello", "+OK"},
    {"SETRANGE k 1 E", ":5"},
    {"GET k", "$5 HEllo"},
    {"SETRANGE k 5 !!", ":7"},
    {"GET k", "$7 HEllo!!"},
    {"SETRANGE k 9 x", ":10"},
    {"GET k", "$10 HEllo!!\\x00\\x00x"},
    {"SETRANGE k 0 ", ":10"},
    {"SETRANGE k 999999999999 ", ":10"},
    {"SETRANGE none 0 ", ":0"},
    {"SETRANGE none 999999999999 ", ":0"},
    {"EXISTS none", ":0"},
    {"SETRANGE new 3 ab", ":5"},
    {"GET new", "$5 \\x00\\x00\\x00ab"},
    {"SETRANGE zero 0 a", ":1"},
    {"GET zero", "$1 a"},
    {"SETRANGE k -1 x", "-ERR offset is out of range"},
    {"SETRANGE k -1 ", "-ERR offset is out of range"},
    {"SETRANGE k x x", "-ERR value is not an integer or out of range"},
    {"SETRANGE k 1.0 x", "-ERR value is not an integer or out of range"},
    {"SETRANGE k 9223372036854775807 x",
     "-ERR string exceeds maximum allowed size (proto-max-bulk-len)"},
    {"SETRANGE k 9223372036854775808 x", "-ERR value is not an integer or out of range"},
    {"SETRANGE k 67108864 x", "-ERR string exceeds maximum allowed size (proto-max-bulk-len)"},
    {"SETRANGE none 67108864 x", "-ERR string exceeds maximum allowed size (proto-max-bulk-len)"},
    {"SETRANGE list 67108864 x",
     "-WRONGTYPE Operation against a key holding the wrong kind of value"},
    {"SETRANGE list -1 x", "-ERR offset is out of range"},
    {"SETRANGE list x x", "-ERR value is not an integer or out of range"},
    {"SETRANGE list 0 ", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
    {"SETRANGE list 0 x", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
    {"SETRANGE k 1", "-ERR wrong number of arguments for 'setrange' command"},
    {"GET k", "$10 HEllo!!\\x00\\x00x"},
};

TEST(append)
{
    struct fake_view f;
    fake_view_init(&f);
    put_other_type(&f, "list");
    RUN_SCRIPT(&f, append_script);
}

TEST(getrange)
{
    struct fake_view f;
    fake_view_init(&f);
    put_other_type(&f, "list");
    RUN_SCRIPT(&f, getrange_script);
}

TEST(setrange)
{
    struct fake_view f;
    fake_view_init(&f);
    put_other_type(&f, "list");
    RUN_SCRIPT(&f, setrange_script);
}

TEST(limits_of_length)
{
    struct big_view big;
    big_view_init(&big, LIMIT_VALUE_BYTES - 2);
    CHECK_TEXT(run_big(&big, "APPEND big abc"), TOO_LONG);
    CHECK_TEXT(run_big(&big, "SETRANGE big 67108862 abc"), TOO_LONG);
    CHECK_TEXT(run_big(&big, "SETRANGE big 67108864 a"), TOO_LONG);
    CHECK_EQ(big.puts, 0u);
    CHECK_TEXT(run_big(&big, "APPEND big ab"), ":67108864");
    CHECK_EQ(big.size_put, LIMIT_VALUE_BYTES);
    CHECK_TEXT(run_big(&big, "SETRANGE big 67108861 abc"), ":67108864");
    CHECK_EQ(big.size_put, LIMIT_VALUE_BYTES);
    CHECK_TEXT(run_big(&big, "SETRANGE none 67108863 a"), ":67108864");
    CHECK_EQ(big.size_put, LIMIT_VALUE_BYTES);
    CHECK_TEXT(run_big(&big, "GETRANGE big 67108860 -1"), "$2 \\x00\\x00");
    CHECK_EQ(big.puts, 3u);
}
