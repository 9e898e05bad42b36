#include "peer/peer_queue.h"

#include "base/assert.h"
#include "base/mem.h"

struct message {
    struct list link;
    size_t size;
    size_t sent;
    uint8_t data[];
};

static struct message *message_of(struct list *link)
{
    return container_of(link, struct message, link);
}

static void message_destroy(struct peer_queue *q, struct message *m)
{
    q->memory -= sizeof *m + m->size;
    list_remove(&m->link);
    mem_free(m);
}

void peer_queue_init(struct peer_queue *q)
{
    *q = (struct peer_queue){0};
    for (unsigned class = 0; class < PEER_CLASS_COUNT; class ++) {
        list_init(&q->messages[class]);
    }
}

void peer_queue_clear(struct peer_queue *q)
{
    for (unsigned class = 0; class < PEER_CLASS_COUNT; class ++) {
        while (!list_is_empty(&q->messages[class])) {
            message_destroy(q, message_of(q->messages[class].next));
        }
        q->bytes[class] = 0;
    }
    ensure(q->memory == 0);
}

bool peer_queue_add(struct peer_queue *q,
                    enum peer_class class,
                    const struct bytes *parts,
                    size_t part_count)
{
    ensure((unsigned)class < PEER_CLASS_COUNT);
    if (q->bytes[class] >= PEER_WINDOW_BYTES) {
        reached("peer: window full");
        return false;
    }
    size_t size = 0;
    for (size_t i = 0; i < part_count; i++) {
        ensure(parts[i].size <= PEER_MESSAGE_BYTES_MAX - size);
        size += parts[i].size;
    }
    ensure(size > 0);
    struct message *m = mem_alloc(sizeof *m + size);
    m->size = size;
    m->sent = 0;
    size_t at = 0;
    for (size_t i = 0; i < part_count; i++) {
        if (parts[i].size > 0) {
            memcpy(m->data + at, parts[i].data, parts[i].size);
            at += parts[i].size;
        }
    }
    list_append(&q->messages[class], &m->link);
    q->bytes[class] += size;
    q->memory += sizeof *m + size;
    return true;
}

bool peer_queue_peek(const struct peer_queue *q, size_t size_max, struct peer_chunk *out_chunk)
{
    ensure(size_max > 0);
    for (unsigned class = 0; class < PEER_CLASS_COUNT; class ++) {
        if (list_is_empty(&q->messages[class])) {
            continue;
        }
        const struct message *m = message_of(q->messages[class].next);
        size_t left = m->size - m->sent;
        ensure(left > 0);
        *out_chunk = (struct peer_chunk){
            .class = (enum peer_class) class,
            .bytes = bytes_of(m->data + m->sent, left < size_max ? left : size_max),
            .is_last = left <= size_max,
        };
        return true;
    }
    return false;
}

void peer_queue_drop(struct peer_queue *q, const struct peer_chunk *chunk)
{
    ensure(!list_is_empty(&q->messages[chunk->class]));
    struct message *m = message_of(q->messages[chunk->class].next);
    ensure(chunk->bytes.data == m->data + m->sent);
    m->sent += chunk->bytes.size;
    q->bytes[chunk->class] -= chunk->bytes.size;
    ensure(chunk->is_last == (m->sent == m->size));
    if (chunk->is_last) {
        message_destroy(q, m);
    }
}

bool peer_queue_is_empty(const struct peer_queue *q)
{
    return q->memory == 0;
}

uint64_t peer_queue_memory(const struct peer_queue *q)
{
    return q->memory;
}
