#include "command/client_name.h"

#include "protocol/resp_writer.h"

static bool is_plain(struct bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '!' || text.data[i] > '~') {
            return false;
        }
    }
    return true;
}

bool client_text_check(struct command_call *call, struct bytes text, const char *what)
{
    if (!is_plain(text)) {
        resp_write_errorf(call->reply,
                          "ERR %s cannot contain spaces, newlines or special characters.",
                          what);
        return false;
    }
    if (text.size > LIMIT_CLIENT_NAME_BYTES) {
        resp_write_errorf(call->reply,
                          "ERR %s is longer than %u bytes",
                          what,
                          LIMIT_CLIENT_NAME_BYTES);
        return false;
    }
    return true;
}

bool client_name_set(struct command_call *call, struct bytes name)
{
    if (!client_text_check(call, name, "Client names")) {
        return false;
    }
    buf_clear(&call->client->name, 0);
    buf_append_bytes(&call->client->name, name);
    return true;
}
