#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/prng.h"
#include "harness.h"
#include "protocol/resp_reply.h"
#include "protocol/resp_writer.h"

#define OUT_MAX (64u * 1024u)
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Complete replies; each without its last byte is incomplete. */
static const char *const complete[] = {
    "+OK\r\n",
    "+\r\n",
    "-ERR no\r\n",
    ":0\r\n",
    ":-9223372036854775808\r\n",
    "$0\r\n\r\n",
    "$4\r\na\r\nb\r\n",
    "$-1\r\n",
    "*-1\r\n",
    "*0\r\n",
    "*2\r\n:1\r\n*1\r\n$1\r\na\r\n",
    "*3\r\n*0\r\n*0\r\n*1\r\n*0\r\n",
    "_\r\n",
    "#t\r\n",
    "#f\r\n",
    ",1.5e-10\r\n",
    ",-inf\r\n",
    ",nan\r\n",
    "(-123456789012345678901234567890\r\n",
    "!5\r\nERR x\r\n",
    "=6\r\ntxt:hi\r\n",
    "%2\r\n+a\r\n:1\r\n+b\r\n*1\r\n_\r\n",
    "~1\r\n+a\r\n",
    ">2\r\n+message\r\n$1\r\nx\r\n",
};

static const char *const malformed[] = {
    "PING\r\n",
    "\r\n",
    "|1\r\n+a\r\n:1\r\n:2\r\n",
    "+a\n",
    "+a\rb",
    "+a\n\r\n",
    ":\r\n",
    ":1x\r\n",
    ":9223372036854775808\r\n",
    ":+1\r\n",
    "$\r\n",
    "$-2\r\n",
    "$01\r\na\r\n",
    "$?\r\n",
    "$536870913\r\n",
    "$1\r\nab\r\n",
    "$1\r\na\rb",
    "*-2\r\n",
    "*x\r\n",
    "*1000000001\r\n",
    "*1\r\n$x\r\n",
    "_x\r\n",
    "#x\r\n",
    "#\r\n",
    "#tt\r\n",
    ",\r\n",
    ",0x10\r\n",
    ",infinity\r\n",
    ", 1\r\n",
    ",1e\r\n",
    "(\r\n",
    "(-\r\n",
    "(1a\r\n",
    "!-1\r\n",
    "=-1\r\n",
    "=3\r\ntxt\r\n",
    "=4\r\ntxt-\r\n",
    "%-1\r\n",
    "~-1\r\n",
    ">-1\r\n",
};

/* A copy of exactly its size, so that AddressSanitizer sees a read beyond it. */
static enum status size_of(struct bytes input, size_t *out_size)
{
    uint8_t *memory = mem_alloc(input.size > 0 ? input.size : 1);
    if (input.size > 0) {
        memcpy(memory, input.data, input.size);
    }
    enum status status = resp_reply_size(bytes_of(memory, input.size), out_size);
    mem_free(memory);
    return status;
}

TEST(complete_replies_and_all_their_prefixes)
{
    for (size_t i = 0; i < COUNT_OF(complete); i++) {
        size_t size = strlen(complete[i]);
        size_t found = 777;
        for (size_t prefix = 0; prefix < size; prefix++) {
            CHECK_EQ(size_of(bytes_of(complete[i], prefix), &found), STATUS_NEED);
            CHECK_EQ(found, 777);
        }
        CHECK_EQ(size_of(bytes_of(complete[i], size), &found), STATUS_OK);
        CHECK_EQ(found, size);
    }
}

TEST(only_the_first_reply_counts)
{
    size_t found = 0;
    CHECK_EQ(size_of(bytes_of_text("*1\r\n:1\r\n:2\r\n"), &found), STATUS_OK);
    CHECK_EQ(found, 8);
    CHECK_EQ(size_of(bytes_of_text("+OK\r\nrubbish"), &found), STATUS_OK);
    CHECK_EQ(found, 5);
}

