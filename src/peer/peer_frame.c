#include "peer/peer_frame.h"

#include <assert.h>

#include "base/assert.h"
#include "base/crc.h"
#include "base/endian.h"

/* Where things stand in a greeting; the rest of a hello is numbers in the order below. */
enum {
    AT_MAGIC = 0,
    AT_SIZE = 8,
    AT_CRC = 12,
    AT_KIND = 16,
    AT_VERSION_MIN = 18,
    AT_VERSION_MAX = 20,
    AT_ZERO = 22,
    AT_ORDER = 24,
    AT_FLOAT = 28,
    AT_NUMBER = 36,
    AT_TARGET = 40,
    AT_COUNT = 44,
    AT_INCARNATION = 48,
    AT_HELLO_ZERO = 52,
    AT_FEATURES = 56,
    AT_NODE_ID = 64,
    AT_CLUSTER_ID = 80,
    AT_NONCE = 96,
    AT_END = 112, /* zeros from here */
};

#define MAGIC_BYTES 8u
static const uint8_t magic[MAGIC_BYTES] = {'D', 'G', 'O', 'N', 'G', 'P', 'E', 'R'};

/* In the byte order of their writer, on purpose: equal only on machines that store them alike. */
#define ORDER_MARK 0x01020304u
static const double float_mark = -123456.789e-12;

#define MARKS_BYTES (AT_NUMBER - AT_ORDER)

#define FLAG_LAST 1u

static_assert(AT_KIND + 8 == PEER_GREETING_HEADER_BYTES, "the header ends behind the zeros");
static_assert(AT_END <= PEER_HELLO_BYTES, "a hello holds all its fields");
static_assert(sizeof float_mark == AT_NUMBER - AT_FLOAT, "a double has eight bytes");
static_assert(sizeof(uint32_t) == AT_FLOAT - AT_ORDER, "the marks have no gap");

/* ---- greetings ------------------------------------------------------------------------------- */

static size_t kind_size_min(unsigned kind)
{
    return kind == PEER_GREETING_HELLO ? PEER_HELLO_BYTES : PEER_GREETING_HEADER_BYTES;
}

enum status peer_greeting_decode(struct bytes bytes, size_t *out_size, enum peer_greeting *out_kind)
{
    size_t begun = bytes.size < MAGIC_BYTES ? bytes.size : MAGIC_BYTES;
    if (begun > 0 && memcmp(bytes.data, magic, begun) != 0) {
        return STATUS_MALFORMED;
    }
    if (bytes.size < PEER_GREETING_HEADER_BYTES) {
        return STATUS_NEED;
    }
    uint32_t size = get_u32_le(bytes.data + AT_SIZE);
    unsigned kind = get_u16_le(bytes.data + AT_KIND);
    if (kind != PEER_GREETING_HELLO && kind != PEER_GREETING_REFUSED) {
        return STATUS_MALFORMED;
    }
    if (size < kind_size_min(kind) || size > PEER_GREETING_BYTES_MAX) {
        return STATUS_MALFORMED;
    }
    *out_size = size;
    *out_kind = (enum peer_greeting)kind;
    return STATUS_OK;
}

static void put_header(uint8_t *at, enum peer_greeting kind, uint16_t min, uint16_t max)
{
    memcpy(at + AT_MAGIC, magic, MAGIC_BYTES);
    put_u16_le(at + AT_KIND, (uint16_t)kind);
    put_u16_le(at + AT_VERSION_MIN, min);
    put_u16_le(at + AT_VERSION_MAX, max);
    put_u16_le(at + AT_ZERO, 0);
}

/* Last, as it covers all the rest. */
static void put_size_and_crc(uint8_t *at, size_t size)
{
    ensure(size <= PEER_GREETING_BYTES_MAX);
    put_u32_le(at + AT_SIZE, (uint32_t)size);
    put_u32_le(at + AT_CRC, crc32c(0, at + AT_KIND, size - AT_KIND));
}

