/* The golden bytes were computed by another program from the description in docs/protocol.md. */
#include "base/endian.h"
#include "base/mem.h"
#include "base/prng.h"
#include "consensus/message.h"
#include "harness.h"

#define MESSAGE_BYTES 65536u
#define TERM 0x3132333435363738u

static const char golden_append[] =
    "0101020118171615141312112827262524232221010000003837363534333231"
    "0500000000000000060000000000000007000000000000000300000000000000"
    "0600000000000000000000000200000038373635343332310500000001000000"
    "68656c6c6f383736353433323114000000030000000102010000000000000001"
    "484746454443424100";
static const char golden_heartbeat[] =
    "0101020118171615141312112827262524232221010000003837363534333231"
    "0500000000000000060000000000000007000000000000000000000000000000";
static const char golden_append_result[] =
    "0101020118171615141312112827262524232221020000003837363534333231"
    "08000000000000000900000000000000";
static const char golden_vote[] = "0101020118171615141312112827262524232221030100003837363534333231"
                                  "0a000000000000000b00000000000000";
static const char golden_pre_vote[] =
    "0101020118171615141312112827262524232221030200003837363534333231"
    "0a000000000000000b00000000000000";
static const char golden_vote_result[] =
    "0101020118171615141312112827262524232221040100003837363534333231";
static const char golden_pre_vote_result[] =
    "0101020118171615141312112827262524232221040200003837363534333231";
static const char golden_install[] =
    "0101020118171615141312112827262524232221050000003837363534333231"
    "0c000000000000000d000000000000000b000000000000000102010000000000"
    "000001484746454443424100";
static const char golden_timeout_now[] =
    "0101020118171615141312112827262524232221060000003837363534333231"
    "0e000000000000000f00000000000000";
static const char golden_probe[] =
    "0201000002000000585756555453525101000000000000000200000000000000"
    "03000000000000000400ffffffffffffffff0500000000000000383736353433"
    "3231feff";
static const char golden_probe_result[] = "03010000000000001000000000000000";

static const struct message_route route = {
    .group = 0x0102,
    .sender = 0x1112131415161718,
    .receiver = 0x2122232425262728,
};

static const uint8_t config_bytes[] = {1, 2,    1,    0,    0,    0,    0,    0,    0,    0,
                                       1, 0x48, 0x47, 0x46, 0x45, 0x44, 0x43, 0x42, 0x41, 0};
#define CONFIG                                                                                     \
    {                                                                                              \
        .index = 11, .count = 2, .members = {                                                      \
            {.id = 1, .is_voter = true},                                                           \
            {.id = 0x4142434445464748}                                                             \
        }                                                                                          \
    }

static const struct engine_entry sample_entries[] = {
    {.term = 6, .kind = ENGINE_ENTRY_BARRIER},
    {.term = TERM, .kind = ENGINE_ENTRY_COMMAND, .payload = {(const uint8_t *)"hello", 5}},
    {.term = TERM, .kind = ENGINE_ENTRY_CHANGE, .payload = {config_bytes, sizeof config_bytes}},
};

#define MESSAGE(type_, ...)                                                                        \
    {                                                                                              \
        .type = (type_), .peer = 0x2122232425262728, .term = TERM, __VA_ARGS__                     \
    }

static const struct {
    struct engine_message message;
    const char *golden;
} samples[] = {
    {MESSAGE(ENGINE_APPEND, .append = {5, 6, 7, 3, sample_entries}), golden_append},
    {MESSAGE(ENGINE_APPEND, .append = {5, 6, 7, 0, NULL}), golden_heartbeat},
    {MESSAGE(ENGINE_APPEND_RESULT, .append_result = {8, 9}), golden_append_result},
    {MESSAGE(ENGINE_VOTE, .vote = {10, 11, true, false}), golden_vote},
    {MESSAGE(ENGINE_VOTE, .vote = {10, 11, false, true}), golden_pre_vote},
    {MESSAGE(ENGINE_VOTE_RESULT, .vote_result = {true, false}), golden_vote_result},
    {MESSAGE(ENGINE_VOTE_RESULT, .vote_result = {false, true}), golden_pre_vote_result},
    {MESSAGE(ENGINE_INSTALL, .install = {12, 13, CONFIG}), golden_install},
    {MESSAGE(ENGINE_TIMEOUT_NOW, .timeout_now = {14, 15}), golden_timeout_now},
};
#define SAMPLE_COUNT (sizeof samples / sizeof samples[0])

