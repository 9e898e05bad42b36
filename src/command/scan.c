/*
 * Whole databases: SCAN, KEYS, RANDOMKEY, DBSIZE, FLUSHDB, FLUSHALL. Handlers see one group; the
 * router brings the groups together.
 */
#include "command/scan.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/glob.h"
#include "data/slot.h"
#include "protocol/resp_writer.h"

/* Of SCAN without COUNT. */
#define COUNT_DEFAULT 10
#define PATTERN_TOO_LONG "ERR pattern is too long"

static enum command_result scan_run(struct command_call *call);
static enum command_result sweep_run(struct command_call *call);
static enum command_result dbsize_run(struct command_call *call);
static enum command_result flushdb_run(struct command_call *call);
static enum command_result flushall_run(struct command_call *call);

const struct command command_table_scan[] = {
    {
        .name = "scan",
        .handler = scan_run,
        .id = COMMAND_ID_SCAN,
        .semantics = 1,
        .arity_min = 2,
        .arity_max = -1,
        .flags = COMMAND_READ,
        .policy = COMMAND_BY_CURSOR,
        .group = "generic",
        .since = "2.8.0",
        .complexity = "O(1) for every call. O(N) for a complete iteration, including enough "
                      "command calls for the cursor to return back to 0. N is the number of "
                      "elements inside the collection.",
        .summary = "Incrementally iterate the keys space",
        .acl = "@keyspace @read @slow",
        .tips = "nondeterministic_output request_policy:special",
    },
    {
        .name = "keys",
        .handler = sweep_run,
        .arity_min = 2,
        .arity_max = 2,
        .flags = COMMAND_READ,
        .policy = COMMAND_SWEEP,
        .merge = COMMAND_MERGE_ARRAY,
        .group = "generic",
        .since = "1.0.0",
        .complexity = "O(N) with N being the number of keys in the database, under the assumption "
                      "that the key names in the database and the given pattern have limited "
                      "length.",
        .summary = "Find all keys matching the given pattern",
        .acl = "@keyspace @read @slow @dangerous",
        .tips = "request_policy:all_shards nondeterministic_output_order",
    },
    {
        .name = "randomkey",
        .handler = sweep_run,
        .arity_min = 1,
        .arity_max = 1,
        .flags = COMMAND_READ,
        .policy = COMMAND_SWEEP,
        .group = "generic",
        .since = "1.0.0",
        .complexity = "O(1)",
        .summary = "Return a random key from the keyspace",
        .acl = "@keyspace @read @slow",
        .tips = "request_policy:all_shards nondeterministic_output",
    },
    {
        .name = "dbsize",
        .handler = dbsize_run,
        .id = COMMAND_ID_DBSIZE,
        .semantics = 1,
        .arity_min = 1,
        .arity_max = 1,
        .flags = COMMAND_READ | COMMAND_FAST,
        .policy = COMMAND_ALL_GROUPS,
        .merge = COMMAND_MERGE_SUM,
        .group = "server",
        .since = "1.0.0",
        .complexity = "O(1)",
        .summary = "Return the number of keys in the selected database",
        .acl = "@keyspace @read @fast",
        .tips = "request_policy:all_shards response_policy:agg_sum",
    },
    {
        .name = "flushdb",
        .handler = flushdb_run,
        .id = COMMAND_ID_FLUSHDB,
        .semantics = 1,
        .arity_min = 1,
        .arity_max = -1,
        .flags = COMMAND_WRITE,
        .policy = COMMAND_ALL_GROUPS,
        .merge = COMMAND_MERGE_OK,
        .group = "server",
        .since = "1.0.0",
        .complexity = "O(N) where N is the number of keys in the selected database",
        .summary = "Remove all keys from the current database",
        .acl = "@keyspace @write @slow @dangerous",
        .tips = "request_policy:all_shards response_policy:all_succeeded",
    },
    {
        .name = "flushall",
        .handler = flushall_run,
        .id = COMMAND_ID_FLUSHALL,
        .semantics = 1,
        .arity_min = 1,
        .arity_max = -1,
        .flags = COMMAND_WRITE,
        .policy = COMMAND_ALL_GROUPS,
        .merge = COMMAND_MERGE_OK,
        .group = "server",
        .since = "1.0.0",
        .complexity = "O(N) where N is the total number of keys in all databases",
        .summary = "Remove all keys from all databases",
        .acl = "@keyspace @write @slow @dangerous",
        .tips = "request_policy:all_shards response_policy:all_succeeded",
    },
    {.name = NULL},
};

