#include "base/crc.h"
#include "base/endian.h"
#include "base/mem.h"
#include "harness.h"
#include "peer/peer_frame.h"

#define KEY 0x72297c9863d4a677u
#define NUMBER 258u
#define SEED 0x0dd54177u

/* The bytes themselves, computed by other code; as a machine with little-endian numbers writes. */
static const char golden_hello[] =
    "44474f4e475045528000000093bafd72010001000100000004030201afe77766"
    "f19180be0200000003000000050000004d000000000000008877665544332211"
    "404142434445464748494a4b4c4d4e4f808182838485868788898a8b8c8d8e8f"
    "c0c1c2c3c4c5c6c7c8c9cacbcccdcecf00000000000000000000000000000000";
static const char golden_refused[] =
    "44474f4e475045522700000013bd20df02000100010000006e6f207375636820636c7573746572";
static const char golden_frame[] = "0700000002010000fa60238da6cbf2147061796c6f6164";
static const char golden_control[] = "00000000030100007741d50ddd86be22";

static uint8_t nibble(char c)
{
    return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static struct bytes unhex(const char *hex, uint8_t *out, size_t size_max)
{
    size_t size = strlen(hex) / 2;
    CHECK(size <= size_max);
    for (size_t i = 0; i < size; i++) {
        out[i] = (uint8_t)(nibble(hex[2 * i]) << 4 | nibble(hex[2 * i + 1]));
    }
    return bytes_of(out, size);
}

static void fill(uint8_t *at, uint8_t first)
{
    for (unsigned i = 0; i < 16; i++) {
        at[i] = (uint8_t)(first + i);
    }
}

static struct peer_intro example_intro(void)
{
    struct peer_intro intro = {
        .about = {.number = 2, .incarnation = 77},
        .target = 3,
        .count = 5,
        .version_min = 1,
        .version_max = 1,
        .features = 0x1122334455667788u,
    };
    fill(intro.about.node_id, 0x40);
    fill(intro.about.cluster_id, 0x80);
    fill(intro.nonce, 0xc0);
    return intro;
}

/* After a change of the bytes behind it. */
static void renew_crc(uint8_t *greeting, size_t size)
{
    put_u32_le(greeting + 12, crc32c(0, greeting + 16, size - 16));
}

/* ---- greetings ------------------------------------------------------------------------------- */

TEST(golden_bytes_of_a_hello)
{
    uint8_t golden[PEER_HELLO_BYTES];
    uint8_t hello[PEER_HELLO_BYTES];
    struct peer_intro intro = example_intro();
    peer_hello_encode(&intro, hello);
    struct bytes expected = unhex(golden_hello, golden, sizeof golden);
    CHECK_BYTES(bytes_of(hello, sizeof hello), expected);

    size_t size = 0;
    enum peer_greeting kind = PEER_GREETING_REFUSED;
    CHECK_EQ(peer_greeting_decode(expected, &size, &kind), STATUS_OK);
    CHECK_EQ(size, PEER_HELLO_BYTES);
    CHECK_EQ(kind, PEER_GREETING_HELLO);
    struct peer_intro got;
    CHECK_EQ(peer_hello_decode(expected, &got), STATUS_OK);
    CHECK_EQ(got.about.number, 2u);
    CHECK_EQ(got.about.incarnation, 77u);
    CHECK_EQ(got.target, 3u);
    CHECK_EQ(got.count, 5u);
    CHECK_EQ(got.version_min, 1u);
    CHECK_EQ(got.version_max, 1u);
    CHECK_EQ(got.features, 0x1122334455667788u);
    CHECK(got.is_same_machine);
    CHECK_BYTES(bytes_of(got.about.node_id, 16), bytes_of(intro.about.node_id, 16));
    CHECK_BYTES(bytes_of(got.about.cluster_id, 16), bytes_of(intro.about.cluster_id, 16));
    CHECK_BYTES(bytes_of(got.nonce, 16), bytes_of(intro.nonce, 16));
}

TEST(golden_bytes_of_a_refusal)
{
    uint8_t golden[128];
    struct bytes expected = unhex(golden_refused, golden, sizeof golden);
    struct buf out;
    buf_init(&out, PEER_GREETING_BYTES_MAX);
    peer_refused_encode("no such cluster", &out);
    CHECK_BYTES(buf_bytes(&out), expected);
    size_t size = 0;
    enum peer_greeting kind = PEER_GREETING_HELLO;
    CHECK_EQ(peer_greeting_decode(expected, &size, &kind), STATUS_OK);
    CHECK_EQ(size, expected.size);
    CHECK_EQ(kind, PEER_GREETING_REFUSED);
    char reason[PEER_REASON_BYTES_MAX + 1];
    CHECK_EQ(peer_refused_decode(expected, reason), STATUS_OK);
    CHECK_TEXT(reason, "no such cluster");
    buf_deinit(&out);
}

TEST(a_reason_is_cut_and_made_printable)
{
    char text[PEER_REASON_BYTES_MAX + 50];
    memset(text, 'a', sizeof text);
    text[sizeof text - 1] = '\0';
    text[1] = '\n';
    text[2] = '\x1b';
    text[3] = '\xc3';
    struct buf out;
    buf_init(&out, PEER_GREETING_BYTES_MAX);
    peer_refused_encode(text, &out);
    char reason[PEER_REASON_BYTES_MAX + 1];
    CHECK_EQ(peer_refused_decode(buf_bytes(&out), reason), STATUS_OK);
    CHECK_EQ(strlen(reason), PEER_REASON_BYTES_MAX);
    CHECK(memcmp(reason, "a???aaaa", 8) == 0);
    /* Another node may say more than we would. */
    buf_deinit(&out);
    uint8_t longest[PEER_GREETING_BYTES_MAX] = {0};
    memset(longest + PEER_GREETING_HEADER_BYTES, 'b', sizeof longest - PEER_GREETING_HEADER_BYTES);
    renew_crc(longest, sizeof longest);
    CHECK_EQ(peer_refused_decode(bytes_of(longest, sizeof longest), reason), STATUS_OK);
    CHECK_EQ(strlen(reason), PEER_REASON_BYTES_MAX);
}

TEST(a_greeting_is_known_by_its_first_bytes)
{
    uint8_t golden[PEER_HELLO_BYTES];
    struct bytes hello = unhex(golden_hello, golden, sizeof golden);
    size_t size = 0;
    enum peer_greeting kind = PEER_GREETING_HELLO;
    for (size_t i = 0; i < PEER_GREETING_HEADER_BYTES; i++) {
        CHECK_EQ(peer_greeting_decode(bytes_of(hello.data, i), &size, &kind), STATUS_NEED);
    }
    for (size_t i = 1; i <= 8; i++) {
        golden[i - 1] ^= 0x20;
        CHECK_EQ(peer_greeting_decode(bytes_of(hello.data, i), &size, &kind), STATUS_MALFORMED);
        golden[i - 1] ^= 0x20;
    }
    const uint32_t bad_sizes[] = {0, 24, 127, 1025, UINT32_MAX};
    for (size_t i = 0; i < sizeof bad_sizes / sizeof bad_sizes[0]; i++) {
        put_u32_le(golden + 8, bad_sizes[i]);
        CHECK_EQ(peer_greeting_decode(hello, &size, &kind), STATUS_MALFORMED);
    }
    put_u32_le(golden + 8, PEER_GREETING_BYTES_MAX);
    CHECK_EQ(peer_greeting_decode(hello, &size, &kind), STATUS_OK);
    const uint16_t bad_kinds[] = {0, 3, 257};
    for (size_t i = 0; i < sizeof bad_kinds / sizeof bad_kinds[0]; i++) {
        put_u16_le(golden + 16, bad_kinds[i]);
        CHECK_EQ(peer_greeting_decode(hello, &size, &kind), STATUS_MALFORMED);
    }
}

TEST(every_flipped_bit_of_a_hello_is_seen)
{
    uint8_t golden[PEER_HELLO_BYTES];
    struct bytes hello = unhex(golden_hello, golden, sizeof golden);
    for (size_t bit = 0; bit < 8 * PEER_HELLO_BYTES; bit++) {
        golden[bit / 8] ^= (uint8_t)(1u << bit % 8);
        size_t size = 0;
        enum peer_greeting kind = PEER_GREETING_REFUSED;
        enum status status = peer_greeting_decode(hello, &size, &kind);
        bool is_same = status == STATUS_OK && size == PEER_HELLO_BYTES;
        if (is_same && kind == PEER_GREETING_HELLO) {
            struct peer_intro intro;
            CHECK_EQ(peer_hello_decode(hello, &intro), STATUS_MALFORMED);
        }
        golden[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static enum status decode_with_versions(uint16_t min, uint16_t max, struct peer_intro *out_intro)
{
    uint8_t golden[PEER_HELLO_BYTES];
    struct bytes hello = unhex(golden_hello, golden, sizeof golden);
    put_u16_le(golden + 18, min);
    put_u16_le(golden + 20, max);
    renew_crc(golden, sizeof golden);
    return peer_hello_decode(hello, out_intro);
}

TEST(versions_must_overlap)
{
    struct peer_intro intro;
    CHECK_EQ(decode_with_versions(0, 1, &intro), STATUS_OK);
    CHECK_EQ(decode_with_versions(1, UINT16_MAX, &intro), STATUS_OK);
    CHECK_EQ(intro.version_max, UINT16_MAX);
    CHECK_EQ(decode_with_versions(0, 0, &intro), STATUS_UNSUPPORTED);
    CHECK_EQ(decode_with_versions(2, 9, &intro), STATUS_UNSUPPORTED);
    CHECK_EQ(intro.version_min, 2u);
    CHECK_EQ(intro.about.number, 0u);
    CHECK_EQ(decode_with_versions(2, 1, &intro), STATUS_MALFORMED);
}

TEST(another_machine_is_told_by_its_marks)
{
    uint8_t golden[PEER_HELLO_BYTES];
    struct bytes hello = unhex(golden_hello, golden, sizeof golden);
    struct peer_intro intro;
    for (size_t at = 24; at < 36; at++) {
        golden[at] ^= 1;
        renew_crc(golden, sizeof golden);
        CHECK_EQ(peer_hello_decode(hello, &intro), STATUS_OK);
        CHECK(!intro.is_same_machine);
        golden[at] ^= 1;
    }
}

TEST(a_longer_hello_is_read_as_far_as_it_is_known)
{
    uint8_t longer[PEER_HELLO_BYTES + 40] = {0};
    (void)unhex(golden_hello, longer, PEER_HELLO_BYTES);
    memset(longer + PEER_HELLO_BYTES, 0xee, 40);
    put_u32_le(longer + 8, sizeof longer);
    renew_crc(longer, sizeof longer);
    size_t size = 0;
    enum peer_greeting kind = PEER_GREETING_REFUSED;
    CHECK_EQ(peer_greeting_decode(bytes_of(longer, 24), &size, &kind), STATUS_OK);
    CHECK_EQ(size, sizeof longer);
    struct peer_intro intro;
    CHECK_EQ(peer_hello_decode(bytes_of(longer, sizeof longer), &intro), STATUS_OK);
    CHECK_EQ(intro.about.number, 2u);
}

/* ---- frames ---------------------------------------------------------------------------------- */

TEST(golden_bytes_of_frames)
{
    uint8_t dialler[PEER_NONCE_BYTES];
    uint8_t accepter[PEER_NONCE_BYTES];
    fill(dialler, 0xc0);
    fill(accepter, 0xa0);
    CHECK_EQ(peer_session_key(dialler, accepter), KEY);
    CHECK_EQ(peer_frame_seed(KEY, PEER_FROM_ACCEPTER, NUMBER), SEED);

    uint8_t golden[64];
    struct bytes expected = unhex(golden_frame, golden, sizeof golden);
    uint8_t header[PEER_FRAME_HEADER_BYTES];
    peer_frame_encode(SEED, PEER_BULK, true, bytes_of_text("payload"), header);
    CHECK_BYTES(bytes_of(header, sizeof header), bytes_of(golden, sizeof header));
    struct peer_frame frame;
    CHECK_EQ(peer_frame_decode(SEED, golden, &frame), STATUS_OK);
    CHECK_EQ(frame.size, 7u);
    CHECK_EQ(frame.kind, PEER_BULK);
    CHECK(frame.is_last);
    CHECK_EQ(peer_frame_check(SEED, &frame, expected.data + sizeof header), STATUS_OK);

    (void)unhex(golden_control, golden, sizeof golden);
    peer_frame_encode(SEED, PEER_FRAME_CONTROL, true, bytes_of(NULL, 0), header);
    CHECK_BYTES(bytes_of(header, sizeof header), bytes_of(golden, sizeof header));
    CHECK_EQ(peer_frame_decode(SEED, golden, &frame), STATUS_OK);
    CHECK_EQ(frame.size, 0u);
}

TEST(every_flipped_bit_of_a_frame_is_seen)
{
    uint8_t golden[64];
    struct bytes bytes = unhex(golden_frame, golden, sizeof golden);
    for (size_t bit = 0; bit < 8 * bytes.size; bit++) {
        golden[bit / 8] ^= (uint8_t)(1u << bit % 8);
        struct peer_frame frame;
        enum status status = peer_frame_decode(SEED, golden, &frame);
        if (bit / 8 >= PEER_FRAME_HEADER_BYTES) {
            CHECK_EQ(status, STATUS_OK);
            status = peer_frame_check(SEED, &frame, golden + PEER_FRAME_HEADER_BYTES);
        }
        CHECK_EQ(status, STATUS_CORRUPT);
        golden[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

/* PEER-3: a frame is good in one place of one connection only. */
TEST(a_frame_out_of_its_place_is_seen)
{
    uint8_t golden[64];
    (void)unhex(golden_frame, golden, sizeof golden);
    struct peer_frame frame;
    for (uint64_t number = 0; number < 10000; number++) {
        uint32_t seed = peer_frame_seed(KEY, PEER_FROM_ACCEPTER, number);
        enum status status = peer_frame_decode(seed, golden, &frame);
        CHECK_EQ(status, number == NUMBER ? STATUS_OK : STATUS_CORRUPT);
    }
    uint32_t other_way = peer_frame_seed(KEY, PEER_FROM_DIALLER, NUMBER);
    CHECK_EQ(peer_frame_decode(other_way, golden, &frame), STATUS_CORRUPT);
    for (unsigned bit = 0; bit < 64; bit++) {
        uint32_t seed = peer_frame_seed(KEY ^ (uint64_t)1 << bit, PEER_FROM_ACCEPTER, NUMBER);
        CHECK_EQ(peer_frame_decode(seed, golden, &frame), STATUS_CORRUPT);
    }
}

TEST(every_bit_of_both_nonces_is_in_the_key)
{
    uint8_t nonces[2 * PEER_NONCE_BYTES];
    fill(nonces, 0xc0);
    fill(nonces + PEER_NONCE_BYTES, 0xa0);
    uint64_t key = peer_session_key(nonces, nonces + PEER_NONCE_BYTES);
    CHECK(peer_session_key(nonces + PEER_NONCE_BYTES, nonces) != key);
    for (size_t bit = 0; bit < 8 * sizeof nonces; bit++) {
        nonces[bit / 8] ^= (uint8_t)(1u << bit % 8);
        uint64_t other = peer_session_key(nonces, nonces + PEER_NONCE_BYTES);
        uint32_t seed = peer_frame_seed(other, PEER_FROM_DIALLER, 0);
        CHECK(seed != peer_frame_seed(key, PEER_FROM_DIALLER, 0));
        nonces[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static enum status decode_forged(uint32_t size, uint8_t kind, uint8_t flags, uint16_t reserved)
{
    uint8_t header[PEER_FRAME_HEADER_BYTES] = {0};
    put_u32_le(header, size);
    header[4] = kind;
    header[5] = flags;
    put_u16_le(header + 6, reserved);
    put_u32_le(header + 12, crc32c(SEED, header, 12));
    struct peer_frame frame;
    return peer_frame_decode(SEED, header, &frame);
}

TEST(intact_frames_may_still_be_forbidden)
{
    CHECK_EQ(decode_forged(1, PEER_URGENT, 0, 0), STATUS_OK);
    CHECK_EQ(decode_forged(PEER_PAYLOAD_BYTES_MAX, PEER_BULK, 1, 0), STATUS_OK);
    CHECK_EQ(decode_forged(0, PEER_FRAME_CONTROL, 1, 0), STATUS_OK);
    CHECK_EQ(decode_forged(PEER_PAYLOAD_BYTES_MAX + 1, PEER_BULK, 1, 0), STATUS_MALFORMED);
    CHECK_EQ(decode_forged(UINT32_MAX, PEER_BULK, 1, 0), STATUS_MALFORMED);
    CHECK_EQ(decode_forged(0, PEER_LOG, 0, 0), STATUS_MALFORMED);
    CHECK_EQ(decode_forged(0, PEER_LOG, 1, 0), STATUS_MALFORMED);
    CHECK_EQ(decode_forged(1, PEER_FRAME_CONTROL, 1, 0), STATUS_MALFORMED);
    CHECK_EQ(decode_forged(0, PEER_FRAME_CONTROL, 0, 0), STATUS_MALFORMED);
    CHECK_EQ(decode_forged(1, PEER_FRAME_CONTROL + 1, 1, 0), STATUS_MALFORMED);
    CHECK_EQ(decode_forged(1, 255, 1, 0), STATUS_MALFORMED);
    CHECK_EQ(decode_forged(1, PEER_LOG, 2, 0), STATUS_MALFORMED);
    CHECK_EQ(decode_forged(1, PEER_LOG, 0x81, 0), STATUS_MALFORMED);
    CHECK_EQ(decode_forged(1, PEER_LOG, 1, 1), STATUS_MALFORMED);
    CHECK_EQ(decode_forged(1, PEER_LOG, 1, 0x8000), STATUS_MALFORMED);
}
