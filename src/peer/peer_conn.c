#include "peer/peer_conn.h"

#include "base/assert.h"
#include "base/mem.h"

/* Memory of a finished message kept for the next one. */
#define PARTIAL_KEEP_BYTES (64u * 1024u)
/* A hello, its answer and the first frame; nothing else waits outside the queues. */
#define OUT_BYTES_MAX (2u * PEER_GREETING_BYTES_MAX)
#define SILENT_TICKS_MAX (PEER_SILENCE_MS / PEER_KEEPALIVE_MS)

#define BIT(state) (1u << (state))

/* Which states may follow. */
static const unsigned next_states[PEER_CONN_STATE_COUNT] = {
    [PEER_CONN_DIALLING] = BIT(PEER_CONN_GREETING) | BIT(PEER_CONN_CLOSING),
    [PEER_CONN_GREETING] = BIT(PEER_CONN_PROVING) | BIT(PEER_CONN_CLOSING),
    [PEER_CONN_PROVING] = BIT(PEER_CONN_OPEN) | BIT(PEER_CONN_CLOSING),
    [PEER_CONN_OPEN] = BIT(PEER_CONN_CLOSING),
    [PEER_CONN_CLOSING] = 0,
};

static void move(struct peer_conn *c, enum peer_conn_state state)
{
    ensure((next_states[c->state] & BIT(state)) != 0);
    c->state = state;
}

/* ---- the end --------------------------------------------------------------------------------- */

void peer_conn_close(struct peer_conn *c)
{
    if (c->state == PEER_CONN_CLOSING) {
        return;
    }
    move(c, PEER_CONN_CLOSING);
    env_timer_stop(c->env, &c->timer);
    env_conn_close(c->port);
}

static void fail(struct peer_conn *c, enum peer_failure failure, const char *why)
{
    ensure(c->state != PEER_CONN_CLOSING);
    peer_conn_close(c);
    c->events->failed(c, failure, why);
}

/* ---- output ---------------------------------------------------------------------------------- */

static void write_now(struct peer_conn *c, struct bytes bytes)
{
    ensure(!c->is_blocked);
    c->has_written = true;
    c->is_blocked = !env_conn_write(c->port, bytes);
}

/* Sends c->out, or leaves it for drained(). */
static void write_out(struct peer_conn *c)
{
    if (!c->is_blocked && c->out.size > 0) {
        write_now(c, buf_bytes(&c->out));
        buf_clear(&c->out, 0);
    }
}

static enum peer_direction direction_out(const struct peer_conn *c)
{
    return c->is_dialled ? PEER_FROM_DIALLER : PEER_FROM_ACCEPTER;
}

static enum peer_direction direction_in(const struct peer_conn *c)
{
    return c->is_dialled ? PEER_FROM_ACCEPTER : PEER_FROM_DIALLER;
}

static void put_frame(struct peer_conn *c,
                      unsigned kind,
                      bool is_last,
                      struct bytes payload,
                      struct buf *out)
{
    uint32_t seed = peer_frame_seed(c->key, direction_out(c), c->sent_count++);
    uint8_t *at = buf_reserve(out, PEER_FRAME_HEADER_BYTES + payload.size);
    peer_frame_encode(seed, kind, is_last, payload, at);
    buf_extend(out, PEER_FRAME_HEADER_BYTES);
    buf_append_bytes(out, payload);
}

static void put_hello(struct peer_conn *c)
{
    uint8_t *at = buf_reserve(&c->out, PEER_HELLO_BYTES);
    peer_hello_encode(&c->ours, at);
    buf_extend(&c->out, PEER_HELLO_BYTES);
}

bool peer_conn_write(struct peer_conn *c, struct peer_queue *q, struct buf *scratch)
{
    ensure(scratch->size == 0);
    if (c->state != PEER_CONN_OPEN || c->is_blocked || peer_queue_is_empty(q)) {
        return false;
    }
    ensure(c->out.size == 0);
    struct peer_chunk chunk;
    size_t room = PEER_WRITE_BYTES_MAX;
    while (room > PEER_FRAME_HEADER_BYTES) {
        size_t payload_max = room - PEER_FRAME_HEADER_BYTES;
        if (payload_max > PEER_PAYLOAD_BYTES_MAX) {
            payload_max = PEER_PAYLOAD_BYTES_MAX;
        }
        if (!peer_queue_peek(q, payload_max, &chunk)) {
            break;
        }
        put_frame(c, chunk.class, chunk.is_last, chunk.bytes, scratch);
        peer_queue_drop(q, &chunk);
        room = PEER_WRITE_BYTES_MAX - scratch->size;
    }
    write_now(c, buf_bytes(scratch));
    buf_clear(scratch, PEER_WRITE_BYTES_MAX);
    return !c->is_blocked && !peer_queue_is_empty(q);
}

