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
    COMMAND_ID_STRLEN = 8,
    COMMAND_ID_GETRANGE = 9,
    COMMAND_ID_SUBSTR = 10,
    COMMAND_ID_GETBIT = 11,
    COMMAND_ID_BITCOUNT = 12,
    COMMAND_ID_BITPOS = 13,
    COMMAND_ID_BITFIELD_RO = 14,
    COMMAND_ID_LCS = 15,
    COMMAND_ID_APPEND = 16,
    COMMAND_ID_DECR = 17,
    COMMAND_ID_INCRBY = 18,
    COMMAND_ID_DECRBY = 19,
    COMMAND_ID_INCRBYFLOAT = 20,
    COMMAND_ID_GETDEL = 21,
    COMMAND_ID_GETEX = 22,
    COMMAND_ID_GETSET = 23,
    COMMAND_ID_MSET = 24,
    COMMAND_ID_MSETNX = 25,
    COMMAND_ID_SETEX = 26,
    COMMAND_ID_PSETEX = 27,
    COMMAND_ID_SETNX = 28,
    COMMAND_ID_SETRANGE = 29,
    COMMAND_ID_SETBIT = 30,
    COMMAND_ID_BITOP = 31,
    COMMAND_ID_BITFIELD = 32,
    COMMAND_ID_UNLINK = 33,
    COMMAND_ID_TOUCH = 34,
    COMMAND_ID_TYPE = 35,
    COMMAND_ID_RENAME = 36,
    COMMAND_ID_RENAMENX = 37,
    COMMAND_ID_COPY = 38,
    COMMAND_ID_MOVE = 39,
    COMMAND_ID_DUMP = 40,
    COMMAND_ID_RESTORE = 41,
    COMMAND_ID_EXPIRE = 42,
    COMMAND_ID_PEXPIRE = 43,
    COMMAND_ID_EXPIREAT = 44,
    COMMAND_ID_PEXPIREAT = 45,
    COMMAND_ID_PERSIST = 46,
    COMMAND_ID_TTL = 47,
    COMMAND_ID_PTTL = 48,
    COMMAND_ID_EXPIRETIME = 49,
    COMMAND_ID_PEXPIRETIME = 50,
    COMMAND_ID_OBJECT_ENCODING = 51,
    COMMAND_ID_OBJECT_FREQ = 52,
    COMMAND_ID_OBJECT_IDLETIME = 53,
    COMMAND_ID_OBJECT_REFCOUNT = 54,
    COMMAND_ID_MEMORY_USAGE = 55,
    COMMAND_ID_SCAN = 56,
    COMMAND_ID_DBSIZE = 57,
    COMMAND_ID_FLUSHDB = 58,
    COMMAND_ID_FLUSHALL = 59,
    /* Internal: transactions (docs/decisions/0016). The shard runs them, not a handler. */
    COMMAND_ID_EXEC = 60,
    COMMAND_ID_EXECREAD = 61,
    COMMAND_ID_VERSIONS = 62,
    COMMAND_ID_ROWS = 63,
    COMMAND_ID_TXNPREPARE = 64,
    COMMAND_ID_TXNCHECK = 65,
    COMMAND_ID_TXNCOMMIT = 66,
    COMMAND_ID_TXNABORT = 67,
    COMMAND_ID_TXNMARK = 68,
    COMMAND_ID_TXNCLOSE = 69,
    COMMAND_ID_TXNEND = 70,
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
    COMMAND_ADMIN = 1u << 8,
    COMMAND_NO_MULTI = 1u << 9,
    COMMAND_SKIP_MONITOR = 1u << 10,
    COMMAND_SKIP_SLOWLOG = 1u << 11,
    COMMAND_BLOCKING = 1u << 12,
    COMMAND_ALLOW_BUSY = 1u << 13, /* answered also while a script keeps the server busy */
    COMMAND_REFUSED = 1u << 14,    /* answers only why not, and COMMAND does not know it */
    COMMAND_NOT_QUEUED = 1u << 15, /* inside MULTI it runs at once */
    COMMAND_REWRITES = 1u << 16,   /* writes rows made of the rows of its keys */
};

/* Where a command runs, and how the replies of its parts become one. */
enum command_policy {
    COMMAND_LOCAL,        /* on the node the client talks to; its keys are only named (WATCH) */
    COMMAND_ONE_SHARD,    /* on the group of its key */
    COMMAND_SPLIT_BY_KEY, /* may be cut into one command per key */
    COMMAND_ALL_GROUPS,   /* without keys, on every group at once */
    COMMAND_BY_CURSOR,    /* SCAN: on the group of the slot that args[1] names */
    COMMAND_SWEEP,        /* at the gateway, by SCANs of one group after the other */
};

