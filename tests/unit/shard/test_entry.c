/* The golden bytes were computed by another program from the description in docs/disk-format.md. */
#include "base/endian.h"
#include "base/mem.h"
#include "base/prng.h"
#include "harness.h"
#include "shard/entry.h"

static const char golden[] = "01020000020000000068e5cf8b0100008877665544332211"
                             "01000103050000000300000007000000090000003c000000"
                             "08070605040302010007060504030201030000006b657905"
                             "00000076616c756500000000020001020000000001000000"
                             "01000000020000002d000000030000000000000000000000"
                             "00000000010000006b";
#define FIRST_AT 24u
#define SECOND_AT 84u

static const struct entry_header header = {
    .count = 2,
    .stamp_ms = 1700000000000u,
    .seed = 0x1122334455667788,
};
static const struct entry_command first = {
    .id = 1,
    .semantics = 1,
    .resp = 3,
    .database = 5,
    .request = {.node = 7, .incarnation = 9, .sequence = 0x0102030405060708},
    .mark = 0x0102030405060700,
    .arg_count = 3,
};
static const struct entry_command second = {
    .id = 2,
    .semantics = 1,
    .resp = 2,
    .request = {.node = 1, .incarnation = 2, .sequence = 3},
    .arg_count = 1,
};

/* SET key value "" and DEL k, as they would be logged. */
static struct buf sample(void)
{
    struct buf entry;
    buf_init(&entry, 1024);
    entry_start(&entry);
    const struct bytes args[] = {bytes_of_text("key"), bytes_of_text("value"), bytes_of_text("")};
    size_t before = entry.size;
    entry_append(&entry, &first, args);
    CHECK_EQ(entry.size - before, entry_command_size(args, 3));
    const struct bytes key = bytes_of_text("k");
    entry_append(&entry, &second, &key);
    entry_finish(&entry, &header);
    return entry;
}

/*
 * Reads one command; argument bytes are touched, so that an over-read is noticed. What entry_next
 * has accepted must be readable to the end.
 */
static enum status read_command(struct entry_reader *reader, uint64_t *sum)
{
    struct entry_command c;
    enum status s = entry_next(reader, &c);
    if (s != STATUS_OK) {
        return s;
    }
    for (uint32_t a = 0; a < c.arg_count; a++) {
        struct bytes arg;
        CHECK_EQ(entry_next_arg(reader, &arg), STATUS_OK);
        for (size_t b = 0; b < arg.size; b++) {
            *sum += arg.data[b];
        }
    }
    return STATUS_OK;
}

static enum status read_all(struct bytes entry, uint64_t *sum)
{
    struct entry_reader reader;
    enum status s = entry_read(entry, &reader);
    for (uint32_t i = 0; s == STATUS_OK && i < reader.header.count; i++) {
        s = read_command(&reader, sum);
    }
    if (s == STATUS_OK && !entry_is_read(&reader)) {
        s = STATUS_CORRUPT; /* as everybody does who applies an entry */
    }
    return s;
}

static enum status read_bare(struct bytes commands, uint64_t *sum)
{
    struct entry_reader reader;
    enum status s = STATUS_OK;
    entry_reader_of(commands, &reader);
    while (s == STATUS_OK && !entry_is_read(&reader)) {
        s = read_command(&reader, sum);
    }
    return s;
}

/* The same on a block of exactly that size, so that the sanitizer sees its end. */
static enum status read_copy(struct bytes entry)
{
    uint64_t sum = 0;
    uint8_t *copy = mem_alloc(entry.size);
    memcpy(copy, entry.data, entry.size);
    enum status s = read_all(bytes_of(copy, entry.size), &sum);
    mem_free(copy);
    return s;
}

TEST(entry_golden)
{
    struct buf entry = sample();
    struct buf hex;
    buf_init(&hex, 4096);
    for (size_t i = 0; i < entry.size; i++) {
        buf_printf(&hex, "%02x", (unsigned)entry.data[i]);
    }
    CHECK_BYTES(buf_bytes(&hex), bytes_of_text(golden));
    buf_deinit(&hex);
    buf_deinit(&entry);
}

static void check_command(const struct entry_command *a, const struct entry_command *b)
{
    CHECK_EQ(a->id, b->id);
    CHECK_EQ(a->semantics, b->semantics);
    CHECK_EQ(a->resp, b->resp);
    CHECK_EQ(a->database, b->database);
    CHECK_EQ(a->request.node, b->request.node);
    CHECK_EQ(a->request.incarnation, b->request.incarnation);
    CHECK_EQ(a->request.sequence, b->request.sequence);
    CHECK_EQ(a->mark, b->mark);
    CHECK_EQ(a->arg_count, b->arg_count);
}

