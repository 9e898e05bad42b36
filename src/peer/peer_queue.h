/* Messages on their way to one peer: a queue per class, taken out in chunks, urgent ones first. */
#ifndef PEER_PEER_QUEUE_H
#define PEER_PEER_QUEUE_H

#include "base/list.h"
#include "peer/peers.h"

struct peer_queue {
    /* private */
    struct list messages[PEER_CLASS_COUNT];
    uint64_t bytes[PEER_CLASS_COUNT]; /* not taken out yet */
    uint64_t memory;
};

/* A piece of a message; borrowed until peer_queue_drop. */
struct peer_chunk {
    enum peer_class class;
    struct bytes bytes;
    bool is_last;
};

void peer_queue_init(struct peer_queue *q);
/* Drops all messages; the queue may be used again. */
void peer_queue_clear(struct peer_queue *q);

/* Copies a message of 1 … PEER_MESSAGE_BYTES_MAX bytes. False: the window is full. */
bool peer_queue_add(struct peer_queue *q,
                    enum peer_class class,
                    const struct bytes *parts,
                    size_t part_count);
/* The next chunk, of at most size_max bytes. False: there is none. */
bool peer_queue_peek(const struct peer_queue *q, size_t size_max, struct peer_chunk *out_chunk);
/* What peer_queue_peek returned has been sent. */
void peer_queue_drop(struct peer_queue *q, const struct peer_chunk *chunk);

bool peer_queue_is_empty(const struct peer_queue *q);
uint64_t peer_queue_memory(const struct peer_queue *q);

#endif
