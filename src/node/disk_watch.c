#include "node/disk_watch.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"

#define CHUNK_BYTES (256u * KIB)
#define FILE_NAME "reserve"
/* A look begins at once when this part of the reserve was written since the last one. */
#define WRITTEN_PART 8u

/* ---- the table ------------------------------------------------------------------------------- */

enum level {
    LEVEL_LOW,
    LEVEL_BETWEEN,
    LEVEL_HIGH,
    LEVEL_COUNT
};

/* Making the file must not bring the disk back below the reserve: neither state would last. */
static enum level level_of(const struct disk_look *look)
{
    if (look->free < look->reserve) {
        return LEVEL_LOW;
    }
    uint64_t high = look->reserve + look->reserve / 4 + (look->has_file ? 0 : look->file_bytes);
    return look->free > high ? LEVEL_HIGH : LEVEL_BETWEEN;
}

enum disk_state disk_judge(enum disk_state state,
                           const struct disk_look *look,
                           enum disk_action *out_action)
{
    static const struct {
        enum disk_state next;
        enum disk_action action;
    } table[DISK_STATE_FULL + 1][LEVEL_COUNT] = {
        [DISK_STATE_OK] =
            {
                [LEVEL_LOW] = {DISK_STATE_FULL, DISK_ACTION_RELEASE},
                [LEVEL_BETWEEN] = {DISK_STATE_OK, DISK_ACTION_NONE},
                [LEVEL_HIGH] = {DISK_STATE_OK, DISK_ACTION_RESERVE},
            },
        [DISK_STATE_FULL] =
            {
                [LEVEL_LOW] = {DISK_STATE_FULL, DISK_ACTION_RELEASE},
                [LEVEL_BETWEEN] = {DISK_STATE_FULL, DISK_ACTION_RELEASE},
                [LEVEL_HIGH] = {DISK_STATE_OK, DISK_ACTION_RESERVE},
            },
    };
    enum level level = level_of(look);
    enum disk_action action = table[state][level].action;
    bool is_needless = (action == DISK_ACTION_RESERVE && look->has_file) ||
                       (action == DISK_ACTION_RELEASE && !look->has_file);
    *out_action = is_needless ? DISK_ACTION_NONE : action;
    return table[state][level].next;
}

uint64_t disk_reserve(uint64_t asked, uint64_t total)
{
    if (asked > 0) {
        return asked;
    }
    uint64_t reserve = total / 100 * DISK_RESERVE_PERCENT;
    reserve = reserve < DISK_RESERVE_BYTES_MAX ? reserve : DISK_RESERVE_BYTES_MAX;
    reserve = reserve > DISK_RESERVE_BYTES_MIN ? reserve : DISK_RESERVE_BYTES_MIN;
    return reserve < total / 4 ? reserve : total / 4;
}

uint64_t disk_start_bytes(uint64_t reserve, uint64_t total)
{
    uint64_t of_disk = total / DISK_START_PART;
    uint64_t of_reserve = reserve / DISK_START_RESERVE_PART;
    uint64_t bytes = of_disk > of_reserve ? of_disk : of_reserve;
    return bytes < DISK_START_BYTES_MAX ? bytes : DISK_START_BYTES_MAX;
}

static uint64_t file_bytes_of(uint64_t reserve)
{
    uint64_t half = reserve / 2;
    return half < DISK_RESERVE_FILE_BYTES_MAX ? half : DISK_RESERVE_FILE_BYTES_MAX;
}

/* ---- the file -------------------------------------------------------------------------------- */

static void path_of(const struct disk_watch *w, char out_path[DISK_PATH_BYTES])
{
    int size = snprintf(out_path, DISK_PATH_BYTES, "%s/%s", w->dir, FILE_NAME);
    ensure(size > 0 && (unsigned)size < DISK_PATH_BYTES);
}

