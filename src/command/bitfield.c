/* Strings as rows of small integers: BITFIELD, BITFIELD_RO. */
#include "base/mem.h"
#include "command/bits.h"
#include "command/string_get.h"
#include "protocol/resp_writer.h"

static enum command_result bitfield_run(struct command_call *call);
static enum command_result bitfield_ro_run(struct command_call *call);

static uint64_t bitfield_growth(const struct bytes *args, size_t arg_count);

const struct command command_table_bitfield[] = {
    {
        .name = "bitfield",
        .handler = bitfield_run,
        .id = COMMAND_ID_BITFIELD,
        .growth_of = bitfield_growth,
        .semantics = 1,
        .arity_min = 2,
        .arity_max = -1,
        .flags = COMMAND_WRITE | COMMAND_REWRITES | COMMAND_GROWS,
        .policy = COMMAND_ONE_SHARD,
        .keys = {.first = 1,
                 .last = 1,
                 .step = 1,
                 .access = "RW access update variable_flags",
                 .note = "This command allows both access and modification of the key"},
        .group = "bitmap",
        .since = "3.2.0",
        .complexity = "O(N) for each command that writes, where N is the length of the string, "
                      "plus O(1) for each subcommand.",
        .summary = "Perform arbitrary bitfield integer operations on strings",
        .acl = "@write @bitmap @slow",
    },
    {
        .name = "bitfield_ro",
        .handler = bitfield_ro_run,
        .id = COMMAND_ID_BITFIELD_RO,
        .semantics = 1,
        .arity_min = 2,
        .arity_max = -1,
        .flags = COMMAND_READ | COMMAND_FAST,
        .policy = COMMAND_ONE_SHARD,
        .keys = {.first = 1, .last = 1, .step = 1, .access = "RO access"},
        .group = "bitmap",
        .since = "6.0.0",
        .complexity = "O(1) for each subcommand specified",
        .summary = "Perform arbitrary bitfield integer operations on strings. Read-only variant of "
                   "BITFIELD",
        .acl = "@read @bitmap @fast",
    },
    {.name = NULL},
};

/* ---- arguments to operations ----------------------------------------------------------------- */

enum field_verb {
    FIELD_GET,
    FIELD_SET,
    FIELD_INCRBY
};

enum field_overflow {
    OVERFLOW_WRAP,
    OVERFLOW_SAT,
    OVERFLOW_FAIL
};

struct field_type {
    bool is_signed;
    unsigned width_bits;
};

struct field_op {
    enum field_verb verb;
    struct field_type type;
    uint64_t offset;
    int64_t operand; /* of SET and INCRBY */
    enum field_overflow overflow;
};

/* Walks over the arguments. They are walked twice: to test them all, then to execute. */
struct field_cursor {
    size_t at;
    enum field_overflow overflow; /* as the last OVERFLOW said */
};

enum field_step {
    STEP_OP,
    STEP_END,
    STEP_ERROR /* it has been written */
};

static enum field_step step_fail(struct command_call *call, const char *text)
{
    resp_write_error(call->reply, text);
    return STEP_ERROR;
}

/* i1 … i64, u1 … u63: every value fits an int64_t. */
static bool parse_type(struct bytes text, struct field_type *out_type)
{
    int64_t width = 0;
    bool has_sign = text.size > 0 && (text.data[0] == 'i' || text.data[0] == 'u');
    if (!has_sign || !bytes_to_i64(bytes_of(text.data + 1, text.size - 1), &width)) {
        return false;
    }
    bool is_signed = text.data[0] == 'i';
    if (width < 1 || width > (is_signed ? 64 : 63)) {
        return false;
    }
    *out_type = (struct field_type){.is_signed = is_signed, .width_bits = (unsigned)width};
    return true;
}

static bool parse_overflow(struct bytes word, enum field_overflow *out_overflow)
{
    static const char *const words[] = {
        [OVERFLOW_WRAP] = "wrap",
        [OVERFLOW_SAT] = "sat",
        [OVERFLOW_FAIL] = "fail",
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (bytes_equal_nocase(word, words[i])) {
            *out_overflow = (enum field_overflow)i;
            return true;
        }
    }
    return false;
}

