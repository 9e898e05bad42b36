/* Messages that carry a group's state: golden bytes, and what is no such message. */
#include "base/crc.h"
#include "base/endian.h"
#include "base/mem.h"
#include "harness.h"
#include "shard/snapshot_message.h"

#define HEADER                                                                                     \
    0x08, 0x01, 0x03, 0x02,                             /* kind, version, group 0x0203 */          \
        0x02, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, /* sender: node 2, life 1 */               \
        0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00  /* receiver: node 3, life 0 */
#define SESSION 0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11

#define MESSAGE_BYTES 4096u

static struct snapshot_message message_of(enum snapshot_type type)
{
    return (struct snapshot_message){
        .route = {.group = 0x0203, .sender = replica_id_of(2, 1), .receiver = replica_id_of(3, 0)},
        .type = type,
        .session = 0x1112131415161718u,
    };
}

static struct snapshot_message offer_of(void)
{
    struct snapshot_message m = message_of(SNAPSHOT_OFFER);
    m.base = (struct replica_base){
        .index = 0x0a0b,
        .term = 7,
        .config = {.index = 5,
                   .count = 2,
                   .members = {{.id = 0x010002, .is_voter = true}, {.id = 3}}},
    };
    return m;
}

static void check_encoding(const struct snapshot_message *m, struct bytes golden)
{
    struct buf out;
    buf_init(&out, MESSAGE_BYTES);
    snapshot_message_encode(m, &out);
    CHECK_BYTES(buf_bytes(&out), golden);
    struct snapshot_message again;
    CHECK_EQ(snapshot_message_decode(golden, &again), STATUS_OK);
    CHECK_EQ(again.type, m->type);
    CHECK_EQ(again.session, m->session);
    CHECK_EQ(again.route.group, m->route.group);
    CHECK_EQ(again.route.sender, m->route.sender);
    CHECK_EQ(again.route.receiver, m->route.receiver);
    CHECK_EQ(again.number, m->number);
    CHECK_EQ(again.base.index, m->base.index);
    CHECK_EQ(again.base.term, m->base.term);
    CHECK_EQ(again.base.config.index, m->base.config.index);
    CHECK_EQ(again.base.config.count, m->base.config.count);
    buf_deinit(&out);
}

TEST(golden_offer)
{
    static const uint8_t golden[] = {
        HEADER,  0x01, 0x00, 0x00, 0x00,                         /* type, flags, zeros */
        SESSION, 0x0b, 0x0a, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* index */
        0x07,    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,       /* term */
        0x05,    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,       /* configuration: index */
        0x01,    0x02,                                           /* version, members */
        0x02,    0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, /* a voter */
        0x03,    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    };
    struct snapshot_message m = offer_of();
    check_encoding(&m, bytes_of(golden, sizeof golden));
}

TEST(golden_pull)
{
    /* clang-format off */
    static const uint8_t golden[] = {
        HEADER,  0x02, 0x00, 0x00, 0x00,                         /* type, flags, zeros */
        SESSION, 0x28, 0x27, 0x26, 0x25, 0x24, 0x23, 0x22, 0x21, /* number */
    };
    /* clang-format on */
    struct snapshot_message m = message_of(SNAPSHOT_PULL);
    m.number = 0x2122232425262728u;
    check_encoding(&m, bytes_of(golden, sizeof golden));
}

TEST(golden_of_those_without_a_body)
{
    static const enum snapshot_type types[] = {
        SNAPSHOT_STAGED,
        SNAPSHOT_REFUSED,
        SNAPSHOT_ENDED,
        SNAPSHOT_ALIVE,
    };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        uint8_t golden[] = {HEADER, (uint8_t)(4 + i), 0x00, 0x00, 0x00, SESSION};
        struct snapshot_message m = message_of(types[i]);
        check_encoding(&m, bytes_of(golden, sizeof golden));
    }
}

