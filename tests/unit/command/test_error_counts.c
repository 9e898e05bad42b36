/* Errors by their first word, as INFO errorstats shows them. */
#include <stdio.h>

#include "command/error_counts.h"
#include "harness.h"

static void note(struct error_counts *counts, const char *reply)
{
    error_counts_note(counts, bytes_of_text(reply));
}

TEST(words_in_their_order)
{
    struct error_counts counts = {0};
    note(&counts, "-WRONGTYPE Operation\r\n");
    note(&counts, "-ERR syntax error\r\n");
    note(&counts, "-ERR other\r\n");
    note(&counts, "-CROSSSLOT\r\n");
    note(&counts, "-WRONG x\r\n");
    CHECK_EQ(counts.size, 4u);
    CHECK_TEXT(counts.rows[0].word, "CROSSSLOT");
    CHECK_TEXT(counts.rows[1].word, "ERR");
    CHECK_EQ(counts.rows[1].count, 2u);
    CHECK_TEXT(counts.rows[2].word, "WRONG");
    CHECK_TEXT(counts.rows[3].word, "WRONGTYPE");
    CHECK_EQ(counts.rows[3].count, 1u);
}

TEST(other_replies_are_no_errors)
{
    struct error_counts counts = {0};
    note(&counts, "");
    note(&counts, "+OK\r\n");
    note(&counts, "$4\r\n-ERR\r\n");
    CHECK_EQ(counts.size, 0u);
}

TEST(words_are_bounded)
{
    struct error_counts counts = {0};
    note(&counts, "-AVERYLONGWORDWITHOUTANYBLANKINSIDEOFIT\r\n");
    CHECK_TEXT(counts.rows[0].word, "AVERYLONGWORDWITHOUTANYBLANKINS");
    for (unsigned i = 0; i < 2 * ERROR_COUNTS_WORDS; i++) {
        char reply[32];
        (void)snprintf(reply, sizeof reply, "-E%u x\r\n", i);
        note(&counts, reply);
    }
    CHECK_EQ(counts.size, ERROR_COUNTS_WORDS);
    note(&counts, "-E0 again\r\n");
    CHECK_TEXT(counts.rows[1].word, "E0");
    CHECK_EQ(counts.rows[1].count, 2u);
}