static const struct message_probe_item probes[] = {
    {.group = 4, .sender = 1, .receiver = 2, .term = 3},
    {.group = 0xfffe, .sender = UINT64_MAX, .receiver = 5, .term = TERM},
};

static void check_hex(struct bytes bytes, const char *hex)
{
    struct buf text;
    buf_init(&text, MESSAGE_BYTES);
    for (size_t i = 0; i < bytes.size; i++) {
        buf_printf(&text, "%02x", (unsigned)bytes.data[i]);
    }
    CHECK_BYTES(buf_bytes(&text), bytes_of_text(hex));
    buf_deinit(&text);
}

static struct buf encoded(const struct message_route *to, const struct engine_message *m)
{
    struct buf out;
    buf_init(&out, MESSAGE_BYTES);
    message_encode(to, m, &out);
    return out;
}

static struct buf sample(size_t i)
{
    return encoded(&route, &samples[i].message);
}

/* ---- equality -------------------------------------------------------------------------------- */

static void check_append(const struct engine_message *a, const struct engine_message *b)
{
    CHECK_EQ(a->append.prev_index, b->append.prev_index);
    CHECK_EQ(a->append.prev_term, b->append.prev_term);
    CHECK_EQ(a->append.commit, b->append.commit);
    CHECK_EQ(a->append.count, b->append.count);
    for (uint32_t i = 0; i < a->append.count; i++) {
        CHECK_EQ(a->append.entries[i].term, b->append.entries[i].term);
        CHECK_EQ(a->append.entries[i].kind, b->append.entries[i].kind);
        CHECK_BYTES(a->append.entries[i].payload, b->append.entries[i].payload);
    }
}

static void check_config(const struct engine_config *a, const struct engine_config *b)
{
    CHECK_EQ(a->index, b->index);
    CHECK_EQ(a->count, b->count);
    for (unsigned i = 0; i < a->count; i++) {
        CHECK_EQ(a->members[i].id, b->members[i].id);
        CHECK_EQ(a->members[i].is_voter, b->members[i].is_voter);
    }
}

/* But for peer: the receiver in one, the sender in the other. */
static void check_same(const struct engine_message *a, const struct engine_message *b)
{
    CHECK_EQ(a->type, b->type);
    CHECK_EQ(a->term, b->term);
    switch (a->type) {
    case ENGINE_APPEND:
        check_append(a, b);
        return;
    case ENGINE_APPEND_RESULT:
        CHECK_EQ(a->append_result.rejected, b->append_result.rejected);
        CHECK_EQ(a->append_result.last_index, b->append_result.last_index);
        return;
    case ENGINE_VOTE:
        CHECK_EQ(a->vote.last_index, b->vote.last_index);
        CHECK_EQ(a->vote.last_term, b->vote.last_term);
        CHECK_EQ(a->vote.disrupt_leader, b->vote.disrupt_leader);
        CHECK_EQ(a->vote.pre_vote, b->vote.pre_vote);
        return;
    case ENGINE_VOTE_RESULT:
        CHECK_EQ(a->vote_result.granted, b->vote_result.granted);
        CHECK_EQ(a->vote_result.pre_vote, b->vote_result.pre_vote);
        return;
    case ENGINE_INSTALL:
        CHECK_EQ(a->install.last_index, b->install.last_index);
        CHECK_EQ(a->install.last_term, b->install.last_term);
        check_config(&a->install.config, &b->install.config);
        return;
    case ENGINE_TIMEOUT_NOW:
        CHECK_EQ(a->timeout_now.last_index, b->timeout_now.last_index);
        CHECK_EQ(a->timeout_now.last_term, b->timeout_now.last_term);
        return;
    }
    CHECK(false);
}

/* ---- bytes ----------------------------------------------------------------------------------- */

