/*
 * Is a history of transactions that append to lists and read them strictly serializable? (The
 * list-append checker of Elle, for strings to which unique tags are appended.) As each read shows a
 * key's whole past, the order of its writes is known, and with it all that must have been before
 * something else; a cycle of that is an anomaly. Real time counts, too: what was over before
 * another one began comes first.
 *
 * A deal is one transaction, or one command. It took effect at one instant between its call and its
 * return, all of it; if its outcome is unknown, at any time after its call, or never.
 */
#ifndef SIM_APPEND_H
#define SIM_APPEND_H

#include "base/bytes.h"
#include "sim/cycles.h"

#define APPEND_UNTOLD (-1)
#define APPEND_NO_TAG UINT32_MAX

enum append_fate {
    APPEND_UNKNOWN, /* may have happened, or happen yet */
    APPEND_DONE,
    APPEND_NEVER,   /* "not executed, and never will be" */
    APPEND_CHANGED, /* the same, because a watched key had changed: so one must have */
};

enum append_kind {
    APPEND_READ,
    APPEND_WRITE,
    APPEND_WATCHED, /* read before, and unchanged when the deal took effect */
};

struct append_step {
    enum append_kind kind;
    uint32_t key;
    uint32_t tag;   /* WRITE */
    int64_t length; /* tags in the key, seen by READ and WATCHED, told after WRITE; or UNTOLD */
};

struct append_deal {
    uint32_t client;
    enum append_fate fate;
    uint64_t call_us;
    uint64_t return_us; /* of DONE and CHANGED */
    uint64_t watch_us;  /* when its client began to watch; 0: it does not */
    size_t step_first;
    size_t step_count;
};

struct append_key {
    uint32_t *tags; /* in their order, as far as seen */
    uint32_t count;
    uint32_t capacity;
};

struct append_tag {
    uint32_t deal;
    uint32_t key;
    uint32_t place; /* in the key's order; APPEND_NO_TAG: not seen */
};

struct append_history {
    struct append_deal *deals;
    size_t deal_count;
    size_t deal_capacity;
    struct append_step *steps;
    size_t step_count;
    size_t step_capacity;
    struct append_tag *tags;
    uint32_t tag_count;
    size_t tag_capacity;
    struct append_key *keys;
    uint32_t key_count;
    size_t key_capacity;
    char failure[256]; /* the first one; empty: none */
};

void append_init(struct append_history *h);
void append_deinit(struct append_history *h);
/* A key more, absent so far. */
uint32_t append_add_key(struct append_history *h);
/* Begins a deal; add all its steps before the next one begins. */
uint32_t append_begin(struct append_history *h, uint32_t client, uint64_t call_us);
/* Returns the step; its tag, if it is a WRITE, is in h->steps. */
size_t append_step(struct append_history *h, enum append_kind kind, uint32_t key);
/* A step has read these tags. False: that cannot be, h->failure says why. */
bool append_read(struct append_history *h, size_t step, const uint32_t *tags, uint32_t count);
/* A WRITE was told the key's length, in tags. */
void append_told(struct append_history *h, size_t step, int64_t length);
void append_end(struct append_history *h, uint32_t deal, enum append_fate fate, uint64_t return_us);
/*
 * Once, after every key was read when nothing was under way any more. False: h->failure names the
 * anomaly, details are appended to out_report.
 */
bool append_check(struct append_history *h, struct buf *out_report);

#endif
