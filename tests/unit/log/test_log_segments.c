/* What is known of each segment: tops, batches, what stands at its start; the same after a restart.
 */
#include "log/log_segments.h"
#include "log_pair.h"

/* One batch with one record of a group. */
static void write_record(struct log_world *w, uint16_t group, uint8_t kind, uint64_t index)
{
    struct log_record r = {.group = group, .kind = kind, .term = 1, .index = index};
    (void)log_append(&w->log, &r, bytes_of_text(""));
    log_flush(&w->log);
    fake_env_run_all(&w->env);
}

/* Batches of group 1 until segment `id` is written to. */
static void fill_up_to(struct log_world *w, uint64_t id)
{
    while (w->log.segment.id < id) {
        (void)world_append_size(w, 500);
        log_flush(&w->log);
        fake_env_run_all(&w->env);
    }
}

TEST(list_of_segments)
{
    struct log_segments s;
    log_segments_init(&s, 2);
    CHECK(log_segments_newest(&s) == NULL);
    CHECK(log_segments_find(&s, 0) == NULL);
    for (uint64_t id = 7; id < 60; id++) {
        struct log_segment_header h = {.id = id, .batch_first = 10 * id};
        struct log_segment *added = log_segments_add(&s, &h, id);
        CHECK_EQ(added->batch_last, 10 * id - 1);
        CHECK(log_segments_newest(&s) == added);
        added->tops[1] = id == 9 ? 500 : id;
    }
    CHECK_EQ(log_segments_top(&s, 6, 1), 0u);
    CHECK_EQ(log_segments_top(&s, 7, 1), 7u);
    CHECK_EQ(log_segments_top(&s, 8, 1), 8u);
    CHECK_EQ(log_segments_top(&s, 9, 1), 500u);
    CHECK_EQ(log_segments_top(&s, UINT64_MAX, 1), 500u); /* the highest, not the last */
    CHECK_EQ(log_segments_top(&s, UINT64_MAX, 0), 0u);
    CHECK_EQ(log_segments_bytes(&s), (7u + 59u) * 53u / 2u);
    CHECK_EQ(log_segments_drop(&s, 6), 0u);
    CHECK_EQ(log_segments_drop(&s, 9), 3u);
    CHECK_EQ(log_segments_top(&s, UINT64_MAX, 1), 59u);
    CHECK(log_segments_find(&s, 9) == NULL);
    CHECK_EQ(log_segments_find(&s, 10)->batch_first, 100u);
    CHECK_EQ(log_segments_find(&s, 59)->id, 59u);
    CHECK(log_segments_find(&s, 60) == NULL);
    CHECK_EQ(log_segments_drop(&s, 100), 50u);
    CHECK(log_segments_newest(&s) == NULL);
    log_segments_deinit(&s);
}

/* Entries count, copied ones too; what else has an index does not. */
TEST(which_kinds_raise_the_top)
{
    struct log_world w;
    world_init(&w);
    world_open(&w);
    for (uint8_t kind = 1; log_kind_find(kind) != NULL; kind++) {
        write_record(&w, kind % 8, kind, 100u + kind);
    }
    CHECK_EQ(log_segment_top(&w.log, 1, LOG_KIND_STATE), 0u);
    CHECK_EQ(log_segment_top(&w.log, 1, LOG_KIND_COMMIT), 0u);
    CHECK_EQ(log_segment_top(&w.log, 1, LOG_KIND_GROUP), 0u);
    CHECK_EQ(log_segment_top(&w.log, 1, LOG_KIND_INSTALL), 0u);
    CHECK_EQ(log_segment_top(&w.log, 1, LOG_KIND_CHANGE), 103u);
    CHECK_EQ(log_segment_top(&w.log, 1, LOG_KIND_RELOCATED_ENTRY % 8), 108u);
    CHECK_EQ(log_segment_top(&w.log, 1, LOG_KIND_RELOCATED_BARRIER % 8), 109u);
    CHECK_EQ(log_segment_top(&w.log, 1, LOG_KIND_RELOCATED_CHANGE % 8), 110u);
    world_deinit(&w);
}

/* A lower index after a higher one (the suffix was replaced) leaves the top where it was. */
TEST(tops_of_each_segment)
{
    struct log_world w;
    world_init(&w);
    world_open(&w);
    write_record(&w, 2, LOG_KIND_ENTRY, 40);
    write_record(&w, 2, LOG_KIND_ENTRY, 39);
    write_record(&w, 0, LOG_KIND_BARRIER, 3);
    fill_up_to(&w, 2);
    uint64_t first_in_2 = w.index;
    write_record(&w, 2, LOG_KIND_ENTRY, 41);
    fill_up_to(&w, 3);
    CHECK_EQ(log_segment_top(&w.log, 1, 2), 40u);
    CHECK_EQ(log_segment_top(&w.log, 2, 2), 41u);
    CHECK_EQ(log_segment_top(&w.log, 3, 2), 41u);
    CHECK_EQ(log_segment_top(&w.log, 3, 0), 3u);
    CHECK_EQ(log_segment_top(&w.log, 3, 7), 0u);
    CHECK_EQ(log_segment_top(&w.log, 1, 1), first_in_2 - 1);
    CHECK_EQ(log_segment_top(&w.log, 3, 1), w.index);
    CHECK_EQ(log_segment_newest(&w.log), 3u);
    CHECK_EQ(log_segment_oldest(&w.log), 1u);
    world_deinit(&w);
}

