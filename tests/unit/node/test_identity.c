#include "base/assert.h"
#include "base/crc.h"
#include "fake_env.h"
#include "harness.h"
#include "node/identity.h"
#include "node/version.h"

#define DIR "d"
#define PATH DIR "/node"

static const char golden[] = "dougong 3\n"
                             "node 000102030405060708090a0b0c0d0e0f\n"
                             "number 2\n"
                             "founders a:17379,b:17379,c:17379\n"
                             "groups 16\n"
                             "formed 1\n"
                             "cluster f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff\n"
                             "member 10101010101010101010101010101010\n"
                             "member 000102030405060708090a0b0c0d0e0f\n"
                             "member 30303030303030303030303030303030\n"
                             "incarnation 4294967295\n"
                             "life 7\n"
                             "log 1\n"
                             "checksum f5973f6e\n";

/* What versions before the first rebuild have written. */
static const char golden_without_life[] = "dougong 2\n"
                                          "node 000102030405060708090a0b0c0d0e0f\n"
                                          "number 2\n"
                                          "founders a:17379,b:17379,c:17379\n"
                                          "groups 16\n"
                                          "formed 1\n"
                                          "cluster f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff\n"
                                          "member 10101010101010101010101010101010\n"
                                          "member 000102030405060708090a0b0c0d0e0f\n"
                                          "member 30303030303030303030303030303030\n"
                                          "incarnation 4294967295\n"
                                          "log 1\n"
                                          "checksum fedc1867\n";

static struct fake_env env;
static struct error error;

static struct identity sample(void)
{
    struct identity i = {
        .number = 2,
        .founders = "a:17379,b:17379,c:17379",
        .groups = 16,
        .is_formed = true,
        .incarnation = UINT32_MAX,
        .life = 7,
        .has_log = true,
    };
    for (uint8_t b = 0; b < IDENTITY_ID_BYTES; b++) {
        i.node[b] = b;
        i.cluster[b] = (uint8_t)(0xf0 + b);
    }
    memset(i.members[0], 0x10, IDENTITY_ID_BYTES);
    memcpy(i.members[1], i.node, IDENTITY_ID_BYTES);
    memset(i.members[2], 0x30, IDENTITY_ID_BYTES);
    return i;
}

static void check_same(const struct identity *a, const struct identity *b)
{
    CHECK_BYTES(bytes_of(a->node, IDENTITY_ID_BYTES), bytes_of(b->node, IDENTITY_ID_BYTES));
    CHECK_EQ(a->number, b->number);
    CHECK_TEXT(a->founders, b->founders);
    CHECK_EQ(a->groups, b->groups);
    CHECK_EQ(a->is_formed, b->is_formed);
    CHECK_BYTES(bytes_of(a->cluster, IDENTITY_ID_BYTES), bytes_of(b->cluster, IDENTITY_ID_BYTES));
    CHECK_BYTES(bytes_of(a->members, sizeof(a->members)), bytes_of(b->members, sizeof(b->members)));
    CHECK_EQ(a->incarnation, b->incarnation);
    CHECK_EQ(a->life, b->life);
    CHECK_EQ(a->has_log, b->has_log);
}

static enum status store(const struct identity *identity)
{
    return identity_store(&env.base, DIR, identity, &error);
}

static enum status load(struct identity *out_identity)
{
    error = (struct error){0};
    return identity_load(&env.base, DIR, out_identity, &error);
}

static struct buf *file(void)
{
    return &fake_env_file(&env, PATH)->bytes;
}

TEST(golden_and_back)
{
    struct identity in = sample();
    struct identity out = {0};
    fake_env_init(&env);
    CHECK_EQ(load(&out), STATUS_NOT_FOUND);
    CHECK_EQ(store(&in), STATUS_OK);
    CHECK_BYTES(buf_bytes(file()), bytes_of_text(golden));
    CHECK_EQ(load(&out), STATUS_OK);
    check_same(&in, &out);

    in = (struct identity){.number = 1, .incarnation = 1};
    CHECK_EQ(store(&in), STATUS_OK);
    CHECK_EQ(load(&out), STATUS_OK);
    check_same(&in, &out);
    fake_env_deinit(&env);
}

