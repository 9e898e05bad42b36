/*
 * What a node says of itself to the others, on connect, on change and every second (MESSAGE_NODE;
 * docs/protocol.md), and what is known of the others by it.
 */
#ifndef NODE_NODE_MESSAGE_H
#define NODE_NODE_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"

#define NODE_MESSAGE_BYTES 8u
#define NODE_MESSAGE_EVERY_MS 1000u

/* What a node says. */
struct node_message {
    bool is_full;  /* its disk: it takes no entries */
    uint32_t life; /* newest; in the ids of its replicas (MOVE-1) */
};

void node_message_encode(const struct node_message *m, uint8_t out_bytes[NODE_MESSAGE_BYTES]);
/* Flags that are not known are skipped: they come from a newer node. */
MUST_CHECK enum status node_message_decode(struct bytes message, struct node_message *out_message);

/* What was heard of a node. */
struct node_fact {
    bool is_heard; /* in this process; else life is 0 */
    bool is_full;  /* false when it is not connected: what it said is old */
    uint32_t life; /* the newest ever heard */
};

void node_fact_hear(struct node_fact *f, const struct node_message *m);
void node_fact_disconnect(struct node_fact *f);

#endif
