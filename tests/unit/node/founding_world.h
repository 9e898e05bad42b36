/*
 * Founders, their disks and a network that keeps everything: for test_founding.c (what happens) and
 * test_founding_schedules.c (what can happen). Every change of a disk is checked against the
 * promises of founding.h.
 */
#ifndef UNIT_FOUNDING_WORLD_H
#define UNIT_FOUNDING_WORLD_H

#include <stdio.h>

#include "base/endian.h"
#include "harness.h"
#include "node/founding.h"

#define FOUNDERS_MAX 3u
#define LETTERS_MAX 192u
#define LETTER_BYTES_MAX 96u
#define LISTS_MAX 16u
#define LIST_BYTES (FOUNDERS_MAX * IDENTITY_ID_BYTES)

enum store_outcome {
    STORE_GOOD,
    STORE_LOST, /* the process dies before the new identity is durable */
    STORE_KEPT, /* the process dies right after */
    STORE_FULL, /* no space: nothing is durable, the process goes on */
    STORE_OUTCOME_COUNT,
};

struct site {
    struct identity disk; /* what is durable, and what a running process knows */
    struct founding founding;
    uint32_t number;
    uint32_t life; /* directories so far */
    bool has_directory;
    bool is_up;
};

/* The network keeps all that was ever sent: it may arrive never, twice, and very late. */
struct letter {
    struct peer_hello hello;
    uint8_t bytes[LETTER_BYTES_MAX];
    size_t size;
};

struct world {
    struct site sites[FOUNDERS_MAX];
    uint32_t count;
    const char *list;
    enum store_outcome store_outcome;
    bool is_restored; /* a directory was put back from a copy */
    unsigned wipes;
    unsigned refused;
    unsigned warnings;
    unsigned formed;
    char refusal[FOUNDING_TEXT_BYTES]; /* the last one */
    char warning[FOUNDING_TEXT_BYTES];
    struct letter letters[LETTERS_MAX];
    size_t letter_count;
    uint8_t formed_lists[LISTS_MAX][LIST_BYTES]; /* ever formed, in order */
    size_t formed_list_count;
    uint8_t complete_lists[LETTERS_MAX][LIST_BYTES]; /* recorded durably: by directory */
    uint8_t complete_by[LETTERS_MAX][IDENTITY_ID_BYTES];
    size_t complete_count;
};

static struct world world;

/* What the random runs met at least once: a schedule that meets nothing proves nothing. */
static struct {
    unsigned formed_in_spite_of_wipes;
    unsigned second_clusters;
    unsigned adopted;
    unsigned refused;
} met;

static struct site *site_of(uint32_t number)
{
    return &world.sites[number - 1];
}

