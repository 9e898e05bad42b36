/*
 * MULTI and what belongs to it. The handlers check and answer; what is gathered and watched is kept
 * by the connection, which does what they wish of it (client.h).
 */
#include "command/command.h"
#include "protocol/resp_writer.h"

static enum command_result multi_run(struct command_call *call);
static enum command_result exec_run(struct command_call *call);
static enum command_result discard_run(struct command_call *call);
static enum command_result watch_run(struct command_call *call);
static enum command_result unwatch_run(struct command_call *call);

#define TRANSACTION_FLAGS (COMMAND_NO_SCRIPT | COMMAND_STALE_OK)
#define TRANSACTION_FAST_FLAGS (TRANSACTION_FLAGS | COMMAND_FAST | COMMAND_ALLOW_BUSY)

const struct command command_table_transactions[] = {
    {
        .name = "multi",
        .handler = multi_run,
        .arity_min = 1,
        .arity_max = 2, /* MULTI STRICT */
        .flags = TRANSACTION_FAST_FLAGS | COMMAND_NOT_QUEUED,
        .group = "transactions",
        .since = "1.2.0",
        .complexity = "O(1)",
        .summary = "Mark the start of a transaction block",
        .acl = "@fast @transaction",
    },
    {
        .name = "exec",
        .handler = exec_run,
        .arity_min = 1,
        .arity_max = 1,
        .flags = TRANSACTION_FLAGS | COMMAND_SKIP_SLOWLOG | COMMAND_NOT_QUEUED,
        .group = "transactions",
        .since = "1.2.0",
        .complexity = "Depends on commands in the transaction",
        .summary = "Execute all commands issued after MULTI",
        .acl = "@slow @transaction",
    },
    {
        .name = "discard",
        .handler = discard_run,
        .arity_min = 1,
        .arity_max = 1,
        .flags = TRANSACTION_FAST_FLAGS | COMMAND_NOT_QUEUED,
        .group = "transactions",
        .since = "2.0.0",
        .complexity = "O(N), when N is the number of queued commands",
        .summary = "Discard all commands issued after MULTI",
        .acl = "@fast @transaction",
    },
    {
        .name = "watch",
        .handler = watch_run,
        .arity_min = 2,
        .arity_max = -1,
        .flags = TRANSACTION_FAST_FLAGS | COMMAND_NOT_QUEUED,
        .keys = {.first = 1, .last = -1, .step = 1, .access = "RO"},
        .group = "transactions",
        .since = "2.2.0",
        .complexity = "O(1) for every key.",
        .summary = "Watch the given keys to determine execution of the MULTI/EXEC block",
        .acl = "@fast @transaction",
    },
    {
        .name = "unwatch",
        .handler = unwatch_run,
        .arity_min = 1,
        .arity_max = 1,
        .flags = TRANSACTION_FAST_FLAGS,
        .group = "transactions",
        .since = "2.2.0",
        .complexity = "O(1)",
        .summary = "Forget about all watched keys",
        .acl = "@fast @transaction",
    },
    {.name = NULL},
};

static enum command_result ok(struct command_call *call, enum client_wish wish)
{
    call->client->wish = wish;
    resp_write_simple(call->reply, "OK");
    return COMMAND_DONE;
}

/* With one word more it is ours; any other word is one too many, as in Redis. */
static enum command_result multi_run(struct command_call *call)
{
    struct client *c = call->client;
    bool is_strict = call->arg_count == 2;
    if (is_strict && !bytes_equal_nocase(call->args[1], "strict")) {
        c->is_aborted = c->is_multi;
        return command_fail(call, "ERR wrong number of arguments for 'multi' command");
    }
    if (c->is_multi) {
        return command_fail(call, "ERR MULTI calls can not be nested");
    }
    c->is_multi = true;
    c->is_strict = is_strict;
    c->is_aborted = false;
    return ok(call, CLIENT_WISH_MULTI);
}

static enum command_result exec_run(struct command_call *call)
{
    struct client *c = call->client;
    if (!c->is_multi) {
        return command_fail(call, "ERR EXEC without MULTI");
    }
    if (c->is_aborted) {
        c->wish = CLIENT_WISH_FORGET;
        return command_fail(call, "EXECABORT Transaction discarded because of previous errors.");
    }
    c->wish = CLIENT_WISH_EXEC;
    return COMMAND_DONE;
}

static enum command_result discard_run(struct command_call *call)
{
    if (!call->client->is_multi) {
        return command_fail(call, "ERR DISCARD without MULTI");
    }
    return ok(call, CLIENT_WISH_FORGET);
}

static enum command_result watch_run(struct command_call *call)
{
    if (call->client->is_multi) {
        return command_fail(call, "ERR WATCH inside MULTI is not allowed");
    }
    call->client->wish = CLIENT_WISH_WATCH;
    return COMMAND_DONE;
}

static enum command_result unwatch_run(struct command_call *call)
{
    return ok(call, CLIENT_WISH_UNWATCH);
}
