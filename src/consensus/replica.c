#include "consensus/replica.h"

#include <inttypes.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "consensus/replica_parts.h"

/* Entries sent and not acknowledged, per follower; one entry is a loop turn's proposals. */
#define INFLIGHT_ENTRIES_MAX 256u
/* Beyond this many entries, or bytes, not applied yet, proposals gather in the shard instead. */
#define WINDOW_ENTRIES 128u
#define WINDOW_BYTES (64u * MIB)
/* One append message takes entries up to this size, or a single larger one. */
#define APPEND_BYTES_MAX (1u * MIB)
#define SCRATCH_BYTES_KEPT (2u * MIB)
#define FOUNDERS_TERM 1u
/*
 * While the node's log has more to write, no group adds entries: many windows together would burst
 * a batch, and libraft counts what is in flight to a follower in entries, not in bytes.
 */
#define LOG_BYTES_MAX (128u * MIB)
/* A leader whose own log stands still for so many election time-outs, at least, falls silent. */
#define STUCK_ELECTIONS 3u
#define STUCK_MS_MIN 3000u
/* After a slow sync of term and vote nobody stands again for twice as long, but not longer. */
#define QUIET_ELECTIONS_MAX 16u

static uint64_t now_ms(struct replica *r)
{
    return env_now_us(r->env) / 1000;
}

static void settle(struct replica *r, enum status status);

static bool state_is_durable(const struct replica *r)
{
    return r->state_batch <= r->batch_durable;
}

/* ---- what the engine asks for ---------------------------------------------------------------- */

static void on_hard_state(void *owner, uint64_t term, uint64_t vote)
{
    struct replica *r = owner;
    ensure(term >= r->term);
    replica_log_state(r, term, vote);
}

static void on_append(void *owner,
                      uint64_t index,
                      const struct engine_entry *entries,
                      uint32_t count)
{
    struct replica *r = owner;
    ensure(index > 0 && index <= r->entry_count + 1);
    if (index <= r->index_applied) {
        /* A restart forgets what is committed, the log does not: a peer has lost what it had. */
        env_halt(r->env,
                 "group %u: entry %" PRIu64 " is applied here, and a leader replaces it",
                 (unsigned)r->options.group,
                 index);
        return;
    }
    if (r->index_durable == r->entry_count) {
        r->log_since_ms = now_ms(r);
    }
    if (index <= r->entry_count) {
        reached("consensus: entries overwritten");
        replica_truncate(r, index);
    }
    for (uint32_t i = 0; i < count; i++) {
        replica_keep(r, entries[i].term, (uint8_t)entries[i].kind, entries[i].payload);
        replica_log_entry(r, index + i);
    }
    replica_log_commit(r);
}

static enum peer_class class_of(enum engine_message_type type)
{
    switch (type) {
    case ENGINE_VOTE:
    case ENGINE_VOTE_RESULT:
    case ENGINE_TIMEOUT_NOW:
        return PEER_URGENT;
    case ENGINE_APPEND:
    case ENGINE_APPEND_RESULT:
    case ENGINE_INSTALL:
        return PEER_LOG; /* one class, so that a heartbeat never passes entries of its group */
    }
    unreachable("a message of no type");
}

/* False: it was dropped, and Raft repeats what matters. */
static bool send_or_hold(struct replica *r, const struct engine_message *m)
{
    struct message_route route = {
        .group = r->options.group,
        .sender = r->options.id,
        .receiver = m->peer,
    };
    enum peer_class class = class_of(m->type);
    uint32_t node = replica_node(m->peer);
    buf_clear(&r->scratch, SCRATCH_BYTES_KEPT);
    message_encode(&route, m, &r->scratch);
    if (state_is_durable(r)) {
        struct bytes part = buf_bytes(&r->scratch);
        bool is_sent = peers_send(r->peers, node, class, &part, 1);
        if (!is_sent) {
            reached("consensus: message dropped");
        }
        return is_sent;
    }
    reached("consensus: message held for a sync");
    struct held_message *h = mem_alloc_zero(sizeof *h);
    h->batch = r->state_batch;
    h->node = node;
    h->class = class;
    h->bytes = r->scratch;
    buf_init(&r->scratch, PEER_MESSAGE_BYTES_MAX);
    list_append(&r->held, &h->link);
    return true;
}

