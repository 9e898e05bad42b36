#include "command/client.h"

#include <inttypes.h>
#include <stdio.h>

#include "command/command.h"

#define SECOND_US 1000000u

void client_init(struct client *c, uint64_t id, const char *peer, const char *local)
{
    *c = (struct client){.id = id, .resp = 2, .user = "default"};
    (void)snprintf(c->peer, sizeof c->peer, "%s", peer);
    (void)snprintf(c->local, sizeof c->local, "%s", local);
    buf_init(&c->name, LIMIT_CLIENT_NAME_BYTES);
    buf_init(&c->library_name, LIMIT_CLIENT_NAME_BYTES);
    buf_init(&c->library_version, LIMIT_CLIENT_NAME_BYTES);
}

void client_deinit(struct client *c)
{
    buf_deinit(&c->name);
    buf_deinit(&c->library_name);
    buf_deinit(&c->library_version);
}

void client_describe(const struct client *c, struct buf *out)
{
    uint64_t age = (c->now_us - c->created_us) / SECOND_US;
    uint64_t idle = (c->now_us - c->active_us) / SECOND_US;
    buf_printf(out, "id=%" PRIu64 " addr=%s laddr=%s fd=-1 name=", c->id, c->peer, c->local);
    buf_append_bytes(out, buf_bytes(&c->name));
    buf_printf(out, " age=%" PRIu64 " idle=%" PRIu64, age, idle);
    buf_printf(out, " flags=N db=%u sub=0 psub=0 ssub=0 multi=-1", (unsigned)c->database);
    buf_printf(out, " qbuf=%" PRIu64 " qbuf-free=0 argv-mem=0 multi-mem=0", c->input_bytes);
    buf_printf(out,
               " rbs=0 rbp=0 obl=%" PRIu64 " oll=0 omem=0 tot-mem=0 events=r",
               c->output_bytes);
    const struct command *last = c->last_command;
    bool is_sub = last != NULL && last->container != NULL;
    buf_printf(out,
               " cmd=%s%s%s",
               is_sub ? last->container : "",
               is_sub ? "|" : "",
               last != NULL ? last->name : "NULL");
    buf_printf(out, " user=%s redir=-1 resp=%u", c->user, (unsigned)c->resp);
    buf_append_text(out, " lib-name=");
    buf_append_bytes(out, buf_bytes(&c->library_name));
    buf_append_text(out, " lib-ver=");
    buf_append_bytes(out, buf_bytes(&c->library_version));
    buf_append_text(out, "\n");
}
