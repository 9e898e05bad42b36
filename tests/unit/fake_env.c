#include "fake_env.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"

#define FILE_BYTES_MAX (SIZE_MAX / 2)
#define FAKE_SPACE_BYTES ((uint64_t)1 << 40) /* what a disk without limit says */

struct env_file {
    struct fake_file *file;
};

static struct fake_env *fake_of(struct env *env)
{
    return container_of(env, struct fake_env, base);
}

static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

/* Not OK: this call is the one that fails. */
static enum status call_fails(struct fake_env *f)
{
    f->operations++;
    if (f->operations != f->fail_at) {
        return STATUS_OK;
    }
    return f->fail_as == STATUS_OK ? STATUS_IO : f->fail_as;
}

static uint64_t bytes_of_files(const struct fake_env *f)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < f->file_count; i++) {
        bytes += f->files[i]->bytes.size;
    }
    return bytes;
}

/* ---- files ----------------------------------------------------------------------------------- */

struct fake_file *fake_env_file(const struct fake_env *f, const char *path)
{
    for (size_t i = 0; i < f->file_count; i++) {
        if (strcmp(f->files[i]->path, path) == 0) {
            return f->files[i];
        }
    }
    return NULL;
}

static struct fake_file *file_create(struct fake_env *f, const char *path)
{
    ensure(f->file_count < FAKE_FILES_MAX && strlen(path) < FAKE_PATH_BYTES);
    struct fake_file *file = mem_alloc_zero(sizeof *file);
    (void)snprintf(file->path, sizeof file->path, "%s", path);
    buf_init(&file->bytes, FILE_BYTES_MAX);
    f->files[f->file_count++] = file;
    return file;
}

static void file_destroy(struct fake_env *f, struct fake_file *file)
{
    size_t i = 0;
    while (f->files[i] != file) {
        i++;
    }
    f->files[i] = f->files[--f->file_count];
    buf_deinit(&file->bytes);
    mem_free(file);
}

static int compare_files(const void *a, const void *b)
{
    const struct fake_file *const *x = a;
    const struct fake_file *const *y = b;
    return strcmp((*x)->path, (*y)->path);
}

/* A directory is there as long as files are in it. */
static bool is_inside(const struct fake_file *file, const char *dir)
{
    size_t size = strlen(dir);
    return strncmp(file->path, dir, size) == 0 && file->path[size] == '/';
}

static enum status fake_dir_create(struct env *env, const char *path)
{
    enum status s = call_fails(fake_of(env));
    for (size_t i = 0; i < fake_of(env)->file_count && s == STATUS_OK; i++) {
        s = is_inside(fake_of(env)->files[i], path) ? STATUS_EXISTS : STATUS_OK;
    }
    return s;
}

static enum status fake_dir_sync(struct env *env, const char *path)
{
    enum status failed = call_fails(fake_of(env));
    if (failed != STATUS_OK) {
        return failed;
    }
    fake_env_note(fake_of(env), "dir_sync %s", name_of(path));
    return STATUS_OK;
}

static enum status fake_dir_list(struct env *env,
                                 const char *path,
                                 void (*each)(void *ctx, const char *name),
                                 void *ctx)
{
    struct fake_env *f = fake_of(env);
    enum status failed = call_fails(f);
    if (failed != STATUS_OK) {
        return failed;
    }
    qsort(f->files, f->file_count, sizeof f->files[0], compare_files);
    /* The callee may remove files, so the names are copied first. */
    char names[FAKE_FILES_MAX][FAKE_PATH_BYTES];
    size_t count = 0;
    size_t prefix = strlen(path);
    for (size_t i = 0; i < f->file_count; i++) {
        const char *at = f->files[i]->path;
        if (strncmp(at, path, prefix) == 0 && at[prefix] == '/') {
            (void)snprintf(names[count++], FAKE_PATH_BYTES, "%s", at + prefix + 1);
        }
    }
    for (size_t i = 0; i < count; i++) {
        each(ctx, names[i]);
    }
    return STATUS_OK;
}

static enum status fake_dir_lock(struct env *env, const char *path)
{
    (void)path;
    return call_fails(fake_of(env));
}

static enum status fake_open(struct env *env,
                             const char *path,
                             enum env_open mode,
                             struct env_file **out_file)
{
    struct fake_env *f = fake_of(env);
    enum status failed = call_fails(f);
    if (failed != STATUS_OK) {
        return failed;
    }
    struct fake_file *file = fake_env_file(f, path);
    if (mode == ENV_OPEN_CREATE) {
        if (file != NULL) {
            return STATUS_EXISTS;
        }
        file = file_create(f, path);
        fake_env_note(f, "create %s", name_of(path));
    }
    if (file == NULL) {
        return STATUS_NOT_FOUND;
    }
    file->open_count++;
    struct env_file *handle = mem_alloc(sizeof *handle);
    handle->file = file;
    *out_file = handle;
    return STATUS_OK;
}

