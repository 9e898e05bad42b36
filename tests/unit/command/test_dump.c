/* DUMP and RESTORE. Replies and payloads as Redis 7.0.15 gives them. */
#include "fake_view.h"

#define OK "+OK\r\n"
#define SYNTAX "-ERR syntax error\r\n"
#define NOT_INT "-ERR value is not an integer or out of range\r\n"
#define BUSY "-BUSYKEY Target key name already exists.\r\n"
#define BAD_TTL "-ERR Invalid TTL value, must be >= 0\r\n"
#define BAD_FOOTER "-ERR DUMP payload version or checksum are wrong\r\n"
#define BAD_FORMAT "-ERR Bad data format\r\n"
#define BAD_IDLE "-ERR Invalid IDLETIME value, must be >= 0\r\n"
#define BAD_FREQ "-ERR Invalid FREQ value, must be >= 0 and <= 255\r\n"
#define OTHER_TYPE "-ERR only strings can be restored here, the payload is of another type\r\n"
#define NEVER 0u
#define ARGS_MAX 12u

static const uint8_t abc[] = {
    0x00,
    0x03,
    0x61,
    0x62,
    0x63,
    0x0a,
    0x00,
    0xd9,
    0xac,
    0x30,
    0x3d,
    0x41,
    0x72,
    0xa2,
    0xe2,
};
/* A body too short for its length, and a list of one element. */
static const uint8_t cut[] = {
    0x00,
    0x0e,
    0x61,
    0x62,
    0x63,
    0x0a,
    0x00,
    0xd1,
    0xa5,
    0xc7,
    0x18,
    0xef,
    0x2a,
    0xc7,
    0x3e,
};
static const uint8_t list[] = {0x12, 0x01, 0x02, 0x09, 0x09, 0x00, 0x00, 0x00,
                               0x01, 0x00, 0x01, 0x01, 0xff, 0x0a, 0x00, 0x10,
                               0x82, 0x8f, 0x92, 0x09, 0xb3, 0xf4, 0x46};

static void put(struct fake_view *f, const char *value, uint64_t expires_ms)
{
    struct object object = {
        .type = OBJECT_TYPE_STRING,
        .expires_ms = expires_ms,
        .value = bytes_of_text(value),
    };
    CHECK_EQ(view_put(&f->base, bytes_of_text("k"), &object), STATUS_OK);
    f->changes = 0;
}

/* RESTORE with these words, where PAYLOAD stands for the payload. */
static const char *restore(struct fake_view *f, const char *words, struct bytes payload)
{
    struct bytes args[ARGS_MAX] = {bytes_of_text("RESTORE")};
    size_t count = 1;
    for (const char *at = words; *at != '\0';) {
        ensure(count < ARGS_MAX);
        size_t size = strcspn(at, " ");
        args[count] = bytes_of(at, size);
        if (bytes_equal_text(args[count], "PAYLOAD")) {
            args[count] = payload;
        }
        count++;
        at += at[size] == ' ' ? size + 1 : size;
    }
    return run_args(f, args, count);
}

/* On a key with the value "old": the reply, and what is there then. */
static const struct {
    const char *words;
    const char *reply;
    const char *value;
    uint64_t expires_ms;
} present_cases[] = {
    {"k 0 PAYLOAD", BUSY, "old", NEVER},
    {"k -1 PAYLOAD", BUSY, "old", NEVER},
    {"k x zz", BUSY, "old", NEVER},
    {"k 0 PAYLOAD bogus", SYNTAX, "old", NEVER},
    {"k 0 PAYLOAD ABSTTL", BUSY, "old", NEVER},
    {"k 0 PAYLOAD REPLACE", OK, "abc", NEVER},
    {"k 0 PAYLOAD replace rePLACE absttl", OK, "abc", NEVER},
    {"k 5000 PAYLOAD REPLACE", OK, "abc", FAKE_NOW_MS + 5000},
    {"k 5000 PAYLOAD REPLACE ABSTTL", OK, "(none)", NEVER},
    {"k 1700000000000 PAYLOAD REPLACE ABSTTL", OK, "(none)", NEVER},
    {"k 1700000000001 PAYLOAD ABSTTL REPLACE", OK, "abc", FAKE_NOW_MS + 1},
    {"k 9223372036854775807 PAYLOAD REPLACE", OK, "(none)", NEVER},
    {"k 9223372036854775807 PAYLOAD REPLACE ABSTTL", OK, "abc", INT64_MAX},
    {"k 9223370336854775807 PAYLOAD REPLACE", OK, "abc", INT64_MAX},
    {"k 9223370336854775808 PAYLOAD REPLACE", OK, "(none)", NEVER},
    {"k -1 PAYLOAD REPLACE", BAD_TTL, "old", NEVER},
    {"k x PAYLOAD REPLACE", NOT_INT, "old", NEVER},
    {"k 0 zz REPLACE", BAD_FOOTER, "old", NEVER},
    {"k 0  REPLACE", BAD_FOOTER, "old", NEVER},
    {"k -1 zz REPLACE", BAD_TTL, "old", NEVER},
    {"k 0 PAYLOAD REPLACE IDLETIME 5", OK, "abc", NEVER},
    {"k 0 PAYLOAD REPLACE IDLETIME 5 idletime 6", OK, "abc", NEVER},
    {"k 0 PAYLOAD REPLACE IDLETIME 9223372036854775807", OK, "abc", NEVER},
    {"k 0 PAYLOAD REPLACE IDLETIME -1", BAD_IDLE, "old", NEVER},
    {"k 0 PAYLOAD REPLACE IDLETIME x", NOT_INT, "old", NEVER},
    {"k 0 PAYLOAD REPLACE IDLETIME", SYNTAX, "old", NEVER},
    {"k 0 PAYLOAD REPLACE FREQ 0", OK, "abc", NEVER},
    {"k 0 PAYLOAD REPLACE FREQ 255", OK, "abc", NEVER},
    {"k 0 PAYLOAD REPLACE FREQ 256", BAD_FREQ, "old", NEVER},
    {"k 0 PAYLOAD REPLACE FREQ -1", BAD_FREQ, "old", NEVER},
    {"k 0 PAYLOAD REPLACE FREQ 5 freq x", NOT_INT, "old", NEVER},
    {"k 0 PAYLOAD FREQ", SYNTAX, "old", NEVER},
    {"k 0 PAYLOAD REPLACE FREQ 5 IDLETIME 5", SYNTAX, "old", NEVER},
    {"k 0 PAYLOAD REPLACE IDLETIME 5 FREQ 5", SYNTAX, "old", NEVER},
};