const struct command *scan_command(void)
{
    return &command_table_scan[0];
}

/* ---- cursors --------------------------------------------------------------------------------- */

const char scan_invalid_cursor[] = "ERR invalid cursor";

/* The C library's strtoul, as Redis reads it: a sign may stand in front, nothing counts as 0. */
bool scan_cursor_read(struct bytes text, uint64_t *out_cursor)
{
    bool has_sign = text.size > 0 && (text.data[0] == '-' || text.data[0] == '+');
    size_t begin = has_sign ? 1 : 0;
    uint64_t value = 0;
    if (has_sign && text.size == 1) {
        return false;
    }
    for (size_t i = begin; i < text.size; i++) {
        uint8_t digit = text.data[i];
        if (digit < '0' || digit > '9' || __builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (uint64_t)digit - '0', &value)) {
            return false;
        }
    }
    *out_cursor = has_sign && text.data[0] == '-' ? 0 - value : value;
    return true;
}

void scan_write_header(struct buf *out, uint64_t cursor, size_t count)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)cursor);
    resp_write_array(out, 2);
    resp_write_bulk_text(out, text);
    resp_write_array(out, count);
}

/* ---- SCAN ------------------------------------------------------------------------------------ */

struct scan_options {
    uint64_t cursor;
    int64_t count;
    struct bytes pattern;
    struct bytes type;
    bool has_pattern;
    bool has_type;
};

/* A key's place among all keys: a cursor. */
static uint64_t place_of(struct bytes key)
{
    return (uint64_t)slot_of_key(key) << SCAN_CURSOR_SLOT_SHIFT | row_key_hash(key);
}

/* NULL, or the error. In the order in which Redis finds them. */
static const char *read_options(const struct command_call *call, struct scan_options *out)
{
    *out = (struct scan_options){.count = COUNT_DEFAULT};
    if (!scan_cursor_read(call->args[1], &out->cursor)) {
        return scan_invalid_cursor;
    }
    for (size_t i = 2; i < call->arg_count; i += 2) {
        if (i + 1 == call->arg_count) {
            return "ERR syntax error";
        }
        struct bytes value = call->args[i + 1];
        if (bytes_equal_nocase(call->args[i], "count")) {
            if (!bytes_to_i64(value, &out->count)) {
                return "ERR value is not an integer or out of range";
            }
            if (out->count < 1) {
                return "ERR syntax error";
            }
        } else if (bytes_equal_nocase(call->args[i], "match")) {
            if (value.size > LIMIT_PATTERN_BYTES) {
                return PATTERN_TOO_LONG;
            }
            out->pattern = value;
            out->has_pattern = !bytes_equal_text(value, "*"); /* all, also the empty key */
        } else if (bytes_equal_nocase(call->args[i], "type")) {
            out->type = value;
            out->has_type = true;
        } else {
            return "ERR syntax error";
        }
    }
    return NULL;
}

static const char *type_name(enum object_type type)
{
    switch (type) {
    case OBJECT_TYPE_STRING:
        return "string";
    }
    unreachable("every type has a name");
}

/* Keys found so far. Those of the last place may still grow, and then only all of them count. */
struct scan {
    const struct scan_options *options;
    uint64_t looked_at;
    uint64_t passed; /* these, and those that have expired */
    uint64_t steps;  /* of matching, at most */
    bool has_place;
    bool has_passed; /* at least one place is complete */
    bool is_stopped; /* enough: place is where the next call goes on */
    uint64_t place;
    struct buf keys;
    size_t count;
    size_t keys_before; /* keys and count when the place began */
    size_t count_before;
};

static bool is_wanted(const struct scan_options *o, struct bytes key, const struct object *object)
{
    return (!o->has_type || bytes_equal_nocase(o->type, type_name(object->type))) &&
           (!o->has_pattern || glob_matches(o->pattern, key));
}

