/* DUMP and RESTORE: values as bytes that another server takes, Redis among them. */
#include "base/assert.h"
#include "command/command.h"
#include "command/rdb_string.h"
#include "command/string_get.h"
#include "protocol/resp_writer.h"

static enum command_result dump_run(struct command_call *call);
static enum command_result restore_run(struct command_call *call);

static uint64_t restore_growth(const struct bytes *args, size_t arg_count);

const struct command command_table_dump[] = {
    {
        .name = "dump",
        .handler = dump_run,
        .id = COMMAND_ID_DUMP,
        .semantics = 1,
        .arity_min = 2,
        .arity_max = 2,
        .flags = COMMAND_READ,
        .policy = COMMAND_ONE_SHARD,
        .keys = {.first = 1, .last = 1, .step = 1, .access = "RO access"},
        .group = "generic",
        .since = "2.6.0",
        .complexity =
            "O(1) to access the key and additional O(N*M) to serialize it, where N is the "
            "number of Redis objects composing the value and M their average size. For "
            "small string values the time complexity is thus O(1)+O(1*M) where M is "
            "small, so simply O(1).",
        .summary = "Return a serialized version of the value stored at the specified key.",
        .acl = "@keyspace @read @slow",
        .tips = "nondeterministic_output",
    },
    {
        .name = "restore",
        .handler = restore_run,
        .id = COMMAND_ID_RESTORE,
        .growth_of = restore_growth,
        .semantics = 1,
        .arity_min = 4,
        .arity_max = -1,
        .flags = COMMAND_WRITE | COMMAND_GROWS,
        .policy = COMMAND_ONE_SHARD,
        .keys = {.first = 1, .last = 1, .step = 1, .access = "OW update"},
        .group = "generic",
        .since = "2.6.0",
        .complexity = "O(1) to create the new key and additional O(N*M) to reconstruct the "
                      "serialized value, where N is the number of Redis objects composing the "
                      "value and M their average size. For small string values the time complexity "
                      "is thus O(1)+O(1*M) where M is small, so simply O(1). However for sorted "
                      "set values the complexity is O(N*M*log(N)) because inserting values into "
                      "sorted sets is O(log(N)).",
        .summary = "Create a key using the provided serialized value, previously obtained using "
                   "DUMP.",
        .acl = "@keyspace @write @slow @dangerous",
    },
    {.name = NULL},
};

/* ---- DUMP ------------------------------------------------------------------------------------ */

static enum command_result dump_run(struct command_call *call)
{
    struct object object;
    enum status s = view_get(call->view, call->args[1], &object);
    if (s == STATUS_NEED) {
        return COMMAND_NEED;
    }
    if (s == STATUS_NOT_FOUND) {
        resp_write_null(call->reply, call->resp);
        return COMMAND_DONE;
    }
    ensure(s == STATUS_OK);
    if (object.type != OBJECT_TYPE_STRING) {
        return command_fail(call, "ERR only strings can be dumped here");
    }
    struct buf payload;
    buf_init(&payload, object.value.size + RDB_PAYLOAD_EXTRA_BYTES);
    rdb_string_dump(&payload, object.value);
    resp_write_bulk(call->reply, buf_bytes(&payload));
    buf_deinit(&payload);
    return COMMAND_DONE;
}

/* ---- RESTORE --------------------------------------------------------------------------------- */

#define FREQUENCY_MAX 255

struct restore_options {
    bool is_replacing;
    bool is_absolute;
    bool has_idle_time;
    bool has_frequency;
    int64_t ttl_ms;
};

/* Idle time and frequency are checked and forgotten: they only matter where keys are evicted. */
static bool take_idle_time(struct command_call *call, struct bytes text, struct restore_options *o)
{
    int64_t value = 0;
    if (!string_integer(call, text, &value)) {
        return false;
    }
    if (value < 0) {
        resp_write_error(call->reply, "ERR Invalid IDLETIME value, must be >= 0");
        return false;
    }
    o->has_idle_time = true;
    return true;
}

static bool take_frequency(struct command_call *call, struct bytes text, struct restore_options *o)
{
    int64_t value = 0;
    if (!string_integer(call, text, &value)) {
        return false;
    }
    if (value < 0 || value > FREQUENCY_MAX) {
        resp_write_error(call->reply, "ERR Invalid FREQ value, must be >= 0 and <= 255");
        return false;
    }
    o->has_frequency = true;
    return true;
}

