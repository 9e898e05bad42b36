#include "protocol/resp_parser.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

#define ARGS_FIRST 16u
/* What a connection keeps between commands. */
#define ARGS_KEPT_MAX 64u
#define SCRATCH_KEPT_MAX ((size_t)KIB)
/* Redis refuses a line without an end only when more than this has come: the end may be next. */
#define LINE_END_OFFSET_MAX ((size_t)LIMIT_INLINE_BYTES)
/* The end of the line is inside the line that splits into words, so one more byte. */
#define SCRATCH_BYTES_MAX (LINE_END_OFFSET_MAX + 1)

enum line {
    LINE_FOUND,
    LINE_MORE,
    LINE_TOO_LONG,
};

void resp_parser_init(struct resp_parser *p)
{
    *p = (struct resp_parser){.state = RESP_PARSER_STATE_START};
    buf_init(&p->scratch, SCRATCH_BYTES_MAX);
}

void resp_parser_deinit(struct resp_parser *p)
{
    mem_free(p->args);
    buf_deinit(&p->scratch);
    *p = (struct resp_parser){.state = RESP_PARSER_STATE_FAILED};
}

const char *resp_parser_error(const struct resp_parser *p)
{
    ensure(p->state == RESP_PARSER_STATE_FAILED);
    return p->error;
}

size_t resp_parser_wanted(const struct resp_parser *p)
{
    if (p->state != RESP_PARSER_STATE_BULK_BODY) {
        return 0;
    }
    size_t end = p->offset + p->bulk_size + 2;
    return end > p->seen ? end - p->seen : 0;
}

static enum resp_parse fail(struct resp_parser *p, const char *text)
{
    (void)snprintf(p->error, sizeof(p->error), "Protocol error: %s", text);
    p->state = RESP_PARSER_STATE_FAILED;
    return RESP_PARSE_ERROR;
}

/* PROTO-3: the array grows with the arguments that have come, never with what was claimed. */
static void args_add(struct resp_parser *p, struct bytes arg)
{
    if (p->args_count == p->args_capacity) {
        p->args_capacity = p->args_capacity > 0 ? p->args_capacity * 2 : ARGS_FIRST;
        p->args = mem_realloc(p->args, p->args_capacity * sizeof(*p->args));
    }
    ensure(p->args_count < LIMIT_ARGUMENTS);
    p->args[p->args_count++] = arg;
}

/* PROTO-4: what a large command needed is given back when a small one, or nothing, follows it. */
static void args_shrink(struct resp_parser *p, size_t count)
{
    ensure(p->args_count == 0);
    if (p->args_capacity > ARGS_KEPT_MAX && count <= ARGS_KEPT_MAX) {
        reached("protocol: large argument array given back");
        mem_free(p->args);
        p->args = NULL;
        p->args_capacity = 0;
    }
}

/*
 * The input may move before the command is complete, so until then data holds the offset of the
 * argument in the input; args_point_into turns offsets into addresses.
 */
static struct bytes arg_at(size_t offset, size_t size)
{
    return (struct bytes){.data = (const uint8_t *)(uintptr_t)offset, .size = size};
}

static void args_point_into(struct resp_parser *p, struct bytes input)
{
    for (size_t i = 0; i < p->args_count; i++) {
        size_t offset = (size_t)(uintptr_t)p->args[i].data;
        ensure(offset <= input.size);
        ensure(p->args[i].size <= input.size - offset);
        p->args[i].data = input.data + offset;
    }
}

