#include "command/slowlog.h"

#include <assert.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "command/secret.h"
#include "protocol/resp_writer.h"

/* As in Redis. */
#define ARGS_SHOWN 32u
#define ARG_BYTES_SHOWN 128u
#define ENTRY_FIELDS 6u
#define SECOND_MS 1000u
#define MORE_BYTES 64u /* "... (n more bytes)" */

static_assert(ARGS_SHOWN * (ARG_BYTES_SHOWN + MORE_BYTES + RESP_FRAME_BYTES_MAX) <
                  SLOWLOG_NOTE_BYTES_MAX,
              "a note fits");

struct slowlog_entry {
    struct list link;
    uint64_t id;
    uint64_t wall_s;
    uint64_t took_us;
    struct buf rest; /* the fields behind, as RESP: arguments, address, name */
};

void slowlog_init(struct slowlog *s)
{
    *s = (struct slowlog){0};
    list_init(&s->entries);
}

static void entry_destroy(struct slowlog_entry *e)
{
    list_remove(&e->link);
    buf_deinit(&e->rest);
    mem_free(e);
}

static void cut_to(struct slowlog *s, uint64_t entries_max)
{
    while (s->count > entries_max) {
        s->count--;
        entry_destroy(container_of(s->entries.prev, struct slowlog_entry, link));
    }
}

void slowlog_clear(struct slowlog *s)
{
    cut_to(s, 0);
}

void slowlog_deinit(struct slowlog *s)
{
    slowlog_clear(s);
}

static void write_arg(struct bytes arg, struct buf *out)
{
    if (arg.size <= ARG_BYTES_SHOWN) {
        resp_write_bulk(out, arg);
        return;
    }
    struct buf text;
    buf_init(&text, ARG_BYTES_SHOWN + MORE_BYTES);
    buf_append(&text, arg.data, ARG_BYTES_SHOWN);
    buf_printf(&text, "... (%zu more bytes)", arg.size - ARG_BYTES_SHOWN);
    resp_write_bulk(out, buf_bytes(&text));
    buf_deinit(&text);
}

void slowlog_note(const struct command *command,
                  const struct bytes *args,
                  size_t arg_count,
                  struct buf *out)
{
    bool is_cut = arg_count > ARGS_SHOWN;
    size_t shown = is_cut ? ARGS_SHOWN - 1 : arg_count;
    resp_write_array(out, is_cut ? ARGS_SHOWN : arg_count);
    for (size_t i = 0; i < shown; i++) {
        bool is_secret = command_arg_is_secret(command, args, arg_count, i);
        write_arg(is_secret ? bytes_of_text(COMMAND_SECRET_SHOWN) : args[i], out);
    }
    if (is_cut) {
        char text[MORE_BYTES];
        (void)snprintf(text, sizeof text, "... (%zu more arguments)", arg_count - shown);
        resp_write_bulk_text(out, text);
    }
}

void slowlog_add(struct slowlog *s, const struct slowlog_fact *fact, uint64_t entries_max)
{
    struct slowlog_entry *e = mem_alloc_zero(sizeof *e);
    e->id = s->id_next++;
    e->wall_s = fact->wall_ms / SECOND_MS;
    e->took_us = fact->took_us;
    buf_init(&e->rest,
             SLOWLOG_NOTE_BYTES_MAX + CLIENT_ADDRESS_BYTES + LIMIT_CLIENT_NAME_BYTES +
                 2 * RESP_FRAME_BYTES_MAX);
    buf_append_bytes(&e->rest, fact->note);
    resp_write_bulk_text(&e->rest, fact->client->peer);
    resp_write_bulk(&e->rest, buf_bytes(&fact->client->name));
    list_insert_before(s->entries.next, &e->link);
    s->count++;
    cut_to(s, entries_max < LIMIT_SLOWLOG_ENTRIES ? entries_max : LIMIT_SLOWLOG_ENTRIES);
}

void slowlog_write(const struct slowlog *s, uint64_t count, struct buf *reply)
{
    uint64_t left = count < s->count ? count : s->count;
    resp_write_array(reply, left);
    list_each(link, &s->entries) {
        if (left-- == 0) {
            break;
        }
        const struct slowlog_entry *e = container_of(link, struct slowlog_entry, link);
        resp_write_array(reply, ENTRY_FIELDS);
        resp_write_integer(reply, (int64_t)e->id);
        resp_write_integer(reply, (int64_t)e->wall_s);
        resp_write_integer(reply, (int64_t)e->took_us);
        buf_append_bytes(reply, buf_bytes(&e->rest));
    }
}
