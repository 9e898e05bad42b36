#include "log/log.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"

#define MARK_IDLE_MS 100u
#define ZERO_CHUNK_BYTES (256u * 1024u)
/* What may gather behind a slow sync; those who append stop long before (log_pending_bytes). */
#define BATCH_BYTES_MAX (2048u * MIB)
#define BATCH_BYTES_KEPT (4u * MIB)

static void write_run(struct env_work *w);
static void write_done(struct env_work *w);
static void prepare_run(struct env_work *w);
static void prepare_done(struct env_work *w);
static void mark_due(struct env_timer *t);

/* ---- segments -------------------------------------------------------------------------------- */

/* Creates the file of segment id under its unfinished name, all zeros. Worker or start. */
static enum status segment_create(struct log *log, uint64_t id, struct env_file **out_file)
{
    char path[LOG_PATH_BYTES];
    log_segment_path(path, log->options.dir, id, LOG_NEW_SUFFIX);
    struct env_file *file = NULL;
    enum status s = env_file_open(log->env, path, ENV_OPEN_CREATE, &file);
    if (s != STATUS_OK) {
        return s;
    }
    /*
     * Real zeros, not holes: a sync inside them needs no change of the file's map. Synced piece by
     * piece: a batch that is written meanwhile must not wait behind all of them.
     */
    uint8_t *zeros = mem_alloc_zero(ZERO_CHUNK_BYTES);
    for (uint64_t at = 0; at < log->options.segment_bytes && s == STATUS_OK;) {
        uint64_t left = log->options.segment_bytes - at;
        size_t chunk = left < ZERO_CHUNK_BYTES ? (size_t)left : ZERO_CHUNK_BYTES;
        s = env_file_write(log->env, file, at, bytes_of(zeros, chunk));
        if (s == STATUS_OK) {
            s = env_file_sync(log->env, file);
        }
        at += chunk;
    }
    mem_free(zeros);
    if (s != STATUS_OK) {
        env_file_close(log->env, file);
        return s;
    }
    *out_file = file;
    return STATUS_OK;
}

/* Writes the header and gives the segment its real name; durable on return (LOG-10). */
static enum status segment_publish(struct log *log,
                                   const struct log_segment_header *header,
                                   struct env_file *file)
{
    uint8_t *bytes = mem_alloc(LOG_SEGMENT_HEADER_BYTES);
    log_segment_header_encode(header, bytes);
    enum status s = env_file_write(log->env, file, 0, bytes_of(bytes, LOG_SEGMENT_HEADER_BYTES));
    mem_free(bytes);
    if (s == STATUS_OK) {
        s = env_file_sync(log->env, file);
    }
    char from[LOG_PATH_BYTES];
    char to[LOG_PATH_BYTES];
    log_segment_path(from, log->options.dir, header->id, LOG_NEW_SUFFIX);
    log_segment_path(to, log->options.dir, header->id, "");
    if (s == STATUS_OK) {
        s = env_file_rename(log->env, from, to);
    }
    return s == STATUS_OK ? env_dir_sync(log->env, log->options.dir) : s;
}

static enum status first_segment(struct log *log)
{
    log->segment = (struct log_segment_header){
        .id = 1,
        .batch_first = 1,
        .salt = env_random(log->env),
        .size = log->options.segment_bytes,
    };
    memcpy(log->segment.node_id, log->options.node_id, LOG_NODE_ID_BYTES);
    enum status s = segment_create(log, 1, &log->file);
    if (s == STATUS_OK) {
        s = segment_publish(log, &log->segment, log->file);
    }
    log->offset = LOG_SEGMENT_HEADER_BYTES;
    log->batch_next = 1;
    return s;
}

static enum status last_segment(struct log *log, const struct log_tail *tail)
{
    log->segment = tail->segment;
    log->offset = tail->offset;
    log->batch_next = tail->batch_next;
    log->stats.cut_bytes = tail->cut_bytes;
    char path[LOG_PATH_BYTES];
    log_segment_path(path, log->options.dir, tail->segment.id, "");
    return env_file_open(log->env, path, ENV_OPEN_WRITE, &log->file);
}

/* ---- opening --------------------------------------------------------------------------------- */

static void gathering_reset(struct log *log)
{
    buf_clear(&log->gathering, BATCH_BYTES_KEPT);
    (void)buf_reserve(&log->gathering, LOG_BATCH_HEADER_BYTES);
    buf_extend(&log->gathering, LOG_BATCH_HEADER_BYTES);
    log->gathering_count = 0;
    log->gathering_flags = 0;
}

static void log_init(struct log *log, struct env *env, const struct log_options *options)
{
    ensure(options->segment_bytes >= LOG_SEGMENT_BYTES_MIN);
    *log = (struct log){.env = env, .options = *options};
    log->write = (struct log_job){.work = {.run = write_run, .done = write_done}, .log = log};
    log->prepare = (struct log_job){.work = {.run = prepare_run, .done = prepare_done}, .log = log};
    log->mark_timer.cb = mark_due;
    buf_init(&log->gathering, BATCH_BYTES_MAX);
    buf_init(&log->writing, BATCH_BYTES_MAX);
    gathering_reset(log);
}

