/* Commands about the connection, without one: what they answer and what they change in it. */
#include <stdio.h>

#include "base/assert.h"
#include "command/clients.h"
#include "command/command.h"
#include "harness.h"
#include "protocol/resp_writer.h"

#define WORDS_MAX 16u
#define DISABLED "-ERR This instance has cluster support disabled\r\n"

struct talk {
    struct client client;
    struct command_clients clients;
    struct command_server server;
    struct buf reply;
    char pauses[64]; /* what clients->pause was asked last */
};

static void note_pause(void *owner, uint64_t timeout_ms, bool is_all)
{
    struct talk *t = owner;
    (void)snprintf(t->pauses, sizeof t->pauses, "%llu %d", (unsigned long long)timeout_ms, is_all);
}

static void talk_start(struct talk *t)
{
    *t = (struct talk){.clients = {.pause = note_pause, .owner = t}};
    t->server.clients = &t->clients;
    client_init(&t->client, 7, "1.2.3.4:5", "6.7.8.9:10");
    buf_init(&t->reply, 64 * KIB);
}

static void talk_end(struct talk *t)
{
    client_deinit(&t->client);
    buf_deinit(&t->reply);
}

/* Words between blanks; "''" is the empty one. */
static const char *ask(struct talk *t, const char *line)
{
    char text[256];
    ensure(strlen(line) < sizeof text);
    memcpy(text, line, strlen(line) + 1);
    struct bytes words[WORDS_MAX];
    size_t count = 0;
    char *rest = text;
    for (char *word = strtok_r(rest, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        ensure(count < WORDS_MAX);
        words[count++] = strcmp(word, "''") == 0 ? bytes_of("", 0) : bytes_of_text(word);
    }
    buf_clear(&t->reply, SIZE_MAX);
    const struct command *command = command_resolve(words, count, &t->reply);
    if (command != NULL) {
        struct command_call call = {
            .command = command,
            .args = words,
            .arg_count = count,
            .resp = t->client.resp,
            .reply = &t->reply,
            .client = &t->client,
            .server = &t->server,
        };
        enum command_result result = command->handler(&call);
        bool is_error = t->reply.size > 0 && t->reply.data[0] == '-';
        ensure((result == COMMAND_ERROR) == is_error);
    }
    buf_append(&t->reply, "", 1);
    return (const char *)t->reply.data;
}

/* Lines and replies, taken from redis-server 7.0.15. */
static void check_all(struct talk *t, const char *const (*lines)[2], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        CHECK_TEXT(ask(t, lines[i][0]), lines[i][1]);
    }
}

#define CHECK_ALL(t, lines) check_all((t), (lines), sizeof(lines) / sizeof((lines)[0]))

TEST(simple_ones)
{
    struct talk t;
    talk_start(&t);
    static const char *const lines[][2] = {
        {"PING", "+PONG\r\n"},
        {"PING ''", "$0\r\n\r\n"},
        {"PING a b", "-ERR wrong number of arguments for 'ping' command\r\n"},
        {"ECHO a", "$1\r\na\r\n"},
        {"READONLY", DISABLED},
        {"READWRITE", DISABLED},
        {"ASKING", DISABLED},
        {"READONLY x", "-ERR wrong number of arguments for 'readonly' command\r\n"},
        {"CLIENT ID", ":7\r\n"},
        {"CLIENT GETREDIR", ":-1\r\n"},
        {"CLIENT NO-EVICT x", "-ERR syntax error\r\n"},
        {"CLIENT FOO", "-ERR unknown subcommand 'FOO'. Try CLIENT HELP.\r\n"},
        {"CLIENT", "-ERR wrong number of arguments for 'client' command\r\n"},
        {"CLIENT ID x", "-ERR wrong number of arguments for 'client|id' command\r\n"},
        {"QUIT a b", "+OK\r\n"},
    };
    CHECK_ALL(&t, lines);
    CHECK(t.client.must_close);
    talk_end(&t);
}

TEST(select_ranges)
{
    struct talk t;
    talk_start(&t);
    static const char *const lines[][2] = {
        {"SELECT 15", "+OK\r\n"},
        {"SELECT 16", "-ERR DB index is out of range\r\n"},
        {"SELECT -1", "-ERR DB index is out of range\r\n"},
        {"SELECT 2147483647", "-ERR DB index is out of range\r\n"},
        {"SELECT 2147483648",
         "-ERR value is out of range, value must between -2147483648 and 2147483647\r\n"},
        {"SELECT -2147483649",
         "-ERR value is out of range, value must between -2147483648 and 2147483647\r\n"},
        {"SELECT 99999999999999999999", "-ERR value is not an integer or out of range\r\n"},
        {"SELECT 01", "-ERR value is not an integer or out of range\r\n"},
    };
    CHECK_ALL(&t, lines);
    CHECK_EQ(t.client.database, 15);
    talk_end(&t);
}

