/* Segments that go, and a disk without room for the next one. */
#include "log_pair.h"

static void path_of(char out_path[LOG_PATH_BYTES], uint64_t id)
{
    log_segment_path(out_path, DIR, id, "");
}

static void fill_up_to(struct log_world *w, uint64_t id)
{
    while (w->log.segment.id < id) {
        (void)world_append_size(w, 500);
        log_flush(&w->log);
        fake_env_run_all(&w->env);
    }
    fake_env_forget(&w->env);
}

static uint64_t bytes_on_disk(const struct fake_env *f)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < f->file_count; i++) {
        bytes += f->files[i]->bytes.size;
    }
    return bytes;
}

/* ---- release --------------------------------------------------------------------------------- */

/* Oldest first; each removal is durable before the next, so a crash leaves no gap. */
TEST(released_oldest_first)
{
    struct log_world w;
    world_init(&w);
    world_open(&w);
    fill_up_to(&w, 4);
    log_release(&w.log, 2);
    CHECK_TEXT(fake_env_events(&w.env), ""); /* not on the loop */
    CHECK_EQ(log_segment_oldest(&w.log), 1u);
    fake_env_run_all(&w.env);
    CHECK_TEXT(fake_env_events(&w.env),
               "remove 0000000000000001.log\n"
               "dir_sync log\n"
               "remove 0000000000000002.log\n"
               "dir_sync log\n");
    CHECK_EQ(log_segment_oldest(&w.log), 3u);
    CHECK_EQ(log_segment_newest(&w.log), 4u);
    CHECK_EQ(w.log.stats.released, 2u);
    CHECK_EQ(w.log.stats.segments, 2u);
    log_release(&w.log, 2);
    CHECK_EQ(w.env.job_count, 0u);
    world_deinit(&w);
}

/* While one release runs others may come, and batches go on. */
TEST(release_beside_batches)
{
    struct log_world w;
    world_init(&w);
    world_open(&w);
    fill_up_to(&w, 5);
    log_release(&w.log, 1);
    log_release(&w.log, 3);
    log_release(&w.log, 2);
    CHECK_EQ(w.env.job_count, 1u);
    uint64_t batch = world_append_text(&w, "beside");
    log_flush(&w.log);
    CHECK_EQ(w.env.job_count, 2u);
    CHECK(fake_env_run(&w.env));
    CHECK_EQ(log_segment_oldest(&w.log), 2u);
    fake_env_run_all(&w.env);
    CHECK(w.durable_to >= batch);
    CHECK_EQ(log_segment_oldest(&w.log), 4u);
    CHECK_EQ(w.log.stats.released, 3u);
    world_deinit(&w);
}

TEST(file_already_gone)
{
    struct log_world w;
    world_init(&w);
    world_open(&w);
    fill_up_to(&w, 3);
    remove_file(&w, SEGMENT_1);
    log_release(&w.log, 2);
    fake_env_run_all(&w.env);
    CHECK(!w.env.base.is_halted);
    CHECK(fake_env_file(&w.env, SEGMENT_2) == NULL);
    world_deinit(&w);
}

TEST(close_waits_for_the_release)
{
    struct log_world w;
    world_init(&w);
    world_open(&w);
    fill_up_to(&w, 4);
    world_idle(&w);
    log_release(&w.log, 1);
    log_release(&w.log, 2); /* not begun: not waited for */
    log_close(&w.log, on_closed);
    CHECK(!w.is_closed);
    fake_env_run_all(&w.env);
    CHECK(w.is_closed);
    CHECK(fake_env_file(&w.env, SEGMENT_1) == NULL);
    CHECK(fake_env_file(&w.env, SEGMENT_2) != NULL);
    world_deinit(&w);
}

/* Stopped at any file call of a release: nothing above is lost, the log goes on. */
TEST(release_stopped_anywhere)
{
    for (uint64_t call = 1; call <= 7; call++) {
        struct pair p;
        pair_init(&p);
        fill_up_to(&p.left, 5);
        uint64_t last = p.left.index;
        log_release(&p.left.log, 3);
        p.left.env.fail_at = call == 7 ? 0 : p.left.env.operations + call;
        fake_env_run_all(&p.left.env);
        CHECK_EQ(p.left.env.base.is_halted, call != 7);
        CHECK_EQ(p.left.log.stats.released, call == 7 ? 3u : 0u);
        copy_files(&p);
        world_open(&p.next);
        CHECK_EQ(p.next.status, STATUS_OK);
        CHECK_EQ(log_segment_oldest(&p.next.log), 1 + call / 2);
        CHECK_EQ(p.next.index, last);
        CHECK_EQ(p.next.replayed_count, last - 6 * (call / 2)); /* six in each */
        log_release(&p.next.log, 4);
        fake_env_run_all(&p.next.env);
        CHECK_EQ(log_segment_oldest(&p.next.log), 5u);
        world_batch(&p.next, "new");
        world_die(&p.next);
        world_open(&p.next);
        CHECK_EQ(p.next.status, STATUS_OK);
        CHECK_EQ(p.next.index, last + 1);
        pair_deinit(&p);
    }
}

