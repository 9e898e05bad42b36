/* Barriers, what became of a request, and attempts as chains: what transactions need of a router.
 */
#include "router_world.h"

struct barrier {
    struct router_request request;
    struct world *world;
    struct ask *inside; /* submitted to another stream when it comes up; or NULL */
    bool is_up;
};

static void on_barrier(struct router_request *request)
{
    struct barrier *b = container_of(request, struct barrier, request);
    ensure(!b->is_up);
    b->is_up = true;
    fake_env_note(&b->world->env, "barrier");
    if (b->inside != NULL) {
        submit(b->world, b->inside, 1, "set j 1");
    }
}

static void submit_barrier_of(struct world *w, struct barrier *b, unsigned stream, bool is_reading)
{
    b->world = w;
    b->is_up = false;
    b->request = (struct router_request){
        .stream = &w->streams[stream],
        .is_reading = is_reading,
        .done = on_barrier,
    };
    router_submit_barrier(w->router, &b->request);
    CHECK(!b->is_up);
}

static void submit_barrier(struct world *w, struct barrier *b, unsigned stream)
{
    submit_barrier_of(w, b, stream, false);
}

/* It waits for all before it, and holds all behind it until its end. */
TEST(barrier_keeps_its_place)
{
    struct world w;
    struct ask a[4] = {0};
    struct barrier b = {0};
    world_start(&w);
    submit(&w, &a[0], 0, "set b 1");
    submit(&w, &a[1], 0, "set f 1");
    submit_barrier(&w, &b, 0);
    submit(&w, &a[2], 0, "get b");
    submit(&w, &a[3], 2, "get f"); /* another stream goes on */
    turn(&w);
    CHECK_EVENTS(&w, "here g1 set b 1 #1/0\nhere g1 set f 1 #2/0\nhere g1 get f\n");
    answer_here(&w, 1, SHARD_DONE, "+OK\r\n");
    turn(&w);
    CHECK(!b.is_up);
    answer_here(&w, 1, SHARD_DONE, "+OK\r\n");
    answer_here(&w, 1, SHARD_DONE, "$-1\r\n");
    fake_env_forget(&w.env);
    turn(&w);
    turn(&w);
    CHECK_EVENTS(&w, "barrier\n");
    router_end_barrier(w.router, &b.request);
    turn(&w);
    CHECK_EVENTS(&w, "here g1 get b\n");
    answer_here(&w, 1, SHARD_DONE, "$1\r\n1\r\n");
    fake_env_forget(&w.env);
    ask_end(a, 4);
    world_stop(&w);
}

/* What is submitted when it comes up goes in the same flush: a transaction costs no turn more. */
TEST(barrier_goes_on_in_its_flush)
{
    struct world w;
    struct ask inside = {0};
    struct barrier b = {.inside = &inside};
    struct barrier second = {0};
    world_start(&w);
    router_stream_pause(w.router, &w.streams[0], true); /* it reads nothing */
    submit_barrier(&w, &b, 0);
    submit_barrier(&w, &second, 0);
    router_flush(w.router);
    CHECK_EVENTS(&w, "barrier\nhere g1 set j 1 #1/0\n");
    router_end_barrier(w.router, &b.request);
    answer_here(&w, 1, SHARD_DONE, "+OK\r\n");
    fake_env_forget(&w.env);
    turn(&w);
    CHECK_EVENTS(&w, "barrier\n");
    router_end_barrier(w.router, &second.request);
    ask_end(&inside, 1);
    router_stream_pause(w.router, &w.streams[0], false);
    world_stop(&w);
}

/* Nobody takes the replies of reads: also a barrier for them waits, and what is behind it (MGET
 * over groups is one). */
TEST(barrier_of_reads_is_paused)
{
    struct world w;
    struct ask behind = {0};
    struct barrier b = {0};
    world_start(&w);
    router_stream_pause(w.router, &w.streams[0], true);
    submit_barrier_of(&w, &b, 0, true);
    submit(&w, &behind, 0, "set b 1");
    turn(&w);
    CHECK_EVENTS(&w, "");
    router_stream_pause(w.router, &w.streams[0], false);
    turn(&w);
    CHECK_EVENTS(&w, "barrier\n");
    router_end_barrier(w.router, &b.request);
    turn(&w);
    CHECK_EVENTS(&w, "here g1 set b 1 #1/0\n");
    answer_here(&w, 1, SHARD_DONE, "+OK\r\n");
    fake_env_forget(&w.env);
    ask_end(&behind, 1);
    world_stop(&w);
}

