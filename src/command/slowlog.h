/*
 * SLOWLOG: the last commands of this node's clients that took long, from when they were taken up to
 * their reply. Unlike in Redis that includes the way to the group's leader, replication and sync:
 * it is what the client waited for us. Plain data of the loop thread.
 */
#ifndef COMMAND_SLOWLOG_H
#define COMMAND_SLOWLOG_H

#include "base/list.h"
#include "command/command.h"

struct slowlog {
    /* private */
    struct list entries; /* struct slowlog_entry, newest first */
    uint64_t count;
    uint64_t id_next;
};

struct slowlog_fact {
    uint64_t wall_ms;
    uint64_t took_us;
    struct bytes note; /* from slowlog_note */
    const struct client *client;
};

void slowlog_init(struct slowlog *s);
void slowlog_deinit(struct slowlog *s);

/*
 * Arguments as an entry shows them, passwords hidden, what is long or many cut: appended to out as
 * a RESP array, of SLOWLOG_NOTE_BYTES_MAX at most. Kept by the caller until the reply is there.
 */
#define SLOWLOG_NOTE_BYTES_MAX (8u * KIB)
void slowlog_note(const struct command *command,
                  const struct bytes *args,
                  size_t arg_count,
                  struct buf *out);

/* Entries beyond entries_max (at most LIMIT_SLOWLOG_ENTRIES) go, oldest first. */
void slowlog_add(struct slowlog *s, const struct slowlog_fact *fact, uint64_t entries_max);
void slowlog_clear(struct slowlog *s);
/* The newest entries, count of them at most, as SLOWLOG GET answers. */
void slowlog_write(const struct slowlog *s, uint64_t count, struct buf *reply);

#endif
