/* Commands without keys: over all groups, by a cursor, and sweeps. */
#include <stdio.h>
#include <stdlib.h>

#include "command/scan.h"
#include "router_world.h"

#define CURSOR(slot) ((uint64_t)(slot) << SCAN_CURSOR_SLOT_SHIFT)
#define GROUP_SLOTS 4096u /* of each of the four groups */

/* ---- all groups ------------------------------------------------------------------------------ */

TEST(dbsize_is_the_sum_over_all_groups)
{
    struct world w;
    struct ask a[2] = {0};
    world_start(&w);
    submit(&w, &a[0], 0, "dbsize");
    submit(&w, &a[1], 0, "get b"); /* waits for all parts */
    turn(&w);
    CHECK_EVENTS(&w,
                 "here g1 dbsize\nto 2: t1 g2 dbsize\nto 2: t2 g3 dbsize\nto 2: t3 g4 dbsize\n");
    answer_here(&w, 1, SHARD_DONE, ":1\r\n");
    done(&w, 2, 3, 0, ":1000\r\n");
    done(&w, 2, 1, 0, ":10\r\n");
    turn(&w);
    CHECK_EVENTS(&w, "");
    done(&w, 2, 2, 0, ":100\r\n");
    CHECK_EVENTS(&w, "done dbsize: :1111\n");
    turn(&w);
    CHECK_EVENTS(&w, "here g1 get b\n");
    answer_here(&w, 1, SHARD_DONE, "$-1\r\n");
    ask_end(a, 2);
    fake_env_forget(&w.env);
    world_stop(&w);
}

static void done_elsewhere(struct world *w, const char *reply)
{
    for (uint64_t ticket = 1; ticket <= GROUPS - 1; ticket++) {
        done(w, 2, ticket, 0, reply);
    }
}

TEST(flushes_have_a_sequence_in_each_group)
{
    struct world w;
    struct ask a[3] = {0};
    world_start(&w);
    submit(&w, &a[0], 1, "set d 1");
    turn(&w);
    done(&w, 2, 1, 0, "+OK\r\n");
    submit(&w, &a[1], 0, "flushall");
    turn(&w);
    CHECK_EVENTS(
        &w,
        "to 2: t1 g3 set d 1 #1/0\ndone set d 1: +OK\nhere g1 flushall #1/0\n"
        "to 2: t2 g2 flushall #1/0\nto 2: t3 g3 flushall #2/1\nto 2: t4 g4 flushall #1/0\n");
    answer_here(&w, 1, SHARD_DONE, "+OK\r\n");
    for (uint64_t ticket = 2; ticket <= 4; ticket++) {
        done(&w, 2, ticket, 0, "+OK\r\n");
    }
    CHECK_EVENTS(&w, "done flushall: +OK\n");
    submit(&w, &a[2], 0, "flushdb sync");
    turn(&w);
    answer_here(&w, 1, SHARD_DONE, "+OK\r\n");
    for (uint64_t ticket = 5; ticket <= 7; ticket++) {
        done(&w, 2, ticket, 0, "+OK\r\n");
    }
    CHECK_EVENTS(&w,
                 "here g1 flushdb sync #2/1\nto 2: t5 g2 flushdb sync #2/1\n"
                 "to 2: t6 g3 flushdb sync #3/2\nto 2: t7 g4 flushdb sync #2/1\n"
                 "done flushdb sync: +OK\n");
    ask_end(a, 3);
    world_stop(&w);
}

/* Every group says the same: then nothing was executed anywhere. */
TEST(an_error_of_all_groups_is_the_reply)
{
    struct world w;
    struct ask a[1] = {0};
    world_start(&w);
    submit(&w, &a[0], 0, "flushall x");
    turn(&w);
    answer_here(&w, 1, SHARD_DONE, "-ERR syntax error\r\n");
    fake_env_forget(&w.env);
    done_elsewhere(&w, "-ERR syntax error\r\n");
    CHECK_EVENTS(&w, "done flushall x: -ERR syntax error\n");
    ask_end(a, 1);
    world_stop(&w);
}

