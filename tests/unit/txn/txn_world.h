/*
 * What the tests of the coordinator share: one manager of node 1 over a fake of the router, which
 * leaves a line for all that is submitted and keeps it until the test answers. The fakes stand in
 * for the rooms router and shard: each is defined here under its real name.
 *
 * Four groups of data. Keys b f j n are in group 1, c g k o in 2, d h l p in 3, a e i m in 4.
 */
#ifndef TXN_TXN_WORLD_H
#define TXN_TXN_WORLD_H

#include <inttypes.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/endian.h"
#include "base/mem.h"
#include "data/effects.h"
#include "data/slot.h"
#include "fake_env.h"
#include "harness.h"
#include "protocol/resp_writer.h"
#include "router/router_parts.h"
#include "txn/txn.h"

#define GROUPS 4u
#define HELD_MAX 1024u
#define WORDS_MAX 16u
#define COMMANDS_MAX 16u
#define NODE 1u
#define INCARNATION 1u
#define TIMEOUT_MS 5000u

struct held {
    struct router_request *request;
    uint32_t group;
    struct buf argument;
};

/* One that a group led here is prepared for. */
struct prepared {
    struct txn_id id;
    uint64_t since_us;
    uint16_t participants[GROUPS];
    uint32_t participant_count;
};

struct shard {
    uint32_t group;
    struct prepared prepared[4];
    size_t prepared_count;
    uint64_t many; /* and as many of node 2, of groups 1 and 2 */
};

struct world {
    struct fake_env env;
    struct stats stats;
    struct router router; /* its cuts are real */
    struct shard shards[GROUPS + 1];
    struct router_group groups[GROUPS + 1];
    struct txn_manager *m;
    struct router_stream stream;
    struct held held[HELD_MAX];
    size_t held_count;
    struct router_request *barrier; /* waits for its turn */
    bool is_barrier_up;
    bool is_router_ready;
    unsigned answered;
    unsigned submitted;
    uint32_t heard; /* node whose coordinator is alive */
};

static struct world *the_world;

/* ---- notes ----------------------------------------------------------------------------------- */

static inline void note_buf(struct buf *line)
{
    buf_append(line, "", 1);
    fake_env_note(&the_world->env, "%s", (const char *)line->data);
    buf_deinit(line);
}

static inline void describe_id(struct buf *out, const struct txn_id *id, uint64_t mark)
{
    buf_printf(out,
               " %" PRIu32 ".%" PRIu32 ".%" PRIu64 "/%" PRIu64,
               id->node,
               id->incarnation,
               id->sequence,
               mark);
}

static inline void describe_commands(struct buf *out, struct bytes body)
{
    struct entry_reader reader;
    entry_reader_of(body, &reader);
    while (!entry_is_read(&reader)) {
        struct entry_command c;
        enum status status = entry_next(&reader, &c);
        ensure(status == STATUS_OK);
        buf_printf(out, " [%s", command_by_id(c.id)->name);
        for (uint32_t i = 0; i < c.arg_count; i++) {
            struct bytes arg;
            status = entry_next_arg(&reader, &arg);
            ensure(status == STATUS_OK);
            buf_append_text(out, " ");
            buf_append_bytes(out, arg);
        }
        buf_append_text(out, "]");
    }
}

static inline void describe_effects(struct buf *out, struct bytes effects)
{
    while (effects.size > 0) {
        struct effect e;
        enum status status = effect_take(&effects, &e);
        ensure(status == STATUS_OK);
        buf_append_text(out, e.kind == EFFECT_PUT ? " {put " : " {delete ");
        buf_append_bytes(out, e.key);
        if (e.kind == EFFECT_PUT) {
            buf_append_text(out, " ");
            buf_append_bytes(out, e.object.value);
        }
        buf_append_text(out, "}");
    }
}

