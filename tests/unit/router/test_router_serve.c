/* Requests of other nodes that run here. */
#include "router/router_parts.h"
#include "router_world.h"

#define PEER 2u
#define PEER_INCARNATION 5u

/* A command as node 2 would send it; sequence 0: a read. */
struct sent {
    const char *words;
    uint64_t sequence;
    uint64_t mark;
};

static void encode(struct buf *out, const struct sent *s, struct entry_command c)
{
    char text[128];
    memcpy(text, s->words, strlen(s->words) + 1);
    struct bytes words[WORDS_MAX];
    size_t count = words_of(text, words);
    const struct command *row = command_find(words, count);
    ensure(row != NULL);
    c.id = c.id != 0 ? c.id : (uint16_t)row->id;
    c.semantics = c.semantics != 0 ? c.semantics : row->semantics;
    c.request.sequence = s->sequence;
    c.mark = s->mark;
    c.arg_count = (uint32_t)(count - 1);
    entry_append(out, &c, words + 1);
}

static const struct entry_command plain = {
    .resp = 2,
    .request = {.node = PEER, .incarnation = PEER_INCARNATION},
};

static void append_batch(struct buf *out,
                         uint32_t group,
                         uint64_t ticket,
                         const struct sent *commands,
                         uint32_t count)
{
    struct forward_batch batch = {.group = group, .count = count, .ticket = ticket};
    forward_batch_append(out, &batch);
    for (uint32_t i = 0; i < count; i++) {
        struct buf command;
        buf_init(&command, 1000);
        encode(&command, &commands[i], plain);
        forward_command_append(out, buf_bytes(&command));
        buf_deinit(&command);
    }
}

static void start_message(struct buf *out)
{
    buf_init(out, SIZE_MAX / 2);
    forward_requests_start(out, PEER_INCARNATION);
}

/* Hands it to the router, from memory that is gone afterwards. */
static void receive_message(struct world *w, struct buf *message)
{
    CHECK_EQ(router_received(w->router, PEER, buf_bytes(message)), STATUS_OK);
    memset(message->data, 0xee, message->size);
    buf_deinit(message);
}

static void ask_batch(struct world *w,
                      uint32_t group,
                      uint64_t ticket,
                      const struct sent *commands,
                      uint32_t n)
{
    struct buf message;
    start_message(&message);
    append_batch(&message, group, ticket, commands, n);
    receive_message(w, &message);
}

TEST(runs_and_replies_once_a_turn)
{
    struct world w;
    world_start(&w);
    struct buf message;
    start_message(&message);
    const struct sent writes[] = {{"set b 1", 9, 7}, {"incr b", 10, 7}};
    const struct sent reads[] = {{"get f", 0, 0}, {"mget b f", 0, 0}};
    append_batch(&message, 1, 77, writes, 2);
    append_batch(&message, 1, 78, reads, 2);
    receive_message(&w, &message);
    CHECK_EVENTS(&w,
                 "here g1 set b 1 #9/7\nhere g1 incr b #10/7\n"
                 "here g1 get f\nhere g1 mget b f\n");
    CHECK(router_memory(w.router) > 0);
    answer_here(&w, 1, SHARD_DONE, "+OK\r\n");
    answer_here(&w, 1, SHARD_LOST, NULL);
    answer_here(&w, 1, SHARD_DONE, "$-1\r\n");
    answer_here(&w, 1, SHARD_FULL, NULL);
    CHECK_EVENTS(&w, "");
    turn(&w);
    CHECK_EVENTS(&w,
                 "reply to 2/5: t77.0 done leader 1 +OK\n"
                 "reply to 2/5: t77.1 lost leader 1 \n"
                 "reply to 2/5: t78.0 done leader 1 $-1\n"
                 "reply to 2/5: t78.1 full leader 1 \n");
    CHECK_EQ(w.stats.requests_served, 4u);
    world_stop(&w);
}

