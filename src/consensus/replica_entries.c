#include <inttypes.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "consensus/replica_parts.h"

/* ---- entries --------------------------------------------------------------------------------- */

struct kept_entry *replica_entry(const struct replica *r, uint64_t index)
{
    ensure(index > 0 && index <= r->entry_count);
    return &r->entries[index - 1];
}

void replica_keep(struct replica *r, uint64_t term, uint8_t kind, struct bytes payload)
{
    if (r->entry_count == r->entry_capacity) {
        r->entry_capacity = r->entry_capacity == 0 ? 64 : 2 * r->entry_capacity;
        r->entries = mem_realloc(r->entries, r->entry_capacity * sizeof r->entries[0]);
    }
    struct kept_entry *e = &r->entries[r->entry_count++];
    *e = (struct kept_entry){.term = term, .kind = kind, .size = (uint32_t)payload.size};
    if (payload.size > 0) {
        e->payload = mem_alloc(payload.size);
        memcpy(e->payload, payload.data, payload.size);
    }
    r->kept_bytes += payload.size;
    r->pending_bytes += payload.size;
}

/* Entries from index on are replaced: their writes in flight prove nothing any more (LOG-14). */
void replica_truncate(struct replica *r, uint64_t index)
{
    ensure(index > r->index_applied);
    while (r->entry_count >= index) {
        struct kept_entry *e = replica_entry(r, r->entry_count);
        r->kept_bytes -= e->size;
        r->pending_bytes -= e->size;
        mem_free(e->payload);
        r->entry_count--;
    }
    if (r->index_durable >= index) {
        r->index_durable = index - 1;
    }
}

static enum log_kind log_kind_of(uint8_t kind)
{
    switch ((enum engine_entry_kind)kind) {
    case ENGINE_ENTRY_COMMAND:
        return LOG_KIND_ENTRY;
    case ENGINE_ENTRY_BARRIER:
        return LOG_KIND_BARRIER;
    case ENGINE_ENTRY_CHANGE:
        return LOG_KIND_CHANGE;
    }
    unreachable("an entry of no kind");
}

static uint64_t append_record(struct replica *r,
                              enum log_kind kind,
                              uint64_t term,
                              uint64_t index,
                              struct bytes payload)
{
    struct log_record record = {
        .group = r->options.group,
        .kind = (uint8_t)kind,
        .term = term,
        .index = index,
    };
    return log_append(r->log, &record, payload);
}

/* With the entries goes what is known to be committed: a restart applies that at once. */
void replica_log_commit(struct replica *r)
{
    uint64_t commit = r->index_commit < r->entry_count ? r->index_commit : r->entry_count;
    if (commit > r->index_commit_noted) {
        (void)append_record(r,
                            LOG_KIND_COMMIT,
                            replica_entry(r, commit)->term,
                            commit,
                            bytes_of(NULL, 0));
        r->index_commit_noted = commit;
    }
}

void replica_log_entry(struct replica *r, uint64_t index)
{
    struct kept_entry *e = replica_entry(r, index);
    struct bytes payload = bytes_of(e->payload, e->size);
    e->batch = append_record(r, log_kind_of(e->kind), e->term, index, payload);
}

void replica_log_state(struct replica *r, uint64_t term, uint64_t vote)
{
    r->term = term;
    r->vote = vote;
    r->state_since_ms = env_now_us(r->env) / 1000;
    r->state_batch = append_record(r, LOG_KIND_STATE, term, vote, bytes_of(NULL, 0));
}

void replica_load(struct replica *r, uint64_t from, uint32_t count)
{
    if (count > r->loaded_capacity) {
        r->loaded = mem_realloc(r->loaded, count * sizeof r->loaded[0]);
        r->loaded_capacity = count;
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct kept_entry *e = replica_entry(r, from + i);
        r->loaded[i] = (struct engine_entry){
            .term = e->term,
            .kind = (enum engine_entry_kind)e->kind,
            .payload = bytes_of(e->payload, e->size),
        };
    }
}

enum status replica_apply_up_to(struct replica *r, uint64_t index)
{
    enum status s = STATUS_OK;
    while (s == STATUS_OK && r->index_applied < index) {
        const struct kept_entry *e = replica_entry(r, r->index_applied + 1);
        r->index_applied++;
        r->pending_bytes -= e->size;
        if (e->kind == ENGINE_ENTRY_COMMAND) {
            s = r->events->apply(r->owner, r->index_applied, bytes_of(e->payload, e->size));
        }
    }
    return s;
}

/* ---- from the log ---------------------------------------------------------------------------- */

static enum status contradiction(struct replica *r,
                                 const struct log_record *record,
                                 struct error *error)
{
    return error_set(error,
                     STATUS_CORRUPT,
                     "group %u: record of kind %u, entry %" PRIu64 " of term %" PRIu64
                     " contradicts those before it (%" PRIu64 " entries, term %" PRIu64
                     "); rebuild this node from its peers",
                     (unsigned)r->options.group,
                     (unsigned)record->kind,
                     record->index,
                     record->term,
                     (uint64_t)r->entry_count,
                     r->term);
}

static enum status replay_entry(struct replica *r,
                                const struct log_record *record,
                                enum engine_entry_kind kind,
                                struct bytes payload,
                                struct error *error)
{
    bool fits = record->index > r->index_applied && record->index <= r->entry_count + 1 &&
                record->term > 0 && record->term <= r->term;
    if (fits && record->index > 1 && record->index <= r->entry_count + 1) {
        fits = record->term >= replica_entry(r, record->index - 1)->term;
    }
    if (!fits) {
        return contradiction(r, record, error);
    }
    if (record->index <= r->entry_count) {
        replica_truncate(r, record->index);
    }
    replica_keep(r, record->term, (uint8_t)kind, payload);
    return STATUS_OK;
}

static enum status replay_commit(struct replica *r,
                                 const struct log_record *record,
                                 struct error *error)
{
    if (record->index > r->entry_count || replica_entry(r, record->index)->term != record->term) {
        return contradiction(r, record, error);
    }
    r->index_commit_noted = record->index;
    enum status s = replica_apply_up_to(r, record->index);
    if (s != STATUS_OK) {
        return error_set(error,
                         s,
                         "group %u: entry %" PRIu64 " cannot be applied: %s",
                         (unsigned)r->options.group,
                         r->index_applied,
                         status_text(s));
    }
    return STATUS_OK;
}

enum status replica_replay(struct replica *r,
                           const struct log_record *record,
                           struct bytes payload,
                           struct error *error)
{
    ensure(r->engine == NULL);
    switch ((enum log_kind)record->kind) {
    case LOG_KIND_ENTRY:
        return replay_entry(r, record, ENGINE_ENTRY_COMMAND, payload, error);
    case LOG_KIND_BARRIER:
        return replay_entry(r, record, ENGINE_ENTRY_BARRIER, payload, error);
    case LOG_KIND_CHANGE:
        return replay_entry(r, record, ENGINE_ENTRY_CHANGE, payload, error);
    case LOG_KIND_STATE:
        if (record->term < r->term ||
            (record->term == r->term && r->vote != 0 && record->index != r->vote)) {
            return contradiction(r, record, error);
        }
        r->term = record->term;
        r->vote = record->index;
        return STATUS_OK;
    case LOG_KIND_COMMIT:
        return replay_commit(r, record, error);
    }
    return contradiction(r, record, error);
}
