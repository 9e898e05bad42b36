/* Commands on keys of any type, and the internal one that ends their life. */
#include "base/assert.h"
#include "command/command.h"
#include "protocol/resp_writer.h"

static enum command_result del_run(struct command_call *call);
static enum command_result exists_run(struct command_call *call);
static enum command_result expire_due_run(struct command_call *call);

const struct command command_table_keys[] = {
    {
        .name = "del",
        .handler = del_run,
        .id = COMMAND_ID_DEL,
        .semantics = 1,
        .arity_min = 2,
        .arity_max = -1,
        .flags = COMMAND_WRITE,
        .policy = COMMAND_SPLIT_BY_KEY,
        .merge = COMMAND_MERGE_SUM,
        .keys = {.first = 1, .last = -1, .step = 1, .access = "RM delete"},
        .group = "generic",
        .since = "1.0.0",
        .complexity = "O(N) where N is the number of keys that will be removed",
        .summary = "Delete a key",
        .acl = "@keyspace @write @slow",
    },
    {
        .name = "exists",
        .handler = exists_run,
        .id = COMMAND_ID_EXISTS,
        .semantics = 1,
        .arity_min = 2,
        .arity_max = -1,
        .flags = COMMAND_READ | COMMAND_FAST,
        .policy = COMMAND_SPLIT_BY_KEY,
        .merge = COMMAND_MERGE_SUM,
        .keys = {.first = 1, .last = -1, .step = 1, .access = "RO"},
        .group = "generic",
        .since = "1.0.0",
        .complexity = "O(N) where N is the number of keys to check",
        .summary = "Determine if a key exists",
        .acl = "@keyspace @read @fast",
    },
    {.name = NULL},
};

const struct command command_table_internal[] = {
    {
        /*
         * EXPIREDUE key [key …]: proposed by a leader that found the keys due by its own clock
         * (ORD-5). It carries that time into the log; whether a key is gone is decided when it
         * applies, as it may have been set anew before.
         */
        .name = "expiredue",
        .handler = expire_due_run,
        .id = COMMAND_ID_EXPIRE_DUE,
        .semantics = 2, /* 1: of one key */
        .arity_min = 2,
        .arity_max = -1,
        .flags = COMMAND_WRITE | COMMAND_INTERNAL,
        .policy = COMMAND_ONE_SHARD,
        .keys = {.first = 1, .last = -1, .step = 1, .access = "RM delete"},
        .group = "generic",
        .since = "1.0.0",
        .complexity = "O(N) where N is the number of keys",
        .summary = "Delete keys that have expired",
        .acl = "@keyspace @write @fast",
    },
    {.name = NULL},
};

/* How many of the keys are there; false: some row is not at hand. */
static bool count_present(struct command_call *call, int64_t *out_present)
{
    int64_t present = 0;
    for (size_t i = 1; i < call->arg_count; i++) {
        struct object object;
        enum status s = view_get(call->view, call->args[i], &object);
        if (s == STATUS_NEED) {
            return false;
        }
        present += s == STATUS_OK ? 1 : 0;
    }
    *out_present = present;
    return true;
}

static enum command_result del_run(struct command_call *call)
{
    int64_t present = 0;
    if (!count_present(call, &present)) {
        return COMMAND_NEED; /* before the first deletion (DATA-3) */
    }
    int64_t deleted = 0;
    for (size_t i = 1; i < call->arg_count; i++) {
        enum status s = view_delete(call->view, call->args[i]);
        ensure(s != STATUS_NEED);
        deleted += s == STATUS_OK ? 1 : 0;
    }
    resp_write_integer(call->reply, deleted);
    return COMMAND_DONE;
}

static enum command_result exists_run(struct command_call *call)
{
    int64_t present = 0;
    if (!count_present(call, &present)) {
        return COMMAND_NEED;
    }
    resp_write_integer(call->reply, present);
    return COMMAND_DONE;
}

static enum command_result expire_due_run(struct command_call *call)
{
    int64_t present = 0;
    if (!count_present(call, &present)) {
        return COMMAND_NEED;
    }
    resp_write_integer(call->reply, (int64_t)call->arg_count - 1 - present);
    return COMMAND_DONE;
}
