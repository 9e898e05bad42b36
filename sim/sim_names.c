#include "sim/sim_names.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

struct change {
    struct list link;
    enum sim_name_change kind;
    char dirs[2][SIM_PATH_BYTES]; /* that it changes: of from and of to; the same mostly */
    char from[SIM_PATH_BYTES];
    char to[SIM_PATH_BYTES];
    struct sim_inode *inode;
    bool is_lost; /* scratch of sim_directory_crash() */
};

static struct change *change_of(struct list *link)
{
    return container_of(link, struct change, link);
}

/* ---- names ----------------------------------------------------------------------------------- */

void sim_name_copy(char to[SIM_PATH_BYTES], const char *from)
{
    size_t size = strlen(from) + 1;
    ensure(size <= SIM_PATH_BYTES);
    memcpy(to, from, size);
}

void sim_name_parent(const char *path, char out_dir[SIM_PATH_BYTES])
{
    sim_name_copy(out_dir, path);
    char *slash = strrchr(out_dir, '/');
    *(slash != NULL ? slash : out_dir) = '\0';
}

bool sim_name_is_child(const char *path, const char *dir)
{
    char parent[SIM_PATH_BYTES];
    sim_name_parent(path, parent);
    return strcmp(parent, dir) == 0;
}

/* In it, or in a directory in it. */
static bool is_below(const char *path, const char *dir)
{
    size_t size = strlen(dir);
    return strncmp(path, dir, size) == 0 && path[size] == '/';
}

const struct sim_name *sim_names_find(const struct sim_names *names, const char *path)
{
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->items[i].path, path) == 0) {
            return &names->items[i];
        }
    }
    return NULL;
}

bool sim_names_has_dir(const struct sim_names *names, const char *dir)
{
    const struct sim_name *name = sim_names_find(names, dir);
    return name != NULL && name->inode == NULL;
}

const struct sim_name *sim_names_next_file(const struct sim_names *names,
                                           const char *dir,
                                           const char *after)
{
    const struct sim_name *least = NULL;
    for (size_t i = 0; i < names->count; i++) {
        const struct sim_name *name = &names->items[i];
        if (name->inode != NULL && sim_name_is_child(name->path, dir) &&
            strcmp(name->path, after) > 0 &&
            (least == NULL || strcmp(name->path, least->path) < 0)) {
            least = name;
        }
    }
    return least;
}

static void put_name(struct sim_names *names, const char *path, struct sim_inode *inode)
{
    struct sim_name *name = (struct sim_name *)(uintptr_t)sim_names_find(names, path);
    if (name == NULL) {
        if (names->count == names->capacity) {
            names->capacity = names->capacity > 0 ? names->capacity * 2 : 8;
            names->items = mem_realloc(names->items, names->capacity * sizeof names->items[0]);
        }
        name = &names->items[names->count++];
        sim_name_copy(name->path, path);
    }
    name->inode = inode;
}

static void drop_name(struct sim_names *names, const char *path)
{
    struct sim_name *name = (struct sim_name *)(uintptr_t)sim_names_find(names, path);
    if (name != NULL) {
        *name = names->items[--names->count];
    }
}

/* What is in a directory moves with it. */
static void move_below(struct sim_names *names, const char *from, const char *to)
{
    for (size_t i = 0; i < names->count; i++) {
        char *path = names->items[i].path;
        if (is_below(path, from)) {
            char moved[SIM_PATH_BYTES];
            int size = snprintf(moved, sizeof moved, "%s%s", to, path + strlen(from));
            ensure(size > 0 && (size_t)size < sizeof moved);
            sim_name_copy(path, moved);
        }
    }
}

/* ---- changes --------------------------------------------------------------------------------- */

static void change_apply(const struct change *change, struct sim_names *names)
{
    if (change->kind != SIM_NAME_CREATE) {
        drop_name(names, change->from);
    }
    if (change->kind != SIM_NAME_REMOVE) {
        put_name(names, change->to, change->inode);
    }
    if (change->kind == SIM_NAME_RENAME && change->inode == NULL) {
        move_below(names, change->from, change->to);
    }
}

static void change_destroy(struct change *change)
{
    list_remove(&change->link);
    mem_free(change);
}

static void drop_changes(struct sim_directory *d)
{
    while (!list_is_empty(&d->changes)) {
        change_destroy(change_of(d->changes.next));
    }
}

static bool changes_dir(const struct change *change, const char *dir)
{
    return strcmp(change->dirs[0], dir) == 0 || strcmp(change->dirs[1], dir) == 0;
}

