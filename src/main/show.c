#include "main/show.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "base/assert.h"

#define COLUMNS_MAX 32u
#define COLUMN_GAP 2u
#define HEADER_BYTES_MAX 64u

static bool is_text(const struct resp_value *v)
{
    switch (v->type) {
    case RESP_TYPE_SIMPLE:
    case RESP_TYPE_ERROR:
    case RESP_TYPE_BULK:
    case RESP_TYPE_BIG_NUMBER: /* more than a reader of JSON keeps */
    case RESP_TYPE_BULK_ERROR:
    case RESP_TYPE_VERBATIM:
        return !resp_value_is_null(v);
    case RESP_TYPE_INTEGER:
    case RESP_TYPE_ARRAY:
    case RESP_TYPE_NULL:
    case RESP_TYPE_BOOL:
    case RESP_TYPE_DOUBLE:
    case RESP_TYPE_MAP:
    case RESP_TYPE_SET:
    case RESP_TYPE_PUSH:
        return false;
    }
    unreachable("every type of reply is handled");
}

static bool is_list(const struct resp_value *v)
{
    return !resp_value_is_null(v) &&
           (v->type == RESP_TYPE_ARRAY || v->type == RESP_TYPE_SET || v->type == RESP_TYPE_PUSH);
}

static bool is_map(const struct resp_value *v)
{
    return v->type == RESP_TYPE_MAP;
}

/* ---- text ------------------------------------------------------------------------------------ */

