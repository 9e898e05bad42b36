/* OBJECT: what Redis tells about how it keeps a value. */
#include "base/assert.h"
#include "command/command.h"
#include "command/help.h"
#include "protocol/resp_writer.h"

static enum command_result encoding_run(struct command_call *call);
static enum command_result freq_run(struct command_call *call);
static enum command_result idletime_run(struct command_call *call);
static enum command_result refcount_run(struct command_call *call);
static enum command_result help_run(struct command_call *call);

#define OBJECT_ROW(name_, run, id_, since_, summary_)                                              \
    {                                                                                              \
        .name = (name_), .container = "object", .handler = (run), .id = (id_), .semantics = 1,     \
        .arity_min = 3, .arity_max = 3, .flags = COMMAND_READ, .policy = COMMAND_ONE_SHARD,        \
        .keys = {.first = 2, .last = 2, .step = 1, .access = "RO"}, .group = "generic",            \
        .since = (since_), .complexity = "O(1)", .summary = (summary_),                            \
        .acl = "@keyspace @read @slow", .tips = "nondeterministic_output",                         \
    }

static const struct command object_subcommands[] = {
    OBJECT_ROW("encoding",
               encoding_run,
               COMMAND_ID_OBJECT_ENCODING,
               "2.2.3",
               "Inspect the internal encoding of a Redis object"),
    OBJECT_ROW("freq",
               freq_run,
               COMMAND_ID_OBJECT_FREQ,
               "4.0.0",
               "Get the logarithmic access frequency counter of a Redis object"),
    OBJECT_ROW("idletime",
               idletime_run,
               COMMAND_ID_OBJECT_IDLETIME,
               "2.2.3",
               "Get the time since a Redis object was last accessed"),
    OBJECT_ROW("refcount",
               refcount_run,
               COMMAND_ID_OBJECT_REFCOUNT,
               "2.2.3",
               "Get the number of references to the value of the key"),
    {
        .name = "help",
        .container = "object",
        .handler = help_run,
        .arity_min = 2,
        .arity_max = 2,
        .flags = COMMAND_STALE_OK,
        .policy = COMMAND_LOCAL,
        .group = "generic",
        .since = "6.2.0",
        .complexity = "O(1)",
        .summary = "Show helpful text about the different subcommands",
        .acl = "@keyspace @slow",
    },
    {.name = NULL},
};

const struct command command_table_object[] = {
    {
        .name = "object",
        .arity_min = 2,
        .arity_max = -1,
        .policy = COMMAND_LOCAL,
        .group = "generic",
        .since = "2.2.3",
        .complexity = "Depends on subcommand.",
        .summary = "A container for object introspection commands",
        .acl = "@slow",
        .subcommands = object_subcommands,
    },
    {.name = NULL},
};

/* Redis' own figures, which clients' tests know. */
#define INTEGER_TEXT_BYTES_MAX 20u
#define EMBEDDED_BYTES_MAX 44u
#define SHARED_INTEGERS 10000
#define SHARED_REFERENCES INT32_MAX

/* False: the reply is *out_result's, as the row is not at hand, or null for an absent key. */
static bool look(struct command_call *call,
                 struct object *out_object,
                 enum command_result *out_result)
{
    enum status s = view_get(call->view, call->args[2], out_object);
    if (s == STATUS_OK) {
        return true;
    }
    *out_result = s == STATUS_NEED ? COMMAND_NEED : COMMAND_DONE;
    if (s == STATUS_NOT_FOUND) {
        resp_write_null(call->reply, call->resp);
    }
    return false;
}

static bool is_integer(const struct object *object, int64_t *out_number)
{
    return object->type == OBJECT_TYPE_STRING && object->value.size <= INTEGER_TEXT_BYTES_MAX &&
           bytes_to_i64(object->value, out_number);
}

/* All strings are kept alike here: what Redis' SET would have made of the value. */
static enum command_result encoding_run(struct command_call *call)
{
    struct object object;
    enum command_result result;
    if (!look(call, &object, &result)) {
        return result;
    }
    int64_t number = 0;
    const char *encoding = object.value.size <= EMBEDDED_BYTES_MAX ? "embstr" : "raw";
    resp_write_bulk_text(call->reply, is_integer(&object, &number) ? "int" : encoding);
    return COMMAND_DONE;
}

/* As Redis' SET: small integers are shared by all keys that have them. */
static enum command_result refcount_run(struct command_call *call)
{
    struct object object;
    enum command_result result;
    if (!look(call, &object, &result)) {
        return result;
    }
    int64_t number = 0;
    bool is_shared = is_integer(&object, &number) && number >= 0 && number < SHARED_INTEGERS;
    resp_write_integer(call->reply, is_shared ? SHARED_REFERENCES : 1);
    return COMMAND_DONE;
}

static enum command_result freq_run(struct command_call *call)
{
    struct object object;
    enum command_result result;
    if (!look(call, &object, &result)) {
        return result;
    }
    return command_fail(call,
                        "ERR An LFU maxmemory policy is not selected, access frequency not "
                        "tracked. Please note that when switching between policies at runtime LRU "
                        "and LFU data will take some time to adjust.");
}

/* A read would be a write: the time of the last access had to be the same on all replicas. */
static enum command_result idletime_run(struct command_call *call)
{
    struct object object;
    enum command_result result;
    if (!look(call, &object, &result)) {
        return result;
    }
    return command_fail(call, "ERR access times are not tracked here");
}

static enum command_result help_run(struct command_call *call)
{
    static const char *const lines[] = {
        "ENCODING <key>",
        "    Return the kind of internal representation used in order to store the value",
        "    associated with a <key>.",
        "FREQ <key>",
        "    Return the access frequency index of the <key>. The returned integer is",
        "    proportional to the logarithm of the recent access frequency of the key.",
        "IDLETIME <key>",
        "    Return the idle time of the <key>, that is the approximated number of",
        "    seconds elapsed since the last access to the key.",
        "REFCOUNT <key>",
        "    Return the number of references of the value associated with the specified",
        "    <key>.",
        NULL,
    };
    return command_help(call, lines);
}
