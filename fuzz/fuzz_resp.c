/*
 * Requests and replies from strangers. The first byte chooses how the rest is cut into pieces.
 * PROTO-1: the same commands and the same error in one piece and in pieces; PROTO-8: sizes and
 * values of replies agree.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "base/prng.h"
#include "protocol/resp_parser.h"
#include "protocol/resp_reply.h"
#include "protocol/resp_writer.h"

#define TRACE_BYTES_MAX ((size_t)256 * MIB)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Memory of exactly the size of its bytes, so that AddressSanitizer sees each read beyond them. */
static struct bytes copy_of(struct bytes b)
{
    uint8_t *memory = mem_alloc(b.size > 0 ? b.size : 1);
    if (b.size > 0) {
        memcpy(memory, b.data, b.size);
    }
    return bytes_of(memory, b.size);
}

static void drop(struct bytes copy)
{
    mem_free((void *)(uintptr_t)copy.data);
}

/* Parses what is there of input[*at..end) and traces each command; returns the last verdict. */
static enum resp_parse parse_available(struct resp_parser *p,
                                       struct bytes input,
                                       size_t *at,
                                       size_t end,
                                       struct buf *trace)
{
    for (;;) {
        struct bytes piece = copy_of(bytes_of(input.data + *at, end - *at));
        size_t used = 0;
        const struct bytes *args = NULL;
        size_t count = 0;
        enum resp_parse parse = resp_parser_next(p, piece, &used, &args, &count);
        if (parse == RESP_PARSE_COMMAND) {
            ensure(used > 0);
            ensure(used <= piece.size);
            resp_write_integer(trace, (int64_t)used);
            resp_write_array(trace, count);
            for (size_t i = 0; i < count; i++) {
                resp_write_bulk(trace, args[i]);
            }
            *at += used;
        }
        drop(piece);
        if (parse != RESP_PARSE_COMMAND) {
            return parse;
        }
    }
}

/* choice 0: one piece; else the end of each piece is drawn from a generator it seeds. */
static void parse_all(struct bytes input, uint8_t choice, struct buf *trace)
{
    struct prng prng;
    prng_init(&prng, choice);
    struct resp_parser p;
    resp_parser_init(&p);
    size_t at = 0;
    size_t end = 0;
    enum resp_parse parse = RESP_PARSE_MORE;
    while (parse == RESP_PARSE_MORE && end < input.size) {
        size_t left = input.size - end;
        size_t longest = choice == 1 ? 1 : left / (choice % 8 + 1) + 1;
        size_t piece = choice == 0 ? left : (size_t)prng_between(&prng, 1, longest);
        end += piece > left ? left : piece;
        parse = parse_available(&p, input, &at, end, trace);
        if (parse == RESP_PARSE_MORE) {
            ensure(resp_parser_wanted(&p) <= LIMIT_VALUE_BYTES + 2);
        }
    }
    if (parse == RESP_PARSE_ERROR) {
        resp_write_error(trace, resp_parser_error(&p));
    } else {
        resp_write_integer(trace, (int64_t)resp_parser_wanted(&p));
    }
    resp_parser_deinit(&p);
}

static void check_requests(struct bytes input, uint8_t choice)
{
    struct buf whole;
    struct buf pieces;
    buf_init(&whole, TRACE_BYTES_MAX);
    buf_init(&pieces, TRACE_BYTES_MAX);
    parse_all(input, 0, &whole);
    parse_all(input, choice, &pieces);
    ensure(bytes_equal(buf_bytes(&whole), buf_bytes(&pieces)));
    buf_deinit(&whole);
    buf_deinit(&pieces);
}

/* Reads the values of the reply at the beginning of input, which has exactly this size. */
static void check_values(struct bytes input, size_t size)
{
    struct bytes rest = bytes_of(input.data, size);
    int64_t left = 1;
    while (left > 0) {
        struct resp_value value = {0};
        enum status status = resp_value_read(&rest, &value);
        ensure(status == STATUS_OK);
        left += (value.count > 0 ? value.count : 0) - 1;
    }
    ensure(rest.size == 0);
}

static void check_replies(struct bytes input, uint8_t choice)
{
    size_t at = 0;
    while (at < input.size) {
        struct bytes rest = copy_of(bytes_of(input.data + at, input.size - at));
        size_t size = 0;
        enum status status = resp_reply_size(rest, &size);
        if (status == STATUS_OK) {
            ensure(size > 0);
            ensure(size <= rest.size);
            check_values(rest, size);
            size_t prefix = size * choice / 256;
            size_t none = 0;
            enum status early = resp_reply_size(bytes_of(rest.data, prefix), &none);
            ensure(early == STATUS_NEED);
        }
        drop(rest);
        if (status != STATUS_OK) {
            return;
        }
        at += size;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct bytes input = bytes_of(data + 1, size - 1);
    check_requests(input, data[0]);
    check_replies(input, data[0]);
    return 0;
}
