/* What tests of commands share: keys in a small array, and one call of a handler on them. */
#ifndef COMMAND_FAKE_VIEW_H
#define COMMAND_FAKE_VIEW_H

#include <stdio.h>

#include "base/assert.h"
#include "base/list.h"
#include "command/command.h"
#include "harness.h"

#define FAKE_KEYS_MAX 32u
#define FAKE_KEY_BYTES 64u
#define FAKE_VALUE_BYTES 4096u
#define FAKE_ARGS_MAX 64u
#define FAKE_NOW_MS 1700000000000u

struct fake_row {
    char key[FAKE_KEY_BYTES];
    uint8_t database;
    uint8_t value[FAKE_VALUE_BYTES];
    struct object object; /* its value points here */
};

struct fake_view {
    struct view base;
    struct fake_row rows[FAKE_KEYS_MAX];
    size_t count;
    uint8_t database; /* of the calls that follow */
    unsigned changes;
    uint8_t resp;        /* 2, unless a test sets it */
    struct view *view;   /* of the commands: base, unless a test sets another */
    const char *missing; /* this key is not at hand: STATUS_NEED */
    char reply[8192];
    size_t reply_size;
    enum command_result result; /* of the last call */
};

static inline struct fake_view *fake_of(struct view *v)
{
    return container_of(v, struct fake_view, base);
}

static inline struct fake_row *fake_find(struct fake_view *f, struct bytes key)
{
    for (size_t i = 0; i < f->count; i++) {
        if (f->rows[i].database == f->database && bytes_equal_text(key, f->rows[i].key)) {
            return &f->rows[i];
        }
    }
    return NULL;
}

static inline enum status fake_get(struct view *v, struct bytes key, struct object *out_object)
{
    struct fake_view *f = fake_of(v);
    if (f->missing != NULL && bytes_equal_text(key, f->missing)) {
        return STATUS_NEED;
    }
    const struct fake_row *row = fake_find(f, key);
    if (row == NULL) {
        return STATUS_NOT_FOUND;
    }
    *out_object = row->object;
    return STATUS_OK;
}

static inline enum status fake_put(struct view *v, struct bytes key, const struct object *object)
{
    struct fake_view *f = fake_of(v);
    struct fake_row *row = fake_find(f, key);
    if (row == NULL) {
        ensure(f->count < FAKE_KEYS_MAX && key.size < FAKE_KEY_BYTES);
        row = &f->rows[f->count++];
        memcpy(row->key, key.data, key.size);
        row->database = f->database;
    }
    ensure(object->value.size <= FAKE_VALUE_BYTES);
    memmove(row->value, object->value.data, object->value.size);
    row->object = *object;
    row->object.value = bytes_of(row->value, object->value.size);
    f->changes++;
    return STATUS_OK;
}

static inline enum status fake_delete(struct view *v, struct bytes key)
{
    struct fake_view *f = fake_of(v);
    struct fake_row *row = fake_find(f, key);
    if (row == NULL) {
        return STATUS_NOT_FOUND;
    }
    *row = f->rows[--f->count];
    row->object.value.data = row->value;
    memset(&f->rows[f->count], 0, sizeof f->rows[f->count]);
    f->changes++;
    return STATUS_OK;
}

static inline void fake_select(struct view *v, uint8_t database)
{
    fake_of(v)->database = database;
}

static inline void fake_count(struct view *v, struct view_counts *out_counts)
{
    struct fake_view *f = fake_of(v);
    *out_counts = (struct view_counts){0};
    for (size_t i = 0; i < f->count; i++) {
        bool is_ours = f->rows[i].database == f->database;
        out_counts->keys += is_ours ? 1 : 0;
        out_counts->expiring += is_ours && f->rows[i].object.expires_ms != 0 ? 1 : 0;
    }
}

static inline void fake_flush(struct view *v)
{
    struct fake_view *f = fake_of(v);
    for (size_t i = f->count; i-- > 0;) {
        if (f->rows[i].database == f->database) {
            f->rows[i] = f->rows[--f->count];
            f->rows[i].object.value.data = f->rows[i].value;
        }
    }
    f->changes++;
}

static const struct view_ops fake_ops = {
    .get = fake_get,
    .put = fake_put,
    .delete = fake_delete,
    .select = fake_select,
    .count = fake_count,
    .flush = fake_flush,
};

static inline void fake_view_init(struct fake_view *f)
{
    *f = (struct fake_view){.base = {.ops = &fake_ops, .slot_end = 16384}, .resp = 2};
    f->view = &f->base;
}

