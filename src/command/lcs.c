/* LCS: the longest common subsequence of two strings. */
#include "command/command.h"

const struct command command_table_lcs[] = {
    {.name = NULL},
};
