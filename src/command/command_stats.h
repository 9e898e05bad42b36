/*
 * How often each command ran for this node's clients, and how long they waited for it, as a
 * histogram; measured as SLOWLOG does. Plain data of the loop thread.
 */
#ifndef COMMAND_COMMAND_STATS_H
#define COMMAND_COMMAND_STATS_H

#include "base/stat.h"
#include "command/command.h"

struct command_stat {
    const struct command *command;
    struct stat_stage time;
};

struct command_stats {
    /* private */
    struct command_stat *rows; /* one a command and subcommand, in table order */
    size_t count;
    size_t slot_count; /* a power of two */
    uint16_t *slots;   /* by address: row + 1; 0: free */
};

void command_stats_init(struct command_stats *s);
void command_stats_deinit(struct command_stats *s);
/* Commands that COMMAND does not show, as they are always refused, are not counted. */
void command_stats_add(struct command_stats *s, const struct command *command, uint64_t took_us);
/* Also of a command that never ran. */
const struct stat_stage *command_stats_of(const struct command_stats *s,
                                          const struct command *command);
void command_stats_reset(struct command_stats *s);
/* Commands that ran, in table order. */
void command_stats_each(const struct command_stats *s,
                        void (*fn)(void *ctx, const struct command_stat *stat),
                        void *ctx);

#endif