/* ---- outcomes -------------------------------------------------------------------------------- */

TEST(outcomes)
{
    struct world w;
    struct ask a[4] = {0};
    world_start(&w);
    for (unsigned i = 0; i < 4; i++) {
        submit(&w, &a[i], i, "set b 1");
    }
    turn(&w);
    answer_here(&w, 1, SHARD_DONE, "-ERR no\r\n");
    answer_here(&w, 1, SHARD_DONE, "-UNKNOWNRESULT the reply is lost\r\n");
    answer_here(&w, 1, SHARD_NO_SPACE, NULL);
    answer_here(&w, 1, SHARD_LOST, NULL);
    w.shards[1].mode = FAKE_REFUSE;
    advance(&w, TIMEOUT_MS);
    CHECK_EQ(a[0].request.outcome, ROUTER_DONE);
    CHECK_EQ(a[1].request.outcome, ROUTER_UNKNOWN);
    CHECK_EQ(a[2].request.outcome, ROUTER_REFUSED);
    CHECK_EQ(a[3].request.outcome, ROUTER_UNKNOWN);
    ask_end(a, 4);
    submit(&w, &a[0], 0, "set b 1");
    advance(&w, 0);
    advance(&w, TIMEOUT_MS);
    CHECK_EQ(a[0].request.outcome, ROUTER_REFUSED);
    ask_end(a, 1);
    fake_env_forget(&w.env);
    world_stop(&w);
}

/* ---- chains ---------------------------------------------------------------------------------- */

/* Requests of one attempt are one chain, and no two attempts share one. */
TEST(attempts_are_chains)
{
    struct world w;
    struct ask a[3] = {0};
    world_start(&w);
    submit(&w, &a[0], 0, "set b 1");
    submit(&w, &a[1], 0, "set f 1");
    submit(&w, &a[2], 1, "set j 1");
    turn(&w);
    struct shard *s = &w.shards[1];
    CHECK(s->held[0]->chain != 0);
    CHECK_EQ(s->held[0]->chain, s->held[1]->chain);
    CHECK(s->held[2]->chain != s->held[0]->chain);
    uint64_t first = s->held[0]->chain;
    answer_here(&w, 1, SHARD_LOST, NULL);
    answer_here(&w, 1, SHARD_LOST, NULL);
    advance(&w, 20);
    CHECK_EQ(s->held_count, 3u);
    CHECK_EQ(s->held[1]->chain, s->held[2]->chain);
    CHECK(s->held[1]->chain != first);
    for (unsigned i = 0; i < 3; i++) {
        answer_here(&w, 1, SHARD_DONE, "+OK\r\n");
    }
    fake_env_forget(&w.env);
    ask_end(a, 3);
    world_stop(&w);
}

/* A cluster of one: writes to two groups are one run, unless one of them may be held. */
TEST(what_may_be_held_is_not_joined)
{
    struct world w;
    struct ask a[2] = {0};
    for (unsigned held = 0; held < 3; held++) {
        world_start(&w);
        for (uint32_t g = 1; g <= 2; g++) {
            w.groups[g].node_count = 1;
            w.groups[g].nodes[0] = 1;
            w.replicas[g].leader = 1;
        }
        w.shards[held].may_hold = true; /* the first time: of no group of data */
        submit(&w, &a[0], 0, "set b 1");
        submit(&w, &a[1], 0, "set c 1");
        turn(&w);
        CHECK_EVENTS(&w,
                     held == 0 ? "here g1 set b 1 #1/0\nhere g2 set c 1 #1/0\n"
                               : "here g1 set b 1 #1/0\n");
        answer_here(&w, 1, SHARD_DONE, "+OK\r\n");
        turn(&w);
        answer_here(&w, 2, SHARD_DONE, "+OK\r\n");
        fake_env_forget(&w.env);
        ask_end(a, 2);
        world_stop(&w);
    }
}
