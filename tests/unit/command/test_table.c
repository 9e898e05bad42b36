/* The command table, and the checks every command passes. Texts as Redis 7.0.15 writes them. */
#include "fake_view.h"

#define ARITY(name) "-ERR wrong number of arguments for '" name "' command\r\n"
#define UNKNOWN "-ERR unknown command "

static const struct command *find(const char *name)
{
    struct bytes arg = bytes_of_text(name);
    return command_find(&arg, 1);
}

TEST(table_is_consistent)
{
    command_table_check();
}

/* Numbers and versions are on disk and on the wire: they only grow. */
TEST(numbers_golden)
{
    static const struct {
        uint16_t id;
        const char *name;
        uint8_t semantics;
        unsigned flag;
        enum command_policy policy;
        enum command_merge merge;
    } golden[] = {
        {1, "set", 1, COMMAND_WRITE, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {2, "del", 1, COMMAND_WRITE, COMMAND_SPLIT_BY_KEY, COMMAND_MERGE_SUM},
        {3, "incr", 1, COMMAND_WRITE, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {4, "expiredue", 2, COMMAND_WRITE, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {5, "get", 1, COMMAND_READ, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {6, "exists", 1, COMMAND_READ, COMMAND_SPLIT_BY_KEY, COMMAND_MERGE_SUM},
        {7, "mget", 1, COMMAND_READ, COMMAND_SPLIT_BY_KEY, COMMAND_MERGE_ARRAY},
        {8, "strlen", 1, COMMAND_READ, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {9, "getrange", 1, COMMAND_READ, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {10, "substr", 1, COMMAND_READ, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {11, "getbit", 1, COMMAND_READ, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {12, "bitcount", 1, COMMAND_READ, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {13, "bitpos", 1, COMMAND_READ, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {14, "bitfield_ro", 1, COMMAND_READ, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {15, "lcs", 1, COMMAND_READ, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {16, "append", 1, COMMAND_WRITE, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {17, "decr", 1, COMMAND_WRITE, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {18, "incrby", 1, COMMAND_WRITE, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {19, "decrby", 1, COMMAND_WRITE, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {20, "incrbyfloat", 1, COMMAND_WRITE, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {21, "getdel", 1, COMMAND_WRITE, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {22, "getex", 1, COMMAND_WRITE, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {23, "getset", 1, COMMAND_WRITE, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {24, "mset", 1, COMMAND_WRITE, COMMAND_SPLIT_BY_KEY, COMMAND_MERGE_OK},
        {25, "msetnx", 1, COMMAND_WRITE, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {26, "setex", 1, COMMAND_WRITE, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {27, "psetex", 1, COMMAND_WRITE, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {28, "setnx", 1, COMMAND_WRITE, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {29, "setrange", 1, COMMAND_WRITE, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {30, "setbit", 1, COMMAND_WRITE, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {31, "bitop", 1, COMMAND_WRITE, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {32, "bitfield", 1, COMMAND_WRITE, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {33, "unlink", 1, COMMAND_WRITE, COMMAND_SPLIT_BY_KEY, COMMAND_MERGE_SUM},
        {34, "touch", 1, COMMAND_READ, COMMAND_SPLIT_BY_KEY, COMMAND_MERGE_SUM},
        {35, "type", 1, COMMAND_READ, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {36, "rename", 1, COMMAND_WRITE, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {37, "renamenx", 1, COMMAND_WRITE, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {38, "copy", 1, COMMAND_WRITE, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {39, "move", 1, COMMAND_WRITE, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {40, "dump", 1, COMMAND_READ, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {41, "restore", 1, COMMAND_WRITE, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {42, "expire", 1, COMMAND_WRITE, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {43, "pexpire", 1, COMMAND_WRITE, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {44, "expireat", 1, COMMAND_WRITE, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {45, "pexpireat", 1, COMMAND_WRITE, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {46, "persist", 1, COMMAND_WRITE, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {47, "ttl", 1, COMMAND_READ, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {48, "pttl", 1, COMMAND_READ, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {49, "expiretime", 1, COMMAND_READ, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {50, "pexpiretime", 1, COMMAND_READ, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {51, "encoding", 1, COMMAND_READ, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {52, "freq", 1, COMMAND_READ, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {53, "idletime", 1, COMMAND_READ, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {54, "refcount", 1, COMMAND_READ, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {55, "usage", 1, COMMAND_READ, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {56, "scan", 1, COMMAND_READ, COMMAND_BY_CURSOR, COMMAND_MERGE_FIRST},
        {57, "dbsize", 1, COMMAND_READ, COMMAND_ALL_GROUPS, COMMAND_MERGE_SUM},
        {58, "flushdb", 1, COMMAND_WRITE, COMMAND_ALL_GROUPS, COMMAND_MERGE_OK},
        {59, "flushall", 1, COMMAND_WRITE, COMMAND_ALL_GROUPS, COMMAND_MERGE_OK},
        {60, "exec1", 1, COMMAND_WRITE, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {61, "execread", 1, COMMAND_READ, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {62, "versions", 1, COMMAND_READ, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {63, "rows", 1, COMMAND_READ, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {64, "txnprepare", 1, COMMAND_WRITE, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {65, "txncheck", 1, COMMAND_WRITE, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {66, "txncommit", 1, COMMAND_WRITE, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {67, "txnabort", 1, COMMAND_WRITE, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {68, "txnmark", 1, COMMAND_WRITE, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {69, "txnclose", 1, COMMAND_WRITE, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
        {70, "txnend", 1, COMMAND_WRITE, COMMAND_ONE_SHARD, COMMAND_MERGE_FIRST},
    };

    for (size_t i = 0; i < sizeof golden / sizeof golden[0]; i++) {
        const struct command *c = command_by_id(golden[i].id);
        CHECK(c != NULL);
        CHECK_TEXT(c->name, golden[i].name);
        CHECK_EQ(c->semantics, golden[i].semantics);
        CHECK_EQ(c->flags & (COMMAND_READ | COMMAND_WRITE), golden[i].flag);
        CHECK_EQ(c->policy, golden[i].policy);
        CHECK_EQ(c->merge, golden[i].merge);
    }
    CHECK(command_by_id(0) == NULL);
    CHECK(command_by_id(COMMAND_ID_COUNT) == NULL);
    CHECK(command_by_id(UINT16_MAX) == NULL);
}

TEST(names_in_any_case)
{
    CHECK_TEXT(find("GeT")->name, "get");
    CHECK_TEXT(find("get")->name, "get");
    CHECK(find("ge") == NULL);
    CHECK(find("gett") == NULL);
    CHECK(find("") == NULL);
    CHECK(find("expiredue") == NULL); /* internal */
    CHECK(command_find((struct bytes[]){bytes_of("get\0", 4)}, 1) == NULL);
    struct bytes words[] = {bytes_of_text("CLIENT"), bytes_of_text("SetName")};
    CHECK_TEXT(command_find(words, 2)->name, "setname");
}

TEST(arity_texts)
{
    static const struct {
        const char *command;
        const char *reply;
    } cases[] = {
        {"GET", ARITY("get")},
        {"GeT a b", ARITY("get")},
        {"SET a", ARITY("set")},
        {"INCR a b", ARITY("incr")},
        {"DEL", ARITY("del")},
        {"EXISTS", ARITY("exists")},
        {"MGET", ARITY("mget")},
        {"ECHO", ARITY("echo")},
        {"SELECT", ARITY("select")},
        {"CLIENT", ARITY("client")},
        {"CLIENT SETNAME", ARITY("client|setname")},
        {"CLIENT ID x", ARITY("client|id")},
        {"COMMAND COUNT x", ARITY("command|count")},
        {"CLIENT nosuch", "-ERR unknown subcommand 'nosuch'. Try CLIENT HELP.\r\n"},
        {"COMMAND nosuch", "-ERR unknown subcommand 'nosuch'. Try COMMAND HELP.\r\n"},
        {"nosuch", UNKNOWN "'nosuch', with args beginning with: \r\n"},
        {"NoSuch a b", UNKNOWN "'NoSuch', with args beginning with: 'a' 'b' \r\n"},
        {"expiredue a", UNKNOWN "'expiredue', with args beginning with: 'a' \r\n"},
        {"n a\r\nb", UNKNOWN "'n', with args beginning with: 'a  b' \r\n"},
    };
    struct fake_view f;
    fake_view_init(&f);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CHECK_TEXT(run(&f, cases[i].command), cases[i].reply);
    }
    CHECK_EQ(f.changes, 0u);
}

/* Names and arguments are cut, so that an error never echoes megabytes. */
TEST(long_unknown_commands_are_cut)
{
    char name[300];
    char expected[400];
    memset(name, 'x', sizeof name);
    struct bytes args[] = {bytes_of(name, sizeof name),
                           bytes_of(name, 100),
                           bytes_of(name, 100),
                           bytes_of(name, 1)};
    struct buf reply;
    buf_init(&reply, 4096);
    CHECK(command_resolve(args, 4, &reply) == NULL);
    (void)snprintf(expected,
                   sizeof expected,
                   UNKNOWN "'%.128s', with args beginning with: '%.100s' '%.25s' \r\n",
                   name,
                   name,
                   name);
    CHECK_BYTES(buf_bytes(&reply), bytes_of_text(expected));
    buf_deinit(&reply);
}

/* Redis shows them as C strings. */
TEST(names_end_at_a_zero_byte)
{
    struct buf reply;
    buf_init(&reply, 4096);
    struct bytes args[] = {bytes_of("fo\0o", 4), bytes_of("a\0b", 3), bytes_of("", 0)};
    CHECK(command_resolve(args, 3, &reply) == NULL);
    CHECK_BYTES(buf_bytes(&reply),
                bytes_of_text(UNKNOWN "'fo', with args beginning with: 'a' '' \r\n"));
    buf_clear(&reply, 4096);
    args[0] = bytes_of_text("client");
    CHECK(command_resolve(args, 2, &reply) == NULL);
    CHECK_BYTES(buf_bytes(&reply),
                bytes_of_text("-ERR unknown subcommand 'a'. Try CLIENT HELP.\r\n"));
    buf_deinit(&reply);
}

static void check_keys(const char *name, size_t arg_count, size_t first, size_t count)
{
    const struct command *c = find(name);
    CHECK_EQ(command_key_count(c, arg_count), count);
    for (size_t i = 0; i < count; i++) {
        CHECK_EQ(command_key_at(c, arg_count, i), first + i);
    }
}

TEST(keys_of_commands)
{
    check_keys("get", 2, 1, 1);
    check_keys("set", 3, 1, 1);
    check_keys("set", 6, 1, 1);
    check_keys("del", 2, 1, 1);
    check_keys("del", 5, 1, 4);
    check_keys("exists", 9, 1, 8);
    check_keys("mget", 4, 1, 3);
    check_keys("del", 1, 1, 0);
    check_keys("ping", 1, 0, 0);
    check_keys("ping", 2, 0, 0);
}

TEST(keys_of_other_shapes)
{
    const struct command pairs = {.keys = {.first = 1, .last = -1, .step = 2}};
    CHECK_EQ(command_key_count(&pairs, 5), 2u); /* MSET a 1 b 2 */
    CHECK_EQ(command_key_at(&pairs, 5, 0), 1u);
    CHECK_EQ(command_key_at(&pairs, 5, 1), 3u);
    const struct command but_last = {.keys = {.first = 1, .last = -2, .step = 1}};
    CHECK_EQ(command_key_count(&but_last, 4), 2u); /* BLPOP a b 0 */
    const struct command two = {.keys = {.first = 1, .last = 2, .step = 1}};
    CHECK_EQ(command_key_count(&two, 3), 2u); /* RENAME a b */
}

/* One beyond each limit is refused, the limit itself is not. */
TEST(key_limits)
{
    static struct bytes args[LIMIT_COMMAND_KEYS + 2];
    static uint8_t key[LIMIT_KEY_BYTES + 1];
    struct buf reply;
    buf_init(&reply, 4096);
    args[0] = bytes_of_text("get");
    args[1] = bytes_of(key, LIMIT_KEY_BYTES);
    CHECK(command_resolve(args, 2, &reply) != NULL);
    args[1] = bytes_of(key, LIMIT_KEY_BYTES + 1);
    CHECK(command_resolve(args, 2, &reply) == NULL);
    CHECK_BYTES(buf_bytes(&reply), bytes_of_text("-ERR key is longer than 65536 bytes\r\n"));
    args[0] = bytes_of_text("set");
    args[1] = bytes_of_text("k");
    args[2] = bytes_of(key, LIMIT_KEY_BYTES + 1); /* a value may be */
    CHECK(command_resolve(args, 3, &reply) != NULL);

    args[0] = bytes_of_text("exists");
    for (size_t i = 1; i < LIMIT_COMMAND_KEYS + 2; i++) {
        args[i] = bytes_of(key, 1);
    }
    buf_clear(&reply, 0);
    CHECK(command_resolve(args, LIMIT_COMMAND_KEYS + 1, &reply) != NULL);
    CHECK(command_resolve(args, LIMIT_COMMAND_KEYS + 2, &reply) == NULL);
    CHECK_BYTES(buf_bytes(&reply), bytes_of_text("-ERR more than 65536 keys in one command\r\n"));
    buf_deinit(&reply);
}

static void count_visit(void *ctx, const struct command *command)
{
    CHECK((command->flags & COMMAND_INTERNAL) == 0);
    (*(size_t *)ctx)++;
}

TEST(visits_and_arity)
{
    size_t count = 0;
    command_each(count_visit, &count);
    CHECK_EQ(count, command_count());
    CHECK_EQ(command_arity(find("get")), 2);
    CHECK_EQ(command_arity(find("set")), -3);
    CHECK_EQ(command_arity(find("ping")), -1);
}
