/*
 * Bytes of the messages that carry a group's state from node to node (docs/protocol.md,
 * "Snapshots"; golden bytes in tests/unit/shard/test_snapshot_message.c).
 */
#ifndef SHARD_SNAPSHOT_MESSAGE_H
#define SHARD_SNAPSHOT_MESSAGE_H

#include "base/limits.h"
#include "consensus/message.h"
#include "consensus/replica.h"

/* Append only: numbers are on the wire. */
enum snapshot_type {
    SNAPSHOT_OFFER = 1,   /* sender: this state can be had */
    SNAPSHOT_PULL = 2,    /* receiver: send that chunk */
    SNAPSHOT_CHUNK = 3,   /* sender */
    SNAPSHOT_STAGED = 4,  /* receiver: all of it is here, and durable */
    SNAPSHOT_REFUSED = 5, /* receiver: not now, or not needed */
    SNAPSHOT_ENDED = 6,   /* either: nothing more comes of this session */
    SNAPSHOT_ALIVE = 7,   /* either: what the other side waits for takes its time */
};

/* Key, without group and generation, and value of one row: an object, or a prepared transaction. */
#define SNAPSHOT_ROW_BYTES_MAX (LIMIT_COMMAND_BYTES + 4u * LIMIT_KEY_BYTES)

struct snapshot_message {
    struct message_route route;
    enum snapshot_type type;
    uint64_t session;         /* of this transfer: random, chosen by the sender */
    struct replica_base base; /* OFFER; it has a configuration */
    uint64_t number;          /* PULL, CHUNK: from 0 on */
    bool is_last;             /* CHUNK */
    struct bytes rows;        /* CHUNK: for snapshot_next_row; borrowed from the message */
};

/* Any type but CHUNK. */
void snapshot_message_encode(const struct snapshot_message *m, struct buf *out);

/* A CHUNK in an empty buffer: rows in the order of their keys, then the rest of the fields. */
void snapshot_chunk_start(struct buf *out);
void snapshot_chunk_add(struct buf *out, struct bytes key, struct bytes value);
void snapshot_chunk_finish(struct buf *out, const struct snapshot_message *m);

/*
 * MALFORMED: not such a message. Of a CHUNK only the header is looked at: snapshot_chunk_check does
 * the rest.
 */
MUST_CHECK enum status snapshot_message_decode(struct bytes bytes, struct snapshot_message *out);
/*
 * The whole of a message that snapshot_message_decode called a CHUNK: its checksum, its rows, and
 * that its rows but the last are at most rows_max bytes of keys and values. MALFORMED: it is not.
 */
MUST_CHECK enum status snapshot_chunk_check(struct bytes bytes, uint64_t rows_max);
/* The next row of a checked chunk; false at the end. *rows moves on. */
bool snapshot_next_row(struct bytes *rows, struct bytes *out_key, struct bytes *out_value);

#endif