/* As a journal does: what happened in a directory before it moved is durable when the move is. */
static void settle_below(struct sim_directory *d, const char *dir)
{
    for (struct list *l = d->changes.next; l != &d->changes;) {
        struct change *change = change_of(l);
        l = l->next;
        if (changes_dir(change, dir) || is_below(change->dirs[1], dir)) {
            change_apply(change, &d->durable);
            change_destroy(change);
        }
    }
}

void sim_directory_change(struct sim_directory *d,
                          enum sim_name_change kind,
                          const char *from,
                          const char *to,
                          struct sim_inode *inode)
{
    if (kind == SIM_NAME_RENAME && inode == NULL) {
        settle_below(d, from);
    }
    struct change *change = mem_alloc_zero(sizeof *change);
    change->kind = kind;
    sim_name_copy(change->from, from);
    sim_name_copy(change->to, to);
    sim_name_parent(kind == SIM_NAME_CREATE ? to : from, change->dirs[0]);
    sim_name_parent(kind == SIM_NAME_REMOVE ? from : to, change->dirs[1]);
    change->inode = inode;
    list_append(&d->changes, &change->link);
    change_apply(change, &d->now);
}

void sim_directory_sync(struct sim_directory *d, const char *dir)
{
    for (struct list *l = d->changes.next; l != &d->changes;) {
        struct change *change = change_of(l);
        l = l->next;
        if (changes_dir(change, dir)) {
            change_apply(change, &d->durable);
            change_destroy(change);
        }
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

void sim_directory_init(struct sim_directory *d)
{
    *d = (struct sim_directory){0};
    list_init(&d->changes);
}

void sim_directory_deinit(struct sim_directory *d)
{
    drop_changes(d);
    mem_free(d->now.items);
    mem_free(d->durable.items);
    *d = (struct sim_directory){0};
}

void sim_directory_add_root(struct sim_directory *d, const char *path)
{
    put_name(&d->now, path, NULL);
    put_name(&d->durable, path, NULL);
}

void sim_directory_wipe(struct sim_directory *d, const char *root)
{
    drop_changes(d);
    d->now.count = 0;
    d->durable.count = 0;
    sim_directory_add_root(d, root);
}

static bool drop_orphan(struct sim_names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        char dir[SIM_PATH_BYTES];
        sim_name_parent(names->items[i].path, dir);
        if (dir[0] != '\0' && !sim_names_has_dir(names, dir)) {
            drop_name(names, names->items[i].path);
            return true;
        }
    }
    return false;
}

/* It follows one that is lost, or moves something to where nothing is. */
static bool is_without_ground(const struct sim_directory *d, const struct change *change)
{
    for (struct list *l = d->changes.next; l != &change->link; l = l->next) {
        const struct change *before = change_of(l);
        if (before->is_lost &&
            (changes_dir(before, change->dirs[0]) || changes_dir(before, change->dirs[1]))) {
            return true;
        }
    }
    return change->kind == SIM_NAME_RENAME && !sim_names_has_dir(&d->durable, change->dirs[1]);
}

static void lose_changes(struct sim_directory *d, enum sim_crash_mood mood, struct prng *prng)
{
    list_each(l, &d->changes) {
        struct change *change = change_of(l);
        change->is_lost = mood == SIM_CRASH_MOOD_LOSE_ALL ||
                          (mood == SIM_CRASH_MOOD_MIXED && prng_chance(prng, 400)) ||
                          is_without_ground(d, change);
        if (!change->is_lost) {
            change_apply(change, &d->durable);
        }
    }
    drop_changes(d);
}

void sim_directory_crash(struct sim_directory *d, enum sim_crash_mood mood, struct prng *prng)
{
    lose_changes(d, mood, prng);
    while (drop_orphan(&d->durable)) {
        /* A lost directory takes along what is in it. */
    }
    d->now.count = 0;
    for (size_t i = 0; i < d->durable.count; i++) {
        put_name(&d->now, d->durable.items[i].path, d->durable.items[i].inode);
    }
}

static void mark_used(const struct sim_names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        if (names->items[i].inode != NULL) {
            names->items[i].inode->is_used = true;
        }
    }
}

void sim_directory_mark_used(const struct sim_directory *d)
{
    mark_used(&d->now);
    mark_used(&d->durable);
    list_each(l, &d->changes) {
        if (change_of(l)->inode != NULL) {
            change_of(l)->inode->is_used = true;
        }
    }
}
