/*
 * Inside of a connection: two ends, and what each has sent and the other has not got yet. Shared by
 * sim_pipe.c (bytes under way), sim_net.c (the ends of nodes) and sim_network.c (all the rest).
 */
#ifndef SIM_SIM_CONN_H
#define SIM_SIM_CONN_H

#include "sim/sim_parts.h"

enum sim_chunk_kind {
    SIM_CHUNK_KNOCK,     /* asks for the connection */
    SIM_CHUNK_CONNECTED, /* the answer */
    SIM_CHUNK_BYTES,
    SIM_CHUNK_END,
};

struct sim_chunk {
    struct list link;
    enum sim_chunk_kind kind;
    size_t size;
    uint8_t data[];
};

/* What is under way from one end. Chunks arrive in order; each has its event. */
struct sim_pipe {
    struct list chunks; /* struct sim_chunk */
    uint64_t last_at_us;
    uint64_t held_until_us;
    size_t stalled; /* events that fired while nothing could pass */
    size_t bytes;   /* sent and not read by the other end's owner, or discarded */
    bool is_ended;  /* takes no more */
};

/* A node's hold on its end; its memory ends with closed(), so that a later use is noticed. */
struct sim_socket {
    struct env_conn conn; /* first */
    struct sim_end *end;
};

struct sim_end {
    struct sim_conn *conn;
    unsigned host;
    struct sim_pipe out;
    /* of a client */
    const struct sim_client_events *events; /* NULL: closed */
    void *owner;
    /* of a node */
    struct sim_env *env;       /* NULL: a client's, or not accepted yet */
    struct sim_socket *socket; /* from connect or accept to closed() */
    struct buf received;       /* arrived, not read */
    bool is_connected;         /* may write */
    bool has_end;
    bool is_end_told;
    bool is_read_due;
    bool is_paused;
    bool is_closed;
    bool owes_drained;
    bool waits_for_window; /* drained() comes when the other end has read */
    /* of both */
    bool is_gone;   /* its process died: what arrives is refused */
    bool is_silent; /* and its machine: nobody refuses, until it is up again */
};

struct sim_conn {
    struct list link;
    struct sim_network *network;
    uint64_t id;
    struct sim_env *target; /* NULL: no machine has that address */
    enum sim_port port;
    bool is_established;   /* the target answered */
    struct sim_end end[2]; /* the one that asked, the one that was asked */
};

static inline struct sim_conn *sim_conn_of(struct list *link)
{
    return container_of(link, struct sim_conn, link);
}

static inline struct sim_end *sim_end_other(struct sim_end *end)
{
    return end == &end->conn->end[0] ? &end->conn->end[1] : &end->conn->end[0];
}

static inline bool sim_end_is_asking(const struct sim_end *end)
{
    return end == &end->conn->end[0];
}

/* ---- sim_pipe.c ------------------------------------------------------------------------------ */

void sim_pipe_put(struct sim_end *from, enum sim_chunk_kind kind, struct bytes bytes);
/* Splits the bytes at random: mostly few pieces, sometimes many tiny ones. */
void sim_pipe_send(struct sim_end *from, struct bytes bytes);
/* The stream ends after what was sent. Idempotent. */
void sim_pipe_end(struct sim_end *from);
/* Drops all but the first chunks. */
void sim_pipe_drop(struct sim_end *from, size_t keep);
/* Loses a random rest, or nothing. */
void sim_pipe_lose(struct sim_end *from);
/* The other end took so many bytes, or threw them away. */
void sim_pipe_consumed(struct sim_end *from, size_t size);
/* Goes on after the link was healed, or the machine at its end is back. */
void sim_pipe_resume(struct sim_end *from);

/* ---- sim_network.c --------------------------------------------------------------------------- */

struct sim_conn *sim_conn_create(struct sim_network *n, unsigned host, const char *address);
/* Something of the other end is here. Borrows the chunk. */
void sim_end_arrive(struct sim_end *to, const struct sim_chunk *chunk);
/* The connection is broken for this end, whatever the other one believes. */
void sim_end_break(struct sim_end *end);

/* ---- sim_net.c ------------------------------------------------------------------------------- */

void sim_net_receive(struct sim_end *end, const struct sim_chunk *chunk);
void sim_net_tell_end(struct sim_end *end);

#endif
