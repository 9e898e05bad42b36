/* OBJECT. Replies as Redis 7.0.15 gives them, unless a test says otherwise. */
#include "fake_view.h"

#define INT "$3\r\nint\r\n"
#define EMBSTR "$6\r\nembstr\r\n"
#define RAW "$3\r\nraw\r\n"
#define NIL "$-1\r\n"

static void put(struct fake_view *f, struct bytes value)
{
    struct object object = {.type = OBJECT_TYPE_STRING, .value = value};
    CHECK_EQ(view_put(&f->base, bytes_of_text("k"), &object), STATUS_OK);
    f->changes = 0;
}

struct object_case {
    const char *value;
    const char *encoding;
    const char *references;
};

#define SHARED ":2147483647\r\n"
#define OWN ":1\r\n"

static const struct object_case object_cases[] = {
    {"", EMBSTR, OWN},
    {"0", INT, SHARED},
    {"9999", INT, SHARED},
    {"10000", INT, OWN},
    {"-1", INT, OWN},
    {"-0", EMBSTR, OWN},
    {"01", EMBSTR, OWN},
    {"+1", EMBSTR, OWN},
    {" 1", EMBSTR, OWN},
    {"1.5", EMBSTR, OWN},
    {"9223372036854775807", INT, OWN},
    {"-9223372036854775808", INT, OWN},
    {"9223372036854775808", EMBSTR, OWN},
    {"00000000000000000000000000000000000000000044", EMBSTR, OWN}, /* 44 bytes */
    {"000000000000000000000000000000000000000000045", RAW, OWN},
};

TEST(encoding_and_references)
{
    for (size_t i = 0; i < sizeof object_cases / sizeof object_cases[0]; i++) {
        const struct object_case *c = &object_cases[i];
        struct fake_view f;
        fake_view_init(&f);
        put(&f, bytes_of_text(c->value));
        CHECK_TEXT(run(&f, "OBJECT ENCODING k"), c->encoding);
        CHECK_TEXT(run(&f, "object refcount k"), c->references);
        CHECK_EQ(f.changes, 0u);
    }
}

TEST(what_is_not_tracked)
{
    struct fake_view f;
    fake_view_init(&f);
    put(&f, bytes_of_text("v"));
    CHECK_TEXT(run(&f, "OBJECT FREQ k"),
               "-ERR An LFU maxmemory policy is not selected, access frequency not tracked. "
               "Please note that when switching between policies at runtime LRU and LFU data will "
               "take some time to adjust.\r\n");
    /* Redis knows it. */
    CHECK_TEXT(run(&f, "OBJECT IDLETIME k"), "-ERR access times are not tracked here\r\n");
}

TEST(absent_and_missing)
{
    static const char *const commands[] = {
        "OBJECT ENCODING k",
        "OBJECT FREQ k",
        "OBJECT IDLETIME k",
        "OBJECT REFCOUNT k",
    };
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        struct fake_view f;
        fake_view_init(&f);
        CHECK_TEXT(run(&f, commands[i]), NIL);
        CHECK_EQ(f.result, COMMAND_DONE);
        f.resp = 3;
        CHECK_TEXT(run(&f, commands[i]), "_\r\n");
        f.missing = "k";
        (void)run(&f, commands[i]);
        CHECK_EQ(f.result, COMMAND_NEED);
    }
}

TEST(subcommands)
{
    struct fake_view f;
    fake_view_init(&f);
    CHECK_TEXT(run(&f, "OBJECT"), "-ERR wrong number of arguments for 'object' command\r\n");
    CHECK_TEXT(run(&f, "OBJECT foo"), "-ERR unknown subcommand 'foo'. Try OBJECT HELP.\r\n");
    CHECK_TEXT(run(&f, "OBJECT encoding"),
               "-ERR wrong number of arguments for 'object|encoding' command\r\n");
    CHECK_TEXT(run(&f, "OBJECT FREQ k k"),
               "-ERR wrong number of arguments for 'object|freq' command\r\n");
    CHECK_TEXT(run(&f, "OBJECT HELP"),
               "*15\r\n"
               "+OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:\r\n"
               "+ENCODING <key>\r\n"
               "+    Return the kind of internal representation used in order to store the value"
               "\r\n+    associated with a <key>.\r\n"
               "+FREQ <key>\r\n"
               "+    Return the access frequency index of the <key>. The returned integer is\r\n"
               "+    proportional to the logarithm of the recent access frequency of the key.\r\n"
               "+IDLETIME <key>\r\n"
               "+    Return the idle time of the <key>, that is the approximated number of\r\n"
               "+    seconds elapsed since the last access to the key.\r\n"
               "+REFCOUNT <key>\r\n"
               "+    Return the number of references of the value associated with the specified"
               "\r\n+    <key>.\r\n"
               "+HELP\r\n"
               "+    Prints this help.\r\n");
}
