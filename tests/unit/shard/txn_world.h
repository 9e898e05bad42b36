/* What the tests of a shard's transactions share: internal commands in, answers out. */
#ifndef SHARD_TXN_WORLD_H
#define SHARD_TXN_WORLD_H

#include "base/endian.h"
#include "protocol/resp_reply.h"
#include "shard/shard_txn.h"
#include "shard_world.h"

#define OK "+OK\r\n"
#define NIL "$-1\r\n"
/* Coordinator of most transactions. */
#define COORDINATOR 9u

/* A body under construction. */
struct work {
    struct txn_work work;
    struct buf compares;
    struct buf body;
    uint8_t participants[4]; /* GROUP and another one */
};

static inline void work_init(struct work *k)
{
    *k = (struct work){.participants = {GROUP, 0, GROUP + 2, 0}};
    buf_init(&k->compares, SIZE_MAX / 2);
    buf_init(&k->body, SIZE_MAX / 2);
}

static inline void work_deinit(struct work *k)
{
    buf_deinit(&k->compares);
    buf_deinit(&k->body);
}

static inline void work_add(struct work *k, uint8_t database, const char *text)
{
    struct bytes args[ARGS_MAX];
    struct buf error;
    buf_init(&error, SIZE_MAX / 2);
    size_t count = words_of(text, args);
    const struct command *row = command_resolve(args, count, &error);
    CHECK(row != NULL);
    struct entry_command c = {
        .id = (uint16_t)row->id,
        .semantics = row->semantics,
        .resp = 2,
        .database = database,
        .arg_count = (uint32_t)count - 1,
    };
    entry_append(&k->body, &c, args + 1);
    k->work.command_count++;
    buf_deinit(&error);
}

/* Commands of database 0, with ';' between them. */
static inline void work_add_all(struct work *k, const char *commands)
{
    char text[256];
    while (*commands != '\0') {
        size_t size = strcspn(commands, ";");
        CHECK(size < sizeof text);
        memcpy(text, commands, size);
        text[size] = '\0';
        work_add(k, 0, text);
        commands += commands[size] == ';' ? size + 1 : size;
    }
}

static inline void work_compare(struct work *k, const char *key, uint64_t version, bool is_watched)
{
    struct txn_compare c = {
        .is_watched = is_watched,
        .version = version,
        .key = bytes_of_text(key),
    };
    txn_compare_append(&k->compares, &c);
    k->work.compare_count++;
}

static inline struct txn_id txn(uint64_t sequence)
{
    return (struct txn_id){.node = COORDINATOR, .incarnation = 1, .sequence = sequence};
}

/* id.sequence 0: the next one, if it writes. */
static inline void ask_internal(struct shard_world *w,
                                struct ask *a,
                                enum command_id number,
                                struct bytes argument,
                                struct request_id id,
                                uint64_t chain)
{
    const struct command *row = command_by_id((uint16_t)number);
    *a = (struct ask){.world = w, .id = id};
    buf_init(&a->bytes, SIZE_MAX / 2);
    buf_init(&a->reply, SIZE_MAX / 2);
    if ((row->flags & COMMAND_WRITE) != 0 && id.sequence == 0) {
        a->id = (struct request_id){NODE, INCARNATION, ++w->sequence};
    }
    struct entry_command c = {
        .id = (uint16_t)number,
        .semantics = row->semantics,
        .resp = 2,
        .request = a->id,
        .mark = w->mark,
        .arg_count = 1,
    };
    entry_append(&a->bytes, &c, &argument);
    submit_in_chain(a, chain);
}

/* A client's command. */
static inline void ask_in_chain(struct shard_world *w,
                                struct ask *a,
                                const struct bytes *args,
                                size_t count,
                                uint64_t chain)
{
    *a = (struct ask){.world = w};
    buf_init(&a->bytes, SIZE_MAX / 2);
    buf_init(&a->reply, SIZE_MAX / 2);
    const struct command *row = command_resolve(args, count, &a->reply);
    CHECK(row != NULL);
    if ((row->flags & COMMAND_WRITE) != 0) {
        a->id = (struct request_id){NODE, INCARNATION, ++w->sequence};
    }
    struct entry_command c = {
        .id = (uint16_t)row->id,
        .semantics = row->semantics,
        .resp = 2,
        .request = a->id,
        .arg_count = (uint32_t)count - 1,
    };
    entry_append(&a->bytes, &c, args + 1);
    submit_in_chain(a, chain);
}

/* sequence 0: of EXEC and EXECREAD. */
static inline void work_bytes(struct work *k, uint64_t sequence, struct buf *out)
{
    if (sequence > 0) {
        k->work.id = txn(sequence);
        k->work.participant_count = 2;
        k->work.participants = bytes_of(k->participants, sizeof k->participants);
    }
    k->work.compares = buf_bytes(&k->compares);
    k->work.body = buf_bytes(&k->body);
    buf_init(out, SIZE_MAX / 2);
    txn_work_append(out, &k->work);
}

