#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/limits.h"
#include "uv_world.h"

/* A fresh directory; removed by temp_remove. */
static void temp_create(char *path, size_t size)
{
    (void)snprintf(path, size, "/tmp/dougong-test-XXXXXX");
    CHECK(mkdtemp(path) != NULL);
}

static void temp_path(char *out, size_t size, const char *dir, const char *name)
{
    int length = snprintf(out, size, "%s/%s", dir, name);
    CHECK(length > 0 && (size_t)length < size);
}

/* ---- clocks, random, timers ------------------------------------------------------------------ */

TEST(clocks_go_forward_and_random_differs)
{
    struct world w;
    world_init(&w);
    uint64_t first = env_now_us(w.env);
    CHECK(env_now_us(w.env) >= first);
    CHECK(env_wall_ms(w.env) > 1600000000000u);
    CHECK(env_random(w.env) != env_random(w.env));
    world_deinit(&w);
}

TEST(timers_fire_in_order_and_never_early)
{
    struct world w;
    world_init(&w);
    memset(fired, 0, sizeof fired);
    fired_count = 0;
    struct ticker tickers[6];
    static const unsigned delays_ms[6] = {30, 10, 10, 0, 500, 20};
    uint64_t started_us = env_now_us(w.env);
    for (size_t i = 0; i < 6; i++) {
        tickers[i] = (struct ticker){.w = &w, .timer.cb = on_ticker, .name = (char)('a' + i)};
        env_timer_start(w.env, &tickers[i].timer, delays_ms[i]);
    }
    tickers[5].again = &tickers[4].timer; /* e: moved from 500 ms to right after f */
    tickers[0].is_last = true;
    env_timer_stop(w.env, &tickers[2].timer);
    world_run(&w);
    CHECK_TEXT(fired, "dbfea");
    CHECK(env_now_us(w.env) - started_us >= 30000u);
    CHECK(w.turns > 0);
    world_deinit(&w);
}

/* Sub-millisecond waits must not make the loop spin: some turns per timer, not thousands. */
TEST(waiting_does_not_spin)
{
    struct world w;
    world_init(&w);
    fired_count = 0;
    struct ticker t = {.w = &w, .timer.cb = on_ticker, .name = 'x', .is_last = true};
    env_timer_start(w.env, &t.timer, 200);
    world_run(&w);
    CHECK(w.turns < 20);
    world_deinit(&w);
}

/* ---- workers --------------------------------------------------------------------------------- */

struct sum_job {
    struct env_work work;
    struct world *w;
    pthread_t loop_thread;
    unsigned *left;
    unsigned input;
    unsigned output;
    bool ran_elsewhere;
    bool done_on_loop;
};

static void sum_run(struct env_work *work)
{
    struct sum_job *job = container_of(work, struct sum_job, work);
    job->output = job->input * 2;
    job->ran_elsewhere = !pthread_equal(pthread_self(), job->loop_thread);
}

static void sum_done(struct env_work *work)
{
    struct sum_job *job = container_of(work, struct sum_job, work);
    job->done_on_loop = pthread_equal(pthread_self(), job->loop_thread) != 0;
    if (--*job->left == 0) {
        uv_env_stop(job->w->uv);
    }
}

TEST(work_runs_elsewhere_and_is_done_on_the_loop)
{
    struct world w;
    world_init(&w);
    static struct sum_job jobs[100];
    unsigned left = 100;
    for (unsigned i = 0; i < 100; i++) {
        jobs[i] = (struct sum_job){
            .work = {.run = sum_run, .done = sum_done},
            .w = &w,
            .loop_thread = pthread_self(),
            .left = &left,
            .input = i,
        };
        env_work_submit(w.env, &jobs[i].work);
    }
    CHECK_EQ(left, 100u); /* nothing completes inside the submitting call */
    world_run(&w);
    for (unsigned i = 0; i < 100; i++) {
        CHECK_EQ(jobs[i].output, i * 2);
        CHECK(jobs[i].ran_elsewhere);
        CHECK(jobs[i].done_on_loop);
    }
    world_deinit(&w);
}

/* ---- signals and halt ------------------------------------------------------------------------ */

static int last_signal;

static void on_signal(void *owner, int signal_number)
{
    last_signal = signal_number;
    uv_env_stop(((struct world *)owner)->uv);
}

