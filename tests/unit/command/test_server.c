/* TIME, ROLE, WAIT, SHUTDOWN, DEBUG, what is refused. Texts as Redis 7.0.15 writes them. */
#include "fake_server.h"

#define SYNTAX "-ERR syntax error\r\n"
#define NO_CLUSTER "-ERR This instance has cluster support disabled\r\n"
#define NO_DEBUG(name)                                                                             \
    "-ERR unknown subcommand or wrong number of arguments for '" name "'. Try DEBUG HELP.\r\n"

static struct fake_server *begin(void)
{
    static struct fake_server f;
    fake_server_init(&f);
    return &f;
}

TEST(info_passes_its_sections_on)
{
    struct fake_server *f = begin();
    CHECK_TEXT(ask(f, "INFO"), "$8\r\n# Fake\r\n\r\n");
    CHECK_TEXT(f->sections, "");
    f->resp = 3;
    CHECK_TEXT(ask(f, "info Server memory"), "=12\r\ntxt:# Fake\r\n\r\n");
    CHECK_TEXT(f->sections, "Server,memory,");
    fake_server_deinit(f);
}

TEST(time_and_role)
{
    struct fake_server *f = begin();
    f->wall_us = 1700000000012345;
    CHECK_TEXT(ask(f, "TIME"), "*2\r\n$10\r\n1700000000\r\n$5\r\n12345\r\n");
    CHECK_TEXT(ask(f, "LASTSAVE"), ":1700000000\r\n");
    CHECK_TEXT(ask(f, "ROLE"), "*3\r\n$6\r\nmaster\r\n:77\r\n*0\r\n");
    fake_server_deinit(f);
}

TEST(wait_answers_at_once)
{
    static const struct fake_case cases[] = {
        {"WAIT 0 0", ":1\r\n"},
        {"WAIT 100 100000", ":1\r\n"},
        {"WAIT -1 0", ":1\r\n"},
        {"WAIT x 0", "-ERR value is not an integer or out of range\r\n"},
        {"WAIT x x", "-ERR value is not an integer or out of range\r\n"},
        {"WAIT 1 x", "-ERR timeout is not an integer or out of range\r\n"},
        {"WAIT 1 -1", "-ERR timeout is negative\r\n"},
        {"WAITAOF 0 0 0",
         "-ERR unknown command 'WAITAOF', with args beginning with: '0' '0' '0' \r\n"},
    };
    struct fake_server *f = begin();
    f->acknowledged = 1;
    CHECK_CASES(f, cases);
    f->acknowledged = 0; /* a cluster of one */
    CHECK_TEXT(ask(f, "WAIT 0 0"), ":0\r\n");
    fake_server_deinit(f);
}

TEST(lolwut_tells_the_version)
{
    struct fake_server *f = begin();
    CHECK_TEXT(ask(f, "LOLWUT"), "$18\r\nRedis ver. 7.0.15\n\r\n");
    CHECK_TEXT(ask(f, "LOLWUT VERSION 7"), "$18\r\nRedis ver. 7.0.15\n\r\n");
    CHECK_TEXT(ask(f, "LOLWUT VERSION x"), "-ERR value is not an integer or out of range\r\n");
    CHECK(strlen(ask(f, "LOLWUT VERSION 5")) > 200);
    CHECK(strstr(ask(f, "LOLWUT version 6 1 2"), "Redis ver. 7.0.15\n") != NULL);
    fake_server_deinit(f);
}

TEST(shutdown_stops_without_a_reply)
{
    static const struct fake_case refused[] = {
        {"SHUTDOWN x", SYNTAX},
        {"SHUTDOWN SAVE NOSAVE", SYNTAX},
        {"SHUTDOWN NOW ABORT", SYNTAX},
        {"SHUTDOWN ABORT", "-ERR No shutdown in progress.\r\n"},
    };
    struct fake_server *f = begin();
    f->can_stop = true;
    CHECK_CASES(f, refused);
    CHECK_EQ(f->stops, 0u);
    CHECK(!f->client.must_close);
    CHECK_TEXT(ask(f, "SHUTDOWN nosave now force"), "");
    CHECK_EQ(f->stops, 1u);
    CHECK(f->client.must_close);
    fake_server_deinit(f);
}

