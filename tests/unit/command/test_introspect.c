/* COMMAND: shapes as Redis 7.0.15 writes them, contents from the table. */
#include "fake_server.h"

#define GET_FACTS                                                                                  \
    "*10\r\n$3\r\nget\r\n:2\r\n*2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\n"                     \
    "*3\r\n+@read\r\n+@string\r\n+@fast\r\n*0\r\n"                                                 \
    "*1\r\n*6\r\n$5\r\nflags\r\n*2\r\n+RO\r\n+access\r\n"                                          \
    "$12\r\nbegin_search\r\n*4\r\n$4\r\ntype\r\n$5\r\nindex\r\n$4\r\nspec\r\n"                     \
    "*2\r\n$5\r\nindex\r\n:1\r\n"                                                                  \
    "$9\r\nfind_keys\r\n*4\r\n$4\r\ntype\r\n$5\r\nrange\r\n$4\r\nspec\r\n"                         \
    "*6\r\n$7\r\nlastkey\r\n:0\r\n$7\r\nkeystep\r\n:1\r\n$5\r\nlimit\r\n:0\r\n*0\r\n"

#define TIME_FACTS_3                                                                               \
    "*10\r\n$4\r\ntime\r\n:1\r\n~3\r\n+loading\r\n+stale\r\n+fast\r\n:0\r\n:0\r\n:0\r\n"           \
    "~1\r\n+@fast\r\n~1\r\n$23\r\nnondeterministic_output\r\n~0\r\n~0\r\n"

static struct fake_server *begin(void)
{
    static struct fake_server f;
    fake_server_init(&f);
    return &f;
}

/* How often part occurs in text. */
static size_t occurrences(const char *text, const char *part)
{
    size_t count = 0;
    for (const char *at = strstr(text, part); at != NULL; at = strstr(at + 1, part)) {
        count++;
    }
    return count;
}

TEST(info_in_both_versions)
{
    struct fake_server *f = begin();
    CHECK_TEXT(ask(f, "COMMAND INFO GeT"), "*1\r\n" GET_FACTS);
    CHECK_TEXT(ask(f, "COMMAND INFO nosuch get"), "*2\r\n$-1\r\n" GET_FACTS);
    f->resp = 3;
    CHECK_TEXT(ask(f, "COMMAND INFO nosuch"), "*1\r\n_\r\n");
    CHECK_TEXT(ask(f, "COMMAND INFO time"), "*1\r\n" TIME_FACTS_3);
    fake_server_deinit(f);
}

TEST(names_of_subcommands)
{
    static const struct fake_case cases[] = {
        {"COMMAND INFO config|nosuch", "*1\r\n$-1\r\n"},
        {"COMMAND INFO config|", "*1\r\n$-1\r\n"},
        {"COMMAND INFO |get", "*1\r\n$-1\r\n"},
        {"COMMAND INFO config|get|x", "*1\r\n$-1\r\n"},
        {"COMMAND INFO get|x", "*1\r\n$-1\r\n"},
        {"COMMAND INFO  ", "*1\r\n$-1\r\n"},
    };
    struct fake_server *f = begin();
    CHECK_CASES(f, cases);
    const char *start = "*1\r\n*10\r\n$10\r\nconfig|get\r\n:-3\r\n";
    CHECK(strncmp(ask(f, "COMMAND INFO CONFIG|Get"), start, strlen(start)) == 0);
    /* With its container: inside the tenth element. */
    CHECK_EQ(occurrences(ask(f, "COMMAND INFO config"), "\r\nconfig|"), 5u);
    fake_server_deinit(f);
}

/* Every row can be written; the counts agree. */
TEST(all_of_them)
{
    char count[32];
    char header[64];
    struct fake_server *f = begin();
    (void)snprintf(count, sizeof count, ":%zu\r\n", command_count());
    CHECK_TEXT(ask(f, "COMMAND COUNT"), count);
    (void)snprintf(header, sizeof header, "*%zu\r\n", command_count());
    CHECK(strncmp(ask(f, "COMMAND"), header, strlen(header)) == 0);
    CHECK(strncmp(ask(f, "COMMAND INFO"), header, strlen(header)) == 0);
    (void)snprintf(header, sizeof header, "*%zu\r\n", 2 * command_count());
    CHECK(strncmp(ask(f, "COMMAND DOCS"), header, strlen(header)) == 0);
    fake_server_deinit(f);
}

