#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "log/log_parts.h"

#define MARK_IDLE_MS 100u
/* What may gather behind a slow sync; those who append stop long before (log_pending_bytes). */
#define BATCH_BYTES_MAX (2048u * MIB)
#define BATCH_BYTES_KEPT (4u * MIB)

static void write_run(struct env_work *w);
static void write_done(struct env_work *w);
static void mark_due(struct env_timer *t);

/* ---- opening --------------------------------------------------------------------------------- */

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

static void gathering_reset(struct log *log)
{
    buf_clear(&log->gathering, BATCH_BYTES_KEPT);
    (void)buf_reserve(&log->gathering, LOG_BATCH_HEADER_BYTES);
    buf_extend(&log->gathering, LOG_BATCH_HEADER_BYTES);
    log->gathering_count = 0;
    log->gathering_flags = 0;
    log->gathering_has_start = false;
    memset(log->gathering_tops, 0, log->options.group_count * sizeof log->gathering_tops[0]);
}

static void log_init(struct log *log, struct env *env, const struct log_options *options)
{
    ensure(options->segment_bytes >= LOG_SEGMENT_BYTES_MIN);
    *log = (struct log){.env = env, .options = *options};
    log->write = (struct log_job){.work = {.run = write_run, .done = write_done}, .log = log};
    log_files_init(log);
    log_segments_init(&log->segments, options->group_count);
    log->gathering_tops = mem_alloc(options->group_count * sizeof log->gathering_tops[0]);
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
                     const struct log_events *events,
                     void *owner,
                     struct error *error)
{
    log_init(log, env, options);
    log->events = events;
    log->owner = owner;

    struct log_tail tail = {0};
    enum status s = log_recover(env,
                                options->dir,
                                options->node_id,
                                replay,
                                replay_ctx,
                                &tail,
                                &log->segments,
                                error);
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
    s = tail.is_empty ? log_files_first(log) : last_segment(log, &tail);
    if (s != STATUS_OK) {
        return error_set(error,
                         s,
                         "%s: cannot open the log for writing: %s",
                         options->dir,
                         status_text(s));
    }
    log->synced = (struct log_position){.segment = log->segment.id, .offset = log->offset};
    log->stats.segments = log->segments.count;
    /* What recovery kept is synced, but only a mark proves it to the next recovery (LOG-6). */
    env_timer_start(env, &log->mark_timer, MARK_IDLE_MS);
    return STATUS_OK;
}

/* ---- appending ------------------------------------------------------------------------------- */

uint64_t log_append(struct log *log, const struct log_record *record, struct bytes payload)
{
    ensure(log->closed == NULL || log->is_opening);
    ensure(record->group < log->options.group_count);
    enum status s = log_record_check(record, payload.size);
    ensure(s == STATUS_OK);
    log_record_append(&log->gathering, record, payload);
    log_tops_note(log->gathering_tops, log->options.group_count, record);
    log->gathering_has_start = log->gathering_has_start || record->kind == LOG_KIND_GROUP;
    log->gathering_count++;
    log->gathering_flags = 0; /* a mark that was waiting is not needed any more */
    return log->batch_next;
}

uint64_t log_pending_bytes(const struct log *log)
{
    uint64_t gathered = log->gathering.size - LOG_BATCH_HEADER_BYTES;
    return gathered + (log->write.is_running ? log->writing.size : 0);
}

/* Room for the seal stays free. */
static bool fits_in_segment(const struct log *log)
{
    return log->offset + log->gathering.size + LOG_BATCH_HEADER_BYTES <= log->segment.size;
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
    log->rotated.size = log->prepared_bytes;
    log_segments_newest(&log->segments)->batch_last = log->rotated.batch_first - 1;
    (void)log_segments_add(&log->segments, &log->rotated, log->prepared_bytes);
    log->prepared_bytes = 0;
}

