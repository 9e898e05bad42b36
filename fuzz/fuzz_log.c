/*
 * A log, damaged, and what recovery makes of it. The input is a script that builds segments record
 * by record, then spoils bytes. Recovery never crashes; what it delivers is a prefix of what was
 * written; without damage it is all of it; a second recovery finds the same and cuts nothing; and
 * if it refuses, no file was changed.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "log/log_recovery.h"

#define SEGMENTS_MAX 4u
#define SEGMENT_BYTES 12288u
#define GROUPS 4u
#define TEXT_BYTES_MAX ((size_t)1024 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct env_file {
    uint8_t bytes[SEGMENT_BYTES];
};

/* A directory with nothing but segments. */
struct disk {
    struct env base;
    struct env_file files[SEGMENTS_MAX]; /* segment 1 and up */
    size_t first;                        /* the files before are gone */
    size_t count;
};

struct writer {
    struct disk *disk;
    struct buf batch;
    uint32_t batch_count;
    uint64_t batch_next;
    uint64_t offset;
    bool is_bad;          /* a record that nobody writes, or spoilt bytes */
    struct buf written;   /* every record of a finished batch */
    struct buf pending;   /* those of the batch that gathers */
    size_t first_written; /* what is in files that are gone ends here */
    size_t starts[SEGMENTS_MAX];
};

static const uint8_t node_id[LOG_NODE_ID_BYTES] = "0123456789abcde";

/* ---- the disk -------------------------------------------------------------------------------- */

static struct disk *disk_of(struct env *env)
{
    return container_of(env, struct disk, base);
}

static enum status disk_dir_sync(struct env *env, const char *path)
{
    (void)env;
    (void)path;
    return STATUS_OK;
}

static enum status disk_list(struct env *env,
                             const char *path,
                             void (*each)(void *ctx, const char *name),
                             void *ctx)
{
    (void)path;
    const struct disk *disk = disk_of(env);
    for (size_t i = disk->first; i < disk->count; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "%016x.log", (unsigned)i + 1);
        each(ctx, name);
    }
    return STATUS_OK;
}

static enum status disk_open(struct env *env,
                             const char *path,
                             enum env_open mode,
                             struct env_file **out_file)
{
    struct disk *disk = disk_of(env);
    ensure(mode == ENV_OPEN_WRITE);
    for (size_t i = disk->first; i < disk->count; i++) {
        char name[LOG_PATH_BYTES];
        log_segment_path(name, "d", i + 1, "");
        if (strcmp(name, path) == 0) {
            *out_file = &disk->files[i];
            return STATUS_OK;
        }
    }
    return STATUS_NOT_FOUND;
}

static enum status disk_size(struct env *env, struct env_file *file, uint64_t *out_size)
{
    (void)env;
    (void)file;
    *out_size = SEGMENT_BYTES;
    return STATUS_OK;
}

static enum status disk_read(struct env *env,
                             struct env_file *file,
                             uint64_t offset,
                             void *data,
                             size_t size,
                             size_t *out_read)
{
    (void)env;
    ensure(offset == 0 && size == SEGMENT_BYTES);
    memcpy(data, file->bytes, size);
    *out_read = size;
    return STATUS_OK;
}

static enum status disk_write(struct env *env,
                              struct env_file *file,
                              uint64_t offset,
                              struct bytes bytes)
{
    (void)env;
    ensure(offset <= SEGMENT_BYTES && bytes.size <= SEGMENT_BYTES - offset);
    if (bytes.size > 0) {
        memcpy(file->bytes + offset, bytes.data, bytes.size);
    }
    return STATUS_OK;
}

static enum status disk_sync(struct env *env, struct env_file *file)
{
    (void)env;
    (void)file;
    return STATUS_OK;
}

static void disk_close(struct env *env, struct env_file *file)
{
    (void)env;
    (void)file;
}

static const struct env_ops disk_ops = {
    .dir_list = disk_list,
    .dir_sync = disk_dir_sync,
    .file_open = disk_open,
    .file_size = disk_size,
    .file_read = disk_read,
    .file_write = disk_write,
    .file_sync = disk_sync,
    .file_close = disk_close,
};

