#include "base/bytes.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"

#define CAPACITY_FIRST 256u

bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

bool bytes_equal_text(struct bytes a, const char *text)
{
    return bytes_equal(a, bytes_of_text(text));
}

bool bytes_equal_nocase(struct bytes a, const char *text)
{
    size_t i = 0;
    for (; i < a.size && text[i] != '\0'; i++) {
        uint8_t c = a.data[i];
        if (c >= 'A' && c <= 'Z') {
            c = (uint8_t)(c + ('a' - 'A'));
        }
        if (c != (uint8_t)text[i]) {
            return false;
        }
    }
    return i == a.size && text[i] == '\0';
}

int bytes_compare(struct bytes a, struct bytes b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common > 0 ? memcmp(a.data, b.data, common) : 0;
    if (order != 0) {
        return order;
    }
    return (a.size > b.size) - (a.size < b.size);
}

bool bytes_to_i64(struct bytes a, int64_t *out_value)
{
    bool negative = a.size > 0 && a.data[0] == '-';
    size_t first = negative ? 1 : 0;
    size_t digits = a.size - first;
    if (digits == 0 || digits > 19) {
        return false;
    }
    if (a.data[first] == '0' && a.size > 1) {
        return false;
    }
    uint64_t value = 0;
    for (size_t i = first; i < a.size; i++) {
        if (a.data[i] < '0' || a.data[i] > '9') {
            return false;
        }
        value = value * 10 + (uint64_t)(a.data[i] - '0');
    }
    if (value > (uint64_t)INT64_MAX + (negative ? 1 : 0)) {
        return false;
    }
    *out_value = negative ? (int64_t)(0 - value) : (int64_t)value;
    return true;
}

void buf_init(struct buf *b, size_t size_max)
{
    ensure(size_max > 0);
    *b = (struct buf){.size_max = size_max};
}

void buf_deinit(struct buf *b)
{
    mem_free(b->data);
    *b = (struct buf){0};
}

void buf_clear(struct buf *b, size_t keep_max)
{
    b->size = 0;
    if (b->capacity > keep_max) {
        mem_free(b->data);
        b->data = NULL;
        b->capacity = 0;
    }
}

uint8_t *buf_reserve(struct buf *b, size_t size)
{
    ensure(size <= buf_room(b));
    size_t needed = b->size + size;
    if (needed > b->capacity) {
        size_t grown = b->capacity > 0 ? b->capacity * 2 : CAPACITY_FIRST;
        grown = grown > b->size_max ? b->size_max : grown;
        grown = grown < needed ? needed : grown;
        b->data = mem_realloc(b->data, grown);
        b->capacity = grown;
    }
    ensure(b->capacity >= needed);
    return b->data != NULL ? b->data + b->size : (b->data = mem_alloc(1));
}

void buf_append(struct buf *b, const void *data, size_t size)
{
    uint8_t *to = buf_reserve(b, size);
    if (size > 0) {
        memcpy(to, data, size);
    }
    b->size += size;
}

void buf_append_bytes(struct buf *b, struct bytes bytes)
{
    buf_append(b, bytes.data, bytes.size);
}

void buf_append_text(struct buf *b, const char *text)
{
    buf_append(b, text, strlen(text));
}

void buf_printf(struct buf *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    ensure(size >= 0);
    char *to = (char *)buf_reserve(b, (size_t)size + 1);
    (void)vsnprintf(to, (size_t)size + 1, format, again);
    va_end(again);
    b->size += (size_t)size;
}

void buf_drop_front(struct buf *b, size_t size)
{
    ensure(size <= b->size);
    b->size -= size;
    if (b->size > 0 && size > 0) {
        memmove(b->data, b->data + size, b->size);
    }
}