/* DUP-6: an error would say that nothing was executed. */
TEST(executed_by_some_groups_is_unknown)
{
    struct world w;
    struct ask a[1] = {0};
    world_start(&w);
    w.shards[1].mode = FAKE_NO_SPACE;
    submit(&w, &a[0], 0, "flushall");
    turn(&w);
    fake_env_forget(&w.env);
    done_elsewhere(&w, "+OK\r\n");
    CHECK_EVENTS(&w,
                 "done flushall: -UNKNOWNRESULT some groups may have executed the command, some "
                 "have not: MISCONF the disks of this group's replicas are nearly full: writes are "
                 "refused until there is space again\n");
    ask_end(a, 1);
    world_stop(&w);
}

TEST(unknown_in_one_group_is_unknown)
{
    struct world w;
    struct ask a[1] = {0};
    world_start(&w);
    submit(&w, &a[0], 0, "flushall");
    turn(&w);
    answer_here(&w, 1, SHARD_DONE, "-MISCONF no\r\n");
    fake_env_forget(&w.env);
    done_elsewhere(&w, "-UNKNOWNRESULT why\r\n");
    CHECK_EVENTS(&w,
                 "done flushall: -UNKNOWNRESULT some groups may have executed the command, some "
                 "have not: MISCONF no\n");
    ask_end(a, 1);
    world_stop(&w);
}

/* No group took it but one, which executed it: that it was not executed would be a lie. */
TEST(given_up_though_one_group_executed_it)
{
    struct world w;
    struct ask a[2] = {0};
    world_start(&w);
    w.peers.is_connected[2] = false;
    w.peers.is_connected[3] = false;
    submit(&w, &a[0], 0, "flushall");
    turn(&w);
    answer_here(&w, 1, SHARD_DONE, "+OK\r\n");
    fake_env_forget(&w.env);
    fake_env_advance(&w.env, TIMEOUT_MS);
    CHECK(strstr(fake_env_events(&w.env),
                 "done flushall: -UNKNOWNRESULT the command may or may not have been executed (no "
                 "answer from group 2 in time)\n") != NULL);
    /* Without that one group it is true. */
    w.shards[1].mode = FAKE_REFUSE;
    fake_env_forget(&w.env);
    submit(&w, &a[1], 1, "flushdb");
    turn(&w);
    for (unsigned i = 0; i < 2 * TIMEOUT_MS / 100; i++) {
        advance(&w, 100);
    }
    CHECK(strstr(
              fake_env_events(&w.env),
              "done flushdb: -CLUSTERDOWN group 1 has no leader; the command was not executed\n") !=
          NULL);
    ask_end(a, 2);
    fake_env_forget(&w.env);
    world_stop(&w);
}

#define FILLERS (DUP_WINDOW - 1u)

/* One of the groups has no room for another sequence: none of the parts starts. */
TEST(a_full_window_holds_back_all_parts)
{
    struct world w;
    struct ask a[1] = {0};
    struct ask *fillers = mem_alloc_zero(FILLERS * sizeof fillers[0]);
    world_start(&w);
    for (size_t i = 0; i < FILLERS; i++) {
        submit(&w, &fillers[i], 1 + (unsigned)(i % 6), "incr c");
    }
    turn(&w);
    fake_env_forget(&w.env);
    submit(&w, &a[0], 0, "flushall");
    turn(&w);
    CHECK_EVENTS(&w, "");
    advance(&w, TIMEOUT_MS); /* the fillers are given up */
    turn(&w);
    CHECK(strstr(fake_env_events(&w.env), "here g1 flushall #1/0\n") != NULL);
    answer_here(&w, 1, SHARD_DONE, "+OK\r\n");
    for (unsigned i = 0; i < 2 * TIMEOUT_MS / 100; i++) {
        advance(&w, 100);
    }
    fake_env_forget(&w.env);
    ask_end(a, 1);
    ask_end(fillers, FILLERS);
    mem_free(fillers);
    world_stop(&w);
}

