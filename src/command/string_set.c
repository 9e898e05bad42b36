/* SET with its options, and the older commands that are one combination of them each. */
#include "base/assert.h"
#include "command/expiry.h"
#include "command/string_get.h"
#include "protocol/resp_writer.h"

static enum command_result set_run(struct command_call *call);
static enum command_result setex_run(struct command_call *call);
static enum command_result psetex_run(struct command_call *call);
static enum command_result setnx_run(struct command_call *call);

const struct command command_table_string_set[] = {
    {
        .name = "set",
        .handler = set_run,
        .id = COMMAND_ID_SET,
        .semantics = 1,
        .arity_min = 3,
        .arity_max = -1,
        .flags = COMMAND_WRITE | COMMAND_GROWS,
        .policy = COMMAND_ONE_SHARD,
        .keys = {.first = 1,
                 .last = 1,
                 .step = 1,
                 .access = "RW access update variable_flags",
                 .note = "RW and ACCESS due to the optional `GET` argument"},
        .group = "string",
        .since = "1.0.0",
        .complexity = "O(1)",
        .summary = "Set the string value of a key",
        .acl = "@write @string @slow",
    },
    {
        .name = "setex",
        .handler = setex_run,
        .id = COMMAND_ID_SETEX,
        .semantics = 1,
        .arity_min = 4,
        .arity_max = 4,
        .flags = COMMAND_WRITE | COMMAND_GROWS,
        .policy = COMMAND_ONE_SHARD,
        .keys = {.first = 1, .last = 1, .step = 1, .access = "OW update"},
        .group = "string",
        .since = "2.0.0",
        .complexity = "O(1)",
        .summary = "Set the value and expiration of a key",
        .acl = "@write @string @slow",
    },
    {
        .name = "psetex",
        .handler = psetex_run,
        .id = COMMAND_ID_PSETEX,
        .semantics = 1,
        .arity_min = 4,
        .arity_max = 4,
        .flags = COMMAND_WRITE | COMMAND_GROWS,
        .policy = COMMAND_ONE_SHARD,
        .keys = {.first = 1, .last = 1, .step = 1, .access = "OW update"},
        .group = "string",
        .since = "2.6.0",
        .complexity = "O(1)",
        .summary = "Set the value and expiration in milliseconds of a key",
        .acl = "@write @string @slow",
    },
    {
        .name = "setnx",
        .handler = setnx_run,
        .id = COMMAND_ID_SETNX,
        .semantics = 1,
        .arity_min = 3,
        .arity_max = 3,
        .flags = COMMAND_WRITE | COMMAND_GROWS | COMMAND_FAST,
        .policy = COMMAND_ONE_SHARD,
        .keys = {.first = 1, .last = 1, .step = 1, .access = "OW insert"},
        .group = "string",
        .since = "1.0.0",
        .complexity = "O(1)",
        .summary = "Set the value of a key, only if the key does not exist",
        .acl = "@write @string @fast",
    },
    {.name = NULL},
};

static void put_new(struct command_call *call, struct bytes value, int64_t expires_ms)
{
    ensure(expires_ms >= 0);
    struct object object = {
        .type = OBJECT_TYPE_STRING,
        .expires_ms = (uint64_t)expires_ms,
        .value = value,
    };
    string_put(call, call->args[1], &object);
}

/* ---- SET ------------------------------------------------------------------------------------- */

enum set_condition {
    SET_ALWAYS,
    SET_IF_ABSENT,
    SET_IF_PRESENT
};

enum set_expiry {
    SET_NO_EXPIRY,
    SET_KEEPS_EXPIRY,
    SET_HAS_EXPIRY
};

struct set_options {
    enum set_condition condition;
    enum set_expiry expiry;
    enum expiry_form form; /* of SET_HAS_EXPIRY */
    struct bytes expiry_text;
    bool returns_old;
};

/* The option words, and what they may not stand beside. Twice the same is none: the last counts. */
static bool take_condition(struct set_options *o, enum set_condition condition)
{
    bool is_free = o->condition == SET_ALWAYS || o->condition == condition;
    o->condition = condition;
    return is_free;
}

static bool take_keepttl(struct set_options *o)
{
    bool is_free = o->expiry != SET_HAS_EXPIRY;
    o->expiry = SET_KEEPS_EXPIRY;
    return is_free;
}

