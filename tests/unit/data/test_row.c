#include "base/mem.h"
#include "base/prng.h"
#include "data/row.h"
#include "data/slot.h"
#include "harness.h"

#define KEYS 600u

static const struct keyspace space = {
    .group = 1,
    .generation = 0x01020304,
    .database = 3,
    .epoch = 5,
};

static struct buf row_of(const struct keyspace *s, struct bytes key)
{
    struct buf row;
    buf_init(&row, SIZE_MAX / 2);
    row_key_append(&row, s, key);
    return row;
}

/* ---- keys ------------------------------------------------------------------------------------ */

/* Group, generation, kind, database, epoch, slot, hash, the key with its zero escaped, the end. */
TEST(row_key_golden)
{
    static const uint8_t golden[] = {0x00, 0x01, 0x01, 0x02, 0x03, 0x04, 'o',  0x03,
                                     0x00, 0x00, 0x00, 0x05, 0x20, 0xbf, 0xd5, 0xa0,
                                     0x6c, 0xd0, 'a',  0x00, 0xff, 'b',  0x00, 0x00};
    struct buf row = row_of(&space, bytes_of("a\0b", 3));
    CHECK_BYTES(buf_bytes(&row), bytes_of(golden, sizeof golden));

    struct buf prefix;
    buf_init(&prefix, ROW_KEY_PREFIX_BYTES);
    row_key_append_prefix(&prefix, &space, 0x20bf, 0xd5a06cd0);
    CHECK_BYTES(buf_bytes(&prefix), bytes_of(golden, ROW_KEY_PREFIX_BYTES));
    buf_deinit(&prefix);
    buf_deinit(&row);
}

/* Group, generation, kind, database, epoch, expiry, slot, hash, the key as in an object's row. */
TEST(expiry_row_key_golden)
{
    static const uint8_t golden[] = {0x00, 0x01, 0x01, 0x02, 0x03, 0x04, 't',  0x03,
                                     0x00, 0x00, 0x00, 0x05, 0x11, 0x22, 0x33, 0x44,
                                     0x55, 0x66, 0x77, 0x88, 0x20, 0xbf, 0xd5, 0xa0,
                                     0x6c, 0xd0, 'a',  0x00, 0xff, 'b',  0x00, 0x00};
    struct buf row;
    struct buf from;
    struct buf begin;
    buf_init(&row, 64);
    buf_init(&from, 64);
    buf_init(&begin, 64);
    row_key_append_expiry(&row, &space, 0x1122334455667788, bytes_of("a\0b", 3));
    CHECK_BYTES(buf_bytes(&row), bytes_of(golden, sizeof golden));
    row_key_append_expiry_from(&from,
                               &space,
                               0x1122334455667788,
                               slot_of_key(bytes_of("a\0b", 3)),
                               row_key_hash(bytes_of("a\0b", 3)));
    CHECK_BYTES(buf_bytes(&from), bytes_of(golden, ROW_KEY_EXPIRY_PREFIX_BYTES));
    row_key_append_space(&begin, &space, ROW_KIND_EXPIRY);
    CHECK_BYTES(buf_bytes(&begin), bytes_of(golden, ROW_KEY_SPACE_BYTES));
    buf_deinit(&row);
    buf_deinit(&from);
    buf_deinit(&begin);
}

TEST(hash_golden)
{
    CHECK_EQ(row_key_hash(bytes_of_text("foo")), 0xab6e5f64u);
    CHECK_EQ(row_key_hash(bytes_of("a\0b", 3)), 0xd5a06cd0u);
    CHECK_EQ(row_key_hash(bytes_of_text("")), 0x2d068005u);
}

/* Short keys of few different bytes: many zeros, 0xff and prefixes of each other. */
static size_t random_key(struct prng *p, uint8_t out_key[8])
{
    static const uint8_t alphabet[] = {0x00, 0x00, 0xff, 0x01, 'a'};
    size_t size = (size_t)prng_below(p, 8);
    for (size_t i = 0; i < size; i++) {
        out_key[i] = alphabet[prng_below(p, sizeof alphabet)];
    }
    return size;
}

