/*
 * What the tests of the replica share: up to three nodes in one process, each with a real log on a
 * fake disk, real rounds and one real replica; the connections between them are the test's. Nothing
 * is synced and nothing arrives before the test says so.
 */
#ifndef UNIT_CONSENSUS_REPLICA_WORLD_H
#define UNIT_CONSENSUS_REPLICA_WORLD_H

#include <stdio.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "consensus/replica_parts.h"
#include "fake_env.h"
#include "harness.h"

#define NODES_MAX 3u
#define GROUP 5u
#define DIR "log"
#define SEGMENT_BYTES (256u * KIB)
#define ELECTION_MS 100u
#define HEARTBEAT_MS 20u
#define PACKETS_MAX 4096u

struct world;

/* One node's connections. */
struct peers {
    struct world *world;
    uint32_t node;
    bool is_full; /* takes nothing */
};

struct packet {
    uint32_t from;
    uint32_t to;
    enum peer_class class;
    struct buf bytes;
};

/* What a store holds of the group: the text of what was applied, and how far that goes. */
struct state {
    uint32_t generation;
    struct replica_base base;
    struct buf text;
};

/* Its group's state machine: the text of what was applied, "index:payload;". */
struct node {
    struct world *world;
    uint32_t number; /* 0: not there */
    bool is_up;
    struct fake_env env;
    struct log log;
    struct peers peers;
    struct rounds *rounds;
    struct replica *replica;
    struct buf applied;
    enum status apply_status; /* what apply answers from now on */
    unsigned need_per_mille;  /* so often it lacks rows first */
    bool is_starved;          /* until replica_resume */
    unsigned need_calls;
    uint32_t life;
    /* The store: closed, not taken; taken, gone after a power cut; there for good. */
    struct state folding;
    struct state folded;
    struct state synced;
    struct state staged;        /* of another replica, complete and durable */
    uint32_t generation_newest; /* of all that were staged here */
    unsigned restore_calls;
    uint64_t wanted; /* the replica that wants an install; 0: none */
    unsigned wanted_calls;
    uint64_t release_segment; /* may go when this batch is durable; 0: none */
    uint64_t release_batch;
    uint64_t trailing_bytes;
    bool is_leader; /* as told */
    unsigned leadership_calls;
    unsigned leader_calls;
    unsigned advanced_calls;
};

struct world {
    struct node nodes[NODES_MAX + 1]; /* by number */
    uint32_t count;
    uint64_t segment_bytes;
    bool is_cut[NODES_MAX + 1]; /* what this node sends, and what is sent to it, is lost */
    struct packet packets[PACKETS_MAX];
    size_t packet_count;
    /* Sees every message as it leaves. May be NULL. */
    void (*on_sent)(struct node *from, uint32_t to, struct bytes message);
};

/* ---- connections ----------------------------------------------------------------------------- */

bool peers_send(struct peers *p,
                uint32_t number,
                enum peer_class class,
                const struct bytes *parts,
                size_t part_count)
{
    struct world *w = p->world;
    if (p->is_full) {
        return false;
    }
    ensure(number >= 1 && number <= w->count && number != p->node);
    ensure(w->packet_count < PACKETS_MAX);
    struct packet *packet = &w->packets[w->packet_count];
    *packet = (struct packet){.from = p->node, .to = number, .class = class};
    buf_init(&packet->bytes, PEER_MESSAGE_BYTES_MAX);
    for (size_t i = 0; i < part_count; i++) {
        buf_append_bytes(&packet->bytes, parts[i]);
    }
    w->packet_count++;
    if (w->on_sent != NULL) {
        w->on_sent(&w->nodes[p->node], number, buf_bytes(&packet->bytes));
    }
    return true;
}

/* Takes a packet out; its bytes are the caller's. */
static inline struct packet packet_take(struct world *w, size_t i)
{
    ensure(i < w->packet_count);
    struct packet packet = w->packets[i];
    w->packet_count--;
    memmove(&w->packets[i], &w->packets[i + 1], (w->packet_count - i) * sizeof packet);
    return packet;
}

static inline void packets_drop_all(struct world *w)
{
    while (w->packet_count > 0) {
        buf_deinit(&w->packets[--w->packet_count].bytes);
    }
}

