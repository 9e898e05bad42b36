/* Messages: what a correct peer can have sent, and libraft's form of them. */
#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "consensus/engine_parts.h"

/* Versions of libraft's messages that its handlers look at. */
#define RAFT_VOTE_RESULT_VERSION 2u /* > 1: has pre_vote */
#define RAFT_VOTE_VERSION 2u        /* > 1: has disrupt_leader and pre_vote */

void engine_address(uint64_t id, char out[ENGINE_ADDRESS_BYTES])
{
    int n = snprintf(out, ENGINE_ADDRESS_BYTES, "%" PRIu64, id);
    ensure(n > 0 && (unsigned)n < ENGINE_ADDRESS_BYTES);
}

static bool is_number(uint64_t n)
{
    return n <= ENGINE_NUMBER_MAX;
}

static bool entry_is_sane(const struct engine_entry *entry)
{
    struct engine_config config;
    switch (entry->kind) {
    case ENGINE_ENTRY_COMMAND:
        return true;
    case ENGINE_ENTRY_BARRIER:
        return entry->payload.size == 0;
    case ENGINE_ENTRY_CHANGE:
        return engine_config_decode(entry->payload, &config) == STATUS_OK;
    }
    return false;
}

static bool append_is_sane(const struct engine_message *m)
{
    uint64_t prev = m->append.prev_index;
    if (!is_number(prev) || !is_number(m->append.commit) ||
        (prev == 0) != (m->append.prev_term == 0) || m->append.prev_term > m->term ||
        (m->append.count > 0 && m->append.entries == NULL)) {
        return false;
    }
    uint64_t term = m->append.prev_term;
    for (uint32_t i = 0; i < m->append.count; i++) {
        const struct engine_entry *entry = &m->append.entries[i];
        if (entry->term == 0 || entry->term < term || entry->term > m->term ||
            !entry_is_sane(entry)) {
            return false;
        }
        term = entry->term;
    }
    /* The founders' configuration is every group's first entry. */
    return prev > 0 || m->append.count == 0 || m->append.entries[0].kind == ENGINE_ENTRY_CHANGE;
}

static bool install_is_sane(const struct engine_message *m)
{
    const struct engine_config *config = &m->install.config;
    return is_number(m->install.last_index) && m->install.last_index > 0 &&
           m->install.last_term > 0 && m->install.last_term <= m->term &&
           engine_config_is_valid(config) && config->index > 0 &&
           config->index <= m->install.last_index;
}

bool engine_message_is_sane(const struct engine_message *m)
{
    if (m->peer == 0 || m->term == 0 || !is_number(m->term)) {
        return false;
    }
    switch (m->type) {
    case ENGINE_APPEND:
        return append_is_sane(m);
    case ENGINE_APPEND_RESULT:
        return is_number(m->append_result.rejected) && is_number(m->append_result.last_index);
    case ENGINE_VOTE:
        return is_number(m->vote.last_index) && m->vote.last_term <= m->term;
    case ENGINE_VOTE_RESULT:
        return true;
    case ENGINE_INSTALL:
        return install_is_sane(m);
    case ENGINE_TIMEOUT_NOW:
        return is_number(m->timeout_now.last_index) && m->timeout_now.last_term <= m->term;
    }
    return false;
}

