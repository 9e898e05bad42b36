/* Starting from a damaged log: which bytes behind the good part are cut, which stop the node. */
#include "log_pair.h"

/* ---- the last batch -------------------------------------------------------------------------- */

TEST(whole_log_comes_back)
{
    struct pair p;
    uint64_t ends[3];
    pair_init(&p);
    three_batches(&p, ends);
    copy_files(&p);
    world_open(&p.next);
    check_replayed(&p.next, THREE_BATCHES);
    CHECK_EQ(p.next.log.stats.cut_bytes, 0u);
    CHECK(bytes_equal(buf_bytes(world_file(&p.left, SEGMENT_1)),
                      buf_bytes(world_file(&p.next, SEGMENT_1))));
    goes_on(&p.next, THREE_BATCHES);
    pair_deinit(&p);
}

/* Power fails inside the last write: only its first bytes are there. */
TEST(last_batch_cut_at_every_byte)
{
    struct pair p;
    uint64_t ends[3];
    pair_init(&p);
    three_batches(&p, ends);
    for (uint64_t at = ends[1]; at < ends[2]; at++) {
        copy_files(&p);
        struct buf *file = world_file(&p.next, SEGMENT_1);
        memset(file->data + at, 0, ends[2] - at);
        world_open(&p.next);
        check_replayed(&p.next, TWO_BATCHES);
        CHECK_EQ(p.next.log.stats.cut_bytes > 0, at > ends[1]);
        check_zero_from(&p.next, SEGMENT_1, ends[1]);
        goes_on(&p.next, TWO_BATCHES);
    }
    pair_deinit(&p);
}

/* Power fails inside the last write: its parts came to the disk in any order. */
TEST(last_batch_bad_at_every_byte)
{
    struct pair p;
    uint64_t ends[3];
    pair_init(&p);
    three_batches(&p, ends);
    for (uint64_t at = ends[1]; at < ends[2]; at++) {
        copy_files(&p);
        world_file(&p.next, SEGMENT_1)->data[at] ^= 0xff;
        world_open(&p.next);
        check_replayed(&p.next, TWO_BATCHES);
        CHECK(p.next.log.stats.cut_bytes > 0);
        check_zero_from(&p.next, SEGMENT_1, ends[1]);
        goes_on(&p.next, TWO_BATCHES);
    }
    pair_deinit(&p);
}

/* A batch larger than a usual segment, torn: the zeros that were made for it stay. */
TEST(large_last_batch_cut)
{
    struct pair p;
    pair_init(&p);
    (void)world_append_size(&p.left, 20000);
    log_flush(&p.left.log);
    fake_env_run_all(&p.left.env);
    CHECK_EQ(p.left.log.segment.id, 2u);
    const uint64_t sizes[] = {FIRST, FIRST + 1, 8192, 8197, 20000, FIRST + 48 + 40 + 20000 - 1};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        copy_files(&p);
        struct buf *file = world_file(&p.next, SEGMENT_2);
        memset(file->data + sizes[i], 0, file->size - sizes[i]);
        world_open(&p.next);
        check_replayed(&p.next, "");
        check_zero_from(&p.next, SEGMENT_2, FIRST);
        goes_on(&p.next, "");
    }
    copy_files(&p);
    world_file(&p.next, SEGMENT_2)->size--; /* its size was durable before its name */
    open_is_refused(&p.next, STATUS_CORRUPT);
    pair_deinit(&p);
}

/* LOG-9: the zeros are synced before anything is appended, and nothing old comes alive. */
TEST(cut_is_synced_before_the_first_append)
{
    struct pair p;
    uint64_t ends[3];
    pair_init(&p);
    three_batches(&p, ends);
    copy_files(&p);
    world_file(&p.next, SEGMENT_1)->data[ends[1]] ^= 1;
    world_open(&p.next);
    const char *events = fake_env_events(&p.next.env);
    const char *write = strstr(events, "write 0000000000000001.log 4288");
    CHECK(write != NULL);
    CHECK(strstr(write, "sync 0000000000000001.log\n") != NULL);
    /* The new batch ends inside the old one: the old one's second record stood behind it. */
    goes_on(&p.next, TWO_BATCHES);
    check_zero_from(&p.next, SEGMENT_1, ends[1] + LOG_BATCH_HEADER_BYTES + log_record_size(3));
    pair_deinit(&p);
}

/* ---- batches that had been synced ------------------------------------------------------------ */

