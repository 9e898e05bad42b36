#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/prng.h"
#include "harness.h"
#include "protocol/resp_parser.h"
#include "protocol/resp_writer.h"

#define TEXT_MAX (8u * MIB)

/* An input and what the parser makes of it: "[word|word]" for each command, then "more" or "-text".
 */
struct example {
    const char *input;
    size_t size;
    const char *expected;
};

#define EXAMPLE(input, expected)                                                                   \
    {                                                                                              \
        (input), sizeof(input) - 1, (expected)                                                     \
    }

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* clang-format off */
static const struct example examples[] = {
    EXAMPLE("", "more"),

    EXAMPLE("*1\r\n$4\r\nPING\r\n", "[PING]more"),
    EXAMPLE("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*1\r\n$4\r\nPING\r\n", "[GET|k][PING]more"),
    EXAMPLE("*3\r\n$3\r\nSET\r\n$0\r\n\r\n$4\r\na\r\nb\r\n", "[SET||a\\x0d\\x0ab]more"),
    EXAMPLE("*1\r\n$3\r\na\0b\r\n", "[a\\x00b]more"),
    EXAMPLE("*0\r\n*-1\r\n*-9223372036854775808\r\n*1\r\n$1\r\na\r\n", "[][][][a]more"),
    /* Neither the byte after a CR nor the two after a body are looked at. */
    EXAMPLE("*1\rX$4\rXPINGzz*1\r\n$1\r\na--PING\n", "[PING][a][PING]more"),
    EXAMPLE("*2\r\n$1\r\na\r\n", "more"),
    EXAMPLE("*1\r\n$4\r\nPING\r", "more"),
    EXAMPLE("*1\r", "more"),

    EXAMPLE("*\r\n", "-Protocol error: invalid multibulk length"),
    EXAMPLE("* 1\r\n$4\r\nPING\r\n", "-Protocol error: invalid multibulk length"),
    EXAMPLE("*1 \r\n", "-Protocol error: invalid multibulk length"),
    EXAMPLE("*+1\r\n", "-Protocol error: invalid multibulk length"),
    EXAMPLE("*01\r\n", "-Protocol error: invalid multibulk length"),
    EXAMPLE("*-0\r\n", "-Protocol error: invalid multibulk length"),
    EXAMPLE("*x\r\n", "-Protocol error: invalid multibulk length"),
    EXAMPLE("*1\n$4\nPING\r\n", "-Protocol error: invalid multibulk length"),
    EXAMPLE("*1048577\r\n", "-Protocol error: invalid multibulk length"),
    EXAMPLE("*1048576\r\n", "more"),
    EXAMPLE("*9223372036854775807\r\n", "-Protocol error: invalid multibulk length"),
    EXAMPLE("*9223372036854775808\r\n", "-Protocol error: invalid multibulk length"),
    EXAMPLE("*99999999999999999999\r\n", "-Protocol error: invalid multibulk length"),

    EXAMPLE("*1\r\n$-1\r\n", "-Protocol error: invalid bulk length"),
    EXAMPLE("*1\r\n$\r\n", "-Protocol error: invalid bulk length"),
    EXAMPLE("*1\r\n$04\r\nPING\r\n", "-Protocol error: invalid bulk length"),
    EXAMPLE("*1\r\n$4x\r\nPING\r\n", "-Protocol error: invalid bulk length"),
    EXAMPLE("*1\r\n$67108865\r\n", "-Protocol error: invalid bulk length"),
    EXAMPLE("*1\r\n$67108864\r\n", "more"),
    EXAMPLE("*1\r\n$9223372036854775807\r\n", "-Protocol error: invalid bulk length"),

    EXAMPLE("*1\r\nX", "more"),
    EXAMPLE("*1\r\nX\r\n", "-Protocol error: expected '$', got 'X'"),
    EXAMPLE("*1\r\n\xff\r\n", "-Protocol error: expected '$', got '\\xff'"),
    EXAMPLE("*1\r\n\r\n", "-Protocol error: expected '$', got ' '"),
    EXAMPLE("*1\r\n\n\r\n", "-Protocol error: expected '$', got ' '"),
    EXAMPLE("*1\r\n\0\r\n", "-Protocol error: expected '$', got ' '"),
    EXAMPLE("*2\r\n$1\r\na\r\n:1\r\n", "-Protocol error: expected '$', got ':'"),
    EXAMPLE("PING\r\n*1\r\nX\r\nPING\r\n", "[PING]-Protocol error: expected '$', got 'X'"),

    EXAMPLE("PING\r\n", "[PING]more"),
    EXAMPLE("PING\n", "[PING]more"),
    EXAMPLE("PING\r", "more"),
    EXAMPLE("set  k\tv \r\nget k\n", "[set|k|v][get|k]more"),
    EXAMPLE("\n\r\n  \t\r\n\v\f PING\n", "[][][][PING]more"),
    EXAMPLE(" *1\r\n", "[*1]more"),
    EXAMPLE("a\rb\n", "[a|b]more"),
    EXAMPLE("a\vb\n", "[a\\x0bb]more"),
    EXAMPLE("a\0b\n", "[a\\x00b]more"),
    EXAMPLE("a\\n\\x41\n", "[a\\\\n\\\\x41]more"),
    EXAMPLE("$3\r\n", "[$3]more"),

    EXAMPLE("\"\" ''\n", "[|]more"),
    EXAMPLE("\"a b\" 'c d'\n", "[a b|c d]more"),
    EXAMPLE("\"\\n\\r\\t\\b\\a\\\\\\\"\\z\"\n", "[\\x0a\\x0d\\x09\\x08\\x07\\\\\"z]more"),
    EXAMPLE("\"\\x00\\xfF\\x7e\"\n", "[\\x00\\xff~]more"),
    EXAMPLE("\"\\xZZ\\x4\"\n", "[xZZx4]more"),
    EXAMPLE("\"\\x4g\" \"\\x\"\n", "[x4g|x]more"),
    EXAMPLE("'\\n\\'\"\\'\n", "-Protocol error: unbalanced quotes in request"),
    EXAMPLE("'\\n\\'\"\\\\'\n", "-Protocol error: unbalanced quotes in request"),
    EXAMPLE("'\\n\\'\"\\z'\n", "[\\\\n'\"\\\\z]more"),
    EXAMPLE("foo\"bar\" foo'bar'\r\n", "[foobar|foobar]more"),
    EXAMPLE("\"a\"\v'b'\f\r\n", "[a|b]more"),
    EXAMPLE("'a\rb'\r\n", "[a\\x0db]more"),
    EXAMPLE("\"a\"b\n", "-Protocol error: unbalanced quotes in request"),
    EXAMPLE("'a'b\n", "-Protocol error: unbalanced quotes in request"),
    EXAMPLE("\"a\"\"b\"\n", "-Protocol error: unbalanced quotes in request"),
    EXAMPLE("\"a\r\n", "-Protocol error: unbalanced quotes in request"),
    EXAMPLE("'a\n", "-Protocol error: unbalanced quotes in request"),
    EXAMPLE("\"a\\\r\n\"\n", "-Protocol error: unbalanced quotes in request"),
    EXAMPLE("\"a\\\n", "-Protocol error: unbalanced quotes in request"),
    EXAMPLE("\"a\\\"\n", "-Protocol error: unbalanced quotes in request"),
    EXAMPLE("PING\n\"a\nPING\n", "[PING]-Protocol error: unbalanced quotes in request"),
};
/* clang-format on */

