/* Command line of the simulator. Each seed of a suite runs in a process of its own. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/limits.h"
#include "sim/run.h"

#define MARKS_MAX 1024u
#define REPORT_BYTES_MAX (16u * MIB)
#define SEED_SECONDS_MAX 60u
#define SPAN_MAX 100000000u

/* What a child leaves behind, in memory shared with it. */
struct shared {
    bool is_finished;
    struct run_result result;
    uint64_t mark_count[MARKS_MAX];
};

struct arguments {
    uint64_t seed;
    uint64_t from;
    uint64_t count;
    enum plan_kind plan; /* PLAN_KIND_COUNT: as the seed says */
    bool is_trace_printed;
};

static int usage(void)
{
    (void)fputs("usage: dougong-sim run --seed N [--trace]\n"
                "       dougong-sim suite --from A --count N\n"
                "       dougong-sim hash --from A --count N\n"
                "each with --plan NAME: not the plan that the seed says\n",
                stderr);
    return 2;
}

static bool parse_number(const char *text, uint64_t *out)
{
    int64_t value = 0;
    if (text == NULL || !bytes_to_i64(bytes_of_text(text), &value) || value < 0) {
        return false;
    }
    *out = (uint64_t)value;
    return true;
}

static bool parse_plan(const char *text, enum plan_kind *out_plan)
{
    for (unsigned i = 0; text != NULL && i < PLAN_KIND_COUNT; i++) {
        if (strcmp(text, plan_name((enum plan_kind)i)) == 0) {
            *out_plan = (enum plan_kind)i;
            return true;
        }
    }
    return false;
}

static bool parse_arguments(int argc, char **argv, struct arguments *out)
{
    *out = (struct arguments){.seed = 1, .from = 1, .count = 1, .plan = PLAN_KIND_COUNT};
    for (int i = 2; i < argc; i++) {
        const char *next = i + 1 < argc ? argv[i + 1] : NULL;
        bool is_good = false;
        if (strcmp(argv[i], "--trace") == 0) {
            out->is_trace_printed = true;
            continue;
        }
        if (strcmp(argv[i], "--seed") == 0) {
            is_good = parse_number(next, &out->seed);
        } else if (strcmp(argv[i], "--from") == 0) {
            is_good = parse_number(next, &out->from);
        } else if (strcmp(argv[i], "--plan") == 0) {
            is_good = parse_plan(next, &out->plan);
        } else if (strcmp(argv[i], "--count") == 0) {
            is_good = parse_number(next, &out->count) && out->count <= SPAN_MAX;
        }
        if (!is_good) {
            return false;
        }
        i++;
    }
    return true;
}

static uint64_t crashes(const struct run_result *r)
{
    return r->fault_count[SIM_FAULT_KILL] + r->fault_count[SIM_FAULT_POWER_LOSS] +
           r->fault_count[SIM_FAULT_CRASH_IN_START];
}

/* ---- run ------------------------------------------------------------------------------------- */

