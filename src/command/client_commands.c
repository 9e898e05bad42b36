/* CLIENT and MONITOR: connections of this node. */
#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"
#include "command/client_filter.h"
#include "command/client_name.h"
#include "command/clients.h"
#include "command/command.h"
#include "command/help.h"
#include "protocol/resp_writer.h"

static enum command_result client_caching_run(struct command_call *call);
static enum command_result client_getname_run(struct command_call *call);
static enum command_result client_getredir_run(struct command_call *call);
static enum command_result client_help_run(struct command_call *call);
static enum command_result client_id_run(struct command_call *call);
static enum command_result client_info_run(struct command_call *call);
static enum command_result client_kill_run(struct command_call *call);
static enum command_result client_list_run(struct command_call *call);
static enum command_result client_no_evict_run(struct command_call *call);
static enum command_result client_pause_run(struct command_call *call);
static enum command_result client_reply_run(struct command_call *call);
static enum command_result client_setname_run(struct command_call *call);
static enum command_result client_tracking_run(struct command_call *call);
static enum command_result client_trackinginfo_run(struct command_call *call);
static enum command_result client_unblock_run(struct command_call *call);
static enum command_result client_unpause_run(struct command_call *call);
static enum command_result monitor_run(struct command_call *call);
static enum command_result client_setinfo_run(struct command_call *call);