/* A release and a rotation at once, in either order, stopped at any call. */
static void release_beside_rotation(bool release_first, uint64_t call)
{
    struct pair p;
    pair_init(&p);
    fill_up_to(&p.left, 3);
    while (p.left.log.offset + 600 + LOG_BATCH_HEADER_BYTES <= LOG_SEGMENT_BYTES_MIN) {
        (void)world_append_size(&p.left, 500);
        log_flush(&p.left.log);
        fake_env_run_all(&p.left.env);
    }
    uint64_t durable = p.left.index;
    if (release_first) {
        log_release(&p.left.log, 2);
    }
    (void)world_append_size(&p.left, 500);
    log_flush(&p.left.log);
    CHECK(p.left.log.is_rotating);
    if (!release_first) {
        log_release(&p.left.log, 2);
    }
    p.left.env.fail_at = p.left.env.operations + call;
    fake_env_run_all(&p.left.env);
    CHECK(p.left.env.base.is_halted);
    copy_files(&p);
    world_open(&p.next);
    CHECK_EQ(p.next.status, STATUS_OK);
    CHECK(p.next.index == durable || p.next.index == durable + 1);
    CHECK(p.next.index - p.next.replayed_count <= 12);
    uint64_t last = p.next.index;
    world_batch(&p.next, "new");
    log_release(&p.next.log, log_segment_newest(&p.next.log) - 1);
    fake_env_run_all(&p.next.env);
    world_die(&p.next);
    world_open(&p.next);
    CHECK_EQ(p.next.status, STATUS_OK);
    CHECK_EQ(p.next.index, last + 1);
    pair_deinit(&p);
}

TEST(release_beside_rotation_stopped_anywhere)
{
    for (uint64_t call = 1; call <= 12; call++) {
        release_beside_rotation(false, call);
        release_beside_rotation(true, call);
    }
}

/* ---- no room --------------------------------------------------------------------------------- */

/* The disk holds what is there and not a byte more; the next batch needs a segment. */
static void fill_disk(struct log_world *w)
{
    world_init(w);
    world_open(w);
    w->env.space = bytes_on_disk(&w->env) + 5000;
    for (unsigned i = 0; i < 6; i++) {
        (void)world_append_size(w, 500);
        log_flush(&w->log);
        fake_env_run_all(&w->env);
    }
    CHECK(log_is_full(&w->log));
    CHECK(!w->env.base.is_halted);
    CHECK_EQ(w->env.file_count, 1u); /* what was begun is gone */
    CHECK_EQ(log_disk_bytes(&w->log), bytes_on_disk(&w->env));
}

TEST(no_room_then_room)
{
    struct log_world w;
    fill_disk(&w);
    uint64_t waiting = world_append_size(&w, 500);
    log_flush(&w.log);
    log_flush(&w.log);
    CHECK_EQ(w.env.job_count, 0u); /* tried again by the clock, not by the turn */
    for (unsigned i = 0; i < 3; i++) {
        fake_env_forget(&w.env);
        fake_env_advance(&w.env, 250);
        fake_env_run_all(&w.env);
        CHECK(log_is_full(&w.log));
        CHECK(strstr(fake_env_events(&w.env), "create 0000000000000002.log.new\n") != NULL);
        CHECK_EQ(w.env.file_count, 1u);
        CHECK(w.durable_to < waiting);
    }
    w.env.space = 0;
    fake_env_advance(&w.env, 249);
    CHECK_EQ(w.env.job_count, 0u);
    fake_env_advance(&w.env, 1);
    fake_env_run_all(&w.env); /* nobody flushes again */
    CHECK(!log_is_full(&w.log));
    CHECK(w.durable_to >= waiting);
    CHECK_EQ(timers_next_due_us(&w.env.timers), w.env.now_us + 100000); /* the mark's */
    uint64_t records = w.index;
    world_die(&w);
    world_open(&w);
    CHECK_EQ(w.replayed_count, records);
    world_deinit(&w);
}

/* A batch that still fits is written, full or not. */
TEST(no_room_needed)
{
    struct log_world w;
    fill_disk(&w);
    CHECK(w.log.offset + 200 < w.log.segment.size);
    world_batch(&w, "small");
    CHECK(log_is_full(&w.log));
    world_deinit(&w);
}

/* Any call of the preparation that says so: open, a write, a sync. */
TEST(no_room_in_any_call)
{
    for (uint64_t call = 1; call <= 3; call++) {
        struct log_world w;
        world_init(&w);
        world_open(&w);
        w.env.fail_as = STATUS_NO_SPACE;
        w.env.fail_at = w.env.operations + 2 + call; /* behind the batch */
        world_batch(&w, "one");
        CHECK(log_is_full(&w.log));
        CHECK(!w.env.base.is_halted);
        CHECK_EQ(w.env.file_count, 1u);
        fake_env_advance(&w.env, 250);
        fake_env_run_all(&w.env);
        CHECK(!log_is_full(&w.log));
        CHECK(w.log.prepared != NULL);
        world_deinit(&w);
    }
}