static void check_decodes(struct bytes row, const struct keyspace *s, struct bytes key)
{
    struct keyspace back = {0};
    struct buf key_back;
    buf_init(&key_back, 64);
    CHECK_EQ(row_key_decode(row, &back, &key_back), STATUS_OK);
    CHECK_EQ(back.group, s->group);
    CHECK_EQ(back.generation, s->generation);
    CHECK_EQ(back.database, s->database);
    CHECK_EQ(back.epoch, s->epoch);
    CHECK_BYTES(buf_bytes(&key_back), key);
    buf_deinit(&key_back);
}

/* DATA-1: back again, never two alike, and in the order of slot, hash, key. */
TEST(random_keys)
{
    struct prng prng;
    prng_init(&prng, 3);
    struct buf *rows = mem_alloc(KEYS * sizeof rows[0]);
    uint8_t(*keys)[8] = mem_alloc_zero(KEYS * sizeof keys[0]);
    size_t sizes[KEYS];
    for (size_t i = 0; i < KEYS; i++) {
        sizes[i] = random_key(&prng, keys[i]);
        rows[i] = row_of(&space, bytes_of(keys[i], sizes[i]));
        check_decodes(buf_bytes(&rows[i]), &space, bytes_of(keys[i], sizes[i]));
    }
    for (size_t i = 0; i < KEYS; i++) {
        for (size_t j = 0; j < i; j++) {
            struct bytes a = bytes_of(keys[i], sizes[i]);
            struct bytes b = bytes_of(keys[j], sizes[j]);
            int order = bytes_compare(buf_bytes(&rows[i]), buf_bytes(&rows[j]));
            CHECK_EQ(order == 0, bytes_equal(a, b));
            int slots = (int)slot_of_key(a) - (int)slot_of_key(b);
            if (slots != 0) {
                CHECK_EQ(order < 0, slots < 0);
            } else if (row_key_hash(a) == row_key_hash(b)) {
                CHECK_EQ(order < 0, bytes_compare(a, b) < 0);
            } else {
                CHECK_EQ(order < 0, row_key_hash(a) < row_key_hash(b));
            }
        }
    }
    for (size_t i = 0; i < KEYS; i++) {
        buf_deinit(&rows[i]);
    }
    mem_free(keys);
    mem_free(rows);
}

/* The parts of a keyspace weigh in this order; numbers sort as numbers. */
TEST(keyspaces_sort_before_keys)
{
    const struct keyspace ordered[] = {
        {.group = 0, .generation = 0xffffffff, .database = 15, .epoch = 0xffffffff},
        {.group = 1, .generation = 0x00ff, .database = 15, .epoch = 9},
        {.group = 1, .generation = 0x0100, .database = 0, .epoch = 0x01ff},
        {.group = 1, .generation = 0x0100, .database = 0, .epoch = 0x0200},
        {.group = 1, .generation = 0x0100, .database = 1, .epoch = 0},
        {.group = 0x0100, .generation = 0, .database = 0, .epoch = 0},
    };
    for (size_t i = 1; i < sizeof ordered / sizeof ordered[0]; i++) {
        struct buf low = row_of(&ordered[i - 1], bytes_of_text("zzz"));
        struct buf high = row_of(&ordered[i], bytes_of_text(""));
        CHECK(bytes_compare(buf_bytes(&low), buf_bytes(&high)) < 0);
        check_decodes(buf_bytes(&low), &ordered[i - 1], bytes_of_text("zzz"));
        buf_deinit(&low);
        buf_deinit(&high);
    }
}

/* Two keys of one slot and hash, made by hand: the shorter one first, zeros before all. */
TEST(escaped_order)
{
    const struct bytes ordered[] = {
        bytes_of("", 0),
        bytes_of("\0", 1),
        bytes_of("\0\0", 2),
        bytes_of("\0\1", 2),
        bytes_of("\1", 1),
        bytes_of("a", 1),
        bytes_of("a\0", 2),
        bytes_of("a\0\xff", 3),
        bytes_of("a\1", 2),
        bytes_of("a\xff", 2),
    };
    for (size_t i = 1; i < sizeof ordered / sizeof ordered[0]; i++) {
        struct buf low = row_of(&space, ordered[i - 1]);
        struct buf high = row_of(&space, ordered[i]);
        struct bytes a = bytes_of(low.data + ROW_KEY_PREFIX_BYTES, low.size - ROW_KEY_PREFIX_BYTES);
        struct bytes b =
            bytes_of(high.data + ROW_KEY_PREFIX_BYTES, high.size - ROW_KEY_PREFIX_BYTES);
        CHECK(bytes_compare(a, b) < 0);
        buf_deinit(&low);
        buf_deinit(&high);
    }
}

