/* Commands about the connection itself. They run on the node the client talks to. */
#include <inttypes.h>

#include "base/assert.h"
#include "command/command.h"
#include "command/version.h"
#include "protocol/resp_writer.h"

static enum command_result ping_run(struct command_call *call);
static enum command_result echo_run(struct command_call *call);
static enum command_result hello_run(struct command_call *call);
static enum command_result select_run(struct command_call *call);
static enum command_result quit_run(struct command_call *call);
static enum command_result client_id_run(struct command_call *call);
static enum command_result client_getname_run(struct command_call *call);
static enum command_result client_setname_run(struct command_call *call);
static enum command_result client_setinfo_run(struct command_call *call);
static enum command_result client_info_run(struct command_call *call);

#define CLIENT_ROW(name_, run, min, max, since_, summary_)                                         \
    {                                                                                              \
        .name = (name_), .container = "client", .handler = (run), .arity_min = (min),              \
        .arity_max = (max), .flags = COMMAND_NO_SCRIPT | COMMAND_STALE_OK, .group = "connection",  \
        .since = (since_), .complexity = "O(1)", .summary = (summary_),                            \
        .acl = "@slow @connection",                                                                \
    }

static const struct command client_subcommands[] = {
    CLIENT_ROW("id",
               client_id_run,
               2,
               2,
               "5.0.0",
               "Returns the client ID for the current connection"),
    CLIENT_ROW("info",
               client_info_run,
               2,
               2,
               "6.2.0",
               "Returns information about the current client connection."),
    CLIENT_ROW("getname", client_getname_run, 2, 2, "2.6.9", "Get the current connection name"),
    CLIENT_ROW("setname", client_setname_run, 3, 3, "2.6.9", "Set the current connection name"),
    CLIENT_ROW("setinfo",
               client_setinfo_run,
               4,
               4,
               "7.2.0",
               "Set client or connection specific info"),
    {.name = NULL},
};

const struct command command_table_connection[] = {
    {
        .name = "ping",
        .handler = ping_run,
        .arity_min = 1,
        .arity_max = 2,
        .flags = COMMAND_FAST | COMMAND_STALE_OK,
        .group = "connection",
        .since = "1.0.0",
        .complexity = "O(1)",
        .summary = "Ping the server",
        .acl = "@fast @connection",
    },
    {
        .name = "echo",
        .handler = echo_run,
        .arity_min = 2,
        .arity_max = 2,
        .flags = COMMAND_FAST | COMMAND_STALE_OK,
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
        .flags = COMMAND_FAST | COMMAND_STALE_OK | COMMAND_NO_AUTH | COMMAND_NO_SCRIPT,
        .group = "connection",
        .since = "6.0.0",
        .complexity = "O(1)",
        .summary = "Handshake with Redis",
        .acl = "@fast @connection",
    },
    {
        .name = "select",
        .handler = select_run,
        .arity_min = 2,
        .arity_max = 2,
        .flags = COMMAND_FAST | COMMAND_STALE_OK,
        .group = "connection",
        .since = "1.0.0",
        .complexity = "O(1)",
        .summary = "Change the selected database for the current connection",
        .acl = "@fast @connection",
    },
    {
        .name = "quit",
        .handler = quit_run,
        .arity_min = 1,
        .arity_max = -1,
        .flags = COMMAND_FAST | COMMAND_STALE_OK | COMMAND_NO_AUTH | COMMAND_NO_SCRIPT,
        .group = "connection",
        .since = "1.0.0",
        .complexity = "O(1)",
        .summary = "Close the connection",
        .acl = "@fast @connection",
    },
    {
        .name = "client",
        .arity_min = 2,
        .arity_max = -1,
        .group = "connection",
        .since = "2.4.0",
        .complexity = "Depends on subcommand.",
        .summary = "A container for client connection commands",
        .acl = "@slow",
        .subcommands = client_subcommands,
    },
    {.name = NULL},
};

static enum command_result ok(struct command_call *call)
{
    resp_write_simple(call->reply, "OK");
    return COMMAND_DONE;
}

