/*
 * Who this node is, in DIR/node: a text file with a checksum, replaced as a whole. It is written,
 * and synced, before the node does anything that others could see (MOVE-2).
 */
#ifndef NODE_IDENTITY_H
#define NODE_IDENTITY_H

#include "base/status.h"
#include "env/env.h"

#define IDENTITY_ID_BYTES 16u
#define IDENTITY_FORMAT 3u
/* The one before, without a life: it is read, and replaced at the next store. */
#define IDENTITY_FORMAT_WITHOUT_LIFE 2u
#define IDENTITY_FOUNDERS_MAX 16u
#define IDENTITY_ADDRESS_BYTES_MAX 255u
/* Addresses with the commas between them. */
#define IDENTITY_LIST_BYTES_MAX 4095u

struct identity {
    uint8_t node[IDENTITY_ID_BYTES];            /* random, made at the first start */
    uint32_t number;                            /* 1 … founders */
    char founders[IDENTITY_LIST_BYTES_MAX + 1]; /* --cluster as given; "": a cluster of one */
    uint32_t groups;                            /* data groups of the cluster */
    bool is_formed;                             /* members and cluster never change again */
    uint8_t cluster[IDENTITY_ID_BYTES];         /* the same on all members; zeros until formed */
    /* [number - 1] node id of each founder, ours too; zeros: not heard yet, or no such founder. */
    uint8_t members[IDENTITY_FOUNDERS_MAX][IDENTITY_ID_BYTES];
    uint32_t incarnation; /* starts so far; never repeats (DUP-1, TXN-11) */
    uint32_t life;        /* how often log and state were given up: in its replicas' ids (MOVE-1) */
    bool has_log;         /* a log was created: an empty log directory is damage */
};

/* An id of zeros stands for none. */
bool identity_id_is_set(const uint8_t id[IDENTITY_ID_BYTES]);
/* Entries of the list; 1 for a cluster of one. */
uint32_t identity_founder_count(const struct identity *identity);

/* NOT_FOUND: a new directory. UNSUPPORTED: of another version. */
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
