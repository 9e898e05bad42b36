/*
 * What the tests of the router share: one router of node 1 over fakes of the shards, replicas and
 * peers, which leave a line for all they are asked to do. The fakes stand in for the rooms shard,
 * consensus and peer: each is defined here under its real name.
 *
 * Four groups of data. Keys b f j n are in group 1, c g k o in 2, d h l p in 3, a e i m in 4.
 * Group 1 is led here, 2 by node 2; 3 and 4 have no replica here but on nodes 2 and 3.
 */
#ifndef ROUTER_ROUTER_WORLD_H
#define ROUTER_ROUTER_WORLD_H

#include <inttypes.h>

#include "base/assert.h"
#include "base/mem.h"
#include "consensus/message.h"
#include "fake_env.h"
#include "harness.h"
#include "router/router.h"
#include "router/router_forward.h"

#define GROUPS 4u
#define NODES 3u
#define STREAMS 8u
#define HELD_MAX 64u
#define WORDS_MAX 8u
#define INCARNATION 7u
#define TIMEOUT_MS 5000u

enum fake_mode {
    FAKE_HOLD,     /* keeps requests until answer_here() */
    FAKE_REFUSE,   /* refuses at once */
    FAKE_ANSWER,   /* +OK at once */
    FAKE_FULL,     /* replied enough for this turn */
    FAKE_NO_SPACE, /* refuses writes */
};

struct shard {
    uint32_t group;
    enum fake_mode mode;
    unsigned no_space_at; /* the n-th request from now on finds no space, and only that; 0: none */
    unsigned refuse_from; /* the n-th request from now on is refused, and those behind; 0: none */
    struct shard_request *held[HELD_MAX];
    size_t held_count;
    bool may_hold;  /* shard_may_hold */
    uint64_t chain; /* of the last request */
};

struct replica {
    uint64_t leader;
};

struct peers {
    bool is_connected[NODES + 1];
    uint64_t heard_us;
    bool is_full[NODES + 1];
};

struct world {
    struct fake_env env;
    struct stats stats;
    struct peers peers;
    struct shard shards[GROUPS + 1];
    struct replica replicas[GROUPS + 1];
    struct router_group groups[GROUPS + 1];
    struct router *router;
    struct router_stream streams[STREAMS];
    unsigned answered;
};

/* One command of a client. */
struct ask {
    struct router_request request;
    struct world *world;
    struct buf reply;
    const char *name;
    bool is_done;
    void (*then)(struct ask *a); /* called inside done(); may be NULL */
};

static struct world *the_world;

/* ---- notes ----------------------------------------------------------------------------------- */

/* "name arg arg", and "#sequence/mark" of a write. */
static inline void describe(struct buf *out, struct bytes command)
{
    struct entry_reader reader;
    struct entry_command c;
    entry_reader_of(command, &reader);
    enum status status = entry_next(&reader, &c);
    ensure(status == STATUS_OK);
    const struct command *row = command_by_id(c.id);
    buf_append_text(out, row != NULL ? row->name : "?");
    for (uint32_t i = 0; i < c.arg_count; i++) {
        struct bytes arg;
        status = entry_next_arg(&reader, &arg);
        ensure(status == STATUS_OK);
        buf_append_text(out, " ");
        if (arg.size < 64) {
            buf_append_bytes(out, arg);
        } else {
            buf_printf(out, "(%zu bytes)", arg.size);
        }
    }
    if (row != NULL && (row->flags & COMMAND_WRITE) != 0) {
        buf_printf(out, " #%" PRIu64 "/%" PRIu64, c.request.sequence, c.mark);
    }
}

static inline void note_buf(struct buf *line)
{
    buf_append(line, "", 1);
    fake_env_note(&the_world->env, "%s", (const char *)line->data);
    buf_deinit(line);
}

static inline void append_reply_text(struct buf *line, struct bytes reply)
{
    for (size_t i = 0; i < reply.size && reply.size < 400; i++) {
        if (reply.data[i] == '\n') {
            buf_append_text(line, i + 1 < reply.size ? " " : "");
        } else if (reply.data[i] != '\r') {
            buf_append(line, &reply.data[i], 1);
        }
    }
    if (reply.size >= 400) {
        buf_printf(line, "(%zu bytes)", reply.size);
    }
}

/* ---- the shard's fake ------------------------------------------------------------------------ */

static inline void shard_reply(struct shard_request *r, const char *reply)
{
    buf_append_text(r->reply, reply);
    r->done(r, SHARD_DONE);
}

