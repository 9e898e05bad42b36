/*
 * Is this a command that a gateway on that node would have sent to this group (ROUTER-9)? What
 * comes through here gets into a shard, and through it into the log: nothing is believed.
 */
#include "base/endian.h"
#include "data/effects.h"
#include "data/slot.h"
#include "router/router_parts.h"
#include "shard/txn_message.h"

static bool is_request_good(const struct router_peer *peer,
                            const struct command *row,
                            const struct entry_command *c)
{
    if (c->request.node != peer->node || c->request.incarnation != peer->incarnation) {
        return false; /* whose sequences and marks these would be (DUP-1) */
    }
    bool is_write = (row->flags & COMMAND_WRITE) != 0;
    return !is_write ||
           (c->request.sequence > c->mark && c->request.sequence - c->mark < DUP_WINDOW);
}

/* True if a gateway would have sent such a command to this group. */
static bool is_place_good(const struct router *r,
                          uint32_t group,
                          const struct command *row,
                          const struct bytes *args,
                          size_t arg_count)
{
    if (row->policy == COMMAND_ALL_GROUPS) {
        return group > 0;
    }
    if (row->policy == COMMAND_BY_CURSOR) {
        uint64_t cursor = 0;
        return scan_cursor_read(args[1], &cursor) && router_group_of_cursor(r, cursor) == group;
    }
    if (command_judge_keys(row, args, arg_count) != COMMAND_KEYS_FIT) {
        return false;
    }
    size_t count = group > 0 ? command_key_count(row, arg_count) : 0;
    for (size_t i = 0; i < count; i++) {
        size_t at = command_key_at(row, arg_count, i);
        if (router_group_of_slot(r, slot_of_key(args[at])) != group) {
            return false;
        }
    }
    return true;
}

/* ---- one command ----------------------------------------------------------------------------- */

/* What a gateway checks of any command, and whether the shard here can run it. */
static bool is_head_good(const struct command *row, const struct entry_command *c)
{
    return c->semantics <= row->semantics && c->database < LIMIT_DATABASES &&
           (c->resp == 2 || c->resp == 3) && c->arg_count < LIMIT_ARGUMENTS &&
           command_arity_fits(row, (size_t)c->arg_count + 1);
}

/* Takes the arguments: not too long, and of this group. */
static bool are_args_good(struct router *r,
                          uint32_t group,
                          const struct command *row,
                          const struct entry_command *c,
                          struct entry_reader *reader)
{
    size_t arg_count = (size_t)c->arg_count + 1;
    struct bytes *args = router_args(r, arg_count);
    args[0] = bytes_of_text(row->name);
    for (size_t i = 1; i < arg_count; i++) {
        if (entry_next_arg(reader, &args[i]) != STATUS_OK || args[i].size > LIMIT_VALUE_BYTES) {
            return false;
        }
    }
    return is_place_good(r, group, row, args, arg_count);
}

/* ---- transactions ---------------------------------------------------------------------------- */

static bool is_key_good(const struct router *r, uint32_t group, struct bytes key)
{
    return key.size <= LIMIT_KEY_BYTES && router_group_of_slot(r, slot_of_key(key)) == group;
}

/* Commands of clients, with keys of this group, and no request ids. */
static bool are_commands_good(struct router *r, uint32_t group, const struct txn_work *work)
{
    struct entry_reader reader;
    entry_reader_of(work->body, &reader);
    for (uint32_t i = 0; i < work->command_count; i++) {
        struct entry_command c;
        if (entry_next(&reader, &c) != STATUS_OK) {
            return false;
        }
        const struct command *row = command_by_id(c.id);
        if (row == NULL || (row->flags & COMMAND_INTERNAL) != 0 || row->keys.first == 0 ||
            !is_head_good(row, &c) || c.request.node != 0 || c.request.incarnation != 0 ||
            c.request.sequence != 0 || c.mark != 0 || !are_args_good(r, group, row, &c, &reader)) {
            return false;
        }
    }
    return true;
}

static bool are_effects_good(const struct router *r, uint32_t group, struct bytes effects)
{
    while (effects.size > 0) {
        struct effect e;
        if (effect_take(&effects, &e) != STATUS_OK || e.kind == EFFECT_FLUSH ||
            !is_key_good(r, group, e.key)) {
            return false;
        }
    }
    return true;
}

static bool are_compares_good(const struct router *r, uint32_t group, const struct txn_work *work)
{
    struct bytes rest = work->compares;
    for (uint32_t i = 0; i < work->compare_count; i++) {
        struct txn_compare compare;
        if (txn_compare_take(&rest, &compare) != STATUS_OK || !is_key_good(r, group, compare.key)) {
            return false;
        }
    }
    return true;
}