/* The entries of one append, cut into messages of bounded size: in order, that is the same. */
static void send_append(struct replica *r, const struct engine_message *m)
{
    struct engine_message part = *m;
    uint64_t last = m->append.prev_index + m->append.count;
    do {
        uint64_t first = part.append.prev_index + 1;
        uint32_t count = 0;
        uint64_t size = 0;
        while (first + count <= last) {
            size += replica_entry(r, first + count)->size;
            if (count > 0 && size > APPEND_BYTES_MAX) {
                reached("consensus: append cut by size");
                break;
            }
            count++;
        }
        replica_load(r, first, count);
        part.append.count = count;
        part.append.entries = r->loaded;
        if (!send_or_hold(r, &part)) {
            return; /* behind a gap the rest would only be refused */
        }
        part.append.prev_index += count;
        if (part.append.prev_index < last) {
            part.append.prev_term = replica_entry(r, part.append.prev_index)->term;
        }
    } while (part.append.prev_index < last);
}

static void on_send(void *owner, const struct engine_message *m)
{
    struct replica *r = owner;
    if (r->is_stopped) {
        return;
    }
    if (m->type == ENGINE_APPEND) {
        send_append(r, m);
    } else {
        (void)send_or_hold(r, m);
    }
}

static void on_commit(void *owner, uint64_t index)
{
    struct replica *r = owner;
    if (index > r->index_commit) {
        r->index_commit = index;
    }
}

static void on_role(void *owner, enum engine_role role)
{
    struct replica *r = owner;
    r->role = role;
    r->role_changed = true;
}

static void on_install(void *owner,
                       uint64_t last_index,
                       uint64_t last_term,
                       const struct engine_config *config)
{
    struct replica *r = owner;
    (void)last_term;
    (void)config;
    /* Nobody compacts a log yet, so no leader has anything to install. */
    env_halt(r->env,
             "group %u: a snapshot up to entry %" PRIu64 " was sent; upgrade this node",
             (unsigned)r->options.group,
             last_index);
}

static const struct engine_events engine_events = {
    .hard_state = on_hard_state,
    .append = on_append,
    .send = on_send,
    .commit = on_commit,
    .role = on_role,
    .install = on_install,
};

static bool is_sole_voter(const struct replica *r)
{
    struct engine_config config;
    engine_config(r->engine, &config);
    unsigned voters = 0;
    for (unsigned i = 0; i < config.count; i++) {
        voters += config.members[i].is_voter ? 1 : 0;
    }
    return voters == 1;
}

/* ---- time ------------------------------------------------------------------------------------ */

/* The timer is moved only to an earlier time: every append moves the deadline, few reach it. */
static void arm_timer(struct replica *r)
{
    uint64_t due_ms = engine_due_ms(r->engine);
    if (r->is_stopped || (r->timer_due_ms != 0 && r->timer_due_ms <= due_ms)) {
        return;
    }
    uint64_t now = now_ms(r);
    r->timer_due_ms = due_ms > now ? due_ms : now;
    env_timer_start(r->env, &r->timer, r->timer_due_ms - now);
}

/*
 * A disk that hangs gives no error: the others go on committing, this leader applies nothing
 * (LOG-3) and answers nobody. Without its heartbeats they elect one that can.
 */
static bool is_stuck(struct replica *r)
{
    uint64_t limit_ms = (uint64_t)STUCK_ELECTIONS * r->options.election_timeout_ms;
    limit_ms = limit_ms > STUCK_MS_MIN ? limit_ms : STUCK_MS_MIN;
    return r->role == ENGINE_LEADER && r->index_durable < r->entry_count &&
           now_ms(r) - r->log_since_ms >= limit_ms && !is_sole_voter(r);
}

/*
 * A vote is worth nothing before it is durable. Where a sync takes longer than an election time-out
 * a new term would begin before the votes of the last one can leave, for ever.
 */
static bool is_election_slow(struct replica *r)
{
    return r->role != ENGINE_LEADER && (!state_is_durable(r) || now_ms(r) < r->quiet_until_ms);
}

static void timer_fired(struct env_timer *timer)
{
    struct replica *r = container_of(timer, struct replica, timer);
    r->timer_due_ms = 0;
    bool is_silent = is_stuck(r);
    if (is_silent) {
        reached("consensus: leader with a hung disk falls silent");
    }
    if (is_silent || is_election_slow(r)) {
        r->timer_due_ms = now_ms(r) + r->options.heartbeat_ms;
        env_timer_start(r->env, &r->timer, r->options.heartbeat_ms);
        return;
    }
    enum status s = STATUS_OK;
    if (now_ms(r) >= engine_due_ms(r->engine)) {
        s = engine_tick(r->engine, now_ms(r));
    }
    settle(r, s);
}

/* ---- after each step ------------------------------------------------------------------------- */

