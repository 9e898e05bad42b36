#include "sim/values.h"

#include <inttypes.h>
#include <string.h>

#include "base/prng.h"

/* "v17." and as many letters as 17 says. */
static void print_text_value(struct buf *out, int64_t number)
{
    uint64_t mix = prng_mix((uint64_t)number);
    uint64_t limit = mix % 1000 < 400   ? 20
                     : mix % 1000 < 750 ? 700
                     : mix % 1000 < 995 ? 3000
                                        : 20000;
    size_t size = (size_t)(mix / 1000 % limit);
    buf_printf(out, "v%" PRId64 ".", number);
    memset(buf_reserve(out, size), 'a' + (int)(mix % 26), size);
    buf_extend(out, size);
}

void value_print(struct linear_value v, struct buf *out)
{
    if (v.type == LINEAR_TEXT) {
        print_text_value(out, v.number);
    } else {
        buf_printf(out, "%" PRId64, v.number);
    }
}

bool value_parse(struct bytes text, struct linear_value *out_value)
{
    int64_t number = 0;
    if (text.size > 0 && text.data[0] != 'v') {
        *out_value = (struct linear_value){.type = LINEAR_INTEGER};
        return bytes_to_i64(text, &out_value->number);
    }
    const uint8_t *dot = text.size > 0 ? memchr(text.data, '.', text.size) : NULL;
    if (dot == NULL ||
        !bytes_to_i64(bytes_of(text.data + 1, (size_t)(dot - text.data) - 1), &number)) {
        return false;
    }
    struct buf expected;
    buf_init(&expected, VALUE_BYTES_MAX);
    print_text_value(&expected, number);
    bool is_equal = bytes_equal(buf_bytes(&expected), text);
    buf_deinit(&expected);
    *out_value = (struct linear_value){.type = LINEAR_TEXT, .number = number};
    return is_equal;
}

void resp_put_bulk(struct buf *out, struct bytes bytes)
{
    buf_printf(out, "$%zu\r\n", bytes.size);
    buf_append_bytes(out, bytes);
    buf_append_text(out, "\r\n");
}

void resp_put_text(struct buf *out, const char *text)
{
    resp_put_bulk(out, bytes_of_text(text));
}

void resp_put_value(struct buf *out, struct linear_value v)
{
    struct buf text;
    buf_init(&text, VALUE_BYTES_MAX);
    value_print(v, &text);
    resp_put_bulk(out, buf_bytes(&text));
    buf_deinit(&text);
}
