/* Commands about the server, run on a node that only notes what it is asked. */
#ifndef UNIT_FAKE_SERVER_H
#define UNIT_FAKE_SERVER_H

#include <stdio.h>

#include "base/assert.h"
#include "command/admin.h"
#include "command/command.h"
#include "harness.h"

#define FAKE_WORDS_MAX 32u
#define FAKE_REPLY_BYTES (1024u * 1024u)
#define FAKE_NAMES_BYTES 256u

struct fake_server {
    struct settings settings;
    struct command_admin admin;
    struct command_server facts;
    struct client client;
    uint8_t resp;
    uint64_t wall_us;
    uint32_t acknowledged;
    unsigned resets;
    unsigned stops;
    bool can_stop;
    char sections[FAKE_NAMES_BYTES]; /* of the last INFO: each followed by a comma */
    struct buf reply;
};

static inline uint64_t fake_wall_us(void *owner)
{
    return ((struct fake_server *)owner)->wall_us;
}

static inline uint32_t fake_acknowledged(void *owner)
{
    return ((struct fake_server *)owner)->acknowledged;
}

static inline uint64_t fake_applied(void *owner)
{
    (void)owner;
    return 77;
}

static inline void fake_reset(void *owner)
{
    ((struct fake_server *)owner)->resets++;
}

static inline bool fake_stop(void *owner)
{
    struct fake_server *f = owner;
    f->stops += f->can_stop ? 1 : 0;
    return f->can_stop;
}

static inline void fake_info(void *owner,
                             const struct bytes *sections,
                             size_t count,
                             struct buf *out)
{
    struct fake_server *f = owner;
    f->sections[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        size_t size = strlen(f->sections);
        (void)snprintf(f->sections + size,
                       sizeof f->sections - size,
                       "%.*s,",
                       (int)sections[i].size,
                       (const char *)sections[i].data);
    }
    buf_append_text(out, "# Fake\r\n");
}

/* f is caller's memory and must not move. */
static inline void fake_server_init(struct fake_server *f)
{
    *f = (struct fake_server){.settings = SETTINGS_DEFAULT, .resp = 2};
    f->admin = (struct command_admin){
        .settings = &f->settings,
        .listen = "127.0.0.1:7379",
        .data_dir = "/data/1",
        .wall_us = fake_wall_us,
        .acknowledged_replicas = fake_acknowledged,
        .applied_entries = fake_applied,
        .reset_stats = fake_reset,
        .stop = fake_stop,
        .owner = f,
    };
    f->facts = (struct command_server){.info = fake_info, .owner = f, .admin = &f->admin};
    client_init(&f->client, 1, "127.0.0.1:40000", "127.0.0.1:7379");
    buf_init(&f->reply, FAKE_REPLY_BYTES);
}

static inline void fake_server_deinit(struct fake_server *f)
{
    client_deinit(&f->client);
    buf_deinit(&f->reply);
}

static inline const char *ask_args(struct fake_server *f, const struct bytes *args, size_t count)
{
    buf_clear(&f->reply, 0);
    const struct command *c = command_resolve(args, count, &f->reply);
    if (c != NULL) {
        struct command_call call = {
            .command = c,
            .args = args,
            .arg_count = count,
            .resp = f->resp,
            .reply = &f->reply,
            .client = &f->client,
            .server = &f->facts,
        };
        size_t before = f->reply.size;
        enum command_result result = c->handler(&call);
        bool is_error = f->reply.size > before && f->reply.data[before] == '-';
        CHECK_EQ(result == COMMAND_ERROR, is_error);
    }
    buf_append(&f->reply, "", 1);
    return (const char *)f->reply.data;
}

/* The reply to the words of text; two blanks enclose an empty one. */
static inline const char *ask(struct fake_server *f, const char *text)
{
    struct bytes args[FAKE_WORDS_MAX];
    size_t count = 0;
    for (const char *at = text; *at != '\0';) {
        ensure(count < FAKE_WORDS_MAX);
        size_t size = strcspn(at, " ");
        args[count++] = bytes_of(at, size);
        at += at[size] == ' ' ? size + 1 : size;
    }
    return ask_args(f, args, count);
}

struct fake_case {
    const char *command;
    const char *reply;
};

static inline void check_cases(struct fake_server *f, const struct fake_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        CHECK_TEXT(ask(f, cases[i].command), cases[i].reply);
    }
}

#define CHECK_CASES(f, cases) check_cases((f), (cases), sizeof(cases) / sizeof(cases)[0])

#endif
