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
#include "sim/sim_inode.h"
#include "sim/sim_parts.h"

#define ROT_TRIES 8

enum name_change {
    NAME_CREATE,
    NAME_RENAME,
    NAME_REMOVE,
};

struct sim_name_change {
    struct list link;
    enum name_change kind;
    char dir[SIM_PATH_BYTES];
    char from[SIM_PATH_BYTES];
    char to[SIM_PATH_BYTES];
    struct sim_inode *inode;
    bool is_lost; /* scratch of crash_names() */
};

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

static struct sim_name_change *change_of(struct list *link)
{
    return container_of(link, struct sim_name_change, link);
}

static struct env_file *file_of(struct list *link)
{
    return container_of(link, struct env_file, link);
}

/* ---- names ----------------------------------------------------------------------------------- */

static void copy_path(char *to, const char *from)
{
    size_t size = strlen(from) + 1;
    ensure(size <= SIM_PATH_BYTES);
    memcpy(to, from, size);
}

static struct sim_name *find_name(const struct sim_names *names, const char *path)
{
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->items[i].path, path) == 0) {
            return &names->items[i];
        }
    }
    return NULL;
}

static void put_name(struct sim_names *names, const char *path, struct sim_inode *inode)
{
    struct sim_name *name = find_name(names, path);
    if (name == NULL) {
        if (names->count == names->capacity) {
            names->capacity = names->capacity > 0 ? names->capacity * 2 : 8;
            names->items = mem_realloc(names->items, names->capacity * sizeof names->items[0]);
        }
        name = &names->items[names->count++];
        copy_path(name->path, path);
    }
    name->inode = inode;
}

static void drop_name(struct sim_names *names, const char *path)
{
    struct sim_name *name = find_name(names, path);
    if (name != NULL) {
        *name = names->items[--names->count];
    }
}

/* The directory of path; "" if it has none. */
static void parent_of(const char *path, char out_dir[SIM_PATH_BYTES])
{
    copy_path(out_dir, path);
    char *slash = strrchr(out_dir, '/');
    *(slash != NULL ? slash : out_dir) = '\0';
}

static bool is_child(const char *path, const char *dir)
{
    char parent[SIM_PATH_BYTES];
    parent_of(path, parent);
    return strcmp(parent, dir) == 0;
}

static bool has_dir(const struct sim_names *names, const char *dir)
{
    const struct sim_name *name = find_name(names, dir);
    return name != NULL && name->inode == NULL;
}

static void change_apply(const struct sim_name_change *change, struct sim_names *names)
{
    if (change->kind != NAME_CREATE) {
        drop_name(names, change->from);
    }
    if (change->kind != NAME_REMOVE) {
        put_name(names, change->to, change->inode);
    }
}

static void change_names(struct sim_disk *d,
                         enum name_change kind,
                         const char *from,
                         const char *to,
                         struct sim_inode *inode)
{
    struct sim_name_change *change = mem_alloc_zero(sizeof *change);
    change->kind = kind;
    copy_path(change->from, from);
    copy_path(change->to, to);
    parent_of(kind == NAME_REMOVE ? from : to, change->dir);
    change->inode = inode;
    list_append(&d->changes, &change->link);
    change_apply(change, &d->now);
}

static void change_destroy(struct sim_name_change *change)
{
    list_remove(&change->link);
    mem_free(change);
}

static void mark_used(const struct sim_names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        if (names->items[i].inode != NULL) {
            names->items[i].inode->is_used = true;
        }
    }
}

/* Frees files that no name, change or handle leads to any more. */
static void collect(struct sim_disk *d)
{
    list_each(l, &d->inodes) {
        inode_of(l)->is_used = false;
    }
    mark_used(&d->now);
    mark_used(&d->durable);
    list_each(l, &d->changes) {
        if (change_of(l)->inode != NULL) {
            change_of(l)->inode->is_used = true;
        }
    }
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
    *d = (struct sim_disk){.prng = prng};
    list_init(&d->inodes);
    list_init(&d->handles);
    list_init(&d->changes);
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
    while (!list_is_empty(&d->changes)) {
        change_destroy(change_of(d->changes.next));
    }
    while (!list_is_empty(&d->inodes)) {
        sim_inode_destroy(inode_of(d->inodes.next));
    }
    mem_free(d->now.items);
    mem_free(d->durable.items);
    *d = (struct sim_disk){0};
}

