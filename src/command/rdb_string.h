/*
 * Strings in Redis' RDB format, version 10, as DUMP and RESTORE carry them (docs/protocol.md). A
 * payload is the type (0: string), the value, the format's version as u16 and the CRC-64 of all
 * before it, both little-endian.
 */
#ifndef COMMAND_RDB_STRING_H
#define COMMAND_RDB_STRING_H

#include "base/bytes.h"

/* What a payload takes beyond its value, at most: type, two lengths, one byte more, the footer. */
#define RDB_PAYLOAD_EXTRA_BYTES 24u

/* Appends the payload of a value of at most LIMIT_VALUE_BYTES: the bytes that Redis 7.0 gives. */
void rdb_string_dump(struct buf *out, struct bytes value);

enum rdb_verdict {
    RDB_GOOD,
    RDB_BAD_FOOTER, /* no payload, written by a newer version, or damaged */
    RDB_BAD_FORMAT, /* the checksum is right, the contents are not */
    RDB_OTHER_TYPE, /* a list, set, hash, …: only strings are known here */
    RDB_TOO_LARGE,  /* a value beyond LIMIT_VALUE_BYTES */
};

/* Footer only: BAD_FOOTER or GOOD. */
/* No value that the payload may hold is larger. */
uint64_t rdb_string_size_max(struct bytes payload);
enum rdb_verdict rdb_check_footer(struct bytes payload);

/*
 * The string in a payload whose footer was checked; it borrows from payload or from scratch, which
 * the caller has created with LIMIT_VALUE_BYTES. Memory is taken only for lengths that the payload
 * can fill.
 */
enum rdb_verdict rdb_string_restore(struct bytes payload,
                                    struct buf *scratch,
                                    struct bytes *out_value);

#endif