/* It is read as the first life, and becomes today's format with the next store. */
TEST(format_without_life)
{
    struct identity in = sample();
    struct identity out = {0};
    fake_env_init(&env);
    in.life = 0;
    CHECK_EQ(store(&in), STATUS_OK);
    buf_clear(file(), SIZE_MAX);
    buf_append_text(file(), golden_without_life);
    CHECK_EQ(load(&out), STATUS_OK);
    check_same(&in, &out);
    CHECK_EQ(store(&out), STATUS_OK);
    CHECK(memcmp(file()->data, "dougong 3\n", 10) == 0);
    out = (struct identity){0};
    CHECK_EQ(load(&out), STATUS_OK);
    check_same(&in, &out);
    /* With a life in it, it is no file of that format. */
    buf_clear(file(), SIZE_MAX);
    buf_append_text(file(), golden);
    file()->data[strlen("dougong ")] = '2';
    CHECK_EQ(load(&out), STATUS_CORRUPT);
    fake_env_deinit(&env);
}

/* As many and as long addresses as there may be, nobody heard yet. */
TEST(largest)
{
    struct identity in = sample();
    struct identity out = {0};
    fake_env_init(&env);
    memset(in.founders, 'x', IDENTITY_LIST_BYTES_MAX);
    for (size_t i = 1; i < IDENTITY_FOUNDERS_MAX; i++) {
        in.founders[i * (IDENTITY_ADDRESS_BYTES_MAX + 1) - 1] = ',';
    }
    CHECK_EQ(identity_founder_count(&in), IDENTITY_FOUNDERS_MAX);
    in.number = IDENTITY_FOUNDERS_MAX;
    in.is_formed = false;
    memset(in.cluster, 0, sizeof(in.cluster));
    memset(in.members, 0, sizeof(in.members));
    memcpy(in.members[IDENTITY_FOUNDERS_MAX - 1], in.node, IDENTITY_ID_BYTES);
    CHECK_EQ(store(&in), STATUS_OK);
    CHECK_EQ(load(&out), STATUS_OK);
    check_same(&in, &out);
    fake_env_deinit(&env);
}

/* Good checksums over what nobody writes. */
TEST(contradictions)
{
    static const struct {
        const char *from;
        const char *to;
    } edits[] = {
        {"number 2", "number 1"},
        {"number 2", "number 4"},
        {"number 2", "number 0"},
        {"formed 1", "formed 0"},
        {"formed 1", "formed 2"},
        {"member 30303030303030303030303030303030", "member 00000000000000000000000000000000"},
        {"cluster f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff", "cluster 00000000000000000000000000000000"},
        {"founders a:17379,b:17379,c:17379", "founders a:17379,b:17379,c,17379"},
        {"founders a:17379,b:17379,c:17379", "founders ,,,,,,,,,,,,,,,,,,,,,,,"},
        {"groups 16", "groups 06"},
        {"life 7", "life +"},
        {"dougong 3", "dougong 2"},
    };
    for (size_t i = 0; i < sizeof(edits) / sizeof(edits[0]); i++) {
        struct identity in = sample();
        struct identity out = {0};
        fake_env_init(&env);
        CHECK_EQ(store(&in), STATUS_OK);
        size_t size = strlen(edits[i].from);
        uint8_t *at = memmem(file()->data, file()->size, edits[i].from, size);
        ensure(at != NULL);
        memcpy(at, edits[i].to, size);
        size_t body = file()->size - strlen("checksum 00000000\n");
        file()->size = body;
        buf_printf(file(), "checksum %08x\n", (unsigned)crc32c(0, file()->data, body));
        CHECK_EQ(load(&out), STATUS_CORRUPT);
        fake_env_deinit(&env);
    }
}

/* The old file stands until the new one, synced, takes its name at once. */
TEST(replacement_order)
{
    struct identity in = sample();
    fake_env_init(&env);
    CHECK_EQ(store(&in), STATUS_OK);
    const char *order = "create node.new\n"
                        "write node.new 0 324\n"
                        "sync node.new\n"
                        "rename node.new node\n"
                        "dir_sync d\n";
    CHECK_TEXT(fake_env_events(&env), order);
    fake_env_forget(&env);
    CHECK_EQ(store(&in), STATUS_OK);
    CHECK_TEXT(fake_env_events(&env), order);
    CHECK_EQ(env.file_count, 1u);
    fake_env_deinit(&env);
}

