/* DUMP and RESTORE, in Redis' own format. */
#include "command/command.h"

const struct command command_table_dump[] = {
    {.name = NULL},
};
