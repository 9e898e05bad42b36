/* Strings as rows of bits: SETBIT, GETBIT, BITCOUNT, BITPOS, BITOP. */
#include "base/assert.h"
#include "base/mem.h"
#include "command/bits.h"
#include "command/string_get.h"
#include "protocol/resp_writer.h"

static enum command_result setbit_run(struct command_call *call);
static enum command_result getbit_run(struct command_call *call);
static enum command_result bitcount_run(struct command_call *call);
static enum command_result bitpos_run(struct command_call *call);
static enum command_result bitop_run(struct command_call *call);

static uint64_t setbit_growth(const struct bytes *args, size_t arg_count);

const struct command command_table_bitmap[] = {
    {
        .name = "setbit",
        .handler = setbit_run,
        .id = COMMAND_ID_SETBIT,
        .growth_of = setbit_growth,
        .semantics = 1,
        .arity_min = 4,
        .arity_max = 4,
        .flags = COMMAND_WRITE | COMMAND_REWRITES | COMMAND_GROWS,
        .policy = COMMAND_ONE_SHARD,
        .keys = {.first = 1, .last = 1, .step = 1, .access = "RW access update"},
        .group = "bitmap",
        .since = "2.2.0",
        .complexity = "O(N) where N is the length of the string.",
        .summary = "Sets or clears the bit at offset in the string value stored at key",
        .acl = "@write @bitmap @slow",
    },
    {
        .name = "getbit",
        .handler = getbit_run,
        .id = COMMAND_ID_GETBIT,
        .semantics = 1,
        .arity_min = 3,
        .arity_max = 3,
        .flags = COMMAND_READ | COMMAND_FAST,
        .policy = COMMAND_ONE_SHARD,
        .keys = {.first = 1, .last = 1, .step = 1, .access = "RO access"},
        .group = "bitmap",
        .since = "2.2.0",
        .complexity = "O(1)",
        .summary = "Returns the bit value at offset in the string value stored at key",
        .acl = "@read @bitmap @fast",
    },
    {
        .name = "bitcount",
        .handler = bitcount_run,
        .id = COMMAND_ID_BITCOUNT,
        .semantics = 1,
        .arity_min = 2,
        .arity_max = -1,
        .flags = COMMAND_READ,
        .policy = COMMAND_ONE_SHARD,
        .keys = {.first = 1, .last = 1, .step = 1, .access = "RO access"},
        .group = "bitmap",
        .since = "2.6.0",
        .complexity = "O(N)",
        .summary = "Count set bits in a string",
        .acl = "@read @bitmap @slow",
    },
    {
        .name = "bitpos",
        .handler = bitpos_run,
        .id = COMMAND_ID_BITPOS,
        .semantics = 1,
        .arity_min = 3,
        .arity_max = -1,
        .flags = COMMAND_READ,
        .policy = COMMAND_ONE_SHARD,
        .keys = {.first = 1, .last = 1, .step = 1, .access = "RO access"},
        .group = "bitmap",
        .since = "2.8.7",
        .complexity = "O(N)",
        .summary = "Find first bit set or clear in a string",
        .acl = "@read @bitmap @slow",
    },
    {
        .name = "bitop",
        .handler = bitop_run,
        .id = COMMAND_ID_BITOP,
        .semantics = 1,
        .arity_min = 4,
        .arity_max = -1,
        .flags = COMMAND_WRITE | COMMAND_REWRITES | COMMAND_GROWS,
        .policy = COMMAND_ONE_SHARD,
        .keys = {.first = 2, .last = -1, .step = 1, .access = "OW update | RO access"},
        .group = "bitmap",
        .since = "2.6.0",
        .complexity = "O(N)",
        .summary = "Perform bitwise operations between strings",
        .acl = "@write @bitmap @slow",
    },
    {.name = NULL},
};

/* ---- SETBIT, GETBIT -------------------------------------------------------------------------- */

/* The string grows up to the bit also when that is 0. What changes nothing is not written. */
static void setbit_put(struct command_call *call,
                       struct object *object,
                       uint64_t offset,
                       uint64_t bit)
{
    size_t size_min = offset / BITS_PER_BYTE + 1;
    if (object->value.size >= size_min && bits_read(object->value, offset, 1) == bit) {
        return;
    }
    size_t size = 0;
    uint8_t *value = string_copy_grown(object->value, size_min, &size);
    bits_write(value, offset, 1, bit);
    object->value = bytes_of(value, size);
    string_put(call, call->args[1], object);
    mem_free(value);
}