/* A verb that all its arguments follow. */
static bool parse_verb(struct bytes word, size_t args_left, enum field_verb *out_verb)
{
    static const struct {
        const char *word;
        size_t args;
    } verbs[] = {
        [FIELD_GET] = {"get", 2},
        [FIELD_SET] = {"set", 3},
        [FIELD_INCRBY] = {"incrby", 3},
    };
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        if (bytes_equal_nocase(word, verbs[i].word) && args_left >= verbs[i].args) {
            *out_verb = (enum field_verb)i;
            return true;
        }
    }
    return false;
}

/* Type, offset and operand, from args[at] on. What is written must fit the longest string. */
static bool parse_op(struct command_call *call, size_t at, struct field_op *op)
{
    if (!parse_type(call->args[at], &op->type)) {
        resp_write_error(call->reply,
                         "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is "
                         "not supported but i64 is.");
        return false;
    }
    unsigned width = op->type.width_bits;
    if (!bits_parse_field_offset(call, call->args[at + 1], width, &op->offset)) {
        return false;
    }
    if (op->verb == FIELD_GET) {
        return true;
    }
    if (op->offset + width > BITS_MAX) {
        resp_write_error(call->reply, BITS_OFFSET_ERROR);
        return false;
    }
    return string_integer(call, call->args[at + 2], &op->operand);
}

static enum field_step next_op(struct command_call *call,
                               struct field_cursor *cursor,
                               struct field_op *out_op)
{
    while (cursor->at < call->arg_count) {
        struct bytes word = call->args[cursor->at++];
        size_t args_left = call->arg_count - cursor->at;
        struct field_op op = {.overflow = cursor->overflow};
        if (parse_verb(word, args_left, &op.verb)) {
            if (!parse_op(call, cursor->at, &op)) {
                return STEP_ERROR;
            }
            cursor->at += op.verb == FIELD_GET ? 2 : 3;
            *out_op = op;
            return STEP_OP;
        }
        if (!bytes_equal_nocase(word, "overflow") || args_left == 0) {
            return step_fail(call, STRING_SYNTAX_ERROR);
        }
        if (!parse_overflow(call->args[cursor->at++], &cursor->overflow)) {
            return step_fail(call, "ERR Invalid OVERFLOW type specified");
        }
    }
    return STEP_END;
}

/* What all operations together need. */
struct field_plan {
    size_t ops;
    size_t size_min; /* of the string, for those that write; 0: none does */
};

static bool plan(struct command_call *call, struct field_plan *out_plan)
{
    struct field_plan p = {0};
    struct field_cursor cursor = {.at = 2};
    struct field_op op;
    enum field_step step;
    while ((step = next_op(call, &cursor, &op)) == STEP_OP) {
        p.ops++;
        size_t end = (op.offset + op.type.width_bits + BITS_PER_BYTE - 1) / BITS_PER_BYTE;
        if (op.verb != FIELD_GET && end > p.size_min) {
            p.size_min = end;
        }
    }
    *out_plan = p;
    return step == STEP_END;
}

/* ---- numbers in fields ----------------------------------------------------------------------- */

static int64_t field_max(struct field_type type)
{
    unsigned value_bits = type.width_bits - (type.is_signed ? 1 : 0);
    return (int64_t)(((uint64_t)1 << value_bits) - 1);
}

static int64_t field_min(struct field_type type)
{
    return type.is_signed ? -field_max(type) - 1 : 0;
}

/* The lowest bits as a number of the type. */
static int64_t field_wrap(struct field_type type, uint64_t bits)
{
    unsigned unused = 64 - type.width_bits;
    uint64_t shifted = bits << unused;
    return type.is_signed ? (int64_t)shifted >> unused : (int64_t)(shifted >> unused);
}

static int64_t field_read(struct bytes string, const struct field_op *op)
{
    return field_wrap(op->type, bits_read(string, op->offset, op->type.width_bits));
}

enum field_fit {
    FIT_BELOW,
    FIT_INSIDE,
    FIT_ABOVE
};

/*
 * SET: as Redis has it, what is too small counts as too large if the field is unsigned, or if its
 * distance to the largest value does not fit 63 bits.
 */
static enum field_fit fit_of_set(const struct field_op *op)
{
    int64_t max = field_max(op->type);
    if (op->operand >= field_min(op->type)) {
        return op->operand > max ? FIT_ABOVE : FIT_INSIDE;
    }
    bool is_far = (uint64_t)max - (uint64_t)op->operand > INT64_MAX;
    return is_far || !op->type.is_signed ? FIT_ABOVE : FIT_BELOW;
}

