/*
 * One loop: wait for a signal or a little while, see which nodes ended, ask the others whether the
 * cluster is ready. Nothing is restarted. The signals stay blocked and are taken one by one, so no
 * handler runs at an awkward time; nodes have process groups of their own, so that Ctrl-C reaches
 * only this process, which stops them in order.
 */
#include "main/local.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "config/options.h"
#include "main/ask.h"
#include "main/exit.h"
#include "main/memory.h"
#include "main/show.h"

#define HOST "127.0.0.1"
#define PATH_BYTES 400u
#define DIR_MODE 0700
#define LOG_MODE 0600
#define PROGRAM "/proc/self/exe" /* this very file, also if another has its name by now */

#define PROBE_EVERY_MS 100u    /* until the cluster is ready */
#define PROBE_TIMEOUT_MS 1000u /* for one node's answer */
#define WATCH_EVERY_MS 1000u   /* afterwards */
#define NOT_READY_NOTE_MS 30000u
#define STOP_LIMIT_MS 15000u /* a node gives its clients 5 s to take their replies */
#define KILL_LIMIT_MS 5000u
#define STOP_POLL_MS 100u
#define LAST_LINE_BYTES 1024
#define CLUSTER_AT 10 /* --cluster in a node's arguments */

struct local_node {
    uint32_t number;
    pid_t pid; /* 0: it does not run */
    char client[ADDRESS_BYTES];
    char peer[ADDRESS_BYTES];
    char data[PATH_BYTES];
    char log[PATH_BYTES];
};

struct local {
    struct options_local options;
    struct local_node nodes[OPTIONS_FOUNDERS_MAX];
    char cluster[OPTIONS_FOUNDERS_MAX * (sizeof HOST + sizeof ":65535")];
    char groups[16];
    char cache_memory[32];
    sigset_t signals;        /* those that are waited for */
    sigset_t signals_before; /* the mask we were started with: nodes get it back */
    struct buf reply;
    bool has_failed; /* a node ended by itself, or not as it should */
    bool is_ready;
};

static uint32_t running_count(const struct local *l)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < l->options.nodes; i++) {
        count += l->nodes[i].pid != 0 ? 1 : 0;
    }
    return count;
}

static bool has_majority(const struct local *l)
{
    return running_count(l) * 2 > l->options.nodes;
}

/* ---- starting a node ------------------------------------------------------------------------- */

/* After fork: becomes the node, or ends. What goes wrong here is the log's first line. */
static _Noreturn void become_node(const struct local *l, const struct local_node *n, pid_t parent)
{
    const char *args[] = {"dougong",
                          "server",
                          "--data",
                          n->data,
                          "--listen",
                          n->client,
                          "--groups",
                          l->groups,
                          "--cache-memory",
                          l->cache_memory,
                          "--cluster",
                          l->cluster,
                          "--peer",
                          n->peer,
                          NULL};
    if (l->options.nodes == 1) {
        args[CLUSTER_AT] = NULL; /* a cluster of one has no peers */
    }
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int log = open(n->log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, LOG_MODE);
    if (null < 0 || log < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(log, STDERR_FILENO) < 0 ||
        dup2(log, STDOUT_FILENO) < 0) {
        (void)dprintf(STDERR_FILENO, "dougong: %s: %s\n", n->log, strerror(errno));
        _exit(EXIT_FAILURE);
    }
    /* If the parent died before prctl, no signal will tell. */
    if (setpgid(0, 0) != 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent ||
        signal(SIGPIPE, SIG_DFL) == SIG_ERR ||
        sigprocmask(SIG_SETMASK, &l->signals_before, NULL) != 0) {
        _exit(EXIT_FAILURE);
    }
    (void)execv(PROGRAM, (char **)(uintptr_t)args);
    (void)dprintf(STDERR_FILENO, "dougong: %s: %s\n", PROGRAM, strerror(errno));
    _exit(EXIT_FAILURE);
}

