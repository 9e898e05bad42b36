/* SET with all its options, SETEX, PSETEX, SETNX. Replies and values as Redis 7.0.15 gives them. */
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

static const struct script_step setex_script[] = {
    {"SETEX k 100 v", "+OK"},
    {"GET k", "$1 v"},
    {"SETEX k 0 w", "-ERR invalid expire time in 'setex' command"},
    {"SETEX k -1 w", "-ERR invalid expire time in 'setex' command"},
    {"SETEX k abc w", "-ERR value is not an integer or out of range"},
    {"SETEX k 1.5 w", "-ERR value is not an integer or out of range"},
    {"SETEX k 9223372036854775 w", "-ERR invalid expire time in 'setex' command"},
    {"SETEX k 9223372036854775807 w", "-ERR invalid expire time in 'setex' command"},
    {"SETEX k 9223372036854775808 w", "-ERR value is not an integer or out of range"},
    {"SETEX k 100", "-ERR wrong number of arguments for 'setex' command"},
    {"SETEX k 100 v w", "-ERR wrong number of arguments for 'setex' command"},
    {"GET k", "$1 v"},
    {"SETEX list 100 v", "+OK"},
    {"GET list", "$1 v"},
    {"PSETEX p 100000 v", "+OK"},
    {"GET p", "$1 v"},
    {"PSETEX p 0 w", "-ERR invalid expire time in 'psetex' command"},
    {"PSETEX p -5 w", "-ERR invalid expire time in 'psetex' command"},
    {"PSETEX p x w", "-ERR value is not an integer or out of range"},
    {"PSETEX p 9223372036854775807 w", "-ERR invalid expire time in 'psetex' command"},
    {"PSETEX p 1", "-ERR wrong number of arguments for 'psetex' command"},
    {"GET p", "$1 v"},
};

static const struct script_step setnx_script[] = {
    {"SETNX k v", ":1"},
    {"SETNX k w", ":0"},
    {"GET k", "$1 v"},
    {"SETNX list v", ":0"},
    {"GET list", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
    {"SETNX k", "-ERR wrong number of arguments for 'setnx' command"},
    {"SETNX k v w", "-ERR wrong number of arguments for 'setnx' command"},
};

static const struct script_step set_type_script[] = {
    {"SET list v GET", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
    {"SET list v NX GET", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
    {"SET list v NX", "$-1"},
    {"SET list v GET EX 0", "-ERR invalid expire time in 'set' command"},
    {"SET list v XX", "+OK"},
    {"GET list", "$1 v"},
    {"SET k v EX 100 KEEPTTL", "-ERR syntax error"},
    {"SET k", "-ERR wrong number of arguments for 'set' command"},
};

TEST(setex)
{
    struct fake_view f;
    fake_view_init(&f);
    put_other_type(&f, "list");
    RUN_SCRIPT(&f, setex_script);
}

TEST(setnx)
{
    struct fake_view f;
    fake_view_init(&f);
    put_other_type(&f, "list");
    RUN_SCRIPT(&f, setnx_script);
}

TEST(set_type)
{
    struct fake_view f;
    fake_view_init(&f);
    put_other_type(&f, "list");
    RUN_SCRIPT(&f, set_type_script);
}

TEST(setex_expiry)
{
    struct fake_view f;
    fake_view_init(&f);
    put_old(&f);
    CHECK_TEXT(run(&f, "SETEX k 2 v"), OK);
    CHECK_EQ(expiry_of(&f, "k"), FAKE_NOW_MS + 2000);
    CHECK_TEXT(run(&f, "PSETEX k 2 v"), OK);
    CHECK_EQ(expiry_of(&f, "k"), FAKE_NOW_MS + 2);
    CHECK_TEXT(run(&f, "SETNX k w"), ":0\r\n");
    CHECK_EQ(expiry_of(&f, "k"), FAKE_NOW_MS + 2);
    CHECK_EQ(f.changes, 2u);
    CHECK_TEXT(run(&f, "SETNX n w"), ":1\r\n");
    CHECK_EQ(expiry_of(&f, "n"), NEVER);
}
