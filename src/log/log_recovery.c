/*
 * The cut rule in one place. A batch is written only after the one before it was synced (LOG-1), so
 * any valid piece of a later batch proves that a bad one had been synced: damage, never cut. What
 * is bad, last and unproven had no returned sync, so nothing that depended on it left this node
 * (LOG-5).
 */
#include "log/log_recovery.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"

#define SEGMENT_NAME_FORMAT "%016" PRIx64 ".log"
#define SEGMENT_NAME_BYTES 32u
#define ZERO_BYTES (64u * 1024u)

struct recovery {
    struct env *env;
    const char *dir;
    const uint8_t *node_id;
    log_replay_fn replay;
    void *replay_ctx;
    struct error *error;
    struct log_segments *segments;
    uint64_t *ids;
    size_t id_count;
    uint64_t batch_expected;
    uint64_t cannot_remove; /* id of an unfinished segment that resisted; 0 is none */
};

/* One segment in memory. */
struct segment {
    struct log_segment_header header;
    struct log_place place;
    uint8_t *bytes;
    uint64_t size;
    uint64_t last;  /* where the last whole batch begins; 0: there is none */
    uint64_t end;   /* behind the last whole batch */
    bool is_sealed; /* that batch is a seal */
};

void log_segment_path(char out_path[LOG_PATH_BYTES],
                      const char *dir,
                      uint64_t id,
                      const char *suffix)
{
    int size = snprintf(out_path, LOG_PATH_BYTES, "%s/" SEGMENT_NAME_FORMAT "%s", dir, id, suffix);
    ensure(size > 0 && (unsigned)size < LOG_PATH_BYTES);
}

static enum status damaged(struct recovery *r, uint64_t id, uint64_t offset, const char *what)
{
    return error_set(r->error,
                     STATUS_CORRUPT,
                     "segment %016" PRIx64 " at byte %" PRIu64 ": %s. The log is damaged; this "
                     "copy of the data must not be used",
                     id,
                     offset,
                     what);
}

static enum status io_failed(struct recovery *r, uint64_t id, const char *what)
{
    return error_set(r->error, STATUS_IO, "segment %016" PRIx64 ": %s failed", id, what);
}

/* ---- the list of segments ------------------------------------------------------------------- */

/* The id in a segment's file name; 0 for any other spelling. */
static uint64_t id_of_name(const char *name, const char *suffix)
{
    uint64_t id = strtoull(name, NULL, 16);
    char exact[SEGMENT_NAME_BYTES];
    (void)snprintf(exact, sizeof exact, SEGMENT_NAME_FORMAT "%s", id, suffix);
    return strcmp(name, exact) == 0 ? id : 0;
}

static void note_name(void *ctx, const char *name)
{
    struct recovery *r = ctx;
    uint64_t id = id_of_name(name, "");
    if (id > 0) {
        r->ids = mem_realloc(r->ids, (r->id_count + 1) * sizeof r->ids[0]);
        r->ids[r->id_count++] = id;
        return;
    }
    id = id_of_name(name, LOG_NEW_SUFFIX);
    if (id > 0) {
        char path[LOG_PATH_BYTES];
        log_segment_path(path, r->dir, id, LOG_NEW_SUFFIX);
        if (env_file_remove(r->env, path) != STATUS_OK) {
            r->cannot_remove = id;
        }
    }
}

static enum status list_segments(struct recovery *r)
{
    enum status s = env_dir_list(r->env, r->dir, note_name, r);
    if (s != STATUS_OK) {
        return error_set(r->error, s, "%s: cannot list", r->dir);
    }
    if (r->cannot_remove != 0) {
        return io_failed(r, r->cannot_remove, "removal of its unfinished file");
    }
    for (size_t i = 1; i < r->id_count; i++) {
        ensure(r->ids[i] > r->ids[i - 1]); /* the list comes in byte order */
        if (r->ids[i] != r->ids[i - 1] + 1) {
            return damaged(r, r->ids[i - 1] + 1, 0, "the segment is missing");
        }
    }
    return STATUS_OK;
}

