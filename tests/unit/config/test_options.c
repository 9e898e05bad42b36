#include <stdio.h>

#include "config/options.h"
#include "harness.h"

#define ARGS_MAX 24

static struct options options;
static struct options_local local_options;
static struct options_query query;
static struct error error;

/* Cuts text, which must outlive the options, into words. */
static int words_of(char *text, char *args[ARGS_MAX])
{
    int count = 0;
    for (char *at = text; *at != '\0';) {
        CHECK(count < ARGS_MAX);
        args[count++] = at;
        at += strcspn(at, " ");
        if (*at == ' ') {
            *at++ = '\0';
        }
    }
    error = (struct error){0};
    return count;
}

static enum status parse(char *text)
{
    char *args[ARGS_MAX];
    int count = words_of(text, args);
    options = (struct options){.data = "untouched"};
    return options_parse(count, args, &options, &error);
}

static enum status parse_local(char *text)
{
    char *args[ARGS_MAX];
    int count = words_of(text, args);
    local_options = (struct options_local){.data = "untouched"};
    return options_parse_local(count, args, &local_options, &error);
}

static enum status parse_query(char *text, bool needs_key)
{
    char *args[ARGS_MAX];
    int count = words_of(text, args);
    query = (struct options_query){.connect = "untouched"};
    return options_parse_query(count, args, needs_key, &query, &error);
}

TEST(defaults)
{
    char text[] = "--data d";
    CHECK_EQ(parse(text), STATUS_OK);
    CHECK_TEXT(options.data, "d");
    CHECK_TEXT(options.listen, "127.0.0.1:7379");
    CHECK_EQ(options.buffer_memory, 0u);
    CHECK(!options.insecure);
    CHECK(options.cluster == NULL);
    CHECK(options.peer == NULL);
    CHECK_TEXT(options.peer_listen, "");
    CHECK_EQ(options.groups, 16u);
    CHECK_EQ(options.request_timeout_ms, 5000u);
    CHECK_EQ(options.election_timeout_ms, 300u);
    CHECK_EQ(options.cache_memory, 0u);
    CHECK_EQ(options.log_size, 256u * 1024u * 1024u);
    CHECK_EQ(options.log_segment_bytes, 32u * 1024u * 1024u);
    CHECK_EQ(options.log_segments, 8u);
    CHECK_EQ(options.snapshot_rate, 64u * 1024u * 1024u);
    CHECK_EQ(options.disk_reserve, 0u);
    CHECK_TEXT(options.store, "rocks");
}

/* A short log is cut into smaller files, a long one into more of them. */
TEST(log_size)
{
    static const struct {
        const char *size;
        uint64_t segment_bytes;
        uint32_t segments;
    } rows[] = {
        {"2mb", 1048576, 2},
        {"3mb", 1048576, 3},
        {"8mb", 1048576, 8},
        {"64mb", 8388608, 8},
        {"256mb", 33554432, 8},
        {"1gb", 33554432, 32},
        {"1024gb", 33554432, 32768},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[64];
        (void)snprintf(text, sizeof text, "--data d --log-size %s", rows[i].size);
        CHECK_EQ(parse(text), STATUS_OK);
        CHECK_EQ(options.log_segment_bytes, rows[i].segment_bytes);
        CHECK_EQ(options.log_segments, rows[i].segments);
    }
    static const char *const refused[] = {"1mb", "2097151", "1025gb", "0", "lots"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        char text[64];
        (void)snprintf(text, sizeof text, "--data d --log-size %s", refused[i]);
        CHECK_EQ(parse(text), STATUS_INVALID);
        CHECK_TEXT(options.data, "untouched");
    }
}

TEST(disk_options)
{
    char text[] =
        "--data d --cache-memory 1gb --snapshot-rate 1mb --disk-reserve 100mb --store mem";
    CHECK_EQ(parse(text), STATUS_OK);
    CHECK_EQ(options.cache_memory, 1024u * 1024u * 1024u);
    CHECK_EQ(options.snapshot_rate, 1024u * 1024u);
    CHECK_EQ(options.disk_reserve, 100u * 1024u * 1024u);
    CHECK_TEXT(options.store, "mem");
    char unknown[] = "--data d --store tape";
    CHECK_EQ(parse(unknown), STATUS_INVALID);
    CHECK(strstr(error.text, "rocks and mem") != NULL);
}

