#include "config/options.h"

#include <stddef.h>

#include "base/assert.h"
#include "base/limits.h"

enum option_type {
    OPTION_TEXT,  /* const char * */
    OPTION_BYTES, /* uint64_t; a number with an optional kb, mb or gb */
    OPTION_FLAG,  /* bool; takes no value */
};

struct option {
    const char *name;
    const char *value; /* how --help calls it */
    enum option_type type;
    size_t offset;
    const char *help;
};

static const struct option table[] = {
    {
        .name = "--data",
        .value = "DIR",
        .type = OPTION_TEXT,
        .offset = offsetof(struct options, data),
        .help = "where this node keeps everything; created if missing. Required.",
    },
    {
        .name = "--listen",
        .value = "HOST:PORT",
        .type = OPTION_TEXT,
        .offset = offsetof(struct options, listen),
        .help = "address for clients. Default 127.0.0.1:7379.",
    },
    {
        .name = "--buffer-memory",
        .value = "SIZE",
        .type = OPTION_BYTES,
        .offset = offsetof(struct options, buffer_memory),
        .help = "memory for input, replies and proposals of all clients (64mb, 2gb).\n"
                "Default: an eighth of the machine's memory.",
    },
    {
        .name = "--insecure",
        .type = OPTION_FLAG,
        .offset = offsetof(struct options, insecure),
        .help = "allow --listen on other addresses than loopback, although there are no\n"
                "passwords and no TLS yet.",
    },
};

#define OPTION_COUNT (sizeof table / sizeof table[0])

static bool parse_bytes(const char *text, uint64_t *out_value)
{
    static const struct {
        const char *unit;
        uint64_t bytes;
    } units[] = {{"", 1}, {"kb", KIB}, {"mb", MIB}, {"gb", (uint64_t)1024 * MIB}};

    size_t digits = strspn(text, "0123456789");
    int64_t number = 0;
    if (!bytes_to_i64(bytes_of(text, digits), &number)) {
        return false;
    }
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (bytes_equal_nocase(bytes_of_text(text + digits), units[i].unit)) {
            *out_value = (uint64_t)number * units[i].bytes;
            return number > 0 && (uint64_t)number <= INT64_MAX / units[i].bytes;
        }
    }
    return false;
}

static enum status set(const struct option *o, char *value, struct options *to, struct error *error)
{
    void *field = (char *)to + o->offset;
    switch (o->type) {
    case OPTION_FLAG:
        *(bool *)field = true;
        return STATUS_OK;
    case OPTION_TEXT:
        *(const char **)field = value;
        return STATUS_OK;
    case OPTION_BYTES:
        if (!parse_bytes(value, field)) {
            return error_set(error,
                             STATUS_INVALID,
                             "%s %s: not a size; say a number with kb, mb or gb",
                             o->name,
                             value);
        }
        return STATUS_OK;
    }
    unreachable("every option type is handled");
}

static const struct option *find(const char *name)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (strcmp(table[i].name, name) == 0) {
            return &table[i];
        }
    }
    return NULL;
}

static bool is_loopback(const char *listen)
{
    return strncmp(listen, "127.", 4) == 0 || strncmp(listen, "[::1]:", 6) == 0 ||
           strncmp(listen, "localhost:", 10) == 0;
}

static enum status check(const struct options *o, struct error *error)
{
    if (o->data == NULL) {
        return error_set(error, STATUS_INVALID, "--data DIR is required");
    }
    if (!is_loopback(o->listen) && !o->insecure) {
        return error_set(error,
                         STATUS_INVALID,
                         "--listen %s: without passwords and TLS only loopback is allowed; add "
                         "--insecure to listen there all the same",
                         o->listen);
    }
    return STATUS_OK;
}

enum status options_parse(int arg_count,
                          char **args,
                          struct options *out_options,
                          struct error *error)
{
    struct options o = {.listen = "127.0.0.1:7379"};
    for (int i = 0; i < arg_count; i++) {
        const struct option *option = find(args[i]);
        if (option == NULL) {
            return error_set(error,
                             STATUS_INVALID,
                             "%s: unknown option; see `dougong --help`",
                             args[i]);
        }
        char *value = NULL;
        if (option->type != OPTION_FLAG) {
            if (i + 1 == arg_count) {
                return error_set(error,
                                 STATUS_INVALID,
                                 "%s needs a value: %s",
                                 option->name,
                                 option->value);
            }
            value = args[++i];
        }
        enum status s = set(option, value, &o, error);
        if (s != STATUS_OK) {
            return s;
        }
    }
    enum status s = check(&o, error);
    if (s == STATUS_OK) {
        *out_options = o;
    }
    return s;
}

void options_help(struct buf *out)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option *o = &table[i];
        buf_printf(out, "  %s %s\n      ", o->name, o->value != NULL ? o->value : "");
        for (const char *p = o->help; *p != '\0'; p++) {
            buf_append_text(out, *p == '\n' ? "\n      " : "");
            if (*p != '\n') {
                buf_append(out, p, 1);
            }
        }
        buf_append_text(out, "\n");
    }
}