static void print_bytes(struct buf *out, struct bytes b)
{
    for (size_t i = 0; i < b.size; i++) {
        uint8_t c = b.data[i];
        if (c == '\\') {
            buf_append_text(out, "\\\\");
        } else if (c >= ' ' && c <= '~') {
            buf_append(out, &c, 1);
        } else {
            buf_printf(out, "\\x%02x", c);
        }
    }
}

static void print_command(struct buf *out, const struct bytes *args, size_t count)
{
    buf_append_text(out, "[");
    for (size_t i = 0; i < count; i++) {
        buf_append_text(out, i > 0 ? "|" : "");
        print_bytes(out, args[i]);
    }
    buf_append_text(out, "]");
}

/* A connection: bytes come in pieces, into memory of exactly their size that moves each time. */
struct feed {
    struct resp_parser parser;
    uint8_t *memory;
    size_t size;
    bool is_failed;
    struct buf *out;
};

static void feed_init(struct feed *f, struct buf *out)
{
    *f = (struct feed){.out = out};
    resp_parser_init(&f->parser);
}

static void feed_keep(struct feed *f, struct bytes a, struct bytes b)
{
    uint8_t *moved = mem_alloc(a.size + b.size + (a.size + b.size == 0));
    if (a.size > 0) {
        memcpy(moved, a.data, a.size);
    }
    if (b.size > 0) {
        memcpy(moved + a.size, b.data, b.size);
    }
    mem_free(f->memory);
    f->memory = moved;
    f->size = a.size + b.size;
}

