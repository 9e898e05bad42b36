/* The log at work: order of writes, syncs and answers; rotation; marks; closing; failing disks. */
#include <stdio.h>

#include "log_world.h"

#define ONE "0000000000000001.log"
#define TWO "0000000000000002.log"

/* A new log, its events forgotten. */
static void start(struct log_world *w)
{
    world_init(w);
    world_open(w);
    CHECK_EQ(w->status, STATUS_OK);
    fake_env_forget(&w->env);
}

/* Batches until the next one of `size` bytes needs another segment, which is prepared. */
static void fill_segment(struct log_world *w)
{
    while (w->log.offset + LOG_BATCH_HEADER_BYTES + log_record_size(500) + LOG_BATCH_HEADER_BYTES <=
           LOG_SEGMENT_BYTES_MIN) {
        (void)world_append_size(w, 500);
        log_flush(&w->log);
        fake_env_run_all(&w->env);
    }
    CHECK(w->log.prepared != NULL);
    CHECK_EQ(w->log.segment.id, 1u);
    fake_env_forget(&w->env);
}

/* Closes, opens again and returns how many records came back. */
static uint64_t reopened(struct log_world *w)
{
    world_die(w);
    world_open(w);
    CHECK_EQ(w->status, STATUS_OK);
    return w->replayed_count;
}

/* ---- order ----------------------------------------------------------------------------------- */

TEST(new_log_has_a_durable_first_segment)
{
    struct log_world w;
    world_init(&w);
    world_open(&w);
    CHECK_EQ(w.status, STATUS_OK);
    CHECK_TEXT(fake_env_events(&w.env),
               "dir_sync log\n"
               "create " ONE ".new\n"
               "write " ONE ".new 0 8192\n"
               "sync " ONE ".new\n"
               "write " ONE ".new 0 4096\n"
               "sync " ONE ".new\n"
               "rename " ONE ".new " ONE "\n"
               "dir_sync log\n");
    world_deinit(&w);
}

TEST(must_exist_refuses_an_empty_directory)
{
    struct log_world w;
    world_init(&w);
    struct log_options options = world_options();
    options.must_exist = true;
    w.status = log_open(&w.log, &w.env.base, &options, on_replay, &w, &world_events, &w, &w.error);
    CHECK_EQ(w.status, STATUS_CORRUPT);
    CHECK_EQ(w.env.file_count, 0u);
    world_deinit(&w);
}

/* LOG-2: durable() comes behind the sync, never at append or flush. */
TEST(write_sync_durable)
{
    struct log_world w;
    start(&w);
    CHECK_EQ(world_append_text(&w, "abc"), 1u);
    CHECK_EQ(world_append_text(&w, "defg"), 1u);
    CHECK_EQ(log_pending_bytes(&w.log), 96u);
    log_flush(&w.log);
    CHECK_TEXT(fake_env_events(&w.env), "");
    CHECK_EQ(w.env.job_count, 1u);
    CHECK(fake_env_run(&w.env));
    CHECK_TEXT(fake_env_events(&w.env),
               "write " ONE " 4096 144\n"
               "sync " ONE "\n"
               "durable 1\n");
    CHECK_EQ(log_pending_bytes(&w.log), 0u);
    world_deinit(&w);
}

TEST(nothing_to_flush)
{
    struct log_world w;
    start(&w);
    log_flush(&w.log);
    CHECK_EQ(w.env.job_count, 0u);
    world_deinit(&w);
}

