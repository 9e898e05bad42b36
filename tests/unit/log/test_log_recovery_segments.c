/* Starting from a damaged log: missing, foreign and half-sealed segments, and failing disks. */
#include "base/crc.h"
#include "base/endian.h"
#include "log_pair.h"

/* ---- segments -------------------------------------------------------------------------------- */

/* Three segments; the last holds one batch. */
static void three_segments(struct pair *p)
{
    while (p->left.log.segment.id < 3) {
        (void)world_append_size(&p->left, 500);
        log_flush(&p->left.log);
        fake_env_run_all(&p->left.env);
    }
}

/* Released ones go oldest first, so a gap is damage, and so is a seal without a successor. */
TEST(missing_segments)
{
    struct pair p;
    pair_init(&p);
    three_segments(&p);
    const char *paths[] = {SEGMENT_2, SEGMENT_3};
    for (size_t i = 0; i < 2; i++) {
        copy_files(&p);
        remove_file(&p.next, paths[i]);
        open_is_refused(&p.next, STATUS_CORRUPT);
        CHECK(strstr(p.next.error.text, "missing") != NULL);
    }
    copy_files(&p);
    remove_file(&p.next, SEGMENT_2);
    remove_file(&p.next, SEGMENT_3);
    open_is_refused(&p.next, STATUS_CORRUPT);
    pair_deinit(&p);
}

/* The log begins with any segment: what stood before it was released. */
TEST(first_segments_released)
{
    struct pair p;
    pair_init(&p);
    three_segments(&p);
    copy_files(&p);
    remove_file(&p.next, SEGMENT_1);
    world_open(&p.next);
    CHECK_EQ(p.next.status, STATUS_OK);
    CHECK_EQ(p.next.replayed_count, p.left.index - 6);
    CHECK_EQ(log_segment_oldest(&p.next.log), 2u);
    world_die(&p.next);
    remove_file(&p.next, SEGMENT_2);
    world_open(&p.next);
    CHECK_EQ(p.next.status, STATUS_OK);
    CHECK_EQ(p.next.replayed_count, p.left.index - 12);
    CHECK_EQ(log_segment_oldest(&p.next.log), 3u);
    CHECK_EQ(log_segment_newest(&p.next.log), 3u);
    CHECK_EQ(p.next.log.batch_next, p.left.log.batch_next);
    CHECK_EQ(p.next.log.stats.segments, 1u);
    world_batch(&p.next, "new");
    world_die(&p.next);
    world_open(&p.next);
    CHECK_EQ(p.next.status, STATUS_OK);
    CHECK_EQ(p.next.replayed_count, p.left.index - 12 + 1);
    pair_deinit(&p);
}

TEST(bad_segment_header)
{
    struct pair p;
    pair_init(&p);
    three_segments(&p);
    const char *paths[] = {SEGMENT_1, SEGMENT_2, SEGMENT_3};
    for (size_t i = 0; i < 3; i++) {
        for (uint64_t at = 0; at < 68; at++) {
            copy_files(&p);
            world_file(&p.next, paths[i])->data[at] ^= 0x10;
            open_is_refused(&p.next, STATUS_CORRUPT);
        }
        copy_files(&p);
        world_file(&p.next, paths[i])->size = FIRST - 1;
        open_is_refused(&p.next, STATUS_CORRUPT);
    }
    pair_deinit(&p);
}

/* Changes a field of the header of segment 2 and makes its checksum good again. */
static void forge_header(struct pair *p, uint64_t at, uint8_t change, enum status expected)
{
    copy_files(p);
    uint8_t *header = world_file(&p->next, SEGMENT_2)->data;
    header[at] ^= change;
    put_u32_le(header + 64, crc32c(0, header, 64));
    open_is_refused(&p->next, expected);
}

TEST(valid_header_of_something_else)
{
    struct pair p;
    pair_init(&p);
    three_segments(&p);
    forge_header(&p, 8, 3, STATUS_UNSUPPORTED); /* version 2 */
    forge_header(&p, 16, 1, STATUS_CORRUPT);    /* segment 3 */
    forge_header(&p, 24, 1, STATUS_CORRUPT);    /* another first batch */
    forge_header(&p, 32, 1, STATUS_CORRUPT);    /* another salt: its batches are not valid */
    forge_header(&p, 40, 1, STATUS_CORRUPT);    /* another node */
    CHECK(strstr(p.next.error.text, "another node") != NULL);
    pair_deinit(&p);
}

