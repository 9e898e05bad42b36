/*
 * A group's records, read from the log at start. The log may begin anywhere: its older segments are
 * gone, as the state reaches behind them, or copies of what they held come later (LOG-12).
 */
#include <inttypes.h>

#include "base/assert.h"
#include "base/mem.h"
#include "consensus/replica_parts.h"

static enum status contradiction(struct replica *r,
                                 const struct log_record *record,
                                 struct error *error)
{
    return error_set(error,
                     STATUS_CORRUPT,
                     "group %u: record of kind %u, entry %" PRIu64 " of term %" PRIu64
                     " contradicts those before it (up to entry %" PRIu64 ", term %" PRIu64 ")",
                     (unsigned)r->options.group,
                     (unsigned)record->kind,
                     record->index,
                     record->term,
                     r->entry_last,
                     r->term);
}

/* No record of the term was read yet: it may stand behind the first records of the oldest segment.
 */
static bool is_of_known_term(const struct replica *r, const struct log_record *record)
{
    return record->term > 0 && (r->term == 0 || record->term <= r->term);
}

/* ---- copies that were read below all others -------------------------------------------------- */

static void aside_remove_from(struct replica *r, size_t from)
{
    while (r->replay.aside_count > from) {
        mem_free(r->replay.aside[--r->replay.aside_count].entry.payload);
    }
}

/* Where the copy of this index stands, or would. */
static size_t aside_find(const struct replica *r, uint64_t index)
{
    size_t i = r->replay.aside_count;
    while (i > 0 && r->replay.aside[i - 1].index >= index) {
        i--;
    }
    return i;
}

static void aside_put(struct replica *r, uint64_t index, const struct kept_entry *entry)
{
    struct replay *p = &r->replay;
    size_t at = aside_find(r, index);
    if (at < p->aside_count && p->aside[at].index == index) {
        mem_free(p->aside[at].entry.payload); /* the later copy is of what was live later */
        p->aside[at].entry = *entry;
        return;
    }
    if (p->aside_count == p->aside_capacity) {
        p->aside_capacity = p->aside_capacity == 0 ? 64 : 2 * p->aside_capacity;
        p->aside = mem_realloc(p->aside, p->aside_capacity * sizeof p->aside[0]);
    }
    memmove(&p->aside[at + 1], &p->aside[at], (p->aside_count - at) * sizeof p->aside[0]);
    p->aside[at] = (struct aside_entry){.index = index, .entry = *entry};
    p->aside_count++;
}

/* Copies that have come to stand right in front of the entries join them. */
static void aside_merge(struct replica *r)
{
    struct replay *p = &r->replay;
    while (p->aside_count > 0 && p->aside[p->aside_count - 1].index + 1 == r->entry_first) {
        const struct aside_entry *a = &p->aside[--p->aside_count];
        reached("consensus: copied entries joined at start");
        replica_keep_front(r, a->index, &a->entry);
    }
}

void replica_replay_deinit(struct replica *r)
{
    aside_remove_from(r, 0);
    mem_free(r->replay.aside);
    r->replay = (struct replay){0};
}

/* ---- state ----------------------------------------------------------------------------------- */

/*
 * In the oldest segment records of the batch that began it may stand before the GROUP record that
 * says which generation counts: they wait for that. Only a founder's first one needs none.
 */
static bool is_founding(const struct log_record *record)
{
    return record->kind == LOG_KIND_STATE && record->term == FOUNDERS_TERM && record->index == 0;
}

/* What is known to be committed, as far as there is no gap. */
static enum status apply_known(struct replica *r, struct error *error)
{
    uint64_t last = r->index_commit_noted < r->entry_last ? r->index_commit_noted : r->entry_last;
    if (!r->replay.is_restored || last <= r->index_applied ||
        !replica_has_entry(r, r->index_applied + 1)) {
        return STATUS_OK;
    }
    enum status s = replica_apply_up_to(r, last);
    if (s != STATUS_OK) {
        ensure(s != STATUS_NEED); /* reading blocks here */
        return error_set(error,
                         s,
                         "group %u: entry %" PRIu64 " cannot be applied: %s",
                         (unsigned)r->options.group,
                         r->index_applied + 1,
                         status_text(s));
    }
    return STATUS_OK;
}

/* The folds so far count as much as the state that was found. */
static void drop_old(struct replica *r)
{
    replica_drop_trailing(r, r->index_folded);
}

