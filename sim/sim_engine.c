/*
 * The engine of the store on a simulated machine: rows in memory over a medium that outlives the
 * process. On its way through here every write and sync meets the faults of the disk, and rows are
 * not at hand now and then, as if they had to be read.
 */
#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "sim/sim_parts.h"
#include "store/engine.h"

#define CURRENT_TEXT "sim store\n"

struct sim_engine {
    struct store_engine base; /* first */
    struct store_engine *inner;
    struct sim_env *machine;
};

static struct sim_engine *engine_of(struct store_engine *e)
{
    return (struct sim_engine *)(void *)e;
}

static const struct store_engine_ops *inner_ops(struct store_engine *e)
{
    return engine_of(e)->inner->ops;
}

/* The simulator itself looks at the rows: no fault, no chance. */
static bool is_outside(const struct sim_engine *s)
{
    return s->machine->place == SIM_PLACE_OUTSIDE || s->machine->place == SIM_PLACE_DESTROY;
}

static bool is_elsewhere(struct sim_engine *s)
{
    return !is_outside(s) &&
           prng_chance(&s->machine->disk.prng, s->machine->options.need_per_mille);
}

/* ---- reads ----------------------------------------------------------------------------------- */

static enum status sim_engine_get(struct store_engine *e, struct bytes key, struct blob **out_value)
{
    return is_elsewhere(engine_of(e)) ? STATUS_NEED
                                      : inner_ops(e)->get(engine_of(e)->inner, key, out_value);
}

static enum status sim_engine_seek(struct store_engine *e,
                                   struct bytes from,
                                   struct buf *out_key,
                                   struct blob **out_value)
{
    return is_elsewhere(engine_of(e))
               ? STATUS_NEED
               : inner_ops(e)->seek(engine_of(e)->inner, from, out_key, out_value);
}

static bool may_read(struct sim_engine *s, const char *what)
{
    return is_outside(s) || sim_disk_pass(s->machine, what, SIM_CALL_LOOK) == SIM_GATE_OPEN;
}

static enum status sim_engine_read(struct store_engine *e,
                                   struct bytes key,
                                   struct blob **out_value)
{
    struct sim_engine *s = engine_of(e);
    return may_read(s, "store read") ? s->inner->ops->read(s->inner, key, out_value) : STATUS_IO;
}

static enum status sim_engine_read_range(struct store_engine *e,
                                         struct store_engine_snapshot *snapshot,
                                         struct bytes from,
                                         struct bytes to,
                                         uint64_t bytes_max,
                                         struct omap *out_rows,
                                         bool *out_is_end)
{
    struct sim_engine *s = engine_of(e);
    if (!may_read(s, "store range")) {
        return STATUS_IO;
    }
    return s->inner->ops->read_range(s->inner, snapshot, from, to, bytes_max, out_rows, out_is_end);
}

/* ---- writes ---------------------------------------------------------------------------------- */

static enum status sim_engine_write(struct store_engine *e, const struct store_batch *batch)
{
    struct sim_engine *s = engine_of(e);
    struct sim_disk *d = &s->machine->disk;
    enum sim_gate gate = sim_disk_pass(s->machine, "store write", SIM_CALL_STORE);
    enum status status = STATUS_IO;
    if (sim_disk_takes_effect(d, gate)) {
        status = s->inner->ops->write(s->inner, batch);
    }
    world_trace(s->machine->world,
                "%s store write, %zu batches not synced",
                s->machine->name,
                store_medium_pending(d->medium));
    return gate == SIM_GATE_OPEN ? status : STATUS_IO;
}

/* Until then what was written stands in memory: this is where space is needed. */
static enum status sim_engine_sync(struct store_engine *e)
{
    struct sim_engine *s = engine_of(e);
    struct sim_disk *d = &s->machine->disk;
    enum sim_gate gate = sim_disk_pass(s->machine, "store sync", SIM_CALL_STORE);
    bool is_full = store_medium_pending(d->medium) > 0 && sim_disk_free(d) == 0;
    world_trace(s->machine->world,
                "%s store sync%s",
                s->machine->name,
                is_full ? ": no space" : "");
    if (is_full && gate == SIM_GATE_OPEN) {
        return STATUS_NO_SPACE;
    }
    if (is_full || !sim_disk_takes_effect(d, gate)) {
        return STATUS_IO;
    }
    enum status status = s->inner->ops->sync(s->inner);
    return gate == SIM_GATE_OPEN ? status : STATUS_IO;
}

static void sim_engine_written(struct store_engine *e, const struct store_batch *batch)
{
    if (inner_ops(e)->written != NULL) {
        inner_ops(e)->written(engine_of(e)->inner, batch);
    }
}

/* ---- the rest -------------------------------------------------------------------------------- */

static struct store_engine_snapshot *sim_engine_snapshot_open(struct store_engine *e)
{
    return inner_ops(e)->snapshot_open(engine_of(e)->inner);
}

static void sim_engine_snapshot_close(struct store_engine *e,
                                      struct store_engine_snapshot *snapshot)
{
    inner_ops(e)->snapshot_close(engine_of(e)->inner, snapshot);
}

