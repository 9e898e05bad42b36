/* SCAN, DBSIZE and the flushes on one group; texts as Redis 7.0.15 writes them. */
#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/list.h"
#include "command/scan.h"
#include "data/slot.h"
#include "harness.h"

#define KEYS_MAX 6000u
#define KEY_BYTES 16u
#define NOW_MS 1000u

struct row {
    uint64_t place;
    uint8_t database;
    bool is_expired;
    char key[KEY_BYTES];
};

/* Rows by database and place; those from `missing` on are not at hand. */
struct rows {
    struct view base;
    struct row rows[KEYS_MAX];
    size_t count;
    size_t missing;
    uint8_t database;
    char flushed[128]; /* databases, in order */
};

static struct rows *rows_of(struct view *v)
{
    return container_of(v, struct rows, base);
}

static uint64_t place_of(const char *key)
{
    struct bytes bytes = bytes_of_text(key);
    return (uint64_t)slot_of_key(bytes) << SCAN_CURSOR_SLOT_SHIFT | row_key_hash(bytes);
}

static enum status range(struct view *v, uint16_t slot, uint32_t hash, view_range_fn fn, void *ctx)
{
    struct rows *rows = rows_of(v);
    uint64_t from = (uint64_t)slot << SCAN_CURSOR_SLOT_SHIFT | hash;
    const struct object object = {.type = OBJECT_TYPE_STRING};
    for (size_t i = 0; i < rows->count; i++) {
        const struct row *row = &rows->rows[i];
        if (row->database != rows->database || row->place < from) {
            continue;
        }
        if (i >= rows->missing) {
            return STATUS_NEED;
        }
        if (!fn(ctx, bytes_of_text(row->key), row->is_expired ? NULL : &object)) {
            break;
        }
    }
    return STATUS_OK;
}

static void select_database(struct view *v, uint8_t database)
{
    rows_of(v)->database = database;
}

static void count_keys(struct view *v, struct view_counts *out_counts)
{
    struct rows *rows = rows_of(v);
    *out_counts = (struct view_counts){0};
    for (size_t i = 0; i < rows->count; i++) {
        out_counts->keys += rows->rows[i].database == rows->database ? 1 : 0;
    }
}

static void flush(struct view *v)
{
    struct rows *rows = rows_of(v);
    size_t size = strlen(rows->flushed);
    (void)snprintf(rows->flushed + size, sizeof rows->flushed - size, "%u ", rows->database);
}

static const struct view_ops ops = {
    .range = range,
    .select = select_database,
    .count = count_keys,
    .flush = flush,
};

static struct rows the_rows;

static struct rows *rows_start(void)
{
    the_rows = (struct rows){
        .base = {.ops = &ops, .slot_end = SLOT_COUNT},
        .missing = SIZE_MAX,
    };
    return &the_rows;
}

static void add(struct rows *rows, const char *key)
{
    ensure(rows->count < KEYS_MAX && strlen(key) < KEY_BYTES);
    struct row row = {.place = place_of(key), .database = rows->database};
    memcpy(row.key, key, strlen(key));
    size_t at = rows->count++;
    for (; at > 0 && rows->rows[at - 1].place > row.place; at--) {
        rows->rows[at] = rows->rows[at - 1];
    }
    rows->rows[at] = row;
}

static enum command_result the_result;

/* The reply, with blanks for line ends. */
static const char *run(struct rows *rows, const char *text)
{
    static char shown[512];
    static char words[LIMIT_PATTERN_BYTES + 64];
    struct bytes args[16];
    size_t count = 0;
    (void)snprintf(words, sizeof words, "%s", text);
    for (char *at = words; at != NULL; count++) {
        char *word = strsep(&at, " ");
        args[count] = bytes_of_text(word);
    }
    struct buf reply;
    buf_init(&reply, SIZE_MAX / 2);
    const struct command *c = command_resolve(args, count, &reply);
    struct command_call call = {
        .command = c,
        .args = args,
        .arg_count = count,
        .resp = 2,
        .reply = &reply,
        .view = &rows->base,
        .now_ms = NOW_MS,
    };
    the_result = c != NULL ? c->handler(&call) : COMMAND_ERROR;
    size_t size = 0;
    for (size_t i = 0; i < reply.size && size + 1 < sizeof shown; i++) {
        if (reply.data[i] != '\r') {
            shown[size++] = reply.data[i] == '\n' ? ' ' : (char)reply.data[i];
        }
    }
    shown[size] = '\0';
    buf_deinit(&reply);
    return shown;
}

