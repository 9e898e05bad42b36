/*
 * Random writes, reads, transactions and changes of leadership: no entry ever meets a locked key,
 * chains keep their order, nothing waits for ever, and a replica that applies the same log comes to
 * the same state.
 */
#include <stdio.h>

#include "base/prng.h"
#include "shard_databases.h"
#include "txn_world.h"

#define SLOTS 48u
#define CHAINS 4u
#define STEPS 400u
#define READS_FROM 9u

struct slot {
    struct ask ask;
    bool is_used;
    bool is_read;
    bool is_lost; /* leadership went while it was open */
    uint64_t chain;
    unsigned number; /* of all, as submitted */
};

struct bout {
    struct shard_world w;
    struct prng prng;
    struct slot slots[SLOTS];
    unsigned submitted;
    unsigned no_space[CHAINS + 1][2]; /* the last one refused so, and the last one behind it then */
    unsigned answered[CHAINS + 1][2]; /* number of the last one, writes and reads */
    uint64_t sequence;                /* of transactions */
};

/* In the order of done(). */
static struct slot *first_answered(struct bout *b)
{
    struct slot *first = NULL;
    for (unsigned i = 0; i < SLOTS; i++) {
        struct slot *s = &b->slots[i];
        bool is_done = s->is_used && s->ask.is_done;
        if (is_done && (first == NULL || s->ask.order < first->ask.order)) {
            first = s;
        }
    }
    return first;
}

/* ORD-7: answers of a chain come in its order, and none behind one that was refused. */
static void check_answered(struct bout *b, const struct slot *s)
{
    enum shard_verdict verdict = s->ask.verdict;
    unsigned *no_space = b->no_space[s->chain];
    CHECK(verdict == SHARD_DONE || verdict == SHARD_NO_SPACE || verdict == SHARD_FULL ||
          s->is_lost);
    if (s->chain != 0 && verdict == SHARD_NO_SPACE) {
        no_space[0] = s->number;
        no_space[1] = b->submitted;
    }
    if (s->chain != 0 && verdict == SHARD_DONE) {
        unsigned *last = &b->answered[s->chain][s->is_read ? 1 : 0];
        CHECK(s->number > *last);
        CHECK(s->is_read || s->number < no_space[0] || s->number > no_space[1]);
        *last = s->number;
    }
}

static void take_answers(struct bout *b)
{
    struct slot *first = NULL;
    while ((first = first_answered(b)) != NULL) {
        check_answered(b, first);
        first->is_used = false;
        buf_deinit(&first->ask.reply);
    }
}

static struct slot *free_slot(struct bout *b)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        if (!b->slots[i].is_used) {
            b->slots[i] = (struct slot){.is_used = true, .number = ++b->submitted};
            return &b->slots[i];
        }
    }
    return NULL;
}

static void submit_command(struct bout *b, struct slot *s)
{
    static const char *const forms[] = {
        "APPEND k%u x",
        "INCR n%u",
        "SET k%u y PX 40",
        "DEL k%u",
        "COPY k%u k1 REPLACE",
        "MOVE k%u 1",
        "RENAME k%u k2",
        "GETEX k%u PX 30",
        "FLUSHDB",
        "GET k%u", /* READS_FROM */
        "MGET k%u n1",
        "GET n%u",
        "DBSIZE",
        "SCAN 0",
    };
    char text[64];
    struct bytes args[ARGS_MAX];
    unsigned form = (unsigned)prng_below(&b->prng, sizeof forms / sizeof forms[0]);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    (void)snprintf(text, sizeof text, forms[form], (unsigned)prng_below(&b->prng, 3));
#pragma GCC diagnostic pop
    s->chain = prng_below(&b->prng, CHAINS + 1);
    s->is_read = form >= READS_FROM;
    size_t count = words_of(text, args);
    ask_in_chain(&b->w, &s->ask, args, count, s->chain);
}

static void submit_transaction(struct bout *b, struct slot *s)
{
    char text[96];
    unsigned key = (unsigned)prng_below(&b->prng, 3);
    unsigned other = (unsigned)prng_below(&b->prng, 3);
    switch (prng_below(&b->prng, 4)) {
    case 0:
        (void)snprintf(text, sizeof text, "SET k%u t PX 25;PERSIST k%u;GET n1", key, other);
        break;
    case 1:
        (void)snprintf(text, sizeof text, "MOVE k%u 1;COPY k%u k0 DB 1 REPLACE", key, other);
        break;
    default:
        (void)snprintf(text, sizeof text, "INCR n%u;GET k%u;APPEND k%u t", key, other, key);
    }
    if (prng_chance(&b->prng, 300)) {
        struct work k;
        work_init(&k);
        k.work.flags = prng_chance(&b->prng, 500) ? (unsigned)TXN_STRICT : 0u;
        work_add_all(&k, text);
        ask_work(&b->w, &s->ask, COMMAND_ID_EXEC, &k, 0);
        work_deinit(&k);
        return;
    }
    bool waits = prng_chance(&b->prng, 400);
    ask_prepare(&b->w, &s->ask, ++b->sequence, waits ? TXN_WAITS : 0, text);
}