static inline void describe_work(struct buf *out, struct bytes argument)
{
    struct txn_work work;
    enum status status = txn_work_read(argument, &work);
    ensure(status == STATUS_OK);
    if (work.id.node != 0) {
        describe_id(out, &work.id, work.mark);
        buf_append_text(out, " of");
        for (size_t i = 0; i < work.participants.size; i += 2) {
            buf_printf(out, " %u", (unsigned)get_u16_le(work.participants.data + i));
        }
    }
    buf_append_text(out, (work.flags & TXN_STRICT) != 0 ? " strict" : "");
    buf_append_text(out, (work.flags & TXN_WAITS) != 0 ? " waits" : "");
    struct bytes compares = work.compares;
    while (compares.size > 0) {
        struct txn_compare c;
        status = txn_compare_take(&compares, &c);
        ensure(status == STATUS_OK);
        buf_append_text(out, c.is_watched ? " (watch " : " (");
        buf_append_bytes(out, c.key);
        buf_printf(out, " %" PRIu64 ")", c.version);
    }
    if ((work.flags & TXN_IS_EFFECTS) != 0) {
        describe_effects(out, work.body);
    } else {
        describe_commands(out, work.body);
    }
}

static inline void describe_keys(struct buf *out, struct bytes keys)
{
    while (keys.size > 0) {
        struct txn_key key;
        enum status status = txn_key_take(&keys, &key);
        ensure(status == STATUS_OK);
        buf_append_text(out, " ");
        buf_append_bytes(out, key.key);
        if (key.database > 0) {
            buf_printf(out, "@%u", (unsigned)key.database);
        }
    }
}

static inline void describe(struct buf *out, const struct command *row, struct bytes argument)
{
    struct txn_order order;
    enum status status = STATUS_OK;
    buf_append_text(out, row->name);
    switch ((int)row->id) {
    case COMMAND_ID_EXEC:
    case COMMAND_ID_EXECREAD:
    case COMMAND_ID_TXNPREPARE:
        describe_work(out, argument);
        return;
    case COMMAND_ID_VERSIONS:
    case COMMAND_ID_ROWS:
        describe_keys(out, argument);
        return;
    default:
        status = txn_order_read(argument, &order);
        ensure(status == STATUS_OK);
        describe_id(out, &order.id, order.mark);
    }
}

/* ---- the router's fake ----------------------------------------------------------------------- */

void router_stream_init(struct router_stream *stream)
{
    list_init(&stream->queue);
    list_init(&stream->dirty_link);
    stream->outstanding = 0;
}

bool router_is_ready(const struct router *r)
{
    ensure(r == &the_world->router);
    return the_world->is_router_ready;
}

bool router_hears(const struct router *r, uint32_t node, uint32_t incarnation)
{
    (void)r;
    (void)incarnation;
    return node == the_world->heard;
}

uint32_t router_group_of_slot(const struct router *r, uint16_t slot)
{
    return 1 + (uint32_t)slot * r->options.group_count / SLOT_COUNT;
}

void router_submit_to_group(struct router *r, uint32_t group, struct router_request *request)
{
    struct world *w = container_of(r, struct world, router);
    struct buf line;
    ensure(request->arg_count == 2 && w->held_count < HELD_MAX);
    w->submitted++;
    buf_init(&line, SIZE_MAX / 2);
    buf_printf(&line, "g%u%s ", group, request->stream == &w->stream ? " in stream" : "");
    describe(&line, request->command, request->args[1]);
    note_buf(&line);
    struct held *h = &w->held[w->held_count++];
    *h = (struct held){.request = request, .group = group};
    buf_init(&h->argument, SIZE_MAX / 2);
    buf_append_bytes(&h->argument, request->args[1]);
}

void router_submit_barrier(struct router *r, struct router_request *request)
{
    struct world *w = container_of(r, struct world, router);
    ensure(w->barrier == NULL && request->stream == &w->stream);
    w->barrier = request;
}

void router_end_barrier(struct router *r, struct router_request *request)
{
    struct world *w = container_of(r, struct world, router);
    ensure(w->is_barrier_up && request->stream == &w->stream);
    w->is_barrier_up = false;
    fake_env_note(&w->env, "barrier ends");
}