static enum status fake_size(struct env *env, struct env_file *handle, uint64_t *out_size)
{
    enum status failed = call_fails(fake_of(env));
    if (failed != STATUS_OK) {
        return failed;
    }
    *out_size = handle->file->bytes.size;
    return STATUS_OK;
}

static enum status fake_read(struct env *env,
                             struct env_file *handle,
                             uint64_t offset,
                             void *data,
                             size_t size,
                             size_t *out_read)
{
    enum status failed = call_fails(fake_of(env));
    if (failed != STATUS_OK) {
        return failed;
    }
    const struct buf *bytes = &handle->file->bytes;
    size_t left = offset < bytes->size ? bytes->size - (size_t)offset : 0;
    *out_read = size < left ? size : left;
    if (*out_read > 0) {
        memcpy(data, bytes->data + offset, *out_read);
    }
    return STATUS_OK;
}

static enum status fake_write(struct env *env,
                              struct env_file *handle,
                              uint64_t offset,
                              struct bytes data)
{
    struct fake_env *f = fake_of(env);
    enum status failed = call_fails(f);
    if (failed != STATUS_OK) {
        return failed;
    }
    struct buf *bytes = &handle->file->bytes;
    size_t end = (size_t)offset + data.size;
    if (end > bytes->size) {
        size_t more = end - bytes->size;
        if (f->space > 0 && bytes_of_files(f) + more > f->space) {
            return STATUS_NO_SPACE;
        }
        memset(buf_reserve(bytes, more), 0, more);
        buf_extend(bytes, more);
    }
    if (data.size > 0) {
        memcpy(bytes->data + offset, data.data, data.size);
    }
    fake_env_note(f, "write %s %" PRIu64 " %zu", name_of(handle->file->path), offset, data.size);
    return STATUS_OK;
}

static enum status fake_sync(struct env *env, struct env_file *handle)
{
    enum status failed = call_fails(fake_of(env));
    if (failed != STATUS_OK) {
        return failed;
    }
    fake_env_note(fake_of(env), "sync %s", name_of(handle->file->path));
    return STATUS_OK;
}

static void fake_close(struct env *env, struct env_file *handle)
{
    (void)env;
    ensure(handle->file->open_count > 0);
    handle->file->open_count--;
    mem_free(handle);
}

/* False: there is no such directory. */
static bool rename_dir(struct fake_env *f, const char *from, const char *to)
{
    bool is_there = false;
    for (size_t i = 0; i < f->file_count; i++) {
        struct fake_file *file = f->files[i];
        if (is_inside(file, from)) {
            char name[FAKE_PATH_BYTES];
            (void)snprintf(name, sizeof name, "%s", file->path + strlen(from));
            ensure(strlen(to) + strlen(name) < FAKE_PATH_BYTES);
            (void)snprintf(file->path, sizeof file->path, "%s%s", to, name);
            is_there = true;
        }
    }
    return is_there;
}

static enum status fake_rename(struct env *env, const char *from, const char *to)
{
    struct fake_env *f = fake_of(env);
    enum status failed = call_fails(f);
    if (failed != STATUS_OK) {
        return failed;
    }
    if (rename_dir(f, from, to)) {
        fake_env_note(f, "rename %s %s", name_of(from), name_of(to));
        return STATUS_OK;
    }
    struct fake_file *file = fake_env_file(f, from);
    if (file == NULL) {
        return STATUS_NOT_FOUND;
    }
    struct fake_file *there = fake_env_file(f, to);
    if (there != NULL) {
        ensure(there->open_count == 0);
        file_destroy(f, there);
    }
    (void)snprintf(file->path, sizeof file->path, "%s", to);
    fake_env_note(f, "rename %s %s", name_of(from), name_of(to));
    return STATUS_OK;
}

static enum status fake_remove(struct env *env, const char *path)
{
    struct fake_env *f = fake_of(env);
    enum status failed = call_fails(f);
    if (failed != STATUS_OK) {
        return failed;
    }
    struct fake_file *file = fake_env_file(f, path);
    if (file == NULL) {
        return STATUS_NOT_FOUND;
    }
    ensure(file->open_count == 0);
    file_destroy(f, file);
    fake_env_note(f, "remove %s", name_of(path));
    return STATUS_OK;
}

static enum status fake_dir_space(struct env *env,
                                  const char *path,
                                  uint64_t *out_free,
                                  uint64_t *out_total)
{
    (void)path;
    struct fake_env *f = fake_of(env);
    enum status failed = call_fails(f);
    if (failed != STATUS_OK) {
        return failed;
    }
    uint64_t total = f->space > 0 ? f->space : FAKE_SPACE_BYTES;
    uint64_t used = bytes_of_files(f);
    *out_free = used < total ? total - used : 0;
    *out_total = total;
    return STATUS_OK;
}

void fake_env_copy_files(struct fake_env *to, const struct fake_env *from)
{
    while (to->file_count > 0) {
        ensure(to->files[0]->open_count == 0);
        file_destroy(to, to->files[0]);
    }
    for (size_t i = 0; i < from->file_count; i++) {
        struct fake_file *copy = file_create(to, from->files[i]->path);
        buf_append_bytes(&copy->bytes, buf_bytes(&from->files[i]->bytes));
    }
}