/* Before the batch is durable its entries count: a segment never looks emptier than it is. */
TEST(tops_of_the_batch_in_flight)
{
    struct log_world w;
    world_init(&w);
    world_open(&w);
    (void)world_append_text(&w, "one");
    log_flush(&w.log);
    CHECK_EQ(log_segment_top(&w.log, 1, 1), 1u);
    fill_up_to(&w, 2);
    while (w.log.offset + 600 + LOG_BATCH_HEADER_BYTES <= LOG_SEGMENT_BYTES_MIN) {
        (void)world_append_size(&w, 500);
        log_flush(&w.log);
        fake_env_run_all(&w.env);
    }
    uint64_t last_in_2 = w.index;
    uint64_t promised = world_append_size(&w, 500);
    log_flush(&w.log);
    CHECK(w.log.is_rotating);
    CHECK_EQ(log_segment_newest(&w.log), 2u); /* until its batch is durable */
    CHECK_EQ(log_segment_top(&w.log, 2, 1), last_in_2);
    fake_env_run_all(&w.env);
    CHECK_EQ(log_segment_newest(&w.log), 3u);
    CHECK_EQ(log_segment_top(&w.log, 2, 1), last_in_2);
    CHECK_EQ(log_segment_top(&w.log, 3, 1), w.index);
    /* The seal took the number that these records were promised: they stand behind segment 2. */
    CHECK_EQ(log_segment_batch_last(&w.log, 2), promised - 1);
    world_deinit(&w);
}

static void check_same_facts(const struct log *a, const struct log *b)
{
    CHECK_EQ(a->segments.count, b->segments.count);
    for (size_t i = 0; i < a->segments.count; i++) {
        const struct log_segment *x = &a->segments.items[i];
        const struct log_segment *y = &b->segments.items[i];
        CHECK_EQ(x->id, y->id);
        CHECK_EQ(x->batch_first, y->batch_first);
        CHECK_EQ(x->batch_last, y->batch_last);
        CHECK_EQ(x->bytes, y->bytes);
        for (uint32_t group = 0; group < a->options.group_count; group++) {
            CHECK_EQ(x->tops[group], y->tops[group]);
        }
    }
    CHECK_EQ(a->stats.segments, b->stats.segments);
}

/* Random traffic, large batches and releases: recovery finds what the running log knew. */
TEST(recovery_finds_the_same)
{
    struct pair p;
    pair_init(&p);
    p.left.start_bytes = 24;
    struct prng prng;
    prng_init(&prng, 3);
    for (unsigned round = 0; round < 200; round++) {
        uint16_t group = (uint16_t)prng_between(&prng, 0, 7);
        uint8_t kind = prng_chance(&prng, 500) ? LOG_KIND_ENTRY : LOG_KIND_RELOCATED_CHANGE;
        uint64_t size = prng_chance(&prng, 50) ? 9000 : prng_between(&prng, 0, 400);
        uint8_t *payload = mem_alloc_zero((size_t)size + 1);
        struct log_record r = {.group = group,
                               .kind = kind,
                               .term = 1,
                               .index = prng_between(&prng, 1, 1000)};
        (void)log_append(&p.left.log, &r, bytes_of(payload, (size_t)size));
        mem_free(payload);
        log_flush(&p.left.log);
        uint64_t newest = log_segment_newest(&p.left.log);
        if (newest > 1 && prng_chance(&prng, 100)) {
            log_release(&p.left.log, prng_between(&prng, 1, newest - 1));
        }
        fake_env_run_all(&p.left.env);
        if (round % 10 == 9) {
            copy_files(&p);
            world_open(&p.next);
            CHECK_EQ(p.next.status, STATUS_OK);
            check_same_facts(&p.left.log, &p.next.log);
            CHECK_EQ(p.next.groups,
                     p.left.log.segments.count - (p.left.log.segments.items[0].id == 1 ? 1 : 0));
        }
    }
    CHECK(p.left.log.stats.released > 3);
    pair_deinit(&p);
}

/* ---- the start of a segment ------------------------------------------------------------------ */

/* The first batch of a segment holds a GROUP record; the first segment of a new log need not. */
static void check_first_batch(struct log_world *w, uint64_t id)
{
    char path[LOG_PATH_BYTES];
    log_segment_path(path, DIR, id, "");
    const struct buf *file = world_file(w, path);
    struct log_segment_header h;
    CHECK_EQ(log_segment_header_decode(file->data, &h), STATUS_OK);
    struct log_place place = {.segment = id, .salt = h.salt};
    struct log_batch_header batch;
    CHECK(log_batch_decode(file->data, file->size, FIRST, &place, &batch));
    CHECK_EQ(batch.number, h.batch_first);
    uint64_t at = FIRST + LOG_BATCH_HEADER_BYTES;
    unsigned groups = 0;
    for (uint32_t i = 0; i < batch.count; i++) {
        uint64_t number = 0;
        struct log_record r;
        struct bytes payload;
        CHECK(log_record_decode(file->data, file->size, at, &place, &number, &r, &payload));
        groups += r.kind == LOG_KIND_GROUP ? 1 : 0;
        at += log_record_size(payload.size);
    }
    CHECK_EQ(groups, 1u);
}

