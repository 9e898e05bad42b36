/* DEL, UNLINK, EXISTS, TOUCH, TYPE, RENAME, COPY, MOVE. Replies as Redis 7.0.15 gives them. */
#include "fake_view.h"

#define OK "+OK\r\n"
#define ZERO ":0\r\n"
#define ONE ":1\r\n"
#define NO_SUCH_KEY "-ERR no such key\r\n"
#define SAME "-ERR source and destination objects are the same\r\n"
#define BAD_DATABASE "-ERR DB index is out of range\r\n"
#define NOT_INT "-ERR value is not an integer or out of range\r\n"
#define NOT_INT32 "-ERR value is out of range, value must between -2147483648 and 2147483647\r\n"
#define SYNTAX "-ERR syntax error\r\n"
#define SOURCE_EXPIRES FAKE_NOW_MS + 5000
#define TARGET_EXPIRES FAKE_NOW_MS + 9000

static void put(struct fake_view *f,
                uint8_t database,
                const char *key,
                const char *value,
                uint64_t expires_ms)
{
    struct object object = {
        .type = OBJECT_TYPE_STRING,
        .expires_ms = expires_ms,
        .value = bytes_of_text(value),
    };
    f->database = database;
    CHECK_EQ(view_put(&f->base, bytes_of_text(key), &object), STATUS_OK);
    f->database = 0;
    f->changes = 0;
}

static const char *value_in(struct fake_view *f, uint8_t database, const char *key)
{
    f->database = database;
    const char *value = value_of(f, key);
    f->database = 0;
    return value;
}

static uint64_t expiry_in(struct fake_view *f, uint8_t database, const char *key)
{
    f->database = database;
    const struct fake_row *row = fake_find(f, bytes_of_text(key));
    f->database = 0;
    return row != NULL ? row->object.expires_ms : UINT64_MAX;
}

TEST(delete_and_count)
{
    struct fake_view f;
    fake_view_init(&f);
    put(&f, 0, "a", "1", 0);
    put(&f, 0, "b", "2", 0);
    put(&f, 0, "c", "3", 0);
    put(&f, 1, "a", "other", 0);
    CHECK_TEXT(run(&f, "EXISTS a a b x"), ":3\r\n");
    CHECK_TEXT(run(&f, "TOUCH a a b x"), ":3\r\n");
    CHECK_EQ(f.changes, 0u);
    CHECK_TEXT(run(&f, "DEL a a x"), ONE);
    CHECK_TEXT(run(&f, "UNLINK b c b"), ":2\r\n");
    CHECK_TEXT(run(&f, "UNLINK b c"), ZERO);
    CHECK_TEXT(value_in(&f, 1, "a"), "other");
    CHECK_EQ(f.changes, 3u);
}

TEST(type)
{
    struct fake_view f;
    fake_view_init(&f);
    put(&f, 0, "s", "", 0);
    CHECK_TEXT(run(&f, "TYPE s"), "+string\r\n");
    CHECK_TEXT(run(&f, "TYPE x"), "+none\r\n");
    f.resp = 3;
    CHECK_TEXT(run(&f, "TYPE x"), "+none\r\n");
}

/* With the keys s ("source", expiring) and t ("target", expiring later): what each command does. */
struct passage_case {
    const char *command;
    const char *reply;
    const char *source; /* value of s afterwards */
    const char *target; /* value of t */
    const char *fresh;  /* value of n */
};

