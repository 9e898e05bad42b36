#include "consensus/replica.h"

#include <inttypes.h>

#include "base/assert.h"
#include "base/mem.h"
#include "consensus/members.h"
#include "consensus/replica_parts.h"

/*
 * Beyond this many entries, or bytes, not applied yet, proposals gather in the shard instead: more
 * would not be sent (INFLIGHT_ENTRIES_MAX).
 */
#define WINDOW_ENTRIES INFLIGHT_ENTRIES_MAX
#define WINDOW_BYTES (64u * MIB)
/*
 * While the node's log has more to write, no group adds entries: many windows together would burst
 * a batch, and libraft counts what is in flight to a follower in entries, not in bytes.
 */
#define LOG_BYTES_MAX (128u * MIB)
/* After a slow sync of term and vote nobody stands again for twice as long, but not longer. */
#define QUIET_ELECTIONS_MAX 16u
/* A learner that is not further behind than what may be under way may vote. */
#define CAUGHT_UP_ENTRIES (2u * WINDOW_ENTRIES)

/* ---- life ------------------------------------------------------------------------------------ */

struct replica *replica_create(struct env *env,
                               struct log *log,
                               struct peers *peers,
                               struct rounds *rounds,
                               const struct replica_options *options,
                               const struct replica_events *events,
                               void *owner)
{
    ensure(replica_node(options->id) > 0);
    ensure(replica_node(options->id) <= PEER_NODES_MAX);
    struct replica *r = mem_alloc_zero(sizeof *r);
    r->env = env;
    r->log = log;
    r->peers = peers;
    r->rounds = rounds;
    r->options = *options;
    r->events = events;
    r->owner = owner;
    if (options->trailing_bytes == 0) {
        r->options.trailing_bytes = REPLICA_TRAILING_BYTES_DEFAULT;
    }
    if (options->payload_bytes == 0) {
        r->options.payload_bytes = REPLICA_PAYLOAD_BYTES_DEFAULT;
    }
    if (options->held_bytes == 0) {
        r->options.held_bytes = REPLICA_HELD_BYTES_DEFAULT;
    }
    r->index_held = REPLICA_HOLD_NONE;
    r->entry_first = 1;
    r->timer.cb = replica_timer_fired;
    r->log_bytes_max = LOG_BYTES_MAX;
    list_init(&r->held);
    buf_init(&r->scratch, PEER_MESSAGE_BYTES_MAX);
    rounds_add(rounds, &r->round, r);
    return r;
}

void replica_destroy(struct replica *r)
{
    if (r == NULL) {
        return;
    }
    struct list *link = NULL;
    while ((link = list_take_first(&r->held)) != NULL) {
        replica_held_destroy(container_of(link, struct held_message, link));
    }
    for (uint64_t i = r->entry_first; i <= r->entry_last; i++) {
        mem_free(replica_entry(r, i)->payload);
    }
    replica_replay_deinit(r);
    engine_destroy(r->engine);
    buf_deinit(&r->scratch);
    mem_free(r->loaded);
    mem_free(r->entries);
    mem_free(r->marks);
    mem_free(r);
}

void replica_stop(struct replica *r)
{
    r->is_stopped = true;
    rounds_reset(&r->round);
    env_timer_stop(r->env, &r->timer);
}

/* The first start: entry 1 is the founders' configuration, the same on all of them. */
static void bootstrap(struct replica *r, const struct engine_config *founders)
{
    struct buf payload;
    buf_init(&payload, MIB);
    struct engine_config first = *founders;
    first.index = 1;
    engine_config_encode(&first, &payload);
    replica_log_state(r, FOUNDERS_TERM, 0);
    replica_keep(r, FOUNDERS_TERM, ENGINE_ENTRY_CHANGE, buf_bytes(&payload));
    replica_log_entry(r, 1);
    /* Nothing leaves before it is durable; so a crash before that starts over. */
    r->state_batch = replica_entry(r, 1)->batch;
    buf_deinit(&payload);
}

/* The engine's log begins with what is in memory; all of the state counts as its snapshot. */
static enum status start_engine(struct replica *r, struct error *error)
{
    struct engine_options options = {
        .id = r->options.id,
        .election_timeout_ms = r->options.election_timeout_ms,
        .heartbeat_ms = r->options.heartbeat_ms,
        .max_inflight = INFLIGHT_ENTRIES_MAX,
        .seed = (uint32_t)env_random(r->env),
    };
    struct replica_base base;
    replica_state_at(r, r->index_folded, &base);
    r->index_commit = base.index;
    r->index_config = base.index;
    r->index_compacted = base.index;
    if (r->index_commit_noted < base.index) {
        r->index_commit_noted = base.index;
    }
    uint64_t count = r->entry_last + 1 - r->entry_first;
    replica_load(r, r->entry_first, (uint32_t)count);
    struct engine_start start = {
        .term = r->term,
        .vote = r->vote,
        .snapshot_index = base.index,
        .snapshot_term = base.term,
        .snapshot_config = base.config,
        .first_index = r->entry_first,
        .entries = r->loaded,
        .count = count,
    };
    r->engine = engine_create(&options, &replica_engine_events, r);
    enum status s = engine_start(r->engine, replica_now_ms(r), &start, error);
    if (s != STATUS_OK) {
        return error_wrap(error, s, "group %u", (unsigned)r->options.group);
    }
    return s;
}

