#include "base/limits.h"
#include "base/mem.h"
#include "fake_env.h"
#include "harness.h"
#include "node/disk_watch.h"

#define DIR "d"
#define RESERVE (64u * KIB)
#define FILE_BYTES (RESERVE / 2)
#define HIGH (RESERVE + RESERVE / 4)

static struct fake_env env;
static struct disk_watch watch;
static unsigned changes;
static bool is_full;

static void on_changed(void *owner, bool full)
{
    CHECK(owner == &env);
    changes++;
    is_full = full;
}

static void begin(uint64_t space, uint64_t reserve)
{
    changes = 0;
    is_full = false;
    fake_env_init(&env);
    env.space = space;
    disk_watch_init(&watch, &env.base, DIR, reserve, on_changed, &env);
}

/* What others have on the disk. */
static void fill_to(uint64_t bytes)
{
    struct env_file *file = NULL;
    struct fake_file *there = fake_env_file(&env, DIR "/other");
    if (there != NULL) {
        there->bytes.size = (size_t)bytes;
        return;
    }
    CHECK_EQ(env_file_open(&env.base, DIR "/other", ENV_OPEN_CREATE, &file), STATUS_OK);
    uint8_t *zeros = mem_alloc_zero((size_t)bytes);
    CHECK_EQ(env_file_write(&env.base, file, 0, bytes_of(zeros, (size_t)bytes)), STATUS_OK);
    mem_free(zeros);
    env_file_close(&env.base, file);
}

static bool has_reserve(void)
{
    return fake_env_file(&env, DIR "/reserve") != NULL;
}

static void look(void)
{
    fake_env_advance(&env, DISK_WATCH_MS);
    fake_env_run_all(&env);
}

static void end(void)
{
    disk_watch_stop(&watch);
    fake_env_run_all(&env);
    CHECK(!disk_watch_is_busy(&watch));
    fake_env_deinit(&env);
}