static const struct command client_subcommands[] = {
    {
        .name = "caching",
        .container = "client",
        .handler = client_caching_run,
        .arity_min = 3,
        .arity_max = 3,
        .flags = COMMAND_NO_SCRIPT | COMMAND_STALE_OK,
        .group = "connection",
        .since = "6.0.0",
        .complexity = "O(1)",
        .summary = "Instruct the server about tracking or not keys in the next request",
        .acl = "@slow @connection",
    },
    {
        .name = "getname",
        .container = "client",
        .handler = client_getname_run,
        .arity_min = 2,
        .arity_max = 2,
        .flags = COMMAND_NO_SCRIPT | COMMAND_STALE_OK,
        .group = "connection",
        .since = "2.6.9",
        .complexity = "O(1)",
        .summary = "Get the current connection name",
        .acl = "@slow @connection",
    },
    {
        .name = "getredir",
        .container = "client",
        .handler = client_getredir_run,
        .arity_min = 2,
        .arity_max = 2,
        .flags = COMMAND_NO_SCRIPT | COMMAND_STALE_OK,
        .group = "connection",
        .since = "6.0.0",
        .complexity = "O(1)",
        .summary = "Get tracking notifications redirection client ID if any",
        .acl = "@slow @connection",
    },
    {
        .name = "help",
        .container = "client",
        .handler = client_help_run,
        .arity_min = 2,
        .arity_max = 2,
        .flags = COMMAND_STALE_OK,
        .group = "connection",
        .since = "5.0.0",
        .complexity = "O(1)",
        .summary = "Show helpful text about the different subcommands",
        .acl = "@slow @connection",
    },
    {
        .name = "id",
        .container = "client",
        .handler = client_id_run,
        .arity_min = 2,
        .arity_max = 2,
        .flags = COMMAND_NO_SCRIPT | COMMAND_STALE_OK,
        .group = "connection",
        .since = "5.0.0",
        .complexity = "O(1)",
        .summary = "Returns the client ID for the current connection",
        .acl = "@slow @connection",
    },
    {
        .name = "info",
        .container = "client",
        .handler = client_info_run,
        .arity_min = 2,
        .arity_max = 2,
        .flags = COMMAND_NO_SCRIPT | COMMAND_STALE_OK,
        .group = "connection",
        .since = "6.2.0",
        .complexity = "O(1)",
        .summary = "Returns information about the current client connection.",
        .acl = "@slow @connection",
        .tips = "nondeterministic_output",
    },
    {
        .name = "kill",
        .container = "client",
        .handler = client_kill_run,
        .arity_min = 3,
        .arity_max = -1,
        .flags = COMMAND_ADMIN | COMMAND_NO_SCRIPT | COMMAND_STALE_OK,
        .group = "connection",
        .since = "2.4.0",
        .complexity = "O(N) where N is the number of client connections",
        .summary = "Kill the connection of a client",
        .acl = "@admin @slow @dangerous @connection",
    },
    {
        .name = "list",
        .container = "client",
        .handler = client_list_run,
        .arity_min = 2,
        .arity_max = -1,
        .flags = COMMAND_ADMIN | COMMAND_NO_SCRIPT | COMMAND_STALE_OK,
        .group = "connection",
        .since = "2.4.0",
        .complexity = "O(N) where N is the number of client connections",
        .summary = "Get the list of client connections",
        .acl = "@admin @slow @dangerous @connection",
        .tips = "nondeterministic_output",
    },
    {
        .name = "no-evict",
        .container = "client",
        .handler = client_no_evict_run,
        .arity_min = 3,
        .arity_max = 3,
        .flags = COMMAND_ADMIN | COMMAND_NO_SCRIPT | COMMAND_STALE_OK,
        .group = "connection",
        .since = "7.0.0",
        .complexity = "O(1)",
        .summary = "Set client eviction mode for the current connection",
        .acl = "@admin @slow @dangerous @connection",
    },
    {
        .name = "pause",
        .container = "client",
        .handler = client_pause_run,
        .arity_min = 3,
        .arity_max = -1,
        .flags = COMMAND_ADMIN | COMMAND_NO_SCRIPT | COMMAND_STALE_OK,
        .group = "connection",
        .since = "2.9.50",
        .complexity = "O(1)",
        .summary = "Stop processing commands from clients for some time",
        .acl = "@admin @slow @dangerous @connection",
    },
    {
        .name = "reply",
        .container = "client",
        .handler = client_reply_run,
        .arity_min = 3,
        .arity_max = 3,
        .flags = COMMAND_NO_SCRIPT | COMMAND_STALE_OK,
        .group = "connection",
        .since = "3.2.0",
        .complexity = "O(1)",
        .summary = "Instruct the server whether to reply to commands",
        .acl = "@slow @connection",
    },
    {
        .name = "setname",
        .container = "client",
        .handler = client_setname_run,
        .arity_min = 3,
        .arity_max = 3,
        .flags = COMMAND_NO_SCRIPT | COMMAND_STALE_OK,
        .group = "connection",
        .since = "2.6.9",
        .complexity = "O(1)",
        .summary = "Set the current connection name",
        .acl = "@slow @connection",
    },
    {
        .name = "tracking",
        .container = "client",
        .handler = client_tracking_run,
        .arity_min = 3,
        .arity_max = -1,
        .flags = COMMAND_NO_SCRIPT | COMMAND_STALE_OK,
        .group = "connection",
        .since = "6.0.0",
        .complexity = "O(1). Some options may introduce additional complexity.",
        .summary = "Enable or disable server assisted client side caching support",
        .acl = "@slow @connection",
    },
    {
        .name = "trackinginfo",
        .container = "client",
        .handler = client_trackinginfo_run,
        .arity_min = 2,
        .arity_max = 2,
        .flags = COMMAND_NO_SCRIPT | COMMAND_STALE_OK,
        .group = "connection",
        .since = "6.2.0",
        .complexity = "O(1)",
        .summary = "Return information about server assisted client side caching for the current "
                   "connection",
        .acl = "@slow @connection",
    },
    {
        .name = "unblock",
        .container = "client",
        .handler = client_unblock_run,
        .arity_min = 3,
        .arity_max = -1,
        .flags = COMMAND_ADMIN | COMMAND_NO_SCRIPT | COMMAND_STALE_OK,
        .group = "connection",
        .since = "5.0.0",
        .complexity = "O(log N) where N is the number of client connections",
        .summary = "Unblock a client blocked in a blocking command from a different connection",
        .acl = "@admin @slow @dangerous @connection",
    },
    {
        .name = "unpause",
        .container = "client",
        .handler = client_unpause_run,
        .arity_min = 2,
        .arity_max = 2,
        .flags = COMMAND_ADMIN | COMMAND_NO_SCRIPT | COMMAND_STALE_OK,
        .group = "connection",
        .since = "6.2.0",
        .complexity = "O(N) Where N is the number of paused clients",
        .summary = "Resume processing of clients that were paused",
        .acl = "@admin @slow @dangerous @connection",
    },
    {
        .name = "setinfo",
        .container = "client",
        .handler = client_setinfo_run,
        .arity_min = 4,
        .arity_max = 4,
        .flags = COMMAND_NO_SCRIPT | COMMAND_STALE_OK,
        .group = "connection",
        .since = "7.2.0",
        .complexity = "O(1)",
        .summary = "Set client or connection specific info",
        .acl = "@slow @connection",
    },
    {.name = NULL},
};

