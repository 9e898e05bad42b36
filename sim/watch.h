/*
 * Looks at all groups on all nodes again and again: at most one leader per term, indexes that only
 * grow, equal states at equal indexes; counts changes of leaders.
 */
#ifndef SIM_WATCH_H
#define SIM_WATCH_H

#include "sim/sim_env.h"

#define WATCH_GROUPS_MAX 40u
#define WATCH_NOBODY UINT32_MAX

struct watch_group; /* watch.c */

struct watch {
    struct world *world;
    struct sim_network *network;
    uint32_t group_count; /* the most that a node has shown; 0: not formed yet */
    uint64_t leader_changes;
    bool are_terms_fixed; /* from now on an election is a failure */
    uint64_t snapshots;   /* taken by all nodes, as far as seen */
    uint64_t segments_released;
    uint64_t segments_max; /* of one node's log, at any look */
    /* private */
    struct watch_group *groups;
    uint64_t looks;
    uint32_t compare_next;         /* group */
    uint64_t boots[SIM_NODES_MAX]; /* of which the indexes are known */
    struct node_disk_stats disk[SIM_NODES_MAX];
    uint64_t rebuilds[SIM_NODES_MAX]; /* of a machine, when it was last seen whole */
};

void watch_init(struct watch *w, struct sim_network *network);
void watch_deinit(struct watch *w);
/* Looks every 10 ms of virtual time from now on. */
void watch_start(struct watch *w);
/* Once, now. */
void watch_look(struct watch *w);
/* The node that leads the group, as far as seen, and is up; else WATCH_NOBODY. */
uint32_t watch_leader(const struct watch *w, uint32_t group);
/* All groups have a leader that is up. */
bool watch_is_led(const struct watch *w);
/*
 * The machine was seen with all its replicas as voters, and no others voting for it, since it was
 * last rebuilt; true if it never was.
 */
bool watch_is_whole(const struct watch *w, unsigned node);
/*
 * All nodes that are up hold the same log and the same state in all groups, nothing is under way,
 * and nothing that was ever committed is missing; all replicas vote, and no log is longer than
 * segments_max.
 */
bool watch_is_settled(struct watch *w, uint64_t segments_max);
/* Says what is not equal, for reports. */
void watch_print(const struct watch *w, struct buf *out);
/* No elections from now on (scenario 1). */
void watch_fix_terms(struct watch *w);

#endif
