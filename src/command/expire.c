/* When keys end: EXPIRE and its relatives, TTL and its relatives, PERSIST. */
#include "base/assert.h"
#include "command/command.h"
#include "command/expiry.h"
#include "protocol/resp_writer.h"

static enum command_result expire_run(struct command_call *call);
static enum command_result pexpire_run(struct command_call *call);
static enum command_result expireat_run(struct command_call *call);
static enum command_result pexpireat_run(struct command_call *call);
static enum command_result ttl_run(struct command_call *call);
static enum command_result pttl_run(struct command_call *call);
static enum command_result expiretime_run(struct command_call *call);
static enum command_result pexpiretime_run(struct command_call *call);
static enum command_result persist_run(struct command_call *call);

#define ONE_KEY(access_)                                                                           \
    {                                                                                              \
        .first = 1, .last = 1, .step = 1, .access = (access_)                                      \
    }

#define EXPIRE_ROW(name_, run, id_, since_, summary_)                                              \
    {                                                                                              \
        .name = (name_), .handler = (run), .id = (id_), .semantics = 1, .arity_min = 3,            \
        .arity_max = -1, .flags = COMMAND_WRITE | COMMAND_REWRITES | COMMAND_FAST,                 \
        .policy = COMMAND_ONE_SHARD, .keys = ONE_KEY("RW update"), .group = "generic",             \
        .since = (since_), .complexity = "O(1)", .summary = (summary_),                            \
        .acl = "@keyspace @write @fast",                                                           \
    }

#define TTL_ROW(name_, run, id_, since_, summary_, tips_)                                          \
    {                                                                                              \
        .name = (name_), .handler = (run), .id = (id_), .semantics = 1, .arity_min = 2,            \
        .arity_max = 2, .flags = COMMAND_READ | COMMAND_FAST, .policy = COMMAND_ONE_SHARD,         \
        .keys = ONE_KEY("RO access"), .group = "generic", .since = (since_), .complexity = "O(1)", \
        .summary = (summary_), .acl = "@keyspace @read @fast", .tips = (tips_),                    \
    }

#define CHANGES_WITH_TIME "nondeterministic_output"

const struct command command_table_expire[] = {
    EXPIRE_ROW("expire",
               expire_run,
               COMMAND_ID_EXPIRE,
               "1.0.0",
               "Set a key's time to live in seconds"),
    EXPIRE_ROW("pexpire",
               pexpire_run,
               COMMAND_ID_PEXPIRE,
               "2.6.0",
               "Set a key's time to live in milliseconds"),
    EXPIRE_ROW("expireat",
               expireat_run,
               COMMAND_ID_EXPIREAT,
               "1.2.0",
               "Set the expiration for a key as a UNIX timestamp"),
    EXPIRE_ROW("pexpireat",
               pexpireat_run,
               COMMAND_ID_PEXPIREAT,
               "2.6.0",
               "Set the expiration for a key as a UNIX timestamp specified in milliseconds"),
    TTL_ROW("ttl",
            ttl_run,
            COMMAND_ID_TTL,
            "1.0.0",
            "Get the time to live for a key in seconds",
            CHANGES_WITH_TIME),
    TTL_ROW("pttl",
            pttl_run,
            COMMAND_ID_PTTL,
            "2.6.0",
            "Get the time to live for a key in milliseconds",
            CHANGES_WITH_TIME),
    TTL_ROW("expiretime",
            expiretime_run,
            COMMAND_ID_EXPIRETIME,
            "7.0.0",
            "Get the expiration Unix timestamp for a key",
            NULL),
    TTL_ROW("pexpiretime",
            pexpiretime_run,
            COMMAND_ID_PEXPIRETIME,
            "7.0.0",
            "Get the expiration Unix timestamp for a key in milliseconds",
            NULL),
    {
        .name = "persist",
        .handler = persist_run,
        .id = COMMAND_ID_PERSIST,
        .semantics = 1,
        .arity_min = 2,
        .arity_max = 2,
        .flags = COMMAND_WRITE | COMMAND_REWRITES | COMMAND_FAST,
        .policy = COMMAND_ONE_SHARD,
        .keys = ONE_KEY("RW update"),
        .group = "generic",
        .since = "2.2.0",
        .complexity = "O(1)",
        .summary = "Remove the expiration from a key",
        .acl = "@keyspace @write @fast",
    },
    {.name = NULL},
};

/* ---- EXPIRE and its relatives ---------------------------------------------------------------- */

struct expire_condition {
    bool is_nx; /* only if it never expires */
    bool is_xx; /* only if it expires */
    bool is_gt; /* only to a later time; never is later than all */
    bool is_lt; /* only to an earlier time */
};

static bool take_condition(struct bytes word, struct expire_condition *c)
{
    if (bytes_equal_nocase(word, "nx")) {
        c->is_nx = true;
    } else if (bytes_equal_nocase(word, "xx")) {
        c->is_xx = true;
    } else if (bytes_equal_nocase(word, "gt")) {
        c->is_gt = true;
    } else if (bytes_equal_nocase(word, "lt")) {
        c->is_lt = true;
    } else {
        return false;
    }
    return true;
}