static void tell_leadership(struct replica *r)
{
    while (r->role_changed) {
        r->role_changed = false;
        bool is_leader = r->role == ENGINE_LEADER;
        if (is_leader) {
            r->barrier = engine_last_index(r->engine);
        }
        if (is_leader || r->is_told_leader) {
            rounds_reset(&r->round);
            r->is_told_leader = is_leader;
            r->events->leadership(r->owner, is_leader);
        }
    }
    uint64_t leader = replica_leader(r);
    if (leader != r->leader_told) {
        r->leader_told = leader;
        r->events->leader_changed(r->owner);
    }
}

/* Tells the engine about committed configurations; each may bring about more. */
static enum status report_configs(struct replica *r)
{
    enum status s = STATUS_OK;
    while (s == STATUS_OK && r->index_config < r->index_applied &&
           r->index_config < r->index_commit) {
        uint64_t index = ++r->index_config;
        const struct kept_entry *e = replica_entry(r, index);
        if (e->kind == ENGINE_ENTRY_CHANGE) {
            s = engine_config_applied(r->engine, now_ms(r), index, bytes_of(e->payload, e->size));
        }
    }
    return s;
}

/* Committed, and durable here (LOG-3). */
static uint64_t index_ready(const struct replica *r)
{
    return r->index_commit < r->index_durable ? r->index_commit : r->index_durable;
}

static void halt(struct replica *r, enum status status)
{
    env_halt(r->env,
             "group %u: entry %" PRIu64 " of term %" PRIu64 ": %s",
             (unsigned)r->options.group,
             r->index_applied,
             r->term,
             status_text(status));
}

/* After every step of the engine: what it decided becomes visible, in order, until nothing is left.
 */
