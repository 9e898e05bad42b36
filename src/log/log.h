/*
 * The write-ahead log of a node, shared by all its groups: records gather during a loop turn and go
 * to disk as one batch, one write and one sync, done by a worker; the next batch gathers meanwhile.
 *
 * Batch n+1 is written only after the sync of n returned (LOG-1). Any failed write or sync halts
 * the node, nothing is retried (LOG-16).
 */
#ifndef LOG_LOG_H
#define LOG_LOG_H

#include "env/env.h"
#include "log/log_recovery.h"
#include "log/log_segments.h"

#define LOG_SEGMENT_BYTES_DEFAULT (32u * 1024u * 1024u)
#define LOG_SEGMENT_BYTES_MIN 8192u

struct log_options {
    const char *dir; /* exists; borrowed for the log's life */
    uint64_t segment_bytes;
    uint8_t node_id[LOG_NODE_ID_BYTES];
    bool must_exist;      /* an empty directory is damage, not a new log */
    uint32_t group_count; /* groups are numbered below this */
};

struct log_events {
    /* Loop: this batch is synced; all batches before it are, too. */
    void (*durable)(void *owner, uint64_t batch);
    /*
     * Loop, inside log_flush: the batch that gathers opens a new segment. log_append what every
     * segment has to hold of every group (LOG-13): it goes into that same batch, behind what has
     * gathered before. Comes during log_close, too; not for the first segment of a new log. If
     * nothing of it was appended, it comes again with the next batch.
     */
    void (*segment_starts)(void *owner);
};

/* What a worker does to one batch, or to the next segment; owned by it while is_running. */
struct log_job {
    struct env_work work;
    struct log *log;
    bool is_running;
    enum status status;
};

struct log_stats {
    uint64_t batches;
    uint64_t records;
    uint64_t bytes;
    uint64_t marks;
    uint64_t segments; /* in the log now */
    uint64_t released; /* segments removed since the start */
    uint64_t cut_bytes;
};

struct log {
    struct log_stats stats; /* read only */
    /* private */
    struct env *env;
    struct log_options options;
    const struct log_events *events;
    void *owner;
    struct log_segments segments; /* with the one that the batch in flight opens */
    uint64_t *gathering_tops;     /* as in struct log_segment, of the batch that gathers */

    struct log_job release; /* removes files, oldest first */
    uint64_t release_to;    /* segments up to this id may go */
    uint64_t release_from;  /* the job's: which files it removes */
    uint64_t release_last;

    struct log_segment_header segment; /* the one written to */
    struct env_file *file;
    uint64_t offset;

    struct buf gathering; /* header room, then records, of batch_next */
    uint32_t gathering_count;
    uint32_t gathering_flags;
    bool is_opening;          /* segment_starts was called for the batch that gathers */
    bool gathering_has_start; /* it holds GROUP records */
    uint64_t batch_next;
    struct log_position synced;

    struct log_job write;
    struct buf writing; /* the batch in flight; the worker's while write.is_running */
    struct log_batch_header writing_header;
    bool writing_has_start;
    bool is_rotating; /* the batch in flight goes to the next segment, after a seal */
    struct log_segment_header rotated;
    uint64_t write_started_us;
    uint64_t last_write_us; /* how long the last write and sync took */

    struct log_job prepare; /* makes the file of the next segment, full of zeros */
    struct env_file *prepared;
    uint64_t prepared_bytes; /* its size, also while it is made; 0: there is none */
    uint64_t prepare_from;   /* the job's: where its zeros begin */
    bool is_full;            /* no room for it: tried again soon */
    struct env_timer full_timer;

    struct env_timer mark_timer;
    bool last_is_mark; /* the newest batch holds no records: nothing is left to prove */
    void (*closed)(void *owner);
};

/*
 * Replays what is there through replay, then stands ready to append. Blocking: at start only.
 */
MUST_CHECK enum status log_open(struct log *log,
                                struct env *env,
                                const struct log_options *options,
                                log_replay_fn replay,
                                void *replay_ctx,
                                const struct log_events *events,
                                void *owner,
                                struct error *error);

/* Copies the record into the gathering batch and returns that batch's number. */
uint64_t log_append(struct log *log, const struct log_record *record, struct bytes payload);

/* The number that log_append gives now. */
static inline uint64_t log_batch_gathering(const struct log *log)
{
    return log->batch_next;
}

/* True: that batch holds records. */
static inline bool log_is_gathering(const struct log *log)
{
    return log->gathering_count > 0;
}

/* Hands the gathered batch to the worker if it is free; call it at the end of each loop turn. */
void log_flush(struct log *log);

/* Bytes gathered and in flight, not durable yet. */
uint64_t log_pending_bytes(const struct log *log);

/* ---- segments -------------------------------------------------------------------------------- */

/*
 * Number of the newest segment that has its start, durable: those before it may go. And of the
 * oldest one there is.
 */
uint64_t log_segment_newest(const struct log *log);
uint64_t log_segment_oldest(const struct log *log);
/* The highest index of the group's entries in all segments up to this one; 0: none. */
uint64_t log_segment_top(const struct log *log, uint64_t segment, uint16_t group);
/*
 * The last batch of records in that segment, which is there and not written to any more: whatever
 * log_append gave a higher number stands behind it.
 */
uint64_t log_segment_batch_last(const struct log *log, uint64_t segment);
/*
 * Nothing in the segments up to this one is needed any more; it is older than the newest. A worker
 * removes the files, oldest first.
 */
void log_release(struct log *log, uint64_t segment);
/* Bytes of all files of the log, with the next segment if it is being made. */
uint64_t log_disk_bytes(const struct log *log);
/* No room on the disk for the next segment: batches may wait for it. */
bool log_is_full(const struct log *log);

/*
 * Syncs everything and a last mark, closes the files, then calls closed(owner) (owner of log_open).
 * If there is no room for what waits, it is dropped: nothing of it was called durable.
 */
void log_close(struct log *log, void (*closed)(void *owner));

/* Frees memory only; no env call. After closed(), a failed open, or when the env is dead. */
void log_deinit(struct log *log);

#endif
