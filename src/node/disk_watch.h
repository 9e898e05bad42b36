/*
 * Watches how much space is left on the disk of DIR, so that a node stops taking writes before
 * anything fails for lack of it: a worker asks every DISK_WATCH_MS, and sooner when much was
 * written. A file of zeros, DIR/reserve, is given up when space runs out: what other programs left
 * may be nothing, and the log and RocksDB need some to finish what was taken.
 *
 *   state   free space                                 then
 *   OK      below the reserve                          FULL, the file goes
 *   OK      enough for a new file and a quarter more   OK, the file is made if it is not there
 *   FULL    below that                                 FULL, the file goes if it is there
 *   FULL    enough for a new file and a quarter more   the file is made; then OK
 */
#ifndef NODE_DISK_WATCH_H
#define NODE_DISK_WATCH_H

#include "env/env.h"

#define DISK_WATCH_MS 250u
#define DISK_PATH_BYTES 512u
/* Default of the reserve: a part of the disk, between these. Never more than a quarter of it. */
#define DISK_RESERVE_PERCENT 5u
#define DISK_RESERVE_BYTES_MIN (64u * 1024u * 1024u)
#define DISK_RESERVE_BYTES_MAX (1024u * 1024u * 1024u)
/*
 * A start needs so much, or on a small disk the larger of these parts of disk and reserve: RocksDB
 * dies of an assertion when it cannot write at its start, however small a reserve was asked for.
 */
#define DISK_START_BYTES_MAX (1024u * 1024u)
#define DISK_START_PART 1024u
#define DISK_START_RESERVE_PART 16u
/* The file is half of the reserve, but no more than takes a moment to write. */
#define DISK_RESERVE_FILE_BYTES_MAX (64u * 1024u * 1024u)

enum disk_state {
    DISK_STATE_OK,
    DISK_STATE_FULL, /* writes are refused */
};

enum disk_action {
    DISK_ACTION_NONE,
    DISK_ACTION_RELEASE, /* remove the file */
    DISK_ACTION_RESERVE, /* make it; if that fails, the state stays */
};

/* What is known at one look. */
struct disk_look {
    uint64_t free;
    uint64_t reserve;
    uint64_t file_bytes; /* what the file has, or will have */
    bool has_file;
};

/* The table above; pure. */
enum disk_state disk_judge(enum disk_state state,
                           const struct disk_look *look,
                           enum disk_action *out_action);
/* asked: as configured; 0: the default for a disk of this size. */
uint64_t disk_reserve(uint64_t asked, uint64_t total);
/* What must be free for a start. */
uint64_t disk_start_bytes(uint64_t reserve, uint64_t total);

struct disk_watch {
    enum disk_state state; /* read only, as are the next */
    uint64_t free;         /* at the last look */
    uint64_t total;
    uint64_t reserve;  /* 0: no look yet */
    uint64_t looks;    /* so far */
    uint64_t released; /* bytes of the file that the last look gave up: not in free yet */
    /* private */
    struct env *env;
    char dir[DISK_PATH_BYTES];
    uint64_t asked;
    void (*changed)(void *owner, bool is_full);
    void *owner;
    struct env_timer timer;
    struct env_work work;
    bool is_running;      /* the worker owns what follows, up to `status` */
    enum disk_state from; /* the state when the look began, */
    enum disk_state next; /* and what comes of it */
    struct disk_look look;
    uint64_t look_total;
    uint64_t look_released;
    bool has_given_up; /* the file could not be made although there was room */
    enum status status;
    bool is_started;
    bool is_stopping;
    bool is_failing;
    bool is_again;    /* look once more when this one is done */
    uint64_t written; /* bytes since the last look began */
};

/* dir is copied; reserve as in disk_reserve. changed: on the loop, when the state has changed. */
void disk_watch_init(struct disk_watch *w,
                     struct env *env,
                     const char *dir,
                     uint64_t reserve,
                     void (*changed)(void *owner, bool is_full),
                     void *owner);
/*
 * The first look, blocking, before anything is written: gives the file up if it has to, and makes
 * none. Calls nothing.
 */
void disk_watch_look(struct disk_watch *w);
/* Looks every DISK_WATCH_MS from now on. */
void disk_watch_start(struct disk_watch *w);
/* This much was written to the disk: a look that is due sooner because of it begins. */
void disk_watch_wrote(struct disk_watch *w, uint64_t bytes);
/* True: something finds no space; as long as it does the disk is full, whatever a look says. */
void disk_watch_set_failing(struct disk_watch *w, bool is_failing);
bool disk_watch_is_full(const struct disk_watch *w);
/* No look begins from here on. */
void disk_watch_stop(struct disk_watch *w);
bool disk_watch_is_busy(const struct disk_watch *w);

#endif
