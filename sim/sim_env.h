/*
 * The simulated body of the env port: one machine with a clock, a disk, a network card, workers,
 * and the node that runs on it. It crashes the node, restarts it on the same disk, and fails the
 * run when the node breaks the port's contract. A world may hold many.
 */
#ifndef SIM_SIM_ENV_H
#define SIM_SIM_ENV_H

#include "base/list.h"
#include "base/prng.h"
#include "env/env.h"
#include "env/timers.h"
#include "node/node.h"
#include "sim/sim_names.h"
#include "sim/sim_network.h"
#include "sim/world.h"

/* What a right clock shows when a run begins, but for options.wall_offset_ms. */
#define SIM_WALL_START_MS 1700000000000u

#define SIM_NAME_BYTES 16
#define SIM_TEXT_BYTES 256

enum sim_crash {
    SIM_CRASH_KILL,       /* the process dies; the page cache lives */
    SIM_CRASH_POWER_LOSS, /* what was not synced survives whole, in part, or not at all */
};

/* Where the code of the node runs right now: says which calls are allowed. */
enum sim_place {
    SIM_PLACE_OUTSIDE,
    SIM_PLACE_START,
    SIM_PLACE_LOOP,
    SIM_PLACE_JOB,
    SIM_PLACE_DESTROY,
};

/* Operations of the disk, as bits. */
enum sim_call {
    SIM_CALL_LOOK = 1,
    SIM_CALL_WRITE = 2,
    SIM_CALL_SYNC = 4, /* of a file: the moment with the most to lose */
    SIM_CALL_NAME = 8, /* names are made, moved or synced: segments begin */
    SIM_CALL_REMOVE = 16,
    SIM_CALL_STORE = 32, /* the store writes or syncs */
};
#define SIM_CALLS_ALL 63u

struct store_medium;

struct sim_disk {
    struct prng prng;
    struct list inodes;  /* struct sim_inode */
    struct list handles; /* struct env_file */
    struct sim_directory names;
    struct store_medium *medium; /* of the store; part of this disk */
    uint64_t capacity_bytes;
    uint64_t others_bytes; /* that somebody else has taken */
    bool is_locked;
    uint64_t ops_until_death; /* 0: not planned */
    unsigned death_calls;     /* enum sim_call: the last of them is one of these, or a later one */
    unsigned death_after;     /* the same: and one of these comes first; 0: none */
    uint64_t ops_until_error; /* 0: not planned */
    bool is_dead;             /* since that operation, until the crash that follows */
    bool has_failed;          /* an operation returned STATUS_IO in this boot */
};

struct sim_delivery {
    int kind; /* enum sim_delivery_kind */
    void *item;
};

/* How this machine behaves; the run derives it from the seed. Times in virtual microseconds. */
struct sim_env_options {
    uint64_t log_segment_bytes;
    uint32_t log_segments;
    uint64_t store_fold_rows;
    uint64_t store_fold_bytes;
    uint64_t cache_memory; /* 0: the node's default; the same below */
    uint64_t trailing_bytes;
    uint64_t payload_bytes;
    uint64_t snapshot_rate;
    uint64_t snapshot_chunk_bytes;
    uint64_t disk_bytes; /* capacity; 0: as good as endless */
    uint64_t disk_reserve;
    unsigned need_per_mille; /* rows of the store that are not at hand */
    uint64_t buffer_memory;
    uint64_t job_delay_us_max; /* before run(), and again before done() */
    uint64_t down_us_max;      /* between a crash and the restart */
    uint32_t deliveries_max;   /* events of one loop turn */
    unsigned start_crash_per_mille;
    int64_t skew_ppm; /* of the clocks */
    bool is_expiry_off;
    int64_t wall_offset_ms;
    const char *cluster; /* peer addresses of all machines; NULL: a cluster of one */
    uint32_t groups;
    uint32_t election_timeout_ms; /* 0: the node's default; the same below */
    uint32_t request_timeout_ms;
};

