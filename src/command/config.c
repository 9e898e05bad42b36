/* CONFIG: settings by name (command/setting.c has their table). */
#include "base/assert.h"
#include "base/glob.h"
#include "command/admin.h"
#include "command/command.h"
#include "command/help.h"
#include "command/setting.h"
#include "protocol/resp_writer.h"

#define VALUE_BYTES_MAX (64u * KIB)
/* More pairs than there are settings have one twice. */
#define PAIRS_MAX 256u
#define SHOWN_BYTES 128u
/* Names are short; all patterns together, as each is held against each name. */
#define PATTERN_BYTES_MAX (16u * KIB)

static enum command_result get_run(struct command_call *call);
static enum command_result set_run(struct command_call *call);
static enum command_result resetstat_run(struct command_call *call);
static enum command_result rewrite_run(struct command_call *call);
static enum command_result help_run(struct command_call *call);

#define PER_PARAMETER "O(N) when N is the number of configuration parameters provided"
#define ADMIN_FLAGS (COMMAND_ADMIN | COMMAND_NO_SCRIPT | COMMAND_STALE_OK)

#define ROW(name_, run, min, max, since_, complexity_, summary_)                                   \
    .name = (name_), .container = "config", .handler = (run), .arity_min = (min),                  \
    .arity_max = (max), .group = "server", .since = (since_), .complexity = (complexity_),         \
    .summary = (summary_)

static const struct command config_subcommands[] = {
    {
        ROW("get",
            get_run,
            3,
            -1,
            "2.0.0",
            PER_PARAMETER,
            "Get the values of configuration parameters"),
        .flags = ADMIN_FLAGS,
        .acl = "@admin @slow @dangerous",
    },
    {
        ROW("help",
            help_run,
            2,
            2,
            "5.0.0",
            "O(1)",
            "Show helpful text about the different subcommands"),
        .flags = COMMAND_STALE_OK,
        .acl = "@slow",
    },
    {
        ROW("resetstat", resetstat_run, 2, 2, "2.0.0", "O(1)", "Reset the stats returned by INFO"),
        .flags = ADMIN_FLAGS,
        .acl = "@admin @slow @dangerous",
    },
    {
        ROW("rewrite",
            rewrite_run,
            2,
            2,
            "2.8.0",
            "O(1)",
            "Rewrite the configuration file with the in memory configuration"),
        .flags = ADMIN_FLAGS,
        .acl = "@admin @slow @dangerous",
    },
    {
        ROW("set",
            set_run,
            4,
            -1,
            "2.0.0",
            PER_PARAMETER,
            "Set configuration parameters to the given values"),
        .flags = ADMIN_FLAGS,
        .acl = "@admin @slow @dangerous",
        .tips = "request_policy:all_nodes response_policy:all_succeeded",
    },
    {.name = NULL},
};

const struct command command_table_config[] = {
    {
        .name = "config",
        .arity_min = 2,
        .arity_max = -1,
        .group = "server",
        .since = "2.0.0",
        .complexity = "Depends on subcommand.",
        .summary = "A container for server configuration commands",
        .acl = "@slow",
        .subcommands = config_subcommands,
    },
    {.name = NULL},
};

static const struct command_admin *admin_of(const struct command_call *call)
{
    ensure(call->server != NULL);
    ensure(call->server->admin != NULL);
    return call->server->admin;
}

/* ---- GET ------------------------------------------------------------------------------------- */

static bool is_pattern(struct bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] == '*' || text.data[i] == '?' || text.data[i] == '[') {
            return true;
        }
    }
    return false;
}

/* The name by which the reply calls it: a name is given back as it was spelled. */
static bool is_wanted(const struct command_call *call,
                      const struct setting *s,
                      struct bytes *out_name)
{
    for (size_t i = 2; i < call->arg_count; i++) {
        struct bytes arg = call->args[i];
        if (!is_pattern(arg) && bytes_equal_nocase(arg, s->name)) {
            *out_name = arg;
            return true;
        }
        if (is_pattern(arg) && glob_matches_nocase(arg, bytes_of_text(s->name))) {
            *out_name = bytes_of_text(s->name);
            return true;
        }
    }
    return false;
}

static size_t pattern_bytes(const struct command_call *call)
{
    size_t bytes = 0;
    for (size_t i = 2; i < call->arg_count; i++) {
        bytes += call->args[i].size + 1;
    }
    return bytes;
}