/* Runs a command, checked first as a client's, on database 0, and returns the reply. */
static inline const char *run_args(struct fake_view *f, const struct bytes *args, size_t count)
{
    f->database = 0;
    struct buf reply;
    buf_init(&reply, sizeof f->reply - 1);
    const struct command *c = command_resolve(args, count, &reply);
    f->result = COMMAND_ERROR;
    if (c != NULL) {
        struct command_call call = {
            .command = c,
            .args = args,
            .arg_count = count,
            .resp = f->resp,
            .reply = &reply,
            .view = f->view,
            .now_ms = FAKE_NOW_MS,
        };
        f->result = c->handler(&call);
    }
    f->reply_size = reply.size;
    if (reply.size > 0) {
        memcpy(f->reply, reply.data, reply.size);
    }
    f->reply[reply.size] = '\0';
    buf_deinit(&reply);
    return f->reply;
}

static inline unsigned hex_digit(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

/* Copies a word; "\xff" in it is that byte. Returns its size. */
static inline size_t fake_unescape(const char *word, size_t size, uint8_t *out_bytes)
{
    size_t out = 0;
    for (size_t i = 0; i < size; i++) {
        if (i + 3 < size && word[i] == '\\' && word[i + 1] == 'x') {
            out_bytes[out++] = (uint8_t)(hex_digit(word[i + 2]) << 4 | hex_digit(word[i + 3]));
            i += 3;
        } else {
            out_bytes[out++] = (uint8_t)word[i];
        }
    }
    return out;
}

/* The same with the words of text; two blanks enclose an empty one, as does a last blank. */
static inline const char *run(struct fake_view *f, const char *text)
{
    uint8_t words[FAKE_VALUE_BYTES];
    struct bytes args[FAKE_ARGS_MAX];
    size_t count = 0;
    size_t used = 0;
    ensure(strlen(text) < sizeof words);
    for (const char *at = text;;) {
        ensure(count < FAKE_ARGS_MAX);
        size_t size = strcspn(at, " ");
        size_t out = fake_unescape(at, size, words + used);
        args[count++] = bytes_of(words + used, out);
        used += out;
        if (at[size] == '\0') {
            break;
        }
        at += size + 1;
    }
    return run_args(f, args, count);
}

#define FAKE_SHOWN_BYTES 8192u

/*
 * The last reply as scripts write it: a blank for each end of a line, none at the end, "\xff" for
 * bytes that are not printed.
 */
static inline const char *fake_shown(const struct fake_view *f)
{
    static char shown[FAKE_SHOWN_BYTES];
    size_t size = 0;
    for (size_t i = 0; i < f->reply_size; i++) {
        char c = f->reply[i];
        bool is_end = c == '\r' && f->reply[i + 1] == '\n';
        ensure(size + sizeof "\\xff" < sizeof shown);
        if (is_end) {
            shown[size++] = ' ';
            i++;
        } else if (c >= ' ' && c <= '~' && c != '\\') {
            shown[size++] = c;
        } else {
            size += (size_t)snprintf(shown + size, sizeof "\\xff", "\\x%02x", (unsigned char)c);
        }
    }
    while (size > 0 && shown[size - 1] == ' ') {
        size--;
    }
    shown[size] = '\0';
    return shown;
}

/* One command and what Redis 7.0.15 replied to it, after those before it. */
struct script_step {
    const char *command;
    const char *reply;
};

#define RUN_SCRIPT(f, steps) run_script((f), (steps), sizeof(steps) / sizeof((steps)[0]))

static inline void run_script(struct fake_view *f, const struct script_step *steps, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char expected[FAKE_SHOWN_BYTES];
        char actual[FAKE_SHOWN_BYTES];
        unsigned changes = f->changes;
        (void)run(f, steps[i].command);
        const char *command = steps[i].command;
        (void)snprintf(expected, sizeof expected, "%.64s: %s", command, steps[i].reply);
        (void)snprintf(actual, sizeof actual, "%.64s: %.8000s", command, fake_shown(f));
        CHECK_TEXT(actual, expected);
        /* An error is no half of a command. */
        CHECK_EQ(f->result, steps[i].reply[0] == '-' ? COMMAND_ERROR : COMMAND_DONE);
        CHECK(f->changes == changes || f->result == COMMAND_DONE);
    }
}

/* A key of a type that no command knows. */
static inline void put_other_type(struct fake_view *f, const char *key)
{
    struct object object = {.type = (enum object_type)99, .value = bytes_of_text("1")};
    CHECK_EQ(view_put(&f->base, bytes_of_text(key), &object), STATUS_OK);
}

/* Value of a key as text; "(none)" if it is not there. */
static inline const char *value_of(struct fake_view *f, const char *key)
{
    static char text[FAKE_VALUE_BYTES + 1];
    const struct fake_row *row = fake_find(f, bytes_of_text(key));
    if (row == NULL) {
        return "(none)";
    }
    (void)snprintf(text,
                   sizeof text,
                   "%.*s",
                   (int)row->object.value.size,
                   (const char *)row->object.value.data);
    return text;
}

#endif