enum status log_open(struct log *log,
                     struct env *env,
                     const struct log_options *options,
                     log_replay_fn replay,
                     void *replay_ctx,
                     void (*durable)(void *owner, uint64_t batch),
                     void *owner,
                     struct error *error)
{
    log_init(log, env, options);
    log->durable = durable;
    log->owner = owner;

    struct log_tail tail = {0};
    enum status s =
        log_recover(env, options->dir, options->node_id, replay, replay_ctx, &tail, error);
    if (s != STATUS_OK) {
        return error_wrap(error, s, "recover log");
    }
    if (tail.is_empty && options->must_exist) {
        return error_set(error,
                         STATUS_CORRUPT,
                         "%s holds no log, but this node has had one; restore it, or start with a "
                         "new data directory",
                         options->dir);
    }
    s = tail.is_empty ? first_segment(log) : last_segment(log, &tail);
    if (s != STATUS_OK) {
        return error_set(error, s, "%s: cannot open the log for writing", options->dir);
    }
    log->synced = (struct log_position){.segment = log->segment.id, .offset = log->offset};
    log->stats.segments = log->segment.id;
    /* What recovery kept is synced, but only a mark proves it to the next recovery (LOG-6). */
    env_timer_start(env, &log->mark_timer, MARK_IDLE_MS);
    return STATUS_OK;
}

/* ---- appending ------------------------------------------------------------------------------- */

uint64_t log_append(struct log *log, const struct log_record *record, struct bytes payload)
{
    ensure(log->closed == NULL);
    enum status s = log_record_check(record, payload.size);
    ensure(s == STATUS_OK);
    log_record_append(&log->gathering, record, payload);
    log->gathering_count++;
    log->gathering_flags = 0; /* a mark that was waiting is not needed any more */
    return log->batch_next;
}

uint64_t log_pending_bytes(const struct log *log)
{
    uint64_t gathered = log->gathering.size - LOG_BATCH_HEADER_BYTES;
    return gathered + (log->write.is_running ? log->writing.size : 0);
}

/* A fresh segment takes a batch of any size; otherwise room for the seal stays free. */
static bool fits_in_segment(const struct log *log)
{
    return log->offset == LOG_SEGMENT_HEADER_BYTES ||
           log->offset + log->gathering.size + LOG_BATCH_HEADER_BYTES <= log->options.segment_bytes;
}

static void start_prepare(struct log *log)
{
    if (!log->prepare.is_running && log->prepared == NULL) {
        log->prepare.is_running = true;
        env_work_submit(log->env, &log->prepare.work);
    }
}

/*
 * The batch in flight will open the next segment; its number follows that of the seal. Its records
 * were promised the seal's number: durable() of a later batch covers them.
 */
static void plan_rotation(struct log *log)
{
    ensure(log->prepared != NULL);
    reached("log: segment rotated");
    log->is_rotating = true;
    log->batch_next++; /* the seal takes a number */
    log->rotated = log->segment;
    log->rotated.id++;
    log->rotated.batch_first = log->batch_next;
    log->rotated.salt = env_random(log->env);
    log->rotated.size = log->options.segment_bytes;
}

static void start_write(struct log *log)
{
    struct buf batch = log->gathering;
    log->gathering = log->writing;
    log->writing = batch;
    log->writing_header = (struct log_batch_header){
        .number = log->batch_next,
        .size = (uint32_t)(batch.size - LOG_BATCH_HEADER_BYTES),
        .count = log->gathering_count,
        .flags = log->gathering_flags,
        .synced = log->synced,
    };
    if (log->is_rotating) {
        log->writing_header.synced =
            (struct log_position){.segment = log->rotated.id, .offset = LOG_SEGMENT_HEADER_BYTES};
    }
    log->last_is_mark = log->gathering_count == 0;
    log->batch_next++;
    gathering_reset(log);
    env_timer_stop(log->env, &log->mark_timer);
    log->write.is_running = true;
    log->write_started_us = env_now_us(log->env);
    env_work_submit(log->env, &log->write.work);
}

void log_flush(struct log *log)
{
    bool is_empty = log->gathering_count == 0 && log->gathering_flags == 0;
    if (log->write.is_running || is_empty) {
        return;
    }
    if (!fits_in_segment(log)) {
        if (log->prepare.is_running || log->prepared == NULL) {
            reached("log: waits for the next segment");
            start_prepare(log);
            return; /* prepare_done flushes */
        }
        plan_rotation(log);
    }
    start_write(log);
}

/* ---- the worker's part ----------------------------------------------------------------------- */

