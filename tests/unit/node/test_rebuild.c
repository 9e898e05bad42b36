#include <stdio.h>

#include "fake_env.h"
#include "harness.h"
#include "node/identity.h"
#include "node/node.h"

#define DIR "d"

static struct fake_env env;
static struct error error;

static void put_file(const char *path)
{
    struct env_file *file = NULL;
    CHECK_EQ(env_file_open(&env.base, path, ENV_OPEN_CREATE, &file), STATUS_OK);
    CHECK_EQ(env_file_write(&env.base, file, 0, bytes_of_text(path)), STATUS_OK);
    env_file_close(&env.base, file);
}

static bool has_file(const char *path)
{
    return fake_env_file(&env, path) != NULL;
}

static struct identity load(void)
{
    struct identity out = {0};
    CHECK_EQ(identity_load(&env.base, DIR, &out, &error), STATUS_OK);
    return out;
}

static struct identity founder(const char *founders, bool is_formed)
{
    struct identity i = {
        .number = 1,
        .groups = 16,
        .is_formed = is_formed,
        .incarnation = 5,
        .life = 3,
        .has_log = true,
    };
    (void)snprintf(i.founders, sizeof i.founders, "%s", founders);
    for (uint32_t m = 0; m < IDENTITY_FOUNDERS_MAX; m++) {
        uint8_t fill = m < identity_founder_count(&i) ? (uint8_t)(m + 1) : 0;
        memset(i.members[m], fill, IDENTITY_ID_BYTES);
    }
    memset(i.node, 1, sizeof i.node);
    memset(i.cluster, is_formed ? 9 : 0, sizeof i.cluster);
    return i;
}

static void begin(const struct identity *identity)
{
    fake_env_init(&env);
    CHECK_EQ(identity_store(&env.base, DIR, identity, &error), STATUS_OK);
    put_file(DIR "/log/0001.log");
    put_file(DIR "/log/0002.log");
    put_file(DIR "/store/CURRENT");
    fake_env_forget(&env);
}

/* The log goes first and the new life comes last, each durable before the next. */
TEST(order)
{
    struct identity in = founder("a:1,b:1,c:1", true);
    begin(&in);
    CHECK_EQ(node_rebuild(&env.base, DIR, &error), STATUS_OK);
    CHECK_TEXT(fake_env_events(&env),
               "dir_sync d\n"
               "rename log log\n"
               "dir_sync damaged.1\n"
               "dir_sync d\n"
               "rename store store\n"
               "dir_sync damaged.1\n"
               "dir_sync d\n"
               "create node.new\n"
               "write node.new 0 303\n"
               "sync node.new\n"
               "rename node.new node\n"
               "dir_sync d\n");
    struct identity out = load();
    CHECK_EQ(out.life, 4u);
    CHECK_EQ(out.has_log, false);
    CHECK_EQ(out.incarnation, 5u); /* never repeats */
    CHECK_EQ(out.is_formed, true);
    CHECK(has_file(DIR "/damaged.1/log/0001.log"));
    CHECK(has_file(DIR "/damaged.1/log/0002.log"));
    CHECK(has_file(DIR "/damaged.1/store/CURRENT"));
    CHECK_EQ(env.file_count, 4u);
    fake_env_deinit(&env);
}

/* What was moved aside before stays there. */
TEST(again)
{
    struct identity in = founder("a:1,b:1,c:1", true);
    begin(&in);
    CHECK_EQ(node_rebuild(&env.base, DIR, &error), STATUS_OK);
    put_file(DIR "/log/0001.log");
    CHECK_EQ(node_rebuild(&env.base, DIR, &error), STATUS_OK);
    CHECK_EQ(load().life, 5u);
    CHECK(has_file(DIR "/damaged.1/log/0001.log"));
    CHECK(has_file(DIR "/damaged.2/log/0001.log"));
    CHECK(!has_file(DIR "/log/0001.log"));
    fake_env_deinit(&env);
}

/*
 * Whatever call fails, a node that would start now is the old one with all it had, or one that
 * refuses because it had a log, or the new one; and after another call it is the new one.
 */
TEST(crash_anywhere)
{
    unsigned failures = 0;
    for (uint64_t call = 1;; call++) {
        struct identity in = founder("a:1,b:1,c:1", true);
        begin(&in);
        env.fail_at = env.operations + call;
        if (node_rebuild(&env.base, DIR, &error) == STATUS_OK) {
            CHECK(env.fail_at > env.operations);
            fake_env_deinit(&env);
            break;
        }
        failures++;
        struct identity out = load();
        bool has_log = has_file(DIR "/log/0001.log");
        bool has_store = has_file(DIR "/store/CURRENT");
        CHECK_EQ(has_log, has_file(DIR "/log/0002.log"));
        if (out.life == in.life) {
            CHECK(out.has_log);           /* and without a log it does not start (NODE-3) */
            CHECK(has_store || !has_log); /* never an old log without its state */
        } else {
            CHECK_EQ(out.life, in.life + 1);
            CHECK(!out.has_log && !has_log && !has_store);
        }
        env.fail_at = 0;
        CHECK_EQ(node_rebuild(&env.base, DIR, &error), STATUS_OK);
        CHECK_EQ(load().has_log, false);
        CHECK(load().life > in.life);
        CHECK(!has_file(DIR "/log/0001.log") && !has_file(DIR "/store/CURRENT"));
        fake_env_deinit(&env);
    }
    CHECK(failures >= 15u);
}

TEST(nobody_to_be_filled_from)
{
    static const char *const lists[] = {"", "a:1,b:1"};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        struct identity in = founder(lists[i], true);
        begin(&in);
        CHECK_EQ(node_rebuild(&env.base, DIR, &error), STATUS_INVALID);
        CHECK(strstr(error.text, "restore a backup") != NULL);
        CHECK_TEXT(fake_env_events(&env), "");
        CHECK_EQ(load().life, 3u);
        fake_env_deinit(&env);
    }
}

/* It has not voted yet, and the founders' first configuration names its first life. */
TEST(before_it_is_formed)
{
    struct identity in = founder("a:1,b:1,c:1", false);
    in.life = 0;
    begin(&in);
    CHECK_EQ(node_rebuild(&env.base, DIR, &error), STATUS_OK);
    CHECK_EQ(load().life, 0u);
    CHECK_EQ(load().has_log, false);
    fake_env_deinit(&env);
}

TEST(no_node_there)
{
    fake_env_init(&env);
    CHECK_EQ(node_rebuild(&env.base, DIR, &error), STATUS_NOT_FOUND);
    CHECK(strstr(error.text, "not a node's directory") != NULL);
    CHECK_TEXT(fake_env_events(&env), "");
    fake_env_deinit(&env);
}

TEST(lost_identity)
{
    struct identity in = founder("a:1,b:1,c:1", true);
    begin(&in);
    fake_env_file(&env, DIR "/node")->bytes.data[20] ^= 1;
    CHECK_EQ(node_rebuild(&env.base, DIR, &error), STATUS_CORRUPT);
    CHECK(has_file(DIR "/log/0001.log"));
    fake_env_deinit(&env);
}