void shard_each_prepared(struct shard *s,
                         void (*fn)(void *ctx,
                                    const struct txn_id *id,
                                    const struct txn_record *record,
                                    uint64_t since_us),
                         void *ctx)
{
    for (size_t i = 0; i < s->prepared_count; i++) {
        const struct prepared *p = &s->prepared[i];
        uint8_t participants[2 * GROUPS];
        for (uint32_t k = 0; k < p->participant_count; k++) {
            put_u16_le(participants + 2 * k, p->participants[k]);
        }
        struct txn_record record = {
            .state = TXN_STATE_YES,
            .participant_count = p->participant_count,
            .participants = bytes_of(participants, 2u * p->participant_count),
        };
        fn(ctx, &p->id, &record, p->since_us);
    }
    static const uint8_t two[] = {1, 0, 2, 0};
    for (uint64_t i = 1; i <= s->many; i++) {
        struct txn_id id = {.node = 2, .incarnation = 2, .sequence = i};
        struct txn_record record = {
            .state = TXN_STATE_YES,
            .participant_count = 2,
            .participants = bytes_of(two, sizeof two),
        };
        fn(ctx, &id, &record, 0);
    }
}

/* The barrier's turn has come: all before it is answered. */
static inline void raise_barrier(struct world *w)
{
    struct router_request *barrier = w->barrier;
    ensure(barrier != NULL && !w->is_barrier_up);
    w->barrier = NULL;
    w->is_barrier_up = true;
    barrier->done(barrier);
}

/* ---- answering ------------------------------------------------------------------------------- */

/* Takes the oldest request to the group out of what is held. */
static inline struct router_request *take(struct world *w, uint32_t group)
{
    for (size_t i = 0; i < w->held_count; i++) {
        if (w->held[i].group == group) {
            struct router_request *request = w->held[i].request;
            buf_deinit(&w->held[i].argument);
            w->held_count--;
            memmove(&w->held[i], &w->held[i + 1], (w->held_count - i) * sizeof w->held[0]);
            return request;
        }
    }
    unreachable("nothing is held for this group");
}

static inline void answer_with(struct world *w, uint32_t group, const struct txn_answer *answer)
{
    struct router_request *request = take(w, group);
    struct buf bytes;
    buf_init(&bytes, SIZE_MAX / 2);
    txn_answer_append(&bytes, answer);
    resp_write_bulk(request->reply, buf_bytes(&bytes));
    buf_deinit(&bytes);
    request->outcome = ROUTER_DONE;
    request->done(request);
}

static inline void answer(struct world *w, uint32_t group, enum txn_state state)
{
    answer_with(w, group, &(struct txn_answer){.state = state});
}

/* A vote with the replies of so many commands. */
static inline void answer_replies(struct world *w,
                                  uint32_t group,
                                  enum txn_state state,
                                  uint32_t count,
                                  const char *replies)
{
    answer_with(w,
                group,
                &(struct txn_answer){
                    .state = state,
                    .reply_count = count,
                    .replies = bytes_of_text(replies),
                });
}

static inline void versions_of(struct buf *out, const uint64_t *versions, size_t count)
{
    buf_init(out, SIZE_MAX / 2);
    for (size_t i = 0; i < count; i++) {
        put_u64_le(buf_reserve(out, 8), versions[i]);
        buf_extend(out, 8);
    }
}

/* Of EXECREAD: replies and versions; of VERSIONS: no replies. */
static inline void answer_read(struct world *w,
                               uint32_t group,
                               uint32_t reply_count,
                               const char *replies,
                               const uint64_t *versions,
                               size_t version_count)
{
    struct buf bytes;
    versions_of(&bytes, versions, version_count);
    answer_with(w,
                group,
                &(struct txn_answer){
                    .state = TXN_STATE_COMMITTED,
                    .reply_count = reply_count,
                    .replies = bytes_of_text(replies),
                    .versions = buf_bytes(&bytes),
                });
    buf_deinit(&bytes);
}

