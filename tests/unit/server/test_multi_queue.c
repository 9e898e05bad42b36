/* The buffer of commands that MULTI gathers. */
#include "base/mem.h"
#include "harness.h"
#include "server/multi_queue.h"

static enum status add(struct multi_queue *q, uint8_t database, size_t count, ...)
{
    struct bytes args[8];
    va_list list;
    va_start(list, count);
    for (size_t i = 0; i < count; i++) {
        args[i] = bytes_of_text(va_arg(list, const char *));
    }
    va_end(list);
    struct txn_command c = {command_find(args, count), args, count, database};
    return multi_queue_add(q, &c);
}

TEST(lists_what_was_added)
{
    struct multi_queue q;
    multi_queue_init(&q);
    CHECK_EQ(add(&q, 0, 3, "SET", "key", ""), STATUS_OK);
    CHECK(q.has_writes);
    CHECK_EQ(add(&q, 7, 1, "PING"), STATUS_OK);
    CHECK_EQ(add(&q, 15, 2, "GET", "another"), STATUS_OK);
    CHECK_EQ(q.count, 3u);
    CHECK_EQ(q.keyed, 2u);
    CHECK_EQ(q.arg_count, 6u);
    struct txn_command commands[3];
    struct bytes args[6];
    multi_queue_list(&q, commands, args);
    CHECK_TEXT(commands[0].command->name, "set");
    CHECK_EQ(commands[0].arg_count, 3u);
    CHECK(bytes_equal_text(commands[0].args[1], "key"));
    CHECK_EQ(commands[0].args[2].size, 0u);
    CHECK_TEXT(commands[1].command->name, "ping");
    CHECK_EQ(commands[1].database, 7u);
    CHECK(bytes_equal_text(commands[1].args[0], "PING"));
    CHECK_EQ(commands[2].database, 15u);
    CHECK(bytes_equal_text(commands[2].args[1], "another"));
    multi_queue_clear(&q);
    CHECK_EQ(q.count, 0u);
    CHECK(!q.has_writes);
    multi_queue_list(&q, commands, args);
    multi_queue_deinit(&q);
}

TEST(has_room_for_so_many_commands)
{
    struct multi_queue q;
    multi_queue_init(&q);
    for (size_t i = 0; i < LIMIT_MULTI_COMMANDS; i++) {
        CHECK_EQ(add(&q, 0, 1, "PING"), STATUS_OK);
    }
    CHECK_EQ(add(&q, 0, 1, "PING"), STATUS_TOO_LARGE);
    CHECK_EQ(q.count, LIMIT_MULTI_COMMANDS);
    multi_queue_deinit(&q);
}

TEST(has_room_for_so_many_bytes)
{
    struct multi_queue q;
    multi_queue_init(&q);
    size_t size = LIMIT_MULTI_BYTES - 64;
    uint8_t *value = mem_alloc_zero(size);
    struct bytes args[3] = {bytes_of_text("SET"), bytes_of_text("k"), bytes_of(value, size)};
    struct txn_command c = {command_find(args, 3), args, 3, 0};
    CHECK_EQ(multi_queue_add(&q, &c), STATUS_OK);
    CHECK_EQ(multi_queue_add(&q, &c), STATUS_TOO_LARGE);
    CHECK_EQ(q.count, 1u);
    CHECK_EQ(add(&q, 0, 2, "GET", "k"), STATUS_OK);
    CHECK(multi_queue_memory(&q) >= size);
    multi_queue_clear(&q);
    CHECK(multi_queue_memory(&q) < size);
    mem_free(value);
    multi_queue_deinit(&q);
}