/* As the node does it. */
static inline void node_receive(struct node *n, uint32_t from, struct bytes bytes)
{
    if (bytes.data[0] != MESSAGE_RAFT) {
        CHECK_EQ(rounds_received(n->rounds, from, bytes), STATUS_OK);
        return;
    }
    struct message_route route;
    struct engine_message m;
    struct message_entries entries = {0};
    CHECK_EQ(message_decode(bytes, &route, &m, &entries), STATUS_OK);
    CHECK_EQ(route.group, GROUP);
    CHECK_EQ(replica_node(route.sender), from);
    replica_receive(n->replica, &route, &m);
    message_entries_deinit(&entries);
}

/* Brings packet i, unless an end of it is cut off or down. */
static inline void deliver(struct world *w, size_t i)
{
    struct packet packet = packet_take(w, i);
    struct node *to = &w->nodes[packet.to];
    if (to->is_up && !w->is_cut[packet.to] && !w->is_cut[packet.from]) {
        node_receive(to, packet.from, buf_bytes(&packet.bytes));
    }
    buf_deinit(&packet.bytes);
}

/* Brings all packets on their way to that node now. */
static inline void deliver_to(struct world *w, uint32_t number)
{
    size_t count = w->packet_count;
    for (size_t i = 0; i < count;) {
        if (w->packets[i].to == number) {
            deliver(w, i);
            count--;
        } else {
            i++;
        }
    }
}

/* ---- the state machine ----------------------------------------------------------------------- */

static inline enum status on_apply(void *owner, uint64_t index, struct bytes entry)
{
    struct node *n = owner;
    CHECK(!n->is_starved);
    if (n->replica->engine != NULL && prng_chance(&n->env.prng, n->need_per_mille)) {
        n->is_starved = true;
        n->need_calls++;
        return STATUS_NEED;
    }
    if (n->apply_status == STATUS_OK) {
        const struct kept_entry *e = replica_entry(n->replica, index);
        CHECK_EQ(e->kind, ENGINE_ENTRY_COMMAND);
        CHECK(n->replica->engine == NULL || index <= n->replica->index_durable); /* LOG-3 */
        CHECK(!replica_is_installing(n->replica));
        buf_printf(&n->applied, "%llu:", (unsigned long long)index);
        buf_append_bytes(&n->applied, entry);
        buf_append_text(&n->applied, ";");
    }
    return n->apply_status;
}

static inline void on_advanced(void *owner)
{
    struct node *n = owner;
    n->advanced_calls++;
}

static inline void on_leadership(void *owner, bool is_leader)
{
    struct node *n = owner;
    CHECK_EQ(replica_is_leader(n->replica), is_leader);
    CHECK_EQ(replica_confirmed(n->replica), 0u);
    n->is_leader = is_leader;
    n->leadership_calls++;
}

static inline void on_leader_changed(void *owner)
{
    struct node *n = owner;
    n->leader_calls++;
}

/* ---- its state, on disk and on its way ------------------------------------------------------- */

static inline void state_put(struct state *s, const struct node *n)
{
    s->generation = replica_generation(n->replica);
    replica_base(n->replica, &s->base);
    s->text.size = 0;
    buf_append_bytes(&s->text, buf_bytes(&n->applied));
}

static inline void state_copy(struct state *to, const struct state *from)
{
    to->generation = from->generation;
    to->base = from->base;
    to->text.size = 0;
    buf_append_bytes(&to->text, buf_bytes(&from->text));
}

static inline void state_clear(struct state *s)
{
    s->generation = 0;
    s->base = (struct replica_base){0};
    s->text.size = 0;
}

/* The store closes its overlay, takes it, and makes it durable. */
static inline void fold_begin(struct node *n)
{
    state_put(&n->folding, n);
    if (n->folding.base.index < ENGINE_SNAPSHOT_INDEX_MIN) {
        state_clear(&n->folding); /* no place to restart from */
        n->folding.generation = replica_generation(n->replica);
    }
}

static inline void fold_end(struct node *n)
{
    uint64_t index = n->folding.base.index;
    if (n->folding.generation == replica_generation(n->replica)) {
        state_copy(&n->folded, &n->folding);
    }
    replica_folded(n->replica, index);
}

static inline void fold_sync(struct node *n)
{
    state_copy(&n->synced, &n->folded);
    replica_synced(n->replica, n->folded.base.index);
}

static inline void fold_all(struct node *n)
{
    fold_begin(n);
    fold_end(n);
    fold_sync(n);
}

