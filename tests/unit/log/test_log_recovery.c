/* Starting from a damaged log: what is cut, what is repaired, what stops the node. */
#include <stdio.h>

#include "base/crc.h"
#include "base/endian.h"
#include "log_world.h"

#define FIRST LOG_SEGMENT_HEADER_BYTES

/* A log that was left behind, and a world that starts with a copy of it. */
struct pair {
    struct log_world left;
    struct log_world next;
};

static void pair_init(struct pair *p)
{
    world_init(&p->left);
    world_init(&p->next);
    world_open(&p->left);
    CHECK_EQ(p->left.status, STATUS_OK);
}

static void pair_deinit(struct pair *p)
{
    world_deinit(&p->left);
    world_deinit(&p->next);
}

static void remove_file(struct log_world *w, const char *path)
{
    CHECK_EQ(env_file_remove(&w->env.base, path), STATUS_OK);
}

/*
 * The next world gets the segments as they were left; the caller damages them, then reopens. Files
 * that are no segments yet stay behind: recovery removes them in any case.
 */
static void copy_files(struct pair *p)
{
    if (p->next.log.env != NULL) {
        world_die(&p->next);
    }
    fake_env_copy_files(&p->next.env, &p->left.env);
    p->next.env.fail_at = 0;
    const char *unfinished[] = {SEGMENT_2 ".new",
                                SEGMENT_3 ".new",
                                DIR "/0000000000000004.log.new"};
    for (size_t i = 0; i < 3; i++) {
        if (fake_env_file(&p->next.env, unfinished[i]) != NULL) {
            remove_file(&p->next, unfinished[i]);
        }
    }
    fake_env_forget(&p->next.env);
}

/* Batches "1=one", "2=two" and, in one batch, "3=three---", "4=four----". Returns the ends. */
static void three_batches(struct pair *p, uint64_t out_ends[3])
{
    world_batch(&p->left, "one-----");
    out_ends[0] = p->left.log.offset;
    world_batch(&p->left, "two-----");
    out_ends[1] = p->left.log.offset;
    (void)world_append_text(&p->left, "three---");
    world_batch(&p->left, "four----");
    out_ends[2] = p->left.log.offset;
}

#define TWO_BATCHES "1=one-----;2=two-----;"
#define THREE_BATCHES TWO_BATCHES "3=three---;4=four----;"

static void check_replayed(struct log_world *w, const char *text)
{
    CHECK_EQ(w->status, STATUS_OK);
    CHECK_BYTES(buf_bytes(&w->replayed), bytes_of_text(text));
}

static void check_zero_from(struct log_world *w, const char *path, uint64_t from)
{
    const struct buf *file = world_file(w, path);
    for (uint64_t i = from; i < file->size; i++) {
        CHECK_EQ(file->data[i], 0);
    }
}

/* Damage was found, the error says what to do, and the disk is as it was. */
static void open_is_refused(struct log_world *w, enum status status)
{
    struct fake_env before;
    fake_env_init(&before);
    fake_env_copy_files(&before, &w->env);
    world_open(w);
    CHECK_EQ(w->status, status);
    CHECK_EQ(w->error.code, status);
    CHECK(strstr(w->error.text, "segment 00000000") != NULL);
    CHECK(fake_env_same_files(&before, &w->env));
    fake_env_deinit(&before);
}

/* The log goes on behind what was kept. */
static void goes_on(struct log_world *w, const char *kept)
{
    char text[256];
    world_batch(w, "new");
    world_die(w);
    world_open(w);
    CHECK_EQ(w->log.stats.cut_bytes, 0u);
    (void)snprintf(text, sizeof text, "%s%llu=new;", kept, (unsigned long long)w->index);
    check_replayed(w, text);
}

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

/* A batch larger than the segment, torn: its end may be missing altogether. */
TEST(large_last_batch_cut)
{
    struct pair p;
    pair_init(&p);
    (void)world_append_size(&p.left, 20000);
    log_flush(&p.left.log);
    fake_env_run_all(&p.left.env);
    const uint64_t sizes[] = {FIRST + 1, 8192, 8197, 20000, FIRST + 20040 + 40 - 1};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        copy_files(&p);
        struct buf *file = world_file(&p.next, SEGMENT_1);
        CHECK(sizes[i] < file->size);
        file->size = sizes[i] < 8192 ? 8192 : sizes[i];
        memset(file->data + sizes[i], 0, file->size - sizes[i]);
        world_open(&p.next);
        check_replayed(&p.next, "");
        check_zero_from(&p.next, SEGMENT_1, FIRST);
        goes_on(&p.next, "");
    }
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

static void bad_byte_is_damage(struct pair *p, uint64_t from, uint64_t to)
{
    for (uint64_t at = from; at < to; at++) {
        copy_files(p);
        world_file(&p->next, SEGMENT_1)->data[at] ^= 0xff;
        open_is_refused(&p->next, STATUS_CORRUPT);
    }
}

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

TEST(missing_segments)
{
    struct pair p;
    pair_init(&p);
    three_segments(&p);
    const char *paths[] = {SEGMENT_1, SEGMENT_2, SEGMENT_3};
    for (size_t i = 0; i < 3; i++) {
        copy_files(&p);
        remove_file(&p.next, paths[i]);
        open_is_refused(&p.next, STATUS_CORRUPT);
        CHECK(strstr(p.next.error.text, "missing") != NULL);
    }
    copy_files(&p);
    remove_file(&p.next, SEGMENT_2);
    remove_file(&p.next, SEGMENT_3); /* a seal without a successor */
    open_is_refused(&p.next, STATUS_CORRUPT);
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

/* A log whose next batch rotates; the file call `call` of that rotation fails, the node halts. */
static uint64_t halted_rotation(struct pair *p, uint64_t call)
{
    while (p->left.log.offset + 600 + LOG_BATCH_HEADER_BYTES <= LOG_SEGMENT_BYTES_MIN) {
        (void)world_append_size(&p->left, 500);
        log_flush(&p->left.log);
        fake_env_run_all(&p->left.env);
    }
    uint64_t records = p->left.index;
    (void)world_append_size(&p->left, 500);
    log_flush(&p->left.log);
    p->left.env.fail_at = call == 0 ? 0 : p->left.env.operations + call;
    fake_env_run_all(&p->left.env);
    CHECK_EQ(p->left.env.base.is_halted, call != 0);
    return records;
}

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

/* A disk that fails is no damage, and no file is changed for it. */
TEST(failing_disk)
{
    struct pair p;
    pair_init(&p);
    three_segments(&p);
    for (uint64_t call = 1; call <= 15; call++) {
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

TEST(unknown_kind_of_record)
{
    struct pair p;
    pair_init(&p);
    world_batch(&p.left, "one-----");
    copy_files(&p);
    uint8_t *batch = world_file(&p.next, SEGMENT_1)->data + FIRST;
    batch[LOG_BATCH_HEADER_BYTES + 14] = 9;
    struct log_place place = {.segment = 1, .salt = p.left.log.segment.salt};
    struct log_batch_header h = {
        .number = 1,
        .size = (uint32_t)log_record_size(8),
        .count = 1,
        .synced = {.segment = 1, .offset = FIRST},
    };
    log_batch_seal(batch, &h, &place, FIRST);
    open_is_refused(&p.next, STATUS_UNSUPPORTED);
    pair_deinit(&p);
}