/* ---- writing the log ------------------------------------------------------------------------- */

static void note_record(struct buf *text, const struct log_record *r, struct bytes payload)
{
    buf_printf(text,
               "%u %u %llu %llu %zu:",
               (unsigned)r->group,
               (unsigned)r->kind,
               (unsigned long long)r->term,
               (unsigned long long)r->index,
               payload.size);
    buf_append_bytes(text, payload);
}

static uint64_t salt_of(size_t segment)
{
    return 0x1234567800000000u + segment;
}

static void batch_clear(struct writer *w)
{
    buf_clear(&w->batch, SIZE_MAX);
    buf_clear(&w->pending, SIZE_MAX);
    (void)buf_reserve(&w->batch, LOG_BATCH_HEADER_BYTES);
    buf_extend(&w->batch, LOG_BATCH_HEADER_BYTES);
    w->batch_count = 0;
}

static void start_segment(struct writer *w)
{
    struct disk *disk = w->disk;
    struct log_segment_header h = {
        .id = disk->count + 1,
        .batch_first = w->batch_next,
        .salt = salt_of(disk->count),
        .size = SEGMENT_BYTES,
    };
    memcpy(h.node_id, node_id, sizeof node_id);
    w->starts[disk->count] = w->written.size;
    log_segment_header_encode(&h, disk->files[disk->count].bytes);
    disk->count++;
    w->offset = LOG_SEGMENT_HEADER_BYTES;
}

static void write_batch(struct writer *w, uint32_t flags)
{
    size_t segment = w->disk->count - 1;
    struct log_place place = {.segment = segment + 1, .salt = salt_of(segment)};
    struct log_batch_header h = {
        .number = w->batch_next++,
        .size = (uint32_t)(w->batch.size - LOG_BATCH_HEADER_BYTES),
        .count = w->batch_count,
        .flags = flags,
        .synced = {.segment = segment + 1, .offset = w->offset},
    };
    log_batch_seal(w->batch.data, &h, &place, w->offset);
    memcpy(w->disk->files[segment].bytes + w->offset, w->batch.data, w->batch.size);
    w->offset += w->batch.size;
    buf_append_bytes(&w->written, buf_bytes(&w->pending));
    batch_clear(w);
}

/* kind, group, term, index, size of the payload, the payload. */
static size_t add_record(struct writer *w, const uint8_t *data, size_t size)
{
    if (size < 5) {
        return size;
    }
    size_t payload_size = data[4] < size - 5 ? data[4] : size - 5;
    struct bytes payload = bytes_of(data + 5, payload_size);
    struct log_record r = {.kind = data[0], .group = data[1], .term = data[2], .index = data[3]};
    uint64_t end = w->offset + w->batch.size + log_record_size(payload_size);
    if (end + 2u * LOG_BATCH_HEADER_BYTES <= SEGMENT_BYTES) {
        w->is_bad = w->is_bad || log_record_check(&r, payload_size) != STATUS_OK;
        log_record_append(&w->batch, &r, payload);
        note_record(&w->pending, &r, payload);
        w->batch_count++;
    }
    return 5 + payload_size;
}

static bool has_room(const struct writer *w)
{
    return w->offset + w->batch.size + LOG_BATCH_HEADER_BYTES <= SEGMENT_BYTES;
}

/* segment, offset (two bytes), what is changed in that byte. */
static size_t spoil(struct writer *w, const uint8_t *data, size_t size)
{
    if (size < 4) {
        return size;
    }
    size_t offset = (size_t)data[1] + 256u * (size_t)data[2];
    w->disk->files[data[0] % w->disk->count].bytes[offset % SEGMENT_BYTES] ^= data[3];
    w->is_bad = w->is_bad || data[3] != 0;
    return 4;
}

/* Records that wait for their batch are written first. */
static void finish_batch(struct writer *w, uint32_t flags)
{
    if (w->batch_count > 0) {
        write_batch(w, 0);
    }
    if (flags != 0 && has_room(w)) {
        write_batch(w, flags);
    }
}