static bool take_expiry(struct set_options *o, enum expiry_form form, struct bytes text)
{
    bool is_free = o->expiry == SET_NO_EXPIRY || (o->expiry == SET_HAS_EXPIRY && o->form == form);
    o->expiry = SET_HAS_EXPIRY;
    o->form = form;
    o->expiry_text = text;
    return is_free;
}

static bool set_parse(const struct command_call *call, struct set_options *out_options)
{
    struct set_options o = {0};
    for (size_t i = 3; i < call->arg_count; i++) {
        struct bytes word = call->args[i];
        enum expiry_form form;
        bool is_good = false;
        if (bytes_equal_nocase(word, "nx")) {
            is_good = take_condition(&o, SET_IF_ABSENT);
        } else if (bytes_equal_nocase(word, "xx")) {
            is_good = take_condition(&o, SET_IF_PRESENT);
        } else if (bytes_equal_nocase(word, "get")) {
            is_good = true;
            o.returns_old = true;
        } else if (bytes_equal_nocase(word, "keepttl")) {
            is_good = take_keepttl(&o);
        } else if (expiry_option(word, &form) && i + 1 < call->arg_count) {
            is_good = take_expiry(&o, form, call->args[++i]);
        }
        if (!is_good) {
            return false;
        }
    }
    *out_options = o;
    return true;
}

/* What is at the key: only with GET must it be a string. */
static bool set_read(struct command_call *call,
                     bool must_be_string,
                     struct string *out_old,
                     enum command_result *out_stop)
{
    if (must_be_string) {
        return string_get(call, call->args[1], out_old, out_stop);
    }
    struct object object = {0};
    enum status s = view_get(call->view, call->args[1], &object);
    *out_old = (struct string){.is_there = s == STATUS_OK, .object = object};
    *out_stop = COMMAND_NEED;
    return s != STATUS_NEED;
}

static enum command_result set_run(struct command_call *call)
{
    struct set_options o;
    if (!set_parse(call, &o)) {
        return command_fail(call, STRING_SYNTAX_ERROR);
    }
    int64_t expires_ms = 0;
    if (o.expiry == SET_HAS_EXPIRY &&
        !expiry_parse_positive(call, o.expiry_text, o.form, &expires_ms)) {
        return COMMAND_ERROR;
    }
    struct string old;
    enum command_result stop;
    if (!set_read(call, o.returns_old, &old, &stop)) {
        return stop;
    }
    bool is_set = o.condition == SET_ALWAYS || old.is_there == (o.condition == SET_IF_PRESENT);
    if (o.returns_old) {
        string_write(call, &old);
    } else if (is_set) {
        resp_write_simple(call->reply, "OK");
    } else {
        resp_write_null(call->reply, call->resp);
    }
    if (is_set) {
        bool keeps = o.expiry == SET_KEEPS_EXPIRY && old.is_there;
        put_new(call, call->args[2], keeps ? (int64_t)old.object.expires_ms : expires_ms);
    }
    return COMMAND_DONE;
}

/* ---- SETEX, PSETEX, SETNX -------------------------------------------------------------------- */

static enum command_result set_with_expiry(struct command_call *call, enum expiry_form form)
{
    int64_t expires_ms = 0;
    if (!expiry_parse_positive(call, call->args[2], form, &expires_ms)) {
        return COMMAND_ERROR;
    }
    struct string old;
    enum command_result stop;
    if (!set_read(call, false, &old, &stop)) {
        return stop;
    }
    put_new(call, call->args[3], expires_ms);
    resp_write_simple(call->reply, "OK");
    return COMMAND_DONE;
}

static enum command_result setex_run(struct command_call *call)
{
    return set_with_expiry(call, EXPIRY_EX);
}

static enum command_result psetex_run(struct command_call *call)
{
    return set_with_expiry(call, EXPIRY_PX);
}

static enum command_result setnx_run(struct command_call *call)
{
    struct string old;
    enum command_result stop;
    if (!set_read(call, false, &old, &stop)) {
        return stop;
    }
    if (!old.is_there) {
        put_new(call, call->args[2], 0);
    }
    resp_write_integer(call->reply, old.is_there ? 0 : 1);
    return COMMAND_DONE;
}
