/*
 * What groups may forget: the mark of this incarnation (TXN-9, TXN-10), which travels with all it
 * sends, and by MARK to groups that nothing is sent to; and the incarnations before it (TXN-12).
 */
#include "base/assert.h"
#include "base/mem.h"
#include "txn/txn_parts.h"

static void on_mark(struct txn_exchange *e,
                    enum txn_result result,
                    const struct txn_answer *answer);
static void on_close(struct txn_exchange *e,
                     enum txn_result result,
                     const struct txn_answer *answer);
static void mark_due(struct txn_due *due);
static void close_due(struct txn_due *due);

/* ---- marks ----------------------------------------------------------------------------------- */

static bool is_behind(const struct txn_group *group)
{
    return group->used > group->told && txn_mark(group->m, group->group) > group->told;
}

void txn_mark_told(struct txn_manager *m, uint32_t group, uint64_t mark)
{
    struct txn_group *g = &m->groups[group];
    g->told = mark > g->told ? mark : g->told;
    g->told_us = env_now_us(m->env);
}

static bool is_timer_set(const struct txn_due *due)
{
    return due->link.next != NULL && !list_is_empty(&due->link);
}

void txn_mark_changed(struct txn_manager *m)
{
    if (!is_timer_set(&m->mark_due)) {
        m->mark_due.fn = mark_due;
        txn_due_set(m, &m->mark_due, TXN_MARK_MS);
    }
}

static void tell(struct txn_group *group, enum command_id command, const struct txn_order *what)
{
    struct buf *argument = txn_scratch(group->m);
    txn_order_append(argument, what);
    txn_exchange_start(&group->exchange, command, group->group, 2, buf_bytes(argument), NULL);
}

static void tell_mark(struct txn_group *group)
{
    struct txn_manager *m = group->m;
    struct txn_order order = {
        .id = {.node = m->options.node, .incarnation = m->options.incarnation},
        .mark = txn_mark(m, group->group),
    };
    group->sent = order.mark;
    group->exchange.done = on_mark;
    tell(group, COMMAND_ID_TXNMARK, &order);
}

static void on_mark(struct txn_exchange *e, enum txn_result result, const struct txn_answer *answer)
{
    (void)answer;
    struct txn_group *group = container_of(e, struct txn_group, exchange);
    if (result == TXN_RESULT_ANSWER) {
        txn_mark_told(group->m, group->group, group->sent);
    }
    if (is_behind(group)) {
        txn_mark_changed(group->m); /* it is told again (TXN-10) */
    }
}

static void mark_due(struct txn_due *due)
{
    struct txn_manager *m = container_of(due, struct txn_manager, mark_due);
    uint64_t now_us = env_now_us(m->env);
    bool is_any_behind = false;
    for (uint32_t g = 1; g <= m->options.group_count; g++) {
        struct txn_group *group = &m->groups[g];
        if (!is_behind(group)) {
            continue;
        }
        is_any_behind = true;
        bool is_told_often = now_us < group->told_us + (uint64_t)TXN_MARK_MS * 1000;
        if (!is_told_often && !group->exchange.is_busy) {
            tell_mark(group);
        }
    }
    if (is_any_behind) {
        txn_mark_changed(m);
    }
}

/* ---- the dead -------------------------------------------------------------------------------- */

static void bury_again(struct txn_group *group)
{
    group->again.fn = close_due;
    txn_due_set(group->m,
                &group->again,
                txn_delay_ms(group->m, group->failures++, TXN_AGAIN_MS_MIN, TXN_AGAIN_MS_MAX));
}

/*
 * CLOSE in all groups: from then on there is no first yes for what an earlier process of this node
 * coordinated. A group that then says that nothing of it is prepared there will never be prepared
 * again; when all have said so, END lets them forget.
 */
static void bury(struct txn_group *group)
{
    struct txn_manager *m = group->m;
    bool is_all_closed = m->closed_count == m->options.group_count;
    struct txn_order order = {
        .id = {.node = m->options.node, .incarnation = m->options.incarnation - 1},
    };
    if (group->is_ended || (group->is_closed && !is_all_closed)) {
        return;
    }
    if (group->exchange.is_busy) {
        bury_again(group); /* a mark is on its way */
        return;
    }
    group->exchange.done = on_close;
    tell(group, is_all_closed ? COMMAND_ID_TXNEND : COMMAND_ID_TXNCLOSE, &order);
}

static void on_close(struct txn_exchange *e,
                     enum txn_result result,
                     const struct txn_answer *answer)
{
    struct txn_group *group = container_of(e, struct txn_group, exchange);
    struct txn_manager *m = group->m;
    if (result != TXN_RESULT_ANSWER || answer->prepared > 0) {
        bury_again(group);
        return;
    }
    group->failures = 0;
    if (group->is_closed) {
        group->is_ended = true;
        return;
    }
    group->is_closed = true;
    m->closed_count++;
    for (uint32_t g = 1; m->closed_count == m->options.group_count && g <= m->closed_count; g++) {
        bury(&m->groups[g]);
    }
}

static void close_due(struct txn_due *due)
{
    bury(container_of(due, struct txn_group, again));
}

/* ---- life ------------------------------------------------------------------------------------ */

void txn_mark_init(struct txn_manager *m)
{
    m->groups = mem_alloc_zero(((size_t)m->options.group_count + 1) * sizeof m->groups[0]);
    for (uint32_t g = 0; g <= m->options.group_count; g++) {
        struct txn_group *group = &m->groups[g];
        group->m = m;
        group->group = g;
        list_init(&group->open);
        txn_exchange_init(&group->exchange, m);
        if (g > 0 && m->options.incarnation > 1) {
            group->again.fn = close_due;
            txn_due_set(m, &group->again, TXN_AGAIN_MS_MAX);
        }
    }
}

void txn_mark_stop(struct txn_manager *m)
{
    txn_due_clear(&m->mark_due);
    for (uint32_t g = 0; g <= m->options.group_count; g++) {
        txn_due_clear(&m->groups[g].again);
    }
}
