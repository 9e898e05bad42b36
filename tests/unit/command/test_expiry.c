/* Times to live as text. Bounds and errors as Redis 7.0.15 has them. */
#include "command/expiry.h"
#include "fake_view.h"

#define NOT_INT "-ERR value is not an integer or out of range\r\n"
#define BAD_TIME "-ERR invalid expire time in 'set' command\r\n"
#define NOW ((int64_t)FAKE_NOW_MS)

typedef bool (*parse_fn)(struct command_call *, struct bytes, enum expiry_form, int64_t *);

/* Result of a parser; -7 and the error in out_reply if it fails. */
static int64_t parse_by(parse_fn parse,
                        enum expiry_form form,
                        const char *text,
                        char out_reply[128])
{
    struct buf reply;
    buf_init(&reply, 127);
    struct bytes name = bytes_of_text("set");
    struct command_call call = {
        .command = command_find(&name, 1),
        .reply = &reply,
        .now_ms = FAKE_NOW_MS,
    };
    int64_t expires_ms = -7;
    bool is_good = parse(&call, bytes_of_text(text), form, &expires_ms);
    CHECK_EQ(is_good, reply.size == 0);
    CHECK(is_good || expires_ms == -7);
    (void)snprintf(out_reply, 128, "%.*s", (int)reply.size, (const char *)reply.data);
    buf_deinit(&reply);
    return expires_ms;
}

static const struct {
    enum expiry_form form;
    const char *text;
    const char *error;
    int64_t expires_ms;
} cases[] = {
    {EXPIRY_EX, "1", "", NOW + 1000},
    {EXPIRY_PX, "1", "", NOW + 1},
    {EXPIRY_EXAT, "1", "", 1000},
    {EXPIRY_PXAT, "1", "", 1},
    {EXPIRY_EX, "0", "", NOW},
    {EXPIRY_PXAT, "0", "", 0},
    {EXPIRY_EX, "-1", "", NOW - 1000},
    {EXPIRY_PX, "-1", "", NOW - 1},
    {EXPIRY_EXAT, "-1", "", -1000},
    {EXPIRY_PXAT, "-9223372036854775808", "", INT64_MIN},
    {EXPIRY_PX, "-9223372036854775808", "", INT64_MIN + NOW},
    {EXPIRY_EXAT, "-9223372036854775", "", -9223372036854775000},
    {EXPIRY_EXAT, "-9223372036854776", BAD_TIME, -7},
    {EXPIRY_EX, "-9223372036854776", BAD_TIME, -7},
    {EXPIRY_EX, "-9223372036854775808", BAD_TIME, -7},
    {EXPIRY_EXAT, "9223372036854775", "", 9223372036854775000},
    {EXPIRY_EXAT, "9223372036854776", BAD_TIME, -7},
    {EXPIRY_EX, "9223370336854775", "", 9223370336854775000 + NOW},
    {EXPIRY_EX, "9223370336854776", BAD_TIME, -7},
    {EXPIRY_EX, "9223372036854775807", BAD_TIME, -7},
    {EXPIRY_PX, "9223370336854775807", "", INT64_MAX},
    {EXPIRY_PX, "9223370336854775808", BAD_TIME, -7},
    {EXPIRY_PXAT, "9223372036854775807", "", INT64_MAX},
    {EXPIRY_PXAT, "9223372036854775808", NOT_INT, -7},
    {EXPIRY_EX, "", NOT_INT, -7},
    {EXPIRY_EX, "x", NOT_INT, -7},
    {EXPIRY_EX, "1.5", NOT_INT, -7},
    {EXPIRY_EX, "+1", NOT_INT, -7},
    {EXPIRY_EX, "01", NOT_INT, -7},
    {EXPIRY_EX, " 1", NOT_INT, -7},
};

TEST(absolute_times)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char reply[128];
        int64_t expires_ms = parse_by(expiry_parse, cases[i].form, cases[i].text, reply);
        CHECK_TEXT(reply, cases[i].error);
        CHECK_EQ(expires_ms, cases[i].expires_ms);
    }
}

TEST(positive_times)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char reply[128];
        int64_t expires_ms = parse_by(expiry_parse_positive, cases[i].form, cases[i].text, reply);
        bool is_refused = cases[i].text[0] == '-' || cases[i].text[0] == '0';
        is_refused = is_refused && cases[i].error[0] == '\0';
        CHECK_TEXT(reply, is_refused ? BAD_TIME : cases[i].error);
        CHECK_EQ(expires_ms, is_refused ? -7 : cases[i].expires_ms);
    }
}

TEST(option_words)
{
    enum expiry_form form;
    CHECK(expiry_option(bytes_of_text("EX"), &form) && form == EXPIRY_EX);
    CHECK(expiry_option(bytes_of_text("px"), &form) && form == EXPIRY_PX);
    CHECK(expiry_option(bytes_of_text("ExAt"), &form) && form == EXPIRY_EXAT);
    CHECK(expiry_option(bytes_of_text("PXAT"), &form) && form == EXPIRY_PXAT);
    CHECK(!expiry_option(bytes_of_text("E"), &form));
    CHECK(!expiry_option(bytes_of_text("EXA"), &form));
    CHECK(!expiry_option(bytes_of_text(""), &form));
    CHECK(!expiry_option(bytes_of_text("KEEPTTL"), &form));
}
