/* The entries of a group that are in memory, and their way to the node's log and to apply(). */
#include "base/assert.h"
#include "base/mem.h"
#include "consensus/replica_parts.h"

#define RING_MIN 64u

/* ---- entries --------------------------------------------------------------------------------- */

static struct kept_entry *slot(const struct replica *r, uint64_t index)
{
    return &r->entries[index & (r->entry_capacity - 1)];
}

bool replica_has_entry(const struct replica *r, uint64_t index)
{
    return index >= r->entry_first && index <= r->entry_last;
}

struct kept_entry *replica_entry(const struct replica *r, uint64_t index)
{
    ensure(replica_has_entry(r, index));
    return slot(r, index);
}

/* Room for entries first … last, which hold those that are there. */
static void make_room(struct replica *r, uint64_t first, uint64_t last)
{
    uint64_t capacity = r->entry_capacity == 0 ? RING_MIN : r->entry_capacity;
    while (last - first >= capacity) {
        capacity *= 2;
    }
    if (capacity == r->entry_capacity) {
        return;
    }
    struct kept_entry *entries = mem_alloc(capacity * sizeof entries[0]);
    for (uint64_t i = r->entry_first; i <= r->entry_last; i++) {
        entries[i & (capacity - 1)] = *slot(r, i);
    }
    mem_free(r->entries);
    r->entries = entries;
    r->entry_capacity = capacity;
}

void replica_keep(struct replica *r, uint64_t term, uint8_t kind, struct bytes payload)
{
    make_room(r, r->entry_first, r->entry_last + 1);
    uint64_t index = ++r->entry_last;
    struct kept_entry *e = slot(r, index);
    *e = (struct kept_entry){.term = term, .kind = kind, .size = (uint32_t)payload.size};
    if (payload.size > 0) {
        e->payload = mem_alloc(payload.size);
        memcpy(e->payload, payload.data, payload.size);
    }
    r->kept_bytes += payload.size;
    r->pending_bytes += index > r->index_applied ? payload.size : 0;
}

void replica_keep_front(struct replica *r, uint64_t index, const struct kept_entry *entry)
{
    if (r->entry_last < r->entry_first) {
        r->entry_first = index + 1;
        r->entry_last = index;
    }
    ensure(index + 1 == r->entry_first);
    make_room(r, index, r->entry_last);
    r->entry_first = index;
    *slot(r, index) = *entry;
    r->kept_bytes += entry->size;
    r->pending_bytes += index > r->index_applied ? entry->size : 0;
}

static void let_go(struct replica *r, uint64_t index)
{
    struct kept_entry *e = slot(r, index);
    r->kept_bytes -= e->size;
    r->pending_bytes -= index > r->index_applied ? e->size : 0;
    mem_free(e->payload);
}

void replica_truncate(struct replica *r, uint64_t index)
{
    while (r->entry_last >= index && r->entry_last >= r->entry_first) {
        let_go(r, r->entry_last);
        r->entry_last--;
    }
    if (r->index_durable >= index) {
        r->index_durable = index - 1;
    }
}

void replica_drop(struct replica *r, uint64_t index)
{
    ensure(index <= r->index_applied);
    while (r->entry_first <= index && r->entry_first <= r->entry_last) {
        let_go(r, r->entry_first);
        r->entry_first++;
    }
}

void replica_drop_payloads(struct replica *r, uint64_t index)
{
    ensure(index <= r->index_applied + 1);
    uint64_t i = r->payload_first > r->entry_first ? r->payload_first : r->entry_first;
    for (; i < index && i <= r->entry_last; i++) {
        struct kept_entry *e = slot(r, i);
        r->kept_bytes -= e->size;
        mem_free(e->payload);
        e->payload = NULL;
        e->size = 0;
    }
    r->payload_first = index > r->payload_first ? index : r->payload_first;
}

void replica_void(struct replica *r, uint64_t index)
{
    for (uint64_t i = r->entry_first; i <= r->entry_last; i++) {
        let_go(r, i);
    }
    ensure(r->kept_bytes == 0);
    ensure(r->pending_bytes == 0);
    r->entry_first = index;
    r->entry_last = index - 1;
}

/* ---- to the node's log ----------------------------------------------------------------------- */

uint64_t replica_log_record(struct replica *r,
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
    uint64_t commit = r->index_commit < r->entry_last ? r->index_commit : r->entry_last;
    if (commit > r->index_commit_noted) {
        uint64_t term = replica_entry(r, commit)->term;
        (void)replica_log_record(r, LOG_KIND_COMMIT, term, commit, bytes_of(NULL, 0));
        r->index_commit_noted = commit;
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

void replica_log_entry(struct replica *r, uint64_t index)
{
    struct kept_entry *e = replica_entry(r, index);
    struct bytes payload = bytes_of(e->payload, e->size);
    e->batch = replica_log_record(r, log_kind_of(e->kind), e->term, index, payload);
}

static enum log_kind copy_kind_of(uint8_t kind)
{
    switch ((enum engine_entry_kind)kind) {
    case ENGINE_ENTRY_COMMAND:
        return LOG_KIND_RELOCATED_ENTRY;
    case ENGINE_ENTRY_BARRIER:
        return LOG_KIND_RELOCATED_BARRIER;
    case ENGINE_ENTRY_CHANGE:
        return LOG_KIND_RELOCATED_CHANGE;
    }
    unreachable("an entry of no kind");
}

void replica_log_copy(struct replica *r, uint64_t index)
{
    struct kept_entry *e = replica_entry(r, index);
    ensure(index <= r->index_durable);
    struct bytes payload = bytes_of(e->payload, e->size);
    e->batch = replica_log_record(r, copy_kind_of(e->kind), e->term, index, payload);
}

void replica_log_state(struct replica *r, uint64_t term, uint64_t vote)
{
    r->term = term;
    r->vote = vote;
    r->state_since_ms = replica_now_ms(r);
    r->state_batch = replica_log_record(r, LOG_KIND_STATE, term, vote, bytes_of(NULL, 0));
}

/* ---- to the engine and the state machine ----------------------------------------------------- */

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

static enum status apply_one(struct replica *r, uint64_t index)
{
    const struct kept_entry *e = replica_entry(r, index);
    if (e->kind == ENGINE_ENTRY_COMMAND) {
        r->is_waiting = true; /* ended by replica_resume, be it inside */
        enum status s = r->events->apply(r->owner, index, bytes_of(e->payload, e->size));
        if (s == STATUS_NEED) {
            reached("consensus: apply waits for rows");
            return s;
        }
        r->is_waiting = false;
        if (s != STATUS_OK) {
            return s;
        }
    }
    enum status s = replica_state_advance(r, index, e);
    if (s == STATUS_OK) {
        r->pending_bytes -= e->size;
        r->index_applied = index;
    }
    return s;
}

enum status replica_apply_up_to(struct replica *r, uint64_t index)
{
    enum status s = STATUS_OK;
    while (s == STATUS_OK && r->index_applied < index) {
        s = apply_one(r, r->index_applied + 1);
    }
    return s;
}
