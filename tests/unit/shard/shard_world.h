/*
 * What the tests of the shard share: one shard on a replica that does what the test says
 * (fake_replica.h).
 */
#ifndef SHARD_SHARD_WORLD_H
#define SHARD_SHARD_WORLD_H

#include "base/assert.h"
#include "base/mem.h"
#include "data/slot.h"
#include "fake_env.h"
#include "fake_replica.h"
#include "harness.h"
#include "shard/shard_parts.h"
#include "shard/snapshots.h"

#define GROUP 3u
#define NODE 7u
#define INCARNATION 2u
#define ARGS_MAX 16u

/* The snapshots below: one that is staged for the group, or none. */
struct snapshots {
    bool is_staged;
    struct replica_base base;
    uint32_t generation;
    struct omap rows; /* head rows */
    uint64_t offered; /* to which replica, last */
};

struct shard_world {
    struct fake_env env;
    struct store store;
    struct store_medium *medium; /* what survives a restart; NULL: nothing */
    unsigned misses;             /* per mille of look-ups that say NEED */
    struct stats stats;
    struct replica replica;
    struct snapshots snapshots;
    struct shard *shard;
    bool is_out_of_space;
    bool is_expiring; /* keys that are due end unasked */
    uint64_t sequence;
    uint64_t mark;
    unsigned answers; /* done() calls so far */
    unsigned leader_changes;
};

/* One command of a gateway. */
struct ask {
    struct shard_request request;
    struct shard_world *world;
    struct request_id id; /* as submitted; the same again is a retry */
    struct buf bytes;     /* gone with done() */
    struct buf reply;
    bool is_done;
    enum shard_verdict verdict;
    unsigned order; /* of done(): 1, 2, ... */
};

/* ---- the snapshots below --------------------------------------------------------------------- */

bool snapshots_is_staged(const struct snapshots *s,
                         uint16_t group,
                         uint64_t index,
                         uint64_t term,
                         uint32_t *out_generation)
{
    bool is_it = s->is_staged && group == GROUP && s->base.index == index && s->base.term == term;
    if (is_it) {
        *out_generation = s->generation;
    }
    return is_it;
}

const struct omap *snapshots_take(struct snapshots *s, uint16_t group, uint32_t generation)
{
    CHECK_EQ(group, GROUP);
    bool is_it = s->is_staged && s->generation == generation;
    s->is_staged = false;
    return is_it ? &s->rows : NULL;
}

void snapshots_offer(struct snapshots *s, uint16_t group, uint64_t replica_id)
{
    CHECK_EQ(group, GROUP);
    s->offered = replica_id;
}

/* ---- what happens to it ---------------------------------------------------------------------- */

/* Everything proposed is committed and durable; nothing of it is applied yet. */
static inline void world_commit(struct shard_world *w)
{
    w->replica.index_commit = w->replica.index_last;
}

/* Applies what is proposed, up to index, or as far as rows are at hand. */
static inline void world_apply(struct shard_world *w, uint64_t index)
{
    struct replica *r = &w->replica;
    if (r->index_commit < index) {
        r->index_commit = index;
    }
    r->apply_to = index;
    world_go_on(r);
    CHECK_EQ(r->apply_status, STATUS_OK);
}

static inline void world_apply_all(struct shard_world *w)
{
    world_apply(w, w->replica.index_last);
}

/* A quorum answers the round that reads so far wait for. */
static inline void world_confirm(struct shard_world *w)
{
    w->replica.confirmed = w->replica.round++;
    shard_replica_events()->advanced(w->shard);
}

static inline void world_lose(struct shard_world *w)
{
    w->replica.is_leader = false;
    w->replica.confirmed = 0;
    shard_replica_events()->leadership(w->shard, false);
}

static inline void world_win(struct shard_world *w)
{
    w->replica.is_leader = true;
    shard_replica_events()->leadership(w->shard, true);
}