/* Looks for the end of the line that begins at p->offset, from where the last search stopped. */
static enum line line_find(struct resp_parser *p, struct bytes input, uint8_t end, size_t *out_end)
{
    ensure(p->scanned >= p->offset);
    size_t limit = p->offset + LINE_END_OFFSET_MAX + 1;
    size_t stop = input.size < limit ? input.size : limit;
    if (p->scanned < stop) {
        const uint8_t *found = memchr(input.data + p->scanned, end, stop - p->scanned);
        if (found != NULL) {
            *out_end = (size_t)(found - input.data);
            p->scanned = *out_end;
            return LINE_FOUND;
        }
        p->scanned = stop;
    }
    return stop == limit ? LINE_TOO_LONG : LINE_MORE;
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Vertical tabs and form feeds are blanks between words, but do not end one: so Redis has it. */
static bool ends_word(uint8_t c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    uint8_t lower = c | 0x20;
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static uint8_t escaped_byte(uint8_t c)
{
    switch (c) {
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    case 'b':
        return '\b';
    case 'a':
        return '\a';
    default:
        return c;
    }
}

/* Splitting one line: at moves through it, words are unquoted to the end of scratch. */
struct split {
    const uint8_t *at;
    const uint8_t *end;
    struct buf *scratch;
};

static void split_put(struct split *s, uint8_t c)
{
    ensure(s->scratch->size < s->scratch->capacity);
    s->scratch->data[s->scratch->size++] = c;
}

/* After an opening '"'. False: no closing quote, or something other than a blank behind it. */
static bool split_double_quoted(struct split *s)
{
    while (s->at < s->end && *s->at != '"') {
        if (*s->at != '\\' || s->end - s->at < 2) {
            split_put(s, *s->at++);
            continue;
        }
        if (s->end - s->at >= 4 && s->at[1] == 'x') {
            int high = hex_digit(s->at[2]);
            int low = hex_digit(s->at[3]);
            if (high >= 0 && low >= 0) {
                split_put(s, (uint8_t)(high * 16 + low));
                s->at += 4;
                continue;
            }
        }
        split_put(s, escaped_byte(s->at[1]));
        s->at += 2;
    }
    if (s->at == s->end) {
        return false;
    }
    s->at++;
    return s->at == s->end || is_blank(*s->at);
}

/* After an opening "'": only \' is an escape. */
static bool split_single_quoted(struct split *s)
{
    while (s->at < s->end && *s->at != '\'') {
        if (*s->at == '\\' && s->end - s->at >= 2 && s->at[1] == '\'') {
            s->at++;
        }
        split_put(s, *s->at++);
    }
    if (s->at == s->end) {
        return false;
    }
    s->at++;
    return s->at == s->end || is_blank(*s->at);
}

/* A quote may open inside a word and then ends it. */
static bool split_word(struct split *s, struct bytes *out_word)
{
    size_t first = s->scratch->size;
    bool is_balanced = true;
    while (s->at < s->end && !ends_word(*s->at)) {
        uint8_t c = *s->at++;
        if (c == '"' || c == '\'') {
            is_balanced = c == '"' ? split_double_quoted(s) : split_single_quoted(s);
            break;
        }
        split_put(s, c);
    }
    *out_word = bytes_of(s->scratch->data + first, s->scratch->size - first);
    return is_balanced;
}

static enum resp_parse next_inline(struct resp_parser *p, struct bytes input, size_t *out_used)
{
    size_t line_end = 0;
    switch (line_find(p, input, '\n', &line_end)) {
    case LINE_MORE:
        return RESP_PARSE_MORE;
    case LINE_TOO_LONG:
        return fail(p, "too big inline request");
    case LINE_FOUND:
        break;
    }

    /* No word is longer unquoted than quoted, so the words do not move while scratch fills. */
    buf_reserve(&p->scratch, line_end + 1);
    struct split s = {.at = input.data, .end = input.data + line_end, .scratch = &p->scratch};
    for (;;) {
        while (s.at < s.end && is_blank(*s.at)) {
            s.at++;
        }
        if (s.at == s.end) {
            break;
        }
        struct bytes word = {0};
        if (!split_word(&s, &word)) {
            return fail(p, "unbalanced quotes in request");
        }
        args_add(p, word);
    }
    *out_used = line_end + 1;
    return RESP_PARSE_COMMAND;
}

/*
 * The number of the header line at p->offset. Like Redis it takes any byte after the CR for the LF.
 * What is no number reads as one above every limit. LINE_FOUND: p->offset is behind the line.
 */
static enum line header_read(struct resp_parser *p,
                             struct bytes input,
                             uint8_t *out_mark,
                             int64_t *out_number)
{
    size_t line_end = 0;
    enum line line = line_find(p, input, '\r', &line_end);
    if (line != LINE_FOUND) {
        return line;
    }
    if (input.size - line_end < 2) {
        return LINE_MORE;
    }
    *out_mark = input.data[p->offset];
    size_t first = p->offset + 1;
    if (first > line_end ||
        !bytes_to_i64(bytes_of(input.data + first, line_end - first), out_number)) {
        *out_number = INT64_MAX;
    }
    p->offset = line_end + 2;
    p->scanned = p->offset;
    return LINE_FOUND;
}

static enum resp_parse next_count(struct resp_parser *p, struct bytes input)
{
    uint8_t mark = 0;
    int64_t count = 0;
    switch (header_read(p, input, &mark, &count)) {
    case LINE_MORE:
        return RESP_PARSE_MORE;
    case LINE_TOO_LONG:
        return fail(p, "too big mbulk count string");
    case LINE_FOUND:
        break;
    }
    ensure(mark == '*');
    if (count > (int64_t)LIMIT_ARGUMENTS) {
        return fail(p, "invalid multibulk length");
    }
    p->args_left = count > 0 ? (size_t)count : 0;
    args_shrink(p, p->args_left);
    p->state = RESP_PARSER_STATE_BULK_HEADER;
    return RESP_PARSE_COMMAND;
}

static enum resp_parse next_bulk_header(struct resp_parser *p, struct bytes input)
{
    uint8_t mark = 0;
    int64_t size = 0;
    switch (header_read(p, input, &mark, &size)) {
    case LINE_MORE:
        return RESP_PARSE_MORE;
    case LINE_TOO_LONG:
        return fail(p, "too big bulk count string");
    case LINE_FOUND:
        break;
    }
    if (mark != '$') {
        char text[] = "expected '$', got '?'";
        if (mark == '\r' || mark == '\n' || mark == '\0') {
            mark = ' ';
        }
        text[sizeof(text) - 3] = (char)mark;
        return fail(p, text);
    }
    if (size < 0 || size > (int64_t)LIMIT_VALUE_BYTES) {
        return fail(p, "invalid bulk length");
    }
    if ((size_t)size > LIMIT_COMMAND_BYTES - p->command_bytes) {
        return fail(p, "too big request");
    }
    p->bulk_size = (size_t)size;
    p->command_bytes += p->bulk_size;
    p->state = RESP_PARSER_STATE_BULK_BODY;
    return RESP_PARSE_COMMAND;
}

/* Like Redis it steps over the two bytes behind the body without looking at them. */
static enum resp_parse next_bulk_body(struct resp_parser *p, struct bytes input)
{
    if (input.size - p->offset < p->bulk_size + 2) {
        return RESP_PARSE_MORE;
    }
    args_add(p, arg_at(p->offset, p->bulk_size));
    p->offset += p->bulk_size + 2;
    p->scanned = p->offset;
    p->args_left--;
    p->state = RESP_PARSER_STATE_BULK_HEADER;
    return RESP_PARSE_COMMAND;
}

/* The parts of a multi-bulk request say COMMAND when they are complete; here they are put together.
 */
static enum resp_parse next_multibulk(struct resp_parser *p, struct bytes input, size_t *out_used)
{
    enum resp_parse parse = RESP_PARSE_COMMAND;
    if (p->state == RESP_PARSER_STATE_COUNT) {
        parse = next_count(p, input);
    }
    while (parse == RESP_PARSE_COMMAND && p->args_left > 0) {
        if (p->state == RESP_PARSER_STATE_BULK_HEADER) {
            parse = next_bulk_header(p, input);
        } else {
            ensure(p->state == RESP_PARSER_STATE_BULK_BODY);
            parse = next_bulk_body(p, input);
        }
    }
    if (parse == RESP_PARSE_COMMAND) {
        args_point_into(p, input);
        *out_used = p->offset;
    }
    return parse;
}

static void start(struct resp_parser *p, uint8_t first)
{
    p->offset = 0;
    p->scanned = 0;
    p->seen = 0;
    p->command_bytes = 0;
    p->args_left = 0;
    p->args_count = 0;
    buf_clear(&p->scratch, SCRATCH_KEPT_MAX);
    p->state = first == '*' ? RESP_PARSER_STATE_COUNT : RESP_PARSER_STATE_INLINE;
    if (p->state == RESP_PARSER_STATE_INLINE) {
        args_shrink(p, 0);
    }
}

enum resp_parse resp_parser_next(struct resp_parser *p,
                                 struct bytes input,
                                 size_t *out_used,
                                 const struct bytes **out_args,
                                 size_t *out_count)
{
    if (p->state == RESP_PARSER_STATE_FAILED) {
        return RESP_PARSE_ERROR;
    }
    if (p->state == RESP_PARSER_STATE_START) {
        if (input.size == 0) {
            p->args_count = 0;
            args_shrink(p, 0);
            buf_clear(&p->scratch, SCRATCH_KEPT_MAX);
            return RESP_PARSE_MORE;
        }
        start(p, input.data[0]);
    }
    ensure(input.size >= p->seen);

    size_t used = 0;
    enum resp_parse parse = p->state == RESP_PARSER_STATE_INLINE ? next_inline(p, input, &used)
                                                                 : next_multibulk(p, input, &used);
    p->seen = input.size;
    if (parse != RESP_PARSE_COMMAND) {
        return parse;
    }
    ensure(used > 0);
    ensure(used <= input.size);
    p->state = RESP_PARSER_STATE_START;
    *out_used = used;
    *out_args = p->args;
    *out_count = p->args_count;
    return RESP_PARSE_COMMAND;
}

size_t resp_parser_memory(const struct resp_parser *p)
{
    return p->args_capacity * sizeof p->args[0] + p->scratch.capacity;
}