static void encode_chunk(struct buf *out, const char *const *rows, unsigned count, bool is_last)
{
    struct snapshot_message m = message_of(SNAPSHOT_CHUNK);
    m.number = 9;
    m.is_last = is_last;
    buf_init(out, MESSAGE_BYTES);
    snapshot_chunk_start(out);
    for (unsigned i = 0; i < count; i++) {
        snapshot_chunk_add(out, bytes_of_text(rows[2 * i]), bytes_of_text(rows[2 * i + 1]));
    }
    snapshot_chunk_finish(out, &m);
}

static const char *const two_rows[] = {"gk", "value", "o", ""};

TEST(golden_chunk)
{
    static const uint8_t golden[] = {
        HEADER,  0x03, 0x01, 0x00, 0x00,                         /* type, the last one, zeros */
        SESSION, 0x09, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* number */
        0x02,    0x00, 0x00, 0x00,                               /* rows */
        0x98,    0x51, 0xd4, 0x62,                               /* CRC-32C of all else */
        0x02,    0x00, 0x00, 0x00, 0x05, 0x00, 0x00, 0x00, 'g',  'k',  'v',  'a',
        'l',     'u',  'e',  0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 'o',
    };
    struct buf out;
    encode_chunk(&out, two_rows, 2, true);
    CHECK_BYTES(buf_bytes(&out), bytes_of(golden, sizeof golden));
    struct snapshot_message m;
    CHECK_EQ(snapshot_message_decode(buf_bytes(&out), &m), STATUS_OK);
    CHECK_EQ(snapshot_chunk_check(buf_bytes(&out), 1000), STATUS_OK);
    CHECK_EQ(m.type, SNAPSHOT_CHUNK);
    CHECK_EQ(m.number, 9u);
    CHECK(m.is_last);
    struct bytes key;
    struct bytes value;
    for (unsigned i = 0; i < 2; i++) {
        CHECK(snapshot_next_row(&m.rows, &key, &value));
        CHECK_BYTES(key, bytes_of_text(two_rows[2 * i]));
        CHECK_BYTES(value, bytes_of_text(two_rows[2 * i + 1]));
    }
    CHECK(!snapshot_next_row(&m.rows, &key, &value));
    buf_deinit(&out);
}

/* Each bit of a chunk counts: no flipped one goes through. */
TEST(any_flipped_bit_of_a_chunk_is_found)
{
    struct buf out;
    encode_chunk(&out, two_rows, 2, false);
    for (size_t bit = 0; bit < out.size * 8; bit++) {
        out.data[bit / 8] = (uint8_t)(out.data[bit / 8] ^ (1u << (bit % 8)));
        struct snapshot_message m;
        bool is_taken = snapshot_message_decode(buf_bytes(&out), &m) == STATUS_OK &&
                        m.type == SNAPSHOT_CHUNK &&
                        snapshot_chunk_check(buf_bytes(&out), 1000) == STATUS_OK;
        CHECK(!is_taken);
        out.data[bit / 8] = (uint8_t)(out.data[bit / 8] ^ (1u << (bit % 8)));
    }
    CHECK_EQ(snapshot_chunk_check(buf_bytes(&out), 1000), STATUS_OK);
    buf_deinit(&out);
}

static void check_malformed(struct bytes bytes)
{
    struct snapshot_message m = {.session = 77};
    CHECK_EQ(snapshot_message_decode(bytes, &m), STATUS_MALFORMED);
    CHECK_EQ(m.session, 77u); /* untouched */
}

/* With its length, or one byte more or less of it. */
TEST(sizes_are_exact)
{
    static const enum snapshot_type types[] = {
        SNAPSHOT_PULL,
        SNAPSHOT_STAGED,
        SNAPSHOT_REFUSED,
        SNAPSHOT_ENDED,
        SNAPSHOT_ALIVE,
        SNAPSHOT_OFFER,
    };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct snapshot_message m = offer_of();
        m.type = types[i];
        struct buf out;
        buf_init(&out, MESSAGE_BYTES);
        snapshot_message_encode(&m, &out);
        size_t size = out.size;
        for (size_t shorter = 0; shorter < size; shorter++) {
            check_malformed(bytes_of(out.data, shorter));
        }
        buf_append(&out, "", 1);
        check_malformed(buf_bytes(&out));
        buf_deinit(&out);
    }
}