const struct command command_table_client[] = {
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
    {
        .name = "monitor",
        .handler = monitor_run,
        .arity_min = 1,
        .arity_max = 1,
        .flags = COMMAND_ADMIN | COMMAND_NO_SCRIPT | COMMAND_STALE_OK,
        .group = "server",
        .since = "1.0.0",
        .complexity = "",
        .summary = "Listen for all requests received by the server in real time",
        .acl = "@admin @slow @dangerous",
    },
    {.name = NULL},
};

/* A line of CLIENT LIST: addresses, a name, numbers. */
#define CLIENT_LINE_BYTES_MAX (2u * KIB)

/* ---- about oneself --------------------------------------------------------------------------- */

static enum command_result ok(struct command_call *call)
{
    resp_write_simple(call->reply, "OK");
    return COMMAND_DONE;
}

static enum command_result syntax_error(struct command_call *call)
{
    return command_fail(call, "ERR syntax error");
}

/* Too many arguments of a subcommand that has no fixed number of them. */
static enum command_result wrong_count(struct command_call *call)
{
    resp_write_errorf(call->reply,
                      "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try CLIENT "
                      "HELP.",
                      (int)call->args[1].size,
                      (const char *)call->args[1].data);
    return COMMAND_ERROR;
}

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
    return client_name_set(call, call->args[2]) ? ok(call) : COMMAND_ERROR;
}

/* Of Redis 7.2, whose clients send it unasked. Nothing shows it in 7.0: checked, not kept. */
static enum command_result client_setinfo_run(struct command_call *call)
{
    const char *what = NULL;
    if (bytes_equal_nocase(call->args[2], "lib-name")) {
        what = "lib-name";
    } else if (bytes_equal_nocase(call->args[2], "lib-ver")) {
        what = "lib-ver";
    } else {
        resp_write_errorf(call->reply,
                          "ERR Unrecognized option '%.*s'",
                          (int)(call->args[2].size < OPTION_BYTES_SHOWN ? call->args[2].size
                                                                        : OPTION_BYTES_SHOWN),
                          (const char *)call->args[2].data);
        return COMMAND_ERROR;
    }
    return client_text_check(call, call->args[3], what) ? ok(call) : COMMAND_ERROR;
}

static enum command_result client_reply_run(struct command_call *call)
{
    struct client *c = call->client;
    if (bytes_equal_nocase(call->args[2], "on")) {
        c->is_silent = false;
        c->is_skipping = false;
        return ok(call);
    }
    if (bytes_equal_nocase(call->args[2], "off")) {
        c->is_silent = true;
        return COMMAND_DONE;
    }
    if (bytes_equal_nocase(call->args[2], "skip")) {
        c->will_skip = !c->is_silent;
        return COMMAND_DONE;
    }
    return syntax_error(call);
}

static enum command_result client_no_evict_run(struct command_call *call)
{
    bool is_on = bytes_equal_nocase(call->args[2], "on");
    if (!is_on && !bytes_equal_nocase(call->args[2], "off")) {
        return syntax_error(call);
    }
    call->client->is_protected = is_on;
    return ok(call);
}

static enum command_result monitor_run(struct command_call *call)
{
    if (call->client->is_monitor) {
        return COMMAND_DONE; /* no reply: so does Redis */
    }
    call->client->is_monitor = true;
    return ok(call);
}

/* ---- caching by clients: not offered --------------------------------------------------------- */

static enum command_result client_getredir_run(struct command_call *call)
{
    resp_write_integer(call->reply, -1); /* tracking is off */
    return COMMAND_DONE;
}

static enum command_result client_trackinginfo_run(struct command_call *call)
{
    resp_write_map(call->reply, call->resp, 3);
    resp_write_bulk_text(call->reply, "flags");
    resp_write_set(call->reply, call->resp, 1);
    resp_write_bulk_text(call->reply, "off");
    resp_write_bulk_text(call->reply, "redirect");
    resp_write_integer(call->reply, -1);
    resp_write_bulk_text(call->reply, "prefixes");
    resp_write_array(call->reply, 0);
    return COMMAND_DONE;
}

static enum command_result client_caching_run(struct command_call *call)
{
    return command_fail(call,
                        "ERR CLIENT CACHING can be called only when the client is in tracking mode "
                        "with OPTIN or OPTOUT mode enabled");
}