struct sim_env {
    struct env env; /* first: struct env * is struct sim_env * */
    struct world *world;
    struct sim_network *network;
    struct sim_env_options options;
    unsigned index; /* of its host, too */
    char name[SIM_NAME_BYTES];
    bool is_up;    /* the node runs */
    uint64_t boot; /* grows with each start and each end: older events are stale */
    uint64_t boot_count;
    struct node *node;
    struct sim_disk disk;
    bool is_kept_down;             /* does not start by itself */
    bool is_start_allowed_to_fail; /* refusing to start, at once or soon, is right */
    bool is_wiped;
    bool has_refused;             /* and was done: down for good */
    bool is_rotten;               /* a bit has flipped; until it was rebuilt */
    bool has_rotten_rows;         /* and looking at them is not for the simulator */
    bool is_waiting_for_operator; /* it said so */
    uint64_t rebuilds;
    char addresses[SIM_PORT_COUNT][SIM_ADDRESS_BYTES];
    /* private */
    struct prng prng;      /* delays */
    struct prng prng_node; /* env_random */
    enum sim_place place;
    struct timers timers;
    struct sim_delivery *inbox; /* due for the loop, in order, from inbox_first */
    size_t inbox_first;
    size_t inbox_count;
    size_t inbox_capacity;
    uint64_t wake_at_us; /* UINT64_MAX: none scheduled */
    uint64_t wake_tag;
    uint64_t clock_base_us;
    uint64_t clock_from_us;
    uint64_t paused_until_us;
    uint64_t slow_disk_until_us;
    uint64_t slow_job_us_max; /* of one job meanwhile */
    uint64_t
        slow_jobs_until_us; /* by then those that a stop waits for are done; outlives healing */
    uint64_t clogged_until_us;
    uint64_t deliveries_until_crash; /* 0: not planned */
    enum sim_crash planned_crash;
    bool is_stopping;
    bool is_stopped;   /* node_stop has finished */
    bool is_powerless; /* down since a power loss */
    bool pauses_jobs;
    struct env_listener *listeners[SIM_PORT_COUNT];
    char halt_text[SIM_TEXT_BYTES];
    uint64_t booted_at_us;
    uint64_t filled_at_us;
    uint64_t fill_left_bytes;
    uint64_t fill_tag; /* older plans to give space back are void */
    char dir[SIM_PATH_BYTES];
    char root[SIM_NAME_BYTES + 1];
};

/*
 * The machine is down and its disk empty; it is in the network. options are copied (not the
 * cluster's text); may be changed later in e->options.
 */
void sim_env_init(struct sim_env *e,
                  struct sim_network *network,
                  unsigned index,
                  const struct sim_env_options *options);
void sim_env_deinit(struct sim_env *e);

/* Starts a node on what the disk holds. */
void sim_env_boot(struct sim_env *e);
/* At once; never from inside a callback of the node. Restarts by itself unless is_kept_down. */
void sim_env_crash(struct sim_env *e, enum sim_crash kind);
/* Crash after so many more events of the loop, possibly in the middle of a turn. */
void sim_env_plan_crash(struct sim_env *e, enum sim_crash kind, uint64_t deliveries);
/*
 * The disk goes dead within the n-th operation from now, and the node with it; or within the first
 * of `calls` (bits of enum sim_call) from there on, and not before one of `after` (0: any) passed.
 */
void sim_env_plan_crash_in_job(struct sim_env *e,
                               enum sim_crash kind,
                               uint64_t operations,
                               unsigned after,
                               unsigned calls);
/* The n-th changing file operation from now fails with STATUS_IO: the node has to halt. */
void sim_env_plan_io_error(struct sim_env *e, uint64_t operations);
/* node_stop, then an end of the process; restarts unless is_kept_down. */
void sim_env_stop(struct sim_env *e);
/* The loop stands still, as in SIGSTOP; sometimes its workers go on. */
void sim_env_pause(struct sim_env *e, uint64_t us);
/* For so long the jobs of the disk take up to job_us_max each. */
void sim_env_slow_disk(struct sim_env *e, uint64_t us, uint64_t job_us_max);
void sim_env_clog(struct sim_env *e, uint64_t us);
void sim_env_clock_jump(struct sim_env *e, int64_t ms);
/* Forgets all planned and running faults; a node that is down still starts by itself. */
void sim_env_heal(struct sim_env *e);
/* Ends being kept down: starts at once, unless it is up, has refused or waits for its operator. */
void sim_env_release(struct sim_env *e);
/* Empties the disk of a machine that is down. */
void sim_env_wipe(struct sim_env *e);
/* Flips one bit of any file or row; the machine is down. */
void sim_env_rot_any(struct sim_env *e);
/*
 * Flips one bit of the log or the store of a machine, up or down. Once its node says so, and names
 * the command, an operator rebuilds it from its peers. False: there was nothing to flip.
 */
bool sim_env_rot(struct sim_env *e);
/* Somebody else takes all space but so much, step by step, for a while; heal() gives it back, too.
 */
void sim_env_fill(struct sim_env *e, uint64_t left_bytes, uint64_t us);

/* Connections of clients that the node has accepted and not closed yet. */
size_t sim_env_open_conns(const struct sim_env *e);

#endif