/* ---- by cursor ------------------------------------------------------------------------------- */

static const char *scan_at(uint64_t cursor)
{
    static char texts[4][64];
    static unsigned next;
    char *text = texts[next++ % 4];
    (void)snprintf(text, sizeof texts[0], "scan %" PRIu64, cursor);
    return text;
}

TEST(scan_goes_where_its_cursor_is)
{
    struct world w;
    struct ask a[4] = {0};
    world_start(&w);
    submit(&w, &a[0], 0, "scan 0 count 5");
    submit(&w, &a[1], 1, scan_at(CURSOR(GROUP_SLOTS) - 1));
    submit(&w, &a[2], 2, scan_at(CURSOR(GROUP_SLOTS)));
    submit(&w, &a[3], 3, scan_at(CURSOR(4 * GROUP_SLOTS) - 1));
    turn(&w);
    CHECK_EVENTS(&w,
                 "here g1 scan 0 count 5\nhere g1 scan 17592186044415\n"
                 "to 2: t1 g2 scan 17592186044416\nto 2: t2 g4 scan 70368744177663\n");
    answer_here(&w, 1, SHARD_DONE, "+a\r\n");
    answer_here(&w, 1, SHARD_DONE, "+b\r\n");
    done(&w, 2, 1, 0, "+c\r\n");
    done(&w, 2, 2, 0, "+d\r\n");
    ask_end(a, 4);
    fake_env_forget(&w.env);
    world_stop(&w);
}

TEST(cursors_that_no_group_has)
{
    struct world w;
    struct ask a[4] = {0};
    world_start(&w);
    submit(&w, &a[0], 0, "scan x");
    submit(&w, &a[1], 0, "get b");
    submit(&w, &a[2], 1, scan_at(CURSOR(4 * GROUP_SLOTS)));
    submit(&w, &a[3], 2, "scan -1 count x"); /* its options may be wrong, too */
    turn(&w);
    CHECK_EVENTS(&w,
                 "here g1 get b\nto 2: t1 g4 scan 70368744177664\n"
                 "to 2: t2 g4 scan -1 count x\ndone scan x: -ERR invalid cursor\n");
    answer_here(&w, 1, SHARD_DONE, "$-1\r\n");
    done(&w, 2, 1, 0, "+a\r\n");
    done(&w, 2, 2, 0, "+b\r\n");
    ask_end(a, 4);
    fake_env_forget(&w.env);
    world_stop(&w);
}

/* ---- sweeps ---------------------------------------------------------------------------------- */

/* The reply of a SCAN: words between blanks, as keys. */
static const char *page(uint64_t cursor, const char *keys)
{
    static char text[512];
    char number[32];
    char rest[256];
    unsigned count = 0;
    size_t size = 0;
    char bulks[256] = "";
    (void)snprintf(rest, sizeof rest, "%s", keys);
    char *at = rest;
    for (char *word = strtok_r(at, " ", &at); word != NULL; word = strtok_r(NULL, " ", &at)) {
        size += (size_t)
            snprintf(bulks + size, sizeof bulks - size, "$%zu\r\n%s\r\n", strlen(word), word);
        count++;
    }
    int digits = snprintf(number, sizeof number, "%" PRIu64, cursor);
    (void)snprintf(text, sizeof text, "*2\r\n$%d\r\n%s\r\n*%u\r\n%s", digits, number, count, bulks);
    return text;
}

