/*
 * A command whose keys lie in several groups: cut into one command for each, and their replies put
 * together again. Only of those whose arguments are keys, each perhaps with what belongs to it.
 */
#ifndef ROUTER_ROUTER_CUT_H
#define ROUTER_ROUTER_CUT_H

#include "command/command.h"

struct router;

struct router_cut {
    uint32_t part_count;
    size_t key_count;      /* 0: the parts do not differ */
    uint32_t *groups;      /* [part_count], in the order in which the keys name them; or NULL */
    uint32_t *part_of_key; /* [key_count]; or NULL */
};

/* True if it may be cut, whether it reads or writes. */
bool router_can_cut(const struct command *command);
/* Says which part each key belongs to; then to be ended by router_cut_deinit. */
void router_cut_init(struct router_cut *cut,
                     struct router *r,
                     const struct command *command,
                     const struct bytes *args,
                     size_t arg_count);
void router_cut_deinit(struct router_cut *cut);

/*
 * The arguments, without the name, sorted by part: out_args, arg_count - 1 of them, gets those of
 * the first part, then of the second, and so on; out_ends[i] is the end of part i there.
 */
void router_cut_args(const struct router_cut *cut,
                     const struct command *command,
                     const struct bytes *args,
                     size_t arg_count,
                     struct bytes *out_args,
                     size_t *out_ends);

/* Replies, and frames around them, beyond this are no reply any more. */
bool router_cut_is_too_large(const struct router_cut *cut, uint64_t bytes);
/*
 * One reply of those of the parts, none of which is an error. replies: [part_count]; they are
 * changed. False: they cannot be merged, nothing was written.
 */
MUST_CHECK bool router_cut_merge(const struct router_cut *cut,
                                 enum command_merge merge,
                                 struct bytes *replies,
                                 struct buf *out);

#endif