static bool has_recorded(const uint8_t *node_id, const uint8_t *list)
{
    for (size_t i = 0; i < world.complete_count; i++) {
        if (memcmp(world.complete_by[i], node_id, IDENTITY_ID_BYTES) == 0 &&
            memcmp(world.complete_lists[i], list, LIST_BYTES) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_complete(const struct identity *identity)
{
    for (uint32_t i = 0; i < world.count; i++) {
        if (!identity_id_is_set(identity->members[i])) {
            return false;
        }
    }
    return true;
}

/* No directory of the list is left. */
static bool is_extinct(const uint8_t *list)
{
    for (uint32_t i = 0; i < world.count; i++) {
        const struct site *s = &world.sites[i];
        if (s->has_directory &&
            memcmp(s->disk.node, list + (size_t)i * IDENTITY_ID_BYTES, IDENTITY_ID_BYTES) == 0) {
            return false;
        }
    }
    return true;
}

/* The promises of founding.h, at the moment a directory forms. */
static void note_formed(const struct identity *next)
{
    const uint8_t *list = next->members[0];
    for (uint32_t i = 0; i < world.count; i++) {
        CHECK(has_recorded(next->members[i], list));
    }
    for (size_t i = 0; i < world.formed_list_count; i++) {
        if (memcmp(world.formed_lists[i], list, LIST_BYTES) == 0) {
            CHECK_EQ(i, world.formed_list_count - 1);
            return;
        }
        CHECK(is_extinct(world.formed_lists[i]));
    }
    CHECK(world.formed_list_count < LISTS_MAX);
    memcpy(world.formed_lists[world.formed_list_count++], list, LIST_BYTES);
    met.second_clusters += world.formed_list_count == 2;
}

static void note_durable(const struct site *s, const struct identity *next)
{
    CHECK(!s->disk.is_formed);
    for (uint32_t i = 0; i < world.count; i++) {
        if (identity_id_is_set(s->disk.members[i])) {
            CHECK_BYTES(bytes_of(s->disk.members[i], IDENTITY_ID_BYTES),
                        bytes_of(next->members[i], IDENTITY_ID_BYTES));
        }
    }
    if (is_complete(next) && !has_recorded(next->node, next->members[0])) {
        CHECK(world.complete_count < LETTERS_MAX);
        memcpy(world.complete_lists[world.complete_count], next->members, LIST_BYTES);
        memcpy(world.complete_by[world.complete_count++], next->node, IDENTITY_ID_BYTES);
    }
    if (next->is_formed) {
        note_formed(next);
    }
}

static enum status on_store(void *owner, const struct identity *identity)
{
    struct site *s = owner;
    CHECK(s->is_up);
    if (world.store_outcome == STORE_FULL) {
        return STATUS_NO_SPACE;
    }
    if (world.store_outcome != STORE_LOST) {
        note_durable(s, identity);
    }
    if (world.store_outcome == STORE_KEPT) {
        s->disk = *identity;
    }
    if (world.store_outcome != STORE_GOOD) {
        s->is_up = false;
        return STATUS_IO;
    }
    return STATUS_OK;
}

static struct peer_hello hello_of(const struct site *s)
{
    struct peer_hello hello = {.number = s->number};
    memcpy(hello.node_id, s->disk.node, IDENTITY_ID_BYTES);
    memcpy(hello.cluster_id, s->disk.cluster, IDENTITY_ID_BYTES);
    return hello;
}

static void on_send(void *owner, uint32_t number, struct bytes message)
{
    struct site *s = owner;
    CHECK(s->is_up);
    CHECK(number != s->number);
    CHECK(message.size <= LETTER_BYTES_MAX);
    struct letter letter = {.hello = hello_of(s), .size = message.size};
    memcpy(letter.bytes, message.data, message.size);
    for (size_t i = 0; i < world.letter_count; i++) {
        if (memcmp(&world.letters[i], &letter, sizeof(letter)) == 0) {
            return;
        }
    }
    CHECK(world.letter_count < LETTERS_MAX);
    world.letters[world.letter_count++] = letter;
}

static void on_formed(void *owner)
{
    const struct site *s = owner;
    CHECK(s->disk.is_formed);
    CHECK(founding_is_formed(&s->founding));
    world.formed++;
}

static void on_refused(void *owner, const char *reason)
{
    struct site *s = owner;
    CHECK(s->is_up);
    CHECK(!s->disk.is_formed);
    s->is_up = false;
    world.refused++;
    (void)snprintf(world.refusal, sizeof(world.refusal), "%s", reason);
    CHECK(strlen(reason) + 1 < FOUNDING_TEXT_BYTES);
    CHECK_EQ(strstr(reason, "older copy") != NULL, world.is_restored);
}

static void on_warning(void *owner, const char *text)
{
    (void)owner;
    world.warnings++;
    (void)snprintf(world.warning, sizeof(world.warning), "%s", text);
}

static const struct founding_callbacks callbacks = {
    .store = on_store,
    .send = on_send,
    .formed = on_formed,
    .refused = on_refused,
    .warning = on_warning,
};

static void world_init(uint32_t count)
{
    memset(&world, 0, sizeof(world));
    world.count = count;
    world.list = count == 2 ? "a:1,b:1" : "a:1,b:1,c:1";
    for (uint32_t i = 0; i < count; i++) {
        world.sites[i].number = i + 1;
    }
}

static void start_with(uint32_t number, const char *list, uint32_t groups)
{
    struct site *s = site_of(number);
    CHECK(!s->is_up);
    if (!s->has_directory) {
        uint8_t id[IDENTITY_ID_BYTES] = {0};
        s->life++;
        id[0] = (uint8_t)number;
        put_u32_le(id + 1, s->life);
        struct founding_flags flags = {.founders = list, .number = number, .groups = groups};
        founding_identity(&s->disk, &flags, id, id);
        s->has_directory = true;
    }
    s->is_up = true;
    founding_init(&s->founding, &s->disk, &callbacks, s);
}

static void start(uint32_t number)
{
    start_with(number, world.list, 4);
}

static void crash(uint32_t number)
{
    site_of(number)->is_up = false;
}

static void wipe(uint32_t number)
{
    struct site *s = site_of(number);
    s->is_up = false;
    s->has_directory = false;
    memset(&s->disk, 0, sizeof(s->disk));
    world.wipes++;
}

static void deliver(const struct letter *letter, uint32_t to)
{
    struct site *s = site_of(to);
    if (s->is_up && letter->hello.number != to) {
        bool was_complete = is_complete(&s->disk);
        bool was_formed = s->disk.is_formed;
        founding_received(&s->founding,
                          letter->hello.number,
                          bytes_of(letter->bytes, letter->size));
        met.adopted += was_complete && !was_formed && s->disk.is_formed && letter->bytes[1] == 1;
    }
}

/* As on a connection: the other side first judges. Its refusal is told if the sender still runs. */
static void deliver_judged(const struct letter *letter, uint32_t to)
{
    struct site *s = site_of(to);
    if (!s->is_up || letter->hello.number == to) {
        return;
    }
    const char *reason = NULL;
    struct site *sender = site_of(letter->hello.number);
    if (founding_judge(&s->founding, &letter->hello, &reason)) {
        deliver(letter, to);
    } else if (sender->is_up &&
               memcmp(sender->disk.node, letter->hello.node_id, IDENTITY_ID_BYTES) == 0) {
        CHECK(reason[0] != '\0');
        founding_refused(&sender->founding, to, reason);
    }
}

/* Everything works for a while. What was sent before is gone. */
static void settle(void)
{
    world.letter_count = 0;
    world.store_outcome = STORE_GOOD;
    for (uint32_t number = 1; number <= world.count; number++) {
        if (!site_of(number)->is_up) {
            start(number);
        }
    }
    for (unsigned round = 0; round < 6; round++) {
        for (uint32_t number = 1; number <= world.count; number++) {
            if (site_of(number)->is_up) {
                founding_tick(&site_of(number)->founding);
            }
        }
        for (size_t i = 0; i < world.letter_count; i++) {
            for (uint32_t number = 1; number <= world.count; number++) {
                deliver_judged(&world.letters[i], number);
            }
        }
    }
}

static unsigned formed_count(void)
{
    unsigned count = 0;
    for (uint32_t i = 0; i < world.count; i++) {
        count += world.sites[i].disk.is_formed ? 1 : 0;
    }
    return count;
}

#endif
