/*
 * The disk of a simulated machine: space that ends, directories that move, a store whose unsynced
 * batches a crash takes, bits that flip, and deaths in chosen operations.
 */
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "harness.h"
#include "sim/sim_parts.h"
#include "store/engine.h"

#define SEEDS 200u
#define CAPACITY ((uint64_t)64 * KIB)
#define RESERVE 8000u
#define BATCHES 5u
#define SYNCED 2u

static struct world world;
static struct sim_network network;
static struct sim_env machine;

static struct env *bed_init(uint64_t seed, unsigned need_per_mille)
{
    struct sim_network_options net = {.latency_us_max = 1000, .window_bytes = (uint64_t)64 * KIB};
    struct sim_env_options options = {
        .job_delay_us_max = 100,
        .down_us_max = 1000,
        .deliveries_max = 8,
        .disk_bytes = CAPACITY,
        .disk_reserve = RESERVE,
        .need_per_mille = need_per_mille,
    };
    world_init(&world, seed, false);
    sim_network_init(&network, &world, &net);
    sim_env_init(&machine, &network, 0, &options);
    machine.is_kept_down = true;
    machine.place = SIM_PLACE_START;
    CHECK_EQ(env_dir_create(&machine.env, machine.dir), STATUS_OK);
    CHECK_EQ(env_dir_sync(&machine.env, machine.root), STATUS_OK);
    return &machine.env;
}

static void bed_deinit(void)
{
    machine.place = SIM_PLACE_OUTSIDE;
    sim_env_deinit(&machine);
    sim_network_deinit(&network);
    world_deinit(&world);
}

static void run_for(uint64_t us)
{
    uint64_t until_us = world.now_us + us;
    while (world_step(&world, until_us)) {
        /* one event after the other */
    }
}

static struct env_file *create(const char *path)
{
    struct env_file *file = NULL;
    CHECK_EQ(env_file_open(&machine.env, path, ENV_OPEN_CREATE, &file), STATUS_OK);
    return file;
}

static bool exists(const char *path)
{
    return sim_names_find(&machine.disk.names.now, path) != NULL;
}

static enum status write_zeros(struct env_file *file, uint64_t offset, size_t size)
{
    static const uint8_t zeros[CAPACITY];
    return env_file_write(&machine.env, file, offset, bytes_of(zeros, size));
}

static uint64_t free_bytes(void)
{
    uint64_t free_now = 0;
    uint64_t total = 0;
    CHECK_EQ(env_dir_space(&machine.env, machine.dir, &free_now, &total), STATUS_OK);
    CHECK_EQ(total, CAPACITY);
    return free_now;
}

static struct store_engine *open_engine(void)
{
    struct store_engine *engine = NULL;
    struct error error;
    CHECK_EQ(sim_engine_open(&machine, machine.dir, &engine, &error), STATUS_OK);
    return engine;
}

static enum status put(struct store_engine *engine, char key, size_t size)
{
    struct omap rows;
    omap_init(&rows);
    struct blob *value = blob_create(size);
    memset(value->data, key, size);
    omap_put(&rows, bytes_of(&key, 1), value);
    struct store_batch batch = {.rows = &rows};
    enum status s = engine->ops->write(engine, &batch);
    if (s == STATUS_OK && engine->ops->written != NULL) {
        engine->ops->written(engine, &batch);
    }
    omap_deinit(&rows);
    return s;
}

static enum status sync_engine(struct store_engine *engine)
{
    return engine->ops->sync(engine);
}

static bool has_row(struct store_engine *engine, char key)
{
    struct blob *value = NULL;
    enum status s = engine->ops->read(engine, bytes_of(&key, 1), &value);
    blob_unref(value);
    CHECK(s == STATUS_OK || s == STATUS_NOT_FOUND);
    return s == STATUS_OK;
}

/* ---- space ----------------------------------------------------------------------------------- */

