/* Internal commands of a peer: only what a coordinator there could have sent gets into a shard. */
#include "base/endian.h"
#include "data/effects.h"
#include "router/router_parts.h"
#include "router_world.h"
#include "shard/txn_message.h"

#define PEER 2u
#define PEER_INCARNATION 5u

/* True if the shard of group 1 got it. */
static bool is_taken(enum command_id id, struct bytes argument)
{
    struct world w;
    struct buf command;
    struct buf message;
    world_start(&w);
    buf_init(&command, SIZE_MAX / 2);
    buf_init(&message, SIZE_MAX / 2);
    struct entry_command c = {
        .id = (uint16_t)id,
        .semantics = 1,
        .resp = 2,
        .request = {.node = PEER, .incarnation = PEER_INCARNATION, .sequence = 1},
        .arg_count = 1,
    };
    entry_append(&command, &c, &argument);
    forward_requests_start(&message, PEER_INCARNATION);
    forward_batch_append(&message, &(struct forward_batch){.group = 1, .count = 1, .ticket = 1});
    forward_command_append(&message, buf_bytes(&command));
    CHECK_EQ(router_received(w.router, PEER, buf_bytes(&message)), STATUS_OK);
    bool is_taken = w.shards[1].held_count == 1;
    if (is_taken) {
        CHECK(w.shards[1].held[0]->chain != 0);
        answer_here(&w, 1, SHARD_DONE, "+OK\r\n");
    }
    turn(&w);
    fake_env_forget(&w.env);
    buf_deinit(&command);
    buf_deinit(&message);
    world_stop(&w);
    return is_taken;
}

/* ---- work ------------------------------------------------------------------------------------ */

struct parts {
    struct txn_work work;
    struct entry_command command;
    const char *name;
    const char *key;
    const char *compare;
    const char *effect; /* or NULL: a command */
    uint16_t participants[2];
};

static const struct parts plain = {
    .work =
        {
            .id = {.node = PEER, .incarnation = PEER_INCARNATION, .sequence = 7},
            .mark = 6,
            .participant_count = 2,
        },
    .name = "get",
    .key = "b",
    .compare = "f",
    .participants = {1, 4},
};

static bool is_work_taken(enum command_id id, const struct parts *p)
{
    struct buf body;
    struct buf compares;
    struct buf argument;
    uint8_t participants[4];
    struct txn_work work = p->work;
    buf_init(&body, SIZE_MAX / 2);
    buf_init(&compares, SIZE_MAX / 2);
    buf_init(&argument, SIZE_MAX / 2);
    if (p->effect != NULL) {
        struct effect e = {.kind = EFFECT_DELETE, .key = bytes_of_text(p->effect)};
        effect_append(&body, &e);
        work.flags |= TXN_IS_EFFECTS;
    } else {
        struct bytes args[] = {bytes_of_text(p->name), bytes_of_text(p->key)};
        const struct command *row = command_find(args, 2);
        struct entry_command c = p->command;
        c.id = row != NULL ? (uint16_t)row->id : (uint16_t)COMMAND_ID_TXNABORT;
        c.semantics = 1;
        c.resp = c.resp != 0 ? c.resp : 2;
        c.arg_count = 1;
        entry_append(&body, &c, args + 1);
        work.command_count = 1;
    }
    struct txn_compare compare = {.key = bytes_of_text(p->compare)};
    txn_compare_append(&compares, &compare);
    work.compare_count = 1;
    put_u16_le(participants, p->participants[0]);
    put_u16_le(participants + 2, p->participants[1]);
    work.participants = bytes_of(participants, 2u * work.participant_count);
    work.compares = buf_bytes(&compares);
    work.body = buf_bytes(&body);
    txn_work_append(&argument, &work);
    bool taken = is_taken(id, buf_bytes(&argument));
    buf_deinit(&body);
    buf_deinit(&compares);
    buf_deinit(&argument);
    return taken;
}

TEST(prepares)
{
    struct parts p = plain;
    CHECK(is_work_taken(COMMAND_ID_TXNPREPARE, &p));
    p.effect = "b";
    CHECK(is_work_taken(COMMAND_ID_TXNPREPARE, &p));
    p.effect = "c"; /* of group 2 */
    CHECK(!is_work_taken(COMMAND_ID_TXNPREPARE, &p));
    p = plain;
    p.key = "c";
    CHECK(!is_work_taken(COMMAND_ID_TXNPREPARE, &p));
    p = plain;
    p.compare = "c";
    CHECK(!is_work_taken(COMMAND_ID_TXNPREPARE, &p));
    p = plain;
    p.participants[0] = 2; /* group 1 is not one of them */
    CHECK(!is_work_taken(COMMAND_ID_TXNPREPARE, &p));
    p = plain;
    p.participants[1] = GROUPS + 1;
    CHECK(!is_work_taken(COMMAND_ID_TXNPREPARE, &p));
}

