#include "base/bytes.h"
#include "harness.h"
#include "node/log_garbage.h"

#define GROUPS 2u
#define SEGMENTS 64u

/* A log as log_garbage sees it, and what it was asked to do. */
static struct fake_log {
    uint64_t newest;
    uint64_t oldest;
    uint64_t tops[SEGMENTS][GROUPS]; /* of each segment alone */
    uint64_t durable[GROUPS];
    bool can_copy;
    uint64_t batch;
    unsigned syncs;
    unsigned copies;
    uint64_t copied;
    uint64_t released;
} l;

static struct log_garbage g;

static uint64_t newest(void *owner)
{
    (void)owner;
    return l.newest;
}

static uint64_t oldest(void *owner)
{
    (void)owner;
    return l.oldest;
}

static bool is_covered(void *owner, uint64_t segment)
{
    (void)owner;
    CHECK(segment >= l.oldest);
    for (uint64_t s = l.oldest; s <= segment; s++) {
        for (unsigned group = 0; group < GROUPS; group++) {
            if (l.tops[s][group] > l.durable[group]) {
                return false;
            }
        }
    }
    return true;
}

static bool copy(void *owner, uint64_t segment)
{
    (void)owner;
    l.copies++;
    l.copied = segment;
    return l.can_copy;
}

static uint64_t batch(void *owner)
{
    (void)owner;
    return l.batch;
}

static void sync_soon(void *owner)
{
    (void)owner;
    l.syncs++;
}

static void release(void *owner, uint64_t segment)
{
    (void)owner;
    CHECK(segment > l.released);
    CHECK(segment < l.newest);
    l.released = segment;
}

static const struct log_garbage_port port = {
    .newest = newest,
    .oldest = oldest,
    .is_covered = is_covered,
    .copy = copy,
    .batch = batch,
    .sync = sync_soon,
    .release = release,
};

/* Both groups have one entry in each segment: its number. */
static void begin(uint64_t segments_max)
{
    l = (struct fake_log){.newest = 1, .oldest = 1, .can_copy = true, .batch = 100};
    for (uint64_t s = 0; s < SEGMENTS; s++) {
        l.tops[s][0] = s;
        l.tops[s][1] = s;
    }
    log_garbage_init(&g, segments_max, &port, NULL);
}

static void sync_with(uint64_t durable_a, uint64_t durable_b)
{
    log_garbage_sync_began(&g);
    l.durable[0] = durable_a;
    l.durable[1] = durable_b;
    log_garbage_synced(&g);
}

TEST(sync_when_too_long)
{
    begin(3);
    l.newest = 4; /* three closed ones may stay */
    log_garbage_flush(&g);
    CHECK_EQ(l.syncs, 0u);
    l.newest = 5;
    log_garbage_flush(&g);
    CHECK_EQ(l.syncs, 1u);
    log_garbage_flush(&g); /* asked once */
    CHECK_EQ(l.syncs, 1u);
    sync_with(5, 5);
    CHECK_EQ(l.released, 4u);
    CHECK_EQ(l.copies, 0u);
    /* The files are still there; what was given up does not count. */
    log_garbage_flush(&g);
    CHECK_EQ(l.syncs, 1u);
    l.oldest = 5;
    log_garbage_flush(&g);
    CHECK_EQ(l.syncs, 1u);
    l.newest = 9;
    log_garbage_flush(&g);
    CHECK_EQ(l.syncs, 2u);
}

/* Whoever asked for it, a sync frees what it covers. */
TEST(any_sync_frees)
{
    begin(10);
    l.newest = 4;
    sync_with(4, 4);
    CHECK_EQ(l.released, 3u);
    sync_with(4, 4);
    CHECK_EQ(l.released, 3u);
}

/* The segment that was written to when the sync began has entries that are not part of it. */
TEST(only_older_than_the_sync)
{
    begin(1);
    l.newest = 3;
    log_garbage_flush(&g);
    log_garbage_sync_began(&g);
    l.newest = 6;
    l.durable[0] = 99;
    l.durable[1] = 99;
    log_garbage_synced(&g);
    CHECK_EQ(l.released, 2u);
    log_garbage_flush(&g);
    CHECK_EQ(l.syncs, 2u);
}

