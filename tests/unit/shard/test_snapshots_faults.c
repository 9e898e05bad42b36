/*
 * Transfers that go wrong: each message lost, doubled or damaged, each side gone at each step,
 * chunks that no sender would send, a sync that began too early. Either the whole state arrives in
 * the end, or another transfer brings it; never is anything else staged (finish_install compares).
 */
#include "snapshots_world.h"

#define ROWS 40u
#define CHUNK_BYTES 400u
/* Enough to try again some times after a silence. */
#define ENOUGH_MS (6u * SNAPSHOT_SILENCE_MS)

static void start(struct world *w)
{
    world_create(w);
    w->options.chunk_bytes = CHUNK_BYTES;
    world_start(w, ROWS, 2000);
}

/* What was installed survives a crash that leaves no more than it must, and nothing else is left.
 */
static void check_end(struct world *w)
{
    CHECK_EQ(w->installs, 1u);
    uint64_t count = 0;
    world_settle(w);
    machine_kill(w, 2, 0);
    machine_start(w, 2);
    struct machine *m = machine_of(w, 2);
    CHECK_EQ(engine_digest(m, m->replica.generation, &count), w->digests[w->install_index]);
    CHECK(count > ROWS);
    store_sync_soon(&m->store);
    world_settle(w);
    CHECK_EQ(leftovers(w, 2), 0u);
    world_destroy(w);
}

/* The same without a restart: what failed transfers left is dropped by itself. */
static void check_clean(struct world *w)
{
    CHECK_EQ(w->installs, 1u);
    world_settle(w);
    world_advance(w, SNAPSHOT_SILENCE_MS);
    world_settle(w);
    for (uint32_t i = 1; i <= 2; i++) {
        CHECK_EQ(stats_of(w, i)->sending, 0u);
        CHECK_EQ(stats_of(w, i)->taking, 0u);
        CHECK(!snapshots_is_busy(machine_of(w, i)->snapshots));
    }
    store_fold_soon(&machine_of(w, 2)->store);
    world_settle(w);
    CHECK_EQ(leftovers(w, 2), 0u);
}

/* Letters of a transfer without faults. */
static uint64_t count_letters(void)
{
    struct world w;
    start(&w);
    CHECK(world_run(&w, 1000));
    uint64_t count = w.sent;
    check_end(&w);
    CHECK(count > 12); /* several chunks */
    return count;
}

/* ---- messages -------------------------------------------------------------------------------- */

static void check_fault(enum fault fault, uint64_t at, uint64_t bit)
{
    struct world w;
    start(&w);
    w.fault = fault;
    w.fault_at = at;
    w.fault_bit = bit;
    CHECK(world_run(&w, ENOUGH_MS));
    check_clean(&w);
    check_end(&w);
}

TEST(each_message_lost_or_doubled)
{
    uint64_t count = count_letters();
    for (uint64_t at = 0; at < count; at++) {
        check_fault(FAULT_DROP, at, 0);
        check_fault(FAULT_DOUBLE, at, 0);
    }
}

TEST(each_message_cut_short)
{
    uint64_t count = count_letters();
    for (uint64_t at = 0; at < count; at++) {
        check_fault(FAULT_SHORT, at, 0);
    }
}

/* All bits of the headers, and some behind them. */
TEST(each_message_with_a_flipped_bit)
{
    uint64_t count = count_letters();
    for (uint64_t at = 0; at < count; at++) {
        for (uint64_t bit = 0; bit < 64 * 8; bit += at < 2 || at + 2 == count ? 1 : 13) {
            check_fault(FAULT_BIT, at, bit);
        }
        check_fault(FAULT_BIT, at, 3001 + at);
    }
}

/* ---- sides that go away ---------------------------------------------------------------------- */

enum loss {
    LOSS_CUT,    /* the connection breaks, and is there again */
    LOSS_KILL,   /* the process dies, its disk has all it wrote */
    LOSS_CRASH,  /* the disk has as little as it may */
    LOSS_OUTAGE, /* the connection stalls for a while, then breaks */
    LOSS_LEADER, /* leadership is lost for a while */
    LOSS_KINDS,
};

static void lose(struct world *w, uint32_t number, enum loss loss)
{
    struct machine *m = machine_of(w, number);
    switch (loss) {
    case LOSS_CUT:
        world_disconnect(w, number);
        return;
    case LOSS_KILL:
    case LOSS_CRASH:
        machine_kill(w, number, number == 1 || loss == LOSS_KILL ? SIZE_MAX : 0);
        world_settle(w);
        machine_start(w, number);
        return;
    case LOSS_OUTAGE:
        w->is_cut[number] = true;
        world_settle(w);
        world_advance(w, SNAPSHOT_ALIVE_MS + 100);
        w->is_cut[number] = false;
        world_disconnect(w, number);
        return;
    case LOSS_LEADER:
        machine_of(w, 1)->replica.is_leader = false;
        world_settle(w);
        world_advance(w, 500);
        machine_of(w, 1)->replica.is_leader = true;
        return;
    case LOSS_KINDS:
        break;
    }
    (void)m;
    unreachable("no such loss");
}

