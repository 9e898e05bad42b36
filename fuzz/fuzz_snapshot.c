/*
 * Snapshot messages from strangers: malformed, or the one encoding of what was decoded. Checksums
 * are made to fit, so that what they cover is tried, too.
 */
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/crc.h"
#include "base/endian.h"
#include "shard/snapshot_message.h"

#define ENCODED_BYTES_MAX ((size_t)64 * 1024 * 1024)
#define AT_CRC 44u
#define AT_ROWS 48u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_chunk(struct bytes input, const struct snapshot_message *m)
{
    struct buf fitting;
    struct buf again;
    buf_init(&fitting, ENCODED_BYTES_MAX);
    buf_init(&again, ENCODED_BYTES_MAX);
    buf_append_bytes(&fitting, input);
    uint32_t crc = crc32c(0, input.data, AT_CRC);
    crc = crc32c(crc, input.data + AT_ROWS, input.size - AT_ROWS);
    put_u32_le(fitting.data + AT_CRC, crc);
    if (snapshot_chunk_check(buf_bytes(&fitting), input.size) == STATUS_OK) {
        struct bytes rows = m->rows;
        struct bytes key;
        struct bytes value;
        snapshot_chunk_start(&again);
        while (snapshot_next_row(&rows, &key, &value)) {
            snapshot_chunk_add(&again, key, value);
        }
        snapshot_chunk_finish(&again, m);
        ensure(bytes_equal(buf_bytes(&again), buf_bytes(&fitting)));
    }
    buf_deinit(&again);
    buf_deinit(&fitting);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes input = bytes_of(data, size);
    struct snapshot_message m;
    if (snapshot_message_decode(input, &m) != STATUS_OK) {
        return 0;
    }
    if (m.type == SNAPSHOT_CHUNK) {
        check_chunk(input, &m);
        return 0;
    }
    struct buf again;
    buf_init(&again, ENCODED_BYTES_MAX);
    snapshot_message_encode(&m, &again);
    ensure(bytes_equal(buf_bytes(&again), input));
    buf_deinit(&again);
    return 0;
}