/* The CRC does not cover the size, but a CRC over another size is another one. */
static bool is_intact(struct bytes greeting)
{
    ensure(greeting.size >= PEER_GREETING_HEADER_BYTES);
    uint32_t crc = crc32c(0, greeting.data + AT_KIND, greeting.size - AT_KIND);
    return get_u32_le(greeting.data + AT_CRC) == crc && get_u16_le(greeting.data + AT_ZERO) == 0;
}

static void put_marks(uint8_t out[MARKS_BYTES])
{
    const uint32_t order_mark = ORDER_MARK;
    memcpy(out, &order_mark, sizeof order_mark);
    memcpy(out + sizeof order_mark, &float_mark, sizeof float_mark);
}

static bool has_our_marks(const uint8_t *at)
{
    uint8_t ours[MARKS_BYTES];
    put_marks(ours);
    return bytes_equal(bytes_of(at, MARKS_BYTES), bytes_of(ours, MARKS_BYTES));
}

void peer_hello_encode(const struct peer_intro *intro, uint8_t out[PEER_HELLO_BYTES])
{
    memset(out, 0, PEER_HELLO_BYTES);
    put_header(out, PEER_GREETING_HELLO, intro->version_min, intro->version_max);
    put_marks(out + AT_ORDER);
    put_u32_le(out + AT_NUMBER, intro->about.number);
    put_u32_le(out + AT_TARGET, intro->target);
    put_u32_le(out + AT_COUNT, intro->count);
    put_u32_le(out + AT_INCARNATION, intro->about.incarnation);
    put_u64_le(out + AT_FEATURES, intro->features);
    memcpy(out + AT_NODE_ID, intro->about.node_id, PEER_ID_BYTES);
    memcpy(out + AT_CLUSTER_ID, intro->about.cluster_id, PEER_ID_BYTES);
    memcpy(out + AT_NONCE, intro->nonce, PEER_NONCE_BYTES);
    put_size_and_crc(out, PEER_HELLO_BYTES);
}

enum status peer_hello_decode(struct bytes bytes, struct peer_intro *out_intro)
{
    ensure(bytes.size >= PEER_HELLO_BYTES);
    if (!is_intact(bytes)) {
        return STATUS_MALFORMED;
    }
    const uint8_t *at = bytes.data;
    struct peer_intro intro = {
        .version_min = get_u16_le(at + AT_VERSION_MIN),
        .version_max = get_u16_le(at + AT_VERSION_MAX),
    };
    if (intro.version_min > intro.version_max) {
        return STATUS_MALFORMED;
    }
    if (intro.version_min > PEER_VERSION_MAX || intro.version_max < PEER_VERSION_MIN) {
        *out_intro = intro;
        return STATUS_UNSUPPORTED;
    }
    intro.is_same_machine = has_our_marks(at + AT_ORDER);
    intro.about.number = get_u32_le(at + AT_NUMBER);
    intro.target = get_u32_le(at + AT_TARGET);
    intro.count = get_u32_le(at + AT_COUNT);
    intro.about.incarnation = get_u32_le(at + AT_INCARNATION);
    intro.features = get_u64_le(at + AT_FEATURES);
    memcpy(intro.about.node_id, at + AT_NODE_ID, PEER_ID_BYTES);
    memcpy(intro.about.cluster_id, at + AT_CLUSTER_ID, PEER_ID_BYTES);
    memcpy(intro.nonce, at + AT_NONCE, PEER_NONCE_BYTES);
    *out_intro = intro;
    return STATUS_OK;
}

void peer_refused_encode(const char *reason, struct buf *out)
{
    size_t size = strlen(reason);
    size = size < PEER_REASON_BYTES_MAX ? size : PEER_REASON_BYTES_MAX;
    uint8_t *at = buf_reserve(out, PEER_GREETING_HEADER_BYTES + size);
    put_header(at, PEER_GREETING_REFUSED, PEER_VERSION_MIN, PEER_VERSION_MAX);
    buf_extend(out, PEER_GREETING_HEADER_BYTES);
    buf_append(out, reason, size);
    put_size_and_crc(at, PEER_GREETING_HEADER_BYTES + size);
}

