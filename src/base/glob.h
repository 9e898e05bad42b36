/*
 * Patterns as in Redis' KEYS: '*' any bytes, '?' one byte, [abc], [a-c], [^a] one of a set, '\'
 * takes the next byte as it is. Also Redis' answers for odd patterns: a set that is not closed ends
 * with the pattern, bytes in a set compare as signed, and an empty text matches the empty pattern
 * only.
 */
#ifndef BASE_GLOB_H
#define BASE_GLOB_H

#include "base/bytes.h"

/* Takes size of pattern times size of text steps at most. */
bool glob_matches(struct bytes pattern, struct bytes text);
/* ASCII letters match without case. */
bool glob_matches_nocase(struct bytes pattern, struct bytes text);

#endif
