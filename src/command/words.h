/* Lists of words in one text, as the table has them: separated by blanks. */
#ifndef COMMAND_WORDS_H
#define COMMAND_WORDS_H

#include "base/bytes.h"

static inline struct bytes words_of(const char *text)
{
    return bytes_of_text(text);
}

/* Takes the first word off; false: there is none. */
bool words_next(struct bytes *inout_rest, struct bytes *out_word);
size_t words_count(struct bytes words);
bool words_have(struct bytes words, const char *word);
void words_each(struct bytes words, void (*fn)(void *ctx, struct bytes word), void *ctx);

#endif