/* LOG-1: while a batch is in flight the next one gathers, whatever is flushed. */
TEST(one_batch_in_flight)
{
    struct log_world w;
    start(&w);
    CHECK_EQ(world_append_text(&w, "one"), 1u);
    log_flush(&w.log);
    CHECK_EQ(world_append_text(&w, "two"), 2u);
    log_flush(&w.log);
    CHECK_EQ(world_append_text(&w, "three"), 2u);
    log_flush(&w.log);
    CHECK_EQ(w.env.job_count, 1u);
    CHECK(fake_env_run(&w.env));
    CHECK_EQ(w.durable_to, 1u);
    fake_env_note(&w.env, "flush");
    log_flush(&w.log);
    CHECK_EQ(world_append_text(&w, "four"), 3u);
    fake_env_run_all(&w.env);
    CHECK_EQ(w.durable_to, 2u);
    CHECK_EQ(reopened(&w), 3u); /* the fourth was never flushed */
    CHECK_BYTES(buf_bytes(&w.replayed), bytes_of_text("1=one;2=two;3=three;"));

    const char *events = fake_env_events(&w.env);
    const char *first_sync = strstr(events, "sync " ONE "\ndurable 1\nflush\n");
    const char *second_write = strstr(events, "write " ONE " 4192 144\n");
    CHECK(first_sync != NULL);
    CHECK(second_write > first_sync);
    world_deinit(&w);
}

/* ---- kinds of records ------------------------------------------------------------------------ */

static const struct log_record all_kinds[] = {
    {.group = 7, .kind = LOG_KIND_STATE, .term = 3, .index = 0},
    {.group = 7, .kind = LOG_KIND_STATE, .term = 4, .index = 2},
    {.group = 7, .kind = LOG_KIND_BARRIER, .term = 4, .index = 1},
    {.group = 7, .kind = LOG_KIND_CHANGE, .term = 4, .index = 2},
    {.group = UINT16_MAX, .kind = LOG_KIND_ENTRY, .term = 4, .index = 3},
    {.group = 7, .kind = LOG_KIND_COMMIT, .term = 4, .index = 2},
    {.group = 7, .kind = LOG_KIND_COMMIT, .term = UINT64_MAX, .index = UINT64_MAX},
    {.group = 7, .kind = LOG_KIND_GROUP, .term = 4, .index = 0},
    {.group = 7, .kind = LOG_KIND_INSTALL, .term = 4, .index = 9},
    {.group = 8, .kind = LOG_KIND_RELOCATED_ENTRY, .term = 4, .index = 3},
    {.group = 8, .kind = LOG_KIND_RELOCATED_BARRIER, .term = 4, .index = 4},
    {.group = 8, .kind = LOG_KIND_RELOCATED_CHANGE, .term = 4, .index = 5},
};
#define KIND_RECORDS (sizeof all_kinds / sizeof all_kinds[0])

static struct bytes payload_of(const struct log_record *r)
{
    return bytes_of_text(log_kind_find(r->kind)->may_have_payload ? "payload" : "");
}

static enum status on_kind(void *ctx,
                           const struct log_record *record,
                           struct bytes payload,
                           struct error *error)
{
    size_t *count = ctx;
    CHECK(*count < KIND_RECORDS);
    const struct log_record *expected = &all_kinds[(*count)++];
    CHECK_EQ(record->group, expected->group);
    CHECK_EQ(record->kind, expected->kind);
    CHECK_EQ(record->term, expected->term);
    CHECK_EQ(record->index, expected->index);
    CHECK_BYTES(payload, payload_of(expected));
    CHECK_TEXT(error->text, "");
    return STATUS_OK;
}

TEST(records_of_all_kinds_come_back)
{
    struct log_world w;
    world_init(&w);
    w.group_count = UINT16_MAX + 1;
    world_open(&w);
    for (size_t i = 0; i < KIND_RECORDS; i++) {
        CHECK_EQ(log_append(&w.log, &all_kinds[i], payload_of(&all_kinds[i])), i + 1);
        log_flush(&w.log);
        fake_env_run_all(&w.env);
        CHECK_EQ(w.durable_to, i + 1);
    }
    world_die(&w);
    struct log_options options = world_options();
    options.group_count = w.group_count;
    size_t count = 0;
    w.durable_to = 0;
    w.status =
        log_open(&w.log, &w.env.base, &options, on_kind, &count, &world_events, &w, &w.error);
    CHECK_EQ(w.status, STATUS_OK);
    CHECK_EQ(count, KIND_RECORDS);
    world_deinit(&w);
}