void sim_disk_add_root(struct sim_disk *d, const char *path)
{
    put_name(&d->now, path, NULL);
    put_name(&d->durable, path, NULL);
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

/* In each directory a prefix of the changes survives. */
static void crash_names(struct sim_disk *d, enum sim_crash_mood mood)
{
    list_each(l, &d->changes) {
        struct sim_name_change *change = change_of(l);
        change->is_lost = mood == SIM_CRASH_MOOD_LOSE_ALL ||
                          (mood == SIM_CRASH_MOOD_MIXED && prng_chance(&d->prng, 400));
        for (struct list *e = d->changes.next; e != l && !change->is_lost; e = e->next) {
            change->is_lost = change_of(e)->is_lost && strcmp(change_of(e)->dir, change->dir) == 0;
        }
        if (!change->is_lost) {
            change_apply(change, &d->durable);
        }
    }
    while (!list_is_empty(&d->changes)) {
        change_destroy(change_of(d->changes.next));
    }
}

static bool drop_orphan(struct sim_names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        char dir[SIM_PATH_BYTES];
        parent_of(names->items[i].path, dir);
        if (dir[0] != '\0' && !has_dir(names, dir)) {
            drop_name(names, names->items[i].path);
            return true;
        }
    }
    return false;
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
    if (kind == SIM_CRASH_POWER_LOSS) {
        enum sim_crash_mood mood = sim_crash_mood_pick(&d->prng);
        list_each(l, &d->inodes) {
            sim_inode_crash(inode_of(l), mood, &d->prng);
        }
        crash_names(d, mood);
        while (drop_orphan(&d->durable)) {
            /* A lost directory takes along what is in it. */
        }
        d->now.count = 0;
        for (size_t i = 0; i < d->durable.count; i++) {
            put_name(&d->now, d->durable.items[i].path, d->durable.items[i].inode);
        }
    }
    collect(d);
}

void sim_disk_wipe(struct sim_disk *d, const char *root)
{
    while (!list_is_empty(&d->changes)) {
        change_destroy(change_of(d->changes.next));
    }
    d->now.count = 0;
    d->durable.count = 0;
    sim_disk_add_root(d, root);
    collect(d);
}

void sim_env_rot(struct sim_env *e, struct prng *prng)
{
    struct sim_disk *d = &e->disk;
    ensure(!e->is_up);
    size_t first = (size_t)prng_below(prng, d->now.count);
    for (size_t i = 0; i < d->now.count; i++) {
        const struct sim_name *name = &d->now.items[(first + i) % d->now.count];
        if (name->inode == NULL || name->inode->now.size == 0) {
            continue;
        }
        sim_inode_sync(name->inode);
        size_t at = (size_t)prng_below(prng, name->inode->now.size);
        for (int tries = 0; tries < ROT_TRIES && name->inode->now.data[at] == 0; tries++) {
            at = (size_t)prng_below(prng, name->inode->now.size); /* rather where data stands */
        }
        uint8_t bit = (uint8_t)(1u << prng_below(prng, 8));
        world_fault(e->world, SIM_FAULT_ROT);
        world_trace(e->world, "%s rot %s at %zu bit %02x", e->name, name->path, at, bit);
        name->inode->now.data[at] ^= bit;
        name->inode->durable.data[at] ^= bit;
        return;
    }
}

/* ---- the gate every operation passes -----------------------------------------------------------
 */

enum gate {
    GATE_OPEN,
    GATE_DYING,  /* the disk dies within this operation */
    GATE_FAILED, /* injected error */
    GATE_DEAD,
};

enum disk_call {
    CALL_LOOK,
    CALL_CHANGE,
    CALL_SYNC, /* of a file: the moment with the most to lose */
};

