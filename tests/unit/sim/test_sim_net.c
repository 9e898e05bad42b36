/*
 * Connections of simulated machines, driven by scripts in place of nodes: what env promises about
 * them, and what the faults of the network may do to them.
 */
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "harness.h"
#include "sim/sim_network.h"
#include "sim/sim_parts.h"

#define MACHINES 2u
#define SEEDS 60u
#define MESSAGE_BYTES 3000u
#define CONNECT_TIMEOUT_US (2 * SECOND_US)
#define CONNS_MAX 8u

struct side {
    struct env_conn *conn;
    struct buf got;
    unsigned connected;
    unsigned ended;
    unsigned drained;
    unsigned closed;
    uint64_t ended_us;
};

struct bed {
    struct world world;
    struct sim_network network;
    struct sim_env machines[MACHINES];
    struct env_listener listener;
    struct side asking;
    struct side accepted[CONNS_MAX];
    unsigned accepted_count;
};

static struct bed bed;

static void on_connected(struct env_conn *conn)
{
    struct side *side = conn->owner;
    side->connected++;
}

static void on_read(struct env_conn *conn, struct bytes bytes)
{
    struct side *side = conn->owner;
    CHECK_EQ(side->ended, 0u);
    CHECK_EQ(side->closed, 0u);
    buf_append_bytes(&side->got, bytes);
}

static void on_ended(struct env_conn *conn)
{
    struct side *side = conn->owner;
    side->ended++;
    side->ended_us = bed.world.now_us;
}

static void on_drained(struct env_conn *conn)
{
    struct side *side = conn->owner;
    side->drained++;
}

static void on_closed(struct env_conn *conn)
{
    struct side *side = conn->owner;
    side->closed++;
    side->conn = NULL;
}

static const struct env_conn_events events = {
    .connected = on_connected,
    .read = on_read,
    .ended = on_ended,
    .drained = on_drained,
    .closed = on_closed,
};

static void on_accepted(struct env_listener *listener, struct env_conn *conn, const char *peer)
{
    (void)listener;
    CHECK(peer[0] != '\0');
    ensure(bed.accepted_count < CONNS_MAX);
    struct side *side = &bed.accepted[bed.accepted_count++];
    side->conn = conn;
    conn->events = &events;
    conn->owner = side;
}

/* ---- the bed --------------------------------------------------------------------------------- */

/* A machine whose node is the script: it is up without having been booted. */
static void machine_up(unsigned index)
{
    struct sim_env *e = &bed.machines[index];
    e->is_up = true;
    e->is_powerless = false;
    e->boot++;
}

static void bed_init(uint64_t seed, unsigned short_write_per_mille)
{
    memset(&bed, 0, sizeof bed);
    struct sim_network_options network = {
        .latency_us_max = 1000,
        .connect_timeout_us_max = CONNECT_TIMEOUT_US,
        .window_bytes = (uint64_t)64 * KIB,
        .short_write_per_mille = short_write_per_mille,
        .tiny_chunk_per_mille = 100,
    };
    struct sim_env_options options = {
        .job_delay_us_max = 100,
        .down_us_max = 1000,
        .deliveries_max = 8,
    };
    world_init(&bed.world, seed, false);
    sim_network_init(&bed.network, &bed.world, &network);
    for (unsigned i = 0; i < MACHINES; i++) {
        sim_env_init(&bed.machines[i], &bed.network, i, &options);
        bed.machines[i].is_kept_down = true;
        machine_up(i);
    }
    buf_init(&bed.asking.got, MIB);
    for (unsigned i = 0; i < CONNS_MAX; i++) {
        buf_init(&bed.accepted[i].got, MIB);
    }
    bed.listener.accepted = on_accepted;
}

static void bed_deinit(void)
{
    buf_deinit(&bed.asking.got);
    for (unsigned i = 0; i < CONNS_MAX; i++) {
        buf_deinit(&bed.accepted[i].got);
    }
    for (unsigned i = 0; i < MACHINES; i++) {
        sim_env_deinit(&bed.machines[i]);
    }
    sim_network_deinit(&bed.network);
    world_deinit(&bed.world);
}

static void run_for(uint64_t us)
{
    uint64_t until_us = bed.world.now_us + us;
    while (world_step(&bed.world, until_us)) {
        /* one event after the other */
    }
}

/* Calls of the script of a machine stand between these. */
static struct env *enter(unsigned index)
{
    bed.machines[index].place = SIM_PLACE_LOOP;
    return &bed.machines[index].env;
}