#define HELLO(resp)                                                                                \
    "$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n$5\r\nproto\r\n:" resp        \
    "\r\n$2\r\nid\r\n:7\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$"     \
    "7\r\n"                                                                                        \
    "modules\r\n*0\r\n"
#define WRONGPASS "-WRONGPASS invalid username-password pair or user is disabled.\r\n"

TEST(hello_and_auth)
{
    struct talk t;
    talk_start(&t);
    static const char *const lines[][2] = {
        {"HELLO", "*14\r\n" HELLO("2")},
        {"HELLO 3", "%7\r\n" HELLO("3")},
        {"HELLO", "%7\r\n" HELLO("3")},
        {"HELLO 4", "-NOPROTO unsupported protocol version\r\n"},
        {"HELLO 1", "-NOPROTO unsupported protocol version\r\n"},
        {"HELLO x", "-ERR Protocol version is not an integer or out of range\r\n"},
        {"HELLO AUTH default x", "-ERR Protocol version is not an integer or out of range\r\n"},
        {"HELLO 3 SETNAME", "-ERR Syntax error in HELLO option 'SETNAME'\r\n"},
        {"HELLO 3 AUTH a", "-ERR Syntax error in HELLO option 'AUTH'\r\n"},
        {"HELLO 2 AUTH foo x", WRONGPASS},
        {"CLIENT GETNAME", "_\r\n"},
        {"HELLO 2 setname a AUTH foo x", WRONGPASS},
        {"CLIENT GETNAME", "$1\r\na\r\n"},
        {"HELLO 2 auth default x setname bob", "*14\r\n" HELLO("2")},
        {"CLIENT GETNAME", "$3\r\nbob\r\n"},
        {"HELLO 2 SETNAME ''", "*14\r\n" HELLO("2")},
        {"CLIENT GETNAME", "$-1\r\n"},
        {"AUTH x",
         "-ERR AUTH <password> called without any password configured for the default user. Are "
         "you sure your configuration is correct?\r\n"},
        {"AUTH default x", "+OK\r\n"},
        {"AUTH foo x", WRONGPASS},
        {"AUTH default x y", "-ERR syntax error\r\n"},
    };
    CHECK_ALL(&t, lines);
    talk_end(&t);
}

TEST(reset_puts_all_back)
{
    struct talk t;
    talk_start(&t);
    (void)ask(&t, "HELLO 3 SETNAME bob");
    (void)ask(&t, "SELECT 3");
    (void)ask(&t, "MONITOR");
    (void)ask(&t, "CLIENT REPLY OFF");
    CHECK_TEXT(ask(&t, "RESET"), "+RESET\r\n");
    CHECK_EQ(t.client.resp, 2);
    CHECK_EQ(t.client.database, 0);
    CHECK_EQ(t.client.name.size, 0u);
    CHECK(!t.client.is_monitor);
    CHECK(!t.client.is_silent);
    talk_end(&t);
}

TEST(names)
{
    struct talk t;
    talk_start(&t);
    static const char *const lines[][2] = {
        {"CLIENT SETNAME bob", "+OK\r\n"},
        {"CLIENT SETNAME a\n",
         "-ERR Client names cannot contain spaces, newlines or special characters.\r\n"},
        {"CLIENT SETNAME \x7f",
         "-ERR Client names cannot contain spaces, newlines or special characters.\r\n"},
        {"CLIENT GETNAME", "$3\r\nbob\r\n"},
        {"CLIENT SETNAME ''", "+OK\r\n"},
        {"CLIENT GETNAME", "$-1\r\n"},
        {"CLIENT SETINFO lib-name x", "+OK\r\n"},
        {"CLIENT SETINFO lib-ver 1\n",
         "-ERR lib-ver cannot contain spaces, newlines or special characters.\r\n"},
        {"CLIENT SETINFO foo x", "-ERR Unrecognized option 'foo'\r\n"},
    };
    CHECK_ALL(&t, lines);
    talk_end(&t);
}

TEST(pause_arguments)
{
    struct talk t;
    talk_start(&t);
    static const char *const lines[][2] = {
        {"CLIENT PAUSE x FOO", "-ERR CLIENT PAUSE mode must be WRITE or ALL\r\n"},
        {"CLIENT PAUSE x", "-ERR timeout is not an integer or out of range\r\n"},
        {"CLIENT PAUSE -1 all", "-ERR timeout is negative\r\n"},
        {"CLIENT pause 1 ALL x",
         "-ERR unknown subcommand or wrong number of arguments for 'pause'. Try CLIENT HELP.\r\n"},
        {"CLIENT UNBLOCK 1", ":0\r\n"},
        {"CLIENT UNBLOCK x ERROR", "-ERR value is not an integer or out of range\r\n"},
        {"CLIENT UNBLOCK x foo", "-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR\r\n"},
    };
    CHECK_ALL(&t, lines);
    CHECK_TEXT(t.pauses, "");
    CHECK_TEXT(ask(&t, "CLIENT PAUSE 10"), "+OK\r\n");
    CHECK_TEXT(t.pauses, "10 1");
    CHECK_TEXT(ask(&t, "CLIENT PAUSE 11 write"), "+OK\r\n");
    CHECK_TEXT(t.pauses, "11 0");
    talk_end(&t);
}

