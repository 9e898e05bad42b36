/*
 * How much more than their own size commands may write: entries, and so turns, end by it (NEED-5).
 * An estimate of the leader, of what is there now; it decides only what goes into one entry.
 */
#include "base/assert.h"
#include "shard/shard_txn.h"

/* Of the rows that an entry may write, each one that is not at hand counts for so much. */
#define ENTRY_COLD_ROWS_MAX 8u

/* Of the row at s->row_key, as it is here now. */
static uint64_t row_bytes(struct shard *s)
{
    struct blob *row = NULL;
    enum status status = store_get(s->store, buf_bytes(&s->row_key), &row);
    if (status == STATUS_NEED) {
        return LIMIT_ENTRY_ROWS_BYTES / ENTRY_COLD_ROWS_MAX; /* it may be any size */
    }
    return status == STATUS_OK ? blob_bytes(row).size : 0;
}

static bool is_growing(const struct command *row)
{
    return row->growth_of != NULL || (row->flags & COMMAND_REWRITES) != 0;
}

/* Of one command that is growing. */
static uint64_t command_rows_bytes(struct shard *s,
                                   const struct command *row,
                                   const struct entry_command *c,
                                   const struct bytes *args)
{
    size_t arg_count = (size_t)c->arg_count + 1;
    uint64_t total = row->growth_of != NULL ? row->growth_of(args, arg_count) : 0;
    struct keyspace space = shard_space(s, c->database);
    for (size_t i = 0; i < command_key_count(row, arg_count); i++) {
        buf_clear(&s->row_key, SIZE_MAX);
        row_key_append(&s->row_key, &space, args[command_key_at(row, arg_count, i)]);
        total += row_bytes(s);
    }
    return total;
}

/*
 * Commands of a transaction also write rows that those before them have made: each may be as large
 * as the largest of all.
 */
static uint64_t work_rows_bytes(struct shard *s, const struct txn_work *work)
{
    struct entry_reader reader;
    struct entry_command c;
    const struct command *row = NULL;
    uint64_t largest = 0;
    uint64_t count = 0;
    entry_reader_of(work->body, &reader);
    for (uint32_t i = 0; i < work->command_count; i++) {
        const uint8_t *start = reader.at;
        enum status status = shard_read_body(s, &reader, &c, &row);
        ensure(status == STATUS_OK); /* shard_txn_check */
        uint64_t own = (uint64_t)(reader.at - start);
        largest = own > largest ? own : largest;
        if (is_growing(row)) {
            uint64_t bytes = command_rows_bytes(s, row, &c, s->body_args.list);
            largest = bytes > largest ? bytes : largest;
            count++;
        }
    }
    return count * largest;
}

bool shard_work_grows(struct shard *s, const struct txn_work *work)
{
    struct entry_reader reader;
    struct entry_command c;
    const struct command *row = NULL;
    entry_reader_of(work->body, &reader);
    for (uint32_t i = 0; i < work->command_count; i++) {
        enum status status = shard_read_body(s, &reader, &c, &row);
        ensure(status == STATUS_OK); /* shard_txn_check */
        if (is_growing(row)) {
            return true;
        }
    }
    return false;
}

/* Of an internal command, in s->args. */
static uint64_t transact_rows_bytes(struct shard *s, const struct command *row)
{
    struct txn_work work;
    struct txn_order order;
    struct txn_record record;
    enum status status = STATUS_OK;
    switch ((int)row->id) {
    case COMMAND_ID_EXEC:
    case COMMAND_ID_TXNPREPARE:
        status = txn_work_read(s->args.list[1], &work);
        ensure(status == STATUS_OK); /* shard_txn_check */
        return work_rows_bytes(s, &work);
    case COMMAND_ID_TXNCOMMIT:
        status = txn_order_read(s->args.list[1], &order);
        ensure(status == STATUS_OK); /* shard_txn_check */
        return participant_find(s->participant, &order.id, &record) ? record.effects.size : 0;
    default:
        return 0;
    }
}

uint64_t shard_rows_bytes(struct shard *s, struct bytes write)
{
    struct entry_reader reader;
    struct entry_command c;
    const struct command *row = NULL;
    entry_reader_of(write, &reader);
    enum status status = entry_next(&reader, &c);
    ensure(status == STATUS_OK); /* encoded or checked by our router */
    row = command_by_id(c.id);
    if (row->handler != NULL && !is_growing(row)) {
        return 0;
    }
    status = shard_read_args(&s->args, &reader, row, &c);
    ensure(status == STATUS_OK);
    return row->handler == NULL ? transact_rows_bytes(s, row)
                                : command_rows_bytes(s, row, &c, s->args.list);
}
