/* GET, MGET, SET, INCR, and DEL and EXISTS beside them. Replies and values as Redis 7.0.15 gives
 * them. */
#include "fake_view.h"

#define OK "+OK\r\n"
#define NIL "$-1\r\n"
#define OLD "$3\r\nold\r\n"
#define SYNTAX "-ERR syntax error\r\n"
#define NOT_INT "-ERR value is not an integer or out of range\r\n"
#define BAD_TIME "-ERR invalid expire time in 'set' command\r\n"
#define NEVER 0u
#define KEPT 5u

/* SET k new and these options: on an absent key, then on "old" that expires at KEPT. */
struct set_case {
    const char *options;
    const char *absent_reply;
    const char *absent_value;
    const char *present_reply;
    const char *present_value;
    uint64_t expires_ms; /* if the value is new and was there */
};

#define SAME(reply) reply, "new", reply, "new"
#define FAILS(reply) reply, "(none)", reply, "old"

static const struct set_case set_cases[] = {
    {"", SAME(OK), NEVER},
    {" NX", OK, "new", NIL, "old", 0},
    {" XX", NIL, "(none)", OK, "new", NEVER},
    {" nX nx", OK, "new", NIL, "old", 0},
    {" GET", NIL, "new", OLD, "new", NEVER},
    {" GET get", NIL, "new", OLD, "new", NEVER},
    {" NX GET", NIL, "new", OLD, "old", 0},
    {" GET XX", NIL, "(none)", OLD, "new", NEVER},
    {" KEEPTTL", SAME(OK), KEPT},
    {" keepttl KEEPTTL", SAME(OK), KEPT},
    {" KEEPTTL XX GET", NIL, "(none)", OLD, "new", KEPT},
    {" EX 100", SAME(OK), FAKE_NOW_MS + 100000},
    {" PX 100", SAME(OK), FAKE_NOW_MS + 100},
    {" EXAT 99999999999", SAME(OK), 99999999999000u},
    {" pxat 99999999999", SAME(OK), 99999999999u},
    {" PXAT 1", SAME(OK), 1},
    {" XX PX 1 GET", NIL, "(none)", OLD, "new", FAKE_NOW_MS + 1},
    {" PX 9 NX", OK, "new", NIL, "old", 0},
    {" EXAT 9223372036854775", SAME(OK), 9223372036854775000u},
    {" PXAT 9223372036854775807", SAME(OK), 9223372036854775807u},
    /* Twice the same: the last one counts. */
    {" EX 100 ex 200", SAME(OK), FAKE_NOW_MS + 200000},
    {" PX 0 PX 7", SAME(OK), FAKE_NOW_MS + 7},
    {" PXAT 5 PXAT 6", SAME(OK), 6},
    {" EX 100 EX 0", FAILS(BAD_TIME), 0},
    {" EX abc EX 1", SAME(OK), FAKE_NOW_MS + 1000},
    /* What may not stand beside each other. */
    {" NX XX", FAILS(SYNTAX), 0},
    {" XX NX", FAILS(SYNTAX), 0},
    {" GET XX NX", FAILS(SYNTAX), 0},
    {" EX 100 PX 100", FAILS(SYNTAX), 0},
    {" PX 100 EX 100", FAILS(SYNTAX), 0},
    {" EXAT 99999999999 EX 1", FAILS(SYNTAX), 0},
    {" PXAT 99999999999 PX 1", FAILS(SYNTAX), 0},
    {" EX 100 KEEPTTL", FAILS(SYNTAX), 0},
    {" KEEPTTL EX 100", FAILS(SYNTAX), 0},
    {" KEEPTTL PXAT 1", FAILS(SYNTAX), 0},
    {" EX 0 PX 1", FAILS(SYNTAX), 0},
    {" bogus", FAILS(SYNTAX), 0},
    {" PERSIST", FAILS(SYNTAX), 0},
    {" NX bogus", FAILS(SYNTAX), 0},
    {" EX", FAILS(SYNTAX), 0},
    {" PX", FAILS(SYNTAX), 0},
    {" GET EXAT", FAILS(SYNTAX), 0},
    {" EX EX", FAILS(NOT_INT), 0},
    {" EX NX", FAILS(NOT_INT), 0},
    /* Times. */
    {" EX 0", FAILS(BAD_TIME), 0},
    {" EX -1", FAILS(BAD_TIME), 0},
    {" PX 0", FAILS(BAD_TIME), 0},
    {" EXAT 0", FAILS(BAD_TIME), 0},
    {" PXAT -9223372036854775808", FAILS(BAD_TIME), 0},
    {" EX 9223372036854775", FAILS(BAD_TIME), 0},
    {" EX 9223372036854775807", FAILS(BAD_TIME), 0},
    {" PX 9223372036854775807", FAILS(BAD_TIME), 0},
    {" EXAT 9223372036854776", FAILS(BAD_TIME), 0},
    {" EX abc", FAILS(NOT_INT), 0},
    {" EX 010", FAILS(NOT_INT), 0},
    {" EX +1", FAILS(NOT_INT), 0},
    {" PX 1.5", FAILS(NOT_INT), 0},
    {" PX 9223372036854775808", FAILS(NOT_INT), 0},
    {" NX EX 0", FAILS(BAD_TIME), 0},
    {" GET PX 0", FAILS(BAD_TIME), 0},
};

