/* The engine: libraft's step core behind our interface. Life, steps, and what a step brings. */
#include "consensus/engine.h"

#include <assert.h>
#include <inttypes.h>

#include "base/assert.h"
#include "base/mem.h"
#include "consensus/engine_guards.h"
#include "consensus/engine_parts.h"

/* Other versions have other defects, other rules of ownership, and another struct raft. */
#if RAFT_VERSION_NUMBER != 2201
#error "the guards are written for libraft 0.22.1 exactly"
#endif
#define RAFT_STRUCT_BYTES 992u

/*
 * A snapshot is streamed by us, and another one than libraft knows of; it asks for it once more
 * whenever the follower denies to have it. This is for a follower whose answers are not understood
 * so: asking too often costs nothing.
 */
#define INSTALL_TIMEOUT_MS 1000u

struct engine *engine_create(const struct engine_options *options,
                             const struct engine_events *events,
                             void *owner)
{
    ensure(raft_version_number() == RAFT_VERSION_NUMBER);
    static_assert(sizeof(struct raft) == RAFT_STRUCT_BYTES, "another libraft");
    ensure(options->id > 0);
    ensure(options->heartbeat_ms > 0);
    ensure(options->heartbeat_ms < options->election_timeout_ms);
    ensure(options->max_inflight > 0);
    engine_heap_use();
    struct engine *e = mem_alloc_zero(sizeof(*e));
    e->events = *events;
    e->owner = owner;
    e->id = options->id;
    e->max_inflight = options->max_inflight;
    char address[ENGINE_ADDRESS_BYTES];
    engine_address(e->id, address);
    int rv = raft_init(&e->raft, NULL, NULL, e->id, address);
    ensure(rv == 0);
    raft_seed(&e->raft, options->seed);
    raft_set_election_timeout(&e->raft, options->election_timeout_ms);
    raft_set_heartbeat_timeout(&e->raft, options->heartbeat_ms);
    raft_set_install_snapshot_timeout(&e->raft, INSTALL_TIMEOUT_MS);
    raft_set_max_inflight_entries(&e->raft, options->max_inflight);
    raft_set_pre_vote(&e->raft, true);
    return e;
}

void engine_destroy(struct engine *e)
{
    if (e == NULL) {
        return;
    }
    raft_close(&e->raft, NULL);
    mem_free(e);
}

/* ---- start ----------------------------------------------------------------------------------- */

static enum status check_entries(const struct engine_start *start, struct error *error)
{
    uint64_t term = start->first_index == start->snapshot_index + 1 ? start->snapshot_term : 0;
    for (size_t i = 0; i < start->count; i++) {
        const struct engine_entry *entry = &start->entries[i];
        uint64_t index = start->first_index + i;
        struct engine_config config;
        if (entry->term == 0 || entry->term < term || entry->term > start->term) {
            return error_set(error,
                             STATUS_CORRUPT,
                             "entry %" PRIu64 " of term %" PRIu64 " after term %" PRIu64,
                             index,
                             entry->term,
                             term);
        }
        if (index == start->snapshot_index && entry->term != start->snapshot_term) {
            return error_set(error,
                             STATUS_CORRUPT,
                             "entry %" PRIu64 " is not the snapshot's",
                             index);
        }
        bool is_change = entry->kind == ENGINE_ENTRY_CHANGE;
        if (is_change && engine_config_decode(entry->payload, &config) != STATUS_OK) {
            return error_set(error, STATUS_CORRUPT, "entry %" PRIu64 ": no configuration", index);
        }
        if (index == 1 && !is_change) {
            return error_set(error, STATUS_CORRUPT, "entry 1 is not the founders' configuration");
        }
        term = entry->term;
    }
    return STATUS_OK;
}

static enum status check_start(const struct engine_start *start, struct error *error)
{
    uint64_t snapshot = start->snapshot_index;
    if (start->vote != 0 && start->term == 0) {
        return error_set(error, STATUS_CORRUPT, "a vote without a term");
    }
    if (start->term > ENGINE_NUMBER_MAX || snapshot > ENGINE_NUMBER_MAX) {
        return error_set(error, STATUS_CORRUPT, "term or index out of range");
    }
    if (snapshot > 0 &&
        (start->snapshot_term == 0 || start->snapshot_term > start->term ||
         !engine_config_is_valid(&start->snapshot_config) || start->snapshot_config.index == 0 ||
         start->snapshot_config.index > snapshot)) {
        return error_set(error, STATUS_CORRUPT, "snapshot %" PRIu64 " cannot be", snapshot);
    }
    if (start->first_index == 0 || start->first_index > snapshot + 1 ||
        start->first_index + start->count <= snapshot) {
        return error_set(error,
                         STATUS_CORRUPT,
                         "log of %zu entries from %" PRIu64 " with snapshot %" PRIu64,
                         start->count,
                         start->first_index,
                         snapshot);
    }
    return check_entries(start, error);
}