static enum status restore(struct replica *r, uint32_t generation, struct error *error)
{
    struct replay *p = &r->replay;
    struct replica_base base = {0};
    enum status s = r->events->restore(r->owner, generation, &base, error);
    if (s != STATUS_OK) {
        return s;
    }
    r->generation = generation;
    p->is_restored = true;
    p->index_restored = base.index;
    replica_state_begin(r, &base);
    for (uint64_t i = r->entry_first; i <= r->entry_last && i <= base.index; i++) {
        r->pending_bytes -= replica_entry(r, i)->size;
    }
    size_t known = aside_find(r, base.index + 1);
    for (size_t i = 0; i < known; i++) {
        mem_free(p->aside[i].entry.payload);
    }
    p->aside_count -= known;
    if (known > 0) {
        memmove(p->aside, p->aside + known, p->aside_count * sizeof p->aside[0]);
    }
    s = apply_known(r, error);
    drop_old(r);
    return s;
}

/* ---- entries --------------------------------------------------------------------------------- */

static bool entry_fits(const struct replica *r, const struct log_record *record)
{
    uint64_t index = record->index;
    bool is_decided = index > r->replay.index_restored && index <= r->index_applied;
    if (index == 0 || is_decided || !is_of_known_term(r, record)) {
        return false;
    }
    if (!r->replay.is_placed) {
        return true;
    }
    if (index > r->entry_last + 1) {
        return false;
    }
    return !replica_has_entry(r, index - 1) || record->term >= replica_entry(r, index - 1)->term;
}

static enum status replay_entry(struct replica *r,
                                const struct log_record *record,
                                enum engine_entry_kind kind,
                                struct bytes payload,
                                struct error *error)
{
    if (!entry_fits(r, record)) {
        return contradiction(r, record, error);
    }
    if (!r->replay.is_placed || record->index < r->entry_first) {
        replica_void(r, record->index);
    } else {
        replica_truncate(r, record->index);
    }
    r->replay.is_placed = true;
    aside_remove_from(r, aside_find(r, record->index));
    replica_keep(r, record->term, (uint8_t)kind, payload);
    aside_merge(r);
    drop_old(r);
    return STATUS_OK;
}

/* LOG-12: a copy never truncates. */
static enum status replay_copy(struct replica *r,
                               const struct log_record *record,
                               enum engine_entry_kind kind,
                               struct bytes payload,
                               struct error *error)
{
    uint64_t index = record->index;
    if (index == 0 || !is_of_known_term(r, record)) {
        return contradiction(r, record, error);
    }
    if (replica_has_entry(r, index)) {
        return replica_entry(r, index)->term == record->term ? STATUS_OK
                                                             : contradiction(r, record, error);
    }
    if (r->replay.is_placed && index > r->entry_last) {
        return contradiction(r, record, error);
    }
    if (index <= r->index_applied) {
        return STATUS_OK; /* the state has it */
    }
    struct kept_entry e = {
        .term = record->term,
        .kind = (uint8_t)kind,
        .size = (uint32_t)payload.size,
    };
    if (payload.size > 0) {
        e.payload = mem_alloc(payload.size);
        memcpy(e.payload, payload.data, payload.size);
    }
    aside_put(r, index, &e);
    if (r->replay.is_placed) {
        aside_merge(r);
    }
    return apply_known(r, error);
}

static enum status replay_commit(struct replica *r,
                                 const struct log_record *record,
                                 struct error *error)
{
    uint64_t index = record->index;
    if (r->replay.is_placed &&
        (index > r->entry_last ||
         (replica_has_entry(r, index) && replica_entry(r, index)->term != record->term))) {
        return contradiction(r, record, error);
    }
    r->index_commit_noted = index > r->index_commit_noted ? index : r->index_commit_noted;
    enum status s = apply_known(r, error);
    drop_old(r);
    return s;
}

/* ---- term, vote, generation ------------------------------------------------------------------ */

static enum status replay_state(struct replica *r,
                                const struct log_record *record,
                                struct error *error)
{
    if (record->term < r->term ||
        (record->term == r->term && r->vote != 0 && record->index != r->vote)) {
        return contradiction(r, record, error);
    }
    r->term = record->term;
    r->vote = record->index;
    return STATUS_OK;
}

static enum status decode(struct replica *r,
                          const struct log_record *record,
                          struct bytes payload,
                          struct group_record *out,
                          struct error *error)
{
    enum status s = group_record_decode(payload, out);
    if (s == STATUS_UNSUPPORTED) {
        return error_set(error, s, "group %u: written by a newer version", r->options.group);
    }
    if (s != STATUS_OK || out->replica_id != r->options.id) {
        return contradiction(r, record, error);
    }
    return STATUS_OK;
}

