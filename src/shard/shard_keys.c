/*
 * Which keys a command names, wherever they stand: among its arguments, or of the internal commands
 * of transactions, in bodies, compares and effects.
 */
#include "base/assert.h"
#include "base/endian.h"
#include "data/effects.h"
#include "shard/shard_txn.h"

/* ---- commands of a body ---------------------------------------------------------------------- */

enum status shard_read_body(struct shard *s,
                            struct entry_reader *reader,
                            struct entry_command *out_command,
                            const struct command **out_row)
{
    enum status status = entry_next(reader, out_command);
    if (status != STATUS_OK) {
        return status;
    }
    const struct command *row = command_by_id(out_command->id);
    if (row == NULL || out_command->semantics > row->semantics) {
        return STATUS_UNSUPPORTED;
    }
    *out_row = row;
    status = shard_read_args(&s->body_args, reader, row, out_command);
    bool is_good = row->handler != NULL && row->keys.first != 0 &&
                   (row->flags & (COMMAND_READ | COMMAND_WRITE)) != 0 &&
                   (row->flags & COMMAND_INTERNAL) == 0;
    return status == STATUS_OK && !is_good ? STATUS_CORRUPT : status;
}

static enum status check_body(struct shard *s, const struct txn_work *work, bool may_write)
{
    struct entry_reader reader;
    struct entry_command c;
    const struct command *row = NULL;
    enum status status = STATUS_OK;
    entry_reader_of(work->body, &reader);
    for (uint32_t i = 0; i < work->command_count && status == STATUS_OK; i++) {
        status = shard_read_body(s, &reader, &c, &row);
        if (status == STATUS_OK && !may_write && (row->flags & COMMAND_WRITE) != 0) {
            status = STATUS_CORRUPT;
        }
    }
    return status;
}

/* Whole databases are not for transactions. */
static enum status check_effects(struct bytes effects)
{
    struct effect e;
    while (effects.size > 0) {
        if (effect_take(&effects, &e) != STATUS_OK || e.kind == EFFECT_FLUSH) {
            return STATUS_CORRUPT;
        }
    }
    return STATUS_OK;
}

/* ---- arguments ------------------------------------------------------------------------------- */

static bool is_participant(const struct txn_work *work, uint16_t group)
{
    for (size_t i = 0; i < work->participants.size; i += 2) {
        if (get_u16_le(work->participants.data + i) == group) {
            return true;
        }
    }
    return false;
}

static enum status check_work(struct shard *s, const struct command *row, struct bytes argument)
{
    struct txn_work w;
    bool is_prepare = row->id == COMMAND_ID_TXNPREPARE;
    if (txn_work_read(argument, &w) != STATUS_OK) {
        return STATUS_CORRUPT;
    }
    if (is_prepare) {
        bool is_id = w.id.incarnation > 0 && w.id.sequence > 0 &&
                     w.id.sequence <= TXN_SEQUENCE_MAX && w.mark <= TXN_SEQUENCE_MAX;
        if (!is_id || !is_participant(&w, s->options.group)) {
            return STATUS_CORRUPT;
        }
    }
    if ((w.flags & TXN_IS_EFFECTS) != 0) {
        return is_prepare ? check_effects(w.body) : STATUS_CORRUPT;
    }
    return check_body(s, &w, row->id != COMMAND_ID_EXECREAD);
}

static enum status check_keys(struct bytes keys)
{
    struct txn_key key;
    while (keys.size > 0) {
        if (txn_key_take(&keys, &key) != STATUS_OK) {
            return STATUS_CORRUPT;
        }
    }
    return STATUS_OK;
}

static enum status check_order(struct bytes argument, bool is_of_one)
{
    struct txn_order order;
    bool is_good =
        txn_order_read(argument, &order) == STATUS_OK && (order.id.sequence > 0) == is_of_one;
    return is_good ? STATUS_OK : STATUS_CORRUPT;
}