TEST(restore_over_a_key)
{
    for (size_t i = 0; i < sizeof present_cases / sizeof present_cases[0]; i++) {
        struct fake_view f;
        fake_view_init(&f);
        put(&f, "old", NEVER);
        CHECK_TEXT(restore(&f, present_cases[i].words, bytes_of(abc, sizeof abc)),
                   present_cases[i].reply);
        CHECK_TEXT(value_of(&f, "k"), present_cases[i].value);
        const struct fake_row *row = fake_find(&f, bytes_of_text("k"));
        CHECK_EQ(row != NULL ? row->object.expires_ms : NEVER, present_cases[i].expires_ms);
        bool is_done = strcmp(present_cases[i].reply, OK) == 0;
        CHECK_EQ(f.changes, is_done ? 1u : 0u);
        CHECK_EQ(f.result, is_done ? COMMAND_DONE : COMMAND_ERROR);
    }
}

TEST(restore_a_new_key)
{
    struct fake_view f;
    fake_view_init(&f);
    CHECK_TEXT(restore(&f, "k 7 PAYLOAD", bytes_of(abc, sizeof abc)), OK);
    CHECK_TEXT(value_of(&f, "k"), "abc");
    CHECK_EQ(fake_find(&f, bytes_of_text("k"))->object.expires_ms, FAKE_NOW_MS + 7);
    CHECK_TEXT(restore(&f, "n 7 PAYLOAD ABSTTL", bytes_of(abc, sizeof abc)), OK);
    CHECK_TEXT(value_of(&f, "n"), "(none)"); /* its time was over before it came */
    CHECK_EQ(f.changes, 1u);
}

TEST(restore_bad_payloads)
{
    struct fake_view f;
    fake_view_init(&f);
    put(&f, "old", NEVER);
    CHECK_TEXT(restore(&f, "k 0 PAYLOAD REPLACE", bytes_of(cut, sizeof cut)), BAD_FORMAT);
    CHECK_TEXT(restore(&f, "n 0 PAYLOAD", bytes_of(cut, sizeof cut)), BAD_FORMAT);
    CHECK_TEXT(restore(&f, "k 0 PAYLOAD REPLACE", bytes_of(list, sizeof list)), OTHER_TYPE);
    CHECK_TEXT(restore(&f, "n 0 PAYLOAD", bytes_of(list, sizeof list - 1)), BAD_FOOTER);
    CHECK_EQ(f.changes, 0u);
}

TEST(a_row_is_missing)
{
    struct fake_view f;
    fake_view_init(&f);
    f.missing = "k";
    (void)run(&f, "DUMP k");
    CHECK_EQ(f.result, COMMAND_NEED);
    (void)restore(&f, "k 0 PAYLOAD REPLACE", bytes_of(abc, sizeof abc));
    CHECK_EQ(f.result, COMMAND_NEED);
    CHECK_EQ(f.changes, 0u);
}

TEST(dump)
{
    struct fake_view f;
    fake_view_init(&f);
    put(&f, "abc", FAKE_NOW_MS + 1); /* of the time to live nothing is in it */
    struct bytes args[] = {bytes_of_text("DUMP"), bytes_of_text("k")};
    struct buf reply;
    struct buf expected;
    buf_init(&reply, 64);
    buf_init(&expected, 64);
    struct command_call call = {
        .command = command_find(args, 2),
        .args = args,
        .arg_count = 2,
        .resp = 2,
        .reply = &reply,
        .view = &f.base,
    };
    CHECK_EQ(call.command->handler(&call), COMMAND_DONE);
    buf_append_text(&expected, "$15\r\n");
    buf_append(&expected, abc, sizeof abc);
    buf_append_text(&expected, "\r\n");
    CHECK_BYTES(buf_bytes(&reply), buf_bytes(&expected));
    buf_deinit(&reply);
    buf_deinit(&expected);
    CHECK_EQ(f.changes, 0u);
}

TEST(dump_of_nothing)
{
    struct fake_view f;
    fake_view_init(&f);
    CHECK_TEXT(run(&f, "DUMP k"), "$-1\r\n");
    f.resp = 3;
    CHECK_TEXT(run(&f, "DUMP k"), "_\r\n");
}

TEST(arity)
{
    struct fake_view f;
    fake_view_init(&f);
    CHECK_TEXT(run(&f, "DUMP"), "-ERR wrong number of arguments for 'dump' command\r\n");
    CHECK_TEXT(run(&f, "DUMP k k"), "-ERR wrong number of arguments for 'dump' command\r\n");
    CHECK_TEXT(run(&f, "RESTORE k 0"), "-ERR wrong number of arguments for 'restore' command\r\n");
}
