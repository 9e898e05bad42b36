#include "protocol/resp_writer.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"

/* A sign and the 19 digits of the largest magnitude. */
#define INTEGER_DIGITS_MAX 20u

static bool is_version(int version)
{
    return version == 2 || version == 3;
}

/* Writes value to the end of digits and returns where it begins. */
static const char *integer_text(int64_t value, char digits[INTEGER_DIGITS_MAX], size_t *out_size)
{
    uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    char *first = digits + INTEGER_DIGITS_MAX;
    do {
        *--first = (char)('0' + magnitude % 10);
        magnitude /= 10;
    } while (magnitude > 0);
    if (value < 0) {
        *--first = '-';
    }
    ensure(first >= digits);
    *out_size = (size_t)(digits + INTEGER_DIGITS_MAX - first);
    return first;
}

/* One line: mark, text, CR LF. */
static void write_line(struct buf *out, char mark, const char *text, size_t size)
{
    uint8_t *to = buf_reserve(out, size + 3);
    to[0] = (uint8_t)mark;
    memcpy(to + 1, text, size);
    to[size + 1] = '\r';
    to[size + 2] = '\n';
    buf_extend(out, size + 3);
}

static void write_number_line(struct buf *out, char mark, int64_t value)
{
    char digits[INTEGER_DIGITS_MAX];
    size_t size = 0;
    const char *text = integer_text(value, digits, &size);
    write_line(out, mark, text, size);
}

static void write_count_line(struct buf *out, char mark, size_t count)
{
    ensure(count <= INT64_MAX);
    write_number_line(out, mark, (int64_t)count);
}

void resp_write_simple(struct buf *out, const char *text)
{
    size_t size = strlen(text);
    ensure_slow(memchr(text, '\r', size) == NULL);
    ensure_slow(memchr(text, '\n', size) == NULL);
    write_line(out, '+', text, size);
}

/* PROTO-6: whatever a client's argument put into the text, the reply stays one line. */
void resp_write_error(struct buf *out, const char *text)
{
    size_t size = strnlen(text, RESP_ERROR_TEXT_BYTES_MAX);
    ensure(size > 0);
    write_line(out, '-', text, size);
    uint8_t *written = out->data + out->size - size - 2;
    for (size_t i = 0; i < size; i++) {
        if (written[i] == '\r' || written[i] == '\n') {
            written[i] = ' ';
        }
    }
}

void resp_write_errorf(struct buf *out, const char *format, ...)
{
    char text[RESP_ERROR_TEXT_BYTES_MAX + 1];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    ensure(size >= 0);
    resp_write_error(out, text);
}

void resp_write_integer(struct buf *out, int64_t value)
{
    write_number_line(out, ':', value);
}

/* "<mark><size>CRLF<prefix><bytes>CRLF"; size counts the prefix too. */
static void write_framed(struct buf *out, char mark, struct bytes prefix, struct bytes bytes)
{
    char digits[INTEGER_DIGITS_MAX];
    size_t digits_size = 0;
    ensure(bytes.size <= INT64_MAX - prefix.size);
    const char *text = integer_text((int64_t)(prefix.size + bytes.size), digits, &digits_size);
    size_t size = digits_size + prefix.size + bytes.size + 5;

    uint8_t *to = buf_reserve(out, size);
    *to++ = (uint8_t)mark;
    memcpy(to, text, digits_size);
    to += digits_size;
    *to++ = '\r';
    *to++ = '\n';
    if (prefix.size > 0) {
        memcpy(to, prefix.data, prefix.size);
        to += prefix.size;
    }
    if (bytes.size > 0) {
        memcpy(to, bytes.data, bytes.size);
        to += bytes.size;
    }
    to[0] = '\r';
    to[1] = '\n';
    buf_extend(out, size);
}

void resp_write_bulk(struct buf *out, struct bytes bytes)
{
    write_framed(out, '$', (struct bytes){0}, bytes);
}

void resp_write_bulk_text(struct buf *out, const char *text)
{
    resp_write_bulk(out, bytes_of_text(text));
}

void resp_write_null(struct buf *out, int version)
{
    ensure(is_version(version));
    buf_append_text(out, version == 2 ? "$-1\r\n" : "_\r\n");
}

void resp_write_null_array(struct buf *out, int version)
{
    ensure(is_version(version));
    buf_append_text(out, version == 2 ? "*-1\r\n" : "_\r\n");
}

void resp_write_array(struct buf *out, size_t count)
{
    write_count_line(out, '*', count);
}

void resp_write_map(struct buf *out, int version, size_t pairs)
{
    ensure(is_version(version));
    ensure(pairs <= SIZE_MAX / 2);
    if (version == 2) {
        write_count_line(out, '*', pairs * 2);
    } else {
        write_count_line(out, '%', pairs);
    }
}

void resp_write_set(struct buf *out, int version, size_t count)
{
    ensure(is_version(version));
    write_count_line(out, version == 2 ? '*' : '~', count);
}

void resp_write_push(struct buf *out, int version, size_t count)
{
    ensure(is_version(version));
    write_count_line(out, version == 2 ? '*' : '>', count);
}

void resp_write_double(struct buf *out, int version, double value)
{
    ensure(is_version(version));
    char text[40];
    int size = 0;
    if (isnan(value)) {
        size = snprintf(text, sizeof(text), "nan");
    } else if (isinf(value)) {
        size = snprintf(text, sizeof(text), "%s", value > 0 ? "inf" : "-inf");
    } else {
        size = snprintf(text, sizeof(text), "%.17g", value);
    }
    ensure(size > 0);
    ensure((size_t)size < sizeof(text));
    if (version == 2) {
        resp_write_bulk(out, bytes_of(text, (size_t)size));
    } else {
        write_line(out, ',', text, (size_t)size);
    }
}

void resp_write_bool(struct buf *out, int version, bool value)
{
    ensure(is_version(version));
    if (version == 2) {
        resp_write_integer(out, value ? 1 : 0);
    } else {
        buf_append_text(out, value ? "#t\r\n" : "#f\r\n");
    }
}

void resp_write_verbatim(struct buf *out, int version, const char *format, struct bytes bytes)
{
    ensure(is_version(version));
    ensure(strlen(format) == 3);
    if (version == 2) {
        resp_write_bulk(out, bytes);
        return;
    }
    char prefix[4] = {format[0], format[1], format[2], ':'};
    write_framed(out, '=', bytes_of(prefix, sizeof(prefix)), bytes);
}
