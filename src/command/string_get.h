/* What all handlers of strings begin with: the string at a key, integers among the arguments. */
#ifndef COMMAND_STRING_GET_H
#define COMMAND_STRING_GET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "command/command.h"

#define STRING_WRONG_TYPE "WRONGTYPE Operation against a key holding the wrong kind of value"
#define STRING_SYNTAX_ERROR "ERR syntax error"
#define STRING_NOT_AN_INTEGER "ERR value is not an integer or out of range"
#define STRING_TOO_LONG "ERR string exceeds maximum allowed size (proto-max-bulk-len)"

struct string {
    bool is_there;
    /* Of an absent key: an empty string that never expires, ready to be filled and put. */
    struct object object;
};

/*
 * Reads a key that must be a string or absent; the value is borrowed as of view_get. False: return
 * *out_stop at once, as the row is not at hand (COMMAND_NEED), or the key has another type
 * (COMMAND_ERROR; WRONGTYPE has been written).
 */
bool string_get(struct command_call *call,
                struct bytes key,
                struct string *out_string,
                enum command_result *out_stop);

/* Writes the object that string_get gave, changed. The key was read in this call. */
void string_put(struct command_call *call, struct bytes key, const struct object *object);
/* Deletes a key that string_get has found. */
void string_delete(struct command_call *call, struct bytes key);

/* The string as a reply: a bulk, or null if the key is absent. */
void string_write(struct command_call *call, const struct string *string);

/*
 * A copy of value with at least size_min bytes: what is missing is zeros. The caller frees it with
 * mem_free. size_min: at most LIMIT_VALUE_BYTES.
 */
uint8_t *string_copy_grown(struct bytes value, size_t size_min, size_t *out_size);

/* Positions as clients give them: both ends included, negative ones count from the end (-1). */
struct string_range {
    int64_t first;
    int64_t last;
};

/* Both count from the end, the wrong way round. Some commands then look no further. */
bool string_range_is_reversed(const struct string_range *range);
/* Turns the range into one within size. False: nothing is in it. */
bool string_range_clamp(struct string_range *range, size_t size);

/* Decimal, as strict as bytes_to_i64. False: the error has been written. */
bool string_integer(struct command_call *call, struct bytes text, int64_t *out_value);

#endif
