#include "base/status.h"
#include "harness.h"

TEST(every_status_has_its_row)
{
    for (enum status s = STATUS_OK; s < STATUS_COUNT; s++) {
        CHECK(strlen(status_name(s)) > 0);
        CHECK(strlen(status_text(s)) > 0);
        CHECK_EQ(strlen(status_prefix(s)) == 0, s == STATUS_OK);
        CHECK_EQ(status_class(s) == STATUS_CLASS_OK, s == STATUS_OK);
    }
    CHECK_TEXT(status_name(STATUS_CORRUPT), "CORRUPT");
    CHECK_EQ(status_class(STATUS_CORRUPT), STATUS_CLASS_HALTED);
    CHECK_EQ(status_class(STATUS_OUTCOME_UNKNOWN), STATUS_CLASS_UNKNOWN);
    CHECK_EQ(status_class(STATUS_NOT_FOUND), STATUS_CLASS_REJECTED);
    CHECK_EQ(status_class(STATUS_BUSY), STATUS_CLASS_RETRY);
    CHECK_EQ(status_class(STATUS_NO_SPACE), STATUS_CLASS_RETRY);
    CHECK_TEXT(status_prefix(STATUS_NO_SPACE), "MISCONF");
}

TEST(set_and_wrap_outward)
{
    struct error e = {0};
    CHECK_EQ(error_set(&e, STATUS_CORRUPT, "segment %d: checksum mismatch", 40), STATUS_CORRUPT);
    CHECK_EQ(error_wrap(&e, STATUS_CORRUPT, "load log"), STATUS_CORRUPT);
    CHECK_EQ(error_wrap(&e, STATUS_CORRUPT, "open shard %d", 12), STATUS_CORRUPT);
    CHECK_EQ(e.code, STATUS_CORRUPT);
    CHECK_TEXT(e.text, "open shard 12: load log: segment 40: checksum mismatch");
}

TEST(set_replaces)
{
    struct error e = {0};
    (void)error_set(&e, STATUS_IO, "first");
    (void)error_set(&e, STATUS_BUSY, "second");
    CHECK_EQ(e.code, STATUS_BUSY);
    CHECK_TEXT(e.text, "second");
}

TEST(without_an_error_only_the_code_is_kept)
{
    CHECK_EQ(error_set(NULL, STATUS_IO, "unseen"), STATUS_IO);
    CHECK_EQ(error_wrap(NULL, STATUS_BUSY, "unseen"), STATUS_BUSY);
}

TEST(too_long_text_is_cut)
{
    struct error e = {0};
    char text[2 * sizeof e.text];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    (void)error_set(&e, STATUS_IO, "%s", text);
    CHECK_EQ(strlen(e.text), sizeof e.text - 1);
    (void)error_wrap(&e, STATUS_IO, "front");
    CHECK_EQ(strlen(e.text), sizeof e.text - 1);
    CHECK(strncmp(e.text, "front: xxx", 10) == 0);
    (void)error_wrap(&e, STATUS_IO, "%s", text);
    CHECK_EQ(strlen(e.text), sizeof e.text - 1);
}
