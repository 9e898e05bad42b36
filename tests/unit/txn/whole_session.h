/*
 * Clients of the whole world. A step is a line of commands with ";" between them; each command is
 * sent when the one before is answered. MULTI, WATCH and EXEC as the server's sessions have them,
 * without the errors of misuse.
 */
#ifndef TXN_WHOLE_SESSION_H
#define TXN_WHOLE_SESSION_H

#include "whole_world.h"

#define STEP_BYTES 256u
#define WORDS_MAX 16u
#define QUEUE_MAX 16u
#define WATCHES_MAX 8u
#define WATCH_BYTES 16u

struct session {
    struct world *world;
    const char *name;
    uint32_t gateway;
    struct router_stream stream;
    char step[STEP_BYTES]; /* commands that are not sent yet begin at `rest` */
    char *rest;
    bool is_busy; /* a command is under way */
    bool has_multi;
    bool is_strict;
    char queue[QUEUE_MAX][STEP_BYTES];
    size_t queue_count;
    char watch_keys[WATCHES_MAX][WATCH_BYTES];
    uint64_t versions[WATCHES_MAX];
    size_t watch_count;
    size_t watch_new;
    struct buf answers; /* text, of the step so far */
    struct buf reply;
    struct router_request route;
    struct txn_request txn;
    struct txn_watch_request watch;
};

static inline void session_init(struct session *s, struct world *w, const char *name, uint32_t gw)
{
    *s = (struct session){.world = w, .name = name, .gateway = gw};
    s->rest = s->step;
    router_stream_init(&s->stream);
    buf_init(&s->answers, SIZE_MAX / 2);
    buf_init(&s->reply, SIZE_MAX / 2);
}

static inline void session_deinit(struct session *s)
{
    buf_deinit(&s->answers);
    buf_deinit(&s->reply);
}

static inline bool session_is_idle(const struct session *s)
{
    return !s->is_busy && *s->rest == '\0';
}

/* Cuts the text at blanks, in place. */
static inline size_t split_words(char *text, struct bytes out_words[WORDS_MAX])
{
    size_t count = 0;
    for (char *word = strtok_r(text, " ", &text); word != NULL; word = strtok_r(NULL, " ", &text)) {
        ensure(count < WORDS_MAX);
        out_words[count++] = bytes_of_text(word);
    }
    return count;
}

static inline void session_answer(struct session *s, const char *text)
{
    buf_append_text(&s->answers, s->answers.size > 0 ? " " : "");
    buf_append_text(&s->answers, text);
}

static inline void session_go_on(struct session *s);

/* The command under way has its reply. */
static inline void session_replied(struct session *s)
{
    buf_append_text(&s->answers, s->answers.size > 0 ? " " : "");
    show_values(&s->answers, buf_bytes(&s->reply));
    s->is_busy = false;
    session_go_on(s);
}

static inline void on_route_done(struct router_request *r)
{
    session_replied(container_of(r, struct session, route));
}

static inline void on_txn_done(struct txn_request *r, enum txn_outcome outcome)
{
    struct session *s = container_of(r, struct session, txn);
    bool is_exec = s->has_multi;
    s->has_multi = false;
    if (is_exec) {
        s->watch_count = 0;
    }
    if (outcome == TXN_CHANGED) {
        session_answer(s, "nil");
    } else if (outcome == TXN_FAILED) {
        session_answer(s, "EXECABORT:");
    } else if (is_exec && outcome == TXN_COMMITTED) {
        session_answer(s, "[");
        show_values(&s->answers, buf_bytes(&s->reply));
        buf_append_text(&s->answers, "]");
        buf_clear(&s->reply, SIZE_MAX);
    }
    s->is_busy = false;
    if (s->reply.size > 0) {
        session_replied(s);
    } else {
        session_go_on(s);
    }
}

static inline void on_watch_done(struct txn_watch_request *r, bool is_good)
{
    struct session *s = container_of(r, struct session, watch);
    if (is_good) {
        s->watch_count += s->watch_new;
        resp_write_simple(&s->reply, "OK");
    }
    session_replied(s);
}

static inline struct txn_manager *session_manager(struct session *s)
{
    struct txn_manager *m = s->world->gateways[s->gateway].m;
    ensure(m != NULL);
    return m;
}

static inline void session_transact(struct session *s, struct txn_command *commands, size_t count)
{
    struct txn_compare watches[WATCHES_MAX];
    size_t watch_count = s->has_multi ? s->watch_count : 0;
    for (size_t i = 0; i < watch_count; i++) {
        watches[i] = (struct txn_compare){
            .is_watched = true,
            .key = bytes_of_text(s->watch_keys[i]),
            .version = s->versions[i],
        };
    }
    s->is_busy = true;
    s->txn = (struct txn_request){
        .commands = commands,
        .command_count = count,
        .watches = watches,
        .watch_count = watch_count,
        .is_strict = s->is_strict && s->has_multi,
        .resp = 2,
        .stream = &s->stream,
        .replies = &s->reply,
        .done = on_txn_done,
    };
    txn_submit(session_manager(s), &s->txn);
}

