/*
 * Reads replies: for clients, tests and the simulator. Strict, as these readers are here to find
 * our own mistakes: every CRLF is checked. All types of RESP2 and RESP3 are known but attributes
 * ("|") and streamed values ("$?", "*?"), which are malformed here: we never send them.
 */
#ifndef PROTOCOL_RESP_REPLY_H
#define PROTOCOL_RESP_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "base/status.h"

/* An array within an array is two levels. Deeper replies are malformed. */
#define RESP_REPLY_LEVELS_MAX 64u
#define RESP_REPLY_LINE_BYTES_MAX ((size_t)64 * KIB)
#define RESP_REPLY_BULK_BYTES_MAX ((size_t)512 * MIB)
#define RESP_REPLY_CHILDREN_MAX 1000000000u

enum resp_type {
    RESP_TYPE_SIMPLE,     /* + */
    RESP_TYPE_ERROR,      /* - */
    RESP_TYPE_INTEGER,    /* : */
    RESP_TYPE_BULK,       /* $ */
    RESP_TYPE_ARRAY,      /* * */
    RESP_TYPE_NULL,       /* _ */
    RESP_TYPE_BOOL,       /* # */
    RESP_TYPE_DOUBLE,     /* , */
    RESP_TYPE_BIG_NUMBER, /* ( */
    RESP_TYPE_BULK_ERROR, /* ! */
    RESP_TYPE_VERBATIM,   /* = */
    RESP_TYPE_MAP,        /* % */
    RESP_TYPE_SET,        /* ~ */
    RESP_TYPE_PUSH,       /* > */
};

struct resp_value {
    enum resp_type type;
    int64_t integer;   /* INTEGER; BOOL: 0 or 1 */
    double number;     /* DOUBLE */
    struct bytes text; /* what scalars say, borrowed from the input; VERBATIM: without "txt:" */
    int64_t count;     /* values that follow (MAP: two for each pair); -1 is null; scalars: 0 */
};

/* True for "_", "$-1" and "*-1". */
static inline bool resp_value_is_null(const struct resp_value *v)
{
    return v->count < 0;
}

/*
 * Size of the first complete reply in input, with all it contains. NEED: it is not complete yet.
 * MALFORMED: it never will be. Begins anew on each call.
 */
MUST_CHECK enum status resp_reply_size(struct bytes input, size_t *out_size);

/*
 * Reads one value and moves *inout_rest behind it. Of an aggregate this is the header; the caller
 * then reads count values. NEED and MALFORMED leave both arguments as they were.
 */
MUST_CHECK enum status resp_value_read(struct bytes *inout_rest, struct resp_value *out);

#endif