static const struct passage_case rename_cases[] = {
    {"RENAME s n", OK, "(none)", "target", "source"},
    {"RENAME s t", OK, "(none)", "source", "(none)"},
    {"RENAME s s", OK, "source", "target", "(none)"},
    {"RENAME x s", NO_SUCH_KEY, "source", "target", "(none)"},
    {"RENAME x x", NO_SUCH_KEY, "source", "target", "(none)"},
    {"RENAMENX s n", ONE, "(none)", "target", "source"},
    {"RENAMENX s t", ZERO, "source", "target", "(none)"},
    {"RENAMENX s s", ZERO, "source", "target", "(none)"},
    {"RENAMENX x n", NO_SUCH_KEY, "source", "target", "(none)"},
    {"RENAMENX x x", NO_SUCH_KEY, "source", "target", "(none)"},
    {"COPY s n", ONE, "source", "target", "source"},
    {"COPY s t", ZERO, "source", "target", "(none)"},
    {"COPY s t replace", ONE, "source", "source", "(none)"},
    {"COPY s t REPLACE replace db 0", ONE, "source", "source", "(none)"},
    {"COPY s n db 1 DB 0", ONE, "source", "target", "source"},
    {"COPY x n", ZERO, "source", "target", "(none)"},
    {"COPY x t REPLACE", ZERO, "source", "target", "(none)"},
    {"COPY s s", SAME, "source", "target", "(none)"},
    {"COPY x x", SAME, "source", "target", "(none)"},
    {"COPY s s REPLACE", SAME, "source", "target", "(none)"},
    {"COPY s s DB 0", SAME, "source", "target", "(none)"},
    {"COPY s n DB", SYNTAX, "source", "target", "(none)"},
    {"COPY s n REPLACE DB", SYNTAX, "source", "target", "(none)"},
    {"COPY s n KEEPTTL", SYNTAX, "source", "target", "(none)"},
    {"COPY s n DB 16", BAD_DATABASE, "source", "target", "(none)"},
    {"COPY s n DB -1", BAD_DATABASE, "source", "target", "(none)"},
    {"COPY s n DB 16 bogus", BAD_DATABASE, "source", "target", "(none)"},
    {"COPY s n bogus DB 16", SYNTAX, "source", "target", "(none)"},
    {"COPY s s DB 2147483648", NOT_INT32, "source", "target", "(none)"},
    {"COPY s s DB -2147483648", BAD_DATABASE, "source", "target", "(none)"},
    {"COPY s s DB -2147483649", NOT_INT32, "source", "target", "(none)"},
    {"COPY s s DB 9223372036854775808", NOT_INT, "source", "target", "(none)"},
    {"COPY s s DB x", NOT_INT, "source", "target", "(none)"},
    {"COPY s s DB 01", NOT_INT, "source", "target", "(none)"},
    {"MOVE s 0", SAME, "source", "target", "(none)"},
    {"MOVE x 0", SAME, "source", "target", "(none)"},
    {"MOVE s 16", BAD_DATABASE, "source", "target", "(none)"},
    {"MOVE s -1", BAD_DATABASE, "source", "target", "(none)"},
    {"MOVE s 2147483648", NOT_INT32, "source", "target", "(none)"},
    {"MOVE s x", NOT_INT, "source", "target", "(none)"},
    {"MOVE x 1", ZERO, "source", "target", "(none)"},
};

TEST(objects_within_a_database)
{
    for (size_t i = 0; i < sizeof rename_cases / sizeof rename_cases[0]; i++) {
        const struct passage_case *c = &rename_cases[i];
        struct fake_view f;
        fake_view_init(&f);
        put(&f, 0, "s", "source", SOURCE_EXPIRES);
        put(&f, 0, "t", "target", TARGET_EXPIRES);
        CHECK_TEXT(run(&f, c->command), c->reply);
        CHECK_TEXT(value_in(&f, 0, "s"), c->source);
        CHECK_TEXT(value_in(&f, 0, "t"), c->target);
        CHECK_TEXT(value_in(&f, 0, "n"), c->fresh);
        bool is_new = strcmp(c->target, "source") == 0;
        CHECK_EQ(expiry_in(&f, 0, "t"), is_new ? SOURCE_EXPIRES : TARGET_EXPIRES);
        if (strcmp(c->fresh, "source") == 0) {
            CHECK_EQ(expiry_in(&f, 0, "n"), SOURCE_EXPIRES);
        }
        CHECK_EQ(f.result, c->reply[0] == '-' ? COMMAND_ERROR : COMMAND_DONE);
        if (c->reply[0] == '-') {
            CHECK_EQ(f.changes, 0u);
        }
    }
}

/* A target that never expired does not keep that, and the other way round. */
TEST(rename_brings_its_own_expiry)
{
    struct fake_view f;
    fake_view_init(&f);
    put(&f, 0, "s", "source", 0);
    put(&f, 0, "t", "target", TARGET_EXPIRES);
    CHECK_TEXT(run(&f, "RENAME s t"), OK);
    CHECK_EQ(expiry_in(&f, 0, "t"), 0u);
}

