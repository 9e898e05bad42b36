#include "command/command_stats.h"

#include "base/assert.h"
#include "base/mem.h"

#define SLOTS_PER_ROW 4u

static void count_row(void *ctx, const struct command *c)
{
    size_t *count = ctx;
    (*count)++;
    for (const struct command *sub = c->subcommands; sub != NULL && sub->name != NULL; sub++) {
        (*count)++;
    }
}

/* Addresses decide where in `slots` we look, never in which order anybody sees the rows. */
static uint16_t *find_slot(const struct command_stats *s, const struct command *command)
{
    size_t at = (size_t)((uintptr_t)command / _Alignof(struct command));
    for (;; at++) {
        uint16_t *slot = &s->slots[at & (s->slot_count - 1)];
        if (*slot == 0 || s->rows[*slot - 1].command == command) {
            return slot;
        }
    }
}

static void add_row(struct command_stats *s, const struct command *c)
{
    s->rows[s->count++].command = c;
    *find_slot(s, c) = (uint16_t)s->count;
}

static void add_rows(void *ctx, const struct command *c)
{
    struct command_stats *s = ctx;
    add_row(s, c);
    for (const struct command *sub = c->subcommands; sub != NULL && sub->name != NULL; sub++) {
        add_row(s, sub);
    }
}

void command_stats_init(struct command_stats *s)
{
    size_t count = 0;
    command_each(count_row, &count);
    ensure(count < UINT16_MAX);
    *s = (struct command_stats){.slot_count = 1};
    while (s->slot_count < count * SLOTS_PER_ROW) {
        s->slot_count *= 2;
    }
    s->rows = mem_alloc_zero(count * sizeof *s->rows);
    s->slots = mem_alloc_zero(s->slot_count * sizeof *s->slots);
    command_each(add_rows, s);
    ensure(s->count == count);
}

void command_stats_deinit(struct command_stats *s)
{
    mem_free(s->rows);
    mem_free(s->slots);
}

/* NULL: none of those that are counted. */
static struct command_stat *row_of(const struct command_stats *s, const struct command *command)
{
    uint16_t row = *find_slot(s, command);
    return row > 0 ? &s->rows[row - 1] : NULL;
}

void command_stats_add(struct command_stats *s, const struct command *command, uint64_t took_us)
{
    struct command_stat *row = row_of(s, command);
    if (row != NULL) {
        stat_stage_add(&row->time, took_us);
    }
}

const struct stat_stage *command_stats_of(const struct command_stats *s,
                                          const struct command *command)
{
    static const struct stat_stage never;
    const struct command_stat *row = row_of(s, command);
    return row != NULL ? &row->time : &never;
}

void command_stats_reset(struct command_stats *s)
{
    for (size_t i = 0; i < s->count; i++) {
        s->rows[i].time = (struct stat_stage){0};
    }
}

void command_stats_each(const struct command_stats *s,
                        void (*fn)(void *ctx, const struct command_stat *stat),
                        void *ctx)
{
    for (size_t i = 0; i < s->count; i++) {
        if (s->rows[i].time.count > 0) {
            fn(ctx, &s->rows[i]);
        }
    }
}
