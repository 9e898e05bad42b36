/* Payloads of DUMP. All golden bytes were written by Redis 7.0.15. */
#include <stdlib.h>

#include "base/assert.h"
#include "base/crc.h"
#include "base/endian.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/prng.h"
#include "command/rdb_string.h"
#include "harness.h"

#define PAYLOAD_BYTES_MAX (1u * MIB)

/* Hexadecimal text to bytes. */
static void append_hex(struct buf *out, const char *hex)
{
    for (; hex[0] != '\0' && hex[1] != '\0'; hex += 2) {
        const char digits[] = {hex[0], hex[1], '\0'};
        uint8_t byte = (uint8_t)strtoul(digits, NULL, 16);
        buf_append(out, &byte, 1);
    }
}

/* The body with a right footer. */
static void seal(struct buf *payload, unsigned version)
{
    uint8_t footer[10];
    put_u16_le(footer, (uint16_t)version);
    buf_append(payload, footer, 2);
    put_u64_le(footer + 2, crc64_jones(0, payload->data, payload->size));
    buf_append(payload, footer + 2, 8);
}

static const struct {
    const char *value;
    const char *payload;
} golden[] = {
    {"", "00000a005d9b5c400f7fa2da"},
    {"a", "0001610a00bffeef9b8f367db4"},
    {"0", "00c0000a009840a778f8500308"},
    {"-1", "00c0ff0a000c937e2485089dc5"},
    {"127", "00c07f0a000db5eb315254c514"},
    {"-128", "00c0800a009966326d2f0c5bd9"},
    {"128", "00c180000a00eb7ab3b510cf4b65"},
    {"-129", "00c17fff0a001760822854808480"},
    {"32767", "00c1ff7f0a00495a37da17f4d52b"},
    {"-32768", "00c100800a00b540064753bb1ace"},
    {"32768", "00c2008000000a0045d82eedd5bda910"},
    {"2147483647", "00c2ffffff7f0a002c74e59ee02eada1"},
    {"-2147483648", "00c2000000800a00c74f873e33558187"},
    {"2147483648", "000a323134373438333634380a00e7b129a34c1d76ee"},
    {"-2147483649", "000b2d323134373438333634390a00c261377908f2028c"},
    {"9223372036854775807", "0013393232333337323033363835343737353830370a003a657e9481e85f22"},
    {"01", "000230310a006cddc441144c7da4"},
    {"-0", "00022d300a00d5411fd9d6d050cc"},
    {"+1", "00022b310a00c286f0d7439aee6f"},
    {"12345678901", "000b31323334353637383930310a00304e52d727176510"},
    {"aaaaaaaaaaaaaaaaaaaa", "001461616161616161616161616161616161616161610a0083b46b5e1b11acf1"},
    {"aaaaaaaaaaaaaaaaaaaaa", "00c30615016161e00a000a00fd0cb36807413f68"},
    {"ababababababababababc", "00c30a1502616261e007010162630a007d8232227e9e775d"},
    {"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
     "00c3093f017878e032000178780a0072a017a560edf6e5"},
};

#define GOLDEN_COUNT (sizeof golden / sizeof golden[0])

TEST(dump_golden)
{
    for (size_t i = 0; i < GOLDEN_COUNT; i++) {
        struct buf expected;
        struct buf payload;
        buf_init(&expected, PAYLOAD_BYTES_MAX);
        buf_init(&payload, strlen(golden[i].value) + RDB_PAYLOAD_EXTRA_BYTES);
        append_hex(&expected, golden[i].payload);
        rdb_string_dump(&payload, bytes_of_text(golden[i].value));
        CHECK_BYTES(buf_bytes(&payload), buf_bytes(&expected));
        buf_deinit(&expected);
        buf_deinit(&payload);
    }
}

/* The verdict on a payload, and its value in out_value, which the caller has initialised. */
static enum rdb_verdict restore(struct bytes payload, struct buf *out_value)
{
    struct buf scratch;
    struct bytes value = {0};
    /* Exactly its size, so that reads beyond it are seen. */
    uint8_t *copy = mem_alloc(payload.size > 0 ? payload.size : 1);
    if (payload.size > 0) {
        memcpy(copy, payload.data, payload.size);
    }
    buf_init(&scratch, LIMIT_VALUE_BYTES);
    enum rdb_verdict verdict = rdb_check_footer(bytes_of(copy, payload.size));
    if (verdict == RDB_GOOD) {
        verdict = rdb_string_restore(bytes_of(copy, payload.size), &scratch, &value);
    }
    if (verdict == RDB_GOOD) {
        buf_append_bytes(out_value, value);
    }
    CHECK(scratch.capacity <= LIMIT_VALUE_BYTES);
    buf_deinit(&scratch);
    mem_free(copy);
    return verdict;
}