/* ORD-7: nothing behind a refused request may be proposed; another run may. */
TEST(refused_as_a_whole_from_there)
{
    struct world w;
    world_start(&w);
    w.shards[2].refuse_from = 2;
    const struct sent c[] = {{"set c 1", 1, 0}, {"set c 2", 2, 0}, {"set c 3", 3, 0}};
    const struct sent other = {"set b 1", 1, 0};
    struct buf message;
    start_message(&message);
    append_batch(&message, 2, 5, c, 3);
    append_batch(&message, 1, 6, &other, 1);
    receive_message(&w, &message);
    turn(&w);
    CHECK_EVENTS(&w,
                 "here g2 set c 1 #1/0\n"
                 "here g2 set c 2 #2/0 refused\n"
                 "here g1 set b 1 #1/0\n"
                 "reply to 2/5: t5.1 refused leader 2 \n"
                 "reply to 2/5: t5.2 refused leader 2 \n");
    answer_here(&w, 2, SHARD_DONE, "+OK\r\n");
    answer_here(&w, 1, SHARD_DONE, "+OK\r\n");
    turn(&w);
    CHECK_EVENTS(&w,
                 "reply to 2/5: t5.0 done leader 2 +OK\nreply to 2/5: t6.0 done leader 1 +OK\n");
    world_stop(&w);
}

/* Space is back for the third: it is behind one that was not taken, so it is not taken either. */
TEST(no_space_from_there)
{
    struct world w;
    world_start(&w);
    w.shards[2].no_space_at = 2;
    const struct sent c[] = {{"set c 1", 1, 0}, {"set c 2", 2, 0}, {"set c 3", 3, 0}};
    ask_batch(&w, 2, 5, c, 3);
    turn(&w);
    CHECK_EVENTS(&w,
                 "here g2 set c 1 #1/0\n"
                 "here g2 set c 2 #2/0 no space\n"
                 "reply to 2/5: t5.1 no-space leader 2 \n"
                 "reply to 2/5: t5.2 no-space leader 2 \n");
    answer_here(&w, 2, SHARD_DONE, "+OK\r\n");
    turn(&w);
    CHECK_EVENTS(&w, "reply to 2/5: t5.0 done leader 2 +OK\n");
    ask_batch(&w, 2, 6, c, 1); /* the next batch is another matter */
    turn(&w);
    CHECK_EVENTS(&w, "here g2 set c 1 #1/0\n");
    answer_here(&w, 2, SHARD_DONE, "+OK\r\n");
    turn(&w);
    world_stop(&w);
}

TEST(groups_of_others)
{
    struct world w;
    world_start(&w);
    const struct sent c[] = {{"set d 1", 1, 0}, {"set d 2", 2, 0}};
    ask_batch(&w, 3, 1, c, 2);
    ask_batch(&w, GROUPS + 1, 2, c, 1);
    ask_batch(&w, UINT32_MAX, 3, c, 1);
    turn(&w);
    CHECK_EVENTS(&w,
                 "reply to 2/5: t1.0 refused leader 0 \n"
                 "reply to 2/5: t1.1 refused leader 0 \n"
                 "reply to 2/5: t2.0 refused leader 0 \n"
                 "reply to 2/5: t3.0 refused leader 0 \n");
    world_stop(&w);
}

/* One bad command between two good ones; the message as such is well formed. */
static void check_refused(const struct sent *bad, struct entry_command c)
{
    struct world w;
    world_start(&w);
    struct buf message;
    struct buf command;
    start_message(&message);
    forward_batch_append(&message, &(struct forward_batch){.group = 1, .count = 3, .ticket = 1});
    buf_init(&command, 1000);
    encode(&command, &(struct sent){"set b 1", 1, 0}, plain);
    forward_command_append(&message, buf_bytes(&command));
    buf_clear(&command, 0);
    encode(&command, bad, c);
    forward_command_append(&message, buf_bytes(&command));
    buf_clear(&command, 0);
    encode(&command, &(struct sent){"set b 3", 3, 0}, plain);
    forward_command_append(&message, buf_bytes(&command));
    buf_deinit(&command);
    receive_message(&w, &message);
    turn(&w);
    CHECK_EVENTS(&w,
                 "here g1 set b 1 #1/0\n"
                 "reply to 2/5: t1.1 refused leader 1 \n"
                 "reply to 2/5: t1.2 refused leader 1 \n");
    answer_here(&w, 1, SHARD_DONE, "+OK\r\n");
    turn(&w);
    world_stop(&w);
}

