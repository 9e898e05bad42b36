/*
 * Bytes of a group's log entries (docs/disk-format.md; golden bytes in
 * tests/unit/shard/test_entry.c). An entry of kind COMMANDS holds all proposals of one loop turn:
 * the time and seed the leader stamped, then the commands, which every replica runs when it applies
 * the entry.
 */
#ifndef SHARD_ENTRY_H
#define SHARD_ENTRY_H

#include "base/bytes.h"
#include "base/status.h"

/* Append only: numbers are on disk. */
enum entry_kind {
    ENTRY_KIND_COMMANDS = 1,
    ENTRY_KIND_EFFECTS = 2, /* rows computed at a gateway; nobody writes it yet */
};

#define ENTRY_HEADER_BYTES 24u
#define ENTRY_COMMAND_HEADER_BYTES 40u

struct entry_header {
    uint32_t count; /* commands */
    uint64_t stamp_ms;
    uint64_t seed;
};

/* Who asked, once and for all (DUP-1). The group is the one whose log it stands in. */
struct request_id {
    uint32_t node;
    uint32_t incarnation; /* of that node: increased and synced at each start */
    uint64_t sequence;
};

struct entry_command {
    uint16_t id; /* enum command_id */
    uint8_t semantics;
    uint8_t resp; /* RESP version of the reply */
    uint8_t database;
    struct request_id request;
    uint64_t mark;      /* of the gateway: all its sequences up to it are answered (DUP-3) */
    uint32_t arg_count; /* without the name */
};

/* Reserves the header in an empty buffer; entry_finish fills it in. */
void entry_start(struct buf *entry);
void entry_finish(struct buf *entry, const struct entry_header *h);

/* Bytes that the command and its arguments (without the name) take. */
size_t entry_command_size(const struct bytes *args, size_t arg_count);
/* The same bytes stand in entries and in forwarded requests; out may be any buffer. */
void entry_append(struct buf *out, const struct entry_command *c, const struct bytes *args);
/* Gives the one command in the buffer its sequence and the mark of now. */
void entry_stamp(struct buf *command, uint64_t sequence, uint64_t mark);

struct entry_reader {
    struct entry_header header;
    /* private */
    const uint8_t *at;
    const uint8_t *end;
};

/* UNSUPPORTED: of an unknown kind, from a newer version. CORRUPT: not an entry. */
MUST_CHECK enum status entry_read(struct bytes entry, struct entry_reader *out_reader);
/* Reads commands that stand one after the other without an entry header around them. */
void entry_reader_of(struct bytes commands, struct entry_reader *out_reader);
/* The next command; its arguments are all there and follow by entry_next_arg, arg_count of them. */
MUST_CHECK enum status entry_next(struct entry_reader *r, struct entry_command *out_command);
/* Borrowed from the entry. */
MUST_CHECK enum status entry_next_arg(struct entry_reader *r, struct bytes *out_arg);
/* True behind the last byte. */
static inline bool entry_is_read(const struct entry_reader *r)
{
    return r->at == r->end;
}

#endif
