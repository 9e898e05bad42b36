/* CONFIG: reading, and all or nothing when setting. Texts as Redis 7.0.15 writes them. */
#include "fake_server.h"

#define FAILED(name) "-ERR CONFIG SET failed (possibly related to argument '" name "') - "
#define NO_NUMBER "argument couldn't be parsed into an integer\r\n"
#define BETWEEN(min, max) "argument must be between " min " and " max " inclusive\r\n"
#define INT_MAX_TEXT "2147483647"
#define LONG_MAX_TEXT "9223372036854775807"

static struct fake_server *begin(void)
{
    static struct fake_server f;
    fake_server_init(&f);
    return &f;
}

TEST(get_by_name_and_pattern)
{
    static const struct fake_case cases[] = {
        {"CONFIG GET maxmemory", "*2\r\n$9\r\nmaxmemory\r\n$1\r\n0\r\n"},
        {"config get TimeOut", "*2\r\n$7\r\nTimeOut\r\n$1\r\n0\r\n"},
        {"CONFIG GET timeout TIMEOUT t*meout", "*2\r\n$7\r\ntimeout\r\n$1\r\n0\r\n"},
        {"CONFIG GET *POLICY", "*2\r\n$16\r\nmaxmemory-policy\r\n$10\r\nnoeviction\r\n"},
        {"CONFIG GET [st]ave", "*2\r\n$4\r\nsave\r\n$0\r\n\r\n"},
        {"CONFIG GET nosuch no*such", "*0\r\n"},
        {"CONFIG GET", "-ERR wrong number of arguments for 'config|get' command\r\n"},
        {"CONFIG GET bind", "*2\r\n$4\r\nbind\r\n$9\r\n127.0.0.1\r\n"},
        {"CONFIG GET port", "*2\r\n$4\r\nport\r\n$4\r\n7379\r\n"},
        {"CONFIG GET dir", "*2\r\n$3\r\ndir\r\n$7\r\n/data/1\r\n"},
        {"CONFIG GET databases", "*2\r\n$9\r\ndatabases\r\n$2\r\n16\r\n"},
        {"CONFIG GET proto-max-bulk-len", "*2\r\n$18\r\nproto-max-bulk-len\r\n$8\r\n67108864\r\n"},
        {"CONFIG GET client-output-buffer-limit",
         "*2\r\n$26\r\nclient-output-buffer-limit\r\n"
         "$53\r\nnormal 134217728 0 0 slave 0 0 0 pubsub 134217728 0 0\r\n"},
    };
    struct fake_server *f = begin();
    CHECK_CASES(f, cases);
    f->resp = 3;
    CHECK_TEXT(ask(f, "CONFIG GET timeout"), "%1\r\n$7\r\ntimeout\r\n$1\r\n0\r\n");
    fake_server_deinit(f);
}

TEST(get_all)
{
    struct fake_server *f = begin();
    const char *all = ask(f, "CONFIG GET *");
    static const char *const names[] = {
        "save",
        "appendonly",
        "maxmemory",
        "maxmemory-policy",
        "databases",
        "port",
        "bind",
        "timeout",
        "tcp-keepalive",
        "maxclients",
        "slowlog-log-slower-than",
        "slowlog-max-len",
        "latency-monitor-threshold",
        "notify-keyspace-events",
        "requirepass",
        "lfu-log-factor",
        "hz",
        "dir",
        "cluster-enabled",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char wanted[64];
        (void)snprintf(wanted, sizeof wanted, "\r\n%s\r\n", names[i]);
        CHECK(strstr(all, wanted) != NULL);
    }
    fake_server_deinit(f);
}

TEST(patterns_without_end_are_refused)
{
    static uint8_t stars[20000];
    memset(stars, '*', sizeof stars);
    struct fake_server *f = begin();
    struct bytes args[] = {bytes_of_text("config"), bytes_of_text("get"), bytes_of(stars, 16000)};
    CHECK(ask_args(f, args, 3)[0] == '*');
    args[2].size = sizeof stars;
    CHECK_TEXT(ask_args(f, args, 3), "-ERR patterns are too long\r\n");
    fake_server_deinit(f);
}

TEST(set_what_is_live)
{
    struct fake_server *f = begin();
    CHECK_TEXT(ask(f, "CONFIG SET timeout 60 SLOWLOG-MAX-LEN 7 slowlog-log-slower-than -1"),
               "+OK\r\n");
    CHECK_EQ(f->settings.client_timeout_s, 60u);
    CHECK_EQ(f->settings.slowlog_max_len, 7u);
    CHECK_EQ(f->settings.slowlog_slower_than_us, -1);
    CHECK_TEXT(ask(f, "CONFIG SET latency-monitor-threshold 9 maxclients 100"), "+OK\r\n");
    CHECK_EQ(f->settings.latency_threshold_ms, 9u);
    CHECK_EQ(f->settings.max_clients, 100u);
    CHECK_TEXT(ask(f, "CONFIG GET maxclients"), "*2\r\n$10\r\nmaxclients\r\n$3\r\n100\r\n");
    fake_server_deinit(f);
}