/* As far as all groups go, while that is enough: no copies. */
TEST(prefix_without_copies)
{
    begin(4);
    l.newest = 6;
    log_garbage_flush(&g);
    sync_with(5, 2);
    CHECK_EQ(l.released, 2u);
    CHECK_EQ(l.copies, 0u);
    CHECK_EQ(g.state, LOG_GARBAGE_IDLE);
}

/* A group that lags: the old segments go when the copies are durable, not before. */
TEST(copies_first)
{
    begin(2);
    l.newest = 8;
    log_garbage_flush(&g);
    sync_with(8, 1);
    CHECK_EQ(l.released, 1u);
    CHECK_EQ(l.copies, 1u);
    CHECK_EQ(l.copied, 7u);
    CHECK_EQ(g.state, LOG_GARBAGE_COPYING);
    log_garbage_durable(&g, 99);
    CHECK_EQ(l.released, 1u);
    log_garbage_flush(&g); /* a sync would not help now */
    CHECK_EQ(l.syncs, 1u);
    l.newest = 9;
    sync_with(9, 1); /* somebody else's */
    CHECK_EQ(l.released, 1u);
    CHECK_EQ(l.copies, 1u);
    log_garbage_durable(&g, 100);
    CHECK_EQ(l.released, 7u);
    CHECK_EQ(g.state, LOG_GARBAGE_IDLE);
}

TEST(copies_not_possible)
{
    begin(2);
    l.newest = 8;
    l.can_copy = false;
    log_garbage_flush(&g);
    sync_with(8, 1);
    CHECK_EQ(l.copies, 1u);
    CHECK_EQ(l.released, 1u);
    log_garbage_durable(&g, 1000);
    CHECK_EQ(l.released, 1u);
    log_garbage_flush(&g); /* not in each turn */
    CHECK_EQ(l.syncs, 1u);
    log_garbage_tick(&g);
    log_garbage_flush(&g);
    CHECK_EQ(l.syncs, 2u);
    sync_with(8, 8);
    CHECK_EQ(l.released, 7u);
}

/*
 * What stands there of the group was overwritten, or is void behind a snapshot. There is no batch
 * to wait for, and on a full disk, or of an idle node, none may come for long.
 */
TEST(nothing_to_copy)
{
    begin(2);
    l.newest = 8;
    l.batch = 0;
    log_garbage_flush(&g);
    sync_with(8, 1);
    CHECK_EQ(l.copies, 1u);
    CHECK_EQ(l.released, 7u);
    CHECK_EQ(g.state, LOG_GARBAGE_IDLE);
}

/* On a full disk nothing is kept that can go. */
TEST(short_log)
{
    begin(8);
    l.newest = 2;
    log_garbage_flush(&g);
    CHECK_EQ(l.syncs, 0u);
    log_garbage_set_short(&g, true);
    log_garbage_flush(&g);
    CHECK_EQ(l.syncs, 1u);
    sync_with(2, 0);
    CHECK_EQ(l.copies, 1u);
    log_garbage_durable(&g, 100);
    CHECK_EQ(l.released, 1u);
    log_garbage_flush(&g); /* nothing is left to free */
    CHECK_EQ(l.syncs, 1u);
}

/* A sync that was under way when the log got too long does not count as the one asked for. */
TEST(earlier_sync_ends)
{
    begin(2);
    l.newest = 2;
    log_garbage_sync_began(&g);
    l.newest = 6;
    log_garbage_flush(&g);
    CHECK_EQ(l.syncs, 1u);
    l.durable[0] = l.durable[1] = 2;
    log_garbage_synced(&g);
    CHECK_EQ(l.released, 1u);
    log_garbage_flush(&g);
    CHECK_EQ(l.syncs, 2u); /* asks again: the store takes both as one */
    sync_with(6, 6);
    CHECK_EQ(l.released, 5u);
}
