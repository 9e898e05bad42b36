#include "router/router_forward.h"

#include "base/assert.h"
#include "base/endian.h"
#include "consensus/message.h"
#include "protocol/resp_reply.h"

enum header_field {
    HEADER_KIND = 0,
    HEADER_ZEROS = 1,
    HEADER_INCARNATION = 4,
};

enum batch_field {
    BATCH_GROUP = 0,
    BATCH_COUNT = 4,
    BATCH_TICKET = 8,
};

enum reply_field {
    REPLY_TICKET = 0,
    REPLY_ITEM = 8,
    REPLY_LEADER = 12,
    REPLY_SIZE = 16,
    REPLY_VERDICT = 20,
    REPLY_ZEROS = 21,
};

/* ---- writing --------------------------------------------------------------------------------- */

static void start(struct buf *out, enum message_kind kind, uint32_t incarnation)
{
    ensure(out->size == 0);
    uint8_t *p = buf_reserve(out, FORWARD_HEADER_BYTES);
    memset(p, 0, FORWARD_HEADER_BYTES);
    p[HEADER_KIND] = (uint8_t)kind;
    put_u32_le(p + HEADER_INCARNATION, incarnation);
    buf_extend(out, FORWARD_HEADER_BYTES);
}

void forward_requests_start(struct buf *out, uint32_t incarnation)
{
    start(out, MESSAGE_REQUESTS, incarnation);
}

void forward_batch_append(struct buf *out, const struct forward_batch *batch)
{
    ensure(batch->count > 0);
    uint8_t *p = buf_reserve(out, FORWARD_BATCH_BYTES);
    put_u32_le(p + BATCH_GROUP, batch->group);
    put_u32_le(p + BATCH_COUNT, batch->count);
    put_u64_le(p + BATCH_TICKET, batch->ticket);
    buf_extend(out, FORWARD_BATCH_BYTES);
}

void forward_command_append(struct buf *out, struct bytes command)
{
    ensure(command.size <= UINT32_MAX);
    put_u32_le(buf_reserve(out, FORWARD_COMMAND_BYTES), (uint32_t)command.size);
    buf_extend(out, FORWARD_COMMAND_BYTES);
    buf_append_bytes(out, command);
}

void forward_replies_start(struct buf *out, uint32_t incarnation)
{
    start(out, MESSAGE_REPLIES, incarnation);
}

void forward_reply_append(struct buf *out, const struct forward_reply *reply)
{
    ensure(reply->reply.size <= UINT32_MAX);
    ensure((reply->verdict == FORWARD_DONE) == (reply->reply.size > 0));
    uint8_t *p = buf_reserve(out, FORWARD_REPLY_BYTES);
    memset(p, 0, FORWARD_REPLY_BYTES);
    put_u64_le(p + REPLY_TICKET, reply->ticket);
    put_u32_le(p + REPLY_ITEM, reply->item);
    put_u32_le(p + REPLY_LEADER, reply->leader);
    put_u32_le(p + REPLY_SIZE, (uint32_t)reply->reply.size);
    p[REPLY_VERDICT] = (uint8_t)reply->verdict;
    buf_extend(out, FORWARD_REPLY_BYTES);
    buf_append_bytes(out, reply->reply);
}

/* ---- reading --------------------------------------------------------------------------------- */

static size_t left(const struct forward_reader *reader)
{
    return (size_t)(reader->end - reader->at);
}

static enum status read_header(struct bytes message,
                               enum message_kind kind,
                               struct forward_reader *out)
{
    if (message.size <= FORWARD_HEADER_BYTES) {
        return STATUS_MALFORMED; /* without content nobody sends one */
    }
    const uint8_t *p = message.data;
    if (p[HEADER_KIND] != kind || p[HEADER_ZEROS] != 0 || p[HEADER_ZEROS + 1] != 0 ||
        p[HEADER_ZEROS + 2] != 0) {
        return STATUS_MALFORMED;
    }
    *out = (struct forward_reader){
        .incarnation = get_u32_le(p + HEADER_INCARNATION),
        .at = p + FORWARD_HEADER_BYTES,
        .end = p + message.size,
    };
    return STATUS_OK;
}