static int command_run(const struct arguments *a)
{
    struct buf report;
    buf_init(&report, REPORT_BYTES_MAX);
    struct run_result r;
    run_seed(a->seed, a->plan, a->is_trace_printed, &r, &report);
    if (r.is_failed) {
        (void)fwrite(report.data, 1, report.size, stdout);
    }
    buf_deinit(&report);
    if (r.is_failed) {
        (void)printf("FAIL seed=%" PRIu64 " %s\n", a->seed, r.failure);
    }
    (void)printf("%s seed=%" PRIu64 " plan=%s nodes=%u groups=%" PRIu32 " virtual_s=%" PRIu64
                 ".%03" PRIu64 " events=%" PRIu64 " ops=%" PRIu64 " refused=%" PRIu64
                 " unknown=%" PRIu64 " undecided=%" PRIu64 " boots=%" PRIu64
                 " leader_changes=%" PRIu64 " snapshots=%" PRIu64 " released=%" PRIu64
                 " segments_max=%" PRIu64 " no_space=%" PRIu64 " reads_when_full=%" PRIu64
                 " failover_ms=%" PRIu64 " deals=%" PRIu64 " changed=%" PRIu64 " failed=%" PRIu64
                 " orphans=%" PRIu64 " orphans_ms=%" PRIu64,
                 r.is_failed ? "failed" : "ok",
                 a->seed,
                 plan_name(r.kind),
                 r.nodes,
                 r.groups,
                 r.virtual_us / SECOND_US,
                 r.virtual_us % SECOND_US / MS_US,
                 r.events,
                 r.operations,
                 r.refused,
                 r.unknown,
                 r.undecided,
                 r.boots,
                 r.leader_changes,
                 r.snapshots,
                 r.segments_released,
                 r.segments_max,
                 r.no_space,
                 r.reads_when_full,
                 r.failover_us / MS_US,
                 r.deals,
                 r.deals_changed,
                 r.deals_failed,
                 r.orphans,
                 r.orphans_us / MS_US);
    for (unsigned i = 0; i < SIM_FAULT_COUNT; i++) {
        (void)printf(" %s=%" PRIu64, sim_fault_name((enum sim_fault)i), r.fault_count[i]);
    }
    (void)printf(" hash=%016" PRIx64 "\n", r.hash);
    return r.is_failed ? 1 : 0;
}

/* ---- suite ----------------------------------------------------------------------------------- */

struct mark_walk {
    struct shared *shared;
    uint64_t *totals;
    unsigned at;
};

static void mark_save(void *ctx, const struct reached_mark *mark)
{
    struct mark_walk *walk = ctx;
    ensure(walk->at < MARKS_MAX);
    walk->shared->mark_count[walk->at++] = mark->count;
}

static void mark_print(void *ctx, const struct reached_mark *mark)
{
    struct mark_walk *walk = ctx;
    if (walk->totals[walk->at++] == 0) {
        (void)printf("not reached: %s\n", mark->what);
    }
}

/* In the child: never returns. A broken promise aborts it, an endless loop meets the alarm. */
static _Noreturn void child_run(const struct arguments *a, struct shared *shared)
{
    (void)alarm(SEED_SECONDS_MAX);
    struct buf report;
    buf_init(&report, REPORT_BYTES_MAX);
    run_seed(a->seed, a->plan, false, &shared->result, &report);
    buf_deinit(&report);
    struct mark_walk walk = {.shared = shared};
    reached_each(mark_save, &walk);
    shared->is_finished = true;
    exit(0); /* the leak check of a sanitizer may still object */
}

/* Fills in result.failure if the child did not come to an end by itself. */
static void judge_child(int wait_status, struct shared *shared)
{
    struct run_result *r = &shared->result;
    if (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0 && shared->is_finished) {
        return;
    }
    r->is_failed = true;
    if (WIFSIGNALED(wait_status)) {
        (void)snprintf(r->failure, sizeof r->failure, "signal %d", WTERMSIG(wait_status));
    } else {
        (void)snprintf(r->failure,
                       sizeof r->failure,
                       "exit status %d after the run (see above)",
                       WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -1);
    }
}

static bool run_child(const struct arguments *a, struct shared *shared)
{
    memset(shared, 0, sizeof *shared);
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        child_run(a, shared);
    }
    int wait_status = 0;
    if (pid < 0 || waitpid(pid, &wait_status, 0) != pid) {
        perror("fork");
        return false;
    }
    judge_child(wait_status, shared);
    return true;
}

static struct shared *map_shared(void)
{
    void *memory = mmap(NULL,
                        sizeof(struct shared),
                        PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS,
                        -1,
                        0);
    return memory != MAP_FAILED ? memory : NULL;
}

static void print_suite_line(uint64_t seed, const struct run_result *r)
{
    if (r->is_failed) {
        (void)printf("FAIL seed=%" PRIu64 " %s\n", seed, r->failure);
        return;
    }
    (void)printf("ok seed=%" PRIu64 " plan=%s nodes=%u groups=%" PRIu32 " ops=%" PRIu64
                 " faults=%" PRIu64 " crashes=%" PRIu64 " leader_changes=%" PRIu64
                 " hash=%016" PRIx64 "\n",
                 seed,
                 plan_name(r->kind),
                 r->nodes,
                 r->groups,
                 r->operations,
                 r->faults,
                 crashes(r),
                 r->leader_changes,
                 r->hash);
}

