/* What comes from programs that are no nodes, or from nodes that are wrong, damaged or recorded. */
#include "base/crc.h"
#include "base/endian.h"
#include "peer/peer_frame.h"
#include "peer_world.h"

/* A program that says what the test wants. It plays node 1 against node 3, the only real one. */
struct stranger {
    struct fake_env env;
    struct env_listener listener;
    struct env_conn *conn;
    struct buf in;
    bool has_ended;
    struct peer_intro ours;
    struct peer_intro theirs;
    uint64_t key;
    uint64_t sent_count;
};

#define PLAYED 1u
#define REAL 3u

static void on_stranger_event(struct env_conn *conn)
{
    (void)conn;
}

static void on_stranger_read(struct env_conn *conn, struct bytes bytes)
{
    struct stranger *s = conn->owner;
    buf_append_bytes(&s->in, bytes);
}

static void on_stranger_ended(struct env_conn *conn)
{
    struct stranger *s = conn->owner;
    s->has_ended = true;
    s->conn = NULL;
    env_conn_close(conn);
}

static const struct env_conn_events stranger_events = {
    .connected = on_stranger_event,
    .read = on_stranger_read,
    .ended = on_stranger_ended,
    .drained = on_stranger_event,
    .closed = on_stranger_event,
};

static void on_stranger_accepted(struct env_listener *listener,
                                 struct env_conn *conn,
                                 const char *from)
{
    (void)from;
    struct stranger *s = listener->owner;
    conn->events = &stranger_events;
    conn->owner = s;
    s->conn = conn;
}

static void stranger_init(struct stranger *s, struct world *w)
{
    memset(s, 0, sizeof *s);
    fake_env_init(&s->env);
    s->env.net = &w->net;
    buf_init(&s->in, 64u * MIB);
    s->ours = (struct peer_intro){
        .about = {.number = PLAYED, .incarnation = 5},
        .target = REAL,
        .count = WORLD_NODES,
        .version_min = PEER_VERSION_MIN,
        .version_max = PEER_VERSION_MAX,
    };
    memset(s->ours.about.node_id, 0x51, PEER_ID_BYTES);
    memset(s->ours.nonce, 0x77, PEER_NONCE_BYTES);
}

static void stranger_deinit(struct stranger *s)
{
    fake_env_deinit(&s->env);
    buf_deinit(&s->in);
}

static void stranger_dial(struct stranger *s, struct world *w, uint32_t number)
{
    s->has_ended = false;
    buf_clear(&s->in, SIZE_MAX);
    s->conn = env_connect(&s->env.base, world_addresses[number - 1], &stranger_events, s);
    world_run(w, 0);
}

/* False: the connection is gone. */
static bool stranger_say(struct stranger *s, struct world *w, struct bytes bytes)
{
    if (s->conn == NULL) {
        return false;
    }
    CHECK(env_conn_write(s->conn, bytes));
    world_run(w, 0);
    return s->conn != NULL;
}

static bool stranger_say_frame(struct stranger *s,
                               struct world *w,
                               unsigned kind,
                               bool is_last,
                               struct bytes payload)
{
    uint8_t *frame = mem_alloc(PEER_FRAME_HEADER_BYTES + payload.size);
    uint32_t seed = peer_frame_seed(s->key, PEER_FROM_DIALLER, s->sent_count++);
    peer_frame_encode(seed, kind, is_last, payload, frame);
    if (payload.size > 0) {
        memcpy(frame + PEER_FRAME_HEADER_BYTES, payload.data, payload.size);
    }
    bool stands = stranger_say(s, w, bytes_of(frame, PEER_FRAME_HEADER_BYTES + payload.size));
    mem_free(frame);
    return stands;
}

/* Header only, with a checksum that is right, and a payload of zeros. */
static bool stranger_say_forged(struct stranger *s,
                                struct world *w,
                                uint32_t size,
                                uint8_t kind,
                                uint8_t flags,
                                uint16_t reserved)
{
    uint8_t header[PEER_FRAME_HEADER_BYTES] = {0};
    uint32_t seed = peer_frame_seed(s->key, PEER_FROM_DIALLER, s->sent_count++);
    put_u32_le(header, size);
    header[4] = kind;
    header[5] = flags;
    put_u16_le(header + 6, reserved);
    put_u32_le(header + 8, seed);
    put_u32_le(header + 12, crc32c(seed, header, 12));
    return stranger_say(s, w, bytes_of(header, sizeof header));
}