static inline void answer_version(struct world *w, uint32_t group, uint64_t version)
{
    answer_read(w, group, 0, "", &version, 1);
}

/* Of ROWS of one key: value NULL: it is not there. */
static inline void answer_row_until(struct world *w,
                                    uint32_t group,
                                    const char *value,
                                    uint64_t version,
                                    uint64_t expires_ms)
{
    struct buf rows;
    struct buf object;
    struct buf versions;
    buf_init(&rows, SIZE_MAX / 2);
    buf_init(&object, SIZE_MAX / 2);
    if (value != NULL) {
        struct object o = {
            .type = OBJECT_TYPE_STRING,
            .version = version,
            .incarnation = version,
            .expires_ms = expires_ms,
            .value = bytes_of_text(value),
        };
        object_encode(&o, buf_reserve(&object, object_size(&o)));
        buf_extend(&object, object_size(&o));
    }
    txn_row_append(&rows, buf_bytes(&object));
    uint64_t answered = value != NULL ? version : TXN_VERSION_ABSENT;
    versions_of(&versions, &answered, 1);
    answer_with(w,
                group,
                &(struct txn_answer){
                    .state = TXN_STATE_COMMITTED,
                    .versions = buf_bytes(&versions),
                    .rows = buf_bytes(&rows),
                });
    buf_deinit(&versions);
    buf_deinit(&rows);
    buf_deinit(&object);
}

static inline void answer_row(struct world *w, uint32_t group, const char *value, uint64_t version)
{
    answer_row_until(w, group, value, version, 0);
}

static inline void answer_error(struct world *w,
                                uint32_t group,
                                enum router_outcome outcome,
                                const char *error)
{
    struct router_request *request = take(w, group);
    resp_write_error(request->reply, error);
    request->outcome = outcome;
    request->done(request);
}

/* ---- the world ------------------------------------------------------------------------------- */

static inline void world_start_as(struct world *w, uint32_t incarnation)
{
    *w = (struct world){0};
    the_world = w;
    fake_env_init(&w->env);
    w->router.options.group_count = GROUPS;
    w->router.part_of_group = mem_alloc_zero((GROUPS + 1) * sizeof w->router.part_of_group[0]);
    router_stream_init(&w->stream);
    for (uint32_t g = 0; g <= GROUPS; g++) {
        w->shards[g].group = g;
        w->groups[g].shard = &w->shards[g];
    }
    struct txn_options options = {
        .node = NODE,
        .incarnation = incarnation,
        .group_count = GROUPS,
        .groups = w->groups,
        .request_timeout_ms = TIMEOUT_MS,
    };
    w->m = txn_create(&w->env.base, &w->router, &w->stats, &options);
}

static inline void world_start(struct world *w)
{
    world_start_as(w, INCARNATION);
}

/* The node ends, whatever is under way. */
static inline void world_stop(struct world *w)
{
    txn_stop(w->m);
    CHECK_EQ(timers_next_due_us(&w->env.timers), UINT64_MAX);
    while (w->held_count > 0) {
        buf_deinit(&w->held[--w->held_count].argument);
    }
    txn_destroy(w->m);
    mem_free(w->router.part_of_group);
    fake_env_deinit(&w->env);
}

/* Nothing is left behind, but the marks that wait to be told. */
static inline void world_end(struct world *w)
{
    CHECK_EQ(w->held_count, 0u);
    CHECK(w->barrier == NULL && !w->is_barrier_up);
    CHECK_EQ(txn_counts(w->m).open, 0u);
    CHECK_EQ(txn_memory(w->m), 0u);
    world_stop(w);
}

/* The events since the last call. */
#define CHECK_EVENTS(w, text)                                                                      \
    do {                                                                                           \
        CHECK_TEXT(fake_env_events(&(w)->env), (text));                                            \
        fake_env_forget(&(w)->env);                                                                \
    } while (0)

/* ---- clients --------------------------------------------------------------------------------- */