TEST(not_a_row_key)
{
    struct buf row = row_of(&space, bytes_of_text("k"));
    struct keyspace back = {0};
    struct buf key;
    buf_init(&key, 64);
    CHECK_EQ(row_key_decode(bytes_of(row.data, ROW_KEY_PREFIX_BYTES + 1), &back, &key),
             STATUS_MALFORMED);
    CHECK_EQ(row_key_decode(bytes_of(row.data, 0), &back, &key), STATUS_MALFORMED);
    row.data[6] = 'x';
    CHECK_EQ(row_key_decode(buf_bytes(&row), &back, &key), STATUS_MALFORMED);
    row.data[6] = 'o';
    CHECK_EQ(row_key_decode(buf_bytes(&row), &back, &key), STATUS_OK);
    row.data[row.size - 1] = 1; /* no end */
    CHECK_EQ(row_key_decode(buf_bytes(&row), &back, &key), STATUS_MALFORMED);
    row.data[row.size - 1] = 0;
    row.data[row.size - 2] = 1;
    CHECK_EQ(row_key_decode(buf_bytes(&row), &back, &key), STATUS_MALFORMED);
    row.data[row.size - 2] = 0;
    row.data[row.size - 3] = 0; /* a zero that is not escaped */
    CHECK_EQ(row_key_decode(buf_bytes(&row), &back, &key), STATUS_MALFORMED);
    buf_deinit(&key);
    buf_deinit(&row);
}

/* ---- head rows ------------------------------------------------------------------------------- */

TEST(head_row_keys_golden)
{
    static const uint8_t golden[] = {0x01,
                                     0x02,
                                     0x03,
                                     0x04,
                                     0x05,
                                     0x06,
                                     'd',
                                     0x0a,
                                     0x0b,
                                     0x0c,
                                     0x0d,
                                     0x11,
                                     0x12,
                                     0x13,
                                     0x14,
                                     0x15,
                                     0x16,
                                     0x17,
                                     0x18};
    static const uint8_t group[] = {0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 'g'};
    static const uint8_t end[] = {0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 'h'};
    struct buf key;
    buf_init(&key, 64);
    row_key_append_dup(&key, 0x0102, 0x03040506, 0x0a0b0c0d, 0x1112131415161718);
    CHECK_BYTES(buf_bytes(&key), bytes_of(golden, sizeof golden));
    buf_clear(&key, SIZE_MAX);
    row_key_append_generation(&key, 0x0102, 0x03040506);
    CHECK_BYTES(buf_bytes(&key), bytes_of(golden, ROW_GENERATION_BYTES));
    buf_clear(&key, SIZE_MAX);
    row_key_append_group(&key, 0x0102, 0x03040506);
    CHECK_BYTES(buf_bytes(&key), bytes_of(group, sizeof group));
    buf_clear(&key, SIZE_MAX);
    row_key_append_head_end(&key, 0x0102, 0x03040506);
    CHECK_BYTES(buf_bytes(&key), bytes_of(end, sizeof end));
    buf_deinit(&key);
}

TEST(dup_key_and_back)
{
    struct buf key;
    uint32_t node = 0;
    uint64_t sequence = 0;
    buf_init(&key, 64);
    row_key_append_dup(&key, 7, 8, UINT32_MAX - 1, UINT64_MAX - 2);
    CHECK_EQ(row_key_decode_dup(buf_bytes(&key), &node, &sequence), STATUS_OK);
    CHECK_EQ(node, UINT32_MAX - 1);
    CHECK_EQ(sequence, UINT64_MAX - 2);
    CHECK_EQ(row_key_decode_dup(bytes_of(key.data, key.size - 1), &node, &sequence),
             STATUS_MALFORMED);
    buf_append(&key, "", 1);
    CHECK_EQ(row_key_decode_dup(buf_bytes(&key), &node, &sequence), STATUS_MALFORMED);
    key.data[6] = 'g';
    CHECK_EQ(row_key_decode_dup(bytes_of(key.data, key.size - 1), &node, &sequence),
             STATUS_MALFORMED);
    buf_deinit(&key);
}

