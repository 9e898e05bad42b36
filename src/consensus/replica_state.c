/*
 * How far the state goes: applied, folded into the store, durable there. What is folded leaves the
 * memory, what is durable leaves the log (LOG-12, LOG-13).
 */
#include "base/assert.h"
#include "base/mem.h"
#include "consensus/replica_parts.h"

/* ---- the state at an index ------------------------------------------------------------------- */

static struct replica_base *add_mark(struct replica *r)
{
    if (r->mark_count == r->mark_capacity) {
        r->mark_capacity = r->mark_capacity == 0 ? 4 : 2 * r->mark_capacity;
        r->marks = mem_realloc(r->marks, r->mark_capacity * sizeof r->marks[0]);
    }
    return &r->marks[r->mark_count++];
}

void replica_state_begin(struct replica *r, const struct replica_base *base)
{
    r->mark_count = 0;
    *add_mark(r) = *base;
    r->index_applied = base->index;
    r->index_folded = base->index;
}

enum status replica_state_advance(struct replica *r, uint64_t index, const struct kept_entry *e)
{
    ensure(r->mark_count > 0);
    struct replica_base mark = r->marks[r->mark_count - 1];
    ensure(index > mark.index);
    bool is_change = e->kind == ENGINE_ENTRY_CHANGE;
    if (!is_change && e->term == mark.term) {
        return STATUS_OK;
    }
    if (is_change) {
        if (engine_config_decode(bytes_of(e->payload, e->size), &mark.config) != STATUS_OK) {
            return STATUS_CORRUPT;
        }
        mark.config.index = index;
    }
    mark.index = index;
    mark.term = e->term;
    *add_mark(r) = mark;
    return STATUS_OK;
}

/* The last mark at or below index. */
static size_t mark_at(const struct replica *r, uint64_t index)
{
    size_t i = r->mark_count;
    while (i > 1 && r->marks[i - 1].index > index) {
        i--;
    }
    ensure(i > 0 && r->marks[i - 1].index <= index);
    return i - 1;
}

void replica_state_at(const struct replica *r, uint64_t index, struct replica_base *out_base)
{
    ensure(index <= r->index_applied);
    *out_base = r->marks[mark_at(r, index)];
    out_base->index = index;
}

void replica_base(const struct replica *r, struct replica_base *out_base)
{
    replica_state_at(r, r->index_applied, out_base);
}

uint32_t replica_generation(const struct replica *r)
{
    return r->generation;
}

uint64_t replica_synced_index(const struct replica *r)
{
    return r->synced.index;
}

/* ---- folded: entries leave the memory -------------------------------------------------------- */

/* How many entries up to index are kept for followers that lag. */
static uint32_t trailing_before(const struct replica *r, uint64_t index)
{
    uint32_t count = 0;
    uint64_t bytes = 0;
    while (count < REPLICA_TRAILING_ENTRIES_MAX && replica_has_entry(r, index - count)) {
        bytes += replica_entry(r, index - count)->size;
        if (bytes > r->options.trailing_bytes) {
            break;
        }
        count++;
    }
    return count;
}

/* How many of them a snapshot on its way needs. */
static uint32_t held_before(const struct replica *r, uint64_t index)
{
    uint64_t count = r->entry_last + 1 - r->entry_first;
    uint64_t first = r->index_held > r->entry_first ? r->index_held : r->entry_first;
    if (first > index) {
        return 0;
    }
    if (r->kept_bytes + count * sizeof(struct kept_entry) > r->options.held_bytes) {
        reached("consensus: too many entries behind a snapshot");
        return 0;
    }
    reached("consensus: entries stay behind a snapshot");
    return (uint32_t)(index + 1 - first);
}

void replica_hold_entries(struct replica *r, uint64_t index)
{
    r->index_held = index;
}

/*
 * The engine demands as many entries as may be in flight, whatever their size (G3); it needs their
 * terms. Of the payloads only so many bytes stay, but the newest one and what is held in any case.
 */
