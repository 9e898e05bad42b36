/*
 * Payloads of DUMP from strangers. The input is a body, which gets a right footer, so that what is
 * behind the checksum is reached; and it is a payload as it is. A value that is accepted is dumped
 * to a payload that gives the same value again.
 */
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/crc.h"
#include "base/endian.h"
#include "base/limits.h"
#include "base/mem.h"
#include "command/rdb_string.h"

#define VERSION 10u
#define FOOTER_BYTES 10u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_again(struct bytes value)
{
    struct buf payload;
    struct buf scratch;
    struct bytes again;
    buf_init(&payload, value.size + RDB_PAYLOAD_EXTRA_BYTES);
    buf_init(&scratch, LIMIT_VALUE_BYTES);
    rdb_string_dump(&payload, value);
    ensure(rdb_check_footer(buf_bytes(&payload)) == RDB_GOOD);
    ensure(rdb_string_restore(buf_bytes(&payload), &scratch, &again) == RDB_GOOD);
    ensure(bytes_equal(again, value));
    buf_deinit(&payload);
    buf_deinit(&scratch);
}

static void check_payload(struct bytes payload)
{
    struct buf scratch;
    struct bytes value;
    buf_init(&scratch, LIMIT_VALUE_BYTES);
    if (rdb_check_footer(payload) == RDB_GOOD &&
        rdb_string_restore(payload, &scratch, &value) == RDB_GOOD) {
        check_again(value);
    }
    buf_deinit(&scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_payload(bytes_of(data, size));
    /* Memory of exactly its size, so that AddressSanitizer sees each read beyond it. */
    uint8_t *sealed = mem_alloc(size + FOOTER_BYTES);
    if (size > 0) {
        memcpy(sealed, data, size);
    }
    put_u16_le(sealed + size, VERSION);
    put_u64_le(sealed + size + 2, crc64_jones(0, sealed, size + 2));
    check_payload(bytes_of(sealed, size + FOOTER_BYTES));
    mem_free(sealed);
    check_again(bytes_of(data, size));
    return 0;
}
