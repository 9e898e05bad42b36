#include <string.h>

#include "harness.h"
#include "sim/order.h"

static struct world world;
static struct order order;

static void start(void)
{
    world_init(&world, 1, false);
    order_init(&order, &world);
}

static void finish(void)
{
    order_deinit(&order);
    world_deinit(&world);
}

static void write_rounds(unsigned count)
{
    struct buf out;
    buf_init(&out, 65536);
    for (unsigned i = 0; i < count; i++) {
        int64_t round = 0;
        CHECK(order_put_write(&order, &out, &round));
        order.pairs[order_current(&order)].is_done[round] = true;
    }
    buf_deinit(&out);
}

static void see(int64_t flag, int64_t data)
{
    struct order_sight sight = {.pair = order_current(&order), .flag = flag, .data = data};
    order_saw(&order, sight);
    order_check(&order);
}

TEST(commands_name_the_current_pair)
{
    start();
    struct buf out;
    buf_init(&out, 1024);
    int64_t round = 0;
    order_next_pair(&order);
    CHECK(order_put_write(&order, &out, &round));
    CHECK_EQ(round, 1);
    const char *expected = "*3\r\n$3\r\nSET\r\n$6\r\ndata:1\r\n$1\r\n1\r\n"
                           "*3\r\n$3\r\nSET\r\n$6\r\nflag:1\r\n$1\r\n1\r\n";
    CHECK_BYTES(buf_bytes(&out), bytes_of_text(expected));
    buf_clear(&out, 0);
    order_put_read(&order, &out);
    expected = "*2\r\n$3\r\nGET\r\n$6\r\nflag:1\r\n*2\r\n$3\r\nGET\r\n$6\r\ndata:1\r\n";
    CHECK_BYTES(buf_bytes(&out), bytes_of_text(expected));
    buf_deinit(&out);
    finish();
}

TEST(a_pair_is_full_some_time)
{
    start();
    write_rounds(ORDER_ROUNDS_MAX);
    struct buf out;
    buf_init(&out, 1024);
    int64_t round = 0;
    CHECK(!order_put_write(&order, &out, &round));
    CHECK_EQ(out.size, 0u);
    buf_deinit(&out);
    finish();
}

TEST(data_first_is_right)
{
    start();
    write_rounds(3);
    see(0, 0);
    see(0, 1);
    see(2, 2);
    see(1, 3);
    CHECK(!world.is_failed);
    finish();
}

TEST(flag_first_is_wrong)
{
    start();
    write_rounds(3);
    see(2, 1);
    CHECK(world.is_failed);
    CHECK(strstr(world.failure, "flag 2") != NULL);
    finish();
}

TEST(a_refused_write_excuses_what_follows)
{
    start();
    write_rounds(3);
    order.pairs[0].is_done[2] = false;
    see(2, 1);
    see(3, 1);
    CHECK(!world.is_failed);
    see(1, 0);
    CHECK(world.is_failed);
    finish();
}

TEST(nobody_sees_what_was_not_sent)
{
    start();
    write_rounds(1);
    see(2, 2);
    CHECK(world.is_failed);
    finish();
}