void shard_submit(struct shard *s, struct shard_request *r)
{
    struct buf line;
    buf_init(&line, SIZE_MAX / 2);
    buf_printf(&line, "here g%u ", s->group);
    describe(&line, r->bytes);
    bool is_refused = s->mode == FAKE_REFUSE || (s->refuse_from > 0 && --s->refuse_from == 0);
    if (is_refused) {
        s->mode = FAKE_REFUSE;
        buf_append_text(&line, " refused");
    }
    bool is_full = s->mode == FAKE_NO_SPACE || (s->no_space_at > 0 && --s->no_space_at == 0);
    if (is_full) {
        buf_append_text(&line, " no space");
    }
    note_buf(&line);
    if (is_refused) {
        r->done(r, SHARD_REFUSED);
    } else if (is_full) {
        r->done(r, SHARD_NO_SPACE);
    } else if (s->mode == FAKE_FULL) {
        r->done(r, SHARD_FULL);
    } else if (s->mode == FAKE_ANSWER) {
        shard_reply(r, "+OK\r\n");
    } else {
        ensure(s->held_count < HELD_MAX);
        s->held[s->held_count++] = r;
    }
}

/* Answers the oldest request that the shard holds. */
static inline void answer_here(struct world *w,
                               uint32_t group,
                               enum shard_verdict verdict,
                               const char *reply)
{
    struct shard *s = &w->shards[group];
    ensure(s->held_count > 0);
    struct shard_request *r = s->held[0];
    s->held_count--;
    memmove(s->held, s->held + 1, s->held_count * sizeof(struct shard_request *));
    if (verdict == SHARD_DONE) {
        shard_reply(r, reply);
    } else {
        r->done(r, verdict);
    }
}

bool shard_may_hold(const struct shard *s)
{
    return s->may_hold;
}

uint64_t replica_leader(const struct replica *r)
{
    return r->leader;
}

/* ---- the peers' fake ------------------------------------------------------------------------- */

static inline void note_requests(uint32_t node, struct bytes message)
{
    struct forward_reader reader;
    enum status status = forward_requests_read(message, &reader);
    ensure(status == STATUS_OK && reader.incarnation == INCARNATION);
    struct forward_batch batch;
    while (forward_next_batch(&reader, &batch)) {
        struct buf line;
        buf_init(&line, SIZE_MAX / 2);
        buf_printf(&line, "to %u: t%" PRIu64 " g%u", node, batch.ticket, batch.group);
        for (uint32_t i = 0; i < batch.count; i++) {
            buf_append_text(&line, i > 0 ? ", " : " ");
            describe(&line, forward_next_command(&reader));
        }
        note_buf(&line);
    }
}

static inline void note_replies(uint32_t node, struct bytes message)
{
    static const char *const verdicts[] = {"", "done", "refused", "lost", "full", "no-space"};
    struct forward_reader reader;
    enum status status = forward_replies_read(message, &reader);
    ensure(status == STATUS_OK);
    struct forward_reply reply;
    while (forward_next_reply(&reader, &reply)) {
        struct buf line;
        buf_init(&line, SIZE_MAX / 2);
        buf_printf(&line,
                   "reply to %u/%u: t%" PRIu64 ".%u %s leader %u ",
                   node,
                   reader.incarnation,
                   reply.ticket,
                   reply.item,
                   verdicts[reply.verdict],
                   reply.leader);
        append_reply_text(&line, reply.reply);
        note_buf(&line);
    }
}

bool peers_send(struct peers *p,
                uint32_t number,
                enum peer_class class,
                const struct bytes *parts,
                size_t part_count)
{
    ensure(class == PEER_BULK && part_count == 1 && number <= NODES);
    if (!p->is_connected[number] || p->is_full[number]) {
        fake_env_note(&the_world->env, "cannot send to %u", number);
        return false;
    }
    if (parts[0].data[0] == MESSAGE_REQUESTS) {
        note_requests(number, parts[0]);
    } else {
        note_replies(number, parts[0]);
    }
    return true;
}

bool peers_is_connected(const struct peers *p, uint32_t number)
{
    return p->is_connected[number];
}

uint64_t peers_heard_us(const struct peers *p, uint32_t number)
{
    return p->is_connected[number] ? p->heard_us : 0;
}

/* ---- the world ------------------------------------------------------------------------------- */

static inline void world_place(struct world *w, uint32_t group, bool is_here, uint64_t leader)
{
    struct router_group *g = &w->groups[group];
    *g = (struct router_group){.node_count = 2, .nodes = {2, 3}};
    w->shards[group] = (struct shard){.group = group};
    w->replicas[group].leader = leader;
    if (is_here) {
        g->shard = &w->shards[group];
        g->replica = &w->replicas[group];
        g->nodes[g->node_count++] = 1;
    }
}

static inline void world_start(struct world *w)
{
    *w = (struct world){0};
    the_world = w;
    fake_env_init(&w->env);
    world_place(w, 0, true, 1);
    world_place(w, 1, true, 1);
    world_place(w, 2, true, 2);
    world_place(w, 3, false, 0);
    world_place(w, 4, false, 0);
    for (uint32_t n = 0; n <= NODES; n++) {
        w->peers.is_connected[n] = true;
    }
    for (size_t i = 0; i < STREAMS; i++) {
        router_stream_init(&w->streams[i]);
    }
    struct router_options options = {
        .node = 1,
        .incarnation = INCARNATION,
        .group_count = GROUPS,
        .groups = w->groups,
        .request_timeout_ms = TIMEOUT_MS,
    };
    w->router = router_create(&w->env.base, &w->peers, &w->stats, &options);
}