TEST(shutdown_where_nobody_can_stop_it)
{
    struct fake_server *f = begin();
    CHECK_TEXT(ask(f, "SHUTDOWN"), "-ERR this node cannot be stopped by a command\r\n");
    CHECK(!f->client.must_close);
    fake_server_deinit(f);
}

TEST(debug_sleep)
{
    static const struct {
        const char *command;
        uint64_t sleep_us;
    } cases[] = {
        {"DEBUG SLEEP 0", 0},
        {"DEBUG SLEEP 1.5", 1500000},
        {"DEBUG sleep 0.000001", 1},
        {"DEBUG SLEEP -1", 0},
        {"DEBUG SLEEP x", 0},
        {"DEBUG SLEEP nan", 0},
        {"DEBUG SLEEP 1e300", 86400000000},
        {"DEBUG SLEEP inf", 86400000000},
    };
    struct fake_server *f = begin();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        f->client.sleep_us = 5;
        CHECK_TEXT(ask(f, cases[i].command), "+OK\r\n");
        CHECK_EQ(f->client.sleep_us, cases[i].sleep_us);
    }
    fake_server_deinit(f);
}

TEST(debug_others)
{
    static const struct fake_case cases[] = {
        {"DEBUG JMAP", "+OK\r\n"},
        {"DEBUG JMAP x", NO_DEBUG("JMAP")},
        {"DEBUG SLEEP", NO_DEBUG("SLEEP")},
        {"DEBUG HELP x", NO_DEBUG("HELP")},
        {"DEBUG segfault", NO_DEBUG("segfault")},
        {"DEBUG", "-ERR wrong number of arguments for 'debug' command\r\n"},
    };
    struct fake_server *f = begin();
    CHECK_CASES(f, cases);
    CHECK_TEXT(ask(f, "DEBUG SET-ACTIVE-EXPIRE 0"), "+OK\r\n");
    CHECK(!f->settings.is_expiring);
    CHECK_TEXT(ask(f, "DEBUG SET-ACTIVE-EXPIRE 1"), "+OK\r\n");
    CHECK(f->settings.is_expiring);
    const char *help = ask(f, "DEBUG HELP");
    CHECK(strstr(help, "+DEBUG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:") != NULL);
    CHECK(strstr(help, "+HELP\r\n+    Prints this help.\r\n") != NULL);
    fake_server_deinit(f);
}

TEST(what_does_not_belong_here_is_refused)
{
    static const char *const refused[] = {
        "REPLICAOF no one",
        "SLAVEOF h 1",
        "BGSAVE",
        "SAVE",
        "BGREWRITEAOF",
        "SYNC",
        "PSYNC ? -1",
        "REPLCONF",
        "FAILOVER",
        "SWAPDB 0 1",
        "MODULE LOAD x",
        "MODULE UNLOAD x",
        "MIGRATE h 1 k 0 1",
    };
    struct fake_server *f = begin();
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        const char *reply = ask(f, refused[i]);
        CHECK(strncmp(reply, "-ERR ", 5) == 0);
        CHECK(strstr(reply, "unknown command") == NULL);
        CHECK(strstr(reply, "wrong number") == NULL);
    }
    static const struct fake_case cases[] = {
        {"REPLICAOF", "-ERR wrong number of arguments for 'replicaof' command\r\n"},
        {"MODULE LIST", "*0\r\n"},
        {"MODULE nosuch", "-ERR unknown subcommand 'nosuch'. Try MODULE HELP.\r\n"},
        {"CLUSTER INFO", NO_CLUSTER},
        {"CLUSTER SETSLOT 1 NODE x", NO_CLUSTER},
        {"CLUSTER HELP", NO_CLUSTER},
        {"CLUSTER KEYSLOT", "-ERR wrong number of arguments for 'cluster|keyslot' command\r\n"},
        {"CLUSTER nosuch", "-ERR unknown subcommand 'nosuch'. Try CLUSTER HELP.\r\n"},
        {"READONLY", NO_CLUSTER},
        {"READWRITE", NO_CLUSTER},
        {"ASKING", NO_CLUSTER},
    };
    CHECK_CASES(f, cases);
    fake_server_deinit(f);
}