static inline enum status on_restore(void *owner,
                                     uint32_t generation,
                                     struct replica_base *out_base,
                                     struct error *error)
{
    struct node *n = owner;
    (void)error;
    n->restore_calls++;
    n->is_starved = false;
    if (n->staged.base.index > 0 && n->staged.generation == generation &&
        n->folded.generation != generation) {
        state_copy(&n->folded, &n->staged);
        state_copy(&n->synced, &n->staged);
        state_copy(&n->folding, &n->staged);
    }
    n->applied.size = 0;
    *out_base = (struct replica_base){0};
    if (n->folded.generation == generation) {
        *out_base = n->folded.base;
        buf_append_bytes(&n->applied, buf_bytes(&n->folded.text));
    }
    return STATUS_OK;
}

static inline bool on_is_staged(void *owner,
                                uint64_t index,
                                uint64_t term,
                                uint32_t *out_generation)
{
    const struct node *n = owner;
    *out_generation = n->staged.generation;
    return n->staged.base.index == index && n->staged.base.term == term;
}

static inline void on_wants_install(void *owner, uint64_t replica_id)
{
    struct node *n = owner;
    n->wanted = replica_id;
    n->wanted_calls++;
}

/* What the leader's store holds has been brought to `to`, and is durable there. */
static inline void stage(struct node *to, const struct node *from)
{
    ensure(from->folded.base.index > 0);
    ensure(!replica_is_installing(to->replica));
    state_copy(&to->staged, &from->folded);
    to->staged.generation = ++to->generation_newest;
}

static inline void node_feed(struct node *n)
{
    n->is_starved = false;
    replica_resume(n->replica);
}

static const struct replica_events world_events = {
    .apply = on_apply,
    .restore = on_restore,
    .is_staged = on_is_staged,
    .wants_install = on_wants_install,
    .advanced = on_advanced,
    .leadership = on_leadership,
    .leader_changed = on_leader_changed,
};

/* ---- a node's life --------------------------------------------------------------------------- */

static inline enum status on_replay(void *ctx,
                                    const struct log_record *record,
                                    struct bytes payload,
                                    struct error *error)
{
    struct node *n = ctx;
    CHECK_EQ(record->group, GROUP);
    return replica_replay(n->replica, record, payload, error);
}

static inline void on_durable(void *owner, uint64_t batch)
{
    struct node *n = owner;
    replica_durable(n->replica, batch);
    if (n->release_segment != 0 && batch >= n->release_batch) {
        log_release(&n->log, n->release_segment);
        n->release_segment = 0;
    }
}

static inline void on_segment_starts(void *owner)
{
    struct node *n = owner;
    replica_log_group(n->replica);
}

static const struct log_events world_log_events = {
    .durable = on_durable,
    .segment_starts = on_segment_starts,
};

/* Frees what is needed no more of the segments up to this one. False: it is, for now. */
static inline bool node_free_log(struct node *n, uint64_t segment)
{
    ensure(segment < log_segment_newest(&n->log));
    if (n->release_segment != 0) {
        return false;
    }
    if (log_segment_top(&n->log, segment, GROUP) > replica_synced_index(n->replica)) {
        if (!replica_relocate(n->replica, log_segment_batch_last(&n->log, segment))) {
            return false;
        }
        n->release_batch = n->log.batch_next;
        n->release_segment = segment;
        return true;
    }
    log_release(&n->log, segment);
    return true;
}

/* Opens the node on the files in its env: everything but replica_start. */
static inline void node_open(struct node *n)
{
    struct error error;
    struct replica_options options = {
        .group = GROUP,
        .id = replica_id_of(n->number, n->life),
        .election_timeout_ms = ELECTION_MS,
        .heartbeat_ms = HEARTBEAT_MS,
        .trailing_bytes = n->trailing_bytes,
    };
    struct log_options log_options = {
        .dir = DIR,
        .segment_bytes = n->world->segment_bytes,
        .group_count = GROUP + 1,
    };
    n->peers = (struct peers){.world = n->world, .node = n->number};
    n->rounds = rounds_create(&n->env.base, &n->peers);
    n->replica =
        replica_create(&n->env.base, &n->log, &n->peers, n->rounds, &options, &world_events, n);
    buf_init(&n->applied, SIZE_MAX / 2);
    n->is_up = true;
    n->is_leader = false;
    n->leadership_calls = 0;
    n->leader_calls = 0;
    n->restore_calls = 0;
    n->is_starved = false;
    n->wanted = 0;
    n->release_segment = 0;
    enum status s =
        log_open(&n->log, &n->env.base, &log_options, on_replay, n, &world_log_events, n, &error);
    if (s != STATUS_OK) {
        (void)printf("node %u: %s\n", (unsigned)n->number, error.text);
    }
    CHECK_EQ(s, STATUS_OK);
}