TEST(copy_to_another_database)
{
    struct fake_view f;
    fake_view_init(&f);
    put(&f, 0, "s", "source", SOURCE_EXPIRES);
    CHECK_TEXT(run(&f, "COPY s s DB 15"), ONE);
    CHECK_TEXT(value_in(&f, 15, "s"), "source");
    CHECK_EQ(expiry_in(&f, 15, "s"), SOURCE_EXPIRES);
    CHECK_TEXT(value_in(&f, 0, "s"), "source");
    put(&f, 15, "s", "other", 0);
    CHECK_TEXT(run(&f, "COPY s s DB 15"), ZERO);
    CHECK_TEXT(value_in(&f, 15, "s"), "other");
    CHECK_TEXT(run(&f, "COPY s s DB 15 REPLACE"), ONE);
    CHECK_TEXT(value_in(&f, 15, "s"), "source");
    CHECK_TEXT(run(&f, "COPY s n DB 15"), ONE);
    CHECK_TEXT(value_in(&f, 15, "n"), "source");
    CHECK_TEXT(value_in(&f, 0, "n"), "(none)");
}

TEST(move_to_another_database)
{
    struct fake_view f;
    fake_view_init(&f);
    put(&f, 0, "s", "source", SOURCE_EXPIRES);
    CHECK_TEXT(run(&f, "MOVE s 3"), ONE);
    CHECK_TEXT(value_in(&f, 0, "s"), "(none)");
    CHECK_TEXT(value_in(&f, 3, "s"), "source");
    CHECK_EQ(expiry_in(&f, 3, "s"), SOURCE_EXPIRES);
    put(&f, 0, "s", "again", 0);
    CHECK_TEXT(run(&f, "MOVE s 3"), ZERO); /* there is one already */
    CHECK_EQ(f.changes, 0u);
    CHECK_TEXT(value_in(&f, 0, "s"), "again");
    CHECK_TEXT(value_in(&f, 3, "s"), "source");
}

/* Rows must be at hand before the handler runs: the table says in which database. */
static uint8_t database_of(const char *text, size_t arg)
{
    struct bytes args[FAKE_ARGS_MAX];
    size_t count = 0;
    for (const char *at = text; *at != '\0';) {
        size_t size = strcspn(at, " ");
        args[count++] = bytes_of(at, size);
        at += at[size] == ' ' ? size + 1 : size;
    }
    const struct command *c = command_find(args, count);
    ensure(c != NULL && c->database_of != NULL);
    return c->database_of(args, count, arg, 7);
}

TEST(databases_of_the_keys)
{
    CHECK_EQ(database_of("COPY a b", 2), 7);
    CHECK_EQ(database_of("COPY a b DB 3", 1), 7);
    CHECK_EQ(database_of("COPY a b DB 3", 2), 3);
    CHECK_EQ(database_of("COPY a b db 4 replace DB 3", 2), 3);
    CHECK_EQ(database_of("COPY a b DB 3 bogus", 2), 7);
    CHECK_EQ(database_of("COPY a b DB 16", 2), 7);
    CHECK_EQ(database_of("COPY a b DB", 2), 7);
    CHECK_EQ(database_of("MOVE a 3", 1), 3);
    CHECK_EQ(database_of("MOVE a 16", 1), 7);
    CHECK_EQ(database_of("MOVE a x", 1), 7);
    CHECK_EQ(database_of("MOVE a", 1), 7);
}

/* Nothing is changed before all rows are at hand (DATA-3). */
TEST(a_row_is_missing)
{
    static const char *const commands[] = {
        "DEL a x",
        "UNLINK x a",
        "EXISTS a x",
        "TOUCH x",
        "TYPE x",
        "RENAME a x",
        "RENAME x a",
        "RENAMENX a x",
        "RENAMENX x a",
        "COPY a x REPLACE",
        "COPY x a REPLACE",
        "COPY a x DB 1",
        "MOVE x 1",
    };
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        struct fake_view f;
        fake_view_init(&f);
        put(&f, 0, "a", "1", 0);
        f.missing = "x";
        (void)run(&f, commands[i]);
        CHECK_EQ(f.result, COMMAND_NEED);
        CHECK_EQ(f.changes, 0u);
    }
}

TEST(arity)
{
    static const char *const commands[] = {
        "DEL",
        "UNLINK",
        "EXISTS",
        "TOUCH",
        "TYPE",
        "TYPE a b",
        "RENAME a",
        "RENAME a b c",
        "RENAMENX a",
        "RENAMENX a b c",
        "COPY a",
        "MOVE a",
        "MOVE a 1 2",
    };
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        struct fake_view f;
        fake_view_init(&f);
        const char *prefix = "-ERR wrong number of arguments for '";
        CHECK_EQ(strncmp(run(&f, commands[i]), prefix, strlen(prefix)), 0);
    }
}
