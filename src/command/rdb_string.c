/*
 * The value is an integer in 1, 2 or 4 bytes, or a length and its bytes, or these compressed by
 * LZF. Compression always gives the same bytes for the same value, though liblzf does not clear its
 * table: the first occurrence of any three bytes is entered, so what is left there from before
 * cannot match.
 */
#include "command/rdb_string.h"

#include <lzf.h>

#include "base/assert.h"
#include "base/crc.h"
#include "base/endian.h"
#include "base/limits.h"

#define RDB_VERSION 10u
#define FOOTER_BYTES 10u
#define FOOTER_CRC_BYTES 8u

#define TYPE_STRING 0u
#define TYPE_LAST 19u
#define TYPE_UNUSED 8u

/* The two high bits of the first byte of a length say what the others are. */
enum length_form {
    LENGTH_6_BITS,
    LENGTH_14_BITS, /* with the next byte, big-endian */
    LENGTH_WIDE,    /* big-endian in the next 4 or 8 bytes */
    LENGTH_ENCODED, /* no length: the low bits are an enum encoding */
};

#define LENGTH_FORM_SHIFT 6u
#define LENGTH_LOW_BITS 0x3fu
#define LENGTH_6_BITS_END 64u
#define LENGTH_14_BITS_END 16384u
#define LENGTH_32_BITS 0x80u
#define LENGTH_64_BITS 0x81u

enum encoding {
    ENCODING_INT8,
    ENCODING_INT16,
    ENCODING_INT32,
    ENCODING_LZF,
};

/* No integer that is longer as text fits 32 bits. */
#define INTEGER_TEXT_BYTES_MAX 11u
/* Shorter strings are not compressed, nor those that do not get shorter by this much. */
#define LZF_BYTES_MIN 21u
#define LZF_BYTES_SAVED 4u
/* Three bytes of LZF stand for at most 264 bytes, and no others for more. */
#define LZF_GROWTH_MAX 88u

/* ---- writing --------------------------------------------------------------------------------- */

static void append_byte(struct buf *out, unsigned byte)
{
    uint8_t b = (uint8_t)byte;
    buf_append(out, &b, 1);
}

static void append_length(struct buf *out, size_t length)
{
    ensure(length <= UINT32_MAX);
    if (length < LENGTH_6_BITS_END) {
        append_byte(out, (unsigned)length);
    } else if (length < LENGTH_14_BITS_END) {
        append_byte(out, (LENGTH_14_BITS << LENGTH_FORM_SHIFT) | (unsigned)(length >> 8));
        append_byte(out, (unsigned)length & UINT8_MAX);
    } else {
        append_byte(out, LENGTH_32_BITS);
        put_u32_be(buf_reserve(out, sizeof(uint32_t)), (uint32_t)length);
        buf_extend(out, sizeof(uint32_t));
    }
}

static void append_encoding(struct buf *out, enum encoding encoding)
{
    append_byte(out, (LENGTH_ENCODED << LENGTH_FORM_SHIFT) | (unsigned)encoding);
}

/* False: the value is not the text of an integer of 32 bits. */
static bool append_integer(struct buf *out, struct bytes value)
{
    int64_t number = 0;
    if (value.size > INTEGER_TEXT_BYTES_MAX || !bytes_to_i64(value, &number) ||
        number < INT32_MIN || number > INT32_MAX) {
        return false;
    }
    enum encoding encoding = ENCODING_INT32;
    if (number >= INT8_MIN && number <= INT8_MAX) {
        encoding = ENCODING_INT8;
    } else if (number >= INT16_MIN && number <= INT16_MAX) {
        encoding = ENCODING_INT16;
    }
    append_encoding(out, encoding);
    uint8_t bytes[sizeof(uint32_t)];
    put_u32_le(bytes, (uint32_t)(int32_t)number);
    buf_append(out, bytes, (size_t)1 << encoding);
    return true;
}

/* False: it would not get shorter. */
static bool append_compressed(struct buf *out, struct bytes value)
{
    if (value.size < LZF_BYTES_MIN) {
        return false;
    }
    struct buf compressed;
    buf_init(&compressed, value.size);
    size_t room = value.size - LZF_BYTES_SAVED;
    unsigned size = lzf_compress(value.data,
                                 (unsigned)value.size,
                                 buf_reserve(&compressed, room),
                                 (unsigned)room);
    if (size > 0) {
        append_encoding(out, ENCODING_LZF);
        append_length(out, size);
        append_length(out, value.size);
        buf_append(out, compressed.data, size);
    }
    buf_deinit(&compressed);
    return size > 0;
}

void rdb_string_dump(struct buf *out, struct bytes value)
{
    ensure(value.size <= LIMIT_VALUE_BYTES);
    size_t start = out->size;
    append_byte(out, TYPE_STRING);
    if (!append_integer(out, value) && !append_compressed(out, value)) {
        append_length(out, value.size);
        buf_append_bytes(out, value);
    }
    uint8_t footer[FOOTER_BYTES];
    put_u16_le(footer, RDB_VERSION);
    buf_append(out, footer, FOOTER_BYTES - FOOTER_CRC_BYTES);
    put_u64_le(footer, crc64_jones(0, out->data + start, out->size - start));
    buf_append(out, footer, FOOTER_CRC_BYTES);
}

/* ---- reading --------------------------------------------------------------------------------- */

enum rdb_verdict rdb_check_footer(struct bytes payload)
{
    if (payload.size < FOOTER_BYTES) {
        return RDB_BAD_FOOTER;
    }
    size_t crc_at = payload.size - FOOTER_CRC_BYTES;
    bool is_known = get_u16_le(payload.data + payload.size - FOOTER_BYTES) <= RDB_VERSION;
    bool is_whole = get_u64_le(payload.data + crc_at) == crc64_jones(0, payload.data, crc_at);
    return is_known && is_whole ? RDB_GOOD : RDB_BAD_FOOTER;
}

