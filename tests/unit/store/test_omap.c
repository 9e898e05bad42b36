#include <stdio.h>

#include "harness.h"
#include "store/omap.h"

static struct blob *blob_of(const char *text)
{
    struct blob *b = blob_create(strlen(text));
    memcpy(b->data, text, strlen(text));
    return b;
}

static void put(struct omap *m, const char *key, const char *value)
{
    omap_put(m, bytes_of_text(key), value != NULL ? blob_of(value) : NULL);
}

/* Checks what stands at the first key >= from; NULL: nothing. */
static void check_seek(const struct omap *m, const char *from, const char *key, const char *value)
{
    struct omap_item item;
    bool is_found = omap_seek(m, bytes_of_text(from), &item);
    CHECK_EQ(is_found, key != NULL);
    if (is_found) {
        CHECK_BYTES(item.key, bytes_of_text(key));
        CHECK_EQ(item.value != NULL, value != NULL);
        if (value != NULL) {
            CHECK_BYTES(blob_bytes(item.value), bytes_of_text(value));
        }
    }
}

TEST(put_get_remove)
{
    struct omap m;
    struct omap_item item;
    omap_init(&m);
    CHECK(!omap_get(&m, bytes_of_text("a"), &item));
    put(&m, "a", "one");
    put(&m, "", "empty");
    put(&m, "a", "second");
    put(&m, "deleted", NULL);
    CHECK_EQ(m.count, 3u);
    CHECK_EQ(m.bytes, 1u + 6u + 0u + 5u + 7u);
    CHECK(omap_get(&m, bytes_of_text("a"), &item));
    CHECK_BYTES(blob_bytes(item.value), bytes_of_text("second"));
    CHECK(omap_get(&m, bytes_of_text("deleted"), &item));
    CHECK(item.value == NULL);
    CHECK(!omap_get(&m, bytes_of_text("aa"), &item));
    omap_remove(&m, bytes_of_text("a"));
    omap_remove(&m, bytes_of_text("a"));
    CHECK(!omap_get(&m, bytes_of_text("a"), &item));
    CHECK_EQ(m.count, 2u);
    omap_deinit(&m);
}

TEST(seek_is_ordered_like_memcmp)
{
    struct omap m;
    omap_init(&m);
    put(&m, "ab", "2");
    put(&m, "a", "1");
    put(&m, "\xff", "4");
    put(&m, "b", "3");
    check_seek(&m, "", "a", "1");
    check_seek(&m, "a", "a", "1");
    check_seek(&m, "aa", "ab", "2");
    check_seek(&m, "abc", "b", "3");
    check_seek(&m, "c", "\xff", "4");
    check_seek(&m, "\xff\xff", NULL, NULL);
    omap_deinit(&m);
}

TEST(merge_moves_replaces_and_removes)
{
    struct omap m;
    struct omap from;
    omap_init(&m);
    omap_init(&from);
    put(&m, "kept", "old");
    put(&m, "replaced", "old");
    put(&m, "removed", "old");
    put(&from, "replaced", "new");
    put(&from, "removed", NULL);
    put(&from, "never there", NULL);
    put(&from, "added", "new");
    omap_merge(&m, &from);
    CHECK_EQ(from.count, 0u);
    CHECK_EQ(from.bytes, 0u);
    CHECK_EQ(m.count, 3u);
    CHECK_EQ(m.bytes, 4u + 3u + 8u + 3u + 5u + 3u);
    check_seek(&m, "", "added", "new");
    check_seek(&m, "b", "kept", "old");
    check_seek(&m, "l", "replaced", "new");
    check_seek(&m, "s", NULL, NULL);
    omap_deinit(&from);
    omap_deinit(&m);
}

TEST(references_are_counted)
{
    struct omap m;
    omap_init(&m);
    struct blob *b = blob_of("shared");
    omap_put(&m, bytes_of_text("a"), blob_ref(b));
    omap_put(&m, bytes_of_text("b"), blob_ref(b));
    CHECK_EQ(b->refs, 3u);
    put(&m, "a", "other");
    omap_remove(&m, bytes_of_text("b"));
    CHECK_EQ(b->refs, 1u);
    blob_unref(b);
    blob_unref(NULL);
    omap_deinit(&m);
}

/* Beyond a few rows a hash table answers single keys; it must agree with the tree. */
TEST(hash_table_agrees_with_the_tree)
{
    struct omap m;
    struct omap_item item;
    omap_init(&m);
    m.seed = 77;
    for (unsigned i = 0; i < 5000; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "%u", i * 7919 % 3000);
        if (i % 3 == 2) {
            omap_remove(&m, bytes_of_text(key));
        } else {
            put(&m, key, key);
        }
    }
    uint64_t walked = 0;
    const struct omap_node *at = NULL;
    struct bytes last = bytes_of("", 0);
    for (; omap_next(&m, &at, &item); walked++) {
        struct omap_item same = {0};
        CHECK(bytes_compare(last, item.key) < 0);
        last = item.key;
        CHECK(omap_get(&m, item.key, &same));
        CHECK(same.value == item.value);
        CHECK(omap_get_hashed(&m, item.key, omap_hash(item.key, 77), &same));
        CHECK(same.value == item.value);
    }
    CHECK_EQ(walked, m.count);
    CHECK(omap_last(&m, &item));
    CHECK_BYTES(item.key, last);
    CHECK(!omap_get(&m, bytes_of_text("none"), &item));
    omap_deinit(&m);
}

TEST(take_first_and_remove_range)
{
    struct omap m;
    struct blob *value = NULL;
    struct buf key;
    struct omap_item item;
    omap_init(&m);
    buf_init(&key, 100);
    CHECK(!omap_take_first(&m, &key, &value));
    CHECK(!omap_last(&m, &item));
    put(&m, "a", "1");
    put(&m, "b", "2");
    put(&m, "c", "3");
    put(&m, "d", "4");
    omap_remove_range(&m, bytes_of_text("aa"), bytes_of_text("d"));
    CHECK_EQ(m.count, 2u);
    CHECK(omap_take_first(&m, &key, &value));
    CHECK_BYTES(buf_bytes(&key), bytes_of_text("a"));
    CHECK_BYTES(blob_bytes(value), bytes_of_text("1"));
    blob_unref(value);
    check_seek(&m, "", "d", "4");
    omap_remove_range(&m, bytes_of_text("e"), bytes_of_text("f"));
    CHECK_EQ(m.count, 1u);
    buf_deinit(&key);
    omap_deinit(&m);
}
