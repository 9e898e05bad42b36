/*
 * A state on its way from here: a frozen state of the store, read ahead by one chunk.
 *
 *   BASE -> CHUNKS -> WAITS -> STAGED -> OVER      and from each to OVER
 */
#include "base/assert.h"
#include "base/mem.h"
#include "data/row.h"
#include "shard/snapshots_parts.h"
#include "shard/state_row.h"

/* Timers are not finer than this, so what is due this soon leaves now. */
#define RATE_BURST_US 2000u

static void on_range(struct store_range *range);

static struct snapshot_message message_of(const struct sending *x, enum snapshot_type type)
{
    return (struct snapshot_message){
        .route =
            {
                .group = x->group,
                .sender = replica_id(x->replica),
                .receiver = x->receiver,
            },
        .type = type,
        .session = x->session,
        .base = x->base,
    };
}

static bool say(struct sending *x, enum snapshot_type type)
{
    struct snapshot_message m = message_of(x, type);
    x->said_us = env_now_us(x->snapshots->env);
    return snapshots_say(x->snapshots, &m);
}

/* ---- beginning and end ----------------------------------------------------------------------- */

/*
 * What follows the states that are on their way stays in memory, until the receivers have had time
 * to ask for it. Before a base is known it may be any: index 0.
 */
static void hold_entries(struct sending *x)
{
    uint64_t index = REPLICA_HOLD_NONE;
    list_each(item, &x->snapshots->sendings) {
        const struct sending *other = container_of(item, struct sending, link);
        bool counts = other->group == x->group && other->state != SENDING_OVER;
        index = counts && other->base.index < index ? other->base.index : index;
    }
    replica_hold_entries(x->replica, index);
}

static void read_rows(struct sending *x)
{
    ensure(x->snapshot != NULL && !x->is_reading && !x->has_rows);
    x->is_reading = true;
    x->range.snapshot = x->snapshot;
    store_range_start(x->snapshots->store, &x->range);
}

void sending_start(struct snapshots *s, uint16_t group, struct replica *r, uint64_t receiver)
{
    struct sending *x = mem_alloc_zero(sizeof *x);
    x->snapshots = s;
    x->group = group;
    x->replica = r;
    x->receiver = receiver;
    x->session = env_random(s->env);
    x->generation = replica_generation(r);
    ensure(x->generation < UINT32_MAX);
    list_append(&s->sendings, &x->link);
    s->stats.sending++;
    hold_entries(x);
    x->snapshot = store_snapshot_open(s->store);
    store_range_init(&x->range);
    x->range.done = on_range;
    x->range.bytes_max = 1;
    row_key_append_group(&x->range.from, group, x->generation);
    row_key_append_group(&x->range.to, group, x->generation);
    buf_append(&x->range.to, "", 1); /* the first key behind it */
    read_rows(x);
}

/* The frozen state; no worker reads it. */
static void close_snapshot(struct sending *x)
{
    ensure(!x->is_reading);
    if (x->snapshot != NULL) {
        store_snapshot_close(x->snapshots->store, x->snapshot);
        x->snapshot = NULL;
    }
}

void sending_destroy(struct sending *x)
{
    if (x->snapshot != NULL) {
        store_snapshot_close(x->snapshots->store, x->snapshot);
    }
    store_range_deinit(&x->range);
    mem_free(x);
}

/* It is OVER: frees it when nothing holds it any more. */
static void free_if_done(struct sending *x)
{
    if (x->is_reading) {
        return;
    }
    close_snapshot(x);
    if (env_now_us(x->snapshots->env) >= x->until_us) {
        list_remove(&x->link);
        sending_destroy(x);
    }
}

