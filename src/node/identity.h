/*
 * Who this node is, in DIR/node: a text file with a checksum, replaced as a whole. It is written,
 * and synced, before the node does anything that others could see (MOVE-2).
 */
#ifndef NODE_IDENTITY_H
#define NODE_IDENTITY_H

#include "base/status.h"
#include "env/env.h"

#define IDENTITY_ID_BYTES 16u
#define IDENTITY_FORMAT 1u

struct identity {
    uint8_t node[IDENTITY_ID_BYTES];    /* random, made at the first start */
    uint8_t cluster[IDENTITY_ID_BYTES]; /* the same on all nodes of a cluster */
    uint32_t incarnation;               /* starts so far; never repeats (DUP-1, TXN-11) */
    bool has_log;                       /* a log was created: an empty log directory is damage */
};

/* NOT_FOUND: a new directory. */
MUST_CHECK enum status identity_load(struct env *env,
                                     const char *dir,
                                     struct identity *out_identity,
                                     struct error *error);
/* Durable on return. */
MUST_CHECK enum status identity_store(struct env *env,
                                      const char *dir,
                                      const struct identity *identity,
                                      struct error *error);

#endif