/* What is refused is known to nobody but who calls it. */
TEST(refused_commands_are_hidden)
{
    struct fake_server *f = begin();
    CHECK_TEXT(ask(f, "COMMAND INFO replicaof cluster cluster|info module|load"),
               "*4\r\n$-1\r\n$-1\r\n$-1\r\n$-1\r\n");
    CHECK_TEXT(ask(f, "COMMAND DOCS replicaof cluster|info"), "*0\r\n");
    CHECK_TEXT(ask(f, "COMMAND GETKEYS migrate h 1 k 0 1"), "-ERR Invalid command specified\r\n");
    const char *list = ask(f, "COMMAND LIST");
    CHECK(strstr(list, "\r\nreplicaof\r\n") == NULL);
    CHECK(strstr(list, "\r\ncluster") == NULL);
    CHECK(strstr(list, "\r\nmodule|list\r\n") != NULL);
    CHECK(strstr(list, "\r\nmodule|load\r\n") == NULL);
    CHECK_EQ(occurrences(ask(f, "COMMAND INFO module"), "\r\nmodule|"), 2u);
    fake_server_deinit(f);
}

TEST(docs)
{
    struct fake_server *f = begin();
    CHECK_TEXT(ask(f, "COMMAND DOCS nosuch"), "*0\r\n");
    CHECK_TEXT(ask(f, "COMMAND DOCS nosuch config|resetstat"),
               "*2\r\n$16\r\nconfig|resetstat\r\n*8\r\n"
               "$7\r\nsummary\r\n$32\r\nReset the stats returned by INFO\r\n"
               "$5\r\nsince\r\n$5\r\n2.0.0\r\n$5\r\ngroup\r\n$6\r\nserver\r\n"
               "$10\r\ncomplexity\r\n$4\r\nO(1)\r\n");
    f->resp = 3;
    const char *docs = ask(f, "COMMAND DOCS config");
    CHECK(strstr(docs, "$6\r\nconfig\r\n%5\r\n$7\r\nsummary") != NULL);
    CHECK(strstr(docs, "$11\r\nsubcommands\r\n%5\r\n") != NULL);
    /* Without a complexity, as in Redis. */
    CHECK(strstr(ask(f, "COMMAND DOCS lolwut"), "$6\r\nlolwut\r\n%3\r\n") != NULL);
    fake_server_deinit(f);
}

TEST(getkeys)
{
    static const struct fake_case cases[] = {
        {"COMMAND GETKEYS get a", "*1\r\n$1\r\na\r\n"},
        {"COMMAND GETKEYS MGET a b", "*2\r\n$1\r\na\r\n$1\r\nb\r\n"},
        {"COMMAND GETKEYS get a b", "-ERR Invalid number of arguments specified for command\r\n"},
        {"COMMAND GETKEYS nosuch a", "-ERR Invalid command specified\r\n"},
        {"COMMAND GETKEYS config nosuch", "-ERR Invalid command specified\r\n"},
        {"COMMAND GETKEYS config get", "-ERR The command has no key arguments\r\n"},
        {"COMMAND GETKEYS get", "-ERR wrong number of arguments for 'command|getkeys' command\r\n"},
        {"COMMAND GETKEYSANDFLAGS get a", "*1\r\n*2\r\n$1\r\na\r\n*2\r\n+RO\r\n+access\r\n"},
        {"COMMAND GETKEYSANDFLAGS ping x", "-ERR The command has no key arguments\r\n"},
    };
    struct fake_server *f = begin();
    CHECK_CASES(f, cases);
    fake_server_deinit(f);
}

TEST(list_filters)
{
    static const struct fake_case cases[] = {
        {"COMMAND LIST FILTERBY", "-ERR syntax error\r\n"},
        {"COMMAND LIST FILTERBY nosuch x", "-ERR syntax error\r\n"},
        {"COMMAND LIST nosuch MODULE x", "-ERR syntax error\r\n"},
        {"COMMAND LIST FILTERBY MODULE x", "*0\r\n"},
        {"COMMAND LIST FILTERBY ACLCAT nosuch", "*0\r\n"},
        {"COMMAND LIST FILTERBY ACLCAT @fast", "*0\r\n"},
        {"COMMAND LIST FILTERBY PATTERN CONFIG|*SET", "*1\r\n$10\r\nconfig|set\r\n"},
        {"COMMAND LIST FILTERBY PATTERN lolw?t", "*1\r\n$6\r\nlolwut\r\n"},
        {"COMMAND LIST FILTERBY PATTERN nosuch*", "*0\r\n"},
    };
    struct fake_server *f = begin();
    CHECK_CASES(f, cases);
    const char *dangerous = ask(f, "command list filterby aclcat Dangerous");
    CHECK(strstr(dangerous, "\r\nshutdown\r\n") != NULL);
    CHECK(strstr(dangerous, "\r\nget\r\n") == NULL);
    fake_server_deinit(f);
}

