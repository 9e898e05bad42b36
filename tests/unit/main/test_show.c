/* Replies as JSON and as tables: also those that no node of ours would send. */
#include "harness.h"
#include "main/show.h"

#define MALFORMED NULL

static void check_shown(enum status (*show)(struct bytes reply, struct buf *out),
                        struct bytes reply,
                        const char *wanted)
{
    struct buf out;
    buf_init(&out, (size_t)1024 * 1024);
    enum status s = show(reply, &out);
    if (wanted == MALFORMED) {
        CHECK_EQ(s, STATUS_MALFORMED);
    } else {
        CHECK_EQ(s, STATUS_OK);
        CHECK_BYTES(buf_bytes(&out), bytes_of_text(wanted));
    }
    buf_deinit(&out);
}

TEST(json_of_each_type)
{
    static const struct {
        const char *reply;
        const char *json;
    } cases[] = {
        {":-5\r\n", "-5\n"},
        {":9223372036854775807\r\n", "9223372036854775807\n"},
        {"+OK\r\n", "\"OK\"\n"},
        {"-ERR x\r\n", "\"ERR x\"\n"},
        {"$0\r\n\r\n", "\"\"\n"},
        {"_\r\n", "null\n"},
        {"$-1\r\n", "null\n"},
        {"*-1\r\n", "null\n"},
        {"#t\r\n", "true\n"},
        {"#f\r\n", "false\n"},
        {",0.5\r\n", "0.5\n"},
        {",inf\r\n", "null\n"},
        {",nan\r\n", "null\n"},
        {"(123456789012345678901234567890\r\n", "\"123456789012345678901234567890\"\n"},
        {"!5\r\nERR x\r\n", "\"ERR x\"\n"},
        {"=7\r\ntxt:abc\r\n", "\"abc\"\n"},
        {"*0\r\n", "[]\n"},
        {"%0\r\n", "{}\n"},
        {"*3\r\n:1\r\n*0\r\n:2\r\n", "[1,[],2]\n"},
        {"~1\r\n:1\r\n", "[1]\n"},
        {">1\r\n:1\r\n", "[1]\n"},
        {"%2\r\n+a\r\n:1\r\n+b\r\n%1\r\n+c\r\n*2\r\n_\r\n#t\r\n",
         "{\"a\":1,\"b\":{\"c\":[null,true]}}\n"},
        {"%2\r\n+a\r\n%0\r\n+b\r\n*0\r\n", "{\"a\":{},\"b\":[]}\n"},
        {"*2\r\n%1\r\n+a\r\n:1\r\n%1\r\n+a\r\n:2\r\n", "[{\"a\":1},{\"a\":2}]\n"},
        {"%3\r\n:1\r\n:2\r\n#t\r\n:3\r\n_\r\n:4\r\n", "{\"1\":2,\"true\":3,\"null\":4}\n"},
        {"%1\r\n*0\r\n:1\r\n", MALFORMED},
        {"%1\r\n%0\r\n:1\r\n", MALFORMED},
        {"*2\r\n:1\r\n", MALFORMED},
        {":1\r\n:2\r\n", MALFORMED},
        {"", MALFORMED},
        {"?\r\n", MALFORMED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        check_shown(show_json, bytes_of_text(cases[i].reply), cases[i].json);
    }
}

/* Text, what JSON says of it, and what a table does. */
TEST(text_is_escaped)
{
    static const struct {
        const char *text;
        size_t size;
        const char *json;
        const char *cell;
    } cases[] = {
        {"a\"b\\c/", 6, "a\\\"b\\\\c/", "a\"b\\c/"},
        {"\0\n\r\t\x1b\x7f",
         6,
         "\\u0000\\u000a\\u000d\\u0009\\u001b\\u007f",
         "\\x00\\x0a\\x0d\\x09\\x1b\\x7f"},
        {"\xc3\xa9\xe6\x96\x97\xf0\x9f\x98\x80",
         9,
         "\xc3\xa9\xe6\x96\x97\xf0\x9f\x98\x80",
         "\xc3\xa9\xe6\x96\x97\xf0\x9f\x98\x80"},
        {"\xff"
         "a",
         2,
         "\\u00ffa",
         "\\xffa"},
        {"\x80", 1, "\\u0080", "\\x80"},
        {"\xc3", 1, "\\u00c3", "\\xc3"},                 /* cut short */
        {"\xc3(", 2, "\\u00c3(", "\\xc3("},              /* not continued */
        {"\xc0\x80", 2, "\\u00c0\\u0080", "\\xc0\\x80"}, /* too long a form of 0 */
        {"\xe0\x80\x80", 3, "\\u00e0\\u0080\\u0080", "\\xe0\\x80\\x80"},
        {"\xed\xa0\x80", 3, "\\u00ed\\u00a0\\u0080", "\\xed\\xa0\\x80"}, /* a surrogate */
        {"\xf0\x80\x80\x80", 4, "\\u00f0\\u0080\\u0080\\u0080", "\\xf0\\x80\\x80\\x80"},
        {"\xf4\x90\x80\x80", 4, "\\u00f4\\u0090\\u0080\\u0080", "\\xf4\\x90\\x80\\x80"},
        {"\xf5\x80\x80\x80", 4, "\\u00f5\\u0080\\u0080\\u0080", "\\xf5\\x80\\x80\\x80"},
        {"\xf4\x8f\xbf\xbf", 4, "\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf"},
        {"\xc2\x9b", 2, "\\u00c2\\u009b", "\\xc2\\x9b"}, /* a terminal's control sequence */
        {"\xc2\xa0", 2, "\xc2\xa0", "\xc2\xa0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf text;
        buf_init(&text, 1024);
        buf_printf(&text, "$%zu\r\n", cases[i].size);
        buf_append(&text, cases[i].text, cases[i].size);
        buf_append_text(&text, "\r\n");
        struct buf wanted;
        buf_init(&wanted, 1024);
        buf_printf(&wanted, "\"%s\"\n", cases[i].json);
        buf_append(&wanted, "", 1);
        check_shown(show_json, buf_bytes(&text), (const char *)wanted.data);

        buf_clear(&wanted, 0);
        buf_printf(&wanted, "FIELD  VALUE\nk      %s\n", cases[i].cell);
        buf_append(&wanted, "", 1);
        struct buf map;
        buf_init(&map, 1024);
        buf_append_text(&map, "%1\r\n+k\r\n");
        buf_append_bytes(&map, buf_bytes(&text));
        check_shown(show_table, buf_bytes(&map), (const char *)wanted.data);
        buf_deinit(&map);
        buf_deinit(&wanted);
        buf_deinit(&text);
    }
}

TEST(json_has_a_depth)
{
    for (unsigned levels = RESP_REPLY_LEVELS_MAX; levels <= RESP_REPLY_LEVELS_MAX + 1; levels++) {
        struct buf reply;
        buf_init(&reply, 4096);
        for (unsigned i = 0; i < levels; i++) {
            buf_append_text(&reply, "*1\r\n");
        }
        buf_append_text(&reply, ":1\r\n");
        struct buf out;
        buf_init(&out, 4096);
        CHECK_EQ(show_json(buf_bytes(&reply), &out),
                 levels <= RESP_REPLY_LEVELS_MAX ? STATUS_OK : STATUS_MALFORMED);
        buf_deinit(&out);
        buf_deinit(&reply);
    }
}

TEST(tables)
{
    static const struct {
        const char *reply;
        const char *table;
    } cases[] = {
        {"*2\r\n"
         "%4\r\n+group\r\n:0\r\n+slots\r\n$0\r\n\r\n+leader\r\n_\r\n+replicas\r\n*0\r\n"
         "%4\r\n+group\r\n:16\r\n+slots\r\n+0-1023\r\n+leader\r\n:3\r\n"
         "+replicas\r\n*3\r\n:1\r\n:2\r\n:3\r\n",
         "GROUP  SLOTS   LEADER  REPLICAS\n"
         "0      -       -       -\n"
         "16     0-1023  3       1,2,3\n"},
        {"%3\r\n+node\r\n:1\r\n+healthy\r\n#t\r\n+ratio\r\n,0.5\r\n",
         "FIELD    VALUE\n"
         "node     1\n"
         "healthy  yes\n"
         "ratio    0.5\n"},
        /* Columns line up by characters, not by bytes. */
        {"*2\r\n%2\r\n+a\r\n+\xe6\x96\x97\r\n+b\r\n:1\r\n%2\r\n+a\r\n+xy\r\n+b\r\n#f\r\n",
         "A   B\n"
         "\xe6\x96\x97   1\n"
         "xy  no\n"},
        {"*0\r\n", "none\n"},
        {"%0\r\n", "none\n"},
        /* No table. */
        {"+OK\r\n", MALFORMED},
        {"_\r\n", MALFORMED},
        {"*-1\r\n", MALFORMED},
        {"*1\r\n:1\r\n", MALFORMED},
        {"*1\r\n%0\r\n", MALFORMED},
        {"*1\r\n*1\r\n:1\r\n", MALFORMED},
        {"%1\r\n+a\r\n%0\r\n", MALFORMED},
        {"%1\r\n+a\r\n*1\r\n*0\r\n", MALFORMED},
        {"*2\r\n%1\r\n+a\r\n:1\r\n%1\r\n+b\r\n:1\r\n", MALFORMED},
        {"*2\r\n%1\r\n+a\r\n:1\r\n%2\r\n+a\r\n:1\r\n+b\r\n:1\r\n", MALFORMED},
        {"*1\r\n%1\r\n:7\r\n:1\r\n", MALFORMED},
        {"*1\r\n%1\r\n+a\r\n:1\r\n+more\r\n", MALFORMED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        check_shown(show_table, bytes_of_text(cases[i].reply), cases[i].table);
    }
}

/* 32 columns are shown, 33 are not. */
TEST(tables_have_a_width)
{
    for (unsigned columns = 32; columns <= 33; columns++) {
        struct buf reply;
        buf_init(&reply, 4096);
        buf_printf(&reply, "*1\r\n%%%u\r\n", columns);
        for (unsigned i = 0; i < columns; i++) {
            buf_printf(&reply, "+f%u\r\n:1\r\n", i);
        }
        struct buf out;
        buf_init(&out, 4096);
        CHECK_EQ(show_table(buf_bytes(&reply), &out), columns == 32 ? STATUS_OK : STATUS_MALFORMED);
        buf_deinit(&out);
        buf_deinit(&reply);
    }
}

TEST(fields)
{
    struct bytes map = bytes_of_text("%3\r\n+list\r\n*1\r\n:9\r\n+n\r\n:5\r\n+flag\r\n#t\r\n");
    struct resp_value v = {0};
    CHECK_EQ(show_field(map, "n", &v), STATUS_OK);
    CHECK_EQ(v.integer, 5);
    CHECK_EQ(show_field(map, "flag", &v), STATUS_OK);
    CHECK_EQ(v.integer, 1);
    CHECK_EQ(show_field(map, "list", &v), STATUS_NOT_FOUND);
    CHECK_EQ(show_field(map, "nosuch", &v), STATUS_NOT_FOUND);
    CHECK_EQ(show_field(bytes_of_text("-ERR x\r\n"), "n", &v), STATUS_NOT_FOUND);
    CHECK_EQ(show_field(bytes_of_text("%1\r\n+n\r\n"), "n", &v), STATUS_NOT_FOUND);
}