static bool start_node(const struct local *l, struct local_node *n)
{
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        become_node(l, n, parent);
    }
    if (pid < 0) {
        (void)fprintf(stderr, "dougong: node %" PRIu32 ": fork: %s\n", n->number, strerror(errno));
        return false;
    }
    n->pid = pid;
    return true;
}

/* Names, addresses and paths of all nodes. False: the directory's name is too long. */
static bool lay_out(struct local *l)
{
    char *cluster = l->cluster;
    size_t room = sizeof l->cluster;
    (void)snprintf(l->groups, sizeof l->groups, "%" PRIu32, l->options.groups);
    (void)snprintf(l->cache_memory,
                   sizeof l->cache_memory,
                   "%" PRIu64,
                   memory_of_cache(l->options.nodes));
    for (uint32_t i = 0; i < l->options.nodes; i++) {
        struct local_node *n = &l->nodes[i];
        uint32_t port = l->options.port + i;
        n->number = i + 1;
        (void)snprintf(n->client, sizeof n->client, HOST ":%" PRIu32, port);
        (void)
            snprintf(n->peer, sizeof n->peer, HOST ":%" PRIu32, port + OPTIONS_PEER_PORT_DISTANCE);
        (void)snprintf(n->data, sizeof n->data, "%s/%" PRIu32, l->options.data, n->number);
        int size =
            snprintf(n->log, sizeof n->log, "%s/%" PRIu32 ".log", l->options.data, n->number);
        if (size < 0 || (size_t)size >= sizeof n->log) {
            return false;
        }
        size = snprintf(cluster, room, "%s%s", i > 0 ? "," : "", n->peer);
        ensure(size > 0 && (size_t)size < room);
        cluster += size;
        room -= (size_t)size;
    }
    return true;
}

static void print_nodes(const struct local *l)
{
    (void)printf("node  clients                peers                  data, log lines\n");
    for (uint32_t i = 0; i < l->options.nodes; i++) {
        const struct local_node *n = &l->nodes[i];
        (void)printf("%-4" PRIu32 "  %-21s  %-21s  %s, %s\n",
                     n->number,
                     n->client,
                     l->options.nodes > 1 ? n->peer : "-",
                     n->data,
                     n->log);
    }
    (void)printf("Ctrl-C stops %s\n", l->options.nodes > 1 ? "all" : "it");
}

/* ---- watching -------------------------------------------------------------------------------- */

/* The last line of a node's log: most often it says why the node ended. "" if there is none. */
static void last_line(const struct local_node *n, char out_text[LAST_LINE_BYTES])
{
    out_text[0] = '\0';
    int fd = open(n->log, O_RDONLY | O_CLOEXEC);
    off_t end = fd >= 0 ? lseek(fd, 0, SEEK_END) : 0;
    off_t from = end >= LAST_LINE_BYTES ? end - (LAST_LINE_BYTES - 1) : 0;
    ssize_t size = end > 0 ? pread(fd, out_text, LAST_LINE_BYTES - 1, from) : 0;
    if (fd >= 0) {
        (void)close(fd);
    }
    while (size > 0 && out_text[size - 1] == '\n') {
        size--;
    }
    out_text[size > 0 ? size : 0] = '\0';
    const char *newline = strrchr(out_text, '\n');
    if (newline != NULL) {
        memmove(out_text, newline + 1, strlen(newline + 1) + 1);
    }
}

static void note_end(struct local *l, const struct local_node *n, int status, bool is_stopping)
{
    bool is_killed = WIFSIGNALED(status);
    int code = is_killed ? WTERMSIG(status) : WEXITSTATUS(status);
    if (is_stopping && !is_killed && code == EXIT_SUCCESS) {
        return;
    }
    l->has_failed = true;
    char line[LAST_LINE_BYTES];
    last_line(n, line);
    (void)fprintf(stderr,
                  "dougong: node %" PRIu32 " ended %s(%s %d); its last line: %s\n",
                  n->number,
                  is_stopping ? "" : "by itself ",
                  is_killed ? "signal" : "exit status",
                  code,
                  line[0] != '\0' ? line : "none");
}

