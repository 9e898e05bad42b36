#include "env/timers.h"

#include "base/assert.h"

static struct env_timer *timer_of(struct list *link)
{
    return container_of(link, struct env_timer, link);
}

void timers_init(struct timers *t)
{
    *t = (struct timers){0};
    list_init(&t->active);
}

void timers_start(struct timers *t, struct env_timer *timer, uint64_t due_us)
{
    ensure(timer->cb != NULL);
    timers_stop(t, timer);
    timer->due_us = due_us;
    timer->order = t->next_order++;
    timer->is_active = true;

    struct list *after = t->active.prev;
    while (after != &t->active && timer_of(after)->due_us > due_us) {
        after = after->prev;
    }
    list_insert_before(after->next, &timer->link);
}

void timers_stop(struct timers *t, struct env_timer *timer)
{
    (void)t;
    if (timer->is_active) {
        list_remove(&timer->link);
        timer->is_active = false;
    }
}

uint64_t timers_next_due_us(const struct timers *t)
{
    return list_is_empty(&t->active) ? UINT64_MAX : timer_of(t->active.next)->due_us;
}

void timers_fire(struct timers *t, uint64_t now_us)
{
    /* A timer started inside a callback waits for the next call: nothing can starve the loop. */
    uint64_t order_limit = t->next_order;
    struct list *link = t->active.next;
    while (link != &t->active && timer_of(link)->due_us <= now_us) {
        struct env_timer *timer = timer_of(link);
        if (timer->order >= order_limit) {
            link = link->next;
            continue;
        }
        timers_stop(t, timer);
        timer->cb(timer);
        link = t->active.next;
    }
}
