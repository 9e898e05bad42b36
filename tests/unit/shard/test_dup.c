/* The duplicate table, step by step and beside a naive twin (DUP-1 to DUP-3, DUP-8). */
#include "base/mem.h"
#include "base/prng.h"
#include "harness.h"
#include "shard/dup.h"

#define W DUP_WINDOW

static enum dup_verdict judge(struct dup *d, struct request_id id, uint64_t mark)
{
    struct bytes reply = bytes_of_text("untouched");
    enum dup_verdict verdict = dup_judge(d, &id, mark, &reply);
    CHECK(verdict == DUP_DONE || reply.size == 0);
    return verdict;
}

static struct request_id id_of(uint32_t node, uint32_t incarnation, uint64_t sequence)
{
    return (struct request_id){.node = node, .incarnation = incarnation, .sequence = sequence};
}

/* Judges it as NEW and remembers its reply. */
static void execute(struct dup *d, struct request_id id, uint64_t mark, const char *reply)
{
    CHECK_EQ(judge(d, id, mark), DUP_NEW);
    dup_remember(d, &id, bytes_of_text(reply));
}

static void check_done(struct dup *d, struct request_id id, uint64_t mark, const char *reply)
{
    struct bytes got;
    CHECK_EQ(dup_judge(d, &id, mark, &got), DUP_DONE);
    CHECK_BYTES(got, bytes_of_text(reply));
}

/* ---- step by step ---------------------------------------------------------------------------- */

TEST(retry_gets_its_reply)
{
    struct dup *d = dup_create();
    execute(d, id_of(1, 1, 1), 0, ":1\r\n");
    execute(d, id_of(1, 1, 2), 0, "+OK\r\n");
    execute(d, id_of(2, 1, 1), 0, "$17\r\n12345678901234567\r\n"); /* another gateway */
    check_done(d, id_of(1, 1, 1), 0, ":1\r\n");
    check_done(d, id_of(1, 1, 2), 0, "+OK\r\n");
    check_done(d, id_of(2, 1, 1), 0, "$17\r\n12345678901234567\r\n");
    check_done(d, id_of(1, 1, 1), 0, ":1\r\n"); /* as often as it comes */
    dup_destroy(d);
}

/* An operation that is judged but blocked leaves no record (DUP-5). */
TEST(judged_only_is_not_remembered)
{
    struct dup *d = dup_create();
    CHECK_EQ(judge(d, id_of(1, 1, 5), 0), DUP_NEW);
    CHECK_EQ(judge(d, id_of(1, 1, 5), 0), DUP_NEW);
    execute(d, id_of(1, 1, 7), 0, "later");
    CHECK_EQ(judge(d, id_of(1, 1, 5), 0), DUP_NEW);
    execute(d, id_of(1, 1, 5), 0, "now");
    check_done(d, id_of(1, 1, 5), 0, "now");
    dup_destroy(d);
}

/* DUP-3: at or below the mark nothing executes; above it nothing is forgotten. */
TEST(mark_ends_what_is_at_or_below)
{
    struct dup *d = dup_create();
    for (uint64_t s = 1; s <= 10; s++) {
        execute(d, id_of(1, 1, s), 0, "reply");
    }
    check_done(d, id_of(1, 1, 10), 4, "reply");
    for (uint64_t s = 1; s <= 10; s++) {
        CHECK_EQ(judge(d, id_of(1, 1, s), 0), s <= 4 ? DUP_FINISHED : DUP_DONE);
    }
    CHECK_EQ(judge(d, id_of(1, 1, 6), 3), DUP_DONE); /* a mark never goes back */
    CHECK_EQ(judge(d, id_of(1, 1, 4), 3), DUP_FINISHED);
    CHECK_EQ(judge(d, id_of(1, 1, 8), 8), DUP_FINISHED);   /* its own mark counts first */
    CHECK_EQ(judge(d, id_of(1, 1, 11), 20), DUP_FINISHED); /* never seen, but given up */
    CHECK_EQ(judge(d, id_of(1, 1, 20), 0), DUP_FINISHED);
    execute(d, id_of(1, 1, 21), 0, "reply");
    dup_destroy(d);
}