/* All was answered, and nothing is left behind. */
static inline void world_stop(struct world *w)
{
    CHECK_EQ(router_memory(w->router), 0u);
    for (size_t i = 0; i < STREAMS; i++) {
        CHECK_EQ(w->streams[i].outstanding, 0u);
        CHECK(list_is_empty(&w->streams[i].dirty_link));
    }
    router_stop(w->router);
    CHECK_EQ(timers_next_due_us(&w->env.timers), UINT64_MAX);
    router_destroy(w->router);
    fake_env_deinit(&w->env);
}

static inline void turn(struct world *w)
{
    router_flush(w->router);
    router_flush_replies(w->router);
}

static inline void advance(struct world *w, uint64_t ms)
{
    fake_env_advance(&w->env, ms);
    turn(w);
}

/* The events since the last call. */
#define CHECK_EVENTS(w, text)                                                                      \
    do {                                                                                           \
        CHECK_TEXT(fake_env_events(&(w)->env), (text));                                            \
        fake_env_forget(&(w)->env);                                                                \
    } while (0)

/* ---- clients --------------------------------------------------------------------------------- */

static inline void on_done(struct router_request *request)
{
    struct ask *a = container_of(request, struct ask, request);
    struct buf line;
    buf_init(&line, SIZE_MAX / 2);
    buf_printf(&line, "done %s: ", a->name);
    append_reply_text(&line, buf_bytes(&a->reply));
    note_buf(&line);
    ensure(!a->is_done);
    a->is_done = true;
    a->world->answered++;
    if (a->then != NULL) {
        a->then(a);
    }
}

static inline size_t words_of(char *text, struct bytes words[WORDS_MAX])
{
    size_t count = 0;
    char *rest = text;
    for (char *word = strtok_r(rest, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        ensure(count < WORDS_MAX);
        words[count++] = bytes_of_text(word);
    }
    return count;
}

/* Submits a command, words between blanks, on a stream. */
static inline void submit(struct world *w, struct ask *a, unsigned stream, const char *name)
{
    char text[128];
    ensure(strlen(name) < sizeof text);
    memcpy(text, name, strlen(name) + 1);
    struct bytes words[WORDS_MAX];
    void (*then)(struct ask *) = a->then;
    *a = (struct ask){.world = w, .name = name, .then = then};
    buf_init(&a->reply, SIZE_MAX / 2);
    size_t count = words_of(text, words);
    const struct command *command = command_find(words, count);
    ensure(command != NULL);
    a->request = (struct router_request){
        .command = command,
        .args = words,
        .arg_count = count,
        .resp = 2,
        .stream = &w->streams[stream],
        .reply = &a->reply,
        .done = on_done,
    };
    router_submit(w->router, &a->request);
    memset(text, 'X', sizeof text); /* borrowed for the call only */
    ensure(!a->is_done);
}

static inline void ask_end(struct ask *asks, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        CHECK(asks[i].is_done);
        buf_deinit(&asks[i].reply);
    }
}

/* ---- other nodes ----------------------------------------------------------------------------- */

struct answer {
    uint64_t ticket;
    uint32_t item;
    enum forward_verdict verdict;
    uint32_t leader;
    const char *reply; /* of DONE */
};

/* One message with answers from a node. */
static inline void receive(struct world *w,
                           uint32_t node,
                           const struct answer *answers,
                           size_t count)
{
    struct buf message;
    buf_init(&message, SIZE_MAX / 2);
    forward_replies_start(&message, INCARNATION);
    for (size_t i = 0; i < count; i++) {
        struct forward_reply reply = {
            .ticket = answers[i].ticket,
            .item = answers[i].item,
            .leader = answers[i].leader,
            .verdict = answers[i].verdict,
            .reply = answers[i].reply != NULL ? bytes_of_text(answers[i].reply) : bytes_of("", 0),
        };
        forward_reply_append(&message, &reply);
    }
    CHECK_EQ(router_received(w->router, node, buf_bytes(&message)), STATUS_OK);
    buf_deinit(&message);
}

static inline void done(struct world *w,
                        uint32_t node,
                        uint64_t ticket,
                        uint32_t item,
                        const char *reply)
{
    struct answer a = {.ticket = ticket, .item = item, .verdict = FORWARD_DONE, .reply = reply};
    receive(w, node, &a, 1);
}

static inline void refused(struct world *w,
                           uint32_t node,
                           uint64_t ticket,
                           uint32_t item,
                           uint32_t leader)
{
    struct answer a = {.ticket = ticket,
                       .item = item,
                       .verdict = FORWARD_REFUSED,
                       .leader = leader};
    receive(w, node, &a, 1);
}

#endif