/* ---- one segment ----------------------------------------------------------------------------- */

static enum status read_segment(struct recovery *r, uint64_t id, struct segment *out_segment)
{
    char path[LOG_PATH_BYTES];
    log_segment_path(path, r->dir, id, "");
    struct env_file *file = NULL;
    enum status s = env_file_open(r->env, path, ENV_OPEN_WRITE, &file);
    if (s != STATUS_OK) {
        return io_failed(r, id, "open");
    }
    struct segment seg = {0};
    s = env_file_size(r->env, file, &seg.size);
    if (s == STATUS_OK) {
        size_t got = 0;
        seg.bytes = mem_alloc((size_t)seg.size);
        s = env_file_read(r->env, file, 0, seg.bytes, (size_t)seg.size, &got);
        if (s == STATUS_OK && got != seg.size) {
            s = STATUS_IO;
        }
    }
    if (s == STATUS_OK) {
        /* Before anything in it is acted on (LOG-8): it may stand in the page cache only. */
        s = env_file_sync(r->env, file);
    }
    env_file_close(r->env, file);
    if (s != STATUS_OK) {
        mem_free(seg.bytes);
        return io_failed(r, id, "read");
    }
    *out_segment = seg;
    return STATUS_OK;
}

static enum status check_header(struct recovery *r, uint64_t id, struct segment *seg)
{
    if (seg->size < LOG_SEGMENT_HEADER_BYTES) {
        return damaged(r, id, 0, "the segment is shorter than its header");
    }
    enum status s = log_segment_header_decode(seg->bytes, &seg->header);
    if (s == STATUS_UNSUPPORTED) {
        return error_set(r->error,
                         s,
                         "segment %016" PRIx64 ": written by another version; upgrade this node",
                         id);
    }
    if (s != STATUS_OK || seg->header.id != id) {
        return damaged(r, id, 0, "the segment header is damaged");
    }
    if (seg->size < seg->header.size) {
        return damaged(r, id, seg->size, "the end of the file is missing");
    }
    if (memcmp(seg->header.node_id, r->node_id, LOG_NODE_ID_BYTES) != 0) {
        return damaged(r,
                       id,
                       0,
                       "the segment belongs to another node, or to an earlier life of it");
    }
    seg->place = (struct log_place){.segment = id, .salt = seg->header.salt};
    return STATUS_OK;
}

/* True if a whole, valid batch with the expected number starts at offset. */
static bool batch_is_whole(const struct segment *seg,
                           uint64_t offset,
                           uint64_t expected,
                           struct log_batch_header *out_header)
{
    struct log_batch_header h;
    if (!log_batch_decode(seg->bytes, seg->size, offset, &seg->place, &h) || h.number != expected ||
        h.size > seg->size - offset - LOG_BATCH_HEADER_BYTES) {
        return false;
    }
    uint64_t at = offset + LOG_BATCH_HEADER_BYTES;
    uint64_t end = at + h.size;
    for (uint32_t i = 0; i < h.count; i++) {
        uint64_t number = 0;
        struct log_record record;
        struct bytes payload;
        if (!log_record_decode(seg->bytes, end, at, &seg->place, &number, &record, &payload) ||
            number != expected) {
            return false;
        }
        at += log_record_size(payload.size);
    }
    *out_header = h;
    return at == end;
}

static enum status check_record(struct recovery *r,
                                uint64_t id,
                                uint64_t offset,
                                const struct log_record *record,
                                struct bytes payload)
{
    enum status s = log_record_check(record, payload.size);
    if (s == STATUS_UNSUPPORTED) {
        return error_set(r->error,
                         s,
                         "segment %016" PRIx64 ": record kind %u is unknown; upgrade this node",
                         id,
                         (unsigned)record->kind);
    }
    return s == STATUS_OK ? STATUS_OK : damaged(r, id, offset, "a record contradicts its kind");
}

