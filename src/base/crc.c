#include "base/crc.h"

#include <isa-l/crc.h>
#include <isa-l/crc64.h>

#define CHUNK_BYTES (1u << 30)

uint32_t crc32c(uint32_t seed, const void *data, size_t size)
{
    /* The library works on the inverted register, takes an int and forgot a const. */
    uint32_t state = ~seed;
    unsigned char *at = (unsigned char *)(uintptr_t)data;
    while (size > 0) {
        size_t chunk = size < CHUNK_BYTES ? size : CHUNK_BYTES;
        state = crc32_iscsi(at, (int)chunk, state);
        at += chunk;
        size -= chunk;
    }
    return ~state;
}

uint64_t crc64_jones(uint64_t seed, const void *data, size_t size)
{
    /* The library inverts the register before and after. */
    return ~crc64_jones_refl(~seed, data, size);
}
