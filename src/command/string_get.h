/* What all handlers of strings begin with: the string at a key, integers among the arguments. */
#ifndef COMMAND_STRING_GET_H
#define COMMAND_STRING_GET_H

#include "command/command.h"

#define STRING_WRONG_TYPE "WRONGTYPE Operation against a key holding the wrong kind of value"
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

/* Decimal, as strict as bytes_to_i64. False: the error has been written. */
bool string_integer(struct command_call *call, struct bytes text, int64_t *out_value);

#endif
