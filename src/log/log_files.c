/*
 * The files of the log: the next segment is made ahead, those that nobody needs go, oldest first.
 * All of it is done by workers, beside the batches. Making a segment is the one place that may meet
 * a full disk: nothing was promised yet, so it is tried again until there is room.
 */
#include "base/assert.h"
#include "base/mem.h"
#include "log/log_parts.h"

#define ZERO_CHUNK_BYTES (256u * 1024u)
#define FULL_RETRY_MS 250u

/* ---- making ---------------------------------------------------------------------------------- */

/*
 * Real zeros, not holes: a sync inside them needs no change of the file's map, and a batch needs no
 * room that is not there. Synced piece by piece: a batch that is written meanwhile must not wait
 * behind all of them.
 */
static enum status fill(struct log *log, struct env_file *file, uint64_t from, uint64_t to)
{
    enum status s = STATUS_OK;
    uint8_t *zeros = mem_alloc_zero(ZERO_CHUNK_BYTES);
    for (uint64_t at = from; at < to && s == STATUS_OK;) {
        uint64_t left = to - at;
        size_t chunk = left < ZERO_CHUNK_BYTES ? (size_t)left : ZERO_CHUNK_BYTES;
        s = env_file_write(log->env, file, at, bytes_of(zeros, chunk));
        if (s == STATUS_OK) {
            s = env_file_sync(log->env, file);
        }
        at += chunk;
    }
    mem_free(zeros);
    return s;
}

/*
 * Makes the file of segment id under its unfinished name, or makes it longer; zeros from `from` to
 * `to`. Failed: it is gone. Worker or start.
 */
static enum status make(struct log *log, uint64_t id, uint64_t from, uint64_t to)
{
    char path[LOG_PATH_BYTES];
    log_segment_path(path, log->options.dir, id, LOG_NEW_SUFFIX);
    enum status s = STATUS_OK;
    if (log->prepared == NULL) {
        s = env_file_open(log->env, path, ENV_OPEN_CREATE, &log->prepared);
    }
    if (log->prepared == NULL) {
        return s;
    }
    s = fill(log, log->prepared, from, to);
    if (s == STATUS_NO_SPACE) {
        env_file_close(log->env, log->prepared);
        log->prepared = NULL;
        /* What is left of it would keep the room from those who could give some back. */
        enum status removed = env_file_remove(log->env, path);
        s = removed == STATUS_OK ? s : removed;
    }
    return s;
}