/* Whatever call fails, the old or the new identity is there, and the next store works. */
TEST(failing_disk_leaves_one_of_two)
{
    for (uint64_t call = 1; call <= 6; call++) {
        struct identity old = sample();
        struct identity new = sample();
        struct identity out = {0};
        new.incarnation = 7;
        fake_env_init(&env);
        CHECK_EQ(store(&old), STATUS_OK);
        env.fail_at = env.operations + call;
        CHECK_EQ(store(&new), STATUS_IO);
        CHECK(error.text[0] != '\0');
        CHECK_EQ(load(&out), STATUS_OK);
        check_same(&out, call == 6 ? &new : &old);
        CHECK_EQ(store(&new), STATUS_OK);
        CHECK_EQ(load(&out), STATUS_OK);
        check_same(&out, &new);
        fake_env_deinit(&env);
    }
}

TEST(full_disk_leaves_the_old_one)
{
    struct identity old = sample();
    struct identity new = sample();
    struct identity out = {0};
    new.incarnation = 7;
    fake_env_init(&env);
    CHECK_EQ(store(&old), STATUS_OK);
    env.space = fake_env_file(&env, PATH)->bytes.size + 10;
    CHECK_EQ(store(&new), STATUS_NO_SPACE);
    CHECK_TEXT(error.text, PATH ": cannot write: no space left on the disk");
    CHECK_EQ(load(&out), STATUS_OK);
    check_same(&out, &old);
    env.space = 0;
    CHECK_EQ(store(&new), STATUS_OK);
    CHECK_EQ(load(&out), STATUS_OK);
    check_same(&out, &new);
    fake_env_deinit(&env);
}

TEST(failing_read)
{
    struct identity in = sample();
    struct identity out = {0};
    fake_env_init(&env);
    CHECK_EQ(store(&in), STATUS_OK);
    for (uint64_t call = 1; call <= 2; call++) {
        env.fail_at = env.operations + call;
        CHECK_EQ(load(&out), STATUS_IO);
    }
    fake_env_deinit(&env);
}

/*
 * A flipped bit is noticed, or changes nothing of what is read: the case of a letter in the
 * checksum, or a zero in front of it.
 */
TEST(every_bit_is_noticed)
{
    struct identity in = sample();
    fake_env_init(&env);
    CHECK_EQ(store(&in), STATUS_OK);
    size_t body = file()->size - 1; /* nobody needs the last line end */
    for (size_t bit = 0; bit < 8 * body; bit++) {
        struct identity out = {.incarnation = 42};
        file()->data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        enum status s = load(&out);
        if (s == STATUS_OK) {
            CHECK(bit / 8 >= body - 9);
            check_same(&in, &out);
        } else {
            CHECK(s == STATUS_CORRUPT || s == STATUS_UNSUPPORTED);
            CHECK_EQ(out.incarnation, 42u);
            CHECK(strstr(error.text, PATH) != NULL);
        }
        file()->data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    fake_env_deinit(&env);
}

TEST(truncated_or_empty)
{
    struct identity in = sample();
    fake_env_init(&env);
    CHECK_EQ(store(&in), STATUS_OK);
    size_t whole = file()->size;
    for (size_t size = 0; size + 1 < whole; size++) {
        struct identity out = {0};
        file()->size = size;
        CHECK_EQ(load(&out), STATUS_CORRUPT);
    }
    fake_env_deinit(&env);
}

/* Formats that were, or do not exist yet. */
TEST(other_formats)
{
    struct identity in = sample();
    struct identity out = {0};
    fake_env_init(&env);
    CHECK_EQ(store(&in), STATUS_OK);
    struct buf *text = file();
    text->data[strlen("dougong ")] = '4';
    CHECK_EQ(load(&out), STATUS_UNSUPPORTED);
    CHECK(strstr(error.text, "newer version; upgrade") != NULL);
    text->data[strlen("dougong ")] = '1';
    CHECK_EQ(load(&out), STATUS_UNSUPPORTED);
    CHECK(strstr(error.text, "older version") != NULL);
    fake_env_deinit(&env);
}

/* meson.build hands its version to the tests. */
TEST(one_version)
{
    CHECK_TEXT(DOUGONG_VERSION, MESON_VERSION);
}