/* ---- rotation -------------------------------------------------------------------------------- */

/* LOG-10: the successor has a durable name before the seal, the seal is synced before the batch. */
TEST(rotation_order)
{
    struct log_world w;
    start(&w);
    fill_segment(&w);
    uint64_t end = w.log.offset;
    (void)world_append_size(&w, 500);
    log_flush(&w.log);
    CHECK_EQ(w.env.job_count, 1u);
    CHECK(fake_env_run(&w.env));
    char expected[512];
    (void)snprintf(expected,
                   sizeof expected,
                   "segment_starts\n"
                   "write " TWO ".new 0 4096\n"
                   "sync " TWO ".new\n"
                   "rename " TWO ".new " TWO "\n"
                   "dir_sync log\n"
                   "write " ONE " %llu 48\n"
                   "sync " ONE "\n"
                   "write " TWO " 4096 632\n"
                   "sync " TWO "\n"
                   "durable 8\n",
                   (unsigned long long)end);
    CHECK_TEXT(fake_env_events(&w.env), expected);
    CHECK_EQ(w.log.stats.segments, 2u);
    CHECK_EQ(reopened(&w), 7u);
    world_deinit(&w);
}

/* The next segment is made ahead: zeros, synced, not in the log yet. */
TEST(next_segment_is_prepared_at_half)
{
    struct log_world w;
    start(&w);
    world_batch(&w, "x");
    CHECK_TEXT(fake_env_events(&w.env),
               "write " ONE " 4096 96\n"
               "sync " ONE "\n"
               "durable 1\n"
               "create " TWO ".new\n"
               "write " TWO ".new 0 8192\n"
               "sync " TWO ".new\n");
    CHECK_EQ(reopened(&w), 1u);
    CHECK(fake_env_file(&w.env, SEGMENT_2 ".new") == NULL); /* recovery threw it away */
    world_deinit(&w);
}

/* The seal takes the number that the records of the rotating batch were promised. */
TEST(batch_numbers_across_a_rotation)
{
    struct log_world w;
    start(&w);
    fill_segment(&w); /* 6 batches */
    CHECK_EQ(w.durable_to, 6u);
    CHECK_EQ(world_append_size(&w, 500), 7u);
    log_flush(&w.log);
    /* In flight now: the seal 7 and the batch 8. What comes later must wait for a later batch. */
    uint64_t later = world_append_text(&w, "later");
    log_flush(&w.log);
    CHECK(later > 8);
    CHECK(fake_env_run(&w.env));
    CHECK(w.durable_to >= 7);
    CHECK(w.durable_to < later);
    log_flush(&w.log);
    fake_env_run_all(&w.env);
    CHECK(w.durable_to >= later);
    CHECK_EQ(reopened(&w), 8u);
    CHECK_EQ(world_append_text(&w, "again"), later + 1);
    world_deinit(&w);
}

TEST(flush_waits_for_an_unprepared_segment)
{
    struct log_world w;
    start(&w);
    (void)world_append_size(&w, 3000);
    log_flush(&w.log);
    CHECK(fake_env_run(&w.env)); /* the batch; the job that prepares waits */
    CHECK_EQ(w.env.job_count, 1u);
    uint64_t second = world_append_size(&w, 3000);
    log_flush(&w.log);
    log_flush(&w.log);
    CHECK_EQ(w.env.job_count, 1u);
    CHECK(w.durable_to < second);
    fake_env_run_all(&w.env); /* nobody flushes again */
    CHECK(w.durable_to >= second);
    CHECK_EQ(w.log.segment.id, 2u);
    CHECK_EQ(reopened(&w), 2u);
    world_deinit(&w);
}

