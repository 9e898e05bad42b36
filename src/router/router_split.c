/* Commands for several groups: cut into one part for each, and put together again. */
#include "base/assert.h"
#include "base/mem.h"
#include "data/slot.h"
#include "protocol/resp_reply.h"
#include "protocol/resp_writer.h"
#include "router/router_parts.h"

/* ---- cutting --------------------------------------------------------------------------------- */

static bool can_split(const struct command *command)
{
    return (command->flags & COMMAND_READ) != 0 && command->policy == COMMAND_SPLIT_BY_KEY &&
           command->merge != COMMAND_MERGE_FIRST;
}

/* Numbers the groups of the keys in the order they appear; out_groups gets them. */
static struct split *number_parts(struct router *r,
                                  const struct router_request *request,
                                  uint32_t *out_groups)
{
    struct split *split = mem_alloc_zero(sizeof *split);
    split->key_count = command_key_count(request->command, request->arg_count);
    split->part_of_key = mem_alloc(split->key_count * sizeof split->part_of_key[0]);
    for (size_t i = 0; i < split->key_count; i++) {
        size_t at = command_key_at(request->command, request->arg_count, i);
        uint32_t group = router_group_of_slot(r, slot_of_key(request->args[at]));
        if (r->part_of_group[group] == 0) {
            out_groups[split->part_count] = group;
            r->part_of_group[group] = ++split->part_count;
        }
        split->part_of_key[i] = r->part_of_group[group] - 1;
    }
    for (uint32_t i = 0; i < split->part_count; i++) {
        r->part_of_group[out_groups[i]] = 0;
    }
    split->waiting = split->part_count;
    return split;
}

/*
 * Sorts the keys, each with the arguments that belong to it, by part: args gets all of the first
 * part, then all of the second, and so on; out_end[i] is the end of part i there.
 */
static void sort_args(const struct split *split,
                      const struct router_request *request,
                      struct bytes *args,
                      size_t *out_end)
{
    size_t step = (size_t)request->command->keys.step;
    for (size_t i = 0; i < split->key_count; i++) {
        out_end[split->part_of_key[i]] += step;
    }
    size_t end = 0;
    for (uint32_t p = 0; p < split->part_count; p++) {
        size_t size = out_end[p];
        out_end[p] = end; /* its beginning, which the keys then push to its end */
        end += size;
    }
    for (size_t i = 0; i < split->key_count; i++) {
        size_t at = command_key_at(request->command, request->arg_count, i);
        size_t *to = &out_end[split->part_of_key[i]];
        memcpy(&args[*to], &request->args[at], step * sizeof args[0]);
        *to += step;
    }
}

bool router_split(struct router *r, struct router_request *request)
{
    const struct command *command = request->command;
    if (!can_split(command)) {
        resp_write_error(request->reply,
                         "CROSSSLOT Keys in request don't hash to the same slot (these are in "
                         "several groups; a common {tag} keeps keys together)");
        router_finish_request(r, request);
        return false;
    }
    /* Nothing but keys: what else there is would have to go to all parts. */
    ensure(command->keys.first == 1 && command->keys.last == -1);
    uint32_t *groups = mem_alloc((size_t)r->options.group_count * sizeof groups[0]);
    struct split *split = number_parts(r, request, groups);
    struct bytes *args = router_args(r, split->key_count * (size_t)command->keys.step);
    size_t *ends = mem_alloc_zero(split->part_count * sizeof ends[0]);
    sort_args(split, request, args, ends);
    struct router_task **tail = &request->task;
    for (uint32_t p = 0; p < split->part_count; p++) {
        size_t begin = p > 0 ? ends[p - 1] : 0;
        *tail = router_task_create(r,
                                   request,
                                   command,
                                   &r->routes[groups[p]],
                                   args + begin,
                                   ends[p] - begin);
        tail = &(*tail)->next_part;
    }
    request->task->split = split;
    mem_free(ends);
    mem_free(groups);
    return true;
}

void router_split_all(struct router *r, struct router_request *request)
{
    struct router_task **tail = &request->task;
    for (uint32_t g = 1; g <= r->options.group_count; g++) {
        *tail = router_task_create(r,
                                   request,
                                   request->command,
                                   &r->routes[g],
                                   request->args + 1,
                                   request->arg_count - 1);
        tail = &(*tail)->next_part;
    }
    request->task->split = mem_alloc_zero(sizeof *request->task->split);
    request->task->split->part_count = r->options.group_count;
    request->task->split->waiting = r->options.group_count;
}

void router_split_destroy(struct split *split)
{
    if (split != NULL) {
        mem_free(split->part_of_key);
        mem_free(split);
    }
}

/* ---- merging --------------------------------------------------------------------------------- */

void router_write_unexpected(struct router_request *request)
{
    reached("router: replies that cannot be merged");
    resp_write_error(request->reply, "ERR the groups of these keys answered in different ways");
}

/* The first part that is an error; NULL if there is none. */
static const struct router_task *find_error(const struct router_request *request)
{
    for (const struct router_task *t = request->task; t != NULL; t = t->next_part) {
        if (t->reply.size > 0 && t->reply.data[0] == '-') {
            return t;
        }
    }
    return NULL;
}

