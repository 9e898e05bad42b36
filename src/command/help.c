#include "command/help.h"

#include <ctype.h>
#include <stdio.h>

#include "base/assert.h"
#include "protocol/resp_writer.h"

#define TITLE_BYTES 128u

static void write_title(struct buf *out, const struct command *c)
{
    char text[TITLE_BYTES];
    const char *name = c->container != NULL ? c->container : c->name;
    int size = snprintf(text,
                        sizeof text,
                        "%s <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
                        name);
    ensure(size > 0 && (size_t)size < sizeof text);
    for (size_t i = 0; name[i] != '\0'; i++) {
        text[i] = (char)toupper((unsigned char)text[i]);
    }
    resp_write_simple(out, text);
}

enum command_result command_help(struct command_call *call, const char *const *lines)
{
    size_t count = 0;
    while (lines[count] != NULL) {
        count++;
    }
    resp_write_array(call->reply, count + 3);
    write_title(call->reply, call->command);
    for (size_t i = 0; i < count; i++) {
        resp_write_simple(call->reply, lines[i]);
    }
    resp_write_simple(call->reply, "HELP");
    resp_write_simple(call->reply, "    Prints this help.");
    return COMMAND_DONE;
}
