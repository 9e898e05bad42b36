#include "store/store.h"

#include "base/assert.h"

static void fold_run(struct env_work *w)
{
    struct store *s = container_of(w, struct store, work);
    s->fold_status = s->engine->ops->fold(s->engine, &s->folding);
}

static void fold_done(struct env_work *w)
{
    struct store *s = container_of(w, struct store, work);
    s->is_folding = false;
    if (s->fold_status != STATUS_OK) {
        env_halt(s->env, "the store could not be written");
        return;
    }
    s->engine->ops->folded(s->engine, &s->folding);
    omap_deinit(&s->folding);
}

void store_init(struct store *s,
                struct env *env,
                const struct store_options *options,
                struct store_engine *engine)
{
    ensure(options->fold_rows > 0);
    *s = (struct store){
        .env = env,
        .options = *options,
        .engine = engine,
        .work = {.run = fold_run, .done = fold_done},
    };
    omap_init(&s->active);
    omap_init(&s->folding);
}

void store_deinit(struct store *s)
{
    omap_deinit(&s->active);
    omap_deinit(&s->folding);
    s->engine->ops->destroy(s->engine);
}

void store_put(struct store *s, struct bytes key, struct blob *value)
{
    ensure(value != NULL);
    omap_put(&s->active, key, value);
}

void store_delete(struct store *s, struct bytes key)
{
    omap_put(&s->active, key, NULL);
}

enum status store_get(struct store *s, struct bytes key, struct blob **out_value)
{
    struct omap_item item;
    if (omap_get(&s->active, key, &item) || omap_get(&s->folding, key, &item)) {
        if (item.value == NULL) {
            return STATUS_NOT_FOUND;
        }
        *out_value = item.value;
        return STATUS_OK;
    }
    return s->engine->ops->get(s->engine, key, out_value);
}

/* The newest of three sources wins among equal keys: active, folding, engine. */
static enum status seek_once(struct store *s, struct bytes from, struct omap_item *out_item)
{
    struct omap_item best = {0};
    enum status status = s->engine->ops->seek(s->engine, from, &best);
    if (status != STATUS_OK && status != STATUS_NOT_FOUND) {
        return status;
    }
    bool has_best = status == STATUS_OK;
    const struct omap *newer[] = {&s->folding, &s->active};
    for (size_t i = 0; i < 2; i++) {
        struct omap_item item;
        if (omap_seek(newer[i], from, &item) &&
            (!has_best || bytes_compare(item.key, best.key) <= 0)) {
            best = item;
            has_best = true;
        }
    }
    if (!has_best) {
        return STATUS_NOT_FOUND;
    }
    *out_item = best;
    return STATUS_OK;
}

enum status store_seek(struct store *s, struct bytes from, struct omap_item *out_item)
{
    struct buf after;
    buf_init(&after, SIZE_MAX / 2);
    struct omap_item item = {0};
    enum status status = seek_once(s, from, &item);
    while (status == STATUS_OK && item.value == NULL) {
        /* A deletion hides this key; the next possible key is this one and a zero byte. */
        buf_clear(&after, SIZE_MAX);
        buf_append_bytes(&after, item.key);
        buf_append(&after, "", 1);
        status = seek_once(s, buf_bytes(&after), &item);
    }
    buf_deinit(&after);
    if (status == STATUS_OK) {
        *out_item = item;
    }
    return status;
}

/* True if the overlay is large enough, and moved over. */
static bool start_fold(struct store *s)
{
    if (s->is_folding || s->active.count < s->options.fold_rows) {
        return false;
    }
    ensure(s->folding.count == 0);
    reached("store: overlay folded");
    s->folding = s->active;
    omap_init(&s->active);
    return true;
}

void store_flush(struct store *s)
{
    if (start_fold(s)) {
        s->is_folding = true;
        env_work_submit(s->env, &s->work);
    }
}

enum status store_flush_now(struct store *s)
{
    if (!start_fold(s)) {
        return STATUS_OK;
    }
    enum status status = s->engine->ops->fold(s->engine, &s->folding);
    if (status == STATUS_OK) {
        s->engine->ops->folded(s->engine, &s->folding);
        omap_deinit(&s->folding);
    }
    return status;
}

bool store_is_busy(const struct store *s)
{
    return s->is_folding;
}
