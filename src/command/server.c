/* INFO: how this server is. */
#include "command/command.h"
#include "protocol/resp_writer.h"

static enum command_result info_run(struct command_call *call);

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
    },
    {.name = NULL},
};

/* ---- INFO ------------------------------------------------------------------------------------ */

static enum command_result info_run(struct command_call *call)
{
    struct buf text;
    buf_init(&text, 1 * MIB);
    if (call->arg_count == 1) {
        call->server->info(call->server->owner, bytes_of_text("default"), &text);
    }
    for (size_t i = 1; i < call->arg_count && i < 64; i++) {
        call->server->info(call->server->owner, call->args[i], &text);
    }
    resp_write_verbatim(call->reply, call->resp, "txt", buf_bytes(&text));
    buf_deinit(&text);
    return COMMAND_DONE;
}
