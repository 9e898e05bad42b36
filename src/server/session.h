/* One client connection. Inside the room server only. */
#ifndef SERVER_SESSION_H
#define SERVER_SESSION_H

#include "protocol/resp_parser.h"
#include "server/server.h"

/* A command whose reply is not in the output yet. Replies leave in the order of these. */
struct session_request {
    struct router_request route;
    struct list link; /* in session.requests, or server.free_requests */
    struct session *session;
    const struct command *command; /* NULL: refused before it ran */
    struct buf reply;
    struct buf note; /* for SLOWLOG: its arguments as they are shown; empty: not wanted */
    uint64_t started_us;
    bool is_done;
    bool is_silent;      /* CLIENT REPLY: its reply is dropped */
    bool starts_monitor; /* MONITOR: once its reply is in the output */
};

struct session {
    struct list link;         /* server.sessions */
    struct list dirty_link;   /* server.dirty */
    struct list monitor_link; /* server.monitors */
    struct server *server;
    struct env_conn *conn; /* NULL once closed() was called */
    struct client client;
    struct resp_parser parser;
    struct buf input;
    struct buf output;
    struct router_stream stream;
    struct list requests; /* struct session_request, in order of arrival */
    uint64_t request_count;
    uint64_t reply_bytes;            /* in requests that are done, but behind one that is not */
    uint64_t sending_bytes;          /* taken by env_conn_write and not drained yet, at most */
    uint64_t note_bytes;             /* notes of all requests */
    uint64_t memory;                 /* what of server.memory is ours */
    uint64_t taken_us;               /* when the input that is run now was taken up */
    struct session_request *sleeper; /* the one whose reply sleeps; NULL: none does */
    struct env_timer sleep_timer;
    bool is_partial; /* the input ends inside a command: nothing to do before more comes */
    bool is_paused;  /* the socket is not read */
    bool is_sending; /* env_conn_write said false: wait for drained() */
    bool is_cut;     /* replies outgrew their limit: the rest of them is dropped */
    bool has_ended;  /* the peer sends no more */
    bool is_closing; /* env_conn_close was called */
    bool is_held;    /* the input begins with a command that CLIENT PAUSE holds back */
};

void session_accept(struct server *s, struct env_conn *conn, const char *peer);
/* Frees the memory; the connection is closed, or its env gone. */
void session_destroy(struct session *session);

/* Runs what the input holds, as far as limits allow. */
void session_take_input(struct session *session);
/* True: the input holds something that session_take_input could run now. */
bool session_has_work(const struct session *session);
/* True: the client has got, or can get without us, everything that it was due. */
bool session_is_answered(const struct session *session);
/* Stops or goes on reading the socket, as the session's and the server's limits say. */
void session_pause_or_resume(struct session *session);
/* Holds back or lets go the session's reads in the router. */
void session_mind_stream(struct session *session);
/* Writes into session->client what commands may show of it. */
void session_measure(struct session *session, uint64_t now_us);
/* Ends a sleep early: the reply goes out. */
void session_wake(struct session *session);
/* Sends output; closes the connection if nothing more is to come. */
void session_flush(struct session *session);
/* Gives back buffers that are kept for the next command. */
void session_trim(struct session *session);
/* The node stops: tells the client that what is unanswered may have been executed, and closes. */
void session_abandon(struct session *session);
/* Drops what was read and not run; replies not yet handed to the socket are lost. */
void session_close(struct session *session);

#endif