TEST(messages_golden_and_back)
{
    struct message_entries entries = {0};
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        struct buf bytes = sample(i);
        check_hex(buf_bytes(&bytes), samples[i].golden);
        struct message_route to;
        struct engine_message m;
        CHECK_EQ(message_decode(buf_bytes(&bytes), &to, &m, &entries), STATUS_OK);
        CHECK_EQ(to.group, route.group);
        CHECK_EQ(to.sender, route.sender);
        CHECK_EQ(to.receiver, route.receiver);
        CHECK_EQ(m.peer, route.sender);
        check_same(&m, &samples[i].message);
        CHECK(m.type != ENGINE_APPEND || m.append.entries != NULL);
        buf_deinit(&bytes);
    }
    message_entries_deinit(&entries);
}

TEST(numbers_golden)
{
    CHECK_EQ(MESSAGE_RAFT, 1);
    CHECK_EQ(MESSAGE_PROBE, 2);
    CHECK_EQ(MESSAGE_PROBE_RESULT, 3);
    CHECK_EQ(MESSAGE_REQUESTS, 4);
    CHECK_EQ(MESSAGE_REPLIES, 5);
    CHECK_EQ(MESSAGE_FOUNDING, 6);
}

TEST(encoding_appends)
{
    struct buf bytes;
    buf_init(&bytes, MESSAGE_BYTES);
    buf_append_text(&bytes, "before");
    message_encode(&route, &samples[0].message, &bytes);
    check_hex(bytes_of(bytes.data + 6, bytes.size - 6), golden_append);
    buf_deinit(&bytes);
}

/* A block of exactly that size, so that the sanitizer sees its end; "" is a block of one byte. */
static enum status decode_copy(struct bytes bytes, struct buf *again)
{
    uint8_t *copy = mem_alloc(bytes.size > 0 ? bytes.size : 1);
    if (bytes.size > 0) {
        memcpy(copy, bytes.data, bytes.size);
    }
    struct message_route to = {.group = 77};
    struct engine_message m = {.term = 88};
    struct message_entries entries = {0};
    enum status s = message_decode(bytes_of(copy, bytes.size), &to, &m, &entries);
    if (s == STATUS_OK) {
        m.peer = to.receiver;
        buf_clear(again, SIZE_MAX);
        message_encode(&to, &m, again);
    } else {
        CHECK_EQ(to.group, 77); /* untouched */
        CHECK_EQ(m.term, 88u);
    }
    message_entries_deinit(&entries);
    mem_free(copy);
    return s;
}

/* Malformed, or the one encoding of some message. */
static enum status check_decode(struct bytes bytes)
{
    struct buf again;
    buf_init(&again, 2 * MESSAGE_BYTES);
    enum status s = decode_copy(bytes, &again);
    if (s == STATUS_OK) {
        CHECK_BYTES(buf_bytes(&again), bytes);
    } else {
        CHECK_EQ(s, STATUS_MALFORMED);
    }
    buf_deinit(&again);
    return s;
}

TEST(truncated_or_longer)
{
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        struct buf bytes = sample(i);
        CHECK_EQ(check_decode(buf_bytes(&bytes)), STATUS_OK);
        for (size_t size = 0; size < bytes.size; size++) {
            CHECK_EQ(check_decode(bytes_of(bytes.data, size)), STATUS_MALFORMED);
        }
        for (size_t more = 1; more <= 40; more++) {
            buf_append(&bytes, "", 1);
            CHECK_EQ(check_decode(buf_bytes(&bytes)), STATUS_MALFORMED);
        }
        buf_deinit(&bytes);
    }
}

TEST(bad_heads)
{
    static const struct {
        size_t at;
        uint8_t from; /* these are refused */
        uint8_t to;
    } heads[] = {
        {0, 0, 0}, /* kind */
        {0, 2, UINT8_MAX},
        {1, 0, 0}, /* version */
        {1, 2, UINT8_MAX},
        {20, 0, 0}, /* type */
        {20, 7, UINT8_MAX},
        {21, 4, UINT8_MAX}, /* flags */
        {22, 1, UINT8_MAX}, /* padding */
        {23, 1, UINT8_MAX},
    };
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        struct buf bytes = sample(i);
        for (size_t h = 0; h < sizeof heads / sizeof heads[0]; h++) {
            uint8_t good = bytes.data[heads[h].at];
            for (unsigned v = heads[h].from; v <= heads[h].to; v++) {
                bytes.data[heads[h].at] = (uint8_t)v;
                CHECK_EQ(check_decode(buf_bytes(&bytes)), STATUS_MALFORMED);
            }
            bytes.data[heads[h].at] = good;
        }
        bool has_flags =
            samples[i].message.type == ENGINE_VOTE || samples[i].message.type == ENGINE_VOTE_RESULT;
        for (uint8_t flags = 0; flags <= 3; flags++) {
            bytes.data[21] = flags;
            enum status expected = flags == 0 || has_flags ? STATUS_OK : STATUS_MALFORMED;
            CHECK_EQ(check_decode(buf_bytes(&bytes)), expected);
        }
        buf_deinit(&bytes);
    }
}

