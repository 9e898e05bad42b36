/*
 * In which phases of transactions over groups do machines die? What nobody dies in is not tested:
 * the suite fails if a phase is never hit.
 */
#ifndef SIM_DEATHS_H
#define SIM_DEATHS_H

#include "sim/sim_env.h"

/* Every phase: DEATH(name, text). The first six: of the gateway; then: of a participant's leader.
 */
#define DEATHS(DEATH)                                                                              \
    DEATH(GATEWAY_ASKS, "gateway-asks")            /* no group has voted yet */                    \
    DEATH(GATEWAY_SOME_YES, "gateway-some-yes")    /* the others have not voted */                 \
    DEATH(GATEWAY_ALL_YES, "gateway-all-yes")      /* certain, and no group knows it */            \
    DEATH(GATEWAY_COMMITS, "gateway-commits")      /* in some groups; others are prepared */       \
    DEATH(GATEWAY_COMMITTED, "gateway-committed")  /* in all; not known, or the mark not moved */  \
    DEATH(GATEWAY_ABORTS, "gateway-aborts")        /* a group refused; another is prepared */      \
    DEATH(LEADER_ASKED, "leader-asked")            /* its group has not voted yet */               \
    DEATH(LEADER_SOME_YES, "leader-some-yes")      /* it has, yes; another one has not */          \
    DEATH(LEADER_ALL_YES, "leader-all-yes")        /* nobody has committed yet */                  \
    DEATH(LEADER_COMMITS_FIRST, "leader-is-first") /* it has committed, another is prepared */     \
    DEATH(LEADER_COMMITS_LAST, "leader-is-last")   /* it is prepared, another has committed */     \
    DEATH(LEADER_ABORTS, "leader-aborts")          /* it is prepared, another has refused */

enum death {
#define DEATH(name, text) DEATH_##name,
    DEATHS(DEATH)
#undef DEATH
    DEATH_COUNT
};

#define DEATH_OF_GATEWAY_COUNT 6u /* the first ones */

const char *death_name(enum death death);

struct deaths {
    struct sim_network *network;
    uint64_t count[DEATH_COUNT]; /* transactions that were in that phase */
};

void deaths_init(struct deaths *d, struct sim_network *network);
/* If the machine died now, a transaction of it would be in this phase (of a gateway's). */
bool deaths_is_in(struct sim_network *network, const struct sim_env *e, enum death phase);
/* The machine is about to crash; it is still up. */
void deaths_note(struct deaths *d, const struct sim_env *e);

#endif