static void feed_piece(struct feed *f, struct bytes piece)
{
    feed_keep(f, bytes_of(f->memory, f->size), piece);
    for (;;) {
        size_t used = 0;
        const struct bytes *args = NULL;
        size_t count = 0;
        struct bytes input = bytes_of(f->memory, f->size);
        enum resp_parse parse = resp_parser_next(&f->parser, input, &used, &args, &count);
        if (parse != RESP_PARSE_COMMAND) {
            CHECK_EQ(used, 0);
            f->is_failed = parse == RESP_PARSE_ERROR;
            return;
        }
        CHECK(used > 0);
        CHECK(used <= f->size);
        print_command(f->out, args, count);
        feed_keep(f, bytes_of(f->memory + used, f->size - used), (struct bytes){0});
    }
}

static void feed_end(struct feed *f)
{
    if (f->is_failed) {
        buf_append_text(f->out, "-");
        print_bytes(f->out, bytes_of_text(resp_parser_error(&f->parser)));
    } else {
        buf_append_text(f->out, "more");
    }
    resp_parser_deinit(&f->parser);
    mem_free(f->memory);
}

/* What the parser makes of input that comes in two pieces, or in pieces of one size. */
static void parse_split(struct bytes input, size_t at, struct buf *out)
{
    struct feed f;
    feed_init(&f, out);
    feed_piece(&f, bytes_of(input.data, at));
    feed_piece(&f, bytes_of(input.data + at, input.size - at));
    feed_end(&f);
}

static void parse_pieces(struct bytes input, size_t piece, struct buf *out)
{
    struct feed f;
    feed_init(&f, out);
    for (size_t at = 0; at < input.size; at += piece) {
        size_t left = input.size - at;
        feed_piece(&f, bytes_of(input.data + at, left < piece ? left : piece));
    }
    feed_end(&f);
}

TEST(each_example_in_one_piece)
{
    for (size_t i = 0; i < COUNT_OF(examples); i++) {
        struct buf out;
        buf_init(&out, TEXT_MAX);
        parse_split(bytes_of(examples[i].input, examples[i].size), 0, &out);
        CHECK_BYTES(buf_bytes(&out), bytes_of_text(examples[i].expected));
        buf_deinit(&out);
    }
}

TEST(each_example_split_at_every_byte)
{
    for (size_t i = 0; i < COUNT_OF(examples); i++) {
        struct bytes input = bytes_of(examples[i].input, examples[i].size);
        for (size_t at = 0; at <= input.size; at++) {
            struct buf out;
            buf_init(&out, TEXT_MAX);
            parse_split(input, at, &out);
            CHECK_BYTES(buf_bytes(&out), bytes_of_text(examples[i].expected));
            buf_deinit(&out);
        }
    }
}

TEST(each_example_byte_by_byte)
{
    for (size_t i = 0; i < COUNT_OF(examples); i++) {
        struct buf out;
        buf_init(&out, TEXT_MAX);
        parse_pieces(bytes_of(examples[i].input, examples[i].size), 1, &out);
        CHECK_BYTES(buf_bytes(&out), bytes_of_text(examples[i].expected));
        buf_deinit(&out);
    }
}

