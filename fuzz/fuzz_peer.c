/*
 * What another node, or something that is none, says on a connection. The first byte chooses: who
 * dialled; whether the rest is said as it is, or as frames with the right checksums after a right
 * greeting; and how it is cut into pieces. PEER-1: what is received was sent, whole and in order;
 * PEER-6: memory is bounded by what came; PEER-8: connected and disconnected in pairs.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "base/crc.h"
#include "base/endian.h"
#include "base/mem.h"
#include "base/prng.h"
#include "env/timers.h"
#include "peer/peer_frame.h"
#include "peer/peers.h"

#define SELF 2u
#define NODES 3u
#define SAID_BYTES_MAX ((size_t)16 * 1024 * 1024)
#define MEMORY_IDLE_BYTES 16384u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The node under test is alone in this world; the other side of its one connection is the input. */
struct world {
    struct env env;
    struct timers timers;
    struct prng prng; /* sizes of pieces */
    uint64_t now_us;
    uint64_t next_random;
    struct env_listener *listener;
    struct env_conn *conn;
    bool has_closed; /* env_conn_close was called; closed() is owed */
    bool owes_drained;
    bool is_blocking; /* every write returns false */
    struct buf answered;
    size_t said; /* bytes given to read() */

    struct peers *peers;
    bool is_dialled;
    bool is_connected;
    bool has_ended; /* of peers_close */
    /* What received() must bring, frames of the input put together by other code. */
    bool is_guided;
    struct buf expected[PEER_CLASS_COUNT];
    bool is_expected[PEER_CLASS_COUNT];
    uint64_t key;
    uint64_t frame_number;
};

static struct world *world_of(struct env *env)
{
    return (struct world *)(void *)env;
}

/* ---- env ------------------------------------------------------------------------------------- */

static uint64_t op_now_us(struct env *env)
{
    return world_of(env)->now_us;
}

static uint64_t op_random(struct env *env)
{
    return world_of(env)->next_random++;
}

static void op_timer_start(struct env *env, struct env_timer *timer, uint64_t delay_ms)
{
    timers_start(&world_of(env)->timers, timer, op_now_us(env) + delay_ms * 1000u);
}

static void op_timer_stop(struct env *env, struct env_timer *timer)
{
    timers_stop(&world_of(env)->timers, timer);
}

static enum status op_listen(struct env *env,
                             const char *address,
                             struct env_listener *listener,
                             struct error *error)
{
    (void)address;
    (void)error;
    world_of(env)->listener = listener;
    return STATUS_OK;
}

static struct env_conn *make_conn(struct world *w)
{
    ensure(w->conn == NULL);
    w->conn = mem_alloc_zero(sizeof *w->conn);
    w->conn->env = &w->env;
    return w->conn;
}

static struct env_conn *op_connect(struct env *env,
                                   const char *address,
                                   const struct env_conn_events *events,
                                   void *owner)
{
    (void)address;
    struct env_conn *conn = make_conn(world_of(env));
    conn->events = events;
    conn->owner = owner;
    return conn;
}

static bool op_write(struct env_conn *conn, struct bytes bytes)
{
    struct world *w = world_of(conn->env);
    ensure(!w->has_closed);
    ensure(!w->owes_drained);
    buf_append_bytes(&w->answered, bytes);
    w->owes_drained = w->is_blocking;
    return !w->is_blocking;
}

static void op_close(struct env_conn *conn)
{
    world_of(conn->env)->has_closed = true;
}

static void op_log(struct env *env, enum env_level level, const char *line)
{
    (void)env;
    (void)level;
    ensure(strlen(line) < 512);
}

static const struct env_ops ops = {
    .now_us = op_now_us,
    .random = op_random,
    .timer_start = op_timer_start,
    .timer_stop = op_timer_stop,
    .listen = op_listen,
    .connect = op_connect,
    .conn_write = op_write,
    .conn_close = op_close,
    .log = op_log,
};

/* ---- the node's events ----------------------------------------------------------------------- */

static bool on_judge(void *owner, const struct peer_hello *hello, const char **out_reason)
{
    (void)owner;
    ensure(hello->number >= 1);
    ensure(hello->number <= NODES);
    ensure(hello->number != SELF);
    *out_reason = "odd";
    return hello->node_id[0] % 2 == 0;
}

static void on_refused(void *owner, uint32_t number, const char *reason)
{
    struct world *w = owner;
    ensure(number == (w->is_dialled ? 3u : 1u));
    ensure(strlen(reason) <= PEER_REASON_BYTES_MAX);
}

