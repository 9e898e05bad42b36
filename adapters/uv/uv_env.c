#include "uv_env.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "uv_parts.h"

#define HALT_EXIT_STATUS 70 /* EX_SOFTWARE */
#define LINE_BYTES 1024
/* Files the node itself may need at any time: accepting clients must never make the log fail. */
#define FILE_RESERVE 128u
#define FILE_LIMIT_USED_MAX 1048576u

/* ---- log and halt ---------------------------------------------------------------------------- */

const char *uv_errno_text(int error)
{
    return uv_strerror(error < 0 ? error : uv_translate_sys_error(error));
}

static const char *level_name(enum env_level level)
{
    switch (level) {
    case ENV_LEVEL_DEBUG:
        return "debug";
    case ENV_LEVEL_INFO:
        return "info";
    case ENV_LEVEL_WARNING:
        return "warning";
    case ENV_LEVEL_ERROR:
        return "error";
    }
    unreachable("log level");
}

static void write_stderr(const char *data, size_t size)
{
    while (size > 0) {
        ssize_t written = write(STDERR_FILENO, data, size);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            return; /* nobody is left to tell */
        }
        data += written;
        size -= (size_t)written;
    }
}

/* Control characters would let a client's bytes forge lines. */
static void make_printable(char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)text[i] < ' ' || text[i] == '\x7f') {
            text[i] = '?';
        }
    }
}

__attribute__((format(printf, 2, 0))) static void log_line_v(enum env_level level,
                                                             const char *format,
                                                             va_list args)
{
    struct timespec now;
    struct tm utc;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &utc);

    char line[LINE_BYTES];
    size_t size = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &utc);
    int more = snprintf(line + size,
                        sizeof line - size,
                        ".%03ldZ %s ",
                        now.tv_nsec / 1000000,
                        level_name(level));
    ensure(more > 0 && (size_t)more < sizeof line - size);
    size += (size_t)more;
    size_t room = sizeof line - size; /* the last byte of it is for the line's end */
    more = vsnprintf(line + size, room, format, args);
    ensure(more >= 0);
    size_t text = (size_t)more < room ? (size_t)more : room - 1;
    make_printable(line + size, text);
    size += text;
    line[size++] = '\n';
    write_stderr(line, size);
}

void uv_log_line(enum env_level level, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    log_line_v(level, format, args);
    va_end(args);
}

static void op_log(struct env *port, enum env_level level, const char *line)
{
    if (level >= uv_env_of(port)->log_level) {
        uv_log_line(level, "%s", line);
    }
}

/* _exit: no flush, no handler, no answer to anybody; restart replays what is on disk. */
static void op_halt(struct env *port, const char *reason)
{
    (void)port;
    uv_log_line(ENV_LEVEL_ERROR, "halt reason=%s", reason);
    _exit(HALT_EXIT_STATUS);
}

/* ---- clocks and random numbers --------------------------------------------------------------- */

