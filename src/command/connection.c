/* Commands about the connection itself. They run on the node the client talks to. */
#include "base/assert.h"
#include "command/client_name.h"
#include "command/command.h"
#include "command/version.h"
#include "protocol/resp_writer.h"

static enum command_result ping_run(struct command_call *call);
static enum command_result echo_run(struct command_call *call);
static enum command_result hello_run(struct command_call *call);
static enum command_result auth_run(struct command_call *call);
static enum command_result select_run(struct command_call *call);
static enum command_result reset_run(struct command_call *call);
static enum command_result quit_run(struct command_call *call);

const struct command command_table_connection[] = {
    {
        .name = "ping",
        .handler = ping_run,
        .arity_min = 1,
        .arity_max = -1,
        .flags = COMMAND_FAST,
        .group = "connection",
        .since = "1.0.0",
        .complexity = "O(1)",
        .summary = "Ping the server",
        .acl = "@fast @connection",
        .tips = "request_policy:all_shards response_policy:all_succeeded",
    },
    {
        .name = "echo",
        .handler = echo_run,
        .arity_min = 2,
        .arity_max = 2,
        .flags = COMMAND_STALE_OK | COMMAND_FAST,
        .group = "connection",
        .since = "1.0.0",
        .complexity = "O(1)",
        .summary = "Echo the given string",
        .acl = "@fast @connection",
    },
    {
        .name = "hello",
        .handler = hello_run,
        .arity_min = 1,
        .arity_max = -1,
        .flags = COMMAND_NO_SCRIPT | COMMAND_STALE_OK | COMMAND_FAST | COMMAND_NO_AUTH |
                 COMMAND_ALLOW_BUSY,
        .group = "connection",
        .since = "6.0.0",
        .complexity = "O(1)",
        .summary = "Handshake with Redis",
        .acl = "@fast @connection",
    },
    {
        .name = "auth",
        .handler = auth_run,
        .arity_min = 2,
        .arity_max = -1,
        .flags = COMMAND_NO_SCRIPT | COMMAND_STALE_OK | COMMAND_FAST | COMMAND_NO_AUTH |
                 COMMAND_ALLOW_BUSY,
        .group = "connection",
        .since = "1.0.0",
        .complexity = "O(N) where N is the number of passwords defined for the user",
        .summary = "Authenticate to the server",
        .acl = "@fast @connection",
    },
    {
        .name = "select",
        .handler = select_run,
        .arity_min = 2,
        .arity_max = 2,
        .flags = COMMAND_STALE_OK | COMMAND_FAST,
        .group = "connection",
        .since = "1.0.0",
        .complexity = "O(1)",
        .summary = "Change the selected database for the current connection",
        .acl = "@fast @connection",
    },
    {
        .name = "reset",
        .handler = reset_run,
        .arity_min = 1,
        .arity_max = 1,
        .flags = COMMAND_NO_SCRIPT | COMMAND_STALE_OK | COMMAND_FAST | COMMAND_NO_AUTH |
                 COMMAND_ALLOW_BUSY | COMMAND_NOT_QUEUED,
        .group = "connection",
        .since = "6.2.0",
        .complexity = "O(1)",
        .summary = "Reset the connection",
        .acl = "@fast @connection",
    },
    {
        .name = "quit",
        .handler = quit_run,
        .arity_min = 1,
        .arity_max = -1,
        .flags = COMMAND_NO_SCRIPT | COMMAND_STALE_OK | COMMAND_FAST | COMMAND_NO_AUTH |
                 COMMAND_ALLOW_BUSY | COMMAND_NOT_QUEUED,
        .group = "connection",
        .since = "1.0.0",
        .complexity = "O(1)",
        .summary = "Close the connection",
        .acl = "@fast @connection",
    },
    {.name = NULL},
};

static enum command_result ok(struct command_call *call)
{
    resp_write_simple(call->reply, "OK");
    return COMMAND_DONE;
}

/* Too many words are an error of the command itself: in a transaction the others run. */
static enum command_result ping_run(struct command_call *call)
{
    if (call->arg_count > 2) {
        return command_fail(call, "ERR wrong number of arguments for 'ping' command");
    }
    if (call->arg_count == 2) {
        resp_write_bulk(call->reply, call->args[1]);
    } else {
        resp_write_simple(call->reply, "PONG");
    }
    return COMMAND_DONE;
}

static enum command_result echo_run(struct command_call *call)
{
    resp_write_bulk(call->reply, call->args[1]);
    return COMMAND_DONE;
}