static enum command_result setbit_run(struct command_call *call)
{
    uint64_t offset = 0;
    int64_t bit = 0;
    if (!bits_parse_offset(call, call->args[2], &offset)) {
        return COMMAND_ERROR;
    }
    if (!bytes_to_i64(call->args[3], &bit) || (bit != 0 && bit != 1)) {
        return command_fail(call, "ERR bit is not an integer or out of range");
    }
    struct string string;
    enum command_result stop;
    if (!string_get(call, call->args[1], &string, &stop)) {
        return stop;
    }
    resp_write_integer(call->reply, (int64_t)bits_read(string.object.value, offset, 1));
    setbit_put(call, &string.object, offset, (uint64_t)bit);
    return COMMAND_DONE;
}

static uint64_t setbit_growth(const struct bytes *args, size_t arg_count)
{
    (void)arg_count;
    int64_t offset = 0;
    bool is_place = bytes_to_i64(args[2], &offset) && offset >= 0 && offset < (int64_t)BITS_MAX;
    return is_place ? (uint64_t)offset / BITS_PER_BYTE : 0;
}

static enum command_result getbit_run(struct command_call *call)
{
    uint64_t offset = 0;
    if (!bits_parse_offset(call, call->args[2], &offset)) {
        return COMMAND_ERROR;
    }
    struct string string;
    enum command_result stop;
    if (!string_get(call, call->args[1], &string, &stop)) {
        return stop;
    }
    resp_write_integer(call->reply, (int64_t)bits_read(string.object.value, offset, 1));
    return COMMAND_DONE;
}

/* ---- ranges of BITCOUNT and BITPOS ----------------------------------------------------------- */

/* BYTE or BIT; false after an error. */
static bool parse_unit(struct command_call *call, struct bytes word, bool *out_is_bits)
{
    *out_is_bits = bytes_equal_nocase(word, "bit");
    if (!*out_is_bits && !bytes_equal_nocase(word, "byte")) {
        resp_write_error(call->reply, STRING_SYNTAX_ERROR);
        return false;
    }
    return true;
}

/* From positions as clients give them to bits of the string. False: there are none. */
static bool range_to_bits(struct string_range *range, bool is_bits, size_t size)
{
    if (!string_range_clamp(range, is_bits ? size * BITS_PER_BYTE : size)) {
        return false;
    }
    if (!is_bits) {
        range->first *= BITS_PER_BYTE;
        range->last = range->last * BITS_PER_BYTE + BITS_PER_BYTE - 1;
    }
    return true;
}

/* ---- BITCOUNT -------------------------------------------------------------------------------- */

#define BITCOUNT_ARGS_WITH_RANGE 4u
#define BITCOUNT_ARGS_WITH_UNIT 5u

/* Whole bytes, without the bits before and behind the range in the first and the last of them. */
static uint64_t count_in(struct bytes value, const struct string_range *bits)
{
    uint64_t first = (uint64_t)bits->first;
    uint64_t last = (uint64_t)bits->last;
    size_t first_byte = first / BITS_PER_BYTE;
    size_t last_byte = last / BITS_PER_BYTE;
    unsigned before = (unsigned)(first % BITS_PER_BYTE);
    unsigned behind = BITS_PER_BYTE - 1 - (unsigned)(last % BITS_PER_BYTE);
    uint64_t count = bits_count(bytes_of(value.data + first_byte, last_byte - first_byte + 1));
    if (before > 0) {
        count -= (uint64_t)__builtin_popcountll(bits_read(value, first - before, before));
    }
    if (behind > 0) {
        count -= (uint64_t)__builtin_popcountll(bits_read(value, last + 1, behind));
    }
    return count;
}

/* Of an absent key the arguments are not even looked at, as in Redis. */
static enum command_result bitcount_run(struct command_call *call)
{
    struct string string;
    enum command_result stop;
    if (!string_get(call, call->args[1], &string, &stop)) {
        return stop;
    }
    struct string_range range = {.first = 0, .last = -1};
    bool is_bits = false;
    bool has_range = string.is_there && call->arg_count > 2;
    if (has_range && call->arg_count != BITCOUNT_ARGS_WITH_RANGE &&
        call->arg_count != BITCOUNT_ARGS_WITH_UNIT) {
        return command_fail(call, STRING_SYNTAX_ERROR);
    }
    if (has_range && (!string_integer(call, call->args[2], &range.first) ||
                      !string_integer(call, call->args[3], &range.last))) {
        return COMMAND_ERROR;
    }
    bool is_reversed = string_range_is_reversed(&range);
    if (has_range && !is_reversed && call->arg_count == BITCOUNT_ARGS_WITH_UNIT &&
        !parse_unit(call, call->args[4], &is_bits)) {
        return COMMAND_ERROR;
    }
    struct bytes value = string.object.value;
    bool is_any = !is_reversed && range_to_bits(&range, is_bits, value.size);
    resp_write_integer(call->reply, is_any ? (int64_t)count_in(value, &range) : 0);
    return COMMAND_DONE;
}

