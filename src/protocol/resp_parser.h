/*
 * Reads the requests of one client: multi-bulk and inline commands of RESP, as Redis 7.0 reads
 * them. A pure machine: it keeps offsets, never bytes of the input, and goes on where the last call
 * stopped, so a request costs the same in one piece or in a thousand.
 */
#ifndef PROTOCOL_RESP_PARSER_H
#define PROTOCOL_RESP_PARSER_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/limits.h"

/* An unfinished request never holds more input: arguments, a frame around each, one long header. */
#define RESP_REQUEST_BYTES_MAX                                                                     \
    ((size_t)LIMIT_COMMAND_BYTES + (size_t)14 * LIMIT_ARGUMENTS + (size_t)2 * LIMIT_INLINE_BYTES)

enum resp_parse {
    RESP_PARSE_COMMAND,
    RESP_PARSE_MORE,
    RESP_PARSE_ERROR,
};

enum resp_parser_state {
    RESP_PARSER_STATE_START,
    RESP_PARSER_STATE_INLINE,
    RESP_PARSER_STATE_COUNT,
    RESP_PARSER_STATE_BULK_HEADER,
    RESP_PARSER_STATE_BULK_BODY,
    RESP_PARSER_STATE_FAILED,
};

struct resp_parser {
    /* private */
    enum resp_parser_state state;
    char error[64];
    size_t offset;        /* where the element under way begins */
    size_t scanned;       /* bytes already searched for its line end, counted from the start */
    size_t seen;          /* input size of the last call that wanted more */
    size_t bulk_size;     /* BULK_BODY: what its header said */
    size_t command_bytes; /* sum of the argument sizes so far */
    size_t args_left;
    size_t args_count;
    size_t args_capacity;
    struct bytes *args; /* before the command is complete, data holds an offset */
    struct buf scratch; /* unquoted arguments of an inline command */
};

void resp_parser_init(struct resp_parser *p);
void resp_parser_deinit(struct resp_parser *p);

/*
 * input: all unconsumed bytes, beginning with the first byte of the command under way (the same
 * beginning on each call until COMMAND is returned; the memory may have moved meanwhile, and the
 * input never shrinks).
 * COMMAND: *out_args and *out_count borrow from the input, or from the parser, until the next call;
 * the caller drops *out_used bytes. A request without words (`*0`, `*-1`, a blank line) is a
 * COMMAND with a count of 0. MORE: outputs are untouched; call again when more bytes have come.
 * ERROR: outputs are untouched; the stream cannot be read on, and every later call says ERROR.
 */
enum resp_parse resp_parser_next(struct resp_parser *p,
                                 struct bytes input,
                                 size_t *out_used,
                                 const struct bytes **out_args,
                                 size_t *out_count);

/* After ERROR: the text that follows "-ERR " in the reply, without CR or LF. Borrowed from p. */
const char *resp_parser_error(const struct resp_parser *p);

/*
 * After MORE: how many bytes beyond the last input are known to be needed; 0 if unknown. It is what
 * the client claims (up to LIMIT_VALUE_BYTES): reserve a bounded part of it, never all at once.
 */
size_t resp_parser_wanted(const struct resp_parser *p);

/* Heap bytes it holds beside the input: up to three times what a request of empty words is long. */
size_t resp_parser_memory(const struct resp_parser *p);

#endif
