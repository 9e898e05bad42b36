/*
 * Rows that are not at hand: a worker of the store reads them, and what needs them waits. A fetch
 * owns all it needs, so a request may be answered (refused) while it is still under way.
 *
 * First only what is missing is read. Should rows that were at hand have left meanwhile, so that
 * the same entry or read lacks some again, all of it is read: after done() all is at hand until the
 * end of that turn, however small the cache is, so there is progress.
 */
#include "base/assert.h"
#include "base/mem.h"
#include "shard/shard_parts.h"

/* ---- probing --------------------------------------------------------------------------------- */

static bool is_missing(struct shard *s, struct bytes row_key, enum status *out_damage)
{
    struct blob *row = NULL;
    enum status status = store_get(s->store, row_key, &row);
    if (status != STATUS_OK && status != STATUS_NOT_FOUND && status != STATUS_NEED) {
        *out_damage = status;
    }
    return status == STATUS_NEED;
}

static void probe_key(struct shard *s,
                      uint8_t database,
                      struct bytes key,
                      bool is_all,
                      struct store_fetch *fetch,
                      enum status *out_damage)
{
    struct keyspace space = shard_space(s, database);
    buf_clear(&s->row_key, SIZE_MAX);
    row_key_append(&s->row_key, &space, key);
    if (is_missing(s, buf_bytes(&s->row_key), out_damage) || is_all) {
        store_fetch_add(fetch, buf_bytes(&s->row_key));
    }
}

struct probe {
    struct shard *shard;
    bool is_all;
    struct store_fetch *fetch;
    enum status damage;
};

static bool probe_one(void *ctx, uint8_t database, struct bytes key, bool is_written)
{
    struct probe *p = ctx;
    (void)is_written;
    probe_key(p->shard, database, key, p->is_all, p->fetch, &p->damage);
    return p->damage == STATUS_OK;
}

/* Adds the rows of the keys of one command (in s->args) that are not at hand, or all of them. */
static enum status probe_command(struct shard *s,
                                 const struct command *row,
                                 const struct entry_command *c,
                                 bool is_all,
                                 struct store_fetch *fetch)
{
    struct probe p = {.shard = s, .is_all = is_all, .fetch = fetch};
    (void)shard_each_key(s, row, c, probe_one, &p);
    return p.damage;
}

/* ---- entries --------------------------------------------------------------------------------- */

static enum status probe_commands(struct shard *s,
                                  struct bytes entry,
                                  bool is_all,
                                  struct store_fetch *fetch)
{
    struct entry_reader reader;
    enum status status = entry_read(entry, &reader);
    for (uint32_t i = 0; status == STATUS_OK && i < reader.header.count; i++) {
        struct entry_command c;
        const struct command *row = NULL;
        if (shard_read_command(s, &reader, &c, &row) != STATUS_OK) {
            break; /* shard_apply says so, when it comes there */
        }
        status = probe_command(s, row, &c, is_all, fetch);
    }
    return status;
}

static void on_apply_fetched(struct store_fetch *fetch)
{
    struct shard *s = container_of(fetch, struct shard, apply_fetch);
    ensure(s->is_apply_fetching);
    s->is_apply_fetching = false;
    store_fetch_deinit(fetch);
    replica_resume(s->replica);
}

enum status shard_probe_entry(struct shard *s, uint64_t index, struct bytes entry)
{
    if (!store_may_need(s->store)) {
        return STATUS_OK;
    }
    if (s->is_apply_fetching) {
        reached("shard: entry behind a fetch of an older one");
        return STATUS_NEED;
    }
    s->apply_fetch = (struct store_fetch){.done = on_apply_fetched};
    enum status status = probe_commands(s, entry, false, &s->apply_fetch);
    if (status == STATUS_OK && store_fetch_count(&s->apply_fetch) > 0) {
        if (s->missed_index == index) {
            reached("shard: rows of an entry left before it applied");
            store_fetch_deinit(&s->apply_fetch);
            s->apply_fetch = (struct store_fetch){.done = on_apply_fetched};
            status = probe_commands(s, entry, true, &s->apply_fetch);
        }
        s->missed_index = index;
    }
    if (status != STATUS_OK || store_fetch_count(&s->apply_fetch) == 0) {
        store_fetch_deinit(&s->apply_fetch);
        return status;
    }
    s->is_apply_fetching = true;
    store_fetch_start(s->store, &s->apply_fetch);
    return STATUS_NEED;
}

