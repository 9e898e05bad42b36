#include "command/string_get.h"

#include "base/assert.h"
#include "protocol/resp_writer.h"

bool string_get(struct command_call *call,
                struct bytes key,
                struct string *out_string,
                enum command_result *out_stop)
{
    struct object object = {0};
    enum status s = view_get(call->view, key, &object);
    if (s == STATUS_NEED) {
        *out_stop = COMMAND_NEED;
        return false;
    }
    if (s == STATUS_OK && object.type != OBJECT_TYPE_STRING) {
        *out_stop = command_fail(call, STRING_WRONG_TYPE);
        return false;
    }
    ensure(s == STATUS_OK || s == STATUS_NOT_FOUND);
    if (s == STATUS_NOT_FOUND) {
        object = (struct object){.type = OBJECT_TYPE_STRING};
    }
    *out_string = (struct string){.is_there = s == STATUS_OK, .object = object};
    return true;
}

void string_put(struct command_call *call, struct bytes key, const struct object *object)
{
    ensure(object->value.size <= LIMIT_VALUE_BYTES);
    enum status s = view_put(call->view, key, object);
    ensure(s == STATUS_OK); /* the key was just read */
}

void string_delete(struct command_call *call, struct bytes key)
{
    enum status s = view_delete(call->view, key);
    ensure(s == STATUS_OK); /* it was just found */
}

void string_write(struct command_call *call, const struct string *string)
{
    if (string->is_there) {
        resp_write_bulk(call->reply, string->object.value);
    } else {
        resp_write_null(call->reply, call->resp);
    }
}

bool string_integer(struct command_call *call, struct bytes text, int64_t *out_value)
{
    if (!bytes_to_i64(text, out_value)) {
        resp_write_error(call->reply, STRING_NOT_AN_INTEGER);
        return false;
    }
    return true;
}
