/* The rings behind SLOWLOG and LATENCY, and which arguments nobody may see. */
#include <stdio.h>

#include "base/assert.h"
#include "command/latency.h"
#include "command/secret.h"
#include "command/slowlog.h"
#include "harness.h"

#define MANY 100u

static const struct command *find(const char *name, const char *sub)
{
    struct bytes words[] = {bytes_of_text(name), bytes_of_text(sub != NULL ? sub : "")};
    return command_find(words, sub != NULL ? 2 : 1);
}

TEST(arguments_are_cut)
{
    struct bytes args[MANY];
    char word[200];
    memset(word, 'x', sizeof word);
    for (size_t i = 0; i < MANY; i++) {
        args[i] = bytes_of("a", 1);
    }
    struct buf out;
    buf_init(&out, SLOWLOG_NOTE_BYTES_MAX);

    args[1] = bytes_of(word, 128);
    slowlog_note(find("del", NULL), args, 2, &out);
    CHECK_EQ(out.size, strlen("*2\r\n$1\r\na\r\n$128\r\n\r\n") + 128);
    buf_clear(&out, 0);

    args[1] = bytes_of(word, 129);
    slowlog_note(find("del", NULL), args, 2, &out);
    const char *end = "... (1 more bytes)\r\n";
    CHECK_BYTES(bytes_of(out.data + out.size - strlen(end), strlen(end)), bytes_of_text(end));
    CHECK_BYTES(bytes_of(out.data, 17), bytes_of_text("*2\r\n$1\r\na\r\n$146\r\n"));
    buf_clear(&out, 0);

    slowlog_note(find("del", NULL), args, 32, &out);
    CHECK_BYTES(bytes_of(out.data, 5), bytes_of_text("*32\r\n"));
    CHECK(memmem(out.data, out.size, "more arguments", 14) == NULL);
    buf_clear(&out, 0);

    slowlog_note(find("del", NULL), args, 33, &out);
    end = "... (2 more arguments)\r\n";
    CHECK_BYTES(bytes_of(out.data, 5), bytes_of_text("*32\r\n"));
    CHECK_BYTES(bytes_of(out.data + out.size - strlen(end), strlen(end)), bytes_of_text(end));
    buf_clear(&out, 0);

    for (size_t i = 0; i < MANY; i++) {
        args[i] = bytes_of(word, sizeof word);
    }
    slowlog_note(find("del", NULL), args, MANY, &out); /* fits */
    buf_deinit(&out);
}

static void add(struct slowlog *s, const struct client *client, uint64_t max)
{
    struct slowlog_fact fact = {.wall_ms = 1999, .took_us = 5, .note = bytes_of_text("*0\r\n")};
    fact.client = client;
    slowlog_add(s, &fact, max);
}

TEST(entries_are_bounded)
{
    struct slowlog s;
    struct client client;
    struct buf out;
    slowlog_init(&s);
    client_init(&client, 1, "peer", "local");
    buf_init(&out, SIZE_MAX / 2);
    for (unsigned i = 0; i < 5; i++) {
        add(&s, &client, 3);
    }
    CHECK_EQ(s.count, 3u);
    slowlog_write(&s, 2, &out);
    buf_append(&out, "", 1);
    CHECK_TEXT((const char *)out.data,
               "*2\r\n*6\r\n:4\r\n:1\r\n:5\r\n*0\r\n$4\r\npeer\r\n$0\r\n\r\n"
               "*6\r\n:3\r\n:1\r\n:5\r\n*0\r\n$4\r\npeer\r\n$0\r\n\r\n");
    add(&s, &client, 0);
    CHECK_EQ(s.count, 0u);
    for (unsigned i = 0; i < LIMIT_SLOWLOG_ENTRIES + 2; i++) {
        add(&s, &client, UINT64_MAX);
    }
    CHECK_EQ(s.count, LIMIT_SLOWLOG_ENTRIES);
    buf_deinit(&out);
    client_deinit(&client);
    slowlog_deinit(&s);
}

TEST(passwords)
{
    struct bytes hello[] = {bytes_of_text("hello"),
                            bytes_of_text("3"),
                            bytes_of_text("Auth"),
                            bytes_of_text("u"),
                            bytes_of_text("p"),
                            bytes_of_text("setname"),
                            bytes_of_text("n")};
    static const bool hello_hides[] = {false, false, false, true, true, false, false};
    for (size_t i = 0; i < 7; i++) {
        CHECK_EQ(command_arg_is_secret(find("hello", NULL), hello, 7, i), hello_hides[i]);
    }
    struct bytes auth[] = {bytes_of_text("auth"), bytes_of_text("auth"), bytes_of_text("p")};
    CHECK(!command_arg_is_secret(find("auth", NULL), auth, 3, 0));
    CHECK(command_arg_is_secret(find("auth", NULL), auth, 3, 1));
    CHECK(command_arg_is_secret(find("auth", NULL), auth, 3, 2));
    struct command set = {.name = "set", .container = "config"};
    struct bytes config[] = {bytes_of_text("config"),
                             bytes_of_text("set"),
                             bytes_of_text("timeout"),
                             bytes_of_text("1"),
                             bytes_of_text("REQUIREPASS"),
                             bytes_of_text("p")};
    for (size_t i = 0; i < 6; i++) {
        CHECK_EQ(command_arg_is_secret(&set, config, 6, i), i == 5);
    }
    struct bytes migrate[] = {bytes_of_text("migrate"),
                              bytes_of_text("host"),
                              bytes_of_text("1"),
                              bytes_of_text("k"),
                              bytes_of_text("0"),
                              bytes_of_text("1"),
                              bytes_of_text("Auth"),
                              bytes_of_text("p"),
                              bytes_of_text("copy"),
                              bytes_of_text("AUTH2"),
                              bytes_of_text("u"),
                              bytes_of_text("p")};
    for (size_t i = 0; i < 12; i++) {
        bool is_password = i == 7 || i >= 10;
        CHECK_EQ(command_arg_is_secret(find("migrate", NULL), migrate, 12, i), is_password);
    }
    struct bytes get[] = {bytes_of_text("get"), bytes_of_text("auth")};
    CHECK(!command_arg_is_secret(find("get", NULL), get, 2, 1));
}

TEST(latency_keeps_the_worst_of_each_second)
{
    struct latency l = {0};
    latency_add(&l, false, 1000, 5);
    latency_add(&l, false, 1999, 9);
    latency_add(&l, false, 1999, 7);
    CHECK_EQ(l.events[0].count, 1u);
    CHECK_EQ(latency_at(&l.events[0], 0)->took_ms, 9u);
    CHECK_EQ(l.events[1].count, 0u);
    for (uint64_t i = 2; i < 2 + 2 * LATENCY_SAMPLES; i++) {
        latency_add(&l, false, i * 1000, i);
    }
    const struct latency_event *e = &l.events[0];
    CHECK_EQ(e->count, LATENCY_SAMPLES);
    CHECK_EQ(latency_at(e, 0)->wall_s, 2 + LATENCY_SAMPLES);
    CHECK_EQ(latency_at(e, LATENCY_SAMPLES - 1)->wall_s, 1 + 2 * LATENCY_SAMPLES);
    CHECK_EQ(e->max_ms, 1 + 2 * LATENCY_SAMPLES);
}