static enum gate pass(struct sim_env *e, const char *call, enum disk_call kind)
{
    struct sim_disk *d = &e->disk;
    /* Founders write down whom they met on the loop: nobody is served yet. */
    bool is_forming = e->node != NULL && node_group_count(e->node) == 0;
    if (e->place != SIM_PLACE_START && e->place != SIM_PLACE_JOB && !is_forming) {
        sim_env_misuse(e, call);
    }
    if (d->is_dead) {
        return GATE_DEAD;
    }
    if (d->ops_until_death == 1 && d->dies_in_sync && kind != CALL_SYNC) {
        return GATE_OPEN; /* the next one, perhaps */
    }
    if (d->ops_until_death > 0 && --d->ops_until_death == 0) {
        d->is_dead = true;
        world_trace(e->world, "%s disk dies within %s", e->name, call);
        return GATE_DYING;
    }
    if (kind != CALL_LOOK && d->ops_until_error > 0 && --d->ops_until_error == 0) {
        d->has_failed = true;
        world_fault(e->world, SIM_FAULT_IO_ERROR);
        world_trace(e->world, "%s injected error in %s", e->name, call);
        return GATE_FAILED;
    }
    return GATE_OPEN;
}

/* A sync or name change that meets a dying disk happens or not; a failed one does not. */
static bool takes_effect(struct sim_disk *d, enum gate gate)
{
    return gate == GATE_OPEN || (gate == GATE_DYING && prng_chance(&d->prng, 300));
}

static enum status result(enum gate gate)
{
    return gate == GATE_OPEN ? STATUS_OK : STATUS_IO;
}

/* ---- directories -------------------------------------------------------------------------------
 */

enum status sim_disk_dir_create(struct env *env, const char *path)
{
    struct sim_env *e = sim_env_of(env);
    enum gate gate = pass(e, "dir_create", CALL_CHANGE);
    char dir[SIM_PATH_BYTES];
    parent_of(path, dir);
    if (gate != GATE_DEAD && find_name(&e->disk.now, path) != NULL) {
        return STATUS_EXISTS;
    }
    if (gate != GATE_DEAD && !has_dir(&e->disk.now, dir)) {
        return STATUS_NOT_FOUND;
    }
    if (takes_effect(&e->disk, gate)) {
        change_names(&e->disk, NAME_CREATE, "", path, NULL);
    }
    world_trace(e->world, "%s dir_create %s", e->name, path);
    return result(gate);
}

enum status sim_disk_dir_sync(struct env *env, const char *path)
{
    struct sim_env *e = sim_env_of(env);
    struct sim_disk *d = &e->disk;
    enum gate gate = pass(e, "dir_sync", CALL_CHANGE);
    if (gate == GATE_OPEN && !has_dir(&d->now, path)) {
        return STATUS_NOT_FOUND;
    }
    if (takes_effect(d, gate)) {
        for (struct list *l = d->changes.next; l != &d->changes;) {
            struct sim_name_change *change = change_of(l);
            l = l->next;
            if (strcmp(change->dir, path) == 0) {
                change_apply(change, &d->durable);
                change_destroy(change);
            }
        }
        collect(d);
    }
    world_trace(e->world, "%s dir_sync %s", e->name, path);
    return result(gate);
}

/* The file of dir with the least name above `after`. */
static const struct sim_name *next_file(const struct sim_names *names,
                                        const char *dir,
                                        const char *after)
{
    const struct sim_name *least = NULL;
    for (size_t i = 0; i < names->count; i++) {
        const struct sim_name *name = &names->items[i];
        if (name->inode != NULL && is_child(name->path, dir) && strcmp(name->path, after) > 0 &&
            (least == NULL || strcmp(name->path, least->path) < 0)) {
            least = name;
        }
    }
    return least;
}

enum status sim_disk_dir_list(struct env *env,
                              const char *path,
                              void (*each)(void *ctx, const char *name),
                              void *ctx)
{
    struct sim_env *e = sim_env_of(env);
    if (pass(e, "dir_list", CALL_LOOK) != GATE_OPEN) {
        return STATUS_IO;
    }
    if (!has_dir(&e->disk.now, path)) {
        return STATUS_NOT_FOUND;
    }
    char at[SIM_PATH_BYTES] = "";
    for (;;) {
        /* each() may remove files: look up anew from the last name on. */
        const struct sim_name *name = next_file(&e->disk.now, path, at);
        if (name == NULL) {
            return STATUS_OK;
        }
        copy_path(at, name->path);
        each(ctx, at + strlen(path) + 1);
    }
}

