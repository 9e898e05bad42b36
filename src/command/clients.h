/* What commands may do with the connections of this node: implemented by the room server. */
#ifndef COMMAND_CLIENTS_H
#define COMMAND_CLIENTS_H

#include "command/client.h"

struct slowlog; /* command/slowlog.h */
struct latency; /* command/latency.h */
struct command_stats;

struct command_clients {
    /* Every open connection, oldest first, until fn says false. fn may kill the one it is given. */
    void (*each)(void *owner, bool (*fn)(void *ctx, struct client *client), void *ctx);
    /*
     * Closes a connection at once: its replies so far are lost. Never the one whose command runs,
     * which sets must_close instead.
     */
    void (*kill)(void *owner, struct client *client);
    /*
     * Commands of this node's clients (only those that write, unless is_all) wait until the time is
     * over. On top of an earlier pause: the later end, and all if one of them said so.
     */
    void (*pause)(void *owner, uint64_t timeout_ms, bool is_all);
    void (*unpause)(void *owner);
    struct slowlog *slowlog;
    struct latency *latency;
    struct command_stats *stats;
    void *owner;
};

#endif