TEST(each_side_lost_at_each_step)
{
    for (unsigned loss = 0; loss < LOSS_KINDS; loss++) {
        for (uint32_t number = 1; number <= 2; number++) {
            for (unsigned steps = 0; steps < 70; steps++) {
                struct world w;
                start(&w);
                world_heartbeat(&w, 2);
                for (unsigned i = 0; i < steps && w.installs == 0; i++) {
                    (void)world_step(&w);
                }
                lose(&w, number, (enum loss)loss);
                if (w.installs == 0) {
                    world_change(&w);
                    CHECK(world_run(&w, ENOUGH_MS));
                }
                check_clean(&w);
                check_end(&w);
            }
        }
    }
}

/* A crash between the rows and their sync: at no moment may less than the whole be staged. */
TEST(what_is_staged_survives_a_crash_at_once)
{
    unsigned staged = 0;
    for (unsigned steps = 0; steps < 70; steps++) {
        struct world w;
        uint32_t generation = 0;
        uint64_t count = 0;
        start(&w);
        w.is_install_held = true;
        world_heartbeat(&w, 2);
        for (unsigned i = 0; i < steps; i++) {
            (void)world_step(&w);
        }
        struct machine *m = machine_of(&w, 2);
        bool is_staged = snapshots_is_staged(m->snapshots, GROUP, w.index_last, 5, &generation);
        uint32_t digest = w.digests[w.index_last];
        m->replica.generation = is_staged ? generation : 0; /* as if an INSTALL named it now */
        machine_kill(&w, 2, 0);
        machine_start(&w, 2);
        CHECK(!is_staged || engine_digest(m, generation, &count) == digest);
        staged += is_staged ? 1 : 0;
        world_destroy(&w);
    }
    CHECK(staged > 3 && staged < 60);
}

/* Runs jobs of machine 2 one by one, in the order the test wants. */
static struct env_work *take_job(struct machine *m, size_t at)
{
    CHECK(at < m->env.job_count);
    struct env_work *work = m->env.jobs[at];
    m->env.job_count--;
    memmove(m->env.jobs + at, m->env.jobs + at + 1, (m->env.job_count - at) * sizeof work);
    return work;
}

/* The sync has looked at the disk before the last rows were on it, and says so after it. */
TEST(a_sync_that_began_before_the_last_rows_proves_nothing)
{
    struct world w;
    uint32_t generation = 0;
    start(&w);
    w.is_install_held = true;
    struct machine *m = machine_of(&w, 2);
    world_heartbeat(&w, 2);
    while (stats_of(&w, 1)->sending == 0 || m->snapshots == NULL || w.sent < 3) {
        CHECK(world_step(&w));
    }
    for (;;) { /* up to the last chunk, which then is a job of machine 2 */
        struct letter *letter = container_of(w.letters.next, struct letter, link);
        struct snapshot_message message;
        if (!list_is_empty(&w.letters) &&
            snapshot_message_decode(buf_bytes(&letter->bytes), &message) == STATUS_OK &&
            message.is_last) {
            break;
        }
        CHECK(world_step(&w));
    }
    while (fake_env_run(&m->env)) {
    }
    store_sync_soon(&m->store);
    store_flush(&m->store);
    struct env_work *fold = take_job(m, 0);
    fold->run(fold);
    fold->done(fold);
    struct env_work *sync = take_job(m, 0);
    sync->run(sync);
    CHECK(world_deliver(&w));
    struct env_work *write = take_job(m, 0);
    write->run(write);
    write->done(write);
    sync->done(sync);
    CHECK(!snapshots_is_staged(m->snapshots, GROUP, w.index_last, 5, &generation));
    while (fake_env_run(&m->env)) {
    }
    CHECK(!snapshots_is_staged(m->snapshots, GROUP, w.index_last, 5, &generation));
    CHECK_EQ(stats_of(&w, 2)->taking, 1u);
    w.is_install_held = false;
    CHECK(world_run(&w, 1000));
    check_end(&w);
}

/* ---- chunks by hand -------------------------------------------------------------------------- */

struct row {
    const char *key;
    const char *value; /* NULL: the row that says how far the state goes, of index 9 */
    uint64_t index;    /* of such a row; 0: 9 */
};