TEST(kill_arguments)
{
    struct talk t;
    talk_start(&t);
    static const char *const lines[][2] = {
        {"CLIENT KILL", "-ERR wrong number of arguments for 'client|kill' command\r\n"},
        {"CLIENT KILL ID 0", "-ERR client-id should be greater than 0\r\n"},
        {"CLIENT KILL ID x", "-ERR client-id should be greater than 0\r\n"},
        {"CLIENT KILL TYPE foo ID x", "-ERR Unknown client type 'foo'\r\n"},
        {"CLIENT KILL USER nobody", "-ERR No such user 'nobody'\r\n"},
        {"CLIENT KILL SKIPME maybe", "-ERR syntax error\r\n"},
        {"CLIENT KILL ID 3 SKIPME", "-ERR syntax error\r\n"},
        {"CLIENT KILL MAXAGE 3", "-ERR syntax error\r\n"},
    };
    CHECK_ALL(&t, lines);
    talk_end(&t);
}

TEST(tracking_is_off)
{
    struct talk t;
    talk_start(&t);
    static const char *const lines[][2] = {
        {"CLIENT TRACKING off", "+OK\r\n"},
        {"CLIENT TRACKING x", "-ERR syntax error\r\n"},
        {"CLIENT TRACKING on PREFIX", "-ERR syntax error\r\n"},
        {"CLIENT TRACKING on BCAST PREFIX a",
         "-ERR client-side caching is not supported: tracking stays off\r\n"},
        {"CLIENT CACHING yes",
         "-ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or "
         "OPTOUT mode enabled\r\n"},
        {"CLIENT TRACKINGINFO",
         "*6\r\n$5\r\nflags\r\n*1\r\n$3\r\noff\r\n$8\r\nredirect\r\n:-1\r\n$8\r\nprefixes\r\n"
         "*0\r\n"},
    };
    CHECK_ALL(&t, lines);
    t.client.resp = 3;
    CHECK_TEXT(ask(&t, "CLIENT TRACKINGINFO"),
               "%3\r\n$5\r\nflags\r\n~1\r\n$3\r\noff\r\n$8\r\nredirect\r\n:-1\r\n$8\r\nprefixes"
               "\r\n*0\r\n");
    talk_end(&t);
}

/* The fields of Redis 7.0, in its order. */
TEST(line_of_a_client)
{
    struct talk t;
    talk_start(&t);
    (void)ask(&t, "CLIENT SETNAME bob");
    t.client.created_us = 1000000;
    t.client.active_us = 3000000;
    t.client.now_us = 8000000;
    t.client.is_monitor = true;
    t.client.is_held = true;
    t.client.must_close = true;
    t.client.is_protected = true;
    t.client.is_sending = true;
    t.client.input_bytes = 1;
    t.client.input_free_bytes = 2;
    t.client.argument_bytes = 3;
    t.client.output_room_bytes = 4;
    t.client.output_bytes = 5;
    t.client.waiting_bytes = 6;
    t.client.memory_bytes = 7;
    CHECK(
        strstr(ask(&t, "CLIENT INFO"),
               "\r\nid=7 addr=1.2.3.4:5 laddr=6.7.8.9:10 fd=-1 name=bob age=7 idle=5 flags=Obce "
               "db=0 sub=0 psub=0 ssub=0 multi=-1 qbuf=1 qbuf-free=2 argv-mem=3 multi-mem=0 rbs=4 "
               "rbp=0 obl=5 oll=0 omem=6 tot-mem=7 events=rw cmd=NULL user=default redir=-1 "
               "resp=2\n\r\n") != NULL);
    talk_end(&t);
}

TEST(help_of_client)
{
    struct talk t;
    talk_start(&t);
    const char *text = ask(&t, "CLIENT HELP");
    CHECK(strncmp(text,
                  "*48\r\n+CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:\r\n",
                  strlen("*48\r\n+CLIENT <subcommand>")) == 0);
    CHECK(strstr(text, "+         [OPTIN] [OPTOUT] [NOLOOP]\r\n") != NULL);
    CHECK(strstr(text, "+HELP\r\n+    Print this help.\r\n") == NULL);
    CHECK(strstr(text, "+HELP\r\n+    Prints this help.\r\n") != NULL);
    talk_end(&t);
}
