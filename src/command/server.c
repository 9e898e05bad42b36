/* COMMAND and INFO: what this server can do, and how it is. */
#include <fnmatch.h>
#include <strings.h>

#include "base/assert.h"
#include "command/command.h"
#include "protocol/resp_writer.h"

#define NAMES_MAX 1024u

static enum command_result command_run(struct command_call *call);
static enum command_result command_count_run(struct command_call *call);
static enum command_result command_info_run(struct command_call *call);
static enum command_result command_docs_run(struct command_call *call);
static enum command_result command_getkeys_run(struct command_call *call);
static enum command_result command_list_run(struct command_call *call);
static enum command_result info_run(struct command_call *call);

#define COMMAND_ROW(name_, run, min, max, since_, complexity_, summary_)                           \
    {                                                                                              \
        .name = (name_), .container = "command", .handler = (run), .arity_min = (min),             \
        .arity_max = (max), .flags = COMMAND_STALE_OK, .group = "server", .since = (since_),       \
        .complexity = (complexity_), .summary = (summary_), .acl = "@slow @connection",            \
    }

static const struct command command_subcommands[] = {
    COMMAND_ROW("count",
                command_count_run,
                2,
                2,
                "2.8.13",
                "O(1)",
                "Get total number of Redis commands"),
    COMMAND_ROW("info",
                command_info_run,
                2,
                -1,
                "2.8.13",
                "O(N) where N is the number of commands to look up",
                "Get array of specific Redis command details, or all when no argument is given."),
    COMMAND_ROW("docs",
                command_docs_run,
                2,
                -1,
                "7.0.0",
                "O(N) where N is the number of commands to look up",
                "Get array of specific Redis command documentation"),
    COMMAND_ROW("getkeys",
                command_getkeys_run,
                4,
                -1,
                "2.8.13",
                "O(N) where N is the number of arguments to the command",
                "Extract keys given a full Redis command"),
    COMMAND_ROW("list",
                command_list_run,
                2,
                -1,
                "7.0.0",
                "O(N) where N is the total number of Redis commands",
                "Get an array of Redis command names"),
    {.name = NULL},
};

