#include <math.h>
#include <string.h>

#include "harness.h"
#include "protocol/resp_writer.h"

#define OUT_MAX (256u * 1024u)

/* Runs one statement against an empty buffer `out` and compares what it wrote. */
#define CHECK_WRITTEN(statement, expected)                                                         \
    do {                                                                                           \
        struct buf out;                                                                            \
        buf_init(&out, OUT_MAX);                                                                   \
        statement;                                                                                 \
        CHECK_BYTES(buf_bytes(&out), bytes_of((expected), sizeof(expected) - 1));                  \
        buf_deinit(&out);                                                                          \
    } while (0)

TEST(lines)
{
    CHECK_WRITTEN(resp_write_simple(&out, "OK"), "+OK\r\n");
    CHECK_WRITTEN(resp_write_simple(&out, ""), "+\r\n");
    CHECK_WRITTEN(resp_write_error(&out, "ERR no"), "-ERR no\r\n");
    CHECK_WRITTEN(resp_write_error(&out, "ERR a\r\n+OK\r\nb"), "-ERR a  +OK  b\r\n");
    CHECK_WRITTEN(resp_write_errorf(&out, "ERR '%s' %d", "\nx\r", -7), "-ERR ' x ' -7\r\n");
}

TEST(long_errors_are_cut)
{
    char text[RESP_ERROR_TEXT_BYTES_MAX * 2];
    memset(text, 'e', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    struct buf out;
    buf_init(&out, OUT_MAX);
    resp_write_error(&out, text);
    CHECK_EQ(out.size, RESP_ERROR_TEXT_BYTES_MAX + 3);
    resp_write_errorf(&out, "%s", text);
    CHECK_EQ(out.size, 2 * (RESP_ERROR_TEXT_BYTES_MAX + 3));
    CHECK_BYTES(bytes_of(out.data + out.size - 3, 3), bytes_of_text("e\r\n"));
    buf_deinit(&out);
}

TEST(integers)
{
    CHECK_WRITTEN(resp_write_integer(&out, 0), ":0\r\n");
    CHECK_WRITTEN(resp_write_integer(&out, 9), ":9\r\n");
    CHECK_WRITTEN(resp_write_integer(&out, 10), ":10\r\n");
    CHECK_WRITTEN(resp_write_integer(&out, -1), ":-1\r\n");
    CHECK_WRITTEN(resp_write_integer(&out, 1234567890), ":1234567890\r\n");
    CHECK_WRITTEN(resp_write_integer(&out, INT64_MAX), ":9223372036854775807\r\n");
    CHECK_WRITTEN(resp_write_integer(&out, INT64_MIN), ":-9223372036854775808\r\n");
}

TEST(bulks)
{
    CHECK_WRITTEN(resp_write_bulk_text(&out, "a\r\nb"), "$4\r\na\r\nb\r\n");
    CHECK_WRITTEN(resp_write_bulk_text(&out, ""), "$0\r\n\r\n");
    CHECK_WRITTEN(resp_write_bulk(&out, (struct bytes){0}), "$0\r\n\r\n");
    CHECK_WRITTEN(resp_write_bulk(&out, bytes_of("a\0b", 3)), "$3\r\na\0b\r\n");
    CHECK_WRITTEN(resp_write_bulk_text(&out, "0123456789"), "$10\r\n0123456789\r\n");
    CHECK_WRITTEN(resp_write_verbatim(&out, 2, "txt", bytes_of_text("hi")), "$2\r\nhi\r\n");
    CHECK_WRITTEN(resp_write_verbatim(&out, 3, "txt", bytes_of_text("hi")), "=6\r\ntxt:hi\r\n");
    CHECK_WRITTEN(resp_write_verbatim(&out, 3, "mkd", (struct bytes){0}), "=4\r\nmkd:\r\n");
}

TEST(nulls_and_booleans)
{
    CHECK_WRITTEN(resp_write_null(&out, 2), "$-1\r\n");
    CHECK_WRITTEN(resp_write_null(&out, 3), "_\r\n");
    CHECK_WRITTEN(resp_write_null_array(&out, 2), "*-1\r\n");
    CHECK_WRITTEN(resp_write_null_array(&out, 3), "_\r\n");
    CHECK_WRITTEN(resp_write_bool(&out, 2, true), ":1\r\n");
    CHECK_WRITTEN(resp_write_bool(&out, 2, false), ":0\r\n");
    CHECK_WRITTEN(resp_write_bool(&out, 3, true), "#t\r\n");
    CHECK_WRITTEN(resp_write_bool(&out, 3, false), "#f\r\n");
}

TEST(aggregates)
{
    CHECK_WRITTEN(resp_write_array(&out, 0), "*0\r\n");
    CHECK_WRITTEN(resp_write_array(&out, 1048576), "*1048576\r\n");
    CHECK_WRITTEN(resp_write_map(&out, 2, 3), "*6\r\n");
    CHECK_WRITTEN(resp_write_map(&out, 3, 3), "%3\r\n");
    CHECK_WRITTEN(resp_write_set(&out, 2, 4), "*4\r\n");
    CHECK_WRITTEN(resp_write_set(&out, 3, 4), "~4\r\n");
    CHECK_WRITTEN(resp_write_push(&out, 2, 3), "*3\r\n");
    CHECK_WRITTEN(resp_write_push(&out, 3, 3), ">3\r\n");
}

/* The finite ones as redis-server 7.0.15 answers ZSCORE. */
TEST(doubles)
{
    CHECK_WRITTEN(resp_write_double(&out, 2, 3), "$1\r\n3\r\n");
    CHECK_WRITTEN(resp_write_double(&out, 2, -0.0), "$2\r\n-0\r\n");
    CHECK_WRITTEN(resp_write_double(&out, 2, 0.1), "$19\r\n0.10000000000000001\r\n");
    CHECK_WRITTEN(resp_write_double(&out, 2, 1e17), "$5\r\n1e+17\r\n");
    CHECK_WRITTEN(resp_write_double(&out, 2, 123456789012345678.0),
                  "$22\r\n1.2345678901234568e+17\r\n");
    CHECK_WRITTEN(resp_write_double(&out, 2, 1e300), "$23\r\n1.0000000000000001e+300\r\n");
    CHECK_WRITTEN(resp_write_double(&out, 3, 0.1), ",0.10000000000000001\r\n");
    CHECK_WRITTEN(resp_write_double(&out, 3, -2.2250738585072014e-308),
                  ",-2.2250738585072014e-308\r\n");
    CHECK_WRITTEN(resp_write_double(&out, 2, HUGE_VAL), "$3\r\ninf\r\n");
    CHECK_WRITTEN(resp_write_double(&out, 2, -HUGE_VAL), "$4\r\n-inf\r\n");
    CHECK_WRITTEN(resp_write_double(&out, 3, HUGE_VAL), ",inf\r\n");
    CHECK_WRITTEN(resp_write_double(&out, 3, -HUGE_VAL), ",-inf\r\n");
    CHECK_WRITTEN(resp_write_double(&out, 2, copysign(nan(""), -1)), "$3\r\nnan\r\n");
    CHECK_WRITTEN(resp_write_double(&out, 3, nan("")), ",nan\r\n");
}

/* What the header promises to callers who ask for room. */
TEST(frames_stay_within_their_maximum)
{
    struct buf out;
    buf_init(&out, RESP_FRAME_BYTES_MAX);
    resp_write_integer(&out, INT64_MIN);
    CHECK(out.size <= RESP_FRAME_BYTES_MAX);
    buf_clear(&out, 0);
    resp_write_map(&out, 3, INT64_MAX);
    CHECK(out.size <= RESP_FRAME_BYTES_MAX);
    buf_clear(&out, 0);
    resp_write_double(&out, 2, -2.2250738585072014e-308);
    CHECK(out.size <= RESP_FRAME_BYTES_MAX);
    buf_deinit(&out);
}
