/* What a connection is to the commands that are about it: plain data, kept by the server. */
#ifndef COMMAND_CLIENT_H
#define COMMAND_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/limits.h"

#define CLIENT_ADDRESS_BYTES 64u

struct command;

struct client {
    uint64_t id;
    uint8_t resp; /* 2 or 3 */
    uint8_t database;
    const char *user;  /* static text; always "default" until users exist */
    const char *local; /* our address; borrowed for life */
    char peer[CLIENT_ADDRESS_BYTES];
    struct buf name;
    const struct command *last_command; /* NULL: none yet */
    uint64_t created_us;
    uint64_t active_us;

    /* What a LOCAL command asks of the connection, here so that its handler needs no server. */
    uint64_t sleep_us; /* its reply, and all behind it, wait so long (LIMIT_SLEEP_MS at most) */
    bool must_close;   /* after the replies so far */
    bool is_silent;    /* CLIENT REPLY OFF: nothing is answered */
    bool is_skipping;  /* CLIENT REPLY SKIP: nor is the command under way */
    bool will_skip;    /* nor the next one */
    bool is_monitor;   /* MONITOR: sees what the other clients of this node do */
    bool is_protected; /* CLIENT NO-EVICT: another one is closed first when memory is short */

    /* What CLIENT LIST shows; brought up to date before a handler sees it. */
    bool is_held;    /* it waits for CLIENT PAUSE to end, or sleeps */
    bool is_sending; /* the socket has not taken all its replies */
    uint64_t now_us;
    uint64_t input_bytes;
    uint64_t input_free_bytes;
    uint64_t argument_bytes;
    uint64_t output_bytes;
    uint64_t output_room_bytes;
    uint64_t waiting_bytes; /* replies that older ones, or the socket, hold back */
    uint64_t memory_bytes;
};

/* local is borrowed for the life of c. */
void client_init(struct client *c, uint64_t id, const char *peer, const char *local);
void client_deinit(struct client *c);
/* One line as CLIENT INFO and CLIENT LIST show it, with the newline. */
void client_describe(const struct client *c, struct buf *out);

#endif
