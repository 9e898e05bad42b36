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

struct search {
    struct txn_manager *m;
    uint32_t group;
    uint64_t now_us;
    struct list found; /* struct txn_try: new ones */
};

static bool is_same(const struct txn_id *a, const struct txn_id *b)
{
    return a->node == b->node && a->incarnation == b->incarnation && a->sequence == b->sequence;
}

static bool is_known(const struct list *tries, const struct txn_id *id)
{
    list_each(link, tries) {
        if (is_same(&container_of(link, struct txn_try, link)->id, id)) {
            return true;
        }
    }
    return false;
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
    s->m->recovery_count++;
}

static void on_prepared(void *ctx,
                        const struct txn_id *id,
                        const struct txn_record *record,
                        uint64_t since_us)
{
    struct search *s = ctx;
    const struct txn_manager *m = s->m;
    bool is_own = id->node == m->options.node && id->incarnation == m->options.incarnation;
    bool is_old = s->now_us >= since_us + (uint64_t)TXN_RECOVERY_MS * 1000;
    /* Its own are on their way to an outcome already. */
    if (!is_own && is_old && m->recovery_count < TXN_RECOVERIES_MAX &&
        !is_known(&m->recoveries, id) && !is_known(&s->found, id)) {
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