static bool stranger_say_hello(struct stranger *s, struct world *w)
{
    uint8_t hello[PEER_HELLO_BYTES];
    peer_hello_encode(&s->ours, hello);
    return stranger_say(s, w, bytes_of(hello, sizeof hello));
}

/* Up to the answer of node 3; the proof is not given yet. */
static void stranger_greet(struct stranger *s, struct world *w)
{
    s->sent_count = 0;
    stranger_dial(s, w, REAL);
    CHECK(stranger_say_hello(s, w));
    CHECK_EQ(s->in.size, PEER_HELLO_BYTES + PEER_FRAME_HEADER_BYTES);
    CHECK_EQ(peer_hello_decode(bytes_of(s->in.data, PEER_HELLO_BYTES), &s->theirs), STATUS_OK);
    CHECK_EQ(s->theirs.target, PLAYED);
    s->key = peer_session_key(s->ours.nonce, s->theirs.nonce);
}

static bool stranger_prove(struct stranger *s, struct world *w)
{
    return stranger_say_frame(s, w, PEER_FRAME_CONTROL, true, bytes_of(NULL, 0));
}

static void begin(struct world *w, struct stranger *s)
{
    world_create(w, WORLD_NODES);
    node_start(node_of(w, REAL));
    stranger_init(s, w);
}

static void end(struct world *w, struct stranger *s)
{
    stranger_deinit(s);
    world_destroy(w);
}

/* ---- not a node ------------------------------------------------------------------------------ */

TEST(other_programs_get_no_answer)
{
    static const char *const lines[] = {
        "GET / HTTP/1.1\r\nHost: node\r\n\r\n",
        "*1\r\n$4\r\nPING\r\n",
        "PING\r\n",
        "D",
        "DGONGLOG",
        "\x16\x03\x01\x02",
        "X",
    };
    struct world w;
    struct stranger s;
    begin(&w, &s);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        bool is_prefix = strcmp(lines[i], "D") == 0; /* may still become a greeting */
        stranger_dial(&s, &w, REAL);
        CHECK_EQ(stranger_say(&s, &w, bytes_of_text(lines[i])), is_prefix);
        CHECK_EQ(s.has_ended, !is_prefix);
        CHECK_EQ(s.in.size, 0u);
    }
    CHECK_EQ(node_of(&w, REAL)->env.warnings, 1u); /* not for each of them */
    check_events(node_of(&w, REAL), "");
    world_run(&w, 11000);
    stranger_dial(&s, &w, REAL);
    CHECK(!stranger_say(&s, &w, bytes_of_text("X")));
    CHECK_EQ(node_of(&w, REAL)->env.warnings, 2u);
    CHECK(strstr(node_of(&w, REAL)->env.last_warning, "count=6") != NULL);
    world_run(&w, 20);
    CHECK_EQ(fake_net_count(&w.net, &node_of(&w, REAL)->env), 0u);
    end(&w, &s);
}

TEST(random_bytes_change_nothing)
{
    struct world w;
    struct stranger s;
    begin(&w, &s);
    struct prng prng;
    prng_init(&prng, 7);
    for (unsigned i = 0; i < 300; i++) {
        uint8_t bytes[600];
        uint8_t hello[PEER_HELLO_BYTES];
        for (size_t at = 0; at < sizeof bytes; at++) {
            bytes[at] = (uint8_t)prng_next(&prng);
        }
        peer_hello_encode(&s.ours, hello);
        size_t right = (size_t)prng_below(&prng, sizeof hello);
        memcpy(bytes, hello, right);
        stranger_dial(&s, &w, REAL);
        (void)stranger_say(&s, &w, bytes_of(bytes, sizeof bytes));
        CHECK_EQ(s.in.size, 0u);
        world_run(&w, PEER_HELLO_MS);
        CHECK(s.has_ended);
    }
    check_events(node_of(&w, REAL), "");
    CHECK(peers_memory(node_of(&w, REAL)->peers) < 10000);
    end(&w, &s);
}

