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

#define LOG_SEGMENT_BYTES_DEFAULT (32u * 1024u * 1024u)
#define LOG_SEGMENT_BYTES_MIN 8192u

struct log_options {
    const char *dir; /* exists; borrowed for the log's life */
    uint64_t segment_bytes;
    uint8_t node_id[LOG_NODE_ID_BYTES];
    bool must_exist; /* an empty directory is damage, not a new log */
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
    uint64_t cut_bytes;
};

struct log {
    struct log_stats stats; /* read only */
    /* private */
    struct env *env;
    struct log_options options;
    void (*durable)(void *owner, uint64_t batch);
    void *owner;

    struct log_segment_header segment; /* the one written to */
    struct env_file *file;
    uint64_t offset;

    struct buf gathering; /* header room, then records, of batch_next */
    uint32_t gathering_count;
    uint32_t gathering_flags;
    uint64_t batch_next;
    struct log_position synced;

    struct log_job write;
    struct buf writing; /* the batch in flight; the worker's while write.is_running */
    struct log_batch_header writing_header;
    bool is_rotating; /* the batch in flight goes to the next segment, after a seal */
    struct log_segment_header rotated;
    uint64_t write_started_us;
    uint64_t last_write_us; /* how long the last write and sync took */

    struct log_job prepare; /* makes the file of the next segment, full of zeros */
    struct env_file *prepared;

    struct env_timer mark_timer;
    bool last_is_mark; /* the newest batch holds no records: nothing is left to prove */
    void (*closed)(void *owner);
};

/*
 * Replays what is there through replay, then stands ready to append. durable(owner, batch) is
 * called on the loop when a batch is synced; all batches before it are, too. Blocking: at start
 * only.
 */
MUST_CHECK enum status log_open(struct log *log,
                                struct env *env,
                                const struct log_options *options,
                                log_replay_fn replay,
                                void *replay_ctx,
                                void (*durable)(void *owner, uint64_t batch),
                                void *owner,
                                struct error *error);

/* Copies the record into the gathering batch and returns that batch's number. */
uint64_t log_append(struct log *log, const struct log_record *record, struct bytes payload);

/* Hands the gathered batch to the worker if it is free; call it at the end of each loop turn. */
void log_flush(struct log *log);

/* Bytes gathered and in flight, not durable yet. */
uint64_t log_pending_bytes(const struct log *log);

/* Syncs everything and a last mark, closes the files, then calls closed(owner) (owner of log_open).
 */
void log_close(struct log *log, void (*closed)(void *owner));

/* Frees memory only; no env call. After closed(), a failed open, or when the env is dead. */
void log_deinit(struct log *log);

#endif