static void on_connected(void *owner, const struct peer_hello *hello)
{
    struct world *w = owner;
    ensure(!w->is_connected);
    ensure(hello->number == (w->is_dialled ? 3u : 1u));
    w->is_connected = true;
}

static void on_disconnected(void *owner, uint32_t number)
{
    struct world *w = owner;
    ensure(w->is_connected);
    ensure(number == (w->is_dialled ? 3u : 1u));
    w->is_connected = false;
}

static void on_received(void *owner, uint32_t number, enum peer_class class, struct bytes message)
{
    struct world *w = owner;
    ensure(w->is_connected);
    ensure(message.size > 0);
    if (w->is_guided) {
        ensure(w->is_expected[class]);
        ensure(bytes_equal(message, buf_bytes(&w->expected[class])));
        w->is_expected[class] = false;
    }
    bool was_taken = peers_send(w->peers, number, class, &message, 1);
    ensure(was_taken);
}

static const struct peer_events events = {
    .judge = on_judge,
    .refused = on_refused,
    .connected = on_connected,
    .disconnected = on_disconnected,
    .received = on_received,
};

static void on_ended(void *owner)
{
    struct world *w = owner;
    ensure(!w->has_ended);
    w->has_ended = true;
}

/* ---- the input's side ------------------------------------------------------------------------ */

/* Gives bytes to the node in pieces, each of exactly its memory. False: it closed. */
static bool say(struct world *w, struct bytes bytes)
{
    while (bytes.size > 0 && !w->has_closed) {
        size_t size = (size_t)prng_between(&w->prng, 1, bytes.size);
        uint8_t *piece = mem_alloc(size);
        memcpy(piece, bytes.data, size);
        w->said += size;
        w->conn->events->read(w->conn, bytes_of(piece, size));
        mem_free(piece);
        bytes = bytes_of(bytes.data + size, bytes.size - size);
        peers_flush(w->peers);
        if (w->owes_drained && !w->has_closed) {
            w->owes_drained = false;
            w->conn->events->drained(w->conn);
        }
        /* Echoes of messages wait in the queue at most once each. */
        ensure(peers_memory(w->peers) <= 8 * w->said + MEMORY_IDLE_BYTES);
    }
    return !w->has_closed;
}

/* Both hellos and the first frame, so that the connection stands. */
static void greet(struct world *w)
{
    struct peer_intro ours = {
        .about = {.number = w->is_dialled ? 3 : 1, .incarnation = 1},
        .target = SELF,
        .count = NODES,
        .version_min = PEER_VERSION_MIN,
        .version_max = PEER_VERSION_MAX,
    };
    uint8_t hello[PEER_HELLO_BYTES];
    peer_hello_encode(&ours, hello);
    bool stands = say(w, bytes_of(hello, sizeof hello));
    ensure(stands);
    struct peer_intro theirs;
    ensure(w->answered.size >= PEER_HELLO_BYTES);
    enum status status = peer_hello_decode(bytes_of(w->answered.data, PEER_HELLO_BYTES), &theirs);
    ensure(status == STATUS_OK);
    w->key = w->is_dialled ? peer_session_key(theirs.nonce, ours.nonce)
                           : peer_session_key(ours.nonce, theirs.nonce);
}

static uint32_t next_seed(struct world *w)
{
    enum peer_direction direction = w->is_dialled ? PEER_FROM_ACCEPTER : PEER_FROM_DIALLER;
    return peer_frame_seed(w->key, direction, w->frame_number++);
}

/* Says a frame whose checksums are right, whatever else it is. */
static bool say_frame(struct world *w,
                      unsigned kind,
                      unsigned flags,
                      unsigned reserved,
                      struct bytes payload)
{
    struct buf frame;
    buf_init(&frame, SAID_BYTES_MAX);
    uint32_t seed = next_seed(w);
    uint8_t *header = buf_reserve(&frame, PEER_FRAME_HEADER_BYTES);
    put_u32_le(header, (uint32_t)payload.size);
    header[4] = (uint8_t)kind;
    header[5] = (uint8_t)flags;
    put_u16_le(header + 6, (uint16_t)reserved);
    put_u32_le(header + 8, crc32c(seed, payload.data, payload.size));
    put_u32_le(header + 12, crc32c(seed, header, 12));
    buf_extend(&frame, PEER_FRAME_HEADER_BYTES);
    buf_append_bytes(&frame, payload);
    bool stands = say(w, buf_bytes(&frame));
    buf_deinit(&frame);
    return stands;
}

