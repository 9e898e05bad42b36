/* Commands about the server as a whole: how it is, what time it has, and its end. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "command/admin.h"
#include "command/command.h"
#include "command/version.h"
#include "protocol/resp_writer.h"

#define INFO_BYTES_MAX (4u * MIB)
/* There are fewer sections; what is named behind so many is not looked at. */
#define INFO_NAMES_MAX 64u
#define SECOND_US 1000000u
#define TIME_TEXT_BYTES 24u

static enum command_result info_run(struct command_call *call);
static enum command_result lastsave_run(struct command_call *call);
static enum command_result lolwut_run(struct command_call *call);
static enum command_result role_run(struct command_call *call);
static enum command_result shutdown_run(struct command_call *call);
static enum command_result time_run(struct command_call *call);
static enum command_result wait_run(struct command_call *call);

const struct command command_table_server[] = {
    {
        .name = "info",
        .handler = info_run,
        .arity_min = 1,
        .arity_max = -1,
        .flags = COMMAND_STALE_OK,
        .group = "server",
        .since = "1.0.0",
        .complexity = "O(1)",
        .summary = "Get information and statistics about the server",
        .acl = "@slow @dangerous",
        .tips = "nondeterministic_output request_policy:all_shards response_policy:special",
    },
    {
        .name = "lastsave",
        .handler = lastsave_run,
        .arity_min = 1,
        .arity_max = 1,
        .flags = COMMAND_STALE_OK | COMMAND_FAST,
        .group = "server",
        .since = "1.0.0",
        .complexity = "O(1)",
        .summary = "Get the UNIX time stamp of the last successful save to disk",
        .acl = "@admin @fast @dangerous",
        .tips = "nondeterministic_output",
    },
    {
        .name = "lolwut",
        .handler = lolwut_run,
        .arity_min = 1,
        .arity_max = -1,
        .flags = COMMAND_READ | COMMAND_FAST,
        .group = "server",
        .since = "5.0.0",
        .summary = "Display some computer art and the Redis version",
        .acl = "@read @fast",
    },
    {
        .name = "role",
        .handler = role_run,
        .arity_min = 1,
        .arity_max = 1,
        .flags = COMMAND_STALE_OK | COMMAND_FAST | COMMAND_NO_SCRIPT,
        .group = "server",
        .since = "2.8.12",
        .complexity = "O(1)",
        .summary = "Return the role of the instance in the context of replication",
        .acl = "@admin @fast @dangerous",
    },
    {
        .name = "shutdown",
        .handler = shutdown_run,
        .arity_min = 1,
        .arity_max = -1,
        .flags = COMMAND_STALE_OK | COMMAND_ADMIN | COMMAND_NO_SCRIPT | COMMAND_NO_MULTI |
                 COMMAND_ALLOW_BUSY,
        .group = "server",
        .since = "1.0.0",
        .complexity = "O(N) when saving, where N is the total number of keys in all databases when "
                      "saving data, otherwise O(1)",
        .summary = "Synchronously save the dataset to disk and then shut down the server",
        .acl = "@admin @slow @dangerous",
    },
    {
        .name = "time",
        .handler = time_run,
        .arity_min = 1,
        .arity_max = 1,
        .flags = COMMAND_STALE_OK | COMMAND_FAST,
        .group = "server",
        .since = "2.6.0",
        .complexity = "O(1)",
        .summary = "Return the current server time",
        .acl = "@fast",
        .tips = "nondeterministic_output",
    },
    {
        .name = "wait",
        .handler = wait_run,
        .arity_min = 3,
        .arity_max = 3,
        .flags = COMMAND_NO_SCRIPT,
        .group = "generic",
        .since = "3.0.0",
        .complexity = "O(1)",
        .summary = "Wait for the synchronous replication of all the write commands sent in the "
                   "context of the current connection",
        .acl = "@slow @connection",
        .tips = "request_policy:all_shards response_policy:agg_min",
    },
    {.name = NULL},
};

static const struct command_admin *admin_of(const struct command_call *call)
{
    ensure(call->server != NULL);
    ensure(call->server->admin != NULL);
    return call->server->admin;
}

/* ---- INFO, LOLWUT ---------------------------------------------------------------------------- */

static enum command_result info_run(struct command_call *call)
{
    struct buf text;
    buf_init(&text, INFO_BYTES_MAX);
    const struct command_server *server = call->server;
    size_t count = call->arg_count - 1;
    count = count < INFO_NAMES_MAX ? count : INFO_NAMES_MAX;
    server->info(server->owner, call->args + 1, count, &text);
    resp_write_verbatim(call->reply, call->resp, "txt", buf_bytes(&text));
    buf_deinit(&text);
    return COMMAND_DONE;
}

/* A dougong: the brackets that carry a roof without a nail. */
static const char dougong_art[] = "      _______________________      \n"
                                  "      \\___   ___   ___   ___/      \n"
                                  "          \\_/ | \\_/ | \\_/          \n"
                                  "           |__|__|__|__|           \n"
                                  "            \\___   ___/            \n"
                                  "                \\_/                \n"
                                  "                | |                \n"
                                  "                | |                \n\n";