const struct command command_table_server[] = {
    {
        .name = "command",
        .handler = command_run,
        .arity_min = 1,
        .arity_max = -1,
        .flags = COMMAND_STALE_OK,
        .group = "server",
        .since = "2.8.13",
        .complexity = "O(N) where N is the total number of Redis commands",
        .summary = "Get array of Redis command details",
        .acl = "@slow @connection",
        .subcommands = command_subcommands,
    },
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

/* ---- one command as COMMAND INFO shows it ---------------------------------------------------- */

static const struct {
    unsigned flag;
    const char *name;
} flag_names[] = {
    {COMMAND_WRITE, "write"},
    {COMMAND_READ, "readonly"},
    {COMMAND_GROWS, "denyoom"},
    {COMMAND_NO_SCRIPT, "noscript"},
    {COMMAND_STALE_OK, "loading"},
    {COMMAND_STALE_OK, "stale"},
    {COMMAND_FAST, "fast"},
    {COMMAND_NO_AUTH, "no_auth"},
};

#define FLAG_NAME_COUNT (sizeof flag_names / sizeof flag_names[0])

static void write_flags(struct command_call *call, unsigned flags)
{
    size_t count = 0;
    for (size_t i = 0; i < FLAG_NAME_COUNT; i++) {
        count += (flags & flag_names[i].flag) != 0 ? 1 : 0;
    }
    resp_write_set(call->reply, call->resp, count);
    for (size_t i = 0; i < FLAG_NAME_COUNT; i++) {
        if ((flags & flag_names[i].flag) != 0) {
            resp_write_simple(call->reply, flag_names[i].name);
        }
    }
}

/* The words of a space separated list, as a set of simple strings. */
static void write_words(struct command_call *call, const char *words)
{
    size_t count = words[0] != '\0' ? 1 : 0;
    for (const char *p = words; *p != '\0'; p++) {
        count += *p == ' ' ? 1 : 0;
    }
    resp_write_set(call->reply, call->resp, count);
    struct buf word;
    buf_init(&word, 4 * KIB);
    for (const char *p = words; count > 0; p++) {
        if (*p != ' ' && *p != '\0') {
            buf_append(&word, p, 1);
            continue;
        }
        buf_append(&word, "", 1);
        resp_write_simple(call->reply, (const char *)word.data);
        buf_clear(&word, SIZE_MAX);
        count--;
    }
    buf_deinit(&word);
}

static void write_key_specs(struct command_call *call, const struct command_keys *keys)
{
    struct buf *out = call->reply;
    if (keys->first == 0) {
        resp_write_set(out, call->resp, 0);
        return;
    }
    resp_write_set(out, call->resp, 1);
    resp_write_map(out, call->resp, 3);
    resp_write_bulk_text(out, "flags");
    write_words(call, keys->access);
    resp_write_bulk_text(out, "begin_search");
    resp_write_map(out, call->resp, 2);
    resp_write_bulk_text(out, "type");
    resp_write_bulk_text(out, "index");
    resp_write_bulk_text(out, "spec");
    resp_write_map(out, call->resp, 1);
    resp_write_bulk_text(out, "index");
    resp_write_integer(out, keys->first);
    resp_write_bulk_text(out, "find_keys");
    resp_write_map(out, call->resp, 2);
    resp_write_bulk_text(out, "type");
    resp_write_bulk_text(out, "range");
    resp_write_bulk_text(out, "spec");
    resp_write_map(out, call->resp, 3);
    resp_write_bulk_text(out, "lastkey");
    resp_write_integer(out, keys->last < 0 ? keys->last : keys->last - keys->first);
    resp_write_bulk_text(out, "keystep");
    resp_write_integer(out, keys->step);
    resp_write_bulk_text(out, "limit");
    resp_write_integer(out, 0);
}

static size_t subcommand_count(const struct command *c)
{
    size_t count = 0;
    while (c->subcommands != NULL && c->subcommands[count].name != NULL) {
        count++;
    }
    return count;
}

/* The full name: "get", or "client|id" with a container. */
static void write_name(struct buf *out, const struct command *c)
{
    struct buf name;
    buf_init(&name, 256);
    if (c->container != NULL) {
        buf_append_text(&name, c->container);
        buf_append_text(&name, "|");
    }
    buf_append_text(&name, c->name);
    resp_write_bulk(out, buf_bytes(&name));
    buf_deinit(&name);
}

/* Nine of the ten elements; the last one, subcommands, is written by the caller. */
static void write_facts(struct command_call *call, const struct command *c)
{
    struct buf *out = call->reply;
    resp_write_array(out, 10);
    write_name(out, c);
    resp_write_integer(out, command_arity(c));
    write_flags(call, c->flags);
    resp_write_integer(out, c->keys.first);
    resp_write_integer(out, c->keys.last);
    resp_write_integer(out, c->keys.step);
    write_words(call, c->acl);
    resp_write_array(out, 0); /* tips */
    write_key_specs(call, &c->keys);
}

static void write_command(struct command_call *call, const struct command *c)
{
    write_facts(call, c);
    resp_write_array(call->reply, subcommand_count(c));
    for (size_t i = 0; i < subcommand_count(c); i++) {
        write_facts(call, &c->subcommands[i]);
        resp_write_array(call->reply, 0);
    }
}

static void write_command_each(void *ctx, const struct command *c)
{
    struct command_call *call = ctx;
    write_command(call, c);
}

/* ---- COMMAND … ------------------------------------------------------------------------------- */

static enum command_result command_run(struct command_call *call)
{
    resp_write_array(call->reply, command_count());
    command_each(write_command_each, call);
    return COMMAND_DONE;
}

static enum command_result command_count_run(struct command_call *call)
{
    resp_write_integer(call->reply, (int64_t)command_count());
    return COMMAND_DONE;
}

/* A few bytes of name make a thousand of reply: not without end. */
static bool too_many_names(struct command_call *call)
{
    if (call->arg_count - 2 <= NAMES_MAX) {
        return false;
    }
    resp_write_errorf(call->reply, "ERR more than %u names in one command", NAMES_MAX);
    return true;
}

static enum command_result command_info_run(struct command_call *call)
{
    if (too_many_names(call)) {
        return COMMAND_ERROR;
    }
    if (call->arg_count == 2) {
        resp_write_array(call->reply, command_count());
        command_each(write_command_each, call);
        return COMMAND_DONE;
    }
    resp_write_array(call->reply, call->arg_count - 2);
    for (size_t i = 2; i < call->arg_count; i++) {
        const struct command *c = command_find(&call->args[i], 1);
        if (c != NULL) {
            write_command(call, c);
        } else {
            resp_write_null(call->reply, call->resp);
        }
    }
    return COMMAND_DONE;
}

static void write_doc_field(struct buf *out, const char *name, const char *text)
{
    resp_write_bulk_text(out, name);
    resp_write_bulk_text(out, text);
}

static void write_doc(struct command_call *call, const struct command *c, bool with_subcommands)
{
    struct buf *out = call->reply;
    write_name(out, c);
    resp_write_map(out, call->resp, with_subcommands ? 5 : 4);
    write_doc_field(out, "summary", c->summary);
    write_doc_field(out, "since", c->since);
    write_doc_field(out, "group", c->group);
    write_doc_field(out, "complexity", c->complexity);
}

static void write_doc_each(void *ctx, const struct command *c)
{
    struct command_call *call = ctx;
    size_t count = subcommand_count(c);
    write_doc(call, c, count > 0);
    if (count == 0) {
        return;
    }
    resp_write_bulk_text(call->reply, "subcommands");
    resp_write_map(call->reply, call->resp, count);
    for (size_t i = 0; i < count; i++) {
        write_doc(call, &c->subcommands[i], false);
    }
}

static enum command_result command_docs_run(struct command_call *call)
{
    if (too_many_names(call)) {
        return COMMAND_ERROR;
    }
    if (call->arg_count == 2) {
        resp_write_map(call->reply, call->resp, command_count());
        command_each(write_doc_each, call);
        return COMMAND_DONE;
    }
    size_t known = 0; /* unknown names are left out, as Redis does */
    for (size_t i = 2; i < call->arg_count; i++) {
        known += command_find(&call->args[i], 1) != NULL ? 1 : 0;
    }
    resp_write_map(call->reply, call->resp, known);
    for (size_t i = 2; i < call->arg_count; i++) {
        const struct command *c = command_find(&call->args[i], 1);
        if (c != NULL) {
            write_doc_each(call, c);
        }
    }
    return COMMAND_DONE;
}

static enum command_result command_getkeys_run(struct command_call *call)
{
    const struct bytes *args = call->args + 2;
    size_t arg_count = call->arg_count - 2;
    const struct command *c = command_find(args, arg_count);
    const char *problem = NULL;
    if (c == NULL) {
        problem = "ERR Invalid command specified";
    } else if (c->keys.first == 0) {
        problem = "ERR The command has no key arguments";
    } else if (!command_arity_fits(c, arg_count)) {
        problem = "ERR Invalid number of arguments specified for command";
    }
    if (problem != NULL) {
        return command_fail(call, problem);
    }
    size_t count = command_key_count(c, arg_count);
    resp_write_array(call->reply, count);
    for (size_t i = 0; i < count; i++) {
        resp_write_bulk(call->reply, args[command_key_at(c, arg_count, i)]);
    }
    return COMMAND_DONE;
}

/* COMMAND LIST's filter; no filter lets all pass. */
struct list_filter {
    struct command_call *call;
    bool (*passes)(const char *wanted, const struct command *c);
    const char *wanted; /* with its terminating zero */
    size_t count;
    bool is_counting;
};

static bool in_no_module(const char *wanted, const struct command *c)
{
    (void)wanted;
    (void)c;
    return false;
}

static bool in_category(const char *wanted, const struct command *c)
{
    size_t size = strlen(wanted);
    const char *at = c->acl;
    for (; *at != '\0'; at += strcspn(at, "@")) {
        at++; /* "@" */
        if (strcspn(at, " ") == size && strncasecmp(at, wanted, size) == 0) {
            return true;
        }
    }
    return false;
}

static bool fits_pattern(const char *wanted, const struct command *c)
{
    return fnmatch(wanted, c->name, FNM_CASEFOLD) == 0;
}

static void list_each_command(void *ctx, const struct command *c)
{
    struct list_filter *f = ctx;
    if (f->passes != NULL && !f->passes(f->wanted, c)) {
        return;
    }
    f->count++;
    if (!f->is_counting) {
        resp_write_bulk_text(f->call->reply, c->name);
    }
}

/* FILTERBY MODULE name | ACLCAT category | PATTERN pattern. */
static bool list_parse(struct command_call *call, struct list_filter *out_filter)
{
    if (call->arg_count == 2) {
        return true;
    }
    if (call->arg_count != 5 || !bytes_equal_nocase(call->args[2], "filterby")) {
        return false;
    }
    if (bytes_equal_nocase(call->args[3], "module")) {
        out_filter->passes = in_no_module;
    } else if (bytes_equal_nocase(call->args[3], "aclcat")) {
        out_filter->passes = in_category;
    } else if (bytes_equal_nocase(call->args[3], "pattern")) {
        out_filter->passes = fits_pattern;
    }
    return out_filter->passes != NULL;
}

static enum command_result command_list_run(struct command_call *call)
{
    struct list_filter filter = {.call = call, .is_counting = true};
    if (!list_parse(call, &filter)) {
        return command_fail(call, "ERR syntax error");
    }
    struct buf wanted;
    buf_init(&wanted, SIZE_MAX / 2);
    if (filter.passes != NULL) {
        buf_append_bytes(&wanted, call->args[4]);
    }
    buf_append(&wanted, "", 1);
    filter.wanted = (const char *)wanted.data;
    command_each(list_each_command, &filter);
    filter.is_counting = false;
    resp_write_array(call->reply, filter.count);
    command_each(list_each_command, &filter);
    buf_deinit(&wanted);
    return COMMAND_DONE;
}

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