static void put_old(struct fake_view *f)
{
    struct object old = {
        .type = OBJECT_TYPE_STRING,
        .expires_ms = KEPT,
        .value = bytes_of_text("old"),
    };
    CHECK_EQ(view_put(&f->base, bytes_of_text("k"), &old), STATUS_OK);
    f->changes = 0;
}

static uint64_t expiry_of(struct fake_view *f, const char *key)
{
    return fake_find(f, bytes_of_text(key))->object.expires_ms;
}

TEST(set_options)
{
    for (size_t i = 0; i < sizeof set_cases / sizeof set_cases[0]; i++) {
        const struct set_case *c = &set_cases[i];
        char text[128];
        (void)snprintf(text, sizeof text, "SET k new%s", c->options);
        struct fake_view f;
        fake_view_init(&f);
        CHECK_TEXT(run(&f, text), c->absent_reply);
        CHECK_TEXT(value_of(&f, "k"), c->absent_value);
        bool is_new = strcmp(c->present_value, "new") == 0;
        if (f.count > 0 && is_new) {
            CHECK_EQ(expiry_of(&f, "k"), c->expires_ms == KEPT ? NEVER : c->expires_ms);
        }

        fake_view_init(&f);
        put_old(&f);
        CHECK_TEXT(run(&f, text), c->present_reply);
        CHECK_TEXT(value_of(&f, "k"), c->present_value);
        CHECK_EQ(expiry_of(&f, "k"), is_new ? c->expires_ms : KEPT);
        CHECK_EQ(f.changes, is_new ? 1u : 0u);
        CHECK_EQ(f.result, c->present_reply[0] == '-' ? COMMAND_ERROR : COMMAND_DONE);
    }
}

TEST(get_and_set)
{
    struct fake_view f;
    fake_view_init(&f);
    CHECK_TEXT(run(&f, "GET k"), NIL);
    CHECK_TEXT(run(&f, "SET k v"), OK);
    CHECK_TEXT(run(&f, "GET k"), "$1\r\nv\r\n");
    CHECK_TEXT(run(&f, "SET k  GET"), "$1\r\nv\r\n"); /* the empty value */
    CHECK_TEXT(run(&f, "GET k"), "$0\r\n\r\n");
    CHECK_EQ(f.changes, 2u);
}

TEST(mget)
{
    struct fake_view f;
    fake_view_init(&f);
    (void)run(&f, "SET a 1");
    (void)run(&f, "SET b  GET"); /* the empty value */
    CHECK_TEXT(run(&f, "MGET a"), "*1\r\n$1\r\n1\r\n");
    CHECK_TEXT(run(&f, "MGET none"), "*1\r\n" NIL);
    CHECK_TEXT(run(&f, "MGET b none a a"), "*4\r\n$0\r\n\r\n" NIL "$1\r\n1\r\n$1\r\n1\r\n");
    fake_find(&f, bytes_of_text("a"))->object.type = (enum object_type)99; /* no string: no error */
    CHECK_TEXT(run(&f, "MGET a b"), "*2\r\n" NIL "$0\r\n\r\n");
    CHECK_EQ(f.result, COMMAND_DONE);
    CHECK_EQ(f.changes, 2u);
}