static void leave(unsigned index)
{
    bed.machines[index].place = SIM_PLACE_OUTSIDE;
    sim_env_wake(&bed.machines[index]);
}

static void listen_at(unsigned index, const char *address)
{
    struct error error;
    CHECK_EQ(env_listen(enter(index), address, &bed.listener, &error), STATUS_OK);
    leave(index);
}

static void connect_to(const char *address)
{
    bed.asking.conn = env_connect(enter(0), address, &events, &bed.asking);
    leave(0);
}

static bool write_from(unsigned index, struct side *side, const char *data, size_t size)
{
    (void)enter(index);
    bool is_all_gone = env_conn_write(side->conn, bytes_of(data, size));
    leave(index);
    return is_all_gone;
}

static void establish(void)
{
    listen_at(1, "n2:17379");
    connect_to("n2:17379");
    CHECK_EQ(bed.asking.connected, 0u);
    run_for(20 * MS_US);
    CHECK_EQ(bed.asking.connected, 1u);
    CHECK_EQ(bed.accepted_count, 1u);
}

static void fill(char *message, char first)
{
    for (size_t i = 0; i < MESSAGE_BYTES; i++) {
        message[i] = (char)(first + (char)(i % 61));
    }
}

/* ---- tests ----------------------------------------------------------------------------------- */

TEST(bytes_arrive_in_order_in_both_directions)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        bed_init(seed, 0);
        establish();
        char message[MESSAGE_BYTES];
        for (int i = 0; i < 5; i++) {
            fill(message, (char)('0' + i));
            CHECK(write_from(0, &bed.asking, message, sizeof message));
            CHECK(write_from(1, &bed.accepted[0], message, sizeof message));
            run_for(200);
        }
        run_for(SECOND_US);
        CHECK_EQ(bed.asking.got.size, (size_t)5 * MESSAGE_BYTES);
        CHECK_BYTES(buf_bytes(&bed.asking.got), buf_bytes(&bed.accepted[0].got));
        for (int i = 0; i < 5; i++) {
            fill(message, (char)('0' + i));
            CHECK_BYTES(bytes_of(bed.asking.got.data + (size_t)i * MESSAGE_BYTES, MESSAGE_BYTES),
                        bytes_of(message, MESSAGE_BYTES));
        }
        CHECK_EQ(bed.asking.ended, 0u);
        CHECK(!bed.world.is_failed);
        bed_deinit();
    }
}

TEST(short_write_is_drained_once)
{
    bed_init(7, 1000);
    establish();
    CHECK(!write_from(0, &bed.asking, "abc", 3));
    run_for(SECOND_US);
    CHECK_EQ(bed.asking.drained, 1u);
    CHECK(!write_from(0, &bed.asking, "def", 3));
    run_for(SECOND_US);
    CHECK_EQ(bed.asking.drained, 2u);
    CHECK_BYTES(buf_bytes(&bed.accepted[0].got), bytes_of("abcdef", 6));
    CHECK(!bed.world.is_failed);
    bed_deinit();
}

TEST(full_window_is_drained_when_the_other_end_reads)
{
    bed_init(3, 0);
    bed.network.options.window_bytes = MESSAGE_BYTES / 2;
    establish();
    (void)enter(1);
    env_conn_pause(bed.accepted[0].conn);
    leave(1);
    char message[MESSAGE_BYTES];
    fill(message, 'a');
    CHECK(!write_from(0, &bed.asking, message, sizeof message));
    run_for(10 * SECOND_US);
    CHECK_EQ(bed.asking.drained, 0u);
    (void)enter(1);
    env_conn_resume(bed.accepted[0].conn);
    leave(1);
    run_for(SECOND_US);
    CHECK_EQ(bed.asking.drained, 1u);
    CHECK_EQ(bed.accepted[0].got.size, (size_t)MESSAGE_BYTES);
    bed_deinit();
}

TEST(misuse_fails_the_run)
{
    bed_init(1, 1000);
    establish();
    CHECK(!write_from(0, &bed.asking, "abc", 3));
    CHECK(!bed.world.is_failed);
    (void)write_from(0, &bed.asking, "abc", 3);
    CHECK(bed.world.is_failed);
    CHECK(strstr(bed.world.failure, "before drained") != NULL);
    bed_deinit();

    bed_init(1, 0);
    listen_at(1, "n2:17379");
    connect_to("n2:17379");
    (void)write_from(0, &bed.asking, "abc", 3);
    CHECK(strstr(bed.world.failure, "before connected") != NULL);
    bed_deinit();
}

