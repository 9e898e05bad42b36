#include "config/options.h"
#include "harness.h"

#define ARGS_MAX 8

static struct options options;
static struct error error;

/* Parses the words of text, which must outlive the options. */
static enum status parse(char *text)
{
    char *args[ARGS_MAX];
    int count = 0;
    for (char *at = text; *at != '\0';) {
        CHECK(count < ARGS_MAX);
        args[count++] = at;
        at += strcspn(at, " ");
        if (*at == ' ') {
            *at++ = '\0';
        }
    }
    options = (struct options){.data = "untouched"};
    error = (struct error){0};
    return options_parse(count, args, &options, &error);
}

TEST(defaults)
{
    char text[] = "--data d";
    CHECK_EQ(parse(text), STATUS_OK);
    CHECK_TEXT(options.data, "d");
    CHECK_TEXT(options.listen, "127.0.0.1:7379");
    CHECK_EQ(options.buffer_memory, 0u);
    CHECK(!options.insecure);
}

TEST(all_options)
{
    char text[] = "--insecure --listen 0.0.0.0:1 --data /x/y --buffer-memory 64mb";
    CHECK_EQ(parse(text), STATUS_OK);
    CHECK_TEXT(options.data, "/x/y");
    CHECK_TEXT(options.listen, "0.0.0.0:1");
    CHECK_EQ(options.buffer_memory, 64u * 1024u * 1024u);
    CHECK(options.insecure);
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
        char text[64];
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
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[64];
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

TEST(help_names_every_option)
{
    struct buf help;
    buf_init(&help, 64 * 1024);
    options_help(&help);
    buf_append(&help, "", 1);
    const char *names[] = {"--data DIR",
                           "--listen HOST:PORT",
                           "--buffer-memory SIZE",
                           "--insecure"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        CHECK(strstr((const char *)help.data, names[i]) != NULL);
    }
    buf_deinit(&help);
}
