/*
 * What the tests of the server share: one server on a fake network, over the router and the fakes
 * below it (router/router_world.h), and clients that type words and look at the bytes that come.
 */
#ifndef SERVER_SERVER_WORLD_H
#define SERVER_SERVER_WORLD_H

#include <stdio.h>

#include "command/admin.h"
#include "router/router_world.h"
#include "server/session.h"

#define SCENE_STEPS_MAX 100000u
#define SCENE_ADDRESS "node:1"

struct scene {
    struct world below;
    struct fake_net net;
    struct fake_env outside; /* of all clients */
    struct server server;
    struct settings settings;
    struct command_admin admin;
};

struct caller {
    struct scene *scene;
    struct env_conn *conn; /* NULL: closed */
    struct buf got;
    bool has_ended;
};

/* ---- clients --------------------------------------------------------------------------------- */

static inline void caller_connected(struct env_conn *conn)
{
    (void)conn;
}

static inline void caller_read(struct env_conn *conn, struct bytes bytes)
{
    struct caller *c = conn->owner;
    buf_append_bytes(&c->got, bytes);
}

static inline void caller_ended(struct env_conn *conn)
{
    struct caller *c = conn->owner;
    c->has_ended = true;
    env_conn_close(conn);
}

static inline void caller_drained(struct env_conn *conn)
{
    (void)conn;
}

static inline void caller_closed(struct env_conn *conn)
{
    struct caller *c = conn->owner;
    c->conn = NULL;
}

static const struct env_conn_events caller_events = {
    .connected = caller_connected,
    .read = caller_read,
    .ended = caller_ended,
    .drained = caller_drained,
    .closed = caller_closed,
};

/* ---- the world ------------------------------------------------------------------------------- */

static inline void scene_turn(void *owner)
{
    struct scene *s = owner;
    server_resume(&s->server);
    turn(&s->below);
    server_flush(&s->server);
}

/* Until nothing moves; a loop that never rests breaks the test. */
static inline void settle(struct scene *s)
{
    struct fake_env *env = &s->below.env;
    scene_turn(s);
    for (unsigned i = 0;; i++) {
        ensure(i < SCENE_STEPS_MAX);
        if (fake_net_step(&s->net)) {
            continue;
        }
        if (timers_next_due_us(&env->timers) > env->now_us) {
            break;
        }
        fake_env_advance(env, 0);
        scene_turn(s);
    }
}

static inline void pass(struct scene *s, uint64_t ms)
{
    fake_env_advance(&s->below.env, ms);
    settle(s);
}

static inline void scene_start(struct scene *s)
{
    *s = (struct scene){.settings = SETTINGS_DEFAULT};
    world_start(&s->below);
    fake_net_init(&s->net);
    fake_env_init(&s->outside);
    s->outside.net = &s->net;
    s->below.env.net = &s->net;
    s->below.env.base.turn = scene_turn;
    s->below.env.base.turn_owner = s;
    s->admin.settings = &s->settings;
    struct server_options options = {.listen = SCENE_ADDRESS};
    struct command_server facts = {.admin = &s->admin};
    server_init(&s->server, &s->below.env.base, s->below.router, &s->below.stats, &options, &facts);
    struct error error;
    enum status status = server_start(&s->server, &error);
    ensure(status == STATUS_OK);
}

/* All clients have gone, and left nothing. */
static inline void scene_stop(struct scene *s)
{
    settle(s);
    CHECK_EQ(s->server.session_count, 0u);
    CHECK_EQ(s->server.memory, 0u);
    CHECK(list_is_empty(&s->server.monitors));
    server_stop(&s->server);
    env_timer_stop(&s->below.env.base, &s->server.stop_timer);
    server_close_all(&s->server);
    server_deinit(&s->server);
    fake_net_drop(&s->net, &s->below.env);
    fake_net_deinit(&s->net);
    fake_env_deinit(&s->outside);
    world_stop(&s->below);
}

static inline void caller_start(struct caller *c, struct scene *s)
{
    *c = (struct caller){.scene = s};
    buf_init(&c->got, SIZE_MAX / 2);
    c->conn = env_connect(&s->outside.base, SCENE_ADDRESS, &caller_events, c);
    settle(s);
}

static inline void caller_leave(struct caller *c)
{
    if (c->conn != NULL) {
        env_conn_close(c->conn);
    }
    settle(c->scene);
    ensure(c->conn == NULL);
    buf_deinit(&c->got);
}

/* Commands, one a line, as typed by hand. */
static inline void say(struct caller *c, const char *lines)
{
    (void)env_conn_write(c->conn, bytes_of_text(lines));
    settle(c->scene);
}

/* What came since the last call, as text. */
static inline const char *heard(struct caller *c)
{
    static char text[1 << 16];
    size_t size = c->got.size < sizeof text - 1 ? c->got.size : sizeof text - 1;
    memcpy(text, c->got.data != NULL ? c->got.data : (const uint8_t *)"", size);
    text[size] = '\0';
    buf_clear(&c->got, 0);
    return text;
}

#define CHECK_SAYS(c, lines, replies)                                                              \
    do {                                                                                           \
        say((c), (lines));                                                                         \
        CHECK_TEXT(heard(c), (replies));                                                           \
    } while (0)

/* The server's side of the connection that came last. */
static inline struct session *last_session(struct scene *s)
{
    return container_of(s->server.sessions.prev, struct session, link);
}

#endif
