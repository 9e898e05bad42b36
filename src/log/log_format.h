/*
 * Bytes of the write-ahead log, described in docs/disk-format.md; golden bytes in
 * tests/unit/log/test_log_format.c. All numbers little-endian, everything aligned to 8 bytes.
 *
 * Every CRC is seeded with the place it stands in (segment id and salt, offset, batch number), so
 * bytes left over from elsewhere, or sent by a client, never look valid (LOG-9).
 */
#ifndef LOG_LOG_FORMAT_H
#define LOG_LOG_FORMAT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"

#define LOG_FORMAT_VERSION 1u
#define LOG_SEGMENT_HEADER_BYTES 4096u /* the first batch stands here */
#define LOG_BATCH_HEADER_BYTES 48u
#define LOG_RECORD_HEADER_BYTES 40u
#define LOG_NODE_ID_BYTES 16u

/* Append only: numbers are on disk. The table in log_format.c says what each may hold. */
enum log_kind {
    LOG_KIND_ENTRY = 1,   /* a Raft log entry of a group, with commands */
    LOG_KIND_BARRIER = 2, /* the same: first of a new leader */
    LOG_KIND_CHANGE = 3,  /* the same: a configuration */
    LOG_KIND_STATE = 4,   /* term and vote of a group; index: the id voted for, 0 none */
    LOG_KIND_COMMIT = 5,  /* index is known to be committed; term: of the entry there */
    LOG_KIND_GROUP = 6,   /* term, vote (index), and a payload: a group when a segment began */
    LOG_KIND_INSTALL = 7, /* the group's log is void, its state a snapshot at (term, index) */
    /* Copied from a segment that goes; they never truncate (LOG-12). */
    LOG_KIND_RELOCATED_ENTRY = 8,
    LOG_KIND_RELOCATED_BARRIER = 9,
    LOG_KIND_RELOCATED_CHANGE = 10,
};

enum log_batch_flags {
    LOG_BATCH_MARK = 1u, /* no records: proves that the batch before it was synced (LOG-6) */
    LOG_BATCH_SEAL = 2u, /* no records: the log goes on in the next segment */
};

struct log_segment_header {
    uint64_t id; /* 1, 2, 3 … without gaps */
    uint64_t batch_first;
    uint64_t salt;
    uint8_t node_id[LOG_NODE_ID_BYTES];
    uint64_t size; /* of the file when it was made: a shorter one has lost its end */
};

/* Where the log stands; the end of the last synced batch in a batch header. */
struct log_position {
    uint64_t segment;
    uint64_t offset;
};

struct log_batch_header {
    uint64_t number;
    uint32_t size;  /* bytes of all records behind the header */
    uint32_t count; /* records */
    uint32_t flags;
    struct log_position synced;
};

struct log_record {
    uint16_t group;
    uint8_t kind; /* enum log_kind */
    uint64_t term;
    uint64_t index;
};

/* The place that seeds the CRCs of one batch and its records. */
struct log_place {
    uint64_t segment;
    uint64_t salt;
};

/* What a kind is called, and what its records must look like. */
struct log_kind_traits {
    const char *name;
    bool may_have_payload;
    bool needs_index; /* index > 0 */
    bool is_entry;    /* index is that of an entry of the group's log */
};

/* NULL: unknown, written by a newer version. */
const struct log_kind_traits *log_kind_find(uint8_t kind);

/* Bytes of a record with payload_size bytes, padding included. */
static inline uint64_t log_record_size(uint64_t payload_size)
{
    return (LOG_RECORD_HEADER_BYTES + payload_size + 7) & ~(uint64_t)7;
}

void log_segment_header_encode(const struct log_segment_header *h, uint8_t *out_bytes);
/* MALFORMED: not a valid header. UNSUPPORTED: of a newer version. */
enum status log_segment_header_decode(const uint8_t *bytes, struct log_segment_header *out_header);

/* UNSUPPORTED: unknown kind. CORRUPT: not what the kind's traits demand; nobody writes that. */
MUST_CHECK enum status log_record_check(const struct log_record *r, uint64_t payload_size);

/* Appends a record without what depends on its place: magic, CRC and batch number. */
void log_record_append(struct buf *batch, const struct log_record *r, struct bytes payload);

/*
 * Completes a batch: `batch` holds LOG_BATCH_HEADER_BYTES of room and then h->count records made by
 * log_record_append. Afterwards these bytes may stand at `offset` of the segment `place` only.
 */
void log_batch_seal(uint8_t *batch,
                    const struct log_batch_header *h,
                    const struct log_place *place,
                    uint64_t offset);

/* Both judge the piece at segment[offset]; size is the size of the segment. False: not valid there.
 */
bool log_batch_decode(const uint8_t *segment,
                      uint64_t size,
                      uint64_t offset,
                      const struct log_place *place,
                      struct log_batch_header *out_header);
bool log_record_decode(const uint8_t *segment,
                       uint64_t size,
                       uint64_t offset,
                       const struct log_place *place,
                       uint64_t *out_batch,
                       struct log_record *out_record,
                       struct bytes *out_payload);

#endif
