/*
 * Requests of other nodes that run here. Nothing they say is believed: a command gets into a shard
 * only if this node's own gateway could have sent it.
 */
#include "base/assert.h"
#include "base/mem.h"
#include "protocol/resp_writer.h"
#include "router/router_parts.h"

/* One command in a shard here. */
struct served {
    struct list all_link; /* in router.all_served */
    struct list link;     /* in router.free_served */
    struct router *router;
    struct router_peer *peer;
    struct route *route;
    uint64_t ticket;
    uint32_t item;
    uint32_t incarnation; /* of the node that asked */
    uint64_t charged;
    struct buf bytes;
    struct buf reply;
    struct shard_request shard;
};

static void served_destroy(struct served *s)
{
    list_remove(&s->all_link);
    buf_deinit(&s->bytes);
    buf_deinit(&s->reply);
    mem_free(s);
}

static struct served *served_create(struct router *r)
{
    struct list *link = list_take_first(&r->free_served);
    if (link != NULL) {
        r->free_served_count--;
        return container_of(link, struct served, link);
    }
    struct served *s = mem_alloc_zero(sizeof *s);
    list_init(&s->link);
    list_append(&r->all_served, &s->all_link);
    buf_init(&s->bytes, ROUTER_COMMAND_BYTES_MAX);
    buf_init(&s->reply, SIZE_MAX / 2);
    return s;
}

static void served_release(struct router *r, struct served *s)
{
    if (r->free_served_count >= ROUTER_FREE_MAX) {
        served_destroy(s);
        return;
    }
    buf_clear(&s->bytes, ROUTER_COMMAND_BYTES_KEPT);
    buf_clear(&s->reply, ROUTER_REPLY_BYTES_KEPT);
    list_append(&r->free_served, &s->link);
    r->free_served_count++;
}

void router_serve_destroy(struct router *r)
{
    while (!list_is_empty(&r->all_served)) {
        served_destroy(container_of(r->all_served.next, struct served, all_link));
    }
}

/* ---- replies --------------------------------------------------------------------------------- */

static void append_reply(struct router *r,
                         struct router_peer *peer,
                         uint32_t incarnation,
                         const struct forward_reply *reply)
{
    if (peer->incarnation != incarnation) {
        reached("router: reply for a dead incarnation");
        return;
    }
    size_t before = peer->replies.size;
    if (before == 0) {
        forward_replies_start(&peer->replies, incarnation);
        list_append(&r->replying_peers, &peer->replies_link);
    }
    forward_reply_append(&peer->replies, reply);
    r->memory += peer->replies.size - before;
    if (peer->replies.size >= ROUTER_MESSAGE_BYTES) {
        router_send_replies(r, peer);
    }
}

static void refuse(struct router *r,
                   struct router_peer *peer,
                   const struct forward_batch *batch,
                   uint32_t item,
                   enum forward_verdict verdict)
{
    bool is_known = batch->group <= r->options.group_count;
    struct forward_reply reply = {
        .ticket = batch->ticket,
        .item = item,
        .leader = is_known ? router_leader_of(r, batch->group) : 0,
        .verdict = verdict,
    };
    append_reply(r, peer, peer->incarnation, &reply);
}

static enum forward_verdict forward_verdict_of(enum shard_verdict verdict)
{
    switch (verdict) {
    case SHARD_DONE:
        return FORWARD_DONE;
    case SHARD_REFUSED:
        return FORWARD_REFUSED;
    case SHARD_LOST:
        return FORWARD_LOST;
    case SHARD_FULL:
        return FORWARD_FULL;
    case SHARD_NO_SPACE:
        return FORWARD_NO_SPACE;
    }
    unreachable("every verdict of a shard is handled");
}