/* Counts and sizes that lie are noticed before anything is allocated by them. */
TEST(wild_counts)
{
    const uint32_t wild[] = {0, 1, 2, 4, 100, 0x08000000, 0x7fffffff, 0x80000000, UINT32_MAX};
    const size_t places[] = {56, 60, 64 + 8, 80 + 8}; /* count, padding, sizes of two entries */
    for (size_t w = 0; w < sizeof wild / sizeof wild[0]; w++) {
        for (size_t p = 0; p < sizeof places / sizeof places[0]; p++) {
            struct buf bytes = sample(0);
            bool is_same = get_u32_le(bytes.data + places[p]) == wild[w];
            put_u32_le(bytes.data + places[p], wild[w]);
            CHECK_EQ(check_decode(buf_bytes(&bytes)), is_same ? STATUS_OK : STATUS_MALFORMED);
            buf_deinit(&bytes);
        }
    }
    struct message_entries entries = {0};
    struct message_route to;
    struct engine_message m;
    struct buf bytes = sample(0);
    put_u32_le(bytes.data + 56, UINT32_MAX);
    CHECK_EQ(message_decode(buf_bytes(&bytes), &to, &m, &entries), STATUS_MALFORMED);
    CHECK_EQ(entries.capacity, 0u);
    buf_deinit(&bytes);
}

TEST(kinds_of_entries)
{
    struct buf bytes = sample(0);
    for (unsigned kind = 0; kind <= UINT8_MAX; kind++) {
        bytes.data[64 + 12] = (uint8_t)kind;
        CHECK_EQ(check_decode(buf_bytes(&bytes)),
                 kind >= 1 && kind <= 3 ? STATUS_OK : STATUS_MALFORMED);
    }
    bytes.data[64 + 12] = ENGINE_ENTRY_COMMAND;
    for (size_t at = 64 + 13; at < 64 + 16; at++) {
        bytes.data[at] = 1;
        CHECK_EQ(check_decode(buf_bytes(&bytes)), STATUS_MALFORMED);
        bytes.data[at] = 0;
    }
    buf_deinit(&bytes);
}

TEST(bad_configurations)
{
    size_t i = 0;
    while (samples[i].message.type != ENGINE_INSTALL) {
        i++;
    }
    static const struct {
        size_t at;
        uint8_t value;
    } bad[] = {{56, 0}, {56, 2}, {57, 0}, {57, 1}, {57, 3}, {57, 17}, {58, 0}, {66, 0}, {66, 2}};
    for (size_t b = 0; b < sizeof bad / sizeof bad[0]; b++) {
        struct buf bytes = sample(i);
        bytes.data[bad[b].at] = bad[b].value;
        CHECK_EQ(check_decode(buf_bytes(&bytes)), STATUS_MALFORMED);
        buf_deinit(&bytes);
    }
}

/* ---- lists of entries ------------------------------------------------------------------------ */

/* The list is used again, grows with a message and does not stay large for ever. */
TEST(entries_are_reused)
{
    static struct engine_entry many[5000];
    for (size_t i = 0; i < 5000; i++) {
        many[i] = (struct engine_entry){.term = i, .kind = ENGINE_ENTRY_COMMAND};
    }
    const uint32_t counts[] = {0, 3, 1, 5000, 4999, 2, 0, 100};
    struct message_entries entries = {0};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        struct engine_message m = samples[0].message;
        m.append.count = counts[i];
        m.append.entries = many;
        struct buf bytes;
        buf_init(&bytes, (size_t)2 * MESSAGE_BYTES);
        message_encode(&route, &m, &bytes);
        struct message_route to;
        struct engine_message back;
        CHECK_EQ(message_decode(buf_bytes(&bytes), &to, &back, &entries), STATUS_OK);
        check_same(&back, &m);
        CHECK(entries.capacity >= counts[i]);
        CHECK(entries.capacity <= 4096 || counts[i] > 4096);
        buf_deinit(&bytes);
    }
    message_entries_deinit(&entries);
    CHECK(entries.items == NULL);
    message_entries_deinit(&entries);
}

