/* Which connections CLIENT KILL and CLIENT LIST mean. */
#ifndef COMMAND_CLIENT_FILTER_H
#define COMMAND_CLIENT_FILTER_H

#include "command/command.h"

struct client_filter {
    int64_t id; /* 0: any */
    struct bytes address, local_address;
    bool has_address, has_local_address;
    bool is_nobody; /* of a type that no connection has here: master, replica, pubsub */
    bool skips_me;
};

/* NORMAL, MASTER, REPLICA, SLAVE or PUBSUB. False: none of them, the error is the reply. */
bool client_type_read(struct command_call *call, struct bytes word, bool *out_is_normal);
/*
 * The arguments of CLIENT KILL: an address, or pairs of an option and its value. False: they are
 * wrong, the error is the reply. Borrows the arguments.
 */
bool client_filter_read(struct command_call *call, struct client_filter *out);
bool client_filter_fits(const struct client_filter *f,
                        const struct client *client,
                        const struct client *me);

#endif
