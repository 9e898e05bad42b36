/*
 * Rows in the store: the bytes of their keys and values (docs/disk-format.md; golden bytes in
 * tests/unit/data/test_row.c). Keys sort by group, generation, kind, database, epoch, slot, hash,
 * then by the client's key, so a SCAN cursor is slot + hash and a slot is one range. Beside each
 * object that has an expiry stands a row of the expiry index, sorted by that time before the slot:
 * the keys of a database that end soonest come first.
 */
#ifndef DATA_ROW_H
#define DATA_ROW_H

#include "base/bytes.h"
#include "base/limits.h"
#include "base/status.h"

enum row_kind {
    /* Head rows: what a replica keeps of its group in memory, as of the last fold. */
    ROW_KIND_DUP = 'd',   /* per gateway, and per request that has been executed */
    ROW_KIND_TXN = 'e',   /* per transaction that is not over everywhere; marks of coordinators */
    ROW_KIND_GROUP = 'g', /* one: how far the state goes, clocks, counters */
    /* All others sort behind the head rows. */
    ROW_KIND_OBJECT = 'o', /* one per client key: what it is, and a string's bytes */
    ROW_KIND_EXPIRY = 't', /* one per client key with an expiry: nothing but its key */
};

/* Every row key begins with these: group, generation. What follows is the same on all replicas. */
#define ROW_GROUP_BYTES 2u
#define ROW_GENERATION_BYTES 6u

/* Which part of the store a group's database is. */
struct keyspace {
    uint16_t group;
    uint32_t generation; /* of the group's state on this node (snapshot installs) */
    uint8_t database;
    uint32_t epoch; /* flushes of the database so far */
};

#define ROW_KEY_PREFIX_BYTES 18u

/* Appends the row key of an object. */
void row_key_append(struct buf *out, const struct keyspace *space, struct bytes key);
/* The fixed part only: the beginning of all rows of the keyspace at or behind this place. */
void row_key_append_prefix(struct buf *out,
                           const struct keyspace *space,
                           uint16_t slot,
                           uint32_t hash);
/* Reverse of row_key_append; appends the client's key to out_key. MALFORMED: not such a row. */
MUST_CHECK enum status row_key_decode(struct bytes row_key,
                                      struct keyspace *out_space,
                                      struct buf *out_key);
uint32_t row_key_hash(struct bytes key);

#define ROW_KEY_EXPIRY_PREFIX_BYTES 26u
/* The longest row key: of the expiry index, where each byte of the client's key is escaped. */
#define ROW_KEY_BYTES_MAX (ROW_KEY_EXPIRY_PREFIX_BYTES + 2u * LIMIT_KEY_BYTES + 2u)

/* Appends the key of a row of the expiry index; its value is empty. */
void row_key_append_expiry(struct buf *out,
                           const struct keyspace *space,
                           uint64_t expires_ms,
                           struct bytes key);
/* The beginning of all rows of the index whose keys end at that time and at or behind that place;
   those that end later follow. */
void row_key_append_expiry_from(struct buf *out,
                                const struct keyspace *space,
                                uint64_t expires_ms,
                                uint16_t slot,
                                uint32_t hash);
/* Reverse of row_key_append_expiry; appends the client's key to out_key. MALFORMED: not such a row.
 */
MUST_CHECK enum status row_key_decode_expiry(struct bytes row_key,
                                             struct keyspace *out_space,
                                             uint64_t *out_expires_ms,
                                             struct buf *out_key);

/* Group, generation, kind, database, epoch: what all rows of one kind of a keyspace begin with. */
#define ROW_KEY_SPACE_BYTES 12u
void row_key_append_space(struct buf *out, const struct keyspace *space, enum row_kind kind);

/* Group and generation alone: the beginning of all its rows. */
void row_key_append_generation(struct buf *out, uint16_t group, uint32_t generation);
/* The key of the row of kind GROUP; the first key behind the head rows. */
void row_key_append_group(struct buf *out, uint16_t group, uint32_t generation);
void row_key_append_head_end(struct buf *out, uint16_t group, uint32_t generation);
/* Rows of kind DUP: sequence 0 is the gateway's own row. */
void row_key_append_dup(struct buf *out,
                        uint16_t group,
                        uint32_t generation,
                        uint32_t node,
                        uint64_t sequence);
MUST_CHECK enum status row_key_decode_dup(struct bytes row_key,
                                          uint32_t *out_node,
                                          uint64_t *out_sequence);
/* Rows of kind TXN: sequence 0 is the incarnation's mark, incarnation 0 the node's own row. */
void row_key_append_txn(struct buf *out,
                        uint16_t group,
                        uint32_t generation,
                        uint32_t node,
                        uint32_t incarnation,
                        uint64_t sequence);
MUST_CHECK enum status row_key_decode_txn(struct bytes row_key,
                                          uint32_t *out_node,
                                          uint32_t *out_incarnation,
                                          uint64_t *out_sequence);

/* Append only: numbers are on disk. */
enum object_type {
    OBJECT_TYPE_STRING = 1,
};

struct object {
    enum object_type type;
    uint64_t version;     /* the group's operation counter at the last change (ORD-3) */
    uint64_t incarnation; /* the same at the creation of the key */
    uint64_t expires_ms;  /* since 1970, group time; 0: never */
    struct bytes value;   /* of a string: its bytes */
};

#define OBJECT_HEADER_BYTES 32u

static inline size_t object_size(const struct object *o)
{
    return OBJECT_HEADER_BYTES + o->value.size;
}

/* Writes object_size(o) bytes. */
void object_encode(const struct object *o, uint8_t *out_bytes);
/* The value borrows from bytes. */
MUST_CHECK enum status object_decode(struct bytes bytes, struct object *out_object);

#endif
