/* What faults.c and faults_disk.c know of each other. */
#ifndef SIM_FAULTS_PARTS_H
#define SIM_FAULTS_PARTS_H

#include "sim/faults.h"

/* NULL: nobody is known to lead. */
struct sim_env *faults_pick_leader(struct faults *f);
/* One that is up, rather a leader; NULL: all are down. */
struct sim_env *faults_pick_machine(struct faults *f);
/* One more may be away for long: a majority is left that has everything. */
bool faults_can_spare_one(const struct faults *f);

/* Somebody takes the space of one machine, of some, or of all. */
void faults_inject_fill(struct faults *f, struct sim_env *e);
/* A bit flips on some machine that can be spared, up or down. */
void faults_inject_rot(struct faults *f);
/*
 * The machine goes away for so long that it needs snapshots; then whoever sends or takes one dies
 * in the middle of it, once or twice.
 */
void faults_inject_install(struct faults *f, struct sim_env *e);

#endif