TEST(txn_key_golden_and_back)
{
    static const uint8_t golden[] = {0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 'e',  0x0a,
                                     0x0b, 0x0c, 0x0d, 0x1a, 0x1b, 0x1c, 0x1d, 0x11,
                                     0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18};
    struct buf key;
    uint32_t node = 0;
    uint32_t incarnation = 0;
    uint64_t sequence = 0;
    buf_init(&key, 64);
    row_key_append_txn(&key, 0x0102, 0x03040506, 0x0a0b0c0d, 0x1a1b1c1d, 0x1112131415161718);
    CHECK_BYTES(buf_bytes(&key), bytes_of(golden, sizeof golden));
    CHECK_EQ(row_key_decode_txn(buf_bytes(&key), &node, &incarnation, &sequence), STATUS_OK);
    CHECK_EQ(node, 0x0a0b0c0du);
    CHECK_EQ(incarnation, 0x1a1b1c1du);
    CHECK_EQ(sequence, 0x1112131415161718u);
    CHECK_EQ(row_key_decode_dup(buf_bytes(&key), &node, &sequence), STATUS_MALFORMED);
    struct bytes shorter = bytes_of(key.data, key.size - 1);
    CHECK_EQ(row_key_decode_txn(shorter, &node, &incarnation, &sequence), STATUS_MALFORMED);
    buf_append(&key, "", 1);
    CHECK_EQ(row_key_decode_txn(buf_bytes(&key), &node, &incarnation, &sequence), STATUS_MALFORMED);
    key.data[6] = 'd';
    shorter = bytes_of(key.data, key.size - 1);
    CHECK_EQ(row_key_decode_txn(shorter, &node, &incarnation, &sequence), STATUS_MALFORMED);
    buf_deinit(&key);
}

/* A gateway's own row before its others, those of the table before the group's, objects last. */
TEST(head_rows_come_first)
{
    struct buf keys[9];
    for (size_t i = 0; i < 9; i++) {
        buf_init(&keys[i], 64);
    }
    row_key_append_generation(&keys[0], 1, 0x01020304);
    row_key_append_dup(&keys[1], 1, 0x01020304, 1, 0);
    row_key_append_dup(&keys[2], 1, 0x01020304, 1, 0x100);
    row_key_append_dup(&keys[3], 1, 0x01020304, 0x100, 0);
    row_key_append_txn(&keys[4], 1, 0x01020304, 1, 0, 0);
    row_key_append_txn(&keys[5], 1, 0x01020304, 1, 1, 0);
    row_key_append_group(&keys[6], 1, 0x01020304);
    row_key_append_head_end(&keys[7], 1, 0x01020304);
    row_key_append_prefix(&keys[8], &(struct keyspace){.group = 1, .generation = 0x01020304}, 0, 0);
    for (size_t i = 1; i < 9; i++) {
        CHECK(bytes_compare(buf_bytes(&keys[i - 1]), buf_bytes(&keys[i])) < 0);
    }
    for (size_t i = 0; i < 9; i++) {
        buf_deinit(&keys[i]);
    }
}

/* ---- objects --------------------------------------------------------------------------------- */

TEST(object_golden_and_back)
{
    static const uint8_t golden[] = {
        1, 0, 0, 0, 0, 0, 0,    0,    0x09, 0x0a, 0,    0,    0,    0,    0,   0,    0x08, 0,
        0, 0, 0, 0, 0, 0, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 'v', 0x00, 'w'};
    struct object o = {
        .type = OBJECT_TYPE_STRING,
        .version = 0x0a09,
        .incarnation = 8,
        .expires_ms = 0x1122334455667788,
        .value = bytes_of("v\0w", 3),
    };
    uint8_t bytes[64];
    memset(bytes, 0xee, sizeof bytes);
    CHECK_EQ(object_size(&o), sizeof golden);
    object_encode(&o, bytes);
    CHECK_BYTES(bytes_of(bytes, sizeof golden), bytes_of(golden, sizeof golden));
    CHECK_EQ(bytes[sizeof golden], 0xee);

    struct object back = {0};
    CHECK_EQ(object_decode(bytes_of(golden, sizeof golden), &back), STATUS_OK);
    CHECK_EQ(back.type, OBJECT_TYPE_STRING);
    CHECK_EQ(back.version, o.version);
    CHECK_EQ(back.incarnation, o.incarnation);
    CHECK_EQ(back.expires_ms, o.expires_ms);
    CHECK_BYTES(back.value, o.value);
}