static uint64_t read_clock_us(clockid_t clock)
{
    struct timespec now;
    int failed = clock_gettime(clock, &now);
    ensure(failed == 0);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

/* Goes on in suspend: a machine that slept knows that its time is over. */
static uint64_t op_now_us(struct env *port)
{
    (void)port;
    return read_clock_us(CLOCK_BOOTTIME);
}

static uint64_t op_wall_ms(struct env *port)
{
    (void)port;
    return read_clock_us(CLOCK_REALTIME) / 1000u;
}

static uint64_t op_random(struct env *port)
{
    (void)port;
    uint64_t value = 0;
    ssize_t got = 0;
    do {
        got = getrandom(&value, sizeof value, 0);
    } while (got < 0 && errno == EINTR);
    ensure(got == (ssize_t)sizeof value);
    return value;
}

/* ---- timers ---------------------------------------------------------------------------------- */

static void op_timer_start(struct env *port, struct env_timer *timer, uint64_t delay_ms)
{
    ensure(delay_ms < UINT64_MAX / 2000u);
    timers_start(&uv_env_of(port)->timers, timer, op_now_us(port) + delay_ms * 1000u);
}

static void op_timer_stop(struct env *port, struct env_timer *timer)
{
    timers_stop(&uv_env_of(port)->timers, timer);
}

/* Only ends the poll; before_poll fires what is due. */
static void on_alarm(uv_timer_t *alarm)
{
    ((struct uv_env *)alarm->data)->alarm_due_us = UINT64_MAX;
}

/* libuv counts whole milliseconds: round up, or the loop would spin through the last one. */
static void set_alarm(struct uv_env *env)
{
    uint64_t due_us = timers_next_due_us(&env->timers);
    if (due_us == env->alarm_due_us) {
        return;
    }
    env->alarm_due_us = due_us;
    if (due_us == UINT64_MAX) {
        (void)uv_timer_stop(&env->alarm);
        return;
    }
    uint64_t now_us = op_now_us(&env->port);
    uint64_t delay_ms = due_us > now_us ? (due_us - now_us + 999u) / 1000u : 0;
    uv_update_time(&env->loop);
    int failed = uv_timer_start(&env->alarm, on_alarm, delay_ms, 0);
    ensure(failed == 0);
}

/* ---- turns ----------------------------------------------------------------------------------- */

static void take_turn(struct uv_env *env)
{
    if (env->port.turn != NULL && !env->is_closing) {
        env->port.turn(env->port.turn_owner);
    }
}

/* Events of the poll are in: let what they gathered leave before connections are closed. */
static void on_after_poll(uv_check_t *check)
{
    take_turn(check->data);
}

/* The last stop before the loop waits: what timers and closed() produced leaves now. */
static void on_before_poll(uv_prepare_t *prepare)
{
    struct uv_env *env = prepare->data;
    if (!env->is_closing) {
        timers_fire(&env->timers, op_now_us(&env->port));
    }
    take_turn(env);
    set_alarm(env);
}

/* ---- workers --------------------------------------------------------------------------------- */

struct job {
    uv_work_t request;
    struct env_work *work;
};

static void on_job_run(uv_work_t *request)
{
    struct job *job = request->data;
    job->work->run(job->work);
}

static void on_job_done(uv_work_t *request, int status)
{
    struct job *job = request->data;
    ensure(status == 0); /* nobody cancels */
    struct uv_env *env = request->loop->data;
    struct env_work *work = job->work;
    mem_free(job);
    if (!env->is_closing) {
        work->adapter = NULL;
        work->done(work);
    }
}

static void op_work_submit(struct env *port, struct env_work *work)
{
    ensure(work->run != NULL);
    ensure(work->done != NULL);
    struct job *job = mem_alloc_zero(sizeof *job);
    job->work = work;
    job->request.data = job;
    work->adapter = job;
    int failed = uv_queue_work(&uv_env_of(port)->loop, &job->request, on_job_run, on_job_done);
    ensure(failed == 0);
}

/* ---- signals --------------------------------------------------------------------------------- */

static void on_signal(uv_signal_t *handle, int signal_number)
{
    struct uv_env *env = handle->data;
    if (!env->is_closing) {
        env->signalled(env->signal_owner, signal_number);
    }
}

void uv_env_on_signal(struct uv_env *env,
                      void (*signalled)(void *owner, int signal_number),
                      void *owner)
{
    static const int numbers[2] = {SIGINT, SIGTERM};
    ensure(signalled != NULL);
    env->signalled = signalled;
    env->signal_owner = owner;
    if (env->has_signals) {
        return;
    }
    env->has_signals = true;
    for (int i = 0; i < 2; i++) {
        int failed = uv_signal_init(&env->loop, &env->signals[i]);
        ensure(failed == 0);
        env->signals[i].data = env;
        failed = uv_signal_start(&env->signals[i], on_signal, numbers[i]);
        ensure(failed == 0);
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

static const struct env_ops ops = {
    .now_us = op_now_us,
    .wall_ms = op_wall_ms,
    .random = op_random,
    .timer_start = op_timer_start,
    .timer_stop = op_timer_stop,
    .work_submit = op_work_submit,
    .listen = uv_net_listen,
    .connect = uv_net_connect,
    .conn_write = uv_net_write,
    .conn_pause = uv_net_pause,
    .conn_resume = uv_net_resume,
    .conn_close = uv_net_close,
    .dir_create = uv_disk_dir_create,
    .dir_sync = uv_disk_dir_sync,
    .dir_list = uv_disk_dir_list,
    .dir_lock = uv_disk_dir_lock,
    .file_open = uv_disk_open,
    .file_size = uv_disk_size,
    .file_read = uv_disk_read,
    .file_write = uv_disk_write,
    .file_sync = uv_disk_sync,
    .file_close = uv_disk_close,
    .file_rename = uv_disk_rename,
    .file_remove = uv_disk_remove,
    .dir_space = uv_disk_space,
    .log = op_log,
    .halt = op_halt,
};

/* Raises the limit of open files and returns how many connections it leaves room for. */
static unsigned raise_file_limit(void)
{
    struct rlimit limit;
    int failed = getrlimit(RLIMIT_NOFILE, &limit);
    ensure(failed == 0);
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
        failed = getrlimit(RLIMIT_NOFILE, &limit);
        ensure(failed == 0);
    }
    rlim_t usable = limit.rlim_cur < FILE_LIMIT_USED_MAX ? limit.rlim_cur : FILE_LIMIT_USED_MAX;
    return usable > FILE_RESERVE ? (unsigned)usable - FILE_RESERVE : 1;
}

struct uv_env *uv_env_create(void)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGPIPE, &ignore, NULL);

    struct uv_env *env = mem_alloc_zero(sizeof *env);
    env->port.ops = &ops;
    env->log_level = ENV_LEVEL_INFO;
    env->alarm_due_us = UINT64_MAX;
    env->conn_count_max = raise_file_limit();
    env->lock_fd = -1;
    timers_init(&env->timers);
    list_init(&env->conns);
    list_init(&env->listeners);

    int failed = uv_loop_init(&env->loop);
    ensure(failed == 0);
    env->loop.data = env;
    failed = uv_timer_init(&env->loop, &env->alarm);
    ensure(failed == 0);
    env->alarm.data = env;
    failed = uv_prepare_init(&env->loop, &env->before_poll);
    ensure(failed == 0);
    env->before_poll.data = env;
    failed = uv_prepare_start(&env->before_poll, on_before_poll);
    ensure(failed == 0);
    failed = uv_check_init(&env->loop, &env->after_poll);
    ensure(failed == 0);
    env->after_poll.data = env;
    failed = uv_check_start(&env->after_poll, on_after_poll);
    ensure(failed == 0);
    return env;
}