static bool is_enough(const struct scan *s)
{
    return s->looked_at >= (uint64_t)s->options->count || s->passed >= SCAN_KEYS_MAX ||
           s->keys.size >= SCAN_REPLY_BYTES || s->steps >= SCAN_MATCH_STEPS;
}

static bool on_key(void *ctx, struct bytes key, const struct object *object)
{
    struct scan *s = ctx;
    uint64_t place = place_of(key);
    if (!s->has_place || place != s->place) {
        s->has_passed = s->has_place;
        s->has_place = true;
        s->place = place;
        s->keys_before = s->keys.size;
        s->count_before = s->count;
        s->is_stopped = is_enough(s);
    }
    if (s->is_stopped) {
        return false;
    }
    s->passed++;
    if (object == NULL) {
        return true;
    }
    s->looked_at++;
    s->steps += (uint64_t)s->options->pattern.size * key.size;
    if (is_wanted(s->options, key, object)) {
        resp_write_bulk(&s->keys, key);
        s->count++;
    }
    return true;
}

/* Where the next call goes on when this one has seen all keys of its group. */
static uint64_t place_behind(const struct view *view)
{
    return view->slot_end < SLOT_COUNT ? (uint64_t)view->slot_end << SCAN_CURSOR_SLOT_SHIFT : 0;
}

/* False: a row is not at hand, and nothing was passed before it. */
static bool collect(struct command_call *call, struct scan *s, uint64_t *out_cursor)
{
    uint64_t begin = s->options->cursor;
    uint64_t first = (uint64_t)call->view->slot_first << SCAN_CURSOR_SLOT_SHIFT;
    *out_cursor = place_behind(call->view);
    if (scan_cursor_slot(begin) >= call->view->slot_end) {
        return true;
    }
    begin = begin > first ? begin : first;
    enum status status =
        view_range(call->view, (uint16_t)scan_cursor_slot(begin), (uint32_t)begin, on_key, s);
    if (status == STATUS_NEED && !s->has_passed) {
        return false;
    }
    if (status == STATUS_NEED || s->is_stopped) {
        s->keys.size = s->keys_before;
        s->count = s->count_before;
        *out_cursor = s->place;
    }
    return true;
}

static enum command_result scan_run(struct command_call *call)
{
    struct scan_options options;
    const char *error = read_options(call, &options);
    if (error != NULL) {
        return command_fail(call, error);
    }
    struct scan s = {.options = &options};
    uint64_t cursor = 0;
    buf_init(&s.keys, SIZE_MAX / 2); /* SCAN_REPLY_BYTES, and the keys of one place */
    bool is_done = collect(call, &s, &cursor);
    if (is_done) {
        scan_write_header(call->reply, cursor, s.count);
        buf_append_bytes(call->reply, buf_bytes(&s.keys));
    }
    buf_deinit(&s.keys);
    return is_done ? COMMAND_DONE : COMMAND_NEED;
}

/* KEYS, RANDOMKEY: the router asks for SCANs in their place. */
static enum command_result sweep_run(struct command_call *call)
{
    (void)call;
    unreachable("sweeps never reach a handler");
}

/* ---- all of a group -------------------------------------------------------------------------- */

static enum command_result dbsize_run(struct command_call *call)
{
    resp_write_integer(call->reply, (int64_t)view_count(call->view).keys);
    return COMMAND_DONE;
}

/* A flush takes constant time here, so ASYNC and SYNC say the same. */
static bool is_flush_mode(const struct command_call *call)
{
    return call->arg_count == 1 ||
           (call->arg_count == 2 && (bytes_equal_nocase(call->args[1], "async") ||
                                     bytes_equal_nocase(call->args[1], "sync")));
}

static enum command_result flushdb_run(struct command_call *call)
{
    if (!is_flush_mode(call)) {
        return command_fail(call, "ERR syntax error");
    }
    view_flush(call->view);
    resp_write_simple(call->reply, "OK");
    return COMMAND_DONE;
}

static enum command_result flushall_run(struct command_call *call)
{
    if (!is_flush_mode(call)) {
        return command_fail(call, "ERR syntax error");
    }
    for (unsigned database = 0; database < LIMIT_DATABASES; database++) {
        view_select(call->view, (uint8_t)database);
        view_flush(call->view);
    }
    resp_write_simple(call->reply, "OK");
    return COMMAND_DONE;
}