/* One changed byte of a good message makes it none. */
static void check_changed(const struct snapshot_message *m, size_t at, uint8_t value)
{
    struct buf out;
    buf_init(&out, MESSAGE_BYTES);
    snapshot_message_encode(m, &out);
    CHECK(out.data[at] != value);
    out.data[at] = value;
    check_malformed(buf_bytes(&out));
    buf_deinit(&out);
}

TEST(what_no_node_sends_is_malformed)
{
    struct snapshot_message m = offer_of();
    check_changed(&m, 0, 7);  /* kind */
    check_changed(&m, 1, 2);  /* version */
    check_changed(&m, 20, 0); /* type */
    check_changed(&m, 20, 8); /* type */
    check_changed(&m, 21, 1); /* flags */
    check_changed(&m, 22, 1); /* zeros */
    check_changed(&m, 40, 0); /* term 0 */
    check_changed(&m, 48, 0); /* no configuration */
    check_changed(&m, 57, 0); /* no members */
    check_changed(&m, 66, 0); /* no voter */
    m.base.index = 4;         /* the configuration is from behind the state */
    struct buf out;
    buf_init(&out, MESSAGE_BYTES);
    snapshot_message_encode(&m, &out);
    check_malformed(buf_bytes(&out));
    buf_deinit(&out);
}

/* A chunk whose bytes at `at` are others, with the right checksum for them. */
static enum status check_of_changed(const struct buf *chunk, size_t at, uint32_t value)
{
    struct buf copy;
    buf_init(&copy, MESSAGE_BYTES);
    buf_append_bytes(&copy, buf_bytes(chunk));
    put_u32_le(copy.data + at, value);
    uint32_t crc = crc32c(0, copy.data, 44);
    put_u32_le(copy.data + 44, crc32c(crc, copy.data + 48, copy.size - 48));
    enum status status = snapshot_chunk_check(buf_bytes(&copy), 1000);
    buf_deinit(&copy);
    return status;
}

TEST(rows_that_do_not_fit_their_chunk)
{
    struct buf out;
    encode_chunk(&out, two_rows, 2, true);
    CHECK_EQ(check_of_changed(&out, 40, 2), STATUS_OK);
    CHECK_EQ(check_of_changed(&out, 40, 1), STATUS_MALFORMED);          /* a row too many */
    CHECK_EQ(check_of_changed(&out, 40, 3), STATUS_MALFORMED);          /* one too few */
    CHECK_EQ(check_of_changed(&out, 40, UINT32_MAX), STATUS_MALFORMED); /* costs nothing */
    CHECK_EQ(check_of_changed(&out, 48, 0), STATUS_MALFORMED);          /* no key */
    CHECK_EQ(check_of_changed(&out, 48, UINT32_MAX), STATUS_MALFORMED);
    CHECK_EQ(check_of_changed(&out, 52, UINT32_MAX), STATUS_MALFORMED);
    CHECK_EQ(check_of_changed(&out, 52, 6), STATUS_MALFORMED);
    buf_deinit(&out);
}

/* Only the last chunk may be empty: another one would go on for ever. */
TEST(an_empty_chunk_is_the_last_one)
{
    struct buf out;
    encode_chunk(&out, NULL, 0, true);
    CHECK_EQ(snapshot_chunk_check(buf_bytes(&out), 0), STATUS_OK);
    buf_deinit(&out);
    encode_chunk(&out, NULL, 0, false);
    CHECK_EQ(snapshot_chunk_check(buf_bytes(&out), 0), STATUS_MALFORMED);
    buf_deinit(&out);
}

/* The rows before the last one count: 7 bytes here. */
TEST(a_chunk_is_bounded)
{
    struct buf out;
    encode_chunk(&out, two_rows, 2, true);
    CHECK_EQ(snapshot_chunk_check(buf_bytes(&out), 7), STATUS_OK);
    CHECK_EQ(snapshot_chunk_check(buf_bytes(&out), 6), STATUS_MALFORMED);
    buf_deinit(&out);
}