static enum command_result lolwut_run(struct command_call *call)
{
    int64_t version = 0;
    bool has_version = call->arg_count >= 3 && bytes_equal_nocase(call->args[1], "version");
    if (has_version && !bytes_to_i64(call->args[2], &version)) {
        return command_fail(call, "ERR value is not an integer or out of range");
    }
    struct buf text;
    buf_init(&text, 4 * KIB);
    if (version == 5 || version == 6) { /* those that show art in Redis */
        buf_append_text(&text, dougong_art);
    }
    buf_append_text(&text, "Redis ver. " COMMAND_REDIS_VERSION "\n");
    resp_write_verbatim(call->reply, call->resp, "txt", buf_bytes(&text));
    buf_deinit(&text);
    return COMMAND_DONE;
}

/* ---- TIME, LASTSAVE -------------------------------------------------------------------------- */

static uint64_t wall_us(const struct command_call *call)
{
    const struct command_admin *admin = admin_of(call);
    return admin->wall_us(admin->owner);
}

static void write_number_text(struct buf *out, uint64_t value)
{
    char text[TIME_TEXT_BYTES];
    int size = snprintf(text, sizeof text, "%" PRIu64, value);
    ensure(size > 0 && (size_t)size < sizeof text);
    resp_write_bulk_text(out, text);
}

static enum command_result time_run(struct command_call *call)
{
    uint64_t now_us = wall_us(call);
    resp_write_array(call->reply, 2);
    write_number_text(call->reply, now_us / SECOND_US);
    write_number_text(call->reply, now_us % SECOND_US);
    return COMMAND_DONE;
}

/* Nothing is acknowledged before it is on disk, so the last save is always just now. */
static enum command_result lastsave_run(struct command_call *call)
{
    resp_write_integer(call->reply, (int64_t)(wall_us(call) / SECOND_US));
    return COMMAND_DONE;
}

/* ---- ROLE, WAIT ------------------------------------------------------------------------------ */

/* Every node takes writes, and no client ever has to look for another one. */
static enum command_result role_run(struct command_call *call)
{
    const struct command_admin *admin = admin_of(call);
    resp_write_array(call->reply, 3);
    resp_write_bulk_text(call->reply, "master");
    resp_write_integer(call->reply, (int64_t)admin->applied_entries(admin->owner));
    resp_write_array(call->reply, 0);
    return COMMAND_DONE;
}

/*
 * The writes before it on this connection were answered, or will be before this is: by then a
 * majority has them. So there is nothing to wait for, and more than that no wait could promise.
 */
static enum command_result wait_run(struct command_call *call)
{
    int64_t wanted = 0;
    int64_t timeout_ms = 0;
    if (!bytes_to_i64(call->args[1], &wanted)) {
        return command_fail(call, "ERR value is not an integer or out of range");
    }
    if (!bytes_to_i64(call->args[2], &timeout_ms)) {
        return command_fail(call, "ERR timeout is not an integer or out of range");
    }
    if (timeout_ms < 0) {
        return command_fail(call, "ERR timeout is negative");
    }
    const struct command_admin *admin = admin_of(call);
    resp_write_integer(call->reply, admin->acknowledged_replicas(admin->owner));
    return COMMAND_DONE;
}

/* ---- SHUTDOWN -------------------------------------------------------------------------------- */

struct shutdown_words {
    bool has_save;
    bool has_nosave;
    bool has_now;
    bool has_force;
    bool has_abort;
};

static bool shutdown_parse(const struct command_call *call, struct shutdown_words *out_words)
{
    for (size_t i = 1; i < call->arg_count; i++) {
        struct bytes word = call->args[i];
        if (bytes_equal_nocase(word, "nosave")) {
            out_words->has_nosave = true;
        } else if (bytes_equal_nocase(word, "save")) {
            out_words->has_save = true;
        } else if (bytes_equal_nocase(word, "now")) {
            out_words->has_now = true;
        } else if (bytes_equal_nocase(word, "force")) {
            out_words->has_force = true;
        } else if (bytes_equal_nocase(word, "abort")) {
            out_words->has_abort = true;
        } else {
            return false;
        }
    }
    bool has_other =
        out_words->has_save || out_words->has_nosave || out_words->has_now || out_words->has_force;
    return !(out_words->has_abort && has_other) && !(out_words->has_save && out_words->has_nosave);
}

/*
 * Whatever was acknowledged is on disk, so SAVE and NOSAVE are the same; no replica is waited for,
 * so NOW and FORCE change nothing, and there is never a moment in which ABORT could come.
 */
static enum command_result shutdown_run(struct command_call *call)
{
    struct shutdown_words words = {0};
    if (!shutdown_parse(call, &words)) {
        return command_fail(call, "ERR syntax error");
    }
    if (words.has_abort) {
        return command_fail(call, "ERR No shutdown in progress.");
    }
    const struct command_admin *admin = admin_of(call);
    if (!admin->stop(admin->owner)) {
        return command_fail(call, "ERR this node cannot be stopped by a command");
    }
    call->client->must_close = true; /* without a reply, as in Redis */
    return COMMAND_DONE;
}