TEST(unfinished_file_is_removed)
{
    struct pair p;
    pair_init(&p);
    uint64_t ends[3];
    three_batches(&p, ends);
    CHECK(fake_env_file(&p.left.env, SEGMENT_2 ".new") != NULL);
    fake_env_copy_files(&p.next.env, &p.left.env);
    memset(world_file(&p.next, SEGMENT_2 ".new")->data, 0xaa, 100);
    world_open(&p.next);
    check_replayed(&p.next, THREE_BATCHES);
    CHECK(fake_env_file(&p.next.env, SEGMENT_2 ".new") == NULL);
    goes_on(&p.next, THREE_BATCHES);
    pair_deinit(&p);
}

/* ---- seals ----------------------------------------------------------------------------------- */

static void comes_back(struct log_world *w, uint64_t records)
{
    world_open(w);
    CHECK_EQ(w->status, STATUS_OK);
    CHECK_EQ(w->replayed_count, records);
    world_batch(w, "new");
    world_die(w);
    world_open(w);
    CHECK_EQ(w->status, STATUS_OK);
    CHECK_EQ(w->replayed_count, records + 1);
    CHECK_EQ(w->log.stats.cut_bytes, 0u);
}

/* Wherever a rotation stops, the log goes on. */
TEST(rotation_stopped_anywhere)
{
    for (uint64_t call = 1; call <= 8; call++) {
        struct pair p;
        pair_init(&p);
        uint64_t records = halted_rotation(&p, call);
        copy_files(&p);
        /* A failed sync of the batch left it whole: it may come back. */
        comes_back(&p.next, call == 8 ? records + 1 : records);
        CHECK_EQ(p.next.log.segment.id, call <= 3 ? 1u : 2u);
        pair_deinit(&p);
    }
}

/* LOG-10: before the missing seal is written, the name of the segment behind it is durable. */
TEST(missing_seal_waits_for_the_directory)
{
    struct pair p;
    pair_init(&p);
    (void)halted_rotation(&p, 4); /* the new name was never synced */
    copy_files(&p);
    world_open(&p.next);
    CHECK_EQ(p.next.status, STATUS_OK);
    const char *events = fake_env_events(&p.next.env);
    const char *dir_sync = strstr(events, "dir_sync log\n");
    CHECK(dir_sync != NULL);
    CHECK(strstr(events, "write 0000000000000001.log") > dir_sync);
    pair_deinit(&p);
}

/* The last segment is empty: the crash may have come before the seal was synced. */
TEST(torn_seal_is_written_again)
{
    struct pair p;
    pair_init(&p);
    uint64_t records = halted_rotation(&p, 7);
    uint64_t seal_at = p.left.log.offset;
    for (uint64_t at = seal_at; at < seal_at + LOG_BATCH_HEADER_BYTES; at++) {
        copy_files(&p);
        struct buf *file = world_file(&p.next, SEGMENT_1);
        file->data[at] ^= 0xff;
        world_open(&p.next);
        CHECK_EQ(p.next.status, STATUS_OK);
        CHECK_EQ(p.next.replayed_count, records);
        const uint8_t *whole = world_file(&p.left, SEGMENT_1)->data + seal_at;
        CHECK(memcmp(file->data + seal_at, whole, LOG_BATCH_HEADER_BYTES) == 0);
        world_die(&p.next);
        comes_back(&p.next, records);
    }
    pair_deinit(&p);
}

/* The last segment holds a batch, so the seal had been synced. */
TEST(bad_seal_before_a_batch_is_damage)
{
    struct pair p;
    pair_init(&p);
    (void)halted_rotation(&p, 8);
    uint64_t seal_at = p.left.log.offset;
    bad_byte_is_damage(&p, seal_at, seal_at + LOG_BATCH_HEADER_BYTES);
    copy_files(&p);
    memset(world_file(&p.next, SEGMENT_1)->data + seal_at, 0, LOG_BATCH_HEADER_BYTES);
    open_is_refused(&p.next, STATUS_CORRUPT);
    pair_deinit(&p);
}

/* With or without its seal: the last batch of a segment that has a successor was synced. */
TEST(bad_batch_before_an_empty_segment)
{
    for (uint64_t call = 5; call <= 7; call += 2) {
        struct pair p;
        pair_init(&p);
        (void)halted_rotation(&p, call);
        uint64_t end = p.left.log.offset;
        bad_byte_is_damage(&p, end - 100, end - 4); /* four bytes of padding */
        copy_files(&p);
        memset(world_file(&p.next, SEGMENT_1)->data + end - 592, 0, 592);
        open_is_refused(&p.next, STATUS_CORRUPT);
        pair_deinit(&p);
    }
}

