/* The golden bytes were computed by another program from the description in docs/disk-format.md. */
#include "base/endian.h"
#include "harness.h"
#include "log/log_format.h"

#define SEGMENT_BYTES 16384u
#define BATCH_AT 8192u

static const struct log_place place = {.segment = 3, .salt = 0x8877665544332211u};

static const char golden_segment[] = "44474f4e474c4f4701000000001000000300000000000000"
                                     "221100000000000011223344556677880001020304050607"
                                     "08090a0b0c0d0e0f0080000000000000ffe1ad0d";
static const char golden_batch[] = "444261741c516f3423110000000000005800000002000000"
                                   "000000000000000003000000000000000020000000000000"
                                   "557056275d0f7a2f05000000010001000100000000000000"
                                   "0700000000000000231100000000000068656c6c6f000000"
                                   "557056270abd0cd600000000030201005500000000000000"
                                   "08070605040302012311000000000000";
static const char golden_mark[] = "4442617467422ba524110000000000000000000000000000"
                                  "010000000000000003000000000000008020000000000000";

static const char golden_kinds[] = "444261740270d76e2311000000000000a800000004000000"
                                   "000000000000000003000000000000000020000000000000"
                                   "55705627c71551a400000000010002000200000000000000"
                                   "080000000000000023110000000000005570562749f26982"
                                   "030000000100030002000000000000000900000000000000"
                                   "2311000000000000636667000000000055705627e6bd0a5a"
                                   "000000000400040018171615141312110500000000000000"
                                   "2311000000000000557056270d1dc64c0000000004000500"
                                   "020000000000000028272625242322212311000000000000";

static const char golden_snapshot_kinds[] = "44426174a93e90932311000000000000e800000005000000"
                                            "000000000000000003000000000000000020000000000000"
                                            "557056277b2a1f5405000000010006000200000000000000"
                                            "0200010000000000231100000000000067726f7570000000"
                                            "557056270eed226404000000010007000300000000000000"
                                            "38373635343332312311000000000000696e737400000000"
                                            "55705627ad0f87eb05000000040008000200000000000000"
                                            "0700000000000000231100000000000068656c6c6f000000"
                                            "557056272790ba2700000000040009000200000000000000"
                                            "080000000000000023110000000000005570562728ff9325"
                                            "0300000004000a0002000000000000000900000000000000"
                                            "23110000000000006366670000000000";

static uint8_t segment[SEGMENT_BYTES];

static void check_hex(const uint8_t *bytes, const char *hex)
{
    size_t size = strlen(hex) / 2;
    struct buf text;
    buf_init(&text, SEGMENT_BYTES);
    for (size_t i = 0; i < size; i++) {
        buf_printf(&text, "%02x", (unsigned)bytes[i]);
    }
    CHECK_BYTES(buf_bytes(&text), bytes_of(hex, 2 * size));
    buf_deinit(&text);
}

static struct log_segment_header header_3(void)
{
    struct log_segment_header h = {
        .id = 3,
        .batch_first = 0x1122,
        .salt = place.salt,
        .size = 0x8000,
    };
    for (uint8_t i = 0; i < LOG_NODE_ID_BYTES; i++) {
        h.node_id[i] = i;
    }
    return h;
}

/* Puts the golden batch at BATCH_AT of the segment and returns its size. */
static size_t put_batch(void)
{
    struct buf batch;
    buf_init(&batch, SEGMENT_BYTES);
    memset(segment, 0, sizeof segment);
    (void)buf_reserve(&batch, LOG_BATCH_HEADER_BYTES);
    buf_extend(&batch, LOG_BATCH_HEADER_BYTES);
    struct log_record r = {.group = 1, .kind = LOG_KIND_ENTRY, .term = 1, .index = 7};
    log_record_append(&batch, &r, bytes_of_text("hello"));
    r = (struct log_record){
        .group = 0x0203,
        .kind = LOG_KIND_ENTRY,
        .term = 0x55,
        .index = 0x0102030405060708,
    };
    log_record_append(&batch, &r, bytes_of_text(""));
    struct log_batch_header h = {
        .number = 0x1123,
        .size = (uint32_t)(batch.size - LOG_BATCH_HEADER_BYTES),
        .count = 2,
        .synced = {.segment = 3, .offset = BATCH_AT},
    };
    log_batch_seal(batch.data, &h, &place, BATCH_AT);
    size_t size = batch.size;
    memcpy(segment + BATCH_AT, batch.data, size);
    buf_deinit(&batch);
    return size;
}

