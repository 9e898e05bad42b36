/* Strings that are numbers: INCR and its relatives. */
#include <assert.h>
#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "command/string_get.h"
#include "protocol/resp_writer.h"

static enum command_result incr_run(struct command_call *call);
static enum command_result decr_run(struct command_call *call);
static enum command_result incrby_run(struct command_call *call);
static enum command_result decrby_run(struct command_call *call);
static enum command_result incrbyfloat_run(struct command_call *call);

const struct command command_table_number[] = {
    {
        .name = "incr",
        .handler = incr_run,
        .id = COMMAND_ID_INCR,
        .semantics = 1,
        .arity_min = 2,
        .arity_max = 2,
        .flags = COMMAND_WRITE | COMMAND_GROWS | COMMAND_FAST,
        .policy = COMMAND_ONE_SHARD,
        .keys = {.first = 1, .last = 1, .step = 1, .access = "RW access update"},
        .group = "string",
        .since = "1.0.0",
        .complexity = "O(1)",
        .summary = "Increment the integer value of a key by one",
        .acl = "@write @string @fast",
    },
    {
        .name = "decr",
        .handler = decr_run,
        .id = COMMAND_ID_DECR,
        .semantics = 1,
        .arity_min = 2,
        .arity_max = 2,
        .flags = COMMAND_WRITE | COMMAND_GROWS | COMMAND_FAST,
        .policy = COMMAND_ONE_SHARD,
        .keys = {.first = 1, .last = 1, .step = 1, .access = "RW access update"},
        .group = "string",
        .since = "1.0.0",
        .complexity = "O(1)",
        .summary = "Decrement the integer value of a key by one",
        .acl = "@write @string @fast",
    },
    {
        .name = "incrby",
        .handler = incrby_run,
        .id = COMMAND_ID_INCRBY,
        .semantics = 1,
        .arity_min = 3,
        .arity_max = 3,
        .flags = COMMAND_WRITE | COMMAND_GROWS | COMMAND_FAST,
        .policy = COMMAND_ONE_SHARD,
        .keys = {.first = 1, .last = 1, .step = 1, .access = "RW access update"},
        .group = "string",
        .since = "1.0.0",
        .complexity = "O(1)",
        .summary = "Increment the integer value of a key by the given amount",
        .acl = "@write @string @fast",
    },
    {
        .name = "decrby",
        .handler = decrby_run,
        .id = COMMAND_ID_DECRBY,
        .semantics = 1,
        .arity_min = 3,
        .arity_max = 3,
        .flags = COMMAND_WRITE | COMMAND_GROWS | COMMAND_FAST,
        .policy = COMMAND_ONE_SHARD,
        .keys = {.first = 1, .last = 1, .step = 1, .access = "RW access update"},
        .group = "string",
        .since = "1.0.0",
        .complexity = "O(1)",
        .summary = "Decrement the integer value of a key by the given number",
        .acl = "@write @string @fast",
    },
    {
        .name = "incrbyfloat",
        .handler = incrbyfloat_run,
        .id = COMMAND_ID_INCRBYFLOAT,
        .semantics = 1,
        .arity_min = 3,
        .arity_max = 3,
        .flags = COMMAND_WRITE | COMMAND_REWRITES | COMMAND_GROWS | COMMAND_FAST,
        .policy = COMMAND_ONE_SHARD,
        .keys = {.first = 1, .last = 1, .step = 1, .access = "RW access update"},
        .group = "string",
        .since = "2.6.0",
        .complexity = "O(1)",
        .summary = "Increment the float value of a key by the given amount",
        .acl = "@write @string @fast",
    },
    {.name = NULL},
};

/* ---- integers -------------------------------------------------------------------------------- */

#define INTEGER_TEXT_BYTES 24u

static size_t integer_text(int64_t value, uint8_t out_text[INTEGER_TEXT_BYTES])
{
    struct buf text;
    buf_init(&text, INTEGER_TEXT_BYTES);
    buf_printf(&text, "%lld", (long long)value);
    size_t size = text.size;
    memcpy(out_text, text.data, size);
    buf_deinit(&text);
    return size;
}

static bool would_overflow(int64_t value, int64_t increment)
{
    return increment < 0 ? value < INT64_MIN - increment : value > INT64_MAX - increment;
}

