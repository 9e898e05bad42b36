/* What the tests of the uv adapter share: a loop that always ends, and timers that leave a trace.
 */
#ifndef ADAPTERS_UV_WORLD_H
#define ADAPTERS_UV_WORLD_H

#include <string.h>

#include "adapters/uv/uv_env.h"
#include "harness.h"

#define GUARD_MS 20000u

struct world {
    struct uv_env *uv;
    struct env *env;
    struct env_timer guard;
    bool has_timed_out;
    unsigned turns;
};

static inline void on_guard(struct env_timer *timer)
{
    struct world *w = container_of(timer, struct world, guard);
    w->has_timed_out = true;
    uv_env_stop(w->uv);
}

static inline void on_turn(void *owner)
{
    ((struct world *)owner)->turns++;
}

static inline void world_init(struct world *w)
{
    *w = (struct world){0};
    w->uv = uv_env_create();
    w->env = uv_env_port(w->uv);
    w->env->turn = on_turn;
    w->env->turn_owner = w;
    w->guard.cb = on_guard;
}

static inline void world_run(struct world *w)
{
    env_timer_start(w->env, &w->guard, GUARD_MS);
    uv_env_run(w->uv);
    env_timer_stop(w->env, &w->guard);
    CHECK(!w->has_timed_out);
}

static inline void world_deinit(struct world *w)
{
    uv_env_destroy(w->uv);
}

struct ticker {
    struct world *w;
    struct env_timer timer;
    struct env_timer *again; /* start this one when fired */
    char name;
    bool is_last;
};

static char fired[16];
static size_t fired_count;

static inline void on_ticker(struct env_timer *timer)
{
    struct ticker *t = container_of(timer, struct ticker, timer);
    fired[fired_count++] = t->name;
    if (t->again != NULL) {
        env_timer_start(t->w->env, t->again, 0);
    }
    if (t->is_last) {
        uv_env_stop(t->w->uv);
    }
}

#endif