/* Moves behind the batch at reader->at. */
static enum status check_batch(struct forward_reader *reader)
{
    if (left(reader) < FORWARD_BATCH_BYTES) {
        return STATUS_MALFORMED;
    }
    uint32_t count = get_u32_le(reader->at + BATCH_COUNT);
    reader->at += FORWARD_BATCH_BYTES;
    if (count == 0) {
        return STATUS_MALFORMED;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (left(reader) < FORWARD_COMMAND_BYTES) {
            return STATUS_MALFORMED;
        }
        size_t size = get_u32_le(reader->at);
        reader->at += FORWARD_COMMAND_BYTES;
        if (size > left(reader)) {
            return STATUS_MALFORMED;
        }
        reader->at += size;
    }
    return STATUS_OK;
}

enum status forward_requests_read(struct bytes message, struct forward_reader *out)
{
    struct forward_reader reader = {0};
    enum status status = read_header(message, MESSAGE_REQUESTS, &reader);
    struct forward_reader first = reader;
    while (status == STATUS_OK && left(&reader) > 0) {
        status = check_batch(&reader);
    }
    if (status == STATUS_OK) {
        *out = first;
    }
    return status;
}

/* A client gets these bytes as they are: anything but one whole value would shift its replies. */
static bool is_one_value(struct bytes reply)
{
    size_t size = 0;
    return resp_reply_size(reply, &size) == STATUS_OK && size == reply.size;
}

/* Moves behind the reply at reader->at. */
static enum status check_reply(struct forward_reader *reader)
{
    if (left(reader) < FORWARD_REPLY_BYTES) {
        return STATUS_MALFORMED;
    }
    const uint8_t *p = reader->at;
    size_t size = get_u32_le(p + REPLY_SIZE);
    uint8_t verdict = p[REPLY_VERDICT];
    reader->at += FORWARD_REPLY_BYTES;
    if (p[REPLY_ZEROS] != 0 || p[REPLY_ZEROS + 1] != 0 || p[REPLY_ZEROS + 2] != 0 ||
        size > left(reader)) {
        return STATUS_MALFORMED;
    }
    bool is_good = verdict == FORWARD_DONE
                       ? is_one_value(bytes_of(reader->at, size))
                       : size == 0 && verdict >= FORWARD_REFUSED && verdict <= FORWARD_NO_SPACE;
    reader->at += size;
    return is_good ? STATUS_OK : STATUS_MALFORMED;
}

enum status forward_replies_read(struct bytes message, struct forward_reader *out)
{
    struct forward_reader reader = {0};
    enum status status = read_header(message, MESSAGE_REPLIES, &reader);
    struct forward_reader first = reader;
    while (status == STATUS_OK && left(&reader) > 0) {
        status = check_reply(&reader);
    }
    if (status == STATUS_OK) {
        *out = first;
    }
    return status;
}

bool forward_next_batch(struct forward_reader *reader, struct forward_batch *out_batch)
{
    if (left(reader) == 0) {
        return false;
    }
    ensure(left(reader) >= FORWARD_BATCH_BYTES); /* checked by forward_requests_read */
    *out_batch = (struct forward_batch){
        .group = get_u32_le(reader->at + BATCH_GROUP),
        .count = get_u32_le(reader->at + BATCH_COUNT),
        .ticket = get_u64_le(reader->at + BATCH_TICKET),
    };
    reader->at += FORWARD_BATCH_BYTES;
    return true;
}

struct bytes forward_next_command(struct forward_reader *reader)
{
    ensure(left(reader) >= FORWARD_COMMAND_BYTES);
    size_t size = get_u32_le(reader->at);
    reader->at += FORWARD_COMMAND_BYTES;
    ensure(size <= left(reader));
    struct bytes command = bytes_of(reader->at, size);
    reader->at += size;
    return command;
}

bool forward_next_reply(struct forward_reader *reader, struct forward_reply *out_reply)
{
    if (left(reader) == 0) {
        return false;
    }
    ensure(left(reader) >= FORWARD_REPLY_BYTES); /* checked by forward_replies_read */
    const uint8_t *p = reader->at;
    size_t size = get_u32_le(p + REPLY_SIZE);
    reader->at += FORWARD_REPLY_BYTES;
    ensure(size <= left(reader));
    *out_reply = (struct forward_reply){
        .ticket = get_u64_le(p + REPLY_TICKET),
        .item = get_u32_le(p + REPLY_ITEM),
        .leader = get_u32_le(p + REPLY_LEADER),
        .verdict = (enum forward_verdict)p[REPLY_VERDICT],
        .reply = bytes_of(reader->at, size),
    };
    reader->at += size;
    return true;
}
