/*
 * The two contents of a simulated file: what a read sees, and what is durable, with the writes
 * between them in order.
 */
#ifndef SIM_SIM_INODE_H
#define SIM_SIM_INODE_H

#include "base/bytes.h"
#include "base/list.h"
#include "base/prng.h"

#define SIM_SECTOR_BYTES 512u

struct sim_inode {
    struct list link;
    struct buf now;
    struct buf durable;
    struct list writes; /* struct sim_write: between durable and now */
    uint64_t newest[2]; /* offsets of the last two writes */
    bool is_used;       /* scratch of sim_disk.c */
};

/* What survives of unsynced work: sometimes everything or nothing, mostly a mixture. */
enum sim_crash_mood {
    SIM_CRASH_MOOD_KEEP_ALL,
    SIM_CRASH_MOOD_LOSE_ALL,
    SIM_CRASH_MOOD_MIXED,
};

enum sim_crash_mood sim_crash_mood_pick(struct prng *p);

/* Belongs to the list. */
struct sim_inode *sim_inode_create(struct list *inodes);
void sim_inode_destroy(struct sim_inode *inode);
void sim_inode_write(struct sim_inode *inode, uint64_t offset, struct bytes bytes);
void sim_inode_sync(struct sim_inode *inode);
/* What stood there before the last two writes, and was not written by them: surely synced, if each
 * write waits for the sync of the one before (LOG-1). */
uint64_t sim_inode_proven(const struct sim_inode *inode);
/* Forgets that they are not durable: reads still see them, syncs no longer save them. */
void sim_inode_drop_writes(struct sim_inode *inode);
/* Power loss: parts of the writes become durable, the rest is gone. */
void sim_inode_crash(struct sim_inode *inode, enum sim_crash_mood mood, struct prng *p);

#endif
