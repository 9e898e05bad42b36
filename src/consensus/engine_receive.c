/* Received messages: what is dropped, what halts, and how the rest reaches libraft. */
#include "base/assert.h"
#include "base/mem.h"
#include "consensus/engine_guards.h"
#include "consensus/engine_parts.h"

/* Whether m, of a correct peer, means anything to this member now. */
static bool is_wanted(const struct engine *e, const struct engine_message *m)
{
    const struct raft *r = &e->raft;
    bool is_member = guard_role_of(r, m->peer) >= 0;
    struct engine_config config;
    switch (m->type) {
    case ENGINE_APPEND:
    case ENGINE_INSTALL:
        /* Our log may not name the leader yet. A second leader of our own term is no stranger. */
        return is_member || r->state != RAFT_LEADER || m->term != r->current_term;
    case ENGINE_VOTE:
        return true; /* nor may it name the candidate */
    case ENGINE_APPEND_RESULT:
        return is_member;
    case ENGINE_VOTE_RESULT:
        return is_member && guard_g10_wants_votes(r);
    case ENGINE_TIMEOUT_NOW:
        engine_config(e, &config);
        return !guard_g4_is_sole_voter(&config, e->id);
    }
    return false;
}

/* m denies what this member holds to be committed, or leads in a term that this member leads. */
static bool contradicts(const struct engine *e, const struct engine_message *m)
{
    const struct raft *r = &e->raft;
    if ((m->type != ENGINE_APPEND && m->type != ENGINE_INSTALL) || m->term < r->current_term) {
        return false;
    }
    if (r->state == RAFT_LEADER && m->term == r->current_term) {
        return true;
    }
    if (m->type == ENGINE_INSTALL) {
        uint64_t known = guard_term_of(r, m->install.last_index);
        return m->install.last_index <= r->commit_index && known != 0 &&
               known != m->install.last_term;
    }
    uint64_t index = m->append.prev_index;
    uint64_t term = m->append.prev_term;
    for (uint32_t i = 0;; i++) {
        uint64_t known = guard_term_of(r, index);
        if (index <= r->commit_index && known != 0 && known != term) {
            return true;
        }
        if (index >= r->commit_index || i == m->append.count) {
            return false;
        }
        index++;
        term = m->append.entries[i].term;
    }
}

/* Puts right what this step answers to m. */
static void guard_answers(struct engine *e, const struct engine_message *m, bool had_leader)
{
    if (!engine_has(e, RAFT_UPDATE_MESSAGES)) {
        return;
    }
    struct raft *r = &e->raft;
    for (unsigned i = 0; i < e->update.messages.n; i++) {
        struct raft_message *answer = &e->update.messages.batch[i];
        if (answer->type == RAFT_APPEND_ENTRIES_RESULT) {
            guard_g2_result(m->term, &answer->append_entries_result);
        }
        if (answer->type == RAFT_REQUEST_VOTE_RESULT) {
            struct raft_request_vote_result *result = &answer->request_vote_result;
            if (!result->vote_granted && guard_g7_grants(r, m, had_leader)) {
                result->vote_granted = true;
                r->voted_for = m->vote.pre_vote ? r->voted_for : m->peer;
            }
            guard_g8_result(r, result);
        }
    }
}

static int step_receive(struct engine *e,
                        const struct engine_message *m,
                        struct raft_message *message)
{
    const struct raft *r = &e->raft;
    bool had_leader = r->state == RAFT_LEADER ||
                      (r->state == RAFT_FOLLOWER && r->follower_state.current_leader.id != 0);
    struct raft_event event = {.type = RAFT_RECEIVE};
    event.receive.message = message;
    int rv = engine_step(e, &event);
    if (rv == 0) {
        guard_answers(e, m, had_leader);
    }
    return rv;
}

/* The configuration pending here is committed, as its successor is about to arrive (G5). */
static enum status commit_config(struct engine *e, uint64_t index)
{
    struct engine_config config;
    engine_config_from_raft(&e->raft.configuration, index, &config);
    struct raft_event event = {.type = RAFT_CONFIGURATION};
    event.configuration.index = index;
    engine_config_to_raft(&config, &event.configuration.conf);
    return engine_tell(e, engine_step(e, &event));
}

