#include "command/getkeys.h"

#include <stdio.h>

#include "base/assert.h"
#include "command/words.h"
#include "protocol/resp_writer.h"

#define WORD_BYTES 64u

bool getkeys_access(const char *access, struct bytes *out_first, struct bytes *out_rest)
{
    const char *bar = strchr(access, '|');
    *out_first = bar != NULL ? bytes_of(access, (size_t)(bar - access)) : bytes_of_text(access);
    *out_rest = bar != NULL ? bytes_of_text(bar + 1) : *out_first;
    return bar != NULL;
}

static void write_word(void *ctx, struct bytes word)
{
    char text[WORD_BYTES];
    int size = snprintf(text, sizeof text, "%.*s", (int)word.size, (const char *)word.data);
    ensure(size > 0 && (size_t)size < sizeof text);
    resp_write_simple(ctx, text);
}

void getkeys_write_words(struct command_call *call, struct bytes words)
{
    resp_write_set(call->reply, call->resp, words_count(words));
    words_each(words, write_word, call->reply);
}

/* ---- what depends on the arguments ----------------------------------------------------------- */

static const char *set_access(const struct bytes *args, size_t arg_count)
{
    for (size_t i = 3; i < arg_count; i++) {
        if (bytes_equal_nocase(args[i], "get")) {
            return "RW access update";
        }
    }
    return "OW update";
}

/* GET type offset and OVERFLOW how only read; all else, also what makes no sense, may write. */
static const char *bitfield_access(const struct bytes *args, size_t arg_count)
{
    for (size_t i = 2; i < arg_count;) {
        size_t left = arg_count - i - 1;
        if (bytes_equal_nocase(args[i], "get") && left >= 2) {
            i += 3;
        } else if (bytes_equal_nocase(args[i], "overflow") && left >= 1) {
            i += 2;
        } else {
            return "RW access update";
        }
    }
    return "RO access";
}

static const char *access_of(const struct command *c, const struct bytes *args, size_t arg_count)
{
    if (c->id == COMMAND_ID_SET) {
        return set_access(args, arg_count);
    }
    return c->id == COMMAND_ID_BITFIELD ? bitfield_access(args, arg_count) : c->keys.access;
}

/* ---- the commands ---------------------------------------------------------------------------- */

static const char *problem_of(const struct command *c, size_t arg_count)
{
    bool is_known = c != NULL && (c->flags & COMMAND_REFUSED) == 0;
    if (!is_known || (c->subcommands != NULL && arg_count > 1)) {
        return "ERR Invalid command specified";
    }
    if (c->keys.first == 0) {
        return "ERR The command has no key arguments";
    }
    if (!command_arity_fits(c, arg_count)) {
        return "ERR Invalid number of arguments specified for command";
    }
    return NULL;
}

enum command_result getkeys_run(struct command_call *call)
{
    const struct bytes *args = call->args + 2;
    size_t arg_count = call->arg_count - 2;
    const struct command *c = command_find(args, arg_count);
    const char *problem = problem_of(c, arg_count);
    if (problem != NULL) {
        return command_fail(call, problem);
    }
    bool with_flags = strcmp(call->command->name, "getkeysandflags") == 0;
    struct bytes first;
    struct bytes rest;
    (void)getkeys_access(access_of(c, args, arg_count), &first, &rest);
    size_t count = command_key_count(c, arg_count);
    resp_write_array(call->reply, count);
    for (size_t i = 0; i < count; i++) {
        if (with_flags) {
            resp_write_array(call->reply, 2);
        }
        resp_write_bulk(call->reply, args[command_key_at(c, arg_count, i)]);
        if (with_flags) {
            getkeys_write_words(call, i == 0 ? first : rest);
        }
    }
    return COMMAND_DONE;
}
