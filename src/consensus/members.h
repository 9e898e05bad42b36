/*
 * Which configuration comes next on the way to wished members: pure, from the configuration in
 * force alone, so that a leader that dies leaves nothing half done (MOVE-8). One server at a time:
 * replicas of earlier lives are removed, a new one is added as a learner, promoted once it has
 * caught up, then the others go; never fewer than two voters of two or more (MOVE-6, G4).
 */
#ifndef CONSENSUS_MEMBERS_H
#define CONSENSUS_MEMBERS_H

#include "consensus/engine.h"

enum members_step {
    MEMBERS_DONE,    /* the wished replicas are the members, and all vote */
    MEMBERS_CHANGE,  /* *out_next differs from now in one member */
    MEMBERS_WAIT,    /* a learner has not caught up yet */
    MEMBERS_BLOCKED, /* no step leads there safely */
};

/* has_caught_up(ctx, id): the learner is close enough to the leader's last entry to vote. */
enum members_step members_next(const struct engine_config *now,
                               const uint64_t *wished,
                               unsigned wished_count,
                               bool (*has_caught_up)(void *ctx, uint64_t id),
                               void *ctx,
                               struct engine_config *out_next);

#endif
