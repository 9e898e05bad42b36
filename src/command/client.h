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
    const char *user; /* static text; always "default" until users exist */
    char peer[CLIENT_ADDRESS_BYTES];
    char local[CLIENT_ADDRESS_BYTES];
    struct buf name;
    struct buf library_name;
    struct buf library_version;
    const struct command *last_command; /* NULL: none yet */
    uint64_t created_us;
    uint64_t active_us;
    uint64_t now_us; /* set before a LOCAL command runs */
    uint64_t input_bytes;
    uint64_t output_bytes;
    uint64_t sleep_us; /* set by a LOCAL command: its reply, and all behind it, wait so long */
    bool must_close;   /* after the replies so far */
};

void client_init(struct client *c, uint64_t id, const char *peer, const char *local);
void client_deinit(struct client *c);
/* One line as CLIENT INFO and CLIENT LIST show it, with the newline. */
void client_describe(const struct client *c, struct buf *out);

#endif
