/* The golden bytes were computed by another program from docs/protocol.md. */
#include "base/endian.h"
#include "base/mem.h"
#include "base/prng.h"
#include "harness.h"
#include "router/router_forward.h"
#include "shard/entry.h"

static const char golden_requests[] =
    "0400000004030201050000000200000088776655443322113800000001000102"
    "0000000002000000090000000403020138000000070000000000000006000000"
    "00000000030000006b65790500000076616c75652d0000000200010301000000"
    "0100000009000000040302012d00000008000000000000000600000000000000"
    "010000006b0004000001000000030000000000000000000000";
static const char golden_replies[] =
    "0500000004030201887766554433221100000000030000000500000001000000"
    "2b4f4b0d0a8877665544332211010000000d0c0b0a0000000002000000030000"
    "0000000000040302010000000000000000030000000400000000000000020000"
    "00010000000000000005000000";

#define INCARNATION 0x01020304u
#define TICKET 0x1122334455667788u
#define MUTATIONS 20000

static void append_command(struct buf *out, const struct entry_command *c, const struct bytes *args)
{
    struct buf command;
    buf_init(&command, 1000);
    entry_append(&command, c, args);
    forward_command_append(out, buf_bytes(&command));
    buf_deinit(&command);
}

static struct buf sample_requests(void)
{
    struct buf out;
    buf_init(&out, 4096);
    forward_requests_start(&out, INCARNATION);
    forward_batch_append(&out, &(struct forward_batch){.group = 5, .count = 2, .ticket = TICKET});
    const struct bytes set[] = {bytes_of_text("key"), bytes_of_text("value")};
    struct entry_command c = {
        .id = 1,
        .semantics = 1,
        .resp = 2,
        .request = {.node = 9, .incarnation = INCARNATION, .sequence = 7},
        .mark = 6,
        .arg_count = 2,
    };
    append_command(&out, &c, set);
    const struct bytes del = bytes_of_text("k");
    c.id = 2;
    c.resp = 3;
    c.database = 1;
    c.request.sequence = 8;
    c.arg_count = 1;
    append_command(&out, &c, &del);
    forward_batch_append(&out, &(struct forward_batch){.group = 0x400, .count = 1, .ticket = 3});
    forward_command_append(&out, bytes_of("", 0));
    return out;
}

static struct buf sample_replies(void)
{
    const struct forward_reply replies[] = {
        {.ticket = TICKET, .leader = 3, .verdict = FORWARD_DONE, .reply = bytes_of_text("+OK\r\n")},
        {.ticket = TICKET, .item = 1, .leader = 0x0a0b0c0d, .verdict = FORWARD_REFUSED},
        {.ticket = 3, .item = 0x01020304, .verdict = FORWARD_LOST},
        {.ticket = 4, .item = 2, .leader = 1, .verdict = FORWARD_NO_SPACE},
    };
    struct buf out;
    buf_init(&out, 4096);
    forward_replies_start(&out, INCARNATION);
    for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++) {
        forward_reply_append(&out, &replies[i]);
    }
    return out;
}

static void check_hex(struct buf *bytes, const char *golden)
{
    struct buf hex;
    buf_init(&hex, 8192);
    for (size_t i = 0; i < bytes->size; i++) {
        buf_printf(&hex, "%02x", (unsigned)bytes->data[i]);
    }
    CHECK_BYTES(buf_bytes(&hex), bytes_of_text(golden));
    buf_deinit(&hex);
}

TEST(requests_golden)
{
    struct buf message = sample_requests();
    check_hex(&message, golden_requests);
    buf_deinit(&message);
}

TEST(replies_golden)
{
    struct buf message = sample_replies();
    check_hex(&message, golden_replies);
    buf_deinit(&message);
}

