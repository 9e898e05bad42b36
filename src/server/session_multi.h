/* MULTI and WATCH of one connection, and what it has under way in src/txn. Inside the room only. */
#ifndef SERVER_SESSION_MULTI_H
#define SERVER_SESSION_MULTI_H

#include "server/multi_queue.h"
#include "server/watch_list.h"

struct session;
struct session_request;
struct session_exec;
struct session_watch;

struct session_multi {
    struct multi_queue queue;
    struct watch_list watches;
    uint8_t database;         /* of the next command that is gathered */
    bool is_watch_failed;     /* a WATCH had an error: what follows must not run unguarded */
    uint32_t watches_pending; /* WATCHes that are not answered */
    size_t keys_pending;      /* of those */
    size_t bytes_pending;
    uint64_t epoch;         /* of what is watched: counts how often it was forgotten */
    uint64_t memory_in_txn; /* of transactions under way */
};

void session_multi_init(struct session_multi *multi);
void session_multi_deinit(struct session_multi *multi);
uint64_t session_multi_memory(const struct session_multi *multi);

/* What is gathered, and what is watched. */
void session_multi_forget(struct session *session);
/* A command was refused before it ran: no EXEC may run the others as if nothing had been. */
void session_multi_rejected(struct session *session, struct bytes name, struct buf *reply);
/* Inside MULTI, of a command that is gathered: its whole reply. */
void session_multi_add(struct session *session,
                       const struct command *command,
                       const struct bytes *args,
                       size_t arg_count,
                       struct buf *reply);

enum session_multi_next {
    SESSION_MULTI_ANSWERED, /* the reply is complete */
    SESSION_MULTI_GOES_ON,  /* it will be: session_finish is called */
    SESSION_MULTI_WAITS,    /* bring the command again when the session takes up input */
};
/* Does what the handler of r's command wished. */
enum session_multi_next session_multi_mind(struct session_request *r,
                                           const struct bytes *args,
                                           size_t arg_count);

/* A single command whose keys lie in several groups. session_finish follows. */
void session_multi_submit(struct session_request *r,
                          const struct command *command,
                          const struct bytes *args,
                          size_t arg_count);

/* What a request has under way, or had. NULL is fine. */
void session_exec_destroy(struct session_exec *exec);
void session_watch_destroy(struct session_watch *watch);

#endif