/* prefix, then size times fill, then suffix: the same however it comes. */
static void check_filled(const char *prefix,
                         char fill,
                         size_t size,
                         const char *suffix,
                         const char *expected_end)
{
    struct buf input;
    buf_init(&input, TEXT_MAX);
    buf_append_text(&input, prefix);
    memset(buf_reserve(&input, size), fill, size);
    buf_extend(&input, size);
    buf_append_text(&input, suffix);

    const size_t pieces[] = {input.size, 16 * KIB, 1000};
    for (size_t i = 0; i < COUNT_OF(pieces); i++) {
        struct buf out;
        buf_init(&out, TEXT_MAX);
        parse_pieces(buf_bytes(&input), pieces[i], &out);
        size_t end = strlen(expected_end);
        CHECK(out.size >= end);
        CHECK_BYTES(bytes_of(out.data + out.size - end, end), bytes_of_text(expected_end));
        buf_deinit(&out);
    }
    buf_deinit(&input);
}

TEST(lines_without_an_end)
{
    check_filled("", '*', 65536, "", "more");
    check_filled("", '*', 65537, "", "-Protocol error: too big mbulk count string");
    check_filled("", '*', 65536, "\r", "more");
    check_filled("", '*', 65536, "\r\n", "-Protocol error: invalid multibulk length");
    check_filled("", '*', 65537, "\r\n", "-Protocol error: too big mbulk count string");
    check_filled("*1\r\n", '$', 65536, "", "more");
    check_filled("*1\r\n", '$', 65537, "", "-Protocol error: too big bulk count string");
    check_filled("*1\r\n", 'x', 65537, "", "-Protocol error: too big bulk count string");
    check_filled("", 'a', 65536, "", "more");
    check_filled("", 'a', 65536, "\n", "a]more");
    check_filled("", 'a', 65537, "", "-Protocol error: too big inline request");
    check_filled("", 'a', 65537, "\n", "-Protocol error: too big inline request");
    check_filled("PING\r\n", 'a', 65535, "\r\n", "a]more");
}

/* One argument after another of the largest size: the second goes beyond what a command may have.
 */
TEST(command_larger_than_its_limit)
{
    struct resp_parser p;
    resp_parser_init(&p);
    struct buf input;
    buf_init(&input, RESP_REQUEST_BYTES_MAX);
    buf_append_text(&input, "*3\r\n$67108864\r\n");
    memset(buf_reserve(&input, LIMIT_VALUE_BYTES + 2), 'v', LIMIT_VALUE_BYTES + 2);
    buf_extend(&input, LIMIT_VALUE_BYTES + 2);
    buf_append_text(&input, "$16777216\r\n");

    size_t used = 0;
    const struct bytes *args = NULL;
    size_t count = 0;
    CHECK_EQ(resp_parser_next(&p, buf_bytes(&input), &used, &args, &count), RESP_PARSE_MORE);
    CHECK_EQ(resp_parser_wanted(&p), 16 * MIB + 2);
    memset(buf_reserve(&input, 16 * MIB + 2), 'v', 16 * MIB + 2);
    buf_extend(&input, 16 * MIB + 2);
    buf_append_text(&input, "$1\r\n");
    CHECK_EQ(resp_parser_next(&p, buf_bytes(&input), &used, &args, &count), RESP_PARSE_ERROR);
    CHECK_TEXT(resp_parser_error(&p), "Protocol error: too big request");
    CHECK_EQ(resp_parser_next(&p, buf_bytes(&input), &used, &args, &count), RESP_PARSE_ERROR);
    buf_deinit(&input);
    resp_parser_deinit(&p);
}

TEST(claims_take_no_memory)
{
    const char *claim = "*1000000\r\n$67108864\r\n";
    struct resp_parser p;
    resp_parser_init(&p);
    size_t used = 0;
    const struct bytes *args = NULL;
    size_t count = 0;
    CHECK_EQ(resp_parser_next(&p, bytes_of_text(claim), &used, &args, &count), RESP_PARSE_MORE);
    CHECK_EQ(p.args_capacity, 0);
    CHECK_EQ(p.scratch.capacity, 0);
    CHECK_EQ(resp_parser_wanted(&p), LIMIT_VALUE_BYTES + 2);
    resp_parser_deinit(&p);
}

