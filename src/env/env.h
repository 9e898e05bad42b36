/*
 * The only way out of the deterministic core: clocks, random numbers, timers, sockets, files,
 * worker threads, log lines, and the end of the process. One loop thread owns all state of a node;
 * every callback runs on it, except env_work.run.
 *
 * Two bodies: adapters/uv (libuv, real time) and sim (virtual time, one seed, faults).
 *
 * A completion never fires before the submitting call has returned, fires exactly once, and always
 * fires, unless the node halts.
 */
#ifndef ENV_ENV_H
#define ENV_ENV_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/list.h"
#include "base/status.h"

struct env;

/* ---- timers ---------------------------------------------------------------------------------- */

/* One shot. Caller's memory, zero-initialised with cb set; may be started again, also inside cb. */
struct env_timer {
    void (*cb)(struct env_timer *timer);
    /* private */
    struct list link; /* in struct timers while is_active */
    uint64_t due_us;
    uint64_t order;
    bool is_active;
};

/* ---- workers --------------------------------------------------------------------------------- */

/*
 * A closed job: run() is called once on some worker thread and may use only what w owns and the
 * file calls below; done() follows on the loop. Caller's memory until done() was called.
 */
struct env_work {
    void (*run)(struct env_work *w);
    void (*done)(struct env_work *w);
    /* private */
    void *adapter;
};

/* ---- sockets --------------------------------------------------------------------------------- */

/* A byte stream. Belongs to the adapter from accept or connect until closed() was called. */
struct env_conn {
    const struct env_conn_events *events; /* set inside accepted(), or by env_connect */
    void *owner;                          /* the same */
    /* private */
    struct env *env;
};

struct env_conn_events {
    /*
     * Of env_connect only: the peer accepted; write may be called from now on. If it does not, or
     * nobody listens, ended() comes instead. NULL for accepted connections.
     */
    void (*connected)(struct env_conn *conn);
    /* Bytes arrived; borrowed for the call. The callee may close the connection. */
    void (*read)(struct env_conn *conn, struct bytes bytes);
    /* The peer closed or the connection broke: no more read(). Output may still be accepted. */
    void (*ended)(struct env_conn *conn);
    /* All output taken by a env_conn_write that returned false has left; write again. */
    void (*drained)(struct env_conn *conn);
    /* After env_conn_close: last callback, conn is gone after it. */
    void (*closed)(struct env_conn *conn);
};

/* Caller's memory for the life of env. */
struct env_listener {
    /* A connection arrived; must set conn->events and ->owner. peer is "host:port", borrowed. */
    void (*accepted)(struct env_listener *listener, struct env_conn *conn, const char *peer);
    void *owner;
    bool is_reserved; /* the node's own: goes on accepting when clients have taken all files */
};

/* ---- files ----------------------------------------------------------------------------------- */

struct env_file; /* belongs to the adapter */

enum env_open {
    ENV_OPEN_READ,   /* must exist */
    ENV_OPEN_WRITE,  /* read and write, must exist */
    ENV_OPEN_CREATE, /* read and write, must not exist */
};

/* ---- the port -------------------------------------------------------------------------------- */

enum env_level {
    ENV_LEVEL_DEBUG,
    ENV_LEVEL_INFO,
    ENV_LEVEL_WARNING,
    ENV_LEVEL_ERROR,
};

struct env_ops {
    uint64_t (*now_us)(struct env *env);
    uint64_t (*wall_ms)(struct env *env);
    uint64_t (*random)(struct env *env);
    void (*timer_start)(struct env *env, struct env_timer *timer, uint64_t delay_ms);
    void (*timer_stop)(struct env *env, struct env_timer *timer);
    void (*work_submit)(struct env *env, struct env_work *work);

    enum status (*listen)(struct env *env,
                          const char *address,
                          struct env_listener *listener,
                          struct error *error);
    struct env_conn *(*connect)(struct env *env,
                                const char *address,
                                const struct env_conn_events *events,
                                void *owner);
    bool (*conn_write)(struct env_conn *conn, struct bytes bytes);
    void (*conn_pause)(struct env_conn *conn);
    void (*conn_resume)(struct env_conn *conn);
    void (*conn_close)(struct env_conn *conn);