TEST(malformed_replies)
{
    for (size_t i = 0; i < COUNT_OF(malformed); i++) {
        size_t found = 777;
        enum status status = size_of(bytes_of_text(malformed[i]), &found);
        CHECK_TEXT(status == STATUS_MALFORMED ? "" : malformed[i], "");
        CHECK_EQ(found, 777);
    }
    size_t found = 0;
    CHECK_EQ(size_of(bytes_of("\0\r\n", 3), &found), STATUS_MALFORMED);
}

static enum status nested_size(size_t levels, size_t *out_size)
{
    struct buf out;
    buf_init(&out, OUT_MAX);
    for (size_t i = 0; i < levels; i++) {
        resp_write_array(&out, 1);
    }
    resp_write_integer(&out, 1);
    enum status status = size_of(buf_bytes(&out), out_size);
    buf_deinit(&out);
    return status;
}

TEST(nesting_has_a_limit)
{
    size_t found = 0;
    CHECK_EQ(nested_size(RESP_REPLY_LEVELS_MAX, &found), STATUS_OK);
    CHECK_EQ(found, RESP_REPLY_LEVELS_MAX * 4 + 4);
    CHECK_EQ(nested_size(RESP_REPLY_LEVELS_MAX + 1, &found), STATUS_MALFORMED);
    CHECK_EQ(nested_size(5000, &found), STATUS_MALFORMED);
}

TEST(endless_lines_are_malformed)
{
    static char line[RESP_REPLY_LINE_BYTES_MAX + 1];
    memset(line, 'a', sizeof(line));
    line[0] = '+';
    size_t found = 0;
    CHECK_EQ(size_of(bytes_of(line, sizeof(line) - 1), &found), STATUS_NEED);
    CHECK_EQ(size_of(bytes_of(line, sizeof(line)), &found), STATUS_MALFORMED);
}

static struct resp_value read_one(const char *text)
{
    struct bytes rest = bytes_of_text(text);
    struct resp_value value = {0};
    CHECK_EQ(resp_value_read(&rest, &value), STATUS_OK);
    CHECK_EQ(rest.size, 0);
    return value;
}

static void check_read_text(const char *input, enum resp_type type, const char *text)
{
    struct resp_value value = read_one(input);
    CHECK_EQ(value.type, type);
    CHECK_EQ(value.count, 0);
    CHECK_BYTES(value.text, bytes_of_text(text));
}

static void check_read_count(const char *input, enum resp_type type, int64_t count)
{
    struct resp_value value = read_one(input);
    CHECK_EQ(value.type, type);
    CHECK_EQ(value.count, count);
    CHECK_EQ(resp_value_is_null(&value), count < 0);
    CHECK_EQ(value.text.size, 0);
}

TEST(values)
{
    check_read_text("+OK\r\n", RESP_TYPE_SIMPLE, "OK");
    check_read_text("-ERR no\r\n", RESP_TYPE_ERROR, "ERR no");
    check_read_text(":-12\r\n", RESP_TYPE_INTEGER, "-12");
    check_read_text("$3\r\na\r\n\r\n", RESP_TYPE_BULK, "a\r\n");
    check_read_text("$0\r\n\r\n", RESP_TYPE_BULK, "");
    check_read_text("(-12\r\n", RESP_TYPE_BIG_NUMBER, "-12");
    check_read_text("!5\r\nERR x\r\n", RESP_TYPE_BULK_ERROR, "ERR x");
    check_read_text("=6\r\ntxt:hi\r\n", RESP_TYPE_VERBATIM, "hi");
    check_read_text(",2.5\r\n", RESP_TYPE_DOUBLE, "2.5");
    check_read_count("$-1\r\n", RESP_TYPE_BULK, -1);
    check_read_count("*-1\r\n", RESP_TYPE_ARRAY, -1);
    check_read_count("_\r\n", RESP_TYPE_NULL, -1);
    check_read_count("*0\r\n", RESP_TYPE_ARRAY, 0);
    check_read_count("*3\r\n", RESP_TYPE_ARRAY, 3);
    check_read_count("%3\r\n", RESP_TYPE_MAP, 6);
    check_read_count("~3\r\n", RESP_TYPE_SET, 3);
    check_read_count(">3\r\n", RESP_TYPE_PUSH, 3);
    CHECK_EQ(read_one(":-12\r\n").integer, -12);
    CHECK_EQ(read_one("#t\r\n").integer, 1);
    CHECK_EQ(read_one("#f\r\n").integer, 0);
    CHECK(fabs(read_one(",2.5\r\n").number - 2.5) < 1e-12);
    CHECK(isinf(read_one(",-inf\r\n").number));
    CHECK(isnan(read_one(",nan\r\n").number));
}

