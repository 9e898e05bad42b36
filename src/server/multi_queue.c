#include "server/multi_queue.h"

#include "base/assert.h"

/* The buffer grows up to this: more than all limits together. */
#define QUEUE_BYTES_MAX                                                                            \
    (LIMIT_MULTI_BYTES + LIMIT_MULTI_COMMANDS * sizeof(struct queued) +                            \
     LIMIT_ARGUMENTS * sizeof(uint32_t))
#define QUEUE_BYTES_KEPT (1u * KIB)

/* In the buffer: this, the size of each argument (u32), the arguments. */
struct queued {
    const struct command *command;
    uint32_t arg_count;
    uint32_t database;
};

void multi_queue_init(struct multi_queue *q)
{
    *q = (struct multi_queue){0};
    buf_init(&q->bytes, QUEUE_BYTES_MAX);
}

void multi_queue_deinit(struct multi_queue *q)
{
    buf_deinit(&q->bytes);
}

void multi_queue_clear(struct multi_queue *q)
{
    struct buf bytes = q->bytes;
    buf_clear(&bytes, QUEUE_BYTES_KEPT);
    *q = (struct multi_queue){.bytes = bytes};
}

uint64_t multi_queue_memory(const struct multi_queue *q)
{
    return q->bytes.capacity;
}

static bool fits(const struct multi_queue *q, const struct txn_command *c, size_t arg_bytes)
{
    return q->count < LIMIT_MULTI_COMMANDS && q->arg_count + c->arg_count <= LIMIT_ARGUMENTS &&
           q->bytes.size + arg_bytes <= LIMIT_MULTI_BYTES;
}

enum status multi_queue_add(struct multi_queue *q, const struct txn_command *c)
{
    size_t arg_bytes = 0;
    for (size_t i = 0; i < c->arg_count; i++) {
        arg_bytes += c->args[i].size;
    }
    if (!fits(q, c, arg_bytes)) {
        reached("server: transaction too large");
        return STATUS_TOO_LARGE;
    }
    struct queued queued = {
        .command = c->command,
        .arg_count = (uint32_t)c->arg_count,
        .database = c->database,
    };
    buf_append(&q->bytes, &queued, sizeof queued);
    for (size_t i = 0; i < c->arg_count; i++) {
        uint32_t size = (uint32_t)c->args[i].size;
        buf_append(&q->bytes, &size, sizeof size);
    }
    for (size_t i = 0; i < c->arg_count; i++) {
        buf_append_bytes(&q->bytes, c->args[i]);
    }
    q->count++;
    q->arg_count += c->arg_count;
    q->keyed += c->command->policy != COMMAND_LOCAL ? 1 : 0;
    q->has_writes = q->has_writes || (c->command->flags & COMMAND_WRITE) != 0;
    return STATUS_OK;
}

void multi_queue_list(const struct multi_queue *q, struct txn_command *commands, struct bytes *args)
{
    const uint8_t *at = q->bytes.data;
    for (size_t i = 0; i < q->count; i++) {
        struct queued queued;
        memcpy(&queued, at, sizeof queued);
        const uint8_t *sizes = at + sizeof queued;
        at = sizes + queued.arg_count * sizeof(uint32_t);
        for (uint32_t j = 0; j < queued.arg_count; j++) {
            uint32_t size = 0;
            memcpy(&size, sizes + j * sizeof size, sizeof size);
            args[j] = bytes_of(at, size);
            at += size;
        }
        commands[i] = (struct txn_command){
            .command = queued.command,
            .args = args,
            .arg_count = queued.arg_count,
            .database = (uint8_t)queued.database,
        };
        args += queued.arg_count;
    }
    ensure(q->count == 0 || at == q->bytes.data + q->bytes.size);
}