TEST(listening_twice_or_elsewhere_is_an_error)
{
    bed_init(1, 0);
    struct error error;
    listen_at(1, "n2:17379");
    listen_at(1, "n2:7379");
    CHECK_EQ(env_listen(enter(1), "n2:7379", &bed.listener, &error), STATUS_BUSY);
    CHECK_EQ(env_listen(enter(1), "n1:7379", &bed.listener, &error), STATUS_INVALID);
    leave(1);
    bed_deinit();
}

TEST(nobody_listens)
{
    static const char *const addresses[] = {"n2:17379", "n9:17379"};
    for (unsigned i = 0; i < 2; i++) {
        bed_init(1, 0);
        connect_to(addresses[i]);
        CHECK_EQ(bed.asking.ended, 0u);
        run_for(20 * MS_US);
        CHECK_EQ(bed.asking.ended, 1u);
        run_for(10 * SECOND_US);
        CHECK_EQ(bed.asking.ended, 1u);
        CHECK_EQ(bed.asking.connected, 0u);
        bed_deinit();
    }
}

TEST(connecting_across_a_cut_times_out)
{
    for (unsigned direction = 0; direction < 2; direction++) {
        bed_init(5, 0);
        listen_at(1, "n2:17379");
        sim_network_cut(&bed.network, direction, 1 - direction);
        connect_to("n2:17379");
        run_for(CONNECT_TIMEOUT_US / 2 - MS_US);
        CHECK_EQ(bed.asking.ended, 0u);
        run_for(CONNECT_TIMEOUT_US);
        CHECK_EQ(bed.asking.ended, 1u);
        sim_network_uncut(&bed.network, direction, 1 - direction);
        run_for(10 * SECOND_US);
        CHECK_EQ(bed.asking.connected, 0u);
        CHECK_EQ(bed.accepted_count, 0u);
        bed_deinit();
    }
}

TEST(short_cut_only_delays_connecting)
{
    bed_init(5, 0);
    listen_at(1, "n2:17379");
    sim_network_cut(&bed.network, 0, 1);
    connect_to("n2:17379");
    run_for(300 * MS_US);
    CHECK_EQ(bed.accepted_count, 0u);
    sim_network_uncut(&bed.network, 0, 1);
    run_for(SECOND_US);
    CHECK_EQ(bed.asking.connected, 1u);
    CHECK_EQ(bed.accepted_count, 1u);
    bed_deinit();
}

/* Bytes wait for the end of the cut, whether the ends have given up or not; a part may be lost. */
TEST(cut_holds_bytes_back)
{
    unsigned whole = 0;
    unsigned broken = 0;
    unsigned late = 0; /* arrived although the sender had been told that all is over */
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        bed_init(seed, 0);
        establish();
        sim_network_cut(&bed.network, 0, 1);
        char message[MESSAGE_BYTES];
        fill(message, 'a');
        (void)write_from(0, &bed.asking, message, sizeof message);
        CHECK(write_from(1, &bed.accepted[0], "hello", 5)); /* the other way is open */
        run_for(10 * SECOND_US);
        CHECK_EQ(bed.accepted[0].got.size, 0u);
        CHECK_EQ(bed.asking.got.size > 0 || bed.asking.ended > 0, true);
        sim_network_uncut(&bed.network, 0, 1);
        run_for(10 * SECOND_US);
        size_t size = bed.accepted[0].got.size;
        CHECK_BYTES(buf_bytes(&bed.accepted[0].got), bytes_of(message, size));
        bool is_whole = size == MESSAGE_BYTES;
        bool is_broken = bed.asking.ended > 0 || bed.accepted[0].ended > 0;
        CHECK(is_whole || is_broken);
        whole += is_whole && !is_broken ? 1 : 0;
        broken += is_broken ? 1 : 0;
        late += size > 0 && bed.asking.ended > 0 ? 1 : 0;
        bed_deinit();
    }
    CHECK(whole > 10);
    CHECK(broken > 10);
    CHECK(late > 3);
}

TEST(kill_is_noticed_at_once)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        bed_init(seed, 0);
        establish();
        sim_env_crash(&bed.machines[1], SIM_CRASH_KILL);
        run_for(20 * MS_US);
        CHECK_EQ(bed.asking.ended, 1u);
        bed_deinit();
    }
}

