/* What the three files of this adapter share; nobody else includes it. */
#ifndef UV_UV_PARTS_H
#define UV_UV_PARTS_H

#include <uv.h>

#include "env/env.h"
#include "env/timers.h"

#define UV_READ_BUFFER_BYTES (64u * 1024u)

struct uv_env {
    struct env port; /* first: struct env * and struct uv_env * point to the same place */
    uv_loop_t loop;
    uv_prepare_t before_poll;
    uv_check_t after_poll;
    uv_timer_t alarm; /* wakes the poll for the soonest of timers */
    struct timers timers;
    uint64_t alarm_due_us; /* for which alarm is set; UINT64_MAX: not set */
    enum env_level log_level;
    bool is_stopped;
    bool is_closing; /* uv_env_destroy began: no callback leaves this adapter */

    uv_signal_t signals[2]; /* SIGINT, SIGTERM */
    bool has_signals;
    void (*signalled)(void *owner, int signal_number);
    void *signal_owner;

    struct list conns;     /* struct conn */
    struct list listeners; /* struct listener */
    unsigned conn_count;
    unsigned conn_count_max; /* what the file limit allows, less a reserve for our own files */
    unsigned lookup_count;   /* names found, to take another of their addresses each time */
    int lock_fd;             /* of dir_lock; -1 if none */
    char read_buffer[UV_READ_BUFFER_BYTES];
};

static inline struct uv_env *uv_env_of(struct env *env)
{
    return (struct uv_env *)(void *)env;
}

/* Text of a libuv code or of an errno; static memory. */
const char *uv_errno_text(int error);
/* Writes one line to stderr in one piece. Any thread. */
void uv_log_line(enum env_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* uv_net.c: the socket operations of the port, and an end for all of them. */
enum status uv_net_listen(struct env *env,
                          const char *address,
                          struct env_listener *listener,
                          struct error *error);
struct env_conn *uv_net_connect(struct env *env,
                                const char *address,
                                const struct env_conn_events *events,
                                void *owner);
bool uv_net_write(struct env_conn *conn, struct bytes bytes);
void uv_net_pause(struct env_conn *conn);
void uv_net_resume(struct env_conn *conn);
void uv_net_close(struct env_conn *conn);
/* For uv_env_destroy, before the loop runs for the last time. */
void uv_net_close_all(struct uv_env *env);

/* uv_disk.c: the file operations of the port. */
enum status uv_disk_dir_create(struct env *env, const char *path);
enum status uv_disk_dir_sync(struct env *env, const char *path);
enum status uv_disk_dir_list(struct env *env,
                             const char *path,
                             void (*each)(void *ctx, const char *name),
                             void *ctx);
enum status uv_disk_dir_lock(struct env *env, const char *path);
enum status uv_disk_open(struct env *env,
                         const char *path,
                         enum env_open mode,
                         struct env_file **out_file);
enum status uv_disk_size(struct env *env, struct env_file *file, uint64_t *out_size);
enum status uv_disk_read(struct env *env,
                         struct env_file *file,
                         uint64_t offset,
                         void *data,
                         size_t size,
                         size_t *out_read);
enum status uv_disk_write(struct env *env,
                          struct env_file *file,
                          uint64_t offset,
                          struct bytes bytes);
enum status uv_disk_sync(struct env *env, struct env_file *file);
void uv_disk_close(struct env *env, struct env_file *file);
enum status uv_disk_rename(struct env *env, const char *from, const char *to);
enum status uv_disk_remove(struct env *env, const char *path);
enum status uv_disk_space(struct env *env,
                          const char *path,
                          uint64_t *out_free,
                          uint64_t *out_total);

#endif
