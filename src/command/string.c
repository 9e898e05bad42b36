/* Commands on strings. */
#include "base/assert.h"
#include "command/command.h"
#include "protocol/resp_writer.h"

static enum command_result get_run(struct command_call *call);
static enum command_result set_run(struct command_call *call);
static enum command_result incr_run(struct command_call *call);
static enum command_result mget_run(struct command_call *call);

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
        .name = "set",
        .handler = set_run,
        .id = COMMAND_ID_SET,
        .semantics = 1,
        .arity_min = 3,
        .arity_max = -1,
        .flags = COMMAND_WRITE | COMMAND_GROWS,
        .policy = COMMAND_ONE_SHARD,
        .keys = {.first = 1, .last = 1, .step = 1, .access = "RW access update variable_flags"},
        .group = "string",
        .since = "1.0.0",
        .complexity = "O(1)",
        .summary = "Set the string value of a key",
        .acl = "@write @string @slow",
    },
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
        .complexity = "O(N) where N is the number of keys to retrieve",
        .summary = "Get the values of all the given keys",
        .acl = "@read @string @fast",
    },
    {.name = NULL},
};

/* ---- GET ------------------------------------------------------------------------------------- */

static enum command_result get_run(struct command_call *call)
{
    struct object object;
    enum status s = view_get(call->view, call->args[1], &object);
    if (s == STATUS_NEED) {
        return COMMAND_NEED;
    }
    if (s == STATUS_NOT_FOUND) {
        resp_write_null(call->reply, call->resp);
    } else {
        resp_write_bulk(call->reply, object.value);
    }
    return COMMAND_DONE;
}

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

/* ---- SET ------------------------------------------------------------------------------------- */

enum set_condition {
    SET_ALWAYS,
    SET_IF_ABSENT,
    SET_IF_PRESENT
};

enum set_expiry {
    EXPIRY_NONE,
    EXPIRY_KEEP,
    EXPIRY_EX,
    EXPIRY_PX,
    EXPIRY_EXAT,
    EXPIRY_PXAT
};

struct set_options {
    enum set_condition condition;
    enum set_expiry expiry;
    bool returns_old;
    struct bytes expiry_text;
};

/* The option words, and what they may not stand beside. */
static bool take_condition(struct set_options *o, enum set_condition condition)
{
    bool is_free = o->condition == SET_ALWAYS || o->condition == condition;
    o->condition = condition;
    return is_free;
}

static bool take_expiry(struct set_options *o, enum set_expiry expiry)
{
    bool is_free = o->expiry == EXPIRY_NONE || o->expiry == expiry; /* twice the same: the last */
    o->expiry = expiry;
    return is_free;
}

static bool set_parse(const struct command_call *call, struct set_options *out_options)
{
    static const struct {
        const char *word;
        enum set_expiry expiry;
    } times[] = {{"ex", EXPIRY_EX},
                 {"px", EXPIRY_PX},
                 {"exat", EXPIRY_EXAT},
                 {"pxat", EXPIRY_PXAT}};

    struct set_options o = {0};
    for (size_t i = 3; i < call->arg_count; i++) {
        struct bytes word = call->args[i];
        bool is_good = false;
        if (bytes_equal_nocase(word, "nx")) {
            is_good = take_condition(&o, SET_IF_ABSENT);
        } else if (bytes_equal_nocase(word, "xx")) {
            is_good = take_condition(&o, SET_IF_PRESENT);
        } else if (bytes_equal_nocase(word, "get")) {
            is_good = true;
            o.returns_old = true;
        } else if (bytes_equal_nocase(word, "keepttl")) {
            is_good = take_expiry(&o, EXPIRY_KEEP);
        }
        for (size_t t = 0; t < sizeof times / sizeof times[0] && !is_good; t++) {
            if (bytes_equal_nocase(word, times[t].word) && i + 1 < call->arg_count) {
                is_good = take_expiry(&o, times[t].expiry);
                o.expiry_text = call->args[++i];
                break;
            }
        }
        if (!is_good) {
            return false;
        }
    }
    *out_options = o;
    return true;
}

/* Absolute time of the expiry; false after having written the error. */
static bool set_expires_ms(struct command_call *call,
                           const struct set_options *o,
                           uint64_t *out_expires_ms)
{
    if (o->expiry == EXPIRY_NONE || o->expiry == EXPIRY_KEEP) {
        *out_expires_ms = 0;
        return true;
    }
    int64_t value = 0;
    if (!bytes_to_i64(o->expiry_text, &value)) {
        resp_write_error(call->reply, "ERR value is not an integer or out of range");
        return false;
    }
    bool in_seconds = o->expiry == EXPIRY_EX || o->expiry == EXPIRY_EXAT;
    bool is_relative = o->expiry == EXPIRY_EX || o->expiry == EXPIRY_PX;
    int64_t base = is_relative ? (int64_t)call->now_ms : 0;
    if (value <= 0 || (in_seconds && value > INT64_MAX / 1000) ||
        (in_seconds ? value * 1000 : value) > INT64_MAX - base) {
        resp_write_errorf(call->reply,
                          "ERR invalid expire time in '%s' command",
                          call->command->name);
        return false;
    }
    *out_expires_ms = (uint64_t)((in_seconds ? value * 1000 : value) + base);
    return true;
}

static enum command_result set_run(struct command_call *call)
{
    struct set_options o;
    if (!set_parse(call, &o)) {
        return command_fail(call, "ERR syntax error");
    }
    struct object object = {.type = OBJECT_TYPE_STRING, .value = call->args[2]};
    if (!set_expires_ms(call, &o, &object.expires_ms)) {
        return COMMAND_ERROR;
    }
    struct object old = {0};
    enum status s = view_get(call->view, call->args[1], &old);
    if (s == STATUS_NEED) {
        return COMMAND_NEED;
    }
    bool is_there = s == STATUS_OK;
    bool is_set = o.condition == SET_ALWAYS || is_there == (o.condition == SET_IF_PRESENT);
    if (o.returns_old && is_there) {
        resp_write_bulk(call->reply, old.value);
    } else if (o.returns_old || !is_set) {
        resp_write_null(call->reply, call->resp);
    } else {
        resp_write_simple(call->reply, "OK");
    }
    if (!is_set) {
        return COMMAND_DONE;
    }
    if (o.expiry == EXPIRY_KEEP && is_there) {
        object.expires_ms = old.expires_ms;
    }
    s = view_put(call->view, call->args[1], &object);
    ensure(s == STATUS_OK); /* the key was just read */
    return COMMAND_DONE;
}

/* ---- INCR ------------------------------------------------------------------------------------ */

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

static enum command_result incr_run(struct command_call *call)
{
    struct object object;
    enum status s = view_get(call->view, call->args[1], &object);
    if (s == STATUS_NEED) {
        return COMMAND_NEED;
    }
    int64_t value = 0;
    if (s == STATUS_NOT_FOUND) {
        object = (struct object){.type = OBJECT_TYPE_STRING};
    } else if (!bytes_to_i64(object.value, &value)) {
        return command_fail(call, "ERR value is not an integer or out of range");
    }
    if (value == INT64_MAX) {
        return command_fail(call, "ERR increment or decrement would overflow");
    }
    value++;
    uint8_t text[INTEGER_TEXT_BYTES];
    object.value = bytes_of(text, integer_text(value, text));
    s = view_put(call->view, call->args[1], &object);
    ensure(s == STATUS_OK);
    resp_write_integer(call->reply, value);
    return COMMAND_DONE;
}
