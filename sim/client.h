/* One client of the workload: its connection, what it asks, and the replies it waits for. */
#ifndef SIM_CLIENT_H
#define SIM_CLIENT_H

#include "sim/pipeline.h"
#include "sim/workload.h"

#define CLIENT_PENDING_MAX 64u
#define CLIENT_KEYS_MAX 4u

enum client_role {
    CLIENT_ORDINARY,
    CLIENT_ORDER_WRITER,
    CLIENT_ORDER_READER,
    CLIENT_PIPELINER,
    CLIENT_FINAL_READER,
};

enum pending_kind {
    PENDING_KEY,    /* one key */
    PENDING_MGET,   /* a value for each key */
    PENDING_EXISTS, /* how many of the keys are there */
    PENDING_ECHO,
    PENDING_SET_DATA,
    PENDING_SET_FLAG,
    PENDING_GET_FLAG,
    PENDING_GET_DATA,
};

/* A command whose reply is awaited. */
struct pending {
    enum pending_kind kind;
    unsigned key_count;
    struct {
        uint32_t key;
        size_t operation;
    } keys[CLIENT_KEYS_MAX];
    int64_t number; /* ECHO: the value; SET_DATA: the round */
    unsigned pair;
};

enum fate {
    FATE_TOLD,    /* the outcome is known */
    FATE_REFUSED, /* not executed, and never will be (DUP-6) */
    FATE_SILENT,  /* executed, but says nothing about a single key */
    FATE_UNKNOWN, /* may be executed, now or later */
    FATE_BAD,     /* no such reply is possible */
};

struct workload_client {
    struct workload *workload;
    unsigned index;
    enum client_role role;
    struct prng prng;
    struct sim_conn *conn;
    unsigned node; /* that it is or was connected to */
    uint32_t session;
    struct buf input;
    struct pending pending[CLIENT_PENDING_MAX];
    size_t pending_count;      /* also of a pipeliner, whose commands are in its pipeline */
    struct pipeline *pipeline; /* NULL: no pipeliner */
    int64_t flag_seen;         /* by the reader: waits for the data; -1: refused */
    uint64_t life;             /* of the connection: older timers are stale */
    uint64_t batch;            /* grows with each batch: its timeout is stale after the replies */
    bool is_active;
    bool is_connected;
};

/* Connects, or asks the next batch. */
void client_act(struct workload_client *c);
/* The same, up to so much later. */
void client_act_later(struct workload_client *c, uint64_t us_max);
/* client_ask.c: adds some commands to out and what is expected for them. */
void client_ask(struct workload_client *c, struct buf *out);
/* client_reply.c: takes all whole replies out of the input. */
void client_take_replies(struct workload_client *c);
/* Of a command that cannot fail for a reason of its own. */
enum fate client_fate_of_error(struct workload *w, struct bytes text, bool may_write);

#endif