/* From its end on: what an earlier process did not finish is finished. */
static enum status fill(struct disk_watch *w, struct env_file *file)
{
    uint64_t size = 0;
    enum status s = env_file_size(w->env, file, &size);
    uint8_t *zeros = mem_alloc_zero(CHUNK_BYTES);
    while (s == STATUS_OK && size < w->look.file_bytes) {
        uint64_t left = w->look.file_bytes - size;
        size_t chunk = left < CHUNK_BYTES ? (size_t)left : CHUNK_BYTES;
        s = env_file_write(w->env, file, size, bytes_of(zeros, chunk));
        size += chunk;
    }
    mem_free(zeros);
    return s == STATUS_OK ? env_file_sync(w->env, file) : s;
}

static enum status release_file(struct disk_watch *w)
{
    char path[DISK_PATH_BYTES];
    path_of(w, path);
    enum status s = env_file_remove(w->env, path);
    if (s == STATUS_OK || s == STATUS_NOT_FOUND) {
        w->look.has_file = false;
        return STATUS_OK;
    }
    return s;
}

static enum status make_file(struct disk_watch *w)
{
    char path[DISK_PATH_BYTES];
    path_of(w, path);
    struct env_file *file = NULL;
    enum status s = env_file_open(w->env, path, ENV_OPEN_CREATE, &file);
    if (s == STATUS_EXISTS) {
        s = env_file_open(w->env, path, ENV_OPEN_WRITE, &file);
    }
    if (s == STATUS_OK) {
        s = fill(w, file);
    }
    env_file_close(w->env, file);
    if (s == STATUS_OK) {
        w->look.has_file = true;
        return s;
    }
    enum status released = release_file(w);
    return released == STATUS_OK ? s : released;
}

/* The file of an earlier process counts if it is whole; half of one is of no use. */
static enum status find_file(struct disk_watch *w)
{
    char path[DISK_PATH_BYTES];
    path_of(w, path);
    struct env_file *file = NULL;
    uint64_t size = 0;
    enum status s = env_file_open(w->env, path, ENV_OPEN_READ, &file);
    if (s == STATUS_NOT_FOUND) {
        return STATUS_OK;
    }
    if (s != STATUS_OK) {
        return s;
    }
    s = env_file_size(w->env, file, &size);
    env_file_close(w->env, file);
    w->look.has_file = s == STATUS_OK && size >= w->look.file_bytes;
    return s == STATUS_OK && !w->look.has_file ? release_file(w) : s;
}

/* ---- looking --------------------------------------------------------------------------------- */

/* may_reserve: else the file may only go. */
static void look(struct disk_watch *w, bool may_reserve)
{
    w->next = w->from;
    w->look_released = 0;
    w->status = env_dir_space(w->env, w->dir, &w->look.free, &w->look_total);
    if (w->status != STATUS_OK) {
        return;
    }
    if (w->look.reserve == 0) {
        w->look.reserve = disk_reserve(w->asked, w->look_total);
        w->look.file_bytes = file_bytes_of(w->look.reserve);
        w->status = find_file(w);
        if (w->status != STATUS_OK) {
            return;
        }
    }
    enum disk_action action = DISK_ACTION_NONE;
    w->next = disk_judge(w->from, &w->look, &action);
    if (action == DISK_ACTION_RELEASE) {
        w->status = release_file(w);
        w->look_released = w->status == STATUS_OK ? w->look.file_bytes : 0;
        w->has_given_up = false;
    } else if (action == DISK_ACTION_RESERVE && may_reserve && !w->has_given_up) {
        w->status = make_file(w);
        w->has_given_up = w->status != STATUS_OK && w->from == DISK_STATE_OK;
        w->next = w->status == STATUS_OK ? w->next : w->from;
    }
}

static void log_state(struct disk_watch *w)
{
    bool is_full = w->state == DISK_STATE_FULL;
    env_log(w->env,
            is_full ? ENV_LEVEL_WARNING : ENV_LEVEL_INFO,
            "%s data=%s free_bytes=%" PRIu64 " reserve_bytes=%" PRIu64 "%s",
            is_full ? "disk full" : "disk has space again",
            w->dir,
            w->free,
            w->reserve,
            is_full ? ": writes are refused until more is free" : "");
}

