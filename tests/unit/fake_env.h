/*
 * A world for unit tests: files in memory, a clock set by hand, worker jobs that run when the test
 * says so, sockets of a fake_net. Every change of a file leaves a line in `events`, so a test can
 * check the order. What a crash does to files is the simulator's business, not this one's.
 */
#ifndef UNIT_FAKE_ENV_H
#define UNIT_FAKE_ENV_H

#include "base/prng.h"
#include "env/env.h"
#include "env/timers.h"
#include "fake_net.h"

#define FAKE_PATH_BYTES 256u
#define FAKE_FILES_MAX 32u
#define FAKE_JOBS_MAX 64u
#define FAKE_LINE_BYTES 512u

struct fake_file {
    char path[FAKE_PATH_BYTES];
    struct buf bytes;
    unsigned open_count;
};

struct fake_env {
    struct env base;
    uint64_t now_us;
    uint64_t wall_ms;
    struct timers timers;
    struct prng prng;
    struct fake_file *files[FAKE_FILES_MAX];
    size_t file_count;
    struct env_work *jobs[FAKE_JOBS_MAX];
    size_t job_count;
    /*
     * Lines: "create f", "write f offset size", "sync f", "rename f g", "remove f", "dir_sync d",
     * and what the test adds; names without their directory.
     */
    struct buf events;
    uint64_t operations; /* calls that can fail, so far */
    uint64_t fail_at;    /* the number of the call that fails; 0: none */
    enum status fail_as; /* how it fails; STATUS_OK: as STATUS_IO */
    uint64_t space;      /* bytes of the disk: files do not grow beyond (NO_SPACE); 0: no limit */
    char halt_reason[FAKE_LINE_BYTES];
    struct fake_net *net; /* set by the test; NULL: no sockets */
    bool is_isolated;     /* its connections carry nothing, and do not end */
    unsigned warnings;    /* log lines of this level or above, so far */
    char last_warning[FAKE_LINE_BYTES];
};

void fake_env_init(struct fake_env *f);
void fake_env_deinit(struct fake_env *f);

/* Runs the oldest job, then its done(). False: there is none, or the node halted. */
bool fake_env_run(struct fake_env *f);
void fake_env_run_all(struct fake_env *f);
/* Sets both clocks forward and fires the timers that became due. */
void fake_env_advance(struct fake_env *f, uint64_t ms);

/* Adds a line to the events. */
void fake_env_note(struct fake_env *f, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The events so far as text, borrowed until the next event. */
const char *fake_env_events(struct fake_env *f);
void fake_env_forget(struct fake_env *f);

/* The file with this path, or NULL. */
struct fake_file *fake_env_file(const struct fake_env *f, const char *path);
/* Makes the files of `to` equal to those of `from`. */
void fake_env_copy_files(struct fake_env *to, const struct fake_env *from);
bool fake_env_same_files(const struct fake_env *a, const struct fake_env *b);

#endif
