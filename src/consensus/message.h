/*
 * Bytes of consensus messages between nodes (docs/protocol.md; golden bytes in
 * tests/unit/consensus/test_message.c). The first byte of every peer message is its kind.
 */
#ifndef CONSENSUS_MESSAGE_H
#define CONSENSUS_MESSAGE_H

#include "consensus/engine.h"

/* First byte of every message between nodes. Append only. */
enum message_kind {
    MESSAGE_RAFT = 1,  /* this room: one engine_message of one group */
    MESSAGE_PROBE = 2, /* this room: a ReadIndex probe of many groups */
    MESSAGE_PROBE_RESULT = 3,
    MESSAGE_REQUESTS = 4, /* router: forwarded commands */
    MESSAGE_REPLIES = 5,  /* router */
    MESSAGE_FOUNDING = 6, /* node: founders that are not formed yet */
    MESSAGE_NODE = 7,     /* node: what a node says of itself: life, whether its disk is full */
    MESSAGE_SNAPSHOT = 8, /* shard: the state of a group on its way */
};

/* Frames carry (group, sender, receiver); a frame for another receiver is dropped (MOVE-1). */
struct message_route {
    uint16_t group;
    uint64_t sender;
    uint64_t receiver;
};

/* A RAFT message; of an append m->append.entries must be set (loaded by the caller). */
void message_encode(const struct message_route *route,
                    const struct engine_message *m,
                    struct buf *out);

/* Entries of a decoded append; reused from message to message. */
struct message_entries {
    struct engine_entry *items;
    size_t capacity;
};
void message_entries_deinit(struct message_entries *e);

/*
 * MALFORMED: not such a message. out->peer is the sender; entries and payloads are borrowed from
 * bytes and from `entries`.
 */
MUST_CHECK enum status message_decode(struct bytes bytes,
                                      struct message_route *out_route,
                                      struct engine_message *out,
                                      struct message_entries *entries);

/* A probe asks: is your term in these groups still this one? */
struct message_probe_item {
    uint16_t group;
    uint64_t sender;
    uint64_t receiver;
    uint64_t term;
};

/* count items follow the round; a result echoes round and the items that were confirmed. */
void message_probe_encode(enum message_kind kind,
                          uint64_t round,
                          const struct message_probe_item *items,
                          uint32_t count,
                          struct buf *out);
MUST_CHECK enum status message_probe_decode(struct bytes bytes,
                                            uint64_t *out_round,
                                            uint32_t *out_count);
/* i < count; after a good message_probe_decode of the same bytes. */
struct message_probe_item message_probe_item(struct bytes bytes, uint32_t i);

#endif
