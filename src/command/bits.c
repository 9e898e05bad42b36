#include "command/bits.h"

#include "base/assert.h"
#include "protocol/resp_writer.h"

static bool is_a_place(int64_t offset)
{
    return offset >= 0 && (uint64_t)offset < BITS_MAX;
}

bool bits_parse_offset(struct command_call *call, struct bytes text, uint64_t *out_offset)
{
    int64_t offset = 0;
    if (!bytes_to_i64(text, &offset) || !is_a_place(offset)) {
        resp_write_error(call->reply, BITS_OFFSET_ERROR);
        return false;
    }
    *out_offset = (uint64_t)offset;
    return true;
}

bool bits_parse_field_offset(struct command_call *call,
                             struct bytes text,
                             unsigned width_bits,
                             uint64_t *out_offset)
{
    if (text.size == 0 || text.data[0] != '#') {
        return bits_parse_offset(call, text, out_offset);
    }
    int64_t field = 0;
    struct bytes number = bytes_of(text.data + 1, text.size - 1);
    /* The first test keeps the product from overflowing. */
    if (!bytes_to_i64(number, &field) || !is_a_place(field) || !is_a_place(field * width_bits)) {
        resp_write_error(call->reply, BITS_OFFSET_ERROR);
        return false;
    }
    *out_offset = (uint64_t)field * width_bits;
    return true;
}

static unsigned bit_shift(uint64_t offset)
{
    return BITS_PER_BYTE - 1 - (unsigned)(offset % BITS_PER_BYTE);
}

uint64_t bits_read(struct bytes string, uint64_t offset, unsigned width_bits)
{
    ensure(width_bits >= 1 && width_bits <= 64);
    uint64_t value = 0;
    for (uint64_t at = offset; at < offset + width_bits; at++) {
        bool is_inside = at / BITS_PER_BYTE < string.size;
        unsigned byte = is_inside ? string.data[at / BITS_PER_BYTE] : 0;
        value = value << 1 | (byte >> bit_shift(at) & 1);
    }
    return value;
}

void bits_write(uint8_t *data, uint64_t offset, unsigned width_bits, uint64_t value)
{
    ensure(width_bits >= 1 && width_bits <= 64);
    for (unsigned i = 0; i < width_bits; i++) {
        uint64_t at = offset + i;
        unsigned bit = (unsigned)(value >> (width_bits - 1 - i) & 1);
        unsigned byte = data[at / BITS_PER_BYTE] & ~(1u << bit_shift(at));
        data[at / BITS_PER_BYTE] = (uint8_t)(byte | bit << bit_shift(at));
    }
}

uint64_t bits_count(struct bytes string)
{
    uint64_t count = 0;
    size_t at = 0;
    for (; at + sizeof(uint64_t) <= string.size; at += sizeof(uint64_t)) {
        uint64_t word = 0;
        memcpy(&word, string.data + at, sizeof word);
        count += (uint64_t)__builtin_popcountll(word);
    }
    for (; at < string.size; at++) {
        count += (uint64_t)__builtin_popcount(string.data[at]);
    }
    return count;
}
