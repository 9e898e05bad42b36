#include "protocol/resp_reply.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

#define DOUBLE_TEXT_BYTES_MAX 64u

/* A value, and where in the input the next one begins. */
struct reading {
    struct bytes input;
    size_t offset;
};

static enum status read_line(struct reading *r, struct bytes *out_line)
{
    ensure(r->offset <= r->input.size);
    size_t left = r->input.size - r->offset;
    size_t searched = left < RESP_REPLY_LINE_BYTES_MAX ? left : RESP_REPLY_LINE_BYTES_MAX;
    const uint8_t *line = r->input.data + r->offset;
    const uint8_t *cr = searched > 0 ? memchr(line, '\r', searched) : NULL;
    size_t size = cr != NULL ? (size_t)(cr - line) : searched;
    if (size > 0 && memchr(line, '\n', size) != NULL) {
        return STATUS_MALFORMED;
    }
    if (cr == NULL) {
        return searched == RESP_REPLY_LINE_BYTES_MAX ? STATUS_MALFORMED : STATUS_NEED;
    }
    if (left == size + 1) {
        return STATUS_NEED;
    }
    if (cr[1] != '\n') {
        return STATUS_MALFORMED;
    }
    *out_line = bytes_of(line, size);
    r->offset += size + 2;
    return STATUS_OK;
}

/* The bytes that a length line announced, and their CRLF; "-1" is null where that is allowed. */
static enum status read_framed(struct reading *r,
                               struct bytes line,
                               bool may_be_null,
                               struct resp_value *out)
{
    int64_t size = 0;
    if (!bytes_to_i64(line, &size) || size < -1 || size > (int64_t)RESP_REPLY_BULK_BYTES_MAX) {
        return STATUS_MALFORMED;
    }
    if (size == -1) {
        out->count = -1;
        return may_be_null ? STATUS_OK : STATUS_MALFORMED;
    }
    size_t needed = (size_t)size + 2;
    size_t left = r->input.size - r->offset;
    const uint8_t *body = r->input.data + r->offset;
    if (left > (size_t)size && body[size] != '\r') {
        return STATUS_MALFORMED;
    }
    if (left < needed) {
        return STATUS_NEED;
    }
    if (body[size + 1] != '\n') {
        return STATUS_MALFORMED;
    }
    out->text = bytes_of(body, (size_t)size);
    r->offset += needed;
    return STATUS_OK;
}

static enum status read_count(struct bytes line,
                              int64_t factor,
                              bool may_be_null,
                              struct resp_value *out)
{
    int64_t count = 0;
    if (!bytes_to_i64(line, &count) || count < -1 || count > (int64_t)RESP_REPLY_CHILDREN_MAX) {
        return STATUS_MALFORMED;
    }
    if (count == -1 && !may_be_null) {
        return STATUS_MALFORMED;
    }
    out->count = count > 0 ? count * factor : count;
    return STATUS_OK;
}

static enum status read_double(struct bytes line, double *out_number)
{
    char text[DOUBLE_TEXT_BYTES_MAX + 1] = {0};
    if (line.size == 0 || line.size > DOUBLE_TEXT_BYTES_MAX) {
        return STATUS_MALFORMED;
    }
    memcpy(text, line.data, line.size);
    bool is_word = bytes_equal_text(line, "inf") || bytes_equal_text(line, "-inf") ||
                   bytes_equal_text(line, "nan");
    /* strtod takes more than RESP has: blanks, hexadecimal, other words. */
    if (!is_word && strspn(text, "0123456789+-.eE") != line.size) {
        return STATUS_MALFORMED;
    }
    char *end = NULL;
    double number = strtod(text, &end);
    if (end != text + line.size) {
        return STATUS_MALFORMED;
    }
    *out_number = number;
    return STATUS_OK;
}

static bool is_big_number(struct bytes line)
{
    size_t first = line.size > 0 && (line.data[0] == '-' || line.data[0] == '+') ? 1 : 0;
    for (size_t i = first; i < line.size; i++) {
        if (line.data[i] < '0' || line.data[i] > '9') {
            return false;
        }
    }
    return line.size > first;
}

static enum status read_verbatim(struct reading *r, struct bytes line, struct resp_value *out)
{
    enum status status = read_framed(r, line, false, out);
    if (status != STATUS_OK) {
        return status;
    }
    if (out->text.size < 4 || out->text.data[3] != ':') {
        return STATUS_MALFORMED;
    }
    out->text = bytes_of(out->text.data + 4, out->text.size - 4);
    return STATUS_OK;
}