/* One step at a time, and nothing of the stream beside it. */
TEST(keys_are_scans_one_after_the_other)
{
    struct world w;
    struct ask a[3] = {0};
    world_start(&w);
    submit(&w, &a[0], 0, "get f");
    submit(&w, &a[1], 0, "keys k?");
    submit(&w, &a[2], 0, "get b");
    turn(&w);
    CHECK_EVENTS(&w, "here g1 get f\n");
    answer_here(&w, 1, SHARD_DONE, "$-1\r\n");
    turn(&w);
    CHECK_EVENTS(&w, "done get f: $-1\nhere g1 scan 0 COUNT 4096 MATCH k?\n");
    answer_here(&w, 1, SHARD_DONE, page(CURSOR(7) + 5, "k1 k2"));
    turn(&w); /* not within the turn of the answer */
    CHECK_EVENTS(&w, "");
    turn(&w);
    CHECK_EVENTS(&w, "here g1 scan 30064771077 COUNT 4096 MATCH k?\n");
    CHECK(router_memory(w.router) > 0);
    answer_here(&w, 1, SHARD_DONE, page(CURSOR(GROUP_SLOTS), ""));
    turn(&w);
    turn(&w);
    CHECK_EVENTS(&w, "to 2: t1 g2 scan 17592186044416 COUNT 4096 MATCH k?\n");
    done(&w, 2, 1, 0, page(CURSOR(3 * GROUP_SLOTS), "k3"));
    turn(&w);
    turn(&w);
    CHECK_EVENTS(&w, "to 2: t2 g4 scan 52776558133248 COUNT 4096 MATCH k?\n");
    done(&w, 2, 2, 0, page(0, "k4"));
    CHECK_EVENTS(&w, "done keys k?: *4 $2 k1 $2 k2 $2 k3 $2 k4\n");
    turn(&w);
    CHECK_EVENTS(&w, "here g1 get b\n");
    answer_here(&w, 1, SHARD_DONE, "$-1\r\n");
    ask_end(a, 3);
    fake_env_forget(&w.env);
    world_stop(&w);
}

/* Each step has the time of a whole command; the last one is given up as a read is. */
TEST(time_runs_for_each_step)
{
    struct world w;
    struct ask a[1] = {0};
    world_start(&w);
    submit(&w, &a[0], 0, "keys *");
    turn(&w);
    for (unsigned i = 1; i <= 3; i++) {
        fake_env_advance(&w.env, TIMEOUT_MS - 100);
        answer_here(&w, 1, SHARD_DONE, page(CURSOR(i), "k"));
        turn(&w);
        turn(&w);
    }
    CHECK(!a[0].is_done);
    fake_env_forget(&w.env);
    fake_env_advance(&w.env, TIMEOUT_MS);
    CHECK_EVENTS(&w,
                 "done keys *: -CLUSTERDOWN group 1 has no leader; the command was not executed\n");
    answer_here(&w, 1, SHARD_DONE, page(0, "k"));
    ask_end(a, 1);
    world_stop(&w);
}

TEST(keys_wait_while_nobody_takes_replies)
{
    struct world w;
    struct ask a[1] = {0};
    world_start(&w);
    submit(&w, &a[0], 0, "keys *");
    turn(&w);
    router_stream_pause(w.router, &w.streams[0], true);
    answer_here(&w, 1, SHARD_DONE, page(CURSOR(1), "k"));
    fake_env_forget(&w.env);
    turn(&w);
    turn(&w);
    CHECK_EVENTS(&w, "");
    router_stream_pause(w.router, &w.streams[0], false);
    turn(&w);
    CHECK_EVENTS(&w, "here g1 scan 4294967296 COUNT 4096 MATCH *\n");
    w.shards[1].mode = FAKE_FULL; /* what the shard has no time for starts over, too */
    answer_here(&w, 1, SHARD_FULL, "");
    turn(&w);
    CHECK_EVENTS(&w, "");
    w.shards[1].mode = FAKE_HOLD;
    turn(&w);
    CHECK_EVENTS(&w, "here g1 scan 4294967296 COUNT 4096 MATCH *\n");
    answer_here(&w, 1, SHARD_DONE, page(0, ""));
    CHECK_EVENTS(&w, "done keys *: *1 $1 k\n");
    ask_end(a, 1);
    world_stop(&w);
}