static void on_drained(struct env_conn *port)
{
    struct peer_conn *c = port->owner;
    c->is_blocked = false;
    write_out(c);
}

/* ---- greetings ------------------------------------------------------------------------------- */

/* The reason goes out if nothing is in its way; what matters is that the connection ends. */
static void refuse(struct peer_conn *c, const char *reason)
{
    peer_refused_encode(reason, &c->out);
    write_out(c);
    fail(c, PEER_FAILURE_REFUSED, reason);
}

/* The next thing begins: a frame, or a greeting that refuses us. */
static void want_header(struct peer_conn *c)
{
    buf_clear(&c->in, PEER_FRAME_BYTES_MAX);
    c->wanted = PEER_FRAME_HEADER_BYTES;
}

static void take_hello(struct peer_conn *c)
{
    struct peer_intro theirs;
    enum status status = peer_hello_decode(buf_bytes(&c->in), &theirs);
    if (status == STATUS_UNSUPPORTED) {
        refuse(c, "no protocol version in common");
        return;
    }
    if (status != STATUS_OK) {
        fail(c, PEER_FAILURE_STRANGE, "damaged hello");
        return;
    }
    if (!theirs.is_same_machine) {
        refuse(c, "another byte order or floating point format");
        return;
    }
    c->theirs = theirs;
    const char *reason = c->events->greeted(c);
    if (c->state == PEER_CONN_CLOSING) {
        return;
    }
    if (reason != NULL) {
        refuse(c, reason);
        return;
    }
    c->key = c->is_dialled ? peer_session_key(c->ours.nonce, c->theirs.nonce)
                           : peer_session_key(c->theirs.nonce, c->ours.nonce);
    move(c, PEER_CONN_PROVING);
    want_header(c);
    if (!c->is_dialled) {
        c->ours.target = c->theirs.about.number;
        put_hello(c);
    }
    put_frame(c, PEER_FRAME_CONTROL, true, bytes_of(NULL, 0), &c->out);
    write_out(c);
}

static void take_refusal(struct peer_conn *c)
{
    char reason[PEER_REASON_BYTES_MAX + 1];
    if (peer_refused_decode(buf_bytes(&c->in), reason) != STATUS_OK) {
        fail(c, PEER_FAILURE_STRANGE, "damaged refusal");
        return;
    }
    c->events->refused(c, reason);
    if (c->state != PEER_CONN_CLOSING) {
        fail(c, PEER_FAILURE_ENDED, "refused");
    }
}

/* There is a header at least, or the whole greeting. */
static void step_greeting(struct peer_conn *c)
{
    size_t size = 0;
    enum peer_greeting kind = PEER_GREETING_HELLO;
    if (peer_greeting_decode(buf_bytes(&c->in), &size, &kind) != STATUS_OK) {
        fail(c, PEER_FAILURE_STRANGE, "no greeting of a node");
    } else if (c->in.size < size) {
        c->wanted = size;
    } else if (kind == PEER_GREETING_REFUSED) {
        take_refusal(c);
    } else if (c->state == PEER_CONN_GREETING) {
        take_hello(c);
    } else {
        fail(c, PEER_FAILURE_STRANGE, "second hello");
    }
}

/* ---- frames ---------------------------------------------------------------------------------- */

static void on_tick(struct env_timer *timer);

static void open_conn(struct peer_conn *c)
{
    move(c, PEER_CONN_OPEN);
    c->timer.cb = on_tick;
    env_timer_start(c->env, &c->timer, PEER_KEEPALIVE_MS);
    c->events->opened(c);
}

static void take_chunk(struct peer_conn *c, enum peer_class class, struct bytes chunk)
{
    struct buf *partial = &c->partial[class];
    if (partial->size == 0 && c->frame.is_last) {
        c->events->received(c, class, chunk);
        return;
    }
    if (chunk.size > buf_room(partial)) {
        fail(c, PEER_FAILURE_STRANGE, "message over the limit");
        return;
    }
    buf_append_bytes(partial, chunk);
    if (c->frame.is_last) {
        c->events->received(c, class, buf_bytes(partial));
        buf_clear(partial, PARTIAL_KEEP_BYTES);
    }
}

