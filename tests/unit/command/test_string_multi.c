/* MGET, MSET, MSETNX. Replies as Redis 7.0.15 gives them. */
#include "fake_view.h"

static const struct script_step mset_script[] = {
    {"MSET a 1 b 2", "+OK"},
    {"MGET a b", "*2 $1 1 $1 2"},
    {"MSET a 3 a 4", "+OK"},
    {"GET a", "$1 4"},
    {"MSET b ", "+OK"},
    {"GET b", "$0"},
    {"MSET a", "-ERR wrong number of arguments for 'mset' command"},
    {"MSET a 1 b", "-ERR wrong number of arguments for 'mset' command"},
    {"MSET", "-ERR wrong number of arguments for 'mset' command"},
    {"MSET list v", "+OK"},
    {"GET list", "$1 v"},
    {"MSETNX a 1 c 2", ":0"},
    {"GET c", "$-1"},
    {"MSETNX c 1 d 2 c 3", ":1"},
    {"MGET c d", "*2 $1 3 $1 2"},
    {"MSETNX c", "-ERR wrong number of arguments for 'msetnx' command"},
    {"MSETNX e 1 f", "-ERR wrong number of arguments for 'msetnx' command"},
    {"EXISTS e f", ":0"},
};

static const struct script_step mget_script[] = {
    {"SET a 1", "+OK"},
    {"SET b ", "+OK"},
    {"MGET a", "*1 $1 1"},
    {"MGET none", "*1 $-1"},
    {"MGET b none a a", "*4 $0  $-1 $1 1 $1 1"},
    {"MGET list a", "*2 $-1 $1 1"},
    {"MGET", "-ERR wrong number of arguments for 'mget' command"},
};

TEST(mset)
{
    struct fake_view f;
    fake_view_init(&f);
    put_other_type(&f, "list");
    RUN_SCRIPT(&f, mset_script);
}

TEST(mget)
{
    struct fake_view f;
    fake_view_init(&f);
    put_other_type(&f, "list");
    RUN_SCRIPT(&f, mget_script);
}

static uint8_t big_value[LIMIT_REPLY_VALUES_BYTES / 2 + 1];

/* "full" and "more": half of what a reply may hold, and one byte above that. */
static enum status big_get(struct view *v, struct bytes key, struct object *out_object)
{
    (void)v;
    bool is_more = bytes_equal_text(key, "more");
    *out_object = (struct object){
        .type = OBJECT_TYPE_STRING,
        .value = bytes_of(big_value, sizeof big_value - (is_more ? 0 : 1)),
    };
    return STATUS_OK;
}

static enum command_result big_mget(const char *second, struct buf *reply)
{
    static const struct view_ops ops = {.get = big_get};
    struct view view = {.ops = &ops};
    struct bytes args[] = {bytes_of_text("mget"), bytes_of_text("full"), bytes_of_text(second)};
    struct command_call call = {
        .command = command_find(args, 3),
        .args = args,
        .arg_count = 3,
        .resp = 3,
        .reply = reply,
        .view = &view,
    };
    return call.command->handler(&call);
}

TEST(mget_is_limited)
{
    struct buf reply;
    buf_init(&reply, (size_t)2 * LIMIT_REPLY_VALUES_BYTES);
    CHECK_EQ(big_mget("full", &reply), COMMAND_DONE);
    CHECK(reply.size > LIMIT_REPLY_VALUES_BYTES);
    buf_clear(&reply, 0);
    CHECK_EQ(big_mget("more", &reply), COMMAND_ERROR);
    CHECK_BYTES(buf_bytes(&reply),
                bytes_of_text("-ERR values of more than 67108864 bytes in one reply\r\n"));
    buf_deinit(&reply);
}

TEST(mget_in_resp3_has_its_null)
{
    struct fake_view f;
    fake_view_init(&f);
    f.resp = 3;
    CHECK_TEXT(run(&f, "MGET none"), "*1\r\n_\r\n");
}

TEST(msetnx_sets_all_or_nothing)
{
    struct fake_view f;
    fake_view_init(&f);
    CHECK_TEXT(run(&f, "MSETNX a 1 b 2 a 3"), ":1\r\n");
    CHECK_EQ(f.changes, 3u);
    CHECK_TEXT(value_of(&f, "a"), "3");
    CHECK_TEXT(run(&f, "MSETNX c 1 d 2 b 3"), ":0\r\n");
    CHECK_TEXT(run(&f, "MSETNX b 1 c 2"), ":0\r\n");
    CHECK_EQ(f.changes, 3u);
    CHECK_EQ(f.count, 2u);
}