/* The batch in flight counts for the segment it goes to. */
static void note_batch(struct log *log)
{
    struct log_segment *segment = log_segments_newest(&log->segments);
    segment->batch_last = log->batch_next;
    for (uint32_t i = 0; i < log->options.group_count; i++) {
        if (log->gathering_tops[i] > segment->tops[i]) {
            segment->tops[i] = log->gathering_tops[i];
        }
    }
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
    log->writing_has_start = log->gathering_has_start;
    note_batch(log);
    log->batch_next++;
    log->is_opening = false;
    gathering_reset(log);
    env_timer_stop(log->env, &log->mark_timer);
    log->write.is_running = true;
    log->write_started_us = env_now_us(log->env);
    env_work_submit(log->env, &log->write.work);
}

/* LOG-13 */
static void open_segment(struct log *log)
{
    if (!log->is_opening) {
        log->is_opening = true;
        log->events->segment_starts(log->owner);
    }
}

/* True: the batch that gathers can be written now, at log->offset or at the start of a segment. */
static bool has_place(struct log *log)
{
    /* A crash may have left the segment without its first batch; an older version, without any. */
    if (!log_segments_newest(&log->segments)->has_start) {
        open_segment(log);
    }
    if (fits_in_segment(log)) {
        return true;
    }
    if (log_files_is_prepared(log)) {
        open_segment(log); /* the batch grows */
    }
    if (!log_files_is_prepared(log)) {
        reached("log: waits for the next segment");
        log_files_prepare(log);
        return false; /* log_flush comes again when it is there */
    }
    plan_rotation(log);
    return true;
}

void log_flush(struct log *log)
{
    bool is_empty = log->gathering_count == 0 && log->gathering_flags == 0;
    if (!log->write.is_running && !is_empty && has_place(log)) {
        start_write(log);
    }
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
    enum status s = log_files_publish(log, &log->rotated);
    if (s == STATUS_OK) {
        s = write_seal(log);
    }
    if (s == STATUS_OK) {
        s = write_batch(log, log->prepared, &log->rotated, LOG_SEGMENT_HEADER_BYTES);
    }
    job->status = s;
}

/* ---- back on the loop ------------------------------------------------------------------------ */

static void close_now(struct log *log)
{
    env_timer_stop(log->env, &log->full_timer);
    env_timer_stop(log->env, &log->mark_timer);
    env_file_close(log->env, log->file);
    env_file_close(log->env, log->prepared);
    log->file = NULL;
    log->prepared = NULL;
    log->closed(log->owner);
}

bool log_go_on_closing(struct log *log)
{
    if (log->closed == NULL || log->write.is_running || log->prepare.is_running ||
        log->release.is_running) {
        return false;
    }
    if (log->gathering_count > 0 || !log->last_is_mark) {
        if (log->gathering_count == 0) {
            log->gathering_flags = LOG_BATCH_MARK;
        }
        log_flush(log);
        if (log->write.is_running || log->prepare.is_running) {
            return true;
        }
        reached("log: closed without room");
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
        env_halt(log->env,
                 "the log could not be written or synced: nothing more is answered (%s)",
                 status_text(job->status));
        return;
    }
    if (log->is_rotating) {
        finish_rotation(log);
    }
    if (log->writing_has_start) {
        log_segments_newest(&log->segments)->has_start = true;
    }
    log->offset += log->writing.size;
    log->synced = (struct log_position){.segment = log->segment.id, .offset = log->offset};
    count_batch(log);
    if (log->offset > log->segment.size / 2 && log->closed == NULL) {
        log_files_prepare(log);
    }
    if (log->writing_header.count > 0) {
        log->events->durable(log->owner, log->writing_header.number);
    }
    if (!log_go_on_closing(log) && !log->last_is_mark) {
        env_timer_start(log->env, &log->mark_timer, MARK_IDLE_MS);
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
    env_timer_stop(log->env, &log->full_timer);
    log->is_full = false; /* one more try */
    (void)log_go_on_closing(log);
}

void log_deinit(struct log *log)
{
    buf_deinit(&log->gathering);
    buf_deinit(&log->writing);
    log_segments_deinit(&log->segments);
    mem_free(log->gathering_tops);
    log->gathering_tops = NULL;
}