TEST(wanted_is_what_the_body_lacks)
{
    const char *text = "*2\r\n$10\r\n0123456789\r\n$3\r\nabc\r\n";
    const size_t wanted[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 12, 11, 10, 9, 8, 7,
                             6, 5, 4, 3, 2, 1, 0, 0, 0, 0,  5,  4,  3, 2, 1};
    struct resp_parser p;
    resp_parser_init(&p);
    size_t used = 0;
    const struct bytes *args = NULL;
    size_t count = 0;
    CHECK_EQ(COUNT_OF(wanted), strlen(text));
    for (size_t size = 0; size < strlen(text); size++) {
        CHECK_EQ(resp_parser_next(&p, bytes_of(text, size), &used, &args, &count), RESP_PARSE_MORE);
        CHECK_EQ(resp_parser_wanted(&p), wanted[size]);
    }
    struct bytes input = bytes_of_text(text);
    CHECK_EQ(resp_parser_next(&p, input, &used, &args, &count), RESP_PARSE_COMMAND);
    CHECK_EQ(resp_parser_wanted(&p), 0);
    CHECK_EQ(used, strlen(text));
    CHECK_EQ(count, 2);
    CHECK(args[1].data == input.data + 25); /* no copy */
    resp_parser_deinit(&p);
}

/* With a scan from the beginning on each call this would take hours. */
TEST(large_argument_byte_by_byte)
{
    struct buf input;
    buf_init(&input, 4 * MIB);
    buf_append_text(&input, "*2\r\n$4\r\nECHO\r\n$2097152\r\n");
    memset(buf_reserve(&input, 2 * MIB + 2), '\r', 2 * MIB + 2);
    buf_extend(&input, 2 * MIB + 2);

    struct resp_parser p;
    resp_parser_init(&p);
    size_t used = 0;
    const struct bytes *args = NULL;
    size_t count = 0;
    for (size_t size = 0; size < input.size; size++) {
        struct bytes some = bytes_of(input.data, size);
        CHECK_EQ(resp_parser_next(&p, some, &used, &args, &count), RESP_PARSE_MORE);
    }
    CHECK_EQ(resp_parser_next(&p, buf_bytes(&input), &used, &args, &count), RESP_PARSE_COMMAND);
    CHECK_EQ(count, 2);
    CHECK_EQ(args[1].size, 2 * MIB);
    resp_parser_deinit(&p);
    buf_deinit(&input);
}

