/*
 * GET, GETDEL, GETSET, GETEX, with DEL and EXISTS beside them, and what all commands on strings
 * promise. Replies as Redis 7.0.15 gives them.
 */
#include "fake_view.h"

#define OK "+OK\r\n"
#define NIL "$-1\r\n"

static const struct script_step get_script[] = {
    {"GET k", "$-1"},
    {"SET k v", "+OK"},
    {"GET k", "$1 v"},
    {"get k", "$1 v"},
    {"GET", "-ERR wrong number of arguments for 'get' command"},
    {"GET k k", "-ERR wrong number of arguments for 'get' command"},
    {"GET list", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
    {"SET k ", "+OK"},
    {"GET k", "$0"},
};

static const struct script_step getdel_script[] = {
    {"GETDEL k", "$-1"},
    {"SET k v", "+OK"},
    {"GETDEL k", "$1 v"},
    {"GET k", "$-1"},
    {"GETDEL list", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
    {"EXISTS list", ":1"},
    {"GETDEL", "-ERR wrong number of arguments for 'getdel' command"},
    {"GETDEL k k", "-ERR wrong number of arguments for 'getdel' command"},
};

static const struct script_step getset_script[] = {
    {"GETSET k a", "$-1"},
    {"GETSET k b", "$1 a"},
    {"GETSET k ", "$1 b"},
    {"GETSET k c", "$0"},
    {"GET k", "$1 c"},
    {"GETSET list x", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
    {"GETSET k", "-ERR wrong number of arguments for 'getset' command"},
    {"GETSET k a b", "-ERR wrong number of arguments for 'getset' command"},
};

static const struct script_step getex_script[] = {
    {"GETEX k", "$-1"},
    {"GETEX k EX 10", "$-1"},
    /* Of an absent key the time is not looked at, but the words are. */
    {"GETEX k EX abc", "$-1"},
    {"GETEX k EX 0", "$-1"},
    {"GETEX k bogus", "-ERR syntax error"},
    {"GETEX k EX", "-ERR syntax error"},
    {"SET k v", "+OK"},
    {"GETEX k", "$1 v"},
    {"GETEX k EX 0", "-ERR invalid expire time in 'getex' command"},
    {"GETEX k PX -1", "-ERR invalid expire time in 'getex' command"},
    {"GETEX k EXAT 0", "-ERR invalid expire time in 'getex' command"},
    {"GETEX k EX abc", "-ERR value is not an integer or out of range"},
    {"GETEX k EX 1.5", "-ERR value is not an integer or out of range"},
    {"GETEX k EX 9223372036854775", "-ERR invalid expire time in 'getex' command"},
    {"GETEX k EX 9223372036854775807", "-ERR invalid expire time in 'getex' command"},
    {"GETEX k PX 9223372036854775807", "-ERR invalid expire time in 'getex' command"},
    {"GETEX k EXAT 9223372036854776", "-ERR invalid expire time in 'getex' command"},
    {"GETEX k PXAT 9223372036854775808", "-ERR value is not an integer or out of range"},
    {"GETEX k EX", "-ERR syntax error"},
    {"GETEX k PXAT", "-ERR syntax error"},
    {"GETEX k EX 1 PX 1", "-ERR syntax error"},
    {"GETEX k PX 1 EX 1", "-ERR syntax error"},
    {"GETEX k EX 1 PERSIST", "-ERR syntax error"},
    {"GETEX k PERSIST EX 1", "-ERR syntax error"},
    {"GETEX k KEEPTTL", "-ERR syntax error"},
    {"GETEX k NX", "-ERR syntax error"},
    {"GETEX k XX", "-ERR syntax error"},
    {"GETEX k GET", "-ERR syntax error"},
    {"GETEX k bogus", "-ERR syntax error"},
    {"GETEX k persist PERSIST", "$1 v"},
    {"GETEX k EX abc ex 100", "$1 v"},
    {"GETEX k PERSIST", "$1 v"},
    {"GETEX", "-ERR wrong number of arguments for 'getex' command"},
    {"GETEX list bogus", "-ERR syntax error"},
    {"GETEX list EX abc", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
    {"GETEX list", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
    /* What is past deletes the key. */
    {"GETEX k PXAT 1", "$1 v"},
    {"GET k", "$-1"},
    {"SET k v", "+OK"},
    {"GETEX k EXAT 1", "$1 v"},
    {"EXISTS k", ":0"},
};

TEST(get)
{
    struct fake_view f;
    fake_view_init(&f);
    put_other_type(&f, "list");
    RUN_SCRIPT(&f, get_script);
}

TEST(getdel)
{
    struct fake_view f;
    fake_view_init(&f);
    put_other_type(&f, "list");
    RUN_SCRIPT(&f, getdel_script);
}

TEST(getset)
{
    struct fake_view f;
    fake_view_init(&f);
    put_other_type(&f, "list");
    RUN_SCRIPT(&f, getset_script);
}

TEST(getex)
{
    struct fake_view f;
    fake_view_init(&f);
    put_other_type(&f, "list");
    RUN_SCRIPT(&f, getex_script);
}

static uint64_t expiry_of(struct fake_view *f, const char *key)
{
    return fake_find(f, bytes_of_text(key))->object.expires_ms;
}

static void put(struct fake_view *f, const char *key, const char *value, uint64_t expires_ms)
{
    struct object object = {
        .type = OBJECT_TYPE_STRING,
        .expires_ms = expires_ms,
        .value = bytes_of_text(value),
    };
    CHECK_EQ(view_put(&f->base, bytes_of_text(key), &object), STATUS_OK);
    f->changes = 0;
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

/* GETEX changes the expiry and nothing else; without options not even that. */
TEST(getex_expiry)
{
    static const struct {
        const char *options;
        uint64_t expires_ms;
        unsigned changes;
    } cases[] = {
        {"", 5, 0},
        {" PERSIST", 0, 1},
        {" EX 100", FAKE_NOW_MS + 100000, 1},
        {" px 100", FAKE_NOW_MS + 100, 1},
        {" EXAT 99999999999", 99999999999000u, 1},
        {" PXAT 99999999999999", 99999999999999u, 1},
        {" PXAT 1700000000001", FAKE_NOW_MS + 1, 1},
        {" EX 1 EX 2", FAKE_NOW_MS + 2000, 1},
        {" EX 0", 5, 0},
        {" bogus", 5, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fake_view f;
        fake_view_init(&f);
        put(&f, "k", "v", 5);
        char text[64];
        (void)snprintf(text, sizeof text, "GETEX k%s", cases[i].options);
        (void)run(&f, text);
        CHECK_EQ(expiry_of(&f, "k"), cases[i].expires_ms);
        CHECK_EQ(f.changes, cases[i].changes);
        CHECK_TEXT(value_of(&f, "k"), "v");
    }
}

/* What is due now or before deletes the key, after it has been answered. */
TEST(getex_of_the_past_deletes)
{
    static const char *const options[] = {"PXAT 1700000000000", "EXAT 1700000000", "EXAT 1"};
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        struct fake_view f;
        fake_view_init(&f);
        put(&f, "k", "v", 0);
        char text[64];
        (void)snprintf(text, sizeof text, "GETEX k %s", options[i]);
        CHECK_TEXT(run(&f, text), "$1\r\nv\r\n");
        CHECK_EQ(f.count, 0u);
    }
}

TEST(getex_persist_without_expiry_changes_nothing)
{
    struct fake_view f;
    fake_view_init(&f);
    put(&f, "k", "v", 0);
    CHECK_TEXT(run(&f, "GETEX k PERSIST"), "$1\r\nv\r\n");
    CHECK_EQ(f.changes, 0u);
}

/* Who replaces a value drops its expiry, who changes it keeps it. */
TEST(expiry_of_changed_keys)
{
    static const struct {
        const char *command;
        bool keeps;
    } cases[] = {
        {"SET k 2", false},
        {"SET k 2 KEEPTTL", true},
        {"GETSET k 2", false},
        {"MSET k 2", false},
        {"BITOP NOT k a", false},
        {"APPEND k 2", true},
        {"SETRANGE k 1 2", true},
        {"INCR k", true},
        {"DECRBY k 2", true},
        {"INCRBYFLOAT k 2", true},
        {"SETBIT k 9 1", true},
        {"BITFIELD k SET u8 0 1", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fake_view f;
        fake_view_init(&f);
        put(&f, "a", "1", 0);
        put(&f, "k", "1", 5);
        (void)run(&f, cases[i].command);
        CHECK_EQ(f.result, COMMAND_DONE);
        CHECK_EQ(f.changes, 1u);
        CHECK_EQ(expiry_of(&f, "k"), cases[i].keeps ? 5u : 0u);
    }
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

/* DATA-3: a handler that misses a row has changed nothing, whichever of its keys that is. */
TEST(missing_rows_change_nothing)
{
    static const char *const commands[] = {
        "GET m",
        "GETDEL m",
        "GETEX m PERSIST",
        "GETSET m v",
        "SET m v",
        "SET m v NX GET",
        "SETEX m 10 v",
        "PSETEX m 10 v",
        "SETNX m v",
        "MGET m",
        "MGET a m",
        "MSET m 1 a 2",
        "MSET a 2 m 1",
        "MSETNX b 2 m 1",
        "MSETNX a 2 m 1",
        "APPEND m x",
        "STRLEN m",
        "GETRANGE m 0 1",
        "SUBSTR m 0 1",
        "SETRANGE m 1 x",
        "SETRANGE m 1 ",
        "INCR m",
        "DECR m",
        "INCRBY m 1",
        "DECRBY m 1",
        "INCRBYFLOAT m 1",
        "LCS a m",
        "LCS m a bogus",
        "SETBIT m 1 1",
        "GETBIT m 1",
        "BITCOUNT m",
        "BITPOS m 1",
        "BITOP OR d a m",
        "BITOP NOT d m",
        "BITOP NOT m a",
        "BITOP NOT m none",
        "BITFIELD m",
        "BITFIELD m SET u8 0 1",
        "BITFIELD_RO m GET u8 0",
        "EXISTS a m",
        "DEL a m",
        "DEL m a",
    };
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