static bool restore_parse(struct command_call *call, struct restore_options *out_options)
{
    struct restore_options o = {0};
    for (size_t i = 4; i < call->arg_count; i++) {
        struct bytes word = call->args[i];
        bool has_value = i + 1 < call->arg_count;
        bool is_good = true;
        if (bytes_equal_nocase(word, "replace")) {
            o.is_replacing = true;
        } else if (bytes_equal_nocase(word, "absttl")) {
            o.is_absolute = true;
        } else if (bytes_equal_nocase(word, "idletime") && has_value && !o.has_frequency) {
            is_good = take_idle_time(call, call->args[++i], &o);
        } else if (bytes_equal_nocase(word, "freq") && has_value && !o.has_idle_time) {
            is_good = take_frequency(call, call->args[++i], &o);
        } else {
            resp_write_error(call->reply, "ERR syntax error");
            is_good = false;
        }
        if (!is_good) {
            return false;
        }
    }
    *out_options = o;
    return true;
}

static bool restore_ttl(struct command_call *call, struct restore_options *o)
{
    if (!string_integer(call, call->args[2], &o->ttl_ms)) {
        return false;
    }
    if (o->ttl_ms < 0) {
        resp_write_error(call->reply, "ERR Invalid TTL value, must be >= 0");
        return false;
    }
    return true;
}

static const char *restore_error(enum rdb_verdict verdict)
{
    switch (verdict) {
    case RDB_GOOD:
        return NULL;
    case RDB_BAD_FOOTER:
        return "ERR DUMP payload version or checksum are wrong";
    case RDB_BAD_FORMAT:
        return "ERR Bad data format";
    case RDB_OTHER_TYPE:
        return "ERR only strings can be restored here, the payload is of another type";
    case RDB_TOO_LARGE:
        return STRING_TOO_LONG;
    }
    unreachable("every verdict on payloads is handled");
}

/* Puts the value, or, as its time has come already, only deletes what was there. */
static void restore_put(struct command_call *call,
                        const struct restore_options *o,
                        struct bytes value)
{
    /* A time beyond the largest one wraps in Redis and is a past one. */
    uint64_t expires_ms = (uint64_t)o->ttl_ms;
    if (o->ttl_ms != 0 && !o->is_absolute) {
        expires_ms += call->now_ms;
    }
    bool is_past = expires_ms != 0 && (expires_ms <= call->now_ms || expires_ms > INT64_MAX);
    struct object object = {
        .type = OBJECT_TYPE_STRING,
        .expires_ms = expires_ms,
        .value = value,
    };
    if (is_past) {
        enum status s = view_delete(call->view, call->args[1]);
        ensure(s == STATUS_OK || s == STATUS_NOT_FOUND);
    } else {
        string_put(call, call->args[1], &object);
    }
}

static enum command_result restore_payload(struct command_call *call,
                                           const struct restore_options *o)
{
    struct buf scratch;
    buf_init(&scratch, LIMIT_VALUE_BYTES);
    struct bytes value = {0};
    enum rdb_verdict verdict = rdb_check_footer(call->args[3]);
    if (verdict == RDB_GOOD) {
        verdict = rdb_string_restore(call->args[3], &scratch, &value);
    }
    if (verdict == RDB_GOOD) {
        restore_put(call, o, value);
        resp_write_simple(call->reply, "OK");
    } else {
        resp_write_error(call->reply, restore_error(verdict));
    }
    buf_deinit(&scratch);
    return verdict == RDB_GOOD ? COMMAND_DONE : COMMAND_ERROR;
}

static enum command_result restore_run(struct command_call *call)
{
    struct restore_options o;
    if (!restore_parse(call, &o)) {
        return COMMAND_ERROR;
    }
    struct object old;
    enum status s = view_get(call->view, call->args[1], &old);
    if (s == STATUS_NEED) {
        return COMMAND_NEED;
    }
    if (s == STATUS_OK && !o.is_replacing) {
        return command_fail(call, "BUSYKEY Target key name already exists.");
    }
    return restore_ttl(call, &o) ? restore_payload(call, &o) : COMMAND_ERROR;
}

static uint64_t restore_growth(const struct bytes *args, size_t arg_count)
{
    (void)arg_count;
    return rdb_string_size_max(args[3]);
}