void engine_message_to_raft(const struct engine_message *m,
                            const char *address,
                            struct raft_message *out)
{
    *out = (struct raft_message){.server_id = m->peer, .server_address = address};
    switch (m->type) {
    case ENGINE_APPEND:
        out->type = RAFT_APPEND_ENTRIES;
        out->append_entries.term = m->term;
        out->append_entries.prev_log_index = m->append.prev_index;
        out->append_entries.prev_log_term = m->append.prev_term;
        out->append_entries.leader_commit = m->append.commit;
        out->append_entries.n_entries = m->append.count;
        return;
    case ENGINE_APPEND_RESULT:
        out->type = RAFT_APPEND_ENTRIES_RESULT;
        out->append_entries_result.term = m->term;
        out->append_entries_result.rejected = m->append_result.rejected;
        out->append_entries_result.last_log_index = m->append_result.last_index;
        return;
    case ENGINE_VOTE:
        out->type = RAFT_REQUEST_VOTE;
        out->request_vote.version = RAFT_VOTE_VERSION;
        out->request_vote.term = m->term;
        out->request_vote.candidate_id = m->peer;
        out->request_vote.last_log_index = m->vote.last_index;
        out->request_vote.last_log_term = m->vote.last_term;
        out->request_vote.disrupt_leader = m->vote.disrupt_leader;
        out->request_vote.pre_vote = m->vote.pre_vote;
        return;
    case ENGINE_VOTE_RESULT:
        out->type = RAFT_REQUEST_VOTE_RESULT;
        out->request_vote_result.version = RAFT_VOTE_RESULT_VERSION;
        out->request_vote_result.term = m->term;
        out->request_vote_result.vote_granted = m->vote_result.granted;
        out->request_vote_result.pre_vote = m->vote_result.pre_vote;
        return;
    case ENGINE_INSTALL:
        out->type = RAFT_INSTALL_SNAPSHOT;
        out->install_snapshot.term = m->term;
        out->install_snapshot.last_index = m->install.last_index;
        out->install_snapshot.last_term = m->install.last_term;
        out->install_snapshot.conf_index = m->install.config.index;
        return;
    case ENGINE_TIMEOUT_NOW:
        out->type = RAFT_TIMEOUT_NOW;
        out->timeout_now.term = m->term;
        out->timeout_now.last_log_index = m->timeout_now.last_index;
        out->timeout_now.last_log_term = m->timeout_now.last_term;
        return;
    }
    unreachable("message type");
}

void engine_message_from_raft(const struct raft_message *m, struct engine_message *out)
{
    *out = (struct engine_message){.peer = m->server_id};
    switch (m->type) {
    case RAFT_APPEND_ENTRIES:
        out->type = ENGINE_APPEND;
        out->term = m->append_entries.term;
        out->append.prev_index = m->append_entries.prev_log_index;
        out->append.prev_term = m->append_entries.prev_log_term;
        out->append.commit = m->append_entries.leader_commit;
        out->append.count = m->append_entries.n_entries;
        return;
    case RAFT_APPEND_ENTRIES_RESULT:
        out->type = ENGINE_APPEND_RESULT;
        out->term = m->append_entries_result.term;
        out->append_result.rejected = m->append_entries_result.rejected;
        out->append_result.last_index = m->append_entries_result.last_log_index;
        return;
    case RAFT_REQUEST_VOTE:
        out->type = ENGINE_VOTE;
        out->term = m->request_vote.term;
        out->vote.last_index = m->request_vote.last_log_index;
        out->vote.last_term = m->request_vote.last_log_term;
        out->vote.disrupt_leader = m->request_vote.disrupt_leader;
        out->vote.pre_vote = m->request_vote.pre_vote;
        return;
    case RAFT_REQUEST_VOTE_RESULT:
        out->type = ENGINE_VOTE_RESULT;
        out->term = m->request_vote_result.term;
        out->vote_result.granted = m->request_vote_result.vote_granted;
        out->vote_result.pre_vote = m->request_vote_result.pre_vote;
        return;
    case RAFT_INSTALL_SNAPSHOT:
        out->type = ENGINE_INSTALL;
        out->term = m->install_snapshot.term;
        out->install.last_index = m->install_snapshot.last_index;
        out->install.last_term = m->install_snapshot.last_term;
        out->install.config.index = m->install_snapshot.conf_index;
        return;
    case RAFT_TIMEOUT_NOW:
        out->type = ENGINE_TIMEOUT_NOW;
        out->term = m->timeout_now.term;
        out->timeout_now.last_index = m->timeout_now.last_log_index;
        out->timeout_now.last_term = m->timeout_now.last_log_term;
        return;
    }
    unreachable("libraft's message type");
}