/* Reads an integer, 0 if the key is absent, and puts it back with the increment. */
static enum command_result add(struct command_call *call, int64_t increment)
{
    struct string string;
    enum command_result stop;
    if (!string_get(call, call->args[1], &string, &stop)) {
        return stop;
    }
    int64_t value = 0;
    if (string.is_there && !string_integer(call, string.object.value, &value)) {
        return COMMAND_ERROR;
    }
    if (would_overflow(value, increment)) {
        return command_fail(call, "ERR increment or decrement would overflow");
    }
    value += increment;
    uint8_t text[INTEGER_TEXT_BYTES];
    string.object.value = bytes_of(text, integer_text(value, text));
    string_put(call, call->args[1], &string.object);
    resp_write_integer(call->reply, value);
    return COMMAND_DONE;
}

static enum command_result incr_run(struct command_call *call)
{
    return add(call, 1);
}

static enum command_result decr_run(struct command_call *call)
{
    return add(call, -1);
}

static enum command_result incrby_run(struct command_call *call)
{
    int64_t increment = 0;
    if (!string_integer(call, call->args[2], &increment)) {
        return COMMAND_ERROR;
    }
    return add(call, increment);
}

static enum command_result decrby_run(struct command_call *call)
{
    int64_t decrement = 0;
    if (!string_integer(call, call->args[2], &decrement)) {
        return COMMAND_ERROR;
    }
    if (decrement == INT64_MIN) { /* has no positive twin */
        return command_fail(call, "ERR decrement would overflow");
    }
    return add(call, -decrement);
}

/* ---- INCRBYFLOAT ----------------------------------------------------------------------------- */

/* The digits that replicas compute must be the same, and those of Redis: x87 extended precision. */
static_assert(LDBL_MANT_DIG == 64 && LDBL_MAX_EXP == 16384, "INCRBYFLOAT needs 80 bit floats");

/* Longer texts are no floats; also, what is written fits: all digits of LDBL_MAX and 17 more. */
#define FLOAT_TEXT_BYTES (5u * KIB)
#define FLOAT_DIGITS 17

/* As strtold: also hexadecimal and infinity. Neither blanks around it, nor NaN, nor what is too
   large or too small to be anything but infinity or 0. */
static bool float_parse(struct bytes text, long double *out_value)
{
    char copy[FLOAT_TEXT_BYTES];
    if (text.size == 0 || text.size >= sizeof copy || strchr(" \t\n\v\f\r", text.data[0]) != NULL) {
        return false;
    }
    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    char *end = NULL;
    errno = 0;
    long double value = strtold(copy, &end);
    bool is_lost = errno == ERANGE && (isinf(value) || value == 0);
    if (end != copy + text.size || is_lost || isnan(value)) {
        return false;
    }
    *out_value = value;
    return true;
}

/* Digits up to the last that is not 0; no exponent, and no negative zero. */
static size_t float_text(long double value, char out_text[FLOAT_TEXT_BYTES])
{
    int printed = snprintf(out_text, FLOAT_TEXT_BYTES, "%.*Lf", FLOAT_DIGITS, value);
    ensure(printed > FLOAT_DIGITS && (size_t)printed < FLOAT_TEXT_BYTES);
    size_t size = (size_t)printed;
    while (out_text[size - 1] == '0') {
        size--;
    }
    if (out_text[size - 1] == '.') {
        size--;
    }
    if (size == 2 && out_text[0] == '-' && out_text[1] == '0') {
        out_text[0] = '0';
        size = 1;
    }
    return size;
}

static enum command_result incrbyfloat_run(struct command_call *call)
{
    struct string string;
    enum command_result stop;
    if (!string_get(call, call->args[1], &string, &stop)) {
        return stop;
    }
    long double value = 0;
    long double increment = 0;
    if ((string.is_there && !float_parse(string.object.value, &value)) ||
        !float_parse(call->args[2], &increment)) {
        return command_fail(call, "ERR value is not a valid float");
    }
    value += increment;
    if (!isfinite(value)) {
        return command_fail(call, "ERR increment would produce NaN or Infinity");
    }
    char text[FLOAT_TEXT_BYTES];
    string.object.value = bytes_of(text, float_text(value, text));
    string_put(call, call->args[1], &string.object);
    resp_write_bulk(call->reply, string.object.value);
    return COMMAND_DONE;
}
