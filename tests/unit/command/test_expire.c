/* EXPIRE and its relatives, TTL and its relatives, PERSIST. Replies as Redis 7.0.15 gives them. */
#include "fake_view.h"

#define ZERO ":0\r\n"
#define ONE ":1\r\n"
#define NOT_INT "-ERR value is not an integer or out of range\r\n"
#define BAD_TIME(name) "-ERR invalid expire time in '" name "' command\r\n"
#define NX_CLASH "-ERR NX and XX, GT or LT options at the same time are not compatible\r\n"
#define GT_CLASH "-ERR GT and LT options at the same time are not compatible\r\n"
#define NOW_S (FAKE_NOW_MS / 1000)
#define OLD (FAKE_NOW_MS + 100000)
#define NEVER 0u
#define GONE UINT64_MAX

static void put(struct fake_view *f, uint64_t expires_ms)
{
    struct object object = {
        .type = OBJECT_TYPE_STRING,
        .expires_ms = expires_ms,
        .value = bytes_of_text("v"),
    };
    CHECK_EQ(view_put(&f->base, bytes_of_text("k"), &object), STATUS_OK);
    f->changes = 0;
}

static uint64_t expiry(struct fake_view *f)
{
    const struct fake_row *row = fake_find(f, bytes_of_text("k"));
    return row != NULL ? row->object.expires_ms : GONE;
}

struct expire_case {
    const char *command;
    uint64_t before_ms;
    const char *reply;
    uint64_t after_ms;
};

