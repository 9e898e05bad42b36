/*
 * The env port on libuv: real clocks, sockets, files and threads of one process. Only main includes
 * this. All functions but uv_env_create run on the loop thread.
 */
#ifndef UV_UV_ENV_H
#define UV_UV_ENV_H

#include "env/env.h"

struct uv_env;

/* Ends the process if the machine cannot give a loop. Ignores SIGPIPE, raises the file limit. */
struct uv_env *uv_env_create(void);

/* The port for node_create; lives as long as env. */
struct env *uv_env_port(struct uv_env *env);

/* Lines below level are not written; ENV_LEVEL_INFO at first. */
void uv_env_set_log_level(struct uv_env *env, enum env_level level);

/* From now on SIGINT and SIGTERM call signalled() on the loop, each time, instead of ending us. */
void uv_env_on_signal(struct uv_env *env,
                      void (*signalled)(void *owner, int signal_number),
                      void *owner);

/* Returns after uv_env_stop; may be called again. */
void uv_env_run(struct uv_env *env);
void uv_env_stop(struct uv_env *env);

/*
 * Closes what is open and waits for jobs that still run; calls no callback of the node, whose
 * memory may be gone. NULL is fine.
 */
void uv_env_destroy(struct uv_env *env);

#endif
