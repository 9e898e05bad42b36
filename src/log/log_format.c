#include "log/log_format.h"

#include "base/assert.h"
#include "base/crc.h"
#include "base/endian.h"

static const uint8_t segment_magic[8] = {'D', 'G', 'O', 'N', 'G', 'L', 'O', 'G'};
#define BATCH_MAGIC 0x74614244u  /* "DBat" */
#define RECORD_MAGIC 0x63655244u /* "DRec" */

/*
 * Mixed with the segment's salt: recovery looks for records at every multiple of 8, and a value
 * full of magics would make it compute a CRC at each. Clients do not know the salt.
 */
static uint32_t record_magic(const struct log_place *place)
{
    return RECORD_MAGIC ^ (uint32_t)place->salt;
}

#define SEGMENT_CRC_AT 64u

enum batch_field {
    BATCH_CRC = 4,
    BATCH_NUMBER = 8,
    BATCH_SIZE = 16,
    BATCH_COUNT = 20,
    BATCH_FLAGS = 24,
    BATCH_SYNCED_SEGMENT = 32,
    BATCH_SYNCED_OFFSET = 40,
};

enum record_field {
    RECORD_CRC = 4,
    RECORD_SIZE = 8,
    RECORD_GROUP = 12,
    RECORD_KIND = 14,
    RECORD_TERM = 16,
    RECORD_INDEX = 24,
    RECORD_BATCH = 32,
};

#define ENTRY_OF .needs_index = true, .is_entry = true

static const struct log_kind_traits kinds[] = {
    [LOG_KIND_ENTRY] = {.name = "entry", ENTRY_OF, .may_have_payload = true},
    [LOG_KIND_BARRIER] = {.name = "barrier", ENTRY_OF},
    [LOG_KIND_CHANGE] = {.name = "change", ENTRY_OF, .may_have_payload = true},
    [LOG_KIND_STATE] = {.name = "state"},
    [LOG_KIND_COMMIT] = {.name = "commit", .needs_index = true},
    [LOG_KIND_GROUP] = {.name = "group", .may_have_payload = true},
    [LOG_KIND_INSTALL] = {.name = "install", .may_have_payload = true, .needs_index = true},
    [LOG_KIND_RELOCATED_ENTRY] = {.name = "relocated_entry", ENTRY_OF, .may_have_payload = true},
    [LOG_KIND_RELOCATED_BARRIER] = {.name = "relocated_barrier", ENTRY_OF},
    [LOG_KIND_RELOCATED_CHANGE] = {.name = "relocated_change", ENTRY_OF, .may_have_payload = true},
};

const struct log_kind_traits *log_kind_find(uint8_t kind)
{
    bool is_known = kind < sizeof kinds / sizeof kinds[0] && kinds[kind].name != NULL;
    return is_known ? &kinds[kind] : NULL;
}

enum status log_record_check(const struct log_record *r, uint64_t payload_size)
{
    const struct log_kind_traits *traits = log_kind_find(r->kind);
    if (traits == NULL) {
        return STATUS_UNSUPPORTED;
    }
    bool is_good =
        (traits->may_have_payload || payload_size == 0) && (!traits->needs_index || r->index > 0);
    return is_good ? STATUS_OK : STATUS_CORRUPT;
}

static uint32_t seeded(const struct log_place *place, uint64_t offset)
{
    uint8_t seed[24];
    put_u64_le(seed, place->segment);
    put_u64_le(seed + 8, place->salt);
    put_u64_le(seed + 16, offset);
    return crc32c(0, seed, sizeof seed);
}

void log_segment_header_encode(const struct log_segment_header *h, uint8_t *out_bytes)
{
    ensure(h->id > 0);
    memset(out_bytes, 0, LOG_SEGMENT_HEADER_BYTES);
    memcpy(out_bytes, segment_magic, sizeof segment_magic);
    put_u32_le(out_bytes + 8, LOG_FORMAT_VERSION);
    put_u32_le(out_bytes + 12, LOG_SEGMENT_HEADER_BYTES);
    put_u64_le(out_bytes + 16, h->id);
    put_u64_le(out_bytes + 24, h->batch_first);
    put_u64_le(out_bytes + 32, h->salt);
    memcpy(out_bytes + 40, h->node_id, LOG_NODE_ID_BYTES);
    put_u64_le(out_bytes + 56, h->size);
    put_u32_le(out_bytes + SEGMENT_CRC_AT, crc32c(0, out_bytes, SEGMENT_CRC_AT));
}

enum status log_segment_header_decode(const uint8_t *bytes, struct log_segment_header *out_header)
{
    if (memcmp(bytes, segment_magic, sizeof segment_magic) != 0 ||
        get_u32_le(bytes + SEGMENT_CRC_AT) != crc32c(0, bytes, SEGMENT_CRC_AT)) {
        return STATUS_MALFORMED;
    }
    if (get_u32_le(bytes + 8) != LOG_FORMAT_VERSION) {
        return STATUS_UNSUPPORTED;
    }
    *out_header = (struct log_segment_header){
        .id = get_u64_le(bytes + 16),
        .batch_first = get_u64_le(bytes + 24),
        .salt = get_u64_le(bytes + 32),
        .size = get_u64_le(bytes + 56),
    };
    memcpy(out_header->node_id, bytes + 40, LOG_NODE_ID_BYTES);
    return STATUS_OK;
}

