#include "command/client.h"

#include <inttypes.h>
#include <stdio.h>

#include "command/command.h"

#define SECOND_US 1000000u

void client_init(struct client *c, uint64_t id, const char *peer, const char *local)
{
    *c = (struct client){.id = id, .resp = 2, .user = "default", .local = local};
    (void)snprintf(c->peer, sizeof c->peer, "%s", peer);
    buf_init(&c->name, LIMIT_CLIENT_NAME_BYTES);
}

void client_deinit(struct client *c)
{
    buf_deinit(&c->name);
}

/* The letters of Redis, in its order. */
static void append_flags(const struct client *c, struct buf *out)
{
    const struct {
        bool is_set;
        const char *letter;
    } flags[] = {
        {c->is_monitor, "O"},
        {c->is_held, "b"},
        {c->must_close, "c"},
        {c->is_protected, "e"},
    };
    size_t before = out->size;
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        buf_append_text(out, flags[i].is_set ? flags[i].letter : "");
    }
    buf_append_text(out, out->size == before ? "N" : "");
}

static void append_command(const struct command *c, struct buf *out)
{
    if (c != NULL && c->container != NULL) {
        buf_printf(out, "%s|", c->container);
    }
    buf_append_text(out, c != NULL ? c->name : "NULL");
}

void client_describe(const struct client *c, struct buf *out)
{
    uint64_t age = (c->now_us - c->created_us) / SECOND_US;
    uint64_t idle = (c->now_us - c->active_us) / SECOND_US;
    buf_printf(out, "id=%" PRIu64 " addr=%s laddr=%s fd=-1 name=", c->id, c->peer, c->local);
    buf_append_bytes(out, buf_bytes(&c->name));
    buf_printf(out, " age=%" PRIu64 " idle=%" PRIu64 " flags=", age, idle);
    append_flags(c, out);
    buf_printf(out, " db=%u sub=0 psub=0 ssub=0 multi=-1", (unsigned)c->database);
    buf_printf(out, " qbuf=%" PRIu64 " qbuf-free=%" PRIu64, c->input_bytes, c->input_free_bytes);
    buf_printf(out, " argv-mem=%" PRIu64 " multi-mem=0", c->argument_bytes);
    buf_printf(out, " rbs=%" PRIu64 " rbp=0 obl=%" PRIu64, c->output_room_bytes, c->output_bytes);
    buf_printf(out, " oll=0 omem=%" PRIu64, c->waiting_bytes);
    buf_printf(out, " tot-mem=%" PRIu64 " events=%s", c->memory_bytes, c->is_sending ? "rw" : "r");
    buf_append_text(out, " cmd=");
    append_command(c->last_command, out);
    buf_printf(out, " user=%s redir=-1 resp=%u\n", c->user, (unsigned)c->resp);
}
