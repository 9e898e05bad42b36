#include "main/query.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "config/options.h"
#include "main/ask.h"
#include "main/exit.h"
#include "main/show.h"

static int complain(const struct error *error, int exit_status)
{
    (void)fprintf(stderr, "dougong: %s\n", error->text);
    return exit_status;
}

static int complain_of_silence(const struct error *error)
{
    (void)fprintf(stderr,
                  "dougong: %s; is a node running there? (start some with `dougong local`, or give "
                  "--connect HOST:PORT)\n",
                  error->text);
    return EXIT_FAILURE;
}

/* The node's own error, if its reply is one. */
static enum status check_reply(const char *address, struct bytes reply, struct error *error)
{
    struct bytes rest = reply;
    struct resp_value v = {0};
    if (resp_value_read(&rest, &v) != STATUS_OK ||
        (v.type != RESP_TYPE_ERROR && v.type != RESP_TYPE_BULK_ERROR)) {
        return STATUS_OK;
    }
    char text[160];
    size_t size = v.text.size < sizeof text - 1 ? v.text.size : sizeof text - 1;
    for (size_t i = 0; i < size; i++) {
        uint8_t c = v.text.data[i];
        text[i] = (char)(c < ' ' || c == 0x7f ? '?' : c);
    }
    text[size] = '\0';
    const char *hint =
        strstr(text, "unknown command") != NULL ? "; is it a dougong node of this version?" : "";
    return error_set(error, STATUS_INVALID, "%s: %s%s", address, text, hint);
}

static enum status show(const struct options_query *options,
                        struct bytes reply,
                        struct error *error)
{
    enum status s = check_reply(options->connect, reply, error);
    if (s != STATUS_OK) {
        return s;
    }
    struct buf out;
    buf_init(&out, SIZE_MAX / 2);
    s = options->is_json ? show_json(reply, &out) : show_table(reply, &out);
    if (s != STATUS_OK) {
        s = error_set(error,
                      s,
                      "%s: this reply cannot be shown; is it a dougong node of this version?",
                      options->connect);
    } else if (fwrite(out.data, 1, out.size, stdout) != out.size || fflush(stdout) != 0) {
        s = error_set(error, STATUS_IO, "standard output takes nothing more");
    }
    buf_deinit(&out);
    return s;
}

int query_run(const struct query *query, int arg_count, char **args)
{
    struct options_query options;
    struct error error;
    if (options_parse_query(arg_count, args, query->needs_key, &options, &error) != STATUS_OK) {
        return complain(&error, EXIT_USAGE);
    }
    struct bytes words[3] = {bytes_of_text("DOUGONG"), bytes_of_text(query->subcommand)};
    size_t word_count = 2;
    if (query->needs_key) {
        words[word_count++] = bytes_of_text(options.key);
        if (words[2].size > LIMIT_KEY_BYTES) {
            (void)
                error_set(&error, STATUS_TOO_LARGE, "a key has at most %u bytes", LIMIT_KEY_BYTES);
            return complain(&error, EXIT_USAGE);
        }
    }
    struct buf reply;
    buf_init(&reply, ASK_REPLY_BYTES_MAX);
    enum status s = ask_node(options.connect, words, word_count, ASK_TIMEOUT_MS, &reply, &error);
    int exit_status = EXIT_SUCCESS;
    if (s == STATUS_IO) {
        exit_status = complain_of_silence(&error);
    } else if (s != STATUS_OK || show(&options, buf_bytes(&reply), &error) != STATUS_OK) {
        exit_status = complain(&error, EXIT_FAILURE);
    }
    buf_deinit(&reply);
    return exit_status;
}