static void check_patience(struct world *w, struct stranger *s)
{
    world_run(w, PEER_HELLO_MS - 100);
    CHECK(!s->has_ended);
    world_run(w, 200);
    CHECK(s->has_ended);
    check_events(node_of(w, REAL), "");
}

TEST(who_does_not_finish_the_greeting_is_left)
{
    struct world w;
    struct stranger s;
    begin(&w, &s);
    stranger_dial(&s, &w, REAL);
    check_patience(&w, &s);
    stranger_dial(&s, &w, REAL);
    CHECK(stranger_say(&s, &w, bytes_of_text("DGONGPER")));
    check_patience(&w, &s);
    stranger_greet(&s, &w); /* and no proof */
    check_patience(&w, &s);
    /* Drop by drop does not help. */
    uint8_t hello[PEER_HELLO_BYTES];
    peer_hello_encode(&s.ours, hello);
    stranger_dial(&s, &w, REAL);
    for (unsigned i = 0; i < 45; i++) {
        CHECK(stranger_say(&s, &w, bytes_of(hello + i, 1)));
        world_run(&w, 100);
    }
    world_run(&w, 600);
    CHECK(s.has_ended);
    end(&w, &s);
}

TEST(strangers_are_limited_and_nodes_are_not)
{
    struct world w;
    struct stranger s;
    begin(&w, &s);
    struct stranger crowd[PEER_STRANGERS_MAX];
    for (unsigned i = 0; i < PEER_STRANGERS_MAX; i++) {
        stranger_init(&crowd[i], &w);
        if (i == 0) {
            stranger_greet(&crowd[i], &w);
        } else {
            stranger_dial(&crowd[i], &w, REAL);
        }
        CHECK(!crowd[i].has_ended);
    }
    stranger_dial(&s, &w, REAL);
    CHECK(s.has_ended);
    CHECK(stranger_prove(&crowd[0], &w)); /* it is none of them any more */
    check_events(node_of(&w, REAL), "+1\n");
    stranger_dial(&s, &w, REAL);
    CHECK(!s.has_ended);
    world_run(&w, PEER_HELLO_MS + 100);
    stranger_dial(&s, &w, REAL);
    CHECK(!s.has_ended);
    for (unsigned i = 0; i < PEER_STRANGERS_MAX; i++) {
        stranger_deinit(&crowd[i]);
    }
    end(&w, &s);
}

/* ---- hellos that contradict ------------------------------------------------------------------ */

static void check_hello_refused(struct stranger *s, struct world *w, const char *reason)
{
    stranger_dial(s, w, REAL);
    CHECK(!stranger_say_hello(s, w));
    size_t size = 0;
    enum peer_greeting kind = PEER_GREETING_HELLO;
    CHECK_EQ(peer_greeting_decode(buf_bytes(&s->in), &size, &kind), STATUS_OK);
    CHECK_EQ(kind, PEER_GREETING_REFUSED);
    CHECK_EQ(s->in.size, size);
    char text[PEER_REASON_BYTES_MAX + 1];
    CHECK_EQ(peer_refused_decode(buf_bytes(&s->in), text), STATUS_OK);
    CHECK_TEXT(text, reason);
}

TEST(a_hello_that_contradicts_is_refused)
{
    struct world w;
    struct stranger s;
    begin(&w, &s);
    const struct peer_intro good = s.ours;
    const uint32_t bad_numbers[] = {0, WORLD_NODES + 1, UINT32_MAX};
    for (size_t i = 0; i < sizeof bad_numbers / sizeof bad_numbers[0]; i++) {
        s.ours.about.number = bad_numbers[i];
        check_hello_refused(&s, &w, "node number out of range");
    }
    s.ours.about.number = REAL;
    check_hello_refused(&s, &w, "node number or id is our own");
    s.ours = good;
    memset(s.ours.about.node_id, REAL, PEER_ID_BYTES);
    check_hello_refused(&s, &w, "node number or id is our own");
    s.ours = good;
    s.ours.count = WORLD_NODES + 1;
    check_hello_refused(&s, &w, "another number of nodes");
    s.ours = good;
    s.ours.target = 2;
    check_hello_refused(&s, &w, "meant for another node");
    s.ours = good;
    s.ours.version_min = PEER_VERSION_MAX + 1;
    s.ours.version_max = PEER_VERSION_MAX + 1;
    check_hello_refused(&s, &w, "no protocol version in common");
    s.ours = good;
    check_events(node_of(&w, REAL), "");
    stranger_greet(&s, &w);
    CHECK(stranger_prove(&s, &w));
    check_events(node_of(&w, REAL), "+1\n");
    end(&w, &s);
}

