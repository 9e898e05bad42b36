/* How often clients were answered with which error: by the first word, "ERR", "WRONGTYPE". */
#ifndef COMMAND_ERROR_COUNTS_H
#define COMMAND_ERROR_COUNTS_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

/* More than there are; further words are not counted. */
#define ERROR_COUNTS_WORDS 64u
#define ERROR_COUNTS_WORD_BYTES 32u

struct error_count {
    char word[ERROR_COUNTS_WORD_BYTES];
    uint64_t count;
};

/* Zero-initialised: none so far. */
struct error_counts {
    struct error_count rows[ERROR_COUNTS_WORDS]; /* in the order of their words */
    size_t size;
};

/* Notes a reply that begins with '-'; others are none of its business. */
void error_counts_note(struct error_counts *counts, struct bytes reply);

#endif