enum status shard_txn_check(struct shard *s, const struct command *row, struct bytes argument)
{
    switch ((int)row->id) {
    case COMMAND_ID_EXEC:
    case COMMAND_ID_EXECREAD:
    case COMMAND_ID_TXNPREPARE:
        return check_work(s, row, argument);
    case COMMAND_ID_VERSIONS:
    case COMMAND_ID_ROWS:
        return check_keys(argument);
    case COMMAND_ID_TXNCHECK:
    case COMMAND_ID_TXNCOMMIT:
    case COMMAND_ID_TXNABORT:
        return check_order(argument, true);
    case COMMAND_ID_TXNMARK:
    case COMMAND_ID_TXNCLOSE:
    case COMMAND_ID_TXNEND:
        return check_order(argument, false);
    default:
        unreachable("no other command is the shard's own");
    }
}

/* ---- keys ------------------------------------------------------------------------------------ */

/* Of a command with a key spec. A key that may be in another database (COPY, MOVE) is in both. */
static bool each_argument(const struct command *row,
                          const struct entry_command *c,
                          const struct bytes *args,
                          shard_key_fn fn,
                          void *ctx)
{
    size_t arg_count = (size_t)c->arg_count + 1;
    size_t count = command_key_count(row, arg_count);
    bool is_written = (row->flags & COMMAND_WRITE) != 0;
    for (size_t i = 0; i < count; i++) {
        size_t at = command_key_at(row, arg_count, i);
        uint8_t other = c->database;
        if (row->database_of != NULL) {
            other = row->database_of(args, arg_count, at, c->database);
        }
        if (!fn(ctx, c->database, args[at], is_written) ||
            (other != c->database && other < LIMIT_DATABASES &&
             !fn(ctx, other, args[at], is_written))) {
            return false;
        }
    }
    return true;
}

static bool each_effect(struct bytes effects, shard_key_fn fn, void *ctx)
{
    struct effect e;
    while (effects.size > 0 && effect_take(&effects, &e) == STATUS_OK) {
        if (!fn(ctx, e.database, e.key, true)) {
            return false;
        }
    }
    return true;
}

bool shard_each_work_key(struct shard *s, const struct txn_work *work, shard_key_fn fn, void *ctx)
{
    struct bytes compares = work->compares;
    struct txn_compare compare;
    while (compares.size > 0 && txn_compare_take(&compares, &compare) == STATUS_OK) {
        if (!fn(ctx, compare.database, compare.key, false)) {
            return false;
        }
    }
    if ((work->flags & TXN_IS_EFFECTS) != 0) {
        return each_effect(work->body, fn, ctx);
    }
    struct entry_reader reader;
    struct entry_command c;
    const struct command *row = NULL;
    entry_reader_of(work->body, &reader);
    for (uint32_t i = 0; i < work->command_count; i++) {
        if (shard_read_body(s, &reader, &c, &row) != STATUS_OK) {
            return true; /* whoever runs it says so */
        }
        if (!each_argument(row, &c, s->body_args.list, fn, ctx)) {
            return false;
        }
    }
    return true;
}

static bool each_asked(struct bytes keys, shard_key_fn fn, void *ctx)
{
    struct txn_key key;
    while (keys.size > 0 && txn_key_take(&keys, &key) == STATUS_OK) {
        if (!fn(ctx, key.database, key.key, false)) {
            return false;
        }
    }
    return true;
}

/* Those that COMMIT is going to change. */
static bool each_prepared(struct shard *s, struct bytes argument, shard_key_fn fn, void *ctx)
{
    struct txn_order order;
    struct txn_record record;
    if (txn_order_read(argument, &order) != STATUS_OK || order.id.sequence == 0 ||
        !participant_find(s->participant, &order.id, &record)) {
        return true;
    }
    return each_effect(record.effects, fn, ctx);
}

bool shard_each_key(struct shard *s,
                    const struct command *row,
                    const struct entry_command *c,
                    shard_key_fn fn,
                    void *ctx)
{
    if (row->handler != NULL) {
        return each_argument(row, c, s->args.list, fn, ctx);
    }
    struct bytes argument = s->args.list[1];
    struct txn_work work;
    switch ((int)row->id) {
    case COMMAND_ID_EXEC:
    case COMMAND_ID_EXECREAD:
    case COMMAND_ID_TXNPREPARE:
        return txn_work_read(argument, &work) != STATUS_OK ||
               shard_each_work_key(s, &work, fn, ctx);
    case COMMAND_ID_VERSIONS:
    case COMMAND_ID_ROWS:
        return each_asked(argument, fn, ctx);
    case COMMAND_ID_TXNCOMMIT:
        return each_prepared(s, argument, fn, ctx);
    default:
        return true;
    }
}