/* Places: bar 5061, hello 866, foo 12182, a 15495. */
static struct rows *some_rows(void)
{
    struct rows *rows = rows_start();
    add(rows, "foo");
    add(rows, "a");
    add(rows, "hello");
    add(rows, "bar");
    return rows;
}

static const char *reply_of(uint64_t cursor, const char *keys)
{
    static char text[512];
    char number[24];
    int size = snprintf(number, sizeof number, "%" PRIu64, cursor);
    (void)snprintf(text, sizeof text, "*2 $%d %s %s", size, number, keys);
    return text;
}

TEST(all_in_order_of_places)
{
    struct rows *rows = some_rows();
    CHECK_TEXT(run(rows, "SCAN 0"), "*2 $1 0 *4 $5 hello $3 bar $3 foo $1 a ");
    CHECK_EQ(the_result, COMMAND_DONE);
}

TEST(count_ends_before_the_next_place)
{
    struct rows *rows = some_rows();
    CHECK_TEXT(run(rows, "SCAN 0 COUNT 2"), reply_of(place_of("foo"), "*2 $5 hello $3 bar "));
    char next[64];
    (void)snprintf(next, sizeof next, "scan %" PRIu64 " count 1", place_of("foo"));
    CHECK_TEXT(run(rows, next), reply_of(place_of("a"), "*1 $3 foo "));
    (void)snprintf(next, sizeof next, "scan %" PRIu64 " count 1", place_of("a"));
    CHECK_TEXT(run(rows, next), "*2 $1 0 *1 $1 a ");
    (void)snprintf(next, sizeof next, "scan %" PRIu64, place_of("a") + 1);
    CHECK_TEXT(run(rows, next), "*2 $1 0 *0 ");
}

/* A key at a cursor goes, and others come: what is there all the time is still found once. */
TEST(cursors_outlive_their_keys)
{
    struct rows *rows = some_rows();
    uint64_t cursor = place_of("foo");
    rows->rows[2] = rows->rows[3]; /* foo is gone */
    rows->count = 3;
    char next[64];
    (void)snprintf(next, sizeof next, "scan %" PRIu64, cursor);
    CHECK_TEXT(run(rows, next), "*2 $1 0 *1 $1 a ");
}

TEST(keys_of_one_place_come_together)
{
    struct rows *rows = some_rows();
    rows->rows[1].place = rows->rows[0].place; /* the handler takes the place from the key … */
    (void)snprintf(rows->rows[1].key, KEY_BYTES, "%s", "hello"); /* … so let it be a twin */
    CHECK_TEXT(run(rows, "SCAN 0 COUNT 1"), reply_of(place_of("foo"), "*2 $5 hello $5 hello "));
    /* Only the first twin is at hand, so the place is not complete, and nothing is before it. */
    rows->missing = 1;
    (void)run(rows, "SCAN 0 COUNT 1");
    CHECK_EQ(the_result, COMMAND_NEED);
}

TEST(ends_where_rows_are_not_at_hand)
{
    struct rows *rows = some_rows();
    rows->missing = 3;
    /* foo was seen, but what is behind it is not known: it may be of the same place. */
    CHECK_TEXT(run(rows, "SCAN 0"), reply_of(place_of("foo"), "*2 $5 hello $3 bar "));
    CHECK_EQ(the_result, COMMAND_DONE);
    rows->missing = 2;
    CHECK_TEXT(run(rows, "SCAN 0 COUNT 1"), reply_of(place_of("bar"), "*1 $5 hello "));
    rows->missing = 1;
    CHECK_TEXT(run(rows, "SCAN 0"), "");
    CHECK_EQ(the_result, COMMAND_NEED);
    rows->missing = 0;
    CHECK_TEXT(run(rows, "SCAN 0"), "");
    CHECK_EQ(the_result, COMMAND_NEED);
}

