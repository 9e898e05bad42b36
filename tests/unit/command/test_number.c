/* INCR, DECR, INCRBY, DECRBY, INCRBYFLOAT. Replies and values as Redis 7.0.15 gives them. */
#include "fake_view.h"

#define NOT_INT "-ERR value is not an integer or out of range\r\n"
#define NEVER 0u
#define KEPT 5u

static const struct script_step integers_script[] = {
    {"INCR n", ":1"},
    {"INCR n", ":2"},
    {"DECR n", ":1"},
    {"DECR n", ":0"},
    {"DECR n", ":-1"},
    {"GET n", "$2 -1"},
    {"INCRBY n 11", ":10"},
    {"INCRBY n -20", ":-10"},
    {"DECRBY n 5", ":-15"},
    {"DECRBY n -100", ":85"},
    {"INCRBY n 0", ":85"},
    {"INCRBY n 9223372036854775807", "-ERR increment or decrement would overflow"},
    {"DECRBY n -9223372036854775807", "-ERR increment or decrement would overflow"},
    {"INCRBY n x", "-ERR value is not an integer or out of range"},
    {"INCRBY n ", "-ERR value is not an integer or out of range"},
    {"INCRBY n 1.0", "-ERR value is not an integer or out of range"},
    {"INCRBY n +1", "-ERR value is not an integer or out of range"},
    {"INCRBY n 9223372036854775808", "-ERR value is not an integer or out of range"},
    {"DECRBY n 9223372036854775808", "-ERR value is not an integer or out of range"},
    {"DECRBY n -9223372036854775808", "-ERR decrement would overflow"},
    {"DECRBY n x", "-ERR value is not an integer or out of range"},
    {"GET n", "$2 85"},
    {"SET n -9223372036854775808", "+OK"},
    {"DECR n", "-ERR increment or decrement would overflow"},
    {"DECRBY n 1", "-ERR increment or decrement would overflow"},
    {"INCRBY n -1", "-ERR increment or decrement would overflow"},
    {"INCRBY n 9223372036854775807", ":-1"},
    {"SET n -9223372036854775807", "+OK"},
    {"DECR n", ":-9223372036854775808"},
    {"SET n 5", "+OK"},
    {"INCRBY n -9223372036854775808", ":-9223372036854775803"},
    {"INCRBY n -9223372036854775808", "-ERR increment or decrement would overflow"},
    {"SET n text", "+OK"},
    {"DECR n", "-ERR value is not an integer or out of range"},
    {"INCRBY n 1", "-ERR value is not an integer or out of range"},
    {"INCRBY n x", "-ERR value is not an integer or out of range"},
    {"DECRBY n 1", "-ERR value is not an integer or out of range"},
    {"INCR list", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
    {"DECR list", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
    {"INCRBY list 1", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
    {"INCRBY list x", "-ERR value is not an integer or out of range"},
    {"DECRBY list 1", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
    {"DECRBY list -9223372036854775808", "-ERR decrement would overflow"},
    {"INCR n n", "-ERR wrong number of arguments for 'incr' command"},
    {"INCRBY n", "-ERR wrong number of arguments for 'incrby' command"},
    {"DECRBY n", "-ERR wrong number of arguments for 'decrby' command"},
};

static const struct script_step floats_script[] = {
    {"INCRBYFLOAT f 10.50", "$4 10.5"},
    {"INCRBYFLOAT f 0.1", "$4 10.6"},
    {"INCRBYFLOAT f -5", "$3 5.6"},
    {"INCRBYFLOAT f 5.0e3", "$22 5005.60000000000000009"},
    {"GET f", "$22 5005.60000000000000009"},
    {"SET f 3.0e3", "+OK"},
    {"INCRBYFLOAT f 200", "$4 3200"},
    {"INCRBYFLOAT f -3200", "$1 0"},
    {"INCRBYFLOAT f -0.0", "$1 0"},
    {"INCRBYFLOAT f -1e-30", "$1 0"},
    {"SET f -0", "+OK"},
    {"INCRBYFLOAT f 0", "$1 0"},
    {"INCRBYFLOAT f +.5", "$3 0.5"},
    {"INCRBYFLOAT f 5.", "$3 5.5"},
    {"INCRBYFLOAT f 0x10", "$4 21.5"},
    {"INCRBYFLOAT f 0x.8p1", "$4 22.5"},
    {"INCRBYFLOAT f 1e-17", "$20 22.50000000000000001"},
    {"INCRBYFLOAT f 1e-18", "$20 22.50000000000000001"},
    {"SET f 0.1", "+OK"},
    {"INCRBYFLOAT f 0.2", "$3 0.3"},
    {"SET f 3.14159265358979323846", "+OK"},
    {"INCRBYFLOAT f 0", "$19 3.14159265358979324"},
    {"SET f 9007199254740993", "+OK"},
    {"INCRBYFLOAT f 1", "$16 9007199254740994"},
    {"SET f 18446744073709551616", "+OK"},
    {"INCRBYFLOAT f 1", "$20 18446744073709551616"},
    {"INCRBYFLOAT f 1e21", "$22 1018446744073709551616"},
    /* What is no float. */
    {"INCRBYFLOAT f ", "-ERR value is not a valid float"},
    {"INCRBYFLOAT f x", "-ERR value is not a valid float"},
    {"INCRBYFLOAT f 1.5x", "-ERR value is not a valid float"},
    {"INCRBYFLOAT f 1e", "-ERR value is not a valid float"},
    {"INCRBYFLOAT f nan", "-ERR value is not a valid float"},
    {"INCRBYFLOAT f -nan", "-ERR value is not a valid float"},
    {"INCRBYFLOAT f nan(123)", "-ERR value is not a valid float"},
    {"INCRBYFLOAT f \\x201", "-ERR value is not a valid float"},
    {"INCRBYFLOAT f 1\\x20", "-ERR value is not a valid float"},
    {"INCRBYFLOAT f \\x091", "-ERR value is not a valid float"},
    {"INCRBYFLOAT f 1\\x00", "-ERR value is not a valid float"},
    {"INCRBYFLOAT f \\x00", "-ERR value is not a valid float"},
    {"INCRBYFLOAT f 1,5", "-ERR value is not a valid float"},
    {"INCRBYFLOAT f 1e4933", "-ERR value is not a valid float"},
    {"INCRBYFLOAT f -1e4933", "-ERR value is not a valid float"},
    {"INCRBYFLOAT f 1e-4951", "-ERR value is not a valid float"},
    {"INCRBYFLOAT f 1e-5000", "-ERR value is not a valid float"},
    {"INCRBYFLOAT f 1e-4940", "$22 1018446744073709551616"},
    {"INCRBYFLOAT f inf", "-ERR increment would produce NaN or Infinity"},
    {"INCRBYFLOAT f -INFINITY", "-ERR increment would produce NaN or Infinity"},
    {"SET f inf", "+OK"},
    {"INCRBYFLOAT f 1", "-ERR increment would produce NaN or Infinity"},
    {"INCRBYFLOAT f -inf", "-ERR increment would produce NaN or Infinity"},
    {"SET f 1.1e4932", "+OK"},
    {"INCRBYFLOAT f 1.1e4932", "-ERR increment would produce NaN or Infinity"},
    {"SET f text", "+OK"},
    {"INCRBYFLOAT f 1", "-ERR value is not a valid float"},
    {"SET f  ", "-ERR syntax error"},
    {"INCRBYFLOAT f 1", "-ERR value is not a valid float"},
    {"INCRBYFLOAT list x", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
    {"INCRBYFLOAT f", "-ERR wrong number of arguments for 'incrbyfloat' command"},
    {"INCRBYFLOAT f 1 2", "-ERR wrong number of arguments for 'incrbyfloat' command"},
};

TEST(integers)
{
    struct fake_view f;
    fake_view_init(&f);
    put_other_type(&f, "list");
    RUN_SCRIPT(&f, integers_script);
}

TEST(floats)
{
    struct fake_view f;
    fake_view_init(&f);
    put_other_type(&f, "list");
    RUN_SCRIPT(&f, floats_script);
}

static uint64_t expiry_of(struct fake_view *f, const char *key)
{
    return fake_find(f, bytes_of_text(key))->object.expires_ms;
}

TEST(incr_limits)
{
    static const struct {
        const char *value;
        const char *reply;
        const char *after;
    } cases[] = {
        {"0", ":1\r\n", "1"},
        {"-1", ":0\r\n", "0"},
        {"9", ":10\r\n", "10"},
        {"9223372036854775806", ":9223372036854775807\r\n", "9223372036854775807"},
        {"9223372036854775807",
         "-ERR increment or decrement would overflow\r\n",
         "9223372036854775807"},
        {"-9223372036854775808", ":-9223372036854775807\r\n", "-9223372036854775807"},
        {"-9223372036854775809", NOT_INT, "-9223372036854775809"},
        {"9223372036854775808", NOT_INT, "9223372036854775808"},
        {"", NOT_INT, ""},
        {"+1", NOT_INT, "+1"},
        {"01", NOT_INT, "01"},
        {"00", NOT_INT, "00"},
        {"-0", NOT_INT, "-0"},
        {"-", NOT_INT, "-"},
        {"1.0", NOT_INT, "1.0"},
        {"0x1", NOT_INT, "0x1"},
        {"abc", NOT_INT, "abc"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fake_view f;
        fake_view_init(&f);
        struct object o = {
            .type = OBJECT_TYPE_STRING,
            .expires_ms = KEPT,
            .value = bytes_of_text(cases[i].value),
        };
        CHECK_EQ(view_put(&f.base, bytes_of_text("k"), &o), STATUS_OK);
        CHECK_TEXT(run(&f, "INCR k"), cases[i].reply);
        CHECK_TEXT(value_of(&f, "k"), cases[i].after);
        CHECK_EQ(expiry_of(&f, "k"), KEPT); /* INCR keeps it */
    }
}

TEST(incr_of_an_absent_key)
{
    struct fake_view f;
    fake_view_init(&f);
    CHECK_TEXT(run(&f, "INCR n"), ":1\r\n");
    CHECK_TEXT(run(&f, "INCR n"), ":2\r\n");
    CHECK_EQ(expiry_of(&f, "n"), NEVER);
}

/* All digits of the largest numbers are there, and texts that are longer are no floats. */
TEST(long_floats)
{
    struct fake_view f;
    fake_view_init(&f);
    char text[FAKE_VALUE_BYTES] = "INCRBYFLOAT f ";
    (void)run(&f, "SET f 0");
    (void)run(&f, "INCRBYFLOAT f 1e4000");
    CHECK_EQ(f.result, COMMAND_DONE);
    CHECK_EQ(strlen(value_of(&f, "f")), 4000u);
    CHECK_EQ(strncmp(value_of(&f, "f"), "99999999999999999999", 20), 0);
    (void)run(&f, "INCRBYFLOAT f -1e4000");
    CHECK_TEXT(value_of(&f, "f"), "0");

    /* 4000 zeros and a 1: still a float. */
    memset(text + strlen(text), '0', 4000);
    strncat(text, "1", 2);
    (void)run(&f, text);
    CHECK_TEXT(value_of(&f, "f"), "1");
}

static uint8_t zeros_text[5 * KIB];

TEST(floats_have_a_longest_text)
{
    struct fake_view f;
    fake_view_init(&f);
    memset(zeros_text, '0', sizeof zeros_text);
    struct bytes args[] = {
        bytes_of_text("INCRBYFLOAT"),
        bytes_of_text("f"),
        bytes_of(zeros_text, sizeof zeros_text),
    };
    CHECK_TEXT(run_args(&f, args, 3), "-ERR value is not a valid float\r\n");
    args[2].size--;
    CHECK_TEXT(run_args(&f, args, 3), "$1\r\n0\r\n");
}
