/*
 * A connection that pipelines deeply, over all groups, on keys that nobody else writes (scenario 15
 * of the Jepsen list). As its commands take effect in their order (ORD-7), every reply is known
 * beforehand: one that is swapped, lost, doubled or of another command shows at once.
 *
 * A refused command has no effect; a write with an unknown outcome leaves its key unsure, until
 * fresh keys are taken: with a new connection, or once all replies are there.
 */
#ifndef SIM_PIPELINE_H
#define SIM_PIPELINE_H

#include "base/prng.h"
#include "protocol/resp_reply.h"
#include "sim/linear.h"

#define PIPELINE_KEYS 24u
#define PIPELINE_PENDING_MAX 256u
#define PIPELINE_COMMAND_KEYS_MAX 6u

enum pipeline_kind {
    PIPELINE_GET,
    PIPELINE_SET,
    PIPELINE_MSET, /* all keys one value: a transaction, if they are of several groups */
    PIPELINE_DEL,
    PIPELINE_INCR,
    PIPELINE_MGET,
    PIPELINE_EXISTS,
    PIPELINE_ECHO,
    PIPELINE_DBSIZE,
    PIPELINE_SCAN,
    PIPELINE_KEYS_OWN, /* KEYS of the fresh keys */
    PIPELINE_RANDOMKEY,
    PIPELINE_SELECT,
    PIPELINE_FLUSH, /* FLUSHDB, by who has databases */
};

struct pipeline_command {
    enum pipeline_kind kind;
    unsigned key_count;
    unsigned keys[PIPELINE_COMMAND_KEYS_MAX];
    struct linear_value value; /* SET, ECHO */
};

struct pipeline_key {
    struct linear_value value;
    bool is_unsure;
};

struct pipeline {
    unsigned client;
    /*
     * The first fresh keys each get a database of their own: so it may be flushed, and its size is
     * known. None is used twice, as a flush with an unknown outcome may still come.
     */
    bool has_databases;
    unsigned database;
    bool is_unselected;
    unsigned generation; /* of the names of keys */
    struct pipeline_key keys[PIPELINE_KEYS];
    struct pipeline_command pending[PIPELINE_PENDING_MAX]; /* a ring */
    size_t pending_first;
    size_t pending_count;
    struct pipeline_command last; /* the next one is often like it: so runs become long */
};

/* has_databases: no other client selects any but the first. */
void pipeline_init(struct pipeline *p, unsigned client, bool has_databases);
/* All keys are new, absent ones; nothing is awaited. */
void pipeline_refresh(struct pipeline *p);
/* Appends so many commands, or fewer if they do not fit. inout_value: numbers values. */
void pipeline_ask(struct pipeline *p,
                  struct prng *prng,
                  size_t count,
                  int64_t *inout_value,
                  struct buf *out);
/* The command whose reply is next; something must be awaited. */
static inline const struct pipeline_command *pipeline_next(const struct pipeline *p)
{
    return &p->pending[p->pending_first];
}
/* Of some key it is not known what it holds. */
bool pipeline_is_unsure(const struct pipeline *p);
bool pipeline_is_write(const struct pipeline_command *c);
/* It may meet keys of others, also one that is due and whose end cannot be written down. */
bool pipeline_meets_any_key(const struct pipeline_command *c);
/*
 * Its reply, v with items behind it, is that of the next command. False: it cannot be. Takes effect
 * on the keys.
 */
bool pipeline_told(struct pipeline *p, const struct resp_value *v, struct bytes items);
/* The next command was refused, or its outcome is not known. */
void pipeline_not_told(struct pipeline *p, bool is_refused);

/* "GET p3:1:7", for reports. */
void pipeline_print(const struct pipeline *p, const struct pipeline_command *c, struct buf *out);

#endif
