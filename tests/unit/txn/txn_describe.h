/* What coordinators and groups say, as a line of text. */
#ifndef TXN_TXN_DESCRIBE_H
#define TXN_TXN_DESCRIBE_H

#include <inttypes.h>

#include "base/assert.h"
#include "base/endian.h"
#include "command/command.h"
#include "data/effects.h"
#include "shard/txn_message.h"

static inline void describe_id(struct buf *out, const struct txn_id *id, uint64_t mark)
{
    buf_printf(out,
               " %" PRIu32 ".%" PRIu32 ".%" PRIu64 "/%" PRIu64,
               id->node,
               id->incarnation,
               id->sequence,
               mark);
}

static inline void describe_commands(struct buf *out, struct bytes body)
{
    struct entry_reader reader;
    entry_reader_of(body, &reader);
    while (!entry_is_read(&reader)) {
        struct entry_command c;
        enum status status = entry_next(&reader, &c);
        ensure(status == STATUS_OK);
        buf_printf(out, " [%s", command_by_id(c.id)->name);
        for (uint32_t i = 0; i < c.arg_count; i++) {
            struct bytes arg;
            status = entry_next_arg(&reader, &arg);
            ensure(status == STATUS_OK);
            buf_append_text(out, " ");
            buf_append_bytes(out, arg);
        }
        buf_append_text(out, "]");
    }
}

static inline void describe_effects(struct buf *out, struct bytes effects)
{
    while (effects.size > 0) {
        struct effect e;
        enum status status = effect_take(&effects, &e);
        ensure(status == STATUS_OK);
        buf_append_text(out, e.kind == EFFECT_PUT ? " {put " : " {delete ");
        buf_append_bytes(out, e.key);
        if (e.kind == EFFECT_PUT) {
            buf_append_text(out, " ");
            buf_append_bytes(out, e.object.value);
        }
        buf_append_text(out, "}");
    }
}

static inline void describe_work(struct buf *out, struct bytes argument)
{
    struct txn_work work;
    enum status status = txn_work_read(argument, &work);
    ensure(status == STATUS_OK);
    if (work.id.node != 0) {
        describe_id(out, &work.id, work.mark);
        buf_append_text(out, " of");
        for (size_t i = 0; i < work.participants.size; i += 2) {
            buf_printf(out, " %u", (unsigned)get_u16_le(work.participants.data + i));
        }
    }
    buf_append_text(out, (work.flags & TXN_STRICT) != 0 ? " strict" : "");
    buf_append_text(out, (work.flags & TXN_WAITS) != 0 ? " waits" : "");
    buf_append_text(out, (work.flags & TXN_YIELDS) != 0 ? " yields" : "");
    struct bytes compares = work.compares;
    while (compares.size > 0) {
        struct txn_compare c;
        status = txn_compare_take(&compares, &c);
        ensure(status == STATUS_OK);
        buf_append_text(out, c.is_watched ? " (watch " : " (");
        buf_append_bytes(out, c.key);
        buf_printf(out, " %" PRIu64 ")", c.version);
    }
    if ((work.flags & TXN_IS_EFFECTS) != 0) {
        describe_effects(out, work.body);
    } else {
        describe_commands(out, work.body);
    }
}

static inline void describe_keys(struct buf *out, struct bytes keys)
{
    while (keys.size > 0) {
        struct txn_key key;
        enum status status = txn_key_take(&keys, &key);
        ensure(status == STATUS_OK);
        buf_append_text(out, " ");
        buf_append_bytes(out, key.key);
        if (key.database > 0) {
            buf_printf(out, "@%u", (unsigned)key.database);
        }
    }
}

static inline void describe(struct buf *out, const struct command *row, struct bytes argument)
{
    struct txn_order order;
    enum status status = STATUS_OK;
    buf_append_text(out, row->name);
    switch ((int)row->id) {
    case COMMAND_ID_EXEC:
    case COMMAND_ID_EXECREAD:
    case COMMAND_ID_TXNPREPARE:
        describe_work(out, argument);
        return;
    case COMMAND_ID_VERSIONS:
    case COMMAND_ID_ROWS:
        describe_keys(out, argument);
        return;
    default:
        status = txn_order_read(argument, &order);
        ensure(status == STATUS_OK);
        describe_id(out, &order.id, order.mark);
    }
}

#endif
