#include "shard/entry.h"

#include "base/assert.h"
#include "base/endian.h"

#define ENTRY_VERSION 1u
#define ARG_HEADER_BYTES 4u

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

void entry_append(struct buf *entry, const struct entry_command *c, const struct bytes *args)
{
    ensure(entry->size >= ENTRY_HEADER_BYTES);
    uint8_t *p = buf_reserve(entry, entry_command_size(args, c->arg_count));
    memset(p, 0, ENTRY_COMMAND_HEADER_BYTES);
    put_u16_le(p, c->id);
    p[2] = c->semantics;
    p[3] = c->resp;
    p[4] = c->database;
    put_u32_le(p + 8, c->arg_count);
    put_u32_le(p + 12, c->request.node);
    put_u32_le(p + 16, c->request.incarnation);
    put_u64_le(p + 24, c->request.sequence);
    p += ENTRY_COMMAND_HEADER_BYTES;
    for (uint32_t i = 0; i < c->arg_count; i++) {
        put_u32_le(p, (uint32_t)args[i].size);
        p += ARG_HEADER_BYTES;
        if (args[i].size > 0) {
            memcpy(p, args[i].data, args[i].size);
            p += args[i].size;
        }
    }
    buf_extend(entry, (size_t)(p - (entry->data + entry->size)));
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
    *out_reader = (struct entry_reader){
        .header.count = get_u32_le(entry.data + 4),
        .header.stamp_ms = get_u64_le(entry.data + 8),
        .header.seed = get_u64_le(entry.data + 16),
        .at = entry.data + ENTRY_HEADER_BYTES,
        .end = entry.data + entry.size,
    };
    return STATUS_OK;
}

enum status entry_next(struct entry_reader *r, struct entry_command *out_command)
{
    if (left(r) < ENTRY_COMMAND_HEADER_BYTES) {
        return STATUS_CORRUPT;
    }
    const uint8_t *p = r->at;
    *out_command = (struct entry_command){
        .id = get_u16_le(p),
        .semantics = p[2],
        .resp = p[3],
        .database = p[4],
        .arg_count = get_u32_le(p + 8),
        .request.node = get_u32_le(p + 12),
        .request.incarnation = get_u32_le(p + 16),
        .request.sequence = get_u64_le(p + 24),
    };
    r->at += ENTRY_COMMAND_HEADER_BYTES;
    /* Each argument takes bytes, so a wild count is noticed before anything is allocated by it. */
    if (out_command->arg_count > left(r) / ARG_HEADER_BYTES) {
        return STATUS_CORRUPT;
    }
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
