/*
 * A network in memory between fake_envs. Nothing moves before the test says so: each step brings
 * one event to one node, and then that node's turn. Connections lose nothing and keep the order,
 * unless they are cut; what a cut loses is everything in flight.
 */
#ifndef UNIT_FAKE_NET_H
#define UNIT_FAKE_NET_H

#include "env/env.h"

struct fake_env;

struct fake_net {
    struct list listeners; /* struct fake_listener */
    struct list conns;     /* struct fake_conn */
    /* The most bytes of one read(). */
    size_t piece_bytes;
    /* A write after which more bytes than this are in flight returns false. */
    size_t socket_bytes;
    /* Sees, and may change, bytes before they are read. May be NULL. */
    void (*tap)(void *owner, struct env_conn *reader, uint8_t *data, size_t size);
    void *tap_owner;
    unsigned connects; /* calls of env_connect so far */
};

void fake_net_init(struct fake_net *net);
/* No node's connection is left. */
void fake_net_deinit(struct fake_net *net);

/* Brings one event. False: there is none. */
bool fake_net_step(struct fake_net *net);
/* Steps until nothing moves; more than steps_max of them break the test. */
void fake_net_run(struct fake_net *net, unsigned steps_max);
/* Ends all connections between two nodes, and loses what is in flight. */
void fake_net_cut(struct fake_net *net, const struct fake_env *a, const struct fake_env *b);
/* A node is gone: no callback, its connections are cut and its listeners closed. */
void fake_net_drop(struct fake_net *net, const struct fake_env *f);
/* The same, but the other sides notice nothing: as a machine without power. */
void fake_net_vanish(struct fake_net *net, const struct fake_env *f);
/* Connections of a node that were not closed() yet. */
size_t fake_net_count(const struct fake_net *net, const struct fake_env *f);

/* The socket operations of fake_env. */
enum status fake_net_listen(struct env *env,
                            const char *address,
                            struct env_listener *listener,
                            struct error *error);
struct env_conn *fake_net_connect(struct env *env,
                                  const char *address,
                                  const struct env_conn_events *events,
                                  void *owner);
bool fake_net_write(struct env_conn *conn, struct bytes bytes);
void fake_net_pause(struct env_conn *conn);
void fake_net_resume(struct env_conn *conn);
void fake_net_close(struct env_conn *conn);

#endif