TEST(restore_golden)
{
    for (size_t i = 0; i < GOLDEN_COUNT; i++) {
        struct buf payload;
        struct buf value;
        buf_init(&payload, PAYLOAD_BYTES_MAX);
        buf_init(&value, PAYLOAD_BYTES_MAX);
        append_hex(&payload, golden[i].payload);
        CHECK_EQ(restore(buf_bytes(&payload), &value), RDB_GOOD);
        CHECK_BYTES(buf_bytes(&value), bytes_of_text(golden[i].value));
        buf_deinit(&payload);
        buf_deinit(&value);
    }
}

/* What Redis makes of bodies that it would not write itself, and what it refuses. */
static const struct {
    const char *body;
    unsigned version;
    enum rdb_verdict verdict;
    const char *value;
} strange[] = {
    {"0003616263", 9, RDB_GOOD, "abc"},
    {"0003616263", 0, RDB_GOOD, "abc"},
    {"0003616263", 11, RDB_BAD_FOOTER, ""},
    {"0003616263", 0x0a00, RDB_BAD_FOOTER, ""},
    {"000361626364656667", 10, RDB_GOOD, "abc"},
    {"004003616263", 10, RDB_GOOD, "abc"},
    {"008000000003616263", 10, RDB_GOOD, "abc"},
    {"00810000000000000003616263", 10, RDB_GOOD, "abc"},
    {"008200000003616263", 10, RDB_BAD_FORMAT, ""},
    {"0081ffffffffffffffff616263", 10, RDB_BAD_FORMAT, ""},
    {"0080ffffffff616263", 10, RDB_BAD_FORMAT, ""},
    {"000e616263", 10, RDB_BAD_FORMAT, ""},
    {"", 10, RDB_OTHER_TYPE, ""}, /* the version's low byte is a type */
    {"00", 10, RDB_BAD_FORMAT, ""},
    {"08616263", 10, RDB_BAD_FORMAT, ""},
    {"14616263", 10, RDB_BAD_FORMAT, ""},
    {"ff", 10, RDB_BAD_FORMAT, ""},
    {"01616263", 10, RDB_OTHER_TYPE, ""},
    {"120102090900000001000101ff", 10, RDB_OTHER_TYPE, ""}, /* a list */
    {"13", 10, RDB_OTHER_TYPE, ""},
    {"00c005", 10, RDB_GOOD, "5"},
    {"00c10580", 10, RDB_GOOD, "-32763"},
    {"00c205000080", 10, RDB_GOOD, "-2147483643"},
    {"00c0", 10, RDB_GOOD, "10"}, /* the version's low byte */
    {"00c405", 10, RDB_BAD_FORMAT, ""},
    {"00ff05", 10, RDB_BAD_FORMAT, ""},
    {"00c30404006120", 10, RDB_BAD_FORMAT, ""}, /* no place where the copy comes from */
    {"00c3040400612000", 10, RDB_GOOD, "aaaa"},
    {"00c3040500612000616161", 10, RDB_BAD_FORMAT, ""},
    {"00c3050400612000", 10, RDB_BAD_FORMAT, ""},
    {"00c304010061", 10, RDB_BAD_FORMAT, ""},
    {"00c302010061", 10, RDB_GOOD, "a"},
    {"00c302020061", 10, RDB_BAD_FORMAT, ""},
    {"00c302000061", 10, RDB_GOOD, ""},
    {"00c30000", 10, RDB_GOOD, ""},
    {"00c30001", 10, RDB_BAD_FORMAT, ""},
    {"00c3c2c10061", 10, RDB_GOOD, "a"},
    {"00c30281000000ffffffffff0061", 10, RDB_BAD_FORMAT, ""},
    {"00c302810000000000ffffff0061", 10, RDB_BAD_FORMAT, ""},
    {"00c304040061200a", 10, RDB_BAD_FORMAT, ""}, /* a copy from before the value */
};

