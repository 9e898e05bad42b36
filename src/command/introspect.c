/* COMMAND: what this server can do, all of it from the table. */
#include <stdio.h>

#include "base/assert.h"
#include "base/glob.h"
#include "command/command.h"
#include "command/getkeys.h"
#include "command/help.h"
#include "command/words.h"
#include "protocol/resp_writer.h"

#define NAMES_MAX 1024u
#define FULL_NAME_BYTES 64u
#define PATTERN_BYTES_MAX 1024u

static enum command_result command_run(struct command_call *call);
static enum command_result count_run(struct command_call *call);
static enum command_result info_run(struct command_call *call);
static enum command_result docs_run(struct command_call *call);
static enum command_result list_run(struct command_call *call);
static enum command_result help_run(struct command_call *call);

#define ROW(name_, run, min, max, since_, complexity_, summary_, tips_)                            \
    {                                                                                              \
        .name = (name_), .container = "command", .handler = (run), .arity_min = (min),             \
        .arity_max = (max), .flags = COMMAND_STALE_OK, .group = "server", .since = (since_),       \
        .complexity = (complexity_), .summary = (summary_), .acl = "@slow @connection",            \
        .tips = (tips_),                                                                           \
    }

#define TIP_ORDER "nondeterministic_output_order"
#define PER_NAME "O(N) where N is the number of commands to look up"
#define PER_ARGUMENT "O(N) where N is the number of arguments to the command"
#define PER_COMMAND "O(N) where N is the total number of Redis commands"

static const struct command command_subcommands[] = {
    ROW("count", count_run, 2, 2, "2.8.13", "O(1)", "Get total number of Redis commands", NULL),
    ROW("docs",
        docs_run,
        2,
        -1,
        "7.0.0",
        PER_NAME,
        "Get array of specific Redis command documentation",
        TIP_ORDER),
    ROW("getkeys",
        getkeys_run,
        4,
        -1,
        "2.8.13",
        PER_ARGUMENT,
        "Extract keys given a full Redis command",
        NULL),
    ROW("getkeysandflags",
        getkeys_run,
        4,
        -1,
        "7.0.0",
        PER_ARGUMENT,
        "Extract keys and access flags given a full Redis command",
        NULL),
    ROW("help",
        help_run,
        2,
        2,
        "5.0.0",
        "O(1)",
        "Show helpful text about the different subcommands",
        NULL),
    ROW("info",
        info_run,
        2,
        -1,
        "2.8.13",
        PER_NAME,
        "Get array of specific Redis command details, or all when no argument is given.",
        TIP_ORDER),
    ROW("list",
        list_run,
        2,
        -1,
        "7.0.0",
        PER_COMMAND,
        "Get an array of Redis command names",
        TIP_ORDER),
    {.name = NULL},
};

const struct command command_table_introspect[] = {
    {
        .name = "command",
        .handler = command_run,
        .arity_min = 1,
        .arity_max = -1,
        .flags = COMMAND_STALE_OK,
        .group = "server",
        .since = "2.8.13",
        .complexity = PER_COMMAND,
        .summary = "Get array of Redis command details",
        .acl = "@slow @connection",
        .tips = TIP_ORDER,
        .subcommands = command_subcommands,
    },
    {.name = NULL},
};

/* ---- names ----------------------------------------------------------------------------------- */

/* What answers only why not does not exist for COMMAND. */
static bool is_shown(const struct command *c)
{
    return (c->flags & COMMAND_REFUSED) == 0;
}

/* The next subcommand to show, from s on; NULL: there is none. */
static const struct command *shown_from(const struct command *s)
{
    while (s != NULL && s->name != NULL && !is_shown(s)) {
        s++;
    }
    return s != NULL && s->name != NULL ? s : NULL;
}

static size_t subcommand_count(const struct command *c)
{
    size_t count = 0;
    for (const struct command *s = shown_from(c->subcommands); s != NULL; s = shown_from(s + 1)) {
        count++;
    }
    return count;
}

