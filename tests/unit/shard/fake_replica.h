/*
 * A replica that does what the test says. The functions of consensus/replica.h that a shard calls
 * are defined here, so that no line of the real replica is linked: the test decides what commits,
 * what is confirmed and who leads.
 */
#ifndef SHARD_FAKE_REPLICA_H
#define SHARD_FAKE_REPLICA_H

#include "base/assert.h"
#include "harness.h"
#include "shard/shard_parts.h"

#ifndef ENTRIES_MAX
#define ENTRIES_MAX 4096u
#endif

/* The group's log, as this replica knows it. */
struct replica {
    struct shard *shard;
    bool is_leader;
    bool is_sole;                        /* reads need no round */
    bool is_full;                        /* no room for another entry */
    struct buf entries[ENTRIES_MAX + 1]; /* by index, from 1 on */
    uint64_t index_last;
    uint64_t index_commit; /* read points of new reads */
    uint64_t index_applied;
    uint64_t barrier; /* applied: all that was inherited */
    uint64_t round;   /* that new reads wait for */
    uint64_t confirmed;
    uint64_t pending_bytes;
    uint64_t apply_to; /* what world_apply wants applied */
    bool is_held;      /* apply() said NEED: it comes again with replica_resume */
    unsigned holds;    /* how often so far */
    uint64_t folded;   /* as the shard said last */
    uint64_t synced;
    enum status apply_status; /* of the last apply() that failed */
};

/* ---- the replica below ----------------------------------------------------------------------- */

uint64_t replica_propose(struct replica *r, struct bytes entry)
{
    if (!r->is_leader) {
        return 0;
    }
    ensure(r->index_last < ENTRIES_MAX);
    struct buf *copy = &r->entries[++r->index_last];
    buf_init(copy, SIZE_MAX / 2);
    buf_append_bytes(copy, entry);
    r->pending_bytes += entry.size;
    return r->index_last;
}

bool replica_read_begin(struct replica *r, uint64_t *out_index, uint64_t *out_round)
{
    if (r->is_leader) {
        *out_index = r->index_commit;
        *out_round = r->is_sole ? 0 : r->round;
    }
    return r->is_leader;
}

uint64_t replica_confirmed(const struct replica *r)
{
    return r->confirmed;
}

uint64_t replica_applied(const struct replica *r)
{
    return r->index_applied;
}

bool replica_is_settled(const struct replica *r)
{
    return r->is_leader && r->index_applied >= r->barrier;
}

bool replica_is_leader(const struct replica *r)
{
    return r->is_leader;
}

uint64_t replica_pending_bytes(const struct replica *r)
{
    return r->pending_bytes;
}

bool replica_has_room(const struct replica *r)
{
    return !r->is_full;
}

/* Term 1, and one member since entry 1. */
static inline struct replica_base base_at(uint64_t index)
{
    return (struct replica_base){
        .index = index,
        .term = index > 0 ? 1 : 0,
        .config = {.index = index > 0 ? 1 : 0, .count = index > 0 ? 1 : 0, .members = {{1, true}}},
    };
}

void replica_base(const struct replica *r, struct replica_base *out_base)
{
    *out_base = base_at(r->index_applied);
}

void replica_folded(struct replica *r, uint64_t index)
{
    CHECK(index >= r->folded && index <= r->index_applied);
    r->folded = index;
}

void replica_synced(struct replica *r, uint64_t index)
{
    CHECK(index >= r->synced && index <= r->folded);
    r->synced = index;
}

/* As the replica does: in order, until an entry has to wait for rows; then looks at what waits. */
static inline void world_go_on(struct replica *r)
{
    const struct replica_events *events = shard_replica_events();
    while (!r->is_held && r->index_applied < r->apply_to) {
        struct buf *entry = &r->entries[r->index_applied + 1];
        enum status s = events->apply(r->shard, r->index_applied + 1, buf_bytes(entry));
        r->is_held = s == STATUS_NEED;
        if (s == STATUS_NEED) {
            r->holds++;
            break;
        }
        r->apply_status = s;
        if (s != STATUS_OK) {
            return;
        }
        r->index_applied++;
        r->pending_bytes -= entry->size;
    }
    events->advanced(r->shard);
}

void replica_resume(struct replica *r)
{
    r->is_held = false;
    world_go_on(r);
}

#endif