TEST(bad_commands)
{
    const struct sent good = {"set b 2", 2, 0};
    struct entry_command c = plain;
    c.id = 9999;
    check_refused(&good, c);
    c = plain;
    c.id = COMMAND_ID_EXPIRE_DUE;
    check_refused(&(struct sent){"incr b", 2, 0}, c);
    c = plain;
    c.semantics = 200;
    check_refused(&good, c);
    c = plain;
    c.resp = 4;
    check_refused(&good, c);
    c = plain;
    c.database = LIMIT_DATABASES;
    check_refused(&good, c);
    c = plain;
    c.request.node = 3;
    check_refused(&good, c);
    c = plain;
    c.request.incarnation = PEER_INCARNATION + 1;
    check_refused(&good, c);
    check_refused(&(struct sent){"set b", 2, 0}, plain); /* arity */
    check_refused(&(struct sent){"get b c", 0, 0}, plain);
    check_refused(&(struct sent){"set c 2", 2, 0}, plain); /* of another group */
    check_refused(&(struct sent){"mget b c", 0, 0}, plain);
    check_refused(&(struct sent){"set b 2", 0, 0}, plain); /* a write without id */
    check_refused(&(struct sent){"set b 2", 2, 2}, plain); /* below its mark */
    check_refused(&(struct sent){"set b 2", DUP_WINDOW, 0}, plain);
    c = plain;
    c.id = COMMAND_ID_GET; /* fits neither arity */
    check_refused(&(struct sent){"set b 2", 2, 0}, c);
}

/* A gateway sends SCAN where its cursor is, and what has no keys to groups of data. */
TEST(commands_without_keys)
{
    struct world w;
    world_start(&w);
    const struct sent good[] = {{"dbsize", 0, 0}, {"scan 0", 0, 0}, {"scan 17592186044415", 0, 0}};
    ask_batch(&w, 1, 7, good, 3);
    const struct sent write = {"flushall", 1, 0};
    ask_batch(&w, 1, 8, &write, 1);
    ask_batch(&w, 0, 9, &write, 1); /* the metadata */
    ask_batch(&w, 0, 10, &good[0], 1);
    ask_batch(&w, 0, 11, &good[1], 1);
    turn(&w);
    CHECK_EVENTS(&w,
                 "here g1 dbsize\nhere g1 scan 0\nhere g1 scan 17592186044415\n"
                 "here g1 flushall #1/0\n"
                 "reply to 2/5: t9.0 refused leader 1 \n"
                 "reply to 2/5: t10.0 refused leader 1 \n"
                 "reply to 2/5: t11.0 refused leader 1 \n");
    for (unsigned i = 0; i < 4; i++) {
        answer_here(&w, 1, SHARD_DONE, "+x\r\n");
    }
    turn(&w);
    fake_env_forget(&w.env);
    world_stop(&w);
    check_refused(&(struct sent){"scan 17592186044416", 0, 0}, plain); /* of group 2 */
    check_refused(&(struct sent){"scan 70368744177664", 0, 0}, plain); /* of the last */
    check_refused(&(struct sent){"scan -1", 0, 0}, plain);
    check_refused(&(struct sent){"scan x", 0, 0}, plain);
    check_refused(&(struct sent){"flushall", 0, 0}, plain); /* a write without id */
    check_refused(&(struct sent){"dbsize x", 0, 0}, plain);
}