static uint8_t big_value[LIMIT_REPLY_VALUES_BYTES / 2 + 1];

/* "full" and "more": half of what a reply may hold, and one byte above that. */
static enum status big_get(struct view *v, struct bytes key, struct object *out_object)
{
    (void)v;
    bool is_more = bytes_equal_text(key, "more");
    *out_object = (struct object){
        .type = OBJECT_TYPE_STRING,
        .value = bytes_of(big_value, sizeof big_value - (is_more ? 0 : 1)),
    };
    return STATUS_OK;
}

static enum command_result big_mget(const char *second, struct buf *reply)
{
    static const struct view_ops ops = {.get = big_get};
    struct view view = {.ops = &ops};
    struct bytes args[] = {bytes_of_text("mget"), bytes_of_text("full"), bytes_of_text(second)};
    struct command_call call = {
        .command = command_find(args, 3),
        .args = args,
        .arg_count = 3,
        .resp = 3,
        .reply = reply,
        .view = &view,
    };
    return call.command->handler(&call);
}

TEST(mget_is_limited)
{
    struct buf reply;
    buf_init(&reply, (size_t)2 * LIMIT_REPLY_VALUES_BYTES);
    CHECK_EQ(big_mget("full", &reply), COMMAND_DONE);
    CHECK(reply.size > LIMIT_REPLY_VALUES_BYTES);
    buf_clear(&reply, 0);
    CHECK_EQ(big_mget("more", &reply), COMMAND_ERROR);
    CHECK_BYTES(buf_bytes(&reply),
                bytes_of_text("-ERR values of more than 67108864 bytes in one reply\r\n"));
    buf_deinit(&reply);
}

TEST(mget_in_resp3_has_its_null)
{
    struct fake_view f;
    fake_view_init(&f);
    struct buf reply;
    buf_init(&reply, 4096);
    struct bytes args[] = {bytes_of_text("MGET"), bytes_of_text("none")};
    struct command_call call = {
        .command = command_find(args, 2),
        .args = args,
        .arg_count = 2,
        .resp = 3,
        .reply = &reply,
        .view = &f.base,
    };
    CHECK_EQ(call.command->handler(&call), COMMAND_DONE);
    CHECK_BYTES(buf_bytes(&reply), bytes_of_text("*1\r\n_\r\n"));
    buf_deinit(&reply);
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

TEST(del_and_exists)
{
    struct fake_view f;
    fake_view_init(&f);
    (void)run(&f, "SET a 1");
    (void)run(&f, "SET b 2");
    CHECK_TEXT(run(&f, "EXISTS a b c a"), ":3\r\n");
    CHECK_TEXT(run(&f, "DEL a c a"), ":1\r\n");
    CHECK_TEXT(run(&f, "EXISTS a"), ":0\r\n");
    CHECK_TEXT(run(&f, "DEL b"), ":1\r\n");
    CHECK_EQ(f.count, 0u);
}

/* DATA-3: a handler that misses a row has changed nothing. */
TEST(missing_rows_change_nothing)
{
    static const char *const commands[] = {"GET m",
                                           "MGET m",
                                           "MGET a m",
                                           "SET m v",
                                           "SET m v NX GET",
                                           "INCR m",
                                           "EXISTS a m",
                                           "DEL a m",
                                           "DEL m a"};
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        struct fake_view f;
        fake_view_init(&f);
        (void)run(&f, "SET a 1");
        f.changes = 0;
        f.missing = "m";
        (void)run(&f, commands[i]);
        CHECK_EQ(f.result, COMMAND_NEED);
        CHECK_EQ(f.changes, 0u);
        CHECK_TEXT(value_of(&f, "a"), "1");
    }
}