static bool are_participants_good(const struct router *r, uint32_t group, struct bytes participants)
{
    bool is_named = false;
    for (size_t i = 0; i + 1 < participants.size; i += 2) {
        uint16_t participant = get_u16_le(participants.data + i);
        is_named = is_named || participant == group;
        if (participant == 0 || participant > r->options.group_count) {
            return false;
        }
    }
    return is_named;
}

static bool is_empty_id(const struct txn_id *id)
{
    return id->node == 0 && id->incarnation == 0 && id->sequence == 0;
}

static bool is_of_peer(const struct router_peer *peer, const struct txn_id *id)
{
    return id->node == peer->node && id->incarnation == peer->incarnation;
}

static bool is_work_good(struct router *r,
                         const struct router_peer *peer,
                         uint32_t group,
                         bool is_prepare,
                         struct bytes argument)
{
    struct txn_work work;
    if (txn_work_read(argument, &work) != STATUS_OK) {
        return false;
    }
    bool is_good = is_prepare
                       ? is_of_peer(peer, &work.id) && work.mark < work.id.sequence &&
                             work.id.sequence <= TXN_SEQUENCE_MAX &&
                             are_participants_good(r, group, work.participants)
                       : is_empty_id(&work.id) && work.mark == 0 && work.participant_count == 0 &&
                             (work.flags & (TXN_WAITS | TXN_IS_EFFECTS)) == 0;
    bool is_effects = (work.flags & TXN_IS_EFFECTS) != 0;
    return is_good && are_compares_good(r, group, &work) &&
           (is_effects ? are_effects_good(r, group, work.body)
                       : are_commands_good(r, group, &work));
}

static bool are_keys_good(const struct router *r, uint32_t group, struct bytes keys)
{
    while (keys.size > 0) {
        struct txn_key key;
        if (txn_key_take(&keys, &key) != STATUS_OK || !is_key_good(r, group, key.key)) {
            return false;
        }
    }
    return true;
}

/* Marks are the coordinator's own to raise; of older incarnations its node says that they are dead.
 * Asking, and doing what was proved, is for everybody. */
static bool is_order_good(const struct router_peer *peer,
                          enum command_id command,
                          struct bytes argument)
{
    struct txn_order order;
    if (txn_order_read(argument, &order) != STATUS_OK) {
        return false;
    }
    bool is_own = is_of_peer(peer, &order.id);
    bool is_of_one = order.id.sequence > 0 && (order.mark == 0 || is_own);
    bool is_dead = order.id.node == peer->node && order.id.incarnation < peer->incarnation;
    switch ((int)command) {
    case COMMAND_ID_TXNMARK:
        return is_own && order.id.sequence == 0;
    case COMMAND_ID_TXNCLOSE:
    case COMMAND_ID_TXNEND:
        return is_dead && order.id.sequence == 0;
    default:
        return is_of_one && order.mark < order.id.sequence;
    }
}

/* The argument of an internal command: one that a coordinator on that node could have sent. */
static bool is_transact_good(struct router *r,
                             const struct router_peer *peer,
                             uint32_t group,
                             const struct command *row,
                             struct bytes argument)
{
    switch ((int)row->id) {
    case COMMAND_ID_EXEC:
    case COMMAND_ID_EXECREAD:
        return is_work_good(r, peer, group, false, argument);
    case COMMAND_ID_TXNPREPARE:
        return is_work_good(r, peer, group, true, argument);
    case COMMAND_ID_VERSIONS:
    case COMMAND_ID_ROWS:
        return are_keys_good(r, group, argument);
    case COMMAND_ID_TXNCHECK:
    case COMMAND_ID_TXNCOMMIT:
    case COMMAND_ID_TXNABORT:
    case COMMAND_ID_TXNMARK:
    case COMMAND_ID_TXNCLOSE:
    case COMMAND_ID_TXNEND:
        return is_order_good(peer, row->id, argument);
    default:
        return false; /* EXPIREDUE is for leaders, not for gateways */
    }
}

/* ---- the check ------------------------------------------------------------------------------- */

bool router_is_good(struct router *r,
                    const struct router_peer *peer,
                    uint32_t group,
                    struct bytes command)
{
    struct entry_reader reader;
    struct entry_command c;
    entry_reader_of(command, &reader);
    if (command.size > ROUTER_COMMAND_BYTES_MAX || entry_next(&reader, &c) != STATUS_OK) {
        return false;
    }
    const struct command *row = command_by_id(c.id);
    if (row == NULL || !is_head_good(row, &c) || !is_request_good(peer, row, &c)) {
        return false;
    }
    if ((row->flags & COMMAND_INTERNAL) != 0) {
        struct bytes argument;
        return entry_next_arg(&reader, &argument) == STATUS_OK && entry_is_read(&reader) &&
               group > 0 && is_transact_good(r, peer, group, row, argument);
    }
    return are_args_good(r, group, row, &c, &reader) && entry_is_read(&reader);
}