/* PROTO-2: bytes changed behind the parser's back go unseen, because it never looks again. */
TEST(nothing_is_looked_at_twice)
{
    const struct {
        const char *before;
        const char *changed;
        const char *after;
        const char *expected;
    } cases[] = {
        {"abc def", "\n\n\n\n\n\n\n", "abc def ghi\n", "[abc|def|ghi]"},
        {"*000000", "*1\r\n\r\r\r", "*0000001", "more"},
        {"*1\r\n$00000", "*1\r\n\r\r\r\r\r\r", "*1\r\n$0000001", "more"},
        {"*2\r\n$3\r\nGET\r\n$2\r", "!!!!!!!!GET!!$2\r", "!!!!!!!!GET!!$2\r\nab\r\n", "[GET|ab]"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct resp_parser p;
        resp_parser_init(&p);
        struct buf out;
        buf_init(&out, TEXT_MAX);
        const char *const inputs[] = {cases[i].before, cases[i].changed, cases[i].after};
        size_t used = 0;
        const struct bytes *args = NULL;
        size_t count = 0;
        enum resp_parse parse = RESP_PARSE_MORE;
        for (size_t j = 0; j < COUNT_OF(inputs); j++) {
            CHECK_EQ(parse, RESP_PARSE_MORE);
            parse = resp_parser_next(&p, bytes_of_text(inputs[j]), &used, &args, &count);
        }
        if (parse == RESP_PARSE_COMMAND) {
            print_command(&out, args, count);
        } else {
            buf_append_text(&out, parse == RESP_PARSE_MORE ? "more" : "error");
        }
        CHECK_BYTES(buf_bytes(&out), bytes_of_text(cases[i].expected));
        buf_deinit(&out);
        resp_parser_deinit(&p);
    }
}

/* The limit is for each command, not for a connection. */
TEST(many_large_commands)
{
    struct buf input;
    buf_init(&input, RESP_REQUEST_BYTES_MAX);
    buf_append_text(&input, "*1\r\n$33554432\r\n");
    memset(buf_reserve(&input, 32 * MIB + 2), 'v', 32 * MIB + 2);
    buf_extend(&input, 32 * MIB + 2);
    struct resp_parser p;
    resp_parser_init(&p);
    for (size_t i = 0; i < 5; i++) {
        size_t used = 0;
        const struct bytes *args = NULL;
        size_t count = 0;
        CHECK_EQ(resp_parser_next(&p, buf_bytes(&input), &used, &args, &count), RESP_PARSE_COMMAND);
        CHECK_EQ(used, input.size);
    }
    buf_deinit(&input);
    resp_parser_deinit(&p);
}

TEST(many_arguments_and_their_memory_given_back)
{
    struct buf input;
    buf_init(&input, RESP_REQUEST_BYTES_MAX);
    buf_printf(&input, "*%u\r\n", LIMIT_ARGUMENTS);
    for (size_t i = 0; i < LIMIT_ARGUMENTS; i++) {
        buf_append_text(&input, "$1\r\nx\r\n");
    }
    size_t large = input.size;
    buf_append_text(&input, "*1\r\n$4\r\nPING\r\n");

    struct resp_parser p;
    resp_parser_init(&p);
    size_t used = 0;
    const struct bytes *args = NULL;
    size_t count = 0;
    CHECK_EQ(resp_parser_next(&p, buf_bytes(&input), &used, &args, &count), RESP_PARSE_COMMAND);
    CHECK_EQ(used, large);
    CHECK_EQ(count, LIMIT_ARGUMENTS);
    CHECK(p.args_capacity >= LIMIT_ARGUMENTS);
    struct bytes rest = bytes_of(input.data + large, input.size - large);
    CHECK_EQ(resp_parser_next(&p, rest, &used, &args, &count), RESP_PARSE_COMMAND);
    CHECK_EQ(count, 1);
    CHECK(p.args_capacity <= 64);

    /* Also when nothing follows. */
    CHECK_EQ(resp_parser_next(&p, buf_bytes(&input), &used, &args, &count), RESP_PARSE_COMMAND);
    CHECK_EQ(resp_parser_next(&p, (struct bytes){0}, &used, &args, &count), RESP_PARSE_MORE);
    CHECK_EQ(p.args_capacity, 0);
    resp_parser_deinit(&p);
    buf_deinit(&input);
}

/* Random commands, as multi-bulk or inline, and what they should read as. */
struct author {
    struct prng prng;
    struct buf input;
    struct buf expected;
};

static uint8_t author_byte(struct author *a)
{
    static const char usual[] = "ab\"'\\ \r\n\tx0*$\v";
    if (prng_chance(&a->prng, 700)) {
        return (uint8_t)usual[prng_below(&a->prng, sizeof(usual) - 1)];
    }
    return (uint8_t)prng_below(&a->prng, 256);
}

static void author_quote(struct author *a, struct bytes word)
{
    static const char escapes[] = "n\nr\rt\tb\ba\a\\\\\"\"";
    buf_append_text(&a->input, "\"");
    for (size_t i = 0; i < word.size; i++) {
        uint8_t c = word.data[i];
        const char *escape = NULL;
        for (size_t j = 0; j + 1 < sizeof(escapes); j += 2) {
            escape = (uint8_t)escapes[j + 1] == c ? &escapes[j] : escape;
        }
        if (escape != NULL && prng_chance(&a->prng, 800)) {
            buf_printf(&a->input, "\\%c", *escape);
        } else if (escape != NULL || prng_chance(&a->prng, 200)) {
            buf_printf(&a->input, prng_chance(&a->prng, 500) ? "\\x%02x" : "\\x%02X", c);
        } else {
            buf_append(&a->input, &c, 1);
        }
    }
    buf_append_text(&a->input, "\"");
}

static void author_command(struct author *a)
{
    uint8_t memory[8][24];
    struct bytes words[8];
    size_t count = (size_t)prng_below(&a->prng, 9);
    for (size_t i = 0; i < count; i++) {
        size_t size = (size_t)prng_below(&a->prng, sizeof(memory[0]) + 1);
        for (size_t j = 0; j < size; j++) {
            memory[i][j] = author_byte(a);
        }
        words[i] = bytes_of(memory[i], size);
    }
    if (prng_chance(&a->prng, 500)) {
        resp_write_array(&a->input, count);
        for (size_t i = 0; i < count; i++) {
            resp_write_bulk(&a->input, words[i]);
        }
    } else {
        for (size_t i = 0; i < count; i++) {
            author_quote(a, words[i]);
            buf_append_text(&a->input, prng_chance(&a->prng, 500) ? " " : "\t ");
        }
        buf_append_text(&a->input, prng_chance(&a->prng, 500) ? "\r\n" : "\n");
    }
    print_command(&a->expected, words, count);
}

TEST(random_commands_in_a_pipeline)
{
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct author a;
        prng_init(&a.prng, seed);
        buf_init(&a.input, TEXT_MAX);
        buf_init(&a.expected, TEXT_MAX);
        for (uint64_t left = prng_between(&a.prng, 1, 20); left > 0; left--) {
            author_command(&a);
        }
        buf_append_text(&a.expected, "more");

        const size_t pieces[] = {a.input.size, 1, 1 + (size_t)prng_below(&a.prng, 50)};
        for (size_t i = 0; i < COUNT_OF(pieces); i++) {
            struct buf out;
            buf_init(&out, TEXT_MAX);
            parse_pieces(buf_bytes(&a.input), pieces[i], &out);
            CHECK_BYTES(buf_bytes(&out), buf_bytes(&a.expected));
            buf_deinit(&out);
        }
        buf_deinit(&a.input);
        buf_deinit(&a.expected);
    }
}

