/* DEBUG: the few subcommands that tests of clients use. */
#include <math.h>
#include <stdlib.h>

#include "base/assert.h"
#include "command/admin.h"
#include "command/command.h"
#include "command/help.h"
#include "protocol/resp_writer.h"

#define SECOND_US 1000000.0
#define SLEEP_SECONDS_MAX 86400.0
#define NUMBER_BYTES 64u
#define SHOWN_BYTES 128

static enum command_result debug_run(struct command_call *call);

const struct command command_table_debug[] = {
    {
        .name = "debug",
        .handler = debug_run,
        .arity_min = 2,
        .arity_max = -1,
        .flags = COMMAND_ADMIN | COMMAND_NO_SCRIPT | COMMAND_STALE_OK,
        .group = "server",
        .since = "1.0.0",
        .complexity = "Depends on subcommand.",
        .summary = "A container for debugging commands",
        .acl = "@admin @slow @dangerous",
    },
    {.name = NULL},
};

/* As strtod: what is no number is 0. */
static double seconds_of(struct bytes text)
{
    char copy[NUMBER_BYTES] = {0};
    memcpy(copy, text.data, text.size < sizeof copy - 1 ? text.size : sizeof copy - 1);
    double seconds = strtod(copy, NULL);
    if (isnan(seconds) || seconds < 0) {
        return 0;
    }
    return seconds < SLEEP_SECONDS_MAX ? seconds : SLEEP_SECONDS_MAX;
}

/* Only this connection sleeps; Redis would stand still for all. */
static void debug_sleep(struct command_call *call)
{
    call->client->sleep_us = (uint64_t)(seconds_of(call->args[2]) * SECOND_US);
}

static void set_active_expire(struct command_call *call)
{
    ensure(call->server->admin != NULL);
    call->server->admin->settings->is_expiring = seconds_of(call->args[2]) >= 1;
}

/* There is no Java here, and thus no map of its memory. */
static void debug_jmap(struct command_call *call)
{
    (void)call;
}

static const struct {
    const char *name;
    size_t arg_count;
    void (*run)(struct command_call *call);
} subcommands[] = {
    {"sleep", 3, debug_sleep},
    {"jmap", 2, debug_jmap},
    {"set-active-expire", 3, set_active_expire},
};

static enum command_result debug_help(struct command_call *call)
{
    static const char *const lines[] = {
        "JMAP",
        "    Do nothing.",
        "SET-ACTIVE-EXPIRE <0|1>",
        "    Setting it to 0 disables the deletion of expired keys that nobody asks for,",
        "    in the groups that this node leads.",
        "SLEEP <seconds>",
        "    Stop this connection for <seconds>. Decimals allowed.",
        NULL,
    };
    return command_help(call, lines);
}

static enum command_result debug_run(struct command_call *call)
{
    struct bytes name = call->args[1];
    if (call->arg_count == 2 && bytes_equal_nocase(name, "help")) {
        return debug_help(call);
    }
    for (size_t i = 0; i < sizeof subcommands / sizeof subcommands[0]; i++) {
        if (call->arg_count == subcommands[i].arg_count &&
            bytes_equal_nocase(name, subcommands[i].name)) {
            subcommands[i].run(call);
            resp_write_simple(call->reply, "OK");
            return COMMAND_DONE;
        }
    }
    resp_write_errorf(call->reply,
                      "ERR unknown subcommand or wrong number of arguments for '%.*s'. "
                      "Try DEBUG HELP.",
                      (int)(name.size < SHOWN_BYTES ? name.size : SHOWN_BYTES),
                      (const char *)name.data);
    return COMMAND_ERROR;
}