TEST(set_refuses_bad_values)
{
    static const struct fake_case cases[] = {
        {"CONFIG SET timeout x", FAILED("timeout") NO_NUMBER},
        {"CONFIG SET timeout  ", FAILED("timeout") NO_NUMBER},
        {"CONFIG SET timeout 1.5", FAILED("timeout") NO_NUMBER},
        {"CONFIG SET timeout -1", FAILED("timeout") BETWEEN("0", INT_MAX_TEXT)},
        {"CONFIG SET timeout 2147483648", FAILED("timeout") BETWEEN("0", INT_MAX_TEXT)},
        {"CONFIG SET slowlog-log-slower-than -2",
         FAILED("slowlog-log-slower-than") BETWEEN("-1", LONG_MAX_TEXT)},
        {"CONFIG SET maxclients 0", FAILED("maxclients") BETWEEN("1", "4294967295")},
        {"CONFIG SET maxclients 10001",
         FAILED("maxclients") "this server takes no more connections than it does now\r\n"},
        {"CONFIG SET maxmemory abc", FAILED("maxmemory") "argument must be a memory value\r\n"},
        {"CONFIG SET maxmemory -1", FAILED("maxmemory") "argument must be a memory value\r\n"},
        {"CONFIG SET maxmemory 1zb", FAILED("maxmemory") "argument must be a memory value\r\n"},
        {"CONFIG SET appendonly maybe", FAILED("appendonly") "argument must be 'yes' or 'no'\r\n"},
        {"CONFIG SET appendfsync x",
         FAILED(
             "appendfsync") "argument(s) must be one of the following: everysec, always, no\r\n"},
    };
    struct fake_server *f = begin();
    CHECK_CASES(f, cases);
    fake_server_deinit(f);
}

/* What is as it is may be set to what it is, and to nothing else. */
TEST(set_what_is_fixed)
{
    static const struct fake_case cases[] = {
        {"CONFIG SET maxmemory 0kb maxmemory-policy NOEVICTION", "+OK\r\n"},
        {"CONFIG SET save  ", "+OK\r\n"},
        {"CONFIG SET appendonly YES", "+OK\r\n"},
        {"CONFIG SET proto-max-bulk-len 64mb", "+OK\r\n"},
        {"CONFIG SET notify-keyspace-events  ", "+OK\r\n"},
        {"CONFIG SET save 60",
         FAILED("save") "every acknowledged write is on disk already, there "
                        "is nothing to schedule\r\n"},
        {"CONFIG SET maxmemory 1gb",
         FAILED("maxmemory") "nothing is ever evicted: data is kept on disk, see --cache-memory"
                             "\r\n"},
        {"CONFIG SET maxmemory-policy allkeys-lru",
         FAILED("maxmemory-policy") "nothing is ever evicted: data is kept on disk, see "
                                    "--cache-memory\r\n"},
        {"CONFIG SET notify-keyspace-events KEA",
         FAILED("notify-keyspace-events") "keyspace notifications do not exist yet\r\n"},
        {"CONFIG SET appendonly no",
         FAILED("appendonly") "every acknowledged write is logged and synced, always\r\n"},
        {"CONFIG SET requirepass secret",
         FAILED("requirepass") "passwords and users do not exist yet\r\n"},
        {"CONFIG SET databases 16", FAILED("databases") "can't set immutable config\r\n"},
        {"CONFIG SET PORT 1", FAILED("PORT") "can't set immutable config\r\n"},
        {"CONFIG SET dir /x", FAILED("dir") "can't set protected config\r\n"},
        {"CONFIG SET loglevel debug", FAILED("loglevel") "it cannot be changed in this server\r\n"},
    };
    struct fake_server *f = begin();
    CHECK_CASES(f, cases);
    fake_server_deinit(f);
}

TEST(set_is_all_or_nothing)
{
    static const struct fake_case cases[] = {
        {"CONFIG SET timeout 5 nosuch 1",
         "-ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'\r\n"},
        {"CONFIG SET timeout x nosuch 1",
         "-ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'\r\n"},
        {"CONFIG SET timeout 5 databases 1", FAILED("databases") "can't set immutable config\r\n"},
        {"CONFIG SET timeout 5 Timeout 6", FAILED("Timeout") "duplicate parameter\r\n"},
        {"CONFIG SET timeout 5 slowlog-max-len x", FAILED("slowlog-max-len") NO_NUMBER},
        {"CONFIG SET timeout 5 timeout", "-ERR syntax error\r\n"},
        {"CONFIG SET timeout", "-ERR wrong number of arguments for 'config|set' command\r\n"},
    };
    struct fake_server *f = begin();
    CHECK_CASES(f, cases);
    CHECK_EQ(f->settings.client_timeout_s, 0u);
    CHECK_EQ(f->settings.slowlog_max_len, 128u);
    fake_server_deinit(f);
}

TEST(set_with_more_pairs_than_settings)
{
    static struct bytes args[2 + 2 * 300];
    struct fake_server *f = begin();
    args[0] = bytes_of_text("config");
    args[1] = bytes_of_text("set");
    for (size_t i = 2; i < 2 + 2 * 300; i++) {
        args[i] = bytes_of_text("timeout");
    }
    CHECK_TEXT(ask_args(f, args, 2 + 2 * 300), "-ERR more parameters than there are\r\n");
    fake_server_deinit(f);
}

TEST(resetstat_rewrite_help)
{
    static const struct fake_case cases[] = {
        {"CONFIG RESETSTAT", "+OK\r\n"},
        {"CONFIG REWRITE", "-ERR The server is running without a config file\r\n"},
        {"CONFIG nosuch", "-ERR unknown subcommand 'nosuch'. Try CONFIG HELP.\r\n"},
        {"CONFIG HELP x", "-ERR wrong number of arguments for 'config|help' command\r\n"},
    };
    struct fake_server *f = begin();
    CHECK_CASES(f, cases);
    CHECK_EQ(f->resets, 1u);
    CHECK(strstr(ask(f, "CONFIG HELP"), "+SET <directive> <value>\r\n") != NULL);
    fake_server_deinit(f);
}
