/* Folding the overlay into the engine, and making it durable. */
#include "base/assert.h"
#include "store/store_parts.h"

/* Rows that move from `folding` into the cache in one turn: well below a millisecond. */
#define RETIRE_ROWS 512u
/* The same when somebody waits for the next fold. */
#define RETIRE_ROWS_HURRIED 4096u
/* How soon what failed for lack of space is tried again. */
#define RETRY_US (200u * 1000u)

static struct store_batch batch_of(struct store *s)
{
    return (struct store_batch){.rows = &s->folding, .drops = buf_bytes(&s->folding_drops)};
}

/* ---- one fold -------------------------------------------------------------------------------- */

static bool is_beyond(const struct store *s, uint64_t times)
{
    return s->active.count >= times * s->options.fold_rows ||
           (s->options.fold_bytes > 0 && s->active.bytes >= times * s->options.fold_bytes);
}

/* Closes the overlay. */
static void start_fold(struct store *s, bool is_sync)
{
    ensure(!s->is_folding);
    ensure(s->folding.count == 0);
    ensure(s->folding_drops.size == 0);
    if (s->options.fold_starts != NULL) {
        s->options.fold_starts(s->options.owner, is_sync);
    }
    reached("store: overlay folded");
    s->is_fold_wanted = false;
    struct omap emptied = s->folding; /* its hash table serves again */
    s->folding = s->active;
    s->active = emptied;
    struct buf empty = s->folding_drops;
    s->folding_drops = s->drops;
    s->drops = empty;
    s->stats.folded_rows += s->folding.count;
}

static void fold_run(struct env_work *w)
{
    struct store *s = container_of(w, struct store, fold_work);
    struct store_batch batch = batch_of(s);
    s->fold_status = s->engine->ops->write(s->engine, &batch);
}

/* The engine has it. From here on `folding` is a copy that answers until it has moved. */
static void fold_ends(struct store *s)
{
    struct store_batch batch = batch_of(s);
    store_fetches_folded(s);
    if (s->engine->ops->written != NULL) {
        s->engine->ops->written(s->engine, &batch);
    }
    s->stats.folds++;
    if (s->options.folded != NULL) {
        s->options.folded(s->options.owner);
    }
}

static void fold_done(struct env_work *w)
{
    struct store *s = container_of(w, struct store, fold_work);
    if (s->fold_status == STATUS_NO_SPACE) {
        s->is_fold_waiting = true;
        store_wait_for_space(s);
        return;
    }
    if (s->fold_status != STATUS_OK) {
        store_fail(s, "written");
        return;
    }
    s->is_folding = false;
    if (s->is_sync_fold) {
        s->is_sync_fold = false;
        env_work_submit(s->env, &s->sync_work);
    }
    fold_ends(s);
}

/* ---- after a fold ---------------------------------------------------------------------------- */

/*
 * Into the cache; but a deletion only takes out what the cache had. Remembering each row that once
 * was would fill it with what nobody asks for: queues of keys, and every reply that a fold has
 * found in the duplicate table and the next one has not.
 */
static void retire_row(struct store *s, struct bytes key, struct blob *value)
{
    if (!s->has_cache) {
        blob_unref(value);
    } else if (value == NULL) {
        row_cache_remove(&s->cache, key);
    } else {
        row_cache_put(&s->cache, key, value);
    }
}

/* Moves rows that the engine has out of the overlay. */
static void retire(struct store *s, uint64_t rows_max)
{
    struct blob *value = NULL;
    buf_clear(&s->key, SIZE_MAX);
    for (uint64_t i = 0; i < rows_max && omap_take_first(&s->folding, &s->key, &value); i++) {
        retire_row(s, buf_bytes(&s->key), value);
        buf_clear(&s->key, SIZE_MAX);
    }
}

/* What was borrowed in this turn ends here. */
static void end_turn(struct store *s)
{
    s->turn_bytes = 0;
    store_seen_destroy_all(&s->seen);
    omap_deinit(&s->held);
    if (!s->is_folding) {
        buf_clear(&s->folding_drops, 0);
        bool is_hurried = s->is_fold_wanted || s->is_sync_wanted || is_beyond(s, 2);
        retire(s, is_hurried ? RETIRE_ROWS_HURRIED : RETIRE_ROWS);
    }
    row_cache_trim(&s->cache);
}

/* ---- a full disk ----------------------------------------------------------------------------- */

void store_wait_for_space(struct store *s)
{
    reached("store: the disk is full, tried again");
    s->retry_us = env_now_us(s->env) + RETRY_US;
}

/* A batch that failed is not there in part, and what was not made durable is still in memory. */
static void retry(struct store *s)
{
    if (env_now_us(s->env) < s->retry_us) {
        return;
    }
    if (s->is_fold_waiting) {
        s->is_fold_waiting = false;
        env_work_submit(s->env, &s->fold_work);
    }
    if (s->is_sync_waiting) {
        s->is_sync_waiting = false;
        env_work_submit(s->env, &s->sync_work);
    }
    store_writes_retry(s);
}

/* ---- turns ----------------------------------------------------------------------------------- */

void store_flush(struct store *s)
{
    if (s->env->is_halted) {
        return;
    }
    end_turn(s);
    retry(s);
    if (s->is_folding || s->folding.count > 0) {
        return;
    }
    bool is_sync = s->is_sync_wanted && !s->is_syncing;
    if (!is_sync && !s->is_fold_wanted && !is_beyond(s, 1)) {
        return;
    }
    if (is_sync) {
        s->is_sync_wanted = false;
        s->is_syncing = true;
        s->is_sync_fold = true;
    }
    start_fold(s, is_sync);
    s->is_folding = true;
    env_work_submit(s->env, &s->fold_work);
}

enum status store_flush_now(struct store *s)
{
    ensure(s->is_starting);
    end_turn(s);
    if (!s->is_fold_wanted && !is_beyond(s, 1)) {
        return STATUS_OK;
    }
    start_fold(s, false);
    fold_run(&s->fold_work);
    if (s->fold_status == STATUS_OK) {
        fold_ends(s);
        retire(s, UINT64_MAX);
        end_turn(s);
    }
    return s->fold_status;
}

void store_fold_soon(struct store *s)
{
    s->is_fold_wanted = true;
}

/* ---- syncing --------------------------------------------------------------------------------- */

void store_sync_soon(struct store *s)
{
    s->is_sync_wanted = true;
}

static void sync_run(struct env_work *w)
{
    struct store *s = container_of(w, struct store, sync_work);
    s->sync_status = s->engine->ops->sync(s->engine);
}

static void sync_done(struct env_work *w)
{
    struct store *s = container_of(w, struct store, sync_work);
    if (s->sync_status == STATUS_NO_SPACE) {
        s->is_sync_waiting = true;
        store_wait_for_space(s);
        return;
    }
    if (s->sync_status != STATUS_OK) {
        store_fail(s, "synced");
        return;
    }
    s->is_syncing = false;
    s->stats.syncs++;
    if (s->options.synced != NULL) {
        s->options.synced(s->options.owner);
    }
}

void store_fold_init(struct store *s)
{
    s->fold_work = (struct env_work){.run = fold_run, .done = fold_done};
    s->sync_work = (struct env_work){.run = sync_run, .done = sync_done};
}
