/* Transfers of groups' states: who they are for, messages to them, time, the first sync. */
#include "shard/snapshots.h"

#include "base/assert.h"
#include "base/mem.h"
#include "shard/snapshots_parts.h"

#define SCRATCH_BYTES_MAX ((size_t)4096)

/* ---- life ------------------------------------------------------------------------------------ */

static void on_rate(struct env_timer *timer)
{
    snapshots_pump(container_of(timer, struct snapshots, rate));
}

static void on_tick(struct env_timer *timer)
{
    struct snapshots *s = container_of(timer, struct snapshots, tick);
    s->is_ticking = false;
    omap_deinit(&s->taken);
    omap_init(&s->taken);
    struct list *next;
    for (struct list *item = s->sendings.next; item != &s->sendings; item = next) {
        next = item->next;
        sending_tick(container_of(item, struct sending, link));
    }
    for (struct list *item = s->takings.next; item != &s->takings; item = next) {
        next = item->next;
        taking_tick(container_of(item, struct taking, link));
    }
    snapshots_pump(s);
    if (!list_is_empty(&s->sendings) || !list_is_empty(&s->takings)) {
        snapshots_watch(s);
    }
}

void snapshots_watch(struct snapshots *s)
{
    if (!s->is_ticking && !s->is_stopped) {
        s->is_ticking = true;
        env_timer_start(s->env, &s->tick, SNAPSHOTS_TICK_MS);
    }
}

struct snapshots *snapshots_create(struct env *env,
                                   struct store *store,
                                   struct peers *peers,
                                   const struct snapshots_options *options)
{
    struct snapshots *s = mem_alloc_zero(sizeof *s);
    s->env = env;
    s->store = store;
    s->peers = peers;
    s->options = *options;
    if (s->options.rate == 0) {
        s->options.rate = SNAPSHOT_RATE_DEFAULT;
    }
    if (s->options.chunk_bytes == 0) {
        s->options.chunk_bytes = SNAPSHOT_CHUNK_BYTES;
    }
    ensure(s->options.chunk_bytes <= SNAPSHOT_CHUNK_BYTES);
    list_init(&s->sendings);
    list_init(&s->takings);
    buf_init(&s->message, SCRATCH_BYTES_MAX);
    omap_init(&s->taken);
    s->tick.cb = on_tick;
    s->rate.cb = on_rate;
    return s;
}

void snapshots_destroy(struct snapshots *s)
{
    if (s == NULL) {
        return;
    }
    struct list *item;
    while ((item = list_take_first(&s->sendings)) != NULL) {
        sending_destroy(container_of(item, struct sending, link));
    }
    while ((item = list_take_first(&s->takings)) != NULL) {
        taking_destroy(container_of(item, struct taking, link));
    }
    omap_deinit(&s->taken);
    buf_deinit(&s->message);
    mem_free(s->groups);
    mem_free(s);
}

/* Ends what is being taken; what is staged stays. */
static void end_takings(struct snapshots *s)
{
    struct list *next;
    for (struct list *item = s->takings.next; item != &s->takings; item = next) {
        next = item->next;
        struct taking *t = container_of(item, struct taking, link);
        if (t->state < TAKING_STAGED) {
            taking_end(t, true);
        }
    }
}

void snapshots_stop(struct snapshots *s)
{
    s->is_stopped = true;
    env_timer_stop(s->env, &s->tick);
    env_timer_stop(s->env, &s->rate);
    struct list *next;
    for (struct list *item = s->sendings.next; item != &s->sendings; item = next) {
        next = item->next;
        sending_end(container_of(item, struct sending, link), true, 0);
    }
    end_takings(s);
}

bool snapshots_is_busy(const struct snapshots *s)
{
    list_each(item, &s->sendings) {
        if (container_of(item, struct sending, link)->is_reading) {
            return true;
        }
    }
    list_each(item, &s->takings) {
        if (container_of(item, struct taking, link)->is_working) {
            return true;
        }
    }
    return false;
}

void snapshots_add(struct snapshots *s, uint16_t group, struct replica *r)
{
    size_t count = (size_t)group + 1;
    if (count > s->group_count) {
        s->groups = mem_realloc(s->groups, count * sizeof s->groups[0]);
        memset(&s->groups[s->group_count], 0, (count - s->group_count) * sizeof s->groups[0]);
        s->group_count = count;
    }
    ensure(s->groups[group].replica == NULL);
    s->groups[group].replica = r;
}

void snapshots_set_full(struct snapshots *s, bool is_full)
{
    if (is_full && !s->is_full) {
        end_takings(s);
    }
    s->is_full = is_full;
}

const struct snapshots_stats *snapshots_stats(const struct snapshots *s)
{
    return &s->stats;
}

/* ---- messages -------------------------------------------------------------------------------- */

struct snapshots_group *snapshots_group(struct snapshots *s, uint16_t group)
{
    if (group >= s->group_count || s->groups[group].replica == NULL) {
        return NULL;
    }
    return &s->groups[group];
}

bool snapshots_say(struct snapshots *s, const struct snapshot_message *m)
{
    snapshot_message_encode(m, &s->message);
    struct bytes part = buf_bytes(&s->message);
    bool is_sent = peers_send(s->peers, replica_node(m->route.receiver), PEER_BULK, &part, 1);
    buf_clear(&s->message, SCRATCH_BYTES_MAX);
    return is_sent;
}

