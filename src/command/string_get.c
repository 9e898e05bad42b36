#include "command/string_get.h"

#include "base/assert.h"
#include "base/mem.h"
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

uint8_t *string_copy_grown(struct bytes value, size_t size_min, size_t *out_size)
{
    ensure(size_min <= LIMIT_VALUE_BYTES);
    size_t size = value.size > size_min ? value.size : size_min;
    uint8_t *copy = mem_alloc(size > 0 ? size : 1);
    if (value.size > 0) {
        memcpy(copy, value.data, value.size);
    }
    memset(copy + value.size, 0, size - value.size);
    *out_size = size;
    return copy;
}

bool string_range_is_reversed(const struct string_range *range)
{
    return range->first < 0 && range->last < 0 && range->first > range->last;
}

static int64_t from_begin(int64_t position, int64_t size)
{
    int64_t from = position < 0 ? size + position : position;
    return from < 0 ? 0 : from;
}

bool string_range_clamp(struct string_range *range, size_t size)
{
    int64_t end = (int64_t)size;
    range->first = from_begin(range->first, end);
    range->last = from_begin(range->last, end);
    range->last = range->last < end ? range->last : end - 1;
    return range->first <= range->last;
}