static enum command_result ping_run(struct command_call *call)
{
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

/* ---- names ----------------------------------------------------------------------------------- */

/* What Redis allows in names: printable, no blanks. */
static bool is_plain(struct bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '!' || text.data[i] > '~') {
            return false;
        }
    }
    return true;
}

static bool set_text(struct command_call *call, struct buf *to, struct bytes text, const char *what)
{
    if (!is_plain(text)) {
        resp_write_errorf(call->reply,
                          "ERR %s cannot contain spaces, newlines or special characters.",
                          what);
        return false;
    }
    if (text.size > to->size_max) {
        resp_write_errorf(call->reply, "ERR %s is longer than %zu bytes", what, to->size_max);
        return false;
    }
    buf_clear(to, 0);
    buf_append_bytes(to, text);
    return true;
}

/* ---- HELLO ----------------------------------------------------------------------------------- */

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

/* There are no users yet but the default one, which has no password. */
static bool hello_auth(struct command_call *call, struct bytes user)
{
    if (!bytes_equal_text(user, "default")) {
        resp_write_error(call->reply,
                         "WRONGPASS invalid username-password pair or user is disabled.");
        return false;
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
    struct bytes name = {0};
    bool has_name = false;
    for (size_t i = 2; i < call->arg_count; i++) {
        size_t left = call->arg_count - i - 1;
        if (bytes_equal_nocase(call->args[i], "auth") && left >= 2) {
            if (!hello_auth(call, call->args[i + 1])) {
                return COMMAND_ERROR;
            }
            i += 2;
        } else if (bytes_equal_nocase(call->args[i], "setname") && left >= 1) {
            name = call->args[++i];
            has_name = true;
        } else {
            resp_write_errorf(call->reply,
                              "ERR Syntax error in HELLO option '%.*s'",
                              (int)(call->args[i].size < 128 ? call->args[i].size : 128),
                              (const char *)call->args[i].data);
            return COMMAND_ERROR;
        }
    }
    if (has_name && !set_text(call, &call->client->name, name, "Client names")) {
        return COMMAND_ERROR;
    }
    call->client->resp = (uint8_t)version;
    hello_reply(call);
    return COMMAND_DONE;
}

/* ---- CLIENT ---------------------------------------------------------------------------------- */

static enum command_result client_id_run(struct command_call *call)
{
    resp_write_integer(call->reply, (int64_t)call->client->id);
    return COMMAND_DONE;
}

static enum command_result client_getname_run(struct command_call *call)
{
    if (call->client->name.size == 0) {
        resp_write_null(call->reply, call->resp);
    } else {
        resp_write_bulk(call->reply, buf_bytes(&call->client->name));
    }
    return COMMAND_DONE;
}

static enum command_result client_setname_run(struct command_call *call)
{
    if (!set_text(call, &call->client->name, call->args[2], "Client names")) {
        return COMMAND_ERROR;
    }
    return ok(call);
}

static enum command_result client_setinfo_run(struct command_call *call)
{
    struct buf *to = NULL;
    const char *what = NULL;
    if (bytes_equal_nocase(call->args[2], "lib-name")) {
        to = &call->client->library_name;
        what = "lib-name";
    } else if (bytes_equal_nocase(call->args[2], "lib-ver")) {
        to = &call->client->library_version;
        what = "lib-ver";
    } else {
        resp_write_errorf(call->reply,
                          "ERR Unrecognized option '%.*s'",
                          (int)(call->args[2].size < 128 ? call->args[2].size : 128),
                          (const char *)call->args[2].data);
        return COMMAND_ERROR;
    }
    return set_text(call, to, call->args[3], what) ? ok(call) : COMMAND_ERROR;
}

static enum command_result client_info_run(struct command_call *call)
{
    struct buf text;
    buf_init(&text, 64 * KIB);
    client_describe(call->client, &text);
    resp_write_verbatim(call->reply, call->resp, "txt", buf_bytes(&text));
    buf_deinit(&text);
    return COMMAND_DONE;
}