static void settle(struct replica *r, enum status status)
{
    if (r->is_settling) {
        ensure(status == STATUS_OK);
        return; /* the loop below sees what this step brought */
    }
    r->is_settling = true;
    bool has_advanced = false;
    while (status == STATUS_OK && !r->env->is_halted) {
        tell_leadership(r);
        uint64_t ready = index_ready(r);
        if (ready > r->index_applied) {
            status = replica_apply_up_to(r, ready);
            has_advanced = true;
        } else if (r->index_config < r->index_applied && r->index_config < r->index_commit) {
            status = report_configs(r);
        } else if (!r->role_changed) {
            break;
        }
    }
    r->is_settling = false;
    if (r->env->is_halted) {
        return;
    }
    if (status != STATUS_OK) {
        halt(r, status);
        return;
    }
    arm_timer(r);
    if (has_advanced) {
        r->events->advanced(r->owner);
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

struct replica *replica_create(struct env *env,
                               struct log *log,
                               struct peers *peers,
                               struct rounds *rounds,
                               const struct replica_options *options,
                               const struct replica_events *events,
                               void *owner)
{
    ensure(options->id > 0 && options->id <= PEER_NODES_MAX);
    struct replica *r = mem_alloc_zero(sizeof *r);
    r->env = env;
    r->log = log;
    r->peers = peers;
    r->rounds = rounds;
    r->options = *options;
    r->events = events;
    r->owner = owner;
    r->timer.cb = timer_fired;
    r->log_bytes_max = LOG_BYTES_MAX;
    list_init(&r->held);
    buf_init(&r->scratch, PEER_MESSAGE_BYTES_MAX);
    rounds_add(rounds, &r->round, r);
    return r;
}

static void held_destroy(struct held_message *h)
{
    buf_deinit(&h->bytes);
    mem_free(h);
}

void replica_destroy(struct replica *r)
{
    if (r == NULL) {
        return;
    }
    struct list *link = NULL;
    while ((link = list_take_first(&r->held)) != NULL) {
        held_destroy(container_of(link, struct held_message, link));
    }
    for (size_t i = 0; i < r->entry_count; i++) {
        mem_free(r->entries[i].payload);
    }
    engine_destroy(r->engine);
    buf_deinit(&r->scratch);
    mem_free(r->loaded);
    mem_free(r->entries);
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

enum status replica_start(struct replica *r,
                          const struct engine_config *founders,
                          struct error *error)
{
    r->index_durable = r->entry_count; /* recovery synced what it read (LOG-8) */
    if (r->entry_count == 0 && (r->term > FOUNDERS_TERM || r->vote != 0)) {
        return error_set(error,
                         STATUS_CORRUPT,
                         "group %u: term %" PRIu64
                         " without an entry; rebuild this node from its peers",
                         (unsigned)r->options.group,
                         r->term);
    }
    if (r->entry_count == 0) {
        bootstrap(r, founders);
    }
    struct engine_options options = {
        .id = r->options.id,
        .election_timeout_ms = r->options.election_timeout_ms,
        .heartbeat_ms = r->options.heartbeat_ms,
        .max_inflight = INFLIGHT_ENTRIES_MAX,
        .seed = (uint32_t)env_random(r->env),
    };
    r->engine = engine_create(&options, &engine_events, r);
    replica_load(r, 1, (uint32_t)r->entry_count);
    struct engine_start start = {
        .term = r->term,
        .vote = r->vote,
        .first_index = 1,
        .entries = r->loaded,
        .count = r->entry_count,
    };
    enum status s = engine_start(r->engine, now_ms(r), &start, error);
    if (s == STATUS_OK) {
        settle(r, s);
    }
    return s;
}

/* ---- events ---------------------------------------------------------------------------------- */

static void send_held(struct replica *r)
{
    while (!list_is_empty(&r->held)) {
        struct held_message *h = container_of(r->held.next, struct held_message, link);
        if (h->batch > r->batch_durable) {
            return;
        }
        struct bytes part = buf_bytes(&h->bytes);
        if (!r->is_stopped && !peers_send(r->peers, h->node, h->class, &part, 1)) {
            reached("consensus: message dropped");
        }
        list_remove(&h->link);
        held_destroy(h);
    }
}

void replica_durable(struct replica *r, uint64_t batch)
{
    if (r->engine == NULL) {
        return; /* another group's batch, while this one is not started */
    }
    ensure(batch >= r->batch_durable);
    bool was_durable = state_is_durable(r);
    r->batch_durable = batch;
    if (!was_durable && state_is_durable(r)) {
        uint64_t took_ms = now_ms(r) - r->state_since_ms;
        uint64_t quiet_ms = 2 * took_ms + env_random(r->env) % (took_ms + 1);
        uint64_t limit_ms = (uint64_t)QUIET_ELECTIONS_MAX * r->options.election_timeout_ms;
        r->quiet_until_ms = now_ms(r) + (quiet_ms < limit_ms ? quiet_ms : limit_ms);
    }
    send_held(r);
    uint64_t before = r->index_durable;
    while (r->index_durable < r->entry_count &&
           replica_entry(r, r->index_durable + 1)->batch <= batch) {
        r->index_durable++;
    }
    enum status s = STATUS_OK;
    if (r->index_durable > before) {
        r->log_since_ms = now_ms(r);
        s = engine_persisted(r->engine, now_ms(r), r->index_durable);
    }
    settle(r, s);
}

void replica_receive(struct replica *r,
                     const struct message_route *route,
                     const struct engine_message *m)
{
    if (r->is_stopped || r->engine == NULL || route->receiver != r->options.id) {
        return; /* for another life of this replica (MOVE-1) */
    }
    struct engine_message fits = *m;
    if (m->type == ENGINE_APPEND && m->append.count > 0 &&
        log_pending_bytes(r->log) > r->log_bytes_max) {
        reached("consensus: no entries taken, the log is behind");
        fits.append.count = 0; /* a heartbeat is left of it; the leader sends them again */
    }
    settle(r, engine_receive(r->engine, now_ms(r), &fits));
}

uint64_t replica_propose(struct replica *r, struct bytes entry)
{
    uint64_t index = 0;
    if (r->is_stopped || r->engine == NULL) {
        return 0;
    }
    enum status s = engine_propose(r->engine, now_ms(r), entry, &index);
    if (s == STATUS_BUSY) {
        return 0;
    }
    settle(r, s);
    return index;
}

/* ---- reads ----------------------------------------------------------------------------------- */

bool replica_read_begin(struct replica *r, uint64_t *out_index, uint64_t *out_round)
{
    if (!replica_is_leader(r)) {
        return false;
    }
    *out_index = r->index_commit > r->barrier ? r->index_commit : r->barrier;
    *out_round = is_sole_voter(r) ? 0 : rounds_ask(r->rounds, &r->round);
    return true;
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
    return r->engine != NULL && !r->is_stopped && state_is_durable(r) ? r->term : 0;
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
    return r->entry_count;
}

uint64_t replica_commit_index(const struct replica *r)
{
    return r->index_commit > r->index_applied ? r->index_commit : r->index_applied;
}

uint64_t replica_memory(const struct replica *r)
{
    return r->kept_bytes + r->entry_capacity * sizeof r->entries[0];
}

uint64_t replica_pending_bytes(const struct replica *r)
{
    return r->pending_bytes;
}

bool replica_has_room(const struct replica *r)
{
    if (is_sole_voter(r)) {
        return true; /* no follower lags; all groups of a turn go, or none (node.c) */
    }
    return r->entry_count - r->index_applied < WINDOW_ENTRIES && r->pending_bytes < WINDOW_BYTES &&
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
