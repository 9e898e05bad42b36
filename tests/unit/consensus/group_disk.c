/* Images, records and syncs of a member of a test group. Included by group.c. */

static struct group_entry *image_entry(const struct group_image *image, uint64_t index)
{
    if (index < image->first || index >= image->first + image->count) {
        return NULL;
    }
    return &image->entries[index - image->first];
}

uint64_t group_term_of(const struct group_image *image, uint64_t index)
{
    const struct group_entry *entry = image_entry(image, index);
    if (entry != NULL) {
        return entry->term;
    }
    return index > 0 && index == image->snapshot.index ? image->snapshot.term : 0;
}

uint64_t group_last(const struct group_image *image)
{
    return image->first + image->count - 1;
}

static void image_append(struct group_image *image,
                         uint64_t index,
                         const struct group_entry *entries,
                         uint32_t count)
{
    ensure(index >= image->first);
    ensure(index <= image->first + image->count);
    image->count = index - image->first;
    if (image->count + count > image->capacity) {
        image->capacity = 2 * (image->count + count);
        image->entries = mem_realloc(image->entries, image->capacity * sizeof(*image->entries));
    }
    memcpy(image->entries + image->count, entries, count * sizeof(*entries));
    image->count += count;
}

/* Keeps the entries above offset. */
static void image_compact(struct group_image *image, uint64_t offset)
{
    if (offset < image->first) {
        return;
    }
    uint64_t dropped = offset - image->first + 1;
    dropped = dropped < image->count ? dropped : image->count;
    image->count -= dropped;
    memmove(image->entries, image->entries + dropped, image->count * sizeof(*image->entries));
    image->first += dropped;
}

static void image_install(struct group_image *image, const struct group_snapshot *snapshot)
{
    image->snapshot = *snapshot;
    image->first = snapshot->index + 1;
    image->count = 0;
}

static void image_copy(struct group_image *to, const struct group_image *from)
{
    mem_free(to->entries);
    *to = *from;
    to->capacity = from->count;
    to->entries = mem_alloc(from->count * sizeof(*to->entries));
    if (from->count > 0) {
        memcpy(to->entries, from->entries, from->count * sizeof(*to->entries));
    }
}

static void record_write(struct group_member *m, const struct group_record *record)
{
    if (m->record_count == m->record_capacity) {
        m->record_capacity = 2 * m->record_capacity + 8;
        m->records = mem_realloc(m->records, m->record_capacity * sizeof(*m->records));
    }
    m->records[m->record_count++] = *record;
    if (record->kind == GROUP_HARD_STATE) {
        m->hard_number = m->records_done + m->record_count;
    }
}

/* The record is on the disk now. */
static void record_apply(struct group_member *m, const struct group_record *record)
{
    struct group_image *disk = &m->disk;
    switch (record->kind) {
    case GROUP_HARD_STATE:
        if (record->term < disk->term ||
            (record->term == disk->term && disk->vote != 0 && disk->vote != record->vote)) {
            group_fail(m->group, "member %u: term or vote taken back", (unsigned)m->id);
        }
        disk->term = record->term;
        disk->vote = record->vote;
        return;
    case GROUP_ENTRIES:
        image_append(disk, record->index, record->entries, record->count);
        return;
    case GROUP_SNAPSHOT:
        if (record->snapshot.index > disk->snapshot.index) {
            disk->snapshot = record->snapshot;
        }
        return;
    case GROUP_INSTALL:
        image_install(disk, &record->snapshot);
        return;
    }
}

static void records_drop(struct group_member *m, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        mem_free(m->records[i].entries);
    }
    m->record_count -= count;
    m->records_done += count;
    if (m->record_count > 0) {
        memmove(m->records, m->records + count, m->record_count * sizeof(*m->records));
    }
}

void group_sync_begin(struct group *g, uint64_t id)
{
    struct group_member *m = group_at(g, id);
    ensure(m->sync_count == 0);
    m->sync_count = m->record_count;
}

/* A local snapshot is durable: the engine and both logs let go of what it covers. */
static void compact(struct group_member *m, const struct group_snapshot *snapshot)
{
    if (m->is_installing || snapshot->index <= m->memory.snapshot.index) {
        return;
    }
    m->memory.snapshot = *snapshot;
    enum status s = engine_compacted(m->engine,
                                     m->group->now_ms,
                                     snapshot->index,
                                     snapshot->term,
                                     &snapshot->config,
                                     m->group->trailing);
    ensure(s == STATUS_OK);
    image_compact(&m->memory, engine_log_offset(m->engine));
    image_compact(&m->disk, engine_log_offset(m->engine));
}

/* The fetched state, its record and an empty log are durable. */
static void installed(struct group_member *m, const struct group_snapshot *snapshot)
{
    m->is_installing = false;
    m->durable = snapshot->index;
    m->applied = snapshot->index;
    m->applied_config = snapshot->config;
    m->group->install_count++;
    enum status s = engine_installed(m->engine,
                                     m->group->now_ms,
                                     snapshot->index,
                                     snapshot->term,
                                     &snapshot->config);
    ensure(s == STATUS_OK);
}

static void apply(struct group_member *m);

void group_sync_end(struct group *g, uint64_t id)
{
    struct group_member *m = group_at(g, id);
    size_t count = m->sync_count;
    uint64_t end = 0;
    struct group_snapshot snapshot = {0};
    struct group_snapshot install = {0};
    for (size_t i = 0; i < count; i++) {
        const struct group_record *record = &m->records[i];
        record_apply(m, record);
        end = record->end > end ? record->end : end;
        if (record->kind == GROUP_SNAPSHOT) {
            snapshot = record->snapshot;
        }
        if (record->kind == GROUP_INSTALL) {
            install = record->snapshot;
            end = 0;
        }
    }
    records_drop(m, count);
    m->sync_count = 0;
    if (install.index > 0) {
        installed(m, &install);
    }
    if (end > m->durable) {
        m->durable = end;
        enum status s = engine_persisted(m->engine, g->now_ms, end);
        ensure(s == STATUS_OK);
    }
    apply(m);
    if (snapshot.index > 0) {
        compact(m, &snapshot);
    }
    group_check(g, m);
}

void group_sync(struct group *g, uint64_t id)
{
    group_sync_begin(g, id);
    group_sync_end(g, id);
}

void group_fetch(struct group *g, uint64_t id)
{
    struct group_member *m = group_at(g, id);
    ensure(m->is_installing);
    m->install_due_ms = GROUP_NEVER;
    record_write(m, &(struct group_record){.kind = GROUP_INSTALL, .snapshot = m->install});
}

void group_snapshot(struct group *g, uint64_t id)
{
    struct group_member *m = group_at(g, id);
    uint64_t index = m->applied;
    if (m->is_installing || index <= m->memory.snapshot.index) {
        return;
    }
    for (size_t i = 0; i < m->record_count; i++) {
        if (m->records[i].kind == GROUP_SNAPSHOT) {
            return;
        }
    }
    struct group_record record = {
        .kind = GROUP_SNAPSHOT,
        .snapshot =
            {
                .index = index,
                .term = group_term_of(&m->memory, index),
                .config = m->applied_config,
            },
    };
    record_write(m, &record);
}
