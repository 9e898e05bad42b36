/*
 * What clients asked about each key, when, and what they were told; judged key by key. Keys with a
 * short time to live are judged by expiry.h.
 */
#ifndef SIM_HISTORY_H
#define SIM_HISTORY_H

#include "sim/linear.h"
#include "sim/world.h"

#define HISTORY_KEYS_MAX 40u

struct history_key {
    char name[16];
    bool is_expiring;
    bool is_counter; /* most values set are integers */
    bool was_there;  /* as the last read that was answered said */
    bool is_slow;    /* of an expiring one: its times to live are longer */
    struct linear_operation *operations;
    bool *is_void; /* the operation was answered "not executed", or says nothing */
    size_t count;
    size_t capacity;
};

struct history {
    struct world *world;
    struct history_key keys[HISTORY_KEYS_MAX];
    unsigned key_count;
    uint64_t undecided; /* keys whose check ran out of budget */
};

/* The expiring keys come last. */
void history_init(struct history *h, struct world *world, unsigned keys, unsigned expiring_keys);
void history_deinit(struct history *h);
/* Without an outcome so far; returns its index among the operations of the key. */
size_t history_add(struct history_key *key, const struct linear_operation *op);
/* Fails the world. Explanations are appended to out_report. Once, at the end. */
void history_check(struct history *h, struct buf *out_report);

#endif