TEST(a_machine_with_another_byte_order_is_refused)
{
    struct world w;
    struct stranger s;
    begin(&w, &s);
    uint8_t hello[PEER_HELLO_BYTES];
    peer_hello_encode(&s.ours, hello);
    uint8_t swapped[4] = {hello[27], hello[26], hello[25], hello[24]};
    memcpy(hello + 24, swapped, sizeof swapped);
    put_u32_le(hello + 12, crc32c(0, hello + 16, sizeof hello - 16));
    stranger_dial(&s, &w, REAL);
    CHECK(!stranger_say(&s, &w, bytes_of(hello, sizeof hello)));
    char text[PEER_REASON_BYTES_MAX + 1];
    CHECK_EQ(peer_refused_decode(buf_bytes(&s.in), text), STATUS_OK);
    CHECK_TEXT(text, "another byte order or floating point format");
    end(&w, &s);
}

/* Node 1 dials node 2, and somebody there calls himself node 3. */
TEST(an_answer_of_another_node_is_refused)
{
    struct world w;
    world_create(&w, WORLD_NODES);
    struct stranger s;
    stranger_init(&s, &w);
    s.listener = (struct env_listener){.accepted = on_stranger_accepted, .owner = &s};
    s.ours.about.number = 3;
    s.ours.target = 1;
    struct error error;
    CHECK_EQ(env_listen(&s.env.base, "node:2", &s.listener, &error), STATUS_OK);
    node_start(node_of(&w, 1));
    world_run(&w, 10);
    CHECK(s.conn != NULL);
    CHECK(!stranger_say_hello(&s, &w));
    CHECK(strstr(node_of(&w, 1)->env.last_warning, "node=2") != NULL);
    CHECK(strstr(node_of(&w, 1)->env.last_warning, "another node than the address") != NULL);
    end(&w, &s);
}

TEST(the_larger_number_does_not_dial)
{
    struct world w;
    world_create(&w, WORLD_NODES);
    node_start(node_of(&w, 2));
    struct stranger s;
    stranger_init(&s, &w);
    s.ours.about.number = 3;
    s.ours.target = 2;
    stranger_dial(&s, &w, 2);
    CHECK(!stranger_say_hello(&s, &w));
    CHECK(strstr(node_of(&w, 2)->env.last_warning, "smaller number dials") != NULL);
    end(&w, &s);
}

/* ---- frames that are wrong ------------------------------------------------------------------- */

TEST(a_frame_that_is_not_allowed_ends_the_connection)
{
    static const struct {
        uint32_t size;
        uint8_t kind;
        uint8_t flags;
        uint16_t reserved;
    } bad[] = {
        {PEER_PAYLOAD_BYTES_MAX + 1, PEER_BULK, 1, 0}, /* too long */
        {UINT32_MAX, PEER_BULK, 1, 0},
        {0, PEER_LOG, 0, 0}, /* empty: it would never end */
        {0, PEER_LOG, 1, 0},
        {1, PEER_FRAME_CONTROL, 1, 0}, /* a payload where there is none */
        {1, 200, 1, 0},                /* of no class */
        {1, PEER_LOG, 3, 0},           /* an unknown flag */
        {1, PEER_LOG, 1, 1},           /* not zero */
    };
    struct world w;
    struct stranger s;
    begin(&w, &s);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        stranger_greet(&s, &w);
        CHECK(stranger_prove(&s, &w));
        CHECK(stranger_say_frame(&s, &w, PEER_LOG, true, bytes_of_text("right")));
        CHECK(
            !stranger_say_forged(&s, &w, bad[i].size, bad[i].kind, bad[i].flags, bad[i].reserved));
        check_events(node_of(&w, REAL), "+1\n1 log right\n-1\n");
    }
    CHECK_EQ(node_of(&w, REAL)->env.warnings, 1u);
    CHECK(strstr(node_of(&w, REAL)->env.last_warning, "frame not allowed") != NULL);
    CHECK(strstr(node_of(&w, REAL)->env.last_warning, "node=1") != NULL);
    end(&w, &s);
}

