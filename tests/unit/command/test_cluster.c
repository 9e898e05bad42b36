/* DOUGONG: which question reaches the node, and how its answers look in both versions of RESP. */
#include "command/cluster.h"
#include "command/command.h"
#include "harness.h"
#include "protocol/resp_writer.h"

#define WORDS_MAX 4
#define REPLY_BYTES_MAX 4096u

#define HELP                                                                                       \
    "*11\r\n"                                                                                      \
    "+DOUGONG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:\r\n"                        \
    "+STATUS\r\n"                                                                                  \
    "+    Return who this node is, and whether the cluster is healthy.\r\n"                        \
    "+NODES\r\n"                                                                                   \
    "+    Return the nodes, their addresses, and how many groups each leads.\r\n"                  \
    "+GROUPS\r\n"                                                                                  \
    "+    Return the groups, their slots, leaders and replicas.\r\n"                               \
    "+LOCATE <key>\r\n"                                                                            \
    "+    Return the group and the nodes that hold <key>.\r\n"                                     \
    "+HELP\r\n"                                                                                    \
    "+    Prints this help.\r\n"

/* What the node was asked. */
struct asked {
    unsigned count;
    enum command_cluster what;
    char key[16];
    uint8_t resp;
};

static void answer(void *owner,
                   enum command_cluster what,
                   struct bytes key,
                   uint8_t resp,
                   struct buf *reply)
{
    struct asked *asked = owner;
    asked->count++;
    asked->what = what;
    asked->resp = resp;
    CHECK(key.size < sizeof asked->key);
    memset(asked->key, 0, sizeof asked->key);
    if (key.size > 0) {
        memcpy(asked->key, key.data, key.size);
    }
    resp_write_simple(reply, "answered");
}

static void run_words(struct asked *asked, const struct bytes *words, size_t count, struct buf *out)
{
    *asked = (struct asked){0};
    const struct command_server server = {.cluster = answer, .owner = asked};
    const struct command *c = command_resolve(words, count, out);
    if (c != NULL) {
        struct command_call call = {
            .command = c,
            .args = words,
            .arg_count = count,
            .resp = 3,
            .reply = out,
            .server = &server,
        };
        (void)c->handler(&call);
    }
}

/* Runs DOUGONG with these words (NULL ends them) and checks the reply. */
static void check_run(struct asked *asked, const char *first, const char *second, const char *reply)
{
    struct bytes words[WORDS_MAX] = {bytes_of_text("dougong")};
    size_t count = 1;
    if (first != NULL) {
        words[count++] = bytes_of_text(first);
    }
    if (second != NULL) {
        words[count++] = bytes_of_text(second);
    }
    struct buf out;
    buf_init(&out, REPLY_BYTES_MAX);
    run_words(asked, words, count, &out);
    CHECK_BYTES(buf_bytes(&out), bytes_of_text(reply));
    buf_deinit(&out);
}

