#include <stdio.h>

#include "harness.h"
#include "store/row_cache.h"

static void put(struct row_cache *c, unsigned i, size_t size)
{
    struct blob *b = blob_create(size);
    memset(b->data, (int)(i % 251), size);
    row_cache_put(c, bytes_of(&i, sizeof i), b);
}

static bool has(struct row_cache *c, unsigned i)
{
    struct blob *b = NULL;
    return row_cache_get(c, bytes_of(&i, sizeof i), &b);
}

TEST(rows_and_their_absence_are_known)
{
    struct row_cache c;
    struct blob *b = NULL;
    row_cache_init(&c, 1000);
    CHECK(!row_cache_get(&c, bytes_of_text("a"), &b));
    row_cache_put(&c, bytes_of_text("a"), blob_create(3));
    row_cache_put(&c, bytes_of_text("none"), NULL);
    CHECK(row_cache_get(&c, bytes_of_text("a"), &b));
    CHECK_EQ(b->size, 3u);
    CHECK(row_cache_get(&c, bytes_of_text("none"), &b));
    CHECK(b == NULL);
    row_cache_put(&c, bytes_of_text("a"), blob_create(5));
    CHECK(row_cache_get(&c, bytes_of_text("a"), &b));
    CHECK_EQ(b->size, 5u);
    CHECK_EQ(c.count, 2u);
    row_cache_remove(&c, bytes_of_text("a"));
    row_cache_remove(&c, bytes_of_text("a"));
    CHECK(!row_cache_get(&c, bytes_of_text("a"), &b));
    row_cache_remove(&c, bytes_of_text("none"));
    CHECK_EQ(c.bytes, 0u);
    row_cache_deinit(&c);
}

/* Rows leave only when trimmed, and the one used longest ago first. */
TEST(least_recently_used_leaves_first)
{
    struct row_cache c;
    row_cache_init(&c, 0);
    for (unsigned i = 0; i < 1000; i++) {
        put(&c, i, 100);
    }
    CHECK_EQ(c.count, 1000u);
    CHECK(has(&c, 0));
    put(&c, 1, 100);
    c.bytes_max = c.bytes / 2;
    row_cache_trim(&c);
    CHECK(c.bytes <= c.bytes_max);
    CHECK_EQ(c.count, 500u);
    CHECK(has(&c, 0));
    CHECK(has(&c, 1));
    CHECK(!has(&c, 2));
    CHECK(!has(&c, 501));
    CHECK(has(&c, 502));
    CHECK(has(&c, 999));
    c.bytes_max = 0;
    row_cache_trim(&c);
    CHECK_EQ(c.count, 0u);
    CHECK_EQ(c.bytes, 0u);
    row_cache_deinit(&c);
}
