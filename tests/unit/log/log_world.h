/* What the tests of the log share: one log over a fake world, and what was replayed from it. */
#ifndef LOG_LOG_WORLD_H
#define LOG_LOG_WORLD_H

#include "base/mem.h"
#include "fake_env.h"
#include "harness.h"
#include "log/log.h"

#define DIR "log"
#define SEGMENT_1 DIR "/0000000000000001.log"
#define SEGMENT_2 DIR "/0000000000000002.log"
#define SEGMENT_3 DIR "/0000000000000003.log"

struct log_world {
    struct fake_env env;
    struct log log;
    struct buf replayed; /* payloads, each behind its index: "1=abc;" */
    uint64_t replayed_count;
    uint64_t index;      /* of the newest record */
    uint64_t durable_to; /* newest batch called durable */
    uint32_t group_count;
    size_t start_bytes; /* payload of the GROUP record at the start of a segment */
    bool is_silent;     /* there is no such record */
    unsigned starts;    /* calls of segment_starts */
    unsigned groups;    /* GROUP records replayed */
    bool is_closed;
    enum status status; /* of the last open */
    struct error error;
};

static inline void on_durable(void *owner, uint64_t batch)
{
    struct log_world *w = owner;
    CHECK(batch > w->durable_to);
    w->durable_to = batch;
    fake_env_note(&w->env, "durable %llu", (unsigned long long)batch);
}

/* What every segment begins with in these tests; not counted as a record of the world. */
static inline void on_segment_starts(void *owner)
{
    struct log_world *w = owner;
    w->starts++;
    fake_env_note(&w->env, "segment_starts");
    if (w->is_silent) {
        return;
    }
    struct log_record r = {.group = 1, .kind = LOG_KIND_GROUP, .term = 1};
    uint8_t *bytes = mem_alloc_zero(w->start_bytes + 1);
    (void)log_append(&w->log, &r, bytes_of(bytes, w->start_bytes));
    mem_free(bytes);
}

static const struct log_events world_events = {
    .durable = on_durable,
    .segment_starts = on_segment_starts,
};

static inline void on_closed(void *owner)
{
    struct log_world *w = owner;
    CHECK(!w->is_closed);
    w->is_closed = true;
    fake_env_note(&w->env, "closed");
}

static inline enum status on_replay(void *ctx,
                                    const struct log_record *record,
                                    struct bytes payload,
                                    struct error *error)
{
    (void)error;
    struct log_world *w = ctx;
    if (record->kind == LOG_KIND_GROUP) {
        w->groups++;
        return STATUS_OK;
    }
    buf_printf(&w->replayed, "%llu=", (unsigned long long)record->index);
    buf_append_bytes(&w->replayed, payload);
    buf_append_text(&w->replayed, ";");
    w->replayed_count++;
    w->index = record->index;
    fake_env_note(&w->env, "replay %llu", (unsigned long long)record->index);
    return STATUS_OK;
}

static inline void world_init(struct log_world *w)
{
    *w = (struct log_world){.group_count = 8};
    fake_env_init(&w->env);
    buf_init(&w->replayed, SIZE_MAX / 2);
}

static inline struct log_options world_options(void)
{
    return (struct log_options){
        .dir = DIR,
        .segment_bytes = LOG_SEGMENT_BYTES_MIN,
        .node_id = "0123456789abcde",
        .group_count = 8,
    };
}

/* Opens the log with what is on the disk; the result is in w->status. */
static inline void world_open(struct log_world *w)
{
    struct log_options options = world_options();
    options.group_count = w->group_count;
    buf_clear(&w->replayed, SIZE_MAX);
    w->replayed_count = 0;
    w->index = 0;
    w->durable_to = 0;
    w->groups = 0;
    w->is_closed = false;
    w->error = (struct error){0};
    w->status =
        log_open(&w->log, &w->env.base, &options, on_replay, w, &world_events, w, &w->error);
}

/* A process that dies: jobs and timers never run, all memory is gone, the files stay. */
static inline void world_die(struct log_world *w)
{
    env_timer_stop(&w->env.base, &w->log.mark_timer);
    env_timer_stop(&w->env.base, &w->log.full_timer);
    w->env.job_count = 0;
    env_file_close(&w->env.base, w->log.file);
    env_file_close(&w->env.base, w->log.prepared);
    log_deinit(&w->log);
    w->log = (struct log){0};
}

static inline void world_deinit(struct log_world *w)
{
    world_die(w);
    buf_deinit(&w->replayed);
    fake_env_deinit(&w->env);
}

static inline uint64_t world_append(struct log_world *w, struct bytes payload)
{
    struct log_record r = {.group = 1, .kind = LOG_KIND_ENTRY, .term = 1, .index = ++w->index};
    return log_append(&w->log, &r, payload);
}

static inline uint64_t world_append_text(struct log_world *w, const char *text)
{
    return world_append(w, bytes_of_text(text));
}

/* A record with size bytes of 'x'. */
static inline uint64_t world_append_size(struct log_world *w, size_t size)
{
    uint8_t *bytes = mem_alloc(size);
    memset(bytes, 'x', size);
    uint64_t batch = world_append(w, bytes_of(bytes, size));
    mem_free(bytes);
    return batch;
}

/* One batch with one record, durable on return. */
static inline void world_batch(struct log_world *w, const char *text)
{
    uint64_t batch = world_append_text(w, text);
    log_flush(&w->log);
    fake_env_run_all(&w->env);
    CHECK(w->durable_to >= batch);
}

/* The mark that an idle log writes. */
static inline void world_idle(struct log_world *w)
{
    fake_env_advance(&w->env, 100);
    fake_env_run_all(&w->env);
}

static inline struct buf *world_file(struct log_world *w, const char *path)
{
    struct fake_file *file = fake_env_file(&w->env, path);
    CHECK(file != NULL);
    return &file->bytes;
}

#endif