    enum status (*dir_create)(struct env *env, const char *path);
    enum status (*dir_sync)(struct env *env, const char *path);
    enum status (*dir_list)(struct env *env,
                            const char *path,
                            void (*each)(void *ctx, const char *name),
                            void *ctx);
    enum status (*dir_lock)(struct env *env, const char *path);
    enum status (*file_open)(struct env *env,
                             const char *path,
                             enum env_open mode,
                             struct env_file **out_file);
    enum status (*file_size)(struct env *env, struct env_file *file, uint64_t *out_size);
    enum status (*file_read)(struct env *env,
                             struct env_file *file,
                             uint64_t offset,
                             void *data,
                             size_t size,
                             size_t *out_read);
    enum status (*file_write)(struct env *env,
                              struct env_file *file,
                              uint64_t offset,
                              struct bytes bytes);
    enum status (*file_sync)(struct env *env, struct env_file *file);
    void (*file_close)(struct env *env, struct env_file *file);
    enum status (*file_rename)(struct env *env, const char *from, const char *to);
    enum status (*file_remove)(struct env *env, const char *path);
    enum status (*dir_space)(struct env *env,
                             const char *path,
                             uint64_t *out_free,
                             uint64_t *out_total);

    void (*log)(struct env *env, enum env_level level, const char *line);
    void (*halt)(struct env *env, const char *reason);
};

/* Adapters put this first in their own struct and set ops. */
struct env {
    const struct env_ops *ops;
    /* Called once after each batch of events, before the loop waits again. Set by the node. */
    void (*turn)(void *owner);
    void *turn_owner;
    bool is_halted; /* set by env_halt; only the simulator returns from it */
};

/* Monotonic time, microseconds; goes on in suspend. Wall clock: milliseconds since 1970. */
static inline uint64_t env_now_us(struct env *env)
{
    return env->ops->now_us(env);
}

static inline uint64_t env_wall_ms(struct env *env)
{
    return env->ops->wall_ms(env);
}

/* 64 unpredictable bits (predictable from the seed in the simulator). */
static inline uint64_t env_random(struct env *env)
{
    return env->ops->random(env);
}

/* Starting an active timer moves it. Timers due at the same time fire in the order started. */
static inline void env_timer_start(struct env *env, struct env_timer *timer, uint64_t delay_ms)
{
    env->ops->timer_start(env, timer, delay_ms);
}

static inline void env_timer_stop(struct env *env, struct env_timer *timer)
{
    env->ops->timer_stop(env, timer);
}

static inline void env_work_submit(struct env *env, struct env_work *work)
{
    env->ops->work_submit(env, work);
}

/* address is "host:port" (IPv6 in brackets). Returns once the port is bound. */
MUST_CHECK static inline enum status env_listen(struct env *env,
                                                const char *address,
                                                struct env_listener *listener,
                                                struct error *error)
{
    return env->ops->listen(env, address, listener, error);
}

/*
 * Starts a connection to "host:port"; never fails at once. Exactly one of connected() and ended()
 * follows, never from inside this call, unless env_conn_close is called first. A name that cannot
 * be resolved or an address that does not answer (within a bounded time) is an ended(). Also after
 * ended() the connection must be closed.
 */
static inline struct env_conn *env_connect(struct env *env,
                                           const char *address,
                                           const struct env_conn_events *events,
                                           void *owner)
{
    return env->ops->connect(env, address, events, owner);
}

/*
 * Takes all bytes (copying what the socket does not). True: all gone. False: wait for drained()
 * before the next write; what is buffered below is never more than the bytes of one call.
 */
static inline bool env_conn_write(struct env_conn *conn, struct bytes bytes)
{
    return conn->env->ops->conn_write(conn, bytes);
}

