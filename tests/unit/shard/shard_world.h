/* What the tests of the shard share: one shard on a real log, over a fake world. */
#ifndef SHARD_SHARD_WORLD_H
#define SHARD_SHARD_WORLD_H

#include "fake_env.h"
#include "harness.h"
#include "shard/shard.h"

#define DIR "log"
#define ARGS_MAX 16u
#define TEXT_BYTES 256u
#define STREAMS 4u

struct shard_world {
    struct fake_env env;
    struct log log;
    struct store store;
    struct stats stats;
    struct shard shard;
    struct shard_stream streams[STREAMS]; /* connections; the last one is check_command's */
    uint64_t sequence;
    unsigned answers; /* done() calls so far */
    struct error error;
};

/* One command of a client. */
struct ask {
    struct shard_request request;
    struct shard_world *world;
    struct buf reply;
    char text[TEXT_BYTES]; /* the words; destroyed once submitted */
    bool is_done;
    unsigned order; /* of done(): 1, 2, ... */
};

static inline enum status on_replay(void *ctx,
                                    const struct log_record *record,
                                    struct bytes payload,
                                    struct error *error)
{
    struct shard_world *w = ctx;
    return shard_replay(&w->shard, record, payload, error);
}

static inline void on_durable(void *owner, uint64_t batch)
{
    struct shard_world *w = owner;
    shard_durable(&w->shard, batch);
}

/* Opens a node's rooms on the files of `from`, or on none. */
static inline void world_start(struct shard_world *w, const struct fake_env *from)
{
    *w = (struct shard_world){0};
    fake_env_init(&w->env);
    if (from != NULL) {
        fake_env_copy_files(&w->env, from);
        w->env.wall_ms = from->wall_ms;
    }
    struct store_options store_options = {.fold_rows = 3};
    store_init(&w->store, &w->env.base, &store_options, store_engine_mem_create());
    struct shard_options shard_options = {.group = 1};
    shard_init(&w->shard, &w->env.base, &w->log, &w->store, &w->stats, &shard_options);
    for (size_t i = 0; i < STREAMS; i++) {
        shard_stream_init(&w->streams[i]);
    }
    struct log_options options = {.dir = DIR, .segment_bytes = LOG_SEGMENT_BYTES_MIN};
    enum status s =
        log_open(&w->log, &w->env.base, &options, on_replay, w, on_durable, w, &w->error);
    CHECK_EQ(s, STATUS_OK);
}

static inline void world_stop(struct shard_world *w)
{
    env_timer_stop(&w->env.base, &w->log.mark_timer);
    env_file_close(&w->env.base, w->log.file);
    env_file_close(&w->env.base, w->log.prepared);
    shard_deinit(&w->shard);
    store_deinit(&w->store);
    log_deinit(&w->log);
    fake_env_deinit(&w->env);
}

/* The end of a loop turn: what gathered goes to the log. */
static inline void world_turn(struct shard_world *w)
{
    shard_flush(&w->shard);
    log_flush(&w->log);
    store_flush(&w->store);
}

/* Turns and jobs until nothing is under way. */
static inline void world_settle(struct shard_world *w)
{
    do {
        world_turn(w);
    } while (fake_env_run(&w->env));
}

static inline void on_done(struct shard_request *r)
{
    struct ask *a = container_of(r, struct ask, request);
    CHECK(!a->is_done);
    a->is_done = true;
    a->order = ++a->world->answers;
}

/* Submits the words of text; a is done or will be. Memory of the words is overwritten at once. */
static inline void ask(struct shard_world *w, struct ask *a, size_t stream, const char *text)
{
    *a = (struct ask){.world = w};
    buf_init(&a->reply, SIZE_MAX / 2);
    struct bytes args[ARGS_MAX];
    size_t count = 0;
    CHECK(strlen(text) < TEXT_BYTES);
    memcpy(a->text, text, strlen(text));
    for (char *at = a->text; *at != '\0';) {
        CHECK(count < ARGS_MAX);
        size_t size = strcspn(at, " ");
        args[count++] = bytes_of(at, size);
        at += at[size] == ' ' ? size + 1 : size;
    }
    a->request = (struct shard_request){
        .command = command_resolve(args, count, &a->reply),
        .args = args,
        .arg_count = count,
        .resp = 2,
        .id = {.node = 1, .incarnation = 1, .sequence = ++w->sequence},
        .stream = &w->streams[stream],
        .reply = &a->reply,
        .done = on_done,
    };
    CHECK(a->request.command != NULL);
    a->is_done = shard_submit(&w->shard, &a->request);
    memset(a->text, '?', sizeof a->text);
    memset(args, 0, sizeof args);
}

/* Checks the reply and gives its memory back. NULL: there is none yet. */
static inline void check_reply(struct ask *a, const char *reply)
{
    CHECK_EQ(a->is_done, reply != NULL);
    if (reply != NULL) {
        CHECK_BYTES(buf_bytes(&a->reply), bytes_of_text(reply));
        buf_deinit(&a->reply);
    }
}

/* A command on a connection of its own, run to its end. */
static inline void check_command(struct shard_world *w, const char *text, const char *reply)
{
    struct ask a;
    ask(w, &a, STREAMS - 1, text);
    world_settle(w);
    check_reply(&a, reply);
}

#endif