TEST(entry_and_back)
{
    struct buf entry = sample();
    struct entry_reader reader;
    struct entry_command c;
    struct bytes arg;
    CHECK_EQ(entry_read(buf_bytes(&entry), &reader), STATUS_OK);
    CHECK_EQ(reader.header.count, header.count);
    CHECK_EQ(reader.header.stamp_ms, header.stamp_ms);
    CHECK_EQ(reader.header.seed, header.seed);
    CHECK_EQ(entry_next(&reader, &c), STATUS_OK);
    check_command(&c, &first);
    const char *texts[] = {"key", "value", ""};
    for (size_t i = 0; i < 3; i++) {
        CHECK_EQ(entry_next_arg(&reader, &arg), STATUS_OK);
        CHECK_BYTES(arg, bytes_of_text(texts[i]));
    }
    CHECK_EQ(entry_next(&reader, &c), STATUS_OK);
    check_command(&c, &second);
    CHECK_EQ(entry_next_arg(&reader, &arg), STATUS_OK);
    CHECK_BYTES(arg, bytes_of_text("k"));
    CHECK_EQ(entry_next(&reader, &c), STATUS_CORRUPT); /* nothing is left */
    CHECK_EQ(entry_next_arg(&reader, &arg), STATUS_CORRUPT);
    buf_deinit(&entry);
}

TEST(truncated_at_every_byte)
{
    struct buf entry = sample();
    for (size_t size = 0; size < entry.size; size++) {
        CHECK_EQ(read_copy(bytes_of(entry.data, size)), STATUS_CORRUPT);
    }
    CHECK_EQ(read_copy(buf_bytes(&entry)), STATUS_OK);
    buf_deinit(&entry);
}

TEST(unknown_kind_or_version)
{
    struct buf entry = sample();
    struct entry_reader reader;
    entry.data[0] = ENTRY_KIND_EFFECTS;
    CHECK_EQ(entry_read(buf_bytes(&entry), &reader), STATUS_UNSUPPORTED);
    entry.data[0] = 0;
    CHECK_EQ(entry_read(buf_bytes(&entry), &reader), STATUS_UNSUPPORTED);
    entry.data[0] = ENTRY_KIND_COMMANDS;
    for (unsigned version = 0; version <= UINT8_MAX; version++) {
        entry.data[1] = (uint8_t)version;
        CHECK_EQ(entry_read(buf_bytes(&entry), &reader),
                 version == 2 ? STATUS_OK : STATUS_UNSUPPORTED);
    }
    buf_deinit(&entry);
}

/* Counts and sizes that lie are noticed before anything is allocated by them. */
TEST(wild_numbers)
{
    const uint32_t wild[] = {4, 0x10000000, 0x7fffffff, 0x80000000, UINT32_MAX};
    /* Commands; arguments and size of the first; bytes of its first argument. */
    const size_t places[] = {4, FIRST_AT + 8, FIRST_AT + 20, FIRST_AT + 40};
    for (size_t w = 0; w < sizeof wild / sizeof wild[0]; w++) {
        for (size_t p = 0; p < sizeof places / sizeof places[0]; p++) {
            struct buf entry = sample();
            put_u32_le(entry.data + places[p], wild[w]);
            CHECK_EQ(read_copy(buf_bytes(&entry)), STATUS_CORRUPT);
            buf_deinit(&entry);
        }
    }
}

TEST(zeros_are_zeros)
{
    struct buf entry = sample();
    const size_t zeros[] = {2, 3, FIRST_AT + 5, FIRST_AT + 6, FIRST_AT + 7, SECOND_AT + 7};
    for (size_t i = 0; i < sizeof zeros / sizeof zeros[0]; i++) {
        CHECK_EQ(entry.data[zeros[i]], 0);
        entry.data[zeros[i]] = 1;
        CHECK_EQ(read_copy(buf_bytes(&entry)), STATUS_CORRUPT);
        entry.data[zeros[i]] = 0;
    }
    CHECK_EQ(read_copy(buf_bytes(&entry)), STATUS_OK);
    buf_deinit(&entry);
}