/* DUP-3: however long a gateway waits for one answer, and whatever else it does meanwhile. */
TEST(nothing_is_dropped_by_age)
{
    struct dup *d = dup_create();
    for (uint64_t s = 1; s <= W; s++) {
        execute(d, id_of(1, 1, s), 0, "reply");
        execute(d, id_of(2, 1, s), s - 1, "other");
    }
    for (uint64_t s = 1; s <= W; s++) {
        check_done(d, id_of(1, 1, s), 0, "reply");
    }
    dup_destroy(d);
}

TEST(marks_are_per_gateway)
{
    struct dup *d = dup_create();
    execute(d, id_of(1, 1, 1), 0, "one");
    execute(d, id_of(2, 1, 5), 4, "two");
    execute(d, id_of(0, 1, 3), 0, "zero");
    check_done(d, id_of(1, 1, 1), 0, "one");
    check_done(d, id_of(0, 1, 3), 2, "zero");
    CHECK_EQ(judge(d, id_of(2, 1, 4), 0), DUP_FINISHED);
    CHECK_EQ(judge(d, id_of(1, 1, 4), 0), DUP_NEW);
    dup_destroy(d);
}

/* DUP-1: a restarted gateway counts from 1 again, and its dead process runs nothing any more. */
TEST(newer_incarnation_ends_the_older)
{
    struct dup *d = dup_create();
    execute(d, id_of(1, 3, 1), 0, "a reply that needs memory of its own");
    execute(d, id_of(1, 3, 2), 0, "old");
    CHECK_EQ(judge(d, id_of(1, 2, 9), 0), DUP_FINISHED);
    CHECK_EQ(judge(d, id_of(1, 2, 9), 1000), DUP_FINISHED); /* nor does its mark count */
    check_done(d, id_of(1, 3, 2), 0, "old");
    execute(d, id_of(1, 4, 1), 0, "new");
    check_done(d, id_of(1, 4, 1), 0, "new");
    CHECK_EQ(judge(d, id_of(1, 4, 2), 0), DUP_NEW);
    for (uint64_t s = 0; s < 4; s++) {
        CHECK_EQ(judge(d, id_of(1, 3, s), 0), s == 0 ? DUP_NEW : DUP_FINISHED);
    }
    dup_destroy(d);
}

/* A newer incarnation is noticed by whatever of it comes first. */
TEST(incarnation_without_a_sequence)
{
    struct dup *d = dup_create();
    execute(d, id_of(1, 1, 1), 0, "old");
    CHECK_EQ(judge(d, id_of(1, 2, 0), 5), DUP_NEW);
    CHECK_EQ(judge(d, id_of(1, 1, 1), 0), DUP_FINISHED);
    CHECK_EQ(judge(d, id_of(1, 1, 2), 0), DUP_FINISHED);
    CHECK_EQ(judge(d, id_of(1, 2, 5), 0), DUP_FINISHED);
    CHECK_EQ(judge(d, id_of(1, 2, 6), 0), DUP_NEW);
    dup_destroy(d);
}

TEST(sequence_zero_is_nobodys)
{
    struct dup *d = dup_create();
    uint64_t empty = dup_hash(d);
    struct request_id nobody = {0};
    for (unsigned i = 0; i < 3; i++) {
        CHECK_EQ(judge(d, nobody, 0), DUP_NEW);
        dup_remember(d, &nobody, bytes_of_text("reply"));
    }
    CHECK_EQ(dup_hash(d), empty);
    struct request_id unnumbered = id_of(1, 1, 0);
    for (unsigned i = 0; i < 3; i++) {
        CHECK_EQ(judge(d, unnumbered, 7), DUP_NEW);
        dup_remember(d, &unnumbered, bytes_of_text("reply"));
    }
    CHECK_EQ(judge(d, id_of(1, 1, 7), 0), DUP_FINISHED);
    CHECK_EQ(judge(d, id_of(1, 1, 8), 0), DUP_NEW);
    dup_destroy(d);
}

