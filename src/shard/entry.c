#include "shard/entry.h"

#include "base/assert.h"
#include "base/endian.h"

#define ENTRY_VERSION 2u
#define ARG_HEADER_BYTES 4u

enum command_field {
    COMMAND_ID = 0,
    COMMAND_SEMANTICS = 2,
    COMMAND_RESP = 3,
    COMMAND_DATABASE = 4,
    COMMAND_ZEROS = 5, /* three */
    COMMAND_ARG_COUNT = 8,
    COMMAND_NODE = 12,
    COMMAND_INCARNATION = 16,
    COMMAND_SIZE = 20, /* of the command with its arguments */
    COMMAND_SEQUENCE = 24,
    COMMAND_MARK = 32,
};

void entry_start(struct buf *entry)
{
    ensure(entry->size == 0);
    memset(buf_reserve(entry, ENTRY_HEADER_BYTES), 0, ENTRY_HEADER_BYTES);
    buf_extend(entry, ENTRY_HEADER_BYTES);
}

void entry_finish(struct buf *entry, const struct entry_header *h)
{
    ensure(entry->size >= ENTRY_HEADER_BYTES && h->count > 0);
    uint8_t *p = entry->data;
    p[0] = ENTRY_KIND_COMMANDS;
    p[1] = ENTRY_VERSION;
    put_u32_le(p + 4, h->count);
    put_u64_le(p + 8, h->stamp_ms);
    put_u64_le(p + 16, h->seed);
}

size_t entry_command_size(const struct bytes *args, size_t arg_count)
{
    size_t size = ENTRY_COMMAND_HEADER_BYTES;
    for (size_t i = 0; i < arg_count; i++) {
        size += ARG_HEADER_BYTES + args[i].size;
    }
    return size;
}

void entry_append(struct buf *out, const struct entry_command *c, const struct bytes *args)
{
    size_t size = entry_command_size(args, c->arg_count);
    ensure(size <= UINT32_MAX);
    uint8_t *p = buf_reserve(out, size);
    memset(p, 0, ENTRY_COMMAND_HEADER_BYTES);
    put_u16_le(p + COMMAND_ID, c->id);
    p[COMMAND_SEMANTICS] = c->semantics;
    p[COMMAND_RESP] = c->resp;
    p[COMMAND_DATABASE] = c->database;
    put_u32_le(p + COMMAND_ARG_COUNT, c->arg_count);
    put_u32_le(p + COMMAND_NODE, c->request.node);
    put_u32_le(p + COMMAND_INCARNATION, c->request.incarnation);
    put_u32_le(p + COMMAND_SIZE, (uint32_t)size);
    put_u64_le(p + COMMAND_SEQUENCE, c->request.sequence);
    put_u64_le(p + COMMAND_MARK, c->mark);
    p += ENTRY_COMMAND_HEADER_BYTES;
    for (uint32_t i = 0; i < c->arg_count; i++) {
        put_u32_le(p, (uint32_t)args[i].size);
        p += ARG_HEADER_BYTES;
        if (args[i].size > 0) {
            memcpy(p, args[i].data, args[i].size);
            p += args[i].size;
        }
    }
    ensure(p == out->data + out->size + size);
    buf_extend(out, size);
}

void entry_stamp(struct buf *command, uint64_t sequence, uint64_t mark)
{
    ensure(command->size >= ENTRY_COMMAND_HEADER_BYTES);
    ensure(get_u32_le(command->data + COMMAND_SIZE) == command->size);
    put_u64_le(command->data + COMMAND_SEQUENCE, sequence);
    put_u64_le(command->data + COMMAND_MARK, mark);
}

static size_t left(const struct entry_reader *r)
{
    return (size_t)(r->end - r->at);
}

enum status entry_read(struct bytes entry, struct entry_reader *out_reader)
{
    if (entry.size < ENTRY_HEADER_BYTES) {
        return STATUS_CORRUPT;
    }
    if (entry.data[0] != ENTRY_KIND_COMMANDS || entry.data[1] != ENTRY_VERSION) {
        return STATUS_UNSUPPORTED;
    }
    if (get_u16_le(entry.data + 2) != 0) {
        return STATUS_CORRUPT;
    }
    *out_reader = (struct entry_reader){
        .header.count = get_u32_le(entry.data + 4),
        .header.stamp_ms = get_u64_le(entry.data + 8),
        .header.seed = get_u64_le(entry.data + 16),
        .at = entry.data + ENTRY_HEADER_BYTES,
        .end = entry.data + entry.size,
    };
    return STATUS_OK;
}

void entry_reader_of(struct bytes commands, struct entry_reader *out_reader)
{
    *out_reader = (struct entry_reader){
        .at = commands.data,
        .end = commands.size > 0 ? commands.data + commands.size : commands.data,
    };
}

/* True if count arguments fill these bytes exactly. */
static bool args_fill(struct bytes args, uint32_t count)
{
    size_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (args.size - at < ARG_HEADER_BYTES) {
            return false;
        }
        size_t size = get_u32_le(args.data + at);
        at += ARG_HEADER_BYTES;
        if (size > args.size - at) {
            return false;
        }
        at += size;
    }
    return at == args.size;
}

enum status entry_next(struct entry_reader *r, struct entry_command *out_command)
{
    if (left(r) < ENTRY_COMMAND_HEADER_BYTES) {
        return STATUS_CORRUPT;
    }
    const uint8_t *p = r->at;
    size_t size = get_u32_le(p + COMMAND_SIZE);
    /* What a newer version puts among the zeros must not be overlooked here. */
    bool is_padded = p[COMMAND_ZEROS] == 0 && get_u16_le(p + COMMAND_ZEROS + 1) == 0;
    if (!is_padded || size < ENTRY_COMMAND_HEADER_BYTES || size > left(r)) {
        return STATUS_CORRUPT;
    }
    /* A wild count is noticed here, before anything is allocated by it. */
    uint32_t arg_count = get_u32_le(p + COMMAND_ARG_COUNT);
    struct bytes args = bytes_of(p + ENTRY_COMMAND_HEADER_BYTES, size - ENTRY_COMMAND_HEADER_BYTES);
    if (!args_fill(args, arg_count)) {
        return STATUS_CORRUPT;
    }
    *out_command = (struct entry_command){
        .id = get_u16_le(p + COMMAND_ID),
        .semantics = p[COMMAND_SEMANTICS],
        .resp = p[COMMAND_RESP],
        .database = p[COMMAND_DATABASE],
        .request.node = get_u32_le(p + COMMAND_NODE),
        .request.incarnation = get_u32_le(p + COMMAND_INCARNATION),
        .request.sequence = get_u64_le(p + COMMAND_SEQUENCE),
        .mark = get_u64_le(p + COMMAND_MARK),
        .arg_count = arg_count,
    };
    r->at += ENTRY_COMMAND_HEADER_BYTES;
    return STATUS_OK;
}

enum status entry_next_arg(struct entry_reader *r, struct bytes *out_arg)
{
    if (left(r) < ARG_HEADER_BYTES) {
        return STATUS_CORRUPT;
    }
    size_t size = get_u32_le(r->at);
    r->at += ARG_HEADER_BYTES;
    if (size > left(r)) {
        return STATUS_CORRUPT;
    }
    *out_arg = bytes_of(r->at, size);
    r->at += size;
    return STATUS_OK;
}