enum status replica_start(struct replica *r,
                          const struct engine_config *founders,
                          struct error *error)
{
    enum status s = replica_replay_end(r, error);
    if (s != STATUS_OK) {
        return s;
    }
    bool is_empty = r->entry_last == 0;
    if (is_empty && founders != NULL && (r->term > FOUNDERS_TERM || r->vote != 0)) {
        return error_set(error,
                         STATUS_CORRUPT,
                         "group %u: term %" PRIu64 " without an entry",
                         (unsigned)r->options.group,
                         r->term);
    }
    r->index_durable = r->entry_last; /* recovery synced what it read (LOG-8) */
    if (is_empty && founders != NULL) {
        bootstrap(r, founders);
    }
    s = start_engine(r, error);
    if (s == STATUS_OK) {
        replica_settle(r, s);
    }
    return s;
}

/* ---- events ---------------------------------------------------------------------------------- */

/* How long it took says how long a vote takes: nobody stands again before. */
static void note_state_sync(struct replica *r)
{
    uint64_t took_ms = replica_now_ms(r) - r->state_since_ms;
    uint64_t quiet_ms = 2 * took_ms + env_random(r->env) % (took_ms + 1);
    uint64_t limit_ms = (uint64_t)QUIET_ELECTIONS_MAX * r->options.election_timeout_ms;
    r->quiet_until_ms = replica_now_ms(r) + (quiet_ms < limit_ms ? quiet_ms : limit_ms);
}

static void end_install(struct replica *r)
{
    struct error error = {0};
    enum status s = replica_install_end(r, &error);
    if (s != STATUS_OK) {
        env_halt(r->env, "group %u: %s", (unsigned)r->options.group, error.text);
        return;
    }
    replica_settle(r, s);
}

void replica_durable(struct replica *r, uint64_t batch)
{
    if (r->engine == NULL) {
        return; /* another group's batch, while this one is not started */
    }
    ensure(batch >= r->batch_durable);
    bool was_durable = replica_state_is_durable(r);
    r->batch_durable = batch;
    if (!was_durable && replica_state_is_durable(r)) {
        note_state_sync(r);
    }
    replica_send_held(r);
    if (r->is_installing) {
        if (r->install_batch <= batch) {
            end_install(r);
        }
        return; /* no entry before it, and none behind it yet */
    }
    uint64_t before = r->index_durable;
    while (r->index_durable < r->entry_last &&
           replica_entry(r, r->index_durable + 1)->batch <= batch) {
        r->index_durable++;
    }
    enum status s = STATUS_OK;
    if (r->index_durable > before) {
        r->log_since_ms = replica_now_ms(r);
        s = engine_persisted(r->engine, replica_now_ms(r), r->index_durable);
    }
    replica_settle(r, s);
}

/* An append without its entries is a heartbeat; the leader sends them again. */
static bool takes_entries(const struct replica *r)
{
    if (r->is_full) {
        reached("consensus: no entries taken, the disk is full");
        return false;
    }
    if (log_pending_bytes(r->log) > r->log_bytes_max) {
        reached("consensus: no entries taken, the log is behind");
        return false;
    }
    return true;
}

void replica_receive(struct replica *r,
                     const struct message_route *route,
                     const struct engine_message *m)
{
    if (r->is_stopped || r->engine == NULL || route->receiver != r->options.id) {
        return; /* for another life of this replica (MOVE-1) */
    }
    struct engine_message fits = *m;
    if (m->type == ENGINE_APPEND && m->append.count > 0 && !takes_entries(r)) {
        fits.append.count = 0;
    }
    if (m->type == ENGINE_INSTALL && !r->is_installing) {
        uint32_t generation = 0;
        if (!r->events->is_staged(r->owner,
                                  m->install.last_index,
                                  m->install.last_term,
                                  &generation)) {
            reached("consensus: install of a state that is not staged");
            return;
        }
        r->install_generation = generation;
    }
    replica_settle(r, engine_receive(r->engine, replica_now_ms(r), &fits));
}

uint64_t replica_propose(struct replica *r, struct bytes entry)
{
    uint64_t index = 0;
    if (r->is_stopped || r->engine == NULL || r->is_full) {
        return 0;
    }
    enum status s = engine_propose(r->engine, replica_now_ms(r), entry, &index);
    if (s == STATUS_BUSY) {
        return 0;
    }
    replica_settle(r, s);
    return index;
}

