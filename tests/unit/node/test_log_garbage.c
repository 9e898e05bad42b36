#include "base/bytes.h"
#include "harness.h"
#include "node/log_garbage.h"

#define GROUPS 2u
#define SEGMENTS 64u
#define SEGMENT_BYTES 1000u

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
    log_garbage_init(&g, segments_max, SEGMENT_BYTES, &port, NULL);
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

/* ---- what is pending ------------------------------------------------------------------------- */

/* A log with sizes: copies go into the newest segment if they fit, else they open one. */
static struct sized_log {
    uint64_t newest;
    uint64_t oldest;
    uint64_t used[SEGMENTS];
    uint64_t live[SEGMENTS]; /* of it: not applied, and not copied since */
    uint64_t batch;
    unsigned copies;
} sized;

static uint64_t sized_newest(void *owner)
{
    (void)owner;
    return sized.newest;
}

static uint64_t sized_oldest(void *owner)
{
    (void)owner;
    return sized.oldest;
}

/* What has been copied stays written. */
static bool sized_is_covered(void *owner, uint64_t segment)
{
    (void)owner;
    return sized.used[segment] == 0;
}

static bool sized_copy(void *owner, uint64_t segment)
{
    (void)owner;
    uint64_t bytes = 0;
    for (uint64_t s = sized.oldest; s <= segment; s++) {
        bytes += sized.live[s];
        sized.live[s] = 0;
    }
    if (sized.used[sized.newest] + bytes > SEGMENT_BYTES) {
        sized.newest++;
        CHECK(sized.newest < SEGMENTS);
    }
    sized.used[sized.newest] += bytes;
    sized.live[sized.newest] += bytes;
    sized.copies++;
    return true;
}

static uint64_t sized_batch(void *owner)
{
    (void)owner;
    return ++sized.batch;
}

static void sized_sync(void *owner)
{
    (void)owner;
}

static void sized_release(void *owner, uint64_t segment)
{
    (void)owner;
    sized.oldest = segment + 1;
}

static const struct log_garbage_port sized_port = {
    .newest = sized_newest,
    .oldest = sized_oldest,
    .is_covered = sized_is_covered,
    .copy = sized_copy,
    .batch = sized_batch,
    .sync = sized_sync,
    .release = sized_release,
};

/* Two closed segments, the second one has so much that is alive, the newest one the rest. */
static void sized_begin(uint64_t closed, uint64_t newest)
{
    sized = (struct sized_log){.newest = 3, .oldest = 1};
    sized.used[1] = sized.used[2] = SEGMENT_BYTES;
    sized.live[2] = closed;
    sized.live[3] = sized.used[3] = newest;
    log_garbage_init(&g, 1, SEGMENT_BYTES, &sized_port, NULL);
    log_garbage_set_pending(&g, closed + newest);
    log_garbage_set_short(&g, true);
}

static uint64_t sized_disk_bytes(void)
{
    uint64_t bytes = SEGMENT_BYTES; /* the next one */
    for (uint64_t s = sized.oldest; s <= sized.newest; s++) {
        bytes += sized.used[s] > SEGMENT_BYTES ? sized.used[s] : SEGMENT_BYTES;
    }
    return bytes;
}

/* As often as it asks for a sync. */
static void sized_run(void)
{
    for (unsigned round = 0; round < 20; round++) {
        log_garbage_flush(&g);
        if (g.state == LOG_GARBAGE_SYNCING) {
            log_garbage_sync_began(&g);
            log_garbage_synced(&g);
            log_garbage_durable(&g, sized.batch);
        }
    }
}

/* Whatever is pending, and however it is spread: a short log comes to rest, and is not long then.
 */
TEST(copies_end)
{
    for (uint64_t closed = 0; closed <= 5 * SEGMENT_BYTES; closed += SEGMENT_BYTES / 10) {
        for (uint64_t newest = 0; newest <= 5 * SEGMENT_BYTES; newest += SEGMENT_BYTES / 10) {
            sized_begin(closed, newest);
            sized_run();
            CHECK(sized.copies <= 3);
            CHECK(sized.newest - sized.oldest <= 1);
            CHECK(!log_garbage_is_long(&g, sized_disk_bytes(), true));
        }
    }
}

/* Nothing is kept that fits into the newest segment. */
TEST(little_is_pending)
{
    sized_begin(SEGMENT_BYTES / 4, SEGMENT_BYTES / 4);
    sized_run();
    CHECK_EQ(sized.oldest, sized.newest);
    CHECK_EQ(sized.live[sized.newest], SEGMENT_BYTES / 2);
}

/* ---- a long log ------------------------------------------------------------------------------ */

TEST(long_log)
{
    begin(2);
    l.newest = 7; /* six closed ones, three times as many as are kept */
    CHECK(!log_garbage_is_long(&g, 8 * SEGMENT_BYTES, false));
    CHECK(log_garbage_is_long(&g, 8 * SEGMENT_BYTES + 1, false));
    CHECK(log_garbage_is_long(&g, 7 * SEGMENT_BYTES, true));
    l.newest = 8;
    CHECK(log_garbage_is_long(&g, 8 * SEGMENT_BYTES, false));
    l.newest = 3; /* until no more are left than are kept */
    CHECK(!log_garbage_is_long(&g, 4 * SEGMENT_BYTES, true));
    l.newest = 1; /* a single one cannot go */
    CHECK(!log_garbage_is_long(&g, 100 * SEGMENT_BYTES, true));
}

/* It would wait for ever until what cannot go is gone. */
TEST(long_log_of_what_is_pending)
{
    begin(2);
    log_garbage_set_pending(&g, 10 * SEGMENT_BYTES);
    l.newest = 2;
    CHECK(!log_garbage_is_long(&g, 24 * SEGMENT_BYTES, true));
    CHECK(log_garbage_is_long(&g, 24 * SEGMENT_BYTES + 1, true));
    l.newest = 23;
    CHECK(!log_garbage_is_long(&g, 24 * SEGMENT_BYTES, true));
    l.newest = 24;
    CHECK(log_garbage_is_long(&g, 24 * SEGMENT_BYTES, true));
    log_garbage_set_pending(&g, 0);
    l.newest = 4;
    CHECK(log_garbage_is_long(&g, 4 * SEGMENT_BYTES, true));
}
