/* Transactions, and looks at versions, that requests of a session have under way in src/txn. Inside
 * the room only. */
#ifndef SERVER_SESSION_TXN_H
#define SERVER_SESSION_TXN_H

#include "server/session_multi.h"

/* EXEC: what was gathered and watched goes out of the session, into r. */
enum session_multi_next session_exec_start(struct session_request *r);
/* WATCH of keys that hold so many bytes. session_finish follows. */
void session_watch_start(struct session_request *r,
                         const struct bytes *keys,
                         size_t count,
                         size_t bytes);

#endif