TEST(a_step_goes_elsewhere)
{
    struct world w;
    struct ask a[1] = {0};
    world_start(&w);
    submit(&w, &a[0], 0, "keys *");
    turn(&w);
    answer_here(&w, 1, SHARD_DONE, page(CURSOR(2 * GROUP_SLOTS), "k1"));
    turn(&w);
    turn(&w);
    fake_env_forget(&w.env);
    refused(&w, 2, 1, 0, 3);
    turn(&w);
    CHECK_EVENTS(&w, "to 3: t2 g3 scan 35184372088832 COUNT 4096 MATCH *\n");
    done(&w, 3, 2, 0, page(0, "k2"));
    CHECK_EVENTS(&w, "done keys *: *2 $2 k1 $2 k2\n");
    ask_end(a, 1);
    world_stop(&w);
}

/* An error ends it; so does a reply that SCAN never gives, and one that would go round for ever. */
TEST(steps_that_go_wrong)
{
    static const struct {
        const char *reply;
        const char *expected;
    } cases[] = {
        {"-MISCONF no\r\n", "done keys *: -MISCONF no\n"},
        {"+OK\r\n", NULL},
        {"*2\r\n$1\r\n0\r\n:1\r\n", NULL},
        {"*2\r\n$1\r\nx\r\n*0\r\n", NULL},
        {"*2\r\n*0\r\n*0\r\n", NULL},
        {"*1\r\n$1\r\n0\r\n", NULL},
        {"*2\r\n$1\r\n0\r\n*-1\r\n", NULL},
        {"*2\r\n$10\r\n4294967296\r\n*0\r\n", NULL},     /* where it was asked */
        {"*2\r\n$1\r\n1\r\n*0\r\n", NULL},               /* before it */
        {"*2\r\n$14\r\n70368744177664\r\n*0\r\n", NULL}, /* behind all slots */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct world w;
        struct ask a[1] = {0};
        world_start(&w);
        submit(&w, &a[0], 0, "keys *");
        turn(&w);
        answer_here(&w, 1, SHARD_DONE, page(CURSOR(1), "k1"));
        turn(&w);
        turn(&w);
        fake_env_forget(&w.env);
        answer_here(&w, 1, SHARD_DONE, cases[i].reply);
        CHECK_EVENTS(
            &w,
            cases[i].expected != NULL
                ? cases[i].expected
                : "done keys *: -ERR the groups of these keys answered in different ways\n");
        ask_end(a, 1);
        world_stop(&w);
    }
}

/* A reply of SCAN with count keys of key_size bytes each; as text. */
static void write_page(struct buf *out, uint64_t cursor, size_t count, size_t key_size)
{
    buf_clear(out, SIZE_MAX);
    scan_write_header(out, cursor, count);
    for (size_t i = 0; i < count; i++) {
        buf_printf(out, "$%zu\r\n", key_size);
        memset(buf_reserve(out, key_size), 'k', key_size);
        buf_extend(out, key_size);
        buf_append_text(out, "\r\n");
    }
    buf_append(out, "", 1); /* the zero byte ends it for the fake only */
}

#define PAGES_MAX 10u

/* Of how many such pages KEYS takes what they bring, before it gives up. */
static uint64_t pages_taken(size_t count, size_t key_size)
{
    struct world w;
    struct ask a[1] = {0};
    world_start(&w);
    struct buf reply;
    buf_init(&reply, SIZE_MAX / 2);
    submit(&w, &a[0], 0, "keys *");
    turn(&w);
    uint64_t pages = 0;
    for (; !a[0].is_done && pages < PAGES_MAX; pages++) {
        write_page(&reply, CURSOR(pages + 1), count, key_size);
        fake_env_forget(&w.env);
        answer_here(&w, 1, SHARD_DONE, (const char *)reply.data);
        if (!a[0].is_done) {
            turn(&w);
            turn(&w);
        }
    }
    CHECK_EVENTS(&w, "done keys *: -ERR values of more than 67108864 bytes in one reply\n");
    buf_deinit(&reply);
    ask_end(a, 1);
    world_stop(&w);
    return pages;
}

/* One reply holds no more than the largest value, however small the keys are. */
TEST(too_many_keys)
{
    const size_t mib = 1024u * 1024u;
    CHECK_EQ(pages_taken(1, 31 * mib), 3u);
    CHECK_EQ(pages_taken(mib, 9), 5u); /* 15 bytes each with their frames */
}

