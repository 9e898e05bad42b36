/*
 * Transactions over any keys (docs/decisions/0016): the gateway's side. One per node. Here are the
 * transactions of this node's clients, the recovery of those of others that groups led here are
 * prepared for, and the marks of this node's incarnations.
 */
#ifndef TXN_TXN_H
#define TXN_TXN_H

#include "router/router.h"
#include "shard/txn_message.h"

#define TXN_PARTICIPANTS_MAX LIMIT_GROUPS
/* Of all commands together, and watched: as many as one command may have. */
#define TXN_KEYS_MAX LIMIT_COMMAND_KEYS
/* Commands with their arguments, and watched keys: with what is around them one command fits. */
#define TXN_BYTES_MAX (LIMIT_COMMAND_BYTES - MIB)
/*
 * A vote no(conflict) so often: then ordered. Once is enough: waiting in line takes no longer than
 * a pause, and where many want the same keys each try in vain costs everybody entries and syncs.
 */
#define TXN_CONFLICTS_MAX 1u
/* A group led here is prepared for so long: its outcome is asked for. */
#define TXN_RECOVERY_MS 500u
/* The same while its coordinator is heard: it may stand in the queue of another group (TXN-16). */
#define TXN_RECOVERY_HEARD_MS 5000u

struct txn_manager;

struct txn_options {
    uint32_t node;
    uint32_t incarnation; /* above all earlier ones of this node, synced before (TXN-11) */
    uint32_t group_count;
    const struct router_group *groups; /* borrowed for life */
    uint32_t request_timeout_ms;
};

struct txn_manager *txn_create(struct env *env,
                               struct router *router,
                               struct stats *stats,
                               const struct txn_options *options);
/* For a clean stop: no timer fires from here on. */
void txn_stop(struct txn_manager *m);
/* Memory only. NULL is fine. */
void txn_destroy(struct txn_manager *m);

/* ---- of clients ------------------------------------------------------------------------------ */

/* One queued command; its arguments were checked by command_resolve. Never LOCAL. */
struct txn_command {
    const struct command *command;
    const struct bytes *args; /* args[0] is the name; borrowed until txn_submit returns */
    size_t arg_count;
    uint8_t database;
};

enum txn_outcome {
    TXN_COMMITTED,    /* replies has a RESP value for each command, in order */
    TXN_CHANGED,      /* a watched key is not what it was: EXEC answers nil */
    TXN_FAILED,       /* strict: replies has the one error; nothing was done */
    TXN_NOT_EXECUTED, /* replies has an error to be shown, e.g. CLUSTERDOWN: it never will be */
    TXN_UNKNOWN,      /* replies has the error UNKNOWNRESULT: it may have been executed */
};

/* Caller's memory until done() was called. */
struct txn_request {
    /* Given: */
    const struct txn_command *commands; /* borrowed until txn_submit returns */
    size_t command_count;
    const struct txn_compare *watches; /* the same */
    size_t watch_count;
    bool is_strict;
    uint8_t resp;
    struct router_stream *stream; /* keeps its order with everything else of the connection */
    struct buf *replies;          /* appended to before done() */
    void (*done)(struct txn_request *r, enum txn_outcome outcome);
    /* private */
    struct txn *txn;
};

/*
 * done() follows, always, never from inside this call, unless the node stops first. The caller has
 * refused what txn_is_allowed refuses.
 */
void txn_submit(struct txn_manager *m, struct txn_request *r);
/* False: *out_error says why this command cannot be in a transaction over groups (static text). */
bool txn_allows(const struct command *command, const char **out_error);
/* A single command whose keys lie in several groups, and that the router cannot cut into reads. */
bool txn_needs(const struct router *router,
               const struct command *command,
               const struct bytes *args,
               size_t arg_count);

/*
 * The versions of keys now, for WATCH (TXN-21), in order with the stream. done() as above; on
 * success `versions` has one for each key, else it is empty and replies has the error.
 */
struct txn_watch_request {
    /* Given: */
    const struct txn_key *keys; /* borrowed until txn_watch returns */
    size_t key_count;
    struct router_stream *stream;
    uint64_t *versions; /* [key_count], the caller's */
    struct buf *error;
    void (*done)(struct txn_watch_request *r, bool is_good);
    /* private */
    struct txn *txn;
};
void txn_watch(struct txn_manager *m, struct txn_watch_request *r);

/* ---- of the node ----------------------------------------------------------------------------- */

/* Beside router_flush, right before it: what became ready is submitted. */
void txn_flush(struct txn_manager *m);

/* For INFO and `dougong transactions`. */
struct txn_counts {
    uint64_t open; /* of this node's clients */
    uint64_t committed;
    uint64_t changed;    /* a watched key was not what it had been */
    uint64_t failed;     /* strict ones with an error */
    uint64_t unknown;    /* answered UNKNOWNRESULT */
    uint64_t conflicts;  /* votes no(conflict): each a try more */
    uint64_t ordered;    /* went group by group in the end */
    uint64_t recovered;  /* of others, driven to their outcome here */
    uint64_t read_again; /* read-only ones whose second look differed */
};
struct txn_counts txn_counts(const struct txn_manager *m);

/* One that is open here: as coordinator, or as a group led here that is prepared. */
struct txn_shown {
    struct txn_id id;
    bool is_coordinator;
    uint32_t group; /* that is prepared; 0 for a coordinator's */
    const char *state;
    uint64_t age_us;
    uint32_t participant_count;
    uint16_t participants[TXN_PARTICIPANTS_MAX];
};
void txn_each_open(struct txn_manager *m,
                   void (*fn)(void *ctx, const struct txn_shown *shown),
                   void *ctx);
/* Ids that this node coordinates and that are not over everywhere; without their age. */
void txn_each_own(const struct txn_manager *m,
                  void (*fn)(void *ctx, const struct txn_shown *shown),
                  void *ctx);

/* Memory of open transactions, in bytes. */
uint64_t txn_memory(const struct txn_manager *m);

#endif