TEST(signals_arrive_on_the_loop)
{
    struct world w;
    world_init(&w);
    last_signal = 0;
    uv_env_on_signal(w.uv, on_signal, &w);
    CHECK_EQ(raise(SIGTERM), 0);
    CHECK_EQ(last_signal, 0);
    world_run(&w);
    CHECK_EQ(last_signal, SIGTERM);
    CHECK_EQ(raise(SIGINT), 0);
    world_run(&w);
    CHECK_EQ(last_signal, SIGINT);
    world_deinit(&w);
}

TEST(halt_ends_the_process_with_70_and_one_line)
{
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        (void)dup2(ends[1], STDERR_FILENO);
        struct uv_env *uv = uv_env_create();
        env_log(uv_env_port(uv), ENV_LEVEL_DEBUG, "hidden");
        env_log(uv_env_port(uv), ENV_LEVEL_INFO, "shown a=%d\nforged", 1);
        env_halt(uv_env_port(uv), "segment %d damaged", 7);
        _exit(1);
    }
    (void)close(ends[1]);
    char text[512];
    size_t size = 0;
    ssize_t got = 0;
    while ((got = read(ends[0], text + size, sizeof text - 1 - size)) > 0) {
        size += (size_t)got;
    }
    text[size] = '\0';
    (void)close(ends[0]);
    int status = 0;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 70);
    CHECK(strstr(text, "hidden") == NULL);
    CHECK(strstr(text, "Z info shown a=1?forged\n") != NULL);
    CHECK(strstr(text, "Z error halt reason=segment 7 damaged\n") != NULL);
}

/* ---- files ----------------------------------------------------------------------------------- */

static void append_name(void *ctx, const char *name)
{
    buf_printf(ctx, "%s ", name);
}

static void make_file(struct env *env, const char *dir, const char *name, const char *text)
{
    char path[128];
    temp_path(path, sizeof path, dir, name);
    struct env_file *file = NULL;
    CHECK_EQ(env_file_open(env, path, ENV_OPEN_CREATE, &file), STATUS_OK);
    CHECK_EQ(env_file_write(env, file, 0, bytes_of_text(text)), STATUS_OK);
    CHECK_EQ(env_file_sync(env, file), STATUS_OK);
    env_file_close(env, file);
}

TEST(directories_are_created_listed_and_synced)
{
    struct world w;
    world_init(&w);
    char root[64];
    char dir[128];
    char path[128];
    temp_create(root, sizeof root);
    temp_path(dir, sizeof dir, root, "data");
    CHECK_EQ(env_dir_create(w.env, dir), STATUS_OK);
    CHECK_EQ(env_dir_create(w.env, dir), STATUS_EXISTS);
    temp_path(path, sizeof path, dir, "sub");
    CHECK_EQ(env_dir_create(w.env, path), STATUS_OK);
    make_file(w.env, dir, "b", "2");
    make_file(w.env, dir, "a", "1");
    make_file(w.env, dir, "\xc3\xa4", "3");
    make_file(w.env, dir, "B", "4");
    CHECK_EQ(env_dir_sync(w.env, dir), STATUS_OK);
    struct buf names;
    buf_init(&names, KIB);
    CHECK_EQ(env_dir_list(w.env, dir, append_name, &names), STATUS_OK);
    CHECK_BYTES(buf_bytes(&names), bytes_of_text("B a b \xc3\xa4 "));
    CHECK_EQ(rmdir(path), 0);
    temp_path(path, sizeof path, dir, "missing");
    CHECK_EQ(env_dir_list(w.env, path, append_name, &names), STATUS_NOT_FOUND);
    buf_deinit(&names);
    CHECK_EQ(env_dir_sync(w.env, path), STATUS_NOT_FOUND);
    static const char *const made[] = {"a", "b", "B", "\xc3\xa4"};
    for (size_t i = 0; i < 4; i++) {
        temp_path(path, sizeof path, dir, made[i]);
        CHECK_EQ(env_file_remove(w.env, path), STATUS_OK);
        CHECK_EQ(env_file_remove(w.env, path), STATUS_NOT_FOUND);
    }
    CHECK_EQ(rmdir(dir), 0);
    CHECK_EQ(rmdir(root), 0);
    world_deinit(&w);
}