static bool batch_at(uint64_t offset, const struct log_place *at)
{
    struct log_batch_header h;
    return log_batch_decode(segment, SEGMENT_BYTES, offset, at, &h);
}

static bool record_at(uint64_t offset, const struct log_place *at)
{
    uint64_t batch = 0;
    struct log_record r;
    struct bytes payload;
    return log_record_decode(segment, SEGMENT_BYTES, offset, at, &batch, &r, &payload);
}

/* ---- segment header -------------------------------------------------------------------------- */

TEST(segment_header_golden_and_back)
{
    struct log_segment_header h = header_3();
    memset(segment, 0xee, sizeof segment);
    log_segment_header_encode(&h, segment);
    check_hex(segment, golden_segment);
    for (size_t i = sizeof golden_segment / 2; i < LOG_SEGMENT_HEADER_BYTES; i++) {
        CHECK_EQ(segment[i], 0);
    }
    CHECK_EQ(segment[LOG_SEGMENT_HEADER_BYTES], 0xee);

    struct log_segment_header back = {0};
    CHECK_EQ(log_segment_header_decode(segment, &back), STATUS_OK);
    CHECK_EQ(back.id, 3u);
    CHECK_EQ(back.batch_first, 0x1122u);
    CHECK_EQ(back.salt, place.salt);
    CHECK_EQ(back.size, 0x8000u);
    CHECK_BYTES(bytes_of(back.node_id, LOG_NODE_ID_BYTES), bytes_of(h.node_id, LOG_NODE_ID_BYTES));
}

