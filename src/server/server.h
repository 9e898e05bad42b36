/*
 * Client connections: reading commands, replies in order, limits. One per node.
 *
 * Memory: what clients make the node hold (input, replies, proposals) is counted against
 * buffer_memory; above it no socket is read and no command taken up, and while that does not help,
 * the connection that holds most is closed, one a second.
 */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include "base/stat.h"
#include "command/clients.h"
#include "command/command.h"
#include "command/command_stats.h"
#include "command/error_counts.h"
#include "command/latency.h"
#include "command/slowlog.h"
#include "env/env.h"
#include "router/router.h"

#define SERVER_STOP_LIMIT_MS 5000u

struct server_options {
    const char *listen;     /* "host:port"; borrowed */
    uint64_t buffer_memory; /* bytes; 0: LIMIT_BUFFER_MEMORY_BYTES */
};

struct server {
    /* private */
    struct env *env;
    struct router *router;
    struct stats *stats;
    struct error_counts errors; /* replies that were errors */
    struct server_options options;
    struct env_listener listener;
    struct command_server facts;    /* what commands may ask of us */
    struct command_clients clients; /* facts.clients */
    struct slowlog slowlog;
    struct latency latency;
    struct command_stats command_stats;
    struct list sessions;      /* struct session */
    struct list dirty;         /* sessions with output or input to look at in this turn */
    struct list monitors;      /* sessions that see all commands */
    struct buf monitor_line;   /* what they see next */
    struct list free_requests; /* struct session_request, for reuse */
    uint64_t free_request_count;
    uint64_t session_count;
    uint64_t client_id_last;
    uint64_t memory;        /* input and replies held by sessions */
    uint64_t memory_below;  /* see server_set_memory_below */
    uint64_t memory_before; /* server_memory() when famine_timer was started */
    struct env_timer famine_timer;
    struct env_timer stop_timer;
    uint64_t pause_until_us; /* CLIENT PAUSE, while is_pausing */
    struct env_timer pause_timer;
    struct env_timer idle_timer;
    bool is_pausing;       /* commands that write are held back */
    bool is_pausing_all;   /* and all others */
    bool is_watching_idle; /* idle_timer runs */
    bool is_out_of_time;   /* stopping took STOP_LIMIT_MS */
    uint64_t started_us;
    bool is_starved;   /* memory is above its budget: no socket is read */
    bool is_above_max; /* and above server_memory_max(): no read runs */
    bool is_stopping;
    struct env_timer again; /* a turn at once: paused input can go on though no event will come */
};

/* Connections by what they do; INFO. */
struct server_client_counts {
    uint64_t connected;
    uint64_t waiting; /* asleep, or held by CLIENT PAUSE: Redis calls them blocked */
    uint64_t monitors;
    uint64_t input_bytes_max; /* of one connection */
    uint64_t output_bytes_max;
};

/*
 * Borrows all pointers. facts->clients is ours to set; without facts->admin the settings are those
 * of SETTINGS_DEFAULT.
 */
void server_init(struct server *s,
                 struct env *env,
                 struct router *router,
                 struct stats *stats,
                 const struct server_options *options,
                 const struct command_server *facts);
MUST_CHECK enum status server_start(struct server *s, struct error *error);

/* What commands hold below the router (groups, log, peers); each turn. */
void server_set_memory_below(struct server *s, uint64_t bytes);

/* At the end of each loop turn, before the router and what is below: goes on with paused input. */
void server_resume(struct server *s);
/* Sends the output of this turn. */
void server_flush(struct server *s);

/* Memory that clients make us hold now, and the limit above which replies are cut off at once. */
uint64_t server_memory(const struct server *s);
uint64_t server_memory_max(const struct server *s);

/* Looks at each connection. */
void server_count_clients(const struct server *s, struct server_client_counts *out);

/* Takes no further input or connection; replies under way still go out. */
void server_stop(struct server *s);
/* After server_stop: all clients have what they were due, or had SERVER_STOP_LIMIT_MS to take it.
 */
bool server_is_stopped(const struct server *s);
/* After that: closes all connections. */
void server_close_all(struct server *s);
/* All are closed. Requests of theirs may still be in the router: nobody waits for them. */
bool server_is_closed(const struct server *s);

/* Memory only: also of connections whose env is gone. */
void server_deinit(struct server *s);

#endif
