/*
 * Log entries and forwarded commands from strangers. What entry_next accepts can be read to its
 * end, and encodes to the same bytes again.
 */
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "shard/entry.h"

#define ENCODED_BYTES_MAX ((size_t)64 * 1024 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Appends the next command of r as it is encoded again; not OK: there is none. */
static enum status read_command(struct entry_reader *r, struct buf *again)
{
    struct entry_command c;
    enum status status = entry_next(r, &c);
    if (status != STATUS_OK) {
        return status;
    }
    struct bytes *args = mem_alloc((c.arg_count + (size_t)1) * sizeof args[0]);
    for (uint32_t i = 0; i < c.arg_count; i++) {
        enum status s = entry_next_arg(r, &args[i]);
        ensure(s == STATUS_OK);
    }
    size_t before = again->size;
    entry_append(again, &c, args);
    ensure(again->size - before == entry_command_size(args, c.arg_count));
    mem_free(args);
    return STATUS_OK;
}

static void check_entry(struct bytes input, struct buf *again)
{
    struct entry_reader r;
    if (entry_read(input, &r) != STATUS_OK) {
        return;
    }
    entry_start(again);
    for (uint32_t i = 0; i < r.header.count; i++) {
        if (read_command(&r, again) != STATUS_OK) {
            return;
        }
    }
    if (r.header.count > 0 && entry_is_read(&r)) {
        entry_finish(again, &r.header);
        ensure(bytes_equal(buf_bytes(again), input));
    }
}

static void check_bare(struct bytes input, struct buf *again)
{
    struct entry_reader r;
    entry_reader_of(input, &r);
    while (!entry_is_read(&r)) {
        if (read_command(&r, again) != STATUS_OK) {
            return;
        }
    }
    ensure(bytes_equal(buf_bytes(again), input));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf again;
    buf_init(&again, ENCODED_BYTES_MAX);
    check_entry(bytes_of(data, size), &again);
    buf_clear(&again, SIZE_MAX);
    check_bare(bytes_of(data, size), &again);
    buf_deinit(&again);
    return 0;
}
