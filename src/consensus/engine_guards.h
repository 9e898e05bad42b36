/*
 * libraft 0.22.1 is not safe bare. Each guard is one function that keeps one of its defects away;
 * tests/unit/consensus/test_engine_guards.c fails without it, tests/mutants/engine_g*.mutant plants
 * its absence. The table, with what each defect costs, is in README.md.
 *
 * The guards know struct raft and messages only, no engine. They read fields of struct raft that
 * have no getter; so the version is pinned (engine.c).
 */
#ifndef CONSENSUS_ENGINE_GUARDS_H
#define CONSENSUS_ENGINE_GUARDS_H

#include <raft.h>

#include "consensus/engine.h"

/* G3: entries kept before a snapshot beyond those that can be in flight. */
#define ENGINE_TRAILING_SLACK 16u

/* Term of the entry at index, or of the snapshot's last; 0: not known here. */
uint64_t guard_term_of(const struct raft *r, uint64_t index);
/* Role of id in the configuration in force; -1: not in it. */
int guard_role_of(const struct raft *r, uint64_t id);

/* How many of the entries (count > 0) may be in one RECEIVE. */
uint32_t guard_g1_piece(const struct engine_entry *entries, uint32_t count);
/* result answers a request of request_term. */
void guard_g2_result(uint64_t request_term, struct raft_append_entries_result *result);
/* m: an append of the current or a higher term; entries that are compacted here are taken off. */
void guard_g3_append(const struct raft *r, struct engine_message *m);
/* How many entries before its index a snapshot leaves in the log. */
uint32_t guard_g3_trailing(uint32_t trailing, uint32_t max_inflight);
/* Would this server lead without asking anybody? Then it must begin a new term first. */
bool guard_g4_is_sole_voter(const struct engine_config *config, uint64_t id);
/* May `to` follow `from`? */
bool guard_g4_leaves_voters(const struct engine_config *from, const struct engine_config *to);
/* The index of the configuration to be called committed before piece m is delivered; 0: none. */
uint64_t guard_g5_committed(const struct raft *r, const struct engine_message *m);
/* The commit index to deliver with an append of count entries after prev_index. */
uint64_t guard_g6_commit(const struct raft *r, const struct engine_message *m);
/* Before a TIMEOUT: whether a follower without a vote is to forget its leader after it. */
bool guard_g7_forgets_leader(const struct raft *r, uint64_t now_ms);
/*
 * After a RECEIVE of this vote request, which libraft refused: whether it is to be granted.
 * had_leader: as of before the RECEIVE.
 */
bool guard_g7_grants(const struct raft *r, const struct engine_message *m, bool had_leader);
void guard_g8_result(const struct raft *r, struct raft_request_vote_result *result);
/* Of an APPEND_RESULT to a leader. */
void guard_g9_result(const struct raft *r, struct engine_message *m);
bool guard_g10_wants_votes(const struct raft *r);
/* Leader: may it propose a configuration? */
bool guard_g11_may_change(const struct raft *r);
/* Before a leader's TIMEOUT: a follower that answered since then is in contact. */
uint64_t guard_g12_contact_since(const struct raft *r, uint64_t leads_since_ms, uint64_t now_ms);

#endif