static void drop_payloads(struct replica *r, uint64_t index, uint32_t held)
{
    uint64_t bytes = 0;
    uint64_t first = index + 1;
    while (first > r->payload_first && replica_has_entry(r, first - 1)) {
        bytes += replica_entry(r, first - 1)->size;
        if (bytes > r->options.payload_bytes && first <= index && index + 1 - first >= held) {
            reached("consensus: payloads leave before their entries");
            break;
        }
        first--;
    }
    replica_drop_payloads(r, first);
}

/* The engine hears of it behind the configurations, and of nothing that it holds for open. */
static uint64_t compact_to(const struct replica *r)
{
    return r->index_folded < r->index_config ? r->index_folded : r->index_config;
}

bool replica_can_compact(const struct replica *r)
{
    uint64_t index = compact_to(r);
    return r->engine != NULL && !r->is_installing && index >= ENGINE_SNAPSHOT_INDEX_MIN &&
           index > r->index_compacted;
}

enum status replica_compact(struct replica *r)
{
    uint64_t index = compact_to(r);
    struct replica_base base;
    replica_state_at(r, index, &base);
    uint32_t trailing = trailing_before(r, index);
    uint32_t held = held_before(r, index);
    trailing = trailing > held ? trailing : held;
    r->index_compacted = index;
    enum status s = engine_compacted(r->engine,
                                     replica_now_ms(r),
                                     base.index,
                                     base.term,
                                     &base.config,
                                     trailing);
    if (s == STATUS_OK) {
        replica_drop(r, engine_log_offset(r->engine));
        drop_payloads(r, index, held);
    }
    return s;
}

void replica_drop_trailing(struct replica *r, uint64_t index)
{
    index = index < r->entry_last ? index : r->entry_last;
    while (r->entry_first <= index &&
           (index - r->entry_first >= REPLICA_TRAILING_ENTRIES_MAX ||
            r->kept_bytes - r->pending_bytes > r->options.trailing_bytes)) {
        replica_drop(r, r->entry_first);
    }
}

void replica_folded(struct replica *r, uint64_t index)
{
    ensure(index <= r->index_applied);
    if (r->is_installing || index <= r->index_folded) {
        return; /* of the state before an install, or nothing new */
    }
    r->index_folded = index;
    if (r->engine == NULL) {
        replica_drop_trailing(r, index);
        return;
    }
    replica_settle(r, STATUS_OK);
}

/* ---- durable: the log may go ----------------------------------------------------------------- */

/* Marks of what is durable, and behind what the engine was not told of yet. */
static void forget_marks(struct replica *r)
{
    size_t past = 0;
    while (past + 1 < r->mark_count && r->marks[past + 1].index <= r->synced.index &&
           r->marks[past + 1].index <= r->index_config) {
        past++;
    }
    r->mark_count -= past;
    memmove(r->marks, r->marks + past, r->mark_count * sizeof r->marks[0]);
}

void replica_synced(struct replica *r, uint64_t index)
{
    ensure(index <= r->index_applied);
    if (index <= r->synced.index) {
        return;
    }
    replica_state_at(r, index, &r->synced);
    forget_marks(r);
}

/*
 * Behind an INSTALL record that is not durable yet: where the log is read as far as this record,
 * that one was read before.
 */
void replica_log_group(struct replica *r)
{
    struct group_record g = {
        .generation = r->is_installing ? r->install_generation : r->generation,
        .replica_id = r->options.id,
        .base = r->is_installing ? r->install : r->synced,
    };
    struct buf payload;
    buf_init(&payload, KIB);
    group_record_encode(&g, &payload);
    (void)replica_log_record(r, LOG_KIND_GROUP, r->term, r->vote, buf_bytes(&payload));
    buf_deinit(&payload);
}

bool replica_relocate(struct replica *r, uint64_t batch_last)
{
    if (r->is_installing) {
        return false; /* a crash may still bring back the log before it */
    }
    uint64_t first = r->synced.index + 1;
    if (first <= r->entry_last && (first < r->entry_first || first < r->payload_first)) {
        reached("consensus: entry to be copied has left the memory");
        return false;
    }
    /* What is not durable yet stands in a newer segment. */
    for (uint64_t i = first; i <= r->entry_last && i <= r->index_durable; i++) {
        if (replica_entry(r, i)->batch <= batch_last) {
            replica_log_copy(r, i);
        }
    }
    return true;
}