/* Another leader replaced what was not committed. */
static inline void world_truncate(struct shard_world *w, uint64_t index)
{
    struct replica *r = &w->replica;
    ensure(index > r->index_commit);
    while (r->index_last >= index) {
        r->pending_bytes -= r->entries[r->index_last].size;
        buf_deinit(&r->entries[r->index_last--]);
    }
}

/* The end of a loop turn. */
static inline void world_turn(struct shard_world *w)
{
    shard_flush(w->shard);
    store_flush(&w->store);
    fake_env_run_all(&w->env);
}

/* Requests wait, or an entry. */
static inline bool world_is_busy(const struct shard_world *w)
{
    const struct shard *s = w->shard;
    return !list_is_empty(&s->gathered) || !list_is_empty(&s->proposed) ||
           !list_is_empty(&s->reads) || w->replica.is_held;
}

/* Turns until nothing waits. */
static inline void world_settle(struct shard_world *w)
{
    for (unsigned turns = 0; world_is_busy(w); turns++) {
        CHECK(turns < 200);
        world_turn(w);
        world_apply_all(w);
        world_confirm(w);
    }
    world_turn(w);
}

static inline void on_world_leader_changed(void *owner, uint32_t group)
{
    struct shard_world *w = owner;
    CHECK_EQ(group, GROUP);
    w->leader_changes++;
}

static inline bool on_world_out_of_space(void *owner, uint32_t group)
{
    struct shard_world *w = owner;
    CHECK_EQ(group, GROUP);
    return w->is_out_of_space;
}

static inline void on_world_fold_starts(void *owner, bool is_sync)
{
    shard_fold_starts(((struct shard_world *)owner)->shard, is_sync);
}

static inline void on_world_folded(void *owner)
{
    shard_folded(((struct shard_world *)owner)->shard);
}

static inline void on_world_synced(void *owner)
{
    shard_synced(((struct shard_world *)owner)->shard);
}

/* A store on what is left of the medium, and a shard that has not looked at it yet. */
static inline void world_open(struct shard_world *w)
{
    struct store_options store_options = {
        .fold_rows = 3,
        .fold_starts = on_world_fold_starts,
        .folded = on_world_folded,
        .synced = on_world_synced,
        .owner = w,
        .damage_hint = "run: dougong rebuild --data DIR",
    };
    struct store_engine *engine = store_engine_mem_create(w->medium);
    if (w->misses > 0) {
        store_engine_mem_miss(engine, 5, w->misses);
    }
    store_init(&w->store, &w->env.base, &store_options, engine);
    struct shard_options options = {
        .group = GROUP,
        .slot_end = SLOT_COUNT,
        .leader_changed = on_world_leader_changed,
        .is_out_of_space = on_world_out_of_space,
        .owner = w,
        .snapshots = &w->snapshots,
        .is_expiring = &w->is_expiring,
    };
    w->shard = shard_create(&w->env.base, &w->store, &w->stats, &options);
    w->replica.shard = w->shard;
    shard_attach(w->shard, &w->replica);
}

/* misses: per mille of look-ups that say NEED. */
static inline void world_start_missing(struct shard_world *w,
                                       struct store_medium *medium,
                                       unsigned misses)
{
    *w = (struct shard_world){.medium = medium, .misses = misses};
    fake_env_init(&w->env);
    omap_init(&w->snapshots.rows);
    world_open(w);
    struct replica_base base;
    struct error error;
    CHECK_EQ(shard_replica_events()->restore(w->shard, 0, &base, &error), STATUS_OK);
    store_ready(&w->store);
    w->replica.is_leader = true;
    w->replica.round = 1;
}

static inline void world_start(struct shard_world *w)
{
    world_start_missing(w, NULL, 0);
}

static inline void world_stop(struct shard_world *w)
{
    shard_stop(w->shard);
    shard_destroy(w->shard);
    for (uint64_t i = 1; i <= w->replica.index_last; i++) {
        buf_deinit(&w->replica.entries[i]);
    }
    omap_deinit(&w->snapshots.rows);
    store_deinit(&w->store);
    fake_env_deinit(&w->env);
}