TEST(each_segment_starts_with_its_groups)
{
    struct log_world w;
    world_init(&w);
    w.start_bytes = 100;
    world_open(&w);
    CHECK_EQ(w.starts, 0u); /* a new log has nothing to say */
    fill_up_to(&w, 4);
    CHECK_EQ(w.starts, 3u);
    for (uint64_t id = 2; id <= 4; id++) {
        check_first_batch(&w, id);
    }
    uint64_t records = w.index;
    world_die(&w);
    world_open(&w);
    CHECK_EQ(w.replayed_count, records);
    CHECK_EQ(w.groups, 3u);
    CHECK_EQ(w.starts, 3u); /* the newest segment has its start */
    world_deinit(&w);
}

/* What segment_starts appends makes the batch larger than what was made: more is made first. */
TEST(groups_larger_than_a_segment)
{
    struct log_world w;
    world_init(&w);
    w.start_bytes = 3 * LOG_SEGMENT_BYTES_MIN;
    world_open(&w);
    fill_up_to(&w, 2);
    CHECK_EQ(w.starts, 1u);
    check_first_batch(&w, 2);
    CHECK(w.log.offset + LOG_BATCH_HEADER_BYTES <= w.log.segment.size);
    CHECK_EQ(world_file(&w, SEGMENT_2)->size, w.log.segment.size);
    world_die(&w);
    world_open(&w);
    CHECK_EQ(w.status, STATUS_OK);
    CHECK_EQ(w.groups, 1u);
    world_deinit(&w);
}

/* A crash in the rotation left the new segment empty: its first batch is still to be written. */
TEST(start_is_made_up_for_after_a_crash)
{
    for (uint64_t call = 4; call <= 7; call++) {
        struct pair p;
        pair_init(&p);
        p.left.start_bytes = 100;
        p.next.start_bytes = 100;
        (void)halted_rotation(&p, call);
        copy_files(&p);
        world_open(&p.next);
        CHECK_EQ(p.next.status, STATUS_OK);
        CHECK_EQ(p.next.log.segment.id, 2u);
        CHECK_EQ(p.next.groups, 0u);
        CHECK_EQ(log_segment_newest(&p.next.log), 1u); /* must stay until then */
        world_idle(&p.next);                           /* not even a mark comes before it */
        CHECK_EQ(p.next.starts, 1u);
        CHECK_EQ(log_segment_newest(&p.next.log), 2u);
        check_first_batch(&p.next, 2);
        world_die(&p.next);
        world_open(&p.next);
        CHECK_EQ(p.next.status, STATUS_OK);
        CHECK_EQ(p.next.groups, 1u);
        pair_deinit(&p);
    }
}

/* Segments of an older version begin with nothing: none goes before one of them has its start. */
TEST(start_is_made_up_for_in_an_older_log)
{
    struct log_world w;
    world_init(&w);
    w.is_silent = true;
    world_open(&w);
    fill_up_to(&w, 3);
    CHECK_EQ(log_segment_newest(&w.log), 1u);
    uint64_t records = w.index;
    world_die(&w);
    world_open(&w);
    CHECK_EQ(log_segment_newest(&w.log), 1u);
    unsigned starts = w.starts;
    world_batch(&w, "asked again with each batch");
    world_batch(&w, "until");
    CHECK_EQ(w.starts, starts + 2);
    w.is_silent = false;
    (void)world_append_text(&w, "it is said");
    log_flush(&w.log);
    CHECK_EQ(log_segment_newest(&w.log), 1u); /* not durable yet */
    fake_env_run_all(&w.env);
    CHECK_EQ(log_segment_newest(&w.log), 3u);
    world_batch(&w, "once");
    CHECK_EQ(w.starts, starts + 3);
    log_release(&w.log, 2);
    fake_env_run_all(&w.env);
    world_die(&w);
    world_open(&w);
    CHECK_EQ(w.status, STATUS_OK);
    CHECK_EQ(w.groups, 1u);
    CHECK_EQ(w.index, records + 4);
    CHECK_EQ(log_segment_newest(&w.log), 3u);
    world_deinit(&w);
}

TEST(start_while_closing)
{
    struct log_world w;
    world_init(&w);
    w.start_bytes = 100;
    world_open(&w);
    (void)world_append_size(&w, 3900);
    log_flush(&w.log);
    CHECK(fake_env_run(&w.env));
    (void)world_append_size(&w, 3900);
    log_close(&w.log, on_closed);
    fake_env_run_all(&w.env);
    CHECK(w.is_closed);
    CHECK_EQ(w.starts, 1u);
    check_first_batch(&w, 2);
    world_deinit(&w);
}
