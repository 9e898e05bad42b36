/* MONITOR: a line for each command that a client of this node runs. */
#include <inttypes.h>

#include "base/assert.h"
#include "command/secret.h"
#include "server/session_parts.h"

#define SECOND_MS 1000u
#define LINE_BYTES_KEPT (4u * KIB)
/* Beyond what is limited: the time, a database, an address, "... (n more arguments)". */
#define LINE_EXTRA_BYTES (1u * KIB)
#define ESCAPED_BYTES_MAX 4u /* "\x00" */
/* The last argument that is shown may begin just below the limit of a line. */
#define LINE_BYTES_MAX                                                                             \
    (LIMIT_MONITOR_LINE_BYTES + ESCAPED_BYTES_MAX * LIMIT_MONITOR_ARGUMENT_BYTES + LINE_EXTRA_BYTES)

void server_monitors_init(struct server *s)
{
    list_init(&s->monitors);
    buf_init(&s->monitor_line, LINE_BYTES_MAX);
}

void session_monitor_start(struct session *session)
{
    if (session->client.is_monitor && !session->is_closing) {
        list_remove(&session->monitor_link);
        list_append(&session->server->monitors, &session->monitor_link);
    }
}

void session_monitor_stop(struct session *session)
{
    list_remove(&session->monitor_link);
}

/* As Redis shows strings to people. */
static void append_escaped(struct bytes text, struct buf *out)
{
    static const char letters[] = "\n\r\t\a\b";
    static const char names[] = "nrtab";
    for (size_t i = 0; i < text.size; i++) {
        char c = (char)text.data[i];
        const char *letter = c != '\0' ? strchr(letters, c) : NULL;
        if (letter != NULL) {
            buf_printf(out, "\\%c", names[letter - letters]);
        } else if (c == '\\' || c == '"') {
            buf_printf(out, "\\%c", c);
        } else if (c >= ' ' && c <= '~') {
            buf_append(out, &c, 1);
        } else {
            buf_printf(out, "\\x%02x", (unsigned)text.data[i]);
        }
    }
}

static void append_arg(struct bytes arg, struct buf *out)
{
    bool is_long = arg.size > LIMIT_MONITOR_ARGUMENT_BYTES;
    size_t shown = is_long ? LIMIT_MONITOR_ARGUMENT_BYTES : arg.size;
    buf_append_text(out, " \"");
    append_escaped(bytes_of(arg.data, shown), out);
    if (is_long) {
        buf_printf(out, "... (%zu more bytes)", arg.size - shown);
    }
    buf_append_text(out, "\"");
}

static void write_line(const struct session *from,
                       const struct command *command,
                       const struct bytes *args,
                       size_t arg_count,
                       struct buf *out)
{
    uint64_t wall_ms = env_wall_ms(from->server->env);
    buf_printf(out, "+%" PRIu64 ".%03" PRIu64 "000", wall_ms / SECOND_MS, wall_ms % SECOND_MS);
    buf_printf(out, " [%u %s]", (unsigned)from->client.database, from->client.peer);
    for (size_t i = 0; i < arg_count; i++) {
        if (out->size >= LIMIT_MONITOR_LINE_BYTES) {
            buf_printf(out, " \"... (%zu more arguments)\"", arg_count - i);
            break;
        }
        bool is_secret = command_arg_is_secret(command, args, arg_count, i);
        append_arg(is_secret ? bytes_of_text(COMMAND_SECRET_SHOWN) : args[i], out);
    }
    buf_append_text(out, "\r\n");
}

static void give_line(struct session *monitor, struct bytes line)
{
    struct server *s = monitor->server;
    if (monitor->client.is_silent || monitor->client.must_close) {
        return;
    }
    buf_append_bytes(&monitor->output, line);
    session_count_memory(monitor);
    session_mark_dirty(monitor);
    if (monitor->output.size + monitor->sending_bytes > LIMIT_MONITOR_BYTES) {
        reached("server: monitor does not read");
        s->stats->output_overflows++;
        session_close(monitor);
    }
}

void session_monitor_feed(struct session *from,
                          const struct command *command,
                          const struct bytes *args,
                          size_t arg_count)
{
    struct server *s = from->server;
    if (list_is_empty(&s->monitors) ||
        (command->flags & (COMMAND_ADMIN | COMMAND_SKIP_MONITOR)) != 0) {
        return;
    }
    write_line(from, command, args, arg_count, &s->monitor_line);
    struct list *next = NULL;
    for (struct list *link = s->monitors.next; link != &s->monitors; link = next) {
        next = link->next; /* giving a line may close the one that gets it */
        give_line(container_of(link, struct session, monitor_link), buf_bytes(&s->monitor_line));
    }
    buf_clear(&s->monitor_line, LINE_BYTES_KEPT);
}