void log_record_append(struct buf *batch, const struct log_record *r, struct bytes payload)
{
    ensure(payload.size <= UINT32_MAX);
    size_t size = (size_t)log_record_size(payload.size);
    uint8_t *to = buf_reserve(batch, size);
    memset(to, 0, LOG_RECORD_HEADER_BYTES);
    memset(to + size - 8, 0, 8);
    put_u32_le(to + RECORD_SIZE, (uint32_t)payload.size);
    put_u16_le(to + RECORD_GROUP, r->group);
    to[RECORD_KIND] = r->kind;
    put_u64_le(to + RECORD_TERM, r->term);
    put_u64_le(to + RECORD_INDEX, r->index);
    if (payload.size > 0) {
        memcpy(to + LOG_RECORD_HEADER_BYTES, payload.data, payload.size);
    }
    buf_extend(batch, size);
}

static void record_seal(uint8_t *record,
                        uint64_t batch,
                        const struct log_place *place,
                        uint64_t offset)
{
    put_u32_le(record, record_magic(place));
    put_u64_le(record + RECORD_BATCH, batch);
    uint32_t payload = get_u32_le(record + RECORD_SIZE);
    uint32_t crc = crc32c(seeded(place, offset),
                          record + RECORD_SIZE,
                          LOG_RECORD_HEADER_BYTES - RECORD_SIZE + payload);
    put_u32_le(record + RECORD_CRC, crc);
}

void log_batch_seal(uint8_t *batch,
                    const struct log_batch_header *h,
                    const struct log_place *place,
                    uint64_t offset)
{
    ensure(offset % 8 == 0 && h->size % 8 == 0);
    memset(batch, 0, LOG_BATCH_HEADER_BYTES);
    put_u32_le(batch, BATCH_MAGIC);
    put_u64_le(batch + BATCH_NUMBER, h->number);
    put_u32_le(batch + BATCH_SIZE, h->size);
    put_u32_le(batch + BATCH_COUNT, h->count);
    put_u32_le(batch + BATCH_FLAGS, h->flags);
    put_u64_le(batch + BATCH_SYNCED_SEGMENT, h->synced.segment);
    put_u64_le(batch + BATCH_SYNCED_OFFSET, h->synced.offset);
    uint32_t crc =
        crc32c(seeded(place, offset), batch + BATCH_NUMBER, LOG_BATCH_HEADER_BYTES - BATCH_NUMBER);
    put_u32_le(batch + BATCH_CRC, crc);

    uint64_t at = LOG_BATCH_HEADER_BYTES;
    uint64_t end = LOG_BATCH_HEADER_BYTES + (uint64_t)h->size;
    for (uint32_t i = 0; i < h->count; i++) {
        ensure(at < end);
        record_seal(batch + at, h->number, place, offset + at);
        at += log_record_size(get_u32_le(batch + at + RECORD_SIZE));
    }
    ensure(at == end);
}

bool log_batch_decode(const uint8_t *segment,
                      uint64_t size,
                      uint64_t offset,
                      const struct log_place *place,
                      struct log_batch_header *out_header)
{
    if (offset > size || size - offset < LOG_BATCH_HEADER_BYTES) {
        return false;
    }
    const uint8_t *p = segment + offset;
    if (get_u32_le(p) != BATCH_MAGIC) {
        return false;
    }
    uint32_t crc =
        crc32c(seeded(place, offset), p + BATCH_NUMBER, LOG_BATCH_HEADER_BYTES - BATCH_NUMBER);
    if (crc != get_u32_le(p + BATCH_CRC)) {
        return false;
    }
    *out_header = (struct log_batch_header){
        .number = get_u64_le(p + BATCH_NUMBER),
        .size = get_u32_le(p + BATCH_SIZE),
        .count = get_u32_le(p + BATCH_COUNT),
        .flags = get_u32_le(p + BATCH_FLAGS),
        .synced.segment = get_u64_le(p + BATCH_SYNCED_SEGMENT),
        .synced.offset = get_u64_le(p + BATCH_SYNCED_OFFSET),
    };
    return true;
}

bool log_record_decode(const uint8_t *segment,
                       uint64_t size,
                       uint64_t offset,
                       const struct log_place *place,
                       uint64_t *out_batch,
                       struct log_record *out_record,
                       struct bytes *out_payload)
{
    if (offset > size || size - offset < LOG_RECORD_HEADER_BYTES) {
        return false;
    }
    const uint8_t *p = segment + offset;
    uint32_t payload = get_u32_le(p + RECORD_SIZE);
    if (get_u32_le(p) != record_magic(place) || log_record_size(payload) > size - offset) {
        return false;
    }
    uint32_t crc = crc32c(seeded(place, offset),
                          p + RECORD_SIZE,
                          LOG_RECORD_HEADER_BYTES - RECORD_SIZE + payload);
    if (crc != get_u32_le(p + RECORD_CRC)) {
        return false;
    }
    *out_batch = get_u64_le(p + RECORD_BATCH);
    *out_record = (struct log_record){
        .group = get_u16_le(p + RECORD_GROUP),
        .kind = p[RECORD_KIND],
        .term = get_u64_le(p + RECORD_TERM),
        .index = get_u64_le(p + RECORD_INDEX),
    };
    *out_payload = bytes_of(p + LOG_RECORD_HEADER_BYTES, payload);
    return true;
}