struct env *uv_env_port(struct uv_env *env)
{
    return &env->port;
}

void uv_env_set_log_level(struct uv_env *env, enum env_level level)
{
    env->log_level = level;
}

void uv_env_run(struct uv_env *env)
{
    while (!env->is_stopped) {
        (void)uv_run(&env->loop, UV_RUN_DEFAULT); /* its result counts handles; ours stay open */
    }
    env->is_stopped = false;
}

void uv_env_stop(struct uv_env *env)
{
    env->is_stopped = true;
    uv_stop(&env->loop);
}

void uv_env_destroy(struct uv_env *env)
{
    if (env == NULL) {
        return;
    }
    env->is_closing = true;
    uv_net_close_all(env);
    uv_close((uv_handle_t *)&env->alarm, NULL);
    uv_close((uv_handle_t *)&env->before_poll, NULL);
    uv_close((uv_handle_t *)&env->after_poll, NULL);
    for (int i = 0; env->has_signals && i < 2; i++) {
        uv_close((uv_handle_t *)&env->signals[i], NULL);
    }
    while (uv_run(&env->loop, UV_RUN_DEFAULT) != 0) {
    }
    int failed = uv_loop_close(&env->loop);
    ensure(failed == 0);
    ensure(list_is_empty(&env->conns));
    if (env->lock_fd >= 0) {
        (void)close(env->lock_fd); /* an flock has nothing to lose */
    }
    mem_free(env);
}
