/* Fixed byte orders: little for disk and wire records, big where bytes must sort like numbers. */
#ifndef BASE_ENDIAN_H
#define BASE_ENDIAN_H

#include <stdint.h>

static inline void put_u16_le(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static inline void put_u32_le(uint8_t *p, uint32_t v)
{
    put_u16_le(p, (uint16_t)v);
    put_u16_le(p + 2, (uint16_t)(v >> 16));
}

static inline void put_u64_le(uint8_t *p, uint64_t v)
{
    put_u32_le(p, (uint32_t)v);
    put_u32_le(p + 4, (uint32_t)(v >> 32));
}

static inline uint16_t get_u16_le(const uint8_t *p)
{
    return (uint16_t)(p[0] | (p[1] << 8));
}

static inline uint32_t get_u32_le(const uint8_t *p)
{
    return (uint32_t)get_u16_le(p) | ((uint32_t)get_u16_le(p + 2) << 16);
}

static inline uint64_t get_u64_le(const uint8_t *p)
{
    return (uint64_t)get_u32_le(p) | ((uint64_t)get_u32_le(p + 4) << 32);
}

static inline uint16_t get_u16_be(const uint8_t *p)
{
    return (uint16_t)((p[0] << 8) | p[1]);
}

static inline void put_u16_be(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static inline void put_u32_be(uint8_t *p, uint32_t v)
{
    put_u16_be(p, (uint16_t)(v >> 16));
    put_u16_be(p + 2, (uint16_t)v);
}

static inline void put_u64_be(uint8_t *p, uint64_t v)
{
    put_u32_be(p, (uint32_t)(v >> 32));
    put_u32_be(p + 4, (uint32_t)v);
}

static inline uint32_t get_u32_be(const uint8_t *p)
{
    return ((uint32_t)get_u16_be(p) << 16) | (uint32_t)get_u16_be(p + 2);
}

static inline uint64_t get_u64_be(const uint8_t *p)
{
    return ((uint64_t)get_u32_be(p) << 32) | (uint64_t)get_u32_be(p + 4);
}

#endif
