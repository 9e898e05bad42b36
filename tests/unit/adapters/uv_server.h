/* A listener of the uv adapter and what its tests do with the connections it accepts. */
#ifndef ADAPTERS_UV_SERVER_H
#define ADAPTERS_UV_SERVER_H

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "uv_world.h"

/* One connection under test; what it does is chosen by its events. */
struct server {
    struct world w;
    struct env_listener listener;
    struct env_conn *conn;
    char address[64];
    uint16_t port;
    char peer[64];
    struct buf received;
    uint8_t *big;
    size_t big_sent;
    unsigned drained_count;
    unsigned ended_count;
    unsigned closed_count;
    bool is_inside_call; /* a completion inside a call of ours would break the port */
    bool has_completed_inside;
};

static inline uint16_t free_port(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    CHECK_EQ(bind(fd, (struct sockaddr *)&where, sizeof where), 0);
    socklen_t size = sizeof where;
    CHECK_EQ(getsockname(fd, (struct sockaddr *)&where, &size), 0);
    (void)close(fd);
    return ntohs(where.sin_port);
}

static const struct env_conn_events *next_events;

static inline void on_accepted(struct env_listener *listener,
                               struct env_conn *conn,
                               const char *peer)
{
    struct server *s = listener->owner;
    conn->events = next_events;
    conn->owner = s;
    s->conn = conn;
    (void)snprintf(s->peer, sizeof s->peer, "%s", peer);
}

static inline void server_init(struct server *s, const struct env_conn_events *events)
{
    *s = (struct server){0};
    world_init(&s->w);
    s->listener = (struct env_listener){.accepted = on_accepted, .owner = s};
    next_events = events;
    s->port = free_port();
    (void)snprintf(s->address, sizeof s->address, "127.0.0.1:%u", s->port);
    buf_init(&s->received, 64u * MIB);
    struct error error;
    CHECK_EQ(env_listen(s->w.env, s->address, &s->listener, &error), STATUS_OK);
}

static inline void server_deinit(struct server *s)
{
    CHECK(!s->has_completed_inside);
    mem_free(s->big);
    buf_deinit(&s->received);
    world_deinit(&s->w);
}

static inline int connect_to(uint16_t port, int receive_bytes)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in where = {
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    if (receive_bytes > 0) {
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes);
    }
    return connect(fd, (struct sockaddr *)&where, sizeof where) == 0 ? fd : -1;
}

static inline void on_drained(struct env_conn *conn)
{
    struct server *s = conn->owner;
    s->has_completed_inside |= s->is_inside_call;
    s->drained_count++;
}

static inline void on_read_echo(struct env_conn *conn, struct bytes bytes)
{
    struct server *s = conn->owner;
    s->is_inside_call = true;
    CHECK(env_conn_write(conn, bytes));
    s->is_inside_call = false;
}

#endif