static inline void session_exec(struct session *s)
{
    struct txn_command commands[QUEUE_MAX];
    struct bytes words[QUEUE_MAX][WORDS_MAX];
    ensure(s->has_multi && s->queue_count > 0);
    for (size_t i = 0; i < s->queue_count; i++) {
        size_t count = split_words(s->queue[i], words[i]);
        commands[i] = (struct txn_command){
            .command = command_resolve(words[i], count, &s->reply),
            .args = words[i],
            .arg_count = count,
        };
        ensure(commands[i].command != NULL);
    }
    session_transact(s, commands, s->queue_count);
}

static inline void session_watch(struct session *s, const struct bytes *words, size_t count)
{
    struct txn_key keys[WATCHES_MAX];
    ensure(s->watch_count + count - 1 <= WATCHES_MAX);
    for (size_t i = 1; i < count; i++) {
        keys[i - 1] = (struct txn_key){.key = words[i]};
        (void)snprintf(s->watch_keys[s->watch_count + i - 1],
                       WATCH_BYTES,
                       "%.*s",
                       (int)words[i].size,
                       (const char *)words[i].data);
    }
    s->is_busy = true;
    s->watch_new = count - 1;
    s->watch = (struct txn_watch_request){
        .keys = keys,
        .key_count = count - 1,
        .stream = &s->stream,
        .versions = s->versions + s->watch_count,
        .error = &s->reply,
        .done = on_watch_done,
    };
    txn_watch(session_manager(s), &s->watch);
}

/* Straight to its group, or as a transaction of its own. */
static inline void session_single(struct session *s, const struct bytes *words, size_t count)
{
    struct router *router = &s->world->gateways[s->gateway].router;
    const struct command *row = command_resolve(words, count, &s->reply);
    ensure(row != NULL && command_key_count(row, count) > 0);
    if (txn_needs(router, row, words, count)) {
        struct txn_command command = {.command = row, .args = words, .arg_count = count};
        session_transact(s, &command, 1);
        return;
    }
    s->is_busy = true;
    s->route = (struct router_request){
        .command = row,
        .args = words,
        .arg_count = count,
        .resp = 2,
        .stream = &s->stream,
        .reply = &s->reply,
        .done = on_route_done,
    };
    uint16_t slot = slot_of_key(words[command_key_at(row, count, 0)]);
    router_submit_to_group(router, router_group_of_slot(router, slot), &s->route);
}

static inline void session_queue(struct session *s, const char *text)
{
    ensure(s->queue_count < QUEUE_MAX);
    (void)snprintf(s->queue[s->queue_count++], STEP_BYTES, "%s", text);
    session_answer(s, "QUEUED");
}

static inline void session_run(struct session *s, char *text)
{
    char copy[STEP_BYTES];
    struct bytes words[WORDS_MAX];
    (void)snprintf(copy, sizeof copy, "%s", text);
    size_t count = split_words(copy, words);
    ensure(count > 0);
    buf_clear(&s->reply, SIZE_MAX);
    if (bytes_equal_text(words[0], "EXEC")) {
        session_exec(s);
    } else if (bytes_equal_text(words[0], "DISCARD") || bytes_equal_text(words[0], "UNWATCH")) {
        s->has_multi = false;
        s->watch_count = 0;
        session_answer(s, "OK");
    } else if (s->has_multi) {
        session_queue(s, text);
    } else if (bytes_equal_text(words[0], "MULTI")) {
        s->has_multi = true;
        s->is_strict = count == 2;
        s->queue_count = 0;
        session_answer(s, "OK");
    } else if (bytes_equal_text(words[0], "WATCH")) {
        session_watch(s, words, count);
    } else {
        session_single(s, words, count);
    }
}

/* Runs commands of the step until one has to wait, or all are answered: that leaves a line. */
static inline void session_go_on(struct session *s)
{
    while (!s->is_busy && *s->rest != '\0') {
        char *text = s->rest;
        char *end = strchr(text, ';');
        s->rest = end != NULL ? end + 1 : text + strlen(text);
        if (end != NULL) {
            *end = '\0';
        }
        session_run(s, text);
        if (session_is_idle(s)) {
            break;
        }
    }
    if (session_is_idle(s) && s->answers.size > 0) {
        buf_append(&s->answers, "", 1);
        fake_env_note(&s->world->env, "%s: %s", s->name, (const char *)s->answers.data);
    }
}

/* The next step; the session is idle. */
static inline void session_say(struct session *s, const char *step)
{
    ensure(session_is_idle(s) && strlen(step) < STEP_BYTES);
    buf_clear(&s->answers, SIZE_MAX);
    (void)snprintf(s->step, sizeof s->step, "%s", step);
    s->rest = s->step;
    session_go_on(s);
    pump(s->world);
}

/* What the last step was answered, as text. */
static inline const char *session_answers(const struct session *s)
{
    ensure(session_is_idle(s) && s->answers.size > 0);
    return (const char *)s->answers.data;
}

#endif
