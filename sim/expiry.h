/*
 * Judges the history of one key with a time to live (scenario 41). Its end depends on clocks that
 * differ and jump, so it is not judged for linearizability, but by what must hold all the same:
 * - a value that was there and then was not never comes back: each is set only once;
 * - a key is not gone before its time by more than clocks ever differed;
 * - it is not there after its time by more than that.
 */
#ifndef SIM_EXPIRY_H
#define SIM_EXPIRY_H

#include "sim/history.h"

/* Fails the world. */
void expiry_check(struct world *world, const struct history_key *key);

#endif