static enum command_result get_run(struct command_call *call)
{
    struct bytes name;
    size_t count = 0;
    if (pattern_bytes(call) > PATTERN_BYTES_MAX) {
        return command_fail(call, "ERR patterns are too long");
    }
    for (const struct setting *s = setting_table; s->name != NULL; s++) {
        count += is_wanted(call, s, &name) ? 1 : 0;
    }
    resp_write_map(call->reply, call->resp, count);
    struct buf value;
    buf_init(&value, VALUE_BYTES_MAX);
    for (const struct setting *s = setting_table; s->name != NULL; s++) {
        if (is_wanted(call, s, &name)) {
            buf_clear(&value, SIZE_MAX);
            setting_show(s, admin_of(call), &value);
            resp_write_bulk(call->reply, name);
            resp_write_bulk(call->reply, buf_bytes(&value));
        }
    }
    buf_deinit(&value);
    return COMMAND_DONE;
}

/* ---- SET ------------------------------------------------------------------------------------- */

struct pair {
    const struct setting *setting;
    int64_t value;
};

static bool set_fail(struct command_call *call, struct bytes name, const char *problem)
{
    resp_write_errorf(call->reply,
                      "ERR CONFIG SET failed (possibly related to argument '%.*s') - %s",
                      (int)(name.size < SHOWN_BYTES ? name.size : SHOWN_BYTES),
                      (const char *)name.data,
                      problem);
    return false;
}

static bool is_in(const struct pair *pairs, size_t count, const struct setting *s)
{
    for (size_t i = 0; i < count; i++) {
        if (pairs[i].setting == s) {
            return true;
        }
    }
    return false;
}

/* What can be said of the names alone. */
static bool find_settings(struct command_call *call, struct pair *pairs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct bytes name = call->args[2 + 2 * i];
        const struct setting *s = setting_find(name);
        if (s == NULL) {
            resp_write_errorf(call->reply,
                              "ERR Unknown option or number of arguments for CONFIG SET - '%.*s'",
                              (int)(name.size < SHOWN_BYTES ? name.size : SHOWN_BYTES),
                              (const char *)name.data);
            return false;
        }
        if (s->change == SETTING_IMMUTABLE) {
            return set_fail(call, name, "can't set immutable config");
        }
        if (s->change == SETTING_PROTECTED) {
            return set_fail(call, name, "can't set protected config");
        }
        if (is_in(pairs, i, s)) {
            return set_fail(call, name, "duplicate parameter");
        }
        pairs[i].setting = s;
    }
    return true;
}

static bool read_values(struct command_call *call, struct pair *pairs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char problem[SETTING_PROBLEM_BYTES];
        const struct setting *s = pairs[i].setting;
        struct bytes text = call->args[3 + 2 * i];
        if (!setting_accepts(s, admin_of(call), text, &pairs[i].value, problem)) {
            return set_fail(call, bytes_of_text(s->name), problem);
        }
    }
    return true;
}

/* All or nothing: every value is accepted before the first one is set. */
static enum command_result set_run(struct command_call *call)
{
    if (call->arg_count % 2 != 0) {
        return command_fail(call, "ERR syntax error");
    }
    struct pair pairs[PAIRS_MAX];
    size_t count = (call->arg_count - 2) / 2;
    if (count > PAIRS_MAX) {
        return command_fail(call, "ERR more parameters than there are");
    }
    if (!find_settings(call, pairs, count) || !read_values(call, pairs, count)) {
        return COMMAND_ERROR;
    }
    for (size_t i = 0; i < count; i++) {
        setting_apply(pairs[i].setting, admin_of(call), pairs[i].value);
    }
    resp_write_simple(call->reply, "OK");
    return COMMAND_DONE;
}

/* ---- RESETSTAT, REWRITE, HELP ---------------------------------------------------------------- */

static enum command_result resetstat_run(struct command_call *call)
{
    const struct command_admin *admin = admin_of(call);
    admin->reset_stats(admin->owner);
    resp_write_simple(call->reply, "OK");
    return COMMAND_DONE;
}

/* As Redis, if it was started without a file: options come from the command line. */
static enum command_result rewrite_run(struct command_call *call)
{
    return command_fail(call, "ERR The server is running without a config file");
}

static enum command_result help_run(struct command_call *call)
{
    static const char *const lines[] = {
        "GET <pattern>",
        "    Return parameters matching the glob-like <pattern> and their values.",
        "SET <directive> <value>",
        "    Set the configuration <directive> to <value>.",
        "RESETSTAT",
        "    Reset statistics reported by the INFO command.",
        "REWRITE",
        "    Rewrite the configuration file.",
        NULL,
    };
    return command_help(call, lines);
}