TEST(each_subcommand_asks_its_question)
{
    static const struct {
        const char *first;
        const char *second;
        enum command_cluster what;
        const char *key;
    } cases[] = {
        {"STATUS", NULL, COMMAND_CLUSTER_STATUS, ""},
        {"nodes", NULL, COMMAND_CLUSTER_NODES, ""},
        {"Groups", NULL, COMMAND_CLUSTER_GROUPS, ""},
        {"LOCATE", "a key", COMMAND_CLUSTER_LOCATE, "a key"},
        {"LOCATE", "", COMMAND_CLUSTER_LOCATE, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct asked asked;
        check_run(&asked, cases[i].first, cases[i].second, "+answered\r\n");
        CHECK_EQ(asked.count, 1u);
        CHECK_EQ(asked.what, cases[i].what);
        CHECK_TEXT(asked.key, cases[i].key);
        CHECK_EQ(asked.resp, 3u);
    }
}

TEST(wrong_words_ask_nothing)
{
    static const struct {
        const char *first;
        const char *second;
        const char *reply;
    } cases[] = {
        {NULL, NULL, "-ERR wrong number of arguments for 'dougong' command\r\n"},
        {"STATUS", "x", "-ERR wrong number of arguments for 'dougong|status' command\r\n"},
        {"LOCATE", NULL, "-ERR wrong number of arguments for 'dougong|locate' command\r\n"},
        {"HELP", "x", "-ERR wrong number of arguments for 'dougong|help' command\r\n"},
        {"nosuch", NULL, "-ERR unknown subcommand 'nosuch'. Try DOUGONG HELP.\r\n"},
        {"HELP", NULL, HELP},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct asked asked;
        check_run(&asked, cases[i].first, cases[i].second, cases[i].reply);
        CHECK_EQ(asked.count, 0u);
    }
}

TEST(located_key_has_a_limit)
{
    static uint8_t key[LIMIT_KEY_BYTES + 1];
    struct bytes words[] = {bytes_of_text("dougong"),
                            bytes_of_text("locate"),
                            bytes_of(key, sizeof key)};
    struct asked asked;
    struct buf out;
    buf_init(&out, REPLY_BYTES_MAX);
    run_words(&asked, words, 3, &out);
    CHECK_BYTES(buf_bytes(&out), bytes_of_text("-ERR key is longer than 65536 bytes\r\n"));
    CHECK_EQ(asked.count, 0u);
    buf_deinit(&out);
}

/* ---- golden replies: programs read these fields ---------------------------------------------- */

static void check_reply(struct buf *out, const char *reply)
{
    CHECK_BYTES(buf_bytes(out), bytes_of_text(reply));
    buf_deinit(out);
}

TEST(status_golden)
{
    const struct cluster_status status = {
        .cluster_id = "00ff",
        .node = 2,
        .node_count = 3,
        .group_count = 17,
        .is_formed = true,
        .groups_led = 6,
        .groups_without_leader = 1,
        .disks_full = 2,
        .is_healthy = false,
        .version = "1.2.3",
        .uptime_s = 60,
    };
    struct buf out;
    buf_init(&out, REPLY_BYTES_MAX);
    cluster_write_status(&out, 3, &status);
    check_reply(&out,
                "%11\r\n$10\r\ncluster_id\r\n$4\r\n00ff\r\n$4\r\nnode\r\n:2\r\n"
                "$5\r\nnodes\r\n:3\r\n$6\r\ngroups\r\n:17\r\n$6\r\nformed\r\n#t\r\n"
                "$7\r\nleaders\r\n:6\r\n$21\r\ngroups_without_leader\r\n:1\r\n"
                "$10\r\ndisks_full\r\n:2\r\n$7\r\nhealthy\r\n#f\r\n$7\r\nversion\r\n$5\r\n1.2.3\r\n"
                "$14\r\nuptime_seconds\r\n:60\r\n");
}

TEST(nodes_golden)
{
    const struct cluster_node node = {
        .node = 1,
        .peer = "h:2",
        .client = "",
        .is_self = true,
        .is_connected = false,
        .groups_led = 4,
        .replicas = 17,
        .is_disk_full = true,
    };
    struct buf out;
    buf_init(&out, REPLY_BYTES_MAX);
    cluster_write_count(&out, 1);
    cluster_write_node(&out, 2, &node);
    check_reply(&out,
                "*1\r\n*16\r\n$4\r\nnode\r\n:1\r\n$4\r\npeer\r\n$3\r\nh:2\r\n"
                "$6\r\nclient\r\n$0\r\n\r\n$4\r\nself\r\n:1\r\n$9\r\nconnected\r\n:0\r\n"
                "$5\r\nleads\r\n:4\r\n$8\r\nreplicas\r\n:17\r\n$9\r\ndisk_full\r\n:1\r\n");
}

TEST(groups_golden)
{
    static const uint32_t nodes[] = {1, 3};
    const struct cluster_group here = {
        .group = 16,
        .slot_first = 15360,
        .slot_last = 16383,
        .leader = 3,
        .replicas = {nodes, 2},
        .is_here = true,
        .term = 4,
        .applied_index = 9,
        .commit_index = 10,
        .voters = 3,
        .learners = 1,
    };
    struct buf out;
    buf_init(&out, REPLY_BYTES_MAX);
    cluster_write_group(&out, 3, &here);
    check_reply(&out,
                "%10\r\n$5\r\ngroup\r\n:16\r\n$5\r\nslots\r\n$11\r\n15360-16383\r\n"
                "$6\r\nleader\r\n:3\r\n$4\r\nterm\r\n:4\r\n$8\r\nreplicas\r\n*2\r\n:1\r\n:3\r\n"
                "$7\r\napplied\r\n:9\r\n$6\r\ncommit\r\n:10\r\n"
                "$6\r\nvoters\r\n:3\r\n$8\r\nlearners\r\n:1\r\n$4\r\nhere\r\n#t\r\n");

    /* The metadata group has no slots; of a group that is elsewhere little is known. */
    const struct cluster_group elsewhere = {.term = 7,
                                            .applied_index = 7,
                                            .commit_index = 7,
                                            .voters = 7};
    buf_init(&out, REPLY_BYTES_MAX);
    cluster_write_group(&out, 3, &elsewhere);
    check_reply(
        &out,
        "%10\r\n$5\r\ngroup\r\n:0\r\n$5\r\nslots\r\n$0\r\n\r\n$6\r\nleader\r\n_\r\n"
        "$4\r\nterm\r\n_\r\n$8\r\nreplicas\r\n*0\r\n$7\r\napplied\r\n_\r\n"
        "$6\r\ncommit\r\n_\r\n$6\r\nvoters\r\n_\r\n$8\r\nlearners\r\n_\r\n$4\r\nhere\r\n#f\r\n");
}

TEST(place_golden)
{
    static const uint32_t nodes[] = {1, 2, 3};
    struct cluster_place place = {
        .key = bytes_of("a\0b", 3),
        .slot = 16383,
        .group = 16,
        .leader = 1,
        .replicas = {nodes, 3},
    };
    struct buf out;
    buf_init(&out, REPLY_BYTES_MAX);
    cluster_write_place(&out, 3, &place);
    static const char reply[] = "%5\r\n$3\r\nkey\r\n$3\r\na\0b\r\n$4\r\nslot\r\n:16383\r\n"
                                "$5\r\ngroup\r\n:16\r\n$6\r\nleader\r\n:1\r\n"
                                "$8\r\nreplicas\r\n*3\r\n:1\r\n:2\r\n:3\r\n";
    CHECK_BYTES(buf_bytes(&out), bytes_of(reply, sizeof reply - 1));
    buf_deinit(&out);

    place.leader = CLUSTER_NODE_NONE;
    place.key = bytes_of_text("k");
    buf_init(&out, REPLY_BYTES_MAX);
    cluster_write_place(&out, 2, &place);
    check_reply(&out,
                "*10\r\n$3\r\nkey\r\n$1\r\nk\r\n$4\r\nslot\r\n:16383\r\n$5\r\ngroup\r\n:16\r\n"
                "$6\r\nleader\r\n$-1\r\n$8\r\nreplicas\r\n*3\r\n:1\r\n:2\r\n:3\r\n");
}