TEST(requests_and_back)
{
    struct buf message = sample_requests();
    struct forward_reader reader;
    struct forward_batch batch;
    CHECK_EQ(forward_requests_read(buf_bytes(&message), &reader), STATUS_OK);
    CHECK_EQ(reader.incarnation, INCARNATION);
    CHECK(forward_next_batch(&reader, &batch));
    CHECK_EQ(batch.group, 5u);
    CHECK_EQ(batch.count, 2u);
    CHECK_EQ(batch.ticket, TICKET);
    CHECK_EQ(forward_next_command(&reader).size, 56u);
    CHECK_EQ(forward_next_command(&reader).size, 45u);
    CHECK(forward_next_batch(&reader, &batch));
    CHECK_EQ(batch.group, 0x400u);
    CHECK_EQ(forward_next_command(&reader).size, 0u);
    CHECK(!forward_next_batch(&reader, &batch));
    buf_deinit(&message);
}

TEST(replies_and_back)
{
    struct buf message = sample_replies();
    struct forward_reader reader;
    struct forward_reply reply;
    CHECK_EQ(forward_replies_read(buf_bytes(&message), &reader), STATUS_OK);
    CHECK(forward_next_reply(&reader, &reply));
    CHECK_EQ(reply.ticket, TICKET);
    CHECK_BYTES(reply.reply, bytes_of_text("+OK\r\n"));
    CHECK(forward_next_reply(&reader, &reply));
    CHECK_EQ(reply.item, 1u);
    CHECK_EQ(reply.leader, 0x0a0b0c0du);
    CHECK_EQ(reply.verdict, FORWARD_REFUSED);
    CHECK(forward_next_reply(&reader, &reply));
    CHECK_EQ(reply.item, 0x01020304u);
    CHECK_EQ(reply.verdict, FORWARD_LOST);
    CHECK(forward_next_reply(&reader, &reply));
    CHECK_EQ(reply.verdict, FORWARD_NO_SPACE);
    CHECK(!forward_next_reply(&reader, &reply));
    buf_deinit(&message);
}

/* Reads all, touching each byte, from memory of exactly that size. */
static enum status read_all(struct bytes message, bool is_requests)
{
    uint8_t *copy = mem_alloc(message.size > 0 ? message.size : 1);
    if (message.size > 0) {
        memcpy(copy, message.data, message.size);
    }
    struct forward_reader reader;
    struct forward_batch batch;
    struct forward_reply reply;
    uint64_t sum = 0;
    enum status status = is_requests ? forward_requests_read(bytes_of(copy, message.size), &reader)
                                     : forward_replies_read(bytes_of(copy, message.size), &reader);
    while (status == STATUS_OK && is_requests && forward_next_batch(&reader, &batch)) {
        for (uint32_t i = 0; i < batch.count; i++) {
            struct bytes command = forward_next_command(&reader);
            sum += command.size > 0 ? command.data[command.size - 1] : 0u;
        }
    }
    while (status == STATUS_OK && !is_requests && forward_next_reply(&reader, &reply)) {
        sum += reply.reply.size > 0 ? reply.reply.data[reply.reply.size - 1] : 0u;
        CHECK_EQ(reply.verdict == FORWARD_DONE, reply.reply.size > 0);
    }
    CHECK(sum < UINT64_MAX);
    mem_free(copy);
    return status;
}

/* Where a piece of a message is whole again. */
static bool is_boundary(size_t size, const size_t *ends, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (size == ends[i]) {
            return true;
        }
    }
    return false;
}

TEST(cut_messages_are_malformed)
{
    struct buf requests = sample_requests();
    struct buf replies = sample_replies();
    const size_t request_ends[] = {8 + 16 + 60 + 49};
    const size_t reply_ends[] = {8 + 24 + 5, 8 + 24 + 5 + 24, 8 + 24 + 5 + 24 + 24};
    for (size_t size = 0; size < requests.size; size++) {
        CHECK_EQ(read_all(bytes_of(requests.data, size), true),
                 is_boundary(size, request_ends, 1) ? STATUS_OK : STATUS_MALFORMED);
    }
    for (size_t size = 0; size < replies.size; size++) {
        CHECK_EQ(read_all(bytes_of(replies.data, size), false),
                 is_boundary(size, reply_ends, 3) ? STATUS_OK : STATUS_MALFORMED);
    }
    CHECK_EQ(read_all(buf_bytes(&requests), false), STATUS_MALFORMED);
    CHECK_EQ(read_all(buf_bytes(&replies), true), STATUS_MALFORMED);
    buf_deinit(&requests);
    buf_deinit(&replies);
}