static enum status write_seal(struct log *log)
{
    uint8_t seal[LOG_BATCH_HEADER_BYTES];
    struct log_place place = {.segment = log->segment.id, .salt = log->segment.salt};
    struct log_batch_header header = {
        .number = log->rotated.batch_first - 1,
        .flags = LOG_BATCH_SEAL,
        .synced = log->synced,
    };
    log_batch_seal(seal, &header, &place, log->offset);
    enum status s = env_file_write(log->env, log->file, log->offset, bytes_of(seal, sizeof seal));
    return s == STATUS_OK ? env_file_sync(log->env, log->file) : s;
}

static enum status write_batch(struct log *log,
                               struct env_file *file,
                               const struct log_segment_header *segment,
                               uint64_t offset)
{
    struct log_place place = {.segment = segment->id, .salt = segment->salt};
    log_batch_seal(log->writing.data, &log->writing_header, &place, offset);
    enum status s = env_file_write(log->env, file, offset, buf_bytes(&log->writing));
    return s == STATUS_OK ? env_file_sync(log->env, file) : s;
}

static void write_run(struct env_work *w)
{
    struct log_job *job = container_of(w, struct log_job, work);
    struct log *log = job->log;
    if (!log->is_rotating) {
        job->status = write_batch(log, log->file, &log->segment, log->offset);
        return;
    }
    enum status s = segment_publish(log, &log->rotated, log->prepared);
    if (s == STATUS_OK) {
        s = write_seal(log);
    }
    if (s == STATUS_OK) {
        s = write_batch(log, log->prepared, &log->rotated, LOG_SEGMENT_HEADER_BYTES);
    }
    job->status = s;
}

static void prepare_run(struct env_work *w)
{
    struct log_job *job = container_of(w, struct log_job, work);
    job->status = segment_create(job->log, job->log->segment.id + 1, &job->log->prepared);
}

/* ---- back on the loop ------------------------------------------------------------------------ */

static void close_now(struct log *log)
{
    env_timer_stop(log->env, &log->mark_timer);
    env_file_close(log->env, log->file);
    env_file_close(log->env, log->prepared);
    log->file = NULL;
    log->prepared = NULL;
    log->closed(log->owner);
}

/* True if closing is under way and took over. */
static bool go_on_closing(struct log *log)
{
    if (log->closed == NULL || log->write.is_running || log->prepare.is_running) {
        return false;
    }
    if (log->gathering_count > 0 || !log->last_is_mark) {
        if (log->gathering_count == 0) {
            log->gathering_flags = LOG_BATCH_MARK;
        }
        log_flush(log);
        return true;
    }
    close_now(log);
    return true;
}

static void finish_rotation(struct log *log)
{
    env_file_close(log->env, log->file);
    log->file = log->prepared;
    log->prepared = NULL;
    log->segment = log->rotated;
    log->offset = LOG_SEGMENT_HEADER_BYTES;
    log->is_rotating = false;
    log->stats.segments++;
}

static void count_batch(struct log *log)
{
    log->last_write_us = env_now_us(log->env) - log->write_started_us;
    log->stats.batches++;
    log->stats.records += log->writing_header.count;
    log->stats.bytes += log->writing.size;
    log->stats.marks += (log->writing_header.flags & LOG_BATCH_MARK) != 0 ? 1 : 0;
}

static void write_done(struct env_work *w)
{
    struct log_job *job = container_of(w, struct log_job, work);
    struct log *log = job->log;
    job->is_running = false;
    if (job->status != STATUS_OK) {
        env_halt(log->env, "the log could not be written or synced: nothing more is answered");
        return;
    }
    if (log->is_rotating) {
        finish_rotation(log);
    }
    log->offset += log->writing.size;
    log->synced = (struct log_position){.segment = log->segment.id, .offset = log->offset};
    count_batch(log);
    if (log->offset > log->options.segment_bytes / 2 && log->closed == NULL) {
        start_prepare(log);
    }
    if (log->writing_header.count > 0) {
        log->durable(log->owner, log->writing_header.number);
    }
    if (!go_on_closing(log) && !log->last_is_mark) {
        env_timer_start(log->env, &log->mark_timer, MARK_IDLE_MS);
    }
}

static void prepare_done(struct env_work *w)
{
    struct log_job *job = container_of(w, struct log_job, work);
    struct log *log = job->log;
    job->is_running = false;
    if (job->status != STATUS_OK) {
        env_halt(log->env, "the next segment of the log could not be created");
        return;
    }
    if (!go_on_closing(log)) {
        log_flush(log);
    }
}

static void mark_due(struct env_timer *t)
{
    struct log *log = container_of(t, struct log, mark_timer);
    if (!log->write.is_running && log->gathering_count == 0) {
        log->gathering_flags = LOG_BATCH_MARK;
        log_flush(log);
    }
}

void log_close(struct log *log, void (*closed)(void *owner))
{
    ensure(log->closed == NULL && closed != NULL);
    log->closed = closed;
    (void)go_on_closing(log);
}

void log_deinit(struct log *log)
{
    buf_deinit(&log->gathering);
    buf_deinit(&log->writing);
}