/* ---- random ---------------------------------------------------------------------------------- */

static uint64_t random_number(struct prng *p)
{
    return prng_next(p) >> prng_below(p, 64);
}

static uint8_t payloads[300];

static struct engine_message random_message(struct prng *p, struct engine_entry *entries)
{
    struct engine_message m = samples[prng_below(p, SAMPLE_COUNT)].message;
    m.term = random_number(p);
    m.peer = random_number(p);
    uint64_t a = random_number(p);
    uint64_t b = random_number(p);
    if (m.type == ENGINE_APPEND) {
        m.append.prev_index = a;
        m.append.prev_term = b;
        m.append.commit = random_number(p);
        m.append.count = (uint32_t)prng_below(p, 8);
        m.append.entries = entries;
        for (uint32_t i = 0; i < m.append.count; i++) {
            entries[i].term = random_number(p);
            entries[i].kind = (enum engine_entry_kind)prng_between(p, 1, 3);
            entries[i].payload = bytes_of(payloads, prng_below(p, sizeof payloads));
        }
    } else if (m.type == ENGINE_VOTE) {
        m.vote.last_index = a;
        m.vote.last_term = b;
    } else if (m.type == ENGINE_APPEND_RESULT) {
        m.append_result.rejected = a;
        m.append_result.last_index = b;
    } else if (m.type == ENGINE_INSTALL) {
        m.install.last_index = a;
        m.install.last_term = b;
        struct engine_config *c = &m.install.config;
        c->index = random_number(p);
        c->count = (unsigned)prng_between(p, 1, ENGINE_MEMBERS_MAX);
        for (unsigned i = 0; i < c->count; i++) {
            c->members[i].id = (prng_next(p) & ~(uint64_t)0xff) | (i + 1);
            c->members[i].is_voter = i == 0 || prng_chance(p, 500);
        }
    }
    return m;
}

TEST(random_messages_and_damage)
{
    struct prng prng;
    prng_init(&prng, 11);
    for (size_t i = 0; i < sizeof payloads; i++) {
        payloads[i] = (uint8_t)prng_next(&prng);
    }
    struct message_entries list = {0};
    unsigned survived = 0;
    for (unsigned round = 0; round < 20000; round++) {
        struct engine_entry entries[8];
        struct engine_message m = random_message(&prng, entries);
        struct message_route to = {
            .group = (uint16_t)prng_next(&prng),
            .sender = random_number(&prng),
            .receiver = m.peer,
        };
        struct buf bytes = encoded(&to, &m);
        struct message_route to_back;
        struct engine_message back;
        CHECK_EQ(message_decode(buf_bytes(&bytes), &to_back, &back, &list), STATUS_OK);
        check_same(&back, &m);
        CHECK_EQ(to_back.group, to.group);
        CHECK_EQ(to_back.receiver, to.receiver);
        CHECK_EQ(back.peer, to.sender);
        for (uint64_t i = prng_between(&prng, 1, 4); i > 0; i--) {
            uint64_t place = prng_chance(&prng, 500) ? 64 : bytes.size;
            place = place > bytes.size ? bytes.size : place;
            bytes.data[prng_below(&prng, place)] = (uint8_t)(prng_next(&prng) >> (i * 8));
        }
        bool is_cut = prng_chance(&prng, 200);
        size_t size = is_cut ? (size_t)prng_below(&prng, bytes.size) : bytes.size;
        survived += check_decode(bytes_of(bytes.data, size)) == STATUS_OK ? 1 : 0;
        buf_deinit(&bytes);
    }
    CHECK(survived > 1000); /* both branches were seen */
    CHECK(survived < 19000);
    message_entries_deinit(&list);
}

