/* Watched keys and their versions. */
#include "harness.h"
#include "server/watch_list.h"

static void add(struct watch_list *w, uint8_t database, const char *key, uint64_t version)
{
    struct txn_key k = {database, bytes_of_text(key)};
    watch_list_add(w, &k, version);
}

TEST(the_first_version_stays)
{
    struct watch_list w;
    watch_list_init(&w);
    add(&w, 0, "a", 5);
    add(&w, 0, "", 0);
    add(&w, 1, "a", 6);
    add(&w, 0, "a", 9);
    add(&w, 0, "ab", 7);
    CHECK_EQ(w.count, 4u);
    CHECK_EQ(watch_list_bytes(&w), 4u);
    struct txn_compare c[4];
    watch_list_compares(&w, c);
    CHECK(bytes_equal_text(c[0].key, "a"));
    CHECK_EQ(c[0].version, 5u);
    CHECK(c[0].is_watched);
    CHECK_EQ(c[1].key.size, 0u);
    CHECK_EQ(c[2].database, 1u);
    CHECK_EQ(c[2].version, 6u);
    CHECK(bytes_equal_text(c[3].key, "ab"));
    watch_list_clear(&w);
    CHECK_EQ(w.count, 0u);
    CHECK_EQ(watch_list_memory(&w), 0u);
    add(&w, 0, "a", 8);
    watch_list_compares(&w, c);
    CHECK_EQ(c[0].version, 8u);
    watch_list_deinit(&w);
}
