#include "consensus/engine_guards.h"

#include "base/assert.h"

/* The records of the trail are a ring, each with the last index of its term. */
uint64_t guard_term_of(const struct raft *r, uint64_t index)
{
    const struct raft_trail *t = &r->trail;
    if (index > t->offset) {
        for (unsigned i = t->front; i != t->back; i = (i + 1) % t->size) {
            if (index <= t->records[i].index) {
                return t->records[i].term;
            }
        }
    }
    return index > 0 && index == t->snapshot.index ? t->snapshot.term : 0;
}

int guard_role_of(const struct raft *r, uint64_t id)
{
    for (unsigned i = 0; i < r->configuration.n; i++) {
        if (r->configuration.servers[i].id == id) {
            return r->configuration.servers[i].role;
        }
    }
    return -1;
}

/*
 * N1: a follower takes a configuration to be at the index of the first new entry of the message. It
 * is never marked committed, and when it is truncated the server goes on voting and leading with a
 * configuration that is not in its log. So a CHANGE must be the first entry of its RECEIVE.
 */
uint32_t guard_g1_piece(const struct engine_entry *entries, uint32_t count)
{
    uint32_t size = 1;
    while (size < count && entries[size].kind != ENGINE_ENTRY_CHANGE) {
        size++;
    }
    return size;
}

/*
 * N2: the answer to a request of a lower term carries a last_log_index that was never set. Should
 * the sender lead again in the newer term, it takes the number for an acknowledgement.
 */
void guard_g2_result(uint64_t request_term, struct raft_append_entries_result *result)
{
    if (request_term < result->term) {
        result->last_log_index = 0;
    }
}

/*
 * N3: entries below the compaction point look as if they were missing and are appended once more,
 * behind the log's end. What a snapshot holds is committed, so a leader of this term has the same.
 */
void guard_g3_append(const struct raft *r, struct engine_message *m)
{
    uint64_t base = r->trail.snapshot.index;
    uint64_t prev = m->append.prev_index;
    if (prev > r->trail.offset || prev >= base) {
        return;
    }
    uint64_t known = base - prev;
    uint32_t dropped = known < m->append.count ? (uint32_t)known : m->append.count;
    m->append.count -= dropped;
    m->append.entries = m->append.count > 0 ? m->append.entries + dropped : NULL;
    m->append.prev_index = base;
    m->append.prev_term = r->trail.snapshot.term;
}

/* N3 again: what may still be under way must not start below the compaction point. */
uint32_t guard_g3_trailing(uint32_t trailing, uint32_t max_inflight)
{
    uint32_t at_least = max_inflight + ENGINE_TRAILING_SLACK;
    return trailing > at_least ? trailing : at_least;
}

static unsigned voter_count(const struct engine_config *config)
{
    unsigned voters = 0;
    for (unsigned i = 0; i < config->count; i++) {
        voters += config->members[i].is_voter;
    }
    return voters;
}

/*
 * N4: a sole voter leads without a new term. After a crash that lost its newest entries it gives
 * the same index and term to other content than a member without vote may already hold.
 */
bool guard_g4_is_sole_voter(const struct engine_config *config, uint64_t id)
{
    bool is_voter = false;
    for (unsigned i = 0; i < config->count; i++) {
        is_voter = is_voter || (config->members[i].id == id && config->members[i].is_voter);
    }
    return is_voter && voter_count(config) == 1;
}

/* N4 again: from two voters to one, and both may lead in one term. */
bool guard_g4_leaves_voters(const struct engine_config *from, const struct engine_config *to)
{
    return voter_count(to) >= 2 || voter_count(from) < 2;
}

/*
 * N5: a second configuration that arrives before the first was applied here: the one to roll back
 * to is then one too old. Where our log matches at or behind the first, the leader has it too, and
 * it proposed the second only after the first was committed.
 */
uint64_t guard_g5_committed(const struct raft *r, const struct engine_message *m)
{
    uint64_t pending = r->configuration_uncommitted_index;
    if (pending == 0 || m->append.count == 0 || m->term < r->current_term ||
        r->snapshot.installing) {
        return 0;
    }
    bool is_change = m->append.entries[0].kind == ENGINE_ENTRY_CHANGE;
    bool is_behind = m->append.prev_index >= pending;
    bool matches = guard_term_of(r, m->append.prev_index) == m->append.prev_term;
    return is_change && is_behind && matches ? pending : 0;
}

