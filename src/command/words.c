#include "command/words.h"

bool words_next(struct bytes *inout_rest, struct bytes *out_word)
{
    struct bytes rest = *inout_rest;
    while (rest.size > 0 && rest.data[0] == ' ') {
        rest = bytes_of(rest.data + 1, rest.size - 1);
    }
    size_t size = 0;
    while (size < rest.size && rest.data[size] != ' ') {
        size++;
    }
    *out_word = bytes_of(rest.data, size);
    *inout_rest = bytes_of(rest.data + size, rest.size - size);
    return size > 0;
}

size_t words_count(struct bytes words)
{
    size_t count = 0;
    struct bytes word;
    while (words_next(&words, &word)) {
        count++;
    }
    return count;
}

bool words_have(struct bytes words, const char *word)
{
    struct bytes next;
    while (words_next(&words, &next)) {
        if (bytes_equal_text(next, word)) {
            return true;
        }
    }
    return false;
}

void words_each(struct bytes words, void (*fn)(void *ctx, struct bytes word), void *ctx)
{
    struct bytes word;
    while (words_next(&words, &word)) {
        fn(ctx, word);
    }
}