enum command_merge {
    COMMAND_MERGE_FIRST,
    COMMAND_MERGE_SUM,
    COMMAND_MERGE_ARRAY, /* one element per key, in the order of the keys */
    COMMAND_MERGE_OK,    /* all parts said the same: that */
};

/* Keys are arguments first, first+step … last; last < 0 counts from the end. first 0: no keys. */
struct command_keys {
    int first;
    int last;
    int step;
    /*
     * Flags of the key spec as COMMAND INFO shows them, space separated. "A|B": there are two, A of
     * the first key and B of those behind it.
     */
    const char *access;
    const char *note; /* of the key spec; or NULL */
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
    COMMAND_CLUSTER_TRANSACTIONS,
};

struct command_clients; /* command/clients.h: the connections of this node */
struct command_admin;   /* command/admin.h: the node, its settings */

/* What the server knows and handlers of LOCAL commands may show. */
struct command_server {
    /* Appends these sections of INFO, each once, in INFO's own order. None: the default ones. */
    void (*info)(void *owner, const struct bytes *sections, size_t count, struct buf *out);
    /* Writes the whole reply, with command/cluster.h. key: of LOCATE only; may be empty. */
    void (*cluster)(void *owner,
                    enum command_cluster what,
                    struct bytes key,
                    uint8_t resp,
                    struct buf *reply);
    void *owner;
    const struct command_clients *clients;
    const struct command_admin *admin;
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
    uint8_t database; /* the selected one: what the view is about at first */
    /*
     * Of a write: group time, the same on all replicas. Of a read: that, or the leader's clock if
     * it is ahead; no key that the view shows is due by it.
     */
    uint64_t now_ms;
    uint64_t seed; /* the same on all replicas */

    /* LOCAL commands. */
    struct client *client;
    const struct command_server *server;
};

typedef enum command_result (*command_fn)(struct command_call *call);

struct command {
    const char *name;      /* lower case; of a subcommand: without the container's name */
    const char *container; /* of a subcommand: the command it belongs to; else NULL */
    command_fn handler;    /* NULL: an internal one that the shard runs itself */
    enum command_id id;
    uint8_t semantics; /* version of what the handler does with logged or sent arguments */
    int arity_min;     /* name (and subcommand name) included */
    int arity_max;     /* -1: no limit */
    unsigned flags;
    enum command_policy policy;
    enum command_merge merge;
    struct command_keys keys;
    /* The database of the key in args[arg], if it may be another than the selected one; or NULL. */
    uint8_t (*database_of)(const struct bytes *args,
                           size_t arg_count,
                           size_t arg,
                           uint8_t selected);
    /*
     * Of a write that may make a row far larger than its arguments are: how large, whatever is
     * there. NULL: what it writes is about its own size, and that of the rows if it REWRITES them.
     */
    uint64_t (*growth_of)(const struct bytes *args, size_t arg_count);
    const char *group;
    const char *since;
    const char *complexity; /* or NULL, as in Redis */
    const char *summary;
    const char *acl;  /* categories, space separated */
    const char *tips; /* of COMMAND INFO, space separated; or NULL */
    const char *hint; /* of a refused command: its reply */
    const struct command *subcommands;
};

/* Families; each ends with a row whose name is NULL. */
extern const struct command command_table_string[];
extern const struct command command_table_string_set[];
extern const struct command command_table_string_multi[];
extern const struct command command_table_number[];
extern const struct command command_table_string_range[];
extern const struct command command_table_lcs[];
extern const struct command command_table_bitmap[];
extern const struct command command_table_bitfield[];
extern const struct command command_table_keys[];
extern const struct command command_table_expire[];
extern const struct command command_table_object[];
extern const struct command command_table_memory[];
extern const struct command command_table_dump[];
extern const struct command command_table_scan[];
extern const struct command command_table_connection[];
extern const struct command command_table_client[];
extern const struct command command_table_server[];
extern const struct command command_table_introspect[];
extern const struct command command_table_config[];
extern const struct command command_table_debug[];
extern const struct command command_table_diagnose[];
extern const struct command command_table_refused[];
extern const struct command command_table_cluster[];
extern const struct command command_table_transactions[];
extern const struct command command_table_internal[];
extern const struct command command_table_transact[];

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

/* Calls fn for every client command that is not refused, in table order; not for subcommands. */
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