/* N6: an append that ends below a follower's commit index takes that index back. */
uint64_t guard_g6_commit(const struct raft *r, const struct engine_message *m)
{
    if (m->append.prev_index + m->append.count < r->commit_index) {
        return 0;
    }
    return m->append.commit;
}

/* N7: a server without a vote never forgets its leader, and so refuses all others for ever. */
bool guard_g7_forgets_leader(const struct raft *r, uint64_t now_ms)
{
    return r->state == RAFT_FOLLOWER && guard_role_of(r, r->id) != RAFT_VOTER &&
           now_ms - r->election_timer_start >= r->follower_state.randomized_election_timeout;
}

/*
 * N7: a server that does not know yet that it is a voter refuses its vote. With its promotion not
 * committed, the leader lost and one more voter down, nobody ever leads again. Raft's rule asks for
 * the term, the vote and the log only: who is a voter is the candidate's business.
 */
bool guard_g7_grants(const struct raft *r, const struct engine_message *m, bool had_leader)
{
    if (r->state != RAFT_FOLLOWER || guard_role_of(r, r->id) == RAFT_VOTER) {
        return false;
    }
    if ((had_leader && !m->vote.disrupt_leader) || r->snapshot.installing ||
        m->term < r->current_term) {
        return false;
    }
    if (!m->vote.pre_vote && r->voted_for != 0 && r->voted_for != m->peer) {
        return false;
    }
    const struct raft_trail *t = &r->trail;
    uint64_t last_index = t->snapshot.index;
    if (t->front != t->back) {
        last_index = t->records[(t->back + t->size - 1) % t->size].index;
    }
    uint64_t last_term = guard_term_of(r, last_index);
    return m->vote.last_term > last_term ||
           (m->vote.last_term == last_term && m->vote.last_index >= last_index);
}

/*
 * N8: a refused pre-vote hides the higher term of the one who refused. One of two with the longer
 * log and the lower term, the other the reverse: no leader for ever.
 */
void guard_g8_result(const struct raft *r, struct raft_request_vote_result *result)
{
    if (result->pre_vote && !result->vote_granted && result->term < r->current_term) {
        result->term = r->current_term;
    }
}

/*
 * N9: a late rejection of what has been acknowledged since takes the next index to or below the
 * match index; the count of entries in flight underflows, and the follower gets no more entries.
 */
void guard_g9_result(const struct raft *r, struct engine_message *m)
{
    raft_index match = 0;
    if (r->state != RAFT_LEADER || raft_match_index(r, m->peer, &match) != 0) {
        return;
    }
    if (m->append_result.rejected > 0 && m->append_result.rejected <= match) {
        m->append_result.rejected = 0;
        m->append_result.last_index = 0;
    }
}

/* N10: unless this server is a candidate, vote results are read through the wrong union member. */
bool guard_g10_wants_votes(const struct raft *r)
{
    return r->state == RAFT_CANDIDATE;
}

/*
 * Not of the list N1-N10: a leader may propose a configuration before it committed an entry of its
 * own term. With single-server changes two leaders of consecutive terms then may use majorities
 * that do not meet, and a committed entry is lost (Ongaro, raft-dev of 2015-07-10).
 */
bool guard_g11_may_change(const struct raft *r)
{
    ensure(r->state == RAFT_LEADER);
    return guard_term_of(r, r->commit_index) == r->current_term;
}

/*
 * Not of the list N1-N10: at each of its time-outs a leader takes everybody for unreachable who has
 * not answered since the time-out before, and sends him no more than a message per heartbeat. The
 * time-outs come as heartbeats to single followers fall due; with one follower slow or dead they
 * fall due at different times, and the healthy ones are slowed down again and again. What the
 * library says it wants is an election time-out without an answer.
 */
uint64_t guard_g12_contact_since(const struct raft *r, uint64_t leads_since_ms, uint64_t now_ms)
{
    ensure(r->state == RAFT_LEADER);
    uint64_t window_ms = r->election_timeout;
    uint64_t since_ms = now_ms > window_ms ? now_ms - window_ms : 0;
    if (since_ms > r->election_timer_start) {
        since_ms = r->election_timer_start; /* we slept, and that is no silence of theirs */
    }
    return since_ms > leads_since_ms ? since_ms : leads_since_ms;
}
