/* MEMORY: what a key takes, and what this node holds. */
#include "base/assert.h"
#include "command/command.h"
#include "command/help.h"
#include "command/string_get.h"
#include "protocol/resp_writer.h"

static enum command_result usage_run(struct command_call *call);
static enum command_result doctor_run(struct command_call *call);
static enum command_result malloc_stats_run(struct command_call *call);
static enum command_result purge_run(struct command_call *call);
static enum command_result stats_run(struct command_call *call);
static enum command_result help_run(struct command_call *call);

#define EVERY_SHARD "nondeterministic_output request_policy:all_shards response_policy:special"
#define MALLOC_COST "Depends on how much memory is allocated, could be slow"

#define MEMORY_ROW(name_, run, flags_, complexity_, summary_, tips_)                               \
    {                                                                                              \
        .name = (name_), .container = "memory", .handler = (run), .arity_min = 2, .arity_max = 2,  \
        .flags = (flags_), .policy = COMMAND_LOCAL, .group = "server", .since = "4.0.0",           \
        .complexity = (complexity_), .summary = (summary_), .acl = "@slow", .tips = (tips_),       \
    }

static const struct command memory_subcommands[] = {
    MEMORY_ROW("doctor", doctor_run, 0, "O(1)", "Outputs memory problems report", EVERY_SHARD),
    MEMORY_ROW("malloc-stats",
               malloc_stats_run,
               0,
               MALLOC_COST,
               "Show allocator internal stats",
               EVERY_SHARD),
    MEMORY_ROW("help",
               help_run,
               COMMAND_STALE_OK,
               "O(1)",
               "Show helpful text about the different subcommands",
               NULL),
    MEMORY_ROW("purge",
               purge_run,
               0,
               MALLOC_COST,
               "Ask the allocator to release memory",
               "request_policy:all_shards response_policy:all_succeeded"),
    MEMORY_ROW("stats", stats_run, 0, "O(1)", "Show memory usage details", EVERY_SHARD),
    {
        .name = "usage",
        .container = "memory",
        .handler = usage_run,
        .id = COMMAND_ID_MEMORY_USAGE,
        .semantics = 1,
        .arity_min = 3,
        .arity_max = -1,
        .flags = COMMAND_READ,
        .policy = COMMAND_ONE_SHARD,
        .keys = {.first = 2, .last = 2, .step = 1, .access = "RO"},
        .group = "server",
        .since = "4.0.0",
        .complexity = "O(N) where N is the number of samples.",
        .summary = "Estimate the memory usage of a key",
        .acl = "@read @slow",
    },
    {.name = NULL},
};

const struct command command_table_memory[] = {
    {
        .name = "memory",
        .arity_min = 2,
        .arity_max = -1,
        .policy = COMMAND_LOCAL,
        .group = "server",
        .since = "4.0.0",
        .complexity = "Depends on subcommand.",
        .summary = "A container for memory diagnostics commands",
        .acl = "@slow",
        .subcommands = memory_subcommands,
    },
    {.name = NULL},
};

/* ---- USAGE ----------------------------------------------------------------------------------- */

/* What the map of rows in memory takes beside key and value: a node, a bucket, a count. */
#define ROW_BOOKKEEPING_BYTES 80u

/* SAMPLES is for values of many elements: checked, and without effect. */
static bool usage_options_fit(struct command_call *call)
{
    for (size_t i = 3; i < call->arg_count; i += 2) {
        int64_t samples = 0;
        bool is_known = bytes_equal_nocase(call->args[i], "samples") && i + 1 < call->arg_count;
        if (is_known && !string_integer(call, call->args[i + 1], &samples)) {
            return false;
        }
        if (!is_known || samples < 0) {
            resp_write_error(call->reply, "ERR syntax error");
            return false;
        }
    }
    return true;
}

/* Its rows as one replica has them in memory; on disk they take less, as blocks are compressed. */
static int64_t rows_bytes(struct bytes key, const struct object *object)
{
    const struct keyspace space = {0};
    struct buf row_key;
    buf_init(&row_key, ROW_KEY_BYTES_MAX);
    row_key_append(&row_key, &space, key);
    size_t size = row_key.size + object_size(object) + ROW_BOOKKEEPING_BYTES;
    if (object->expires_ms != 0) {
        buf_clear(&row_key, SIZE_MAX);
        row_key_append_expiry(&row_key, &space, object->expires_ms, key);
        size += row_key.size + ROW_BOOKKEEPING_BYTES;
    }
    buf_deinit(&row_key);
    return (int64_t)size;
}

