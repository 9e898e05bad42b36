/*
 * Results of fallible functions. Outputs are untouched unless the status is STATUS_OK.
 * Cold paths (start, config, files) also fill a struct error, wrapped outward:
 * "open log: segment 40: checksum mismatch".
 */
#ifndef BASE_STATUS_H
#define BASE_STATUS_H

#define MUST_CHECK __attribute__((warn_unused_result))

enum status {
#define STATUS(name, class, prefix, text) STATUS_##name,
#include "base/status.def"
#undef STATUS
    STATUS_COUNT
};

enum status_class {
    STATUS_CLASS_OK,
    STATUS_CLASS_REJECTED,
    STATUS_CLASS_RETRY,
    STATUS_CLASS_UNKNOWN,
    STATUS_CLASS_HALTED,
};

const char *status_name(enum status s);
const char *status_text(enum status s);
const char *status_prefix(enum status s);
enum status_class status_class(enum status s);

struct error {
    enum status code;
    char text[1024];
};

/* Replaces what e says. Returns code, so that `return error_set(...)` reads well. e may be NULL. */
enum status error_set(struct error *e, enum status code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "<text>: " in front of what e says and returns code, which e takes too. e may be NULL. */
enum status error_wrap(struct error *e, enum status code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