TEST(restore_strange)
{
    for (size_t i = 0; i < sizeof strange / sizeof strange[0]; i++) {
        struct buf payload;
        struct buf value;
        buf_init(&payload, PAYLOAD_BYTES_MAX);
        buf_init(&value, PAYLOAD_BYTES_MAX);
        append_hex(&payload, strange[i].body);
        seal(&payload, strange[i].version);
        CHECK_EQ(restore(buf_bytes(&payload), &value), strange[i].verdict);
        CHECK_BYTES(buf_bytes(&value), bytes_of_text(strange[i].value));
        buf_deinit(&payload);
        buf_deinit(&value);
    }
}

/* Every cut and every flipped bit of a payload is noticed. */
TEST(damage_shows)
{
    struct buf payload;
    struct buf value;
    buf_init(&payload, PAYLOAD_BYTES_MAX);
    buf_init(&value, PAYLOAD_BYTES_MAX);
    append_hex(&payload, "00c30615016161e00a000a00fd0cb36807413f68");
    for (size_t size = 0; size < payload.size; size++) {
        CHECK_EQ(restore(bytes_of(payload.data, size), &value), RDB_BAD_FOOTER);
    }
    for (size_t bit = 0; bit < payload.size * 8; bit++) {
        payload.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        CHECK_EQ(restore(buf_bytes(&payload), &value), RDB_BAD_FOOTER);
        payload.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    buf_deinit(&payload);
    buf_deinit(&value);
}

/* A small payload that claims much: nothing is taken that its bytes cannot fill. */
TEST(claims_without_bytes)
{
    struct buf payload;
    struct buf scratch;
    struct bytes value = {0};
    buf_init(&payload, PAYLOAD_BYTES_MAX);
    buf_init(&scratch, LIMIT_VALUE_BYTES);
    append_hex(&payload, "00c3028004000000"); /* 64 MiB from two bytes */
    append_hex(&payload, "0061");
    seal(&payload, 10);
    CHECK_EQ(rdb_string_restore(buf_bytes(&payload), &scratch, &value), RDB_BAD_FORMAT);
    CHECK_EQ(scratch.capacity, 0u);
    buf_deinit(&payload);
    buf_deinit(&scratch);
}

/* LZF that does get beyond the largest value. */
TEST(too_large)
{
    const size_t repeats = LIMIT_VALUE_BYTES / 264 + 1; /* three bytes for 264 */
    struct buf payload;
    struct buf value;
    buf_init(&payload, 2 * MIB);
    buf_init(&value, 1);
    append_hex(&payload, "00c380");
    put_u32_be(buf_reserve(&payload, 4), (uint32_t)(3 * repeats + 2));
    buf_extend(&payload, 4);
    append_hex(&payload, "80");
    put_u32_be(buf_reserve(&payload, 4), (uint32_t)(264 * repeats + 1));
    buf_extend(&payload, 4);
    append_hex(&payload, "0061");
    for (size_t i = 0; i < repeats; i++) {
        append_hex(&payload, "e0ff00");
    }
    seal(&payload, 10);
    CHECK_EQ(restore(buf_bytes(&payload), &value), RDB_TOO_LARGE);
    buf_deinit(&payload);
    buf_deinit(&value);
}

/* The form of a length changes at 64 and 16384; few different letters compress, all bytes do not.
 */
TEST(there_and_back)
{
    static const size_t sizes[] = {0, 1, 20, 21, 63, 64, 65, 1000, 16383, 16384, 16385, 200000};
    static const unsigned letters[] = {1, 2, 7, 256};
    struct prng prng;
    prng_init(&prng, 7);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0] * 4; i++) {
        size_t size = sizes[i / 4];
        unsigned count = letters[i % 4];
        struct buf value;
        struct buf payload;
        struct buf again;
        buf_init(&value, size + 1);
        buf_init(&payload, size + RDB_PAYLOAD_EXTRA_BYTES);
        buf_init(&again, size + 1);
        for (size_t k = 0; k < size; k++) {
            uint8_t byte = (uint8_t)prng_below(&prng, count);
            buf_append(&value, &byte, 1);
        }
        rdb_string_dump(&payload, buf_bytes(&value));
        if (size <= 20 || count == 256) {
            CHECK(payload.size > size); /* and no byte beyond what the header says (buf_init) */
        } else if (size >= 1000 || count == 1) {
            CHECK(payload.size < size);
        }
        CHECK_EQ(restore(buf_bytes(&payload), &again), RDB_GOOD);
        CHECK_BYTES(buf_bytes(&again), buf_bytes(&value));
        buf_deinit(&value);
        buf_deinit(&payload);
        buf_deinit(&again);
    }
}