/* Header and payload are there, whole and in their place. */
static void take_frame(struct peer_conn *c)
{
    c->received_count++;
    if (c->state == PEER_CONN_PROVING) {
        ensure(c->frame.kind == PEER_FRAME_CONTROL);
        open_conn(c);
    } else if (c->frame.kind != PEER_FRAME_CONTROL) {
        struct bytes chunk = bytes_of(c->in.data + PEER_FRAME_HEADER_BYTES, c->frame.size);
        take_chunk(c, (enum peer_class)c->frame.kind, chunk);
    }
    want_header(c);
}

static const char *why_bad(enum status status)
{
    return status == STATUS_CORRUPT ? "frame damaged or out of place" : "frame not allowed";
}

static void step_frame(struct peer_conn *c)
{
    uint32_t seed = peer_frame_seed(c->key, direction_in(c), c->received_count);
    enum status status = STATUS_OK;
    if (c->in.size == PEER_FRAME_HEADER_BYTES) {
        status = peer_frame_decode(seed, c->in.data, &c->frame);
        if (status == STATUS_OK && c->state == PEER_CONN_PROVING && c->frame.size > 0) {
            fail(c, PEER_FAILURE_STRANGE, "message before the proof");
            return;
        }
        if (status == STATUS_OK && c->frame.size > 0) {
            c->wanted = PEER_FRAME_HEADER_BYTES + c->frame.size;
            return;
        }
    }
    if (status == STATUS_OK) {
        status = peer_frame_check(seed, &c->frame, c->in.data + PEER_FRAME_HEADER_BYTES);
    }
    if (status != STATUS_OK) {
        fail(c, PEER_FAILURE_STRANGE, why_bad(status));
        return;
    }
    take_frame(c);
}

/* In place of the first frame a refusal may come: a greeting. Nothing is both. */
static void step_proof(struct peer_conn *c)
{
    size_t size = 0;
    enum peer_greeting kind = PEER_GREETING_HELLO;
    enum status status = peer_greeting_decode(buf_bytes(&c->in), &size, &kind);
    if (status == STATUS_MALFORMED && c->in.size < PEER_GREETING_HEADER_BYTES) {
        step_frame(c);
    } else if (status == STATUS_NEED) {
        c->wanted = PEER_GREETING_HEADER_BYTES;
    } else {
        step_greeting(c);
    }
}

/* ---- input ----------------------------------------------------------------------------------- */

static void step(struct peer_conn *c)
{
    switch (c->state) {
    case PEER_CONN_GREETING:
        step_greeting(c);
        return;
    case PEER_CONN_PROVING:
        step_proof(c);
        return;
    case PEER_CONN_OPEN:
        step_frame(c);
        return;
    case PEER_CONN_DIALLING:
    case PEER_CONN_CLOSING:
    case PEER_CONN_STATE_COUNT:
        break;
    }
    unreachable("input in this state");
}

/* Strangers are told by their first wrong byte: some of them send little and wait. */
static bool is_stranger(const struct peer_conn *c)
{
    size_t size = 0;
    enum peer_greeting kind = PEER_GREETING_HELLO;
    return c->state == PEER_CONN_GREETING &&
           peer_greeting_decode(buf_bytes(&c->in), &size, &kind) == STATUS_MALFORMED;
}

static void on_read(struct env_conn *port, struct bytes bytes)
{
    struct peer_conn *c = port->owner;
    c->has_heard = true;
    c->heard_us = env_now_us(c->env);
    while (c->state != PEER_CONN_CLOSING) {
        ensure(c->in.size < c->wanted);
        size_t missing = c->wanted - c->in.size;
        size_t taken = missing < bytes.size ? missing : bytes.size;
        buf_append(&c->in, bytes.data, taken);
        bytes = bytes_of(bytes.data + taken, bytes.size - taken);
        if (taken == missing) {
            step(c);
            continue;
        }
        if (is_stranger(c)) {
            fail(c, PEER_FAILURE_STRANGE, "no greeting of a node");
        }
        return;
    }
}

static void on_ended(struct env_conn *port)
{
    fail(port->owner, PEER_FAILURE_ENDED, "ended");
}