/* LOG-4: a batch was written after it, so it had been synced. */
TEST(bad_batch_with_a_successor)
{
    struct pair p;
    uint64_t ends[3];
    pair_init(&p);
    three_batches(&p, ends);
    bad_byte_is_damage(&p, FIRST, ends[1]);
    pair_deinit(&p);
}

/* LOG-6: only the mark of the idle log proves it. */
TEST(bad_batch_with_a_mark)
{
    struct pair p;
    uint64_t ends[3];
    pair_init(&p);
    three_batches(&p, ends);
    world_idle(&p.left);
    CHECK_EQ(p.left.log.offset, ends[2] + LOG_BATCH_HEADER_BYTES);
    bad_byte_is_damage(&p, ends[1], ends[2]);
    pair_deinit(&p);
}

TEST(bad_mark_is_cut)
{
    struct pair p;
    uint64_t ends[3];
    pair_init(&p);
    three_batches(&p, ends);
    world_idle(&p.left);
    for (uint64_t at = ends[2]; at < ends[2] + LOG_BATCH_HEADER_BYTES; at++) {
        copy_files(&p);
        world_file(&p.next, SEGMENT_1)->data[at] ^= 0xff;
        world_open(&p.next);
        check_replayed(&p.next, THREE_BATCHES);
        check_zero_from(&p.next, SEGMENT_1, ends[2]);
        goes_on(&p.next, THREE_BATCHES);
    }
    pair_deinit(&p);
}

/* Two bad batches in a row, the later one with one whole record left: still a proof. */
TEST(one_record_of_the_successor_is_proof)
{
    struct pair p;
    uint64_t ends[3];
    pair_init(&p);
    three_batches(&p, ends);
    copy_files(&p);
    struct buf *file = world_file(&p.next, SEGMENT_1);
    file->data[ends[0]] ^= 1;                                    /* batch 2 */
    memset(file->data + ends[1], 0, LOG_BATCH_HEADER_BYTES);     /* header of batch 3 */
    memset(file->data + ends[1] + LOG_BATCH_HEADER_BYTES, 0, 8); /* its first record */
    open_is_refused(&p.next, STATUS_CORRUPT);
    pair_deinit(&p);
}

/* ---- bytes that only look like a later batch ------------------------------------------------- */

/* The bytes of a real batch 3 as they stood at batch_at stand in the payload of a torn batch 2. */
static void with_copied_batch(bool at_its_place, enum status expected)
{
    struct pair p;
    pair_init(&p);
    world_batch(&p.left, "one-----");
    (void)world_append_size(&p.left, 104);
    log_flush(&p.left.log);
    fake_env_run_all(&p.left.env);
    uint64_t batch_at = p.left.log.offset;
    world_batch(&p.left, "three---");
    uint8_t copied[96];
    memcpy(copied, world_file(&p.left, SEGMENT_1)->data + batch_at, sizeof copied);

    /* The same log again, up to the batch that a client fills with what it saw. */
    world_open(&p.next);
    CHECK_EQ(p.next.log.segment.salt, p.left.log.segment.salt);
    world_batch(&p.next, "one-----");
    uint64_t torn_at = p.next.log.offset;
    uint64_t payload_at = torn_at + LOG_BATCH_HEADER_BYTES + LOG_RECORD_HEADER_BYTES;
    uint8_t payload[512] = {0};
    memcpy(payload + (at_its_place ? batch_at - payload_at : 8), copied, sizeof copied);
    (void)world_append(&p.next, bytes_of(payload, sizeof payload));
    log_flush(&p.next.log);
    fake_env_run_all(&p.next.env);
    world_die(&p.next);
    remove_file(&p.next, SEGMENT_2 ".new");
    world_file(&p.next, SEGMENT_1)->data[torn_at] ^= 1;
    if (expected == STATUS_OK) {
        world_open(&p.next);
        check_replayed(&p.next, "1=one-----;");
        CHECK(p.next.log.stats.cut_bytes > 0);
    } else {
        open_is_refused(&p.next, expected);
    }
    pair_deinit(&p);
}

TEST(copy_of_a_later_batch_is_no_proof)
{
    with_copied_batch(false, STATUS_OK);
}

/* The control of the test above: the same bytes are a proof where they belong. */
TEST(later_batch_in_its_place_is_proof)
{
    with_copied_batch(true, STATUS_CORRUPT);
}
