/* Commands on keys of any type, and the internal one that ends their life. */
#include "base/assert.h"
#include "command/command.h"
#include "command/string_get.h"
#include "protocol/resp_writer.h"

static enum command_result del_run(struct command_call *call);
static enum command_result exists_run(struct command_call *call);
static enum command_result type_run(struct command_call *call);
static enum command_result rename_run(struct command_call *call);
static enum command_result renamenx_run(struct command_call *call);
static enum command_result copy_run(struct command_call *call);
static enum command_result move_run(struct command_call *call);
static enum command_result expire_due_run(struct command_call *call);

static uint8_t copy_database_of(const struct bytes *args,
                                size_t arg_count,
                                size_t arg,
                                uint8_t selected);
static uint8_t move_database_of(const struct bytes *args,
                                size_t arg_count,
                                size_t arg,
                                uint8_t selected);

#define MULTI_SHARD_SUM "request_policy:multi_shard response_policy:agg_sum"

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
        .complexity = "O(N) where N is the number of keys that will be removed. When a key to "
                      "remove holds a value other than a string, the individual complexity for "
                      "this key is O(M) where M is the number of elements in the list, set, sorted "
                      "set or hash. Removing a single key that holds a string value is O(1).",
        .summary = "Delete a key",
        .acl = "@keyspace @write @slow",
        .tips = MULTI_SHARD_SUM,
    },
    {
        .name = "unlink",
        .handler = del_run,
        .id = COMMAND_ID_UNLINK,
        .semantics = 1,
        .arity_min = 2,
        .arity_max = -1,
        .flags = COMMAND_WRITE | COMMAND_FAST,
        .policy = COMMAND_SPLIT_BY_KEY,
        .merge = COMMAND_MERGE_SUM,
        .keys = {.first = 1, .last = -1, .step = 1, .access = "RM delete"},
        .group = "generic",
        .since = "4.0.0",
        .complexity = "O(1) for each key removed regardless of its size. Then the command does "
                      "O(N) work in a different thread in order to reclaim memory, where N is the "
                      "number of allocations the deleted objects where composed of.",
        .summary = "Delete a key asynchronously in another thread. Otherwise it is just as DEL, "
                   "but non blocking.",
        .acl = "@keyspace @write @fast",
        .tips = MULTI_SHARD_SUM,
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
        .complexity = "O(N) where N is the number of keys to check.",
        .summary = "Determine if a key exists",
        .acl = "@keyspace @read @fast",
        .tips = MULTI_SHARD_SUM,
    },
    {
        .name = "touch",
        .handler = exists_run,
        .id = COMMAND_ID_TOUCH,
        .semantics = 1,
        .arity_min = 2,
        .arity_max = -1,
        .flags = COMMAND_READ | COMMAND_FAST,
        .policy = COMMAND_SPLIT_BY_KEY,
        .merge = COMMAND_MERGE_SUM,
        .keys = {.first = 1, .last = -1, .step = 1, .access = "RO"},
        .group = "generic",
        .since = "3.2.1",
        .complexity = "O(N) where N is the number of keys that will be touched.",
        .summary = "Alters the last access time of a key(s). Returns the number of existing keys "
                   "specified.",
        .acl = "@keyspace @read @fast",
        .tips = MULTI_SHARD_SUM,
    },
    {
        .name = "type",
        .handler = type_run,
        .id = COMMAND_ID_TYPE,
        .semantics = 1,
        .arity_min = 2,
        .arity_max = 2,
        .flags = COMMAND_READ | COMMAND_FAST,
        .policy = COMMAND_ONE_SHARD,
        .keys = {.first = 1, .last = 1, .step = 1, .access = "RO"},
        .group = "generic",
        .since = "1.0.0",
        .complexity = "O(1)",
        .summary = "Determine the type stored at key",
        .acl = "@keyspace @read @fast",
    },
    {
        .name = "rename",
        .handler = rename_run,
        .id = COMMAND_ID_RENAME,
        .semantics = 1,
        .arity_min = 3,
        .arity_max = 3,
        .flags = COMMAND_WRITE | COMMAND_REWRITES,
        .policy = COMMAND_ONE_SHARD,
        .keys = {.first = 1, .last = 2, .step = 1, .access = "RW access delete | OW update"},
        .group = "generic",
        .since = "1.0.0",
        .complexity = "O(1)",
        .summary = "Rename a key",
        .acl = "@keyspace @write @slow",
    },
    {
        .name = "renamenx",
        .handler = renamenx_run,
        .id = COMMAND_ID_RENAMENX,
        .semantics = 1,
        .arity_min = 3,
        .arity_max = 3,
        .flags = COMMAND_WRITE | COMMAND_REWRITES | COMMAND_FAST,
        .policy = COMMAND_ONE_SHARD,
        .keys = {.first = 1, .last = 2, .step = 1, .access = "RW access delete | OW insert"},
        .group = "generic",
        .since = "1.0.0",
        .complexity = "O(1)",
        .summary = "Rename a key, only if the new key does not exist",
        .acl = "@keyspace @write @fast",
    },
    {
        .name = "copy",
        .handler = copy_run,
        .id = COMMAND_ID_COPY,
        .semantics = 1,
        .arity_min = 3,
        .arity_max = -1,
        .flags = COMMAND_WRITE | COMMAND_REWRITES | COMMAND_GROWS,
        .policy = COMMAND_ONE_SHARD,
        .keys = {.first = 1, .last = 2, .step = 1, .access = "RO access | OW update"},
        .database_of = copy_database_of,
        .group = "generic",
        .since = "6.2.0",
        .complexity = "O(N) worst case for collections, where N is the number of nested items. "
                      "O(1) for string values.",
        .summary = "Copy a key",
        .acl = "@keyspace @write @slow",
    },
    {
        .name = "move",
        .handler = move_run,
        .id = COMMAND_ID_MOVE,
        .semantics = 1,
        .arity_min = 3,
        .arity_max = 3,
        .flags = COMMAND_WRITE | COMMAND_REWRITES | COMMAND_FAST,
        .policy = COMMAND_ONE_SHARD,
        .keys = {.first = 1, .last = 1, .step = 1, .access = "RW access update"},
        .database_of = move_database_of,
        .group = "generic",
        .since = "1.0.0",
        .complexity = "O(1)",
        .summary = "Move a key to another database",
        .acl = "@keyspace @write @fast",
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

/* ---- several keys, each for itself ----------------------------------------------------------- */

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

/* And TOUCH: nobody keeps the time of the last access. */
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

/* ---- TYPE ------------------------------------------------------------------------------------ */

static const char *type_name(enum object_type type)
{
    switch (type) {
    case OBJECT_TYPE_STRING:
        return "string";
    }
    unreachable("every type of object has a name");
}

static enum command_result type_run(struct command_call *call)
{
    struct object object;
    enum status s = view_get(call->view, call->args[1], &object);
    if (s == STATUS_NEED) {
        return COMMAND_NEED;
    }
    resp_write_simple(call->reply, s == STATUS_OK ? type_name(object.type) : "none");
    return COMMAND_DONE;
}

/* ---- objects to other places ----------------------------------------------------------------- */

/* An object on its way: where it is, and where it shall be. */
struct passage {
    struct bytes from_key;
    struct bytes to_key;
    uint8_t from_database; /* the selected one */
    uint8_t to_database;
    struct object object; /* borrowed; of from_key, if that is there */
    bool has_from;
    bool has_to;
};

/* False: some row is not at hand. */
static bool passage_read(struct command_call *call, struct passage *p)
{
    struct object there;
    enum status from = view_get(call->view, p->from_key, &p->object);
    if (from == STATUS_NEED) {
        return false;
    }
    view_select(call->view, p->to_database);
    enum status to = view_get(call->view, p->to_key, &there);
    view_select(call->view, p->from_database);
    p->has_from = from == STATUS_OK;
    p->has_to = to == STATUS_OK;
    return to != STATUS_NEED;
}

static bool passage_is_to_itself(const struct passage *p)
{
    return p->from_database == p->to_database && bytes_equal(p->from_key, p->to_key);
}

/* The object, with its time to live, to its new place. What was there is replaced. */
static void passage_copy(struct command_call *call, const struct passage *p)
{
    view_select(call->view, p->to_database);
    enum status s = view_put(call->view, p->to_key, &p->object);
    ensure(s == STATUS_OK);
    view_select(call->view, p->from_database);
}

static void passage_move(struct command_call *call, const struct passage *p)
{
    ensure(!passage_is_to_itself(p));
    passage_copy(call, p);
    enum status s = view_delete(call->view, p->from_key);
    ensure(s == STATUS_OK);
}

static bool read_renaming(struct command_call *call, struct passage *out_passage)
{
    *out_passage = (struct passage){
        .from_key = call->args[1],
        .to_key = call->args[2],
        .from_database = call->database,
        .to_database = call->database,
    };
    return passage_read(call, out_passage);
}

static enum command_result rename_run(struct command_call *call)
{
    struct passage p;
    if (!read_renaming(call, &p)) {
        return COMMAND_NEED;
    }
    if (!p.has_from) {
        return command_fail(call, "ERR no such key");
    }
    if (!passage_is_to_itself(&p)) {
        passage_move(call, &p);
    }
    resp_write_simple(call->reply, "OK");
    return COMMAND_DONE;
}

static enum command_result renamenx_run(struct command_call *call)
{
    struct passage p;
    if (!read_renaming(call, &p)) {
        return COMMAND_NEED;
    }
    if (!p.has_from) {
        return command_fail(call, "ERR no such key");
    }
    if (!p.has_to) {
        passage_move(call, &p);
    }
    resp_write_integer(call->reply, p.has_to ? 0 : 1);
    return COMMAND_DONE;
}

/* ---- COPY, MOVE ------------------------------------------------------------------------------ */

#define SAME_OBJECT "ERR source and destination objects are the same"

/* NULL: text is the number of a database; else the error. */
static const char *parse_database(struct bytes text, uint8_t *out_database)
{
    int64_t number = 0;
    if (!bytes_to_i64(text, &number)) {
        return STRING_NOT_AN_INTEGER;
    }
    if (number < INT32_MIN || number > INT32_MAX) {
        return "ERR value is out of range, value must between -2147483648 and 2147483647";
    }
    if (number < 0 || number >= (int64_t)LIMIT_DATABASES) {
        return "ERR DB index is out of range";
    }
    *out_database = (uint8_t)number;
    return NULL;
}

/* The options of COPY, in their order: NULL, or the error of the first bad one. */
static const char *copy_parse(const struct bytes *args,
                              size_t arg_count,
                              uint8_t *out_database,
                              bool *out_is_replacing)
{
    for (size_t i = 3; i < arg_count; i++) {
        if (bytes_equal_nocase(args[i], "replace")) {
            *out_is_replacing = true;
        } else if (bytes_equal_nocase(args[i], "db") && i + 1 < arg_count) {
            const char *error = parse_database(args[++i], out_database);
            if (error != NULL) {
                return error;
            }
        } else {
            return "ERR syntax error";
        }
    }
    return NULL;
}

static uint8_t copy_database_of(const struct bytes *args,
                                size_t arg_count,
                                size_t arg,
                                uint8_t selected)
{
    uint8_t database = selected;
    bool is_replacing = false;
    const char *error = copy_parse(args, arg_count, &database, &is_replacing);
    return error == NULL && arg == 2 ? database : selected;
}

static enum command_result copy_run(struct command_call *call)
{
    struct passage p = {
        .from_key = call->args[1],
        .to_key = call->args[2],
        .from_database = call->database,
        .to_database = call->database,
    };
    bool is_replacing = false;
    const char *error = copy_parse(call->args, call->arg_count, &p.to_database, &is_replacing);
    if (error == NULL && passage_is_to_itself(&p)) {
        error = SAME_OBJECT;
    }
    if (error != NULL) {
        return command_fail(call, error);
    }
    if (!passage_read(call, &p)) {
        return COMMAND_NEED;
    }
    bool is_copied = p.has_from && (!p.has_to || is_replacing);
    if (is_copied) {
        passage_copy(call, &p);
    }
    resp_write_integer(call->reply, is_copied ? 1 : 0);
    return COMMAND_DONE;
}

static uint8_t move_database_of(const struct bytes *args,
                                size_t arg_count,
                                size_t arg,
                                uint8_t selected)
{
    uint8_t database = selected;
    bool is_known = arg == 1 && arg_count > 2 && parse_database(args[2], &database) == NULL;
    return is_known ? database : selected;
}

static enum command_result move_run(struct command_call *call)
{
    struct passage p = {
        .from_key = call->args[1],
        .to_key = call->args[1],
        .from_database = call->database,
    };
    const char *error = parse_database(call->args[2], &p.to_database);
    if (error == NULL && passage_is_to_itself(&p)) {
        error = SAME_OBJECT;
    }
    if (error != NULL) {
        return command_fail(call, error);
    }
    if (!passage_read(call, &p)) {
        return COMMAND_NEED;
    }
    bool is_moved = p.has_from && !p.has_to;
    if (is_moved) {
        passage_move(call, &p);
    }
    resp_write_integer(call->reply, is_moved ? 1 : 0);
    return COMMAND_DONE;
}
