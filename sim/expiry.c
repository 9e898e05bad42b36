#include "sim/expiry.h"

#include <inttypes.h>

#define NEVER UINT64_MAX
/* Clocks run at most so much too fast or slow (plan.c), each. */
#define DRIFT_PPM 200u
#define ROUNDING_US (2 * MS_US)

struct judge {
    struct world *world;
    const struct history_key *key;
    uint64_t spread_us; /* no two readings of clocks ever were further from each other */
};

static bool is_read(const struct linear_operation *op)
{
    return op->kind == LINEAR_GET || op->kind == LINEAR_GETEX;
}

static bool saw_value(const struct linear_operation *op)
{
    return is_read(op) && !linear_is_unknown(op) && op->value.type != LINEAR_ABSENT;
}

static bool saw_nothing(const struct linear_operation *op)
{
    return is_read(op) && !linear_is_unknown(op) && op->value.type == LINEAR_ABSENT;
}

static uint64_t plus(uint64_t a_us, uint64_t b_us)
{
    return a_us > NEVER - b_us ? NEVER : a_us + b_us;
}

/* ---- never back ------------------------------------------------------------------------------ */

/* When the value was surely there: its SET returned, or somebody saw it before. */
static uint64_t established_us(const struct history_key *key,
                               struct linear_value value,
                               uint64_t before_us)
{
    uint64_t at_us = NEVER;
    for (size_t i = 0; i < key->count; i++) {
        const struct linear_operation *op = &key->operations[i];
        bool is_it = linear_value_equal(op->kind == LINEAR_SET ? op->argument : op->value, value);
        if (is_it && op->return_us < before_us && op->return_us < at_us) {
            at_us = op->return_us;
        }
    }
    return at_us;
}

static void check_back(const struct judge *j, size_t at)
{
    const struct linear_operation *seen = &j->key->operations[at];
    uint64_t since_us = established_us(j->key, seen->value, seen->call_us);
    for (size_t i = 0; i < at; i++) {
        const struct linear_operation *gone = &j->key->operations[i];
        if (is_read(gone) && gone->call_us > since_us && gone->return_us < seen->call_us &&
            !linear_value_equal(gone->value, seen->value)) {
            world_fail(j->world,
                       "%s: value %" PRId64 " was gone at %" PRIu64 " and back at %" PRIu64,
                       j->key->name,
                       seen->value.number,
                       gone->return_us,
                       seen->return_us);
            return;
        }
    }
}

/* ---- not gone too early ---------------------------------------------------------------------- */

/* The call of the latest write that took effect before, and decided on the key's life anew. */
static uint64_t decided_us(const struct history_key *key, uint64_t before_us)
{
    uint64_t at_us = 0;
    for (size_t i = 0; i < key->count; i++) {
        const struct linear_operation *op = &key->operations[i];
        bool decides = op->kind == LINEAR_SET || (op->kind == LINEAR_PERSIST && op->is_done);
        if (decides && op->return_us < before_us && op->call_us > at_us) {
            at_us = op->call_us;
        }
    }
    return at_us;
}

/* The earliest end that the operation may give the key; NEVER: none. since_us: see decided_us. */
static uint64_t earliest_end_us(const struct linear_operation *op, uint64_t since_us)
{
    bool is_too_late = !linear_is_unknown(op) && op->return_us < since_us;
    bool is_vain = op->kind == LINEAR_EXPIRE && !linear_is_unknown(op) && !op->is_done;
    if (is_too_late || is_vain) {
        return NEVER;
    }
    if (op->kind == LINEAR_DEL) {
        return op->call_us;
    }
    if (op->ttl_ms == 0) {
        return NEVER;
    }
    bool is_late = op->call_us < since_us && !op->is_absolute;
    return (is_late ? since_us : op->call_us) + op->ttl_ms * MS_US;
}

