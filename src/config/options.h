/*
 * What may follow each verb of the command line, one table a verb: parsing, defaults, bounds and
 * --help come from it. Strings are borrowed from the arguments.
 */
#ifndef CONFIG_OPTIONS_H
#define CONFIG_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"
#include "config/address.h"

#define OPTIONS_FOUNDERS_MAX 16u
/* From a client port to the peer port, unless one is given. */
#define OPTIONS_PEER_PORT_DISTANCE 10000u

#define OPTIONS_STORE_ROCKS "rocks"
#define OPTIONS_STORE_MEM "mem"
/* The log is cut into this many files, of these sizes; a longer one has more of them. */
#define OPTIONS_LOG_SEGMENTS 8u
#define OPTIONS_LOG_SEGMENT_BYTES_MIN (1024u * 1024u)
#define OPTIONS_LOG_SEGMENT_BYTES_MAX (32u * 1024u * 1024u)
#define OPTIONS_LOG_SIZE_MIN (2u * OPTIONS_LOG_SEGMENT_BYTES_MIN)
#define OPTIONS_LOG_SIZE_MAX ((uint64_t)1024u * 1024u * 1024u * 1024u)

/* `dougong server` */
struct options {
    const char *data;
    const char *listen;
    const char *cluster; /* peer addresses of the founders, each once, ours among them; or NULL */
    const char *peer;    /* as it was given; NULL: not */
    uint32_t groups;
    uint32_t request_timeout_ms;
    uint32_t election_timeout_ms;
    uint64_t buffer_memory; /* bytes; 0: an eighth of the machine's memory */
    uint64_t cache_memory;  /* the same */
    uint64_t log_size;      /* bytes; derived: the two below */
    uint64_t snapshot_rate; /* bytes a second */
    uint64_t disk_reserve;  /* bytes; 0: the default for the disk */
    const char *store;      /* one of OPTIONS_STORE_… */
    bool insecure;
    /* Derived: our own peer address, one of cluster; empty without cluster. */
    char peer_listen[ADDRESS_BYTES];
    uint64_t log_segment_bytes; /* of one file of the log, */
    uint32_t log_segments;      /* and how many of them it may be long */
};

/* `dougong rebuild` */
struct options_rebuild {
    const char *data;
};

/* `dougong local` */
struct options_local {
    const char *data;
    uint32_t nodes;
    uint32_t port; /* of the first node; the others follow it */
    uint32_t groups;
};

/* `dougong status`, `nodes`, `groups`, `locate KEY` */
struct options_query {
    const char *connect;
    const char *key; /* of locate only */
    bool is_json;
};

/*
 * args: what follows the verb. INVALID: the error says why, in one line with a hint. `--` ends the
 * options of a query, for keys that begin with two dashes.
 */
MUST_CHECK enum status options_parse(int arg_count,
                                     char **args,
                                     struct options *out_options,
                                     struct error *error);
MUST_CHECK enum status options_parse_rebuild(int arg_count,
                                             char **args,
                                             struct options_rebuild *out_options,
                                             struct error *error);
MUST_CHECK enum status options_parse_local(int arg_count,
                                           char **args,
                                           struct options_local *out_options,
                                           struct error *error);
MUST_CHECK enum status options_parse_query(int arg_count,
                                           char **args,
                                           bool needs_key,
                                           struct options_query *out_options,
                                           struct error *error);

/* One paragraph a row, for --help. */
void options_help(struct buf *out);
void options_help_rebuild(struct buf *out);
void options_help_local(struct buf *out);
void options_help_query(struct buf *out);

#endif