TEST(files_read_back_what_was_written)
{
    struct world w;
    world_init(&w);
    char root[64];
    char path[128];
    char renamed[128];
    temp_create(root, sizeof root);
    temp_path(path, sizeof path, root, "file");
    temp_path(renamed, sizeof renamed, root, "other");
    struct env_file *file = NULL;
    CHECK_EQ(env_file_open(w.env, path, ENV_OPEN_READ, &file), STATUS_NOT_FOUND);
    CHECK_EQ(env_file_open(w.env, path, ENV_OPEN_WRITE, &file), STATUS_NOT_FOUND);
    CHECK_EQ(env_file_open(w.env, path, ENV_OPEN_CREATE, &file), STATUS_OK);
    CHECK_EQ(env_file_write(w.env, file, 4, bytes_of_text("tail")), STATUS_OK);
    CHECK_EQ(env_file_sync(w.env, file), STATUS_OK);
    uint64_t size = 0;
    CHECK_EQ(env_file_size(w.env, file, &size), STATUS_OK);
    CHECK_EQ(size, 8u);
    char data[16];
    size_t got = 0;
    CHECK_EQ(env_file_read(w.env, file, 2, data, sizeof data, &got), STATUS_OK);
    CHECK_BYTES(bytes_of(data, got), bytes_of("\0\0tail", 6));
    CHECK_EQ(env_file_read(w.env, file, 100, data, sizeof data, &got), STATUS_OK);
    CHECK_EQ(got, 0u);
    struct env_file *second = NULL;
    CHECK_EQ(env_file_open(w.env, path, ENV_OPEN_CREATE, &second), STATUS_EXISTS);
    CHECK(second == NULL);
    env_file_close(w.env, file);
    CHECK_EQ(env_file_rename(w.env, path, renamed), STATUS_OK);
    CHECK_EQ(env_file_rename(w.env, path, renamed), STATUS_NOT_FOUND);
    CHECK_EQ(env_file_open(w.env, renamed, ENV_OPEN_READ, &file), STATUS_OK);
    CHECK_EQ(env_file_write(w.env, file, 0, bytes_of_text("no")), STATUS_IO);
    env_file_close(w.env, file);
    env_file_close(w.env, NULL);
    CHECK_EQ(env_file_remove(w.env, renamed), STATUS_OK);
    CHECK_EQ(rmdir(root), 0);
    world_deinit(&w);
}

TEST(a_directory_is_locked_once)
{
    struct world one;
    struct world two;
    world_init(&one);
    world_init(&two);
    char root[64];
    char path[128];
    temp_create(root, sizeof root);
    CHECK_EQ(env_dir_lock(one.env, root), STATUS_OK);
    CHECK_EQ(env_dir_lock(two.env, root), STATUS_BUSY);
    world_deinit(&one);
    CHECK_EQ(env_dir_lock(two.env, root), STATUS_OK);
    world_deinit(&two);
    temp_path(path, sizeof path, root, "LOCK");
    CHECK_EQ(unlink(path), 0);
    CHECK_EQ(rmdir(root), 0);
}

/* The kernel's own full disk: every write fails with ENOSPC. */
TEST(full_disk_is_no_space)
{
    struct world w;
    world_init(&w);
    struct env_file *file = NULL;
    CHECK_EQ(env_file_open(w.env, "/dev/full", ENV_OPEN_WRITE, &file), STATUS_OK);
    CHECK_EQ(env_file_write(w.env, file, 0, bytes_of_text("x")), STATUS_NO_SPACE);
    env_file_close(w.env, file);
    world_deinit(&w);
}

TEST(space_of_a_directory)
{
    struct world w;
    world_init(&w);
    char root[64];
    temp_create(root, sizeof root);
    uint64_t space = 0;
    uint64_t total = 0;
    CHECK_EQ(env_dir_space(w.env, root, &space, &total), STATUS_OK);
    struct statvfs about;
    CHECK_EQ(statvfs(root, &about), 0);
    CHECK_EQ(total, (uint64_t)about.f_blocks * about.f_frsize);
    CHECK(space > 0 && space <= total);
    /* Others write meanwhile: near enough to tell bytes from blocks. */
    uint64_t expected = (uint64_t)about.f_bavail * about.f_frsize;
    CHECK(space > expected / 2 && space / 2 < expected);
    CHECK_EQ(rmdir(root), 0);
    CHECK_EQ(env_dir_space(w.env, root, &space, &total), STATUS_NOT_FOUND);
    world_deinit(&w);
}
