/*
 * The network of a world: byte streams between machines, and between clients and machines. It finds
 * who listens at an address, delays, splits and holds back what is sent, and breaks connections.
 * Below it is TCP, so that loss is delay, and a cut link holds bytes back until it is healed.
 */
#ifndef SIM_SIM_NETWORK_H
#define SIM_SIM_NETWORK_H

#include "base/bytes.h"
#include "base/list.h"
#include "base/prng.h"
#include "sim/world.h"

#define SIM_NODES_MAX 5u
#define SIM_CLIENTS_MAX 27u
/* Who can be cut off from whom: machines by their index, then clients. */
#define SIM_HOSTS_MAX (SIM_NODES_MAX + SIM_CLIENTS_MAX)
#define SIM_ADDRESS_BYTES 32

struct sim_env;

enum sim_port {
    SIM_PORT_CLIENT, /* "n1:7379" */
    SIM_PORT_PEER,   /* "n1:17379" */
    SIM_PORT_COUNT,
};

/* One direction from one host to another. */
struct sim_link {
    unsigned cuts;           /* faults that cut it right now; 0: open */
    unsigned loss_per_mille; /* of chunks: they come 200 ms later, or 400, or ... */
    uint64_t delay_us_max;   /* added to the latency */
};

struct sim_network_options {
    uint64_t latency_us_max; /* one way */
    uint64_t connect_timeout_us_max;
    uint64_t window_bytes;          /* sent and not read: beyond it writes wait for drained() */
    unsigned short_write_per_mille; /* env_conn_write returns false */
    unsigned slow_write_per_mille;  /* of those, until healing: drained() takes up to 500 ms */
    unsigned tiny_chunk_per_mille;
};

struct sim_network {
    struct world *world;
    struct sim_network_options options;
    struct sim_env *machines[SIM_NODES_MAX];
    unsigned machine_count;
    /* The machine is about to crash, and still up. May be NULL. */
    void (*crashing)(void *owner, const struct sim_env *e);
    void *owner; /* of that */
    /* private */
    struct prng prng;
    struct list conns; /* struct sim_conn */
    uint64_t conn_count;
    struct sim_link links[SIM_HOSTS_MAX][SIM_HOSTS_MAX];
};

void sim_network_init(struct sim_network *n,
                      struct world *world,
                      const struct sim_network_options *options);
/* After its machines. */
void sim_network_deinit(struct sim_network *n);
static inline unsigned sim_host_of_client(unsigned client)
{
    return SIM_NODES_MAX + client;
}

/* ---- a client's end of a connection ---------------------------------------------------------- */

struct sim_conn; /* lives as long as the network */

struct sim_client_events {
    void (*connected)(void *owner);
    void (*read)(void *owner, struct bytes bytes);
    /* Refused, timed out, closed or broken: the last callback. */
    void (*ended)(void *owner);
};

/* connected() follows, or ended() if nobody answers. Send only after connected(). */
struct sim_conn *sim_connect(struct sim_network *n,
                             unsigned host,
                             const char *address,
                             const struct sim_client_events *events,
                             void *owner);
void sim_conn_send(struct sim_conn *conn, struct bytes bytes);
/* The client closes; no callback follows. What was sent still arrives. */
void sim_conn_hangup(struct sim_conn *conn);

/* ---- faults ---------------------------------------------------------------------------------- */

/*
 * Nothing gets from one host to the other until uncut as often. Bytes and attempts to connect wait
 * for that, unless the ends lose patience; some connections break for their ends meanwhile.
 */
void sim_network_cut(struct sim_network *n, unsigned from, unsigned to);
void sim_network_uncut(struct sim_network *n, unsigned from, unsigned to);
/* Heals all links. */
void sim_network_heal(struct sim_network *n);
/* Cuts a random open connection of this machine within its bytes in flight. False: there is none.
 */
bool sim_network_break_one(struct sim_network *n, const struct sim_env *e);
/*
 * One end of a connection between machines is told that it broke; what it had sent arrives at the
 * other end up to some seconds later, when there may be a new connection. False: there is none.
 */
bool sim_network_delay_last_bytes(struct sim_network *n);

#endif
