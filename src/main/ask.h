/*
 * One question to a node over a blocking socket, as a client would ask it: for the verbs that look
 * at a cluster. In RESP3, which tells maps, booleans and null apart.
 */
#ifndef MAIN_ASK_H
#define MAIN_ASK_H

#include <stddef.h>

#include "base/bytes.h"
#include "base/status.h"

#define ASK_TIMEOUT_MS 5000u
#define ASK_REPLY_BYTES_MAX ((size_t)64 * 1024 * 1024)

/*
 * Replaces what out_reply holds (made with room for ASK_REPLY_BYTES_MAX) by one complete reply,
 * which may be an error. IO: nobody there, or no reply within timeout_ms (looking up a name takes
 * as long as it takes). MALFORMED: not what a node says. The error tells which.
 */
MUST_CHECK enum status ask_node(const char *address,
                                const struct bytes *words,
                                size_t word_count,
                                unsigned timeout_ms,
                                struct buf *out_reply,
                                struct error *error);

/* Milliseconds of a clock that never goes back. */
uint64_t ask_now_ms(void);

#endif