TEST(a_write_beyond_the_capacity_finds_no_space)
{
    struct env *env = bed_init(1, 0);
    struct env_file *file = create("/n1/data/a");
    CHECK_EQ(write_zeros(file, 0, CAPACITY - 1000), STATUS_OK);
    CHECK_EQ(free_bytes(), 1000u);
    CHECK_EQ(write_zeros(file, CAPACITY - 1000, 1001), STATUS_NO_SPACE);
    CHECK(free_bytes() <= 1000);
    CHECK_EQ(write_zeros(file, 0, CAPACITY - 1000), STATUS_OK); /* over what is there */
    env_file_close(env, file);
    CHECK_EQ(env_file_remove(env, "/n1/data/a"), STATUS_OK);
    CHECK_EQ(free_bytes(), CAPACITY);
    bed_deinit();
}

TEST(rows_of_the_store_take_space)
{
    (void)bed_init(1, 0);
    struct store_engine *engine = open_engine();
    uint64_t before = free_bytes();
    CHECK_EQ(put(engine, 'a', 5000), STATUS_OK);
    CHECK_EQ(sync_engine(engine), STATUS_OK);
    CHECK(free_bytes() <= before - 5000);
    engine->ops->destroy(engine);
    bed_deinit();
}

TEST(others_take_space_and_give_it_back)
{
    (void)bed_init(1, 0);
    struct env_file *file = create("/n1/data/a");
    sim_env_fill(&machine, 700, 2 * SECOND_US);
    CHECK_EQ(free_bytes(), RESERVE);
    run_for(300 * MS_US);
    CHECK(free_bytes() < RESERVE);
    CHECK(free_bytes() >= RESERVE / 2);
    run_for(1200 * MS_US);
    CHECK_EQ(free_bytes(), 700u);
    CHECK_EQ(write_zeros(file, 0, 701), STATUS_NO_SPACE);
    run_for(2 * SECOND_US);
    CHECK(free_bytes() > CAPACITY / 2);
    CHECK_EQ(write_zeros(file, 0, 701), STATUS_OK);
    sim_env_fill(&machine, 0, 2 * SECOND_US);
    run_for(1500 * MS_US);
    CHECK_EQ(free_bytes(), 0u);
    machine.place = SIM_PLACE_OUTSIDE;
    sim_env_heal(&machine);
    machine.place = SIM_PLACE_START;
    CHECK(free_bytes() > CAPACITY / 2);
    env_file_close(&machine.env, file);
    bed_deinit();
}

TEST(a_store_without_space_cannot_sync)
{
    (void)bed_init(1, 0);
    struct store_engine *engine = open_engine();
    sim_env_fill(&machine, 0, 2 * SECOND_US);
    run_for(1500 * MS_US);
    CHECK_EQ(put(engine, 'a', 100), STATUS_OK);
    CHECK_EQ(sync_engine(engine), STATUS_NO_SPACE);
    run_for(2 * SECOND_US);
    CHECK_EQ(sync_engine(engine), STATUS_OK);
    engine->ops->destroy(engine);
    bed_deinit();
}

/* ---- directories that move ------------------------------------------------------------------- */

static void make_log(struct env *env)
{
    CHECK_EQ(env_dir_create(env, "/n1/data/log"), STATUS_OK);
    struct env_file *file = create("/n1/data/log/1");
    CHECK_EQ(write_zeros(file, 0, 10), STATUS_OK);
    CHECK_EQ(env_file_sync(env, file), STATUS_OK);
    env_file_close(env, file);
    CHECK_EQ(env_dir_sync(env, "/n1/data/log"), STATUS_OK);
    CHECK_EQ(env_dir_sync(env, "/n1/data"), STATUS_OK);
}