/* Promised is promised: a batch that meets a full disk ends the node (LOG-16). */
TEST(no_room_in_a_batch_halts)
{
    for (uint64_t call = 1; call <= 2; call++) {
        struct log_world w;
        world_init(&w);
        world_open(&w);
        (void)world_append_text(&w, "one");
        log_flush(&w.log);
        w.env.fail_as = STATUS_NO_SPACE;
        w.env.fail_at = w.env.operations + call;
        fake_env_run_all(&w.env);
        CHECK(w.env.base.is_halted);
        CHECK_EQ(w.durable_to, 0u);
        world_deinit(&w);
    }
}

/* What a large batch lacks is asked for before it is begun, so it waits and does not halt. */
TEST(no_room_for_a_large_batch)
{
    struct log_world w;
    world_init(&w);
    world_open(&w);
    world_batch(&w, "one"); /* the usual next segment is there */
    w.env.space = bytes_on_disk(&w.env) + 10000;
    uint64_t batch = world_append_size(&w, 40000);
    log_flush(&w.log);
    fake_env_run_all(&w.env);
    CHECK(log_is_full(&w.log));
    CHECK(!w.env.base.is_halted);
    CHECK_EQ(w.env.file_count, 1u);
    fake_env_advance(&w.env, 250);
    fake_env_run_all(&w.env);
    CHECK(log_is_full(&w.log));
    w.env.space = 80000;
    fake_env_advance(&w.env, 250);
    fake_env_run_all(&w.env);
    CHECK(!log_is_full(&w.log));
    CHECK(w.durable_to >= batch);
    CHECK_EQ(log_disk_bytes(&w.log), bytes_on_disk(&w.env));
    world_die(&w);
    world_open(&w);
    CHECK_EQ(w.replayed_count, 2u);
    world_deinit(&w);
}

/* A release gives room back. */
TEST(release_makes_room)
{
    struct log_world w;
    world_init(&w);
    world_open(&w);
    fill_up_to(&w, 3);
    w.env.space = bytes_on_disk(&w.env);
    uint64_t batch = 0;
    while (!log_is_full(&w.log) || w.durable_to >= batch) {
        batch = world_append_size(&w, 500);
        log_flush(&w.log);
        fake_env_run_all(&w.env);
    }
    log_release(&w.log, 1);
    fake_env_run_all(&w.env);
    fake_env_advance(&w.env, 250);
    fake_env_run_all(&w.env);
    CHECK(w.durable_to >= batch);
    CHECK_EQ(log_segment_newest(&w.log), 5u);
    CHECK(log_is_full(&w.log)); /* for the one behind it */
    world_deinit(&w);
}

/* A stop does not wait for room: what waits was never called durable. */
TEST(close_without_room)
{
    for (unsigned is_waiting = 0; is_waiting <= 1; is_waiting++) {
        struct log_world w;
        fill_disk(&w);
        uint64_t records = w.index;
        uint64_t batch = world_append_size(&w, 500);
        if (is_waiting != 0) {
            log_flush(&w.log);
        }
        log_close(&w.log, on_closed);
        fake_env_run_all(&w.env);
        CHECK(w.is_closed);
        CHECK(!w.env.base.is_halted);
        CHECK(w.durable_to < batch);
        CHECK_EQ(timers_next_due_us(&w.env.timers), UINT64_MAX);
        world_die(&w);
        world_open(&w);
        CHECK_EQ(w.replayed_count, records);
        world_deinit(&w);
    }
}

TEST(new_log_without_room)
{
    struct log_world w;
    world_init(&w);
    w.env.space = 5000;
    world_open(&w);
    CHECK_EQ(w.status, STATUS_NO_SPACE);
    CHECK_EQ(w.env.file_count, 0u);
    world_deinit(&w);
}

/* ---- bytes ----------------------------------------------------------------------------------- */

TEST(bytes_of_all_files)
{
    struct log_world w;
    world_init(&w);
    world_open(&w);
    CHECK_EQ(log_disk_bytes(&w.log), 8192u);
    for (unsigned i = 0; i < 60; i++) {
        (void)world_append_size(&w, i % 20 == 19 ? 20000 : 500);
        log_flush(&w.log);
        fake_env_run_all(&w.env);
        CHECK_EQ(log_disk_bytes(&w.log), bytes_on_disk(&w.env));
    }
    log_release(&w.log, 5);
    fake_env_run_all(&w.env);
    char path[LOG_PATH_BYTES];
    path_of(path, 5);
    CHECK(fake_env_file(&w.env, path) == NULL);
    CHECK_EQ(log_disk_bytes(&w.log), bytes_on_disk(&w.env));
    world_die(&w);
    world_open(&w);
    CHECK_EQ(log_disk_bytes(&w.log), bytes_on_disk(&w.env));
    world_deinit(&w);
}