static struct snapshot_message hand_made(enum snapshot_type type)
{
    return (struct snapshot_message){
        .route = {.group = GROUP, .sender = replica_id_of(1, 0), .receiver = replica_id_of(2, 0)},
        .type = type,
        .session = 44,
        .base = base_at(9),
    };
}

static enum status send_chunk(struct world *w,
                              uint64_t number,
                              bool is_last,
                              const struct row *rows,
                              size_t count)
{
    struct buf out;
    struct buf value;
    struct snapshot_message m = hand_made(SNAPSHOT_CHUNK);
    m.number = number;
    m.is_last = is_last;
    buf_init(&out, PEER_MESSAGE_BYTES_MAX);
    buf_init(&value, MIB);
    snapshot_chunk_start(&out);
    for (size_t i = 0; i < count; i++) {
        uint64_t index = rows[i].index > 0 ? rows[i].index : 9;
        struct state_row row = {.base = base_at(index), .time_ms = 1, .operations = 1};
        buf_clear(&value, SIZE_MAX);
        if (rows[i].value == NULL) {
            state_row_encode(&value, &row);
        } else {
            buf_append_text(&value, rows[i].value);
        }
        snapshot_chunk_add(&out, bytes_of_text(rows[i].key), buf_bytes(&value));
    }
    snapshot_chunk_finish(&out, &m);
    enum status status = snapshots_received(machine_of(w, 2)->snapshots, 1, buf_bytes(&out));
    buf_deinit(&value);
    buf_deinit(&out);
    return status;
}

/* Throws away what machine 2 says. */
static void settle(struct world *w)
{
    struct list *item;
    world_turn(machine_of(w, 2));
    while (fake_env_run(&machine_of(w, 2)->env)) {
        world_turn(machine_of(w, 2));
    }
    while ((item = list_take_first(&w->letters)) != NULL) {
        letter_destroy(container_of(item, struct letter, link));
    }
}

static void start_by_hand(struct world *w)
{
    struct buf out;
    struct snapshot_message m = hand_made(SNAPSHOT_OFFER);
    world_create(w);
    world_start(w, 1, 0);
    buf_init(&out, 4096);
    snapshot_message_encode(&m, &out);
    CHECK_EQ(snapshots_received(machine_of(w, 2)->snapshots, 1, buf_bytes(&out)), STATUS_OK);
    buf_deinit(&out);
    settle(w);
    CHECK_EQ(stats_of(w, 2)->taking, 1u);
}

static bool is_staged(struct world *w)
{
    uint32_t generation = 0;
    return snapshots_is_staged(machine_of(w, 2)->snapshots, GROUP, 9, 5, &generation);
}

/* The transfer is over, and nothing is left of it. */
static void check_failed(struct world *w)
{
    settle(w);
    CHECK(!is_staged(w));
    CHECK_EQ(stats_of(w, 2)->taking, 0u);
    CHECK_EQ(stats_of(w, 2)->failed, 1u);
    store_fold_soon(&machine_of(w, 2)->store);
    settle(w);
    CHECK_EQ(leftovers(w, 2), 0u);
    world_destroy(w);
}

TEST(a_state_by_hand)
{
    static const struct row first[] = {{.key = "d1", .value = "x"}, {.key = "g"}};
    static const struct row second[] = {{.key = "o1", .value = ""}, {.key = "o2", .value = "y"}};
    struct world w;
    start_by_hand(&w);
    CHECK_EQ(send_chunk(&w, 0, false, first, 2), STATUS_OK);
    settle(&w);
    CHECK_EQ(send_chunk(&w, 0, false, first, 2), STATUS_OK); /* a copy */
    CHECK_EQ(send_chunk(&w, 1, true, second, 2), STATUS_OK);
    CHECK_EQ(send_chunk(&w, 1, true, second, 2), STATUS_OK);
    settle(&w);
    CHECK(is_staged(&w));
    CHECK_EQ(stats_of(&w, 2)->failed, 0u);
    world_destroy(&w);
}

TEST(rows_out_of_order)
{
    static const struct row falling[] = {{.key = "g"},
                                         {.key = "o2", .value = ""},
                                         {.key = "o1", .value = ""}};
    static const struct row equal[] = {{.key = "g"},
                                       {.key = "o2", .value = ""},
                                       {.key = "o2", .value = ""}};
    static const struct row first[] = {{.key = "g"}, {.key = "o2", .value = ""}};
    static const struct row second[] = {{.key = "o1", .value = ""}};
    struct world w;
    start_by_hand(&w);
    CHECK_EQ(send_chunk(&w, 0, true, falling, 3), STATUS_OK);
    check_failed(&w);
    start_by_hand(&w);
    CHECK_EQ(send_chunk(&w, 0, true, equal, 3), STATUS_OK);
    check_failed(&w);
    start_by_hand(&w);
    CHECK_EQ(send_chunk(&w, 0, false, first, 2), STATUS_OK);
    settle(&w);
    CHECK_EQ(send_chunk(&w, 1, true, second, 1), STATUS_OK);
    check_failed(&w);
}

