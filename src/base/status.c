#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"

struct status_row {
    const char *name;
    enum status_class class;
    const char *prefix;
    const char *text;
};

static const struct status_row rows[] = {
#define STATUS(name, class, prefix, text) {#name, STATUS_CLASS_##class, prefix, text},
#include "base/status.def"
#undef STATUS
};

const char *status_name(enum status s)
{
    ensure(s < STATUS_COUNT);
    return rows[s].name;
}

const char *status_text(enum status s)
{
    ensure(s < STATUS_COUNT);
    return rows[s].text;
}

const char *status_prefix(enum status s)
{
    ensure(s < STATUS_COUNT);
    return rows[s].prefix;
}

enum status_class status_class(enum status s)
{
    ensure(s < STATUS_COUNT);
    return rows[s].class;
}

enum status error_set(struct error *e, enum status code, const char *format, ...)
{
    ensure(code != STATUS_OK);
    if (e != NULL) {
        va_list args;
        va_start(args, format);
        e->code = code;
        (void)vsnprintf(e->text, sizeof e->text, format, args);
        va_end(args);
    }
    return code;
}

enum status error_wrap(struct error *e, enum status code, const char *format, ...)
{
    if (e == NULL) {
        return code;
    }
    char front[sizeof e->text];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(front, sizeof front, format, args);
    va_end(args);

    char whole[2 * sizeof e->text + 2];
    (void)snprintf(whole, sizeof whole, "%s: %s", front, e->text);
    whole[sizeof e->text - 1] = '\0';
    memcpy(e->text, whole, sizeof e->text);
    e->code = code;
    return code;
}