TEST(bytes_that_are_no_command)
{
    struct world w;
    world_start(&w);
    struct buf command;
    buf_init(&command, 1000);
    encode(&command, &(struct sent){"set b 1", 1, 0}, plain);
    for (size_t size = 0; size <= command.size + 1; size++) {
        struct buf message;
        struct buf cut;
        buf_init(&cut, 1000);
        buf_append_bytes(&cut, buf_bytes(&command));
        buf_append(&cut, "x", 1);
        cut.size = size;
        start_message(&message);
        forward_batch_append(&message, &(struct forward_batch){.group = 1, .count = 1});
        forward_command_append(&message, buf_bytes(&cut));
        receive_message(&w, &message);
        buf_deinit(&cut);
        turn(&w);
        bool is_whole = size == command.size;
        CHECK_EVENTS(&w,
                     is_whole ? "here g1 set b 1 #1/0\n"
                              : "reply to 2/5: t0.0 refused leader 1 \n");
    }
    answer_here(&w, 1, SHARD_DONE, "+OK\r\n");
    turn(&w);
    fake_env_forget(&w.env);
    buf_deinit(&command);
    world_stop(&w);
}

TEST(key_beyond_the_limit)
{
    struct world w;
    world_start(&w);
    struct buf command;
    struct buf message;
    char *key = mem_alloc(LIMIT_KEY_BYTES + 1);
    memset(key, 'k', LIMIT_KEY_BYTES + 1);
    struct bytes arg = bytes_of(key, LIMIT_KEY_BYTES + 1);
    buf_init(&command, SIZE_MAX / 2);
    struct entry_command c = plain;
    c.id = COMMAND_ID_GET;
    c.arg_count = 1;
    entry_append(&command, &c, &arg);
    start_message(&message);
    forward_batch_append(&message, &(struct forward_batch){.group = 2, .count = 1, .ticket = 1});
    forward_command_append(&message, buf_bytes(&command));
    receive_message(&w, &message);
    turn(&w);
    CHECK_EVENTS(&w, "reply to 2/5: t1.0 refused leader 2 \n");
    mem_free(key);
    buf_deinit(&command);
    world_stop(&w);
}

/* SERVED: what one peer has running here is bounded. */
TEST(too_much_of_one_peer)
{
    struct world w;
    world_start(&w);
    char *value = mem_alloc(40 * MIB);
    memset(value, 'v', 40 * MIB);
    struct buf message;
    start_message(&message);
    forward_batch_append(&message, &(struct forward_batch){.group = 1, .count = 2, .ticket = 1});
    for (uint64_t i = 1; i <= 2; i++) {
        struct buf command;
        buf_init(&command, SIZE_MAX / 2);
        struct entry_command c = plain;
        c.id = COMMAND_ID_SET;
        c.request.sequence = i;
        c.arg_count = 2;
        struct bytes args[] = {bytes_of_text("b"), bytes_of(value, 40 * MIB)};
        entry_append(&command, &c, args);
        forward_command_append(&message, buf_bytes(&command));
        buf_deinit(&command);
    }
    receive_message(&w, &message);
    mem_free(value);
    CHECK(router_memory(w.router) >= 40 * MIB);
    CHECK(router_memory(w.router) < 80 * MIB);
    turn(&w);
    CHECK_EVENTS(&w, "here g1 set b (41943040 bytes) #1/0\nreply to 2/5: t1.1 refused leader 1 \n");
    answer_here(&w, 1, SHARD_DONE, "+OK\r\n");
    turn(&w);
    fake_env_forget(&w.env);
    const struct sent next = {"set b 1", 3, 0};
    ask_batch(&w, 1, 2, &next, 1);
    CHECK_EVENTS(&w, "here g1 set b 1 #3/0\n");
    answer_here(&w, 1, SHARD_DONE, "+OK\r\n");
    turn(&w);
    world_stop(&w);
}

