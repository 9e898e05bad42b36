/*
 * Files with two contents: what a read sees now, and what is durable, with the writes and the name
 * changes between them kept in order. Power loss keeps any part of those; kill -9 keeps all of
 * them, still not synced, so that a later power loss may take them (LOG-8).
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/crc.h"
#include "base/mem.h"
#include "sim/sim_parts.h"
#include "store/engine.h"

#define ROT_TRIES 8
#define ROT_STORE_PER_MILLE 400

struct env_file {
    struct list link;
    struct sim_inode *inode;
    char path[SIM_PATH_BYTES]; /* when opened, for the trace */
    bool is_writable;
};

static struct sim_inode *inode_of(struct list *link)
{
    return container_of(link, struct sim_inode, link);
}

static struct env_file *file_of(struct list *link)
{
    return container_of(link, struct env_file, link);
}

/* Frees files that no name, change or handle leads to any more. */
static void collect(struct sim_disk *d)
{
    list_each(l, &d->inodes) {
        inode_of(l)->is_used = false;
    }
    sim_directory_mark_used(&d->names);
    list_each(l, &d->handles) {
        file_of(l)->inode->is_used = true;
    }
    for (struct list *l = d->inodes.next; l != &d->inodes;) {
        struct sim_inode *inode = inode_of(l);
        l = l->next;
        if (!inode->is_used) {
            sim_inode_destroy(inode);
        }
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

void sim_disk_init(struct sim_disk *d, struct prng prng)
{
    *d = (struct sim_disk){.prng = prng, .medium = store_medium_create()};
    sim_directory_init(&d->names);
    list_init(&d->inodes);
    list_init(&d->handles);
}

static void drop_handles(struct sim_disk *d)
{
    for (struct list *l = list_take_first(&d->handles); l != NULL;
         l = list_take_first(&d->handles)) {
        mem_free(file_of(l));
    }
}

void sim_disk_deinit(struct sim_disk *d)
{
    drop_handles(d);
    sim_directory_deinit(&d->names);
    while (!list_is_empty(&d->inodes)) {
        sim_inode_destroy(inode_of(d->inodes.next));
    }
    store_medium_destroy(d->medium);
    *d = (struct sim_disk){0};
}

size_t sim_disk_open_files(const struct sim_disk *d)
{
    size_t count = 0;
    list_each(l, &d->handles) {
        count++;
    }
    return count;
}

/* ---- crash ----------------------------------------------------------------------------------- */

/* What the store has not synced stands in its memory: any end of the process takes it. */
static void crash_store(struct sim_disk *d)
{
    size_t pending = store_medium_pending(d->medium);
    enum sim_crash_mood mood = sim_crash_mood_pick(&d->prng);
    size_t some = (size_t)prng_below(&d->prng, pending + 1);
    store_medium_crash(d->medium,
                       mood == SIM_CRASH_MOOD_KEEP_ALL   ? pending
                       : mood == SIM_CRASH_MOOD_LOSE_ALL ? 0
                                                         : some);
}

void sim_disk_crash(struct sim_env *e, enum sim_crash kind)
{
    struct sim_disk *d = &e->disk;
    drop_handles(d);
    d->is_locked = false;
    d->is_dead = false;
    d->has_failed = false;
    d->ops_until_death = 0;
    d->ops_until_error = 0;
    crash_store(d);
    if (kind == SIM_CRASH_POWER_LOSS) {
        enum sim_crash_mood mood = sim_crash_mood_pick(&d->prng);
        list_each(l, &d->inodes) {
            sim_inode_crash(inode_of(l), mood, &d->prng);
        }
        sim_directory_crash(&d->names, mood, &d->prng);
    }
    collect(d);
}

void sim_disk_wipe(struct sim_disk *d, const char *root)
{
    sim_directory_wipe(&d->names, root);
    store_medium_wipe(d->medium);
    collect(d);
}

/* ---- rot ------------------------------------------------------------------------------------- */

/*
 * Only batches that later ones prove to have been synced: a newest batch that rots looks torn, the
 * residual risk of LOG-6.
 */
static uint64_t bytes_to_rot(const struct sim_name *name, bool is_live)
{
    if (name->inode == NULL) {
        return 0;
    }
    return is_live ? (strstr(name->path, "/log/") != NULL ? sim_inode_proven(name->inode) : 0)
                   : name->inode->now.size;
}

static void rot_file(struct sim_env *e, const struct sim_name *name, uint64_t size)
{
    struct prng *p = &e->disk.prng;
    sim_inode_sync(name->inode);
    size_t at = (size_t)prng_below(p, size);
    for (int tries = 0; tries < ROT_TRIES && name->inode->now.data[at] == 0; tries++) {
        at = (size_t)prng_below(p, size); /* rather where data stands */
    }
    uint8_t bit = (uint8_t)(1u << prng_below(p, 8));
    world_trace(e->world, "%s rot %s at %zu bit %02x", e->name, name->path, at, bit);
    name->inode->now.data[at] ^= bit;
    name->inode->durable.data[at] ^= bit;
}

bool sim_disk_rot(struct sim_env *e, bool is_live)
{
    struct sim_disk *d = &e->disk;
    const struct sim_names *names = &d->names.now;
    uint64_t nth = prng_next(&d->prng);
    if (prng_chance(&d->prng, ROT_STORE_PER_MILLE) && store_medium_rot(d->medium, nth)) {
        world_trace(e->world, "%s rot a row of the store", e->name);
        e->has_rotten_rows = true;
        return true;
    }
    size_t first = (size_t)prng_below(&d->prng, names->count);
    for (size_t i = 0; i < names->count; i++) {
        const struct sim_name *name = &names->items[(first + i) % names->count];
        uint64_t size = bytes_to_rot(name, is_live);
        if (size > 0) {
            rot_file(e, name, size);
            return true;
        }
    }
    return false;
}

/* ---- space ----------------------------------------------------------------------------------- */

uint64_t sim_disk_free(const struct sim_disk *d)
{
    uint64_t used = d->others_bytes + store_medium_bytes(d->medium);
    for (size_t i = 0; i < d->names.now.count; i++) {
        const struct sim_inode *inode = d->names.now.items[i].inode;
        used += inode != NULL ? inode->now.size : 0;
    }
    return d->capacity_bytes > used ? d->capacity_bytes - used : 0;
}

enum status sim_disk_dir_space(struct env *env,
                               const char *path,
                               uint64_t *out_free,
                               uint64_t *out_total)
{
    struct sim_env *e = sim_env_of(env);
    if (sim_disk_pass(e, "dir_space", SIM_CALL_LOOK) != SIM_GATE_OPEN) {
        return STATUS_IO;
    }
    if (!sim_names_has_dir(&e->disk.names.now, path)) {
        return STATUS_NOT_FOUND;
    }
    *out_free = sim_disk_free(&e->disk);
    *out_total = e->disk.capacity_bytes;
    world_trace(e->world, "%s free %" PRIu64, e->name, *out_free);
    return STATUS_OK;
}

/* ---- the gate every operation passes -----------------------------------------------------------
 */

/* Whether this operation is the one at which the disk dies. */
static bool dies_now(struct sim_disk *d, enum sim_call call)
{
    bool is_called = (d->death_calls & (unsigned)call) != 0 && d->death_after == 0;
    if ((d->death_after & (unsigned)call) != 0) {
        d->death_after = 0;
    }
    if (d->ops_until_death == 1 && !is_called) {
        return false; /* the next one, perhaps */
    }
    return d->ops_until_death > 0 && --d->ops_until_death == 0;
}

enum sim_gate sim_disk_pass(struct sim_env *e, const char *what, enum sim_call call)
{
    struct sim_disk *d = &e->disk;
    /* Founders write down whom they met on the loop: nobody is served yet. */
    bool is_forming = e->node != NULL && node_group_count(e->node) == 0;
    if (e->place != SIM_PLACE_START && e->place != SIM_PLACE_JOB && !is_forming) {
        sim_env_misuse(e, what);
    }
    if (d->is_dead) {
        return SIM_GATE_DEAD;
    }
    if (dies_now(d, call)) {
        d->is_dead = true;
        world_trace(e->world, "%s disk dies within %s", e->name, what);
        return SIM_GATE_DYING;
    }
    bool is_change = call != SIM_CALL_LOOK && call != SIM_CALL_REMOVE;
    if (is_change && d->ops_until_error > 0 && --d->ops_until_error == 0) {
        d->has_failed = true;
        world_fault(e->world, SIM_FAULT_IO_ERROR);
        world_trace(e->world, "%s injected error in %s", e->name, what);
        return SIM_GATE_FAILED;
    }
    return SIM_GATE_OPEN;
}

bool sim_disk_takes_effect(struct sim_disk *d, enum sim_gate gate)
{
    return gate == SIM_GATE_OPEN || (gate == SIM_GATE_DYING && prng_chance(&d->prng, 300));
}

static enum status result(enum sim_gate gate)
{
    return gate == SIM_GATE_OPEN ? STATUS_OK : STATUS_IO;
}

/* ---- directories -------------------------------------------------------------------------------
 */

enum status sim_disk_dir_create(struct env *env, const char *path)
{
    struct sim_env *e = sim_env_of(env);
    enum sim_gate gate = sim_disk_pass(e, "dir_create", SIM_CALL_NAME);
    char dir[SIM_PATH_BYTES];
    sim_name_parent(path, dir);
    if (gate != SIM_GATE_DEAD && sim_names_find(&e->disk.names.now, path) != NULL) {
        return STATUS_EXISTS;
    }
    if (gate != SIM_GATE_DEAD && !sim_names_has_dir(&e->disk.names.now, dir)) {
        return STATUS_NOT_FOUND;
    }
    if (sim_disk_takes_effect(&e->disk, gate)) {
        sim_directory_change(&e->disk.names, SIM_NAME_CREATE, "", path, NULL);
    }
    world_trace(e->world, "%s dir_create %s", e->name, path);
    return result(gate);
}

enum status sim_disk_dir_sync(struct env *env, const char *path)
{
    struct sim_env *e = sim_env_of(env);
    struct sim_disk *d = &e->disk;
    enum sim_gate gate = sim_disk_pass(e, "dir_sync", SIM_CALL_NAME);
    if (gate == SIM_GATE_OPEN && !sim_names_has_dir(&d->names.now, path)) {
        return STATUS_NOT_FOUND;
    }
    if (sim_disk_takes_effect(d, gate)) {
        sim_directory_sync(&d->names, path);
        collect(d);
    }
    world_trace(e->world, "%s dir_sync %s", e->name, path);
    return result(gate);
}

enum status sim_disk_dir_list(struct env *env,
                              const char *path,
                              void (*each)(void *ctx, const char *name),
                              void *ctx)
{
    struct sim_env *e = sim_env_of(env);
    if (sim_disk_pass(e, "dir_list", SIM_CALL_LOOK) != SIM_GATE_OPEN) {
        return STATUS_IO;
    }
    if (!sim_names_has_dir(&e->disk.names.now, path)) {
        return STATUS_NOT_FOUND;
    }
    char at[SIM_PATH_BYTES] = "";
    for (;;) {
        /* each() may remove files: look up anew from the last name on. */
        const struct sim_name *name = sim_names_next_file(&e->disk.names.now, path, at);
        if (name == NULL) {
            return STATUS_OK;
        }
        sim_name_copy(at, name->path);
        each(ctx, at + strlen(path) + 1);
    }
}

enum status sim_disk_dir_lock(struct env *env, const char *path)
{
    struct sim_env *e = sim_env_of(env);
    if (sim_disk_pass(e, "dir_lock", SIM_CALL_LOOK) != SIM_GATE_OPEN) {
        return STATUS_IO;
    }
    if (!sim_names_has_dir(&e->disk.names.now, path)) {
        return STATUS_NOT_FOUND;
    }
    if (e->disk.is_locked) {
        return STATUS_BUSY;
    }
    e->disk.is_locked = true;
    return STATUS_OK;
}

/* A directory moves with all that is in it, and never onto another one. */
enum status sim_disk_rename(struct env *env, const char *from, const char *to)
{
    struct sim_env *e = sim_env_of(env);
    const struct sim_names *names = &e->disk.names.now;
    enum sim_gate gate = sim_disk_pass(e, "file_rename", SIM_CALL_NAME);
    if (gate == SIM_GATE_DEAD) {
        return STATUS_IO;
    }
    char dir[SIM_PATH_BYTES];
    sim_name_parent(to, dir);
    const struct sim_name *name = sim_names_find(names, from);
    if (name == NULL || !sim_names_has_dir(names, dir)) {
        return STATUS_NOT_FOUND;
    }
    if (sim_names_has_dir(names, to)) {
        return STATUS_EXISTS;
    }
    if (name->inode != NULL && !sim_name_is_child(from, dir)) {
        sim_env_misuse(e, "file_rename of a file into another directory (not simulated)");
    }
    if (sim_disk_takes_effect(&e->disk, gate)) {
        sim_directory_change(&e->disk.names, SIM_NAME_RENAME, from, to, name->inode);
    }
    world_trace(e->world, "%s rename %s to %s", e->name, from, to);
    return result(gate);
}

enum status sim_disk_remove(struct env *env, const char *path)
{
    struct sim_env *e = sim_env_of(env);
    enum sim_gate gate = sim_disk_pass(e, "file_remove", SIM_CALL_REMOVE);
    if (gate == SIM_GATE_DEAD) {
        return STATUS_IO;
    }
    const struct sim_name *name = sim_names_find(&e->disk.names.now, path);
    if (name == NULL || name->inode == NULL) {
        return STATUS_NOT_FOUND;
    }
    if (sim_disk_takes_effect(&e->disk, gate)) {
        sim_directory_change(&e->disk.names, SIM_NAME_REMOVE, path, "", NULL);
    }
    world_trace(e->world, "%s remove %s", e->name, path);
    return result(gate);
}

/* ---- files -------------------------------------------------------------------------------------
 */

static enum status open_file(struct sim_env *e,
                             const char *path,
                             enum env_open mode,
                             struct sim_inode **out_inode)
{
    struct sim_disk *d = &e->disk;
    enum sim_gate gate =
        sim_disk_pass(e, "file_open", mode == ENV_OPEN_CREATE ? SIM_CALL_NAME : SIM_CALL_LOOK);
    if (gate == SIM_GATE_DEAD) {
        return STATUS_IO;
    }
    const struct sim_name *name = sim_names_find(&d->names.now, path);
    struct sim_inode *inode = name != NULL ? name->inode : NULL;
    if (mode == ENV_OPEN_CREATE) {
        char dir[SIM_PATH_BYTES];
        sim_name_parent(path, dir);
        if (name != NULL || !sim_names_has_dir(&d->names.now, dir)) {
            return name != NULL ? STATUS_EXISTS : STATUS_NOT_FOUND;
        }
        if (sim_disk_takes_effect(d, gate)) {
            inode = sim_inode_create(&d->inodes);
            sim_directory_change(&d->names, SIM_NAME_CREATE, "", path, inode);
        }
    } else if (inode == NULL) {
        return STATUS_NOT_FOUND;
    }
    *out_inode = inode;
    return result(gate);
}

enum status sim_disk_open(struct env *env,
                          const char *path,
                          enum env_open mode,
                          struct env_file **out_file)
{
    struct sim_env *e = sim_env_of(env);
    struct sim_inode *inode = NULL;
    enum status status = open_file(e, path, mode, &inode);
    world_trace(e->world, "%s open %s mode %d %s", e->name, path, (int)mode, status_name(status));
    if (status != STATUS_OK) {
        return status;
    }
    struct env_file *file = mem_alloc_zero(sizeof *file);
    file->inode = inode;
    file->is_writable = mode != ENV_OPEN_READ;
    sim_name_copy(file->path, path);
    list_append(&e->disk.handles, &file->link);
    *out_file = file;
    return STATUS_OK;
}

enum status sim_disk_size(struct env *env, struct env_file *file, uint64_t *out_size)
{
    if (sim_disk_pass(sim_env_of(env), "file_size", SIM_CALL_LOOK) != SIM_GATE_OPEN) {
        return STATUS_IO;
    }
    *out_size = file->inode->now.size;
    return STATUS_OK;
}

enum status sim_disk_read(struct env *env,
                          struct env_file *file,
                          uint64_t offset,
                          void *data,
                          size_t size,
                          size_t *out_read)
{
    struct sim_env *e = sim_env_of(env);
    if (sim_disk_pass(e, "file_read", SIM_CALL_LOOK) != SIM_GATE_OPEN) {
        return STATUS_IO;
    }
    const struct buf *now = &file->inode->now;
    size_t left = offset < now->size ? now->size - (size_t)offset : 0;
    size_t got = left < size ? left : size;
    if (got > 0) {
        memcpy(data, now->data + offset, got);
    }
    *out_read = got;
    world_trace(e->world, "%s read %s at %" PRIu64 " size %zu", e->name, file->path, offset, got);
    return STATUS_OK;
}

/* For a file that is to be so long; bytes that it has already cost nothing. */
static bool has_room(const struct sim_disk *d, const struct sim_inode *inode, uint64_t size)
{
    return size <= inode->now.size || size - inode->now.size <= sim_disk_free(d);
}

enum status sim_disk_write(struct env *env,
                           struct env_file *file,
                           uint64_t offset,
                           struct bytes bytes)
{
    struct sim_env *e = sim_env_of(env);
    if (!file->is_writable) {
        sim_env_misuse(e, "file_write to a file opened for reading");
    }
    enum sim_gate gate = sim_disk_pass(e, "file_write", SIM_CALL_WRITE);
    if (gate == SIM_GATE_DEAD) {
        return STATUS_IO;
    }
    bool is_full = !has_room(&e->disk, file->inode, offset + bytes.size);
    size_t size = bytes.size;
    if (gate != SIM_GATE_OPEN || is_full) {
        size = (size_t)prng_between(&e->disk.prng, 0, size);
        size -= size % SIM_SECTOR_BYTES;
    }
    if (is_full && !has_room(&e->disk, file->inode, offset + size)) {
        size = 0;
    }
    sim_inode_write(file->inode, offset, bytes_of(bytes.data, size));
    world_trace(e->world,
                "%s write %s at %" PRIu64 " size %zu crc %08" PRIx32,
                e->name,
                file->path,
                offset,
                size,
                crc32c(0, bytes.data, size));
    return is_full && gate == SIM_GATE_OPEN ? STATUS_NO_SPACE : result(gate);
}

enum status sim_disk_sync(struct env *env, struct env_file *file)
{
    struct sim_env *e = sim_env_of(env);
    enum sim_gate gate = sim_disk_pass(e, "file_sync", SIM_CALL_SYNC);
    if (sim_disk_takes_effect(&e->disk, gate)) {
        sim_inode_sync(file->inode);
    } else if (gate == SIM_GATE_FAILED && prng_chance(&e->disk.prng, 500)) {
        /* Linux may mark the pages clean: a second sync succeeds and saves nothing. */
        sim_inode_drop_writes(file->inode);
    }
    world_trace(e->world, "%s sync %s", e->name, file->path);
    return result(gate);
}

void sim_disk_close(struct env *env, struct env_file *file)
{
    struct sim_env *e = sim_env_of(env);
    if (e->place == SIM_PLACE_DESTROY || e->place == SIM_PLACE_OUTSIDE) {
        sim_env_misuse(e, "file_close");
    }
    list_remove(&file->link);
    mem_free(file);
}