TEST(batch_larger_than_a_segment)
{
    struct log_world w;
    start(&w);
    for (unsigned i = 0; i < 3; i++) {
        uint64_t batch = world_append_size(&w, 3 * LOG_SEGMENT_BYTES_MIN);
        log_flush(&w.log);
        fake_env_run_all(&w.env);
        CHECK(w.durable_to >= batch);
        CHECK_EQ(w.log.segment.id, i + 2); /* the first one stays empty */
        /* Made that large before: the batch itself never asks the disk for room. */
        CHECK(w.log.offset + LOG_BATCH_HEADER_BYTES <= w.log.segment.size);
    }
    CHECK_EQ(reopened(&w), 3u);
    CHECK_EQ(w.replayed.size, 3u * (3u * LOG_SEGMENT_BYTES_MIN + 3u));
    world_batch(&w, "next");
    CHECK_EQ(reopened(&w), 4u);
    world_deinit(&w);
}

/* Random sizes and random moments of flushing: everything durable comes back, in order. */
TEST(random_traffic_comes_back)
{
    struct log_world w;
    start(&w);
    struct prng prng;
    prng_init(&prng, 7);
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < 40 && w.log.segment.id < 20; i++) {
            uint64_t size_max = prng_chance(&prng, 50) ? 10000 : 300;
            (void)world_append_size(&w, prng_between(&prng, 1, size_max));
            if (prng_chance(&prng, 500)) {
                log_flush(&w.log);
            }
            if (prng_chance(&prng, 500)) {
                (void)fake_env_run(&w.env);
            }
        }
        log_flush(&w.log);
        fake_env_run_all(&w.env);
        log_flush(&w.log);
        fake_env_run_all(&w.env);
        CHECK_EQ(log_pending_bytes(&w.log), 0u);
        uint64_t appended = w.index;
        CHECK_EQ(reopened(&w), appended);
        CHECK_EQ(w.log.stats.cut_bytes, 0u);
    }
    CHECK(w.log.segment.id >= 20);
    world_deinit(&w);
}

/* ---- marks and closing ----------------------------------------------------------------------- */

TEST(idle_log_writes_one_mark)
{
    struct log_world w;
    start(&w);
    world_batch(&w, "abc");
    fake_env_forget(&w.env);
    fake_env_advance(&w.env, 99);
    CHECK_EQ(w.env.job_count, 0u);
    fake_env_advance(&w.env, 1);
    fake_env_run_all(&w.env);
    CHECK_TEXT(fake_env_events(&w.env), "write " ONE " 4192 48\nsync " ONE "\n");
    CHECK_EQ(w.log.stats.marks, 1u);
    fake_env_advance(&w.env, 10000);
    CHECK_EQ(w.env.job_count, 0u); /* a mark needs no mark */
    CHECK_EQ(world_append_text(&w, "def"), 3u);
    log_flush(&w.log);
    fake_env_run_all(&w.env);
    CHECK_EQ(reopened(&w), 2u);
    world_deinit(&w);
}

TEST(opened_log_marks_what_it_kept)
{
    struct log_world w;
    start(&w);
    world_batch(&w, "abc");
    CHECK_EQ(reopened(&w), 1u);
    fake_env_forget(&w.env);
    world_idle(&w);
    CHECK(strstr(fake_env_events(&w.env), "write " ONE " 4192 48\nsync " ONE "\n") != NULL);
    world_deinit(&w);
}

TEST(record_replaces_a_waiting_mark)
{
    struct log_world w;
    start(&w);
    (void)world_append_text(&w, "abc");
    log_flush(&w.log);
    fake_env_advance(&w.env, 200); /* in flight: no mark now */
    CHECK_EQ(w.env.job_count, 1u);
    fake_env_run_all(&w.env);
    (void)world_append_text(&w, "def");
    fake_env_advance(&w.env, 200); /* gathering: the batch itself will be the proof */
    CHECK_EQ(w.env.job_count, 0u);
    log_flush(&w.log);
    fake_env_run_all(&w.env);
    CHECK_EQ(w.log.stats.marks, 0u);
    CHECK_EQ(w.durable_to, 2u);
    world_deinit(&w);
}