TEST(rebuild)
{
    struct options_rebuild rebuild = {.data = "untouched"};
    char *args[ARGS_MAX];
    char text[] = "--data d";
    CHECK_EQ(options_parse_rebuild(words_of(text, args), args, &rebuild, &error), STATUS_OK);
    CHECK_TEXT(rebuild.data, "d");
    rebuild.data = "untouched";
    CHECK_EQ(options_parse_rebuild(0, args, &rebuild, &error), STATUS_INVALID);
    CHECK_TEXT(error.text, "--data DIR is required");
    char more[] = "--data d --listen x";
    CHECK_EQ(options_parse_rebuild(words_of(more, args), args, &rebuild, &error), STATUS_INVALID);
    CHECK_TEXT(rebuild.data, "untouched");
}

TEST(all_options)
{
    char text[] = "--insecure --listen 0.0.0.0:1 --data /x/y --buffer-memory 64mb --groups 1024 "
                  "--cluster 10.0.0.1:2,[fd00::2]:2,c:2 --peer [fd00::2]:2 --request-timeout 100 "
                  "--election-timeout 60000";
    CHECK_EQ(parse(text), STATUS_OK);
    CHECK_TEXT(options.data, "/x/y");
    CHECK_TEXT(options.listen, "0.0.0.0:1");
    CHECK_EQ(options.buffer_memory, 64u * 1024u * 1024u);
    CHECK(options.insecure);
    CHECK_TEXT(options.cluster, "10.0.0.1:2,[fd00::2]:2,c:2");
    CHECK_TEXT(options.peer, "[fd00::2]:2");
    CHECK_TEXT(options.peer_listen, "[fd00::2]:2");
    CHECK_EQ(options.groups, 1024u);
    CHECK_EQ(options.request_timeout_ms, 100u);
    CHECK_EQ(options.election_timeout_ms, 60000u);
}

