/* Whole databases: SCAN, KEYS, RANDOMKEY, DBSIZE, FLUSHDB, FLUSHALL. */
#include "command/command.h"

const struct command command_table_scan[] = {
    {.name = NULL},
};
