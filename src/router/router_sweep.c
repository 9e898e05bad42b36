/*
 * KEYS and RANDOMKEY: SCANs of one group after the other. Each step goes the way of any read, at
 * the head of its stream; what is behind it waits for the last one (ROUTER-1).
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "data/slot.h"
#include "protocol/resp_reply.h"
#include "protocol/resp_writer.h"
#include "router/router_parts.h"

#define NUMBER_TEXT_BYTES 24u
#define SCAN_ARGS_MAX 5u

static bool wants_all(const struct router_request *request)
{
    return request->command->merge == COMMAND_MERGE_ARRAY; /* KEYS; else RANDOMKEY */
}

/* ---- steps ----------------------------------------------------------------------------------- */

/* The task of the next SCAN becomes that of the request. */
static void create_step(struct router *r, struct router_request *request, struct sweep *sweep)
{
    char cursor[NUMBER_TEXT_BYTES];
    char count[NUMBER_TEXT_BYTES];
    bool is_all = wants_all(request);
    uint32_t group = router_group_of_slot(r, (uint16_t)scan_cursor_slot(sweep->cursor));
    (void)snprintf(cursor, sizeof cursor, "%" PRIu64, sweep->cursor);
    (void)snprintf(count, sizeof count, "%u", is_all ? ROUTER_SWEEP_KEYS : ROUTER_RANDOM_KEYS);
    struct bytes args[SCAN_ARGS_MAX] = {
        bytes_of_text(cursor),
        bytes_of_text("COUNT"),
        bytes_of_text(count),
        bytes_of_text("MATCH"),
        buf_bytes(&sweep->pattern),
    };
    size_t arg_count = is_all ? SCAN_ARGS_MAX : SCAN_ARGS_MAX - 2;
    request->task =
        router_task_create(r, request, scan_command(), &r->routes[group], args, arg_count);
    request->task->sweep = sweep;
    router_task_charge(request->task);
}

void router_sweep_begin(struct router *r, struct router_request *request)
{
    struct sweep *sweep = mem_alloc_zero(sizeof *sweep);
    buf_init(&sweep->keys, SIZE_MAX / 2); /* is_too_large() bounds it */
    buf_init(&sweep->pattern, LIMIT_VALUE_BYTES);
    if (wants_all(request)) {
        buf_append_bytes(&sweep->pattern, request->args[1]);
    } else {
        uint64_t random = env_random(r->env);
        uint64_t slot = (random >> SCAN_CURSOR_SLOT_SHIFT) % SLOT_COUNT;
        sweep->begin = slot << SCAN_CURSOR_SLOT_SHIFT | (uint32_t)random;
        sweep->cursor = sweep->begin;
    }
    create_step(r, request, sweep);
}

void router_sweep_destroy(struct sweep *sweep)
{
    if (sweep != NULL) {
        buf_deinit(&sweep->keys);
        buf_deinit(&sweep->pattern);
        mem_free(sweep);
    }
}

/* ---- replies --------------------------------------------------------------------------------- */

/* What one SCAN said. */
struct step {
    uint64_t cursor;
    size_t count;
    struct bytes keys; /* count bulks */
};

/* False: no reply of SCAN, or one that does not go on from where it was asked. */
static bool read_step(struct bytes reply, uint64_t asked, struct step *out)
{
    struct resp_value value;
    if (resp_value_read(&reply, &value) != STATUS_OK || value.type != RESP_TYPE_ARRAY ||
        value.count != 2 || resp_value_read(&reply, &value) != STATUS_OK ||
        value.type != RESP_TYPE_BULK || !scan_cursor_read(value.text, &out->cursor) ||
        resp_value_read(&reply, &value) != STATUS_OK || value.type != RESP_TYPE_ARRAY ||
        value.count < 0) {
        return false;
    }
    out->count = (size_t)value.count;
    out->keys = reply;
    return out->cursor == 0 || (out->cursor > asked && scan_cursor_slot(out->cursor) < SLOT_COUNT);
}

/* Frames count, too: there may be any number of keys, and most of them are smaller than theirs. */
static bool is_too_large(const struct sweep *sweep)
{
    return sweep->keys.size > LIMIT_REPLY_VALUES_BYTES;
}

/* One of the keys of the step, by chance. False: they are none. */
static bool write_random_key(struct router *r, const struct step *step, struct buf *out)
{
    struct bytes rest = step->keys;
    size_t skipped = step->count > 0 ? (size_t)(env_random(r->env) % step->count) : 0;
    size_t size = 0;
    for (size_t i = 0; i < skipped; i++) {
        if (resp_reply_size(rest, &size) != STATUS_OK) {
            return false;
        }
        rest = bytes_of(rest.data + size, rest.size - size);
    }
    if (step->count == 0 || resp_reply_size(rest, &size) != STATUS_OK) {
        return false;
    }
    buf_append(out, rest.data, size);
    return true;
}

/* True: KEYS goes on. */
static bool take_keys(struct router_request *request, struct sweep *sweep, const struct step *step)
{
    buf_append_bytes(&sweep->keys, step->keys);
    sweep->count += step->count;
    sweep->cursor = step->cursor;
    if (is_too_large(sweep)) {
        resp_write_errorf(request->reply,
                          "ERR values of more than %u bytes in one reply",
                          LIMIT_REPLY_VALUES_BYTES);
        return false;
    }
    if (step->cursor != 0) {
        return true;
    }
    resp_write_array(request->reply, sweep->count);
    buf_append_bytes(request->reply, buf_bytes(&sweep->keys));
    return false;
}

/* True: RANDOMKEY goes on: no key so far, and it is not around yet. */
static bool take_one(struct router *r,
                     struct router_request *request,
                     struct sweep *sweep,
                     const struct step *step)
{
    if (write_random_key(r, step, request->reply)) {
        return false;
    }
    bool is_end = step->cursor == 0;
    bool is_around = sweep->has_wrapped && (is_end || step->cursor > sweep->begin);
    if (is_around || (is_end && sweep->begin == 0)) {
        resp_write_null(request->reply, request->resp);
        return false;
    }
    sweep->has_wrapped = sweep->has_wrapped || is_end;
    sweep->cursor = step->cursor;
    return true;
}

bool router_sweep_goes_on(struct router_request *request)
{
    struct router_task *t = request->task;
    struct router *r = t->router;
    struct bytes reply = buf_bytes(&t->reply);
    struct step step = {0};
    if (reply.size > 0 && reply.data[0] == '-') {
        buf_append_bytes(request->reply, reply);
        return false;
    }
    if (!read_step(reply, t->sweep->cursor, &step)) {
        router_write_unexpected(request);
        return false;
    }
    bool goes_on = wants_all(request) ? take_keys(request, t->sweep, &step)
                                      : take_one(r, request, t->sweep, &step);
    if (goes_on) {
        struct sweep *sweep = t->sweep;
        t->sweep = NULL;
        create_step(r, request, sweep);
        router_task_release(t);
    }
    return goes_on;
}