/* ---- RANDOMKEY ------------------------------------------------------------------------------- */

/* The cursor of the last event, "… scan CURSOR COUNT …". */
static uint64_t asked(struct world *w)
{
    const char *events = fake_env_events(&w->env);
    const char *at = strstr(events, " scan ");
    CHECK(at != NULL && strstr(events, "COUNT 16\n") != NULL);
    uint64_t cursor = at != NULL ? strtoull(at + strlen(" scan "), NULL, 10) : 0;
    fake_env_forget(&w->env);
    return cursor;
}

/* Answers the step under way, wherever it is. */
static void answer_step(struct world *w, uint64_t *inout_ticket, const char *reply)
{
    if (w->shards[1].held_count > 0) {
        answer_here(w, 1, SHARD_DONE, reply);
    } else {
        done(w, 2, ++*inout_ticket, 0, reply);
    }
    turn(w);
    turn(w);
}

TEST(randomkey_goes_around_once)
{
    struct world w;
    struct ask a[1] = {0};
    uint64_t ticket = 0;
    world_start(&w);
    submit(&w, &a[0], 0, "randomkey");
    turn(&w);
    uint64_t begin = asked(&w);
    CHECK(scan_cursor_slot(begin) < 4 * GROUP_SLOTS);
    uint64_t group = scan_cursor_slot(begin) / GROUP_SLOTS;
    for (uint64_t g = group + 1; g < GROUPS; g++) {
        answer_step(&w, &ticket, page(CURSOR(g * GROUP_SLOTS), ""));
        CHECK_EQ(asked(&w), CURSOR(g * GROUP_SLOTS));
    }
    answer_step(&w, &ticket, page(0, ""));
    CHECK_EQ(asked(&w), 0u);
    for (uint64_t g = 1; g <= group; g++) {
        answer_step(&w, &ticket, page(CURSOR(g * GROUP_SLOTS), ""));
        CHECK_EQ(asked(&w), CURSOR(g * GROUP_SLOTS));
    }
    answer_step(&w, &ticket, page(group + 1 < GROUPS ? CURSOR((group + 1) * GROUP_SLOTS) : 0, ""));
    CHECK_EVENTS(&w, "done randomkey: $-1\n");
    ask_end(a, 1);
    world_stop(&w);
}

TEST(randomkey_takes_one_of_those_found)
{
    struct world w;
    unsigned found[3] = {0};
    uint64_t groups = 0;
    uint64_t ticket = 0;
    world_start(&w);
    for (unsigned i = 0; i < 200; i++) {
        struct ask a[1] = {0};
        submit(&w, &a[0], 0, "randomkey");
        turn(&w);
        groups |= (uint64_t)1 << scan_cursor_slot(asked(&w)) / GROUP_SLOTS;
        answer_step(&w, &ticket, page(0, "k0 k1 k2"));
        CHECK_EQ(a[0].reply.size, strlen("$2\r\nk0\r\n"));
        unsigned number = (unsigned)(a[0].reply.data[strlen("$2\r\nk")] - '0');
        CHECK(number < 3);
        found[number]++;
        ask_end(a, 1);
        fake_env_forget(&w.env);
    }
    CHECK(found[0] > 20 && found[1] > 20 && found[2] > 20);
    CHECK_EQ(groups, 15u); /* it begins anywhere */
    world_stop(&w);
}

/* ---- the end ----------------------------------------------------------------------------------
 */

TEST(an_end_in_the_middle_frees_all)
{
    struct world w;
    struct ask a[2] = {0};
    world_start(&w);
    submit(&w, &a[0], 0, "keys *");
    submit(&w, &a[1], 1, "flushall");
    turn(&w);
    router_stop(w.router);
    router_destroy(w.router);
    fake_env_deinit(&w.env);
    buf_deinit(&a[0].reply);
    buf_deinit(&a[1].reply);
}