TEST(a_frame_left_out_repeated_or_swapped_ends_the_connection)
{
    struct world w;
    struct stranger s;
    begin(&w, &s);
    for (int shift = -1; shift <= 1; shift += 2) {
        stranger_greet(&s, &w);
        CHECK(stranger_prove(&s, &w));
        s.sent_count = (uint64_t)((int64_t)s.sent_count + shift);
        CHECK(!stranger_say_frame(&s, &w, PEER_LOG, true, bytes_of_text("x")));
        check_events(node_of(&w, REAL), "+1\n-1\n");
    }
    end(&w, &s);
}

TEST(nothing_is_taken_before_the_proof)
{
    struct world w;
    struct stranger s;
    begin(&w, &s);
    stranger_greet(&s, &w);
    CHECK(!stranger_say_frame(&s, &w, PEER_URGENT, true, bytes_of_text("vote")));
    stranger_greet(&s, &w);
    CHECK(!stranger_say_hello(&s, &w)); /* one hello is enough */
    stranger_greet(&s, &w);
    s.key ^= 1;
    CHECK(!stranger_prove(&s, &w));
    check_events(node_of(&w, REAL), "");
    end(&w, &s);
}

TEST(memory_grows_with_what_came_and_not_with_what_was_announced)
{
    struct world w;
    struct stranger s;
    begin(&w, &s);
    stranger_greet(&s, &w);
    CHECK(stranger_prove(&s, &w));
    uint64_t before = peers_memory(node_of(&w, REAL)->peers);
    CHECK(stranger_say_forged(&s, &w, PEER_PAYLOAD_BYTES_MAX, PEER_LOG, 0, 0));
    CHECK(peers_memory(node_of(&w, REAL)->peers) <= before + 1024);
    end(&w, &s);
}

/* A message without end: it falls at the limit, and its memory is given back. */
TEST(a_message_over_the_limit_ends_the_connection)
{
    struct world w;
    struct stranger s;
    begin(&w, &s);
    w.net.socket_bytes = SIZE_MAX;
    stranger_greet(&s, &w);
    CHECK(stranger_prove(&s, &w));
    uint8_t *chunk = mem_alloc_zero(PEER_PAYLOAD_BYTES_MAX);
    struct bytes payload = bytes_of(chunk, PEER_PAYLOAD_BYTES_MAX);
    size_t sent = 0;
    while (stranger_say_frame(&s, &w, PEER_BULK, false, payload)) {
        sent += payload.size;
        CHECK(sent <= PEER_MESSAGE_BYTES_MAX);
        CHECK(peers_memory(node_of(&w, REAL)->peers) <= PEER_MESSAGE_BYTES_MAX + 4u * MIB);
    }
    CHECK(sent > PEER_MESSAGE_BYTES_MAX - payload.size);
    check_events(node_of(&w, REAL), "+1\n-1\n");
    CHECK(peers_memory(node_of(&w, REAL)->peers) < 10000);
    mem_free(chunk);
    end(&w, &s);
}

/* ---- recorded and damaged bytes -------------------------------------------------------------- */

struct tape {
    const struct fake_env *reader;
    struct buf bytes;
    size_t flipped_at; /* this byte gets another bit; SIZE_MAX: none */
};

static void on_tap(void *owner, struct env_conn *reader, uint8_t *data, size_t size)
{
    struct tape *t = owner;
    if (reader->env != &t->reader->base) {
        return;
    }
    size_t begin = t->bytes.size;
    if (t->flipped_at >= begin && t->flipped_at - begin < size) {
        data[t->flipped_at - begin] ^= (uint8_t)(1u << t->flipped_at % 8);
    }
    buf_append(&t->bytes, data, size);
}

static void tape_begin(struct tape *t, struct world *w, uint32_t reader, size_t flipped_at)
{
    *t = (struct tape){.reader = &node_of(w, reader)->env, .flipped_at = flipped_at};
    buf_init(&t->bytes, 64u * MIB);
    w->net.tap = on_tap;
    w->net.tap_owner = t;
}

