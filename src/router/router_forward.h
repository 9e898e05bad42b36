/*
 * Bytes of forwarded commands and their replies (docs/protocol.md, "Forwarded requests"; golden
 * bytes in tests/unit/router/test_forward.c). A message holds many batches, each of them the
 * commands of one run: whoever refuses one of a batch refuses those behind it, too.
 */
#ifndef ROUTER_ROUTER_FORWARD_H
#define ROUTER_ROUTER_FORWARD_H

#include "base/bytes.h"
#include "base/status.h"

#define FORWARD_HEADER_BYTES 8u
#define FORWARD_BATCH_BYTES 16u
#define FORWARD_COMMAND_BYTES 4u
#define FORWARD_REPLY_BYTES 24u

/* Append only: numbers are on the wire. */
enum forward_verdict {
    FORWARD_DONE = 1,    /* the reply is there */
    FORWARD_REFUSED = 2, /* this copy was not proposed and never will be */
    FORWARD_LOST = 3,    /* it may or may not take effect */
    FORWARD_FULL = 4,    /* a read that did not run, as the leader has replied enough for a turn */
    FORWARD_NO_SPACE =
        5, /* a write: the disks are full; this copy was not proposed, never will be */
};

struct forward_batch {
    uint32_t group;
    uint32_t count;  /* commands that follow, at least one */
    uint64_t ticket; /* the attempt: comes back in the replies */
};

struct forward_reply {
    uint64_t ticket;
    uint32_t item;   /* place of the command in its batch, from 0 */
    uint32_t leader; /* node that leads the group, as far as the sender knows; 0: unknown */
    enum forward_verdict verdict;
    struct bytes reply; /* of DONE: one whole RESP value; else empty */
};

/* incarnation: of the node that sends requests; replies bring it back. */
void forward_requests_start(struct buf *out, uint32_t incarnation);
void forward_batch_append(struct buf *out, const struct forward_batch *batch);
/* batch->count of them follow each batch. */
void forward_command_append(struct buf *out, struct bytes command);

void forward_replies_start(struct buf *out, uint32_t incarnation);
void forward_reply_append(struct buf *out, const struct forward_reply *reply);

struct forward_reader {
    uint32_t incarnation;
    /* private */
    const uint8_t *at;
    const uint8_t *end;
};

/*
 * MALFORMED: not such a message. The whole message is checked, so that what follows cannot fail;
 * what a command's bytes say is not looked at. Borrows message.
 */
MUST_CHECK enum status forward_requests_read(struct bytes message, struct forward_reader *out);
MUST_CHECK enum status forward_replies_read(struct bytes message, struct forward_reader *out);

/* False at the end of the message. All commands of the batch before must have been read. */
bool forward_next_batch(struct forward_reader *reader, struct forward_batch *out_batch);
struct bytes forward_next_command(struct forward_reader *reader);
/* False at the end of the message. */
bool forward_next_reply(struct forward_reader *reader, struct forward_reply *out_reply);

#endif