static bool is_allowed(unsigned kind, unsigned flags, unsigned reserved, size_t size)
{
    if (flags > 1 || reserved != 0) {
        return false;
    }
    return kind == PEER_FRAME_CONTROL ? size == 0 && flags == 1
                                      : kind < PEER_CLASS_COUNT && size > 0;
}

/* Each frame: kind, flags, reserved, size of the payload, payload. */
static void say_frames(struct world *w, struct bytes input)
{
    bool stands = true;
    while (stands && input.size >= 4) {
        unsigned kind = input.data[0] % 8;
        unsigned flags = input.data[1] % 4;
        unsigned reserved = input.data[2] < 250 ? 0 : input.data[2];
        size_t left = input.size - 4;
        size_t size = input.data[3] < left ? input.data[3] : left;
        struct bytes payload = bytes_of(input.data + 4, size);
        input = bytes_of(payload.data + size, left - size);
        bool must_stand = is_allowed(kind, flags, reserved, size);
        if (must_stand && kind < PEER_CLASS_COUNT) {
            buf_append_bytes(&w->expected[kind], payload);
            w->is_expected[kind] = flags == 1;
        }
        stands = say_frame(w, kind, flags, reserved, payload);
        ensure(stands == must_stand);
        if (must_stand && kind < PEER_CLASS_COUNT && flags == 1) {
            ensure(!w->is_expected[kind]); /* it came */
            buf_clear(&w->expected[kind], SIZE_MAX);
        }
    }
    ensure(stands == w->is_connected);
}

/* ---- one input ------------------------------------------------------------------------------- */

static void world_begin(struct world *w, uint8_t choice)
{
    static const char *const addresses[NODES] = {"one", "two", "three"};
    const struct peer_options options = {
        .listen = addresses[SELF - 1],
        .self = SELF,
        .count = NODES,
        .addresses = addresses,
        .node_id = {0xff},
    };
    *w = (struct world){.env.ops = &ops, .now_us = 1000000};
    w->is_dialled = (choice & 1) != 0;
    w->is_guided = (choice & 2) != 0;
    w->is_blocking = (choice & 4) != 0;
    timers_init(&w->timers);
    prng_init(&w->prng, choice);
    buf_init(&w->answered, SAID_BYTES_MAX);
    for (unsigned class = 0; class < PEER_CLASS_COUNT; class ++) {
        buf_init(&w->expected[class], SAID_BYTES_MAX);
    }
    w->peers = peers_create(&w->env, &options, &events, w);
    enum status status = peers_start(w->peers, NULL);
    ensure(status == STATUS_OK);
    if (w->is_dialled) {
        timers_fire(&w->timers, w->now_us); /* the dialling of node 3 */
        ensure(w->conn != NULL);
        w->conn->events->connected(w->conn);
    } else {
        struct env_conn *conn = make_conn(w);
        w->listener->accepted(w->listener, conn, "somebody");
    }
}

/* All ends, from this side or from the node's; whatever was said, it must come out even. */
static void world_end(struct world *w, bool ends_first)
{
    if (ends_first && !w->has_closed) {
        w->conn->events->ended(w->conn);
        ensure(w->has_closed);
        ensure(!w->is_connected);
    }
    peers_close(w->peers, on_ended, w);
    ensure(w->has_closed);
    ensure(!w->is_connected);
    ensure(!w->has_ended);
    w->conn->events->closed(w->conn);
    ensure(w->has_ended);
    ensure(timers_next_due_us(&w->timers) == UINT64_MAX);
    mem_free(w->conn);
    peers_destroy(w->peers);
    buf_deinit(&w->answered);
    for (unsigned class = 0; class < PEER_CLASS_COUNT; class ++) {
        buf_deinit(&w->expected[class]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct world w;
    world_begin(&w, data[0]);
    struct bytes input = bytes_of(data + 1, size - 1);
    if (w.is_guided) {
        greet(&w);
        bool stands = say_frame(&w, PEER_FRAME_CONTROL, 1, 0, bytes_of(NULL, 0));
        ensure(stands);
        ensure(w.is_connected);
        say_frames(&w, input);
    } else {
        (void)say(&w, input);
    }
    world_end(&w, (data[0] & 8) != 0);
    return 0;
}