static enum command_result client_tracking_run(struct command_call *call)
{
    static const char *const words[] = {"bcast", "optin", "optout", "noloop"};
    for (size_t i = 3; i < call->arg_count; i++) {
        bool is_known = false;
        for (size_t w = 0; w < sizeof words / sizeof words[0]; w++) {
            is_known = is_known || bytes_equal_nocase(call->args[i], words[w]);
        }
        bool has_value = bytes_equal_nocase(call->args[i], "redirect") ||
                         bytes_equal_nocase(call->args[i], "prefix");
        if (!is_known && (!has_value || ++i == call->arg_count)) {
            return syntax_error(call);
        }
    }
    if (bytes_equal_nocase(call->args[2], "off")) {
        return ok(call);
    }
    if (bytes_equal_nocase(call->args[2], "on")) {
        return command_fail(call, "ERR client-side caching is not supported: tracking stays off");
    }
    return syntax_error(call);
}

/* ---- about others ---------------------------------------------------------------------------- */

static const struct command_clients *clients_of(const struct command_call *call)
{
    ensure(call->server->clients != NULL);
    return call->server->clients;
}

static enum command_result client_info_run(struct command_call *call)
{
    struct buf text;
    buf_init(&text, CLIENT_LINE_BYTES_MAX);
    client_describe(call->client, &text);
    resp_write_verbatim(call->reply, call->resp, "txt", buf_bytes(&text));
    buf_deinit(&text);
    return COMMAND_DONE;
}

/* All connections, oldest first, so by rising id. */
struct listing {
    struct client **clients;
    size_t count;
    struct buf text;
};

static bool gather_one(void *ctx, struct client *client)
{
    struct listing *listing = ctx;
    listing->clients[listing->count++] = client;
    return listing->count < LIMIT_CONNECTIONS;
}

static int compare_id(const void *id, const void *client)
{
    uint64_t wanted = *(const uint64_t *)id;
    uint64_t found = (*(struct client *const *)client)->id;
    return wanted < found ? -1 : wanted > found;
}

/* In the order of the ids; one that is nobody's is left out. */
static bool list_ids(struct command_call *call, struct listing *l)
{
    for (size_t i = 3; i < call->arg_count; i++) {
        int64_t id = 0;
        if (!bytes_to_i64(call->args[i], &id)) {
            resp_write_error(call->reply, "ERR Invalid client ID");
            return false;
        }
        uint64_t key = (uint64_t)id;
        struct client **found =
            bsearch(&key, l->clients, l->count, sizeof(struct client *), compare_id);
        if (id > 0 && found != NULL && buf_room(&l->text) >= CLIENT_LINE_BYTES_MAX) {
            client_describe(*found, &l->text);
        }
    }
    return true;
}

static bool list_wanted(struct command_call *call, struct listing *l)
{
    bool is_normal = true;
    if (call->arg_count >= 4 && bytes_equal_nocase(call->args[2], "id")) {
        return list_ids(call, l);
    }
    if (call->arg_count == 4 && bytes_equal_nocase(call->args[2], "type")) {
        if (!client_type_read(call, call->args[3], &is_normal)) {
            return false;
        }
    } else if (call->arg_count != 2) {
        (void)syntax_error(call);
        return false;
    }
    for (size_t i = 0; i < l->count && is_normal; i++) {
        client_describe(l->clients[i], &l->text);
    }
    return true;
}

static enum command_result client_list_run(struct command_call *call)
{
    const struct command_clients *clients = clients_of(call);
    struct listing listing = {
        .clients = mem_alloc(sizeof(struct client *) * LIMIT_CONNECTIONS),
    };
    clients->each(clients->owner, gather_one, &listing);
    buf_init(&listing.text, (size_t)CLIENT_LINE_BYTES_MAX * LIMIT_CONNECTIONS);
    bool is_right = list_wanted(call, &listing);
    if (is_right) {
        resp_write_verbatim(call->reply, call->resp, "txt", buf_bytes(&listing.text));
    }
    buf_deinit(&listing.text);
    mem_free(listing.clients);
    return is_right ? COMMAND_DONE : COMMAND_ERROR;
}

struct killing {
    struct command_call *call;
    struct client_filter filter;
    int64_t count;
};

static bool kill_one(void *ctx, struct client *client)
{
    struct killing *k = ctx;
    struct client *me = k->call->client;
    if (client_filter_fits(&k->filter, client, me)) {
        k->count++;
        if (client == me) {
            me->must_close = true; /* with this reply */
        } else {
            const struct command_clients *clients = clients_of(k->call);
            clients->kill(clients->owner, client);
        }
    }
    return true;
}

