/* The times to live of keys that clients give as text, for all commands that take one. */
#ifndef COMMAND_EXPIRY_H
#define COMMAND_EXPIRY_H

#include "command/command.h"

/* Named as the options of SET. */
enum expiry_form {
    EXPIRY_EX,   /* seconds from now */
    EXPIRY_PX,   /* milliseconds from now */
    EXPIRY_EXAT, /* seconds since 1970 */
    EXPIRY_PXAT, /* milliseconds since 1970 */
};

/* Whether the word is one of these options, in any case. */
bool expiry_option(struct bytes word, enum expiry_form *out_form);

/*
 * The absolute time that text means, in milliseconds since 1970. False: text is no integer or the
 * time cannot be expressed, and the error has been written. The result may be negative or in the
 * past: EXPIRE and its relatives then delete the key.
 */
bool expiry_parse(struct command_call *call,
                  struct bytes text,
                  enum expiry_form form,
                  int64_t *out_expires_ms);

/* The same for SET and its relatives, where text must be above 0; so is the result. */
bool expiry_parse_positive(struct command_call *call,
                           struct bytes text,
                           enum expiry_form form,
                           int64_t *out_expires_ms);

#endif
