/* When keys end: EXPIRE and its relatives, TTL, PERSIST. */
#include "command/command.h"

const struct command command_table_expire[] = {
    {.name = NULL},
};