/* "get", or "client|id" with a container. */
static const char *full_name(const struct command *c, char text[FULL_NAME_BYTES])
{
    bool is_sub = c->container != NULL;
    const char *container = is_sub ? c->container : "";
    int size = snprintf(text, FULL_NAME_BYTES, "%s%s%s", container, is_sub ? "|" : "", c->name);
    ensure(size > 0 && (size_t)size < FULL_NAME_BYTES);
    return text;
}

static void write_name(struct buf *out, const struct command *c)
{
    char text[FULL_NAME_BYTES];
    resp_write_bulk_text(out, full_name(c, text));
}

static const struct command *find_shown(const struct bytes *args, size_t arg_count)
{
    const struct command *c = command_find(args, arg_count);
    return c != NULL && is_shown(c) ? c : NULL;
}

/* "get" or "client|id", in any case. */
static const struct command *find_full(struct bytes name)
{
    const uint8_t *bar = name.size > 0 ? memchr(name.data, '|', name.size) : NULL;
    if (bar == NULL) {
        return find_shown(&name, 1);
    }
    size_t size = (size_t)(bar - name.data);
    struct bytes words[2] = {bytes_of(name.data, size), bytes_of(bar + 1, name.size - size - 1)};
    const struct command *c = find_shown(words, 2);
    return c != NULL && c->container != NULL ? c : NULL;
}

/* ---- one command as COMMAND INFO shows it ---------------------------------------------------- */

/* In the order of Redis. */
static const struct {
    unsigned flag;
    const char *name;
} flag_names[] = {
    {COMMAND_WRITE, "write"},
    {COMMAND_READ, "readonly"},
    {COMMAND_GROWS, "denyoom"},
    {COMMAND_ADMIN, "admin"},
    {COMMAND_NO_SCRIPT, "noscript"},
    {COMMAND_BLOCKING, "blocking"},
    {COMMAND_STALE_OK, "loading"},
    {COMMAND_STALE_OK, "stale"},
    {COMMAND_SKIP_MONITOR, "skip_monitor"},
    {COMMAND_SKIP_SLOWLOG, "skip_slowlog"},
    {COMMAND_FAST, "fast"},
    {COMMAND_NO_AUTH, "no_auth"},
    {COMMAND_NO_MULTI, "no_multi"},
    {COMMAND_ALLOW_BUSY, "allow_busy"},
};

#define FLAG_NAME_COUNT (sizeof flag_names / sizeof flag_names[0])

static const char *const categories[] = {
    "@keyspace", "@read",   "@write",    "@set",       "@sortedset",   "@list",        "@hash",
    "@string",   "@bitmap", "@geo",      "@stream",    "@hyperloglog", "@pubsub",      "@admin",
    "@fast",     "@slow",   "@blocking", "@dangerous", "@connection",  "@transaction", "@scripting",
};

#define CATEGORY_COUNT (sizeof categories / sizeof categories[0])

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

static void write_categories(struct command_call *call, const char *acl)
{
    size_t count = 0;
    for (size_t i = 0; i < CATEGORY_COUNT; i++) {
        count += words_have(words_of(acl), categories[i]) ? 1 : 0;
    }
    ensure(count == words_count(words_of(acl))); /* no category but Redis' */
    resp_write_set(call->reply, call->resp, count);
    for (size_t i = 0; i < CATEGORY_COUNT; i++) {
        if (words_have(words_of(acl), categories[i])) {
            resp_write_simple(call->reply, categories[i]);
        }
    }
}

static void write_bulk_word(void *ctx, struct bytes word)
{
    resp_write_bulk(ctx, word);
}

static void write_tips(struct command_call *call, const char *tips)
{
    struct bytes words = words_of(tips != NULL ? tips : "");
    resp_write_set(call->reply, call->resp, words_count(words));
    words_each(words, write_bulk_word, call->reply);
}

/* Where a search for keys begins and how it goes on: {"type": type, "spec": …}, without the last.
 */
static void write_search(struct command_call *call, const char *name, const char *type)
{
    resp_write_bulk_text(call->reply, name);
    resp_write_map(call->reply, call->resp, 2);
    resp_write_bulk_text(call->reply, "type");
    resp_write_bulk_text(call->reply, type);
    resp_write_bulk_text(call->reply, "spec");
}

