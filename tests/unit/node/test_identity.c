#include "fake_env.h"
#include "harness.h"
#include "node/identity.h"
#include "node/version.h"

#define DIR "d"
#define PATH DIR "/node"

static const char golden[] = "dougong 1\n"
                             "node 000102030405060708090a0b0c0d0e0f\n"
                             "cluster f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff\n"
                             "incarnation 4294967295\n"
                             "log 1\n"
                             "checksum 62dc69bf\n";

static struct fake_env env;
static struct error error;

static struct identity sample(void)
{
    struct identity i = {.incarnation = UINT32_MAX, .has_log = true};
    for (uint8_t b = 0; b < IDENTITY_ID_BYTES; b++) {
        i.node[b] = b;
        i.cluster[b] = (uint8_t)(0xf0 + b);
    }
    return i;
}

static void check_same(const struct identity *a, const struct identity *b)
{
    CHECK_BYTES(bytes_of(a->node, IDENTITY_ID_BYTES), bytes_of(b->node, IDENTITY_ID_BYTES));
    CHECK_BYTES(bytes_of(a->cluster, IDENTITY_ID_BYTES), bytes_of(b->cluster, IDENTITY_ID_BYTES));
    CHECK_EQ(a->incarnation, b->incarnation);
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

    in = (struct identity){.incarnation = 1};
    CHECK_EQ(store(&in), STATUS_OK);
    CHECK_EQ(load(&out), STATUS_OK);
    check_same(&in, &out);
    fake_env_deinit(&env);
}

/* The old file stands until the new one, synced, takes its name at once. */
TEST(replacement_order)
{
    struct identity in = sample();
    fake_env_init(&env);
    CHECK_EQ(store(&in), STATUS_OK);
    const char *order = "create node.new\n"
                        "write node.new 0 136\n"
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

/* A whole file of a format that does not exist yet. */
TEST(newer_format)
{
    struct identity in = sample();
    struct identity out = {0};
    fake_env_init(&env);
    CHECK_EQ(store(&in), STATUS_OK);
    struct buf *text = file();
    text->data[strlen("dougong ")] = '2';
    CHECK_EQ(load(&out), STATUS_UNSUPPORTED);
    CHECK(strstr(error.text, "upgrade") != NULL);
    fake_env_deinit(&env);
}

/* meson.build hands its version to the tests. */
TEST(one_version)
{
    CHECK_TEXT(DOUGONG_VERSION, MESON_VERSION);
}
