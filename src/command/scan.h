/*
 * Cursors of SCAN: slot << 32 | hash of the place to go on at. 0 begins, and ends. Keys with equal
 * slot and hash come together, so a place is never in the middle of them.
 */
#ifndef COMMAND_SCAN_H
#define COMMAND_SCAN_H

#include "command/command.h"

#define SCAN_CURSOR_SLOT_SHIFT 32u

/* Keys that one SCAN looks at, at most, whatever its COUNT; with those that have expired. */
#define SCAN_KEYS_MAX 4096u
/* It ends early once the pattern may have been laid to so many bytes: some 0.1 s. */
#define SCAN_MATCH_STEPS ((uint64_t)8 * MIB)
/* It ends early once its reply has so many bytes. */
#define SCAN_REPLY_BYTES ((size_t)1 * MIB)

extern const char scan_invalid_cursor[];

/* False: not a cursor, as Redis judges it. */
bool scan_cursor_read(struct bytes text, uint64_t *out_cursor);
/* Where the place lies; SLOT_COUNT or more: behind all keys. */
static inline uint64_t scan_cursor_slot(uint64_t cursor)
{
    return cursor >> SCAN_CURSOR_SLOT_SHIFT;
}
/* The whole reply of SCAN: header, cursor, and the header of count keys, which the caller appends.
 */
void scan_write_header(struct buf *out, uint64_t cursor, size_t count);

/* The row of SCAN: sweeps are made of it. */
const struct command *scan_command(void);

#endif