TEST(a_directory_moves_with_what_is_in_it)
{
    bool was_seen[2] = {false, false};
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct env *env = bed_init(seed, 0);
        make_log(env);
        CHECK_EQ(env_dir_create(env, "/n1/data/old"), STATUS_OK);
        CHECK_EQ(env_file_rename(env, "/n1/data/log", "/n1/data/old/log"), STATUS_OK);
        CHECK_EQ(env_file_rename(env, "/n1/data/log", "/n1/data/x"), STATUS_NOT_FOUND);
        CHECK(exists("/n1/data/old/log/1"));
        CHECK(!exists("/n1/data/log/1"));
        CHECK_EQ(env_dir_create(env, "/n1/data/log"), STATUS_OK);
        sim_disk_crash(&machine, SIM_CRASH_POWER_LOSS);
        /* The whole of it is at one place, whatever else was lost. */
        bool has_moved = exists("/n1/data/old/log/1");
        CHECK(has_moved != exists("/n1/data/log/1"));
        was_seen[has_moved ? 1 : 0] = true;
        bed_deinit();
    }
    CHECK(was_seen[0]);
    CHECK(was_seen[1]);
}

TEST(a_synced_move_stays)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct env *env = bed_init(seed, 0);
        make_log(env);
        CHECK_EQ(env_dir_create(env, "/n1/data/old"), STATUS_OK);
        CHECK_EQ(env_dir_sync(env, "/n1/data"), STATUS_OK);
        CHECK_EQ(env_file_rename(env, "/n1/data/log", "/n1/data/old/log"), STATUS_OK);
        CHECK_EQ(env_dir_sync(env, seed % 2 == 0 ? "/n1/data" : "/n1/data/old"), STATUS_OK);
        sim_disk_crash(&machine, SIM_CRASH_POWER_LOSS);
        CHECK(exists("/n1/data/old/log/1"));
        CHECK(!exists("/n1/data/log"));
        bed_deinit();
    }
}

/* ---- the store ------------------------------------------------------------------------------- */

TEST(a_crash_keeps_a_prefix_of_the_batches)
{
    bool was_seen[2][BATCHES + 1] = {{false}};
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        (void)bed_init(seed, 0);
        struct store_engine *engine = open_engine();
        for (unsigned i = 0; i < BATCHES; i++) {
            CHECK_EQ(put(engine, (char)('a' + i), 10), STATUS_OK);
            if (i + 1 == SYNCED) {
                CHECK_EQ(sync_engine(engine), STATUS_OK);
            }
        }
        engine->ops->destroy(engine);
        sim_disk_crash(&machine, seed % 2 == 0 ? SIM_CRASH_KILL : SIM_CRASH_POWER_LOSS);
        engine = open_engine();
        unsigned kept = 0;
        while (kept < BATCHES && has_row(engine, (char)('a' + kept))) {
            kept++;
        }
        CHECK(kept >= SYNCED);
        for (unsigned i = kept; i < BATCHES; i++) {
            CHECK(!has_row(engine, (char)('a' + i)));
        }
        was_seen[seed % 2][kept] = true;
        engine->ops->destroy(engine);
        bed_deinit();
    }
    for (unsigned kept = SYNCED; kept <= BATCHES; kept++) {
        CHECK(was_seen[0][kept]);
        CHECK(was_seen[1][kept]);
    }
}

TEST(rows_leave_with_their_directory)
{
    struct env *env = bed_init(1, 0);
    struct store_engine *engine = open_engine();
    CHECK_EQ(put(engine, 'a', 10), STATUS_OK);
    CHECK_EQ(sync_engine(engine), STATUS_OK);
    engine->ops->destroy(engine);
    CHECK_EQ(env_file_rename(env, "/n1/data/store", "/n1/data/old"), STATUS_OK);
    CHECK_EQ(env_dir_sync(env, "/n1/data"), STATUS_OK);
    engine = open_engine();
    CHECK(!has_row(engine, 'a'));
    engine->ops->destroy(engine);
    bed_deinit();
}

TEST(rows_are_not_at_hand_now_and_then)
{
    (void)bed_init(1, 500);
    struct store_engine *engine = open_engine();
    CHECK(engine->ops->may_need);
    CHECK_EQ(put(engine, 'a', 10), STATUS_OK);
    unsigned needs = 0;
    machine.place = SIM_PLACE_LOOP;
    for (unsigned i = 0; i < 100; i++) {
        struct blob *value = NULL;
        enum status s = engine->ops->get(engine, bytes_of("a", 1), &value);
        CHECK(s == STATUS_OK || s == STATUS_NEED);
        needs += s == STATUS_NEED ? 1 : 0;
        blob_unref(value);
    }
    CHECK(needs > 20);
    CHECK(needs < 80);
    machine.place = SIM_PLACE_JOB;
    CHECK(has_row(engine, 'a'));
    engine->ops->destroy(engine);
    bed_deinit();
}