bool fake_env_same_files(const struct fake_env *a, const struct fake_env *b)
{
    for (size_t i = 0; i < a->file_count; i++) {
        const struct fake_file *other = fake_env_file(b, a->files[i]->path);
        if (other == NULL ||
            !bytes_equal(buf_bytes(&a->files[i]->bytes), buf_bytes(&other->bytes))) {
            return false;
        }
    }
    return a->file_count == b->file_count;
}

/* ---- clocks, timers, jobs -------------------------------------------------------------------- */

static uint64_t fake_now_us(struct env *env)
{
    return fake_of(env)->now_us;
}

static uint64_t fake_wall_ms(struct env *env)
{
    return fake_of(env)->wall_ms;
}

static uint64_t fake_random(struct env *env)
{
    return prng_next(&fake_of(env)->prng);
}

static void fake_timer_start(struct env *env, struct env_timer *timer, uint64_t delay_ms)
{
    timers_start(&fake_of(env)->timers, timer, fake_of(env)->now_us + delay_ms * 1000);
}

static void fake_timer_stop(struct env *env, struct env_timer *timer)
{
    timers_stop(&fake_of(env)->timers, timer);
}

void fake_env_advance(struct fake_env *f, uint64_t ms)
{
    f->now_us += ms * 1000;
    f->wall_ms += ms;
    timers_fire(&f->timers, f->now_us);
}

static void fake_work_submit(struct env *env, struct env_work *work)
{
    struct fake_env *f = fake_of(env);
    ensure(f->job_count < FAKE_JOBS_MAX);
    f->jobs[f->job_count++] = work;
}

bool fake_env_run(struct fake_env *f)
{
    if (f->job_count == 0 || f->base.is_halted) {
        return false;
    }
    struct env_work *work = f->jobs[0];
    f->job_count--;
    memmove(f->jobs, f->jobs + 1, f->job_count * sizeof(struct env_work *));
    work->run(work);
    work->done(work);
    return true;
}

void fake_env_run_all(struct fake_env *f)
{
    while (fake_env_run(f)) {
    }
}

/* ---- log lines, halt, events ----------------------------------------------------------------- */

static void fake_log(struct env *env, enum env_level level, const char *line)
{
    struct fake_env *f = fake_of(env);
    if (level >= ENV_LEVEL_WARNING) {
        f->warnings++;
        (void)snprintf(f->last_warning, sizeof f->last_warning, "%s", line);
    }
}

static void fake_halt(struct env *env, const char *reason)
{
    struct fake_env *f = fake_of(env);
    fake_env_note(f, "halt");
    (void)snprintf(f->halt_reason, sizeof f->halt_reason, "%s", reason);
}

void fake_env_note(struct fake_env *f, const char *format, ...)
{
    char line[FAKE_LINE_BYTES];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(line, sizeof line, format, args);
    va_end(args);
    buf_append_text(&f->events, line);
    buf_append_text(&f->events, "\n");
}

const char *fake_env_events(struct fake_env *f)
{
    *buf_reserve(&f->events, 1) = '\0';
    return (const char *)f->events.data;
}

void fake_env_forget(struct fake_env *f)
{
    buf_clear(&f->events, SIZE_MAX);
}

static const struct env_ops fake_ops = {
    .now_us = fake_now_us,
    .wall_ms = fake_wall_ms,
    .random = fake_random,
    .timer_start = fake_timer_start,
    .timer_stop = fake_timer_stop,
    .work_submit = fake_work_submit,
    .listen = fake_net_listen,
    .connect = fake_net_connect,
    .conn_write = fake_net_write,
    .conn_pause = fake_net_pause,
    .conn_resume = fake_net_resume,
    .conn_close = fake_net_close,
    .dir_create = fake_dir_create,
    .dir_sync = fake_dir_sync,
    .dir_list = fake_dir_list,
    .dir_lock = fake_dir_lock,
    .file_open = fake_open,
    .file_size = fake_size,
    .file_read = fake_read,
    .file_write = fake_write,
    .file_sync = fake_sync,
    .file_close = fake_close,
    .file_rename = fake_rename,
    .file_remove = fake_remove,
    .dir_space = fake_dir_space,
    .log = fake_log,
    .halt = fake_halt,
};

void fake_env_init(struct fake_env *f)
{
    *f = (struct fake_env){.base.ops = &fake_ops, .wall_ms = 1700000000000u};
    timers_init(&f->timers);
    prng_init(&f->prng, 1);
    buf_init(&f->events, FILE_BYTES_MAX);
}

void fake_env_deinit(struct fake_env *f)
{
    if (f->net != NULL) {
        fake_net_drop(f->net, f);
    }
    while (f->file_count > 0) {
        file_destroy(f, f->files[0]);
    }
    buf_deinit(&f->events);
}
