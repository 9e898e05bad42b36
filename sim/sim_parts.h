/* What the parts of the simulated env (sim_env.c, sim_net.c, sim_disk.c) know of each other. */
#ifndef SIM_SIM_PARTS_H
#define SIM_SIM_PARTS_H

#include "sim/sim_env.h"

struct sim_end; /* sim_conn.h */

enum sim_delivery_kind {
    SIM_DELIVERY_WORK_DONE,
    SIM_DELIVERY_ACCEPT,
    SIM_DELIVERY_CONNECTED,
    SIM_DELIVERY_READ,
    SIM_DELIVERY_DRAINED,
    SIM_DELIVERY_CLOSED,
};

static inline struct sim_env *sim_env_of(struct env *env)
{
    return (struct sim_env *)env;
}

/* Puts an event into the loop's inbox and wakes it. */
void sim_env_deliver(struct sim_env *e, enum sim_delivery_kind kind, void *item);
/* After the node's code has returned: schedules the next turn of its loop, if there is work. */
void sim_env_wake(struct sim_env *e);
/* Fails the run unless the node's code runs on the loop (or in node_start). */
void sim_env_check_loop(struct sim_env *e, const char *call);
/* A call with no excuse. */
void sim_env_misuse(struct sim_env *e, const char *what);

enum status sim_net_listen(struct env *env,
                           const char *address,
                           struct env_listener *listener,
                           struct error *error);
struct env_conn *sim_net_connect(struct env *env,
                                 const char *address,
                                 const struct env_conn_events *events,
                                 void *owner);
bool sim_net_write(struct env_conn *conn, struct bytes bytes);
void sim_net_pause(struct env_conn *conn);
void sim_net_resume(struct env_conn *conn);
void sim_net_close(struct env_conn *conn);
/* Called on the loop for each delivery about a connection. */
void sim_net_fire(struct sim_end *end, enum sim_delivery_kind kind);
/* The node died: others notice by and by. Frees the node's ends, so destroy the node first. */
void sim_net_crash(struct sim_env *e, enum sim_crash kind);
/* The machine answers again: what waited for it goes on. */
void sim_network_machine_up(struct sim_network *n, const struct sim_env *e);

/* What becomes of an operation of the disk. */
enum sim_gate {
    SIM_GATE_OPEN,
    SIM_GATE_DYING,  /* the disk dies within this operation */
    SIM_GATE_FAILED, /* injected error */
    SIM_GATE_DEAD,
};

/* Every operation passes here; what is its name in the trace. */
enum sim_gate sim_disk_pass(struct sim_env *e, const char *what, enum sim_call call);
/* A sync or name change that meets a dying disk happens or not; a failed one does not. */
bool sim_disk_takes_effect(struct sim_disk *d, enum sim_gate gate);

void sim_disk_init(struct sim_disk *d, struct prng prng);
void sim_disk_deinit(struct sim_disk *d);
uint64_t sim_disk_free(const struct sim_disk *d);
/*
 * One bit flips, in a row of the store or in a file. is_live: only where it is surely damage of
 * what a node needs: rows, and proven parts of the log. False: there is no such place.
 */
bool sim_disk_rot(struct sim_env *e, bool is_live);
/* The process ended; with power loss, also what the disk loses then. */
void sim_disk_crash(struct sim_env *e, enum sim_crash kind);
/* All files and directories are gone, but the root, as if nothing had ever been there. */
void sim_disk_wipe(struct sim_disk *d, const char *root);
size_t sim_disk_open_files(const struct sim_disk *d);

/* node_options.open_engine, ctx is the machine: rows in memory over its store medium. */
enum status sim_engine_open(void *ctx,
                            const char *data_dir,
                            struct store_engine **out_engine,
                            struct error *error);

/* sim_env.c: a new process, on the machine that is down. */
void sim_env_begin(struct sim_env *e);
/* sim_env.c: the node's process ends, at once. Restarts unless is_kept_down. */
void sim_env_end(struct sim_env *e, enum sim_crash kind);
/* sim_env_faults.c: the node said that its data are damaged, and that is right: calls the operator.
 */
void sim_env_call_operator(struct sim_env *e, const char *text);

enum status sim_disk_dir_create(struct env *env, const char *path);
enum status sim_disk_dir_sync(struct env *env, const char *path);
enum status sim_disk_dir_list(struct env *env,
                              const char *path,
                              void (*each)(void *ctx, const char *name),
                              void *ctx);
enum status sim_disk_dir_lock(struct env *env, const char *path);
enum status sim_disk_open(struct env *env,
                          const char *path,
                          enum env_open mode,
                          struct env_file **out_file);
enum status sim_disk_size(struct env *env, struct env_file *file, uint64_t *out_size);
enum status sim_disk_read(struct env *env,
                          struct env_file *file,
                          uint64_t offset,
                          void *data,
                          size_t size,
                          size_t *out_read);
enum status sim_disk_write(struct env *env,
                           struct env_file *file,
                           uint64_t offset,
                           struct bytes bytes);
enum status sim_disk_sync(struct env *env, struct env_file *file);
void sim_disk_close(struct env *env, struct env_file *file);
enum status sim_disk_rename(struct env *env, const char *from, const char *to);
enum status sim_disk_remove(struct env *env, const char *path);
enum status sim_disk_dir_space(struct env *env,
                               const char *path,
                               uint64_t *out_free,
                               uint64_t *out_total);

#endif
