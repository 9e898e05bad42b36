/* The program: the verbs, and for `server` the real env and one node. */
#include <stdio.h>
#include <stdlib.h>

#include "adapters/uv/uv_env.h"
#include "base/mem.h"
#include "config/options.h"
#include "main/exit.h"
#include "main/local.h"
#include "main/memory.h"
#include "main/process.h"
#include "main/query.h"
#include "main/rebuild.h"
#include "node/node.h"
#include "node/version.h"
#include "store/engine.h"

struct program {
    struct uv_env *env;
    struct node *node;
};

static const struct query queries[] = {
    {.verb = "status", .subcommand = "STATUS"},
    {.verb = "nodes", .subcommand = "NODES"},
    {.verb = "groups", .subcommand = "GROUPS"},
    {.verb = "locate", .subcommand = "LOCATE", .needs_key = true},
};

#define QUERY_COUNT (sizeof queries / sizeof queries[0])

static int print_help(void)
{
    struct buf text;
    buf_init(&text, 64u * 1024u);
    buf_append_text(&text,
                    "Usage: dougong server --data DIR [options]\n"
                    "       dougong local --data DIR [options]\n"
                    "       dougong status | nodes | groups | locate KEY [options]\n"
                    "       dougong rebuild --data DIR\n"
                    "       dougong --version | --help\n\n"
                    "A durable store that speaks the Redis protocol. Every acknowledged write is "
                    "on disk.\n\n"
                    "server: runs one node.\n");
    options_help(&text);
    buf_append_text(&text,
                    "  SIGTERM or SIGINT stop it after what was taken is answered.\n\n"
                    "local: runs a whole cluster on this machine, one process for each node, until "
                    "Ctrl-C\n(or SIGTERM) stops all of them. A node that dies is not restarted; "
                    "the others go on while\nthey are a majority.\n");
    options_help_local(&text);
    buf_append_text(
        &text,
        "\nstatus, nodes, groups, locate: ask a running node who it is and whether the "
        "cluster is\nhealthy; which nodes there are; who leads which group; where a key "
        "is (-- KEY, if the\nkey begins with two dashes).\n");
    options_help_query(&text);
    buf_append_text(&text,
                    "\nrebuild: for a node that refuses to start because its log or data is "
                    "damaged: moves both\naside, to DIR/damaged.N. Start the node again then: it "
                    "takes its data from the others,\nof which a majority must run. For clusters "
                    "of three nodes or more.\n");
    options_help_rebuild(&text);
    buf_append_text(&text,
                    "\nExit status: 0 done, or stopped as asked; 1 could not start, no answer, an "
                    "error for an\nanswer, or (local) a node that ended by itself; 2 wrong "
                    "arguments; 70 halted to protect\nthe data.\n");
    size_t written = fwrite(text.data, 1, text.size, stdout);
    bool is_written = written == text.size && fflush(stdout) == 0;
    buf_deinit(&text);
    return is_written ? EXIT_SUCCESS : EXIT_FAILURE;
}

static void on_stopped(void *owner)
{
    struct program *program = owner;
    uv_env_stop(program->env);
}

static void on_signal(void *owner, int signal_number)
{
    (void)signal_number;
    struct program *program = owner;
    node_stop(program->node, on_stopped, program);
}

static void on_stop_wanted(void *owner)
{
    struct program *program = owner;
    node_stop(program->node, on_stopped, program);
}

/* For comparison: nothing of it outlives the process. */
static enum status open_mem(void *ctx,
                            const char *data_dir,
                            struct store_engine **out_engine,
                            struct error *error)
{
    (void)ctx;
    (void)data_dir;
    (void)error;
    *out_engine = store_engine_mem_create(NULL);
    return STATUS_OK;
}

static int run(const struct options *options)
{
    bool is_mem = strcmp(options->store, OPTIONS_STORE_MEM) == 0;
    struct node_options node_options = {
        .data_dir = options->data,
        .listen = options->listen,
        .buffer_memory = options->buffer_memory > 0 ? options->buffer_memory : memory_of_buffers(),
        .cache_memory = options->cache_memory > 0 ? options->cache_memory : memory_of_cache(1),
        .log_segment_bytes = options->log_segment_bytes,
        .log_segments = options->log_segments,
        .snapshot_rate = options->snapshot_rate,
        .disk_reserve = options->disk_reserve,
        .open_engine = is_mem ? open_mem : NULL,
        .is_store_volatile = is_mem,
        .cluster = options->cluster,
        .peer_listen = options->cluster != NULL ? options->peer_listen : NULL,
        .groups = options->groups,
        .election_timeout_ms = options->election_timeout_ms,
        .request_timeout_ms = options->request_timeout_ms,
        .describe_process = process_describe,
        .stop_wanted = on_stop_wanted,
    };
    struct program program = {.env = uv_env_create()};
    node_options.stop_wanted_owner = &program;
    program.node = node_create(uv_env_port(program.env), &node_options);
    struct error error;
    int exit_status = EXIT_SUCCESS;
    if (node_start(program.node, &error) == STATUS_OK) {
        uv_env_on_signal(program.env, on_signal, &program);
        uv_env_run(program.env);
    } else {
        (void)fprintf(stderr, "dougong: %s\n", error.text);
        exit_status = EXIT_FAILURE;
    }
    uv_env_destroy(program.env);
    node_destroy(program.node);
    return exit_status;
}

static int serve(int arg_count, char **args)
{
    memory_set_heap();
    struct options options;
    struct error error;
    if (options_parse(arg_count, args, &options, &error) != STATUS_OK) {
        (void)fprintf(stderr, "dougong: %s\n", error.text);
        return EXIT_USAGE;
    }
    return run(&options);
}

static bool is_help(const char *word)
{
    return strcmp(word, "--help") == 0;
}

int main(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "";
    char **args = argv + (argc > 1 ? 2 : 1);
    int arg_count = argc > 1 ? argc - 2 : 0;
    if (strcmp(verb, "--version") == 0) {
        (void)printf("dougong %s\n", DOUGONG_VERSION);
        return EXIT_SUCCESS;
    }
    /* `dougong locate -- --help` still asks for that key. */
    if (is_help(verb) || (arg_count > 0 && is_help(args[0]))) {
        return print_help();
    }
    if (strcmp(verb, "server") == 0) {
        return serve(arg_count, args);
    }
    if (strcmp(verb, "rebuild") == 0) {
        return rebuild_run(arg_count, args);
    }
    if (strcmp(verb, "local") == 0) {
        return local_run(arg_count, args);
    }
    for (size_t i = 0; i < QUERY_COUNT; i++) {
        if (strcmp(verb, queries[i].verb) == 0) {
            return query_run(&queries[i], arg_count, args);
        }
    }
    (void)fprintf(stderr,
                  "dougong: %s%s; say `dougong server --data DIR`, `dougong local --data DIR`, or "
                  "`dougong --help`\n",
                  verb[0] != '\0' ? verb : "no verb",
                  verb[0] != '\0' ? ": unknown verb" : "");
    return EXIT_USAGE;
}
