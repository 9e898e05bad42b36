/*
 * Text to time: in two steps that may overflow, each refused with the text of Redis. What is
 * relative becomes absolute by the call's own time, which is the same on all replicas.
 */
#include "command/expiry.h"

#include "base/assert.h"
#include "command/string_get.h"
#include "protocol/resp_writer.h"

#define MS_PER_SECOND 1000

bool expiry_option(struct bytes word, enum expiry_form *out_form)
{
    static const char *const words[] = {
        [EXPIRY_EX] = "ex",
        [EXPIRY_PX] = "px",
        [EXPIRY_EXAT] = "exat",
        [EXPIRY_PXAT] = "pxat",
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (bytes_equal_nocase(word, words[i])) {
            *out_form = (enum expiry_form)i;
            return true;
        }
    }
    return false;
}

static bool fail_time(struct command_call *call)
{
    resp_write_errorf(call->reply, "ERR invalid expire time in '%s' command", call->command->name);
    return false;
}

static bool to_absolute(struct command_call *call,
                        int64_t value,
                        enum expiry_form form,
                        int64_t *out_expires_ms)
{
    ensure(call->now_ms <= INT64_MAX);
    bool in_seconds = form == EXPIRY_EX || form == EXPIRY_EXAT;
    bool is_relative = form == EXPIRY_EX || form == EXPIRY_PX;
    if (in_seconds && (value > INT64_MAX / MS_PER_SECOND || value < INT64_MIN / MS_PER_SECOND)) {
        return fail_time(call);
    }
    int64_t value_ms = in_seconds ? value * MS_PER_SECOND : value;
    int64_t base_ms = is_relative ? (int64_t)call->now_ms : 0;
    if (value_ms > INT64_MAX - base_ms) {
        return fail_time(call);
    }
    *out_expires_ms = value_ms + base_ms;
    return true;
}

bool expiry_parse(struct command_call *call,
                  struct bytes text,
                  enum expiry_form form,
                  int64_t *out_expires_ms)
{
    int64_t value = 0;
    return string_integer(call, text, &value) && to_absolute(call, value, form, out_expires_ms);
}

bool expiry_parse_positive(struct command_call *call,
                           struct bytes text,
                           enum expiry_form form,
                           int64_t *out_expires_ms)
{
    int64_t value = 0;
    if (!string_integer(call, text, &value)) {
        return false;
    }
    return value > 0 ? to_absolute(call, value, form, out_expires_ms) : fail_time(call);
}