/* INCRBY: old is a value of the field, so how far the bounds are away fits 64 bits. */
static enum field_fit fit_of_incrby(const struct field_op *op, int64_t old)
{
    uint64_t room_above = (uint64_t)field_max(op->type) - (uint64_t)old;
    uint64_t room_below = (uint64_t)old - (uint64_t)field_min(op->type);
    if (op->operand > 0 && (uint64_t)op->operand > room_above) {
        return FIT_ABOVE;
    }
    if (op->operand < 0 && 0 - (uint64_t)op->operand > room_below) {
        return FIT_BELOW;
    }
    return FIT_INSIDE;
}

/* What the field will hold. False: nothing changes, as OVERFLOW FAIL asks for. */
static bool field_next(const struct field_op *op, int64_t old, int64_t *out_value)
{
    bool is_set = op->verb == FIELD_SET;
    enum field_fit fit = is_set ? fit_of_set(op) : fit_of_incrby(op, old);
    if (fit != FIT_INSIDE && op->overflow == OVERFLOW_FAIL) {
        return false;
    }
    if (fit != FIT_INSIDE && op->overflow == OVERFLOW_SAT) {
        *out_value = fit == FIT_ABOVE ? field_max(op->type) : field_min(op->type);
        return true;
    }
    uint64_t sum = (uint64_t)op->operand + (is_set ? 0 : (uint64_t)old);
    *out_value = field_wrap(op->type, sum);
    return true;
}

/* ---- BITFIELD, BITFIELD_RO ------------------------------------------------------------------- */

static void execute_write(struct command_call *call,
                          const struct field_op *op,
                          struct bytes string,
                          uint8_t *data)
{
    int64_t old = field_read(string, op);
    int64_t value = 0;
    if (!field_next(op, old, &value)) {
        resp_write_null(call->reply, call->resp);
        return;
    }
    bits_write(data, op->offset, op->type.width_bits, (uint64_t)value);
    resp_write_integer(call->reply, op->verb == FIELD_SET ? old : value);
}

/* data: the bytes of string, if some operation writes. */
static void execute(struct command_call *call, struct bytes string, uint8_t *data)
{
    struct field_cursor cursor = {.at = 2};
    struct field_op op;
    while (next_op(call, &cursor, &op) == STEP_OP) {
        if (op.verb == FIELD_GET) {
            resp_write_integer(call->reply, field_read(string, &op));
        } else {
            execute_write(call, &op, string, data);
        }
    }
}

/* The string grows for all that may be written, also if OVERFLOW FAIL then forbids it. */
static void execute_on_copy(struct command_call *call, struct object *object, size_t size_min)
{
    size_t size = 0;
    uint8_t *data = string_copy_grown(object->value, size_min, &size);
    struct bytes value = bytes_of(data, size);
    execute(call, value, data);
    if (!bytes_equal(value, object->value)) {
        object->value = value;
        string_put(call, call->args[1], object);
    }
    mem_free(data);
}

static enum command_result run(struct command_call *call, bool may_write)
{
    struct field_plan p;
    if (!plan(call, &p)) {
        return COMMAND_ERROR;
    }
    if (p.size_min > 0 && !may_write) {
        return command_fail(call, "ERR BITFIELD_RO only supports the GET subcommand");
    }
    struct string string;
    enum command_result stop;
    if (!string_get(call, call->args[1], &string, &stop)) {
        return stop;
    }
    resp_write_array(call->reply, p.ops);
    if (p.size_min > 0) {
        execute_on_copy(call, &string.object, p.size_min);
    } else {
        execute(call, string.object.value, NULL);
    }
    return COMMAND_DONE;
}

static enum command_result bitfield_run(struct command_call *call)
{
    return run(call, true);
}

static enum command_result bitfield_ro_run(struct command_call *call)
{
    return run(call, false);
}

static uint64_t bitfield_growth(const struct bytes *args, size_t arg_count)
{
    struct field_plan p;
    struct buf error;
    buf_init(&error, SIZE_MAX / 2);
    struct command_call call = {.args = args, .arg_count = arg_count, .resp = 2, .reply = &error};
    bool is_good = plan(&call, &p);
    buf_deinit(&error);
    return is_good ? p.size_min : 0;
}