static void write_number(struct buf *out, const char *name, int64_t value)
{
    resp_write_bulk_text(out, name);
    resp_write_integer(out, value);
}

/* Keys from the argument first on; last as in struct command_keys. */
static void write_key_spec(struct command_call *call,
                           const struct command_keys *keys,
                           struct bytes access,
                           int first,
                           int last)
{
    struct buf *out = call->reply;
    resp_write_map(out, call->resp, keys->note != NULL ? 4 : 3);
    if (keys->note != NULL) {
        resp_write_bulk_text(out, "notes");
        resp_write_bulk_text(out, keys->note);
    }
    resp_write_bulk_text(out, "flags");
    getkeys_write_words(call, access);
    write_search(call, "begin_search", "index");
    resp_write_map(out, call->resp, 1);
    write_number(out, "index", first);
    write_search(call, "find_keys", "range");
    resp_write_map(out, call->resp, 3);
    write_number(out, "lastkey", last < 0 ? last : last - first);
    write_number(out, "keystep", keys->step);
    write_number(out, "limit", 0);
}

static void write_key_specs(struct command_call *call, const struct command_keys *keys)
{
    if (keys->first == 0) {
        resp_write_set(call->reply, call->resp, 0);
        return;
    }
    struct bytes first;
    struct bytes rest;
    bool are_two = getkeys_access(keys->access, &first, &rest);
    resp_write_set(call->reply, call->resp, are_two ? 2 : 1);
    write_key_spec(call, keys, first, keys->first, are_two ? keys->first : keys->last);
    if (are_two) {
        write_key_spec(call, keys, rest, keys->first + keys->step, keys->last);
    }
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
    write_categories(call, c->acl);
    write_tips(call, c->tips);
    write_key_specs(call, &c->keys);
}

/* None is an empty set, some are an array: as in Redis. */
static void write_command(void *ctx, const struct command *c)
{
    struct command_call *call = ctx;
    size_t count = subcommand_count(c);
    write_facts(call, c);
    if (count == 0) {
        resp_write_set(call->reply, call->resp, 0);
        return;
    }
    resp_write_array(call->reply, count);
    for (const struct command *s = shown_from(c->subcommands); s != NULL; s = shown_from(s + 1)) {
        write_facts(call, s);
        resp_write_set(call->reply, call->resp, 0);
    }
}

/* ---- COMMAND, COUNT, INFO -------------------------------------------------------------------- */

static enum command_result command_run(struct command_call *call)
{
    resp_write_array(call->reply, command_count());
    command_each(write_command, call);
    return COMMAND_DONE;
}

static enum command_result count_run(struct command_call *call)
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

static enum command_result info_run(struct command_call *call)
{
    if (too_many_names(call)) {
        return COMMAND_ERROR;
    }
    if (call->arg_count == 2) {
        return command_run(call);
    }
    resp_write_array(call->reply, call->arg_count - 2);
    for (size_t i = 2; i < call->arg_count; i++) {
        const struct command *c = find_full(call->args[i]);
        if (c != NULL) {
            write_command(call, c);
        } else {
            resp_write_null(call->reply, call->resp);
        }
    }
    return COMMAND_DONE;
}

/* ---- DOCS ------------------------------------------------------------------------------------ */

static void write_doc_field(struct buf *out, const char *name, const char *text)
{
    if (text != NULL) {
        resp_write_bulk_text(out, name);
        resp_write_bulk_text(out, text);
    }
}

/* Without Redis' "arguments", "history" and "doc_flags", which the table does not have. */
static void write_doc_fields(struct command_call *call, const struct command *c)
{
    struct buf *out = call->reply;
    size_t fields = c->complexity != NULL ? 4 : 3;
    write_name(out, c);
    resp_write_map(out, call->resp, fields + (subcommand_count(c) > 0 ? 1 : 0));
    write_doc_field(out, "summary", c->summary);
    write_doc_field(out, "since", c->since);
    write_doc_field(out, "group", c->group);
    write_doc_field(out, "complexity", c->complexity);
}