static enum status read_bool(struct bytes line, int64_t *out_integer)
{
    if (line.size != 1 || (line.data[0] != 't' && line.data[0] != 'f')) {
        return STATUS_MALFORMED;
    }
    *out_integer = line.data[0] == 't' ? 1 : 0;
    return STATUS_OK;
}

static bool type_of(uint8_t mark, enum resp_type *out_type)
{
    static const char marks[] = "+-:$*_#,(!=%~>";
    static_assert(sizeof(marks) - 1 == RESP_TYPE_PUSH + 1, "a mark for each type, in their order");
    const char *found = mark != '\0' ? strchr(marks, mark) : NULL;
    if (found == NULL) {
        return false;
    }
    *out_type = (enum resp_type)(found - marks);
    return true;
}

/* The value whose first line is given, without its mark. Zeroed before: *out. */
static enum status read_value(struct reading *r, struct bytes line, struct resp_value *out)
{
    out->text = line;
    switch (out->type) {
    case RESP_TYPE_SIMPLE:
    case RESP_TYPE_ERROR:
        return STATUS_OK;
    case RESP_TYPE_INTEGER:
        return bytes_to_i64(line, &out->integer) ? STATUS_OK : STATUS_MALFORMED;
    case RESP_TYPE_BULK:
        return read_framed(r, line, true, out);
    case RESP_TYPE_BULK_ERROR:
        return read_framed(r, line, false, out);
    case RESP_TYPE_VERBATIM:
        return read_verbatim(r, line, out);
    case RESP_TYPE_ARRAY:
        return read_count(line, 1, true, out);
    case RESP_TYPE_SET:
    case RESP_TYPE_PUSH:
        return read_count(line, 1, false, out);
    case RESP_TYPE_MAP:
        return read_count(line, 2, false, out);
    case RESP_TYPE_NULL:
        out->count = -1;
        return line.size == 0 ? STATUS_OK : STATUS_MALFORMED;
    case RESP_TYPE_BOOL:
        return read_bool(line, &out->integer);
    case RESP_TYPE_DOUBLE:
        return read_double(line, &out->number);
    case RESP_TYPE_BIG_NUMBER:
        return is_big_number(line) ? STATUS_OK : STATUS_MALFORMED;
    }
    unreachable("a type that type_of does not know");
}

static bool is_aggregate(enum resp_type type)
{
    return type == RESP_TYPE_ARRAY || type == RESP_TYPE_MAP || type == RESP_TYPE_SET ||
           type == RESP_TYPE_PUSH;
}

enum status resp_value_read(struct bytes *inout_rest, struct resp_value *out)
{
    struct bytes rest = *inout_rest;
    struct resp_value value = {0};
    if (rest.size == 0) {
        return STATUS_NEED;
    }
    if (!type_of(rest.data[0], &value.type)) {
        return STATUS_MALFORMED;
    }
    struct reading r = {.input = rest, .offset = 1};
    struct bytes line = {0};
    enum status status = read_line(&r, &line);
    if (status == STATUS_OK) {
        status = read_value(&r, line, &value);
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (is_aggregate(value.type) || resp_value_is_null(&value)) {
        value.text = (struct bytes){0};
    }
    ensure(r.offset <= rest.size);
    *inout_rest = bytes_of(rest.data + r.offset, rest.size - r.offset);
    *out = value;
    return STATUS_OK;
}

enum status resp_reply_size(struct bytes input, size_t *out_size)
{
    /* left[i]: values that the aggregate i levels down still lacks; left[0]: the reply itself. */
    int64_t left[RESP_REPLY_LEVELS_MAX + 1] = {1};
    size_t level = 0;
    struct bytes rest = input;
    for (;;) {
        while (left[level] == 0) {
            if (level == 0) {
                *out_size = input.size - rest.size;
                return STATUS_OK;
            }
            level--;
        }
        struct resp_value value = {0};
        enum status status = resp_value_read(&rest, &value);
        if (status != STATUS_OK) {
            return status;
        }
        left[level]--;
        if (is_aggregate(value.type) && !resp_value_is_null(&value)) {
            if (level == RESP_REPLY_LEVELS_MAX) {
                return STATUS_MALFORMED;
            }
            left[++level] = value.count;
        }
    }
}
