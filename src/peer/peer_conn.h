/*
 * One connection to a node, dialled or accepted: greetings, proof, frames, silence, its end. What
 * stands for a peer and who may speak is decided in peers.c.
 */
#ifndef PEER_PEER_CONN_H
#define PEER_PEER_CONN_H

#include "peer/peer_frame.h"
#include "peer/peer_queue.h"

enum peer_conn_state {
    PEER_CONN_DIALLING, /* env_connect is under way */
    PEER_CONN_GREETING, /* the other's hello is awaited; the dialler has sent its own */
    PEER_CONN_PROVING,  /* both hellos are known; a first frame must show that they are live */
    PEER_CONN_OPEN,
    PEER_CONN_CLOSING, /* only closed() may follow */
    PEER_CONN_STATE_COUNT
};

enum peer_failure {
    PEER_FAILURE_ENDED,   /* the other side or the network ended it */
    PEER_FAILURE_SILENT,  /* nothing came for too long */
    PEER_FAILURE_STRANGE, /* bytes that no node of ours would send here */
    PEER_FAILURE_REFUSED, /* we do not want this node */
};

struct peer_conn;

/* The connection may be closed inside each of them; its memory goes only after closed(). */
struct peer_conn_events {
    /* c->theirs is set. Returns why it is refused (borrowed for a moment), NULL if it is not. */
    const char *(*greeted)(struct peer_conn *c);
    void (*opened)(struct peer_conn *c);
    void (*received)(struct peer_conn *c, enum peer_class class, struct bytes message);
    /* The other side refused us; failed() follows. */
    void (*refused)(struct peer_conn *c, const char *reason);
    /* It has been closed; not called if peer_conn_close was. */
    void (*failed)(struct peer_conn *c, enum peer_failure failure, const char *why);
    /* Last callback; the callee calls peer_conn_destroy. */
    void (*closed)(struct peer_conn *c);
};

struct peer_conn {
    struct list link; /* the owner's */
    void *owner;
    uint32_t number; /* the other node, as far as anybody said; 0: not known. The owner's */
    bool is_dialled;
    enum peer_conn_state state;
    struct peer_intro ours;
    struct peer_intro theirs;
    /* private */
    struct env *env;
    struct env_conn *port;
    const struct peer_conn_events *events;
    struct env_timer timer; /* until open: the end of patience; then: every PEER_KEEPALIVE_MS */
    uint64_t key;
    uint64_t sent_count; /* frames */
    uint64_t received_count;
    struct peer_frame frame; /* whose payload is awaited */
    struct buf in;           /* a part of one greeting or frame */
    size_t wanted;           /* size of `in` at which something can be done */
    struct buf out;          /* greetings that wait for drained() */
    struct buf partial[PEER_CLASS_COUNT];
    bool is_blocked; /* drained() is awaited */
    bool has_written;
    bool has_heard;
    uint64_t heard_us; /* when something came last */
    unsigned silent_ticks;
};

/*
 * ours: about whom, for whom, versions; the nonce is made here. For an accepted connection port is
 * what was accepted, and its events are set; NULL dials address.
 */
struct peer_conn *peer_conn_create(struct env *env,
                                   const struct peer_intro *ours,
                                   struct env_conn *port,
                                   const char *address,
                                   const struct peer_conn_events *events,
                                   void *owner);
/* Memory only, no env call. */
void peer_conn_destroy(struct peer_conn *c);

/*
 * One write of frames from q, of at most PEER_WRITE_BYTES_MAX, built in scratch. True: more could
 * be written at once.
 */
bool peer_conn_write(struct peer_conn *c, struct peer_queue *q, struct buf *scratch);
/* No callback but closed() follows. Idempotent. */
void peer_conn_close(struct peer_conn *c);

uint64_t peer_conn_memory(const struct peer_conn *c);
/* Of messages that are not complete yet. */
uint64_t peer_conn_partial_bytes(const struct peer_conn *c);

#endif