static enum status replay_group(struct replica *r,
                                const struct log_record *record,
                                struct bytes payload,
                                struct error *error)
{
    struct group_record g;
    enum status s = decode(r, record, payload, &g, error);
    if (s == STATUS_OK && !r->replay.is_restored) {
        s = restore(r, g.generation, error);
    }
    if (s != STATUS_OK) {
        return s;
    }
    if (g.generation != r->generation || g.base.index < r->synced.index) {
        return contradiction(r, record, error);
    }
    r->synced = g.base;
    return replay_state(r, record, error);
}

/* LOG-15: everything before it is void. */
static enum status replay_install(struct replica *r,
                                  const struct log_record *record,
                                  struct bytes payload,
                                  struct error *error)
{
    struct group_record g;
    enum status s = decode(r, record, payload, &g, error);
    if (s != STATUS_OK) {
        return s;
    }
    if (g.base.index != record->index || g.base.term != record->term ||
        !is_of_known_term(r, record) || g.base.index <= r->synced.index ||
        (r->replay.is_restored && g.generation == r->generation)) {
        return contradiction(r, record, error);
    }
    replica_void(r, record->index + 1);
    aside_remove_from(r, 0);
    r->replay.is_placed = true;
    r->synced = g.base;
    r->index_commit_noted = g.base.index;
    return restore(r, g.generation, error);
}

enum status replica_replay(struct replica *r,
                           const struct log_record *record,
                           struct bytes payload,
                           struct error *error)
{
    ensure(r->engine == NULL);
    if (!r->replay.is_restored && is_founding(record)) {
        enum status s = restore(r, 0, error);
        if (s != STATUS_OK) {
            return s;
        }
    }
    switch ((enum log_kind)record->kind) {
    case LOG_KIND_ENTRY:
        return replay_entry(r, record, ENGINE_ENTRY_COMMAND, payload, error);
    case LOG_KIND_BARRIER:
        return replay_entry(r, record, ENGINE_ENTRY_BARRIER, payload, error);
    case LOG_KIND_CHANGE:
        return replay_entry(r, record, ENGINE_ENTRY_CHANGE, payload, error);
    case LOG_KIND_RELOCATED_ENTRY:
        return replay_copy(r, record, ENGINE_ENTRY_COMMAND, payload, error);
    case LOG_KIND_RELOCATED_BARRIER:
        return replay_copy(r, record, ENGINE_ENTRY_BARRIER, payload, error);
    case LOG_KIND_RELOCATED_CHANGE:
        return replay_copy(r, record, ENGINE_ENTRY_CHANGE, payload, error);
    case LOG_KIND_STATE:
        return replay_state(r, record, error);
    case LOG_KIND_COMMIT:
        return replay_commit(r, record, error);
    case LOG_KIND_GROUP:
        return replay_group(r, record, payload, error);
    case LOG_KIND_INSTALL:
        return replay_install(r, record, payload, error);
    }
    return contradiction(r, record, error);
}

/* ---- the end --------------------------------------------------------------------------------- */

static enum status does_not_fit(struct replica *r, struct error *error)
{
    return error_set(error,
                     STATUS_CORRUPT,
                     "group %u: the state ends with entry %" PRIu64 " (durable: %" PRIu64
                     "), the log holds %" PRIu64 " to %" PRIu64 ", of them committed: %" PRIu64,
                     (unsigned)r->options.group,
                     r->replay.index_restored,
                     r->synced.index,
                     r->entry_first,
                     r->entry_last,
                     r->index_commit_noted);
}

enum status replica_replay_end(struct replica *r, struct error *error)
{
    struct replay *p = &r->replay;
    enum status s = p->is_restored ? STATUS_OK : restore(r, 0, error);
    if (s != STATUS_OK) {
        return s;
    }
    if (!p->is_placed) {
        uint64_t last = p->aside_count > 0 ? p->aside[p->aside_count - 1].index : p->index_restored;
        replica_void(r, last + 1);
        aside_merge(r);
        s = apply_known(r, error);
    }
    if (s != STATUS_OK) {
        return s;
    }
    if (p->index_restored < r->synced.index || r->entry_first > r->index_folded + 1 ||
        r->entry_last < p->index_restored || r->index_commit_noted > r->entry_last) {
        return does_not_fit(r, error);
    }
    replica_replay_deinit(r);
    return STATUS_OK;
}