#define DEALS_MIN 20u /* transactions that took effect, of a run that counts as one with them */

/* Chance may keep a run from what its plan is there for, but not many runs. */
#define IN_VAIN_MAX(runs) (1 + (runs) / 20)

/* What the runs of several nodes with faults had at least, and all of them together. */
struct summary {
    uint64_t runs[PLAN_KIND_COUNT];
    uint64_t judged; /* runs of several nodes with faults */
    uint64_t virtual_us_min;
    uint64_t operations_min;
    uint64_t faults_min;
    uint64_t leader_changes_min;
    uint64_t in_vain;        /* of the judged runs: without what their plan is there for */
    uint64_t with_snapshots; /* of the judged runs */
    uint64_t with_garbage;
    uint64_t snapshots;
    uint64_t segments_released;
    uint64_t segments_max;
    uint64_t no_space;
    uint64_t reads_when_full;
    uint64_t failover_us_max;
    uint64_t deals;
    uint64_t deals_changed;
    uint64_t deals_failed;
    uint64_t orphans;
    uint64_t orphans_us_max;
    uint64_t with_deals; /* runs with lists and a bank */
    uint64_t fault_count[SIM_FAULT_COUNT];
    uint64_t death_count[DEATH_COUNT];
};

static void keep_least(uint64_t *least, uint64_t value, bool is_first)
{
    *least = is_first || value < *least ? value : *least;
}

static void summary_add(struct summary *s, const struct run_result *r)
{
    if (r->is_failed) {
        return;
    }
    s->runs[r->kind]++;
    for (unsigned i = 0; i < SIM_FAULT_COUNT; i++) {
        s->fault_count[i] += r->fault_count[i];
    }
    for (unsigned i = 0; i < DEATH_COUNT; i++) {
        s->death_count[i] += r->death_count[i];
    }
    bool has_deals = r->deals >= DEALS_MIN && r->deals_appended > 0 && r->deals_sums > 0;
    s->with_deals += has_deals ? 1 : 0;
    s->snapshots += r->snapshots;
    s->segments_released += r->segments_released;
    s->segments_max = r->segments_max > s->segments_max ? r->segments_max : s->segments_max;
    s->no_space += r->no_space;
    s->reads_when_full += r->reads_when_full;
    s->failover_us_max = r->failover_us > s->failover_us_max ? r->failover_us : s->failover_us_max;
    s->deals += r->deals;
    s->deals_changed += r->deals_changed;
    s->deals_failed += r->deals_failed;
    s->orphans += r->orphans;
    s->orphans_us_max = r->orphans_us > s->orphans_us_max ? r->orphans_us : s->orphans_us_max;
    if (r->nodes > 1 && r->kind != PLAN_CALM) {
        bool is_first = s->judged++ == 0;
        s->in_vain += r->has_purpose ? 0 : 1;
        s->with_snapshots += r->snapshots > 0 ? 1 : 0;
        s->with_garbage += r->segments_released > 0 ? 1 : 0;
        keep_least(&s->virtual_us_min, r->virtual_us, is_first);
        keep_least(&s->operations_min, r->operations, is_first);
        keep_least(&s->faults_min, r->faults, is_first);
        keep_least(&s->leader_changes_min, r->leader_changes, is_first);
    }
}