TEST(a_group_ends_where_the_next_begins)
{
    struct rows *rows = some_rows();
    rows->base.slot_end = 5000;
    rows->count = 1; /* hello */
    CHECK_TEXT(run(rows, "SCAN 0"), reply_of((uint64_t)5000 << 32, "*1 $5 hello "));
    char next[64];
    (void)snprintf(next, sizeof next, "scan %" PRIu64, (uint64_t)5000 << 32);
    CHECK_TEXT(run(rows, next), reply_of((uint64_t)5000 << 32, "*0 "));
    struct rows *last = some_rows();
    last->base.slot_first = 5000;
    CHECK_TEXT(run(last, "SCAN 0"), "*2 $1 0 *3 $3 bar $3 foo $1 a ");
}

TEST(filters_do_not_change_how_far_it_goes)
{
    struct rows *rows = some_rows();
    CHECK_TEXT(run(rows, "SCAN 0 COUNT 2 MATCH f*"), reply_of(place_of("foo"), "*0 "));
    CHECK_TEXT(run(rows, "SCAN 0 MATCH [fa]*"), "*2 $1 0 *2 $3 foo $1 a ");
    CHECK_TEXT(run(rows, "SCAN 0 TYPE STRING MATCH a"), "*2 $1 0 *1 $1 a ");
    CHECK_TEXT(run(rows, "SCAN 0 TYPE hash"), "*2 $1 0 *0 ");
    CHECK_TEXT(run(rows, "SCAN 0 MATCH x MATCH a COUNT 1 COUNT 9"), "*2 $1 0 *1 $1 a ");
    struct rows *empty = rows_start();
    add(empty, "");
    CHECK_TEXT(run(empty, "SCAN 0 MATCH *"), "*2 $1 0 *1 $0  ");
    CHECK_TEXT(run(empty, "SCAN 0 MATCH **"), "*2 $1 0 *0 ");
}

