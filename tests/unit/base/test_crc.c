#include "base/crc.h"
#include "harness.h"

TEST(known_vectors)
{
    uint8_t zeros[32] = {0};
    uint8_t ones[32];
    memset(ones, 0xff, sizeof ones);
    uint8_t rising[32];
    for (size_t i = 0; i < sizeof rising; i++) {
        rising[i] = (uint8_t)i;
    }
    CHECK_EQ(crc32c(0, "123456789", 9), 0xe3069283u);
    CHECK_EQ(crc32c(0, zeros, sizeof zeros), 0x8a9136aau); /* RFC 3720, B.4 */
    CHECK_EQ(crc32c(0, ones, sizeof ones), 0x62a8ab43u);
    CHECK_EQ(crc32c(0, rising, sizeof rising), 0x46dd794eu);
}

TEST(nothing_leaves_the_seed)
{
    CHECK_EQ(crc32c(0, "", 0), 0);
    CHECK_EQ(crc32c(0x12345678u, "", 0), 0x12345678u);
}

TEST(chaining_at_every_cut_is_the_whole)
{
    const char text[] = "a beam laid across two brackets";
    size_t size = sizeof text - 1;
    uint32_t whole = crc32c(0, text, size);
    for (size_t cut = 0; cut <= size; cut++) {
        CHECK_EQ(crc32c(crc32c(0, text, cut), text + cut, size - cut), whole);
    }
}

/* Bit by bit from the polynomial: slow and obvious. */
static uint32_t naive_crc32c(const uint8_t *data, size_t size)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78u : 0);
        }
    }
    return ~crc;
}

TEST(equals_the_naive_twin)
{
    uint8_t data[700];
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (uint8_t)(i * 167 + 13);
    }
    for (size_t size = 0; size < sizeof data; size += 7) {
        CHECK_EQ(crc32c(0, data, size), naive_crc32c(data, size));
    }
}

TEST(one_flipped_bit_shows)
{
    uint8_t data[64] = {0};
    uint32_t whole = crc32c(0, data, sizeof data);
    for (size_t bit = 0; bit < sizeof data * 8; bit++) {
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        CHECK(crc32c(0, data, sizeof data) != whole);
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

/* ---- CRC-64 ---------------------------------------------------------------------------------- */

static uint64_t naive_crc64_jones(const uint8_t *data, size_t size)
{
    uint64_t crc = 0;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x95ac9329ac4bc9b5u : 0); /* reflected */
        }
    }
    return crc;
}

TEST(crc64_known_vectors)
{
    CHECK_EQ(crc64_jones(0, "123456789", 9), 0xe9c6d914c4b8d9cau); /* as Redis has it */
    CHECK_EQ(crc64_jones(0, "", 0), 0u);
    CHECK_EQ(crc64_jones(0, "\0\0\0", 3), 0u);
    CHECK_EQ(crc64_jones(77, "", 0), 77u);
}

TEST(crc64_equals_the_naive_twin_at_every_cut)
{
    uint8_t data[700];
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (uint8_t)(i * 167 + 13);
    }
    for (size_t size = 0; size < sizeof data; size += 7) {
        uint64_t whole = naive_crc64_jones(data, size);
        CHECK_EQ(crc64_jones(0, data, size), whole);
        CHECK_EQ(crc64_jones(crc64_jones(0, data, size / 3), data + size / 3, size - size / 3),
                 whole);
    }
}