static void move(struct disk_watch *w, enum disk_state next)
{
    if (w->state != next) {
        w->state = next;
        log_state(w);
        w->changed(w->owner, next == DISK_STATE_FULL);
    }
}

/* On the loop: takes over what a look found. */
static void take_look(struct disk_watch *w)
{
    w->free = w->look.free;
    w->total = w->look_total;
    w->reserve = w->look.reserve;
    w->released = w->look_released;
    w->looks++;
    if (w->status != STATUS_OK && w->status != STATUS_NO_SPACE) {
        env_halt(w->env, "%s: the disk cannot be used: %s", w->dir, status_text(w->status));
    }
}

static void begin_look(struct disk_watch *w)
{
    ensure(!w->is_running);
    env_timer_stop(w->env, &w->timer);
    w->written = 0;
    w->is_again = false;
    w->is_running = true;
    w->from = w->state;
    env_work_submit(w->env, &w->work);
}

static void look_run(struct env_work *work)
{
    look(container_of(work, struct disk_watch, work), true);
}

static void look_done(struct env_work *work)
{
    struct disk_watch *w = container_of(work, struct disk_watch, work);
    w->is_running = false;
    take_look(w);
    if (w->is_stopping || w->env->is_halted) {
        return;
    }
    if (w->is_again) {
        begin_look(w); /* what was seen is older than what is known */
        return;
    }
    env_timer_start(w->env, &w->timer, DISK_WATCH_MS);
    if (!w->is_failing || w->next == DISK_STATE_FULL) {
        move(w, w->next);
    }
}

static void timer_due(struct env_timer *timer)
{
    begin_look(container_of(timer, struct disk_watch, timer));
}

/* ---- life ------------------------------------------------------------------------------------ */

void disk_watch_init(struct disk_watch *w,
                     struct env *env,
                     const char *dir,
                     uint64_t reserve,
                     void (*changed)(void *owner, bool is_full),
                     void *owner)
{
    *w = (struct disk_watch){
        .env = env,
        .asked = reserve,
        .changed = changed,
        .owner = owner,
        .timer = {.cb = timer_due},
        .work = {.run = look_run, .done = look_done},
    };
    int size = snprintf(w->dir, sizeof w->dir, "%s", dir);
    ensure(size > 0 && (size_t)size + sizeof "/" FILE_NAME <= sizeof w->dir);
}

void disk_watch_look(struct disk_watch *w)
{
    ensure(!w->is_started);
    look(w, false);
    take_look(w);
    if (w->state != w->next) {
        w->state = w->next;
        log_state(w);
    }
}

void disk_watch_start(struct disk_watch *w)
{
    ensure(!w->is_started);
    w->is_started = true;
    begin_look(w);
}

void disk_watch_wrote(struct disk_watch *w, uint64_t bytes)
{
    w->written += bytes;
    bool can_look = w->is_started && !w->is_stopping && !w->is_running;
    if (can_look && w->written > w->reserve / WRITTEN_PART) {
        begin_look(w);
    }
}

void disk_watch_set_failing(struct disk_watch *w, bool is_failing)
{
    if (w->is_failing == is_failing || w->is_stopping) {
        return;
    }
    w->is_failing = is_failing;
    if (!is_failing || w->state == DISK_STATE_FULL) {
        return;
    }
    reached("node: no space before the disk watch saw it");
    move(w, DISK_STATE_FULL);
    if (w->is_running) {
        w->is_again = true;
    } else if (w->is_started) {
        begin_look(w);
    }
}

bool disk_watch_is_full(const struct disk_watch *w)
{
    return w->state == DISK_STATE_FULL;
}

void disk_watch_stop(struct disk_watch *w)
{
    w->is_stopping = true;
    env_timer_stop(w->env, &w->timer);
}

bool disk_watch_is_busy(const struct disk_watch *w)
{
    return w->is_running;
}
