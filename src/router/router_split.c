/* Commands over several groups: a task for each, and their replies put together again. */
#include "base/assert.h"
#include "base/mem.h"
#include "protocol/resp_writer.h"
#include "router/router_parts.h"

/* ---- cutting --------------------------------------------------------------------------------- */

bool router_split(struct router *r, struct router_request *request)
{
    const struct command *command = request->command;
    if (!router_can_cut(command) || (command->flags & COMMAND_READ) == 0) {
        resp_write_error(request->reply,
                         "CROSSSLOT Keys in request don't hash to the same slot (these are in "
                         "several groups; a common {tag} keeps keys together)");
        request->outcome = ROUTER_REFUSED;
        router_finish_request(r, request);
        return false;
    }
    struct split *split = mem_alloc_zero(sizeof *split);
    struct router_cut *cut = &split->cut;
    router_cut_init(cut, r, command, request->args, request->arg_count);
    split->waiting = cut->part_count;
    struct bytes *args = router_args(r, request->arg_count - 1);
    size_t *ends = mem_alloc(cut->part_count * sizeof ends[0]);
    router_cut_args(cut, command, request->args, request->arg_count, args, ends);
    struct router_task **tail = &request->task;
    for (uint32_t p = 0; p < cut->part_count; p++) {
        size_t begin = p > 0 ? ends[p - 1] : 0;
        *tail = router_task_create(r,
                                   request,
                                   command,
                                   &r->routes[cut->groups[p]],
                                   args + begin,
                                   ends[p] - begin);
        tail = &(*tail)->next_part;
    }
    request->task->split = split;
    mem_free(ends);
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
    request->task->split->cut.part_count = r->options.group_count;
    request->task->split->waiting = r->options.group_count;
}

void router_split_destroy(struct split *split)
{
    if (split != NULL) {
        router_cut_deinit(&split->cut);
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

void router_part_answered(struct router_task *t)
{
    struct split *split = t->request->task->split;
    split->bytes += t->reply.size;
    split->waiting--;
    if (router_cut_is_too_large(&split->cut, split->bytes) && t->reply.size > 0 &&
        t->reply.data[0] != '-') {
        buf_clear(&t->reply, 0); /* many groups could bring many times what a reply may have */
    }
    router_task_charge(t);
}

bool router_part_is_possible(const struct router_task *t)
{
    struct bytes reply = buf_bytes(&t->reply);
    bool is_error = reply.size > 0 && reply.data[0] == '-';
    return !is_error || router_is_unknown(reply);
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
    request->outcome = ROUTER_UNKNOWN;
    resp_write_errorf(request->reply,
                      "%s some groups may have executed the command, some have not: %.*s",
                      status_prefix(STATUS_OUTCOME_UNKNOWN),
                      (int)(error->reply.size - strlen("-\r\n")),
                      (const char *)error->reply.data + 1);
}

void router_merge(struct router_request *request)
{
    const struct router_task *error = find_error(request);
    ensure(request->task != NULL);
    const struct split *split = request->task->split;
    if (error != NULL) {
        merge_error(request, error);
        return;
    }
    if (request->command->merge == COMMAND_MERGE_ARRAY &&
        router_cut_is_too_large(&split->cut, split->bytes)) {
        resp_write_errorf(request->reply,
                          "ERR values of more than %u bytes in one reply",
                          LIMIT_REPLY_VALUES_BYTES);
        return;
    }
    struct bytes *replies = mem_alloc(split->cut.part_count * sizeof replies[0]);
    uint32_t p = 0;
    for (const struct router_task *t = request->task; t != NULL; t = t->next_part) {
        replies[p++] = buf_bytes(&t->reply);
    }
    if (!router_cut_merge(&split->cut, request->command->merge, replies, request->reply)) {
        router_write_unexpected(request);
    }
    mem_free(replies);
}