/* Every row of the table, at its edges. */
TEST(table)
{
    static const struct {
        enum disk_state state;
        bool has_file;
        uint64_t free;
        enum disk_state next;
        enum disk_action action;
    } rows[] = {
        {DISK_STATE_OK, true, RESERVE - 1, DISK_STATE_FULL, DISK_ACTION_RELEASE},
        {DISK_STATE_OK, false, RESERVE - 1, DISK_STATE_FULL, DISK_ACTION_NONE},
        {DISK_STATE_OK, true, RESERVE, DISK_STATE_OK, DISK_ACTION_NONE},
        {DISK_STATE_OK, false, RESERVE, DISK_STATE_OK, DISK_ACTION_NONE},
        {DISK_STATE_OK, false, HIGH + FILE_BYTES, DISK_STATE_OK, DISK_ACTION_NONE},
        {DISK_STATE_OK, false, HIGH + FILE_BYTES + 1, DISK_STATE_OK, DISK_ACTION_RESERVE},
        {DISK_STATE_OK, true, HIGH + FILE_BYTES + 1, DISK_STATE_OK, DISK_ACTION_NONE},
        {DISK_STATE_FULL, false, 0, DISK_STATE_FULL, DISK_ACTION_NONE},
        {DISK_STATE_FULL, true, 0, DISK_STATE_FULL, DISK_ACTION_RELEASE},
        {DISK_STATE_FULL, true, RESERVE, DISK_STATE_FULL, DISK_ACTION_RELEASE},
        {DISK_STATE_FULL, false, RESERVE, DISK_STATE_FULL, DISK_ACTION_NONE},
        /* The file that has just gone is not the space that was waited for. */
        {DISK_STATE_FULL, false, RESERVE + FILE_BYTES, DISK_STATE_FULL, DISK_ACTION_NONE},
        {DISK_STATE_FULL, false, HIGH + FILE_BYTES, DISK_STATE_FULL, DISK_ACTION_NONE},
        {DISK_STATE_FULL, false, HIGH + FILE_BYTES + 1, DISK_STATE_OK, DISK_ACTION_RESERVE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct disk_look look = {
            .free = rows[i].free,
            .reserve = RESERVE,
            .file_bytes = FILE_BYTES,
            .has_file = rows[i].has_file,
        };
        enum disk_action action = DISK_ACTION_NONE;
        CHECK_EQ(disk_judge(rows[i].state, &look, &action), rows[i].next);
        CHECK_EQ(action, rows[i].action);
    }
}

TEST(default_reserve)
{
    const uint64_t gib = 1024u * (uint64_t)MIB;
    CHECK_EQ(disk_reserve(123, gib), 123u);
    CHECK_EQ(disk_reserve(0, 100 * gib), gib);
    CHECK_EQ(disk_reserve(0, 10 * gib), 10 * gib / 100 * 5);
    CHECK_EQ(disk_reserve(0, gib), 64u * MIB);
    CHECK_EQ(disk_reserve(0, 100u * MIB), 25u * MIB);
}

/* However small a reserve was asked for, the store has room to open; a small disk serves, too. */
TEST(room_to_start)
{
    const uint64_t gib = 1024u * (uint64_t)MIB;
    CHECK_EQ(disk_start_bytes(gib, 100 * gib), MIB);
    CHECK_EQ(disk_start_bytes(1, 100 * gib), MIB);
    CHECK_EQ(disk_start_bytes(1, gib), MIB);
    CHECK_EQ(disk_start_bytes(64u * MIB, 256u * MIB), MIB);
    CHECK_EQ(disk_start_bytes(1, 256u * MIB), 256u * KIB);
    CHECK_EQ(disk_start_bytes(256u * KIB, 8u * MIB), 16u * KIB);
}

/* Full, then not, and neither state flutters when the file comes and goes. */
TEST(full_and_back)
{
    begin(1024u * KIB, RESERVE);
    disk_watch_look(&watch);
    CHECK(!disk_watch_is_full(&watch) && !has_reserve());
    disk_watch_start(&watch);
    fake_env_run_all(&env);
    CHECK(has_reserve());
    CHECK_EQ(fake_env_file(&env, DIR "/reserve")->bytes.size, FILE_BYTES);
    CHECK_EQ(changes, 0u);

    fill_to(1024u * KIB - FILE_BYTES - RESERVE); /* just enough is left */
    look();
    CHECK_EQ(changes, 0u);
    fill_to(1024u * KIB - FILE_BYTES - RESERVE + 1);
    look();
    CHECK(is_full && disk_watch_is_full(&watch));
    CHECK_EQ(changes, 1u);
    CHECK(!has_reserve());
    CHECK_EQ(env.warnings, 1u);
    for (unsigned i = 0; i < 3; i++) {
        look();
        CHECK(is_full && !has_reserve());
    }
    CHECK_EQ(changes, 1u);

    fill_to(1024u * KIB - HIGH - FILE_BYTES);
    look();
    CHECK(is_full && !has_reserve());
    fill_to(1024u * KIB - HIGH - FILE_BYTES - 1);
    look();
    CHECK(!is_full && has_reserve());
    CHECK_EQ(changes, 2u);
    look();
    CHECK_EQ(changes, 2u);
    CHECK_EQ(env.warnings, 1u);
    end();
}

/* A node that starts on a full disk has what was reserved before it writes anything. */
TEST(start_on_a_full_disk)
{
    begin(1024u * KIB, RESERVE);
    disk_watch_start(&watch);
    fake_env_run_all(&env);
    CHECK(has_reserve());
    disk_watch_stop(&watch);
    fill_to(1024u * KIB - FILE_BYTES);
    disk_watch_init(&watch, &env.base, DIR, RESERVE, on_changed, &env);
    disk_watch_look(&watch);
    CHECK(disk_watch_is_full(&watch) && !has_reserve());
    CHECK_EQ(changes, 0u);
    end();
}

/* A file that an earlier process did not finish is finished. */
TEST(half_a_file)
{
    struct env_file *file = NULL;
    begin(1024u * KIB, RESERVE);
    CHECK_EQ(env_file_open(&env.base, DIR "/reserve", ENV_OPEN_CREATE, &file), STATUS_OK);
    CHECK_EQ(env_file_write(&env.base, file, 0, bytes_of_text("half")), STATUS_OK);
    env_file_close(&env.base, file);
    disk_watch_start(&watch);
    fake_env_run_all(&env);
    CHECK_EQ(fake_env_file(&env, DIR "/reserve")->bytes.size, FILE_BYTES);
    end();
}

/* Much was written: the next look comes at once; little: it does not. */
TEST(looks_sooner)
{
    begin(1024u * KIB, RESERVE);
    disk_watch_start(&watch);
    disk_watch_wrote(&watch, RESERVE / 16); /* one is under way */
    fake_env_run_all(&env);
    CHECK(!disk_watch_is_busy(&watch));
    disk_watch_wrote(&watch, 1);
    CHECK(!disk_watch_is_busy(&watch));
    fill_to(1024u * KIB - FILE_BYTES - 1);
    disk_watch_wrote(&watch, RESERVE / 16);
    CHECK(disk_watch_is_busy(&watch));
    fake_env_run_all(&env);
    CHECK(is_full);
    end();
}

/* Who writes knows better than a look that was begun before. */
TEST(failing_writer)
{
    begin(1024u * KIB, RESERVE);
    disk_watch_start(&watch);
    fake_env_run_all(&env);
    fake_env_advance(&env, DISK_WATCH_MS); /* a look has begun */
    disk_watch_set_failing(&watch, true);
    CHECK(is_full);
    CHECK_EQ(changes, 1u);
    fake_env_run_all(&env);
    look();
    CHECK(is_full); /* although a look finds enough */
    disk_watch_set_failing(&watch, false);
    look();
    CHECK(!is_full && has_reserve());
    CHECK_EQ(changes, 2u);
    end();
}

/* One that fails is not used any more (LOG-16). */
TEST(failing_disk)
{
    for (uint64_t operation = 1; operation <= 6; operation++) {
        begin(1024u * KIB, RESERVE);
        disk_watch_start(&watch);
        env.fail_at = env.operations + operation;
        fake_env_run_all(&env);
        CHECK_EQ(changes, 0u);
        CHECK(strstr(env.halt_reason, "the disk cannot be used") != NULL);
        end();
    }
}

/* There is room, but the file cannot be made: that is tried once, and nothing of it stays. */
TEST(file_cannot_be_made)
{
    begin(1024u * KIB, RESERVE);
    disk_watch_start(&watch);
    env.fail_as = STATUS_NO_SPACE;
    env.fail_at = env.operations + 5; /* space, open, open, size, write */
    fake_env_run_all(&env);
    CHECK(!has_reserve());
    uint64_t before = env.operations;
    look();
    CHECK_EQ(env.operations, before + 1);
    CHECK_EQ(changes, 0u);
    end();
}

TEST(stop_with_a_look_under_way)
{
    begin(1024u * KIB, RESERVE);
    disk_watch_start(&watch);
    fill_to(1024u * KIB - 1);
    disk_watch_stop(&watch);
    CHECK(disk_watch_is_busy(&watch));
    fake_env_run_all(&env);
    CHECK(!disk_watch_is_busy(&watch));
    fake_env_advance(&env, 10 * DISK_WATCH_MS);
    CHECK_EQ(env.job_count, 0u);
    CHECK_EQ(changes, 0u);
    end();
}