/* Only the last segment but one may lack its seal. */
TEST(bad_seal_further_back_is_damage)
{
    struct pair p;
    pair_init(&p);
    three_segments(&p);
    copy_files(&p);
    struct buf *file = world_file(&p.next, SEGMENT_1);
    memset(file->data + FIRST + 6 * (48 + 544), 0, LOG_BATCH_HEADER_BYTES);
    open_is_refused(&p.next, STATUS_CORRUPT);
    pair_deinit(&p);
}

/* ---- syncs, other errors --------------------------------------------------------------------- */

/* LOG-8: what recovery read is synced before anybody hears of it. */
TEST(every_segment_is_synced_before_its_records)
{
    struct pair p;
    pair_init(&p);
    three_segments(&p);
    uint64_t records = p.left.index;
    copy_files(&p);
    world_open(&p.next);
    CHECK_EQ(p.next.replayed_count, records);
    const char *events = fake_env_events(&p.next.env);
    const char *sync_1 = strstr(events, "sync 0000000000000001.log\n");
    const char *sync_2 = strstr(events, "sync 0000000000000002.log\n");
    const char *sync_3 = strstr(events, "sync 0000000000000003.log\n");
    CHECK(sync_1 != NULL);
    CHECK(sync_2 != NULL);
    CHECK(sync_3 != NULL);
    CHECK(sync_1 < strstr(events, "replay 1\n"));
    CHECK(sync_2 < strstr(events, "replay 7\n"));
    CHECK(sync_3 < strstr(events, "replay 13\n"));
    CHECK(strstr(events, "dir_sync log\n") != NULL);
    pair_deinit(&p);
}

/*
 * LOG-8, LOG-9: whoever hears of a record may store what follows from it, so the tail is cut and
 * the newest batch written again before.
 */
TEST(settled_before_its_records_are_delivered)
{
    struct pair p;
    uint64_t ends[3];
    pair_init(&p);
    three_batches(&p, ends);
    copy_files(&p);
    world_file(&p.next, SEGMENT_1)->data[ends[1]] ^= 1; /* the third batch is torn */
    world_open(&p.next);
    const char *events = fake_env_events(&p.next.env);
    const char *replay = strstr(events, "replay 1\n");
    const char *zeros = strstr(events, "write 0000000000000001.log 4288 ");
    const char *again = strstr(events, "write 0000000000000001.log 4192 96\nsync ");
    CHECK(zeros != NULL && again != NULL && replay != NULL);
    CHECK(zeros < again && again < replay);
    CHECK(strstr(replay, "write ") == NULL);
    pair_deinit(&p);
}

/* The seal that a crash left out is written before the records in front of it are delivered. */
TEST(sealed_before_its_records_are_delivered)
{
    struct pair p;
    pair_init(&p);
    (void)halted_rotation(&p, 5);
    copy_files(&p);
    world_open(&p.next);
    CHECK_EQ(p.next.status, STATUS_OK);
    const char *events = fake_env_events(&p.next.env);
    const char *seal = strstr(events, " 48\nsync 0000000000000001.log\n");
    CHECK(seal != NULL && seal < strstr(events, "replay 1\n"));
    pair_deinit(&p);
}

/* The newest batch is at `at` of the first segment: after all reading it is written again. */
static void newest_is_written_again(struct pair *p, uint64_t at, uint64_t size)
{
    char expected[128];
    copy_files(p);
    struct fake_env before;
    fake_env_init(&before);
    fake_env_copy_files(&before, &p->next.env);
    fake_env_forget(&p->next.env);
    world_open(&p->next);
    CHECK_EQ(p->next.status, STATUS_OK);
    (void)snprintf(expected,
                   sizeof expected,
                   "write 0000000000000001.log %llu %llu\n"
                   "sync 0000000000000001.log\n",
                   (unsigned long long)at,
                   (unsigned long long)size);
    CHECK(strstr(fake_env_events(&p->next.env), expected) != NULL);
    CHECK(fake_env_same_files(&before, &p->next.env)); /* the same bytes */
    fake_env_deinit(&before);
}

