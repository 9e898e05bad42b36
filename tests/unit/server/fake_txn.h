/*
 * Stands in for the room txn: each function is defined here under its real name. It writes down
 * what it is given, and answers when the test says so.
 */
#ifndef SERVER_FAKE_TXN_H
#define SERVER_FAKE_TXN_H

#include <inttypes.h>

#include "base/assert.h"
#include "harness.h"
#include "txn/txn.h"

#define FAKE_TXN_MAX 8u

/* In order of arrival, all kinds together: one of the two is NULL. */
struct fake_txn_held {
    struct txn_request *request;
    struct txn_watch_request *watch;
};

struct txn_manager {
    struct fake_txn_held held[FAKE_TXN_MAX];
    size_t held_count;
    struct buf told; /* a line for each thing asked for, since fake_txn_told */
};

static inline void fake_txn_start(struct txn_manager *m)
{
    *m = (struct txn_manager){0};
    buf_init(&m->told, SIZE_MAX / 2);
}

static inline void fake_txn_stop(struct txn_manager *m)
{
    buf_deinit(&m->told);
}

static inline void fake_txn_hold(struct txn_manager *m, struct fake_txn_held held)
{
    ensure(m->held_count < FAKE_TXN_MAX);
    m->held[m->held_count++] = held;
}

static inline struct fake_txn_held fake_txn_take(struct txn_manager *m)
{
    ensure(m->held_count > 0);
    struct fake_txn_held first = m->held[0];
    m->held_count--;
    memmove(m->held, m->held + 1, m->held_count * sizeof first);
    return first;
}

/* "txn strict 0 SET a 1; 3 GET b; a@0=5" */
void txn_submit(struct txn_manager *m, struct txn_request *r)
{
    ensure(r->command_count > 0);
    buf_printf(&m->told, "txn%s", r->is_strict ? " strict" : "");
    for (size_t i = 0; i < r->command_count; i++) {
        const struct txn_command *c = &r->commands[i];
        ensure(c->command->policy != COMMAND_LOCAL);
        buf_printf(&m->told, "%s %u", i > 0 ? ";" : "", (unsigned)c->database);
        for (size_t j = 0; j < c->arg_count; j++) {
            buf_append_text(&m->told, " ");
            buf_append(&m->told, c->args[j].data, c->args[j].size < 64 ? c->args[j].size : 64);
        }
    }
    for (size_t i = 0; i < r->watch_count; i++) {
        const struct txn_compare *c = &r->watches[i];
        ensure(c->is_watched);
        buf_append_text(&m->told, "; ");
        buf_append_bytes(&m->told, c->key);
        buf_printf(&m->told, "@%u=%" PRIu64, (unsigned)c->database, c->version);
    }
    buf_append_text(&m->told, "\n");
    fake_txn_hold(m, (struct fake_txn_held){.request = r});
}

/* "watch 0 a 0 b" */
void txn_watch(struct txn_manager *m, struct txn_watch_request *r)
{
    ensure(r->key_count > 0);
    buf_append_text(&m->told, "watch");
    for (size_t i = 0; i < r->key_count; i++) {
        buf_printf(&m->told, " %u ", (unsigned)r->keys[i].database);
        buf_append_bytes(&m->told, r->keys[i].key);
    }
    buf_append_text(&m->told, "\n");
    fake_txn_hold(m, (struct fake_txn_held){.watch = r});
}

bool txn_allows(const struct command *command, const char **out_error)
{
    *out_error = "ERR not in a transaction";
    return command->policy == COMMAND_ONE_SHARD || command->policy == COMMAND_SPLIT_BY_KEY;
}

/* Of MSET alone, and only if the first letters of its keys differ. */
bool txn_needs(const struct router *router,
               const struct command *command,
               const struct bytes *args,
               size_t arg_count)
{
    (void)router;
    return strcmp(command->name, "mset") == 0 && arg_count > 3 &&
           args[1].data[0] != args[3].data[0];
}

uint64_t txn_memory(const struct txn_manager *m)
{
    (void)m;
    return 0;
}

/* What was asked for since the last call. */
static inline const char *fake_txn_told(struct txn_manager *m)
{
    static char text[4096];
    size_t size = m->told.size < sizeof text - 1 ? m->told.size : sizeof text - 1;
    memcpy(text, m->told.data != NULL ? m->told.data : (const uint8_t *)"", size);
    text[size] = '\0';
    buf_clear(&m->told, 0);
    return text;
}

/* Answers the oldest, which is a transaction. */
static inline void fake_txn_end(struct txn_manager *m,
                                enum txn_outcome outcome,
                                const char *replies)
{
    struct txn_request *r = fake_txn_take(m).request;
    ensure(r != NULL);
    buf_append_text(r->replies, replies);
    r->done(r, outcome);
}

/* Answers the oldest, which asks for versions: all are this; 0 with an error: none is known. */
static inline void fake_txn_watched(struct txn_manager *m, uint64_t version, const char *error)
{
    struct txn_watch_request *r = fake_txn_take(m).watch;
    ensure(r != NULL);
    for (size_t i = 0; i < r->key_count && error == NULL; i++) {
        r->versions[i] = version;
    }
    if (error != NULL) {
        buf_append_text(r->error, error);
    }
    r->done(r, error == NULL);
}

#endif