TEST(object_without_value_and_not_an_object)
{
    struct object o = {.type = OBJECT_TYPE_STRING, .version = 1, .incarnation = 1};
    uint8_t bytes[OBJECT_HEADER_BYTES];
    object_encode(&o, bytes);
    struct object back = {0};
    CHECK_EQ(object_decode(bytes_of(bytes, sizeof bytes), &back), STATUS_OK);
    CHECK_EQ(back.value.size, 0u);
    CHECK_EQ(object_decode(bytes_of(bytes, sizeof bytes - 1), &back), STATUS_CORRUPT);
    bytes[0] = 2;
    CHECK_EQ(object_decode(bytes_of(bytes, sizeof bytes), &back), STATUS_CORRUPT);
    bytes[0] = 1;
    bytes[1] = 1;
    CHECK_EQ(object_decode(bytes_of(bytes, sizeof bytes), &back), STATUS_CORRUPT);
}

/* ---- the expiry index ------------------------------------------------------------------------ */

static void check_decodes_expiry(struct bytes row, uint64_t expires_ms, struct bytes key)
{
    struct keyspace back = {0};
    uint64_t back_ms = 0;
    struct buf key_back;
    buf_init(&key_back, 64);
    CHECK_EQ(row_key_decode_expiry(row, &back, &back_ms, &key_back), STATUS_OK);
    CHECK_EQ(back.group, space.group);
    CHECK_EQ(back.generation, space.generation);
    CHECK_EQ(back.database, space.database);
    CHECK_EQ(back.epoch, space.epoch);
    CHECK_EQ(back_ms, expires_ms);
    CHECK_BYTES(buf_bytes(&key_back), key);
    buf_deinit(&key_back);
}

/* The sooner a key ends the earlier it stands, whatever it is called; and all behind the objects.
 */
TEST(expiry_rows_sort_by_time)
{
    struct prng prng;
    prng_init(&prng, 4);
    struct buf last;
    buf_init(&last, 64);
    row_key_append(&last, &space, bytes_of_text("zzz"));
    uint64_t expires_ms = 0;
    for (unsigned i = 0; i < KEYS; i++) {
        uint8_t key[8];
        size_t size = random_key(&prng, key);
        struct buf row;
        buf_init(&row, 64);
        expires_ms += prng_between(&prng, 1, 300);
        row_key_append_expiry(&row, &space, expires_ms, bytes_of(key, size));
        CHECK(bytes_compare(buf_bytes(&last), buf_bytes(&row)) < 0);
        check_decodes_expiry(buf_bytes(&row), expires_ms, bytes_of(key, size));
        buf_deinit(&last);
        last = row;
    }
    buf_deinit(&last);
}

TEST(not_an_expiry_row)
{
    struct buf row;
    struct buf key;
    struct keyspace back;
    uint64_t expires_ms = 0;
    buf_init(&row, 64);
    buf_init(&key, 64);
    row_key_append_expiry(&row, &space, 77, bytes_of("a\0", 2));
    for (size_t size = 0; size < row.size; size++) {
        enum status s = row_key_decode_expiry(bytes_of(row.data, size), &back, &expires_ms, &key);
        CHECK_EQ(s, STATUS_MALFORMED);
        CHECK_EQ(expires_ms, 0u);
    }
    row.data[28] = 0x01; /* behind the zero: neither a zero nor the end */
    CHECK_EQ(row_key_decode_expiry(buf_bytes(&row), &back, &expires_ms, &key), STATUS_MALFORMED);
    row.data[28] = 0xff;
    CHECK_EQ(row_key_decode_expiry(buf_bytes(&row), &back, &expires_ms, &key), STATUS_OK);
    row.data[6] = ROW_KIND_OBJECT;
    CHECK_EQ(row_key_decode_expiry(buf_bytes(&row), &back, &expires_ms, &key), STATUS_MALFORMED);
    buf_deinit(&row);
    buf_deinit(&key);
}