enum status peer_refused_decode(struct bytes bytes, char out_reason[PEER_REASON_BYTES_MAX + 1])
{
    ensure(bytes.size >= PEER_GREETING_HEADER_BYTES);
    if (!is_intact(bytes)) {
        return STATUS_MALFORMED;
    }
    size_t size = bytes.size - PEER_GREETING_HEADER_BYTES;
    size = size < PEER_REASON_BYTES_MAX ? size : PEER_REASON_BYTES_MAX;
    for (size_t i = 0; i < size; i++) {
        char c = (char)bytes.data[PEER_GREETING_HEADER_BYTES + i];
        if (c < ' ' || c > '~') {
            c = '?';
        }
        out_reason[i] = c;
    }
    out_reason[size] = '\0';
    return STATUS_OK;
}

/* ---- frames ---------------------------------------------------------------------------------- */

uint64_t peer_session_key(const uint8_t dialler[PEER_NONCE_BYTES],
                          const uint8_t accepter[PEER_NONCE_BYTES])
{
    uint32_t one = crc32c(crc32c(0, dialler, PEER_NONCE_BYTES), accepter, PEER_NONCE_BYTES);
    uint32_t two = crc32c(crc32c(1, accepter, PEER_NONCE_BYTES), dialler, PEER_NONCE_BYTES);
    return (uint64_t)two << 32 | one;
}

uint32_t peer_frame_seed(uint64_t key, enum peer_direction direction, uint64_t frame_number)
{
    uint8_t place[17];
    put_u64_le(place, key);
    place[8] = (uint8_t)direction;
    put_u64_le(place + 9, frame_number);
    return crc32c(0, place, sizeof place);
}

static uint32_t header_crc(uint32_t seed, const uint8_t *header)
{
    return crc32c(seed, header, PEER_FRAME_HEADER_BYTES - 4);
}

/* The rule for both sides. */
static bool is_allowed(uint64_t size, unsigned kind, bool is_last)
{
    if (kind == PEER_FRAME_CONTROL) {
        return size == 0 && is_last;
    }
    return kind < PEER_CLASS_COUNT && size > 0 && size <= PEER_PAYLOAD_BYTES_MAX;
}

void peer_frame_encode(uint32_t seed,
                       unsigned kind,
                       bool is_last,
                       struct bytes payload,
                       uint8_t out_header[PEER_FRAME_HEADER_BYTES])
{
    ensure(is_allowed(payload.size, kind, is_last));
    put_u32_le(out_header, (uint32_t)payload.size);
    out_header[4] = (uint8_t)kind;
    out_header[5] = is_last ? FLAG_LAST : 0;
    put_u16_le(out_header + 6, 0);
    put_u32_le(out_header + 8, crc32c(seed, payload.data, payload.size));
    put_u32_le(out_header + 12, header_crc(seed, out_header));
}

enum status peer_frame_decode(uint32_t seed,
                              const uint8_t header[PEER_FRAME_HEADER_BYTES],
                              struct peer_frame *out_frame)
{
    if (get_u32_le(header + 12) != header_crc(seed, header)) {
        return STATUS_CORRUPT;
    }
    struct peer_frame frame = {
        .size = get_u32_le(header),
        .kind = header[4],
        .is_last = (header[5] & FLAG_LAST) != 0,
        .payload_crc = get_u32_le(header + 8),
    };
    bool has_unknown = (header[5] & ~FLAG_LAST) != 0 || get_u16_le(header + 6) != 0;
    if (has_unknown || !is_allowed(frame.size, frame.kind, frame.is_last)) {
        return STATUS_MALFORMED;
    }
    *out_frame = frame;
    return STATUS_OK;
}

enum status peer_frame_check(uint32_t seed, const struct peer_frame *frame, const uint8_t *payload)
{
    return crc32c(seed, payload, frame->size) == frame->payload_crc ? STATUS_OK : STATUS_CORRUPT;
}