uint64_t rdb_string_size_max(struct bytes payload)
{
    const uint8_t lzf = (LENGTH_ENCODED << LENGTH_FORM_SHIFT) | ENCODING_LZF;
    bool is_compressed = payload.size > 1 && payload.data[1] == lzf;
    uint64_t size = payload.size * (is_compressed ? LZF_GROWTH_MAX : 1);
    return size < LIMIT_VALUE_BYTES ? size : LIMIT_VALUE_BYTES;
}

static bool take(struct bytes *left, uint64_t size, struct bytes *out_bytes)
{
    if (size > left->size) {
        return false;
    }
    *out_bytes = bytes_of(left->data, (size_t)size);
    *left = bytes_of(left->data + size, left->size - (size_t)size);
    return true;
}

/* An encoding's number, or a length; Redis takes the one for the other where it expects none. */
static bool take_length(struct bytes *left, uint64_t *out_length, bool *out_is_encoded)
{
    struct bytes first;
    struct bytes rest;
    if (!take(left, 1, &first)) {
        return false;
    }
    unsigned low = first.data[0] & LENGTH_LOW_BITS;
    enum length_form form = (enum length_form)(first.data[0] >> LENGTH_FORM_SHIFT);
    *out_is_encoded = form == LENGTH_ENCODED;
    *out_length = low;
    if (form == LENGTH_14_BITS && take(left, 1, &rest)) {
        *out_length = (low << 8) | rest.data[0];
        return true;
    }
    if (first.data[0] == LENGTH_32_BITS && take(left, sizeof(uint32_t), &rest)) {
        *out_length = get_u32_be(rest.data);
        return true;
    }
    if (first.data[0] == LENGTH_64_BITS && take(left, sizeof(uint64_t), &rest)) {
        *out_length = get_u64_be(rest.data);
        return true;
    }
    return form == LENGTH_6_BITS || form == LENGTH_ENCODED;
}

static enum rdb_verdict restore_integer(struct bytes *left,
                                        enum encoding encoding,
                                        struct buf *scratch)
{
    struct bytes bytes;
    if (!take(left, (uint64_t)1 << encoding, &bytes)) {
        return RDB_BAD_FORMAT;
    }
    int32_t number = 0;
    if (encoding == ENCODING_INT8) {
        number = bytes.data[0] - (bytes.data[0] > INT8_MAX ? UINT8_MAX + 1 : 0);
    } else if (encoding == ENCODING_INT16) {
        number = (int16_t)get_u16_le(bytes.data);
    } else {
        number = (int32_t)get_u32_le(bytes.data);
    }
    buf_printf(scratch, "%d", (int)number);
    return RDB_GOOD;
}

static enum rdb_verdict restore_compressed(struct bytes *left, struct buf *scratch)
{
    uint64_t compressed_size = 0;
    uint64_t size = 0;
    bool is_encoded = false;
    struct bytes compressed;
    if (!take_length(left, &compressed_size, &is_encoded) ||
        !take_length(left, &size, &is_encoded) || !take(left, compressed_size, &compressed) ||
        size / LZF_GROWTH_MAX > compressed.size) {
        return RDB_BAD_FORMAT;
    }
    if (size > LIMIT_VALUE_BYTES) {
        return RDB_TOO_LARGE;
    }
    if (size == 0) {
        return RDB_GOOD; /* whatever the compressed bytes are: as Redis */
    }
    if (compressed.size == 0) {
        return RDB_BAD_FORMAT; /* liblzf would read one byte nevertheless */
    }
    unsigned got = lzf_decompress(compressed.data,
                                  (unsigned)compressed.size,
                                  buf_reserve(scratch, (size_t)size),
                                  (unsigned)size);
    if (got != size) {
        return RDB_BAD_FORMAT;
    }
    buf_extend(scratch, (size_t)size);
    return RDB_GOOD;
}

static enum rdb_verdict restore_plain(struct bytes *left, uint64_t size, struct bytes *out_value)
{
    if (!take(left, size, out_value)) {
        return RDB_BAD_FORMAT;
    }
    return size <= LIMIT_VALUE_BYTES ? RDB_GOOD : RDB_TOO_LARGE;
}

/* As Redis, it may read on into the footer, and does not care for what follows the value. */
enum rdb_verdict rdb_string_restore(struct bytes payload,
                                    struct buf *scratch,
                                    struct bytes *out_value)
{
    struct bytes left = payload;
    struct bytes type;
    if (!take(&left, 1, &type) || type.data[0] > TYPE_LAST || type.data[0] == TYPE_UNUSED) {
        return RDB_BAD_FORMAT;
    }
    if (type.data[0] != TYPE_STRING) {
        return RDB_OTHER_TYPE;
    }
    uint64_t length = 0;
    bool is_encoded = false;
    if (!take_length(&left, &length, &is_encoded)) {
        return RDB_BAD_FORMAT;
    }
    if (!is_encoded) {
        return restore_plain(&left, length, out_value);
    }
    enum rdb_verdict verdict = RDB_BAD_FORMAT;
    if (length <= ENCODING_INT32) {
        verdict = restore_integer(&left, (enum encoding)length, scratch);
    } else if (length == ENCODING_LZF) {
        verdict = restore_compressed(&left, scratch);
    }
    if (verdict == RDB_GOOD) {
        *out_value = buf_bytes(scratch);
    }
    return verdict;
}