/* ---- BITPOS ---------------------------------------------------------------------------------- */

#define BITPOS_ARGS_WITH_START 4u
#define BITPOS_ARGS_WITH_END 5u
#define BITPOS_ARGS_WITH_UNIT 6u

/* The first such bit in the range, or -1. Bytes that cannot have one are passed whole. */
static int64_t find_bit(struct bytes value, uint64_t bit, const struct string_range *bits)
{
    const uint8_t hopeless = bit == 1 ? 0x00 : 0xff;
    for (int64_t at = bits->first; at <= bits->last;) {
        bool is_at_byte = at % BITS_PER_BYTE == 0;
        if (is_at_byte && value.data[at / BITS_PER_BYTE] == hopeless) {
            at += BITS_PER_BYTE;
        } else if (bits_read(value, (uint64_t)at, 1) == bit) {
            return at;
        } else {
            at++;
        }
    }
    return -1;
}

/* Start, end and unit, those that are there. False after an error. */
static bool bitpos_parse(struct command_call *call, struct string_range *range, bool *out_is_bits)
{
    if (call->arg_count > BITPOS_ARGS_WITH_UNIT) {
        resp_write_error(call->reply, STRING_SYNTAX_ERROR);
        return false;
    }
    if (call->arg_count >= BITPOS_ARGS_WITH_START &&
        !string_integer(call, call->args[3], &range->first)) {
        return false;
    }
    if (call->arg_count == BITPOS_ARGS_WITH_UNIT && !parse_unit(call, call->args[5], out_is_bits)) {
        return false;
    }
    return call->arg_count < BITPOS_ARGS_WITH_END ||
           string_integer(call, call->args[4], &range->last);
}

/* Looking for 0 without an end, the string goes on with zeros; unless it is empty, or start is
   behind its end. */
static int64_t bitpos_find(const struct command_call *call,
                           struct bytes value,
                           uint64_t bit,
                           struct string_range *range,
                           bool is_bits)
{
    if (!range_to_bits(range, is_bits, value.size)) {
        return -1;
    }
    int64_t found = find_bit(value, bit, range);
    if (found < 0 && bit == 0 && call->arg_count < BITPOS_ARGS_WITH_END) {
        found = (int64_t)(value.size * BITS_PER_BYTE);
    }
    return found;
}

static enum command_result bitpos_run(struct command_call *call)
{
    int64_t bit = 0;
    if (!string_integer(call, call->args[2], &bit)) {
        return COMMAND_ERROR;
    }
    if (bit != 0 && bit != 1) {
        return command_fail(call, "ERR The bit argument must be 1 or 0.");
    }
    struct string string;
    enum command_result stop;
    if (!string_get(call, call->args[1], &string, &stop)) {
        return stop;
    }
    if (!string.is_there) { /* the other arguments are not looked at */
        resp_write_integer(call->reply, bit == 1 ? -1 : 0);
        return COMMAND_DONE;
    }
    struct string_range range = {.first = 0, .last = -1};
    bool is_bits = false;
    if (!bitpos_parse(call, &range, &is_bits)) {
        return COMMAND_ERROR;
    }
    resp_write_integer(call->reply,
                       bitpos_find(call, string.object.value, (uint64_t)bit, &range, is_bits));
    return COMMAND_DONE;
}

/* ---- BITOP ----------------------------------------------------------------------------------- */

#define BITOP_SOURCES_FROM 3u

enum bitop {
    BITOP_AND,
    BITOP_OR,
    BITOP_XOR,
    BITOP_NOT
};

static bool bitop_parse(struct bytes word, enum bitop *out_op)
{
    static const char *const words[] = {
        [BITOP_AND] = "and",
        [BITOP_OR] = "or",
        [BITOP_XOR] = "xor",
        [BITOP_NOT] = "not",
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (bytes_equal_nocase(word, words[i])) {
            *out_op = (enum bitop)i;
            return true;
        }
    }
    return false;
}

/* Of the sources. */
struct bitop_sizes {
    size_t longest; /* and so of the result */
    uint64_t total;
};

