/* The program: arguments, the real env, one node. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "adapters/uv/uv_env.h"
#include "base/mem.h"
#include "config/options.h"
#include "node/node.h"
#include "node/version.h"

#define EXIT_USAGE 2
#define DEFAULT_MEMORY_SHARE 8u /* buffer memory is one part in this many of the machine's */

struct program {
    struct uv_env *env;
    struct node *node;
};

static void print_help(FILE *to)
{
    struct buf text;
    buf_init(&text, 64u * 1024u);
    buf_append_text(&text,
                    "Usage: dougong server --data DIR [options]\n"
                    "       dougong --version | --help\n\n"
                    "A durable store that speaks the Redis protocol. Every acknowledged write is "
                    "on disk.\n\nOptions of server:\n");
    options_help(&text);
    buf_append_text(&text,
                    "\nSIGTERM or SIGINT stop it after what was taken is answered. Exit status: 0 "
                    "stopped as\nasked, 1 could not start, 2 wrong arguments, 70 halted to protect "
                    "the data.\n");
    (void)fwrite(text.data, 1, text.size, to);
    buf_deinit(&text);
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

static uint64_t default_buffer_memory(void)
{
    long pages = sysconf(_SC_PHYS_PAGES);
    long page = sysconf(_SC_PAGESIZE);
    return pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page / DEFAULT_MEMORY_SHARE : 0;
}

static int run(const struct options *options)
{
    struct node_options node_options = {
        .data_dir = options->data,
        .listen = options->listen,
        .buffer_memory =
            options->buffer_memory > 0 ? options->buffer_memory : default_buffer_memory(),
    };
    struct program program = {.env = uv_env_create()};
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
    struct options options;
    struct error error;
    if (options_parse(arg_count, args, &options, &error) != STATUS_OK) {
        (void)fprintf(stderr, "dougong: %s\n", error.text);
        return EXIT_USAGE;
    }
    return run(&options);
}

int main(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "";
    if (strcmp(verb, "--version") == 0) {
        (void)printf("dougong %s\n", DOUGONG_VERSION);
        return EXIT_SUCCESS;
    }
    if (strcmp(verb, "--help") == 0) {
        print_help(stdout);
        return EXIT_SUCCESS;
    }
    if (strcmp(verb, "server") == 0) {
        return serve(argc - 2, argv + 2);
    }
    (void)fprintf(stderr, "dougong: say `dougong server --data DIR`, or `dougong --help`\n");
    return EXIT_USAGE;
}
