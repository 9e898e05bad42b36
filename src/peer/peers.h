/*
 * Connections to the other nodes: one per pair, for everything. Messages of one class arrive in the
 * order sent, whole and undamaged, or not at all; between classes the urgent overtake. Losing a
 * message means losing the connection's tail: whoever needs an answer asks again.
 *
 * Wire: docs/protocol.md; frames are at most PEER_FRAME_BYTES_MAX, longer messages are cut into
 * chunks so that urgent ones pass between them. Every CRC is seeded with both sides' nonces of this
 * connection and the frame's number, so nothing recorded, repeated or left out is accepted. A
 * connection stands only after a first such frame both ways: a recorded hello displaces nobody.
 *
 * The node with the smaller number dials. The connection of a pair that came last wins.
 */
#ifndef PEER_PEERS_H
#define PEER_PEERS_H

#include "env/env.h"

#define PEER_NODES_MAX 256u
#define PEER_ID_BYTES 16u
#define PEER_FRAME_BYTES_MAX (256u * 1024u)

enum peer_class {
    PEER_URGENT, /* votes, probes: small */
    PEER_LOG,    /* entries and their acknowledgements */
    PEER_BULK,   /* forwarded commands and replies */
    PEER_CLASS_COUNT
};

/*
 * Bytes queued to one peer in one class from which on peers_send refuses; the last message taken
 * may go beyond it, so that the largest one always finds its turn.
 */
#define PEER_WINDOW_BYTES (64u * 1024u * 1024u)
/* Received and not complete, per peer and class; a larger message ends the connection. */
#define PEER_MESSAGE_BYTES_MAX (256u * 1024u * 1024u)

/* One write; what is queued beyond it can be overtaken. */
#define PEER_WRITE_BYTES_MAX (1024u * 1024u)
/* From the dialling or accepting of a connection until it stands. */
#define PEER_HELLO_MS 5000u
/* An idle connection says so; one from which nothing comes is closed. */
#define PEER_KEEPALIVE_MS 1000u
#define PEER_SILENCE_MS 5000u
/* Accepted connections that do not stand yet; beyond it new ones are closed at once. */
#define PEER_STRANGERS_MAX 64u
/* Pause before dialling again: doubled each time, up to half of it taken off at random. */
#define PEER_RETRY_MS_MIN 50u
#define PEER_RETRY_MS_MAX 1000u
/* A connection that stood this long is dialled again at once when it breaks. */
#define PEER_STABLE_MS 1000u

struct peer_options {
    const char *listen;             /* NULL: a cluster of one, nothing listens or dials */
    uint32_t self;                  /* node number, 1 … count */
    uint32_t count;                 /* nodes */
    const char *const *addresses;   /* [number - 1] "host:port"; borrowed for life */
    uint8_t node_id[PEER_ID_BYTES]; /* ours */
    uint32_t incarnation;           /* ours: the boot */
};

/* What the other side said in its hello. */
struct peer_hello {
    uint32_t number;
    uint32_t incarnation;
    uint8_t node_id[PEER_ID_BYTES];
    uint8_t cluster_id[PEER_ID_BYTES]; /* zeros: not formed yet */
};

/*
 * Called from the loop only, and disconnected() also from peers_close. Every function below but
 * peers_destroy may be called inside.
 */
struct peer_events {
    /*
     * Who may talk to us: false closes the connection, and out_reason (a short text, borrowed until
     * the next event) is sent to it and logged. Called before anything else of this connection is
     * believed, and without connected() to follow if the other side refuses us.
     */
    bool (*judge)(void *owner, const struct peer_hello *hello, const char **out_reason);
    /* The other side refused us so. */
    void (*refused)(void *owner, uint32_t number, const char *reason);
    /* In pairs: a new connection of the same node ends the old one first. */
    void (*connected)(void *owner, const struct peer_hello *hello);
    void (*disconnected)(void *owner, uint32_t number);
    /* bytes is borrowed for the call. */
    void (*received)(void *owner, uint32_t number, enum peer_class class, struct bytes message);
};

struct peers;

/* Memory only, no env call. events is borrowed for life, options is copied. */
struct peers *peers_create(struct env *env,
                           const struct peer_options *options,
                           const struct peer_events *events,
                           void *owner);
/* Memory only, no env call: after closed(), or when the node is dead with its env. NULL is fine. */
void peers_destroy(struct peers *p);

/* Listens and dials. */
MUST_CHECK enum status peers_start(struct peers *p, struct error *error);
/* What our hello says from now on; connections that stand are not repeated. */
void peers_set_cluster(struct peers *p, const uint8_t cluster_id[PEER_ID_BYTES]);

/*
 * number is 1 … count. Queues one message, the parts one after the other (copied), together 1 …
 * PEER_MESSAGE_BYTES_MAX bytes. False: not connected, or the class's window is full; nothing was
 * queued.
 */
bool peers_send(struct peers *p,
                uint32_t number,
                enum peer_class class,
                const struct bytes *parts,
                size_t part_count);
/* One write per peer; at the end of each loop turn. What it leaves makes another turn come. */
void peers_flush(struct peers *p);

bool peers_is_connected(const struct peers *p, uint32_t number);
/* When something came from it last, if only a keepalive; 0: it is not connected. */
uint64_t peers_heard_us(const struct peers *p, uint32_t number);
/* Bytes of all queues and buffers. */
uint64_t peers_memory(const struct peers *p);
/* Of that, what messages on their way hold: it comes and goes with the load. */
uint64_t peers_message_memory(const struct peers *p);

/* Takes and dials no more, closes everything; closed(owner) is called on the loop, also at once. */
void peers_close(struct peers *p, void (*closed)(void *owner), void *owner);

#endif