/* Reads every key: the sources must be strings. False: return *out_stop. */
static bool bitop_read(struct command_call *call,
                       struct bitop_sizes *out_sizes,
                       enum command_result *out_stop)
{
    *out_sizes = (struct bitop_sizes){0};
    for (size_t i = BITOP_SOURCES_FROM; i < call->arg_count; i++) {
        struct string source;
        if (!string_get(call, call->args[i], &source, out_stop)) {
            return false;
        }
        size_t size = source.object.value.size;
        out_sizes->longest = size > out_sizes->longest ? size : out_sizes->longest;
        out_sizes->total += size;
    }
    struct object old;
    *out_stop = COMMAND_NEED;
    return view_get(call->view, call->args[2], &old) != STATUS_NEED;
}

static uint64_t merge_word(enum bitop op, uint64_t result, uint64_t source)
{
    switch (op) {
    case BITOP_AND:
        return result & source;
    case BITOP_OR:
        return result | source;
    case BITOP_XOR:
        return result ^ source;
    case BITOP_NOT:
        break;
    }
    return ~source;
}

static inline uint64_t word_at(const uint8_t *data)
{
    uint64_t word = 0;
    memcpy(&word, data, sizeof word);
    return word;
}

/* Word by word, the rest by bytes. */
static void merge(enum bitop op, uint8_t *result, struct bytes source)
{
    size_t at = 0;
    for (; at + sizeof(uint64_t) <= source.size; at += sizeof(uint64_t)) {
        uint64_t word = merge_word(op, word_at(result + at), word_at(source.data + at));
        memcpy(result + at, &word, sizeof word);
    }
    for (; at < source.size; at++) {
        result[at] = (uint8_t)merge_word(op, result[at], source.data[at]);
    }
}

/*
 * A source goes on with zeros behind its end. So AND clears what is behind it: once, and what is
 * clear already is not touched again, or many absent keys behind one long string would take
 * minutes.
 */
static size_t merge_and(uint8_t *result, size_t end, struct bytes source)
{
    size_t new_end = source.size < end ? source.size : end;
    merge(BITOP_AND, result, bytes_of(source.data, new_end));
    memset(result + new_end, 0, end - new_end);
    return new_end;
}

static struct bytes bitop_source(struct command_call *call, size_t arg)
{
    struct string source;
    enum command_result stop;
    bool is_read = string_get(call, call->args[arg], &source, &stop);
    ensure(is_read); /* bitop_read has found it so */
    return source.object.value;
}

/* Result of size bytes, more than none; the caller frees it. */
static uint8_t *bitop_compute(struct command_call *call, enum bitop op, size_t size)
{
    size_t copied = 0;
    struct bytes first = bitop_source(call, BITOP_SOURCES_FROM);
    uint8_t *result = string_copy_grown(first, size, &copied);
    ensure(copied == size);
    if (op == BITOP_NOT) {
        merge(op, result, bytes_of(result, size));
    }
    size_t end = first.size; /* of AND: all behind it is zero */
    for (size_t i = BITOP_SOURCES_FROM + 1; i < call->arg_count; i++) {
        struct bytes source = bitop_source(call, i);
        if (op == BITOP_AND) {
            end = merge_and(result, end, source);
        } else {
            merge(op, result, source);
        }
    }
    return result;
}

static enum command_result bitop_run(struct command_call *call)
{
    enum bitop op;
    if (!bitop_parse(call->args[1], &op)) {
        return command_fail(call, STRING_SYNTAX_ERROR);
    }
    if (op == BITOP_NOT && call->arg_count != BITOP_SOURCES_FROM + 1) {
        return command_fail(call, "ERR BITOP NOT must be called with a single source key.");
    }
    struct bitop_sizes sizes;
    enum command_result stop;
    if (!bitop_read(call, &sizes, &stop)) {
        return stop;
    }
    if (sizes.total > LIMIT_BITOP_BYTES) {
        resp_write_errorf(call->reply,
                          "ERR strings of more than %u bytes in one BITOP",
                          LIMIT_BITOP_BYTES);
        return COMMAND_ERROR;
    }
    if (sizes.longest == 0) {
        enum status s = view_delete(call->view, call->args[2]);
        ensure(s == STATUS_OK || s == STATUS_NOT_FOUND);
    } else {
        uint8_t *result = bitop_compute(call, op, sizes.longest);
        struct object object = {
            .type = OBJECT_TYPE_STRING,
            .value = bytes_of(result, sizes.longest),
        };
        string_put(call, call->args[2], &object);
        mem_free(result);
    }
    resp_write_integer(call->reply, (int64_t)sizes.longest);
    return COMMAND_DONE;
}