/* ---- time ------------------------------------------------------------------------------------ */

static void on_impatient(struct env_timer *timer)
{
    struct peer_conn *c = container_of(timer, struct peer_conn, timer);
    fail(c, PEER_FAILURE_SILENT, "no greeting in time");
}

/*
 * Silence is counted in ticks, not read from a clock: after this node itself stood still, one tick
 * fires before the input that waited is read.
 */
static void on_tick(struct env_timer *timer)
{
    struct peer_conn *c = container_of(timer, struct peer_conn, timer);
    c->silent_ticks = c->has_heard ? 0 : c->silent_ticks + 1;
    c->has_heard = false;
    if (c->silent_ticks >= SILENT_TICKS_MAX) {
        fail(c, PEER_FAILURE_SILENT, "silence");
        return;
    }
    if (!c->has_written && !c->is_blocked) {
        put_frame(c, PEER_FRAME_CONTROL, true, bytes_of(NULL, 0), &c->out);
        write_out(c);
    }
    c->has_written = false;
    env_timer_start(c->env, &c->timer, PEER_KEEPALIVE_MS);
}

/* ---- the beginning --------------------------------------------------------------------------- */

static void on_connected(struct env_conn *port)
{
    struct peer_conn *c = port->owner;
    move(c, PEER_CONN_GREETING);
    put_hello(c);
    write_out(c);
}

static void on_closed(struct env_conn *port)
{
    struct peer_conn *c = port->owner;
    ensure(c->state == PEER_CONN_CLOSING);
    c->events->closed(c);
}

static const struct env_conn_events port_events = {
    .connected = on_connected,
    .read = on_read,
    .ended = on_ended,
    .drained = on_drained,
    .closed = on_closed,
};

static void make_nonce(struct env *env, uint8_t out_nonce[PEER_NONCE_BYTES])
{
    uint64_t words[PEER_NONCE_BYTES / 8];
    for (size_t i = 0; i < PEER_NONCE_BYTES / 8; i++) {
        words[i] = env_random(env);
    }
    memcpy(out_nonce, words, PEER_NONCE_BYTES);
}

struct peer_conn *peer_conn_create(struct env *env,
                                   const struct peer_intro *ours,
                                   struct env_conn *port,
                                   const char *address,
                                   const struct peer_conn_events *events,
                                   void *owner)
{
    struct peer_conn *c = mem_alloc_zero(sizeof *c);
    c->owner = owner;
    c->is_dialled = address != NULL;
    ensure(c->is_dialled == (port == NULL));
    c->state = c->is_dialled ? PEER_CONN_DIALLING : PEER_CONN_GREETING;
    c->ours = *ours;
    make_nonce(env, c->ours.nonce);
    c->env = env;
    c->events = events;
    c->timer.cb = on_impatient;
    c->wanted = PEER_GREETING_HEADER_BYTES;
    list_init(&c->link);
    buf_init(&c->in, PEER_FRAME_BYTES_MAX);
    buf_init(&c->out, OUT_BYTES_MAX);
    for (unsigned class = 0; class < PEER_CLASS_COUNT; class ++) {
        buf_init(&c->partial[class], PEER_MESSAGE_BYTES_MAX);
    }
    if (c->is_dialled) {
        c->port = env_connect(env, address, &port_events, c);
    } else {
        c->port = port; /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): ensured above */
        port->events = &port_events;
        port->owner = c;
    }
    env_timer_start(env, &c->timer, PEER_HELLO_MS);
    return c;
}

void peer_conn_destroy(struct peer_conn *c)
{
    list_remove(&c->link);
    buf_deinit(&c->in);
    buf_deinit(&c->out);
    for (unsigned class = 0; class < PEER_CLASS_COUNT; class ++) {
        buf_deinit(&c->partial[class]);
    }
    mem_free(c);
}

uint64_t peer_conn_partial_bytes(const struct peer_conn *c)
{
    uint64_t bytes = 0;
    for (unsigned class = 0; class < PEER_CLASS_COUNT; class ++) {
        bytes += c->partial[class].size;
    }
    return bytes;
}

uint64_t peer_conn_memory(const struct peer_conn *c)
{
    uint64_t memory = sizeof *c + c->in.capacity + c->out.capacity;
    for (unsigned class = 0; class < PEER_CLASS_COUNT; class ++) {
        memory += c->partial[class].capacity;
    }
    return memory;
}
