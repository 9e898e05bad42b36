/* What commands may ask of the node itself, and its settings. */
#ifndef COMMAND_ADMIN_H
#define COMMAND_ADMIN_H

#include "command/settings.h"

struct command_admin {
    struct settings *settings;
    /* Replicas beside the leader that have every write that was acknowledged (WAIT). */
    uint32_t (*acknowledged_replicas)(void *owner);
    /* Stops the node as SIGTERM does. */
    void (*stop)(void *owner);
    void *owner;
};

#endif