/* The configuration in force after the start; false: none, a member that waits to be added. */
static bool start_config(const struct engine_start *start, struct engine_config *out)
{
    for (size_t i = start->count; i > 0; i--) {
        const struct engine_entry *entry = &start->entries[i - 1];
        uint64_t index = start->first_index + i - 1;
        if (entry->kind == ENGINE_ENTRY_CHANGE && index > start->snapshot_config.index) {
            enum status s = engine_config_decode(entry->payload, out);
            ensure(s == STATUS_OK);
            return true;
        }
    }
    *out = start->snapshot_config;
    return start->snapshot_index > 0;
}

static int step_start(struct engine *e, const struct engine_start *start)
{
    struct raft_snapshot_metadata metadata = {
        .index = start->snapshot_index,
        .term = start->snapshot_term,
        .configuration_index = start->snapshot_config.index,
    };
    struct raft_event event = {.type = RAFT_START};
    event.start.term = e->raft.current_term;
    event.start.voted_for = e->raft.voted_for;
    if (start->snapshot_index > 0) {
        engine_config_to_raft(&start->snapshot_config, &metadata.configuration);
        event.start.metadata = &metadata; /* takes the configuration */
    }
    event.start.start_index = start->first_index;
    event.start.n_entries = (unsigned)start->count;
    event.start.entries = raft_malloc(start->count * sizeof(struct raft_entry));
    void *block = engine_entries_to_raft(start->entries, start->count, event.start.entries);
    int rv = engine_step(e, &event);
    if (rv == 0) {
        raft_free(block);
        raft_free(event.start.entries);
    }
    return rv;
}

enum status engine_start(struct engine *e,
                         uint64_t now_ms,
                         const struct engine_start *start,
                         struct error *error)
{
    ensure(!e->is_started);
    enum status s = check_start(start, error);
    if (s != STATUS_OK) {
        return s;
    }
    e->is_started = true;
    engine_begin(e, now_ms);
    e->term = start->term;
    e->vote = start->vote;
    e->commit = start->snapshot_index;
    e->raft_commit = start->snapshot_index;
    e->last_index = start->first_index + start->count - 1;
    e->raft.current_term = start->term;
    e->raft.voted_for = start->vote;
    struct engine_config config;
    if (start_config(start, &config) && guard_g4_is_sole_voter(&config, e->id)) {
        e->raft.current_term++;
        e->raft.voted_for = e->id;
    }
    s = engine_tell(e, step_start(e, start));
    return s == STATUS_OK ? s : error_set(error, s, "libraft cannot start from the log");
}

/* ---- time, disk, the state machine ----------------------------------------------------------- */

uint64_t engine_due_ms(const struct engine *e)
{
    ensure(e->is_started);
    return raft_timeout(&e->raft);
}

enum status engine_tick(struct engine *e, uint64_t now_ms)
{
    engine_begin(e, now_ms);
    if (e->is_halted) {
        return STATUS_CORRUPT;
    }
    struct raft *r = &e->raft;
    if (now_ms < raft_timeout(r)) {
        return STATUS_OK;
    }
    struct engine_config config;
    engine_config(e, &config);
    if (r->state == RAFT_FOLLOWER && guard_g4_is_sole_voter(&config, e->id)) {
        r->current_term++;
        r->voted_for = e->id;
    }
    bool forgets = guard_g7_forgets_leader(r, now_ms);
    if (r->state == RAFT_LEADER) {
        r->election_timer_start = guard_g12_contact_since(r, e->leads_since_ms, now_ms);
    }
    struct raft_event event = {.type = RAFT_TIMEOUT};
    int rv = engine_step(e, &event);
    if (forgets && r->state == RAFT_FOLLOWER) {
        r->follower_state.current_leader.id = 0;
    }
    return engine_tell(e, rv);
}

