#include "data/slot.h"

/* Polynomial 0x1021, no reflection, start 0. Four bits at a time: a table one can read. */
static const uint16_t crc16_nibble[16] = {
    0x0000,
    0x1021,
    0x2042,
    0x3063,
    0x4084,
    0x50a5,
    0x60c6,
    0x70e7,
    0x8108,
    0x9129,
    0xa14a,
    0xb16b,
    0xc18c,
    0xd1ad,
    0xe1ce,
    0xf1ef,
};

static uint16_t crc16(struct bytes b)
{
    uint16_t crc = 0;
    for (size_t i = 0; i < b.size; i++) {
        unsigned high = (unsigned)(crc >> 12) ^ (unsigned)(b.data[i] >> 4);
        crc = (uint16_t)((unsigned)(crc << 4) ^ crc16_nibble[high & 15]);
        unsigned low = (unsigned)(crc >> 12) ^ (unsigned)(b.data[i] & 15);
        crc = (uint16_t)((unsigned)(crc << 4) ^ crc16_nibble[low & 15]);
    }
    return crc;
}

uint16_t slot_of_key(struct bytes key)
{
    const uint8_t *open = key.size > 0 ? memchr(key.data, '{', key.size) : NULL;
    if (open != NULL) {
        const uint8_t *inner = open + 1;
        size_t left = (size_t)(key.data + key.size - inner);
        const uint8_t *close = left > 0 ? memchr(inner, '}', left) : NULL;
        if (close != NULL && close > inner) {
            key = bytes_of(inner, (size_t)(close - inner));
        }
    }
    return crc16(key) % SLOT_COUNT;
}
