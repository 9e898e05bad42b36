/* Checksums over bytes, by ISA-L (hardware where there is any). */
#ifndef BASE_CRC_H
#define BASE_CRC_H

#include <stddef.h>
#include <stdint.h>

/* Castagnoli. Continues seed; 0 starts. crc32c(crc32c(0, a), b) is the CRC of a followed by b. */
uint32_t crc32c(uint32_t seed, const void *data, size_t size);

/*
 * CRC-64 with the polynomial of D. T. Jones, 0xad93d23594c935a9, reflected, as Redis' RDB format
 * has it: the register starts at 0 and is not inverted at the end. Continues seed as crc32c does.
 */
uint64_t crc64_jones(uint64_t seed, const void *data, size_t size);

#endif
