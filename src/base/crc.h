/* CRC-32C (Castagnoli) over bytes, by ISA-L (hardware where there is any). */
#ifndef BASE_CRC_H
#define BASE_CRC_H

#include <stddef.h>
#include <stdint.h>

/* Continues seed; 0 starts. crc32c(crc32c(0, a), b) is the CRC of a followed by b. */
uint32_t crc32c(uint32_t seed, const void *data, size_t size);

#endif