/* The size stands for the command: shorter or longer than its arguments is no command. */
TEST(size_agrees_with_arguments)
{
    struct buf entry = sample();
    const size_t starts[] = {FIRST_AT, SECOND_AT};
    for (size_t i = 0; i < 2; i++) {
        uint8_t *field = entry.data + starts[i] + 20;
        uint32_t right = get_u32_le(field);
        for (uint32_t size = 0; size < 256; size++) {
            put_u32_le(field, size);
            CHECK_EQ(read_copy(buf_bytes(&entry)), size == right ? STATUS_OK : STATUS_CORRUPT);
        }
        put_u32_le(field, right);
        uint8_t *count = entry.data + starts[i] + 8;
        uint32_t args = get_u32_le(count);
        for (uint32_t wrong = 0; wrong < 8; wrong++) {
            put_u32_le(count, wrong);
            CHECK_EQ(read_copy(buf_bytes(&entry)), wrong == args ? STATUS_OK : STATUS_CORRUPT);
        }
        put_u32_le(count, args);
    }
    buf_deinit(&entry);
}

/* ---- commands without an entry around them --------------------------------------------------- */

TEST(bare_commands)
{
    struct buf entry = sample();
    struct bytes commands = bytes_of(entry.data + FIRST_AT, entry.size - FIRST_AT);
    struct entry_reader reader;
    struct entry_command c;
    struct bytes arg;
    entry_reader_of(commands, &reader);
    CHECK(!entry_is_read(&reader));
    CHECK_EQ(entry_next(&reader, &c), STATUS_OK);
    check_command(&c, &first);
    for (size_t i = 0; i < 3; i++) {
        CHECK_EQ(entry_next_arg(&reader, &arg), STATUS_OK);
    }
    CHECK_EQ(entry_next(&reader, &c), STATUS_OK);
    check_command(&c, &second);
    CHECK_EQ(entry_next_arg(&reader, &arg), STATUS_OK);
    CHECK_BYTES(arg, bytes_of_text("k"));
    CHECK(entry_is_read(&reader));

    for (size_t size = 0; size < commands.size; size++) {
        uint64_t sum = 0;
        uint8_t *copy = mem_alloc(size + 1);
        memcpy(copy, commands.data, size);
        bool is_whole = size == 0 || size == SECOND_AT - FIRST_AT;
        CHECK_EQ(read_bare(bytes_of(copy, size), &sum), is_whole ? STATUS_OK : STATUS_CORRUPT);
        mem_free(copy);
    }
    buf_deinit(&entry);
}

TEST(no_bare_commands)
{
    struct entry_reader reader;
    struct entry_command c;
    entry_reader_of((struct bytes){0}, &reader);
    CHECK(entry_is_read(&reader));
    CHECK_EQ(entry_next(&reader, &c), STATUS_CORRUPT);
}

/* A retry keeps its bytes; only sequence and mark are written anew. */
TEST(stamped_with_sequence_and_mark)
{
    struct buf entry = sample();
    struct buf command;
    buf_init(&command, 1024);
    buf_append(&command, entry.data + FIRST_AT, SECOND_AT - FIRST_AT);
    entry_stamp(&command, 0x1112131415161718, 0x2122232425262728);
    struct entry_command stamped = first;
    stamped.request.sequence = 0x1112131415161718;
    stamped.mark = 0x2122232425262728;
    struct entry_reader reader;
    struct entry_command c;
    entry_reader_of(buf_bytes(&command), &reader);
    CHECK_EQ(entry_next(&reader, &c), STATUS_OK);
    check_command(&c, &stamped);
    entry_stamp(&command, first.request.sequence, first.mark);
    CHECK_BYTES(buf_bytes(&command), bytes_of(entry.data + FIRST_AT, SECOND_AT - FIRST_AT));
    buf_deinit(&command);
    buf_deinit(&entry);
}

/* ---- damage ---------------------------------------------------------------------------------- */

TEST(random_damage_never_reads_beyond)
{
    struct prng prng;
    prng_init(&prng, 5);
    for (unsigned round = 0; round < 20000; round++) {
        struct buf entry = sample();
        for (uint64_t i = prng_between(&prng, 1, 4); i > 0; i--) {
            entry.data[prng_below(&prng, entry.size)] = (uint8_t)prng_next(&prng);
        }
        (void)read_copy(bytes_of(entry.data, prng_between(&prng, 1, entry.size)));
        buf_deinit(&entry);
    }
}