static enum command_result client_kill_run(struct command_call *call)
{
    struct killing k = {.call = call};
    if (!client_filter_read(call, &k.filter)) {
        return COMMAND_ERROR;
    }
    const struct command_clients *clients = clients_of(call);
    clients->each(clients->owner, kill_one, &k);
    bool is_old_form = call->arg_count == 3;
    if (!is_old_form) {
        resp_write_integer(call->reply, k.count);
        return COMMAND_DONE;
    }
    return k.count > 0 ? ok(call) : command_fail(call, "ERR No such client");
}

static enum command_result client_pause_run(struct command_call *call)
{
    if (call->arg_count > 4) {
        return wrong_count(call);
    }
    bool is_all = call->arg_count == 3 || bytes_equal_nocase(call->args[3], "all");
    if (!is_all && !bytes_equal_nocase(call->args[3], "write")) {
        return command_fail(call, "ERR CLIENT PAUSE mode must be WRITE or ALL");
    }
    int64_t timeout_ms = 0;
    if (!bytes_to_i64(call->args[2], &timeout_ms)) {
        return command_fail(call, "ERR timeout is not an integer or out of range");
    }
    if (timeout_ms < 0) {
        return command_fail(call, "ERR timeout is negative");
    }
    const struct command_clients *clients = clients_of(call);
    clients->pause(clients->owner, (uint64_t)timeout_ms, is_all);
    return ok(call);
}

static enum command_result client_unpause_run(struct command_call *call)
{
    const struct command_clients *clients = clients_of(call);
    clients->unpause(clients->owner);
    return ok(call);
}

/* Nobody waits for a key: no command blocks yet. */
static enum command_result client_unblock_run(struct command_call *call)
{
    if (call->arg_count > 4) {
        return wrong_count(call);
    }
    if (call->arg_count == 4 && !bytes_equal_nocase(call->args[3], "timeout") &&
        !bytes_equal_nocase(call->args[3], "error")) {
        return command_fail(call, "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
    }
    int64_t id = 0;
    if (!bytes_to_i64(call->args[2], &id)) {
        return command_fail(call, "ERR value is not an integer or out of range");
    }
    resp_write_integer(call->reply, 0);
    return COMMAND_DONE;
}

/* ---- HELP ------------------------------------------------------------------------------------ */

static enum command_result client_help_run(struct command_call *call)
{
    static const char *const lines[] = {
        "CACHING (YES|NO)",
        "    Enable/disable tracking of the keys for next command in OPTIN/OPTOUT modes.",
        "GETREDIR",
        "    Return the client ID we are redirecting to when tracking is enabled.",
        "GETNAME",
        "    Return the name of the current connection.",
        "ID",
        "    Return the ID of the current connection.",
        "INFO",
        "    Return information about the current client connection.",
        "KILL <ip:port>",
        "    Kill connection made from <ip:port>.",
        "KILL <option> <value> [<option> <value> [...]]",
        "    Kill connections. Options are:",
        "    * ADDR (<ip:port>|<unixsocket>:0)",
        "      Kill connections made from the specified address",
        "    * LADDR (<ip:port>|<unixsocket>:0)",
        "      Kill connections made to specified local address",
        "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
        "      Kill connections by type.",
        "    * USER <username>",
        "      Kill connections authenticated by <username>.",
        "    * SKIPME (YES|NO)",
        "      Skip killing current connection (default: yes).",
        "LIST [options ...]",
        "    Return information about client connections. Options:",
        "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
        "      Return clients of specified type.",
        "UNPAUSE",
        "    Stop the current client pause, resuming traffic.",
        "PAUSE <timeout> [WRITE|ALL]",
        "    Suspend all, or just write, clients for <timeout> milliseconds.",
        "REPLY (ON|OFF|SKIP)",
        "    Control the replies sent to the current connection.",
        "SETNAME <name>",
        "    Assign the name <name> to the current connection.",
        "UNBLOCK <clientid> [TIMEOUT|ERROR]",
        "    Unblock the specified blocked client.",
        "TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> [...]]",
        "         [OPTIN] [OPTOUT] [NOLOOP]",
        "    Control server assisted client side caching.",
        "TRACKINGINFO",
        "    Report tracking status for the current connection.",
        "NO-EVICT (ON|OFF)",
        "    Protect current client connection from eviction.",
        NULL,
    };
    return command_help(call, lines);
}