/* ---- commands -------------------------------------------------------------------------------- */

/* What it borrowed is gone at once, so that a later look at it is found. */
static inline void on_done(struct shard_request *request, enum shard_verdict verdict)
{
    struct ask *a = container_of(request, struct ask, request);
    CHECK(!a->is_done);
    a->is_done = true;
    a->verdict = verdict;
    a->order = ++a->world->answers;
    buf_deinit(&a->bytes);
    memset(request, 0xa5, sizeof *request);
}

static inline void submit_in_chain(struct ask *a, uint64_t chain)
{
    a->request = (struct shard_request){
        .bytes = buf_bytes(&a->bytes),
        .reply = &a->reply,
        .done = on_done,
        .chain = chain,
    };
    shard_submit(a->world->shard, &a->request);
}

static inline void submit(struct ask *a)
{
    submit_in_chain(a, 0);
}

/* Encodes and submits; id.sequence 0: the next one, if it writes. */
static inline void ask_args(struct shard_world *w,
                            struct ask *a,
                            const struct bytes *args,
                            size_t count,
                            struct request_id id,
                            uint8_t database)
{
    *a = (struct ask){.world = w, .id = id};
    buf_init(&a->bytes, SIZE_MAX / 2);
    buf_init(&a->reply, SIZE_MAX / 2);
    const struct command *row = command_resolve(args, count, &a->reply);
    CHECK(row != NULL);
    if ((row->flags & COMMAND_WRITE) != 0 && id.sequence == 0) {
        a->id = (struct request_id){NODE, INCARNATION, ++w->sequence};
    }
    struct entry_command c = {
        .id = (uint16_t)row->id,
        .semantics = row->semantics,
        .resp = 2,
        .database = database,
        .request = a->id,
        .mark = w->mark,
        .arg_count = (uint32_t)count - 1,
    };
    entry_append(&a->bytes, &c, args + 1);
    submit(a);
}

/* The words of text as arguments. */
static inline size_t words_of(const char *text, struct bytes out_args[ARGS_MAX])
{
    size_t count = 0;
    while (*text != '\0') {
        CHECK(count < ARGS_MAX);
        size_t size = strcspn(text, " ");
        out_args[count++] = bytes_of(text, size);
        text += text[size] == ' ' ? size + 1 : size;
    }
    return count;
}

static inline void ask(struct shard_world *w, struct ask *a, const char *text)
{
    struct bytes args[ARGS_MAX];
    size_t count = words_of(text, args);
    ask_args(w, a, args, count, (struct request_id){0}, 0);
}

/* The same request once more, or another text under its id, as a retry. */
static inline void ask_again(struct shard_world *w,
                             struct ask *a,
                             const char *text,
                             struct request_id id)
{
    struct bytes args[ARGS_MAX];
    size_t count = words_of(text, args);
    ask_args(w, a, args, count, id, 0);
}

/* Checks the reply and gives its memory back. NULL: there is no answer yet. */
static inline void check_reply(struct ask *a, const char *reply)
{
    CHECK_EQ(a->is_done, reply != NULL);
    if (reply != NULL) {
        CHECK_EQ(a->verdict, SHARD_DONE);
        CHECK_BYTES(buf_bytes(&a->reply), bytes_of_text(reply));
        buf_deinit(&a->reply);
    }
}

/* Answered without a reply. */
static inline void check_verdict(struct ask *a, enum shard_verdict verdict)
{
    CHECK(a->is_done);
    CHECK_EQ(a->verdict, verdict);
    CHECK_EQ(a->reply.size, 0u);
    buf_deinit(&a->reply);
}

/* Never answered: its memory goes. */
static inline void forget(struct ask *a)
{
    CHECK(!a->is_done);
    buf_deinit(&a->bytes);
    buf_deinit(&a->reply);
}

/* A command run to its end, alone. */
static inline void check_command(struct shard_world *w, const char *text, const char *reply)
{
    struct ask a;
    ask(w, &a, text);
    world_settle(w);
    check_reply(&a, reply);
}

#endif
