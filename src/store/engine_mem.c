/* The engine without a disk: one ordered map. Its fold has nothing to do on the worker. */
#include "base/mem.h"
#include "store/store.h"

struct engine_mem {
    struct store_engine base;
    struct omap rows;
};

static struct engine_mem *mem_of(struct store_engine *e)
{
    return (struct engine_mem *)(void *)e;
}

static enum status mem_get(struct store_engine *e, struct bytes key, struct blob **out_value)
{
    struct omap_item item;
    if (!omap_get(&mem_of(e)->rows, key, &item)) {
        return STATUS_NOT_FOUND;
    }
    *out_value = item.value;
    return STATUS_OK;
}

static enum status mem_seek(struct store_engine *e, struct bytes from, struct omap_item *out_item)
{
    return omap_seek(&mem_of(e)->rows, from, out_item) ? STATUS_OK : STATUS_NOT_FOUND;
}

static enum status mem_fold(struct store_engine *e, const struct omap *writes)
{
    (void)e;
    (void)writes;
    return STATUS_OK;
}

static void mem_folded(struct store_engine *e, struct omap *writes)
{
    omap_merge(&mem_of(e)->rows, writes);
}

static void mem_destroy(struct store_engine *e)
{
    omap_deinit(&mem_of(e)->rows);
    mem_free(e);
}

static const struct store_engine_ops mem_ops = {
    .get = mem_get,
    .seek = mem_seek,
    .fold = mem_fold,
    .folded = mem_folded,
    .destroy = mem_destroy,
};

struct store_engine *store_engine_mem_create(void)
{
    struct engine_mem *e = mem_alloc_zero(sizeof *e);
    e->base.ops = &mem_ops;
    omap_init(&e->rows);
    return &e->base;
}
