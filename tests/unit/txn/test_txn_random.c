/*
 * Coordinators on two nodes against four groups with real tables of votes and real handlers, in the
 * style of the executable model of the protocol: messages come late, twice, or never, answers are
 * lost, leaders change, gateways die and come back. Whatever happens: all or nothing, nothing
 * twice, what was acknowledged is there, what was refused is not, no read sees half of anything,
 * and in the end no lock and no record is left, and copies that arrive after that do nothing.
 */
#include "txn_bag.h"

/* ---- what clients see ------------------------------------------------------------------------ */

static const char *const groups_of_tag[DEAL_KINDS] = {
    [DEAL_PAIR] = "bc",
    [DEAL_THREE] = "fgh",
    [DEAL_WATCH] = "k",
    [DEAL_ONE] = "f",
    [DEAL_STRICT] = "ef",
};

static bool next_text(struct bytes *replies, struct bytes *out_text)
{
    struct resp_value value;
    while (replies->size > 0) {
        enum status status = resp_value_read(replies, &value);
        ensure(status == STATUS_OK);
        if (value.type == RESP_TYPE_BULK) {
            *out_text = value.count < 0 ? bytes_of("", 0) : value.text;
            return true;
        }
    }
    return false;
}

static unsigned count_tag(struct bytes list, unsigned tag)
{
    char text[16];
    unsigned count = 0;
    (void)snprintf(text, sizeof text, "<%u>", tag);
    size_t size = strlen(text);
    for (size_t i = 0; i + size <= list.size; i++) {
        count += memcmp(list.data + i, text, size) == 0 ? 1 : 0;
    }
    return count;
}

/* All bulks are the same, and show what was acknowledged before this began. */
static void check_same(struct world *w, const struct actor *c, size_t count)
{
    struct bytes rest = buf_bytes(&c->replies);
    struct bytes first;
    CHECK(next_text(&rest, &first));
    for (size_t i = 1; i < count; i++) {
        struct bytes other;
        CHECK(next_text(&rest, &other));
        CHECK_BYTES(first, other);
    }
    for (unsigned tag = 1; c->kind <= DEAL_PAIR_LCS && tag <= w->tag_last; tag++) {
        const struct fate *f = &w->fates[tag];
        if (f->kind == DEAL_PAIR && f->acked != 0 && f->acked < c->begin) {
            CHECK_EQ(count_tag(first, tag), 1u);
        }
    }
}

static void check_replies(struct world *w, struct actor *c)
{
    switch (c->kind) {
    case DEAL_PAIR:
    case DEAL_PAIR_READ:
        check_same(w, c, 2);
        return;
    case DEAL_PAIR_LCS:
    case DEAL_MGET:
        check_same(w, c, 3);
        return;
    case DEAL_EXISTS:
        CHECK_BYTES(buf_bytes(&c->replies), bytes_of_text(":1\r\n"));
        return;
    case DEAL_STRICT:
        CHECK(false); /* its last command fails */
        return;
    case DEAL_THREE:
    case DEAL_RENAME:
    case DEAL_WATCH:
    case DEAL_ONE:
    case DEAL_MSET:
    case DEAL_DEL:
    case DEAL_KINDS:
        return;
    }
}

static void next_of_watch(struct world *w, struct actor *c);

static void on_done(struct txn_request *r, enum txn_outcome outcome)
{
    struct actor *c = container_of(r, struct actor, request);
    struct world *w = c->world;
    ensure(c->is_busy);
    w->clock++;
    if (c->kind == DEAL_WATCH && c->step == WATCH_GET && outcome == TXN_COMMITTED) {
        next_of_watch(w, c);
        return;
    }
    c->is_busy = false;
    w->outcomes[outcome]++;
    if (c->tag != 0) {
        w->fates[c->tag].outcome = outcome;
        w->fates[c->tag].acked = outcome == TXN_COMMITTED ? w->clock : 0;
    }
    if (outcome == TXN_COMMITTED) {
        check_replies(w, c);
    } else if (outcome == TXN_FAILED) {
        CHECK(c->kind == DEAL_STRICT && c->replies.data[0] == '-');
    } else if (outcome == TXN_CHANGED) {
        CHECK(c->kind == DEAL_WATCH);
    } else {
        CHECK(c->replies.size > 0 && c->replies.data[0] == '-');
    }
}