enum status engine_persisted(struct engine *e, uint64_t now_ms, uint64_t index)
{
    engine_begin(e, now_ms);
    if (e->is_halted) {
        return STATUS_CORRUPT;
    }
    /* A completion of what was overwritten or given up since would be a false acknowledgement. */
    ensure(index <= e->last_index);
    ensure(!e->raft.snapshot.installing);
    if (index <= e->raft.last_stored) {
        return STATUS_OK;
    }
    struct raft_event event = {.type = RAFT_PERSISTED_ENTRIES};
    event.persisted_entries.index = index;
    return engine_tell(e, engine_step(e, &event));
}

enum status engine_config_applied(struct engine *e,
                                  uint64_t now_ms,
                                  uint64_t index,
                                  struct bytes payload)
{
    engine_begin(e, now_ms);
    ensure(index <= e->commit);
    struct engine_config config;
    if (e->is_halted || engine_config_decode(payload, &config) != STATUS_OK) {
        return STATUS_CORRUPT;
    }
    struct raft_event event = {.type = RAFT_CONFIGURATION};
    event.configuration.index = index;
    engine_config_to_raft(&config, &event.configuration.conf);
    return engine_tell(e, engine_step(e, &event));
}

enum status engine_compacted(struct engine *e,
                             uint64_t now_ms,
                             uint64_t index,
                             uint64_t term,
                             const struct engine_config *config,
                             uint32_t trailing)
{
    engine_begin(e, now_ms);
    if (e->is_halted) {
        return STATUS_CORRUPT;
    }
    const struct raft *r = &e->raft;
    ensure(!r->snapshot.installing);
    ensure(index >= ENGINE_SNAPSHOT_INDEX_MIN);
    ensure(index > r->trail.snapshot.index);
    ensure(index <= e->commit);
    ensure(index <= r->last_stored); /* a restart must not find the log shorter */
    ensure(guard_term_of(r, index) == term);
    ensure(engine_config_is_valid(config));
    ensure(config->index > 0 && config->index <= index);
    ensure(config->index <= r->configuration_committed_index);
    struct raft_event event = {.type = RAFT_SNAPSHOT};
    event.snapshot.metadata.index = index;
    event.snapshot.metadata.term = term;
    event.snapshot.metadata.configuration_index = config->index;
    engine_config_to_raft(config, &event.snapshot.metadata.configuration);
    event.snapshot.trailing = guard_g3_trailing(trailing, e->max_inflight);
    return engine_tell(e, engine_step(e, &event));
}

enum status engine_installed(struct engine *e,
                             uint64_t now_ms,
                             uint64_t index,
                             uint64_t term,
                             const struct engine_config *config)
{
    engine_begin(e, now_ms);
    if (e->is_halted) {
        return STATUS_CORRUPT;
    }
    ensure(e->raft.snapshot.installing);
    ensure(index == e->raft.trail.snapshot.index);
    ensure(term == e->raft.trail.snapshot.term);
    ensure(engine_config_is_valid(config));
    ensure(config->index > 0 && config->index <= index);
    struct raft_event event = {.type = RAFT_PERSISTED_SNAPSHOT};
    event.persisted_snapshot.metadata.index = index;
    event.persisted_snapshot.metadata.term = term;
    event.persisted_snapshot.metadata.configuration_index = config->index;
    engine_config_to_raft(config, &event.persisted_snapshot.metadata.configuration);
    event.persisted_snapshot.last = true;
    return engine_tell(e, engine_step(e, &event));
}

/* ---- what a leader is asked for -------------------------------------------------------------- */

static bool can_submit(const struct engine *e)
{
    return !e->is_halted && e->raft.state == RAFT_LEADER && raft_transferee(&e->raft) == 0;
}

/* A leader that can_submit(). */
static enum status submit(struct engine *e, enum engine_entry_kind kind, struct bytes payload)
{
    struct engine_entry entry = {
        .term = raft_current_term(&e->raft),
        .kind = kind,
        .payload = payload,
    };
    struct raft_entry submitted;
    void *block = engine_entries_to_raft(&entry, 1, &submitted);
    struct raft_event event = {.type = RAFT_SUBMIT};
    event.submit.entries = &submitted;
    event.submit.n = 1; /* a CHANGE goes alone (N11), and so does everything else */
    engine_offer(e, &entry, 1, e->last_index + 1);
    int rv = engine_step(e, &event);
    ensure(rv == 0); /* every reason to refuse was looked at before */
    enum status s = engine_tell(e, rv);
    raft_free(block);
    return s;
}