/* TXN-11: ids and marks are their coordinator's own. */
TEST(prepares_in_another_name)
{
    struct parts p = plain;
    p.work.id.node = 3;
    CHECK(!is_work_taken(COMMAND_ID_TXNPREPARE, &p));
    p = plain;
    p.work.id.incarnation--;
    CHECK(!is_work_taken(COMMAND_ID_TXNPREPARE, &p));
    p = plain;
    p.work.mark = 7; /* over, before it has begun */
    CHECK(!is_work_taken(COMMAND_ID_TXNPREPARE, &p));
    p = plain;
    p.command.request.node = 3; /* a request of somebody, within */
    CHECK(!is_work_taken(COMMAND_ID_TXNPREPARE, &p));
    p = plain;
    p.name = "no command"; /* an internal one, within */
    CHECK(!is_work_taken(COMMAND_ID_TXNPREPARE, &p));
    p = plain;
    p.command.resp = 4;
    CHECK(!is_work_taken(COMMAND_ID_TXNPREPARE, &p));
    p = plain;
    p.name = "dbsize"; /* has no version */
    CHECK(!is_work_taken(COMMAND_ID_TXNPREPARE, &p));
}

TEST(work_of_one_group)
{
    struct parts p = plain;
    p.work = (struct txn_work){.flags = TXN_STRICT};
    CHECK(is_work_taken(COMMAND_ID_EXEC, &p));
    CHECK(is_work_taken(COMMAND_ID_EXECREAD, &p));
    p.work.flags = TXN_WAITS;
    CHECK(!is_work_taken(COMMAND_ID_EXEC, &p));
    CHECK(!is_work_taken(COMMAND_ID_EXEC, &plain)); /* with an id */
    CHECK(!is_taken(COMMAND_ID_EXEC, bytes_of_text("no work")));
}

/* ---- orders and keys ------------------------------------------------------------------------- */

static bool is_order_taken(enum command_id id, struct txn_order order)
{
    struct buf argument;
    buf_init(&argument, 1000);
    txn_order_append(&argument, &order);
    bool taken = is_taken(id, buf_bytes(&argument));
    buf_deinit(&argument);
    return taken;
}

TEST(orders)
{
    const struct txn_order own = {{PEER, PEER_INCARNATION, 9}, 4};
    const struct txn_order others = {{3, 8, 9}, 0};
    static const enum command_id outcomes[] = {
        COMMAND_ID_TXNCHECK,
        COMMAND_ID_TXNCOMMIT,
        COMMAND_ID_TXNABORT,
    };
    for (size_t i = 0; i < 3; i++) {
        CHECK(is_order_taken(outcomes[i], own));
        CHECK(is_order_taken(outcomes[i], others)); /* anyone may recover */
        CHECK(
            !is_order_taken(outcomes[i], (struct txn_order){{3, 8, 9}, 4})); /* a mark of others */
        CHECK(!is_order_taken(outcomes[i], (struct txn_order){{PEER, PEER_INCARNATION, 9}, 9}));
        CHECK(!is_order_taken(outcomes[i], (struct txn_order){{PEER, PEER_INCARNATION, 0}, 0}));
    }
    CHECK(is_order_taken(COMMAND_ID_TXNMARK, (struct txn_order){{PEER, PEER_INCARNATION, 0}, 4}));
    CHECK(!is_order_taken(COMMAND_ID_TXNMARK, (struct txn_order){{3, 8, 0}, 4}));
    CHECK(!is_order_taken(COMMAND_ID_TXNMARK,
                          (struct txn_order){{PEER, PEER_INCARNATION - 1, 0}, 4}));
}

/* TXN-12: a node closes what it was before, and nothing else. */
TEST(the_dead)
{
    static const enum command_id orders[] = {COMMAND_ID_TXNCLOSE, COMMAND_ID_TXNEND};
    for (size_t i = 0; i < 2; i++) {
        CHECK(is_order_taken(orders[i], (struct txn_order){{PEER, PEER_INCARNATION - 1, 0}, 0}));
        CHECK(!is_order_taken(orders[i], (struct txn_order){{PEER, PEER_INCARNATION, 0}, 0}));
        CHECK(!is_order_taken(orders[i], (struct txn_order){{3, PEER_INCARNATION - 1, 0}, 0}));
    }
}

TEST(keys)
{
    static const enum command_id reads[] = {COMMAND_ID_VERSIONS, COMMAND_ID_ROWS};
    for (size_t i = 0; i < 2; i++) {
        struct buf argument;
        buf_init(&argument, 1000);
        txn_key_append(&argument, &(struct txn_key){.key = bytes_of_text("b")});
        txn_key_append(&argument, &(struct txn_key){.key = bytes_of_text("f"), .database = 3});
        CHECK(is_taken(reads[i], buf_bytes(&argument)));
        CHECK(!is_taken(reads[i], bytes_of(argument.data, argument.size - 1)));
        txn_key_append(&argument, &(struct txn_key){.key = bytes_of_text("c")});
        CHECK(!is_taken(reads[i], buf_bytes(&argument)));
        buf_deinit(&argument);
    }
    CHECK(!is_taken(COMMAND_ID_EXPIRE_DUE, bytes_of_text("b"))); /* for leaders alone */
}