static inline struct engine_config founders_of(uint32_t count)
{
    struct engine_config config = {.index = 1, .count = count};
    for (uint32_t i = 0; i < count; i++) {
        config.members[i] = (struct engine_member){.id = i + 1, .is_voter = true};
    }
    return config;
}

static inline void node_start(struct node *n)
{
    struct error error;
    struct engine_config founders = founders_of(n->world->count);
    enum status s = replica_start(n->replica, n->life == 0 ? &founders : NULL, &error);
    if (s != STATUS_OK) {
        (void)printf("node %u: %s\n", (unsigned)n->number, error.text);
    }
    CHECK_EQ(s, STATUS_OK);
}

/* Memory goes; the files stay as they are. */
static inline void node_kill(struct node *n)
{
    replica_stop(n->replica);
    env_timer_stop(&n->env.base, &n->log.mark_timer);
    env_timer_stop(&n->env.base, &n->log.full_timer);
    env_file_close(&n->env.base, n->log.file);
    env_file_close(&n->env.base, n->log.prepared);
    replica_destroy(n->replica);
    rounds_destroy(n->rounds);
    log_deinit(&n->log);
    buf_deinit(&n->applied);
    n->is_up = false;
}

static inline void node_states_init(struct node *n)
{
    buf_init(&n->folding.text, SIZE_MAX / 2);
    buf_init(&n->folded.text, SIZE_MAX / 2);
    buf_init(&n->synced.text, SIZE_MAX / 2);
    buf_init(&n->staged.text, SIZE_MAX / 2);
}

static inline void node_states_deinit(struct node *n)
{
    buf_deinit(&n->folding.text);
    buf_deinit(&n->folded.text);
    buf_deinit(&n->synced.text);
    buf_deinit(&n->staged.text);
}

/* The store loses what it took after its last sync. While the node is down. */
static inline void node_lose_folds(struct node *n)
{
    state_copy(&n->folded, &n->synced);
}

/* What no worker has synced is gone. Before node_open. */
static inline void node_revive(struct node *n)
{
    struct fake_env old = n->env;
    fake_env_init(&n->env);
    fake_env_copy_files(&n->env, &old);
    n->env.now_us = old.now_us;
    n->env.prng = old.prng;
    old.base.is_halted = false;
    fake_env_deinit(&old);
}

/* It comes back with nothing, as another replica. */
static inline void node_replace(struct node *n)
{
    uint64_t now_us = n->env.now_us;
    struct prng prng = n->env.prng;
    if (n->is_up) {
        node_kill(n);
    }
    n->env.base.is_halted = false;
    fake_env_deinit(&n->env);
    fake_env_init(&n->env);
    n->env.now_us = now_us;
    n->env.prng = prng;
    state_clear(&n->folding);
    state_clear(&n->folded);
    state_clear(&n->synced);
    state_clear(&n->staged);
    n->generation_newest = 0;
    n->life++;
    node_open(n);
    node_start(n);
}

static inline void node_restart(struct node *n)
{
    node_kill(n);
    node_revive(n);
    node_open(n);
    node_start(n);
}

/* The end of its loop turn. */
static inline void node_turn(struct node *n)
{
    rounds_flush(n->rounds);
    log_flush(&n->log);
}

/* Turns and jobs until everything it has is durable. */
static inline void node_sync(struct node *n)
{
    do {
        node_turn(n);
    } while (fake_env_run(&n->env));
}

/* ---- the world ------------------------------------------------------------------------------- */

/* Nodes are opened and started; nothing is synced yet. On the heap: it is large. */
static inline struct world *world_create(uint32_t count, uint64_t segment_bytes)
{
    struct world *w = mem_alloc_zero(sizeof *w);
    w->count = count;
    w->segment_bytes = segment_bytes;
    for (uint32_t i = 1; i <= count; i++) {
        struct node *n = &w->nodes[i];
        n->world = w;
        n->number = i;
        fake_env_init(&n->env);
        node_states_init(n);
        prng_init(&n->env.prng, 1000 + i);
        node_open(n);
        node_start(n);
    }
    return w;
}

