/* Bytes under way from one end of a connection to the other: latency, loss, cuts, splitting. */
#include "base/assert.h"
#include "base/mem.h"
#include "sim/sim_conn.h"

#define TINY_CHUNKS_MAX 40u
#define TINY_CHUNK_BYTES_MAX 16u
#define RETRANSMIT_US (200 * MS_US)
#define RETRANSMITS_MAX 5
#define RESUME_US_MAX (300 * MS_US)

static struct sim_chunk *chunk_of(struct list *link)
{
    return container_of(link, struct sim_chunk, link);
}

static struct sim_link *link_of(struct sim_end *from)
{
    return &from->conn->network->links[from->host][sim_end_other(from)->host];
}

static bool is_clogged(const struct sim_env *e)
{
    return e != NULL && e->world->now_us < e->clogged_until_us;
}

static uint64_t latency_us(struct sim_end *from)
{
    struct sim_network *n = from->conn->network;
    const struct sim_link *link = link_of(from);
    uint64_t us = prng_between(&n->prng, 10, n->options.latency_us_max);
    if (is_clogged(from->env) || is_clogged(sim_end_other(from)->env)) {
        us += prng_between(&n->prng, 50 * MS_US, 1000 * MS_US);
    }
    if (link->delay_us_max > 0) {
        us += prng_below(&n->prng, link->delay_us_max);
    }
    uint64_t retransmit_us = RETRANSMIT_US;
    for (int i = 0; i < RETRANSMITS_MAX && prng_chance(&n->prng, link->loss_per_mille); i++) {
        us += retransmit_us;
        retransmit_us *= 2;
    }
    return us;
}

static void fire_arrival(void *owner, void *item, uint64_t tag);

/* Later than everything sent before. */
static void schedule_arrival(struct sim_end *from, uint64_t delay_us)
{
    struct world *w = from->conn->network->world;
    uint64_t at_us = w->now_us + delay_us;
    struct sim_pipe *pipe = &from->out;
    pipe->last_at_us = at_us > pipe->last_at_us ? at_us : pipe->last_at_us;
    world_schedule(w, pipe->last_at_us - w->now_us, fire_arrival, from, NULL, 0);
}

void sim_pipe_put(struct sim_end *from, enum sim_chunk_kind kind, struct bytes bytes)
{
    struct sim_chunk *chunk = mem_alloc(sizeof *chunk + bytes.size);
    *chunk = (struct sim_chunk){.kind = kind, .size = bytes.size};
    if (bytes.size > 0) {
        memcpy(chunk->data, bytes.data, bytes.size);
    }
    list_append(&from->out.chunks, &chunk->link);
    from->out.bytes += bytes.size;
    schedule_arrival(from, latency_us(from));
}

void sim_pipe_send(struct sim_end *from, struct bytes bytes)
{
    struct sim_network *n = from->conn->network;
    bool is_tiny = prng_chance(&n->prng, n->options.tiny_chunk_per_mille);
    size_t pieces = is_tiny ? TINY_CHUNKS_MAX : (size_t)prng_between(&n->prng, 1, 3);
    size_t at = 0;
    while (at < bytes.size && !from->out.is_ended) {
        size_t left = bytes.size - at;
        size_t most = is_tiny && left > TINY_CHUNK_BYTES_MAX ? TINY_CHUNK_BYTES_MAX : left;
        size_t size = pieces-- > 1 ? (size_t)prng_between(&n->prng, 1, most) : left;
        sim_pipe_put(from, SIM_CHUNK_BYTES, bytes_of(bytes.data + at, size));
        at += size;
    }
}

void sim_pipe_end(struct sim_end *from)
{
    if (!from->out.is_ended) {
        sim_pipe_put(from, SIM_CHUNK_END, bytes_of(NULL, 0));
        from->out.is_ended = true;
    }
}

void sim_pipe_consumed(struct sim_end *from, size_t size)
{
    ensure(size <= from->out.bytes);
    from->out.bytes -= size;
    if (from->waits_for_window &&
        from->out.bytes <= from->conn->network->options.window_bytes / 2) {
        from->waits_for_window = false;
        if (from->socket != NULL && from->env->is_up) {
            sim_env_deliver(from->env, SIM_DELIVERY_DRAINED, from);
        }
    }
}

void sim_pipe_drop(struct sim_end *from, size_t keep)
{
    size_t i = 0;
    for (struct list *l = from->out.chunks.next; l != &from->out.chunks;) {
        struct sim_chunk *chunk = chunk_of(l);
        l = l->next;
        if (i++ >= keep) {
            size_t size = chunk->size;
            list_remove(&chunk->link);
            mem_free(chunk);
            sim_pipe_consumed(from, size);
        }
    }
}

void sim_pipe_lose(struct sim_end *from)
{
    struct prng *p = &from->conn->network->prng;
    size_t count = 0;
    list_each(l, &from->out.chunks) {
        count++;
    }
    if (prng_chance(p, 600)) {
        sim_pipe_drop(from, (size_t)prng_below(p, count + 1));
        from->out.is_ended = false; /* the mark of the end may be among what was lost */
    }
}

/* Nothing gets through: a cut link, or a machine without power, whose answers would be missing. */
static bool is_blocked(struct sim_end *from, const struct sim_chunk *chunk)
{
    struct sim_end *to = sim_end_other(from);
    if (link_of(from)->cuts > 0) {
        return true;
    }
    if (chunk->kind == SIM_CHUNK_KNOCK) {
        const struct sim_env *target = from->conn->target;
        return link_of(to)->cuts > 0 || (target != NULL && target->is_powerless);
    }
    return to->is_gone && to->is_silent && to->env->is_powerless;
}

static void fire_arrival(void *owner, void *item, uint64_t tag)
{
    struct sim_end *from = owner;
    struct sim_pipe *pipe = &from->out;
    (void)item;
    (void)tag;
    if (list_is_empty(&pipe->chunks)) {
        return; /* lost on the way */
    }
    struct world *w = from->conn->network->world;
    if (w->now_us < pipe->held_until_us) {
        schedule_arrival(from, pipe->held_until_us - w->now_us);
        return;
    }
    struct sim_chunk *chunk = chunk_of(pipe->chunks.next);
    if (is_blocked(from, chunk)) {
        pipe->stalled++;
        return;
    }
    list_remove(&chunk->link);
    sim_end_arrive(sim_end_other(from), chunk);
    mem_free(chunk);
}

void sim_pipe_resume(struct sim_end *from)
{
    struct sim_network *n = from->conn->network;
    size_t count = from->out.stalled;
    from->out.stalled = 0;
    if (count > 0) {
        uint64_t pause_us = prng_between(&n->prng, 1, RESUME_US_MAX);
        for (size_t i = 0; i < count; i++) {
            schedule_arrival(from, pause_us + latency_us(from));
        }
    }
}