static const struct expire_case expire_cases[] = {
    {"EXPIRE k 100", NEVER, ONE, OLD},
    {"EXPIRE k 50", OLD, ONE, FAKE_NOW_MS + 50000},
    {"PEXPIRE k 7", NEVER, ONE, FAKE_NOW_MS + 7},
    {"EXPIREAT k 99999999999", NEVER, ONE, 99999999999000u},
    {"PEXPIREAT k 99999999999999", NEVER, ONE, 99999999999999u},
    {"PEXPIREAT k 9223372036854775807", NEVER, ONE, INT64_MAX},
    {"EXPIREAT k 9223372036854775", NEVER, ONE, 9223372036854775000u},
    /* What is past deletes. */
    {"EXPIRE k 0", NEVER, ONE, GONE},
    {"EXPIRE k -1", OLD, ONE, GONE},
    {"EXPIRE k -9223372036854775", OLD, ONE, GONE},
    {"PEXPIRE k 0", OLD, ONE, GONE},
    {"PEXPIRE k -9223372036854775808", OLD, ONE, GONE},
    {"EXPIREAT k 1700000000", OLD, ONE, GONE}, /* now */
    {"EXPIREAT k 1700000001", OLD, ONE, FAKE_NOW_MS + 1000},
    {"EXPIREAT k -1", OLD, ONE, GONE},
    {"PEXPIREAT k 1700000000000", OLD, ONE, GONE},
    {"PEXPIREAT k 1700000000001", OLD, ONE, FAKE_NOW_MS + 1},
    {"PEXPIREAT k 0", NEVER, ONE, GONE},
    {"PEXPIREAT k -9223372036854775808", OLD, ONE, GONE},
    /* Conditions. */
    {"EXPIRE k 50 NX", NEVER, ONE, FAKE_NOW_MS + 50000},
    {"EXPIRE k 50 nx", OLD, ZERO, OLD},
    {"EXPIRE k 50 XX", NEVER, ZERO, NEVER},
    {"EXPIRE k 50 xX", OLD, ONE, FAKE_NOW_MS + 50000},
    {"EXPIRE k 101 GT", OLD, ONE, FAKE_NOW_MS + 101000},
    {"EXPIRE k 100 GT", OLD, ZERO, OLD},
    {"EXPIRE k 99 GT", OLD, ZERO, OLD},
    {"EXPIRE k 101 GT", NEVER, ZERO, NEVER},
    {"EXPIRE k 99 LT", OLD, ONE, FAKE_NOW_MS + 99000},
    {"EXPIRE k 100 LT", OLD, ZERO, OLD},
    {"EXPIRE k 101 LT", OLD, ZERO, OLD},
    {"EXPIRE k 101 LT", NEVER, ONE, FAKE_NOW_MS + 101000},
    {"EXPIRE k 101 XX GT", OLD, ONE, FAKE_NOW_MS + 101000},
    {"EXPIRE k 101 GT XX", NEVER, ZERO, NEVER},
    {"EXPIRE k 99 XX LT", NEVER, ZERO, NEVER},
    {"EXPIRE k 99 LT XX", OLD, ONE, FAKE_NOW_MS + 99000},
    {"EXPIRE k 50 NX NX", NEVER, ONE, FAKE_NOW_MS + 50000},
    {"EXPIRE k -1 GT", OLD, ZERO, OLD},
    {"EXPIRE k -1 GT", NEVER, ZERO, NEVER},
    {"EXPIRE k -1 LT", NEVER, ONE, GONE},
    {"PEXPIREAT k -5 GT", OLD, ZERO, OLD},
    {"PEXPIREAT k -5 LT", OLD, ONE, GONE},
    {"EXPIRE k -1 NX", OLD, ZERO, OLD},
    {"EXPIRE k -1 NX", NEVER, ONE, GONE},
    {"EXPIRE k -1 XX", NEVER, ZERO, NEVER},
    /* Errors: of options before those of the time, both before a look at the key. */
    {"EXPIRE k 1 NX XX", OLD, NX_CLASH, OLD},
    {"EXPIRE k 1 GT NX", OLD, NX_CLASH, OLD},
    {"EXPIRE k 1 LT NX", OLD, NX_CLASH, OLD},
    {"EXPIRE k 1 GT LT NX", OLD, NX_CLASH, OLD},
    {"EXPIRE k 1 GT LT", OLD, GT_CLASH, OLD},
    {"EXPIRE k x LT GT XX", OLD, GT_CLASH, OLD},
    {"EXPIRE k x foo", OLD, "-ERR Unsupported option foo\r\n", OLD},
    {"EXPIRE k 1 NX XX KEEPTTL", OLD, "-ERR Unsupported option KEEPTTL\r\n", OLD},
    {"EXPIRE k 1  NX", OLD, "-ERR Unsupported option \r\n", OLD},
    {"EXPIRE k x", OLD, NOT_INT, OLD},
    {"EXPIRE k 1.5", OLD, NOT_INT, OLD},
    {"EXPIRE k 9223372036854775808", OLD, NOT_INT, OLD},
    {"EXPIRE no x", OLD, NOT_INT, OLD},
    {"EXPIRE k 9223372036854776", OLD, BAD_TIME("expire"), OLD},
    {"EXPIRE k -9223372036854776", OLD, BAD_TIME("expire"), OLD},
    {"EXPIRE k 9223372036854775", OLD, BAD_TIME("expire"), OLD},
    {"EXPIRE no 9223372036854775807", OLD, BAD_TIME("expire"), OLD},
    {"PEXPIRE k 9223372036854775807", OLD, BAD_TIME("pexpire"), OLD},
    {"EXPIREAT k 9223372036854776", OLD, BAD_TIME("expireat"), OLD},
    {"EXPIREAT k -9223372036854775808", OLD, BAD_TIME("expireat"), OLD},
    {"EXPIRE no 1", OLD, ZERO, OLD},
    {"EXPIRE no -1", OLD, ZERO, OLD},
    {"PEXPIREAT no 1 LT", OLD, ZERO, OLD},
    /* PERSIST. */
    {"PERSIST k", OLD, ONE, NEVER},
    {"PERSIST k", NEVER, ZERO, NEVER},
    {"PERSIST no", OLD, ZERO, OLD},
};