/* The one that the message is of; NULL: none any more. */
static struct sending *find_sending(struct snapshots *s, const struct snapshot_message *m)
{
    list_each(item, &s->sendings) {
        struct sending *x = container_of(item, struct sending, link);
        if (x->group == m->route.group && x->receiver == m->route.sender &&
            x->session == m->session && x->state != SENDING_OVER) {
            return x;
        }
    }
    return NULL;
}

static enum status dispatch(struct snapshots *s,
                            struct snapshots_group *g,
                            const struct snapshot_message *m,
                            struct bytes bytes)
{
    struct taking *t = g->taking;
    if (t != NULL && t->sender == m->route.sender && t->session == m->session) {
        return taking_receive(t, m, bytes);
    }
    struct sending *x = find_sending(s, m);
    if (x != NULL) {
        sending_receive(x, m);
    } else if (m->type == SNAPSHOT_OFFER) {
        taking_offered(s, m);
    } else {
        reached("snapshots: message of a session that is over");
    }
    return STATUS_OK;
}

enum status snapshots_received(struct snapshots *s, uint32_t node, struct bytes message)
{
    struct snapshot_message m;
    enum status status = snapshot_message_decode(message, &m);
    if (status != STATUS_OK) {
        return status;
    }
    struct snapshots_group *g = snapshots_group(s, m.route.group);
    bool is_ours = g != NULL && m.route.receiver == replica_id(g->replica) &&
                   replica_node(m.route.sender) == node && m.route.sender != m.route.receiver;
    if (!is_ours || s->is_stopped) {
        return STATUS_OK;
    }
    status = dispatch(s, g, &m, message);
    snapshots_pump(s);
    return status;
}

void snapshots_disconnected(struct snapshots *s, uint32_t node)
{
    struct list *next;
    for (struct list *item = s->sendings.next; item != &s->sendings; item = next) {
        next = item->next;
        struct sending *x = container_of(item, struct sending, link);
        if (replica_node(x->receiver) == node && x->state < SENDING_STAGED) {
            reached("snapshots: receiver lost");
            sending_end(x, false, 0);
        }
    }
    for (struct list *item = s->takings.next; item != &s->takings; item = next) {
        next = item->next;
        struct taking *t = container_of(item, struct taking, link);
        if (replica_node(t->sender) == node && t->state < TAKING_STAGED) {
            reached("snapshots: sender lost");
            taking_end(t, false);
        }
    }
}

/* ---- sending --------------------------------------------------------------------------------- */

/* Those that hold a frozen state. */
static unsigned count_sendings(const struct snapshots *s)
{
    unsigned count = 0;
    list_each(item, &s->sendings) {
        const struct sending *x = container_of(item, struct sending, link);
        count += x->state < SENDING_STAGED || x->is_reading ? 1 : 0;
    }
    return count;
}

void snapshots_offer(struct snapshots *s, uint16_t group, uint64_t receiver)
{
    struct snapshots_group *g = snapshots_group(s, group);
    ensure(g != NULL);
    if (s->is_stopped || !peers_is_connected(s->peers, replica_node(receiver))) {
        return;
    }
    list_each(item, &s->sendings) {
        struct sending *x = container_of(item, struct sending, link);
        if (x->group == group && x->receiver == receiver) {
            if (x->state == SENDING_STAGED) {
                sending_ask(x);
            }
            return;
        }
    }
    if (count_sendings(s) >= SNAPSHOTS_SENT_MAX) {
        reached("snapshots: no more are sent at once");
        return;
    }
    sending_start(s, group, g->replica, receiver);
    snapshots_watch(s);
}

/* ---- syncs ----------------------------------------------------------------------------------- */

void snapshots_fold_starts(struct snapshots *s, bool is_sync)
{
    if (!is_sync) {
        return;
    }
    s->is_settling = true;
    list_each(item, &s->takings) {
        struct taking *t = container_of(item, struct taking, link);
        t->is_sync_started = t->state == TAKING_SYNCS;
    }
}

void snapshots_synced(struct snapshots *s)
{
    s->is_settled = s->is_settling;
    list_each(item, &s->takings) {
        struct taking *t = container_of(item, struct taking, link);
        if (t->state == TAKING_SYNCS && t->is_sync_started) {
            taking_synced(t);
        }
    }
}

/* ---- what is staged -------------------------------------------------------------------------- */

bool snapshots_is_staged(const struct snapshots *s,
                         uint16_t group,
                         uint64_t index,
                         uint64_t term,
                         uint32_t *out_generation)
{
    const struct taking *t = group < s->group_count ? s->groups[group].taking : NULL;
    if (t == NULL || t->state != TAKING_STAGED || t->base.index != index || t->base.term != term) {
        return false;
    }
    *out_generation = t->generation;
    return true;
}

const struct omap *snapshots_take(struct snapshots *s, uint16_t group, uint32_t generation)
{
    struct snapshots_group *g = snapshots_group(s, group);
    ensure(g != NULL);
    struct taking *t = g->taking;
    if (t == NULL || t->state != TAKING_STAGED || t->generation != generation) {
        return NULL;
    }
    omap_deinit(&s->taken);
    s->taken = t->head;
    omap_init(&t->head);
    taking_forget(t);
    snapshots_watch(s); /* frees the rows */
    return &s->taken;
}