static enum command_result select_run(struct command_call *call)
{
    int64_t database = 0;
    if (!bytes_to_i64(call->args[1], &database)) {
        return command_fail(call, "ERR value is not an integer or out of range");
    }
    if (database < INT32_MIN || database > INT32_MAX) {
        return command_fail(
            call,
            "ERR value is out of range, value must between -2147483648 and 2147483647");
    }
    if (database < 0 || database >= (int64_t)LIMIT_DATABASES) {
        return command_fail(call, "ERR DB index is out of range");
    }
    call->client->database = (uint8_t)database;
    return ok(call);
}

static enum command_result quit_run(struct command_call *call)
{
    call->client->must_close = true;
    return ok(call);
}

/* What HELLO, SELECT, CLIENT, MONITOR and MULTI changed is as it was when the client came. */
static enum command_result reset_run(struct command_call *call)
{
    struct client *c = call->client;
    c->resp = 2;
    c->database = 0;
    c->is_silent = false;
    c->will_skip = false;
    c->is_monitor = false;
    c->wish = CLIENT_WISH_FORGET;
    buf_clear(&c->name, 0);
    resp_write_simple(call->reply, "RESET");
    return COMMAND_DONE;
}

/* ---- AUTH and HELLO -------------------------------------------------------------------------- */

/* There are no users yet but the default one, which has no password: any is right. */
static bool auth_check(struct command_call *call, struct bytes user)
{
    if (!bytes_equal_text(user, "default")) {
        resp_write_error(call->reply,
                         "WRONGPASS invalid username-password pair or user is disabled.");
        return false;
    }
    return true;
}

static enum command_result auth_run(struct command_call *call)
{
    if (call->arg_count > 3) {
        return command_fail(call, "ERR syntax error");
    }
    if (call->arg_count == 2) {
        return command_fail(call,
                            "ERR AUTH <password> called without any password configured for the "
                            "default user. Are you sure your configuration is correct?");
    }
    return auth_check(call, call->args[1]) ? ok(call) : COMMAND_ERROR;
}

static void hello_reply(struct command_call *call)
{
    struct buf *out = call->reply;
    uint8_t resp = call->client->resp;
    resp_write_map(out, resp, 7);
    resp_write_bulk_text(out, "server");
    resp_write_bulk_text(out, "redis");
    resp_write_bulk_text(out, "version");
    resp_write_bulk_text(out, COMMAND_REDIS_VERSION);
    resp_write_bulk_text(out, "proto");
    resp_write_integer(out, resp);
    resp_write_bulk_text(out, "id");
    resp_write_integer(out, (int64_t)call->client->id);
    resp_write_bulk_text(out, "mode");
    resp_write_bulk_text(out, "standalone");
    resp_write_bulk_text(out, "role");
    resp_write_bulk_text(out, "master");
    resp_write_bulk_text(out, "modules");
    resp_write_array(out, 0);
}

/* The options behind the version, each done as it is read: as Redis, a name stays set. */
static bool hello_options(struct command_call *call)
{
    for (size_t i = 2; i < call->arg_count; i++) {
        size_t left = call->arg_count - i - 1;
        if (bytes_equal_nocase(call->args[i], "auth") && left >= 2) {
            if (!auth_check(call, call->args[i + 1])) {
                return false;
            }
            i += 2;
        } else if (bytes_equal_nocase(call->args[i], "setname") && left >= 1) {
            if (!client_name_set(call, call->args[++i])) {
                return false;
            }
        } else {
            resp_write_errorf(call->reply,
                              "ERR Syntax error in HELLO option '%.*s'",
                              (int)(call->args[i].size < OPTION_BYTES_SHOWN ? call->args[i].size
                                                                            : OPTION_BYTES_SHOWN),
                              (const char *)call->args[i].data);
            return false;
        }
    }
    return true;
}

static enum command_result hello_run(struct command_call *call)
{
    int64_t version = call->client->resp;
    if (call->arg_count > 1 && !bytes_to_i64(call->args[1], &version)) {
        return command_fail(call, "ERR Protocol version is not an integer or out of range");
    }
    if (version < 2 || version > 3) {
        return command_fail(call, "NOPROTO unsupported protocol version");
    }
    if (!hello_options(call)) {
        return COMMAND_ERROR;
    }
    call->client->resp = (uint8_t)version;
    hello_reply(call);
    return COMMAND_DONE;
}