TEST(window_has_an_end)
{
    struct dup *d = dup_create();
    execute(d, id_of(1, 1, W), 0, "last");
    CHECK_EQ(judge(d, id_of(1, 1, W + 1), 0), DUP_FINISHED);
    CHECK_EQ(judge(d, id_of(1, 1, UINT64_MAX), 0), DUP_FINISHED);
    execute(d, id_of(1, 1, 1), 0, "first");
    execute(d, id_of(1, 1, W + 1), 1, "moved on");
    check_done(d, id_of(1, 1, W), 0, "last");
    CHECK_EQ(judge(d, id_of(1, 1, 1), 0), DUP_FINISHED);
    execute(d, id_of(2, 1, UINT64_MAX), UINT64_MAX - 1, "end of numbers");
    check_done(d, id_of(2, 1, UINT64_MAX), 0, "end of numbers");
    CHECK_EQ(judge(d, id_of(2, 1, UINT64_MAX), UINT64_MAX), DUP_FINISHED);
    dup_destroy(d);
}

/* DUP-8: a reply too large to remember is still the end of that request. */
TEST(large_replies_are_lost_not_forgotten)
{
    static uint8_t bytes[DUP_REPLY_BYTES_MAX + 1];
    const size_t sizes[] = {0, 1, 15, 16, 17, DUP_REPLY_BYTES_MAX, DUP_REPLY_BYTES_MAX + 1};
    memset(bytes, 'r', sizeof bytes);
    struct dup *d = dup_create();
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct request_id id = id_of(1, 1, i + 1);
        CHECK_EQ(judge(d, id, 0), DUP_NEW);
        dup_remember(d, &id, bytes_of(bytes, sizes[i]));
        struct bytes reply;
        CHECK_EQ(dup_judge(d, &id, 0, &reply), DUP_DONE);
        CHECK_BYTES(reply, bytes_of(bytes, sizes[i] > DUP_REPLY_BYTES_MAX ? 0 : sizes[i]));
    }
    dup_destroy(d);
}

/* ---- memory ---------------------------------------------------------------------------------- */

TEST(memory_is_counted_and_returned)
{
    static uint8_t bytes[1000];
    struct dup *d = dup_create();
    uint64_t at_first = dup_memory(d);
    for (uint64_t s = 1; s <= W; s++) {
        struct request_id id = id_of(1, 1, s);
        CHECK_EQ(judge(d, id, 0), DUP_NEW);
        dup_remember(d, &id, bytes_of(bytes, s % 16 == 0 ? sizeof bytes : 5));
    }
    uint64_t full = dup_memory(d);
    CHECK(full >= W / 16 * sizeof bytes + (uint64_t)16 * W);
    CHECK(full <= W / 16 * sizeof bytes + (uint64_t)32 * W + 4096);

    CHECK_EQ(judge(d, id_of(1, 1, W), W / 2), DUP_DONE);
    CHECK_EQ(full - dup_memory(d), W / 32 * sizeof bytes);
    CHECK_EQ(judge(d, id_of(1, 1, W), W), DUP_FINISHED);
    CHECK(dup_memory(d) <= at_first + 4096);
    dup_destroy(d);
}

/* Whatever the order in which gateways go and sequences jump, memory follows what is held. */
TEST(memory_of_a_long_life)
{
    struct dup *d = dup_create();
    for (uint64_t s = 1; s <= 300000; s++) {
        execute(d, id_of((uint32_t)(s % 3), 1, s), s > 50 ? s - 50 : 0, "a reply of 24 bytes ...");
    }
    CHECK(dup_memory(d) < 32768);
    dup_destroy(d);
}

/* ---- beside a naive twin --------------------------------------------------------------------- */

#define NODES 4u
#define RECORDS_MAX 400u
#define LATE_MAX 300u

struct twin_record {
    uint64_t sequence;
    size_t size;
    uint8_t fill; /* the reply: size times this */
};

struct twin_gateway {
    bool is_known;
    uint32_t incarnation;
    uint64_t mark;
    size_t count;
    struct twin_record records[RECORDS_MAX];
};