enum status log_files_publish(struct log *log, const struct log_segment_header *header)
{
    uint8_t *bytes = mem_alloc(LOG_SEGMENT_HEADER_BYTES);
    log_segment_header_encode(header, bytes);
    enum status s =
        env_file_write(log->env, log->prepared, 0, bytes_of(bytes, LOG_SEGMENT_HEADER_BYTES));
    mem_free(bytes);
    if (s == STATUS_OK) {
        s = env_file_sync(log->env, log->prepared);
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

enum status log_files_first(struct log *log)
{
    log->segment = (struct log_segment_header){
        .id = 1,
        .batch_first = 1,
        .salt = env_random(log->env),
        .size = log->options.segment_bytes,
    };
    memcpy(log->segment.node_id, log->options.node_id, LOG_NODE_ID_BYTES);
    enum status s = make(log, 1, 0, log->segment.size);
    if (s == STATUS_OK) {
        s = log_files_publish(log, &log->segment);
    }
    if (s != STATUS_OK) {
        env_file_close(log->env, log->prepared);
        log->prepared = NULL;
        return s;
    }
    log->file = log->prepared;
    log->prepared = NULL;
    log->offset = LOG_SEGMENT_HEADER_BYTES;
    log->batch_next = 1;
    (void)log_segments_add(&log->segments, &log->segment, log->segment.size);
    return STATUS_OK;
}

/* ---- the next segment ------------------------------------------------------------------------ */

/* With the batch that gathers and a seal. */
static uint64_t bytes_needed(const struct log *log)
{
    return LOG_SEGMENT_HEADER_BYTES + log->gathering.size + LOG_BATCH_HEADER_BYTES;
}

bool log_files_is_prepared(const struct log *log)
{
    return !log->prepare.is_running && log->prepared != NULL &&
           log->prepared_bytes >= bytes_needed(log);
}

void log_files_prepare(struct log *log)
{
    if (log->prepare.is_running || log->is_full || log_files_is_prepared(log)) {
        return;
    }
    uint64_t usual = log->options.segment_bytes;
    uint64_t bytes = bytes_needed(log);
    if (bytes > usual) {
        reached("log: segment larger than usual");
        bytes += usual / 4; /* the batch may grow meanwhile */
    }
    log->prepare_from = log->prepared != NULL ? log->prepared_bytes : 0;
    log->prepared_bytes = bytes > usual ? bytes : usual;
    log->prepare.is_running = true;
    env_work_submit(log->env, &log->prepare.work);
}

static void prepare_run(struct env_work *w)
{
    struct log_job *job = container_of(w, struct log_job, work);
    struct log *log = job->log;
    job->status = make(log, log->segment.id + 1, log->prepare_from, log->prepared_bytes);
}

static void prepare_done(struct env_work *w)
{
    struct log_job *job = container_of(w, struct log_job, work);
    struct log *log = job->log;
    job->is_running = false;
    if (job->status != STATUS_OK && job->status != STATUS_NO_SPACE) {
        env_halt(log->env, "the next segment of the log could not be created");
        return;
    }
    log->is_full = job->status == STATUS_NO_SPACE;
    if (log->is_full) {
        reached("log: no room for the next segment");
        log->prepared_bytes = 0;
        if (log->closed == NULL) {
            env_timer_start(log->env, &log->full_timer, FULL_RETRY_MS);
        }
    }
    if (!log_go_on_closing(log)) {
        log_flush(log);
    }
}

static void full_due(struct env_timer *t)
{
    struct log *log = container_of(t, struct log, full_timer);
    log->is_full = false;
    log_files_prepare(log);
    log->is_full = true; /* until there is one */
}

/* ---- release --------------------------------------------------------------------------------- */

uint64_t log_segment_newest(const struct log *log)
{
    const struct log_segments *s = &log->segments;
    ensure(s->count > 0);
    size_t i = s->count - 1;
    while (i > 0 && !s->items[i].has_start) {
        i--;
    }
    return s->items[i].id;
}

uint64_t log_segment_oldest(const struct log *log)
{
    ensure(log->segments.count > 0);
    return log->segments.items[0].id;
}

uint64_t log_segment_top(const struct log *log, uint64_t segment, uint16_t group)
{
    return log_segments_top(&log->segments, segment, group);
}

uint64_t log_segment_batch_last(const struct log *log, uint64_t segment)
{
    const struct log_segment *found = log_segments_find(&log->segments, segment);
    ensure(found != NULL && segment < log_segment_newest(log));
    return found->batch_last - 1; /* the seal's number was promised to what opened the next one */
}

uint64_t log_disk_bytes(const struct log *log)
{
    return log_segments_bytes(&log->segments) + log->prepared_bytes;
}

bool log_is_full(const struct log *log)
{
    return log->is_full;
}

static void start_release(struct log *log)
{
    uint64_t oldest = log_segment_oldest(log);
    if (log->release.is_running || log->closed != NULL || log->release_to < oldest) {
        return;
    }
    log->release_from = oldest;
    log->release_last = log->release_to;
    log->release.is_running = true;
    env_work_submit(log->env, &log->release.work);
}

void log_release(struct log *log, uint64_t segment)
{
    ensure(segment < log_segment_newest(log));
    if (segment > log->release_to) {
        log->release_to = segment;
    }
    start_release(log);
}

/* Each removal is durable before the next: whatever a crash leaves has no gap. */
static void release_run(struct env_work *w)
{
    struct log_job *job = container_of(w, struct log_job, work);
    struct log *log = job->log;
    enum status s = STATUS_OK;
    for (uint64_t id = log->release_from; id <= log->release_last && s == STATUS_OK; id++) {
        char path[LOG_PATH_BYTES];
        log_segment_path(path, log->options.dir, id, "");
        s = env_file_remove(log->env, path);
        if (s == STATUS_OK || s == STATUS_NOT_FOUND) {
            s = env_dir_sync(log->env, log->options.dir);
        }
    }
    job->status = s;
}

static void release_done(struct env_work *w)
{
    struct log_job *job = container_of(w, struct log_job, work);
    struct log *log = job->log;
    job->is_running = false;
    if (job->status != STATUS_OK) {
        env_halt(log->env, "a segment of the log could not be removed");
        return;
    }
    reached("log: segments released");
    uint64_t dropped = log_segments_drop(&log->segments, log->release_last);
    log->stats.released += dropped;
    log->stats.segments -= dropped;
    if (!log_go_on_closing(log)) {
        start_release(log);
    }
}

void log_files_init(struct log *log)
{
    log->prepare = (struct log_job){.work = {.run = prepare_run, .done = prepare_done}, .log = log};
    log->release = (struct log_job){.work = {.run = release_run, .done = release_done}, .log = log};
    log->full_timer.cb = full_due;
}