/* ---- what clients do ------------------------------------------------------------------------- */

/* Commands separated by ";", words by blanks; "#" stands for the tag. */
static void submit(struct world *w, struct actor *c, const char *text, bool is_strict)
{
    char copy[256];
    char tag[16];
    struct txn_command list[8];
    struct bytes words[8][8];
    size_t count = 0;
    struct txn_compare compare = {.key = bytes_of_text("j"), .version = c->version};
    (void)snprintf(copy, sizeof copy, "%s", text);
    (void)snprintf(tag, sizeof tag, "<%u>", c->tag);
    char *rest = copy;
    for (char *one = strtok_r(rest, ";", &rest); one != NULL; one = strtok_r(NULL, ";", &rest)) {
        struct txn_command *command = &list[count];
        *command = (struct txn_command){.args = words[count]};
        char *inner = one;
        for (char *word = strtok_r(inner, " ", &inner); word != NULL;
             word = strtok_r(NULL, " ", &inner)) {
            words[count][command->arg_count++] = bytes_of_text(word[0] == '#' ? tag : word);
        }
        command->command = command_find(words[count], command->arg_count);
        ensure(command->command != NULL);
        count++;
    }
    buf_clear(&c->replies, VALUE_BYTES);
    c->is_busy = true;
    c->begin = ++w->clock;
    bool is_watching = c->kind == DEAL_WATCH && c->step == WATCH_SET;
    c->request = (struct txn_request){
        .commands = list,
        .command_count = count,
        .watches = &compare,
        .watch_count = is_watching ? 1 : 0,
        .is_strict = is_strict,
        .resp = 2,
        .stream = &c->stream,
        .replies = &c->replies,
        .done = on_done,
    };
    txn_submit(w->nodes[c->node].m, &c->request);
}

static void on_watched(struct txn_watch_request *r, bool is_good)
{
    struct actor *c = container_of(r, struct actor, watch);
    c->world->clock++;
    if (!is_good) {
        c->is_busy = false;
        c->world->outcomes[TXN_NOT_EXECUTED]++;
        return;
    }
    next_of_watch(c->world, c);
}

static void next_of_watch(struct world *w, struct actor *c)
{
    char text[64];
    struct bytes rest = buf_bytes(&c->replies);
    struct bytes number = {0};
    switch (c->step) {
    case WATCH_VERSION:
        c->step = WATCH_GET;
        c->version = c->watch.versions[0];
        submit(w, c, "get j", false);
        return;
    case WATCH_GET:
        c->step = WATCH_SET;
        CHECK(next_text(&rest, &number) && bytes_to_i64(number, &c->counted));
        c->tag = ++w->tag_last;
        w->fates[c->tag] = (struct fate){.kind = DEAL_WATCH, .outcome = TXN_UNKNOWN};
        (void)snprintf(text, sizeof text, "set j %" PRId64 ";append k #", c->counted + 1);
        submit(w, c, text, false);
        return;
    case WATCH_SET:
        break;
    }
    unreachable("that was the last step");
}

static void begin_watch(struct world *w, struct actor *c)
{
    static const struct txn_key keys[] = {
        {.key = {(const uint8_t *)"j", 1}},
        {.key = {(const uint8_t *)"g", 1}},
    };
    static uint64_t versions[CLIENTS][2];
    c->step = WATCH_VERSION;
    c->tag = 0;
    c->is_busy = true;
    buf_clear(&c->replies, VALUE_BYTES);
    c->watch = (struct txn_watch_request){
        .keys = keys,
        .key_count = chance(w, 500) ? 1 : 2, /* one group, or two */
        .stream = &c->stream,
        .versions = versions[c - w->clients],
        .error = &c->replies,
        .done = on_watched,
    };
    txn_watch(w->nodes[c->node].m, &c->watch);
}

