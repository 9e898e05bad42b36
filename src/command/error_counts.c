#include "command/error_counts.h"

/* The word behind '-', cut to what a row holds. */
static struct bytes word_of(struct bytes reply)
{
    size_t size = 1;
    while (size < reply.size && size < ERROR_COUNTS_WORD_BYTES && reply.data[size] != ' ' &&
           reply.data[size] != '\r') {
        size++;
    }
    return bytes_of(reply.data + 1, size - 1);
}

void error_counts_note(struct error_counts *counts, struct bytes reply)
{
    if (reply.size == 0 || reply.data[0] != '-') {
        return;
    }
    struct bytes word = word_of(reply);
    size_t at = 0;
    while (at < counts->size && bytes_compare(bytes_of_text(counts->rows[at].word), word) < 0) {
        at++;
    }
    if (at < counts->size && bytes_equal_text(word, counts->rows[at].word)) {
        counts->rows[at].count++;
        return;
    }
    if (counts->size == ERROR_COUNTS_WORDS) {
        return;
    }
    memmove(&counts->rows[at + 1], &counts->rows[at], (counts->size - at) * sizeof counts->rows[0]);
    counts->rows[at] = (struct error_count){.count = 1};
    memcpy(counts->rows[at].word, word.data, word.size);
    counts->size++;
}
