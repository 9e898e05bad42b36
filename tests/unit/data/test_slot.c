#include "data/slot.h"
#include "harness.h"

static uint16_t slot(const char *key)
{
    return slot_of_key(bytes_of_text(key));
}

/* From the Redis Cluster specification, and from CLUSTER KEYSLOT of Redis 7.0.15. */
TEST(known_keys)
{
    static const struct {
        const char *key;
        uint16_t slot;
    } cases[] = {
        {"123456789", 12739},
        {"foo", 12182},
        {"", 0},
        {"a", 15495},
        {"hello", 866},
        {"{user1000}.following", 3443},
        {"{user1000}.followers", 3443},
        {"foo{}{bar}", 8363},
        {"foo{{bar}}zap", 4015},
        {"foo{bar}{zap}", 5061},
        {"{}", 15257},
        {"{", 4092},
        {"}", 12090},
        {"{}{}", 15786},
        {"{a", 10276},
        {"a}", 5921},
        {"}{a}", 15495},
        {"{a}{b}", 15495},
        {"{{}}", 4092},
        {"key:{7}:x", 1716},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CHECK_EQ(slot(cases[i].key), cases[i].slot);
    }
}

TEST(tags)
{
    CHECK_EQ(slot("{user1000}.following"), slot("{user1000}.followers"));
    CHECK_EQ(slot("{user1000}.following"), slot("user1000"));
    CHECK_EQ(slot("foo{{bar}}zap"), slot("{bar"));
    CHECK_EQ(slot("foo{bar}{zap}"), slot("bar"));
    CHECK_EQ(slot("}{a}"), slot("a"));
    CHECK(slot("foo{}{bar}") != slot("bar")); /* nothing in the first braces: the whole key */
    CHECK(slot("foo{bar") != slot("bar"));
    CHECK(slot("{}bar") != slot("bar"));
}

TEST(any_bytes)
{
    CHECK_EQ(slot_of_key(bytes_of(NULL, 0)), 0);
    CHECK_EQ(slot_of_key(bytes_of("a\0b", 3)), slot_of_key(bytes_of("{a\0b}c", 6)));
    CHECK(slot_of_key(bytes_of("a\0b", 3)) != slot_of_key(bytes_of("a\0c", 3)));
    for (unsigned byte = 0; byte < 256; byte++) {
        uint8_t key = (uint8_t)byte;
        CHECK(slot_of_key(bytes_of(&key, 1)) < SLOT_COUNT);
    }
}