static void merge_sum(struct router_request *request)
{
    int64_t sum = 0;
    for (const struct router_task *t = request->task; t != NULL; t = t->next_part) {
        struct bytes rest = buf_bytes(&t->reply);
        struct resp_value value;
        if (resp_value_read(&rest, &value) != STATUS_OK || value.type != RESP_TYPE_INTEGER ||
            rest.size > 0 || __builtin_add_overflow(sum, value.integer, &sum)) {
            router_write_unexpected(request);
            return;
        }
    }
    resp_write_integer(request->reply, sum);
}

/* Reads the array's header of each part; out_rests get the elements. False: not such arrays. */
static bool open_arrays(const struct router_request *request, struct bytes *out_rests)
{
    const struct split *split = request->task->split;
    int64_t elements = 0;
    uint32_t p = 0;
    for (const struct router_task *t = request->task; t != NULL; t = t->next_part) {
        struct resp_value value;
        out_rests[p] = buf_bytes(&t->reply);
        if (resp_value_read(&out_rests[p], &value) != STATUS_OK || value.type != RESP_TYPE_ARRAY ||
            value.count < 0) {
            return false;
        }
        elements += value.count;
        p++;
    }
    return elements == (int64_t)split->key_count;
}

/* Appends the elements in the order of the keys. False: some part has too few. */
static bool append_elements(struct router_request *request, struct bytes *rests)
{
    const struct split *split = request->task->split;
    for (size_t i = 0; i < split->key_count; i++) {
        struct bytes *rest = &rests[split->part_of_key[i]];
        size_t size = 0;
        if (resp_reply_size(*rest, &size) != STATUS_OK) {
            return false;
        }
        buf_append(request->reply, rest->data, size);
        *rest = bytes_of(rest->data + size, rest->size - size);
    }
    return true;
}

static bool is_too_large(const struct split *split)
{
    return split->bytes > LIMIT_REPLY_VALUES_BYTES + split->key_count * RESP_FRAME_BYTES_MAX;
}

void router_part_answered(struct router_task *t)
{
    struct split *split = t->request->task->split;
    split->bytes += t->reply.size;
    split->waiting--;
    if (is_too_large(split) && t->reply.size > 0 && t->reply.data[0] != '-') {
        buf_clear(&t->reply, 0); /* many groups could bring many times what a reply may have */
    }
    router_task_charge(t);
}

static void merge_array(struct router_request *request)
{
    const struct split *split = request->task->split;
    if (is_too_large(split)) {
        resp_write_errorf(request->reply,
                          "ERR values of more than %u bytes in one reply",
                          LIMIT_REPLY_VALUES_BYTES);
        return;
    }
    struct bytes *rests = mem_alloc(split->part_count * sizeof rests[0]);
    size_t before = request->reply->size;
    bool is_good = open_arrays(request, rests);
    if (is_good) {
        resp_write_array(request->reply, split->key_count);
        is_good = append_elements(request, rests);
    }
    if (!is_good) {
        request->reply->size = before;
        router_write_unexpected(request);
    }
    mem_free(rests);
}

/* All said the same. */
static void merge_same(struct router_request *request)
{
    const struct router_task *first = request->task;
    for (const struct router_task *t = first->next_part; t != NULL; t = t->next_part) {
        if (!bytes_equal(buf_bytes(&t->reply), buf_bytes(&first->reply))) {
            router_write_unexpected(request);
            return;
        }
    }
    buf_append_bytes(request->reply, buf_bytes(&first->reply));
}

bool router_part_is_possible(const struct router_task *t)
{
    struct bytes reply = buf_bytes(&t->reply);
    const char *prefix = status_prefix(STATUS_OUTCOME_UNKNOWN);
    bool is_error = reply.size > 0 && reply.data[0] == '-';
    return !is_error ||
           (reply.size > strlen(prefix) && memcmp(reply.data + 1, prefix, strlen(prefix)) == 0);
}

/* An error says "not executed" (DUP-6): of a write it is true only if it is true of all parts. */
static void merge_error(struct router_request *request, const struct router_task *error)
{
    bool is_possible = false;
    for (const struct router_task *t = request->task; t != NULL; t = t->next_part) {
        is_possible |= t->is_write && router_part_is_possible(t);
    }
    if (!is_possible) {
        buf_append_bytes(request->reply, buf_bytes(&error->reply));
        return;
    }
    reached("router: a write was executed in some groups only");
    resp_write_errorf(request->reply,
                      "%s some groups may have executed the command, some have not: %.*s",
                      status_prefix(STATUS_OUTCOME_UNKNOWN),
                      (int)(error->reply.size - strlen("-\r\n")),
                      (const char *)error->reply.data + 1);
}

void router_merge(struct router_request *request)
{
    const struct router_task *error = find_error(request);
    if (error != NULL) {
        merge_error(request, error);
        return;
    }
    switch (request->command->merge) {
    case COMMAND_MERGE_SUM:
        merge_sum(request);
        return;
    case COMMAND_MERGE_ARRAY:
        merge_array(request);
        return;
    case COMMAND_MERGE_OK:
        merge_same(request);
        return;
    case COMMAND_MERGE_FIRST:
        break;
    }
    unreachable("only commands with a merge are split");
}