typedef enum status (*visit_fn)(struct recovery *r,
                                const struct segment *seg,
                                uint64_t offset,
                                const struct log_record *record,
                                struct bytes payload);

/* Checks one record and counts it in; nobody hears of it yet. */
static enum status note_record(struct recovery *r,
                               const struct segment *seg,
                               uint64_t offset,
                               const struct log_record *record,
                               struct bytes payload)
{
    enum status s = check_record(r, seg->header.id, offset, record, payload);
    if (s == STATUS_OK) {
        struct log_segment *about = log_segments_newest(r->segments);
        log_tops_note(about->tops, r->segments->group_count, record);
        about->has_start = about->has_start || record->kind == LOG_KIND_GROUP;
    }
    return s;
}

static enum status deliver_record(struct recovery *r,
                                  const struct segment *seg,
                                  uint64_t offset,
                                  const struct log_record *record,
                                  struct bytes payload)
{
    (void)seg;
    (void)offset;
    return r->replay(r->replay_ctx, record, payload, r->error);
}

/* Each record of the batch at *at, which is whole; *at moves behind the batch. */
static enum status each_record(struct recovery *r,
                               const struct segment *seg,
                               uint64_t *at,
                               visit_fn visit)
{
    struct log_batch_header h;
    bool is_batch = log_batch_decode(seg->bytes, seg->size, *at, &seg->place, &h);
    ensure(is_batch);
    *at += LOG_BATCH_HEADER_BYTES;
    for (uint32_t i = 0; i < h.count; i++) {
        uint64_t number = 0;
        struct log_record record;
        struct bytes payload;
        bool is_valid =
            log_record_decode(seg->bytes, seg->size, *at, &seg->place, &number, &record, &payload);
        ensure(is_valid); /* batch_is_whole said so */
        enum status s = visit(r, seg, *at, &record, payload);
        if (s != STATUS_OK) {
            return s;
        }
        *at += log_record_size(payload.size);
    }
    return STATUS_OK;
}

/* Finds the end of what is whole. */
static enum status scan_segment(struct recovery *r, struct segment *seg)
{
    if (seg->header.batch_first != r->batch_expected) {
        return damaged(r, seg->header.id, 0, "batches before this segment are missing");
    }
    struct log_segment *about = log_segments_add(r->segments, &seg->header, seg->size);
    struct log_batch_header h;
    while (!seg->is_sealed && batch_is_whole(seg, seg->end, r->batch_expected, &h)) {
        seg->last = seg->end;
        enum status s = each_record(r, seg, &seg->end, note_record);
        if (s != STATUS_OK) {
            return s;
        }
        seg->is_sealed = (h.flags & LOG_BATCH_SEAL) != 0;
        about->batch_last = r->batch_expected++;
    }
    return STATUS_OK;
}

/*
 * Only now, settled: whoever hears of a record may act on it, and no crash from here on can take it
 * away (LOG-8).
 */
static enum status deliver_segment(struct recovery *r, const struct segment *seg)
{
    enum status s = STATUS_OK;
    for (uint64_t at = LOG_SEGMENT_HEADER_BYTES; at < seg->end && s == STATUS_OK;) {
        s = each_record(r, seg, &at, deliver_record);
    }
    return s;
}

/* ---- the cut rule ---------------------------------------------------------------------------- */

static bool rest_is_zero(const struct segment *seg)
{
    for (uint64_t i = seg->end; i < seg->size; i++) {
        if (seg->bytes[i] != 0) {
            return false;
        }
    }
    return true;
}

/* Any valid piece, header or record, of a batch after `number` behind the good part (LOG-4). */
static bool has_later_piece(const struct segment *seg, uint64_t number)
{
    for (uint64_t at = seg->end; at < seg->size; at += 8) {
        struct log_batch_header h;
        if (log_batch_decode(seg->bytes, seg->size, at, &seg->place, &h) && h.number > number) {
            return true;
        }
        uint64_t batch = 0;
        struct log_record record;
        struct bytes payload;
        if (log_record_decode(seg->bytes, seg->size, at, &seg->place, &batch, &record, &payload) &&
            batch > number) {
            return true;
        }
    }
    return false;
}