static void tape_end(struct tape *t, struct world *w)
{
    w->net.tap = NULL;
    buf_deinit(&t->bytes);
}

/* PEER-4: neither believed nor able to end the true connection. */
TEST(a_recorded_dialler_is_refused)
{
    struct world w;
    struct tape t;
    world_create(&w, 2);
    tape_begin(&t, &w, 2, SIZE_MAX);
    world_start(&w);
    CHECK(node_send(node_of(&w, 1), 2, PEER_URGENT, "vote"));
    world_run(&w, 10);
    check_events(node_of(&w, 2), "+1\n1 urgent vote\n");
    w.net.tap = NULL;
    struct stranger s;
    stranger_init(&s, &w);
    stranger_dial(&s, &w, 2);
    CHECK(!stranger_say(&s, &w, buf_bytes(&t.bytes)));
    CHECK(s.in.size > 0); /* the hello was answered: it is a true one */
    check_events(node_of(&w, 2), "");
    CHECK(node_send(node_of(&w, 1), 2, PEER_LOG, "still here"));
    world_run(&w, 10);
    check_events(node_of(&w, 2), "1 log still here\n");
    check_events(node_of(&w, 1), "+2\n");
    stranger_deinit(&s);
    tape_end(&t, &w);
    world_destroy(&w);
}

TEST(a_recorded_accepter_is_refused)
{
    struct world w;
    struct tape t;
    world_create(&w, 2);
    tape_begin(&t, &w, 1, SIZE_MAX);
    world_start(&w);
    CHECK(node_send(node_of(&w, 2), 1, PEER_URGENT, "vote"));
    world_run(&w, 10);
    check_events(node_of(&w, 1), "+2\n2 urgent vote\n");
    w.net.tap = NULL;
    node_kill(&w, node_of(&w, 2));
    struct stranger s;
    stranger_init(&s, &w);
    s.listener = (struct env_listener){.accepted = on_stranger_accepted, .owner = &s};
    struct error error;
    CHECK_EQ(env_listen(&s.env.base, "node:2", &s.listener, &error), STATUS_OK);
    unsigned attempts = 0;
    for (unsigned i = 0; i < 3000; i += 10) {
        world_run(&w, 10);
        if (s.conn != NULL) {
            attempts++;
            CHECK(!stranger_say(&s, &w, buf_bytes(&t.bytes)));
        }
    }
    CHECK(attempts >= 2);
    check_events(node_of(&w, 1), "-2\n");
    stranger_deinit(&s);
    tape_end(&t, &w);
    world_destroy(&w);
}

/* One message after one flipped bit: as it was sent, or not at all, and then the nodes recover. */
static void check_flipped(uint32_t reader, uint32_t writer, size_t at)
{
    struct world w;
    struct tape t;
    world_create(&w, 2);
    tape_begin(&t, &w, reader, at);
    world_start(&w);
    (void)node_send(node_of(&w, writer), reader, PEER_LOG, "hello");
    world_run(&w, PEER_HELLO_MS + 3000);
    CHECK(peers_is_connected(node_of(&w, 1)->peers, 2));
    CHECK(peers_is_connected(node_of(&w, 2)->peers, 1));
    CHECK(t.bytes.size > at);
    CHECK(w.net.connects >= 2); /* it was seen */
    struct bytes got = buf_bytes(&node_of(&w, reader)->last_message);
    CHECK(got.size == 0 || bytes_equal_text(got, "hello"));
    CHECK(node_send(node_of(&w, writer), reader, PEER_LOG, "again"));
    world_run(&w, 10);
    CHECK_BYTES(buf_bytes(&node_of(&w, reader)->last_message), bytes_of_text("again"));
    tape_end(&t, &w);
    world_destroy(&w);
}

TEST(a_flipped_bit_is_seen_wherever_it_is)
{
    const size_t size = PEER_HELLO_BYTES + 2 * PEER_FRAME_HEADER_BYTES + 5;
    for (size_t at = 0; at < size; at++) {
        check_flipped(1, 2, at);
        check_flipped(2, 1, at);
    }
}
