/*
 * Consensus messages from strangers: malformed, or the one encoding of what was decoded. Lists of
 * entries are reused from input to input, as a node does.
 */
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "consensus/message.h"

#define ENCODED_BYTES_MAX ((size_t)64 * 1024 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_message(struct bytes input, struct message_entries *entries)
{
    struct message_route route;
    struct engine_message m;
    if (message_decode(input, &route, &m, entries) != STATUS_OK) {
        return;
    }
    ensure(m.peer == route.sender);
    m.peer = route.receiver;
    struct buf again;
    buf_init(&again, ENCODED_BYTES_MAX);
    message_encode(&route, &m, &again);
    ensure(bytes_equal(buf_bytes(&again), input));
    buf_deinit(&again);
}

static void check_probe(struct bytes input)
{
    uint64_t number = 0;
    uint32_t count = 0;
    if (message_probe_decode(input, &number, &count) != STATUS_OK) {
        return;
    }
    struct message_probe_item *items = mem_alloc((count + (size_t)1) * sizeof items[0]);
    for (uint32_t i = 0; i < count; i++) {
        items[i] = message_probe_item(input, i);
    }
    struct buf again;
    buf_init(&again, ENCODED_BYTES_MAX);
    message_probe_encode((enum message_kind)input.data[0], number, items, count, &again);
    ensure(bytes_equal(buf_bytes(&again), input));
    buf_deinit(&again);
    mem_free(items);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct message_entries entries;
    check_message(bytes_of(data, size), &entries);
    check_probe(bytes_of(data, size));
    return 0;
}
