#include "router/router_cut.h"

#include "base/assert.h"
#include "base/mem.h"
#include "data/slot.h"
#include "protocol/resp_reply.h"
#include "protocol/resp_writer.h"
#include "router/router_parts.h"

/* ---- cutting --------------------------------------------------------------------------------- */

bool router_can_cut(const struct command *command)
{
    return command->policy == COMMAND_SPLIT_BY_KEY && command->merge != COMMAND_MERGE_FIRST;
}

/* Numbers the groups of the keys in the order they appear. */
static void number_parts(struct router_cut *cut,
                         struct router *r,
                         const struct command *command,
                         const struct bytes *args,
                         size_t arg_count)
{
    for (size_t i = 0; i < cut->key_count; i++) {
        size_t at = command_key_at(command, arg_count, i);
        uint32_t group = router_group_of_slot(r, slot_of_key(args[at]));
        if (r->part_of_group[group] == 0) {
            cut->groups[cut->part_count] = group;
            r->part_of_group[group] = ++cut->part_count;
        }
        cut->part_of_key[i] = r->part_of_group[group] - 1;
    }
    for (uint32_t i = 0; i < cut->part_count; i++) {
        r->part_of_group[cut->groups[i]] = 0;
    }
}

void router_cut_init(struct router_cut *cut,
                     struct router *r,
                     const struct command *command,
                     const struct bytes *args,
                     size_t arg_count)
{
    /* Nothing but keys: what else there is would have to go to all parts. */
    ensure(router_can_cut(command) && command->keys.first == 1);
    size_t key_count = command_key_count(command, arg_count);
    uint32_t group_count = r->options.group_count;
    *cut = (struct router_cut){.key_count = key_count};
    cut->part_of_key = mem_alloc(key_count * sizeof cut->part_of_key[0]);
    cut->groups =
        mem_alloc((key_count < group_count ? key_count : group_count) * sizeof cut->groups[0]);
    number_parts(cut, r, command, args, arg_count);
}

void router_cut_deinit(struct router_cut *cut)
{
    mem_free(cut->part_of_key);
    mem_free(cut->groups);
}

void router_cut_args(const struct router_cut *cut,
                     const struct command *command,
                     const struct bytes *args,
                     size_t arg_count,
                     struct bytes *out_args,
                     size_t *out_ends)
{
    size_t step = (size_t)command->keys.step;
    memset(out_ends, 0, cut->part_count * sizeof out_ends[0]);
    ensure(cut->key_count * step == arg_count - 1);
    for (size_t i = 0; i < cut->key_count; i++) {
        out_ends[cut->part_of_key[i]] += step;
    }
    size_t end = 0;
    for (uint32_t p = 0; p < cut->part_count; p++) {
        size_t size = out_ends[p];
        out_ends[p] = end; /* its beginning, which the keys then push to its end */
        end += size;
    }
    for (size_t i = 0; i < cut->key_count; i++) {
        size_t at = command_key_at(command, arg_count, i);
        size_t *to = &out_ends[cut->part_of_key[i]];
        memcpy(&out_args[*to], &args[at], step * sizeof args[0]);
        *to += step;
    }
}

/* ---- merging --------------------------------------------------------------------------------- */

bool router_cut_is_too_large(const struct router_cut *cut, uint64_t bytes)
{
    return bytes > LIMIT_REPLY_VALUES_BYTES + cut->key_count * RESP_FRAME_BYTES_MAX;
}

static bool merge_sum(const struct router_cut *cut, const struct bytes *replies, struct buf *out)
{
    int64_t sum = 0;
    for (uint32_t i = 0; i < cut->part_count; i++) {
        struct bytes rest = replies[i];
        struct resp_value value;
        if (resp_value_read(&rest, &value) != STATUS_OK || value.type != RESP_TYPE_INTEGER ||
            rest.size > 0 || __builtin_add_overflow(sum, value.integer, &sum)) {
            return false;
        }
    }
    resp_write_integer(out, sum);
    return true;
}

/* Reads the array's header of each part; the rests are the elements. False: not such arrays. */
static bool open_arrays(const struct router_cut *cut, struct bytes *inout_rests)
{
    int64_t elements = 0;
    for (uint32_t i = 0; i < cut->part_count; i++) {
        struct resp_value value;
        if (resp_value_read(&inout_rests[i], &value) != STATUS_OK ||
            value.type != RESP_TYPE_ARRAY || value.count < 0) {
            return false;
        }
        elements += value.count;
    }
    return elements == (int64_t)cut->key_count;
}

/* Appends the elements in the order of the keys. False: some part has too few. */
static bool append_elements(const struct router_cut *cut, struct bytes *rests, struct buf *out)
{
    for (size_t i = 0; i < cut->key_count; i++) {
        struct bytes *rest = &rests[cut->part_of_key[i]];
        size_t size = 0;
        if (resp_reply_size(*rest, &size) != STATUS_OK) {
            return false;
        }
        buf_append(out, rest->data, size);
        *rest = bytes_of(rest->data + size, rest->size - size);
    }
    return true;
}

static bool merge_array(const struct router_cut *cut, struct bytes *replies, struct buf *out)
{
    size_t before = out->size;
    bool is_good = open_arrays(cut, replies);
    if (is_good) {
        resp_write_array(out, cut->key_count);
        is_good = append_elements(cut, replies, out);
    }
    if (!is_good) {
        out->size = before;
    }
    return is_good;
}

/* All said the same. */
static bool merge_same(const struct router_cut *cut, const struct bytes *replies, struct buf *out)
{
    for (uint32_t i = 1; i < cut->part_count; i++) {
        if (!bytes_equal(replies[i], replies[0])) {
            return false;
        }
    }
    buf_append_bytes(out, replies[0]);
    return true;
}

bool router_cut_merge(const struct router_cut *cut,
                      enum command_merge merge,
                      struct bytes *replies,
                      struct buf *out)
{
    switch (merge) {
    case COMMAND_MERGE_SUM:
        return merge_sum(cut, replies, out);
    case COMMAND_MERGE_ARRAY:
        return merge_array(cut, replies, out);
    case COMMAND_MERGE_OK:
        return merge_same(cut, replies, out);
    case COMMAND_MERGE_FIRST:
        break;
    }
    unreachable("only commands with a merge are cut");
}
