/*
 * What the command table says of itself, without a node: each line of the input is a COMMAND … to
 * run, and its reply in RESP3 goes to the output. HINT NAME… gives for each name why the command is
 * refused, or null. tools/commands-doc reads it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "command/command.h"
#include "protocol/resp_writer.h"

#define LINE_BYTES (64u * KIB)
#define WORDS_MAX 1024u
#define REPLY_BYTES_MAX (16u * MIB)

static size_t cut_words(char *line, struct bytes *words)
{
    size_t count = 0;
    char *rest = line;
    for (char *word = strsep(&rest, " \n"); word != NULL; word = strsep(&rest, " \n")) {
        if (word[0] != '\0') {
            ensure(count < WORDS_MAX);
            words[count++] = bytes_of_text(word);
        }
    }
    return count;
}

/* "replicaof", "cluster|info" */
static const struct command *find(struct bytes name)
{
    const uint8_t *bar = memchr(name.data, '|', name.size);
    size_t size = bar != NULL ? (size_t)(bar - name.data) : name.size;
    struct bytes words[2] = {bytes_of(name.data, size)};
    if (bar != NULL) {
        words[1] = bytes_of(bar + 1, name.size - size - 1);
    }
    const struct command *c = command_find(words, bar != NULL ? 2 : 1);
    return c != NULL && (c->container != NULL) == (bar != NULL) ? c : NULL;
}

static void write_hints(const struct bytes *names, size_t count, struct buf *reply)
{
    resp_write_array(reply, count);
    for (size_t i = 0; i < count; i++) {
        const struct command *c = find(names[i]);
        if (c != NULL && c->hint != NULL) {
            resp_write_bulk_text(reply, c->hint);
        } else {
            resp_write_null(reply, 3);
        }
    }
}

static void run(const struct bytes *words, size_t count, struct buf *reply)
{
    if (bytes_equal_nocase(words[0], "hint")) {
        write_hints(words + 1, count - 1, reply);
        return;
    }
    const struct command *c = command_resolve(words, count, reply);
    if (c != NULL) {
        struct command_call call = {
            .command = c,
            .args = words,
            .arg_count = count,
            .resp = 3,
            .reply = reply,
        };
        (void)c->handler(&call);
    }
}

int main(void)
{
    static char line[LINE_BYTES];
    static struct bytes words[WORDS_MAX];
    command_table_check();
    struct buf reply;
    buf_init(&reply, REPLY_BYTES_MAX);
    while (fgets(line, sizeof line, stdin) != NULL) {
        size_t count = cut_words(line, words);
        if (count > 0) {
            run(words, count, &reply);
        }
    }
    size_t written = fwrite(reply.data, 1, reply.size, stdout);
    bool is_written = written == reply.size && fflush(stdout) == 0;
    buf_deinit(&reply);
    return is_written ? EXIT_SUCCESS : EXIT_FAILURE;
}