/* Silence, until a write meets the machine that is up again, or the connection is probed. */
TEST(power_loss_may_go_unnoticed)
{
    unsigned silent = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        bed_init(seed, 0);
        establish();
        sim_env_crash(&bed.machines[1], SIM_CRASH_POWER_LOSS);
        run_for(2 * SECOND_US);
        if (bed.asking.ended == 0) {
            silent++;
            CHECK(write_from(0, &bed.asking, "abc", 3));
            run_for(2 * SECOND_US);
            CHECK_EQ(bed.asking.ended, 0u);
            machine_up(1);
            sim_network_machine_up(&bed.network, &bed.machines[1]);
            run_for(SECOND_US);
        }
        CHECK_EQ(bed.asking.ended, 1u);
        bed_deinit();
    }
    CHECK(silent > 20);
    CHECK(silent < SEEDS);
}

TEST(last_bytes_arrive_after_the_next_connection)
{
    unsigned overtaken = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        bed_init(seed, 0);
        establish();
        CHECK(write_from(0, &bed.asking, "old", 3));
        CHECK(sim_network_delay_last_bytes(&bed.network));
        run_for(5 * MS_US);
        if (bed.asking.ended == 1) { /* the sender is the one that was told */
            bed.asking.ended = 0;
            connect_to("n2:17379");
            run_for(20 * MS_US);
            CHECK_EQ(bed.accepted_count, 2u);
            overtaken += bed.accepted[0].got.size == 0 ? 1 : 0;
        }
        run_for(30 * SECOND_US);
        CHECK_EQ(bed.accepted[0].ended, 1u);
        if (bed.accepted_count == 2) {
            CHECK_BYTES(buf_bytes(&bed.accepted[0].got), bytes_of("old", 3));
            CHECK_EQ(bed.accepted[1].ended, 0u);
        }
        bed_deinit();
    }
    CHECK(overtaken > 10);
}

TEST(close_ends_the_other_side_after_the_last_bytes)
{
    bed_init(11, 0);
    establish();
    CHECK(write_from(0, &bed.asking, "bye", 3));
    (void)enter(0);
    env_conn_close(bed.asking.conn);
    env_conn_close(bed.asking.conn);
    leave(0);
    CHECK(write_from(1, &bed.accepted[0], "late", 4));
    run_for(SECOND_US);
    CHECK_BYTES(buf_bytes(&bed.accepted[0].got), bytes_of("bye", 3));
    CHECK_EQ(bed.accepted[0].ended, 1u);
    CHECK_EQ(bed.asking.closed, 1u);
    CHECK_EQ(bed.asking.got.size, 0u);
    bed_deinit();
}

TEST(loss_is_delay)
{
    bed_init(2, 0);
    establish();
    bed.network.links[0][1].loss_per_mille = 1000;
    CHECK(write_from(0, &bed.asking, "abc", 3));
    run_for(150 * MS_US);
    CHECK_EQ(bed.accepted[0].got.size, 0u);
    run_for(20 * SECOND_US);
    CHECK_BYTES(buf_bytes(&bed.accepted[0].got), bytes_of("abc", 3));
    bed_deinit();
}

TEST(emptied_disk_has_nothing)
{
    bed_init(1, 0);
    struct sim_env *e = &bed.machines[0];
    e->place = SIM_PLACE_START;
    struct env_file *file = NULL;
    CHECK_EQ(env_dir_create(&e->env, "/n1/data"), STATUS_OK);
    CHECK_EQ(env_file_open(&e->env, "/n1/data/node", ENV_OPEN_CREATE, &file), STATUS_OK);
    CHECK_EQ(env_file_write(&e->env, file, 0, bytes_of("abc", 3)), STATUS_OK);
    CHECK_EQ(env_file_sync(&e->env, file), STATUS_OK);
    env_file_close(&e->env, file);
    CHECK_EQ(env_dir_sync(&e->env, "/n1/data"), STATUS_OK);
    CHECK_EQ(env_dir_sync(&e->env, "/n1"), STATUS_OK);
    e->place = SIM_PLACE_OUTSIDE;
    sim_env_crash(e, SIM_CRASH_POWER_LOSS);
    e->place = SIM_PLACE_START;
    CHECK_EQ(env_file_open(&e->env, "/n1/data/node", ENV_OPEN_READ, &file), STATUS_OK);
    env_file_close(&e->env, file);
    e->place = SIM_PLACE_OUTSIDE;
    sim_env_wipe(e);
    e->place = SIM_PLACE_START;
    CHECK_EQ(env_file_open(&e->env, "/n1/data/node", ENV_OPEN_READ, &file), STATUS_NOT_FOUND);
    CHECK_EQ(env_dir_create(&e->env, "/n1/data"), STATUS_OK);
    e->place = SIM_PLACE_OUTSIDE;
    bed_deinit();
}