/* Size of the character that text begins with, 0 if its first byte begins none: RFC 3629. */
static size_t utf8_size(struct bytes text)
{
    uint8_t first = text.data[0];
    size_t size = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (first > 0xf4 || size > text.size) {
        return 0;
    }
    for (size_t i = 1; i < size; i++) {
        if ((text.data[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    uint8_t second = size > 1 ? text.data[1] : 0;
    bool is_overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
    bool is_surrogate = first == 0xed && second > 0x9f;
    bool is_beyond = first == 0xf4 && second > 0x8f;
    return is_overlong || is_surrogate || is_beyond ? 0 : size;
}

/* Characters that move a terminal's cursor, or worse: C0, DEL, C1. */
static bool is_control(struct bytes character)
{
    uint8_t first = character.data[0];
    return first < 0x20 || first == 0x7f ||
           (character.size == 2 && first == 0xc2 && character.data[1] < 0xa0);
}

/* Appends text; escape writes the bytes that cannot stay, also_escaped get a backslash. */
static void append_escaped(struct buf *out,
                           struct bytes text,
                           void (*escape)(struct buf *out, uint8_t byte),
                           const char *also_escaped)
{
    for (size_t at = 0; at < text.size;) {
        struct bytes rest = bytes_of(text.data + at, text.size - at);
        size_t size = utf8_size(rest);
        if (size == 0 || is_control(bytes_of(rest.data, size))) {
            for (size_t i = 0; i < (size > 0 ? size : 1); i++) {
                escape(out, rest.data[i]);
            }
        } else {
            buf_append_text(out, strchr(also_escaped, rest.data[0]) != NULL ? "\\" : "");
            buf_append(out, rest.data, size);
        }
        at += size > 0 ? size : 1;
    }
}

static void escape_json(struct buf *out, uint8_t byte)
{
    buf_printf(out, "\\u%04x", (unsigned)byte);
}

static void escape_cell(struct buf *out, uint8_t byte)
{
    buf_printf(out, "\\x%02x", (unsigned)byte);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

/* An array or map whose end was not written yet. */
struct open_value {
    int64_t left; /* values; of a map keys too */
    bool is_map;
    bool has_any;
};

static void append_json_text(struct buf *out, struct bytes text)
{
    buf_append_text(out, "\"");
    append_escaped(out, text, escape_json, "\"\\");
    buf_append_text(out, "\"");
}

static void append_json_scalar(struct buf *out, const struct resp_value *v)
{
    if (is_text(v)) {
        append_json_text(out, v->text);
    } else if (v->type == RESP_TYPE_INTEGER) {
        buf_printf(out, "%" PRId64, v->integer);
    } else if (v->type == RESP_TYPE_BOOL) {
        buf_append_text(out, v->integer != 0 ? "true" : "false");
    } else if (v->type == RESP_TYPE_DOUBLE && isfinite(v->number)) {
        buf_printf(out, "%.17g", v->number);
    } else {
        buf_append_text(out, "null");
    }
}

static void append_separator(struct buf *out, struct open_value *within)
{
    bool is_value_of_key = within->is_map && within->left % 2 != 0;
    buf_append_text(out, is_value_of_key ? ":" : within->has_any ? "," : "");
    within->has_any = true;
    within->left--;
}

/* False: a map's key is no scalar. */
static bool append_json_key(struct buf *out, const struct resp_value *v)
{
    if (is_list(v) || is_map(v)) {
        return false;
    }
    if (is_text(v)) {
        append_json_scalar(out, v);
        return true;
    }
    buf_append_text(out, "\"");
    append_json_scalar(out, v);
    buf_append_text(out, "\"");
    return true;
}

enum status show_json(struct bytes reply, struct buf *out)
{
    struct open_value open[RESP_REPLY_LEVELS_MAX];
    size_t depth = 0;
    struct bytes rest = reply;
    do {
        struct resp_value v = {0};
        if (resp_value_read(&rest, &v) != STATUS_OK) {
            return STATUS_MALFORMED;
        }
        bool is_key = false;
        if (depth > 0) {
            is_key = open[depth - 1].is_map && open[depth - 1].left % 2 == 0;
            append_separator(out, &open[depth - 1]);
        }
        if (is_key) {
            if (!append_json_key(out, &v)) {
                return STATUS_MALFORMED;
            }
        } else if (is_list(&v) || is_map(&v)) {
            if (depth == RESP_REPLY_LEVELS_MAX) {
                return STATUS_MALFORMED;
            }
            buf_append_text(out, is_map(&v) ? "{" : "[");
            open[depth++] = (struct open_value){.is_map = is_map(&v), .left = v.count};
        } else {
            append_json_scalar(out, &v);
        }
        for (; depth > 0 && open[depth - 1].left == 0; depth--) {
            buf_append_text(out, open[depth - 1].is_map ? "}" : "]");
        }
    } while (depth > 0);
    buf_append_text(out, "\n");
    return rest.size == 0 ? STATUS_OK : STATUS_MALFORMED;
}

/* ---- table ----------------------------------------------------------------------------------- */

struct table {
    struct bytes names[COLUMNS_MAX]; /* borrowed from the reply */
    size_t widths[COLUMNS_MAX];      /* in characters */
    size_t column_count;
    struct buf text;  /* all cells, one behind the other */
    struct buf sizes; /* size_t, of each cell */
    size_t cell_count;
};

static void table_init(struct table *t)
{
    *t = (struct table){0};
    buf_init(&t->text, SIZE_MAX / 2);
    buf_init(&t->sizes, SIZE_MAX / 2);
}

static void table_deinit(struct table *t)
{
    buf_deinit(&t->text);
    buf_deinit(&t->sizes);
}

/* Characters, of text that append_escaped wrote. */
static size_t width_of(struct bytes text)
{
    size_t width = 0;
    for (size_t i = 0; i < text.size; i++) {
        width += (text.data[i] & 0xc0) != 0x80 ? 1 : 0;
    }
    return width;
}

static void widen(size_t *width, size_t wanted)
{
    *width = *width < wanted ? wanted : *width;
}

static void append_cell_scalar(struct buf *out, const struct resp_value *v)
{
    if (is_text(v) && v->text.size > 0) {
        append_escaped(out, v->text, escape_cell, "");
    } else if (v->type == RESP_TYPE_INTEGER) {
        buf_printf(out, "%" PRId64, v->integer);
    } else if (v->type == RESP_TYPE_BOOL) {
        buf_append_text(out, v->integer != 0 ? "yes" : "no");
    } else if (v->type == RESP_TYPE_DOUBLE) {
        buf_printf(out, "%g", v->number);
    } else {
        buf_append_text(out, "-");
    }
}

/* Reads one value and makes it the next cell. */
static enum status add_cell(struct table *t, struct bytes *inout_rest)
{
    size_t before = t->text.size;
    struct resp_value v = {0};
    if (resp_value_read(inout_rest, &v) != STATUS_OK || is_map(&v)) {
        return STATUS_MALFORMED;
    }
    if (!is_list(&v) || v.count == 0) {
        append_cell_scalar(&t->text, &v);
    }
    for (int64_t i = 0; is_list(&v) && i < v.count; i++) {
        struct resp_value part = {0};
        if (resp_value_read(inout_rest, &part) != STATUS_OK || is_list(&part) || is_map(&part)) {
            return STATUS_MALFORMED;
        }
        buf_append_text(&t->text, i > 0 ? "," : "");
        append_cell_scalar(&t->text, &part);
    }
    size_t size = t->text.size - before;
    widen(&t->widths[t->cell_count % t->column_count],
          width_of(bytes_of(t->text.data + before, size)));
    buf_append(&t->sizes, &size, sizeof size);
    t->cell_count++;
    return STATUS_OK;
}

static void add_column(struct table *t, struct bytes name)
{
    ensure(t->column_count < COLUMNS_MAX);
    t->names[t->column_count] = name;
    t->widths[t->column_count] = name.size < HEADER_BYTES_MAX ? name.size : HEADER_BYTES_MAX;
    t->column_count++;
}

/* A map of an array: the names of its fields are the columns, and all maps have the same. */
static enum status add_row(struct table *t, struct bytes *inout_rest)
{
    struct resp_value map = {0};
    if (resp_value_read(inout_rest, &map) != STATUS_OK || !is_map(&map) || map.count == 0 ||
        map.count > 2 * (int64_t)COLUMNS_MAX) {
        return STATUS_MALFORMED;
    }
    size_t count = (size_t)map.count / 2;
    bool is_first = t->column_count == 0;
    if (is_first) {
        /* The names first: how many there are tells the cells apart. */
        struct bytes ahead = *inout_rest;
        for (size_t i = 0; i < count; i++) {
            struct resp_value name = {0};
            size_t value_size = 0;
            if (resp_value_read(&ahead, &name) != STATUS_OK || !is_text(&name) ||
                resp_reply_size(ahead, &value_size) != STATUS_OK) {
                return STATUS_MALFORMED;
            }
            ahead = bytes_of(ahead.data + value_size, ahead.size - value_size);
            add_column(t, name.text);
        }
    }
    if (count != t->column_count) {
        return STATUS_MALFORMED;
    }
    for (size_t i = 0; i < count; i++) {
        struct resp_value name = {0};
        if (resp_value_read(inout_rest, &name) != STATUS_OK || !is_text(&name) ||
            !bytes_equal(name.text, t->names[i]) || add_cell(t, inout_rest) != STATUS_OK) {
            return STATUS_MALFORMED;
        }
    }
    return STATUS_OK;
}

static enum status read_table(struct table *t, struct bytes reply)
{
    struct bytes rest = reply;
    struct resp_value top = {0};
    if (resp_value_read(&rest, &top) != STATUS_OK || (!is_list(&top) && !is_map(&top))) {
        return STATUS_MALFORMED;
    }
    if (is_map(&top)) {
        add_column(t, bytes_of_text("field"));
        add_column(t, bytes_of_text("value"));
    }
    for (int64_t i = 0; i < top.count; i++) {
        if ((is_map(&top) ? add_cell(t, &rest) : add_row(t, &rest)) != STATUS_OK) {
            return STATUS_MALFORMED;
        }
    }
    return rest.size == 0 ? STATUS_OK : STATUS_MALFORMED;
}

/* The last cell of a line is not padded. */
static void append_cell(const struct table *t, size_t column, struct bytes text, struct buf *out)
{
    buf_append_bytes(out, text);
    if (column + 1 == t->column_count) {
        buf_append_text(out, "\n");
        return;
    }
    size_t width = width_of(text);
    ensure(width <= t->widths[column]);
    for (size_t i = width; i < t->widths[column] + COLUMN_GAP; i++) {
        buf_append_text(out, " ");
    }
}

static char header_char(uint8_t c)
{
    if (c >= 'a' && c <= 'z') {
        return (char)(c - 'a' + 'A');
    }
    return (char)(c > ' ' && c < 0x7f ? c : '?');
}

static void append_header(const struct table *t, struct buf *out)
{
    for (size_t column = 0; column < t->column_count; column++) {
        char upper[HEADER_BYTES_MAX];
        struct bytes name = t->names[column];
        size_t size = name.size < sizeof upper ? name.size : sizeof upper;
        for (size_t i = 0; i < size; i++) {
            upper[i] = header_char(name.data[i]);
        }
        append_cell(t, column, bytes_of(upper, size), out);
    }
}

enum status show_table(struct bytes reply, struct buf *out)
{
    struct table t;
    table_init(&t);
    enum status s = read_table(&t, reply);
    if (s == STATUS_OK && t.cell_count == 0) {
        buf_append_text(out, "none\n");
    } else if (s == STATUS_OK) {
        append_header(&t, out);
        const uint8_t *at = t.text.data;
        for (size_t i = 0; i < t.cell_count; i++) {
            size_t size = 0;
            memcpy(&size, t.sizes.data + i * sizeof size, sizeof size);
            append_cell(&t, i % t.column_count, bytes_of(at, size), out);
            at += size;
        }
    }
    table_deinit(&t);
    return s;
}

/* ---- one field ------------------------------------------------------------------------------- */

enum status show_field(struct bytes reply, const char *name, struct resp_value *out)
{
    struct bytes rest = reply;
    struct resp_value map = {0};
    if (resp_value_read(&rest, &map) != STATUS_OK || !is_map(&map)) {
        return STATUS_NOT_FOUND;
    }
    for (int64_t i = 0; i < map.count; i += 2) {
        struct resp_value key = {0};
        size_t size = 0;
        if (resp_value_read(&rest, &key) != STATUS_OK || !is_text(&key) ||
            resp_reply_size(rest, &size) != STATUS_OK) {
            return STATUS_NOT_FOUND;
        }
        if (bytes_equal_text(key.text, name)) {
            return resp_value_read(&rest, out) == STATUS_OK && !is_list(out) && !is_map(out)
                       ? STATUS_OK
                       : STATUS_NOT_FOUND;
        }
        rest = bytes_of(rest.data + size, rest.size - size);
    }
    return STATUS_NOT_FOUND;
}