/* Commands with a few bytes changed: whatever they mean, they mean it in pieces too. */
TEST(damaged_commands_in_pieces)
{
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        struct author a;
        prng_init(&a.prng, seed);
        buf_init(&a.input, TEXT_MAX);
        buf_init(&a.expected, TEXT_MAX);
        author_command(&a);
        author_command(&a);
        for (uint64_t left = prng_between(&a.prng, 1, 3); left > 0; left--) {
            a.input.data[prng_below(&a.prng, a.input.size)] = author_byte(&a);
        }
        buf_clear(&a.expected, SIZE_MAX);
        parse_pieces(buf_bytes(&a.input), a.input.size, &a.expected);
        const size_t pieces[] = {1, 2, 7};
        for (size_t i = 0; i < COUNT_OF(pieces); i++) {
            struct buf out;
            buf_init(&out, TEXT_MAX);
            parse_pieces(buf_bytes(&a.input), pieces[i], &out);
            CHECK_BYTES(buf_bytes(&out), buf_bytes(&a.expected));
            buf_deinit(&out);
        }
        buf_deinit(&a.input);
        buf_deinit(&a.expected);
    }
}

/* Empty words are short on the wire; what the parser holds for them is told, and counted. */
TEST(memory_of_many_empty_words)
{
    enum {
        COUNT = 1000
    };
    struct resp_parser p;
    struct buf input;
    resp_parser_init(&p);
    buf_init(&input, 64 * KIB);
    CHECK_EQ(resp_parser_memory(&p), 0u);
    buf_printf(&input, "*%d\r\n", COUNT);
    for (int i = 0; i < COUNT; i++) {
        buf_append_text(&input, "$0\r\n\r\n");
    }
    size_t used = 0;
    size_t count = 0;
    const struct bytes *args = NULL;
    CHECK_EQ(resp_parser_next(&p, buf_bytes(&input), &used, &args, &count), RESP_PARSE_COMMAND);
    CHECK_EQ(count, COUNT);
    CHECK(resp_parser_memory(&p) >= COUNT * sizeof args[0]);
    CHECK(resp_parser_memory(&p) <= 2 * COUNT * sizeof args[0]);
    buf_deinit(&input);
    resp_parser_deinit(&p);
}
