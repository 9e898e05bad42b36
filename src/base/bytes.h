/*
 * struct bytes: a borrowed view of memory, never stored past the call it was given to.
 * struct buf: an owned, growing byte buffer, created with its maximum.
 */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes {
    const uint8_t *data;
    size_t size;
};

static inline struct bytes bytes_of(const void *data, size_t size)
{
    return (struct bytes){.data = data, .size = size};
}

static inline struct bytes bytes_of_text(const char *text)
{
    return bytes_of(text, strlen(text));
}

bool bytes_equal(struct bytes a, struct bytes b);
bool bytes_equal_text(struct bytes a, const char *text);
/* ASCII letters compare without case; text must be lower case. */
bool bytes_equal_nocase(struct bytes a, const char *text);
/* Like memcmp; a prefix sorts first. */
int bytes_compare(struct bytes a, struct bytes b);
/* Decimal integer with the strictness of Redis: no sign '+', no blanks, no leading zeros. */
bool bytes_to_i64(struct bytes a, int64_t *out_value);

struct buf {
    uint8_t *data;
    size_t size;
    size_t capacity;
    size_t size_max; /* ensure()d: callers test buf_room() before appending outside input */
};

void buf_init(struct buf *b, size_t size_max);
void buf_deinit(struct buf *b);
/* Keeps the memory for the next use unless it is larger than keep_max bytes. */
void buf_clear(struct buf *b, size_t keep_max);
static inline size_t buf_room(const struct buf *b)
{
    return b->size_max - b->size;
}
static inline struct bytes buf_bytes(const struct buf *b)
{
    return bytes_of(b->data, b->size);
}
/* Makes room for size more bytes and returns where they go; size grows by buf_extend. */
uint8_t *buf_reserve(struct buf *b, size_t size);
static inline void buf_extend(struct buf *b, size_t size)
{
    b->size += size;
}
void buf_append(struct buf *b, const void *data, size_t size);
void buf_append_bytes(struct buf *b, struct bytes bytes);
void buf_append_text(struct buf *b, const char *text);
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Removes size bytes from the front, moving the rest down. */
void buf_drop_front(struct buf *b, size_t size);

#endif
