/*
 * Recovery (TXN-13): whoever leads a group that is prepared for too long asks all participants, and
 * drives the outcome that they prove. Any number of recoverers may be at it at once.
 */
#include "base/assert.h"
#include "base/endian.h"
#include "txn/txn_parts.h"

static void look_through(struct txn_due *due);

void txn_recover_init(struct txn_manager *m)
{
    m->recovery_due.fn = look_through;
    txn_due_set(m, &m->recovery_due, TXN_RECOVERY_TICK_MS);
}

void txn_recover_stop(struct txn_manager *m)
{
    txn_due_clear(&m->recovery_due);
}

#define ID_BYTES 16u

struct search {
    struct txn_manager *m;
    uint32_t group;
    uint64_t now_us;
    uint32_t count;
    struct list found; /* struct txn_try: new ones */
};

static struct bytes id_name(const struct txn_id *id, uint8_t out_name[ID_BYTES])
{
    put_u32_be(out_name, id->node);
    put_u32_be(out_name + 4, id->incarnation);
    put_u64_be(out_name + 8, id->sequence);
    return bytes_of(out_name, ID_BYTES);
}

static bool is_known(const struct txn_manager *m, const struct txn_id *id)
{
    uint8_t name[ID_BYTES];
    struct omap_item item;
    return omap_get(&m->recovering, id_name(id, name), &item);
}

void txn_recover_forget(struct txn_manager *m, const struct txn_id *id)
{
    uint8_t name[ID_BYTES];
    omap_remove(&m->recovering, id_name(id, name));
}

static void begin(struct search *s, const struct txn_id *id, const struct txn_record *record)
{
    struct txn_try *try = txn_try_create(s->m, record->participant_count);
    try->is_recovery = true;
    try->id = *id;
    try->home = s->group;
    buf_append_bytes(&try->participants, record->participants);
    for (uint32_t i = 0; i < record->participant_count; i++) {
        try->parts[i].group = get_u16_le(record->participants.data + 2u * i);
    }
    list_append(&s->found, &try->link);
    uint8_t name[ID_BYTES];
    omap_put(&s->m->recovering, id_name(id, name), NULL);
    s->count++;
}

/*
 * Its coordinator, as long as it is heard, brings it to an end, if it can reach all: perhaps it
 * stands in the queue of another group, and a question there would be a vote against it (TXN-6).
 */
static uint64_t patience_us(const struct txn_manager *m, const struct txn_id *id)
{
    bool is_heard = router_hears(m->router, id->node, id->incarnation);
    return (is_heard ? TXN_RECOVERY_HEARD_MS : TXN_RECOVERY_MS) * UINT64_C(1000);
}

static void on_prepared(void *ctx,
                        const struct txn_id *id,
                        const struct txn_record *record,
                        uint64_t since_us)
{
    struct search *s = ctx;
    const struct txn_manager *m = s->m;
    bool is_own = id->node == m->options.node && id->incarnation == m->options.incarnation;
    bool has_room = m->recovering.count < TXN_RECOVERIES_MAX && s->count < TXN_RECOVERIES_AT_ONCE;
    /* Its own are on their way to an outcome already. */
    if (!is_own && has_room && s->now_us >= since_us + patience_us(m, id) && !is_known(m, id)) {
        reached("txn: recovery of a transaction");
        begin(s, id, record);
    }
}

static void look_through(struct txn_due *due)
{
    struct txn_manager *m = container_of(due, struct txn_manager, recovery_due);
    struct search s = {.m = m, .now_us = env_now_us(m->env)};
    list_init(&s.found);
    for (s.group = 1; s.group <= m->options.group_count; s.group++) {
        struct shard *shard = m->options.groups[s.group].shard;
        if (shard != NULL) {
            shard_each_prepared(shard, on_prepared, &s);
        }
    }
    struct list *link = NULL;
    while ((link = list_take_first(&s.found)) != NULL) {
        list_append(&m->recoveries, link);
        txn_try_recover(container_of(link, struct txn_try, link));
    }
    txn_due_set(m, due, TXN_RECOVERY_TICK_MS);
}