TEST(failed_reads_change_nothing)
{
    const char *const inputs[] = {"", "+OK", "$3\r\nab", "PING\r\n", "=3\r\ntxt\r\n"};
    for (size_t i = 0; i < COUNT_OF(inputs); i++) {
        struct bytes rest = bytes_of_text(inputs[i]);
        struct resp_value value = {.integer = 777, .count = 777};
        CHECK(resp_value_read(&rest, &value) != STATUS_OK);
        CHECK(rest.data == (const uint8_t *)inputs[i]);
        CHECK_EQ(rest.size, strlen(inputs[i]));
        CHECK_EQ(value.integer, 777);
        CHECK_EQ(value.count, 777);
    }
}

/* A random reply tree; left bounds how many values it has. */
static void write_random(struct prng *prng, struct buf *out, int version)
{
    uint64_t left = 1;
    for (uint64_t written = 0; left > 0; written++, left--) {
        uint64_t children = written < 40 ? prng_below(prng, 4) : 0;
        switch (prng_below(prng, 10)) {
        case 0:
            resp_write_array(out, children);
            left += children;
            break;
        case 1:
            resp_write_map(out, version, children);
            left += children * 2;
            break;
        case 2:
            resp_write_set(out, version, children);
            left += children;
            break;
        case 3:
            resp_write_bulk(out, bytes_of("\r\n$1\r\n*", (size_t)prng_below(prng, 8)));
            break;
        case 4:
            resp_write_null(out, version);
            break;
        case 5:
            resp_write_double(out, version, (double)prng_next(prng) / 3);
            break;
        case 6:
            resp_write_verbatim(out, version, "txt", bytes_of_text("=\r\n"));
            break;
        case 7:
            resp_write_errorf(out, "ERR %d", (int)prng_below(prng, 100));
            break;
        case 8:
            resp_write_bool(out, version, prng_chance(prng, 500));
            break;
        default:
            resp_write_integer(out, (int64_t)prng_next(prng));
            break;
        }
    }
}

TEST(what_the_writer_writes_is_read)
{
    for (uint64_t seed = 1; seed <= 2000; seed++) {
        struct prng prng;
        prng_init(&prng, seed);
        struct buf out;
        buf_init(&out, OUT_MAX);
        write_random(&prng, &out, seed % 2 == 0 ? 2 : 3);

        size_t found = 0;
        CHECK_EQ(size_of(buf_bytes(&out), &found), STATUS_OK);
        CHECK_EQ(found, out.size);
        size_t prefix = (size_t)prng_below(&prng, out.size);
        CHECK_EQ(size_of(bytes_of(out.data, prefix), &found), STATUS_NEED);

        struct bytes rest = buf_bytes(&out);
        int64_t left = 1;
        while (left > 0) {
            struct resp_value value = {0};
            CHECK_EQ(resp_value_read(&rest, &value), STATUS_OK);
            left += (value.count > 0 ? value.count : 0) - 1;
        }
        CHECK_EQ(rest.size, 0);
        buf_deinit(&out);
    }
}