TEST(errors_as_redis)
{
    struct rows *rows = some_rows();
    static const struct {
        const char *command;
        const char *reply;
    } cases[] = {
        {"SCAN", "-ERR wrong number of arguments for 'scan' command "},
        {"SCAN x", "-ERR invalid cursor "},
        {"SCAN 1x", "-ERR invalid cursor "},
        {"SCAN x COUNT", "-ERR invalid cursor "},
        {"SCAN 0 COUNT", "-ERR syntax error "},
        {"SCAN 0 COUNT 0", "-ERR syntax error "},
        {"SCAN 0 COUNT -1", "-ERR syntax error "},
        {"SCAN 0 COUNT x", "-ERR value is not an integer or out of range "},
        {"SCAN 0 COUNT 99999999999999999999", "-ERR value is not an integer or out of range "},
        {"SCAN 0 COUNT x MATCH", "-ERR value is not an integer or out of range "},
        {"SCAN 0 MATCH", "-ERR syntax error "},
        {"SCAN 0 TYPE", "-ERR syntax error "},
        {"SCAN 0 FOO 1", "-ERR syntax error "},
        {"SCAN -1 COUNT x", "-ERR value is not an integer or out of range "},
        {"KEYS", "-ERR wrong number of arguments for 'keys' command "},
        {"KEYS a b", "-ERR wrong number of arguments for 'keys' command "},
        {"RANDOMKEY a", "-ERR wrong number of arguments for 'randomkey' command "},
        {"DBSIZE a", "-ERR wrong number of arguments for 'dbsize' command "},
        {"FLUSHDB foo", "-ERR syntax error "},
        {"FLUSHDB sync sync", "-ERR syntax error "},
        {"FLUSHALL async sync", "-ERR syntax error "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CHECK_TEXT(run(rows, cases[i].command), cases[i].reply);
        CHECK_EQ(the_result, COMMAND_ERROR);
    }
    CHECK_TEXT(rows->flushed, "");
}

TEST(cursors_as_strtoul_reads_them)
{
    static const struct {
        const char *text;
        bool is_good;
        uint64_t cursor;
    } cases[] = {
        {"0", true, 0},
        {"", true, 0},
        {"00", true, 0},
        {"+5", true, 5},
        {"-1", true, UINT64_MAX},
        {"18446744073709551615", true, UINT64_MAX},
        {"18446744073709551616", false, 0},
        {"-18446744073709551616", false, 0},
        {"99999999999999999999", false, 0},
        {"-", false, 0},
        {"+", false, 0},
        {"+-1", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"0x10", false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t cursor = 0;
        CHECK_EQ(scan_cursor_read(bytes_of_text(cases[i].text), &cursor), cases[i].is_good);
        CHECK_EQ(cursor, cases[i].cursor);
    }
}

/* However many a client asks for, one call does not stop the world. */
TEST(one_call_has_a_limit)
{
    struct rows *rows = rows_start();
    char key[KEY_BYTES];
    for (unsigned i = 0; i < KEYS_MAX; i++) {
        (void)snprintf(key, sizeof key, "{t}%u", i);
        add(rows, key);
    }
    char text[64];
    const char *reply = run(rows, "SCAN 0 COUNT 1000000");
    (void)snprintf(text, sizeof text, "%s", reply_of(rows->rows[SCAN_KEYS_MAX].place, "*4096 "));
    CHECK(strncmp(reply, text, strlen(text)) == 0);
}

static const char *scan_matching(struct rows *rows, size_t pattern_size)
{
    char pattern[LIMIT_PATTERN_BYTES + 2];
    char text[LIMIT_PATTERN_BYTES + 64];
    memset(pattern, '0', pattern_size);
    pattern[0] = '*';
    pattern[pattern_size] = '\0';
    (void)snprintf(text, sizeof text, "SCAN 0 COUNT 1000000 MATCH %s", pattern);
    return run(rows, text);
}

/* Nor does a pattern that every byte of every key has to be compared with. */
TEST(patterns_have_a_limit)
{
    struct rows *rows = rows_start();
    char key[KEY_BYTES];
    for (unsigned i = 0; i < SCAN_KEYS_MAX; i++) {
        (void)snprintf(key, sizeof key, "{t}%012u", i);
        add(rows, key);
    }
    const size_t key_size = strlen(key);
    CHECK_TEXT(scan_matching(rows, 100), "*2 $1 0 *0 ");
    size_t stop =
        (SCAN_MATCH_STEPS + LIMIT_PATTERN_BYTES * key_size - 1) / (LIMIT_PATTERN_BYTES * key_size);
    CHECK(stop < SCAN_KEYS_MAX);
    CHECK_TEXT(scan_matching(rows, LIMIT_PATTERN_BYTES), reply_of(rows->rows[stop].place, "*0 "));
    CHECK_TEXT(scan_matching(rows, LIMIT_PATTERN_BYTES + 1), "-ERR pattern is too long ");
}

/* Nor does it pass more of them because they have expired; they are not what COUNT asks for. */
TEST(expired_keys_count_for_the_limit)
{
    struct rows *rows = rows_start();
    char key[KEY_BYTES];
    for (unsigned i = 0; i < KEYS_MAX; i++) {
        (void)snprintf(key, sizeof key, "{t}%u", i);
        add(rows, key);
    }
    for (unsigned i = 0; i < KEYS_MAX; i++) {
        rows->rows[i].is_expired = i != 1;
    }
    char keys[64];
    (void)snprintf(keys, sizeof keys, "*1 $%zu %s ", strlen(rows->rows[1].key), rows->rows[1].key);
    CHECK_TEXT(run(rows, "SCAN 0 COUNT 2"), reply_of(rows->rows[SCAN_KEYS_MAX].place, keys));
    CHECK_TEXT(run(rows, "SCAN 0 COUNT 1"), reply_of(rows->rows[2].place, keys));
}

TEST(dbsize_counts_its_database)
{
    struct rows *rows = some_rows();
    rows->database = 7;
    add(rows, "x");
    CHECK_TEXT(run(rows, "DBSIZE"), ":1 ");
    rows->database = 0;
    CHECK_TEXT(run(rows, "DBSIZE"), ":4 ");
}

TEST(flushes)
{
    struct rows *rows = some_rows();
    rows->database = 3;
    CHECK_TEXT(run(rows, "FLUSHDB"), "+OK ");
    CHECK_TEXT(run(rows, "flushdb ASYNC"), "+OK ");
    CHECK_TEXT(run(rows, "FLUSHDB sync"), "+OK ");
    CHECK_TEXT(rows->flushed, "3 3 3 ");
    rows->flushed[0] = '\0';
    CHECK_TEXT(run(rows, "FLUSHALL"), "+OK ");
    CHECK_TEXT(rows->flushed, "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 ");
}
