/*
 * Forwarded requests and replies from a peer that may send anything. ROUTER-9: a message is refused
 * as a whole or can be read to its end, within its bytes; what was read, written again, is the same
 * message.
 */
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "router/router_forward.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_requests(struct bytes message)
{
    struct forward_reader reader;
    if (forward_requests_read(message, &reader) != STATUS_OK) {
        return;
    }
    struct buf again;
    struct forward_batch batch;
    buf_init(&again, message.size + 1);
    forward_requests_start(&again, reader.incarnation);
    while (forward_next_batch(&reader, &batch)) {
        ensure(batch.count > 0);
        forward_batch_append(&again, &batch);
        for (uint32_t i = 0; i < batch.count; i++) {
            forward_command_append(&again, forward_next_command(&reader));
        }
    }
    ensure(bytes_equal(buf_bytes(&again), message));
    buf_deinit(&again);
}

static void check_replies(struct bytes message)
{
    struct forward_reader reader;
    if (forward_replies_read(message, &reader) != STATUS_OK) {
        return;
    }
    struct buf again;
    struct forward_reply reply;
    buf_init(&again, message.size + 1);
    forward_replies_start(&again, reader.incarnation);
    while (forward_next_reply(&reader, &reply)) {
        ensure((reply.verdict == FORWARD_DONE) == (reply.reply.size > 0));
        forward_reply_append(&again, &reply);
    }
    ensure(bytes_equal(buf_bytes(&again), message));
    buf_deinit(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* Memory of exactly that size, so that AddressSanitizer sees each read beyond it. */
    uint8_t *copy = mem_alloc(size > 0 ? size : 1);
    for (size_t i = 0; i < size; i++) {
        copy[i] = data[i];
    }
    check_requests(bytes_of(copy, size));
    check_replies(bytes_of(copy, size));
    mem_free(copy);
    return 0;
}
