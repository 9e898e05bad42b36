#include "command/client_filter.h"

#include "command/client_name.h"
#include "protocol/resp_writer.h"

static bool fail_shown(struct command_call *call, const char *format, struct bytes word)
{
    char text[OPTION_BYTES_SHOWN + 1];
    size_t size = word.size < OPTION_BYTES_SHOWN ? word.size : OPTION_BYTES_SHOWN;
    memcpy(text, word.data, size);
    text[size] = '\0';
    resp_write_errorf(call->reply, "ERR %s '%s'", format, text);
    return false;
}

static bool fail(struct command_call *call, const char *text)
{
    resp_write_error(call->reply, text);
    return false;
}

bool client_type_read(struct command_call *call, struct bytes word, bool *out_is_normal)
{
    static const char *const others[] = {"master", "replica", "slave", "pubsub"};
    if (bytes_equal_nocase(word, "normal")) {
        *out_is_normal = true;
        return true;
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        if (bytes_equal_nocase(word, others[i])) {
            *out_is_normal = false;
            return true;
        }
    }
    return fail_shown(call, "Unknown client type", word);
}

static bool read_skipme(struct command_call *call, struct bytes word, struct client_filter *f)
{
    if (bytes_equal_nocase(word, "yes")) {
        f->skips_me = true;
    } else if (bytes_equal_nocase(word, "no")) {
        f->skips_me = false;
    } else {
        return fail(call, "ERR syntax error");
    }
    return true;
}

static bool read_option(struct command_call *call,
                        struct bytes option,
                        struct bytes word,
                        struct client_filter *f)
{
    if (bytes_equal_nocase(option, "id")) {
        return (bytes_to_i64(word, &f->id) && f->id > 0) ||
               fail(call, "ERR client-id should be greater than 0");
    }
    if (bytes_equal_nocase(option, "type")) {
        bool is_normal = false;
        if (!client_type_read(call, word, &is_normal)) {
            return false;
        }
        f->is_nobody = !is_normal;
        return true;
    }
    if (bytes_equal_nocase(option, "addr")) {
        f->address = word;
        f->has_address = true;
        return true;
    }
    if (bytes_equal_nocase(option, "laddr")) {
        f->local_address = word;
        f->has_local_address = true;
        return true;
    }
    if (bytes_equal_nocase(option, "user")) { /* the default one is everybody's */
        return bytes_equal_text(word, "default") || fail_shown(call, "No such user", word);
    }
    if (bytes_equal_nocase(option, "skipme")) {
        return read_skipme(call, word, f);
    }
    return fail(call, "ERR syntax error");
}

bool client_filter_read(struct command_call *call, struct client_filter *out)
{
    struct client_filter f = {0};
    if (call->arg_count == 3) {
        f.address = call->args[2];
        f.has_address = true;
        *out = f;
        return true;
    }
    f.skips_me = true;
    for (size_t i = 2; i < call->arg_count; i += 2) {
        if (i + 1 == call->arg_count) {
            return fail(call, "ERR syntax error");
        }
        if (!read_option(call, call->args[i], call->args[i + 1], &f)) {
            return false;
        }
    }
    *out = f;
    return true;
}

bool client_filter_fits(const struct client_filter *f,
                        const struct client *client,
                        const struct client *me)
{
    return !f->is_nobody && (f->id == 0 || client->id == (uint64_t)f->id) &&
           (!f->has_address || bytes_equal_text(f->address, client->peer)) &&
           (!f->has_local_address || bytes_equal_text(f->local_address, client->local)) &&
           !(f->skips_me && client == me);
}