void replica_set_full(struct replica *r, bool is_full)
{
    r->is_full = is_full;
}

/* ---- members --------------------------------------------------------------------------------- */

static bool has_caught_up(void *ctx, uint64_t id)
{
    const struct replica *r = ctx;
    uint64_t match = engine_match(r->engine, id);
    return match > 0 && match + CAUGHT_UP_ENTRIES >= r->entry_last;
}

/* The configuration in force is committed and applied: the next step may build on it. */
static bool is_settled_config(const struct replica *r, const struct engine_config *config)
{
    return config->index == r->marks[r->mark_count - 1].config.index;
}

enum status replica_set_members(struct replica *r,
                                const uint64_t *ids,
                                unsigned count,
                                bool *out_is_done)
{
    *out_is_done = false;
    struct engine_config now;
    if (!replica_is_leader(r) || r->is_full) {
        return STATUS_OK;
    }
    engine_config(r->engine, &now);
    if (!is_settled_config(r, &now)) {
        return STATUS_OK; /* a change is under way */
    }
    struct engine_config next = {0};
    enum members_step step = members_next(&now, ids, count, has_caught_up, r, &next);
    *out_is_done = step == MEMBERS_DONE;
    if (step != MEMBERS_CHANGE) {
        return step == MEMBERS_BLOCKED ? STATUS_INVALID : STATUS_OK;
    }
    uint64_t index = 0;
    enum status s = engine_change(r->engine, replica_now_ms(r), &next, &index);
    ensure(s != STATUS_INVALID); /* members_next knows what the engine takes */
    replica_settle(r, s == STATUS_BUSY ? STATUS_OK : s);
    return STATUS_OK;
}

/* ---- reads ----------------------------------------------------------------------------------- */

bool replica_read_begin(struct replica *r, uint64_t *out_index, uint64_t *out_round)
{
    if (!replica_is_leader(r)) {
        return false;
    }
    *out_index = r->index_commit > r->barrier ? r->index_commit : r->barrier;
    *out_round = replica_is_sole_voter(r) ? 0 : rounds_ask(r->rounds, &r->round);
    return true;
}

bool replica_is_settled(const struct replica *r)
{
    return replica_is_leader(r) && r->index_applied >= r->barrier;
}

uint64_t replica_confirmed(const struct replica *r)
{
    return r->round.confirmed;
}

void replica_rounds_advanced(struct replica *r)
{
    r->events->advanced(r->owner);
}

/* ---- facts ----------------------------------------------------------------------------------- */

bool replica_is_leader(const struct replica *r)
{
    return r->engine != NULL && !r->is_stopped && r->role == ENGINE_LEADER && r->is_told_leader;
}

uint64_t replica_term(const struct replica *r)
{
    return r->engine != NULL ? engine_term(r->engine) : r->term;
}

uint64_t replica_durable_term(const struct replica *r)
{
    return r->engine != NULL && !r->is_stopped && replica_state_is_durable(r) ? r->term : 0;
}

uint64_t replica_leader(const struct replica *r)
{
    if (r->engine == NULL) {
        return 0;
    }
    return r->role == ENGINE_LEADER ? r->options.id : engine_leader(r->engine);
}

uint64_t replica_applied(const struct replica *r)
{
    return r->index_applied;
}

uint64_t replica_last_index(const struct replica *r)
{
    return r->entry_last;
}

uint64_t replica_commit_index(const struct replica *r)
{
    return r->index_commit > r->index_applied ? r->index_commit : r->index_applied;
}

uint64_t replica_memory(const struct replica *r)
{
    return r->kept_bytes + r->entry_capacity * sizeof r->entries[0];
}

uint64_t replica_pending_count(const struct replica *r)
{
    uint64_t first = r->index_applied + 1;
    first = first > r->entry_first ? first : r->entry_first;
    return r->entry_last >= first ? r->entry_last - first + 1 : 0; /* an install is ahead of it */
}

uint64_t replica_pending_bytes(const struct replica *r)
{
    return r->pending_bytes;
}

bool replica_has_room(const struct replica *r)
{
    if (r->is_full) {
        return false;
    }
    if (replica_is_sole_voter(r)) {
        return true; /* no follower lags; all groups of a turn go, or none (node.c) */
    }
    return r->entry_last - r->index_applied < WINDOW_ENTRIES && r->pending_bytes < WINDOW_BYTES &&
           log_pending_bytes(r->log) <= r->log_bytes_max;
}

void replica_config(const struct replica *r, struct engine_config *out_config)
{
    *out_config = (struct engine_config){0};
    if (r->engine != NULL) {
        engine_config(r->engine, out_config);
    }
}

uint16_t replica_group(const struct replica *r)
{
    return r->options.group;
}

uint64_t replica_id(const struct replica *r)
{
    return r->options.id;
}