struct sent {
    struct request_id id;
    uint64_t mark;
};

struct twin {
    struct dup *dup;
    struct prng prng;
    struct twin_gateway gateways[NODES];
    struct sent sent[LATE_MAX]; /* the newest: copies of them come late */
    size_t sent_count;
    unsigned verdicts[3];
};

static uint8_t twin_bytes[DUP_REPLY_BYTES_MAX + 1];

static struct bytes filled(size_t size, uint8_t fill)
{
    memset(twin_bytes, fill, size);
    return bytes_of(twin_bytes, size);
}

static void twin_raise(struct twin_gateway *g, uint64_t mark)
{
    g->mark = mark > g->mark ? mark : g->mark;
    for (size_t i = 0; i < g->count;) {
        if (g->records[i].sequence <= g->mark) {
            g->records[i] = g->records[--g->count];
        } else {
            i++;
        }
    }
}

static enum dup_verdict twin_judge(struct twin *t,
                                   const struct sent *s,
                                   const struct twin_record **out_record)
{
    struct twin_gateway *g = &t->gateways[s->id.node];
    bool is_numbered = s->id.sequence > 0;
    if (g->is_known && s->id.incarnation < g->incarnation) {
        return is_numbered ? DUP_FINISHED : DUP_NEW;
    }
    if (!g->is_known || s->id.incarnation > g->incarnation) {
        *g = (struct twin_gateway){.is_known = true, .incarnation = s->id.incarnation};
    }
    twin_raise(g, s->mark);
    for (size_t i = 0; i < g->count; i++) {
        if (is_numbered && g->records[i].sequence == s->id.sequence) {
            *out_record = &g->records[i];
            return DUP_DONE;
        }
    }
    bool is_outside = s->id.sequence <= g->mark || s->id.sequence - g->mark > W;
    return is_numbered && is_outside ? DUP_FINISHED : DUP_NEW;
}

static size_t random_size(struct prng *p)
{
    static const size_t edges[] = {0, 15, 16, 17, DUP_REPLY_BYTES_MAX, DUP_REPLY_BYTES_MAX + 1};
    return prng_chance(p, 100) ? edges[prng_below(p, 6)] : (size_t)prng_below(p, 40);
}

static struct sent random_request(struct twin *t)
{
    struct prng *p = &t->prng;
    if (t->sent_count > 0 && prng_chance(p, 300)) {
        return t->sent[prng_below(p, t->sent_count < LATE_MAX ? t->sent_count : LATE_MAX)];
    }
    uint32_t node = (uint32_t)prng_between(p, 1, NODES - 1);
    const struct twin_gateway *g = &t->gateways[node];
    struct sent s = {.id = {.node = node, .incarnation = g->incarnation}, .mark = g->mark};
    if (!g->is_known || prng_chance(p, 5)) {
        s.id.incarnation += (uint32_t)prng_below(p, 3);
        s.mark = 0;
    } else if (prng_chance(p, 20) && g->incarnation > 0) {
        s.id.incarnation -= 1;
    }
    s.mark += prng_chance(p, 300) ? prng_below(p, prng_chance(p, 20) ? 2 * W : 20) : 0;
    s.mark -= prng_chance(p, 50) && s.mark > 10 ? prng_below(p, 10) : 0;
    s.id.sequence = s.mark + prng_between(p, 1, 100);
    if (prng_chance(p, 100)) {
        s.id.sequence = s.mark + prng_between(p, W - 3, W + 3);
    } else if (prng_chance(p, 100)) {
        s.id.sequence = prng_below(p, s.mark + 2);
    }
    return s;
}

