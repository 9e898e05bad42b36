/* Whole ranges for snapshots of groups: read from a frozen state, written behind the overlay. */
#include "base/assert.h"
#include "base/mem.h"
#include "store/store_parts.h"

/* ---- snapshots ------------------------------------------------------------------------------- */

struct store_snapshot {
    struct list link; /* in store.snapshots */
    struct store_engine_snapshot *frozen;
    uint32_t readers; /* range reads under way */
    bool is_closed;
};

struct store_snapshot *store_snapshot_open(struct store *s)
{
    struct store_snapshot *snapshot = mem_alloc_zero(sizeof *snapshot);
    list_append(&s->snapshots, &snapshot->link);
    snapshot->frozen = s->engine->ops->snapshot_open(s->engine);
    return snapshot;
}

static void snapshot_destroy(struct store *s, struct store_snapshot *snapshot)
{
    s->engine->ops->snapshot_close(s->engine, snapshot->frozen);
    list_remove(&snapshot->link);
    mem_free(snapshot);
}

static void close_unread(struct store *s, struct store_snapshot *snapshot)
{
    if (snapshot->is_closed && snapshot->readers == 0) {
        snapshot_destroy(s, snapshot);
    }
}

void store_snapshots_drop(struct store *s)
{
    while (!list_is_empty(&s->snapshots)) {
        snapshot_destroy(s, container_of(s->snapshots.next, struct store_snapshot, link));
    }
}

void store_snapshot_close(struct store *s, struct store_snapshot *snapshot)
{
    if (snapshot == NULL) {
        return;
    }
    ensure(!snapshot->is_closed);
    snapshot->is_closed = true;
    close_unread(s, snapshot);
}

/* ---- range reads ----------------------------------------------------------------------------- */

void store_range_init(struct store_range *r)
{
    *r = (struct store_range){0};
    buf_init(&r->from, SIZE_MAX / 2);
    buf_init(&r->to, SIZE_MAX / 2);
    omap_init(&r->rows);
}

static void range_run(struct env_work *w)
{
    struct store_range *r = container_of(w, struct store_range, work);
    struct store_engine *engine = r->store->engine;
    r->status = engine->ops->read_range(engine,
                                        r->snapshot != NULL ? r->snapshot->frozen : NULL,
                                        buf_bytes(&r->from),
                                        buf_bytes(&r->to),
                                        r->bytes_max,
                                        &r->rows,
                                        &r->is_end);
    struct omap_item last;
    if (r->status == STATUS_OK && omap_last(&r->rows, &last)) {
        buf_clear(&r->from, SIZE_MAX);
        buf_append_bytes(&r->from, last.key);
        buf_append(&r->from, "", 1);
    }
}

static void range_done(struct env_work *w)
{
    struct store_range *r = container_of(w, struct store_range, work);
    struct store *s = r->store;
    r->is_running = false;
    s->jobs--;
    if (r->snapshot != NULL) {
        ensure(r->snapshot->readers > 0);
        r->snapshot->readers--;
        close_unread(s, r->snapshot);
    }
    if (r->status != STATUS_OK) {
        store_fail(s, "read");
        return;
    }
    r->done(r);
}

static void range_begin(struct store *s, struct store_range *r)
{
    ensure(!r->is_running);
    ensure(r->bytes_max > 0);
    r->store = s;
    r->is_end = false;
    omap_deinit(&r->rows);
}

void store_range_start(struct store *s, struct store_range *r)
{
    ensure(r->done != NULL);
    range_begin(s, r);
    r->work = (struct env_work){.run = range_run, .done = range_done};
    r->is_running = true;
    s->jobs++;
    if (r->snapshot != NULL) {
        ensure(!r->snapshot->is_closed);
        r->snapshot->readers++;
    }
    env_work_submit(s->env, &r->work);
}

enum status store_range_now(struct store *s, struct store_range *r)
{
    ensure(s->is_starting);
    range_begin(s, r);
    range_run(&r->work);
    return r->status;
}

void store_range_deinit(struct store_range *r)
{
    buf_deinit(&r->from);
    buf_deinit(&r->to);
    omap_deinit(&r->rows);
}

/* ---- writes behind the overlay --------------------------------------------------------------- */

void store_write_init(struct store_write *w)
{
    *w = (struct store_write){0};
    list_init(&w->link);
    omap_init(&w->rows);
}

static void write_run(struct env_work *work)
{
    struct store_write *w = container_of(work, struct store_write, work);
    struct store_batch batch = {.rows = &w->rows};
    w->status = w->store->engine->ops->write(w->store->engine, &batch);
}

static void write_done(struct env_work *work)
{
    struct store_write *w = container_of(work, struct store_write, work);
    struct store *s = w->store;
    s->jobs--;
    if (w->status == STATUS_NO_SPACE) {
        list_append(&s->writes_waiting, &w->link);
        store_wait_for_space(s);
        return;
    }
    w->is_running = false;
    if (w->status != STATUS_OK) {
        store_fail(s, "written");
        return;
    }
    const struct omap_node *at = NULL;
    struct omap_item item;
    while (s->has_cache && omap_next(&w->rows, &at, &item)) {
        row_cache_remove(&s->cache, item.key); /* it may have said that there is no such row */
    }
    struct store_batch batch = {.rows = &w->rows};
    if (s->engine->ops->written != NULL) {
        s->engine->ops->written(s->engine, &batch);
    }
    omap_deinit(&w->rows);
    w->done(w);
}

void store_write_start(struct store *s, struct store_write *w)
{
    ensure(!w->is_running);
    ensure(w->done != NULL);
    w->store = s;
    w->work = (struct env_work){.run = write_run, .done = write_done};
    w->is_running = true;
    s->jobs++;
    env_work_submit(s->env, &w->work);
}

void store_writes_retry(struct store *s)
{
    struct list *link = NULL;
    while ((link = list_take_first(&s->writes_waiting)) != NULL) {
        struct store_write *w = container_of(link, struct store_write, link);
        s->jobs++;
        env_work_submit(s->env, &w->work);
    }
}

void store_write_deinit(struct store_write *w)
{
    list_remove(&w->link);
    omap_deinit(&w->rows);
}
