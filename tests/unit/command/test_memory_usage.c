/* MEMORY. Its figures are ours; everything around them is as in Redis 7.0.15. */
#include "fake_view.h"

#define NIL "$-1\r\n"
#define SYNTAX "-ERR syntax error\r\n"

static void put(struct fake_view *f, const char *value)
{
    struct object object = {.type = OBJECT_TYPE_STRING, .value = bytes_of_text(value)};
    CHECK_EQ(view_put(&f->base, bytes_of_text("k"), &object), STATUS_OK);
}

/* Key and header of a row, the value, and 80 for what holds them. */
TEST(usage)
{
    struct fake_view f;
    fake_view_init(&f);
    put(&f, "");
    CHECK_TEXT(run(&f, "MEMORY USAGE k"), ":133\r\n");
    put(&f, "0123456789");
    CHECK_TEXT(run(&f, "MEMORY USAGE k"), ":143\r\n");
    CHECK_TEXT(run(&f, "EXPIRE k 100"), ":1\r\n"); /* in the index of expiries as well */
    CHECK_TEXT(run(&f, "MEMORY USAGE k"), ":252\r\n");
    CHECK_TEXT(run(&f, "PERSIST k"), ":1\r\n");
    CHECK_TEXT(run(&f, "memory usage k samples 0 SAMPLES 9"), ":143\r\n");
    CHECK_TEXT(run(&f, "MEMORY USAGE no"), NIL);
    f.resp = 3;
    CHECK_TEXT(run(&f, "MEMORY USAGE no"), "_\r\n");
}

TEST(usage_refused)
{
    static const struct {
        const char *command;
        const char *reply;
    } cases[] = {
        {"MEMORY USAGE k SAMPLES", SYNTAX},
        {"MEMORY USAGE no SAMPLES", SYNTAX},
        {"MEMORY USAGE k foo", SYNTAX},
        {"MEMORY USAGE k foo 1", SYNTAX},
        {"MEMORY USAGE k SAMPLES 1 foo", SYNTAX},
        {"MEMORY USAGE k SAMPLES -1", SYNTAX},
        {"MEMORY USAGE k SAMPLES x", "-ERR value is not an integer or out of range\r\n"},
        {"MEMORY USAGE", "-ERR wrong number of arguments for 'memory|usage' command\r\n"},
        {"MEMORY", "-ERR wrong number of arguments for 'memory' command\r\n"},
        {"MEMORY foo", "-ERR unknown subcommand 'foo'. Try MEMORY HELP.\r\n"},
        {"MEMORY PURGE now", "-ERR wrong number of arguments for 'memory|purge' command\r\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fake_view f;
        fake_view_init(&f);
        put(&f, "v");
        CHECK_TEXT(run(&f, cases[i].command), cases[i].reply);
        CHECK_EQ(f.result, COMMAND_ERROR);
    }
}

TEST(a_row_is_missing)
{
    struct fake_view f;
    fake_view_init(&f);
    f.missing = "k";
    (void)run(&f, "MEMORY USAGE k");
    CHECK_EQ(f.result, COMMAND_NEED);
}

/* ---- of the node ----------------------------------------------------------------------------- */

static void fake_info(void *owner, const struct bytes *sections, size_t count, struct buf *out)
{
    CHECK_EQ(count, 1u);
    ensure(bytes_equal_text(sections[0], "memory"));
    buf_append_text(out, owner);
}

/* Reply of MEMORY with this subcommand, where INFO MEMORY says this. */
static const char *ask(const char *subcommand, const char *info, uint8_t resp)
{
    static char text[1024];
    struct bytes args[] = {bytes_of_text("MEMORY"), bytes_of_text(subcommand)};
    struct command_server server = {.info = fake_info, .owner = (void *)(uintptr_t)info};
    struct buf reply;
    buf_init(&reply, sizeof text - 1);
    const struct command *c = command_resolve(args, 2, &reply);
    ensure(c != NULL);
    struct command_call call = {
        .command = c,
        .args = args,
        .arg_count = 2,
        .resp = resp,
        .reply = &reply,
        .server = &server,
    };
    CHECK_EQ(c->handler(&call), COMMAND_DONE);
    (void)snprintf(text, sizeof text, "%.*s", (int)reply.size, (const char *)reply.data);
    buf_deinit(&reply);
    return text;
}

TEST(stats_are_the_numbers_of_info)
{
    const char *info = "# Memory\r\nused_memory:12\r\nused_memory_human:12B\r\n"
                       "used_memory_peak:34\r\nmem_ratio:1.5\r\nstore_memory:5\r\n\r\nempty:\r\n";
    CHECK_TEXT(ask("STATS", info, 2),
               "*6\r\n$15\r\ntotal.allocated\r\n:12\r\n$14\r\npeak.allocated\r\n:34\r\n"
               "$12\r\nstore_memory\r\n:5\r\n");
    CHECK_TEXT(ask("STATS", "a:1", 3), "%1\r\n$1\r\na\r\n:1\r\n");
    CHECK_TEXT(ask("STATS", "", 3), "%0\r\n");
    CHECK_TEXT(ask("STATS", "no colon\n\n\r\n:\n", 2), "*0\r\n");
}

TEST(the_others)
{
    CHECK_TEXT(ask("PURGE", "", 2), "+OK\r\n");
    CHECK_TEXT(ask("MALLOC-STATS", "", 3),
               "$45\r\nStats not supported for the current allocator\r\n");
    CHECK_EQ(strncmp(ask("DOCTOR", "", 2), "$", 1), 0);
    CHECK_EQ(strncmp(ask("DOCTOR", "", 3), "=", 1), 0);
    CHECK_TEXT(ask("HELP", "", 2),
               "*14\r\n"
               "+MEMORY <subcommand> [<arg> [value] [opt] ...]. Subcommands are:\r\n"
               "+DOCTOR\r\n"
               "+    Return memory problems reports.\r\n"
               "+MALLOC-STATS\r\n"
               "+    Return internal statistics report from the memory allocator.\r\n"
               "+PURGE\r\n"
               "+    Attempt to purge dirty pages for reclamation by the allocator.\r\n"
               "+STATS\r\n"
               "+    Return information about the memory usage of the server.\r\n"
               "+USAGE <key> [SAMPLES <count>]\r\n"
               "+    Return memory in bytes used by <key> and its value. Nested values are\r\n"
               "+    sampled up to <count> times (default: 5, 0 means sample all).\r\n"
               "+HELP\r\n"
               "+    Prints this help.\r\n");
}