/* One transaction of a client. */
struct deal {
    struct txn_request request;
    struct world *world;
    struct buf replies;
    bool is_done;
};

static inline void append_text(struct buf *line, struct bytes reply)
{
    for (size_t i = 0; i < reply.size; i++) {
        if (reply.data[i] == '\n') {
            buf_append_text(line, i + 1 < reply.size ? " " : "");
        } else if (reply.data[i] != '\r') {
            buf_append(line, &reply.data[i], 1);
        }
    }
}

static inline void on_deal_done(struct txn_request *r, enum txn_outcome outcome)
{
    static const char *const outcomes[] = {
        [TXN_COMMITTED] = "committed",
        [TXN_CHANGED] = "changed",
        [TXN_FAILED] = "failed",
        [TXN_NOT_EXECUTED] = "not executed",
        [TXN_UNKNOWN] = "unknown",
    };
    struct deal *d = container_of(r, struct deal, request);
    struct buf line;
    buf_init(&line, SIZE_MAX / 2);
    buf_printf(&line, "%s: ", outcomes[outcome]);
    append_text(&line, buf_bytes(&d->replies));
    note_buf(&line);
    ensure(!d->is_done);
    d->is_done = true;
    d->world->answered++;
}

/*
 * Submits commands, separated by ";", words between blanks. watches: "key version key version …"
 * Where a word is "@n" the command's database is n.
 */
static inline void submit(struct world *w,
                          struct deal *d,
                          const char *commands,
                          const char *watches,
                          bool is_strict)
{
    char text[512];
    char watch_text[256];
    struct txn_command list[COMMANDS_MAX];
    struct bytes words[COMMANDS_MAX][WORDS_MAX];
    struct txn_compare compares[COMMANDS_MAX];
    size_t count = 0;
    size_t watch_count = 0;
    ensure(strlen(commands) < sizeof text && strlen(watches) < sizeof watch_text);
    memcpy(text, commands, strlen(commands) + 1);
    memcpy(watch_text, watches, strlen(watches) + 1);
    char *rest = text;
    for (char *one = strtok_r(rest, ";", &rest); one != NULL; one = strtok_r(NULL, ";", &rest)) {
        ensure(count < COMMANDS_MAX);
        list[count] = (struct txn_command){.args = words[count]};
        char *inner = one;
        for (char *word = strtok_r(inner, " ", &inner); word != NULL;
             word = strtok_r(NULL, " ", &inner)) {
            if (word[0] == '@') {
                list[count].database = (uint8_t)(word[1] - '0');
                continue;
            }
            ensure(list[count].arg_count < WORDS_MAX);
            words[count][list[count].arg_count++] = bytes_of_text(word);
        }
        list[count].command = command_find(words[count], list[count].arg_count);
        ensure(list[count].command != NULL);
        count++;
    }
    rest = watch_text;
    for (char *key = strtok_r(rest, " ", &rest); key != NULL; key = strtok_r(NULL, " ", &rest)) {
        char *version = strtok_r(NULL, " ", &rest);
        ensure(version != NULL);
        compares[watch_count++] = (struct txn_compare){
            .key = bytes_of_text(key),
            .version = strtoull(version, NULL, 10),
        };
    }
    *d = (struct deal){.world = w};
    buf_init(&d->replies, SIZE_MAX / 2);
    d->request = (struct txn_request){
        .commands = list,
        .command_count = count,
        .watches = compares,
        .watch_count = watch_count,
        .is_strict = is_strict,
        .resp = 2,
        .stream = &w->stream,
        .replies = &d->replies,
        .done = on_deal_done,
    };
    txn_submit(w->m, &d->request);
    memset(text, 'X', sizeof text); /* borrowed for the call only */
    memset(watch_text, 'X', sizeof watch_text);
    memset(list, 'X', sizeof list);
    ensure(!d->is_done);
}

static inline void deal_end(struct deal *d)
{
    CHECK(d->is_done);
    buf_deinit(&d->replies);
}

#endif