static void summary_print(const struct summary *s)
{
    (void)printf("runs:");
    for (unsigned i = 0; i < PLAN_KIND_COUNT; i++) {
        (void)printf(" %s=%" PRIu64, plan_name((enum plan_kind)i), s->runs[i]);
    }
    (void)printf("\nfaults:");
    for (unsigned i = 0; i < SIM_FAULT_COUNT; i++) {
        (void)printf(" %s=%" PRIu64, sim_fault_name((enum sim_fault)i), s->fault_count[i]);
    }
    (void)printf("\nleast of %" PRIu64 " runs of several nodes with faults: virtual_s=%" PRIu64
                 " ops=%" PRIu64 " faults=%" PRIu64 " leader_changes=%" PRIu64
                 "; longest failover_ms=%" PRIu64 "\n",
                 s->judged,
                 s->virtual_us_min / SECOND_US,
                 s->operations_min,
                 s->faults_min,
                 s->leader_changes_min,
                 s->failover_us_max / MS_US);
}

static void summary_print_disks(const struct summary *s)
{
    (void)printf("disks: snapshots=%" PRIu64 " in %" PRIu64 " runs, segments_released=%" PRIu64
                 " in %" PRIu64 " runs, longest_log=%" PRIu64
                 " segments, refused_for_space=%" PRIu64 ", reads_meanwhile=%" PRIu64
                 "; runs in vain=%" PRIu64 "\n",
                 s->snapshots,
                 s->with_snapshots,
                 s->segments_released,
                 s->with_garbage,
                 s->segments_max,
                 s->no_space,
                 s->reads_when_full,
                 s->in_vain);
}

static void summary_print_deals(const struct summary *s)
{
    (void)printf("transactions: runs=%" PRIu64 " done=%" PRIu64 " changed=%" PRIu64
                 " failed=%" PRIu64 " orphans=%" PRIu64 ", the longest free after ms=%" PRIu64 "\n",
                 s->with_deals,
                 s->deals,
                 s->deals_changed,
                 s->deals_failed,
                 s->orphans,
                 s->orphans_us_max / MS_US);
    (void)printf("deaths:");
    for (unsigned i = 0; i < DEATH_COUNT; i++) {
        (void)printf(" %s=%" PRIu64, death_name((enum death)i), s->death_count[i]);
    }
    (void)printf("\n");
}

/* hash_only: "seed hash" a line, for the comparison of two builds. */
static int command_suite(const struct arguments *a, bool hash_only)
{
    struct shared *shared = map_shared();
    if (shared == NULL) {
        perror("mmap");
        return 1;
    }
    static uint64_t totals[MARKS_MAX];
    struct summary summary = {0};
    uint64_t failed = 0;
    for (uint64_t seed = a->from; seed < a->from + a->count; seed++) {
        struct arguments of_child = *a;
        of_child.seed = seed;
        if (!run_child(&of_child, shared)) {
            return 1;
        }
        failed += shared->result.is_failed ? 1 : 0;
        for (unsigned i = 0; i < MARKS_MAX; i++) {
            totals[i] += shared->mark_count[i];
        }
        if (hash_only) {
            (void)printf("%" PRIu64 " %016" PRIx64 "\n", seed, shared->result.hash);
        } else {
            print_suite_line(seed, &shared->result);
            summary_add(&summary, &shared->result);
        }
    }
    (void)munmap(shared, sizeof *shared);
    if (!hash_only) {
        struct mark_walk walk = {.totals = totals};
        reached_each(mark_print, &walk);
        summary_print(&summary);
        summary_print_disks(&summary);
        summary_print_deals(&summary);
        bool is_in_vain = summary.in_vain > IN_VAIN_MAX(a->count);
        if (is_in_vain) {
            (void)printf("FAIL too many runs in vain\n");
        }
        (void)printf("%" PRIu64 " passed, %" PRIu64 " failed\n",
                     a->count - failed,
                     failed + (is_in_vain ? 1 : 0));
        failed += is_in_vain ? 1 : 0;
    }
    return failed > 0 ? 1 : 0;
}

int main(int argc, char **argv)
{
    struct arguments a;
    if (argc < 2 || !parse_arguments(argc, argv, &a)) {
        return usage();
    }
    if (strcmp(argv[1], "run") == 0) {
        return command_run(&a);
    }
    if (strcmp(argv[1], "suite") == 0) {
        return command_suite(&a, false);
    }
    if (strcmp(argv[1], "hash") == 0) {
        return command_suite(&a, true);
    }
    return usage();
}