/* False: the error has been written. */
static bool parse_condition(struct command_call *call, struct expire_condition *out_condition)
{
    struct expire_condition c = {0};
    for (size_t i = 3; i < call->arg_count; i++) {
        struct bytes word = call->args[i];
        if (!take_condition(word, &c)) {
            size_t shown =
                word.size < RESP_ERROR_TEXT_BYTES_MAX ? word.size : RESP_ERROR_TEXT_BYTES_MAX;
            resp_write_errorf(call->reply,
                              "ERR Unsupported option %.*s",
                              (int)shown,
                              (const char *)word.data);
            return false;
        }
    }
    if (c.is_nx && (c.is_xx || c.is_gt || c.is_lt)) {
        resp_write_error(call->reply,
                         "ERR NX and XX, GT or LT options at the same time are not compatible");
        return false;
    }
    if (c.is_gt && c.is_lt) {
        resp_write_error(call->reply, "ERR GT and LT options at the same time are not compatible");
        return false;
    }
    *out_condition = c;
    return true;
}

/* old_ms 0: it never expires. */
static bool condition_holds(const struct expire_condition *c, int64_t new_ms, uint64_t old_ms)
{
    bool is_expiring = old_ms != 0;
    bool is_later = is_expiring && new_ms > 0 && (uint64_t)new_ms > old_ms;
    bool is_earlier = !is_expiring || new_ms < 0 || (uint64_t)new_ms < old_ms;
    return (!c->is_nx || !is_expiring) && (!c->is_xx || is_expiring) && (!c->is_gt || is_later) &&
           (!c->is_lt || is_earlier);
}

static enum command_result set_expiry(struct command_call *call, enum expiry_form form)
{
    struct expire_condition condition;
    int64_t expires_ms = 0;
    if (!parse_condition(call, &condition) ||
        !expiry_parse(call, call->args[2], form, &expires_ms)) {
        return COMMAND_ERROR;
    }
    struct object object;
    enum status s = view_get(call->view, call->args[1], &object);
    if (s == STATUS_NEED) {
        return COMMAND_NEED;
    }
    if (s == STATUS_NOT_FOUND || !condition_holds(&condition, expires_ms, object.expires_ms)) {
        resp_write_integer(call->reply, 0);
        return COMMAND_DONE;
    }
    if (expires_ms <= (int64_t)call->now_ms) {
        s = view_delete(call->view, call->args[1]);
    } else {
        object.expires_ms = (uint64_t)expires_ms;
        s = view_put(call->view, call->args[1], &object);
    }
    ensure(s == STATUS_OK);
    resp_write_integer(call->reply, 1);
    return COMMAND_DONE;
}

static enum command_result expire_run(struct command_call *call)
{
    return set_expiry(call, EXPIRY_EX);
}

static enum command_result pexpire_run(struct command_call *call)
{
    return set_expiry(call, EXPIRY_PX);
}

static enum command_result expireat_run(struct command_call *call)
{
    return set_expiry(call, EXPIRY_EXAT);
}

static enum command_result pexpireat_run(struct command_call *call)
{
    return set_expiry(call, EXPIRY_PXAT);
}

static enum command_result persist_run(struct command_call *call)
{
    struct object object;
    enum status s = view_get(call->view, call->args[1], &object);
    if (s == STATUS_NEED) {
        return COMMAND_NEED;
    }
    bool is_expiring = s == STATUS_OK && object.expires_ms != 0;
    if (is_expiring) {
        object.expires_ms = 0;
        s = view_put(call->view, call->args[1], &object);
        ensure(s == STATUS_OK);
    }
    resp_write_integer(call->reply, is_expiring ? 1 : 0);
    return COMMAND_DONE;
}

/* ---- TTL and its relatives ------------------------------------------------------------------- */

#define TTL_NO_KEY (-2)
#define TTL_NO_EXPIRY (-1)
#define MS_PER_SECOND 1000u

static uint64_t to_seconds(uint64_t ms)
{
    return (ms + MS_PER_SECOND / 2) / MS_PER_SECOND;
}

/* In milliseconds since 1970, or since now. */
static enum command_result write_time(struct command_call *call, bool is_relative, bool in_seconds)
{
    struct object object;
    enum status s = view_get(call->view, call->args[1], &object);
    if (s == STATUS_NEED) {
        return COMMAND_NEED;
    }
    if (s == STATUS_NOT_FOUND || object.expires_ms == 0) {
        resp_write_integer(call->reply, s == STATUS_OK ? TTL_NO_EXPIRY : TTL_NO_KEY);
        return COMMAND_DONE;
    }
    uint64_t time_ms = object.expires_ms;
    if (is_relative) {
        time_ms -= time_ms < call->now_ms ? time_ms : call->now_ms;
    }
    resp_write_integer(call->reply, (int64_t)(in_seconds ? to_seconds(time_ms) : time_ms));
    return COMMAND_DONE;
}

static enum command_result ttl_run(struct command_call *call)
{
    return write_time(call, true, true);
}

static enum command_result pttl_run(struct command_call *call)
{
    return write_time(call, true, false);
}

static enum command_result expiretime_run(struct command_call *call)
{
    return write_time(call, false, true);
}

static enum command_result pexpiretime_run(struct command_call *call)
{
    return write_time(call, false, false);
}