static void begin_deal(struct world *w, struct actor *c)
{
    static const char *const renames[] = {
        "rename n o",
        "rename o p",
        "rename p n",
        "rename o n",
        "rename p o",
        "rename n p",
    };
    static const char *const texts[DEAL_KINDS] = {
        [DEAL_PAIR] = "append b #;append c #;get b;get c",
        [DEAL_PAIR_READ] = "mget b c",
        [DEAL_PAIR_LCS] = "lcs b c;get c;get b",
        [DEAL_THREE] = "append f #;append g #;append h #",
        [DEAL_EXISTS] = "exists n o p",
        [DEAL_STRICT] = "append e #;append f #;incr m",
        [DEAL_ONE] = "append f #;get f",
        [DEAL_MSET] = "mset q # r # s #",
        [DEAL_MGET] = "mget q r s",
        [DEAL_DEL] = "del q r s",
    };
    c->kind = (enum deal_kind)prng_below(&w->prng, DEAL_KINDS);
    c->node = (uint32_t)prng_between(&w->prng, 1, NODES);
    c->tag = 0;
    w->deals++;
    if (c->kind == DEAL_WATCH) {
        begin_watch(w, c);
        return;
    }
    if (groups_of_tag[c->kind] != NULL || c->kind == DEAL_MSET) {
        ensure(w->tag_last + 1 < TAGS_MAX);
        c->tag = ++w->tag_last;
        w->fates[c->tag] = (struct fate){.kind = c->kind, .outcome = TXN_UNKNOWN};
    }
    const char *text = c->kind == DEAL_RENAME ? renames[prng_below(&w->prng, 6)] : texts[c->kind];
    submit(w, c, text, c->kind == DEAL_STRICT);
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static void start_node(struct world *w, uint32_t number)
{
    struct node *n = &w->nodes[number];
    n->incarnation++;
    struct txn_options options = {
        .node = number,
        .incarnation = n->incarnation,
        .group_count = GROUPS,
        .groups = n->groups,
        .request_timeout_ms = TIMEOUT_MS,
    };
    n->m = txn_create(&w->env.base, &n->router, &w->stats, &options);
}

/* The node dies: nobody waits for its answers any more, and its clients know nothing. */
static void stop_node(struct world *w, uint32_t number)
{
    struct node *n = &w->nodes[number];
    for (size_t i = 0; i < w->message_count; i++) {
        struct message *m = &w->messages[i];
        if (m->node == number && m->request != NULL) {
            m->request = NULL;
            m->is_late = may_be_copied(m);
            if (m->is_executed || !m->is_write || chance(w, 300)) {
                forget_message(w, i--);
            }
        }
    }
    for (size_t i = 0; i < w->barrier_count; i++) {
        if (w->barriers[i].node == number) {
            w->barriers[i--] = w->barriers[--w->barrier_count];
        }
    }
    txn_stop(n->m);
    txn_destroy(n->m);
    for (size_t i = 0; i < CLIENTS; i++) {
        if (w->clients[i].node == number) {
            w->clients[i].is_busy = false; /* what it was told: nothing, as unknown */
        }
    }
}

static void change_leader(struct world *w)
{
    struct group *g = &w->groups[prng_between(&w->prng, 1, GROUPS)];
    g->leader = (uint32_t)prng_below(&w->prng, NODES + 1);
    g->led_since_us = w->env.now_us;
}

/* ---- a run ----------------------------------------------------------------------------------- */

static void put(struct world *w, uint32_t group, const char *key, const char *value)
{
    struct object object = {.type = OBJECT_TYPE_STRING, .value = bytes_of_text(value)};
    enum status status = model_put(&w->groups[group].view, bytes_of_text(key), &object);
    ensure(status == STATUS_OK);
}

static void start(struct world *w, uint64_t seed)
{
    fake_env_init(&w->env);
    prng_init(&w->prng, seed);
    prng_init(&w->env.prng, seed);
    for (uint32_t g = 1; g <= GROUPS; g++) {
        w->groups[g].view = (struct view){.ops = &model_ops, .slot_end = SLOT_COUNT};
        w->groups[g].participant = participant_create();
        w->groups[g].leader = 1;
        omap_init(&w->groups[g].records);
    }
    put(w, 1, "j", "0");
    put(w, 1, "n", "token");
    put(w, 4, "m", "no number");
    for (uint32_t number = 1; number <= NODES; number++) {
        struct node *n = &w->nodes[number];
        n->world = w;
        n->router.options.group_count = GROUPS;
        n->router.part_of_group = mem_alloc_zero((GROUPS + 1) * sizeof n->router.part_of_group[0]);
        for (uint32_t g = 1; g <= GROUPS; g++) {
            n->shards[g] = (struct shard){.node = number, .group = &w->groups[g], .world = w};
            n->groups[g].shard = &n->shards[g];
        }
        start_node(w, number);
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        w->clients[i].world = w;
        buf_init(&w->clients[i].replies, SIZE_MAX / 2);
        router_stream_init(&w->clients[i].stream);
    }
}

static void stop(struct world *w)
{
    for (uint32_t number = 1; number <= NODES; number++) {
        struct node *n = &w->nodes[number];
        txn_stop(n->m);
        txn_destroy(n->m);
        mem_free(n->router.part_of_group);
    }
    while (w->message_count > 0) {
        forget_message(w, 0);
    }
    for (uint32_t g = 1; g <= GROUPS; g++) {
        participant_destroy(w->groups[g].participant);
        omap_deinit(&w->groups[g].records);
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        buf_deinit(&w->clients[i].replies);
    }
    CHECK(w->env.halt_reason[0] == '\0');
    fake_env_deinit(&w->env);
}

static void raise_barriers(struct world *w)
{
    while (w->barrier_count > 0) {
        struct router_request *request = w->barriers[--w->barrier_count].request;
        request->done(request);
    }
}

static void advance(struct world *w, uint64_t ms)
{
    fake_env_advance(&w->env, ms);
    expire_due(w);
}

static void begin_deals(struct world *w)
{
    for (size_t i = 0; i < CLIENTS; i++) {
        if (!w->clients[i].is_busy && w->deals < DEALS) {
            begin_deal(w, &w->clients[i]);
        }
    }
}

static void step(struct world *w)
{
    uint64_t dice = prng_below(&w->prng, 1000);
    raise_barriers(w);
    if (chance(w, 300)) {
        txn_flush(w->nodes[prng_between(&w->prng, 1, NODES)].m);
    }
    if (dice < 4 && w->crashes < 3) {
        uint32_t number = (uint32_t)prng_between(&w->prng, 1, NODES);
        w->crashes++;
        stop_node(w, number);
        start_node(w, number);
    } else if (dice < 20) {
        change_leader(w);
    } else if (dice < 200) {
        begin_deals(w);
    } else if (dice < 300 || w->message_count == 0) {
        advance(w, prng_between(&w->prng, 1, 40));
    } else {
        deliver(w, (size_t)prng_below(&w->prng, w->message_count));
    }
}

/* ---- the end --------------------------------------------------------------------------------- */

static bool is_quiet(struct world *w)
{
    for (size_t i = 0; i < w->message_count; i++) {
        if (w->messages[i].request != NULL || !w->messages[i].is_late) {
            return false;
        }
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        if (w->clients[i].is_busy) {
            return false;
        }
    }
    return w->barrier_count == 0 && w->deals >= DEALS;
}

static uint64_t count_records(struct world *w)
{
    uint64_t count = 0;
    for (uint32_t g = 1; g <= GROUPS; g++) {
        participant_save(w->groups[g].participant, count_record, &w->groups[g].records);
        count += w->groups[g].records.count;
    }
    return count;
}

/* No more faults: everything arrives, and is over in time. */
static void end_fairly(struct world *w)
{
    w->is_fair = true;
    for (uint32_t g = 1; g <= GROUPS; g++) {
        w->groups[g].leader = 1;
    }
    for (uint64_t ms = 0; ms < FAIR_MS && !(is_quiet(w) && count_records(w) == 0); ms += 5) {
        begin_deals(w);
        raise_barriers(w);
        for (size_t i = 0; i < w->message_count; i++) {
            if (w->messages[i].request != NULL || !w->messages[i].is_late) {
                deliver(w, i);
            }
        }
        advance(w, 5);
    }
    CHECK(is_quiet(w));
    CHECK_EQ(count_records(w), 0u);
    for (uint32_t g = 1; g <= GROUPS; g++) {
        CHECK_EQ(participant_prepared_count(w->groups[g].participant), 0u);
    }
}

/* Copies that arrive minutes late find nothing, and leave nothing (TXN-10). COMMITs and ABORTs
 * among them are of transactions that are finished. */
static void deliver_late(struct world *w)
{
    while (w->message_count > 0) {
        CHECK(w->messages[0].is_late && w->messages[0].request == NULL);
        run_message(w, &w->messages[0], NULL);
        forget_message(w, 0);
    }
    for (uint32_t g = 1; g <= GROUPS; g++) {
        CHECK_EQ(participant_prepared_count(w->groups[g].participant), 0u);
    }
}

static struct bytes value_of(struct world *w, char key)
{
    struct bytes name = bytes_of(&key, 1);
    uint32_t group = 1 + (uint32_t)slot_of_key(name) * GROUPS / SLOT_COUNT;
    struct row *row = find_row(&w->groups[group], name);
    return row != NULL && row->is_there ? row->object.value : bytes_of("", 0);
}

/* All or nothing, once, and as the client was told. */
static void check_fates(struct world *w)
{
    unsigned counted = 0;
    for (unsigned tag = 1; tag <= w->tag_last; tag++) {
        const struct fate *f = &w->fates[tag];
        const char *keys = groups_of_tag[f->kind];
        unsigned there = 0;
        if (keys == NULL) {
            continue; /* MSET: overwritten by the next one */
        }
        for (size_t i = 0; keys[i] != '\0'; i++) {
            unsigned times = count_tag(value_of(w, keys[i]), tag);
            CHECK(times <= 1);
            there += times;
        }
        CHECK(there == 0 || there == strlen(keys));
        CHECK(f->outcome != TXN_COMMITTED || there > 0);
        CHECK(f->outcome == TXN_COMMITTED || f->outcome == TXN_UNKNOWN || there == 0);
        counted += f->kind == DEAL_WATCH && there > 0 ? 1 : 0;
    }
    int64_t counter = 0;
    CHECK(bytes_to_i64(value_of(w, 'j'), &counter));
    CHECK_EQ(counter, (int64_t)counted);
    CHECK_BYTES(value_of(w, 'b'), value_of(w, 'c'));
    CHECK_BYTES(value_of(w, 'q'), value_of(w, 'r'));
    CHECK_BYTES(value_of(w, 'q'), value_of(w, 's'));
    CHECK_EQ(value_of(w, 'n').size + value_of(w, 'o').size + value_of(w, 'p').size, 5u);
}

static void run(uint64_t seed, unsigned *outcomes)
{
    struct world *w = mem_alloc_zero(sizeof *w);
    start(w, seed);
    for (unsigned i = 0; i < 100000 && w->deals < DEALS * 3 / 4; i++) {
        step(w);
    }
    end_fairly(w);
    check_fates(w);
    deliver_late(w);
    check_fates(w);
    for (unsigned i = 0; i <= TXN_UNKNOWN; i++) {
        outcomes[i] += w->outcomes[i];
    }
    stop(w);
    mem_free(w);
}

TEST(any_schedule)
{
    const char *only = getenv("DOUGONG_SEED");
    uint64_t from = only != NULL ? strtoull(only, NULL, 10) : 1;
    uint64_t to = only != NULL ? from : SEEDS;
    unsigned outcomes[TXN_UNKNOWN + 1] = {0};
    for (uint64_t seed = from; seed <= to; seed++) {
        (void)printf("seed %" PRIu64 "\r", seed);
        (void)fflush(stdout);
        run(seed, outcomes);
    }
    (void)printf("committed %u, changed %u, failed %u, not executed %u, unknown %u\n",
                 outcomes[TXN_COMMITTED],
                 outcomes[TXN_CHANGED],
                 outcomes[TXN_FAILED],
                 outcomes[TXN_NOT_EXECUTED],
                 outcomes[TXN_UNKNOWN]);
    for (unsigned i = 0; only == NULL && i <= TXN_UNKNOWN; i++) {
        CHECK(outcomes[i] > 0);
    }
}
