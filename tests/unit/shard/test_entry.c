/* The golden bytes were computed by another program from the description in docs/disk-format.md. */
#include "base/endian.h"
#include "base/mem.h"
#include "base/prng.h"
#include "harness.h"
#include "shard/entry.h"

static const char golden[] = "01010000020000000068e5cf8b0100008877665544332211"
                             "010001030500000003000000070000000900000000000000"
                             "0807060504030201030000006b65790500000076616c7565"
                             "000000000200010200000000010000000100000002000000"
                             "000000000300000000000000010000006b";

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

/* Reads all of an entry; argument bytes are touched, so that an over-read is noticed. */
static enum status read_all(struct bytes entry, uint64_t *out_sum)
{
    struct entry_reader reader;
    enum status s = entry_read(entry, &reader);
    for (uint32_t i = 0; s == STATUS_OK && i < reader.header.count; i++) {
        struct entry_command c;
        s = entry_next(&reader, &c);
        for (uint32_t a = 0; s == STATUS_OK && a < c.arg_count; a++) {
            struct bytes arg;
            s = entry_next_arg(&reader, &arg);
            for (size_t b = 0; s == STATUS_OK && b < arg.size; b++) {
                *out_sum += arg.data[b];
            }
        }
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
    entry.data[1]++;
    CHECK_EQ(entry_read(buf_bytes(&entry), &reader), STATUS_UNSUPPORTED);
    buf_deinit(&entry);
}

/* Counts and sizes that lie are noticed before anything is allocated by them. */
TEST(wild_numbers)
{
    const uint32_t wild[] = {4, 0x10000000, 0x7fffffff, 0x80000000, UINT32_MAX};
    const size_t places[] = {4, 24 + 8, 24 + 32}; /* commands, arguments, bytes of the first */
    for (size_t w = 0; w < sizeof wild / sizeof wild[0]; w++) {
        for (size_t p = 0; p < sizeof places / sizeof places[0]; p++) {
            struct buf entry = sample();
            put_u32_le(entry.data + places[p], wild[w]);
            CHECK_EQ(read_copy(buf_bytes(&entry)), STATUS_CORRUPT);
            buf_deinit(&entry);
        }
    }
}

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