static uint64_t sim_engine_disk_bytes(struct store_engine *e)
{
    return store_medium_bytes(engine_of(e)->machine->disk.medium);
}

static uint64_t sim_engine_memory(struct store_engine *e)
{
    return inner_ops(e)->memory(engine_of(e)->inner);
}

static const char *sim_engine_failure(struct store_engine *e)
{
    struct sim_env *machine = engine_of(e)->machine;
    return machine->disk.has_failed ? "injected error" : inner_ops(e)->failure(engine_of(e)->inner);
}

static void sim_engine_destroy(struct store_engine *e)
{
    struct sim_engine *s = engine_of(e);
    s->inner->ops->destroy(s->inner);
    mem_free(s);
}

#define SIM_ENGINE_OPS(needs)                                                                      \
    {                                                                                              \
        .may_need = (needs), .get = sim_engine_get, .seek = sim_engine_seek,                       \
        .read = sim_engine_read, .read_range = sim_engine_read_range, .write = sim_engine_write,   \
        .written = sim_engine_written, .sync = sim_engine_sync, .failure = sim_engine_failure,     \
        .snapshot_open = sim_engine_snapshot_open, .snapshot_close = sim_engine_snapshot_close,    \
        .disk_bytes = sim_engine_disk_bytes, .memory = sim_engine_memory,                          \
        .destroy = sim_engine_destroy,                                                             \
    }

static const struct store_engine_ops ops_at_hand = SIM_ENGINE_OPS(false);
static const struct store_engine_ops ops_elsewhere = SIM_ENGINE_OPS(true);

/* ---- opening: names on the disk, as RocksDB has them ----------------------------------------- */

/* A store that is not there begins empty: so a directory that was moved away takes its rows along.
 */
static enum status create_store(struct sim_env *e, const char *fresh, const char *current)
{
    struct env *env = &e->env;
    store_medium_wipe(e->disk.medium);
    enum status s = env_file_remove(env, fresh);
    if (s != STATUS_OK && s != STATUS_NOT_FOUND) {
        return s;
    }
    struct env_file *file = NULL;
    s = env_file_open(env, fresh, ENV_OPEN_CREATE, &file);
    if (s != STATUS_OK) {
        return s;
    }
    s = env_file_write(env, file, 0, bytes_of_text(CURRENT_TEXT));
    if (s == STATUS_OK) {
        s = env_file_sync(env, file);
    }
    env_file_close(env, file);
    return s == STATUS_OK ? env_file_rename(env, fresh, current) : s;
}

static enum status check_store(struct env *env, struct env_file *file)
{
    char text[sizeof CURRENT_TEXT] = "";
    size_t size = 0;
    enum status s = env_file_read(env, file, 0, text, sizeof text, &size);
    if (s != STATUS_OK) {
        return s;
    }
    bool is_whole = bytes_equal(bytes_of(text, size), bytes_of_text(CURRENT_TEXT));
    return is_whole ? STATUS_OK : STATUS_CORRUPT;
}

static enum status open_store(struct sim_env *e, const char *data_dir)
{
    struct env *env = &e->env;
    char dir[SIM_PATH_BYTES];
    char fresh[SIM_PATH_BYTES + 16];
    char current[SIM_PATH_BYTES + 16];
    (void)snprintf(dir, sizeof dir, "%s/store", data_dir);
    (void)snprintf(fresh, sizeof fresh, "%s/CURRENT.new", dir);
    (void)snprintf(current, sizeof current, "%s/CURRENT", dir);
    enum status s = env_dir_create(env, dir);
    if (s != STATUS_OK && s != STATUS_EXISTS) {
        return s;
    }
    struct env_file *file = NULL;
    s = env_file_open(env, current, ENV_OPEN_READ, &file);
    if (s == STATUS_NOT_FOUND) {
        s = create_store(e, fresh, current);
    } else if (s == STATUS_OK) {
        s = check_store(env, file);
        env_file_close(env, file);
    }
    if (s == STATUS_OK) {
        s = env_dir_sync(env, dir);
    }
    return s == STATUS_OK ? env_dir_sync(env, data_dir) : s;
}

enum status sim_engine_open(void *ctx,
                            const char *data_dir,
                            struct store_engine **out_engine,
                            struct error *error)
{
    struct sim_env *e = ctx;
    enum status s = open_store(e, data_dir);
    if (s != STATUS_OK) {
        return error_set(error, s, "%s/store: cannot open", data_dir);
    }
    struct sim_engine *engine = mem_alloc_zero(sizeof *engine);
    engine->base.ops = e->options.need_per_mille > 0 ? &ops_elsewhere : &ops_at_hand;
    engine->inner = store_engine_mem_create(e->disk.medium);
    engine->machine = e;
    if (e->options.need_per_mille > 0) {
        store_engine_mem_miss(engine->inner, 0, 0); /* the dice are thrown here */
    }
    *out_engine = &engine->base;
    return STATUS_OK;
}
