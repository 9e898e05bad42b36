/* Bits of strings, as SETBIT and BITFIELD number them: bit 0 is the highest of the first byte. */
#ifndef COMMAND_BITS_H
#define COMMAND_BITS_H

#include <stdint.h>

#include "base/bytes.h"
#include "command/command.h"

#define BITS_PER_BYTE 8u
#define BITS_OFFSET_ERROR "ERR bit offset is not an integer or out of range"

/* Bits of the longest string. */
#define BITS_MAX ((uint64_t)LIMIT_VALUE_BYTES * BITS_PER_BYTE)

/* A place in a string. False: the error has been written. */
bool bits_parse_offset(struct command_call *call, struct bytes text, uint64_t *out_offset);
/* The same, or "#n": the n-th field of so many bits. */
bool bits_parse_field_offset(struct command_call *call,
                             struct bytes text,
                             unsigned width_bits,
                             uint64_t *out_offset);

/* 1 to 64 bits from offset on, as a number; behind the end of the string there are zeros. */
uint64_t bits_read(struct bytes string, uint64_t offset, unsigned width_bits);
/* All of it must be within data. */
void bits_write(uint8_t *data, uint64_t offset, unsigned width_bits, uint64_t value);

/* Set bits of a string. */
uint64_t bits_count(struct bytes string);

#endif