enum status engine_propose(struct engine *e,
                           uint64_t now_ms,
                           struct bytes payload,
                           uint64_t *out_index)
{
    engine_begin(e, now_ms);
    if (!can_submit(e)) {
        return STATUS_BUSY;
    }
    enum status s = submit(e, ENGINE_ENTRY_COMMAND, payload);
    *out_index = e->last_index;
    return s;
}

enum status engine_change(struct engine *e,
                          uint64_t now_ms,
                          const struct engine_config *config,
                          uint64_t *out_index)
{
    engine_begin(e, now_ms);
    const struct raft *r = &e->raft;
    if (!can_submit(e) || r->configuration_uncommitted_index != 0 ||
        r->leader_state.promotee_id != 0) {
        return STATUS_BUSY;
    }
    struct engine_config current;
    engine_config(e, &current);
    if (!engine_config_is_valid(config) || !engine_config_is_one_change(&current, config) ||
        !guard_g4_leaves_voters(&current, config)) {
        return STATUS_INVALID;
    }
    if (!guard_g11_may_change(r)) {
        /* libraft gives a new leader no barrier if all of its log is committed. */
        if (guard_term_of(r, e->last_index) != r->current_term) {
            enum status s = submit(e, ENGINE_ENTRY_BARRIER, bytes_of(NULL, 0));
            return s == STATUS_OK ? STATUS_BUSY : s;
        }
        return STATUS_BUSY;
    }
    struct buf payload;
    buf_init(&payload, SIZE_MAX);
    engine_config_encode(config, &payload);
    enum status s = submit(e, ENGINE_ENTRY_CHANGE, buf_bytes(&payload));
    buf_deinit(&payload);
    *out_index = e->last_index;
    return s;
}

enum status engine_transfer(struct engine *e, uint64_t now_ms, uint64_t target)
{
    engine_begin(e, now_ms);
    if (!can_submit(e)) {
        return STATUS_BUSY;
    }
    if (target == e->id || guard_role_of(&e->raft, target) != RAFT_VOTER) {
        return STATUS_INVALID;
    }
    /* Behind, it would get the order too early, ignore it, and the transfer would die silently. */
    if (engine_match(e, target) != e->last_index) {
        return STATUS_BUSY;
    }
    struct raft_event event = {.type = RAFT_TRANSFER};
    event.transfer.server_id = target;
    int rv = engine_step(e, &event);
    ensure(rv == 0);
    return engine_tell(e, rv);
}

/* ---- state ----------------------------------------------------------------------------------- */

enum engine_role engine_role(const struct engine *e)
{
    return e->role;
}

uint64_t engine_term(const struct engine *e)
{
    return e->term;
}

uint64_t engine_vote(const struct engine *e)
{
    return e->vote;
}

uint64_t engine_leader(const struct engine *e)
{
    switch (e->role) {
    case ENGINE_LEADER:
        return e->id;
    case ENGINE_FOLLOWER:
        return e->raft.state == RAFT_FOLLOWER ? e->raft.follower_state.current_leader.id : 0;
    case ENGINE_CANDIDATE:
        return 0;
    }
    unreachable("role");
}

uint64_t engine_commit_index(const struct engine *e)
{
    return e->commit;
}

uint64_t engine_last_index(const struct engine *e)
{
    return e->last_index;
}

uint64_t engine_log_offset(const struct engine *e)
{
    return e->raft.trail.offset;
}

uint64_t engine_match(const struct engine *e, uint64_t peer)
{
    raft_index match = 0;
    if (e->raft.state != RAFT_LEADER || raft_match_index(&e->raft, peer, &match) != 0) {
        return 0;
    }
    return match;
}

void engine_config(const struct engine *e, struct engine_config *out_config)
{
    const struct raft *r = &e->raft;
    uint64_t pending = r->configuration_uncommitted_index;
    uint64_t index = pending != 0 ? pending : r->configuration_committed_index;
    engine_config_from_raft(&r->configuration, index, out_config);
}

uint64_t engine_dropped(const struct engine *e)
{
    return e->dropped_count;
}
