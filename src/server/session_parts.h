/* What the files of session share. Inside them only. */
#ifndef SERVER_SESSION_PARTS_H
#define SERVER_SESSION_PARTS_H

#include "command/latency.h"
#include "command/slowlog.h"
#include "server/session.h"

#define BUFFER_BYTES_KEPT (1u * KIB)
/* What one read() brings at most, beyond an unfinished command. */
#define INPUT_READ_BYTES (64u * KIB)
#define REPLY_BYTES_KEPT 256u
/* What an unanswered command takes beside its bytes: itself and a small reply. */
#define REQUEST_BYTES (sizeof(struct session_request) + REPLY_BYTES_KEPT)

/* session.c */
void session_mark_dirty(struct session *session);
void session_count_memory(struct session *session);
/* The last one out: the connection is gone and the router holds no request of it. */
void session_destroy_if_unused(struct session *session);

/* session_input.c */
bool session_has_unrun_input(const struct session *session);
/* It sleeps, or CLIENT PAUSE holds its next command: nothing more is taken up. */
bool session_is_waiting(const struct session *session);
void session_sleep_due(struct env_timer *timer);

/* session_reply.c */
static inline struct session_request *session_request_of(struct list *link)
{
    return container_of(link, struct session_request, link);
}
struct session_request *session_request_create(struct session *session);
/* Takes it out of the session without a reply. */
void session_request_release(struct session_request *r);
void session_request_destroy(struct session_request *r);
/* The reply is complete. */
void session_finish(struct session_request *r, uint64_t now_us);
/* The rest of the replies is dropped, an error says so, the connection ends. */
void session_cut(struct session *session, const char *why);

/* session_monitor.c */
void session_monitor_start(struct session *session);
void session_monitor_stop(struct session *session);
/* Shows a command of `from` to the monitors; may close one of them, also `from` itself. */
void session_monitor_feed(struct session *from,
                          const struct command *command,
                          const struct bytes *args,
                          size_t arg_count);

void server_monitors_init(struct server *s);

/* server_clients.c */
void server_clients_init(struct server *s);
/* No more input: who sleeps is woken, no timer of this file fires any more. */
void server_clients_stop(struct server *s);
/* Watches for idle connections from now on, if a timeout is set. */
void server_mind_idle(struct server *s);
/* Never NULL; read it each time. */
const struct settings *server_settings(const struct server *s);

#endif
