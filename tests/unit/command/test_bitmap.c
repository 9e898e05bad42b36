/* SETBIT, GETBIT, BITCOUNT, BITPOS, BITOP. Replies as Redis 7.0.15 gives them. */
#include "base/prng.h"
#include "big_view.h"

static const struct script_step setbit_script[] = {
    {"SETBIT k 7 1", ":0"},
    {"GET k", "$1 \\x01"},
    {"SETBIT k 7 0", ":1"},
    {"SETBIT k 7 0", ":0"},
    {"GET k", "$1 \\x00"},
    {"SETBIT k 0 1", ":0"},
    {"SETBIT k 23 0", ":0"},
    {"GET k", "$3 \\x80\\x00\\x00"},
    {"SETBIT k 23 1", ":0"},
    {"GET k", "$3 \\x80\\x00\\x01"},
    {"SETBIT none 10 0", ":0"},
    {"GET none", "$2 \\x00\\x00"},
    {"GETBIT k 0", ":1"},
    {"GETBIT k 1", ":0"},
    {"GETBIT k 23", ":1"},
    {"GETBIT k 24", ":0"},
    {"GETBIT k 536870911", ":0"},
    {"GETBIT nothing 0", ":0"},
    {"SETBIT k -1 1", "-ERR bit offset is not an integer or out of range"},
    {"SETBIT k x 1", "-ERR bit offset is not an integer or out of range"},
    {"SETBIT k 01 1", "-ERR bit offset is not an integer or out of range"},
    {"SETBIT k #1 1", "-ERR bit offset is not an integer or out of range"},
    {"SETBIT k 536870912 1", "-ERR bit offset is not an integer or out of range"},
    {"SETBIT k 9223372036854775807 1", "-ERR bit offset is not an integer or out of range"},
    {"SETBIT k 9223372036854775808 1", "-ERR bit offset is not an integer or out of range"},
    {"SETBIT k 0 2", "-ERR bit is not an integer or out of range"},
    {"SETBIT k 0 -1", "-ERR bit is not an integer or out of range"},
    {"SETBIT k 0 x", "-ERR bit is not an integer or out of range"},
    {"SETBIT k 0 ", "-ERR bit is not an integer or out of range"},
    {"SETBIT k 0 01", "-ERR bit is not an integer or out of range"},
    {"SETBIT k x x", "-ERR bit offset is not an integer or out of range"},
    {"GETBIT k -1", "-ERR bit offset is not an integer or out of range"},
    {"GETBIT k x", "-ERR bit offset is not an integer or out of range"},
    {"GETBIT k 536870912", "-ERR bit offset is not an integer or out of range"},
    {"GETBIT list x", "-ERR bit offset is not an integer or out of range"},
    {"GETBIT list 0", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
    {"SETBIT list x 1", "-ERR bit offset is not an integer or out of range"},
    {"SETBIT list 0 2", "-ERR bit is not an integer or out of range"},
    {"SETBIT list 0 1", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
    {"SETBIT k 1", "-ERR wrong number of arguments for 'setbit' command"},
    {"GETBIT k", "-ERR wrong number of arguments for 'getbit' command"},
};

static const struct script_step bitcount_script[] = {
    {"SET k foobar", "+OK"},
    {"BITCOUNT k", ":26"},
    {"BITCOUNT k 0 0", ":4"},
    {"BITCOUNT k 1 1", ":6"},
    {"BITCOUNT k 1 1 BYTE", ":6"},
    {"BITCOUNT k 0 -1", ":26"},
    {"BITCOUNT k 5 30 BIT", ":17"},
    {"BITCOUNT k 5 30 bit", ":17"},
    {"BITCOUNT k 0 0 BIT", ":0"},
    {"BITCOUNT k 1 1 BIT", ":1"},
    {"BITCOUNT k 1 6 BIT", ":4"},
    {"BITCOUNT k 0 7 BIT", ":4"},
    {"BITCOUNT k 8 15 BIT", ":6"},
    {"BITCOUNT k 7 8 BIT", ":0"},
    {"BITCOUNT k -8 -1 BIT", ":4"},
    {"BITCOUNT k -3 -2 BIT", ":1"},
    {"BITCOUNT k 0 47 BIT", ":26"},
    {"BITCOUNT k 0 48 BIT", ":26"},
    {"BITCOUNT k 47 47 BIT", ":0"},
    {"BITCOUNT k 48 48 BIT", ":0"},
    {"BITCOUNT k -100 -100", ":4"},
    {"BITCOUNT k -100 -49 BIT", ":0"},
    {"BITCOUNT k 3 2", ":0"},
    {"BITCOUNT k 5 100", ":4"},
    {"BITCOUNT k 6 100", ":0"},
    {"BITCOUNT k -1 -2", ":0"},
    {"BITCOUNT k -9223372036854775808 9223372036854775807", ":26"},
    {"BITCOUNT k -9223372036854775808 9223372036854775807 BIT", ":26"},
    {"SET k 0123456789abcdef\\xff", "+OK"},
    {"BITCOUNT k", ":64"},
    {"BITCOUNT k 1 -1", ":62"},
    {"SET k ", "+OK"},
    {"BITCOUNT k", ":0"},
    {"BITCOUNT k 0 0", ":0"},
    /* Reversed from the end: the unit is not looked at. */
    {"BITCOUNT k -1 -2 bogus", ":0"},
    {"BITCOUNT k 0 -1 bogus", "-ERR syntax error"},
    {"BITCOUNT k 1", "-ERR syntax error"},
    {"BITCOUNT k 0 x", "-ERR value is not an integer or out of range"},
    {"BITCOUNT k x 0 bogus", "-ERR value is not an integer or out of range"},
    {"BITCOUNT k 0 0 BIT x", "-ERR syntax error"},
    /* Nothing is looked at. */
    {"BITCOUNT none", ":0"},
    {"BITCOUNT none x", ":0"},
    {"BITCOUNT none x y z w", ":0"},
    {"BITCOUNT list x", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
    {"BITCOUNT list", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
    {"BITCOUNT", "-ERR wrong number of arguments for 'bitcount' command"},
};

static const struct script_step bitpos_script[] = {
    {"SET k \\xff\\xf0\\x00", "+OK"},
    {"BITPOS k 0", ":12"},
    {"BITPOS k 1", ":0"},
    {"BITPOS k 1 1", ":8"},
    {"BITPOS k 1 2", ":-1"},
    {"BITPOS k 0 0 0", ":-1"},
    {"BITPOS k 0 0 1", ":12"},
    {"BITPOS k 0 2", ":16"},
    {"BITPOS k 0 3", ":-1"},
    {"BITPOS k 1 3", ":-1"},
    {"BITPOS k 0 -1", ":16"},
    {"BITPOS k 0 -100", ":12"},
    {"BITPOS k 1 -2 -1", ":8"},
    {"BITPOS k 1 1 1 BYTE", ":8"},
    {"BITPOS k 0 7 15 BIT", ":12"},
    {"BITPOS k 0 8 11 BIT", ":-1"},
    {"BITPOS k 0 8 12 bit", ":12"},
    {"BITPOS k 1 12 23 BIT", ":-1"},
    {"BITPOS k 1 -13 -1 BIT", ":11"},
    {"BITPOS k 1 -12 -1 BIT", ":-1"},
    {"BITPOS k 1 5 3", ":-1"},
    {"BITPOS k 1 5 3 BIT", ":-1"},
    {"BITPOS k 1 3 5 BIT", ":3"},
    {"SET k \\xff\\xff", "+OK"},
    {"BITPOS k 0", ":16"},
    {"BITPOS k 0 1", ":16"},
    {"BITPOS k 0 2", ":-1"},
    {"BITPOS k 0 0 -1", ":-1"},
    {"BITPOS k 0 0 -1 BIT", ":-1"},
    {"BITPOS k 0 -1 -2", ":-1"},
    {"SET k \\x00\\x00", "+OK"},
    {"BITPOS k 1", ":-1"},
    {"BITPOS k 1 0", ":-1"},
    {"BITPOS k 0", ":0"},
    {"BITPOS k 0 9 9 BIT", ":9"},
    {"SET k a", "+OK"},
    {"BITPOS k 1 -1 -2", ":1"},
    {"SET k ", "+OK"},
    {"BITPOS k 0", ":-1"},
    {"BITPOS k 1", ":-1"},
    {"BITPOS k 0 0", ":-1"},
    {"BITPOS k 0 0 0", ":-1"},
    /* What is not looked at, and in which order. */
    {"BITPOS none 0", ":0"},
    {"BITPOS none 1", ":-1"},
    {"BITPOS none 1 x y z w", ":-1"},
    {"BITPOS none 2", "-ERR The bit argument must be 1 or 0."},
    {"BITPOS none x", "-ERR value is not an integer or out of range"},
    {"BITPOS list 2", "-ERR The bit argument must be 1 or 0."},
    {"BITPOS list 1 x", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
    {"BITPOS k 2", "-ERR The bit argument must be 1 or 0."},
    {"BITPOS k -1", "-ERR The bit argument must be 1 or 0."},
    {"BITPOS k x", "-ERR value is not an integer or out of range"},
    {"BITPOS k 0 x", "-ERR value is not an integer or out of range"},
    {"BITPOS k 0 0 x", "-ERR value is not an integer or out of range"},
    {"BITPOS k 0 x x bogus", "-ERR value is not an integer or out of range"},
    {"BITPOS k 0 0 x bogus", "-ERR syntax error"},
    {"BITPOS k 0 0 0 bogus", "-ERR syntax error"},
    {"BITPOS k 0 0 0 BIT x", "-ERR syntax error"},
    {"BITPOS k", "-ERR wrong number of arguments for 'bitpos' command"},
};

static const struct script_step bitop_script[] = {
    {"SET a \\xff\\x0f\\x55", "+OK"},
    {"SET b \\x0f\\xff", "+OK"},
    {"BITOP AND d a b", ":3"},
    {"GET d", "$3 \\x0f\\x0f\\x00"},
    {"BITOP or d a b", ":3"},
    {"GET d", "$3 \\xff\\xffU"},
    {"BITOP Xor d a b", ":3"},
    {"GET d", "$3 \\xf0\\xf0U"},
    {"BITOP NOT d b", ":2"},
    {"GET d", "$2 \\xf0\\x00"},
    {"BITOP AND d a none", ":3"},
    {"GET d", "$3 \\x00\\x00\\x00"},
    {"BITOP OR d none b", ":2"},
    {"GET d", "$2 \\x0f\\xff"},
    {"BITOP XOR d a", ":3"},
    {"GET d", "$3 \\xff\\x0fU"},
    {"BITOP XOR d a a a", ":3"},
    {"GET d", "$3 \\xff\\x0fU"},
    {"BITOP AND d b a none b", ":3"},
    {"GET d", "$3 \\x00\\x00\\x00"},
    {"SET e \\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff", "+OK"},
    {"BITOP AND d a e", ":10"},
    {"GET d", "$10 \\xff\\x0fU\\x00\\x00\\x00\\x00\\x00\\x00\\x00"},
    {"BITOP AND d e b e a", ":10"},
    {"GET d", "$10 \\x0f\\x0f\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00"},
    {"BITOP AND d e a none e", ":10"},
    {"GET d", "$10 \\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00"},
    {"BITOP AND a a b", ":3"},
    {"GET a", "$3 \\x0f\\x0f\\x00"},
    {"BITOP NOT a a", ":3"},
    {"GET a", "$3 \\xf0\\xf0\\xff"},
    {"BITOP NOT d none", ":0"},
    {"EXISTS d", ":0"},
    {"BITOP OR d none none", ":0"},
    {"SET d x", "+OK"},
    {"SET e ", "+OK"},
    {"BITOP OR d none e", ":0"},
    {"EXISTS d", ":0"},
    {"BITOP NOT d a b", "-ERR BITOP NOT must be called with a single source key."},
    {"BITOP bogus d a", "-ERR syntax error"},
    {"BITOP bogus d list", "-ERR syntax error"},
    {"BITOP NOT d list b", "-ERR BITOP NOT must be called with a single source key."},
    {"BITOP AND d list", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
    {"BITOP AND d a list none",
     "-WRONGTYPE Operation against a key holding the wrong kind of value"},
    {"BITOP NOT list a", ":3"},
    {"GET list", "$3 \\x0f\\x0f\\x00"},
    {"BITOP AND d", "-ERR wrong number of arguments for 'bitop' command"},
};

TEST(setbit)
{
    struct fake_view f;
    fake_view_init(&f);
    put_other_type(&f, "list");
    RUN_SCRIPT(&f, setbit_script);
}

TEST(bitcount)
{
    struct fake_view f;
    fake_view_init(&f);
    put_other_type(&f, "list");
    RUN_SCRIPT(&f, bitcount_script);
}

TEST(bitpos)
{
    struct fake_view f;
    fake_view_init(&f);
    put_other_type(&f, "list");
    RUN_SCRIPT(&f, bitpos_script);
}

TEST(bitop)
{
    struct fake_view f;
    fake_view_init(&f);
    put_other_type(&f, "list");
    RUN_SCRIPT(&f, bitop_script);
}

TEST(bits_that_stay_are_not_written)
{
    struct fake_view f;
    fake_view_init(&f);
    (void)run(&f, "SETBIT k 9 1");
    CHECK_EQ(f.changes, 1u);
    (void)run(&f, "SETBIT k 9 1");
    (void)run(&f, "SETBIT k 8 0");
    CHECK_EQ(f.changes, 1u);
    (void)run(&f, "SETBIT k 16 0");
    CHECK_EQ(f.changes, 2u);
}

#define RANDOM_BITS 40

/* BITCOUNT and BITPOS in all ranges of random strings, against a walk over the bits. */
static void compare_range(struct fake_view *f, uint64_t bits, int first, int last)
{
    unsigned count = 0;
    int positions[2] = {-1, -1};
    for (int i = first; i <= last; i++) {
        unsigned bit = (unsigned)(bits >> (RANDOM_BITS - 1 - i) & 1);
        count += bit;
        positions[bit] = positions[bit] < 0 ? i : positions[bit];
    }
    char text[64];
    char reply[64];
    (void)snprintf(text, sizeof text, "BITCOUNT k %d %d BIT", first, last);
    (void)snprintf(reply, sizeof reply, ":%u\r\n", count);
    CHECK_TEXT(run(f, text), reply);
    for (unsigned bit = 0; bit < 2; bit++) {
        (void)snprintf(text, sizeof text, "BITPOS k %u %d %d BIT", bit, first, last);
        (void)snprintf(reply, sizeof reply, ":%d\r\n", positions[bit]);
        CHECK_TEXT(run(f, text), reply);
    }
}

TEST(bit_ranges)
{
    struct prng prng;
    prng_init(&prng, 3);
    for (unsigned i = 0; i < 4; i++) {
        struct fake_view f;
        fake_view_init(&f);
        uint64_t bits = prng_next(&prng) >> (64 - RANDOM_BITS);
        uint8_t value[RANDOM_BITS / 8];
        for (size_t j = 0; j < sizeof value; j++) {
            value[j] = (uint8_t)(bits >> (RANDOM_BITS - 8 - 8 * j));
        }
        struct bytes args[] = {
            bytes_of_text("SET"),
            bytes_of_text("k"),
            bytes_of(value, sizeof value),
        };
        (void)run_args(&f, args, 3);
        for (int first = 0; first < RANDOM_BITS; first++) {
            for (int last = 0; last < RANDOM_BITS; last++) {
                compare_range(&f, bits, first, last);
            }
        }
    }
}

TEST(limits_of_bits)
{
    struct big_view big;
    big_view_init(&big, LIMIT_VALUE_BYTES);
    CHECK_TEXT(run_big(&big, "SETBIT big 536870911 1"), ":0");
    CHECK_EQ(big.size_put, LIMIT_VALUE_BYTES);
    CHECK_TEXT(run_big(&big, "SETBIT none 536870911 1"), ":0");
    CHECK_EQ(big.size_put, LIMIT_VALUE_BYTES);
    CHECK_TEXT(run_big(&big, "BITPOS big 0 -1"), ":536870904");
    CHECK_TEXT(run_big(&big, "BITPOS big 1"), ":-1");
    CHECK_TEXT(run_big(&big, "BITCOUNT big"), ":0");
    CHECK_TEXT(run_big(&big, "BITCOUNT big 536870911 536870911 BIT"), ":0");
}

/* The same long string may be named many times. */
TEST(bitop_is_limited)
{
    struct big_view big;
    big_view_init(&big, LIMIT_BITOP_BYTES / 32);
    char text[FAKE_ARGS_MAX * 4] = "BITOP AND d";
    for (unsigned i = 0; i < 32; i++) {
        strncat(text, " big", sizeof text - strlen(text) - 1);
    }
    CHECK_TEXT(run_big(&big, text), ":16777216");
    CHECK_EQ(big.puts, 1u);
    big.size++;
    CHECK_TEXT(run_big(&big, text), "-ERR strings of more than 536870912 bytes in one BITOP");
    CHECK_EQ(big.puts, 1u);
}

/* Each absent key clears what is behind its end: all of the long string, but only once. */
TEST(bitop_and_of_many_absent_keys_takes_no_time)
{
    enum {
        SOURCES = 50000 /* minutes, if each of them cost as much as the first */
    };
    struct big_view big;
    big_view_init(&big, LIMIT_VALUE_BYTES);
    big.shown.view = &big.base;
    static struct bytes args[3 + SOURCES];
    args[0] = bytes_of_text("BITOP");
    args[1] = bytes_of_text("AND");
    args[2] = bytes_of_text("d");
    args[3] = bytes_of_text("big");
    for (size_t i = 4; i < 3 + SOURCES; i++) {
        args[i] = bytes_of_text("none");
    }
    (void)run_args(&big.shown, args, 3 + SOURCES);
    CHECK_TEXT(fake_shown(&big.shown), ":67108864");
    CHECK_EQ(big.size_put, LIMIT_VALUE_BYTES);
}