/* ---- reads ----------------------------------------------------------------------------------- */

static void on_read_fetched(struct store_fetch *fetch)
{
    struct read_fetch *f = container_of(fetch, struct read_fetch, fetch);
    struct shard *s = f->shard;
    bool is_wanted = f->request != NULL;
    bool is_expiry = f->is_expiry;
    if (is_wanted) {
        f->request->fetch = NULL;
    }
    list_remove(&f->link);
    store_fetch_deinit(fetch);
    mem_free(f);
    if (is_wanted) {
        shard_run_reads(s);
    }
    if (is_expiry) {
        shard_expiry_fetched(s);
    }
}

static struct read_fetch *fetch_create(struct shard *s, struct shard_request *r)
{
    struct read_fetch *f = mem_alloc_zero(sizeof *f);
    f->fetch.done = on_read_fetched;
    f->shard = s;
    f->request = r;
    list_append(&s->fetches, &f->link);
    return f;
}

static void fetch_destroy(struct read_fetch *f)
{
    list_remove(&f->link);
    store_fetch_deinit(&f->fetch);
    mem_free(f);
}

/* What the read lacks, or with is_all, all that it reads. */
static enum status add_keys(struct shard *s,
                            const struct shard_request *r,
                            bool is_all,
                            struct store_fetch *fetch)
{
    struct entry_reader reader;
    struct entry_command c;
    const struct command *row = NULL;
    entry_reader_of(r->bytes, &reader);
    enum status status = shard_read_command(s, &reader, &c, &row);
    ensure(status == STATUS_OK); /* encoded or checked by our router */
    return probe_command(s, row, &c, is_all, fetch);
}

void shard_fetch_read(struct shard *s, struct shard_request *r, const struct view_local *view)
{
    struct read_fetch *f = fetch_create(s, r);
    enum status status = STATUS_OK;
    ensure(r->fetch == NULL);
    if (view != NULL && view->is_range) {
        f->fetch.is_seek = true;
        f->fetch.same_bytes = ROW_KEY_SPACE_BYTES;
        store_fetch_add(&f->fetch, buf_bytes(&view->row_key));
        if (r->has_missed) {
            /* Large rows may drive each other out: then it would never get further. */
            store_fetch_add(&f->fetch, buf_bytes(&view->range_key));
        }
    } else {
        bool has_run = view != NULL;
        status = add_keys(s, r, has_run && r->has_missed, &f->fetch);
        if (status == STATUS_OK && has_run && store_fetch_count(&f->fetch) == 0) {
            status = add_keys(s, r, true, &f->fetch); /* a row came to hand by itself just now */
        }
    }
    if (status != STATUS_OK) {
        shard_halt_damaged(s, status);
    }
    if (status != STATUS_OK || store_fetch_count(&f->fetch) == 0) {
        fetch_destroy(f);
        return;
    }
    r->has_missed = true;
    r->fetch = f;
    store_fetch_start(s->store, &f->fetch);
}

void shard_forget_fetch(struct shard_request *r)
{
    if (r->fetch != NULL) {
        reached("shard: read refused during its fetch");
        r->fetch->request = NULL;
        r->fetch = NULL;
    }
}

void shard_fetch_row(struct shard *s, struct bytes row_key)
{
    if (!list_is_empty(&s->fetches)) {
        return; /* no more than one at a time for nobody */
    }
    struct read_fetch *f = fetch_create(s, NULL);
    store_fetch_add(&f->fetch, row_key);
    store_fetch_start(s->store, &f->fetch);
}

void shard_fetch_expiry(struct shard *s, struct bytes from)
{
    struct read_fetch *f = fetch_create(s, NULL);
    f->is_expiry = true;
    f->fetch.is_seek = true;
    f->fetch.same_bytes = ROW_KEY_SPACE_BYTES;
    store_fetch_add(&f->fetch, from);
    store_fetch_start(s->store, &f->fetch);
}

void shard_fetch_deinit(struct shard *s)
{
    while (!list_is_empty(&s->fetches)) {
        fetch_destroy(container_of(s->fetches.next, struct read_fetch, link));
    }
    if (s->is_apply_fetching) {
        store_fetch_deinit(&s->apply_fetch);
    }
}
