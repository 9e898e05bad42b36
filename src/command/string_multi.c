/*
 * Commands on several strings. Those that write need all their keys in one group: they are one
 * change, and nothing here may be half done.
 */
#include "base/assert.h"
#include "command/string_get.h"
#include "protocol/resp_writer.h"

static enum command_result mget_run(struct command_call *call);
static enum command_result mset_run(struct command_call *call);
static enum command_result msetnx_run(struct command_call *call);

const struct command command_table_string_multi[] = {
    {
        .name = "mget",
        .handler = mget_run,
        .id = COMMAND_ID_MGET,
        .semantics = 1,
        .arity_min = 2,
        .arity_max = -1,
        .flags = COMMAND_READ | COMMAND_FAST,
        .policy = COMMAND_SPLIT_BY_KEY,
        .merge = COMMAND_MERGE_ARRAY,
        .keys = {.first = 1, .last = -1, .step = 1, .access = "RO access"},
        .group = "string",
        .since = "1.0.0",
        .complexity = "O(N) where N is the number of keys to retrieve.",
        .summary = "Get the values of all the given keys",
        .acl = "@read @string @fast",
        .tips = "request_policy:multi_shard",
    },
    {
        .name = "mset",
        .handler = mset_run,
        .id = COMMAND_ID_MSET,
        .semantics = 1,
        .arity_min = 3,
        .arity_max = -1,
        .flags = COMMAND_WRITE | COMMAND_GROWS,
        .policy = COMMAND_ONE_SHARD,
        .keys = {.first = 1, .last = -1, .step = 2, .access = "OW update"},
        .group = "string",
        .since = "1.0.1",
        .complexity = "O(N) where N is the number of keys to set.",
        .summary = "Set multiple keys to multiple values",
        .acl = "@write @string @slow",
        .tips = "request_policy:multi_shard response_policy:all_succeeded",
    },
    {
        .name = "msetnx",
        .handler = msetnx_run,
        .id = COMMAND_ID_MSETNX,
        .semantics = 1,
        .arity_min = 3,
        .arity_max = -1,
        .flags = COMMAND_WRITE | COMMAND_GROWS,
        .policy = COMMAND_ONE_SHARD,
        .keys = {.first = 1, .last = -1, .step = 2, .access = "OW insert"},
        .group = "string",
        .since = "1.0.1",
        .complexity = "O(N) where N is the number of keys to set.",
        .summary = "Set multiple keys to multiple values, only if none of the keys exist",
        .acl = "@write @string @slow",
        .tips = "request_policy:multi_shard response_policy:agg_min",
    },
    {.name = NULL},
};

/* ---- MGET ------------------------------------------------------------------------------------ */

/* Bytes of all values together; false: some row is not at hand. */
static bool mget_size(struct command_call *call, uint64_t *out_size)
{
    uint64_t size = 0;
    for (size_t i = 1; i < call->arg_count; i++) {
        struct object object;
        enum status s = view_get(call->view, call->args[i], &object);
        if (s == STATUS_NEED) {
            return false;
        }
        size += s == STATUS_OK && object.type == OBJECT_TYPE_STRING ? object.value.size : 0;
    }
    *out_size = size;
    return true;
}

/* The same key may be named many times, so a short command could ask for a reply of any size. */
static enum command_result mget_run(struct command_call *call)
{
    uint64_t size = 0;
    if (!mget_size(call, &size)) {
        return COMMAND_NEED;
    }
    if (size > LIMIT_REPLY_VALUES_BYTES) {
        resp_write_errorf(call->reply,
                          "ERR values of more than %u bytes in one reply",
                          LIMIT_REPLY_VALUES_BYTES);
        return COMMAND_ERROR;
    }
    resp_write_array(call->reply, call->arg_count - 1);
    for (size_t i = 1; i < call->arg_count; i++) {
        struct object object;
        enum status s = view_get(call->view, call->args[i], &object);
        ensure(s != STATUS_NEED); /* it was at hand just now */
        if (s == STATUS_OK && object.type == OBJECT_TYPE_STRING) {
            resp_write_bulk(call->reply, object.value);
        } else {
            resp_write_null(call->reply, call->resp);
        }
    }
    return COMMAND_DONE;
}

/* ---- MSET, MSETNX ---------------------------------------------------------------------------- */

/* False after an error: a key without a value. */
static bool has_pairs(struct command_call *call)
{
    if (call->arg_count % 2 == 0) {
        resp_write_errorf(call->reply,
                          "ERR wrong number of arguments for '%s' command",
                          call->command->name);
        return false;
    }
    return true;
}

/* Reads all keys, as none may be missing once the first is written. False: some row is not here. */
static bool read_keys(struct command_call *call, bool *out_is_any_there)
{
    *out_is_any_there = false;
    for (size_t i = 1; i < call->arg_count; i += 2) {
        struct object object;
        enum status s = view_get(call->view, call->args[i], &object);
        if (s == STATUS_NEED) {
            return false;
        }
        *out_is_any_there = *out_is_any_there || s == STATUS_OK;
    }
    return true;
}

/* In the order of the arguments: of a key named twice the last value stays. */
static void put_pairs(struct command_call *call)
{
    for (size_t i = 1; i < call->arg_count; i += 2) {
        struct object object = {.type = OBJECT_TYPE_STRING, .value = call->args[i + 1]};
        string_put(call, call->args[i], &object);
    }
}

static enum command_result mset_run(struct command_call *call)
{
    bool is_any_there = false;
    if (!has_pairs(call)) {
        return COMMAND_ERROR;
    }
    if (!read_keys(call, &is_any_there)) {
        return COMMAND_NEED;
    }
    put_pairs(call);
    resp_write_simple(call->reply, "OK");
    return COMMAND_DONE;
}

static enum command_result msetnx_run(struct command_call *call)
{
    bool is_any_there = false;
    if (!has_pairs(call)) {
        return COMMAND_ERROR;
    }
    if (!read_keys(call, &is_any_there)) {
        return COMMAND_NEED;
    }
    if (!is_any_there) {
        put_pairs(call);
    }
    resp_write_integer(call->reply, is_any_there ? 0 : 1);
    return COMMAND_DONE;
}
