/* What the tests of recovery share: a log that was left behind, damaged copies of it, and checks.
 */
#ifndef LOG_LOG_PAIR_H
#define LOG_LOG_PAIR_H

#include <stdio.h>

#include "log_world.h"

#define FIRST LOG_SEGMENT_HEADER_BYTES

/* A log that was left behind, and a world that starts with a copy of it. */
struct pair {
    struct log_world left;
    struct log_world next;
};

static inline void pair_init(struct pair *p)
{
    world_init(&p->left);
    world_init(&p->next);
    world_open(&p->left);
    CHECK_EQ(p->left.status, STATUS_OK);
}

static inline void pair_deinit(struct pair *p)
{
    world_deinit(&p->left);
    world_deinit(&p->next);
}

static inline void remove_file(struct log_world *w, const char *path)
{
    CHECK_EQ(env_file_remove(&w->env.base, path), STATUS_OK);
}

/*
 * The next world gets the segments as they were left; the caller damages them, then reopens. Files
 * that are no segments yet stay behind: recovery removes them in any case.
 */
static inline void copy_files(struct pair *p)
{
    if (p->next.log.env != NULL) {
        world_die(&p->next);
    }
    fake_env_copy_files(&p->next.env, &p->left.env);
    p->next.env.fail_at = 0;
    for (uint64_t id = 2; id < 10; id++) {
        char unfinished[LOG_PATH_BYTES];
        log_segment_path(unfinished, DIR, id, LOG_NEW_SUFFIX);
        if (fake_env_file(&p->next.env, unfinished) != NULL) {
            remove_file(&p->next, unfinished);
        }
    }
    fake_env_forget(&p->next.env);
}

/* Batches "1=one", "2=two" and, in one batch, "3=three---", "4=four----". Returns the ends. */
static inline void three_batches(struct pair *p, uint64_t out_ends[3])
{
    world_batch(&p->left, "one-----");
    out_ends[0] = p->left.log.offset;
    world_batch(&p->left, "two-----");
    out_ends[1] = p->left.log.offset;
    (void)world_append_text(&p->left, "three---");
    world_batch(&p->left, "four----");
    out_ends[2] = p->left.log.offset;
}

#define TWO_BATCHES "1=one-----;2=two-----;"
#define THREE_BATCHES TWO_BATCHES "3=three---;4=four----;"

static inline void check_replayed(struct log_world *w, const char *text)
{
    CHECK_EQ(w->status, STATUS_OK);
    CHECK_BYTES(buf_bytes(&w->replayed), bytes_of_text(text));
}

static inline void check_zero_from(struct log_world *w, const char *path, uint64_t from)
{
    const struct buf *file = world_file(w, path);
    for (uint64_t i = from; i < file->size; i++) {
        CHECK_EQ(file->data[i], 0);
    }
}

/* Damage was found, the error says what to do, and the disk is as it was. */
static inline void open_is_refused(struct log_world *w, enum status status)
{
    struct fake_env before;
    fake_env_init(&before);
    fake_env_copy_files(&before, &w->env);
    world_open(w);
    CHECK_EQ(w->status, status);
    CHECK_EQ(w->error.code, status);
    CHECK(strstr(w->error.text, "segment 00000000") != NULL);
    CHECK(fake_env_same_files(&before, &w->env));
    fake_env_deinit(&before);
}

/* The log goes on behind what was kept. */
static inline void goes_on(struct log_world *w, const char *kept)
{
    char text[256];
    world_batch(w, "new");
    world_die(w);
    world_open(w);
    CHECK_EQ(w->log.stats.cut_bytes, 0u);
    (void)snprintf(text, sizeof text, "%s%llu=new;", kept, (unsigned long long)w->index);
    check_replayed(w, text);
}

/* Each of these bytes, changed in the first segment, is damage. */
static inline void bad_byte_is_damage(struct pair *p, uint64_t from, uint64_t to)
{
    for (uint64_t at = from; at < to; at++) {
        copy_files(p);
        world_file(&p->next, SEGMENT_1)->data[at] ^= 0xff;
        open_is_refused(&p->next, STATUS_CORRUPT);
    }
}

/* A log whose next batch rotates; the file call `call` of that rotation fails, the node halts. */
static inline uint64_t halted_rotation(struct pair *p, uint64_t call)
{
    while (p->left.log.offset + 600 + LOG_BATCH_HEADER_BYTES <= LOG_SEGMENT_BYTES_MIN) {
        (void)world_append_size(&p->left, 500);
        log_flush(&p->left.log);
        fake_env_run_all(&p->left.env);
    }
    uint64_t records = p->left.index;
    (void)world_append_size(&p->left, 500);
    log_flush(&p->left.log);
    p->left.env.fail_at = call == 0 ? 0 : p->left.env.operations + call;
    fake_env_run_all(&p->left.env);
    CHECK_EQ(p->left.env.base.is_halted, call != 0);
    return records;
}

#endif
