/* Commands that answer the whole value of one key, and change or delete it on the way. */
#include "command/expiry.h"
#include "command/string_get.h"

static enum command_result get_run(struct command_call *call);
static enum command_result getdel_run(struct command_call *call);
static enum command_result getex_run(struct command_call *call);
static enum command_result getset_run(struct command_call *call);

const struct command command_table_string[] = {
    {
        .name = "get",
        .handler = get_run,
        .id = COMMAND_ID_GET,
        .semantics = 1,
        .arity_min = 2,
        .arity_max = 2,
        .flags = COMMAND_READ | COMMAND_FAST,
        .policy = COMMAND_ONE_SHARD,
        .keys = {.first = 1, .last = 1, .step = 1, .access = "RO access"},
        .group = "string",
        .since = "1.0.0",
        .complexity = "O(1)",
        .summary = "Get the value of a key",
        .acl = "@read @string @fast",
    },
    {
        .name = "getdel",
        .handler = getdel_run,
        .id = COMMAND_ID_GETDEL,
        .semantics = 1,
        .arity_min = 2,
        .arity_max = 2,
        .flags = COMMAND_WRITE | COMMAND_FAST,
        .policy = COMMAND_ONE_SHARD,
        .keys = {.first = 1, .last = 1, .step = 1, .access = "RW access delete"},
        .group = "string",
        .since = "6.2.0",
        .complexity = "O(1)",
        .summary = "Get the value of a key and delete the key",
        .acl = "@write @string @fast",
    },
    {
        .name = "getex",
        .handler = getex_run,
        .id = COMMAND_ID_GETEX,
        .semantics = 1,
        .arity_min = 2,
        .arity_max = -1,
        .flags = COMMAND_WRITE | COMMAND_REWRITES | COMMAND_FAST,
        .policy = COMMAND_ONE_SHARD,
        .keys = {.first = 1,
                 .last = 1,
                 .step = 1,
                 .access = "RW access update",
                 .note = "RW and UPDATE because it changes the TTL"},
        .group = "string",
        .since = "6.2.0",
        .complexity = "O(1)",
        .summary = "Get the value of a key and optionally set its expiration",
        .acl = "@write @string @fast",
    },
    {
        .name = "getset",
        .handler = getset_run,
        .id = COMMAND_ID_GETSET,
        .semantics = 1,
        .arity_min = 3,
        .arity_max = 3,
        .flags = COMMAND_WRITE | COMMAND_GROWS | COMMAND_FAST,
        .policy = COMMAND_ONE_SHARD,
        .keys = {.first = 1, .last = 1, .step = 1, .access = "RW access update"},
        .group = "string",
        .since = "1.0.0",
        .complexity = "O(1)",
        .summary = "Set the string value of a key and return its old value",
        .acl = "@write @string @fast",
    },
    {.name = NULL},
};

/* ---- GET, GETDEL, GETSET --------------------------------------------------------------------- */

static enum command_result get_run(struct command_call *call)
{
    struct string string;
    enum command_result stop;
    if (!string_get(call, call->args[1], &string, &stop)) {
        return stop;
    }
    string_write(call, &string);
    return COMMAND_DONE;
}

static enum command_result getdel_run(struct command_call *call)
{
    struct string string;
    enum command_result stop;
    if (!string_get(call, call->args[1], &string, &stop)) {
        return stop;
    }
    string_write(call, &string);
    if (string.is_there) {
        string_delete(call, call->args[1]);
    }
    return COMMAND_DONE;
}

static enum command_result getset_run(struct command_call *call)
{
    struct string string;
    enum command_result stop;
    if (!string_get(call, call->args[1], &string, &stop)) {
        return stop;
    }
    string_write(call, &string);
    struct object object = {.type = OBJECT_TYPE_STRING, .value = call->args[2]};
    string_put(call, call->args[1], &object);
    return COMMAND_DONE;
}

/* ---- GETEX ----------------------------------------------------------------------------------- */

struct getex_options {
    bool has_expiry;
    bool persists;
    enum expiry_form form;
    struct bytes expiry_text;
};

/* PERSIST, or one way to say when; each may be repeated, and the last one counts. */
static bool getex_parse(const struct command_call *call, struct getex_options *out_options)
{
    struct getex_options o = {0};
    for (size_t i = 2; i < call->arg_count; i++) {
        enum expiry_form form;
        if (bytes_equal_nocase(call->args[i], "persist")) {
            o.persists = true;
        } else if (expiry_option(call->args[i], &form) && i + 1 < call->arg_count) {
            if (o.has_expiry && o.form != form) {
                return false;
            }
            o.has_expiry = true;
            o.form = form;
            o.expiry_text = call->args[++i];
        } else {
            return false;
        }
        if (o.persists && o.has_expiry) {
            return false;
        }
    }
    *out_options = o;
    return true;
}

static void getex_set_expiry(struct command_call *call, struct object *object, int64_t expires_ms)
{
    if (expires_ms <= (int64_t)call->now_ms) {
        string_delete(call, call->args[1]);
        return;
    }
    object->expires_ms = (uint64_t)expires_ms;
    string_put(call, call->args[1], object);
}

/* Of an absent key the time is not even looked at, as in Redis. */
static enum command_result getex_run(struct command_call *call)
{
    struct getex_options o;
    if (!getex_parse(call, &o)) {
        return command_fail(call, STRING_SYNTAX_ERROR);
    }
    struct string string;
    enum command_result stop;
    if (!string_get(call, call->args[1], &string, &stop)) {
        return stop;
    }
    int64_t expires_ms = 0;
    if (string.is_there && o.has_expiry &&
        !expiry_parse_positive(call, o.expiry_text, o.form, &expires_ms)) {
        return COMMAND_ERROR;
    }
    string_write(call, &string);
    if (string.is_there && o.has_expiry) {
        getex_set_expiry(call, &string.object, expires_ms);
    } else if (o.persists && string.object.expires_ms != 0) {
        string.object.expires_ms = 0;
        string_put(call, call->args[1], &string.object);
    }
    return COMMAND_DONE;
}
