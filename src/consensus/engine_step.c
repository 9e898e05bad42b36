/* One step of libraft, and what it brings, told to the owner in order of cause. */
#include "base/assert.h"
#include "consensus/engine_parts.h"

bool engine_has(const struct engine *e, unsigned flag)
{
    return (e->update.flags & flag) != 0;
}

static void tell_hard_state(struct engine *e)
{
    const struct raft *r = &e->raft;
    if (r->current_term == e->term && r->voted_for == e->vote) {
        return;
    }
    /* Terms only grow, and one term's vote is given once. */
    ensure(r->current_term >= e->term);
    if (r->current_term == e->term) {
        ensure(e->vote == 0);
    }
    e->term = r->current_term;
    e->vote = r->voted_for;
    e->events.hard_state(e->owner, e->term, e->vote);
}

static void tell_install(struct engine *e)
{
    if (!engine_has(e, RAFT_UPDATE_SNAPSHOT)) {
        return;
    }
    struct raft_snapshot_metadata *metadata = &e->update.snapshot.metadata;
    struct engine_config config;
    engine_config_from_raft(&metadata->configuration, metadata->configuration_index, &config);
    ensure(metadata->index > e->commit);
    e->last_index = metadata->index;
    e->events.install(e->owner, metadata->index, metadata->term, &config);
    /* Both were handed to libraft with the message and came back. */
    raft_configuration_close(&metadata->configuration);
    raft_free(e->update.snapshot.chunk.base);
}

static void tell_entries(struct engine *e)
{
    if (!engine_has(e, RAFT_UPDATE_ENTRIES)) {
        return;
    }
    uint64_t index = e->update.entries.index;
    uint32_t count = e->update.entries.n;
    ensure(count > 0);
    ensure(index > e->commit);          /* what is committed stays */
    ensure(index <= e->last_index + 1); /* no gap */
    e->last_index = index + count - 1;
    if (e->update.entries.batch == &e->raft.barrier) {
        ensure(count == 1);
        struct engine_entry barrier = {
            .term = e->raft.barrier.term,
            .kind = ENGINE_ENTRY_BARRIER,
        };
        raft_free(e->raft.barrier.buf.base);
        e->raft.barrier.buf.base = NULL;
        e->events.append(e->owner, index, &barrier, 1);
        return;
    }
    ensure(index >= e->offered_index);
    uint64_t from = index - e->offered_index;
    ensure(from + count <= e->offered_count);
    e->events.append(e->owner, index, e->offered + from, count);
}

static void tell_messages(struct engine *e)
{
    if (!engine_has(e, RAFT_UPDATE_MESSAGES)) {
        return;
    }
    for (unsigned i = 0; i < e->update.messages.n; i++) {
        const struct raft_message *from = &e->update.messages.batch[i];
        if (from->server_id == 0) {
            continue; /* an answer to a leader that was forgotten (G7) */
        }
        struct engine_message m;
        engine_message_from_raft(from, &m);
        e->events.send(e->owner, &m);
    }
}

static void tell_commit(struct engine *e)
{
    uint64_t commit = e->raft.commit_index;
    ensure(commit >= e->raft_commit);
    e->raft_commit = commit;
    /* During an install libraft may be ahead of what there is. */
    if (commit <= e->commit || e->raft.snapshot.installing) {
        return;
    }
    ensure(commit <= e->last_index);
    e->commit = commit;
    e->events.commit(e->owner, commit);
}

static enum engine_role role_of(const struct raft *r)
{
    if (r->state == RAFT_LEADER) {
        return ENGINE_LEADER;
    }
    return r->state == RAFT_CANDIDATE ? ENGINE_CANDIDATE : ENGINE_FOLLOWER;
}

static void tell_role(struct engine *e)
{
    enum engine_role role = role_of(&e->raft);
    if (role != e->role) {
        e->role = role;
        e->leads_since_ms = e->now_ms;
        e->events.role(e->owner, role);
    }
}

int engine_step(struct engine *e, struct raft_event *event)
{
    e->update = (struct raft_update){0};
    event->time = e->now_ms;
    return raft_step(&e->raft, event, &e->update);
}

enum status engine_tell(struct engine *e, int rv)
{
    if (rv != 0) {
        e->is_halted = true;
        return STATUS_CORRUPT;
    }
    tell_hard_state(e);
    tell_install(e);
    tell_entries(e);
    tell_messages(e);
    tell_commit(e);
    tell_role(e);
    e->offered = NULL;
    e->offered_count = 0;
    ensure(raft_last_index(&e->raft) == e->last_index);
    return STATUS_OK;
}

void engine_begin(struct engine *e, uint64_t now_ms)
{
    ensure(e->is_started);
    ensure(now_ms >= e->now_ms);
    e->now_ms = now_ms;
}

void engine_offer(struct engine *e,
                  const struct engine_entry *entries,
                  uint32_t count,
                  uint64_t index)
{
    e->offered = entries;
    e->offered_count = count;
    e->offered_index = index;
}