struct chosen {
    struct prng *prng;
    uint64_t sequence;
};

static void choose(void *ctx,
                   const struct txn_id *id,
                   const struct txn_record *record,
                   uint64_t since_us)
{
    struct chosen *c = ctx;
    (void)record;
    (void)since_us;
    if (c->sequence == 0 || prng_chance(c->prng, 500)) {
        c->sequence = id->sequence;
    }
}

/* False: nothing is prepared. Each decision is taken once: the same way if it comes again. */
static bool decide(struct bout *b)
{
    struct chosen c = {.prng = &b->prng};
    shard_each_prepared(b->w.shard, choose, &c);
    struct slot *s = c.sequence > 0 ? free_slot(b) : NULL;
    if (s != NULL) {
        bool is_commit = c.sequence % 3 != 0;
        enum command_id number = is_commit ? COMMAND_ID_TXNCOMMIT : COMMAND_ID_TXNABORT;
        ask_order(&b->w, &s->ask, number, c.sequence, 0);
    }
    return c.sequence > 0;
}

static void change_leadership(struct bout *b)
{
    struct shard_world *w = &b->w;
    for (unsigned i = 0; i < SLOTS; i++) {
        b->slots[i].is_lost = b->slots[i].is_used;
    }
    if (w->replica.index_last > w->replica.index_commit && prng_chance(&b->prng, 500)) {
        world_truncate(w, w->replica.index_commit + 1);
    }
    world_lose(w);
    take_answers(b);
    w->replica.barrier = w->replica.index_last;
    world_win(w);
}

static void step(struct bout *b)
{
    struct shard_world *w = &b->w;
    struct slot *s = prng_chance(&b->prng, 600) ? free_slot(b) : NULL;
    if (s != NULL && prng_chance(&b->prng, 300)) {
        submit_transaction(b, s);
    } else if (s != NULL) {
        submit_command(b, s);
    }
    if (prng_chance(&b->prng, 250)) {
        (void)decide(b);
    }
    if (prng_chance(&b->prng, 400)) {
        world_turn(w);
    }
    if (prng_chance(&b->prng, 400)) {
        uint64_t open = w->replica.index_last - w->replica.index_applied;
        world_apply(w, w->replica.index_applied + prng_below(&b->prng, open + 1));
    }
    if (prng_chance(&b->prng, 300)) {
        world_confirm(w);
    }
    fake_env_advance(&w->env, prng_below(&b->prng, 20));
    take_answers(b);
    if (prng_chance(&b->prng, 15)) {
        change_leadership(b);
    }
    if (prng_chance(&b->prng, w->is_out_of_space ? 200 : 10)) {
        w->is_out_of_space = !w->is_out_of_space;
    }
}

static bool is_open(const struct bout *b)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        if (b->slots[i].is_used) {
            return true;
        }
    }
    return false;
}

/* Nothing waits for ever: all is answered once all outcomes are. */
static void finish(struct bout *b)
{
    bool is_busy = true;
    b->w.is_out_of_space = false;
    for (unsigned turns = 0; is_busy; turns++) {
        CHECK(turns < 2000);
        (void)decide(b);
        world_turn(&b->w);
        world_apply_all(&b->w);
        world_confirm(&b->w);
        take_answers(b);
        is_busy = participant_prepared_count(b->w.shard->participant) > 0 || is_open(b) ||
                  world_is_busy(&b->w);
    }
    CHECK(!shard_may_hold(b->w.shard));
    CHECK_EQ(participant_prepared_count(b->w.shard->participant), 0u);
    CHECK_EQ(b->w.shard->hold.tail.count, 0u);
    check_databases(&b->w);
}

static void check_follower(struct shard_world *w)
{
    struct shard_world *follower = mem_alloc_zero(sizeof *follower);
    world_start(follower);
    world_lose(follower);
    for (uint64_t i = 1; i <= w->replica.index_last; i++) {
        struct buf *copy = &follower->replica.entries[i];
        buf_init(copy, SIZE_MAX / 2);
        buf_append_bytes(copy, buf_bytes(&w->replica.entries[i]));
        follower->replica.index_last = i;
        follower->replica.pending_bytes += copy->size;
    }
    world_apply_all(follower);
    CHECK_EQ(shard_hash(follower->shard), shard_hash(w->shard));
    world_stop(follower);
    mem_free(follower);
}

TEST(random_transactions)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct bout *b = mem_alloc_zero(sizeof *b);
        prng_init(&b->prng, seed);
        world_start_missing(&b->w, NULL, seed % 3 == 0 ? 150 : 0);
        for (unsigned i = 0; i < STEPS; i++) {
            step(b);
        }
        finish(b);
        check_follower(&b->w);
        world_stop(&b->w);
        mem_free(b);
    }
}