TEST(segment_header_notices_every_bit)
{
    struct log_segment_header h = header_3();
    log_segment_header_encode(&h, segment);
    for (size_t bit = 0; bit < 8 * (sizeof golden_segment / 2); bit++) {
        segment[bit / 8] ^= (uint8_t)(1u << bit % 8);
        struct log_segment_header back = {.id = 99};
        CHECK_EQ(log_segment_header_decode(segment, &back), STATUS_MALFORMED);
        CHECK_EQ(back.id, 99u);
        segment[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

/* ---- batches --------------------------------------------------------------------------------- */

TEST(batch_golden_and_back)
{
    size_t size = put_batch();
    CHECK_EQ(size, sizeof golden_batch / 2);
    check_hex(segment + BATCH_AT, golden_batch);

    struct log_batch_header h;
    CHECK(log_batch_decode(segment, SEGMENT_BYTES, BATCH_AT, &place, &h));
    CHECK_EQ(h.number, 0x1123u);
    CHECK_EQ(h.size, size - LOG_BATCH_HEADER_BYTES);
    CHECK_EQ(h.count, 2u);
    CHECK_EQ(h.flags, 0u);
    CHECK_EQ(h.synced.segment, 3u);
    CHECK_EQ(h.synced.offset, BATCH_AT);
}

TEST(records_and_back)
{
    (void)put_batch();
    uint64_t batch = 0;
    struct log_record r;
    struct bytes payload;
    uint64_t at = BATCH_AT + LOG_BATCH_HEADER_BYTES;
    CHECK(log_record_decode(segment, SEGMENT_BYTES, at, &place, &batch, &r, &payload));
    CHECK_EQ(batch, 0x1123u);
    CHECK_EQ(r.group, 1);
    CHECK_EQ(r.kind, LOG_KIND_ENTRY);
    CHECK_EQ(r.term, 1u);
    CHECK_EQ(r.index, 7u);
    CHECK_BYTES(payload, bytes_of_text("hello"));

    at += log_record_size(5);
    CHECK(log_record_decode(segment, SEGMENT_BYTES, at, &place, &batch, &r, &payload));
    CHECK_EQ(r.group, 0x0203);
    CHECK_EQ(r.term, 0x55u);
    CHECK_EQ(r.index, 0x0102030405060708u);
    CHECK_EQ(payload.size, 0u);
}

/* ---- kinds of records ------------------------------------------------------------------------ */

struct sample {
    struct log_record record;
    const char *payload;
};

static const struct sample others[] = {
    {{.group = 1, .kind = LOG_KIND_BARRIER, .term = 2, .index = 8}, ""},
    {{.group = 1, .kind = LOG_KIND_CHANGE, .term = 2, .index = 9}, "cfg"},
    {{.group = 4, .kind = LOG_KIND_STATE, .term = 0x1112131415161718, .index = 5}, ""},
    {{.group = 4, .kind = LOG_KIND_COMMIT, .term = 2, .index = 0x2122232425262728}, ""},
};

static const struct sample snapshot_kinds[] = {
    {{.group = 1, .kind = LOG_KIND_GROUP, .term = 2, .index = 0x10002}, "group"},
    {{.group = 1, .kind = LOG_KIND_INSTALL, .term = 3, .index = 0x3132333435363738}, "inst"},
    {{.group = 4, .kind = LOG_KIND_RELOCATED_ENTRY, .term = 2, .index = 7}, "hello"},
    {{.group = 4, .kind = LOG_KIND_RELOCATED_BARRIER, .term = 2, .index = 8}, ""},
    {{.group = 4, .kind = LOG_KIND_RELOCATED_CHANGE, .term = 2, .index = 9}, "cfg"},
};

static void check_golden(const struct sample *samples, uint32_t count, const char *golden)
{
    struct buf batch;
    buf_init(&batch, SEGMENT_BYTES);
    memset(segment, 0, sizeof segment);
    (void)buf_reserve(&batch, LOG_BATCH_HEADER_BYTES);
    buf_extend(&batch, LOG_BATCH_HEADER_BYTES);
    for (size_t i = 0; i < count; i++) {
        log_record_append(&batch, &samples[i].record, bytes_of_text(samples[i].payload));
    }
    struct log_batch_header h = {
        .number = 0x1123,
        .size = (uint32_t)(batch.size - LOG_BATCH_HEADER_BYTES),
        .count = count,
        .synced = {.segment = 3, .offset = BATCH_AT},
    };
    log_batch_seal(batch.data, &h, &place, BATCH_AT);
    memcpy(segment + BATCH_AT, batch.data, batch.size);
    CHECK_EQ(batch.size, strlen(golden) / 2);
    check_hex(segment + BATCH_AT, golden);
    buf_deinit(&batch);

    uint64_t at = BATCH_AT + LOG_BATCH_HEADER_BYTES;
    for (size_t i = 0; i < count; i++) {
        uint64_t number = 0;
        struct log_record r;
        struct bytes payload;
        CHECK(log_record_decode(segment, SEGMENT_BYTES, at, &place, &number, &r, &payload));
        CHECK_EQ(r.group, samples[i].record.group);
        CHECK_EQ(r.kind, samples[i].record.kind);
        CHECK_EQ(r.term, samples[i].record.term);
        CHECK_EQ(r.index, samples[i].record.index);
        CHECK_BYTES(payload, bytes_of_text(samples[i].payload));
        at += log_record_size(payload.size);
    }
}

TEST(other_kinds_golden_and_back)
{
    check_golden(others, sizeof others / sizeof others[0], golden_kinds);
}

TEST(snapshot_kinds_golden_and_back)
{
    check_golden(snapshot_kinds,
                 sizeof snapshot_kinds / sizeof snapshot_kinds[0],
                 golden_snapshot_kinds);
}

/* Numbers, names and what they may hold: all of it is on disk. */
TEST(kinds_golden)
{
    static const struct {
        uint8_t kind;
        const char *name;
        enum status without_index;
        enum status with_payload;
        bool is_entry;
    } golden[] = {
        {1, "entry", STATUS_CORRUPT, STATUS_OK, true},
        {2, "barrier", STATUS_CORRUPT, STATUS_CORRUPT, true},
        {3, "change", STATUS_CORRUPT, STATUS_OK, true},
        {4, "state", STATUS_OK, STATUS_CORRUPT, false},
        {5, "commit", STATUS_CORRUPT, STATUS_CORRUPT, false},
        {6, "group", STATUS_OK, STATUS_OK, false},
        {7, "install", STATUS_CORRUPT, STATUS_OK, false},
        {8, "relocated_entry", STATUS_CORRUPT, STATUS_OK, true},
        {9, "relocated_barrier", STATUS_CORRUPT, STATUS_CORRUPT, true},
        {10, "relocated_change", STATUS_CORRUPT, STATUS_OK, true},
    };
    for (size_t i = 0; i < sizeof golden / sizeof golden[0]; i++) {
        CHECK_TEXT(log_kind_find(golden[i].kind)->name, golden[i].name);
        CHECK_EQ(log_kind_find(golden[i].kind)->is_entry, golden[i].is_entry);
        struct log_record r = {.kind = golden[i].kind, .term = 1, .index = 1};
        CHECK_EQ(log_record_check(&r, 0), STATUS_OK);
        CHECK_EQ(log_record_check(&r, 1), golden[i].with_payload);
        r.index = 0;
        CHECK_EQ(log_record_check(&r, 0), golden[i].without_index);
    }
}

TEST(unknown_kinds_are_of_a_newer_version)
{
    for (unsigned kind = 0; kind <= UINT8_MAX; kind = kind == 0 ? 11 : kind + 1) {
        struct log_record r = {.kind = (uint8_t)kind, .term = 1, .index = 1};
        CHECK(log_kind_find((uint8_t)kind) == NULL);
        CHECK_EQ(log_record_check(&r, 0), STATUS_UNSUPPORTED);
    }
}

TEST(record_sizes_are_aligned)
{
    CHECK_EQ(log_record_size(0), 40u);
    CHECK_EQ(log_record_size(1), 48u);
    CHECK_EQ(log_record_size(8), 48u);
    CHECK_EQ(log_record_size(9), 56u);
    CHECK_EQ(log_record_size(UINT32_MAX), 4294967336u);
}

TEST(mark_golden)
{
    struct log_batch_header h = {
        .number = 0x1124,
        .flags = LOG_BATCH_MARK,
        .synced = {.segment = 3, .offset = 8320},
    };
    log_batch_seal(segment + 8320, &h, &place, 8320);
    check_hex(segment + 8320, golden_mark);
    CHECK(batch_at(8320, &place));
}

TEST(batch_header_notices_every_bit)
{
    (void)put_batch();
    for (size_t bit = 0; bit < 8 * LOG_BATCH_HEADER_BYTES; bit++) {
        uint8_t *byte = segment + BATCH_AT + bit / 8;
        *byte ^= (uint8_t)(1u << bit % 8);
        CHECK(!batch_at(BATCH_AT, &place));
        *byte ^= (uint8_t)(1u << bit % 8);
    }
    CHECK(batch_at(BATCH_AT, &place));
}

/* Three bytes of padding behind "hello" are nobody's. */
TEST(record_notices_every_bit)
{
    (void)put_batch();
    uint64_t at = BATCH_AT + LOG_BATCH_HEADER_BYTES;
    for (size_t bit = 0; bit < (size_t)8 * (LOG_RECORD_HEADER_BYTES + 5); bit++) {
        segment[at + bit / 8] ^= (uint8_t)(1u << bit % 8);
        CHECK(!record_at(at, &place));
        segment[at + bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    CHECK(record_at(at, &place));
}

/* ---- places ---------------------------------------------------------------------------------- */

TEST(valid_only_at_its_place)
{
    size_t size = put_batch();
    uint64_t record = BATCH_AT + LOG_BATCH_HEADER_BYTES;
    CHECK(batch_at(BATCH_AT, &place));
    CHECK(record_at(record, &place));

    struct log_place other_segment = {.segment = 4, .salt = place.salt};
    struct log_place other_salt = {.segment = 3, .salt = place.salt + 1};
    CHECK(!batch_at(BATCH_AT, &other_segment));
    CHECK(!record_at(record, &other_segment));
    CHECK(!batch_at(BATCH_AT, &other_salt));
    CHECK(!record_at(record, &other_salt));

    for (uint64_t move = 8; move <= 4096; move *= 2) {
        memmove(segment + BATCH_AT + move, segment + BATCH_AT, size);
        CHECK(!batch_at(BATCH_AT + move, &place));
        CHECK(!record_at(record + move, &place));
        (void)put_batch();
    }
}

/* Whatever size says: nothing behind the end of the segment is read. */
TEST(ends_of_the_segment)
{
    (void)put_batch();
    struct log_batch_header h;
    uint64_t batch = 0;
    struct log_record r;
    struct bytes payload;
    uint64_t at = BATCH_AT + LOG_BATCH_HEADER_BYTES;
    uint64_t end = at + log_record_size(5);
    CHECK(log_batch_decode(segment, at, BATCH_AT, &place, &h));
    CHECK(!log_batch_decode(segment, at - 1, BATCH_AT, &place, &h));
    CHECK(!log_batch_decode(segment, BATCH_AT, BATCH_AT, &place, &h));
    CHECK(!log_batch_decode(segment, BATCH_AT - 8, BATCH_AT, &place, &h));
    CHECK(log_record_decode(segment, end, at, &place, &batch, &r, &payload));
    CHECK(!log_record_decode(segment, end - 1, at, &place, &batch, &r, &payload));
    CHECK(!log_record_decode(segment, at + 39, at, &place, &batch, &r, &payload));
    CHECK(!log_record_decode(segment, at - 8, at, &place, &batch, &r, &payload));

    put_u32_le(segment + at + 8, UINT32_MAX); /* a payload size that nobody wrote */
    CHECK(!log_record_decode(segment, SEGMENT_BYTES, at, &place, &batch, &r, &payload));
}