void sending_end(struct sending *x, bool tells, uint32_t pause_ms)
{
    struct snapshots *s = x->snapshots;
    if (x->state < SENDING_STAGED) {
        s->stats.sending--;
        s->stats.failed += x->number > 0 || x->is_pulled ? 1 : 0; /* an offer alone is nothing */
    }
    if (tells && x->state != SENDING_OVER && x->state != SENDING_BASE) {
        (void)say(x, SNAPSHOT_ENDED);
    }
    x->state = SENDING_OVER;
    x->is_pulled = false;
    hold_entries(x);
    x->until_us = env_now_us(s->env) + (uint64_t)pause_ms * 1000u;
    free_if_done(x);
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* How far the frozen state goes. False: it says nothing of that, so there is nothing to send. */
static bool decode_base(struct sending *x)
{
    struct omap_item item;
    if (!omap_last(&x->range.rows, &item)) {
        return false;
    }
    struct state_row row;
    ensure(item.value != NULL);
    if (state_row_decode(blob_bytes(item.value), &row) != STATUS_OK) {
        env_halt(x->snapshots->env, "group %u: the row of its state is damaged", x->group);
        return false;
    }
    x->base = row.base;
    return x->base.config.count > 0;
}

static void offer(struct sending *x)
{
    struct snapshots *s = x->snapshots;
    if (!decode_base(x)) {
        /* Nothing was folded yet: the state is in the log and in memory only. */
        reached("snapshots: nothing to send yet");
        store_fold_soon(s->store);
        sending_end(x, false, 0);
        return;
    }
    x->state = SENDING_CHUNKS;
    x->heard_us = env_now_us(s->env);
    hold_entries(x);
    if (!say(x, SNAPSHOT_OFFER)) {
        sending_end(x, false, 0);
        return;
    }
    buf_clear(&x->range.from, SIZE_MAX);
    buf_clear(&x->range.to, SIZE_MAX);
    row_key_append_generation(&x->range.from, x->group, x->generation);
    row_key_append_generation(&x->range.to, x->group, x->generation + 1);
    x->range.bytes_max = s->options.chunk_bytes;
    read_rows(x);
}

static void on_range(struct store_range *range)
{
    struct sending *x = container_of(range, struct sending, range);
    x->is_reading = false;
    if (x->state == SENDING_OVER) {
        free_if_done(x);
    } else if (x->state == SENDING_BASE) {
        offer(x);
    } else {
        ensure(x->state == SENDING_CHUNKS);
        x->has_rows = true;
        snapshots_pump(x->snapshots);
    }
}

/* ---- chunks ---------------------------------------------------------------------------------- */

/* The rows at hand as a message. */
static void encode_chunk(const struct sending *x, struct buf *out)
{
    struct snapshot_message m = message_of(x, SNAPSHOT_CHUNK);
    m.number = x->number;
    m.is_last = x->range.is_end;
    const struct omap_node *at = NULL;
    struct omap_item item;
    snapshot_chunk_start(out);
    while (omap_next(&x->range.rows, &at, &item)) {
        ensure(item.key.size > ROW_GENERATION_BYTES && item.value != NULL);
        struct bytes key =
            bytes_of(item.key.data + ROW_GENERATION_BYTES, item.key.size - ROW_GENERATION_BYTES);
        snapshot_chunk_add(out, key, blob_bytes(item.value));
    }
    snapshot_chunk_finish(out, &m);
}

/* False: it found no room on its way; again at the next tick. */
static bool send_chunk(struct sending *x)
{
    struct snapshots *s = x->snapshots;
    struct buf chunk;
    buf_init(&chunk, PEER_MESSAGE_BYTES_MAX);
    encode_chunk(x, &chunk);
    struct bytes part = buf_bytes(&chunk);
    bool is_sent = peers_send(s->peers, replica_node(x->receiver), PEER_BULK, &part, 1);
    if (is_sent) {
        uint64_t now_us = env_now_us(s->env);
        uint64_t start_us = s->paid_until_us > now_us ? s->paid_until_us : now_us;
        s->paid_until_us = start_us + part.size * 1000000u / s->options.rate;
        s->stats.sent_bytes += part.size;
        x->heard_us = now_us;
        x->said_us = now_us;
    }
    buf_deinit(&chunk);
    return is_sent;
}

/* Sends the chunk that was pulled, and reads the next one ahead. False: there was no room. */
static bool go_on(struct sending *x)
{
    if (!send_chunk(x)) {
        reached("snapshots: no room for a chunk");
        return false;
    }
    x->number++;
    x->is_pulled = false;
    x->has_rows = false;
    if (x->range.is_end) {
        x->state = SENDING_WAITS;
        close_snapshot(x);
        omap_deinit(&x->range.rows);
        omap_init(&x->range.rows);
    } else {
        read_rows(x);
    }
    return true;
}

void snapshots_pump(struct snapshots *s)
{
    struct list *next;
    for (struct list *item = s->sendings.next; item != &s->sendings && !s->is_stopped;
         item = next) {
        next = item->next;
        struct sending *x = container_of(item, struct sending, link);
        if (!x->is_pulled || !x->has_rows) {
            continue;
        }
        uint64_t now_us = env_now_us(s->env);
        if (s->paid_until_us > now_us + RATE_BURST_US) {
            uint64_t wait_us = s->paid_until_us - now_us - RATE_BURST_US;
            env_timer_start(s->env, &s->rate, (wait_us + 999u) / 1000u);
            return;
        }
        if (!replica_is_leader(x->replica)) {
            sending_end(x, true, 0);
        } else if (go_on(x)) {
            /* To the end of the line: all get their share of the rate. */
            list_remove(&x->link);
            list_append(&s->sendings, &x->link);
        }
    }
}

/* ---- messages and time ----------------------------------------------------------------------- */

static void receive_pull(struct sending *x, uint64_t number)
{
    if (x->state == SENDING_STAGED) {
        /* The receiver takes the repeated offer for a new one: it has lost what was staged. */
        reached("snapshots: staged state lost by the receiver");
        sending_end(x, true, 0);
    } else if (number > x->number) {
        sending_end(x, true, SNAPSHOT_PAUSE_MS);
    } else if (x->state == SENDING_CHUNKS && number == x->number && !x->is_pulled) {
        x->is_pulled = true;
        x->said_us = x->heard_us;
    }
}

static void receive_staged(struct sending *x)
{
    struct snapshots *s = x->snapshots;
    if (x->state != SENDING_WAITS && x->state != SENDING_STAGED) {
        sending_end(x, true, SNAPSHOT_PAUSE_MS);
        return;
    }
    if (x->state == SENDING_WAITS) {
        x->state = SENDING_STAGED;
        x->until_us = x->heard_us + (uint64_t)SNAPSHOT_SILENCE_MS * 1000u;
        x->said_us = x->heard_us;
        s->stats.sending--;
        s->stats.sent++;
    }
    if (!replica_send_install(x->replica, x->receiver, &x->base)) {
        sending_end(x, true, 0);
    }
}

void sending_receive(struct sending *x, const struct snapshot_message *m)
{
    x->heard_us = env_now_us(x->snapshots->env);
    switch (m->type) {
    case SNAPSHOT_PULL:
        receive_pull(x, m->number);
        return;
    case SNAPSHOT_STAGED:
        receive_staged(x);
        return;
    case SNAPSHOT_REFUSED:
    case SNAPSHOT_ENDED:
        reached("snapshots: refused, or ended by the receiver");
        sending_end(x, false, SNAPSHOT_PAUSE_MS);
        return;
    case SNAPSHOT_OFFER:
    case SNAPSHOT_CHUNK:
    case SNAPSHOT_ALIVE:
        return;
    }
    unreachable("a message of no type");
}

void sending_ask(struct sending *x)
{
    if (snapshots_is_over(x->snapshots, x->said_us, SNAPSHOT_AGAIN_MS)) {
        reached("snapshots: install lost, asks for what is staged");
        (void)say(x, SNAPSHOT_OFFER);
    }
}

void sending_tick(struct sending *x)
{
    struct snapshots *s = x->snapshots;
    if (x->state == SENDING_OVER) {
        free_if_done(x);
        return;
    }
    if (!replica_is_leader(x->replica)) {
        reached("snapshots: sender no longer leads");
        sending_end(x, true, 0);
        return;
    }
    bool is_ours = x->state == SENDING_BASE || x->is_pulled;
    if (x->state == SENDING_STAGED) {
        if (env_now_us(s->env) >= x->until_us) {
            sending_end(x, true, 0);
        }
    } else if (!is_ours && snapshots_is_over(s, x->heard_us, SNAPSHOT_SILENCE_MS)) {
        reached("snapshots: silent receiver");
        sending_end(x, true, SNAPSHOT_PAUSE_MS);
    } else if (x->is_pulled && snapshots_is_over(s, x->said_us, SNAPSHOT_ALIVE_MS)) {
        (void)say(x, SNAPSHOT_ALIVE);
    }
}