/* DUP-1: replies are for the process that asked; another one counts its tickets anew. */
TEST(peer_restarts)
{
    struct world w;
    world_start(&w);
    const struct sent c = {"set b 1", 1, 0};
    ask_batch(&w, 1, 1, &c, 1);
    ask_batch(&w, 1, 2, &c, 1);
    answer_here(&w, 1, SHARD_DONE, "+OLD\r\n"); /* gathered, not sent yet */
    struct buf message;
    struct buf command;
    buf_init(&message, 1000);
    buf_init(&command, 1000);
    struct entry_command newer = plain;
    newer.request.incarnation = PEER_INCARNATION + 1;
    forward_requests_start(&message, PEER_INCARNATION + 1);
    forward_batch_append(&message, &(struct forward_batch){.group = 1, .count = 1, .ticket = 1});
    encode(&command, &c, newer);
    forward_command_append(&message, buf_bytes(&command));
    receive_message(&w, &message);
    buf_deinit(&command);
    answer_here(&w, 1, SHARD_DONE, "+OLD\r\n");
    answer_here(&w, 1, SHARD_DONE, "+NEW\r\n");
    fake_env_forget(&w.env);
    turn(&w);
    CHECK_EVENTS(&w, "reply to 2/6: t1.0 done leader 1 +NEW\n");
    world_stop(&w);
}

/* Whoever sent requests over this connection, and was heard a moment ago, is alive. */
TEST(a_process_is_heard)
{
    struct world w;
    world_start(&w);
    const struct sent c = {"set b 1", 1, 0};
    w.peers.heard_us = env_now_us(&w.env.base) + 1;
    CHECK(!router_hears(w.router, 2, PEER_INCARNATION)); /* connected: which process is it? */
    ask_batch(&w, 1, 1, &c, 1);
    CHECK(router_hears(w.router, 2, PEER_INCARNATION));
    CHECK(!router_hears(w.router, 2, PEER_INCARNATION - 1));
    CHECK(!router_hears(w.router, 3, PEER_INCARNATION));
    CHECK(!router_hears(w.router, 0, PEER_INCARNATION) && !router_hears(w.router, 9999, 1));
    fake_env_advance(&w.env, ROUTER_HEARD_MS + 1);
    CHECK(!router_hears(w.router, 2, PEER_INCARNATION));
    w.peers.heard_us = env_now_us(&w.env.base);
    CHECK(router_hears(w.router, 2, PEER_INCARNATION));
    router_disconnected(w.router, 2); /* the next connection may be another process */
    CHECK(!router_hears(w.router, 2, PEER_INCARNATION));
    answer_here(&w, 1, SHARD_DONE, "+OK\r\n");
    fake_env_forget(&w.env);
    turn(&w);
    fake_env_forget(&w.env);
    world_stop(&w);
}

TEST(replies_that_cannot_be_sent_are_dropped)
{
    struct world w;
    world_start(&w);
    const struct sent c = {"set b 1", 1, 0};
    ask_batch(&w, 1, 1, &c, 1);
    answer_here(&w, 1, SHARD_DONE, "+OK\r\n");
    w.peers.is_full[PEER] = true;
    turn(&w);
    w.peers.is_full[PEER] = false;
    turn(&w);
    CHECK_EVENTS(&w, "here g1 set b 1 #1/0\ncannot send to 2\n");
    world_stop(&w);
}

/* A reply that no message holds: the command was executed all the same (DUP-8). */
TEST(reply_beyond_a_message)
{
    struct world w;
    world_start(&w);
    const struct sent c = {"get b", 0, 0};
    ask_batch(&w, 1, 1, &c, 1);
    struct shard_request *r = w.shards[1].held[0];
    w.shards[1].held_count = 0;
    fake_env_forget(&w.env);
    memset(buf_reserve(r->reply, ROUTER_REPLY_BYTES_MAX + 1), 'x', 1);
    buf_extend(r->reply, ROUTER_REPLY_BYTES_MAX + 1);
    r->done(r, SHARD_DONE);
    turn(&w);
    CHECK_EVENTS(&w,
                 "reply to 2/5: t1.0 done leader 1 -UNKNOWNRESULT the command was executed; its "
                 "reply is larger than 134217728 bytes\n");
    world_stop(&w);
}

TEST(destroyed_while_serving)
{
    struct world w;
    world_start(&w);
    const struct sent c[] = {{"set b 1", 1, 0}, {"set b 2", 2, 0}};
    ask_batch(&w, 1, 1, c, 2);
    answer_here(&w, 1, SHARD_DONE, "+OK\r\n");
    CHECK(router_memory(w.router) > 0);
    router_destroy(w.router);
    fake_env_deinit(&w.env);
}
