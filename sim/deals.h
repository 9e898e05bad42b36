/*
 * Clients that deal in transactions: over several keys, and so over several groups. What they see
 * must be strictly serializable (append.h), and
 * - bank: money moves between accounts, their sum is never another one;
 * - places: a token moves from one to another (RENAME, COPY and DEL): it is always in just one;
 * - trio: three keys are set, set if absent, or deleted together: they are always the same;
 * - watched keys that the client itself touches, or that expire: EXEC does nothing.
 *
 * Operations, refusals and time-outs are those of the workload, which must outlive the deals.
 */
#ifndef SIM_DEALS_H
#define SIM_DEALS_H

#include "sim/append.h"
#include "sim/workload.h"

#define DEALS_CLIENTS_MAX 10u
#define DEALS_LISTS_MAX 16u
#define DEALS_ACCOUNTS_MAX 6u
#define DEALS_PLACES 4u
#define DEALS_GROUPS_MAX 8u

struct deals_options {
    unsigned clients; /* 0: none */
    unsigned lists;   /* that are in use at a time */
    unsigned accounts;
    uint32_t groups; /* of data */
    uint64_t think_us_max;
};

struct dealer; /* dealer.h */

struct deals {
    struct world *world;
    struct sim_network *network;
    struct workload *workload;
    struct deals_options options;
    struct append_history history;
    struct dealer *dealers; /* the last one reads everything at the end */
    unsigned dealer_count;
    uint64_t done;     /* transactions that took effect */
    uint64_t changed;  /* EXEC answered nil */
    uint64_t failed;   /* strict ones with an error */
    uint64_t appended; /* to lists, told */
    uint64_t sums;     /* of the bank, told */
    /* EXEC, or a command over several groups, was sent to this node. May be NULL. */
    void (*sent)(void *owner, unsigned node, const uint32_t *groups, unsigned group_count);
    void *owner;
    /* private */
    uint32_t lists[DEALS_LISTS_MAX]; /* keys of the history */
    uint64_t token_since_us;         /* it was seen; UINT64_MAX: not yet */
    int64_t value_next;
};

void deals_init(struct deals *d, struct workload *workload, const struct deals_options *options);
void deals_deinit(struct deals *d);
void deals_start(struct deals *d);
bool deals_is_idle(const struct deals *d);
/*
 * When the oldest question was sent that has no answer yet, of those to nodes that did not die
 * since; UINT64_MAX: there is none.
 */
uint64_t deals_waits_since(const struct deals *d);
/* One more client reads everything through that node, until it got all answers. */
void deals_read_all(struct deals *d, unsigned node);
/* Judges what was seen; fails the world. Explanations are appended to out_report. */
void deals_check(struct deals *d, struct buf *out_report);

#endif
