/* The engine's steps: what it asks for, and what becomes visible after each. */
#include <inttypes.h>

#include "base/assert.h"
#include "base/mem.h"
#include "consensus/replica_parts.h"

/* One append message takes entries up to this size, or a single larger one. */
#define APPEND_BYTES_MAX (1u * MIB)
/* A leader whose own log stands still for so many election time-outs, at least, falls silent. */
#define STUCK_ELECTIONS 3u
#define STUCK_MS_MIN 3000u

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
    ensure(index > 0 && index <= r->entry_last + 1);
    if (index <= r->index_applied) {
        /* A restart forgets what is committed, the log does not: a peer has lost what it had. */
        env_halt(r->env,
                 "group %u: entry %" PRIu64 " is applied here, and a leader replaces it",
                 (unsigned)r->options.group,
                 index);
        return;
    }
    if (r->index_durable == r->entry_last) {
        r->log_since_ms = replica_now_ms(r);
    }
    if (index <= r->entry_last) {
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
bool replica_send(struct replica *r, const struct engine_message *m)
{
    struct message_route route = {
        .group = r->options.group,
        .sender = r->options.id,
        .receiver = m->peer,
    };
    enum peer_class class = class_of(m->type);
    uint32_t node = replica_node(m->peer);
    if (node == replica_node(r->options.id)) {
        reached("consensus: nothing is sent to an earlier life of this node");
        return false;
    }
    buf_clear(&r->scratch, SCRATCH_BYTES_KEPT);
    message_encode(&route, m, &r->scratch);
    if (replica_state_is_durable(r)) {
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

void replica_held_destroy(struct held_message *h)
{
    buf_deinit(&h->bytes);
    mem_free(h);
}

void replica_send_held(struct replica *r)
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
        replica_held_destroy(h);
    }
}

/* The entries of one append, cut into messages of bounded size: in order, that is the same. */
static void send_append(struct replica *r, const struct engine_message *m)
{
    struct engine_message part = *m;
    uint64_t last = m->append.prev_index + m->append.count;
    if (m->append.count > 0 && m->append.prev_index + 1 < r->payload_first) {
        reached("consensus: entry to be sent is without its payload");
        r->events->wants_install(r->owner, m->peer);
        return; /* the follower denies to have it, and the engine tries again */
    }
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
        if (!replica_send(r, &part)) {
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
    } else if (m->type == ENGINE_INSTALL) {
        /* What it names is in the store; it is sent when the rows have arrived (LOG-15). */
        r->events->wants_install(r->owner, m->peer);
    } else {
        (void)replica_send(r, m);
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
    replica_install_begin(owner, last_index, last_term, config);
}

const struct engine_events replica_engine_events = {
    .hard_state = on_hard_state,
    .append = on_append,
    .send = on_send,
    .commit = on_commit,
    .role = on_role,
    .install = on_install,
};

bool replica_is_sole_voter(const struct replica *r)
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
    uint64_t now = replica_now_ms(r);
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
    return r->role == ENGINE_LEADER && r->index_durable < r->entry_last &&
           replica_now_ms(r) - r->log_since_ms >= limit_ms && !replica_is_sole_voter(r);
}

/*
 * A vote is worth nothing before it is durable. Where a sync takes longer than an election time-out
 * a new term would begin before the votes of the last one can leave, for ever.
 */
static bool is_election_slow(struct replica *r)
{
    return r->role != ENGINE_LEADER &&
           (!replica_state_is_durable(r) || replica_now_ms(r) < r->quiet_until_ms);
}

void replica_timer_fired(struct env_timer *timer)
{
    struct replica *r = container_of(timer, struct replica, timer);
    r->timer_due_ms = 0;
    bool is_silent = is_stuck(r);
    if (is_silent) {
        reached("consensus: leader with a hung disk falls silent");
    }
    if (is_silent || is_election_slow(r)) {
        r->timer_due_ms = replica_now_ms(r) + r->options.heartbeat_ms;
        env_timer_start(r->env, &r->timer, r->options.heartbeat_ms);
        return;
    }
    enum status s = STATUS_OK;
    if (replica_now_ms(r) >= engine_due_ms(r->engine)) {
        s = engine_tick(r->engine, replica_now_ms(r));
    }
    replica_settle(r, s);
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

/* Those that are committed and applied, as far as the engine knows the first. */
static bool has_configs(const struct replica *r)
{
    return !r->is_installing && r->index_config < r->index_applied &&
           r->index_config < r->index_commit;
}

/* Tells the engine about committed configurations; each may bring about more. */
static enum status report_configs(struct replica *r)
{
    enum status s = STATUS_OK;
    while (s == STATUS_OK && has_configs(r)) {
        uint64_t index = ++r->index_config;
        const struct kept_entry *e = replica_entry(r, index);
        if (e->kind == ENGINE_ENTRY_CHANGE) {
            struct bytes payload = bytes_of(e->payload, e->size);
            s = engine_config_applied(r->engine, replica_now_ms(r), index, payload);
        }
    }
    return s;
}

/* Committed, and durable here (LOG-3). */
static uint64_t index_ready(const struct replica *r)
{
    return r->index_commit < r->index_durable ? r->index_commit : r->index_durable;
}

static bool can_apply(const struct replica *r)
{
    return !r->is_installing && !r->is_waiting && index_ready(r) > r->index_applied;
}

static void halt(struct replica *r, enum status status)
{
    env_halt(r->env,
             "group %u: behind entry %" PRIu64 " of term %" PRIu64 ": %s",
             (unsigned)r->options.group,
             r->index_applied,
             r->term,
             status_text(status));
}

void replica_settle(struct replica *r, enum status status)
{
    if (r->is_settling) {
        ensure(status == STATUS_OK);
        return; /* the loop below sees what this step brought */
    }
    r->is_settling = true;
    uint64_t applied = r->index_applied;
    while (status == STATUS_OK && !r->env->is_halted) {
        tell_leadership(r);
        if (can_apply(r)) {
            status = replica_apply_up_to(r, index_ready(r));
            status = status == STATUS_NEED ? STATUS_OK : status;
        } else if (has_configs(r)) {
            status = report_configs(r);
        } else if (replica_can_compact(r)) {
            status = replica_compact(r);
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
    if (r->index_applied > applied) {
        r->events->advanced(r->owner);
    }
}

void replica_resume(struct replica *r)
{
    if (r->is_waiting) { /* not, if an install has ended the wait */
        r->is_waiting = false;
        replica_settle(r, STATUS_OK);
    }
}