TEST(chunks_out_of_order)
{
    static const struct row first[] = {{.key = "g"}};
    static const struct row second[] = {{.key = "o1", .value = ""}};
    struct world w;
    start_by_hand(&w);
    CHECK_EQ(send_chunk(&w, 1, false, first, 1), STATUS_OK); /* one was left out */
    check_failed(&w);
    start_by_hand(&w);
    CHECK_EQ(send_chunk(&w, 0, false, first, 1), STATUS_OK);
    CHECK_EQ(send_chunk(&w, 1, true, second, 1), STATUS_OK); /* not asked for yet */
    check_failed(&w);
    start_by_hand(&w);
    CHECK_EQ(send_chunk(&w, 0, true, first, 1), STATUS_OK);
    settle(&w);
    CHECK(is_staged(&w));
    CHECK_EQ(send_chunk(&w, 1, true, second, 1), STATUS_OK); /* behind the last one */
    settle(&w);
    CHECK(!is_staged(&w));
    world_destroy(&w);
}

/* The row that says how far the state goes is there, and says what was offered. */
TEST(a_state_that_is_not_the_one_offered)
{
    static const struct row none[] = {{.key = "d", .value = ""}, {.key = "o1", .value = ""}};
    static const struct row other[] = {{.key = "g", .index = 8}};
    static const struct row damaged[] = {{.key = "g", .value = "what"}};
    struct world w;
    start_by_hand(&w);
    CHECK_EQ(send_chunk(&w, 0, true, none, 2), STATUS_OK);
    CHECK_EQ(stats_of(&w, 2)->taking, 0u); /* before anything is synced */
    check_failed(&w);
    start_by_hand(&w);
    CHECK_EQ(send_chunk(&w, 0, true, other, 1), STATUS_OK);
    check_failed(&w);
    start_by_hand(&w);
    CHECK_EQ(send_chunk(&w, 0, true, damaged, 1), STATUS_OK);
    check_failed(&w);
}

TEST(a_chunk_larger_than_any)
{
    struct world w;
    start_by_hand(&w);
    char *text = mem_alloc(SNAPSHOT_CHUNK_BYTES + 1);
    memset(text, 'x', SNAPSHOT_CHUNK_BYTES);
    text[SNAPSHOT_CHUNK_BYTES] = '\0';
    const struct row rows[] = {{.key = "d", .value = text}, {.key = "g"}};
    CHECK_EQ(send_chunk(&w, 0, true, rows, 2), STATUS_MALFORMED);
    check_failed(&w);
    mem_free(text);
}

/* What is of no session, or of none any more, changes nothing; what is no message, neither. */
TEST(late_messages_and_noise)
{
    static const struct row rows[] = {{.key = "g"}};
    struct world w;
    start(&w);
    struct prng prng;
    prng_init(&prng, 7);
    for (unsigned round = 0; round < 3000; round++) {
        uint8_t noise[100];
        size_t size = prng_below(&prng, sizeof noise);
        for (size_t i = 0; i < size; i++) {
            noise[i] = (uint8_t)prng_next(&prng);
        }
        uint32_t to = 1 + round % 2;
        struct bytes bytes = bytes_of(noise, size);
        CHECK_EQ(snapshots_received(machine_of(&w, to)->snapshots, 3 - to, bytes),
                 STATUS_MALFORMED);
    }
    for (unsigned type = SNAPSHOT_PULL; type <= SNAPSHOT_ALIVE; type++) {
        for (uint32_t to = 1; to <= 2 && type != SNAPSHOT_CHUNK; to++) {
            struct buf out;
            struct snapshot_message m = hand_made((enum snapshot_type)type);
            m.route.sender = replica_id_of(3 - to, 0);
            m.route.receiver = replica_id_of(to, 0);
            buf_init(&out, 4096);
            snapshot_message_encode(&m, &out);
            CHECK_EQ(snapshots_received(machine_of(&w, to)->snapshots, 3 - to, buf_bytes(&out)),
                     STATUS_OK);
            buf_deinit(&out);
        }
    }
    CHECK_EQ(send_chunk(&w, 0, true, rows, 1), STATUS_OK);
    CHECK(list_is_empty(&w.letters));
    CHECK(world_run(&w, 1000));
    check_clean(&w);
    check_end(&w);
}