/*
 * LOG-8: a batch whose sync failed may be in the page cache, held for clean, and not on the disk. A
 * sync alone saves nothing then.
 */
TEST(newest_batch_is_written_again)
{
    struct pair p;
    uint64_t ends[3];
    pair_init(&p);
    three_batches(&p, ends);
    newest_is_written_again(&p, ends[1], ends[2] - ends[1]);
    world_idle(&p.left);
    newest_is_written_again(&p, ends[2], LOG_BATCH_HEADER_BYTES); /* the mark */
    pair_deinit(&p);
}

TEST(newest_seal_is_written_again)
{
    struct pair p;
    pair_init(&p);
    (void)halted_rotation(&p, 7); /* behind the seal there is nothing yet */
    newest_is_written_again(&p, p.left.log.offset, LOG_BATCH_HEADER_BYTES);
    pair_deinit(&p);
}

/* A disk that fails is no damage, and no file is changed for it. */
TEST(failing_disk)
{
    struct pair p;
    pair_init(&p);
    three_segments(&p);
    for (uint64_t call = 1; call <= 18; call++) {
        copy_files(&p);
        p.next.env.fail_at = p.next.env.operations + call;
        world_open(&p.next);
        CHECK_EQ(p.next.status, STATUS_IO);
    }
    copy_files(&p);
    world_open(&p.next);
    CHECK_EQ(p.next.status, STATUS_OK);
    CHECK_EQ(p.next.replayed_count, p.left.index);
    pair_deinit(&p);
}

/* Opens a log whose only record, with a payload, was valid but for this kind and index. */
static void open_record_of(uint8_t kind, uint64_t index, enum status status, const char *hint)
{
    struct pair p;
    pair_init(&p);
    world_batch(&p.left, "one-----");
    copy_files(&p);
    uint8_t *batch = world_file(&p.next, SEGMENT_1)->data + FIRST;
    batch[LOG_BATCH_HEADER_BYTES + 14] = kind;
    put_u64_le(batch + LOG_BATCH_HEADER_BYTES + 24, index);
    struct log_place place = {.segment = 1, .salt = p.left.log.segment.salt};
    struct log_batch_header h = {
        .number = 1,
        .size = (uint32_t)log_record_size(8),
        .count = 1,
        .synced = {.segment = 1, .offset = FIRST},
    };
    log_batch_seal(batch, &h, &place, FIRST);
    if (status == STATUS_OK) {
        world_open(&p.next);
        CHECK_EQ(p.next.status, STATUS_OK);
    } else {
        open_is_refused(&p.next, status);
        CHECK(strstr(p.next.error.text, hint) != NULL);
    }
    pair_deinit(&p);
}

TEST(unknown_kind_of_record)
{
    const uint8_t unknown[] = {0, 11, 12, 128, UINT8_MAX};
    for (size_t i = 0; i < sizeof unknown; i++) {
        open_record_of(unknown[i], 1, STATUS_UNSUPPORTED, "upgrade");
    }
}

TEST(record_that_contradicts_its_kind)
{
    const uint8_t with_payload[] = {LOG_KIND_ENTRY,
                                    LOG_KIND_CHANGE,
                                    LOG_KIND_INSTALL,
                                    LOG_KIND_RELOCATED_ENTRY,
                                    LOG_KIND_RELOCATED_CHANGE};
    for (size_t i = 0; i < sizeof with_payload; i++) {
        open_record_of(with_payload[i], 1, STATUS_OK, "");
        open_record_of(with_payload[i], 0, STATUS_CORRUPT, "damaged");
    }
    open_record_of(LOG_KIND_BARRIER, 1, STATUS_CORRUPT, "damaged"); /* with a payload */
    open_record_of(LOG_KIND_STATE, 1, STATUS_CORRUPT, "damaged");
    open_record_of(LOG_KIND_COMMIT, 1, STATUS_CORRUPT, "damaged");
    open_record_of(LOG_KIND_RELOCATED_BARRIER, 1, STATUS_CORRUPT, "damaged");
    open_record_of(LOG_KIND_GROUP, 0, STATUS_OK, "");
}

/* A segment has its full length before it has its name: a shorter one has lost batches. */
TEST(shortened_segment)
{
    struct pair p;
    pair_init(&p);
    world_batch(&p.left, "one-----");
    copy_files(&p);
    world_file(&p.next, SEGMENT_1)->size--;
    open_is_refused(&p.next, STATUS_CORRUPT);
    pair_deinit(&p);
}