static void check_early(const struct judge *j, size_t at)
{
    const struct linear_operation *gone = &j->key->operations[at];
    uint64_t since_us = decided_us(j->key, gone->call_us);
    uint64_t end_us = since_us == 0 ? 0 : NEVER; /* 0: it may never have been there */
    for (size_t i = 0; i < j->key->count; i++) {
        const struct linear_operation *op = &j->key->operations[i];
        uint64_t op_end_us = op->call_us < gone->return_us ? earliest_end_us(op, since_us) : NEVER;
        end_us = op_end_us < end_us ? op_end_us : end_us;
    }
    if (end_us > plus(gone->return_us, j->spread_us)) {
        world_fail(j->world,
                   "%s was gone at %" PRIu64 ", before its time %" PRIu64,
                   j->key->name,
                   gone->return_us,
                   end_us);
    }
}

/* ---- not there too late ---------------------------------------------------------------------- */

static const struct linear_operation *set_of(const struct history_key *key,
                                             struct linear_value value)
{
    for (size_t i = 0; i < key->count; i++) {
        const struct linear_operation *op = &key->operations[i];
        if (op->kind == LINEAR_SET && linear_value_equal(op->argument, value)) {
            return op;
        }
    }
    return NULL;
}

/* The latest end that the operation may give the value that this SET gave; 0: none. */
static uint64_t latest_end_us(const struct linear_operation *op, const struct linear_operation *set)
{
    bool is_known = !linear_is_unknown(op);
    if (is_known && op->return_us < set->call_us) {
        return 0;
    }
    if (op->kind == LINEAR_PERSIST) {
        return is_known && !op->is_done ? 0 : NEVER;
    }
    bool changes = op->kind == LINEAR_GETEX || op->kind == LINEAR_EXPIRE;
    if (!changes || (is_known && op->kind == LINEAR_EXPIRE && !op->is_done)) {
        return 0;
    }
    uint64_t from_us = op->is_absolute ? op->call_us : op->return_us; /* unknown: NEVER */
    return plus(from_us, op->ttl_ms * MS_US);
}

static void check_late(const struct judge *j, size_t at)
{
    const struct linear_operation *seen = &j->key->operations[at];
    const struct linear_operation *set = set_of(j->key, seen->value);
    if (set == NULL) {
        world_fail(j->world, "%s: nobody set %" PRId64, j->key->name, seen->value.number);
        return;
    }
    uint64_t from_us =
        set->is_absolute ? set->call_us : established_us(j->key, seen->value, seen->call_us);
    uint64_t end_us = set->ttl_ms == 0 ? NEVER : plus(from_us, set->ttl_ms * MS_US);
    for (size_t i = 0; i < j->key->count && end_us != NEVER; i++) {
        const struct linear_operation *op = &j->key->operations[i];
        uint64_t op_end_us = op->call_us < seen->return_us ? latest_end_us(op, set) : 0;
        end_us = op_end_us > end_us ? op_end_us : end_us;
    }
    if (seen->call_us > plus(end_us, j->spread_us)) {
        world_fail(j->world,
                   "%s: value %" PRId64 " was there at %" PRIu64 ", after its time %" PRIu64,
                   j->key->name,
                   seen->value.number,
                   seen->call_us,
                   end_us);
    }
}

void expiry_check(struct world *world, const struct history_key *key)
{
    uint64_t jumps_ms = (uint64_t)(world->clock_most_ms - world->clock_least_ms);
    struct judge j = {
        .world = world,
        .key = key,
        .spread_us = jumps_ms * MS_US + world->now_us / 1000000u * 2 * DRIFT_PPM + ROUNDING_US,
    };
    for (size_t i = 0; i < key->count && !world->is_failed; i++) {
        if (saw_value(&key->operations[i])) {
            check_back(&j, i);
            check_late(&j, i);
        } else if (saw_nothing(&key->operations[i])) {
            check_early(&j, i);
        }
    }
}