static enum status open_for_writing(struct recovery *r,
                                    const struct segment *seg,
                                    struct env_file **out_file)
{
    char path[LOG_PATH_BYTES];
    log_segment_path(path, r->dir, seg->header.id, "");
    return env_file_open(r->env, path, ENV_OPEN_WRITE, out_file);
}

/*
 * The newest batch may be one whose sync failed: then the page cache shows it, the disk does not
 * have it, and the kernel holds the pages for clean, so syncing again saves nothing. Writing the
 * same bytes once more does. Only the newest can be meant, as its failure ended the process (LOG-1,
 * LOG-16).
 */
static enum status rewrite_last_batch(struct recovery *r, const struct segment *seg)
{
    struct env_file *file = NULL;
    enum status s = open_for_writing(r, seg, &file);
    if (s == STATUS_OK) {
        struct bytes batch = bytes_of(seg->bytes + seg->last, (size_t)(seg->end - seg->last));
        s = env_file_write(r->env, file, seg->last, batch);
        if (s == STATUS_OK) {
            s = env_file_sync(r->env, file);
        }
        env_file_close(r->env, file);
    }
    return s == STATUS_OK ? STATUS_OK : io_failed(r, seg->header.id, "write");
}

/* Zeros from `end` on, then, if asked, the missing seal at `end`; all synced (LOG-9). */
static enum status clean_tail(struct recovery *r, const struct segment *seg, bool with_seal)
{
    struct env_file *file = NULL;
    if (open_for_writing(r, seg, &file) != STATUS_OK) {
        return io_failed(r, seg->header.id, "open");
    }
    uint8_t *zeros = mem_alloc_zero(ZERO_BYTES);
    enum status s = STATUS_OK;
    for (uint64_t at = seg->end; at < seg->size && s == STATUS_OK; at += ZERO_BYTES) {
        uint64_t left = seg->size - at;
        s = env_file_write(r->env,
                           file,
                           at,
                           bytes_of(zeros, left < ZERO_BYTES ? (size_t)left : ZERO_BYTES));
    }
    if (s == STATUS_OK) {
        s = env_file_sync(r->env, file);
    }
    if (s == STATUS_OK && with_seal) {
        uint8_t seal[LOG_BATCH_HEADER_BYTES];
        struct log_batch_header h = {
            .number = r->batch_expected,
            .flags = LOG_BATCH_SEAL,
            .synced = {.segment = seg->header.id, .offset = seg->end},
        };
        log_batch_seal(seal, &h, &seg->place, seg->end);
        s = env_file_write(r->env, file, seg->end, bytes_of(seal, sizeof seal));
        if (s == STATUS_OK) {
            s = env_file_sync(r->env, file);
        }
    }
    mem_free(zeros);
    env_file_close(r->env, file);
    return s == STATUS_OK ? STATUS_OK : io_failed(r, seg->header.id, "write");
}

/* The last segment: what follows the good part is nothing, or torn and may be cut, or damage. */
static enum status settle_last(struct recovery *r,
                               const struct segment *seg,
                               struct log_tail *out_tail)
{
    if (seg->is_sealed) {
        return damaged(r, seg->header.id + 1, 0, "the segment is missing");
    }
    uint64_t cut = 0;
    if (!rest_is_zero(seg)) {
        if (has_later_piece(seg, r->batch_expected)) {
            return damaged(r, seg->header.id, seg->end, "a batch that had been synced is bad");
        }
        reached("log: torn tail cut");
        cut = seg->size - seg->end;
        enum status s = clean_tail(r, seg, false);
        if (s != STATUS_OK) {
            return s;
        }
    }
    if (seg->last > 0) {
        enum status s = rewrite_last_batch(r, seg);
        if (s != STATUS_OK) {
            return s;
        }
    }
    *out_tail = (struct log_tail){
        .segment = seg->header,
        .offset = seg->end,
        .batch_next = r->batch_expected,
        .cut_bytes = cut,
    };
    return STATUS_OK;
}