static void on_served(struct shard_request *shard, enum shard_verdict verdict)
{
    struct served *s = container_of(shard, struct served, shard);
    struct router *r = s->router;
    if (verdict != SHARD_DONE) {
        r->has_served_no_space = r->has_served_no_space || verdict == SHARD_NO_SPACE;
        r->has_served_failed = true;
        buf_clear(&s->reply, 0);
    } else if (s->reply.size > ROUTER_REPLY_BYTES_MAX) {
        buf_clear(&s->reply, 0);
        resp_write_errorf(&s->reply,
                          "%s the command was executed; its reply is larger than %u bytes",
                          status_prefix(STATUS_OUTCOME_UNKNOWN),
                          ROUTER_REPLY_BYTES_MAX);
    }
    struct forward_reply reply = {
        .ticket = s->ticket,
        .item = s->item,
        .leader = router_leader_of(r, s->route->group),
        .verdict = forward_verdict_of(verdict),
        .reply = buf_bytes(&s->reply),
    };
    append_reply(r, s->peer, s->incarnation, &reply);
    r->memory -= s->charged;
    s->peer->served_bytes -= s->charged;
    served_release(r, s);
}

/* ---- running --------------------------------------------------------------------------------- */

static struct served *serve_one(struct router *r,
                                struct router_peer *peer,
                                const struct forward_batch *batch,
                                uint32_t item,
                                struct bytes command)
{
    struct served *s = served_create(r);
    s->router = r;
    s->peer = peer;
    s->route = &r->routes[batch->group];
    s->ticket = batch->ticket;
    s->item = item;
    s->incarnation = peer->incarnation;
    buf_append_bytes(&s->bytes, command);
    s->charged = sizeof *s + s->bytes.size;
    s->shard = (struct shard_request){
        .bytes = buf_bytes(&s->bytes),
        .reply = &s->reply,
        .done = on_served,
        .chain = r->chain_last, /* of this batch */
    };
    r->stats->requests_served++;
    r->memory += s->charged;
    peer->served_bytes += s->charged;
    return s;
}

/* False: refused; it was not proposed, and neither must be any behind it in the batch. */
static bool serve_command(struct router *r,
                          struct router_peer *peer,
                          const struct forward_batch *batch,
                          uint32_t item,
                          struct bytes command)
{
    struct shard *shard =
        batch->group <= r->options.group_count ? r->routes[batch->group].where->shard : NULL;
    if (shard == NULL) {
        reached("router: asked for a group of others");
        return false;
    }
    if (peer->served_bytes > 0 && peer->served_bytes + command.size > ROUTER_SERVED_BYTES_MAX) {
        reached("router: too many requests of one peer");
        return false;
    }
    if (!router_is_good(r, peer, batch->group, command)) {
        reached("router: bad request of a peer");
        return false;
    }
    struct served *s = serve_one(r, peer, batch, item, command);
    shard_submit(shard, &s->shard); /* s may be gone after it */
    return true;
}

/*
 * The requests of a batch are one run of one connection: a later one must not take effect without
 * those before it (ORD-7). So the first that is not taken ends it; for want of space all behind it
 * get the same answer, as each of them is final where it is the only copy.
 */
static void serve_batch(struct router *r,
                        struct router_peer *peer,
                        const struct forward_batch *batch,
                        struct forward_reader *reader)
{
    r->has_served_failed = false;
    r->has_served_no_space = false;
    r->chain_last++;
    bool is_refused = false;
    for (uint32_t item = 0; item < batch->count; item++) {
        struct bytes command = forward_next_command(reader);
        is_refused =
            is_refused || r->has_served_failed || !serve_command(r, peer, batch, item, command);
        if (is_refused) {
            bool is_full = r->has_served_no_space;
            refuse(r, peer, batch, item, is_full ? FORWARD_NO_SPACE : FORWARD_REFUSED);
        }
    }
}

void router_serve(struct router *r, uint32_t node, struct forward_reader *reader)
{
    struct router_peer *peer = &r->peer_table[node];
    if (peer->incarnation != reader->incarnation) {
        router_drop_replies(r, peer); /* they are for a process that is dead */
        peer->incarnation = reader->incarnation;
    }
    peer->heard = reader->incarnation;
    struct forward_batch batch;
    while (forward_next_batch(reader, &batch)) {
        serve_batch(r, peer, &batch, reader);
    }
}
