/*
 * Names of a simulated disk, as they are now and as they are durable, and the changes between them
 * in order, not synced yet. Paths are whole ("/n1/data/log/1"); nothing knows of handles here.
 */
#ifndef SIM_SIM_NAMES_H
#define SIM_SIM_NAMES_H

#include "sim/sim_inode.h"

#define SIM_PATH_BYTES 128

/* inode == NULL: a directory. */
struct sim_name {
    char path[SIM_PATH_BYTES];
    struct sim_inode *inode;
};

struct sim_names {
    struct sim_name *items;
    size_t count;
    size_t capacity;
};

enum sim_name_change {
    SIM_NAME_CREATE,
    SIM_NAME_RENAME,
    SIM_NAME_REMOVE,
};

struct sim_directory {
    struct sim_names now;
    struct sim_names durable;
    struct list changes; /* struct change, of sim_names.c */
};

void sim_directory_init(struct sim_directory *d);
void sim_directory_deinit(struct sim_directory *d);

void sim_name_copy(char to[SIM_PATH_BYTES], const char *from);
/* The directory of path; "" if it has none. */
void sim_name_parent(const char *path, char out_dir[SIM_PATH_BYTES]);
bool sim_name_is_child(const char *path, const char *dir);

/* NULL: no such name. Borrowed until the next change. */
const struct sim_name *sim_names_find(const struct sim_names *names, const char *path);
bool sim_names_has_dir(const struct sim_names *names, const char *dir);
/* The file of dir with the least name above `after`; NULL: there is none. */
const struct sim_name *sim_names_next_file(const struct sim_names *names,
                                           const char *dir,
                                           const char *after);

/* A directory that has always been there. */
void sim_directory_add_root(struct sim_directory *d, const char *path);
/* from: "" for CREATE; to: "" for REMOVE. inode: NULL for a directory. */
void sim_directory_change(struct sim_directory *d,
                          enum sim_name_change kind,
                          const char *from,
                          const char *to,
                          struct sim_inode *inode);
/* Makes the changes of this directory durable, moves out of it and into it, too. */
void sim_directory_sync(struct sim_directory *d, const char *dir);
/* Power loss: in each directory a prefix of the changes survives, with all that is in what does. */
void sim_directory_crash(struct sim_directory *d, enum sim_crash_mood mood, struct prng *prng);
/* Nothing was ever there but root. */
void sim_directory_wipe(struct sim_directory *d, const char *root);
/* Sets is_used of all files that a name or change leads to. */
void sim_directory_mark_used(const struct sim_directory *d);

#endif