static enum command_result usage_run(struct command_call *call)
{
    if (!usage_options_fit(call)) {
        return COMMAND_ERROR;
    }
    struct object object;
    enum status s = view_get(call->view, call->args[2], &object);
    if (s == STATUS_NEED) {
        return COMMAND_NEED;
    }
    if (s == STATUS_OK) {
        resp_write_integer(call->reply, rows_bytes(call->args[2], &object));
    } else {
        resp_write_null(call->reply, call->resp);
    }
    return COMMAND_DONE;
}

/* ---- of this node ---------------------------------------------------------------------------- */

#define INFO_BYTES_MAX (1u * MIB)

/* The next line "name:value" of INFO; false: there is none. */
static bool next_field(struct bytes *text, struct bytes *out_name, struct bytes *out_value)
{
    while (text->size > 0) {
        const uint8_t *end = memchr(text->data, '\n', text->size);
        size_t line = end != NULL ? (size_t)(end - text->data) + 1 : text->size;
        struct bytes whole = bytes_of(text->data, line);
        *text = bytes_of(text->data + line, text->size - line);
        while (whole.size > 0 &&
               (whole.data[whole.size - 1] == '\n' || whole.data[whole.size - 1] == '\r')) {
            whole.size--;
        }
        const uint8_t *colon = whole.size > 0 ? memchr(whole.data, ':', whole.size) : NULL;
        if (colon != NULL) {
            size_t name = (size_t)(colon - whole.data);
            *out_name = bytes_of(whole.data, name);
            *out_value = bytes_of(colon + 1, whole.size - name - 1);
            return true;
        }
    }
    return false;
}

/* Redis' name of a figure that INFO MEMORY has under another name; or that name. */
static struct bytes stats_name(struct bytes field)
{
    static const struct {
        const char *field;
        const char *name;
    } names[] = {
        {"used_memory", "total.allocated"},
        {"used_memory_peak", "peak.allocated"},
        {"used_memory_startup", "startup.allocated"},
        {"used_memory_overhead", "overhead.total"},
        {"used_memory_dataset", "dataset.bytes"},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (bytes_equal_text(field, names[i].field)) {
            return bytes_of_text(names[i].name);
        }
    }
    return field;
}

/* Writes the whole numbers of INFO MEMORY; returns how many there are. out NULL: only counts. */
static size_t write_stats(struct bytes info, struct buf *out)
{
    size_t count = 0;
    struct bytes name;
    struct bytes text;
    while (next_field(&info, &name, &text)) {
        int64_t value = 0;
        if (!bytes_to_i64(text, &value)) {
            continue;
        }
        count++;
        if (out != NULL) {
            resp_write_bulk(out, stats_name(name));
            resp_write_integer(out, value);
        }
    }
    return count;
}

static enum command_result stats_run(struct command_call *call)
{
    struct bytes section = bytes_of_text("memory");
    struct buf info;
    buf_init(&info, INFO_BYTES_MAX);
    call->server->info(call->server->owner, &section, 1, &info);
    resp_write_map(call->reply, call->resp, write_stats(buf_bytes(&info), NULL));
    (void)write_stats(buf_bytes(&info), call->reply);
    buf_deinit(&info);
    return COMMAND_DONE;
}

static enum command_result doctor_run(struct command_call *call)
{
    struct bytes text = bytes_of_text(
        "The memory of this node has fixed bounds: cache-memory for rows, buffer-memory for "
        "connections, and what the log has not folded to disk yet. INFO memory shows how much of "
        "each is in use. Keys are on disk; they never have to be evicted.\n");
    resp_write_verbatim(call->reply, call->resp, "txt", text);
    return COMMAND_DONE;
}

/* As Redis, without jemalloc. */
static enum command_result malloc_stats_run(struct command_call *call)
{
    resp_write_bulk_text(call->reply, "Stats not supported for the current allocator");
    return COMMAND_DONE;
}

/* Without jemalloc there is nothing to ask, in Redis too. */
static enum command_result purge_run(struct command_call *call)
{
    resp_write_simple(call->reply, "OK");
    return COMMAND_DONE;
}

static enum command_result help_run(struct command_call *call)
{
    static const char *const lines[] = {
        "DOCTOR",
        "    Return memory problems reports.",
        "MALLOC-STATS",
        "    Return internal statistics report from the memory allocator.",
        "PURGE",
        "    Attempt to purge dirty pages for reclamation by the allocator.",
        "STATS",
        "    Return information about the memory usage of the server.",
        "USAGE <key> [SAMPLES <count>]",
        "    Return memory in bytes used by <key> and its value. Nested values are",
        "    sampled up to <count> times (default: 5, 0 means sample all).",
        NULL,
    };
    return command_help(call, lines);
}