/* ---- rot and death --------------------------------------------------------------------------- */

TEST(rot_spares_what_no_later_batch_proves)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct env *env = bed_init(seed, 0);
        make_log(env);
        CHECK(!sim_disk_rot(&machine, true)); /* one write alone may be torn */
        struct env_file *file = NULL;
        CHECK_EQ(env_file_open(env, "/n1/data/log/1", ENV_OPEN_WRITE, &file), STATUS_OK);
        for (uint64_t at = 0; at < 4; at++) {
            CHECK_EQ(write_zeros(file, 1000 * at, 1000), STATUS_OK);
        }
        CHECK(sim_disk_rot(&machine, true));
        uint8_t bytes[4000];
        size_t size = 0;
        CHECK_EQ(env_file_read(env, file, 0, bytes, sizeof bytes, &size), STATUS_OK);
        unsigned flipped = 0;
        for (size_t i = 0; i < sizeof bytes; i++) {
            flipped += bytes[i] != 0 ? 1 : 0;
            CHECK(bytes[i] == 0 || i < 2000);
        }
        CHECK_EQ(flipped, 1u);
        env_file_close(env, file);
        bed_deinit();
    }
}

TEST(rot_of_a_row_is_found_when_it_is_read)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        (void)bed_init(seed, 0);
        struct store_engine *engine = open_engine();
        CHECK_EQ(put(engine, 'a', 10), STATUS_OK);
        CHECK_EQ(sync_engine(engine), STATUS_OK);
        engine->ops->destroy(engine);
        sim_disk_crash(&machine, SIM_CRASH_KILL);
        bool is_rotten = sim_disk_rot(&machine, true);
        engine = open_engine();
        struct blob *value = NULL;
        enum status s = engine->ops->read(engine, bytes_of("a", 1), &value);
        CHECK_EQ(s, is_rotten ? STATUS_CORRUPT : STATUS_OK);
        blob_unref(value);
        engine->ops->destroy(engine);
        bed_deinit();
    }
}

TEST(a_disk_dies_in_the_operation_it_was_told)
{
    struct env *env = bed_init(1, 0);
    struct env_file *file = create("/n1/data/a");
    sim_env_plan_crash_in_job(&machine, SIM_CRASH_KILL, 2, 0, SIM_CALL_REMOVE);
    CHECK_EQ(write_zeros(file, 0, 10), STATUS_OK);
    CHECK_EQ(write_zeros(file, 0, 10), STATUS_OK);
    CHECK_EQ(env_file_sync(env, file), STATUS_OK);
    env_file_close(env, file);
    CHECK_EQ(env_file_remove(env, "/n1/data/a"), STATUS_IO);
    CHECK(machine.disk.is_dead);
    bed_deinit();
}

TEST(a_disk_dies_only_behind_what_comes_first)
{
    struct env *env = bed_init(1, 0);
    struct env_file *file = create("/n1/data/a");
    struct env_file *other = create("/n1/data/b");
    env_file_close(env, other);
    sim_env_plan_crash_in_job(&machine, SIM_CRASH_KILL, 1, SIM_CALL_REMOVE, SIM_CALL_SYNC);
    CHECK_EQ(write_zeros(file, 0, 10), STATUS_OK);
    CHECK_EQ(env_file_sync(env, file), STATUS_OK);
    CHECK_EQ(env_file_remove(env, "/n1/data/b"), STATUS_OK);
    CHECK_EQ(write_zeros(file, 0, 10), STATUS_OK);
    CHECK_EQ(env_file_sync(env, file), STATUS_IO);
    CHECK(machine.disk.is_dead);
    env_file_close(env, file);
    bed_deinit();
}