/* Stop and go on with read(); a paused connection does not notice its end. Idempotent. */
static inline void env_conn_pause(struct env_conn *conn)
{
    conn->env->ops->conn_pause(conn);
}

static inline void env_conn_resume(struct env_conn *conn)
{
    conn->env->ops->conn_resume(conn);
}

/*
 * No callback but closed() follows. Output the socket has not taken is still sent within a bounded
 * time, so that a last error reaches the client. Idempotent.
 */
static inline void env_conn_close(struct env_conn *conn)
{
    conn->env->ops->conn_close(conn);
}

/*
 * Files and directories. Blocking: at start, inside env_work.run, or on the loop as long as the
 * node serves nobody. Thread-safe for different files. Any error but NOT_FOUND, EXISTS, BUSY and
 * NO_SPACE is STATUS_IO. Nothing is durable before file_sync of the file, and no creation, rename
 * or removal before dir_sync of its directory.
 */
MUST_CHECK static inline enum status env_dir_create(struct env *env, const char *path)
{
    return env->ops->dir_create(env, path); /* STATUS_EXISTS if it is there */
}

MUST_CHECK static inline enum status env_dir_sync(struct env *env, const char *path)
{
    return env->ops->dir_sync(env, path);
}

/* Calls each for the names of all files in path, in byte order. */
MUST_CHECK static inline enum status env_dir_list(struct env *env,
                                                  const char *path,
                                                  void (*each)(void *ctx, const char *name),
                                                  void *ctx)
{
    return env->ops->dir_list(env, path, each, ctx);
}

/* Holds path for this process until it ends; STATUS_BUSY if another one does. */
MUST_CHECK static inline enum status env_dir_lock(struct env *env, const char *path)
{
    return env->ops->dir_lock(env, path);
}

MUST_CHECK static inline enum status env_file_open(struct env *env,
                                                   const char *path,
                                                   enum env_open mode,
                                                   struct env_file **out_file)
{
    return env->ops->file_open(env, path, mode, out_file);
}

MUST_CHECK static inline enum status env_file_size(struct env *env,
                                                   struct env_file *file,
                                                   uint64_t *out_size)
{
    return env->ops->file_size(env, file, out_size);
}

/* Reads until size or the end of the file. */
MUST_CHECK static inline enum status env_file_read(struct env *env,
                                                   struct env_file *file,
                                                   uint64_t offset,
                                                   void *data,
                                                   size_t size,
                                                   size_t *out_read)
{
    return env->ops->file_read(env, file, offset, data, size, out_read);
}

/* All or an error; may extend the file. */
MUST_CHECK static inline enum status env_file_write(struct env *env,
                                                    struct env_file *file,
                                                    uint64_t offset,
                                                    struct bytes bytes)
{
    return env->ops->file_write(env, file, offset, bytes);
}

/* Data and size of the file are durable on return (fdatasync). */
MUST_CHECK static inline enum status env_file_sync(struct env *env, struct env_file *file)
{
    return env->ops->file_sync(env, file);
}

/* file may be NULL. */
static inline void env_file_close(struct env *env, struct env_file *file)
{
    if (file != NULL) {
        env->ops->file_close(env, file);
    }
}

MUST_CHECK static inline enum status env_file_rename(struct env *env,
                                                     const char *from,
                                                     const char *to)
{
    return env->ops->file_rename(env, from, to);
}

MUST_CHECK static inline enum status env_file_remove(struct env *env, const char *path)
{
    return env->ops->file_remove(env, path);
}

/* Bytes that can still be written to the disk that holds the directory, and its size. */
MUST_CHECK static inline enum status env_dir_space(struct env *env,
                                                   const char *path,
                                                   uint64_t *out_free,
                                                   uint64_t *out_total)
{
    return env->ops->dir_space(env, path, out_free, out_total);
}

/* One event per line: "event key=value …". Loop thread only. */
void env_log(struct env *env, enum env_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * This node is wrong or its disk is: stop at once, answer nobody. The real body never returns; the
 * simulator marks the node dead, so code after it just returns. Loop thread only.
 */
void env_halt(struct env *env, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