/* Sets one byte, expects MALFORMED, and sets it back. */
static void check_broken(struct buf *message, size_t at, uint8_t value, bool is_requests)
{
    uint8_t before = message->data[at];
    message->data[at] = value;
    CHECK_EQ(read_all(buf_bytes(message), is_requests), STATUS_MALFORMED);
    message->data[at] = before;
}

TEST(each_rule_of_a_message)
{
    struct buf requests = sample_requests();
    struct buf replies = sample_replies();
    for (size_t at = 1; at < 4; at++) {
        check_broken(&requests, at, 1, true);
        check_broken(&replies, at, 1, false);
    }
    check_broken(&requests, 8 + 4, 0, true);         /* a batch of none */
    check_broken(&requests, 8 + 4 + 3, 0xff, true);  /* of very many */
    check_broken(&requests, 8 + 16 + 3, 0xff, true); /* a command of 4 GiB */
    check_broken(&replies, 8 + 20, 0, false);        /* no verdict */
    check_broken(&replies, 8 + 20, FORWARD_NO_SPACE + 1, false);
    check_broken(&replies, 8 + 20, FORWARD_REFUSED, false); /* with a reply */
    check_broken(&replies, 37 + 20, FORWARD_DONE, false);   /* without one */
    check_broken(&replies, 8 + 21, 1, false);
    check_broken(&replies, 8 + 22, 1, false);
    check_broken(&replies, 8 + 23, 1, false);
    check_broken(&replies, 8 + 24, 'x', false);     /* not a RESP value */
    check_broken(&replies, 8 + 24 + 4, 'x', false); /* not a whole one */
    CHECK_EQ(read_all(buf_bytes(&requests), true), STATUS_OK);
    CHECK_EQ(read_all(buf_bytes(&replies), false), STATUS_OK);
    buf_deinit(&requests);
    buf_deinit(&replies);
}

/* Two values where the client expects one would shift all its later replies. */
TEST(two_values_in_one_reply)
{
    struct buf message;
    buf_init(&message, 1000);
    forward_replies_start(&message, 1);
    struct forward_reply reply = {
        .verdict = FORWARD_DONE,
        .reply = bytes_of_text("+OK\r\n+OK\r\n"),
    };
    forward_reply_append(&message, &reply);
    CHECK_EQ(read_all(buf_bytes(&message), false), STATUS_MALFORMED);
    buf_deinit(&message);
}

TEST(random_damage)
{
    struct buf samples[] = {sample_requests(), sample_replies()};
    struct prng prng;
    prng_init(&prng, 42);
    unsigned good = 0;
    for (unsigned i = 0; i < MUTATIONS; i++) {
        struct buf *sample = &samples[i % 2];
        struct buf copy;
        buf_init(&copy, 4096);
        buf_append_bytes(&copy, buf_bytes(sample));
        for (uint64_t n = prng_between(&prng, 1, 4); n > 0; n--) {
            copy.data[prng_below(&prng, copy.size)] = (uint8_t)prng_next(&prng);
        }
        copy.size -= prng_chance(&prng, 200) ? (size_t)prng_below(&prng, copy.size) : 0;
        good += read_all(buf_bytes(&copy), i % 2 == 0) == STATUS_OK ? 1 : 0;
        buf_deinit(&copy);
    }
    CHECK(good > MUTATIONS / 100 && good < MUTATIONS);
    buf_deinit(&samples[0]);
    buf_deinit(&samples[1]);
}
