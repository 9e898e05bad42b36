/* What a shard is made of. Inside the room shard only. */
#ifndef SHARD_SHARD_PARTS_H
#define SHARD_SHARD_PARTS_H

#include "shard/shard.h"

/* One log entry on its way: gathering, full, or proposed and not applied yet. */
struct proposal {
    struct list link; /* in shard.gathered or shard.proposed */
    uint64_t number;  /* of this shard's proposals; grows */
    uint64_t index;   /* once proposed */
    uint32_t count;   /* commands */
    uint64_t since_us;
    struct buf bytes;   /* until proposed */
    struct list writes; /* struct shard_request, in entry order */
};

struct shard {
    struct env *env;
    struct store *store;
    struct stats *stats;
    struct replica *replica;
    struct shard_options options;

    struct list gathered; /* struct proposal; the last one is still filling */
    struct list proposed; /* the same, by index */
    struct list reads;    /* struct shard_request, in order of arrival */
    uint64_t gathered_bytes;
    uint64_t reply_bytes; /* of reads, in this turn */
    uint64_t proposal_last;
    uint64_t proposal_applied; /* all up to it are applied, or lost */

    /* State of the group, the same on all replicas at the same index. */
    uint64_t time_ms;    /* group time (ORD-4) */
    uint64_t operations; /* operation counter (ORD-3) */
    struct dup *dup;

    struct view_local apply_view;
    struct view_local read_view;
    struct buf scratch_reply; /* of commands nobody here waits for */
    struct bytes *args;       /* of the command that runs */
    size_t args_capacity;
};

/* Decodes one command into s->args and *out_command, checking it as the gateway should have. */
MUST_CHECK enum status shard_read_command(struct shard *s,
                                          struct entry_reader *reader,
                                          struct entry_command *out_command,
                                          const struct command **out_row);
/* replica_events.apply */
MUST_CHECK enum status shard_apply(void *owner, uint64_t index, struct bytes entry);

#endif