/* Sees which nodes ended. Returns whether any did. */
static bool reap(struct local *l, bool is_stopping)
{
    bool any = false;
    for (uint32_t i = 0; i < l->options.nodes; i++) {
        struct local_node *n = &l->nodes[i];
        int status = 0;
        if (n->pid != 0 && waitpid(n->pid, &status, WNOHANG) == n->pid) {
            n->pid = 0;
            any = true;
            note_end(l, n, status, is_stopping);
        }
    }
    return any;
}

/* The next signal, or 0 after that time. */
static int next_signal(const struct local *l, unsigned timeout_ms)
{
    const struct timespec limit = {
        .tv_sec = timeout_ms / 1000u,
        .tv_nsec = (long)(timeout_ms % 1000u) * 1000000L,
    };
    int taken = sigtimedwait(&l->signals, NULL, &limit);
    return taken > 0 ? taken : 0;
}

static bool is_request_to_stop(int taken)
{
    return taken == SIGINT || taken == SIGTERM || taken == SIGHUP;
}

/* Every running node says that the cluster is formed and each group has a leader. */
static bool is_cluster_ready(struct local *l, struct error *out_why)
{
    const struct bytes words[] = {bytes_of_text("DOUGONG"), bytes_of_text("STATUS")};
    for (uint32_t i = 0; i < l->options.nodes; i++) {
        const struct local_node *n = &l->nodes[i];
        if (n->pid == 0) {
            continue;
        }
        if (ask_node(n->client, words, 2, PROBE_TIMEOUT_MS, &l->reply, out_why) != STATUS_OK) {
            return false;
        }
        struct resp_value formed = {0};
        struct resp_value leaderless = {0};
        struct bytes reply = buf_bytes(&l->reply);
        if (show_field(reply, "formed", &formed) != STATUS_OK ||
            show_field(reply, "groups_without_leader", &leaderless) != STATUS_OK) {
            (void)error_set(out_why, STATUS_IO, "%s: it does not tell its status", n->client);
            return false;
        }
        if (formed.integer == 0 || leaderless.integer != 0) {
            (void)error_set(out_why,
                            STATUS_BUSY,
                            "%s: %" PRId64 " groups without a leader",
                            n->client,
                            leaderless.integer);
            return false;
        }
    }
    return true;
}

static void print_ready(const struct local *l, uint64_t took_ms)
{
    (void)printf("ready: every group has a leader, after %" PRIu64 " ms; any node answers: "
                 "redis-cli -p %" PRIu32 "\n",
                 took_ms,
                 l->options.port);
}

/* Until a stop is asked for or no majority is left. */
static void watch(struct local *l)
{
    uint64_t started_ms = ask_now_ms();
    bool has_noted = false;
    for (;;) {
        if (is_request_to_stop(next_signal(l, l->is_ready ? WATCH_EVERY_MS : PROBE_EVERY_MS))) {
            return;
        }
        bool any_ended = reap(l, false);
        if (!has_majority(l)) {
            (void)fprintf(stderr,
                          "dougong: %" PRIu32 " of %" PRIu32 " nodes are left, no majority: "
                          "stopping\n",
                          running_count(l),
                          l->options.nodes);
            return;
        }
        if (any_ended) {
            (void)fprintf(stderr,
                          "dougong: going on with %" PRIu32 " of %" PRIu32 " nodes\n",
                          running_count(l),
                          l->options.nodes);
        }
        uint64_t took_ms = ask_now_ms() - started_ms;
        struct error why = {0};
        if (!l->is_ready && is_cluster_ready(l, &why)) {
            l->is_ready = true;
            print_ready(l, ask_now_ms() - started_ms);
        } else if (!l->is_ready && !has_noted && took_ms > NOT_READY_NOTE_MS) {
            has_noted = true;
            (void)fprintf(stderr, "dougong: not ready yet: %s\n", why.text);
        }
    }
}