/*
 * A segment with a successor ends in a seal. The one seal that may be missing or torn is that of
 * the last segment but one while the last is still empty: the crash came between the two (LOG-10).
 * The successor's header knows the seal's number, so a lost batch is not mistaken for it.
 */
static enum status settle_inner(struct recovery *r,
                                const struct segment *seg,
                                const struct segment *next)
{
    bool next_is_last = next->header.id == r->ids[r->id_count - 1];
    if (seg->is_sealed) {
        /* The seal is the newest batch as long as nothing stands behind it. */
        return next_is_last && rest_is_zero(next) ? rewrite_last_batch(r, seg) : STATUS_OK;
    }
    if (!next_is_last || !rest_is_zero(next) || next->header.batch_first != r->batch_expected + 1 ||
        has_later_piece(seg, r->batch_expected)) {
        return damaged(r, seg->header.id, seg->end, "a batch that had been synced is bad");
    }
    reached("log: missing seal written again");
    enum status s = clean_tail(r, seg, true);
    if (s == STATUS_OK) {
        log_segments_newest(r->segments)->batch_last = r->batch_expected++;
    }
    return s;
}

/* ---- the whole log --------------------------------------------------------------------------- */

static enum status load(struct recovery *r, size_t i, struct segment *out_segment)
{
    struct segment seg = {0};
    enum status s = read_segment(r, r->ids[i], &seg);
    if (s == STATUS_OK) {
        s = check_header(r, r->ids[i], &seg);
        if (s != STATUS_OK) {
            mem_free(seg.bytes);
        }
    }
    if (s == STATUS_OK) {
        if (i == 0) {
            r->batch_expected = seg.header.batch_first;
        }
        seg.end = LOG_SEGMENT_HEADER_BYTES;
        *out_segment = seg;
    }
    return s;
}

static enum status recover_segments(struct recovery *r, struct log_tail *out_tail)
{
    struct segment seg;
    enum status s = load(r, 0, &seg);
    if (s != STATUS_OK) {
        return s;
    }
    for (size_t i = 0; i + 1 < r->id_count && s == STATUS_OK; i++) {
        s = scan_segment(r, &seg);
        struct segment next;
        if (s == STATUS_OK) {
            s = load(r, i + 1, &next);
        }
        if (s == STATUS_OK) {
            s = settle_inner(r, &seg, &next);
            if (s == STATUS_OK) {
                s = deliver_segment(r, &seg);
            }
            mem_free(seg.bytes);
            seg = next;
        }
    }
    if (s == STATUS_OK) {
        s = scan_segment(r, &seg);
    }
    if (s == STATUS_OK) {
        s = settle_last(r, &seg, out_tail);
    }
    if (s == STATUS_OK) {
        s = deliver_segment(r, &seg);
    }
    mem_free(seg.bytes);
    return s;
}

enum status log_recover(struct env *env,
                        const char *dir,
                        const uint8_t node_id[LOG_NODE_ID_BYTES],
                        log_replay_fn replay,
                        void *replay_ctx,
                        struct log_tail *out_tail,
                        struct log_segments *segments,
                        struct error *error)
{
    struct recovery r = {
        .env = env,
        .dir = dir,
        .node_id = node_id,
        .replay = replay,
        .replay_ctx = replay_ctx,
        .error = error,
        .segments = segments,
    };
    struct log_tail tail = {.is_empty = true};
    enum status s = list_segments(&r);
    /* Before anything is written: a seal must find its successor's name durable (LOG-8, LOG-10). */
    if (s == STATUS_OK && env_dir_sync(env, dir) != STATUS_OK) {
        s = error_set(error, STATUS_IO, "%s: sync failed", dir);
    }
    if (s == STATUS_OK && r.id_count > 0) {
        s = recover_segments(&r, &tail);
    }
    mem_free(r.ids);
    if (s == STATUS_OK) {
        *out_tail = tail;
    }
    return s;
}