static inline void ask_work(struct shard_world *w,
                            struct ask *a,
                            enum command_id number,
                            struct work *k,
                            uint64_t sequence)
{
    struct buf argument;
    work_bytes(k, sequence, &argument);
    ask_internal(w, a, number, buf_bytes(&argument), (struct request_id){0}, 0);
    buf_deinit(&argument);
}

static inline void ask_order(struct shard_world *w,
                             struct ask *a,
                             enum command_id number,
                             uint64_t sequence,
                             uint64_t mark)
{
    struct buf argument;
    struct txn_order order = {.id = txn(sequence), .mark = mark};
    buf_init(&argument, SIZE_MAX / 2);
    txn_order_append(&argument, &order);
    ask_internal(w, a, number, buf_bytes(&argument), (struct request_id){0}, 0);
    buf_deinit(&argument);
}

/* ---- answers --------------------------------------------------------------------------------- */

/* Borrows from the reply. */
static inline struct txn_answer answer_of(const struct ask *a)
{
    struct txn_answer answer;
    size_t size = 0;
    CHECK(a->is_done);
    CHECK_EQ(a->verdict, SHARD_DONE);
    CHECK_EQ(resp_reply_size(buf_bytes(&a->reply), &size), STATUS_OK);
    CHECK_EQ(size, a->reply.size);
    CHECK_EQ(a->reply.data[0], '$');
    size_t head = strcspn((const char *)a->reply.data, "\n") + 1;
    struct bytes bulk = bytes_of(a->reply.data + head, a->reply.size - head - 2);
    CHECK_EQ(txn_answer_read(bulk, &answer), STATUS_OK);
    return answer;
}

static inline void check_answer(struct ask *a, enum txn_state state, const char *replies)
{
    struct txn_answer answer = answer_of(a);
    CHECK_EQ(answer.state, state);
    CHECK_BYTES(answer.replies, bytes_of_text(replies));
    buf_deinit(&a->reply);
}

/* ---- alone, to their end --------------------------------------------------------------------- */

static inline void check_exec(struct shard_world *w,
                              unsigned flags,
                              const char *commands,
                              enum txn_state state,
                              const char *replies)
{
    struct work k;
    struct ask a;
    work_init(&k);
    k.work.flags = flags;
    work_add_all(&k, commands);
    ask_work(w, &a, COMMAND_ID_EXEC, &k, 0);
    world_settle(w);
    check_answer(&a, state, replies);
    work_deinit(&k);
}

static inline void ask_prepare(struct shard_world *w,
                               struct ask *a,
                               uint64_t sequence,
                               unsigned flags,
                               const char *commands)
{
    struct work k;
    work_init(&k);
    k.work.flags = flags;
    work_add_all(&k, commands);
    ask_work(w, a, COMMAND_ID_TXNPREPARE, &k, sequence);
    work_deinit(&k);
}

static inline void check_prepare(struct shard_world *w,
                                 uint64_t sequence,
                                 const char *commands,
                                 enum txn_state state,
                                 const char *replies)
{
    struct ask a;
    ask_prepare(w, &a, sequence, 0, commands);
    world_settle(w);
    check_answer(&a, state, replies);
}

static inline void check_order(struct shard_world *w,
                               enum command_id number,
                               uint64_t sequence,
                               uint64_t mark,
                               enum txn_state state)
{
    struct ask a;
    ask_order(w, &a, number, sequence, mark);
    world_settle(w);
    CHECK_EQ(answer_of(&a).state, state);
    buf_deinit(&a.reply);
}

/* The version of a key of database 0. */
/* As VERSIONS answers it: with TXN_VERSION_ABSENT. */
static inline uint64_t answered_at(struct shard_world *w, const char *key)
{
    struct buf argument;
    struct ask a;
    struct txn_key k = {.key = bytes_of_text(key)};
    buf_init(&argument, SIZE_MAX / 2);
    txn_key_append(&argument, &k);
    ask_internal(w, &a, COMMAND_ID_VERSIONS, buf_bytes(&argument), (struct request_id){0}, 0);
    world_settle(w);
    struct txn_answer answer = answer_of(&a);
    CHECK_EQ(answer.state, TXN_STATE_COMMITTED);
    CHECK_EQ(answer.versions.size, 8u);
    uint64_t version = get_u64_le(answer.versions.data);
    buf_deinit(&a.reply);
    buf_deinit(&argument);
    return version;
}

/* As a compare names it. */
static inline uint64_t version_at(struct shard_world *w, const char *key)
{
    return txn_version(answered_at(w, key));
}

/* An order that breaks a promise: the replica halts, and says why. */
static inline void check_halts(struct shard_world *w,
                               enum command_id number,
                               uint64_t sequence,
                               uint64_t mark,
                               const char *reason)
{
    struct ask a;
    ask_order(w, &a, number, sequence, mark);
    world_turn(w);
    w->replica.index_commit = w->replica.apply_to = w->replica.index_last;
    world_go_on(&w->replica);
    CHECK_EQ(w->replica.apply_status, STATUS_CORRUPT);
    CHECK(w->env.base.is_halted);
    CHECK(strstr(w->env.halt_reason, reason) != NULL);
    buf_deinit(&a.bytes); /* nobody is answered any more */
    buf_deinit(&a.reply);
}

#endif