/* ---- stopping -------------------------------------------------------------------------------- */

/* To those that still run, by their own ids: they are our children until they were waited for. */
static void signal_all(const struct local *l, int signal_number)
{
    for (uint32_t i = 0; i < l->options.nodes; i++) {
        if (l->nodes[i].pid != 0 && kill(l->nodes[i].pid, signal_number) != 0) {
            ensure(errno == ESRCH);
        }
    }
}

/* Waits until none runs. False: not within the time, or a second Ctrl-C cut it short. */
static bool wait_all(struct local *l, unsigned limit_ms)
{
    uint64_t end_ms = ask_now_ms() + limit_ms;
    bool is_cut = false;
    for (;;) {
        (void)reap(l, true); // last of all once more: who ended meanwhile needs no SIGKILL
        if (running_count(l) == 0 || is_cut) {
            return running_count(l) == 0;
        }
        is_cut = next_signal(l, STOP_POLL_MS) == SIGINT || ask_now_ms() >= end_ms;
    }
}

static void stop_all(struct local *l)
{
    signal_all(l, SIGTERM);
    if (wait_all(l, STOP_LIMIT_MS)) {
        return;
    }
    l->has_failed = true;
    (void)fprintf(stderr,
                  "dougong: did not stop in time, killed: %" PRIu32 " of %" PRIu32 " nodes\n",
                  running_count(l),
                  l->options.nodes);
    signal_all(l, SIGKILL);
    if (!wait_all(l, KILL_LIMIT_MS)) {
        (void)fprintf(stderr,
                      "dougong: still there after SIGKILL: %" PRIu32 " nodes\n",
                      running_count(l));
    }
}

/* ---- the verb -------------------------------------------------------------------------------- */

static void take_signals(struct local *l)
{
    int failed = sigemptyset(&l->signals);
    failed |= sigaddset(&l->signals, SIGINT);
    failed |= sigaddset(&l->signals, SIGTERM);
    failed |= sigaddset(&l->signals, SIGHUP);
    failed |= sigaddset(&l->signals, SIGCHLD);
    failed |= sigprocmask(SIG_BLOCK, &l->signals, &l->signals_before);
    ensure(failed == 0);
    /* Ignored by whoever started us, it would take the nodes' exit statuses away. */
    ensure(signal(SIGCHLD, SIG_DFL) != SIG_ERR);
    /* Nobody may read our lines any more: no reason to take the cluster down. */
    ensure(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
}

static int run_cluster(struct local *l)
{
    bool all_started = true;
    for (uint32_t i = 0; i < l->options.nodes && all_started; i++) {
        all_started = start_node(l, &l->nodes[i]);
    }
    if (all_started) {
        print_nodes(l);
        watch(l);
    } else {
        l->has_failed = true;
    }
    stop_all(l);
    (void)printf("stopped\n");
    return l->has_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

int local_run(int arg_count, char **args)
{
    struct error error;
    struct options_local options;
    if (options_parse_local(arg_count, args, &options, &error) != STATUS_OK) {
        (void)fprintf(stderr, "dougong: %s\n", error.text);
        return EXIT_USAGE;
    }
    struct local *l = mem_alloc_zero(sizeof *l);
    l->options = options;
    buf_init(&l->reply, ASK_REPLY_BYTES_MAX);
    int exit_status = EXIT_FAILURE;
    if (!lay_out(l)) {
        (void)fprintf(stderr, "dougong: --data: the path is too long\n");
    } else if (mkdir(options.data, DIR_MODE) != 0 && errno != EEXIST) {
        (void)fprintf(stderr,
                      "dougong: %s: %s; its parent must exist\n",
                      options.data,
                      strerror(errno));
    } else {
        (void)setvbuf(stdout, NULL, _IOLBF, 0);
        take_signals(l);
        exit_status = run_cluster(l);
    }
    buf_deinit(&l->reply);
    mem_free(l);
    return exit_status;
}
