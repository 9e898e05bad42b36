/* What commands may do with the connections of this node (CLIENT, MONITOR): the server's part. */
#ifndef COMMAND_CLIENTS_H
#define COMMAND_CLIENTS_H

#include "command/client.h"

struct command_clients {
    /* Every connection, oldest first; false ends it. */
    void (*each)(void *owner, bool (*fn)(void *ctx, struct client *client), void *ctx);
    void *owner;
};

#endif