static void rotate(struct writer *w)
{
    if (w->disk->count == SEGMENTS_MAX) {
        return;
    }
    finish_batch(w, 0);
    if (has_room(w)) {
        write_batch(w, LOG_BATCH_SEAL);
        start_segment(w);
    }
}

static void release(struct writer *w)
{
    if (w->disk->first + 1 < w->disk->count) {
        w->disk->first++;
        w->first_written = w->starts[w->disk->first];
    }
}

static void run_script(struct writer *w, const uint8_t *data, size_t size)
{
    start_segment(w);
    for (size_t at = 0; at < size;) {
        switch (data[at++]) {
        case 'r':
            at += add_record(w, data + at, size - at);
            break;
        case 'b':
            finish_batch(w, 0);
            break;
        case 'm':
            if (w->offset + 3u * LOG_BATCH_HEADER_BYTES <= SEGMENT_BYTES) {
                finish_batch(w, LOG_BATCH_MARK);
            }
            break;
        case 's':
            rotate(w);
            break;
        case 'x':
            at += spoil(w, data + at, size - at);
            break;
        case 'd':
            release(w);
            break;
        default:
            break;
        }
    }
}

/* ---- recovery -------------------------------------------------------------------------------- */

static enum status on_replay(void *ctx,
                             const struct log_record *record,
                             struct bytes payload,
                             struct error *error)
{
    (void)error;
    note_record(ctx, record, payload);
    return STATUS_OK;
}

static enum status recover(struct disk *disk, struct log_tail *out_tail, struct buf *delivered)
{
    struct log_segments segments;
    struct error error;
    log_segments_init(&segments, GROUPS);
    buf_clear(delivered, SIZE_MAX);
    enum status s =
        log_recover(&disk->base, "d", node_id, on_replay, delivered, out_tail, &segments, &error);
    ensure(s == STATUS_OK || s == STATUS_CORRUPT || s == STATUS_UNSUPPORTED);
    if (s == STATUS_OK) {
        ensure(segments.count == disk->count - disk->first);
        ensure(log_segments_newest(&segments)->batch_last + 1 == out_tail->batch_next);
    }
    log_segments_deinit(&segments);
    return s;
}

static void check(struct writer *w, struct buf *delivered)
{
    struct disk *before = mem_alloc(sizeof *before);
    *before = *w->disk;
    struct bytes written =
        bytes_of(w->written.data + w->first_written, w->written.size - w->first_written);
    struct log_tail tail;
    enum status s = recover(w->disk, &tail, delivered);
    ensure(s == STATUS_OK || w->is_bad);
    if (s == STATUS_OK) {
        ensure(delivered->size <= written.size);
        ensure(delivered->size == 0 || memcmp(delivered->data, written.data, delivered->size) == 0);
        ensure(w->is_bad || (delivered->size == written.size && tail.cut_bytes == 0));
        size_t size = delivered->size;
        struct log_tail again;
        s = recover(w->disk, &again, delivered);
        ensure(s == STATUS_OK);
        ensure(again.cut_bytes == 0 && again.offset == tail.offset);
        ensure(again.batch_next == tail.batch_next && delivered->size == size);
    } else {
        ensure(memcmp(before->files, w->disk->files, sizeof before->files) == 0);
    }
    mem_free(before);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct disk *disk = mem_alloc_zero(sizeof *disk);
    disk->base.ops = &disk_ops;
    struct writer w = {.disk = disk, .batch_next = 1};
    struct buf delivered;
    buf_init(&w.batch, TEXT_BYTES_MAX);
    buf_init(&w.written, TEXT_BYTES_MAX);
    buf_init(&w.pending, TEXT_BYTES_MAX);
    buf_init(&delivered, TEXT_BYTES_MAX);
    (void)buf_reserve(&w.written, 1);
    batch_clear(&w);
    run_script(&w, data, size);
    check(&w, &delivered);
    buf_deinit(&w.batch);
    buf_deinit(&w.written);
    buf_deinit(&w.pending);
    buf_deinit(&delivered);
    mem_free(disk);
    return 0;
}