/* One request: the same verdict and the same reply from both. */
static void twin_step(struct twin *t)
{
    struct sent s = random_request(t);
    t->sent[t->sent_count++ % LATE_MAX] = s;
    const struct twin_record *record = NULL;
    struct bytes reply;
    enum dup_verdict expected = twin_judge(t, &s, &record);
    CHECK_EQ(dup_judge(t->dup, &s.id, s.mark, &reply), expected);
    t->verdicts[expected]++;
    if (expected == DUP_DONE) {
        CHECK_BYTES(reply, filled(record->size, record->fill));
        return;
    }
    CHECK_EQ(reply.size, 0u);
    struct twin_gateway *g = &t->gateways[s.id.node];
    bool is_full = g->count == RECORDS_MAX;
    if (expected == DUP_NEW && !is_full && !prng_chance(&t->prng, 100)) {
        size_t size = random_size(&t->prng);
        uint8_t fill = (uint8_t)prng_between(&t->prng, 1, 255);
        dup_remember(t->dup, &s.id, filled(size, fill));
        if (s.id.sequence > 0) {
            g->records[g->count++] = (struct twin_record){
                .sequence = s.id.sequence,
                .size = size > DUP_REPLY_BYTES_MAX ? 0 : size,
                .fill = fill,
            };
        }
    }
}

/* A table with the same content that has seen nothing else, filled in another order. */
static struct dup *rebuilt(struct twin *t)
{
    struct dup *d = dup_create();
    for (uint32_t node = NODES - 1; node > 0; node--) {
        struct twin_gateway *g = &t->gateways[node];
        if (!g->is_known) {
            continue;
        }
        CHECK_EQ(judge(d, id_of(node, g->incarnation, 0), g->mark), DUP_NEW);
        for (size_t i = g->count; i > 0; i--) {
            const struct twin_record *r = &g->records[i - 1];
            struct request_id id = id_of(node, g->incarnation, r->sequence);
            CHECK_EQ(judge(d, id, 0), DUP_NEW);
            dup_remember(d, &id, filled(r->size, r->fill));
        }
    }
    return d;
}

static void check_content(struct twin *t)
{
    struct dup *d = rebuilt(t);
    uint64_t hash = dup_hash(t->dup);
    CHECK_EQ(dup_hash(d), hash);
    CHECK(dup_memory(t->dup) <= (uint64_t)(NODES - 1) * (32 * W + RECORDS_MAX * 20000ul));
    dup_destroy(d);

    /* Any difference shows. */
    struct twin_gateway *g = &t->gateways[prng_between(&t->prng, 1, NODES - 1)];
    if (g->is_known && g->count > 0) {
        struct twin_record *r = &g->records[prng_below(&t->prng, g->count)];
        struct twin_record kept = *r;
        if (prng_chance(&t->prng, 500) && r->size > 0) {
            r->fill ^= 1;
        } else {
            r->size = r->size == 3 ? 4 : 3;
        }
        d = rebuilt(t);
        CHECK(dup_hash(d) != hash);
        *r = kept;
        dup_destroy(d);
    }
}

TEST(like_a_naive_twin)
{
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct twin *t = mem_alloc_zero(sizeof *t);
        t->dup = dup_create();
        prng_init(&t->prng, seed);
        for (unsigned step = 1; step <= 6000; step++) {
            twin_step(t);
            if (step % 500 == 0) {
                check_content(t);
            }
        }
        for (size_t v = 0; v < 3; v++) {
            CHECK(t->verdicts[v] > 300); /* the test is about all of them */
        }
        dup_destroy(t->dup);
        mem_free(t);
    }
}

TEST(hash_tells_marks_and_incarnations_apart)
{
    const struct sent sent[] = {
        {{0}, 0},
        {id_of(1, 1, 0), 0},
        {id_of(2, 1, 0), 0},
        {id_of(1, 2, 0), 0},
        {id_of(1, 1, 0), 1},
        {id_of(1, 1, 0), 2},
    };
    uint64_t hashes[sizeof sent / sizeof sent[0]];
    for (size_t i = 0; i < sizeof sent / sizeof sent[0]; i++) {
        struct dup *d = dup_create();
        CHECK_EQ(judge(d, sent[i].id, sent[i].mark), DUP_NEW);
        hashes[i] = dup_hash(d);
        for (size_t j = 0; j < i; j++) {
            CHECK(hashes[i] != hashes[j]);
        }
        dup_destroy(d);
    }
}