enum status sim_disk_dir_lock(struct env *env, const char *path)
{
    struct sim_env *e = sim_env_of(env);
    if (pass(e, "dir_lock", CALL_LOOK) != GATE_OPEN) {
        return STATUS_IO;
    }
    if (!has_dir(&e->disk.now, path)) {
        return STATUS_NOT_FOUND;
    }
    if (e->disk.is_locked) {
        return STATUS_BUSY;
    }
    e->disk.is_locked = true;
    return STATUS_OK;
}

enum status sim_disk_rename(struct env *env, const char *from, const char *to)
{
    struct sim_env *e = sim_env_of(env);
    enum gate gate = pass(e, "file_rename", CALL_CHANGE);
    if (gate == GATE_DEAD) {
        return STATUS_IO;
    }
    const struct sim_name *name = find_name(&e->disk.now, from);
    if (name == NULL || name->inode == NULL) {
        return STATUS_NOT_FOUND;
    }
    char dir[SIM_PATH_BYTES];
    parent_of(from, dir);
    if (!is_child(to, dir)) {
        sim_env_misuse(e, "file_rename into another directory (not simulated)");
    }
    if (takes_effect(&e->disk, gate)) {
        change_names(&e->disk, NAME_RENAME, from, to, name->inode);
    }
    world_trace(e->world, "%s rename %s to %s", e->name, from, to);
    return result(gate);
}

enum status sim_disk_remove(struct env *env, const char *path)
{
    struct sim_env *e = sim_env_of(env);
    enum gate gate = pass(e, "file_remove", CALL_LOOK);
    if (gate == GATE_DEAD) {
        return STATUS_IO;
    }
    const struct sim_name *name = find_name(&e->disk.now, path);
    if (name == NULL || name->inode == NULL) {
        return STATUS_NOT_FOUND;
    }
    if (takes_effect(&e->disk, gate)) {
        change_names(&e->disk, NAME_REMOVE, path, "", NULL);
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
    enum gate gate = pass(e, "file_open", mode == ENV_OPEN_CREATE ? CALL_CHANGE : CALL_LOOK);
    if (gate == GATE_DEAD) {
        return STATUS_IO;
    }
    const struct sim_name *name = find_name(&d->now, path);
    struct sim_inode *inode = name != NULL ? name->inode : NULL;
    if (mode == ENV_OPEN_CREATE) {
        char dir[SIM_PATH_BYTES];
        parent_of(path, dir);
        if (name != NULL || !has_dir(&d->now, dir)) {
            return name != NULL ? STATUS_EXISTS : STATUS_NOT_FOUND;
        }
        if (takes_effect(d, gate)) {
            inode = sim_inode_create(&d->inodes);
            change_names(d, NAME_CREATE, "", path, inode);
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
    copy_path(file->path, path);
    list_append(&e->disk.handles, &file->link);
    *out_file = file;
    return STATUS_OK;
}

enum status sim_disk_size(struct env *env, struct env_file *file, uint64_t *out_size)
{
    if (pass(sim_env_of(env), "file_size", CALL_LOOK) != GATE_OPEN) {
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
    if (pass(e, "file_read", CALL_LOOK) != GATE_OPEN) {
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

enum status sim_disk_write(struct env *env,
                           struct env_file *file,
                           uint64_t offset,
                           struct bytes bytes)
{
    struct sim_env *e = sim_env_of(env);
    if (!file->is_writable) {
        sim_env_misuse(e, "file_write to a file opened for reading");
    }
    enum gate gate = pass(e, "file_write", CALL_CHANGE);
    if (gate == GATE_DEAD) {
        return STATUS_IO;
    }
    size_t size = bytes.size;
    if (gate != GATE_OPEN) {
        size = (size_t)prng_between(&e->disk.prng, 0, size);
        size -= size % SIM_SECTOR_BYTES;
    }
    sim_inode_write(file->inode, offset, bytes_of(bytes.data, size));
    world_trace(e->world,
                "%s write %s at %" PRIu64 " size %zu crc %08" PRIx32,
                e->name,
                file->path,
                offset,
                size,
                crc32c(0, bytes.data, size));
    return result(gate);
}

enum status sim_disk_sync(struct env *env, struct env_file *file)
{
    struct sim_env *e = sim_env_of(env);
    enum gate gate = pass(e, "file_sync", CALL_SYNC);
    if (takes_effect(&e->disk, gate)) {
        sim_inode_sync(file->inode);
    } else if (gate == GATE_FAILED && prng_chance(&e->disk.prng, 500)) {
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