static inline void world_destroy(struct world *w)
{
    w->on_sent = NULL;
    for (uint32_t i = 1; i <= w->count; i++) {
        if (w->nodes[i].is_up) {
            node_kill(&w->nodes[i]);
        }
        fake_env_deinit(&w->nodes[i].env);
        node_states_deinit(&w->nodes[i]);
    }
    packets_drop_all(w);
    mem_free(w);
}

/* Syncs and delivers until nothing moves. */
static inline void world_settle(struct world *w)
{
    do {
        while (w->packet_count > 0) {
            deliver(w, 0);
        }
        for (uint32_t i = 1; i <= w->count; i++) {
            if (w->nodes[i].is_up) {
                node_sync(&w->nodes[i]);
            }
        }
    } while (w->packet_count > 0);
}

static inline void world_advance(struct world *w, uint64_t ms)
{
    for (uint32_t i = 1; i <= w->count; i++) {
        if (w->nodes[i].is_up) {
            fake_env_advance(&w->nodes[i].env, ms);
        }
    }
}

/* A leader of those that are not cut off, and what it can do at once is done. */
static inline struct node *world_elect(struct world *w)
{
    for (unsigned step = 0; step < 1000; step++) {
        world_settle(w);
        for (uint32_t i = 1; i <= w->count; i++) {
            if (w->nodes[i].is_up && !w->is_cut[i] && replica_is_leader(w->nodes[i].replica)) {
                return &w->nodes[i];
            }
        }
        world_advance(w, HEARTBEAT_MS / 2);
    }
    unreachable("nobody is elected");
}

/* Some time passes, and heartbeats arrive: what is committed is known everywhere. */
static inline void world_calm(struct world *w)
{
    for (unsigned step = 0; step < 10; step++) {
        world_advance(w, HEARTBEAT_MS);
        world_settle(w);
    }
}

static inline uint64_t propose(struct node *n, const char *text)
{
    return replica_propose(n->replica, bytes_of_text(text));
}

static inline void check_applied(const struct node *n, const char *text)
{
    CHECK_BYTES(buf_bytes(&n->applied), bytes_of_text(text));
}

/* Three nodes with a leader, everything known everywhere. */
static inline struct world *world_with_leader(struct node **out_leader)
{
    struct world *w = world_create(3, SEGMENT_BYTES);
    *out_leader = world_elect(w);
    world_calm(w);
    CHECK_EQ((*out_leader)->leadership_calls, 1u);
    return w;
}

static inline struct node *other_of(struct world *w, const struct node *a, const struct node *b)
{
    for (uint32_t i = 1; i <= w->count; i++) {
        if (&w->nodes[i] != a && &w->nodes[i] != b) {
            return &w->nodes[i];
        }
    }
    unreachable("two of three nodes");
}

static inline void check_applied_on(struct world *w, uint64_t index, const char *payload)
{
    char text[64];
    (void)snprintf(text, sizeof text, "%u:%s;", (unsigned)index, payload);
    for (uint32_t i = 1; i <= w->count; i++) {
        check_applied(&w->nodes[i], text);
    }
}

/* Packets of that type between two nodes (0: any); pre-votes are not counted as votes. */
static inline size_t count_sent(const struct world *w,
                                uint32_t from,
                                uint32_t to,
                                enum engine_message_type type)
{
    size_t found = 0;
    for (size_t i = 0; i < w->packet_count; i++) {
        const struct packet *p = &w->packets[i];
        if ((from != 0 && p->from != from) || (to != 0 && p->to != to) ||
            p->bytes.data[0] != MESSAGE_RAFT) {
            continue;
        }
        struct message_route route;
        struct engine_message m;
        struct message_entries entries = {0};
        CHECK_EQ(message_decode(buf_bytes(&p->bytes), &route, &m, &entries), STATUS_OK);
        message_entries_deinit(&entries);
        bool is_pre_vote = (m.type == ENGINE_VOTE && m.vote.pre_vote) ||
                           (m.type == ENGINE_VOTE_RESULT && m.vote_result.pre_vote);
        found += m.type == type && !is_pre_vote ? 1 : 0;
    }
    return found;
}

#endif