TEST(requests_without_end_are_refused)
{
    static struct bytes args[2 + 1025];
    static uint8_t stars[1025];
    struct fake_server *f = begin();
    args[0] = bytes_of_text("command");
    args[1] = bytes_of_text("info");
    for (size_t i = 2; i < 2 + 1025; i++) {
        args[i] = bytes_of_text("nosuch");
    }
    CHECK(strncmp(ask_args(f, args, 2 + 1024), "*1024\r\n", 7) == 0);
    CHECK_TEXT(ask_args(f, args, 2 + 1025), "-ERR more than 1024 names in one command\r\n");
    args[1] = bytes_of_text("docs");
    CHECK_TEXT(ask_args(f, args, 2 + 1025), "-ERR more than 1024 names in one command\r\n");

    memset(stars, '*', sizeof stars);
    args[1] = bytes_of_text("list");
    args[2] = bytes_of_text("filterby");
    args[3] = bytes_of_text("pattern");
    args[4] = bytes_of(stars, 1024);
    CHECK(ask_args(f, args, 5)[0] == '*');
    args[4].size = 1025;
    CHECK_TEXT(ask_args(f, args, 5), "-ERR pattern is too long\r\n");
    fake_server_deinit(f);
}

#define FLAGS_OF(key, flags) "*1\r\n*2\r\n$1\r\n" key "\r\n" flags
#define RW_UPDATE "*3\r\n+RW\r\n+access\r\n+update\r\n"
#define OW_UPDATE "*2\r\n+OW\r\n+update\r\n"
#define RO_ACCESS "*2\r\n+RO\r\n+access\r\n"

/* The options decide what SET and BITFIELD do with their key. */
TEST(flags_by_arguments)
{
    static const struct fake_case cases[] = {
        {"COMMAND GETKEYSANDFLAGS set a b", FLAGS_OF("a", OW_UPDATE)},
        {"COMMAND GETKEYSANDFLAGS set a get", FLAGS_OF("a", OW_UPDATE)},
        {"COMMAND GETKEYSANDFLAGS set a b EX 5 Get", FLAGS_OF("a", RW_UPDATE)},
        {"COMMAND GETKEYSANDFLAGS bitfield k", FLAGS_OF("k", RO_ACCESS)},
        {"COMMAND GETKEYSANDFLAGS bitfield k get u8 0", FLAGS_OF("k", RO_ACCESS)},
        {"COMMAND GETKEYSANDFLAGS bitfield k overflow wrap get u8 0", FLAGS_OF("k", RO_ACCESS)},
        {"COMMAND GETKEYSANDFLAGS bitfield k get u8 0 set u8 0 1", FLAGS_OF("k", RW_UPDATE)},
        {"COMMAND GETKEYSANDFLAGS bitfield k get u8", FLAGS_OF("k", RW_UPDATE)},
        {"COMMAND GETKEYSANDFLAGS bitfield k x", FLAGS_OF("k", RW_UPDATE)},
    };
    struct fake_server *f = begin();
    CHECK_CASES(f, cases);
    fake_server_deinit(f);
}

/* Two key specs where the first key is used in another way than those behind it. */
TEST(two_key_specs)
{
    struct fake_server *f = begin();
    CHECK_TEXT(ask(f, "COMMAND GETKEYSANDFLAGS bitop not a b"),
               "*2\r\n*2\r\n$1\r\na\r\n" OW_UPDATE "*2\r\n$1\r\nb\r\n" RO_ACCESS);
    const char *info = ask(f, "COMMAND INFO bitop");
    CHECK_EQ(occurrences(info, "begin_search"), 2u);
    CHECK(strstr(info, "$5\r\nindex\r\n:2\r\n") != NULL);
    CHECK(strstr(info, "$7\r\nlastkey\r\n:0\r\n") != NULL);
    CHECK(strstr(info, "$5\r\nindex\r\n:3\r\n") != NULL);
    CHECK(strstr(info, "$7\r\nlastkey\r\n:-1\r\n") != NULL);
    CHECK(strstr(ask(f, "COMMAND INFO getex"), "*1\r\n*8\r\n$5\r\nnotes\r\n$40\r\nRW and") != NULL);
    fake_server_deinit(f);
}

TEST(help)
{
    struct fake_server *f = begin();
    const char *reply = ask(f, "COMMAND HELP");
    CHECK(strncmp(reply, "*21\r\n+COMMAND <subcommand> ", 27) == 0);
    CHECK(strstr(reply, "+HELP\r\n+    Prints this help.\r\n") != NULL);
    fake_server_deinit(f);
}
