/* Parts of strings: APPEND, GETRANGE, SETRANGE, STRLEN. */
#include "base/mem.h"
#include "command/string_get.h"
#include "protocol/resp_writer.h"

static enum command_result append_run(struct command_call *call);
static enum command_result strlen_run(struct command_call *call);
static enum command_result getrange_run(struct command_call *call);
static enum command_result setrange_run(struct command_call *call);

static uint64_t setrange_growth(const struct bytes *args, size_t arg_count);

const struct command command_table_string_range[] = {
    {
        .name = "append",
        .handler = append_run,
        .id = COMMAND_ID_APPEND,
        .semantics = 1,
        .arity_min = 3,
        .arity_max = 3,
        .flags = COMMAND_WRITE | COMMAND_REWRITES | COMMAND_GROWS | COMMAND_FAST,
        .policy = COMMAND_ONE_SHARD,
        .keys = {.first = 1, .last = 1, .step = 1, .access = "RW insert"},
        .group = "string",
        .since = "2.0.0",
        .complexity = "O(N) where N is the length of the resulting string.",
        .summary = "Append a value to a key",
        .acl = "@write @string @fast",
    },
    {
        .name = "strlen",
        .handler = strlen_run,
        .id = COMMAND_ID_STRLEN,
        .semantics = 1,
        .arity_min = 2,
        .arity_max = 2,
        .flags = COMMAND_READ | COMMAND_FAST,
        .policy = COMMAND_ONE_SHARD,
        .keys = {.first = 1, .last = 1, .step = 1, .access = "RO"},
        .group = "string",
        .since = "2.2.0",
        .complexity = "O(1)",
        .summary = "Get the length of the value stored in a key",
        .acl = "@read @string @fast",
    },
    {
        .name = "getrange",
        .handler = getrange_run,
        .id = COMMAND_ID_GETRANGE,
        .semantics = 1,
        .arity_min = 4,
        .arity_max = 4,
        .flags = COMMAND_READ,
        .policy = COMMAND_ONE_SHARD,
        .keys = {.first = 1, .last = 1, .step = 1, .access = "RO access"},
        .group = "string",
        .since = "2.4.0",
        .complexity =
            "O(N) where N is the length of the returned string. The complexity is ultimately "
            "determined by the returned length, but because creating a substring from an existing "
            "string is very cheap, it can be considered O(1) for small strings.",
        .summary = "Get a substring of the string stored at a key",
        .acl = "@read @string @slow",
    },
    {
        .name = "substr",
        .handler = getrange_run,
        .id = COMMAND_ID_SUBSTR,
        .semantics = 1,
        .arity_min = 4,
        .arity_max = 4,
        .flags = COMMAND_READ,
        .policy = COMMAND_ONE_SHARD,
        .keys = {.first = 1, .last = 1, .step = 1, .access = "RO access"},
        .group = "string",
        .since = "1.0.0",
        .complexity =
            "O(N) where N is the length of the returned string. The complexity is ultimately "
            "determined by the returned length, but because creating a substring from an existing "
            "string is very cheap, it can be considered O(1) for small strings.",
        .summary = "Get a substring of the string stored at a key",
        .acl = "@read @string @slow",
    },
    {
        .name = "setrange",
        .handler = setrange_run,
        .id = COMMAND_ID_SETRANGE,
        .growth_of = setrange_growth,
        .semantics = 1,
        .arity_min = 4,
        .arity_max = 4,
        .flags = COMMAND_WRITE | COMMAND_REWRITES | COMMAND_GROWS,
        .policy = COMMAND_ONE_SHARD,
        .keys = {.first = 1, .last = 1, .step = 1, .access = "RW update"},
        .group = "string",
        .since = "2.2.0",
        .complexity = "O(N) where N is the length of the resulting string.",
        .summary = "Overwrite part of a string at key starting at the specified offset",
        .acl = "@write @string @slow",
    },
    {.name = NULL},
};

/* Puts the value with part laid over it at offset, and replies how long it is now. */
static void put_part(struct command_call *call,
                     struct object *object,
                     size_t offset,
                     struct bytes part)
{
    size_t size = 0;
    uint8_t *value = string_copy_grown(object->value, offset + part.size, &size);
    if (part.size > 0) {
        memcpy(value + offset, part.data, part.size);
    }
    object->value = bytes_of(value, size);
    string_put(call, call->args[1], object);
    mem_free(value);
    resp_write_integer(call->reply, (int64_t)size);
}

/* ---- APPEND, STRLEN -------------------------------------------------------------------------- */

static enum command_result append_run(struct command_call *call)
{
    struct string string;
    enum command_result stop;
    if (!string_get(call, call->args[1], &string, &stop)) {
        return stop;
    }
    struct bytes tail = call->args[2];
    size_t old_size = string.object.value.size;
    if (old_size + tail.size > LIMIT_VALUE_BYTES) {
        return command_fail(call, STRING_TOO_LONG);
    }
    put_part(call, &string.object, old_size, tail);
    return COMMAND_DONE;
}

static enum command_result strlen_run(struct command_call *call)
{
    struct string string;
    enum command_result stop;
    if (!string_get(call, call->args[1], &string, &stop)) {
        return stop;
    }
    resp_write_integer(call->reply, (int64_t)string.object.value.size);
    return COMMAND_DONE;
}

/* ---- GETRANGE, SUBSTR ------------------------------------------------------------------------ */

static enum command_result getrange_run(struct command_call *call)
{
    struct string_range range;
    if (!string_integer(call, call->args[2], &range.first) ||
        !string_integer(call, call->args[3], &range.last)) {
        return COMMAND_ERROR;
    }
    struct string string;
    enum command_result stop;
    if (!string_get(call, call->args[1], &string, &stop)) {
        return stop;
    }
    struct bytes value = string.object.value;
    struct bytes part = {0};
    if (!string_range_is_reversed(&range) && string_range_clamp(&range, value.size)) {
        part = bytes_of(value.data + range.first, (size_t)(range.last - range.first) + 1);
    }
    resp_write_bulk(call->reply, part);
    return COMMAND_DONE;
}

/* ---- SETRANGE -------------------------------------------------------------------------------- */

static enum command_result setrange_run(struct command_call *call)
{
    int64_t offset = 0;
    if (!string_integer(call, call->args[2], &offset)) {
        return COMMAND_ERROR;
    }
    if (offset < 0) {
        return command_fail(call, "ERR offset is out of range");
    }
    struct string string;
    enum command_result stop;
    if (!string_get(call, call->args[1], &string, &stop)) {
        return stop;
    }
    struct bytes part = call->args[3];
    if (part.size == 0) { /* nothing changes, however far away */
        resp_write_integer(call->reply, (int64_t)string.object.value.size);
        return COMMAND_DONE;
    }
    if (part.size > LIMIT_VALUE_BYTES || offset > (int64_t)(LIMIT_VALUE_BYTES - part.size)) {
        return command_fail(call, STRING_TOO_LONG);
    }
    put_part(call, &string.object, (size_t)offset, part);
    return COMMAND_DONE;
}

static uint64_t setrange_growth(const struct bytes *args, size_t arg_count)
{
    (void)arg_count;
    int64_t offset = 0;
    bool is_place = bytes_to_i64(args[2], &offset) && offset >= 0 && offset < LIMIT_VALUE_BYTES;
    return is_place && args[3].size > 0 ? (uint64_t)offset : 0;
}