static void write_doc(void *ctx, const struct command *c)
{
    struct command_call *call = ctx;
    size_t count = subcommand_count(c);
    write_doc_fields(call, c);
    if (count == 0) {
        return;
    }
    resp_write_bulk_text(call->reply, "subcommands");
    resp_write_map(call->reply, call->resp, count);
    for (const struct command *s = shown_from(c->subcommands); s != NULL; s = shown_from(s + 1)) {
        write_doc_fields(call, s);
    }
}

static enum command_result docs_run(struct command_call *call)
{
    if (too_many_names(call)) {
        return COMMAND_ERROR;
    }
    if (call->arg_count == 2) {
        resp_write_map(call->reply, call->resp, command_count());
        command_each(write_doc, call);
        return COMMAND_DONE;
    }
    size_t known = 0; /* unknown names are left out, as Redis does */
    for (size_t i = 2; i < call->arg_count; i++) {
        known += find_full(call->args[i]) != NULL ? 1 : 0;
    }
    resp_write_map(call->reply, call->resp, known);
    for (size_t i = 2; i < call->arg_count; i++) {
        const struct command *c = find_full(call->args[i]);
        if (c != NULL) {
            write_doc(call, c);
        }
    }
    return COMMAND_DONE;
}

/* ---- LIST ------------------------------------------------------------------------------------ */

/* COMMAND LIST's filter; no filter lets all pass. */
struct list_filter {
    struct command_call *call;
    bool (*passes)(struct bytes wanted, const struct command *c);
    struct bytes wanted;
    size_t count;
    bool is_counting;
};

static bool in_no_module(struct bytes wanted, const struct command *c)
{
    (void)wanted;
    (void)c;
    return false;
}

/* wanted is without "@". */
static bool in_category(struct bytes wanted, const struct command *c)
{
    for (size_t i = 0; i < CATEGORY_COUNT; i++) {
        if (bytes_equal_nocase(wanted, categories[i] + 1)) {
            return words_have(words_of(c->acl), categories[i]);
        }
    }
    return false;
}

static bool fits_pattern(struct bytes wanted, const struct command *c)
{
    char text[FULL_NAME_BYTES];
    return glob_matches_nocase(wanted, bytes_of_text(full_name(c, text)));
}

static void list_one(struct list_filter *f, const struct command *c)
{
    if (f->passes != NULL && !f->passes(f->wanted, c)) {
        return;
    }
    f->count++;
    if (!f->is_counting) {
        write_name(f->call->reply, c);
    }
}

static void list_with_subcommands(void *ctx, const struct command *c)
{
    list_one(ctx, c);
    for (const struct command *s = shown_from(c->subcommands); s != NULL; s = shown_from(s + 1)) {
        list_one(ctx, s);
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
    out_filter->wanted = call->args[4];
    return out_filter->passes != NULL;
}

static enum command_result list_run(struct command_call *call)
{
    struct list_filter filter = {.call = call, .is_counting = true};
    if (!list_parse(call, &filter)) {
        return command_fail(call, "ERR syntax error");
    }
    if (filter.wanted.size > PATTERN_BYTES_MAX) {
        return command_fail(call, "ERR pattern is too long");
    }
    command_each(list_with_subcommands, &filter);
    filter.is_counting = false;
    resp_write_array(call->reply, filter.count);
    command_each(list_with_subcommands, &filter);
    return COMMAND_DONE;
}

/* ---- HELP ------------------------------------------------------------------------------------ */

static enum command_result help_run(struct command_call *call)
{
    static const char *const lines[] = {
        "(no subcommand)",
        "    Return details about all Redis commands.",
        "COUNT",
        "    Return the total number of commands in this Redis server.",
        "LIST",
        "    Return a list of all commands in this Redis server.",
        "INFO [<command-name> ...]",
        "    Return details about multiple Redis commands.",
        "    If no command names are given, documentation details for all",
        "    commands are returned.",
        "DOCS [<command-name> ...]",
        "    Return documentation details about multiple Redis commands.",
        "    If no command names are given, documentation details for all",
        "    commands are returned.",
        "GETKEYS <full-command>",
        "    Return the keys from a full Redis command.",
        "GETKEYSANDFLAGS <full-command>",
        "    Return the keys and the access flags from a full Redis command.",
        NULL,
    };
    return command_help(call, lines);
}
