/*
 * The command table: one fact, one place. Arity errors, key extraction, routing, the log's command
 * numbers and COMMAND's replies all derive from it.
 */
#ifndef COMMAND_COMMAND_H
#define COMMAND_COMMAND_H

#include "base/bytes.h"
#include "base/limits.h"
#include "command/client.h"
#include "data/view.h"

/*
 * Numbers of commands that reach the log or the wire: all with keys, as reads are forwarded between
 * nodes. Append only: they are on disk. Only those that write may stand in a log.
 */
enum command_id {
    COMMAND_ID_NONE = 0, /* runs where the client is connected */
    COMMAND_ID_SET = 1,
    COMMAND_ID_DEL = 2,
    COMMAND_ID_INCR = 3,
    COMMAND_ID_EXPIRE_DUE = 4, /* internal: deletes keys whose time has come (ORD-5) */
    COMMAND_ID_GET = 5,
    COMMAND_ID_EXISTS = 6,
    COMMAND_ID_MGET = 7,
    COMMAND_ID_COUNT
};

enum command_flags {
    COMMAND_READ = 1u << 0,
    COMMAND_WRITE = 1u << 1, /* exactly one of READ and WRITE, or neither */
    COMMAND_GROWS = 1u << 2, /* may need more memory: refused when there is none */
    COMMAND_FAST = 1u << 3,
    COMMAND_NO_AUTH = 1u << 4,
    COMMAND_STALE_OK = 1u << 5, /* needs no data: answered also while loading */
    COMMAND_NO_SCRIPT = 1u << 6,
    COMMAND_INTERNAL = 1u << 7, /* not for clients */
};

/* Where a command runs, and how the replies of its parts become one. */
enum command_policy {
    COMMAND_LOCAL,        /* on the node the client talks to, without keys */
    COMMAND_ONE_SHARD,    /* on the group of its key */
    COMMAND_SPLIT_BY_KEY, /* may be cut into one command per key */
};

enum command_merge {
    COMMAND_MERGE_FIRST,
    COMMAND_MERGE_SUM,
    COMMAND_MERGE_ARRAY, /* one element per key, in the order of the keys */
};

/* Keys are arguments first, first+step … last; last < 0 counts from the end. first 0: no keys. */
struct command_keys {
    int first;
    int last;
    int step;
    const char *access; /* flags of the key spec as COMMAND INFO shows them, space separated */
};

enum command_result {
    COMMAND_DONE,
    COMMAND_ERROR, /* the reply is an error; nothing was changed */
    COMMAND_NEED,  /* see data/view.h; the reply so far is discarded */
    COMMAND_BLOCK, /* wait until one of the keys changes (no command does yet) */
};

enum command_cluster {
    COMMAND_CLUSTER_STATUS,
    COMMAND_CLUSTER_NODES,
    COMMAND_CLUSTER_GROUPS,
    COMMAND_CLUSTER_LOCATE,
};

/* What the server knows and handlers of LOCAL commands may show. */
struct command_server {
    void (*info)(void *owner, struct bytes section, struct buf *out);
    /* Writes the whole reply, with command/cluster.h. key: of LOCATE only; may be empty. */
    void (*cluster)(void *owner,
                    enum command_cluster what,
                    struct bytes key,
                    uint8_t resp,
                    struct buf *reply);
    void *owner;
};

/* One run of a handler. */
struct command_call {
    const struct command *command;
    const struct bytes *args; /* args[0] is the name */
    size_t arg_count;
    uint8_t resp; /* RESP version of the reply: 2 or 3 */
    struct buf *reply;

    /* Commands with keys. */
    struct view *view;
    uint64_t now_ms; /* group time, the same on all replicas */
    uint64_t seed;   /* the same on all replicas */

    /* LOCAL commands. */
    struct client *client;
    const struct command_server *server;
};

typedef enum command_result (*command_fn)(struct command_call *call);

struct command {
    const char *name;      /* lower case; of a subcommand: without the container's name */
    const char *container; /* of a subcommand: the command it belongs to; else NULL */
    command_fn handler;
    enum command_id id;
    uint8_t semantics; /* version of what the handler does with logged or sent arguments */
    int arity_min;     /* name (and subcommand name) included */
    int arity_max;     /* -1: no limit */
    unsigned flags;
    enum command_policy policy;
    enum command_merge merge;
    struct command_keys keys;
    const char *group;
    const char *since;
    const char *complexity;
    const char *summary;
    const char *acl; /* categories, space separated */
    const struct command *subcommands;
};

/* Families; each ends with a row whose name is NULL. */
extern const struct command command_table_string[];
extern const struct command command_table_keys[];
extern const struct command command_table_connection[];
extern const struct command command_table_server[];
extern const struct command command_table_cluster[];
extern const struct command command_table_internal[];

/*
 * The row for a client's command, in any case, or NULL. Of a container with subcommands the
 * subcommand's row, if args has a second word that names one.
 */
const struct command *command_find(const struct bytes *args, size_t arg_count);
/* The row with this number, or NULL: written by a newer version. */
const struct command *command_by_id(uint16_t id);

/*
 * The one check before anything runs: unknown commands and wrong arity write Redis' error and
 * return NULL, and so do keys beyond our limits.
 */
const struct command *command_resolve(const struct bytes *args,
                                      size_t arg_count,
                                      struct buf *reply);

/* For handlers: the error is the reply. */
enum command_result command_fail(struct command_call *call, const char *text);

/* Calls fn for every client command, in table order; subcommands are not visited. */
void command_each(void (*fn)(void *ctx, const struct command *command), void *ctx);
size_t command_count(void);

/* Number of keys among arg_count arguments, and the argument that holds the i-th. */
size_t command_key_count(const struct command *command, size_t arg_count);
size_t command_key_at(const struct command *command, size_t arg_count, size_t i);

/* Our own limits on keys; Redis has none below the size of a value. */
enum command_keys_verdict {
    COMMAND_KEYS_FIT,
    COMMAND_KEYS_TOO_MANY,
    COMMAND_KEYS_TOO_LONG,
};

enum command_keys_verdict command_judge_keys(const struct command *command,
                                             const struct bytes *args,
                                             size_t arg_count);
bool command_arity_fits(const struct command *command, size_t arg_count);
/* As Redis shows it: exact, or minus the minimum. */
int command_arity(const struct command *command);

/* Breaks a promise if the table contradicts itself. At start, and in a unit test. */
void command_table_check(void);

#endif