TEST(close_syncs_all_and_marks)
{
    struct log_world w;
    start(&w);
    (void)world_append_text(&w, "abc");
    log_flush(&w.log);
    (void)world_append_text(&w, "def");
    log_close(&w.log, on_closed);
    CHECK(!w.is_closed);
    fake_env_run_all(&w.env);
    CHECK(w.is_closed);
    CHECK_EQ(w.durable_to, 2u);
    const char *end = "durable 2\nwrite " ONE " 4288 48\nsync " ONE "\nclosed\n";
    CHECK(strstr(fake_env_events(&w.env), end) != NULL);
    CHECK_EQ(fake_env_file(&w.env, SEGMENT_1)->open_count, 0u);
    CHECK_EQ(timers_next_due_us(&w.env.timers), UINT64_MAX);
    CHECK_EQ(reopened(&w), 2u);
    world_deinit(&w);
}

TEST(close_of_a_marked_log_is_at_once)
{
    struct log_world w;
    start(&w);
    world_batch(&w, "abc");
    world_idle(&w);
    log_close(&w.log, on_closed);
    CHECK(w.is_closed);
    world_deinit(&w);
}

TEST(close_rotates_if_it_must)
{
    struct log_world w;
    start(&w);
    (void)world_append_size(&w, 3900);
    log_flush(&w.log);
    CHECK(fake_env_run(&w.env));
    (void)world_append_size(&w, 3900);
    log_close(&w.log, on_closed); /* the job that prepares still waits */
    CHECK(!w.is_closed);
    fake_env_run_all(&w.env);
    CHECK(w.is_closed);
    CHECK_EQ(reopened(&w), 2u);
    world_deinit(&w);
}

/* ---- failing disks --------------------------------------------------------------------------- */

/* LOG-16: the n-th file call of a write fails: the node halts, durable() is not called. */
static void fail_in_write(bool is_rotating, uint64_t call)
{
    struct log_world w;
    start(&w);
    if (is_rotating) {
        fill_segment(&w);
    }
    uint64_t durable_before = w.durable_to;
    (void)world_append_size(&w, 500);
    log_flush(&w.log);
    w.env.fail_at = w.env.operations + call;
    CHECK(fake_env_run(&w.env));
    CHECK(w.env.base.is_halted);
    CHECK(w.env.halt_reason[0] != '\0');
    CHECK_EQ(w.durable_to, durable_before);
    CHECK(strstr(fake_env_events(&w.env), "durable") == NULL);
    CHECK_EQ(w.env.job_count, 0u); /* nothing is retried */
    world_deinit(&w);
}

TEST(failed_write_or_sync_halts)
{
    for (uint64_t call = 1; call <= 2; call++) {
        fail_in_write(false, call);
    }
}

TEST(failed_rotation_halts)
{
    for (uint64_t call = 1; call <= 8; call++) {
        fail_in_write(true, call);
    }
}

TEST(failed_preparation_halts)
{
    for (uint64_t call = 1; call <= 3; call++) {
        struct log_world w;
        start(&w);
        (void)world_append_text(&w, "abc");
        log_flush(&w.log);
        CHECK(fake_env_run(&w.env));
        w.env.fail_at = w.env.operations + call;
        CHECK(fake_env_run(&w.env));
        CHECK(w.env.base.is_halted);
        world_deinit(&w);
    }
}

/* Whatever call fails at the start: an error, never a half-open log. */
TEST(failed_open_is_an_error)
{
    for (uint64_t call = 1; call <= 9; call++) {
        struct log_world w;
        world_init(&w);
        w.env.fail_at = call;
        world_open(&w);
        CHECK_EQ(w.status, STATUS_IO);
        CHECK(w.error.text[0] != '\0');
        world_deinit(&w);
    }
}
