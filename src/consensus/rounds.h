/*
 * ReadIndex rounds, shared by all groups of the node: at the end of each turn one message per peer
 * asks about all groups that have new reads. An answer to round n counts for n and all before it:
 * it was given after n was sent, so after every read that waits for n arrived (READ-1, READ-3).
 */
#ifndef CONSENSUS_ROUNDS_H
#define CONSENSUS_ROUNDS_H

#include "consensus/engine.h"
#include "env/env.h"
#include "peer/peers.h"

/* An answer that takes longer than this is asked for again. */
#define ROUNDS_AGAIN_MS 50u

struct rounds;
struct replica;

/* One group's part; inside its replica. */
struct round_group {
    /* private */
    struct list link;   /* in rounds.groups */
    struct list wanted; /* in rounds.wanted */
    struct replica *replica;
    uint64_t asked;     /* newest round that reads wait for */
    uint64_t confirmed; /* a quorum answered this round or a later one */
    unsigned count;
    struct {
        uint64_t id;
        uint64_t round; /* newest that it answered */
    } answers[ENGINE_MEMBERS_MAX];
};

struct rounds *rounds_create(struct env *env, struct peers *peers);
/* Memory only. NULL is fine. */
void rounds_destroy(struct rounds *r);

void rounds_add(struct rounds *r, struct round_group *g, struct replica *replica);
/* Leadership began or ended: answers so far mean nothing. */
void rounds_reset(struct round_group *g);
/* A read arrived: returns the round that has to be confirmed for it. */
uint64_t rounds_ask(struct rounds *r, struct round_group *g);

/* Sends the probes of this turn. */
void rounds_flush(struct rounds *r);
/* A MESSAGE_PROBE or MESSAGE_PROBE_RESULT. MALFORMED: not one. */
MUST_CHECK enum status rounds_received(struct rounds *r, uint32_t number, struct bytes message);
/* A new connection to that node: what was asked may be lost, ask again. */
void rounds_connected(struct rounds *r, uint32_t number);

#endif