TEST(set_the_end)
{
    for (size_t i = 0; i < sizeof expire_cases / sizeof expire_cases[0]; i++) {
        const struct expire_case *c = &expire_cases[i];
        struct fake_view f;
        fake_view_init(&f);
        put(&f, c->before_ms);
        CHECK_TEXT(run(&f, c->command), c->reply);
        CHECK_EQ(expiry(&f), c->after_ms);
        CHECK_EQ(f.changes, strcmp(c->reply, ONE) == 0 ? 1u : 0u);
        CHECK_EQ(f.result, c->reply[0] == '-' ? COMMAND_ERROR : COMMAND_DONE);
        if (expiry(&f) != GONE) {
            CHECK_TEXT(value_of(&f, "k"), "v");
        }
    }
}

struct ttl_case {
    uint64_t expires_ms;
    const char *ttl;
    const char *pttl;
    const char *expiretime;
    const char *pexpiretime;
};

static const struct ttl_case ttl_cases[] = {
    {NEVER, ":-1\r\n", ":-1\r\n", ":-1\r\n", ":-1\r\n"},
    {FAKE_NOW_MS + 1, ":0\r\n", ":1\r\n", ":1700000000\r\n", ":1700000000001\r\n"},
    {FAKE_NOW_MS + 499, ":0\r\n", ":499\r\n", ":1700000000\r\n", ":1700000000499\r\n"},
    {FAKE_NOW_MS + 500, ":1\r\n", ":500\r\n", ":1700000001\r\n", ":1700000000500\r\n"},
    {FAKE_NOW_MS + 1499, ":1\r\n", ":1499\r\n", ":1700000001\r\n", ":1700000001499\r\n"},
    {FAKE_NOW_MS - 1, ":0\r\n", ":0\r\n", ":1700000000\r\n", ":1699999999999\r\n"},
    {INT64_MAX,
     ":9223370336854776\r\n",
     ":9223370336854775807\r\n",
     ":9223372036854776\r\n",
     ":9223372036854775807\r\n"},
};

TEST(ask_for_the_end)
{
    for (size_t i = 0; i < sizeof ttl_cases / sizeof ttl_cases[0]; i++) {
        const struct ttl_case *c = &ttl_cases[i];
        struct fake_view f;
        fake_view_init(&f);
        put(&f, c->expires_ms);
        CHECK_TEXT(run(&f, "TTL k"), c->ttl);
        CHECK_TEXT(run(&f, "PTTL k"), c->pttl);
        CHECK_TEXT(run(&f, "EXPIRETIME k"), c->expiretime);
        CHECK_TEXT(run(&f, "PEXPIRETIME k"), c->pexpiretime);
        CHECK_TEXT(run(&f, "TTL no"), ":-2\r\n");
        CHECK_TEXT(run(&f, "PTTL no"), ":-2\r\n");
        CHECK_TEXT(run(&f, "EXPIRETIME no"), ":-2\r\n");
        CHECK_TEXT(run(&f, "PEXPIRETIME no"), ":-2\r\n");
        CHECK_EQ(f.changes, 0u);
    }
}

TEST(a_row_is_missing)
{
    static const char *const commands[] = {
        "EXPIRE k 1",
        "PEXPIRE k 1",
        "EXPIREAT k 1",
        "PEXPIREAT k 1",
        "PERSIST k",
        "TTL k",
        "PTTL k",
        "EXPIRETIME k",
        "PEXPIRETIME k",
        "EXPIRE k -1 GT",
    };
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        struct fake_view f;
        fake_view_init(&f);
        f.missing = "k";
        (void)run(&f, commands[i]);
        CHECK_EQ(f.result, COMMAND_NEED);
        CHECK_EQ(f.changes, 0u);
    }
}

TEST(arity)
{
    static const char *const commands[] = {
        "EXPIRE k",
        "PEXPIRE k",
        "EXPIREAT k",
        "PEXPIREAT k",
        "PERSIST",
        "PERSIST k k",
        "TTL",
        "TTL k k",
        "PTTL",
        "EXPIRETIME",
        "PEXPIRETIME k 1",
    };
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        struct fake_view f;
        fake_view_init(&f);
        const char *prefix = "-ERR wrong number of arguments for '";
        CHECK_EQ(strncmp(run(&f, commands[i]), prefix, strlen(prefix)), 0);
    }
}
