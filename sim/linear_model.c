/* What the operations on one key do. */
#include <inttypes.h>

#include "sim/linear.h"

static struct linear_value incremented(struct linear_value before)
{
    if (before.type == LINEAR_TEXT) {
        return before;
    }
    int64_t number = before.type == LINEAR_ABSENT ? 0 : before.number;
    return (struct linear_value){.type = LINEAR_INTEGER, .number = number + 1};
}

static bool incr_fits(const struct linear_operation *op, struct linear_value before)
{
    if (before.type == LINEAR_TEXT || op->is_refused) {
        return before.type == LINEAR_TEXT && op->is_refused;
    }
    return incremented(before).number == op->number;
}

bool linear_apply(const struct linear_operation *op,
                  struct linear_value before,
                  struct linear_value *out_after)
{
    struct linear_value absent = {.type = LINEAR_ABSENT};
    bool is_there = before.type != LINEAR_ABSENT;
    struct linear_value after = before;
    bool fits = true;
    switch (op->kind) {
    case LINEAR_GET:
    case LINEAR_GETEX:
        fits = linear_value_equal(op->value, before);
        break;
    case LINEAR_EXISTS:
    case LINEAR_EXPIRE:
        fits = op->is_done == is_there;
        break;
    case LINEAR_PERSIST:
        fits = is_there || !op->is_done;
        break;
    case LINEAR_SET:
        after = op->argument;
        break;
    case LINEAR_SET_NX:
        fits = op->is_done == !is_there;
        after = is_there ? before : op->argument;
        break;
    case LINEAR_DEL:
        fits = op->is_done == is_there;
        after = absent;
        break;
    case LINEAR_INCR:
        fits = incr_fits(op, before);
        after = incremented(before);
        break;
    }
    if (!fits && !linear_is_unknown(op)) {
        return false;
    }
    *out_after = after;
    return true;
}

void linear_print_value(struct linear_value v, struct buf *out)
{
    switch (v.type) {
    case LINEAR_ABSENT:
        buf_printf(out, "nil");
        return;
    case LINEAR_INTEGER:
        buf_printf(out, "%" PRId64, v.number);
        return;
    case LINEAR_TEXT:
        buf_printf(out, "v%" PRId64, v.number);
        return;
    }
}

static void print_result(const struct linear_operation *op, struct buf *out)
{
    buf_append_text(out, " -> ");
    if (linear_is_unknown(op)) {
        buf_append_text(out, "unknown");
    } else if (op->kind == LINEAR_GET || op->kind == LINEAR_GETEX) {
        linear_print_value(op->value, out);
    } else if (op->kind == LINEAR_INCR && op->is_refused) {
        buf_append_text(out, "no integer");
    } else if (op->kind == LINEAR_INCR) {
        buf_printf(out, "%" PRId64, op->number);
    } else if (op->kind == LINEAR_SET) {
        buf_append_text(out, "ok");
    } else {
        buf_append_text(out, op->is_done ? "yes" : "no");
    }
}

void linear_print(const struct linear_operation *op, struct buf *out)
{
    static const char *const names[] =
        {"GET", "SET", "SET NX", "DEL", "INCR", "EXISTS", "EXPIRE", "PERSIST", "GETEX"};
    buf_append_text(out, names[op->kind]);
    if (op->kind == LINEAR_SET || op->kind == LINEAR_SET_NX) {
        buf_append_text(out, " ");
        linear_print_value(op->argument, out);
    }
    if (op->ttl_ms > 0) {
        buf_printf(out, " %s %" PRIu64, op->is_absolute ? "PXAT +" : "PX", op->ttl_ms);
    }
    print_result(op, out);
}
