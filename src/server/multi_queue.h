/* The commands that MULTI gathers, each with its arguments and its database, in one buffer. */
#ifndef SERVER_MULTI_QUEUE_H
#define SERVER_MULTI_QUEUE_H

#include "base/status.h"
#include "txn/txn.h"

struct multi_queue {
    size_t count;
    size_t arg_count; /* of all commands */
    size_t keyed;     /* commands that are not LOCAL */
    bool has_writes;
    /* private */
    struct buf bytes;
};

void multi_queue_init(struct multi_queue *q);
void multi_queue_deinit(struct multi_queue *q);
void multi_queue_clear(struct multi_queue *q);
uint64_t multi_queue_memory(const struct multi_queue *q);

/* Copies the arguments. TOO_LARGE: beyond a limit (LIMIT_MULTI_…); nothing was added. */
MUST_CHECK enum status multi_queue_add(struct multi_queue *q, const struct txn_command *command);

/*
 * All of them, in order: commands[count], whose args are in args[arg_count], which borrow from the
 * queue until it is changed.
 */
void multi_queue_list(const struct multi_queue *q,
                      struct txn_command *commands,
                      struct bytes *args);

#endif