/* m: at most one CHANGE, its first entry. */
static enum status receive_piece(struct engine *e, const struct engine_message *m)
{
    uint64_t pending = guard_g5_committed(&e->raft, m);
    if (pending > 0) {
        enum status s = commit_config(e, pending);
        if (s != STATUS_OK) {
            return s;
        }
    }
    char address[ENGINE_ADDRESS_BYTES];
    engine_address(m->peer, address);
    struct raft_message message;
    engine_message_to_raft(m, address, &message);
    message.append_entries.leader_commit = guard_g6_commit(&e->raft, m);
    struct raft_entry *entries = NULL;
    void *block = NULL;
    if (m->append.count > 0) {
        entries = mem_alloc(m->append.count * sizeof(*entries));
        block = engine_entries_to_raft(m->append.entries, m->append.count, entries);
        message.append_entries.entries = entries;
    }
    engine_offer(e, m->append.entries, m->append.count, m->append.prev_index + 1);
    int rv = step_receive(e, m, &message);
    enum status s = engine_tell(e, rv);
    if (rv == 0 && engine_has(e, RAFT_UPDATE_ENTRIES)) {
        raft_free(block); /* else libraft did */
    }
    mem_free(entries);
    return s;
}

static enum status receive_append(struct engine *e, const struct engine_message *m)
{
    struct engine_message rest = *m;
    if (m->term >= e->raft.current_term) {
        guard_g3_append(&e->raft, &rest);
    }
    for (;;) {
        struct engine_message piece = rest;
        if (rest.append.count > 0) {
            piece.append.count = guard_g1_piece(rest.append.entries, rest.append.count);
        }
        enum status s = receive_piece(e, &piece);
        uint32_t taken = piece.append.count;
        if (s != STATUS_OK || taken == rest.append.count) {
            return s;
        }
        rest.append.prev_index += taken;
        rest.append.prev_term = rest.append.entries[taken - 1].term;
        rest.append.entries += taken;
        rest.append.count -= taken;
        /* Refused or ignored: so would be the rest. */
        if (e->raft.snapshot.installing ||
            guard_term_of(&e->raft, rest.append.prev_index) != rest.append.prev_term) {
            return STATUS_OK;
        }
    }
}

static enum status receive_install(struct engine *e, const struct engine_message *m)
{
    char address[ENGINE_ADDRESS_BYTES];
    engine_address(m->peer, address);
    struct raft_message message;
    engine_message_to_raft(m, address, &message);
    struct raft_configuration configuration;
    engine_config_to_raft(&m->install.config, &configuration);
    message.install_snapshot.conf = configuration;
    /* While another install goes on, libraft drops the message and frees nothing (N12). */
    bool is_ours = e->raft.snapshot.installing && m->term >= e->raft.current_term;
    enum status s = engine_tell(e, step_receive(e, m, &message));
    if (is_ours && s == STATUS_OK) {
        raft_configuration_close(&configuration);
    }
    return s;
}

static enum status receive_other(struct engine *e, const struct engine_message *m)
{
    struct engine_message fixed = *m;
    if (m->type == ENGINE_APPEND_RESULT && m->term == e->raft.current_term) {
        guard_g9_result(&e->raft, &fixed);
    }
    char address[ENGINE_ADDRESS_BYTES];
    engine_address(m->peer, address);
    struct raft_message message;
    engine_message_to_raft(&fixed, address, &message);
    return engine_tell(e, step_receive(e, m, &message));
}

enum status engine_receive(struct engine *e, uint64_t now_ms, const struct engine_message *m)
{
    engine_begin(e, now_ms);
    if (e->is_halted) {
        return STATUS_CORRUPT;
    }
    if (m->peer == e->id || !engine_message_is_sane(m) || !is_wanted(e, m)) {
        e->dropped_count++;
        return STATUS_OK;
    }
    if (contradicts(e, m)) {
        e->is_halted = true;
        return STATUS_CORRUPT;
    }
    if (m->type == ENGINE_APPEND) {
        return receive_append(e, m);
    }
    return m->type == ENGINE_INSTALL ? receive_install(e, m) : receive_other(e, m);
}