TEST(random_garbage)
{
    struct prng prng;
    prng_init(&prng, 12);
    uint8_t bytes[256];
    for (unsigned round = 0; round < 50000; round++) {
        size_t size = (size_t)prng_below(&prng, sizeof bytes);
        for (size_t i = 0; i < size; i++) {
            bytes[i] = (uint8_t)(prng_chance(&prng, 500) ? 0 : prng_next(&prng));
        }
        if (size > 24 && prng_chance(&prng, 900)) {
            bytes[0] = MESSAGE_RAFT;
            bytes[1] = 1;
            bytes[20] = (uint8_t)prng_between(&prng, 1, 6);
            memset(bytes + 21, 0, 3);
        }
        (void)check_decode(bytes_of(bytes, size));
        uint64_t sequence = 0;
        uint32_t count = 0;
        if (message_probe_decode(bytes_of(bytes, size), &sequence, &count) == STATUS_OK) {
            CHECK_EQ(size, 16 + (size_t)count * 26);
        }
    }
}

/* ---- probes ---------------------------------------------------------------------------------- */

static struct buf probe_sample(enum message_kind kind, uint32_t count)
{
    struct buf out;
    buf_init(&out, MESSAGE_BYTES);
    uint64_t number = kind == MESSAGE_PROBE ? 0x5152535455565758 : 16;
    message_probe_encode(kind, number, count > 0 ? probes : NULL, count, &out);
    return out;
}

TEST(probes_golden_and_back)
{
    struct buf bytes = probe_sample(MESSAGE_PROBE, 2);
    check_hex(buf_bytes(&bytes), golden_probe);
    uint64_t number = 0;
    uint32_t count = 0;
    CHECK_EQ(message_probe_decode(buf_bytes(&bytes), &number, &count), STATUS_OK);
    CHECK_EQ(number, 0x5152535455565758u);
    CHECK_EQ(count, 2u);
    for (uint32_t i = 0; i < count; i++) {
        struct message_probe_item item = message_probe_item(buf_bytes(&bytes), i);
        CHECK_EQ(item.group, probes[i].group);
        CHECK_EQ(item.sender, probes[i].sender);
        CHECK_EQ(item.receiver, probes[i].receiver);
        CHECK_EQ(item.term, probes[i].term);
    }
    buf_deinit(&bytes);
    bytes = probe_sample(MESSAGE_PROBE_RESULT, 0);
    check_hex(buf_bytes(&bytes), golden_probe_result);
    CHECK_EQ(message_probe_decode(buf_bytes(&bytes), &number, &count), STATUS_OK);
    CHECK_EQ(number, 16u);
    CHECK_EQ(count, 0u);
    buf_deinit(&bytes);
}

static enum status probe_copy(struct bytes bytes)
{
    uint8_t *copy = mem_alloc(bytes.size > 0 ? bytes.size : 1);
    memcpy(copy, bytes.data, bytes.size);
    uint64_t number = 77;
    uint32_t count = 88;
    enum status s = message_probe_decode(bytes_of(copy, bytes.size), &number, &count);
    if (s == STATUS_OK) {
        for (uint32_t i = 0; i < count; i++) {
            (void)message_probe_item(bytes_of(copy, bytes.size), i);
        }
    } else {
        CHECK_EQ(s, STATUS_MALFORMED);
        CHECK_EQ(number, 77u);
        CHECK_EQ(count, 88u);
    }
    mem_free(copy);
    return s;
}

TEST(bad_probes)
{
    struct buf bytes = probe_sample(MESSAGE_PROBE, 2);
    for (size_t size = 0; size < bytes.size; size++) {
        CHECK_EQ(probe_copy(bytes_of(bytes.data, size)), STATUS_MALFORMED);
    }
    for (size_t more = 1; more <= 26; more++) {
        buf_append(&bytes, "", 1);
        CHECK_EQ(probe_copy(buf_bytes(&bytes)), STATUS_MALFORMED);
    }
    buf_deinit(&bytes);
    for (size_t at = 0; at < 8; at++) {
        for (unsigned value = 0; value <= UINT8_MAX; value++) {
            bytes = probe_sample(MESSAGE_PROBE, 2);
            bool is_good = bytes.data[at] == value || (at == 0 && value == MESSAGE_PROBE_RESULT);
            bytes.data[at] = (uint8_t)value;
            CHECK_EQ(probe_copy(buf_bytes(&bytes)), is_good ? STATUS_OK : STATUS_MALFORMED);
            buf_deinit(&bytes);
        }
    }
}