/* Without --peer it is the client address, 10000 ports higher. */
TEST(peer_address_follows_from_listen)
{
    static const struct {
        char text[128];
        const char *peer;
    } cases[] = {
        {"--data d --cluster 127.0.0.1:17379", "127.0.0.1:17379"},
        {"--data d --listen localhost:55535 --cluster a:1,localhost:65535", "localhost:65535"},
        {"--data d --listen [::1]:1 --cluster [::1]:10001,a:1", "[::1]:10001"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[128];
        memcpy(text, cases[i].text, sizeof text);
        CHECK_EQ(parse(text), STATUS_OK);
        CHECK_TEXT(options.peer_listen, cases[i].peer);
        CHECK(options.peer == NULL);
    }
}

/* The most founders there may be, and one more. */
TEST(founders_are_counted)
{
    for (unsigned count = OPTIONS_FOUNDERS_MAX; count <= OPTIONS_FOUNDERS_MAX + 1; count++) {
        struct buf text;
        buf_init(&text, 1024);
        buf_append_text(&text, "--data d --cluster 127.0.0.1:17379");
        for (unsigned i = 1; i < count; i++) {
            buf_printf(&text, ",127.0.0.1:%u", i);
        }
        buf_append(&text, "", 1);
        enum status s = parse((char *)text.data);
        CHECK_EQ(s, count <= OPTIONS_FOUNDERS_MAX ? STATUS_OK : STATUS_INVALID);
        buf_deinit(&text);
    }
    CHECK(strstr(error.text, "--cluster: more than 16 nodes") != NULL);
}

TEST(sizes)
{
    static const struct {
        const char *text;
        uint64_t bytes; /* 0: refused */
    } cases[] = {
        {"1", 1},
        {"4096", 4096},
        {"3kb", 3072},
        {"3KB", 3072},
        {"2gb", 2147483648u},
        {"8589934591gb", 8589934591u * 1073741824u},
        {"8589934592gb", 0},
        {"9223372036854775807", 9223372036854775807u},
        {"9223372036854775808", 0},
        {"99999999999999999999", 0},
        {"0", 0},
        {"0mb", 0},
        {"-1", 0},
        {"+1", 0},
        {"mb", 0},
        {"1tb", 0},
        {"1m", 0},
        {"1.5mb", 0},
        {"1mbx", 0},
        {"0x10", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf text;
        buf_init(&text, 256);
        buf_printf(&text, "--data d --buffer-memory %s", cases[i].text);
        buf_append(&text, "", 1);
        enum status s = parse((char *)text.data);
        CHECK_EQ(s, cases[i].bytes > 0 ? STATUS_OK : STATUS_INVALID);
        if (s == STATUS_OK) {
            CHECK_EQ(options.buffer_memory, cases[i].bytes);
        }
        buf_deinit(&text);
    }
}

/* Each refusal says why, and the options stay as they were. */
TEST(refusals)
{
    static const struct {
        char text[96];
        const char *why;
    } cases[] = {
        {"", "--data DIR is required"},
        {"--listen 127.0.0.1:1", "--data DIR is required"},
        {"--data", "--data needs a value: DIR"},
        {"--data d --listen", "--listen needs a value: HOST:PORT"},
        {"--data d --nosuch", "--nosuch: unknown option"},
        {"d", "d: unknown option"},
        {"--DATA d", "--DATA: unknown option"},
        {"--data d --buffer-memory x", "not a size"},
        {"--data d --listen 0.0.0.0:7379", "--insecure"},
        {"--data d --listen 10.0.0.1:7379", "--insecure"},
        {"--data d --listen [::]:7379", "--insecure"},
        {"--data d --listen example:7379", "--insecure"},
        {"--data d --listen 1270.0.0.1:7379", "--insecure"},
        {"--data d --listen 127.:7379", "--insecure"},
        {"--data d --listen 127.0.0.1", "write it as HOST:PORT"},
        {"--data d --listen ::1:7379", "write it as HOST:PORT"},
        {"--data d --", "--: unknown option"},
        {"--data d --groups 0", "--groups 0: must be a number from 1 to 1024"},
        {"--data d --groups 1025", "from 1 to 1024"},
        {"--data d --groups 4294967297", "from 1 to 1024"},
        {"--data d --groups x", "from 1 to 1024"},
        {"--data d --groups", "--groups needs a value: G"},
        {"--data d --request-timeout 99", "from 100 to 3600000"},
        {"--data d --request-timeout 5s", "from 100 to 3600000"},
        {"--data d --election-timeout 49", "from 50 to 60000"},
        {"--data d --election-timeout -400", "from 50 to 60000"},
        {"--data d --peer 127.0.0.1:1", "--peer needs --cluster"},
        {"--data d --cluster 127.0.0.1:7379", "own peer address 127.0.0.1:17379 is not in"},
        {"--data d --cluster localhost:17379", "give --peer just as it stands there"},
        {"--data d --cluster 127.0.0.1:17379,127.0.0.1:17379", "twice"},
        {"--data d --cluster a:1,127.0.0.1:17379,a:1", "a:1 stands there twice"},
        {"--data d --cluster ,127.0.0.1:17379", "'' is no address"},
        {"--data d --cluster 127.0.0.1:17379,", "'' is no address"},
        {"--data d --cluster 127.0.0.1:17379,a", "'a' is no address"},
        {"--data d --cluster 127.0.0.1:17379;a:1", "is no address"},
        {"--data d --cluster 127.0.0.1:17379,a:0", "'a:0' is no address"},
        {"--data d --cluster 127.0.0.1:17379,a:65536", "'a:65536' is no address"},
        {"--data d --cluster 127.0.0.1:17379,::1:5", "'::1:5' is no address"},
        {"--data d --cluster 127.0.0.1:17379,0.0.0.0:5", "others cannot call that host"},
        {"--data d --cluster 127.0.0.1:17379,[::]:5", "others cannot call that host"},
        {"--data d --cluster a:1 --peer a", "--peer a: write it as HOST:PORT"},
        {"--data d --cluster a:1 --peer a:1", "--peer a:1: without passwords"},
        {"--data d --cluster 10.0.0.1:2 --peer 10.0.0.1:2", "--insecure"},
        {"--data d --cluster 127.0.0.1:7379 --peer 127.0.0.1:7379", "that is --listen"},
        {"--data d --listen 127.0.0.1:55536 --cluster a:1", "would be 65536, over 65535; give"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[96];
        memcpy(text, cases[i].text, sizeof text);
        CHECK_EQ(parse(text), STATUS_INVALID);
        CHECK_EQ(error.code, STATUS_INVALID);
        CHECK(strstr(error.text, cases[i].why) != NULL);
        CHECK_TEXT(options.data, "untouched");
    }
}

TEST(loopback_needs_no_insecure)
{
    char texts[][48] = {"--data d --listen 127.0.0.1:1",
                        "--data d --listen 127.1.2.3:1",
                        "--data d --listen [::1]:1",
                        "--data d --listen localhost:1"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        CHECK_EQ(parse(texts[i]), STATUS_OK);
    }
}

TEST(addresses)
{
    static const struct {
        const char *text;
        const char *host; /* NULL: refused */
        uint16_t port;
    } cases[] = {
        {"a:1", "a", 1},         {"127.0.0.1:65535", "127.0.0.1", 65535},
        {"[::1]:80", "::1", 80}, {"a:65536", NULL, 0},
        {"a:0", NULL, 0},        {"a:+1", NULL, 0},
        {"a:01", NULL, 0},       {"a:", NULL, 0},
        {":1", NULL, 0},         {"a", NULL, 0},
        {"", NULL, 0},           {"[]:1", NULL, 0},
        {"[:1", NULL, 0},        {"]:1", NULL, 0},
        {"[a:1", NULL, 0},       {"a]:1", NULL, 0},
        {"[[a]:1", NULL, 0},     {"::1:80", NULL, 0},
        {"a b:1", NULL, 0},      {"a,b:1", NULL, 0},
        {"a\n:1", NULL, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bytes host = {0};
        uint16_t port = 0;
        bool fits = address_split(bytes_of_text(cases[i].text), &host, &port);
        CHECK_EQ(fits, cases[i].host != NULL);
        if (fits) {
            CHECK_BYTES(host, bytes_of_text(cases[i].host));
            CHECK_EQ(port, cases[i].port);
        }
    }
    char longest[ADDRESS_BYTES + 1];
    memset(longest, 'a', sizeof longest);
    memcpy(longest + ADDRESS_BYTES - 2, ":1", 2);
    struct bytes host = {0};
    uint16_t port = 0;
    CHECK(!address_split(bytes_of(longest, ADDRESS_BYTES), &host, &port));
    CHECK(address_split(bytes_of(longest + 1, ADDRESS_BYTES - 1), &host, &port));
    CHECK_EQ(host.size, ADDRESS_BYTES - 3);
}

TEST(options_of_local)
{
    char least[] = "--data d";
    CHECK_EQ(parse_local(least), STATUS_OK);
    CHECK_TEXT(local_options.data, "d");
    CHECK_EQ(local_options.nodes, 3u);
    CHECK_EQ(local_options.port, 7379u);
    CHECK_EQ(local_options.groups, 16u);
    char all[] = "--nodes 16 --port 55520 --groups 4 --data d";
    CHECK_EQ(parse_local(all), STATUS_OK);
    CHECK_EQ(local_options.nodes, 16u);
    CHECK_EQ(local_options.port, 55520u);
    CHECK_EQ(local_options.groups, 4u);
}

TEST(local_refusals)
{
    static const struct {
        char text[64];
        const char *why;
    } cases[] = {
        {"", "--data DIR is required"},
        {"--nodes 3", "--data DIR is required"},
        {"--data d --nodes 0", "--nodes 0: must be a number from 1 to 16"},
        {"--data d --nodes 17", "from 1 to 16"},
        {"--data d --port 0", "from 1 to 55535"},
        {"--data d --port 55536", "from 1 to 55535"},
        {"--data d --port 55534", "peer port of node 3 would be 65536, over 65535"},
        {"--data d --listen x:1", "--listen: unknown option"},
        {"--data d 3", "3: unknown option"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[64];
        memcpy(text, cases[i].text, sizeof text);
        CHECK_EQ(parse_local(text), STATUS_INVALID);
        CHECK(strstr(error.text, cases[i].why) != NULL);
        CHECK_TEXT(local_options.data, "untouched");
    }
}

TEST(options_of_query)
{
    char none[] = "";
    CHECK_EQ(parse_query(none, false), STATUS_OK);
    CHECK_TEXT(query.connect, "127.0.0.1:7379");
    CHECK(!query.is_json);
    CHECK(query.key == NULL);
    char all[] = "--json --connect h:1";
    CHECK_EQ(parse_query(all, false), STATUS_OK);
    CHECK_TEXT(query.connect, "h:1");
    CHECK(query.is_json);
    char key[] = "user:1 --json";
    CHECK_EQ(parse_query(key, true), STATUS_OK);
    CHECK_TEXT(query.key, "user:1");
    CHECK(query.is_json);
    char dashes[] = "--json -- --json";
    CHECK_EQ(parse_query(dashes, true), STATUS_OK);
    CHECK_TEXT(query.key, "--json");
    char dash[] = "-";
    CHECK_EQ(parse_query(dash, true), STATUS_OK);
    CHECK_TEXT(query.key, "-");
    char *empty[] = {none};
    CHECK_EQ(options_parse_query(1, empty, true, &query, &error), STATUS_OK);
    CHECK_TEXT(query.key, "");
}

TEST(query_refusals)
{
    static const struct {
        char text[64];
        bool needs_key;
        const char *why;
    } cases[] = {
        {"", true, "a KEY is required"},
        {"--", true, "a KEY is required"},
        {"a b", true, "b: one key only"},
        {"a -- b", true, "b: one key only"},
        {"--nosuch", true, "--nosuch: unknown option"},
        {"a", false, "a: unknown option"},
        {"--", false, "--: unknown option"},
        {"--connect", false, "--connect needs a value: HOST:PORT"},
        {"--connect h", false, "--connect h: write it as HOST:PORT"},
        {"--connect :1", false, "--connect :1: write it as HOST:PORT"},
        {"k --connect 7379", true, "--connect 7379: write it as HOST:PORT"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[64];
        memcpy(text, cases[i].text, sizeof text);
        CHECK_EQ(parse_query(text, cases[i].needs_key), STATUS_INVALID);
        CHECK(strstr(error.text, cases[i].why) != NULL);
        CHECK_TEXT(query.connect, "untouched");
    }
}

static void check_help(void (*write)(struct buf *out), const char *const *texts, size_t count)
{
    struct buf help;
    buf_init(&help, 64 * 1024);
    write(&help);
    buf_append(&help, "", 1);
    for (size_t i = 0; i < count; i++) {
        CHECK(strstr((const char *)help.data, texts[i]) != NULL);
    }
    buf_deinit(&help);
}

TEST(help_names_every_option)
{
    static const char *const server[] = {"--data DIR",
                                         "--listen HOST:PORT",
                                         "Default 127.0.0.1:7379.",
                                         "--cluster P1,P2,P3",
                                         "--peer HOST:PORT",
                                         "--groups G",
                                         "From 1 to 1024; default 16.",
                                         "--request-timeout MS",
                                         "default 5000.",
                                         "--election-timeout MS",
                                         "default 300.",
                                         "--buffer-memory SIZE",
                                         "--insecure\n"};
    static const char *const local[] = {"--data DIR",
                                        "--nodes N",
                                        "From 1 to 16; default 3.",
                                        "--port PORT",
                                        "From 1 to 55535; default 7379.",
                                        "--groups G"};
    static const char *const asked[] = {"--connect HOST:PORT", "--json\n", "\\u00XX"};
    static const char *const rebuild[] = {"--data DIR", "must not run"};
    check_help(options_help_rebuild, rebuild, sizeof rebuild / sizeof rebuild[0]);
    check_help(options_help, server, sizeof server / sizeof server[0]);
    check_help(options_help_local, local, sizeof local / sizeof local[0]);
    check_help(options_help_query, asked, sizeof asked / sizeof asked[0]);
}
