/* What commands may ask of the node itself, and its settings. */
#ifndef COMMAND_ADMIN_H
#define COMMAND_ADMIN_H

#include "command/settings.h"

struct command_admin {
    struct settings *settings;
    const char *listen;   /* "host:port" for clients */
    const char *data_dir; /* where this node keeps everything */
    /* Microseconds since 1970 by this node's clock; as fine as that is. */
    uint64_t (*wall_us)(void *owner);
    /* Replicas beside the leader that have every write that was acknowledged (WAIT). */
    uint32_t (*acknowledged_replicas)(void *owner);
    /* What INFO shows as master_repl_offset: log entries applied here, of all groups. */
    uint64_t (*applied_entries)(void *owner);
    /* Sets the counters of INFO back. */
    void (*reset_stats)(void *owner);
    /* Stops the node as SIGTERM does, after this turn. False: it cannot be stopped from within. */
    bool (*stop)(void *owner);
    void *owner;
};

#endif
